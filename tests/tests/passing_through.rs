//! Content passes through as it is, however odd: long lines and long headers; and how long the
//! lines are that we add ourselves.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, mailbox, message};

#[test]
fn lines_up_to_max_line_pass_from_end_to_end() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    // In memory and in a file of its own; at the limit, the CRLF included.
    let lines = [65_537, 300_000, (1 << 20) - 2];
    for (count, line) in lines.into_iter().enumerate() {
        let content =
            [b"Subject: long\r\n\r\n", vec![b'x'; line].as_slice(), b"\r\nend\r\n"].concat();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@sender.test", &["alice@relais.example"], &content).expect(250);
        let stored = || mailbox(&instance.store(), "relais.example", "alice");
        eventually("the message", PATIENCE, || stored().len() == count + 1);
        assert!(stored().iter().any(|stored| stored.ends_with(&content)), "{line} octets");
    }
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
}

#[test]
fn a_longer_line_is_refused_with_the_limit_named() {
    let fields = "max_line: \"100kiB\", downgrade: Bounce";
    let settings = Settings::standalone().channel("tcp_lmtpcs", fields);
    let instance = Instance::new(settings.channel("tcp_lmtpss", "max_line: \"50kiB\""));
    let _running = instance.start();
    let content = |line: usize| [b"\r\n", vec![b'x'; line].as_slice(), b"\r\n"].concat();
    let mut client = Dialogue::open(instance.settings.smtp);
    let refused = client.message("a@b.test", &["alice@relais.example"], &content((1 << 20) - 1));
    refused.expect_start("550 5.6.0").expect(550);
    assert!(refused.text.contains("1048576 octets"), "{}", refused.text);
    // The session goes on. As a client, and as a server of LMTP:
    for (line, limit) in [(102_399, "102400 octets"), (51_199, "51200 octets")] {
        client.message("a@b.test", &["alice@relais.example"], &content(line)).expect(250);
        eventually("a failure", PATIENCE, || instance.log().contains(limit));
    }
    eventually("an empty queue", PATIENCE, || {
        instance.log().matches("\"action\":\"R\"").count() == 2
    });
}

/// Octets and lines that the next hop does not take, from memory and from a file.
#[test]
fn content_that_the_next_hop_does_not_take_is_made_quoted_printable() {
    let (dir, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    sink.keep_contents();
    sink.answer("LHLO", "250-sink\r\n250-PIPELINING\r\n250 SIZE");
    let settings = Settings::standalone().stores(sink.port).channel("stores", "max_line: 1000");
    let spool = "spool: (large_message: \"100kiB\")";
    let instance = Instance::in_data(settings.section(spool), dir.path());
    let _running = instance.start();
    let text = "Grüße = \u{20ac} \r\n.ein Punkt\r\n";
    let long = format!("{}\r\n", "lang ".repeat(500));
    let header = "Subject: x\r\nDKIM-Signature: v=1\r\nMessage-ID: <ID@load.test>\r\n\r\n";
    // name, body, whether it has to change
    let rows = [
        ("plain", "plain\r\n".to_owned(), false),
        ("eight", text.to_owned(), true),
        ("long", long, true),
        ("large", text.repeat(10_000), true),
    ];
    for (name, body, changes) in &rows {
        let content = format!("{}{body}", header.replace("ID@", &format!("{name}@")));
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@b.test", &["u@one.test"], content.as_bytes()).expect(250);
        let mut sent = String::new();
        eventually("it is taken", PATIENCE, || {
            sent = sink.content_of(&format!("{name}@load.test"));
            !sent.is_empty()
        });
        let (header, sent) = sent.split_once("\r\n\r\n").expect("a header");
        let encoding = "Content-Transfer-Encoding: quoted-printable";
        assert_eq!(header.contains(encoding), *changes, "{name}: {header}");
        assert!(sent.is_ascii() && sent.lines().all(|line| line.len() <= 998), "{name}");
        let got = if *changes { unquoted(sent) } else { sent.to_owned() };
        assert!(got == *body, "{name}: {}", &got[..got.len().min(500)]);
        let logged = || instance.log().matches("signatures in it do not hold").count();
        eventually("it is told", PATIENCE, || (logged() > 0) == *changes || name != &"eight");
    }
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let told = instance.log().matches("signatures in it do not hold any more").count();
    assert_eq!(told, 3, "{}", instance.log());
}

fn unquoted(body: &str) -> String {
    let body = body.replace("=\r\n", "");
    let mut pieces = body.split('=');
    let mut text = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        text.push(u8::from_str_radix(digits, 16).expect("two digits"));
        text.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(text).expect("UTF-8")
}

/// A dozen connections, each in the midst of a line of 12 MiB.
#[test]
fn memory_does_not_grow_with_the_line() {
    const CONNECTIONS: usize = 12;
    let sink = Sink::start();
    let settings = Settings::standalone().deliver_to(sink.port);
    let instance = Instance::new(
        settings
            .channel("tcp_local", "max_line: \"16MiB\"")
            .channel("tcp_lmtpcs", "max_line: \"16MiB\""),
    );
    let running = instance.start();
    let port = instance.settings.smtp;
    let begin = move || {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        client.set_read_timeout(Some(PATIENCE)).expect("a limit");
        until(&mut client, "220");
        client.write_all(b"EHLO x\r\n").expect("a command");
        until(&mut client, "250 ");
        client
            .write_all(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@relais.example>\r\nDATA\r\n")
            .expect("commands");
        until(&mut client, "354");
        client
    };
    let grown = |line: usize| {
        let before = running.memory().resident;
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                thread::spawn(move || {
                    let mut client = begin();
                    client.write_all(b"\r\n").expect("no header");
                    for _ in 0..line >> 14 {
                        client.write_all(&[b'x'; 1 << 14]).expect("content");
                    }
                    client
                })
            })
            .collect();
        let clients: Vec<_> = clients.into_iter().map(|one| one.join().expect("sent")).collect();
        let during = running.memory().resident;
        for mut client in clients {
            client.write_all(b"\r\n.\r\n").expect("an end");
            until(&mut client, "250 2.0.0");
        }
        during.saturating_sub(before)
    };
    // The cost of a message that leaves memory for a file; then of one of twelve times the octets.
    let (short, long) = (grown(1 << 20), grown(12 << 20));
    println!("grown by {short} octets with lines of 1 MiB, by {long} with 12 MiB");
    assert!(long < short + (16 << 20), "{short} octets with 1 MiB, {long} with 12 MiB");
    // And as a client: one after the other, all lines out.
    eventually("all delivered", PATIENCE, || sink.total() == 2 * CONNECTIONS);
}

#[test]
fn the_whole_header_is_read_whatever_large_message_says() {
    let sink = Sink::start();
    let settings = Settings::standalone()
        .stores(sink.port)
        .channel("stores", "maxjobs: 1, max_client_threads: 1")
        .channel("tcp_local", "headersizelimit: \"1MiB\", headerfieldlimit: 10000")
        .section("spool: (large_message: \"4kiB\")");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let padding = "X-Padding: 0123456789012345678901234567890123456789\r\n".repeat(8_000);
    let received = "Received: from a by b.test; Sun, 22 Nov 2026 07:00:00 +0000\r\n";
    assert!(instance.relais("channel", &["stop", "stores"]).status.success());
    let send = |name: &str, header: &str| {
        let content = [header.as_bytes(), &message(name, 500)].concat();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@sender.test", &["x@one.test"], &content).expect(250);
    };
    send("normal", &padding);
    send("urgent", &format!("{padding}Priority: urgent\r\n"));
    send("circle", &format!("{padding}{}", received.repeat(60)));
    let mut priorities: Vec<_> =
        instance.queue().iter().map(|e| e["priority"].to_string()).collect();
    priorities.sort_unstable();
    assert_eq!(priorities, [r#""normal""#, r#""normal""#, r#""urgent""#]);
    let held = instance.json("queue", &["list", "--held"]);
    assert_eq!(held.len(), 1, "{held:?}");
    let id = held[0]["id"].as_str().expect("an id");
    let why = instance.relais("queue", &["why", id]);
    let why = String::from_utf8_lossy(&why.stdout);
    assert!(why.contains("60 Received lines"), "{why}");
    assert!(instance.relais("channel", &["start", "stores"]).status.success());
    eventually("the others", PATIENCE, || sink.total() == 2);
    assert_eq!(sink.order(), ["urgent@load.test", "normal@load.test"]);
}

#[test]
fn no_header_line_of_ours_exceeds_998_octets() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    // The longest paths that are taken, and one that is not.
    let path = |octets: usize, domain: &str| {
        let local = "x".repeat(octets - domain.len() - 1);
        format!("{local}@{domain}")
    };
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask(&format!("MAIL FROM:<{}>", path(901, "sender.test"))).expect(501);
    client.ask("RSET").expect(250);
    let hello = "h".repeat(400);
    client.ask(&format!("EHLO {hello}")).expect(250);
    let sender = path(900, "relais.example");
    let content = [b"Message-ID: <", vec![b'i'; 960].as_slice(), b"@x>\r\n\r\nx\r\n"].concat();
    client.message(&sender, &["alice@relais.example"], &content).expect(250);
    // A recipient that is the only one is named in the line.
    let bob = format!("bob+{}@relais.example", "d".repeat(840));
    client.message("a@sender.test", &[&bob], b"\r\nx\r\n").expect(250);
    for user in ["alice", "bob"] {
        let stored = || mailbox(&instance.store(), "relais.example", user);
        eventually("the message", PATIENCE, || stored().len() == 1);
        // The lines above the Message-ID, which is not ours.
        let added = String::from_utf8_lossy(&stored()[0]).into_owned();
        let longest = added.lines().filter(|line| !line.starts_with("Message-ID")).map(str::len);
        assert!(longest.max().is_some_and(|longest| longest <= 998), "{added}");
        assert!(added.starts_with("Return-Path: <"), "{added}");
    }
}

/// A recipient that fails with the longest of names, and words without end.
#[test]
fn no_line_of_a_notice_exceeds_998_octets() {
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone().stores(sink.port));
    let _running = instance.start();
    sink.answer("RCPT", &format!("550 5.1.1 {}", "w".repeat(1_900)));
    let to = format!("{}@one.test", "y".repeat(850));
    let content = format!("Subject: x\r\nMessage-ID: <{}@x>\r\n\r\nx\r\n", "i".repeat(960));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("alice@relais.example", &[&to], content.as_bytes()).expect(250);
    let stored = || mailbox(&instance.store(), "relais.example", "alice");
    eventually("the notice", PATIENCE, || stored().len() == 1);
    let notice = String::from_utf8_lossy(&stored()[0]).into_owned();
    let ours = notice.lines().filter(|line| !line.starts_with("Message-ID: <iii"));
    let longest = ours.max_by_key(|line| line.len()).unwrap_or_default();
    assert!(longest.len() <= 998, "{}: {longest}", longest.len());
}

fn until(client: &mut TcpStream, text: &str) {
    let (mut said, mut piece) = (Vec::new(), [0; 4_096]);
    while !String::from_utf8_lossy(&said).contains(text) {
        let count = client.read(&mut piece).expect("a reply");
        assert!(count > 0, "closed: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..count]);
    }
}

/// For a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);
