//! SMTP and LMTP as a client speaks them: everything in which the two differ stands here.
//!
//! | | LMTP | SMTP |
//! | --- | --- | --- |
//! | who we are | LHLO | EHLO, and HELO where a server does not know that |
//! | replies to the content | one for each accepted recipient | one for all |
//! | delivered | 25x | 2xx but 221 |
//! | XQUOTA, XDFLG, stores of ours | yes | no |
//! | the next message may be announced | when one recipient was accepted | always |
//! | content may go in one chunk with its commands | never | the first of a connection |
//! | port | 24 | 25 |
//!
//! When messages are announced follows from the second row: exactly one reply must be due before those to
//! what is sent ahead.

use super::policy::Stage;
use crate::mail::{Dialect, Reply};

impl Dialect {
    /// The commands that say who we are, in the order in which they are tried.
    pub(super) fn introductions(self) -> &'static [Stage] {
        match self {
            Self::Lmtp => &[Stage::Lhlo],
            Self::Smtp => &[Stage::Ehlo, Stage::Helo],
        }
    }

    /// Replies to the content that so many accepted recipients bring.
    pub(super) fn replies_to_content(self, accepted: usize) -> usize {
        match self {
            Self::Lmtp => accepted,
            Self::Smtp => 1,
        }
    }

    /// Whether a reply to the content says that the message was taken. Over LMTP the second digit
    /// counts, too: what is not 25x may be about something else. So is 221 of SMTP, which says that
    /// the server closes and nothing of the message.
    pub(super) fn is_delivery(self, reply: &Reply) -> bool {
        match self {
            Self::Lmtp => (250..260).contains(&reply.code),
            Self::Smtp => reply.is_success() && reply.code != 221,
        }
    }

    /// Whether servers may be stores of ours, with parameters of their own on RCPT.
    pub(super) fn reaches_stores(self) -> bool {
        self == Self::Lmtp
    }
}
