//! Filters (milters) in sessions: one on libmilter that does as it is told, whose every decision and
//! change counts; and what becomes of mail when it does not answer.

use std::time::{Duration, Instant};

use relais_tests::{
    Dialogue, Instance, PythonMilter, Running, Settings, eventually, mailbox, needs, within,
};

/// A file of the package that these tests want.
const FILTER: &str = "/usr/lib/python3/dist-packages/Milter/__init__.py";
const SENDER: &str = "ann@client.test";
const ALICE: &str = "alice@relais.example";
const BOB: &str = "bob@relais.example";

/// The standalone engine, whose SMTP service asks these filters; `more` are their other settings.
fn settings(filters: &[(&str, &PythonMilter, &str)]) -> Settings {
    let listed = filters.iter().map(|(name, filter, more)| {
        format!("\"{name}\": (socket: \"unix:{}\", {more}), ", filter.socket().display())
    });
    let listed = listed.collect::<Vec<_>>().concat();
    let names: Vec<_> = filters.iter().map(|(name, ..)| *name).collect();
    Settings::standalone()
        .edit("channel: \"tcp_local\",", &format!("channel: \"tcp_local\", milters: {names:?},"))
        .section(&format!("milters: {{{listed}}}"))
        .section("spool: (large_message: \"16KiB\")")
}

fn engine(filters: &[(&str, &PythonMilter, &str)]) -> (Instance, Running) {
    let instance = Instance::new(settings(filters));
    let running = instance.start();
    (instance, running)
}

/// The messages of a user of the store, once there are so many.
#[track_caller]
fn messages(instance: &Instance, user: &str, count: usize) -> Vec<String> {
    let stored = || mailbox(&instance.store(), "relais.example", user);
    eventually("it is delivered", Duration::from_secs(20), || stored().len() >= count);
    let text = |message: Vec<u8>| String::from_utf8_lossy(&message).into_owned();
    stored().into_iter().map(text).collect()
}

/// A line of the log with all of these words.
#[track_caller]
fn logs(instance: &Instance, words: &[&str]) -> String {
    let line = || {
        let log = instance.log();
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().find(has_all).map(str::to_owned)
    };
    eventually(&format!("a line with {words:?}"), Duration::from_secs(10), || line().is_some());
    line().unwrap_or_default()
}

/// A message whose header gives the filter orders.
fn ordered(orders: &[&str]) -> Vec<u8> {
    let orders: Vec<_> = orders.iter().map(|order| format!("X-Do: {order}\r\n")).collect();
    let orders = orders.concat();
    format!("Subject: ordered\r\n{orders}\r\nhello\r\n").into_bytes()
}

#[test]
fn a_filter_is_told_of_each_step_with_its_macros() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&["skip"]);
    let macros = r#"macros: {"{daemon_name}": "ORIGINATING"}"#;
    let (instance, _running) = engine(&[("py", &filter, macros)]);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask(&format!("MAIL FROM:<{SENDER}> SIZE=200000 BODY=8BITMIME")).expect(250);
    client.ask("RCPT TO:<nobody@relais.example>").expect(550);
    client.ask(&format!("RCPT TO:<{ALICE}> NOTIFY=NEVER")).expect(250);
    client.ask("DATA").expect(354);
    let body = "0123456789\r\n".repeat(16_000);
    let content = format!("Subject: one\r\nX-Folded: a\r\n\tb\r\n\r\n{body}");
    client.finish(content.as_bytes()).expect(250);
    client.ask("QUIT").expect(221);
    let told = ["connect", "helo", "mail", "rcpt", "data", "eoh", "eom", "close"];
    eventually("it is told", Duration::from_secs(5), || filter.names() == told);

    let events = filter.events();
    let find = |name: &str| events.iter().find(|event| event["event"] == name).expect(name);
    assert_eq!(find("connect")["what"][0], "localhost");
    assert_eq!(find("helo")["what"][0], "client.test");
    let mail = serde_json::json!(["<ann@client.test>", ["SIZE=200000", "BODY=8BITMIME"]]);
    assert_eq!(find("mail")["what"], mail);
    let rcpt = serde_json::json!(["<alice@relais.example>", ["NOTIFY=NEVER"]]);
    assert_eq!(find("rcpt")["what"], rcpt);
    let headers = events.iter().filter(|event| event["event"] == "header");
    let headers: Vec<_> = headers.map(|event| event["what"].to_string()).collect();
    assert_eq!(headers, [r#"["Subject","one"]"#, r#"["X-Folded","a\n\tb"]"#], "our own is hidden");
    // It wanted no piece of the body after the first, which is a whole one.
    assert_eq!(find("eom")["what"], serde_json::json!([65_535, 1]));
    let rows = [
        ("connect", "j", "localhost"),
        ("connect", "_", "localhost [127.0.0.1]"),
        ("connect", "{client_addr}", "127.0.0.1"),
        ("connect", "{daemon_addr}", "127.0.0.1"),
        ("connect", "{daemon_name}", "ORIGINATING"),
        ("mail", "{mail_addr}", SENDER),
        ("rcpt", "{rcpt_addr}", ALICE),
        ("rcpt", "{rcpt_mailer}", "tcp_lmtpcs"),
    ];
    for (event, name, want) in rows {
        assert_eq!(find(event)["macros"][name], want, "{name} at {event}");
    }
    let id = find("mail")["macros"]["i"].as_str().expect("a queue id at MAIL").to_owned();
    assert!(messages(&instance, "alice", 1)[0].contains(&format!("id {id}")));
}

#[test]
fn filters_get_what_they_asked_for_and_nothing_else() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&["symlist", "leadspc", "noreply", "rcptrej"]);
    let (instance, _running) = engine(&[("py", &filter, r#"macros: {"{own}": "ours"}"#)]);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask(&format!("MAIL FROM:<{SENDER}>")).expect(250);
    client.ask("RCPT TO:<nobody@relais.example>").expect(550);
    client.ask(&format!("RCPT TO:<{ALICE}>")).expect(250);
    client.ask("DATA").expect(354);
    let content =
        b"Subject:  two blanks\r\nX-Tight:none\r\nX-Do: addheader X-New value\r\n\r\nhello\r\n";
    client.finish(content).expect(250);
    let events = filter.events();
    let connect = serde_json::json!({"j": "localhost", "{own}": "ours"});
    assert_eq!(events[1]["macros"], connect, "the list of the filter");
    let rcpts: Vec<_> = events.iter().filter(|event| event["event"] == "rcpt").collect();
    let [refused, taken] = &rcpts[..] else { panic!("{rcpts:?}") };
    assert_eq!(refused["what"][0], "<nobody@relais.example>", "it wants those, too");
    assert_eq!(taken["macros"]["{rcpt_addr}"], ALICE);
    assert!(taken["macros"].get("{rcpt_mailer}").is_none(), "not in its list: {taken}");
    let headers = events.iter().filter(|event| event["event"] == "header");
    let headers: Vec<_> = headers.map(|event| event["what"].to_string()).collect();
    assert_eq!(headers[..2], [r#"["Subject","  two blanks"]"#, r#"["X-Tight","none"]"#]);
    let message = messages(&instance, "alice", 1).remove(0);
    assert!(message.contains("\r\nX-New:value\r\n"), "as the filter writes it: {message}");
}

#[test]
fn refusals_count_where_they_are_made() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let aliases = r#"aliases: {"rcpt-reject": ["alice"], "rcpt-code": ["alice"]}"#;
    let instance = Instance::new(settings(&[("py", &filter, "")]).section(aliases));
    let _running = instance.start();
    let port = instance.settings.smtp;
    // Sender, recipient, a header; the command that is refused, and the reply.
    let rows = [
        ("mail-reject@c.test", ALICE, "", "MAIL", "550 5.7.1 "),
        ("mail-tempfail@c.test", ALICE, "", "MAIL", "451 4.7.1 "),
        ("mail-code@c.test", ALICE, "", "MAIL", "550 5.7.9 the filter says 100% no"),
        (
            "mail-lines@c.test",
            ALICE,
            "",
            "MAIL",
            "450-4.7.9 one\r\n450-4.7.9 two\r\n450 4.7.9 three",
        ),
        (SENDER, "rcpt-reject@relais.example", "", "RCPT", "550 5.7.1 "),
        (SENDER, "rcpt-code@relais.example", "", "RCPT", "550 5.7.9 the filter"),
        (SENDER, ALICE, "X-At: header-reject\r\n", "dot", "550 5.7.1 "),
        (SENDER, ALICE, "X-At: eoh-code\r\n", "dot", "550 5.7.9 "),
        (SENDER, ALICE, "X-At: body-tempfail\r\n", "dot", "451 4.7.1 "),
        (SENDER, ALICE, "X-Do: reject\r\n", "dot", "550 5.7.1 "),
        (
            SENDER,
            ALICE,
            "X-Do: lines\r\n",
            "dot",
            "450-4.7.9 one\r\n450-4.7.9 two\r\n450 4.7.9 three",
        ),
    ];
    for (sender, recipient, header, place, reply) in rows {
        let mut client = Dialogue::open(port);
        let mut said = client.ask(&format!("MAIL FROM:<{sender}>"));
        let mut at = "MAIL";
        if said.code == 250 {
            (at, said) = ("RCPT", client.ask(&format!("RCPT TO:<{recipient}>")));
        }
        if said.code == 250 {
            client.ask("DATA").expect(354);
            let content = format!("Subject: x\r\n{header}\r\nhello\r\n");
            (at, said) = ("dot", client.finish(content.as_bytes()));
        }
        assert_eq!((at, said.text.starts_with(reply)), (place, true), "{header}: {}", said.text);
        // The session goes on, and so does the filter.
        client.ask("RSET").expect(250);
        client.message(SENDER, &[ALICE], b"Subject: fine\r\n\r\nhello\r\n").expect(250);
    }
    let line = logs(&instance, &[r#""action":"J""#, "the filter says 100% no", r#""filter":"py""#]);
    assert!(line.contains("<mail-code@c.test>"), "{line}");
    logs(&instance, &[r#""action":"J""#, "rcpt-reject@relais.example", r#""filter":"py""#]);
    let metric = |result: &str| {
        instance
            .metric(&format!("relais_milter_requests_total{{milter=\"py\",result=\"{result}\"}}"))
    };
    assert_eq!((metric("rejected"), metric("tempfailed")), (7.0, 4.0));
    assert_eq!((metric("accepted"), metric("failed")), (11.0, 0.0));
    let status = String::from_utf8(instance.relais("status", &[]).stdout).unwrap();
    let line = status.lines().find(|line| line.starts_with("filter py")).expect("a line");
    assert!(line.contains("answers, 11 accepted, 7 rejected, 4 tempfailed"), "{line}");
}

#[test]
fn a_client_that_a_filter_refuses_is_not_greeted() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&["noconnect"]);
    let (instance, _running) = engine(&[("py", &filter, "")]);
    let (mut client, greeting) = Dialogue::connect(instance.settings.smtp).unwrap();
    greeting.expect_start("554 5.7.1 Command rejected");
    assert!(client.is_closed());
    logs(&instance, &[r#""action":"J""#, r#""filter":"py""#]);
}

#[test]
fn a_refused_hello_is_said_at_mail() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let (instance, _running) = engine(&[("py", &filter, "")]);
    let (mut client, _) = Dialogue::connect(instance.settings.smtp).unwrap();
    client.ask("EHLO helo-code.client.test").expect(250);
    client.ask(&format!("MAIL FROM:<{SENDER}>")).expect_start("550 5.7.9 ");
    client.ask(&format!("MAIL FROM:<{SENDER}>")).expect_start("550 5.7.9 ");
}

#[test]
fn changes_are_stored_as_if_the_message_had_come_so() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let (instance, _running) = engine(&[("py", &filter, "")]);
    let mut client = Dialogue::open(instance.settings.smtp);
    // Orders, what the message has then, what it has not.
    let rows: [(&[&str], &[&str], &[&str]); 9] = [
        (
            &["addheader X-New one"],
            &["X-Do: addheader X-New one\r\nX-New: one\r\n\r\nhello\r\n"],
            &[],
        ),
        (
            &["insheader 0 X-Top first"],
            &["X-Top: first\r\nReceived: "],
            &["\r\nX-Top: first\r\nSubject"],
        ),
        (&["insheader 1 X-Top second"], &["X-Top: second\r\nSubject: ordered\r\n"], &[]),
        (&["chgheader 1 subject changed"], &["subject: changed\r\nX-Do"], &["Subject: ordered"]),
        (&["chgheader 1 Subject"], &["\r\nX-Do"], &["Subject"]),
        (&["chgheader 9 X-Late new"], &["X-Late: new\r\n\r\n"], &[]),
        (
            &["addheader X-Bad a\\nBcc: eve@x.test\\n\\nbody"],
            &["X-Bad: a\r\n\tBcc: eve@x.test\r\n\tbody\r\n"],
            &["\r\nBcc"],
        ),
        (&["body new\\nlines\\n.\\n"], &["\r\n\r\nnew\r\nlines\r\n.\r\n"], &["hello"]),
        (
            &["body no end", "addheader X-Both yes", "chgheader 1 X-Do"],
            &["X-Do: addheader", "X-Both: yes\r\n\r\nno end\r\n"],
            &["X-Do: body no end", "hello"],
        ),
    ];
    for (n, (orders, has, has_not)) in rows.into_iter().enumerate() {
        for (large, padding) in [(0, 0), (1, 20_000)] {
            let mut content = ordered(orders);
            // A large one goes through files.
            content.extend("0123456789\r\n".repeat(padding / 12).bytes());
            client.message(SENDER, &[ALICE], &content).expect(250);
            let count = 2 * n + large + 1;
            let all = messages(&instance, "alice", count);
            let found = all.iter().find(|message| {
                has.iter().all(|text| message.contains(text))
                    && has_not.iter().all(|text| !message.contains(text))
            });
            let last = all.iter().map(|message| &message[..message.len().min(2_000)]);
            assert!(found.is_some(), "{orders:?}, {padding}: {:#?}", last.collect::<Vec<_>>());
        }
    }
}

#[test]
fn scripts_see_what_filters_have_left_and_change_it_further() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let sieve = "sieve: (before: \"before.sieve\")";
    let instance = Instance::new(settings(&[("py", &filter, "")]).section(sieve));
    let script = "require \"editheader\"; if header \"X-New\" \"one\" {\r\n\
                  addheader :last \"X-Sieved\" \"yes\"; deleteheader \"X-Do\"; }";
    std::fs::create_dir_all(instance.data()).expect("room");
    std::fs::write(instance.data().join("before.sieve"), script).expect("a file");
    let _running = instance.start();
    for (n, lines) in [0, 20_000].into_iter().enumerate() {
        let body = "0123456789\r\n".repeat(lines);
        let mut content = ordered(&["addheader X-New one"]);
        content.extend(body.bytes());
        Dialogue::open(instance.settings.smtp).message(SENDER, &[ALICE], &content).expect(250);
        let want =
            format!("Subject: ordered\r\nX-New: one\r\nX-Sieved: yes\r\n\r\nhello\r\n{body}");
        let all = messages(&instance, "alice", n + 1);
        let found = all.iter().find(|its| its.ends_with(&want)).expect("as filter and script say");
        assert!(found.starts_with("Return-Path: ") && !found.contains("X-Do"), "{found:.2000}");
    }
}

#[test]
fn envelopes_are_changed() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let (instance, _running) = engine(&[("py", &filter, "")]);
    let mut client = Dialogue::open(instance.settings.smtp);
    let content =
        ordered(&["addrcpt <bob@relais.example> NOTIFY=NEVER X=y", "chgfrom <eve@other.test>"]);
    client.message(SENDER, &[ALICE], &content).expect(250);
    assert!(messages(&instance, "bob", 1)[0].contains("Return-Path: <eve@other.test>"));
    assert!(messages(&instance, "alice", 1)[0].contains("Return-Path: <eve@other.test>"));
    logs(&instance, &["parameters mean nothing here", "X=y"]);

    let content =
        ordered(&["delrcpt ALICE@relais.example", "delrcpt <Bob@RELAIS.example>", "chgfrom <>"]);
    client.message(SENDER, &["ALICE@relais.example", BOB], &content).expect(250);
    assert!(
        messages(&instance, "bob", 2).iter().any(|message| message.contains("Return-Path: <>"))
    );
    assert_eq!(messages(&instance, "alice", 1).len(), 1, "local parts have a case: RFC 5321");

    // Nobody is there by this name: the rest goes on.
    let content = ordered(&["addrcpt <nobody@relais.example>"]);
    client.message(SENDER, &[ALICE], &content).expect(250);
    logs(&instance, &[r#""action":"J""#, "nobody@relais.example", r#""filter":"py""#]);
    messages(&instance, "alice", 2);

    let content = ordered(&["delrcpt <alice@relais.example>"]);
    client.message(SENDER, &[ALICE], &content).expect(250);
    logs(&instance, &[r#""action":"Z""#, "a filter left it no recipients", r#""filter":"py""#]);
}

#[test]
fn messages_are_held_or_thrown_away() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let (instance, _running) = engine(&[("py", &filter, "")]);
    let mut client = Dialogue::open(instance.settings.smtp);
    let orders = ordered(&["quarantine looks odd", "addheader X-Held yes"]);
    client.message(SENDER, &[ALICE], &orders).expect(250);
    eventually("it is held", Duration::from_secs(10), || instance.queue().len() == 1);
    let held = &instance.queue()[0];
    assert_eq!(held["state"], "held", "{held}");
    let id = held["id"].as_str().unwrap();
    let why = String::from_utf8(instance.relais("queue", &["why", id]).stdout).unwrap();
    assert!(why.contains("the filter py: looks odd"), "{why}");
    instance.relais("queue", &["release", id]);
    assert!(messages(&instance, "alice", 1)[0].contains("X-Held: yes"));

    for (sender, recipient, content) in [
        ("mail-discard@c.test", ALICE, ordered(&[])),
        (SENDER, ALICE, ordered(&["discard"])),
        (SENDER, ALICE, [b"X-At: eoh-discard\r\n".as_slice(), &ordered(&[])].concat()),
    ] {
        client.message(sender, &[recipient], &content).expect(250);
    }
    let thrown = || instance.log().lines().filter(|line| line.contains(r#""action":"Z""#)).count();
    eventually("they are told of", Duration::from_secs(10), || thrown() == 3);
    assert!(instance.queue().is_empty());
    assert_eq!(messages(&instance, "alice", 1).len(), 1);
    // An accepting filter hears no more of a message.
    filter.forget();
    client.message("mail-accept@c.test", &[ALICE], &ordered(&["reject"])).expect(250);
    assert_eq!(filter.names(), ["mail"]);
}

#[test]
fn a_filter_sees_what_those_before_it_changed() {
    if !needs(&[FILTER]) {
        return;
    }
    let (one, two) = (PythonMilter::start(&[]), PythonMilter::start(&[]));
    let (instance, _running) = engine(&[("one", &one, ""), ("two", &two, "")]);
    let mut client = Dialogue::open(instance.settings.smtp);
    let content = ordered(&["insheader 0 X-Seen first", "body short"]);
    client.message(SENDER, &[ALICE], &content).expect(250);
    let headers = |filter: &PythonMilter| {
        let events = filter.events();
        let headers = events.iter().filter(|event| event["event"] == "header");
        headers.map(|event| event["what"][0].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(headers(&one), ["Subject", "X-Do", "X-Do"]);
    assert_eq!(headers(&two), ["X-Seen", "Subject", "X-Do", "X-Do"]);
    let last = two.events().pop().unwrap();
    assert_eq!(last["what"], serde_json::json!(["short\r\n".len(), 1]), "the body, too");
    assert!(messages(&instance, "alice", 1)[0].contains("X-Seen: first\r\nReceived"));
    // The second does not hear of mail that the first refuses.
    two.forget();
    client.ask("MAIL FROM:<mail-reject@c.test>").expect(550);
    assert!(two.names().is_empty());
}

#[test]
fn bodies_of_filters_are_bounded_and_need_no_memory() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let settings =
        settings(&[("py", &filter, "")]).channel("tcp_local", "sourceblocklimit: \"32MiB\"");
    let instance = Instance::new(settings);
    let running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let before = running.memory().peak;
    // Each is 64 KiB.
    client.message(SENDER, &[ALICE], &ordered(&["bigbody 400"])).expect(250);
    let message = messages(&instance, "alice", 1).remove(0);
    assert!(message.len() > 26_000_000, "{}", message.len());
    assert!(message.ends_with("0000399\r\n") && message.contains("\r\n\r\n0000000\r\n"));
    let grown = running.memory().peak - before;
    assert!(grown < 16 << 20, "{grown} octets of memory more");
    client.message(SENDER, &[ALICE], &ordered(&["bigbody 600"])).expect(451);
    logs(&instance, &["a filter fails", "the body that the filter wrote is too large"]);
}

#[test]
fn mail_goes_on_as_on_error_says_while_a_filter_is_away() {
    if !needs(&[FILTER]) {
        return;
    }
    for (on_error, code) in [("Accept", 250), ("Tempfail", 451), ("Reject", 550)] {
        let mut filter = PythonMilter::start(&[]);
        let (instance, _running) = engine(&[("py", &filter, &format!("on_error: {on_error}"))]);
        filter.stop();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask(&format!("MAIL FROM:<{SENDER}>")).expect(code);
        client.ask("RSET").expect(250);
        client.ask(&format!("MAIL FROM:<{SENDER}>")).expect(code);
        client.ask("RSET").expect(250);
        logs(&instance, &["a filter fails", r#""milter":"py""#]);
        let status = String::from_utf8(instance.relais("status", &[]).stdout).unwrap();
        assert!(status.contains("filter py (unix:") && status.contains(") away: "), "{status}");
        assert!(instance.metric("relais_milter_up{milter=\"py\"}") < 0.5);
        filter.restart();
        let back = within(Duration::from_secs(20), || {
            client.ask("RSET").expect(250);
            client.ask("MAIL FROM:<mail-code@c.test>").text.starts_with("550 5.7.9")
        });
        assert!(back, "{on_error}");
        logs(&instance, &["the filter answers again"]);
        assert!(instance.metric("relais_milter_up{milter=\"py\"}") > 0.5);
        let away = "relais_milter_requests_total{milter=\"py\",result=\"away\"}";
        assert!(instance.metric(away) >= 1.0, "it was not asked at once");
    }
}

#[test]
fn a_filter_that_fails_amid_a_message_changes_nothing() {
    if !needs(&[FILTER]) {
        return;
    }
    for (on_error, code) in [("Accept", 250), ("Tempfail", 451)] {
        let mut filter = PythonMilter::start(&[]);
        let more = format!("on_error: {on_error}, command_time: \"1s\", content_time: \"2s\"");
        let (instance, _running) = engine(&[("py", &filter, &more)]);
        let mut client = Dialogue::open(instance.settings.smtp);
        // Progress is waited for, longer than the filter may be silent, and however often it is told.
        let orders = ordered(&["progress 3", "progress 40 0.02", "addheader X-Done yes"]);
        client.message(SENDER, &[ALICE], &orders).expect(250);
        let orders = ordered(&["addheader X-Half done", "body half", "die"]);
        client.message(SENDER, &[ALICE], &orders).expect(code);
        filter.restart();
        client.message(SENDER, &[ALICE], &ordered(&["addheader X-Back yes"])).expect(250);
        let begun = Instant::now();
        client.message(SENDER, &[ALICE], &ordered(&["addheader X-Late yes", "sleep"])).expect(code);
        assert!(begun.elapsed() < Duration::from_secs(4), "it was not waited for");
        logs(&instance, &["a filter fails", "no answer for 2s"]);
        let count = if code == 250 { 4 } else { 2 };
        let all = messages(&instance, "alice", count).concat();
        assert!(all.contains("\r\nX-Done: yes") && all.contains("\r\nX-Back: yes"), "{all}");
        assert!(!all.contains("\r\nX-Half: done") && !all.contains("\r\nX-Late: yes"), "{all}");
    }
}

#[test]
fn connections_to_filters_serve_many_messages_and_sessions() {
    if !needs(&[FILTER]) {
        return;
    }
    let filter = PythonMilter::start(&[]);
    let (instance, _running) = engine(&[("py", &filter, "")]);
    let session = |n: usize, is_abandoned: bool| {
        let mut client = Dialogue::open(instance.settings.smtp);
        for _ in 0..3 {
            client.message(SENDER, &[ALICE], &ordered(&["addheader X-New yes"])).expect(250);
        }
        if is_abandoned {
            client.ask(&format!("MAIL FROM:<{SENDER}>")).expect(250);
        }
        client.ask("QUIT").expect(221);
        let closed = || filter.names().iter().filter(|name| *name == "close").count();
        eventually("the session ends", Duration::from_secs(5), || closed() == n);
    };
    (1..4).for_each(|n| session(n, false));
    assert_eq!(filter.connections(), 1, "sessions one after the other share one");
    session(4, true);
    assert_eq!(filter.connections(), 1);
    session(5, false);
    assert_eq!(filter.connections(), 2, "behind a message that came to nothing it ends");
    let names = filter.names();
    let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
    assert_eq!((count("connect"), count("helo")), (5, 5), "once for each session: {names:?}");
    assert_eq!((count("mail"), count("eom"), count("abort")), (16, 15, 1), "{names:?}");
    // A filter that was started again meanwhile has lost the connection that waits.
    let mut filter = filter;
    filter.restart();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message(SENDER, &[ALICE], &ordered(&["addheader X-Again yes"])).expect(250);
    filter.restart();
    client.message(SENDER, &[ALICE], &ordered(&["addheader X-Again yes"])).expect(250);
    let stored = messages(&instance, "alice", 17).concat();
    assert_eq!(stored.matches("\r\nX-Again: yes").count(), 2, "{}", instance.log());
}

#[test]
fn a_channel_has_filters_of_its_own_or_none() {
    if !needs(&[FILTER]) {
        return;
    }
    let (one, two) = (PythonMilter::start(&[]), PythonMilter::start(&[]));
    for (own, reply_one, reply_two) in [("[]", 250, 250), ("[\"two\"]", 250, 550)] {
        let settings = settings(&[("one", &one, ""), ("two", &two, "")])
            .edit("milters: [\"one\", \"two\"]", "milters: [\"one\"]")
            .channel("tcp_local", &format!("milters: {own}"));
        let instance = Instance::new(settings);
        let _running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        one.forget();
        client.ask("MAIL FROM:<mail-code@c.test>").expect(reply_two);
        assert!(one.names().is_empty(), "{reply_one}");
    }
}
