//! Mail addresses as they stand between the angle brackets of MAIL and RCPT.

use std::{borrow::Cow, fmt, net::IpAddr};

use relais_config::grammar::{
    ascii_domain, composed, is_any_domain, is_nameable, literal, undotted,
};

/// A forward path: `user@domain`, `"quoted user"@domain`, `user@[literal]`, `@a,@b:user@domain`,
/// or a bare `user` (postmaster, and mailboxes over LMTP).
///
/// RFC 5321 section 4.1.2; source routes as in its appendix C. The `%`-hack is left in the local
/// part: what it means is for rewrite rules to say. A local part whose dots stand where none may (`a..b`,
/// `.a`, `abc.`) is taken, as other MTAs take it, and held in quotes from then on: so it goes out as RFC
/// 5321 wants it.
///
/// Beyond ASCII (RFC 6531) it is UTF-8 without control characters and marks of direction. Its parts are
/// those of one form, whichever was written: local parts are composed (normal form C), domains have the
/// labels that stand for them in ASCII. [`Address::as_str`] is what was written.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    /// In the one form.
    text: Box<str>,
    /// As it was written, where that is not the one form.
    written: Option<Box<str>>,
    /// Where the mailbox begins, behind the route and its colon.
    mailbox: u16,
    /// Where the `@` before the domain stands.
    at: Option<u16>,
}

/// Where the parts of a text lie that may be an address.
struct Parts {
    mailbox: usize,
    at: Option<usize>,
    /// Dots stand in the local part where none may.
    odd_dots: bool,
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
    /// Control characters, or marks of direction.
    #[error("the address holds a character that is not printable")]
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
        let is_ascii = text.is_ascii();
        let is_control = |c: u8| c < b' ' || c == 0x7f;
        if text.bytes().any(is_control) || !is_ascii && !is_nameable(text) {
            return Err(AddressError::Character);
        }
        let parts = Parts::of(text)?;
        let address = if is_ascii {
            Self::new(text.into(), None, &parts)
        } else {
            let text_in_form = parts.in_one_form(text).ok_or(AddressError::Domain)?;
            if text_in_form.len() > MAX_PATH {
                return Err(AddressError::TooLong);
            }
            // Composed, a character may mean something in an address.
            let its = Parts::of(&text_in_form)?;
            let written = (text_in_form != text).then(|| text.into());
            Self::new(text_in_form.into(), written, &its)
        };
        if parts.odd_dots { Self::parse(&address.quoted()) } else { Ok(address) }
    }

    fn new(text: Box<str>, written: Option<Box<str>>, parts: &Parts) -> Self {
        Self { text, written, mailbox: parts.mailbox as u16, at: parts.at.map(|at| at as u16) }
    }

    /// All of it, as it was written.
    pub fn as_str(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }

    /// All of it, in the one form of all spellings that are equal by Unicode and IDNA.
    pub fn in_one_form(&self) -> &str {
        &self.text
    }

    /// The address as a server takes it that knows nothing beyond ASCII; `None`: it has no such form,
    /// by its local part.
    pub fn in_ascii(&self) -> Option<&str> {
        [self.as_str(), &self.text].into_iter().find(|text| text.is_ascii())
    }

    /// The address without its source route, as it was written.
    pub fn written_mailbox(&self) -> &str {
        match &self.written {
            None => self.mailbox(),
            Some(written) if written.starts_with('@') => {
                end_of_route(written).map_or(written, |mailbox| &written[mailbox..])
            }
            Some(written) => written,
        }
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
        let local = written_local(&self.unquoted_local());
        let (route, _) = self.text.split_at(usize::from(self.mailbox));
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
        f.write_str(self.as_str())
    }
}

impl Parts {
    fn of(text: &str) -> Result<Self, AddressError> {
        let mailbox = if text.starts_with('@') { end_of_route(text)? } else { 0 };
        let (local, odd_dots) = end_of_local(&text[mailbox..])?;
        let after_local = mailbox + local;
        let at = match text.as_bytes().get(after_local) {
            None => None,
            Some(_) if is_any_domain(&text[after_local + 1..]) => Some(after_local),
            Some(_) => return Err(AddressError::Domain),
        };
        Ok(Self { mailbox, at, odd_dots })
    }

    /// The text that these are the parts of, in the one form.
    fn in_one_form(&self, text: &str) -> Option<String> {
        let (route, mailbox) = text.split_at(self.mailbox);
        let (local, domain) = mailbox.split_at(self.at.map_or(text.len(), |at| at) - self.mailbox);
        let mut form = String::with_capacity(text.len());
        for hop in route.strip_suffix(':').into_iter().flat_map(|route| route.split(',')) {
            form.push_str(if form.is_empty() { "@" } else { ",@" });
            form.push_str(&host_in_ascii(hop.strip_prefix('@')?)?);
        }
        form.push_str(if form.is_empty() { "" } else { ":" });
        form.push_str(&composed(local));
        if let Some(domain) = domain.strip_prefix('@') {
            form.push('@');
            form.push_str(&host_in_ascii(domain)?);
        }
        Some(form)
    }
}

fn host_in_ascii(text: &str) -> Option<Cow<'_, str>> {
    if text.starts_with('[') { Some(text.into()) } else { ascii_domain(text) }
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

/// A local part as RFC 5321 writes it: between quotes where it cannot stand without them.
pub fn written_local(local: &str) -> String {
    let is_plain = !local.contains('"') && end_of_local(local) == Ok((local.len(), false));
    if is_plain { local.to_owned() } else { quoted(local) }
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
    let hop = |hop: &str| hop.strip_prefix('@').is_some_and(is_any_domain);
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

/// RFC 5322 `atext`, and as RFC 6531 section 3.3 adds to it, an octet of any character beyond ASCII.
fn is_atom(c: u8) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() || b"!#$%&'*+-/=?^_`{|}~".contains(&c)
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
            ("a\u{7f}@c", AddressError::Character),
            ("j\u{85}rg@c", AddressError::Character),
            ("j\u{9b}31m@c", AddressError::Character),
            ("a\u{2028}@c", AddressError::Character),
            ("a@\u{2029}c", AddressError::Character),
            ("a\u{202e}b@c", AddressError::Character),
            ("a\u{2066}b@c", AddressError::Character),
            ("a\u{200f}b@c", AddressError::Character),
            ("ann\u{200b}@c", AddressError::Character),
            ("j\u{f6}\u{ad}rg@c", AddressError::Character),
            ("a\u{200d}b@c", AddressError::Character),
            ("\u{f6}\u{200c}@c", AddressError::Character),
            ("ann\u{e0041}@c", AddressError::Character),
            ("ann@\u{fc}\u{feff}.test", AddressError::Character),
            ("a@-\u{fc}.test", AddressError::Domain),
            ("a@\u{301}.test", AddressError::Domain),
            ("a@\u{fc}..test", AddressError::Domain),
            ("a@\u{fc}\u{ff0f}b.test", AddressError::Domain),
            // It composes to a semicolon.
            ("a\u{37e}b@c", AddressError::Local),
            ("\u{3c}\u{338}b@c", AddressError::Local),
        ];
        for (text, want) in rows {
            assert_eq!(Address::parse(text), Err(want), "{text}");
        }
        let long = format!("{}@c", "a".repeat(MAX_PATH));
        assert_eq!(Address::parse(&long), Err(AddressError::TooLong));
        // So is the form with its domains in ASCII.
        let long = format!("@{}:a@c", vec!["\u{fc}.\u{fc}"; 120].join(",@"));
        assert!(long.len() < MAX_PATH);
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
    fn addresses_beyond_ascii_have_one_form_and_keep_what_was_written() {
        // text, its one form, the form in ASCII
        let rows = [
            ("jdoe@gr\u{fc}\u{df}e.test", "jdoe@xn--gre-6ka8l.test", Some(true)),
            ("jdoe@gru\u{308}\u{df}e.test", "jdoe@xn--gre-6ka8l.test", Some(true)),
            ("jdoe@xn--gre-6ka8l.test", "jdoe@xn--gre-6ka8l.test", Some(false)),
            ("j\u{f6}rg@c", "j\u{f6}rg@c", None),
            ("jo\u{308}rg@\u{fc}.test", "j\u{f6}rg@xn--tda.test", None),
            ("\"j\u{f6} rg\"@c", "\"j\u{f6} rg\"@c", None),
            ("@\u{fc}.test,@b:jdoe@c", "@xn--tda.test,@b:jdoe@c", Some(true)),
            ("@[IPv6:::1]:jdoe@\u{fc}.test", "@[IPv6:::1]:jdoe@xn--tda.test", Some(true)),
            ("j\u{f6}rg@[192.0.2.1]", "j\u{f6}rg@[192.0.2.1]", None),
            ("\u{4f8b}\u{3048}", "\u{4f8b}\u{3048}", None),
            ("\u{645}\u{6cc}\u{200c}\u{62e}@c", "\u{645}\u{6cc}\u{200c}\u{62e}@c", None),
            ("jdoe+Gru\u{308}\u{df}e@c", "jdoe+Gr\u{fc}\u{df}e@c", None),
        ];
        for (text, form, ascii) in rows {
            let address = Address::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((address.as_str(), address.in_one_form()), (text, form));
            assert_eq!(address.in_ascii(), ascii.map(|by_form| if by_form { form } else { text }));
            let again = Address::parse(form).unwrap();
            assert_eq!(again.normal(), address.normal(), "{text}");
            assert_eq!((again.local(), again.domain()), (address.local(), address.domain()));
            assert!(text.ends_with(address.written_mailbox()));
            let mailbox = Address::parse(address.written_mailbox()).unwrap();
            assert_eq!(mailbox.in_one_form(), address.mailbox());
        }
        let dots = Address::parse("j\u{f6}..rg@\u{fc}.test").unwrap();
        assert_eq!(dots.as_str(), "\"j\u{f6}..rg\"@xn--tda.test");
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
