//! Debian's knot, serving the zones of a test.

use std::{
    fmt::Write,
    fs,
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{free_port, succeed, within};

/// A name server on the loopback. Dropping it ends it.
#[derive(Debug)]
pub struct NameServer {
    /// Its port, UDP and TCP.
    pub port: u16,
    knot: Child,
    _folder: TempDir,
}

impl NameServer {
    /// Where Debian has it.
    pub const PROGRAM: &str = "/usr/sbin/knotd";

    /// Serves zones: their names, and their records below a `$ORIGIN` and an SOA of their own.
    pub fn start(zones: &[(&str, &str)]) -> Self {
        Self::serve(|folder, port| {
            let mut config = server_section(folder, port) + "zone:\n";
            for (zone, records) in zones {
                let file = write_zone(folder, zone, records);
                let _ = writeln!(config, "  - domain: {zone}\n    file: {file}");
            }
            (config, zones.first().map_or("", |(zone, _)| zone).to_owned())
        })
    }

    /// Serves zones below a root of their own that is signed, and writes the key of the root, which
    /// proofs begin with, to `anchor`.
    pub fn signed(zones: &[(&str, &str, Signed)], anchor: &Path) -> Self {
        Self::serve(|folder, port| {
            let policy = "policy:\n  - id: own\n    manual: on\n    single-type-signing: on\n";
            let mut config = server_section(folder, port) + policy + "zone:\n";
            let signed = "    dnssec-signing: on\n    dnssec-policy: own\n    zonefile-sync: -1\n    \
                          journal-content: all\n";
            let entry = |zone: &str, is_signed: bool| {
                let file = folder.join(file_of(zone));
                let more = if is_signed { signed } else { "" };
                format!("  - domain: {zone}\n    file: {}\n{more}", file.display())
            };
            config += &entry(".", true);
            for (zone, _, signed) in zones {
                config += &entry(zone, *signed != Signed::No);
            }
            let file = folder.join("knot.conf");
            fs::write(&file, &config).expect("a configuration");
            let keymgr = |zone: &str, order: &[&str]| {
                let mut command = Command::new("/usr/sbin/keymgr");
                succeed(command.arg("-c").arg(&file).arg(zone).args(order), b"")
            };
            let generate = ["generate", "algorithm=ECDSAP256SHA256", "ksk=yes", "zsk=yes"];
            let mut root = String::new();
            for (zone, records, signed) in zones {
                write_zone(folder, zone, records);
                let _ = writeln!(root, "{zone}. NS ns.{zone}.\nns.{zone}. A 127.0.0.1");
                if *signed != Signed::No {
                    keymgr(zone, &generate);
                    let digests = keymgr(zone, &["ds"]);
                    let digest = digests.lines().next().expect("a digest");
                    // The last digit of the digest is another one: nothing below is proved.
                    let flip = if digest.ends_with('0') { "1" } else { "0" };
                    let broken = format!("{}{flip}", &digest[..digest.len() - 1]);
                    root += if *signed == Signed::Bogus { &broken } else { digest };
                    root.push('\n');
                }
            }
            write_zone(folder, ".", &root);
            keymgr(".", &generate);
            fs::write(anchor, keymgr(".", &["dnskey"])).expect("a key");
            (config, zones.first().map_or("", |(zone, ..)| zone).to_owned())
        })
    }

    /// Starts knot with the configuration that is made for a folder and a port; it is there when it
    /// answers for the zone that is named.
    fn serve(configure: impl FnOnce(&Path, u16) -> (String, String)) -> Self {
        let folder = tempfile::Builder::new().prefix("knot-").tempdir().expect("a folder");
        let port = free_port();
        let (config, first) = configure(folder.path(), port);
        let file = folder.path().join("knot.conf");
        fs::write(&file, config).expect("a configuration");
        let knot = Command::new(Self::PROGRAM)
            .args(["-c", &file.display().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("knot runs");
        let server = Self { port, knot, _folder: folder };
        assert!(within(Duration::from_secs(20), || answers(port, &first)), "knot does not answer");
        server
    }
}

/// Whether a zone is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signed {
    /// It is.
    Yes,
    /// It is, by another key than the one that its parent names.
    Bogus,
    /// It is not, and its parent says so.
    No,
}

fn server_section(folder: &Path, port: u16) -> String {
    let path = folder.display();
    format!(
        "server:\n    listen: 127.0.0.1@{port}\n    rundir: {path}\n\
         database:\n    storage: {path}\n"
    )
}

fn file_of(zone: &str) -> &str {
    if zone == "." { "ROOT" } else { zone }
}

/// Writes a zone file, and says where.
fn write_zone(folder: &Path, zone: &str, records: &str) -> String {
    let origin = if zone == "." { ".".to_owned() } else { format!("{zone}.") };
    let head = format!(
        "$ORIGIN {origin}\n$TTL 60\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
    );
    let file = folder.join(file_of(zone));
    fs::write(&file, head + records).expect("a zone");
    file.display().to_string()
}

/// Whether the server on this port answers a question for the SOA of a zone.
pub(crate) fn answers(port: u16, zone: &str) -> bool {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in zone.split('.') {
        question.push(u8::try_from(label.len()).unwrap_or(0));
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 6, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    let sent = socket.send_to(&question, ("127.0.0.1", port));
    let mut answer = [0; 512];
    // No error, and one answer.
    sent.is_ok()
        && socket.recv(&mut answer).is_ok_and(|octets| octets > 12)
        && answer[3] % 16 == 0
        && answer[7] == 1
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.knot.kill();
        let _ = self.knot.wait();
    }
}
