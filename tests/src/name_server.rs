//! Debian's knot, serving the zones of a test.

use std::{
    fs,
    net::UdpSocket,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{free_port, within};

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
        let folder = tempfile::Builder::new().prefix("knot-").tempdir().expect("a folder");
        let (path, port) = (folder.path().display(), free_port());
        let mut config = format!(
            "server:\n    listen: 127.0.0.1@{port}\n    rundir: {path}\n\
             database:\n    storage: {path}\nzone:\n"
        );
        for (zone, records) in zones {
            let head = format!(
                "$ORIGIN {zone}.\n$TTL 60\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
            );
            let file = folder.path().join(zone);
            fs::write(&file, head + records).expect("a zone");
            config += "  - domain: ";
            config += zone;
            config += "\n    file: ";
            config += &file.display().to_string();
            config.push('\n');
        }
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
        let first = zones.first().map_or("", |(zone, _)| zone);
        assert!(within(Duration::from_secs(20), || answers(port, first)), "knot does not answer");
        server
    }
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
