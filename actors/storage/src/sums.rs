//! Sums of entries, destination by destination.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use relais_channels::mail::MessageId;

/// Sums of entries of one channel and class.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// By destination.
    pub hosts: HashMap<Arc<str>, HostSum>,
    /// Entries by when they were received: by the [`ARRIVAL_SLOT`] of their ids.
    pub arrivals: BTreeMap<u64, u64>,
}

/// Milliseconds of a slot of [`Sums::arrivals`].
pub const ARRIVAL_SLOT: u64 = 10_000;

/// Sums of the entries for one destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostSum {
    /// Entries.
    pub entries: u64,
    /// Their recipients that are still open.
    pub recipients: u64,
    /// Bytes of content, counted once for each entry.
    pub bytes: u64,
    /// The one that was received first.
    pub oldest: MessageId,
}

impl Sums {
    /// Counts one more, with so many open recipients and octets.
    pub fn add(&mut self, id: MessageId, host: &Arc<str>, (open, size): (u64, u64)) {
        let recipients = u64::from(open.count_ones());
        let one = HostSum { entries: 1, recipients, bytes: size, oldest: id };
        match self.hosts.get_mut(host) {
            Some(sum) => sum.add(&one),
            None => drop(self.hosts.insert(Arc::clone(host), one)),
        }
        *self.arrivals.entry(id.received_ms() / ARRIVAL_SLOT).or_default() += 1;
    }
}

impl HostSum {
    /// Takes in others for the same destination.
    pub fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.recipients += other.recipients;
        self.bytes += other.bytes;
        self.oldest = self.oldest.min(other.oldest);
    }
}
