//! Sums of the queue, by channel and host. They cost a look at every entry of the index, a bounded
//! piece at a time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use relais_actors::{
    ids::Destination,
    job_controller::DescribeController,
    queue::{DescribeQueue, tracker::Tally},
    timestamp::Timestamp,
};
use relais_channels::mail::MessageId;
use relais_storage::{Class, Counts, Storage};

use super::parts::{Parts, gone, unavailable};
use crate::{
    admin::Answer,
    api::{ChannelSummary, HostSummary, QueueSummary},
};

/// The sum of all that waits.
pub(super) async fn of_queue(parts: &Parts) -> Answer<QueueSummary> {
    let queue = parts.queue.ask(DescribeQueue).await.map_err(gone)?;
    let counts = parts.storage.counts();
    let controller = parts.controller.ask(DescribeController).await.map_err(gone)?;
    let now = tokio::time::Instant::now();
    let suspended = controller.suspended.into_iter();
    let resting: HashSet<Destination> = suspended
        .filter(|suspended| suspended.suspension.until > now)
        .map(|suspended| suspended.destination)
        .collect();
    let mut summary = QueueSummary::default();
    let mut hosts = 0;
    for name in names(parts, &counts) {
        let Some(counts) = counts.get(name).filter(|counts| counts.total() > 0) else {
            continue;
        };
        let tally = parts.channels.find(name).and_then(|id| queue.channels.get(&id).copied());
        // Resting entries are counted below, one by one, beyond memory, too.
        let tally = Tally { resting: 0, rests_beyond: false, ..tally.unwrap_or_default() };
        let waiting = tally.waiting(counts);
        let mut line = ChannelSummary {
            channel: name.to_owned(),
            ready: waiting.ready,
            active: waiting.active,
            delayed: waiting.delayed,
            held: counts.held,
            ..ChannelSummary::default()
        };
        let channel = parts.channels.find(name);
        let rests = |host: &Arc<str>| {
            channel.is_some_and(|channel| {
                !resting.is_empty()
                    && resting.contains(&Destination { channel, host: Arc::clone(host) })
            })
        };
        let of_channel = sum_up(&parts.storage, &mut line, MAX_HOSTS - hosts, rests).await?;
        hosts += of_channel.len();
        summary.hosts.extend(of_channel.into_iter().map(|(host, sum)| HostSummary {
            channel: line.channel.clone(),
            host: host.to_string(),
            ..sum
        }));
        summary.channels.push(line);
    }
    summary.hosts.sort_by(|a, b| b.messages.cmp(&a.messages).then(a.host.cmp(&b.host)));
    summary.hosts.truncate(TOP_HOSTS);
    Ok(summary)
}

/// Every channel: those of the configuration in file order, then those that it has lost.
pub(super) fn names<'a>(
    parts: &'a Parts,
    counts: &'a BTreeMap<String, Counts>,
) -> impl Iterator<Item = &'a str> {
    let configured = parts.channels.iter().map(|(_, channel)| channel.name.as_str());
    configured.chain(lost(parts, counts))
}

/// Channels that the configuration has lost, and that had mail when the engine started.
pub(super) fn lost<'a>(
    parts: &'a Parts,
    counts: &'a BTreeMap<String, Counts>,
) -> impl Iterator<Item = &'a str> {
    counts.keys().map(String::as_str).filter(|name| parts.channels.configured(name).is_none())
}

/// Whether nobody delivers from a channel of this name. What a reload took away still leaves, by the
/// settings that it had.
pub(super) fn is_unserved(parts: &Parts, channel: &str) -> bool {
    parts.channels.find(channel).is_none()
}

/// Adds up a channel's entries, a bounded piece at a time; and, for as many hosts as told, those
/// of each. What was not tried yet and goes to a host that `rests` is delayed, as in the listing.
async fn sum_up(
    storage: &Storage,
    line: &mut ChannelSummary,
    most_hosts: usize,
    rests: impl Fn(&Arc<str>) -> bool,
) -> Answer<HashMap<Arc<str>, HostSummary>> {
    let mut hosts: HashMap<Arc<str>, HostSummary> = HashMap::new();
    for class in [Class::Untried, Class::Tried, Class::Held] {
        let mut after = None;
        loop {
            let (sums, next) =
                storage.sum(&line.channel, class, after, SUMMED_UP).await.map_err(unavailable)?;
            for (host, sum) in sums.hosts {
                let oldest = received(sum.oldest);
                line.messages += sum.entries;
                line.recipients += sum.recipients;
                line.bytes += sum.bytes;
                earlier(&mut line.oldest, oldest);
                if class == Class::Untried && rests(&host) {
                    let delayed = sum.entries.min(line.ready);
                    line.ready -= delayed;
                    line.delayed += delayed;
                }
                if hosts.len() >= most_hosts && !hosts.contains_key(&host) {
                    continue;
                }
                let host = hosts.entry(host).or_default();
                host.messages += sum.entries;
                earlier(&mut host.oldest, oldest);
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(hosts)
}

/// When the oldest entry of a channel came, of the next thousand of each class.
pub(super) async fn oldest(storage: &Storage, channel: &str, entries: u64) -> Option<Timestamp> {
    let mut oldest = None;
    if entries > 0 {
        for class in [Class::Untried, Class::Tried, Class::Held] {
            let found = storage.scan(channel, class, None, PORTION).await.unwrap_or_default();
            for entry in found {
                earlier(&mut oldest, received(entry.id));
            }
        }
    }
    oldest
}

/// A queue id begins with the time of its making.
fn received(id: MessageId) -> Timestamp {
    Timestamp(id.received_ms())
}

fn earlier(oldest: &mut Option<Timestamp>, other: Timestamp) {
    *oldest = Some(oldest.map_or(other, |oldest| oldest.min(other)));
}

const PORTION: usize = 1_000;
/// Entries that are summed up at once: it takes the index some 20 ms.
const SUMMED_UP: usize = 131_072;
const TOP_HOSTS: usize = 20;
/// Hosts told apart while adding up; more are in the channel's sum only.
const MAX_HOSTS: usize = 100_000;
