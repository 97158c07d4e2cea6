//! A dashboard of Grafana: an overview, and below it a panel for each family.

use relais_actors::metrics::{MetricFamily, MetricKind};
use serde_json::{Value, json};

/// A panel of the overview.
struct OverviewPanel {
    title: &'static str,
    unit: &'static str,
    /// Expressions, and the words for what each yields; `$of` is the chosen instances.
    queries: &'static [(&'static str, &'static str)],
}

/// A query of a panel: its expression, and the words for what it yields.
type Query = (String, String);

/// The model that Grafana imports. The data source is chosen there.
pub fn dashboard(families: &[MetricFamily]) -> Value {
    let mut panels = vec![row("Overview", 0)];
    for (place, shown) in OVERVIEW.iter().enumerate() {
        let query = |(expr, legend): &(&str, &str)| (expr.replace("$of", OF), (*legend).to_owned());
        let queries = shown.queries.iter().map(query).collect();
        panels.push(panel((shown.title, "", shown.unit), queries, &place_of(place, 1)));
    }
    let below = 1 + OVERVIEW.len().div_ceil(COLUMNS) * HEIGHT;
    for (line, title) in (below..).zip(ROWS.iter().map(|(title, _)| *title)) {
        let its = families.iter().filter(|family| row_of(&family.name) == title);
        let its = its.enumerate().map(|(place, its)| of_family(its, &place_of(place, line + 1)));
        let mut row = row(title, line);
        row["collapsed"] = json!(true);
        row["panels"] = its.collect();
        panels.push(row);
    }
    number(&mut panels, &mut 0);
    let instances = json!({
        "name": "instance", "type": "query", "multi": true, "includeAll": true, "refresh": 2,
        "datasource": source(), "query": "label_values(relais_build_info, instance)",
        "current": {"text": "All", "value": "$__all"},
    });
    let sources = json!({"name": "datasource", "type": "datasource", "query": "prometheus"});
    json!({
        "title": "relais", "uid": "relais", "schemaVersion": 39, "editable": true,
        "refresh": "30s", "tags": ["mail", "relais"],
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [sources, instances]},
        "panels": panels,
    })
}

/// Gives each panel an id of its own, those inside rows included.
fn number(panels: &mut [Value], last: &mut u32) {
    for panel in panels {
        *last += 1;
        panel["id"] = json!(*last);
        if let Some(inner) = panel.get_mut("panels").and_then(Value::as_array_mut) {
            number(inner, last);
        }
    }
}

fn row(title: &str, line: usize) -> Value {
    let place = json!({"x": 0, "y": line, "w": WIDTH, "h": 1});
    json!({"type": "row", "title": title, "collapsed": false, "panels": [], "gridPos": place})
}

/// The place of a panel among those that begin at `line`.
fn place_of(place: usize, line: usize) -> Value {
    let (x, y) = (place % COLUMNS * WIDTH / COLUMNS, line + place / COLUMNS * HEIGHT);
    json!({"x": x, "y": y, "w": WIDTH / COLUMNS, "h": HEIGHT})
}

fn panel((title, help, unit): (&str, &str, &str), queries: Vec<Query>, place: &Value) -> Value {
    let targets = ('A'..).zip(queries).map(|(id, (expr, legend))| {
        json!({"refId": id, "datasource": source(), "expr": expr, "legendFormat": legend})
    });
    let targets: Vec<_> = targets.collect();
    json!({
        "type": "timeseries", "title": title, "description": help, "datasource": source(),
        "gridPos": place, "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}},
    })
}

/// The panel of a family.
fn of_family(family: &MetricFamily, place: &Value) -> Value {
    let (query, unit) = (expr(family), unit_of(family));
    let labels = family.labels.iter().map(|label| format!("{{{{{label}}}}}"));
    let legend: Vec<_> = std::iter::once("{{instance}}".to_owned()).chain(labels).collect();
    panel((&family.name, &family.help, unit), vec![(query, legend.join(" "))], place)
}

/// The data source that was chosen.
fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// The title of the row that a family stands in; the last one has what no other claims.
fn row_of(name: &str) -> &'static str {
    let rest = name.strip_prefix("relais_").unwrap_or(name);
    let mut rows = ROWS.iter();
    let claims = rows.find(|(_, starts)| starts.iter().any(|start| rest.starts_with(*start)));
    claims.map_or("", |(title, _)| title)
}

/// Levels as they are, counts by the second, times by what nineteen of twenty stay below, moments by
/// how far away they are.
fn expr(family: &MetricFamily) -> String {
    let MetricFamily { name, kind, labels, .. } = family;
    let by = std::iter::once("instance").chain(labels.iter().map(String::as_str));
    let by = by.collect::<Vec<_>>().join(", ");
    let rate = |name: &str| format!("rate({name}{{{OF}}}[$__rate_interval])");
    match kind {
        // One of its events is a level.
        MetricKind::Counter if name == "relais_channel_messages_total" => {
            format!("sum by ({by}) (rate({name}{{{OF},event!=\"stored\"}}[$__rate_interval]))")
        }
        MetricKind::Counter => format!("sum by ({by}) ({})", rate(name)),
        MetricKind::Histogram => {
            let rate = rate(&format!("{name}_bucket"));
            format!("histogram_quantile(0.95, sum by (le, {by}) ({rate}))")
        }
        MetricKind::Gauge if name.ends_with("_start_time_seconds") => {
            format!("time() - max by ({by}) ({name}{{{OF}}})")
        }
        MetricKind::Gauge if name.ends_with("_timestamp_seconds") => {
            format!("max by ({by}) ({name}{{{OF}}}) - time()")
        }
        MetricKind::Gauge => format!("max by ({by}) ({name}{{{OF}}})"),
    }
}

/// Grafana's word for the unit.
fn unit_of(family: &MetricFamily) -> &'static str {
    let name = family.name.trim_end_matches("_total");
    match family.kind {
        // Seconds that all messages wait in a second: so many wait.
        MetricKind::Counter if name.ends_with("_wait_seconds") => "short",
        // Seconds of work in a second.
        MetricKind::Counter if name.ends_with("_seconds") => "percentunit",
        MetricKind::Counter => "cps",
        _ if name.ends_with("_seconds") => "s",
        _ if name.ends_with("_bytes") => "bytes",
        _ => "short",
    }
}

/// Selects the instances that were chosen.
const OF: &str = "instance=~\"$instance\"";
/// Of Grafana's grid.
const WIDTH: usize = 24;
const COLUMNS: usize = 3;
const HEIGHT: usize = 8;

/// Titles of rows, and the beginnings of the names of families that stand there.
const ROWS: &[(&str, &[&str])] = &[
    ("Clients", &["dispatcher_", "tls_handshakes", "auth_"]),
    ("Queue and spool", &["queue_", "spool_", "defragment_"]),
    ("Channels", &["channel_", "job_", "pool_", "hosts_", "stressed_"]),
    (
        "Deliveries",
        &[
            "delivery_",
            "reply_",
            "client_",
            "folders_",
            "notices_",
            "tls_client_",
            "tls_web_",
            "sts_",
        ],
    ),
    ("Store", &["store_", "autoreplies_", "sieve_"]),
    ("Directory and filters", &["directory_", "milter_", "conversion_"]),
    ("Events", &["events", "webhook_"]),
    ("Operators", &["standing_", "history_", "log_"]),
    ("Engine", &[""]),
];

const OVERVIEW: &[OverviewPanel] = &[
    OverviewPanel {
        title: "Not ready",
        unit: "bool_yes_no",
        queries: &[("max by (instance, cause) (relais_not_ready{$of})", "{{instance}} {{cause}}")],
    },
    OverviewPanel {
        title: "Messages into the queue",
        unit: "cps",
        queries: &[(
            "sum by (instance, channel) (rate(relais_channel_messages_total{$of,event=\"received\"}[$__rate_interval]))",
            "{{instance}} {{channel}}",
        )],
    },
    OverviewPanel {
        title: "Recipients tried",
        unit: "cps",
        queries: &[(
            "sum by (instance, class) (rate(relais_delivery_results_total{$of}[$__rate_interval]))",
            "{{instance}} {{class}}",
        )],
    },
    OverviewPanel {
        title: "Queue by state",
        unit: "short",
        queries: &[(
            "sum by (instance, state) (relais_channel_queue_messages{$of})",
            "{{instance}} {{state}}",
        )],
    },
    OverviewPanel {
        title: "Age of the oldest message",
        unit: "s",
        queries: &[(
            "max by (instance, channel) (relais_channel_oldest_seconds{$of})",
            "{{instance}} {{channel}}",
        )],
    },
    OverviewPanel {
        title: "Time to delivery",
        unit: "s",
        queries: &[
            (
                "histogram_quantile(0.5, sum by (le, instance) (rate(relais_delivery_seconds_bucket{$of}[$__rate_interval])))",
                "{{instance}} half below",
            ),
            (
                "histogram_quantile(0.95, sum by (le, instance) (rate(relais_delivery_seconds_bucket{$of}[$__rate_interval])))",
                "{{instance}} 95 % below",
            ),
        ],
    },
    OverviewPanel {
        title: "Hosts in trouble",
        unit: "short",
        queries: &[
            (
                "sum by (instance) (relais_channel_hosts_suspended{$of})",
                "{{instance}} out of reach",
            ),
            ("sum by (instance) (relais_hosts_suspended{$of})", "{{instance}} suspended"),
            ("sum by (instance) (relais_hosts_limited{$of})", "{{instance}} at a limit"),
        ],
    },
    OverviewPanel {
        title: "Sessions of clients",
        unit: "short",
        queries: &[(
            "sum by (instance, service) (relais_dispatcher_connections{$of})",
            "{{instance}} {{service}}",
        )],
    },
    OverviewPanel {
        title: "Room on the disks",
        unit: "bytes",
        queries: &[
            ("max by (instance) (relais_spool_free_bytes{$of})", "{{instance}} spool"),
            ("max by (instance) (relais_store_free_bytes{$of})", "{{instance}} store"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use relais_actors::metrics::Metrics;

    use super::*;
    use crate::prometheus::expression::Asked;

    fn family(name: &str, kind: MetricKind, labels: &[&str]) -> MetricFamily {
        MetricFamily {
            name: name.to_owned(),
            kind,
            help: "Things".to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        }
    }

    /// The panels of a model, and those inside rows, without the rows.
    fn shown(model: &Value) -> Vec<&Value> {
        let outer = model["panels"].as_array().unwrap();
        let inner = outer.iter().filter_map(|its| its["panels"].as_array()).flatten();
        outer.iter().filter(|its| its["type"] != "row").chain(inner).collect()
    }

    #[test]
    fn a_panel_asks_for_its_family_as_its_type_wants() {
        let rows = [
            (
                family("relais_queue_stored", MetricKind::Gauge, &[]),
                "max by (instance) (relais_queue_stored{instance=~\"$instance\"})",
                "short",
            ),
            (
                family("relais_notices_total", MetricKind::Counter, &["result"]),
                "sum by (instance, result) (rate(relais_notices_total{instance=~\"$instance\"}[$__rate_interval]))",
                "cps",
            ),
            (
                family("relais_actor_busy_seconds_total", MetricKind::Counter, &["actor"]),
                "sum by (instance, actor) (rate(relais_actor_busy_seconds_total{instance=~\"$instance\"}[$__rate_interval]))",
                "percentunit",
            ),
            (
                family("relais_spool_commit_seconds", MetricKind::Histogram, &[]),
                "histogram_quantile(0.95, sum by (le, instance) (rate(relais_spool_commit_seconds_bucket{instance=~\"$instance\"}[$__rate_interval])))",
                "s",
            ),
            (
                family("relais_a_timestamp_seconds", MetricKind::Gauge, &["file"]),
                "max by (instance, file) (relais_a_timestamp_seconds{instance=~\"$instance\"}) - time()",
                "s",
            ),
        ];
        for (family, want, unit) in rows {
            assert_eq!(expr(&family), want);
            assert_eq!(unit_of(&family), unit);
        }
    }

    #[test]
    fn panels_ask_for_what_there_is_and_each_family_has_one() {
        let families = Metrics::families();
        let model = dashboard(&families);
        let panels = shown(&model);
        for panel in &panels {
            assert_eq!(panel["datasource"], source());
            let labels: BTreeSet<_> = legends(panel).collect();
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"], source());
                let expr = target["expr"].as_str().unwrap();
                assert_eq!(Asked::of(expr, &families).unknown, [""; 0], "{expr}");
                assert!(expr.contains(OF), "{expr}");
                let by = expr.split("by (").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
                let by: BTreeSet<_> = by.split(", ").filter(|label| *label != "le").collect();
                assert_eq!(by, labels, "{expr}");
            }
        }
        for family in &families {
            let its = panels.iter().filter(|panel| panel["title"] == family.name);
            assert_eq!(its.count(), 1, "{}", family.name);
        }
        assert_eq!(panels.len(), families.len() + OVERVIEW.len());
        assert!(!model.to_string().contains("://"), "it leads nowhere else");
    }

    /// The labels that the legends of a panel show.
    fn legends(panel: &Value) -> impl Iterator<Item = &str> {
        let legends = panel["targets"].as_array().unwrap().iter();
        let legends = legends.filter_map(|target| target["legendFormat"].as_str());
        legends
            .flat_map(|legend| legend.split("{{").skip(1))
            .filter_map(|its| its.split("}}").next())
    }

    #[test]
    fn no_two_panels_lie_on_each_other_and_every_id_is_used_once() {
        let model = dashboard(&Metrics::families());
        let outer = model["panels"].as_array().unwrap();
        let inner = outer.iter().filter_map(|its| its["panels"].as_array());
        let mut ids = BTreeSet::new();
        for panels in inner.chain([outer]) {
            let mut squares = BTreeSet::new();
            for panel in panels {
                assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
                let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
                for (x, y) in (0..side("w")).flat_map(|x| (0..side("h")).map(move |y| (x, y))) {
                    assert!(squares.insert((side("x") + x, side("y") + y)), "{panel}");
                }
                assert!(side("x") + side("w") <= 24, "{panel}");
            }
        }
        let rows = outer.iter().filter(|its| its["type"] == "row");
        let empty = rows.filter(|row| row["collapsed"] == true && row["panels"] == json!([]));
        assert_eq!(empty.count(), 0, "a row without families");
    }
}
