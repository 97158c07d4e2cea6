//! What a start does about an end that was not orderly: the records of the journal that may
//! not have reached the mailboxes, and files that belong to nobody.

use std::io::{self, Read};

use rustix::fs::FileType;
use tracing::warn;

use super::{
    dir::Dir,
    maildir::{Maildir, existing},
};

/// The parts of a journal record: the directories it is for, its file name, its octets.
pub(super) fn record<'a>(dirs: &[&str], name: &str, octets: &'a [u8]) -> Record<'a> {
    let mut head = (dirs.len() as u16).to_le_bytes().to_vec();
    for text in dirs.iter().copied().chain([name]) {
        head.extend_from_slice(&(text.len() as u16).to_le_bytes());
        head.extend_from_slice(text.as_bytes());
    }
    Record { head, octets }
}

/// A record to be written.
pub(super) struct Record<'a> {
    head: Vec<u8>,
    octets: &'a [u8],
}

impl Record<'_> {
    /// One behind the other, they are the record.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        [&self.head, self.octets]
    }
}

/// Puts the message of a record where it belongs, unless it is there already.
pub(super) fn replay(root: &Dir, record: &[u8]) -> io::Result<()> {
    let malformed = || io::Error::other("a record of the journal is malformed");
    let (dirs, name, octets) = parse(record).ok_or_else(malformed)?;
    for dir in dirs {
        match put(root, dir, name, octets) {
            // What its user made of a mailbox must not keep the others' from being opened.
            Err(error) if is_obstacle(&error) => {
                warn!(dir, %error, "a message cannot be put into its mailbox: it is kept in {LOST}");
                root.make(LOST)?.write(name, octets)?;
            }
            put => put?,
        }
    }
    Ok(())
}

fn put(root: &Dir, dir: &str, name: &str, octets: &[u8]) -> io::Result<()> {
    let maildir = Maildir::make(root, dir)?;
    let old = find(&maildir, name)?;
    if let Some((sub, name)) = &old {
        let mut there = Vec::with_capacity(octets.len());
        existing(sub, name)?.take(octets.len() as u64 + 1).read_to_end(&mut there)?;
        if there == octets {
            return Ok(());
        }
    }
    // Each gets a file of its own here: after a power cut, simple is better than small.
    let tmp = maildir.dir.make("tmp")?;
    tmp.write(name, octets)?;
    match old {
        Some((sub, old)) => tmp.rename(name, &sub, &old),
        None => tmp.rename(name, &maildir.new, name),
    }
}

/// A link, a file or something odder lies where a directory or a message should.
fn is_obstacle(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let odd = matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::EXIST));
    odd || error.kind() == io::ErrorKind::InvalidData
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

fn parse(record: &[u8]) -> Option<(Vec<&str>, &str, &[u8])> {
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

fn number(octets: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = octets.split_first_chunk()?;
    Some((u16::from_le_bytes(*number).into(), rest))
}

/// A message may have been seen since, and then its name has grown flags.
fn find(maildir: &Maildir, name: &str) -> io::Result<Option<(Dir, String)>> {
    if maildir.new.has(name)? {
        return Ok(Some((maildir.dir.open("new")?, name.to_owned())));
    }
    let cur = maildir.dir.open("cur")?;
    let mut found = None;
    cur.entries(|seen, _| {
        if seen.strip_prefix(name).is_some_and(|flags| flags.starts_with(':')) {
            found = Some(seen.to_owned());
        }
        Ok(())
    })?;
    Ok(found.map(|found| (cur, found)))
}

/// Where messages are kept that have no other place.
const LOST: &str = ".lost";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_message_comes_back_only_where_it_is_missing_or_torn() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Dir::root(folder.path()).expect("a directory");
        let dir = |uid: &str| folder.path().join(format!("d/{uid}/Maildir"));
        for uid in ["there", "seen", "torn", "missing", "astray"] {
            Maildir::make(&root, &format!("d/{uid}/Maildir")).expect("room");
        }
        fs::write(dir("there").join("new/n"), "text").expect("room");
        fs::write(dir("seen").join("cur/n:2,S"), "text").expect("room");
        fs::write(dir("torn").join("cur/n:2,"), "").expect("room");
        let outside = tempfile::tempdir().expect("a directory");
        fs::remove_dir(dir("astray").join("new")).expect("allowed");
        symlink(outside.path(), dir("astray").join("new")).expect("room");
        let all = ["there", "seen", "torn", "astray", "missing", "gone"]
            .map(|uid| format!("d/{uid}/Maildir"));
        let dirs: Vec<_> = all.iter().map(String::as_str).collect();
        let octets = record(&dirs, "n", b"text").parts().concat();
        replay(&root, &octets).expect("room");
        for path in [
            "d/there/Maildir/new/n",
            "d/seen/Maildir/cur/n:2,S",
            "d/torn/Maildir/cur/n:2,",
            "d/missing/Maildir/new/n",
            "d/gone/Maildir/new/n",
            ".lost/n",
        ] {
            let text = fs::read_to_string(folder.path().join(path));
            assert_eq!(text.expect(path), "text", "{path}");
        }
        assert!(!dir("seen").join("new/n").exists());
        assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 0);
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
