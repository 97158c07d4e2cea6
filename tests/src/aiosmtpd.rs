//! An LMTP server that gives one reply for a message, however many recipients it has: Debian's
//! `python3-aiosmtpd`.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Dialogue, eventually, free_port};

/// A running instance. Dropping it ends it.
#[derive(Debug)]
pub struct Aiosmtpd {
    /// Where it takes LMTP.
    pub port: u16,
    python: Child,
    folder: TempDir,
}

impl Aiosmtpd {
    /// Starts one.
    pub fn start() -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let python = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/aiosmtpd_lmtp.py"))
            .arg(port.to_string())
            .arg(folder.path().join("taken"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("python runs");
        eventually("aiosmtpd listens", Duration::from_secs(20), || Dialogue::connect(port).is_ok());
        Self { port, python, folder }
    }

    /// The recipients of each message that it took, in order.
    pub fn taken(&self) -> Vec<String> {
        let taken = fs::read_to_string(self.folder.path().join("taken")).unwrap_or_default();
        taken.lines().map(str::to_owned).collect()
    }
}

impl Drop for Aiosmtpd {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}
