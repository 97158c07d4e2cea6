//! Allowances of users in the directory: quotas that a relay hands on to the stores, and limits for
//! the size of messages.

use std::{fmt::Write, fs, time::Duration};

use relais_tests::{
    Dialogue, Instance, Notice, Running, Settings, Sink, Slapd, eventually, mailbox, message, needs,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const DOMAIN: &str = "dn: o=relais.example,dc=example\nobjectClass: organization\n\
                      objectClass: sunManagedOrganization\nobjectClass: mailDomain\no: relais.example\n\
                      sunPreferredDomain: relais.example\n";

/// A user whose mailbox is here, with more attributes.
fn user(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},o=relais.example,dc=example\nobjectClass: inetOrgPerson\n\
         objectClass: inetMailUser\nuid: {uid}\nmail: {uid}@relais.example\nmailHost: localhost\n\
         {more}\n"
    )
}

/// The sample with these users and more attributes of their domain.
fn relay(settings: Settings, domain: &str, users: &[String]) -> Instance {
    let settings = settings.edit("directory: Ldif()", "directory: Ldif(file: \"users.ldif\")");
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).expect("room");
    let people = format!("{DOMAIN}{domain}\n{}", users.concat());
    fs::write(instance.data().join("users.ldif"), people).expect("room");
    instance
}

fn start(settings: Settings, domain: &str, users: &[String]) -> (Instance, Running) {
    let instance = relay(settings, domain, users);
    let running = instance.start();
    (instance, running)
}

/// Sends to each of these a message of its own.
fn send(instance: &Instance, to: &[&str]) {
    let mut client = Dialogue::open(instance.settings.smtp);
    for name in to {
        let rcpt = format!("{name}@relais.example");
        client.message("a@sender.test", &[&rcpt], &message(name, 500)).expect(250);
    }
}

/// The commands in which the sink was told more than the names of its recipients.
fn told(sink: &Sink, handed: usize) -> Vec<String> {
    eventually("all is handed over", PATIENCE, || sink.handed().len() == handed);
    let mut told = sink.with_parameters();
    told.sort();
    told
}

fn shown(instance: &Instance, address: &str) -> Value {
    let output = instance.relais("route", &["--json", address]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn the_quota_of_a_user_reaches_the_store_with_the_mail() {
    let users = [
        user("both", "mailQuota: 20M\nmailMsgQuota: 2000\n"),
        user("never", "mailQuota: -1\nmailMsgQuota: -1\n"),
        user("fromdomain", ""),
        user("broken", "mailQuota: 99999999999999999999G\nmailMsgQuota: 5 XDFLG=2\n"),
        user("sent", "mailQuota: 7\nmailDeliveryOption: forward\nmailForwardingAddress: both@relais.example\n"),
        "dn: cn=list,o=relais.example,dc=example\nobjectClass: inetMailGroup\nmail: list@relais.example\n\
         mailQuota: 8\nmgrpRFC822MailMember: never@relais.example\n\
         mgrpRFC822MailMember: fromdomain@relais.example\n\n"
            .to_owned(),
    ];
    let sink = Sink::start();
    let settings = Settings::standalone().deliver_to(sink.port);
    let (instance, running) = start(settings, "mailQuota: 1G\n", &users);
    instance.relais("channel", &["stop", "tcp_lmtpcs"]);
    let to = ["both", "never", "fromdomain", "broken", "sent", "list", "both+Work"];
    send(&instance, &to);
    let log = instance.log();
    assert!(log.contains("a value in the directory is ignored"), "{log}");
    // A crash in between: the quota lies with the message.
    running.kill();
    let running = instance.start();
    let quota = |entry: &Value| entry["recipients"][0]["quota"].clone();
    let both = serde_json::json!({ "size": 20 << 20, "messages": 2_000 });
    let waiting = instance.queue();
    assert_eq!(waiting.len(), 7, "{waiting:?}");
    let of_both = waiting.iter().find(|entry| quota(entry) == both).expect("it is listed");
    let id = of_both["id"].as_str().expect("an id");
    let page = instance.relais("queue", &["show", id]).stdout;
    let page = String::from_utf8_lossy(&page);
    assert!(page.contains("20.0 MiB, 2000 messages"), "{page}");
    instance.relais("channel", &["start", "tcp_lmtpcs"]);
    let want = [
        "RCPT TO:<both+Work> XQUOTA=20971520,2000",
        "RCPT TO:<both> XQUOTA=20971520,2000",
        "RCPT TO:<both> XQUOTA=20971520,2000",
        "RCPT TO:<broken> XQUOTA=1073741824,-2",
        "RCPT TO:<fromdomain> XQUOTA=1073741824,-2",
        "RCPT TO:<fromdomain> XQUOTA=1073741824,-2",
        "RCPT TO:<never> XQUOTA=-1,-1",
        "RCPT TO:<never> XQUOTA=-1,-1",
    ];
    assert_eq!(told(&sink, 7), want);
    let route = shown(&instance, "broken@relais.example").to_string();
    for part in ["mailQuota", "mailMsgQuota", "is ignored", "quota 1073741824,-2"] {
        assert!(route.contains(part), "{part}: {route}");
    }
    assert!(route.contains(r#""quota":{"messages":-2,"size":1073741824}"#), "{route}");
    drop(running);
}

/// A copy elsewhere takes nothing of the limit away, and a list has none of its own.
#[test]
fn the_limit_of_a_user_with_a_second_delivery_option_is_shown() {
    let forward = "mailDeliveryOption: mailbox\nmailDeliveryOption: forward\n\
                   mailForwardingAddress: away@elsewhere.example\n";
    let users = [
        user("one", "mailQuota: 20M\n"),
        user("two", &format!("mailQuota: 20M\n{forward}")),
        user(
            "three",
            "mailQuota: 20M\nmailDeliveryOption: forward\n\
             mailForwardingAddress: one@relais.example\nmailForwardingAddress: two@relais.example\n",
        ),
    ];
    let (instance, running) = start(Settings::standalone(), "", &users);
    let names = ["one", "two", "three"];
    for name in names {
        instance.relais("mailbox", &["create", name]);
    }
    let shown = |how: &[&str]| {
        names.map(|name| {
            let answer = instance.json("mailbox", &[&["quota", name], how].concat()).remove(0);
            answer["limits"][0]["size"].clone()
        })
    };
    let want = [Value::from(20 << 20), Value::from(20 << 20), Value::Null];
    assert_eq!(shown(&[]), want);
    drop(running);
    assert_eq!(shown(&["--offline"]), want);
}

#[test]
fn mail_that_is_routed_again_has_the_quota_of_then() {
    let sink = Sink::start();
    let settings = Settings::standalone().deliver_to(sink.port);
    let users = |quota: &str| [user("one", &format!("mailQuota: {quota}\n")), user("two", "")];
    let (instance, running) = start(settings, "mailUserStatus: active\n", &users("1K"));
    instance.relais("channel", &["stop", "tcp_lmtpcs"]);
    send(&instance, &["one"]);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["two@relais.example"], &message("l", 4_000)).expect(250);
    let people = [
        DOMAIN.to_owned(),
        "\n".to_owned(),
        user("one", "mailQuota: 2K\n"),
        user("two", "mailMsgMaxBlocks: 2\n"),
    ];
    let people = people.concat().replace("mailHost: localhost\n", "mailHost: 127.0.0.1\n");
    fs::write(instance.data().join("users.ldif"), people).expect("room");
    let reloaded = instance.relais("reload", &[]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    let rerouted = instance.relais("queue", &["reroute", "--all", "--yes"]);
    let said = String::from_utf8_lossy(&rerouted.stdout).into_owned();
    assert!(rerouted.status.success(), "{rerouted:?}");
    // It was small enough when it was taken: where it would be too large now it does not go.
    assert!(said.contains("1, no recipient of theirs can be routed"), "{said}");
    instance.relais("channel", &["start", "tcp_lmtpcs"]);
    assert_eq!(told(&sink, 2), ["RCPT TO:<one> XQUOTA=2048,-2"]);
    drop(running);
}

#[test]
fn only_stores_that_know_the_parameter_are_told() {
    let users = [user("one", "mailQuota: 1K\n")];
    for (named, want) in [(false, 0), (true, 1)] {
        let sink = Sink::start();
        let settings =
            Settings::standalone().deliver_to(sink.port).channel("tcp_lmtpcs", "private: false");
        if named {
            sink.answer("LHLO", "250-sink\r\n250 XQUOTA");
        }
        let (instance, _running) = start(settings, "", &users);
        send(&instance, &["one"]);
        assert_eq!(told(&sink, 1).len(), want, "{named}");
    }
}

/// Users of siroe.com for an LDAP server, with more attributes.
fn tree(users: &[(&str, &str)]) -> String {
    let mut tree =
        "dn: ou=people,dc=siroe,dc=com\nobjectClass: organizationalUnit\nou: people\n\n".to_owned();
    for (uid, more) in users {
        let _ = write!(
            tree,
            "dn: uid={uid},ou=people,dc=siroe,dc=com\nobjectClass: inetOrgPerson\nobjectClass: \
             inetLocalMailRecipient\nobjectClass: inetMailUser\nuid: {uid}\ncn: {uid}\nsn: {uid}\n\
             mail: {uid}@siroe.com\nmailHost: localhost\n{more}\n"
        );
    }
    tree
}

/// The sample asks this server.
fn asking(slapd: &Slapd, fields: &str) -> Settings {
    Settings::standalone()
        .edit("directory: Ldif()", &slapd.section(fields))
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
}

#[test]
fn a_store_of_ours_keeps_to_the_quota_of_the_directory() {
    if !needs(&[Slapd::PROGRAM]) {
        return;
    }
    let small = "mailQuota: 6K\nmailMsgQuota: 100\n";
    let slapd = Slapd::start(&tree(&[("small", small), ("large", "")]));
    let store = Instance::new(Settings::store());
    let _store_running = store.start();
    let relay = Instance::new(asking(&slapd, "timeout: \"5s\"").deliver_to(store.settings.lmtp));
    let _relay_running = relay.start();
    let mut client = Dialogue::open(relay.settings.smtp);
    for user in ["small", "large"] {
        fs::create_dir_all(store.store().join("siroe.com").join(user).join("Maildir/new"))
            .expect("room");
    }
    for n in 0..4 {
        let to = ["small@siroe.com", "large@siroe.com"];
        client.message("", &to, &message(&format!("m{n}"), 2_000)).expect(250);
    }
    let has = |user| mailbox(&store.store(), "siroe.com", user).len();
    eventually("who has no quota gets all", PATIENCE, || has("large") == 4);
    eventually("the rest waits for room", PATIENCE, || {
        let waiting = relay.queue();
        let is_full = |entry: &Value| entry.to_string().contains("422 4.2.2 Quota Exceeded");
        has("small") + waiting.len() == 4 && waiting.iter().all(is_full) && !waiting.is_empty()
    });
    let file = store.store().join("siroe.com/small/Maildir/maildirsize");
    let file = fs::read_to_string(file).expect("a file");
    assert!(file.starts_with("6144S,100C\n"), "{file}");
}

/// The sample with users who take messages of different sizes, and a store for them.
fn with_limits() -> (Instance, Running) {
    let users = [
        user("small", "mailMsgMaxBlocks: 2\n"),
        user("medium", "mailMsgMaxBlocks: 4\n"),
        user("large", "mailMsgMaxBlocks: 4000000\n"),
        user("odd", "mailMsgMaxBlocks: none\n"),
        user("away", "mailMsgMaxBlocks: 2\nmailDeliveryOption: forward\nmailForwardingAddress: odd@relais.example\n"),
        "dn: cn=list,o=relais.example,dc=example\nobjectClass: inetMailGroup\nmail: list@relais.example\n\
         mgrpRFC822MailMember: small@relais.example\nmgrpRFC822MailMember: large@relais.example\n\n"
            .to_owned(),
        "dn: cn=brief,o=relais.example,dc=example\nobjectClass: inetMailGroup\nmail: brief@relais.example\n\
         mailMsgMaxBlocks: 3\nmgrpRFC822MailMember: large@relais.example\n\n"
            .to_owned(),
    ];
    start(Settings::standalone(), "mailDomainMsgMaxBlocks: 10\n", &users)
}

#[test]
fn a_message_that_is_too_large_for_a_user_is_refused_as_soon_as_that_is_known() {
    let (instance, _running) = with_limits();
    let mut client = Dialogue::open(instance.settings.smtp);
    // recipient, octets announced and sent, refused
    let rows = [
        ("small", 2_048, false),
        ("small", 2_049, true),
        ("medium", 4_097, true),
        ("large", 10_240, false),
        ("large", 10_241, true),
        ("odd", 10_241, true),
        ("away", 2_049, true),
        ("away", 2_048, false),
        // Large ones lie in a file of their own.
        ("small", 600_000, true),
        ("brief", 3_072, false),
        ("brief", 3_073, true),
        ("list", 10_240, false),
        ("list", 10_241, true),
    ];
    for (to, size, refused) in rows {
        let rcpt = format!("RCPT TO:<{to}@relais.example>");
        client.ask(&format!("MAIL FROM:<large@relais.example> SIZE={size}")).expect(250);
        if refused {
            client.ask(&rcpt).expect_start("552 5.2.3 ");
        } else {
            client.ask(&rcpt).expect(250);
        }
        client.ask("RSET").expect(250);
        if to == "list" && !refused {
            continue;
        }
        client.ask("MAIL FROM:<large@relais.example>").expect(250);
        client.ask(&rcpt).expect(250);
        client.ask("DATA").expect(354);
        let mut text = b"Subject: x\r\n\r\n".to_vec();
        while text.len() + 100 < size {
            text.extend_from_slice(&[b'x'; 78]);
            text.extend_from_slice(b"\r\n");
        }
        text.resize(size - 2, b'x');
        text.extend_from_slice(b"\r\n");
        let reply = client.finish(&text);
        if refused {
            reply.expect_start("552 5.2.3 ");
        } else {
            reply.expect(250);
        }
    }
    let large = instance.data().join("spool/large");
    eventually("no file of a refused message is left", PATIENCE, || {
        fs::read_dir(&large).expect("a folder").next().is_none()
    });
    let route = shown(&instance, "brief@relais.example");
    assert_eq!(route["results"][0]["size_limit"], 3_072, "{route}");
    assert!(route.to_string().contains("a message may have 3072 octets"), "{route}");
    let odd = shown(&instance, "odd@relais.example");
    assert!(odd.to_string().contains("is ignored"), "{odd}");
}

#[test]
fn those_for_whom_it_is_too_large_are_told_of_and_the_others_get_it() {
    let (instance, running) = with_limits();
    let has = |user| mailbox(&instance.store(), "relais.example", user);
    let mut client = Dialogue::open(instance.settings.smtp);
    let from = "odd@relais.example";
    client.message(from, &["list@relais.example"], &message("listed", 3_000)).expect(250);
    let to = ["small@relais.example", "medium@relais.example"];
    client.message(from, &to, &message("named", 3_000)).expect(250);
    running.kill();
    let _running = instance.start();
    // Store and relay died together: one that the store had, and the relay did not know of, may come
    // twice.
    eventually("the others get it", PATIENCE, || {
        !has("large").is_empty() && !has("medium").is_empty()
    });
    eventually("the sender is told", PATIENCE, || has("odd").len() == 2);
    for octets in has("odd") {
        let notice = Notice::read(&octets);
        let recipient = notice.recipient();
        assert_eq!(recipient.get("Action"), Some("failed"), "{notice:?}");
        assert_eq!(recipient.get("Status"), Some("5.2.3"), "{notice:?}");
        let to = recipient.get("Final-Recipient").expect("a recipient");
        let named = ["rfc822;small@relais.example", "rfc822;list@relais.example"];
        assert!(named.contains(&to), "{notice:?}");
    }
    assert!(has("small").is_empty());
    eventually("nothing is left", PATIENCE, || instance.queue().is_empty());
    // Where nobody would tell, nothing is taken.
    let settings = Settings::standalone()
        .edit("(name: \"process\",    tag: \"process-daemon\",    program: Process),", "")
        .edit("(name: \"reprocess\",  tag: \"reprocess-daemon\",  program: Reprocess),", "");
    let users = [user("small", "mailMsgMaxBlocks: 2\n"), user("medium", "")];
    let (instance, _running) = start(settings, "", &users);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message(from, &to, &message("named", 3_000)).expect_start("552 5.2.3 ");
}

#[test]
fn limits_hold_for_mail_that_was_taken_while_the_directory_was_away() {
    if !needs(&[Slapd::PROGRAM]) {
        return;
    }
    let users = [("small", "mailMsgMaxBlocks: 2\n"), ("large", "mailQuota: 1M\n"), ("from", "")];
    let slapd = Slapd::start(&tree(&users));
    let settings = asking(&slapd, "timeout: \"1s\", cache: (ttl: \"1h\")")
        .channel("tcp_local", "directory_away: Queue");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let has = |user| mailbox(&instance.store(), "siroe.com", user);
    let mut client = Dialogue::open(instance.settings.smtp);
    // The domain is known from now on.
    client.message("from@siroe.com", &["from@siroe.com"], &message("first", 300)).expect(250);
    eventually("it is there", PATIENCE, || has("from").len() == 1);
    slapd.freeze();
    for to in ["small@siroe.com", "large@siroe.com"] {
        client.message("from@siroe.com", &[to], &message("away", 3_000)).expect(250);
    }
    slapd.thaw();
    eventually("one has it and the sender is told of the other", PATIENCE, || {
        let _ = instance.relais("queue", &["retry", "--channel", "reprocess"]);
        has("large").len() == 1 && has("from").len() == 2
    });
    let text = has("from").concat();
    assert!(String::from_utf8_lossy(&text).contains("Status: 5.2.3"), "of the right kind");
    assert!(has("small").is_empty());
    let file = instance.store().join("siroe.com/large/Maildir/maildirsize");
    let file = fs::read_to_string(file).expect("a file");
    assert!(file.starts_with("1048576S\n"), "{file}");
}
