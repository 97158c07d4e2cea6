//! Senders of mail that is forwarded become addresses of ours and back, as Debian's postsrsd has it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, NameServer, Settings, Sink, eventually, free_port, needs, within,
};

const PATIENCE: Duration = Duration::from_secs(20);
const POSTSRSD: &str = "/usr/sbin/postsrsd";

/// Debian's postsrsd with a file of secrets.
struct Postsrsd {
    forward: u16,
    reverse: u16,
    daemon: Child,
}

impl Postsrsd {
    fn start(secrets: &Path) -> Self {
        let (forward, reverse) = (free_port(), free_port());
        let daemon = Command::new(POSTSRSD)
            .arg(format!("-s{}", secrets.display()))
            .args(["-dsrs.relais.example", "-4", "-A"])
            .args([format!("-f{forward}"), format!("-r{reverse}")])
            .stdin(Stdio::null())
            .spawn()
            .expect("postsrsd runs");
        let answers = || TcpStream::connect(("127.0.0.1", reverse)).is_ok();
        assert!(within(PATIENCE, answers), "postsrsd does not answer");
        Self { forward, reverse, daemon }
    }

    /// The answer of a table to a key; nothing where it has none.
    fn look_up(port: u16, key: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("postsrsd");
        stream.write_all(format!("get {key}\n").as_bytes()).expect("it listens");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("it answers");
        line.trim_end().strip_prefix("200 ").unwrap_or_default().to_owned()
    }

    fn wrapped(&self, sender: &str) -> String {
        Self::look_up(self.forward, sender)
    }

    fn unwrapped(&self, address: &str) -> String {
        Self::look_up(self.reverse, address)
    }
}

impl Drop for Postsrsd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Mail for `ext` is sent on to a user of one.test, which is at the sink.
fn forwarding(sink: &Sink, secrets: &Path, (srs, more): (&str, &str)) -> Settings {
    let secrets = secrets.display().to_string();
    Settings::standalone()
        .stores(sink.port)
        .channel("stores", &format!("srs: {srs}"))
        .section("aliases: {\"ext\": [\"friend@one.test\"]}")
        .section(&format!("srs: (domain: \"srs.relais.example\", secrets: {secrets:?}{more})"))
}

fn send(instance: &Instance, client: u8, sender: &str, (to, code): (&str, u16)) {
    let client = Dialogue::connect_from([127, 0, 0, client], instance.settings.smtp);
    let (mut client, _) = client.expect("a greeting");
    client.patience(PATIENCE);
    client.ask("EHLO client.test").expect(250);
    client.ask(&format!("MAIL FROM:<{sender}>")).expect(250);
    client.ask(&format!("RCPT TO:<{to}>")).expect(code);
    if code == 250 {
        client.ask("DATA").expect(354);
        client.finish(b"Subject: x\r\n\r\nx\r\n").expect(250);
    }
}

/// The sender of the message that comes to the sink next, and its recipient.
fn next(sink: &Sink, before: usize) -> (String, Vec<String>) {
    eventually("a message", PATIENCE, || sink.senders().len() > before);
    sink.senders().remove(before)
}

#[test]
fn what_we_wrap_postsrsd_unwraps_and_what_comes_back_goes_to_the_sender() {
    if !needs(&[POSTSRSD]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    fs::write(&old, "the first secret\n").expect("a file");
    fs::write(&new, "a new secret\nthe first secret\n").expect("a file");
    let sink = Sink::start();
    let instance = Instance::new(forwarding(&sink, &new, ("Always", "")));
    let _running = instance.start();
    let (postsrsd, former) = (Postsrsd::start(&new), Postsrsd::start(&old));
    let mut count = 0;
    let rows = [
        "ann@one.test".to_owned(),
        "Ann.B=c+d@Some.Else.test".to_owned(),
        "SRS0=abcd=AB=far.test=ann@forwarder.test".to_owned(),
        "SRS0+abcd=AB=far.test=ann@forwarder.test".to_owned(),
        "SRS1=abcd=first.test==abcd=AB=far.test=ann@forwarder.test".to_owned(),
    ];
    for sender in rows {
        send(&instance, 9, &sender, ("ext@relais.example", 250));
        let (wrapped, to) = next(&sink, count);
        count += 1;
        assert_eq!(to, ["friend@one.test"]);
        assert_eq!(wrapped, postsrsd.wrapped(&sender), "{sender}");
        assert!(wrapped.ends_with("@srs.relais.example"), "{wrapped}");
        if !sender.starts_with("SRS1") {
            assert_eq!(postsrsd.unwrapped(&wrapped).to_lowercase(), sender.to_lowercase());
        }
    }
    // Addresses that postsrsd made, with a secret that we still believe.
    let wrapped = former.wrapped("ann@one.test");
    for (to, code, want) in [
        (wrapped.clone(), 250, "ann@one.test"),
        (wrapped.to_lowercase(), 250, "ann@one.test"),
        (
            former.wrapped("SRS0=abcd=AB=far.test=ann@one.test"),
            250,
            "SRS0=abcd=AB=far.test=ann@one.test",
        ),
        (wrapped.replace("ann", "eve"), 550, ""),
        (wrapped.replace("one.test", "two.test"), 550, ""),
        ("SRS0=x@srs.relais.example".to_owned(), 550, ""),
    ] {
        // From a stranger, who may not send there otherwise.
        send(&instance, 9, "", (&to, code));
        if code == 250 {
            let (sender, got) = next(&sink, count);
            count += 1;
            assert_eq!((sender.as_str(), got), ("", vec![want.to_owned()]), "{to}");
        }
    }
    send(&instance, 9, "", ("ann@one.test", 550));
}

/// An address that stands for a sender with quotes leads back to it, and `route` says to whom an address goes.
#[test]
fn senders_with_quotes_come_back_and_route_says_who_an_address_stands_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = folder.path().join("secrets");
    fs::write(&secrets, "the first secret\n").expect("a file");
    let sink = Sink::start();
    let instance = Instance::new(forwarding(&sink, &secrets, ("Always", "")));
    let running = instance.start();
    let mut count = 0;
    let mut wrapped_ones = Vec::new();
    for (sender, begin, home) in [
        ("\"ann b\"@one.test", "\"SRS0=", "\"ann b\"@one.test"),
        ("\"ann.b\"@one.test", "SRS0=", "ann.b@one.test"),
        ("\"a\\\"b@c\"@one.test", "\"SRS0=", "\"a\\\"b@c\"@one.test"),
    ] {
        send(&instance, 9, sender, ("ext@relais.example", 250));
        let (wrapped, _) = next(&sink, count);
        assert!(wrapped.starts_with(begin), "{sender}: {wrapped}");
        send(&instance, 9, "", (&wrapped, 250));
        let (bounce, to) = next(&sink, count + 1);
        assert_eq!((bounce.as_str(), to), ("", vec![home.to_owned()]), "{wrapped}");
        count += 2;
        wrapped_ones.push((wrapped, home));
    }
    drop(running);
    let said = |args: &[&str]| {
        let output = instance.relais(args[0], &args[1..]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let again = instance.start();
    for mode in [&[][..], &["--offline"]] {
        for (wrapped, home) in &wrapped_ones {
            let (code, route) = said(&[&["route", wrapped.as_str()], mode].concat());
            assert_eq!(code, Some(0), "{route}");
            assert!(route.contains(&format!("{wrapped} stands for {home}")), "{route}");
            assert!(route.contains("stores"), "{route}");
        }
        let forged = wrapped_ones[1].0.replace("ann", "eve");
        let (code, route) = said(&[&["route", &forged], mode].concat());
        assert_eq!(code, Some(1), "{route}");
        assert!(route.contains("550 5.1.1 the address was not made here"), "{route}");
        let access = ["test", "access", "192.0.2.9", "--from", "", "--to", &wrapped_ones[1].0];
        assert_eq!(said(&[&access, mode].concat()).0, Some(0));
    }
    drop(again);
}

#[test]
fn only_senders_of_forwarded_mail_whose_domain_does_not_let_us_send_are_wrapped() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = folder.path().join("secrets");
    fs::write(&secrets, "the first secret\n").expect("a file");
    let server = NameServer::start(&[
        ("strict.test", "@ TXT \"v=spf1 -all\"\n"),
        ("lets.test", "@ TXT \"v=spf1 ip4:127.0.0.1 ip4:127.0.0.2 -all\"\n"),
        ("half.test", "@ TXT \"v=spf1 ip4:127.0.0.1 -all\"\n"),
        ("soft.test", "@ TXT \"v=spf1 ~all\"\n"),
        ("test", ""),
    ]);
    let sink = Sink::start();
    let more = ", addresses: [\"127.0.0.1\", \"127.0.0.2\"], own_domains: [\"mine.test\"]";
    let dns = format!("dns: (servers: [\"127.0.0.1:{}\"])", server.port);
    let instance = Instance::new(forwarding(&sink, &secrets, ("Needed", more)).section(&dns));
    let _running = instance.start();
    // client, sender, recipient, whether it is wrapped
    let rows = [
        (9, "a@strict.test", "ext@relais.example", true),
        (9, "a@half.test", "ext@relais.example", true),
        (9, "a@soft.test", "ext@relais.example", true),
        (9, "a@lets.test", "ext@relais.example", false),
        (9, "a@without.test", "ext@relais.example", false),
        (9, "a@sub.mine.test", "ext@relais.example", false),
        (9, "a@relais.example", "ext@relais.example", false),
        (9, "", "ext@relais.example", false),
        (1, "a@strict.test", "friend@one.test", false),
    ];
    for (count, (client, sender, to, want)) in rows.into_iter().enumerate() {
        send(&instance, client, sender, (to, 250));
        let (got, _) = next(&sink, count);
        assert_eq!(got.starts_with("SRS0="), want, "{sender} {to}: {got}");
        assert!(want || got == sender, "{sender} {to}: {got}");
    }
}

#[test]
fn secrets_that_are_not_there_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty");
    fs::write(&empty, "\n").expect("a file");
    let sink = Sink::start();
    for (file, want) in
        [(folder.path().join("gone"), "No such file"), (empty, "it holds no secret")]
    {
        let instance = Instance::new(forwarding(&sink, &file, ("Always", "")));
        for command in ["check", "run"] {
            let output = instance.relais(command, &[]);
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!output.status.success() && said.contains(want), "{command}: {said}");
            assert!(said.contains("srs.secrets"), "{command}: {said}");
        }
    }
}
