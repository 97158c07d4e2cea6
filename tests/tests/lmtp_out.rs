//! LMTP out to real servers: with TLS, as somebody they know, and to another server where one does
//! not take the mail.

use std::{fs, time::Duration};

use relais_tests::{
    Authority, Dialogue, ForeignStore, Instance, Settings, Sink, eventually, free_port, mailbox,
    message, needs, needs_root, within,
};

const CYRUS: &str = "/usr/lib/cyrus/bin/lmtpd";
const DOVECOT: &str = "/usr/lib/dovecot/lmtp";
const SASLDB: &str = "/usr/lib/x86_64-linux-gnu/sasl2/libsasldb.so";

/// An engine that delivers to this place, with these fields of its channel.
fn engine(place: &str, fields: &str) -> Instance {
    let settings = Settings::standalone()
        .edit("multigate: true,", &format!("daemon: \"{place}\","))
        .channel("tcp_lmtpcs", fields);
    Instance::new(settings)
}

fn send(instance: &Instance, name: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("ann@sender.test", &["alice@relais.example"], &message(name, 500)).expect(250);
}

/// The lines of the log for this action.
fn lines(instance: &Instance, action: &str) -> Vec<serde_json::Value> {
    let log = instance.log();
    let all = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    // Our own store has lines of its own.
    all.filter(|line| line["action"] == action && line["channel"] == "tcp_lmtpcs").collect()
}

/// The protection of the connection by which a message left.
#[track_caller]
fn delivered(instance: &Instance) -> String {
    send(instance, "m");
    eventually("it is delivered", PATIENCE, || {
        assert!(lines(instance, "R").is_empty(), "{}", instance.log());
        !lines(instance, "D").is_empty()
    });
    lines(instance, "D")[0]["protection"].as_str().unwrap_or_default().to_owned()
}

/// The reply with which a message waits.
#[track_caller]
fn waits(instance: &Instance) -> String {
    send(instance, "m");
    eventually("an attempt", PATIENCE, || !lines(instance, "Q").is_empty());
    lines(instance, "Q")[0]["reply"].as_str().unwrap_or_default().to_owned()
}

fn write_passwords(instance: &Instance, text: &str) -> String {
    fs::create_dir_all(instance.data()).expect("a folder");
    let file = instance.data().join("passwords");
    fs::write(&file, text).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, mode).expect("its mode");
    file.display().to_string()
}

#[test]
fn cyrus_lets_us_in_by_each_of_its_mechanisms() {
    if !needs_root() || !needs(&[CYRUS, SASLDB, "/usr/bin/python3"]) {
        return;
    }
    let rows = [
        ("SCRAM-SHA-256 CRAM-MD5 PLAIN", "AUTH SCRAM-SHA-256 as cyrus"),
        ("CRAM-MD5 PLAIN LOGIN", "AUTH CRAM-MD5 as cyrus"),
        ("PLAIN LOGIN", "AUTH PLAIN as cyrus"),
        ("LOGIN", "AUTH LOGIN as cyrus"),
    ];
    for (mechanisms, want) in rows {
        let store = ForeignStore::cyrus_with_passwords(mechanisms, None);
        let place = format!("localhost:{}", store.port);
        let instance = engine(&place, "sasl: (client: Must, credentials: \"passwords\")");
        write_passwords(&instance, &format!("{place} cyrus:secret\n"));
        let _running = instance.start();
        assert_eq!(delivered(&instance), want, "{mechanisms}");
        assert_eq!(store.messages().len(), 1, "{mechanisms}");
        assert!(!instance.log().contains("secret"), "{}", instance.log());
    }
}

#[test]
fn cyrus_behind_tls_lets_us_in() {
    if !needs_root() || !needs(&[CYRUS, SASLDB, "/usr/bin/python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let ca = authority.file().display().to_string();
    // It offers -PLUS, too, and a binding of another kind than ours.
    let store = ForeignStore::cyrus_with_passwords("SCRAM-SHA-256 PLAIN", Some(&certificate));
    let fields = format!(
        "tls: (client: Must, ca: {ca:?}), sasl: (client: Must, credentials: \"passwords\")"
    );
    let instance = engine(&format!("localhost:{}", store.port), &fields);
    write_passwords(&instance, "localhost cyrus:secret\n");
    let _running = instance.start();
    let want = "TLSv1.3 TLS_AES_256_GCM_SHA384, verified; AUTH SCRAM-SHA-256 as cyrus";
    assert_eq!(delivered(&instance), want);
}

#[test]
fn cyrus_knows_us_by_our_certificate() {
    if !needs_root() || !needs(&[CYRUS, SASLDB, "/usr/bin/python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let (own, key) = authority.sign("client", &["cyrus"], 2099);
    let ca = authority.file().display().to_string();
    let mechanisms = format!("EXTERNAL PLAIN\ntls_client_ca_file: {ca}");
    let store = ForeignStore::cyrus_with_passwords(&mechanisms, Some(&certificate));
    let fields = format!(
        "tls: (client: Must, ca: {ca:?}, certificate: {own:?}, key: {key:?}), \
         sasl: (client: Must, credentials: \"passwords\")"
    );
    let instance = engine(&format!("localhost:{}", store.port), &fields);
    write_passwords(&instance, "localhost cyrus:\n");
    let _running = instance.start();
    let said = delivered(&instance);
    assert!(said.ends_with("verified; AUTH EXTERNAL as cyrus"), "{said}");
}

#[test]
fn our_own_store_is_talked_to_behind_tls() {
    let settings = Settings::standalone()
        .section("tls: (certificate: \"localhost.crt\", key: \"localhost.key\")")
        .channel("tcp_lmtpss", "tls: (server: Must)")
        .channel("tcp_lmtpcs", "tls: (client: Must, ca: \"ca.crt\")");
    let instance = Instance::new(settings);
    let authority = Authority::new(instance.data());
    authority.sign("localhost", &["localhost"], 2099);
    let _running = instance.start();
    assert_eq!(delivered(&instance), "TLSv1.3 TLS_AES_256_GCM_SHA384, verified");
    for count in 0..20 {
        send(&instance, &format!("n{count}"));
    }
    eventually("all are delivered", PATIENCE, || instance.queue().is_empty());
    assert_eq!(mailbox(&instance.store(), "relais.example", "alice").len(), 21);
}

#[test]
fn a_wrong_password_lets_mail_wait_until_the_file_is_right() {
    if !needs_root() || !needs(&[CYRUS, SASLDB, "/usr/bin/python3"]) {
        return;
    }
    let store = ForeignStore::cyrus_with_passwords("CRAM-MD5", None);
    let place = format!("localhost:{}", store.port);
    let instance = engine(&place, "sasl: (client: May, credentials: \"passwords\")");
    write_passwords(&instance, "localhost cyrus:wrong\n");
    let _running = instance.start();
    let said = waits(&instance);
    // Cyrus has no better words for it.
    assert!(said.starts_with("401 4.5.4"), "{said}");
    assert!(instance.log().contains("suspended"), "{}", instance.log());
    write_passwords(&instance, "localhost cyrus:secret\n");
    eventually("it goes", PATIENCE, || {
        instance.relais("queue", &["retry", "--all", "--yes"]);
        instance.queue().is_empty()
    });
    assert_eq!(store.messages().len(), 1);
    assert!(!instance.log().contains("secret"), "{}", instance.log());
}

#[test]
fn an_engine_without_a_password_in_its_file_is_told_by_why() {
    if !needs_root() || !needs(&[CYRUS, SASLDB, "/usr/bin/python3"]) {
        return;
    }
    let store = ForeignStore::cyrus_with_passwords("PLAIN", None);
    let place = format!("localhost:{}", store.port);
    let rows = [
        ("sasl: (client: May, credentials: \"passwords\")", "430 Authentication required"),
        ("sasl: (client: Must, credentials: \"passwords\")", "sasl.credentials has no user for"),
    ];
    for (fields, want) in rows {
        let instance = engine(&place, fields);
        write_passwords(&instance, "elsewhere.test cyrus:secret\n");
        let _running = instance.start();
        let said = waits(&instance);
        assert!(said.contains(want), "{said}");
    }
}

#[test]
fn dovecot_is_talked_to_behind_tls() {
    if !needs_root() || !needs(&["dovecot", DOVECOT]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let store = ForeignStore::dovecot_with_certificate(&certificate, "");
    let ca = authority.file().display().to_string();
    let (plain, tls) = (store.port, store.tls_port);
    // place, fields of tls, the beginning of what the log says
    let verified = "TLSv1.3 TLS_AES_256_GCM_SHA384, verified";
    let doubted = "TLSv1.3 TLS_AES_256_GCM_SHA384, not verified (its certificate is signed by no";
    let rows = [
        (format!("localhost:{plain}"), format!("client: Must, ca: {ca:?}"), verified),
        (format!("localhost:{plain}"), format!("client: May, ca: {ca:?}"), verified),
        (format!("localhost:{plain}"), "client: Must, verify: false".to_owned(), doubted),
        (format!("localhost:{plain}"), "client: May".to_owned(), doubted),
        (format!("localhost:{plain}"), "client: No".to_owned(), ""),
        (format!("localhost:{tls}"), format!("client: Must, implicit: true, ca: {ca:?}"), verified),
        (
            format!("[127.0.0.1]:{plain}"),
            format!("client: Must, ca: {ca:?}, names: [\"localhost\"]"),
            verified,
        ),
        (format!("unix:{}", store.socket.display()), format!("client: May, ca: {ca:?}"), ""),
    ];
    for (nth, (place, fields, want)) in rows.iter().enumerate() {
        let instance = engine(place, &format!("tls: ({fields})"));
        let _running = instance.start();
        let said = delivered(&instance);
        assert!(said.starts_with(want) && want.is_empty() == said.is_empty(), "{fields}: {said}");
        assert_eq!(store.messages().len(), nth + 1, "{place} {fields}");
    }
}

#[test]
fn a_certificate_that_is_not_good_lets_mail_wait() {
    if !needs_root() || !needs(&["dovecot", DOVECOT]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("other", &["other.test"], 2099);
    let store = ForeignStore::dovecot_with_certificate(&certificate, "");
    let ca = authority.file().display().to_string();
    let place = format!("localhost:{}", store.port);
    let rows = [
        (format!("client: Must, ca: {ca:?}"), "its certificate is for other names"),
        ("client: Must".to_owned(), "its certificate is signed by no authority that we know"),
    ];
    for (fields, want) in rows {
        let instance = engine(&place, &format!("tls: ({fields})"));
        let _running = instance.start();
        let said = waits(&instance);
        assert!(said.starts_with("451 4.7.5 TLS handshake with") && said.contains(want), "{said}");
    }
    assert_eq!(store.messages().len(), 0);
}

#[test]
fn a_server_that_wants_the_header_of_a_proxy_gets_one() {
    if !needs_root() || !needs(&["dovecot", DOVECOT]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let store = ForeignStore::dovecot_with_certificate(&certificate, "haproxy = yes");
    let ca = authority.file().display().to_string();
    let fields = format!("proxy_header: true, tls: (client: Must, ca: {ca:?})");
    let instance = engine(&format!("localhost:{}", store.port), &fields);
    let _running = instance.start();
    assert!(delivered(&instance).ends_with("verified"));
    assert_eq!(store.messages().len(), 1);
}

#[test]
fn a_reload_changes_the_protection_of_what_comes_next() {
    if !needs_root() || !needs(&["dovecot", DOVECOT]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let store = ForeignStore::dovecot_with_certificate(&certificate, "");
    let instance = engine(&format!("localhost:{}", store.port), "tls: (client: No)");
    let _running = instance.start();
    assert_eq!(delivered(&instance), "");
    let path = instance.path("relais.ron");
    let edit = |from: &str, to: &str| {
        let text = fs::read_to_string(&path).expect("the file");
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replacen(from, to, 1)).expect("the file");
        instance.relais("reload", &[])
    };
    // Authorities that cannot be read change nothing.
    assert!(!edit("client: No", "client: Must, ca: \"none\"").status.success());
    let ca = format!("ca: {:?}", authority.file().display().to_string());
    assert!(edit("ca: \"none\"", &ca).status.success());
    let shaken = || instance.metric("relais_tls_client_handshakes_total");
    assert!(shaken() < 0.5, "{}", shaken());
    eventually("the next message is protected", PATIENCE, || {
        send(&instance, "next");
        within(Duration::from_secs(1), || {
            lines(&instance, "D")
                .last()
                .is_some_and(|line| line["protection"] != "" && line["protection"].is_string())
        })
    });
    assert!(shaken() > 0.5, "{}", shaken());
}

#[test]
fn later_servers_take_what_earlier_ones_do_not() {
    let (first, second) = (Sink::start(), Sink::start());
    let dead = free_port();
    let place =
        format!("[127.0.0.1]:{dead}, inet:[127.0.0.1]:{}, [127.0.0.1]:{}", first.port, second.port);
    let instance = engine(&place, "max_client_threads: 1");
    let _running = instance.start();
    assert_eq!(delivered(&instance), "");
    assert_eq!((first.total(), second.total()), (1, 0), "the first that is there");
    // One recipient is refused for good there, the other for now.
    first.answer("RCPT TO:<alice", "550 5.1.1 never heard of her");
    first.answer("RCPT TO:<bob", "451 4.2.0 not now");
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["alice@relais.example", "bob@relais.example"];
    client.message("ann@sender.test", &to, &message("two", 500)).expect(250);
    eventually("the other has one", PATIENCE, || second.total() == 1);
    eventually("both are settled", PATIENCE, || {
        lines(&instance, "R").len() == 1 && lines(&instance, "D").len() == 2
    });
    let handed = second.handed();
    assert!(handed[0].1.len() == 1 && handed[0].1[0].contains("bob"), "{handed:?}");
    assert!(lines(&instance, "Q").is_empty(), "nobody waits: {}", instance.log());
    // The whole of the first is in a bad way: the second takes it all.
    first.answer("MAIL", "451 4.3.0 not now");
    let before = second.total();
    send(&instance, "bad way");
    eventually("the other has it", PATIENCE, || second.total() == before + 1);
    assert!(!within(Duration::from_secs(1), || !lines(&instance, "Q").is_empty()));
    assert!(!instance.log().contains("suspended"), "{}", instance.log());
}

#[test]
fn a_destination_rests_when_none_of_its_servers_is_there() {
    let (one, other) = (free_port(), free_port());
    let instance =
        engine(&format!("[127.0.0.1]:{one}, localhost:{other}"), "max_client_threads: 1");
    let running = instance.start();
    let said = waits(&instance);
    assert!(said.contains(&format!("connect to localhost[127.0.0.1]:{other}")), "{said}");
    assert!(instance.log().contains("suspended"), "{}", instance.log());
    let sink = Sink::on(other);
    eventually("it goes when one is back", PATIENCE, || {
        instance.relais("queue", &["retry", "--all", "--yes"]);
        sink.total() == 1
    });
    drop(running);
}

#[test]
fn a_transport_may_name_several_servers() {
    let (dead, sink) = (free_port(), Sink::start());
    let transport = format!(
        "transport: {{\"several.test\": \"tcp_lmtpcs:inet:[127.0.0.1]:{dead}, localhost:{}\"}}",
        sink.port
    );
    let settings = Settings::standalone()
        .section(&transport)
        .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["x@several.test"], &message("t", 500)).expect(250);
    eventually("it is delivered", PATIENCE, || sink.total() == 1);
    let shown = instance.relais("route", &["x@several.test"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let want = format!("[127.0.0.1]:{dead}, localhost:{}", sink.port);
    assert!(shown.contains(&want), "{shown}");
}

#[test]
fn check_tells_of_files_that_are_not_good() {
    let fields = "tls: (client: Must, ca: \"none\"), \
                  sasl: (client: Must, credentials: \"passwords\")";
    let instance = engine("localhost:24", fields);
    let said = |instance: &Instance| {
        let output = instance.relais("check", &[]);
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.code())
    };
    let (text, code) = said(&instance);
    assert_eq!(code, Some(1), "{text}");
    for want in ["tls.ca", "No such file", "mail for this channel waits until it can be used"] {
        assert!(text.contains(want), "{want}: {text}");
    }
    let instance = engine("localhost:24", "sasl: (client: Must, credentials: \"passwords\")");
    let file = write_passwords(&instance, "localhost user:secret\n");
    assert_eq!(said(&instance).1, Some(0));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(file, mode).expect("its mode");
    let (text, _) = said(&instance);
    assert!(text.contains("others can read its passwords"), "{text}");
}

const PATIENCE: Duration = Duration::from_secs(30);
