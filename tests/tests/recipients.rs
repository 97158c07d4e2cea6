//! No recipient vanishes: members of lists that lead nowhere, what is held and released, what is
//! routed again.

use std::time::Duration;

use relais_tests::{Dialogue, Instance, Notice, Settings, Sink, eventually, mailbox, message};
use serde_json::Value;

/// A directory beside the configuration.
const DIRECTORY: &str = "\
dn: o=relais.example,dc=relais,dc=example
objectClass: sunManagedOrganization
sunPreferredDomain: relais.example

dn: uid=alice,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: alice
mail: alice@relais.example
mailHost: localhost

dn: uid=bob,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: bob
mail: bob@relais.example
mailHost: localhost

dn: uid=carol,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: carol
mail: carol@relais.example
mailHost: localhost
mailUserStatus: hold

dn: uid=dave,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: dave
mail: dave@relais.example
mailHost: localhost
mailUserStatus: inactive

dn: cn=team,o=relais.example,dc=relais,dc=example
objectClass: inetMailGroup
mail: team@relais.example
mgrpErrorsTo: mailto:bob@relais.example
mgrpRFC822MailMember: alice@relais.example
mgrpRFC822MailMember: nobody@relais.example
uniqueMember: uid=ghost,o=relais.example,dc=relais,dc=example

dn: cn=waiting,o=relais.example,dc=relais,dc=example
objectClass: inetMailGroup
mail: waiting@relais.example
mgrpRFC822MailMember: alice@relais.example
mgrpRFC822MailMember: dave@relais.example

dn: uid=eve,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: eve
mail: eve@relais.example
mailHost: localhost
mailDeliveryOption: forward
mailForwardingAddress: eve@relais.example

dn: uid=frank,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: frank
mail: frank@relais.example
mailHost: localhost
mailDeliveryOption: mailbox
mailDeliveryOption: forward
mailForwardingAddress: frank@relais.example

dn: cn=circle,o=relais.example,dc=relais,dc=example
objectClass: inetMailGroup
mail: circle@relais.example
mgrpErrorsTo: mailto:bob@relais.example
mgrpRFC822MailMember: alice@relais.example
mgrpRFC822MailMember: eve@relais.example
mgrpRFC822MailMember: frank@relais.example
mgrpRFC822MailMember: circle@relais.example
";

struct House {
    instance: Instance,
}

impl House {
    fn new(change: impl FnOnce(Settings) -> Settings) -> Self {
        let settings = Settings::standalone()
            .edit("directory: Ldif()", "directory: Ldif(file: \"users.ldif\")")
            .edit("\"#*forward=**\",", "\"#*forward=**\",\n        \"#/hold=@hold-daemon:$A\",")
            .section(
                "aliases: {\"some\": [\"alice\", \"nobody\"], \"none\": [\"nobody\", \"no-one\"], \
                 \"hopeful\": [\"nobody\", \"dave@relais.example\"]}",
            );
        let instance = Instance::new(change(settings));
        let house = Self { instance };
        house.directory(DIRECTORY);
        house
    }

    fn directory(&self, text: &str) {
        std::fs::create_dir_all(self.instance.data()).unwrap();
        std::fs::write(self.instance.data().join("users.ldif"), text).unwrap();
    }

    #[track_caller]
    fn send(&self, from: &str, to: &str) -> String {
        let mut client = Dialogue::open(self.instance.settings.smtp);
        let reply = client.message(from, &[to], &message("member", 900));
        let id = reply.expect(250).text.trim_end().rsplit(' ').next();
        id.expect("a queue id").to_owned()
    }

    #[track_caller]
    fn refused(&self, to: &str) -> String {
        let mut client = Dialogue::open(self.instance.settings.smtp);
        client.ask("MAIL FROM:<bob@relais.example>").expect(250);
        let reply = client.ask(&format!("RCPT TO:<{to}>"));
        reply.text.trim_end().to_owned()
    }

    #[track_caller]
    fn mail_of(&self, user: &str, wanted: usize) -> Vec<Vec<u8>> {
        let mail = || mailbox(&self.instance.store(), "relais.example", user);
        eventually(&format!("{wanted} messages for {user}"), PATIENCE, || mail().len() >= wanted);
        assert_eq!(mail().len(), wanted, "{user}");
        mail()
    }

    fn entries(&self, id: &str) -> Vec<Value> {
        let of_id = |entry: &Value| entry["id"] == id;
        self.instance.queue().into_iter().filter(of_id).collect()
    }
}

#[test]
fn a_member_of_a_list_that_leads_nowhere_is_told_of_and_never_lost() {
    let house = House::new(|settings| settings.channel("reprocess", "backoff: [\"1s\"]"));
    let running = house.instance.start();
    let unknown = "unknown or illegal alias";
    assert_eq!(house.refused("none"), format!("550 5.1.1 {unknown}"), "all fail for good");
    let inactive = "user inactive; cannot receive new mail";
    assert_eq!(house.refused("hopeful"), format!("450 4.2.1 {inactive}"), "one of them for now");

    // The sender hears of an alias, the address that the list names of a list.
    house.send("alice@relais.example", "some");
    let notice = house.mail_of("alice", 2);
    let notice = notice.iter().find(|mail| contains(mail, "delivery-status")).expect("a notice");
    let notice = Notice::read(notice);
    assert_eq!(
        notice.recipient().get("Diagnostic-Code"),
        Some(&*format!("X-relais; 550 5.1.1 {unknown}"))
    );
    assert_eq!(notice.recipient().get("Status"), Some("5.1.1"));

    house.send("alice@relais.example", "team@relais.example");
    house.mail_of("alice", 3);
    let notices = house.mail_of("bob", 1);
    let notice = Notice::read(&notices[0]);
    assert_eq!(notice.header.get("To"), Some("bob@relais.example"));
    // The owner learns which members they are.
    let named = notice.recipients().iter().map(|of| of.get("Final-Recipient").unwrap().to_owned());
    let ghost = "X-relais;uid=ghost,o=relais.example,dc=relais,dc=example";
    assert_eq!(named.collect::<Vec<_>>(), [ghost, "rfc822;nobody@relais.example"], "{notice:?}");
    let log = house.instance.log();
    assert!(log.contains("\"channel\":\"reprocess\""), "each step is in the log");

    // One that fails for now holds up nobody, and is tried again until it can go.
    let id = house.send("alice@relais.example", "waiting@relais.example");
    house.mail_of("alice", 4);
    // A mailbox has the mail before the queue has the store's reply.
    eventually("alice's part is settled", PATIENCE, || house.entries(&id).len() == 1);
    // An operator finds it by the list and by the member.
    for to in ["waiting@relais.example", "dave@relais.example"] {
        let found = house.instance.json("queue", &["list", "--to", to]);
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert_eq!(found[0]["id"], id, "{to}: {found:?}");
    }
    let shown = house.instance.relais("queue", &["show", &id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("waiting@relais.example -> dave@relais.example"), "{shown}");
    eventually("it was tried", PATIENCE, || {
        house.entries(&id).first().is_some_and(|entry| entry["attempts"].as_u64() > Some(0))
    });
    assert_eq!(house.entries(&id)[0]["channel"], "reprocess");
    running.kill();
    house.directory(&DIRECTORY.replace("mailUserStatus: inactive", "mailUserStatus: active"));
    let _running = house.instance.start();
    house.mail_of("dave", 1);
    eventually("nothing is left", PATIENCE, || house.instance.queue().is_empty());
    house.mail_of("alice", 4);
}

#[test]
fn a_member_that_leads_only_back_to_itself_is_told_of_too() {
    let house = House::new(|settings| settings);
    let _running = house.instance.start();
    let circle = "the address leads back to itself";
    assert_eq!(house.refused("eve@relais.example"), format!("554 5.4.6 {circle}"), "alone");
    house.send("alice@relais.example", "circle@relais.example");
    // Users with a mailbox beside the forward, and the list that names itself, lose nothing.
    house.mail_of("alice", 1);
    house.mail_of("frank", 1);
    let notices = house.mail_of("bob", 1);
    let notice = Notice::read(&notices[0]);
    assert_eq!(notice.recipients().len(), 1, "{notice:?}");
    assert_eq!(notice.recipient().get("Final-Recipient"), Some("rfc822;eve@relais.example"));
    assert_eq!(
        notice.recipient().get("Diagnostic-Code"),
        Some(&*format!("X-relais; 554 5.4.6 {circle}"))
    );
    eventually("nothing is left", PATIENCE, || house.instance.queue().is_empty());
    // The log says of whom it speaks.
    let log = house.instance.log();
    let line = log.lines().find(|line| line.contains("\"action\":\"R\"")).expect("its line");
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["to"], "<circle@relais.example>", "{line}");
    assert_eq!(line["members"], "<eve@relais.example>", "{line}");
}

#[test]
fn what_is_returned_to_a_sender_who_takes_no_mail_now_reaches_him_when_he_does() {
    let house = House::new(|settings| settings);
    let mut running = house.instance.start();
    let stop = house.instance.relais("channel", &["stop", "tcp_lmtpcs"]);
    assert!(stop.status.success(), "{stop:?}");
    let id = house.send("dave@relais.example", "alice@relais.example");
    let told = house.instance.relais("queue", &["return", &id]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("the sender is told later of 1 of 1 recipient"), "{told}");
    let is_held = || house.entries(&id).first().is_some_and(|entry| entry["state"] == "held");
    eventually("it is held", PATIENCE, is_held);
    let why = house.instance.relais("queue", &["why", &id]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("its sender cannot be told now"), "{why}");
    // Another order does not make this one forgotten.
    house.instance.relais("queue", &["retry", "--all", "--yes"]);
    running.terminate();
    running.wait(PATIENCE);
    house.directory(&DIRECTORY.replace("mailUserStatus: inactive", "mailUserStatus: active"));
    let _running = house.instance.start();
    let start = house.instance.relais("channel", &["start", "tcp_lmtpcs"]);
    assert!(start.status.success(), "{start:?}");
    let mail = house.mail_of("dave", 1);
    assert!(contains(&mail[0], "delivery-status"), "the notice");
    eventually("nothing is left", PATIENCE, || house.instance.queue().is_empty());
    assert!(mailbox(&house.instance.store(), "relais.example", "alice").is_empty());
}

#[test]
fn what_is_released_from_a_hold_channel_is_delivered_once_under_its_id() {
    let house = House::new(|settings| settings);
    let running = house.instance.start();
    let id = house.send("alice@relais.example", "carol@relais.example");
    eventually("it is held", PATIENCE, || {
        house.entries(&id).first().is_some_and(|entry| entry["state"] == "held")
    });
    // Lines are gathered for a moment before they are written.
    eventually("the log has it", PATIENCE, || house.instance.log().contains("\"action\":\"H\""));
    running.kill();
    let running = house.instance.start();
    assert_eq!(house.entries(&id)[0]["state"], "held", "it stays so over a crash");
    // Where it goes is away: what was released waits there, under its id.
    let status = house.instance.relais("channel", &["stop", "tcp_lmtpcs"]);
    assert!(status.status.success(), "{status:?}");
    let released = house.instance.relais("queue", &["release", &id]);
    assert!(released.status.success(), "{released:?}");
    eventually("it was routed again", PATIENCE, || {
        house.entries(&id).iter().any(|entry| entry["channel"] == "tcp_lmtpcs")
    });
    eventually("it left the hold channel", PATIENCE, || house.entries(&id).len() == 1);
    let history = house.instance.relais("queue", &["history", &id]);
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(history.contains("routed again"), "{history}");
    eventually("the log has that", PATIENCE, || house.instance.log().contains("from channel hold"));
    running.kill();
    let _running = house.instance.start();
    assert_eq!(house.entries(&id).len(), 1, "over a crash, too");
    let status = house.instance.relais("channel", &["start", "tcp_lmtpcs"]);
    assert!(status.status.success(), "{status:?}");
    house.mail_of("carol", 1);
    eventually("nothing is left", PATIENCE, || house.instance.queue().is_empty());
    let log = house.instance.log();
    let lines = log.lines().filter(|line| line.contains(&format!("\"id\":\"{id}\"")));
    let action =
        |line: &str| line.split("\"action\":\"").nth(1).and_then(|rest| rest.chars().next());
    let mut actions: Vec<char> = lines.filter_map(action).collect();
    actions.sort_unstable();
    assert_eq!(actions, ['D', 'D', 'E', 'E', 'H', 'L'], "each step has its line");
    // The status counts for the next one.
    let id = house.send("alice@relais.example", "carol@relais.example");
    eventually("it is held", PATIENCE, || {
        house.entries(&id).first().is_some_and(|entry| entry["state"] == "held")
    });
}

/// A channel is server-only because nothing routes to it.
#[test]
fn a_channel_with_flagtransfer_sends_what_is_routed_to_it() {
    let sink = Sink::start();
    let settings = Settings::standalone()
        .stores(sink.port)
        .channel("stores", "flagtransfer: true, maxjobs: 3");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("alice@relais.example", &["x@one.test"], &message("sent", 500)).expect(250);
    eventually("it is delivered", PATIENCE, || sink.total() == 1);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
}

fn contains(mail: &[u8], words: &str) -> bool {
    String::from_utf8_lossy(mail).contains(words)
}

const PATIENCE: Duration = Duration::from_secs(60);

type Change = fn(Settings) -> Settings;

/// To the directory's (the embedded default has one), else to the configured one, else into our own
/// store, else held.
#[test]
fn postmaster_is_always_taken() {
    let without_store = |settings: Settings| {
        settings
            .edit("\"LMTPSS\": (program: Lmtp", "// \"LMTPSS\": (program: Lmtp")
            .edit("    store: (path: \"store\", autocreate: Inbox),", "")
    };
    let rows: [(&str, Change, &str); 3] = [
        ("our own store", |settings| settings, "tcp_lmtpcs"),
        (
            "notary.postmaster",
            |settings| settings.section("notary: (postmaster: \"bob@relais.example\")"),
            "tcp_lmtpcs",
        ),
        ("held", |settings| settings, "hold"),
    ];
    for (name, change, channel) in rows {
        let house = House::new(|settings| {
            let settings = change(settings);
            if name == "held" { without_store(settings) } else { settings }
        });
        let running = house.instance.start();
        for to in ["postmaster", "Postmaster@localhost", "POSTMASTER@relais.example"] {
            let mut client = Dialogue::open(house.instance.settings.smtp);
            client.ask("MAIL FROM:<alice@relais.example>").expect(250);
            client.ask(&format!("RCPT TO:<{to}>")).expect(250);
        }
        let id = house.send("alice@relais.example", "postmaster");
        match name {
            "our own store" => drop(house.mail_of("postmaster", 1)),
            "notary.postmaster" => drop(house.mail_of("bob", 1)),
            _ => {
                eventually("it is held", PATIENCE, || {
                    let entries = house.entries(&id);
                    entries.iter().any(|entry| entry["state"] == "held")
                });
                assert_eq!(house.entries(&id)[0]["channel"], channel, "{name}");
            }
        }
        running.kill();
    }
}

/// To the postmaster; and what does not even reach him waits, held, with that reason.
#[test]
fn a_notice_that_nobody_can_be_sent_is_never_dropped() {
    for (postmaster, held) in [("bob@relais.example", false), ("bob@nowhere.test", true)] {
        let house = House::new(|settings| {
            settings.section(&format!("notary: (postmaster: {postmaster:?})"))
        });
        let running = house.instance.start();
        // "some" has a member that is told of to a sender whom no rule reaches.
        house.send("stranger@nowhere.test", "some");
        if held {
            let notice = || {
                let entries = house.instance.queue();
                entries.into_iter().find(|entry| entry["state"] == "held")
            };
            eventually("the notice is held", PATIENCE, || notice().is_some());
            let id = notice().unwrap()["id"].as_str().unwrap().to_owned();
            let why = house.instance.relais("queue", &["why", &id]);
            let why = String::from_utf8_lossy(&why.stdout).into_owned();
            for words in [
                "a notice that has nowhere to go",
                "<stranger@nowhere.test>: 550 5.1.2",
                "before that it is only held again",
            ] {
                assert!(why.contains(words), "{words}: {why}");
            }
            let said = |action: &str, rest: &[&str]| {
                let done = house.instance.relais("queue", &[&[action], rest].concat());
                assert!(done.status.success(), "{action}: {done:?}");
                String::from_utf8_lossy(&done.stdout).into_owned()
            };
            for dry_run in [&["--dry-run"][..], &[]] {
                let returned = said("return", &[&["--state", "held"], dry_run].concat());
                let words = "nobody can be told of 1 notice that has nowhere to go: left as";
                assert!(returned.contains(words), "{returned}");
                assert!(returned.starts_with("0 entries"), "{returned}");
            }
            said("release", &[&id]);
            let history = || said("history", &[&id]);
            eventually("it is held again", PATIENCE, || history().contains("nowhere to go still"));
            let entry = notice().expect("it is held");
            assert_eq!(entry["recipients"].as_array().map(Vec::len), Some(2), "{entry}");
            let why = said("why", &[&id]);
            assert!(why.contains("nowhere to go still: 550 5.1.2"), "{why}");
            running.kill();
            let _running = house.instance.start();
            assert!(notice().is_some(), "over a crash, too");
            said("delete", &[&id]);
            assert!(house.instance.queue().is_empty(), "but by an operator who deletes it");
        } else {
            let notices = house.mail_of("bob", 1);
            let notice = Notice::read(&notices[0]);
            assert_eq!(notice.recipient().get("Status"), Some("5.1.1"));
            eventually("nothing is left", PATIENCE, || house.instance.queue().is_empty());
        }
    }
}

/// A limit that a retry cannot cure is said to be one, and which.
#[test]
fn a_list_beyond_the_limit_is_refused_for_good_and_costs_little() {
    let mut ldif = DIRECTORY.to_owned();
    for (name, members, hosts) in
        [("big", 50_001, false), ("long", 10_000, false), ("wide", 40_000, true)]
    {
        ldif.extend([format!(
            "\ndn: cn={name},o=relais.example,dc=relais,dc=example\nobjectClass: inetMailGroup\n\
             mail: {name}@relais.example\n"
        )]);
        for n in 0..members {
            let host = if hosts { format!("h{n}.stores.test") } else { "one.test".to_owned() };
            ldif.extend([format!("mgrpRFC822MailMember: u{n}@{host}\n")]);
        }
    }
    ldif += "\ndn: cn=wrap,o=relais.example,dc=relais,dc=example\nobjectClass: inetMailGroup\n\
             mail: wrap@relais.example\nmgrpRFC822MailMember: long@relais.example\n\
             \ndn: cn=dead,o=relais.example,dc=relais,dc=example\nobjectClass: inetMailGroup\n\
             mail: dead@relais.example\nmgrpRFC822MailMember: alice@relais.example\n";
    ldif.extend((0..2_000).map(|n| format!("mgrpRFC822MailMember: dead{n}@relais.example\n")));
    let house = House::new(|settings| {
        settings.edit(
            "rewrite_rules: [",
            "rewrite_rules: [\n        (\"one.test\", \"$U%one.test@tcp-daemon\"),\n        \
             (\".stores.test\", \"$U%$H.stores.test@tcp-daemon\"),",
        )
    });
    house.directory(&ldif);
    let running = house.instance.start();
    assert_eq!(
        house.refused("big@relais.example"),
        "554 5.5.3 the address stands for more than 50000 recipients"
    );
    let mut client = Dialogue::open(house.instance.settings.smtp);
    client.patience(PATIENCE);
    let before = running.memory();
    client.ask("MAIL FROM:<alice@relais.example>").expect(250);
    let begun = std::time::Instant::now();
    client.ask("RCPT TO:<long@relais.example>").expect(250);
    let once = begun.elapsed();
    let name = |list: &str, count: u32| {
        let begun = std::time::Instant::now();
        for first in (0..count).step_by(4) {
            // A client that names many and sends nothing has to come again.
            let mut client = Dialogue::open(house.instance.settings.smtp);
            for n in first..first + 4 {
                client.ask("MAIL FROM:<alice@relais.example>").expect(250);
                client.ask(&format!("RCPT TO:<{list}+{n}@relais.example>")).expect(250);
                client.ask("RSET").expect(250);
            }
        }
        begun.elapsed()
    };
    let took = name("long", 1_000);
    let after = running.memory();
    println!("1,000 sub-addresses of a list of 10,000: {before:?} to {after:?}, {took:?}");
    assert!(after.resident < before.resident + (32 << 20), "{before:?} {after:?}");
    // By way of another list, too.
    let took = name("wrap", 200);
    println!("200 sub-addresses of a list of that list: {took:?}; the list alone once: {once:?}");
    assert!(took < 60 * once, "{took:?} {once:?}");

    let lines = || house.instance.log().lines().count();
    let before = lines();
    name("dead", 8);
    std::thread::sleep(Duration::from_millis(100));
    assert!(lines() - before < 40, "what a stranger names does not fill the log");

    // Last, for its deliveries take memory of their own.
    let begun = std::time::Instant::now();
    client.ask("RSET").expect(250);
    client
        .message("alice@relais.example", &["wide@relais.example"], &message("w", 500))
        .expect(250);
    let took = begun.elapsed();
    println!("a list of 40,000 hosts: {took:?}");
    assert!(took < PATIENCE, "{took:?}");
}
