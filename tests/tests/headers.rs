//! Headers of mail: addresses become others in their places, as the channel wants that the mail leaves
//! by, and nothing else of the message changes.

use std::time::Duration;

use relais_tests::{Dialogue, Instance, Ldif, Running, Settings, eventually, mailbox};

/// Addresses of one host are shown as those of the domain, but for mail to `inside.test`.
fn reversing(more: impl FnOnce(Settings) -> Settings) -> (Instance, Running) {
    let settings = Settings::standalone();
    let inside = format!(
        "(name: \"inside\", tag: \"inside-daemon\", program: Lmtp, daemon: \"[127.0.0.1]\", \
         port: {}, mx: NoDns, private: false, reverse: false, pool: \"SMTP_POOL\"),",
        settings.lmtp
    );
    let settings = settings
        .edit(
            "rewrite_rules: [",
            "rewrite_rules: [\n (\"inside.test\", \"$E$U%relais.example@inside-daemon\"),",
        )
        .edit("program: Local),", &format!("program: Local),\n        {inside}"))
        .edit(
            "mappings: {",
            "mappings: {\n \"REVERSE\": [(\"*@*.relais.example\", \"$0@relais.example$Y\")],",
        )
        .section("reverse: (database: {\"root@host7.relais.example\": \"admin@relais.example\"})");
    let instance = Instance::new(more(settings));
    let running = instance.start();
    (instance, running)
}

/// The stored message of a user without the lines that we put in front.
fn stored(instance: &Instance, user: &str) -> Vec<(String, String)> {
    let all = mailbox(&instance.store(), "relais.example", user).into_iter();
    all.map(|message| {
        let message = String::from_utf8_lossy(&message).into_owned();
        let (first, rest) = message.split_once("\r\n").expect("a line");
        let at = rest.find("X-Begin: ").expect("the message itself");
        (first.to_owned(), rest[at..].to_owned())
    })
    .collect()
}

fn one(instance: &Instance, user: &str) -> (String, String) {
    eventually("the message", PATIENCE, || stored(instance, user).len() == 1);
    stored(instance, user).remove(0)
}

const HEADER: &str = "X-Begin: carol@host7.relais.example\r\n\
    From: \"Carol (host7)\" <carol@host7.relais.example> (at carol@host7.relais.example)\r\n\
    To: Bob <bob@host7.relais.example>,\r\n\tTeam: root@host7.relais.example, x@else.test;\r\n\
    Subject: =?utf-8?q?caf=C3=A9?= carol@host7.relais.example\r\n";

#[test]
fn addresses_are_reversed_in_their_places_and_only_where_a_channel_wants_it() {
    let (instance, _running) = reversing(|settings| settings);
    let content = format!("{HEADER}\r\nFrom: carol@host7.relais.example\r\n.\r\n");
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["bob@relais.example", "alice@inside.test"];
    client.message("carol@host7.relais.example", &to, content.as_bytes()).expect(250);
    let outside = HEADER
        .replace("<carol@host7.relais.example>", "<carol@relais.example>")
        .replace("<bob@host7.relais.example>", "<bob@relais.example>")
        .replace("root@host7.relais.example", "admin@relais.example");
    let want = format!("{outside}\r\nFrom: carol@host7.relais.example\r\n.\r\n");
    let (return_path, got) = one(&instance, "bob");
    assert_eq!(return_path, "Return-Path: <carol@relais.example>");
    assert_eq!(got, want);
    let (return_path, got) = one(&instance, "alice");
    assert_eq!(return_path, "Return-Path: <carol@host7.relais.example>");
    assert_eq!(got, content);
}

#[test]
fn signed_mail_is_left_alone_unless_its_channel_says_otherwise() {
    let (instance, _running) = reversing(|settings| settings);
    let content = format!("{HEADER}DKIM-Signature: v=1; a=x\r\n\r\nx\r\n");
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["bob@relais.example"];
    client.message("carol@host7.relais.example", &to, content.as_bytes()).expect(250);
    let (return_path, got) = one(&instance, "bob");
    assert_eq!(return_path, "Return-Path: <carol@relais.example>");
    assert_eq!(got, content);
    let route = instance.relais("route", &["--header", "carol@host7.relais.example"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    for want in [
        "tcp_lmtpss, process, reprocess, hold, bitbucket: addresses are reversed; those of signed mail are left alone",
        "headers of mail for inside: addresses are left as they are",
        "reversed by REVERSE: carol@relais.example",
        "no header is refused for such an address",
    ] {
        assert!(told.contains(want), "{want}: {told}");
    }
    let route = instance.relais("route", &["--header", "root@host7.relais.example"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(told.contains("reversed by the reverse database: admin@relais.example"), "{told}");

    let (instance, _running) =
        reversing(|settings| settings.channel("tcp_lmtpcs", "rewrite_signed: true"));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("carol@host7.relais.example", &to, content.as_bytes()).expect(250);
    assert!(one(&instance, "bob").1.contains("<carol@relais.example>"));
}

#[test]
fn rules_see_header_addresses_where_a_channel_asks_and_within_messages_where_it_asks_for_that() {
    let (instance, _running) = reversing(|settings| {
        settings.channel("tcp_lmtpcs", "header_rules: true, inner: true").edit(
            "rewrite_rules: [",
            "rewrite_rules: [\n (\"old.test\", \"$B$R$U%new.test@localhost\"),",
        )
    });
    let within = "From: carol@old.test\r\nTo: carol@old.test\r\n\r\nFrom: carol@old.test\r\n";
    let content = |header: &str, within: &str| {
        format!(
            "X-Begin: y\r\n{header}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Type: message/rfc822\r\n\r\n{within}--b--\r\n"
        )
    };
    let header = "From: carol@old.test\r\nTo: dave@old.test\r\n";
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["bob@relais.example", "alice@inside.test"];
    let sent = content(header, within);
    client.message("carol@old.test", &to, sent.as_bytes()).expect(250);
    let new = |text: &str| text.replacen("From: carol@old", "From: carol@new", 1);
    let (return_path, got) = one(&instance, "bob");
    assert_eq!(return_path, "Return-Path: <carol@old.test>", "it is no header address");
    assert_eq!(got, content(&new(header), &new(within)));
    assert_eq!(one(&instance, "alice").1, sent);
}

/// Each address may be a look-up: however many messages are within, they are as many as of one header.
#[test]
fn addresses_of_all_headers_of_a_message_are_counted_together() {
    let (instance, _running) = reversing(|settings| settings.channel("tcp_lmtpcs", "inner: true"));
    let part = |user: &str| {
        let to = format!("{user}@host7.relais.example,\r\n ").repeat(900);
        format!("--b\r\nContent-Type: message/rfc822\r\n\r\nTo: {to}\r\n\r\nx\r\n")
    };
    let content = format!(
        "X-Begin: y\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{}{}{}--b--\r\n",
        part("u"),
        part("v"),
        part("w")
    );
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.test", &["bob@relais.example"], content.as_bytes()).expect(250);
    let (_, got) = one(&instance, "bob");
    let counts = ["u@r", "v@r", "w@r"].map(|user| got.matches(user).count());
    assert_eq!(counts, [900, 900, 0]);
    assert!(instance.log().contains("more than 2000 addresses"));
}

#[test]
fn a_message_in_a_file_of_its_own_has_as_many_forms_as_one_in_memory() {
    let (instance, _running) = reversing(|settings| {
        settings.channel("tcp_lmtpcs", "inner: true").section("spool: (large_message: \"64KiB\")")
    });
    let body = "a line of text that is repeated\r\n".repeat(20_000);
    let content = format!(
        "{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n{body}--b\r\n\
         Content-Type: message/rfc822\r\n\r\nFrom: carol@host7.relais.example\r\n\r\n{body}--b--\r\n"
    );
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["bob@relais.example", "alice@inside.test"];
    client.message("carol@host7.relais.example", &to, content.as_bytes()).expect(250);
    let (_, got) = one(&instance, "bob");
    // Four hosts less, and a longer name.
    assert_eq!(got.len(), content.len() - 4 * "host7.".len() + 1);
    assert!(got.contains("rfc822\r\n\r\nFrom: carol@relais.example\r\n"));
    assert_eq!(one(&instance, "alice").1, content);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
}

#[test]
fn octets_above_127_become_asterisks_in_local_parts_and_received_lines_alone() {
    let ask = |client: &mut Dialogue, command: &[u8]| {
        client.send(command).expect("it is sent");
        client.reply().expect("a reply")
    };
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    ask(&mut client, b"MAIL FROM:<jos\xe9@sender.test>\r\n").expect(250);
    let refused = ask(&mut client, b"RCPT TO:<bo\xc3\xa9@relais.example>\r\n");
    refused.expect(550);
    eventually("a line about it", PATIENCE, || instance.log().contains("bo**@relais.example"));
    client.ask("RCPT TO:<bob@relais.example>").expect(250);
    client.ask("DATA").expect(354);
    let content = b"Received: from \xe9 by x; now\r\nX-Begin: \xe9\r\n\r\n\xe9\r\n";
    client.finish(content).expect(250);
    let get = |instance: &Instance| mailbox(&instance.store(), "relais.example", "bob");
    eventually("the message", PATIENCE, || get(&instance).len() == 1);
    let got = get(&instance).remove(0);
    assert!(got.starts_with(b"Return-Path: <jos*@sender.test>\r\n"), "{}", got.escape_ascii());
    let want = b"Received: from * by x; now\r\nX-Begin: \xe9\r\n\r\n\xe9\r\n";
    assert!(got.ends_with(want), "{}", got.escape_ascii());

    let instance =
        Instance::new(Settings::standalone().channel("tcp_local", "asterisk_8bit: false"));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    ask(&mut client, b"MAIL FROM:<jos\xe9@sender.test>\r\n").expect(553);
    client.message("a@sender.test", &["bob@relais.example"], content).expect(250);
    eventually("the message", PATIENCE, || get(&instance).len() == 1);
    assert!(get(&instance).remove(0).ends_with(content));
}

#[test]
fn addresses_without_a_domain_get_one_where_the_source_channel_says_so() {
    let content =
        "X-Begin: y\r\nFrom: Carol <carol>\r\nTo: bob, alice@relais.example, Bob Foo\r\n\r\nx\r\n";
    // The setting, the sender's domain, that of the header
    let rows = [
        ("remotehost: true", Some("client.test"), "client.test"),
        ("defaulthost: \"named.test\"", None, "named.test"),
        ("remotehost: true, defaulthost: \"named.test\"", Some("client.test"), "client.test"),
    ];
    for (setting, sender, domain) in rows {
        let instance = Instance::new(Settings::standalone().channel("tcp_local", setting));
        let _running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        let bare = client.ask("MAIL FROM:<carol>");
        bare.expect(if sender.is_some() { 250 } else { 501 });
        if sender.is_none() {
            client.ask("MAIL FROM:<carol@sender.test>").expect(250);
        }
        client.ask("RCPT TO:<bob@relais.example>").expect(250);
        client.ask("DATA").expect(354);
        client.finish(content.as_bytes()).expect(250);
        let (return_path, got) = one(&instance, "bob");
        let sender = sender.unwrap_or("sender.test");
        assert_eq!(return_path, format!("Return-Path: <carol@{sender}>"));
        let want = content
            .replace("<carol>", &format!("<carol@{domain}>"))
            .replace("To: bob,", &format!("To: bob@{domain},"));
        assert_eq!(got, want, "{setting}");
    }
}

#[test]
fn a_lists_mail_gets_and_loses_header_lines_and_nobody_gets_two_copies() {
    let users = ["alice", "bob", "carol", "dave"];
    let entries = users
        .iter()
        .fold(Ldif::file().domain("relais.example", ""), |entries, uid| {
            entries.user(uid, "relais.example", "mailHost: localhost")
        })
        .group(
            "team",
            "relais.example",
            "mgrpAddHeader: List-Id: <team.relais.example>\nmgrpAddHeader: Received: forged\n\
             mgrpRemoveHeader: Reply-To\nmgrpRFC822MailMember: alice@relais.example\n\
             mgrpRFC822MailMember: inner@relais.example",
        )
        .group(
            "inner",
            "relais.example",
            "mgrpAddHeader: X-Inner: yes\nmgrpRFC822MailMember: bob@relais.example\n\
             mgrpRFC822MailMember: carol@relais.example",
        );
    let instance =
        entries.instance(Settings::standalone().section("spool: (large_message: \"64KiB\")"));
    let _running = instance.start();
    let list_id = "List-Id: <team.relais.example>\r\n";
    for (n, body) in ["x\r\n".to_owned(), "a line of text\r\n".repeat(10_000)].iter().enumerate() {
        let content = |before: &str, reply: &str| {
            format!(
                "{before}X-Begin: y\r\n{reply}Subject: reply-to: z\r\n\r\nReply-To: w\r\n{body}"
            )
        };
        let reply = "Reply-To: a@b.test,\r\n c@d.test\r\n";
        let mut client = Dialogue::open(instance.settings.smtp);
        let to = ["carol@relais.example", "team@relais.example", "dave@relais.example"];
        client.message("a@b.test", &to, content("", reply).as_bytes()).expect(250);
        let rows = [
            ("alice", content(list_id, "")),
            ("bob", content(&format!("{list_id}X-Inner: yes\r\n"), "")),
            ("carol", content("", reply)),
            ("dave", content("", reply)),
        ];
        for (user, want) in rows {
            let all = || mailbox(&instance.store(), "relais.example", user);
            eventually("one copy", PATIENCE, || all().len() == n + 1);
            let is_it = |message: &Vec<u8>| {
                let text = String::from_utf8_lossy(message).into_owned();
                let own = text.find(" +0000\r\n").map_or(0, |at| at + 8);
                text[own..] == want
            };
            assert!(all().iter().any(is_it), "{user}: {want:.300}");
        }
        eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    }
    let told = instance.relais("route", &["team@relais.example"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("+ List-Id: <team.relais.example>, - reply-to"), "{told}");
    assert!(told.contains("Received: forged"), "what does not count is told: {told}");
}

#[test]
fn recipients_are_forwarded_by_address() {
    let instance = Instance::new(
        Settings::standalone()
            .edit(
                "mappings: {",
                "mappings: {\n \"FORWARD\": [(\"*@old.relais.example\", \"$0@relais.example$Y\")],",
            )
            .edit(
                "rewrite_rules: [",
                "rewrite_rules: [\n (\"old.relais.example\", \"$U%$D@process-daemon\"),",
            )
            .section(
                "forward: (database: {\"gone@relais.example\": \"Bob@relais.example\", \
                 \"a@old.relais.example\": \"b@old.relais.example\"})",
            ),
    );
    let _running = instance.start();
    let route = |address: &str| {
        let told = instance.json("route", &[address]).remove(0);
        told["results"].as_array().map_or(0, Vec::len).to_string()
            + " "
            + told["results"][0]["address"].as_str().unwrap_or("")
    };
    assert_eq!(route("gone@relais.example"), "1 bob");
    assert_eq!(route("bob@old.relais.example"), "1 bob");
    assert_eq!(route("alice@relais.example"), "1 alice");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.test", &["gone@relais.example"], b"X-Begin: y\r\n\r\n").expect(250);
    one(&instance, "bob");
}

#[test]
fn recipients_are_forwarded_by_who_sends_to_them() {
    let instance = Instance::new(Settings::standalone().section(
        "forward: (senders: true, database: {\"tcp_local|carol@a.test|gone@relais.example\": \
         \"bob@relais.example\"})",
    ));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    for (sender, code) in [("dave@a.test", 550), ("carol@a.test", 250), ("dave@a.test", 550)] {
        client.ask(&format!("MAIL FROM:<{sender}>")).expect(250);
        client.ask("RCPT TO:<gone@relais.example>").expect(code);
        client.ask("RSET").expect(250);
    }
    client.message("carol@a.test", &["gone@relais.example"], b"X-Begin: y\r\n\r\n").expect(250);
    one(&instance, "bob");
}

const PATIENCE: Duration = Duration::from_secs(30);
