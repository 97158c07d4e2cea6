//! How much the destinations of an SMTP channel get, as their servers count it; hosts that operators
//! suspend; and what replies lead to.

use std::{
    net::{SocketAddr, TcpListener},
    process::Output,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Instance, NameServer, Settings, Sink, eventually, free_port, message, needs,
};
use serde_json::Value;

/// An engine whose channel `tcp_out` has these limits, before a server at 127.0.0.2 that takes mail for
/// all of `ZONE`, and another at 127.0.0.3.
struct Office {
    instance: Instance,
    first: Sink,
    second: Sink,
    port: u16,
    _names: NameServer,
}

const ZONE: &str = "\
mx1 A 127.0.0.2\n\
mx2 A 127.0.0.3\n\
a MX 10 mx1\n\
b MX 10 mx1\n\
c MX 10 mx1\n\
d MX 10 mx1\n\
pair MX 10 mx1\n\
pair MX 10 mx2\n\
twin MX 10 mx2\n\
twin MX 10 mx1\n";

impl Office {
    /// `None`: a program is missing.
    fn open(fields: &str) -> Option<Self> {
        if !needs(&[NameServer::PROGRAM]) {
            return None;
        }
        let tarpits: Vec<_> = (1..=200)
            .map(|n| format!("tarpit{n} A 127.0.3.{n}\nshared{n} A 127.0.3.1\n"))
            .collect();
        let names = NameServer::start(&[("much.test", &(ZONE.to_owned() + &tarpits.concat()))]);
        let (asked, port) = (names.port, free_port());
        let rule = "\n        (\".much.test\", \"$U%$H$D@out-daemon\"),";
        let channel = format!(
            "(name: \"tcp_out\", tag: \"out-daemon\", program: Smtp, port: {port}, pool: \"SMTP_POOL\", \
             mx: Mx, nameservers: [\"127.0.0.1:{asked}\"], private_addresses: true, threaddepth: 1, \
             maxjobs: 4, max_client_threads: 10, backoff: [\"1s\"], {fields}),"
        );
        let clients = "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],";
        let settings = Settings::standalone()
            .edit("rewrite_rules: [", &format!("rewrite_rules: [{rule}"))
            .edit("mappings: {", clients)
            .edit("program: Local),", &format!("program: Local),\n        {channel}"));
        let sink = |last: u8| Sink::at(SocketAddr::from(([127, 0, 0, last], port)));
        let (first, second) = (sink(2), sink(3));
        let instance = Instance::new(settings);
        Some(Self { instance, first, second, port, _names: names })
    }

    fn send(&self, domains: &[&str], count: usize) {
        for n in 0..count {
            for domain in domains {
                let mut client = Dialogue::open(self.instance.settings.smtp);
                let to = format!("bob@{domain}.much.test");
                let name = format!("{domain}-{n}");
                client.message("ann@sender.test", &[&to], &message(&name, 300)).expect(250);
            }
        }
    }

    fn arrived(&self) -> usize {
        self.first.total() + self.second.total()
    }

    fn all_arrive(&self, count: usize) {
        eventually("all of it", PATIENCE, || self.arrived() == count);
        eventually("an empty queue", PATIENCE, || self.instance.queue().is_empty());
    }

    #[track_caller]
    fn done(&self, subcommand: &str, args: &[&str]) -> String {
        let output = self.instance.relais(subcommand, args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn why(&self) -> Value {
        let queue = self.instance.queue();
        let Some(id) = queue.first().and_then(|entry| entry["id"].as_str()) else {
            return Value::Null;
        };
        self.instance.json("queue", &["why", id])[0][0].clone()
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn servers_see_no_more_connections_than_the_scope_allows() {
    // limits, domains, most connections of the first server, and of the second
    let rows: [(&str, &[&str], usize, usize); 5] = [
        ("connections: 2", &["a"], 2, 0),
        ("connections: 1", &["a", "b", "c"], 3, 0),
        ("scope: Host, connections: 2", &["a", "b", "c", "d"], 2, 0),
        ("scope: Host, limits: {\"mx1.much.test\": (connections: 1)}", &["a", "b"], 1, 0),
        ("scope: Site, connections: 1", &["pair", "twin"], 1, 1),
    ];
    for (limits, domains, first, second) in rows {
        let Some(office) = Office::open(&format!("destinations: ({limits})")) else { return };
        office.first.slow_down(Duration::from_millis(20));
        office.second.slow_down(Duration::from_millis(20));
        let _running = office.instance.start();
        office.send(domains, 20);
        office.all_arrive(20 * domains.len());
        let most = (office.first.most_connections(), office.second.most_connections());
        assert!(most.0 <= first && most.1 <= second, "{limits}: {most:?}");
        if limits.contains("Site") {
            let both = office.first.most_connections() + office.second.most_connections();
            assert!(both >= 1, "{limits}: {most:?}");
        } else {
            assert_eq!(most.0, first, "{limits}: what it may have it gets");
        }
        let log = office.instance.log();
        assert!(!log.contains("\"action\":\"Q\"") && !log.contains("suspended"), "{limits}: {log}");
    }
}

#[test]
fn servers_get_messages_at_their_rate_and_others_at_once() {
    for scope in ["Domain", "Host", "Site"] {
        let own = if scope == "Domain" { "a.much.test" } else { "mx1.much.test" };
        let fields = format!(
            "destinations: (scope: {scope}, limits: {{\"{own}\": (rate: \"10/1s\")}}), idle_time: \"1s\""
        );
        let Some(office) = Office::open(&fields) else { return };
        let _running = office.instance.start();
        let began = Instant::now();
        office.send(&["a"], 40);
        while office.arrived() < 40 && began.elapsed() < PATIENCE {
            let passed = began.elapsed().as_secs_f64();
            let arrived = office.arrived();
            assert!(arrived as f64 <= passed.mul_add(10.0, 3.0), "{scope}: {arrived} in {passed}s");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(office.arrived(), 40, "{scope}");
        let took = began.elapsed().as_secs_f64();
        assert!((3.8..8.0).contains(&took), "{scope}: {took}s for 40 at 10 a second");
    }
}

#[test]
fn what_waits_for_its_rate_says_so_and_goes_when_an_operator_changes_it() {
    let fields = "destinations: (limits: {\"a.much.test\": (rate: \"1/1h\")}), idle_time: \"1s\"";
    let Some(office) = Office::open(fields) else { return };
    let running = office.instance.start();
    office.send(&["a", "b"], 3);
    eventually("one, and all for the other", PATIENCE, || office.arrived() == 4);
    eventually("the others wait", PATIENCE, || office.instance.queue().len() == 2);
    eventually("it rests", PATIENCE, || office.why()["waits_for"] == "limited");
    let why = office.why();
    assert_eq!(why["limit"], "rate", "{why}");
    let text = why["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("1/1h") && text.contains("`relais set tcp_out@a.much.test.rate 2/1h`"),
        "{text}"
    );
    let limited = &office.instance.json("status", &[])[0]["limited"];
    assert_eq!(
        (&limited[0]["host"], &limited[0]["value"]),
        (&"a.much.test".into(), &"1/1h".into())
    );
    assert!(
        (office.instance.metric("relais_hosts_limited{channel=\"tcp_out\"}") - 1.0).abs() < 0.1
    );
    assert!(office.done("status", &[]).contains("AT ITS LIMIT"));
    assert!(office.instance.queue().iter().all(|entry| entry["attempts"] == 0), "none was tried");
    let (code, text) = said(&office.instance.relais("set", &["tcp_out@a.much.test.rate", "0/1m"]));
    assert!(code != Some(0) && text.contains("a rate such as 100/1m does"), "{text}");
    let set = office.done("set", &["tcp_out@a.much.test.rate", "100/1s", "--save"]);
    assert!(set.contains("100/1s, was none") && set.contains("destinations: (limits:"), "{set}");
    office.all_arrive(6);
    // Deliveries are written down by then.
    std::thread::sleep(Duration::from_secs(1));
    running.kill();
    let _running = office.instance.start();
    assert!(office.done("set", &[]).contains("tcp_out@a.much.test.rate"), "it was saved");
    office.send(&["a"], 3);
    office.all_arrive(9);
    office.done("set", &["tcp_out@a.much.test.rate", "default", "--save"]);
    // Connections that are idle have taken their next turn already.
    eventually("no connection", PATIENCE, || office.first.open_connections() == 0);
    office.send(&["a"], 3);
    eventually("the file's rate", PATIENCE, || office.why()["limit"] == "rate");
}

#[test]
fn a_suspended_host_waits_over_restarts_and_goes_when_it_is_resumed() {
    let Some(office) = Office::open("") else { return };
    let running = office.instance.start();
    let host = |args: &[&str]| said(&office.instance.relais("host", args));
    let suspend = ["suspend", "a.much.test", "--reason", "they move", "--for"];
    for (args, want) in [
        (vec!["suspend", "a.much.test", "--for", "2h"], "--reason"),
        (vec!["suspend", "a.much.test", "--reason", "x"], "--for"),
        ([&suspend[..], &["10s"]].concat(), "1m to 30d"),
        ([&suspend[..], &["31d"]].concat(), "1m to 30d"),
        ([&suspend[..], &["1h", "--channel", "tcp_ou"]].concat(), "did you mean tcp_out"),
        (vec!["suspend", "a b", "--for", "1h", "--reason", "x"], "is no host"),
        (vec!["resume", "b.much.test"], "is not suspended"),
    ] {
        let (code, text) = host(&args);
        assert!(code != Some(0) && text.contains(want), "{args:?}: {text}");
    }
    office.done("host", &[&suspend[..], &["2h"]].concat());
    office.done("host", &["suspend", ".d.much.test", "--for", "1d", "--reason", "all below"]);
    office.send(&["a", "b"], 3);
    eventually("all for the other", PATIENCE, || office.arrived() == 3);
    running.kill();
    let running = office.instance.start();
    let why = office.why();
    assert_eq!(why["waits_for"], "host_suspended", "{why}");
    let text = why["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("they move") && text.contains("relais host resume a.much.test"),
        "{text}"
    );
    let list = office.instance.json("host", &["list"]);
    assert_eq!(list[0].as_array().map(Vec::len), Some(2), "{list:?}");
    assert_eq!(list[0][1]["by"], "operator");
    assert!(office.done("status", &[]).contains("SUSPENDED"));
    assert!(
        (office.instance.metric("relais_hosts_suspended{channel=\"tcp_out\"}") - 2.0).abs() < 0.1
    );
    office.done("queue", &["retry", "--host", "a.much.test"]);
    office.send(&["a"], 1);
    std::thread::sleep(Duration::from_secs(2));
    let of_a = || {
        let handed = office.first.handed();
        handed.iter().filter(|(_, to)| to.iter().any(|to| to.contains("bob@a."))).count()
    };
    assert_eq!(of_a(), 0, "queue retry does not end it");
    office.done("host", &["resume", "a.much.test"]);
    eventually("all of it", PATIENCE, || of_a() == 4);
    assert!(office.instance.log().contains("an operator has suspended it"));
    running.kill();
    let _running = office.instance.start();
    let list = office.instance.json("host", &["list"]);
    assert_eq!(list[0].as_array().map(Vec::len), Some(1), "resumed for good: {list:?}");
}

#[test]
fn an_order_about_a_host_tells_of_channels_that_go_on() {
    let Some(office) = Office::open("daemon: \"[127.0.0.2]\"") else { return };
    let _running = office.instance.start();
    let suspend = |host: &str| {
        let args = ["suspend", host, "--for", "1h", "--reason", "they move"];
        String::from_utf8_lossy(&office.instance.relais("host", &args).stdout).into_owned()
    };
    let told = suspend("a.much.test");
    assert!(told.contains("what leaves by tcp_out goes on"), "{told}");
    assert!(told.contains("its host is [127.0.0.2]"), "{told}");
    let told = suspend("[127.0.0.2]");
    assert!(!told.contains("goes on"), "{told}");
    office.send(&["a"], 1);
    eventually("it waits", PATIENCE, || office.why()["waits_for"] == "host_suspended");
}

#[test]
fn replies_slow_down_suspend_and_are_taken_otherwise() {
    let rules = r#"destinations: (replies: [
        (pattern: "421 *limited*", suspend: "3s"),
        (pattern: "4.7.28", slow_down: "1/1h"),
        (pattern: "5.7.1 *blocked*", becomes: Temporary),
        (pattern: "450 *gone*", becomes: Permanent)])"#;
    let Some(office) = Office::open(rules) else { return };
    let _running = office.instance.start();
    office.first.answer("RCPT TO:<bob@a.", "421 4.3.2 Rate Limited");
    office.first.answer("RCPT TO:<bob@b.", "450 4.7.28 unusual rate");
    office.first.answer("RCPT TO:<bob@c.", "550 5.7.1 you are blocked");
    office.first.answer("RCPT TO:<bob@d.", "450 4.2.0 gone");
    office.send(&["a", "b", "c", "d"], 1);
    let count_of = |action: &str| {
        let name = format!("relais_reply_rules_total{{channel=\"tcp_out\",action=\"{action}\"}}");
        office.instance.metric(&name)
    };
    for action in ["suspend", "slow_down", "temporary", "permanent"] {
        eventually(action, PATIENCE, || count_of(action) > 0.5);
    }
    let list = office.instance.json("host", &["list"])[0].clone();
    let of = |host: &str| {
        let all = list.as_array().into_iter().flatten();
        let found = all.filter(|line| line["host"] == host).map(|line| line["rate"].clone());
        found.collect::<Vec<_>>()
    };
    assert_eq!(of("b.much.test"), ["1/1h"], "{list}");
    assert!(list.to_string().contains("\"by\":\"reply\""), "{list}");
    let hosts = || {
        let queue = office.instance.queue();
        queue.iter().map(|its| its["host"].to_string()).collect::<Vec<_>>()
    };
    eventually("d is returned", PATIENCE, || !hosts().contains(&"\"d.much.test\"".to_owned()));
    assert!(hosts().contains(&"\"c.much.test\"".to_owned()), "c waits: {:?}", hosts());
    office.first.oblige();
    let seen = |host: &str| {
        let handed = office.first.handed();
        handed.iter().any(|(_, to)| to.iter().any(|to| to.contains(host)))
    };
    eventually("c", PATIENCE, || seen("bob@c."));
    eventually("a, after three seconds", PATIENCE, || seen("bob@a."));
    assert!(!seen("bob@b."), "one an hour, and that was the one");
    office.done("host", &["resume", "b.much.test", "--channel", "tcp_out"]);
    eventually("b", PATIENCE, || seen("bob@b."));
    let log = office.instance.log();
    assert!(log.contains("a reply slows the destination down"), "{log}");
}

/// Servers that take connections and say nothing.
fn tarpits(office: &Office, count: u8) -> Vec<TcpListener> {
    let listen = |n| {
        TcpListener::bind(SocketAddr::from(([127, 0, 3, n], office.port))).expect("a free address")
    };
    (1..=count).map(listen).collect()
}

/// One message for each of so many domains `NAME1`, `NAME2` ...
fn send_to_each(office: &Office, name: &str, count: usize) {
    let mut client = Dialogue::open(office.instance.settings.smtp);
    let to: Vec<_> = (1..=count).map(|n| format!("bob@{name}{n}.much.test")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    client.message("ann@sender.test", &to, &message(name, 300)).expect(250);
}

impl Office {
    fn in_hand(&self) -> usize {
        self.instance.queue().iter().filter(|its| its["state"] == "active").count()
    }
}

#[test]
fn servers_that_say_nothing_give_way_to_those_that_answer() {
    let Some(office) = Office::open("") else { return };
    office.first.slow_down(Duration::from_millis(2));
    let _running = office.instance.start();
    let took = |count: usize| {
        let (before, began) = (office.arrived(), Instant::now());
        office.send(&["a"], count);
        eventually("all of it", PATIENCE, || office.arrived() == before + count);
        began.elapsed()
    };
    took(50);
    let alone = took(400);
    // The channel may have forty connections.
    let _tarpits = tarpits(&office, 90);
    send_to_each(&office, "tarpit", 90);
    eventually("all connections are theirs", PATIENCE, || office.in_hand() >= 40);
    let first = took(1);
    assert!(first < Duration::from_secs(15), "it waits {first:?}");
    std::thread::sleep(Duration::from_secs(8));
    let among = took(400);
    println!("alone {alone:?}, the first among silent ones {first:?}, then {among:?}");
    // Without room for it, it would wait for minutes.
    assert!(among < alone * 3 + Duration::from_secs(5), "alone {alone:?}, among them {among:?}");
    let waiting = office.instance.queue();
    assert_eq!(waiting.len(), 90);
    assert!(waiting.iter().all(|entry| entry["attempts"] == 0), "who gives way was not tried");
    assert!(!office.instance.log().contains("\"action\":\"Q\""), "and nothing is said of it");
}

#[test]
fn one_silent_server_behind_many_domains_has_a_tenth_of_the_connections() {
    let Some(office) = Office::open("greeting_time: \"6s\"") else { return };
    let _running = office.instance.start();
    let _silent = tarpits(&office, 1);
    send_to_each(&office, "shared", 100);
    eventually("all connections are its", PATIENCE, || office.in_hand() >= 39);
    // Others begin while it is not known; then it has four of forty.
    eventually("those have timed out", PATIENCE, || office.in_hand() <= 4);
    for _ in 0..20 {
        assert!(office.in_hand() <= 4, "{}", office.in_hand());
        std::thread::sleep(Duration::from_millis(50));
    }
    let queue = office.instance.queue();
    let said = queue.iter().filter_map(|entry| entry["id"].as_str()).take(1).map(|id| {
        String::from_utf8_lossy(&office.instance.relais("queue", &["why", id]).stdout).into_owned()
    });
    let said: String = said.collect();
    assert!(said.contains("[127.0.3.1] is slow to greet: until it does, 4 of"), "{said}");
    let began = Instant::now();
    office.send(&["a"], 1);
    eventually("the other has its mail", PATIENCE, || office.arrived() == 1);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

const PATIENCE: Duration = Duration::from_secs(40);
