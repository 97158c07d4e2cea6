//! Counts in, limits out.

use relais_actors::metrics::ServerStatus;

use super::*;
use crate::api::{
    ChannelFlow, CpuShown, DirectoryOverview, HostLimited, HostSuspended, Phase, PoolOverview,
    QueueOverview, ReadyShown, ServiceOverview,
};

const NOW: Timestamp = Timestamp(1_788_133_501_000);

/// A channel `out` of a pool `P`, by which ten a second leave and nothing comes.
fn idle() -> Overview {
    let flow = ChannelFlow { channel: "out".to_owned(), delivered: 10.0, ..ChannelFlow::default() };
    Overview {
        at: NOW,
        version: "0.1.0".to_owned(),
        host: "mx.example".to_owned(),
        phase: Phase::Running,
        ready: ReadyShown { ready: true, why: Vec::new() },
        uptime_seconds: 60,
        cpu: CpuShown { used: 0.5, cores: 2 },
        flow: vec![flow],
        queue: QueueOverview { max_messages: 1_000, ..QueueOverview::default() },
        channels: vec![ChannelOverview {
            name: "out".to_owned(),
            pool: "P".to_owned(),
            jobs: 3,
            maxjobs: 3,
            connections: 30,
            max_connections: 30,
            ..ChannelOverview::default()
        }],
        pools: vec![PoolOverview {
            name: "P".to_owned(),
            running: 3,
            job_limit: 10,
            ..PoolOverview::default()
        }],
        services: Vec::new(),
        hosts: Vec::new(),
        hosts_in_trouble: 0,
        limiting: Vec::new(),
        waits: String::new(),
        directory: None,
        certificates: Vec::new(),
        orders: BTreeMap::new(),
        history: None,
    }
}

fn line(ready: u64, limited: Option<Limited>, bound: ConnectionBound) -> Pressure {
    let (channel, host) = ("out".to_owned(), "mx.test".to_owned());
    Pressure {
        lines: vec![LineOf { channel, host, ready, connections: 3, limited, bound }],
        depths: BTreeMap::from([("out".to_owned(), 10)]),
        ..Pressure::default()
    }
}

/// The limit and the help of each, in order.
fn told(overview: &Overview, pressure: &Pressure) -> Vec<(LimitKind, String)> {
    let found = limiting(overview, pressure);
    found.into_iter().map(|its| (its.what, its.would_help)).collect()
}

#[test]
fn a_line_names_the_limit_that_it_is_at() {
    use ConnectionBound::{Depth, Limit, Relief, Slow, Window};
    use Limited::{Connections, JobLimit, KeptBack, LastSlot, Maxjobs};
    let set = |what: &str| format!("relais set {what}");
    let rows = [
        ("nothing binds it", 100, None, Depth, None),
        ("all of it leaves within seconds", 50, Some(JobLimit), Depth, None),
        ("the pool", 51, Some(JobLimit), Depth, Some((LimitKind::JobLimit, set("P.job_limit 20")))),
        (
            "its last slot",
            51,
            Some(LastSlot),
            Depth,
            Some((LimitKind::JobLimit, set("P.job_limit 20"))),
        ),
        ("the channel", 51, Some(Maxjobs), Depth, Some((LimitKind::Maxjobs, set("out.maxjobs 6")))),
        (
            "the depth",
            51,
            Some(Connections),
            Depth,
            Some((LimitKind::Threaddepth, set("out.threaddepth 5"))),
        ),
        (
            "its own limit",
            51,
            Some(Connections),
            Limit(3),
            Some((LimitKind::Connections, set("out@mx.test.connections 6"))),
        ),
        (
            "stress",
            51,
            Some(Connections),
            Relief(3),
            Some((
                LimitKind::SlowStore,
                "none: the store is slow; its own relais status says why".to_owned(),
            )),
        ),
        (
            "slowness",
            51,
            Some(Connections),
            Slow(3),
            Some((LimitKind::SlowHost, "none: the host is slow".to_owned())),
        ),
        (
            "what it bore",
            51,
            Some(Connections),
            Window(3),
            Some((
                LimitKind::Learning,
                "none: it gets more as it shows that it bears them".to_owned(),
            )),
        ),
        ("an order that is told elsewhere", 51, Some(KeptBack), Depth, None),
    ];
    for (name, ready, limited, bound, want) in rows {
        let found = told(&idle(), &line(ready, limited, bound));
        assert_eq!(found, want.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn more_jobs_help_no_channel_whose_pool_is_full() {
    let mut overview = idle();
    overview.pools[0].running = 10;
    let found = told(&overview, &line(900, Some(Limited::Maxjobs), ConnectionBound::Depth));
    assert_eq!(found, [(LimitKind::Maxjobs, "relais set P.job_limit 20".to_owned())]);
}

#[test]
fn a_connection_for_each_message_is_no_limit() {
    let mut pressure = line(900, Some(Limited::Connections), ConnectionBound::Depth);
    pressure.depths = BTreeMap::from([("out".to_owned(), 1)]);
    assert_eq!(told(&idle(), &pressure), []);
}

#[test]
fn a_backlog_ends_when_more_leaves_than_comes() {
    // delivered, failed, received, the seconds until 900 have gone
    let rows = [(10.0, 0.0, 1.0, Some(100)), (8.0, 2.0, 1.0, Some(100)), (10.0, 0.0, 10.0, None)];
    for (delivered, failed, received, seconds) in rows {
        let mut overview = idle();
        let channel = "out".to_owned();
        overview.flow =
            vec![ChannelFlow { channel, received, delivered, failed, ..ChannelFlow::default() }];
        let pressure = line(900, Some(Limited::JobLimit), ConnectionBound::Depth);
        let found = limiting(&overview, &pressure);
        let [its] = &found[..] else { panic!("{found:?}") };
        let want = seconds.map(|seconds| NOW.after(Duration::from_secs(seconds)));
        assert_eq!((its.until, its.messages, its.rate), (want, 900, Some(delivered)));
        assert_eq!(its.key.as_deref(), Some("P.job_limit"));
        let number = |n| Some(LimitValue::Number(n));
        assert_eq!((&its.value, &its.used), (&number(10), &number(3)));
    }
}

#[test]
fn the_engine_as_a_whole_is_told_first() {
    let mut overview = idle();
    overview.queue = QueueOverview { held: 5_000, max_messages: 1_000, ..overview.queue };
    overview.channels[0].stopped = true;
    overview.channels[0].delayed = 7;
    overview.cpu.used = 1.9;
    let away = ServerStatus {
        server: "ldap://a".to_owned(),
        away: Some("time-out".to_owned()),
        answer_microseconds: None,
    };
    overview.directory =
        Some(DirectoryOverview { servers: vec![away], ..DirectoryOverview::default() });
    overview.services = vec![ServiceOverview {
        name: "SMTP".to_owned(),
        state: ServiceState::Running,
        connections: 500,
        max_connections: 500,
        ..ServiceOverview::default()
    }];
    let pressure = Pressure {
        refuses: Some("no room".to_owned()),
        paused: Some(Pause::Notary),
        commits: (0.95, Duration::from_millis(12)),
        ..Pressure::default()
    };
    let found = told(&overview, &pressure);
    let kinds: Vec<_> = found.iter().map(|(what, _)| *what).collect();
    let want = [
        LimitKind::SpoolRoom,
        LimitKind::Paused,
        LimitKind::Directory,
        LimitKind::Cpu,
        LimitKind::Disk,
        LimitKind::Service,
        LimitKind::Held,
        LimitKind::Stopped,
    ];
    assert_eq!(kinds, want, "behind it by the mail that waits");
    assert_eq!(found[7].1, "relais channel start out");
    let halted = Pressure { halted: true, ..Pressure::default() };
    let first = &told(&overview, &halted)[0];
    assert_eq!(*first, (LimitKind::JobController, "relais start job_controller".to_owned()));
}

#[test]
fn a_directory_limits_when_none_of_its_servers_answers() {
    let server = |away: Option<&str>| ServerStatus {
        server: "ldap://a".to_owned(),
        away: away.map(str::to_owned),
        answer_microseconds: None,
    };
    let rows = [
        (vec![], false),
        (vec![server(None)], false),
        (vec![server(Some("down")), server(None)], false),
        (vec![server(Some("down")), server(Some("down"))], true),
    ];
    for (servers, want) in rows {
        let mut overview = idle();
        overview.directory = Some(DirectoryOverview { servers, ..DirectoryOverview::default() });
        assert_eq!(!told(&overview, &Pressure::default()).is_empty(), want);
    }
}

#[test]
fn memory_limits_when_it_is_full_of_what_cannot_go() {
    // tracked, stored, held, ready in the longest lines
    let rows = [
        ("room", (900, 5_000, 0, 0), false),
        ("all of it is in memory", (1_000, 1_000, 0, 0), false),
        ("the rest is held", (1_000, 5_000, 4_000, 0), false),
        ("it moves", (1_000, 5_000, 0, 500), false),
        ("full", (1_000, 5_000, 0, 0), true),
    ];
    for (name, (tracked, stored, held, ready), want) in rows {
        let mut overview = idle();
        overview.queue = QueueOverview { stored, tracked, held, ..overview.queue };
        let pressure = line(ready, None, ConnectionBound::Depth);
        let found = told(&overview, &pressure);
        let limits = found.iter().any(|(what, _)| *what == LimitKind::MaxMessages);
        assert_eq!(limits, want, "{name}: {found:?}");
    }
}

#[test]
fn a_host_says_why_it_gets_nothing() {
    let host = HostTrouble {
        channel: "out".to_owned(),
        host: "mx.test".to_owned(),
        messages: Some(4),
        ..HostTrouble::default()
    };
    let until = NOW.after(Duration::from_secs(30));
    let order = HostSuspended {
        host: "mx.test".to_owned(),
        channel: Some("out".to_owned()),
        by: "operator".to_owned(),
        rate: None,
        since: Some(NOW),
        until,
        reason: "they asked".to_owned(),
    };
    let limited = |limit: &str, change: &str| HostLimited {
        channel: "out".to_owned(),
        host: "mx.test".to_owned(),
        counted: Some("site.test".to_owned()),
        limit: limit.to_owned(),
        value: "10/1m".to_owned(),
        since: NOW,
        until,
        change: change.to_owned(),
    };
    let by = |limit: &str| HostTrouble {
        limited: Some(limited(limit, "relais set x 1")),
        ..host.clone()
    };
    let dead = HostTrouble {
        failures: 3,
        last_reply: Some("451 4.4.1 refused".to_owned()),
        next_try: Some(until),
        ..host.clone()
    };
    let ordered = HostTrouble { suspended: Some(order), ..host.clone() };
    let resume = "relais host resume mx.test --channel out";
    let rows = [
        (dead, LimitKind::Unreachable, None, "none: the destination is dead"),
        (ordered, LimitKind::Suspended, None, resume),
        (by("rate"), LimitKind::Rate, Some("out@site.test.rate"), "relais set x 1"),
        (by("suspend"), LimitKind::SuspendedByReply, None, "relais set x 1"),
        (by("slow_down"), LimitKind::SlowHost, None, "relais set x 1"),
        (by("slow_address"), LimitKind::SlowHost, None, "relais set x 1"),
    ];
    for (host, what, key, help) in rows {
        let overview = Overview { hosts: vec![host], ..idle() };
        let found = limiting(&overview, &Pressure::default());
        let [its] = &found[..] else { panic!("{found:?}") };
        assert_eq!((its.what, its.key.as_deref(), &*its.would_help), (what, key, help));
        assert_eq!((its.until, its.messages), (Some(until), 4));
        assert_eq!(its.subject.as_deref(), Some("out@mx.test"));
    }
}

#[test]
fn what_waits_is_told_in_words() {
    let mut overview = idle();
    assert_eq!(waits(&overview, &[]), "Nothing limits the engine, and nothing waits.");
    overview.queue = QueueOverview { stored: 9, delayed: 7, held: 2, ..overview.queue };
    overview.hosts = vec![HostTrouble { failures: 1, messages: Some(4), ..HostTrouble::default() }];
    let dead_and_held = limiting(&overview, &Pressure::default());
    let want = "Nothing limits the engine. 9 messages wait: 4 wait for hosts that could not be \
                talked to, 3 are tried again when their time has come, 2 are held until an operator \
                releases them.";
    assert_eq!(waits(&overview, &dead_and_held), want);
    let halted = Pressure { halted: true, ..Pressure::default() };
    let limits = limiting(&overview, &halted);
    assert!(waits(&overview, &limits).starts_with("9 messages wait: "));
    assert_eq!(waits(&idle(), &limits), "Nothing waits.");
}

#[test]
fn a_limit_is_seen_since_it_was_seen_first() {
    let (mut seen, begin) = (LimitsSeen::default(), Instant::now());
    let mut look = |seconds: u64| {
        let overview = Overview { at: Timestamp(seconds * 1_000), ..idle() };
        let pressure = line(900, Some(Limited::JobLimit), ConnectionBound::Depth);
        let mut limits = limiting(&overview, &pressure);
        seen.note(&mut limits, begin + Duration::from_secs(seconds));
        limits[0].since.0 / 1_000
    };
    let since = [1, 2, 20, 44, 70, 71].map(&mut look);
    assert_eq!(since, [1, 1, 1, 1, 70, 70], "it begins anew after a pause");
}
