//! The client's end of a connection: octets, time limits, and nothing else.
//!
//! One [`Connection`] serves one message after the other. No reply is waited for longer than
//! its limit, counted from the moment it is due, however slowly its octets drip.

use std::{borrow::Cow, mem, net::IpAddr, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    before::Before,
    chunk::{Occasion, end_of},
    exchange::{Exchange, Next},
    handover::Transacted,
    offer::Offer,
    outgoing::Outgoing,
    owed::Errand,
    policy::{Lost, Stage},
    rendition::{Octets, Reader, render},
    sending::{Broken, Sending},
    settings::Settings,
    signing::signed,
    socket::Socket,
    stream::{Nearness, Stream},
};
use crate::{
    mail::{Content, Dialect, Reply, SiteTrouble, TlsWish},
    tls::{ClientTls, HandshakeRefused, TlsDemand, Towards},
    wire::proxy,
};

/// A connection that has been greeted.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    peer: String,
    /// As in [`Peer::host`](crate::mail::Peer::host).
    host: Arc<str>,
    settings: Settings,
    offer: Offer,
    /// TLS and AUTH, in words.
    protection: Option<Arc<str>>,
    /// Since then it is open.
    since: Instant,
    /// Messages that it has served.
    uses: usize,
    reset_due: bool,
    broken: bool,
    /// The commands of the next message, if they have already been sent.
    announced: Option<Vec<u8>>,
    /// It has answered commands that were sent behind the content of a message, or is known to.
    bears_announcing: bool,
    /// A buffer for commands.
    spare: Vec<u8>,
    /// A buffer for those that should have been announced.
    expected: Vec<u8>,
    /// When the dot of the last message was sent.
    dot_at: Instant,
    /// The surplus that the last message may still have.
    tail: Tail,
    /// The demand on TLS of the message that it was made for: where that set aside what the destination is
    /// owed, no other message goes this way.
    pub(super) made_for: TlsWish,
}

/// The surplus behind the replies to a message.
#[derive(Debug)]
enum Tail {
    Usual,
    /// Its content went in one chunk with its commands, so that a reply too many is bad.
    OfChunk,
    /// As in [`Connection::take_late_reply`].
    Late(Reply),
}

/// A connection is not good for this message, which the server has not taken. Not a failed attempt: open
/// another one and try again, once for each.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Again {
    /// The peer has closed the kept connection, or answers as if it waited for another message. None of
    /// the content has been sent.
    #[error("the kept connection is not good any more")]
    Stale,
    /// The server names CHUNKING and says this to BDAT.
    #[error("BDAT is refused: {0}")]
    ByData(Reply),
}

impl Connection {
    /// A connection on which nothing has been said yet.
    pub(super) fn new(
        stream: Stream,
        peer: String,
        host: Arc<str>,
        dialect: Dialect,
        settings: &Settings,
    ) -> Self {
        Self {
            socket: Socket::new(stream),
            peer,
            host,
            settings: settings.clone(),
            offer: Offer::none(dialect),
            protection: None,
            since: Instant::now(),
            uses: 0,
            reset_due: false,
            broken: false,
            announced: None,
            // Of stores none is known that does not; servers of SMTP are of all kinds.
            bears_announcing: dialect == Dialect::Lmtp,
            spare: Vec::new(),
            expected: Vec::new(),
            dot_at: Instant::now(),
            tail: Tail::Usual,
            made_for: TlsWish::Usual,
        }
    }

    /// All that is said from now on is over after this time.
    pub(super) fn bound(&mut self, time: Duration) {
        self.socket.bound(time);
    }

    /// Single limits hold alone.
    pub(super) fn unbound(&mut self) {
        self.socket.unbound();
    }

    /// This time, or what is left.
    pub(super) fn limited(&self, limit: Duration) -> Duration {
        self.socket.limited(limit)
    }

    /// Our end of a connection over TCP that is still in clear.
    pub(super) fn own_address(&self) -> Option<IpAddr> {
        self.socket.stream.ends().map(|(own, _)| own.ip())
    }

    /// How far away the server is.
    pub(super) fn nearness(&self) -> Nearness {
        self.socket.stream.nearness()
    }

    /// Says whose connection it is, as a proxy would.
    pub(super) async fn send_proxy_header(&mut self) -> Result<(), SiteTrouble> {
        let header = proxy::header_of(self.socket.stream.ends());
        let sent = self.socket.write(&[&header], self.settings.command_time).await;
        sent.map_err(|unsent| SiteTrouble::deferred(Stage::Greeting.lost(&self.peer, &unsent.lost)))
    }

    /// Whether the server has said something that nobody asked for.
    pub(super) fn has_unread(&mut self) -> bool {
        self.socket.unasked().is_some_and(|lost| lost.is_said())
    }

    /// The same connection behind TLS.
    pub(super) async fn secure(
        self,
        tls: &ClientTls,
        towards: (&str, &TlsDemand),
    ) -> Result<(Self, Towards), HandshakeRefused> {
        let Self { socket, .. } = self;
        let (socket, towards) = socket.secure(tls, towards).await?;
        Ok((Self { socket, ..self }, towards))
    }

    /// TLS and AUTH are done.
    pub(super) fn protected(&mut self, words: Option<Arc<str>>) {
        self.protection = words;
    }

    /// TLS and AUTH, in words: `TLSv1.3 TLS_AES_256_GCM_SHA384, verified; AUTH PLAIN as relay`.
    pub fn protection(&self) -> Option<&Arc<str>> {
        self.protection.as_ref()
    }

    /// Sends a command, if there is one, and reads the reply to it.
    pub(super) async fn ask(&mut self, stage: Stage, command: &[u8]) -> Result<Reply, SiteTrouble> {
        let limit = self.settings.command_time;
        self.settings.progress.waits(stage.into());
        let early = if command.is_empty() { None } else { self.socket.unasked() };
        let said = match early {
            Some(lost) => Err(lost),
            None => match self.socket.write(&[command], limit).await {
                Ok(()) => self.socket.reply(limit).await,
                Err(unsent) => Err(unsent.lost),
            },
        };
        said.map_err(|lost| SiteTrouble::deferred(stage.lost(&self.peer, &lost)))
    }

    /// The server takes messages, and offers this.
    pub(super) fn offered(&mut self, offer: Offer) {
        self.offer = offer;
    }

    /// Whether a message may go this way, or learns here what becomes of it: that no server of the site is
    /// any better was found out for such a message.
    pub fn suits(&self, message: &Outgoing<'_>) -> bool {
        let by_tls = match message.tls {
            TlsWish::NotRequired => true,
            TlsWish::Usual => self.made_for != TlsWish::NotRequired,
            TlsWish::Required => self.offer.guards || self.made_for == TlsWish::Required,
        };
        by_tls && self.has_room_for(message.size_sent())
    }

    /// Whether the server lacks nothing for mail on this errand.
    pub(super) fn is_enough_for(&self, errand: Errand) -> bool {
        let is_guarded = errand.wish != TlsWish::Required || self.offer.guards;
        is_guarded && self.has_room_for(errand.size)
    }

    fn has_room_for(&self, size: u64) -> bool {
        self.offer.size_limit().is_none_or(|limit| size <= limit)
    }

    /// No server of the site does better for mail with this demand, as far as they could be asked.
    pub(super) fn best_of_site(&mut self, wish: TlsWish) {
        if wish == TlsWish::Required {
            self.made_for = wish;
        }
    }

    /// Servers that were not asked may take what this one lacks something for: such mail waits.
    pub fn is_one_of_several(&mut self) {
        self.offer.others_may = true;
    }

    pub(super) fn others_may(&self) -> bool {
        self.offer.others_may
    }

    /// Whether the commands of the next message have been sent.
    pub fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// Whether a message may be announced while another is handed over.
    pub fn pipelines(&self) -> bool {
        let limits = &self.settings.limits;
        // The one in hand, and the next.
        let has_room = self.uses + 1 < limits.messages && self.since.elapsed() < limits.age;
        self.offer.pipelining && has_room
    }

    /// No content goes in one chunk with its commands here, whatever the server offers.
    pub fn use_data(&mut self) {
        self.offer.chunking = false;
    }

    /// Hands over a message whose addresses the server takes.
    pub(super) async fn transact(
        &mut self,
        delivery: &Outgoing<'_>,
        content: &Content,
        following: Option<&Outgoing<'_>>,
    ) -> Result<Transacted, Again> {
        if self.finds_late_reply().await {
            return Err(Again::Stale);
        }
        let announced = self.announced.take();
        let before = if self.uses > 0 { Before::Kept } else { Before::New };
        let idled = self.uses > 0 && self.dot_at.elapsed() > PROBED_AFTER;
        let reset = (self.reset_due || idled) && announced.is_none();
        self.socket
            .bound(self.settings.limits.transaction + Duration::from_secs(content.size() >> 10));
        // Should this future be dropped half way, nobody may use what it leaves behind.
        self.broken = true;
        let reader = Reader { offer: self.offer, peer: &self.peer, settings: &self.settings };
        let rendered = render(content, reader, delivery.smtputf8).await;
        let rendered = match (rendered, delivery.signing) {
            (Ok(rendition), Some(name)) => signed(rendition, content, name).await,
            (rendered, _) => rendered,
        };
        let delivery = rendered.as_ref().map_or(*delivery, |it| Outgoing {
            size: it.size,
            eight_bit: it.eight_bit,
            ..*delivery
        });
        let (chunking, offer) = (self.settings.chunking, self.offer);
        let occasion = Occasion { chunking, offer, before, is_reset_due: reset };
        let chunk = rendered.as_ref().ok().and_then(|content| occasion.chunk(content));
        let mut exchange = Exchange::new(&delivery, offer, before, reset).with_chunk(chunk);
        let mut next = exchange.begin();
        if let Err(outcome) = &rendered {
            exchange.settle_all(outcome);
            next = Next::Done;
        }
        let octets = rendered.as_ref().map_or((&[][..], &NOTHING), |it| (&*it.head, &it.octets));
        if let Some(commands) = announced {
            next = if next == Next::Send {
                exchange.announced(&commands, &mut self.expected)
            } else {
                Next::Stale
            };
            self.spare = commands;
        }
        while next != Next::Done {
            match (next, exchange.take_refusal_of_chunk()) {
                (Next::ByData, Some(reply)) => return Err(Again::ByData(reply)),
                (Next::Stale, _) => return Err(Again::Stale),
                _ => {}
            }
            next = match self.step(next, &mut exchange, octets, following).await {
                Ok(next) => next,
                Err(lost) if exchange.lost(&self.peer, &lost) => return Err(Again::Stale),
                Err(_) => Next::Done,
            };
        }
        if exchange.doubts_surplus()
            && matches!(self.socket.unasked(), Some(more) if more.is_said())
        {
            return Err(Again::Stale);
        }
        self.after_chunk(&mut exchange).await;
        self.uses += 1;
        self.bears_announcing |= exchange.was_announced();
        self.socket.unbound();
        self.settings.progress.rests();
        self.reset_due = exchange.reset_due();
        self.broken = exchange.is_closing();
        let converted = rendered.ok().and_then(|it| it.converted);
        Ok(Transacted { converted, ..exchange.finish(self.host.clone()) })
    }

    /// Whether another message may be handed over, as far as can be seen from here.
    pub fn is_usable(&mut self) -> bool {
        if self.broken || self.announced.is_some() {
            return !self.broken;
        }
        let limits = &self.settings.limits;
        let is_worn = self.uses >= limits.messages || self.since.elapsed() >= limits.age;
        // Octets that nobody asked for are a 421, or worse.
        !is_worn && self.socket.is_silent()
    }

    /// Whether the server offers SMTPUTF8.
    pub(super) fn takes_smtputf8(&self) -> bool {
        self.offer.smtputf8
    }

    /// The server, as in [`Peer::host`](crate::mail::Peer::host).
    pub fn host(&self) -> Arc<str> {
        Arc::clone(&self.host)
    }

    /// A reply too many that came behind a message in one chunk, after that message had its outcomes: the one
    /// to BDAT may have been about a recipient, and this one about the content.
    pub fn take_late_reply(&mut self) -> Option<Reply> {
        match mem::replace(&mut self.tail, Tail::Usual) {
            Tail::Late(reply) => Some(reply),
            Tail::Usual | Tail::OfChunk => None,
        }
    }

    /// Says good-bye, and waits a moment for the answer. Returns what it is if it is one as in
    /// [`Self::take_late_reply`].
    pub async fn quit(mut self) -> Option<Reply> {
        let mut late = None;
        // Where a message was announced, QUIT would be its first line.
        if !self.broken
            && self.announced.is_none()
            && self.socket.write(&[b"QUIT\r\n"], QUIT_TIME).await.is_ok()
        {
            // The answer to QUIT changes nothing: the connection ends.
            let answer = self.socket.reply(QUIT_TIME).await;
            late = answer.ok().filter(|reply| matches!(self.tail, Tail::OfChunk) && !parts(reply));
            let _ = timeout(PARTING_TIME, self.socket.stream.close()).await;
        }
        late
    }

    /// `host[address]:port`, or the path of the socket; for the log.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Does what the exchange wants, and tells it what came of it.
    async fn step(
        &mut self,
        next: Next,
        exchange: &mut Exchange<'_>,
        octets: (&[u8], &Octets<'_>),
        following: Option<&Outgoing<'_>>,
    ) -> Result<Next, Lost> {
        self.settings.progress.waits(exchange.stage().into());
        match next {
            Next::Send => {
                if let Some(lost) = self.socket.unasked() {
                    return Err(lost);
                }
                let mut commands = mem::take(&mut self.spare);
                commands.clear();
                exchange.commands(&mut commands);
                if let (true, (head, Octets::Whole(content))) = (exchange.sends_chunk(), octets) {
                    let pieces = [&*commands, head, content, end_of(content)];
                    let sent = self.socket.write(&pieces, self.settings.data_time).await;
                    exchange.chunk_sent(sent.map_or_else(|unsent| unsent.left == 0, |()| true));
                    self.dot_at = Instant::now();
                    self.spare = commands;
                } else {
                    let sent = self.socket.write(&[&commands], self.settings.command_time).await;
                    self.spare = commands;
                    sent?;
                }
            }
            Next::Content => {
                if let Some(lost) = self.socket.unasked() {
                    let stale = exchange.answered_early(&self.peer, &lost);
                    return Ok(if stale { Next::Stale } else { Next::Done });
                }
                let mut behind = mem::take(&mut self.spare);
                behind.clear();
                let announced =
                    following.is_some_and(|following| exchange.announce(following, &mut behind));
                match self.sending().send(octets, &behind).await {
                    Ok(()) => {
                        exchange.content_sent();
                        if announced {
                            self.announced = Some(behind);
                        } else {
                            self.spare = behind;
                        }
                        self.dot_at = Instant::now();
                    }
                    // The dot is out, and may have been answered.
                    Err(Broken::Sending(unsent)) if unsent.left <= behind.len() => {
                        exchange.content_sent();
                        exchange.close();
                    }
                    Err(broken) => return self.cut_short(broken, exchange).await,
                }
            }
            Next::LoneDot => {
                exchange.close();
                let limit = self.settings.command_time.min(QUIT_TIME);
                if self.socket.write(&[b".\r\n"], limit).await.is_ok() {
                    // For nobody: there may be one answer, or none.
                    let _ = self.socket.reply(limit).await;
                }
                return Ok(Next::Done);
            }
            Next::Await | Next::Done | Next::Stale | Next::ByData => {}
        }
        if matches!(exchange.stage(), Stage::Status(_)) {
            // Replies to the content have limits of their own.
            self.socket.unbound();
        }
        self.settings.progress.waits(exchange.stage().into());
        let reply = self.socket.reply(self.limit(exchange)).await?;
        Ok(exchange.take(reply))
    }

    /// The content stopped half way. A server that refuses early has often said why.
    async fn cut_short(
        &mut self,
        broken: Broken,
        exchange: &mut Exchange<'_>,
    ) -> Result<Next, Lost> {
        // Without its dot, the message is none; only closing can say so.
        exchange.close();
        match broken {
            Broken::Content(outcome) => exchange.settle_all(&outcome),
            Broken::Early(Lost::Unasked(reply)) if reply.code >= 400 => exchange.cut_short(reply),
            Broken::Early(Lost::Piece) => match self.socket.reply(QUIT_TIME).await {
                Ok(reply) if reply.code >= 400 => exchange.cut_short(reply),
                Ok(reply) => return Err(Lost::Unasked(reply)),
                // It is the piece that is wrong, not the server that is slow.
                Err(Lost::TimedOut) => return Err(Lost::Piece),
                Err(lost) => return Err(lost),
            },
            Broken::Early(lost) => return Err(lost),
            Broken::Sending(unsent) => match self.socket.reply(QUIT_TIME).await {
                Ok(reply) if reply.code >= 400 => exchange.cut_short(reply),
                _ => return Err(unsent.lost),
            },
        }
        Ok(Next::Done)
    }

    /// Whether something came behind a message in one chunk that nobody asked for, or its end.
    async fn finds_late_reply(&mut self) -> bool {
        if !matches!(self.tail, Tail::OfChunk) {
            return false;
        }
        let more = self.surplus().await;
        self.broken |= more.is_some();
        self.tail = more.and_then(late_reply).map_or(Tail::Usual, Tail::Late);
        self.broken
    }

    /// Sees whether more has come already.
    async fn after_chunk(&mut self, exchange: &mut Exchange<'_>) {
        if !exchange.sends_chunk() {
            return;
        }
        self.tail = Tail::OfChunk;
        if let Some(more) = self.surplus().await {
            exchange.surplus(&more);
        }
    }

    /// More than was asked for, as a whole.
    async fn surplus(&mut self) -> Option<Lost> {
        Some(match self.socket.unasked()? {
            Lost::Piece => {
                self.socket.reply(PARTING_TIME).await.map_or_else(|lost| lost, Lost::Unasked)
            }
            more => more,
        })
    }

    fn sending(&mut self) -> Sending<'_> {
        Sending { socket: &mut self.socket, settings: &self.settings }
    }

    fn limit(&self, exchange: &Exchange<'_>) -> Duration {
        match exchange.stage() {
            // The same between two replies to the content: they come in one breath, and the next
            // message waits for this connection to be given up.
            Stage::Status(1..) if exchange.is_closing() => PARTING_TIME,
            Stage::Status(_) if exchange.holds_success() => GRACE,
            Stage::Status(0) if exchange.may_be_taken() => self.settings.status_time,
            // It announced that it closes; what it does not say now it will not say.
            _ if exchange.is_closing() => QUIT_TIME,
            Stage::Status(0) => self.settings.status_time,
            // One of ours says something to every recipient; when its disk stalls between two, it must
            // not get copies.
            Stage::Status(_) if self.settings.private => self.settings.status_time,
            // Servers say what became of all recipients in one breath. One that is slow is given as
            // long again, within limits, for each of the others.
            Stage::Status(_) => {
                self.dot_at.elapsed().clamp(GRACE, MOST_GRACE).min(self.settings.status_time)
            }
            // The reply comes right behind that to the content, unless the commands were dropped.
            Stage::Mail if exchange.was_announced() && !self.bears_announcing => {
                self.settings.command_time.min(ANNOUNCED_TIME)
            }
            _ => self.settings.command_time,
        }
    }
}

/// The reply that nobody asked for, if it is more than a good-bye.
fn late_reply(more: Lost) -> Option<Reply> {
    match more {
        Lost::Unasked(reply) => Some(reply).filter(|reply| !parts(reply)),
        _ => None,
    }
}

fn parts(reply: &Reply) -> bool {
    matches!(reply.code, 221 | 421)
}

/// The octets of content that is not sent.
const NOTHING: Octets<'_> = Octets::Whole(Cow::Borrowed(&[]));
/// After the reply for one recipient, for that of the next, at least: a store whose disk stalls for a
/// moment is not to get copies for it.
const GRACE: Duration = Duration::from_secs(5);
/// The same at most: a server that gives one reply for all gives no other one.
const MOST_GRACE: Duration = Duration::from_secs(30);
/// A connection that has served nobody for so long is asked whether it is still good, by RSET.
const PROBED_AFTER: Duration = Duration::from_secs(1);
/// For the rest of such replies from a server that closes.
const PARTING_TIME: Duration = Duration::from_secs(1);
/// For the first reply to commands that were sent behind the content of a message.
const ANNOUNCED_TIME: Duration = Duration::from_secs(5);
/// For words that change nothing any more.
const QUIT_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "connection_tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "rendition_tests.rs"]
mod rendition_tests;

#[cfg(test)]
#[path = "beyond_ascii_tests.rs"]
mod beyond_ascii_tests;

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod matrix_tests;

#[cfg(test)]
#[path = "many_tests.rs"]
mod many_tests;

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod chunk_tests;

#[cfg(test)]
#[path = "announced_tests.rs"]
mod announced_tests;
