//! An overview without an engine, for tests.

use std::collections::BTreeMap;

use relais_actors::{front::control::ServiceState, timestamp::Timestamp};

use crate::api::{
    AgeCount, ChannelFlow, ChannelOverview, CpuShown, HostTrouble, LimitKind, Limiting, Overview,
    Phase, PoolOverview, QueueOverview, ReadyShown, ServiceOverview,
};

/// A host that is dead, and what it holds back.
pub(crate) fn overview() -> Overview {
    let at = Timestamp(1_788_133_501_123);
    let channel = "tcp_lmtpcs".to_owned();
    Overview {
        at,
        version: "0.1.0".to_owned(),
        host: "localhost".to_owned(),
        phase: Phase::Running,
        ready: ReadyShown { ready: true, why: Vec::new() },
        uptime_seconds: 60,
        cpu: CpuShown { used: 0.25, cores: 2 },
        flow: vec![ChannelFlow {
            channel: channel.clone(),
            submitted: 0.0,
            received: 12.5,
            delivered: 11.0,
            deferred: 0.5,
            failed: 0.0,
        }],
        queue: QueueOverview {
            stored: 3,
            tracked: 3,
            max_messages: 100,
            delayed: 3,
            oldest_seconds: Some(90),
            ages: vec![AgeCount { below: "10m".to_owned(), messages: 3 }],
            surveyed: Some(at),
            ..QueueOverview::default()
        },
        channels: vec![ChannelOverview {
            name: channel.clone(),
            program: "lmtp".to_owned(),
            delayed: 3,
            oldest_seconds: Some(90),
            jobs: 1,
            maxjobs: 7,
            pool: "SMTP_POOL".to_owned(),
            connections: 1,
            max_connections: 70,
            ..ChannelOverview::default()
        }],
        pools: vec![PoolOverview {
            name: "SMTP_POOL".to_owned(),
            running: 1,
            job_limit: 10,
            waiting: 0,
        }],
        services: vec![ServiceOverview {
            name: "SMTP".to_owned(),
            state: ServiceState::Running,
            workers: 1,
            max_workers: 10,
            connections: 3,
            max_connections: 500,
            accepted: 10,
            refused: 1,
        }],
        hosts: vec![dead_host()],
        hosts_in_trouble: 1,
        limiting: vec![its_limit(at)],
        waits: "Nothing limits the engine. 3 messages wait: 3 wait for hosts that could not be talked to."
            .to_owned(),
        directory: None,
        certificates: Vec::new(),
        orders: BTreeMap::new(),
        history: None,
    }
}

fn dead_host() -> HostTrouble {
    HostTrouble {
        channel: "tcp_lmtpcs".to_owned(),
        host: "store1.example".to_owned(),
        messages: Some(3),
        oldest_seconds: Some(90),
        failures: 4,
        last_reply: Some("451 4.4.1 connection refused".to_owned()),
        next_try: Some(Timestamp(1_788_133_509_123)),
        ..HostTrouble::default()
    }
}

fn its_limit(at: Timestamp) -> Limiting {
    Limiting {
        what: LimitKind::Unreachable,
        words: "store1.example could not be talked to: 451 4.4.1 connection refused".to_owned(),
        subject: Some("tcp_lmtpcs@store1.example".to_owned()),
        key: None,
        value: None,
        used: None,
        messages: 3,
        rate: Some(0.0),
        since: at,
        until: Some(Timestamp(1_788_133_509_123)),
        would_help: "none: the destination is dead".to_owned(),
    }
}
