//! Spans and the fields kept with each: which session or job it is.
//!
//! A span lives as long as its session or job does. The message in hand is no field of it (see
//! [`in_hand`](relais_actors::in_hand)): it joins the others when a line asks.

use std::fmt::{self, Display, Write};

use tracing::{
    field::{Field, Visit},
    span::{Attributes, Record},
};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// The fields of one span as text, each behind a space; without those that are empty.
#[derive(Debug)]
struct SpanFields(String);

/// Keeps the fields of a span that begins.
pub(super) fn keep<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>, attributes: &Attributes<'_>) {
    let mut kept = SpanFields(String::with_capacity(USUAL));
    attributes.record(&mut kept);
    span.extensions_mut().insert(kept);
}

/// Adds fields that a span learns of when it has begun: the client that a proxy names.
pub(super) fn learn<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>, values: &Record<'_>) {
    if let Some(kept) = span.extensions_mut().get_mut::<SpanFields>() {
        values.record(kept);
    }
}

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let start = self.0.len();
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {}=", field.name());
        let value_at = self.0.len();
        let _ = write!(self.0, "{value:?}");
        if matches!(&self.0[value_at..], "" | "\"\"") {
            self.0.truncate(start);
        }
    }
}

/// `job{channel=… host=… id=…}`.
pub(super) fn text<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>, message: impl Display) -> String {
    let extensions = span.extensions();
    let fields = extensions.get::<SpanFields>().map_or("", |kept| kept.0.trim_start());
    let space = if fields.is_empty() { "" } else { " " };
    format!("{}{{{fields}{space}id={message}}}", span.name())
}

/// Octets of the fields of most sessions and jobs.
const USUAL: usize = 64;

#[cfg(test)]
mod tests {
    use tracing::info_span;
    use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry};

    use super::*;

    struct Keep;

    impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
        fn on_new_span(
            &self,
            attributes: &Attributes<'_>,
            id: &tracing::Id,
            context: Context<'_, S>,
        ) {
            keep(&context.span(id).unwrap(), attributes);
        }

        fn on_record(&self, id: &tracing::Id, values: &Record<'_>, context: Context<'_, S>) {
            learn(&context.span(id).unwrap(), values);
        }
    }

    #[test]
    fn a_span_shows_its_fields_and_the_message() {
        tracing::subscriber::with_default(registry().with(Keep), || {
            let rows = [
                (info_span!("job", channel = %"stores", host = %""), "job{channel=stores id=7}"),
                (info_span!("job", channel = "a b", host = ""), "job{channel=\"a b\" id=7}"),
                (info_span!("session"), "session{id=7}"),
            ];
            let late = info_span!("session", service = "SMTP", client = tracing::field::Empty);
            late.record("client", "192.0.2.1");
            let late = (late, "session{service=\"SMTP\" client=\"192.0.2.1\" id=7}");
            for (span, want) in rows.into_iter().chain([late]) {
                let shown = span.with_subscriber(|(id, dispatch)| {
                    let registry = dispatch.downcast_ref::<registry::Registry>().unwrap();
                    text(&registry.span(id).unwrap(), 7)
                });
                assert_eq!(shown.as_deref(), Some(want));
            }
        });
    }
}
