//! The partition that each mailbox lies in.
//!
//! A mailbox is found by one look at each partition, and remembered for as long as there is room. One
//! that is nowhere comes to be where most room is; where a partition is away, it may lie there, and
//! waits.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use relais_channels::mailbox::MailboxName;
use tracing::warn;

use super::partition_side::PartitionSide;

/// The homes that are remembered. Of two generations the older one is forgotten when the younger is full.
#[derive(Debug, Default)]
pub(super) struct Homes(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, usize>,
    old: HashMap<Box<str>, usize>,
}

/// Where a mailbox lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Home {
    /// In the partition of this number.
    In(usize),
    /// Nowhere; it is to be made in the partition of this number.
    New(usize),
    /// Perhaps in a partition that is not there.
    Away,
}

impl Homes {
    /// The partition that is remembered.
    pub(super) fn known(&self, mailbox: &MailboxName) -> Option<usize> {
        self.lock().get(&mailbox.address())
    }

    /// Looks for a mailbox. Blocks.
    pub(super) fn find(&self, sides: &[PartitionSide], mailbox: &MailboxName) -> Home {
        let address = mailbox.address();
        if let Some(at) = self.lock().get(&address) {
            return Home::In(at);
        }
        let (mut found, mut failed, mut away) = (None, None, false);
        for (at, side) in sides.iter().enumerate() {
            if !side.is_there() {
                away = true;
                continue;
            }
            match side.is_home(mailbox) {
                Ok(false) => {}
                Ok(true) if found.is_some() => {
                    let path = side.root.display();
                    warn!(mailbox = address, %path, "a mailbox lies in two partitions: the first counts");
                }
                Ok(true) => found = Some(at),
                // Of two that cannot be looked into nobody knows.
                Err(_) if failed.is_some() => away = true,
                Err(_) => failed = Some(at),
            }
        }
        match (found, failed, away) {
            (Some(at), ..) => Home::In(self.lock().decide(&address, at)),
            (None, _, true) => Home::Away,
            // The obstacle there is the partition's to tell; nobody remembers it.
            (None, Some(at), false) => Home::In(at),
            (None, None, false) => {
                let free = |at: &usize| sides[*at].known.free.load(Relaxed);
                let most = (0..sides.len()).rev().max_by_key(free).unwrap_or_default();
                // Somebody else may have decided since.
                Home::New(self.lock().decide(&address, most))
            }
        }
    }

    /// It is about to lie there, whatever was decided before.
    pub(super) fn assign(&self, mailbox: &MailboxName, at: usize) {
        let (address, mut known) = (mailbox.address(), self.lock());
        known.old.remove(&*address);
        known.put(address.into(), at);
    }

    /// Nobody knows any more where it lies.
    pub(super) fn forget(&self, mailbox: &MailboxName) {
        let address = mailbox.address();
        let mut known = self.lock();
        known.young.remove(&*address);
        known.old.remove(&*address);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&mut self, address: &str) -> Option<usize> {
        if let Some(at) = self.young.get(address) {
            return Some(*at);
        }
        let (address, at) = self.old.remove_entry(address)?;
        Some(self.put(address, at))
    }

    /// Of several who decide at once, the first one's word counts.
    fn decide(&mut self, address: &str, at: usize) -> usize {
        self.get(address).unwrap_or_else(|| self.put(address.into(), at))
    }

    fn put(&mut self, address: Box<str>, at: usize) -> usize {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(address, at);
        at
    }
}

/// Mailboxes of a generation; two of them take some eight megabytes.
const GENERATION: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_decision_counts_and_the_oldest_are_forgotten() {
        let mut known = Generations::default();
        assert_eq!((known.decide("a@b", 1), known.decide("a@b", 2)), (1, 1));
        for n in 0..GENERATION {
            known.decide(&format!("{n}@b"), 0);
        }
        assert_eq!(known.get("a@b"), Some(1), "the older generation is there yet");
        for n in 0..2 * GENERATION {
            known.decide(&format!("{n}@c"), 0);
        }
        assert_eq!(known.get("a@b"), None);
        assert!(known.young.len() <= GENERATION && known.old.len() <= GENERATION);
    }
}
