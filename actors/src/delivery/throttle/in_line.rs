//! Hosts that wait for a place at a limited destination, in the order in which they asked. Pure.

use std::collections::VecDeque;

use crate::ids::Destination;

/// Hosts whose couriers found no place, each once.
#[derive(Debug, Default)]
pub(super) struct InLine(VecDeque<Destination>);

impl InLine {
    /// Lets a host wait behind the others, unless there are too many.
    pub(super) fn join(&mut self, who: &Destination) {
        if self.0.len() < MOST && !self.0.contains(who) {
            self.0.push_back(who.clone());
        }
    }

    /// It waits no longer.
    pub(super) fn leave(&mut self, who: &Destination) {
        self.0.retain(|other| other != who);
    }

    /// Takes out those that have waited longest, `most` of them.
    pub(super) fn first(&mut self, most: usize) -> impl Iterator<Item = Destination> {
        self.0.drain(..most.min(self.0.len()))
    }

    /// Whether others than this one wait.
    pub(super) fn has_beside(&self, own: &Destination) -> bool {
        self.0.iter().any(|other| other != own)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Hosts that wait at one destination, and are told.
const MOST: usize = 10_000;
