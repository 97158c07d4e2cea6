//! The new file while it is written: sections, maps and lists, each entry with its comments.

use std::fmt::Write;

/// A value of the new file.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// As it stands: `true`, `12`, `Smtp`, `"text"`.
    Word(String),
    /// `(name: value, ...)`, with a name before it or without.
    Section(&'static str, Vec<Entry>),
    /// `{"key": value, ...}`.
    Map(Vec<Entry>),
    /// `[value, ...]`.
    List(Vec<Entry>),
}

/// A value with its name, and the lines above it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) comments: Vec<String>,
    pub(crate) name: String,
    pub(crate) value: Value,
    /// A line behind `//`: the entry is shown, and does not count.
    pub(crate) is_out: bool,
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Word(quoted(text))
    }

    pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::List(texts.into_iter().map(|text| Entry::new("", Self::text(text))).collect())
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Section(_, entries) | Self::Map(entries) | Self::List(entries) => {
                entries.is_empty()
            }
            Self::Word(_) => false,
        }
    }

    /// Text before the entries, the entries, and text behind them; a word is all before them.
    fn parts(&self) -> (String, &[Entry], &'static str) {
        match self {
            Self::Word(word) => (word.clone(), &[], ""),
            Self::Section(name, entries) => (format!("{name}("), entries, ")"),
            Self::Map(entries) => ("{".to_owned(), entries, "}"),
            Self::List(entries) => ("[".to_owned(), entries, "]"),
        }
    }

    /// On one line, if there is neither a comment in it nor too much.
    fn in_line(&self) -> Option<String> {
        let (mut text, entries, close) = self.parts();
        for (n, entry) in entries.iter().enumerate() {
            if !entry.comments.is_empty() || entry.is_out || text.len() > WIDTH {
                return None;
            }
            text += if n == 0 { "" } else { ", " };
            text += &entry.label(close == "}");
            text += &entry.value.in_line()?;
        }
        text.push_str(close);
        Some(text)
    }

    fn write(&self, depth: usize, out: &mut String) {
        if let Some(text) = self.in_line().filter(|text| text.len() + 4 * depth <= WIDTH) {
            return out.push_str(&text);
        }
        let (open, entries, close) = self.parts();
        out.push_str(&open);
        if entries.is_empty() {
            return out.push_str(close);
        }
        out.push('\n');
        for entry in entries {
            entry.write(depth + 1, close == "}", out);
        }
        let _ = write!(out, "{}{close}", "    ".repeat(depth));
    }
}

impl Entry {
    pub(crate) fn new(name: &str, value: Value) -> Self {
        Self { comments: Vec::new(), name: name.to_owned(), value, is_out: false }
    }

    pub(crate) fn word(name: &str, word: &str) -> Self {
        Self::new(name, Value::Word(word.to_owned()))
    }

    pub(crate) fn text(name: &str, text: &str) -> Self {
        Self::new(name, Value::text(text))
    }

    /// A pattern and its template: `("*.example.org", "$U%$H$D@tcp-daemon")`.
    pub(crate) fn pair(pattern: &str, template: &str) -> Self {
        Self::word("", &format!("({}, {})", quoted(pattern), quoted(template)))
    }

    pub(crate) fn said(mut self, comment: impl Into<String>) -> Self {
        self.comments.push(comment.into());
        self
    }

    pub(crate) fn said_all(mut self, comments: impl IntoIterator<Item = String>) -> Self {
        self.comments.extend(comments);
        self
    }

    pub(crate) fn out(mut self) -> Self {
        self.is_out = true;
        self
    }

    /// Its name and its value on one line.
    pub(crate) fn shown(&self) -> String {
        let value = self.value.in_line().unwrap_or_else(|| self.value.parts().0 + "...");
        format!("{}{value}", self.label(false))
    }

    fn label(&self, is_map: bool) -> String {
        match (self.name.is_empty(), is_map) {
            (true, _) => String::new(),
            (false, true) => format!("{}: ", quoted(&self.name)),
            (false, false) => format!("{}: ", self.name),
        }
    }

    fn write(&self, depth: usize, is_map: bool, out: &mut String) {
        let indent = "    ".repeat(depth);
        for comment in &self.comments {
            let _ = writeln!(out, "{indent}// {}", plain(comment));
        }
        let off = if self.is_out { "// " } else { "" };
        let _ = write!(out, "{indent}{off}{}", self.label(is_map));
        if self.is_out {
            out.push_str(&plain(&self.value.in_line().unwrap_or_default()));
        } else {
            self.value.write(depth, out);
        }
        out.push_str(",\n");
    }
}

/// The whole file; sections, maps and lists without entries are left out.
pub(crate) fn file(head: &[String], entries: &[Entry]) -> String {
    let mut text = String::new();
    for line in head {
        let _ = writeln!(text, "// {}", plain(line));
    }
    text.push_str("(\n");
    for entry in entries.iter().filter(|entry| !entry.value.is_empty()) {
        let is_word = matches!(entry.value, Value::Word(_));
        if !(text.ends_with("(\n") || is_word && entry.comments.is_empty()) {
            text.push('\n');
        }
        entry.write(1, false, &mut text);
    }
    text.push_str(")\n");
    text
}

/// A text of RON.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\t' => out.push_str("\\t"),
            c if relais_config::grammar::is_unprintable(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A line of a comment: no control character, no sign that turns the direction of writing, and no more
/// than can be read.
pub(crate) fn plain(text: &str) -> String {
    let shown = relais_config::grammar::escaped(text);
    let mut line: String = shown.chars().take(MAX_COMMENT).collect();
    if line.len() < shown.len() {
        line.push_str("...");
    }
    line
}

const WIDTH: usize = 100;
const MAX_COMMENT: usize = 400;
