//! AUTH (RFC 4954): when it may come, and what it is wrapped in. The exchange itself is the
//! engine's: octets go to it in clear and come back so.

use base64::{Engine, prelude::BASE64_STANDARD};
use relais_config::tls::Insist;

use super::{Event, LoginState, Phase, Protection, Session};
use crate::{
    mail::Reply,
    sasl::Mechanism,
    server::{
        AuthAnswer, AuthSaid,
        replies::{
            AUTH_BAD_BASE64, AUTH_CANCELLED, AUTH_IN_MAIL, AUTH_NEEDS_TLS, AUTH_OK, AUTH_TWICE,
            AUTH_UNKNOWN, HELLO_FIRST, NOT_OFFERED,
        },
    },
};

impl Session<'_> {
    /// The answer to [`Event::Authenticate`].
    pub fn authenticated(&mut self, answer: AuthAnswer) {
        self.phase = Phase::Command;
        match answer {
            AuthAnswer::Challenge(octets) => {
                self.phase = Phase::Auth;
                let text = BASE64_STANDARD.encode(octets);
                self.say(&Reply { code: 334, enhanced: None, text: text.into() });
            }
            AuthAnswer::Granted => {
                self.login = LoginState::Done;
                self.say(&AUTH_OK);
            }
            AuthAnswer::Refused(reply) => {
                if let Event::Close(reason) = self.bad(&reply) {
                    self.closing = Some(reason);
                }
            }
        }
    }

    /// The mechanisms that EHLO names; none when AUTH is of no use now.
    pub(super) fn mechanisms(&self) -> Vec<Mechanism> {
        let offer = &self.setup.sasl;
        let is_useful = offer.server != Insist::No && self.login != LoginState::Done;
        if !is_useful || !self.hides_passwords() {
            return Vec::new();
        }
        let fits = |mechanism: &Mechanism| match mechanism {
            Mechanism::External => {
                matches!(
                    self.protection,
                    Protection::Tls { certificate: true, .. } | Protection::Socket
                )
            }
            Mechanism::ScramSha256Plus => {
                offer.scram && matches!(self.protection, Protection::Tls { binding: true, .. })
            }
            Mechanism::ScramSha256 => offer.scram,
            Mechanism::Plain | Mechanism::Login => true,
            Mechanism::CramMd5 | Mechanism::OauthBearer | Mechanism::Xoauth2 => false,
        };
        Mechanism::ALL.into_iter().filter(fits).collect()
    }

    /// Whether the peer has to say who it is, and prove it, before it sends mail.
    pub(super) fn lacks_auth(&self) -> bool {
        self.setup.sasl.server == Insist::Must && self.login == LoginState::Missing
    }

    /// Whether nobody else reads what the peer sends, or the operator does not mind.
    fn hides_passwords(&self) -> bool {
        self.protection != Protection::None || self.setup.sasl.without_tls
    }

    pub(super) fn auth<'a>(&mut self, argument: &[u8]) -> Event<'a> {
        let mut words = argument.split(|c| *c == b' ').filter(|word| !word.is_empty());
        let (name, initial) = (words.next().unwrap_or_default(), words.next());
        let offer = &self.setup.sasl;
        let extended = self.hello.as_ref().is_some_and(|hello| hello.extended);
        let refusal = match Mechanism::parse(name) {
            _ if offer.server == Insist::No => &NOT_OFFERED,
            _ if !extended => &HELLO_FIRST,
            _ if self.login == LoginState::Done => &AUTH_TWICE,
            _ if self.transaction.is_some() => &AUTH_IN_MAIL,
            _ if !self.hides_passwords() => &AUTH_NEEDS_TLS,
            Some(mechanism) if self.mechanisms().contains(&mechanism) && words.next().is_none() => {
                let initial = match initial {
                    None => None,
                    // An empty one has to be told from none.
                    Some(b"=") => Some(Vec::new()),
                    Some(text) => match BASE64_STANDARD.decode(text) {
                        Ok(octets) => Some(octets),
                        Err(_) => return self.bad(&AUTH_BAD_BASE64),
                    },
                };
                return Event::Authenticate(AuthSaid::Begin(mechanism, initial));
            }
            _ => &AUTH_UNKNOWN,
        };
        self.bad(refusal)
    }

    /// A line behind a challenge.
    pub(super) fn auth_response<'a>(&mut self, line: &[u8]) -> Event<'a> {
        if line == b"*" {
            self.phase = Phase::Command;
            return self.bad(&AUTH_CANCELLED);
        }
        if let Ok(octets) = BASE64_STANDARD.decode(line) {
            return Event::Authenticate(AuthSaid::Response(octets));
        }
        self.phase = Phase::Command;
        self.bad(&AUTH_BAD_BASE64)
    }
}
