//! Checks of the origin of mail on its way in, with the records of a real name server and signatures
//! of dkimpy.

use std::{fs, path::Path, time::Duration};

use relais_tests::{
    DKIMPY, Dialogue, DkimKey, Instance, NameServer, Settings, dkimpy_signs, eventually, mailbox,
    needs,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves these zones, and those above them.
fn serving(zones: &[(&str, &str)]) -> NameServer {
    NameServer::start(&[zones, &[("test", ""), ("invalid", "")]].concat())
}

/// Strangers' mail is checked, by the records of this server.
fn checking(server: &NameServer, verify: &str) -> Settings {
    Settings::standalone()
        .channel("tcp_local", &format!("verify: ({verify})"))
        .edit("host: \"localhost\"", "host: \"mx.relais.example\"")
        .edit("@localhost\"", "@mx.relais.example\"")
        .edit("tag: \"localhost\"", "tag: \"mx.relais.example\"")
        .section(&format!("dns: (servers: [\"127.0.0.1:{}\"])", server.port))
        .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
}

/// Sends a message from a client of this address, and returns the last reply.
fn send(instance: &Instance, client: u8, sender: &str, content: &[u8]) -> String {
    let client = Dialogue::connect_from([127, 0, 0, client], instance.settings.smtp);
    let (mut client, _) = client.expect("a greeting");
    client.patience(PATIENCE);
    client.ask("EHLO client.good.test").expect(250);
    let reply = client.ask(&format!("MAIL FROM:<{sender}>"));
    if !reply.text.starts_with("250") {
        return reply.text;
    }
    client.ask("RCPT TO:<bob@relais.example>").expect(250);
    client.ask("DATA").expect(354);
    client.finish(content).text
}

/// The stored message with this text in it.
fn stored(instance: &Instance, mark: &str) -> String {
    let found = || {
        let all = mailbox(&instance.store(), "relais.example", "bob").into_iter();
        let mut all = all.map(|message| String::from_utf8_lossy(&message).into_owned());
        all.find(|message| message.contains(mark))
    };
    eventually(mark, PATIENCE, || found().is_some());
    found().expect("it is there")
}

/// The results in the fields that bear our name, blanks made one, and how many such fields there are.
fn results(message: &str) -> (String, usize) {
    let header = message.split("\r\n\r\n").next().expect("a header");
    let unfolded = header.replace("\r\n\t", " ").replace("\r\n ", " ");
    let fields = unfolded.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authentication-results").then_some(value)
    });
    let ours: Vec<_> = fields.filter(|value| value.contains("mx.relais.example")).collect();
    let words = ours.first().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    (words.unwrap_or_default(), ours.len())
}

/// The same with the same letter for every signature.
fn without_signatures(results: &str) -> String {
    let words = results.split(' ').map(|word| match word.strip_prefix("header.b=") {
        Some(rest) if rest.ends_with(';') => "header.b=B;",
        Some(_) => "header.b=B",
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

const GOOD: &str = "@ TXT \"v=spf1 ip4:127.0.0.7 -all\"\n\
    client TXT \"v=spf1 ip4:127.0.0.7 -all\"\n\
    _dmarc TXT \"v=DMARC1; p=reject\"\n\
    soft TXT \"v=spf1 ~all\"\n\
    wrong TXT \"v=spf1 nonsense\"\n";
const LAX: &str = "@ TXT \"v=spf1 -all\"\n_dmarc TXT \"v=DMARC1; p=quarantine\"\n";

/// A signer: the key, the form of the header and that of the body.
type Signer<'a> = Option<(&'a DkimKey, &'a str, &'a str)>;

fn rows<'a>(
    rsa: &'a DkimKey,
    ed: &'a DkimKey,
    large: &'a str,
) -> Vec<(u8, &'a str, &'a str, Signer<'a>, &'a str, &'a str)> {
    // client, sender, From, who signs, body, results
    vec![
        (
            7,
            "a@good.test",
            "a@good.test",
            None,
            "x\r\n",
            "spf=pass smtp.mailfrom=a@good.test; spf=pass smtp.helo=client.good.test; dkim=none; \
          dmarc=pass (p=reject) header.from=good.test",
        ),
        (
            8,
            "a@good.test",
            "a@good.test",
            None,
            "x\r\n",
            "spf=fail smtp.mailfrom=a@good.test; spf=fail smtp.helo=client.good.test; dkim=none; \
          dmarc=fail (p=reject) header.from=good.test",
        ),
        (
            8,
            "a@soft.good.test",
            "b@sub.good.test",
            Some((rsa, "relaxed", "relaxed")),
            "hello\r\n \r\n",
            "spf=softfail smtp.mailfrom=a@soft.good.test; spf=fail smtp.helo=client.good.test; \
          dkim=pass header.d=good.test header.s=r header.b=B; \
          dmarc=pass (p=reject) header.from=sub.good.test",
        ),
        (
            7,
            "",
            "a@else.invalid",
            Some((ed, "simple", "simple")),
            "x\r\n",
            "spf=pass smtp.helo=client.good.test; dkim=pass header.d=lax.test header.s=e header.b=B; \
          dmarc=none (p=none) header.from=else.invalid",
        ),
        (
            8,
            "a@wrong.good.test",
            "a@lax.test",
            Some((ed, "relaxed", "simple")),
            large,
            "spf=permerror smtp.mailfrom=a@wrong.good.test; spf=fail smtp.helo=client.good.test; \
          dkim=pass header.d=lax.test header.s=e header.b=B; \
          dmarc=pass (p=quarantine) header.from=lax.test",
        ),
        (
            8,
            "a@nobody.invalid",
            "a@lax.test",
            Some((rsa, "relaxed", "relaxed")),
            large,
            "spf=none smtp.mailfrom=a@nobody.invalid; spf=fail smtp.helo=client.good.test; \
          dkim=pass header.d=good.test header.s=r header.b=B; \
          dmarc=fail (p=quarantine) header.from=lax.test",
        ),
    ]
}

#[test]
fn strangers_are_checked_and_results_are_written_down_once() {
    if !needs(&[NameServer::PROGRAM, DKIMPY]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let rsa = DkimKey::rsa(folder.path(), "good.test", "r", 2_048);
    let ed = DkimKey::ed25519(folder.path(), "lax.test", "e");
    let zones = [GOOD.to_owned() + &rsa.zone_line(), LAX.to_owned() + &ed.zone_line()];
    let server = serving(&[("good.test", &zones[0]), ("lax.test", &zones[1])]);
    let checking = checking(&server, "spf: Record, dkim: true, dmarc: Record");
    // A script that changes the header of all mail changes nothing about what is found.
    for (before, sieved) in [("", false), ("before: \"before.sieve\"", true)] {
        let sieve = format!("sieve: ({before})");
        let instance = Instance::new(checking.clone().section(&sieve));
        let script = "require \"editheader\"; addheader \"X-Sieved\" \"yes\";";
        fs::create_dir_all(instance.data()).expect("room");
        fs::write(instance.data().join("before.sieve"), script).expect("a file");
        let _running = instance.start();
        results_are_written_down((&instance, sieved), (&rsa, &ed), folder.path());
    }
}

/// Each message says what is found out about it, once.
fn results_are_written_down(
    (instance, sieved): (&Instance, bool),
    (rsa, ed): (&DkimKey, &DkimKey),
    folder: &Path,
) {
    let forged = "Authentication-Results: (x) MX.relais.example; dmarc=pass\r\n\
        Authentication-Results: other.example; spf=pass\r\n";
    let message = |from: &str, mark: &str, body: &str| {
        format!("{forged}From: {from}\r\nSubject: {mark}\r\n\r\n{body}")
    };
    let large = "A line.\t \r\n".repeat(100_000) + "hello\r\n \r\n\r\n";
    for (n, (client, sender, from, signer, body, want)) in
        rows(rsa, ed, &large).into_iter().enumerate()
    {
        let mark = format!("row-{n}-of-these");
        let mut content = message(from, &mark, body).into_bytes();
        if let Some((key, header, body)) = signer {
            let file = folder.join("message");
            fs::write(&file, &content).expect("a file");
            content = dkimpy_signs(&file, key, (header, body));
        }
        let reply = send(instance, client, sender, &content);
        assert!(reply.starts_with("250"), "{mark}: {reply}");
        let got = stored(instance, &mark);
        let (said, fields) = results(&got);
        assert_eq!(
            without_signatures(&said),
            format!("mx.relais.example; {want}"),
            "{mark}: {got:.3000}"
        );
        assert_eq!(fields, 1, "{mark}: {got:.3000}");
        assert_eq!(got.contains("\r\nX-Sieved: yes\r\n"), sieved, "{got:.3000}");
        assert!(
            got.contains("\r\nAuthentication-Results: other.example; spf=pass\r\n"),
            "{got:.3000}"
        );
        let end = got.ends_with(
            &String::from_utf8_lossy(&content[content.len() - body.len()..]).into_owned(),
        );
        assert!(end, "{mark}: the body is another");
    }
    // Clients of ours are asked for nothing.
    let content = message("a@good.test", "of-our-own", "x\r\n");
    assert!(send(instance, 1, "a@good.test", content.as_bytes()).starts_with("250"));
    let got = stored(instance, "of-our-own");
    assert!(!got.contains("MX.relais.example") && results(&got).1 == 0, "{got}");
    assert!(got.contains("\r\nAuthentication-Results: other.example; spf=pass\r\n"), "{got}");
}

/// RFC 8601 section 5: nobody but a relay of ours says anything under our name.
#[test]
fn results_under_our_name_are_taken_off_whoever_brings_them_but_a_relay_of_ours() {
    let forged = "Authentication-Results: LOCALHOST; dmarc=pass\r\n";
    for (fields, stays) in [("", false), ("verify: (keep_results: true)", true)] {
        let settings = Settings::standalone();
        let settings =
            if fields.is_empty() { settings } else { settings.channel("tcp_local", fields) };
        let instance = Instance::new(settings.edit(
            "mappings: {",
            "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],",
        ));
        let _running = instance.start();
        let large = "A line.\r\n".repeat(200_000);
        for (n, (client, body)) in
            [(1, "x\r\n"), (8, "x\r\n"), (1, &large), (8, &large)].into_iter().enumerate()
        {
            let mark = format!("row-{n}-of-these");
            let content = format!("{forged}From: a@good.test\r\nSubject: {mark}\r\n\r\n{body}");
            assert!(send(&instance, client, "a@good.test", content.as_bytes()).starts_with("250"));
            let got = stored(&instance, &mark);
            assert_eq!(got.contains(forged), stays, "{mark}: {got:.2000}");
            assert!(got.ends_with(&format!("Subject: {mark}\r\n\r\n{body}")), "{got:.2000}");
        }
    }
}

#[test]
fn a_body_that_was_changed_fails_and_so_does_a_header() {
    if !needs(&[NameServer::PROGRAM, DKIMPY]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let key = DkimKey::rsa(folder.path(), "good.test", "r", 2_048);
    let weak = DkimKey::rsa(folder.path(), "good.test", "w", 1_024);
    let gone = DkimKey { selector: "gone".to_owned(), ..key.clone() };
    let zone = GOOD.to_owned()
        + &key.zone_line()
        + &weak.zone_line()
        + "off._domainkey TXT \"v=DKIM1; p=\"\n";
    let off = DkimKey { selector: "off".to_owned(), ..key.clone() };
    let server = serving(&[("good.test", &zone)]);
    let instance = Instance::new(checking(&server, "dkim: true, max_signatures: 3"));
    let _running = instance.start();
    let file = folder.path().join("message");
    let signed = |key: &DkimKey, mark: &str| {
        let content = format!("From: a@good.test\r\nSubject: {mark}\r\n\r\nbody of it\r\n");
        fs::write(&file, content).expect("a file");
        String::from_utf8(dkimpy_signs(&file, key, ("relaxed", "relaxed"))).expect("text")
    };
    let rows = [
        ("as-it-was", signed(&key, "as-it-was"), "dkim=pass "),
        ("weak-key", signed(&weak, "weak-key"), "dkim=pass "),
        (
            "other-body",
            signed(&key, "other-body").replace("body of", "bodies of"),
            "dkim=fail (the body has changed) ",
        ),
        (
            "other-header",
            signed(&key, "other-header").replace("a@good", "b@good"),
            "dkim=fail (the signature does not hold) ",
        ),
        ("no-such-key", signed(&gone, "no-such-key"), "dkim=permerror (there is no key) "),
        ("revoked", signed(&off, "revoked"), "dkim=permerror (the key is revoked) "),
        (
            "makes-no-sense",
            "DKIM-Signature: v=9; x\r\nSubject: makes-no-sense\r\n\r\nx\r\n".to_owned(),
            "dkim=neutral (the signature makes no sense)",
        ),
        (
            "many-of-them",
            format!("{}{}", "DKIM-Signature: v=1\r\n".repeat(900), signed(&key, "many-of-them")),
            "dkim=pass ",
        ),
    ];
    for (mark, content, want) in rows {
        assert!(send(&instance, 9, "a@good.test", content.as_bytes()).starts_with("250"), "{mark}");
        let (said, _) = results(&stored(&instance, mark));
        assert!(said.contains(want), "{mark}: {said}");
        assert!(said.len() < 1_000, "{mark}: {said}");
    }
}

#[test]
fn nothing_is_refused_unless_the_channel_says_so() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = serving(&[("good.test", GOOD), ("lax.test", LAX)]);
    let content = |from: &str, mark: &str| format!("From: {from}\r\nSubject: {mark}\r\n\r\nx\r\n");
    let instance = Instance::new(checking(&server, "spf: Refuse"));
    let running = instance.start();
    let reply = send(&instance, 8, "a@good.test", b"");
    assert_eq!(reply, "550 5.7.23 127.0.0.8 may not send for good.test (SPF)\r\n");
    for (client, sender) in [(7, "a@good.test"), (1, "a@good.test"), (8, "a@soft.good.test")] {
        let reply = send(&instance, client, sender, content(sender, "x").as_bytes());
        assert!(reply.starts_with("250"), "{client} {sender}: {reply}");
    }
    drop(running);
    let instance = Instance::new(checking(&server, "dmarc: Enforce"));
    let _running = instance.start();
    let reply = send(&instance, 8, "a@soft.good.test", content("a@good.test", "bad").as_bytes());
    assert!(reply.starts_with("550 5.7.1 nothing proves that it is from good.test"), "{reply}");
    let large = content("a@good.test", "bad") + &"A line of it.\r\n".repeat(100_000);
    let reply = send(&instance, 8, "a@soft.good.test", large.as_bytes());
    assert!(reply.starts_with("550 5.7.1 nothing proves that it is from good.test"), "{reply}");
    let reply = send(&instance, 8, "a@lax.test", content("a@lax.test", "held").as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    eventually("it is held", PATIENCE, || {
        instance.queue().iter().any(|entry| entry.to_string().contains("lax.test"))
    });
    let reply = send(&instance, 7, "a@good.test", content("a@good.test", "fine").as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    stored(&instance, "fine");
    let log = instance.log();
    assert!(log.contains("\"origin checked\"") && log.contains("\"dmarc\":\"fail\""), "{log}");
}

/// Name servers that say nothing, or that they have failed, cost time and no mail.
#[test]
fn mail_is_taken_where_nobody_can_tell() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let mut server = serving(&[("good.test", GOOD)]);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = silent.local_addr().expect("its address").port();
    let known = std::mem::replace(&mut server.port, port);
    let settings = checking(&server, "spf: Refuse, dkim: true, dmarc: Enforce, time: \"1s\"");
    server.port = known;
    let instance = Instance::new(settings);
    let _running = instance.start();
    let started = std::time::Instant::now();
    let content = "From: a@good.test\r\nSubject: unknown\r\n\r\nx\r\n";
    let reply = send(&instance, 8, "a@good.test", content.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    let (said, _) = results(&stored(&instance, "unknown"));
    assert!(said.contains("spf=temperror") && said.contains("dmarc=temperror"), "{said}");
}

#[test]
fn a_table_decides_by_what_was_found_out() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server = serving(&[("good.test", GOOD), ("lax.test", LAX)]);
    let settings = checking(&server, "spf: Record, dmarc: Enforce").edit(
        "mappings: {",
        "mappings: {\n        \"ORIGIN_ACCESS\": [\
         (\"tcp_local|*@lax.test|lax.test|*|*|fail|*\", \"$Y\"), \
         (\"*|*|*|softfail|none|*|*\", \"$N550$ a$ sender$ nobody$ knows\"), \
         (\"*|*|*|none|*|*|*\", \"$Hno$ SPF\")],",
    );
    let instance = Instance::new(settings);
    let _running = instance.start();
    let content = |from: &str, mark: &str| format!("From: {from}\r\nSubject: {mark}\r\n\r\nx\r\n");
    // sender, From, reply
    let rows = [
        ("a@lax.test", "a@lax.test", "250 "),
        ("a@soft.good.test", "a@else.invalid", "550 5.7.1 a sender nobody knows"),
        ("a@none.invalid", "a@none.invalid", "250 "),
        ("a@lax.test", "a@good.test", "550 5.7.1 nothing proves that it is from good.test"),
    ];
    for (n, (sender, from, want)) in rows.into_iter().enumerate() {
        let reply = send(&instance, 8, sender, content(from, &format!("mark-{n}")).as_bytes());
        assert!(reply.starts_with(want), "{sender} {from}: {reply}");
    }
    stored(&instance, "mark-0");
    let held = || instance.queue().iter().any(|entry| entry.to_string().contains("none.invalid"));
    eventually("it is held", PATIENCE, held);
    let output = instance.relais("check", &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("ORIGIN_ACCESS"), "{said}");
}
