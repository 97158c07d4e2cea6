//! Checks of one message against one user: is it addressed to the user at all, and by whom?

use std::collections::HashSet;

use mail_parser::{HeaderName, MessageParser};
use relais_channels::{
    autoreply::{FieldSeen, Silence, of_field},
    mail::Address,
};
use relais_config::grammar::{folded, table_key};

use crate::directory::{ADDRESSES, Entry};

/// The addresses of a user.
pub(super) struct OwnAddresses {
    /// In lower case; `@domain` is all of a domain.
    all: HashSet<String>,
    /// Between a user and a subaddress.
    delimiter: Box<str>,
}

/// The fields that decide in the header of a message.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Decoded.
    pub(super) subject: String,
    /// The first address of `From:`.
    pub(super) author: Option<String>,
    /// Addresses of `To:` and its kin, in lower case.
    to: Vec<String>,
    silence: Option<Silence>,
}

/// The addresses of an entry, and the one by which the message came.
pub(super) fn own_addresses((entry, member): (&Entry, &str), delimiter: &str) -> OwnAddresses {
    let all = ADDRESSES.iter().flat_map(|name| entry.all(name)).map(String::as_str);
    OwnAddresses { all: all.chain([member]).map(table_key).collect(), delimiter: delimiter.into() }
}

/// The texts by which an address is looked for in a directory, with this domain, and without what is
/// behind a delimiter; one at the beginning is part of the name.
pub(super) fn probes((address, domain): (&Address, &str), delimiter: &str) -> Vec<String> {
    let local = folded(&address.unquoted_local());
    let plain = local.split_once(delimiter).map(|(user, _)| user).filter(|user| !user.is_empty());
    let mut probes = vec![format!("{local}@{domain}")];
    probes.extend(plain.map(|user| format!("{user}@{domain}")));
    probes.push(format!("@{domain}"));
    probes
}

impl OwnAddresses {
    /// Whether an address is one of them, with or without a detail.
    pub(super) fn has(&self, address: &str) -> bool {
        let Ok(parsed) = Address::parse(address) else { return false };
        let domain = parsed.domain().unwrap_or_default().to_ascii_lowercase();
        if domain.is_empty() {
            return self.all.contains(&table_key(address));
        }
        let probes = probes((&parsed, &domain), &self.delimiter);
        probes.iter().any(|probe| self.all.contains(probe))
    }

    /// Whether an address is of this domain, or of one of theirs.
    pub(super) fn is_of_domain(&self, address: &str, name: &str) -> bool {
        let address = table_key(address);
        let domain = address.rsplit_once('@').map(|(_, domain)| domain);
        let is = |own: &str| domain == Some(own);
        is(name) || self.all.iter().any(|own| own.rsplit_once('@').is_some_and(|(_, own)| is(own)))
    }
}

impl Head {
    /// Reads a header.
    pub(super) fn of(header: &[u8]) -> Self {
        // A parser may end at a line of blanks, which belongs to the field before.
        let lines = header.split_inclusive(|c| *c == b'\n');
        let is_blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
        let mut whole: Vec<u8> = lines.filter(|line| !is_blank(line)).flatten().copied().collect();
        whole.extend_from_slice(b"\r\n");
        let Some(message) = MessageParser::new().parse_headers(whole.as_slice()) else {
            return Self::default();
        };
        let mut head =
            Self { subject: message.subject().unwrap_or_default().to_owned(), ..Self::default() };
        for field in message.headers() {
            let raw = whole.get(field.offset_start() as usize..field.offset_end() as usize);
            let value = String::from_utf8_lossy(raw.unwrap_or_default());
            let seen = FieldSeen { name: field.name(), value: &value };
            head.silence = head.silence.or_else(|| of_field(seen));
            let is_to = matches!(
                field.name,
                HeaderName::To
                    | HeaderName::Cc
                    | HeaderName::Bcc
                    | HeaderName::ResentTo
                    | HeaderName::ResentCc
                    | HeaderName::ResentBcc
            );
            let addresses =
                field.value.as_address().into_iter().flat_map(mail_parser::Address::iter);
            let mut addresses = addresses.filter_map(mail_parser::Addr::address);
            if is_to {
                let room = MOST_ADDRESSES.saturating_sub(head.to.len());
                head.to.extend(addresses.take(room).map(table_key));
            } else if field.name == HeaderName::From && head.author.is_none() {
                head.author = addresses.next().map(str::to_owned);
            }
        }
        head
    }

    /// Why the message is not answered by a user with these addresses.
    pub(super) fn silence(&self, own: &OwnAddresses) -> Option<Silence> {
        let is_addressed = || self.to.iter().any(|to| own.has(to));
        self.silence.or_else(|| (!is_addressed()).then_some(Silence::NotAddressed))
    }
}

/// Addresses of a header that are looked at.
const MOST_ADDRESSES: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn own(delimiter: &str) -> OwnAddresses {
        let mut entry = Entry::new("uid=jdoe");
        entry.add("mail", "jdoe@siroe.com");
        entry.add("mailAlternateAddress", "Jane.Doe@siroe.com");
        entry.add("mailEquivalentAddress", "@jane.example");
        own_addresses((&entry, "j@alias.example"), delimiter)
    }

    #[test]
    fn a_message_must_be_addressed_to_the_user_by_a_person() {
        use Silence::{Automatic, List, NotAddressed};
        let rows = [
            ("To: jdoe@siroe.com\r\n", None),
            ("To: \"Doe, J\" <JDOE@Siroe.com>\r\n", None),
            ("To: a@x, jane.doe+work@siroe.com\r\n", None),
            ("Cc: Team: a@x,\r\n jdoe@siroe.com;\r\n", None),
            ("To: all@x\r\nTo: jdoe@siroe.com\r\n", None),
            ("Resent-To: anybody@jane.example\r\n", None),
            ("Resent-Cc: j@alias.example\r\n", None),
            ("To: all@x\r\n", Some(NotAddressed)),
            ("", Some(NotAddressed)),
            ("To: undisclosed-recipients:;\r\n", Some(NotAddressed)),
            ("Reply-To: jdoe@siroe.com\r\nTo: x\r\n", Some(NotAddressed)),
            ("X-To: jdoe@siroe.com\r\n", Some(NotAddressed)),
            ("To: jdoe@siroe.com\r\nList-Id: x\r\n", Some(List)),
            ("To: jdoe@siroe.com\r\nAuto-Submitted:\r\n auto-replied\r\n", Some(Automatic)),
            ("To: jdoe@siroe.com\r\nAuto-Submitted: no\r\n", None),
            ("To: jdoe@siroe.com\r\nprecedence : bulk\r\n", Some(List)),
            ("To: jdoe@siroe.com\r\n \t\r\nList-Id: x\r\n", Some(List)),
            ("no field\r\nTo: jdoe@siroe.com\r\nList-Id: x\r\n", Some(List)),
            ("To: jdoe@siroe.com\r\nX: \0\u{fffd}\r\nList-Id: x\r\n", Some(List)),
            ("To: \"jdoe@siroe.com\r\nList-Id: x\r\n", Some(List)),
            ("To: (jdoe@siroe.com\r\nList-Id: x\r\n", Some(List)),
            ("To: jdoe@siroe.com\r\nSubject: =?utf-8?q?\r\nList-Id: x\r\n", Some(List)),
            ("To: jdoe@siroe.com\r\nReceived: (((\r\nList-Id: x\r\n", Some(List)),
            ("To: jdoe@siroe.com\r\nContent-Type: a; b=\"\r\nList-Id: x\r\n", Some(List)),
            ("To: jdoe@siroe.com\r\nMessage-ID: <<\r\nList-Id: x\r\n", Some(List)),
        ];
        for (header, want) in rows {
            assert_eq!(Head::of(header.as_bytes()).silence(&own("+")), want, "{header:?}");
        }
        let head = Head::of(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: Bob <Bob@y>, c@z\r\n");
        assert_eq!((&*head.subject, head.author.as_deref()), ("Gr\u{fc}\u{df}e", Some("Bob@y")));
        for odd in [&b"\xff\xfe: \0\r\n"[..], b"To: <<<>>>,,,(((\r\n", b":\r\n:\r\n", b"To"] {
            assert!(Head::of(odd).silence(&own("+")).is_some());
        }
    }

    #[test]
    fn the_delimiter_is_that_of_the_configuration() {
        // delimiter, address, whether it is the user's
        let rows = [
            ("-", "jdoe-work@siroe.com", true),
            ("-", "jdoe+work@siroe.com", false),
            ("-", "-jdoe@siroe.com", false),
            ("+", "jdoe+work@siroe.com", true),
            ("+", "jdoe-work@siroe.com", false),
        ];
        for (delimiter, address, want) in rows {
            assert_eq!(own(delimiter).has(address), want, "{delimiter} {address}");
            let header = format!("To: {address}\r\n");
            let silence = Head::of(header.as_bytes()).silence(&own(delimiter));
            assert_eq!(silence.is_none(), want, "{delimiter} {address}");
        }
    }

    #[test]
    fn own_addresses_are_known_in_all_spellings() {
        let own = own("+");
        for (address, want) in [
            ("JDoe@SIROE.com", true),
            ("jdoe+x@siroe.com", true),
            ("who@jane.example", true),
            ("doe@siroe.com", false),
            ("jdoe@other", false),
            ("", false),
        ] {
            assert_eq!(own.has(address), want, "{address}");
        }
        assert!(own.is_of_domain("boss@Siroe.com", "siroe.com"));
        assert!(own.is_of_domain("boss@jane.example", "siroe.com"));
        assert!(!own.is_of_domain("boss@else.example", "siroe.com"));
    }
}
