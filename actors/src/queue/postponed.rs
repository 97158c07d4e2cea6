//! Entries that an operator returns and whose sender cannot be told now: the sender's own mailbox is
//! closed for a time, or the disk is full. They are held, and returned once more after a while,
//! until an operator orders something else.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use tracing::warn;

use super::{
    Queue,
    entry::Key,
    requests::{Action, Reason},
};
use crate::{actor::Ctx, spool::EntryState};

/// The returns that are to be tried again.
#[derive(Debug, Default)]
pub(super) struct Postponed(HashMap<Key, Again>);

#[derive(Debug)]
struct Again {
    /// `None`: the notary has it.
    at: Option<Instant>,
    pause: Duration,
    reason: Reason,
}

impl Postponed {
    /// Its sender cannot be told now.
    pub(super) fn postpone(&mut self, key: Key, reason: Reason) {
        let again = self.0.entry(key).or_insert(Again { at: None, pause: PAUSE / 2, reason });
        again.pause = (again.pause * 2).min(LONGEST_PAUSE);
        again.at = Some(Instant::now() + again.pause);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// It has been told, or something else was ordered.
    pub(super) fn forget(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// Those whose time has come, in the hands of the notary from now on.
    fn take_due(&mut self, now: Instant) -> Vec<Key> {
        let mut due = Vec::new();
        for (key, again) in &mut self.0 {
            if due.len() < MOST_AT_ONCE && again.at.is_some_and(|at| at <= now) {
                again.at = None;
                due.push(*key);
            }
        }
        due
    }
}

impl Queue {
    /// Returns once more what could not be returned.
    pub(super) fn return_once_more(&mut self, ctx: &mut Ctx<Self>) {
        if self.drained || !self.has_room_for_returns() {
            return;
        }
        let due = self.postponed.take_due(Instant::now());
        if due.is_empty() {
            return;
        }
        let ticket = self.tracker.begin_reading();
        let spool = self.spool.clone();
        let ids = due.iter().map(|(id, _)| *id).collect();
        let find = async move { spool.find_all(ids).await };
        ctx.when(find, move |queue, found, _| {
            let found = found.unwrap_or_else(|error| {
                warn!(%error, "what is to be returned once more cannot be read");
                Vec::new()
            });
            let held = found.iter().filter(|found| matches!(found.state, EntryState::Held { .. }));
            let held: HashMap<Key, _> =
                held.map(|found| ((found.id, found.entry), found)).collect();
            for key in due {
                let Some(Again { pause, reason, .. }) = queue.postponed.0.remove(&key) else {
                    continue;
                };
                let Some(held) = held.get(&key) else { continue };
                queue.alter(held, ticket, Action::Return, &reason);
                queue.postponed.0.insert(key, Again { at: None, pause, reason });
            }
            queue.tracker.end_reading(ticket);
        });
    }
}

/// Read and returned at once.
const MOST_AT_ONCE: usize = 1_000;
/// Before a return is tried again, at first and at most.
#[cfg(not(test))]
const PAUSE: Duration = Duration::from_secs(60);
#[cfg(test)]
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
