//! The shape of a note: which parts of it nobody would guess; and the guesses, of writer and reader alike.

use crate::{
    dictionary::NumberMap,
    note::{CHANNEL, HOST, PEER, PROTECTION, REPLY, SHARED},
};

/// The action of a note, and a bit for each thing that stands in the streams because it is not as guessed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape(pub(crate) u32);

impl Shape {
    pub(crate) fn of(action: u8) -> Self {
        Self(u32::from(action))
    }

    pub(crate) fn action(self) -> u8 {
        self.0 as u8
    }

    pub(crate) fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    pub(crate) fn set(&mut self, bit: u32, is_set: bool) {
        self.0 |= bit * u32::from(is_set);
    }

    /// The bit of one of the texts that notes share.
    pub(crate) fn text(column: usize) -> u32 {
        1 << (FIRST_TEXT + column)
    }
}

/// The queue id is the first one of its message in the block; or it is known.
pub(crate) const NEW_ID: u32 = 1 << 8;
pub(crate) const KNOWN_ID: u32 = 1 << 9;
/// The recipients are those of an earlier note of the message.
pub(crate) const SAME_RECIPIENTS: u32 = 1 << 10;
pub(crate) const HAS_SIZE: u32 = 1 << 11;
pub(crate) const HAS_TOOK: u32 = 1 << 12;
pub(crate) const HAS_ATTEMPTS: u32 = 1 << 13;
const FIRST_TEXT: usize = 14;
pub(crate) const HAS_PEER_ID: u32 = 1 << 25;
pub(crate) const HAS_MESSAGE_ID: u32 = 1 << 26;
/// Words of the note stand in place of themselves in these texts.
pub(crate) const REPLY_SIGNS: u32 = 1 << 27;
pub(crate) const MAILBOX_SIGN: u32 = 1 << 28;
pub(crate) const PEER_SIGN: u32 = 1 << 29;

/// A message in the block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Message {
    pub(crate) id: u64,
    /// Of its first note.
    pub(crate) action: u8,
    pub(crate) at: u64,
    pub(crate) size: u64,
    /// The number of the sender.
    pub(crate) from: u32,
    /// Where its `Message-ID` is.
    pub(crate) header_id: (u32, u32),
    /// The latest of its slots, from 1.
    pub(crate) slot: u32,
}

/// Recipients of a message that have a way in common.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    /// The slot of the message before this one, from 1.
    pub(crate) before: u32,
    pub(crate) channel: u32,
    pub(crate) host: u32,
    pub(crate) attempts: u32,
    /// Where its recipients are.
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// The texts of earlier notes that the next one is likely to have, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    /// Of the last note with an action.
    usual: [[u32; SHARED]; ACTIONS],
    /// Reply, server and protection of the last note with an action and a destination.
    of_hosts: NumberMap<[u32; 3]>,
    /// The destination of the last note to a domain.
    hosts: Vec<u32>,
}

/// The texts that go by the destination.
const OF_HOST: [usize; 3] = [REPLY, PEER, PROTECTION];
/// Actions are letters.
const ACTIONS: usize = 32;

impl Guesses {
    /// The texts that a note has, before its destination is known.
    pub(crate) fn of(&self, action: u8, domain: u32, slot: &Slot) -> [u32; SHARED] {
        let mut guess = self.usual[usize::from(action) % ACTIONS];
        if slot.channel != 0 || slot.host != 0 {
            (guess[CHANNEL], guess[HOST]) = (slot.channel, slot.host);
        } else if let Some(host) = self.hosts.get(domain as usize).filter(|host| **host > 0) {
            guess[HOST] = *host;
        }
        guess
    }

    /// The texts that go by the destination, as soon as it is known.
    pub(crate) fn of_host(&self, action: u8, host: u32, guess: &mut [u32; SHARED]) {
        if let Some(texts) = self.of_hosts.get(&key(action, host)) {
            OF_HOST.into_iter().zip(texts).for_each(|(column, text)| guess[column] = *text);
        }
    }

    /// Learns from a note.
    pub(crate) fn learn(&mut self, action: u8, domain: u32, (guess, texts): Learned<'_>) {
        self.usual[usize::from(action) % ACTIONS] = *texts;
        let at = domain as usize;
        if at >= self.hosts.len() {
            self.hosts.resize(at + 1, 0);
        }
        self.hosts[at] = texts[HOST];
        if OF_HOST.iter().any(|column| guess[*column] != texts[*column]) {
            self.of_hosts.insert(key(action, texts[HOST]), OF_HOST.map(|column| texts[column]));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.usual = Default::default();
        self.of_hosts.clear();
        self.hosts.clear();
    }
}

/// The texts that were guessed, and those that the note has.
type Learned<'a> = (&'a [u32; SHARED], &'a [u32; SHARED]);

fn key(action: u8, host: u32) -> u64 {
    u64::from(host) << 8 | u64::from(action)
}

/// In place of the peer's id in a reply.
pub(crate) const PEER_ID_SIGN: char = '\u{1}';
/// In place of the first recipient in a reply, and of the local part in a mailbox.
pub(crate) const RECIPIENT_SIGN: char = '\u{2}';
/// In place of the destination in the name of a server.
pub(crate) const HOST_SIGN: char = '\u{3}';

/// Puts a sign in place of a word, if it is there and no sign is; whether it did.
pub(crate) fn sign(text: &mut String, word: &str, sign: char) -> bool {
    if word.is_empty() {
        return false;
    }
    // Searching takes longer than looking where it is likely to be.
    let at = match () {
        () if text.starts_with(word) => 0,
        () if text.ends_with(word) => text.len() - word.len(),
        () => match text.find(word) {
            Some(at) => at,
            None => return false,
        },
    };
    text.replace_range(at..at + word.len(), sign.encode_utf8(&mut [0]));
    true
}

/// Whether signs could be told from what is there.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().fold(u8::MAX, u8::min) > HOST_SIGN as u8
}
