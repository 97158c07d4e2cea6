//! An entry that waits for its conversion, and how that may end.

use std::io;

use relais_channels::mail::{Content, Entry, Envelope, Reply};
use relais_storage::{NewContent, StorageError};

use crate::{channel_table::behind, delivery::parts::JobParts, metrics::ConversionMeter};

/// An entry in hand that waits for its conversion.
pub(in crate::delivery) struct ToConvert<'a> {
    pub(super) parts: &'a JobParts,
    pub(super) envelope: &'a Envelope,
    pub(super) content: &'a Content,
    /// Its number.
    pub(super) number: u16,
    pub(super) entry: &'a Entry,
    /// The channel that it goes on to.
    pub(super) out: &'a str,
    pub(super) host: &'a str,
}

/// The fate of a message.
pub(super) enum Fate {
    /// It goes on as it is.
    Same,
    /// It goes on with this content.
    New(NewContent),
    /// It goes on as it is, and is held for this reason.
    Held(String),
    /// It goes back to its sender.
    Returned(Reply),
    /// It goes nowhere.
    Discarded,
}

/// Why a message stays for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotNow {
    /// A file, or the content, cannot be read or written.
    #[error("its parts cannot be looked at: {0}")]
    Io(#[from] io::Error),
    #[error("not stored: {0}")]
    Storage(#[from] StorageError),
    /// A program did not do its work.
    #[error("the program {program}: {why}")]
    Program { program: String, why: String },
    /// The table has changed since the entry came.
    #[error("the table of conversions has changed")]
    Changed,
}

impl<'a> ToConvert<'a> {
    /// The entry of a message; `None` where it names no channel that there is.
    pub(in crate::delivery) fn of(
        parts: &'a JobParts,
        (envelope, content): (&'a Envelope, &'a Content),
        number: u16,
    ) -> Option<Self> {
        let entry = envelope.entries.get(usize::from(number))?;
        let (out, host) = behind(&entry.host)?;
        parts.channels.configured(out)?;
        Some(Self { parts, envelope, content, number, entry, out, host })
    }

    pub(super) fn meter(&self) -> &ConversionMeter {
        &self.parts.metrics.conversion
    }
}
