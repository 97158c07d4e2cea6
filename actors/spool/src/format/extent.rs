//! How far the records of a file go, and the bad stretches among them. A start repairs by it, a
//! check only tells of it.

use relais_channels::mail::MessageId;

use crate::format::record::{Found, Header, Kind};

/// Where a walk through one file ended.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    /// The end of the last intact record.
    pub(crate) end: u64,
    /// Bytes known to be durable.
    pub(crate) durable: u64,
    pub(crate) sealed: bool,
    /// Bad stretches: offset, length, and the message if known.
    pub(crate) bad: Vec<(u64, u64, Option<MessageId>)>,
}

impl Extent {
    pub(crate) fn from(at: u64) -> Self {
        Self { end: at, durable: at, ..Self::default() }
    }

    /// The length that a seal may call durable: all, unless there are remains of a crash, which are
    /// not to look like damage from then on.
    pub(crate) fn certain(&self) -> u64 {
        let remains = self.bad.iter().any(|(at, ..)| (self.durable..self.end).contains(at));
        if remains { self.durable } else { self.end }
    }

    /// Takes note of what was found; gives it back if it is a record.
    pub(crate) fn step<'a>(&mut self, found: Found<'a>) -> Option<(u64, Header, &'a [u8])> {
        match found {
            Found::Record { offset, header, payload } => {
                self.end = offset + header.length();
                self.durable = self.durable.max(header.durable.into());
                self.sealed = header.kind == Kind::Seal;
                Some((offset, header, payload))
            }
            Found::Bad { offset, length, id } => {
                self.bad.push((offset, length, id));
                None
            }
        }
    }
}
