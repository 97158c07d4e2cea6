//! A server that webhooks post to: Python's own.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{ports::free_port, wait::within};

/// The server; while it is down, nobody listens at its port.
#[derive(Debug)]
pub struct WebhookReceiver {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    certificate: Option<(PathBuf, PathBuf)>,
    python: Option<Child>,
}

impl WebhookReceiver {
    /// Listens, and answers 200.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same over TLS, with this certificate and its key.
    pub fn start_tls(certificate: &(PathBuf, PathBuf)) -> Self {
        Self::start_with(Some(certificate.clone()))
    }

    fn start_with(certificate: Option<(PathBuf, PathBuf)>) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let mut receiver = Self { port, folder, certificate, python: None };
        receiver.up();
        receiver
    }

    /// Listens again.
    pub fn up(&mut self) {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/webhook.py"));
        command.arg(self.port.to_string()).arg(self.folder.path());
        if let Some((certificate, key)) = &self.certificate {
            command.arg(certificate).arg(key);
        }
        let python = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.python = Some(python.expect("Python runs"));
        let is_up = || TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        assert!(within(PATIENCE, is_up), "no server for webhooks");
    }

    /// Listens no more.
    pub fn down(&mut self) {
        if let Some(mut python) = self.python.take() {
            let _ = python.kill();
            let _ = python.wait();
        }
    }

    /// From now on it answers so: see `scripts/webhook.py`.
    pub fn answer(&self, mode: &str) {
        let new = self.path("mode.new");
        fs::write(&new, mode).expect("a file");
        fs::rename(new, self.path("mode")).expect("a file");
    }

    /// Signatures by this secret alone are good; several stand in lines.
    pub fn trust(&self, secrets: &str) {
        fs::write(self.path("secrets"), secrets).expect("a file");
    }

    /// The posts so far.
    pub fn posts(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("posts")).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The events of the posts that were taken.
    pub fn events(&self) -> Vec<Value> {
        let posts = self.posts();
        let taken = posts.iter().filter(|post| post["status"] == 200);
        taken.flat_map(|post| post["body"].as_array().expect("a list").clone()).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.down();
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
