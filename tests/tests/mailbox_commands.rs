//! `relais mailbox`, asked of a running engine and of the files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Running, Settings};

const TEXT: &str = "Subject: x\r\nMessage-ID: <one@sender.test>\r\n\r\ntext\r\n";

fn start(settings: Settings) -> (Instance, Running) {
    let instance = Instance::new(settings);
    let running = instance.start();
    (instance, running)
}

fn lmtp(instance: &Instance) -> Dialogue {
    let (mut client, greeting) = Dialogue::connect(instance.settings.lmtp).expect("a connection");
    greeting.expect(220);
    client.ask("LHLO mail.test").expect(250);
    client
}

fn deliver(client: &mut Dialogue, to: &str, text: &str) -> String {
    client.message("a@sender.test", &[to], text.as_bytes()).text.trim_end().to_owned()
}

fn count(maildir: &Path) -> usize {
    ["new", "cur"]
        .map(|sub| fs::read_dir(maildir.join(sub)).map_or(0, Iterator::count))
        .iter()
        .sum()
}

fn maildir(instance: &Instance, user: &str) -> PathBuf {
    instance.store().join("relais.example").join(user).join("Maildir")
}

/// What a command prints, and what it answers.
fn said(output: &Output) -> (i32, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[track_caller]
fn expect(output: &Output, status: i32, words: &[&str]) {
    let (code, text) = said(output);
    assert_eq!(code, status, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

/// The commands that end in the same whoever does them.
fn every_command(instance: &Instance, how: &[&str]) {
    let ask = |args: &[&str]| instance.relais("mailbox", &[args, how].concat());
    expect(&ask(&["create", "bob"]), 0, &["bob@relais.example: made"]);
    expect(&ask(&["create", "bob@relais.example"]), 0, &["was there already"]);
    expect(&ask(&["create", "carol@other.example"]), 0, &["carol@other.example: made"]);
    expect(&ask(&["create", "bob+Work"]), 2, &["\"Work\" is a folder in one"]);
    expect(&ask(&["create", "../x"]), 2, &["names no mailbox"]);
    let (code, listed) = said(&ask(&["list"]));
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    let all = ["alice@relais.example", "bob@relais.example", "carol@other.example"];
    assert_eq!((code, listed), (0, all.to_vec()));
    let listed = instance.json("mailbox", &[&["list", "--domain", "other.example"], how].concat());
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["mailbox"], "carol@other.example");
    assert!(Path::new(listed[0]["path"].as_str().expect("a path")).join("cur").is_dir());
    assert_eq!(instance.json("mailbox", &[&["list", "--limit", "2"], how].concat()).len(), 2);
    // Limits, and who says so.
    expect(&ask(&["quota", "nobody"]), 2, &["there is no mailbox nobody@relais.example"]);
    let words = ["1 message, ", "limit: 20.0 KiB (store.default_quota)"];
    expect(&ask(&["quota", "alice"]), 0, &words);
    // A look, and what is mended.
    expect(&ask(&["check", "alice", "bob"]), 0, &["alice@relais.example: 1 message", "well"]);
    let bob = maildir(instance, "bob");
    fs::remove_dir(bob.join("tmp")).expect("allowed");
    fs::create_dir(bob.join("new/odd")).expect("room");
    fs::write(bob.join("maildirsize"), "1S\n7 7\n").expect("room");
    let wrong = ["tmp: the directory is missing", "new/odd: no message", "7 octets in 7 messages"];
    expect(&ask(&["check", "--all"]), 1, &wrong);
    expect(&ask(&["check", "--all", "--repair"]), 0, &["(mended)"]);
    expect(&ask(&["check", "--all"]), 0, &["3 mailboxes were looked at"]);
    assert!(bob.join("tmp").is_dir() && instance.store().join(".lost/odd").is_dir());
    // Another name, in another domain.
    expect(&ask(&["rename", "nobody", "other"]), 2, &["there is no mailbox nobody@"]);
    expect(&ask(&["rename", "alice", "bob"]), 2, &["bob@relais.example has a mailbox"]);
    let renamed = ask(&["rename", "alice", "alice@other.example"]);
    expect(&renamed, 0, &["alice@relais.example: is alice@other.example now"]);
    let alice = instance.store().join("other.example/alice/Maildir");
    assert_eq!((count(&alice), maildir(instance, "alice").exists()), (1, false));
    expect(&ask(&["rename", "alice@other.example", "alice"]), 0, &["is alice@relais.example now"]);
    // Nobody deletes anything by mistake.
    expect(&ask(&["delete", "bob"]), 2, &["say --yes"]);
    expect(&ask(&["delete", "bob", "--yes"]), 0, &["bob@relais.example: deleted"]);
    assert!(!instance.store().join("relais.example/bob").exists());
    expect(&ask(&["delete", "bob", "--yes"]), 2, &["there is no mailbox bob@"]);
    expect(&ask(&["delete", "carol@other.example", "--yes"]), 0, &["deleted"]);
    assert_eq!(count(&maildir(instance, "alice")), 1);
}

#[test]
fn every_command_does_the_same_with_an_engine_and_without() {
    let settings = Settings::standalone()
        .edit("autocreate: Inbox", "autocreate: Inbox, default_quota: (size: \"20KiB\")");
    let (instance, running) = start(settings);
    deliver(&mut lmtp(&instance), "alice@relais.example", TEXT);
    every_command(&instance, &[]);
    let files = |how: &[&str]| instance.relais("mailbox", &[&["create", "dave"], how].concat());
    expect(&files(&["--offline"]), 1, &["the store is in use by another process"]);
    let log = instance.log();
    for order in ["Create", "Repair", "Rename", "Delete"] {
        assert!(log.contains(&format!("\"order\":\"{order}\"")), "{order}: {log}");
    }
    drop(running);
    every_command(&instance, &["--offline"]);
    // Without the word, too, where no engine runs.
    expect(&files(&[]), 0, &["dave@relais.example: made"]);
    let deleted = instance.store().join(".deleted");
    assert_eq!(fs::read_dir(deleted).expect("a directory").count(), 0);
}

#[test]
fn a_mailbox_is_renamed_and_deleted_under_load_and_nothing_is_lost_or_left_over() {
    let (instance, _running) = start(Settings::standalone());
    let end = Instant::now() + Duration::from_secs(3);
    let sent: Vec<usize> = thread::scope(|threads| {
        let senders: Vec<_> = ["alice", "bob"]
            .map(|user| {
                let instance = &instance;
                threads.spawn(move || {
                    let mut client = lmtp(instance);
                    let mut sent = 0;
                    while Instant::now() < end {
                        let reply = deliver(&mut client, &format!("{user}@relais.example"), TEXT);
                        // Put off while its mailbox is being changed.
                        let is_taken = reply.starts_with("250 2.5.0");
                        assert!(is_taken || reply == "421 4.2.1 Mailbox busy", "{user}: {reply}");
                        assert!(is_taken || user == "alice", "{user}: {reply}");
                        sent += usize::from(is_taken);
                    }
                    sent
                })
            })
            .into();
        for n in 0..6 {
            thread::sleep(Duration::from_millis(300));
            let to = format!("old{n}");
            expect(&instance.relais("mailbox", &["rename", "alice", &to]), 0, &["now"]);
        }
        senders.into_iter().map(|sender| sender.join().expect("no panic")).collect()
    });
    let of = |user: &str| count(&maildir(&instance, user));
    let old: usize = (0..6).map(|n| of(&format!("old{n}"))).sum();
    assert_eq!((old + of("alice"), of("bob")), (sent[0], sent[1]));
    assert!(sent[0] > 10 && old > 0, "{sent:?}, {old} of them were renamed");
    expect(&instance.relais("mailbox", &["delete", "old0", "--yes"]), 0, &["deleted"]);
    assert_eq!(of("old0"), 0);
    expect(&instance.relais("mailbox", &["check", "--all"]), 0, &["mailboxes were looked at"]);
}

#[test]
fn a_duplicate_is_answered_and_not_delivered_over_a_restart_too() {
    let store = "autocreate: Inbox, duplicates: (window: \"1h\")";
    let (instance, running) = start(Settings::standalone().edit("autocreate: Inbox", store));
    let mut client = lmtp(&instance);
    let (alice, bob) = ("alice@relais.example", "bob@relais.example");
    let plain = "Subject: no id\r\n\r\ntext\r\n";
    let large = format!("{TEXT}{}", "The horses are changed at the next relay.\r\n".repeat(9_000));
    let large = large.replace("<one@", "<large@");
    for (to, text) in [
        (alice, TEXT),
        (alice, TEXT),
        (bob, TEXT),
        (alice, plain),
        (alice, plain),
        (alice, &large),
        (alice, &large),
    ] {
        assert_eq!(deliver(&mut client, to, text), format!("250 2.5.0 {to} OK"));
    }
    let counts = || (count(&maildir(&instance, "alice")), count(&maildir(&instance, "bob")));
    assert_eq!(counts(), (4, 1));
    assert!(instance.metric("relais_store_duplicates_total") >= 2.0);
    let log = instance.log();
    assert_eq!(log.matches("a duplicate was not delivered again").count(), 2, "{log}");
    drop(client);
    running.kill();
    let _running = instance.start();
    assert_eq!(deliver(&mut lmtp(&instance), alice, TEXT), format!("250 2.5.0 {alice} OK"));
    assert_eq!(counts(), (4, 1));
}
