//! Other MTAs as next hops: a Postfix of our own that takes mail by SMTP, into a Maildir.
//!
//! It has to be started by root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Dialogue, free_port, open_folder, postfix_services, run_with, succeed, wire_form, within,
};

/// A running MTA that takes mail for everybody at `remote.test`. Dropping it stops it and removes its mail.
#[derive(Debug)]
pub struct Receiver {
    /// Where it takes SMTP, on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
}

impl Receiver {
    /// Postfix, with these lines in its `main.cf`.
    pub fn postfix(main: &str) -> Self {
        let receiver = Self { port: free_port(), folder: open_folder() };
        let [config, queue, data, boxes] =
            ["config", "queue", "data", "mail"].map(|name| receiver.path(name));
        for folder in [&config, &queue, &data, &boxes] {
            fs::create_dir(folder).expect("a fresh folder");
        }
        succeed(Command::new("chown").arg("postfix").arg(&data), b"");
        succeed(Command::new("chown").arg("nobody:nogroup").arg(&boxes), b"");
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\n\
             myhostname = postfix.test\nmydestination =\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nalias_maps =\nlocal_recipient_maps =\n\
             smtpd_peername_lookup = no\nvirtual_mailbox_domains = remote.test\n\
             virtual_mailbox_base = {}\nvirtual_mailbox_maps = static:box/\n\
             virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n\
             maillog_file = {}\nmaillog_file_prefixes = {}\n{main}\n",
            queue.display(),
            data.display(),
            boxes.display(),
            receiver.path("log").display(),
            receiver.folder.path().display(),
        );
        fs::write(config.join("main.cf"), text).expect("a configuration");
        let port = format!("127.0.0.1:{}", receiver.port);
        let services = postfix_services(&[
            (&port, "inet n - n - - smtpd"),
            ("virtual", "unix - n n - - virtual"),
            ("tlsmgr", "unix - - n 1000? 1 tlsmgr"),
        ]);
        fs::write(config.join("master.cf"), services).expect("a configuration");
        succeed(&mut receiver.postfix_command("start"), b"");
        let listens = within(PATIENCE, || Dialogue::connect(receiver.port).is_ok());
        assert!(listens, "Postfix does not listen:\n{}", receiver.log());
        receiver
    }

    /// Every message that it has delivered, in wire form.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let folder = fs::read_dir(self.path("mail/box/new")).into_iter().flatten();
        let read = |path: &Path| fs::read(path).map(wire_form).expect("a message");
        folder.map(|entry| read(&entry.expect("a folder entry").path())).collect()
    }

    /// The lines that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn postfix_command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.path("config")).arg(what);
        command
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        run_with(&mut self.postfix_command("stop"), b"");
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
