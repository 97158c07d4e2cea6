//! Addresses and headers beyond ASCII (RFC 6531 to 6533), with peers that know them and peers that do
//! not: Python's smtplib, Dovecot, Cyrus, `OpenLDAP`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Dovecot, ForeignStore, Imap, Instance, Ldif, Settings, Sink, Slapd, eventually,
    free_port, mailbox, needs, needs_root, python,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const CYRUS: &str = "/usr/lib/cyrus/bin/lmtpd";
const DOVECOT: &str = "/usr/lib/dovecot/lmtp";
/// The domain of [`users`], as DNS has it.
const IN_ASCII: &str = "xn--gre-6ka8l.test";
/// A message whose header is beyond ASCII.
const GREETING: &str = "From: jörg@grüße.test\r\nSubject: Grüße\r\nMessage-ID: <m@x>\r\n\r\nä\r\n";

/// jörg and ann of grüße.test, and the users of the sample.
fn users() -> Ldif {
    Ldif::file()
        .domain("grüße.test", "associatedDomain: straße.test")
        .user("jörg", "grüße.test", "mailHost: localhost\nmailAlternateAddress: chef@straße.test")
        .user("ann", "grüße.test", "mailHost: localhost")
        .domain("relais.example", "")
        .user("bob", "relais.example", "mailHost: localhost")
}

/// The sample, whose store makes whatever folders are named.
fn settings() -> Settings {
    Settings::standalone().edit("autocreate: Inbox", "autocreate: All")
}

/// Sends as Python's smtplib does when it is asked for SMTPUTF8, with a header beyond ASCII; the reply.
fn python_sends(port: u16, from: &str, to: &[&str]) -> String {
    let to: Vec<_> = to.iter().map(|to| format!("'{to}'")).collect();
    let to = to.join(", ");
    let script = format!(
        "import smtplib
s = smtplib.SMTP('127.0.0.1', {port}, timeout=60)
s.ehlo()
assert s.has_extn('smtputf8')
try:
    s.sendmail('{from}', [{to}], '{GREETING}'.encode(), mail_options=['SMTPUTF8', 'BODY=8BITMIME'])
    print('sent')
except smtplib.SMTPRecipientsRefused as refused:
    print(refused)
",
        GREETING = GREETING.replace("\r\n", "\\r\\n")
    );
    python(&script)
}

fn messages(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder.join("new")).into_iter().flatten().flatten();
    files.map(|file| fs::read_to_string(file.path()).expect("a message")).collect()
}

/// Asks for SMTPUTF8, and sends a message.
#[track_caller]
fn send(port: u16, from: &str, to: &[&str], content: &str) {
    let mut client = Dialogue::open(port);
    client.ask(&format!("MAIL FROM:<{from}> SMTPUTF8 BODY=8BITMIME")).expect(250);
    for to in to {
        client.ask(&format!("RCPT TO:<{to}>")).expect(250);
    }
    client.ask("DATA").expect(354);
    client.finish(content.as_bytes()).expect(250);
}

#[test]
fn mail_beyond_ascii_reaches_its_user_and_dovecot_serves_the_folder() {
    if !needs(&["/usr/bin/python3"]) {
        return;
    }
    let instance = users().instance(settings());
    let running = instance.start();
    let to = ["jörg+Grüße@grüße.test", "jo\u{308}rg@XN--GRE-6KA8L.test", "Jörg@gru\u{308}ße.test"];
    assert_eq!(python_sends(instance.settings.smtp, "søren@sender.test", &to), "sent\n");
    assert_eq!(python_sends(instance.settings.smtp, "a@b.test", &["chef@straße.test"]), "sent\n");
    assert!(
        python_sends(instance.settings.smtp, "a@b.test", &["jürg@grüße.test"]).contains("5.1.1")
    );
    let home = instance.store().join(IN_ASCII).join("jörg/Maildir");
    eventually("all are stored", PATIENCE, || {
        mailbox(&instance.store(), IN_ASCII, "jörg").len() == 2
            && messages(&home.join(".Gr&APwA3w-e")).len() == 1
    });
    // One mailbox, in whatever form its name was written.
    let homes: Vec<_> = fs::read_dir(instance.store().join(IN_ASCII)).unwrap().flatten().collect();
    assert_eq!(homes.len(), 1, "{homes:?}");
    let [message] = messages(&home.join(".Gr&APwA3w-e")).try_into().expect("one");
    let message: String = message;
    assert!(message.contains("Return-Path: <søren@sender.test>"), "{message}");
    assert!(message.contains("with UTF8SMTP id"), "{message}");
    assert!(message.replace("\r\n", "\n").ends_with(&GREETING.replace("\r\n", "\n")), "{message}");
    eventually("nothing waits", PATIENCE, || instance.queue().is_empty());
    // An operator names it either way.
    for address in ["jörg@grüße.test", "jo\u{308}rg@xn--gre-6ka8l.test"] {
        let route = &instance.json("route", &[address])[0];
        assert_eq!(route["accepted"], true, "{route}");
        assert_eq!(route["results"][0]["address"], format!("jörg@{IN_ASCII}"), "{route}");
        let domain = address.split_once('@').expect("a domain").1;
        let list = instance.relais("mailbox", &["list", "--domain", domain]);
        assert!(String::from_utf8_lossy(&list.stdout).contains("jörg"), "{list:?}");
    }
    if !needs(&["/usr/sbin/dovecot"]) {
        return;
    }
    drop(running);
    let dovecot = Dovecot::over(&instance.store());
    let user = format!("jörg@{IN_ASCII}");
    let mut imap = Imap::log_in(dovecot.port, &format!("{{{}+}}\r\n{user}", user.len()));
    assert_eq!(imap.messages("INBOX"), 2);
    assert_eq!(imap.messages("Gr&APwA3w-e"), 1);
    let folders = imap.ask("LIST \"\" *").join("\n");
    assert!(folders.contains("Gr&APwA3w-e"), "{folders}");
    let shown = imap.ask("SELECT Gr&APwA3w-e").len();
    assert!(shown > 0);
    let body = imap.ask("FETCH 1 BODY[]").join("\n");
    assert!(body.contains("Subject: Grüße"), "{body}");
}

#[test]
fn hostile_addresses_are_refused_in_linear_time() {
    let instance =
        users().instance(Settings::standalone().channel("tcp_local", "asterisk_8bit: false"));
    let running = instance.start();
    for port in [instance.settings.smtp, instance.settings.lmtp] {
        let hello = if port == instance.settings.smtp { "EHLO x" } else { "LHLO x" };
        let (mut client, _) = Dialogue::connect(port).expect("a connection");
        let offer = client.ask(hello);
        assert!(offer.text.contains("SMTPUTF8"), "{offer:?}");
        let mut ask = |command: &[u8], code: &str| {
            client.send(&[command, b"\r\n"].concat()).expect("it is sent");
            let reply = client.reply().expect("a reply");
            let text = reply.text.clone();
            assert!(text.starts_with(code), "{}: {text}", command.escape_ascii());
            assert!(text.is_ascii(), "{text}");
        };
        ask("MAIL FROM:<jörg@grüße.test>".as_bytes(), "553 5.6.7");
        ask(b"MAIL FROM:<\xff@x> SMTPUTF8", "553 5.6.7");
        ask(b"MAIL FROM:<\xc0\xaf@x> SMTPUTF8", "553 5.6.7");
        ask("MAIL FROM:<a\u{202e}b@x> SMTPUTF8".as_bytes(), "501 5.1.7");
        ask(b"MAIL FROM:<a@x> SMTPUTF8=1", "501 5.5.4");
        ask("MAIL FROM:<jörg@grüße.test> SMTPUTF8".as_bytes(), "250");
        ask(b"RCPT TO:<\xed\xa0\x80@x>", "553 5.6.7");
        ask("RCPT TO:<ö\0@x>".as_bytes(), "500 5.5.2");
        ask("RCPT TO:<a@-ü.test>".as_bytes(), "501 5.1.3");
        ask(format!("RCPT TO:<{}@x>", "ü".repeat(450)).as_bytes(), "501 5.1.3");
        drop(client);
        let (mut client, _) = Dialogue::connect(port).expect("a connection");
        client.ask(hello).expect(250);
        client.ask("MAIL FROM:<a@x> SMTPUTF8").expect(250);
        let begun = Instant::now();
        for bomb in ["ü.".repeat(290), "\u{fdfa}".repeat(290), "\u{1e9b}\u{323}".repeat(170)] {
            let reply = client.ask(&format!("RCPT TO:<a@{bomb}x>"));
            reply.expect(501);
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        client.ask("RSET").expect(250);
        client.ask("MAIL FROM:<a@x>").expect(250);
        client.ask("RCPT TO:<jörg@grüße.test>").expect(553);
        client.ask("QUIT").expect(221);
    }
    let log = instance.log();
    assert!(!log.contains(['\u{202e}', '\u{1b}']), "{log}");
    drop(running);
}

/// An engine whose users' mail goes to this server.
fn before(port: u16, fields: &str) -> Instance {
    let daemon = format!("daemon: \"[127.0.0.1]:{port}\", {fields}");
    let settings = Settings::standalone().edit("multigate: true,", &daemon);
    users().instance(settings)
}

#[test]
fn dovecot_and_cyrus_get_what_they_take_and_the_rest_bounces() {
    if !needs_root() || !needs(&[CYRUS, DOVECOT]) {
        return;
    }
    for store in [ForeignStore::dovecot(), ForeignStore::cyrus()] {
        let instance = before(store.port, "");
        let _running = instance.start();
        let (mut peer, _) = Dialogue::connect(store.port).expect("a connection");
        let offer = peer.ask("LHLO x").text;
        assert!(!offer.contains("SMTPUTF8"), "{}: {offer}", store.name);
        let content = "Subject: Grüße\r\nMessage-ID: <m@x>\r\n\r\nplain\r\n";
        send(
            instance.settings.smtp,
            "bob@relais.example",
            &["ann@grüße.test", "jörg@grüße.test"],
            content,
        );
        eventually("the message, and a notice about it", PATIENCE, || store.messages().len() == 2);
        let (notices, messages): (Vec<_>, Vec<_>) =
            store.messages().into_iter().partition(|text| text.contains("delivery-status"));
        let subject = "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=";
        assert!(messages[0].contains(subject), "{}: {}", store.name, messages[0]);
        let [notice] = notices.as_slice() else { panic!("{}: {notices:?}", store.name) };
        assert!(notice.contains("Status: 5.6.7"), "{notice}");
        assert!(notice.contains(subject) && !notice.contains("Grüße"), "{notice}");
        assert!(
            notice.contains("Final-Recipient: utf-8;j\\x{F6}rg@gr\\x{FC}\\x{DF}e.test"),
            "{notice}"
        );
        let words = notice.replace("\r\n", "\n").replace("=\n", "").replace("\n ", " ");
        assert!(words.contains("does not offer SMTPUTF8"), "{words}");
        // A sender beyond ASCII cannot be named to it at all.
        send(instance.settings.smtp, "søren@sender.test", &["ann@grüße.test"], content);
        eventually("nobody gets it", PATIENCE, || {
            instance.log().lines().any(|line| line.contains("5.6.7") && line.contains("søren"))
        });
        assert_eq!(store.messages().len(), 2, "{}", store.name);
    }
}

#[test]
fn another_server_is_asked_before_it_bounces() {
    let (deaf, ours) = (Sink::start(), Instance::new(Settings::store()));
    let _running_store = ours.start();
    let places = format!("[127.0.0.1]:{}, [127.0.0.1]:{}", deaf.port, ours.settings.lmtp);
    let settings = Settings::standalone()
        .edit("multigate: true,", &format!("daemon: \"{places}\", private: false,"));
    let instance = users().instance(settings);
    let _running = instance.start();
    let content = "Subject: x\r\nMessage-ID: <m@x>\r\n\r\nx\r\n";
    send(instance.settings.smtp, "søren@sender.test", &["jörg@grüße.test"], content);
    eventually("it is stored", PATIENCE, || mailbox(&ours.store(), IN_ASCII, "jörg").len() == 1);
    assert!(!instance.log().contains("5.6.7"), "{}", instance.log());
}

#[test]
fn a_header_that_a_server_does_not_take_bounces_where_it_may_not_be_converted() {
    let sink = Sink::start();
    sink.keep_contents();
    let instance = before(sink.port, "downgrade: Bounce,");
    let _running = instance.start();
    let smtp = instance.settings.smtp;
    send(
        smtp,
        "bob@relais.example",
        &["ann@grüße.test"],
        "Subject: Grüße\r\nMessage-ID: <m@x>\r\n\r\nx\r\n",
    );
    eventually("a notice", PATIENCE, || sink.total() == 1);
    let log = instance.log();
    let bounced = log.lines().find(|line| line.contains("does not offer SMTPUTF8"));
    assert!(bounced.is_some_and(|line| line.contains("the header")), "{log}");
}

#[test]
fn senders_beyond_ascii_are_told_in_global_notices() {
    let sink = Sink::start();
    sink.answer("RCPT TO:<x@one.test>", "550 5.1.1 niemand");
    let instance = users().instance(Settings::standalone().stores(sink.port));
    let _running = instance.start();
    let content = "Subject: Grüße\r\nMessage-ID: <m@x>\r\n\r\nä\r\n";
    send(instance.settings.smtp, "jörg@grüße.test", &["x@one.test"], content);
    let got = || mailbox(&instance.store(), IN_ASCII, "jörg");
    eventually("a notice", PATIENCE, || got().len() == 1);
    let notice = String::from_utf8(got().remove(0)).expect("UTF-8");
    // The sink knows no SMTPUTF8: this sender has no form for it.
    for part in [
        "To: <jörg@grüße.test>",
        "Content-Type: message/global-delivery-status",
        "Content-Type: message/global\r\n",
        "Status: 5.6.7",
        "Subject: Grüße",
        "Content-Transfer-Encoding: 8bit",
    ] {
        assert!(notice.contains(part), "{part}: {notice}");
    }
}

#[test]
fn operators_find_what_waits_by_either_spelling() {
    let dead = free_port();
    let instance = before(dead, "");
    let _running = instance.start();
    send(
        instance.settings.smtp,
        "søren@sender.test",
        &["jörg@grüße.test"],
        "Subject: x\r\n\r\nx\r\n",
    );
    eventually("it waits", PATIENCE, || {
        instance.queue().iter().any(|entry| entry["state"] == "delayed" || entry["attempts"] != 0)
    });
    let entry = &instance.queue()[0];
    assert_eq!(entry["sender"], "søren@sender.test");
    assert_eq!(entry["recipients"][0]["address"], "jörg@grüße.test");
    let id = entry["id"].as_str().expect("an id").to_owned();
    let found =
        |filter: &[&str]| -> Vec<Value> { instance.json("queue", &[&["list"], filter].concat()) };
    for filter in [
        ["--to", "jörg@grüße.test"],
        ["--to", "jo\u{308}rg@xn--gre-6ka8l.test"],
        ["--to", "@grüße.test"],
        ["--to", "@xn--gre-6ka8l.test"],
        ["--to", "~JÖRG"],
        ["--from", "so\u{338}ren@sender.test"],
        ["--from", "søren@sender.test"],
    ] {
        // U+0338 does not compose with an o: that is another name.
        let want = usize::from(!filter[1].contains('\u{338}'));
        assert_eq!(found(&filter).len(), want, "{filter:?}");
    }
    for command in [vec!["show", &id], vec!["why", &id], vec!["list"]] {
        let output = instance.relais("queue", &command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("jörg@grüße.test") || command == ["why", &id], "{command:?}: {text}");
    }
}

#[test]
fn a_configuration_names_domains_in_any_script() {
    let settings = Settings::standalone()
        .edit("default_domain: \"relais.example\"", "default_domain: \"grüße.test\"")
        .edit("rewrite_rules: [", "rewrite_rules: [(\"*.grüße.test\", \"$U%grüße.test\"),")
        .section("aliases: { \"chefin@grüße.test\": [\"jörg@grüße.test\"] }")
        .edit(
            "mappings: {",
            "mappings: {\n \"ORIG_SEND_ACCESS\": [(\"*|böse@grüße.test|*|*\", \"$NNein\")],",
        );
    let instance = users().instance(settings);
    let check = instance.relais("check", &[]);
    assert!(check.status.success(), "{check:?}");
    let config = instance.relais("config", &[]);
    assert!(
        String::from_utf8_lossy(&config.stdout).contains("default_domain: \"xn--gre-6ka8l.test\"")
    );
    let _running = instance.start();
    let rows = [
        "jörg",
        "jörg@a.grüße.test",
        "jörg@a.xn--gre-6ka8l.test",
        "chefin@xn--gre-6ka8l.test",
        "Chefin@grüße.test",
    ];
    for address in rows {
        let route = &instance.json("route", &[address])[0];
        assert_eq!(route["results"][0]["address"], "jörg", "{address}: {route}");
    }
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("EHLO x").expect(250);
    for sender in ["böse@grüße.test", "böse@xn--gre-6ka8l.test"] {
        client.ask(&format!("MAIL FROM:<{sender}> SMTPUTF8")).expect(250);
        client.ask("RCPT TO:<jörg@grüße.test>").expect(550);
        client.ask("RSET").expect(250);
    }
    let bad = Settings::standalone().edit("\"relais.example\"", "\"-ü.example\"");
    let check = Instance::new(bad).relais("check", &[]);
    assert!(!check.status.success(), "{check:?}");
}

#[test]
fn users_of_openldap_have_names_beyond_ascii() {
    if !needs(&[Slapd::PROGRAM]) {
        return;
    }
    // `mail` is an IA5 string there: addresses beyond ASCII stand in attributes of other syntaxes.
    let user = |uid: &str, own: &str, other: &str| {
        format!(
            "dn: uid={uid},o=grüße.test,dc=siroe,dc=com\nobjectClass: inetOrgPerson\n\
             objectClass: inetLocalMailRecipient\nobjectClass: inetMailUser\nuid: {uid}\n\
             cn: {uid}\nsn: {uid}\nmail: {own}@{IN_ASCII}\nmailAlternateAddress: {other}\n\
             mailHost: localhost\n"
        )
    };
    let tree = Ldif::slapd()
        .domain("grüße.test", "")
        .and(&user("jörg", "joerg", "jörg@grüße.test"))
        .and(&user("ann", "ann", "änn(*)@xn--gre-6ka8l.test"));
    let slapd = Slapd::start(tree.text());
    let settings = settings().edit("directory: Ldif()", &slapd.section("timeout: \"5s\""));
    let instance = Instance::new(settings);
    let _running = instance.start();
    for (address, uid) in [
        ("jörg@grüße.test", "jörg"),
        ("JÖRG@xn--gre-6ka8l.test", "jörg"),
        ("jo\u{308}rg@grüße.test", "jörg"),
        ("joerg@grüße.test", "jörg"),
        ("\"änn(*)\"@grüße.test", "ann"),
    ] {
        let route = &instance.json("route", &[address])[0];
        assert_eq!(
            route["results"][0]["address"],
            format!("{uid}@{IN_ASCII}"),
            "{address}: {route}"
        );
    }
    send(instance.settings.smtp, "a@b.test", &["jörg+Grüße@grüße.test"], GREETING);
    let folder = instance.store().join(IN_ASCII).join("jörg/Maildir/.Gr&APwA3w-e");
    eventually("it is stored", PATIENCE, || messages(&folder).len() == 1);
}

#[test]
fn lists_forwards_and_automatic_replies_know_them_too() {
    let away = "mailHost: localhost\nmailDeliveryOption: mailbox\nmailDeliveryOption: autoreply\n\
                mailAutoReplyText: Bin weg.";
    let on = "mailHost: localhost\nmailDeliveryOption: forward\n\
              mailForwardingAddress: ann@gru\u{308}ße.test";
    let member = format!("uniqueMember: {}", users().dn("jörg", "grüße.test"));
    let users = users().user("ärztin", "grüße.test", away).user("fürst", "grüße.test", on).group(
        "chör",
        "grüße.test",
        &format!("{member}\nmgrpRFC822MailMember: fürst@grüße.test"),
    );
    let option = "\"#*forward=**\",\n \"#*^!autoreply=$M+$D@bitbucket\",";
    let instance = users.instance(settings().edit("\"#*forward=**\",", option));
    let _running = instance.start();
    let has = |user: &str| mailbox(&instance.store(), IN_ASCII, user);
    let to_list = "To: chör@grüße.test\r\nSubject: Grüße\r\nMessage-ID: <l@x>\r\n\r\nx\r\n";
    send(instance.settings.smtp, "søren@sender.test", &["chör@grüße.test"], to_list);
    eventually("both members have it", PATIENCE, || {
        has("jörg").len() == 1 && has("ann").len() == 1
    });
    let forwarded = String::from_utf8(has("ann").remove(0)).expect("UTF-8");
    assert!(forwarded.contains("Subject: Grüße\r\n"), "{forwarded}");
    let to_her = "From: jörg@grüße.test\r\nTo: ärztin@gru\u{308}ße.test\r\nSubject: Grüße\r\n\
                  Message-ID: <a@x>\r\n\r\nx\r\n";
    send(instance.settings.smtp, "jörg@grüße.test", &["ärztin@grüße.test"], to_her);
    eventually("she has it, and a reply came", PATIENCE, || {
        has("ärztin").len() == 1 && has("jörg").len() == 2
    });
    let all = has("jörg").into_iter().map(|its| String::from_utf8(its).expect("UTF-8"));
    let reply = all.into_iter().find(|its| its.contains("Auto-Submitted")).expect("a reply");
    assert!(reply.contains("From: <ärztin@grüße.test>"), "{reply}");
    assert!(reply.contains("To: <jörg@grüße.test>"), "{reply}");
    eventually("nothing waits", PATIENCE, || instance.queue().is_empty());
}
