//! The channel that mail comes in by follows the client: its address, TLS, and who it proves to be.

use std::fs;

use relais_tests::{Authority, Instance, Settings, python};

/// As in the sample of a relay: whom `INTERNAL_IP` knows comes in by another channel, and may send
/// anywhere.
const RULES: &str = r#"rewrite_rules: [
        ("[]", "$E$R${INTERNAL_IP,$L}$U%[$L]@intranet-daemon"),
        (".", "$U%$H@tcp-daemon"),"#;
const MAPPINGS: &str = r#"mappings: {
        "INTERNAL_IP": [("127.0.0.2", "$Y"), ("127.0.0.4", "$Y"), ("*", "$N")],
        "ORIG_SEND_ACCESS": [("tcp_local|*|tcp_local|*", "$NRelaying$ not$ permitted")],"#;
const CHANNELS: &str = r#"program: Local),
        (name: "tcp_intranet", tag: "intranet-daemon", program: Smtp, sourceblocklimit: 20000,
         tls: (server: May), tlsswitchchannel: "tcp_inner_tls"),
        (name: "tcp_tls", tag: "tls-daemon", program: Smtp, sourceblocklimit: 30000,
         sasl: (server: May), saslswitchchannel: "tcp_auth", tls: (server: May)),
        (name: "tcp_inner_tls", tag: "inner-tls-daemon", program: Smtp, sourceblocklimit: 40000,
         recipientlimit: 3),
        (name: "tcp_auth", tag: "auth-daemon", program: Smtp, sourceblocklimit: 50000),"#;
const USER: &str = "dn: o=relais.example\nobjectClass: sunManagedOrganization\n\
     sunPreferredDomain: relais.example\n\ndn: uid=ssha,o=relais.example\n\
     objectClass: inetMailUser\nobjectClass: inetLocalMailRecipient\nuid: ssha\n\
     mail: ssha@relais.example\nmailHost: localhost\n\
     userPassword: {SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0\n";

fn instance() -> (Instance, Authority) {
    let own = "switchchannel: Switch, tls: (server: May), tlsswitchchannel: \"tcp_tls\", \
               sourceblocklimit: 10000";
    let settings = Settings::standalone()
        .section("tls: (certificate: \"localhost.crt\", key: \"localhost.key\")")
        .edit("Ldif()", "Ldif(file: \"users.ldif\")")
        .edit("rewrite_rules: [", RULES)
        .edit("mappings: {", MAPPINGS)
        .edit("program: Local),", CHANNELS)
        .channel("tcp_local", own)
        .dispatcher("xclient: [\"127.0.0.4\", \"127.0.0.5\"], client_conns: 1");
    let instance = Instance::new(settings);
    let authority = Authority::new(instance.data());
    authority.sign("localhost", &["localhost"], 2099);
    fs::write(instance.data().join("users.ldif"), USER).expect("a directory");
    (instance, authority)
}

/// Sessions of strangers, of clients of ours, of users, and of proxies.
const SESSIONS: &str = r#"
def came(source):
    client = smtplib.SMTP("localhost", PORT, source_address=(source, 0))
    client.ehlo()
    return client

def size(client):
    client.ehlo()
    return int(client.esmtp_features["size"])

def rcpt(client, to):
    client.docmd("MAIL FROM:<a@b.test>")
    reply = client.docmd(f"RCPT TO:<{to}>")
    client.docmd("RSET")
    return reply

OUT, IN = "someone@elsewhere.test", "ssha@relais.example"

# Strangers stay with the channel of the service: they send to our users, and nobody else.
with came("127.0.0.3") as client:
    assert size(client) == 10000
    assert rcpt(client, IN)[0] == 250
    assert rcpt(client, OUT) == (550, b"5.7.1 Relaying not permitted"), rcpt(client, OUT)
    client.sendmail("a@b.test", [IN], "Subject: x\r\n\r\nfrom a stranger")

# Ours send out.
with came("127.0.0.2") as client:
    assert size(client) == 20000
    assert rcpt(client, OUT)[0] == 250
    client.sendmail("a@b.test", [OUT], "Subject: x\r\n\r\nfrom one of ours")
    client.starttls(context=CA)
    assert size(client) == 40000
    assert rcpt(client, OUT)[0] == 250
    to = [f"someone{i}@elsewhere.test" for i in range(4)]
    refused = client.sendmail("a@b.test", to, "Subject: x\r\n\r\nfrom one of ours by TLS")
    assert list(refused) == to[3:]

# TLS leads on, and who logs in there goes on from there.
with came("127.0.0.3") as client:
    assert "auth" not in client.esmtp_features
    client.starttls(context=CA)
    assert size(client) == 30000
    client.sendmail("a@b.test", [IN], "Subject: x\r\n\r\nfrom a stranger by TLS")
    client.login("ssha", "secret")
    assert size(client) == 50000
    assert rcpt(client, OUT)[0] == 250
    client.sendmail(IN, [OUT], "Subject: x\r\n\r\nfrom a user")

# A proxy of ours speaks for a stranger, who is none of ours for that.
with came("127.0.0.4") as client:
    assert size(client) == 20000
    assert client.docmd("XCLIENT ADDR=192.0.2.9")[0] == 220
    assert size(client) == 10000
    assert rcpt(client, OUT)[0] == 550
with came("127.0.0.4") as client:
    assert client.docmd("XCLIENT ADDR=127.0.0.2")[0] == 220
    assert size(client) == 20000
    assert rcpt(client, OUT)[0] == 250

# A proxy's own login is not the client's.
with came("127.0.0.5") as client:
    client.starttls(context=CA)
    client.login("ssha", "secret")
    for _ in range(3):
        assert client.docmd("XCLIENT ADDR=192.0.2.9")[0] == 220
    client.ehlo()
    assert rcpt(client, OUT)[0] == 550
    client.login("ssha", "secret")
    assert rcpt(client, OUT)[0] == 250
"#;

#[test]
fn a_session_goes_on_in_the_channel_of_its_client() {
    let (instance, authority) = instance();
    let _running = instance.start();
    let start = format!(
        "import smtplib, ssl\nPORT = {}\nCA = ssl.create_default_context(cafile='{}')\n",
        instance.settings.smtp,
        authority.file().display(),
    );
    python(&(start + SESSIONS));
    let log = instance.log();
    let taken = log.lines().filter(|line| line.contains("\"action\":\"E\""));
    let channels: Vec<_> = taken
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            line["source_channel"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    let want = ["tcp_local", "tcp_intranet", "tcp_inner_tls", "tcp_tls", "tcp_auth"];
    assert_eq!(channels, want, "{log}");
}

#[test]
fn route_and_test_access_say_where_a_client_goes_on() {
    let (instance, _) = instance();
    let asked = |offline: &[&str], client: &str, to: &str| {
        let args = [&["--client", client, to], offline].concat();
        let output = instance.relais("route", &args);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let ask_both = |offline: &[&str]| {
        let (accepted, said) = asked(offline, "127.0.0.2", "someone@elsewhere.test");
        let leads = "the client's address leads from tcp_local to tcp_intranet";
        assert!(accepted && said.contains(leads), "{said}");
        assert!(said.contains("rule [] $E$R${INTERNAL_IP,$L}"), "{said}");
        let (accepted, said) = asked(offline, "127.0.0.3", "someone@elsewhere.test");
        let stays = "the client stays with tcp_local";
        assert!(!accepted && said.contains(stays), "{said}");
        assert!(said.contains("Relaying not permitted"), "{said}");
        for (client, words, want) in [("127.0.0.2", leads, true), ("127.0.0.3", stays, false)] {
            let to = ["access", client, "--to", "someone@elsewhere.test"];
            let output = instance.relais("test", &[&to, offline].concat());
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() == want && said.contains(words), "{said}");
        }
    };
    // Client and more; the reply.
    let rows: [(&[&str], &str); 7] = [
        (&["127.0.0.3", "--tls", "--to", "someone@elsewhere.test"], "550 5.7.1 relaying"),
        (
            &["127.0.0.3", "--tls", "--user", "ssha@relais.example", "--to", "x@elsewhere.test"],
            "250",
        ),
        (&["127.0.0.2", "--tls", "--to", "someone@elsewhere.test"], "250 "),
        (&["127.0.0.3", "--from", "user", "--to", "ssha@relais.example"], "501 5.1.7"),
        (&["127.0.0.2", "--from", "user", "--to", "ssha@relais.example"], "250 "),
        (&["127.0.0.3", "--from", "a b@c.test"], "501 5.1.7"),
        (&["127.0.0.3", "--to", "postmaster@[127.0.0.1]"], "250 "),
    ];
    for (arguments, want) in rows {
        let output = instance.relais("test", &[&["access", "--offline"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(want), "{arguments:?}: {said}");
    }
    ask_both(&["--offline"]);
    let _running = instance.start();
    ask_both(&[]);
}
