//! Filters that people run: rspamd, opendkim and clamav-milter, as Debian has them.

use std::time::Duration;

use relais_tests::{
    Dialogue, EICAR, ForeignFilter, Instance, Running, Settings, dkim_key, eventually, mailbox,
    needs,
};

const SENDER: &str = "ann@client.test";
const ALICE: &str = "alice@relais.example";
/// A message that every spam filter takes for spam, in two parts.
const GTUBE: &str =
    concat!("XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X");

/// The standalone engine, whose SMTP service asks these filters, and messages above 16 KiB go to files.
fn engine(filters: &[(&str, &ForeignFilter)]) -> (Instance, Running) {
    let listed =
        filters.iter().map(|(name, its)| format!("{name:?}: (socket: {:?}), ", its.socket));
    let listed: String = listed.collect();
    let names: Vec<_> = filters.iter().map(|(name, _)| *name).collect();
    let settings = Settings::standalone()
        .edit("channel: \"tcp_local\",", &format!("channel: \"tcp_local\", milters: {names:?},"))
        .section(&format!("milters: {{{listed}}}"))
        .section("spool: (large_message: \"16KiB\")");
    let instance = Instance::new(settings);
    let running = instance.start();
    (instance, running)
}

/// The messages of alice, once there are so many, in the order of their names.
#[track_caller]
fn messages(instance: &Instance, count: usize) -> Vec<String> {
    let stored = || mailbox(&instance.store(), "relais.example", "alice");
    eventually("it is delivered", Duration::from_secs(20), || stored().len() >= count);
    stored().iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect()
}

fn content(subject: &str, body: &str) -> Vec<u8> {
    let header = format!(
        "From: {SENDER}\r\nTo: {ALICE}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@client.test>\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n"
    );
    format!("{header}\r\n{body}\r\n").into_bytes()
}

#[test]
fn rspamd_refuses_spam_and_adds_headers() {
    if !needs(&["/usr/bin/rspamd"]) {
        return;
    }
    let rspamd = ForeignFilter::rspamd();
    let (instance, _running) = engine(&[("rspamd", &rspamd)]);
    // Several sessions, several messages each.
    for n in 0..3 {
        let mut client = Dialogue::open(instance.settings.smtp);
        let refused = client.message(SENDER, &[ALICE], &content("spam", GTUBE));
        refused.expect(554).expect_start("554 5.7.1 Gtube pattern");
        let large = "0123456789\r\n".repeat(4_000 * n);
        client.message(SENDER, &[ALICE], &content("ham", &large)).expect(250);
        client.message(SENDER, &[ALICE], &content("more", "ham")).expect(250);
        client.ask("QUIT").expect(221);
    }
    for message in messages(&instance, 6) {
        assert!(message.contains("\r\nX-Spamd-Result: default: False"), "{message}");
        let id = message.split("\r\nX-Rspamd-Queue-Id: ").nth(1).expect("the queue id");
        let id = id.split("\r\n").next().unwrap();
        assert!(message.contains(&format!("id {id}")), "{message}");
    }
    let status = String::from_utf8(instance.relais("status", &[]).stdout).unwrap();
    assert!(status.contains(" answers, 6 accepted, 3 rejected\n"), "{status}");
}

#[test]
fn opendkim_signs_and_another_verifies_what_it_signed() {
    if !needs(&["/usr/sbin/opendkim", "/usr/bin/openssl"]) {
        return;
    }
    let keys = dkim_key();
    let signer = ForeignFilter::opendkim(keys.path(), "s");
    let verifier = ForeignFilter::opendkim(keys.path(), "v");
    let (instance, _running) = engine(&[("sign", &signer), ("verify", &verifier)]);
    for n in 0..2 {
        let mut client = Dialogue::open(instance.settings.smtp);
        for body in ["hello\r\n\r\n.dot\r\n", &"0123456789\r\n".repeat(5_000)] {
            client.message(SENDER, &[ALICE], &content(&format!("n{n}"), body)).expect(250);
        }
        client.ask("QUIT").expect(221);
    }
    // The stored copies hold as they are, too: another engine looks at them.
    let (another, _running) = engine(&[("verify", &verifier)]);
    let mut client = Dialogue::open(another.settings.smtp);
    for message in messages(&instance, 4) {
        let own =
            message.find("DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=client.test;");
        let own = own.expect("a signature");
        assert!(is_verified(&message), "{message}");
        let results = message.find("Authentication-Results: ").expect("a result");
        assert!(results < own, "what comes later stands above: {message}");
        client.message(SENDER, &[ALICE], &message.as_bytes()[own..]).expect(250);
    }
    assert!(messages(&another, 4).iter().all(|message| is_verified(message)));
    let forged = content("forged", "hello");
    let signature = messages(&instance, 4).remove(0);
    let own = signature.find("DKIM-Signature: ").expect("a signature");
    let end = own + signature[own..].find("\r\nFrom: ").expect("the next field") + 2;
    let forged = [&signature.as_bytes()[own..end], &forged].concat();
    client.message(SENDER, &[ALICE], &forged).expect(250);
    let failed = |message: &String| message.contains("Subject: forged") && !is_verified(message);
    assert!(messages(&another, 5).iter().any(failed), "it does look");
}

fn is_verified(message: &str) -> bool {
    let results = message.split("Authentication-Results: verifier.test;").nth(1);
    results.is_some_and(|rest| rest.trim_start().starts_with("dkim=pass"))
}

#[test]
fn clamav_milter_refuses_a_virus() {
    if !needs(&["/usr/sbin/clamav-milter", "/usr/sbin/clamd"]) {
        return;
    }
    let clamav = ForeignFilter::clamav();
    let (instance, _running) = engine(&[("clamav", &clamav)]);
    for _ in 0..2 {
        let mut client = Dialogue::open(instance.settings.smtp);
        let refused = client.message(SENDER, &[ALICE], &content("virus", EICAR));
        refused.expect_start("550 5.7.1 virus Eicar-Test-Signature");
        client.message(SENDER, &[ALICE], &content("clean", "hello")).expect(250);
        client.ask("QUIT").expect(221);
    }
    for message in messages(&instance, 2) {
        assert!(message.contains("\r\nX-Virus-Status: Clean\r\n"), "{message}");
    }
}
