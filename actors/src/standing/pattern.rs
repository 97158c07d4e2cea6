//! How operators name addresses and hosts: exactly, or by a part that they say is one.

use std::{fmt, str::FromStr};

use relais_channels::mail::Address;
use relais_config::grammar::{ascii_domain, folded, undotted};
use serde::{Deserialize, Serialize};

/// Which senders or recipients: `ann@example.org` is that address and no other, `@example.org`
/// every address of that domain (not of those below it), `~text` every address that holds the
/// text, `<>` the null sender. Angle brackets around an address do not count.
///
/// Domains compare without regard to case and to a final dot. Local parts compare octet by octet
/// (RFC 5321 section 2.4), but for quotes: `"ann"@example.org` and `ann@example.org` are one. A part
/// compares with what the queue keeps, without regard to case.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum AddressPattern {
    /// `<>`: what notices come from.
    Null,
    /// One address, in its normal spelling if it has one.
    Exact(String),
    /// The text right of the last `@`.
    Domain(String),
    /// Held by the address, anywhere.
    Part(String),
}

/// Which channels or hosts: `tcp_local` is that one and no other, `~tcp` every one that holds the
/// text. Without regard to case.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum NamePattern {
    /// One name.
    Exact(String),
    /// Held by the name, anywhere.
    Part(String),
}

/// Why a text names nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// Nothing at all: it would name everything.
    #[error("must not be empty")]
    Empty,
    /// The same of an address, where it may have been meant for the null sender.
    #[error("must not be empty; the null sender is named by '<>'")]
    EmptyAddress,
    /// `~` with nothing behind it.
    #[error("a text is expected behind `~`")]
    NoText,
    /// `@` with nothing behind it.
    #[error("a domain is expected behind `@`")]
    NoDomain,
    /// A bracket without its fellow.
    #[error("`<` and `>` stand around an address, or not at all")]
    Brackets,
}

impl AddressPattern {
    /// Whether this address, without angle brackets, is meant.
    pub fn names(&self, address: &str) -> bool {
        match self {
            Self::Null => address.is_empty(),
            Self::Part(part) => holds(address, part),
            Self::Domain(domain) => {
                let of_address = address.rsplit_once('@').map(|(_, domain)| undotted(domain));
                let is_it = |its: &str| its.eq_ignore_ascii_case(domain);
                of_address.is_some_and(|its| is_it(&ascii_domain(its).unwrap_or(its.into())))
            }
            Self::Exact(exact) if may_be_respelled(address) => *exact == normal(address),
            Self::Exact(exact) => match (exact.rsplit_once('@'), address.rsplit_once('@')) {
                (Some((local, domain)), Some((other, of_other))) => {
                    local == other && domain.eq_ignore_ascii_case(of_other)
                }
                _ => exact == address,
            },
        }
    }

    /// Whether it looks as if a part of an address had been meant: an exact one without `@`.
    pub fn may_be_a_part(&self) -> bool {
        matches!(self, Self::Exact(exact) if !exact.contains('@'))
    }
}

impl NamePattern {
    /// Whether this name is meant.
    pub fn names(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.eq_ignore_ascii_case(name),
            Self::Part(part) => holds(name, part),
        }
    }

    /// Whether this host is meant: the brackets of an address literal do not count, and `.example.net`
    /// names all below it.
    pub fn names_host(&self, host: &str) -> bool {
        match self {
            Self::Exact(above) if above.starts_with('.') => {
                let begins = host.len().checked_sub(above.len()).filter(|begins| *begins > 0);
                let end = begins.and_then(|begins| host.get(begins..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(above))
            }
            Self::Exact(exact) => bare(exact).eq_ignore_ascii_case(bare(host)),
            Self::Part(part) => holds(host, part),
        }
    }
}

impl FromStr for AddressPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::EmptyAddress);
        }
        if let Some(part) = text.strip_prefix('~') {
            return if part.is_empty() { Err(PatternError::NoText) } else { Ok(part_of(part)) };
        }
        if let Some(domain) = text.strip_prefix('@') {
            let is_route = domain.contains([':', ',']);
            return match domain {
                "" => Err(PatternError::NoDomain),
                _ if is_route => Ok(exact(text)),
                _ => {
                    let ascii = ascii_domain(domain).unwrap_or(domain.into());
                    Ok(Self::Domain(undotted(&ascii).to_owned()))
                }
            };
        }
        match (text.strip_prefix('<'), text.strip_suffix('>')) {
            (None, None) => Ok(exact(text)),
            (Some(_), Some(_)) if text == "<>" => Ok(Self::Null),
            (Some(_), Some(_)) => Ok(exact(&text[1..text.len() - 1])),
            _ => Err(PatternError::Brackets),
        }
    }
}

fn exact(text: &str) -> AddressPattern {
    AddressPattern::Exact(normal(text))
}

fn part_of(part: &str) -> AddressPattern {
    AddressPattern::Part(part.to_owned())
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match text.strip_prefix('~') {
            None if text.is_empty() => Err(PatternError::Empty),
            None => {
                // Hosts are known by their names in ASCII.
                let ascii = ascii_domain(text).filter(|_| !text.is_ascii());
                Ok(Self::Exact(ascii.map_or(text.to_owned(), Into::into)))
            }
            Some("") => Err(PatternError::NoText),
            Some(part) => Ok(Self::Part(part.to_owned())),
        }
    }
}

/// As it is typed.
impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            // A bare one could be taken for something else.
            Self::Exact(exact) => write!(f, "<{exact}>"),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Part(part) => write!(f, "~{part}"),
        }
    }
}

/// As it is typed.
impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Part(part) => write!(f, "~{part}"),
        }
    }
}

impl TryFrom<String> for AddressPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl TryFrom<String> for NamePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<AddressPattern> for String {
    fn from(pattern: AddressPattern) -> Self {
        pattern.to_string()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.to_string()
    }
}

/// Whether a text holds a part, without regard to case.
pub fn holds(text: &str, part: &str) -> bool {
    folded(text).contains(&folded(part))
}

/// The spelling by which addresses compare. What is no address is compared as it is.
fn normal(address: &str) -> String {
    Address::parse(address).map_or_else(|_| address.to_owned(), |address| address.normal())
}

/// Whether more than the case of its domain may keep an address from its normal spelling.
fn may_be_respelled(address: &str) -> bool {
    address.starts_with('@')
        || address.ends_with('.')
        || address.contains('"')
        || !address.is_ascii()
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_exactly_unless_it_is_said_to_be_a_part() {
        // what is typed, an address, whether it is meant
        let rows = [
            ("ann@example.org", "ann@example.org", true),
            ("ann@example.org", "joann@example.org", false),
            ("ann@example.org", "ann@example.org.uk", false),
            ("ann@example.org", "ann@EXAMPLE.org", true),
            ("ann@example.org", "Ann@example.org", false),
            ("ann@example.org", "", false),
            ("<ann@example.org>", "ann@example.org", true),
            ("\"a@b\"@example.org", "\"a@b\"@Example.org", true),
            ("\"a@b\"@example.org", "\"A@b\"@example.org", false),
            ("a..b@one.test", "\"a..b\"@one.test", true),
            ("<a..b@one.test>", "\"a..b\"@One.test", true),
            ("\"a..b\"@one.test", "\"a..b\"@one.test", true),
            (".c@one.test", "\".c\"@one.test", true),
            (".c@one.test", "c@one.test", false),
            ("ann@a.test", "\"ann\"@a.test", true),
            ("\"ann\"@a.test", "ann@a.test", true),
            ("\"Ann\"@a.test", "ann@a.test", false),
            ("ann@a.test.", "ann@A.test", true),
            ("ann@a.test", "ann@a.test.", true),
            ("@a.test.", "ann@a.test", true),
            ("@a.test", "ann@a.test.", true),
            ("@a:ann@c", "@A:\"ann\"@c", true),
            ("\"ann\"", "ann", true),
            ("j\u{f6}rg@c", "j\u{f6}rg@C", true),
            ("jo\u{308}rg@c", "j\u{f6}rg@C", true),
            ("j\u{f6}rg@c", "j\u{d6}rg@C", false),
            ("ann@\u{fc}.test", "ann@xn--tda.test", true),
            ("ann@xn--tda.test", "ann@\u{dc}.test", true),
            ("@\u{fc}.test", "ann@xn--tda.test", true),
            ("@xn--tda.test", "ann@u\u{308}.test", true),
            ("@xn--tda.test", "ann@u.test", false),
            ("~J\u{d6}RG", "j\u{f6}rg@c", true),
            ("~jo\u{308}rg", "j\u{f6}rg@c", true),
            ("ann", "ann", true),
            ("ann", "Ann", false),
            ("ann", "ann@example.org", false),
            ("@example.org", "ann@Example.ORG", true),
            ("@example.org", "ann@sub.example.org", false),
            ("@example.org", "ann@example.org.uk", false),
            ("@example.org", "example.org", false),
            ("@a,@b:ann@c", "@a,@b:ann@C", true),
            ("@a,@b:ann@c", "ann@c", false),
            ("~ANN@", "joann@example.org", true),
            ("~example", "ann@EXAMPLE.org", true),
            ("~example", "", false),
            ("<~ann@example.org>", "~ann@example.org", true),
            ("<>", "", true),
            ("<>", "ann@example.org", false),
        ];
        for (typed, address, want) in rows {
            let pattern: AddressPattern = typed.parse().unwrap();
            assert_eq!(pattern.names(address), want, "{typed} {address}");
            assert_eq!(pattern.to_string().parse(), Ok(pattern), "{typed}");
        }
    }

    #[test]
    fn a_host_is_named_with_or_without_its_brackets() {
        let rows = [
            ("127.0.0.1", "[127.0.0.1]", true),
            ("[127.0.0.1]", "[127.0.0.1]", true),
            ("[127.0.0.1]", "127.0.0.1", true),
            ("127.0.0.1", "[127.0.0.11]", false),
            ("A.example", "a.example", true),
            ("store", "store1.example", false),
            ("\u{fc}.example", "xn--tda.example", true),
            ("~STORE", "store1.example", true),
            (".EXAMPLE", "store1.example", true),
            (".example", "example", false),
            (".example", ".example", false),
            (".xample", "store1.example", false),
        ];
        for (typed, host, want) in rows {
            let pattern: NamePattern = typed.parse().unwrap();
            assert_eq!(pattern.names_host(host), want, "{typed} {host}");
            assert_eq!(pattern.to_string().parse(), Ok(pattern), "{typed}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused_with_the_reason() {
        let rows = [
            ("", "the null sender is named by '<>'"),
            ("~", "a text is expected behind `~`"),
            ("@", "a domain is expected behind `@`"),
            ("<ann@example.org", "stand around an address"),
            ("ann@example.org>", "stand around an address"),
        ];
        for (typed, want) in rows {
            let error = typed.parse::<AddressPattern>().unwrap_err().to_string();
            assert!(error.contains(want), "{typed:?}: {error}");
        }
        for typed in ["", "~"] {
            assert!(typed.parse::<NamePattern>().is_err(), "{typed:?}");
        }
    }
}
