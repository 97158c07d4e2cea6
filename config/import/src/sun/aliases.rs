//! The file `aliases`: left as it stands where relais reads it so, else written anew.

use relais_config::{
    alias_list::{self, AliasList},
    text_table::{TextForm, TextTableReader, addresses},
};

use super::cnf;
use crate::{
    report::{Findings, Place},
    ron::{Entry, Value},
    source::{Folder, ImportError, Line},
};

/// The setting for the file; none where there is none.
pub(super) fn entry(folder: &Folder, findings: &mut Findings) -> Option<Entry> {
    let lines = match cnf::lines(folder, FILE) {
        Ok(lines) => lines?,
        Err(ImportError::Bound { place, bound }) => {
            let why = format!("the file is left out, to be mended by hand: {bound}");
            findings.missing(&Place::of_file(&place), "the file", &why);
            return None;
        }
        Err(error) => {
            let why = format!("the file is left out: {error}");
            findings.missing(&Place::of_file(FILE), "the file", &why);
            return None;
        }
    };
    let aliases: Vec<_> = joined(lines).into_iter().map(|line| Alias::of(line, folder)).collect();
    for alias in &aliases {
        if let Some(file) = alias.absent_list(folder) {
            let why = format!("the file {file} is not there: mail to the list waits for it (451)");
            findings.missing(&alias.line.place, &alias.line.text, &why);
        }
    }
    let stands = folder.read(FILE).is_ok_and(|text| !text.is_some_and(|its| is_logical(&its)))
        && aliases.iter().all(|alias| alias.made.is_ok() && !is_logical(&alias.line.text));
    if stands {
        let path = std::path::absolute(folder.path(FILE)).unwrap_or_else(|_| folder.path(FILE));
        findings.carried(&Place::of_file(FILE), "the file");
        let fields = vec![Entry::text("file", &path.display().to_string())];
        let entry = Entry::new("aliases", Value::Section("", fields));
        return Some(entry.said("aliases, as it stands"));
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for Alias { line, made } in aliases {
        match made {
            Ok((name, _)) if !known.insert(name.clone()) => {
                findings.missing(&line.place, &line.text, "the name is there already");
            }
            Ok((name, targets)) => {
                findings.carried(&line.place, &line.text);
                let targets = Value::texts(targets.iter().map(String::as_str));
                entries.push(Entry::new(&name, targets).said(line.comment()));
            }
            Err(why) => {
                findings.missing(&line.place, &line.text, &format!("the alias is left out: {why}"));
            }
        }
    }
    Some(Entry::new("aliases", Value::Map(entries)))
}

/// A line, and what it says: a name and its targets.
struct Alias {
    line: Line,
    made: Result<(String, Vec<String>), String>,
}

impl Alias {
    fn of(line: Line, folder: &Folder) -> Self {
        let made = Self::made(&line.text, folder);
        Self { line, made }
    }

    fn made(text: &str, folder: &Folder) -> Result<(String, Vec<String>), String> {
        let text = resolved(text, folder);
        if is_logical(&text) {
            return Err("it names a file below a folder that is not known here".to_owned());
        }
        let mut reader = TextTableReader::new(TextForm::Aliases, text.len());
        let mut included = Vec::new();
        reader
            .read(text.as_bytes(), &mut |_, _| Ok(()), &mut included)
            .map_err(|error| error.to_string())?;
        let (table, _) = reader.finish();
        let (name, value) = table.iter().next().ok_or("a name and addresses are expected")?;
        let is_list = value.starts_with('<') || value.contains('[');
        let targets = if is_list {
            let parts = alias_list::parts(value).map_err(|error| error.to_string())?;
            let parts: Vec<_> = parts.into_iter().map(str::trim).collect();
            AliasList::of(&parts).map_err(|error| error.to_string())?;
            parts.into_iter().map(without_quotes).collect()
        } else {
            addresses(value)
        };
        Ok((name.to_owned(), targets))
    }

    /// The file of a list, where it is not there.
    fn absent_list(&self, folder: &Folder) -> Option<String> {
        let (_, targets) = self.made.as_ref().ok()?;
        let first = targets.first()?;
        let file = first.strip_prefix('<').or_else(|| first.strip_prefix(":include:"))?;
        let is_file = !file.contains('>') && !file.to_ascii_lowercase().starts_with("ldap:");
        (is_file && !folder.has(file)).then(|| file.to_owned())
    }
}

/// A list's file with quotes around its name.
fn without_quotes(part: &str) -> String {
    let inner = part.strip_prefix("<\"").and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| part.to_owned(), |file| format!("<{file}"))
}

/// Lines that begin with a blank belong to those before them; comments behind `#` to none.
fn joined(lines: Vec<Line>) -> Vec<Line> {
    let mut whole: Vec<Line> = Vec::new();
    for line in lines {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match whole.last_mut() {
            Some(last) if line.text.starts_with(char::is_whitespace) => {
                // One that grows beyond its bound ends there, and is told of as what it then is.
                if last.go_on(&format!(" {text}")).is_err() {
                    whole.push(line);
                }
            }
            _ => whole.push(line),
        }
    }
    whole
}

/// With the folder in the place of its name in the original.
fn resolved(text: &str, folder: &Folder) -> String {
    let lower = text.to_ascii_lowercase();
    let path = std::path::absolute(folder.root()).unwrap_or_else(|_| folder.root().to_owned());
    let (mut out, mut done) = (String::new(), 0);
    for (at, name) in lower.match_indices(TABLE) {
        let end = at + name.len();
        if !text[end..].starts_with([':', '/']) {
            continue;
        }
        out.push_str(&text[done..at]);
        out.push_str(&path.display().to_string());
        out.push('/');
        done = end + 1;
    }
    out.push_str(&text[done..]);
    out
}

/// Whether a name of the original's for a folder stands in it.
fn is_logical(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut found = lower.match_indices("imta_");
    found.any(|(at, name)| {
        let rest = &lower[at + name.len()..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        end > 0 && rest[end..].starts_with([':', '/'])
    })
}

const FILE: &str = "aliases";
const TABLE: &str = "imta_table";
