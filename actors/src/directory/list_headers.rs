//! Changes that a list makes to its mail: lines of the header that it gets or loses (`mgrpAddHeader`,
//! `mgrpRemoveHeader`, and what aliases with parameters say), texts before and behind what it says
//! (`mgrpMsgPrefixText`, `mgrpMsgSuffixText`), and the password that nobody else is to read.
//!
//! A line is one field of printable ASCII. Fields that say how the content is made, where a message
//! has been and who signed it are no list's to change.

use super::{allowance::IgnoredValue, entry::Entry};

/// The changes to a list's mail.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ListHeaders {
    /// Lines, without their ends.
    pub added: Vec<Box<str>>,
    /// Names of fields, in lower case.
    pub removed: Vec<Box<str>>,
    /// Lines that take the place of the message's own fields of these names, whatever is signed: of two
    /// a reader might go by the other one.
    pub replaced: Vec<Box<str>>,
    /// Lines for messages that have no field of these names.
    pub completed: Vec<Box<str>>,
    /// Lines with their ends in front of the first text.
    pub prefix: Box<str>,
    /// The same behind it.
    pub suffix: Box<str>,
    /// The field with the password goes, whoever has signed it.
    pub hides_password: bool,
    /// Changes that a user's script makes, one after the other, whatever is signed.
    pub edits: Vec<FieldEdit>,
}

/// A change of a header (RFC 5293). Each works on what those before it left.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum FieldEdit {
    /// A field, in front of all others or behind them.
    Add {
        /// Its name, a colon, its text; without its end.
        line: Box<str>,
        /// Behind all others.
        is_last: bool,
    },
    /// A field goes.
    Delete {
        /// Its name.
        name: Box<str>,
        /// Its number among the fields of this name, from 1.
        nth: usize,
    },
}

impl ListHeaders {
    /// Of a list's entry; values that make no sense are put behind `ignored`.
    pub fn of(entry: &Entry, ignored: &mut Vec<IgnoredValue>) -> Self {
        let mut headers = Self::default();
        for value in entry.all("mgrpaddheader") {
            match list_line(value).filter(|_| headers.added.len() < MOST) {
                Some(line) => headers.added.push(line),
                None => ignored.push(IgnoredValue::new("mgrpAddHeader", value, LINE)),
            }
        }
        for value in entry.all("mgrpremoveheader") {
            let name = value.trim().trim_end_matches(':').trim_end().to_ascii_lowercase();
            if is_lists_own(&name) && headers.removed.len() < MOST {
                headers.removed.push(name.into());
            } else {
                ignored.push(IgnoredValue::new("mgrpRemoveHeader", value, NAME));
            }
        }
        let mut room = MOST_TEXT;
        headers.prefix = text(entry, "mgrpMsgPrefixText", &mut room, ignored);
        headers.suffix = text(entry, "mgrpMsgSuffixText", &mut room, ignored);
        headers
    }

    /// Whether the content is changed, too.
    pub fn has_text(&self) -> bool {
        !(self.prefix.is_empty() && self.suffix.is_empty())
    }

    /// The same without the password.
    #[must_use]
    pub fn hiding_password(&self) -> Self {
        Self { hides_password: true, ..self.clone() }
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        let Self { added, removed, replaced, completed, hides_password, edits, .. } = self;
        let no_lines = [added, removed, replaced, completed].iter().all(|lines| lines.is_empty());
        no_lines && !self.has_text() && !hides_password && edits.is_empty()
    }

    /// These, and those of a list that is a member of this one.
    #[must_use]
    pub fn and(&self, inner: &Self) -> Self {
        let both = |outer: &[Box<str>], inner: &[Box<str>]| {
            let new = inner.iter().filter(|value| !outer.contains(value));
            outer.iter().chain(new).take(2 * MOST).cloned().collect()
        };
        // Of two lines of one name the inner list's is nearer to its members.
        let nearer = |outer: &[Box<str>], inner: &[Box<str>]| -> Vec<Box<str>> {
            let names: Vec<_> = inner.iter().map(|line| field_name(line)).collect();
            let left = outer.iter().filter(|line| !names.contains(&field_name(line)));
            left.chain(inner).take(2 * MOST).cloned().collect()
        };
        Self {
            added: both(&self.added, &inner.added),
            removed: both(&self.removed, &inner.removed),
            replaced: nearer(&self.replaced, &inner.replaced),
            completed: nearer(&self.completed, &inner.completed),
            prefix: joined(&self.prefix, &inner.prefix).unwrap_or_else(|| self.prefix.clone()),
            suffix: joined(&inner.suffix, &self.suffix).unwrap_or_else(|| self.suffix.clone()),
            hides_password: self.hides_password || inner.hides_password,
            edits: self.edits.iter().chain(&inner.edits).cloned().collect(),
        }
    }

    /// Names of the fields that lines take the place of, in lower case.
    pub fn replaced_names(&self) -> Vec<Box<str>> {
        self.replaced.iter().map(|line| field_name(line)).collect()
    }
}

/// Two texts; nothing: together they are too long.
fn joined(first: &str, second: &str) -> Option<Box<str>> {
    (first.len() + second.len() <= 2 * MOST_TEXT).then(|| format!("{first}{second}").into())
}

/// The lines of all values of an attribute.
fn text(
    entry: &Entry,
    attribute: &'static str,
    room: &mut usize,
    ignored: &mut Vec<IgnoredValue>,
) -> Box<str> {
    let mut text = String::new();
    for value in entry.all(&attribute.to_ascii_lowercase()) {
        let lines = || value.trim_end().lines().map(str::trim_end);
        let is_text = |line: &str| {
            line.len() <= LONGEST && !line.chars().any(|c| c.is_control() && c != '\t')
        };
        let length = lines().map(|line| line.len() + b"\r\n".len()).sum();
        match room.checked_sub(length) {
            Some(left) if lines().all(is_text) => {
                *room = left;
                lines().for_each(|line| text.extend([line, "\r\n"]));
            }
            _ => ignored.push(IgnoredValue::new(attribute, value, TEXT)),
        }
    }
    text.into()
}

/// The name of the field that a line is, in lower case.
pub fn field_name(line: &str) -> Box<str> {
    let name = line.split(':').next().unwrap_or_default();
    name.trim_end().to_ascii_lowercase().into()
}

/// One field that a list may have: a name, a colon and a text.
pub(crate) fn list_line(value: &str) -> Option<Box<str>> {
    let (name, text) = value.split_once(':')?;
    let is_text = text.bytes().all(|c| (b' '..=b'~').contains(&c)) && !text.trim().is_empty();
    let is_line = is_text && value.len() <= LONGEST && is_lists_own(&name.to_ascii_lowercase());
    is_line.then(|| format!("{name}: {}", text.trim()).into())
}

/// Whether a list may have a say about the fields of this name, in lower case.
pub(crate) fn is_lists_own(name: &str) -> bool {
    let is_name =
        (1..=76).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic() && c != b':');
    is_name && !KEPT.contains(&name) && !name.starts_with("content-")
}

const KEPT: [&str; 8] = [
    "received",
    "return-path",
    "delivered-to",
    "mime-version",
    "dkim-signature",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
];
/// Values of one attribute that count.
const MOST: usize = 20;
/// Octets of a line (RFC 5322 section 2.1.1).
const LONGEST: usize = 900;
/// Octets of the texts of a list.
const MOST_TEXT: usize = 4 << 10;
const TEXT: &str =
    "lines of text of at most 900 octets, 4096 in all of mgrpMsgPrefixText and mgrpMsgSuffixText";
const LINE: &str = "a field such as \"List-Id: <team.example.org>\", of printable ASCII";
const NAME: &str = "the name of a field that a list may take away";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_of_a_lists_own_are_taken() {
        let rows = [
            ("List-Id: <team.example.org>", Some("List-Id: <team.example.org>")),
            ("X-A:b", Some("X-A: b")),
            ("X-A:  ", None),
            ("no colon", None),
            ("X A: b", None),
            ("X-A: b\r\nBcc: c@d", None),
            ("X-A: b\nc", None),
            ("X-A: caf\u{e9}", None),
            ("Received: from a", None),
            ("content-type: text/html", None),
            (": b", None),
        ];
        for (value, want) in rows {
            let mut entry = Entry::new("cn=x");
            entry.add("mgrpAddHeader", value);
            let mut ignored = Vec::new();
            let headers = ListHeaders::of(&entry, &mut ignored);
            assert_eq!(headers.added.first().map(|line| &**line), want, "{value:?}");
            assert_eq!(ignored.len(), usize::from(want.is_none()), "{value:?}");
        }
        let mut entry = Entry::new("cn=x");
        for name in ["Reply-To:", "x-spam", "Received", "a b", "MIME-Version"] {
            entry.add("mgrpRemoveHeader", name);
        }
        let mut ignored = Vec::new();
        let outer = ListHeaders::of(&entry, &mut ignored);
        assert_eq!(outer.removed, ["reply-to".into(), "x-spam".into()]);
        assert_eq!(ignored.len(), 3);
        let inner = ListHeaders {
            added: vec!["X-B: c".into()],
            removed: vec!["x-spam".into(), "x-c".into()],
            ..ListHeaders::default()
        };
        let both = outer.and(&inner);
        assert_eq!((both.added.len(), both.removed.len()), (1, 3));
        let of = |lines: &[&str]| ListHeaders {
            replaced: lines.iter().map(|line| (*line).into()).collect(),
            ..ListHeaders::default()
        };
        let both = of(&["Reply-To: a", "Errors-To: a"]).and(&of(&["reply-to: b"]));
        assert_eq!(both, of(&["Errors-To: a", "reply-to: b"]));
        assert_eq!(both.replaced_names(), ["errors-to".into(), "reply-to".into()]);
    }

    #[test]
    fn texts_are_lines_within_bounds() {
        type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a str, &'a str, usize);
        let long = "x".repeat(LONGEST + 1);
        let full = format!("{}\n", "x".repeat(98)).repeat(30);
        // values of both attributes, what they come to, values that are ignored
        let rows: [Row<'_>; 7] = [
            (&[], &[], "", "", 0),
            (&["a"], &["b \n\nc\r\n"], "a\r\n", "b\r\n\r\nc\r\n", 0),
            (&["a$b", "c"], &["\td\u{e9}"], "a$b\r\nc\r\n", "\td\u{e9}\r\n", 0),
            (&["a\u{0}b", "c"], &["\u{1b}[0m"], "c\r\n", "", 2),
            (&[&long], &[".\r.\r\n."], "", "", 2),
            (&[" "], &["\n"], "", "", 0),
            (&[&full], &[&full, "d"], &full.replace('\n', "\r\n"), "d\r\n", 1),
        ];
        for (prefix, suffix, before, behind, wrong) in rows {
            let mut entry = Entry::new("cn=x");
            for (name, values) in [("mgrpMsgPrefixText", prefix), ("mgrpMsgSuffixText", suffix)] {
                for value in values {
                    entry.add(name, *value);
                }
            }
            let mut ignored = Vec::new();
            let headers = ListHeaders::of(&entry, &mut ignored);
            assert_eq!((&*headers.prefix, &*headers.suffix), (before, behind), "{prefix:?}");
            assert_eq!(ignored.len(), wrong, "{prefix:?} {suffix:?}");
        }
        let of = |prefix: &str, suffix: &str| ListHeaders {
            prefix: prefix.into(),
            suffix: suffix.into(),
            ..ListHeaders::default()
        };
        let both = of("a\r\n", "b\r\n").and(&of("c\r\n", "d\r\n"));
        assert_eq!((&*both.prefix, &*both.suffix), ("a\r\nc\r\n", "d\r\nb\r\n"));
        let large = "x".repeat(2 * MOST_TEXT);
        assert_eq!(&*of("a", "").and(&of(&large, "")).prefix, "a");
    }
}
