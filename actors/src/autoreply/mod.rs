//! Automatic replies: the last step of a delivery option with the flag `!`.
//!
//! The router gives such a recipient a way of its own, to the channel that throws mail away, under the
//! host [`AUTOREPLY`]. So the reply is as durable as the message, is tried again when the directory
//! is away, and stands in the queue while it waits. The job that takes the entry asks the directory
//! anew, looks at the header, and puts at most one reply for each user and sender into the queue. A
//! message is never returned because it could not be answered.

mod checks;
mod hourly;
mod memory;
mod scripted;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use relais_channels::{
    autoreply::{Silence, VacationReply},
    clock,
    dsn::header_block,
    mail::{
        Address, Attempt, Content, Enhanced, Envelope, MessageIds, Outcome, Priority, Recipient,
        Reply, message_id,
    },
};
use relais_config::grammar::folded;
use relais_storage::{NewContent, Storage, StorageError, open_recipients};
use tracing::{info, warn};

pub use self::memory::Answered;
use self::{checks::Head, hourly::UserDigest, memory::Pair};
pub use crate::router::{AUTOREPLY, VACATION};
use crate::{
    channel_table::Channels,
    directory::{AutoreplyTexts, Domain, Entry, Lookup, LookupError, Request, evaluate},
    events::{MessageAccepted, Printable},
    metrics::{AutoreplyResult, Metrics},
    own_mail::{self, way_to},
    router::{Route, RouterHandle},
    sieve::SieveRunner,
    timestamp::now_ms,
};

/// Writes automatic replies. Cheap to clone.
#[derive(Clone)]
pub struct Responder<L> {
    /// Our name in message ids.
    pub host: Arc<str>,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where replies are put.
    pub storage: Storage,
    /// Where senders live.
    pub router: RouterHandle,
    /// Where the texts are.
    pub directory: L,
    /// Numbers of replies.
    pub ids: Arc<MessageIds>,
    /// The senders that users have answered.
    pub answered: Answered,
    /// Replies of one user in an hour at most.
    pub max_per_hour: usize,
    /// Scripts that want replies.
    pub sieve: Arc<SieveRunner>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Why a recipient has no answer yet; it is tried again.
#[derive(Debug, thiserror::Error)]
enum PutOff {
    #[error(transparent)]
    Directory(#[from] LookupError),
    #[error("the message cannot be read: {0}")]
    Content(io::Error),
    #[error("it cannot be noted that a reply is sent: {0}")]
    Memory(io::Error),
    #[error("it is not known where the sender lives: {0}")]
    Route(Reply),
    #[error("it is not known whether scripts answer: {0}")]
    Scripts(Reply),
    #[error("the reply cannot be stored: {0}")]
    Storage(#[from] StorageError),
}

/// The user whom a message is for.
struct AwayUser {
    entry: Arc<Entry>,
    domain: Arc<Domain>,
    texts: AutoreplyTexts,
    /// A script wants it.
    script: Option<relais_sieve::VacationReply>,
}

impl<L: Lookup> Responder<L> {
    /// Answers for the recipients `open`, a bit each, of an entry.
    pub(crate) async fn answer(
        &self,
        (envelope, entry, open): (&Envelope, u16, u64),
        content: &Content,
    ) -> Attempt {
        let entry = envelope.entries.get(usize::from(entry));
        let mut outcomes = relais_channels::mail::Outcomes::new();
        for index in open_recipients(open) {
            let Some(recipient) = entry.and_then(|its| its.recipients.get(usize::from(index)))
            else {
                continue;
            };
            let is_scripted = entry.is_some_and(|entry| *entry.host == *VACATION);
            let result = self.try_to_answer(envelope, (recipient, is_scripted), content).await;
            let is_old = now_ms().saturating_sub(envelope.received) > TOO_OLD;
            let (result, outcome) = match result {
                Ok(result) => (result, settled(result)),
                Err(why) if is_old => {
                    let (id, why) = (envelope.id, Printable(why));
                    info!(%id, %why, "no automatic reply: given up");
                    (AutoreplyResult::GivenUp, settled(AutoreplyResult::GivenUp))
                }
                Err(why) => {
                    let text = Printable(format!("no automatic reply yet: {why}")).to_string();
                    let reply = Reply::with_text(451, Enhanced(4, 3, 0), text);
                    (AutoreplyResult::PutOff, Outcome::Deferred(reply))
                }
            };
            let (id, user, to) =
                (envelope.id, Printable(recipient.member()), Printable(&envelope.sender));
            info!(%id, %user, %to, result = result.name(), "automatic reply");
            self.metrics.autoreplies.count(result);
            outcomes.push(outcome);
        }
        Attempt { outcomes, trouble: None, peer: None }
    }

    async fn try_to_answer(
        &self,
        envelope: &Envelope,
        (recipient, is_scripted): (&Recipient, bool),
        content: &Content,
    ) -> Result<AutoreplyResult, PutOff> {
        if let Some(silence) = relais_channels::autoreply::of_sender(&envelope.sender) {
            return Ok(silence.into());
        }
        let away = if is_scripted {
            self.find_scripted(envelope, recipient, content).await?
        } else {
            self.find(recipient).await?
        };
        let Some(away) = away else { return Ok(AutoreplyResult::NotAway) };
        let script = away.script.as_ref();
        let delimiter = self.router.cache.routes().delimiter().to_owned();
        let own = checks::own_addresses((&away.entry, recipient.member()), &delimiter);
        if own.has(&envelope.sender) {
            return Ok(AutoreplyResult::Own);
        }
        // A list, an alias or a forward of somebody else led here.
        if !own.has(&recipient.original) {
            return Ok(AutoreplyResult::List);
        }
        let octets = head_of(content).await.map_err(PutOff::Content)?;
        let header = header_block(&octets);
        let head = Head::of(header);
        // A script has looked for its own addresses, and for those that it names.
        let is_new = |its: &Silence| !is_scripted || *its != Silence::NotAddressed;
        if let Some(silence) = head.silence(&own).filter(is_new) {
            return Ok(silence.into());
        }
        let is_internal = own.is_of_domain(&envelope.sender, &away.domain.name);
        let Some(text) = away.texts.text(is_internal) else { return Ok(AutoreplyResult::NoText) };
        let routes = match way_to(&self.router, &self.channels, &envelope.sender).await {
            Ok(routes) => routes,
            Err(reply) if reply.is_permanent() => return Ok(AutoreplyResult::NoWay),
            Err(reply) => return Err(PutOff::Route(reply)),
        };
        // Quotes or a final dot make no other sender.
        let sender = Address::parse(&envelope.sender).map(|sender| sender.normal());
        let whose = script.map(|script| format!("{}\0{}", away.entry.dn, script.handle));
        let whose = whose.as_deref().unwrap_or(&away.entry.dn);
        let pair = Pair::of(whose, sender.as_deref().unwrap_or(&envelope.sender));
        let user = UserDigest::of(&away.entry.dn);
        if !self.answered.take(user, self.max_per_hour, now_ms()) {
            self.tell_of_limit(&away.entry.dn, recipient);
            return Ok(AutoreplyResult::Limited);
        }
        let is_due = self.answered.note(pair, away.texts.within, now_ms()).await;
        if !matches!(is_due, Ok(true)) {
            self.answered.give_back(user);
        }
        if !is_due.map_err(PutOff::Memory)? {
            return Ok(AutoreplyResult::Recently);
        }
        let written = self.written((envelope, recipient), &away, (&head, header, text));
        if let Err(why) = self.send(written, &envelope.sender, routes).await {
            self.answered.give_back(user);
            self.answered.forget(pair).await;
            return Err(why);
        }
        Ok(AutoreplyResult::Sent)
    }

    /// Puts a reply into the queue, where the scripts of its reader have it go.
    async fn send(
        &self,
        (reply, content): (Envelope, Vec<u8>),
        to: &str,
        routes: Arc<[Route]>,
    ) -> Result<(), PutOff> {
        let parts = (&self.router, &*self.channels);
        let sieved = self.sieve.sieve_own(parts, &content, to, routes).await;
        let (routes, seen) = sieved.map_err(PutOff::Route)?;
        let to = Recipient::new("", to);
        let entries = own_mail::entries_for(&self.channels, [(&to, &routes[..])].into_iter());
        self.append(Envelope { entries, ..reply }, content.into()).await?;
        self.sieve.remember(&seen);
        Ok(())
    }

    /// The reply, to nobody yet.
    fn written(
        &self,
        (envelope, recipient): (&Envelope, &Recipient),
        away: &AwayUser,
        (head, header, text): (&Head, &[u8], &str),
    ) -> (Envelope, Vec<u8>) {
        let script = away.script.as_ref();
        let id = self.ids.next();
        let from = script.and_then(|script| script.from.as_deref());
        let from = from.or(away.entry.first("mail")).filter(|mail| Address::parse(mail).is_ok());
        let (content, eight_bit) = VacationReply {
            from: from.unwrap_or(recipient.member()),
            to: &envelope.sender,
            author: head.author.as_deref().unwrap_or(&envelope.sender),
            subject: &head.subject,
            own_subject: away.texts.subject.as_deref(),
            text,
            is_scripted: script.is_some(),
            is_entity: script.is_some_and(|script| script.is_mime),
            header,
            echoes: away.texts.echoes,
            id: &format!("{id}@{}", self.host),
            now: clock::now().as_secs(),
        }
        .compose();
        let smtputf8 = !(envelope.sender.is_ascii() && from.is_none_or(str::is_ascii));
        let smtputf8 = smtputf8 || from.is_none() && !recipient.member().is_ascii();
        let priority = Priority::Nonurgent;
        let reply = own_mail::envelope(id, &self.channels, Vec::new());
        (Envelope { eight_bit, smtputf8, priority, ..reply }, content)
    }

    /// A sender that is forged anew with each message would have it told with each of them.
    fn tell_of_limit(&self, dn: &str, recipient: &Recipient) {
        if self.answered.told.is_due(&dn) {
            let (user, most) = (Printable(recipient.member()), self.max_per_hour);
            warn!(
                %user, most,
                "a user has answered as many senders as one may within an hour: others get no automatic reply"
            );
        }
    }

    /// The user of `uid+domain@bitbucket`, as long as a reply is wanted.
    async fn find(&self, recipient: &Recipient) -> Result<Option<AwayUser>, PutOff> {
        let Ok(address) = Address::parse(recipient.member()) else { return Ok(None) };
        let routes = self.router.cache.routes();
        let way = Address::parse(&recipient.address).map(|its| its.unquoted_local());
        let way = way.unwrap_or_default();
        let (uid, of) = way.rsplit_once('+').unwrap_or((&way, ""));
        let written = address.domain().unwrap_or(&routes.policy().default_domain);
        let names = [of, written].map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        for name in names.iter().filter(|name| !name.is_empty()) {
            let Some(domain) = self.directory.domain(name).await? else { continue };
            for probe in checks::probes((&address, name), routes.delimiter()) {
                for entry in self.directory.entries(&domain, &probe).await? {
                    let is_meant = entry.first("uid").is_some_and(|its| folded(its) == folded(uid));
                    if !is_meant || !is_away(&routes, &entry, (&address, &domain)) {
                        continue;
                    }
                    let texts = AutoreplyTexts::of(&entry);
                    return Ok(Some(AwayUser { entry, domain, texts, script: None }));
                }
            }
        }
        Ok(None)
    }

    async fn append(&self, envelope: Envelope, content: Bytes) -> Result<(), StorageError> {
        let mut envelope = Arc::new(envelope);
        self.storage.append(&mut envelope, NewContent::Whole(content.clone())).await?;
        let reply = Reply::new(250, Enhanced(2, 0, 0), "an automatic reply");
        let message_id = message_id(&content).unwrap_or_default();
        MessageAccepted { envelope: &envelope, reply: &reply, user: "", message_id }
            .emit(&self.metrics);
        Ok(())
    }
}

/// Whether the entry still has an option that answers now.
fn is_away(
    routes: &crate::router::Routes,
    entry: &Entry,
    (address, domain): (&Address, &Domain),
) -> bool {
    let now = std::time::SystemTime::now();
    let (subaddress, released, may_defer) = (None, false, false);
    let request = Request { address, subaddress, domain, now, released, may_defer };
    let applied = evaluate(routes.policy(), entry, &request).unwrap_or_default();
    applied.iter().any(|applied| applied.autoreply && applied.targets.is_ok())
}

fn settled(result: AutoreplyResult) -> Outcome {
    Outcome::Delivered(Reply::with_text(250, Enhanced(2, 0, 0), result.in_words().to_owned()))
}

impl From<Silence> for AutoreplyResult {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Sender => Self::Sender,
            Silence::Own => Self::Own,
            Silence::Automatic => Self::Automatic,
            Silence::List => Self::List,
            Silence::NotAddressed => Self::NotAddressed,
        }
    }
}

/// As much of a message as its header may be long.
async fn head_of(content: &Content) -> io::Result<Bytes> {
    use tokio::io::AsyncReadExt;
    match content {
        Content::Whole(octets) => Ok(octets.slice(..octets.len().min(LONGEST_HEADER))),
        Content::File { path, .. } => {
            let mut head = Vec::new();
            let file = tokio::fs::File::open(path).await?;
            file.take(LONGEST_HEADER as u64).read_to_end(&mut head).await?;
            Ok(head.into())
        }
    }
}

/// Octets of a header that are looked at: what sources take by default.
const LONGEST_HEADER: usize = 512 << 10;
/// Milliseconds. A reply that comes later helps nobody.
const TOO_OLD: u64 = Duration::from_secs(24 * 3_600).as_millis() as u64;
