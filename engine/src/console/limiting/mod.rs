//! The limits that hold the engine back now, from counts and limits alone. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use relais_actors::{
    front::control::ServiceState,
    job_controller::{ConnectionBound, Limited},
    metrics::Pause,
    timestamp::Timestamp,
};

use crate::api::{ChannelOverview, HostTrouble, LimitKind, LimitValue, Limiting, Overview};

/// Facts that an overview does not show.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressure {
    /// Why new mail is refused.
    pub(super) refuses: Option<String>,
    /// Why nothing is handed to jobs.
    pub(super) paused: Option<Pause>,
    /// An operator stopped all channels.
    pub(super) halted: bool,
    /// Part of the time in which the spool commits, 0 to 1, and the time of one commit.
    pub(super) commits: (f64, Duration),
    /// Destinations with most entries that could go.
    pub(super) lines: Vec<LineOf>,
    /// `threaddepth` of each channel, as it is now.
    pub(super) depths: BTreeMap<String, usize>,
}

/// The line of one destination.
#[derive(Clone, Debug)]
pub(super) struct LineOf {
    pub(super) channel: String,
    pub(super) host: String,
    /// Entries that could go now.
    pub(super) ready: u64,
    pub(super) connections: usize,
    pub(super) limited: Option<Limited>,
    pub(super) bound: ConnectionBound,
}

/// Since when each limit is seen, from one look to the next.
#[derive(Debug, Default)]
pub(super) struct LimitsSeen(HashMap<(LimitKind, Option<String>), (Timestamp, Instant)>);

impl LimitsSeen {
    /// Fills in since when each is seen. One that was not seen for a while begins anew.
    pub(super) fn note(&mut self, limiting: &mut [Limiting], now: Instant) {
        self.0.retain(|_, (_, seen)| now.saturating_duration_since(*seen) < FORGOTTEN);
        for its in limiting {
            let seen = self.0.entry((its.what, its.subject.clone())).or_insert((its.since, now));
            (its.since, seen.1) = (seen.0, now);
        }
    }
}

/// The limits that hold the engine back, the worst first: those of all of it, then by the mail that
/// waits.
pub(super) fn limiting(overview: &Overview, pressure: &Pressure) -> Vec<Limiting> {
    let look = Lookout { overview, pressure };
    let mut found = look.engine();
    found.extend(look.services());
    found.extend(look.channels());
    found.extend(look.lines());
    found.extend(look.memory());
    found.extend(look.hosts());
    found.extend(look.held());
    found.sort_by(|a, b| {
        let rank = |its: &Limiting| (its.what > LimitKind::Service, u64::MAX - its.messages);
        rank(a).cmp(&rank(b)).then_with(|| a.what.cmp(&b.what))
    });
    found.truncate(MOST);
    found
}

/// Why mail that waits does, in a sentence or two.
pub(super) fn waits(overview: &Overview, limiting: &[Limiting]) -> String {
    let queue = &overview.queue;
    let free = |its: &Limiting| !matches!(its.what, LimitKind::Unreachable | LimitKind::Held);
    let first = match (limiting.iter().find(|its| free(its)), queue.stored) {
        (Some(_), 0) => return "Nothing waits.".to_owned(),
        (Some(_), _) => String::new(),
        (None, 0) => return "Nothing limits the engine, and nothing waits.".to_owned(),
        (None, _) => "Nothing limits the engine. ".to_owned(),
    };
    let trouble = |its: &&HostTrouble| its.failures > 0;
    let dead: u64 = overview.hosts.iter().filter(trouble).filter_map(|host| host.messages).sum();
    let dead = dead.min(queue.delayed);
    let later = queue.delayed - dead;
    let parts = [
        (queue.ready, "are ready to go"),
        (queue.active, "are being delivered"),
        (dead, "wait for hosts that could not be talked to"),
        (later, "are tried again when their time has come"),
        (queue.held, "are held until an operator releases them"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, words)| format!("{count} {words}")).collect();
    let one = if queue.stored == 1 { "message waits" } else { "messages wait" };
    format!("{first}{} {one}: {}.", queue.stored, parts.join(", "))
}

struct Lookout<'a> {
    overview: &'a Overview,
    pressure: &'a Pressure,
}

impl Lookout<'_> {
    fn found(&self, what: LimitKind, words: String, would_help: String) -> Limiting {
        Limiting {
            what,
            words,
            subject: None,
            key: None,
            value: None,
            used: None,
            messages: 0,
            rate: None,
            since: self.overview.at,
            until: None,
            would_help,
        }
    }

    /// Messages that leave by these channels a second, and how much more than come.
    fn rate<'c>(&self, channels: impl Iterator<Item = &'c str>) -> (f64, f64) {
        let flow = |name| self.overview.flow.iter().find(|flow| flow.channel == name);
        channels.filter_map(flow).fold((0.0, 0.0), |(out, net), flow| {
            let gone = flow.delivered + flow.failed;
            (out + flow.delivered, net + gone - flow.received)
        })
    }

    fn with_rate(&self, its: Limiting, (rate, net): (f64, f64)) -> Limiting {
        let wait = its.messages as f64 / net;
        // A queue that does not shrink has no end.
        let ends = net > LEAST_RATE && wait < FAR;
        let until = ends.then(|| self.overview.at.after(Duration::from_secs_f64(wait)));
        Limiting { rate: Some(rate), until, ..its }
    }

    /// Whether so much at that rate is a backlog, and not what passes by.
    fn is_backlog(messages: u64, rate: f64) -> bool {
        messages > 0 && messages as f64 > rate * PASSING
    }

    fn all_channels(&self) -> impl Iterator<Item = &str> {
        self.overview.channels.iter().map(|channel| channel.name.as_str())
    }

    /// Limits of all of it.
    fn engine(&self) -> Vec<Limiting> {
        let (overview, pressure) = (self.overview, self.pressure);
        let mut found = Vec::new();
        if let Some(why) = &pressure.refuses {
            let words = format!("new mail is refused: {why}");
            let help = "none: make room on the disk of the spool";
            found.push(self.found(LimitKind::SpoolRoom, words, help.to_owned()));
        }
        if let Some(pause) = pressure.paused {
            let words = format!("no message is handed to a job: {}", pause.words());
            let help = match pause {
                Pause::Draining => "none: it ends",
                Pause::Disk => "none: make room on the disk of the spool, or give it a faster one",
                Pause::Notary => "none: the log says what keeps notices from being written",
            };
            let its = self.found(LimitKind::Paused, words, help.to_owned());
            found.push(Limiting { messages: overview.queue.ready, ..its });
        }
        if pressure.halted {
            let words = "an operator stopped the job controller: nothing leaves".to_owned();
            let help = "relais start job_controller".to_owned();
            let messages = overview.queue.ready + overview.queue.delayed;
            let its = self.found(LimitKind::JobController, words, help);
            found.push(Limiting { messages, rate: Some(0.0), ..its });
        }
        found.extend(self.directory());
        let rate = self.rate(self.all_channels());
        if overview.cpu.used >= overview.cpu.cores as f64 * BUSY {
            let cores = overview.cpu.cores;
            let words = format!("the process keeps {:.1} of {cores} cores busy", overview.cpu.used);
            let help = "none: more cores, or less work for each message".to_owned();
            let its = Limiting {
                value: Some(LimitValue::Number(cores as u64)),
                used: Some(LimitValue::Text(format!("{:.1}", overview.cpu.used))),
                messages: overview.queue.ready,
                ..self.found(LimitKind::Cpu, words, help)
            };
            found.push(self.with_rate(its, rate));
        }
        let (committing, commit) = pressure.commits;
        if committing >= BUSY {
            let percent = (committing * 100.0).min(100.0);
            let millis = commit.as_secs_f64() * 1_000.0;
            let words = format!(
                "the disk of the spool is busy {percent:.0} % of the time: a commit takes \
                 {millis:.1} ms"
            );
            let used = Some(LimitValue::Text(format!("{percent:.0} %")));
            let help = "none: a faster disk for the spool".to_owned();
            let its = Limiting { used, ..self.found(LimitKind::Disk, words, help) };
            found.push(self.with_rate(its, rate));
        }
        found
    }

    /// Mail is put off while no server of the directory answers.
    fn directory(&self) -> Option<Limiting> {
        let servers = &self.overview.directory.as_ref()?.servers;
        let away = |server: &relais_actors::metrics::ServerStatus| server.away.is_some();
        if servers.is_empty() || !servers.iter().all(away) {
            return None;
        }
        let why = servers[0].away.as_deref().unwrap_or_default();
        let words = format!("the directory does not answer, new mail is put off: {why}");
        let help = "none: look after the directory".to_owned();
        Some(self.found(LimitKind::Directory, words, help))
    }

    fn services(&self) -> impl Iterator<Item = Limiting> {
        let full = self.overview.services.iter().filter(|service| {
            service.state == ServiceState::Running
                && service.max_connections > 0
                && service.connections >= service.max_connections
        });
        full.map(|service| {
            let name = &service.name;
            let words = format!(
                "service {name} has all of its {} sessions: further clients wait",
                service.max_connections
            );
            let help = format!(
                "none at once: raise max_procs or max_conns of {name} in the file, then relais reload"
            );
            Limiting {
                subject: Some(name.clone()),
                value: Some(LimitValue::Number(service.max_connections as u64)),
                used: Some(LimitValue::Number(service.connections as u64)),
                ..self.found(LimitKind::Service, words, help)
            }
        })
    }

    fn channels(&self) -> impl Iterator<Item = Limiting> {
        let waiting = |channel: &ChannelOverview| channel.ready + channel.delayed;
        let stopped = self.overview.channels.iter().filter(move |channel| {
            channel.stopped && !self.pressure.halted && waiting(channel) > 0
        });
        stopped.map(move |channel| {
            let name = &channel.name;
            let words = format!("an operator stopped channel {name}: nothing leaves by it");
            let help = format!("relais channel start {name}");
            Limiting {
                subject: Some(name.clone()),
                messages: waiting(channel),
                rate: Some(0.0),
                ..self.found(LimitKind::Stopped, words, help)
            }
        })
    }

    /// Limits that those lines are at, each once.
    fn lines(&self) -> Vec<Limiting> {
        let mut pools: BTreeMap<&str, u64> = BTreeMap::new();
        let mut jobs: BTreeMap<&str, u64> = BTreeMap::new();
        let mut depths: BTreeMap<&str, u64> = BTreeMap::new();
        let mut found = Vec::new();
        for line in &self.pressure.lines {
            let Some(channel) = self.channel(&line.channel).filter(|its| !its.stopped) else {
                continue;
            };
            match line.limited {
                Some(Limited::JobLimit | Limited::LastSlot) => {
                    *pools.entry(&channel.pool).or_default() += line.ready;
                }
                Some(Limited::Maxjobs) => *jobs.entry(&channel.name).or_default() += line.ready,
                Some(Limited::Connections) if line.bound == ConnectionBound::Depth => {
                    *depths.entry(&channel.name).or_default() += line.ready;
                }
                Some(Limited::Connections) => found.extend(self.host_line(channel, line)),
                // The host's own limit or order, which is told below.
                Some(Limited::KeptBack) | None => {}
            }
        }
        found.extend(pools.into_iter().filter_map(|(pool, ready)| self.pool(pool, ready)));
        found.extend(jobs.into_iter().filter_map(|(channel, ready)| self.maxjobs(channel, ready)));
        found.extend(depths.into_iter().filter_map(|(channel, ready)| self.depth(channel, ready)));
        found
    }

    fn channel(&self, name: &str) -> Option<&ChannelOverview> {
        self.overview.channels.iter().find(|channel| channel.name == name)
    }

    fn pool(&self, name: &str, messages: u64) -> Option<Limiting> {
        let pool = self.overview.pools.iter().find(|pool| pool.name == name)?;
        let members = self.overview.channels.iter().filter(|channel| channel.pool == name);
        let rate = self.rate(members.map(|channel| channel.name.as_str()));
        if !Self::is_backlog(messages, rate.0) {
            return None;
        }
        let key = format!("{name}.job_limit");
        let words = format!(
            "pool {name} is full: {} of {} jobs run, with all their connections",
            pool.running, pool.job_limit
        );
        let help = format!("relais set {key} {}", pool.job_limit * 2);
        let its = Limiting {
            subject: Some(name.to_owned()),
            key: Some(key),
            value: Some(LimitValue::Number(pool.job_limit as u64)),
            used: Some(LimitValue::Number(pool.running as u64)),
            messages,
            ..self.found(LimitKind::JobLimit, words, help)
        };
        Some(self.with_rate(its, rate))
    }

    fn maxjobs(&self, name: &str, messages: u64) -> Option<Limiting> {
        let channel = self.channel(name)?;
        let rate = self.rate([name].into_iter());
        if !Self::is_backlog(messages, rate.0) {
            return None;
        }
        let key = format!("{name}.maxjobs");
        let words = format!(
            "channel {name} has {} of {} jobs, and {} of {} connections",
            channel.jobs, channel.maxjobs, channel.connections, channel.max_connections
        );
        let pool = self.overview.pools.iter().find(|pool| pool.name == channel.pool);
        let help = match pool.filter(|pool| pool.running >= pool.job_limit) {
            // More jobs would find no place in the pool.
            Some(pool) => format!("relais set {}.job_limit {}", pool.name, pool.job_limit * 2),
            None => format!("relais set {key} {}", channel.maxjobs * 2),
        };
        let its = Limiting {
            subject: Some(name.to_owned()),
            key: Some(key),
            value: Some(LimitValue::Number(channel.maxjobs as u64)),
            used: Some(LimitValue::Number(channel.jobs as u64)),
            messages,
            ..self.found(LimitKind::Maxjobs, words, help)
        };
        Some(self.with_rate(its, rate))
    }

    fn depth(&self, name: &str, messages: u64) -> Option<Limiting> {
        let depth = *self.pressure.depths.get(name)?;
        let rate = self.rate([name].into_iter());
        // With a connection for each entry no host could have more.
        if depth <= 1 || !Self::is_backlog(messages, rate.0) {
            return None;
        }
        let key = format!("{name}.threaddepth");
        let words = format!(
            "hosts of channel {name} have a connection for each {depth} messages that wait, and no \
             more"
        );
        let help = format!("relais set {key} {}", depth / 2);
        let its = Limiting {
            subject: Some(name.to_owned()),
            key: Some(key),
            value: Some(LimitValue::Number(depth as u64)),
            messages,
            ..self.found(LimitKind::Threaddepth, words, help)
        };
        Some(self.with_rate(its, rate))
    }

    /// The host's part of the rate of its channel, by its part of the connections.
    fn rate_of_host(&self, channel: &ChannelOverview, connections: usize) -> f64 {
        let (rate, _) = self.rate([channel.name.as_str()].into_iter());
        rate * connections as f64 / channel.connections.max(connections).max(1) as f64
    }

    fn host_line(&self, channel: &ChannelOverview, line: &LineOf) -> Option<Limiting> {
        let LineOf { host, ready, connections, bound, .. } = line;
        let rate = self.rate_of_host(channel, *connections);
        if !Self::is_backlog(*ready, rate) {
            return None;
        }
        let key = format!("{}@{host}.connections", channel.name);
        let twice = format!("relais set {key} {}", connections * 2);
        let (what, most, why, help) = match bound {
            ConnectionBound::Limit(most) => {
                (LimitKind::Connections, *most, "as it is allowed", twice)
            }
            ConnectionBound::Relief(most) => (
                LimitKind::SlowStore,
                *most,
                "as a store of ours that is under stress gets",
                "none: the store is slow; its own relais status says why".to_owned(),
            ),
            ConnectionBound::Slow(most) => (
                LimitKind::SlowHost,
                *most,
                "as one gets that answers slowly",
                "none: the host is slow".to_owned(),
            ),
            ConnectionBound::Window(most) => (
                LimitKind::Learning,
                *most,
                "as it has shown to bear",
                "none: it gets more as it shows that it bears them".to_owned(),
            ),
            ConnectionBound::Depth => return None,
        };
        let many = if *connections == 1 { "connection" } else { "connections" };
        let words = format!("{host} has {connections} {many}, as many {why}");
        let key = (what == LimitKind::Connections).then_some(key);
        let its = Limiting {
            subject: Some(subject(&channel.name, host)),
            key,
            value: Some(LimitValue::Number(most as u64)),
            used: Some(LimitValue::Number(*connections as u64)),
            messages: *ready,
            ..self.found(what, words, help)
        };
        // How much comes for one host nobody counts: as if nothing did.
        Some(self.with_rate(its, (rate, rate)))
    }

    /// Memory is full of what cannot go, while there is more on the disk.
    fn memory(&self) -> Option<Limiting> {
        let queue = &self.overview.queue;
        let beyond = queue.stored.saturating_sub(queue.held + queue.tracked);
        let is_full = queue.tracked * 100 >= queue.max_messages * FULL && queue.max_messages > 0;
        let moves = queue.active * 20 > queue.tracked
            || self.pressure.lines.iter().map(|line| line.ready).sum::<u64>() * 20 > queue.tracked;
        if beyond == 0 || !is_full || moves {
            return None;
        }
        let words = format!(
            "memory holds {} messages that cannot go now, as many as it may; {beyond} are on the disk \
             only",
            queue.tracked
        );
        let help = format!("relais set max_messages {}", queue.max_messages * 2);
        let its = Limiting {
            key: Some("max_messages".to_owned()),
            value: Some(LimitValue::Number(queue.max_messages)),
            used: Some(LimitValue::Number(queue.tracked)),
            messages: beyond,
            ..self.found(LimitKind::MaxMessages, words, help)
        };
        Some(self.with_rate(its, self.rate(self.all_channels())))
    }

    /// Hosts that get nothing or less, those with most mail.
    fn hosts(&self) -> Vec<Limiting> {
        let hosts = self.overview.hosts.iter();
        hosts.take(MOST_HOSTS).map(|host| self.host(host)).collect()
    }

    fn host(&self, its: &HostTrouble) -> Limiting {
        let host = &its.host;
        let reply = its.last_reply.as_deref().unwrap_or("it did not say why");
        let found = if let Some(order) = &its.suspended {
            let of = order.channel.as_deref().map(|name| format!(" --channel {name}"));
            let words = format!("an operator has suspended {}: {}", order.host, order.reason);
            let help = format!("relais host resume {}{}", order.host, of.unwrap_or_default());
            let found = self.found(LimitKind::Suspended, words, help);
            Limiting { rate: Some(0.0), until: Some(order.until), ..found }
        } else if let Some(limit) = &its.limited {
            let (what, words) = match limit.limit.as_str() {
                "connections" => (LimitKind::Connections, "has all the connections it may have"),
                "rate" => (LimitKind::Rate, "has had its messages for now"),
                "suspend" => (LimitKind::SuspendedByReply, "is suspended for a reply of it"),
                _ => {
                    (LimitKind::SlowHost, "is slowed down, by a reply of it or because it is slow")
                }
            };
            let set = ["connections", "rate"].contains(&limit.limit.as_str());
            let counted = limit.counted.as_ref().unwrap_or(host);
            let words = format!("{host} {words}: {}", limit.value);
            Limiting {
                key: set.then(|| format!("{}@{counted}.{}", its.channel, limit.limit)),
                value: Some(LimitValue::Text(limit.value.clone())),
                since: limit.since,
                until: Some(limit.until),
                ..self.found(what, words, limit.change.clone())
            }
        } else {
            let words = format!("{host} could not be talked to: {reply}");
            let help = "none: the destination is dead".to_owned();
            let found = self.found(LimitKind::Unreachable, words, help);
            Limiting { rate: Some(0.0), until: its.next_try, ..found }
        };
        let messages = its.messages.unwrap_or(0);
        Limiting { subject: Some(subject(&its.channel, host)), messages, ..found }
    }

    fn held(&self) -> Option<Limiting> {
        let messages = self.overview.queue.held;
        let words = match messages {
            0 => return None,
            1 => "a message is held until an operator releases it".to_owned(),
            more => format!("{more} messages are held until an operator releases them"),
        };
        let help = "relais queue list --state held".to_owned();
        let found = self.found(LimitKind::Held, words, help);
        Some(Limiting { messages, rate: Some(0.0), ..found })
    }
}

fn subject(channel: &str, host: &str) -> String {
    format!("{channel}@{host}")
}

/// A part of a whole that is as good as all of it.
const BUSY: f64 = 0.9;
/// The same in percent, of memory.
const FULL: u64 = 95;
/// Mail that leaves within so many seconds does not wait.
const PASSING: f64 = 5.0;
/// Messages a second that are as good as none.
const LEAST_RATE: f64 = 0.01;
/// Seconds that nobody foresees: a year.
const FAR: f64 = 31_536_000.0;
/// Limits that are told at once.
const MOST: usize = 20;
/// Hosts in trouble among them.
const MOST_HOSTS: usize = 8;
/// A limit that was not seen for so long begins anew.
const FORGOTTEN: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests;
