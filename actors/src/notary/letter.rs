//! One notice: whom it concerns, what it says, and where it goes.

use std::{io, sync::Arc};

use bytes::Bytes;
use relais_channels::{
    dsn::{Kind, Notice, Omission, RecipientReport, Report, Returned, header_block, languages_of},
    mail::{
        Address, Content, Enhanced, Entry, Envelope, MessageId, Recipient, Reply, Return, TlsWish,
        message_id,
    },
};
use relais_config::{
    Channel,
    channel::{PostmasterCopy, Program},
    notary::DoubleBounces,
};
use relais_storage::{NewContent, StorageError, open_recipients};
use tracing::{error, warn};

use super::NotaryParts;
use crate::{
    channel_table::Channels,
    events::{MessageAccepted, Printable, RecipientsReturned},
    metrics::NoticeResult,
    own_mail::{self, MALFORMED, question_of, source_channel},
    queue::{Case, NOWHERE, Told},
    router::{Poster, Route},
    sieve::Seen,
    timestamp::now_ms,
};

/// Why the sender could not be told now; it is tried again.
#[derive(Debug, thiserror::Error)]
enum TellError {
    /// The message cannot be read, or the notice not be stored.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The content of a large message cannot be read.
    #[error("the content cannot be read: {0}")]
    Content(#[from] io::Error),
    /// It is not known where the sender lives.
    #[error("<{address}>: {reply}")]
    Route {
        /// The sender, or the postmaster.
        address: String,
        /// The router's reply.
        reply: Reply,
    },
}

impl NotaryParts {
    /// Tells the sender of one message of these cases, all of one kind.
    pub(super) async fn tell(&self, cases: &[Case]) -> Told {
        match self.try_to_tell(cases).await {
            Ok(told) => told,
            Err(error) => {
                let id = cases.first().map_or(MessageId(0), |case| case.entry.id);
                error!(%id, %error, "a notice could not be written");
                let unreadable = matches!(
                    error,
                    TellError::Storage(StorageError::Damaged { .. } | StorageError::Gone { .. })
                );
                if unreadable { Told::Unreadable } else { Told::Later }
            }
        }
    }

    async fn try_to_tell(&self, cases: &[Case]) -> Result<Told, TellError> {
        let Some(first) = cases.first() else { return Ok(Told::Settled) };
        let (envelope, content) = self.storage.read(first.entry.place).await?;
        if cases.iter().any(|case| reached_nobody(&envelope, case)) {
            let id = envelope.id;
            error!(%id, "a notice is held again: it has nowhere to go still");
            return Ok(Told::Kept);
        }
        if self.is_dead(&envelope, cases) && !self.postmaster_hears(&envelope, cases).await? {
            self.log_death(&envelope, cases, "it is held, since the postmaster cannot be told");
            if self.can_be_held(cases) {
                return Ok(Told::Dead);
            }
            error!(id = %envelope.id, "a notice is lost: {MOST_DEAD} are held already in its place");
            self.metrics.notices.count(NoticeResult::GivenUp);
            return Ok(Told::Settled);
        }
        let head = self.head_of(&content).await?;
        let mut written = Vec::new();
        for owner in owners(&envelope, cases) {
            written.push((owner, self.write_to(owner, &envelope, &head, cases).await?));
        }
        for case in cases {
            self.log(&envelope, case);
        }
        for (owner, notices) in written {
            self.tell_notices(owner, &envelope, cases, &notices);
        }
        let consequence = if self.readers(None, &envelope, cases).is_empty() {
            "nobody is told"
        } else {
            "the postmaster is told"
        };
        self.log_death(&envelope, cases, consequence);
        Ok(Told::Settled)
    }

    /// Whether this is a notice of ours that its reader never gets, and that must not vanish.
    fn is_dead(&self, envelope: &Envelope, cases: &[Case]) -> bool {
        let is_ours = envelope.sender.is_empty()
            && envelope.client.is_empty()
            && *envelope.source_channel == *source_channel(&self.channels);
        let gave_up = |case: &Case| matches!(case.kind, Kind::Failed | Kind::TimedOut);
        is_ours && self.double_bounces == DoubleBounces::Postmaster && cases.iter().all(gave_up)
    }

    /// Whether the postmaster can be told of it, who is not told of what the postmaster did not get.
    async fn postmaster_hears(
        &self,
        envelope: &Envelope,
        cases: &[Case],
    ) -> Result<bool, TellError> {
        if cases.iter().any(|case| self.is_to_postmaster(envelope, case)) {
            return Ok(false);
        }
        Ok(self.way_to(&self.postmaster).await?.is_ok())
    }

    /// Nothing that others still wait for is held with it, and what nobody can be told of does not fill
    /// the queue.
    fn can_be_held(&self, cases: &[Case]) -> bool {
        let counts = self.storage.counts();
        cases.iter().all(|case| {
            let channel = &self.channels.channel(case.destination.channel).name;
            let held = counts.get(channel).map_or(0, |counts| counts.held);
            held < MOST_DEAD && case.recipients == case.was.open()
        })
    }

    /// Mail without a sender is a notice, or stands for one. That it failed is told to the
    /// postmaster at most.
    fn log_death(&self, envelope: &Envelope, cases: &[Case], consequence: &str) {
        let gives_up = |kind| matches!(kind, Kind::Failed | Kind::TimedOut | Kind::Bounced);
        let Some(first) = cases.first().filter(|case| gives_up(case.kind)) else { return };
        if !envelope.sender.is_empty() {
            return;
        }
        let mut to = Vec::new();
        for case in cases {
            let entry = envelope.entries.get(usize::from(case.entry.entry));
            let of_place = |index| entry?.recipients.get(usize::from(index));
            let named = open_recipients(case.recipients).filter_map(of_place);
            to.extend(named.map(|to| format!("<{}>", to.original)));
        }
        let said = first.replies.first().map(|reply| reply.outcome.reply().clone());
        let reply = said.unwrap_or_else(|| verdict(first));
        let (to, reply) = (Printable(to.join(",")), Printable(reply));
        warn!(id = %envelope.id, %to, %reply, "a notice failed itself: {consequence}");
        self.metrics.notices.count(NoticeResult::Died);
    }

    /// Tells of those recipients whose news go to `owner`; `None` is the sender. The notices that do.
    async fn write_to(
        &self,
        owner: Option<&str>,
        envelope: &Envelope,
        head: &[u8],
        cases: &[Case],
    ) -> Result<Vec<MessageId>, TellError> {
        let to = self.readers(owner, envelope, cases);
        let all = cases.iter().flat_map(|case| concerned(owner, envelope, case));
        let concerned: Vec<_> = all.map(|(_, report)| report).collect();
        let Some(first) = cases.first().filter(|_| !to.is_empty() && !concerned.is_empty()) else {
            return Ok(Vec::new());
        };
        let id = self.ids.next();
        let header = header_block(head);
        let mut languages = languages_of(header);
        languages.push(&self.language);
        // RET is about failures; with other news the header comes back (RFC 3461 section 4.3).
        let is_failure = matches!(first.kind, Kind::Failed | Kind::TimedOut | Kind::Bounced);
        // Mail that must stay behind TLS does not come back (RFC 8689 section 5).
        let is_open = envelope.tls != TlsWish::Required;
        let wants_all = is_failure && is_open && envelope.returned != Some(Return::Headers);
        let mut replies = cases.iter().flat_map(|case| &case.replies);
        let omission = if replies.any(|last| last.outcome.reply().blames_content()) {
            Some(Omission::Refused)
        } else {
            (envelope.size > self.content_return_limit).then_some(Omission::TooLarge)
        };
        let omission = omission.filter(|_| wants_all && !head.is_empty());
        let whole = wants_all && omission.is_none() && !head.is_empty();
        let notice = Report {
            kind: first.kind,
            id,
            host: &self.host,
            postmaster: &self.postmaster,
            to: match owner {
                Some(owner) => owner,
                None if envelope.sender.is_empty() => &self.postmaster,
                None => &envelope.sender,
            },
            now: now_ms(),
            message: envelope.id,
            arrival: envelope.received,
            envelope_id: envelope.envelope_id.as_deref(),
            recipients: &concerned,
            reason: first.ordered.as_ref().and_then(|reason| reason.text.as_deref()),
            returned: if whole { Returned::Full(head) } else { Returned::Headers(header) },
            omission,
            languages: &languages,
        }
        .compose(&self.templates);
        let tls = if is_open { TlsWish::Usual } else { TlsWish::Required };
        self.store((id, envelope.id), (notice, tls), &to).await
    }

    /// The sender, if it wants to hear and is somebody; the postmaster, as the channels say.
    fn readers(&self, owner: Option<&str>, envelope: &Envelope, cases: &[Case]) -> Vec<String> {
        let mut to = Vec::new();
        let nobody = envelope.sender.is_empty();
        match owner {
            Some(owner) => to.push(owner.to_owned()),
            None if nobody => {}
            None => to.push(envelope.sender.clone()),
        }
        let copy = |case: &Case| {
            let channel = self.channels.channel(case.destination.channel);
            goes_to_postmaster(channel, case.kind, nobody)
        };
        let wanted = cases.iter().any(copy) || self.is_dead(envelope, cases);
        // A notice that does not reach the postmaster is not told to the postmaster.
        if wanted && !cases.iter().any(|case| self.is_to_postmaster(envelope, case)) {
            to.push(self.postmaster.to_string());
        }
        to
    }

    fn is_to_postmaster(&self, envelope: &Envelope, case: &Case) -> bool {
        let entry = envelope.entries.get(usize::from(case.entry.entry));
        entry.is_some_and(|entry| {
            open_recipients(case.recipients)
                .filter_map(|index| entry.recipients.get(usize::from(index)))
                .any(|recipient| recipient.original.eq_ignore_ascii_case(&self.postmaster))
        })
    }

    /// As much of the message as may come back; nothing of one whose content is lost: that will
    /// not be better later.
    async fn head_of(&self, content: &Content) -> Result<bytes::Bytes, TellError> {
        match content {
            Content::Whole(octets) => Ok(octets.clone()),
            Content::File { path, .. } => {
                use tokio::io::AsyncReadExt;
                let mut head = Vec::new();
                let file = match tokio::fs::File::open(path).await {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        let path = path.display();
                        warn!(%path, %error, "a notice goes without the message");
                        return Ok(bytes::Bytes::new());
                    }
                    file => file?,
                };
                let most = self.content_return_limit.max(LONGEST_HEADER);
                file.take(most).read_to_end(&mut head).await?;
                Ok(head.into())
            }
        }
    }

    /// Puts the notice into the queue, from nobody. Who cannot be reached is told by way of the
    /// postmaster; and what does not even reach him is held.
    async fn store(
        &self,
        (id, about): (MessageId, MessageId),
        (notice, tls): (Notice, TlsWish),
        to: &[String],
    ) -> Result<Vec<MessageId>, TellError> {
        let mut stored = Vec::new();
        let mut routes: Vec<(Recipient, Arc<[Route]>)> = Vec::new();
        let mut lost: Vec<(String, Reply)> = Vec::new();
        let mut seen = Vec::new();
        for address in to {
            match self.way_to(address).await? {
                Ok(ways) => {
                    let ways = self.sieved(address, &notice.content, ways, &mut seen).await?;
                    routes.push((Recipient::new("", address.as_str()), ways));
                }
                Err(reply) => lost.push((address.clone(), reply)),
            }
        }
        if !lost.is_empty() && !to.iter().any(|to| to.eq_ignore_ascii_case(&self.postmaster)) {
            match self.way_to(&self.postmaster).await? {
                Ok(ways) => {
                    for (address, reply) in lost.drain(..) {
                        let postmaster = &self.postmaster;
                        warn!(%id, to = address, %reply, %postmaster, "a notice goes to the postmaster");
                    }
                    routes.push((Recipient::new("", &*self.postmaster), ways));
                }
                Err(reply) => lost.push((self.postmaster.to_string(), reply)),
            }
        }
        let wants = Wants { eight_bit: notice.eight_bit, smtputf8: notice.smtputf8, tls };
        let body: Bytes = notice.content.into();
        let entries =
            own_mail::entries_for(&self.channels, routes.iter().map(|(to, ways)| (to, &ways[..])));
        if !entries.is_empty() {
            let envelope = envelope_of(id, &self.channels, wants, entries);
            self.append((envelope, about), body.clone(), "a notice to the sender").await?;
            stored.push(id);
            self.sieve.remember(&seen);
            self.metrics.notices.count(NoticeResult::Written);
        }
        if !lost.is_empty() {
            let id = if routes.is_empty() { id } else { self.ids.next() };
            let envelope = self.held(id, wants, lost);
            let what = "a notice that is held: it has nowhere to go";
            self.append((envelope, about), body, what).await?;
            stored.push(id);
            self.metrics.notices.count(NoticeResult::NoWay);
        }
        Ok(stored)
    }

    async fn append(
        &self,
        (envelope, about): (Envelope, MessageId),
        body: Bytes,
        what: &'static str,
    ) -> Result<(), TellError> {
        let mut envelope = Arc::new(envelope);
        let content = NewContent::Whole(body.clone());
        self.storage.append(&mut envelope, content).await?;
        let reply = Reply::new(250, Enhanced(2, 0, 0), what);
        let message_id = message_id(&body).unwrap_or_default();
        MessageAccepted { envelope: &envelope, reply: &reply, user: "", message_id }
            .emit_about(about, &self.metrics);
        Ok(())
    }

    /// Where somebody lives; or why nobody will ever know.
    async fn way_to(&self, address: &str) -> Result<Result<Arc<[Route]>, Reply>, TellError> {
        let Ok(parsed) = Address::parse(address) else {
            return Ok(Err(MALFORMED));
        };
        let mut question = question_of(&self.channels, &parsed);
        if address.eq_ignore_ascii_case(&self.postmaster) {
            question.poster = Poster::Nobody;
        }
        match self.router.resolve(&question).await {
            Ok(ways) => Ok(Ok(ways)),
            Err(reply) if reply.is_permanent() => Ok(Err(reply)),
            Err(reply) => Err(TellError::Route { address: address.to_owned(), reply }),
        }
    }

    /// The ways of a notice behind the scripts of its reader. The postmaster's have no say: what nobody
    /// else can be told is not to be lost by them.
    async fn sieved(
        &self,
        address: &str,
        content: &[u8],
        ways: Arc<[Route]>,
        seen: &mut Vec<Seen>,
    ) -> Result<Arc<[Route]>, TellError> {
        if address.eq_ignore_ascii_case(&self.postmaster) {
            return Ok(ways);
        }
        let parts = (&self.router, &*self.channels);
        let sieved = self.sieve.sieve_own(parts, content, address, ways).await;
        let (ways, mut own) =
            sieved.map_err(|reply| TellError::Route { address: address.to_owned(), reply })?;
        seen.append(&mut own);
        Ok(ways)
    }

    /// A notice that has nowhere to go. When it is released, the channel that puts mail through
    /// rewriting again asks once more where its readers live.
    fn held(&self, id: MessageId, wants: Wants, lost: Vec<(String, Reply)>) -> Envelope {
        let said: Vec<_> = lost.iter().map(|(to, reply)| format!("<{to}>: {reply}")).collect();
        let reason = format!("{NOWHERE}: {}", said.join("; "));
        error!(%id, %reason, "a notice is held");
        let of = |program| self.channels.iter().find(move |(_, its)| its.program == program);
        let channel = of(Program::Reprocess).or_else(|| of(Program::Process));
        let channel = channel.map(|(_, channel)| channel);
        let recipients = lost.into_iter().map(|(to, _)| Recipient::new(to.clone(), to)).collect();
        let entry = Entry {
            channel: channel.map_or(source_channel(&self.channels), |its| &its.name).into(),
            host: channel.map_or("process", |its| &its.tag).to_ascii_lowercase().into(),
            recipients,
        };
        let envelope = envelope_of(id, &self.channels, wants, vec![entry]);
        Envelope { held: Some(reason), ..envelope }
    }

    /// Logs recipients that the queue did not just try.
    fn log(&self, envelope: &Envelope, case: &Case) {
        let action = match case.kind {
            Kind::TimedOut | Kind::Bounced => "R",
            Kind::Delayed => "W",
            _ => return,
        };
        RecipientsReturned {
            envelope,
            entry: usize::from(case.entry.entry),
            recipients: case.recipients,
            attempts: u32::from(case.entry.attempts),
            action,
            cause: match case.kind {
                Kind::TimedOut => "expired",
                Kind::Bounced => "returned",
                _ => "",
            },
            reason: case.ordered.as_ref().map_or("", |reason| &reason.words),
            reply: &verdict(case),
        }
        .emit(&self.metrics);
    }
}

/// Whether this is a notice that was held since neither its reader nor the postmaster can be
/// reached. It stays until an operator deletes it: nobody could be told that it is lost.
pub fn has_nowhere_to_go(envelope: &Envelope) -> bool {
    let held = envelope.held.as_deref();
    envelope.sender.is_empty() && held.is_some_and(|reason| reason.starts_with(NOWHERE))
}

/// Whether it gives up a notice that had nowhere to go, and that nobody has got since.
fn reached_nobody(envelope: &Envelope, case: &Case) -> bool {
    let entry = envelope.entries.get(usize::from(case.entry.entry));
    let gives_up = matches!(case.kind, Kind::Failed | Kind::TimedOut | Kind::Bounced);
    let open = case.was.open().count_ones() as usize;
    let all_wait = entry.is_some_and(|entry| entry.recipients.len() == open);
    gives_up && all_wait && has_nowhere_to_go(envelope)
}

/// The reader of a notice when a recipient is returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Audience<'a> {
    /// The sender, or the owner of a list in its place.
    Address(&'a str),
    /// The postmaster alone.
    Postmaster,
    /// Nobody: it has no sender.
    NoSender,
    /// Nobody: its sender does not want to hear of it.
    NotWanted,
}

/// The reader of the notice when this recipient is returned from a channel.
pub fn audience_of_return<'a>(
    channel: &Channel,
    envelope: &'a Envelope,
    recipient: &'a Recipient,
) -> Audience<'a> {
    if !recipient.notify.of_failure() {
        return Audience::NotWanted;
    }
    match owner_of(envelope, recipient, Kind::Bounced) {
        Some(owner) => Audience::Address(owner),
        None if !envelope.sender.is_empty() => Audience::Address(&envelope.sender),
        None if goes_to_postmaster(channel, Kind::Bounced, true) => Audience::Postmaster,
        None => Audience::NoSender,
    }
}

/// Whether the channel wants the postmaster to have this; `nobody`: the message has no sender.
fn goes_to_postmaster(channel: &Channel, kind: Kind, nobody: bool) -> bool {
    let which = match kind {
        Kind::Failed | Kind::TimedOut | Kind::Bounced => channel.sendpost,
        Kind::Delayed => channel.warnpost.unwrap_or(channel.sendpost),
        Kind::Delivered | Kind::Relayed | Kind::Expanded => PostmasterCopy::Never,
    };
    match which {
        PostmasterCopy::Never => false,
        PostmasterCopy::Error => nobody,
        PostmasterCopy::Copy => !nobody,
        PostmasterCopy::Always => true,
    }
}

/// Things that the way of a notice must bear.
#[derive(Clone, Copy)]
struct Wants {
    eight_bit: bool,
    smtputf8: bool,
    tls: TlsWish,
}

/// The envelope of a notice.
fn envelope_of(
    id: MessageId,
    channels: &Channels,
    Wants { eight_bit, smtputf8, tls }: Wants,
    entries: Vec<Entry>,
) -> Envelope {
    Envelope { eight_bit, smtputf8, tls, ..own_mail::envelope(id, channels, entries) }
}

/// The readers of notices about these cases: the sender, the owners of lists, or both. A message
/// without a sender is told to no owner: notices would beget notices.
fn owners<'a>(envelope: &'a Envelope, cases: &[Case]) -> Vec<Option<&'a str>> {
    let mut owners = Vec::new();
    for case in cases {
        let entry = envelope.entries.get(usize::from(case.entry.entry));
        for index in open_recipients(case.recipients) {
            let recipient = entry.and_then(|entry| entry.recipients.get(usize::from(index)));
            let Some(recipient) = recipient else { continue };
            let owner = owner_of(envelope, recipient, case.kind);
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
    }
    owners
}

/// The owner of a list who hears of this recipient in the sender's place.
fn owner_of<'a>(envelope: &Envelope, recipient: &'a Recipient, kind: Kind) -> Option<&'a str> {
    let is_bad = !kind.is_success();
    let origin = recipient.origin.as_deref().filter(|_| is_bad && !envelope.sender.is_empty());
    origin.and_then(|origin| origin.errors_to.as_deref())
}

/// The recipients of a case that concern `owner`, each with its bit and what there is to say.
pub(super) fn concerned<'a>(
    owner: Option<&'a str>,
    envelope: &'a Envelope,
    case: &'a Case,
) -> impl Iterator<Item = (u64, RecipientReport<'a>)> {
    let entry = envelope.entries.get(usize::from(case.entry.entry));
    open_recipients(case.recipients).filter_map(move |index| {
        let recipient = entry?.recipients.get(usize::from(index))?;
        if owner_of(envelope, recipient, case.kind) != owner {
            return None;
        }
        let wanted = match case.kind {
            Kind::Failed | Kind::TimedOut | Kind::Bounced => recipient.notify.of_failure(),
            Kind::Delayed => recipient.notify.of_delay(),
            Kind::Delivered | Kind::Relayed | Kind::Expanded => recipient.notify.of_success(),
        };
        let last = case.replies.iter().find(|last| last.recipient == index);
        // The owner of a list wants to know which member it is; its address is no sender's business.
        let member = owner.and_then(|_| Some(&*recipient.origin.as_deref()?.member));
        let report = RecipientReport {
            original: recipient.original_recipient.as_ref(),
            address: member.unwrap_or(&recipient.original),
            reply: last.map(|last| last.outcome.reply()),
            remote: last.and_then(|last| last.remote.as_deref()),
            last_attempt: last.map(|last| last.at),
            retry_until: case.until,
        };
        wanted.then_some((1 << index, report))
    })
}

/// Our own words for what a peer said nothing of.
fn verdict(case: &Case) -> Reply {
    match case.kind {
        Kind::TimedOut => Reply::new(550, Enhanced(4, 4, 7), "waited for too long"),
        Kind::Delayed => Reply::new(450, Enhanced(4, 4, 7), "the sender is warned"),
        _ => {
            let words = case.ordered.as_ref().map(|reason| &*reason.words);
            let words = words.unwrap_or("returned by an operator").to_owned();
            Reply::with_text(550, Enhanced(5, 0, 0), words)
        }
    }
}

/// Notices that failed themselves are held as long as fewer than these are held in their channel.
const MOST_DEAD: u64 = 1_000;
/// Octets of a large message in which its header is looked for.
const LONGEST_HEADER: u64 = 64 << 10;
