//! The store's replies for each recipient (table 16-1 of the original), each reached by its cause, and
//! relays that have to log in.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use relais_tests::{Dialogue, Instance, Settings, eventually, mailbox};

const TOO_LARGE: &str =
    "523 5.2.3 Message too large: it alone is more than the whole quota of this mailbox";
/// `secret`.
const PASSWORD: &str = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0";

fn lmtp(instance: &Instance) -> Dialogue {
    let (mut client, greeting) = Dialogue::connect(instance.settings.lmtp).expect("a connection");
    greeting.expect(220);
    client.ask("LHLO relay.test").expect(250);
    client
}

/// The reply for each recipient, to content as it stands.
fn deliver(client: &mut Dialogue, to: &[&str], content: &str) -> Vec<String> {
    client.begin("a@sender.test", to);
    let mut replies = vec![client.finish(content.as_bytes())];
    replies.extend(to[1..].iter().map(|_| client.reply().expect("a reply for each")));
    replies.into_iter().map(|reply| reply.text.trim_end().to_owned()).collect()
}

#[test]
fn every_row_of_table_16_1_has_its_cause() {
    let store = "autocreate: Inbox, quota_grace: \"2s\", \
                 default_quota: (size: \"4KiB\", messages: 2)";
    let instance = Instance::new(Settings::standalone().edit("autocreate: Inbox", store));
    let _running = instance.start();
    let at = |path: &str| instance.store().join("relais.example").join(path);
    fs::create_dir_all(at("bad/Maildir")).expect("room");
    fs::write(at("bad/Maildir/new"), "no directory").expect("room");
    fs::create_dir_all(at("other/mailboxes/INBOX")).expect("room");
    let mut client = lmtp(&instance);
    let text = "Subject: x\r\n\r\ntext\r\n";
    let large = format!("Subject: x\r\n\r\n{}", "0123456789\r\n".repeat(400));
    let twice = &["alice+x@relais.example", "bob"];
    let rows: &[(&[&str], &str, &[&str])] = &[
        (twice, text, &["250 2.5.0 alice+x@relais.example OK", "250 2.5.0 bob OK"]),
        (&["bad"], text, &["420 4.2.0 Mailbox Bad Formats"]),
        (&["other"], text, &["420 4.2.0 Mailbox not supported"]),
        (&["alice"], &large, &[TOO_LARGE]),
        (&["alice"], text, &["250 2.5.0 alice OK"]),
        (&["alice", "bob"], text, &["422 4.2.2 Quota Exceeded", "250 2.5.0 bob OK"]),
        (
            twice,
            "Subject: x\r\n\r\na\0b\r\n",
            &[
                "560 5.6.0 alice+x@relais.example message contains null",
                "560 5.6.0 bob message contains null",
            ],
        ),
        (
            twice,
            "Subject: x\r\n\r\na\nb\r\n",
            &[
                "560 5.6.0 alice+x@relais.example message contains nl",
                "560 5.6.0 bob message contains nl",
            ],
        ),
        (&["bob"], "Subject: x\r\n\r\na\rb\r\n", &["560 5.6.0 bob message contains nl"]),
        (&["bob"], "no header\r\n\r\ntext\r\n", &["560 5.6.0 bob message has bad header"]),
        (&["bob"], "Subject: x\r\ntext\r\n", &["560 5.6.0 bob message has no blank line"]),
        (&["carol"], "Subject: a header alone\r\n", &["250 2.5.0 carol OK"]),
        (&["carol"], "\r\na body alone\r\n", &["250 2.5.0 carol OK"]),
    ];
    for (to, content, want) in rows {
        assert_eq!(deliver(&mut client, to, content), *want, "{content:.40?}");
    }
    thread::sleep(Duration::from_millis(2_100));
    let replies = deliver(&mut client, &["alice", "bob"], text);
    assert_eq!(replies, ["522 5.2.2 Persistent Quota Exceeded", "422 4.2.2 Quota Exceeded"]);
    // Of the relay alone, it goes in.
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<alice> XDFLG=2").expect(250);
    client.ask("DATA").expect(354);
    client.finish(text.as_bytes()).expect_start("250 2.5.0 alice OK");
    // The same, and a folder that the relay knows of is made.
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<carol+Made> XDFLG=3").expect(250);
    client.ask("DATA").expect(354);
    client.finish(text.as_bytes()).expect_start("250 2.5.0 carol+Made OK");
    assert_eq!(fs::read_dir(at("carol/Maildir/.Made/new")).map_or(0, Iterator::count), 1);
    // No user of this name could be.
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<\"a/b\">").expect_start("511 5.1.1 mailbox nonexistent");
    client.ask("RSET").expect(250);
    // A size that was announced, and more came.
    client.ask("MAIL FROM:<a@sender.test> SIZE=5").expect(250);
    client.ask("RCPT TO:<carol>").expect(250);
    client.ask("DATA").expect(354);
    client.send(text.as_bytes()).expect("a connection");
    client.reply().expect("a reply").expect_start("500 message too big");
    assert!(client.is_closed());
}

#[test]
fn an_unknown_user_is_511_and_other_clients_mail_is_stored_as_it_is() {
    let settings = Settings::standalone()
        .edit("autocreate: Inbox", "autocreate: No")
        .edit("program: Lmtp, flagtransfer: true", "program: Lmtp");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let maildir = instance.store().join("relais.example/alice/Maildir");
    for sub in ["new", "cur", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).expect("room");
    }
    let (mut client, greeting) = Dialogue::connect(instance.settings.lmtp).expect("a connection");
    greeting.expect(220);
    let offer = client.ask("LHLO mta.test");
    offer.expect(250);
    assert!(offer.text.contains("CHUNKING") && !offer.text.contains("XDFLG"), "{offer:?}");
    let odd = "no header: x\r\nno blank line\r\n";
    let replies = deliver(&mut client, &["nobody", "alice"], odd);
    assert_eq!(replies, ["511 5.1.1 mailbox nonexistent", "250 2.5.0 alice OK"]);
    let stored = mailbox(&instance.store(), "relais.example", "alice").remove(0);
    assert!(stored.ends_with(odd.as_bytes()), "{}", stored.escape_ascii());
    // Nobody else says how to deliver.
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<alice+Made> XDFLG=3").expect(250);
    client.ask("DATA").expect(354);
    client.finish(odd.as_bytes()).expect_start("250 2.5.0 alice+Made OK");
    assert!(!maildir.join(".Made").exists());
    // Parameters of notices are taken and mean nothing here; chunks are answered one by one.
    client.ask("MAIL FROM:<a@sender.test> RET=HDRS ENVID=x BODY=8BITMIME").expect(250);
    client.ask("RCPT TO:<alice> NOTIFY=SUCCESS ORCPT=rfc822;a@b.test").expect(250);
    client.ask("RCPT TO:<nobody>").expect(250);
    client.send(b"BDAT 12\r\nSubject: x\r\n").expect("a connection");
    client.reply().expect("a reply").expect_start("250 2.0.0 12 octets");
    client.send(b"BDAT 8 LAST\r\n\r\ntext\r\n").expect("a connection");
    client.reply().expect("a reply").expect_start("250 2.5.0 alice OK");
    client.reply().expect("a reply").expect_start("511 5.1.1");
}

/// A relay of ours causes none of the refusals: what comes in by SMTP is mended before it is queued.
#[test]
fn a_message_without_a_blank_line_gets_one_on_its_way_in() {
    let settings = Settings::standalone();
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("EHLO mta.test").expect(250);
    let endless = "0123456789\r\n".repeat(200_000);
    let rows = [
        ("Subject: one\r\nno field\r\nX: y\r\n", "Subject: one\r\n\r\nno field\r\nX: y\r\n"),
        ("no field\r\n\r\ntwo\r\n", "\r\nno field\r\n\r\ntwo\r\n"),
        (" Subject: three\r\n\r\ntext\r\n", "\r\n Subject: three\r\n\r\ntext\r\n"),
        (
            "From a@b.test Mon Nov 30 00:00:00 2026\r\nSubject: four\r\n\r\ntext\r\n",
            "X-Mailbox-Line: From a@b.test Mon Nov 30 00:00:00 2026\r\nSubject: four\r\n\r\ntext\r\n",
        ),
        ("Subject: five\r\n", "Subject: five\r\n"),
        ("Subject : six\r\n folded\r\n\r\ntext\r\n", "Subject : six\r\n folded\r\n\r\ntext\r\n"),
        (&endless, &format!("\r\n{endless}")),
    ];
    for (n, (sent, want)) in rows.iter().enumerate() {
        client.message("a@sender.test", &["alice@relais.example"], sent.as_bytes()).expect(250);
        let stored = || mailbox(&instance.store(), "relais.example", "alice");
        eventually("the message arrives", Duration::from_secs(30), || stored().len() > n);
        // Our own lines end with the date of the relay's `Received`.
        let is_it = |message: &Vec<u8>| {
            let message = String::from_utf8_lossy(message);
            let (_, behind) = message.split_once("\tfor <").expect("a line of ours");
            let (_, content) = behind.split_once(" +0000\r\n").expect("its date");
            content == &**want
        };
        assert!(stored().iter().any(is_it), "{sent:.60?}");
    }
    let log = instance.log();
    assert_eq!(log.matches("a line of the header is none").count(), 5);
}

/// An engine whose store wants its relays to log in, on a port and a socket.
fn behind_a_login() -> Instance {
    let settings = Settings::standalone()
        .edit(
            "program: Lmtp, flagtransfer: true",
            "program: Lmtp, sasl: (server: Must, without_tls: true)",
        )
        .edit("directory: Ldif()", "directory: Ldif(file: \"users.ldif\")");
    let settings = settings.edit(
        "\"SMTP\": ",
        "\"UX\": (program: Lmtp, channel: \"tcp_lmtpss\", socket: \"lmtp.sock\"), \"SMTP\": ",
    );
    let settings =
        settings.edit("mappings: {", "mappings: { \"INTERNAL_IP\": [(\"127.0.0.2\", \"$Y\")],");
    let settings = settings.edit("|127.0.0.1|*\", \"$Y\"", "|127.0.0.*|*\", \"$Y\"");
    let instance = Instance::new(settings);
    let users = format!(
        "dn: o=relais.example\nobjectClass: sunManagedOrganization\n\
         sunPreferredDomain: relais.example\n\ndn: uid=relay,o=relais.example\n\
         objectClass: inetMailUser\nobjectClass: inetLocalMailRecipient\nuid: relay\n\
         mail: relay@relais.example\nmailHost: localhost\nuserPassword: {PASSWORD}\n"
    );
    fs::create_dir_all(instance.data()).expect("room");
    fs::write(instance.data().join("users.ldif"), users).expect("room");
    instance
}

#[test]
fn relays_log_in_unless_they_are_known_by_their_address_or_come_by_the_socket() {
    let instance = behind_a_login();
    let _running = instance.start();
    let (mut client, _) = Dialogue::connect(instance.settings.lmtp).expect("a connection");
    let offer = client.ask("LHLO relay.test");
    assert!(offer.text.contains("AUTH PLAIN LOGIN"), "{offer:?}");
    client.ask("MAIL FROM:<a@sender.test>").expect_start("530 5.7.0");
    client.ask("AUTH PLAIN AHJlbGF5AHdyb25n").expect_start("535 5.7.8");
    client.ask("MAIL FROM:<a@sender.test>").expect_start("530 5.7.0");
    client.ask("AUTH PLAIN AHJlbGF5AHNlY3JldA==").expect_start("235 2.7.0");
    let replies = deliver(&mut client, &["alice"], "Subject: x\r\n\r\ntext\r\n");
    assert_eq!(replies, ["250 2.5.0 alice OK"]);
    let stored = mailbox(&instance.store(), "relais.example", "alice").remove(0);
    assert!(String::from_utf8_lossy(&stored).contains("with LMTPA id"));

    let known = Dialogue::connect_from([127, 0, 0, 2], instance.settings.lmtp);
    let (mut client, _) = known.expect("a connection");
    client.ask("LHLO relay.test").expect(250);
    let replies = deliver(&mut client, &["alice"], "Subject: x\r\n\r\ntext\r\n");
    assert_eq!(replies, ["250 2.5.0 alice OK"]);

    let socket = UnixStream::connect(instance.data().join("lmtp.sock")).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    let mut socket = BufReader::new(socket);
    let mut last = |command: &str| {
        if !command.is_empty() {
            socket.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("a socket");
        }
        let (mut all, mut line) = (String::new(), String::new());
        while line.as_bytes().get(3) != Some(&b' ') {
            line.clear();
            socket.read_line(&mut line).expect("a reply");
            all.push_str(&line);
        }
        all
    };
    for (command, want) in [
        ("", "220"),
        ("LHLO mta.test", "250-AUTH EXTERNAL"),
        ("AUTH EXTERNAL =", "235 2.7.0"),
        ("MAIL FROM:<>", "250"),
        ("RCPT TO:<bob>", "250"),
        ("QUIT", "221"),
    ] {
        let reply = last(command);
        assert!(reply.contains(want), "{command}: {reply}");
    }
}
