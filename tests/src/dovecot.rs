//! A Dovecot of our own: IMAP on a high port of 127.0.0.1, over the Maildirs of a store, or over UNIX
//! mailboxes.
//!
//! Any user may log in with any password. Dovecot does not read mail as root, so a root test
//! hands the store to `nobody` first; nothing is delivered there any more by then.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::{Signal, getegid, geteuid};
use tempfile::TempDir;

use crate::{Instance, Running, Settings, eventually, free_port, is_root, process, program};

/// A running instance.
#[derive(Debug)]
pub struct Dovecot {
    /// Where IMAP is spoken.
    pub port: u16,
    master: Child,
    folder: TempDir,
}

impl Dovecot {
    /// Starts one over `store`, whose mailboxes are `domain/user/Maildir`.
    pub fn over(store: &Path) -> Self {
        Self::with(store, &maildirs(store), "")
    }

    /// The same with a quota, which it keeps in the `maildirsize` of each mailbox.
    pub fn with_quota(store: &Path, megabytes: u64) -> Self {
        let quota = format!(
            "mail_plugins = quota\nprotocol imap {{\n  mail_plugins = quota imap_quota\n}}\n\
             plugin {{\n  quota = maildir:User quota\n  quota_rule = *:storage={megabytes}M\n}}\n"
        );
        Self::with(store, &maildirs(store), &quota)
    }

    /// Starts one over a folder of UNIX mailboxes, by the names of users. It locks them in both ways.
    pub fn over_mboxes(store: &Path) -> Self {
        let store_text = store.display();
        let locks = "mbox_write_locks = dotlock fcntl\nmbox_read_locks = fcntl";
        let location = format!("mbox:{store_text}/.folders/%n:INBOX={store_text}/%n\n{locks}");
        fs::create_dir_all(store.join(".folders")).expect("room");
        Self::with(store, &location, "")
    }

    fn with(store: &Path, location: &str, more: &str) -> Self {
        // Its UNIX sockets lie here, and their paths must be short.
        let folder = tempfile::Builder::new().prefix("dc-").tempdir_in("/tmp").expect("a folder");
        let port = free_port();
        let config = folder.path().join("dovecot.conf");
        let text = configuration(folder.path(), (store, location), port) + more;
        fs::write(&config, text).expect("a configuration");
        if is_root() {
            give_to_nobody(store);
            open_to_all(folder.path());
        }
        let master = process::command("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .expect("dovecot runs");
        let dovecot = Self { port, master, folder };
        eventually("Dovecot listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        dovecot
    }

    /// The lines that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Not SIGKILL: the master ends its children.
        process::send(self.master.id(), Signal::TERM);
        let _ = self.master.wait();
    }
}

/// Where mail lies, as Dovecot has it.
fn maildirs(store: &Path) -> String {
    format!("maildir:{}/%d/%n/Maildir", store.display())
}

fn configuration(folder: &Path, (store, location): (&Path, &str), port: u16) -> String {
    let (uid, gid) =
        if is_root() { (NOBODY, NOBODY) } else { (geteuid().as_raw(), getegid().as_raw()) };
    let (folder, store) = (folder.display(), store.display());
    let unprivileged = if is_root() {
        String::new()
    } else {
        "default_internal_user = $USER\ndefault_login_user = $USER\n\
         service anvil {\n  chroot =\n}\n"
            .replace("$USER", &std::env::var("USER").unwrap_or_default())
    };
    format!(
        "base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_username_chars =
first_valid_uid = 1
first_valid_gid = 0
mail_location = {location}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={store}/%d/%n allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
{unprivileged}"
    )
}

/// Starts an engine as the user that Dovecot reads mail as, which is not root: both may write to the same
/// mailboxes then.
pub fn start_beside_dovecot(settings: Settings) -> (Instance, Running) {
    let instance = Instance::new(settings);
    if !is_root() {
        let running = instance.start();
        return (instance, running);
    }
    let copy = instance.path("relais");
    fs::copy(program(), &copy).expect("room");
    let instance = instance.running(&copy);
    give_to_nobody(&instance.path(""));
    let mut wrapper = process::command("setpriv");
    let running =
        instance.spawn_by(wrapper.args(["--reuid=65534", "--regid=65534", "--clear-groups"]));
    eventually("ready", Duration::from_secs(20), || instance.is_ready());
    (instance, running)
}

fn give_to_nobody(store: &Path) {
    let owner = format!("{NOBODY}:{NOBODY}");
    let done = process::command("chown").arg("-R").arg(owner).arg(store).status();
    assert!(done.is_ok_and(|status| status.success()), "chown -R {}", store.display());
    // The folders above are ours alone; Dovecot has to walk through them.
    for folder in store.ancestors().skip(1).take_while(|path| *path != Path::new("/tmp")) {
        open_to_all(folder);
    }
}

/// Lets other users walk through a folder; one that is not ours stays as it is.
pub(crate) fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
}

const NOBODY: u32 = 65_534;
