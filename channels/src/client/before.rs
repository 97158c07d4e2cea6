//! The use of a connection before a message, and the replies that it makes doubtful.

use super::policy::Stage;
use crate::mail::{Outcome, Reply};

/// The use of the connection before this message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Before {
    /// Nothing.
    New,
    /// It served other messages.
    Kept,
    /// It served another, and the commands of this one were sent behind its content.
    Announced,
}

/// The state of an exchange when a reply comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    /// The stage whose reply is due.
    pub(super) stage: Stage,
    pub(super) pipelining: bool,
    pub(super) outcomes: &'a [Option<Outcome>],
    /// Some recipient was taken.
    pub(super) has_accepted: bool,
}

impl Before {
    /// Whether a reply on a connection that served other messages is about this one. None of this
    /// message's content has been sent: another connection tells.
    pub(super) fn believes(self, moment: Moment<'_>, reply: &Reply) -> bool {
        let Moment { stage, pipelining, outcomes, has_accepted } = moment;
        match self {
            Self::New => true,
            // Something the server said to nobody, late, is taken for the reply to MAIL, and each
            // reply that follows for one to the command behind its own. Where all commands went
            // out together that shows before the content is due: MAIL was refused and a recipient
            // taken, or recipients were taken and DATA got the reply of the last of them.
            Self::Kept => match stage {
                Stage::Mail => reply.code / 100 != 3 && (pipelining || reply.code < 500),
                // It has an outcome where MAIL was refused.
                Stage::Rcpt(i) => match outcomes[i] {
                    None => reply.code / 100 != 3,
                    Some(Outcome::Failed(_)) => reply.code >= 500,
                    Some(_) => reply.code >= 400,
                },
                Stage::Data if !has_accepted => tells_of_nobody(outcomes, reply),
                Stage::Data => reply.code / 100 == 3 || reply.code == 421,
                _ => true,
            },
            // It is not when the server sent too many replies or too few to the message before,
            // threw away what was sent ahead, or did not leave the transaction whose content it
            // refused.
            Self::Announced => match stage {
                Stage::Mail => reply.is_success(),
                Stage::Rcpt(_) => reply.code != 421 && reply.code / 100 != 3,
                Stage::Data if !has_accepted => tells_of_nobody(outcomes, reply),
                Stage::Data => reply.code / 100 == 3,
                _ => true,
            },
        }
    }
}

/// Whether this can be the reply to DATA behind the refusal of every recipient (RFC 5321 section
/// 4.1.1.4): 503, 554 or 354. A success would be that of a recipient, and so may 4yz, where
/// another reply was taken for a refusal.
fn tells_of_nobody(outcomes: &[Option<Outcome>], reply: &Reply) -> bool {
    reply.code / 100 == 3 || reply.code >= if refuses(outcomes) { 500 } else { 400 }
}

/// Somebody seems to have failed for good.
pub(super) fn refuses(outcomes: &[Option<Outcome>]) -> bool {
    outcomes.iter().any(|outcome| matches!(outcome, Some(Outcome::Failed(_))))
}
