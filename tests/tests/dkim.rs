//! Mail that leaves is signed: dkimpy and `opendkim` verify what we sign, whatever the message is like.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use relais_tests::{
    DKIMPY, Dialogue, DkimKey, Instance, NameServer, OPENDKIM, Receiver, Settings, Sink,
    dkimpy_verifies, eventually, mailbox, needs, needs_root, opendkim_says, strip_added, wire_form,
};
use tempfile::TempDir;

/// Two keys of relais.example, and their records.
fn keys() -> (TempDir, Vec<DkimKey>, NameServer) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = vec![
        DkimKey::rsa(folder.path(), "relais.example", "s1", 2_048),
        DkimKey::ed25519(folder.path(), "relais.example", "s2"),
    ];
    let zone: String = keys.iter().map(DkimKey::zone_line).collect();
    let server = NameServer::start(&[("relais.example", &zone)]);
    (folder, keys, server)
}

/// Mail of clients of this machine is signed by these keys when it goes to the store.
fn signing(keys: &[DkimKey], more: &str) -> Settings {
    let entries = keys.iter().map(DkimKey::entry).collect::<Vec<_>>().join(", ");
    Settings::standalone()
        .channel("tcp_lmtpcs", "dkim_sign: true")
        .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
        .section(&format!("dkim: (keys: [{entries}]{more})"))
}

/// The message as it left: what the store put in front of it is gone.
fn stored(instance: &Instance, user: &str, subject: &str) -> Option<Vec<u8>> {
    let subject = format!("Subject: {subject}\r\n");
    let its = |message: &[u8]| {
        String::from_utf8_lossy(message).split_inclusive("\r\n").any(|line| line == subject)
    };
    let found =
        mailbox(&instance.store(), "relais.example", user).into_iter().find(|it| its(it))?;
    let is_left = |rest: &&[u8]| {
        rest.starts_with(b"DKIM-Signature:") || !rest.starts_with(b"Re") && !rest.starts_with(b"De")
    };
    let rest = strip_added(&found).find(is_left).map(<[u8]>::to_vec);
    rest.or(Some(found))
}

fn wait_for(instance: &Instance, user: &str, subject: &str) -> Vec<u8> {
    let found = || stored(instance, user, subject);
    eventually(subject, PATIENCE, || found().is_some());
    found().expect("it is there")
}

fn write(folder: &Path, content: &[u8]) -> PathBuf {
    let file = folder.join("message.eml");
    fs::write(&file, content).expect("a file");
    file
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Bodies: name, the body itself.
fn bodies() -> Vec<(&'static str, String)> {
    vec![
        ("plain", "Hello.\r\n".to_owned()),
        ("empty", String::new()),
        ("one blank line", "\r\n".to_owned()),
        ("blank lines behind", "Hello.\r\n\r\n\r\n".to_owned()),
        ("blanks behind", "hello\r\n \r\n".to_owned()),
        ("tabs and blanks behind", "a\r\n\t\r\n  \r\n\r\n".to_owned()),
        ("blanks alone", " \t\r\n".to_owned()),
        ("blanks within", "a  b \t c\t\r\n  d\r\n".to_owned()),
        ("dots", ".\r\n..\r\n.x\r\n".to_owned()),
        ("beyond ASCII", "gr\u{fc}\u{df}e\r\n".to_owned()),
        ("large", "A line of a large message, 57 octets with its end.\t   .\r\n".repeat(40_000)),
    ]
}

#[test]
fn what_is_signed_verifies_in_every_form() {
    if !needs(&[NameServer::PROGRAM, DKIMPY, OPENDKIM]) {
        return;
    }
    let (folder, keys, server) = keys();
    for (header, body) in
        [("Relaxed", "Relaxed"), ("Relaxed", "Simple"), ("Simple", "Relaxed"), ("Simple", "Simple")]
    {
        let more = format!(", header_form: {header}, body_form: {body}, expire: \"5d\"");
        let instance = Instance::new(signing(&keys, &more));
        let _running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        for (name, content) in bodies() {
            let message = format!(
                "From: Alice <alice@relais.example>\r\nTo: bob@relais.example,\r\n\tc@else.test\r\n\
                 Subject: {name}\r\nDate: Mon, 30 Nov 2026 07:00:00 +0000\r\n\
                 Message-ID: <{}@relais.example>\r\nX-Other: 1\r\n\r\n{content}",
                name.replace(' ', ".")
            );
            let to = ["bob@relais.example"];
            client.message("alice@relais.example", &to, message.as_bytes()).expect(250);
            let got = wait_for(&instance, "bob", name);
            let text = String::from_utf8_lossy(&got);
            assert_eq!(text.matches("DKIM-Signature: v=1; a=").count(), 2, "{name}: {text:.2000}");
            for line in text.split("\r\n").take_while(|line| !line.is_empty()) {
                assert!(line.len() <= 100, "{name}: {line}");
            }
            let file = write(folder.path(), &got);
            let said = dkimpy_verifies(&file, &server);
            assert_eq!(said, ["True", "True"], "{header}/{body}, {name}: {text:.3000}");
            let said = opendkim_says(&file, &keys);
            assert!(said.contains("succeeded"), "{header}/{body}, {name}: {said}");
            assert!(!said.contains("failed"), "{header}/{body}, {name}: {said}");
        }
    }
}

/// Sends a message from a client of this address: 127.0.0.1 is one of ours.
fn send(instance: &Instance, client: u8, (sender, from, subject): (&str, &str, &str)) {
    let client = Dialogue::connect_from([127, 0, 0, client], instance.settings.smtp);
    let (mut client, _) = client.expect("a greeting");
    client.ask("EHLO client.test").expect(250);
    let message = format!("From: {from}\r\nSubject: {subject}\r\n\r\nx\r\n");
    client.message(sender, &["bob@relais.example"], message.as_bytes()).expect(250);
}

/// The `d=` and `s=` of the signatures of a message.
fn signed_by(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message).into_owned();
    let text = text.replace("\r\n\t", " ");
    let fields = text.split("\r\n").filter_map(|line| line.strip_prefix("DKIM-Signature: "));
    let tag = |field: &str, tag: &str| {
        let tags = field.split("; ").find_map(|its| its.strip_prefix(tag).map(str::to_owned));
        tags.unwrap_or_default()
    };
    fields.map(|field| format!("{} {}", tag(field, "d="), tag(field, "s="))).collect()
}

#[test]
fn mail_is_signed_for_its_author_where_we_know_that_it_is_one_of_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let keys = [
        DkimKey::ed25519(folder, "relais.example", "a"),
        DkimKey::ed25519(folder, "relais.example", "b"),
        DkimKey::ed25519(folder, "near.relais.example", "n"),
        DkimKey::ed25519(folder, "alone.example", "c"),
    ];
    let alone = keys[3].entry().replace(')', ", subdomains: false)");
    let settings =
        signing(&keys[..3], "").edit("dkim: (keys: [", &format!("dkim: (keys: [{alone}, "));
    let instance = Instance::new(settings);
    let _running = instance.start();
    // client, envelope sender, From, who signs
    let both = &["relais.example a", "relais.example b"][..];
    let rows = [
        (1, "a@relais.example", "a@relais.example", both),
        (1, "a@relais.example", "\"x@alone.example\" <a@RELAIS.example>, y@alone.example", both),
        (1, "", "a@sub.relais.example", both),
        (1, "", "a@deep.near.relais.example", &["near.relais.example n"]),
        (1, "", "a@alone.example", &["alone.example c"]),
        (1, "", "a@sub.alone.example", &[]),
        (1, "", "a@notrelais.example", &[]),
        (1, "a@relais.example", "a@else.test", both),
        (1, "a@else.test", "a@else.test\r\nSender: b@relais.example", both),
        (1, "", "nobody", &[]),
        // Anybody may write such a name.
        (9, "a@relais.example", "a@relais.example", &[]),
        (9, "a@else.test", "a@relais.example", &[]),
        (9, "", "a@relais.example", &[]),
    ];
    for (n, (client, sender, from, want)) in rows.into_iter().enumerate() {
        let subject = format!("row {n}");
        send(&instance, client, (sender, from, &subject));
        let got = wait_for(&instance, "bob", &subject);
        assert_eq!(signed_by(&got), want, "{client} {sender} {from}");
    }
}

#[test]
fn a_list_signs_what_a_stranger_wrote_only_in_a_name_that_is_not_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = [DkimKey::ed25519(folder.path(), "relais.example", "s")];
    let list =
        "aliases: {\"crew\": [\"[ENVELOPE_FROM] bounce@relais.example\", \"bob@relais.example\"]}";
    let instance = Instance::new(signing(&keys, "").section(list));
    let _running = instance.start();
    let rows = [
        ("a@else.test", &["relais.example s"][..]),
        ("ceo@relais.example", &[]),
        ("ceo@sub.relais.example", &[]),
        ("a@else.test, CEO <ceo@RELAIS.example>", &[]),
        ("a@else.test\r\nFrom: ceo@relais.example", &[]),
        ("nobody", &[]),
    ];
    for (n, (from, want)) in rows.into_iter().enumerate() {
        let client = Dialogue::connect_from([127, 0, 0, 9], instance.settings.smtp);
        let (mut client, _) = client.expect("a greeting");
        client.ask("EHLO client.test").expect(250);
        let subject = format!("row {n}");
        let message = format!("From: {from}\r\nSubject: {subject}\r\n\r\nx\r\n");
        client.message("x@evil.test", &["crew@relais.example"], message.as_bytes()).expect(250);
        assert_eq!(signed_by(&wait_for(&instance, "bob", &subject)), want, "{from}");
    }
}

#[test]
fn notices_of_ours_and_mail_that_was_converted_are_signed_as_they_leave() {
    if !needs(&[NameServer::PROGRAM, DKIMPY]) {
        return;
    }
    let (folder, keys, server) = keys();
    let sink = Sink::start();
    sink.keep_contents();
    sink.answer("LHLO", "250-sink\r\n250 ENHANCEDSTATUSCODES");
    sink.answer("<nobody", "550 5.1.1 no such user");
    let settings = signing(&keys, "").deliver_to(sink.port);
    let settings = settings.edit("host: \"localhost\"", "host: \"localhost.relais.example\"");
    let settings = settings.edit("@localhost\"", "@localhost.relais.example\"");
    let settings = settings.edit("tag: \"localhost\"", "tag: \"localhost.relais.example\"");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let message = "From: alice@relais.example\r\nMessage-ID: <eight@relais.example>\r\n\
        MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\n.gr\u{fc}\u{df}e\r\n";
    client.message("alice@relais.example", &["bob@relais.example"], message.as_bytes()).expect(250);
    eventually("the message", PATIENCE, || sink.total() == 1);
    let got = sink.content_of("eight@relais.example");
    assert!(got.contains("quoted-printable") && got.contains(".gr=C3=BC=C3=9Fe"), "{got}");
    let file = write(folder.path(), got.as_bytes());
    assert_eq!(dkimpy_verifies(&file, &server), ["True", "True"], "{got}");

    sink.answer("<bob", "550 5.1.1 no such user");
    client.message("alice@relais.example", &["bob@relais.example"], message.as_bytes()).expect(250);
    eventually("a notice", PATIENCE, || sink.total() == 2);
    let id = sink.order().pop().expect("a message");
    let got = sink.content_of(&id);
    assert!(got.contains("multipart/report"), "{got}");
    let file = write(folder.path(), got.as_bytes());
    assert_eq!(dkimpy_verifies(&file, &server), ["True", "True"], "{got}");
}

#[test]
fn a_key_that_cannot_sign_is_told_with_its_file_and_a_worse_one_leaves_the_old_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let short = DkimKey::rsa(folder, "relais.example", "short", 1_024);
    let good = DkimKey::ed25519(folder, "relais.example", "good");
    let other = DkimKey::ed25519(folder, "relais.example", "other");
    let gone = DkimKey { file: folder.join("gone.pem"), ..good.clone() };
    for (key, want) in [(&short, "the RSA key is too short: 2048 bits"), (&gone, "No such file")] {
        let instance = Instance::new(signing(std::slice::from_ref(key), ""));
        let output = instance.relais("check", &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let file = key.file.display().to_string();
        assert!(said.contains(want) && said.contains(&file), "{want}: {said}");
        assert!(said.contains("dkim.keys[0].key"), "{said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        let output = instance.relais("run", &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(want) && said.contains(&file), "{said}");
    }
    let instance = Instance::new(signing(std::slice::from_ref(&good), ""));
    let _running = instance.start();
    send(&instance, 1, ("", "a@relais.example", "first"));
    assert_eq!(signed_by(&wait_for(&instance, "bob", "first")), ["relais.example good"]);
    fs::write(&good.file, "no key").expect("a file");
    eventually("it is told", PATIENCE, || {
        instance.log().contains("keys that sign have changed and cannot be used")
    });
    send(&instance, 1, ("", "a@relais.example", "second"));
    assert_eq!(signed_by(&wait_for(&instance, "bob", "second")), ["relais.example good"]);
    fs::copy(&other.file, &good.file).expect("a copy");
    eventually("it is read", PATIENCE, || {
        instance.log().contains("keys that sign have changed and are in force")
    });
}

#[test]
fn check_tells_of_keys_without_a_channel_and_of_channels_without_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = DkimKey::ed25519(folder.path(), "relais.example", "a");
    let said = |settings: Settings| {
        let output = Instance::new(settings).relais("check", &[]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let both = signing(&[key], "");
    let text = said(both.clone());
    assert!(!text.contains("nothing is signed") && !text.contains("section dkim"), "{text}");
    let text = said(both.edit(" dkim_sign: true,", ""));
    assert!(
        text.contains("no channel that mail leaves by has dkim_sign: true: nothing is signed"),
        "{text}"
    );
    let text = said(Settings::standalone().channel("tcp_lmtpcs", "dkim_sign: true"));
    assert!(text.contains("there is no section dkim: nothing comes of dkim_sign"), "{text}");
}

#[test]
fn what_leaves_by_smtp_to_a_real_server_verifies_there() {
    if !needs(&[NameServer::PROGRAM, DKIMPY, "/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let (folder, keys, server) = keys();
    let postfix = Receiver::postfix("");
    let entries = keys.iter().map(DkimKey::entry).collect::<Vec<_>>().join(", ");
    let settings = Settings::standalone()
        .smtp_out(&format!("[127.0.0.1]:{}", postfix.port), "dkim_sign: true")
        .section(&format!("dkim: (keys: [{entries}])"));
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let large = "A line of a large message.\t   .\r\n".repeat(40_000);
    for body in ["x\r\n", ".\r\n..\r\n \r\n\r\n", &large] {
        let message = format!("From: a@relais.example\r\nSubject: x\r\n\r\n{body}");
        client.message("a@relais.example", &["bob@remote.test"], message.as_bytes()).expect(250);
    }
    eventually("Postfix has them", PATIENCE, || postfix.messages().len() == 3);
    for message in postfix.messages() {
        let message = String::from_utf8_lossy(&wire_form(message)).into_owned();
        let begin = message.find("DKIM-Signature: ").expect("a signature");
        let file = write(folder.path(), &message.as_bytes()[begin..]);
        assert_eq!(dkimpy_verifies(&file, &server), ["True", "True"], "{message:.2000}");
    }
}

/// A message that is announced behind the one before it says how large it will be with its signatures.
#[test]
fn messages_that_are_signed_are_announced_as_they_are_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = DkimKey::ed25519(folder.path(), "relais.example", "a");
    let sink = Sink::start();
    sink.answer("LHLO", "250-sink\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME");
    sink.keep_contents();
    let settings = signing(&[key], "").deliver_to(sink.port).channel("tcp_lmtpcs", "maxjobs: 1");
    let instance = Instance::new(settings.edit("maxjobs: 7, ", ""));
    let _running = instance.start();
    sink.pause();
    let mut client = Dialogue::open(instance.settings.smtp);
    for n in 0..40 {
        let header = format!("From: a@relais.example\r\nMessage-ID: <m{n}@relais.example>\r\n");
        let message = header + "Subject: x\r\n\r\nx\r\n";
        client.message("a@relais.example", &["bob@relais.example"], message.as_bytes()).expect(250);
    }
    sink.resume();
    eventually("all have come", PATIENCE, || sink.total() == 40);
    assert!(sink.announced() > 0, "none was announced");
    assert!(sink.connections() <= 10, "{} connections", sink.connections());
    for n in 0..40 {
        let got = sink.content_of(&format!("m{n}@relais.example"));
        assert_eq!(signed_by(got.as_bytes()), ["relais.example a"], "{got}");
    }
    assert!(sink.repeated().is_empty(), "{:?}", sink.repeated());
}
