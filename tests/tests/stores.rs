//! Mail that leaves: into the stores of others, over TCP and over UNIX sockets, once each; and as
//! many copies as the channel says.

use std::{collections::HashMap, time::Duration};

use relais_tests::{
    Dialogue, ForeignStore, Instance, Load, Settings, Sink, eventually, needs, needs_root, within,
};

#[test]
fn dovecot_gets_each_message_once() {
    if needs_root() && needs(&["/usr/lib/dovecot/lmtp"]) {
        gets_each_message_once(&ForeignStore::dovecot());
    }
}

#[test]
fn cyrus_gets_each_message_once() {
    if needs_root() && needs(&["/usr/lib/cyrus/bin/lmtpd"]) {
        gets_each_message_once(&ForeignStore::cyrus());
    }
}

/// A load, so that one message is announced behind the other, over each kind of socket.
fn gets_each_message_once(store: &ForeignStore) {
    const MESSAGES: usize = 400;
    let places =
        [format!("unix:{}", store.socket.display()), format!("inet:[127.0.0.1]:{}", store.port)];
    let mut acknowledged = Vec::new();
    for place in places {
        let settings =
            Settings::standalone().edit("multigate: true,", &format!("daemon: \"{place}\","));
        let instance = Instance::new(settings);
        let _running = instance.start();
        let load = Load::new(instance.settings.smtp, "alice@relais.example", 2_000);
        // Cyrus answers 451 when two deliveries at once have to make the same mailbox.
        load.run(1, 1);
        eventually("the mailbox", Duration::from_secs(20), || instance.queue().is_empty());
        load.run(5, MESSAGES);
        // The first run took a number that it did not use.
        assert_eq!(load.acknowledged().len(), MESSAGES - 1, "taken for {place}");
        acknowledged.extend(load.acknowledged());
        let emptied = within(Duration::from_secs(60), || instance.queue().is_empty());
        let left = instance.queue();
        assert!(emptied, "{} left by {place}, the first: {}", left.len(), left[0]);
    }
    let mut stored: HashMap<String, usize> = HashMap::new();
    for message in store.messages() {
        *stored.entry(message_id(&message)).or_default() += 1;
    }
    let wrong = acknowledged.iter().filter(|id| stored.get(*id) != Some(&1));
    let (wrong, name) = (wrong.count(), store.name);
    assert_eq!((wrong, stored.len()), (0, acknowledged.len()), "{name}: not exactly once");
}

#[test]
fn copies_decides_how_many_leave_for_several_recipients() {
    // One host: a copy for all, one for each, or as many as `addrsperfile` makes.
    for (copies, want) in [("SingleSys", 1), ("Single", 2), ("Multiple", 1)] {
        let sink = Sink::start();
        let settings = Settings::standalone()
            .deliver_to(sink.port)
            .edit("copies: SingleSys", &format!("copies: {copies}"));
        let instance = Instance::new(settings);
        let _running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<a@sender.test>").expect(250);
        client.ask("RCPT TO:<alice@relais.example>").expect(250);
        client.ask("RCPT TO:<bob@relais.example>").expect(250);
        client.ask("DATA").expect(354);
        client.ask("Message-ID: <both@sender.test>\r\n\r\nto both\r\n.").expect(250);
        eventually("an empty queue", Duration::from_secs(20), || instance.queue().is_empty());
        assert_eq!(sink.seen(), [("both@sender.test".to_owned(), want)].into(), "{copies}");
    }
}

/// Sections 1.5 and 1.6 of the reference of Postfix: recipients of several domains that a virtual alias
/// stands for go to their common next hop together, each once.
#[test]
fn a_virtual_alias_of_several_domains_is_one_transaction_at_their_common_next_hop() {
    let (sink, other) = (Sink::start(), Sink::start());
    let to = |port: u16| format!("stores:inet:127.0.0.1:{port}");
    let transport = format!(
        "transport: {{\"a.test\": {0:?}, \"b.test\": {0:?}, \"c.test\": {0:?}, \"d.test\": {1:?}}}",
        to(sink.port),
        to(other.port),
    );
    let members =
        "\"u@a.test\", \"u@b.test\", \"v@a.test\", \"u@c.test\", \"u@d.test\", \"U@A.test\"";
    let settings = Settings::standalone()
        .stores(sink.port)
        .channel("stores", "copies: SingleSys")
        .edit("multigate: true, private: false", "private: false")
        .section(&transport)
        .section(&format!("virtual_alias: {{\"all@v.test\": [{members}]}}"));
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let content = b"Message-ID: <all@sender.test>\r\n\r\nto all\r\n";
    client.message("a@sender.test", &["all@v.test"], content).expect(250);
    eventually("an empty queue", Duration::from_secs(20), || instance.queue().is_empty());
    let handed = |sink: &Sink| -> Vec<Vec<String>> {
        let sorted = |(_, mut to): (String, Vec<String>)| {
            to.sort_unstable();
            to
        };
        sink.handed().into_iter().map(sorted).collect()
    };
    assert_eq!(handed(&sink), [["u@a.test", "u@b.test", "u@c.test", "v@a.test"]]);
    assert_eq!(handed(&other), [["u@d.test"]]);
}

fn message_id(message: &str) -> String {
    let line = message.lines().find_map(|line| line.strip_prefix("Message-ID: "));
    line.unwrap_or_default().trim().trim_matches(['<', '>']).to_owned()
}
