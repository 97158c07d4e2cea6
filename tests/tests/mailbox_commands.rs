//! `relais mailbox`, asked of a running engine and of the files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Dovecot, Imap, Instance, Running, Settings, eventually, needs, start_beside_dovecot,
};
use serde_json::Value;

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

/// The exit status of a command, and all that it prints.
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
    expect(&ask(&["quota", "nobody"]), 1, &["there is no mailbox nobody@relais.example"]);
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
    expect(&ask(&["rename", "nobody", "other"]), 1, &["there is no mailbox nobody@"]);
    expect(&ask(&["rename", "alice", "bob"]), 1, &["bob@relais.example has a mailbox"]);
    let renamed = ask(&["rename", "alice", "alice@other.example"]);
    expect(&renamed, 0, &["alice@relais.example: is alice@other.example now"]);
    let alice = instance.store().join("other.example/alice/Maildir");
    assert_eq!((count(&alice), maildir(instance, "alice").exists()), (1, false));
    expect(&ask(&["rename", "alice@other.example", "alice"]), 0, &["is alice@relais.example now"]);
    // Nobody deletes anything by mistake.
    expect(&ask(&["delete", "bob"]), 2, &["say --yes"]);
    expect(&ask(&["delete", "bob", "--yes"]), 0, &["bob@relais.example: deleted"]);
    assert!(!instance.store().join("relais.example/bob").exists());
    expect(&ask(&["delete", "bob", "--yes"]), 1, &["there is no mailbox bob@"]);
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
fn a_partition_that_is_away_is_told_of_and_nothing_is_made_beside_it() {
    let second = tempfile::tempdir().expect("a folder");
    let (two, elsewhere) = (second.path().join("two"), second.path().join("elsewhere"));
    let fields = format!("autocreate: Inbox, partitions: {{\"two\": \"{}\"}}", two.display());
    let (instance, running) = start(Settings::standalone().edit("autocreate: Inbox", &fields));
    // Alice lies in the first, Bob in the second, Carol in both.
    let of = |root: &Path, user: &str| root.join("relais.example").join(user).join("Maildir");
    for (root, user) in
        [(&instance.store(), "alice"), (&two, "bob"), (&instance.store(), "carol"), (&two, "carol")]
    {
        for sub in ["tmp", "cur", "new"] {
            fs::create_dir_all(of(root, user).join(sub)).expect("room");
        }
    }
    let ask = |how: &[&str], args: &[&str]| instance.relais("mailbox", &[args, how].concat());
    let check_carol = |how: &[&str]| {
        let twice = format!("{}: the mailbox lies in two partitions", of(&two, "carol").display());
        expect(&ask(how, &["check", "carol"]), 1, &[&twice]);
        expect(&ask(how, &["check", "carol", "--repair"]), 1, &[&twice]);
        expect(&ask(how, &["check", "bob"]), 0, &["well"]);
    };
    check_carol(&[]);
    let roots = [&instance.store(), &two].map(|root| root.display().to_string());
    expect(&instance.relais("status", &[]), 0, &roots.each_ref().map(String::as_str));
    fs::rename(&two, &elsewhere).expect("allowed");
    fs::create_dir(&two).expect("room");
    eventually("it is missed", Duration::from_secs(30), || !instance.is_ready());
    let while_away = |how: &[&str]| {
        let listed = ask(how, &["list"]);
        let missing = format!("the mailboxes in {} are missing", two.display());
        expect(&listed, 1, &["alice@relais.example\n", &missing]);
        assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 2);
        for args in
            [&["create", "dave"][..], &["rename", "alice", "dave"], &["delete", "bob", "--yes"]]
        {
            let said = ask(how, args);
            assert_eq!(said.status.code(), Some(1), "{args:?}: {said:?}");
        }
        expect(&ask(how, &["check", "--all"]), 1, &[&missing]);
        assert!(!maildir(&instance, "dave").exists() && maildir(&instance, "alice").exists());
    };
    while_away(&[]);
    drop(running);
    while_away(&["--offline"]);
    expect(&ask(&["--offline"], &["create", "dave"]), 1, &["may lie in a partition that is away"]);
    assert_eq!(fs::read_dir(&two).expect("readable").count(), 0);
    fs::remove_dir(&two).expect("allowed");
    fs::rename(&elsewhere, &two).expect("allowed");
    check_carol(&["--offline"]);
    expect(&ask(&["--offline"], &["create", "dave"]), 0, &["made"]);
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
                        assert!(is_taken || reply == "420 4.2.0 Mailbox Locked", "{user}: {reply}");
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

#[test]
fn a_store_under_stress_says_so_to_relays_and_gets_fewer_connections() {
    // Every commit takes longer than no time at all.
    let store = "autocreate: Inbox, stress_at: \"0s\"";
    let (instance, _running) = start(Settings::standalone().edit("autocreate: Inbox", store));
    let mut client = lmtp(&instance);
    assert!(client.ask("LHLO mail.test").text.contains("XSTRESS"));
    let alice = "alice@relais.example";
    deliver(&mut client, alice, TEXT);
    assert_eq!(deliver(&mut client, alice, TEXT), format!("250 2.5.0 {alice} OK [stress]"));
    // The relay in the same engine, by its own channel.
    let (mut smtp, greeting) = Dialogue::connect(instance.settings.smtp).expect("a connection");
    greeting.expect(220);
    smtp.ask("EHLO mail.test").expect(250);
    smtp.message("a@sender.test", &[alice], TEXT.as_bytes()).expect(250);
    let status = || instance.json("status", &[]).remove(0);
    eventually("the relay heeds it", Duration::from_secs(20), || !status()["stressed"].is_null());
    let status = status();
    assert_eq!(status["stressed"][0]["channel"], "tcp_lmtpcs", "{status}");
    assert_eq!(status["stressed"][0]["connections"], 1, "{status}");
    assert_eq!(status["partitions"][0]["stressed"], true, "{status}");
    eventually("both are counted", Duration::from_secs(20), || {
        let gauges = ["relais_store_stressed", "relais_stressed_destinations"];
        gauges.iter().all(|name| instance.metric(name) > 0.5)
    });
    expect(&instance.relais("status", &[]), 0, &["(tcp_lmtpcs) is under stress: at most 1 of"]);
    assert!(instance.log().contains("the store is under stress"));
    drop(smtp);
    // Strangers are not told.
    let strangers = Settings::standalone()
        .edit("autocreate: Inbox", store)
        .edit("program: Lmtp, flagtransfer: true", "program: Lmtp");
    let (instance, _running) = start(strangers);
    let mut client = lmtp(&instance);
    assert!(!client.ask("LHLO mail.test").text.contains("XSTRESS"));
    deliver(&mut client, alice, TEXT);
    assert_eq!(deliver(&mut client, alice, TEXT), format!("250 2.5.0 {alice} OK"));
}

#[test]
fn mailboxes_lie_in_several_partitions_and_one_that_is_away_defers_its_own_alone() {
    let second = tempfile::tempdir().expect("a folder");
    let two = second.path().join("two");
    let fields = format!("autocreate: Inbox, partitions: {{\"two\": \"{}\"}}", two.display());
    let (instance, running) = start(Settings::standalone().edit("autocreate: Inbox", &fields));
    let mut client = lmtp(&instance);
    // A mailbox is found where it lies.
    for sub in ["tmp", "cur", "new"] {
        fs::create_dir_all(two.join("relais.example/bob/Maildir").join(sub)).expect("room");
        fs::create_dir_all(maildir(&instance, "alice").join(sub)).expect("room");
    }
    let (alice, bob, carol) =
        ("alice@relais.example", "bob@relais.example", "carol@relais.example");
    let large = format!("{TEXT}{}", "The horses are changed at the next relay.\r\n".repeat(9_000));
    for text in [TEXT, &large] {
        let first = client.message("a@sender.test", &[bob, alice], text.as_bytes());
        let second = client.reply().expect("a reply for each");
        for (reply, to) in [(first, bob), (second, alice)] {
            assert_eq!(reply.text.trim_end(), format!("250 2.5.0 {to} OK"));
        }
    }
    let at_bob = || count(&two.join("relais.example/bob/Maildir"));
    assert_eq!((count(&maildir(&instance, "alice")), at_bob()), (2, 2));
    assert!(!maildir(&instance, "bob").exists());
    for root in [&instance.store(), &two] {
        assert_eq!(fs::read_dir(root.join(".tmp")).expect("readable").count(), 0);
    }
    // A new one lies in one of them; commands find all.
    assert_eq!(deliver(&mut client, carol, TEXT), format!("250 2.5.0 {carol} OK"));
    let at_carol =
        || count(&maildir(&instance, "carol")) + count(&two.join("relais.example/carol/Maildir"));
    assert_eq!(at_carol(), 1);
    assert_eq!(instance.json("mailbox", &["list"]).len(), 3);
    expect(
        &instance.relais("mailbox", &["rename", "bob", "alice"]),
        1,
        &["alice@relais.example has"],
    );
    expect(
        &instance.relais("mailbox", &["rename", "bob", "robert"]),
        0,
        &["robert@relais.example now"],
    );
    assert!(two.join("relais.example/robert/Maildir/new").is_dir());
    expect(
        &instance.relais("mailbox", &["rename", "robert", "bob"]),
        0,
        &["bob@relais.example now"],
    );
    // One is away.
    let elsewhere = second.path().join("elsewhere");
    fs::rename(&two, &elsewhere).expect("allowed");
    fs::create_dir(&two).expect("room");
    eventually("it is missed", Duration::from_secs(30), || !instance.is_ready());
    assert_eq!(deliver(&mut client, alice, TEXT), format!("250 2.5.0 {alice} OK"));
    for to in [bob, "dave@relais.example"] {
        assert!(deliver(&mut client, to, TEXT).starts_with("430 4.3.0"), "{to}");
    }
    expect(&instance.relais("status", &[]), 0, &["/two: away"]);
    fs::remove_dir(&two).expect("allowed");
    fs::rename(&elsewhere, &two).expect("allowed");
    eventually("it is back", Duration::from_secs(30), || instance.is_ready());
    assert_eq!(deliver(&mut client, bob, TEXT), format!("250 2.5.0 {bob} OK"));
    assert_eq!(at_bob(), 3);
    // A start finds them again.
    drop(client);
    running.kill();
    let _running = instance.start();
    let mut client = lmtp(&instance);
    for to in [alice, bob, carol] {
        assert_eq!(deliver(&mut client, to, TEXT), format!("250 2.5.0 {to} OK"));
    }
    assert_eq!((count(&maildir(&instance, "alice")), at_bob(), at_carol()), (4, 4, 2));
}

/// A reader who adds, copies and removes messages: how many of each.
fn read_mail(port: u16, user: &str, end: Instant) -> [usize; 3] {
    let mut imap = Imap::log_in(port, &format!("{user}@relais.example"));
    imap.ask("CREATE Archive");
    let [mut added, mut copied, mut removed] = [0; 3];
    while Instant::now() < end {
        imap.append("INBOX", &format!("Subject: added {added}\r\n\r\ntext\r\n"));
        added += 1;
        let lines = imap.ask("SELECT INBOX");
        let exists = |line: &String| line.strip_suffix(" EXISTS")?.strip_prefix("* ")?.parse().ok();
        let exists: usize = lines.iter().find_map(exists).expect("a number");
        if exists < 20 {
            continue;
        }
        imap.ask("COPY 1:3 Archive");
        copied += 3;
        imap.ask("FETCH 1:* (RFC822.SIZE FLAGS)");
        imap.ask("FETCH 1:5 (BODY.PEEK[])");
        imap.ask("STORE 1:15 +FLAGS.SILENT (\\Deleted)");
        let lines = imap.ask("EXPUNGE");
        removed += lines.iter().filter(|line| line.ends_with(" EXPUNGE")).count();
    }
    [added, copied, removed]
}

/// Short here; `RELAIS_IMAP_SECONDS` makes it longer.
#[test]
fn a_reader_and_deliveries_work_on_the_same_mailboxes_and_the_counts_are_equal() {
    if !needs(&["dovecot", "/usr/lib/dovecot/imap", "setpriv"]) {
        return;
    }
    let seconds = std::env::var("RELAIS_IMAP_SECONDS").ok().and_then(|text| text.parse().ok());
    let store = "autocreate: All, default_quota: (size: \"200MiB\")";
    let (instance, _running) =
        start_beside_dovecot(Settings::standalone().edit("autocreate: Inbox", store));
    let (alice, bob) = ("alice@relais.example", "bob@relais.example");
    for to in [alice, bob] {
        deliver(&mut lmtp(&instance), to, TEXT);
    }
    let dovecot = Dovecot::with_quota(&instance.store(), 200);
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(4));
    let large = format!("{TEXT}{}", "The horses are changed at the next relay.\r\n".repeat(9_000));
    let (delivered, read) = thread::scope(|threads| {
        let sender = |number: usize| {
            let (instance, large) = (&instance, &large);
            move || {
                let mut client = lmtp(instance);
                let (mut sent, mut turn) = ([0; 2], number);
                while Instant::now() < end {
                    turn += 1;
                    let text = if turn % 50 == 0 { large } else { TEXT };
                    let first = client.message("a@sender.test", &[alice, bob], text.as_bytes());
                    let replies = [first, client.reply().expect("a reply for each")];
                    for (sent, reply) in sent.iter_mut().zip(&replies) {
                        *sent += usize::from(reply.code == 250);
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                sent
            }
        };
        let senders: Vec<_> = (0..3).map(|number| threads.spawn(sender(number))).collect();
        let readers = ["alice", "bob"].map(|user| {
            let port = dovecot.port;
            threads.spawn(move || read_mail(port, user, end))
        });
        let sent = senders.into_iter().map(|sender| sender.join().expect("no panic"));
        let sent = sent.fold([1; 2], |sum, sent| [sum[0] + sent[0], sum[1] + sent[1]]);
        (sent, readers.map(|reader| reader.join().expect("no panic")))
    });
    println!("delivered {delivered:?}; added, copied and removed {read:?}");
    for ((user, delivered), [added, copied, removed]) in
        ["alice", "bob"].iter().zip(delivered).zip(read)
    {
        let mut imap = Imap::log_in(dovecot.port, &format!("{user}@relais.example"));
        let counts = [imap.messages("INBOX"), imap.messages("Archive")];
        assert_eq!(counts, [delivered + added - removed, copied], "{user}");
        assert!(added > 0 && delivered > 1, "{user}");
        agree(&instance, &mut imap, user, counts[0] + counts[1]);
    }
    let log = dovecot.log();
    assert!(!log.contains("Error") && !log.contains("Panic"), "{log}");
}

#[test]
fn a_reader_sees_folders_that_deliveries_made_sizes_from_names_and_messages_in_their_order() {
    if !needs(&["dovecot", "/usr/lib/dovecot/imap", "setpriv"]) {
        return;
    }
    let settings = Settings::standalone().edit("autocreate: Inbox", "autocreate: All");
    let (instance, _running) = start_beside_dovecot(settings);
    let mut client = lmtp(&instance);
    for folder in ["+Work", "+Work.Projects", "+Other/Deep"] {
        let to = format!("alice{folder}@relais.example");
        assert_eq!(deliver(&mut client, &to, TEXT), format!("250 2.5.0 {to} OK"));
    }
    for number in 0..50 {
        let text = format!("Subject: {number}\r\n\r\n{}", "x\r\n".repeat(number));
        deliver(&mut client, "alice@relais.example", &text);
    }
    let dovecot = Dovecot::over(&instance.store());
    let mut imap = Imap::log_in(dovecot.port, "alice@relais.example");
    for (command, flags) in [("LSUB", ""), ("LIST", "\\HasNoChildren")] {
        let mut lines = imap.ask(&format!("{command} \"\" *"));
        lines.retain(|line| line.contains(flags));
        for folder in ["Work.Projects", "Other.Deep"] {
            assert!(lines.iter().any(|line| line.ends_with(folder)), "{command}: {lines:?}");
        }
    }
    assert_eq!(imap.messages("Work.Projects"), 1);
    imap.ask("SELECT INBOX");
    // Dovecot has looked at names only, and counts line ends by two octets.
    let sizes = imap.ask("FETCH 1:* (RFC822.SIZE)");
    let subjects = imap.ask("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let whole = imap.ask("FETCH 1:* (BODY.PEEK[])");
    assert_eq!((sizes.len(), subjects.len()), (50, 50));
    for (number, (size, (subject, whole))) in
        sizes.iter().zip(subjects.iter().zip(&whole)).enumerate()
    {
        assert!(subject.contains(&format!("Subject: {number}\r\n")), "{number}: {subject}");
        let octets = |line: &str, before: &str, end: char| {
            let rest = line.split_once(before).and_then(|(_, rest)| rest.split_once(end));
            rest.and_then(|(octets, _)| octets.parse::<usize>().ok())
                .unwrap_or_else(|| panic!("{line}"))
        };
        assert_eq!(octets(size, "RFC822.SIZE ", ')'), octets(whole, "BODY[] {", '}'), "{number}");
    }
    assert!(!dovecot.log().contains("Error"), "{}", dovecot.log());
}

/// Both count the same: messages, and octets in the quota.
fn agree(instance: &Instance, imap: &mut Imap, user: &str, messages: usize) {
    // Of two who write the quota file at once one may have counted what the other adds.
    let checked = instance.relais("mailbox", &["check", user, "--repair"]);
    expect(&checked, 0, &[&format!("{messages} messages, ")]);
    let (_, text) = said(&checked);
    println!("{}", text.trim_end());
    let faults: Vec<_> =
        text.lines().skip(1).filter(|line| !line.contains("the quota file says")).collect();
    assert_eq!(faults, [""; 0]);
    let checked = instance.json("mailbox", &["check", user]).remove(0);
    assert_eq!(checked["findings"], Value::Null);
    let octets = checked["usage"]["size"].as_u64().expect("a number");
    let lines = imap.ask("GETQUOTAROOT INBOX");
    let quota = lines
        .iter()
        .find_map(|line| line.split_once("(STORAGE ")?.1.split(' ').next()?.parse().ok());
    let quota: u64 = quota.unwrap_or_else(|| panic!("no quota in {lines:?}"));
    assert_eq!(quota, octets.div_ceil(1024), "{user}: {octets} octets");
}
