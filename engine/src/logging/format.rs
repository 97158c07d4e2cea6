//! How an event becomes a line.
//!
//! Text: `2026-08-30T23:45:01.123Z INFO relais_actors::events: worker started service=SMTP`.
//! JSON: one object with `time`, `level`, `target`, `message` when there is one, and the event's
//! fields beside them, in their order; last, for an event that names no message, `span` with the
//! session or job that has a message in hand.
//!
//! No value can end a line or look like two: in text, whatever is not a plain word is quoted and
//! escaped.

use std::{
    cell::Cell,
    fmt::{self, Write},
};

use relais_actors::{in_hand, timestamp::Timestamp};
use relais_config::grammar::is_unprintable;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{Sink, spans};

/// Which of the two forms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// The layer that writes lines into a sink.
pub(super) struct Lines {
    /// The look of the lines.
    pub(super) format: Format,
    /// Where they go.
    pub(super) sink: Sink,
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            spans::keep(&span, attributes);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            spans::learn(&span, values);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = LINE.take();
        line.clear();
        self.format.begin(&mut line, event);
        let mut fields = Fields { format: self.format, line: &mut line, name_message: false };
        event.record(&mut fields);
        // A line that names its message is found without.
        if !fields.name_message
            && let Some(message) = in_hand::message()
            && let Some(span) = context.event_span(event)
        {
            fields.text("span", &spans::text(&span, message));
        }
        line.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
        self.sink.push(line.as_bytes());
        if line.capacity() <= KEPT {
            LINE.set(line);
        }
    }
}

impl Format {
    /// Writes what every line begins with.
    fn begin(self, line: &mut String, event: &Event<'_>) {
        let (metadata, now) = (event.metadata(), Timestamp::now());
        let (level, target) = (metadata.level(), metadata.target());
        // Writing to a string cannot fail; here and below.
        match self {
            Self::Text => {
                let _ = write!(line, "{now} {level} {target}:");
            }
            Self::Json => {
                let _ = write!(line, r#"{{"time":"{now}"#);
                for piece in [r#"","level":""#, level.as_str(), r#"","target":""#, target, "\""] {
                    line.push_str(piece);
                }
            }
        }
    }
}

/// Writes fields behind what is already in the line.
struct Fields<'a> {
    format: Format,
    line: &'a mut String,
    /// One of them is the id of a message.
    name_message: bool,
}

impl Fields<'_> {
    /// A number or a truth: needs no quotes in either form.
    fn bare(&mut self, name: &str, value: impl fmt::Display) {
        match self.format {
            Format::Text => self.push([" ", name, "="]),
            Format::Json => self.push([",\"", name, "\":"]),
        }
        let _ = write!(self.line, "{value}");
    }

    /// Several times as fast as `write!`, and this is most of the log.
    fn push<const N: usize>(&mut self, pieces: [&str; N]) {
        for piece in pieces {
            self.line.push_str(piece);
        }
    }

    /// Text that is there already; in JSON it needs no look back.
    fn text(&mut self, name: &str, value: &str) {
        self.name_message |= name == "id" && !value.is_empty();
        match self.format {
            Format::Text => self.display(name, format_args!("{value}")),
            Format::Json => {
                self.push([",\"", name, "\":\""]);
                let _ = Escaped(self.line).write_str(value);
                self.line.push('"');
            }
        }
    }

    fn display(&mut self, name: &str, value: fmt::Arguments<'_>) {
        match self.format {
            Format::Text if name == "message" => {
                self.line.push(' ');
                let _ = Escaped(self.line).write_fmt(value);
            }
            Format::Text => {
                self.push([" ", name, "="]);
                let start = self.line.len();
                let _ = self.line.write_fmt(value);
                self.name_message |= name == "id" && self.line.len() > start;
                quote_unless_plain(self.line, start);
            }
            Format::Json => {
                self.push([",\"", name, "\":\""]);
                let start = self.line.len();
                let _ = Escaped(self.line).write_fmt(value);
                self.name_message |= name == "id" && self.line.len() > start;
                self.line.push('"');
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.display(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field.name(), value);
        } else {
            self.display(field.name(), format_args!("{value}"));
        }
    }
}

/// Makes one word of what stands behind `start`, if it is not one already.
fn quote_unless_plain(line: &mut String, start: usize) {
    let plain = |c: u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'\\' | b'=');
    if line.len() > start && line.as_bytes()[start..].iter().all(|c| plain(*c)) {
        return;
    }
    let value = line.split_off(start);
    line.push('"');
    let _ = Escaped(line).write_str(&value);
    line.push('"');
}

/// Escapes what may not stand between quotes, in JSON as in text.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let harmful = |c: u8| matches!(c, 0..=0x1f | b'"' | b'\\' | 0x7f..);
        // Looks at all octets without a branch, which is faster than stopping early.
        if !text.bytes().fold(false, |found, c| found | harmful(c)) {
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                c if is_unprintable(c) => {
                    write!(self.0, "\\u{:04x}", u32::from(c))?;
                }
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

thread_local! {
    /// The buffer that the line before was written in.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Octets of the longest line whose room is kept; a usual transaction line has 500.
const KEPT: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relais_actors::in_hand::with_hand;
    use relais_channels::mail::MessageId;
    use tracing::{Instrument, info, info_span, warn};
    use tracing_subscriber::{layer::SubscriberExt, registry};

    use super::*;

    /// The line that `emit` logs, without the time.
    fn logged(format: Format, emit: impl FnOnce()) -> String {
        let kept = Kept::default();
        let sink = Sink::start(kept.clone()).unwrap();
        let subscriber = registry().with(Lines { format, sink: sink.clone() });
        tracing::subscriber::with_default(subscriber, emit);
        sink.flush(Duration::from_secs(10));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let time = match format {
            Format::Text => "2026-08-30T23:45:01.123Z ".len(),
            Format::Json => "{\"time\":\"2026-08-30T23:45:01.123Z\",".len(),
        };
        let open = if format == Format::Json { "{" } else { "" };
        let lines = text.split_inclusive('\n');
        lines.flat_map(|line| [open, &line[time..]]).collect()
    }

    #[derive(Clone, Default)]
    struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn some_events() {
        info!(target: "t", n = -1, big = u64::MAX, yes = true, half = 0.5, word = "a", "it happened");
        warn!(target: "t", hostile = "a\r\nb \"c\" \\ \u{1b}[2J\u{2028}", empty = "", "x\ny");
        let work = with_hand(async {
            info!(target: "t", "nothing in hand");
            in_hand::hold(Some(MessageId(7)));
            info!(target: "t", to = %"<a@b>", nan = f64::NAN);
            info!(target: "t", id = %MessageId(8));
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(work.instrument(info_span!("job", channel = "x")));
    }

    #[test]
    fn text_keeps_each_event_on_one_line() {
        let want = concat!(
            "INFO t: it happened n=-1 big=18446744073709551615 yes=true half=0.5 word=a\n",
            r#"WARN t: x\ny hostile="a\r\nb \"c\" \\ \u001b[2J\u2028" empty="""#,
            "\n",
            "INFO t: nothing in hand\n",
            r#"INFO t: to=<a@b> nan=NaN span="job{channel=\"x\" id=0000000000007}""#,
            "\nINFO t: id=0000000000008\n",
        );
        assert_eq!(logged(Format::Text, some_events), want);
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(Format::Json, some_events);
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let lines: Vec<_> = text.lines().map(parse).collect();
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["message"], "it happened");
        assert_eq!(lines[0]["n"], -1);
        assert_eq!(lines[0]["big"], u64::MAX);
        assert_eq!(lines[0]["yes"], true);
        assert_eq!(lines[0]["half"], 0.5);
        assert_eq!(lines[1]["hostile"], "a\r\nb \"c\" \\ \u{1b}[2J\u{2028}");
        assert_eq!(lines[1]["empty"], "");
        assert!(lines[2].get("span").is_none());
        assert_eq!(lines[3]["span"], "job{channel=\"x\" id=0000000000007}");
        assert_eq!(lines[3]["nan"], "NaN");
        assert!(lines[4].get("span").is_none());
        assert_eq!(lines.len(), 5);
    }
}
