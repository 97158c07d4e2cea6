//! Mail addresses as they stand between the angle brackets of MAIL and RCPT.

use std::{fmt, net::IpAddr};

use relais_config::grammar::{is_domain, literal, undotted};

/// A forward path: `user@domain`, `"quoted user"@domain`, `user@[literal]`, `@a,@b:user@domain`,
/// or a bare `user` (postmaster, and mailboxes over LMTP).
///
/// RFC 5321 section 4.1.2; source routes as in its appendix C. The `%`-hack is left in the local
/// part: what it means is for rewrite rules to say. Octets above 127 are refused (SMTPUTF8 is
/// not offered). A local part whose dots stand where none may (`a..b`, `.a`, `abc.`) is taken, as
/// other MTAs take it, and held in quotes from then on: so it goes out as RFC 5321 wants it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    text: Box<str>,
    /// Where the mailbox begins, behind the route and its colon.
    mailbox: u16,
    /// Where the `@` before the domain stands.
    at: Option<u16>,
}

/// A reverse path: an address, or nothing for notifications.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReversePath(pub Option<Address>);

/// Why a path is not an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// Nothing at all.
    #[error("the address is empty")]
    Empty,
    /// Longer than [`MAX_PATH`].
    #[error("the address is longer than {MAX_PATH} octets")]
    TooLong,
    /// Control characters, or octets above 127.
    #[error("the address holds a character that is not printable ASCII")]
    Character,
    /// Before the colon of a source route.
    #[error("the source route is malformed")]
    Route,
    /// Left of the `@`.
    #[error("the local part is malformed")]
    Local,
    /// Right of the `@`.
    #[error("the domain is malformed")]
    Domain,
}

impl Address {
    /// Parses what stood between `<` and `>`, and no dots where none may be.
    pub fn parse_strictly(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse(text)?;
        if address.as_str() == text { Ok(address) } else { Err(AddressError::Local) }
    }

    /// Parses what stood between `<` and `>`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > MAX_PATH {
            return Err(AddressError::TooLong);
        }
        if !text.bytes().all(|c| (b' '..=b'~').contains(&c)) {
            return Err(AddressError::Character);
        }
        let mailbox = if text.starts_with('@') { end_of_route(text)? } else { 0 };
        let (local, odd_dots) = end_of_local(&text[mailbox..])?;
        let after_local = mailbox + local;
        let at = match text.as_bytes().get(after_local) {
            None => None,
            Some(_) if is_domain(&text[after_local + 1..]) => Some(after_local as u16),
            Some(_) => return Err(AddressError::Domain),
        };
        let address = Self { text: text.into(), mailbox: mailbox as u16, at };
        if odd_dots { Self::parse(&address.quoted()) } else { Ok(address) }
    }

    /// All of it, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The hosts of the source route, from the first to be visited.
    pub fn route(&self) -> impl Iterator<Item = &str> {
        self.text[..usize::from(self.mailbox).saturating_sub(1)]
            .split(',')
            .filter_map(|hop| hop.strip_prefix('@'))
    }

    /// The address without its source route.
    pub fn mailbox(&self) -> &str {
        &self.text[usize::from(self.mailbox)..]
    }

    /// Left of the `@`, quotes included.
    pub fn local(&self) -> &str {
        &self.text[usize::from(self.mailbox)..self.at.map_or(self.text.len(), usize::from)]
    }

    /// Left of the `@`, without quotes and backslashes.
    pub fn unquoted_local(&self) -> String {
        let local = self.local();
        if !local.contains('"') {
            return local.to_owned();
        }
        let mut escaped = false;
        let keep = |c: &char| {
            let kept = escaped || !matches!(c, '"' | '\\');
            escaped = !escaped && *c == '\\';
            kept
        };
        local.chars().filter(keep).collect()
    }

    /// The same address with its whole local part in one pair of quotes.
    fn quoted(&self) -> String {
        let (before, local) = self.text.split_at(usize::from(self.mailbox));
        let rest = &local[self.local().len()..];
        format!("{before}{}{rest}", quoted(&self.unquoted_local()))
    }

    /// The one spelling of all that name the same mailbox: no quotes that need not be, the domain in
    /// lower case and without a final dot.
    pub fn normal(&self) -> String {
        let local = self.unquoted_local();
        let is_plain = !local.contains('"') && end_of_local(&local) == Ok((local.len(), false));
        let (route, _) = self.text.split_at(usize::from(self.mailbox));
        let local = if is_plain { local } else { quoted(&local) };
        let domain = self.domain().map_or_else(String::new, |domain| {
            format!("@{}", undotted(domain).to_ascii_lowercase())
        });
        format!("{}{local}{domain}", route.to_ascii_lowercase())
    }

    /// The address of this user at a domain, if it names none itself.
    #[must_use]
    pub fn completed(&self, domain: &str) -> Option<Self> {
        let completed = || Self::parse(&format!("{}@{domain}", self.text)).ok();
        if self.at.is_some() { Some(self.clone()) } else { completed() }
    }

    /// The address literal right of the `@`.
    pub fn literal(&self) -> Option<IpAddr> {
        self.domain().and_then(literal)
    }

    /// Right of the `@`, as it was written.
    pub fn domain(&self) -> Option<&str> {
        self.at.map(|at| &self.text[usize::from(at) + 1..])
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ReversePath {
    /// Parses what stood between `<` and `>`; nothing is the null sender.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() { Ok(Self(None)) } else { Address::parse(text).map(|a| Self(Some(a))) }
    }

    /// Without angle brackets; empty for the null sender.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", Address::as_str)
    }
}

/// In one pair of quotes.
fn quoted(local: &str) -> String {
    let mut quoted = String::from("\"");
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

/// The octet behind the colon of `@a,@b:`.
fn end_of_route(text: &str) -> Result<usize, AddressError> {
    // A literal in the route may hold colons of its own.
    let mut in_literal = false;
    let colon = text.find(|c| {
        in_literal = (in_literal || c == '[') && c != ']';
        c == ':' && !in_literal
    });
    let colon = colon.ok_or(AddressError::Route)?;
    let hop = |hop: &str| hop.strip_prefix('@').is_some_and(is_domain);
    if text[..colon].split(',').all(hop) { Ok(colon + 1) } else { Err(AddressError::Route) }
}

/// Where the local part ends: at an `@` or at the end; and whether dots stand in it where none may.
/// A dot-string, a quoted string, or, as the original allows, several of them joined by dots.
fn end_of_local(text: &str) -> Result<(usize, bool), AddressError> {
    let (mut quoted, mut escaped, mut odd_dots) = (false, false, false);
    let mut previous = b'.';
    for (i, c) in text.bytes().enumerate() {
        if quoted {
            quoted = escaped || c != b'"';
            escaped = !escaped && c == b'\\';
            previous = c;
            continue;
        }
        match c {
            b'@' if i > 0 => return Ok((i, odd_dots || previous == b'.')),
            b'"' if previous == b'.' => quoted = true,
            b'.' => odd_dots |= previous == b'.',
            _ if previous == b'"' || !is_atom(c) => return Err(AddressError::Local),
            _ => {}
        }
        previous = c;
    }
    let odd_dots = odd_dots || previous == b'.';
    if quoted || text.is_empty() { Err(AddressError::Local) } else { Ok((text.len(), odd_dots)) }
}

/// RFC 5322 `atext`.
fn is_atom(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&c)
}

/// Octets of a path without its brackets. RFC 5321 section 4.5.3.1.3 asks for 256; source routes
/// and hashed senders are longer. What we write around one makes a header line of less than 998.
pub const MAX_PATH: usize = 900;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn parts_of_an_address() {
        // text, route, local part, domain
        let rows = [
            ("alice@relais.example", "", "alice", Some("relais.example")),
            ("postmaster", "", "postmaster", None),
            ("user%b.c@a", "", "user%b.c", Some("a")),
            ("@a,@b:user@c", "a b", "user", Some("c")),
            ("@[1.2.3.4]:user@c", "[1.2.3.4]", "user", Some("c")),
            ("@[IPv6:::1]:user@c", "[IPv6:::1]", "user", Some("c")),
            (
                "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon",
                "store1.siroe.com.LMTP",
                "jdoe",
                Some("lmtpcs-daemon"),
            ),
            ("@host:jdoe", "host", "jdoe", None),
            ("\"a b@c\"@d", "", "\"a b@c\"", Some("d")),
            ("\"a\\\"b\"@d", "", "\"a\\\"b\"", Some("d")),
            ("a.\"b\".c@d", "", "a.\"b\".c", Some("d")),
            ("u@[0.1.2.3]", "", "u", Some("[0.1.2.3]")),
            ("jdoe+Work@sesta.com", "", "jdoe+Work", Some("sesta.com")),
            ("a!user@b_c.d.", "", "a!user", Some("b_c.d.")),
        ];
        for (text, route, local, domain) in rows {
            let address = Address::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(address.route().collect::<Vec<_>>().join(" "), route, "{text}");
            assert_eq!((address.local(), address.domain()), (local, domain), "{text}");
            assert_eq!(address.as_str(), text);
        }
        assert_eq!(Address::parse("\"a\\\"b c\"@d").unwrap().unquoted_local(), "a\"b c");
    }

    #[test]
    fn what_is_not_an_address() {
        let rows = [
            ("", AddressError::Empty),
            ("a b@c", AddressError::Local),
            ("@c", AddressError::Route),
            ("@a:@c", AddressError::Local),
            ("@a:", AddressError::Local),
            ("\"a@c", AddressError::Local),
            ("\"a\"b@c", AddressError::Local),
            ("a@", AddressError::Domain),
            ("a@b@c", AddressError::Domain),
            ("a@b..c", AddressError::Domain),
            ("a@[]", AddressError::Domain),
            ("a@[1.2.3.4", AddressError::Domain),
            ("a@[127.0.0.256]", AddressError::Domain),
            ("a@[1.2.3]", AddressError::Domain),
            ("a@[AA]", AddressError::Domain),
            ("a@[::1]", AddressError::Domain),
            ("a@[IPv6:1.2.3.4]", AddressError::Domain),
            ("a@[x-tag:1.2.3.4]", AddressError::Domain),
            ("a\r\n@c", AddressError::Character),
            ("j\u{f6}rg@c", AddressError::Character),
        ];
        for (text, want) in rows {
            assert_eq!(Address::parse(text), Err(want), "{text}");
        }
        let long = format!("{}@c", "a".repeat(MAX_PATH));
        assert_eq!(Address::parse(&long), Err(AddressError::TooLong));
    }

    #[test]
    fn a_mailbox_has_one_normal_spelling() {
        let rows = [
            ("ann@a.test", "ann@a.test"),
            ("\"ann\"@A.Test.", "ann@a.test"),
            ("\"a\\nn\"@a.test", "ann@a.test"),
            ("Ann@a.test", "Ann@a.test"),
            ("a..b@one.test", "\"a..b\"@one.test"),
            ("\"a..b\"@one.test", "\"a..b\"@one.test"),
            ("a.\"b c\"@d", "\"a.b c\"@d"),
            ("\"a@b\"@C", "\"a@b\"@c"),
            ("\"a\\\"b\"@c", "\"a\\\"b\"@c"),
            ("\"\"@c", "\"\"@c"),
            ("\"ann\"", "ann"),
            ("@Host.LMTP:\"ann\"@C", "@host.lmtp:ann@c"),
        ];
        for (text, want) in rows {
            let normal = Address::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).normal();
            assert_eq!(normal, want, "{text}");
            assert_eq!(Address::parse(&normal).map(|again| again.normal()), Ok(normal), "{text}");
        }
    }

    #[test]
    fn dots_where_none_may_be_are_taken_and_quoted_from_then_on() {
        // text, as it is held, without quotes
        let rows = [
            ("a..b@c", "\"a..b\"@c", "a..b"),
            (".a@c", "\".a\"@c", ".a"),
            ("abc.@c", "\"abc.\"@c", "abc."),
            ("..@c", "\"..\"@c", ".."),
            ("abc.", "\"abc.\"", "abc."),
            ("a.+Work@c", "a.+Work@c", "a.+Work"),
            ("@h:a..b@c", "@h:\"a..b\"@c", "a..b"),
            ("a..\"x\\\"y\"@c", "\"a..x\\\"y\"@c", "a..x\"y"),
        ];
        for (text, held, unquoted) in rows {
            let address = Address::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((address.as_str(), &*address.unquoted_local()), (held, unquoted), "{text}");
            assert_eq!(Address::parse_strictly(held), Ok(address), "{text}");
            assert_eq!(Address::parse_strictly(text).is_ok(), text == held, "{text}");
        }
    }

    #[test]
    fn address_literals_in_any_case() {
        let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
        let v4: IpAddr = [192, 0, 2, 1].into();
        let rows = [
            ("u@[192.0.2.1]", Some(v4)),
            ("u@[IPv6:::1]", Some(v6)),
            ("u@[ipv6:::1]", Some(v6)),
            ("u@[IPV6:0:0:0:0:0:0:0:1]", Some(v6)),
            ("u@192.0.2.1", None),
        ];
        for (text, want) in rows {
            assert_eq!(Address::parse(text).unwrap().literal(), want, "{text}");
        }
    }
}
