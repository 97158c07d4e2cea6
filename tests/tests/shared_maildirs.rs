//! Dovecot reads and writes the Maildirs that our store delivers into: the quota file that both keep, and
//! names that tell sizes.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use relais_tests::{
    Dialogue, Dovecot, Imap, Instance, Settings, eventually, needs, start_beside_dovecot,
};

const ALICE: &str = "alice@relais.example";
const KIB: usize = 1 << 10;

/// Our store lets a mailbox have so much.
fn settings(quota: &str) -> Settings {
    let store = format!("autocreate: Inbox, default_quota: (size: {quota:?})");
    Settings::standalone().edit("autocreate: Inbox", &store)
}

fn maildir(instance: &Instance) -> PathBuf {
    instance.store().join("relais.example/alice/Maildir")
}

/// A message of so many octets, for our store; the codes of its reply.
fn deliver(instance: &Instance, octets: usize) -> String {
    let (mut client, greeting) = Dialogue::connect(instance.settings.lmtp).expect("a connection");
    greeting.expect(220);
    client.ask("LHLO mail.test").expect(250);
    let reply = client.message("a@sender.test", &[ALICE], text(octets).as_bytes()).text;
    reply.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn text(octets: usize) -> String {
    // Dovecot keeps each line end as one octet: there are few.
    let line = format!("{}\r\n", "horse ".repeat(150));
    format!("Subject: x\r\n\r\n{}", line.repeat(octets / line.len()))
}

/// The first line of the quota file.
fn first_line(instance: &Instance) -> String {
    let file = fs::read_to_string(maildir(instance).join("maildirsize")).unwrap_or_default();
    file.lines().next().unwrap_or_default().to_owned()
}

/// KiB in use and the most that may be, as Dovecot has it.
fn quota(imap: &mut Imap) -> Option<(usize, usize)> {
    let lines = imap.ask("GETQUOTAROOT INBOX");
    let numbers = lines.iter().find_map(|line| line.split_once("(STORAGE "))?.1;
    let mut numbers = numbers.trim_end_matches(')').split(' ').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Takes messages away.
fn expunge(imap: &mut Imap, which: &str) {
    imap.ask("SELECT INBOX");
    imap.ask(&format!("STORE {which} +FLAGS.SILENT (\\Deleted)"));
    imap.ask("EXPUNGE");
    imap.ask("CLOSE");
}

fn needs_dovecot() -> bool {
    needs(&["dovecot", "/usr/lib/dovecot/imap", "setpriv"])
}

#[test]
fn what_dovecot_says_of_a_limit_stays_its_numbers_count_and_ours_decides() {
    if !needs_dovecot() {
        return;
    }
    let (instance, _running) = start_beside_dovecot(settings("600KiB"));
    assert_eq!(deliver(&instance, KIB), "250 2.5.0");
    let dovecot = Dovecot::with_quota(&instance.store(), 200);
    let mut imap = Imap::log_in(dovecot.port, ALICE);
    imap.append("INBOX", &text(200 * KIB));
    eventually("its own limit is there", PATIENCE, || {
        quota(&mut imap);
        first_line(&instance) == "209715200S"
    });
    // Each counts the messages of the other.
    assert_eq!(deliver(&instance, 300 * KIB), "250 2.5.0");
    let (used, most) = quota(&mut imap).expect("a quota");
    assert!((498..=503).contains(&used) && most == 200 * KIB, "{used} of {most}");
    assert_eq!(deliver(&instance, 200 * KIB), "422 4.2.2");
    imap.append("INBOX", &text(200 * KIB));
    assert_eq!(deliver(&instance, KIB), "422 4.2.2");
    assert_eq!(first_line(&instance), "209715200S");
    expunge(&mut imap, "1:*");
    assert_eq!(deliver(&instance, 300 * KIB), "250 2.5.0");
    assert_eq!(first_line(&instance), "209715200S");
    let (used, _) = quota(&mut imap).expect("a quota");
    assert!((298..=303).contains(&used), "{used}");
    assert!(!dovecot.log().contains("Error"), "{}", dovecot.log());
}

#[test]
fn a_mailbox_is_full_and_has_room_again_for_both_at_once() {
    if !needs_dovecot() {
        return;
    }
    let (instance, _running) = start_beside_dovecot(settings("1MiB"));
    assert_eq!(deliver(&instance, KIB), "250 2.5.0");
    let dovecot = Dovecot::with_quota(&instance.store(), 1);
    let mut imap = Imap::log_in(dovecot.port, ALICE);
    let literal = text(300 * KIB);
    let append = |imap: &mut Imap| {
        let (said, _) = imap.say(&format!("APPEND INBOX {{{}+}}\r\n{literal}", literal.len()));
        said.split(' ').take(2).collect::<Vec<_>>().join(" ")
    };
    for _ in 0..3 {
        assert_eq!(deliver(&instance, 300 * KIB), "250 2.5.0");
    }
    assert_eq!(deliver(&instance, 300 * KIB), "422 4.2.2");
    assert_eq!(append(&mut imap), "NO [OVERQUOTA]");
    expunge(&mut imap, "2");
    assert!(append(&mut imap).starts_with("OK"), "there is room");
    assert_eq!(deliver(&instance, 300 * KIB), "422 4.2.2");
    // A user removes files by hand: both believe the count of just now, and look anew when it is old.
    let large = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.len() > 10_000);
    let files = ["new", "cur"]
        .into_iter()
        .flat_map(|sub| fs::read_dir(maildir(&instance).join(sub)).into_iter().flatten().flatten());
    let files: Vec<_> = files.map(|file| file.path()).filter(large).collect();
    fs::remove_file(&files[0]).expect("allowed");
    assert_eq!(deliver(&instance, 300 * KIB), "422 4.2.2");
    assert_eq!(append(&mut imap), "NO [OVERQUOTA]");
    let file = fs::File::options().write(true).open(maildir(&instance).join("maildirsize"));
    let old = SystemTime::now() - Duration::from_secs(16 * 60);
    file.and_then(|file| file.set_modified(old)).expect("allowed");
    assert_eq!(deliver(&instance, 300 * KIB), "250 2.5.0");
    assert_eq!(append(&mut imap), "NO [OVERQUOTA]");
    let (used, most) = quota(&mut imap).expect("a quota");
    assert!((898..=905).contains(&used) && most == KIB, "{used} of {most}");
    assert!(!dovecot.log().contains("Error"), "{}", dovecot.log());
}

#[test]
fn a_user_without_a_limit_of_dovecots_has_that_of_the_store() {
    if !needs_dovecot() {
        return;
    }
    let (instance, _running) = start_beside_dovecot(settings("400KiB"));
    assert_eq!(deliver(&instance, KIB), "250 2.5.0");
    let dovecot = Dovecot::with_quota(&instance.store(), 0);
    let mut imap = Imap::log_in(dovecot.port, ALICE);
    imap.append("INBOX", &text(200 * KIB));
    assert_eq!(first_line(&instance), "0S");
    assert_eq!(deliver(&instance, 150 * KIB), "250 2.5.0");
    assert_eq!(deliver(&instance, 150 * KIB), "422 4.2.2");
    imap.append("INBOX", &text(200 * KIB));
    assert_eq!(first_line(&instance), "0S");
}

/// Dovecot ends each session that fetches such a message, and does nothing about it.
#[test]
fn a_name_that_tells_a_wrong_size_is_mended() {
    if !needs_dovecot() {
        return;
    }
    let (instance, _running) = start_beside_dovecot(settings("1MiB"));
    assert_eq!(deliver(&instance, KIB), "250 2.5.0");
    let new = maildir(&instance).join("new");
    let name = fs::read_dir(&new).expect("there").flatten().next().expect("one").file_name();
    let name = name.to_str().expect("text").to_owned();
    let (base, _) = name.split_once(",S=").expect("its size");
    fs::rename(new.join(&name), new.join(format!("{base},S=5,W=5"))).expect("allowed");
    let fetch = || {
        let dovecot = Dovecot::over(&instance.store());
        let mut imap = Imap::log_in(dovecot.port, ALICE);
        imap.ask("SELECT INBOX");
        imap.ask("FETCH 1 (RFC822.SIZE)").join("")
    };
    let size = format!(
        "RFC822.SIZE {}",
        fs::metadata(new.join(format!("{base},S=5,W=5"))).expect("there").len()
    );
    assert!(!fetch().contains(&size), "it goes by the name");
    let mended = instance.relais("mailbox", &["check", "alice", "--repair"]);
    assert!(mended.status.success(), "{mended:?}");
    assert!(fetch().contains(&size), "{}", fetch());
}

const PATIENCE: Duration = Duration::from_secs(20);
