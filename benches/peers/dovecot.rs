//! A Dovecot of our own: LMTP on a high port of 127.0.0.1 into Maildirs, everything else default.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use relais_tests::{free_port, within};
use tempfile::TempDir;

use crate::Server;

/// A running instance.
pub(crate) struct Dovecot {
    port: u16,
    master: Child,
    _folder: TempDir,
}

impl Dovecot {
    pub(crate) fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::Builder::new().prefix("dc-").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let store = folder.path().join("store");
        fs::create_dir(&store).expect("a fresh folder");
        let owned = Command::new("chown").arg(NOBODY).arg(&store).status();
        assert!(owned.is_ok_and(|status| status.success()), "Dovecot has to be started by root");

        let port = free_port();
        let config = folder.path().join("dovecot.conf");
        fs::write(&config, configuration(folder.path(), port)).expect("a configuration");
        let mut command = Command::new("/usr/sbin/dovecot");
        command.arg("-F").arg("-c").arg(&config).stdin(Stdio::null());
        let master = command.spawn().expect("dovecot runs");
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(
            within(Duration::from_secs(20), listens),
            "Dovecot does not listen:\n{}",
            fs::read_to_string(folder.path().join("log")).unwrap_or_default()
        );
        Self { port, master, _folder: folder }
    }
}

impl Server for Dovecot {
    fn name(&self) -> String {
        "Dovecot".to_owned()
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn pid(&self) -> u32 {
        self.master.id()
    }

    fn share(&self, messages: usize) -> usize {
        (messages / 10).max(1)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Not SIGKILL: the master ends its children.
        if let Some(pid) = rustix::process::Pid::from_raw(self.master.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.master.wait();
    }
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
first_valid_uid = 1
first_valid_gid = 0
mail_location = maildir:{folder}/store/%d/%n/Maildir
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={NOBODY} gid={NOBODY} home={folder}/store/%d/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    port = {port}
  }}
}}
"
    )
}

const NOBODY: &str = "65534";
