//! Orders for entries that their jobs do not give back in time, when the engine stops.
//!
//! While the engine runs such an order waits until the job is done with its entry. At the end there
//! is nobody left to wait for: it is written down, so that the next start does not deliver what was
//! deleted.

use relais_channels::mail::Envelope;
use relais_storage::{EntryState, ScannedEntry, Storage, StorageError};
use tracing::warn;

use super::{
    Amendment, Queue,
    entry::{Key, Tracked},
    requests::{CountOrders, GiveUpJobs, Order, OrderKind},
};
use crate::{
    actor::{Ctx, Handle, Later},
    ids::Destination,
};

/// An entry as the disk has it, and its message.
type Found = (ScannedEntry, Result<Envelope, StorageError>);

impl Queue {
    fn write_down_order(&mut self, (scanned, envelope): &Found) {
        let key = (scanned.id, scanned.entry);
        // An entry that came back meanwhile has had its order.
        let Some(Order { kind, reason }) = self.orders.take(key) else { return };
        let Some(channel) = self.channels.find(&scanned.channel) else { return };
        let destination = Destination { channel, host: scanned.host.clone() };
        let (entry, was) = (Tracked::of(scanned), scanned.state);
        let held = EntryState::Held { open: was.open(), attempts: was.attempts() };
        let (now, reason) = match kind {
            OrderKind::Hold => (held, reason.words),
            OrderKind::Delete => {
                self.log_deleted(envelope, entry, &reason.words);
                (EntryState::Done, reason.words)
            }
            OrderKind::Return => {
                let ended = "held in place, as the engine stopped: its next start returns it";
                (held, format!("{}; {ended}", reason.words).into())
            }
            OrderKind::Release | OrderKind::Retry => return,
        };
        let before = self.hold_lines.len();
        self.amend(&destination, &entry, Amendment::new(was, now).because(reason));
        let lines = self.hold_lines.take_after(before);
        if let Ok(envelope) = envelope {
            for line in lines {
                line.emit(envelope, &self.metrics);
            }
        }
        self.tracker.finish(entry.id, entry.entry);
    }
}

async fn look_up(storage: Storage, wanted: Vec<Key>) -> Result<Vec<Found>, StorageError> {
    let mut found = storage.find_all(wanted.iter().map(|(id, _)| *id).collect()).await?;
    found.retain(|scanned| wanted.contains(&(scanned.id, scanned.entry)));
    let mut read = Vec::with_capacity(found.len());
    for scanned in found {
        let envelope = storage.envelope(scanned.place).await;
        read.push((scanned, envelope));
    }
    Ok(read)
}

impl Handle<CountOrders> for Queue {
    fn handle(&mut self, _: CountOrders, _: &mut Ctx<Self>) -> usize {
        self.orders.len()
    }
}

impl Handle<GiveUpJobs> for Queue {
    fn handle(&mut self, _: GiveUpJobs, ctx: &mut Ctx<Self>) -> Later<()> {
        let wanted: Vec<_> = self.orders.waiting().map(|(key, _)| key).collect();
        let lines = self.hold_lines.take();
        let told = self.tell_holds(lines);
        if wanted.is_empty() {
            return Later::new(told);
        }
        let storage = self.storage.clone();
        let found = async move {
            told.await;
            look_up(storage, wanted).await
        };
        ctx.later(found, |queue, found, _| match found {
            Ok(found) => found.iter().for_each(|found| queue.write_down_order(found)),
            Err(error) => {
                let orders = queue.orders.waiting().count();
                warn!(%error, orders, "orders about entries in the hands of jobs are forgotten");
            }
        })
    }
}
