//! Connections that a proxy hands on: who may say so, and for whom the client is taken then. And how
//! often one client may be connected.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use relais_tests::{Instance, Settings, eventually};
use socket2::{Domain, Socket, Type};

/// A connection to `port` that comes from `client`.
fn from(client: &str, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let client: SocketAddr = format!("{client}:0").parse().expect("an address");
    socket.bind(&client.into()).expect("a loopback address");
    let server: SocketAddr = format!("127.0.0.1:{port}").parse().expect("an address");
    socket.connect(&server.into()).expect("it listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream
}

fn line(stream: &TcpStream) -> String {
    let mut line = String::new();
    // A line of reply comes in one piece, and nothing behind it: we ask one thing at a time.
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

fn said(mut stream: TcpStream) -> String {
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said);
    said
}

fn instance(fields: &str, at: &str, mappings: &str) -> Instance {
    let settings = Settings::standalone().dispatcher(fields);
    Instance::new(settings.edit(at, &format!("{at} {mappings}")))
}

const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\x7f\0\0\x01\0\x07\0\x19";

/// A whole session behind a header.
#[track_caller]
fn say(mut stream: TcpStream, header: &[u8], hello: &str, to: &str) {
    stream.write_all(header).unwrap();
    assert!(line(&stream).starts_with("220 "), "{header:?}");
    stream.write_all(format!("{hello} client.test\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while lines.next().expect("a reply").expect("a line").starts_with("250-") {}
    for (command, want) in [
        ("MAIL FROM:<a@b.test>", "250"),
        (&*format!("RCPT TO:{to}"), "250"),
        ("DATA", "354"),
        ("Subject: by a proxy\r\n\r\nhello\r\n.", "250"),
    ] {
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let reply = lines.next().expect("a reply").expect("a line");
        assert!(reply.starts_with(want), "{command}: {reply}");
    }
}

#[test]
fn the_client_of_a_listed_proxy_is_the_one_that_it_names() {
    let refused = "(\"TCP|127.0.0.1|25|198.51.100.*|*\", \"$N550 5.7.1 Go away\"),";
    let instance = instance("proxy_protocol: [\"127.0.0.2\"]", "\"PORT_ACCESS\": [", refused);
    let _running = instance.start();
    let port = instance.settings.smtp;
    let headers: [&[u8]; 2] = [b"PROXY TCP4 192.0.2.9 127.0.0.1 7 25\r\n", VERSION_2];
    for header in headers {
        say(from("127.0.0.2", port), header, "EHLO", "<alice@relais.example>");
    }
    eventually("both arrive", Duration::from_secs(20), || {
        relais_tests::mailbox(&instance.store(), "relais.example", "alice").len() == 2
    });
    for message in relais_tests::mailbox(&instance.store(), "relais.example", "alice") {
        let text = String::from_utf8_lossy(&message).into_owned();
        assert!(text.contains("from client.test ([192.0.2.9])"), "{text}");
    }
    // So it is at a store.
    say(from("127.0.0.2", instance.settings.lmtp), headers[0], "LHLO", "<bob>");
    let is_delivery = |line: &&str| line.contains("\"action\":\"D\"") && line.contains("<bob>");
    let log = instance.log();
    let line_of_bob = log.lines().find(is_delivery).unwrap_or_default().to_owned();
    assert!(line_of_bob.contains("[192.0.2.9]"), "{line_of_bob}");
    // PORT_ACCESS is asked about the client and the address that the client connected to.
    let mut stream = from("127.0.0.2", port);
    stream.write_all(b"PROXY TCP4 198.51.100.1 127.0.0.1 7 25\r\n").unwrap();
    assert_eq!(said(stream), "550 5.7.1 Go away\r\n");
    // A proxy that asks whether we are there.
    let mut stream = from("127.0.0.2", port);
    stream.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    assert!(line(&stream).starts_with("220 "));
    eventually("the log names clients and refusals", Duration::from_secs(10), || {
        let log = instance.log();
        log.contains("[192.0.2.9]") && log.contains("198.51.100.1:7")
    });
}

#[test]
fn a_header_is_taken_from_listed_networks_alone_and_there_it_must_be() {
    let instance = instance("proxy_protocol: [\"127.0.0.2\"]", "mappings: {", "");
    let _running = instance.start();
    let port = instance.settings.smtp;
    let no_headers: [&[u8]; 3] = [
        b"EHLO client.test\r\n",
        b"PROXY TCP4 192.0.2.9 127.0.0.1 7\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ];
    for octets in no_headers {
        let mut stream = from("127.0.0.2", port);
        stream.write_all(octets).unwrap();
        assert_eq!(said(stream), "", "{octets:?}");
    }
    let told = || instance.log().matches("closed: no header of the PROXY protocol").count();
    eventually("the log says why", Duration::from_secs(10), || told() == 3);
    for header in [b"PROXY TCP4 192.0.2.9 127.0.0.1 7 25\r\n", VERSION_2] {
        let begun = Instant::now();
        let mut stream = from("127.0.0.3", port);
        assert!(line(&stream).starts_with("220 "));
        stream.write_all(header).unwrap();
        let reply = said(stream);
        assert!(reply.starts_with('5'), "{header:?}: {reply}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{header:?}: it is closed");
    }
    // Words of the client before the greeting are too early, as ever.
    let mut stream = from("127.0.0.2", port);
    stream.write_all(b"PROXY TCP4 192.0.2.9 127.0.0.1 7 25\r\nEHLO x\r\n").unwrap();
    let all = said(stream);
    assert!(all.lines().nth(1).is_some_and(|line| line.starts_with("554 5.5.0")), "{all}");
}

#[test]
fn a_client_and_its_network_are_connected_so_often_and_no_more() {
    let fields = "client_conns: 2, prefix_conns: 3, unlimited_clients: [\"127.1.0.0/16\"], \
                  proxy_protocol: [\"127.2.0.1\"]";
    let instance = instance(fields, "mappings: {", "\"INTERNAL_IP\": [(\"127.3.0.1\", \"$Y\")],");
    let _running = instance.start();
    let port = instance.settings.smtp;
    let greeted = |client: &str| {
        let stream = from(client, port);
        let line = line(&stream);
        (line.starts_with("220 "), line, stream)
    };
    let held: Vec<_> = (0..2).map(|_| greeted("127.0.0.5")).collect();
    assert!(held.iter().all(|(is_greeted, ..)| *is_greeted));
    assert_eq!(
        greeted("127.0.0.5").1,
        "421 4.7.0 too many connections from you, try again later\r\n"
    );
    let neighbour = greeted("127.0.0.6");
    assert!(neighbour.0);
    assert!(!greeted("127.0.0.7").0, "its network is full");
    for client in ["127.1.0.1", "127.3.0.1"] {
        let many: Vec<_> = (0..5).map(|_| greeted(client)).collect();
        assert!(many.iter().all(|(is_greeted, ..)| *is_greeted), "{client} has no limit");
    }
    // The client is counted that the proxy names.
    let behind_proxy = |client: &str| {
        let mut stream = from("127.2.0.1", port);
        stream.write_all(format!("PROXY TCP4 {client} 127.0.0.1 7 25\r\n").as_bytes()).unwrap();
        (line(&stream), stream)
    };
    assert!(behind_proxy("127.0.0.5").0.starts_with("421 4.7.0"));
    assert!(behind_proxy("192.0.2.1").0.starts_with("220 "));
    drop(held);
    eventually("there is room again", Duration::from_secs(10), || greeted("127.0.0.5").0);
    let limited = "relais_dispatcher_connections_total{service=\"SMTP\",result=\"limited\"}";
    assert!(instance.metric(limited) >= 3.0);
}

/// One who speaks line by line, from a client's address.
struct Client {
    stream: TcpStream,
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Client {
    fn greeted(client: &str, port: u16) -> Self {
        let stream = from(client, port);
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut client = Self { stream, lines };
        assert!(client.reply().starts_with("220 "));
        client
    }

    /// All lines of a reply; nothing when the connection is closed.
    fn reply(&mut self) -> String {
        let mut said = String::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            said += &line;
            if is_last {
                break;
            }
            said.push('\n');
        }
        said
    }

    fn ask(&mut self, command: &str) -> String {
        let _ = self.stream.write_all(format!("{command}\r\n").as_bytes());
        self.reply()
    }
}

#[test]
fn a_listed_client_speaks_for_others_before_it_sends_mail() {
    let refused = "(\"TCP|*|*|198.51.100.*|*\", \"$N550 5.7.1 Go away\"), (\"TCP|*\", \"$Y\"),";
    let instance = instance("xclient: [\"127.0.0.2\"]", "\"PORT_ACCESS\": [", refused);
    let _running = instance.start();
    for port in [instance.settings.smtp, instance.settings.lmtp] {
        let hello = if port == instance.settings.smtp { "EHLO" } else { "LHLO" };
        let mut proxy = Client::greeted("127.0.0.2", port);
        let offered = proxy.ask(&format!("{hello} proxy.test"));
        let want = "250-XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\n";
        assert!(offered.contains(want), "{offered}");
        assert!(proxy.ask("XCLIENT ADDR=192.0.2.9 HELO=a+0Ab").starts_with("501 "));
        assert!(proxy.ask("XCLIENT ADDR=192.0.2.9 PORT=7 NAME=client.test").starts_with("220 "));
        assert!(proxy.ask(&format!("{hello} client.test")).starts_with("250"));
        for (command, want) in [
            ("MAIL FROM:<a@b.test>", "250"),
            ("XCLIENT ADDR=192.0.2.10", "503"),
            ("RCPT TO:<alice@relais.example>", "250"),
            ("DATA", "354"),
            ("Subject: for another\r\n\r\nhello\r\n.", "250"),
            ("XCLIENT ADDR=192.0.2.10", "503"),
        ] {
            let reply = proxy.ask(command);
            assert!(reply.starts_with(want), "{hello}, {command}: {reply}");
        }
        let mut stranger = Client::greeted("127.0.0.3", port);
        stranger.ask(&format!("{hello} x"));
        assert!(stranger.ask("XCLIENT ADDR=127.0.0.1").starts_with("550 5.7.1"));
        assert_eq!(stranger.reply(), "", "it is closed");
        let mut proxy = Client::greeted("127.0.0.2", port);
        proxy.ask(&format!("{hello} proxy.test"));
        assert_eq!(proxy.ask("XCLIENT ADDR=198.51.100.7"), "550 5.7.1 Go away");
        assert_eq!(proxy.reply(), "", "PORT_ACCESS refuses that client");
    }
    eventually("the log has the clients", Duration::from_secs(10), || {
        let log = instance.log();
        log.contains("client.test [192.0.2.9]")
            && log.contains("not to speak for that client")
            && log.contains("\"peer\":\"198.51.100.7:")
    });
    let stored = relais_tests::mailbox(&instance.store(), "relais.example", "alice");
    let is_named = |message: &Vec<u8>| {
        String::from_utf8_lossy(message).contains("from client.test ([192.0.2.9])")
    };
    assert!(stored.iter().any(is_named), "{} stored", stored.len());
}

/// The hour of one client is none of another's, and none of those that no limit holds for.
#[test]
fn a_client_sends_so_much_in_an_hour_and_more_is_refused_or_held() {
    let fields = "client_messages_per_hour: 3, client_recipients_per_hour: 5";
    for (beyond, want) in [("Refuse", "450 4.7.1"), ("Hold", "250")] {
        let settings = Settings::standalone()
            .channel("tcp_local", &format!("{fields}, beyond_rates: {beyond}"))
            .dispatcher("unlimited_clients: [\"127.1.0.0/16\"]");
        let instance = Instance::new(settings);
        let _running = instance.start();
        let port = instance.settings.smtp;
        let send = |client: &str, recipients: usize| {
            let mut client = Client::greeted(client, port);
            client.ask("EHLO client.test");
            let mut replies = vec![client.ask("MAIL FROM:<a@b.test>")];
            let user = |i| ["alice", "bob"][i % 2];
            replies.extend(
                (0..recipients)
                    .map(|i| client.ask(&format!("RCPT TO:<{}@relais.example>", user(i)))),
            );
            replies.push(client.ask("DATA"));
            replies.push(client.ask("Subject: one of many\r\n\r\nhello\r\n."));
            replies.into_iter().find(|reply| !reply.starts_with(['2', '3'])).unwrap_or("250".into())
        };
        for _ in 0..3 {
            assert_eq!(send("127.0.0.5", 1), "250");
            assert_eq!(send("127.1.0.5", 1), "250");
        }
        let fourth = send("127.0.0.5", 1);
        assert!(fourth.starts_with(want), "{beyond}: {fourth}");
        assert_eq!(send("127.1.0.5", 1), "250", "no limit holds for this one");
        assert_eq!(send("127.0.0.6", 5), "250", "another client");
        let sixth = send("127.0.0.6", 1);
        assert!(sixth.starts_with(want), "{beyond}, recipients: {sixth}");
        if beyond == "Refuse" {
            assert!(instance.log().contains("450 4.7.1"), "{}", instance.log());
            continue;
        }
        let queue = instance.queue();
        let held = queue.iter().find(|entry| entry["state"] == "held").expect("it is held");
        let why = instance.relais("queue", &["why", held["id"].as_str().expect("an id")]);
        let why = String::from_utf8_lossy(&why.stdout).into_owned();
        assert!(why.contains("an hour"), "{why}");
    }
}
