//! Sharing: destinations give way to destinations of their channel, channels to channels of their
//! pool.

use std::time::Duration;

use tokio::time::Instant;

use super::{Asker, ChannelRanks, Schedule};
use crate::ids::{ChannelId, Destination, JobId};

impl Schedule {
    /// Gives what is free to those in line: to the channel with fewest jobs first, and of those
    /// to the one whose turn is longest ago. Then sees who is to give back.
    pub(super) fn share(&mut self, pool: usize, now: Instant) {
        while self.call_in(pool, now) {}
        for channel in self.slots.pools()[pool].channels.clone() {
            self.recall(channel, now);
        }
        self.reclaim(pool);
    }

    fn call_in(&mut self, pool: usize, now: Instant) -> bool {
        let mut channels = self.waiting_channels(pool);
        channels
            .sort_by_key(|channel| (self.slots.lane(*channel).active(), self.ranks(*channel).turn));
        channels.into_iter().any(|channel| self.call_first(channel, now))
    }

    fn call_first(&mut self, channel: ChannelId, now: Instant) -> bool {
        while let Some(first) = self.first_in_line(channel).cloned() {
            if self.missing(&first, now) > 0 {
                if !self.start(&first, now) {
                    return false;
                }
                self.stand_in_line(&first, now);
                self.turns += 1;
                self.ranks_mut(channel).turn = self.turns;
                return true;
            }
            self.leave_line(&first);
            self.forget_if_quiet(&first);
        }
        false
    }

    /// Slow ones as far as they have not what they may, then newcomers and those with fewest connections,
    /// then slow ones.
    fn first_in_line(&self, channel: ChannelId) -> Option<&Destination> {
        let ranks = self.ranks(channel);
        let slow = ranks.slow.waiting.poorest();
        if let Some((newcomer, 0)) = slow
            && self.has_room_for_slow(channel)
        {
            return Some(newcomer);
        }
        if self.is_full_of_unproven(channel)
            && let Some(proven) = self.first_proven(channel)
            && self.slots.free(channel, self.asker(proven)) > 0
        {
            return Some(proven);
        }
        ranks.waiting.poorest().or(slow).map(|(first, _)| first)
    }

    /// Newcomers in line that others make room for, so many at most. Slow ones count as far as they have
    /// not what they may.
    fn newcomers(&self, channel: ChannelId, most: usize) -> usize {
        let ranks = self.ranks(channel);
        let room = self.slow_floor(channel).saturating_sub(ranks.slow.connections);
        let slow = ranks.slow.waiting.newcomers().take(room.min(most)).count();
        let others = ranks.waiting.newcomers().take(most).count();
        (others + slow).min(most)
    }

    pub(super) fn has_newcomer(&self, channel: ChannelId) -> bool {
        self.newcomers(channel, 1) > 0
    }

    fn waiting_channels(&self, pool: usize) -> Vec<ChannelId> {
        let here = self.slots.pools()[pool].channels.iter().copied();
        let waits = |channel: &ChannelId| {
            let ranks = self.ranks(*channel);
            let nobody = ranks.waiting.is_empty() && ranks.slow.waiting.is_empty();
            !nobody && !self.slots.lane(*channel).is_still()
        };
        here.filter(waits).collect()
    }

    /// Asks connections back from whoever has most: for newcomers in line, one more so that the
    /// next of them finds it free where the last one is kept, and else for the first in line who has fewer.
    pub(super) fn recall(&mut self, channel: ChannelId, now: Instant) {
        if self.slots.lane(channel).is_still() {
            return;
        }
        let free = self.slots.free(channel, Asker::Newcomer);
        let spare = usize::from(self.slots.pools()[self.slots.lane(channel).pool].keeps_last);
        let newcomers = self.newcomers(channel, AT_ONCE);
        let served = self.ranks(channel).waiting.poorest_served().map(|(first, _)| first);
        let lacking = served.map_or(0, |first| self.missing(first, now));
        let coming = free + self.ranks(channel).recalled;
        let wanted = newcomers + lacking + if newcomers + lacking > 0 { spare } else { 0 };
        self.have_silent_yield(channel, wanted.saturating_sub(coming));
        let coming = free + self.ranks(channel).recalled;
        // Newcomers who say nothing take no more than their share from those who answer.
        if !self.is_full_of_unproven(channel) {
            self.ask_richest(channel, (newcomers + spare).saturating_sub(coming), 0);
        }

        let ranks = self.ranks(channel);
        let Some((first, connections)) =
            ranks.waiting.poorest().filter(|(_, connections)| *connections > 0)
        else {
            return;
        };
        let most = ranks.holding.richest().map_or(0, |(_, most)| most);
        let fair = (most.saturating_sub(connections) / 2).min(self.missing(first, now));
        let kept = spare.min(usize::from(free == 0));
        let coming = self.slots.free(channel, Asker::Served) + ranks.recalled;
        self.ask_richest(channel, (fair + kept).saturating_sub(coming), connections);
    }

    /// Asks back `connections`, each from the one with most, as long as that has two more than
    /// `poorest`.
    fn ask_richest(&mut self, channel: ChannelId, connections: usize, poorest: usize) {
        for _ in 0..connections {
            let Some((richest, most)) = self.ranks(channel).holding.richest() else { return };
            if most <= poorest + 1 {
                return;
            }
            let richest = richest.clone();
            self.ask_back(&richest);
        }
    }

    pub(super) fn ask_back(&mut self, destination: &Destination) {
        let Some(site) = self.sites.get_mut(destination) else { return };
        site.recalled += 1;
        self.ranks_mut(destination.channel).recalled += 1;
        self.rank(destination);
        self.orders.recalled.push(destination.clone());
        self.have_one_yield(destination);
    }

    /// Channels in line that a slot would help, those with fewest jobs first.
    fn claims(&self, pool: usize) -> Vec<ChannelId> {
        let mut claims = self.waiting_channels(pool);
        claims.retain(|channel| {
            let lane = self.slots.lane(*channel);
            let newcomer = self.has_newcomer(*channel);
            let asker = if newcomer { Asker::Newcomer } else { Asker::Served };
            let waits = newcomer || !self.ranks(*channel).waiting.is_empty();
            waits && lane.jobs() < lane.maxjobs && self.slots.free(*channel, asker) == 0
        });
        claims.sort_by_key(|channel| self.slots.lane(*channel).active());
        claims
    }

    /// Ends jobs of the channel that has most, for channels in line that have fewer.
    pub(super) fn reclaim(&mut self, pool: usize) {
        for (index, claim) in self.claims(pool).into_iter().enumerate() {
            let state = &self.slots.pools()[pool];
            let coming = state.free().saturating_sub(self.slots.reserved(claim)) + state.retiring;
            if index < coming {
                continue;
            }
            let Some(busiest) = self.slots.busiest(pool) else { return };
            if self.slots.lane(busiest).active() <= self.slots.lane(claim).active() + 1 {
                return;
            }
            let retire = self.slots.retire_smallest(busiest);
            self.orders.retired.extend(retire);
        }
    }

    /// Where everybody has just one and others have none: those that had theirs for a while make
    /// room, the oldest first.
    pub(super) fn take_turns(&mut self, pool: usize, now: Instant) {
        let claims = self.claims(pool);
        let without = claims.iter().filter(|claim| self.slots.lane(**claim).active() == 0).count();
        let jobs = without.saturating_sub(self.slots.pools()[pool].retiring);
        for (channel, job) in self.oldest_jobs(pool, now).into_iter().take(jobs) {
            let retire = self.slots.retire(channel, job);
            self.orders.retired.extend(retire);
        }
        for channel in self.waiting_channels(pool) {
            if self.slots.free(channel, Asker::Newcomer) > 0 {
                continue;
            }
            let wanted = self.newcomers(channel, AT_ONCE);
            let missing = wanted.saturating_sub(self.ranks(channel).recalled);
            for destination in self.oldest_connections(channel, missing, now) {
                self.ask_back(&destination);
            }
        }
    }

    /// Jobs that had their turn, the oldest first.
    fn oldest_jobs(&self, pool: usize, now: Instant) -> Vec<(ChannelId, JobId)> {
        let mut jobs = Vec::new();
        for channel in self.slots.pools()[pool].channels.iter().copied() {
            let over = self.slots.jobs_of(channel).filter(|(_, job)| job.since + TURN <= now);
            jobs.extend(over.map(|(id, job)| (job.since, channel, id)));
        }
        jobs.sort();
        jobs.into_iter().map(|(_, channel, id)| (channel, id)).collect()
    }

    /// Destinations with one connection that had their turn.
    fn oldest_connections(
        &self,
        channel: ChannelId,
        most: usize,
        now: Instant,
    ) -> Vec<Destination> {
        if most == 0 {
            return Vec::new();
        }
        let ChannelRanks { holding: holds, slow, .. } = self.ranks(channel);
        self.slots
            .connections()
            .take_while(|(_, running)| running.since + TURN <= now)
            // Silent ones have given way as far as they must.
            .filter(|(connection, _)| !slow.is_silent(*connection))
            .map(|(_, running)| &running.destination)
            .filter(|destination| destination.channel == channel && holds.contains(destination))
            .filter(|destination| self.connections(destination) == 1)
            .take(most)
            .cloned()
            .collect()
    }
}

/// Connections that are asked back for newcomers at once, at most; the others follow with the ends
/// of these.
const AT_ONCE: usize = 16;

/// How long a connection may serve a destination that has no other while others have none.
pub const TURN: Duration = Duration::from_secs(2);
