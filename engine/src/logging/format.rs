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

use relais_actors::timestamp::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{FmtContext, FormatEvent, format::Writer},
    registry::LookupSpan,
};

use super::{
    Sink,
    spans::{self, KeepSpans, KeptElsewhere},
};

/// Which of the two forms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// The layer that writes lines into a sink.
pub(super) fn layer<S>(format: Format, sink: Sink) -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .fmt_fields(KeptElsewhere)
        .event_format(format)
        .with_writer(sink);
    KeepSpans.and_then(lines)
}

impl<S> FormatEvent<S, KeptElsewhere> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, KeptElsewhere>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = LINE.take();
        line.clear();
        let (metadata, now) = (event.metadata(), Timestamp::now());
        let (level, target) = (metadata.level(), metadata.target());
        match self {
            Self::Text => write!(line, "{now} {level} {target}:")?,
            Self::Json => {
                write!(line, r#"{{"time":"{now}"#)?;
                for piece in [r#"","level":""#, level.as_str(), r#"","target":""#, target, "\""] {
                    line.push_str(piece);
                }
            }
        }
        let mut fields = Fields { format: *self, line: &mut line, name_message: false };
        event.record(&mut fields);
        // A line that names its message is found without.
        if !fields.name_message
            && let Some(scope) = ctx.event_scope()
        {
            let with_message = scope.from_root().filter(spans::has_message);
            let texts: Vec<_> = with_message.map(|span| spans::text(&span)).collect();
            if !texts.is_empty() {
                fields.display("span", &texts.join(":"));
            }
        }
        line.push_str(if *self == Self::Json { "}\n" } else { "\n" });
        let written = writer.write_str(&line);
        if line.capacity() <= KEPT {
            LINE.set(line);
        }
        written
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
        // Writing to a string cannot fail; here and below.
        let _ = write!(self.line, "{value}");
    }

    /// Several times as fast as `write!`, and this is most of the log.
    fn push<const N: usize>(&mut self, pieces: [&str; N]) {
        for piece in pieces {
            self.line.push_str(piece);
        }
    }

    fn display(&mut self, name: &str, value: &dyn fmt::Display) {
        match self.format {
            Format::Text if name == "message" => {
                self.line.push(' ');
                let _ = write!(Escaped(self.line), "{value}");
            }
            Format::Text => {
                self.push([" ", name, "="]);
                let start = self.line.len();
                let _ = write!(self.line, "{value}");
                self.name_message |= name == "id" && self.line.len() > start;
                quote_unless_plain(self.line, start);
            }
            Format::Json => {
                self.push([",\"", name, "\":\""]);
                let start = self.line.len();
                let _ = write!(Escaped(self.line), "{value}");
                self.name_message |= name == "id" && self.line.len() > start;
                self.line.push('"');
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.display(field.name(), &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.display(field.name(), &value);
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
            self.display(field.name(), &value);
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
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
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

    use tracing::{info, info_span, warn};
    use tracing_subscriber::{layer::SubscriberExt, registry};

    use super::*;

    /// The line that `emit` logs, without the time.
    fn logged(format: Format, emit: impl FnOnce()) -> String {
        let kept = Kept::default();
        let sink = Sink::start(kept.clone()).unwrap();
        let subscriber = registry().with(layer(format, sink.clone()));
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
        let _span = info_span!("job", id = "7").entered();
        info!(target: "t", to = %"<a@b>", nan = f64::NAN);
    }

    #[test]
    fn text_keeps_each_event_on_one_line() {
        let want = concat!(
            "INFO t: it happened n=-1 big=18446744073709551615 yes=true half=0.5 word=a\n",
            r#"WARN t: x\ny hostile="a\r\nb \"c\" \\ \u001b[2J\u2028" empty="""#,
            "\n",
            r#"INFO t: to=<a@b> nan=NaN span="job{id=\"7\"}""#,
            "\n",
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
        assert_eq!(lines[2]["span"], "job{id=\"7\"}");
        assert_eq!(lines[2]["nan"], "NaN");
        assert_eq!(lines.len(), 3);
    }
}
