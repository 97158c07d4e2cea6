//! What a start does about an end that was not orderly: the records of the journal that may
//! not have reached the mailboxes, and files that belong to nobody.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::maildir;

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
pub(super) fn replay(root: &Path, record: &[u8]) -> io::Result<()> {
    let malformed = || io::Error::other("a record of the journal is malformed");
    let (dirs, name, octets) = parse(record).ok_or_else(malformed)?;
    let tmp = root.join(".tmp").join(name);
    for dir in dirs {
        let dir = root.join(dir);
        let old = find(&dir, name)?;
        if let Some(old) = &old
            && fs::read(old)? == octets
        {
            continue;
        }
        maildir::create(&dir)?;
        // Each gets a file of its own here: after a power cut, simple is better than small.
        maildir::write_file(&tmp, octets)?;
        fs::rename(&tmp, old.unwrap_or_else(|| maildir::message(&dir, name)))?;
    }
    Ok(())
}

/// Removes every file of a directory.
pub(super) fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
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
fn find(dir: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let new = maildir::message(dir, name);
    if new.exists() {
        return Ok(Some(new));
    }
    let entries = match fs::read_dir(dir.join("cur")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let seen = entry.file_name();
        let seen = seen.as_encoded_bytes();
        if seen.strip_prefix(name.as_bytes()).is_some_and(|flags| flags.starts_with(b":")) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_only_where_it_is_missing_or_torn() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = |uid: &str| root.path().join(format!("d/{uid}/Maildir"));
        fs::create_dir(root.path().join(".tmp")).expect("room");
        for uid in ["there", "seen", "torn", "missing"] {
            maildir::create(&dir(uid)).expect("room");
        }
        fs::write(dir("there").join("new/n"), "text").expect("room");
        fs::write(dir("seen").join("cur/n:2,S"), "text").expect("room");
        fs::write(dir("torn").join("cur/n:2,"), "").expect("room");
        let all =
            ["there", "seen", "torn", "missing", "gone"].map(|uid| format!("d/{uid}/Maildir"));
        let dirs: Vec<_> = all.iter().map(String::as_str).collect();
        let octets = record(&dirs, "n", b"text").parts().concat();
        replay(root.path(), &octets).expect("room");
        for path in [
            "there/Maildir/new/n",
            "seen/Maildir/cur/n:2,S",
            "torn/Maildir/cur/n:2,",
            "missing/Maildir/new/n",
            "gone/Maildir/new/n",
        ] {
            let text = fs::read_to_string(root.path().join("d").join(path));
            assert_eq!(text.expect(path), "text", "{path}");
        }
        assert!(!dir("seen").join("new/n").exists());
    }
}
