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
    /// An access token of OAuth 2.0 (RFC 7628); as a client alone.
    OauthBearer,
    /// The same in the form that came before the RFC; as a client alone.
    Xoauth2,
}

impl Mechanism {
    /// Every mechanism of ours as a server, the best first.
    pub const ALL: [Self; 5] =
        [Self::External, Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// Every mechanism of ours as a client that has a password, the best first.
    pub const WITH_PASSWORD: [Self; 5] =
        [Self::ScramSha256Plus, Self::ScramSha256, Self::CramMd5, Self::Plain, Self::Login];

    /// Every mechanism of ours as a client that has an access token, the best first.
    pub const WITH_TOKEN: [Self; 2] = [Self::OauthBearer, Self::Xoauth2];

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
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
        }
    }

    /// Whether it is an access token that the server is shown.
    pub const fn shows_token(self) -> bool {
        matches!(self, Self::OauthBearer | Self::Xoauth2)
    }

    /// Whether the server is sent the password, or the token, itself.
    pub const fn sends_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login | Self::OauthBearer | Self::Xoauth2)
    }
}
