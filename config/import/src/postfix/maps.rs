//! Tables that `main.cf` names: `hash:/etc/postfix/virtual` and its kin, from their texts.

use crate::{
    report::{Findings, Place},
    source::{Folder, ImportError, Line},
};

use super::main_cf::{logical, words};

/// A table by its type and name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct MapName {
    pub(super) kind: String,
    pub(super) name: String,
}

/// An entry of a table.
#[derive(Clone, Debug)]
pub(super) struct MapEntry {
    pub(super) line: Line,
    pub(super) key: String,
    pub(super) value: String,
}

/// How lines of a text are divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MapForm {
    /// `key value`.
    Plain,
    /// `key: value`.
    Aliases,
}

impl MapName {
    /// `type:name`; a name alone is a file or a word.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("proxy:").unwrap_or(text);
        let (kind, name) = text.split_once(':')?;
        Some(Self { kind: kind.to_owned(), name: name.to_owned() })
    }

    pub(super) fn is_text(&self) -> bool {
        ["hash", "btree", "texthash", "lmdb", "cdb", "dbm", "sdbm"].contains(&&*self.kind)
    }

    /// Whether its keys are expressions.
    pub(super) fn has_patterns(&self) -> bool {
        ["regexp", "pcre"].contains(&&*self.kind)
    }

    /// For a message about a setting.
    pub(super) fn of(&self, setting: &str) -> String {
        format!("{setting}: {}:{}", self.kind, self.name)
    }

    /// The entries of a text, whatever is meant by its keys.
    pub(super) fn text_entries(
        &self,
        folder: &Folder,
        told: (&Place, &str, &mut Findings),
    ) -> Result<Vec<MapEntry>, ImportError> {
        let text = Self { kind: "texthash".to_owned(), name: self.name.clone() };
        text.entries(folder, MapForm::Plain, told)
    }

    /// The entries of a table that is a text, or stands in the setting itself; of another one nothing,
    /// and that is told.
    pub(super) fn entries(
        &self,
        folder: &Folder,
        form: MapForm,
        (place, setting, findings): (&Place, &str, &mut Findings),
    ) -> Result<Vec<MapEntry>, ImportError> {
        // No postalias makes it: its lines are as those of any table.
        let form = if self.kind == "texthash" { MapForm::Plain } else { form };
        let of = self.of(setting);
        if self.kind == "inline" {
            return Ok(self.inline(place));
        }
        if !self.is_text() {
            findings.missing(place, &of, other(&self.kind));
            return Ok(Vec::new());
        }
        let name = local_name(folder, &self.name);
        let Some(lines) = logical(folder, &name)? else {
            let has_db =
                ["db", "lmdb", "cdb", "dir"].iter().any(|end| folder.has(&format!("{name}.{end}")));
            let why = if has_db {
                "its text is not there, and what postmap made of it is not read: postmap -s prints the text"
            } else {
                "the table is not there"
            };
            findings.missing(place, &of, why);
            return Ok(Vec::new());
        };
        let mut entries: Vec<MapEntry> = Vec::new();
        for line in lines {
            match divided(&line.text, form) {
                Some((key, value)) if entries.iter().len() < MAX_ENTRIES => {
                    entries.push(MapEntry { line, key, value });
                }
                Some(_) => {
                    let bound = format!("more than {MAX_ENTRIES} entries");
                    return Err(ImportError::Bound { place: name, bound });
                }
                None => findings.missing(&line.place, &line.text, "no key with a value"),
            }
        }
        Ok(entries)
    }

    /// `inline:{ key=value, { key = text with blanks } }`.
    fn inline(&self, place: &Place) -> Vec<MapEntry> {
        let name = self.name.trim();
        let inner = name.strip_prefix('{').and_then(|its| its.strip_suffix('}')).unwrap_or(name);
        let entry = |word: String| {
            let word = word.trim_matches(['{', '}']).trim();
            let (key, value) = word.split_once('=')?;
            let mut line = Line::new(&place.file, place.line, word);
            line.place = place.clone();
            let key = key.trim().to_lowercase();
            Some(MapEntry { line, key, value: value.trim().to_owned() })
        };
        words(inner).into_iter().filter_map(entry).collect()
    }
}

/// A file that lies in the folder that is read, whatever folder the setting has for it.
pub(super) fn local_name(folder: &Folder, name: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or(name);
    let is_configuration = name.starts_with("/etc/postfix/") || !name.starts_with('/');
    let has = |name: &str| {
        folder.has(name)
            || ["db", "lmdb", "cdb"].iter().any(|end| folder.has(&format!("{name}.{end}")))
    };
    if (is_configuration || !has(name)) && has(base) { base.to_owned() } else { name.to_owned() }
}

fn divided(text: &str, form: MapForm) -> Option<(String, String)> {
    let (key, value) = match form {
        MapForm::Plain => text.split_once(char::is_whitespace)?,
        MapForm::Aliases if text.starts_with('"') => {
            let (key, rest) = text[1..].split_once('"')?;
            (key, rest.trim_start().strip_prefix(':')?)
        }
        MapForm::Aliases => text.split_once(':')?,
    };
    let (key, value) = (key.trim().trim_matches('"').to_lowercase(), value.trim().to_owned());
    (!key.is_empty() && !value.is_empty()).then_some((key, value))
}

/// Why a table of this kind is not taken over.
fn other(kind: &str) -> &'static str {
    match kind {
        "pcre" | "regexp" => "no regular expression is asked here",
        "cidr" => "networks belong into the mappings INTERNAL_IP and PORT_ACCESS",
        "ldap" => "the directory of relais is asked about all addresses: directory: Ldap(...)",
        "mysql" | "pgsql" | "sqlite" | "memcache" | "tcp" | "socketmap" => {
            "no such table is asked: write it as a text, or into the directory"
        }
        "static" => "one answer for all keys is a rule here: `.` and `*`",
        "nis" => "no such table is asked; NIS accounts are known by NSS",
        "unix" => "accounts of the system are known by NSS",
        _ => "no such table is asked",
    }
}

const MAX_ENTRIES: usize = 200_000;
