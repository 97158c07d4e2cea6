//! Lists in a real `OpenLDAP` server: who may post, who gets it, and what comes of a server that goes
//! away meanwhile.

use std::{process::Command, time::Duration};

use relais_tests::{
    Dialogue, Instance, Settings, Slapd, eventually, mailbox, message, needs, succeed,
};
use serde_json::Value;

const PACKAGES: &[&str] = &[Slapd::PROGRAM, "/usr/bin/ldapmodify"];
const MINUTE: Duration = Duration::from_secs(60);
const PEOPLE: &str = "ou=people,dc=siroe,dc=com";

fn user(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},{PEOPLE}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
         objectClass: inetMailUser\nuid: {uid}\ncn: {uid}\nsn: {uid}\nmail: {uid}@siroe.com\n\
         mailHost: localhost\nuserPassword: of {uid}\n{more}\n\n"
    )
}

/// A list without classes that want members.
fn list(name: &str, more: &str) -> String {
    format!(
        "dn: cn={name},{PEOPLE}\nobjectClass: applicationProcess\nobjectClass: \
         inetLocalMailRecipient\nobjectClass: inetMailGroup\ncn: {name}\nmail: {name}@siroe.com\n\
         {more}\n\n"
    )
}

/// The folder, three users and these lists.
fn tree(lists: &[String]) -> String {
    let mut tree = format!("dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n");
    tree += &user("ann", "l: Paris\nmailAlternateAddress: ann.lee@siroe.com");
    tree += &user("bob", "l: Paris\nmailEquivalentAddress: robert@siroe.com");
    tree += &user("cat", "l: Rome");
    tree + &lists.concat()
}

/// The sample asks this server, and lets users log in.
fn instance(slapd: &Slapd) -> Instance {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", &slapd.section("timeout: \"5s\""))
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
        .channel("tcp_local", "sasl: (server: May, without_tls: true)");
    Instance::new(settings)
}

fn log_in(client: &mut Dialogue, uid: &str) {
    let octets = format!("\0{uid}@siroe.com\0of {uid}");
    let mut base64 = Command::new("base64");
    let initial = succeed(base64.arg("-w0"), octets.as_bytes());
    client.ask("EHLO client.example").expect(250);
    client.ask(&format!("AUTH PLAIN {}", initial.trim())).expect(235);
}

/// Subjects of the messages of a user.
fn stored(instance: &Instance, uid: &str) -> Vec<String> {
    let all = mailbox(&instance.store(), "siroe.com", uid).into_iter();
    all.map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect()
}

fn count(instance: &Instance, uid: &str) -> usize {
    stored(instance, uid).len()
}

/// The reply to a recipient.
fn asked(client: &mut Dialogue, sender: &str, to: &str) -> String {
    client.ask("RSET").expect(250);
    client.ask(&format!("MAIL FROM:<{sender}>")).expect(250);
    client.ask(&format!("RCPT TO:<{to}@siroe.com>")).text
}

#[test]
fn a_list_asks_who_posts() {
    if !needs(PACKAGES) {
        return;
    }
    let cat = "mgrpRFC822MailMember: cat@siroe.com";
    let parisians = format!("ldap:///{PEOPLE}?mail?sub?(%26(objectClass=inetMailUser)(l=paris))");
    let lists = [
        list("open", cat),
        list("login", &format!("{cat}\nmgrpBroadcasterPolicy: SMTP_AUTH_REQUIRED")),
        list(
            "domain",
            &format!("{cat}\nmgrpAllowedDomain: *.example\nmgrpMsgRejectText: Members only"),
        ),
        list("paris", &format!("{cat}\nmgrpAllowedBroadcaster: {parisians}")),
        list("staff", &format!("uniqueMember: uid=bob,{PEOPLE}\nuniqueMember: cn=inner,{PEOPLE}")),
        list("inner", "mgrpRFC822MailMember: guest@outside.test"),
        list("bystaff", &format!("{cat}\nmgrpAllowedBroadcaster: mailto:staff@siroe.com")),
        list("moderated", &format!("{cat}\nmgrpModerator: mailto:ann@siroe.com")),
        list("odd", &format!("{cat}\nmgrpAllowedBroadcaster: ldap://other/o=x??sub?(a=b)")),
        list("filter", &format!("{cat}\nmgrpAllowedBroadcaster: ldap:///o=x??sub?(a=b")),
    ];
    let slapd = Slapd::start(&tree(&lists));
    let instance = instance(&slapd);
    let _running = instance.start();
    let mut stranger = Dialogue::open(instance.settings.smtp);
    let (ok, refused) = ("250", "550 5.7.2 you may not post to this list");
    let rows = [
        ("x@y.test", "open", ok),
        ("ann@siroe.com", "login", refused),
        ("x@y.example", "domain", ok),
        ("x@y.test", "domain", "550 5.7.2 Members only"),
        ("robert@siroe.com", "paris", ok),
        ("cat@siroe.com", "paris", refused),
        ("*@siroe.com", "paris", refused),
        ("\"x)(l=*\"@siroe.com", "paris", refused),
        ("robert@siroe.com", "bystaff", ok),
        ("guest@outside.test", "bystaff", ok),
        ("cat@siroe.com", "bystaff", refused),
        ("x@y.test", "odd", "451 4.3.5"),
        ("x@y.test", "filter", "451 4.3.5"),
        // Neither answer is another sender's.
        ("x@y.test", "domain", "550 5.7.2 Members only"),
        ("x@y.example", "domain", ok),
    ];
    for (sender, to, want) in rows {
        let got = asked(&mut stranger, sender, to);
        assert!(got.starts_with(want), "{sender} {to}: {got}, wanted {want}");
    }
    let mut bob = Dialogue::open(instance.settings.smtp);
    log_in(&mut bob, "bob");
    assert!(asked(&mut bob, "x@y.test", "login").starts_with(ok));
    assert!(asked(&mut stranger, "x@y.test", "login").starts_with(refused));
    // Nobody but the moderator gets what others post.
    stranger.ask("RSET").expect(250);
    stranger.message("x@y.test", &["moderated@siroe.com"], &message("m", 300)).expect(250);
    eventually("the moderator has it", MINUTE, || count(&instance, "ann") == 1);
    let content = message("m", 300);
    stranger.message("ann.lee@siroe.com", &["moderated@siroe.com"], &content).expect(250);
    eventually("the member has it", MINUTE, || count(&instance, "cat") == 1);
    assert_eq!(count(&instance, "ann"), 1);
    // An operator sees who was asked about, and why.
    let route = instance.relais("route", &["--from", "x@y.test", "domain@siroe.com"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(told.contains("<x@y.test> may not post: mgrpAllowedDomain has not"), "{told}");
}

#[test]
fn a_refused_list_in_a_list_refuses_its_own_members() {
    if !needs(PACKAGES) {
        return;
    }
    let lists = [
        list(
            "outer",
            "mgrpRFC822MailMember: bob@siroe.com\nmgrpRFC822MailMember: closed@siroe.com",
        ),
        list("closed", "mgrpRFC822MailMember: cat@siroe.com\nmgrpAllowedDomain: y.test"),
    ];
    let slapd = Slapd::start(&tree(&lists));
    let instance = instance(&slapd);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("ann@siroe.com", &["outer@siroe.com"], &message("m", 300)).expect(250);
    eventually("bob has it", MINUTE, || count(&instance, "bob") == 1);
    eventually("ann hears of the other", MINUTE, || count(&instance, "ann") == 1);
    assert!(stored(&instance, "ann")[0].contains("5.7.2"), "{:?}", stored(&instance, "ann"));
    assert_eq!(count(&instance, "cat"), 0);
}

/// A stranger names a list as the sender: what comes of the message is no way to its members.
#[test]
fn no_notice_reaches_a_list_that_takes_none_from_nobody() {
    if !needs(PACKAGES) {
        return;
    }
    let lists = [
        list("outer", "mgrpRFC822MailMember: bob@siroe.com\nmgrpRFC822MailMember: staff@siroe.com"),
        list(
            "staff",
            "mgrpRFC822MailMember: cat@siroe.com\nmgrpAllowedBroadcaster: mailto:ann@siroe.com",
        ),
        list("open", "mgrpRFC822MailMember: cat@siroe.com"),
    ];
    let slapd = Slapd::start(&tree(&lists));
    let instance = instance(&slapd);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("EHLO client.example").expect(250);
    // One that fails with all of its content, one that arrives.
    client.message("staff@siroe.com", &["outer@siroe.com"], &message("m", 300)).expect(250);
    client.ask("MAIL FROM:<staff@siroe.com>").expect(250);
    client.ask("RCPT TO:<bob@siroe.com> NOTIFY=SUCCESS").expect(250);
    client.ask("DATA").expect(354);
    client.finish(&message("n", 300)).expect(250);
    client.ask("MAIL FROM:<open@siroe.com>").expect(250);
    client.ask("RCPT TO:<bob@siroe.com> NOTIFY=SUCCESS").expect(250);
    client.ask("DATA").expect(354);
    client.finish(&message("o", 300)).expect(250);
    eventually("who asks nobody has its notice", MINUTE, || count(&instance, "cat") == 1);
    assert_eq!(count(&instance, "bob"), 3);
    eventually("the others go to the postmaster", MINUTE, || {
        let log = instance.log();
        log.matches("a notice goes to the postmaster").count()
            + log.matches("a notice is held").count()
            == 2
    });
    assert!(
        stored(&instance, "cat")[0].contains("<o@load.test>"),
        "{:?}",
        stored(&instance, "cat")
    );
    assert_eq!(count(&instance, "cat"), 1);
}

/// A rule leads there only when the message is routed anew, behind everything that a client is told.
#[test]
fn a_list_that_a_rule_leads_to_later_is_asked_then() {
    if !needs(PACKAGES) {
        return;
    }
    let cat = "mgrpRFC822MailMember: cat@siroe.com";
    let lists = [
        list("open", cat),
        list("closed", &format!("{cat}\nmgrpAllowedBroadcaster: mailto:ann@siroe.com")),
    ];
    let slapd = Slapd::start(&tree(&lists));
    let settings = Settings::standalone()
        .edit("directory: Ldif()", &slapd.section("timeout: \"5s\""))
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
        .edit(
            "rewrite_rules: [",
            "rewrite_rules: [\n (\"old.test\", \"$U%siroe.com@reprocess-daemon\"),",
        );
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("bob@siroe.com", &["closed@old.test"], &message("m", 300)).expect(250);
    eventually("bob hears of it", MINUTE, || count(&instance, "bob") == 1);
    assert!(stored(&instance, "bob")[0].contains("5.7.2"), "{:?}", stored(&instance, "bob"));
    assert_eq!(count(&instance, "cat"), 0);
    client.message("ann@siroe.com", &["closed@old.test"], &message("n", 300)).expect(250);
    client.message("bob@siroe.com", &["open@old.test"], &message("o", 300)).expect(250);
    eventually("the others arrive", MINUTE, || count(&instance, "cat") == 2);
}

#[test]
fn members_come_by_search_and_circles_end() {
    if !needs(PACKAGES) {
        return;
    }
    let search = |filter: &str| format!("memberURL: ldap:///{PEOPLE}??sub?{filter}");
    let lists = [
        list("paris", &search("(l=paris)")),
        list("all", &search("(%26(objectClass=inetMailUser)(mail=*))")),
        list("none", &search("(l=oslo)")),
        list(
            "gone",
            "memberURL: ldap:///ou=gone,dc=siroe,dc=com??sub?(l=paris)\nmgrpRFC822MailMember: cat@siroe.com",
        ),
        // By name, by address and by search, round in a circle, with a member in each.
        list("a", &format!("uniqueMember: cn=b,{PEOPLE}\nmgrpRFC822MailMember: ann@siroe.com")),
        list("b", "mgrpRFC822MailMember: c@siroe.com\nmgrpRFC822MailMember: bob@siroe.com"),
        list("c", &format!("{}\nmgrpRFC822MailMember: cat@siroe.com", search("(cn=a)"))),
        list("round", &search("(cn=round)")),
        list(
            "stale",
            &format!("uniqueMember: uid=left,{PEOPLE}\nmgrpRFC822MailMember: cat@siroe.com"),
        ),
    ];
    let slapd = Slapd::start(&tree(&lists));
    let instance = instance(&slapd);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    for (to, want) in [("none", "550 5.1.1"), ("gone", "451"), ("round", "554 5.4.6")] {
        let got = asked(&mut client, "ann@siroe.com", to);
        assert!(got.starts_with(want), "{to}: {got}");
    }
    client.ask("RSET").expect(250);
    let mut sent = [0; 3];
    let rows = [("paris", [1, 1, 0]), ("all", [1, 1, 1]), ("a", [1, 1, 1]), ("stale", [0, 0, 1])];
    for (to, gets) in rows {
        let to = format!("{to}@siroe.com");
        client.message("ann@siroe.com", &[&to], &message("m", 300)).expect(250);
        for (sent, gets) in sent.iter_mut().zip(gets) {
            *sent += gets;
        }
        let counts = || ["ann", "bob", "cat"].map(|uid| count(&instance, uid));
        eventually(&format!("{to} is delivered"), MINUTE, || {
            counts() == sent && instance.queue().is_empty()
        });
    }
    // The sender of the last one is ann: she hears nothing of an entry that is gone, the log does, and
    // not with each message.
    for detail in 0..3 {
        let to = format!("stale+{detail}@siroe.com");
        client.message("ann@siroe.com", &[&to], &message("m", 300)).expect(250);
    }
    let log = instance.log();
    let told = log.lines().filter(|line| line.contains("are left out")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(log.contains("members lead nowhere") && log.contains("uid=left"), "{log}");
    assert!(stored(&instance, "ann").iter().all(|text| !text.contains("delivery-status")));
}

#[test]
fn no_part_of_a_list_is_delivered() {
    if !needs(PACKAGES) {
        return;
    }
    let url = format!("memberURL: ldap:///{PEOPLE}??sub?(l=paris)");
    let cat = "mgrpRFC822MailMember: cat@siroe.com";
    let lists = [
        list("l", &format!("{url}\n{cat}\nmgrpAllowedDomain: *.test")),
        list(
            "many",
            &format!("memberURL: ldap:///{PEOPLE}??sub?(objectClass=inetMailUser)\n{cat}"),
        ),
    ];
    // More than the server tells at once.
    let mut slapd = Slapd::start_with("sizelimit 2", &tree(&lists));
    let instance = instance(&slapd);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let cut = asked(&mut client, "x@y.test", "many");
    assert!(cut.starts_with("451"), "{cut}");
    assert!(instance.log().contains("sizeLimitExceeded"));
    // Domain and list are remembered when the server goes away; who is a member is asked anew.
    assert!(asked(&mut client, "x@y.test", "l").starts_with("250"));
    slapd.stop();
    let away = asked(&mut client, "z@y.test", "l");
    assert!(away.starts_with("451 4.4.3"), "{away}");
    slapd.start_again();
    client.ask("RSET").expect(250);
    eventually("the server is asked again", MINUTE, || {
        asked(&mut client, "z@y.test", "l").starts_with("250")
    });
    assert_eq!(["ann", "bob", "cat"].map(|uid| count(&instance, uid)), [0; 3]);
    client.ask("RSET").expect(250);
    client.message("z@y.test", &["l@siroe.com"], &message("m", 300)).expect(250);
    eventually("all have it", MINUTE, || {
        ["ann", "bob", "cat"].map(|uid| count(&instance, uid)) == [1; 3]
    });
}

/// More than a page, and more than one answer may have.
#[test]
fn a_search_that_finds_many_comes_in_pages() {
    if !needs(PACKAGES) {
        return;
    }
    let mut all = tree(&[list(
        "many",
        &format!("memberURL: ldap:///{PEOPLE}??sub?(%26(objectClass=inetMailUser)(l=Oslo))"),
    )]);
    for n in 0..1_234 {
        all += &user(&format!("u{n}"), "l: Oslo");
    }
    let slapd = Slapd::start_with("sizelimit unlimited", &all);
    let instance = instance(&slapd);
    let route = instance.relais("route", &["--json", "many@siroe.com"]);
    let text = String::from_utf8_lossy(&route.stdout).into_owned();
    let route: Value = serde_json::from_str(&text).expect("JSON");
    let results = route["results"].as_array().expect("results");
    assert_eq!(results.len(), 1_234);
}

#[test]
fn a_list_takes_no_larger_message_than_it_says() {
    if !needs(PACKAGES) {
        return;
    }
    let lists = [
        list("small", "mgrpRFC822MailMember: cat@siroe.com\nmgrpMsgMaxSize: 5000"),
        list("outer", "mgrpRFC822MailMember: bob@siroe.com\nmgrpRFC822MailMember: small@siroe.com"),
        list(
            "later",
            "mgrpRFC822MailMember: cat@siroe.com\nmgrpMsgMaxSize: 5000\nmailDeferProcessing: yes",
        ),
    ];
    let slapd = Slapd::start(&tree(&lists));
    let instance = instance(&slapd);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("EHLO client.example").expect(250);
    // A size that is announced is refused at once, one that is not behind the data.
    for name in ["small", "later"] {
        client.ask("RSET").expect(250);
        client.ask("MAIL FROM:<ann@siroe.com> SIZE=6000").expect(250);
        let reply = client.ask(&format!("RCPT TO:<{name}@siroe.com>"));
        assert!(reply.text.starts_with("552 5.2.3"), "{}", reply.text);
        client.ask("RSET").expect(250);
        let to = format!("{name}@siroe.com");
        client.message("ann@siroe.com", &[&to], &message("m", 6_000)).expect(552);
        client.message("ann@siroe.com", &[&to], &message("m", 3_000)).expect(250);
    }
    eventually("what is small enough comes", MINUTE, || count(&instance, "cat") == 2);
    // In another list it takes nothing from the others.
    client.message("ann@siroe.com", &["outer@siroe.com"], &message("m", 6_000)).expect(250);
    eventually("the sender hears of it", MINUTE, || count(&instance, "ann") == 1);
    assert!(stored(&instance, "ann")[0].contains("5.2.3"), "{:?}", stored(&instance, "ann"));
    assert_eq!((count(&instance, "bob"), count(&instance, "cat")), (1, 2));
}

#[test]
fn a_long_list_waits_for_the_reprocess_channel() {
    if !needs(PACKAGES) {
        return;
    }
    let members = "mgrpRFC822MailMember: ann@siroe.com\nmgrpRFC822MailMember: cat@siroe.com";
    let lists = [
        list("later", &format!("{members}\nmailDeferProcessing: yes\nmgrpAllowedDomain: y.test")),
        list("offline", &format!("{members}\nmailDeliveryOption: members_offline")),
        list(
            "login",
            &format!("{members}\nmailDeferProcessing: yes\nmgrpBroadcasterPolicy: AUTH_REQ"),
        ),
    ];
    let slapd = Slapd::start(&tree(&lists));
    let settings = Settings::standalone()
        .edit("directory: Ldif()", &slapd.section("timeout: \"5s\""))
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
        .edit("\"#&members=*\",", "\"#&members=*\", \"#&@members_offline=*\",")
        .channel("tcp_local", "sasl: (server: May, without_tls: true)");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    // Rules about who may post are asked while the client is there.
    assert!(asked(&mut client, "x@y.example", "later").starts_with("550 5.7.2"));
    assert!(asked(&mut client, "ann@siroe.com", "login").starts_with("550 5.7.2"));
    client.ask("RSET").expect(250);
    client.message("x@y.test", &["later@siroe.com"], &message("m", 300)).expect(250);
    client.message("x@y.test", &["offline@siroe.com"], &message("m", 300)).expect(250);
    // Nobody is asked about again, and so it is no loss that nobody knows who had logged in.
    log_in(&mut client, "cat");
    client.message("x@y.example", &["login@siroe.com"], &message("m", 300)).expect(250);
    eventually("both have all", MINUTE, || {
        count(&instance, "ann") == 3 && count(&instance, "cat") == 3
    });
    assert_eq!(instance.log().matches("routed anew").count(), 3);
    let route = instance.relais("route", &["--from", "x@y.test", "later@siroe.com"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(told.contains("later@siroe.com is looked up later, by channel reprocess"), "{told}");
}
