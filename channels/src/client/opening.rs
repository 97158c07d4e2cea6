//! The opening of a connection: all that is said before the first message, in the order of the wire.
//!
//! PROXY header, TLS from the first octet, greeting and LHLO; STARTTLS, and LHLO once more, since
//! what was offered in clear counts no more; AUTH. All of it together has one time limit.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{task::spawn_blocking, time::timeout};
use zeroize::Zeroizing;

use super::{
    connection::Connection,
    introduction::{Introduced, Introduction},
    offer::{Mechanisms, Offer},
    owed::{DestinationTls, Met, result_of},
    policy::{Lost, Stage},
    progress::WaitsFor,
    security::{ClientHandshake, LoginPolicy, Security, TlsPolicy},
    settings::Settings,
    site::{Server, Site},
    stream::Nearness,
};
use crate::{
    mail::{Dialect, Enhanced, NextHop, Outcome, Reply, SiteTrouble, TlsWish},
    sasl::{Login, Mechanism, Proof, ProofFault},
    tls::Towards,
    tls_policy::{Basis, Requirement, TlsNeed, TlsResult},
};

/// A connection that is about to be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstWords<'a> {
    pub(super) dialect: Dialect,
    pub(super) settings: &'a Settings,
    pub(super) security: &'a Security,
    /// The place as it is configured.
    pub(super) hop: &'a NextHop,
    /// The server, and the site that it is of. A UNIX socket has none.
    pub(super) site: Option<(&'a Site, &'a Server)>,
    /// The port where the hop names none.
    pub(super) port: u16,
    /// The TLS that the server is owed.
    pub(super) owed: &'a Requirement,
    /// Of the destination that the server is of.
    pub(super) destination: &'a DestinationTls,
    /// TLS has failed here, and mail may leave in clear.
    pub(super) in_clear: bool,
}

/// The end of a dialogue of AUTH.
enum Proven {
    LetIn,
    Refused(Reply),
}

/// A server, and who we are there.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // a table of facts, each so or not
struct Circumstances {
    has_password: bool,
    has_token: bool,
    /// Nobody listens on the way, or nobody minds.
    is_safe: bool,
    /// The server knows who we are without a password.
    is_known: bool,
    /// A proof can be bound to the TLS session.
    is_bound: bool,
}

/// Why no message can be handed over.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The server does not want, or we do not.
    Trouble(SiteTrouble),
    /// TLS has failed; another connection without it may do.
    WithoutTls(SiteTrouble),
}

impl From<SiteTrouble> for NotOpened {
    fn from(trouble: SiteTrouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl FirstWords<'_> {
    /// Says and hears everything.
    pub(super) async fn open(&self, mut connection: Connection) -> Result<Connection, NotOpened> {
        connection.bound(self.settings.limits.greeting);
        if self.security.proxy_header {
            connection.send_proxy_header().await?;
        }
        let login = self.login()?;
        let tls = self.tls(&connection);
        let mut towards = None;
        if let Some(tls) = tls.filter(|tls| tls.implicit) {
            let (secured, session) =
                self.secure(connection, tls).await.map_err(NotOpened::Trouble)?;
            (connection, towards) = (secured, Some(session));
        }
        let greeting = Introduction::new(self.dialect, self.settings.private);
        let mut offer = self.introduce(&mut connection, greeting).await?;
        if let Some(tls) = tls.filter(|tls| !tls.implicit)
            && self.starts_tls(&mut connection, offer).await?
        {
            let secured = self.secure(connection, tls).await;
            let (secured, session) = secured.map_err(|trouble| {
                let may = self.owed.need != TlsNeed::Must && login.is_none();
                if may { NotOpened::WithoutTls(trouble) } else { NotOpened::Trouble(trouble) }
            })?;
            (connection, towards) = (secured, Some(session));
            let again = Introduction::again(self.dialect, self.settings.private);
            offer = self.introduce(&mut connection, again).await?;
        }
        let mechanism = self.log_in(&mut connection, offer, login, towards.as_ref()).await?;
        connection.protected(self.words(towards.as_ref(), mechanism.as_deref()));
        connection.unbound();
        let guards = self.guards(&connection, offer, towards.as_ref());
        connection.offered(Offer { guards, ..offer });
        if self.owed.basis == Basis::NotRequired {
            connection.made_for = TlsWish::NotRequired;
        }
        Ok(connection)
    }

    /// Whether mail that must stay behind TLS may go this way: to a server that is the right one, shows
    /// who it is and promises to guard it, too (RFC 8689 section 4.2.1); to a store that shows it, or is
    /// of this machine, since no store offers REQUIRETLS and its mail goes no further.
    fn guards(&self, connection: &Connection, offer: Offer, towards: Option<&Towards>) -> bool {
        let is_shown = towards.is_some_and(|towards| towards.doubt.is_none());
        match self.dialect {
            Dialect::Smtp => is_shown && offer.requiretls && self.is_right_host(),
            Dialect::Lmtp => is_shown || connection.nearness() != Nearness::Elsewhere,
        }
    }

    /// Whether the server's name is not the word of MX records alone, which somebody on the way may have
    /// changed.
    fn is_right_host(&self) -> bool {
        let Some((_, server)) = self.site.filter(|(site, _)| site.by_mx) else { return true };
        let is_named = self.security.tls.as_ref().is_some_and(|tls| tls.client.has_names())
            || self.owed.basis.is_operators();
        is_named || self.destination.facts.proves(&server.host)
    }

    /// TLS, and whose word it follows beside the channel's, and AUTH.
    fn words(&self, towards: Option<&Towards>, login: Option<&str>) -> Option<Arc<str>> {
        let towards = towards.map(|towards| match &self.owed.basis {
            Basis::Channel => towards.to_string(),
            basis => format!("{towards}; {basis}"),
        });
        Some(match (towards, login) {
            (None, None) => return None,
            (Some(towards), None) => towards.into(),
            (None, Some(login)) => format!("AUTH {login}").into(),
            (Some(towards), Some(login)) => format!("{towards}; AUTH {login}").into(),
        })
    }

    /// The policy of TLS for this connection. What does not leave the machine by a UNIX socket needs
    /// none unless somebody insists.
    fn tls(&self, connection: &Connection) -> Option<&TlsPolicy> {
        let is_local = connection.nearness() == Nearness::Unix;
        self.security.tls.as_ref().filter(|_| match self.owed.need {
            TlsNeed::No => false,
            TlsNeed::May => !is_local && !self.in_clear,
            TlsNeed::Must => true,
        })
    }

    async fn introduce(
        &self,
        connection: &mut Connection,
        mut introduction: Introduction,
    ) -> Result<Offer, SiteTrouble> {
        loop {
            let command = introduction.command(&self.settings.host);
            let reply = connection.ask(introduction.stage(), command.as_bytes()).await?;
            match introduction.take(reply) {
                Introduced::Say => {}
                Introduced::Ready(offer) => return Ok(offer),
                Introduced::Refused(outcome) => return Err(SiteTrouble { outcome }),
            }
        }
    }

    /// Asks for TLS. Whether the handshake is due.
    async fn starts_tls(
        &self,
        connection: &mut Connection,
        offer: Offer,
    ) -> Result<bool, SiteTrouble> {
        let peer = connection.peer().to_owned();
        let must = self.owed.need == TlsNeed::Must;
        let lacks = || {
            if let Some(met) = self.met(connection) {
                let words = format!("{} does not offer STARTTLS", connection.peer());
                met.note(Some((TlsResult::StartTlsNotSupported, words)));
            }
        };
        if !offer.starttls {
            lacks();
            let basis = self.owed.basis.asks();
            let text = || format!("{peer} does not offer STARTTLS, which {basis} asks for");
            return if must { Err(self.without_tls(&peer, text())) } else { Ok(false) };
        }
        let reply = connection.ask(Stage::StartTls, b"STARTTLS\r\n").await?;
        if !reply.is_success() {
            let text = || format!("{peer} refuses STARTTLS: {reply:.200}");
            return if must { Err(self.without_tls(&peer, text())) } else { Ok(false) };
        }
        // Octets that came in clear would be taken for what the server says behind TLS.
        if connection.has_unread() {
            let text = format!("{peer} sent more in clear behind its reply to STARTTLS");
            return Err(deferred(TLS_FAULT, text));
        }
        Ok(true)
    }

    /// A server has no TLS, and gets no mail without it.
    fn without_tls(&self, peer: &str, text: String) -> SiteTrouble {
        self.tell_failure(peer, TlsResult::StartTlsNotSupported.name(), &text);
        deferred(NO_TLS, text)
    }

    /// Tells whoever listens that TLS came to nothing.
    fn tell_failure(&self, peer: &str, cause: &'static str, words: &str) {
        let host = self.site.map_or("", |(site, _)| &site.name);
        if let Some(tls) = &self.security.tls {
            tls.tell((host, peer), cause, words);
        }
    }

    async fn secure(
        &self,
        connection: Connection,
        tls: &TlsPolicy,
    ) -> Result<(Connection, Towards), SiteTrouble> {
        let host = match self.hop {
            NextHop::Host { name, .. } => match self.site {
                Some((_, server)) => server.host.to_string(),
                None => name.clone(),
            },
            NextHop::Ip { address, .. } => format!("[{address}]"),
            // A socket is of this machine.
            NextHop::Unix(_) => self.settings.host.clone(),
        };
        // Servers choose their certificate by the name that records are under (RFC 7672 section 8.1).
        let host = self.owed.demand.base().map_or(host, str::to_owned);
        let peer = connection.peer().to_owned();
        let limit = connection.limited(self.settings.command_time);
        let met = self.met(&connection);
        self.settings.progress.waits(WaitsFor::Handshake);
        let shaken =
            timeout(limit, connection.secure(&tls.client, (&host, &self.owed.demand))).await;
        self.security.count(match &shaken {
            Ok(Ok((_, towards))) if towards.resumed => ClientHandshake::Resumed,
            Ok(Ok(_)) => ClientHandshake::Full,
            Ok(Err(_)) => ClientHandshake::Failed,
            Err(_elapsed) => ClientHandshake::Timeout,
        });
        match shaken {
            Ok(Ok(secured)) => {
                met.inspect(|met| met.shaken(&secured.1));
                Ok(secured)
            }
            Ok(Err(refused)) => {
                met.inspect(|met| met.refused(&refused));
                let cause = result_of(refused.kind, self.owed).name();
                self.tell_failure(&peer, cause, &refused.to_string());
                Err(deferred(TLS_FAULT, format!("TLS handshake with {peer}: {refused}")))
            }
            Err(_elapsed) => {
                let stage = "while shaking hands";
                let text = format!("{} with {peer} {stage}", Lost::TimedOut);
                self.tell_failure(&peer, "timeout", &text);
                Err(deferred(Enhanced(4, 4, 2), text))
            }
        }
    }

    /// The session that is counted, of a server that is found by MX records.
    fn met(&self, connection: &Connection) -> Option<Met<'_>> {
        let (tls, (_, server)) = (self.security.tls.as_ref()?, self.site?);
        let from = connection.own_address();
        let is_smtp = self.dialect == Dialect::Smtp;
        let Self { destination, owed, .. } = *self;
        is_smtp.then_some(Met { tls, destination, server, owed, from })
    }

    fn shows_certificate(&self, towards: Option<&Towards>) -> bool {
        let tls = self.security.tls.as_ref();
        towards.is_some() && tls.is_some_and(|tls| tls.client.has_certificate())
    }

    /// Our user there, if the file of passwords says so.
    fn login(&self) -> Result<Option<Login>, SiteTrouble> {
        let Some(LoginPolicy { credentials, must, .. }) = &self.security.login else {
            return Ok(None);
        };
        let unknown = |error| deferred(Enhanced(4, 3, 5), format!("passwords of {error}"));
        let mut found = credentials.find(self.hop, self.port).map_err(unknown)?;
        if found.is_none()
            && let Some((site, server)) = self.site
            && !site.by_mx
            && let Some(canonical) = &server.canonical
        {
            found = credentials.find_name(canonical).map_err(unknown)?;
        }
        if found.is_none() && *must {
            let text = format!("sasl.credentials has no user for {}", self.hop);
            return Err(deferred(AUTH_FAULT, text));
        }
        Ok(found)
    }

    /// AUTH; returns what was done, in words.
    async fn log_in(
        &self,
        connection: &mut Connection,
        offer: Offer,
        login: Option<Login>,
        towards: Option<&Towards>,
    ) -> Result<Option<String>, SiteTrouble> {
        let (Some(login), Some(policy)) = (login, &self.security.login) else { return Ok(None) };
        let peer = connection.peer().to_owned();
        if offer.auth.is_none() {
            let text = || format!("{peer} does not offer AUTH, which sasl.client asks for");
            return if policy.must { Err(deferred(AUTH_FAULT, text())) } else { Ok(None) };
        }
        let circumstances = Circumstances {
            has_password: login.has_password(),
            has_token: policy.tokens.is_some(),
            is_safe: hides_passwords(self.dialect, towards)
                || connection.nearness() != Nearness::Elsewhere
                || policy.clear,
            is_known: connection.nearness() == Nearness::Unix || self.shows_certificate(towards),
            is_bound: towards.is_some_and(|towards| towards.binding.is_some()),
        };
        let mechanism = circumstances.choose(offer.auth);
        let Some(mechanism) = mechanism else {
            let hint = match (circumstances.is_safe, towards) {
                (true, _) => "",
                (false, None) => "; passwords are not sent without TLS",
                (false, Some(_)) => "; passwords are not sent to a server that may be another",
            };
            let text =
                format!("{peer} offers no mechanism that may be used ({}){hint}", offer.auth);
            return Err(deferred(AUTH_FAULT, text));
        };
        let (login, token) = match policy.tokens.as_ref().filter(|_| mechanism.shows_token()) {
            None => (login, None),
            Some(tokens) => {
                let unknown = |error| deferred(AUTH_FAULT, format!("{}: {error}", tokens.origin()));
                let token = tokens.current().await.map_err(unknown)?;
                (login.with_token(token.clone()), Some((tokens, token)))
            }
        };
        let binding = towards.and_then(|towards| towards.binding);
        let proven = prove(connection, mechanism, login.clone(), binding).await?;
        let (mechanism, proven) = match proven {
            // It may know another kind of binding (Cyrus: tls-unique); none is better than no mail.
            Proven::Refused(_)
                if mechanism == Mechanism::ScramSha256Plus
                    && offer.auth.has(Mechanism::ScramSha256) =>
            {
                let unbound = Mechanism::ScramSha256;
                (unbound, prove(connection, unbound, login.clone(), None).await?)
            }
            proven => (mechanism, proven),
        };
        if let (Proven::Refused(_), Some((tokens, token))) = (&proven, token) {
            tokens.is_refused(&token).await;
        }
        match proven {
            Proven::LetIn => Ok(Some(format!("{} as {}", mechanism.name(), login.user))),
            Proven::Refused(reply) => Err(SiteTrouble::deferred(softened(reply))),
        }
    }
}

impl Circumstances {
    /// The best mechanism that may be used.
    fn choose(self, offered: Mechanisms) -> Option<Mechanism> {
        let fits = |mechanism: &Mechanism| match mechanism {
            Mechanism::External => self.is_known,
            Mechanism::ScramSha256Plus => self.is_bound,
            its => self.is_safe || !its.sends_password(),
        };
        let by_token = Mechanism::WITH_TOKEN.iter().filter(|_| self.has_token);
        let others: &[Mechanism] =
            if self.has_password { &Mechanism::WITH_PASSWORD } else { &[Mechanism::External] };
        by_token.chain(others).copied().find(|its| offered.has(*its) && fits(its))
    }
}

/// Whether TLS keeps a password from all but the server that it is for. Over SMTP, whose servers are
/// strangers, that takes a good certificate: whoever sits on the way can have one of his own.
fn hides_passwords(dialect: Dialect, towards: Option<&Towards>) -> bool {
    towards.is_some_and(|towards| dialect == Dialect::Lmtp || towards.doubt.is_none())
}

/// The dialogue of AUTH (RFC 4954).
async fn prove(
    connection: &mut Connection,
    mechanism: Mechanism,
    login: Login,
    binding: Option<[u8; 32]>,
) -> Result<Proven, SiteTrouble> {
    let peer = connection.peer().to_owned();
    let name = mechanism.name();
    let fault =
        |fault: ProofFault| deferred(AUTH_FAULT, format!("AUTH {name} with {peer}: {fault}"));
    let (mut proof, mut first) = Proof::begin(mechanism, login, binding).map_err(fault)?;
    let mut line = Zeroizing::new(format!("AUTH {name}"));
    if let Some(said) = first.take_if(|said| said.len() <= LONGEST_FIRST) {
        let said = Zeroizing::new(said);
        let text = Zeroizing::new(BASE64_STANDARD.encode(&said));
        line.push(' ');
        line.push_str(if text.is_empty() { "=" } else { &text });
    }
    loop {
        line.push_str("\r\n");
        let reply = connection.ask(Stage::Auth, line.as_bytes()).await?;
        if reply.is_success() {
            return proof.end().map(|()| Proven::LetIn).map_err(fault);
        }
        if reply.code != 334 {
            return Ok(Proven::Refused(reply));
        }
        let answer = match first.take() {
            Some(said) => Ok(said),
            None => match BASE64_STANDARD.decode(reply.text.as_bytes()) {
                // Thousands of rounds of hashing would hold up others.
                Ok(challenge) => {
                    let answered = spawn_blocking(move || {
                        let answer = proof.answer(&challenge);
                        (proof, answer)
                    });
                    let Ok((again, answer)) = answered.await else {
                        return Err(fault(ProofFault::Malformed));
                    };
                    proof = again;
                    answer
                }
                Err(_) => Err(ProofFault::Malformed),
            },
        };
        match answer {
            Ok(answer) => {
                let answer = Zeroizing::new(answer);
                line = Zeroizing::new(BASE64_STANDARD.encode(&answer));
            }
            Err(why) => {
                // The reply changes nothing: the connection ends.
                let _ = connection.ask(Stage::Auth, b"*\r\n").await;
                return Err(fault(why));
            }
        }
    }
}

/// A refusal of ours is a slip in our file, or in theirs: no mail is returned for it.
fn softened(reply: Reply) -> Reply {
    let code = if reply.code >= 500 { reply.code - 100 } else { reply.code };
    let code = if code >= 400 { code } else { 435 };
    let enhanced = reply.enhanced.map(|Enhanced(_, subject, detail)| Enhanced(4, subject, detail));
    Reply { code, enhanced: enhanced.or(Some(Enhanced(4, 7, 8))), text: reply.text }
}

fn deferred(enhanced: Enhanced, text: String) -> SiteTrouble {
    SiteTrouble { outcome: Outcome::Deferred(Reply::with_text(451, enhanced, text)) }
}

/// Octets of a first response that leave the line shorter than 512, in base64.
const LONGEST_FIRST: usize = 360;
const NO_TLS: Enhanced = Enhanced(4, 7, 4);
const TLS_FAULT: Enhanced = Enhanced(4, 7, 5);
const AUTH_FAULT: Enhanced = Enhanced(4, 7, 0);

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
