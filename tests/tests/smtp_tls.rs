//! TLS towards other mail servers: DANE with a zone that is signed, MTA-STS from a server of HTTPS, the
//! operator's table, and REQUIRETLS; a real Postfix is the receiver.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use relais_tests::{
    Authority, Dialogue, Instance, NameServer, Receiver, Settings, Signed, Sink, eventually, fetch,
    message, needs, needs_root, python, succeed, within,
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

/// Zones, their records, and whether they are signed.
type Zones = [(&'static str, String, Signed); 3];

/// Hosts that the receiver's certificate is for.
const HOSTS: [&str; 4] =
    ["mx.ta.secure.test", "mx.enforce.plain.test", "mx.testing.plain.test", "mx.named.plain.test"];

impl World {
    /// `zones`: made of the port, and of the digests of the receiver's key and of its authority.
    fn new(zones: impl FnOnce(u16, &str, &str) -> Zones) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(&folder.path().join("ca"));
        let (certificate, key) = authority.sign("mx", &HOSTS, 2090);
        let chain = folder.path().join("chain.pem");
        let all =
            [&certificate, &authority.file()].map(|file| fs::read_to_string(file).expect("PEM"));
        fs::write(&chain, all.concat()).expect("a file");
        let postfix = Receiver::postfix(&format!(
            "virtual_mailbox_domains = static:all\nsmtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}",
            chain.display(),
            key.display()
        ));
        let own = digest(&certificate, "-pubkey | openssl pkey -pubin");
        let anchor = digest(&authority.file(), "| openssl x509");
        let zones = zones(postfix.port, &own, &anchor);
        let zones =
            zones.each_ref().map(|(zone, records, signed)| (*zone, records.as_str(), *signed));
        let names = NameServer::signed(&zones, &folder.path().join("anchor"));
        Self { postfix, names, authority, folder }
    }

    /// The same, where only the channel's own name servers know these zones.
    fn settings_of_own_servers(&self, tls: &str, sections: &str) -> Settings {
        let servers = format!("[\"127.0.0.1:{}\"]", self.names.port);
        self.settings(tls, sections)
            .edit(
                "private_addresses: true, backoff",
                &format!("private_addresses: true, nameservers: {servers}, backoff"),
            )
            .edit(&format!("dns: (servers: {servers}"), "dns: (servers: [\"127.0.0.1:1\"]")
    }

    /// Mail for these zones goes where MX records say, to the receiver's port.
    fn settings(&self, tls: &str, sections: &str) -> Settings {
        let (port, names) = (self.postfix.port, self.names.port);
        let ca = self.authority.file().display().to_string();
        let rules = ["secure", "bogus", "plain"]
            .map(|zone| format!("\n        (\".{zone}.test\", \"$U%$H$D@out-daemon\"),"));
        let channel = format!(
            "(name: \"tcp_out\", tag: \"out-daemon\", program: Smtp, port: {port}, mx: Mx, \
             pool: \"SMTP_POOL\", private_addresses: true, backoff: [\"1h\"], \
             tls: (ca: {ca:?}, {tls})),"
        );
        let anchor = self.folder.path().join("anchor").display().to_string();
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

/// The answer of `relais tls` about a domain.
fn tls(instance: &Instance, domain: &str) -> Value {
    let said = instance.relais("tls", &[domain, "--json"]);
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// The end of the mail for a domain: `D`, `Q` or `R`, the reply, and the protection.
fn came_to(instance: &Instance, host: &str) -> String {
    let mut found = None;
    eventually(&format!("{host} is tried"), PATIENCE, || {
        let log = instance.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        found = lines.find(|line| {
            let action = line["action"].as_str().unwrap_or_default();
            line["channel"] == "tcp_out"
                && line["host"] == host
                && ["D", "Q", "R"].contains(&action)
        });
        found.is_some()
    });
    let line = found.unwrap_or_default();
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    format!("{} {} | {}", text("action"), text("reply"), text("protection"))
}

/// Zones with records of every kind, by the receiver's port and the digests of its key and authority.
fn dane_zones(port: u16, own: &str, authority: &str) -> Zones {
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
}

#[test]
fn dane_is_kept_to() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl"]) || !needs_root() {
        return;
    }
    let world = World::new(dane_zones);
    let policies =
        "policies: {\"none.secure.test\": (level: Dane), \"wrong.secure.test\": (level: Encrypt)}";
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
        (
            "wrong.secure.test",
            "Q 451 4.7.5",
            "none of the domain's TLSA records is about its certificate",
        ),
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
    let counted = fetch(instance.settings.admin, "/metrics").expect("metrics").body;
    for (result, count) in [("kept", 5), ("broken", 3)] {
        let has = format!(
            "tls_client_policies_total{{channel=\"tcp_out\",policy=\"dane\",result=\"{result}\"}} {count}"
        );
        assert!(counted.contains(&has), "{has}");
    }
    drop(running);
    let told = tls(&instance, "ee.secure.test");
    assert_eq!(told["mx_proof"], "DNSSEC proves the MX records");
    let server = &told["servers"][0];
    let record = server["dane"][0].as_str().unwrap_or_default();
    assert!(record.starts_with("3 1 1 ") && server["is_met"] == true, "{told}");
    assert_eq!(server["owed"], "TLS or no mail, certificate by TLSA records (DANE)");
    let told = tls(&instance, "wrong.secure.test");
    assert_eq!(told["servers"][0]["is_met"], false, "{told}");
    let told = tls(&instance, "x.bogus.test");
    assert!(told["servers"][0]["owed"].is_null(), "{told}");
    let instance = Instance::new(world.settings(&format!("dane: true, {policies}"), ""));
    let _running = instance.start();
    send(&instance, "none.secure.test");
    send(&instance, "wrong.secure.test");
    let came = came_to(&instance, "none.secure.test");
    assert!(came.starts_with("Q 451 4.7.5") && came.contains("asks for DANE, and"), "{came}");
    let came = came_to(&instance, "wrong.secure.test");
    assert!(came.starts_with("D 250") && came.contains("policy for wrong.secure.test"), "{came}");
}

/// A server of HTTPS that has the policies of domains as files `mta-sts.DOMAIN` in a folder: of Python's
/// library, on port 443. `moved.` names are sent elsewhere.
struct PolicyServer {
    python: Child,
    folder: TempDir,
}

impl PolicyServer {
    fn start(authority: &Authority, hosts: &[&str]) -> Self {
        let (certificate, key) = authority.sign("web", hosts, 2090);
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!(
            r#"
import http.server, os, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host = self.headers["Host"]
        if "moved" in host:
            self.send_response(301)
            self.send_header("Location", "https://mta-sts.enforce.plain.test" + self.path)
            self.end_headers()
            return
        name = os.path.join({folder:?}, os.path.basename(host))
        if self.path != "/.well-known/mta-sts.txt" or not os.path.exists(name):
            self.send_error(404)
            return
        text = open(name, "rb").read()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if "html" in host else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain({certificate:?}, {key:?})
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#,
            folder = folder.path().display().to_string(),
            certificate = certificate.display().to_string(),
            key = key.display().to_string(),
        );
        let python = Command::new("python3")
            .args(["-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python runs");
        let server = Self { python, folder };
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", 443)).is_ok();
        assert!(within(PATIENCE, is_up), "no server of HTTPS");
        server
    }

    fn publishes(&self, domain: &str, policy: &str) {
        let file = self.folder.path().join(format!("mta-sts.{domain}"));
        fs::write(file, policy).expect("a file");
    }
}

impl Drop for PolicyServer {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n")
}

/// A record of MTA-STS for each of the domains but one.
fn sts_zones() -> Zones {
    let records = |domain: &&str| {
        format!(
            "{domain} MX 10 mx.{domain}\nmx.{domain} A 127.0.0.1\n\
             _mta-sts.{domain} TXT \"v=STSv1; id=1;\"\nmta-sts.{domain} A 127.0.0.1\n"
        )
    };
    let plain: String = STS_DOMAINS.iter().map(records).collect();
    let without = "norecord MX 10 mx.norecord\nmx.norecord A 127.0.0.1\n";
    [
        ("secure.test", String::new(), Signed::No),
        ("bogus.test", String::new(), Signed::No),
        ("plain.test", plain + without, Signed::No),
    ]
}

const STS_DOMAINS: [&str; 8] =
    ["enforce", "testing", "other", "named", "mismatch", "moved", "html", "none"];

#[test]
fn the_last_resort_takes_no_mail_whose_servers_are_owed_tls() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl"]) || !needs_root() {
        return;
    }
    let world = World::new(|port, own, authority| {
        let mut zones = dane_zones(port, own, authority);
        zones[2].1 += "gone MX 10 mx.gone\nmx.gone A 127.0.0.99\n";
        zones
    });
    let last = Sink::start();
    let resort = format!("private_addresses: true, lastresort: \"[127.0.0.1]:{}\",", last.port);
    let policies = "dane: true, policies: {\"x.plain.test\": (level: Verify)}";
    let settings = world.settings(policies, "").edit("private_addresses: true,", &resort);
    let instance = Instance::new(settings);
    let _running = instance.start();
    let rows = [
        ("wrong.secure.test", "Q 451 4.7.5"),
        ("x.bogus.test", "Q 451 4.7.5"),
        ("x.plain.test", "Q 451 4.7.5"),
        // Nobody demands anything of this one.
        ("gone.plain.test", "D 250"),
    ];
    for (host, _) in rows {
        send(&instance, host);
    }
    for (host, begins) in rows {
        let came = came_to(&instance, host);
        assert!(came.starts_with(begins), "{host}: {came}");
    }
    assert_eq!(last.total(), 1);
}

#[test]
fn mta_sts_is_kept_to() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl", "python3"]) || !needs_root() {
        return;
    }
    if std::net::TcpListener::bind(("127.0.0.1", 443)).is_err() {
        println!("skipped: port 443 is taken");
        return;
    }
    let world = World::new(|_, _, _| sts_zones());
    let hosts: Vec<_> =
        STS_DOMAINS.iter().map(|domain| format!("mta-sts.{domain}.plain.test")).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let web = PolicyServer::start(&world.authority, &hosts);
    let own = |domain: &str, mode| web.publishes(domain, &policy(mode, &format!("mx.{domain}")));
    own("enforce.plain.test", "enforce");
    own("testing.plain.test", "testing");
    own("mismatch.plain.test", "enforce");
    own("html.plain.test", "enforce");
    own("none.plain.test", "none");
    web.publishes("named.plain.test", &policy("enforce", "*.named.plain.test"));
    web.publishes("other.plain.test", &policy("enforce", "mx.elsewhere.test"));
    let ca = world.authority.file();
    let sections = format!(", mta_sts: (ca: {ca:?}, private_addresses: true)");
    let instance = Instance::new(world.settings_of_own_servers("mta_sts: true", &sections));
    let running = instance.start();
    let rows = [
        ("enforce.plain.test", "D 250", "verified; MTA-STS enforce"),
        ("named.plain.test", "D 250", "verified; MTA-STS enforce"),
        ("testing.plain.test", "D 250", "verified; MTA-STS testing"),
        // The certificate is for other names.
        ("mismatch.plain.test", "Q 451 4.7.5", "its certificate is for other names"),
        ("other.plain.test", "Q 451 4.7.5", "MTA-STS policy does not allow this host"),
        // Without a policy that can be fetched it is as if there were none.
        ("moved.plain.test", "D 250", "not verified"),
        ("html.plain.test", "D 250", "not verified"),
        ("none.plain.test", "D 250", "not verified"),
        ("norecord.plain.test", "D 250", "not verified"),
    ];
    for (host, ..) in rows {
        send(&instance, host);
    }
    for (host, begins, has) in rows {
        let came = came_to(&instance, host);
        assert!(came.starts_with(begins) && came.contains(has), "{host}: {came}");
    }
    let told = tls(&instance, "enforce.plain.test");
    assert_eq!((&told["mta_sts_id"], &told["mta_sts"][1]), (&"1".into(), &"mode: enforce".into()));
    assert_eq!(told["servers"][0]["is_met"], true, "{told}");
    assert_eq!(tls(&instance, "other.plain.test")["servers"][0]["is_met"], false);
    drop(running);
    // The policy is known after a restart, whatever has become of the server: no mail leaves for a host
    // that it does not allow.
    drop(web);
    let kept = instance.data().join("mta-sts/other.plain.test");
    assert!(kept.exists(), "{kept:?}");
    let _running = instance.start();
    send(&instance, "other.plain.test");
    let refused = || {
        let log = instance.log();
        log.lines().filter(|line| line.contains("does not allow this host")).count() >= 2
    };
    eventually("the policy is obeyed again", PATIENCE, refused);
}

#[test]
fn results_are_reported_even_to_those_whose_tls_fails() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl"]) || !needs_root() {
        return;
    }
    let world = World::new(|port, _, _| {
        let wrong = "00".repeat(32);
        let records = format!(
            "wrong MX 10 mx.wrong\nmx.wrong A 127.0.0.1\n_{port}._tcp.mx.wrong TLSA 3 1 1 {wrong}\n\
             _smtp._tls.wrong TXT \"v=TLSRPTv1; rua=mailto:tls@wrong.secure.test\"\n"
        );
        [
            ("secure.test", records, Signed::Yes),
            ("bogus.test", String::new(), Signed::No),
            ("plain.test", String::new(), Signed::No),
        ]
    });
    let sections = ", tls_reports: (sender: \"tls@relay.test\", organization: \"Relay\")";
    let instance = Instance::new(world.settings_of_own_servers("dane: true", sections));
    let running = instance.start();
    send(&instance, "wrong.secure.test");
    let came = came_to(&instance, "wrong.secure.test");
    assert!(came.starts_with("Q 451 4.7.5"), "{came}");
    let current = instance.data().join("tlsrpt/current.json");
    eventually("it is counted", PATIENCE, || current.exists());
    drop(running);
    // A day later.
    let text = fs::read_to_string(&current).expect("a file");
    let mut counted: Value = serde_json::from_str(&text).expect("an object");
    let number = counted["number"].as_i64().expect("a day");
    counted["number"] = (number - 1).into();
    fs::write(&current, counted.to_string()).expect("a file");
    let _running = instance.start();
    eventually("the report is there", PATIENCE, || !world.postfix.messages().is_empty());
    let message = String::from_utf8(world.postfix.messages().remove(0)).expect("ASCII");
    for has in [
        "TLS-Report-Domain: wrong.secure.test",
        "TLS-Required: No",
        "report-type=\"tlsrpt\"",
        "application/tlsrpt+gzip",
    ] {
        assert!(message.contains(has), "{has}: {message}");
    }
    let mut days = fs::read_dir(instance.data().join("tlsrpt")).expect("a folder");
    let day = days.find_map(|file| {
        let name = file.expect("a file").path();
        name.to_str().is_some_and(|name| name.contains("tlsrpt/20")).then_some(name)
    });
    let day = fs::read_to_string(day.expect("the reports of a day")).expect("text");
    let reports: Value = serde_json::from_str(&day).expect("a list");
    let details = &reports[0]["policies"][0]["failure-details"][0];
    assert_eq!(details["result-type"], "tlsa-invalid", "{reports}");
    assert_eq!(details["receiving-mx-hostname"], "mx.wrong.secure.test", "{reports}");
}

#[test]
fn requiretls_leaves_to_servers_that_promise_it_and_bounces_elsewhere() {
    if !needs(&["/usr/sbin/postfix", NameServer::PROGRAM, "openssl", "python3"]) || !needs_root() {
        return;
    }
    let postfix = Receiver::postfix("");
    let place = |port: u16| format!("[127.0.0.1]:{port}");
    // The next relay is one of ours, which offers it; behind it is one that does not.
    let next_smtp = Settings::standalone();
    let port = next_smtp.smtp;
    let next = Instance::new(
        next_smtp
            .smtp_out(&place(postfix.port), "")
            .section("tls: (certificate: \"mx.crt\", key: \"mx.key\")")
            .channel("tcp_local", "tls: (server: May)"),
    );
    let authority = Authority::new(next.data());
    authority.sign("mx", &["localhost"], 2099);
    let _next = next.start();
    let ca = authority.file();
    for (daemon, names, want) in [
        (place(port), "localhost", "D 250"),
        (place(port), "other.test", "R 550 5.7.30"),
        (place(postfix.port), "localhost", "R 550 5.7.30"),
    ] {
        let tls = format!("tls: (ca: {ca:?}, names: [{names:?}]), backoff: [\"1h\"]");
        let settings = Settings::standalone()
            .smtp_out(&daemon, &tls)
            .section("tls: (certificate: \"mx.crt\", key: \"mx.key\")")
            .channel("tcp_local", "tls: (server: May)");
        let instance = Instance::new(settings);
        for file in ["mx.crt", "mx.key"] {
            fs::create_dir_all(instance.data()).expect("a folder");
            fs::copy(next.data().join(file), instance.data().join(file)).expect("a copy");
        }
        let _running = instance.start();
        let mut clear = Dialogue::open(instance.settings.smtp);
        clear.ask("EHLO x").expect(250);
        clear.ask("MAIL FROM:<ann@sender.test> REQUIRETLS").expect(530);
        let said = python(&format!(
            "import smtplib, ssl\n\
             s = smtplib.SMTP('127.0.0.1', {})\n\
             s.starttls(context=ssl._create_unverified_context())\n\
             s.ehlo()\n\
             assert s.has_extn('requiretls')\n\
             s.sendmail('ann@sender.test', ['bob@remote.test'], 'Subject: x\\r\\n\\r\\nsecret\\r\\n', \
             mail_options=['REQUIRETLS'])\n",
            instance.settings.smtp
        ));
        assert!(said.is_empty(), "{said}");
        let came = came_to(&instance, &daemon);
        assert!(came.starts_with(want), "{daemon} {names}: {came}");
    }
    let came = came_to(&next, &place(postfix.port));
    assert!(came.starts_with("R 550 5.7.30"), "{came}");
    assert_eq!(postfix.messages().len(), 0);
}

const PATIENCE: Duration = Duration::from_secs(60);
