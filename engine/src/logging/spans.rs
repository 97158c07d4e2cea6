//! Spans and the fields kept with each: a session or a job, and the message that it has in hand.
//!
//! A span lives as long as its session or job does, and its `id` follows the message: the fields
//! are kept one by one, so that a new value takes the place of the old one.

use std::fmt::{self, Write};

use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{FormatFields, format::Writer},
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

/// Keeps the fields of spans.
pub(super) struct KeepSpans;

/// For the layer that writes lines: it is not to keep the fields of spans once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptElsewhere;

/// The fields of one span, in their order. A field that was set to nothing is not among them.
#[derive(Debug, Default)]
struct SpanFields(Vec<(&'static str, String)>);

impl<S> Layer<S> for KeepSpans
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut kept = SpanFields::default();
        attributes.record(&mut kept);
        span.extensions_mut().insert(kept);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(kept) = span.extensions_mut().get_mut::<SpanFields>() {
            values.record(kept);
        }
    }
}

impl<'w> FormatFields<'w> for KeptElsewhere {
    fn format_fields<R>(&self, _: Writer<'w>, _: R) -> fmt::Result {
        Ok(())
    }
}

impl SpanFields {
    fn set(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        let index = self.0.iter().position(|(of, _)| *of == name).unwrap_or_else(|| {
            self.0.push((name, String::new()));
            self.0.len() - 1
        });
        let text = &mut self.0[index].1;
        text.clear();
        // Writing to a string cannot fail.
        let _ = text.write_fmt(value);
    }
}

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if value.is_empty() {
            return self.set(field, format_args!(""));
        }
        self.set(field, format_args!("{value:?}"));
    }
}

/// Whether a message is in hand: a line that does not name it is found by the span.
pub(super) fn has_message<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> bool {
    let extensions = span.extensions();
    let kept = extensions.get::<SpanFields>();
    kept.is_some_and(|kept| kept.0.iter().any(|(name, text)| *name == "id" && !text.is_empty()))
}

/// `job{channel=… host=… id=…}`.
pub(super) fn text<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> String {
    let mut line = span.name().to_owned();
    let extensions = span.extensions();
    let kept = extensions.get::<SpanFields>();
    let fields = kept.into_iter().flat_map(|kept| &kept.0).filter(|(_, text)| !text.is_empty());
    let mut open = '{';
    for (name, text) in fields {
        let _ = write!(line, "{open}{name}={text}");
        open = ' ';
    }
    if open == ' ' {
        line.push('}');
    }
    line
}

#[cfg(test)]
mod tests {
    use tracing::{Span, info_span};
    use tracing_subscriber::{layer::SubscriberExt, registry};

    use super::*;

    fn shown(span: &Span) -> (String, bool) {
        span.with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<registry::Registry>().unwrap();
            let span = registry.span(id).unwrap();
            (text(&span), has_message(&span))
        })
        .unwrap()
    }

    #[test]
    fn the_id_follows_the_message() {
        tracing::subscriber::with_default(registry().with(KeepSpans), || {
            let span = info_span!("job", channel = %"stores", id = tracing::field::Empty);
            assert_eq!(shown(&span), ("job{channel=stores}".to_owned(), false));
            for id in ["a1", "b2"] {
                span.record("id", tracing::field::display(id));
                assert_eq!(shown(&span), (format!("job{{channel=stores id={id}}}"), true));
            }
            span.record("id", "");
            assert_eq!(shown(&span), ("job{channel=stores}".to_owned(), false));
        });
    }
}
