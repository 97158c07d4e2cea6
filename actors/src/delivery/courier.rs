//! A courier: delivers the entries of one destination, one after the other, over one connection,
//! until there is no more work for a while. Everything that waits for a peer is here.
//!
//! Where the server pipelines, a courier asks for the next entry before it delivers the one in
//! hand, and announces it with the content of that one.

use std::sync::Arc;

use relais_channels::{
    authenticity::SignAs,
    client::{
        Again, ChosenBy, ChunkReplies, Connection, Converted, Errand, Handover, Outbound, Outgoing,
        OutgoingRcpt, Settings, Transacted,
    },
    mail::{
        Attempt, Content, Enhanced, Envelope, MessageId, NextHops, Notify, Outcome, Recipient,
        Reply, SiteTrouble, Timings, TlsWish, Trip, message_id,
    },
    mailbox::TRUSTED_FOLDER,
};
use relais_config::{Channel, EventKind, channel::Program};
use relais_storage::{StorageError, open_recipients};
use smallvec::SmallVec;
use tokio::{sync::oneshot, time::Instant};
use tracing::{Span, info_span};

use super::{
    admission::CourierLimits,
    conversion::ToConvert,
    crowds::{Crowded, Delivering},
    gatekeeper::Gatekeeper,
    lessons::UNBORNE,
    life::Life,
    local,
    parts::JobParts,
    presence::Presence,
    progress::{GivesWay, OnTheWay},
    reply_rules,
    signing::sign_as,
    standing_gate::{StandingGate, as_one},
};
use crate::{
    autoreply::{AUTOREPLY, VACATION},
    channel_table::{LiveTimes, chosen_by, next_hops, reroutes},
    events::EntrySettled,
    ids::{ConnectionId, Destination},
    in_hand,
    metrics::{ChannelMeter, ChunkResult},
    queue::{Pull, Settle, Settled, Tracked, Work},
    rerouting::ContentAt,
    timestamp::Timestamp,
};

/// A courier on its way.
pub(super) struct Courier {
    id: ConnectionId,
    pub(super) destination: Destination,
    pub(super) life: Arc<Life>,
    pub(super) parts: JobParts,
    pub(super) outbound: Outbound,
    pub(super) next_hops: Option<NextHops>,
    /// The one who chose the first of them for the message in hand.
    pub(super) chosen_by: ChosenBy,
    pub(super) connection: Option<Connection>,
    /// The place among the next hops of the server that was asked last, or is asked next.
    pub(super) server: usize,
    /// The server of the last connection; `None`: none could be made.
    met: Option<Met>,
    /// The store said that it is slow, since that was last told.
    stressed: bool,
    /// The content was converted for a server, and that was not told yet.
    converted: Option<Converted>,
    /// The limits of the destination.
    pub(super) admission: Arc<CourierLimits>,
    /// Others want the place of a connection that nobody has greeted.
    gives_way: GivesWay,
    /// Transactions of the message in hand.
    transactions: u32,
    /// Messages may be announced; not any more once the server has shown that it cannot bear it.
    announces: bool,
    /// The content of the message in hand may go in one chunk: it is tried for the first time, and no server has
    /// refused BDAT for it.
    chunks: bool,
}

/// A server that was connected to.
struct Met {
    /// `host[address]:port`, or the path of its socket.
    peer: Arc<str>,
    /// TLS and AUTH, in words.
    protection: Option<Arc<str>>,
}

/// An entry in hand, and its message as the spool has it.
struct Taken {
    work: Work,
    record: Result<(Arc<Envelope>, Content), StorageError>,
}

impl Courier {
    /// A courier that has yet to connect.
    pub(super) fn new(presence: &Presence, life: Arc<Life>, parts: JobParts) -> Self {
        let (id, destination) = (presence.connection, presence.destination.clone());
        let channel = parts.channels.channel(destination.channel);
        let (throttles, channels) = (Arc::clone(&parts.throttles), Arc::clone(&parts.channels));
        let admission = Arc::new(CourierLimits::of(throttles, channels, &destination));
        Self {
            outbound: Outbound::of(&parts.host, channel)
                .limited(&channel.destinations.limits_of([&*destination.host]))
                .protected(parts.securities.of(&channel.name))
                .finding(parts.finders.of_channel(&channel.name))
                .behind(Arc::new(Gatekeeper {
                    channel: channel.name.as_str().into(),
                    routes: Arc::clone(&parts.rerouter.router.cache),
                    admission: Arc::clone(&admission),
                })),
            next_hops: next_hops(channel, &destination.host),
            chosen_by: ChosenBy::Configuration,
            connection: None,
            stressed: false,
            converted: None,
            server: 0,
            met: None,
            announces: !parts.lessons.unannounced.has(&destination),
            chunks: true,
            admission,
            gives_way: GivesWay::default(),
            transactions: 0,
            id,
            destination,
            life,
            parts,
        }
    }

    /// The span of its lines in the log.
    pub(super) fn span(&self) -> Span {
        info_span!("job", channel = self.channel().name, host = %self.destination.host)
    }

    /// Delivers until there is nothing more to do.
    pub(super) async fn run(mut self) {
        let progress = (&self.outbound.settings().progress, &self.gives_way);
        let _on_the_way = OnTheWay::of(&self.parts.progress, self.id, progress);
        let mut settled = None;
        let mut following = None;
        loop {
            let message = if let Some(message) = following.take() {
                message
            } else {
                if !self.waits_for_its_turn(&mut settled).await {
                    break;
                }
                match self.pull(settled.take()).await {
                    Some(work) => self.load(work).await,
                    None => break,
                }
            };
            following = self.ask_ahead(&message, settled.take()).await;
            let done = self.attempt(message, following.as_ref()).await;
            self.admission.carried_out(std::mem::take(&mut self.transactions));
            if let Some(denied) = self.denied(&done.attempt) {
                // The entries in hand were not tried: they go back into line with the connection.
                self.is_throttled(denied);
                break;
            }
            if done.attempt.trouble.is_some() {
                // The destination rests for a while, and this connection with it.
                self.settle(done);
                break;
            }
            settled = Some(done);
        }
        if let Some(connection) = self.connection.take() {
            self.part(connection).await;
        }
    }

    /// Whether an operator's order keeps this message from being announced.
    fn is_caught(&self, next: &Taken) -> bool {
        let envelope = next.record.as_ref().map(|(envelope, _)| envelope);
        envelope.is_ok_and(|envelope| self.standing_gate().catches(&next.work, envelope))
    }

    fn standing_gate(&self) -> StandingGate<'_> {
        StandingGate(&self.parts.standing)
    }

    /// Reports the last entry and waits for the next, but not for long.
    async fn pull(&self, settled: Option<Settled>) -> Option<Work> {
        if self.life.is_over() || self.admission.gives_way() {
            if let Some(settled) = settled {
                self.settle(settled);
            }
            return None;
        }
        let mut next = self.ask(settled, false);
        tokio::select! {
            biased;
            work = &mut next => return work.ok(),
            () = tokio::time::sleep(self.parts.channels.time(self.destination.channel, LiveTimes::IdleTime)) => {}
            () = self.life.ended() => {}
            () = self.admission.is_wanted() => {}
        }
        // The queue may have answered in this very moment: what was sent is ours to do.
        next.close();
        next.try_recv().ok()
    }

    /// Reports the last entry. If more wait, and the next can be announced behind the `message` in
    /// hand, takes it now; it then waits behind this one.
    async fn ask_ahead(&self, message: &Taken, settled: Option<Settled>) -> Option<Taken> {
        let Work { entry, joined, more } = &message.work;
        // A message that is not announced would wait for nothing; and with a large message a round
        // trip is no gain.
        let small = matches!(message.record, Ok((_, Content::Whole(_))));
        let alone =
            self.outbound.replies_once() || entry.open.is_power_of_two() && joined.is_empty();
        let announces = self.announces && small && alone;
        let pipelines = || self.connection.as_ref().is_some_and(Connection::pipelines);
        let goes_on = || !self.life.is_over() && !self.admission.gives_way();
        if *more && announces && pipelines() && goes_on() && self.has_its_turn() {
            let Ok(work) = self.ask(settled, true).await else {
                self.admission.not_used();
                return None;
            };
            return Some(self.load(work).await);
        }
        if let Some(settled) = settled {
            self.settle(settled);
        }
        None
    }

    fn ask(&self, settled: Option<Settled>, ahead: bool) -> oneshot::Receiver<Work> {
        let (reply, next) = oneshot::channel();
        let (connection, destination) = (self.id, self.destination.clone());
        self.life.ask();
        self.parts.work.pull.tell(Pull { connection, destination, settled, ahead, reply });
        next
    }

    pub(super) fn settle(&self, settled: Settled) {
        let (connection, destination) = (self.id, self.destination.clone());
        self.parts.work.settle.tell(Settle { connection, destination, settled });
    }

    async fn load(&self, work: Work) -> Taken {
        Taken { record: self.parts.storage.read(work.entry.place).await, work }
    }

    async fn attempt(&mut self, message: Taken, following: Option<&Taken>) -> Settled {
        let Taken { work, record } = message;
        let entry = work.entry;
        in_hand::hold(Some(entry.id));
        let settled = match record {
            Ok((envelope, content)) => {
                let following = following.filter(|next| !self.is_caught(next));
                // A message that was announced is finished, like all that a server was told of.
                let is_announced = self.connection.as_ref().is_some_and(Connection::is_announced);
                let (work, put_off) = if is_announced {
                    (Some(work), SmallVec::new())
                } else {
                    self.standing_gate().sift(work, &envelope)
                };
                let parts = work.map_or_else(SmallVec::new, |work| by_sender(work, &envelope));
                let last = parts.len().saturating_sub(1);
                let mut all = SmallVec::new();
                for (n, part) in parts.iter().enumerate() {
                    let following = following.filter(|_| n == last);
                    let part = self.attempt_part(part, &envelope, &content, following).await;
                    all.extend(part);
                }
                let first = as_one(all, put_off);
                Settled { stressed: std::mem::take(&mut self.stressed), ..first }
            }
            Err(error) => {
                let settled = |entry: &Tracked| {
                    let attempt = unreadable(entry.id, &error, entry.open);
                    Settled {
                        entry: *entry,
                        attempt,
                        counts: true,
                        success_notices: 0,
                        trip: None,
                        stressed: false,
                        put_off: None,
                        joined: Vec::new(),
                    }
                };
                Settled { joined: work.joined.iter().map(settled).collect(), ..settled(&entry) }
            }
        };
        in_hand::hold(None);
        settled
    }

    /// Carries out entries that have one sender; each is settled by itself, in their order.
    async fn attempt_part(
        &mut self,
        work: &Work,
        envelope: &Envelope,
        content: &Content,
        following: Option<&Taken>,
    ) -> SmallVec<[Settled; 1]> {
        let entry = work.entry;
        let mut trip = None;
        let mut attempt = match self.channel().program {
            Program::Bitbucket if [AUTOREPLY, VACATION].contains(&&*self.destination.host) => {
                let recipients = (envelope, entry.entry, entry.open);
                Box::pin(self.parts.responder.answer(recipients, content)).await
            }
            Program::Bitbucket => all(entry.open, &Outcome::Delivered(DISCARDED)),
            Program::Pipe => {
                let recipients = (envelope, entry.entry, entry.open);
                let host = &self.destination.host;
                Box::pin(self.parts.programs.run(host, recipients, content)).await
            }
            Program::Local => {
                let recipients = (envelope, entry.entry, entry.open);
                let destination = (self.channel(), &*self.destination.host);
                let mailboxes = self.parts.unix_mailboxes.as_ref();
                Box::pin(local::deliver(mailboxes, destination, recipients, content)).await
            }
            Program::Conversion => {
                let mail = (envelope, content);
                match ToConvert::of(&self.parts, mail, entry.entry) {
                    Some(its) => Box::pin(its.carry_out(entry.open)).await,
                    None => self.reroute(work, envelope, content).await,
                }
            }
            _ if reroutes(self.channel()) => self.reroute(work, envelope, content).await,
            _ => {
                let begun = Instant::now();
                let attempt = self.deliver(work, envelope, content, following).await;
                trip = Some(Arc::new(self.trip(begun, envelope, &attempt)));
                attempt
            }
        };
        let message_id = self.message_id(content);
        let mut settled: SmallVec<[Settled; 1]> = SmallVec::new();
        for joined in work.joined.iter().rev() {
            let its = attempt.split_off(joined.open.count_ones() as usize);
            settled.push(self.settled(*joined, (envelope, message_id), (its, trip.clone())));
        }
        settled.push(self.settled(entry, (envelope, message_id), (attempt, trip)));
        settled.reverse();
        settled
    }

    /// The `Message-ID` of a message, where somebody is told of its attempts and it is in memory.
    fn message_id<'a>(&self, content: &'a Content) -> &'a str {
        let tap = &self.parts.metrics.events.tap;
        let told = [EventKind::Delivered, EventKind::Deferred, EventKind::Failed];
        match content {
            Content::Whole(octets) if told.into_iter().any(|kind| tap.wants(kind)) => {
                message_id(octets).unwrap_or_default()
            }
            _ => "",
        }
    }

    /// One entry is done: writes its line.
    fn settled(
        &self,
        entry: Tracked,
        (envelope, message_id): (&Envelope, &str),
        (attempt, trip): (Attempt, Option<Arc<Trip>>),
    ) -> Settled {
        let counts = Work::counts(&entry, &attempt);
        let is_tried = !self.admission.is_denied() || attempt.trouble.is_none();
        let settled = EntrySettled {
            envelope,
            entry: usize::from(entry.entry),
            tried: entry.open,
            outcomes: &attempt.outcomes,
            attempts: u32::from(entry.attempts) + u32::from(counts),
            trip: trip.as_deref(),
            message_id,
        };
        if is_tried {
            settled.emit(&self.parts.metrics);
        }
        let program = self.channel().program;
        let reaches =
            matches!(program, Program::Lmtp | Program::Smtp | Program::Pipe | Program::Local);
        let success_notices = if reaches { success_notices(&entry, envelope, &attempt) } else { 0 };
        let (stressed, joined) = (false, Vec::new());
        let put_off = None;
        Settled { entry, attempt, counts, success_notices, trip, stressed, put_off, joined }
    }

    /// The way of an attempt that ends now.
    fn trip(&self, begun: Instant, envelope: &Envelope, attempt: &Attempt) -> Trip {
        let age = Timestamp(envelope.received).until(Timestamp::now());
        let queue = Timings::millis(age.saturating_sub(begun.elapsed()));
        let timings = Timings { queue, ..self.outbound.settings().progress.take_timings() };
        // Of a message that the server was not told of nothing was protected.
        let met = self.met.as_ref().filter(|_| attempt.peer.is_some());
        let peer = met.map(|met| Arc::clone(&met.peer)).unwrap_or_default();
        let protection = met.and_then(|met| met.protection.clone()).unwrap_or_default();
        Trip { peer, protection, timings }
    }

    async fn deliver(
        &mut self,
        work: &Work,
        envelope: &Envelope,
        content: &Content,
        following: Option<&Taken>,
    ) -> Attempt {
        self.chunks = work.entries().all(|entry| entry.attempts == 0);
        let Some(recipients) = recipients_of(work, envelope) else {
            let open = work.entries().map(|entry| entry.open.count_ones() as usize).sum();
            return Attempt::all(open, &Outcome::Deferred(NO_SUCH_ENTRY));
        };
        let base = delivery_of(work, envelope, &recipients);
        let forwarded = self.forwarding_sender(work, envelope, base.sender).await;
        let base = Outgoing { sender: forwarded.as_deref().unwrap_or(base.sender), ..base };
        let signing = self.sign_as(envelope, base.sender);
        let base = Outgoing { signing: signing.as_ref(), ..base };
        let following = following.and_then(|message| {
            let (envelope, content) = message.record.as_ref().ok()?;
            // A large one has yet to be looked at, and a round trip is nothing to it.
            let Content::Whole(octets) = content else { return None };
            let work = &message.work;
            // A sender that name servers have to be asked about is not known yet, and a message with
            // another demand on TLS may need another connection.
            let is_plain = envelope.tls == TlsWish::Usual && !self.may_wrap(work, envelope);
            if !has_one_sender(work, envelope) || !is_plain {
                return None;
            }
            Some(((work, envelope), !octets.is_ascii(), recipients_of(work, envelope)?))
        });
        let following = following
            .as_ref()
            .map(|(its, eight_bit, to)| (its, *eight_bit, self.handover(to).batch()));
        let following = following.as_ref().map(|((work, envelope), eight_bit, to)| {
            let delivery = delivery_of(work, envelope, to);
            (
                Outgoing { eight_bit: *eight_bit, ..delivery },
                self.sign_as(envelope, delivery.sender),
            )
        });
        let following = following
            .as_ref()
            .map(|(delivery, signing)| Outgoing { signing: signing.as_ref(), ..*delivery });
        let addresses = recipients.iter().map(|to| to.address);
        self.chosen_by = chosen_by(self.channel(), &self.destination.host, addresses);
        self.leave_stand_in(&base).await;
        if self.connection.is_none() {
            self.server = 0;
        }
        let mut attempt = self.hand_over(&recipients, base, content, following.as_ref()).await;
        if self.next_hops.as_ref().is_some_and(|hops| hops.len() > 1) {
            let message = (base, content);
            attempt = Box::pin(self.at_other_servers(attempt, &recipients, message)).await;
        }
        if let Some(converted) = self.converted.take() {
            tell_converted(envelope.id, converted);
        }
        let meter = self.meter();
        reply_rules::apply(self.channel(), &mut attempt, &self.admission, &meter);
        attempt
    }

    /// The sender of mail that is forwarded, in the place of its own.
    async fn forwarding_sender(
        &self,
        work: &Work,
        envelope: &Envelope,
        sender: &str,
    ) -> Option<String> {
        if sender != envelope.sender || !self.may_wrap(work, envelope) {
            return None;
        }
        let (authenticity, host) = (&self.parts.authenticity, &self.parts.host);
        authenticity.forwarding_sender(self.channel().srs, (host, sender)).await
    }

    /// Whether a message is forwarded, and its sender may get another address for it.
    fn may_wrap(&self, work: &Work, envelope: &Envelope) -> bool {
        let srs = self.parts.authenticity.srs.as_ref();
        srs.is_some_and(|srs| srs.wraps(self.channel().srs, &envelope.sender))
            && is_forwarded(work, envelope)
    }

    /// In whose name a message is signed that leaves with this sender.
    fn sign_as(&self, envelope: &Envelope, sender: &str) -> Option<SignAs> {
        if !self.channel().dkim_sign {
            return None;
        }
        let routes = self.parts.rerouter.router.cache.routes();
        sign_as(&self.parts.authenticity.signers, &routes, envelope, sender)
    }

    /// Hands a message over to the server that is connected to, or the first that can be.
    pub(super) async fn hand_over(
        &mut self,
        recipients: &[OutgoingRcpt<'_>],
        base: Outgoing<'_>,
        content: &Content,
        following: Option<&Outgoing<'_>>,
    ) -> Attempt {
        let mut handover = self.handover(recipients);
        let under_way = self.enter_crowds(recipients, &mut handover);
        // Only a message that is sent as it was announced may be; this one may lose recipients.
        let following = following.filter(|_| self.parts.crowds.is_empty());
        let mut goes_on = handover.is_needed();
        while goes_on {
            let batch = handover.batch();
            let delivery = Outgoing { recipients: &batch, ..base };
            // The next message comes behind all of this one.
            let following = following.filter(|_| handover.is_last());
            match self.transact(&delivery, content, following).await {
                Ok(transacted) => {
                    self.converted = transacted.converted.or(self.converted.take());
                    goes_on = handover.take(transacted);
                }
                Err(trouble) => {
                    handover.give_up(trouble);
                    goes_on = false;
                }
            }
        }
        drop(under_way);
        let unfiled = handover.unfiled();
        if unfiled > 0 {
            self.meter().unfiled(unfiled);
        }
        let mut attempt = handover.finish();
        // Nobody there is in trouble: the others for the same place end as soon as this one.
        attempt.trouble = attempt.trouble.filter(|trouble| !trouble.is_nowhere());
        self.note_crowds(recipients, &attempt);
        attempt
    }

    /// Counts deliveries to mailboxes that were crowded of late; holds back those that would be too many.
    fn enter_crowds(
        &self,
        recipients: &[OutgoingRcpt<'_>],
        handover: &mut Handover<'_>,
    ) -> Vec<Delivering> {
        let mut under_way = Vec::new();
        let crowds = &self.parts.crowds;
        if crowds.is_empty() {
            return under_way;
        }
        for (place, to) in recipients.iter().enumerate() {
            match crowds.begin(&self.destination, to.address) {
                Ok(begun) => under_way.extend(begun),
                Err(Crowded { most }) => {
                    let text = format!(
                        "not sent now: {most} deliveries to this mailbox are under way, and its \
                         server said that more were too many"
                    );
                    let busy = Reply::with_text(451, Enhanced(4, 2, 1), text);
                    handover.hold_back(place, Outcome::Deferred(busy));
                }
            }
        }
        under_way
    }

    fn note_crowds(&self, recipients: &[OutgoingRcpt<'_>], attempt: &Attempt) {
        for (to, outcome) in recipients.iter().zip(&attempt.outcomes) {
            if let Outcome::Deferred(reply) = outcome
                && reply.is_crowded()
            {
                self.parts.crowds.note(&self.destination, to.address);
            }
        }
    }

    fn handover<'r>(&self, recipients: &'r [OutgoingRcpt<'r>]) -> Handover<'r> {
        let Settings { max_rcpt, private, .. } = *self.outbound.settings();
        Handover::new(recipients, max_rcpt, private)
    }

    async fn transact(
        &mut self,
        delivery: &Outgoing<'_>,
        content: &Content,
        following: Option<&Outgoing<'_>>,
    ) -> Result<Transacted, SiteTrouble> {
        let mut stale = 0;
        // A kept connection may have been closed while it was idle: that is no failed attempt.
        while stale < 2 {
            let unfit = |kept: &mut Connection| !kept.suits(delivery);
            if let Some(lax) = self.connection.take_if(unfit) {
                self.part(lax).await;
            }
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect(self.errand(delivery)).await?,
            };
            let following = following.filter(|its| connection.suits(its));
            let was_announced = connection.is_announced();
            match connection.deliver(delivery, content, following).await {
                Ok(transacted) => {
                    self.connection = connection.is_usable().then_some(connection);
                    self.stressed |= transacted.stressed;
                    self.transactions += 1;
                    self.learn(&transacted);
                    return Ok(transacted);
                }
                Err(Again::Stale) => {
                    if let Some(reply) = connection.take_late_reply() {
                        self.answered_late(connection.peer(), &reply);
                    }
                    stale += 1;
                    self.announces = false;
                    if was_announced {
                        self.parts.lessons.unannounced.note(&self.destination, UNBORNE);
                    }
                }
                Err(Again::ByData(reply)) => self.chunk_refused(connection.peer(), &reply),
            }
        }
        Err(SiteTrouble::deferred(CLOSES_AT_ONCE))
    }

    /// A server names CHUNKING and refuses BDAT.
    fn chunk_refused(&mut self, peer: &str, reply: &Reply) {
        tracing::warn!(peer, %reply, "BDAT is refused: mail leaves by DATA for a while");
        self.chunks = false;
        self.parts.lessons.unchunked.note(&self.destination, UNBORNE);
        self.meter().chunk_sent(ChunkResult::Unsupported);
    }

    /// Learns from a message that went in one chunk.
    fn learn(&self, transacted: &Transacted) {
        let Some(result) = self.parts.lessons.learn(&self.destination, transacted) else { return };
        self.meter().chunk_sent(result);
        if transacted.chunk == Some(ChunkReplies::Odd) {
            let peer = self.met.as_ref().map(|met| &*met.peer);
            tracing::warn!(peer, result = result.name(), "{ODD}");
        }
    }

    /// A reply too many came behind a message in one chunk whose outcomes are told.
    fn answered_late(&self, peer: &str, reply: &Reply) {
        tracing::warn!(peer, %reply, "{LATE}");
        self.parts.lessons.unchunked.note(&self.destination, UNBORNE);
        self.meter().chunk_sent(ChunkResult::Surplus);
    }

    /// Says good-bye.
    pub(super) async fn part(&self, connection: Connection) {
        let peer = connection.peer().to_owned();
        if let Some(reply) = connection.quit().await {
            self.answered_late(&peer, &reply);
        }
    }

    fn meter(&self) -> Arc<ChannelMeter> {
        self.parts.metrics.channel(&self.channel().name)
    }

    /// An entry in a hold channel that comes here was released.
    async fn reroute(&self, work: &Work, envelope: &Envelope, content: &Content) -> Attempt {
        let Work { entry, .. } = work;
        let rerouter = &self.parts.rerouter;
        let released = self.channel().program == Program::Hold;
        let mail = (envelope, ContentAt::Here(content));
        let plan = rerouter.plan(mail, entry.entry, entry.open, released).await;
        let outcomes = rerouter.carry_out(envelope, content, entry.entry, plan).await;
        Attempt { outcomes, trouble: None, peer: None }
    }

    async fn connect(&mut self, errand: Errand) -> Result<Connection, SiteTrouble> {
        let Some(next_hops) = &self.next_hops else {
            return Err(SiteTrouble::deferred(NO_HOST));
        };
        self.admission.connecting();
        let connecting = Box::pin(self.outbound.connect_from(next_hops, self.server, errand));
        let connected = tokio::select! {
            biased;
            connected = connecting => connected,
            () = self.gives_way.notified() => {
                self.admission.gave_way();
                Err(SiteTrouble::deferred(GAVE_WAY))
            }
        };
        self.met = None;
        let meter = self.meter();
        for (result, count) in self.outbound.take_handshakes() {
            meter.handshaken(result, count);
        }
        for (kind, is_kept, count) in self.outbound.take_policies() {
            meter.policy_met(kind, is_kept, count);
        }
        let (mut connection, server) = connected.inspect_err(|_| {
            self.server = next_hops.len();
            self.admission.not_connected();
        })?;
        if !self.chunks || self.parts.lessons.unchunked.has(&self.destination) {
            connection.use_data();
        }
        self.server = server;
        self.admission.connected(&connection.host());
        let (peer, protection) = (connection.peer().into(), connection.protection().cloned());
        self.met = Some(Met { peer, protection });
        Ok(connection)
    }

    /// The server behind the one that was asked last is asked next; `false`: there is none.
    pub(super) fn turn_to_next(&mut self) -> bool {
        self.connection = None;
        self.server += 1;
        self.next_hops.as_ref().is_some_and(|hops| self.server < hops.len())
    }

    fn channel(&self) -> &Channel {
        self.parts.channels.channel(self.destination.channel)
    }
}

/// Recipients, a bit each, that were reached and whose sender asked to be told of that, unless the
/// next hop tells.
fn success_notices(tracked: &Tracked, envelope: &Envelope, attempt: &Attempt) -> u64 {
    let Some(entry) = envelope.entries.get(usize::from(tracked.entry)) else { return 0 };
    let notifies = attempt.peer.as_ref().is_some_and(|peer| peer.notifies);
    let reached = open_recipients(tracked.open).zip(&attempt.outcomes).filter(|(index, to)| {
        let recipient = entry.recipients.get(usize::from(*index));
        let wants = recipient.is_some_and(|recipient| {
            // The next hop tells the owner of a list, whom success does not concern.
            let is_told = notifies && envelope.list_sender(recipient).is_none();
            recipient.notify.of_success() && !is_told
        });
        matches!(to, Outcome::Delivered(_)) && wants
    });
    reached.fold(0, |all, (index, _)| all | 1 << index)
}

/// Whether the entries of a message have one sender: copies of a list may have senders of their own.
fn has_one_sender(work: &Work, envelope: &Envelope) -> bool {
    let first = list_sender(&work.entry, envelope);
    work.joined.iter().all(|entry| list_sender(entry, envelope) == first)
}

/// The entries of a message by their senders, its first entry first.
fn by_sender(work: Work, envelope: &Envelope) -> SmallVec<[Work; 1]> {
    let mut parts: SmallVec<[Work; 1]> = SmallVec::new();
    if has_one_sender(&work, envelope) {
        parts.push(work);
        return parts;
    }
    for entry in work.entries() {
        let sender = list_sender(entry, envelope);
        match parts.iter_mut().find(|part| list_sender(&part.entry, envelope) == sender) {
            Some(part) => part.joined.push(*entry),
            None => parts.push(Work { entry: *entry, joined: Vec::new(), more: work.more }),
        }
    }
    parts
}

/// The sender that the copies of an entry have from their list.
fn list_sender<'e>(entry: &Tracked, envelope: &'e Envelope) -> Option<&'e str> {
    let first = envelope.entries.get(usize::from(entry.entry))?.recipients.first()?;
    envelope.list_sender(first)
}

/// The recipients that are still open, entry by entry. `None` if the record lacks one of them.
fn recipients_of<'e>(
    work: &Work,
    envelope: &'e Envelope,
) -> Option<SmallVec<[OutgoingRcpt<'e>; 1]>> {
    let rcpt = |to: &'e Recipient| OutgoingRcpt {
        original: &to.original,
        original_recipient: to.original_recipient.as_ref(),
        // The owner of a list wants to hear what is the custom, whatever the author wants.
        notify: if envelope.list_sender(to).is_some() { Notify::Unsaid } else { to.notify },
        quota: to.quota.as_deref().copied(),
        flags: if to.inbox.is_some() { TRUSTED_FOLDER } else { 0 },
        inbox: to.inbox.as_deref(),
        ..OutgoingRcpt::new(&to.address)
    };
    let mut recipients = SmallVec::new();
    for tracked in work.entries() {
        let entry = envelope.entries.get(usize::from(tracked.entry))?;
        for index in open_recipients(tracked.open) {
            recipients.push(rcpt(entry.recipients.get(usize::from(index))?));
        }
    }
    Some(recipients)
}

/// Whether some recipient is one that an alias, the directory or a `.forward` led to.
fn is_forwarded(work: &Work, envelope: &Envelope) -> bool {
    work.entries().any(|tracked| {
        let entry = envelope.entries.get(usize::from(tracked.entry));
        let open = open_recipients(tracked.open);
        let recipients = entry.map_or(&[][..], |entry| &entry.recipients);
        open.filter_map(|index| recipients.get(usize::from(index))).any(|to| to.origin.is_some())
    })
}

/// Recipients of one entry have one sender. The name of a message is that of its own sender, who is to
/// read it in notices.
fn delivery_of<'e>(
    work: &Work,
    envelope: &'e Envelope,
    recipients: &'e [OutgoingRcpt<'e>],
) -> Outgoing<'e> {
    let entry = envelope.entries.get(usize::from(work.entry.entry));
    let first = entry.and_then(|entry| entry.recipients.first());
    let is_own = first.is_none_or(|first| envelope.list_sender(first).is_none());
    Outgoing {
        sender: first.map_or(&envelope.sender, |first| envelope.sender_of(first)),
        recipients,
        size: envelope.size,
        eight_bit: envelope.eight_bit,
        smtputf8: envelope.smtputf8,
        tls: envelope.tls,
        envelope_id: envelope.envelope_id.as_deref().filter(|_| is_own),
        returned: envelope.returned,
        signing: None,
    }
}

/// The same outcome for every open recipient.
fn all(open: u64, outcome: &Outcome) -> Attempt {
    Attempt::all(open.count_ones() as usize, outcome)
}

fn tell_converted(id: MessageId, Converted { is_signed }: Converted) {
    let text = if is_signed {
        "converted to quoted-printable for a server that does not take it as it is: signatures in it do \
         not hold any more"
    } else {
        "converted to quoted-printable for a server that does not take it as it is"
    };
    tracing::info!(%id, "{text}");
}

fn unreadable(id: MessageId, error: &StorageError, open: u64) -> Attempt {
    tracing::error!(%id, %error, "a queued message cannot be read; it is kept and tried again");
    all(open, &Outcome::Deferred(Reply::with_text(451, Enhanced(4, 3, 0), error.to_string())))
}

const ODD: &str = "the replies to a message in one chunk with its commands were odd: mail leaves by DATA for a while";
const LATE: &str = "a reply too many came behind a message in one chunk, which may have been refused though it \
                    counts as delivered: mail leaves by DATA for a while";
const DISCARDED: Reply = Reply::new(250, Enhanced(2, 0, 0), "discarded");
const NO_SUCH_ENTRY: Reply =
    Reply::new(451, Enhanced(4, 3, 0), "the spool's record has no such entry");
const NO_HOST: Reply = Reply::new(451, Enhanced(4, 4, 4), "the route names no host to connect to");
const GAVE_WAY: Reply =
    Reply::new(451, Enhanced(4, 4, 2), "its server says nothing, and others wait for its place");
const CLOSES_AT_ONCE: Reply =
    Reply::new(421, Enhanced(4, 4, 2), "the server closes every new connection at once");
