//! Maildir++: directories, names of files, and how a message gets into a mailbox.
//!
//! A message becomes visible by one `link` or `rename`, complete or not at all. What is on disk
//! when these functions return is the caller's business; see [`super::Partition`].

use std::{io, ops::ControlFlow, process};

use rustix::{fs::FileType, io::Errno};

use super::{dir::Dir, open_file::OpenFile};
use crate::clock;

/// Makes names that no other file in any mailbox has.
#[derive(Debug)]
pub(super) struct FileNames {
    host: String,
    pid: u32,
    count: u64,
    /// Microseconds since 1970 in the last name.
    last: u128,
}

impl FileNames {
    /// For files made by this process on `host`.
    pub(super) fn new(host: &str) -> Self {
        // As the Maildir specification wants it: neither path nor flags can be read out of it.
        let host = host.replace('/', "\\057").replace(':', "\\072");
        Self { host, pid: process::id(), count: 0, last: 0 }
    }

    /// `seconds.MmicrosecondsPpidQcount.host,S=bytes,W=octets`: the sizes, as they are and with lines
    /// ended by CRLF, save readers a `stat` and a look at each line. Readers number new messages in the
    /// order of these times, so that no two are the same, and none goes back with the clock.
    pub(super) fn next(&mut self, size: u64, wire_size: u64) -> String {
        self.count += 1;
        let now = clock::now().as_micros();
        self.last = now.max(self.last + 1);
        let (seconds, micros) = (self.last / 1_000_000, self.last % 1_000_000);
        let Self { pid, count, host, .. } = self;
        format!("{seconds}.M{micros}P{pid}Q{count}.{host},S={size},W={wire_size}")
    }
}

/// A mailbox or folder, and the place for its new messages.
#[derive(Debug)]
pub(super) struct Maildir {
    /// The directory itself.
    pub(super) dir: Dir,
    /// Where messages lie that nobody has seen yet.
    pub(super) new: Dir,
}

impl Maildir {
    /// The mailbox or folder at `path` below `root`, when its directory is there: what is missing
    /// inside is made again.
    pub(super) fn open(root: &Dir, path: &str) -> io::Result<Option<Self>> {
        match root.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            dir => Self::whole(dir?).map(Some),
        }
    }

    /// As [`Self::open`], and makes it, and everything above it, when it is not there.
    pub(super) fn make(root: &Dir, path: &str) -> io::Result<Self> {
        Self::whole(root.make(path)?)
    }

    fn whole(dir: Dir) -> io::Result<Self> {
        for sub in &SUBS[..2] {
            if !dir.has(sub)? {
                dir.make(sub)?;
            }
        }
        let new = dir.make("new")?;
        Ok(Self { dir, new })
    }

    /// Makes a folder of this mailbox.
    pub(super) fn make_folder(&self, name: &str) -> io::Result<Self> {
        let folder = Self::make(&self.dir, &format!(".{name}"))?;
        // Tells a Maildir++ reader that this is not a mailbox of its own.
        if !folder.dir.has(FOLDER_MARK)? {
            folder.dir.create(FOLDER_MARK)?;
        }
        Ok(folder)
    }

    /// Replaces the file `name` of this mailbox: readers see the old one or the new one.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        replace(&self.dir, name, bytes)
    }

    /// Puts a copy of the file `source` in `from` into this mailbox and makes it durable: where a
    /// file cannot have another name, because it would lie on another file system, say.
    pub(super) fn copy(&self, from: &Dir, source: &str, name: &str) -> io::Result<()> {
        let mut source = existing(from, source)?;
        let tmp = self.dir.make("tmp")?;
        let mut copy = || {
            let mut file = tmp.create(name)?;
            io::copy(&mut source, &mut file)?;
            file.sync_data()?;
            tmp.rename(name, &self.new, name)?;
            self.new.sync()
        };
        copy().inspect_err(|_| {
            // Where it is depends on what failed.
            let _ = tmp.remove(name).or_else(|_| self.new.remove(name));
        })
    }
}

/// Replaces the file `name` of a mailbox: readers see the old one or the new one.
pub(super) fn replace(maildir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let tmp = maildir.make("tmp")?;
    let draft = format!("{name}.relais");
    tmp.write(&draft, bytes)?;
    tmp.rename(&draft, maildir, name).inspect_err(|_| drop(tmp.remove(&draft)))
}

/// Calls `each` for the domain and the uid of every mailbox of a partition, or of one domain of it,
/// until it says that it has seen enough: domains in order, users in the order of their directory.
/// A million users of a domain are not held at once.
pub(super) fn each(
    root: &Dir,
    domain: Option<&str>,
    mut each: impl FnMut(&str, &str) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut domains = domain.map_or_else(|| names(root), |domain| Ok(vec![domain.to_owned()]))?;
    domains.sort_unstable();
    for domain in domains {
        let Some(users) = opened(root, &domain)? else { continue };
        let mut flow = ControlFlow::Continue(());
        let walked = users.entries(|uid, kind| {
            if is_name(uid, kind) && opened(&users, &format!("{uid}/Maildir"))?.is_some() {
                flow = each(&domain, uid);
            }
            // The only way out of a directory.
            if flow.is_break() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        });
        if flow.is_break() {
            return Ok(());
        }
        walked?;
    }
    Ok(())
}

/// The obstacle to using the mailbox or folder at `path`: of the directories on the way there
/// and in it, the first that is none or is closed; `path` where all of them are well.
pub(super) fn culprit(root: &Dir, path: &str) -> String {
    let is_odd = |path: &str, write| match root.open(path) {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(dir) => !dir.allows(write),
    };
    let way = path.match_indices('/').map(|(end, _)| &path[..end]).chain([path]);
    let inside = ["new", "cur", "tmp"].map(|sub| format!("{path}/{sub}"));
    way.into_iter()
        .find(|dir| is_odd(dir, false))
        .map(str::to_owned)
        .or_else(|| inside.into_iter().find(|dir| is_odd(dir, true)))
        .unwrap_or_else(|| path.to_owned())
}

/// A link, a file or something odder lies where a directory or a message should, or its user has
/// closed it: one mailbox that cannot be written is not to stop the others.
pub(super) fn is_obstacle(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    is_malformed(error) || matches!(errno, Some(Errno::ACCESS | Errno::PERM))
}

/// A link, a file or something odder lies where a directory or a message should.
pub(super) fn is_malformed(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::EXIST))
        || error.kind() == io::ErrorKind::InvalidData
}

/// Whether linking failed for a reason that copying does not have.
pub(super) fn wants_a_copy(error: &io::Error) -> bool {
    // Another file system, one without links, or more names than it allows a file.
    [Errno::XDEV, Errno::MLINK, Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Names in `dir` that may be directories and are not hidden.
fn names(dir: &Dir) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    dir.entries(|name, kind| {
        if is_name(name, kind) {
            names.push(name.to_owned());
        }
        Ok(())
    })?;
    Ok(names)
}

fn is_name(name: &str, kind: FileType) -> bool {
    !name.starts_with('.') && matches!(kind, FileType::Directory | FileType::Unknown)
}

/// The number behind `key`, `,S=` say, in the name of a message.
pub(super) fn stated(name: &str, key: &str) -> Option<u64> {
    let (_, rest) = name.split_once(key)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A directory, unless it is none or gone.
fn opened(dir: &Dir, path: &str) -> io::Result<Option<Dir>> {
    match dir.open(path) {
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            _ => Err(error),
        },
        dir => dir.map(Some),
    }
}

/// Opens a file that must be there.
pub(super) fn existing(dir: &Dir, name: &str) -> io::Result<OpenFile> {
    Ok(dir.read(name)?.ok_or(Errno::NOENT)?)
}

/// Names in the directory of a user whose mail lies there in another form: dbox of Dovecot, mbox.
pub(super) const OTHER_FORMATS: &[&str] = &["mailboxes", "storage", "mbox", "inbox"];
/// A file in each folder, which tells it from a mailbox of its own.
pub(super) const FOLDER_MARK: &str = "maildirfolder";
/// The directories of a mailbox, and of a folder.
pub(super) const SUBS: [&str; 3] = ["tmp", "cur", "new"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_tell_the_size() {
        let mut names = FileNames::new("a/b:c");
        let all: Vec<_> = (0..1_000).map(|_| names.next(42, 45)).collect();
        let time = |name: &String| {
            let (seconds, rest) = name.split_once(".M").expect("seconds");
            let (micros, _) = rest.split_once('P').expect("microseconds");
            (seconds.parse::<u64>().expect("digits"), micros.parse::<u32>().expect("digits"))
        };
        let times: Vec<_> = all.iter().map(time).collect();
        assert!(times.is_sorted_by(|one, next| one < next), "no two are the same");
        for name in all {
            assert!(name.ends_with(".a\\057b\\072c,S=42,W=45") && !name.contains('/'), "{name}");
        }
        // The clock was put back.
        names.last += 3_600_000_000;
        let (ahead, next) = (names.last, time(&names.next(1, 1)));
        assert_eq!(u128::from(next.0) * 1_000_000 + u128::from(next.1), ahead + 1);
    }

    #[test]
    fn a_copy_is_made_where_a_second_name_is_not_to_be_had() {
        for errno in [Errno::XDEV, Errno::MLINK, Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(wants_a_copy(&errno.into()), "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::NOENT, Errno::ACCESS] {
            assert!(!wants_a_copy(&errno.into()), "{errno}");
        }
        let folder = tempfile::tempdir().expect("a directory");
        let root = Dir::root(folder.path()).expect("a directory");
        let maildir = Maildir::make(&root, "d/u/Maildir").expect("room");
        root.write("source", b"text").expect("room");
        maildir.copy(&root, "source", "name").expect("room");
        let copied = std::fs::read(folder.path().join("d/u/Maildir/new/name"));
        assert_eq!(copied.expect("a message"), b"text");
        assert!(!maildir.dir.open("tmp").expect("a directory").has("name").expect("readable"));
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let rows = [
            ("d", "d"),
            ("d/u", "d/u"),
            ("d/u/Maildir", "d/u/Maildir"),
            ("d/u/Maildir/new", "d/u/Maildir/new"),
            ("d/u/Maildir/cur", "d/u/Maildir/cur"),
            ("d/u/Maildir/maildirsize", "d/u/Maildir"),
        ];
        for (odd, want) in rows {
            let folder = tempfile::tempdir().expect("a directory");
            let root = Dir::root(folder.path()).expect("a directory");
            Maildir::make(&root, "d/u/Maildir").expect("room");
            let path = folder.path().join(odd);
            let _ = std::fs::remove_dir_all(&path);
            std::fs::write(&path, "no directory").expect("room");
            assert_eq!(culprit(&root, "d/u/Maildir"), want);
        }
    }

    #[test]
    fn mailboxes_are_listed_and_what_is_none_is_not() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Dir::root(folder.path()).expect("a directory");
        for (domain, uid) in [("siroe.com", "jdoe"), ("sesta.com", "amy"), ("siroe.com", "bob")] {
            let maildir = Maildir::make(&root, &format!("{domain}/{uid}/Maildir")).expect("room");
            maildir.make_folder("Work").expect("room");
        }
        root.make("siroe.com/nobody").expect("room");
        root.make(".tmp/x/Maildir/new").expect("room");
        root.create("file").expect("room");
        std::os::unix::fs::symlink("jdoe", folder.path().join("siroe.com/link")).expect("room");
        let listed = |domain, limit| {
            let mut all = Vec::new();
            let walked = each(&root, domain, |domain, uid| {
                all.push(format!("{uid}@{domain}"));
                if all.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            walked.expect("readable");
            all.sort();
            all
        };
        assert_eq!(listed(None, 9), ["amy@sesta.com", "bob@siroe.com", "jdoe@siroe.com"]);
        assert_eq!(listed(Some("sesta.com"), 9), ["amy@sesta.com"]);
        assert_eq!(listed(Some("other.com"), 9), [""; 0]);
        assert_eq!(listed(None, 1), ["amy@sesta.com"]);
    }
}
