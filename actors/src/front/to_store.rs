//! The LMTP side of a session: its messages go into the store.
//!
//! As in the original, addresses are not looked up at RCPT; what became of each recipient is said
//! after the data.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use relais_channels::{
    disk::is_full,
    mail::{Enhanced, MessageId, MessageIds, Reply, STRESSED, message_id, peer_id},
    mailbox::{Answer, Body, Delivery, MADE_ALWAYS, MailboxName, Rcpt, spill::Spill},
    sasl::Mechanism,
    server::{
        AuthAnswer, AuthSaid, Dialect, Intake, MailFrom, NOT_OFFERED, RcptTo, Verdict, XClient,
    },
    tls::{ClientCertificate, HandshakeFailure, Secured},
};

use super::{
    authentication::{AuthExchange, Authenticator, Claimant},
    connection::{client_text, own_postmaster},
    descriptors::{LargeMessage, LargeMessages, TOO_MANY_LARGE},
    presenter::Presenter,
    received::Received,
};
use crate::{
    events::{HandshakeEnded, IntoMailboxes, RecipientsRefused, StoredFor},
    in_hand,
    metrics::Metrics,
    router::{RouteCache, internal_ip},
    store::{AWAY, Mailboxes, Refused},
};

/// The parts of the store that an LMTP session needs.
#[derive(Clone)]
pub struct StoreSide {
    /// The service.
    pub service: Arc<str>,
    /// Our official name.
    pub host: Arc<str>,
    /// The channel mail comes in by.
    pub source_channel: Arc<str>,
    /// The way into the mailboxes.
    pub mailboxes: Mailboxes,
    /// The domain of users that are presented without one.
    pub default_domain: Arc<str>,
    /// The client may say how to deliver (XDFLG).
    pub flag_transfer: bool,
    /// `Delivered-To` and `Received` are put in front.
    pub trace: bool,
    /// The ids of messages in the log.
    pub ids: Arc<MessageIds>,
    /// How many messages may be on their way in by a file at once.
    pub large_messages: LargeMessages,
    /// Where relays may log in.
    pub logins: Option<RelayLogins>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Lets relays in that log in.
#[derive(Clone)]
pub struct RelayLogins {
    /// Judges them.
    pub authenticator: Arc<Authenticator>,
    /// Says which clients are ours: they need not log in.
    pub route_cache: Arc<RouteCache>,
}

/// One session's end of the store.
pub struct LmtpIntake {
    side: Arc<StoreSide>,
    client: Option<IpAddr>,
    /// Which of our addresses the client connected to.
    local: Option<IpAddr>,
    /// The right to speak for others.
    pub(super) presenter: Option<Presenter>,
    hello: String,
    /// The client as logs have it: `name [address]`.
    client_text: Arc<str>,
    /// The cipher suite of TLS.
    cipher: Option<&'static str>,
    certificate: Option<ClientCertificate>,
    /// Octets that only this TLS session has.
    binding: Option<[u8; 32]>,
    exchange: AuthExchange,
    /// The user that the relay has logged in as.
    user: Option<Arc<str>>,
    sender: String,
    /// The relay asked for SMTPUTF8.
    smtputf8: bool,
    recipients: Vec<Rcpt>,
    content: Content,
}

/// The content that is coming in.
#[derive(Default)]
struct Content {
    spill: Spill,
    /// While the spill has a file.
    right: Option<LargeMessage>,
    /// Octets, what we put in front included.
    size: u64,
    /// Octets that we put in front.
    ours: usize,
    id: Option<MessageId>,
    /// The client's own id of the message.
    peer_id: String,
    message_id: String,
    begun: Option<Instant>,
}

impl LmtpIntake {
    /// For one connection from `client` to our address `local`.
    pub fn new(side: Arc<StoreSide>, client: Option<IpAddr>, local: Option<IpAddr>) -> Self {
        Self {
            side,
            client,
            local,
            presenter: None,
            hello: String::new(),
            client_text: client_text("", client),
            cipher: None,
            certificate: None,
            binding: None,
            exchange: AuthExchange::default(),
            user: None,
            sender: String::new(),
            smtputf8: false,
            recipients: Vec::new(),
            content: Content::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn metrics(&self) -> &Metrics {
        &self.side.metrics
    }

    async fn body(&mut self) -> Result<Body, Reply> {
        let mut spill = std::mem::take(&mut self.content.spill);
        if !spill.is_file() {
            return Ok(spill.into_memory());
        }
        let dir = self.side.mailboxes.spill_dir().ok_or(AWAY)?;
        let chunk = spill.chunk(&dir);
        let finished = self.side.mailboxes.blocking(|| chunk.finish()).await;
        finished.flatten().map_err(|error| self.refuse_spill(error))
    }

    /// The reply to the client; the operator hears of the error from the partition.
    fn refuse_spill(&self, error: io::Error) -> Reply {
        let reply = if is_full(&error) { NO_SPACE } else { IO_ERROR };
        self.side.mailboxes.spill_failed(error, self.content.size);
        reply
    }

    async fn deliver(&mut self, recipients: Vec<Rcpt>) -> Result<Vec<Answer>, Reply> {
        let body = self.body().await?;
        let delivery = Delivery { body, recipients };
        let delivered = self.side.mailboxes.deliver(delivery, &self.sender).await;
        delivered.map_err(Refused::reply)
    }

    fn tell_refused(&self, sender: &str, size: u64, reply: &Reply) {
        let recipients: Vec<_> = self.recipients.iter().map(|to| to.as_given.as_str()).collect();
        self.tell_refused_of(sender, &recipients, size, reply);
    }

    fn tell_refused_of(&self, sender: &str, recipients: &[&str], size: u64, reply: &Reply) {
        RecipientsRefused {
            client: &self.client_text,
            source_channel: &self.side.source_channel,
            sender,
            recipients,
            size,
            reply,
            user: self.user.as_deref().unwrap_or_default(),
            filter: "",
        }
        .emit(&self.side.metrics);
    }

    /// The header is at the beginning of what is in memory, until that is written to a file.
    fn look_for_the_id(&mut self) {
        if !self.content.spill.is_file() {
            let header = self.content.spill.memory().get(self.content.ours..);
            self.content.peer_id = header.and_then(peer_id).unwrap_or_default().to_owned();
            self.content.message_id = header.and_then(message_id).unwrap_or_default().to_owned();
        }
    }

    /// The header lines in front of the content. Of several recipients none may learn of the
    /// others, and they share one file.
    fn trace(&self, id: MessageId) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_ROOM);
        let only_recipient = match self.recipients.as_slice() {
            [only] => Some(self.complete(&only.as_given)),
            _ => None,
        };
        if let Some(recipient) = &only_recipient {
            header.extend_from_slice(b"Delivered-To: ");
            header.extend_from_slice(recipient.as_bytes());
            header.extend_from_slice(b"\r\n");
        }
        let word = Dialect::Lmtp.word(true, self.cipher.is_some(), self.user.is_some());
        let smtputf8 = self.smtputf8.then(|| Dialect::word_with_smtputf8(word));
        Received {
            hello: &self.hello,
            client: self.client,
            host: &self.side.host,
            protocol: smtputf8.as_deref().unwrap_or(word),
            cipher: self.cipher,
            id,
            only_recipient: only_recipient.as_deref(),
        }
        .write(SystemTime::now(), &mut header);
        header
    }

    fn complete(&self, recipient: &str) -> String {
        // A quoted local part may have an at sign; an address without a domain ends behind it.
        let bare = recipient.ends_with('"') || !recipient.contains('@');
        if bare {
            format!("{recipient}@{}", self.side.default_domain)
        } else {
            recipient.to_owned()
        }
    }
}

impl Intake for LmtpIntake {
    fn hello(&mut self, name: &str, _: bool) {
        name.clone_into(&mut self.hello);
        self.client_text = client_text(name, self.client);
    }

    fn handshake(&mut self, outcome: &Result<Secured, HandshakeFailure>) {
        let (service, client) = (&*self.side.service, self.client);
        HandshakeEnded { service, client, outcome }.emit(&self.side.metrics);
        self.hello.clear();
        self.client_text = client_text("", self.client);
        let secured = outcome.as_ref().ok();
        self.cipher = secured.map(|secured| secured.cipher);
        self.binding = secured.and_then(|secured| secured.binding);
        self.certificate = secured.and_then(|secured| secured.certificate.clone());
        self.user = None;
    }

    /// Clients of a UNIX socket are known by their rights to it, and `INTERNAL_IP` knows addresses.
    fn needs_no_login(&self) -> bool {
        let (Some(client), Some(logins)) = (self.client, &self.side.logins) else { return true };
        internal_ip(&logins.route_cache.routes(), client)
    }

    fn is_known_by_the_system(&self) -> bool {
        self.client.is_none()
    }

    async fn authenticate(&mut self, said: AuthSaid) -> AuthAnswer {
        if self.client.is_none() && matches!(said, AuthSaid::Begin(Mechanism::External, _)) {
            return AuthAnswer::Granted;
        }
        let side = Arc::clone(&self.side);
        let Some(logins) = &side.logins else { return AuthAnswer::Refused(NOT_OFFERED) };
        let claimant = Claimant {
            authenticator: &logins.authenticator,
            service: &side.service,
            client: self.client,
            client_text: &self.client_text,
            certificate: self.certificate.as_ref(),
            binding: self.binding,
            metrics: &side.metrics,
        };
        let (answer, identity) = self.exchange.go_on(said, &claimant).await;
        self.user = identity.map(|identity| identity.user).or(self.user.take());
        answer
    }

    fn takes_xclient(&self) -> bool {
        self.presenter.is_some()
    }

    async fn present(&mut self, other: &XClient) -> Result<(), Reply> {
        let Some(presenter) = &mut self.presenter else { return Ok(()) };
        let ends = presenter.present(other).await?;
        (self.client, self.local) = (ends.client_ip(), ends.local_ip());
        // The proxy's own do not speak for the client.
        self.exchange.forget();
        (self.user, self.certificate, self.binding) = (None, None, None);
        self.hello(other.hello.as_deref().unwrap_or_default(), true);
        Ok(())
    }

    async fn sender(&mut self, from: MailFrom) -> Result<(), Reply> {
        self.reset();
        let sender = from.path.0.as_ref().map(|address| {
            match address.completed(&self.side.default_domain) {
                Some(completed) => completed.to_string(),
                None => address.to_string(),
            }
        });
        self.sender = sender.unwrap_or_default();
        self.smtputf8 = from.smtputf8;
        if self.side.mailboxes.spill_dir().is_none() {
            // A message that will be refused need not be sent first.
            self.sender_refused(&from, &AWAY);
            return Err(AWAY);
        }
        Ok(())
    }

    async fn recipient(&mut self, to: &RcptTo) -> Result<(), Reply> {
        let postmaster = own_postmaster(&to.address, self.local);
        let address = postmaster.as_ref().unwrap_or(&to.address);
        let named = MailboxName::of(address, &self.side.default_domain);
        let mailbox = named.map_err(|error| {
            // The address is one; there is no mailbox of this name, and there cannot be.
            let reply =
                Reply::with_text(511, Enhanced(5, 1, 1), format!("mailbox nonexistent: {error}"));
            self.tell_refused_of(&self.sender, &[&to.as_given], 0, &reply);
            reply
        })?;
        let is_postmaster = mailbox.is_of("postmaster", &self.side.default_domain);
        let flags = if self.side.flag_transfer { to.delivery_flags & !MADE_ALWAYS } else { 0 };
        self.recipients.push(Rcpt {
            mailbox,
            as_given: to.as_given.clone(),
            quota: to.quota,
            // Every host has a postmaster (RFC 5321 section 4.5.1).
            flags: if is_postmaster { flags | MADE_ALWAYS } else { flags },
        });
        Ok(())
    }

    /// Relays alone talk to a store.
    fn vouches(&self) -> bool {
        true
    }

    /// RFC 5321 section 4.4: the last server writes down the sender.
    async fn open(&mut self) -> Result<(), Reply> {
        let id = self.side.ids.next();
        in_hand::hold(Some(id));
        let mut spill = Spill::default();
        spill.push(b"Return-Path: <");
        spill.push(self.sender.as_bytes());
        spill.push(b">\r\n");
        if self.side.trace {
            spill.push(&self.trace(id));
        }
        let ours = spill.memory().len();
        let (size, id, begun) = (ours as u64, Some(id), Some(Instant::now()));
        self.content = Content { spill, size, ours, id, begun, ..Content::default() };
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Reply> {
        self.content.size += octets.len() as u64;
        if self.content.spill.push(octets) {
            self.look_for_the_id();
            if self.content.right.is_none() {
                let right = self.side.large_messages.begin().await;
                self.content.right = Some(right.ok_or(TOO_MANY_LARGE)?);
            }
            let dir = self.side.mailboxes.spill_dir().ok_or(AWAY)?;
            let chunk = self.content.spill.chunk(&dir);
            let written = self.side.mailboxes.blocking(|| chunk.write()).await;
            let chunk = written.flatten().map_err(|error| self.refuse_spill(error))?;
            self.content.spill.written(chunk);
        }
        Ok(())
    }

    async fn commit(&mut self) -> Verdict {
        self.look_for_the_id();
        let recipients = std::mem::take(&mut self.recipients);
        let given: Vec<String> = recipients.iter().map(|rcpt| rcpt.as_given.clone()).collect();
        let (mut replies, places): (Vec<_>, Vec<_>) = match self.deliver(recipients).await {
            Ok(answers) => {
                answers.into_iter().map(|Answer { reply, place }| (reply, place)).unzip()
            }
            Err(reply) => given.iter().map(|_| (reply.clone(), String::new())).unzip(),
        };
        let stored = given.iter().zip(&places).zip(&replies);
        IntoMailboxes {
            id: self.content.id,
            client: &self.client_text,
            source_channel: &self.side.source_channel,
            sender: &self.sender,
            size: self.content.size,
            took: self.content.begun.map(|begun| begun.elapsed()).unwrap_or_default(),
            peer_id: &self.content.peer_id,
            message_id: &self.content.message_id,
        }
        .emit(
            stored.map(|((recipient, mailbox), reply)| StoredFor { recipient, mailbox, reply }),
            &self.side.metrics,
        );
        if self.side.flag_transfer && self.side.mailboxes.is_stressed() {
            // Relays of ours come by fewer connections for a while.
            let taken = replies.iter_mut().filter(|reply| reply.code == 250);
            taken.for_each(|reply| reply.text.to_mut().push_str(STRESSED));
        }
        Verdict::Each(replies)
    }

    fn sender_refused(&mut self, from: &MailFrom, reply: &Reply) {
        // The octets that were announced have not been received.
        self.tell_refused(from.path.as_str(), 0, reply);
    }

    /// Faults of the content are told to each recipient, by its address (seed 16.6).
    fn refused(&mut self, reply: &Reply, octets: u64) -> Verdict {
        self.tell_refused(&self.sender, octets, reply);
        if reply.code != BAD_CONTENT {
            return Verdict::Whole(reply.clone());
        }
        let with_address = |to: &Rcpt| {
            let text = format!("{} {}", to.as_given, reply.text).into();
            Reply { text, ..reply.clone() }
        };
        Verdict::Each(self.recipients.iter().map(with_address).collect())
    }

    fn reset(&mut self) {
        in_hand::hold(None);
        self.sender.clear();
        self.recipients.clear();
        self.content = Content::default();
    }
}

const NO_SPACE: Reply = Reply::new(452, Enhanced(4, 3, 1), "no space left for mail");
const IO_ERROR: Reply = Reply::new(430, Enhanced(4, 3, 0), "IMAP IOERROR");
/// The code of all replies to content that must not be.
const BAD_CONTENT: u16 = 560;
/// Octets that we put in front of a message, generously.
const HEADER_ROOM: usize = 512;

#[cfg(test)]
mod tests;
