//! A courier: delivers the entries of one destination, one after the other, over one connection,
//! until there is no more work for a while. Everything that waits for a peer is here.
//!
//! Where the server pipelines, a courier asks for the next entry before it delivers the one in
//! hand, and announces it with the content of that one.

use std::sync::Arc;

use relais_channels::{
    client::{Connection, Handover, Outbound, Outgoing, OutgoingRcpt, Settings, Transacted},
    mail::{
        Attempt, Content, Enhanced, Envelope, MessageId, NextHop, Outcome, Recipient, Reply,
        SiteTrouble,
    },
};
use relais_config::{Channel, channel::Program};
use relais_spool::{SpoolError, open_recipients};
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tracing::{Span, info_span};

use super::{
    gatekeeper::Gatekeeper, life::Life, local, parts::JobParts, presence::Presence,
    progress::OnTheWay,
};
use crate::{
    autoreply::AUTOREPLY,
    channel_table::{LiveTimes, next_hop, reroutes},
    events::EntrySettled,
    ids::{ConnectionId, Destination},
    in_hand,
    queue::{Pull, Settle, Settled, Work},
};

/// A courier on its way.
pub(super) struct Courier {
    id: ConnectionId,
    destination: Destination,
    life: Arc<Life>,
    parts: JobParts,
    outbound: Outbound,
    next_hop: Option<NextHop>,
    connection: Option<Connection>,
    /// Messages may be announced; not any more once the server has shown that it cannot bear it.
    announces: bool,
}

/// An entry in hand, and its message as the spool has it.
struct Taken {
    work: Work,
    record: Result<(Arc<Envelope>, Content), SpoolError>,
}

impl Courier {
    /// A courier that has yet to connect.
    pub(super) fn new(presence: &Presence, life: Arc<Life>, parts: JobParts) -> Self {
        let (id, destination) = (presence.connection, presence.destination.clone());
        let channel = parts.channels.channel(destination.channel);
        Self {
            outbound: Outbound::of(&parts.host, channel).behind(Arc::new(Gatekeeper {
                channel: channel.name.as_str().into(),
                routes: Arc::clone(&parts.rerouter.router.cache),
            })),
            next_hop: next_hop(channel, &destination.host),
            connection: None,
            announces: true,
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
        let _on_the_way =
            OnTheWay::of(&self.parts.progress, self.id, &self.outbound.settings().progress);
        let mut settled = None;
        let mut following = None;
        loop {
            let message = match following.take() {
                Some(message) => message,
                None => match self.pull(settled.take()).await {
                    Some(work) => self.load(work).await,
                    None => break,
                },
            };
            following = self.ask_ahead(&message, settled.take()).await;
            let done = self.attempt(message, following.as_ref()).await;
            if done.attempt.trouble.is_some() {
                // The destination rests for a while, and this connection with it.
                self.settle(done);
                break;
            }
            settled = Some(done);
        }
        if let Some(connection) = self.connection.take() {
            connection.quit().await;
        }
    }

    /// Reports the last entry and waits for the next, but not for long.
    async fn pull(&self, settled: Option<Settled>) -> Option<Work> {
        if self.life.is_over() {
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
        }
        // The queue may have answered in this very moment: what was sent is ours to do.
        next.close();
        next.try_recv().ok()
    }

    /// Reports the last entry. If more wait, and the next can be announced behind the `message` in
    /// hand, takes it now; it then waits behind this one.
    async fn ask_ahead(&self, message: &Taken, settled: Option<Settled>) -> Option<Taken> {
        let Work { entry, more } = message.work;
        // A message that is not announced would wait for nothing; and with a large message a round
        // trip is no gain.
        let small = matches!(message.record, Ok((_, Content::Whole(_))));
        let announces = self.announces && small && entry.open.is_power_of_two();
        let pipelines = || self.connection.as_ref().is_some_and(Connection::pipelines);
        if more && announces && pipelines() && !self.life.is_over() {
            let work = self.ask(settled, true).await.ok()?;
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

    fn settle(&self, settled: Settled) {
        let (connection, destination) = (self.id, self.destination.clone());
        self.parts.work.settle.tell(Settle { connection, destination, settled });
    }

    async fn load(&self, work: Work) -> Taken {
        Taken { record: self.parts.spool.read(work.entry.place).await, work }
    }

    async fn attempt(&mut self, message: Taken, following: Option<&Taken>) -> Settled {
        let Taken { work, record } = message;
        let entry = work.entry;
        in_hand::hold(Some(entry.id));
        let settled = match record {
            Ok((envelope, content)) => {
                let attempt = match self.channel().program {
                    Program::Bitbucket if *self.destination.host == *AUTOREPLY => {
                        let recipients = (&*envelope, entry.entry, entry.open);
                        Box::pin(self.parts.responder.answer(recipients, &content)).await
                    }
                    Program::Bitbucket => all(entry.open, &Outcome::Delivered(DISCARDED)),
                    Program::Pipe => {
                        let recipients = (&*envelope, entry.entry, entry.open);
                        let host = &self.destination.host;
                        Box::pin(self.parts.programs.run(host, recipients, &content)).await
                    }
                    Program::Local => {
                        let recipients = (&*envelope, entry.entry, entry.open);
                        let destination = (self.channel(), &*self.destination.host);
                        let mailboxes = self.parts.unix_mailboxes.as_ref();
                        Box::pin(local::deliver(mailboxes, destination, recipients, &content)).await
                    }
                    _ if reroutes(self.channel()) => self.reroute(&work, &envelope, &content).await,
                    _ => self.deliver(&work, &envelope, &content, following).await,
                };
                let counts = work.counts(&attempt);
                self.report(&work, &envelope, &attempt, counts);
                let program = self.channel().program;
                let reaches = matches!(program, Program::Lmtp | Program::Pipe | Program::Local);
                let success_notices =
                    if reaches { success_notices(&work, &envelope, &attempt) } else { 0 };
                Settled { entry, attempt, counts, success_notices }
            }
            Err(error) => {
                let attempt = unreadable(entry.id, &error, entry.open);
                Settled { entry, attempt, counts: true, success_notices: 0 }
            }
        };
        in_hand::hold(None);
        settled
    }

    async fn deliver(
        &mut self,
        work: &Work,
        envelope: &Envelope,
        content: &Content,
        following: Option<&Taken>,
    ) -> Attempt {
        let open = work.entry.open;
        let Some(recipients) = recipients_of(work, envelope) else {
            return all(open, &Outcome::Deferred(NO_SUCH_ENTRY));
        };
        let base = delivery_of(envelope, &recipients);
        let following = following.and_then(|message| {
            let (envelope, _) = message.record.as_ref().ok()?;
            Some((envelope, recipients_of(&message.work, envelope)?))
        });
        let following =
            following.as_ref().map(|(envelope, to)| (envelope, self.handover(to).batch()));
        let following = following.as_ref().map(|(envelope, to)| delivery_of(envelope, to));
        let mut handover = self.handover(&recipients);
        let mut goes_on = true;
        while goes_on {
            let batch = handover.batch();
            let delivery = Outgoing { recipients: &batch, ..base };
            match self.transact(&delivery, content, following.as_ref()).await {
                Ok(transacted) => goes_on = handover.take(transacted),
                Err(trouble) => {
                    handover.give_up(trouble);
                    goes_on = false;
                }
            }
        }
        handover.finish()
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
        // A kept connection may have been closed while it was idle: that is no failed attempt.
        for _ in 0..2 {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            if let Ok(transacted) = connection.deliver(delivery, content, following).await {
                self.connection = connection.is_usable().then_some(connection);
                return Ok(transacted);
            }
            self.announces = false;
        }
        Err(SiteTrouble::deferred(CLOSES_AT_ONCE))
    }

    /// An entry in a hold channel that comes here was released.
    async fn reroute(&self, work: &Work, envelope: &Envelope, content: &Content) -> Attempt {
        let Work { entry, .. } = work;
        let rerouter = &self.parts.rerouter;
        let released = self.channel().program == Program::Hold;
        let plan = rerouter.plan(envelope, entry.entry, entry.open, released).await;
        let outcomes = rerouter.carry_out(envelope, content, entry.entry, plan).await;
        Attempt { outcomes, trouble: None, peer: None }
    }

    async fn connect(&self) -> Result<Connection, SiteTrouble> {
        let Some(next_hop) = &self.next_hop else {
            return Err(SiteTrouble::deferred(NO_HOST));
        };
        self.outbound.connect(next_hop).await
    }

    fn report(&self, work: &Work, envelope: &Envelope, attempt: &Attempt, counts: bool) {
        EntrySettled {
            envelope,
            entry: usize::from(work.entry.entry),
            tried: work.entry.open,
            outcomes: &attempt.outcomes,
            attempts: u32::from(work.entry.attempts) + u32::from(counts),
        }
        .emit(&self.parts.metrics);
    }

    fn channel(&self) -> &Channel {
        self.parts.channels.channel(self.destination.channel)
    }
}

/// Recipients, a bit each, that were reached and whose sender asked to be told of that, unless the
/// next hop tells.
fn success_notices(work: &Work, envelope: &Envelope, attempt: &Attempt) -> u64 {
    let Some(entry) = envelope.entries.get(usize::from(work.entry.entry)) else { return 0 };
    if attempt.peer.as_ref().is_some_and(|peer| peer.notifies) {
        return 0;
    }
    let reached = open_recipients(work.entry.open).zip(&attempt.outcomes).filter(|(index, to)| {
        let recipient = entry.recipients.get(usize::from(*index));
        matches!(to, Outcome::Delivered(_)) && recipient.is_some_and(|r| r.notify.of_success())
    });
    reached.fold(0, |all, (index, _)| all | 1 << index)
}

/// The recipients that are still open. `None` if the record lacks the entry.
fn recipients_of<'e>(
    work: &Work,
    envelope: &'e Envelope,
) -> Option<SmallVec<[OutgoingRcpt<'e>; 1]>> {
    let entry = envelope.entries.get(usize::from(work.entry.entry))?;
    let open = open_recipients(work.entry.open);
    let recipients = open.filter_map(|index| entry.recipients.get(usize::from(index)));
    let rcpt = |to: &'e Recipient| OutgoingRcpt {
        original: &to.original,
        original_recipient: to.original_recipient.as_ref(),
        notify: to.notify,
        quota: to.quota.as_deref().copied(),
        ..OutgoingRcpt::new(&to.address)
    };
    Some(recipients.map(rcpt).collect())
}

fn delivery_of<'e>(envelope: &'e Envelope, recipients: &'e [OutgoingRcpt<'e>]) -> Outgoing<'e> {
    Outgoing {
        sender: &envelope.sender,
        recipients,
        size: envelope.size,
        eight_bit: envelope.eight_bit,
        envelope_id: envelope.envelope_id.as_deref(),
        returned: envelope.returned,
    }
}

/// The same outcome for every open recipient.
fn all(open: u64, outcome: &Outcome) -> Attempt {
    let outcomes = open_recipients(open).map(|_| outcome.clone()).collect();
    Attempt { outcomes, trouble: None, peer: None }
}

fn unreadable(id: MessageId, error: &SpoolError, open: u64) -> Attempt {
    tracing::error!(%id, %error, "a queued message cannot be read; it is kept and tried again");
    all(open, &Outcome::Deferred(Reply::with_text(451, Enhanced(4, 3, 0), error.to_string())))
}

const DISCARDED: Reply = Reply::new(250, Enhanced(2, 0, 0), "discarded");
const NO_SUCH_ENTRY: Reply =
    Reply::new(451, Enhanced(4, 3, 0), "the spool's record has no such entry");
const NO_HOST: Reply = Reply::new(451, Enhanced(4, 4, 4), "the route names no host to connect to");
const CLOSES_AT_ONCE: Reply =
    Reply::new(421, Enhanced(4, 4, 2), "the server closes every new connection at once");
