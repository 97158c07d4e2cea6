//! Looks whether an expression of `PromQL` asks for metrics and labels that there are.

use relais_actors::metrics::{MetricFamily, MetricKind};

/// An expression, taken apart.
pub(super) struct Asked {
    /// Names of metrics and labels that no family has.
    pub(super) unknown: Vec<String>,
    /// Labels that its result may have.
    pub(super) labels: Vec<String>,
}

impl Asked {
    /// Takes `expr` apart, for the metrics of these families.
    pub(super) fn of(expr: &str, families: &[MetricFamily]) -> Self {
        // Between quotes stand values.
        let plain: String = expr.split('"').step_by(2).collect();
        let mut unknown = Vec::new();
        let mut labels = vec!["instance".to_owned(), "job".to_owned()];
        for rest in plain.split("relais_").skip(1) {
            let end = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let Some(family) = families.iter().find(|family| is_named(family, name)) else {
                unknown.push(format!("relais_{name}"));
                continue;
            };
            let selected = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            for pair in selected.map_or("", |(pairs, _)| pairs).split(',') {
                let label = pair.split(|c: char| !is_of_name(c)).next().unwrap_or_default();
                let is_known = family.labels.iter().any(|known| known == label);
                if !label.is_empty() && !is_known && label != "instance" {
                    unknown.push(format!("relais_{name} {label}"));
                }
            }
            labels.extend(family.labels.iter().cloned());
        }
        let listed = |of: &str| -> Vec<String> {
            let lists = plain.split(of).skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
            lists.flat_map(|list| list.split(", ").map(str::to_owned)).collect()
        };
        let by = listed("by (");
        let strange = by.iter().cloned().chain(listed("on ("));
        unknown.extend(strange.filter(|label| label != "le" && !labels.contains(label)));
        if plain.starts_with("sum by (") || plain.starts_with("max by (") {
            labels = by;
        }
        Self { unknown, labels }
    }
}

fn is_of_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

fn is_named(family: &MetricFamily, name: &str) -> bool {
    let its = family.name.strip_prefix("relais_").unwrap_or(&family.name);
    match family.kind {
        MetricKind::Histogram => name.strip_suffix("_bucket") == Some(its),
        MetricKind::Counter | MetricKind::Gauge => name == its,
    }
}

#[test]
fn strange_metrics_and_labels_are_found() {
    let family = |name: &str, kind, label: &str| MetricFamily {
        name: name.to_owned(),
        kind,
        help: String::new(),
        labels: vec![label.to_owned()],
    };
    let families = [
        family("relais_a_total", MetricKind::Counter, "channel"),
        family("relais_b_seconds", MetricKind::Histogram, "pool"),
    ];
    for (expr, unknown) in [
        ("sum by (instance, channel) (rate(relais_a_total{channel=\"x,y=z\"}[5m])) > 0", ""),
        ("sum by (le, pool) (rate(relais_b_seconds_bucket{instance=~\"$instance\"}[5m]))", ""),
        ("up == 0 and on (job) relais_a_total", ""),
        ("relais_a > 0", "relais_a"),
        ("relais_b_seconds > 0", "relais_b_seconds"),
        ("relais_a_total{pool!=\"x\"}", "relais_a_total pool"),
        ("sum by (pool) (relais_a_total) and on (host) relais_a_total", "pool, host"),
    ] {
        assert_eq!(Asked::of(expr, &families).unknown.join(", "), unknown, "{expr}");
    }
    assert_eq!(Asked::of("sum by (pool) (relais_a_total)", &families).labels, ["pool"]);
    assert_eq!(Asked::of("relais_a_total > 0", &families).labels, ["instance", "job", "channel"]);
}
