//! Which connections to start and which to end: the job controller's decisions, without actors and
//! without a clock.
//!
//! A destination (channel and host) deserves a connection for each `threaddepth` waiting entries,
//! as far as its [`Window`] goes. What it cannot have it stands in line for, and whoever has fewest
//! connections comes first. Nobody takes the last free connection who has one already; where all
//! are taken, the destination with most gives back, and where everybody has just one, those that
//! had theirs longest. Channels share the slots of a pool by the same rule. A destination that
//! cannot be talked to is suspended, longer each time, and then gets one connection to probe it.
//! One that is slow gives back slowly, so it keeps a tenth of its channel's connections, and its
//! neighbour loses no more than that; many that are slow stand behind all others, see `silence`.

mod limits;
mod sharing;
mod silence;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    time::Duration,
};

use relais_channels::mail::Reply;
use relais_config::Destinations;
use tokio::time::Instant;

pub use self::{
    limits::{ConnectionBound, MAX_HOST_LIMITS, TooMany},
    sharing::TURN,
    silence::PATIENCE,
};
pub use super::slots::{Retire, Slots, Start};
use super::{
    host_orders::HostOrders,
    ranks::Ranks,
    relief::{Relief, Reliefs},
    rests::Rests,
    slots::{Asker, Limited, Running},
    slow_ones::SlowOnes,
    suspension::{Suspension, Suspensions},
    window::Window,
};
use crate::{
    channel_table::Channels,
    ids::{ChannelId, ConnectionId, Destination},
};

/// Everything that is running, waiting or suspended.
#[derive(Debug)]
pub struct Schedule {
    slots: Slots,
    ranks: Vec<ChannelRanks>,
    sites: HashMap<Destination, Site>,
    suspensions: Suspensions,
    /// Connections that an operator lets a destination have at most.
    host_limits: HashMap<Destination, usize>,
    /// The limits of destinations that channels are configured with, by their numbers.
    configured: Vec<Destinations>,
    /// Destinations whose limits allow no more for now.
    rests: Rests,
    /// Hosts that operators have suspended.
    host_orders: HostOrders,
    /// Stores of ours that are slow.
    reliefs: Reliefs,
    /// Connections given to those in line, ever.
    turns: u64,
    orders: Orders,
}

/// The doings that a decision asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Orders {
    /// Connections to start.
    pub starts: Vec<Start>,
    /// Jobs to end.
    pub retired: Vec<Retire>,
    /// Destinations that give back a connection, named once for each.
    pub recalled: Vec<Destination>,
    /// Connections that end now, unless a server has greeted them.
    pub yielding: Vec<ConnectionId>,
}

/// Destinations of one channel that want connections, and those that have some.
#[derive(Debug, Default)]
struct ChannelRanks {
    waiting: Ranks,
    slow: SlowOnes,
    /// Connections of destinations that none of theirs has an answer of.
    unproven: usize,
    /// By the connections that they were not asked to give back.
    holding: Ranks,
    /// Connections asked back that have not ended.
    recalled: usize,
    /// When it was last given a connection, by the count of them: of two channels the other is
    /// next.
    turn: u64,
}

/// The standing of one destination.
#[derive(Debug, Default)]
struct Site {
    ready: usize,
    connections: usize,
    recalled: usize,
    window: Window,
    /// Connections that got an answer.
    answered: usize,
    /// Its last new connection waited long for the first answer, or waits still.
    slow: bool,
    /// Connections that are counted among those of slow destinations.
    counted_slow: usize,
    /// The same, among those of destinations that have yet to answer.
    counted_unproven: usize,
}

/// How one destination stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DestinationStanding {
    /// Entries that wait.
    pub ready: usize,
    /// Connections now.
    pub connections: usize,
    /// Jobs that those belong to.
    pub jobs: usize,
    /// Connections it may have at once, for now.
    pub window: usize,
    /// It answers so slowly that nine of ten connections of the channel are kept from it.
    pub slow: bool,
    /// It stands in line behind this many.
    pub behind: Option<usize>,
    /// It could not be talked to.
    pub suspension: Option<Suspension>,
}

impl Schedule {
    /// Nothing runs. `pools` are names and limits; a channel whose pool is not among them uses
    /// the first.
    pub fn new(channels: &Channels, pools: &[(String, usize)]) -> Self {
        Self {
            slots: Slots::new(channels, pools),
            ranks: channels.by_number().map(|_| ChannelRanks::default()).collect(),
            sites: HashMap::new(),
            suspensions: Suspensions::default(),
            host_limits: HashMap::new(),
            configured: configured(channels),
            rests: Rests::default(),
            host_orders: HostOrders::default(),
            reliefs: Reliefs::default(),
            turns: 0,
            orders: Orders::default(),
        }
    }

    /// Puts channels and pools of another configuration in place of those of `was`. Jobs of channels
    /// that changed end at their next message; others begin with the new settings.
    pub fn adopt(&mut self, was: &Channels, channels: &Channels, now: Instant) {
        self.slots.adopt(was, channels);
        self.ranks.resize_with(channels.by_number().count(), ChannelRanks::default);
        self.configured = configured(channels);
        for channel in was.changed_in(channels) {
            while let Some(retire) = self.slots.retire_smallest(channel) {
                self.orders.retired.push(retire);
            }
        }
        for pool in 0..self.slots.pools().len() {
            self.adjusted(pool, now);
        }
    }

    /// Another pool.
    pub fn add_pool(&mut self, name: &str, limit: usize) {
        self.slots.add_pool(name, limit);
    }

    /// The jobs and connections that run.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Destinations that could not be talked to.
    pub fn suspensions(&self) -> &Suspensions {
        &self.suspensions
    }

    /// The decisions since this was last asked.
    pub fn take_orders(&mut self) -> Orders {
        std::mem::take(&mut self.orders)
    }

    /// How a destination stands. For a question now and then.
    pub fn standing(&self, destination: &Destination) -> DestinationStanding {
        let none = Site::default();
        let site = self.sites.get(destination).unwrap_or(&none);
        DestinationStanding {
            ready: site.ready,
            connections: site.connections,
            jobs: self.slots.jobs_serving(destination),
            window: site.window.size(),
            slow: self.is_slow(destination),
            behind: self.behind(destination),
            suspension: self.suspensions.get(destination).cloned(),
        }
    }

    /// The destinations with most entries that could go now, and how many those are; at most `most` of
    /// them, in no order. Looks at every destination.
    pub(super) fn longest(&self, most: usize) -> Vec<(&Destination, usize)> {
        let waiting = self.sites.iter().map(|(to, site)| (to, site.ready));
        let mut longest: Vec<_> = waiting.filter(|(_, ready)| *ready > 0).collect();
        if longest.len() > most {
            longest.select_nth_unstable_by_key(most, |(_, ready)| Reverse(*ready));
            longest.truncate(most);
        }
        longest
    }

    /// Destinations that stand in line before this one.
    fn behind(&self, destination: &Destination) -> Option<usize> {
        let ranks = self.ranks(destination.channel);
        ranks.waiting.before(destination).or_else(|| ranks.slow.waiting.before(destination))
    }

    /// Destinations of a channel that wait for their first connection.
    pub fn waiting_of(&self, channel: ChannelId) -> usize {
        let ranks = self.ranks(channel);
        ranks.waiting.newcomers().count() + ranks.slow.waiting.newcomers().count()
    }

    /// Channels whose idle connections should end, because a newcomer could have what they hold:
    /// all of a pool that is full, or the channel alone that is at its own limit.
    pub fn contended(&self) -> HashSet<ChannelId> {
        let mut contended = HashSet::new();
        for pool in self.slots.pools() {
            for channel in &pool.channels {
                let lane = self.slots.lane(*channel);
                let newcomer = self.has_newcomer(*channel);
                if !newcomer || self.slots.free(*channel, Asker::Newcomer) > 0 || lane.is_still() {
                    continue;
                }
                contended.insert(*channel);
                if lane.jobs() < lane.maxjobs {
                    contended.extend(&pool.channels);
                }
            }
        }
        contended
    }

    /// `ready` entries wait for `destination`.
    pub fn wanted(&mut self, destination: &Destination, ready: usize, now: Instant) {
        self.note_ready(destination, ready);
        self.serve(destination, now);
        self.forget_if_quiet(destination);
    }

    /// A connection ended, with `ready` entries left for its destination. What it had goes to those
    /// in line first.
    pub fn ended(&mut self, connection: ConnectionId, ready: usize, now: Instant) {
        let Some((destination, was_in)) = self.release(connection) else { return };
        self.note_ready(&destination, ready);
        self.stand_in_line(&destination, now);
        self.share(was_in, now);
        let is_in = self.slots.lane(destination.channel).pool;
        if is_in != was_in {
            self.share(is_in, now);
        }
        self.forget_if_quiet(&destination);
    }

    /// A start that the pool refused is taken back.
    pub fn refused(&mut self, connection: ConnectionId, now: Instant) {
        if let Some((destination, _)) = self.release(connection) {
            self.stand_in_line(&destination, now);
        }
    }

    /// The destination could not be talked to. Returns how long it is suspended, unless it is
    /// already.
    pub fn troubled(
        &mut self,
        destination: &Destination,
        reply: Reply,
        now: Instant,
    ) -> Option<Duration> {
        if let Some(site) = self.sites.get_mut(destination) {
            site.window.troubled(site.connections);
        }
        let slow = self.is_slow(destination);
        let wait = self.suspensions.troubled(destination, (reply, slow), now);
        self.leave_line(destination);
        wait
    }

    /// The destination answered one of its connections: it gets what it deserves now. Returns
    /// whether it had been in trouble.
    pub fn reached(
        &mut self,
        destination: &Destination,
        connection: ConnectionId,
        now: Instant,
    ) -> bool {
        let is_its =
            self.slots.running(connection).is_some_and(|its| its.destination == *destination);
        let first_took = is_its.then(|| self.slots.answered(connection, now)).flatten();
        self.ranks_mut(destination.channel).slow.forget(connection);
        let was_troubled = self.suspensions.lift(destination);
        if let Some(site) = self.sites.get_mut(destination) {
            if was_troubled && site.connections <= 1 {
                // The window from before it went away says nothing any more.
                site.window = Window::default();
            }
            site.window.answered(site.connections);
            site.answered += usize::from(first_took.is_some());
            site.slow = first_took.map_or(site.slow, |took| took > SLOW);
        }
        self.rank(destination);
        self.take_from_slow(destination);
        self.serve(destination, now);
        if was_troubled {
            let woken = self.suspensions.wake_more(now);
            self.probe_all(woken, now);
        }
        was_troubled
    }

    /// Somebody has reason to believe that the destination can be talked to again.
    pub fn probe(&mut self, destination: &Destination, now: Instant) {
        self.suspensions.cut_short(destination, now);
        self.serve(destination, now);
    }

    /// Time has passed: suspended destinations whose time has come are probed, and who had a
    /// connection for long gives it to those without.
    pub fn tick(&mut self, now: Instant) {
        let woken = self.suspensions.wake(now);
        self.probe_all(woken, now);
        self.wake_rested(now);
        for pool in 0..self.slots.pools().len() {
            self.share(pool, now);
            self.take_turns(pool, now);
        }
    }

    fn probe_all(&mut self, woken: Vec<Destination>, now: Instant) {
        for destination in woken {
            let long_over = |its: &Suspension| its.is_long_over(now);
            let gone = !self.sites.contains_key(&destination);
            if gone && self.suspensions.get(&destination).is_some_and(long_over) {
                self.suspensions.lift(&destination);
            }
            self.serve(&destination, now);
        }
    }

    /// Sets `job_limit` of a pool; returns the old one. What is too much ends.
    pub fn set_limit(&mut self, pool: usize, limit: usize, now: Instant) -> usize {
        let old = self.slots.set_limit(pool, limit);
        self.adjusted(pool, now);
        old
    }

    /// Sets `maxjobs` of a channel; returns the old one. What is too much ends.
    pub fn set_maxjobs(&mut self, channel: ChannelId, maxjobs: usize, now: Instant) -> usize {
        let lane = self.slots.lane_mut(channel);
        let (old, pool) = (std::mem::replace(&mut lane.maxjobs, maxjobs), lane.pool);
        self.adjusted(pool, now);
        old
    }

    /// Sets `threaddepth` of a channel; returns the old one. Looks at every destination.
    pub fn set_threaddepth(&mut self, channel: ChannelId, depth: usize, now: Instant) -> usize {
        let old = std::mem::replace(&mut self.slots.lane_mut(channel).threaddepth, depth);
        let of_channel = |destination: &&Destination| destination.channel == channel;
        let all: Vec<_> = self.sites.keys().filter(of_channel).cloned().collect();
        for destination in all {
            self.serve(&destination, now);
        }
        old
    }

    /// Sets `max_client_threads` of a channel; returns the old one. Jobs that have more end.
    pub fn set_client_threads(
        &mut self,
        channel: ChannelId,
        connections: usize,
        now: Instant,
    ) -> usize {
        let old = self.slots.set_client_threads(channel, connections);
        self.adjusted(self.slots.lane(channel).pool, now);
        old
    }

    /// The destination, a store of ours, says that it is slow. Its new bound, if it has one: what is
    /// too much is asked back.
    pub(super) fn stressed(&mut self, destination: &Destination, now: Instant) -> Option<Relief> {
        let site = self.sites.get(destination)?;
        let has = site.connections - site.recalled;
        let relief = self.reliefs.stressed(destination, has, now)?;
        for _ in relief.limit..has {
            self.ask_back(destination);
        }
        // Its place in line may be gone.
        self.stand_in_line(destination, now);
        Some(relief)
    }

    /// Stores that get more connections, because they were quiet for long enough.
    pub(super) fn climb(&mut self, now: Instant) -> Vec<(Destination, Option<Relief>)> {
        let climbed = self.reliefs.climb(now);
        for (destination, _) in &climbed {
            self.serve(destination, now);
        }
        climbed
    }

    /// Stores of ours that are slow.
    pub(super) fn reliefs(&self) -> impl Iterator<Item = (&Destination, &Relief)> {
        self.reliefs.iter()
    }

    /// The bound on the connections of a store that is slow.
    pub(super) fn relief_of(&self, destination: &Destination) -> Option<Relief> {
        self.reliefs.of(destination)
    }

    /// Stops a channel, or starts it again; returns whether it was stopped.
    pub fn freeze(&mut self, channel: ChannelId, frozen: bool, now: Instant) -> bool {
        let lane = self.slots.lane_mut(channel);
        let (old, pool) = (std::mem::replace(&mut lane.frozen, frozen), lane.pool);
        self.adjusted(pool, now);
        old
    }

    /// Stops every channel, or lets those that are not stopped themselves go on; returns whether
    /// all were stopped.
    pub fn halt(&mut self, halted: bool, now: Instant) -> bool {
        let old = self.slots.halt(halted);
        for pool in 0..self.slots.pools().len() {
            self.adjusted(pool, now);
        }
        old
    }

    fn adjusted(&mut self, pool: usize, now: Instant) {
        let mut surplus = self.slots.surplus();
        self.orders.retired.append(&mut surplus);
        self.share(pool, now);
    }

    /// Whether the last slot of a pool is kept free for who has none.
    pub fn keep_last(&mut self, pool: &str, keeps: bool) {
        self.slots.keep_last(pool, keeps);
    }

    /// Which limit keeps a destination from another connection now.
    pub fn binds(&self, destination: &Destination, now: Instant) -> Option<Limited> {
        if self.is_kept_back(destination, now) {
            return Some(Limited::KeptBack);
        }
        if self.missing(destination, now) == 0 && self.connections(destination) > 0 {
            return Some(Limited::Connections);
        }
        self.slots.binds(destination.channel, self.asker(destination))
    }

    /// Newcomers that have their share leave the last free connection to those who answer, too.
    fn asker(&self, destination: &Destination) -> Asker {
        let Some(site) = self.sites.get(destination).filter(|site| site.connections > 0) else {
            return Asker::Newcomer;
        };
        let channel = destination.channel;
        let is_first = site.answered > 0 && self.is_full_of_unproven(channel);
        let is_first = is_first && self.slots.lane(channel).has_room();
        if is_first { Asker::Newcomer } else { Asker::Served }
    }

    /// Connections that a destination should have.
    fn deserved(&self, destination: &Destination, now: Instant) -> usize {
        let Some(site) = self.sites.get(destination) else { return 0 };
        if self.is_kept_back(destination, now) {
            return 0;
        }
        if let Some(suspension) = self.suspensions.get(destination) {
            return usize::from(suspension.to_be_probed && site.ready > 0);
        }
        let lane = self.slots.lane(destination.channel);
        let depth = lane.filesperjob.map_or(lane.threaddepth, |files| files.min(lane.threaddepth));
        let allowed = self.most_connections(destination).unwrap_or(usize::MAX);
        let allowed = self.reliefs.of(destination).map_or(allowed, |its| its.limit.min(allowed));
        let most = site.ready.div_ceil(depth).min(site.window.size()).min(allowed);
        if site.slow { most.min(self.slow_share(destination.channel)) } else { most }
    }

    /// Before it was known to be slow it may have been given more than a slow one has.
    fn take_from_slow(&mut self, destination: &Destination) {
        let Some(site) = self.sites.get(destination).filter(|site| site.slow) else { return };
        for _ in self.slow_share(destination.channel)..site.connections - site.recalled {
            self.ask_back(destination);
        }
    }

    fn slow_share(&self, channel: ChannelId) -> usize {
        self.slots.capacity(channel).div_ceil(SLOW_SHARE)
    }

    pub(super) fn connections(&self, destination: &Destination) -> usize {
        self.sites.get(destination).map_or(0, |site| site.connections)
    }

    fn missing(&self, destination: &Destination, now: Instant) -> usize {
        self.deserved(destination, now).saturating_sub(self.connections(destination))
    }

    /// Gives a destination what it deserves, as far as it is free; for the rest it stands in
    /// line. Who stands there already is served when something becomes free.
    fn serve(&mut self, destination: &Destination, now: Instant) {
        let channel = destination.channel;
        let mut changed = false;
        while !self.is_in_line(destination)
            && self.missing(destination, now) > 0
            && self.may_start(destination)
            && self.start(destination, now)
        {
            changed = true;
        }
        changed |= self.stand_in_line(destination, now);
        if changed {
            self.recall(channel, now);
            self.reclaim(self.slots.lane(channel).pool);
        }
    }

    /// Returns whether it was not there before.
    fn stand_in_line(&mut self, destination: &Destination, now: Instant) -> bool {
        let (missing, connections) =
            (self.missing(destination, now), self.connections(destination));
        let was_in_line = self.is_in_line(destination);
        if missing == 0 {
            self.leave_line(destination);
            return false;
        }
        let slow = self.is_slow(destination);
        let ranks = self.ranks_mut(destination.channel);
        let (line, other) = (&mut ranks.waiting, &mut ranks.slow.waiting);
        let (line, other) = if slow { (other, line) } else { (line, other) };
        other.remove(destination);
        line.set(destination, connections);
        !was_in_line
    }

    fn is_in_line(&self, destination: &Destination) -> bool {
        let ranks = self.ranks(destination.channel);
        ranks.waiting.contains(destination) || ranks.slow.waiting.contains(destination)
    }

    fn leave_line(&mut self, destination: &Destination) {
        let ranks = self.ranks_mut(destination.channel);
        ranks.waiting.remove(destination);
        ranks.slow.waiting.remove(destination);
    }

    fn start(&mut self, destination: &Destination, now: Instant) -> bool {
        let asker = self.asker(destination);
        let Some(start) = self.slots.start(destination, asker, now) else { return false };
        self.sites.entry(destination.clone()).or_default().connections += 1;
        self.rank(destination);
        if self.is_slow(destination) {
            self.ranks_mut(destination.channel).slow.begun(start.connection);
        }
        self.orders.starts.push(start);
        true
    }

    /// A connection is gone: whom it served, and the pool that it ran in.
    fn release(&mut self, connection: ConnectionId) -> Option<(Destination, usize)> {
        let channel = self.slots.channel_of(connection)?;
        let pool = self.slots.lane(channel).pool;
        let Running { destination, answered, .. } = self.slots.end(connection)?;
        self.ranks_mut(channel).slow.forget(connection);
        let site = self.sites.get_mut(&destination)?;
        site.connections -= 1;
        site.answered -= usize::from(answered);
        if site.recalled > 0 {
            site.recalled -= 1;
            self.ranks[usize::from(destination.channel.0)].recalled -= 1;
        }
        self.rank(&destination);
        Some((destination, pool))
    }

    fn rank(&mut self, destination: &Destination) {
        let slow = self.is_slow(destination);
        let Some(site) = self.sites.get_mut(destination) else { return };
        let ranks = &mut self.ranks[usize::from(destination.channel.0)];
        let connections = site.connections - site.recalled;
        let counts = |counts: bool| if counts { connections } else { 0 };
        let (slow, unproven) = (counts(slow), counts(site.answered == 0));
        ranks.slow.connections += slow;
        ranks.slow.connections -= std::mem::replace(&mut site.counted_slow, slow);
        ranks.unproven += unproven;
        ranks.unproven -= std::mem::replace(&mut site.counted_unproven, unproven);
        match connections {
            0 => ranks.holding.remove(destination),
            connections => ranks.holding.set(destination, connections),
        }
    }

    fn note_ready(&mut self, destination: &Destination, ready: usize) {
        let site = match self.sites.get_mut(destination) {
            Some(site) => site,
            None if ready == 0 => return,
            None => self.sites.entry(destination.clone()).or_default(),
        };
        let lane = self.slots.lane_mut(destination.channel);
        lane.ready = lane.ready + ready - site.ready;
        site.ready = ready;
    }

    fn forget_if_quiet(&mut self, destination: &Destination) {
        let quiet = |site: &Site| site.ready == 0 && site.connections == 0;
        if self.sites.get(destination).is_some_and(quiet) {
            self.sites.remove(destination);
        }
    }

    fn ranks(&self, channel: ChannelId) -> &ChannelRanks {
        &self.ranks[usize::from(channel.0)]
    }

    fn ranks_mut(&mut self, channel: ChannelId) -> &mut ChannelRanks {
        &mut self.ranks[usize::from(channel.0)]
    }
}

/// A connection that waits longer for its first answer, connecting included, serves a slow
/// destination.
const SLOW: Duration = Duration::from_secs(5);
/// It has one of so many connections.
const SLOW_SHARE: usize = 10;

fn configured(channels: &Channels) -> Vec<Destinations> {
    channels.by_number().map(|(_, channel)| channel.destinations.clone()).collect()
}
