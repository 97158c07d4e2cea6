//! TLS towards other mail servers: DANE with a zone that is signed, MTA-STS from a server of HTTPS, the
//! operator's table, and REQUIRETLS; a real Postfix is the receiver.

use std::{
    fs,
    path::Path,
    process::Command,
    time::Duration,
};

use relais_tests::{
    Authority, Dialogue, Instance, NameServer, Receiver, Settings, Signed, eventually, message,
    needs, needs_root, succeed,
};
use serde_json::Value;
use tempfile::TempDir;

/// A receiver with a certificate, and the names under which it is found.
struct World {
    postfix: Receiver,
    names: NameServer,
    authority: Authority,
    folder: TempDir,
}

/// Hosts that the receiver's certificate is for.
const HOSTS: [&str; 4] =
    ["mx.ta.secure.test", "mx.enforce.plain.test", "mx.testing.plain.test", "mx.named.plain.test"];

impl World {
    /// `zones`: made of the port, and of the digests of the receiver's key and of its authority.
    fn new(zones: impl FnOnce(u16, &str, &str) -> [(&'static str, String, Signed); 3]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(&folder.path().join("ca"));
        let (certificate, key) = authority.sign("mx", &HOSTS, 2090);
        let chain = folder.path().join("chain.pem");
        let all = [&certificate, &authority.file()].map(|file| fs::read_to_string(file).expect("PEM"));
        fs::write(&chain, all.concat()).expect("a file");
        let postfix = Receiver::postfix(&format!(
            "virtual_mailbox_domains = static:all\nsmtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}",
            chain.display(),
            key.display()
        ));
        let own = digest(&certificate, "-pubkey | openssl pkey -pubin");
        let anchor = digest(&authority.file(), "| openssl x509");
        let zones = zones(postfix.port, &own, &anchor);
        let zones = zones.each_ref().map(|(zone, records, signed)| (*zone, records.as_str(), *signed));
        let names = NameServer::signed(&zones, &folder.path().join("anchor"));
        Self { postfix, names, authority, folder }
    }

    /// Mail for these zones goes where MX records say, to the receiver's port.
    fn settings(&self, tls: &str, sections: &str) -> Settings {
        let (port, names) = (self.postfix.port, self.names.port);
        let ca = self.authority.file();
        let rules = ["secure", "bogus", "plain"]
            .map(|zone| format!("\n        (\".{zone}.test\", \"$U%$H$D@out-daemon\"),"));
        let channel = format!(
            "(name: \"tcp_out\", tag: \"out-daemon\", program: Smtp, port: {port}, mx: Mx, \
             pool: \"SMTP_POOL\", private_addresses: true, backoff: [\"1h\"], \
             tls: (ca: {ca:?}, {tls})),"
        );
        let anchor = self.folder.path().join("anchor");
        Settings::standalone()
            .edit("rewrite_rules: [", &format!("rewrite_rules: [{}", rules.concat()))
            .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
            .edit("program: Local),", &format!("program: Local),\n        {channel}"))
            .section(&format!(
                "dns: (servers: [\"127.0.0.1:{names}\"], trust_anchor: {anchor:?}){sections}"
            ))
    }
}

/// The SHA-256 of what `openssl x509` makes of a certificate.
fn digest(certificate: &Path, made: &str) -> String {
    let script = format!(
        "openssl x509 -in {} -noout {made} -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1",
        certificate.display()
    );
    let script = script.replace("-noout | openssl x509", "| openssl x509");
    succeed(Command::new("sh").args(["-c", &script]), b"").trim().to_owned()
}

fn send(instance: &Instance, to: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    let sent = client.message("ann@sender.test", &[&format!("bob@{to}")], &message(to, 300));
    sent.expect(250);
}

/// What came of the mail for a domain: `D`, `Q` or `R`, the reply, and the protection.
fn came_to(instance: &Instance, host: &str) -> String {
    let mut found = None;
    eventually(&format!("{host} is tried"), PATIENCE, || {
        let log = instance.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        found = lines.find(|line| {
            let action = line["action"].as_str().unwrap_or_default();
            line["channel"] == "tcp_out" && line["host"] == host && ["D", "Q", "R"].contains(&action)
        });
        found.is_some()
    });
    let line = found.unwrap_or_default();
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    format!("{} {} | {}", text("action"), text("reply"), text("protection"))
}

#[test]
fn dane_is_kept_to() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl"]) || !needs_root() {
        return;
    }
    let world = World::new(|port, own, authority| {
        let wrong = "00".repeat(32);
        let host = |name: &str, tlsa: &str| {
            let tlsa = if tlsa.is_empty() {
                String::new()
            } else {
                format!("_{port}._tcp.mx.{name} TLSA {tlsa}\n")
            };
            format!("{name} MX 10 mx.{name}\nmx.{name} A 127.0.0.1\n{tlsa}")
        };
        let secure = [
            host("ee", &format!("3 1 1 {own}")),
            host("ta", &format!("2 0 1 {authority}")),
            host("tahost", &format!("2 0 1 {authority}")),
            host("wrong", &format!("3 1 1 {wrong}")),
            host("unusable", &format!("1 1 1 {wrong}")),
            host("none", ""),
            "alias MX 10 other.alias\nother.alias CNAME mx.ee\n".to_owned(),
            format!("direct A 127.0.0.1\n_{port}._tcp.direct TLSA 3 1 1 {own}\n"),
        ];
        [
            ("secure.test", secure.concat(), Signed::Yes),
            ("bogus.test", host("x", &format!("3 1 1 {own}")), Signed::Bogus),
            ("plain.test", host("x", &format!("3 1 1 {wrong}")), Signed::No),
        ]
    });
    let policies = "policies: {\"none.secure.test\": (level: Dane), \"wrong.secure.test\": (level: Encrypt)}";
    let instance = Instance::new(world.settings("dane: true", ""));
    let running = instance.start();
    let rows = [
        ("ee.secure.test", "D 250", "verified; DANE"),
        ("ta.secure.test", "D 250", "verified; DANE"),
        ("alias.secure.test", "D 250", "verified; DANE"),
        ("direct.secure.test", "D 250", "verified; DANE"),
        ("unusable.secure.test", "D 250", "not verified"),
        ("none.secure.test", "D 250", "not verified"),
        ("x.plain.test", "D 250", "not verified"),
        ("tahost.secure.test", "Q 451 4.7.5", "TLS handshake with"),
        ("wrong.secure.test", "Q 451 4.7.5", "none of the domain's TLSA records is about its certificate"),
        ("x.bogus.test", "Q 451 4.7.5", "is handed no mail: DANE"),
    ];
    for (host, ..) in rows {
        send(&instance, host);
    }
    for (host, begins, has) in rows {
        let came = came_to(&instance, host);
        assert!(came.starts_with(begins) && came.contains(has), "{host}: {came}");
    }
    let taken = rows.iter().filter(|(_, begins, _)| begins.starts_with('D')).count();
    eventually("Postfix has the others", PATIENCE, || world.postfix.messages().len() == taken);
    drop(running);
    let instance = Instance::new(world.settings(&format!("dane: true, {policies}"), ""));
    let _running = instance.start();
    send(&instance, "none.secure.test");
    send(&instance, "wrong.secure.test");
    let came = came_to(&instance, "none.secure.test");
    assert!(came.starts_with("Q 451 4.7.5") && came.contains("asks for DANE, and"), "{came}");
    let came = came_to(&instance, "wrong.secure.test");
    assert!(came.starts_with("D 250") && came.contains("policy for wrong.secure.test"), "{came}");
}

const PATIENCE: Duration = Duration::from_secs(60);
