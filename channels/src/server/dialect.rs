//! SMTP and LMTP as a server speaks them: everything in which the two differ stands here, but for
//! the replies after the data (one for the message, or one for each recipient).

use std::fmt::Write;

use super::setup::Setup;
use crate::{
    mail::{Dialect, Enhanced, Reply},
    sasl::Mechanism,
};

impl Dialect {
    /// The first line a client reads.
    pub(super) fn greeting(self, host: &str) -> Reply {
        let protocol = match self {
            Self::Smtp => "ESMTP",
            Self::Lmtp => "LMTP",
        };
        Reply::plain(220, format!("{host} {protocol} relais"))
    }

    /// The word for `Received:` of a message that came with SMTPUTF8 (RFC 6531 section 4.3), made of the
    /// other one.
    pub fn word_with_smtputf8(word: &str) -> String {
        format!("UTF8{}", word.strip_prefix('E').unwrap_or(word))
    }

    /// The word for `Received:` (RFC 3848). It has none for HELO behind a handshake.
    pub fn word(self, extended: bool, secured: bool, authenticated: bool) -> &'static str {
        match (self, secured, authenticated) {
            (Self::Smtp, _, _) if !extended => "SMTP",
            (Self::Smtp, false, false) => "ESMTP",
            (Self::Smtp, false, true) => "ESMTPA",
            (Self::Smtp, true, false) => "ESMTPS",
            (Self::Smtp, true, true) => "ESMTPSA",
            (Self::Lmtp, false, false) => "LMTP",
            (Self::Lmtp, false, true) => "LMTPA",
            (Self::Lmtp, true, false) => "LMTPS",
            (Self::Lmtp, true, true) => "LMTPSA",
        }
    }

    /// The reply to EHLO or LHLO. `tls`: the line about TLS, if there is one.
    pub(super) fn extensions(self, setup: &Setup, tls: &str, mechanisms: &[Mechanism]) -> Reply {
        let mut text = String::with_capacity(setup.host.len() + EXTENSIONS_ROOM);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}\nPIPELINING\nSIZE {}", setup.host, setup.limits.message_size);
        // Mail that must stay behind TLS comes by SMTP alone (RFC 8689 section 3).
        if self == Self::Smtp || tls == STARTTLS {
            text.push_str(tls);
        }
        if !mechanisms.is_empty() {
            text.push_str("AUTH");
            for mechanism in mechanisms {
                text.push(' ');
                text.push_str(mechanism.name());
            }
            text.push('\n');
        }
        text.push_str(match self {
            Self::Smtp => "8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nDSN\nCHUNKING\nHELP",
            // Relays of ours are told when the store is slow.
            Self::Lmtp if setup.limits.is_private => {
                "8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nXQUOTA\nXDFLG\nXSTRESS\nOK"
            }
            Self::Lmtp => "8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nXQUOTA\nOK",
        });
        Reply::plain(250, text)
    }

    /// DATA when no recipient was accepted.
    pub(super) fn no_recipients(self) -> Reply {
        match self {
            Self::Smtp => Reply::new(554, Enhanced(5, 5, 1), "no valid recipients"),
            Self::Lmtp => Reply::new(503, Enhanced(5, 5, 1), "no valid recipients"),
        }
    }

    /// A greeting verb of the other dialect.
    pub(super) fn wrong_hello(self) -> Reply {
        let text = match self {
            Self::Smtp => "this is SMTP, say EHLO or HELO",
            Self::Lmtp => "this is LMTP, say LHLO",
        };
        Reply::new(500, Enhanced(5, 5, 1), text)
    }

    /// The reply to HELP.
    pub(super) fn help(self) -> Reply {
        let text = match self {
            Self::Smtp => {
                "commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\n\
                 see RFC 5321, RFC 3461, RFC 3207, RFC 4954"
            }
            Self::Lmtp => {
                "commands: LHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nsee RFC 2033"
            }
        };
        Reply::new(214, Enhanced(2, 0, 0), text)
    }
}

/// Octets of the reply to EHLO or LHLO beside the host, generously.
const EXTENSIONS_ROOM: usize = 128;
/// Lines of the reply, of a connection in clear and behind TLS.
pub(super) const STARTTLS: &str = "STARTTLS\n";
pub(super) const REQUIRETLS: &str = "REQUIRETLS\n";
