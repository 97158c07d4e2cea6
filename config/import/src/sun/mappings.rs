//! The file `mappings`: a name in the first column, entries behind white space.

use relais_config::MappingTable;

use super::flags;
use crate::{
    report::Findings,
    ron::{Entry, Value},
    source::Line,
};

/// A table of the source.
#[derive(Clone, Debug)]
pub(super) struct SunTable {
    pub(super) name: String,
    pub(super) head: Line,
    /// Pattern, template.
    pub(super) entries: Vec<(Line, String, String)>,
}

/// The tables of a file, and lines that are no part of one.
pub(super) fn tables(lines: &[Line]) -> (Vec<SunTable>, Vec<Line>) {
    let (mut tables, mut odd): (Vec<SunTable>, _) = (Vec::new(), Vec::new());
    for line in lines.iter().filter(|line| !line.text.trim().is_empty()) {
        let is_entry = line.text.starts_with(char::is_whitespace);
        if !is_entry {
            let name = line.text.trim().to_owned();
            tables.push(SunTable { name, head: line.clone(), entries: Vec::new() });
            continue;
        }
        let divided = divided(line.text.trim_start());
        match (tables.last_mut(), divided) {
            (Some(table), Some((pattern, template))) => {
                table.entries.push((line.clone(), pattern, template));
            }
            _ => odd.push(line.clone()),
        }
    }
    (tables, odd)
}

/// Pattern and template: the first blank that no `$` stands before divides them.
fn divided(text: &str) -> Option<(String, String)> {
    let mut is_quoted = false;
    let mut at = None;
    for (n, c) in text.char_indices() {
        match c {
            _ if is_quoted => is_quoted = false,
            '$' => is_quoted = true,
            c if c.is_whitespace() => {
                at = Some(n);
                break;
            }
            _ => {}
        }
    }
    let (pattern, template) = text.split_at(at.unwrap_or(text.len()));
    let template = template.trim();
    (!pattern.is_empty() && !template.is_empty()).then(|| (pattern.to_owned(), template.to_owned()))
}

/// The tables as the new file has them; entries of another language are shown and told of.
pub(super) fn entries(tables: &[SunTable], findings: &mut Findings) -> Vec<Entry> {
    let mut made: Vec<Entry> = Vec::new();
    for table in tables {
        findings.carried(&table.head.place, &table.name);
        if made.iter().any(|known| known.name.eq_ignore_ascii_case(&table.name)) {
            findings.missing(
                &table.head.place,
                &table.name,
                "there is a table of that name already",
            );
            continue;
        }
        let entries = table.entries.iter().map(|(line, pattern, template)| {
            let (template, told) = flags::heeded(&table.name, template);
            let entry = Entry::pair(pattern, &template).said(line.comment());
            match MappingTable::parse(vec![(pattern.clone(), template.clone())]) {
                Ok(_) => {
                    let of = format!("{}: {pattern}", table.name);
                    for (fate, why) in &told {
                        findings.tell(&line.place, &of, *fate, why);
                    }
                    if told.is_empty() {
                        findings.carried(&line.place, &of);
                    }
                    entry.said_all(told.into_iter().map(|(_, why)| why.to_owned()))
                }
                Err((_, error)) => {
                    let of = format!("{}: {pattern} {template}", table.name);
                    findings.missing(&line.place, &of, &format!("the entry is left out: {error}"));
                    entry.out()
                }
            }
        });
        let list = Value::List(entries.collect());
        made.push(Entry::new(&table.name, list).said(table.head.comment()));
    }
    made
}
