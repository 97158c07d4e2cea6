//! The door that strangers come in by: how many at once, over which sockets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use relais_tests::{Dialogue, Instance, Settings, eventually, is_root, message, program};

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
    let mut running = Command::new("prlimit")
        .args(["--nofile=256:256", "--"])
        .arg(program())
        .args(["run", "--config"])
        .arg(instance.path("relais.ron"))
        .arg("--data")
        .arg(instance.data())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(instance.path("log")).expect("a log"))
        .spawn()
        .expect("prlimit of util-linux");
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
    let _ = running.kill();
    let _ = running.wait();
    assert!(log.contains("the limit of open files allows fewer connections"), "{log}");
    assert_eq!(log.matches("no room for more connections").count(), 1, "{log}");
    assert!(!log.contains("os error 24"), "{log}");
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

const MINUTE: Duration = Duration::from_secs(60);
