//! The list of folders that a user's mail program shows, as Dovecot keeps it.

use std::io::{self, Read};

use super::maildir::Maildir;

/// Adds `folder`, with dots between its levels, to the list of a mailbox.
pub(super) fn subscribe(maildir: &Maildir, folder: &str) -> io::Result<()> {
    let mut list = String::new();
    if let Some(file) = maildir.dir.read(FILE)? {
        file.take(MAX_LIST + 1).read_to_string(&mut list)?;
        if list.len() as u64 > MAX_LIST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "subscriptions is too long"));
        }
    }
    // The second version of the format has a head, and tabs between the levels.
    let line = if list.starts_with("V\t2") { folder.replace('.', "\t") } else { folder.to_owned() };
    if list.lines().any(|subscribed| subscribed == line) {
        return Ok(());
    }
    if !list.is_empty() && !list.ends_with('\n') {
        list.push('\n');
    }
    list.push_str(&line);
    list.push('\n');
    maildir.replace(FILE, list.as_bytes())
}

pub(super) const FILE: &str = "subscriptions";
/// Bytes; no user has so many folders.
const MAX_LIST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mailbox::dir::Dir;

    #[test]
    fn a_folder_is_added_once_in_the_format_of_the_list() {
        let rows = [
            ("no list yet", None, "Work.Projects\n"),
            ("the first format", Some("Sent\n"), "Sent\nWork.Projects\n"),
            ("without its last line end", Some("Sent"), "Sent\nWork.Projects\n"),
            ("the second format", Some("V\t2\n\nSent\n"), "V\t2\n\nSent\nWork\tProjects\n"),
            ("listed already", Some("Work.Projects\nSent\n"), "Work.Projects\nSent\n"),
        ];
        for (name, before, want) in rows {
            let dir = tempfile::tempdir().expect("a directory");
            let root = Dir::root(dir.path()).expect("a directory");
            let maildir = Maildir::make(&root, "Maildir").expect("room");
            let path = dir.path().join("Maildir/subscriptions");
            if let Some(before) = before {
                fs::write(&path, before).expect("room");
            }
            subscribe(&maildir, "Work.Projects").expect("room");
            assert_eq!(fs::read_to_string(&path).expect("readable"), want, "{name}");
        }
    }
}
