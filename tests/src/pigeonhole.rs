//! Pigeonhole, the Sieve of Dovecot (Debian's `dovecot-sieve`): decisions of its `sieve-filter` and
//! `sieve-test` about messages. Neither carries out what it decides.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{is_root, run_with};

/// A mailbox of messages, and whatever Pigeonhole needs to read it.
#[derive(Debug)]
pub struct Pigeonhole {
    folder: TempDir,
    messages: usize,
}

/// Actions about a message in words, sorted; `None`: Pigeonhole died of it.
pub type Decided = Option<Vec<String>>;

impl Pigeonhole {
    /// Over these messages.
    pub fn over(messages: &[Vec<u8>]) -> Self {
        let folder = tempfile::Builder::new().prefix("sieve-").tempdir_in("/tmp").expect("room");
        let its = Self { messages: messages.len(), folder };
        for name in ["cur", "new", "tmp"] {
            fs::create_dir_all(its.path("Maildir").join(name)).expect("room");
        }
        for (number, message) in messages.iter().enumerate() {
            fs::write(its.message(number), message).expect("room");
        }
        fs::write(its.path("dovecot.conf"), its.configuration()).expect("room");
        // Dovecot reads no mail as root.
        if is_root() {
            let mut give = Command::new("chown");
            let given = give.args(["-R", "nobody:nogroup"]).arg(its.folder.path()).status();
            assert!(given.is_ok_and(|status| status.success()), "chown works");
        }
        its
    }

    /// Its decisions about each message; sender and recipient are those of the header.
    pub fn decide(&self, script: &str) -> Vec<Decided> {
        let output = self.run("sieve-filter", script, &[], "INBOX");
        let text = String::from_utf8_lossy(&output.stdout);
        let blocks = text.split(">> Filtering message:").skip(1);
        let mut told: Vec<Decided> = blocks.map(|block| Some(actions(block))).collect();
        if output.status.success() {
            assert_eq!(told.len(), self.messages, "each is told of");
            return told;
        }
        assert!(output.status.code().is_none(), "{}", String::from_utf8_lossy(&output.stderr));
        // It died in the middle of one.
        told.pop();
        let rest = told.len()..self.messages;
        told.extend(rest.map(|number| self.decide_one(script, number, &[])));
        told
    }

    /// Its decision about one message, with options of `sieve-test`: `-f SENDER`, `-a RECIPIENT`.
    pub fn decide_one(&self, script: &str, number: usize, options: &[&str]) -> Decided {
        let message = self.message(number).display().to_string();
        let output = self.run("sieve-test", script, options, &message);
        output.status.code()?;
        Some(actions(&String::from_utf8_lossy(&output.stdout)))
    }

    fn run(&self, program: &str, script: &str, options: &[&str], last: &str) -> Output {
        let file = self.path("script.sieve");
        fs::write(&file, script).expect("room");
        let mut command = Command::new(program);
        command.arg("-c").arg(self.path("dovecot.conf")).arg("-C").args(options);
        run_with(command.arg(file).arg(last), b"")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its file; the number makes the order.
    fn message(&self, number: usize) -> PathBuf {
        self.path(&format!("Maildir/cur/{}.M1P1.host:2,", 1_000_000_000 + number))
    }

    fn configuration(&self) -> String {
        let folder = self.folder.path().display();
        let user = if is_root() { "mail_uid = nobody\nmail_gid = nogroup\n" } else { "" };
        format!(
            "base_dir = {folder}/run\nlog_path = /dev/stderr\nprotocols =\nssl = no\n\
             mail_home = {folder}\nmail_location = maildir:{folder}/Maildir\n\
             first_valid_uid = 1\nfirst_valid_gid = 0\n{user}\
             plugin {{\n  sieve_extensions = +editheader +vacation-seconds\n  \
             recipient_delimiter = +\n  sieve_vacation_min_period = 0\n}}\n"
        )
    }
}

/// Actions that are told of: `file FOLDER flags`, `redirect ADDRESS`, `reject REASON`, `vacation ...`.
fn actions(told: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut in_reply = false;
    for line in told.lines() {
        let line = line.trim_end();
        match line {
            "START MESSAGE" => in_reply = true,
            "END MESSAGE" => in_reply = false,
            _ => {}
        }
        if in_reply && line != "START MESSAGE" {
            if let Some(reply) = found.last_mut() {
                reply.extend(["; ", line]);
            }
        } else if let Some(action) = line.strip_prefix(" * ") {
            found.extend(word_of(action));
        } else if let (Some(last), Some(detail)) = (found.last_mut(), detail_of(line)) {
            *last += &detail;
        }
    }
    found.sort();
    found
}

/// An action; discarding is the absence of others.
fn word_of(action: &str) -> Option<String> {
    let rows = [
        ("store message in folder: ", "file "),
        ("redirect message to: ", "redirect "),
        ("reject message with reason: ", "reject "),
    ];
    if action == "send vacation message:" {
        return Some("vacation".to_owned());
    }
    rows.iter()
        .find_map(|(told, word)| Some(format!("{word}{}", action.strip_prefix(told)?.trim_end())))
}

/// A detail of the action before it.
fn detail_of(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(flags) = line.strip_prefix("+ add IMAP flags: ") {
        let mut flags: Vec<_> = flags.split(' ').map(str::to_lowercase).collect();
        flags.sort();
        return Some(format!(" [{}]", flags.join(" ")));
    }
    if line == "+ create mailbox if it does not exist" {
        return Some(" create".to_owned());
    }
    let (name, value) = line.strip_prefix("=> ")?.split_once(':')?;
    let name = name.trim();
    // A handle that the script does not name is made in a way of its own, and so is a subject.
    (!matches!(name, "handle" | "subject")).then(|| format!(" {name}={}", value.trim()))
}
