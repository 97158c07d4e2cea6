//! The page that a scrape reads, in either of two formats, and in the same order each time.
//!
//! The library writes `OpenMetrics`, its series in the order of a hash table. Whoever does not ask for
//! that format gets the older text format, which every tool reads: there, a counter's family has the
//! name of its samples, and there are no units.

use std::fmt::Write;

/// How the numbers are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// The text format, version 0.0.4: what `promtool` and most scripts read.
    #[default]
    Text,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The content type of an answer in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A family as the library has written it: its head, and its samples.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    unit: Option<&'a str>,
    samples: Vec<&'a str>,
}

/// Writes `page`, which is what the library made of all registries, in `format`.
pub(super) fn written(page: &str, format: Format) -> String {
    let mut text = String::with_capacity(page.len() + (4 << 10));
    let mut family = Family::default();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            std::mem::take(&mut family).write(format, &mut text);
            (family.name, family.help) = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            family.kind = rest.split_once(' ').map_or("", |(_, kind)| kind);
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            family.unit = rest.split_once(' ').map(|(_, unit)| unit);
        } else if !line.starts_with('#') {
            family.samples.push(line);
        }
    }
    family.write(format, &mut text);
    // A comment to the text format; whoever sees it knows that the page is whole.
    text.push_str("# EOF\n");
    text
}

impl Family<'_> {
    fn write(mut self, format: Format, text: &mut String) {
        let Self { name, help, kind, unit, .. } = self;
        // A family of which the configuration names nothing, such as pools of a store.
        if self.samples.is_empty() {
            return;
        }
        let (suffix, kind) = match (format, kind) {
            (Format::Text, "counter") if !name.ends_with("_total") => ("_total", kind),
            // The one family of no stated type is a count.
            (Format::Text, "unknown") => ("", "counter"),
            _ => ("", kind),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
        if let Some(unit) = unit.filter(|_| format == Format::OpenMetrics) {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        // Buckets of a histogram stand together, and stay in their order.
        self.samples.sort_by_cached_key(|line| series(line));
        for sample in &self.samples {
            text.push_str(sample);
            text.push('\n');
        }
    }
}

/// The labels of a sample but for the bucket's bound: what one metric is told from another by.
fn series(line: &str) -> String {
    let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let labels = labels.map_or("", |(labels, _)| labels).split(',');
    labels.filter(|label| !label.starts_with("le=")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP a Things.
# TYPE a counter
a_total{x=\"2\"} 1
a_total{x=\"1\"} 2
# HELP b_seconds Time.
# TYPE b_seconds histogram
# UNIT b_seconds seconds
b_seconds_sum{c=\"q\"} 0.0
b_seconds_count{c=\"q\"} 0
b_seconds_bucket{c=\"q\",le=\"0.5\"} 0
b_seconds_bucket{c=\"q\",le=\"+Inf\"} 0
b_seconds_sum{c=\"p\"} 0.0
b_seconds_count{c=\"p\"} 0
b_seconds_bucket{le=\"0.5\",c=\"p\"} 0
b_seconds_bucket{le=\"+Inf\",c=\"p\"} 0
# HELP c_total Connections.
# TYPE c_total unknown
c_total 3
# HELP d Nothing.
# TYPE d gauge
# EOF
";

    #[test]
    fn both_formats_say_the_same_in_the_same_order() {
        let text = written(PAGE, Format::Text);
        let want = "\
# HELP a_total Things.
# TYPE a_total counter
a_total{x=\"1\"} 2
a_total{x=\"2\"} 1
# HELP b_seconds Time.
# TYPE b_seconds histogram
b_seconds_sum{c=\"p\"} 0.0
b_seconds_count{c=\"p\"} 0
b_seconds_bucket{le=\"0.5\",c=\"p\"} 0
b_seconds_bucket{le=\"+Inf\",c=\"p\"} 0
b_seconds_sum{c=\"q\"} 0.0
b_seconds_count{c=\"q\"} 0
b_seconds_bucket{c=\"q\",le=\"0.5\"} 0
b_seconds_bucket{c=\"q\",le=\"+Inf\"} 0
# HELP c_total Connections.
# TYPE c_total counter
c_total 3
# EOF
";
        assert_eq!(text, want);
        let open = written(PAGE, Format::OpenMetrics);
        assert!(open.starts_with("# HELP a Things.\n# TYPE a counter\na_total{x=\"1\"} 2\n"));
        assert!(open.contains("# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n"), "{open}");
        assert!(open.ends_with("# TYPE c_total unknown\nc_total 3\n# EOF\n"), "{open}");
    }
}
