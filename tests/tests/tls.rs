//! TLS as clients see it: `OpenSSL`, Python's smtplib, swaks, Postfix.

use std::{fs, path::Path, process::Command, time::Duration};

use relais_tests::{
    Authority, Dialogue, Instance, Settings, eventually, free_port, mailbox, message, needs,
    python, run_with, succeed,
};

/// An engine with certificates, STARTTLS on both of its ports, and one where TLS comes first.
struct Engine {
    instance: Instance,
    authority: Authority,
    smtps: u16,
}

impl Engine {
    /// `server`: what the channel of SMTP asks of TLS. `more`: fields of the section.
    fn new(server: &str, more: &str) -> Self {
        let (smtps, settings) = (free_port(), Settings::standalone());
        let smtp = settings.smtp;
        let tls = format!("tls: (certificate: \"localhost.crt\", key: \"localhost.key\", {more})");
        let settings = settings
            .section(&tls)
            .channel("tcp_local", &format!("tls: (server: {server})"))
            .channel("tcp_lmtpss", "tls: (server: May)")
            .edit(&format!("ports: [{smtp}]"), &format!("ports: [{smtp}], tls_ports: [{smtps}]"));
        let instance = Instance::new(settings);
        let authority = Authority::new(instance.data());
        authority.sign("localhost", &["localhost"], 2099);
        Self { instance, authority, smtps }
    }

    /// Samples of `relais_tls_handshakes_total` with this result.
    fn handshakes(&self, result: &str) -> f64 {
        let page = relais_tests::fetch(self.instance.settings.admin, "/metrics").expect("metrics");
        let with = |line: &&str| {
            line.starts_with("relais_tls_handshakes_total")
                && line.contains(&format!("result=\"{result}\""))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        page.body.lines().filter(with).filter_map(value).sum()
    }

    /// `openssl s_client` with these arguments, saying QUIT once it may.
    fn s_client(&self, port: u16, arguments: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"]);
        command.arg(self.authority.file()).args(arguments);
        let output = run_with(&mut command, b"QUIT\r\n");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The severity with which `relais check` says something like this about a field.
    #[track_caller]
    fn check(&self, want: &str, field: &str) -> String {
        let output = self.instance.relais("check", &["--json"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found: serde_json::Value = serde_json::from_str(&text).expect("a list");
        let says = |one: &&serde_json::Value| one["message"].to_string().contains(want);
        let told = found.as_array().expect("a list").iter().find(says);
        let told = told.unwrap_or_else(|| panic!("{want}: {text}"));
        assert_eq!(told["field"], field, "{text}");
        assert!(told["line"].as_u64() > Some(1) && told["column"].as_u64() > Some(1), "{text}");
        told["severity"].as_str().expect("a word").to_owned()
    }

    /// Runs a script with `SMTP`, `SMTPS` and `CA` set; it must succeed.
    #[track_caller]
    fn python(&self, script: &str) -> String {
        let start = format!(
            "import smtplib, ssl, socket\nSMTP, SMTPS = {}, {}\nCA = ssl.create_default_context(cafile='{}')\n",
            self.instance.settings.smtp,
            self.smtps,
            self.authority.file().display(),
        );
        python(&(start + script))
    }
}

#[test]
fn mail_comes_by_starttls_and_by_the_port_where_tls_comes_first() {
    let engine = Engine::new("May", "");
    let _running = engine.instance.start();
    engine.python(
        r#"
with smtplib.SMTP("localhost", SMTP) as client:
    client.ehlo()
    assert client.has_extn("starttls")
    assert client.mail("early@b.test")[0] == 250
    assert client.starttls(context=CA)[0] == 220
    assert client.docmd("MAIL FROM:<a@b.test>")[0] == 503, "nothing of before holds"
    client.ehlo()
    assert not client.has_extn("starttls")
    assert client.docmd("STARTTLS")[0] == 503
    client.sendmail("a@b.test", ["alice@relais.example"], "Subject: one\r\n\r\nbody\r\n" * 3000)
with smtplib.SMTP_SSL("localhost", SMTPS, context=CA) as client:
    client.sendmail("a@b.test", ["alice@relais.example"], "Subject: two\r\n\r\nbody\r\n")
"#,
    );
    let stored = || mailbox(&engine.instance.store(), "relais.example", "alice");
    eventually("both are delivered", LIMIT, || stored().len() == 2);
    for message in stored() {
        let text = String::from_utf8_lossy(&message).replace("\r\n\t", " ");
        assert!(text.contains(" (relais) with ESMTPS id "), "{}", &text[..500]);
        assert!(text.contains("@relais.example> tls TLS_AES_256_GCM_SHA384;"), "{}", &text[..500]);
    }
    assert!(engine.handshakes("full") >= 2.0);
}

#[test]
fn where_tls_is_a_must_nothing_moves_in_clear() {
    let engine = Engine::new("Must", "");
    let _running = engine.instance.start();
    let mut client = Dialogue::open(engine.instance.settings.smtp);
    for command in ["MAIL FROM:<a@b.test>", "RSET", "VRFY x", "HELP", "BDAT 6\r\nRSET"] {
        client.ask(command).expect_start("530 5.7.0 ");
    }
    client.ask("NOOP").expect(250);
    client.ask("QUIT").expect(221);
    engine.python(
        r#"
with smtplib.SMTP("localhost", SMTP) as client:
    client.starttls(context=CA)
    client.sendmail("a@b.test", ["alice@relais.example"], "Subject: one\r\n\r\nbody\r\n")
"#,
    );
}

#[test]
fn octets_behind_starttls_close_the_connection() {
    let engine = Engine::new("May", "");
    let _running = engine.instance.start();
    for behind in ["EHLO evil.test\r\n", "\r\n", "x", "\u{16}\u{3}\u{1}"] {
        let mut client = Dialogue::open(engine.instance.settings.smtp);
        client.send(format!("STARTTLS\r\n{behind}").as_bytes()).expect("a command");
        client.reply().expect("a reply").expect_start("554 5.5.0 ");
        assert!(client.is_closed());
    }
    let mut client = Dialogue::open(engine.instance.settings.smtp);
    client.ask("STARTTLS now").expect(501);
    client.ask("STARTTLS").expect(220);
    client.send(b"EHLO clear.test\r\n").expect("a command");
    assert!(client.reply().is_err(), "what comes in clear is no command any more");
    eventually("it is counted", LIMIT, || engine.handshakes("not_tls") >= 1.0);
    let log = engine.instance.log();
    assert!(log.contains("no TLS: the handshake failed"), "{log}");
}

#[test]
fn lmtp_speaks_tls_too() {
    let engine = Engine::new("May", "");
    let _running = engine.instance.start();
    let said = engine.s_client(
        engine.instance.settings.lmtp,
        &["-starttls", "lmtp", "-verify_return_error", "-verify_hostname", "localhost", "-crlf"],
    );
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    assert!(said.contains("Protocol  : TLSv1.3") || said.contains("New, TLSv1.3"), "{said}");
}

#[test]
fn a_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let more = "more_certificates: [(certificate: \"other.crt\", key: \"other.key\"), \
                (certificate: \"wild.crt\", key: \"wild.key\")]";
    let engine = Engine::new("May", more);
    engine.authority.sign("other", &["other.test", "another.test"], 2099);
    engine.authority.sign("wild", &["*.wild.test"], 2099);
    let _running = engine.instance.start();
    for (asked, want) in [
        (&["-servername", "other.test"][..], "CN = other.test"),
        (&["-servername", "ANOTHER.test"], "CN = other.test"),
        (&["-servername", "mx.wild.test"], "CN = *.wild.test"),
        (&["-servername", "a.mx.wild.test"], "CN = localhost"),
        (&["-servername", "unknown.test"], "CN = localhost"),
        (&["-noservername"], "CN = localhost"),
    ] {
        let said = engine.s_client(engine.smtps, asked);
        let subject = said.lines().find(|line| line.starts_with("subject=")).unwrap_or(&said);
        assert!(subject.contains(want), "{asked:?}: {subject}");
    }
    let shown = engine.instance.json("cert", &[]);
    let names: Vec<_> =
        shown[0].as_array().expect("a list").iter().map(|one| &one["names"]).collect();
    assert_eq!(names[1], &serde_json::json!(["other.test", "another.test"]));
    assert!(shown[0][0]["days_left"].as_i64().is_some_and(|days| days > 10_000), "{shown:?}");
    assert!(engine.instance.metric("relais_tls_certificate_expires_timestamp_seconds") > 4e9);
}

#[test]
fn handshakes_that_fail_are_counted_by_their_reason() {
    let engine = Engine::new("May", "handshake_time: \"1s\", min_version: Tls13");
    let _running = engine.instance.start();
    let client = Dialogue::connect(engine.smtps);
    assert!(client.is_err(), "nothing is said before the handshake");
    eventually("a silent client is given up", LIMIT, || engine.handshakes("timeout") >= 1.0);
    engine.s_client(engine.smtps, &["-tls1_2"]);
    eventually("TLS 1.2 is too old here", LIMIT, || engine.handshakes("version") >= 1.0);
    let said = engine.python(
        r#"
try:
    smtplib.SMTP_SSL("localhost", SMTPS, context=ssl.create_default_context())
except ssl.SSLError as error:
    print(error)
"#,
    );
    assert!(said.contains("CERTIFICATE_VERIFY_FAILED"), "{said}");
    let refused = || engine.handshakes("certificate_refused") >= 1.0;
    eventually("an unknown authority", LIMIT, refused);
}

#[test]
fn sessions_are_resumed_unless_the_setting_says_otherwise() {
    for (more, version, resumed) in [
        ("", "-tls1_3", true),
        ("", "-tls1_2", true),
        ("session_tickets: 0", "-tls1_3", false),
        ("session_tickets: 0", "-tls1_2", false),
    ] {
        let engine = Engine::new("May", more);
        let _running = engine.instance.start();
        let kept = engine.instance.path("session");
        let kept = kept.to_str().expect("a path");
        // A ticket of TLS 1.3 comes behind the handshake: the client has to stay for a reply.
        let input = format!(
            "(sleep 0.5; printf 'QUIT\\r\\n') | openssl s_client -connect 127.0.0.1:{} {version} \
             -sess_out {kept} -ign_eof; [ -f {kept} ] && (sleep 0.5; printf 'QUIT\\r\\n') | openssl s_client -connect \
             127.0.0.1:{} {version} -sess_in {kept} -ign_eof",
            engine.smtps, engine.smtps
        );
        let output = run_with(Command::new("sh").arg("-c").arg(&input), b"");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.contains("Reused, TLSv1"), resumed, "{more} {version}: {said}");
        assert_eq!(engine.handshakes("resumed") >= 1.0, resumed, "{more} {version}");
    }
}

#[test]
fn check_says_in_words_what_is_wrong_with_a_certificate() {
    let more = "more_certificates: [(certificate: \"other.crt\", key: \"other.key\")]";
    let engine = Engine::new("May", more);
    let (certificate, key) = engine.authority.sign("other", &["other.test"], 2099);
    let (crt, pem_key) = ("tls.more_certificates[0].certificate", "tls.more_certificates[0].key");
    let good = fs::read(&certificate).expect("a file");
    let good_key = fs::read(&key).expect("a file");
    let openssl = |arguments: &[&str]| succeed(Command::new("openssl").args(arguments), b"");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let rows: [(&str, &str, &dyn Fn()); 8] = [
        ("No such file", crt, &|| fs::remove_file(&certificate).expect("a file")),
        ("it is no PEM", crt, &|| fs::write(&certificate, b"\x30\x82\x01\x00").expect("a file")),
        ("holds a private key and no certificate", crt, &|| {
            fs::write(&certificate, &good_key).expect("a file");
        }),
        ("holds a certificate and no private key", pem_key, &|| {
            fs::write(&key, &good).expect("a file");
        }),
        ("locked with a passphrase", pem_key, &|| {
            let locked =
                ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256"];
            openssl(&[&locked[..], &["-pass", "pass:x", "-out", &text(&key)]].concat());
        }),
        ("not the key of the certificate other.test", pem_key, &|| {
            fs::copy(engine.instance.data().join("localhost.key"), &key).expect("a file");
        }),
        ("an RSA key of 1024 bits is too short", crt, &|| {
            openssl(&[
                "req",
                "-x509",
                "-newkey",
                "rsa:1024",
                "-nodes",
                "-subj",
                "/CN=other.test",
                "-keyout",
                &text(&key),
                "-out",
                &text(&certificate),
            ]);
        }),
        ("must be the first in its file", pem_key, &|| {
            let ca = fs::read(engine.authority.file()).expect("a file");
            fs::write(&certificate, [ca, good.clone()].concat()).expect("a file");
        }),
    ];
    for (want, field, spoil) in rows {
        spoil();
        assert_eq!(engine.check(want, field), "error", "{want}");
        fs::write(&certificate, &good).expect("a file");
        fs::write(&key, &good_key).expect("a file");
    }
    engine.authority.sign("other", &["other.test"], 2021);
    assert_eq!(engine.check("the certificate expired", crt), "warning");
    engine.authority.sign("localhost", &["not-ours.test"], 2099);
    let words = "no certificate is for localhost, the host's own name";
    assert_eq!(engine.check(words, "tls.certificate"), "warning");
    assert!(engine.instance.relais("check", &[]).status.success(), "it runs all the same");
}

#[test]
fn swaks_sends_by_tls() {
    if !needs(&["swaks"]) {
        return;
    }
    let engine = Engine::new("Must", "");
    let _running = engine.instance.start();
    let server = |port: u16| format!("127.0.0.1:{port}");
    for (port, how) in [(engine.instance.settings.smtp, "--tls"), (engine.smtps, "--tlsc")] {
        let mut swaks = Command::new("swaks");
        swaks.args([
            "--server",
            &server(port),
            how,
            "--from",
            "a@b.test",
            "--to",
            "alice@relais.example",
        ]);
        succeed(&mut swaks, b"");
    }
    let stored = || mailbox(&engine.instance.store(), "relais.example", "alice").len();
    eventually("both are delivered", LIMIT, || stored() == 2);
}

#[test]
fn msmtp_sends_by_tls() {
    if !needs(&["msmtp"]) {
        return;
    }
    let engine = Engine::new("Must", "");
    let _running = engine.instance.start();
    for (port, starttls) in [(engine.instance.settings.smtp, "on"), (engine.smtps, "off")] {
        let mut msmtp = Command::new("msmtp");
        msmtp.args(["--host=localhost", &format!("--port={port}"), "--tls=on", "--from=a@b.test"]);
        msmtp.arg(format!("--tls-starttls={starttls}"));
        msmtp.arg(format!("--tls-trust-file={}", engine.authority.file().display()));
        succeed(msmtp.arg("alice@relais.example"), &message("by msmtp", 100));
    }
    let stored = || mailbox(&engine.instance.store(), "relais.example", "alice").len();
    eventually("both are delivered", LIMIT, || stored() == 2);
}

const LIMIT: Duration = Duration::from_secs(30);
