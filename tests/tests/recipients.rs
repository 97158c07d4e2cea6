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
";

struct House {
    instance: Instance,
}

impl House {
    fn new(change: impl FnOnce(Settings) -> Settings) -> Self {
        let settings = Settings::standalone()
            .edit("directory: Ldif()", "directory: Ldif(file: \"../users.ldif\")")
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
        std::fs::write(self.instance.path("users.ldif"), text).unwrap();
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
    assert_eq!(notice.recipients().len(), 2, "{notice:?}");
    let log = house.instance.log();
    assert!(log.contains("\"channel\":\"reprocess\""), "each step is in the log");

    // One that fails for now holds up nobody, and is tried again until it can go.
    let id = house.send("alice@relais.example", "waiting@relais.example");
    house.mail_of("alice", 4);
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
fn what_is_released_from_a_hold_channel_is_delivered_once_under_its_id() {
    let house = House::new(|settings| settings);
    let running = house.instance.start();
    let id = house.send("alice@relais.example", "carol@relais.example");
    eventually("it is held", PATIENCE, || {
        house.entries(&id).first().is_some_and(|entry| entry["state"] == "held")
    });
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
    for words in ["accepted", "routed again", "goes on by tcp_lmtpcs to localhost"] {
        assert!(history.contains(words), "{words}: {history}");
    }
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
    assert_eq!(actions, ['D', 'D', 'E', 'E'], "each step has its line");
    // The status counts for the next one.
    let id = house.send("alice@relais.example", "carol@relais.example");
    eventually("it is held", PATIENCE, || {
        house.entries(&id).first().is_some_and(|entry| entry["state"] == "held")
    });
}

/// What makes a channel server-only is that nothing routes to it.
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
