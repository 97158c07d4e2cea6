//! What was ordered of entries that their jobs do not give back in time, when the engine stops.
//!
//! While the engine runs such an order waits until the job is done with its entry. At the end there
//! is nobody left to wait for: it is written down, so that the next start does not deliver what was
//! deleted.

use std::future::ready;

use relais_channels::mail::Envelope;
use tracing::warn;

use super::{
    Queue,
    entry::{Key, Tracked},
    requests::{Action, CountOrders, GiveUpJobs},
};
use crate::{
    actor::{Ctx, Handle, Later},
    ids::Destination,
    spool::{EntryState, ScannedEntry, Spool, SpoolError},
};

/// An entry as the disk has it, and its message.
type Found = (ScannedEntry, Result<Envelope, SpoolError>);

impl Queue {
    /// A job, or the notary, has it, or somebody has taken it aside: nothing else is heard of.
    pub(super) fn minds(&self, (id, entry): Key) -> bool {
        self.tracker.is_aside(id, entry) || self.tracker.state_of(id, entry).is_some()
    }

    fn write_down_wish(&mut self, (scanned, envelope): &Found) {
        let key = (scanned.id, scanned.entry);
        // What came back meanwhile has had its wish.
        let Some((action, reason)) = self.wishes.remove(&key) else { return };
        let Some(channel) = self.channels.find(&scanned.channel) else { return };
        let destination = Destination { channel, host: scanned.host.clone() };
        let (entry, was) = (Tracked::of(scanned), scanned.state);
        let held = EntryState::Held { open: was.open(), attempts: was.attempts() };
        let (now, reason) = match action {
            Action::Hold => (held, reason.words),
            Action::Delete => {
                self.log_deleted(envelope, entry, &reason.words);
                (EntryState::Done, reason.words)
            }
            Action::Return => {
                let ended = "held in place, as the engine stopped: its next start returns it";
                (held, format!("{}; {ended}", reason.words).into())
            }
            Action::Release | Action::Retry => return,
        };
        self.amend(&destination, &entry, was, now, Vec::new(), Some(reason));
        self.tracker.finish(entry.id, entry.entry);
    }
}

async fn look_up(spool: Spool, wanted: Vec<Key>) -> Result<Vec<Found>, SpoolError> {
    let mut found = spool.find_all(wanted.iter().map(|(id, _)| *id).collect()).await?;
    found.retain(|scanned| wanted.contains(&(scanned.id, scanned.entry)));
    let mut read = Vec::with_capacity(found.len());
    for scanned in found {
        let envelope = spool.envelope(scanned.place).await;
        read.push((scanned, envelope));
    }
    Ok(read)
}

impl Handle<CountOrders> for Queue {
    fn handle(&mut self, _: CountOrders, _: &mut Ctx<Self>) -> usize {
        self.wishes.len() + self.returning.len() + self.postponed.len()
    }
}

impl Handle<GiveUpJobs> for Queue {
    fn handle(&mut self, _: GiveUpJobs, ctx: &mut Ctx<Self>) -> Later<()> {
        let wanted: Vec<_> = self.wishes.keys().copied().collect();
        if wanted.is_empty() {
            return Later::new(ready(()));
        }
        ctx.later(look_up(self.spool.clone(), wanted), |queue, found, _| match found {
            Ok(found) => found.iter().for_each(|found| queue.write_down_wish(found)),
            Err(error) => {
                let orders = queue.wishes.len();
                warn!(%error, orders, "orders about entries in the hands of jobs are forgotten");
            }
        })
    }
}
