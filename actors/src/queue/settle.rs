//! Settling: the next state of an entry after an attempt, and after its sender has been told.
//!
//! Recipients that were reached are taken off at once. Those that failed for good stay open on the
//! disk, and the entry waits, until the notary says that their sender has been told ([`Noticed`]):
//! after a crash in between they are tried, and fail, once more. What is deferred gets the time of
//! its next attempt from [`backoff`].

use std::{collections::BTreeSet, sync::Arc};

use relais_channels::{
    dsn::Kind,
    mail::{Attempt, Enhanced, Outcome, Peer, Reply},
};
use relais_config::{Channel, channel::Program};
use relais_storage::{EntryState, RecipientReplies, open_recipients};

use super::{
    Amendment, Queue, backoff,
    entry::{Key, Tracked},
    facts::DestinationEvent,
    news::{Case, LastReply, Noticed, Told, speaker},
    own_reasons::{DEAD, NOT_TOLD_NOW, STILL_NOWHERE, UNREADABLE},
    requests::Settled,
};
use crate::{
    ids::{ConnectionId, Destination},
    standing::KeptByOrder,
    timestamp::now_ms,
};

impl Queue {
    /// Writes down what became of the entries that `connection` had of one message, and announces how
    /// their destination does.
    pub(super) fn settle(
        &mut self,
        connection: ConnectionId,
        destination: &Destination,
        mut settled: Settled,
    ) {
        let is_worth_telling = self.hand_out.take_back(connection, settled.entry.key());
        if settled.put_off.is_none() {
            self.note_host(connection, destination, &settled.attempt, is_worth_telling);
        }
        if settled.stressed {
            let destination = destination.clone();
            self.announce(DestinationEvent::Stressed { destination });
        }
        // One time for all: what is left of a message waits, and leaves, together.
        let now = now_ms();
        let joined = std::mem::take(&mut settled.joined);
        self.settle_entry(destination, settled, now);
        for settled in joined {
            self.hand_out.take_back(connection, settled.entry.key());
            self.settle_entry(destination, settled, now);
        }
        self.finish_drain();
    }

    /// An order keeps the entry: it waits, and this was no attempt.
    fn put_off(&mut self, destination: &Destination, entry: Tracked, put_off: KeptByOrder) {
        if !self.minds(entry.key()) {
            return;
        }
        let Tracked { open, attempts, .. } = entry;
        let state = EntryState::Waiting { open, attempts, due: put_off.until };
        let amendment = Amendment::new(entry.waiting(), state).because(put_off.reason);
        self.amend(destination, &entry, amendment);
        self.move_on(destination, entry, state, false);
    }

    fn settle_entry(&mut self, destination: &Destination, mut settled: Settled, now: u64) {
        if let Some(put_off) = settled.put_off.take() {
            return self.put_off(destination, settled.entry, put_off);
        }
        let Settled { entry, attempt, counts, success_notices: reached, trip, .. } = settled;
        let key = entry.key();
        let channel = self.channels.channel(destination.channel);
        let after = After::of(channel, &entry, &attempt, now);
        let stranded = is_stranded(channel, &attempt);
        let consequence = match (self.minds(key), counts) {
            (false, _) => Consequence::Forgotten,
            (true, false) => Consequence::InVain,
            (true, true) if reached != 0 => Consequence::OwesSuccess,
            (true, true) if after.failed != 0 => Consequence::OwesFailure,
            (true, true) => Consequence::OwesNothing,
        };
        let said = Said::of(channel, destination, entry, attempt);
        let case = |kind, recipients| said.case(kind, recipients, after.meanwhile);
        match consequence {
            Consequence::Forgotten => {}
            Consequence::InVain => {
                self.tracker.defer(entry, true);
                self.grant_order(destination, entry);
            }
            Consequence::OwesSuccess => {
                let failed = (after.failed != 0)
                    .then(|| Case { then: Some(after.state), ..case(Kind::Failed, after.failed) });
                let news = Case { behind: failed.map(Box::new), ..case(success(channel), reached) };
                let waits = after.failed == 0 && after.state != EntryState::Done;
                let left = if waits { after.state } else { after.meanwhile };
                self.owe(news, left, (said.replies, trip));
            }
            Consequence::OwesFailure => {
                let then = Some(after.state);
                let case = Case { then, ..case(Kind::Failed, after.failed) };
                self.notices.begin_failure(key);
                self.news.tell(vec![case]);
                let amendment = Amendment::new(entry.waiting(), after.meanwhile).with(said.replies);
                let amendment = amendment.over(trip);
                self.amend(destination, &entry, amendment);
            }
            Consequence::OwesNothing => {
                let amendment = Amendment::new(entry.waiting(), after.state).with(said.replies);
                let amendment = amendment.over(trip);
                self.amend(destination, &entry, amendment);
                self.move_on(destination, entry, after.state, stranded);
            }
        }
    }

    /// Announces what an attempt shows of its destination.
    fn note_host(
        &mut self,
        connection: ConnectionId,
        destination: &Destination,
        attempt: &Attempt,
        is_worth_telling: bool,
    ) {
        if let Some(trouble) = &attempt.trouble {
            let (destination, reply) = (destination.clone(), trouble.reply().clone());
            self.hand_out.trouble(&destination);
            self.tracker.trouble(&destination);
            return self.announce(DestinationEvent::Troubled { destination, reply });
        }
        let is_back = attempt.peer.is_some() && self.hand_out.recover(destination);
        if is_back {
            self.tracker.recover(destination);
        }
        if is_back || is_worth_telling {
            let destination = destination.clone();
            self.announce(DestinationEvent::Reached { destination, connection });
        }
        if is_back {
            self.feed([destination.clone()]);
        }
    }

    /// The senders of these have been told; or could not be, and then nothing is settled yet.
    pub(super) fn noticed(&mut self, Noticed { cases, told }: Noticed) {
        let mut touched = Vec::new();
        for case in cases {
            touched.push(case.destination.clone());
            // An entry that an operator has routed again was relayed, too, and nobody is told of it.
            if matches!(case.was, EntryState::Owing { .. }) {
                self.settle_told(case, told);
            } else {
                self.settle_notice(case, told);
            }
        }
        self.feed(touched);
        self.finish_drain();
    }

    fn settle_notice(&mut self, case: Case, told: Told) {
        let Case { entry, destination, kind, was, then, ordered, replies, .. } = case;
        let key = (entry.id, entry.entry);
        let Some(then) = then else { return };
        self.notices.end_failure(key);
        if !self.minds(key) {
            return;
        }
        if kind == Kind::Bounced {
            match (told, &ordered) {
                (Told::Later, Some(reason)) => {
                    self.orders.postponed.postpone(key, reason.clone());
                }
                _ => self.orders.postponed.forget(key),
            }
        }
        let amendment = match told {
            Told::Settled => {
                Amendment { reason: ordered.map(|by| by.words), ..Amendment::new(was, then) }
            }
            Told::Later => untold(kind, was, now_ms()),
            Told::Unreadable => hold(was, UNREADABLE.into()),
            Told::Kept => hold(was, with_replies(STILL_NOWHERE, &replies)),
            Told::Dead => hold(was, with_replies(DEAD, &replies)),
        };
        let then = amendment.now;
        self.amend(&destination, &entry, amendment);
        if kind == Kind::Bounced {
            self.orders.end_return(key);
        }
        if self.tracker.is_aside(entry.id, entry.entry) {
            self.end_aside(&destination, entry, then, false);
        } else {
            self.move_on(&destination, entry, then, false);
        }
    }

    /// A connection panicked over this entry: it is deferred like after any other failure.
    pub(super) fn defer_after_panic(&mut self, destination: &Destination, (id, number): Key) {
        let Some((_, entry)) = self.tracker.state_of(id, number) else { return };
        let channel = self.channels.channel(destination.channel);
        let broke_off = Outcome::Deferred(BROKE_OFF);
        let attempt = Attempt::all(entry.open.count_ones() as usize, &broke_off);
        let after = After::of(channel, &entry, &attempt, now_ms());
        let replies = open_recipients(entry.open).map(|index| (index, broke_off.clone())).collect();
        self.amend(destination, &entry, Amendment::new(entry.waiting(), after.state).with(replies));
        self.move_on(destination, entry, after.state, false);
    }

    /// Memory follows: an entry that was active waits again, or goes.
    fn move_on(
        &mut self,
        destination: &Destination,
        entry: Tracked,
        state: EntryState,
        stranded: bool,
    ) {
        if let Some(entry) = entry.now(state) {
            self.tracker.defer(entry, stranded);
            self.grant_order(destination, entry);
        } else {
            self.tracker.finish(entry.id, entry.entry);
            self.orders.take((entry.id, entry.entry));
        }
    }
}

/// The consequence of an attempt for its entry.
enum Consequence {
    /// The entry was ended meanwhile: what its job says of it is not listened to.
    Forgotten,
    /// A probe that nobody answered: no attempt of the entry's own, which waits as before.
    InVain,
    /// Recipients were reached whose sender asked to be told. Those that failed are told of then.
    OwesSuccess,
    /// Recipients failed for good. Until their sender has been told the entry stays in nobody's
    /// hands but the queue's.
    OwesFailure,
    /// Nobody has to be told: the entry is done, or waits for its next attempt.
    OwesNothing,
}

/// The replies of an attempt.
struct Said<'a> {
    channel: &'a Channel,
    destination: &'a Destination,
    entry: Tracked,
    /// By recipient.
    replies: RecipientReplies,
    /// The peer, as far as it spoke of messages.
    peer: Option<Peer>,
    in_trouble: bool,
}

impl<'a> Said<'a> {
    fn of(
        channel: &'a Channel,
        destination: &'a Destination,
        entry: Tracked,
        attempt: Attempt,
    ) -> Self {
        let Attempt { outcomes, trouble, peer } = attempt;
        let replies = open_recipients(entry.open).zip(outcomes).collect();
        Self { channel, destination, entry, replies, peer, in_trouble: trouble.is_some() }
    }

    /// The host that said what was said `nth`; `None`: the words are ours.
    fn remote(&self, nth: usize, outcome: &Outcome) -> Option<Arc<str>> {
        match &self.peer {
            Some(peer) => peer.has_answered(nth).then(|| Arc::clone(&peer.host)),
            // Refused before anything was said of a message.
            None if self.in_trouble => speaker(outcome, self.channel, &self.destination.host),
            None => None,
        }
    }

    /// The news of some recipients; `was` is what the disk has of the entry meanwhile.
    fn case(&self, kind: Kind, recipients: u64, was: EntryState) -> Case {
        let at = now_ms();
        let of_these = |reply: &(usize, &(u8, Outcome))| recipients & 1 << reply.1.0 != 0;
        let replies = self.replies.iter().enumerate().filter(of_these);
        let replies = replies.map(|(nth, (recipient, outcome))| LastReply {
            recipient: *recipient,
            outcome: outcome.clone(),
            at,
            remote: self.remote(nth, outcome),
        });
        Case {
            entry: self.entry,
            destination: self.destination.clone(),
            kind,
            recipients,
            replies: replies.collect(),
            until: None,
            was,
            then: None,
            behind: None,
            room: None,
            reading: None,
            ordered: None,
        }
    }
}

/// The news of recipients that were reached: what a server of SMTP has taken may go further
/// (RFC 3461 section 5.2.2), a store has it.
pub(super) fn success(channel: &Channel) -> Kind {
    if channel.program == Program::Smtp { Kind::Relayed } else { Kind::Delivered }
}

/// Whether a message that waits does so because of its host, and not of itself: it goes as soon
/// as the host is back. Not when it may have been taken, since then each time may be a copy; and a
/// store of ours that fails (430) may do so because its disk is full, which it says of others.
fn is_stranded(channel: &Channel, attempt: &Attempt) -> bool {
    let fails = |outcome: &Outcome| matches!(outcome, Outcome::Deferred(reply) if reply.is_no_room() || reply.code == 430);
    let may_be_taken = attempt.peer.as_ref().is_some_and(|peer| peer.unsure);
    is_by_host(attempt) || !may_be_taken && channel.private && attempt.outcomes.iter().any(fails)
}

/// Whether the host could not be talked to, and cannot have taken the message.
fn is_by_host(attempt: &Attempt) -> bool {
    attempt.trouble.is_some() && !attempt.peer.as_ref().is_some_and(|peer| peer.unsure)
}

/// Whether the server closed the connection over this message, without a word about all of its
/// recipients: that is how a store looks that is killed, whatever it had in hand.
fn is_broken_off(attempt: &Attempt) -> bool {
    let Some(peer) = attempt.peer.as_ref().filter(|_| attempt.trouble.is_none()) else {
        return false;
    };
    let lost = |(nth, outcome): (usize, &Outcome)| {
        matches!(outcome, Outcome::Deferred(reply) if reply.enhanced == Some(LOST))
            && !peer.has_answered(nth)
    };
    attempt.outcomes.iter().enumerate().any(lost)
}

/// The amendment for an entry whose sender could not be told for now.
fn untold(kind: Kind, was: EntryState, now: u64) -> Amendment {
    let (open, attempts) = (was.open(), was.attempts());
    match (kind, was) {
        // A held entry stays so; one that timed out is found again by the next round.
        (Kind::TimedOut, _) => Amendment::new(was, was),
        (kind, EntryState::Held { .. }) if kind != Kind::Bounced => Amendment::new(was, was),
        // An entry that an operator returns must not be delivered after all.
        (Kind::Bounced, _) => hold(was, NOT_TOLD_NOW.into()),
        // It is tried, refused and told of once more.
        _ => {
            let due = now.saturating_add(NOT_TOLD_MS);
            Amendment::new(was, EntryState::Waiting { open, attempts, due })
        }
    }
}

/// Why a notice is held once more that has nowhere to go, with what was said of its readers now.
fn with_replies(reason: &str, replies: &[LastReply]) -> String {
    let said = replies.iter().map(|reply| reply.outcome.reply().to_string());
    let said: BTreeSet<String> = said.collect();
    let said: Vec<String> = said.into_iter().collect();
    let colon = if said.is_empty() { "" } else { ": " };
    format!("{reason}{colon}{}", said.join("; "))
}

fn hold(was: EntryState, reason: String) -> Amendment {
    let held = EntryState::Held { open: was.open(), attempts: was.attempts() };
    Amendment::new(was, held).because(reason.into())
}

/// The rest that an attempt leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct After {
    /// The recipients that failed for good, a bit each: their sender is to be told.
    pub(super) failed: u64,
    /// The state until then: recipients that failed are still open, and none that was reached is.
    pub(super) meanwhile: EntryState,
    /// The state then.
    pub(crate) state: EntryState,
}

impl After {
    pub(crate) fn of(channel: &Channel, entry: &Tracked, attempt: &Attempt, now: u64) -> Self {
        let (mut open, mut failed) = (entry.open, 0);
        let (mut waits, mut all_busy, mut no_store) = (false, true, false);
        let outcomes = &attempt.outcomes;
        for (index, outcome) in open_recipients(entry.open).zip(outcomes) {
            match outcome {
                Outcome::Delivered(_) => open &= !(1 << index),
                Outcome::Deferred(reply) => {
                    waits = true;
                    all_busy &= reply.is_busy();
                    no_store |= channel.private && reply.is_store_trouble();
                }
                Outcome::Failed(_) => failed |= 1 << index,
            }
        }
        // An attempt that says nothing about a recipient leaves it as it was: open.
        let silent = outcomes.len() < entry.open.count_ones() as usize;
        let attempts = entry.attempts.saturating_add(1);
        let meanwhile = EntryState::Waiting { open, attempts, due: now };
        if !waits && !silent {
            return Self { failed, meanwhile, state: EntryState::Done };
        }
        // Elsewhere the words are those of the directory: a user who may not receive.
        let by_mailbox = matches!(channel.program, Program::Lmtp | Program::Smtp | Program::Local);
        let fast = by_mailbox && channel.mailbox_busy_fast_retry && all_busy && !silent;
        let seed = backoff::seed(channel, entry.id, entry.entry);
        let usual = backoff::delay(&backoff::series(channel, entry.priority), attempts, seed);
        let broken_off = channel.private && attempts <= BROKEN_OFF && is_broken_off(attempt);
        let wait = if fast && attempts <= backoff::FAST_RETRIES {
            backoff::mailbox_busy(seed, attempts)
        } else if no_store || broken_off || is_by_host(attempt) {
            // The host is probed all the time, and this one due when it takes mail again: after a
            // restart, too, which does not remember for whom it waits.
            usual.min(backoff::mailbox_busy(seed, attempts))
        } else {
            usual
        };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let due = now.saturating_add(wait);
        let state = EntryState::Waiting { open: open & !failed, attempts, due };
        Self { failed, meanwhile, state }
    }
}

const BROKE_OFF: Reply =
    Reply::new(451, Enhanced(4, 3, 0), "the delivery broke off by an error of ours");
/// Attempts that a store of ours may break off before the message counts as what it dies of: until
/// then it is tried again within a minute, and each time may be a copy.
const BROKEN_OFF: u16 = 2;
/// The connection was lost (RFC 3463 section 3.5).
const LOST: Enhanced = Enhanced(4, 4, 2);
/// Before an entry is tried again whose sender could not be told.
const NOT_TOLD_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use relais_channels::mail::{MessageId, Priority, SiteTrouble};
    use relais_config::channel::Program;

    use super::*;
    use relais_storage::Place;

    #[test]
    fn an_entry_after_an_attempt() {
        let ok = || Outcome::Delivered(Reply::new(250, Enhanced(2, 5, 0), "OK"));
        let later = || Outcome::Deferred(Reply::new(422, Enhanced(4, 2, 2), "Quota Exceeded"));
        let never = || Outcome::Failed(Reply::new(511, Enhanced(5, 1, 1), "no mailbox"));
        // name, open before, outcomes, failed, still to be tried
        let rows = [
            ("all delivered", 0b11, vec![ok(), ok()], 0, 0),
            ("one to be tried again", 0b11, vec![ok(), later()], 0, 0b10),
            ("a failure alone", 0b11, vec![ok(), never()], 0b10, 0),
            ("a failure and one that waits", 0b111, vec![never(), ok(), later()], 0b001, 0b100),
            ("bits keep their recipients", 0b1010, vec![ok(), later()], 0, 0b1000),
            ("silence is not success", 0b11, vec![ok()], 0, 0b10),
        ];
        let channel = Channel::new("c", "c-daemon", Program::Lmtp);
        for (name, open, outcomes, failed, waits) in rows {
            let entry = Tracked {
                id: MessageId(7),
                entry: 0,
                place: Place { segment: 1, offset: 0, length: 10 },
                open,
                attempts: 0,
                due: 0,
                priority: Priority::Normal,
                size: 1,
            };
            let attempt = Attempt { outcomes: outcomes.into(), trouble: None, peer: None };
            let after = After::of(&channel, &entry, &attempt, 1_000);
            assert_eq!((after.failed, after.state.open()), (failed, waits), "{name}");
            assert_eq!(after.meanwhile.open(), failed | waits, "{name}");
            let EntryState::Waiting { attempts, due, .. } = after.state else {
                assert_eq!((after.state, waits), (EntryState::Done, 0), "{name}");
                continue;
            };
            assert!(attempts == 1 && due >= 3_601_000, "{name}");
        }
    }

    #[test]
    fn what_waits_for_its_host_and_what_for_itself() {
        let own = Channel { private: true, ..Channel::new("c", "c-daemon", Program::Lmtp) };
        let foreign = Channel { private: false, ..own.clone() };
        let no_room = || Reply::new(452, Enhanced(4, 3, 1), "no space left for mail");
        let away = || Reply::STORE_AWAY;
        let fails = || Reply::new(430, Enhanced(4, 3, 0), "IMAP IOERROR");
        let closed = || Reply::new(451, Enhanced(4, 4, 2), "lost connection");
        // name, channel, reply, in trouble, may have been taken, goes when the host is back, within
        // a minute
        let rows = [
            ("a store of ours without room", &own, no_room(), true, false, true, true),
            ("a store of ours that is away", &own, away(), true, false, true, true),
            ("a store of ours that fails", &own, fails(), false, false, true, false),
            ("others say the same of one mailbox", &foreign, no_room(), false, false, false, false),
            ("another one's 430", &foreign, fails(), false, false, false, false),
            ("an unreachable host", &foreign, closed(), true, false, true, true),
            ("a host that hangs behind the dot", &foreign, closed(), true, true, false, false),
            ("a store of ours that hangs there", &own, closed(), true, true, false, false),
            ("a store of ours that dies there", &own, closed(), false, true, false, true),
            ("a store of ours that dies before", &own, closed(), false, false, false, true),
            ("a host that closes over a message", &foreign, closed(), false, true, false, false),
        ];
        for (name, channel, reply, in_trouble, unsure, stranded, soon) in rows {
            let outcomes = vec![Outcome::Deferred(reply.clone())];
            let trouble = in_trouble.then(|| SiteTrouble::deferred(reply));
            let peer = Some(Peer { host: "h".into(), notifies: false, answered: 0.into(), unsure });
            let attempt = Attempt { outcomes: outcomes.into(), trouble, peer };
            assert_eq!(is_stranded(channel, &attempt), stranded, "{name}");
            let entry = Tracked {
                id: MessageId(7),
                entry: 0,
                place: Place { segment: 1, offset: 0, length: 10 },
                open: 1,
                attempts: 0,
                due: 0,
                priority: Priority::Normal,
                size: 1,
            };
            let EntryState::Waiting { due, .. } = After::of(channel, &entry, &attempt, 0).state
            else {
                panic!("{name}: it waits");
            };
            assert_eq!(due <= 60_000, soon, "{name}: {due}");
        }
    }
}
