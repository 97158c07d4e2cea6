//! Processes: to run one, to signal it, and what it costs, read from `/proc`.

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Memory of one process, in octets.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// Of the process `pid`, which must be running.
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a known field");
            let kib: u64 =
                line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB");
            kib << 10
        };
        Self { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }
}

/// Runs a command with this input, and waits for its end.
pub fn run_with(command: &mut Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    // A client that has given up reads nothing.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Runs a command with this input, which must succeed, and returns what it prints.
#[track_caller]
pub fn succeed(command: &mut Command, input: &[u8]) -> String {
    let output = run_with(command, input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}{errors}", output.status);
    said
}

/// Runs a script of Python, which must succeed, and returns what it prints.
#[track_caller]
pub fn python(script: &str) -> String {
    succeed(Command::new("python3").args(["-c", script]), b"")
}

/// Sends a signal to the process `pid`; one that is gone already is fine.
pub(crate) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

/// A command whose program may lie in a folder that only root has on its `PATH`.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
