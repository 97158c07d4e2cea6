//! Peers, disks and files at their worst: the right reply or a clear error, bounded memory, and
//! nothing lost that was accepted.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Instance, Load, Reply, Settings, Sink, SmallDisk, eventually, mailbox, message,
    needs, needs_root,
};

#[test]
fn garbage_gets_the_right_reply() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let long = "x".repeat(3000);
    let rows: [(&str, &[u8], &str); 13] = [
        ("an unknown verb", b"FLY ME\r\n", "500 5.5"),
        ("nothing", b"\r\n", "500 5.5"),
        ("a line that is too long", long.as_bytes(), "500 5.5"),
        ("a verb of LMTP", b"LHLO x\r\n", "500 5.5"),
        ("RCPT without MAIL", b"RCPT TO:<alice@relais.example>\r\n", "503 5.5.1"),
        ("DATA without MAIL", b"DATA\r\n", "503 5.5.1"),
        ("MAIL without a path", b"MAIL FROM:\r\n", "501 5."),
        ("MAIL with an open bracket", b"MAIL FROM:<a@b\r\n", "501 5."),
        ("MAIL with a strange parameter", b"MAIL FROM:<a@b.test> WARP=9\r\n", "555 5.5.4"),
        ("MAIL with a SIZE that is none", b"MAIL FROM:<a@b.test> SIZE=big\r\n", "501 5.5.4"),
        ("a message that is too big", b"MAIL FROM:<a@b.test> SIZE=99999999999\r\n", "552 5.3.4"),
        ("a bare CR", b"NOOP\rRSET\r\n", "5"),
        ("a bare LF", b"NOOP\nRSET\r\n", "5"),
    ];
    for (name, line, start) in rows {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.send(line).unwrap();
        if !line.ends_with(b"\r\n") {
            client.send(b"\r\n").unwrap();
        }
        let reply = client.reply().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(reply.text.starts_with(start), "{name}: {}", reply.text);
        assert!(reply.text.is_ascii(), "{name}: {:?}", reply.text);
        // The session goes on. What stood behind a bare LF may have been refused by itself.
        let mut next = client.ask("NOOP");
        if name == "a bare LF" && next.code >= 500 {
            next = client.reply().unwrap();
        }
        assert_eq!(next.code, 250, "{name}");
    }
    // A client that speaks no text speaks another protocol.
    let mut client = Dialogue::open(instance.settings.smtp);
    client.send(b"\xff\xfe\x00\x01\r\n").unwrap();
    client.reply().unwrap().expect_start("500 5.5.1");
    assert!(client.is_closed());
}

#[test]
fn a_client_that_only_errs_is_sent_away() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let replies: Vec<Reply> = (0..100).map_while(|_| client.try_ask("FLY").ok()).collect();
    let last = replies.last().expect("a reply");
    last.expect(421);
    assert!((10..=30).contains(&replies.len()), "sent away after {} errors", replies.len());
    assert!(client.is_closed());
    works(&instance);
}

#[test]
fn relaying_is_refused_and_so_is_a_name_that_nobody_has() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let rows = [
        ("somebody else's domain", "x@elsewhere.test", "550 5."),
        ("the percent hack", "x%elsewhere.test@relais.example", "550 5."),
        ("a source route", "@relais.example:x@elsewhere.test", "550 5."),
        ("a source route over others", "@elsewhere.test:alice@relais.example", "550 5."),
        (
            "a route here and there",
            "@relais.example,@elsewhere.test:alice@relais.example",
            "550 5.",
        ),
        ("a route into the delivery channel", "x%localhost.lmtp@lmtpcs-daemon", "550 5."),
        ("nobody", "nobody@relais.example", "550 5.1.1"),
    ];
    for (name, recipient, start) in rows {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<a@sender.test>").expect(250);
        let reply = client.ask(&format!("RCPT TO:<{recipient}>"));
        assert!(reply.text.starts_with(start), "{name}: {}", reply.text);
    }
}

#[test]
fn a_line_of_a_gibibyte_does_not_grow_memory() {
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    works(&instance);
    let before = running.memory();

    let mut client = Dialogue::open(instance.settings.smtp);
    let sent = stream_gibibyte(&mut client);
    println!("as a command: {} MiB taken", sent >> 20);
    works(&instance);

    let mut client = Dialogue::open(instance.settings.smtp);
    client.begin("a@sender.test", &["alice@relais.example"]);
    let sent = stream_gibibyte(&mut client);
    let reply = client.send(b"\r\n.\r\n").and_then(|()| client.reply());
    println!("as content: {} MiB taken, then {reply:?}", sent >> 20);
    if let Ok(reply) = reply {
        assert!((500..600).contains(&reply.code) || reply.code == 421, "{}", reply.text);
    }
    works(&instance);

    let grown = running.memory().peak.saturating_sub(before.peak);
    println!("peak memory grew by {} KiB", grown >> 10);
    assert!(grown < 32 << 20, "peak memory grew by {grown} octets");
    assert!(instance.queue().is_empty());
}

#[test]
fn a_client_that_stops_in_the_middle_of_data_is_timed_out() {
    let settings = Settings::standalone().channel("tcp_local", "data_receive_time: \"2s\"");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut stuck = Dialogue::open(instance.settings.smtp);
    stuck.begin("a@sender.test", &["alice@relais.example"]);
    stuck.send(b"Subject: half\r\n\r\nand then").unwrap();
    let start = Instant::now();

    works(&instance);
    let reply = stuck.reply();
    let took = start.elapsed();
    if let Ok(reply) = &reply {
        reply.expect(421);
    }
    assert!(stuck.is_closed(), "{reply:?}");
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(
        mailbox(&instance.store(), "relais.example", "alice").len(),
        1,
        "only the whole one"
    );
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_data_leaves_nothing() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    for _ in 0..50 {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.begin("a@sender.test", &["alice@relais.example"]);
        client.send(&message("vanished", 100_000)).unwrap();
    }
    works(&instance);
    assert!(instance.queue().is_empty());
    assert_eq!(mailbox(&instance.store(), "relais.example", "alice").len(), 1);
}

#[test]
fn a_thousand_idle_connections_cost_little_and_disturb_nobody() {
    const CONNECTIONS: usize = 1_000;
    let settings = Settings::standalone().dispatcher("max_procs: 20, max_conns: 60");
    let instance = Instance::new(settings);
    let running = instance.start();
    works(&instance);
    let before = running.memory().resident;

    let port = instance.settings.smtp;
    let clients: Vec<_> = thread::scope(|threads| {
        let some = || (0..CONNECTIONS / 10).map(|_| Dialogue::open(port)).collect::<Vec<_>>();
        let started: Vec<_> = (0..10).map(|_| threads.spawn(some)).collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(clients.len(), CONNECTIONS);
    let grown = running.memory().resident.saturating_sub(before);
    println!("{} octets for each of {CONNECTIONS} connections", grown / CONNECTIONS as u64);
    assert!(grown / CONNECTIONS as u64 <= 20 << 10, "{grown} octets for all");
    works(&instance);
    drop(clients);
    works(&instance);
}

/// As shipped, the limit lies at 500: the others wait or are sent away, and nobody else is harmed.
#[test]
fn more_connections_than_the_limit_are_refused_or_wait() {
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    let port = instance.settings.smtp;
    let mut greeted = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..1_000 {
        let stream = std::net::TcpStream::connect(("127.0.0.1", port));
        if let Ok(stream) = stream {
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            waiting.push(stream);
        }
    }
    for mut stream in waiting.drain(..) {
        let mut hello = [0; 3];
        let got = io::Read::read(&mut stream, &mut hello);
        match got {
            Ok(3) if &hello == b"220" => greeted.push(stream),
            Ok(3) => assert_eq!(&hello, b"421"),
            // Closed, or still in the backlog: then nobody else is greeted either.
            _ => break,
        }
    }
    println!("{} of 1000 connections were greeted", greeted.len());
    assert!((400..=500).contains(&greeted.len()), "{} greeted", greeted.len());
    assert!(running.memory().peak < 200 << 20);
    drop(greeted);
    eventually("a new client is served again", Duration::from_secs(10), || {
        Dialogue::connect(port).is_ok_and(|(_, hello)| hello.code == 220)
    });
}

#[test]
fn a_full_disk_refuses_new_mail_and_loses_none() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let disk = SmallDisk::mounted("24m");
    // what the disk is like, octets that are kept free, whether others take all that is left
    let rows = [
        ("a reserve is kept", "8MiB", false),
        ("to the last octet", "0B", false),
        ("not an octet free", "0B", true),
    ];
    for (name, min_free, crowded) in rows {
        let sink = Sink::start();
        sink.pause();
        let settings = Settings::standalone()
            .deliver_to(sink.port)
            .section(&format!("spool: (segment_size: \"1MiB\", min_free: \"{min_free}\")"));
        let data = disk.path().join("data");
        let rest = disk.path().join("rest");
        let instance = Instance::in_data(settings, &data);
        let running = instance.start();
        let acknowledged = fill(&instance);
        println!("{name}: full after {} messages", acknowledged.len());
        assert!(acknowledged.len() > 20, "{name}: full after {}", acknowledged.len());
        if crowded {
            take_all(&rest);
            // The index is written about once a second, and fails.
            thread::sleep(Duration::from_millis(1500));
            take_all(&rest);
            // An order that may help is taken, and written down.
            let set = instance.relais("set", &["max_messages", "5000"]);
            assert!(set.status.success(), "{name}: {set:?}");
            assert_eq!(instance.json("audit", &[])[0]["command"], "set", "{name}");
        }

        sink.resume();
        eventually("what was accepted is delivered", Duration::from_secs(60), || {
            sink.missing(&acknowledged).is_empty()
        });
        assert_eq!(sink.repeated(), Vec::<String>::new(), "{name}");
        eventually("mail is taken again", Duration::from_secs(30), || {
            let load = Load::new(instance.settings.smtp, "alice@relais.example", 64 << 10);
            load.run(1, 1);
            load.acknowledged().len() == 1
        });
        drop(running);
        fs::remove_dir_all(&data).unwrap();
        let _ = fs::remove_file(&rest);
    }
}

#[test]
fn what_is_on_a_full_disk_survives_a_kill() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let disk = SmallDisk::mounted("24m");
    let sink = Sink::start();
    sink.pause();
    let settings = Settings::standalone()
        .deliver_to(sink.port)
        .section("spool: (segment_size: \"1MiB\", min_free: \"0B\")");
    let instance = Instance::in_data(settings, &disk.path().join("data"));
    let running = instance.start();
    let acknowledged = fill(&instance);
    running.kill();
    // The worst start: not an octet free, and an index to rebuild.
    fs::remove_dir_all(disk.path().join("data/spool/index")).unwrap();
    take_all(&disk.path().join("rest"));
    sink.resume();
    let _running = instance.start();
    eventually("what was accepted is delivered", Duration::from_secs(60), || {
        sink.missing(&acknowledged).is_empty()
    });
}

#[test]
fn a_directory_entry_that_makes_no_sense_harms_only_itself() {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", "directory: Ldif(file: \"people.ldif\")")
        // A relative path lies below `data`.
        .edit("data: \"relais-data\"", "data: \"data\"");
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).unwrap();
    fs::write(instance.data().join("people.ldif"), NONSENSE).unwrap();
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    for user in ["homeless", "loop", "void"] {
        let reply = client.ask(&format!("RCPT TO:<{user}@relais.example>"));
        assert!((400..600).contains(&reply.code), "{user}: {}", reply.text);
    }
    // An option that is not configured may be as good as none, or a mistake; not a loss.
    let teleported = client.ask("RCPT TO:<teleported@relais.example>");
    assert!(teleported.code == 250 || (400..600).contains(&teleported.code), "{}", teleported.text);
    client.ask("RCPT TO:<alice@relais.example>").expect(250);
    client.ask("DATA").expect(354);
    client.finish(&message("sense", 500)).expect(250);
    for (user, accepted) in [("alice", 250), ("teleported", teleported.code)] {
        eventually(&format!("the message for {user}"), Duration::from_secs(10), || {
            let there = mailbox(&instance.store(), "relais.example", user).len();
            there == usize::from(accepted == 250)
        });
    }
}

#[test]
fn a_directory_file_that_is_no_ldif_is_refused_with_its_line() {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", "directory: Ldif(file: \"people.ldif\")")
        .edit("data: \"relais-data\"", "data: \"data\"");
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).unwrap();
    let text = "dn: uid=alice,dc=relais,dc=example\nuid: alice\nthis is no attribute\n";
    fs::write(instance.data().join("people.ldif"), text).unwrap();
    let mut running = instance.spawn();
    let (status, _) = running.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", instance.log());
    let log = instance.log();
    assert!(log.contains("people.ldif"), "{log}");
    assert!(log.contains("line 3") || log.contains(".ldif:3"), "{log}");
}

#[test]
fn a_second_engine_on_the_same_data_is_refused() {
    let first = Instance::new(Settings::standalone());
    let _running = first.start();
    let second = Instance::in_data(Settings::standalone(), first.data());
    let mut refused = second.spawn();
    let (status, _) = refused.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", second.log());
    let folder = first.data().display().to_string();
    assert!(second.log().contains(&folder), "{folder} is not named in: {}", second.log());
    works(&first);
}

#[test]
fn a_configuration_with_mistakes_does_not_start() {
    let settings = Settings::standalone()
        .edit("maxjobs: 7", "maxjobz: 7")
        .edit("program: Hold", "program: Holds");
    let instance = Instance::new(settings);
    let mut refused = instance.spawn();
    let (status, _) = refused.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", instance.log());
    for wrong in ["maxjobz", "Holds", "relais.ron:"] {
        assert!(instance.log().contains(wrong), "{wrong} is not named in: {}", instance.log());
    }
    assert!(!instance.data().join("spool").exists(), "nothing was begun");
}

#[test]
fn a_taken_port_is_named() {
    let first = Instance::new(Settings::standalone());
    let _running = first.start();
    let second = Instance::new(first.settings.clone());
    let mut refused = second.spawn();
    let (status, _) = refused.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", second.log());
    let ports = [first.settings.smtp, first.settings.lmtp, first.settings.admin];
    let named = ports.iter().any(|port| second.log().contains(&port.to_string()));
    assert!(named, "no port is named in: {}", second.log());
}

/// A message for alice goes through, now.
#[track_caller]
fn works(instance: &Instance) {
    let count = || mailbox(&instance.store(), "relais.example", "alice").len();
    let before = count();
    let mut client = Dialogue::open(instance.settings.smtp);
    let content = message("works", 1000);
    client.message("a@sender.test", &["alice@relais.example"], &content).expect(250);
    eventually("a message for alice", Duration::from_secs(10), || count() == before + 1);
}

/// Writes a line without an end until a gibibyte is out or the peer has had enough.
fn stream_gibibyte(client: &mut Dialogue) -> u64 {
    let chunk = vec![b'x'; 1 << 20];
    (0..1024_u64).find(|_| client.send(&chunk).is_err()).unwrap_or(1024) << 20
}

/// Sends 64 KiB messages until one is refused for want of space; the accepted ones.
#[track_caller]
fn fill(instance: &Instance) -> Vec<String> {
    let mut client = Dialogue::open(instance.settings.smtp);
    let mut acknowledged = Vec::new();
    for number in 0..2_000 {
        let name = format!("fill-{number}");
        match offer(&mut client, &message(&name, 64 << 10)) {
            reply if reply.code == 250 => acknowledged.push(format!("{name}@load.test")),
            reply => {
                reply.expect_start("452 4.3.1");
                return acknowledged;
            }
        }
    }
    panic!("2,000 messages of 64 KiB fit on the small disk");
}

/// Writes to a file until its disk is full.
fn take_all(path: &Path) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
}

/// The reply to the message, or the first that is not the one that lets it go on.
fn offer(client: &mut Dialogue, content: &[u8]) -> Reply {
    let steps = [
        ("MAIL FROM:<a@sender.test>", 250),
        ("RCPT TO:<alice@relais.example>", 250),
        ("DATA", 354),
    ];
    for (command, code) in steps {
        let reply = client.ask(command);
        if reply.code != code {
            return reply;
        }
    }
    client.finish(content)
}

/// alice is as she should be; the others ask for what cannot be.
const NONSENSE: &str = "\
dn: o=relais.example,dc=example
objectClass: organization
objectClass: sunManagedOrganization
objectClass: mailDomain
o: relais.example
sunPreferredDomain: relais.example
inetDomainStatus: active
mailDomainStatus: active

dn: uid=alice,ou=People,o=relais.example,dc=example
objectClass: inetUser
objectClass: inetMailUser
uid: alice
mail: alice@relais.example
mailHost: localhost
mailDeliveryOption: mailbox

dn: uid=teleported,ou=People,o=relais.example,dc=example
objectClass: inetUser
objectClass: inetMailUser
uid: teleported
mail: teleported@relais.example
mailHost: localhost
mailDeliveryOption: teleport

dn: uid=homeless,ou=People,o=relais.example,dc=example
objectClass: inetUser
objectClass: inetMailUser
uid: homeless
mail: homeless@relais.example
mailHost: no host, at all
mailDeliveryOption: mailbox

dn: cn=loop,ou=Groups,o=relais.example,dc=example
objectClass: inetMailGroup
cn: loop
mail: loop@relais.example
mgrpRFC822MailMember: loop@relais.example

dn: cn=void,ou=Groups,o=relais.example,dc=example
objectClass: inetMailGroup
cn: void
mail: void@relais.example
uniqueMember: uid=ghost,ou=People,o=relais.example,dc=example
";
