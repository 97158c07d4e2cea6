//! A filter of Debian's `python3-milter`, libmilter's own, that does as addresses and headers tell it.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{eventually, foreign_mta::open_folder};

/// A running filter. Dropping it ends it.
#[derive(Debug)]
pub struct PythonMilter {
    python: Child,
    modes: Vec<String>,
    folder: TempDir,
}

impl PythonMilter {
    /// Starts one with these modes: see `scripts/milter_filter.py`.
    pub fn start(modes: &[&str]) -> Self {
        let modes: Vec<_> = modes.iter().map(|mode| (*mode).to_owned()).collect();
        let folder = open_folder();
        let python = spawn(&folder, &modes);
        let filter = Self { python, modes, folder };
        filter.wait();
        filter
    }

    /// Ends it and starts another one in its place.
    pub fn restart(&mut self) {
        self.stop();
        self.python = spawn(&self.folder, &self.modes);
        self.wait();
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
        let _ = fs::remove_file(self.socket());
    }

    fn wait(&self) {
        let connects = || std::os::unix::net::UnixStream::connect(self.socket()).is_ok();
        eventually("the filter listens", Duration::from_secs(20), connects);
    }

    /// Its UNIX socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("filter.sock")
    }

    /// The events that it was told of, in order: `{event, what, macros}`.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("events")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    }

    /// The names of the events, without headers and the beginnings of connections.
    pub fn names(&self) -> Vec<String> {
        let name = |event: &Value| event["event"].as_str().map(str::to_owned);
        let is_shown = |name: &String| name != "header" && name != "negotiate";
        self.events().iter().filter_map(name).filter(is_shown).collect()
    }

    /// Connections that it has taken so far.
    pub fn connections(&self) -> usize {
        self.events().iter().filter(|event| event["event"] == "negotiate").count()
    }

    /// Forgets what it was told.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.folder.path().join("events"));
    }
}

fn spawn(folder: &TempDir, modes: &[String]) -> Child {
    Command::new("/usr/bin/python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/milter_filter.py"))
        .arg(format!("unix:{}", folder.path().join("filter.sock").display()))
        .arg(folder.path().join("events"))
        .args(modes)
        .stdin(Stdio::null())
        .spawn()
        .expect("python runs")
}

impl Drop for PythonMilter {
    fn drop(&mut self) {
        self.stop();
    }
}
