//! The settings in which two configurations differ, by their names.

use std::collections::BTreeSet;

use relais_config::Config;
use serde_json::Value;

/// At most [`MOST`] names such as `channels["tcp_local"].maxjobs`, in order.
pub(super) fn between(one: &Config, other: &Config) -> Vec<String> {
    let value = |config: &Config| serde_json::to_value(config.whole()).unwrap_or_default();
    let mut found = BTreeSet::new();
    compare("", &value(one), &value(other), &mut found);
    found.into_iter().take(MOST).collect()
}

fn compare(path: &str, one: &Value, other: &Value, found: &mut BTreeSet<String>) {
    if one == other || found.len() > MOST {
        return;
    }
    match (one, other) {
        (Value::Object(_), Value::Object(_)) => {
            let names = keys(one).chain(keys(other)).collect::<BTreeSet<_>>();
            for name in names {
                compare(&below(path, name), &one[name], &other[name], found);
            }
        }
        // A list whose members have names: channels.
        (Value::Array(ones), Value::Array(others)) if named(ones) && named(others) => {
            let names: BTreeSet<_> = ones.iter().chain(others).filter_map(name).collect();
            let of = |list: &[Value], wanted: &str| {
                list.iter().find(|it| name(it) == Some(wanted)).cloned().unwrap_or_default()
            };
            for name in names {
                compare(&format!("{path}[{name:?}]"), &of(ones, name), &of(others, name), found);
            }
            if found.is_empty() {
                found.insert(path.to_owned());
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str())
}

fn named(list: &[Value]) -> bool {
    list.iter().all(|it| name(it).is_some())
}

fn name(value: &Value) -> Option<&str> {
    value.get("name")?.as_str()
}

/// A field is written behind a dot, a key of a map in brackets.
fn below(path: &str, name: &str) -> String {
    let is_field = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    match (path.is_empty(), is_field) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (false, false) => format!("{path}[{name:?}]"),
    }
}

/// Names that are told at once.
const MOST: usize = 200;

#[cfg(test)]
mod tests {
    use relais_config::STANDALONE;

    use super::*;

    #[test]
    fn what_differs_goes_by_its_name() {
        let parse = |text: &str| Config::parse("f", text).unwrap_or_else(|it| panic!("{it}")).0;
        let one = parse(STANDALONE);
        assert!(between(&one, &one).is_empty());
        // from, to, names
        let rows: [(&str, &str, &[&str]); 5] = [
            ("maxjobs: 7", "maxjobs: 8", &[r#"channels["tcp_lmtpcs"].maxjobs"#]),
            (
                "services: {",
                "max_life_conns: 9, services: {",
                &[
                    r#"dispatcher.services["LMTPSS"].max_life_conns"#,
                    r#"dispatcher.services["SMTP"].max_life_conns"#,
                ],
            ),
            // Others do something now: they have not changed.
            (
                "program: Smtp),",
                "program: Smtp, tlsswitchchannel: \"tcp_local\", switchchannel: Switch),",
                &[
                    r#"channels["tcp_local"].switchchannel"#,
                    r#"channels["tcp_local"].tlsswitchchannel"#,
                ],
            ),
            ("host: \"", "max_received_lines: 7, host: \"", &["max_received_lines"]),
            (
                "rewrite_rules: [",
                "rewrite_rules: [(\"x.test\", \"$U@x.test@lmtpcs-daemon\"), ",
                &["rewrite_rules"],
            ),
        ];
        for (from, to, names) in rows {
            let other = parse(&STANDALONE.replacen(from, to, 1));
            assert_eq!(between(&one, &other), names, "{to}");
        }
    }
}
