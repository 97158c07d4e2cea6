//! Families of metrics, for dashboards and alert rules that are made of them.

/// A family of metrics, as the text format names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MetricFamily {
    /// With its prefix; of a counter with `_total`, of a histogram without `_bucket`.
    pub name: String,
    /// The type that a scrape states.
    pub kind: MetricKind,
    /// The text that a scrape shows, without a full stop.
    pub help: String,
    /// Names of its labels, in their order; without the bound of a bucket.
    pub labels: Vec<String>,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// It only grows, and begins again with the engine.
    Counter,
    /// A level.
    Gauge,
    /// Counts below bounds.
    Histogram,
}

/// The families of a page in the text format. Values of labels are taken to be plain words.
pub(super) fn families(page: &str) -> Vec<MetricFamily> {
    let mut all: Vec<MetricFamily> = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            let (name, help) = (name.to_owned(), help.trim_end_matches('.').to_owned());
            all.push(MetricFamily { name, kind: MetricKind::Gauge, help, labels: Vec::new() });
            continue;
        }
        let Some(family) = all.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family.kind = match rest.rsplit(' ').next() {
                Some("counter") => MetricKind::Counter,
                Some("histogram") => MetricKind::Histogram,
                _ => MetricKind::Gauge,
            };
        } else if !line.starts_with('#') && family.labels.is_empty() {
            family.labels = labels_of(line);
        }
    }
    all
}

fn labels_of(sample: &str) -> Vec<String> {
    let labels = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let pairs = labels.map_or("", |(labels, _)| labels).split(',');
    let names = pairs.filter_map(|pair| Some(pair.split_once('=')?.0)).filter(|name| *name != "le");
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_read_off_a_page() {
        let page = "# HELP a_total Things by name.\n# TYPE a_total counter\na_total{x=\"q\",why=\"z\"} 1\n\
                    # HELP c_seconds Time.\n# TYPE c_seconds histogram\nc_seconds_sum{channel=\"d\"} 0.0\n\
                    c_seconds_bucket{le=\"1\",channel=\"d\"} 1\n\
                    # HELP d One.\n# TYPE d histogram\nd_sum 0.0\nd_bucket{le=\"1\"} 1\n\
                    # HELP e None.\n# TYPE e gauge\ne 7\n# EOF\n";
        let family = |name: &str, kind, help: &str, labels: &[&str]| MetricFamily {
            name: name.to_owned(),
            kind,
            help: help.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        let want = [
            family("a_total", MetricKind::Counter, "Things by name", &["x", "why"]),
            family("c_seconds", MetricKind::Histogram, "Time", &["channel"]),
            family("d", MetricKind::Histogram, "One", &[]),
            family("e", MetricKind::Gauge, "None", &[]),
        ];
        assert_eq!(families(page), want);
    }
}
