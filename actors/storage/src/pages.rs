//! Envelopes and last replies of many entries at once, page by page, for listings.

use std::{collections::HashMap, sync::Arc};

use relais_channels::mail::{MessageId, Outcome};

use crate::{envelope::EncodedEnvelope, error::StorageError, place::Place};

/// By message, entry and recipient of the entry: what it came to, and when (milliseconds since
/// 1970).
pub type LastReplies = HashMap<(MessageId, u16, u8), (Outcome, u64)>;

/// Shown the envelope of a place, with the numbers that the place has among those asked for.
pub type ShowEnvelope<'a> = dyn FnMut(&[usize], Result<EncodedEnvelope<'_>, StorageError>) + 'a;

/// Reads pages of a listing. Each call waits for the storage: no work for the thread of an actor.
pub trait ReadPages: Send + Sync + 'static {
    /// Reads the envelopes at these places in the order that costs least.
    fn each_envelope(&self, places: &[Place], each: &mut ShowEnvelope<'_>);

    /// The newest outcome of each recipient of these messages, as far as it was tried; each message
    /// with the segment of its place.
    fn last_replies(&self, messages: Vec<(u32, MessageId)>) -> LastReplies;
}

/// A reader of the pages of one listing; clones share what they remember.
#[derive(Clone)]
pub struct PageReader(Arc<dyn ReadPages>);

impl PageReader {
    /// A reader that asks this one.
    pub fn new(reader: Arc<dyn ReadPages>) -> Self {
        Self(reader)
    }

    /// Reads the envelopes at these places, and shows each with the numbers of its place, which may
    /// have been asked for several times.
    pub fn each_envelope(
        &self,
        places: &[Place],
        mut each: impl FnMut(&[usize], Result<EncodedEnvelope<'_>, StorageError>),
    ) {
        self.0.each_envelope(places, &mut each);
    }

    /// The newest outcome of each recipient of these messages, as far as it was tried; each message
    /// with the segment of its place.
    pub fn last_replies(&self, messages: Vec<(u32, MessageId)>) -> LastReplies {
        self.0.last_replies(messages)
    }
}
