//! Maildir++: directories, names of files, and how a message gets into a mailbox.
//!
//! A message becomes visible by one `link` or `rename`, complete or not at all. What is on disk
//! when these functions return is the caller's business; see [`super::Partition`].

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

/// Makes names that no other file in any mailbox has.
#[derive(Debug)]
pub struct FileNames {
    host: String,
    count: u64,
}

impl FileNames {
    /// For files made by this process on `host`.
    pub fn new(host: &str) -> Self {
        // As the Maildir specification wants it: neither path nor flags can be read out of it.
        Self { host: host.replace('/', "\\057").replace(':', "\\072"), count: 0 }
    }

    /// `seconds.MmicrosecondsPpidQcount.host,S=octets`; the size saves readers a `stat`.
    pub fn next(&mut self, size: u64) -> String {
        self.count += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        let (pid, count, host) = (process::id(), self.count, &self.host);
        format!("{seconds}.M{micros}P{pid}Q{count}.{host},S={size}")
    }
}

/// Whether there is a mailbox or folder at `dir`.
pub fn exists(dir: &Path) -> bool {
    dir.join("new").is_dir()
}

/// Makes a mailbox or folder, and everything above it. One that is there already is left alone.
pub fn create(dir: &Path) -> io::Result<()> {
    // `new` comes last: where it is, the rest is.
    ["tmp", "cur", "new"].into_iter().try_for_each(|sub| create_dir(&dir.join(sub)))
}

/// Makes a directory and everything above it, closed to others.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes a folder of the mailbox at `maildir`.
pub fn create_folder(maildir: &Path, folder: &str) -> io::Result<()> {
    let dir = maildir.join(format!(".{folder}"));
    create(&dir)?;
    // Tells a Maildir++ reader that this is not a mailbox of its own.
    create_file(&dir.join("maildirfolder")).map(drop)
}

/// All mailboxes of a partition, as `(domain, uid)`, in order.
pub fn list(root: &Path) -> io::Result<Vec<(String, String)>> {
    let mut mailboxes = Vec::new();
    for domain in names(root)? {
        for uid in names(&root.join(&domain))? {
            if exists(&root.join(&domain).join(&uid).join("Maildir")) {
                mailboxes.push((domain.clone(), uid));
            }
        }
    }
    mailboxes.sort();
    Ok(mailboxes)
}

/// Opens a file for writing, making it if need be; readable by its owner only.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes a new file with `octets`; removes it when that fails half way.
pub(super) fn write_file(path: &Path, octets: &[u8]) -> io::Result<File> {
    let mut file = create_file(path)?;
    match file.write_all(octets) {
        Ok(()) => Ok(file),
        Err(error) => {
            // It is of no use and takes room that may be what is missing.
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

/// Puts a copy of the file at `source` into `dir` and makes it durable: for a mailbox that is not
/// on the partition's file system.
pub(super) fn copy_into(source: &Path, dir: &Path, name: &str) -> io::Result<()> {
    let tmp = dir.join("tmp").join(name);
    let copy = || {
        let mut file = create_file(&tmp)?;
        io::copy(&mut File::open(source)?, &mut file)?;
        file.sync_data()?;
        fs::rename(&tmp, message(dir, name))?;
        File::open(dir.join("new"))?.sync_all()
    };
    copy().inspect_err(|_| {
        let _ = fs::remove_file(&tmp);
    })
}

/// Where a message that nobody has seen yet lies.
pub(super) fn message(dir: &Path, name: &str) -> PathBuf {
    dir.join("new").join(name)
}

/// Whether linking failed for a reason that copying does not have.
pub(super) fn wants_a_copy(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // EPERM: a file system without hard links.
    [Errno::XDEV, Errno::MLINK, Errno::PERM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The directories in `dir` that are not hidden.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && entry.path().is_dir()
        {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_tell_the_size() {
        let mut names = FileNames::new("a/b:c");
        let all: HashSet<_> = (0..1_000).map(|_| names.next(42)).collect();
        assert_eq!(all.len(), 1_000);
        for name in all {
            assert!(name.ends_with(".a\\057b\\072c,S=42") && !name.contains('/'), "{name}");
        }
    }

    #[test]
    fn mailboxes_are_listed_and_what_is_none_is_not() {
        let root = tempfile::tempdir().expect("a directory");
        for (domain, uid) in [("siroe.com", "jdoe"), ("sesta.com", "amy"), ("siroe.com", "bob")] {
            create(&root.path().join(domain).join(uid).join("Maildir")).expect("room");
        }
        create_folder(&root.path().join("siroe.com/jdoe/Maildir"), "Work").expect("room");
        fs::create_dir_all(root.path().join("siroe.com/nobody")).expect("room");
        fs::create_dir_all(root.path().join(".tmp/x/Maildir/new")).expect("room");
        let want = [("sesta.com", "amy"), ("siroe.com", "bob"), ("siroe.com", "jdoe")];
        let got = list(root.path()).expect("readable");
        assert_eq!(got, want.map(|(domain, uid)| (domain.to_owned(), uid.to_owned())));
    }
}
