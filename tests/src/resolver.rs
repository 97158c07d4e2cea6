//! Debian's unbound, asking the name servers of a test.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{NameServer, free_port, name_server::answers, within};

/// A recursive resolver on the loopback. Dropping it ends it.
#[derive(Debug)]
pub struct Resolver {
    /// Its port, UDP and TCP.
    pub port: u16,
    unbound: Child,
    _folder: TempDir,
}

impl Resolver {
    /// Where Debian has it.
    pub const PROGRAM: &str = "/usr/sbin/unbound";

    /// Asks one name server about its zone, and about another zone a port of 127.0.0.1 where nobody answers.
    pub fn start(zone: &str, server: &NameServer, (dead, nobody): (&str, u16)) -> Self {
        let folder = tempfile::Builder::new().prefix("unbound-").tempdir().expect("a folder");
        let (path, port, at) = (folder.path().display(), free_port(), server.port);
        let stub = |zone: &str, port: u16| {
            format!("stub-zone:\n  name: \"{zone}\"\n  stub-addr: 127.0.0.1@{port}\n")
        };
        let config = format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  directory: \"{path}\"\n  chroot: \"\"\n  \
             username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"{path}/log\"\n  \
             do-daemonize: no\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  \
             access-control: 127.0.0.0/8 allow\n  local-zone: \"test.\" nodefault\n\
             remote-control:\n  control-enable: no\n{}{}",
            stub(zone, at),
            stub(dead, nobody)
        );
        let file = folder.path().join("unbound.conf");
        fs::write(&file, config).expect("a configuration");
        let unbound = Command::new(Self::PROGRAM)
            .args(["-d", "-c", &file.display().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unbound runs");
        let resolver = Self { port, unbound, _folder: folder };
        let is_up = within(Duration::from_secs(20), || answers(port, zone));
        assert!(is_up, "unbound does not answer");
        resolver
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.unbound.kill();
        let _ = self.unbound.wait();
    }
}
