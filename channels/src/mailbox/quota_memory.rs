//! The store's memory of one mailbox's quota, in a file of its own beside the Maildir: the limit
//! that a relay named last, the line that it wrote into `maildirsize`, and since when the mailbox
//! has turned mail away.
//!
//! A relay need not name the limit each time (seed 16.4), and the first line of `maildirsize` may be
//! another program's: what is not this store's is left alone.

use std::{
    fmt::Write as _,
    io::{self, Read},
    time::Duration,
};

use super::dir::Dir;
use crate::{clock, mail::XQuota};

/// The file's contents.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct QuotaMemory {
    said: Option<XQuota>,
    header: Option<Box<str>>,
    /// Seconds since 1970.
    full_since: Option<u64>,
    is_changed: bool,
}

impl QuotaMemory {
    /// Of the user at `user` below `root`. A file that cannot be made out says nothing.
    pub(super) fn read(root: &Dir, user: &str) -> io::Result<Self> {
        let dir = match root.open(user) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            dir => dir?,
        };
        let Some(file) = dir.read(FILE)? else { return Ok(Self::default()) };
        let mut text = String::new();
        match file.take(LONGEST).read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Self::default()),
            read => read.map(|_| Self::parse(&text)),
        }
    }

    /// Lines that it does not know are another version's.
    fn parse(text: &str) -> Self {
        let mut memory = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match name {
                "xquota" => memory.said = xquota(value),
                "maildirsize" => memory.header = Some(value.into()),
                "full-since" => memory.full_since = value.parse().ok(),
                _ => {}
            }
        }
        memory
    }

    /// Writes it, if it has changed.
    pub(super) fn save(&mut self, root: &Dir, user: &str) -> io::Result<()> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        if let Some(said) = self.said {
            let _ = writeln!(text, "xquota {said}");
        }
        if let Some(header) = &self.header {
            let _ = writeln!(text, "maildirsize {header}");
        }
        if let Some(since) = self.full_since {
            let _ = writeln!(text, "full-since {since}");
        }
        let dir = root.open(user)?;
        dir.write(DRAFT, text.as_bytes())?;
        dir.rename(DRAFT, &dir, FILE).inspect_err(|_| drop(dir.remove(DRAFT)))
    }

    /// The limit that a relay named last.
    pub(super) fn said(&self) -> Option<XQuota> {
        self.said
    }

    /// A relay names the limit.
    pub(super) fn say(&mut self, said: XQuota) {
        self.is_changed |= self.said != Some(said);
        self.said = Some(said);
    }

    /// Whether the first line of `maildirsize` is this store's.
    pub(super) fn has_written(&self, header: &str) -> bool {
        self.header.as_deref() == Some(header)
    }

    /// The first line of `maildirsize` is this now, and this store's.
    pub(super) fn wrote(&mut self, header: &str) {
        if !self.has_written(header) {
            self.header = Some(header.into());
            self.is_changed = true;
        }
    }

    /// The mailbox turned a message away; for how long it has done so.
    pub(super) fn refused(&mut self) -> Duration {
        let now = clock::now().as_secs();
        // A clock that was put back begins anew.
        let since = self.full_since.filter(|since| *since <= now);
        if since.is_none() {
            self.full_since = Some(now);
            self.is_changed = true;
        }
        Duration::from_secs(now - since.unwrap_or(now))
    }

    /// The mailbox took a message within its limit.
    pub(super) fn took(&mut self) {
        self.is_changed |= self.full_since.take().is_some();
    }
}

/// `size,number`.
fn xquota(value: &str) -> Option<XQuota> {
    let (size, messages) = value.split_once(',')?;
    Some(XQuota { size: size.parse().ok()?, messages: messages.parse().ok()? })
}

/// In the directory of the user.
pub(super) const FILE: &str = "relais-quota";
const DRAFT: &str = "relais-quota.new";
/// Octets that are read.
const LONGEST: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_makes_no_sense_says_nothing() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Dir::root(folder.path()).expect("a directory");
        root.make("d/u").expect("room");
        let read = || QuotaMemory::read(&root, "d/u").expect("readable");
        assert_eq!(read(), QuotaMemory::default());
        let mut memory = QuotaMemory::default();
        memory.save(&root, "d/u").expect("room");
        assert!(!folder.path().join("d/u/relais-quota").exists(), "nothing is to be said");
        memory.say(XQuota { size: 20, messages: -1 });
        memory.wrote("20S");
        memory.refused();
        memory.save(&root, "d/u").expect("room");
        assert_eq!(read(), memory);
        assert!(read().has_written("20S") && !read().has_written("20S,1C"));
        memory.took();
        memory.save(&root, "d/u").expect("room");
        assert_eq!((read().full_since, read().said), (None, memory.said));
        for text in ["", "x", "xquota 1", "xquota a,b\nfull-since -1\nother 5\n", "\u{0}\n"] {
            std::fs::write(folder.path().join("d/u/relais-quota"), text).expect("room");
            assert_eq!(read(), QuotaMemory::default(), "{text:?}");
        }
        std::fs::write(folder.path().join("d/u/relais-quota"), b"\xff\xfe").expect("room");
        assert_eq!(read(), QuotaMemory::default());
        assert_eq!(QuotaMemory::read(&root, "d/none").expect("readable"), QuotaMemory::default());
    }

    #[test]
    fn a_mailbox_is_full_from_its_first_refusal_on() {
        let mut memory = QuotaMemory::default();
        assert_eq!(memory.refused(), Duration::ZERO);
        memory.full_since = memory.full_since.map(|since| since - 100);
        assert!(memory.refused() >= Duration::from_secs(100));
        memory.took();
        assert_eq!(memory.refused(), Duration::ZERO);
        memory.full_since = memory.full_since.map(|since| since + 1_000);
        assert_eq!(memory.refused(), Duration::ZERO, "the clock was put back");
    }
}
