//! The first words of a connection, without a socket: the greeting, who we are, what is offered.

use super::{offer::Offer, policy::Stage};
use crate::mail::{Dialect, Outcome, Reply};

/// A connection that is being greeted.
#[derive(Debug)]
pub(crate) struct Introduction {
    dialect: Dialect,
    /// The server is one of ours.
    private: bool,
    /// The stage whose reply is due.
    stage: Stage,
}

/// The step behind a reply.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Introduced {
    /// Send [`Introduction::command`], then read a reply.
    Say,
    /// The server takes messages, and offers this.
    Ready(Offer),
    /// The server takes none.
    Refused(Outcome),
}

impl Introduction {
    /// Before the greeting.
    pub(crate) fn new(dialect: Dialect, private: bool) -> Self {
        Self { dialect, private, stage: Stage::Greeting }
    }

    /// Behind TLS, where no greeting comes.
    pub(crate) fn again(dialect: Dialect, private: bool) -> Self {
        Self { stage: dialect.introductions()[0], ..Self::new(dialect, private) }
    }

    /// The stage whose reply is due.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// The command that brings the reply that is due; empty for the greeting.
    pub(crate) fn command(&self, host: &str) -> String {
        match self.stage {
            Stage::Lhlo => format!("LHLO {host}\r\n"),
            Stage::Ehlo => format!("EHLO {host}\r\n"),
            Stage::Helo => format!("HELO {host}\r\n"),
            _ => String::new(),
        }
    }

    /// A reply came.
    pub(crate) fn take(&mut self, reply: Reply) -> Introduced {
        let outcome = self.stage.outcome(self.dialect, reply);
        match (self.stage, outcome) {
            // A server that does not know EHLO may know the older HELO (RFC 5321 section 3.2).
            (Stage::Greeting, Outcome::Delivered(_)) | (Stage::Ehlo, Outcome::Failed(_)) => {
                self.say_next()
            }
            (Stage::Helo, Outcome::Delivered(_)) => Introduced::Ready(Offer::none(self.dialect)),
            (_, Outcome::Delivered(reply)) => {
                Introduced::Ready(Offer::of(&reply, self.dialect, self.private))
            }
            (_, outcome) => Introduced::Refused(outcome),
        }
    }

    fn say_next(&mut self) -> Introduced {
        let introductions = self.dialect.introductions();
        let said = introductions.iter().position(|stage| *stage == self.stage);
        self.stage = introductions[said.map_or(0, |said| said + 1)];
        Introduced::Say
    }
}
