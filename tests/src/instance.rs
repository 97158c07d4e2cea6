//! A folder with a configuration and a data directory, and the program running on it.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mail_parser::DateTime;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Memory, Settings, fetch, process, program, within};

/// Everything one engine needs on disk. Outlives its runs; the folder goes with it.
#[derive(Debug)]
pub struct Instance {
    /// Its ports and its configuration.
    pub settings: Settings,
    program: PathBuf,
    data: PathBuf,
    folder: TempDir,
    has_hosts: bool,
    has_name_servers: bool,
}

/// A run of the program. Dropping it is `kill -9`.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Instance {
    /// A fresh one, its data directory in the folder.
    pub fn new(settings: Settings) -> Self {
        let folder = tempfile::Builder::new().prefix("relais-").tempdir().expect("a folder");
        let data = folder.path().join("data");
        Self::with_data(settings, folder, data)
    }

    /// A fresh one whose data directory lies at `data`: on a small file system, say.
    pub fn in_data(settings: Settings, data: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("relais-").tempdir().expect("a folder");
        Self::with_data(settings, folder, data.to_owned())
    }

    fn with_data(settings: Settings, folder: TempDir, data: PathBuf) -> Self {
        fs::write(folder.path().join("relais.ron"), settings.text()).expect("a configuration");
        Self {
            settings,
            program: program().to_owned(),
            data,
            folder,
            has_hosts: false,
            has_name_servers: false,
        }
    }

    /// Lets its program see this hosts file in place of the system's. Wants root.
    #[must_use]
    pub fn with_hosts(self, hosts: &str) -> Self {
        fs::write(self.path(HOSTS), hosts).expect("a hosts file");
        Self { has_hosts: true, ..self }
    }

    /// Lets its program see this `resolv.conf` in place of the system's. Wants root.
    #[must_use]
    pub fn with_name_servers(self, resolv: &str) -> Self {
        fs::write(self.path(RESOLV), resolv).expect("a file");
        Self { has_name_servers: true, ..self }
    }

    /// Runs another build of the program than [`program()`].
    #[must_use]
    pub fn running(self, program: &Path) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// Starts the program and waits until it says that it is ready.
    #[track_caller]
    pub fn start(&self) -> Running {
        let mut running = self.spawn();
        let ready = within(READY, || self.is_ready() || running.exited().is_some());
        assert!(
            ready && self.is_ready(),
            "relais is not ready within {READY:?}:\n{}",
            self.log_tail()
        );
        running
    }

    /// Starts the program and waits for nothing.
    pub fn spawn(&self) -> Running {
        self.spawn_command(&mut self.command("run", &[]))
    }

    /// Starts the program by a wrapper that takes it and its arguments as last arguments, and waits
    /// for nothing.
    pub fn spawn_by(&self, wrapper: &mut Command) -> Running {
        let run = self.command("run", &[]);
        let wrapper = wrapper.arg(run.get_program()).args(run.get_args());
        self.spawn_command(wrapper.current_dir(self.folder.path()))
    }

    fn spawn_command(&self, command: &mut Command) -> Running {
        let log = || {
            let file = OpenOptions::new().create(true).append(true).open(self.log_path());
            file.expect("a log file")
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, log: self.log_path() }
    }

    /// Whether `/readyz` answers 200.
    pub fn is_ready(&self) -> bool {
        fetch(self.settings.admin, "/readyz").is_ok_and(|page| page.status == 200)
    }

    /// Runs `relais SUBCOMMAND ARGS...` on this configuration and data directory.
    pub fn relais(&self, subcommand: &str, args: &[&str]) -> Output {
        self.command(subcommand, args).stdin(Stdio::null()).output().expect("relais runs")
    }

    /// Runs a command with `--json` that must succeed, and parses each line it prints, or all of it
    /// when it is one value over several lines.
    #[track_caller]
    pub fn json(&self, subcommand: &str, args: &[&str]) -> Vec<Value> {
        let output = self.relais(subcommand, &[args, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "relais {subcommand} {args:?}: {output:?}");
        if let Ok(value) = serde_json::from_str(&text) {
            return vec![value];
        }
        let line =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        text.lines().map(line).collect()
    }

    /// Messages in the queue, as `relais queue list --json` shows them.
    pub fn queue(&self) -> Vec<Value> {
        self.json("queue", &["list"])
    }

    /// Entries of the queue that are due later than so many seconds from now.
    pub fn due_later_than(&self, seconds: i64) -> Vec<Value> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let then = DateTime::from_timestamp(now.as_secs().cast_signed() + seconds).to_rfc3339();
        let is_later = |entry: &Value| entry["due"].as_str().is_some_and(|due| *due > *then);
        self.queue().into_iter().filter(is_later).collect()
    }

    /// The page of all metrics.
    pub fn metrics(&self) -> String {
        fetch(self.settings.admin, "/metrics").expect("the metrics page").body
    }

    /// The sample value of a metric, summed over its labels; 0 when it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.metrics();
        let of_name = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        page.lines().filter(of_name).filter_map(value).sum()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The folder of the mailboxes.
    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// A file beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything that all runs printed, what happened just before the call included.
    pub fn log(&self) -> String {
        thread::sleep(GATHERED);
        fs::read(self.log_path())
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn log_tail(&self) -> String {
        tail(&self.log_path())
    }

    fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    /// `relais SUBCOMMAND ARGS...` on this configuration and data directory, to be run.
    pub fn command(&self, subcommand: &str, args: &[&str]) -> Command {
        let mut command = self.program_command();
        command
            .arg(subcommand)
            .args(args)
            .arg("--config")
            .arg(self.path("relais.ron"))
            .arg("--data")
            .arg(&self.data)
            .current_dir(self.folder.path());
        command
    }

    /// The program, in a mount namespace of its own when it has files in place of the system's.
    fn program_command(&self) -> Command {
        let mut mounts = String::new();
        for (has, file) in [(self.has_hosts, HOSTS), (self.has_name_servers, RESOLV)] {
            if has {
                let path = self.path(file).display().to_string();
                mounts += "mount --bind '";
                mounts += &path;
                mounts += "' /etc/";
                mounts += file;
                mounts += " && ";
            }
        }
        if mounts.is_empty() {
            return Command::new(&self.program);
        }
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "slave", "sh", "-c"])
            .arg(mounts + "exec \"$0\" \"$@\"")
            .arg(&self.program);
        command
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        Memory::of(self.pid())
    }

    /// The exit status, once it has exited.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        process::send(self.pid(), Signal::TERM);
    }

    /// SIGHUP, without waiting.
    pub fn hang_up(&self) {
        process::send(self.pid(), Signal::HUP);
    }

    /// SIGUSR1 and SIGUSR2, without waiting.
    pub fn user_signals(&self) {
        process::send(self.pid(), Signal::USR1);
        process::send(self.pid(), Signal::USR2);
    }

    /// SIGINT, without waiting.
    pub fn interrupt(&self) {
        process::send(self.pid(), Signal::INT);
    }

    /// Waits for the program to end by itself, and says how, and how long that took.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.exited() {
                return (status, start.elapsed());
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("relais has not ended within {limit:?}:\n{}", tail(&self.log));
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("the log of relais ended with:\n{}", tail(&self.log));
        }
    }
}

fn tail(log: &Path) -> String {
    let text = File::open(log).and_then(std::io::read_to_string).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Far more than the second that is promised: only `lifecycle.rs` measures that one.
const READY: Duration = Duration::from_secs(20);
const TAIL_LINES: usize = 40;
const HOSTS: &str = "hosts";
const RESOLV: &str = "resolv.conf";
/// The program gathers lines for 10 ms before it writes them.
const GATHERED: Duration = Duration::from_millis(100);

/// Seconds from the receipt of a delayed message until it is due.
pub fn due_after(entry: &Value) -> Option<u64> {
    if entry["state"] != "delayed" {
        return None;
    }
    // Within a day the time of day tells.
    let second = |name: &str| {
        let time = entry[name].as_str()?.get(11..19)?;
        let parts: Vec<u64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
        Some(parts.iter().fold(0, |seconds, part| seconds * 60 + part))
    };
    Some((second("due")? + 86_400 - second("received")?) % 86_400)
}
