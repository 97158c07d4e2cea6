//! The shipped samples run as they stand, but for ports and paths. `two_tiers` is about the relay's, and
//! the other files are about the built-in one.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::Duration,
};

use relais_tests::{
    Dialogue, ForeignStore, Instance, Settings, eventually, free_port, mailbox, needs, needs_root,
    open_folder, python,
};

const PATIENCE: Duration = Duration::from_secs(40);
const TEXT: &str = "Subject: x\r\n\r\ntext\r\n";
/// No header of a message of ours looks like this.
const ODD: &str = "no header: x\r\nno blank line\r\n";

/// A mistake would be told, and keep it from starting.
#[track_caller]
fn has_no_mistake(instance: &Instance) {
    let said = instance.relais("check", &[]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success() && text.contains(": 0 mistakes"), "{text}");
}

/// A session of a relay at this address, and the reply for one recipient.
#[track_caller]
fn deliver(from: [u8; 4], port: u16, to: &str, text: &str) -> String {
    let (mut client, greeting) = Dialogue::connect_from(from, port).expect("a connection");
    greeting.expect(220);
    client.ask("LHLO relay.test").expect(250);
    client.message("a@sender.test", &[to], text.as_bytes()).text.trim_end().to_owned()
}

#[test]
fn the_store_serves_relays_accounts_and_a_socket() {
    if !needs_root() || !needs(&["python3"]) {
        return;
    }
    let (native, folder) = (free_port(), open_folder());
    let mail = folder.path().join("mail");
    fs::create_dir(&mail).expect("room");
    fs::set_permissions(&mail, Permissions::from_mode(0o1777)).expect("our folder");
    let instance = Instance::new(Settings::whole_store(native, folder.path()));
    has_no_mistake(&instance);
    let _running = instance.start();
    let lmtp = instance.settings.lmtp;
    let (one, other, stranger) = ([127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]);
    // Relays of ours, to the store and to UNIX mailboxes.
    assert_eq!(deliver(one, lmtp, "jdoe+Work", TEXT), "250 2.5.0 jdoe+Work OK");
    assert_eq!(deliver(other, lmtp, "jane@sesta.com", TEXT), "250 2.5.0 jane@sesta.com OK");
    assert_eq!(deliver(one, lmtp, "jdoe", ODD), "560 5.6.0 jdoe message has bad header");
    assert_eq!(deliver(one, native, "games", TEXT), "250 2.5.0 games OK");
    assert_eq!(deliver(other, native, "gh0st", TEXT), "511 5.1.1 mailbox nonexistent");
    let mbox = fs::read_to_string(mail.join("games")).expect("a mailbox");
    assert!(mbox.starts_with("From a@sender.test ") && mbox.contains("\n\ntext\n\n"), "{mbox}");
    // Nobody else.
    for port in [lmtp, native] {
        let (mut client, greeting) = Dialogue::connect_from(stranger, port).expect("a connection");
        greeting.expect_start("500 Do not connect to this machine");
        assert!(client.is_closed());
    }
    // An MTA of this machine: what is odd is stored as it is.
    let socket = folder.path().join("lmtp");
    let meta = fs::metadata(&socket).expect("a socket");
    assert_eq!((meta.mode() & 0o777, meta.gid()), (0o660, MAIL));
    python(&format!(
        "import smtplib\nwith smtplib.LMTP({:?}) as client:\n    client.ehlo()\n    \
         assert not client.has_extn('xdflg'), client.esmtp_features\n    \
         client.sendmail('a@sender.test', ['jdoe'], {ODD:?}.encode())",
        socket.display().to_string()
    ));
    let counts = [("siroe.com", "jdoe"), ("sesta.com", "jane")]
        .map(|(domain, user)| mailbox(&instance.store(), domain, user).len());
    assert_eq!(counts, [2, 1]);
}

/// The group `mail` of Debian.
const MAIL: u32 = 8;

#[test]
fn the_sample_after_postfix_hands_each_address_to_its_server() {
    let sasldb = "/usr/lib/x86_64-linux-gnu/sasl2/libsasldb.so";
    if !needs_root() || !needs(&["dovecot", "cyrmaster", sasldb]) {
        return;
    }
    let (local, one) = (ForeignStore::dovecot(), ForeignStore::dovecot());
    let two = ForeignStore::cyrus_with_passwords("CRAM-MD5 PLAIN", None);
    let mail = open_folder();
    let login = "program: Lmtp, sasl: (client: May, credentials: \"lmtp.secrets\")),";
    let settings = Settings::postfix()
        .edit("/var/imap/socket/lmtp", &local.socket.display().to_string())
        .edit("/path/name", &one.socket.display().to_string())
        .edit("lmtp2host:24", &format!("localhost:{}", two.port))
        .edit("tag: \"lmtp2-daemon\", program: Lmtp),", &format!("tag: \"lmtp2-daemon\", {login}"))
        .edit("/var/mail", &mail.path().display().to_string());
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).expect("room");
    let secrets = instance.data().join("lmtp.secrets");
    fs::write(&secrets, "localhost cyrus:secret\n").expect("room");
    fs::set_permissions(&secrets, Permissions::from_mode(0o600)).expect("our file");
    has_no_mistake(&instance);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["root@example.org", "ben+box@example.net", "ann@domain1.name", "ann@domain2.name"];
    for to in to {
        client.message("a@sender.test", &[to], TEXT.as_bytes()).expect(250);
    }
    // Its program is not listed.
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<mlist@example.net>").expect_start("451 4.3.5");
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let delivered_to = |store: &ForeignStore| {
        let to = |message: &String| {
            let line = message.lines().find_map(|line| line.strip_prefix("Delivered-To: "));
            line.unwrap_or_default().to_owned()
        };
        let mut all: Vec<_> = store.messages().iter().map(to).collect();
        all.sort();
        all
    };
    assert_eq!(delivered_to(&local), ["alice@mail.example.org", "ben+box@example.net"]);
    assert_eq!(delivered_to(&one), ["ann@domain1.name"]);
    assert_eq!(two.messages().len(), 1, "{}", instance.log());
}
