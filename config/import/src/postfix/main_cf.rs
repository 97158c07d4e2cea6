//! `main.cf`: parameters, and what `$name` in them stands for.

use std::collections::{BTreeMap, BTreeSet};

use super::defaults;
use crate::{
    report::{Fate, Findings},
    source::{Folder, ImportError, Line},
};

/// A parameter as it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) value: String,
    pub(super) line: Line,
}

/// All parameters of a file; of one that is there twice the last.
#[derive(Clone, Debug, Default)]
pub(super) struct MainCf {
    pub(super) own: BTreeMap<String, Parameter>,
    /// Names that another parameter asks for.
    pub(super) asked: BTreeSet<String>,
    folder: String,
}

/// Logical lines: a line that begins with white space goes on with the one before it.
pub(super) fn logical(folder: &Folder, name: &str) -> Result<Option<Vec<Line>>, ImportError> {
    let Some(text) = folder.read(name)? else { return Ok(None) };
    let mut lines: Vec<Line> = Vec::new();
    for (n, text) in text.lines().enumerate() {
        let text = text.trim_end();
        if text.trim_start().starts_with('#') || text.trim().is_empty() {
            continue;
        }
        match lines.last_mut().filter(|_| text.starts_with(char::is_whitespace)) {
            Some(line) => {
                line.go_on(" ")?;
                line.go_on(text.trim_start())?;
            }
            None => lines.push(Line::new(name, n + 1, text)),
        }
    }
    Ok(Some(lines))
}

impl MainCf {
    pub(super) fn read(folder: &Folder, findings: &mut Findings) -> Result<Self, ImportError> {
        let Some(lines) = logical(folder, "main.cf")? else {
            let (folder, file) = (folder.root().display().to_string(), "main.cf".to_owned());
            return Err(ImportError::Absent { folder, file });
        };
        let place = folder.root().display().to_string();
        let mut its = Self { folder: place, ..Self::default() };
        for line in lines {
            let Some((name, value)) = line.text.split_once('=') else {
                findings.missing(&line.place, &line.text, "no `name = value`");
                continue;
            };
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            if let Some(before) = its.own.insert(name.clone(), Parameter { value, line }) {
                let why = "a later line of the file counts";
                findings.tell(&before.line.place, &name, Fate::NotNeeded, why);
            }
        }
        let names = |text: &str| {
            let parts = text.split('$').skip(1);
            let name = |part: &str| -> String {
                let part = part.trim_start_matches(['{', '(']);
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
            };
            parts.map(name).collect::<Vec<_>>()
        };
        its.asked = its.own.values().flat_map(|its| names(&its.value)).collect();
        Ok(its)
    }

    /// Whether the file says it.
    pub(super) fn line(&self, name: &str) -> Option<&Line> {
        self.own.get(name).map(|its| &its.line)
    }

    /// A value with all names expanded: of the file, else the default of Postfix 3.7.
    pub(super) fn get(&self, name: &str) -> String {
        self.expand(&format!("${{{name}}}"))
    }

    /// A text with all names expanded.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut left = MAX_STEPS;
        self.expanded(text, 0, &mut left)
    }

    /// The words of a value.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        words(&self.get(name))
    }

    fn raw(&self, name: &str) -> String {
        if name == "config_directory" {
            return self.folder.clone();
        }
        match self.own.get(name) {
            Some(own) => own.value.clone(),
            None if name == "mydomain" => {
                let host = self.raw("myhostname");
                host.split_once('.').map_or(host.clone(), |(_, domain)| domain.to_owned())
            }
            None => defaults::of(name).unwrap_or_default().to_owned(),
        }
    }

    fn expanded(&self, text: &str, depth: usize, left: &mut usize) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            *left = left.saturating_sub(1);
            if depth > MAX_DEPTH || *left == 0 || out.len() > MAX_TEXT {
                return out;
            }
            let inner;
            (inner, rest) = match rest.chars().next() {
                Some('$') => {
                    out.push('$');
                    rest = &rest[1..];
                    continue;
                }
                Some(open @ ('{' | '(')) => enclosed(rest, open),
                _ => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()))
                }
            };
            out.push_str(&self.reference(inner, depth, left));
        }
        out.push_str(rest);
        out
    }

    /// The text between `${` and `}` filled in: a name, `name?text`, `name:text`, `name?{text}:{text}` or a
    /// comparison `{a} == {b} ? {text} : {text}`.
    fn reference(&self, inner: &str, depth: usize, left: &mut usize) -> String {
        let inner = inner.trim();
        let (holds, value, rest) = if inner.starts_with('{') {
            let (a, rest) = enclosed(inner, '{');
            let rest = rest.trim_start();
            let end = rest.find(['{', ' ']).unwrap_or(rest.len());
            let level = rest.find("level").filter(|at| *at < 4).map_or(end, |at| at + 5);
            let (operator, rest) = rest.split_at(level);
            let (b, rest) = enclosed(rest.trim_start(), '{');
            let [a, b] = [a, b].map(|side| self.expanded(side, depth + 1, left));
            (compare(a.trim(), operator.trim(), b.trim()), String::new(), rest.trim_start())
        } else {
            let end = inner.find(['?', ':']).unwrap_or(inner.len());
            let (name, rest) = inner.split_at(end);
            let value = self.expanded(&self.raw(name.trim()), depth + 1, left);
            (!value.is_empty(), value, rest)
        };
        let text = |text: &str, left: &mut usize| {
            let text = text.trim();
            let text = if text.starts_with('{') { enclosed(text, '{').0 } else { text };
            self.expanded(text, depth + 1, left).trim().to_owned()
        };
        if let Some(rest) = rest.strip_prefix('?') {
            let rest = rest.trim_start();
            let (yes, no) = if rest.starts_with('{') {
                let (yes, behind) = enclosed(rest, '{');
                (yes, behind.trim_start().strip_prefix(':').unwrap_or_default())
            } else {
                (rest, "")
            };
            return if holds {
                self.expanded(yes, depth + 1, left).trim().to_owned()
            } else {
                text(no, left)
            };
        }
        match rest.strip_prefix(':') {
            Some(no) if !holds => text(no, left),
            _ => value,
        }
    }
}

/// The text within the bracket that a text begins with, and what stands behind it.
fn enclosed(text: &str, open: char) -> (&str, &str) {
    let close = if open == '{' { '}' } else { ')' };
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return (&text[1..at], &text[at + 1..]);
            }
        }
    }
    (text.get(1..).unwrap_or_default(), "")
}

/// A comparison of postconf(5): numbers as such where both are; levels are versions.
fn compare(a: &str, operator: &str, b: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        text.split('.').map(|part| part.parse().ok()).collect()
    };
    let order = match (numbers(a), numbers(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    };
    match operator.trim_end_matches("level") {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        _ => false,
    }
}

/// Words between commas and white space; what stands in braces is one.
pub(super) fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut depth) = (Vec::new(), String::new(), 0_usize);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == ',' || c.is_whitespace()) {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else {
            word.push(c);
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Names within names.
const MAX_DEPTH: usize = 30;
/// Names of one value, with those that they lead to.
const MAX_STEPS: usize = 10_000;
const MAX_TEXT: usize = 1 << 20;
