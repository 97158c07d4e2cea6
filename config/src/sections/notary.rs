//! Notices to senders: who signs them, in which language, and how much of the message comes back.

use std::path::PathBuf;

use crate::file::{
    collections::Maybe,
    kinds::{Choice, Formed, Path, Size},
    names::is_mailbox,
};

section! {
    /// How delivery status notifications (RFC 3464) are written. When they are sent is a matter of
    /// the channels: `notices`, `sendpost`, `warnpost`.
    pub struct Notary {
        /// Signs notices, and gets the copies that `sendpost` and `warnpost` ask for. Without it,
        /// `postmaster@` the default domain.
        postmaster: Option<String> = None, Maybe(MAILBOX), queue;
        /// The language of notices to senders who name none in `Accept-Language` or the like.
        language: String = "en".to_owned(), LANGUAGE, queue;
        /// A folder of texts that stand above the built-in ones: `<language>/return_failed.txt`,
        /// ...
        templates: Option<PathBuf> = None, Maybe(Path), queue;
        /// A larger message comes back as its header alone, whatever the sender asked for. (The
        /// original: `CONTENT_RETURN_BLOCK_LIMIT`.)
        content_return_limit: u64 = 64 << 10, Size(0..=16 << 20), queue;
        /// The end of a notice that is refused itself, or waits for too long.
        double_bounces: DoubleBounces = DoubleBounces::default(), Choice, queue;
    }
}

choice! {
    /// The end of a notice of ours that is refused itself, or waits for too long.
    pub enum DoubleBounces = Postmaster {
        /// The postmaster gets it; one that even the postmaster does not get is held.
        Postmaster,
        /// It ends, with a warning in the log. (The channels' `sendpost` still has its say.)
        Log,
    }
}

pub(super) const MAILBOX: Formed = Formed {
    is: is_mailbox,
    expected: "an address is expected, such as \"postmaster@example.org\"",
};

const LANGUAGE: Formed = Formed {
    is: |text| {
        let letters = |part: &str| {
            (1..=8).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric())
        };
        text.len() <= 35 && text.split('-').all(letters)
    },
    expected: "a language tag is expected, such as \"en\" or \"pt-BR\"",
};
