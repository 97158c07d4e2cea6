//! The notices a sender wants of a message's fate (RFC 3461), and how the parameters of MAIL and
//! RCPT say it.

use std::fmt;

use relais_config::grammar::is_nameable;
use serde::{Deserialize, Serialize};

use super::{
    unitext,
    xtext::{self, Xtext},
};

/// Of one recipient: the parameter NOTIFY. The default is what a sender gets who says nothing:
/// failures and delays, and no successes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Notify {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// `NEVER`: no notice of any kind.
    Never,
    /// Notices of these kinds and no others; at least one of them.
    On {
        /// `SUCCESS`: it was delivered.
        success: bool,
        /// `FAILURE`: it will never be.
        failure: bool,
        /// `DELAY`: it takes longer than expected.
        delay: bool,
    },
}

/// How much of the message a notice of failure brings back: the parameter RET.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Return {
    /// `FULL`: all of it.
    Full,
    /// `HDRS`: its header.
    Headers,
}

/// The recipient as the sender had it: the parameter ORCPT, decoded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OriginalRecipient {
    /// `"rfc822"`, `"utf-8"`, ...; letters, digits and hyphens.
    pub address_type: String,
    /// Printable ASCII; of the type `utf-8` as RFC 6533 section 3 writes it for those who know nothing
    /// else: `j\x{F6}rg@b.example`.
    pub address: String,
}

impl Notify {
    /// Reads the value of NOTIFY: `NEVER`, or each of the others at most once (RFC 3461 section
    /// 4.1).
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.eq_ignore_ascii_case(b"NEVER") {
            return Some(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in value.split(|c| *c == b',') {
            let wanted = match word.to_ascii_uppercase().as_slice() {
                b"SUCCESS" => &mut success,
                b"FAILURE" => &mut failure,
                b"DELAY" => &mut delay,
                _ => return None,
            };
            if std::mem::replace(wanted, true) {
                return None;
            }
        }
        Some(Self::On { success, failure, delay })
    }

    /// Whether the sender is told that the recipient cannot be reached.
    pub fn of_failure(self) -> bool {
        matches!(self, Self::Unsaid | Self::On { failure: true, .. })
    }

    /// Whether the sender is told that it takes longer.
    pub fn of_delay(self) -> bool {
        matches!(self, Self::Unsaid | Self::On { delay: true, .. })
    }

    /// Whether the sender is told that it was delivered.
    pub fn of_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

/// As the value of NOTIFY; nothing when nothing was said.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::On { success, failure, delay } = *self else {
            return f.write_str(if *self == Self::Never { "NEVER" } else { "" });
        };
        let wanted = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
        let words = wanted.into_iter().filter_map(|(wanted, word)| wanted.then_some(word));
        words.enumerate().try_for_each(|(i, word)| {
            f.write_str(if i == 0 { "" } else { "," })?;
            f.write_str(word)
        })
    }
}

impl Return {
    /// Reads the value of RET (RFC 3461 section 4.3).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
        if is(b"FULL") { Some(Self::Full) } else { is(b"HDRS").then_some(Self::Headers) }
    }
}

/// As the value of RET.
impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

impl OriginalRecipient {
    /// Reads the value of ORCPT: `type;xtext`, at most 500 octets (RFC 3461 section 4.2).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let semicolon = value.iter().position(|c| *c == b';')?;
        let (address_type, address) = (&value[..semicolon], &value[semicolon + 1..]);
        let plain = |c: &u8| c.is_ascii_alphanumeric() || *c == b'-';
        let fits = value.len() <= MAX_ORIGINAL_RECIPIENT
            && !address_type.is_empty()
            && address_type.iter().all(plain)
            && !address.is_empty();
        fits.then(|| {
            let address_type = String::from_utf8_lossy(address_type).into_owned();
            let address = if address.is_ascii() {
                xtext::decode(address)?
            } else {
                let text = std::str::from_utf8(address).ok().filter(|text| is_unitext(text))?;
                let is_utf8 = address_type.eq_ignore_ascii_case(UTF8);
                is_utf8
                    .then(|| unitext::decode(text))
                    .flatten()
                    .map(|text| unitext::encode(&text))?
            };
            Some(Self { address_type, address })
        })
        .flatten()
    }

    /// The address with its characters beyond ASCII, of type `utf-8`; `None`: it has none.
    pub fn unicode(&self) -> Option<String> {
        if !self.address_type.eq_ignore_ascii_case(UTF8) {
            return None;
        }
        unitext::decode(&self.address).filter(|text| !text.is_ascii())
    }
}

/// As the value of ORCPT.
impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", Xtext(&self.address_type), Xtext(&self.address))
    }
}

/// Whether this may stand in a parameter beyond ASCII: `utf-8-addr-unitext` (RFC 6533 section 3), and as much of
/// ASCII as is no blank, for a peer that does not encode what it should.
fn is_unitext(text: &str) -> bool {
    is_nameable(text) && !text.contains([' ', '='])
}

/// The address type of RFC 6533.
const UTF8: &str = "utf-8";
/// Octets as they stand in the command (RFC 3461 section 4.2).
const MAX_ORIGINAL_RECIPIENT: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_being_read_and_written() {
        for value in ["NEVER", "SUCCESS", "SUCCESS,FAILURE", "FAILURE,DELAY", "SUCCESS,DELAY"] {
            let notify = Notify::parse(value.as_bytes()).expect(value);
            assert_eq!(notify.to_string(), value);
            let lower = value.to_ascii_lowercase();
            assert_eq!(Notify::parse(lower.as_bytes()), Some(notify));
        }
        assert_eq!(Notify::Unsaid.to_string(), "");
        for value in ["FULL", "HDRS"] {
            assert_eq!(Return::parse(value.as_bytes()).expect(value).to_string(), value);
        }
        for value in ["rfc822;bob+2Bx@b.example", "utf-8;j\\x{F6}rg@b.example", "X-400;+3D"] {
            let original = OriginalRecipient::parse(value.as_bytes()).expect(value);
            assert_eq!(original.to_string(), value);
        }
    }

    #[test]
    fn addresses_beyond_ascii_are_kept_in_ascii() {
        // value, as it is written for those who know only ASCII, and for others
        let rows = [
            (
                "utf-8;j\u{f6}rg@b.example",
                "utf-8;j\\x{F6}rg@b.example",
                Some("j\u{f6}rg@b.example"),
            ),
            ("UTF-8;j\\x{f6}rg@b", "UTF-8;j\\x{f6}rg@b", Some("j\u{f6}rg@b")),
            ("utf-8;\u{f6}\\x{2B}a@b", "utf-8;\\x{F6}\\x{2B}a@b", Some("\u{f6}+a@b")),
            ("utf-8;jdoe@b", "utf-8;jdoe@b", None),
            ("rfc822;j\\x{F6}rg@b", "rfc822;j\\x{F6}rg@b", None),
        ];
        for (value, written, unicode) in rows {
            let original = OriginalRecipient::parse(value.as_bytes()).expect(value);
            assert_eq!(original.to_string(), written);
            assert_eq!(original.unicode().as_deref(), unicode, "{value}");
        }
        for value in ["rfc822;\u{f6}", "utf-8;\u{f6}\\x{0A}", "utf-8;\u{202e}a", "utf-8;\u{f6}=a"] {
            assert_eq!(OriginalRecipient::parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(OriginalRecipient::parse(b"utf-8;\xf6"), None);
    }

    #[test]
    fn values_that_are_none() {
        for value in [
            "",
            "NEVER,SUCCESS",
            "SUCCESS,NEVER",
            "SUCCESS,SUCCESS",
            "SUCCESS,",
            ",DELAY",
            "SUCCESS FAILURE",
            "ALWAYS",
        ] {
            assert_eq!(Notify::parse(value.as_bytes()), None, "{value}");
        }
        for value in ["", "HDR", "FULL,HDRS"] {
            assert_eq!(Return::parse(value.as_bytes()), None, "{value}");
        }
        let long = |octets: usize| format!("rfc822;{}", "x".repeat(octets - 7));
        assert!(OriginalRecipient::parse(long(500).as_bytes()).is_some());
        for value in
            ["", "rfc822", "rfc822;", ";a@b", "rfc 822;a@b", "r_c;a@b", "rfc822;a+0A", &long(501)]
        {
            assert_eq!(OriginalRecipient::parse(value.as_bytes()), None, "{value}");
        }
    }
}
