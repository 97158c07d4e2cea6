//! Real stores, and one message for many of their mailboxes: each is settled by its own reply.

use std::time::Duration;

use relais_tests::{
    Dialogue, ForeignStore, Instance, Settings, distinct_files, eventually, mailbox, message,
    needs, needs_root,
};

#[test]
fn dovecot_settles_each_of_several_by_itself() {
    if !needs_root() || !needs(&["/usr/lib/dovecot/lmtp"]) {
        return;
    }
    let [ann, ben, tight, over] =
        ["ann", "ben", "tight", "over"].map(|name| format!("{name}@one.test"));
    let users = [(ann, None), (ben, None), (tight, Some("8K")), (over, Some("8K"))];
    let store = ForeignStore::dovecot_of(&users);
    store.fill("over@one.test", 10_000);
    let instance = Instance::new(Settings::standalone().stores(store.port));
    let _running = instance.start();
    let to = ["ann@one.test", "nobody@one.test", "tight@one.test", "over@one.test", "ben@one.test"];
    // Without SIZE it finds out at the dot that this is too much for one of them.
    send(&instance, &to, "five", 20_000);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let line_of = |to: &str| {
        let log = instance.log();
        let mut lines = log.lines().filter(|line| line.contains("attempt ended"));
        lines.find(|line| line.contains(to)).unwrap_or_default().to_owned()
    };
    let rows = [
        ("ann@one.test", "D", " Saved"),
        ("ben@one.test", "D", " Saved"),
        ("nobody@one.test", "R", "550 5.1.1"),
        ("tight@one.test", "R", "552 5.2.2"),
        ("over@one.test", "R", "552 5.2.2"),
    ];
    for (to, action, reply) in rows {
        let line = line_of(to);
        assert!(line.contains(&format!("\"action\":\"{action}\"")), "{to}: {line}");
        assert!(line.contains(reply), "{to}: {line}");
        assert_eq!(line.contains("\"peer_id\":\""), action == "D", "{to}: {line}");
    }
    let stored = store.messages().into_iter().filter(|message| message.contains("five@load.test"));
    assert_eq!(stored.count(), 2);
    assert!(!instance.log().contains("suspended"));
}

#[test]
fn dovecot_keeps_one_file_for_150_mailboxes() {
    if !needs_root() || !needs(&["/usr/lib/dovecot/lmtp"]) {
        return;
    }
    let to = addresses();
    let users: Vec<_> = to.iter().map(|to| (to.clone(), None)).collect();
    let store = ForeignStore::dovecot_of(&users);
    let instance = Instance::new(Settings::standalone().stores(store.port));
    let _running = instance.start();
    let names: Vec<_> = to.iter().map(String::as_str).collect();
    send(&instance, &names, "many", 2_000);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!((store.messages().len(), store.files()), (to.len(), 1));
}

#[test]
fn a_store_of_ours_keeps_one_file_for_150_mailboxes() {
    let store = Instance::new(Settings::store());
    let _store = store.start();
    let settings = Settings::standalone().stores(store.settings.lmtp);
    let instance = Instance::new(settings.edit("private: false", "private: true"));
    let _running = instance.start();
    let to = addresses();
    let names: Vec<_> = to.iter().map(String::as_str).collect();
    send(&instance, &names, "many", 2_000);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let of = |to: &String| mailbox(&store.store(), "one.test", to.split('@').next().unwrap_or(to));
    assert!(to.iter().all(|to| of(to).len() == 1), "{}", instance.log());
    let is_message = |path: &std::path::Path| path.parent().is_some_and(|it| it.ends_with("new"));
    assert_eq!(distinct_files(&store.store(), is_message), 1);
}

#[test]
fn cyrus_takes_what_it_knows_and_its_session_is_written_down() {
    if !needs_root() || !needs(&["/usr/lib/cyrus/bin/lmtpd"]) {
        return;
    }
    let store = ForeignStore::cyrus();
    let place = format!("inet:[127.0.0.1]:{}", store.port);
    let settings =
        Settings::standalone().edit("multigate: true,", &format!("daemon: \"{place}\","));
    let instance = Instance::new(settings);
    let _running = instance.start();
    send(&instance, &["alice@relais.example", "bob@relais.example"], "two", 2_000);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let log = instance.log();
    let delivered = log.lines().filter(|line| line.contains("\"action\":\"D\""));
    for line in delivered {
        assert!(line.contains("SESSIONID=<") && line.contains("\"peer_id\":\""), "{line}");
    }
    assert_eq!(store.messages().len(), 2);
}

#[track_caller]
fn send(instance: &Instance, to: &[&str], name: &str, octets: usize) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", to, &message(name, octets)).expect(250);
}

fn addresses() -> Vec<String> {
    (0..150).map(|n| format!("u{n}@one.test")).collect()
}

/// For a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);
