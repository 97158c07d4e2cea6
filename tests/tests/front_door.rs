//! The door that strangers come in by: how many at once, over which sockets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Settings, eventually, is_root, message};

#[test]
fn connections_that_wait_at_the_ceiling_are_served_when_others_end() {
    const WAITING: usize = 1_000;
    let settings = Settings::standalone()
        .dispatcher("max_procs: 2, max_conns: 5, min_conns: 5, backlog: 2000");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let held: Vec<_> = (0..10).map(|_| Dialogue::open(instance.settings.smtp)).collect();
    let connect = |_| TcpStream::connect(("127.0.0.1", instance.settings.smtp)).expect("room");
    let waiting: Vec<_> = (0..WAITING).map(connect).collect();
    drop(held);
    let greeting = |stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let mut line = String::new();
        let read = BufReader::new(stream).read_line(&mut line);
        read.map_or_else(|error| error.to_string(), |_| line)
    };
    let mut refused = Vec::new();
    for stream in waiting {
        let line = greeting(&stream);
        if !line.starts_with("220 ") {
            refused.push(line);
        }
    }
    assert!(refused.is_empty(), "{} of {WAITING}: {:?}", refused.len(), refused[0]);
    let log = instance.log();
    assert!(log.contains("no room for more connections: they wait"), "{log}");
}

#[test]
fn a_quiet_port_keeps_no_room_from_a_busy_one() {
    let settings = Settings::standalone();
    let second = relais_tests::free_port();
    let (smtp, ports) = (settings.smtp, format!("{second}, "));
    let settings = settings
        .edit(&format!("ports: [{smtp}]"), &format!("ports: [{ports}{smtp}]"))
        .dispatcher("max_procs: 1, max_conns: 1, min_conns: 1");
    let instance = Instance::new(settings);
    let _running = instance.start();
    for port in [smtp, second, smtp, second] {
        Dialogue::open(port).ask("QUIT").expect(221);
    }
}

#[test]
fn a_flood_of_connections_leaves_files_for_disk_operators_and_delivery() {
    let instance = Instance::new(Settings::standalone());
    let running = instance.spawn_by(Command::new("prlimit").args(["--nofile=256:256", "--"]));
    eventually("it is ready", MINUTE, || instance.is_ready());
    let mut first = Dialogue::open(instance.settings.smtp);
    let connect = |_| TcpStream::connect(("127.0.0.1", instance.settings.smtp));
    let flood: Vec<_> = (0..400).filter_map(|i| connect(i).ok()).collect();
    assert!(flood.len() >= 300, "{} wait in the kernel", flood.len());
    for i in 0..5 {
        first
            .message("a@b.test", &["alice@relais.example"], &message(&i.to_string(), 2_000))
            .expect(250);
    }
    eventually("all is delivered", MINUTE, || {
        instance.is_ready()
            && instance.relais("status", &[]).status.success()
            && instance.queue().is_empty()
    });
    let log = instance.log();
    running.kill();
    assert!(log.contains("the limit of open files allows fewer connections"), "{log}");
    assert_eq!(log.matches("no room for more connections").count(), 1, "{log}");
    assert!(!log.contains("os error 24"), "{log}");
}

#[test]
fn large_messages_beyond_their_files_wait_and_are_refused_while_small_ones_pass() {
    // One in four of the open files that are not kept back.
    const FILES: usize = 32;
    let instance = Instance::new(Settings::standalone());
    let _running = instance.spawn_by(Command::new("prlimit").args(["--nofile=256:256", "--"]));
    eventually("it is ready", MINUTE, || instance.is_ready());
    let to = ["alice@relais.example"];
    let large = message("large", 400_000);
    let open = |_| {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.begin("a@b.test", &to);
        client.send(&large).expect("a reader");
        client
    };
    let mut clients: Vec<_> = (0..FILES).map(open).collect();
    eventually("each has its file", MINUTE, || {
        std::fs::read_dir(instance.data().join("spool/large")).is_ok_and(|dir| dir.count() == FILES)
    });
    let mut late = Dialogue::open(instance.settings.smtp);
    late.message("a@b.test", &to, &message("small", 1_000)).expect(250);
    late.message("a@b.test", &to, &large)
        .expect_start("452 4.3.1 too many large messages at once, try again later");
    late.begin("a@b.test", &to);
    late.send(&large).expect("a reader");
    clients.remove(0).finish(b"the end\r\n").expect(250);
    late.finish(b"the end\r\n").expect(250);
    for mut client in clients {
        client.finish(b"the end\r\n").expect(250);
    }
    assert!(!instance.log().contains("os error 24"), "{}", instance.log());
}

/// An engine whose store listens on a UNIX socket, too.
fn with_socket(fields: &str) -> Instance {
    let settings = Settings::standalone().edit(
        "services: {",
        &format!("services: {{ \"LMTPUX\": (program: Lmtp, channel: \"tcp_lmtpux\", {fields}),"),
    );
    let channel =
        "program: Local),\n (name: \"tcp_lmtpux\", tag: \"tcp_lmtpux-daemon\", program: Lmtp),";
    Instance::new(settings.edit("program: Local),", channel))
}

fn greeting(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    stream.write_all(b"QUIT\r\n").expect("a command");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("a greeting");
    said
}

#[test]
fn a_unix_socket_lies_below_data_with_its_mode_and_group_and_goes_at_stop() {
    let owner = if is_root() { ", socket_group: \"mail\"" } else { "" };
    let instance = with_socket(&format!("socket: \"lmtp\", socket_mode: \"0660\"{owner}"));
    let socket = instance.data().join("lmtp");
    let mut running = instance.start();
    let meta = std::fs::metadata(&socket).expect("a socket below data");
    assert_eq!(meta.permissions().mode() & 0o777, 0o660);
    if is_root() {
        assert_eq!(meta.gid(), 8, "the group mail of Debian");
    }
    assert!(greeting(&socket).starts_with("220 localhost LMTP"));
    // Left behind by a kill, it is replaced at the next start.
    running.kill();
    assert!(socket.exists());
    running = instance.start();
    assert!(greeting(&socket).starts_with("220 "));
    running.terminate();
    running.wait(Duration::from_secs(30));
    assert!(!socket.exists(), "it goes with the engine");
}

#[test]
fn check_names_an_account_that_is_not_there() {
    let instance =
        with_socket("socket: \"lmtp\", socket_mode: \"0660\", socket_group: \"no-such-group\"");
    let output = instance.relais("check", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("socket_group: this machine has no group no-such-group"), "{text}");
}

#[test]
fn a_live_socket_of_another_program_is_not_taken_away() {
    let instance = with_socket("socket: \"lmtp\"");
    std::fs::create_dir(instance.data()).expect("data");
    let socket = instance.data().join("lmtp");
    let other = UnixListener::bind(&socket).expect("a socket");
    let (status, _) = instance.spawn().wait(Duration::from_secs(30));
    assert_eq!(status.code(), Some(1));
    let log = instance.log();
    assert!(log.contains("service LMTPUX: cannot listen on"), "{log}");
    assert!(log.contains("another program listens there"), "{log}");
    assert!(UnixStream::connect(&socket).is_ok());
    drop(other);
}

#[test]
fn a_service_at_its_ceiling_is_told_of_once_and_not_per_connection() {
    let limits = "max_procs: 1, max_conns: 4, min_conns: 4, backlog: 100";
    let instance = Instance::new(Settings::standalone().dispatcher(limits));
    let _running = instance.start();
    let port = instance.settings.smtp;
    let client = move || {
        for _ in 0..20 {
            Dialogue::open(port).ask("QUIT").expect(221);
        }
    };
    let clients: Vec<_> = (0..20).map(|_| std::thread::spawn(client)).collect();
    for client in clients {
        client.join().expect("a client that is served");
    }
    let log = instance.log();
    assert_eq!(log.matches("no room for more connections").count(), 1, "{log}");
}

/// RFC 5321 section 4.3.1. Whether the client was too early shows when its session begins: so this
/// one sends while all room is taken.
#[test]
fn who_does_not_wait_for_the_greeting_is_sent_away() {
    let settings = Settings::standalone().dispatcher("max_procs: 1, max_conns: 1, min_conns: 1");
    let instance = Instance::new(settings);
    let _running = instance.start();
    for (said, want) in [("EHLO c.test\r\n", "554 5.5.0 "), ("QUIT\r\n", "221 2.0.0 ")] {
        let held = Dialogue::open(instance.settings.smtp);
        let connected = TcpStream::connect(("127.0.0.1", instance.settings.smtp));
        let mut early = connected.expect("room in the kernel");
        early.write_all(said.as_bytes()).expect("a command");
        drop(held);
        early.set_read_timeout(Some(MINUTE)).expect("a limit");
        let mut all = String::new();
        early.read_to_string(&mut all).expect("it is closed");
        let lines: Vec<_> = all.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("220 "), "{said}: {all}");
        assert!(lines[1].starts_with(want), "{said}: {all}");
    }
}

#[test]
fn any_request_line_of_http_ends_the_session() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    for (port, line) in [
        (instance.settings.smtp, "PROPFIND / HTTP/1.1"),
        (instance.settings.smtp, "VERSION-CONTROL /a HTTP/1.1"),
        (instance.settings.lmtp, "MKCOL /a HTTP/1.0"),
    ] {
        let (mut client, greeting) = Dialogue::connect(port).expect("it listens");
        greeting.expect(220);
        client.ask(line).expect(500);
        assert!(client.is_closed(), "{line}");
    }
}

/// Half of the allowed errors are refused at once, each of the others after a second.
#[test]
fn guessing_at_names_costs_what_other_errors_cost() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let mut stranger = Dialogue::open(instance.settings.smtp);
    let begun = Instant::now();
    for guess in 0..21 {
        stranger.ask("MAIL FROM:<a@sender.test>").expect(250);
        let reply = stranger.ask(&format!("RCPT TO:<nobody{guess}@relais.example>"));
        reply.expect(if guess < 20 { 550 } else { 421 });
        if guess < 20 {
            stranger.ask("RSET").expect(250);
        }
    }
    assert!(stranger.is_closed());
    assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
    // A client that we vouch for may have a list with many who are gone.
    let vouched = "mappings: { \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],";
    let instance = Instance::new(Settings::standalone().edit("mappings: {", vouched));
    let _running = instance.start();
    let mut list = Dialogue::open(instance.settings.smtp);
    list.ask("MAIL FROM:<a@sender.test>").expect(250);
    for gone in 0..100 {
        list.ask(&format!("RCPT TO:<nobody{gone}@relais.example>")).expect(550);
    }
    list.ask("RCPT TO:<alice@relais.example>").expect(250);
}

#[test]
fn the_postmaster_of_our_own_address_is_taken_by_a_store() {
    let instance = with_socket("socket: \"lmtp\"");
    let _running = instance.start();
    let commands = "LHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<postmaster@[127.0.0.1]>\r\n\
                    RCPT TO:<postmaster@[192.0.2.1]>\r\nRCPT TO:<alice@[127.0.0.1]>\r\nQUIT\r\n";
    let mut tcp = TcpStream::connect(("127.0.0.1", instance.settings.lmtp)).expect("a store");
    let mut unix = UnixStream::connect(instance.data().join("lmtp")).expect("a store");
    for (name, said) in [("TCP", said(&mut tcp, commands)), ("UNIX", said(&mut unix, commands))] {
        let replies: Vec<_> = said.lines().filter(|line| !line.starts_with("250-")).collect();
        assert!(replies[3].starts_with("250 2.1.5"), "{name}: {said}");
        assert!(replies[4].starts_with("511 5.1.1"), "{name}, of another: {said}");
        assert!(replies[5].starts_with("511 5.1.1"), "{name}, another user: {said}");
    }
}

/// All that is replied, the greeting included, to commands that end with QUIT.
fn said(stream: &mut (impl Read + Write), commands: &str) -> String {
    let mut all = String::new();
    let mut greeting = [0; 1];
    stream.read_exact(&mut greeting).expect("a greeting");
    for command in commands.split_inclusive("\r\n") {
        // LHLO has to wait for no reply but its own.
        stream.write_all(command.as_bytes()).expect("it listens");
        std::thread::sleep(Duration::from_millis(100));
    }
    stream.read_to_string(&mut all).expect("it closes");
    all
}

const MINUTE: Duration = Duration::from_secs(60);
