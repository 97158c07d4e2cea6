//! Where SMTP goes: MX and address records of real name servers, lists that lead back to us or to
//! nowhere, servers that do not answer, and name servers with faults.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Instance, Load, NameServer, OddAnswer, OddNames, Resolver, Settings, Sink,
    eventually, free_port, message, needs, needs_root,
};
use serde_json::Value;

/// Mail for whatever ends in `.where.test` leaves by the channel `tcp_out` to the hosts that these name
/// servers tell of, on the port of our own service.
fn asking(servers: &[u16], fields: &str) -> Settings {
    let servers: Vec<_> = servers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    by_dns(&format!("nameservers: {servers:?}, private_addresses: true, {fields}"))
}

fn by_dns(fields: &str) -> Settings {
    let settings = Settings::standalone();
    let port = settings.smtp;
    settings.by_mx(&["where.test"], port, &format!("backoff: [\"1h\"], {fields}"))
}

fn send(instance: &Instance, to: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    let sent = client.message("ann@sender.test", &[&format!("bob@{to}")], &message(to, 300));
    sent.expect(250);
}

/// The lines of attempts of the channel `tcp_out`: the destination, and `D`, `Q` or `R` with the reply.
fn attempts(instance: &Instance) -> Vec<(String, String)> {
    let log = instance.log();
    let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let tried = all.filter(|line| {
        let action = line["action"].as_str().unwrap_or_default();
        line["channel"] == "tcp_out" && ["D", "Q", "R"].contains(&action)
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = |line: Value| {
        let came_to = format!("{} {}", text(&line["action"]), text(&line["reply"]));
        (text(&line["host"]), came_to)
    };
    tried.map(told).collect()
}

fn came_to(instance: &Instance, host: &str) -> String {
    let mut found = None;
    eventually(&format!("{host} is tried"), PATIENCE, || {
        found = attempts(instance).into_iter().find(|(its, _)| its == host);
        found.is_some()
    });
    found.map(|(_, came_to)| came_to).unwrap_or_default()
}

fn sink(last: u8, port: u16) -> Sink {
    Sink::at(SocketAddr::from(([127, 0, 0, last], port)))
}

/// A socket that takes no more connections: who calls it waits, as if nobody were there.
fn full(last: u8, port: u16) -> (TcpListener, Vec<TcpStream>) {
    let address = SocketAddr::from(([127, 0, 0, last], port));
    let listener = TcpListener::bind(address).expect("a free port");
    rustix::net::listen(&listener, 0).expect("a shorter queue");
    let limit = Duration::from_millis(200);
    let call = || TcpStream::connect_timeout(&address, limit).ok();
    (listener, std::iter::from_fn(call).collect())
}

const ZONE: &str = "\
a A 127.0.0.2\n\
b A 127.0.0.3\n\
c A 127.0.0.4\n\
us A 127.0.0.1\n\
dead A 127.0.0.9\n\
closed A 127.0.0.8\n\
pref MX 20 b\n\
pref MX 10 a\n\
equal MX 10 a\n\
equal MX 10 b\n\
plain A 127.0.0.2\n\
both AAAA ::1\n\
both A 127.0.0.2\n\
lame MX 10 closed\n\
lame MX 20 b\n\
null MX 0 .\n\
text TXT \"nobody\"\n\
nowhere MX 10 gone\n\
number MX 10 127.0.0.2.\n\
numbers MX 10 127.0.0.3.\n\
numbers MX 20 a\n\
own MX 10 localhost.\n\
self MX 10 us\n\
self MX 20 a\n\
behind MX 10 closed\n\
behind MX 20 us\n\
behind MX 20 b\n\
behind MX 30 a\n\
lost MX 10 gone\n\
lost MX 20 us\n\
alias CNAME pref\n\
mxalias MX 10 other\n\
other CNAME a\n\
round CNAME trip\n\
trip CNAME round\n\
mxround MX 10 round\n\
far MX 10 away.lost.test.\n\
nearby MX 10 away.lost.test.\n\
nearby MX 20 a\n\
dangling CNAME gone\n\
*.wild MX 10 A.Where.Test.\n\
odd MX 10 mx_1\n\
mx_1 A 127.0.0.3\n\
moved DNAME new\n\
x.new MX 10 a\n\
spaced MX 10 bad\\032host\n\
spaced MX 20 a\n\
onlysix MX 10 six\n\
six AAAA ::1\n\
many MX 10 a\n";

/// The zone, with a domain of more mail exchangers than a datagram holds.
fn zone() -> String {
    let more = (0..300).map(|n| format!("many MX {} host-with-a-long-name-{n}\n", 20 + n));
    format!("{ZONE}{}", more.collect::<String>())
}

/// Destination, and how what it came to begins and goes on.
const ROWS: &[(&str, &str, &str)] = &[
    ("pref", "D 250", ""),
    ("plain", "D 250", ""),
    ("both", "D 250", ""),
    ("lame", "D 250", ""),
    ("numbers", "D 250", ""),
    ("alias", "D 250", ""),
    ("mxalias", "D 250", ""),
    ("many", "D 250", ""),
    ("nearby", "D 250", ""),
    ("any.wild", "D 250", ""),
    ("x.moved", "D 250", ""),
    ("spaced", "D 250", ""),
    ("odd", "D 250", ""),
    ("onlysix", "Q 451 4.4.1", "connect to six.where.test[::1]"),
    ("dangling", "R 550 5.1.2", "no such name"),
    ("null", "R 556 5.1.10", "takes no mail"),
    ("gone", "R 550 5.1.2", "no such name"),
    ("text", "R 550 5.4.4", "no such records"),
    ("nowhere", "R 550 5.4.4", "none of its mail servers has an address"),
    ("number", "R 550 5.4.4", "none of its mail servers has an address"),
    ("own", "R 554 5.4.6", "loops back to myself"),
    ("self", "R 554 5.4.6", "loops back to myself"),
    ("behind", "Q 451 4.4.1", "connect to closed.where.test[127.0.0.8]"),
    ("lost", "Q 451 4.4.4", "no mail server that is better than myself"),
    ("round", "Q 451 4.4.3", ""),
    ("mxround", "Q 451 4.4.3", "round.where.test"),
    ("far", "Q 451 4.4.3", "away.lost.test"),
];

#[test]
fn mail_goes_where_a_resolver_says_and_comes_back_where_nobody_is() {
    if !needs(&[NameServer::PROGRAM, Resolver::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", &zone())]);
    let resolver = Resolver::start("where.test", &server, ("lost.test", free_port()));
    let instance = Instance::new(asking(&[resolver.port], ""));
    let port = instance.settings.smtp;
    let (a, b, c) = (sink(2, port), sink(3, port), sink(4, port));
    let _running = instance.start();
    for (host, ..) in ROWS {
        send(&instance, &format!("{host}.where.test"));
    }
    for (host, begins, holds) in ROWS {
        let got = came_to(&instance, &format!("{host}.where.test"));
        assert!(got.starts_with(begins) && got.contains(holds), "{host}: {got}");
    }
    // The best of them has what is for both; those behind us have nothing.
    assert!(b.seen().contains_key("lame.where.test@load.test"), "{:?}", b.seen());
    let at_best = ["pref", "plain", "numbers", "alias", "mxalias", "many", "nearby", "any.wild"];
    for host in at_best.into_iter().chain(["x.moved", "spaced"]) {
        let id = format!("{host}.where.test@load.test");
        assert!(a.seen().contains_key(&id), "{host}: {:?}", a.seen());
    }
    assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (11, 2, 0));
    for line in instance.log().lines().filter(|line| line.contains("\"timings\"")) {
        for (failed, stage) in [("look up ", " dns="), ("connect to ", " connect=")] {
            assert!(!line.contains(failed) || line.contains(stage), "{line}");
        }
    }
    let deferred = ROWS.iter().filter(|(_, begins, _)| begins.starts_with('Q')).count();
    assert_eq!(instance.queue().len(), deferred, "all others are done");
}

#[test]
fn name_servers_that_say_nothing_hold_up_no_other_look_up() {
    if !needs(&[NameServer::PROGRAM, Resolver::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", "good MX 10 mx\nmx A 127.0.0.2\n")]);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let silent_port = silent.local_addr().expect("it is bound").port();
    let resolver = Resolver::start("where.test", &server, ("silent.where.test", silent_port));
    let fields = "maxjobs: 10, max_client_threads: 60, threaddepth: 1";
    let instance = Instance::new(asking(&[resolver.port], fields));
    let a = sink(2, instance.settings.smtp);
    let _running = instance.start();
    for part in 0..4 {
        let mut client = Dialogue::open(instance.settings.smtp);
        let to: Vec<_> = (0..100).map(|n| format!("bob@d{part}-{n}.silent.where.test")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        client.message("ann@sender.test", &to, &message("silent", 300)).expect(250);
    }
    let began = Instant::now();
    send(&instance, "good.where.test");
    eventually("the other", Duration::from_secs(20), || a.total() == 1);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // A look-up that failed is told with the time that it took.
    eventually("one of them", Duration::from_secs(20), || {
        let log = instance.log();
        let failed =
            log.lines().find(|line| line.contains("look up d") && line.contains("timings"));
        failed.is_some_and(|line| line.contains(" dns="))
    });
}

#[test]
fn an_authoritative_server_may_be_asked_as_well() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", &zone())]);
    let instance = Instance::new(asking(&[server.port], ""));
    let port = instance.settings.smtp;
    let (_a, _b) = (sink(2, port), sink(3, port));
    let _running = instance.start();
    for (host, ..) in ROWS {
        send(&instance, &format!("{host}.where.test"));
    }
    for (host, begins, holds) in ROWS {
        let got = came_to(&instance, &format!("{host}.where.test"));
        assert!(got.starts_with(begins) && got.contains(holds), "{host}: {got}");
    }
}

#[test]
fn equals_share_the_mail() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", ZONE)]);
    let instance = Instance::new(asking(&[server.port], "connection_messages: 1"));
    let port = instance.settings.smtp;
    let (a, b) = (sink(2, port), sink(3, port));
    let _running = instance.start();
    Load::new(port, "bob@equal.where.test", 300).run(4, 200);
    eventually("all is delivered", PATIENCE, || a.total() + b.total() == 200);
    assert!(a.total() >= 60 && b.total() >= 60, "{} {}", a.total(), b.total());
}

#[test]
fn private_addresses_of_strangers_are_left_alone_unless_the_channel_allows_them() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", ZONE)]);
    let own = format!("nameservers: [\"127.0.0.1:{}\"]", server.port);
    let guarded = format!("{own}, private_addresses: false");
    let instance = Instance::new(by_dns(&guarded));
    let a = sink(2, instance.settings.smtp);
    let _running = instance.start();
    for host in ["pref", "plain"] {
        send(&instance, &format!("{host}.where.test"));
        let got = came_to(&instance, &format!("{host}.where.test"));
        assert!(got.starts_with("R 550 5.4.4"), "{got}");
        assert!(got.contains("[127.0.0.2], a loopback address"), "{got}");
    }
    assert_eq!(a.connections(), 0);
    drop(instance);
    // A host of the configuration is meant.
    let instance = Instance::new(by_dns(&format!("{own}, daemon: \"pref.where.test\"")));
    let a = sink(2, instance.settings.smtp);
    let _running = instance.start();
    send(&instance, "plain.where.test");
    eventually("it is delivered", PATIENCE, || a.total() == 1);
}

#[test]
fn hosts_of_the_configuration_that_are_nowhere_keep_mail_waiting() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", ZONE)]);
    for (daemon, want) in [
        ("gone.where.test", "Q 451 4.4.4"),
        ("null.where.test", "Q 451 4.4.4"),
        ("self.where.test", "Q 451 4.4.6"),
    ] {
        let instance = Instance::new(asking(&[server.port], &format!("daemon: \"{daemon}\"")));
        let _running = instance.start();
        send(&instance, "plain.where.test");
        eventually("it is tried", PATIENCE, || !attempts(&instance).is_empty());
        let got = attempts(&instance).remove(0).1;
        assert!(got.starts_with(want) && got.contains(daemon), "{got}");
    }
}

#[test]
fn the_last_resort_takes_what_no_other_server_takes() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", ZONE)]);
    let fields = "interface_address: [\"127.0.0.7\"], lastresort: \"c.where.test\"";
    let instance = Instance::new(asking(&[server.port], fields));
    let port = instance.settings.smtp;
    let (a, c) = (sink(2, port), sink(4, port));
    let _running = instance.start();
    for host in ["plain", "closed", "behind", "gone", "null"] {
        send(&instance, &format!("{host}.where.test"));
    }
    eventually("three are delivered", PATIENCE, || a.total() + c.total() == 3);
    assert!(a.seen().contains_key("plain.where.test@load.test"));
    assert_eq!(c.total(), 2, "{:?}", c.seen());
    // Mail for a place that is nowhere comes back all the same.
    for host in ["gone", "null"] {
        let got = came_to(&instance, &format!("{host}.where.test"));
        assert!(got.starts_with('R'), "{got}");
    }
    let at = "interface_address 127.0.0.7";
    assert!(!instance.log().contains(at), "it is an address of this machine");
}

#[test]
fn mail_that_is_too_large_comes_back_when_every_server_has_said_so() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", ZONE)]);
    let instance = Instance::new(asking(&[server.port], "lastresort: \"c.where.test\""));
    let port = instance.settings.smtp;
    let sinks = [2, 3, 4].map(|last| sink(last, port));
    let [_, second, last] = &sinks;
    for small in &sinks {
        small.answer("EHLO", "250-sink\r\n250 SIZE 100");
    }
    let _running = instance.start();
    let ends = |host: &str, want: &str| {
        send(&instance, &format!("{host}.where.test"));
        let came = came_to(&instance, &format!("{host}.where.test"));
        assert!(came.starts_with(want), "{host}: {came}");
    };
    // One of its servers is away.
    ends("lame", "Q 451 4.3.4");
    ends("pref", "R 552 5.3.4");
    second.oblige();
    ends("alias", "D 250");
    assert_eq!(second.total(), 1);
    last.oblige();
    ends("plain", "D 250");
    assert_eq!(last.total(), 1);
}

#[test]
fn without_dns_the_file_of_hosts_alone_is_asked() {
    if !needs_root() {
        return;
    }
    let instance = Instance::new(by_dns("").edit("mx: Mx,", "mx: NoDns,"))
        .with_hosts("127.0.0.2 plain.where.test x\n");
    let a = sink(2, instance.settings.smtp);
    let _running = instance.start();
    send(&instance, "plain.where.test");
    eventually("it is delivered", PATIENCE, || a.total() == 1);
    send(&instance, "gone.where.test");
    let got = came_to(&instance, "gone.where.test");
    assert!(got.starts_with("Q 451 4.4.4") && got.contains("file of hosts"), "{got}");
    // A host is added while it runs.
    let hosts = instance.path("hosts");
    std::fs::write(hosts, "127.0.0.2 plain.where.test late.where.test\n").expect("a hosts file");
    std::thread::sleep(Duration::from_millis(1_200));
    send(&instance, "late.where.test");
    eventually("it is delivered, too", PATIENCE, || a.total() == 2);
}

#[test]
fn an_operator_sees_where_mail_would_go_and_what_is_in_the_way() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(&[("where.test", ZONE)]);
    let own = format!("nameservers: [\"127.0.0.1:{}\"]", server.port);
    let fields = "lastresort: \"c.where.test\", interface_address: [\"192.0.2.1\"]";
    let allowed = format!("{own}, private_addresses: true, {fields}");
    let instance = Instance::new(by_dns(&allowed));
    let port = instance.settings.smtp;
    let asked = |instance: &Instance, domain: &str| {
        let address = format!("bob@{domain}.where.test");
        let ask = [&address, "--dns", "--client", "127.0.0.1"];
        let shown = instance.relais("route", &ask);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        (instance.json("route", &ask).remove(0)["results"][0]["dns"].take(), shown)
    };
    let (dns, shown) = asked(&instance, "pref");
    let want = serde_json::json!([
        {"name": "pref.where.test", "mx": true, "servers": [
            {"host": "a.where.test", "address": format!("127.0.0.2:{port}"), "preference": 10},
            {"host": "b.where.test", "address": format!("127.0.0.3:{port}"), "preference": 20},
        ]},
        {"name": "c.where.test", "mx": false, "servers": [
            {"host": "c.where.test", "address": format!("127.0.0.4:{port}")},
        ]},
    ]);
    assert_eq!(dns, want);
    assert!(shown.contains("pref.where.test by MX records, in the order of attempts"), "{shown}");
    let (dns, shown) = asked(&instance, "null");
    assert!(dns[0]["reply"].as_str().unwrap().starts_with("556 5.1.10"), "{dns}");
    assert!(shown.contains("null.where.test has no server: 556 5.1.10"), "{shown}");
    let (dns, shown) = asked(&instance, "behind");
    let left_out = dns[0]["left_out"].as_array().unwrap().iter();
    let mut who: Vec<_> = left_out.map(|its| its["who"].as_str().unwrap()).collect();
    who.sort_unstable();
    assert_eq!(who, ["a.where.test", "b.where.test", "us.where.test"], "{dns}");
    assert!(shown.contains("this machine is in the list"), "{shown}");
    // Without being asked nobody asks name servers.
    let plain = instance.json("route", &["bob@pref.where.test", "--client", "127.0.0.1"]);
    assert_eq!(plain[0]["results"][0]["dns"], Value::Null);
    let checked = instance.relais("check", &[]);
    let checked = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.contains("192.0.2.1 is no address of this machine"), "{checked}");
    assert!(
        checked.contains("interface_address: [\"192.0.2.1\"]"),
        "its place is shown: {checked}"
    );
    let _running = instance.start();
    let a = sink(2, port);
    send(&instance, "plain.where.test");
    let got = came_to(&instance, "plain.where.test");
    assert!(got.starts_with("Q 451 4.4.1") && got.contains("interface_address 192.0.2.1"), "{got}");
    assert_eq!(a.connections(), 0);
}

/// RFC 1035 section 3.2.2 and RFC 3596.
const A: u16 = 1;
const MX: u16 = 15;
const AAAA: u16 = 28;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

#[test]
fn faults_that_pass_keep_mail_waiting_and_never_read_as_nobody() {
    let names = OddNames::start(|name, kind| match (name.split('.').next().unwrap_or(""), kind) {
        // The address records of one family fail for a moment, and there are none of the other; address
        // records never stand in for MX records that nobody could tell.
        ("a", A) | ("six" | "half", AAAA) | ("mx", MX) => OddAnswer::Code(SERVFAIL),
        ("refused", A | AAAA) => OddAnswer::Code(REFUSED),
        // Servers deny a name where it has no address of one family.
        ("denied", AAAA) => OddAnswer::Code(NXDOMAIN),
        ("mx" | "denied" | "half", A) => OddAnswer::Address([127, 0, 0, 2]),
        ("silent", _) => OddAnswer::Silence,
        _ => OddAnswer::Code(0),
    });
    let instance = Instance::new(asking(&[names.port], ""));
    let a = sink(2, instance.settings.smtp);
    let _running = instance.start();
    let rows = [
        ("a", "Q 451 4.4.3"),
        ("six", "Q 451 4.4.3"),
        ("refused", "Q 451 4.4.3"),
        ("mx", "Q 451 4.4.3"),
        ("denied", "D 250"),
        ("half", "D 250"),
        ("none", "R 550 5.4.4"),
        ("silent", "Q 451 4.4.3"),
    ];
    let begun = Instant::now();
    for (host, _) in rows {
        send(&instance, &format!("{host}.where.test"));
    }
    for (host, want) in rows {
        let got = came_to(&instance, &format!("{host}.where.test"));
        assert!(got.starts_with(want), "{host}: {got}");
    }
    // A server that says nothing: 15 s by the library's own limits.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(a.total(), 2);
}

#[test]
fn a_name_server_that_is_dead_costs_nothing_beside_a_living_one() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let silent = OddNames::start(|_, _| OddAnswer::Silence);
    let server = NameServer::start(&[("where.test", ZONE)]);
    let instance = Instance::new(asking(&[silent.port, server.port], ""));
    let a = sink(2, instance.settings.smtp);
    let _running = instance.start();
    let begun = Instant::now();
    for host in ["plain", "pref", "mxalias"] {
        send(&instance, &format!("{host}.where.test"));
    }
    eventually("all are delivered", PATIENCE, || a.total() == 3);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!silent.asked().is_empty(), "it was asked");
}

#[test]
fn names_are_asked_for_as_they_are_whatever_is_searched() {
    if !needs_root() {
        return;
    }
    // Port 53 of an address of ours, as the system's file has no ports.
    let Ok(_free) = std::net::UdpSocket::bind("127.0.0.53:53").map(drop) else { return };
    let names = OddNames::at("127.0.0.53:53", |name, kind| match (name, kind) {
        // Somebody's catch-all, where mail would go astray.
        (name, A) if name.ends_with(".office.test") => OddAnswer::Address([127, 0, 0, 2]),
        ("fails.where.test", _) => OddAnswer::Code(SERVFAIL),
        _ => OddAnswer::Code(0),
    });
    let resolv = "nameserver 127.0.0.53\nsearch office.test\noptions ndots:5\n";
    let instance = Instance::new(by_dns("private_addresses: true")).with_name_servers(resolv);
    let a = sink(2, instance.settings.smtp);
    let _running = instance.start();
    for (host, want) in [("fails", "Q 451 4.4.3"), ("none", "R 550 5.4.4")] {
        send(&instance, &format!("{host}.where.test"));
        let got = came_to(&instance, &format!("{host}.where.test"));
        assert!(got.starts_with(want), "{got}");
    }
    assert_eq!(a.connections(), 0);
    let asked = names.asked();
    assert!(!asked.is_empty() && asked.iter().all(|(name, _)| name.ends_with(".where.test")));
}

/// Messages a second to a domain, its connections renewed all the time.
fn rate(instance: &Instance, domain: &str, total: impl Fn() -> usize) -> f64 {
    let (begun, before) = (Instant::now(), total());
    Load::new(instance.settings.smtp, &format!("bob@{domain}"), 300).run(4, MESSAGES);
    eventually("all is delivered", PATIENCE, || total() - before == MESSAGES);
    MESSAGES as f64 / begun.elapsed().as_secs_f64()
}

#[test]
fn one_dead_server_of_two_costs_no_more_than_its_share() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let records = "both MX 10 a\nboth MX 10 b\nequal MX 10 a\nequal MX 10 dead\n\
                   best MX 10 dead\nbest MX 20 a\na A 127.0.0.2\nb A 127.0.0.3\ndead A 127.0.0.9\n";
    let server = NameServer::start(&[("where.test", records)]);
    let instance = Instance::new(asking(&[server.port], "connection_messages: 20"));
    let port = instance.settings.smtp;
    let (a, b, _dead) = (sink(2, port), sink(3, port), full(9, port));
    let _running = instance.start();
    let total = || a.total() + b.total();
    // The first connections find out.
    for domain in ["equal", "best"] {
        send(&instance, &format!("{domain}.where.test"));
        came_to(&instance, &format!("{domain}.where.test"));
    }
    let mut rates: BTreeMap<&str, f64> = BTreeMap::new();
    for domain in ["both", "equal", "best", "both", "equal", "best"] {
        let rate = rate(&instance, &format!("{domain}.where.test"), total);
        let best = rates.entry(domain).or_default();
        *best = best.max(rate);
    }
    println!("messages a second: {rates:?}");
    // The machine is shared: the aim is nine tenths.
    let least = rates["both"] * 0.7;
    assert!(rates["equal"] > least && rates["best"] > least, "{rates:?}");
    assert_eq!(attempts(&instance).iter().filter(|(_, it)| !it.starts_with('D')).count(), 0);
}

const MESSAGES: usize = 3_000;
const PATIENCE: Duration = Duration::from_secs(60);
