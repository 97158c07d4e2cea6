//! Patterns of servers' replies: `421`, `4.7.28`, `5yz *blocked*`.
//!
//! A pattern is up to three parts in this order, with blanks between them, and at least one: a code
//! (`421`, or `4yz` and `5yz` for all of a class), an enhanced code (RFC 3463; `*` stands for any
//! number, as in `4.7.*`), and a text with `*` for any characters. Letters are compared without case.

use std::{fmt, str::FromStr};

/// A pattern of replies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplyPattern {
    code: Option<Code>,
    enhanced: Option<[Option<u16>; 3]>,
    /// In lower case.
    text: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Code {
    /// All codes that begin with this digit.
    Class(u16),
    /// This one.
    One(u16),
}

/// A text that is no pattern of replies.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a code (\"421\", \"4yz\"), an enhanced code (\"4.7.28\", \"4.7.*\"), a text with \"*\" \
     (\"*rate limited*\"), or several of these in this order, 200 octets at most, of replies that \
     refuse"
)]
pub struct ReplyPatternError;

impl ReplyPattern {
    /// All replies.
    pub(crate) const fn any() -> Self {
        Self { code: None, enhanced: None, text: None }
    }

    /// Whether a reply is meant. The time is that of reading the text once for each part between two
    /// `*`.
    pub fn matches(&self, code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) -> bool {
        let is_code = match self.code {
            None => true,
            Some(Code::One(wanted)) => wanted == code,
            Some(Code::Class(class)) => code / 100 == class,
        };
        let is_enhanced = self.enhanced.is_none_or(|wanted| {
            enhanced.is_some_and(|(class, subject, detail)| {
                let parts = [u16::from(class), subject, detail];
                wanted.iter().zip(parts).all(|(wanted, part)| wanted.is_none_or(|it| it == part))
            })
        });
        is_code
            && is_enhanced
            && self.text.as_ref().is_none_or(|glob| is_like(glob, &text.to_ascii_lowercase()))
    }

    /// Whether every reply that is meant is one of this class, 4 or 5.
    pub fn is_of_class(&self, class: u16) -> bool {
        let by_code = match self.code {
            Some(Code::Class(its)) => Some(its),
            Some(Code::One(code)) => Some(code / 100),
            None => None,
        };
        by_code.or(self.enhanced.and_then(|parts| parts[0])) == Some(class)
    }

    /// Whether all that `other` means is meant by this one, too: a rule behind it is never reached.
    pub fn covers(&self, other: &Self) -> bool {
        let code = match (self.code, other.code) {
            (None, _) => true,
            (Some(Code::Class(class)), Some(Code::Class(code))) => class == code,
            (Some(Code::Class(class)), Some(Code::One(code))) => class == code / 100,
            (Some(Code::One(mine)), Some(Code::One(code))) => mine == code,
            (Some(_), _) => false,
        };
        let enhanced = match (self.enhanced, other.enhanced) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(its)) => {
                mine.iter().zip(its).all(|(mine, its)| mine.is_none() || *mine == its)
            }
        };
        // An asterisk of the other one is a character like any: only an asterisk stands for it.
        let text = match (&self.text, &other.text) {
            (None, _) => true,
            (Some(mine), None) => mine.bytes().all(|c| c == b'*'),
            (Some(mine), Some(its)) => is_like(mine, its),
        };
        code && enhanced && text
    }
}

/// Whether a text is what a glob says, both in lower case.
fn is_like(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    let mut rest = rest;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn code(word: &str) -> Option<Code> {
    let [first, rest @ ..] = word.as_bytes() else { return None };
    let class = u16::from(first.checked_sub(b'0')?);
    match rest {
        b"yz" => Some(Code::Class(class)),
        [b'0'..=b'9', b'0'..=b'9'] => word.parse().ok().map(Code::One),
        _ => None,
    }
}

fn enhanced(word: &str) -> Option<[Option<u16>; 3]> {
    let mut parts = word.split('.');
    let mut part = || match parts.next()? {
        "*" => Some(None),
        digits if digits.bytes().all(|c| c.is_ascii_digit()) && digits.len() <= 3 => {
            digits.parse().ok().map(Some)
        }
        _ => None,
    };
    let found = [part()?, part()?, part()?];
    parts.next().is_none().then_some(found)
}

impl FromStr for ReplyPattern {
    type Err = ReplyPatternError;

    fn from_str(given: &str) -> Result<Self, ReplyPatternError> {
        let mut rest = given.trim();
        if rest.is_empty() || rest.len() > LONGEST || rest.contains(char::is_control) {
            return Err(ReplyPatternError);
        }
        let word = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        let code = code(&word(rest));
        if code.is_some() {
            rest = rest[3..].trim_start();
        }
        let enhanced = enhanced(&word(rest));
        if enhanced.is_some() {
            rest = rest[word(rest).len()..].trim_start();
        }
        // Of a reply that takes the mail no rule is asked.
        let refuses = |class: u16| class == 4 || class == 5;
        let of_class = match code {
            Some(Code::Class(class)) => refuses(class),
            Some(Code::One(code)) => refuses(code / 100),
            None => true,
        };
        if !of_class || !enhanced.and_then(|parts| parts[0]).is_none_or(refuses) {
            return Err(ReplyPatternError);
        }
        let text = (!rest.is_empty()).then(|| rest.to_ascii_lowercase().into());
        Ok(Self { code, enhanced, text })
    }
}

impl fmt::Display for ReplyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map(|code| match code {
            Code::Class(class) => format!("{class}yz"),
            Code::One(code) => code.to_string(),
        });
        let enhanced = self.enhanced.map(|parts| {
            let part = |part: Option<u16>| part.map_or("*".to_owned(), |part| part.to_string());
            parts.map(part).join(".")
        });
        let text = self.text.as_ref().map(ToString::to_string);
        let parts: Vec<String> = [code, enhanced, text].into_iter().flatten().collect();
        f.write_str(&parts.join(" "))
    }
}

/// Octets of a pattern.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> ReplyPattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn replies_that_are_meant() {
        type Said = (u16, Option<(u8, u16, u16)>, &'static str);
        let limited: Said =
            (421, Some((4, 7, 28)), "Our system has detected an unusual RATE of mail");
        let plain: Said = (450, None, "Rate limited, try again");
        let blocked: Said = (550, Some((5, 7, 1)), "Mail from 192.0.2.1 BLOCKED using list");
        // pattern, of which of the three it is
        let rows = [
            ("421", [true, false, false]),
            ("4yz", [true, true, false]),
            ("5yz", [false, false, true]),
            ("4.7.28", [true, false, false]),
            ("4.7.*", [true, false, false]),
            ("*.7.*", [true, false, true]),
            ("*", [true, true, true]),
            ("*rate*", [true, true, false]),
            ("rate*", [false, true, false]),
            ("*again", [false, true, false]),
            ("rate limited, try again", [false, true, false]),
            ("rate limited", [false, false, false]),
            ("421 4.7.28 *unusual*rate*mail", [true, false, false]),
            ("421 4.7.28 *mail*unusual*", [false, false, false]),
            ("550 5.7.1 *blocked*", [false, false, true]),
            ("5.7.1 *blocked*", [false, false, true]),
            ("550 *Blocked*", [false, false, true]),
        ];
        for (text, want) in rows {
            let its = pattern(text);
            let found = [limited, plain, blocked]
                .map(|(code, enhanced, said)| its.matches(code, enhanced, said));
            assert_eq!(found, want, "{text}");
            assert_eq!(pattern(&its.to_string()), its);
        }
        for wrong in ["", "  ", "250", "2yz", "2.0.0", "221 *bye*", "a\nb", &"x".repeat(201)] {
            assert_eq!(wrong.parse::<ReplyPattern>(), Err(ReplyPatternError), "{wrong}");
        }
    }

    #[test]
    fn rules_that_are_never_reached() {
        // pattern, another one behind it, whether that is never reached
        let rows = [
            ("421", "421 *limit*", true),
            ("4yz", "421", true),
            ("4yz", "4yz *x*", true),
            ("421", "4yz", false),
            ("421", "4.7.28", false),
            ("4.7.*", "4.7.28", true),
            ("4.7.28", "4.7.*", false),
            ("4.7.28", "421 4.7.28 *x*", true),
            ("*", "5.7.1", true),
            ("*rate*", "*rate limited*", true),
            ("*rate limited*", "*rate*", false),
            ("*rate*limited*", "*rate*is*limited*", true),
            ("*a*b*", "*b*a*", false),
            ("a*", "*a", false),
            ("*x*", "421", false),
            ("*RATE*", "*rate*", true),
        ];
        for (first, second, want) in rows {
            assert_eq!(pattern(first).covers(&pattern(second)), want, "{first} | {second}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_that_covers_another_means_all_that_it_means(
            first in "(4yz )?(4\\.[1-3*]\\.[1-3*] )?[ab*]{1,5}",
            second in "(4yz )?(4\\.[1-3*]\\.[1-3*] )?[ab*]{1,5}",
            (subject, detail) in (1u16..4, 1u16..4),
            text in "[ab]{0,8}",
        ) {
            let (first, second) = (pattern(&first), pattern(&second));
            let enhanced = Some((4, subject, detail));
            if first.covers(&second) && second.matches(450, enhanced, &text) {
                prop_assert!(first.matches(450, enhanced, &text), "{first} | {second} | {text}");
            }
        }

        #[test]
        fn no_text_of_a_server_or_an_operator_panics(glob in ".{0,40}", text in ".{0,200}") {
            if let Ok(pattern) = glob.parse::<ReplyPattern>() {
                pattern.matches(450, None, &text);
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
        }
    }
}
