//! Other MTAs that hand mail on by LMTP: a Postfix and an Exim of our own.
//!
//! Postfix is the installed one, with a configuration of its own. Exim and `OpenSMTPD` cannot
//! be installed beside it: `tests/run` unpacks their packages into a folder. All have to be started
//! by root.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{needs, run_with, succeed};

/// Where the other side takes LMTP.
#[derive(Clone, Copy, Debug)]
pub enum LmtpPlace<'a> {
    /// On this port of 127.0.0.1.
    Port(u16),
    /// On this UNIX socket.
    Socket(&'a Path),
}

/// A Postfix that hands everything to one place.
#[derive(Debug)]
pub struct Postfix {
    folder: TempDir,
}

impl Postfix {
    /// Starts one.
    pub fn start(place: LmtpPlace<'_>) -> Self {
        Self::with(place, "")
    }

    /// One that adds fields to the header after it has announced the size, and hands over one recipient
    /// a transaction for that.
    pub fn that_adds_fields(place: LmtpPlace<'_>) -> Self {
        Self::with(place, "flags=DORX")
    }

    fn with(place: LmtpPlace<'_>, flags: &str) -> Self {
        let postfix = Self { folder: open_folder() };
        let [config, queue, data] = ["config", "queue", "data"].map(|name| postfix.path(name));
        for folder in [&config, &queue, &data] {
            fs::create_dir(folder).expect("a fresh folder");
        }
        succeed(Command::new("chown").arg("postfix").arg(&data), b"");
        let next_hop = match place {
            LmtpPlace::Port(port) => format!("inet:[127.0.0.1]:{port}"),
            LmtpPlace::Socket(socket) => format!("unix:{}", socket.display()),
        };
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\n\
             myhostname = postfix.test\nmydestination =\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nalias_maps =\nlocal_recipient_maps =\n\
             default_transport = lmtp:{next_hop}\nrelay_transport = lmtp:{next_hop}\n\
             maillog_file = {}\nmaillog_file_prefixes = {}\n",
            queue.display(),
            data.display(),
            postfix.path("log").display(),
            postfix.folder.path().display(),
        );
        let checks = format!("lmtp_header_checks = regexp:{}/checks\n", config.display());
        let main = if flags.is_empty() { main } else { main + &checks };
        fs::write(config.join("main.cf"), main).expect("a configuration");
        fs::write(config.join("checks"), "/^Subject:/ PREPEND X-Prepended: by header_checks\n")
            .expect("a table");
        let master = postfix_services(&[("lmtp", &format!("unix - - n - - lmtp {flags}"))]);
        fs::write(config.join("master.cf"), master).expect("a configuration");
        succeed(&mut postfix.command("start"), b"");
        postfix
    }

    /// Takes a message in, with LF lines, as a local program hands it over.
    #[track_caller]
    pub fn submit(&self, to: &[&str], content: &[u8]) {
        self.submit_from(SENDER, to, content);
    }

    /// The same from this sender.
    #[track_caller]
    pub fn submit_from(&self, sender: &str, to: &[&str], content: &[u8]) {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(self.path("config")).args(["-f", sender, "--"]).args(to);
        succeed(&mut sendmail, content);
    }

    /// The lines that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.path("config")).arg(what);
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        run_with(&mut self.command("stop"), b"");
    }
}

/// An Exim that hands everything to one place. No daemon runs: [`Self::run_queue`] is its queue runner.
#[derive(Debug)]
pub struct Exim {
    program: PathBuf,
    folder: TempDir,
}

impl Exim {
    /// One with an empty queue; none where its package is not unpacked.
    pub fn new(place: LmtpPlace<'_>) -> Option<Self> {
        let program = unpacked("usr/sbin/exim4")?;
        let exim = Self { program, folder: open_folder() };
        let spool = exim.folder.path().join("spool");
        fs::create_dir(&spool).expect("a fresh folder");
        succeed(Command::new("chown").arg("nobody:nogroup").arg(&spool), b"");
        let (router, transport) = match place {
            LmtpPlace::Port(port) => (
                "driver = manualroute\n  route_list = * 127.0.0.1\n  self = send".to_owned(),
                format!(
                    "driver = smtp\n  protocol = lmtp\n  port = {port}\n  \
                     message_linelength_limit = 100000"
                ),
            ),
            LmtpPlace::Socket(socket) => (
                "driver = accept".to_owned(),
                format!(
                    "driver = lmtp\n  socket = {}\n  batch_max = 10\n  user = nobody\n  \
                     group = nogroup",
                    socket.display()
                ),
            ),
        };
        let spool = spool.display();
        let text = format!(
            "exim_user = nobody\nexim_group = nogroup\nspool_directory = {spool}\n\
             exim_path = {}\n\
             log_file_path = {spool}/%slog\nprimary_hostname = exim.test\n\
             local_interfaces = 127.0.0.1\nkeep_environment =\ndisable_ipv6 = true\n\
             begin routers\nstore:\n  {router}\n  transport = store\nbegin transports\nstore:\n  \
             {transport}\nbegin retry\n* * F,1h,1m\n",
            exim.program.display()
        );
        fs::write(exim.config(), text).expect("a configuration");
        Some(exim)
    }

    /// Takes a message in, with LF lines, as a local program hands it over.
    #[track_caller]
    pub fn submit(&self, to: &[&str], content: &[u8]) {
        succeed(self.command().args(["-odq", "-f", SENDER]).args(to), content);
    }

    /// Tries what is in its queue.
    #[track_caller]
    pub fn run_queue(&self) {
        succeed(self.command().arg("-q"), b"");
    }

    /// The lines that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("spool/mainlog")).unwrap_or_default()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("exim.conf")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-C").arg(self.config());
        command
    }
}

/// Where `tests/run` unpacked a program of a package that cannot be installed.
pub fn unpacked(program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RELAIS_FOREIGN_MTAS");
    let folder =
        folder.map_or_else(|| PathBuf::from("/var/tmp/relais-foreign-mtas"), PathBuf::from);
    let path = folder.join(program);
    needs(&[&path.display().to_string()]).then_some(path)
}

/// The command that runs `OpenSMTPD` in a world of its own: the unpacked package, a folder of ours, the
/// configuration. Its users alice and bob are there.
pub fn smtpd(package: &Path, folder: &Path, config: &Path) -> Command {
    let mut world = Command::new("unshare");
    world.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SMTPD, "smtpd"]);
    world.arg(package).arg(folder).arg(config);
    world
}

/// For everybody to enter: MTAs work as users of their own.
pub fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("mta-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our folder");
    folder
}

/// A `master.cf` of these services and those without which no Postfix handles mail, none of them in a
/// chroot.
pub fn postfix_services(more: &[(&str, &str)]) -> String {
    let line = |(name, rest): &(&str, &str)| format!("{name} {rest}\n");
    SERVICES.iter().chain(more).map(line).collect()
}

/// The sender of all of it.
const SENDER: &str = "a@client.test";

const SERVICES: [(&str, &str); 15] = [
    ("pickup", "unix n - n 1 1 pickup"),
    ("cleanup", "unix n - n - 0 cleanup"),
    ("qmgr", "unix n - n 300 1 qmgr"),
    ("rewrite", "unix - - n - - trivial-rewrite"),
    ("bounce", "unix - - n - 0 bounce"),
    ("defer", "unix - - n - 0 bounce"),
    ("trace", "unix - - n - 0 bounce"),
    ("flush", "unix n - n 1000? 0 flush"),
    ("proxymap", "unix - - n - - proxymap"),
    ("showq", "unix n - n - - showq"),
    ("error", "unix - - n - - error"),
    ("retry", "unix - - n - - error"),
    ("anvil", "unix - - n - 1 anvil"),
    ("scache", "unix - - n - 1 scache"),
    ("postlog", "unix-dgram n - n - 1 postlogd"),
];

/// `smtpd` in a world of its own: its package lies elsewhere, and its users are not of this machine.
/// Arguments: the unpacked package, a folder of ours, the configuration.
const SMTPD: &str = r#"
set -e
mount --make-rprivate /
for place in /var/spool /var/lib /run; do mount -t tmpfs none $place; done
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 /var/spool/smtpd
[ -L /var/run ] || mount -t tmpfs none /var/run
mount --bind "$1/usr/libexec" /usr/libexec
for file in passwd group; do
    cp /etc/$file "$2/$file"
    mount --bind "$2/$file" /etc/$file
done
for user in opensmtpd:961 opensmtpq:962; do
    echo "${user%:*}:x:${user#*:}:${user#*:}::/var/lib/opensmtpd/empty:/usr/sbin/nologin" >>/etc/passwd
    echo "${user%:*}:x:${user#*:}:" >>/etc/group
done
for user in alice:963 bob:964; do
    echo "${user%:*}:x:${user#*:}:${user#*:}::/:/bin/sh" >>/etc/passwd
    echo "${user%:*}:x:${user#*:}:" >>/etc/group
done
exec "$1/usr/sbin/smtpd" -d -v -f "$3"
"#;
