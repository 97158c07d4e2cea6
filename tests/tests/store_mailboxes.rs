//! The store's mailboxes over LMTP: what is refused and why, what a user may do to them, a file
//! system that is not mounted, and what the log and the counters tell.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Running, Settings, SmallDisk, eventually, fetch, needs, needs_root,
};
use rustix::fs::{CWD, Mode, mkfifoat};

const PATIENCE: Duration = Duration::from_secs(30);
const TEXT: &str = "Received: from a.test by b.test (Postfix) with ESMTP id 4XyZ12;\r\n\tnow\r\n\
                    Subject: x\r\n\r\ntext\r\n";

/// The standalone sample, with a store of its own kind and a channel that relays do not speak in.
fn settings(store: &str) -> Settings {
    Settings::standalone()
        .edit("autocreate: Inbox", store)
        .edit("program: Lmtp, flagtransfer: true", "program: Lmtp")
}

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

/// The reply for each recipient.
fn deliver(client: &mut Dialogue, to: &[&str], text: &str) -> Vec<String> {
    let mut replies = vec![client.message("a@sender.test", to, text.as_bytes())];
    replies.extend(to[1..].iter().map(|_| client.reply().expect("a reply for each")));
    replies.into_iter().map(|reply| reply.text.trim_end().to_owned()).collect()
}

fn make(instance: &Instance, maildir: &str) -> PathBuf {
    let path = instance.store().join(maildir);
    for sub in ["tmp", "cur", "new"] {
        fs::create_dir_all(path.join(sub)).expect("room");
    }
    path
}

fn messages(maildir: &Path) -> Vec<String> {
    let entries = fs::read_dir(maildir.join("new")).expect("a mailbox");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        fs::read_to_string(entry.expect("an entry").path()).expect("a message")
    };
    entries.map(read).collect()
}

#[test]
fn a_quota_is_a_limit_for_sixty_at_once() {
    let store = "autocreate: Inbox, default_quota: (size: \"20KiB\")";
    let (instance, _running) = start(settings(store));
    let text = format!("{TEXT}{}", "The horses are changed at the next relay.\r\n".repeat(40));
    let replies: Vec<_> = thread::scope(|threads| {
        let one = || deliver(&mut lmtp(&instance), &["alice@relais.example"], &text).remove(0);
        let all: Vec<_> = (0..60).map(|_| threads.spawn(one)).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    let taken = replies.iter().filter(|reply| reply.starts_with("250 2.5.0")).count();
    let full = replies.iter().filter(|reply| reply.starts_with("422 4.2.2")).count();
    assert_eq!((taken + full, taken > 0), (60, true), "{replies:?}");
    let maildir = instance.store().join("relais.example/alice/Maildir");
    let sizes: Vec<_> = messages(&maildir).iter().map(String::len).collect();
    let (sum, largest) = (sizes.iter().sum::<usize>(), sizes[0]);
    assert_eq!(sizes.len(), taken);
    assert!(sum <= 20 << 10 && sum + largest > 20 << 10, "{sum} octets of {}", 20 << 10);
    let file = fs::read_to_string(maildir.join("maildirsize")).expect("a file");
    let counted: usize =
        file.lines().skip(1).filter_map(|l| l.split(' ').next()?.parse::<usize>().ok()).sum();
    assert_eq!(counted, sum, "{file}");
    // Nobody who is named twice pays twice.
    let tiny = "Subject: x\r\n\r\n";
    fs::remove_dir_all(&maildir).expect("allowed");
    let to = ["alice@relais.example", "alice+a@relais.example", "Alice+b@relais.example"];
    let replies = deliver(&mut lmtp(&instance), &to, tiny);
    assert!(replies.iter().all(|reply| reply.starts_with("250")), "{replies:?}");
    let file = fs::read_to_string(maildir.join("maildirsize")).expect("a file");
    assert!(file.ends_with(" 1\n"), "{file}");
}

#[test]
fn only_a_user_who_is_not_there_is_said_not_to_be_there() {
    let (instance, _running) = start(settings("autocreate: No"));
    let maildir = make(&instance, "relais.example/alice/Maildir");
    make(&instance, "relais.example/alice/Maildir/.Work");
    let mut client = lmtp(&instance);
    let mut to = |address: &str| deliver(&mut client, &[address], TEXT).remove(0);
    let (inbox, folder) = ("alice@relais.example", "alice+Work@relais.example");
    assert_eq!(to(folder), format!("250 2.5.0 {folder} OK"));
    for missing in ["new", "tmp", "cur", "../../../.tmp", "../Maildir"] {
        fs::remove_dir_all(maildir.join(missing)).expect("allowed");
        assert_eq!(to(inbox), format!("250 2.5.0 {inbox} OK"), "{missing}");
        assert!(maildir.join(missing).is_dir(), "{missing}");
    }
    // Dovecot deleted the folder, which went with the mailbox above.
    let before = messages(&maildir).len();
    assert_eq!(to(folder), format!("250 2.5.0 {folder} OK"));
    assert_eq!(messages(&maildir).len(), before + 1);
    for missing in ["relais.example/alice", "relais.example"] {
        fs::remove_dir_all(instance.store().join(missing)).expect("allowed");
        assert_eq!(to(inbox), "511 5.1.1 mailbox nonexistent", "{missing}");
        make(&instance, "relais.example/alice/Maildir");
        assert_eq!(to(inbox), format!("250 2.5.0 {inbox} OK"));
    }
}

#[test]
fn a_store_that_is_not_mounted_puts_mail_off_and_is_told_and_comes_back() {
    let (instance, running) = start(settings("autocreate: Inbox"));
    let to = ["alice@relais.example"];
    assert!(deliver(&mut lmtp(&instance), &to, TEXT)[0].starts_with("250"));
    let elsewhere = instance.path("elsewhere");
    let unmount = || {
        fs::rename(instance.store(), &elsewhere).expect("allowed");
        // An older release grew such trees below mount points.
        make(&instance, "relais.example/alice/Maildir");
    };
    let mount = || {
        fs::remove_dir_all(instance.store()).expect("allowed");
        fs::rename(&elsewhere, instance.store()).expect("allowed");
    };
    let is_put_off = || {
        let page = fetch(instance.settings.admin, "/readyz").expect("a page");
        assert_eq!(page.status, 503);
        assert!(page.body.contains("has lost its marker .relais-store"), "{}", page.body);
        let mut client = lmtp(&instance);
        client.ask("MAIL FROM:<a@sender.test>").expect_start("430 4.3.0");
        let grown = fs::read_dir(instance.store()).expect("readable").count();
        assert_eq!(grown, 1, "only the tree that was there");
        let maildir = instance.store().join("relais.example/alice/Maildir");
        assert_eq!(messages(&maildir), [""; 0]);
    };
    // In the middle of a transaction, too.
    let mut client = lmtp(&instance);
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<alice@relais.example>").expect(250);
    unmount();
    client.ask("DATA").expect(354);
    client.finish(TEXT.as_bytes()).expect_start("430 4.3.0");
    eventually("not ready", PATIENCE, || !instance.is_ready());
    is_put_off();
    mount();
    eventually("ready again", PATIENCE, || instance.is_ready());
    assert!(deliver(&mut lmtp(&instance), &to, TEXT)[0].starts_with("250"));
    let log = instance.log();
    assert_eq!(log.matches("until it is there, all deliveries are put off").count(), 1, "{log}");
    assert!(log.contains("the store is there again"), "{log}");
    // A start finds it away.
    running.kill();
    unmount();
    let _running = instance.spawn();
    eventually("a page", PATIENCE, || {
        fetch(instance.settings.admin, "/readyz").is_ok_and(|page| page.body.contains("marker"))
    });
    eventually("a service", PATIENCE, || Dialogue::connect(instance.settings.lmtp).is_ok());
    is_put_off();
    mount();
    eventually("ready again", PATIENCE, || instance.is_ready());
    assert!(deliver(&mut lmtp(&instance), &to, TEXT)[0].starts_with("250"));
    let maildir = instance.store().join("relais.example/alice/Maildir");
    assert_eq!(messages(&maildir).len(), 3);
}

#[test]
fn an_empty_file_system_over_the_store_is_not_taken_for_it() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let (instance, _running) = start(settings("autocreate: Inbox"));
    let to = ["alice@relais.example"];
    assert!(deliver(&mut lmtp(&instance), &to, TEXT)[0].starts_with("250"));
    let over = SmallDisk::over(&instance.store(), "16m");
    eventually("not ready", PATIENCE, || !instance.is_ready());
    let mut client = lmtp(&instance);
    client.ask("MAIL FROM:<a@sender.test>").expect_start("430 4.3.0");
    assert_eq!(fs::read_dir(instance.store()).expect("readable").count(), 0);
    drop(over);
    eventually("ready again", PATIENCE, || instance.is_ready());
    assert!(deliver(&mut lmtp(&instance), &to, TEXT)[0].starts_with("250"));
    assert_eq!(messages(&instance.store().join("relais.example/alice/Maildir")).len(), 2);
}

#[test]
fn a_mailbox_on_another_file_system_gets_a_copy() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let (instance, _running) = start(settings("autocreate: Inbox"));
    let bob = instance.store().join("relais.example/bob");
    fs::create_dir_all(&bob).expect("room");
    let elsewhere = SmallDisk::over(&bob, "16m");
    let large = format!("{TEXT}{}", "The horses are changed at the next relay.\r\n".repeat(9_000));
    for text in [TEXT, &large] {
        let (alice, bob) = ("alice@relais.example", "bob@relais.example");
        for to in [[alice, bob], [bob, alice]] {
            let replies = deliver(&mut lmtp(&instance), &to, text);
            assert!(replies.iter().all(|reply| reply.starts_with("250")), "{replies:?}");
        }
    }
    for user in ["alice", "bob"] {
        let maildir = instance.store().join("relais.example").join(user).join("Maildir");
        let mut sizes: Vec<_> = messages(&maildir).iter().map(String::len).collect();
        sizes.sort_unstable();
        assert_eq!(sizes.len(), 4, "{user}");
        assert!(
            sizes[0] == sizes[1] && sizes[2] == sizes[3] && sizes[2] > large.len(),
            "{sizes:?}"
        );
        assert_eq!(fs::read_dir(maildir.join("tmp")).expect("readable").count(), 0);
    }
    assert_eq!(fs::read_dir(instance.store().join(".tmp")).expect("readable").count(), 0);
    drop(elsewhere);
}

#[test]
fn a_maildir_that_its_user_writes_leads_nowhere_hangs_nobody_and_is_told_once() {
    let store = "autocreate: All, default_quota: (size: \"1MiB\")";
    let (instance, _running) = start(settings(store));
    let outside = instance.path("outside");
    fs::create_dir(&outside).expect("room");
    fs::write(outside.join("file"), "theirs").expect("room");
    let mut client = lmtp(&instance);
    client.patience(PATIENCE);
    let mut to = |address: &str| deliver(&mut client, &[address], TEXT).remove(0);
    let maildir = make(&instance, "relais.example/mallory/Maildir");
    let mallory = "mallory@relais.example";
    // FIFOs hang nobody, and files that lead elsewhere are replaced.
    for name in ["maildirsize", "subscriptions", "tmp/maildirsize.relais"] {
        mkfifoat(CWD, maildir.join(name), Mode::RWXU).expect("room");
    }
    assert_eq!(to("mallory+Work@relais.example"), "250 2.5.0 mallory+Work@relais.example OK");
    assert!(fs::symlink_metadata(maildir.join("maildirsize")).expect("a file").is_file());
    for name in ["maildirsize", "tmp/maildirsize.relais"] {
        let _ = fs::remove_file(maildir.join(name));
        symlink(outside.join("file"), maildir.join(name)).expect("room");
    }
    assert_eq!(to(mallory), format!("250 2.5.0 {mallory} OK"));
    // Directories that lead elsewhere are not entered.
    fs::remove_dir_all(maildir.join("new")).expect("allowed");
    symlink(&outside, maildir.join("new")).expect("room");
    for _ in 0..3 {
        assert!(to(mallory).starts_with("420 4.2.0"));
    }
    assert_eq!(to("alice@relais.example"), "250 2.5.0 alice@relais.example OK");
    assert_eq!(fs::read_dir(&outside).expect("readable").count(), 1);
    assert_eq!(fs::read_to_string(outside.join("file")).expect("a file"), "theirs");
    fs::remove_file(maildir.join("new")).expect("allowed");
    assert_eq!(to(mallory), format!("250 2.5.0 {mallory} OK"));
    let log = instance.log();
    let told: Vec<_> = log.lines().filter(|l| l.contains("a mailbox cannot be written")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("relais.example/mallory/Maildir/new\""), "{}", told[0]);
    assert!(told[0].contains("(os error "), "{}", told[0]);
    assert_eq!(log.matches("a mailbox can be written again").count(), 1, "{log}");
}

#[test]
fn what_is_odd_in_a_mailbox_is_named_once_and_keeps_no_mail_away_that_can_be_taken() {
    let (instance, _running) = start(settings("autocreate: All, default_quota: (size: \"1MiB\")"));
    let mut client = lmtp(&instance);
    client.patience(PATIENCE);
    // The thing that lies where a directory or a file should, the folder that is written to, and
    // the words and names of the log; with mail that is refused last.
    let rows = [
        ("maildirsize", "a directory", "", "set aside", "/maildirsize"),
        ("tmp", "a file", "", "the quota file cannot be used", "/tmp"),
        ("cur", "a file", "", "a mailbox cannot be counted", "/cur"),
        (".Work", "a file", "+Work", "its mail goes to the INBOX", "/.Work"),
        ("subscriptions", "a directory", "+New", "could not be subscribed", "/subscriptions"),
        ("dovecot-uidlist", "a directory", "", "", ""),
        ("maildirfolder", "a directory", "", "", ""),
        ("new", "a file", "", "a mailbox cannot be written", "/new"),
        ("", "a file", "", "a mailbox cannot be written", ""),
    ];
    for (n, (name, kind, folder, said, named)) in rows.into_iter().enumerate() {
        let maildir = make(&instance, &format!("relais.example/user{n}/Maildir"));
        let odd = if name.is_empty() { maildir.clone() } else { maildir.join(name) };
        let _ = fs::remove_dir_all(&odd);
        if kind == "a file" {
            fs::write(&odd, "no directory").expect("room");
        } else {
            fs::create_dir_all(odd.join("inside")).expect("room");
        }
        let to = format!("user{n}{folder}@relais.example");
        let want = if n < 7 { format!("250 2.5.0 {to} OK") } else { "420 4.2.0".to_owned() };
        for _ in 0..3 {
            let reply = deliver(&mut client, &[&to], TEXT).remove(0);
            assert!(reply.starts_with(&want), "{name}: {reply}");
        }
        if n < 7 {
            let into = if folder == "+New" { maildir.join(".New") } else { maildir.clone() };
            assert_eq!(messages(&into).len(), 3, "{name}");
        }
        if !said.is_empty() {
            let path = format!("\"path\":\"relais.example/user{n}/Maildir{named}\"");
            let told = || {
                let log = instance.log();
                let mine = |line: &&str| line.contains(said) && line.contains(&path);
                log.lines().filter(mine).filter(|line| line.contains("WARN")).count()
            };
            eventually(said, PATIENCE, || told() > 0);
            assert_eq!(told(), 1, "{name}");
        }
    }
    let aside = instance.store().join("relais.example/user0/Maildir/maildirsize.aside/inside");
    assert!(aside.is_dir(), "nothing was thrown away");
}

#[test]
fn the_store_says_what_became_of_each_recipient_and_counts_it() {
    let (instance, _running) = start(settings("autocreate: No"));
    make(&instance, "relais.example/alice/Maildir");
    let to = ["alice+Work@relais.example", "nobody@relais.example"];
    let replies = deliver(&mut lmtp(&instance), &to, TEXT);
    assert_eq!(replies[1], "511 5.1.1 mailbox nonexistent");
    let log = instance.log();
    let line = |recipient: &str| {
        let mut lines = log.lines().filter(|line| line.contains("relais::transaction"));
        lines
            .find(|line| line.contains(&format!("<{recipient}>")))
            .unwrap_or_else(|| panic!("{log}"))
    };
    let wanted: [(&str, &[&str]); 2] = [
        (to[0], &["\"action\":\"D\"", "250 2.5.0", "relais.example/alice/Maildir"]),
        (to[1], &["\"action\":\"J\"", "511 5.1.1", "relais.example/nobody/Maildir"]),
    ];
    for (recipient, parts) in wanted {
        let all = ["mail.test [127.0.0.1]", "tcp_lmtpss", "4XyZ12", "\"size\":", "\"delay\":"];
        for part in parts.iter().chain(&all) {
            assert!(line(recipient).contains(part), "{part} is not in {}", line(recipient));
        }
    }
    let counters = &instance.json("counters", &[])[0]["tcp_lmtpss"];
    for (event, want) in [("submitted", 1), ("delivered", 1), ("rejected", 1), ("failed", 1)] {
        assert_eq!(counters[event]["recipients"], want, "{event}: {counters}");
    }
    let page = fetch(instance.settings.admin, "/metrics").expect("a page").body;
    for (name, class, want) in [
        ("delivery_results_total", ",class=\"delivered\"", 1),
        ("delivery_results_total", ",class=\"failed\"", 1),
        ("delivery_seconds_count", "", 1),
    ] {
        let line = format!("relais_{name}{{channel=\"tcp_lmtpss\"{class}}} {want}");
        assert!(page.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn whom_port_access_refuses_is_logged_and_counted() {
    let settings = settings("autocreate: Inbox");
    let access = format!("|{}|", settings.lmtp);
    let line = settings.text().lines().find(|line| line.contains(&access)).expect("a rule");
    let refusal = format!("(\"TCP|*|{}|*|*\", \"$N500$ go$ away\"),", settings.lmtp);
    let line = line.to_owned();
    let (instance, _running) = start(settings.edit(&line, &refusal));
    let (_, greeting) = Dialogue::connect(instance.settings.lmtp).expect("a connection");
    greeting.expect_start("500 go away");
    let log = instance.log();
    let refused = log.lines().find(|line| line.contains("connection refused")).expect("a line");
    assert!(refused.contains("127.0.0.1") && refused.contains("LMTPSS"), "{refused}");
    let page = fetch(instance.settings.admin, "/metrics").expect("a page").body;
    let count = "relais_dispatcher_connections_total{service=\"LMTPSS\",result=\"refused\"} 1";
    assert!(page.lines().any(|line| line == count), "{page}");
}

#[test]
fn foreign_mail_gets_the_trace_of_the_store_and_mail_of_our_relays_does_not() {
    let header = |fields: &str, to: &[&str]| {
        let settings = Settings::standalone()
            .edit("program: Lmtp, flagtransfer: true", &format!("program: Lmtp, {fields}"));
        let (instance, _running) = start(settings);
        deliver(&mut lmtp(&instance), to, TEXT);
        let maildir = instance.store().join("relais.example/alice/Maildir");
        let message = messages(&maildir).remove(0);
        message[..message.find(TEXT).expect("the content as it was sent")].to_owned()
    };
    let (one, two) = (["alice+x@relais.example"], ["alice@relais.example", "bob@relais.example"]);
    let path = "Return-Path: <a@sender.test>\r\n";
    let traced = header("flagtransfer: false", &one);
    let start = format!(
        "{path}Delivered-To: alice+x@relais.example\r\nReceived: from mail.test ([127.0.0.1])\r\n\tby "
    );
    assert!(traced.starts_with(&start), "{traced}");
    assert!(traced.contains("with LMTP id ") && traced.contains("\tfor <alice+x@"), "{traced}");
    // None of two learns of the other, and they share one file.
    let traced = header("trace: true, flagtransfer: true", &two);
    assert!(traced.starts_with(&format!("{path}Received: from mail.test")), "{traced}");
    assert!(!traced.contains("alice") && !traced.contains("bob"), "{traced}");
    assert_eq!(header("flagtransfer: true", &one), path);
    assert_eq!(header("trace: false", &one), path);
}

#[test]
fn nothing_below_data_is_open_to_others_whatever_the_umask() {
    let settings = settings("autocreate: All, default_quota: (size: \"1MiB\")");
    let instance = Instance::new(settings.section("spool: (large_message: \"64KiB\")"));
    let before = rustix::process::umask(Mode::empty());
    let running = instance.start();
    rustix::process::umask(before);
    assert!(deliver(&mut lmtp(&instance), &["alice+x@relais.example"], TEXT)[0].starts_with("250"));
    let large = format!("{TEXT}{}", "The horses are changed at the next relay.\r\n".repeat(9_000));
    assert!(deliver(&mut lmtp(&instance), &["alice@relais.example"], &large)[0].starts_with("250"));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], large.as_bytes()).expect(250);
    assert!(instance.relais("channel", &["stop", "tcp_local"]).status.success());
    let mut seen = 0;
    let mut waiting = vec![instance.data().to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(stat) = fs::symlink_metadata(&path) else { continue };
        let mode = stat.permissions().mode() & 0o7777;
        let want = if stat.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, want, "{}: {mode:o}", path.display());
        seen += 1;
        if stat.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
    }
    assert!(seen > 20, "{seen} places");
    running.kill();
    // A folder that is more open than that stays so, and is told.
    let spool = instance.data().join("spool");
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o755)).expect("allowed");
    let told = format!("{} (0755)", spool.display());
    let output = instance.relais("check", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains(&told), "{text}");
    let _running = instance.start();
    assert!(instance.log().contains(&told));
    assert_eq!(fs::metadata(&spool).expect("a folder").permissions().mode() & 0o777, 0o755);
}
