//! UNIX mailboxes: LMTP into mbox files, read by others while mail comes in.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Dovecot, Instance, Random, Running, Settings, SmallDisk, eventually, fetch, is_root,
    needs, needs_root, python,
};

const TEXT: &str = "Subject: x\r\n\r\nFrom here on: text\r\n";
const NOBODY: u32 = 65_534;

/// The user who has all mailboxes: nobody, where root may give them away.
fn user() -> u32 {
    if is_root() { NOBODY } else { rustix::process::geteuid().as_raw() }
}

/// An instance with the accounts joe, ann and those of these names.
fn instance(settings: Settings, others: &[String]) -> Instance {
    let instance = Instance::new(settings);
    let mail = instance.data().join("mail");
    fs::create_dir_all(&mail).expect("room");
    if is_root() {
        std::os::unix::fs::chown(&mail, Some(NOBODY), Some(NOBODY)).expect("allowed");
        for folder in [instance.data(), instance.data().parent().expect("a folder")] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("ours");
        }
    }
    let id = user();
    let line = |name: &str| format!("{name}:x:{id}:{id}::/nowhere:/bin/sh\n");
    let others = others.iter().map(String::as_str);
    let accounts: String = ["joe", "ann"].into_iter().chain(others).map(line).collect();
    fs::write(instance.data().join("accounts"), accounts).expect("room");
    instance
}

fn start(settings: Settings) -> (Instance, Running) {
    let instance = instance(settings, &[]);
    let running = instance.start();
    (instance, running)
}

fn mailbox(instance: &Instance, user: &str) -> PathBuf {
    instance.data().join("mail").join(user)
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

/// The subjects in a mailbox as Python's library reads it.
fn subjects(path: &std::path::Path) -> Vec<String> {
    let script = format!(
        "import mailbox\nfor m in mailbox.mbox({:?}, create=False):\n    print(m['Subject'])",
        path.display().to_string()
    );
    python(&script).lines().map(str::to_owned).collect()
}

#[test]
fn mail_by_lmtp_lies_in_the_mailboxes_of_accounts() {
    let (instance, _running) = start(Settings::unix_mailboxes());
    let mut client = lmtp(&instance);
    let to = ["joe", "joe+Work", "ann@elsewhere.test", "ghost", "Joe@siroe.com"];
    let replies = deliver(&mut client, &to, TEXT);
    let want = [
        "250 2.5.0 joe OK",
        "250 2.5.0 joe+Work OK",
        "250 2.5.0 ann@elsewhere.test OK",
        "511 5.1.1 mailbox nonexistent",
        "250 2.5.0 Joe@siroe.com OK",
    ];
    assert_eq!(replies, want);
    for user in ["joe", "ann"] {
        let path = mailbox(&instance, user);
        let text = fs::read_to_string(&path).expect("a mailbox");
        assert!(text.starts_with("From a@sender.test  "), "{text}");
        let head = text.find("Subject: x").expect("the header");
        assert!(text[..head].contains("\nReturn-Path: <a@sender.test>\n"), "{text}");
        assert_eq!(
            &text[head..],
            "Subject: x\n\n>From here on: text\n\n",
            "once, though named thrice"
        );
        let meta = fs::metadata(&path).expect("there");
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, self::user()), "{user}");
    }
    let names: Vec<_> = fs::read_dir(instance.data().join("mail")).expect("there").collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let large = format!("Subject: large\r\n\r\n{}", "From the horses\r\n".repeat(200_000));
    assert_eq!(
        deliver(&mut client, &["joe", "ann"], &large),
        ["250 2.5.0 joe OK", "250 2.5.0 ann OK"]
    );
    assert_eq!(subjects(&mailbox(&instance, "joe")), ["x", "large"]);
    let text = fs::read_to_string(mailbox(&instance, "joe")).expect("a mailbox");
    assert_eq!(text.matches("\n>From the horses\n").count(), 100_000, "each second line");
    assert_eq!(text.matches(">From the horses\n").count(), 200_000);
    assert_eq!(fs::read_dir(instance.data().join("native/.tmp")).expect("there").count(), 0);
    let log = instance.log();
    let line = log.lines().find(|line| line.contains("joe+Work")).expect("a line for each");
    assert!(line.contains("mail/joe") && line.contains("250 2.5.0"), "{line}");
    let page = fetch(instance.settings.admin, "/metrics").expect("a page").body;
    let count = "relais_channel_messages_total{channel=\"tcp_lmtpss\",event=\"delivered\"} 2";
    assert!(page.contains(count), "{page}");
}

#[test]
fn what_is_no_mailbox_of_the_account_is_left_alone_and_said() {
    if !needs_root() {
        return;
    }
    let (instance, _running) = start(Settings::unix_mailboxes());
    let mut client = lmtp(&instance);
    let (joe, other) = (mailbox(&instance, "joe"), instance.data().join("other"));
    let mut reply = || deliver(&mut client, &["joe"], TEXT).remove(0);
    fs::write(&other, "").expect("room");
    symlink(&other, &joe).expect("room");
    assert_eq!(reply(), "420 4.2.0 Mailbox not supported: it is a link");
    fs::remove_file(&joe).expect("there");
    fs::write(&joe, "").expect("room");
    std::os::unix::fs::chown(&joe, Some(1), None).expect("allowed");
    let theirs = "420 4.2.0 Mailbox not supported: it belongs to user 1, and not to its own";
    assert_eq!(reply(), theirs);
    assert_eq!(fs::read(&other).expect("there").len() + fs::read(&joe).expect("there").len(), 0);
    fs::remove_file(&joe).expect("there");
    fs::remove_file(instance.data().join("accounts")).expect("there");
    assert_eq!(reply(), "430 4.3.0 the accounts cannot be asked now");
    assert!(instance.log().contains("a message is not in a mailbox"));
}

#[test]
fn locks_of_other_programs_are_waited_for_and_hold_up_nobody_else() {
    let (instance, _running) = start(Settings::unix_mailboxes());
    let lock = mailbox(&instance, "joe").with_extension("lock");
    fs::write(&lock, "").expect("room");
    let begun = Instant::now();
    let locked = thread::scope(|threads| {
        let locked = threads.spawn(|| deliver(&mut lmtp(&instance), &["joe", "ann"], TEXT));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(deliver(&mut lmtp(&instance), &["ann"], TEXT), ["250 2.5.0 ann OK"]);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        locked.join().expect("no panic")
    });
    assert_eq!(locked, ["420 4.2.0 Mailbox Locked", "250 2.5.0 ann OK"]);
    let waited = begun.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(9)).contains(&waited), "{waited:?}");
    // A reader who lets go in time.
    thread::scope(|threads| {
        let client = threads.spawn(|| deliver(&mut lmtp(&instance), &["joe"], TEXT));
        thread::sleep(Duration::from_secs(1));
        fs::remove_file(&lock).expect("there");
        assert_eq!(client.join().expect("no panic"), ["250 2.5.0 joe OK"]);
    });
    // Python's lock is the one of fcntl.
    let path = mailbox(&instance, "joe").display().to_string();
    let script = format!(
        "import fcntl, time\nf = open({path:?}, 'rb+')\nfcntl.lockf(f, fcntl.LOCK_EX)\n\
         open({path:?} + '.held', 'w')\ntime.sleep(2)"
    );
    thread::scope(|threads| {
        threads.spawn(|| python(&script));
        let held = mailbox(&instance, "joe.held");
        eventually("the lock is held", Duration::from_secs(10), || held.exists());
        let begun = Instant::now();
        assert_eq!(deliver(&mut lmtp(&instance), &["joe"], TEXT), ["250 2.5.0 joe OK"]);
        assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    });
    assert_eq!(subjects(&mailbox(&instance, "joe")).len(), 2);
}

#[test]
fn nothing_is_lost_while_a_reader_expunges() {
    if !needs(&["dovecot"]) {
        return;
    }
    let (instance, _running) = start(Settings::unix_mailboxes());
    let dovecot = Dovecot::over_mboxes(&instance.data().join("mail"));
    let port = dovecot.port;
    // Takes every other message out, and says what it took.
    let script = format!(
        "import imaplib, time, re\n\
         end, taken, quiet = time.time() + 90, [], 0\n\
         while len(taken) < 400 and time.time() < end:\n\
         \x20   c = imaplib.IMAP4('127.0.0.1', {port})\n\
         \x20   c.login('joe', 'x')\n\
         \x20   c.select('INBOX')\n\
         \x20   for n in c.search(None, 'ALL')[1][0].split()[:40]:\n\
         \x20       t, d = c.fetch(n, '(BODY.PEEK[HEADER.FIELDS (SUBJECT)])')\n\
         \x20       s = re.search(rb'Subject: (\\d+)', d[0][1]).group(1).decode()\n\
         \x20       c.store(n, '+FLAGS', '\\\\Deleted')\n\
         \x20       taken.append(s)\n\
         \x20   c.expunge()\n\
         \x20   c.logout()\n\
         print('\\n'.join(taken))"
    );
    let taken = thread::scope(|threads| {
        let reader = threads.spawn(|| python(&script));
        let writer = |from: usize| {
            let mut client = lmtp(&instance);
            for n in from..from + 200 {
                let text = format!("Subject: {n}\r\n\r\nFrom {n}\r\n{}", "x\r\n".repeat(n * 7));
                loop {
                    let reply = deliver(&mut client, &["joe"], &text).remove(0);
                    if reply.starts_with("250") {
                        break;
                    }
                    assert!(reply.starts_with("421"), "{reply}");
                }
            }
        };
        let writers = [threads.spawn(move || writer(0)), threads.spawn(move || writer(200))];
        for writer in writers {
            writer.join().expect("no panic");
        }
        reader.join().expect("no panic")
    });
    let mut taken: Vec<usize> = taken.lines().map(|n| n.parse().expect("a number")).collect();
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!((taken.len(), count), (400, 400), "{}", dovecot.log());
    let complaint = |line: &&str| line.contains("Error") && !line.contains("chdir");
    assert_eq!(dovecot.log().lines().find(complaint), None);
}

#[test]
fn a_killed_engine_leaves_whole_messages_and_every_one_that_was_answered_for() {
    let instance = instance(Settings::unix_mailboxes(), &[]);
    let mut random = Random::seeded();
    let (mut answered, mut sent) = (Vec::new(), 0);
    let undone = || instance.log().matches("half a message that a crash had left").count();
    // On a machine that is busy elsewhere, few kills come amid an append.
    for round in 0..60 {
        if round >= 12 && undone() > 0 {
            break;
        }
        let running = instance.start();
        let (patience, more) =
            (Duration::from_micros(random.between(0, 4_000)), random.between(0, 7 << 20));
        thread::scope(|threads| {
            let (instance, from) = (&instance, sent);
            let client = threads.spawn(move || {
                let mut told = Vec::new();
                let mut client = lmtp(instance);
                for n in from.. {
                    let body = format!("{n} line of many\r\n").repeat(150_000);
                    let text = format!("Subject: {n}\r\n\r\n{body}end {n}\r\n");
                    if client.try_ask("MAIL FROM:<a@b.test>").is_err()
                        || client.try_ask("RCPT TO:<joe>").is_err()
                        || client.try_ask("DATA").is_err()
                        || client.send(format!("{text}.\r\n").as_bytes()).is_err()
                    {
                        return (n + 1, told);
                    }
                    match client.reply() {
                        Ok(reply) if reply.code == 250 => told.push(n),
                        _ => return (n + 1, told),
                    }
                }
                unreachable!()
            });
            let size = || fs::metadata(mailbox(instance, "joe")).map_or(0, |meta| meta.len());
            let before = size();
            eventually("it writes", Duration::from_secs(20), || size() > before + more);
            thread::sleep(patience);
            running.kill();
            let (next, told) = client.join().expect("no panic");
            answered.extend(told);
            sent = next;
        });
    }
    let mut running = instance.start();
    let undone = undone();
    let script = format!(
        "import mailbox\nfor m in mailbox.mbox({:?}, create=False):\n    n = m['Subject']\n    \
         p = m.get_payload()\n    \
         assert p == f'{{n}} line of many\\n' * 150000 + f'end {{n}}\\n', (n, len(p), p[-100:])\n    print(n)",
        mailbox(&instance, "joe").display().to_string()
    );
    let found: Vec<u64> = python(&script).lines().map(|n| n.parse().expect("a number")).collect();
    for n in &answered {
        assert!(found.contains(n), "{n} was answered for: {found:?}");
    }
    println!("{} answered, {} found, {undone} torn ones undone", answered.len(), found.len());
    assert!(undone > 0, "no kill came amid an append: {} answered, {sent} sent", answered.len());
    running.terminate();
    running.wait(Duration::from_secs(20));
}

#[test]
fn a_full_disk_puts_mail_off_and_leaves_no_piece_of_it() {
    if !needs_root() {
        return;
    }
    let disk = SmallDisk::mounted("300k");
    let settings = Settings::unix_mailboxes()
        .edit("path: \"mail\"", &format!("path: {:?}", disk.path().display().to_string()));
    let (instance, _running) = start(settings);
    let mut client = lmtp(&instance);
    let text = format!("Subject: x\r\n\r\n{}", "0123456789\r\n".repeat(8_000));
    let replies: Vec<_> = (0..6).map(|_| deliver(&mut client, &["joe"], &text).remove(0)).collect();
    let taken = replies.iter().filter(|reply| reply.starts_with("250")).count();
    assert!((1..6).contains(&taken), "{replies:?}");
    assert!(replies[5].starts_with("452 4.3.1 no space left for mail"), "{replies:?}");
    assert_eq!(subjects(&disk.path().join("joe")).len(), taken);
    let text = fs::read_to_string(disk.path().join("joe")).expect("a mailbox");
    assert!(text.ends_with("0123456789\n\n"));
}
