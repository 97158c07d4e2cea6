//! Tables in files: a key and a value in each line, as postmap(1) and postalias(1) read them, and as
//! the original's alias and database files are written. Held in memory as one text and a place for
//! each entry.
//!
//! A line that begins with white space goes on with the one before it, and so does one behind a `\`.
//! Lines that begin with `#` or `!`, and blank ones, are none. Keys are compared without case; of one
//! that is there twice the first is used.

use std::io::{self, BufRead};

use crate::grammar::table_key;

/// The way in which a line is divided into key and value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextForm {
    /// `key value`.
    Values,
    /// `key: value`, and `<file` for the entries of another file.
    Aliases,
}

/// The entries of a file: about as many octets as the file has, and four for each entry.
#[derive(Debug, Default)]
pub struct TextTable {
    /// A key, a line end, its value, a line end.
    text: Box<str>,
    /// Where entries begin, in the order of their keys.
    places: Box<[u32]>,
}

/// A table that is being read.
#[derive(Debug)]
pub struct TextTableReader {
    form: TextForm,
    text: String,
    places: Vec<u32>,
}

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
pub enum TextTableError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// A reason in words.
        problem: String,
    },
    /// All tables together are larger than a place can say.
    #[error("it is larger than {MAX_TEXT} octets")]
    TooLarge,
}

/// A line of a file, with those that go on with it.
struct Logical {
    /// Of its first one.
    line: usize,
    text: String,
}

impl TextTable {
    /// The value of a key, in any case.
    pub fn get(&self, key: &str) -> Option<&str> {
        let lower;
        let key = if key.bytes().any(|c| c.is_ascii_uppercase() || !c.is_ascii()) {
            lower = table_key(key);
            &lower
        } else {
            key
        };
        let found = self.places.binary_search_by(|place| key_at(&self.text, *place).cmp(key)).ok();
        found.map(|at| entry_at(&self.text, self.places[at]).1)
    }

    /// Every key and value, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.places.iter().map(|place| entry_at(&self.text, *place))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Octets that it takes in memory.
    pub fn octets(&self) -> usize {
        self.text.len() + size_of_val(&*self.places)
    }
}

impl TextTableReader {
    /// A table of this form, with room for so many octets of text.
    pub fn new(form: TextForm, octets: usize) -> Self {
        let text = String::with_capacity(octets.min(MAX_TEXT));
        Self { form, text, places: Vec::new() }
    }

    /// Reads the lines of one file. `check` has a word about each entry; `included` takes the name of
    /// each file whose entries belong here, too.
    pub fn read(
        &mut self,
        input: impl BufRead,
        check: &mut dyn FnMut(&str, &str) -> Result<(), String>,
        included: &mut Vec<String>,
    ) -> Result<(), TextTableError> {
        let form = self.form;
        let mut take = |Logical { line, text }: Logical| {
            let wrong = |problem: String| TextTableError::Line { line, problem };
            if form == TextForm::Aliases
                && let Some(file) = text.strip_prefix('<')
            {
                included.push(file.trim().to_owned());
                return Ok(());
            }
            let (key, value) = divided(&text, form).map_err(wrong)?;
            check(&key, value).map_err(wrong)?;
            self.push(&key, value)
        };
        each_logical(input, &mut take)
    }

    /// All that was read, and a key that is there twice.
    pub fn finish(self) -> (TextTable, Option<String>) {
        let Self { text, mut places, .. } = self;
        // Of one key the first comes first.
        places.sort_unstable_by(|a, b| (key_at(&text, *a), a).cmp(&(key_at(&text, *b), b)));
        let mut twice = None;
        places.dedup_by(|later, first| {
            let same = key_at(&text, *later) == key_at(&text, *first);
            if same && twice.is_none() {
                twice = Some(key_at(&text, *first).to_owned());
            }
            same
        });
        let (text, places) = (text.into_boxed_str(), places.into_boxed_slice());
        (TextTable { text, places }, twice)
    }

    fn push(&mut self, key: &str, value: &str) -> Result<(), TextTableError> {
        let place = self.text.len();
        if place + key.len() + value.len() + 2 > MAX_TEXT {
            return Err(TextTableError::TooLarge);
        }
        self.places.push(u32::try_from(place).map_err(|_| TextTableError::TooLarge)?);
        for part in [key, "\n", value, "\n"] {
            self.text.push_str(part);
        }
        Ok(())
    }
}

/// Hands out each line with those that go on with it.
fn each_logical(
    mut input: impl BufRead,
    take: &mut dyn FnMut(Logical) -> Result<(), TextTableError>,
) -> Result<(), TextTableError> {
    let (mut number, mut octets) = (0, Vec::new());
    let mut open: Option<Logical> = None;
    let mut is_unfinished = false;
    loop {
        octets.clear();
        let mut limited = io::Read::take(&mut input, MAX_LINE as u64 + 1);
        let read = limited.read_until(b'\n', &mut octets)?;
        number += 1;
        let wrong = |problem: &str| TextTableError::Line { line: number, problem: problem.into() };
        if read > MAX_LINE {
            return Err(wrong("the line is too long"));
        }
        let text = std::str::from_utf8(&octets).map_err(|_| wrong("it is not UTF-8"))?;
        let (line, text) = (text.trim_end(), text.trim());
        let is_comment = text.starts_with('#') || line.starts_with('!');
        if read == 0 {
            return open.map_or(Ok(()), take);
        }
        if text.is_empty() || is_comment {
            is_unfinished = false;
            continue;
        }
        let goes_on = is_unfinished || line.starts_with(char::is_whitespace);
        is_unfinished = text.ends_with('\\');
        let text = text.strip_suffix('\\').unwrap_or(text).trim_end();
        match &mut open {
            Some(open) if goes_on => {
                if open.text.len() + text.len() >= MAX_LINE {
                    return Err(wrong("the entry is too long"));
                }
                open.text.push(' ');
                open.text.push_str(text);
            }
            None if goes_on => {
                return Err(wrong("it begins with white space and no entry is open"));
            }
            _ => {
                let next = Logical { line: number, text: text.to_owned() };
                if let Some(whole) = open.replace(next) {
                    take(whole)?;
                }
            }
        }
    }
}

/// The key of a line, in lower case, and its value.
fn divided(text: &str, form: TextForm) -> Result<(String, &str), String> {
    let separator = |c: char| match form {
        TextForm::Values => c.is_whitespace(),
        TextForm::Aliases => c == ':',
    };
    let mut is_quoted = false;
    let end = text.find(|c: char| {
        is_quoted ^= c == '"';
        !is_quoted && separator(c)
    });
    let (key, value) = end.map_or((text, ""), |at| text.split_at(at));
    let value = value.trim_start_matches(|c: char| c.is_whitespace());
    let (key, value) = match form {
        TextForm::Values => (key, value),
        // A name may stand in quotes; an address keeps those of its local part.
        TextForm::Aliases => (unquoted(key.trim()), value.strip_prefix(':').unwrap_or("").trim()),
    };
    if key.is_empty() || value.is_empty() {
        let expected = match form {
            TextForm::Values => "a key, a blank and a value are expected",
            TextForm::Aliases => "a name, a colon and addresses are expected",
        };
        return Err(expected.to_owned());
    }
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err("it holds a control character".to_owned());
    }
    Ok((table_key(key), value))
}

/// The addresses of a list as alias files and virtual(5) have them: between commas or blanks; one in
/// angle brackets stands for its whole part of the list, and what is in parentheses is a comment.
pub fn addresses(list: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in split_outside_quotes(list, |c| c == ',') {
        let part = without_comments(part);
        let part = part.trim();
        let special = unquoted(part);
        if special.starts_with(['|', ':']) || special.starts_with('/') {
            found.push(special.to_owned());
            continue;
        }
        let inside = part.rfind('<').and_then(|at| part[at + 1..].strip_suffix('>'));
        match inside {
            Some(address) => found.push(address.trim().to_owned()),
            None => {
                found.extend(split_outside_quotes(part, char::is_whitespace).map(str::to_owned));
            }
        }
    }
    found.retain(|address| !address.is_empty());
    found
}

/// A text without the pair of quotes around all of it.
pub(super) fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('"')).unwrap_or(text)
}

pub(super) fn split_outside_quotes(
    text: &str,
    is_separator: impl Fn(char) -> bool,
) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c: char| {
        let escaped = std::mem::take(&mut is_escaped);
        is_escaped = is_quoted && !escaped && c == '\\';
        is_quoted ^= c == '"' && !escaped;
        !is_quoted && is_separator(c)
    })
}

fn without_comments(text: &str) -> String {
    let (mut depth, mut is_quoted) = (0_usize, false);
    let outside = |c: &char| {
        is_quoted ^= *c == '"' && depth == 0;
        match c {
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted && depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    text.chars().filter(outside).collect()
}

fn key_at(text: &str, place: u32) -> &str {
    entry_at(text, place).0
}

fn entry_at(text: &str, place: u32) -> (&str, &str) {
    let (key, rest) = text[place as usize..].split_once('\n').unwrap_or_default();
    (key, rest.split_once('\n').map_or(rest, |(value, _)| value))
}

/// Octets of an entry.
const MAX_LINE: usize = 1 << 20;
/// Octets of all entries of a table.
const MAX_TEXT: usize = 2 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: TextForm, text: &str) -> Result<(TextTable, Option<String>), String> {
        let mut reader = TextTableReader::new(form, text.len());
        let mut included = Vec::new();
        let refused = |key: &str, _: &str| if key == "bad" { Err("no".into()) } else { Ok(()) };
        reader
            .read(text.as_bytes(), &mut { refused }, &mut included)
            .map_err(|error| error.to_string())?;
        for file in included {
            reader.push("included", &file).map_err(|error| error.to_string())?;
        }
        Ok(reader.finish())
    }

    #[test]
    fn entries_are_found_by_their_keys() {
        let text = "# a comment\nB.example  lmtp:unix:/Sock\n\n.c\tx:y\n  # in between\n   more\n\
                    ! one of the original's\n\"a b\"@x  first\n\"a b\"@x  second\nlast key";
        let (table, twice) = read(TextForm::Values, text).unwrap();
        let all: Vec<_> = table.iter().collect();
        let want = [
            ("\"a b\"@x", "first"),
            (".c", "x:y more"),
            ("b.example", "lmtp:unix:/Sock"),
            ("last", "key"),
        ];
        assert_eq!(all, want);
        assert_eq!(twice.as_deref(), Some("\"a b\"@x"));
        for (key, value) in want {
            assert_eq!(table.get(&key.to_ascii_uppercase()), Some(value), "{key}");
        }
        assert_eq!((table.get("b"), table.get("z"), table.get("")), (None, None, None));
    }

    #[test]
    fn alias_files_of_both_kinds_are_read() {
        let text = "! the original's\nteam: joe@x,\\\n ann@x\n<more\n# Postfix's\n\"john doe\" : joe,\n\
                    \tann\nPipe: \"|/bin/cat -u\"\nu@d.example: z\n";
        let (table, twice) = read(TextForm::Aliases, text).unwrap();
        let want = [
            ("included", "more"),
            ("john doe", "joe, ann"),
            ("pipe", "\"|/bin/cat -u\""),
            ("team", "joe@x, ann@x"),
            ("u@d.example", "z"),
        ];
        assert_eq!(table.iter().collect::<Vec<_>>(), want);
        assert_eq!(twice, None);
        // A `\\` at the end of a comment joins nothing.
        let (table, _) = read(TextForm::Aliases, "# x \\\na: b").unwrap();
        assert_eq!(table.get("a"), Some("b"));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let rows = [
            ("a b\nc\n", "line 2: a key, a blank and a value are expected"),
            (" a b", "line 1: it begins with white space and no entry is open"),
            ("a b\nbad x\n", "line 2: no"),
            ("a b\nx y\u{7}\n", "line 2: it holds a control character"),
        ];
        for (text, want) in rows {
            assert_eq!(read(TextForm::Values, text).unwrap_err(), want, "{text}");
        }
        let long = format!("a b\nc {}\n", "x".repeat(MAX_LINE));
        assert_eq!(read(TextForm::Values, &long).unwrap_err(), "line 2: the line is too long");
        let many = format!("a b\n{}", format!(" {}\n", "x".repeat(1 << 19)).repeat(3));
        assert_eq!(read(TextForm::Values, &many).unwrap_err(), "line 3: the entry is too long");
        let no_name = "line 1: a name, a colon and addresses are expected";
        assert_eq!(read(TextForm::Aliases, ": x").unwrap_err(), no_name);
        assert_eq!(read(TextForm::Aliases, "x:").unwrap_err(), no_name);
    }

    #[test]
    fn lists_of_addresses() {
        let rows: [(&str, &[&str]); 8] = [
            ("a@x, b@y", &["a@x", "b@y"]),
            ("a@x b@y,,c", &["a@x", "b@y", "c"]),
            ("\"a, b\"@x, c", &["\"a, b\"@x", "c"]),
            ("Joe D <joe@x> (home), \\ann", &["joe@x", "\\ann"]),
            ("\"|/bin/cat -u, x\", /var/file", &["|/bin/cat -u, x", "/var/file"]),
            ("|/bin/cat -u", &["|/bin/cat -u"]),
            (":include:/a/b, \":include:/c d\"", &[":include:/a/b", ":include:/c d"]),
            (" , ", &[]),
        ];
        for (list, want) in rows {
            assert_eq!(addresses(list), want, "{list}");
        }
    }

    #[test]
    fn an_entry_takes_little_more_than_its_text() {
        let line = |n| format!("user{n}@domain{}.example mailbox{n}@store.example\n", n % 100);
        let text = (0..10_000).map(line).collect::<Vec<_>>().concat();
        let (table, _) = read(TextForm::Values, &text).unwrap();
        assert_eq!(table.len(), 10_000);
        assert!(table.octets() <= text.len() + 5 * table.len());
        assert_eq!(table.get("user77@domain77.example"), Some("mailbox77@store.example"));
    }
}
