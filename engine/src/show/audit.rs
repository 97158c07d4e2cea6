//! Orders of operators for people.

use std::fmt::Write;

use serde_json::Value;

use super::{Colour, Look, Table};
use crate::api::{AuditEntry, AuditResult};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// A line for each order.
pub fn audit(entries: &[AuditEntry], look: Look) -> String {
    if entries.is_empty() {
        return "no orders\n".to_owned();
    }
    let mut table = Table::new(&["=TIME", "WHO", "RESULT", ">TOUCHED", "&ORDER"]);
    for AuditEntry { ordered, end } in entries {
        let result = end.as_ref().map_or("no end", |end| end.result.name());
        let touched = end.as_ref().and_then(|end| end.touched);
        let touched = touched.map_or_else(|| "-".to_owned(), |touched| touched.to_string());
        let mut order = format!("{}{}", ordered.command, words(&ordered.what));
        if !ordered.reason.is_empty() {
            let _ = write!(order, ": {}", ordered.reason);
        }
        if let Some(end) = end.as_ref().filter(|end| !end.text.is_empty()) {
            let _ = write!(order, " ({})", end.text);
        }
        table.row([&ordered.at, &ordered.who.name(), &result, &touched, &order]);
        if end.as_ref().is_none_or(|end| end.result != AuditResult::Done) {
            table.mark(2, Colour::Yellow);
        }
    }
    table.fit(look)
}

/// ` name=value` for each value.
fn words(what: &Value) -> String {
    let Value::Object(fields) = what else { return String::new() };
    let mut all = String::new();
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Object(_) => all += &words(value),
            Value::String(text) => drop(write!(all, " {name}={text}")),
            Value::Array(texts) => {
                let texts = texts.iter().filter_map(Value::as_str).collect::<Vec<_>>();
                let _ = write!(all, " {name}={}", texts.join(","));
            }
            other => drop(write!(all, " {name}={other}")),
        }
    }
    all
}
