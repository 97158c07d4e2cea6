//! The part of an exchange whose content is on its way before anybody has said a word.
//!
//! No reply to DATA has shown whether each reply was about what it seemed to be about. So a refusal bounces
//! nobody unless BDAT got its own reply, and a message is "not taken" only where nothing else can be.

use super::{Exchange, Next};
use crate::{
    client::{
        chunk::{ChunkReplies, OneChunk},
        policy::{Lost, Stage},
    },
    mail::{Outcome, RecipientSet, Reply, SiteTrouble},
};

impl Exchange<'_> {
    /// Whether the content goes right behind the commands that were taken last.
    pub(crate) fn sends_chunk(&self) -> bool {
        self.chunk.is_some() && self.sent > self.outcomes.len()
    }

    /// The system took all of it, or not; the replies to what it took may come all the same.
    pub(crate) fn chunk_sent(&mut self, is_out: bool) {
        self.closing |= !is_out;
        if let Some(chunk) = &mut self.chunk {
            chunk.is_out = is_out;
        }
    }

    /// The reply of a server that does not take BDAT.
    pub(crate) fn take_refusal_of_chunk(&mut self) -> Option<Reply> {
        self.chunk.as_mut()?.refusal.take()
    }

    /// Whether a reply to BDAT is worth its whole time, though the server has said that it closes: it may
    /// take the message all the same.
    pub(crate) fn may_be_taken(&self) -> bool {
        self.is_chunk_out() && self.stage == Stage::Status(0) && !self.accepted.is_empty()
    }

    /// Whether a success came that reads like that of a recipient, so that another reply may follow.
    pub(crate) fn holds_success(&self) -> bool {
        self.chunk.as_ref().is_some_and(|chunk| chunk.held.is_some())
    }

    /// More came than was asked for. Where all were successes nothing was refused, whichever was about what.
    pub(crate) fn surplus(&mut self, more: &Lost) {
        let is_taken = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Delivered(_)));
        match more {
            Lost::Unasked(reply) if reply.code == 421 => self.closing = true,
            Lost::Unasked(reply) if reply.is_success() && self.outcomes.iter().all(is_taken) => {
                self.odd_with_chunk();
                self.closing = true;
            }
            Lost::Unasked(reply) => self.disbelieve(reply),
            more => {
                if more.is_said() {
                    self.odd_with_chunk();
                }
                self.closing = true;
            }
        }
    }

    /// The manner of the replies to a chunk.
    pub(super) fn chunk_replies(&self) -> Option<ChunkReplies> {
        let chunk = self.chunk.as_ref().filter(|_| self.sends_chunk())?;
        Some(if chunk.is_odd { ChunkReplies::Odd } else { ChunkReplies::InStep })
    }

    pub(super) fn is_chunk_out(&self) -> bool {
        self.sends_chunk() && self.chunk.as_ref().is_some_and(|chunk| chunk.is_out)
    }

    pub(super) fn odd_with_chunk(&mut self) {
        if let Some(chunk) = &mut self.chunk {
            chunk.is_odd = true;
        }
    }

    /// The reply to BDAT.
    pub(super) fn chunk_status(&mut self, reply: Reply) -> Next {
        let (is_for_nobody, is_out) = (self.accepted.is_empty(), self.is_chunk_out());
        if let Some(chunk) = &mut self.chunk {
            if let Some(held) = chunk.held.take() {
                return self.behind_held(held, &Lost::Unasked(reply));
            }
            if !is_for_nobody && OneChunk::is_refused(&reply) {
                chunk.refusal = Some(reply);
                return Next::ByData;
            }
            if !is_for_nobody && is_out && OneChunk::is_of_envelope(&reply) {
                chunk.held = Some(reply);
                return Next::Await;
            }
            // The same may be said of each chunk, and of none that goes by DATA.
            let says_so = self.offer.dialect.is_delivery(&reply) || reply.code >= 500;
            chunk.is_odd |= !is_for_nobody && !says_so;
        }
        if reply.is_success() && (is_for_nobody || !is_out) {
            self.disbelieve(&reply);
            return Next::Done;
        }
        if is_for_nobody {
            self.note_trouble_of_all();
            // A server that does not read on over what it refused takes the content for commands.
            self.closing = true;
        }
        self.status(0, reply)
    }

    /// 421 with a chunk on its way: a server that goes on all the same may take the message.
    pub(super) fn closes_over_chunk(&mut self, reply: Reply) -> Next {
        self.odd_with_chunk();
        self.closing = true;
        let outcome = Outcome::Deferred(reply.clone());
        self.trouble.get_or_insert(SiteTrouble::deferred(reply.clone()));
        if let Some(chunk) = &mut self.chunk {
            chunk.farewell.get_or_insert(reply);
        }
        let Stage::Rcpt(i) = self.stage else {
            self.answer_all(&outcome);
            self.reset_due = true;
            return self.proceed(Stage::Rcpt(0));
        };
        if self.outcomes[i].is_none() {
            self.answer(i, outcome);
        }
        let is_last = i + 1 == self.outcomes.len();
        self.proceed(if is_last { Stage::Status(0) } else { Stage::Rcpt(i + 1) })
    }

    /// As [`Exchange::lost`], of a connection on which a chunk is.
    pub(super) fn lost_with_chunk(&mut self, peer: &str, lost: &Lost) {
        self.closing = true;
        if let Some(held) = self.chunk.as_mut().and_then(|chunk| chunk.held.take()) {
            self.behind_held(held, lost);
            return;
        }
        self.odd_with_chunk();
        let timed_out = matches!(lost, Lost::TimedOut);
        let farewell = self.chunk.as_ref().and_then(|chunk| chunk.farewell.clone());
        // It took nobody and does what it said.
        let is_parting = !timed_out && self.accepted.is_empty() && farewell.is_some();
        // Where MAIL itself is refused, nothing that follows is about a recipient.
        if timed_out || !self.reset_due {
            self.doubt_all();
        }
        let reply = match farewell {
            Some(farewell) if is_parting => farewell,
            _ if self.is_chunk_out() => {
                self.unsure = !self.is_settled();
                Stage::Status(0).lost(peer, lost)
            }
            _ => Stage::Content.lost(peer, lost),
        };
        self.settle_all(&Outcome::Deferred(reply.clone()));
        // As at the dot: a server that closes over a message has something against this one.
        if timed_out {
            self.trouble.get_or_insert(SiteTrouble::deferred(reply));
        }
    }

    /// Nobody can tell which reply was about what, and all of the content was sent.
    fn disbelieve(&mut self, reply: &Reply) {
        self.odd_with_chunk();
        self.closing = true;
        self.unsure = true;
        self.left = RecipientSet::default();
        self.unfiled = RecipientSet::default();
        self.answered = RecipientSet::default();
        self.outcomes.fill(None);
        self.settle_all(&Outcome::Deferred(Stage::Status(0).unknown(reply)));
    }

    /// Something came, or nothing, behind a success that reads like that of a recipient.
    fn behind_held(&mut self, held: Reply, more: &Lost) -> Next {
        self.odd_with_chunk();
        self.closing = true;
        self.status(0, held);
        self.surplus(more);
        Next::Done
    }

    /// A reply is missing: each that came may be that to the command behind its own, so that nobody has failed,
    /// and nobody is known not to have the message.
    fn doubt_all(&mut self) {
        self.answered = RecipientSet::default();
        self.left = RecipientSet::default();
        self.unfiled = RecipientSet::default();
        for outcome in &mut self.outcomes {
            outcome.take_if(|outcome| matches!(outcome, Outcome::Failed(_)));
        }
    }
}
