//! Answers of filters, checked.

use super::{
    agreement::{Agreement, QUARANTINE, SKIP},
    breach::Breach,
    change::FilterChange,
};
use crate::{
    mail::{Enhanced, Reply},
    wire::replies::Replies,
};

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum FilterAnswer {
    Continue,
    Accept,
    Discard,
    /// No further events of this kind.
    Skip,
    /// It is still at work.
    Progress,
    /// Refuse it so.
    Refuse(Reply),
    /// Keep it for an operator, for this reason.
    Quarantine(String),
    Change(FilterChange),
}

impl FilterAnswer {
    pub(super) fn of(command: u8, data: &[u8], agreement: &Agreement) -> Result<Self, Breach> {
        let bare = match command {
            b'c' => Self::Continue,
            b'a' => Self::Accept,
            b'd' => Self::Discard,
            b's' if agreement.has(SKIP) => Self::Skip,
            b'p' => Self::Progress,
            b'r' => Self::Refuse(REJECTED),
            b't' => Self::Refuse(NOT_NOW),
            b'4' | b'f' => Self::Refuse(CLOSING),
            b'y' => return reply(data).map(Self::Refuse),
            b'q' if agreement.actions & QUARANTINE != 0 => {
                return Ok(Self::Quarantine(reason(data)));
            }
            b'q' => return Err(Breach::NotAgreed(command)),
            _ => {
                let change = FilterChange::of(command, data, agreement)?;
                return change.map(Self::Change).ok_or(Breach::Unexpected(command));
            }
        };
        if data.is_empty() { Ok(bare) } else { Err(Breach::TooMuch(command)) }
    }
}

/// `550 5.7.1 text`, perhaps in several lines, with each `%` doubled. Lines are of one code, and the
/// class of an enhanced code is that of the code.
fn reply(data: &[u8]) -> Result<Reply, Breach> {
    let text = data.strip_suffix(b"\0").unwrap_or(data);
    let mut replies = Replies::default();
    let room = replies.room();
    let mut rest = text.iter().peekable();
    while let Some(c) = rest.next() {
        // sendmail takes it for a format: one alone means nothing.
        if *c != b'%' || rest.next_if(|next| **next == b'%').is_some() {
            room.push(*c);
        }
    }
    if !room.ends_with(b"\n") {
        room.extend_from_slice(b"\r\n");
    }
    let reply = replies.take().ok().flatten().filter(|_| replies.is_empty());
    let mut reply = reply.filter(|reply| reply.code >= 400).ok_or(Breach::Reply)?;
    let class = reply.code / 100;
    reply.enhanced = reply.enhanced.filter(|enhanced| u16::from(enhanced.0) == class);
    Ok(reply)
}

/// A text on one line, of bounded length.
fn reason(data: &[u8]) -> String {
    let text = data.split(|c| *c == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_REASON)]).into_owned();
    let fit = |c| if relais_config::grammar::is_unprintable(c) { ' ' } else { c };
    text.chars().map(fit).collect::<String>().trim().to_owned()
}

/// Sendmail's words, and Postfix's.
const REJECTED: Reply = Reply::new(550, Enhanced(5, 7, 1), "Command rejected");
const NOT_NOW: Reply = Reply::new(451, Enhanced(4, 7, 1), "Service unavailable - try again later");
const CLOSING: Reply = Reply::new(421, Enhanced(4, 7, 0), "Server closing connection");
/// Octets of a reason; Postfix keeps 100.
const MAX_REASON: usize = 200;
