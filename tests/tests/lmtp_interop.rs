//! Real stores, and one message for many of their mailboxes: each is settled by its own reply.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
    time::Duration,
};

use relais_tests::{
    Dialogue, ForeignStore, Instance, Settings, distinct_files, eventually, free_port, mailbox,
    message, needs, needs_root, open_folder,
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
    // One of them is over quota at RCPT, the other not before the dot; and there is no SIZE.
    let (mut direct, _) = Dialogue::connect(store.port).expect("a connection");
    assert!(!direct.ask("LHLO mail.test").text.contains("SIZE"));
    direct.ask("MAIL FROM:<a@sender.test>").expect(250);
    direct.ask("RCPT TO:<over@one.test>").expect_start("552 5.2.2");
    direct.ask("RCPT TO:<tight@one.test>").expect(250);
    drop(direct);
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
    let instance = before(&store);
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

/// It looks at RCPT whether somebody is over quota by then, and takes what no longer fits; of two messages
/// of one Message-ID and one Date it keeps the first, and gives an id to those that have none.
#[test]
fn cyrus_puts_off_who_is_over_quota_and_keeps_one_of_a_message_id_and_date() {
    if !needs_root() || !needs(&["/usr/lib/cyrus/bin/lmtpd"]) {
        return;
    }
    let store = ForeignStore::cyrus_with_quota(8);
    let instance = before(&store);
    let _running = instance.start();
    let (alice, bob) = ("alice@relais.example", "bob@relais.example");
    send(&instance, &[alice], "too much", 20_000);
    eventually("it goes in", PATIENCE, || ended(&instance, alice).len() == 1);
    let dated = |to: &[&str], hour: u32| {
        let text = format!(
            "Subject: both\r\nMessage-ID: <both@client.test>\r\n\
             Date: Mon, 30 Nov 2026 0{hour}:00:00 +0000\r\n\r\nboth\r\n"
        );
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@sender.test", to, text.as_bytes()).expect(250);
    };
    dated(&[alice, bob], 1);
    eventually("bob has it", PATIENCE, || ended(&instance, bob).len() == 1);
    eventually("alice waits", PATIENCE, || ended(&instance, alice).len() == 2);
    let refused = &ended(&instance, alice)[1];
    assert!(refused.contains("\"action\":\"Q\"") && refused.contains("\"452 4.2.2"), "{refused}");
    assert_eq!(store.messages().len(), 2);
    // One of another date is another message to it.
    dated(&[bob], 1);
    dated(&[bob], 2);
    let without = b"Subject: x\r\n\r\nno id, no date\r\n";
    for _ in 0..2 {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@sender.test", &[bob], without).expect(250);
    }
    eventually("it says that it took all", PATIENCE, || ended(&instance, bob).len() == 5);
    let all = ended(&instance, bob);
    assert!(all.iter().all(|line| line.contains("\"action\":\"D\"")), "{all:#?}");
    let ids = |message: &String| message.to_lowercase().contains("\nmessage-id: <");
    assert_eq!(
        (store.messages().len(), store.messages().iter().filter(|m| ids(m)).count()),
        (5, 5),
        "{:#?}",
        store.messages()
    );
    assert!(!instance.log().contains("suspended"), "{}", instance.log());
}

/// Spellings that are one user to it have a reply each; and a name that is too long for its file system
/// keeps nobody else's mail back.
#[test]
fn dovecot_takes_each_spelling_of_an_address_and_puts_off_a_name_that_is_too_long() {
    if !needs_root() || !needs(&["/usr/lib/dovecot/lmtp"]) {
        return;
    }
    let store = ForeignStore::dovecot();
    let instance = Instance::new(Settings::standalone().stores(store.port));
    let _running = instance.start();
    // Of two that differ in the case of the domain alone there is one.
    let to = ["ann@one.test", "Ann@one.test", "ann@ONE.test", "ann+x@one.test"];
    send(&instance, &to, "spellings", 500);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!((ended(&instance, "one.test").len(), store.messages().len()), (3, 3));
    let [long, longer] = [200, 300].map(|octets| format!("{}@one.test", "l".repeat(octets)));
    send(&instance, &[&long, &longer, "ben@one.test"], "long", 500);
    eventually("each has its reply", PATIENCE, || ended(&instance, "one.test").len() == 6);
    for (to, action, reply) in
        [(&*long, "D", "Saved"), (&*longer, "Q", "451 4.2.0"), ("ben@one.test", "D", "Saved")]
    {
        let line = ended(&instance, &format!("<{to}>")).pop().unwrap_or_default();
        assert!(line.contains(&format!("\"action\":\"{action}\"")), "{action} {line}");
        assert!(line.contains(reply), "{reply} {line}");
    }
    assert_eq!(store.messages().len(), 5);
    assert!(!instance.log().contains("suspended"), "{}", instance.log());
}

/// The last line of its LHLO is empty, and it offers DSN and what only proxies use.
#[test]
fn postfixs_sink_hears_what_senders_want_to_hear() {
    if !needs_root() || !needs(&["smtp-sink"]) {
        return;
    }
    let (port, folder) = (free_port(), open_folder());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("our folder");
    let place = format!("inet:127.0.0.1:{port}");
    let mut sink = Command::new("smtp-sink");
    sink.args(["-u", "nobody", "-L", "-d", "taken.", &place, "100"]).current_dir(folder.path());
    let mut sink = sink.spawn().expect("it runs");
    eventually("it listens", PATIENCE, || Dialogue::connect(port).is_ok());
    let instance = Instance::new(Settings::standalone().stores(port));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@sender.test> RET=HDRS ENVID=e1").expect(250);
    client.ask("RCPT TO:<ann@one.test> NOTIFY=FAILURE ORCPT=rfc822;ann@two.test").expect(250);
    client.ask("RCPT TO:<ben@one.test>").expect(250);
    client.ask("DATA").expect(354);
    client.finish(&message("sink", 500)).expect(250);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    sink.kill().and_then(|()| sink.wait()).expect("it ran");
    let taken: Vec<_> = fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!((taken.len(), ended(&instance, "one.test").len()), (1, 1), "{}", instance.log());
    let text = fs::read_to_string(taken[0].path()).expect("a message");
    for line in [
        "X-Mail-Args: <a@sender.test> RET=HDRS ENVID=e1",
        "X-Rcpt-Args: <ann@one.test> NOTIFY=FAILURE ORCPT=rfc822;ann@two.test",
        "X-Rcpt-Args: <ben@one.test>",
    ] {
        assert!(text.lines().any(|its| its.starts_with(line)), "{line}: {text}");
    }
}

/// An engine before a store of somebody else's.
fn before(store: &ForeignStore) -> Instance {
    let place = format!("daemon: \"inet:[127.0.0.1]:{}\",", store.port);
    Instance::new(Settings::standalone().edit("multigate: true,", &place))
}

/// The lines of the log about attempts for a recipient.
fn ended(instance: &Instance, to: &str) -> Vec<String> {
    let log = instance.log();
    let lines = log.lines().filter(|line| line.contains("attempt ended") && line.contains(to));
    lines.map(str::to_owned).collect()
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
