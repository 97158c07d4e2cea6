//! Sieve scripts of users and of the system, by the whole engine: `standalone.ron` has the relay's
//! `tcp_lmtpcs` with `fileinto: "@$4O:$U+$S@$D"` and the store behind it.

use std::{path::PathBuf, time::Duration};

use relais_tests::{
    Dialogue, Instance, Ldif, Settings, eventually, mailbox, maildir_folder, message_ids, wire_form,
};
use serde_json::Value;

const MINUTE: Duration = Duration::from_secs(60);
const DOMAIN: &str = "relais.example";

/// The attributes of a user with these scripts.
fn scripted(scripts: &[&str]) -> String {
    format!("mailHost: localhost{}", relais_tests::scripts(scripts))
}

fn instance(settings: Settings, users: &[(&str, &[&str])]) -> Instance {
    let ldif = Ldif::file().domain(DOMAIN, "");
    let user =
        |ldif: Ldif, (uid, scripts): &(&str, &[&str])| ldif.user(uid, DOMAIN, &scripted(scripts));
    users.iter().fold(ldif, user).instance(settings)
}

/// Sends a message with this Message-ID; the reply behind the dot.
fn send(instance: &Instance, from: &str, to: &[&str], (id, header): (&str, &str)) -> String {
    let to: Vec<String> = to.iter().map(|uid| format!("{uid}@{DOMAIN}")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let content = format!("From: <{from}>\r\nMessage-ID: <{id}>\r\n{header}\r\n\r\nbody\r\n");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message(from, &to, content.as_bytes()).text
}

fn folder(instance: &Instance, uid: &str, name: &str) -> PathBuf {
    maildir_folder(&instance.store(), (uid, DOMAIN), name)
}

fn arrives(instance: &Instance, (uid, name): (&str, &str), id: &str) {
    let folder = folder(instance, uid, name);
    let there = || message_ids(&folder).iter().any(|its| its == id);
    eventually(&format!("{id} is in {name:?} of {uid}"), MINUTE, there);
}

fn has(instance: &Instance, (uid, name): (&str, &str), id: &str) -> bool {
    message_ids(&folder(instance, uid, name)).iter().any(|its| its == id)
}

const WORK: &str = r#"require ["fileinto", "copy"];
if header :contains "subject" "work" { fileinto "Work"; }
elsif header :contains "subject" "both" { fileinto :copy "Work/Copies"; }
elsif header :is "subject" "gone" { discard; }"#;

#[test]
fn a_script_files_mail_into_folders_of_the_store_behind_lmtp() {
    let instance = instance(Settings::standalone(), &[("jdoe", &[WORK]), ("bob", &[])]);
    let _running = instance.start();
    for (id, subject) in [("1@t", "for work"), ("2@t", "both"), ("3@t", "gone"), ("4@t", "else")] {
        let reply =
            send(&instance, "a@b.example", &["jdoe", "bob"], (id, &format!("Subject: {subject}")));
        assert!(reply.starts_with("250"), "{reply}");
        arrives(&instance, ("bob", ""), id);
    }
    arrives(&instance, ("jdoe", "Work"), "1@t");
    arrives(&instance, ("jdoe", "Work.Copies"), "2@t");
    arrives(&instance, ("jdoe", ""), "2@t");
    arrives(&instance, ("jdoe", ""), "4@t");
    for (name, id) in [("", "1@t"), ("", "3@t"), ("Work", "3@t"), ("Work", "4@t")] {
        assert!(!has(&instance, ("jdoe", name), id), "{id} in {name:?}");
    }
    let route = instance.relais("route", &["jdoe@relais.example"]);
    let route = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(route.contains("1 Sieve script"), "{route}");
    let file = instance.data().join("work.eml");
    std::fs::write(&file, "Subject: for work\n\nbody\n").unwrap();
    let file = file.display().to_string();
    for offline in [&[][..], &["--offline"]] {
        let args = [&["jdoe@relais.example", "bob@relais.example", "--message", &file], offline];
        let one = instance.relais("route", &[&args[0][..1], &args[0][2..], offline].concat());
        let one = String::from_utf8_lossy(&one.stdout).into_owned();
        assert!(one.contains("header") && one.contains("\"Work\""), "{one}");
        let json = instance.relais("route", &[&args.concat()[..], &["--json"]].concat());
        let json = String::from_utf8_lossy(&json.stdout).into_owned();
        let lines: Vec<&str> = json.lines().collect();
        assert!(lines[0].contains("\"sieve\"") && !lines[1].contains("\"sieve\""), "{json}");
    }
}

#[test]
fn folders_of_any_name_are_made_or_the_inbox_has_the_message() {
    // the folder of the script, the one in the store
    let rows = [
        ("Gr\u{fc}\u{df}e", ".Gr&APwA3w-e"),
        ("a b", ".a b"),
        ("INBOX/Below", ".Below"),
        ("inbox", ""),
        ("a@b.example", ".a@b.example"),
        ("a+b", ".a+b"),
        ("\\\"q\\\"", ""),
        ("../../x", ""),
        ("50%", ""),
        ("a/../b", ""),
        ("/", ""),
    ];
    let scripts: Vec<String> = rows
        .iter()
        .map(|(folder, _)| format!("require \"fileinto\"; fileinto \"{folder}\";"))
        .collect();
    let names: Vec<String> = (0..rows.len()).map(|n| format!("user{n}")).collect();
    let each: Vec<[&str; 1]> = scripts.iter().map(|script| [script.as_str()]).collect();
    let users: Vec<(&str, &[&str])> =
        names.iter().zip(&each).map(|(name, script)| (&**name, &script[..])).collect();
    let instance = instance(Settings::standalone(), &users);
    let _running = instance.start();
    for (name, (_, folder)) in names.iter().zip(rows) {
        let reply = send(&instance, "a@b.example", &[name], ("1@t", "Subject: x"));
        assert!(reply.starts_with("250"), "{reply}");
        arrives(&instance, (name, folder.trim_start_matches('.')), "1@t");
    }
    let log = instance.log();
    let told = |folder: &str| {
        let mut lines =
            log.lines().filter(|line| line.contains("names a folder that there cannot be"));
        lines.any(|line| line.contains(folder))
    };
    for (folder, want) in [("50%", true), ("../../x", true), ("Below", false), ("inbox", false)] {
        assert_eq!(told(folder), want, "{folder}: {log}");
    }
}

#[test]
fn a_large_message_is_filed_as_a_small_one() {
    let instance = instance(Settings::standalone(), &[("jdoe", &[WORK])]);
    let _running = instance.start();
    let line = "0123456789".repeat(7) + "\r\n";
    let content = format!("Message-ID: <big@t>\r\nSubject: work\r\n\r\n{}", line.repeat(60_000));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.example", &["jdoe@relais.example"], content.as_bytes()).expect(250);
    arrives(&instance, ("jdoe", "Work"), "big@t");
}

#[test]
fn a_script_refuses_mail_in_the_session_or_by_a_notice() {
    let script = "require \"reject\"; if header :is \"subject\" \"no\" { reject \"not me\"; }";
    let users: &[(&str, &[&str])] = &[("jdoe", &[script]), ("carol", &[script]), ("bob", &[])];
    let instance = instance(Settings::standalone(), users);
    let _running = instance.start();
    let reply = send(&instance, "bob@relais.example", &["jdoe"], ("1@t", "Subject: no"));
    assert!(reply.starts_with("550 5.7.1 not me"), "{reply}");
    let reply =
        send(&instance, "bob@relais.example", &["jdoe", "carol", "bob"], ("2@t", "Subject: no"));
    assert!(reply.starts_with("250"), "{reply}");
    arrives(&instance, ("bob", ""), "2@t");
    let notice = || {
        let all = mailbox(&instance.store(), DOMAIN, "bob");
        all.into_iter()
            .map(|its| String::from_utf8_lossy(&its).into_owned())
            .find(|its| its.contains("not me"))
    };
    eventually("the sender hears of it", MINUTE, || notice().is_some());
    let told = notice().expect("a notice");
    for uid in ["jdoe", "carol"] {
        assert!(told.contains(&format!("rfc822;{uid}@")), "{uid}: {told}");
    }
    assert!(!has(&instance, ("jdoe", ""), "2@t"));
}

#[test]
fn redirected_mail_goes_through_the_scripts_of_the_next_and_ends_in_a_circle() {
    let to = |user: &str| format!("redirect \"{user}@relais.example\";");
    let (to_bob, to_carol, to_jdoe) = (to("bob"), to("carol"), to("jdoe"));
    let users: &[(&str, &[&str])] = &[
        ("jdoe", &[&to_bob]),
        ("bob", &["require \"fileinto\"; fileinto \"From jdoe\";"]),
        ("carol", &["require \"copy\"; redirect :copy \"dave@relais.example\";"]),
        ("dave", &[&to_carol]),
        ("nobody", &["redirect \"unknown@relais.example\";"]),
        ("self", &["redirect \"self@relais.example\";"]),
        ("erin", &[&to_jdoe]),
        (
            "away",
            &[
                "require \"vacation\"; vacation \"I am away.\"; redirect \"unknown@relais.example\";",
            ],
        ),
        (
            "fay",
            &[
                "require \"editheader\"; addheader \"X-By\" \"fay\"; redirect \"gil@relais.example\";",
            ],
        ),
        ("gil", &["require \"fileinto\"; if header \"x-by\" \"fay\" { fileinto \"By fay\"; }"]),
    ];
    let instance = instance(Settings::standalone(), users);
    let _running = instance.start();
    for (uid, id) in [
        ("jdoe", "1@t"),
        ("carol", "2@t"),
        ("nobody", "3@t"),
        ("self", "4@t"),
        ("erin", "5@t"),
        ("fay", "6@t"),
    ] {
        let reply = send(&instance, "a@b.example", &[uid], (id, "Subject: x"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    let answered = ("6@t", "To: <away@relais.example>\r\nSubject: x");
    let reply = send(&instance, "bob@relais.example", &["away"], answered);
    assert!(reply.starts_with("250"), "{reply}");
    // An answer alone would leave nobody with the message.
    arrives(&instance, ("away", ""), "6@t");
    arrives(&instance, ("bob", "From jdoe"), "1@t");
    arrives(&instance, ("carol", ""), "2@t");
    arrives(&instance, ("nobody", ""), "3@t");
    arrives(&instance, ("self", ""), "4@t");
    arrives(&instance, ("bob", "From jdoe"), "5@t");
    arrives(&instance, ("gil", "By fay"), "6@t");
    assert!(!has(&instance, ("jdoe", ""), "1@t"));
}

#[test]
fn redirected_mail_is_never_lost_where_a_copy_went_before() {
    let to = |user: &str| format!("redirect \"{user}@relais.example\";");
    let (both, to_back, to_forth) = (to("back") + &to("forth"), to("back"), to("forth"));
    let to_gone = to("gone");
    let users: &[(&str, &[&str])] = &[
        ("both", &[&both]),
        ("back", &[&to_forth]),
        ("forth", &[&to_back]),
        ("ann", &[&to_gone]),
        ("bob", &[&to_gone]),
    ];
    let team = "aliases: {\"team\": [\"ann@relais.example\", \"bob@relais.example\"]}";
    let settings = Settings::standalone().section(team);
    let instance = instance(settings, users);
    // by whom, to whom, what becomes of it
    let nowhere = "a copy that went there before gets through nowhere: it stays in the INBOX";
    let gone = "550 5.1.1 unknown or illegal alias: it stays in the INBOX";
    let rows: [(&str, &[[&str; 3]]); 2] = [
        (
            "both",
            &[
                ["both", "back", ""],
                ["both", "forth", ""],
                ["back", "forth", nowhere],
                ["forth", "back", nowhere],
            ],
        ),
        ("team", &[["ann", "gone", gone], ["bob", "gone", nowhere]]),
    ];
    for (recipient, want) in rows {
        let told = route(&instance, recipient, &[]);
        let redirects = told["redirects"].as_array().expect("redirects");
        let told: Vec<[String; 3]> = redirects
            .iter()
            .map(|its| {
                ["by", "to", "stays"]
                    .map(|key| its[key].as_str().unwrap_or_default().replace("@relais.example", ""))
            })
            .collect();
        let want: Vec<[String; 3]> = want.iter().map(|row| row.map(str::to_owned)).collect();
        assert_eq!(told, want);
    }
    let _running = instance.start();
    for (uid, id) in [("both", "1@t"), ("team", "2@t")] {
        let reply = send(&instance, "a@b.example", &[uid], (id, "Subject: x"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    for (uid, id) in [("back", "1@t"), ("forth", "1@t"), ("ann", "2@t"), ("bob", "2@t")] {
        arrives(&instance, (uid, ""), id);
        let all = message_ids(&folder(&instance, uid, ""));
        assert_eq!(all.iter().filter(|its| **its == id).count(), 1, "{uid}: {all:?}");
    }
    assert!(!has(&instance, ("both", ""), "1@t"));
}

/// `relais route --message --json`, by the files.
fn route(instance: &Instance, uid: &str, more: &[&str]) -> Value {
    let file = instance.path("message.eml");
    std::fs::write(&file, "From: Eve <eve@b.example>\nSubject: x\n\nbody\n").unwrap();
    let (to, file) = (format!("{uid}@{DOMAIN}"), file.display().to_string());
    let args = [&[&*to, "--message", &file, "--offline", "--json"], more].concat();
    let told = instance.relais("route", &args);
    serde_json::from_slice(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

#[test]
fn a_script_sees_the_address_of_the_client() {
    let script = "require [\"environment\", \"fileinto\"]; \
        if environment \"remote-ip\" \"127.0.0.1\" { fileinto \"Local\"; } \
        elsif environment \"remote-ip\" \"192.0.2.7\" { fileinto \"Far\"; }";
    let instance = instance(Settings::standalone(), &[("jdoe", &[script])]);
    let outcome =
        |more: &[&str]| route(&instance, "jdoe", more)["results"][0]["sieve"]["outcome"].clone();
    assert_eq!(outcome(&[]), "it goes to INBOX");
    assert_eq!(outcome(&["--client", "192.0.2.7"]), "it goes to Far");
    let _running = instance.start();
    let reply = send(&instance, "a@b.example", &["jdoe"], ("1@t", "Subject: x"));
    assert!(reply.starts_with("250"), "{reply}");
    arrives(&instance, ("jdoe", "Local"), "1@t");
}

#[test]
fn route_follows_redirects_as_mail_does() {
    let to = |user: &str| format!("redirect \"{user}@relais.example\";");
    let far: Vec<String> = (1..=7).map(|n| to(&format!("far{n}"))).collect();
    let names: Vec<String> = (0..7).map(|n| format!("far{n}")).collect();
    let both = "require [\"copy\", \"editheader\", \"envelope\"]; addheader \"X-By\" \"both\"; if envelope \"from\" \"eve@b.example\" { \
        redirect \"filing@relais.example\"; redirect \"unknown@relais.example\"; \
        redirect \"x@hold-daemon\"; redirect \"out@example.net\"; }";
    let (circle, back) = (to("back"), to("circle"));
    let own: [&[&str]; 5] = [
        &[both],
        &["require \"fileinto\"; if header \"x-by\" \"both\" { fileinto \"Work\"; }"],
        &[&circle],
        &[&back],
        &["require \"nosuch\"; keep;", "discard;"],
    ];
    let each: Vec<[&str; 1]> = far.iter().map(|script| [script.as_str()]).collect();
    let users = ["both", "filing", "circle", "back", "lost"].into_iter().zip(own);
    let far = names.iter().map(String::as_str).zip(each.iter().map(|script| &script[..]));
    let users: Vec<(&str, &[&str])> = users.chain(far).collect();
    let outside = "rewrite_rules: [(\"example.net\", \"$U%$D@tcp-daemon\"),";
    let settings = Settings::standalone().edit("rewrite_rules: [", outside);
    let instance = instance(settings, &users);

    let told = route(&instance, "both", &[]);
    assert_eq!(told["results"][0]["sieve"]["from"], "eve@b.example");
    let redirects = told["redirects"].as_array().expect("redirects");
    // the address, why nothing goes there, the channel
    let rows = [
        ("filing@relais.example", "", "tcp_lmtpcs"),
        ("unknown@relais.example", "550 5.1.1 unknown or illegal alias: it stays in the INBOX", ""),
        ("x@hold-daemon", "addresses of users and of others only: no copy goes there", ""),
        ("out@example.net", "", "tcp_local"),
    ];
    assert_eq!(redirects.len(), rows.len(), "{told:#}");
    for (redirect, (to, stays, channel)) in redirects.iter().zip(rows) {
        let why = redirect["stays"].as_str().unwrap_or_default();
        let by = redirect["results"][0]["channel"].as_str().unwrap_or_default();
        assert!(redirect["to"] == to && by == channel, "{redirect:#}");
        assert!(why.contains(stays) && why.is_empty() == stays.is_empty(), "{to}: {why}");
    }
    assert_eq!(redirects[0]["by"], "both@relais.example");
    assert_eq!(redirects[0]["results"][0]["sieve"]["outcome"], "it goes to Work");

    let told = route(&instance, "both", &["--from", "<>"]);
    assert_eq!(told["results"][0]["sieve"]["outcome"], "it goes to INBOX", "{told:#}");
    assert!(told["redirects"].is_null(), "{told:#}");
    let told = route(&instance, "circle", &[]);
    let last = told["redirects"].as_array().and_then(|all| all.last()).expect("a redirect");
    assert_eq!(
        (&last["by"], &last["to"]),
        (&"back@relais.example".into(), &"circle@relais.example".into())
    );
    assert!(last["stays"].as_str().is_some_and(|why| why.contains("in a circle: it stays")));
    let told = route(&instance, "far0", &[]);
    let all = told["redirects"].as_array().expect("redirects");
    assert_eq!(all.len(), 6, "{told:#}");
    assert!(all[5]["stays"].as_str().is_some_and(|why| why.contains("it stays")), "{told:#}");
    // The script that works is not carried out beside the one that does not.
    let told = route(&instance, "lost", &[]);
    assert_eq!(told["results"][0]["sieve"]["outcome"], "it goes to INBOX", "{told:#}");
    assert!(
        told["results"][0]["sieve"]["error"].as_str().is_some_and(|why| why.contains("nosuch"))
    );

    // The engine that runs follows them, too.
    let _running = instance.start();
    let file = instance.path("message.eml").display().to_string();
    let page = instance.relais("route", &["both@relais.example", "--message", &file]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    let head = "\nredirected by <both@relais.example> to <filing@relais.example>\n";
    assert!(
        page.contains(head) && page.contains("1 Sieve script (mailSieveRuleSource) to say"),
        "{page}"
    );
}

#[test]
fn redirects_of_one_message_are_bounded_and_one_that_waits_holds_up_nobody() {
    let bomb = "require [\"envelope\", \"subaddress\", \"variables\"]; set \"d\" \"\"; \
        if envelope :detail :matches \"to\" \"*\" { set \"d\" \"${1}\"; } \
        redirect \"bomb+${d}a@relais.example\"; redirect \"bomb+${d}b@relais.example\"; \
        redirect \"bomb+${d}c@relais.example\";";
    let edits = "require [\"editheader\", \"copy\"]; addheader \"X-Others\" \"yes\"; \
        redirect :copy \"bob@relais.example\";";
    let out = ["redirect \"x@hold-daemon\";", "redirect \"bob@lmtpcs-daemon\";"];
    let users: &[(&str, &[&str])] = &[
        ("bomb", &[bomb]),
        ("edits", &[edits]),
        ("bob", &[]),
        ("lost", &["require \"nosuch\"; keep;", "discard;"]),
        ("hold", &out[..1]),
        ("lmtp", &out[1..]),
        ("away", &["redirect \"gone@relais.example\";"]),
    ];
    let ldif = Ldif::file().domain(DOMAIN, "");
    let user =
        |ldif: Ldif, (uid, scripts): &(&str, &[&str])| ldif.user(uid, DOMAIN, &scripted(scripts));
    let inactive = "mailHost: localhost\nmailUserStatus: inactive";
    let ldif = users.iter().fold(ldif, user).user("gone", DOMAIN, inactive);
    let instance = ldif.instance(Settings::standalone());
    let _running = instance.start();
    let reply = send(&instance, "a@b.example", &["edits", "bob"], ("1@t", "Subject: x"));
    assert!(reply.starts_with("250"), "{reply}");
    arrives(&instance, ("edits", ""), "1@t");
    arrives(&instance, ("bob", ""), "1@t");
    let of_bob = mailbox(&instance.store(), DOMAIN, "bob");
    assert_eq!(of_bob.len(), 1);
    assert!(!String::from_utf8_lossy(&of_bob[0]).contains("X-Others"), "his own copy");
    let reply = send(&instance, "a@b.example", &["away", "bob"], ("2@t", "Subject: x"));
    assert!(reply.starts_with("250"), "{reply}");
    arrives(&instance, ("bob", ""), "2@t");
    for uid in ["lost", "hold", "lmtp", "bomb"] {
        let reply = send(&instance, "a@b.example", &[uid], ("3@t", "Subject: x"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    for uid in ["lost", "hold", "lmtp"] {
        arrives(&instance, (uid, ""), "3@t");
    }
    let copies = || mailbox(&instance.store(), DOMAIN, "bomb").len();
    eventually("some of the copies", MINUTE, || copies() > 0);
    std::thread::sleep(Duration::from_secs(2));
    assert!(copies() <= 30, "{}", copies());
}

#[test]
fn a_broken_script_leaves_mail_in_the_inbox_and_is_told_once() {
    let endless =
        format!("if anyof ({}false) {{ discard; }}", "header :contains \"x\" \"y\", ".repeat(900));
    let users: &[(&str, &[&str])] =
        &[("jdoe", &["fileinto \"Work\";"]), ("bob", &["if {"]), ("erin", &[&endless])];
    let instance = instance(Settings::standalone(), users);
    let _running = instance.start();
    for id in ["1@t", "2@t"] {
        let reply = send(&instance, "a@b.example", &["jdoe", "bob", "erin"], (id, "Subject: x"));
        assert!(reply.starts_with("250"), "{reply}");
        for uid in ["jdoe", "bob", "erin"] {
            arrives(&instance, (uid, ""), id);
        }
    }
    let log = instance.log();
    let told = log.matches("a Sieve script does not work").count();
    assert_eq!(told, 2, "{log}");
    let notices = |uid| {
        let all = mailbox(&instance.store(), DOMAIN, uid);
        let is_notice = |its: &&Vec<u8>| {
            String::from_utf8_lossy(its).contains("One of your mail filters does not work")
        };
        all.iter().filter(is_notice).count()
    };
    for uid in ["jdoe", "bob"] {
        eventually(&format!("{uid} is told"), MINUTE, || notices(uid) == 1);
    }
    assert_eq!(notices("erin"), 0, "much work that comes to its end is none too much");
}

#[test]
fn a_message_that_was_seen_is_known_again() {
    let script = "require [\"duplicate\", \"fileinto\"]; if duplicate { fileinto \"Again\"; }";
    let instance = instance(Settings::standalone(), &[("jdoe", &[script]), ("bob", &[script])]);
    let _running = instance.start();
    for (uid, folder) in [("jdoe", ""), ("jdoe", "Again"), ("bob", "")] {
        send(&instance, "a@b.example", &[uid], ("1@t", "Subject: x"));
        arrives(&instance, (uid, folder), "1@t");
        let reload = instance.relais("reload", &[]);
        assert!(reload.status.success(), "{reload:?}");
    }
    assert!(!has(&instance, ("bob", "Again"), "1@t"));
}

#[test]
fn scripts_of_the_system_and_of_channels_see_all_mail() {
    let users: &[(&str, &[&str])] =
        &[("jdoe", &[]), ("bob", &["require \"fileinto\"; fileinto \"Own\";"])];
    let settings = Settings::standalone()
        .edit("mappings: {", "sieve: (before: \"before.sieve\"), mappings: {")
        .channel("tcp_lmtpcs", "destinationfilter: \"out.sieve\"");
    let instance = instance(settings, users);
    let write = |name: &str, text: &str| std::fs::write(instance.data().join(name), text).unwrap();
    write("before.sieve", "if header :is \"x-spam\" \"yes\" { discard; stop; }");
    write(
        "out.sieve",
        "require [\"fileinto\"]; if header :is \"x-list\" \"yes\" { fileinto \"Lists\"; }",
    );
    let _running = instance.start();
    let rows = [
        ("1@t", "X-Spam: yes", None, None),
        ("2@t", "X-List: yes", Some("Lists"), None),
        ("3@t", "Subject: x", Some(""), Some("Own")),
    ];
    for (id, header, of_jdoe, of_bob) in rows {
        let reply = send(&instance, "a@b.example", &["jdoe", "bob"], (id, header));
        assert!(reply.starts_with("250"), "{reply}");
        for (uid, name) in [("jdoe", of_jdoe), ("bob", of_bob)] {
            if let Some(name) = name {
                arrives(&instance, (uid, name), id);
            }
        }
    }
    assert!(!has(&instance, ("jdoe", ""), "1@t"));
}

#[test]
fn a_script_answers_once_and_changes_the_header() {
    let vacation = "require [\"vacation\", \"editheader\"];\r\n\
        vacation :days 3 :subject \"Away\" \"I am away.\";\r\n\
        addheader \"X-Filed\" \"yes\"; deleteheader \"X-Secret\";";
    let users: &[(&str, &[&str])] = &[("jdoe", &[vacation]), ("bob", &[])];
    let instance = instance(Settings::standalone(), users);
    let _running = instance.start();
    let header = "To: jdoe@relais.example\r\nX-Secret: 1\r\nSubject: hello";
    for id in ["1@t", "2@t"] {
        send(&instance, "bob@relais.example", &["jdoe"], (id, header));
        arrives(&instance, ("jdoe", ""), id);
    }
    let replies = || mailbox(&instance.store(), DOMAIN, "bob");
    eventually("a reply comes", MINUTE, || !replies().is_empty());
    let log = || instance.log().matches("automatic reply").count();
    eventually("both were looked at", MINUTE, || log() >= 2);
    let replies: Vec<_> =
        replies().iter().map(|its| String::from_utf8_lossy(its).into_owned()).collect();
    assert!(
        replies.len() == 1
            && replies[0].contains("I am away.")
            && replies[0].contains("Subject: Away"),
        "{replies:?}"
    );
    let mail = mailbox(&instance.store(), DOMAIN, "jdoe");
    let mail = String::from_utf8_lossy(&mail[0]).into_owned();
    assert!(mail.contains("X-Filed: yes") && !mail.contains("X-Secret"), "{mail}");
}

#[test]
fn a_script_answers_mail_for_a_subaddress_of_any_delimiter() {
    let away = "require \"vacation\"; vacation \"I am away.\";";
    let settings = Settings::standalone().channel("l", "recipient_delimiter: \"-\"");
    let instance = instance(settings, &[("ann", &[away]), ("bob", &[])]);
    let _running = instance.start();
    let to = "To: <ann-work@relais.example>\r\nSubject: x";
    let reply = send(&instance, "bob@relais.example", &["ann-work"], ("1@t", to));
    assert!(reply.starts_with("250"), "{reply}");
    eventually("it is answered", MINUTE, || {
        let all = mailbox(&instance.store(), DOMAIN, "bob");
        all.iter().any(|its| String::from_utf8_lossy(its).contains("I am away."))
    });
}

/// The message with this Message-ID as it lies in a folder of a user.
fn content(instance: &Instance, (uid, name): (&str, &str), id: &str) -> String {
    arrives(instance, (uid, name), id);
    let files = ["new", "cur"].map(|sub| std::fs::read_dir(folder(instance, uid, name).join(sub)));
    let files = files.into_iter().flatten().flatten().flatten();
    let texts = files.filter_map(|file| std::fs::read(file.path()).ok());
    let texts = texts.map(|text| String::from_utf8_lossy(&wire_form(text)).into_owned());
    let its = texts.filter(|text| text.contains(&format!("Message-ID: <{id}>")));
    let [text] = &its.collect::<Vec<_>>()[..] else { panic!("{id} of {uid} is not there once") };
    text.clone()
}

/// A message of 1 MiB is one that goes through a file.
#[test]
fn scripts_change_the_header_of_a_large_message_as_that_of_a_small_one() {
    let edits = "require [\"editheader\", \"fileinto\", \"copy\"];\r\n\
        addheader \"X-Filed\" \"yes\"; deleteheader \"X-Secret\"; fileinto :copy \"Work\";\r\n\
        addheader :last \"X-Kept\" \"yes\";";
    let redirects = "require [\"editheader\", \"copy\"]; addheader \"X-From-Bob\" \"yes\";\r\n\
        redirect :copy \"dave@relais.example\"; addheader \"X-Late\" \"yes\";";
    let members =
        "mgrpRFC822MailMember: bob@relais.example\nmgrpAddHeader: List-Id: <l.relais.example>";
    let text = format!("{members}\nmgrpMsgSuffixText: -- of the list");
    let ldif = Ldif::file()
        .domain(DOMAIN, "")
        .user("jdoe", DOMAIN, &scripted(&[edits]))
        .user("bob", DOMAIN, &scripted(&[redirects]))
        .user("carol", DOMAIN, &scripted(&[]))
        .user("dave", DOMAIN, &scripted(&[]))
        .group("lines", DOMAIN, members)
        .group("text", DOMAIN, &text);
    let instance = ldif.instance(Settings::standalone());
    let _running = instance.start();
    let line = "0123456789".repeat(7) + "\r\n";
    for (n, lines) in [1, 15_000].into_iter().enumerate() {
        let body = line.repeat(lines);
        for (to, behind) in [("bob", ""), ("lines", ""), ("text", "-- of the list\r\n")] {
            let id = format!("{n}-{to}@t");
            let to = ["jdoe", "carol", to].map(|uid| format!("{uid}@{DOMAIN}"));
            let header = format!("X-Secret: 1\r\nSubject: x\r\nMessage-ID: <{id}>");
            let message = format!("{header}\r\n\r\n{body}");
            let mut client = Dialogue::open(instance.settings.smtp);
            let to = to.each_ref().map(String::as_str);
            client.message("a@b.example", &to, message.as_bytes()).expect(250);
            let list =
                if to[2].starts_with("bob") { "" } else { "List-Id: <l.relais.example>\r\n" };
            let without = header.replace("X-Secret: 1\r\n", "");
            // user, folder, header and body from the first line that is not ours
            let rows = [
                ("carol", "", format!("{header}\r\n\r\n{body}")),
                ("jdoe", "Work", format!("X-Filed: yes\r\n{without}\r\n\r\n{body}")),
                ("jdoe", "", format!("X-Filed: yes\r\n{without}\r\nX-Kept: yes\r\n\r\n{body}")),
                (
                    "bob",
                    "",
                    format!(
                        "{list}X-Late: yes\r\nX-From-Bob: yes\r\n{header}\r\n\r\n{body}{behind}"
                    ),
                ),
                ("dave", "", format!("{list}X-From-Bob: yes\r\n{header}\r\n\r\n{body}{behind}")),
            ];
            for (uid, name, want) in rows {
                let got = content(&instance, (uid, name), &id);
                assert!(got.ends_with(&format!("\r\n{want}")), "{id} of {uid}: {got:.1500}");
                let own = got.len() - want.len();
                assert!(
                    !got[..own].contains("X-") && !got[..own].contains("List-Id"),
                    "{got:.1500}"
                );
            }
        }
    }
}

#[test]
fn a_large_message_that_a_script_changes_does_not_lie_in_memory() {
    let edits = "require \"editheader\"; addheader \"X-Filed\" \"yes\";";
    let instance = instance(Settings::standalone(), &[("jdoe", &[edits]), ("bob", &[])]);
    let running = instance.start();
    let line = "0123456789".repeat(7) + "\r\n";
    let body = line.repeat((24 << 20) / line.len());
    let message = format!("Message-ID: <1@t>\r\n\r\n{body}");
    let before = running.memory().peak;
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["jdoe@relais.example", "bob@relais.example"];
    client.message("a@b.example", &to, message.as_bytes()).expect(250);
    let changed = content(&instance, ("jdoe", ""), "1@t");
    assert!(changed.ends_with(&format!("X-Filed: yes\r\n{message}")));
    assert!(!content(&instance, ("bob", ""), "1@t").contains("X-Filed"));
    let more = running.memory().peak - before;
    assert!(more < 16 << 20, "{more}");
}

/// Each copy of a large message that differs is a file: there are not more of them than are documented.
#[test]
fn of_many_scripts_that_change_a_large_message_each_otherwise_some_are_carried_out() {
    let names: Vec<String> = (0..40).map(|n| format!("user{n}")).collect();
    let edit = |name: &String| format!("require \"editheader\"; addheader \"X-Mine\" \"{name}\";");
    let scripts: Vec<String> = names.iter().map(edit).collect();
    let each: Vec<[&str; 1]> = scripts.iter().map(|script| [script.as_str()]).collect();
    let users: Vec<(&str, &[&str])> =
        names.iter().zip(&each).map(|(name, script)| (&**name, &script[..])).collect();
    let instance = instance(Settings::standalone(), &users);
    let _running = instance.start();
    let body = "0123456789\r\n".repeat(30_000);
    let message = format!("Message-ID: <1@t>\r\n\r\n{body}");
    let to: Vec<String> = names.iter().map(|name| format!("{name}@{DOMAIN}")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.example", &to, message.as_bytes()).expect(250);
    let is_edited = |name: &&String| {
        let got = content(&instance, (name, ""), "1@t");
        assert!(got.ends_with(&message), "{got:.500}");
        let mine = format!("X-Mine: {name}\r\n");
        assert!(got.contains(&mine) || !got.contains("X-Mine"), "{name}: {got:.500}");
        got.contains(&mine)
    };
    assert_eq!(names.iter().filter(is_edited).count(), 32);
    assert!(instance.log().contains("in too many ways"), "{}", instance.log());
}
