//! The engine at a glance, put together from counters: nothing here walks over what waits.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use relais_actors::{
    front::{dispatcher::DescribeDispatcher, service::ServiceDescription},
    ids::{ChannelId, Destination},
    job_controller::{
        Backlog, ChannelJobs, DescribeBacklog, DestinationBacklog, Suspended, SuspendedHost,
    },
    metrics::WorkerState,
    queue::{DescribeQueue, QueueDescription},
    timestamp::Timestamp,
};
use relais_config::Config;
use relais_storage::Counts;
use tokio::sync::Mutex;

use super::{
    entries::after,
    hosts::{of_order, of_rest},
    limiting::{LimitsSeen, LineOf, Pressure, limiting, waits},
    parts::{Parts, gone},
    recorder::{Pace, Recorder},
    standing,
    summary::lost,
    survey::{Survey, Surveyor},
};
use crate::{
    admin::{Answer, Unavailable},
    api::{
        CertificateOverview, CertificateShown, ChannelFlow, ChannelOverview, CpuShown,
        DirectoryOverview, HistoryTrouble, HostTrouble, Overview, Phase, PoolOverview,
        QueueOverview, ReadyShown, Series, SeriesSpan, ServiceOverview,
    },
};

/// Counters and surveys, kept for operators who look at the engine.
#[derive(Default)]
pub(super) struct Glance {
    recorder: Recorder,
    surveyor: Surveyor,
    last: Mutex<LastGlance>,
}

/// The engine that is looked at.
pub(super) struct EngineSeen<'a> {
    pub(super) parts: &'a Parts,
    pub(super) config: &'a Config,
    pub(super) phase: Phase,
    pub(super) uptime: Duration,
}

/// The overview that was worked out last.
#[derive(Default)]
struct LastGlance {
    shown: Option<ShownGlance>,
    seen: LimitsSeen,
}

struct ShownGlance {
    at: Instant,
    /// The queue was surveyed for it, if that was due.
    surveyed: bool,
    overview: Arc<Overview>,
}

impl ShownGlance {
    /// Whether it is as good as a new one.
    fn serves(&self, surveys: bool) -> bool {
        self.at.elapsed() < FRESH && (self.surveyed || !surveys)
    }
}

/// Answers of the parts of the engine at one moment.
struct Gathered {
    counts: BTreeMap<String, Counts>,
    queue: QueueDescription,
    backlog: Backlog,
    services: Vec<ServiceDescription>,
    survey: Option<Arc<Survey>>,
    pace: Pace,
}

impl Glance {
    /// Takes a sample. Now and then it is time to look what limits the engine, so that it is known since
    /// when: returns whether it is.
    pub(super) fn record(&self, parts: &Parts) -> bool {
        self.recorder.record(&parts.metrics, &parts.storage)
    }

    /// The series of this span.
    pub(super) fn series(&self, span: SeriesSpan) -> Answer<Series> {
        let starting = || Unavailable("the engine is starting".to_owned());
        self.recorder.series(span).ok_or_else(starting)
    }

    /// The overview, of this second: all who ask within it get the same. With `surveys` the queue is surveyed
    /// when that is due, else it has the last survey.
    pub(super) async fn look(&self, at: &EngineSeen<'_>, surveys: bool) -> Answer<Arc<Overview>> {
        let mut last = self.last.lock().await;
        if let Some(shown) = last.shown.as_ref().filter(|shown| shown.serves(surveys)) {
            return Ok(Arc::clone(&shown.overview));
        }
        let parts = at.parts;
        let gathered = self.gather(parts, surveys).await?;
        let mut overview = gathered.overview(at);
        let mut limits = limiting(&overview, &gathered.pressure(parts));
        last.seen.note(&mut limits, Instant::now());
        overview.waits = waits(&overview, &limits);
        overview.limiting = limits;
        let overview = Arc::new(overview);
        let shown =
            ShownGlance { at: Instant::now(), surveyed: surveys, overview: Arc::clone(&overview) };
        last.shown = Some(shown);
        Ok(overview)
    }

    async fn gather(&self, parts: &Parts, surveys: bool) -> Answer<Gathered> {
        let counts = parts.storage.counts();
        let stored = counts.values().map(Counts::total).sum();
        let survey = if surveys {
            self.surveyor.survey(&parts.storage, stored).await
        } else {
            self.surveyor.last()
        };
        let largest = survey.as_ref().map(|survey| survey.largest(MOST_NAMED)).unwrap_or_default();
        let named = largest.into_iter().filter_map(|(channel, host)| {
            let channel = parts.channels.find(channel)?;
            Some(Destination { channel, host: Arc::clone(host) })
        });
        let backlog = DescribeBacklog { named: named.collect(), most: MOST_NAMED };
        let (queue, backlog, services) = tokio::join!(
            parts.queue.ask(DescribeQueue),
            parts.controller.ask(backlog),
            parts.dispatcher.ask(DescribeDispatcher),
        );
        Ok(Gathered {
            counts,
            queue: queue.map_err(gone)?,
            backlog: backlog.map_err(gone)?,
            services: services.map_err(gone)?,
            survey,
            pace: self.recorder.pace(),
        })
    }
}

impl Gathered {
    fn overview(&self, engine: &EngineSeen<'_>) -> Overview {
        let EngineSeen { parts, config, phase, uptime } = *engine;
        let at = Timestamp::now();
        let channels = self.channels(engine, at);
        let why = parts.alarms();
        Overview {
            at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: config.host.clone(),
            phase,
            ready: ReadyShown { ready: why.is_empty(), why },
            uptime_seconds: uptime.as_secs(),
            cpu: CpuShown {
                used: self.pace.cpu,
                cores: available_parallelism().map_or(1, NonZeroUsize::get),
            },
            flow: self.flow(&channels),
            queue: self.queue(&channels, at),
            pools: self.pools(parts),
            services: self.services(config),
            hosts: self.hosts(parts, at),
            hosts_in_trouble: self.backlog.suspended_in_all as u64,
            limiting: Vec::new(),
            waits: String::new(),
            directory: config.directory.is_some().then(|| DirectoryOverview {
                lookups: parts.directory(),
                servers: parts.metrics.directory_servers.status(),
            }),
            certificates: certificates(parts),
            orders: standing::in_force(&parts.standing, at),
            history: HistoryTrouble::of(&parts.metrics),
            channels,
        }
    }

    /// Channels with mail, and those by which mail leaves.
    fn channels(&self, engine: &EngineSeen<'_>, at: Timestamp) -> Vec<ChannelOverview> {
        let EngineSeen { parts, config, .. } = engine;
        let none = Counts::default();
        let known = parts.channels.iter().map(|(id, channel)| {
            let counts = self.counts.get(&channel.name).unwrap_or(&none);
            ChannelOverview {
                program: format!("{:?}", channel.program).to_lowercase(),
                pool: channel.pool.clone(),
                ..self.channel(Some(id), &channel.name, counts, at)
            }
        });
        let lost = lost(parts, &self.counts).map(|name| {
            let counts = self.counts.get(name).unwrap_or(&none);
            let program = "lost".to_owned();
            ChannelOverview { program, ..self.channel(parts.channels.find(name), name, counts, at) }
        });
        let waits = |its: &ChannelOverview| its.ready + its.active + its.delayed + its.held > 0;
        let shown = |its: &ChannelOverview| {
            waits(its) || (its.program != "lost" && parts.delivers(config, &its.name))
        };
        known.chain(lost).filter(shown).collect()
    }

    fn channel(
        &self,
        id: Option<ChannelId>,
        name: &str,
        counts: &Counts,
        at: Timestamp,
    ) -> ChannelOverview {
        let tally = id.and_then(|id| self.queue.channels.get(&id).copied()).unwrap_or_default();
        let waiting = tally.waiting(counts);
        let jobs = id.and_then(|id| self.jobs(id));
        let oldest = self.survey.as_ref().filter(|_| counts.total() > 0);
        let oldest = oldest.and_then(|survey| survey.oldest(Some(name)));
        ChannelOverview {
            name: name.to_owned(),
            ready: waiting.ready,
            active: waiting.active,
            delayed: waiting.delayed,
            held: counts.held,
            oldest_seconds: oldest.map(|oldest| oldest.until(at).as_secs()),
            jobs: jobs.map_or(0, |jobs| jobs.jobs),
            maxjobs: jobs.map_or(0, |jobs| jobs.maxjobs),
            connections: jobs.map_or(0, |jobs| jobs.connections),
            max_connections: jobs.map_or(0, |jobs| jobs.connection_limit),
            stopped: jobs.is_some_and(|jobs| jobs.frozen),
            ..ChannelOverview::default()
        }
    }

    fn jobs(&self, id: ChannelId) -> Option<&ChannelJobs> {
        self.backlog.channels.iter().find(|jobs| jobs.channel == id)
    }

    /// Channels with traffic, and those that are shown anyway.
    fn flow(&self, channels: &[ChannelOverview]) -> Vec<ChannelFlow> {
        let moves = |flow: &ChannelFlow| {
            flow.submitted + flow.received + flow.delivered + flow.deferred + flow.failed > 0.0
        };
        let is_shown = |name: &str| channels.iter().any(|channel| channel.name == name);
        let flow = self.pace.flow.values();
        flow.filter(|flow| moves(flow) || is_shown(&flow.channel)).cloned().collect()
    }

    fn queue(&self, channels: &[ChannelOverview], at: Timestamp) -> QueueOverview {
        let stored = self.counts.values().map(Counts::total).sum();
        let sum = |of: fn(&ChannelOverview) -> u64| channels.iter().map(of).sum();
        let survey = self.survey.as_deref();
        let oldest = survey.filter(|_| stored > 0).and_then(|survey| survey.oldest(None));
        QueueOverview {
            stored,
            tracked: self.queue.tracked as u64,
            max_messages: self.queue.max_messages as u64,
            ready: sum(|channel| channel.ready),
            active: sum(|channel| channel.active),
            delayed: sum(|channel| channel.delayed),
            held: sum(|channel| channel.held),
            oldest_seconds: oldest.map(|oldest| oldest.until(at).as_secs()),
            ages: survey.map(|survey| survey.ages(at, stored)).unwrap_or_default(),
            surveyed: survey.map(|survey| survey.at),
        }
    }

    fn pools(&self, parts: &Parts) -> Vec<PoolOverview> {
        let waiting = |pool: &str| {
            let of_pool = |its: &&ChannelJobs| parts.channels.channel(its.channel).pool == pool;
            self.backlog.channels.iter().filter(of_pool).map(|jobs| jobs.waiting).sum()
        };
        let pool = |(name, job_limit, running): &(String, usize, usize)| PoolOverview {
            name: name.clone(),
            running: *running,
            job_limit: *job_limit,
            waiting: waiting(name),
        };
        let mut pools: Vec<_> = self.backlog.pools.iter().map(pool).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        pools
    }

    fn services(&self, config: &Config) -> Vec<ServiceOverview> {
        let service = |its: &ServiceDescription| {
            let configured = config.dispatcher.services.iter().find(|one| one.name == its.name);
            let living = its.workers.iter().filter(|worker| worker.state != WorkerState::Exited);
            ServiceOverview {
                name: its.name.clone(),
                state: its.state,
                workers: living.count(),
                max_workers: configured.map_or(0, |service| service.limits.max_procs),
                connections: its.workers.iter().map(|worker| worker.connections).sum(),
                max_connections: its.most,
                accepted: its.accepted,
                refused: its.refused,
            }
        };
        let mut services: Vec<_> = self.services.iter().map(service).collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services
    }

    /// Hosts that get nothing or less, those with most mail first.
    fn hosts(&self, parts: &Parts, at: Timestamp) -> Vec<HostTrouble> {
        let mut hosts: BTreeMap<(String, String), HostTrouble> = BTreeMap::new();
        for Suspended { destination, suspension } in &self.backlog.suspended {
            let its = self.entry(parts, &mut hosts, destination, at);
            its.failures = suspension.failures;
            its.last_reply = Some(suspension.reply.to_string());
            // Nothing is tried at a host that no mail waits for.
            let is_tried =
                its.messages != Some(0) || suspension.until > tokio::time::Instant::now();
            its.next_try = is_tried.then(|| after(suspension.until));
        }
        for (destination, rest) in &self.backlog.limited {
            let its = self.entry(parts, &mut hosts, destination, at);
            let limited = of_rest(parts, destination, rest);
            its.next_try = its.next_try.max(Some(limited.until));
            its.limited = Some(limited);
        }
        for order in &self.backlog.suspended_hosts {
            self.order(&mut hosts, order, at);
        }
        let mut hosts: Vec<_> = hosts.into_values().collect();
        hosts.sort_by_key(|its| (Reverse(its.messages), Reverse(its.failures)));
        hosts.truncate(MOST_HOSTS);
        hosts
    }

    fn entry<'h>(
        &self,
        parts: &Parts,
        hosts: &'h mut BTreeMap<(String, String), HostTrouble>,
        destination: &Destination,
        at: Timestamp,
    ) -> &'h mut HostTrouble {
        let channel = &parts.channels.channel(destination.channel).name;
        let key = (channel.clone(), destination.host.to_string());
        hosts.entry(key).or_insert_with_key(|(channel, host)| self.trouble(channel, host, at))
    }

    fn trouble(&self, channel: &str, host: &str, at: Timestamp) -> HostTrouble {
        let sum = self.survey.as_ref().map(|survey| survey.host(channel, host));
        let oldest = sum.flatten().map(|sum| Timestamp(sum.oldest.received_ms()));
        HostTrouble {
            channel: channel.to_owned(),
            host: host.to_owned(),
            messages: sum.map(|sum| sum.map_or(0, |sum| sum.entries)),
            oldest_seconds: oldest.map(|oldest| oldest.until(at).as_secs()),
            ..HostTrouble::default()
        }
    }

    /// An operator's order, at each host that it is about and that has mail; else by itself.
    fn order(
        &self,
        hosts: &mut BTreeMap<(String, String), HostTrouble>,
        order: &SuspendedHost,
        at: Timestamp,
    ) {
        let shown = of_order(order);
        let name = &order.host.name;
        let channels = match &order.host.channel {
            Some(channel) => vec![channel.as_str()],
            None => self.counts.keys().map(String::as_str).collect(),
        };
        let survey = self.survey.as_deref();
        let has_mail = |channel: &&str| survey.is_some_and(|its| its.host(channel, name).is_some());
        let mut with_mail: Vec<&str> = channels.into_iter().filter(has_mail).collect();
        if with_mail.is_empty() {
            with_mail.push(order.host.channel.as_deref().unwrap_or_default());
        }
        for channel in with_mail {
            let key = (channel.to_owned(), name.clone());
            let its = hosts.entry(key).or_insert_with_key(|(channel, host)| {
                let counted = !host.starts_with('.') && !channel.is_empty();
                let its = self.trouble(channel, host, at);
                HostTrouble { messages: its.messages.filter(|_| counted), ..its }
            });
            its.next_try = its.next_try.max(Some(shown.until));
            its.suspended = Some(shown.clone());
        }
    }

    fn pressure(&self, parts: &Parts) -> Pressure {
        let name = |id: ChannelId| parts.channels.channel(id).name.clone();
        let line = |its: &DestinationBacklog| LineOf {
            channel: name(its.destination.channel),
            host: its.destination.host.to_string(),
            ready: its.ready as u64,
            connections: its.connections,
            limited: its.limited,
            bound: its.bound,
        };
        let depth = |jobs: &ChannelJobs| (name(jobs.channel), jobs.threaddepth);
        Pressure {
            refuses: parts.storage.refuses(),
            paused: self.queue.paused,
            halted: self.backlog.halted,
            commits: (self.pace.committing, self.pace.commit),
            lines: self.backlog.longest.iter().map(line).collect(),
            depths: self.backlog.channels.iter().map(depth).collect(),
        }
    }
}

/// Certificates that clients are shown, the first to expire first.
fn certificates(parts: &Parts) -> Vec<CertificateOverview> {
    let certificates = parts.certificates.certificates();
    let shown = certificates.iter().map(|certificate| {
        let CertificateShown { file, names, not_after, days_left, .. } =
            CertificateShown::of(certificate);
        CertificateOverview { file, names, not_after, days_left }
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort_by_key(|certificate| certificate.not_after);
    shown
}

/// An overview is as good as new for so long.
const FRESH: Duration = Duration::from_millis(950);
/// Hosts in trouble that are looked at, of each kind.
const MOST_NAMED: usize = 500;
/// Hosts in trouble that are shown.
const MOST_HOSTS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fake_overview::overview;

    #[test]
    fn a_glance_without_a_survey_is_not_served_to_who_wants_one() {
        let fresh = Instant::now();
        let old = fresh.checked_sub(FRESH).unwrap_or(fresh);
        // when, with a survey, whether a survey is wanted, whether it serves
        let rows = [
            (fresh, true, true, true),
            (fresh, true, false, true),
            (fresh, false, false, true),
            (fresh, false, true, false),
            (old, true, true, false),
        ];
        for (at, surveyed, wanted, want) in rows {
            let shown = ShownGlance { at, surveyed, overview: Arc::new(overview()) };
            assert_eq!(shown.serves(wanted), want, "{surveyed} {wanted}");
        }
    }
}
