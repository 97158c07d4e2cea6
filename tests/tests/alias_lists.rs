//! Lists of an alias file with named parameters and positional addresses, by the real program.

use std::{fs, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, mailbox, message};

const PATIENCE: Duration = Duration::from_secs(30);

const ALIASES: &str = "\
! Lists of all forms.
squad: <members.txt, [AUTH_LIST] staff.txt, [ERROR_TEXT] \"Staff only, please\", \\
 [HEADER_ADDITION] added.txt, [HEADER_TRIM] trimmed.txt, [BLOCKLIMIT] 20, \\
 squad-owner@relais.example, squad@relais.example, *, *, \"the team, all of it\"
to-squad: squad
moderated: [MODERATOR_ADDRESS] bob@relais.example, alice
each: <members.txt, [ENVELOPE_FROM] bounces+*@relais.example
later: [DEFERRED] NONE, [ENVELOPE_FROM] later-owner@relais.example, [AUTH_LIST] *@staff.test, bob
watched: [HOLD_LIST] *@odd.test, alice
once: [PRECEDENCE] list, alice
trim: [HEADER_TRIM] trimmed.txt, [PRECEDENCE] list, [SENSITIVITY] private^, alice
";

/// The sample with these aliases, and the files that they name.
fn instance(settings: Settings, aliases: &str) -> Instance {
    let instance = Instance::new(settings.section("aliases: (file: \"aliases\")"));
    fs::create_dir_all(instance.data()).expect("a folder");
    for (name, text) in [
        ("aliases", aliases),
        ("members.txt", "alice\nBob <bob@relais.example>\n"),
        ("staff.txt", "# who may post\nann@staff.test\n:include:more.txt\n"),
        ("more.txt", "\"Cat\"@staff.test\n"),
        (
            "added.txt",
            "List-Id: <squad.relais.example>\nList-Post:\n <mailto:squad@relais.example>\n",
        ),
        ("trimmed.txt", "X-Spam\nX-Trace: MAXIMUM=-1\nPrecedence\n"),
    ] {
        fs::write(instance.data().join(name), text).expect("a file");
    }
    instance
}

/// Messages of a user, as text.
fn stored(instance: &Instance, user: &str) -> Vec<String> {
    let all = mailbox(&instance.store(), "relais.example", user).into_iter();
    all.map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect()
}

/// The one message of a user.
fn one(instance: &Instance, user: &str) -> String {
    eventually("the message", PATIENCE, || stored(instance, user).len() == 1);
    stored(instance, user).remove(0)
}

fn asked(client: &mut Dialogue, sender: &str, to: &str) -> String {
    client.ask("RSET").expect(250);
    client.ask(&format!("MAIL FROM:<{sender}>")).expect(250);
    client.ask(&format!("RCPT TO:<{to}>")).text
}

#[test]
fn a_list_takes_posts_of_its_own_and_makes_copies_of_its_own() {
    let instance = instance(Settings::standalone(), ALIASES);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let refused = "550 5.7.2 Staff only, please";
    let rows = [
        ("eve@else.test", "squad@relais.example", refused),
        ("ann@staff.test", "squad@relais.example", "250"),
        ("eve@else.test", "SQUAD@relais.example", refused),
        ("eve@else.test", "\"squad\"@relais.example", refused),
        ("eve@else.test", "squad+news@relais.example", refused),
        ("eve@else.test", "\"squad+ann@staff.test\"@relais.example", refused),
        ("eve@else.test", "squad@localhost", refused),
        ("eve@else.test", "squad%relais.example@localhost", "550 5."),
        ("eve@else.test", "@localhost:squad@relais.example", "550 5."),
        ("eve@else.test", "squad@relais.example.", refused),
        ("eve@else.test", "to-squad@relais.example", refused),
        ("", "squad@relais.example", refused),
        ("\"ann@staff.test\"@else.test", "squad@relais.example", refused),
        ("@staff.test:ann@else.test", "squad@relais.example", refused),
        ("*@staff.test", "squad@relais.example", refused),
        ("CAT@Staff.test", "to-squad@relais.example", "250"),
        ("\"ann\"@staff.test", "squad+news@relais.example", "250"),
    ];
    for (sender, to, want) in rows {
        let got = asked(&mut client, sender, to);
        assert!(got.starts_with(want), "<{sender}> to <{to}>: {got}");
    }
    client.ask("RSET").expect(250);
    let content = "X-Begin: y\r\nX-Spam: 1\r\nX-Trace: a\r\n b\r\nReply-To: ann@staff.test\r\n\
                   From: ann@staff.test\r\n\r\nx\r\n";
    client.message("ann@staff.test", &["squad@relais.example"], content.as_bytes()).expect(250);
    for user in ["alice", "bob"] {
        let got = one(&instance, user);
        assert!(got.starts_with("Return-Path: <squad-owner@relais.example>\r\n"), "{got}");
        for line in [
            "List-Id: <squad.relais.example>",
            "List-Post: <mailto:squad@relais.example>",
            "Reply-To: squad@relais.example",
            "Errors-To: squad-owner@relais.example",
            "Comments: the team, all of it",
        ] {
            assert!(got.contains(&format!("\r\n{line}\r\n")), "{line}: {got}");
        }
        for gone in ["X-Spam", "X-Trace", "Reply-To: ann"] {
            assert!(!got.contains(gone), "{gone}: {got}");
        }
        assert!(got.ends_with("From: ann@staff.test\r\n\r\nx\r\n"), "{got}");
    }
    // A message is too large for the list, as announced and as it comes.
    client.ask("MAIL FROM:<ann@staff.test> SIZE=30000").expect(250);
    client.ask("RCPT TO:<squad@relais.example>").expect(552);
    client.ask("RSET").expect(250);
    let large = message("large", 30_000);
    client.message("ann@staff.test", &["squad@relais.example"], &large).expect(552);
    // The null sender stays: nobody is to answer.
    client.message("", &["each@relais.example"], b"Subject: null\r\n\r\nx\r\n").expect(250);
    eventually("two of them", PATIENCE, || stored(&instance, "alice").len() == 2);
    let all = stored(&instance, "alice");
    assert!(all.iter().any(|got| got.starts_with("Return-Path: <>\r\n")), "{all:?}");
}

#[test]
fn each_member_has_a_sender_of_its_own_on_the_wire() {
    let sink = Sink::start();
    let instance = instance(Settings::standalone().deliver_to(sink.port), ALIASES);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["each@relais.example", "once@relais.example"];
    client.message("eve@else.test", &to, &message("m", 500)).expect(250);
    client.message("eve@else.test", &["once@relais.example"], &message("n", 500)).expect(250);
    eventually("all of them", PATIENCE, || sink.senders().len() == 3);
    let mut senders = sink.senders();
    senders.sort();
    // Alice is a member of two of the lists that one message is for, and gets one copy.
    let want = [
        ("bounces+alice@relais.example", "alice"),
        ("bounces+bob=relais.example@relais.example", "bob"),
        ("eve@else.test", "alice"),
    ];
    let want = want.map(|(sender, to)| (sender.to_owned(), vec![to.to_owned()]));
    assert_eq!(senders, want);
}

#[test]
fn failures_of_a_member_are_told_to_the_sender_of_its_copy() {
    let sink = Sink::start();
    sink.answer("RCPT TO:<bob", "550 5.1.1 gone");
    let instance = instance(
        Settings::standalone().deliver_to(sink.port),
        &format!("{ALIASES}bounces: alice\nlist: [ENVELOPE_FROM] bounces+*@relais.example, bob\n"),
    );
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("eve@else.test", &["list@relais.example"], &message("m", 500)).expect(250);
    eventually("a notice", PATIENCE, || sink.senders().len() == 1);
    let (sender, to) = sink.senders().remove(0);
    assert_eq!((sender.as_str(), to), ("", vec!["alice".to_owned()]));
    assert!(instance.log().contains("bounces+bob@relais.example"), "{}", instance.log());
}

#[test]
fn posts_of_others_go_to_the_moderator_are_held_or_wait() {
    let instance = instance(Settings::standalone(), ALIASES);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let mut send = |from: &str, to: &str, subject: &str| {
        let to = format!("{to}@relais.example");
        let content = format!("Subject: {subject}\r\n\r\nx\r\n");
        client.message(from, &[&to], content.as_bytes()).expect(250);
    };
    send("eve@else.test", "moderated", "a");
    let got = one(&instance, "bob");
    assert!(got.starts_with("Return-Path: <eve@else.test>\r\n"), "{got}");
    send("bob@relais.example", "moderated", "b");
    assert!(one(&instance, "alice").contains("Subject: b"));

    send("ann@staff.test", "later", "c");
    eventually("two messages", PATIENCE, || stored(&instance, "bob").len() == 2);
    let later = stored(&instance, "bob").into_iter().find(|got| got.contains("Subject: c"));
    let later = later.expect("the deferred one");
    assert!(later.starts_with("Return-Path: <later-owner@relais.example>\r\n"), "{later}");
    assert!(instance.log().contains("routed anew"), "it went by the reprocess channel");

    send("eve@odd.test", "watched", "d");
    eventually("a held one", PATIENCE, || {
        instance.queue().iter().any(|entry| entry["state"] == "held")
    });
    let id = instance.queue()[0]["id"].as_str().expect("an id").to_owned();
    let why = String::from_utf8_lossy(&instance.relais("queue", &["why", &id]).stdout).into_owned();
    assert!(why.contains("the list watched: HOLD_LIST has the author"), "{why}");
    assert!(instance.relais("queue", &["release", &id]).status.success());
    eventually("two messages", PATIENCE, || stored(&instance, "alice").len() == 2);

    send("eve@else.test", "once", "e\r\nPrecedence: bulk");
    eventually("three messages", PATIENCE, || stored(&instance, "alice").len() == 3);
    let once = stored(&instance, "alice").into_iter().find(|got| got.contains("Subject: e"));
    assert!(!once.expect("it").contains("Precedence: list"));

    // Of a field that the list replaces there is one, whatever is signed; what is only taken away stays.
    let fields = "Precedence : bulk\r\nSensitivity :\r\n none\r\nsensitivity: x";
    send("eve@else.test", "trim", &format!("f\r\n{fields}"));
    send("eve@else.test", "trim", &format!("g\r\n{fields}\r\nDKIM-Signature: v=1; d=else.test"));
    eventually("five messages", PATIENCE, || stored(&instance, "alice").len() == 5);
    for (subject, precedence) in [("f", "Precedence: list"), ("g", "Precedence : bulk")] {
        let wanted = format!("Subject: {subject}\r\n");
        let got = stored(&instance, "alice").into_iter().find(|got| got.contains(&wanted));
        let lower = got.clone().expect("the message").to_ascii_lowercase();
        assert_eq!(lower.matches("sensitivity").count(), 1, "{lower}");
        assert_eq!(lower.matches("precedence").count(), 1, "{lower}");
        assert!(lower.contains("sensitivity: private"), "{lower}");
        assert!(got.is_some_and(|got| got.contains(precedence)), "{lower}");
    }
}

#[test]
fn a_list_may_ask_a_mapping_table_or_stand_in_the_configuration() {
    let friends = "mappings: {\n        \"FRIENDS\": [(\"*@friend.test\", \"$Y\")],\n        \"LOST\": [(\"*\", \"$Y\")],";
    let settings = || Settings::standalone().edit("mappings: {", friends);
    let instance = instance(settings(), "mapped: [AUTH_MAPPING] friends, alice\n");
    let check = instance.relais("check", &[]);
    let check = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.contains("mappings[\"LOST\"]") && !check.contains("FRIENDS"), "{check}");
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let rows = [
        ("a@friend.test", "250"),
        ("\"a\"@Friend.test.", "250"),
        ("a@else.test", "550 5.7.2 you may not post to this list"),
        ("\"a@friend.test\"@else.test", "550 5.7.2"),
        ("", "550 5.7.2"),
    ];
    for (sender, want) in rows {
        let got = asked(&mut client, sender, "mapped@relais.example");
        assert!(got.starts_with(want), "<{sender}>: {got}");
    }
    let own = "aliases: {\"own\": [\"[AUTH_LIST] *@friend.test\", \"alice\"]}";
    let instance = Instance::new(settings().section(own));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let got = asked(&mut client, "a@else.test", "own@relais.example");
    assert!(got.starts_with("550 5.7.2"), "{got}");
    let got = asked(&mut client, "a@friend.test", "own@relais.example");
    assert!(got.starts_with("250"), "{got}");
    let bad = "aliases: {\"own\": [\"alice\", \"[AUTH_LIST] *@friend.test\"]}";
    let check = Instance::new(settings().section(bad)).relais("check", &[]);
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    let want = "aliases[\"own\"]: named parameters stand behind the list's file";
    assert!(!check.status.success() && told.contains(want), "{told}");
}

#[test]
fn parameters_are_told_step_by_step_and_mistakes_with_their_places() {
    let instance = instance(Settings::standalone(), ALIASES);
    let _running = instance.start();
    let told = |command: &str, args: &[&str]| {
        let output = instance.relais(command, args);
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let route = told("route", &["squad", "--from", "eve@else.test"]);
    for want in [
        "aliases: squad is a list with",
        "[AUTH_LIST] staff.txt",
        "a message may have 20480 octets",
        "squad: <eve@else.test> may not post: AUTH_LIST is not met",
        "550 5.7.2 Staff only, please",
    ] {
        assert!(route.contains(want), "{want}: {route}");
    }
    let route = told("route", &["squad", "--from", "ann@staff.test"]);
    for want in [
        "the sender of copies is squad-owner@relais.example, who hears of failures",
        "Reply-To: squad@relais.example (in place of its own)",
        "- x-spam",
        "squad: <ann@staff.test> may post",
    ] {
        assert!(route.contains(want), "{want}: {route}");
    }
    let test = told("test", &["alias", "each"]);
    assert!(test.contains("[ENVELOPE_FROM] bounces+*@relais.example"), "{test}");
    let check = told("check", &[]);
    assert!(!check.contains("aliases.file"), "{check}");
    for (line, want) in [
        ("bad: [AUTH_LISTS] a@b.test, bob", "line 12: no named parameter is called [AUTH_LISTS]"),
        ("bad: bob, [AUTH_LIST] a@b.test", "line 12: named parameters stand behind"),
        ("bad: [TAG] x, bob", "the alias bad: [TAG] is not there yet"),
        ("bad: [AUTH_LIST] lost.txt, bob", "the alias bad: the list takes no mail"),
    ] {
        fs::write(instance.data().join("aliases"), format!("{ALIASES}{line}\n")).expect("a file");
        let check = told("check", &[]);
        assert!(check.contains(want), "{want}: {check}");
    }
    // A mistake in the file leaves the lists in force as they were.
    fs::write(instance.data().join("aliases"), "squad: [AUTH_LISTS] x, alice\n").expect("a file");
    assert!(!instance.relais("reload", &[]).status.success());
    let mut client = Dialogue::open(instance.settings.smtp);
    let got = asked(&mut client, "eve@else.test", "squad@relais.example");
    assert!(got.starts_with("550 5.7.2 Staff only, please"), "{got}");
}
