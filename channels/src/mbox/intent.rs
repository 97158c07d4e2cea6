//! Appends that are under way, as a file of ours has them.
//!
//! The file is written over each time and made durable before the first octet goes into a mailbox; it
//! is struck out when all are done, without waiting: an intent whose append was whole is left alone.

use std::{
    ffi::OsString,
    io::{self, IoSlice},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    sync::Arc,
};

use super::{
    content::START,
    place::{FilePlace, Owner, Rights},
};
use crate::disk::DiskFile;

/// An append to one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Intent {
    pub(super) place: FilePlace,
    /// Device and inode.
    pub(super) identity: (u64, u64),
    /// The file's length before.
    pub(super) length: u64,
    /// Where the first message begins and where each ends, counted from there.
    pub(super) bounds: Vec<u64>,
    /// The first octets that are appended, at most [`START`].
    pub(super) start: Vec<u8>,
    /// Whether any octet that is appended is zero.
    pub(super) has_zeros: bool,
}

impl Intent {
    /// Octets that are appended.
    pub(super) fn octets(&self) -> u64 {
        self.bounds.last().copied().unwrap_or_default()
    }
}

/// The file of one writer.
pub(super) struct IntentFile {
    file: Arc<dyn DiskFile>,
    is_clear: bool,
}

impl IntentFile {
    /// Opens it, with what it says.
    pub(super) fn open(file: Arc<dyn DiskFile>) -> io::Result<(Self, Vec<Intent>)> {
        let octets = usize::try_from(file.size()?.min(LARGEST)).unwrap_or_default();
        let mut text = vec![0; octets];
        let read = file.read_at(&mut text, 0)?;
        let found = parse(&text[..read]).unwrap_or_default();
        Ok((Self { file, is_clear: false }, found))
    }

    /// Writes down all of these, durably, in place of what was there.
    pub(super) fn write(&mut self, intents: &[&Intent]) -> io::Result<()> {
        let text = print(intents);
        self.is_clear = false;
        self.file.write_at(&mut [IoSlice::new(&text)], 0)?;
        self.file.sync_data()
    }

    /// Strikes them out. It need not last: see the head of this file.
    pub(super) fn strike_out(&mut self) {
        // An intent that stays is looked at by the next start, and is found to be whole.
        let _ = self.file.write_at(&mut [IoSlice::new(&[0; HEAD])], 0);
    }

    /// Makes that last, once.
    pub(super) fn rest(&mut self) {
        if !self.is_clear {
            self.is_clear = self.file.sync_data().is_ok();
        }
    }
}

/// Magic, CRC-32C of what follows, its length; and then the intents.
fn print(intents: &[&Intent]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend((intents.len() as u32).to_le_bytes());
    for intent in intents {
        let (root, below) = intent.place.parts();
        for text in [root.as_os_str(), below.as_os_str(), intent.place.name()] {
            put(&mut body, text.as_bytes());
        }
        let Owner { user, group } = intent.place.owner;
        let rights = u64::from(intent.place.rights == Rights::Owner);
        let zeros = u64::from(intent.has_zeros);
        let (device, inode) = intent.identity;
        let bounds = intent.bounds.len() as u64;
        let numbers =
            [user.into(), group.into(), rights, zeros, device, inode, intent.length, bounds];
        for number in numbers {
            body.extend(number.to_le_bytes());
        }
        body.extend(intent.bounds.iter().flat_map(|bound| bound.to_le_bytes()));
        put(&mut body, &intent.start);
    }
    let mut text = MAGIC.to_vec();
    text.extend(crc32c::crc32c(&body).to_le_bytes());
    text.extend((body.len() as u32).to_le_bytes());
    text.extend(body);
    text
}

fn put(text: &mut Vec<u8>, octets: &[u8]) {
    text.extend((octets.len() as u32).to_le_bytes());
    text.extend_from_slice(octets);
}

fn parse(text: &[u8]) -> Option<Vec<Intent>> {
    let mut head = Rest(text.strip_prefix(MAGIC)?);
    let (crc, length) = (head.short()?, head.short()?);
    let body = head.0.get(..length as usize)?;
    if crc32c::crc32c(body) != crc {
        return None;
    }
    let mut rest = Rest(body);
    (0..rest.short()?).map(|_| rest.intent()).collect()
}

/// Octets that have yet to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, octets: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn octets(&mut self) -> Option<&'a [u8]> {
        let length = self.short()? as usize;
        self.take(length)
    }

    fn text(&mut self) -> Option<OsString> {
        Some(OsString::from_vec(self.octets()?.to_vec()))
    }

    fn intent(&mut self) -> Option<Intent> {
        let parts = (PathBuf::from(self.text()?), PathBuf::from(self.text()?), self.text()?);
        let mut number = || self.long();
        let owner = Owner { user: number()?.try_into().ok()?, group: number()?.try_into().ok()? };
        let rights = if number()? == 1 { Rights::Owner } else { Rights::Engine };
        let has_zeros = number()? == 1;
        let identity = (number()?, number()?);
        let (length, count) = (number()?, number()?);
        let bounds = (0..count).map(|_| self.long()).collect::<Option<_>>()?;
        let start = self.octets()?.to_vec();
        if start.len() > START {
            return None;
        }
        let place = FilePlace::of_parts(parts, owner, rights);
        Some(Intent { place, identity, length, bounds, start, has_zeros })
    }
}

const MAGIC: &[u8] = b"relais appends 1\n";
/// Octets before the intents.
const HEAD: usize = MAGIC.len() + 8;
/// Octets of a file of intents: far more than one has.
const LARGEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn intent(name: &str) -> Intent {
        Intent {
            place: FilePlace::mailbox(Path::new("/m"), name, Owner { user: 1, group: 2 }).unwrap(),
            identity: (3, 4),
            length: 5,
            bounds: vec![1, 20, 300],
            start: b"\nFrom x".to_vec(),
            has_zeros: true,
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let (a, b) = (intent("a"), intent("b"));
        let text = print(&[&a, &b]);
        assert_eq!(parse(&text), Some(vec![a, b]));
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), None, "{end}");
        }
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 0x10;
            assert_eq!(parse(&other), None, "{at}");
        }
        let mut longer = text.clone();
        longer.extend([7; 50]);
        assert_eq!(parse(&longer), parse(&text), "what an earlier, longer one left");
    }
}
