//! The outcome of an attempt to deliver.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Enhanced, RecipientSet, Reply};

/// The outcome of one attempt for one recipient.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// The next hop has taken responsibility.
    Delivered(Reply),
    /// To be tried again.
    Deferred(Reply),
    /// Trying again is useless.
    Failed(Reply),
}

/// Nearly always one.
pub type Outcomes = SmallVec<[Outcome; 1]>;

/// The outcomes of one attempt at a queue entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// One for each recipient that was tried, in order.
    pub outcomes: Outcomes,
    /// Set when the destination itself is in trouble, and not only this message.
    pub trouble: Option<SiteTrouble>,
    /// The server; `None` when no conversation came about.
    pub peer: Option<Peer>,
}

/// The other side of an attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its name as the next hop has it, `[address]`, or the path of its socket.
    pub host: Arc<str>,
    /// It offered DSN (RFC 3461) and was told what the sender wants to hear: what becomes of the
    /// recipients it took is for it to tell.
    pub notifies: bool,
    /// The outcomes to which the peer's own reply led. Any other is our word alone.
    pub answered: RecipientSet,
    /// All of the content went out and a reply to it never came: who tries again may deliver twice.
    pub unsure: bool,
}

/// The destination could not be talked to. Its other messages would fare no better now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.reply())]
pub struct SiteTrouble {
    /// The outcome for every recipient that was to go there: refused for good when the peer
    /// said so in reply to LHLO, else deferred. With the peer's own words, or ours (4.4.1, 4.4.2,
    /// ...) when it had none.
    pub outcome: Outcome,
}

impl Peer {
    /// Whether the peer's own reply led to this outcome.
    pub fn has_answered(&self, outcome: usize) -> bool {
        self.answered.contains(outcome)
    }
}

impl Attempt {
    /// The same outcome for so many recipients, in nobody's words but ours.
    pub fn all(recipients: usize, outcome: &Outcome) -> Self {
        Self {
            outcomes: SmallVec::from_elem(outcome.clone(), recipients),
            trouble: None,
            peer: None,
        }
    }

    /// Takes the outcomes of the last `recipients` off, as an attempt of their own: they share the
    /// transaction with the others and nothing else.
    #[must_use]
    pub fn split_off(&mut self, recipients: usize) -> Self {
        let start = self.outcomes.len().saturating_sub(recipients);
        let outcomes: Outcomes = self.outcomes.drain(start..).collect();
        let part = |peer: &Peer| Peer {
            answered: peer.answered.part(start, outcomes.len()),
            ..peer.clone()
        };
        Self { peer: self.peer.as_ref().map(part), trouble: self.trouble.clone(), outcomes }
    }
}

impl Outcome {
    /// The peer's reply, or ours in its place.
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Delivered(reply) | Self::Deferred(reply) | Self::Failed(reply) => reply,
        }
    }
}

impl SiteTrouble {
    /// Its mail waits, for this reason.
    pub const fn deferred(reply: Reply) -> Self {
        Self { outcome: Outcome::Deferred(reply) }
    }

    /// The peer's reply, or ours in its place.
    pub fn reply(&self) -> &Reply {
        self.outcome.reply()
    }

    /// Whether no server was asked because the destination has none: all its mail fares so, at once.
    pub fn is_nowhere(&self) -> bool {
        let none = [(1, 2), (1, 10), (4, 4), (4, 6)];
        let is_none = |Enhanced(_, subject, detail)| none.contains(&(subject, detail));
        self.is_final() && self.reply().enhanced.is_some_and(is_none)
    }

    /// Whether TLS is not as it has to be: 4.7.4 and 4.7.5 (RFC 3463 section 3.8).
    pub fn is_of_tls(&self) -> bool {
        matches!(self.reply().enhanced, Some(Enhanced(4, 7, 4 | 5)))
    }

    /// Whether the peer refused for good.
    pub fn is_final(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}
