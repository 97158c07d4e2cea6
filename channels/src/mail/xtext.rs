//! xtext: what the parameters ENVID and ORCPT are written in (RFC 3461 section 4).

use std::fmt;

/// Whether all hexadecimal digits are in upper case, as RFC 3461 wants them.
pub fn is_strict(xtext: &[u8]) -> bool {
    let escapes = xtext.windows(3).filter(|window| window[0] == b'+');
    escapes.flat_map(|window| &window[1..]).all(|digit| !digit.is_ascii_lowercase())
}

/// Decodes xtext that stands for printable ASCII, blanks included. `+` is followed by two
/// hexadecimal digits, and nothing else than `!` to `~` without `=` occurs.
pub fn decode(xtext: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(xtext.len());
    let mut rest = xtext;
    while let [first, after @ ..] = rest {
        let (octet, after) = match (first, after) {
            (b'+', [high, low, after @ ..]) => (hex(*high)? << 4 | hex(*low)?, after),
            (b'+' | b'=', _) => return None,
            (b'!'..=b'~', _) => (*first, after),
            _ => return None,
        };
        if !(b' '..=b'~').contains(&octet) {
            return None;
        }
        text.push(char::from(octet));
        rest = after;
    }
    Some(text)
}

/// Writes a text as xtext. Inverse of [`decode`] for printable ASCII; other octets are written
/// too, and harmless.
#[derive(Clone, Copy, Debug)]
pub struct Xtext<'a>(pub &'a str);

impl fmt::Display for Xtext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|c| match c {
            b'+' | b'=' => write!(f, "+{c:02X}"),
            b'!'..=b'~' => write!(f, "{}", char::from(c)),
            _ => write!(f, "+{c:02X}"),
        })
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_the_rfc_allows_is_decoded() {
        let rows = [
            ("QQ314159", Some("QQ314159")),
            ("a+2Bb+3Dc+20d@e.example", Some("a+b=c d@e.example")),
            ("", Some("")),
            ("+41", Some("A")),
            ("~!", Some("~!")),
            ("a=b", None),
            ("a b", None),
            ("a+2bb", Some("a+b")),
            ("a+3Db+3d", Some("a=b=")),
            ("+", None),
            ("+2", None),
            ("+2G", None),
            ("++2B", None),
            ("+0D+0A", None),
            ("+00", None),
            ("+7F", None),
            ("+E9", None),
            ("\u{e9}", None),
        ];
        for (xtext, want) in rows {
            assert_eq!(decode(xtext.as_bytes()).as_deref(), want, "{xtext:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "[ -~]{0,40}") {
            let xtext = Xtext(&text).to_string();
            prop_assert!(!xtext.contains([' ', '=']));
            prop_assert_eq!(decode(xtext.as_bytes()), Some(text));
        }

        #[test]
        fn whatever_is_encoded_stays_one_word(text: String) {
            prop_assert!(Xtext(&text).to_string().bytes().all(|c| c.is_ascii_graphic()));
        }
    }
}
