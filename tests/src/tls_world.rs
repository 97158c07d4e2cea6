//! The surroundings of tests of TLS towards other mail servers: a real Postfix with a certificate, zones
//! signed or not, and a server of HTTPS.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Authority, Instance, NameServer, Receiver, Settings, Signed, eventually, python, succeed,
    within,
};

/// A receiver with a certificate, and the names under which it is found.
#[derive(Debug)]
pub struct TlsWorld {
    /// The receiver.
    pub postfix: Receiver,
    names: NameServer,
    /// The authority that its certificate is of.
    pub authority: Authority,
    folder: TempDir,
}

/// Zones, their records, and whether they are signed.
pub type Zones = [(&'static str, String, Signed); 3];

/// Hosts that the receiver's certificate is for.
const HOSTS: [&str; 6] = [
    "mx.ta.secure.test",
    "mx.enforce.plain.test",
    "mx.testing.plain.test",
    "mx.named.plain.test",
    "mx.third.plain.test",
    "mx.list.plain.test",
];

impl TlsWorld {
    /// `zones`: made of the port, and of the digests of the receiver's key and of its authority.
    pub fn new(zones: impl FnOnce(u16, &str, &str) -> Zones) -> Self {
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

    /// As [`Self::settings`], where only the channel's own name servers know these zones.
    pub fn settings_of_own_servers(&self, tls: &str, sections: &str) -> Settings {
        let servers = format!("[\"127.0.0.1:{}\"]", self.names.port);
        self.settings(tls, sections)
            .edit(
                "private_addresses: true, backoff",
                &format!("private_addresses: true, nameservers: {servers}, backoff"),
            )
            .edit(&format!("dns: (servers: {servers}"), "dns: (servers: [\"127.0.0.1:1\"]")
    }

    /// Mail for these zones goes where MX records say, to the receiver's port.
    pub fn settings(&self, tls: &str, sections: &str) -> Settings {
        let (port, names) = (self.postfix.port, self.names.port);
        let ca = self.authority.file().display().to_string();
        let domains = ["secure.test", "bogus.test", "plain.test"];
        let fields =
            format!("private_addresses: true, backoff: [\"1h\"], tls: (ca: {ca:?}, {tls})");
        let anchor = self.folder.path().join("anchor").display().to_string();
        Settings::standalone().by_mx(&domains, port, &fields).section(&format!(
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

/// The end of the first mail for a host: `D`, `Q` or `R`, the reply, and the protection.
pub fn came_to(instance: &Instance, host: &str) -> String {
    came_to_all(instance, host, 1).remove(0)
}

/// The same of so many mails at least.
pub fn came_to_all(instance: &Instance, host: &str, least: usize) -> Vec<String> {
    let mut found = Vec::new();
    eventually(&format!("{host} is tried"), PATIENCE, || {
        let log = instance.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let its = lines.filter(|line| {
            let action = line["action"].as_str().unwrap_or_default();
            line["channel"] == "tcp_out"
                && line["host"] == host
                && ["D", "Q", "R"].contains(&action)
        });
        let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let words = its.map(|line| {
            format!(
                "{} {} | {}",
                text(&line, "action"),
                text(&line, "reply"),
                text(&line, "protection")
            )
        });
        found = words.collect();
        found.len() >= least
    });
    found
}

/// Sends a message with REQUIRETLS, behind TLS.
pub fn send_required(instance: &Instance, to: &str) {
    let said = python(&format!(
        "import smtplib, ssl\n\
         s = smtplib.SMTP('127.0.0.1', {})\n\
         s.starttls(context=ssl._create_unverified_context())\n\
         s.ehlo()\n\
         assert s.has_extn('requiretls')\n\
         s.sendmail('ann@sender.test', ['bob@{to}'], 'Subject: x\\r\\n\\r\\nsecret\\r\\n', \
         mail_options=['REQUIRETLS'])\n",
        instance.settings.smtp
    ));
    assert!(said.is_empty(), "{said}");
}

/// A server of HTTPS: of Python's library. It has the policies of domains as files
/// `mta-sts.DOMAIN` in a folder; names with `moved` are sent elsewhere. What is posted is kept.
#[derive(Debug)]
pub struct WebServer {
    python: Child,
    folder: TempDir,
}

impl WebServer {
    /// On port 443, where policies are looked for, with a certificate for these hosts; none where the port
    /// is taken.
    pub fn start(authority: &Authority, hosts: &[&str]) -> Option<Self> {
        if std::net::TcpListener::bind(("127.0.0.1", 443)).is_err() {
            println!("skipped: port 443 is taken");
            return None;
        }
        Some(Self::start_at(443, authority, hosts))
    }

    /// The same on another port.
    pub fn start_at(port: u16, authority: &Authority, hosts: &[&str]) -> Self {
        let (certificate, key) = authority.sign("web", hosts, 2090);
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!(
            r#"
import http.server, os, ssl, threading
one_by_one = threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"].replace("/", "_")
        with one_by_one:
            known = os.listdir({folder:?})
            count = sum(1 for name in known if name.startswith("posted-"))
            name = os.path.join({folder:?}, "posted-%d" % count)
            with open(name + "~", "wb") as file:
                file.write((self.path + " " + kind + "\n").encode() + text)
            os.rename(name + "~", name)
        if self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "/taken")
        else:
            self.send_response(503 if self.path == "/busy" else 201)
        self.send_header("Content-Length", "0")
        self.end_headers()
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
server = http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Handler)
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
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(within(PATIENCE, is_up), "no server of HTTPS");
        server
    }

    /// The posts so far: path, kind and octets.
    pub fn posted(&self) -> Vec<(String, String, Vec<u8>)> {
        let read = |n: usize| fs::read(self.folder.path().join(format!("posted-{n}"))).ok();
        let split = |octets: Vec<u8>| {
            let end = octets.iter().position(|octet| *octet == b'\n').expect("a line");
            let line = String::from_utf8_lossy(&octets[..end]).into_owned();
            let (path, kind) = line.split_once(' ').expect("a path and a kind");
            (path.to_owned(), kind.replacen('_', "/", 1), octets[end + 1..].to_vec())
        };
        (0..).map_while(read).map(split).collect()
    }

    /// Puts a policy there.
    pub fn publishes(&self, domain: &str, policy: &str) {
        let file = self.folder.path().join(format!("mta-sts.{domain}"));
        fs::write(file, policy).expect("a file");
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
