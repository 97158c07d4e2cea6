//! Mail that waits for connections, and the limits that keep it from them: bounded however many
//! destinations there are.

use actix::Message;
use tokio::time::Instant;

use super::{
    ChannelJobs, DestinationRest, JobController, Limited, Suspended, hosts::SuspendedHost,
    schedule::ConnectionBound,
};
use crate::{
    actor::{Ctx, Handle},
    ids::Destination,
};

/// Asks what waits, and what for. Looks at every destination that has mail to go, and clones no more
/// than `most` of a kind.
#[derive(Message)]
#[rtype(result = "Backlog")]
pub struct DescribeBacklog {
    /// Destinations whose trouble is wanted before that of others.
    pub named: Vec<Destination>,
    /// Destinations of each kind at most.
    pub most: usize,
}

/// The answer to [`DescribeBacklog`].
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    /// An operator stopped all channels.
    pub halted: bool,
    /// Name, limit, running.
    pub pools: Vec<(String, usize, usize)>,
    /// In file order.
    pub channels: Vec<ChannelJobs>,
    /// Destinations with most entries that could go, the longest line first.
    pub longest: Vec<DestinationBacklog>,
    /// Destinations in trouble, those that were named first.
    pub suspended: Vec<Suspended>,
    /// All that there are of those.
    pub suspended_in_all: usize,
    /// Destinations whose limits allow no more for now, those that were named first.
    pub limited: Vec<(Destination, DestinationRest)>,
    /// Hosts that operators have suspended.
    pub suspended_hosts: Vec<SuspendedHost>,
}

/// The line of one destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DestinationBacklog {
    /// Which.
    pub destination: Destination,
    /// Entries in memory that could go now.
    pub ready: usize,
    /// Connections now.
    pub connections: usize,
    /// The limit that keeps it from another connection, if any does.
    pub limited: Option<Limited>,
    /// The limit behind [`Limited::Connections`].
    pub bound: ConnectionBound,
}

impl Handle<DescribeBacklog> for JobController {
    fn handle(&mut self, asked: DescribeBacklog, _: &mut Ctx<Self>) -> Backlog {
        let DescribeBacklog { named, most } = asked;
        let (schedule, now) = (&self.schedule, Instant::now());
        let suspensions = schedule.suspensions();
        let mut longest: Vec<_> = schedule.longest(most);
        longest.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.host.cmp(&b.host)));
        let line = |(destination, ready): (&Destination, usize)| DestinationBacklog {
            destination: destination.clone(),
            ready,
            connections: schedule.connections(destination),
            limited: schedule.binds(destination, now),
            bound: schedule.bound(destination),
        };
        let suspended = named.iter().filter_map(|to| Some((to, suspensions.get(to)?)));
        let suspended = first_of(suspended, suspensions.iter(), most);
        let limited = named.iter().filter_map(|to| Some((to, schedule.rest_of(to)?)));
        let limited = first_of(limited, schedule.rests(), most);
        let pools = schedule.slots().pools().iter().filter(|pool| !pool.name.is_empty());
        Backlog {
            halted: schedule.slots().is_halted(),
            pools: pools.map(|pool| (pool.name.clone(), pool.limit, pool.running)).collect(),
            channels: self.describe_channels(),
            longest: longest.into_iter().map(line).collect(),
            suspended_in_all: suspensions.iter().len(),
            suspended: suspended
                .into_iter()
                .map(|(destination, suspension)| Suspended { destination, suspension })
                .collect(),
            limited,
            suspended_hosts: schedule.host_orders().map(|its| self.shown(its)).collect(),
        }
    }
}

/// The destinations that were named, and as many others as there is room for.
fn first_of<'a, T: Clone + 'a>(
    named: impl Iterator<Item = (&'a Destination, &'a T)>,
    all: impl Iterator<Item = (&'a Destination, &'a T)>,
    most: usize,
) -> Vec<(Destination, T)> {
    let mut first: Vec<_> = named.take(most).collect();
    let known: std::collections::HashSet<&Destination> = first.iter().map(|(to, _)| *to).collect();
    let others = all.filter(|(to, _)| !known.contains(to)).take(most - first.len());
    let others: Vec<_> = others.collect();
    first.extend(others);
    first.into_iter().map(|(to, its)| (to.clone(), its.clone())).collect()
}
