//! Access tables as clients meet them: through real sockets, with several addresses as clients.

use std::{net::SocketAddr, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, mailbox, message};

/// The standalone sample with these tables, and its store open to everybody of this host.
fn instance(tables: &str) -> Instance {
    let out = "rewrite_rules: [\n        (\".\", \"$U%$H@tcp-daemon\"),";
    let settings = Settings::standalone().edit("rewrite_rules: [", out);
    let start = settings.text().find("\"PORT_ACCESS\": [").expect("the sample's table");
    let end = start + settings.text()[start..].find("],\n").expect("its end") + 3;
    let own = settings.text()[start..end].to_owned();
    Instance::new(settings.edit(&own, tables))
}

/// The reply to the last of these commands, the others taken with a 2xx.
fn dialogue(instance: &Instance, client: [u8; 4], commands: &[&str]) -> String {
    let (mut dialogue, greeting) =
        Dialogue::connect_from(client, instance.settings.smtp).expect("a connection");
    greeting.expect(220);
    let (last, first) = commands.split_last().expect("a command");
    for command in first {
        assert_eq!(dialogue.ask(command).code / 100, 2, "{command}");
    }
    dialogue.ask(last).text.trim_end().to_owned()
}

const PORT: &str = r#"
        "INSIDE": [("$(127.0.3.0/24)", "$Y"), ("*", "$N")],
        "PORT_ACCESS": [
            ("TCP|*|*|$<127.0.9.7/3>|*", "$N$<nine$ came$ to$ $0|500 Go away~from $0"),
            ("TCP|*|*|127.0.2.*|*", "$F$>refused$ $2|421 later"),
            ("TCP|*|*|127.0.4.1|*", "$Nshort"),
            ("TCP|*|*|*|*", "$C$|INSIDE;$2|$Y$E"),
            ("TCP|*|*|127.0.5.*|*", "$N500 unknown"),
        ],
"#;

#[test]
fn port_access_turns_clients_away_before_the_first_octet() {
    let instance = instance(PORT);
    let _running = instance.start();
    let rows: [([u8; 4], &str); 8] = [
        ([127, 0, 9, 1], "500-Go away\r\n500 from 127.0.0.1"),
        ([127, 0, 9, 7], "500-Go away\r\n500 from 127.0.0.1"),
        ([127, 0, 9, 8], "220 "),
        ([127, 0, 2, 9], "421 later"),
        ([127, 0, 4, 1], "554 5.7.1 short"),
        ([127, 0, 3, 1], "220 "),
        ([127, 0, 5, 1], "500 unknown"),
        ([127, 0, 0, 1], "220 "),
    ];
    for (client, want) in rows {
        let greeted = Dialogue::connect_from(client, instance.settings.smtp);
        let (mut dialogue, greeting) = greeted.expect("a greeting");
        assert!(greeting.text.starts_with(want), "{client:?}: {greeting:?}");
        assert!(want.starts_with("220") || dialogue.is_closed(), "{client:?}");
    }
    let log = instance.log();
    assert!(log.contains("nine came to 127.0.0.1") && log.contains("refused 9"), "{log}");
}

const MAIL: &str = r#"
        "FROM_ACCESS": [
            ("TCP|*|*|127.0.2.*|*|SMTP/bad*|MAIL|tcp_local|*|", "$N$<bad$ name|550 Not as $5"),
            ("*|tcp_local|held@*|*", "$Y$Hheld$ for$ $1"),
            ("*|tcp_local|gone@*|*", "$Y$V"),
            ("*|tcp_local|forged@relais.example|", "$NLog$ in$ first"),
        ],
        "ORIG_SEND_ACCESS": [
            ("tcp_local|early@*|l|team@*", "$N450 Not now"),
            ("tcp_local|relayed@sender.test|tcp_local|*", "$Y"),
        ],
        "ORIG_MAIL_ACCESS": [
            ("TCP|*|*|127.0.3.*|*|SMTP/*|MAIL|*|*|*|bob@relais.example", "$NNo$ from$ $2"),
            ("*|trap@sender.test|l|alice@relais.example", "$Z"),
        ],
        "SEND_ACCESS": [
            ("tcp_local|way@*|tcp_lmtpcs|bob", "$N$>$0$ to$ bob|551 Bob does not want it"),
            ("tcp_local|later@*|tcp_lmtpcs|bob", "$N451 Later"),
        ],
        "MAIL_ACCESS": [
            ("TCP|*|*|127.0.4.1|*|*|MAIL|tcp_local|*|tcp_lmtpcs|alice", "$NNot$ alice"),
        ],
"#;

/// The client, EHLO, MAIL, RCPT (none: the reply to MAIL is looked at), and the reply.
type Row = ([u8; 4], &'static str, &'static str, Option<&'static str>, &'static str);

#[test]
fn each_table_is_asked_at_its_moment() {
    let instance = instance(MAIL);
    let _running = instance.start();
    let (ehlo, home) = ("EHLO client.test", [127, 0, 0, 1]);
    let mail = |from: &str| format!("MAIL FROM:<{from}@sender.test>");
    let rcpt = |to: &str| format!("RCPT TO:<{to}@relais.example>");
    let rows: [Row; 15] = [
        ([127, 0, 2, 1], "EHLO bad.test", "a", None, "550 5.7.1 Not as a@sender.test"),
        ([127, 0, 2, 1], "EHLO good.test", "a", None, "250 "),
        (home, "EHLO bad.test", "a", None, "250 "),
        (home, ehlo, "early", Some("team"), "450 4.7.1 Not now"),
        (home, ehlo, "early", Some("alice"), "250 "),
        ([127, 0, 3, 1], ehlo, "a", Some("bob"), "550 5.7.1 No from 1"),
        ([127, 0, 3, 1], ehlo, "a", Some("alice"), "250 "),
        // bob is a member of the list, too.
        ([127, 0, 3, 1], ehlo, "a", Some("team"), "250 "),
        (home, ehlo, "way", Some("bob"), "551 5.7.1 Bob does not want it"),
        (home, ehlo, "way", Some("alice"), "250 "),
        (home, ehlo, "way", Some("team"), "250 "),
        (home, ehlo, "later", Some("team"), "451 4.7.1 Later"),
        ([127, 0, 4, 1], ehlo, "a", Some("alice"), "550 5.7.1 Not alice"),
        ([127, 0, 4, 2], ehlo, "a", Some("alice"), "250 "),
        (home, ehlo, "a", Some("nobody"), "550 5.1.1 "),
    ];
    for (client, hello, from, to, want) in rows {
        let (mail, rcpt) = (mail(from), to.map(rcpt));
        let commands: Vec<&str> = [hello, &mail].into_iter().chain(rcpt.as_deref()).collect();
        let got = dialogue(&instance, client, &commands);
        assert!(got.starts_with(want), "{client:?} {from} {to:?}: {got}");
    }
    let forged = "MAIL FROM:<forged@relais.example>";
    assert_eq!(dialogue(&instance, home, &[ehlo, forged]), "550 5.7.1 Log in first");
    // Relaying is opened for one sender and nobody else.
    let out = "RCPT TO:<x@elsewhere.test>";
    for (from, want) in [("relayed", "250 "), ("a", "550 5.7.1 relaying not permitted")] {
        let got = dialogue(&instance, home, &[ehlo, &mail(from), out]);
        assert!(got.starts_with(want), "{from}: {got}");
    }
    let log = instance.log();
    assert!(log.contains("bad name") && log.contains("sender.test to bob"), "{log}");
}

#[test]
fn mail_is_held_thrown_away_or_refused_for_some_of_a_list() {
    let instance = instance(MAIL);
    let _running = instance.start();
    let content = b"Subject: x\r\n\r\nx\r\n";
    for (from, to) in [("held", "alice"), ("gone", "alice"), ("trap", "alice"), ("way", "team")] {
        let mut dialogue = Dialogue::open(instance.settings.smtp);
        let (from, to) = (format!("{from}@sender.test"), format!("{to}@relais.example"));
        dialogue.message(&from, &[&to], content).expect(250);
    }
    let in_box = |user| mailbox(&instance.store(), "relais.example", user).len();
    assert!(relais_tests::within(std::time::Duration::from_secs(20), || in_box("alice") == 1));
    assert_eq!(in_box("bob"), 0);
    let held = instance.queue();
    let held: Vec<_> = held.iter().filter(|entry| entry["state"] == "held").collect();
    assert!(held.len() == 1 && held[0]["sender"] == "held@sender.test", "{held:?}");
    let id = held[0]["id"].as_str().unwrap();
    let why = instance.json("queue", &["why", id]);
    assert!(format!("{why:?}").contains("FROM_ACCESS: held for "), "{why:?}");
    let log = instance.log();
    let discarded = log.lines().filter(|line| line.contains("bitbucket") && line.contains("\"D\""));
    assert_eq!(discarded.count(), 2, "{log}");
    assert!(log.contains("551 5.7.1 Bob does not want it"), "{log}");
}

/// Arguments; whether the client is welcome, the beginning of the reply, the table, the entry.
type Told = (&'static [&'static str], bool, &'static str, Option<&'static str>, Option<u64>);

const WAY: &[&str] = &["127.0.0.1", "--from", "way@sender.test", "--to", "bob@relais.example"];
const BAD: &[&str] = &["127.0.3.1", "--from", "a@sender.test", "--to", "bob@relais.example"];

#[test]
fn an_operator_is_told_which_entry_decides() {
    let tables = format!("{PORT}{MAIL}");
    let instance = instance(&tables);
    let running = instance.start();
    let rows: [Told; 9] = [
        (&["127.0.9.1"], false, "500-Go away\n500 from ", Some("PORT_ACCESS"), Some(1)),
        (&["127.0.3.1"], true, "220 localhost", Some("PORT_ACCESS"), Some(4)),
        (&["192.0.2.7", "--service", "lmtpss"], true, "220 ", None, None),
        (WAY, false, "551 5.7.1 Bob", Some("SEND_ACCESS"), Some(1)),
        (BAD, false, "550 5.7.1 No from 1", Some("ORIG_MAIL_ACCESS"), Some(1)),
        (
            &["127.0.0.1", "--from", "relayed@sender.test", "--to", "x@elsewhere.test"],
            true,
            "250 ",
            Some("ORIG_SEND_ACCESS"),
            Some(2),
        ),
        (&["127.0.0.1", "--to", "x@elsewhere.test"], false, "550 5.7.1 relaying", None, None),
        (&["127.0.0.1", "--to", "nobody@relais.example"], false, "550 5.1.1", None, None),
        (&["127.0.2.1", "--service", "SMTP"], false, "421 later", Some("PORT_ACCESS"), Some(2)),
    ];
    for (arguments, accepted, reply, table, entry) in rows {
        for offline in [&[][..], &["--offline"]] {
            let all = [&["access"], arguments, &["--json"], offline].concat();
            let output = instance.relais("test", &all);
            let told: serde_json::Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|e| panic!("{e}: {output:?}"));
            assert_eq!(output.status.code(), Some(i32::from(!accepted)), "{told}");
            assert!(told["reply"].as_str().unwrap().starts_with(reply), "{arguments:?}: {told}");
            let got = (told["table"].as_str(), told["entry"].as_u64());
            assert_eq!(got, (table, entry), "{arguments:?}: {told}");
            let by_engine = told["asked"].as_str().unwrap().contains(&running.pid().to_string());
            assert_eq!(by_engine, offline.is_empty(), "{told}");
        }
    }
    let shown = instance.relais("test", &[&["access"], BAD].concat());
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("decided by ORIG_MAIL_ACCESS, entry 1: \"TCP|*|*|127.0.3.*|"), "{text}");
    let unknown = instance.relais("test", &["access", "127.0.0.1", "--service", "SMPT"]);
    let text = String::from_utf8(unknown.stderr).unwrap();
    assert!(text.contains("there is no service \"SMPT\"; did you mean SMTP?"), "{text}");
}

#[test]
fn a_bar_in_an_address_is_no_way_to_the_field_behind_it() {
    let table = r#"
        "ORIG_SEND_ACCESS": [
            ("tcp_local|*|tcp_lmtpcs|*", "$Y"),
            ("tcp_local|*|l|*", "$Y"),
            ("tcp_local|*", "$NRelaying$ not$ permitted"),
        ],
"#;
    let instance = instance(table);
    let _running = instance.start();
    let ours = "RCPT TO:<bob@relais.example>";
    for (sender, to) in [
        ("a|tcp_lmtpcs|b@x.test", "victim@elsewhere.test"),
        ("\"a|tcp_lmtpcs|b\"@x.test", "victim@elsewhere.test"),
        ("|tcp_lmtpcs|@x.test", "victim@elsewhere.test"),
        ("a@x.test", "v|tcp_lmtpcs|w@elsewhere.test"),
    ] {
        let hello = "EHLO a|tcp_lmtpcs|b.test";
        let from = format!("MAIL FROM:<{sender}>");
        assert!(dialogue(&instance, [127, 0, 0, 1], &[hello, &from, ours]).starts_with("250 "));
        let to = format!("RCPT TO:<{to}>");
        let said = dialogue(&instance, [127, 0, 0, 1], &[hello, &from, &to]);
        assert_eq!(said, "550 5.7.1 Relaying not permitted", "{from} {to}");
    }
}

const CONNECT: &str = r#"mappings: {
        "IP_ACCESS": [
            ("stores|1|1|127.0.0.1|*", "$A127.0.0.4"),
            ("stores|*|*|$<127.0.0.2/0>|*", "$I"),
            ("stores|*|*|127.0.0.3|*", "$NNever$ there"),
        ],"#;

#[test]
fn ip_access_is_asked_before_a_connection_leaves() {
    let sink = Sink::start();
    let other = Sink::at(SocketAddr::from(([127, 0, 0, 4], sink.port)));
    let settings = Settings::standalone().stores(sink.port).edit("mappings: {", CONNECT);
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut session = Dialogue::open(instance.settings.smtp);
    let to = ["a@one.test", "b@two.test", "c@three.test"];
    session.message("alice@relais.example", &to, &message("far", 300)).expect(250);
    let limit = Duration::from_secs(20);
    eventually("the one is taken elsewhere", limit, || other.total() == 1);
    eventually("the third is returned", limit, || {
        let notices = mailbox(&instance.store(), "relais.example", "alice");
        let text = String::from_utf8_lossy(&notices.concat()).into_owned();
        text.contains("550 5.1.2") && text.contains("may not be connected to")
    });
    eventually("the second waits", limit, || {
        let waits = instance.json("queue", &["list"]);
        waits.len() == 1 && format!("{waits:?}").contains("skipped by IP_ACCESS")
    });
    assert_eq!(sink.total(), 0);
    let notices = mailbox(&instance.store(), "relais.example", "alice");
    assert!(!String::from_utf8_lossy(&notices.concat()).contains("Never there"));
    assert!(instance.log().contains("Never there"));
}
