//! Real messages, sent by real clients, arrive in the Maildirs as they were sent, and a real IMAP
//! server shows them.
//!
//! Every message of Debian's Python test suite and of the `mail-parser` crate goes to alice, to bob
//! and to the list team. "As they were sent" means: byte for byte what was on the wire, after
//! `Received:` and its like have been taken off the front, but for a blank line that was missing.

use std::{
    collections::HashMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use relais_tests::{
    Dialogue, Dovecot, Instance, Sample, Settings, dot_stuffed, eventually, mailbox, needs,
    python_samples, rust_samples, strip_added,
};

/// RFC 5321 4.5.2 has no NUL in a message: it is refused before it can confuse anybody.
fn has_nul(sample: &Sample) -> bool {
    sample.content.contains(&0)
}

/// How often each content is expected.
type Expected = HashMap<Vec<u8>, usize>;

#[test]
fn real_messages_arrive_byte_for_byte_and_are_served_over_imap() {
    if !needs(&[PYTHON, SUITE, "swaks", "dovecot", IMAP]) {
        return;
    }
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    let (with_nul, samples): (Vec<_>, Vec<_>) =
        [python_samples(), rust_samples()].concat().into_iter().partition(has_nul);
    for sample in &with_nul {
        let mut session = Dialogue::open(instance.settings.smtp);
        session.begin("sender@sender.test", &["alice@relais.example"]);
        session.finish(&sample.content).expect(550);
    }
    assert!(!with_nul.is_empty());

    send_with_smtplib(instance.settings.smtp, &samples);
    let by_swaks: Vec<_> = samples.iter().step_by(12).cloned().collect();
    for sample in &by_swaks {
        send_with_swaks(instance.settings.smtp, sample);
    }

    // alice and bob get each message for themselves and as members of team.
    let mut expected = Expected::new();
    for sample in samples.iter().flat_map(|sample| [sample, sample]).chain(&by_swaks) {
        *expected.entry(with_a_blank_line(&sample.content)).or_default() += 1;
    }
    let count = expected.values().sum();
    for user in USERS {
        eventually(&format!("{count} messages for {user}"), Duration::from_secs(60), || {
            mailbox(&instance.store(), DOMAIN, user).len() >= count
        });
        let stored = mailbox(&instance.store(), DOMAIN, user);
        compare(user, &stored, expected.clone());
    }
    assert_eq!(instance.queue().len(), 0, "nothing is left in the queue");

    running.terminate();
    drop(running);
    let mailboxes = USERS.map(|user| (user, mailbox(&instance.store(), DOMAIN, user)));
    let dovecot = Dovecot::over(&instance.store());
    for (user, stored) in mailboxes {
        serves(&dovecot, &instance.path(user), user, &stored);
    }
}

/// The message as it is queued: a header that no blank line ends gets one, and the line of an mbox in
/// front of it becomes a field.
fn with_a_blank_line(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut lines = content.split_inclusive(|c| *c == b'\n').peekable();
    let is_mbox = |line: &[u8]| {
        let line = line.iter().skip_while(|c| **c == b'>').copied().take(5).collect::<Vec<_>>();
        line == b"From "
    };
    if lines.peek().is_some_and(|line| is_mbox(line)) {
        out.extend_from_slice(b"X-Mailbox-Line: ");
        out.extend_from_slice(lines.next().unwrap_or_default());
    }
    let is_field = |line: &[u8]| {
        let colon = line.iter().position(|c| *c == b':');
        colon.is_some_and(|at| {
            let name = line[..at].trim_ascii_end();
            !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
        })
    };
    while let Some(line) = lines.next_if(|line| line.trim_ascii() != b"") {
        let is_folded = !out.is_empty() && line.starts_with(b" ") || line.starts_with(b"\t");
        if !is_folded && !is_field(line) {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(line);
            break;
        }
        out.extend_from_slice(line);
    }
    lines.for_each(|line| out.extend_from_slice(line));
    out
}

/// The peer by itself: if this fails, the other test says nothing about relais.
#[test]
fn the_imap_server_gives_back_what_lies_in_a_maildir() {
    if !needs(&[PYTHON, SUITE, "dovecot", IMAP]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let maildir = store.join(DOMAIN).join("alice/Maildir");
    for sub in ["new", "cur", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    let samples = [python_samples(), rust_samples()].concat();
    for (number, sample) in samples.iter().enumerate() {
        fs::write(maildir.join(format!("new/1700000000.M{number}.host")), &sample.content).unwrap();
    }
    let stored = mailbox(&store, DOMAIN, "alice");
    serves(&Dovecot::over(&store), &folder.path().join("got"), "alice", &stored);
}

/// All messages three times over one connection, by Python's own client.
fn send_with_smtplib(port: u16, samples: &[Sample]) {
    let mut python = Command::new(PYTHON)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/send.py"))
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = python.stdin.take().unwrap();
    for sample in samples {
        for recipient in ["alice", "bob", "team"] {
            let path = sample.path.display();
            writeln!(lines, "sender@sender.test\t{recipient}@{DOMAIN}\t{path}").unwrap();
        }
    }
    drop(lines);
    let output = python.wait_with_output().unwrap();
    let refused = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "smtplib was refused:\n{refused}");
}

/// To team, in wire form: swaks has to leave the content alone, and adds the last CRLF itself.
fn send_with_swaks(port: u16, sample: &Sample) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[dot_stuffed(&sample.content).as_slice(), b"."].concat()).unwrap();
    let output = Command::new("swaks")
        .args(["--server", &format!("127.0.0.1:{port}"), "--helo", "swaks.test"])
        .args(["--from", "sender@sender.test", "--to", &format!("team@{DOMAIN}")])
        .args(["--no-data-fixup", "--data", &format!("@{}", file.path().display())])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}:\n{said}", sample.path.display());
}

/// Each stored message is one of the expected, behind at least one added header.
fn compare(user: &str, stored: &[Vec<u8>], mut expected: Expected) {
    for message in stored {
        let sent = strip_added(message).find(|rest| expected.get(*rest).is_some_and(|n| *n > 0));
        let sent = sent.unwrap_or_else(|| {
            panic!("{user} got what nobody sent:\n{}", String::from_utf8_lossy(message))
        });
        *expected.get_mut(sent).unwrap() -= 1;
    }
    let left = expected.into_iter().find(|(_, count)| *count > 0);
    if let Some((content, count)) = left {
        panic!("{user} lacks {count} of:\n{}", String::from_utf8_lossy(&content));
    }
}

/// Over IMAP come exactly the messages that lie in the Maildir.
fn serves(dovecot: &Dovecot, folder: &Path, user: &str, stored: &[Vec<u8>]) {
    let output = Command::new(PYTHON)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/fetch.py"))
        .args([&dovecot.port.to_string(), &format!("{user}@{DOMAIN}")])
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}\n{}", dovecot.log());
    let mut fetched: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let mut stored: Vec<_> = stored.iter().map(|message| as_imap_shows(message)).collect();
    fetched.sort();
    stored.sort();
    assert_eq!(fetched.len(), stored.len(), "{user}: number of messages over IMAP");
    for (got, want) in fetched.iter().zip(&stored) {
        assert!(got == want, "{user}: IMAP gives\n{got:?}\ninstead of\n{want:?}");
    }
}

/// IMAP has no NUL in a literal; Dovecot sends 0x80 for it.
fn as_imap_shows(message: &[u8]) -> Vec<u8> {
    message.iter().map(|&octet| if octet == 0 { 0x80 } else { octet }).collect()
}

const DOMAIN: &str = "relais.example";
const USERS: [&str; 2] = ["alice", "bob"];
const PYTHON: &str = "/usr/bin/python3";
const SUITE: &str = "/usr/lib/python3.11/test/test_email/data/msg_01.txt";
const IMAP: &str = "/usr/lib/dovecot/imap";
