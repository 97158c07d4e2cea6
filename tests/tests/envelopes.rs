//! Envelopes as real clients write them: taken as others take them, sent on as the RFCs want them;
//! and what is no mail at all.

use std::time::Duration;

use relais_tests::{
    Dialogue, Instance, Notice, Running, Settings, Sink, eventually, mailbox, message, within,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Clients are vouched for; mail for one.test goes to the sink, which wants its addresses as RFC 5321
/// writes them, as does our own store.
fn strict_neighbours(sink: &Sink) -> Settings {
    for odd in ["<a..b@", "<.c@", "<abc.@", "<.bad@"] {
        sink.answer(odd, "501 5.1.3 not as RFC 5321 has it");
    }
    Settings::standalone().stores(sink.port).channel("tcp_lmtpss", "strict_envelopes: true")
}

fn start(settings: Settings) -> (Instance, Running) {
    let instance = Instance::new(settings);
    let running = instance.start();
    (instance, running)
}

fn delivered(instance: &Instance) {
    eventually("the queue is empty", LIMIT, || instance.queue().is_empty());
}

fn inbox(instance: &Instance, user: &str) -> Vec<String> {
    let messages = mailbox(&instance.store(), "relais.example", user);
    messages.iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect()
}

#[test]
fn odd_addresses_are_taken_and_go_out_as_rfc_5321_writes_them() {
    let sink = Sink::start();
    let (instance, running) = start(strict_neighbours(&sink));
    assert!(instance.relais("channel", &["stop", "stores"]).status.success());
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:a..b@one.test ENVID=x+2by RET=HDRS").expect(250);
    for to in
        ["<.c@one.test> ORCPT=rfc822;.c+40one.test", "abc.@one.test", "<alice@relais.example>"]
    {
        client.ask(&format!("RCPT TO:{to}")).expect(250);
    }
    client.ask("DATA").expect(354);
    client.finish(&message("odd", 500)).expect(250);
    // Through the spool, too; alice's copy is on its way by another channel, and a kill there may double it.
    eventually("alice's copy is there", LIMIT, || instance.queue().len() == 1);
    running.kill();
    let _running = instance.start();
    assert!(instance.relais("channel", &["start", "stores"]).status.success());
    delivered(&instance);
    assert_eq!(sink.total(), 1, "one message for both: {:?}", sink.order());
    let stored = inbox(&instance, "alice");
    assert_eq!(stored.len(), 1);
    assert!(stored[0].starts_with("Return-Path: <\"a..b\"@one.test>\r\n"), "{}", stored[0]);

    // A notice for an odd recipient can be read by others, and one to an odd sender arrives.
    sink.answer("<\".bad\"@one.test>", "550 5.1.1 no such user");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("bob@relais.example", &[".bad@one.test"], &message("bad", 500)).expect(250);
    client.message("a..b@one.test", &[".bad@one.test"], &message("bad2", 500)).expect(250);
    eventually("a notice", LIMIT, || inbox(&instance, "bob").len() == 1 && sink.total() == 2);
    let raw = mailbox(&instance.store(), "relais.example", "bob").remove(0);
    let body = raw.split(|c| *c == b'\n').skip(1).collect::<Vec<_>>().join(&b'\n');
    let notice = Notice::read(&body);
    let recipient = &notice.recipients()[0];
    assert_eq!(recipient.get("Final-Recipient"), Some("rfc822;\".bad\"@one.test"));
}

#[test]
fn an_odd_address_in_a_forward_is_followed() {
    let sink = Sink::start();
    let settings = strict_neighbours(&sink)
        .edit("directory: Ldif()", "directory: Ldif(file: \"people.ldif\")");
    let instance = Instance::new(settings);
    std::fs::create_dir_all(instance.data()).unwrap();
    let ldif = "dn: o=relais.example,dc=example\nobjectClass: sunManagedOrganization\nobjectClass: mailDomain\n\
                sunPreferredDomain: relais.example\nmailDomainStatus: active\n\n\
                dn: uid=carol,o=relais.example,dc=example\nobjectClass: inetMailUser\nuid: carol\n\
                mail: carol@relais.example\nmailUserStatus: active\nmailDeliveryOption: forward\n\
                mailForwardingAddress: a..b@one.test\nmailForwardingAddress: .c@one.test\n\n\
                dn: uid=dd,o=relais.example,dc=example\nobjectClass: inetMailUser\nuid: dd\n\
                mail: d..d@relais.example\nmailUserStatus: active\nmailHost: localhost\n\
                mailDeliveryOption: mailbox\n";
    std::fs::write(instance.data().join("people.ldif"), ldif).unwrap();
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["carol@relais.example", "d..d@relais.example", "\"d..d\"@relais.example"];
    client.message("ann@x.test", &to, &message("forward", 500)).expect(250);
    delivered(&instance);
    assert_eq!(sink.total(), 1, "{:?}", sink.order());
    assert_eq!(inbox(&instance, "dd").len(), 1, "both spellings are one mailbox");
}

#[test]
fn strict_envelopes_refuses_what_the_rfcs_do_not_allow() {
    let settings = Settings::standalone()
        .channel("tcp_local", "strict_envelopes: true, forbid_unauth_pipelining: false");
    let (instance, _running) = start(settings);
    let mut client = Dialogue::open(instance.settings.smtp);
    for from in
        ["a@x.test", "<a..b@x.test>", "<.a@x.test>", "<abc.@x.test>", "<a@x.test> ENVID=a+2b"]
    {
        let class = if from.contains("ENVID") { "501 5.5.4" } else { "501 5.1.7" };
        client.ask(&format!("MAIL FROM:{from}")).expect_start(class);
    }
    // Pipelining out of turn is allowed on this channel.
    client.send(b"NOOP\r\nRSET\r\nEHLO again\r\nMAIL FROM:<a@x.test>\r\n").unwrap();
    for _ in 0..4 {
        client.reply().unwrap().expect(250);
    }
}

#[test]
fn address_literals_are_read_and_our_own_has_a_postmaster() {
    let (instance, _running) = start(Settings::standalone());
    let mut client = Dialogue::open(instance.settings.smtp);
    for (domain, class) in
        [("[127.0.0.256]", "501 5.1.7"), ("[1.2.3]", "501 5.1.7"), ("[AA]", "501 5.1.7")]
    {
        client.ask(&format!("MAIL FROM:<a@{domain}>")).expect_start(class);
    }
    client.ask("MAIL FROM: BODY=7BIT").expect_start("501 5.1.7");
    client.ask("MAIL FROM:<a@[ipv6:::1]>").expect(250);
    for (to, class) in [
        (" NOTIFY=NEVER", "501 5.1.3"),
        ("<a@[1.2.3]>", "501 5.1.3"),
        ("<alice@[192.0.2.9]>", "550 "),
        ("<postmaster@[192.0.2.9]>", "550 "),
        ("<Postmaster@[127.0.0.1]>", "250 "),
    ] {
        client.ask(&format!("RCPT TO:{to}")).expect_start(class);
    }
    client.ask("DATA").expect(354);
    client.finish(&message("literal", 500)).expect(250);
    client.ask("EHLO    blanks.test").expect(250);
    client.message("a@x.test", &["bob@relais.example"], &message("blanks", 500)).expect(250);
    delivered(&instance);
    assert_eq!(inbox(&instance, "alice").len(), 1, "alice is postmaster");
    assert!(inbox(&instance, "bob")[0].contains("Received: from blanks.test ("));
}

#[test]
fn a_sender_without_a_domain_is_ours_when_the_client_is() {
    let (instance, running) = start(Settings::standalone());
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<root>").expect_start("501 5.1.7 the sender address has no domain");
    client.ask("MAIL FROM:root").expect_start("501 5.1.7");
    client.ask("MAIL FROM:<>").expect(250);
    assert!(instance.log().contains("the sender address has no domain"), "it is logged");
    running.kill();

    let sink = Sink::start();
    let (instance, _running) = start(Settings::standalone().stores(sink.port));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("root", &["alice@relais.example"], &message("cron", 500)).expect(250);
    delivered(&instance);
    assert!(inbox(&instance, "alice")[0].starts_with("Return-Path: <root@relais.example>\r\n"));
}

#[test]
fn http_and_commands_out_of_turn_end_the_session_and_deliver_nothing() {
    let (instance, _running) = start(Settings::standalone());
    let mail = "EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<alice@relais.example>\r\nDATA\r\n\
                Subject: smuggled\r\n\r\nx\r\n.\r\nQUIT\r\n";
    for first in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "CONNECT x:25 HTTP/1.0\r\n\r\n",
        "Subject: x\r\n",
        "",
    ] {
        let (mut client, _) = Dialogue::connect(instance.settings.smtp).unwrap();
        client.send(format!("{first}{mail}").as_bytes()).unwrap();
        let start =
            if first.is_empty() { "554 5.5.0" } else { "500 5.5.1 this is no mail command" };
        client.reply().unwrap().expect_start(start);
        assert!(client.is_closed(), "{first}");
    }
    let mut lmtp = Dialogue::connect(instance.settings.lmtp).unwrap().0;
    lmtp.send(b"LHLO x\r\nMAIL FROM:<a@x.test>\r\n").unwrap();
    lmtp.reply().unwrap().expect_start("554 5.5.0");
    assert!(lmtp.is_closed());
    // A client that was offered pipelining may pipeline.
    let mut client = Dialogue::open(instance.settings.smtp);
    client.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<alice@relais.example>\r\nDATA\r\n").unwrap();
    for code in [250, 250, 354] {
        client.reply().unwrap().expect(code);
    }
    client
        .send(b"Subject: legal\r\n\r\nx\r\n.\r\nMAIL FROM:<b@x.test>\r\nRSET\r\nQUIT\r\n")
        .unwrap();
    for code in [250, 250, 250, 221] {
        client.reply().unwrap().expect(code);
    }
    delivered(&instance);
    let stored = inbox(&instance, "alice");
    assert!(stored.len() == 1 && stored[0].contains("Subject: legal"), "{stored:?}");
    for why in ["that was no mail command", "commands before the reply to the last one"] {
        let why = format!("dismissed: {why}");
        assert!(within(LIMIT, || instance.log().contains(&why)), "{}", instance.log());
    }
}

#[test]
fn recipients_without_end_and_no_message_are_cut_off_with_the_reason() {
    let settings = Settings::standalone()
        .channel("tcp_local", "recipientlimit: 50, disconnectcommandlimit: 100000");
    let (instance, _running) = start(settings);
    let mut client = Dialogue::open(instance.settings.smtp);
    let mut accepted = 0;
    let last = 'ends: loop {
        let reply = client.ask("MAIL FROM:<a@x.test>");
        if reply.code != 250 {
            break reply;
        }
        for _ in 0..10 {
            let reply = client.ask(&format!("RCPT TO:<alice+{accepted}@relais.example>"));
            if reply.code != 250 {
                break 'ends reply;
            }
            accepted += 1;
        }
        let reply = client.ask("RSET");
        if reply.code != 250 {
            break reply;
        }
        assert!(accepted < 1_000, "without end");
    };
    last.expect_start("421 4.7.0").expect(421);
    assert!(last.text.contains("too many recipients and no message"), "{}", last.text);
    assert!((50..=60).contains(&accepted), "{accepted}");
    assert!(client.is_closed());
    drop(client);
    let log = || instance.log().contains("recipients without end, no message");
    assert!(within(LIMIT, log), "the reason is logged");
}

#[test]
fn a_message_that_is_refused_is_logged_and_counted_with_the_peer() {
    let settings =
        Settings::standalone().channel("tcp_local", "sourceblocklimit: \"2kB\", max_line: 1000");
    let (instance, _running) = start(settings);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<big@x.test> SIZE=5000").expect_start("552 5.3.4");
    let to = ["alice@relais.example"];
    client.message("large@x.test", &to, &message("large", 3_000)).expect_start("552 5.3.4");
    client.begin("bare@x.test", &to);
    client.send(b"Subject: x\n\nbare\r\n.\r\n").unwrap();
    client.reply().unwrap().expect_start("550 5.6.11");
    let line_too_long = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(1_200));
    client.message("long@x.test", &to, line_too_long.as_bytes()).expect(550);
    let rejected = || {
        let counters = instance.json("counters", &[]).remove(0);
        counters["tcp_local"]["rejected"]["messages"].as_u64()
    };
    assert!(within(LIMIT, || rejected() == Some(4)), "{:?}", rejected());
    let mut lmtp = Dialogue::connect(instance.settings.lmtp).unwrap().0;
    lmtp.ask("LHLO client.test").expect(250);
    lmtp.ask("MAIL FROM:<vast@x.test> SIZE=99999999999").expect_start("552 5.3.4");
    lmtp.begin("lmtp@x.test", &to);
    lmtp.send(b"Subject: x\n\nbare\r\n.\r\n").unwrap();
    lmtp.reply().unwrap().expect_start("560 5.6.0");
    // One for each recipient, and the session goes on.
    lmtp.begin("both@x.test", &["alice@relais.example", "bob@relais.example"]);
    lmtp.send(b"Subject: x\r\n\r\nbare\rhere\r\n.\r\n").unwrap();
    for _ in 0..2 {
        lmtp.reply().unwrap().expect_start("560 5.6.0");
    }
    lmtp.ask("NOOP").expect(250);
    let log = instance.log();
    let both = "<alice@relais.example>,<bob@relais.example>";
    for (sender, to) in [
        ("big", ""),
        ("large", "<alice@relais.example>"),
        ("bare", "<alice@relais.example>"),
        ("long", "<alice@relais.example>"),
        ("vast", ""),
        ("lmtp", "<alice@relais.example>"),
        ("both", both),
    ] {
        let sender = format!("{sender}@x.test");
        let line =
            log.lines().find(|line| line.contains(&sender)).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("client.test [127.0.0.1]"), "{line}");
        assert!(line.contains(&format!("\"to\":\"{to}\"")), "whose mail it was: {line}");
    }
}

#[test]
fn size_is_an_estimate_for_everybody_but_our_own_relays() {
    let port = relais_tests::free_port();
    let service = format!(
        "services: {{ \"OPEN\": (program: Lmtp, channel: \"open\", interface_address: \"127.0.0.1\", ports: [{port}]),"
    );
    let settings = Settings::standalone().edit("services: {", &service).edit(
        "program: Local),",
        "program: Local),\n (name: \"open\", tag: \"open-daemon\", program: Lmtp, sourceblocklimit: \"4kB\"),",
    );
    let (instance, _running) = start(settings);
    let content = message("more", 2_000);
    let send = |port, hello: &str, to: &str, size: usize| {
        let (mut client, _) = Dialogue::connect(port).unwrap();
        client.ask(hello).expect(250);
        client.ask(&format!("MAIL FROM:<a@x.test> SIZE={size}")).expect(250);
        client.ask(&format!("RCPT TO:<{to}>")).expect(250);
        client.ask("DATA").expect(354);
        let reply = client.finish(&content);
        (reply, client)
    };
    send(instance.settings.smtp, "EHLO c", "bob@relais.example", 1_000).0.expect(250);
    send(port, "LHLO c", "alice@relais.example", 1_000).0.expect(250);
    let (reply, mut client) = send(instance.settings.lmtp, "LHLO c", "alice@relais.example", 1_000);
    reply.expect_start("500 message too big");
    assert!(client.is_closed());
    // The configured limit counts, whatever was announced.
    let (mut client, _) = Dialogue::connect(port).unwrap();
    client.ask("LHLO c").expect(250);
    client
        .message("a@x.test", &["alice@relais.example"], &message("huge", 6_000))
        .expect_start("552");
    client.ask("MAIL FROM:<a@x.test> SIZE=9000").expect_start("552 5.3.4");
    delivered(&instance);
    assert_eq!((inbox(&instance, "alice").len(), inbox(&instance, "bob").len()), (1, 1));
}

#[test]
fn rules_without_a_condition_on_recipients_rewrite_senders() {
    let rules = "rewrite_rules: [\n        (\"eng.test\", \"$U@sales.test$E$R\"),\n        \
                 (\"to.test\", \"$U%sales.test@tcp-daemon$E$F\"),";
    let settings = Settings::standalone().edit("rewrite_rules: [", rules);
    let (instance, _running) = start(settings);
    for (sender, want) in [
        ("ann@eng.test", "ann@sales.test"),
        ("ann@to.test", "ann@to.test"),
        ("\"a b\"@Eng.test", "\"a b\"@sales.test"),
    ] {
        let before = inbox(&instance, "alice").len();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message(sender, &["alice@relais.example"], &message("who", 500)).expect(250);
        eventually("it is there", LIMIT, || inbox(&instance, "alice").len() > before);
        let line = format!("Return-Path: <{want}>\r\n");
        let messages = inbox(&instance, "alice");
        assert!(messages.iter().any(|message| message.starts_with(&line)), "{want}: {messages:?}");
    }
    let output = instance.relais("route", &["alice@relais.example", "--from", "ann@eng.test"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("the sender is ann@sales.test"), "{said}");
}
