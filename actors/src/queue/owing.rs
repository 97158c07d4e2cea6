//! Senders who asked to be told of a delivery (of failures: `settle`). The state of an entry says
//! that its sender has yet to be told, so that neither a crash nor a full disk loses the notice;
//! where nobody asked for one nothing more is written than without this.
//!
//! Until it has been told the entry is aside: no job gets it. What the notary cannot tell now, or
//! has no room for, stays on the disk, and is looked for there again. So is at start what was left.

use std::{sync::Arc, time::Duration};

use relais_channels::mail::Trip;
use relais_storage::{Class, EntryState, RecipientReplies, ScannedEntry, Storage, StorageError};
use tokio::time::Instant;
use tracing::warn;

use super::{
    Amendment, Queue,
    entry::Tracked,
    news::{Case, Told},
    notice_budget::Position,
    own_reasons::{SENDER_NOT_TOLD, SENDER_TOLD},
    settle::success,
    tracker::{Aside, Ticket},
};
use crate::{
    actor::Ctx,
    channel_table::{lowered, notices},
    ids::{ChannelId, Destination},
    metrics::NoticeResult,
    timestamp::now_ms,
};

/// Entries that were read of one channel.
type Portion = (ChannelId, Vec<ScannedEntry>);

impl Queue {
    /// Writes down of whom the sender is owed `news`, and lets the notary tell. `left` has those
    /// recipients of the entry, which a job had, who still wait, or failed; maybe none.
    pub(super) fn owe(
        &mut self,
        news: Case,
        left: EntryState,
        (replies, trip): (RecipientReplies, Option<Arc<Trip>>),
    ) {
        let entry = news.entry;
        let was = left.owing(news.recipients);
        let amendment = Amendment::new(entry.waiting(), was).with(replies).over(trip);
        self.amend(&news.destination, &entry, amendment);
        self.tracker.finish(entry.id, entry.entry);
        if was.open() == 0 {
            self.orders.take((entry.id, entry.entry));
        }
        if !self.notices.begin_success() {
            return self.finish_drain();
        }
        self.tracker.take_aside(entry.id, entry.entry);
        self.news.tell(vec![Case { was, then: Some(was.told()), ..news }]);
    }

    /// The sender knows who has it, or cannot be told now.
    pub(super) fn settle_told(&mut self, case: Case, told: Told) {
        let Case { entry, destination, kind, was, then, behind, .. } = case;
        self.notices.end_success();
        if !self.minds((entry.id, entry.entry)) {
            return;
        }
        let reason = match told {
            Told::Settled => {
                self.notices.note_success();
                SENDER_TOLD
            }
            Told::Later
                if self.drain.has_begun() || !self.is_too_late(&destination, &entry, was) =>
            {
                self.notices.put_off();
                // The disk has it, and this start or the next tells it.
                return self.tracker.done_aside(entry.id, entry.entry);
            }
            Told::Later | Told::Unreadable | Told::Kept | Told::Dead => {
                warn!(id = %entry.id, ?kind, "given up: its sender is not told");
                self.metrics.notices.count(NoticeResult::GivenUp);
                SENDER_NOT_TOLD
            }
        };
        let then = then.unwrap_or(was.told());
        self.amend(&destination, &entry, Amendment::new(was, then).because(reason.into()));
        if let Some(next) = behind {
            // It stays aside until that has been told, too.
            return self.news.tell(vec![Case { was: then, ..*next }]);
        }
        self.end_aside(&destination, entry, then, false);
        if let Some(entry) = entry.now(then) {
            self.grant_order(&destination, entry);
        }
    }

    /// Whether to give up: those who still wait must not wait for a notice, and mail that is
    /// delivered does not stay for longer than mail that is not.
    fn is_too_late(&self, destination: &Destination, entry: &Tracked, was: EntryState) -> bool {
        let EntryState::Owing { open, due, .. } = was else { return true };
        let channel = self.channels.channel(destination.channel);
        let ages = notices(channel, entry.priority);
        let (since, patience) = match ages.last() {
            Some(longest) if open == 0 => (entry.id.received_ms(), *longest),
            _ => (due, OTHERS_WAIT),
        };
        now_ms() > since.saturating_add(patience.as_millis() as u64)
    }

    /// Looks for those that memory does not know, when there may be some and the notary has room.
    pub(super) fn tell_who_is_owed(&mut self, ctx: &mut Ctx<Self>) {
        if self.drain.has_begun() || !self.notices.wants_reading(Instant::now()) {
            return;
        }
        self.notices.looked();
        let counts = self.storage.counts();
        let has_some = |name: &String| counts.get(name).is_some_and(|counts| counts.owing > 0);
        let channels = self.channels.by_number().filter(|(_, channel)| has_some(&channel.name));
        let channels: Vec<_> = channels.map(|(id, channel)| (id, channel.name.clone())).collect();
        if channels.is_empty() {
            self.notices.forget_position();
            return;
        }
        let (room, resume) = self.notices.begin_reading();
        let ticket = self.tracker.begin_reading();
        let found = read(self.storage.clone(), channels, resume, room);
        ctx.when(found, move |queue, found, _| {
            match found {
                Ok((found, resume)) => {
                    for (channel, found) in found {
                        queue.tell_of_scanned(channel, &found, ticket);
                    }
                    queue.notices.end_reading(resume);
                }
                Err(error) => {
                    warn!(%error, "could not read who is owed a notice; once more in a while");
                    queue.notices.fail_reading();
                }
            }
            queue.tracker.end_reading(ticket);
            queue.finish_drain();
        });
    }

    fn tell_of_scanned(&mut self, channel: ChannelId, found: &[ScannedEntry], ticket: Ticket) {
        let its = self.channels.channel(channel);
        let mut cases = Vec::new();
        for scanned in found {
            let (id, entry, was) = (scanned.id, scanned.entry, scanned.state);
            let gone = self.drain.has_begun() || self.tracker.changed_since(ticket, id, entry);
            if gone || self.tracker.take_aside(id, entry) != Aside::Untracked {
                continue;
            }
            let priority = lowered(its, scanned.priority, scanned.size);
            cases.push(Case {
                entry: Tracked { priority, ..Tracked::of(scanned) },
                destination: Destination { channel, host: Arc::clone(&scanned.host) },
                kind: success(its),
                recipients: was.reached(),
                replies: Vec::new(),
                until: None,
                was,
                then: Some(was.told()),
                behind: None,
                room: None,
                reading: None,
                ordered: None,
            });
        }
        self.notices.begin_successes(cases.len());
        self.news.tell(cases);
    }
}

/// Looks for those that the disk has, now.
#[cfg(test)]
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct LookForOwed;

#[cfg(test)]
impl crate::actor::Handle<LookForOwed> for Queue {
    fn handle(&mut self, _: LookForOwed, _: &mut Ctx<Self>) {
        self.notices.read_now();
    }
}

/// At least `room` of them, or all that are left; and where to go on when these are not all.
async fn read(
    storage: Storage,
    channels: Vec<(ChannelId, String)>,
    resume: Option<Position>,
    room: usize,
) -> Result<(Vec<Portion>, Option<Position>), StorageError> {
    let (mut portions, mut read) = (Vec::new(), 0);
    let (first, mut after) = resume.map_or((ChannelId(0), None), |(id, at)| (id, Some(at)));
    for (id, name) in channels.into_iter().filter(|(id, _)| *id >= first) {
        after = after.filter(|_| id == first);
        loop {
            let found = storage.scan(&name, Class::Owing, after, PORTION).await?;
            after = found.last().map(|entry| entry.cursor);
            let ended = found.len() < PORTION;
            read += found.len();
            portions.push((id, found));
            if ended {
                break;
            }
            if read >= room {
                return Ok((portions, after.map(|at| (id, at))));
            }
        }
    }
    Ok((portions, None))
}

/// Entries read at once.
const PORTION: usize = 1_000;
/// How long beyond their time others wait for a notice that cannot be written.
const OTHERS_WAIT: Duration = Duration::from_secs(5 * 60);
