//! An SMTP session's way into the queue: recipients are routed, content is gathered, and the
//! reply after the data waits until the spool says that the message is safe.
//!
//! How a message is gathered, and who sees it when:
//!
//! ```text
//! open ──> Memory ── large, to be shown as a whole ──> Spilled     header in memory, body in a file
//!            │  └─── large ──────────────────────────> Streamed    a file for each form
//!            └────── small ──────────────────────────> Memory      all of it
//!
//! filter_and_store: filters see Memory or Spilled; what they leave of it begins again as Memory
//!            │      (is_filtered), goes the same three ways, and no filter sees it once more
//!            v
//! complete_forms: scripts see it (seen). Forms of Memory are made now, those of Streamed are there;
//!            │      what scripts want otherwise of a file, and Spilled, begins again as Memory, too
//!            v      (form_again), becomes Streamed, and no script sees it once more
//! store:     all forms go to the spool together
//! ```

mod filtering;
mod sieving;

use std::{fmt::Write, num::NonZeroU64, sync::Arc, time::SystemTime};

use memchr::memrchr;
use relais_channels::{
    authenticity::{Verified, without_own},
    mail::{
        Address, Enhanced, Envelope, Fragments, HeaderGap, HeaderScan, HeaderScanner, MessageId,
        Recipient, Reply, ReversePath, TlsWish, star_received,
    },
    mime::piece_of,
    server::{AuthAnswer, AuthSaid, Dialect, Intake, MailFrom, RcptTo, Verdict, XClient},
    tls::{ClientCertificate, HandshakeFailure, Secured},
};
use relais_config::facts::Facts;
use relais_storage::{Draft, NewContent, StorageError};
use tracing::{info, warn};

use super::{
    authentication::{AuthExchange, Claimant, Identity},
    connection::{Ends, client_text, own_postmaster},
    descriptors::{LargeMessage, TOO_MANY_LARGE},
    filters::Chain,
    origin::{OriginChecks, OriginPolicy, tell},
    presenter::Presenter,
    queue_side::{AuthorPolicy, QueueSide},
    rates::{RateParties, Reached},
    received::Received,
    submission::{Author, check_sender},
    switching::QueueSides,
};
use crate::{
    events::{HandshakeEnded, MessageAccepted, RecipientsRefused},
    forms::{BegunForm, FormedMail, HeaderForms, WaysOfForm, header_octets},
    in_hand,
    router::{
        Access, Admitted, MAX_EXPANSION, PostProof, Poster, Question, Route, Submission, grouped,
        internal_ip, origin_access, too_large_for_all,
    },
    sieve::Seen,
    timestamp::now_ms,
};

/// One connection's transactions, one at a time.
pub struct SmtpIntake {
    sides: Arc<QueueSides>,
    /// The side that the client's address leads to.
    home: Arc<QueueSide>,
    /// The side behind the channel that mail comes in by as things are.
    side: Arc<QueueSide>,
    /// The client, and which of our addresses it connected to.
    ends: Ends,
    /// The right to speak for others.
    pub(super) presenter: Option<Presenter>,
    /// The client's address is one of ours.
    internal: bool,
    /// The user who was let in.
    identity: Option<Identity>,
    exchange: AuthExchange,
    certificate: Option<ClientCertificate>,
    /// The parties whose mail is counted.
    metered: RateParties,
    /// Octets that only this TLS session has.
    binding: Option<[u8; 32]>,
    /// Ways of recipients, lists expanded, that no message was sent to; since the last message.
    abandoned: usize,
    hello: String,
    /// The client as logs and envelopes have it: `name [address]`.
    client_text: Arc<str>,
    /// It said EHLO.
    extended: bool,
    /// The cipher suite of TLS, and its version.
    cipher: Option<&'static str>,
    tls_version: Option<&'static str>,
    /// The mechanism of AUTH that was tried last.
    mechanism: &'static str,
    /// Filters that are shown what comes.
    filters: Chain,
    transaction: Transaction,
}

#[derive(Default)]
struct Transaction {
    from: Option<MailFrom>,
    accepted: Vec<AcceptedRecipient>,
    /// Ways of the accepted recipients, lists expanded.
    ways: usize,
    /// The tightest of their limits for the size of a message.
    size_limit: Option<NonZeroU64>,
    /// The rate that its client exceeds, where such mail is held.
    excess: Option<Reached>,
    /// An access table has it kept for an operator to look at, for this reason.
    held: Option<String>,
    /// `ORIGIN_ACCESS` has it leave by this channel.
    diverted: Option<String>,
    /// `FROM_ACCESS` has it thrown away.
    is_discarded: bool,
    /// Recipients that count for rates already.
    counted: usize,
    /// It is in the queue.
    stored: bool,
    /// The filter that has it thrown away.
    discarded_by: Option<Arc<str>>,
    /// Its content is gathered once more: filters have seen it, its origin is checked, and its header has what
    /// it lacked.
    is_filtered: bool,
    /// Rights to files that it will need.
    rights: Vec<LargeMessage>,
    id: Option<MessageId>,
    gathered: Gathered,
    size: u64,
    /// Octets of our own lines in front of it.
    head: u64,
    /// Octets of the header behind our own lines, and of its blank line, once all of it has come.
    header: Option<usize>,
    /// Checks of its origin.
    origin: OriginChecks,
    /// Results of them that rules and tables know of.
    facts: Facts,
    /// Its channels want addresses of its header otherwise.
    forms: Option<HeaderForms>,
    /// Messages that scripts want remembered; `None`: no script has seen this one.
    seen: Option<Vec<Seen>>,
    /// The beginning of a large message, for scripts.
    beginning: Option<Vec<u8>>,
    /// The header scan, once the message is complete.
    glance: HeaderScan,
}

/// A recipient that got its 250.
struct AcceptedRecipient {
    /// Its address is the route's.
    recipient: Recipient,
    routes: Arc<[Route]>,
}

enum Gathered {
    /// Our own lines, so many octets, and what was received.
    Memory { head: usize, octets: Vec<u8> },
    Streamed {
        drafts: Vec<StreamedForm>,
        glancer: HeaderScanner,
        /// Octets at the beginning of each, for the results of checks.
        kept_free: usize,
        /// The place of the body in the first.
        body_at: u64,
    },
    /// Filters, or scripts, are to see it before it goes on: our own lines, so many octets, and its header;
    /// its body.
    Spilled { head: usize, header: Vec<u8>, body: Draft },
}

/// One form of a message that goes to a file as it comes.
struct StreamedForm {
    sender: Option<Address>,
    draft: Draft,
    right: Option<LargeMessage>,
}

/// One form of a message that is complete.
struct CompleteForm {
    sender: Option<Address>,
    content: NewContent,
    /// A large message has the right to its file until the spool has it.
    right: Option<LargeMessage>,
}

impl Default for Gathered {
    fn default() -> Self {
        Self::Memory { head: 0, octets: Vec::new() }
    }
}

impl SmtpIntake {
    /// For the connection between these.
    pub async fn new(sides: Arc<QueueSides>, ends: Ends) -> Self {
        let home = Arc::clone(sides.of_client(ends.client_ip()).await);
        let side = Arc::clone(&home);
        let internal = vouches_for(&side, &ends);
        let metered = side.rates.of(ends.client_ip(), internal, None);
        let mut intake = Self {
            metered,
            sides,
            home,
            side,
            ends,
            presenter: None,
            internal,
            identity: None,
            exchange: AuthExchange::default(),
            certificate: None,
            binding: None,
            abandoned: 0,
            hello: String::new(),
            client_text: client_text("", ends.client_ip()),
            extended: false,
            cipher: None,
            tls_version: None,
            mechanism: "",
            filters: Chain::default(),
            transaction: Transaction::default(),
        };
        intake.enter_filters();
        intake
    }

    fn may_relay(&self) -> bool {
        self.internal || self.identity.is_some()
    }

    /// The checks of origin that nobody vouches away.
    fn origin_policy(&self) -> Option<&OriginPolicy> {
        let policy = self.side.origin.as_ref().filter(|policy| policy.verify.is_on());
        policy.filter(|_| !self.may_relay() && !self.transaction.is_filtered)
    }

    /// SPF of a sender; the refusal where it fails and the channel refuses.
    async fn ask_spf(&mut self, from: &MailFrom) -> Result<(), Reply> {
        let Some(policy) = self.side.origin.as_ref().filter(|_| !self.may_relay()) else {
            return Ok(());
        };
        let names = (self.hello.as_str(), from.path.as_str());
        self.transaction.origin = policy.ask_spf(&self.ends, names).await?;
        self.transaction.facts = self.transaction.origin.facts();
        Ok(())
    }

    /// Begins to check the origin of a message behind `head` octets of our own lines, and takes off
    /// results that claim to be ours. Whether it is checked.
    fn begin_origin(&mut self, head: usize, octets: &mut Vec<u8>) -> bool {
        let header = self.transaction.header;
        let end = header.map_or(octets.len(), |its| head + its);
        let policy = self.origin_policy().cloned();
        if let Some(policy) = &policy {
            policy.begin(&mut self.transaction.origin, octets, (head, end));
        }
        // Filters have written theirs under our name.
        let may_have_own = self.side.keeps_results || self.transaction.is_filtered;
        let left =
            if may_have_own { None } else { without_own(&octets[head..end], &self.side.host) };
        if let Some(left) = left {
            self.transaction.header = header.map(|_| left.len());
            octets.splice(head..end, left);
        }
        policy.is_some()
    }

    /// The results of the checks of origin, told and judged.
    async fn finish_origin(&mut self, policy: &OriginPolicy) -> Result<Verified, Reply> {
        let checks = std::mem::take(&mut self.transaction.origin);
        let sender = self.transaction.from.as_ref().map_or("", |from| from.path.as_str());
        let verified = policy.finish(checks, sender).await;
        tell(self.transaction.id, &self.client_text, &verified);
        let routes = self.side.router.cache.routes();
        let ruling = origin_access(&routes, &self.side.source_channel, &verified);
        if let Some(reply) = ruling.as_ref().and_then(|its| its.access.reply()) {
            return Err(reply);
        }
        let accepts = ruling.as_ref().is_some_and(|its| its.access == Access::Accept);
        let wanted = if accepts { None } else { policy.judge(&verified)? };
        let (held, diverted) = ruling.map_or((None, None), |its| (its.held, its.diverted));
        self.transaction.held = self.transaction.held.take().or(held);
        match diverted {
            Some(channel) => self.divert(channel),
            // In another channel it is as far away from readers as that policy wants it.
            None => self.transaction.held = self.transaction.held.take().or(wanted),
        }
        Ok(verified)
    }

    /// Has the message leave by a channel, whoever its recipients are.
    fn divert(&mut self, channel: String) {
        let routes = self.side.router.cache.routes();
        for AcceptedRecipient { recipient, routes: ways } in &mut self.transaction.accepted {
            let address = Address::parse(&recipient.original).ok();
            if let Some(way) = address.and_then(|its| routes.diverting(&channel, &its)) {
                *ways = way;
            } else {
                let reason = format!("ORIGIN_ACCESS moves it to {channel:?}, no such channel");
                self.transaction.held.get_or_insert(reason);
            }
        }
        self.transaction.diverted = Some(channel);
    }

    /// Checks the origin of a message that is complete, and puts the results in front of `head` octets
    /// of our own lines, which are more then.
    async fn check_origin(&mut self, head: &mut usize, octets: &mut Vec<u8>) -> Result<(), Reply> {
        if !self.begin_origin(*head, octets) {
            return Ok(());
        }
        let Some(policy) = self.origin_policy().cloned() else { return Ok(()) };
        let verified = self.finish_origin(&policy).await?;
        self.form_anew();
        let field = policy.field(&verified);
        *head += field.len();
        self.transaction.head += field.len() as u64;
        octets.splice(0..0, field);
        Ok(())
    }

    /// Ways that have become others may want another form.
    fn form_anew(&mut self) {
        if self.transaction.diverted.is_some() {
            self.transaction.forms = self.forms_of_ways();
        }
    }

    /// Ends a header that lacks its blank line: stores of ours refuse such a message (seed 16.6), and
    /// readers part it as each likes.
    fn close_header(&mut self, head: usize, octets: &mut Vec<u8>) {
        let mut is_mended = false;
        while let Some(HeaderGap { at, octets: missing }) = HeaderGap::of(&octets[head..]) {
            octets.splice(head + at..head + at, missing.iter().copied());
            let put = String::from_utf8_lossy(missing);
            let put = if put.trim_ascii().is_empty() { "a blank line" } else { &put };
            let client = &self.client_text;
            info!(%client, at, put, "a line of the header is none: that was put before it");
            is_mended = true;
        }
        if is_mended {
            self.transaction.header = header_octets(&octets[head..], 0);
        }
    }

    /// Adds what the message of a user lacks behind our own lines, `head` octets; refuses it in the
    /// name of somebody else.
    fn complete_header(&mut self, head: usize, octets: &mut Vec<u8>) -> Result<(), Reply> {
        let Some(AuthorPolicy { sender_must_match }) = self.side.submission else { return Ok(()) };
        if self.transaction.is_filtered {
            return Ok(());
        }
        let author = Author::of(&octets[head..]);
        if let Some(identity) = self.identity.as_ref().filter(|_| sender_must_match) {
            author.check(identity)?;
        }
        let id = self.transaction.id.unwrap_or_else(|| self.side.ids.next());
        let sender = self.transaction.from.as_ref().map_or("", |from| from.path.as_str());
        let named = if sender.is_empty() { self.user() } else { sender };
        let missing = author.missing(id, &self.side.host, named, SystemTime::now());
        self.transaction.header = self.transaction.header.map(|octets| octets + missing.len());
        octets.splice(head..head, missing);
        Ok(())
    }

    /// The message is too large to be kept in memory: what came of it so far goes to a file.
    async fn begin_blob(&mut self) -> Result<(), Reply> {
        if self.shows_content() || self.changes_before_scripts().await {
            return self.spill().await;
        }
        let gathered = std::mem::take(&mut self.transaction.gathered);
        let Gathered::Memory { mut head, octets: mut before } = gathered else { return Ok(()) };
        let received = before.len();
        let mut kept_free = 0;
        if self.begin_origin(head, &mut before)
            && let Some(policy) = self.origin_policy()
        {
            // The results are not known yet.
            kept_free = policy.room();
            before.splice(0..0, vec![b' '; kept_free]);
            head += kept_free;
            self.transaction.head += kept_free as u64;
        }
        self.close_header(head, &mut before);
        self.complete_header(head, &mut before)?;
        self.transaction.size = self.transaction.size + before.len() as u64 - received as u64;
        let mut glancer = HeaderScanner::default();
        glancer.feed(&before[head..], &self.side.host);
        if self.shows_scripts().await {
            self.transaction.beginning = Some(before[kept_free..].to_vec());
        }
        let mut drafts = Vec::new();
        let of_body = self.transaction.header.map_or(0, |its| before.len() - head - its);
        let forms = self.begin_forms(head, before).await?;
        let body_at =
            forms.first().map_or(0, |form| form.octets.len().saturating_sub(of_body)) as u64;
        // Scripts may want it in other forms, which are made of this one.
        self.hold_rights(forms.len() + usize::from(self.shows_scripts().await)).await?;
        for BegunForm { sender, octets } in forms {
            let right = self.transaction.rights.pop();
            let mut draft = self.side.storage.draft();
            draft.write(&octets).await.map_err(|error| refusal(&error))?;
            drafts.push(StreamedForm { sender, draft, right });
        }
        self.transaction.gathered = Gathered::Streamed { drafts, glancer, kept_free, body_at };
        Ok(())
    }

    /// Holds the rights to so many files. If those in hand are too few they are given back first: messages
    /// that waited with some in hand would wait for each other.
    async fn hold_rights(&mut self, files: usize) -> Result<(), Reply> {
        if self.transaction.rights.len() < files {
            self.transaction.rights.clear();
            let rights = self.side.large_messages.begin_together(files).await;
            self.transaction.rights = rights.ok_or(TOO_MANY_LARGE)?;
        }
        Ok(())
    }

    /// The forms of what has come so far, with all of its header, behind `head` octets of our own.
    async fn begin_forms(
        &mut self,
        head: usize,
        mut octets: Vec<u8>,
    ) -> Result<Vec<BegunForm>, Reply> {
        // Without a blank line all of it is header.
        let header = head..self.transaction.header.map_or(octets.len(), |its| head + its);
        let smtputf8 = self.transaction.from.as_ref().is_some_and(|from| from.smtputf8);
        if self.side.asterisks && !smtputf8 {
            star_received(&mut octets[header.clone()]);
        }
        let sender = self.transaction.from.as_ref().and_then(|from| from.path.0.as_ref());
        match &mut self.transaction.forms {
            None => Ok(vec![BegunForm { sender: None, octets }]),
            Some(forms) => {
                let (head, message) = octets.split_at(head);
                forms.begin(head, (message, header.len()), sender).await
            }
        }
    }

    /// Puts into a message that is held in memory what it lacks; `head`: octets of ours in front of it.
    async fn complete_in_memory(
        &mut self,
        head: &mut usize,
        octets: &mut Vec<u8>,
    ) -> Result<(), Reply> {
        self.check_origin(head, octets).await?;
        self.close_header(*head, octets);
        self.complete_header(*head, octets)?;
        self.transaction.size = octets.len() as u64;
        Ok(())
    }

    /// The forms of a message that is complete.
    async fn complete_forms(&mut self) -> Result<Vec<CompleteForm>, Reply> {
        match std::mem::take(&mut self.transaction.gathered) {
            Gathered::Memory { mut head, mut octets } => {
                self.complete_in_memory(&mut head, &mut octets).await?;
                self.transaction.glance = HeaderScan::at(&octets[head..], &self.side.host);
                if self.shows_scripts().await {
                    self.sieve(&octets).await?;
                    self.bound_edits(false);
                    self.transaction.forms = self.forms_of_ways();
                }
                let mut begun = self.begin_forms(head, octets).await?;
                if let Some(forms) = &mut self.transaction.forms {
                    for (form, rest) in begun.iter_mut().zip(forms.finish().await?) {
                        form.octets.extend_from_slice(&rest);
                    }
                }
                let complete = |BegunForm { sender, mut octets }: BegunForm| {
                    // The spool keeps them until they are delivered, whatever size was announced.
                    if octets.capacity() / 2 > octets.len() {
                        octets.shrink_to_fit();
                    }
                    let content = NewContent::Whole(octets.into());
                    CompleteForm { sender, content, right: None }
                };
                Ok(begun.into_iter().map(complete).collect())
            }
            Gathered::Streamed { mut drafts, glancer, kept_free, body_at } => {
                self.transaction.glance = glancer.finish(&self.side.host);
                if let Some(mut beginning) = self.transaction.beginning.take() {
                    self.sieve(&beginning).await?;
                    if self.wants_other_forms() && !drafts.is_empty() {
                        let head = self.transaction.head as usize - kept_free;
                        let header =
                            self.transaction.header.map_or(beginning.len(), |its| head + its);
                        beginning.truncate(header);
                        let StreamedForm { draft, right, .. } = drafts.swap_remove(0);
                        let others = drafts.into_iter().filter_map(|its| its.right);
                        self.transaction.rights.extend(others.chain(right));
                        let body = (draft, body_at);
                        return Box::pin(self.form_again(head, beginning, body)).await;
                    }
                }
                if let Some(forms) = &mut self.transaction.forms {
                    let rest = forms.finish().await?;
                    write_all(&mut drafts, &rest).await?;
                }
                if let Some(policy) = self.side.origin.clone().filter(|_| kept_free > 0) {
                    let field = policy.padded_field(&self.finish_origin(&policy).await?);
                    for form in &mut drafts {
                        let written = form.draft.overwrite(0, field.clone()).await;
                        written.map_err(|error| refusal(&error))?;
                    }
                }
                let complete = |StreamedForm { sender, draft, right }| CompleteForm {
                    sender,
                    content: NewContent::Blob(draft),
                    right,
                };
                Ok(drafts.into_iter().map(complete).collect())
            }
            Gathered::Spilled { head, header, mut body } => {
                let seen = body.read(0, self.side.sieve.body_octets()).await;
                let seen = seen.map_err(|error| refusal(&error))?;
                self.sieve(&[&header[..], &seen].concat()).await?;
                Box::pin(self.form_again(head, header, (body, 0))).await
            }
        }
    }

    fn let_in(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.settle();
    }

    /// Goes on in the channel that address, TLS and login lead to now.
    fn settle(&mut self) {
        let (is_secured, is_known) = (self.cipher.is_some(), self.identity.is_some());
        self.side = Arc::clone(self.sides.after(&self.home, is_secured, is_known));
        self.metered = self.parties();
        self.enter_filters();
    }

    fn parties(&self) -> RateParties {
        let user = self.identity.as_ref().map(|identity| &*identity.user);
        self.side.rates.of(self.ends.client_ip(), self.internal, user)
    }

    /// The envelope of one form, for these ways of the recipients; for all of them where there is one.
    fn envelope(
        &self,
        id: MessageId,
        ways: Option<&WaysOfForm>,
        sender: Option<&Address>,
    ) -> Envelope {
        let transaction = &self.transaction;
        let from = transaction.from.as_ref();
        let own = from.map_or("", |from| from.path.as_str());
        let all = transaction.accepted.iter();
        let (channels, source) = (&self.side.channels, &*self.side.source_channel);
        let entries = match ways {
            None => grouped(channels, source, all.map(|to| (&to.recipient, &to.routes[..]))),
            Some(ways) => {
                let of = |n: usize| transaction.accepted.get(n).map(|to| &to.recipient);
                let ways = ways.iter().filter_map(|(n, ways)| Some((of(*n)?, &ways[..])));
                grouped(channels, source, ways)
            }
        };
        Envelope {
            id,
            received: now_ms(),
            sender: sender.map_or(own, Address::as_str).to_owned(),
            source_channel: Arc::clone(&self.side.source_channel),
            client: Arc::clone(&self.client_text),
            eight_bit: from.is_some_and(|from| from.eight_bit),
            smtputf8: from.is_some_and(|from| from.smtputf8),
            priority: transaction.glance.priority.unwrap_or_default(),
            held: self.hold_reason(),
            rerouted: None,
            tls: match from {
                // REQUIRETLS stands above the field (RFC 8689 section 4.1).
                Some(MailFrom { requires_tls: true, .. }) => TlsWish::Required,
                _ if transaction.glance.tls_not_required => TlsWish::NotRequired,
                _ => TlsWish::Usual,
            },
            fragments: self.fragments(),
            login: self.identity.as_ref().map(|identity| Arc::clone(&identity.user)),
            envelope_id: from.and_then(|from| from.envelope_id.clone()),
            returned: from.and_then(|from| from.returned),
            size: transaction.size,
            entries,
        }
    }

    /// The part that the message has in another one, where any channel wants to know.
    fn fragments(&self) -> Option<Arc<Fragments>> {
        let content_type = self.transaction.glance.partial.as_deref()?;
        let piece = piece_of(content_type).filter(|_| self.side.channels.gathers())?;
        Some(Arc::new(Fragments::Piece { piece, waits: Vec::new() }))
    }

    /// Mail that goes in circles, or to too many at once, is kept for an operator to look at.
    fn hold_reason(&self) -> Option<String> {
        let HeaderScan { received, received_here, .. } = self.transaction.glance;
        if let Some(reason) = &self.transaction.held {
            return Some(reason.clone());
        }
        let limits = &self.side.hold;
        let recipients = self.transaction.ways;
        if received > limits.received_lines {
            Some(format!("it goes in circles: {received} Received lines"))
        } else if received_here > limits.received_here_lines {
            Some(format!("it goes in circles: {received_here} Received lines of this host"))
        } else if limits.recipients.is_some_and(|limit| recipients > limit) {
            Some(format!("{recipients} recipients, more than the channel's holdlimit"))
        } else {
            self.transaction.excess.map(Reached::reason)
        }
    }

    /// More mail than one may send: it is refused, or held.
    fn exceed(&mut self, reached: Reached) -> Result<(), Reply> {
        if self.side.rates.refuses() {
            return Err(reached.reply());
        }
        self.transaction.excess.get_or_insert(reached);
        Ok(())
    }

    /// Has ways fail for which the message is too large. When it is for all of them it is refused;
    /// so it is where nobody would tell the sender.
    fn turn_back_the_too_large(&mut self) -> Result<(), Reply> {
        let size = self.transaction.size.saturating_sub(self.transaction.head);
        let accepted = &mut self.transaction.accepted;
        let ways = || accepted.iter().flat_map(|to| to.routes.iter());
        let Some(reply) = ways().find_map(|way| way.too_large(size)) else { return Ok(()) };
        let routes = self.side.router.cache.routes();
        if ways().all(|way| way.too_large(size).is_some()) || !routes.tells_failures() {
            return Err(reply);
        }
        for AcceptedRecipient { recipient, routes: ways } in accepted {
            if let Some(left) = routes.without_too_large(ways, &recipient.original, size) {
                *ways = left;
            }
        }
        Ok(())
    }

    /// The sender that an address of ours stands for, which forwarded mail left with.
    fn restored(&self, to: &Address) -> Result<Option<Address>, Reply> {
        let Some(srs) = &self.side.srs else { return Ok(None) };
        let Some(sender) = srs.unwrapped(to.as_str(), SystemTime::now()) else { return Ok(None) };
        let refusal = |why: String| Reply::with_text(550, Enhanced(5, 1, 1), why);
        let sender = sender.map_err(|fault| refusal(fault.to_string()))?;
        Address::parse(&sender).map(Some).map_err(|error| refusal(error.to_string()))
    }

    fn refuse(&self, to: &RcptTo, reply: &Reply) {
        self.tell_refused_of(self.transaction.from.as_ref(), &[&to.as_given], 0, reply);
    }

    /// Whether an operator's order returns all mail to this recipient.
    fn ask_orders(&self, to: &RcptTo, routes: &[Route]) -> Result<(), Reply> {
        let standing = &self.side.standing;
        if standing.is_empty() {
            return Ok(());
        }
        let sender = self.transaction.from.as_ref().map_or("", |from| from.path.as_str());
        let recipient = Recipient::new("", to.address.as_str());
        let ways = routes.iter().map(|way| (&*way.channel, &*way.host));
        let refusal = standing.refusal(sender, &recipient, ways);
        refusal.map_or(Ok(()), |reply| {
            self.refuse(to, &reply);
            Err(reply)
        })
    }

    async fn store(&mut self) -> Result<Reply, Reply> {
        let forms = self.complete_forms().await.inspect_err(|reply| {
            self.tell_refused(self.transaction.from.as_ref(), self.transaction.size, reply);
        })?;
        if self.transaction.size_limit.is_some_and(|limit| self.transaction.size > limit.get())
            && let Err(reply) = self.turn_back_the_too_large()
        {
            self.tell_refused(self.transaction.from.as_ref(), self.transaction.size, &reply);
            return Err(reply);
        }
        let first = self.transaction.id.unwrap_or_else(|| self.side.ids.next());
        let reply = Reply::with_text(250, Enhanced(2, 0, 0), queued_as(first));
        let accepted = self.transaction.accepted.iter().map(|to| &to.routes[..]);
        let several = self.transaction.forms.as_ref().filter(|forms| forms.count() > 1);
        let divided = several.map(|forms| forms.divided(accepted));
        let (mut messages, mut rights) = (Vec::new(), Vec::new());
        for (n, CompleteForm { sender, content, right }) in forms.into_iter().enumerate() {
            let id = if messages.is_empty() { first } else { self.side.ids.next() };
            let ways = divided.as_ref().and_then(|forms| forms.get(n));
            let mut envelope = self.envelope(id, ways, sender.as_ref());
            self.side.channels.gather(&mut envelope, now_ms());
            envelope.held = envelope.held.take().or_else(|| self.side.standing.receive(&envelope));
            // All who were to get this form were turned back.
            if envelope.entries.is_empty() && divided.is_some() {
                continue;
            }
            messages.push((Arc::new(envelope), content));
            rights.push(right);
        }
        let mut is_first = true;
        for group in groups(messages) {
            let stored = self.side.storage.append_all(group).await.map_err(|error| {
                if !is_first {
                    warn!(id = %first, "a part of the message is queued, and the client sends it again");
                }
                self.refuse_message(&error)
            })?;
            for (envelope, _) in stored {
                let (envelope, reply) = (&envelope, &reply);
                let message_id = self.transaction.glance.message_id.as_deref().unwrap_or_default();
                MessageAccepted { envelope, reply, user: self.user(), message_id }
                    .emit(&self.side.metrics);
            }
            is_first = false;
        }
        drop(rights);
        self.side.sieve.remember(self.transaction.seen.as_deref().unwrap_or_default());
        self.transaction.stored = true;
        self.abandoned = 0;
        Ok(reply)
    }

    /// The reply when the spool cannot take the message.
    fn refuse_message(&self, error: &StorageError) -> Reply {
        let reply = refusal(error);
        self.tell_refused(self.transaction.from.as_ref(), self.transaction.size, &reply);
        reply
    }

    fn tell_refused(&self, from: Option<&MailFrom>, size: u64, reply: &Reply) {
        let accepted = self.transaction.accepted.iter();
        let recipients: Vec<_> = accepted.map(|to| &*to.recipient.original).collect();
        self.tell_refused_of(from, &recipients, size, reply);
    }

    fn tell_refused_of(
        &self,
        from: Option<&MailFrom>,
        recipients: &[&str],
        size: u64,
        reply: &Reply,
    ) {
        self.refused_record(from, recipients, size, reply).emit(&self.side.metrics);
    }

    fn refused_record<'a>(
        &'a self,
        from: Option<&'a MailFrom>,
        recipients: &'a [&'a str],
        size: u64,
        reply: &'a Reply,
    ) -> RecipientsRefused<'a> {
        RecipientsRefused {
            client: &self.client_text,
            source_channel: &self.side.source_channel,
            sender: from.map_or("", |from| from.path.as_str()),
            recipients,
            size,
            reply,
            user: self.user(),
            filter: "",
        }
    }

    /// The forms that the ways of its recipients ask for.
    fn forms_of_ways(&self) -> Option<HeaderForms> {
        let ways = self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        HeaderForms::of(self.formed_mail(), ways)
    }

    fn formed_mail(&self) -> FormedMail<'_> {
        FormedMail {
            router: &self.side.router,
            source_channel: &self.side.source_channel,
            default_host: self.side.default_host.of(&self.hello),
            lies_in: None,
        }
    }

    /// How the mail comes in, as access tables see it.
    fn submission(&self) -> Submission<'_> {
        Submission {
            ends: self.ends.tcp(),
            hello: &self.hello,
            authenticated: self.user(),
            facts: self.transaction.facts,
        }
    }

    fn user(&self) -> &str {
        self.identity.as_ref().map_or("", |identity| &identity.user)
    }

    /// Whether this sender is the user, where that is asked for.
    fn ask_author(&self, from: &MailFrom) -> Result<(), Reply> {
        match (self.side.submission, &self.identity) {
            (Some(AuthorPolicy { sender_must_match: true }), Some(identity)) => {
                check_sender(from.path.as_str(), identity)
            }
            _ => Ok(()),
        }
    }

    /// `FROM_ACCESS`: whether this sender may send.
    async fn ask_from_access(&mut self, from: &MailFrom) -> Result<(), Reply> {
        let asked = (&*self.side.source_channel, from.path.as_str());
        let ruling = self.side.router.from_access(asked, self.submission(), false).await?;
        let Some(ruling) = ruling else { return Ok(()) };
        self.transaction.held = ruling.held;
        self.transaction.is_discarded = ruling.is_discarded;
        ruling.access.reply().map_or(Ok(()), Err)
    }

    /// Completes the sender, asks whether it may send, and rewrites it.
    async fn admit_sender(&mut self, from: &mut MailFrom) -> Result<(), Reply> {
        if let Some(completed) = self.completed_sender(from)? {
            from.path = completed;
        }
        self.ask_author(from)?;
        (self.transaction.origin, self.transaction.facts) = Default::default();
        self.ask_spf(from).await?;
        self.ask_from_access(from).await?;
        let Some(sender) = &from.path.0 else { return Ok(()) };
        let (router, facts) = (&self.side.router, self.transaction.facts);
        if let Some(address) = router.sender(sender, &self.side.source_channel, facts).await? {
            from.path = ReversePath(Some(address));
        }
        Ok(())
    }

    /// A sender without a domain is one of ours when the client is. Nothing: it has one, or is the
    /// null sender.
    fn completed_sender(&self, from: &MailFrom) -> Result<Option<ReversePath>, Reply> {
        let address = match &from.path.0 {
            Some(address) if address.domain().is_none() => address,
            _ => return Ok(None),
        };
        let domain = if self.may_relay() {
            Some(Arc::clone(&self.side.default_domain))
        } else {
            self.side.default_host.of(&self.hello).filter(|_| self.side.default_host.remote)
        };
        match domain.and_then(|domain| address.completed(&domain)) {
            Some(address) => Ok(Some(ReversePath(Some(address)))),
            None => Err(UNQUALIFIED_SENDER),
        }
    }
}

impl Intake for SmtpIntake {
    fn channel(&self) -> Option<&str> {
        Some(&self.side.source_channel)
    }

    fn hello(&mut self, name: &str, extended: bool) {
        name.clone_into(&mut self.hello);
        self.client_text = client_text(name, self.ends.client_ip());
        self.extended = extended;
        self.filters.hello(name);
    }

    async fn greet(&mut self) -> Result<(), Reply> {
        self.ask_about_client().await
    }

    fn handshake(&mut self, outcome: &Result<Secured, HandshakeFailure>) {
        let (service, client) = (&*self.side.service, self.ends.client_ip());
        HandshakeEnded { service, client, outcome }.emit(&self.side.metrics);
        self.hello.clear();
        self.client_text = client_text("", self.ends.client_ip());
        let secured = outcome.as_ref().ok();
        self.cipher = secured.map(|secured| secured.cipher);
        self.tls_version = secured.map(|secured| secured.version);
        self.binding = secured.and_then(|secured| secured.binding);
        self.identity = None;
        self.certificate = secured.and_then(|secured| secured.certificate.clone());
        self.settle();
    }

    async fn authenticate(&mut self, said: AuthSaid) -> AuthAnswer {
        if let AuthSaid::Begin(mechanism, _) = &said {
            self.mechanism = mechanism.name();
        }
        let side = Arc::clone(&self.side);
        let claimant = Claimant {
            authenticator: &side.authenticator,
            service: &side.service,
            client: self.ends.client_ip(),
            client_text: &self.client_text,
            certificate: self.certificate.as_ref(),
            binding: self.binding,
            metrics: &side.metrics,
        };
        let (answer, identity) = self.exchange.go_on(said, &claimant).await;
        if let Some(identity) = identity {
            self.let_in(identity);
        }
        answer
    }

    fn takes_xclient(&self) -> bool {
        self.presenter.is_some()
    }

    async fn present(&mut self, other: &XClient) -> Result<(), Reply> {
        let Some(presenter) = &mut self.presenter else { return Ok(()) };
        self.ends = presenter.present(other).await?;
        self.home = Arc::clone(self.sides.of_client(self.ends.client_ip()).await);
        self.internal = vouches_for(&self.home, &self.ends);
        // The proxy's own do not speak for the client.
        self.exchange.forget();
        (self.identity, self.certificate, self.binding) = (None, None, None);
        self.settle();
        if !self.filters.is_empty() {
            self.begin_filters();
        }
        self.hello(other.hello.as_deref().unwrap_or_default(), other.extended.unwrap_or_default());
        self.ask_about_client().await
    }

    async fn sender(&mut self, mut from: MailFrom) -> Result<(), Reply> {
        if let Err(reply) = self.admit_sender(&mut from).await {
            self.tell_refused(Some(&from), 0, &reply);
            return Err(reply);
        }
        self.transaction.from = Some(from);
        if let Some(reached) = self.side.rates.reached(&self.metered, 0) {
            let refused = self.exceed(reached);
            refused.inspect_err(|reply| {
                self.tell_refused(self.transaction.from.as_ref(), 0, reply);
            })?;
        }
        self.ask_about_sender().await?;
        // A message that will be refused need not be sent first.
        self.side.storage.room().map_err(|error| self.refuse_message(&error))
    }

    async fn recipient(&mut self, to: &RcptTo) -> Result<(), Reply> {
        if self.abandoned > MAX_EXPANSION {
            self.refuse(to, &NO_MESSAGE);
            return Err(NO_MESSAGE);
        }
        let so_far = self.transaction.accepted.len();
        if let Some(reached) = self.side.rates.reached(&self.metered, so_far) {
            self.exceed(reached).inspect_err(|reply| self.refuse(to, reply))?;
        }
        let restored = self.restored(&to.address).inspect_err(|reply| self.refuse(to, reply))?;
        let sender = self.transaction.from.as_ref().map_or("", |from| from.path.as_str());
        let own_postmaster = own_postmaster(&to.address, self.ends.local_ip());
        let question = Question {
            address: restored.as_ref().or(own_postmaster.as_ref()).unwrap_or(&to.address),
            sender,
            source_channel: &self.side.source_channel,
            may_relay: self.may_relay() || restored.is_some(),
            header: false,
            released: false,
            submission: Some(self.submission()),
            poster: Poster::Client,
            earlier: None,
            proof: PostProof::default(),
        };
        match self.side.router.admit(&question).await {
            // The router takes none that no transaction could take.
            Ok(admitted) if self.transaction.ways + admitted.routes.len() > MAX_EXPANSION => {
                self.refuse(to, &TOO_MANY);
                Err(TOO_MANY)
            }
            Ok(Admitted { routes, held }) => {
                let announced = self.transaction.from.as_ref().and_then(|from| from.size);
                if let Some(reply) = announced.and_then(|size| too_large_for_all(&routes, size)) {
                    self.refuse(to, &reply);
                    return Err(reply);
                }
                self.ask_about_recipient(to, &routes).await?;
                let discarding = || self.side.router.cache.routes().discarding(&to.address);
                let is_discarded = self.transaction.is_discarded;
                let routes = is_discarded.then(discarding).flatten().unwrap_or(routes);
                self.ask_orders(to, &routes)?;
                self.transaction.held = self.transaction.held.take().or(held);
                self.transaction.ways += routes.len();
                let limits = routes.iter().filter_map(|way| way.size_limit);
                self.transaction.size_limit = limits.chain(self.transaction.size_limit).min();
                let recipient = Recipient {
                    notify: to.notify,
                    original_recipient: to.original_recipient.clone(),
                    ..Recipient::new("", restored.as_ref().unwrap_or(&to.address).as_str())
                };
                let QueueSide { recent, source_channel, .. } = &*self.side;
                recent.note(&recipient.original, source_channel, self.may_relay());
                self.transaction.accepted.push(AcceptedRecipient { recipient, routes });
                Ok(())
            }
            Err(reply) => {
                self.refuse(to, &reply);
                self.tell_of_rejected(to, &reply).await;
                Err(reply)
            }
        }
    }

    fn vouches(&self) -> bool {
        self.may_relay()
    }

    async fn open(&mut self) -> Result<(), Reply> {
        let recipients = self.transaction.accepted.len();
        if let Some(reached) = self.side.rates.take(&self.metered, recipients) {
            self.exceed(reached)
                .inspect_err(|reply| self.tell_refused(self.transaction.from.as_ref(), 0, reply))?;
        }
        self.transaction.counted = recipients;
        self.ask_about_data().await?;
        self.transaction.forms = self.forms_of_ways();
        let id = self.transaction.id.unwrap_or_else(|| self.side.ids.next());
        in_hand::hold(Some(id));
        let announced = self.transaction.from.as_ref().and_then(|from| from.size).unwrap_or(0);
        // Room for what is announced, but no more than is ever held in memory.
        let room = announced.clamp(SMALL_MESSAGE, self.side.large_message);
        let mut octets = Vec::with_capacity(room as usize + HEADER_ROOM);
        let only_recipient = match self.transaction.accepted.as_slice() {
            [only] => Some(&*only.recipient.original),
            _ => None,
        };
        let word =
            Dialect::Smtp.word(self.extended, self.cipher.is_some(), self.identity.is_some());
        let smtputf8 = self.transaction.from.as_ref().is_some_and(|from| from.smtputf8);
        let smtputf8 = smtputf8.then(|| Dialect::word_with_smtputf8(word));
        let received = Received {
            hello: &self.hello,
            client: self.ends.client_ip(),
            host: &self.side.host,
            protocol: smtputf8.as_deref().unwrap_or(word),
            cipher: self.cipher,
            id,
            only_recipient,
        };
        received.write(SystemTime::now(), &mut octets);
        self.transaction.id = Some(id);
        self.transaction.size = octets.len() as u64;
        self.transaction.head = self.transaction.size;
        self.transaction.gathered = Gathered::Memory { head: octets.len(), octets };
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Reply> {
        let transaction = &mut self.transaction;
        transaction.size += octets.len() as u64;
        if let Gathered::Memory { head, octets: before } = &mut transaction.gathered {
            // A header is looked at as a whole. Its size has a limit of its own.
            let is_large = transaction.size > self.side.large_message;
            let lacks_header =
                transaction.header.is_none() && !(is_large && lacks_its_end(&before[*head..]));
            if !is_large || lacks_header {
                let seen = before.len();
                before.extend_from_slice(octets);
                if lacks_header {
                    let from = seen.saturating_sub(*head);
                    transaction.header = header_octets(&before[*head..], from);
                }
                return Ok(());
            }
            self.begin_blob().await?;
        }
        if let Gathered::Spilled { body, .. } = &mut self.transaction.gathered {
            self.transaction.origin.feed(octets);
            return body.write(octets).await.map_err(|error| refusal(&error));
        }
        let Gathered::Streamed { drafts, glancer, .. } = &mut self.transaction.gathered else {
            return Ok(());
        };
        glancer.feed(octets, &self.side.host);
        self.transaction.origin.feed(octets);
        let forms = self.transaction.forms.as_mut();
        if let Some(forms) = forms.filter(|forms| forms.looks_within()) {
            let all = forms.go_on(octets).await?;
            return write_all(drafts, &all).await;
        }
        for form in drafts {
            form.draft.write(octets).await.map_err(|error| refusal(&error))?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Verdict {
        let (Ok(reply) | Err(reply)) = self.filter_and_store().await;
        Verdict::Whole(reply)
    }

    fn sender_refused(&mut self, from: &MailFrom, reply: &Reply) {
        // The octets that were announced have not been received.
        self.tell_refused(Some(from), 0, reply);
    }

    fn refused(&mut self, reply: &Reply, octets: u64) -> Verdict {
        self.tell_refused(self.transaction.from.as_ref(), octets, reply);
        Verdict::Whole(reply.clone())
    }

    fn reset(&mut self) {
        in_hand::hold(None);
        self.filters.abort();
        let given_up = std::mem::take(&mut self.transaction);
        if !given_up.stored {
            self.side.rates.give_back(&self.metered, given_up.counted);
            self.abandoned = self.abandoned.saturating_add(given_up.ways);
        }
    }
}

/// Whether the header of a message, as far as its lines are complete, has a line that is none.
fn lacks_its_end(message: &[u8]) -> bool {
    let lines = memrchr(b'\n', message).map_or(0, |at| at + 1);
    HeaderGap::of(&message[..lines]).is_some()
}

/// Writes the octets of each form to its file.
async fn write_all(drafts: &mut [StreamedForm], octets: &[Vec<u8>]) -> Result<(), Reply> {
    for (form, octets) in drafts.iter_mut().zip(octets) {
        form.draft.write(octets).await.map_err(|error| refusal(&error))?;
    }
    Ok(())
}

/// Forms of a message that are stored together, all or none: all of them, unless lists want more than the
/// spool takes at once.
fn groups(messages: Vec<(Arc<Envelope>, NewContent)>) -> Vec<Vec<(Arc<Envelope>, NewContent)>> {
    let (mut groups, mut octets) = (vec![Vec::new()], 0);
    for (envelope, content) in messages {
        let its = if let NewContent::Whole(its) = &content { its.len() } else { 0 };
        octets += its;
        if octets > MOST_TOGETHER && octets > its {
            groups.push(Vec::new());
            octets = its;
        }
        if let Some(group) = groups.last_mut() {
            group.push((envelope, content));
        }
    }
    groups
}

/// Whether a client is one of ours; who comes by a UNIX socket is.
fn vouches_for(side: &QueueSide, ends: &Ends) -> bool {
    let client = ends.client_ip();
    client.is_none_or(|client| internal_ip(&side.router.cache.routes(), client))
}

fn queued_as(id: MessageId) -> String {
    let mut text = String::with_capacity(REPLY_ROOM);
    // Writing to a string cannot fail.
    let _ = write!(text, "queued as {id}");
    text
}

/// The reply when the spool cannot take a message.
fn refusal(error: &StorageError) -> Reply {
    match error {
        StorageError::DiskFull { .. } | StorageError::NoInodes => {
            Reply::new(452, Enhanced(4, 3, 1), "no room on disk, try again later")
        }
        StorageError::Busy { .. } => {
            Reply::new(452, Enhanced(4, 3, 1), "too much mail at once, try again later")
        }
        // Once more would be no better.
        StorageError::Envelope(limit) => {
            Reply::with_text(554, Enhanced(5, 3, 4), format!("not stored: {limit}"))
        }
        _ => Reply::new(451, Enhanced(4, 3, 0), "the message could not be stored, try again later"),
    }
}

/// Together with those before it; the rest is for another transaction.
const TOO_MANY: Reply =
    Reply::new(452, Enhanced(4, 5, 3), "too many recipients of one message, lists expanded");
const NO_MESSAGE: Reply =
    Reply::new(421, Enhanced(4, 7, 0), "too many recipients and no message, closing");
const UNQUALIFIED_SENDER: Reply =
    Reply::new(501, Enhanced(5, 1, 7), "the sender address has no domain");
/// Octets of forms in memory that are stored together; the spool takes 64 MiB with their envelopes.
const MOST_TOGETHER: usize = 48 << 20;
/// The text of the reply to a message that was taken.
const REPLY_ROOM: usize = 32;
/// Our own `Received:` line, generously.
const HEADER_ROOM: usize = 512;
/// Most messages are larger than this; what is smaller wastes little.
const SMALL_MESSAGE: u64 = 4 << 10;
