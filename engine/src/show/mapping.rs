//! A probe of a mapping table.

use relais_actors::events::Printable;

use super::Look;
use crate::api::MappingExplained;

/// `relais mapping`.
pub fn mapping(explained: &MappingExplained, look: Look) -> String {
    let mut page = String::new();
    let MappingExplained { table, matched, flags, text, entry, steps, asked, .. } = explained;
    let name = |depth: usize, step: &str| format!("{}{step}", "  ".repeat(depth));
    let widest = steps.iter().map(|step| name(step.depth, &step.step).chars().count()).max();
    let widest = widest.unwrap_or(0);
    for step in steps {
        let (name, detail) = (name(step.depth, &step.step), Printable(&step.detail));
        page += &look.fit_beside(&format!("{name:widest$}  "), &detail.to_string());
    }
    page.push('\n');
    let result = match entry.filter(|_| *matched) {
        Some(entry) => {
            let flags = if flags.is_empty() { "no flag" } else { flags };
            format!("{table}, entry {entry}: {flags}, {:?}", Printable(text).to_string())
        }
        None => format!("{table}: no entry applies"),
    };
    page + &look.fit(&format!("{result}\nasked: {}\n", Printable(asked)))
}
