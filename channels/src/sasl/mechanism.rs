//! Mechanisms by their names.

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mechanism {
    /// The password itself (RFC 4616).
    Plain,
    /// The password itself, asked for by words that no standard has.
    Login,
    /// Proof of a password that is not sent, by a weak hash (RFC 2195); as a client alone.
    CramMd5,
    /// Proof of a password that is not sent (RFC 7677).
    ScramSha256,
    /// The same, bound to the TLS session (RFC 5802 section 6).
    ScramSha256Plus,
    /// The certificate that the client has shown (RFC 4422 appendix A).
    External,
}

impl Mechanism {
    /// Every mechanism of ours as a server, the best first.
    pub const ALL: [Self; 5] =
        [Self::External, Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// Every mechanism of ours as a client that has a password, the best first.
    pub const WITH_PASSWORD: [Self; 5] =
        [Self::ScramSha256Plus, Self::ScramSha256, Self::CramMd5, Self::Plain, Self::Login];

    /// By its name, in whatever case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|its| its.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// As EHLO has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::External => "EXTERNAL",
        }
    }

    /// Whether the server is sent the password itself.
    pub const fn sends_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }
}
