use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;
use relais_channels::mail::Enhanced;
use relais_config::{Channel, channel::Program};

use super::*;
use crate::{
    ids::JobId,
    job_controller::{slots::Lane, suspension::FIRST},
    queue::{Denial, LimitReached},
};

/// A schedule, and the connections that were started and have not ended.
struct Engine {
    schedule: Schedule,
    running: BTreeMap<ConnectionId, Start>,
    retired: BTreeSet<JobId>,
    /// Connections that were told to give way.
    yielding: Vec<ConnectionId>,
    now: Instant,
    /// As they are configured now.
    channels: Vec<Channel>,
}

/// A channel of the pool `P`: `maxjobs`, `max_client_threads`.
fn channel(name: &str, maxjobs: usize, connections: usize) -> Channel {
    Channel {
        maxjobs: maxjobs.try_into().unwrap(),
        max_client_threads: connections.try_into().unwrap(),
        pool: "P".to_owned(),
        ..Channel::new(name, name, Program::Lmtp)
    }
}

impl Engine {
    fn of(channels: Vec<Channel>, job_limit: usize) -> Self {
        let schedule = Schedule::new(&channels.clone().into(), &[("P".to_owned(), job_limit)]);
        let (running, retired) = (BTreeMap::new(), BTreeSet::new());
        let yielding = Vec::new();
        Self { schedule, running, retired, yielding, now: Instant::now(), channels }
    }

    /// Takes note of what was decided; returns how many connections of each host were started.
    fn act(&mut self) -> (Vec<String>, Orders) {
        let orders = self.schedule.take_orders();
        for start in &orders.starts {
            assert!(!self.retired.contains(&start.job), "{start:?} in a job that ends");
            let mut same_job = self.running.values().filter(|other| other.job == start.job);
            assert!(same_job.all(|other| other.pool == start.pool), "{start:?} in two pools");
            self.running.insert(start.connection, start.clone());
        }
        self.yielding.extend(&orders.yielding);
        self.retired.extend(orders.retired.iter().map(|retire| retire.job));
        let hosts = orders.starts.iter().map(|start| start.destination.host.to_string());
        (hosts.collect(), orders)
    }

    fn wanted(&mut self, destination: &Destination, ready: usize) -> Vec<String> {
        self.schedule.wanted(destination, ready, self.now);
        self.act().0
    }

    /// As many as are wanted, whatever the window.
    fn wanted_widely(&mut self, destination: &Destination, ready: usize) -> usize {
        let mut started = self.wanted(destination, ready).len();
        for _ in 0..200 {
            self.answered(destination);
            started += self.act().0.len();
        }
        started
    }

    /// The newest connection of `destination` gets an answer.
    fn answered(&mut self, destination: &Destination) -> bool {
        let of = |start: &&Start| start.destination == *destination;
        let newest =
            self.running.values().rev().find(of).map_or(ConnectionId(0), |start| start.connection);
        self.schedule.reached(destination, newest, self.now)
    }

    /// The oldest connection of `host` ends.
    fn end(&mut self, host: &str, ready: usize) -> (Vec<String>, Orders) {
        let of = |(connection, start): (&ConnectionId, &Start)| {
            (*start.destination.host == *host).then_some(*connection)
        };
        let connection =
            self.running.iter().find_map(of).unwrap_or_else(|| panic!("none of {host}"));
        self.running.remove(&connection);
        self.schedule.ended(connection, ready, self.now);
        self.act()
    }

    fn tick(&mut self, passed: Duration) -> (Vec<String>, Orders) {
        self.now += passed;
        self.schedule.tick(self.now);
        self.act()
    }

    /// Tarpits have kept their connections waiting for long; those that are told to give way do, until
    /// nobody is told any more. Returns how many were.
    fn give_way(&mut self) -> usize {
        self.now += PATIENCE;
        self.act();
        let is_silent = |its: &ConnectionId| self.running[its].destination.host.contains("tarpit");
        let silent: Vec<_> = self.schedule.unanswered(self.now).filter(is_silent).collect();
        self.schedule.kept_waiting(&silent, self.now);
        self.act();
        let mut told = 0;
        while let Some(connection) = self.yielding.pop() {
            told += 1;
            let Some(start) = self.running.remove(&connection) else { continue };
            let (limit, until) = (Denial::GaveWay, self.now + Duration::from_secs(5));
            let counted = Arc::clone(&start.destination.host);
            let denied = LimitReached { counted, limit, until };
            self.schedule.throttled(&start.destination, denied, self.now);
            self.schedule.ended(connection, 1, self.now);
            self.act();
        }
        told
    }

    fn connections(&self, host: &str) -> usize {
        self.running.values().filter(|start| *start.destination.host == *host).count()
    }

    fn jobs(&self) -> usize {
        self.schedule.slots().pools()[0].running
    }
}

fn to(channel: u16, host: &str) -> Destination {
    Destination { channel: ChannelId(channel), host: host.into() }
}

fn down() -> Reply {
    Reply::new(451, Enhanced(4, 4, 1), "connection refused")
}

#[tokio::test]
async fn where_the_last_slot_is_not_kept_nobody_is_asked_to_give_it_back() {
    for (keeps, want) in [(true, 1), (false, 2)] {
        let mut engine = Engine::of(
            vec![Channel { threaddepth: 1.try_into().unwrap(), ..channel("c", 2, 1) }],
            5,
        );
        engine.schedule.keep_last("P", keeps);
        engine.schedule.wanted(&to(0, "a"), 6, engine.now);
        let (started, orders) = engine.act();
        assert_eq!((started.len(), orders.recalled.len()), (want, 0), "{keeps}");
        let (started, orders) = engine.tick(Duration::from_secs(1));
        assert_eq!((started.len(), orders.recalled.len()), (0, 0), "{keeps}");
    }
}

#[tokio::test]
async fn a_destination_gets_a_thread_for_each_threaddepth_entries_and_leaves_the_last_one() {
    // ready, maxjobs, max_client_threads, job_limit; connections, jobs
    let rows = [
        (1, 7, 10, 10, 1, 1),
        (10, 7, 10, 10, 1, 1),
        (11, 7, 10, 10, 2, 1),
        (101, 7, 10, 10, 11, 2),
        (10_000, 7, 10, 10, 69, 7),
        (10_000, 7, 10, 3, 29, 3),
        (10_000, 7, 1, 10, 6, 6),
        (10_000, 1, 1, 1, 1, 1),
    ];
    for (ready, maxjobs, connections, limit, want, jobs) in rows {
        let mut engine = Engine::of(vec![channel("a", maxjobs, connections)], limit);
        let got = engine.wanted_widely(&to(0, "h"), ready);
        assert_eq!((got, engine.jobs()), (want, jobs), "{ready} ready, {maxjobs} x {connections}");
        assert!(engine.wanted(&to(0, "h"), ready).is_empty(), "only once");
    }
}

#[tokio::test]
async fn files_per_job_ask_for_jobs_where_threads_would_do() {
    let fewer = Channel { filesperjob: 20.try_into().ok(), ..channel("a", 7, 10) };
    let deep = Channel { threaddepth: 1_000.try_into().unwrap(), ..fewer };
    let mut engine = Engine::of(vec![deep], 10);
    for (ready, jobs) in [(1, 1), (20, 1), (21, 2), (60, 3), (5, 3)] {
        engine.wanted(&to(0, "h"), ready);
        assert_eq!(engine.jobs(), jobs, "{ready} ready");
    }
}

#[tokio::test]
async fn a_fast_host_reaches_every_thread_within_a_few_messages_each() {
    let mut engine = Engine::of(vec![channel("a", 7, 10)], 10);
    engine.wanted(&to(0, "h"), 10_000);
    assert_eq!(engine.connections("h"), 5, "to begin with");
    let mut rounds = 0;
    while engine.connections("h") < 69 {
        // Each connection delivers one message.
        for _ in 0..engine.connections("h") {
            engine.answered(&to(0, "h"));
            engine.act();
        }
        rounds += 1;
    }
    assert_eq!(rounds, 4);
}

#[tokio::test]
async fn a_slow_host_leaves_nine_of_ten_threads_to_others() {
    let mut engine = Engine::of(vec![channel("a", 2, 10)], 10);
    engine.wanted(&to(0, "slow"), 10_000);
    assert_eq!(engine.connections("slow"), 5, "nobody knows yet");
    engine.now += SLOW * 2;
    engine.answered(&to(0, "slow"));
    assert_eq!(engine.act().1.recalled, vec![to(0, "slow"); 3]);
    for _ in 0..3 {
        engine.end("slow", 10_000);
    }
    for _ in 0..30 {
        engine.now += SLOW * 2;
        engine.answered(&to(0, "slow"));
        assert_eq!(engine.act().1, Orders::default(), "it has what it deserves");
    }
    assert_eq!(engine.connections("slow"), 2);
    assert!(engine.schedule.standing(&to(0, "slow")).slow);
    assert_eq!(engine.wanted_widely(&to(0, "fast"), 10_000), 17, "at once, but for the last");
}

#[tokio::test]
async fn many_silent_servers_leave_nine_of_ten_connections_to_others() {
    let mut engine = Engine::of(vec![channel("a", 2, 10)], 10);
    let tarpits: Vec<_> = (0..50).map(|n| to(0, &format!("tarpit{n}"))).collect();
    for tarpit in &tarpits {
        engine.wanted(tarpit, 1);
    }
    let silent = |engine: &Engine| {
        engine.running.values().filter(|its| its.destination.host.contains("tarpit")).count()
    };
    engine.wanted(&to(0, "good"), 10_000);
    assert_eq!((silent(&engine), engine.connections("good")), (20, 0), "nobody knows them yet");
    let mut rounds = 0;
    while engine.connections("good") == 0 {
        assert!(engine.give_way() > 0, "they make room");
        rounds += 1;
    }
    assert!(rounds <= 3, "{rounds} times the patience");
    for _ in 0..40 {
        engine.answered(&to(0, "good"));
        engine.give_way();
        engine.tick(Duration::from_millis(250));
    }
    engine.give_way();
    assert_eq!(silent(&engine), 2, "a tenth of them waits on");
    assert_eq!(engine.connections("good"), 17, "it has the others, but for the last");
    // When it has no more to do, the others may have all again.
    engine.schedule.wanted(&to(0, "good"), 0, engine.now);
    while engine.connections("good") > 0 {
        engine.end("good", 0);
    }
    engine.tick(Duration::from_secs(60));
    assert!(silent(&engine) >= 19, "{} of 20", silent(&engine));
    assert_eq!(engine.give_way(), 0, "nobody wants their places");
    engine.wanted(&to(0, "good"), 1);
    assert!((1..=2).contains(&engine.yielding.len()), "at once: {:?}", engine.yielding);
}

#[tokio::test]
async fn newcomers_that_say_nothing_take_half_from_those_who_answer() {
    let mut engine = Engine::of(vec![channel("a", 2, 10)], 10);
    engine.wanted_widely(&to(0, "good"), 10_000);
    assert_eq!(engine.connections("good"), 19);
    for n in 0..50 {
        engine.wanted(&to(0, &format!("tarpit{n}")), 1);
    }
    for _ in 0..100 {
        if engine.schedule.sites[&to(0, "good")].recalled > 0 {
            engine.end("good", 10_000);
        }
        engine.tick(Duration::from_millis(1));
    }
    let good = engine.connections("good");
    assert!((8..=11).contains(&good), "{good} of 20");
}

#[tokio::test]
async fn the_only_connection_of_a_channel_is_no_slow_hosts_while_others_wait() {
    let mut engine = Engine::of(vec![channel("a", 1, 1)], 1);
    assert_eq!(engine.wanted(&to(0, "tarpit"), 1), ["tarpit"]);
    assert_eq!(engine.give_way(), 0, "nobody else is there");
    engine.schedule.wanted(&to(0, "good"), 1, engine.now);
    assert_eq!(engine.give_way(), 1);
    assert_eq!((engine.connections("good"), engine.connections("tarpit")), (1, 0));
    assert!(engine.tick(Duration::from_secs(60)).0.is_empty());
    assert_eq!(engine.end("good", 0).0, ["tarpit"]);
}

#[tokio::test]
async fn silent_servers_of_one_channel_leave_their_slots_to_another() {
    let mut engine = Engine::of(vec![channel("a", 10, 1), channel("b", 10, 1)], 2);
    engine.schedule.keep_last("P", false);
    for n in 0..4 {
        engine.wanted(&to(0, &format!("tarpit{n}")), 1);
    }
    engine.give_way();
    engine.wanted(&to(1, "good"), 1);
    for _ in 0..3 {
        engine.tick(TURN);
        engine.give_way();
    }
    assert_eq!(engine.connections("good"), 1);
}

#[tokio::test]
async fn a_newcomer_is_served_at_once_and_the_next_one_finds_room_again() {
    let mut engine = Engine::of(vec![channel("a", 2, 5)], 10);
    assert_eq!(engine.wanted_widely(&to(0, "big"), 10_000), 9);
    engine.schedule.wanted(&to(0, "new"), 1, engine.now);
    let (started, orders) = engine.act();
    assert_eq!(started, ["new"]);
    assert_eq!(orders.recalled, [to(0, "big")], "the last free connection is free again soon");
    let (started, orders) = engine.end("big", 9_000);
    assert!(started.is_empty() && orders.recalled.is_empty(), "{started:?}");
    assert_eq!(engine.wanted(&to(0, "newer"), 1), ["newer"]);
}

#[tokio::test]
async fn destinations_with_long_lines_end_up_with_equal_shares() {
    let mut engine = Engine::of(vec![channel("a", 2, 10)], 10);
    engine.wanted_widely(&to(0, "first"), 10_000);
    assert_eq!(engine.connections("first"), 19);
    engine.wanted_widely(&to(0, "second"), 10_000);
    engine.wanted_widely(&to(0, "small"), 1);
    for _ in 0..100 {
        // Only what is asked back ends, at the next boundary.
        let asked = engine.schedule.ranks[0].recalled;
        let host = if asked > 0 { "first" } else { "second" };
        let owed = engine.schedule.sites[&to(0, host)].recalled;
        if owed > 0 {
            engine.end(host, 9_000);
        }
        engine.answered(&to(0, "second"));
        engine.act();
        engine.tick(Duration::from_millis(250));
    }
    let shares =
        (engine.connections("first"), engine.connections("second"), engine.connections("small"));
    assert!(shares.2 == 1 && shares.0.abs_diff(shares.1) <= 1, "{shares:?}");
    assert_eq!(shares.0 + shares.1 + shares.2, 19, "one is left for who comes next");
}

#[tokio::test]
async fn where_everybody_has_one_thread_they_take_turns() {
    let mut engine = Engine::of(vec![channel("a", 1, 2)], 1);
    for host in ["a", "b", "c", "d"] {
        engine.wanted(&to(0, host), 1_000);
    }
    assert_eq!((engine.connections("a"), engine.connections("b")), (1, 1));
    assert_eq!(engine.schedule.contended().len(), 1);
    assert_eq!(engine.tick(TURN / 2).1, Orders::default(), "their time is not over");
    let (_, orders) = engine.tick(TURN / 2);
    assert_eq!(orders.recalled, [to(0, "a"), to(0, "b")]);
    assert_eq!(engine.tick(TURN).1, Orders::default(), "asked once");
    assert_eq!(engine.end("a", 900).0, ["c"]);
    assert_eq!(engine.end("b", 900).0, ["d"]);
    assert_eq!(engine.end("c", 0).0, ["a"]);
    assert_eq!(engine.end("d", 0).0, ["b"]);
    assert!(engine.schedule.contended().is_empty());
}

#[tokio::test]
async fn twenty_thousand_hosts_with_a_message_each_are_served_in_the_order_they_came() {
    let mut engine = Engine::of(vec![channel("a", 7, 10)], 10);
    let hosts: Vec<_> = (0..20_000).map(|host: usize| host.to_string()).collect();
    let mut order = Vec::new();
    for host in &hosts {
        order.append(&mut engine.wanted(&to(0, host), 1));
    }
    assert_eq!(order.len(), 70);
    while let Some((connection, start)) = engine.running.pop_first() {
        engine.schedule.wanted(&start.destination, 0, engine.now);
        engine.schedule.ended(connection, 0, engine.now);
        order.append(&mut engine.act().0);
    }
    assert!(order == hosts && engine.schedule.sites.is_empty());
}

#[tokio::test]
async fn channels_of_a_pool_share_its_slots() {
    let mut engine = Engine::of(vec![channel("a", 10, 2), channel("b", 10, 2)], 4);
    assert_eq!(
        engine.wanted_widely(&to(0, "x"), 10_000),
        6,
        "a slot is left for the other channel"
    );
    assert_eq!(
        engine.wanted_widely(&to(1, "y"), 10_000),
        1,
        "and a connection for its other hosts"
    );
    let (_, orders) = engine.tick(Duration::from_millis(250));
    assert_eq!(orders.retired, [], "asked already");
    assert_eq!(engine.retired.len(), 1, "three slots and one become two each");
    let retiring = *engine.retired.first().unwrap();
    let of_job = engine.running.iter().filter(|(_, start)| start.job == retiring);
    let connections: Vec<_> = of_job.map(|(connection, _)| *connection).collect();
    for connection in connections {
        engine.running.remove(&connection);
        engine.schedule.ended(connection, 9_000, engine.now);
        engine.act();
    }
    let jobs = |channel| engine.schedule.slots().lane(ChannelId(channel)).jobs();
    assert_eq!((jobs(0), jobs(1)), (2, 2));
    engine.end("x", 9_000);
    assert_eq!(
        (engine.connections("x"), engine.connections("y")),
        (3, 3),
        "and one connection is free in each"
    );
}

#[tokio::test]
async fn a_full_pool_serves_its_line_in_turn() {
    let mut engine = Engine::of(vec![channel("a", 10, 1), channel("b", 10, 1)], 1);
    assert_eq!(engine.wanted(&to(0, "busy"), 1_000), ["busy"]);
    assert!(engine.wanted(&to(0, "small"), 1).is_empty());
    assert!(engine.wanted(&to(1, "other"), 1).is_empty());
    assert_eq!(engine.schedule.contended().len(), 2, "both channels of the pool");
    let (_, orders) = engine.tick(TURN);
    assert_eq!(orders.retired.len(), 1, "its turn is over");
    let mut order = Vec::new();
    for (host, ready) in [("busy", 900), ("small", 0), ("other", 0), ("busy", 800)] {
        order.append(&mut engine.end(host, ready).0);
    }
    assert_eq!(order.concat(), "smallotherbusybusy");
}

#[tokio::test]
async fn a_dead_host_is_left_alone_and_then_probed_by_one_connection() {
    let mut engine = Engine::of(vec![channel("a", 1, 10)], 10);
    let (dead, alive) = (to(0, "dead"), to(0, "alive"));
    assert_eq!(engine.wanted_widely(&dead, 100), 9);
    let troubled = |engine: &mut Engine| engine.schedule.troubled(&dead, down(), engine.now);
    assert_eq!(troubled(&mut engine), Some(FIRST));
    for _ in 0..9 {
        assert_eq!(troubled(&mut engine), None, "one suspension at a time");
        assert!(engine.end("dead", 90).0.is_empty());
    }
    assert_eq!(engine.wanted_widely(&alive, 100), 9, "the other has all that is free");
    for _ in 0..9 {
        engine.end("alive", 0);
    }
    assert!(engine.tick(Duration::ZERO).0.is_empty());
    assert_eq!(engine.tick(FIRST).0, ["dead"], "one probe");
    assert!(engine.wanted(&dead, 100).is_empty());
    assert_eq!(troubled(&mut engine), Some(FIRST * 2));
    assert!(engine.end("dead", 90).0.is_empty());
    engine.schedule.probe(&dead, engine.now);
    assert_eq!(engine.act().0, ["dead"], "an operator need not wait");
    assert_eq!(troubled(&mut engine), Some(FIRST * 4));
    assert!(engine.end("dead", 90).0.is_empty());
    assert_eq!(engine.tick(FIRST * 4).0, ["dead"]);
    assert!(engine.answered(&dead));
    assert_eq!(engine.act().0.len(), 5, "what a new host gets");
}

#[tokio::test]
async fn of_very_many_dead_hosts_few_are_probed_at_a_time_and_one_that_is_back_brings_others() {
    let mut engine = Engine::of(vec![channel("a", 50, 10)], 50);
    let hosts: Vec<_> = (0..400).map(|n| to(0, &format!("dead-{n}"))).collect();
    for host in &hosts {
        assert_eq!(engine.wanted(host, 3), [&*host.host]);
        engine.schedule.troubled(host, down(), engine.now);
        engine.end(&host.host, 3);
    }
    let probes = engine.tick(FIRST).0.len();
    let told_again: usize = hosts.iter().map(|host| engine.wanted(host, 3).len()).sum();
    assert_eq!((probes, told_again), (50, 0), "however often it is told that mail waits for them");
    assert!(engine.answered(&hosts[0]));
    let (started, _) = engine.act();
    let others = started.iter().filter(|host| **host != *hosts[0].host).count();
    assert_eq!(others, 2, "{started:?}");
}

#[tokio::test]
async fn a_host_that_bears_a_few_connections_is_not_pressed_for_more() {
    let mut engine = Engine::of(vec![channel("a", 7, 10)], 10);
    let host = to(0, "h");
    engine.wanted_widely(&host, 300);
    assert_eq!(engine.connections("h"), 30);
    // The last ten are refused, the others go on.
    for _ in 0..10 {
        engine.schedule.troubled(&host, down(), engine.now);
        engine.end("h", 300);
    }
    engine.answered(&host);
    engine.act();
    assert_eq!(engine.connections("h"), 21, "one more is tried, with an answer");
}

#[tokio::test]
async fn a_limit_that_is_lowered_ends_jobs_and_one_that_is_raised_starts_them() {
    let mut engine = Engine::of(vec![channel("a", 4, 2)], 10);
    engine.wanted_widely(&to(0, "h"), 10_000);
    assert_eq!(engine.schedule.set_maxjobs(ChannelId(0), 2, engine.now), 4);
    let (started, orders) = engine.act();
    assert_eq!((started.len(), orders.retired.len()), (0, 2));
    for _ in 0..7 {
        engine.end("h", 9_000);
    }
    assert!(engine.jobs() <= 2, "{}", engine.jobs());
    assert_eq!(engine.schedule.set_limit(0, 1, engine.now), 10);
    engine.act();
    engine.end("h", 9_000);
    engine.end("h", 9_000);
    engine.end("h", 9_000);
    assert_eq!(engine.jobs(), 1);
    engine.schedule.set_limit(0, 10, engine.now);
    assert_eq!(engine.schedule.set_maxjobs(ChannelId(0), 4, engine.now), 2);
    engine.act();
    assert_eq!(engine.connections("h"), 7);
}

#[actix_rt::test]
async fn a_limit_of_an_address_holds_however_the_route_spells_it() {
    let mut engine = Engine::of(vec![channel("c", 10, 10)], 10);
    let limited = engine.schedule.host_limit(&to(0, "[127.0.0.4]"), Some(1), engine.now);
    assert!(matches!(limited, Ok(None)));
    assert_eq!(engine.wanted_widely(&to(0, "127.0.0.4"), 1_000), 1);
    assert_eq!(engine.schedule.limit_of(&to(0, "127.0.0.4")), Some(1));
    assert_eq!(engine.schedule.limit_of(&to(0, "[127.0.0.4]")), Some(1));
    assert_eq!(engine.schedule.limit_of(&to(0, "127.0.0.5")), None);
}

#[tokio::test]
async fn a_stopped_channel_ends_what_runs_and_starts_nothing() {
    let mut engine = Engine::of(vec![channel("a", 2, 2), channel("b", 2, 2)], 10);
    engine.wanted_widely(&to(0, "h"), 1_000);
    assert!(!engine.schedule.freeze(ChannelId(0), true, engine.now));
    assert_eq!(engine.act().1.retired.len(), 2);
    for _ in 0..3 {
        assert!(engine.end("h", 1_000).0.is_empty());
    }
    assert!(engine.wanted(&to(0, "new"), 1).is_empty());
    assert!(engine.tick(TURN).0.is_empty());
    assert!(engine.schedule.contended().is_empty(), "nobody is to make room for it");
    assert_eq!(engine.wanted(&to(1, "other"), 1), ["other"]);
    assert!(engine.schedule.freeze(ChannelId(0), false, engine.now));
    assert_eq!(engine.act().0.len(), 3, "what waits");
}

#[tokio::test]
async fn what_is_said_of_a_destination_that_does_not_move() {
    let mut engine = Engine::of(vec![channel("a", 1, 2)], 1);
    for host in ["x", "y", "z", "last"] {
        engine.wanted(&to(0, host), 50);
    }
    let last = engine.schedule.standing(&to(0, "last"));
    assert_eq!((last.ready, last.connections, last.jobs, last.behind), (50, 0, 0, Some(1)));
    let first = engine.schedule.standing(&to(0, "x"));
    assert_eq!((first.connections, first.jobs, first.window), (1, 1, 5));
    engine.schedule.troubled(&to(0, "x"), down(), engine.now);
    let suspension = engine.schedule.standing(&to(0, "x")).suspension.unwrap();
    assert_eq!((suspension.backoff.pause(), suspension.until), (FIRST * 2, engine.now + FIRST));
    assert_eq!(engine.schedule.standing(&to(0, "unheard of")).ready, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Wanted(u8, usize),
    End(usize, usize),
    Troubled(u8),
    Reached(u8),
    Tick(u64),
    Silent(usize),
    Freeze(u16, bool),
    Maxjobs(u16, usize),
    Limit(usize),
    Adopt(usize, bool, usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..12, 0usize..80).prop_map(|(d, ready)| Step::Wanted(d, ready)),
        4 => (0usize..64, 0usize..40).prop_map(|(connection, ready)| Step::End(connection, ready)),
        1 => (0u8..12).prop_map(Step::Troubled),
        2 => (0u8..12).prop_map(Step::Reached),
        2 => (0u64..3_000).prop_map(Step::Tick),
        1 => (0usize..64).prop_map(Step::Silent),
        1 => (0u16..3, any::<bool>()).prop_map(|(channel, frozen)| Step::Freeze(channel, frozen)),
        1 => (0u16..3, 1usize..5).prop_map(|(channel, jobs)| Step::Maxjobs(channel, jobs)),
        1 => (1usize..7).prop_map(Step::Limit),
        1 => (0usize..3, any::<bool>(), 1usize..5, 1usize..4).prop_map(|(channel, pool, jobs, threads)| {
            Step::Adopt(channel, pool, jobs, threads)
        }),
    ]
}

impl Engine {
    fn take(&mut self, step: &Step) {
        let at = |d: u8| to(u16::from(d) % 3, &d.to_string());
        match *step {
            Step::Wanted(d, ready) => self.schedule.wanted(&at(d), ready, self.now),
            Step::End(connection, ready) => {
                let index = connection % self.running.len().max(1);
                if let Some(connection) = self.running.keys().nth(index).copied() {
                    self.running.remove(&connection);
                    self.schedule.ended(connection, ready, self.now);
                }
            }
            Step::Troubled(d) => drop(self.schedule.troubled(&at(d), down(), self.now)),
            Step::Reached(d) => drop(self.answered(&at(d))),
            Step::Tick(ms) => {
                self.now += Duration::from_millis(ms);
                self.schedule.tick(self.now);
            }
            Step::Silent(connection) => {
                let index = connection % self.running.len().max(1);
                let silent: Vec<_> = self.running.keys().skip(index).step_by(2).copied().collect();
                self.schedule.kept_waiting(&silent, self.now);
            }
            Step::Freeze(channel, frozen) => {
                self.schedule.freeze(ChannelId(channel), frozen, self.now);
            }
            Step::Maxjobs(channel, jobs) => {
                self.schedule.set_maxjobs(ChannelId(channel), jobs, self.now);
            }
            Step::Limit(limit) => drop(self.schedule.set_limit(0, limit, self.now)),
            Step::Adopt(index, other, jobs, threads) => {
                let was = self.channels.clone();
                let name = self.channels[index].name.clone();
                let pool = if other { "Q" } else { "P" }.to_owned();
                self.channels[index] = Channel { pool, ..channel(&name, jobs, threads) };
                self.schedule.adopt(&was.into(), &self.channels.clone().into(), self.now);
            }
        }
    }

    fn holds(&mut self, passed: bool) -> Result<(), TestCaseError> {
        let (_, orders) = self.act();
        let slots = self.schedule.slots();
        for (index, pool) in slots.pools().iter().enumerate() {
            prop_assert!(pool.running - pool.retiring <= pool.limit);
            prop_assert!(
                orders.starts.is_empty() || pool.running <= pool.limit || self.running.len() > 1
            );
            let lanes = (0..3).map(|channel| slots.lane(ChannelId(channel)));
            let jobs: usize = lanes.filter(|lane| lane.pool == index).map(Lane::jobs).sum();
            prop_assert_eq!(jobs, pool.running);
        }
        for channel in (0..3).map(ChannelId) {
            let lane = slots.lane(channel);
            prop_assert!(lane.active() <= lane.maxjobs);
            prop_assert!(!lane.frozen || lane.active() == 0);
            for (id, job) in slots.jobs_of(channel) {
                let connections = self.running.values().filter(|start| start.job == id).count();
                prop_assert_eq!(connections, job.connections);
                prop_assert!((1..=4).contains(&connections), "{} connections", connections);
            }
        }
        for (destination, site) in &self.schedule.sites {
            let connections = self.connections(&destination.host);
            prop_assert_eq!(connections, site.connections);
            let suspended = self.schedule.suspensions.get(destination).is_some();
            let free = slots.free(destination.channel, Asker::Newcomer);
            // Slow ones are looked at as time passes.
            let behind = self.schedule.is_slow(destination)
                && !(passed && self.schedule.may_start(destination));
            prop_assert!(
                site.ready == 0 || connections > 0 || suspended || free == 0 || behind,
                "{:?} waits while {} connections are free",
                destination,
                free
            );
        }
        for (channel, ranks) in self.schedule.ranks.iter().enumerate() {
            let sites = self.schedule.sites.iter();
            let its = sites.filter(|(its, _)| usize::from(its.channel.0) == channel);
            let slow = its.clone().filter(|(destination, _)| self.schedule.is_slow(destination));
            let slow: usize = slow.map(|(_, site)| site.connections - site.recalled).sum();
            prop_assert_eq!(slow, ranks.slow.connections);
            let unproven = its.filter(|(_, site)| site.answered == 0);
            let unproven: usize = unproven.map(|(_, site)| site.connections - site.recalled).sum();
            prop_assert_eq!(unproven, ranks.unproven);
        }
        for ranks in &self.schedule.ranks {
            let of = |ranks: &ChannelRanks| ranks.waiting.newcomers().cloned().collect::<Vec<_>>();
            prop_assert!(of(ranks).iter().all(|newcomer| self.connections(&newcomer.host) == 0));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn limits_hold_and_nobody_waits_for_nothing(steps in prop::collection::vec(step(), 1..150)) {
        let channels = ["a", "b", "c"].map(|name| channel(name, 3, 3)).to_vec();
        let mut engine = Engine::of(channels, 4);
        engine.schedule.add_pool("Q", 2);
        for step in &steps {
            engine.take(step);
            engine.holds(matches!(step, Step::Tick(_)))?;
        }
        // Everything ends, and nothing is left.
        for channel in 0..3 {
            engine.schedule.freeze(ChannelId(channel), false, engine.now);
        }
        for d in 0..12 {
            engine.take(&Step::Wanted(d, 0));
            engine.act();
        }
        while !engine.running.is_empty() {
            engine.take(&Step::End(0, 0));
            engine.holds(false)?;
        }
        engine.tick(Duration::from_secs(3_600));
        engine.tick(Duration::from_secs(3_600));
        let schedule = &engine.schedule;
        prop_assert!(schedule.slots().pools().iter().all(|pool| pool.running == 0));
        prop_assert_eq!(schedule.sites.len() + schedule.suspensions.iter().count(), 0);
        for ranks in &schedule.ranks {
            prop_assert!(ranks.waiting.is_empty() && ranks.holding.is_empty() && ranks.recalled == 0);
        }
        for channel in (0..3).map(ChannelId) {
            prop_assert_eq!(schedule.slots().lane(channel).ready, 0);
        }
    }
}
