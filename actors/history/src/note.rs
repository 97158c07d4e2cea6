//! Notes: one for each thing that happened to it.

use crate::{
    codec::{MAX_TEXT, Octets, cut},
    text_of,
};

/// One thing that happened to a message, and to some of its recipients.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Note<'a> {
    /// The letter of the transaction record: `E`, `D`, `Q`, ...
    pub action: u8,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The queue id, as a number: the upper 44 bits are milliseconds since 1970. 0: none.
    pub id: u64,
    /// Octets of content; 0 where an earlier note says it.
    pub size: u64,
    /// Milliseconds that it took, where the queue id does not say since when.
    pub took: u64,
    /// Attempts so far.
    pub attempts: u32,
    /// The sender, without angle brackets; empty for the null sender, and where an earlier note says it.
    pub from: &'a str,
    /// `name [address]`; empty where an earlier note says it.
    pub client: &'a str,
    /// The channel it came in by; empty where an earlier note says it.
    pub source_channel: &'a str,
    /// The channel it leaves by.
    pub channel: &'a str,
    /// The destination.
    pub host: &'a str,
    /// The reply, or the reason.
    pub reply: &'a str,
    /// The mailbox.
    pub mailbox: &'a str,
    /// The other side's name for the message.
    pub peer_id: &'a str,
    /// The value of `Message-ID`.
    pub message_id: &'a str,
    /// The user who had logged in.
    pub user: &'a str,
    /// The server of an attempt.
    pub peer: &'a str,
    /// The protection of its connection.
    pub protection: &'a str,
    /// The filter that refused it, or threw it away.
    pub filter: &'a str,
}

/// One recipient of a note.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Named<'a> {
    /// As the sender wrote it, without angle brackets.
    pub original: &'a str,
    /// As it was routed.
    pub routed: &'a str,
}

/// A note that was read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    /// As in [`Note`], and so are the others.
    pub action: char,
    #[expect(missing_docs, reason = "as in Note")]
    pub at: u64,
    #[expect(missing_docs, reason = "as in Note")]
    pub id: u64,
    #[expect(missing_docs, reason = "as in Note")]
    pub size: u64,
    #[expect(missing_docs, reason = "as in Note")]
    pub took: u64,
    #[expect(missing_docs, reason = "as in Note")]
    pub attempts: u32,
    #[expect(missing_docs, reason = "as in Note")]
    pub from: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub client: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub source_channel: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub channel: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub host: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub reply: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub mailbox: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub peer_id: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub message_id: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub user: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub peer: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub protection: String,
    #[expect(missing_docs, reason = "as in Note")]
    pub filter: String,
    /// Recipients, as they were written and as they were routed.
    pub recipients: Vec<(String, String)>,
}

impl<'a> Note<'a> {
    /// The texts that few notes have in common with others, and all the others, in a fixed order.
    pub(crate) fn texts(&self) -> [&'a str; SHARED] {
        [
            self.from,
            self.client,
            self.source_channel,
            self.channel,
            self.host,
            self.reply,
            self.mailbox,
            self.user,
            self.peer,
            self.protection,
            self.filter,
        ]
    }

    /// Puts texts in their places.
    pub(crate) fn with_texts(self, texts: [&'a str; SHARED]) -> Self {
        let [
            from,
            client,
            source_channel,
            channel,
            host,
            reply,
            mailbox,
            user,
            peer,
            protection,
            filter,
        ] = texts;
        Self {
            from,
            client,
            source_channel,
            channel,
            host,
            reply,
            mailbox,
            user,
            peer,
            protection,
            filter,
            ..self
        }
    }

    /// Appends it, and its recipients: numbers and lengths of a fixed size, then the texts.
    pub(crate) fn encode<'r>(
        &self,
        out: &mut Vec<u8>,
        recipients: impl Iterator<Item = Named<'r>>,
    ) {
        let texts = self.all_texts();
        let start = out.len();
        let mut head = [0; HEAD];
        head[4] = self.action;
        head[5..9].copy_from_slice(&self.attempts.to_le_bytes());
        let numbers = [self.at, self.id, self.size, self.took];
        for (place, number) in head[9..LENGTHS].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        for (place, text) in head[LENGTHS..].chunks_exact_mut(2).zip(texts) {
            place.copy_from_slice(&(text.len() as u16).to_le_bytes());
        }
        out.extend_from_slice(&head);
        for text in texts {
            out.extend_from_slice(text.as_bytes());
        }
        for Named { original, routed } in recipients.take(MAX_RECIPIENTS) {
            let routed = if routed == original { "" } else { cut(routed, MAX_TEXT) };
            let original = cut(original, MAX_TEXT);
            for text in [original, routed] {
                out.extend_from_slice(&(text.len() as u16).to_le_bytes());
            }
            out.extend_from_slice(original.as_bytes());
            out.extend_from_slice(routed.as_bytes());
        }
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Reads the next note, as [`Note::encode`] wrote it.
    pub(crate) fn decode(octets: &mut Octets<'a>) -> Option<(Self, Recipients<'a>)> {
        let length = u32::from_le_bytes(octets.take(4)?.try_into().ok()?);
        let body = octets.take(u64::from(length))?;
        let (head, rest) = body.split_at_checked(HEAD - 4)?;
        let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
        let (at, id, size, took) = (long(5), long(13), long(21), long(29));
        let attempts = u32::from_le_bytes(head[1..5].try_into().ok()?);
        let lengths = head[LENGTHS - 4..].chunks_exact(2).map(length_of);
        let (all, recipients) = rest.split_at_checked(lengths.clone().sum())?;
        let mut all = text_of(all)?;
        let mut texts = [""; TEXTS];
        for (text, length) in texts.iter_mut().zip(lengths) {
            (*text, all) = all.split_at_checked(length)?;
        }
        let [shared @ .., peer_id, message_id] = texts;
        let action = head[0];
        let note =
            Self { action, at, id, size, took, attempts, peer_id, message_id, ..Self::default() };
        Some((note.with_texts(shared), Recipients(recipients)))
    }

    /// All texts, of a long one the beginning.
    fn all_texts(&self) -> [&'a str; TEXTS] {
        let mut all = [""; TEXTS];
        all[..SHARED].copy_from_slice(&self.texts());
        (all[SHARED], all[SHARED + 1]) = (self.peer_id, self.message_id);
        all.map(|text| cut(text, MAX_TEXT))
    }

    /// A copy of its own.
    pub(crate) fn record(&self, recipients: &[Named<'_>]) -> Record {
        let both = |its: &Named<'_>| {
            let routed = if its.routed.is_empty() { its.original } else { its.routed };
            (its.original.to_owned(), routed.to_owned())
        };
        Record {
            action: char::from(self.action),
            at: self.at,
            id: self.id,
            size: self.size,
            took: self.took,
            attempts: self.attempts,
            from: self.from.to_owned(),
            client: self.client.to_owned(),
            source_channel: self.source_channel.to_owned(),
            channel: self.channel.to_owned(),
            host: self.host.to_owned(),
            reply: self.reply.to_owned(),
            mailbox: self.mailbox.to_owned(),
            peer_id: self.peer_id.to_owned(),
            message_id: self.message_id.to_owned(),
            user: self.user.to_owned(),
            peer: self.peer.to_owned(),
            protection: self.protection.to_owned(),
            filter: self.filter.to_owned(),
            recipients: recipients.iter().map(both).collect(),
        }
    }
}

/// The recipients of a note that is read.
#[derive(Debug)]
pub(crate) struct Recipients<'a>(&'a [u8]);

impl<'a> Iterator for Recipients<'a> {
    type Item = Named<'a>;

    fn next(&mut self) -> Option<Named<'a>> {
        let (lengths, rest) = self.0.split_at_checked(4)?;
        let (original, routed) = (length_of(&lengths[..2]), length_of(&lengths[2..]));
        let (both, rest) = rest.split_at_checked(original + routed)?;
        self.0 = rest;
        let (original, routed) = text_of(both)?.split_at_checked(original)?;
        Some(Named { original, routed })
    }
}

fn length_of(octets: &[u8]) -> usize {
    usize::from(u16::from_le_bytes(octets.try_into().unwrap_or_default()))
}

/// Octets in front of the texts of a note, and of their lengths.
const HEAD: usize = LENGTHS + 2 * TEXTS;
const LENGTHS: usize = 41;
/// The texts of a note.
const TEXTS: usize = SHARED + 2;
/// Texts that notes often share with others.
pub(crate) const SHARED: usize = 11;
/// Places of some of them in [`Note::texts`].
pub(crate) const FROM: usize = 0;
pub(crate) const CHANNEL: usize = 3;
pub(crate) const HOST: usize = 4;
pub(crate) const REPLY: usize = 5;
pub(crate) const MAILBOX: usize = 6;
pub(crate) const PEER: usize = 8;
pub(crate) const PROTECTION: usize = 9;
/// Recipients of one note: one entry of the queue has 64.
pub(crate) const MAX_RECIPIENTS: usize = 256;
/// The action of a note that says how many notes were lost, in [`Note::size`].
pub const LOST: u8 = b'!';
