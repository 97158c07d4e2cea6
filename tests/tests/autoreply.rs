//! Automatic replies of users who are away, by the whole engine: once to each sender, to nobody who
//! must not have one, and at most once whatever happens.

use std::{collections::HashSet, thread, time::Duration};

use relais_tests::{Dialogue, Instance, Ldif, Settings, Slapd, eventually, mailbox, needs};

const MINUTE: Duration = Duration::from_secs(60);

/// Two who are away, one who is back, and others; `more` is said of the second.
fn users(more: &str) -> Ldif {
    let mailbox = "mailHost: localhost";
    let away = "mailHost: localhost\nmailDeliveryOption: mailbox\nmailDeliveryOption: autoreply";
    let alice = "mailAlternateAddress: a.lice@relais.example\nmailAutoReplySubject: Away: $SUBJECT\n\
                 mailAutoReplyText: I am away, $FROM.\n\
                 mailAutoReplyTextInternal: Colleagues ask erin.";
    let german = "mailAutoReplyText:: R3LDvMOfZSBhdXMgZGVtIFVybGF1Yg==";
    let back = "mailAutoReplyText: x\nvacationEndDate: 20200101000000Z";
    let entries = Ldif::file().domain("relais.example", "").domain("other.example", "");
    let member = format!("uniqueMember: {}", entries.dn("alice", "relais.example"));
    entries
        .user("alice", "relais.example", &format!("{away}\n{alice}"))
        .user("erin", "relais.example", &format!("{away}\n{german}\n{more}"))
        .user("back", "relais.example", &format!("{away}\n{back}"))
        .user("bob", "relais.example", mailbox)
        .user("carol", "other.example", mailbox)
        .group("team", "relais.example", &member)
}

const ECHO: &str = "mailAutoReplyMode: echo";

fn instance() -> Instance {
    with_users(Settings::standalone(), ECHO)
}

/// Settings with a directory of [`users`].
fn with_users(settings: Settings, more: &str) -> Instance {
    let option = "\"#*forward=**\",\n \"#*^!autoreply=$M+$D@bitbucket\",";
    users(more).instance(settings.edit("\"#*forward=**\",", option))
}

fn send(instance: &Instance, from: &str, to: &[&str], header: &str) {
    let content = format!("From: <{from}>\r\nMessage-ID: <q@test>\r\n{header}\r\n\r\nbody\r\n");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message(from, to, content.as_bytes()).expect(250);
}

fn has(instance: &Instance, domain: &str, user: &str) -> Vec<String> {
    let all = mailbox(&instance.store(), domain, user);
    all.iter().map(|its| String::from_utf8_lossy(its).into_owned()).collect()
}

fn answers(instance: &Instance, result: &str) -> u32 {
    let page = relais_tests::fetch(instance.settings.admin, "/metrics").unwrap().body;
    let start = format!("relais_autoreplies_total{{result=\"{result}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&start)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {start}"))
}

/// The log and `relais route` tell of replies in words.
fn says_why(instance: &Instance) {
    let why = "250 2.0.0 no automatic reply: this sender has had one";
    eventually("the log says why", MINUTE, || instance.log().contains(why));
    let route = instance.relais("route", &["alice@relais.example"]);
    let route = String::from_utf8_lossy(&route.stdout).into_owned();
    let hop = |line: &str| line.contains(" bitbucket ") && line.trim_end().ends_with(" autoreply");
    assert!(route.contains("not to mail of lists"), "{route}");
    assert!(route.lines().any(hop), "no port behind what nothing connects to: {route}");
}

#[test]
fn a_user_who_is_away_answers_each_sender_once() {
    const TO: &str = "To: alice@relais.example\r\nSubject: =?utf-8?q?Caf=C3=A9?=";
    let instance = instance();
    let check = instance.relais("check", &[]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!said.contains("automatic"), "{said}");
    let running = instance.start();
    let carol = || has(&instance, "other.example", "carol");
    send(&instance, "carol@other.example", &["alice@relais.example"], TO);
    eventually("a reply comes", MINUTE, || carol().len() == 1);
    let reply = carol().remove(0);
    for want in [
        "Return-Path: <>",
        "From: <alice@relais.example>",
        "To: <carol@other.example>",
        "Auto-Submitted: auto-replied (vacation)",
        "In-Reply-To: <q@test>",
        "References: <q@test>",
        "I am away, carol@other.example.",
    ] {
        assert!(reply.contains(want), "{want}: {reply}");
    }
    let subject = reply.lines().find(|line| line.starts_with("Subject: ")).unwrap();
    assert!(subject.is_ascii() && subject.contains("=?utf-8?"), "{reply}");
    assert_eq!(has(&instance, "relais.example", "alice").len(), 1, "and the message is there");

    // Once more, by another address of the user, and in other spellings.
    send(&instance, "carol@other.example", &["alice@relais.example"], TO);
    let other = "To: A.Lice@relais.example\r\nSubject: y";
    send(&instance, "Carol@Other.example", &["a.lice@relais.example"], other);
    eventually("both are remembered", MINUTE, || answers(&instance, "recently") == 2);
    says_why(&instance);

    let silent: [(&str, &str, &[&str], String); 6] = [
        ("sender", "", &["alice@relais.example"], TO.to_owned()),
        ("sender", "list-bounces@other.example", &["alice@relais.example"], TO.to_owned()),
        ("list", "bob@relais.example", &["alice@relais.example"], format!("{TO}\r\nList-Id: <x>")),
        (
            "automatic",
            "bob@relais.example",
            &["alice@relais.example"],
            format!("{TO}\r\nAuto-Submitted: auto-generated"),
        ),
        ("not_addressed", "bob@relais.example", &["alice@relais.example"], "To: x@y".to_owned()),
        ("own", "a.lice@relais.example", &["alice@relais.example"], TO.to_owned()),
    ];
    for (n, (result, from, to, header)) in silent.iter().enumerate() {
        let before = answers(&instance, result);
        send(&instance, from, to, header);
        eventually(&format!("{n} is seen"), MINUTE, || answers(&instance, result) == before + 1);
    }
    let team = "To: team@relais.example, alice@relais.example\r\nSubject: z";
    send(&instance, "bob@relais.example", &["team@relais.example"], team);
    eventually("a member of a list is silent", MINUTE, || answers(&instance, "list") == 2);
    send(&instance, "bob@relais.example", &["back@relais.example"], "To: back@relais.example");
    assert_eq!(has(&instance, "relais.example", "bob"), Vec::<String>::new());

    running.kill();
    let _running = instance.start();
    send(&instance, "carol@other.example", &["alice@relais.example"], TO);
    eventually("it is remembered after a crash", MINUTE, || answers(&instance, "recently") == 1);

    // Two who are away, and another text for colleagues.
    let both = "To: alice@relais.example\r\nCc: erin@relais.example\r\nSubject: both";
    send(&instance, "bob@relais.example", &["alice@relais.example", "erin@relais.example"], both);
    let bob = || has(&instance, "relais.example", "bob");
    eventually("each answers", MINUTE, || bob().len() == 2);
    let all = bob().concat();
    assert!(all.contains("Colleagues ask erin.") && !all.contains("I am away"), "{all}");
    assert!(all.contains("Subject: Away: both") && all.contains("Subject: Auto: both"), "{all}");
    assert!(all.contains("text/rfc822-headers") && all.contains("utf-8"), "{all}");
    assert_eq!(carol().len(), 1);
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
    let log = instance.log();
    assert!(log.contains("\"result\":\"sent\""), "{log}");
}

#[test]
fn route_says_who_answers_and_who_does_not() {
    let instance = instance();
    let _running = instance.start();
    let route = |address: &str| {
        let output = instance.relais("route", &[address]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let away = route("alice@relais.example");
    assert!(away.contains("by bitbucket to autoreply"), "{away}");
    let back = route("back@relais.example");
    assert!(back.contains("not between vacationStartDate and vacationEndDate"), "{back}");
    assert!(!back.contains("to autoreply"), "{back}");
}

#[test]
fn two_who_are_away_end_after_one_exchange() {
    let instance = instance();
    let _running = instance.start();
    let header = "To: alice@relais.example\r\nSubject: s";
    send(&instance, "erin@relais.example", &["alice@relais.example"], header);
    eventually("alice answers", MINUTE, || has(&instance, "relais.example", "erin").len() == 1);
    eventually("erin does not", MINUTE, || answers(&instance, "sender") == 1);
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
    thread::sleep(Duration::from_millis(300));
    assert_eq!(answers(&instance, "sent"), 1);
    assert_eq!(has(&instance, "relais.example", "alice").len(), 1);
}

#[test]
fn a_crash_at_any_moment_costs_a_reply_and_sends_none_twice() {
    let instance = instance();
    let mut running = instance.start();
    for n in 0..8u64 {
        let from = format!("carol+{n}@other.example");
        let header = format!("To: alice@relais.example\r\nSubject: number-{n}");
        send(&instance, &from, &["alice@relais.example"], &header);
        thread::sleep(Duration::from_millis(n * 4));
        running.kill();
        running = instance.start();
        eventually("nothing waits", MINUTE, || instance.queue().is_empty());
    }
    let replies = has(&instance, "other.example", "carol");
    let mut sent = 0;
    for n in 0..8 {
        // One reply may be delivered twice, as any message may; another reply has another id.
        let of = format!("Subject: Away: number-{n}\n");
        let plain = replies.iter().map(|its| its.replace('\r', ""));
        let ids: HashSet<String> = plain
            .filter(|its| its.contains(&of))
            .filter_map(|its| {
                its.lines().find(|it| it.starts_with("Message-ID")).map(str::to_owned)
            })
            .collect();
        assert!(ids.len() <= 1, "number {n}: {ids:?}");
        sent += ids.len();
    }
    assert!(sent >= 1, "{replies:?}");
    // A delivery that was under way may be repeated; a reply is not.
    assert!(has(&instance, "relais.example", "alice").len() >= 8);
}

#[test]
fn a_reply_waits_for_the_directory_and_is_visible_meanwhile() {
    if !needs(&[Slapd::PROGRAM]) {
        return;
    }
    let away =
        "mailDeliveryOption: mailbox\nmailDeliveryOption: autoreply\nmailAutoReplyText: away";
    let tree = Ldif::slapd().user("carol", "siroe.com", "mailHost: localhost").user(
        "alice",
        "siroe.com",
        &format!("mailHost: localhost\n{away}"),
    );
    let mut slapd = Slapd::start(tree.text());
    let cache = "timeout: \"2s\", cache: (ttl: \"1s\", negative_ttl: \"1s\")";
    let settings = Settings::standalone()
        .edit("directory: Ldif()", &slapd.section(cache))
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
        .channel("bitbucket", "backoff: [\"1s\"]")
        .edit("\"#*forward=**\",", "\"#*forward=**\",\n \"#*^!autoreply=$M+$D@bitbucket\",");
    let instance = Instance::new(settings);
    let _running = instance.start();
    assert!(instance.relais("channel", &["stop", "bitbucket"]).status.success());
    send(&instance, "carol@siroe.com", &["alice@siroe.com"], "To: alice@siroe.com\r\nSubject: s");
    eventually("the message is there", MINUTE, || has(&instance, "siroe.com", "alice").len() == 1);
    let waits = instance.queue();
    assert_eq!((waits.len(), &waits[0]["host"]), (1, &"autoreply".into()), "{waits:?}");
    slapd.stop();
    thread::sleep(Duration::from_millis(1_200));
    assert!(instance.relais("channel", &["start", "bitbucket"]).status.success());
    eventually("it is put off", MINUTE, || answers(&instance, "put_off") >= 1);
    assert_eq!(instance.queue().len(), 1);
    slapd.start_again();
    eventually("it is sent", MINUTE, || has(&instance, "siroe.com", "carol").len() == 1);
    assert!(has(&instance, "siroe.com", "carol")[0].contains("Auto: s"));
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
}

/// Forged senders are so many that each could have one.
#[test]
fn a_user_has_no_more_replies_sent_than_one_may_within_an_hour() {
    let settings = Settings::standalone().section("autoreply: (max_per_hour: 3)");
    let instance = with_users(settings, ECHO);
    let _running = instance.start();
    let to = |user: &str| format!("To: {user}@relais.example\r\nSubject: s");
    for n in 0..8 {
        let from = format!("carol+{n}@other.example");
        send(&instance, &from, &["alice@relais.example"], &to("alice"));
    }
    eventually("the others get none", MINUTE, || answers(&instance, "limited") == 5);
    assert_eq!(answers(&instance, "sent"), 3);
    // Another user has a number of her own.
    send(&instance, "carol+0@other.example", &["erin@relais.example"], &to("erin"));
    eventually("erin answers", MINUTE, || answers(&instance, "sent") == 4);
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
    assert_eq!(has(&instance, "other.example", "carol").len(), 4);
    assert_eq!(has(&instance, "relais.example", "alice").len(), 8, "no message is lost for it");
    let log = instance.log();
    let told = log.lines().filter(|line| line.contains("as many senders as one may")).count();
    assert_eq!(told, 1, "{log}");
    assert!(log.contains("the user has answered enough within an hour"), "{log}");
}

#[test]
fn values_that_say_in_vain_how_a_user_answers_are_told() {
    let more = "mailAutoReplyMode: loudly\nmailAutoReplyTimeOut: a week";
    let instance = with_users(Settings::standalone(), more);
    let check = instance.relais("check", &[]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    let _running = instance.start();
    let route = instance.relais("route", &["erin@relais.example"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    for want in [
        "mailAutoReplyMode \"loudly\" does not count; reply, vacation or echo is expected",
        "mailAutoReplyTimeOut \"a week\" does not count; a number of hours is expected",
    ] {
        assert!(said.contains(want), "{want}: {said}");
    }
    assert!(told.contains("mailAutoReplyMode") && told.contains("loudly"), "{told}");
    assert!(told.contains("mailAutoReplyTimeOut") && told.contains("a week"), "{told}");
}
