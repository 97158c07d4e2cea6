//! The extensions that a server offers.

use crate::mail::{Dialect, Reply};

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
    /// SIZE= (RFC 1870), and the most octets the server takes; 0 when it does not say.
    pub(crate) size: Option<u64>,
    /// RET= and ENVID= on MAIL, NOTIFY= and ORCPT= on RCPT (RFC 3461).
    pub(crate) dsn: bool,
    /// XQUOTA= on RCPT.
    pub(crate) quota: bool,
    /// XDFLG= on RCPT.
    pub(crate) flags: bool,
    /// XSTRESS: a reply to the content may say that the store is slow.
    pub(crate) stress: bool,
    /// Not named but known: the server is one of ours, and all of its parameters may be sent.
    pub(crate) private: bool,
}

impl Offer {
    /// Nothing: no reply has come, or one to HELO, which names nothing.
    pub(crate) fn none(dialect: Dialect) -> Self {
        Self {
            dialect,
            pipelining: false,
            eight_bit: false,
            size: None,
            dsn: false,
            quota: false,
            flags: false,
            stress: false,
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
                "SIZE" => offer.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "DSN" => offer.dsn = true,
                "XQUOTA" if stores => offer.quota = true,
                "XDFLG" if stores => offer.flags = true,
                "XSTRESS" if private => offer.stress = true,
                _ => {}
            }
        }
        offer
    }
}
