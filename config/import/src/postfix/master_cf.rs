//! `master.cf`: services and what they say otherwise than `main.cf`.

use super::main_cf::logical;
use crate::{
    report::Findings,
    source::{Folder, ImportError, Line},
};

/// An entry of the file.
#[derive(Clone, Debug)]
pub(super) struct MasterService {
    pub(super) line: Line,
    pub(super) name: String,
    /// `inet`, `unix`, `unix-dgram`, `fifo`, `pass`.
    pub(super) kind: String,
    /// `smtpd`, `smtp`, `pipe`, ...
    pub(super) program: String,
    /// `maxproc`: its processes at most; `-` for as many as `default_process_limit` says.
    pub(super) most: String,
    pub(super) arguments: Vec<String>,
    /// `-o name=value`.
    pub(super) overrides: Vec<(String, String)>,
}

impl MasterService {
    pub(super) fn overridden(&self, name: &str) -> Option<&str> {
        let found = self.overrides.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The entries of the file; without one, those of `lmtp`, `smtp` and the like that every Postfix has.
pub(super) fn read(
    folder: &Folder,
    findings: &mut Findings,
) -> Result<Vec<MasterService>, ImportError> {
    let lines = match logical(folder, "master.cf")? {
        Some(lines) => lines,
        None => USUAL.iter().map(|text| Line::new("master.cf of Postfix", 0, text)).collect(),
    };
    let mut services = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.text.split_whitespace().collect();
        let [name, kind, _, _, _, _, most, program, rest @ ..] = words.as_slice() else {
            findings.missing(&line.place, &line.text, "no entry of a service");
            continue;
        };
        let (arguments, overrides) = options(rest);
        services.push(MasterService {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            program: (*program).to_owned(),
            most: (*most).to_owned(),
            arguments,
            overrides,
            line,
        });
    }
    Ok(services)
}

/// Arguments, and the settings among them.
fn options(words: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
    let (mut arguments, mut overrides) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let joined = word.strip_prefix("-o").filter(|rest| !rest.is_empty());
        if *word != "-o" && joined.is_none() {
            arguments.push((*word).to_owned());
            continue;
        }
        let mut setting = joined.or_else(|| words.next().copied()).unwrap_or_default().to_owned();
        // `{ name = value }` is one setting over several words.
        while setting.starts_with('{') && !setting.ends_with('}') {
            let Some(word) = words.next() else { break };
            setting = format!("{setting} {word}");
        }
        let setting = setting.trim_matches(['{', '}']);
        if let Some((name, value)) = setting.split_once('=') {
            overrides.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    (arguments, overrides)
}

const USUAL: [&str; 8] = [
    "smtp inet n - y - - smtpd",
    "smtp unix - - y - - smtp",
    "relay unix - - y - - smtp",
    "lmtp unix - - y - - lmtp",
    "local unix - n n - - local",
    "virtual unix - n n - - virtual",
    "error unix - - y - - error",
    "retry unix - - y - - error",
];
