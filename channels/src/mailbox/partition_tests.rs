//! Deliveries into a partition in a temporary directory.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;
use crate::{
    mail::{Address, XQuota},
    mailbox::{QuotaFile, spill::SPILL},
};

fn store(root: &Path, autocreate: Autocreate) -> Store {
    Store { autocreate, ..Store::at(root.to_owned()) }
}

fn open(root: &Path, autocreate: Autocreate) -> Partition {
    open_with(root, autocreate).0
}

/// The file that remembers the root lies beside it, under a name that only this root has.
fn open_with(root: &Path, autocreate: Autocreate) -> (Partition, Checkpoints) {
    let known = root.with_extension("known");
    Partition::open(&store(root, autocreate), "host.example", &known).expect("a partition")
}

/// A place for a partition.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn make(&self, maildir: &str) -> PathBuf {
        let path = self.path().join(maildir);
        for sub in ["tmp", "cur", "new"] {
            fs::create_dir_all(path.join(sub)).expect("room");
        }
        path
    }
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
    replies.iter().map(|answer| answer.reply.to_string()).collect()
}

/// The messages in `new` below a directory of the partition.
fn messages(root: &Path, dir: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root.join(dir).join("new")) else { return Vec::new() };
    entries.map(|entry| entry.expect("readable").path()).collect()
}

#[test]
fn one_file_serves_all_recipients_and_each_is_told() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    let to = ["jdoe", "amy@sesta.com", "JDoe@Siroe.com", "bob+work"];
    let replies = deliver(&mut partition, whole("text", &to));
    assert_eq!(replies, to.map(|to| format!("250 2.5.0 {to} OK")));
    let mut inodes = Vec::new();
    for dir in ["siroe.com/jdoe/Maildir", "sesta.com/amy/Maildir", "siroe.com/bob/Maildir"] {
        let [file] = &*messages(&root.path(), dir) else { panic!("one message in {dir}") };
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
        let root = Place::new();
        root.make(existing);
        root.make(inbox);
        let mut partition = open(&root.path(), autocreate);
        let mut delivery = whole("text", &[to]);
        delivery.recipients[0].flags = flags;
        let replies = deliver(&mut partition, delivery);
        match want {
            Some(dir) => assert_eq!(messages(&root.path(), dir).len(), 1, "{name}: {replies:?}"),
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
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    let said = |size| Some(XQuota { size, messages: 100 });
    for (size, flags, want) in [
        (10, 0, "250 2.5.0 jdoe OK"),
        (10, 0, "422 4.2.2 Quota Exceeded"),
        (
            4,
            0,
            "523 5.2.3 Message too large: it alone is more than the whole quota of this mailbox",
        ),
        (10, WITHOUT_QUOTA, "250 2.5.0 jdoe OK"),
    ] {
        let mut delivery = whole("6 long", &["jdoe", "amy"]);
        delivery.recipients[0].quota = said(size);
        delivery.recipients[0].flags = flags;
        assert_eq!(deliver(&mut partition, delivery), [want, "250 2.5.0 amy OK"]);
    }
    assert_eq!(messages(&root.path(), "siroe.com/jdoe/Maildir").len(), 2);
}

#[test]
fn a_limit_that_was_named_holds_until_another_one_is() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    // The limit that the relay names, if it names one; the store has none of its own.
    let rows = [
        (None, "250 2.5.0 jdoe OK"),
        (Some((12, -1)), "250 2.5.0 jdoe OK"),
        (None, "422 4.2.2 Quota Exceeded"),
        (Some((12, -2)), "422 4.2.2 Quota Exceeded"),
        (Some((-1, 3)), "250 2.5.0 jdoe OK"),
        (None, "422 4.2.2 Quota Exceeded"),
        (Some((-2, -2)), "250 2.5.0 jdoe OK"),
        (None, "250 2.5.0 jdoe OK"),
    ];
    for (at, (limit, want)) in rows.into_iter().enumerate() {
        let mut delivery = whole("6 long", &["jdoe"]);
        delivery.recipients[0].quota = limit.map(|(size, messages)| XQuota { size, messages });
        assert_eq!(deliver(&mut partition, delivery), [want], "{at}");
        if at == 3 {
            // Over a restart, too.
            drop(partition);
            partition = open(&root.path(), Autocreate::Inbox);
        }
    }
    let kept = fs::read_to_string(root.path().join("siroe.com/jdoe/relais-quota"));
    assert!(kept.expect("a file").starts_with("xquota -2,-2\n"));
}

#[test]
fn a_mailbox_that_is_full_for_long_returns_its_mail() {
    let root = Place::new();
    let mut store = store(&root.path(), Autocreate::Inbox);
    let mut full = |grace, want: &str| {
        store.quota_grace = Duration::from_secs(grace);
        let known = root.path().with_extension("known");
        let (mut partition, _) = Partition::open(&store, "host", &known).expect("a partition");
        let mut delivery = whole("6 long", &["jdoe"]);
        delivery.recipients[0].quota = Some(XQuota { size: 10, messages: -1 });
        assert_eq!(deliver(&mut partition, delivery), [want]);
    };
    full(100, "250 2.5.0 jdoe OK");
    full(100, "422 4.2.2 Quota Exceeded");
    let memory = root.path().join("siroe.com/jdoe/relais-quota");
    let text = fs::read_to_string(&memory).expect("a file");
    let (before, since) = text.trim_end().rsplit_once(' ').expect("a time");
    let since = since.parse::<u64>().expect("seconds");
    fs::write(&memory, format!("{before} {}\n", since - 90)).expect("room");
    full(100, "422 4.2.2 Quota Exceeded");
    fs::write(&memory, format!("{before} {}\n", since - 101)).expect("room");
    full(100, "522 5.2.2 Persistent Quota Exceeded");
    full(1_000, "422 4.2.2 Quota Exceeded");
    // There is room: the mailbox begins anew.
    for message in messages(&root.path(), "siroe.com/jdoe/Maildir") {
        fs::remove_file(message).expect("allowed");
    }
    // As an IMAP server tells it.
    let size = root.path().join("siroe.com/jdoe/Maildir/maildirsize");
    let text = fs::read_to_string(&size).expect("a file");
    fs::write(&size, format!("{text}-6 -1\n")).expect("room");
    full(100, "250 2.5.0 jdoe OK");
    full(100, "422 4.2.2 Quota Exceeded");
    full(0, "522 5.2.2 Persistent Quota Exceeded");
}

#[test]
fn what_is_counted_for_a_delivery_that_fails_is_given_back() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::No);
    let maildir = root.make("siroe.com/jdoe/Maildir");
    let mut batch = vec![whole("text", &["jdoe"])];
    batch[0].recipients[0].quota = Some(XQuota { size: 100, messages: 10 });
    let name = "gone".to_owned();
    let file = Delivery { body: Body::File { name, size: 50, bare: 0 }, ..whole("", &["jdoe"]) };
    batch.insert(0, file);
    batch[0].recipients[0].quota = batch[1].recipients[0].quota;
    let replies = partition.deliver(&batch).concat();
    assert_eq!(replies.iter().map(|answer| answer.reply.code).collect::<Vec<_>>(), [430, 250]);
    let file = fs::read_to_string(maildir.join("maildirsize")).expect("a file");
    assert_eq!(file, "100S,10C\n0 0\n4 1\n");
}

#[test]
fn a_quota_is_a_limit_within_a_batch_too() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    let mut batch: Vec<_> = (0..60).map(|_| whole(&"x".repeat(100), &["jdoe"])).collect();
    for delivery in &mut batch {
        delivery.recipients[0].quota = Some(XQuota { size: 1_050, messages: -1 });
    }
    let replies = partition.deliver(&batch).concat();
    assert_eq!(replies.iter().filter(|answer| answer.reply.code == 250).count(), 10);
    assert_eq!(replies.iter().filter(|answer| answer.reply.code == 422).count(), 50);
    let maildir = "siroe.com/jdoe/Maildir";
    assert_eq!(messages(&root.path(), maildir).len(), 10);
    let file = fs::read_to_string(root.path().join(maildir).join("maildirsize"));
    assert_eq!(file.expect("a file"), "1050S\n0 0\n1000 10\n");
}

#[test]
fn a_mailbox_that_is_named_often_is_charged_once_for_each_file() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    let maildir = root.make("siroe.com/jdoe/Maildir");
    root.make("siroe.com/jdoe/Maildir/.Work");
    // The INBOX four times over, for it stands in for folders that are not there, and a folder.
    let mut delivery =
        whole("text", &["jdoe", "jdoe+a", "JDOE", "jdoe+Work", "jdoe+b", "jdoe+Work"]);
    for rcpt in &mut delivery.recipients {
        rcpt.quota = Some(XQuota { size: 8, messages: 2 });
    }
    let replies = deliver(&mut partition, delivery);
    assert!(replies.iter().all(|reply| reply.starts_with("250")), "{replies:?}");
    let file = fs::read_to_string(maildir.join("maildirsize")).expect("a file");
    assert_eq!(file, "8S,2C\n0 0\n8 2\n");
}

#[test]
fn a_message_in_a_file_is_moved_into_its_mailboxes() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    let path = root.path().join(SPILL).join("spill.0");
    fs::write(&path, "large").expect("room");
    let recipients = vec![rcpt("jdoe"), rcpt("amy")];
    let delivery =
        Delivery { body: Body::File { name: "spill.0".to_owned(), size: 5, bare: 0 }, recipients };
    assert_eq!(deliver(&mut partition, delivery), ["250 2.5.0 jdoe OK", "250 2.5.0 amy OK"]);
    for dir in ["siroe.com/jdoe/Maildir", "siroe.com/amy/Maildir"] {
        assert_eq!(fs::read_to_string(&messages(&root.path(), dir)[0]).expect("a file"), "large");
    }
    assert!(!path.exists());
}

#[test]
fn what_is_missing_inside_a_mailbox_is_made_again() {
    let maildir = "siroe.com/jdoe/Maildir";
    for autocreate in [Autocreate::No, Autocreate::Inbox] {
        let root = Place::new();
        let mut partition = open(&root.path(), autocreate);
        root.make(maildir);
        for missing in ["siroe.com/jdoe/Maildir/new", "siroe.com/jdoe/Maildir/tmp", maildir, SPILL]
        {
            fs::remove_dir_all(root.path().join(missing)).expect("allowed");
            let replies = deliver(&mut partition, whole("text", &["jdoe"]));
            assert_eq!(replies, ["250 2.5.0 jdoe OK"], "{missing}");
            assert!(root.path().join(missing).exists(), "{missing}");
        }
    }
}

#[test]
fn no_such_mailbox_is_said_only_of_users_and_domains_that_are_not_there() {
    for missing in ["siroe.com/jdoe", "siroe.com"] {
        let root = Place::new();
        let mut partition = open(&root.path(), Autocreate::No);
        root.make("siroe.com/jdoe/Maildir");
        assert_eq!(deliver(&mut partition, whole("text", &["jdoe"])), ["250 2.5.0 jdoe OK"]);
        fs::remove_dir_all(root.path().join(missing)).expect("allowed");
        let replies = deliver(&mut partition, whole("text", &["jdoe"]));
        assert_eq!(replies, ["511 5.1.1 mailbox nonexistent"], "{missing}");
    }
}

#[test]
fn mail_for_a_folder_that_was_deleted_goes_where_the_configuration_says_at_once() {
    let folder = "siroe.com/jdoe/Maildir/.Work";
    let rows = [
        (Autocreate::No, 0, "siroe.com/jdoe/Maildir"),
        (Autocreate::Inbox, 0, "siroe.com/jdoe/Maildir"),
        (Autocreate::All, 0, folder),
        (Autocreate::No, TRUSTED_FOLDER, folder),
    ];
    for (autocreate, flags, want) in rows {
        let root = Place::new();
        let mut partition = open(&root.path(), autocreate);
        root.make("siroe.com/jdoe/Maildir");
        root.make(folder);
        let delivery = || {
            let mut delivery = whole("text", &["jdoe+Work"]);
            delivery.recipients[0].flags = flags;
            delivery
        };
        assert_eq!(deliver(&mut partition, delivery()), ["250 2.5.0 jdoe+Work OK"]);
        fs::remove_dir_all(root.path().join(folder)).expect("allowed");
        assert_eq!(deliver(&mut partition, delivery()), ["250 2.5.0 jdoe+Work OK"]);
        assert_eq!(messages(&root.path(), want).len(), 1, "{autocreate:?} {flags}");
    }
}

#[test]
fn a_mailbox_that_its_user_can_write_does_not_lead_outside() {
    let maildir = "siroe.com/jdoe/Maildir";
    let quota = Some(XQuota { size: 1_000, messages: 100 });
    for (name, want) in [
        ("new", "420 4.2.0"),
        ("tmp", "250 2.5.0"),
        (".Work", "250 2.5.0"),
        ("maildirsize", "250 2.5.0"),
        ("subscriptions", "250 2.5.0"),
        ("tmp/maildirsize.relais", "250 2.5.0"),
        ("tmp/subscriptions.relais", "250 2.5.0"),
    ] {
        for hole in ["a link to a directory", "a link to a file", "a FIFO"] {
            let outside = tempfile::tempdir().expect("a directory");
            let theirs = outside.path().join("theirs");
            fs::write(&theirs, "1 1\n").expect("room");
            let root = Place::new();
            let mut partition = open(&root.path(), Autocreate::All);
            let path = root.make(maildir).join(name);
            let _ = fs::remove_dir(&path);
            match hole {
                "a FIFO" => mkfifoat(CWD, &path, Mode::RWXU).expect("room"),
                "a link to a file" => symlink(&theirs, &path).expect("room"),
                _ => symlink(outside.path(), &path).expect("room"),
            }
            let mut delivery = whole("text", &["jdoe+Work"]);
            delivery.recipients[0].quota = quota;
            let replies = deliver(&mut partition, delivery);
            assert!(replies[0].starts_with(want), "{name}, {hole}: {replies:?}");
            let kept = fs::read_to_string(&theirs).expect("a file");
            let files = fs::read_dir(outside.path()).expect("readable").count();
            assert_eq!((kept.as_str(), files), ("1 1\n", 1), "{name}, {hole}");
            // The others are served, and so is this one when it is whole again.
            assert_eq!(deliver(&mut partition, whole("text", &["amy"])), ["250 2.5.0 amy OK"]);
        }
    }
}

#[test]
fn a_mailbox_of_another_form_is_not_covered_by_one_that_nobody_reads() {
    for (name, want) in [
        ("mailboxes/INBOX/dbox-Mails", "420 4.2.0 Mailbox not supported"),
        ("storage", "420 4.2.0 Mailbox not supported"),
        ("mbox", "420 4.2.0 Mailbox not supported"),
        ("sieve", "250 2.5.0 jdoe OK"),
    ] {
        let root = Place::new();
        let mut partition = open(&root.path(), Autocreate::No);
        fs::create_dir_all(root.path().join("siroe.com/jdoe").join(name)).expect("room");
        let replies = deliver(&mut partition, whole("text", &["jdoe", "amy"]));
        assert_eq!(replies, [want, "511 5.1.1 mailbox nonexistent"], "{name}");
        root.make("siroe.com/jdoe/Maildir");
        let replies = deliver(&mut partition, whole("text", &["jdoe"]));
        assert_eq!(replies, ["250 2.5.0 jdoe OK"], "a Maildir that is there is the mailbox");
    }
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::All);
    root.make("siroe.com/jdoe");
    fs::write(root.path().join("siroe.com/jdoe/Maildir"), "From x\n").expect("room");
    let replies = deliver(&mut partition, whole("text", &["jdoe"]));
    assert_eq!(replies, ["420 4.2.0 Mailbox Bad Formats"]);
}

#[test]
fn a_mailbox_removed_behind_our_back_is_made_again_if_allowed() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    deliver(&mut partition, whole("text", &["jdoe"]));
    deliver(&mut partition, whole("text", &["jdoe"]));
    fs::remove_dir_all(root.path().join("siroe.com")).expect("allowed");
    assert_eq!(deliver(&mut partition, whole("text", &["jdoe"])), ["250 2.5.0 jdoe OK"]);
    assert_eq!(messages(&root.path(), "siroe.com/jdoe/Maildir").len(), 1);
}

#[test]
fn a_batch_larger_than_the_journal_is_delivered_in_parts() {
    let root = Place::new();
    let (mut partition, checkpoints) = open_with(&root.path(), Autocreate::Inbox);
    let checkpoints = std::thread::spawn(move || checkpoints.run(|what| panic!("{what:?}")));
    let text = "x".repeat(200 << 10);
    let batch: Vec<_> = (0..250).map(|_| whole(&text, &["jdoe"])).collect();
    assert!(partition.fitting(&batch) < batch.len());
    let replies = partition.deliver(&batch);
    assert!(replies.iter().all(|replies| replies[0].reply.code == 250));
    assert_eq!(messages(&root.path(), "siroe.com/jdoe/Maildir").len(), batch.len());
    drop(partition);
    checkpoints.join().expect("no panic");
}

#[test]
fn leftovers_are_swept_at_the_start() {
    let root = Place::new();
    drop(open(&root.path(), Autocreate::No));
    let path = root.path().join(SPILL).join("spill.7");
    fs::write(&path, "half a mess").expect("room");
    fs::create_dir_all(root.path().join(SPILL).join("stray/inner")).expect("room");
    drop(open(&root.path(), Autocreate::No));
    assert!(!path.exists() && root.path().join(SPILL).join("stray").exists());
}

#[test]
fn a_start_that_fails_names_what_is_in_the_way() {
    for odd in [".tmp", ".lost", "known"] {
        let root = Place::new();
        let mut partition = open(&root.path(), Autocreate::Inbox);
        assert_eq!(deliver(&mut partition, whole("text", &["jdoe"])), ["250 2.5.0 jdoe OK"]);
        drop(partition);
        // Nobody can get the message back into this.
        let path = root.path().join("siroe.com");
        fs::remove_dir_all(&path).expect("allowed");
        fs::write(&path, "no directory").expect("room");
        let path = match odd {
            "known" => root.path().with_extension(odd),
            odd => root.path().join(odd),
        };
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        if odd == "known" {
            fs::create_dir(&path).expect("room");
        } else {
            fs::write(&path, "no directory").expect("room");
        }
        let known = root.path().with_extension("known");
        let opened = Partition::open(&store(&root.path(), Autocreate::Inbox), "host", &known);
        let error = opened.expect_err(odd).to_string();
        assert!(error.contains(&format!("{odd}: ")), "{error}");
    }
}

#[test]
fn what_was_answered_is_there_after_a_power_cut() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    for n in 0..5 {
        let replies = deliver(&mut partition, whole(&format!("text {n}"), &["jdoe", "amy+Work"]));
        assert!(replies.iter().all(|reply| reply.starts_with("250")));
    }
    // Of the mailboxes nothing had reached the disk, or only names, or a message too few.
    drop(partition);
    fs::remove_dir_all(root.path().join("siroe.com/amy")).expect("allowed");
    let inbox = messages(&root.path(), "siroe.com/jdoe/Maildir");
    fs::remove_file(&inbox[0]).expect("allowed");
    fs::write(&inbox[1], "").expect("room");
    drop(open(&root.path(), Autocreate::Inbox));
    for dir in ["siroe.com/jdoe/Maildir", "siroe.com/amy/Maildir"] {
        let read = |path: &PathBuf| fs::read_to_string(path).expect("a message");
        let mut texts: Vec<_> = messages(&root.path(), dir).iter().map(read).collect();
        texts.sort();
        assert_eq!(texts, [0, 1, 2, 3, 4].map(|n| format!("text {n}")), "{dir}");
    }
}

#[test]
fn a_message_for_more_mailboxes_than_the_journal_can_name_is_delivered_and_hangs_nobody() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("store");
    fs::create_dir(&path).expect("room");
    let root = Dir::root(&path).expect("a directory");
    let store = Store { autocreate: Autocreate::Inbox, ..Store::at(path) };
    let (marker, disk) = (Marker::nowhere(), Arc::new(RealDisk));
    let ground = Ground { root, marker, disk, journal: 16 << 10 };
    let opened = Partition::open_on(ground, &store, "h");
    let (mut partition, _checkpoints) = opened.expect("a partition");
    let to: Vec<_> = (0..400).map(|n| format!("a-user-with-a-long-name-{n}")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let replies = deliver(&mut partition, whole("text", &to));
    assert!(replies.iter().all(|reply| reply.starts_with("250")), "{replies:?}");
    for user in to {
        let new = store.path.join(format!("siroe.com/{user}/Maildir/new"));
        assert_eq!(fs::read_dir(new).expect("a mailbox").count(), 1, "{user}");
    }
}

/// Lets checkpoints run beside a partition, and waits until its changes are done.
fn change(root: &Path, change: Change) -> Result<(), ChangeError> {
    let (mut partition, checkpoints) = open_with(root, Autocreate::No);
    let checkpoints = std::thread::spawn(move || checkpoints.run(|what| panic!("{what:?}")));
    let begun = partition.begin_change(change);
    let outcome = begun.and_then(|id| {
        loop {
            if let Some((done, outcome)) = partition.finish_changes().pop() {
                assert_eq!(done, id);
                return outcome;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    drop(partition);
    checkpoints.join().expect("no panic");
    outcome
}

#[test]
fn a_mailbox_gets_another_name_or_goes_and_comes_back_by_no_journal() {
    let root = Place::new();
    let name = |address: &str| rcpt(address).mailbox;
    let rename = |from, to| Change::Rename { from: name(from), to: name(to) };
    let mut partition = open(&root.path(), Autocreate::All);
    deliver(&mut partition, whole("text", &["jdoe", "jdoe+Work", "amy"]));
    drop(partition);
    change(&root.path(), rename("jdoe", "john@sesta.com")).expect("room");
    change(&root.path(), Change::Delete(name("amy"))).expect("room");
    // The journal is read once more.
    drop(open(&root.path(), Autocreate::No));
    for (dir, count) in [
        ("sesta.com/john/Maildir", 1),
        ("sesta.com/john/Maildir/.Work", 1),
        ("siroe.com/jdoe/Maildir", 0),
        ("siroe.com/amy/Maildir", 0),
    ] {
        assert_eq!(messages(&root.path(), dir).len(), count, "{dir}");
    }
    assert_eq!(super::super::remove_deleted(&root.path()).0, 1);
    assert_eq!(fs::read_dir(root.path().join(".deleted")).expect("a directory").count(), 0);
    root.make("siroe.com/bob/Maildir");
    let rows = [
        (rename("jdoe", "zoe"), "there is no mailbox jdoe@siroe.com"),
        (Change::Delete(name("amy")), "there is no mailbox amy@siroe.com"),
        (rename("bob", "john@sesta.com"), "john@sesta.com has a mailbox, or files, already"),
        (rename("bob", "bob"), "bob@siroe.com has a mailbox, or files, already"),
    ];
    for (wrong, want) in rows {
        let refused = change(&root.path(), wrong).expect_err(want);
        assert_eq!(refused.to_string(), want);
    }
}

#[test]
fn mail_for_a_mailbox_that_is_being_changed_is_put_off_and_no_other() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::Inbox);
    deliver(&mut partition, whole("text", &["jdoe", "amy"]));
    let (from, to) = (rcpt("jdoe").mailbox, rcpt("john").mailbox);
    // No checkpoint comes: nobody makes any.
    partition.begin_change(Change::Rename { from, to }).expect("both are free");
    let again = partition.begin_change(Change::Delete(rcpt("john").mailbox));
    assert!(matches!(again, Err(ChangeError::UnderWay)), "{again:?}");
    let replies = deliver(&mut partition, whole("text", &["jdoe", "john+x", "amy"]));
    let locked = "420 4.2.0 Mailbox Locked";
    assert_eq!(replies, [locked, locked, "250 2.5.0 amy OK"]);
    assert!(partition.finish_changes().is_empty());
}

#[test]
fn a_look_into_a_mailbox_counts_it_and_tells_and_mends_what_is_wrong() {
    let root = Place::new();
    let mut partition = open(&root.path(), Autocreate::All);
    let mut delivery = whole("text\r\nand\nmore", &["jdoe", "jdoe+Work"]);
    for rcpt in &mut delivery.recipients {
        rcpt.quota = Some(XQuota { size: 1_000, messages: 10 });
    }
    deliver(&mut partition, delivery);
    let maildir = root.path().join("siroe.com/jdoe/Maildir");
    let name = messages(&root.path(), "siroe.com/jdoe/Maildir").remove(0);
    let name = name.file_name().expect("a name").to_str().expect("text").to_owned();
    assert!(name.ends_with(",S=14,W=15"), "{name}");
    let mailbox = rcpt("jdoe").mailbox;
    let look = |depth| partition.look_into(&mailbox, depth).expect("readable").expect("a mailbox");
    let said = QuotaFile { size: Some(1_000), messages: Some(10), octets: 28, counted: 2 };
    let well =
        Census { octets: 28, messages: 2, folders: 1, quota_file: Some(said), ..Census::default() };
    for depth in [Depth::Count, Depth::Check, Depth::Repair] {
        assert_eq!(look(depth), well);
    }
    assert!(partition.look_into(&rcpt("amy").mailbox, Depth::Check).expect("readable").is_none());
    // All kinds of wrong.
    fs::write(maildir.join("cur/1.M1P1.h,S=3,W=3:2,S"), "four").expect("room");
    fs::write(maildir.join("cur/1.M2P1.h,S=4,W=9:2,"), "four").expect("room");
    symlink("elsewhere", maildir.join("new/link")).expect("room");
    fs::create_dir(maildir.join("cur/folder")).expect("room");
    fs::write(maildir.join("tmp/old"), "").expect("room");
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let times = fs::FileTimes::new().set_modified(old);
    fs::File::options()
        .write(true)
        .open(maildir.join("tmp/old"))
        .expect("a file")
        .set_times(times)
        .expect("allowed");
    fs::remove_dir(maildir.join(".Work/cur")).expect("allowed");
    fs::remove_file(maildir.join(".Work/maildirfolder")).expect("allowed");
    let told = |census: &Census| {
        let mut told: Vec<_> =
            census.findings.iter().map(|finding| (finding.fault.name(), finding.mended)).collect();
        told.sort_unstable();
        told
    };
    let all = [
        "left_over",
        "no_directory",
        "no_folder_mark",
        "no_message",
        "no_message",
        "wrong_size",
        "wrong_sum",
        "wrong_wire_size",
    ];
    assert_eq!(told(&look(Depth::Check)), all.map(|name| (name, false)));
    assert_eq!(told(&look(Depth::Repair)), all.map(|name| (name, true)));
    let mended = look(Depth::Check);
    assert_eq!((told(&mended), mended.octets, mended.messages), (vec![], 36, 4));
    assert!(maildir.join("cur/1.M1P1.h:2,S").is_file());
    assert_eq!(fs::read_dir(root.path().join(".lost")).expect("a directory").count(), 2);
    let file = fs::read_to_string(maildir.join("maildirsize")).expect("a file");
    assert_eq!(file, "1000S,10C\n36 4\n");
    fs::write(maildir.join("maildirsize"), "nonsense").expect("room");
    assert_eq!(told(&look(Depth::Repair)), [("bad_quota_file", true)]);
}
