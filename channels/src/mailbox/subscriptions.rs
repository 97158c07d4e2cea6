//! The list of folders that a user's mail program shows, as Dovecot keeps it.

use std::{fs, io, path::Path};

use super::maildir::write_file;

/// Adds `folder`, with dots between its levels, to the list of the mailbox at `maildir`.
pub(super) fn subscribe(maildir: &Path, folder: &str) -> io::Result<()> {
    let path = maildir.join("subscriptions");
    let mut list = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        list => list?,
    };
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
    // Readers see the old list or the new one.
    let tmp = maildir.join("tmp/subscriptions.relais");
    write_file(&tmp, list.as_bytes())?;
    fs::rename(tmp, path)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            super::super::maildir::create(dir.path()).expect("room");
            let path = dir.path().join("subscriptions");
            if let Some(before) = before {
                fs::write(&path, before).expect("room");
            }
            subscribe(dir.path(), "Work.Projects").expect("room");
            assert_eq!(fs::read_to_string(&path).expect("readable"), want, "{name}");
        }
    }
}
