//! Results of SPF, DKIM and DMARC decide: in access tables, in rewrite rules, and behind the content.

use std::{net::UdpSocket, time::Duration};

use relais_tests::{
    Dialogue, Instance, NameServer, Settings, eventually, mailbox, needs, readme_block,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// Client 127.0.0.7 may send for them, nobody else may.
const ZONES: &[(&str, &str)] = &[
    ("good.test", "@ TXT \"v=spf1 ip4:127.0.0.7 -all\"\n_dmarc TXT \"v=DMARC1; p=reject\"\n"),
    ("client.test", "@ TXT \"v=spf1 ip4:127.0.0.7 ip4:127.0.0.8 -all\"\n"),
    ("bank.example", "@ TXT \"v=spf1 ip4:127.0.0.7 -all\"\n"),
    ("plain.test", ""),
    ("test", ""),
];

/// Strangers' mail, names asked from this port, these fields of its channel, and a channel `quarantine`.
fn settings(port: u16, fields: &str) -> Settings {
    let quarantine = "(name: \"quarantine\", tag: \"quarantine-daemon\", program: Hold),";
    let standalone = Settings::standalone();
    let checking =
        if fields.is_empty() { standalone } else { standalone.channel("tcp_local", fields) };
    checking
        .edit("program: Local),", &format!("program: Local),\n        {quarantine}"))
        .section(&format!("dns: (servers: [\"127.0.0.1:{port}\"])"))
        .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
}

/// Sends a message for bob from a client of this address; the replies to MAIL, RCPT and the content, as
/// far as it came.
fn send(instance: &Instance, client: u8, hello: &str, sender: &str, mark: &str) -> String {
    let client = Dialogue::connect_from([127, 0, 0, client], instance.settings.smtp);
    let (mut client, _) = client.expect("a greeting");
    client.patience(PATIENCE);
    client.ask(&format!("EHLO {hello}")).expect(250);
    for command in [format!("MAIL FROM:<{sender}>"), "RCPT TO:<bob@relais.example>".to_owned()] {
        let reply = client.ask(&command).text;
        if !reply.starts_with("250") {
            return reply;
        }
    }
    client.ask("DATA").expect(354);
    let from = if sender.is_empty() { "nobody@plain.test" } else { sender };
    client.finish(format!("From: {from}\r\nSubject: {mark}\r\n\r\nx\r\n").as_bytes()).text
}

fn delivered(instance: &Instance, mark: &str) -> Option<String> {
    let all = mailbox(&instance.store(), "relais.example", "bob").into_iter();
    let mut all = all.map(|message| String::from_utf8_lossy(&message).into_owned());
    all.find(|message| message.contains(mark))
}

/// Entries of the queue in the channel `quarantine` from this sender.
fn kept(instance: &Instance, sender: &str) -> Vec<Value> {
    let args = ["list", "--channel", "quarantine", "--from", sender];
    instance.json("queue", &args)
}

/// SPF is asked where a rule or a table goes by its results, though no channel checks anything.
#[test]
fn rules_and_tables_ask_for_results_of_spf() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(ZONES);
    let instance = Instance::new(
        settings(server.port, "")
            .edit(
                "rewrite_rules: [",
                "rewrite_rules: [\n        (\"$*\", \"$:(spf=fail,softfail)$E$F$U%$H$V$H@quarantine-daemon\"),",
            )
            .edit(
                "mappings: {",
                "mappings: {\n        \"FROM_ACCESS\": [(\"*\", \"$:(spf_helo=fail)$;(spf=pass)$N550$ not$ your$ name\")],\n\
                 \"ORIG_SEND_ACCESS\": [(\"tcp_local|@plain.test|*\", \"$N\"), \
                 (\"*|*@plain.test|*|bob@*\", \"$:(spf=none)$N450$ come$ later\")],",
            ),
    );
    let _running = instance.start();
    // client, HELO, sender, reply; what becomes of it
    let rows = [
        (7, "client.test", "a@good.test", "250 ", Some("tcp_lmtpcs")),
        (8, "client.test", "b@good.test", "250 ", Some("quarantine")),
        (9, "client.test", "c@good.test", "550 5.7.1 not your name", None),
        (7, "client.test", "d@plain.test", "450 4.7.1 come later", None),
        // Of a null sender the name in HELO counts.
        (8, "client.test", "", "250 ", Some("tcp_lmtpcs")),
        // Nobody asks about our own.
        (1, "client.test", "e@good.test", "250 ", Some("tcp_lmtpcs")),
    ];
    for (n, (client, hello, sender, want, place)) in rows.into_iter().enumerate() {
        let mark = format!("mark-{n}");
        let reply = send(&instance, client, hello, sender, &mark);
        assert!(reply.starts_with(want), "{client} {sender}: {reply}");
        match place {
            Some("quarantine") => {
                eventually("it is kept", PATIENCE, || kept(&instance, sender).len() == 1);
            }
            Some(_) => {
                eventually("it is there", PATIENCE, || delivered(&instance, &mark).is_some());
                let message = delivered(&instance, &mark).expect("it is there");
                assert!(!message.contains("Authentication-Results"), "{message}");
            }
            None => {}
        }
    }
    // An operator lets it go on: it is routed anew, and nothing is known of it any more.
    let id = kept(&instance, "b@good.test")[0]["id"].as_str().expect("an id").to_owned();
    let released = instance.relais("queue", &["release", &id]);
    assert!(released.status.success(), "{released:?}");
    eventually("it has gone on", PATIENCE, || delivered(&instance, "mark-1").is_some());
    orders_show_the_same(&instance);
}

/// The rule and the table of the README, whole: of whom nobody asked SPF about, neither says anything.
#[test]
fn what_nobody_asked_about_is_neither_caught_nor_refused() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(ZONES);
    let shown = readme_block("ron", "$;(spf=pass)");
    let part = |begin: &str, end: &str| {
        let from = shown.find(begin).expect(begin) + begin.len();
        shown[from..from + shown[from..].find(end).expect(end)].to_owned()
    };
    let rule = part("rewrite_rules: [", ", ...]");
    let table = part("\"FROM_ACCESS\": ", ",\n");
    let instance = Instance::new(
        settings(server.port, "")
            .edit("rewrite_rules: [", &format!("rewrite_rules: [\n        {rule},"))
            .edit("mappings: {", &format!("mappings: {{\n        \"FROM_ACCESS\": {table},")),
    );
    let _running = instance.start();
    // client, sender, reply, whether it is kept
    let rows = [
        (7, "a@bank.example", "250 ", false),
        (8, "a@bank.example", "550 5.7.1 not from there", false),
        (1, "a@bank.example", "250 ", false),
        (8, "b@good.test", "250 ", true),
        (1, "c@good.test", "250 ", false),
        (8, "d@plain.test", "250 ", false),
    ];
    for (n, (client, sender, want, is_kept)) in rows.into_iter().enumerate() {
        let mark = format!("mark-{n}");
        let reply = send(&instance, client, "client.test", sender, &mark);
        assert!(reply.starts_with(want), "{client} {sender}: {reply}");
        if is_kept {
            eventually("it is kept", PATIENCE, || kept(&instance, sender).len() == 1);
        } else if reply.starts_with("250") {
            eventually(&mark, PATIENCE, || delivered(&instance, &mark).is_some());
        }
    }
    let id = kept(&instance, "b@good.test")[0]["id"].as_str().expect("an id").to_owned();
    let released = instance.relais("queue", &["release", &id]);
    assert!(released.status.success(), "{released:?}");
    eventually("it has gone on", PATIENCE, || delivered(&instance, "mark-3").is_some());
    assert!(kept(&instance, "b@good.test").is_empty());
    let access = ["access", "127.0.0.1", "--from", "a@bank.example"];
    for (more, code, want) in [
        (&[][..], 0, "250 2.1.0"),
        (&["--spf", "none"], 1, "550 5.7.1 not from there"),
        (&["--spf", "pass"], 0, "250 2.1.0"),
    ] {
        let output = instance.relais("test", &[&access[..], more].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {said}");
        assert!(said.contains(want), "{more:?}: {said}");
    }
}

/// `route`, `test access` and `mapping` by the engine and by the files.
fn orders_show_the_same(instance: &Instance) {
    let asked = |args: &[&str]| {
        let output = instance.relais(args[0], &args[1..]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let by_files = |args: &[&str]| asked(&[args, &["--offline"]].concat());
    let route = ["route", "bob@relais.example", "--from", "a@good.test"];
    let access = ["test", "access", "192.0.2.1", "--from", "a@good.test"];
    let mapping = ["mapping", "ORIG_SEND_ACCESS", "tcp_local|x@plain.test|l|bob@relais.example"];
    for ask in [&asked as &dyn Fn(&[&str]) -> (Option<i32>, String), &by_files] {
        for (base, more, code, want) in [
            (&route[..], &[][..], 0, "tcp_lmtpcs"),
            (&route, &["--spf", "fail"], 0, "quarantine"),
            (&route, &["--spf", "pass"], 0, "tcp_lmtpcs"),
            (&access, &["--spf-helo", "fail"], 0, "250 2.1.0"),
            (&access, &["--spf-helo", "fail", "--spf", "none"], 1, "550 5.7.1 not your name"),
            (&access, &["--spf-helo", "fail", "--spf", "pass"], 0, "250 2.1.0"),
            (&mapping, &[], 1, "spf is not known: the entry fails"),
            (&mapping, &["--spf", "none"], 0, "$N"),
        ] {
            let (is, said) = ask(&[base, more].concat());
            assert_eq!(is, Some(code), "{base:?} {more:?}: {said}");
            assert!(said.contains(want), "{base:?} {more:?}: {said}");
        }
    }
    let (_, said) = asked(&[&route[..], &["--spf", "fail"]].concat());
    assert!(said.contains("$:(spf=fail,softfail) = spf is fail"), "{said}");
}

#[test]
fn name_servers_are_left_alone_where_nothing_goes_by_spf() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    silent.set_nonblocking(true).expect("a socket");
    let port = silent.local_addr().expect("its address").port();
    let instance = Instance::new(settings(port, ""));
    let _running = instance.start();
    let reply = send(&instance, 8, "client.test", "a@good.test", "unasked");
    assert!(reply.starts_with("250"), "{reply}");
    eventually("it is there", PATIENCE, || delivered(&instance, "unasked").is_some());
    assert!(silent.recv(&mut [0; 512]).is_err(), "a name server was asked");
}

#[test]
fn a_table_behind_the_content_moves_mail_to_another_channel() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = NameServer::start(ZONES);
    let large = "x".repeat(70) + "\r\n";
    let instance = Instance::new(
        settings(server.port, "verify: (spf: Record, dmarc: Enforce), header_rules: true").edit(
            "mappings: {",
            "mappings: {\n        \"ORIGIN_ACCESS\": [\
             (\"*|*|*|*|*|fail|reject\", \"$Y$Qquarantine\"), \
             (\"*|*|*|none|*|*|*\", \"$Qbitbucket\"), (\"*|odd@*|*\", \"$Q$1\")],",
        ),
    );
    let _running = instance.start();
    let reply = send(&instance, 8, "client.test", "b@good.test", "moved");
    assert!(reply.starts_with("250"), "{reply}");
    eventually("it is kept", PATIENCE, || kept(&instance, "b@good.test").len() == 1);
    let entry = &kept(&instance, "b@good.test")[0];
    assert_eq!(entry["state"], "held", "{entry}");
    let id = entry["id"].as_str().expect("an id").to_owned();
    let content = instance.relais("queue", &["show", &id, "--content"]);
    let content = String::from_utf8_lossy(&content.stdout).into_owned();
    assert!(content.contains("dmarc=fail") && content.contains("bob@relais.example"), "{content}");
    // One that lies in a file by the time that the results are known.
    let client = Dialogue::connect_from([127, 0, 0, 8], instance.settings.smtp);
    let (mut client, _) = client.expect("a greeting");
    client.ask("EHLO client.test").expect(250);
    client.ask("MAIL FROM:<c@good.test>").expect(250);
    client.ask("RCPT TO:<bob@relais.example>").expect(250);
    client.ask("RCPT TO:<alice@relais.example>").expect(250);
    client.ask("DATA").expect(354);
    let content = format!("From: c@good.test\r\n\r\n{}", large.repeat(30_000));
    client.finish(content.as_bytes()).expect(250);
    eventually("it is kept", PATIENCE, || kept(&instance, "c@good.test").len() == 1);
    assert_eq!(kept(&instance, "c@good.test")[0]["recipients"].as_array().map(Vec::len), Some(2));
    let released = instance.relais("queue", &["release", &id]);
    assert!(released.status.success(), "{released:?}");
    eventually("it has gone on", PATIENCE, || delivered(&instance, "moved").is_some());
    // Thrown away.
    let reply = send(&instance, 8, "client.test", "d@plain.test", "forgotten");
    assert!(reply.starts_with("250"), "{reply}");
    // A name that the input makes up, of no channel: an operator decides.
    let reply = send(&instance, 7, "client.test", "odd@good.test", "odd");
    assert!(reply.starts_with("250"), "{reply}");
    let held = || {
        let mut all = instance.json("queue", &["list", "--from", "odd@good.test"]).into_iter();
        all.find(|entry| entry["state"] == "held")
    };
    eventually("it is held", PATIENCE, || held().is_some());
    let id = held().expect("it is held")["id"].as_str().expect("an id").to_owned();
    let why = String::from_utf8_lossy(&instance.relais("queue", &["why", &id]).stdout).into_owned();
    assert!(why.contains("no such channel"), "{why}");
    assert!(delivered(&instance, "forgotten").is_none() && delivered(&instance, "odd").is_none());
}

#[test]
fn check_names_tests_of_facts_and_channels_that_are_none() {
    for (from, to, want) in [
        (
            "\"PORT_ACCESS\": [",
            "\"PORT_ACCESS\": [(\"*\", \"$:(spf=fail)$N\"),",
            "never known where PORT_ACCESS",
        ),
        (
            "\"PORT_ACCESS\": [",
            "\"FROM_ACCESS\": [(\"*\", \"$:(spf=bad)$N\")], \"PORT_ACCESS\": [",
            "is no result of SPF",
        ),
        (
            "\"PORT_ACCESS\": [",
            "\"FROM_ACCESS\": [(\"*\", \"$:(dkim=pass)$N\")], \"PORT_ACCESS\": [",
            "is no fact",
        ),
        (
            "\"PORT_ACCESS\": [",
            "\"ORIGIN_ACCESS\": [(\"*\", \"$Qnowhere\")], \"PORT_ACCESS\": [",
            "\"nowhere\" is none",
        ),
        (
            "\"PORT_ACCESS\": [",
            "\"ORIGIN_ACCESS\": [(\"*\", \"$Ql\")], \"PORT_ACCESS\": [",
            "\"l\" is none",
        ),
        (
            "rewrite_rules: [",
            "rewrite_rules: [(\"a.test\", \"$;(spf)$U%$D@tcp-daemon\"),",
            "names no result",
        ),
    ] {
        let instance = Instance::new(Settings::standalone().edit(from, to));
        let output = instance.relais("check", &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{to}: {said}");
        assert!(said.contains(want), "{to}: {said}");
    }
    // A channel that only ORIGIN_ACCESS leads to is no idle one.
    let instance = Instance::new(settings(53, "verify: (dmarc: Record)").edit(
        "mappings: {",
        "mappings: {\n        \"ORIGIN_ACCESS\": [(\"*|*|*|*|*|fail|*\", \"$Qquarantine\")],",
    ));
    let output = instance.relais("check", &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("quarantine"), "{said}");
}
