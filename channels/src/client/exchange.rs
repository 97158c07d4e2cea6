//! One message handed to a server, without a socket: what to send next, and what became of
//! each recipient.
//!
//! The driver obeys [`Next`]. Guaranteed: every recipient ends with exactly one outcome, also when
//! the conversation breaks off at any point; behind the dot goes nothing but the commands of the
//! next message, and only if the server pipelines.

mod chunked;

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    before::{Before, Moment, refuses},
    chunk::OneChunk,
    commands::{Commands, is_sendable},
    handover::Transacted,
    lacking,
    offer::Offer,
    outgoing::Outgoing,
    policy::{Lost, Stage},
};
use crate::mail::{
    Attempt, Dialect, Enhanced, Outcome, Peer, RecipientSet, Reply, STRESSED, SiteTrouble, TlsWish,
};

/// The driver's next step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Send [`Exchange::commands`], then read a reply.
    Send,
    /// Read a reply.
    Await,
    /// Send the content and the dot, call [`Exchange::content_sent`], then read a reply.
    Content,
    /// The server wants content though it took nobody: end it, and do not trust it any further.
    LoneDot,
    /// All recipients have their outcome.
    Done,
    /// The kept connection is not good any more, and no content has been sent.
    Stale,
    /// The server does not take content by BDAT: another connection has to do, and DATA.
    ByData,
}

/// The state of one handover.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    delivery: &'a Outgoing<'a>,
    offer: Offer,
    before: Before,
    /// The stage whose reply is due.
    stage: Stage,
    /// Recipients taken at RCPT, in order.
    accepted: SmallVec<[usize; 2]>,
    outcomes: SmallVec<[Option<Outcome>; 1]>,
    /// Commands behind MAIL that were sent: RCPT for each recipient, then DATA or BDAT.
    sent: usize,
    /// The content, where it goes with the commands.
    chunk: Option<OneChunk>,
    /// As in [`Peer::answered`].
    answered: RecipientSet,
    trouble: Option<SiteTrouble>,
    /// Recipients that were too many for this transaction.
    left: RecipientSet,
    /// Recipients of whose folder the server wants to know nothing.
    unfiled: RecipientSet,
    /// As in [`Peer::unsure`].
    unsure: bool,
    reset_due: bool,
    closing: bool,
}

impl<'a> Exchange<'a> {
    /// `reset`: RSET has to come first.
    pub(crate) fn new(
        delivery: &'a Outgoing<'a>,
        offer: Offer,
        before: Before,
        reset: bool,
    ) -> Self {
        let mut outcomes = SmallVec::new();
        outcomes.resize_with(delivery.recipients.len(), || None);
        Self {
            delivery,
            offer,
            before,
            stage: if reset { Stage::Reset } else { Stage::Mail },
            accepted: SmallVec::new(),
            outcomes,
            sent: 0,
            chunk: None,
            answered: RecipientSet::default(),
            trouble: None,
            left: RecipientSet::default(),
            unfiled: RecipientSet::default(),
            unsure: false,
            reset_due: reset,
            closing: false,
        }
    }

    /// The content goes in one chunk with the commands; without one, by DATA.
    pub(crate) fn with_chunk(self, chunk: Option<OneChunk>) -> Self {
        Self { chunk, ..self }
    }

    /// Settles all that can be told without asking the server.
    pub(crate) fn begin(&mut self) -> Next {
        let Outgoing { sender, recipients, tls, .. } = *self.delivery;
        let size = self.delivery.size_sent();
        if tls == TlsWish::Required && !self.offer.guards {
            self.settle_all(&lacking::requiretls(self.offer.others_may));
            return Next::Done;
        }
        if let Some(limit) = self.offer.size_limit().filter(|limit| size > *limit) {
            self.settle_all(&lacking::room((size, limit), self.offer.others_may));
        } else if !is_sendable(sender) {
            self.settle_all(&failed(Enhanced(5, 1, 7), "sender is not printable".to_owned()));
        }
        // It cannot come from our own parser, and it must not reach the wire from anywhere else.
        if recipients.iter().any(|r| !is_sendable(r.address)) {
            self.settle_all(&failed(Enhanced(5, 1, 3), "address is not printable".to_owned()));
        }
        if self.is_settled() { Next::Done } else { Next::Send }
    }

    /// The commands that may be sent now: when the server pipelines all up to DATA, or as many as
    /// surely fit the way there while nobody reads the replies; else one.
    pub(crate) fn commands(&mut self, out: &mut Vec<u8>) {
        if !self.offer.pipelining {
            return self.write(self.stage, out);
        }
        if self.stage == Stage::Reset {
            self.write(Stage::Reset, out);
        }
        if matches!(self.stage, Stage::Reset | Stage::Mail) {
            self.write(Stage::Mail, out);
        }
        let (start, recipients) = (out.len(), self.outcomes.len());
        while self.sent < recipients && out.len() - start < WINDOW {
            self.write(Stage::Rcpt(self.sent), out);
            self.sent += 1;
        }
        if self.sent == recipients && out.len() - start < WINDOW {
            match &self.chunk {
                Some(chunk) => {
                    chunk.command(out);
                    if self.stage == Stage::Data {
                        self.stage = Stage::Status(0);
                    }
                }
                None => self.write(Stage::Data, out),
            }
            self.sent += 1;
        }
    }

    /// The octets that may be sent in one piece with the content: all commands of the `following` message.
    /// Only when exactly one reply is due before theirs: an LMTP server that answers the content of a
    /// message for several with one reply (Cyrus, when it is too big) would make us take one of
    /// theirs for a delivery.
    /// They are appended to `out`; whether there are any is the answer.
    pub(crate) fn announce(&self, following: &Outgoing<'_>, out: &mut Vec<u8>) -> bool {
        let mut exchange = Exchange::new(following, self.offer, Before::Kept, false);
        let replies = self.offer.dialect.replies_to_content(self.accepted.len());
        // Converted, it may have another size.
        let is_converted = following.eight_bit && !self.offer.eight_bit
            || following.wants_smtputf8() && !self.offer.smtputf8;
        let may_name_inbox = self.accepted.iter().any(|i| self.may_name_inbox(*i));
        let is_last = self.left.is_empty() && self.unfiled.is_empty() && !may_name_inbox;
        let allowed = self.offer.pipelining && replies == 1 && is_last && !is_converted;
        let announced = allowed && exchange.begin() == Next::Send;
        if announced {
            exchange.commands(out);
        }
        announced
    }

    /// The `commands` were sent behind the content of the message before. The answer is `Stale` if
    /// `commands` are not those of this message: the server waits for another one. `room` is a
    /// buffer to compare them in.
    pub(crate) fn announced(&mut self, commands: &[u8], room: &mut Vec<u8>) -> Next {
        room.clear();
        self.commands(room);
        self.before = Before::Announced;
        if room == commands { Next::Await } else { Next::Stale }
    }

    /// Whether the commands of this message were sent behind the content of the one before.
    pub(crate) fn was_announced(&self) -> bool {
        self.before == Before::Announced
    }

    /// A reply came.
    pub(crate) fn take(&mut self, reply: Reply) -> Next {
        let moment = Moment {
            stage: self.stage,
            pipelining: self.offer.pipelining,
            outcomes: &self.outcomes,
            has_accepted: !self.accepted.is_empty(),
        };
        if !self.before.believes(moment, &reply) {
            return Next::Stale;
        }
        if reply.code == 421 && !matches!(self.stage, Stage::Status(_)) {
            return if self.is_chunk_out() {
                self.closes_over_chunk(reply)
            } else {
                self.closed(reply)
            };
        }
        if matches!(self.stage, Stage::Mail | Stage::Rcpt(_)) && reply.code / 100 == 3 {
            return self.out_of_step(reply);
        }
        match self.stage {
            Stage::Reset if !reply.is_success() => Next::Stale,
            Stage::Rcpt(i) => self.rcpt(i, reply),
            Stage::Data => self.data(reply),
            Stage::Status(_) if self.chunk.is_some() => self.chunk_status(reply),
            Stage::Status(i) => self.status(i, reply),
            Stage::Mail => self.mail(reply),
            Stage::Reset
            | Stage::Greeting
            | Stage::Lhlo
            | Stage::Ehlo
            | Stage::Helo
            | Stage::StartTls
            | Stage::Auth
            | Stage::Content => {
                self.reset_due = false;
                self.proceed(Stage::Mail)
            }
        }
    }

    /// The dot is out.
    pub(crate) fn content_sent(&mut self) {
        self.stage = Stage::Status(0);
    }

    /// The connection is of no use after this exchange.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// The content could not be sent to its end, and this is what the server had to say.
    pub(crate) fn cut_short(&mut self, reply: Reply) {
        self.closing = true;
        let outcome = if self.offer.private && reply.code == TOO_BIG {
            Outcome::Deferred(requeued(&reply))
        } else {
            Stage::Content.outcome(self.offer.dialect, reply)
        };
        self.answer_all(&outcome);
    }

    /// Gives the rest of the recipients `outcome`: it is our own, nothing more will come of this
    /// conversation.
    pub(crate) fn settle_all(&mut self, outcome: &Outcome) {
        for open in self.outcomes.iter_mut().filter(|o| o.is_none()) {
            *open = Some(outcome.clone());
        }
    }

    /// Something else came than the reply that was due, or nothing. `true`: the connection was
    /// stale, and the message not seen.
    pub(crate) fn lost(&mut self, peer: &str, lost: &Lost) -> bool {
        let timed_out = matches!(lost, Lost::TimedOut);
        let stale = match self.before {
            Before::New => false,
            Before::Kept => self.is_before_content() && (!timed_out || refuses(&self.outcomes)),
            Before::Announced => self.is_before_content(),
        };
        if stale {
            return true;
        }
        if self.sends_chunk() {
            self.lost_with_chunk(peer, lost);
            return false;
        }
        self.closing = true;
        if timed_out && self.offer.pipelining && self.is_before_content() {
            self.doubt_refusals();
        }
        self.unsure = matches!(self.stage, Stage::Status(_)) && !self.is_settled();
        let reply = match self.stage {
            Stage::Status(replies @ 1..) => Stage::fewer(peer, lost, replies, self.accepted.len()),
            other => other.lost(peer, lost),
        };
        self.settle_all(&Outcome::Deferred(reply.clone()));
        // A server that closes over a message, or falls silent between two replies to it, has something
        // against this message; the others are not to wait for it.
        let of_message = match self.stage {
            Stage::Content | Stage::Status(0) => !timed_out,
            Stage::Status(_) => true,
            _ => false,
        };
        if !of_message {
            self.trouble.get_or_insert(SiteTrouble::deferred(reply));
        }
        false
    }

    /// A reply is missing of those to commands that were sent together: each that came may be that to
    /// the command behind its own.
    fn doubt_refusals(&mut self) {
        self.answered = RecipientSet::default();
        for (place, outcome) in self.outcomes.iter_mut().enumerate() {
            match outcome {
                Some(Outcome::Failed(_)) => *outcome = None,
                Some(_) => self.answered.insert(place),
                None => {}
            }
        }
    }

    /// The content is due, and something came that cannot be about it. `true`: as for `lost`.
    pub(crate) fn answered_early(&mut self, peer: &str, lost: &Lost) -> bool {
        if self.before != Before::New {
            return true;
        }
        self.lost(peer, lost)
    }

    /// More came than was asked for. Whether that makes the kept connection stale: somebody seems to
    /// be refused, and nothing of the content was sent.
    pub(crate) fn doubts_surplus(&self) -> bool {
        self.before != Before::New && self.is_before_content() && refuses(&self.outcomes)
    }

    /// The stage whose reply is due.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// The server has said that it will close the connection, or cannot be understood.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The transaction was given up half way, or its content refused: the next one begins with
    /// RSET.
    pub(crate) fn reset_due(&self) -> bool {
        self.reset_due
    }

    /// One outcome for each recipient. `host`: who they come from.
    pub(crate) fn finish(self, host: Arc<str>) -> Transacted {
        let open =
            || Outcome::Deferred(Reply::new(451, Enhanced(4, 3, 0), "the conversation broke off"));
        let stressed = self.offer.stress && is_stressed(&self.outcomes);
        let chunk = self.chunk_replies();
        let outcomes = self.outcomes.into_iter().map(|o| o.unwrap_or_else(open)).collect();
        let Self { answered, unsure, left, unfiled, trouble, .. } = self;
        let peer = Peer { host, notifies: self.offer.dsn, answered, unsure };
        Transacted {
            attempt: Attempt { outcomes, trouble, peer: Some(peer) },
            left,
            unfiled,
            converted: None,
            stressed,
            chunk,
        }
    }

    fn write(&self, stage: Stage, out: &mut Vec<u8>) {
        Commands { delivery: self.delivery, offer: self.offer }.write(stage, out);
    }

    fn mail(&mut self, reply: Reply) -> Next {
        let of_site = Stage::Mail.is_of_site(&reply);
        match Stage::Mail.outcome(self.offer.dialect, reply) {
            Outcome::Delivered(_) => self.proceed(Stage::Rcpt(0)),
            outcome => {
                if of_site {
                    self.trouble.get_or_insert(SiteTrouble { outcome: outcome.clone() });
                }
                self.answer_all(&outcome);
                self.reset_due = true;
                // The replies to what was pipelined behind it have to be read all the same.
                if self.offer.pipelining { self.proceed(Stage::Rcpt(0)) } else { Next::Done }
            }
        }
    }

    fn rcpt(&mut self, i: usize, reply: Reply) -> Next {
        if self.outcomes[i].is_none() {
            if reply.is_too_many() && !self.accepted.is_empty() {
                self.left.insert(i);
            }
            match self.stage.outcome(self.offer.dialect, reply) {
                Outcome::Delivered(_) => self.accepted.push(i),
                outcome => {
                    if self.is_unfiled(i, &outcome) {
                        self.unfiled.insert(i);
                    }
                    self.answer(i, outcome);
                }
            }
        }
        if i + 1 < self.outcomes.len() {
            return self.proceed(Stage::Rcpt(i + 1));
        }
        let next = if self.sends_chunk() { Stage::Status(0) } else { Stage::Data };
        if self.accepted.is_empty() && !self.is_sent(next) && self.is_believed() {
            self.reset_due = true;
            self.note_trouble_of_all();
            return Next::Done;
        }
        self.proceed(next)
    }

    /// Whether behind the content a folder may still be refused, so that the mailbox is named: over LMTP
    /// each recipient has a reply of its own there.
    fn may_name_inbox(&self, i: usize) -> bool {
        let is_filed = self.delivery.recipients[i].is_filed();
        is_filed && !self.offer.private && self.offer.dialect == Dialect::Lmtp
    }

    /// Whether a folder is refused, and the mailbox may be none the less there. A store of ours refuses no
    /// folder of its users.
    fn is_unfiled(&self, i: usize, outcome: &Outcome) -> bool {
        let Outcome::Failed(reply) = outcome else { return false };
        !self.offer.private && self.delivery.recipients[i].is_unfiled_by(reply)
    }

    /// On a kept connection the reply to DATA shows whether a refusal was about the recipient: what
    /// the server says to it when it has taken nobody, it says to nothing else.
    fn is_believed(&self) -> bool {
        self.before == Before::New || !refuses(&self.outcomes)
    }

    /// A server that asks every recipient for a login takes no mail of ours before somebody has seen
    /// to that; a store of ours that has no room for any of them has none for others.
    fn note_trouble_of_all(&mut self) {
        let private = self.offer.private;
        let is_of_site = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Deferred(reply)) => {
                reply.wants_login_for_recipient() || private && reply.is_store_trouble()
            }
            _ => false,
        };
        if self.outcomes.iter().all(is_of_site)
            && let Some(Some(Outcome::Deferred(reply))) = self.outcomes.first()
        {
            self.trouble.get_or_insert(SiteTrouble::deferred(reply.clone()));
        }
    }

    fn data(&mut self, reply: Reply) -> Next {
        if reply.is_success() {
            return self.out_of_step(reply);
        }
        if self.accepted.is_empty() {
            self.reset_due = true;
            self.note_trouble_of_all();
            return if reply.code / 100 == 3 { Next::LoneDot } else { Next::Done };
        }
        if reply.wants_login() {
            self.trouble.get_or_insert(SiteTrouble::deferred(reply.clone()));
        }
        match Stage::Data.outcome(self.offer.dialect, reply) {
            Outcome::Delivered(_) => {
                self.stage = Stage::Content;
                Next::Content
            }
            outcome => {
                self.answer_all(&outcome);
                self.reset_due = true;
                Next::Done
            }
        }
    }

    fn status(&mut self, i: usize, reply: Reply) -> Next {
        if self.offer.private && reply.code == TOO_BIG && i == 0 {
            // It counted more octets than we announced: our mistake, and it closes now.
            self.cut_short(reply);
            return Next::Done;
        }
        // Our store's way to write 4.2.1; anybody else's way to say that it closes. That is one attempt
        // of this message, the others go on on other connections.
        let closing = reply.code == 421 && !self.offer.private;
        // Its disk is full, or away, for everybody.
        let no_store = self.offer.private && reply.is_store_trouble();
        if no_store {
            self.trouble.get_or_insert(SiteTrouble::deferred(reply.clone()));
        }
        let dialect = self.offer.dialect;
        // Neither a delivery nor a refusal: such a reply may be about something else.
        self.closing |= closing || (reply.code < 400 && !dialect.is_delivery(&reply));
        let outcome = self.stage.outcome(dialect, reply);
        self.reset_due |= !matches!(outcome, Outcome::Delivered(_));
        let replies = dialect.replies_to_content(self.accepted.len());
        if replies == self.accepted.len() {
            let place = self.accepted[i];
            if self.may_name_inbox(place) && self.is_unfiled(place, &outcome) {
                self.unfiled.insert(place);
            }
            self.answer(place, outcome);
        } else {
            self.answer_all(&outcome);
        }
        if i + 1 == replies {
            return Next::Done;
        }
        self.stage = Stage::Status(i + 1);
        Next::Await
    }

    /// No server says this to the command: replies are not about what they seem to be about, and those
    /// that came before it are not to be believed either.
    fn out_of_step(&mut self, reply: Reply) -> Next {
        self.closing = true;
        let outcome = self.stage.outcome(self.offer.dialect, reply);
        self.outcomes.fill(None);
        self.left = RecipientSet::default();
        self.unfiled = RecipientSet::default();
        self.unsure = self.sends_chunk();
        self.odd_with_chunk();
        self.answer_all(&outcome);
        if self.stage != Stage::Data {
            self.trouble.get_or_insert(SiteTrouble { outcome });
        }
        Next::Done
    }

    /// 421 before the data: the whole connection goes, not only this command.
    fn closed(&mut self, reply: Reply) -> Next {
        let is_idle = matches!(self.stage, Stage::Reset | Stage::Mail);
        if self.before != Before::New && (is_idle || refuses(&self.outcomes)) {
            return Next::Stale;
        }
        self.closing = true;
        self.odd_with_chunk();
        self.answer_all(&Outcome::Deferred(reply.clone()));
        self.trouble.get_or_insert(SiteTrouble::deferred(reply));
        Next::Done
    }

    /// A reply has settled this recipient.
    fn answer(&mut self, i: usize, outcome: Outcome) {
        self.outcomes[i] = Some(outcome);
        self.answered.insert(i);
    }

    /// A reply has settled all recipients that were open.
    fn answer_all(&mut self, outcome: &Outcome) {
        for i in 0..self.outcomes.len() {
            if self.outcomes[i].is_none() {
                self.answer(i, outcome.clone());
            }
        }
    }

    fn is_before_content(&self) -> bool {
        let is_of_command =
            matches!(self.stage, Stage::Reset | Stage::Mail | Stage::Rcpt(_) | Stage::Data);
        is_of_command && !self.sends_chunk()
    }

    fn proceed(&mut self, stage: Stage) -> Next {
        self.stage = stage;
        match (stage, self.is_sent(stage)) {
            (_, true) => Next::Await,
            // MAIL was refused: nobody is left to be named.
            (Stage::Rcpt(1..), false) if self.is_settled() && self.is_believed() => Next::Done,
            (_, false) => Next::Send,
        }
    }

    /// Whether its command went out ahead.
    fn is_sent(&self, stage: Stage) -> bool {
        match stage {
            _ if !self.offer.pipelining => false,
            Stage::Rcpt(i) => i < self.sent,
            Stage::Data | Stage::Status(_) => self.sent > self.outcomes.len(),
            _ => true,
        }
    }

    fn is_settled(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }
}

/// Whether a store of ours that took the message says that it is slow.
fn is_stressed(outcomes: &[Option<Outcome>]) -> bool {
    let says_so = |reply: &Reply| reply.text.ends_with(STRESSED);
    outcomes.iter().any(|its| matches!(its, Some(Outcome::Delivered(reply)) if says_so(reply)))
}

fn failed(enhanced: Enhanced, text: String) -> Outcome {
    Outcome::Failed(Reply::with_text(550, enhanced, text))
}

fn requeued(reply: &Reply) -> Reply {
    Reply::with_text(451, Enhanced(4, 3, 0), format!("the store counts otherwise: {reply:.200}"))
}

/// `500 message too big`, our store's words for more octets than were announced.
const TOO_BIG: u16 = 500;
/// Octets of commands that are sent before their replies are read: the buffers of both ends hold them,
/// so that neither waits for the other.
const WINDOW: usize = 16 << 10;
