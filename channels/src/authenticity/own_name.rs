//! Our name in a field of somebody else's, however it is written (RFC 8601 section 5).
//!
//! A field that might be read as ours is ours: readers are lenient in ways of their own. So comments,
//! blanks, quotes, unseen characters and whatever else no name has may stand before, in and behind the
//! name; encoded words are read, and labels are compared as IDNA has them. Each octet is looked at once.

use mail_parser::parsers::MessageStream;
use relais_config::grammar::ascii_domain;

use crate::mail::{comment_end, quoted_end};

/// Whether the value of a field begins with our name, or might be read so.
pub(super) fn bears(value: &[u8], host: &str) -> bool {
    let host = ascii_domain(host).unwrap_or(host.into());
    let is_read = |text: &str| {
        let mut name = Name::of(&host);
        name.read(text).unwrap_or_else(|| name.is_whole())
    };
    if let Ok(text) = std::str::from_utf8(value) {
        return is_read(text);
    }
    let latin: String = value.iter().map(|octet| char::from(*octet)).collect();
    is_read(&String::from_utf8_lossy(value)) || is_read(&latin)
}

/// A name that is read character by character, compared with ours.
struct Name<'a> {
    /// The labels of ours.
    ours: Vec<&'a str>,
    /// As many of them have come.
    come: usize,
    /// The beginning of the next one.
    label: String,
}

impl<'a> Name<'a> {
    fn of(host: &'a str) -> Self {
        let ours = host.trim_end_matches('.').split('.').collect();
        Self { ours, come: 0, label: String::new() }
    }

    /// Reads up to the end of the name. `None`: it may go on behind the text.
    fn read(&mut self, text: &str) -> Option<bool> {
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let end = match c {
                // A comment or quote without its end hides nothing.
                '(' => match comment_end(rest.as_bytes(), 0) {
                    Some(end) => end,
                    None => return Some(true),
                },
                '"' => match quoted_end(rest.as_bytes(), 0) {
                    Some(end) => {
                        if let Some(verdict) = self.take_all(&rest[1..end - 1]) {
                            return Some(verdict);
                        }
                        end
                    }
                    None => return Some(true),
                },
                '=' if rest.starts_with("=?") => match decoded(rest) {
                    Some((word, end)) => {
                        if let Some(verdict) = self.take_all(&word) {
                            return Some(verdict);
                        }
                        end
                    }
                    None => return Some(true),
                },
                ';' if !self.is_empty() => return Some(self.is_whole()),
                c => c.len_utf8(),
            };
            let is_character = !matches!(c, '(' | '"') && end == c.len_utf8();
            if let Some(verdict) = if is_character { self.take(c) } else { self.pause() } {
                return Some(verdict);
            }
            at += end;
        }
        None
    }

    fn take_all(&mut self, text: &str) -> Option<bool> {
        text.chars().find_map(|c| self.take(c))
    }

    /// The next character. The verdict, if it decides.
    fn take(&mut self, c: char) -> Option<bool> {
        match c {
            '.' if self.is_empty() => None,
            '.' => {
                if !self.is_next() {
                    return Some(false);
                }
                self.come += 1;
                self.label.clear();
                None
            }
            '-' | '_' | '\u{300}'..='\u{36f}' => self.push(c),
            c if c.is_alphanumeric() => self.push(c),
            c if c.is_ascii() => self.pause(),
            c => match stood_for(c) {
                Some(characters) => self.take_all(&characters),
                None => self.pause(),
            },
        }
    }

    fn push(&mut self, c: char) -> Option<bool> {
        self.label.push(c);
        (self.come == self.ours.len() || self.label.len() > LONGEST_LABEL).then_some(false)
    }

    /// Something that no name has: some readers end it here, and some go on.
    fn pause(&self) -> Option<bool> {
        self.is_whole().then_some(true)
    }

    fn is_empty(&self) -> bool {
        self.come == 0 && self.label.is_empty()
    }

    fn is_whole(&self) -> bool {
        let left = self.ours.len() - self.come;
        left == 0 && self.label.is_empty() || left == 1 && self.is_next()
    }

    /// Whether the label is the next one of ours.
    fn is_next(&self) -> bool {
        let Some(wanted) = self.ours.get(self.come) else { return false };
        if self.label.is_ascii() {
            return self.label.eq_ignore_ascii_case(wanted);
        }
        ascii_domain(&self.label).is_some_and(|label| label.eq_ignore_ascii_case(wanted))
    }
}

/// The characters of names in ASCII that IDNA reads in the place of another one: `-` for a wide hyphen,
/// `.` for an ideographic full stop. `None`: it stands for none.
fn stood_for(c: char) -> Option<String> {
    let between = format!("x{c}x");
    let read = ascii_domain(&between)?;
    let characters = read.strip_prefix('x')?.strip_suffix('x')?;
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let stands =
        !characters.is_empty() && !read.starts_with("xn--") && characters.chars().all(is_of_names);
    stands.then(|| characters.to_owned())
}

/// The text of the encoded word that this begins with, and its octets.
fn decoded(text: &str) -> Option<(String, usize)> {
    let mut stream = MessageStream::new(&text.as_bytes()[1..]);
    let word = stream.decode_rfc2047()?;
    let end = 1 + stream.offset();
    text.is_char_boundary(end).then_some((word, end))
}

/// Octets of a label, in whatever form.
const LONGEST_LABEL: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_name_is_read_however_it_is_written() {
        for value in [
            "mx.example.org; spf=pass",
            "mx . example . org; none",
            "mx.\r\n\texample.\r\n\torg ; none",
            "mx(a).(b)example(c(d)).org/1; none",
            "mx.example.org/1; none",
            "mx.example.org 1",
            "mx.example.org\u{b}1; none",
            "\u{b}mx.example.org\u{c}; none",
            "\u{feff}mx.example.org; none",
            "\u{200b}\u{2060}mx.exam\u{ad}ple.org\u{feff}; none",
            "\u{0}mx.ex\u{1}ample.org; none",
            "=?utf-8?q?mx=2Eexample.org?=; none",
            "=?utf-8?B?bXguZXhhbXBsZS5vcmc=?= ; none",
            "=?us-ascii?q?mx.ex?= =?us-ascii?q?ample.org?=; none",
            "=?utf-8?x?what?=; none",
            "\"=?utf-8?q?mx?=.example.org; none",
            "\"mx\".\"example\".org; none",
            "\"mx .example\\.org\"; none",
            "\"mx.example.org 1\"; none",
            "MX.eXample.ORG.; none",
            "mx.example.org. 1; none",
            "\u{ff4d}\u{ff58}\u{3002}example\u{ff0e}org; none",
            "<mx.example.org>; none",
            "; mx.example.org; none",
            "..mx.example.org; none",
            "mx.example.org .evil.example; none",
            "mx.example.org=pass",
        ] {
            assert!(bears(value.as_bytes(), "mx.example.org"), "{value:?}");
        }
        for value in [&b"\xffmx.example.org\xa0; none"[..], b"mx.\xadexample.org"] {
            assert!(bears(value, "MX.example.org."), "{value:?}");
        }
        for value in
            ["mx.grüße.example; none", "mx.xn--gre-6ka8l.example", "MX.GRU\u{308}SSE.example"]
        {
            assert_eq!(
                [
                    bears(value.as_bytes(), "mx.grüße.example"),
                    bears(value.as_bytes(), "mx.xn--gre-6ka8l.example")
                ],
                [!value.contains("SSE"); 2],
                "{value}"
            );
        }
        assert!(bears(b"mx.gr\xfcn.example; none", "mx.grün.example"));
        for value in [
            "mx\u{ff0d}1.no.example; none",
            "\u{ff4d}x\u{fe63}1.no.example; none",
            "mx-1\u{ff61}\u{2116}\u{3002}ex\u{200b}ample; none",
            "\u{ff0e}mx\u{ff0d}1.no.example",
        ] {
            assert!(bears(value.as_bytes(), "mx-1.no.example"), "{value:?}");
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        for value in [
            "",
            ";",
            "none",
            "mx.example.com; dkim=pass header.d=mx.example.org",
            "(mx.example.org) other.example; none",
            "other.example (mx.example.org); none",
            "other.example; none mx.example.org",
            "other.example mx.example.org; none",
            "xmx.example.org; none",
            "x mx.example.org; none",
            "mx.example.org.evil.example; none",
            "mx.example.orgs; none",
            "mx.example; none",
            "mx.example.org-x; none",
            "mx.example.org\u{ff0d}x; none",
            "mx\u{ff0d}example.org; none",
            "=?utf-8?q?other.example?=; none",
            "\"other.example\"; mx.example.org",
            "\u{43c}x.example.org; none",
        ] {
            assert!(!bears(value.as_bytes(), "mx.example.org"), "{value:?}");
        }
    }

    #[test]
    fn long_values_cost_little() {
        let long = 1 << 20;
        for value in [
            "(".repeat(long),
            "()".repeat(long),
            "=?utf-8?q?".repeat(long / 8),
            "=?utf-8?q?m?= ".repeat(long / 8),
            "\"\"".repeat(long),
            "mx.example.o ".repeat(long / 8),
            "mx.example.o(".to_owned() + &"r)(".repeat(long),
            ".".repeat(long),
            "; ".repeat(long),
            "\u{2014}".repeat(long / 6),
            "\u{ff0e}".repeat(long / 6),
        ] {
            let started = Instant::now();
            bears(value.as_bytes(), "mx.example.org");
            assert!(started.elapsed() < Duration::from_secs(3), "{value:.20}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "[a-z.()\"\\\\=?;\u{feff}é -]{0,40}", octets in prop::collection::vec(any::<u8>(), 0..40)) {
            bears(value.as_bytes(), "mx.example.org");
            bears(&octets, "é.example");
        }

        #[test]
        fn whatever_no_name_has_hides_none(between in "[ \t\u{feff}\u{200b}<>@/,:()]{0,3}") {
            prop_assume!(between.matches('(').count() == 0 && between.matches(')').count() == 0);
            let value = format!("{between}mx{between}.{between}example{between}.org{between}; none");
            prop_assert!(bears(value.as_bytes(), "mx.example.org"));
        }
    }
}
