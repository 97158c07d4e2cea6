//! A machine of its own inside this one: real systemd as process 1 of its namespaces, on a copy of this
//! machine's files that nobody else sees and that is gone with it.

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A machine that has booted.
pub struct Machine {
    outer: Child,
    /// Process 1, as it is numbered outside.
    init: u32,
    root: String,
    _folder: TempDir,
}

impl Machine {
    /// Boots it. `Err`: why that cannot be done here.
    pub fn boot() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("relais-machine").tempdir_in("/var/tmp");
        let folder = folder.map_err(|error| error.to_string())?;
        let base = folder.path().display().to_string();
        let outer = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--net",
                "--cgroup",
                "--uts",
                "--ipc",
            ])
            .args(["bash", "-euc", BOOT, "boot", &base])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(format!("{base}/log")).map_err(|error| error.to_string())?)
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut machine = Self { init: 0, root: format!("{base}/root"), outer, _folder: folder };
        let patience = Instant::now() + Duration::from_secs(30);
        while Instant::now() < patience {
            thread::sleep(Duration::from_millis(100));
            if machine.init == 0 {
                machine.init = machine.child().unwrap_or(0);
            } else if machine.answers() {
                return Ok(machine);
            }
            if machine.outer.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
        }
        let log = fs::read_to_string(format!("{base}/log")).unwrap_or_default();
        Err(format!("systemd does not boot here: {log}"))
    }

    /// Runs a command of the shell inside, for a minute at most.
    pub fn run(&self, command: &str) -> Output {
        let output = Command::new("timeout")
            .args([
                "60",
                "nsenter",
                "-t",
                &self.init.to_string(),
                "-m",
                "-p",
                "-u",
                "-i",
                "-n",
                "-C",
            ])
            .args(["chroot", &self.root, "bash", "-c", command])
            .stdin(Stdio::null())
            .output();
        output.expect("nsenter runs")
    }

    /// The same; it has to succeed.
    #[track_caller]
    pub fn must(&self, command: &str) -> String {
        let output = self.run(command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {}\n{text}\n{errors}", output.status);
        text
    }

    fn child(&self) -> Option<u32> {
        let id = self.outer.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    fn answers(&self) -> bool {
        let state = self.run("systemctl is-system-running");
        matches!(String::from_utf8_lossy(&state.stdout).trim(), "running" | "degraded")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All processes inside end with process 1, and the mounts with the last of them.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

const BOOT: &str = r"
mount --make-rprivate /
mkdir $1/root $1/own
mount -t tmpfs tmpfs $1/own
mkdir $1/own/upper $1/own/work
mount -t overlay overlay -o lowerdir=/,upperdir=$1/own/upper,workdir=$1/own/work $1/root
cd $1/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
echo machine.example >etc/hostname
# Services of this machine are not started, and neither are they kept from it.
rm -f usr/sbin/policy-rc.d
exec chroot . env container=relais /lib/systemd/systemd --system --unit=basic.target --log-target=null
";
