//! One conversation with a filter: what it is told of, and what its answers mean.

use super::{
    agreement::{Agreement, put_offer},
    answer::FilterAnswer,
    breach::Breach,
    change::FilterChange,
    command::{ABORT, FilterEvent, QUIT, QUIT_NC, put_bare},
    macros::Macros,
};
use crate::mail::Reply;

/// A connection to a filter, without its socket.
#[derive(Debug, Default)]
pub struct Talk {
    agreement: Agreement,
    standing: Standing,
    /// MAIL was told, and neither its end nor ABORT.
    is_in_message: bool,
    /// The event whose answer is awaited.
    awaited: Option<Told>,
    /// Further events of this command are not wanted.
    skipped: Option<u8>,
    /// The last it said is that a message, shown as a whole, may go on.
    is_at_rest: bool,
    /// Changes of the message at hand, and their octets.
    changes: (usize, usize),
}

/// How the filter stands to what comes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum Standing {
    /// It judges.
    #[default]
    Judging,
    /// It has accepted this message.
    AcceptedMessage,
    /// It has accepted the client.
    AcceptedClient,
    /// It has refused the client.
    RefusedClient(Reply),
}

/// An event that was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Told {
    command: u8,
    is_of_client: bool,
    is_end: bool,
}

/// The decision of a filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Go on.
    Continue,
    /// Nothing more of this message, or of this client, is told.
    Accept,
    /// The message is taken, and thrown away.
    Discard,
    /// Refuse what was told: the client, a command, a recipient, or the message. Of 421 the session ends.
    Refuse(Reply),
}

/// The meaning of a packet of the filter.
#[derive(Debug, Eq, PartialEq)]
pub enum Heard {
    /// It has decided.
    Decided(Decision),
    /// It is at work: the clock begins anew.
    Progress,
    /// Keep the message for an operator, for this reason. The decision is still to come.
    Quarantine(String),
    /// The message is to be changed. The decision is still to come.
    Change(FilterChange),
}

impl Talk {
    /// The packet that a new connection begins with.
    pub fn offer(out: &mut Vec<u8>) {
        put_offer(out);
    }

    /// The filter's answer to the offer.
    pub fn agreed(command: u8, data: &[u8]) -> Result<Self, Breach> {
        Ok(Self { agreement: Agreement::of(command, data)?, ..Self::default() })
    }

    /// The terms of the conversation.
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// Appends what tells the filter of an event, its macros first. A decision that stands needs no
    /// answer; `None`: the answer is to be [heard](Self::hear).
    pub fn tell(
        &mut self,
        event: &FilterEvent<'_>,
        (macros, fixed): (&Macros, &Macros),
        out: &mut Vec<u8>,
    ) -> Option<Decision> {
        debug_assert!(self.awaited.is_none(), "an answer is awaited");
        match &self.standing {
            Standing::Judging => {}
            Standing::AcceptedMessage | Standing::AcceptedClient => return Some(Decision::Accept),
            Standing::RefusedClient(reply) => return Some(Decision::Refuse(reply.clone())),
        }
        let manner = event.manner();
        let is_end = matches!(event, FilterEvent::EndOfMessage);
        self.is_at_rest = false;
        if self.skipped != Some(manner.command) {
            self.skipped = None;
        }
        if let Some(stage) = manner.stage.filter(|_| manner.has_macros(&self.agreement)) {
            macros.put(out, (stage, manner.command), &self.agreement, fixed);
        }
        if let FilterEvent::Mail(_) = event {
            self.is_in_message = true;
            self.changes = (0, 0);
        }
        if !manner.is_wanted(&self.agreement) || self.skipped == Some(manner.command) {
            return Some(Decision::Continue);
        }
        event.put(out, &self.agreement);
        if !manner.is_answered(&self.agreement) {
            return Some(Decision::Continue);
        }
        let is_of_client = matches!(event, FilterEvent::Connect(_) | FilterEvent::Helo(_));
        self.awaited = Some(Told { command: manner.command, is_of_client, is_end });
        None
    }

    /// The next packet of the filter, while an answer is awaited.
    pub fn hear(&mut self, command: u8, data: &[u8]) -> Result<Heard, Breach> {
        let Some(told) = self.awaited else { return Err(Breach::Unasked) };
        let decision = match FilterAnswer::of(command, data, &self.agreement)? {
            FilterAnswer::Progress => return Ok(Heard::Progress),
            FilterAnswer::Quarantine(reason) if told.is_end => {
                return Ok(Heard::Quarantine(reason));
            }
            FilterAnswer::Change(change) if told.is_end => {
                self.changes = (self.changes.0 + 1, self.changes.1 + change.size());
                let is_too_much = self.changes.0 > MOST_CHANGES && !is_body(&change);
                return if is_too_much || self.changes.1 > CHANGES_ROOM {
                    Err(Breach::TooManyChanges)
                } else {
                    Ok(Heard::Change(change))
                };
            }
            FilterAnswer::Change(_) | FilterAnswer::Quarantine(_) => {
                return Err(Breach::Unexpected(command));
            }
            FilterAnswer::Continue => Decision::Continue,
            FilterAnswer::Skip => {
                self.skipped = Some(told.command);
                Decision::Continue
            }
            // A client cannot be thrown away (mfapi.h); sendmail and Postfix go on, too.
            FilterAnswer::Discard if told.is_of_client => Decision::Continue,
            FilterAnswer::Accept => {
                self.standing = if told.is_of_client {
                    Standing::AcceptedClient
                } else {
                    Standing::AcceptedMessage
                };
                Decision::Accept
            }
            FilterAnswer::Discard => {
                self.standing = Standing::AcceptedMessage;
                Decision::Discard
            }
            FilterAnswer::Refuse(reply) => {
                if told.is_of_client || reply.code == 421 {
                    self.standing = Standing::RefusedClient(reply.clone());
                }
                Decision::Refuse(reply)
            }
        };
        self.awaited = None;
        if told.is_end {
            self.is_at_rest = decision == Decision::Continue;
            self.end_message();
        }
        Ok(Heard::Decided(decision))
    }

    /// Whether further events of this kind would not be told.
    pub fn is_deaf_to(&self, event: &FilterEvent<'_>) -> bool {
        let manner = event.manner();
        self.standing != Standing::Judging
            || self.skipped == Some(manner.command)
            || !manner.is_wanted(&self.agreement)
    }

    /// The message at hand is over, without its end having been told.
    pub fn abort(&mut self, out: &mut Vec<u8>) {
        if self.is_in_message {
            put_bare(out, ABORT);
            self.end_message();
        }
    }

    /// The client has gone.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        self.abort(out);
        put_bare(out, QUIT);
    }

    /// The client has gone, and the connection is for another one. `false`: that cannot be said to the
    /// filter now, and nothing was written. libmilter takes it behind a message that may go on; elsewhere
    /// it may pass over this command and the next in silence.
    pub fn quit_for_another(&mut self, out: &mut Vec<u8>) -> bool {
        let knows = self.agreement.version >= KNOWS_QUIT_NC && self.is_at_rest;
        if knows {
            put_bare(out, QUIT_NC);
        }
        knows
    }

    fn end_message(&mut self) {
        self.is_in_message = false;
        self.skipped = None;
        if self.standing == Standing::AcceptedMessage {
            self.standing = Standing::Judging;
        }
    }
}

fn is_body(change: &FilterChange) -> bool {
    matches!(change, FilterChange::ReplaceBody(_))
}

/// Of one message, without the parts of a body.
const MOST_CHANGES: usize = 10_000;
/// Octets that changes of one message may hold, without its body.
const CHANGES_ROOM: usize = 4 << 20;
const KNOWS_QUIT_NC: u32 = 6;
