//! Somebody else's mail store, real and of our own: Dovecot or Cyrus, taking LMTP on a UNIX socket
//! and on a port of 127.0.0.1, into mailboxes that it makes as mail for them comes.
//!
//! Both are left at their defaults otherwise. Both have to be started by root.

use std::{
    collections::HashSet,
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{dovecot::open_to_all, eventually, free_port, process};

/// A running instance. Dropping it ends it and removes its mail.
#[derive(Debug)]
pub struct ForeignStore {
    /// The name of the program.
    pub name: &'static str,
    /// Where it takes LMTP.
    pub port: u16,
    /// Where it does so with TLS from the first octet, if it can; only Dovecot with a certificate.
    pub tls_port: u16,
    /// The UNIX socket on which it takes LMTP, too.
    pub socket: PathBuf,
    master: Child,
    is_message: fn(&Path) -> bool,
    folder: TempDir,
}

impl ForeignStore {
    /// Dovecot, with Maildirs.
    pub fn dovecot() -> Self {
        Self::dovecot_with("ssl = no", "")
    }

    /// Dovecot with this certificate and its key, and these lines for its port.
    pub fn dovecot_with_certificate((certificate, key): &(PathBuf, PathBuf), lines: &str) -> Self {
        let (certificate, key) = (certificate.display(), key.display());
        let more = format!("ssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}");
        Self::dovecot_with(&more, lines)
    }

    fn dovecot_with(more: &str, lines: &str) -> Self {
        let (folder, port, tls_port) = (folder(), free_port(), free_port());
        let config = folder.path().join("dovecot.conf");
        let mut text = dovecot_conf(folder.path(), port, lines);
        text.push_str(more);
        if more.starts_with("ssl = yes") {
            let listener = format!("port = {tls_port}\n    ssl = yes");
            text.push_str("\nhaproxy_trusted_networks = 127.0.0.0/8\nservice lmtp {\n  inet_listener lmtps {\n    ");
            text = text + &listener + "\n  }\n}";
        }
        text.push('\n');
        fs::write(&config, text).expect("a configuration");
        give(&folder.path().join("store"), "nobody:nogroup");
        let mut command = process::command("dovecot");
        command.arg("-F").arg("-c").arg(&config);
        let is_message = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("new"));
        Self::start(("Dovecot", command), (port, tls_port), folder, is_message)
    }

    /// Dovecot that knows these users alone (`a@b.test`, with the storage that they may fill), and looks at
    /// RCPT whether they are over it.
    pub fn dovecot_of(users: &[(String, Option<&str>)]) -> Self {
        let quota = "mail_plugins = quota\nlmtp_rcpt_check_quota = yes\nplugin {\n  \
                     quota = maildir:User quota\n}\n";
        let line = |(user, storage): &(String, Option<&str>)| {
            let rule = storage.map(|most| format!("userdb_quota_rule=*:storage={most}"));
            format!("{user}:{{PLAIN}}x::::::{}\n", rule.unwrap_or_default())
        };
        let users: Vec<_> = users.iter().map(line).collect();
        Self::dovecot_knowing(&users.concat(), quota)
    }

    /// Dovecot that knows these users alone (`a@b.test`), with these lines in its configuration.
    pub fn dovecot_of_users(users: &[&str], lines: &str) -> Self {
        let users: Vec<_> = users.iter().map(|user| format!("{user}:{{PLAIN}}x::::::\n")).collect();
        Self::dovecot_knowing(&users.concat(), lines)
    }

    fn dovecot_knowing(users: &str, lines: &str) -> Self {
        let (folder, port) = (folder(), free_port());
        let config = folder.path().join("dovecot.conf");
        let its = dovecot_conf(folder.path(), port, "") + "ssl = no\n";
        let path = folder.path().display();
        let fields = format!("uid=nobody gid=nogroup home={path}/store/%d/%n");
        let its = its
            .replace(
                "driver = static\n  args = nopassword=y",
                &format!("driver = passwd-file\n  args = username_format=%u {path}/users"),
            )
            .replace(
                &format!("driver = static\n  args = {fields} allow_all_users=yes"),
                &format!(
                    "driver = passwd-file\n  args = username_format=%u {path}/users\n  \
                     default_fields = {fields}"
                ),
            );
        fs::write(&config, format!("{its}{lines}")).expect("a configuration");
        fs::write(folder.path().join("users"), users).expect("users");
        give(&folder.path().join("store"), "nobody:nogroup");
        let mut command = process::command("dovecot");
        command.arg("-F").arg("-c").arg(&config);
        let is_message = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("new"));
        Self::start(("Dovecot", command), (port, port), folder, is_message)
    }

    /// Puts a message of so many octets into the mailbox of a user of [`Self::dovecot_of`].
    pub fn fill(&self, user: &str, octets: usize) {
        let maildir = self.maildir(user);
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(folder)).expect("room");
        }
        let file = maildir.join("new").join(format!("1.M1P1.filler,S={octets}"));
        fs::write(file, "x".repeat(octets)).expect("room");
        give(&self.folder.path().join("store"), "nobody:nogroup");
    }

    /// The Maildir of a user of Dovecot's.
    pub fn maildir(&self, user: &str) -> PathBuf {
        let (name, domain) = user.split_once('@').expect("a domain");
        self.folder.path().join("store").join(domain).join(name).join("Maildir")
    }

    /// How many files hold the messages of all mailboxes: one with several names counts once.
    pub fn files(&self) -> usize {
        distinct_files(&self.folder.path().join("store"), self.is_message)
    }

    /// Cyrus.
    pub fn cyrus() -> Self {
        Self::cyrus_with("-a", "", None)
    }

    /// Cyrus whose mailboxes hold so many KiB each.
    pub fn cyrus_with_quota(kib: u32) -> Self {
        Self::cyrus_with("-a", &format!("autocreate_quota: {kib}\n"), None)
    }

    /// Cyrus as it is without further ado: whoever delivers over TCP has to log in.
    pub fn cyrus_that_wants_a_login() -> Self {
        Self::cyrus_with("", "", None)
    }

    /// The same, where `cyrus` may log in with the password `secret` by these mechanisms; with a
    /// certificate and its key, behind TLS.
    pub fn cyrus_with_passwords(
        mechanisms: &str,
        certificate: Option<&(PathBuf, PathBuf)>,
    ) -> Self {
        let more = format!(
            "admins: cyrus\nallowplaintext: yes\nsasl_pwcheck_method: auxprop\n\
             sasl_auxprop_plugin: sasldb\nsasl_mech_list: {mechanisms}\n"
        );
        Self::cyrus_with("", &more, certificate)
    }

    fn cyrus_with(option: &str, more: &str, certificate: Option<&(PathBuf, PathBuf)>) -> Self {
        let (folder, port) = (folder(), free_port());
        let (imapd, master) = (folder.path().join("imapd.conf"), folder.path().join("cyrus.conf"));
        let mut lines = imapd_conf(folder.path()) + more;
        if !more.contains("autocreate_quota") {
            lines.push_str("autocreate_quota: 0\n");
        }
        if more.contains("sasldb") {
            let users = passwords(folder.path());
            lines = lines + "sasl_sasldb_path: " + &users.display().to_string() + "\n";
        }
        if let Some((certificate, key)) = certificate {
            for (file, setting) in [(certificate, "tls_server_cert"), (key, "tls_server_key")] {
                // It has to read them as the user that it runs as.
                let own = folder.path().join(setting);
                fs::copy(file, &own).expect("a file");
                lines = lines + setting + ": " + &own.display().to_string() + "\n";
            }
        }
        fs::write(&imapd, lines).expect("a configuration");
        fs::write(&master, cyrus_conf(folder.path(), port, option)).expect("a configuration");
        fs::create_dir(folder.path().join("lib")).expect("a fresh folder");
        give(folder.path(), "cyrus:mail");
        let mut command = process::command("cyrmaster");
        command.arg("-C").arg(imapd).arg("-M").arg(master);
        command.arg("-p").arg(folder.path().join("pid"));
        // `17.`
        let is_message = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_suffix('.').is_some_and(|number| number.parse::<u32>().is_ok())
        };
        // Its lmtpd knows no TLS from the first octet.
        Self::start(("Cyrus", command), (port, 0), folder, is_message)
    }

    /// Its oldest process.
    pub fn pid(&self) -> u32 {
        self.master.id()
    }

    /// Every message in every mailbox, as it is stored.
    pub fn messages(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().join("store")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if (self.is_message)(&path)
                    && let Ok(octets) = fs::read(&path)
                {
                    found.push(String::from_utf8_lossy(&octets).into_owned());
                }
            }
        }
        found
    }

    fn start(
        (name, mut command): (&'static str, std::process::Command),
        (port, tls_port): (u16, u16),
        folder: TempDir,
        is_message: fn(&Path) -> bool,
    ) -> Self {
        // Cyrus's master ends every process of its group that runs as the same user, other masters too.
        let master = command.stdin(Stdio::null()).process_group(0).spawn().expect("it runs");
        let socket = folder.path().join("lmtp");
        let store = Self { name, port, tls_port, socket, master, is_message, folder };
        eventually(&format!("{name} listens"), Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok() && store.socket.exists()
        });
        store
    }
}

impl Drop for ForeignStore {
    fn drop(&mut self) {
        // Not SIGKILL: the master ends its children.
        process::send(self.master.id(), Signal::TERM);
        let _ = self.master.wait();
    }
}

/// Files below `folder` that `is_message` picks; one with several names counts once.
pub fn distinct_files(folder: &Path, is_message: impl Fn(&Path) -> bool) -> usize {
    use std::os::unix::fs::MetadataExt;
    let (mut inodes, mut folders) = (HashSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if is_message(&path)
                && let Ok(data) = fs::metadata(&path)
            {
                inodes.insert(data.ino());
            }
        }
    }
    inodes.len()
}

/// A short path: UNIX sockets lie in it.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("st-").tempdir_in("/tmp").expect("a folder");
    fs::create_dir(folder.path().join("store")).expect("a fresh folder");
    open_to_all(folder.path());
    folder
}

fn give(path: &Path, owner: &str) {
    let done = process::command("chown").arg("-R").arg(owner).arg(path).status();
    assert!(done.is_ok_and(|status| status.success()), "chown {}: not root?", path.display());
}

/// The database of passwords of Cyrus SASL, with one user: a hash of Berkeley DB, which Debian's own
/// Python can write.
fn passwords(folder: &Path) -> PathBuf {
    let script = "import dbm.ndbm, sys\nwith dbm.ndbm.open(sys.argv[1], 'c') as users:\n    \
                  users[b'cyrus\\0localhost\\0userPassword'] = b'secret'\n";
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(["-c", script]).arg(folder.join("users"));
    process::succeed(&mut command, b"");
    folder.join("users.db")
}

fn dovecot_conf(folder: &Path, port: u16, lines: &str) -> String {
    let folder = folder.display();
    format!(
        "base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = lmtp
listen = 127.0.0.1
first_valid_uid = 1
first_valid_gid = 0
mail_location = maildir:{folder}/store/%d/%n/Maildir
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/store/%d/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    port = {port}
    {lines}
  }}
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
"
    )
}

/// Mailboxes are made when mail for them comes; nobody has to log in.
fn imapd_conf(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "configdirectory: {folder}/lib
partition-default: {folder}/store
defaultpartition: default
unixhierarchysep: yes
servername: localhost
lmtpsocket: {folder}/lmtp
autocreate_post: yes
"
    )
}

/// `-a`: whoever reaches the port may deliver; it is on the loopback interface.
fn cyrus_conf(folder: &Path, port: u16, option: &str) -> String {
    let folder = folder.display();
    format!(
        "START {{
  recover cmd=\"ctl_cyrusdb -C {folder}/imapd.conf -r\"
}}
SERVICES {{
  lmtpunix cmd=\"lmtpd -C {folder}/imapd.conf\" listen=\"{folder}/lmtp\" prefork=0
  lmtp cmd=\"lmtpd -C {folder}/imapd.conf {option}\" listen=\"127.0.0.1:{port}\" prefork=0
}}
EVENTS {{
}}
"
    )
}
