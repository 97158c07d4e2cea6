//! Points of a session that have macros of their own.

/// A point of a session that has macros of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MacroStage {
    /// The connection.
    Connect,
    /// HELO or EHLO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the message.
    EndOfMessage,
    /// The end of the header.
    EndOfHeader,
}

impl MacroStage {
    /// By its number in mfapi.h.
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Connect,
            1 => Self::Helo,
            2 => Self::Mail,
            3 => Self::Rcpt,
            4 => Self::Data,
            5 => Self::EndOfMessage,
            6 => Self::EndOfHeader,
            _ => return None,
        })
    }

    /// The macros that a filter gets which asks for none: those of Postfix, and the client at once.
    pub(super) fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Connect => &[
                "j",
                "{daemon_name}",
                "{daemon_addr}",
                "{daemon_port}",
                "v",
                "_",
                "{client_addr}",
                "{client_name}",
                "{client_port}",
                "{client_ptr}",
                "{client_resolve}",
            ],
            Self::Helo => &["{tls_version}", "{cipher}", "{cipher_bits}"],
            Self::Mail => &["i", "{auth_type}", "{auth_authen}", "{mail_addr}"],
            Self::Rcpt => &["i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"],
            Self::Data | Self::EndOfMessage | Self::EndOfHeader => &["i"],
        }
    }

    pub(super) fn is_usual_anywhere(name: &str) -> bool {
        [Self::Connect, Self::Helo, Self::Mail, Self::Rcpt]
            .iter()
            .any(|stage| stage.usual().contains(&name))
    }
}

/// Whether this may be the name of a macro.
pub(super) fn is_macro_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(u8::is_ascii_graphic)
}

const MAX_NAME: usize = 64;
