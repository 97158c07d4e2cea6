//! A Postfix of our own: its own configuration, queue and port, everything else Debian's default.
//!
//! Mail for relais.example goes over LMTP to one port of 127.0.0.1. Without chroot, and without
//! looking up the names of clients, as relais does neither.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use relais_benches::Server;
use relais_tests::{free_port, within};
use tempfile::TempDir;

/// A running instance.
pub(crate) struct Postfix {
    port: u16,
    master: u32,
    starter: Child,
    folder: TempDir,
}

impl Postfix {
    pub(crate) fn start(sink: u16) -> Self {
        Self::with(sink, "", "")
    }

    /// The same, with TLS before the greeting on `port`.
    pub(crate) fn with_tls((certificate, key): &(PathBuf, PathBuf), port: u16, sink: u16) -> Self {
        let files = format!(
            "smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
            certificate.display(),
            key.display()
        );
        Self::with(sink, &files, &wrapped(port))
    }

    /// The same with SMTP out.
    pub(crate) fn smtp_out(sink: u16) -> Self {
        Self::with(sink, &smtp_out(sink), "")
    }

    /// The same with TLS on both sides: before the greeting on `port`, and by STARTTLS towards the sink.
    pub(crate) fn smtp_out_with_tls(
        (certificate, key): &(PathBuf, PathBuf),
        port: u16,
        sink: u16,
    ) -> Self {
        let main = format!(
            "smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtp_tls_security_level = encrypt\n{}",
            certificate.display(),
            key.display(),
            smtp_out(sink)
        );
        Self::with(sink, &main, &wrapped(port))
    }

    /// With these lines in `main.cf` and `master.cf`.
    fn with(sink: u16, main: &str, services: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("postfix-").tempdir().expect("a folder");
        let port = free_port();
        write_configuration(folder.path(), port, sink);
        let append = |name: &str, text: &str| {
            let path = folder.path().join(name);
            let before = fs::read_to_string(&path).expect("a file of ours");
            fs::write(path, before + text).expect("a file of ours");
        };
        append("main.cf", main);
        append("master.cf", services);
        let starter = postfix(folder.path(), "start-fg").spawn().expect("postfix runs");
        let pid_file = folder.path().join("queue/pid/master.pid");
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(
            within(Duration::from_secs(30), listens),
            "Postfix does not listen:\n{}",
            fs::read_to_string(folder.path().join("log")).unwrap_or_default()
        );
        let master = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
        let master = master.expect("the process id of the master");
        Self { port, master, starter, folder }
    }
}

impl Server for Postfix {
    fn name(&self) -> String {
        "Postfix".to_owned()
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn pid(&self) -> u32 {
        self.master
    }

    fn share(&self, messages: usize) -> usize {
        (messages / 10).max(1)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = postfix(self.folder.path(), "stop").status();
        let end = Instant::now() + Duration::from_secs(10);
        while matches!(self.starter.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.starter.kill();
        let _ = self.starter.wait();
    }
}

/// A service with TLS before the greeting.
fn wrapped(port: u16) -> String {
    format!("127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n")
}

fn smtp_out(sink: u16) -> String {
    format!("relay_transport = smtp:[127.0.0.1]:{sink}\nsmtp_host_lookup = native\n")
}

fn postfix(folder: &Path, action: &str) -> Command {
    let mut command = Command::new("/usr/sbin/postfix");
    command.arg("-c").arg(folder).arg(action);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn write_configuration(folder: &Path, port: u16, sink: u16) {
    use std::os::unix::fs::PermissionsExt;
    // Its processes run as another user, and the data directory must be that user's.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    for sub in ["queue", "data"] {
        fs::create_dir(folder.join(sub)).expect("a fresh folder");
    }
    let owned = Command::new("chown").arg("postfix").arg(folder.join("data")).status();
    assert!(owned.is_ok_and(|status| status.success()), "Postfix has to be started by root");
    fs::write(folder.join("main.cf"), main_cf(folder, sink)).expect("main.cf");
    fs::write(folder.join("master.cf"), master_cf(port)).expect("master.cf");
}

fn main_cf(folder: &Path, sink: u16) -> String {
    let folder = folder.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
multi_instance_name = postfix-bench
multi_instance_enable = yes
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
alias_maps =
alias_database =
local_recipient_maps =
relay_domains = relais.example
relay_recipient_maps =
relay_transport = lmtp:inet:127.0.0.1:{sink}
smtpd_relay_restrictions = reject_unauth_destination
lmtp_host_lookup = native
"
    )
}

fn master_cf(port: u16) -> String {
    let mut text = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    text.push_str(SERVICES);
    text
}

/// As Debian ships them, without chroot.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";
