//! A log for tests: keeps what is written.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// One line per event of a target: `name=value|` of each field. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Lines {
    target: &'static str,
    kept: Arc<Mutex<Vec<String>>>,
}

impl Lines {
    /// Of targets that begin with this.
    pub(crate) fn of(target: &'static str) -> Self {
        // Where the process has one subscriber alone, that of this thread, a line that another
        // thread comes by first is switched off for all of them.
        let _ = tracing::subscriber::set_global_default(Self::new(OF_NOBODY));
        Self::new(target)
    }

    fn new(target: &'static str) -> Self {
        Self { target, kept: Arc::default() }
    }

    /// The lines written so far; they are forgotten.
    pub(crate) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.kept.lock().unwrap())
    }

    /// How many of the lines have this text in them.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.kept.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(self.target)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = FieldText(String::new());
        event.record(&mut line);
        self.kept.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct FieldText(String);

impl Visit for FieldText {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?}|", field.name());
    }
}

/// The target of no event.
const OF_NOBODY: &str = "\0";
