//! Order and speed: which mail goes first, which waits, and which holds up nobody, as servers see
//! it, how fast, and over how many connections.

use std::{
    thread,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Load, Settings, Sink, eventually, free_port, message};
use serde_json::Value;

/// An engine and a server for the mail of `one.test`.
fn office(fields: &str, change: impl FnOnce(Settings) -> Settings) -> (Instance, Sink) {
    let port = free_port();
    let settings = change(Settings::standalone().stores(port).channel("stores", fields));
    (Instance::new(settings), Sink::on(port))
}

/// One message whose header has these lines in front.
#[track_caller]
fn send(instance: &Instance, to: &[&str], lines: &str, name: &str, size: usize) {
    let mut content = lines.as_bytes().to_vec();
    content.extend_from_slice(&message(name, size));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@a.test", to, &content).expect(250);
}

/// The messages that have come, by the part of its Message-ID that the test has chosen.
fn order(sink: &Sink) -> Vec<String> {
    let name = |id: String| id.split('@').next().unwrap_or_default().to_owned();
    sink.order().into_iter().map(name).collect()
}

fn channel(instance: &Instance, verb: &str) {
    let output = instance.relais("channel", &[verb, "stores"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn memory_is_filled_to_three_quarters_from_the_disk_with_one_destination_too() {
    const LIMIT: usize = 1_000;
    let limit = |settings: Settings| settings.edit("max_messages: 100000", "max_messages: 1000");
    let (instance, _sink) = office("maxjobs: 1", limit);
    let running = instance.start();
    channel(&instance, "stop");
    Load::new(instance.settings.smtp, "x@one.test", 500).run(10, 2 * LIMIT);
    running.kill();
    let _running = instance.start();
    let tracked = || instance.metric("relais_queue_tracked");
    eventually("three quarters", PATIENCE, || tracked() >= 0.75 * LIMIT as f64);
    assert!(tracked() < LIMIT as f64, "{} leave no room for new mail", tracked());
}

const ONE_CONNECTION: &str = "maxjobs: 1, max_client_threads: 1";

#[test]
fn the_more_urgent_goes_first_unless_it_is_too_large() {
    let limits = "urgentblocklimit: \"8KiB\", normalblocklimit: \"8KiB\"";
    let (instance, sink) = office(&format!("{ONE_CONNECTION}, {limits}"), |settings| settings);
    let _running = instance.start();
    channel(&instance, "stop");
    let to = ["x@one.test"];
    send(&instance, &to, "Priority: non-urgent\r\n", "nonurgent", 500);
    send(&instance, &to, "", "large-normal", 20_000);
    send(&instance, &to, "", "normal", 500);
    send(&instance, &to, "Importance: low\r\n", "low", 500);
    send(&instance, &to, "Importance: high\r\n", "large-high", 20_000);
    send(&instance, &to, "Priority: urgent\r\n", "urgent", 500);
    send(&instance, &to, "Importance: high\r\n", "high", 500);
    let shown: Vec<_> = instance.queue().iter().map(|entry| entry["priority"].clone()).collect();
    assert!(shown.contains(&Value::from("urgent")), "{shown:?}");
    channel(&instance, "start");
    eventually("all of them", PATIENCE, || sink.total() == 7);
    // An urgent message beyond both limits is lowered twice, and then waits in the order it came.
    let want = ["urgent", "high", "normal", "nonurgent", "large-normal", "low", "large-high"];
    assert_eq!(order(&sink), want);
    assert_eq!(sink.connections(), 1);
}

#[test]
fn an_urgent_message_overtakes_what_waits_for_the_same_connection() {
    const NORMAL: usize = 30;
    let (instance, sink) = office(ONE_CONNECTION, |settings| settings);
    let _running = instance.start();
    sink.pause();
    for n in 0..NORMAL {
        send(&instance, &["x@one.test"], "", &format!("normal-{n}"), 500);
    }
    eventually("one is under way", PATIENCE, || sink.total() > 0);
    send(&instance, &["x@one.test"], "Priority: urgent\r\n", "urgent", 500);
    sink.resume();
    eventually("all of them", PATIENCE, || sink.total() == NORMAL + 1);
    let order = order(&sink);
    let place = order.iter().position(|name| name == "urgent").expect("it came");
    // Before it go the one that was in hand and the one that was announced behind that.
    assert!(place <= 2, "{order:?}");
    let normal: Vec<_> = (0..NORMAL).map(|n| format!("normal-{n}")).collect();
    assert!(order.iter().filter(|name| *name != "urgent").eq(&normal), "{order:?}");
}

#[test]
fn mail_in_circles_and_mail_to_too_many_is_held_and_says_why() {
    let (instance, sink) = office("maxjobs: 3", |settings| {
        settings.section("max_local_received_lines: 5").channel("tcp_local", "holdlimit: 3")
    });
    let _running = instance.start();
    let received = |host: &str, lines: usize| {
        let line = format!("Received: from a by {host}; Sun, 22 Nov 2026 07:00:00 +0000\r\n");
        line.repeat(lines)
    };
    let many: Vec<_> = (0..4).map(|n| format!("user-{n}@one.test")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let one = ["x@one.test"];
    // name, recipients, header, why it is held
    let rows: [(&str, &[&str], String, Option<&str>); 6] = [
        ("circle", &one, received("b.test", 60), Some("60 Received lines")),
        ("long-way", &one, received("b.test", 45), None),
        ("home-circle", &one, received("localhost", 6), Some("6 Received lines of this host")),
        ("home", &one, received("localhost", 4), None),
        ("many", &many, String::new(), Some("4 recipients, more than the channel's holdlimit")),
        ("three", &many[..3], String::new(), None),
    ];
    for (name, to, header, why) in &rows {
        let before = instance.json("queue", &["list", "--held"]).len();
        send(&instance, to, header, name, 500);
        let Some(why) = why else { continue };
        let held = instance.json("queue", &["list", "--held"]);
        assert_eq!(held.len(), before + 1, "{name} is not held");
        let id = held.iter().map(|entry| entry["id"].as_str().expect("an id")).max().expect("one");
        let answer = instance.json("queue", &["why", id]).remove(0);
        let text = answer[0]["text"].as_str().unwrap_or_default();
        assert!(text.contains(why), "{name}: {text}");
        let history = instance.relais("queue", &["history", id]);
        assert!(String::from_utf8_lossy(&history.stdout).contains(why), "{name}: {history:?}");
    }
    let through = ["long-way", "home", "three"];
    eventually("the others", PATIENCE, || sink.total() == through.len());
    let mut order = order(&sink);
    order.sort_unstable();
    assert_eq!(order, ["home", "long-way", "three"]);
    assert!(instance.relais("queue", &["release", "--held"]).status.success());
    eventually("what was released", PATIENCE, || instance.queue().is_empty());
}

/// Two engines: one has mail for a quick server only, the other for a slow one as well. Both are
/// measured in turn, so that whatever else the machine does hits both. The quick one takes its time,
/// too: what is measured is how many connections it gets, not how fast the machine is.
#[test]
fn a_slow_host_does_not_slow_down_its_neighbour() {
    let (alone, beside) = (Neighbours::new(), Neighbours::new());
    let (_alone, _beside) = (alone.instance.start(), beside.instance.start());
    for office in [&alone, &beside] {
        office.quick.slow_down(Duration::from_millis(10));
    }
    beside.slow.slow_down(Duration::from_secs(5));
    for n in 0..100 {
        send(&beside.instance, &["x@two.test"], "", &format!("slow-{n}"), 500);
    }
    eventually("the slow one is at work", PATIENCE, || beside.slow.connections() > 0);

    let mut tries = Vec::new();
    for _ in 0..3 {
        let (mut without, mut with): (Vec<_>, Vec<_>) =
            (0..5).map(|_| (alone.time(), beside.time())).unzip();
        without.sort_unstable();
        with.sort_unstable();
        let (without, with) = (without[2], with[2]);
        println!("{MEASURED} messages: {without:?} alone, {with:?} beside a slow host");
        if with < without * 11 / 10 {
            return;
        }
        tries.push((without, with));
    }
    panic!("a slow host costs its neighbour more than a tenth: {tries:?}");
}

struct Neighbours {
    instance: Instance,
    quick: Sink,
    slow: Sink,
}

impl Neighbours {
    fn new() -> Self {
        let port = free_port();
        let settings = Settings::standalone().stores(port).channel("stores", "idle_time: \"0s\"");
        let instance = Instance::new(settings);
        let slow = Sink::at(([127, 0, 0, 2], port).into());
        Self { instance, quick: Sink::on(port), slow }
    }

    /// How long a burst of messages takes from the first that comes to the last.
    fn time(&self) -> Duration {
        let before = self.quick.total();
        let load = Load::new(self.instance.settings.smtp, "x@one.test", 1_000);
        let start = Instant::now();
        load.run(4, MEASURED);
        eventually("the quick one has them", PATIENCE, || self.quick.total() >= before + MEASURED);
        start.elapsed()
    }
}

const MEASURED: usize = 300;

#[test]
fn mail_for_a_dead_host_goes_as_soon_as_the_host_is_back() {
    const MESSAGES: usize = 20;
    let (instance, sink) = office("backoff: [\"1h\"]", |settings| settings);
    let port = sink.port;
    drop(sink);
    let _running = instance.start();
    for n in 0..MESSAGES {
        send(&instance, &["x@one.test"], "", &format!("waits-{n}"), 500);
    }
    // The first look at it comes after one second, the second after two more.
    let looks = || instance.log().matches("destination suspended").count();
    eventually("it was looked at twice", PATIENCE, || looks() >= 2);
    assert_eq!(instance.queue().len(), MESSAGES);

    let (sink, back) = (Sink::on(port), Instant::now());
    eventually("all of it", PATIENCE, || sink.total() == MESSAGES);
    let took = back.elapsed();
    println!("{MESSAGES} messages {took:?} after the host was back");
    // The third look comes four seconds after the second.
    assert!(took < Duration::from_secs(8), "{took:?}");
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!(sink.repeated(), Vec::<String>::new());
    assert!(instance.log().contains("destination resumed"));
}

#[test]
fn an_operator_who_knows_that_a_host_is_back_need_not_wait_for_its_probe() {
    let (instance, sink) = office("backoff: [\"1h\"]", |settings| settings);
    let port = sink.port;
    drop(sink);
    let _running = instance.start();
    for n in 0..3 {
        send(&instance, &["x@one.test"], "", &format!("waits-{n}"), 500);
    }
    // The fourth look comes four seconds after the third.
    let looks = || instance.log().matches("destination suspended").count();
    eventually("it was looked at three times", PATIENCE, || looks() >= 3);
    let (sink, back) = (Sink::on(port), Instant::now());
    let output = instance.relais("queue", &["retry", "--host", "[127.0.0.1]"]);
    assert!(output.status.success(), "{output:?}");
    eventually("all of it", PATIENCE, || sink.total() == 3);
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
}

#[test]
fn a_server_sees_no_more_connections_than_the_limits_allow() {
    const MESSAGES: usize = 200;
    // fields of the channel, job_limit of its pool, the host's own limit set while it runs,
    // connections at least and at most: where there is more than one, one host does not get them all
    let rows = [
        ("maxjobs: 1, max_client_threads: 1", 10, None, 1..=1),
        ("maxjobs: 1, max_client_threads: 5", 10, None, 3..=5),
        ("maxjobs: 3, max_client_threads: 2", 10, None, 4..=6),
        ("maxjobs: 10, max_client_threads: 2", 3, None, 4..=6),
        ("maxjobs: 3, max_client_threads: 2", 10, Some("stores@127.0.0.1.connections"), 2..=2),
        ("maxjobs: 3, max_client_threads: 2", 10, Some("stores@[127.0.0.1].connections"), 2..=2),
    ];
    thread::scope(|threads| {
        for (fields, job_limit, own, want) in rows {
            threads.spawn(move || {
                let (instance, sink) = office(fields, |settings| {
                    let pool = format!("\"SMTP_POOL\": (job_limit: {job_limit})");
                    settings.edit("\"SMTP_POOL\": (job_limit: 10)", &pool)
                });
                let _running = instance.start();
                if let Some(own) = own {
                    let set = instance.relais("set", &[own, "2"]);
                    assert!(set.status.success(), "{set:?}");
                }
                sink.slow_down(Duration::from_millis(5));
                let load = Load::new(instance.settings.smtp, "x@one.test", 500);
                load.run(4, MESSAGES);
                eventually("all of them", PATIENCE, || sink.total() == MESSAGES);
                let most = sink.most_connections();
                assert!(want.contains(&most), "{fields}, job_limit: {job_limit}, {own:?}: {most}");
            });
        }
    });
}

const PATIENCE: Duration = Duration::from_secs(20);
