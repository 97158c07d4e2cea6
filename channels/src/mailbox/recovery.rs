//! The repair at a start after an end that was not orderly: the records of the journal that may
//! not have reached the mailboxes, and files that belong to nobody.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
    sync::Arc,
};

use rustix::fs::FileType;
use tracing::warn;

use super::{
    dir::Dir,
    duplicates::Restored,
    maildir::{Maildir, culprit, existing, is_obstacle},
    open_file::OpenFile,
};
use crate::disk::is_full;

/// The parts of a journal record: the directories it is for, its file name, its bytes. `None`:
/// there are too many directories for one.
pub(super) fn record<'a>(dirs: &[&str], name: &str, bytes: &'a [u8]) -> Option<Record<'a>> {
    let mut head = u16::try_from(dirs.len()).ok()?.to_le_bytes().to_vec();
    for text in dirs.iter().copied().chain([name]) {
        head.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
        head.extend_from_slice(text.as_bytes());
    }
    Some(Record { head, bytes })
}

/// The record that takes the message `name` back from directories: one that is for none, so that an
/// older release puts it nowhere, with the directories as its bytes.
pub(super) fn void(dirs: &[&str], name: &str) -> Option<Vec<u8>> {
    let from = record(dirs, "", &[])?.head;
    Some(record(&[], name, &from)?.parts().concat())
}

/// A record to be written.
pub(super) struct Record<'a> {
    head: Vec<u8>,
    bytes: &'a [u8],
}

impl Record<'_> {
    /// One behind the other, they are the record.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        [&self.head, self.bytes]
    }
}

/// The mailboxes of a partition, as its journal sees them.
#[derive(Debug)]
pub(super) struct Mailboxes {
    root: Arc<Dir>,
    /// Messages that readers have seen in each directory: names with flags, by those without. A mailbox
    /// may hold a hundred thousand messages, and the journal as many for it.
    seen: HashMap<String, HashMap<String, String>>,
    names: usize,
    /// The directories that each message was taken back from.
    void: HashMap<String, HashSet<String>>,
    restored: Restored,
}

impl Mailboxes {
    /// Of the partition at `root`.
    pub(super) fn of(root: Arc<Dir>, restored: Restored) -> Self {
        Self { root, seen: HashMap::new(), names: 0, void: HashMap::new(), restored }
    }

    fn is_void(&self, dir: &str, name: &str) -> bool {
        self.void.get(name).is_some_and(|dirs| dirs.contains(dir))
    }

    /// A refused message may have got as far as the mailbox before it was refused.
    fn take_back(&self, dir: &str, name: &str) -> io::Result<()> {
        match Maildir::open(&self.root, dir)? {
            Some(maildir) if maildir.new.has(name)? => maildir.new.remove(name),
            _ => Ok(()),
        }
    }

    fn put(&mut self, dir: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let maildir = Maildir::make(&self.root, dir)?;
        let old = self.find(&maildir, dir, name)?;
        if let Some((sub, old)) = &old
            && is_on_disk(&mut existing(sub, old)?, bytes)?
        {
            return Ok(());
        }
        write(&maildir, name, bytes, old)
    }

    /// Whether only this mailbox is in trouble: what its user made of it, or a file system of its own
    /// that is full, must not keep the others' from being opened.
    fn is_alone(&self, dir: &str, error: &io::Error) -> bool {
        let device = |dir: io::Result<Dir>| dir.and_then(|dir| dir.device()).ok();
        let elsewhere = || device(self.root.open(dir)) != self.root.device().ok();
        is_obstacle(error) || is_full(error) && elsewhere()
    }

    /// A message may have been seen since, and then its name has grown flags.
    fn find(
        &mut self,
        maildir: &Maildir,
        dir: &str,
        name: &str,
    ) -> io::Result<Option<(Dir, String)>> {
        let cur = match maildir.dir.open("cur") {
            // Nobody can have moved it there.
            Err(error) if is_obstacle(&error) => None,
            cur => Some(cur?),
        };
        if !self.seen.contains_key(dir) {
            let names = cur.as_ref().map_or_else(|| Ok(HashMap::new()), seen)?;
            self.names += names.len();
            if self.names > MAX_NAMES {
                self.seen.clear();
                self.names = names.len();
            }
            self.seen.insert(dir.to_owned(), names);
        }
        let is_new = maildir.new.has(name)?;
        match cur.zip(self.seen.get(dir).and_then(|names| names.get(name))) {
            Some((cur, seen)) if cur.has(seen)? => {
                if is_new {
                    // The disk has taken half of what its reader did.
                    maildir.new.remove(name)?;
                }
                Ok(Some((cur, seen.clone())))
            }
            _ if is_new => Ok(Some((maildir.dir.open("new")?, name.to_owned()))),
            _ => Ok(None),
        }
    }
}

impl super::journal::Restorer for Mailboxes {
    fn foresee(&mut self, record: &[u8]) -> io::Result<()> {
        let (dirs, name, bytes) = parse(record)?;
        if dirs.is_empty() {
            let (from, ..) = parse(bytes)?;
            let void = self.void.entry(name.to_owned()).or_default();
            void.extend(from.into_iter().map(str::to_owned));
        }
        Ok(())
    }

    fn restore(&mut self, record: &[u8]) -> io::Result<()> {
        let (dirs, name, bytes) = parse(record)?;
        if dirs.is_empty() {
            for dir in parse(bytes)?.0 {
                match self.take_back(dir, name) {
                    Err(error) if is_obstacle(&error) => {}
                    taken => taken?,
                }
            }
        }
        for dir in dirs {
            if self.is_void(dir, name) {
                continue;
            }
            match self.put(dir, name, bytes) {
                Err(error) if self.is_alone(dir, &error) => {
                    let path = culprit(&self.root, dir);
                    warn!(
                        mailbox = dir, path, %error, name,
                        "a message cannot be put into its mailbox: it is kept in {LOST}"
                    );
                    let lost = self.root.make(LOST).and_then(|lost| lost.write(name, bytes));
                    lost.map_err(|error| of(LOST, &error))?;
                }
                put => {
                    put.map_err(|error| of(dir, &error))?;
                    self.restored.add(&self.root, dir, bytes);
                }
            }
        }
        Ok(())
    }

    fn rewrite(&mut self, record: &[u8]) -> io::Result<()> {
        let (dirs, name, bytes) = parse(record)?;
        for dir in dirs {
            let mut again = || {
                let Some(maildir) = Maildir::open(&self.root, dir)? else { return Ok(()) };
                // Readers may have moved it since it was last looked for.
                if !maildir.new.has(name)? {
                    self.seen.remove(dir);
                }
                let old = self.find(&maildir, dir, name)?;
                if old.is_some() { write(&maildir, name, bytes, old) } else { Ok(()) }
            };
            match again() {
                // A mailbox on a file system of its own was made durable when the message was placed.
                Err(error) if self.is_alone(dir, &error) => {}
                again => again?,
            }
        }
        Ok(())
    }
}

/// Each gets a file of its own here: after a crash, simple is better than small.
fn write(
    maildir: &Maildir,
    name: &str,
    bytes: &[u8],
    old: Option<(Dir, String)>,
) -> io::Result<()> {
    let tmp = maildir.dir.make("tmp")?;
    tmp.write(name, bytes)?;
    match old {
        Some((sub, old)) => tmp.rename(name, &sub, &old),
        None => tmp.rename(name, &maildir.new, name),
    }
}

/// Whether the disk has these bytes in a file, and not only the memory of the system.
fn is_on_disk(file: &mut OpenFile, bytes: &[u8]) -> io::Result<bool> {
    file.forget_cached()?;
    let mut there = Vec::with_capacity(bytes.len());
    // A file that cannot be read is written anew.
    let read = file.take(bytes.len() as u64 + 1).read_to_end(&mut there);
    Ok(read.is_ok() && there == bytes)
}

/// The names in `cur`, by what they were in `new`.
fn seen(cur: &Dir) -> io::Result<HashMap<String, String>> {
    let mut names = HashMap::new();
    cur.entries(|seen, _| {
        if let Some((name, _)) = seen.rsplit_once(':') {
            names.insert(name.to_owned(), seen.to_owned());
        }
        Ok(())
    })?;
    Ok(names)
}

/// The same error, with what it is about.
fn of(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// Removes every file of a directory.
pub(super) fn sweep(dir: &Dir) -> io::Result<()> {
    dir.entries(|name, kind| {
        match dir.remove(name) {
            Ok(()) => {}
            Err(_) if kind == FileType::Directory => {
                warn!(name, "a directory lies where the store keeps files on their way: it stays");
            }
            Err(error) => warn!(name, %error, "a file on its way into the store cannot be removed"),
        }
        Ok(())
    })
}

pub(super) fn parse(record: &[u8]) -> io::Result<(Vec<&str>, &str, &[u8])> {
    parts(record).ok_or_else(|| io::Error::other("a record of the journal is malformed"))
}

fn parts(record: &[u8]) -> Option<(Vec<&str>, &str, &[u8])> {
    let (count, mut rest) = number(record)?;
    let mut texts = Vec::new();
    for _ in 0..=count {
        let (length, after) = number(rest)?;
        let (text, after) = after.split_at_checked(length)?;
        texts.push(std::str::from_utf8(text).ok()?);
        rest = after;
    }
    let name = texts.pop()?;
    Some((texts, name, rest))
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_le_bytes(*number).into(), rest))
}

/// Names of files kept in memory.
const MAX_NAMES: usize = 500_000;
/// Where messages are kept that have no other place.
pub(super) const LOST: &str = ".lost";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use relais_config::store::Duplicates;

    use super::{super::journal::Restorer as _, *};

    #[test]
    fn a_message_comes_back_only_where_it_is_missing_or_torn() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Dir::root(folder.path()).expect("a directory");
        let dir = |uid: &str| folder.path().join(format!("d/{uid}/Maildir"));
        for uid in ["there", "seen", "torn", "missing", "astray", "odd"] {
            Maildir::make(&root, &format!("d/{uid}/Maildir")).expect("room");
        }
        fs::write(dir("there").join("new/n"), "text").expect("room");
        fs::write(dir("seen").join("cur/n:2,S"), "text").expect("room");
        fs::write(dir("torn").join("cur/n:2,"), "").expect("room");
        let outside = tempfile::tempdir().expect("a directory");
        fs::remove_dir(dir("astray").join("new")).expect("allowed");
        symlink(outside.path(), dir("astray").join("new")).expect("room");
        fs::remove_dir(dir("odd").join("cur")).expect("allowed");
        fs::write(dir("odd").join("cur"), "no directory").expect("room");
        let all = ["there", "seen", "torn", "astray", "missing", "gone", "odd"]
            .map(|uid| format!("d/{uid}/Maildir"));
        let dirs: Vec<_> = all.iter().map(String::as_str).collect();
        let bytes = record(&dirs, "n", b"text").expect("few").parts().concat();
        Mailboxes::of(Arc::new(root), Restored::default()).restore(&bytes).expect("room");
        for path in [
            "d/there/Maildir/new/n",
            "d/seen/Maildir/cur/n:2,S",
            "d/torn/Maildir/cur/n:2,",
            "d/missing/Maildir/new/n",
            "d/gone/Maildir/new/n",
            "d/odd/Maildir/new/n",
            ".lost/n",
        ] {
            let text = fs::read_to_string(folder.path().join(path));
            assert_eq!(text.expect(path), "text", "{path}");
        }
        assert!(!dir("seen").join("new/n").exists());
        assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_message_that_was_taken_back_stays_away_from_there_and_comes_back_elsewhere() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Dir::root(folder.path()).expect("a directory");
        let dirs = ["d/amy/Maildir", "d/bob/Maildir", "d/cat/Maildir"];
        let file = |dir: &str, name: &str| folder.path().join(dir).join("new").join(name);
        Maildir::make(&root, dirs[1]).expect("room");
        fs::write(file(dirs[1], "n"), "half").expect("room");
        let records = [
            record(&dirs, "n", b"Message-ID: <n@x>\r\n\r\n").expect("few").parts().concat(),
            record(&dirs, "other", b"text").expect("few").parts().concat(),
            void(&dirs[..2], "n").expect("few"),
        ];
        let window = std::time::Duration::from_secs(600);
        let restored = Restored::of(Some(Duplicates { window, most: 10 }));
        let root = Arc::new(root);
        let mut mailboxes = Mailboxes::of(root.clone(), restored.clone());
        for record in &records {
            mailboxes.foresee(record).expect("well formed");
        }
        for record in &records {
            mailboxes.restore(record).expect("room");
        }
        let there = |name| dirs.map(|dir| file(dir, name).exists());
        assert_eq!((there("n"), there("other")), ([false, false, true], [true; 3]));
        let mut remembered = restored.take(&root).expect("it remembers");
        assert_eq!(dirs.map(|dir| remembered.has(dir, b"n@x")), [false, false, true]);
    }

    #[test]
    fn what_cannot_be_swept_stays_and_hinders_nobody() {
        let folder = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(folder.path().join("stray/inner")).expect("room");
        fs::write(folder.path().join("file"), "half").expect("room");
        sweep(&Dir::root(folder.path()).expect("a directory")).expect("readable");
        assert!(folder.path().join("stray").exists() && !folder.path().join("file").exists());
    }
}
