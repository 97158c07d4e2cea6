//! Addresses beyond ASCII where only ASCII may stand: `utf-8-addr-xtext` (RFC 6533 section 3).

use std::fmt::Write as _;

use relais_config::grammar::{is_nameable, is_unprintable};

/// Writes a text so: `\x{F6}` for a character beyond ASCII, and for those of ASCII that mean something
/// there.
pub fn encode(text: &str) -> String {
    escaped(text, |c| !c.is_ascii())
}

/// Writes a text as `utf-8-addr-unitext`: characters beyond ASCII stay, and those of ASCII that mean
/// something there do not.
pub fn keep(text: &str) -> String {
    escaped(text, is_unprintable)
}

fn escaped(text: &str, is_denied: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        let is_plain = c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\');
        if is_plain || !c.is_ascii() && !is_denied(c) {
            out.push(c);
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

/// Reads what [`encode`] writes. `None`: it is no such text, or stands for one that is not printable.
pub fn decode(encoded: &str) -> Option<String> {
    let mut pieces = encoded.split("\\x{");
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_once('}')?;
        let sound =
            (2..=6).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
        let c = sound.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
        text.push(c.and_then(char::from_u32)?);
        text.push_str(rest);
    }
    is_nameable(&text).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stands_for_nothing() {
        let rows = [
            ("jdoe@x", Some("jdoe@x")),
            ("j\\x{F6}rg@x", Some("j\u{f6}rg@x")),
            ("\\x{10FFFD}", Some("\u{10fffd}")),
            ("\\x{5C}x{41}", Some("\\x{41}")),
            ("\\x{0A}", None),
            ("\\x{202E}", None),
            ("a\\x{200B}b", None),
            ("a\\x{200D}b", None),
            ("ü\\x{200D}ü@x", Some("ü\u{200d}ü@x")),
            ("\\x{D800}", None),
            ("\\x{110000}", None),
            ("\\x{F}", None),
            ("\\x{}", None),
            ("\\x{+41}", None),
            ("\\x{F6", None),
        ];
        for (encoded, want) in rows {
            assert_eq!(decode(encoded).as_deref(), want, "{encoded}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "[ -~\u{e0}-\u{ff}\u{4e00}-\u{4eff}]{0,40}") {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|c| c.is_ascii_graphic() && c != b'+' && c != b'='));
            prop_assert_eq!(decode(&encoded), Some(text.clone()));
            let kept = keep(&text);
            prop_assert!(!kept.contains([' ', '+', '=']) && kept.len() <= encoded.len());
            prop_assert_eq!(decode(&kept), Some(text));
        }
    }
}
