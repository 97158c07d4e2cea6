//! The extensions that a server offers.

use std::fmt;

use crate::{
    mail::{Dialect, Reply},
    sasl::Mechanism,
};

/// The server's protocol, and the extensions it named in its reply to LHLO or EHLO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // a set of keywords, each there or not
pub(crate) struct Offer {
    /// The protocol.
    pub(crate) dialect: Dialect,
    /// Commands may be sent without waiting (RFC 2920).
    pub(crate) pipelining: bool,
    /// BODY= (RFC 6152).
    pub(crate) eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub(crate) smtputf8: bool,
    /// SIZE= (RFC 1870), and the most octets the server takes; 0 when it does not say.
    pub(crate) size: Option<u64>,
    /// RET= and ENVID= on MAIL, NOTIFY= and ORCPT= on RCPT (RFC 3461).
    pub(crate) dsn: bool,
    /// STARTTLS (RFC 3207).
    pub(crate) starttls: bool,
    /// AUTH (RFC 4954).
    pub(crate) auth: Mechanisms,
    /// XQUOTA= on RCPT.
    pub(crate) quota: bool,
    /// XDFLG= on RCPT.
    pub(crate) flags: bool,
    /// XSTRESS: a reply to the content may say that the store is slow.
    pub(crate) stress: bool,
    /// BDAT (RFC 3030).
    pub(crate) chunking: bool,
    /// REQUIRETLS (RFC 8689).
    pub(crate) requiretls: bool,
    /// Mail that must stay behind TLS may be handed over: see [`Offer::guards`].
    pub(crate) guards: bool,
    /// A server that could not be asked now may take what this one lacks something for.
    pub(crate) others_may: bool,
    /// Not named but known: the server is one of ours, and all of its parameters may be sent.
    pub(crate) private: bool,
}

/// Mechanisms of AUTH.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mechanisms {
    /// A bit for each that we know.
    known: u8,
    /// Others are offered, too.
    others: bool,
}

impl Mechanisms {
    /// Whether this one is offered.
    pub(crate) fn has(self, mechanism: Mechanism) -> bool {
        self.known & bit(mechanism) != 0
    }

    /// Whether AUTH is not offered at all.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Mechanisms of a list, for tests.
    #[cfg(test)]
    pub(crate) fn of(names: &str) -> Self {
        let mut all = Self::default();
        names.split_whitespace().for_each(|name| all.add(name));
        all
    }

    fn add(&mut self, name: &str) {
        match KNOWN.into_iter().find(|its| its.name().eq_ignore_ascii_case(name)) {
            Some(mechanism) => self.known |= bit(mechanism),
            None => self.others = true,
        }
    }
}

/// `PLAIN, LOGIN and others`.
impl fmt::Display for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> =
            KNOWN.iter().filter(|its| self.has(**its)).map(|its| its.name()).collect();
        f.write_str(&known.join(", "))?;
        f.write_str(match (known.is_empty(), self.others) {
            (_, false) => "",
            (false, true) => " and others",
            (true, true) => "others only",
        })
    }
}

fn bit(mechanism: Mechanism) -> u8 {
    1 << mechanism as u8
}

const KNOWN: [Mechanism; 8] = [
    Mechanism::External,
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha256,
    Mechanism::CramMd5,
    Mechanism::Plain,
    Mechanism::Login,
    Mechanism::OauthBearer,
    Mechanism::Xoauth2,
];

impl Offer {
    /// Nothing: no reply has come, or one to HELO, which names nothing.
    pub(crate) fn none(dialect: Dialect) -> Self {
        Self {
            dialect,
            pipelining: false,
            eight_bit: false,
            smtputf8: false,
            size: None,
            dsn: false,
            starttls: false,
            auth: Mechanisms::default(),
            quota: false,
            flags: false,
            stress: false,
            chunking: false,
            requiretls: false,
            guards: false,
            others_may: false,
            private: false,
        }
    }

    /// Reads the reply to LHLO or EHLO: a line with the server's name, then a keyword on each.
    /// `private`: the server is said to be a store of ours.
    pub(crate) fn of(reply: &Reply, dialect: Dialect, private: bool) -> Self {
        let stores = dialect.reaches_stores();
        let private = private && stores;
        let mut offer = Self { private, quota: private, flags: private, ..Self::none(dialect) };
        for line in reply.text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => offer.pipelining = true,
                "8BITMIME" => offer.eight_bit = true,
                "SMTPUTF8" => offer.smtputf8 = true,
                "SIZE" => offer.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "DSN" => offer.dsn = true,
                "CHUNKING" => offer.chunking = true,
                "STARTTLS" => offer.starttls = true,
                "REQUIRETLS" => offer.requiretls = true,
                "AUTH" => {
                    // A list that is empty is one all the same.
                    offer.auth.others |= words.clone().next().is_none();
                    words.for_each(|name| offer.auth.add(name));
                }
                "XQUOTA" if stores => offer.quota = true,
                "XDFLG" if stores => offer.flags = true,
                "XSTRESS" if private => offer.stress = true,
                // As it was before the RFC.
                word if word.starts_with("AUTH=") => {
                    offer.auth.add(&word["AUTH=".len()..]);
                    words.for_each(|name| offer.auth.add(name));
                }
                _ => {}
            }
        }
        offer
    }

    /// Octets of a message that the server takes at most, as far as it says.
    pub(super) fn size_limit(self) -> Option<u64> {
        self.size.filter(|limit| *limit != 0)
    }
}
