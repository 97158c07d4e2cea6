//! The examples of Postfix's own documents (`LMTP_README` sections 5 to 9, and the book's chapter), as
//! configurations of ours, each before the real server that it is for.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use relais_tests::{Dialogue, ForeignStore, Instance, Settings, eventually, needs, needs_root};

const PATIENCE: Duration = Duration::from_secs(30);
const SOCKET: &str = "/var/imap/socket/lmtp";

/// Sends one message to these.
fn send(instance: &Instance, to: &[&str], subject: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    let content = format!("Subject: {subject}\r\n\r\ntext\r\n");
    client.message("sender@elsewhere.test", to, content.as_bytes()).expect(250);
}

/// The recipient of each message of the store, and its subject, when there are so many.
fn stored(store: &ForeignStore, count: usize) -> Vec<(String, String)> {
    eventually("all are stored", PATIENCE, || store.messages().len() >= count);
    let field = |message: &str, name: &str| {
        let line = message.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_matches(['<', '>', ' ']).to_owned()
    };
    let of = |message: &String| (field(message, "Delivered-To:"), field(message, "Subject:"));
    let mut all: Vec<_> = store.messages().iter().map(of).collect();
    all.sort();
    all
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(to, subject)| ((*to).to_owned(), (*subject).to_owned())).collect()
}

#[test]
fn mailbox_transport_expands_aliases_and_hands_the_rest_to_the_socket() {
    if !needs_root() || !needs(&["dovecot"]) {
        return;
    }
    let store = ForeignStore::dovecot();
    let settings = Settings::after_postfix("mailbox-transport-socket")
        .edit(SOCKET, &store.socket.display().to_string());
    let instance = Instance::new(settings);
    let _running = instance.start();
    // Names that are no accounts are the server's to know.
    for (to, subject) in [("root", "1"), ("nobody.here", "2"), ("bob+box", "3")] {
        send(&instance, &[&format!("{to}@example.com")], subject);
    }
    // An alias without a domain is of this host, as `myorigin` has it.
    let want = [
        ("alice@mail.example.com", "1"),
        ("bob+box@example.com", "3"),
        ("nobody.here@example.com", "2"),
    ];
    assert_eq!(stored(&store, 3), pairs(&want));
}

#[test]
fn local_transport_reads_no_aliases() {
    if !needs_root() || !needs(&["dovecot"]) {
        return;
    }
    let store = ForeignStore::dovecot();
    let settings = Settings::after_postfix("local-transport")
        .edit(SOCKET, &store.socket.display().to_string());
    let instance = Instance::new(settings.section("aliases: {\"info\": [\"alice\"]}"));
    let _running = instance.start();
    send(&instance, &["info@example.com"], "1");
    send(&instance, &["root@mail.example.com"], "2");
    let want = [("info@example.com", "1"), ("root@mail.example.com", "2")];
    assert_eq!(stored(&store, 2), pairs(&want));
}

#[test]
fn a_transport_map_leads_each_domain_to_its_server() {
    if !needs_root() || !needs(&["dovecot"]) {
        return;
    }
    let (one, two) = (ForeignStore::dovecot(), ForeignStore::dovecot());
    let settings = Settings::after_postfix("transport-map")
        .edit("/path/name", &one.socket.display().to_string())
        .edit("lmtp2host", &format!("localhost:{}", two.port));
    let instance = Instance::new(settings);
    let _running = instance.start();
    send(&instance, &["alice@domain1.name", "bob@domain2.name"], "1");
    assert_eq!(stored(&one, 1), pairs(&[("alice@domain1.name", "1")]));
    assert_eq!(stored(&two, 1), pairs(&[("bob@domain2.name", "1")]));
}

#[test]
fn a_virtual_alias_takes_a_list_away_from_the_transport_map() {
    if !needs_root() || !needs(&["dovecot"]) {
        return;
    }
    let store = ForeignStore::dovecot();
    let folder = tempfile::Builder::new().prefix("mlm-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("our folder");
    let (program, posts) = (folder.path().join("mlm"), folder.path().join("posts"));
    let script = format!("#!/bin/sh\ncat >> {}\n", posts.display());
    fs::write(&program, script).expect("room");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("our file");
    let mlm = program.display().to_string();
    let settings = Settings::after_postfix("virtual-to-localhost")
        .edit(SOCKET, &store.socket.display().to_string())
        .edit("|/path/to/mlm/software", &format!("|{mlm}"))
        .edit("[\"/path/to/mlm/software\"]", &format!("[{mlm:?}]"));
    let instance = Instance::new(settings);
    let _running = instance.start();
    send(&instance, &["alice@example.org", "mlist@example.org", "bob@example.org"], "1");
    // One transaction for two recipients: Dovecot names neither.
    assert_eq!(stored(&store, 2), pairs(&[("", "1"), ("", "1")]));
    eventually("the list has its post", PATIENCE, || {
        fs::read_to_string(&posts).is_ok_and(|text| text.contains("Subject: 1\n"))
    });
}

#[test]
fn fallback_transport_is_for_names_without_an_account() {
    if !needs_root() || !needs(&["dovecot"]) {
        return;
    }
    let store = ForeignStore::dovecot();
    let spool = tempfile::Builder::new().prefix("spool-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o777)).expect("our folder");
    let settings = Settings::after_postfix("fallback-transport")
        .edit(SOCKET, &store.socket.display().to_string())
        .edit("/var/mail\"", &format!("{}\"", spool.path().display()))
        .edit("\"root\": [\"alice\"]", "\"root\": [\"games\", \"ghost\"]");
    let instance = Instance::new(settings);
    let _running = instance.start();
    for (to, subject) in [("games", "1"), ("ghost", "2"), ("root", "3"), ("games+ext", "4")] {
        send(&instance, &[&format!("{to}@example.com")], subject);
    }
    let want = [("ghost@example.com", "2"), ("ghost@mail.example.com", "3")];
    assert_eq!(stored(&store, 2), pairs(&want));
    let subjects = || {
        let text = fs::read_to_string(spool.path().join("games")).unwrap_or_default();
        let mut all: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("Subject: "))
            .map(str::to_owned)
            .collect();
        all.sort();
        all
    };
    eventually("the account has its mail", PATIENCE, || subjects() == ["1", "3", "4"]);
}

#[test]
fn mailbox_transport_over_tcp_logs_in_at_cyrus() {
    let sasldb = "/usr/lib/x86_64-linux-gnu/sasl2/libsasldb.so";
    if !needs_root() || !needs(&["cyrmaster", sasldb, "/usr/bin/python3"]) {
        return;
    }
    let store = ForeignStore::cyrus_with_passwords("CRAM-MD5 PLAIN", None);
    let settings = Settings::after_postfix("mailbox-transport-tcp")
        .edit("lmtp:localhost", &format!("lmtp:localhost:{}", store.port))
        .edit("/etc/relais/lmtp_sasl_pass", "lmtp_sasl_pass");
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).expect("room");
    let passwords = instance.data().join("lmtp_sasl_pass");
    fs::write(&passwords, "localhost cyrus:secret\n").expect("room");
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).expect("our file");
    let _running = instance.start();
    send(&instance, &["root@example.com", "bob@example.com"], "1");
    eventually("both are stored", PATIENCE, || store.messages().len() == 2);
}
