//! Deliveries into a partition in a temporary directory.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::mail::Address;

fn store(root: &Path, autocreate: Autocreate) -> Store {
    Store { path: root.to_owned(), autocreate, default_quota: Quota::default() }
}

fn open(root: &Path, autocreate: Autocreate) -> Partition {
    Partition::open(&store(root, autocreate), "host.example").expect("a partition").0
}

fn rcpt(address: &str) -> Rcpt {
    let parsed = Address::parse(address).expect(address);
    let mailbox = MailboxName::of(&parsed, "siroe.com").expect(address);
    Rcpt { mailbox, as_given: address.to_owned(), quota: None, flags: 0 }
}

fn whole(text: &str, recipients: &[&str]) -> Delivery {
    let recipients = recipients.iter().map(|address| rcpt(address)).collect();
    Delivery { body: Body::Whole(text.into()), recipients }
}

fn deliver(partition: &mut Partition, delivery: Delivery) -> Vec<String> {
    let replies = partition.deliver(&[delivery]).remove(0);
    replies.iter().map(ToString::to_string).collect()
}

/// The messages in `new` below a directory of the partition.
fn messages(root: &Path, dir: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root.join(dir).join("new")) else { return Vec::new() };
    entries.map(|entry| entry.expect("readable").path()).collect()
}

#[test]
fn one_file_serves_all_recipients_and_each_is_told() {
    let root = tempfile::tempdir().expect("a directory");
    let mut partition = open(root.path(), Autocreate::Inbox);
    let to = ["jdoe", "amy@sesta.com", "JDoe@Siroe.com", "bob+work"];
    let replies = deliver(&mut partition, whole("text", &to));
    assert_eq!(replies, to.map(|to| format!("250 2.5.0 {to} OK")));
    let mut inodes = Vec::new();
    for dir in ["siroe.com/jdoe/Maildir", "sesta.com/amy/Maildir", "siroe.com/bob/Maildir"] {
        let [file] = &*messages(root.path(), dir) else { panic!("one message in {dir}") };
        assert_eq!(fs::read_to_string(file).expect("readable"), "text");
        inodes.push(fs::metadata(file).expect("a file").ino());
    }
    inodes.dedup();
    assert_eq!(inodes.len(), 1);
    assert_eq!(fs::read_dir(root.path().join(SPILL)).expect("readable").count(), 0);
}

#[test]
fn unknown_mailboxes_and_folders_are_made_as_configured() {
    let existing = "siroe.com/jdoe/Maildir/.Work";
    let inbox = "siroe.com/jdoe/Maildir";
    let rows = [
        ("an unknown user", Autocreate::No, "amy", 0, None),
        ("an unknown user, made", Autocreate::Inbox, "amy", 0, Some("siroe.com/amy/Maildir")),
        ("a folder that is there", Autocreate::No, "jdoe+Work", 0, Some(existing)),
        ("an unknown folder", Autocreate::Inbox, "jdoe+New", 0, Some(inbox)),
        ("made", Autocreate::All, "jdoe+New", 0, Some("siroe.com/jdoe/Maildir/.New")),
        ("trusted", Autocreate::No, "jdoe+New", 1, Some("siroe.com/jdoe/Maildir/.New")),
        ("an unknown user is not trusted", Autocreate::No, "amy+New", 1, None),
    ];
    for (name, autocreate, to, flags, want) in rows {
        let root = tempfile::tempdir().expect("a directory");
        maildir::create(&root.path().join(existing)).expect("room");
        maildir::create(&root.path().join(inbox)).expect("room");
        let mut partition = open(root.path(), autocreate);
        let mut delivery = whole("text", &[to]);
        delivery.recipients[0].flags = flags;
        let replies = deliver(&mut partition, delivery);
        match want {
            Some(dir) => assert_eq!(messages(root.path(), dir).len(), 1, "{name}: {replies:?}"),
            None => assert_eq!(replies, ["511 5.1.1 mailbox nonexistent"], "{name}"),
        }
        if want.is_some_and(|dir| dir.ends_with("New")) {
            let list = fs::read_to_string(root.path().join(inbox).join("subscriptions"));
            assert_eq!(list.expect("a list"), "New\n", "{name}");
        }
    }
}

#[test]
fn a_full_mailbox_refuses_and_the_others_do_not() {
    let root = tempfile::tempdir().expect("a directory");
    let mut partition = open(root.path(), Autocreate::Inbox);
    let said = |size| Some(XQuota { size, messages: 100 });
    for (size, flags, want) in [
        (10, 0, "250 2.5.0 jdoe OK"),
        (10, 0, "422 4.2.2 Quota Exceeded"),
        (4, 0, "523 5.2.3 Message too large"),
        (10, WITHOUT_QUOTA, "250 2.5.0 jdoe OK"),
    ] {
        let mut delivery = whole("6 long", &["jdoe", "amy"]);
        delivery.recipients[0].quota = said(size);
        delivery.recipients[0].flags = flags;
        assert_eq!(deliver(&mut partition, delivery), [want, "250 2.5.0 amy OK"]);
    }
    assert_eq!(messages(root.path(), "siroe.com/jdoe/Maildir").len(), 2);
}

#[test]
fn what_is_counted_for_a_delivery_that_fails_is_given_back() {
    let root = tempfile::tempdir().expect("a directory");
    let mut partition = open(root.path(), Autocreate::No);
    let maildir = root.path().join("siroe.com/jdoe/Maildir");
    maildir::create(&maildir).expect("room");
    let mut delivery = whole("text", &["jdoe"]);
    delivery.recipients[0].quota = Some(XQuota { size: 100, messages: 10 });
    // Known to be there, and then gone.
    assert_eq!(deliver(&mut partition, whole("text", &["jdoe"])), ["250 2.5.0 jdoe OK"]);
    fs::remove_dir_all(maildir.join("new")).expect("allowed");
    assert_eq!(deliver(&mut partition, delivery), ["511 5.1.1 mailbox nonexistent"]);
    let file = fs::read_to_string(maildir.join("maildirsize")).expect("a file");
    assert_eq!(file, "100S,10C\n0 0\n4 1\n-4 -1\n");
}

#[test]
fn a_message_in_a_file_is_moved_into_its_mailboxes() {
    let root = tempfile::tempdir().expect("a directory");
    let mut partition = open(root.path(), Autocreate::Inbox);
    let path = Partition::spill_dir(root.path()).join("spill.0");
    fs::write(&path, "large").expect("room");
    let recipients = vec![rcpt("jdoe"), rcpt("amy")];
    let delivery = Delivery { body: Body::File { path: path.clone(), size: 5 }, recipients };
    assert_eq!(deliver(&mut partition, delivery), ["250 2.5.0 jdoe OK", "250 2.5.0 amy OK"]);
    for dir in ["siroe.com/jdoe/Maildir", "siroe.com/amy/Maildir"] {
        assert_eq!(fs::read_to_string(&messages(root.path(), dir)[0]).expect("a file"), "large");
    }
    assert!(!path.exists());
}

#[test]
fn a_mailbox_removed_behind_our_back_is_made_again_if_allowed() {
    let root = tempfile::tempdir().expect("a directory");
    let mut partition = open(root.path(), Autocreate::Inbox);
    deliver(&mut partition, whole("text", &["jdoe"]));
    deliver(&mut partition, whole("text", &["jdoe"]));
    fs::remove_dir_all(root.path().join("siroe.com")).expect("allowed");
    assert_eq!(deliver(&mut partition, whole("text", &["jdoe"])), ["250 2.5.0 jdoe OK"]);
    assert_eq!(messages(root.path(), "siroe.com/jdoe/Maildir").len(), 1);
}

#[test]
fn a_batch_larger_than_the_journal_is_delivered_in_parts() {
    let root = tempfile::tempdir().expect("a directory");
    let (mut partition, checkpoints) =
        Partition::open(&store(root.path(), Autocreate::Inbox), "h").expect("a partition");
    let checkpoints = std::thread::spawn(move || checkpoints.run());
    let text = "x".repeat(200 << 10);
    let batch: Vec<_> = (0..250).map(|_| whole(&text, &["jdoe"])).collect();
    assert!(partition.fitting(&batch) < batch.len());
    let replies = partition.deliver(&batch);
    assert!(replies.iter().all(|replies| replies[0].code == 250));
    assert_eq!(messages(root.path(), "siroe.com/jdoe/Maildir").len(), batch.len());
    drop(partition);
    checkpoints.join().expect("no panic").expect("checkpoints");
}

#[test]
fn leftovers_are_swept_at_the_start() {
    let root = tempfile::tempdir().expect("a directory");
    drop(open(root.path(), Autocreate::No));
    let path = Partition::spill_dir(root.path()).join("spill.7");
    fs::write(&path, "half a mess").expect("room");
    drop(open(root.path(), Autocreate::No));
    assert!(!path.exists());
}

#[test]
fn what_was_answered_is_there_after_a_power_cut() {
    let root = tempfile::tempdir().expect("a directory");
    let mut partition = open(root.path(), Autocreate::Inbox);
    for n in 0..5 {
        let replies = deliver(&mut partition, whole(&format!("text {n}"), &["jdoe", "amy+Work"]));
        assert!(replies.iter().all(|reply| reply.starts_with("250")));
    }
    // Of the mailboxes nothing had reached the disk, or only names, or a message too few.
    drop(partition);
    fs::remove_dir_all(root.path().join("siroe.com/amy")).expect("allowed");
    let inbox = messages(root.path(), "siroe.com/jdoe/Maildir");
    fs::remove_file(&inbox[0]).expect("allowed");
    fs::write(&inbox[1], "").expect("room");
    super::super::journal::tests::cut_power(root.path());
    drop(open(root.path(), Autocreate::Inbox));
    for dir in ["siroe.com/jdoe/Maildir", "siroe.com/amy/Maildir"] {
        let read = |path: &PathBuf| fs::read_to_string(path).expect("a message");
        let mut texts: Vec<_> = messages(root.path(), dir).iter().map(read).collect();
        texts.sort();
        assert_eq!(texts, [0, 1, 2, 3, 4].map(|n| format!("text {n}")), "{dir}");
    }
}
