//! Slow destinations behind others: connections that nobody has greeted for a while give their places
//! back as soon as somebody else wants them, but for a share that waits as long as its channel allows.
//!
//! A connection that waits costs its place and nothing else; a hundred servers that take connections and
//! say nothing would otherwise have all places of a channel for `greeting_time`.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::Schedule;
use crate::ids::{ChannelId, ConnectionId, Destination};

impl Schedule {
    /// Connections without an answer for so long that they give way, as far as it is their servers that
    /// keep them waiting.
    pub fn unanswered(&self, now: Instant) -> impl Iterator<Item = ConnectionId> {
        self.slots.unanswered_for(PATIENCE, now).map(|(connection, _)| connection)
    }

    /// Nobody has greeted these connections for long: their destinations are slow.
    pub fn kept_waiting(&mut self, silent: &[ConnectionId], now: Instant) {
        let mut channels = BTreeSet::new();
        for connection in silent {
            let Some(running) = self.slots.running(*connection) else { continue };
            let (destination, retiring) =
                (running.destination.clone(), self.slots.is_retiring(running));
            let channel = destination.channel;
            if !self.ranks_mut(channel).slow.begun(*connection) {
                continue;
            }
            self.mark_slow(&destination, now);
            let owed = self.sites.get(&destination).map_or(0, |site| site.recalled);
            if retiring || owed > self.yielding(&destination) {
                self.tell_to_yield(*connection);
            }
            channels.insert(channel);
        }
        for channel in channels {
            self.recall(channel, now);
        }
    }

    /// Whether a destination stands behind all others: it keeps connections waiting for its greeting, or
    /// is slow to answer.
    pub(super) fn is_slow(&self, destination: &Destination) -> bool {
        self.sites.get(destination).is_some_and(|site| site.slow)
            || self.suspensions.get(destination).is_some_and(|its| its.slow)
    }

    fn mark_slow(&mut self, destination: &Destination, now: Instant) {
        let Some(site) = self.sites.get_mut(destination).filter(|site| !site.slow) else { return };
        site.slow = true;
        self.rank(destination);
        if self.ranks(destination.channel).waiting.contains(destination) {
            self.stand_in_line(destination, now);
        }
    }

    /// Connections of slow destinations that wait whoever wants their places: a tenth of the channel's,
    /// but never all.
    pub(super) fn slow_floor(&self, channel: ChannelId) -> usize {
        let most = self.slots.capacity(channel).saturating_sub(1);
        self.slow_share(channel).min(most)
    }

    /// Whether slow destinations have fewer connections than they may whoever else waits.
    pub(super) fn has_room_for_slow(&self, channel: ChannelId) -> bool {
        self.ranks(channel).slow.connections < self.slow_floor(channel)
    }

    /// Whether a destination may have what is free: a slow one leaves it to others in line.
    pub(super) fn may_start(&self, destination: &Destination) -> bool {
        let channel = destination.channel;
        !self.is_slow(destination)
            || self.ranks(channel).waiting.is_empty()
            || self.has_room_for_slow(channel)
    }

    /// Whether newcomers have so many connections without an answer that those who answer come first.
    pub(super) fn is_full_of_unproven(&self, channel: ChannelId) -> bool {
        let most = self.slots.capacity(channel).div_ceil(UNPROVEN_SHARE);
        self.ranks(channel).unproven >= most.max(1)
    }

    /// Of those in line that have shown that they answer, the one with fewest connections.
    pub(super) fn first_proven(&self, channel: ChannelId) -> Option<&Destination> {
        let (first, _) = self.ranks(channel).waiting.poorest_served()?;
        self.sites.get(first).is_some_and(|site| site.answered > 0).then_some(first)
    }

    /// Has so many silent connections give way, the youngest first.
    pub(super) fn have_silent_yield(&mut self, channel: ChannelId, connections: usize) {
        let silent = &self.ranks(channel).slow.silent;
        let most = silent.len().saturating_sub(self.slow_floor(channel));
        let youngest = silent.iter().rev().take(connections.min(most));
        let yielding = youngest.filter_map(|connection| self.slots.running(*connection));
        let yielding: Vec<_> = yielding.map(|running| running.destination.clone()).collect();
        for destination in yielding {
            self.ask_back(&destination);
        }
    }

    /// Of the connections of a destination that is to give one back, a silent one ends at once.
    pub(super) fn have_one_yield(&mut self, destination: &Destination) {
        let silent = &self.ranks(destination.channel).slow.silent;
        let is_its = |connection: &ConnectionId| {
            let running = self.slots.running(*connection);
            running.is_some_and(|running| running.destination == *destination)
        };
        if let Some(connection) = silent.iter().rev().copied().find(is_its) {
            self.tell_to_yield(connection);
        }
    }

    fn yielding(&self, destination: &Destination) -> usize {
        let yielding = self.ranks(destination.channel).slow.yielding.iter();
        let running = yielding.filter_map(|connection| self.slots.running(*connection));
        running.filter(|running| running.destination == *destination).count()
    }

    fn tell_to_yield(&mut self, connection: ConnectionId) {
        let Some(channel) = self.slots.channel_of(connection) else { return };
        let slow = &mut self.ranks_mut(channel).slow;
        slow.silent.remove(&connection);
        if slow.yielding.insert(connection) {
            self.orders.yielding.push(connection);
        }
    }
}

/// A connection that waits for so long at one step before its first message gives way to others. A name
/// that is looked up for the first time, a lost packet and a far server take less.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// While others wait that answer, destinations that have yet to answer have one of so many connections.
const UNPROVEN_SHARE: usize = 2;
