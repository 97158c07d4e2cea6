//! Other MTAs send to our store by LMTP, to a port and to a UNIX socket: hundreds of odd messages of
//! each, all of them stored, none returned.

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use relais_tests::{
    Dialogue, Exim, Instance, LmtpPlace, Postfix, Running, Settings, free_port, mailbox, needs,
    needs_root, open_folder, smtpd, succeed, unpacked, within,
};
use tempfile::TempDir;

/// To each place of a store.
const MESSAGES: usize = 200;
const LIMIT: Duration = Duration::from_secs(120);

/// A store as a foreign MTA of this machine finds it: a port and a UNIX socket, on a channel without
/// `flagtransfer`.
struct Store {
    instance: Instance,
    port: u16,
    socket: PathBuf,
    folder: TempDir,
    _running: Running,
}

impl Store {
    fn start() -> Self {
        let folder = open_folder();
        let (port, socket) = (free_port(), folder.path().join("lmtp"));
        let services = format!(
            "services: {{
                \"OPEN\": (program: Lmtp, channel: \"open\", interface_address: \"127.0.0.1\", ports: [{port}]),
                \"LMTPUX\": (program: Lmtp, channel: \"open\", socket: \"{}\", socket_mode: \"0666\"),",
            socket.display()
        );
        let channel = "program: Local),\n (name: \"open\", tag: \"open-daemon\", program: Lmtp),";
        let settings =
            Settings::standalone().edit("services: {", &services).edit("program: Local),", channel);
        let instance = Instance::new(settings);
        let running = instance.start();
        Self { instance, port, socket, folder, _running: running }
    }

    /// Its port and its socket, and a mailbox for what comes by each.
    fn places(&self) -> [(LmtpPlace<'_>, &'static str); 2] {
        [(LmtpPlace::Port(self.port), "alice"), (LmtpPlace::Socket(&self.socket), "bob")]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How often each message lies in a mailbox, by its number.
    fn stored(&self, user: &str) -> HashMap<usize, usize> {
        let mut stored = HashMap::new();
        for message in mailbox(&self.instance.store(), "relais.example", user) {
            let message = String::from_utf8_lossy(&message).into_owned();
            let number = message.split("odd-").nth(1).and_then(|rest| rest.split('-').next());
            let number = number.and_then(|n| n.parse().ok());
            *stored.entry(number.unwrap_or_else(|| panic!("whose is {message}"))).or_default() += 1;
        }
        stored
    }

    /// Waits for every message, and sees that each is there once.
    #[track_caller]
    fn has_all_once(&self, user: &str, mta: &str, log: impl Fn() -> String) {
        let all = within(LIMIT, || self.stored(user).len() == MESSAGES);
        assert!(all, "{mta} has not delivered all:\n{}", log());
        let twice: Vec<_> =
            self.stored(user).into_iter().filter(|(_, times)| *times != 1).collect();
        assert!(twice.is_empty(), "{mta}: {twice:?}");
    }
}

/// Message `n`, with LF lines, as a local program hands it over. Its kind is one of twenty.
fn odd(n: usize) -> Vec<u8> {
    let head = format!(
        "Message-ID: <odd-{n}-@client.test>\nFrom: a@client.test\nTo: alice\nSubject: odd {n}\n"
    );
    let x = |count: usize| "x".repeat(count);
    let rest: Vec<u8> = match n % 20 {
        0 => format!("\n{}\n", x(999)),
        1 => format!("X-Long: {}\n\nbody\n", x(990)),
        2 => format!("X-Folded:{}\n\nbody\n", format!("\n {}", x(70)).repeat(60)),
        3 => "\nno newline at the end".to_owned(),
        4 => "\n".to_owned(),
        5 => "\n.\n..\n.x\n\n.\n".to_owned(),
        6 => format!("\n{}\n", format!("{}\n", x(998)).repeat(30)),
        7 => format!("\n{}\n", x(1_900)),
        8 => format!("X-Many: 1\n{}\n\u{e9}\u{fc} 8 bits\n", "X-Many: 2\n".repeat(200)),
        9 => "\n \n\t\nFrom here\n>From there\n\n\n".to_owned(),
        10 => "X-Tabs:\t\ta\t\tb\n\t\tc\n\nbody\n".to_owned(),
        11 => "X-Empty:\nX-Blank: \nx-odd.name_1: y\nX-UTF-8: Gr\u{fc}\u{df}e\n\nbody\n".to_owned(),
        12 => format!("\n{}", "\n".repeat(3_000)),
        13 => format!("\n{}", "..\n".repeat(3_000)),
        14 => format!("Received: by x.test;\n\tnow\n{}\nbody\n", "Received: y\n".repeat(20)),
        15 => format!("Cc: {}x@y.test\n\nbody\n", "a@b.test,\n ".repeat(80)),
        16 => "X-Ends: in blanks   \t\n\nso does   \t\n \t \n".to_owned(),
        17 => format!("\n{}\n", "12345678\n".repeat(40_000)),
        18 => {
            "Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\n\n--b\n\nnever ended".to_owned()
        }
        _ => "\n250 2.0.0 OK\nQUIT\nBDAT 5 LAST\nRSET\n".to_owned(),
    }
    .into_bytes();
    // Octets that are no UTF-8, and controls.
    let more: &[u8] = if n % 40 == 28 { b"\xff\xfe\x80 \x01\x1b[1m\x7f\n" } else { b"" };
    let latin_1: &[u8] = if n % 40 == 30 { b"X-Latin-1: gr\xfc\xdfe\n" } else { b"" };
    [head.as_bytes(), latin_1, &rest, more].concat()
}

#[test]
fn postfix_delivers_odd_messages_and_bounces_none() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let store = Store::start();
    for (place, user) in store.places() {
        let postfix = Postfix::that_adds_fields(place);
        let to = format!("{user}@relais.example");
        for n in 0..MESSAGES {
            postfix.submit(&[&to], &odd(n));
        }
        store.has_all_once(user, "Postfix", || postfix.log());
        let log = postfix.log();
        assert!(!log.contains("status=bounced") && !log.contains("status=deferred"), "{log}");
        let messages = mailbox(&store.instance.store(), "relais.example", user);
        let original_to = format!("X-Original-To: {user}");
        let added = |message: &Vec<u8>| {
            let text = String::from_utf8_lossy(message).into_owned();
            text.contains("X-Prepended: by header_checks") && text.contains(&original_to)
        };
        assert!(messages.iter().all(added), "each grew after its size was announced");
    }
}

#[test]
fn postfix_delivers_to_users_beyond_ascii() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let store = Store::start();
    let postfix = Postfix::start(LmtpPlace::Port(store.port));
    let message = "From: s\u{f8}ren@client.test\nSubject: Gr\u{fc}\u{df}e\n\nx\n";
    for to in ["j\u{f6}rg@gr\u{fc}\u{df}e.test", "j\u{f6}rg@xn--gre-6ka8l.test"] {
        postfix.submit_from("s\u{f8}ren@client.test", &[to], message.as_bytes());
    }
    let stored = || mailbox(&store.instance.store(), "xn--gre-6ka8l.test", "j\u{f6}rg");
    assert!(within(LIMIT, || stored().len() == 2), "{}", postfix.log());
    for message in stored() {
        let text = String::from_utf8(message).expect("UTF-8");
        assert!(text.contains("Return-Path: <s\u{f8}ren@client.test>"), "{text}");
        assert!(text.contains("\r\nSubject: Gr\u{fc}\u{df}e\r\n"), "{text}");
    }
    let log = postfix.log();
    assert!(!log.contains("status=bounced") && !log.contains("status=deferred"), "{log}");
}

#[test]
fn exim_delivers_odd_messages_and_bounces_none() {
    if !needs_root() {
        return;
    }
    let store = Store::start();
    for (place, user) in store.places() {
        let Some(exim) = Exim::new(place) else { return };
        let to = format!("{user}@relais.example");
        for n in 0..MESSAGES {
            exim.submit(&[&to], &odd(n));
        }
        exim.run_queue();
        store.has_all_once(user, "Exim", || exim.log());
        let log = exim.log();
        assert!(!log.contains(" ** ") && !log.contains(" == "), "{log}");
    }
}

/// Ends with everything that it started.
struct Smtpd(Child);

impl Drop for Smtpd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// It connects to a port itself, and has `mail.lmtp` run for a socket.
#[test]
fn opensmtpd_relays_odd_messages_and_bounces_none() {
    let Some(package) = unpacked("usr/sbin/smtpd").filter(|_| needs_root()) else { return };
    let package = package.ancestors().nth(3).expect("where it was unpacked");
    let store = Store::start();
    let (port, config, log) = (free_port(), store.path("smtpd.conf"), store.path("smtpd.log"));
    let text = format!(
        "action \"port\" relay host \"lmtp://127.0.0.1:{}\"\naction \"socket\" lmtp \"{}\" rcpt-to\n\
         listen on 127.0.0.1 port {port}\nmatch from any for rcpt-to \"bob@relais.example\" action \
         \"socket\"\nmatch from any for any action \"port\"\n",
        store.port,
        store.socket.display(),
    );
    fs::write(&config, text).expect("a configuration");
    fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("our file");
    let output = fs::File::create(&log).expect("a fresh file");
    let mut world = smtpd(package, store.folder.path(), &config);
    world.stdin(Stdio::null()).stdout(output.try_clone().expect("a second one")).stderr(output);
    let _smtpd = Smtpd(world.spawn().expect("unshare runs"));
    let up = within(LIMIT, || Dialogue::connect(port).is_ok());
    assert!(up, "smtpd does not listen:\n{}", read(&log));
    for user in ["alice", "bob"] {
        let to = format!("{user}@relais.example");
        let numbers: Vec<_> = (0..MESSAGES).collect();
        // It takes a hundred in a session.
        for numbers in numbers.chunks(100) {
            let mut client = Dialogue::open(port);
            for n in numbers {
                client.message("a@client.test", &[&to], &with_crlf(&odd(*n))).expect(250);
            }
        }
        store.has_all_once(user, "OpenSMTPD", || read(&log));
    }
    let log = read(&log);
    assert!(!log.contains("stat=\"4") && !log.contains("stat=\"5"), "{log}");
    assert!(!log.contains("result=\"TempFail") && !log.contains("result=\"PermFail"), "{log}");
}

/// A message with its lines as SMTP has them, the last one ended.
fn with_crlf(message: &[u8]) -> Vec<u8> {
    let lines = message.strip_suffix(b"\n").unwrap_or(message).split(|octet| *octet == b'\n');
    lines.flat_map(|line| [line, b"\r\n"].concat()).collect()
}

#[test]
fn opensmtpds_mail_lmtp_delivers_odd_messages_and_bounces_none() {
    let Some(lmtp) = unpacked("usr/libexec/opensmtpd/mail.lmtp").filter(|_| needs_root()) else {
        return;
    };
    let store = Store::start();
    let places = [
        (format!("127.0.0.1:{}", store.port), "alice"),
        (store.socket.display().to_string(), "bob"),
    ];
    for (place, user) in places {
        for n in 0..MESSAGES {
            // As smtpd runs it: one recipient, the message on its input, not as root.
            let mut deliver = Command::new("setpriv");
            deliver.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
            deliver.arg(&lmtp).args(["-d", &place, "-f", "a@client.test", "-r"]);
            deliver.env("RECIPIENT", format!("{user}@relais.example"));
            deliver.env("SENDER", "a@client.test");
            succeed(&mut deliver, &odd(n));
        }
        store.has_all_once(user, "OpenSMTPD", || store.instance.log());
    }
}
