//! URLs by which a list names people: `ldap:///BASE?ATTRIBUTE?SCOPE?FILTER` (RFC 4516), `mailto:`, and
//! addresses as they are.

use std::fmt;

use relais_channels::mail::Address;
use relais_config::grammar::without_percents;

use super::{entry::Entry, filter::EntryFilter, refusal::EntryError};

/// Somebody whom a list names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MemberUrl {
    /// The one with this address.
    Address(String),
    /// Everybody whom this finds.
    Search(MemberSearch),
}

/// A search in the directory that a list belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberSearch {
    /// The name where it begins; empty: the directory's own.
    pub(super) base: String,
    pub(super) scope: MemberScope,
    /// As it is sent to a server.
    pub(super) filter: String,
    /// The same, for entries in memory.
    pub(super) tried: EntryFilter,
    /// The attribute whose values are addresses, as the URL has it.
    pub(super) attribute: String,
}

/// How far a search reaches below its base.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MemberScope {
    /// The entry itself.
    Base,
    /// The entries right below it.
    One,
    /// Everything.
    Subtree,
}

impl MemberUrl {
    /// The people whom an attribute of an entry names.
    pub fn all(entry: &Entry, attribute: &'static str) -> Result<Vec<Self>, EntryError> {
        let values = entry.all(&attribute.to_ascii_lowercase()).iter();
        let bad = |why: String| EntryError::BadValue { attribute, why };
        values.map(|value| Self::parse(value).map_err(bad)).collect()
    }

    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        if value.len() > MOST_OCTETS {
            return Err(format!("a value has more than {MOST_OCTETS} octets"));
        }
        let value = value.trim();
        let Some((scheme, rest)) = value.split_once(':') else { return address(value) };
        match scheme.to_ascii_lowercase().as_str() {
            "ldap" => MemberSearch::parse(rest).map(Self::Search),
            "mailto" if rest.contains('?') => {
                Err("a mailto: URL names an address alone".to_owned())
            }
            "mailto" => address(&decoded(rest)?),
            _ => address(value),
        }
    }
}

impl MemberSearch {
    /// Of what stands behind `ldap:`.
    fn parse(rest: &str) -> Result<Self, String> {
        let Some(rest) = rest.strip_prefix("///") else {
            return Err(
                "a search begins with ldap:///, without a host: the directory that the list \
                        stands in is asked"
                    .to_owned(),
            );
        };
        let mut parts = rest.splitn(5, '?');
        let mut part = || parts.next().unwrap_or_default();
        let (base, attributes, scope, filter, extensions) =
            (part(), part(), part(), part(), part());
        if !extensions.is_empty() {
            return Err("extensions of a URL are not heeded".to_owned());
        }
        let scope = match scope.to_ascii_lowercase().as_str() {
            "sub" => MemberScope::Subtree,
            "one" => MemberScope::One,
            // RFC 4516 section 2: a URL that says nothing means the base alone.
            "base" | "" => MemberScope::Base,
            _ => return Err("the scope of a search is sub, one or base".to_owned()),
        };
        let attribute = match decoded(attributes)? {
            all if all.is_empty() || all == "*" => "mail".to_owned(),
            name if name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') => name,
            _ => return Err("a search asks for one attribute, the one with addresses".to_owned()),
        };
        let filter =
            if filter.is_empty() { "(objectClass=*)".to_owned() } else { decoded(filter)? };
        let (base, tried) = (decoded(base)?, EntryFilter::parse(&filter)?);
        // Writers of a list need not be allowed to read, or to guess at, what we may.
        if is_secret(&attribute) || tried.asks_for(&is_secret) {
            return Err("a list is not asked for passwords".to_owned());
        }
        if tried.asks_for(&is_unnamed) {
            return Err("a filter calls an attribute by its name, not by a number".to_owned());
        }
        Ok(Self { base, scope, filter, tried, attribute })
    }

    /// The addresses of an entry that it found.
    pub fn addresses_of<'a>(&self, entry: &'a Entry) -> &'a [String] {
        entry.all(&self.attribute.to_ascii_lowercase())
    }
}

/// As a server is asked.
impl fmt::Display for MemberSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            MemberScope::Base => "base",
            MemberScope::One => "one",
            MemberScope::Subtree => "sub",
        };
        write!(f, "{}?{}?{scope}?{}", self.base, self.attribute, self.filter)
    }
}

fn is_secret(attribute: &str) -> bool {
    let attribute = attribute.to_ascii_lowercase();
    SECRETS.iter().any(|word| attribute.contains(word))
}

/// Whether a comparison names no attribute: it has a number, or only a rule that compares all that
/// it fits. Either could be a password.
fn is_unnamed(attribute: &str) -> bool {
    let name = attribute.split([';', ':']).next().unwrap_or_default();
    name.contains('.') || !name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn address(text: &str) -> Result<MemberUrl, String> {
    let sound = Address::parse(text).is_ok_and(|address| address.domain().is_some());
    if sound {
        return Ok(MemberUrl::Address(text.to_owned()));
    }
    let shown: String = text.chars().take(80).collect();
    Err(format!("{shown:?} is neither an address nor a URL ldap: or mailto:"))
}

/// A part of a URL without its percent encoding.
fn decoded(part: &str) -> Result<String, String> {
    let text = without_percents(part).map_err(|error| error.to_string())?;
    // Such would stand in log lines as they are.
    let is_clean = !text.chars().any(char::is_control);
    is_clean.then_some(text).ok_or_else(|| "a URL has a control character in it".to_owned())
}

/// Words in names of attributes that nobody reads, in lower case.
const SECRETS: [&str; 7] =
    ["password", "passwd", "pwd", "secret", "principalkey", "krb5key", "pkcs12"];
/// Octets of a URL.
const MOST_OCTETS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        MemberUrl::parse(text).map(|url| match url {
            MemberUrl::Address(address) => address,
            MemberUrl::Search(MemberSearch { base, scope, filter, attribute, .. }) => {
                format!("{base} {attribute} {scope:?} {filter}")
            }
        })
    }

    #[test]
    fn lists_name_people_by_search_and_by_address() {
        let rows = [
            ("a@x.example", "a@x.example"),
            ("mailto:a%40x.example", "a@x.example"),
            ("MAILTO:a@x.example", "a@x.example"),
            (" mailto:a@x.example ", "a@x.example"),
            (
                "ldap:///o=x%2Cdc=y??sub?(&(l=Paris)(mail=*))",
                "o=x,dc=y mail Subtree (&(l=Paris)(mail=*))",
            ),
            (
                "LDAP:///o=x?mailAlternateAddress?One",
                "o=x mailAlternateAddress One (objectClass=*)",
            ),
            ("ldap:///uid=a,o=x", "uid=a,o=x mail Base (objectClass=*)"),
            ("ldap:///?*?sub?(cn=a%3fb%25)", " mail Subtree (cn=a?b%)"),
        ];
        for (text, want) in rows {
            assert_eq!(parse(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn a_value_that_names_nobody_is_told_with_the_reason() {
        let long = format!("ldap:///o=x??sub?(cn={})", "x".repeat(5_000));
        let rows = [
            ("", "neither an address"),
            ("nobody", "neither an address"),
            ("a@", "neither an address"),
            ("http://x/y", "neither an address"),
            ("mailto:a@x?subject=y", "alone"),
            ("mailto:a%4", "percent"),
            ("mailto:a%00@x", "control"),
            ("ldap:///o=x%0aERROR??sub?(a=b)", "control"),
            ("ldap:///o=x?userPassword?sub?(uid=a)", "password"),
            ("ldap:///o=x??sub?(&(uid=a)(userpassword=s*))", "password"),
            ("ldap:///o=x??sub?(!(USERPASSWORD;x-a=s))", "password"),
            ("ldap:///o=x??sub?(krbPrincipalKey=*)", "password"),
            ("ldap:///o=x??sub?(2.5.4.35=s*)", "by a number"),
            ("ldap:///o=x??sub?(|(l=a)(2.5.4.35;x-a>=s))", "by a number"),
            ("ldap:///o=x??sub?(OID.2.5.4.35=s*)", "by a number"),
            ("ldap:///o=x??sub?(2.5.4.35:2.5.13.17:=s)", "by a number"),
            ("ldap:///o=x??sub?(:2.5.13.17:=s)", "by a number"),
            ("ldap:///o=x??sub?(:dn:2.5.13.17:=s)", "by a number"),
            ("ldap://host/o=x??sub?(a=b)", "without a host"),
            ("ldap:o=x", "without a host"),
            ("ldap:///o=x??sub?(a=b)?x", "extensions"),
            ("ldap:///o=x??sub?(a=b)?!bindname=x", "extensions"),
            ("ldap:///o=x?mail,cn?sub?(a=b)", "one attribute"),
            ("ldap:///o=x??tree?(a=b)", "scope"),
            ("ldap:///o=x??sub?a=b", "parenthesis"),
            ("ldap:///o=x??sub?(a=b)(c=d)", "behind the filter"),
            ("ldap:///%ff??sub?(a=b)", "UTF-8"),
            (&long, "octets"),
        ];
        for (text, want) in rows {
            let error = parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
