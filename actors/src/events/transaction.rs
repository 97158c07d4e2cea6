//! The transaction record: one line for each queue entry and each thing that was done with it.
//!
//! Target [`TARGET`], level `info`, and these fields, always in this order. Keys may be added at the
//! end; those that are there keep their name and meaning. The line of an attempt has the message
//! `attempt ended` as well, and that of a deletion `deletion ordered`: so it was answered, or
//! ordered, and the spool may not have written it down yet.
//!
//! `E`, `J` and `Z` are written by the session, and `E` by the notary and by whoever routes mail again;
//! `D`, `Q`, `R` and `K` by the job that tried; `R`, `K` and `W` by the notary, too; `X` by the
//! order. `H` and `L` are written by whoever writes `E`, of mail that is held from the beginning, else by the
//! queue; `N` is written by the notary.
//!
//! | field | is |
//! | --- | --- |
//! | `action` | `E` enqueued (once more when a message that waited is routed again), `D` dequeued: the next hop has it, `Q` tried and deferred, `R` refused for good or given up, `W` the sender was warned, `K` as `R` or `W` and the sender asked not to be told, `X` removed by an operator, `J` refused on the way in, `Z` taken and thrown away, as a filter said, `H` held: no job gets it, `L` released: it was held, and goes on, `N` its sender, or whoever hears in its place, is sent a notice |
//! | `id` | queue id; empty for `J` |
//! | `client` | who brought it: `name [address]` |
//! | `source_channel` | the channel it came in by |
//! | `channel` | the channel it leaves by; empty for `J` |
//! | `host` | the destination; empty for `J` |
//! | `from` | the sender in angle brackets; `<>` for notifications |
//! | `to` | recipients in angle brackets, separated by commas; those with the same outcome share a line. Of a message that is refused as a whole, the first 20, then `and N more`; empty when none had been taken |
//! | `size` | octets of content; 0 when none was sent |
//! | `delay` | seconds since it was accepted, with milliseconds |
//! | `attempts` | attempts that ended, this one included; what was only taken before its time to see whether its host is back, and found it was not (`Q`), is none |
//! | `reply` | what the next hop said, or we in its place; for `E` and `J`, and for the store, what we said; for `H`, `L` and `X`, `E` of what an operator routed again and `R` of what one returned by whom, or by which standing order, and why |
//! | `mailbox` | only of the store: the mailbox or folder below its path, where that is known |
//! | `peer_id` | what the other side calls the message, where that is known: of the store what the client does, from its `Received` line; else of `D`, as the reply of the next hop says; of `N` the queue id of the notice, and of the notice's own `E` that of the message that it is about |
//! | `members` | only when an alias, a list or a forward led to them: in the order of `to`, in angle brackets, whom it led to |
//! | `user` | only of `E`, `J` and `Z`: the user who had logged in |
//! | `protection` | only of an attempt whose connection had some: TLS, whether the server's certificate is good, and AUTH |
//! | `peer` | only of an attempt that a server was connected to for: `host[address]:port`, or the path of its socket |
//! | `timings` | only of an attempt at a server: the seconds of each stage, `queue` (since it was accepted, earlier attempts included), `dns`, `connect`, `tls`, `greeting` (AUTH included) and `dialogue`; stages that a kept connection had passed, and those behind the one that failed, are left out; one that took less than a millisecond has that |
//! | `filter` | only of `J` and `Z`: the filter that refused it, or threw it away |
//!
//! The store writes one line for each recipient of a message that came over LMTP: `D`, or `J` when
//! it was refused, whether for now or for good. `channel` is then the one it came in by, `delay` the
//! time since its content was asked for.

use std::{
    cell::Cell,
    fmt::{self, Write},
    ops::Range,
    time::Duration,
};

use relais_channels::{
    dsn::Kind,
    mail::{Enhanced, Entry, Envelope, MessageId, Notify, Outcome, Recipient, Reply, Trip},
};
use relais_config::EventKind;
use relais_events::{EventRecipient, EventReply};
use relais_history::{Named, Note};
use relais_storage::open_recipients;
use tracing::info;

use super::{OrderedBy, Printable, printable::printable};
use crate::{
    metrics::{Class, Metrics},
    timestamp::Timestamp,
};

/// A message is safe in the spool. A job may have an entry of it already, and its line may come
/// first.
#[derive(Clone, Copy, Debug)]
pub struct MessageAccepted<'a> {
    /// As committed.
    pub envelope: &'a Envelope,
    /// The reply to the end of data.
    pub reply: &'a Reply,
    /// The user who had logged in; empty when nobody had.
    pub user: &'a str,
    /// The header's `Message-ID`; empty where it has none.
    pub message_id: &'a str,
}

/// A message that came over LMTP was delivered into mailboxes of ours, or refused.
#[derive(Clone, Copy, Debug)]
pub struct IntoMailboxes<'a> {
    /// The queue id.
    pub id: Option<MessageId>,
    /// `name [address]`.
    pub client: &'a str,
    /// The channel it came in by.
    pub source_channel: &'a str,
    /// Without angle brackets.
    pub sender: &'a str,
    /// Octets of content, what the store puts in front included.
    pub size: u64,
    /// Since its content was asked for.
    pub took: Duration,
    /// The client's own id of the message; empty when that is not known.
    pub peer_id: &'a str,
    /// The header's `Message-ID`; empty where it has none.
    pub message_id: &'a str,
}

/// One recipient of [`IntoMailboxes`].
#[derive(Clone, Copy, Debug)]
pub struct StoredFor<'a> {
    /// As the client wrote it, without angle brackets.
    pub recipient: &'a str,
    /// Where it lies, or should have; empty when that is not known.
    pub mailbox: &'a str,
    /// The reply that the client was told.
    pub reply: &'a Reply,
}

/// A message that was in the queue went through the router again, and what it goes on as is safe.
#[derive(Clone, Copy, Debug)]
pub struct MessageRerouted<'a> {
    /// The envelope with which it goes on.
    pub envelope: &'a Envelope,
    /// The channel where it waited.
    pub left: &'a str,
    /// By whose order, and why; empty where the engine had to.
    pub by: &'a str,
}

/// Recipients were refused on the way in: one at RCPT, or all those of a message when or after its
/// content was sent.
#[derive(Clone, Copy, Debug)]
pub struct RecipientsRefused<'a> {
    /// `name [address]`.
    pub client: &'a str,
    /// The channel they wanted to come in by.
    pub source_channel: &'a str,
    /// Without angle brackets.
    pub sender: &'a str,
    /// As the client wrote them, without angle brackets.
    pub recipients: &'a [&'a str],
    /// Octets of content that had been taken.
    pub size: u64,
    /// The reply that the client was told.
    pub reply: &'a Reply,
    /// The user who had logged in; empty when nobody had.
    pub user: &'a str,
    /// The filter that refused them; empty when we did.
    pub filter: &'a str,
}

/// A message was taken and thrown away, as a filter said.
#[derive(Clone, Copy, Debug)]
pub struct MessageDiscarded<'a> {
    /// The queue id that the client was told.
    pub id: MessageId,
    /// `name [address]`.
    pub client: &'a str,
    /// The channel it came in by.
    pub source_channel: &'a str,
    /// Without angle brackets.
    pub sender: &'a str,
    /// As the client wrote them, without angle brackets.
    pub recipients: &'a [&'a str],
    /// Octets of content.
    pub size: u64,
    /// The reply that the client was told.
    pub reply: &'a Reply,
    /// The event in words.
    pub why: &'static str,
    /// The user who had logged in; empty when nobody had.
    pub user: &'a str,
    /// The filter.
    pub filter: &'a str,
}

/// An attempt at an entry ended: this is what the other side said, or we in its place. The spool
/// has yet to write it down, and a crash before that means another attempt; the line says
/// `attempt ended`, and not that the entry is what it says.
#[derive(Clone, Copy, Debug)]
pub struct EntrySettled<'a> {
    /// The message.
    pub envelope: &'a Envelope,
    /// Which of its entries.
    pub entry: usize,
    /// The recipients that were tried, as a bitmap; all that were open.
    pub tried: u64,
    /// One for each of them, in order.
    pub outcomes: &'a [Outcome],
    /// Attempts that ended, this one included if it counts as one.
    pub attempts: u32,
    /// The way that it took, if it was to a server.
    pub trip: Option<&'a Trip>,
    /// The header's `Message-ID`; empty where it has none, or nobody wants to know.
    pub message_id: &'a str,
}

/// Recipients were given up, or their sender was warned, without an attempt.
#[derive(Clone, Copy, Debug)]
pub struct RecipientsReturned<'a> {
    /// The message.
    pub envelope: &'a Envelope,
    /// Which of its entries.
    pub entry: usize,
    /// Which of its recipients, a bit each.
    pub recipients: u64,
    /// Attempts so far.
    pub attempts: u32,
    /// `R`, `W` or `X`.
    pub action: &'static str,
    /// Why, in a word: `expired`, `returned`, or nothing.
    pub cause: &'static str,
    /// By whose order, and why; empty where there was none.
    pub reason: &'a str,
    /// Why.
    pub reply: &'a Reply,
}

/// An operator had an entry deleted: nobody is told.
#[derive(Clone, Copy, Debug)]
pub struct EntryDeleted<'a> {
    /// The message.
    pub envelope: &'a Envelope,
    /// Which of its entries.
    pub entry: u16,
    /// Its recipients that were still open, a bit each.
    pub recipients: u64,
    /// Attempts so far.
    pub attempts: u16,
    /// By whose order.
    pub reason: &'a str,
}

/// An entry is held: no job gets it before it is released; or it was, and goes on.
#[derive(Clone, Copy, Debug)]
pub struct HoldChanged<'a> {
    /// Whether it is held now.
    pub is_held: bool,
    /// The message.
    pub envelope: &'a Envelope,
    /// Which of its entries.
    pub entry: u16,
    /// Its recipients that are still open, a bit each.
    pub recipients: u64,
    /// Attempts so far.
    pub attempts: u16,
    /// Why; of an order its words, with the operator.
    pub reason: &'a str,
}

/// A notice of what became of recipients is in the queue.
#[derive(Clone, Copy, Debug)]
pub struct NoticeSent<'a> {
    /// The message.
    pub envelope: &'a Envelope,
    /// Which of its entries.
    pub entry: usize,
    /// Which of its recipients, a bit each.
    pub recipients: u64,
    /// The news of them.
    pub news: Kind,
    /// The queue id of the notice.
    pub notice: MessageId,
}

/// One line. Everything is written as it stands here.
struct Record<'a, To> {
    action: &'static str,
    id: Option<MessageId>,
    client: &'a str,
    source_channel: &'a str,
    channel: &'a str,
    host: &'a str,
    from: &'a str,
    to: To,
    size: u64,
    delay: Duration,
    attempts: u32,
    reply: &'a Reply,
    /// The event in words, where the other fields do not say it all.
    message: Option<&'static str>,
    mailbox: &'a str,
    peer_id: &'a str,
    members: Option<Members<'a>>,
    user: &'a str,
    trip: Option<&'a Trip>,
    filter: &'a str,
    /// Only for others: the kind of event where the action does not tell, why in a word, and by whose order.
    kind: Option<EventKind>,
    cause: &'static str,
    reason: &'a str,
    /// Only for the history, and for others.
    message_id: &'a str,
    /// It is the first of a message, or the only one: the history has from it what all have in common.
    is_first: bool,
}

impl MessageAccepted<'_> {
    /// Writes an `E` line for each entry; counts submitted and received.
    pub fn emit(self, metrics: &Metrics) {
        self.write("", metrics);
    }

    /// The same of a notice about a message.
    pub fn emit_about(self, message: MessageId, metrics: &Metrics) {
        self.write(&message.to_string(), metrics);
    }

    fn write(self, about: &str, metrics: &Metrics) {
        let Self { envelope, reply, user, message_id } = self;
        let all = envelope.entries.iter().map(|entry| entry.recipients.len()).sum();
        metrics.channel(&envelope.source_channel).submitted(all, envelope.size);
        for entry in &envelope.entries {
            metrics.channel(&entry.channel).received(entry.recipients.len(), envelope.size);
            let record = Record::of(envelope, entry, u64::MAX, "E", reply);
            Record { user, message_id, peer_id: about, ..record }.write(metrics);
        }
        tell_held(envelope, metrics);
    }
}

/// Tells of entries that are held from the beginning.
fn tell_held(envelope: &Envelope, metrics: &Metrics) {
    let entries = (0..).zip(&envelope.entries).filter(|(_, its)| !its.recipients.is_empty());
    for (entry, _) in entries {
        if let Some(reason) = envelope.held_because(entry) {
            let (is_held, recipients, attempts) = (true, u64::MAX, 0);
            HoldChanged { is_held, envelope, entry, recipients, attempts, reason: &reason }
                .emit(metrics);
        }
    }
}

impl IntoMailboxes<'_> {
    /// Writes a line for each recipient; counts submitted and rejected, and the outcomes.
    pub fn emit<'r>(self, recipients: impl Iterator<Item = StoredFor<'r>>, metrics: &Metrics) {
        let channel = metrics.channel(self.source_channel);
        let mut counts = [0; Class::ALL.len()];
        for stored in recipients {
            let class = Class::of(stored.reply.code);
            counts[class as usize] += 1;
            self.write(stored, class, metrics);
        }
        for class in Class::ALL {
            if counts[class as usize] > 0 {
                channel.settled(class, counts[class as usize], self.size);
            }
        }
        let [delivered, deferred, failed] = counts;
        if delivered > 0 {
            channel.submitted(delivered, self.size);
            channel.delivered_after(self.took);
        }
        if deferred + failed > 0 {
            channel.rejected(deferred + failed, self.size);
        }
    }

    fn write(&self, stored: StoredFor<'_>, class: Class, metrics: &Metrics) {
        let Self { id, client, source_channel, sender, size, took, peer_id, message_id } = *self;
        let StoredFor { recipient, mailbox, reply } = stored;
        let came = Came { client, source_channel, sender };
        let refused = Record::refused(came, Bracketed(recipient), size, reply);
        let (action, channel, attempts) = match class {
            Class::Delivered => ("D", source_channel, 1),
            _ => ("J", "", 0),
        };
        let record = Record { action, id, channel, attempts, delay: took, mailbox, ..refused };
        Record { peer_id, message_id, ..record }.write(metrics);
    }
}

impl MessageRerouted<'_> {
    /// Writes an `E` line for each new entry, under the message's id; counts submitted by the channel
    /// that it left, and received.
    pub fn emit(self, metrics: &Metrics) {
        let Self { envelope, left, by } = self;
        let new = || envelope.entries.iter().filter(|entry| !entry.recipients.is_empty());
        let all = new().map(|entry| entry.recipients.len()).sum();
        metrics.channel(left).submitted(all, envelope.size);
        let text = if by.is_empty() {
            format!("routed again, from channel {left}")
        } else {
            format!("from channel {left}, {by}")
        };
        let reply = Reply::with_text(250, Enhanced(2, 1, 5), text);
        let delay = Timestamp(envelope.received).until(Timestamp::now());
        for entry in new() {
            metrics.channel(&entry.channel).received(entry.recipients.len(), envelope.size);
            let record = Record::of(envelope, entry, u64::MAX, "E", &reply);
            Record { kind: Some(EventKind::Rerouted), reason: by, delay, ..record }.write(metrics);
        }
        tell_held(envelope, metrics);
    }
}

impl RecipientsRefused<'_> {
    /// Writes a `J` line that names the first recipients; counts rejected.
    pub fn emit(self, metrics: &Metrics) {
        let Self { client, source_channel, sender, recipients, size, reply, user, filter } = self;
        metrics.channel(source_channel).rejected(recipients.len(), size);
        let came = Came { client, source_channel, sender };
        let record = Record::refused(came, First(recipients), size, reply);
        Record { user, filter, ..record }.write(metrics);
    }
}

impl MessageDiscarded<'_> {
    /// Writes a `Z` line that names the first recipients; counts deleted.
    pub fn emit(self, metrics: &Metrics) {
        let Self { id, client, source_channel, sender, recipients, size, reply, why, user, filter } =
            self;
        metrics.channel(source_channel).deleted(recipients.len(), size);
        let came = Came { client, source_channel, sender };
        let refused = Record::refused(came, First(recipients), size, reply);
        let (action, id, message) = ("Z", Some(id), Some(why));
        Record { action, id, message, user, filter, ..refused }.write(metrics);
    }
}

impl EntrySettled<'_> {
    /// Writes a line for each group of recipients with the same outcome; counts delivered,
    /// attempted and failed.
    pub fn emit(self, metrics: &Metrics) {
        let Self { envelope, entry, tried, outcomes, attempts, trip, message_id } = self;
        let Some(entry) = envelope.entries.get(entry) else { return };
        let delay = Timestamp(envelope.received).until(Timestamp::now());
        self.count(metrics, entry, delay);
        let mut written = 0;
        let bits = || open_recipients(tried).map(|index| 1_u64 << index);
        for (which, outcome) in bits().zip(outcomes) {
            if written & which != 0 {
                continue;
            }
            let is_silent = |bit: u64| {
                let recipient = entry.recipients.get(bit.trailing_zeros() as usize);
                recipient.is_some_and(is_silent)
            };
            let action_of = |bit: u64, outcome: &Outcome| match outcome {
                Outcome::Delivered(_) => "D",
                Outcome::Deferred(_) => "Q",
                Outcome::Failed(_) if is_silent(bit) => "K",
                Outcome::Failed(_) => "R",
            };
            let action = action_of(which, outcome);
            let same = bits()
                .zip(outcomes)
                .filter(|(bit, other)| *other == outcome && action_of(*bit, other) == action);
            let same = same.fold(0, |all, (bit, _)| all | bit);
            written |= same;
            let record = Record::of(envelope, entry, same, action, outcome.reply());
            let message = Some("attempt ended");
            let peer_id = outcome.reply().delivered_as().unwrap_or_default();
            let cause = if matches!(outcome, Outcome::Failed(_)) { "refused" } else { "" };
            let record = Record { delay, attempts, message, peer_id, trip, ..record };
            Record { cause, message_id, ..record }.write(metrics);
        }
    }

    fn count(&self, metrics: &Metrics, entry: &Entry, delay: Duration) {
        let channel = metrics.channel(&entry.channel);
        let size = self.envelope.size;
        let class = |outcome: &Outcome| match outcome {
            Outcome::Delivered(_) => Class::Delivered,
            Outcome::Deferred(_) => Class::Deferred,
            Outcome::Failed(_) => Class::Failed,
        };
        let mut counts = [0; Class::ALL.len()];
        self.outcomes.iter().for_each(|outcome| counts[class(outcome) as usize] += 1);
        for class in Class::ALL {
            if counts[class as usize] > 0 {
                channel.settled(class, counts[class as usize], size);
            }
        }
        if counts[Class::Delivered as usize] > 0 {
            channel.delivered_after(delay);
        }
    }
}

impl EntryDeleted<'_> {
    /// Writes an `X` line for each recipient; counts deleted.
    pub fn emit(self, metrics: &Metrics) {
        let Self { envelope, entry, recipients, attempts, reason } = self;
        RecipientsReturned {
            envelope,
            entry: usize::from(entry),
            recipients,
            attempts: u32::from(attempts),
            action: "X",
            cause: "",
            reason,
            reply: &Reply::with_text(250, Enhanced(2, 0, 0), reason.to_owned()),
        }
        .emit(metrics);
    }
}

impl HoldChanged<'_> {
    /// Writes an `H` or an `L` line.
    pub fn emit(self, metrics: &Metrics) {
        let Self { is_held, envelope, entry, recipients, attempts, reason } = self;
        let Some(entry) = envelope.entries.get(usize::from(entry)) else { return };
        let delay = Timestamp(envelope.received).until(Timestamp::now());
        let reply = Reply::with_text(250, Enhanced(2, 0, 0), reason.to_owned());
        let action = if is_held { "H" } else { "L" };
        let record = Record::of(envelope, entry, recipients, action, &reply);
        Record { delay, attempts: u32::from(attempts), reason, ..record }.write(metrics);
    }
}

impl NoticeSent<'_> {
    /// Writes an `N` line.
    pub fn emit(self, metrics: &Metrics) {
        let Self { envelope, entry, recipients, news, notice } = self;
        let Some(entry) = envelope.entries.get(entry) else { return };
        let text = match news {
            Kind::Failed | Kind::TimedOut | Kind::Bounced => "a notice of the failure is sent",
            Kind::Delayed => "a notice of the delay is sent",
            Kind::Delivered | Kind::Relayed | Kind::Expanded => "a notice of the delivery is sent",
        };
        let reply = Reply::new(250, Enhanced(2, 0, 0), text);
        let delay = Timestamp(envelope.received).until(Timestamp::now());
        let record = Record::of(envelope, entry, recipients, "N", &reply);
        Record { delay, peer_id: &notice.to_string(), ..record }.write(metrics);
    }
}

impl RecipientsReturned<'_> {
    /// Writes a line; counts failed, or deleted, unless it is only a warning. Of those
    /// who asked for no notice the line says `K`.
    pub fn emit(self, metrics: &Metrics) {
        let Self { envelope, entry, recipients, attempts, action, reply, cause, reason } = self;
        let Some(entry) = envelope.entries.get(entry) else { return };
        // The letter `K` does not tell whether it stands for a warning.
        let kind = (action == "W").then_some(EventKind::Warned);
        let delay = Timestamp(envelope.received).until(Timestamp::now());
        let gone = recipients.count_ones() as usize;
        let channel = metrics.channel(&entry.channel);
        match action {
            "W" => {}
            "X" => channel.deleted(gone, envelope.size),
            _ => channel.settled(Class::Failed, gone, envelope.size),
        }
        let silent = open_recipients(recipients)
            .filter(|index| entry.recipients.get(usize::from(*index)).is_some_and(is_silent))
            .fold(0, |all, index| all | 1 << index);
        let told = if action == "X" { recipients } else { recipients & !silent };
        for (action, which) in [(action, told), ("K", recipients & !told)] {
            if which != 0 {
                let record = Record::of(envelope, entry, which, action, reply);
                // The spool forgets it behind this line.
                let message = (action == "X").then_some("deletion ordered");
                let record = Record { delay, attempts, message, ..record };
                Record { kind, cause, reason, ..record }.write(metrics);
            }
        }
    }
}

/// The sender wants to hear nothing of this one.
fn is_silent(recipient: &Recipient) -> bool {
    recipient.notify == Notify::Never
}

impl<'a> Record<'a, Recipients<'a>> {
    fn of(
        envelope: &'a Envelope,
        entry: &'a Entry,
        which: u64,
        action: &'static str,
        reply: &'a Reply,
    ) -> Self {
        Self {
            action,
            id: Some(envelope.id),
            client: &envelope.client,
            source_channel: &envelope.source_channel,
            channel: &entry.channel,
            host: &entry.host,
            from: &envelope.sender,
            to: Recipients { entry, which },
            size: envelope.size,
            delay: Duration::ZERO,
            attempts: 0,
            reply,
            message: None,
            mailbox: "",
            peer_id: "",
            members: Members(Recipients { entry, which }).some(),
            user: "",
            trip: None,
            filter: "",
            kind: None,
            cause: "",
            reason: "",
            message_id: "",
            is_first: action == "E",
        }
    }
}

/// How a message came in.
#[derive(Clone, Copy)]
struct Came<'a> {
    client: &'a str,
    source_channel: &'a str,
    sender: &'a str,
}

impl<'a, To: fmt::Display + NamesRecipients> Record<'a, To> {
    fn refused(came: Came<'a>, to: To, size: u64, reply: &'a Reply) -> Self {
        let Came { client, source_channel, sender: from } = came;
        let delay = Duration::ZERO;
        let (action, channel, host, attempts) = ("J", "", "", 0);
        Self {
            action,
            id: None,
            client,
            source_channel,
            channel,
            host,
            from,
            to,
            size,
            delay,
            attempts,
            reply,
            message: None,
            mailbox: "",
            peer_id: "",
            members: None,
            user: "",
            trip: None,
            filter: "",
            kind: None,
            cause: "",
            reason: "",
            message_id: "",
            is_first: true,
        }
    }

    fn write(&self, metrics: &Metrics) {
        // Two of these lines are written for each message: each value is shown once, and the
        // subscriber is handed text that it need not format.
        let mut shown = SHOWN.take();
        shown.clear();
        let id = show(&mut shown, Written(self.id));
        let from = show(&mut shown, Bracketed(self.from));
        let to = show(&mut shown, &self.to);
        let reply = show(&mut shown, Printable(self.reply));
        let known = |text: fn(&Trip) -> &str| self.trip.map(text).filter(|text| !text.is_empty());
        let (protection, peer) = (known(|trip| &trip.protection), known(|trip| &trip.peer));
        info!(
            target: TARGET,
            action = self.action,
            id = &shown[id.clone()],
            client = &*printable(self.client),
            source_channel = self.source_channel,
            channel = self.channel,
            host = &*printable(self.host),
            from = &shown[from],
            to = &shown[to],
            size = self.size,
            // Whole milliseconds: the division leaves three digits.
            delay = self.delay.as_millis() as f64 / 1000.0,
            attempts = self.attempts,
            reply = &shown[reply.clone()],
            message = self.message,
            mailbox = (!self.mailbox.is_empty()).then_some(self.mailbox),
            peer_id = (!self.peer_id.is_empty()).then(|| tracing::field::display(Printable(self.peer_id))),
            members = self.members.as_ref().map(tracing::field::display),
            user = (!self.user.is_empty()).then(|| tracing::field::display(Printable(self.user))),
            protection = protection.map(|words| tracing::field::display(Printable(words))),
            peer = peer.map(|name| tracing::field::display(Printable(name))),
            timings = self.trip.map(|trip| tracing::field::display(trip.timings)),
            filter = (!self.filter.is_empty()).then_some(self.filter),
        );
        if metrics.history.tap.is_open() {
            self.tell(&shown[id.clone()], &shown[reply], metrics);
        }
        if metrics.events.tap.wants(self.kind()) {
            self.tell_others(&shown[id], metrics);
        }
        if shown.capacity() <= KEPT {
            SHOWN.set(shown);
        }
    }

    /// Tells the history, too.
    fn tell(&self, id: &str, reply: &str, metrics: &Metrics) {
        let known = |text: fn(&Trip) -> &str| self.trip.map_or("", text);
        // Replies that differ in nothing but the queue id are stored once.
        let named = (self.is_first && !id.is_empty() && reply.contains(id))
            .then(|| reply.replace(id, HISTORY_ID));
        let first = |text: &'a str| if self.is_first { text } else { "" };
        let note = Note {
            action: self.action.as_bytes()[0],
            at: Timestamp::now().0,
            id: self.id.map_or(0, |id| id.0),
            size: if self.is_first { self.size } else { 0 },
            took: if self.mailbox.is_empty() { 0 } else { self.delay.as_millis() as u64 },
            attempts: self.attempts,
            from: first(self.from),
            client: first(self.client),
            source_channel: first(self.source_channel),
            channel: self.channel,
            host: self.host,
            reply: named.as_deref().unwrap_or(reply),
            mailbox: self.mailbox,
            peer_id: self.peer_id,
            message_id: self.message_id,
            user: self.user,
            peer: known(|trip| &trip.peer),
            protection: known(|trip| &trip.protection),
            filter: self.filter,
        };
        metrics.history.tap.tell(&note, self.to.names());
    }

    fn kind(&self) -> EventKind {
        self.kind.unwrap_or(match self.action {
            "D" => EventKind::Delivered,
            "Q" => EventKind::Deferred,
            "J" => EventKind::Refused,
            "Z" => EventKind::Discarded,
            "W" => EventKind::Warned,
            "X" => EventKind::Deleted,
            "H" => EventKind::Held,
            "L" => EventKind::Released,
            "N" => EventKind::Notified,
            "E" => EventKind::Accepted,
            _ => EventKind::Failed,
        })
    }

    /// Tells others. Called where somebody wants to know.
    fn tell_others(&self, id: &str, metrics: &Metrics) {
        let known = |text: fn(&Trip) -> &str| self.trip.map_or("", text);
        let recipient = |Named { original, routed }| EventRecipient {
            address: printable(original),
            routed: printable(if routed == original { "" } else { routed }),
        };
        let (kind, by) = (self.kind(), OrderedBy::of(self.reason));
        // Words of ours stand there in place of a reply.
        let is_silent = matches!(kind, EventKind::Held | EventKind::Released | EventKind::Deleted);
        metrics.events.tap.tell(&relais_events::Event {
            id: id.into(),
            from: Some(printable(self.from)),
            recipients: self.to.names().map(recipient).collect(),
            more_recipients: self.to.more(),
            channel: self.channel.into(),
            source_channel: self.source_channel.into(),
            host: printable(self.host),
            peer: printable(known(|trip| &trip.peer)),
            protection: printable(known(|trip| &trip.protection)),
            reply: (!is_silent).then(|| EventReply {
                code: self.reply.code,
                enhanced: self.reply.enhanced.map(|its| its.to_string()),
                text: printable(&self.reply.text),
            }),
            attempts: Some(self.attempts),
            size: Some(self.size),
            delay: Some(self.delay.as_millis() as f64 / 1000.0),
            mailbox: printable(self.mailbox),
            peer_id: printable(self.peer_id),
            message_id: printable(self.message_id),
            client: printable(self.client),
            user: printable(self.user),
            filter: self.filter.into(),
            cause: self.cause.into(),
            reason: printable(self.reason),
            operator: by.and_then(|by| by.operator).unwrap_or_default().into(),
            order: by.and_then(|by| by.order),
            timings: self.trip.map(|trip| trip.timings),
            ..relais_events::Event::new(kind, Timestamp::now().to_string())
        });
    }
}

/// The recipients of a record, as the history and events have them.
trait NamesRecipients {
    fn names(&self) -> impl Iterator<Item = Named<'_>>;

    /// Recipients that are not named.
    fn more(&self) -> usize {
        0
    }
}

impl NamesRecipients for Recipients<'_> {
    fn names(&self) -> impl Iterator<Item = Named<'_>> {
        self.iter().map(|its| {
            let (original, member) = (&*its.original, its.member());
            let routed = if member == original { &its.address } else { member };
            Named { original, routed }
        })
    }
}

impl NamesRecipients for First<'_> {
    fn names(&self) -> impl Iterator<Item = Named<'_>> {
        self.0.iter().take(MOST_NAMED).map(|original| Named { original, routed: "" })
    }

    fn more(&self) -> usize {
        self.0.len().saturating_sub(MOST_NAMED)
    }
}

impl NamesRecipients for Bracketed<'_> {
    fn names(&self) -> impl Iterator<Item = Named<'_>> {
        [Named { original: self.0, routed: "" }].into_iter()
    }
}

/// Appends a value, and says where it is.
fn show(shown: &mut String, value: impl fmt::Display) -> Range<usize> {
    let start = shown.len();
    // Writing to a string cannot fail.
    let _ = write!(shown, "{value}");
    start..shown.len()
}

thread_local! {
    /// The values of the line before.
    static SHOWN: Cell<String> = const { Cell::new(String::new()) };
}

/// `<alice@relais.example>,<bob@relais.example>`: originals, because that is what senders and
/// operators ask about.
#[derive(Clone, Copy)]
struct Recipients<'a> {
    entry: &'a Entry,
    which: u64,
}

/// Addresses that aliases, lists and forwards made of them.
struct Members<'a>(Recipients<'a>);

/// The first recipients, and how many more there are.
struct First<'a>(&'a [&'a str]);

struct Bracketed<'a>(&'a str);

struct Written(Option<MessageId>);

impl<'a> Recipients<'a> {
    fn iter(self) -> impl Iterator<Item = &'a Recipient> {
        let Self { entry: Entry { recipients, .. }, which } = self;
        open_recipients(which).map_while(|index| recipients.get(usize::from(index)))
    }
}

impl Members<'_> {
    /// `None` when all are who the sender named.
    fn some(self) -> Option<Self> {
        self.0.iter().any(|recipient| recipient.member() != &*recipient.original).then_some(self)
    }
}

impl fmt::Display for Recipients<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(f, self.iter().map(|recipient| &*recipient.original))
    }
}

impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(f, self.0.iter().map(Recipient::member))
    }
}

fn write_all<'a>(
    f: &mut fmt::Formatter<'_>,
    addresses: impl Iterator<Item = &'a str>,
) -> fmt::Result {
    let mut separator = "";
    for address in addresses {
        f.write_str(separator)?;
        fmt::Display::fmt(&Bracketed(address), f)?;
        separator = ",";
    }
    Ok(())
}

impl fmt::Display for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(f, self.0.iter().take(MOST_NAMED).copied())?;
        match self.0.len().saturating_sub(MOST_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<")?;
        f.write_str(&printable(self.0))?;
        f.write_str(">")
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |id| id.fmt(f))
    }
}

/// In place of the queue id in a reply of the history.
pub const HISTORY_ID: &str = "\u{3}";
/// Recipients that a line names of a message that is refused as a whole.
const MOST_NAMED: usize = 20;
/// Octets of values whose room is kept for the next line.
const KEPT: usize = 4 << 10;
/// The target of these lines.
pub const TARGET: &str = "relais::transaction";

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Enhanced, Origin};

    use super::*;
    use crate::{
        events::lines::Lines,
        metrics::{Event, Format, Labels},
    };

    fn lines(emit: impl FnOnce(&Metrics)) -> (Vec<String>, Metrics) {
        let metrics = Metrics::new(&Labels {
            channels: vec!["tcp_local".to_owned(), "tcp_lmtpcs".to_owned()],
            ..Labels::default()
        });
        let lines = Lines::of(TARGET);
        tracing::subscriber::with_default(lines.clone(), || emit(&metrics));
        (lines.taken(), metrics)
    }

    fn envelope(recipients: &[&str]) -> Envelope {
        let recipient = |name: &&str| Recipient::new(*name, format!("{name}@relais.example"));
        Envelope {
            sender: "ann@example.org".to_owned(),
            source_channel: "tcp_local".into(),
            client: "a.example [192.0.2.1]".into(),
            size: 4096,
            ..Envelope::plain(
                MessageId(1),
                Timestamp::now().0,
                vec![Entry {
                    channel: "tcp_lmtpcs".into(),
                    host: "store1.example".into(),
                    recipients: recipients.iter().map(recipient).collect(),
                }],
            )
        }
    }

    fn tally(metrics: &Metrics, channel: &str, event: Event) -> (u64, u64, u64) {
        let tally = metrics.counters().0[channel][&event];
        (tally.messages, tally.recipients, tally.bytes)
    }

    #[test]
    fn an_accepted_message_has_a_line_for_each_entry() {
        let reply = Reply::new(250, Enhanced(2, 0, 0), "Ok");
        let mut envelope = envelope(&["alice", "bob"]);
        envelope.entries.push(Entry {
            channel: "tcp_local".into(),
            host: "".into(),
            recipients: vec![Recipient {
                origin: Some(Box::new(Origin {
                    member: "m@x.example".into(),
                    ..Origin::default()
                })),
                ..Recipient::new("m", "list@relais.example")
            }],
        });
        let (lines, metrics) = lines(|metrics| {
            MessageAccepted { envelope: &envelope, reply: &reply, user: "anna", message_id: "" }
                .emit(metrics);
        });
        assert_eq!(
            lines,
            [
                concat!(
                    "action=E|id=0000000000001|client=a.example [192.0.2.1]|",
                    "source_channel=tcp_local|",
                    "channel=tcp_lmtpcs|host=store1.example|from=<ann@example.org>|",
                    "to=<alice@relais.example>,<bob@relais.example>|size=4096|delay=0.0|",
                    "attempts=0|reply=250 2.0.0 Ok|user=anna|"
                ),
                concat!(
                    "action=E|id=0000000000001|client=a.example [192.0.2.1]|",
                    "source_channel=tcp_local|channel=tcp_local|host=|from=<ann@example.org>|",
                    "to=<list@relais.example>|size=4096|delay=0.0|attempts=0|reply=250 2.0.0 Ok|",
                    "members=<m@x.example>|user=anna|"
                ),
            ]
        );
        assert_eq!(tally(&metrics, "tcp_local", Event::Submitted), (1, 3, 4096));
        assert_eq!(tally(&metrics, "tcp_lmtpcs", Event::Received), (1, 2, 4096));
    }

    #[test]
    fn recipients_with_the_same_outcome_share_a_line() {
        let delivered =
            || Outcome::Delivered(Reply::new(250, Enhanced(2, 0, 0), "OK: queued as 4XYZ"));
        let outcomes = [
            delivered(),
            Outcome::Failed(Reply::new(550, Enhanced(5, 1, 1), "no such user")),
            delivered(),
            Outcome::Deferred(Reply::new(451, Enhanced(4, 3, 0), "later")),
        ];
        let envelope = envelope(&["a", "b", "c", "d", "e"]);
        let (lines, metrics) = lines(|metrics| {
            // The first was done in an earlier attempt.
            let (tried, outcomes) = (0b11110, &outcomes[..]);
            EntrySettled {
                envelope: &envelope,
                entry: 0,
                tried,
                outcomes,
                attempts: 2,
                trip: None,
                message_id: "",
            }
            .emit(metrics);
        });
        let field = |line: &String, name: &str| {
            let mut fields = line.split('|').filter_map(|field| field.split_once('='));
            fields.find(|(field, _)| *field == name).unwrap().1.to_owned()
        };
        let show: Vec<_> = lines
            .iter()
            .map(|line| {
                ["action", "to", "attempts", "reply"].map(|name| field(line, name)).join(" ")
            })
            .collect();
        assert_eq!(
            show,
            [
                "D <b@relais.example>,<d@relais.example> 2 250 2.0.0 OK: queued as 4XYZ",
                "R <c@relais.example> 2 550 5.1.1 no such user",
                "Q <e@relais.example> 2 451 4.3.0 later",
            ]
        );
        assert_eq!(field(&lines[0], "peer_id"), "4XYZ");
        assert!(lines[1..].iter().all(|line| !line.contains("peer_id")));
        assert_eq!(tally(&metrics, "tcp_lmtpcs", Event::Delivered), (1, 2, 4096));
        assert_eq!(tally(&metrics, "tcp_lmtpcs", Event::Failed), (1, 1, 4096));
        assert_eq!(tally(&metrics, "tcp_lmtpcs", Event::Attempted), (1, 1, 4096));
        let results = r#"relais_delivery_results_total{channel="tcp_lmtpcs",class="delivered"} 2"#;
        assert!(metrics.page(Format::Text).contains(results));
    }

    #[test]
    fn what_a_stranger_wrote_cannot_break_a_line() {
        let reply = Reply::new(550, Enhanced(5, 7, 1), "relaying denied");
        let (lines, metrics) = lines(|metrics| {
            RecipientsRefused {
                client: "evil\r\naction=D [192.0.2.1]",
                source_channel: "tcp_local",
                sender: "",
                recipients: &["x\u{1b}[2J@example.org"],
                size: 0,
                reply: &reply,
                user: "",
                filter: "",
            }
            .emit(metrics);
            RecipientsRefused {
                client: "evil [192.0.2.1]",
                source_channel: "tcp_local",
                sender: "a@b",
                recipients: &["a@b", "c\r\n@d", "e@f"],
                size: 10,
                reply: &reply,
                user: "",
                filter: "",
            }
            .emit(metrics);
        });
        assert!(lines[0].contains("client=evil??action=D [192.0.2.1]|"), "{}", lines[0]);
        assert!(lines[0].contains("from=<>|to=<x?[2J@example.org>|"), "{}", lines[0]);
        assert!(lines[1].contains("to=<a@b>,<c??@d>,<e@f>|size=10|"), "{}", lines[1]);
        assert_eq!(tally(&metrics, "tcp_local", Event::Rejected), (2, 4, 10));
    }

    #[test]
    fn mail_that_filters_refuse_or_throw_away_names_the_filter() {
        let refused = Reply::new(550, Enhanced(5, 7, 1), "spam");
        let taken = Reply::new(250, Enhanced(2, 0, 0), "queued as 0000000000001");
        let (lines, metrics) = lines(|metrics| {
            let refused = RecipientsRefused {
                client: "a [192.0.2.1]",
                source_channel: "tcp_local",
                sender: "a@b",
                recipients: &["c@d"],
                size: 10,
                reply: &refused,
                user: "",
                filter: "",
            };
            refused.emit(metrics);
            RecipientsRefused { filter: "rspamd", ..refused }.emit(metrics);
            MessageDiscarded {
                id: MessageId(1),
                client: "a [192.0.2.1]",
                source_channel: "tcp_local",
                sender: "a@b",
                recipients: &["c@d", "e@f"],
                size: 10,
                reply: &taken,
                why: "a filter threw it away",
                user: "",
                filter: "rspamd",
            }
            .emit(metrics);
        });
        assert!(!lines[0].contains("filter="), "{}", lines[0]);
        assert!(lines[1].starts_with("action=J|") && lines[1].contains("filter=rspamd"));
        assert!(lines[2].starts_with("action=Z|id=0000000000001|"), "{}", lines[2]);
        assert!(lines[2].contains("to=<c@d>,<e@f>|") && lines[2].contains("filter=rspamd"));
        assert_eq!(tally(&metrics, "tcp_local", Event::Rejected), (2, 2, 20));
        assert_eq!(tally(&metrics, "tcp_local", Event::Deleted), (1, 2, 10));
    }

    #[test]
    fn a_message_that_is_refused_names_its_first_recipients_and_counts_the_others() {
        let reply = Reply::new(552, Enhanced(5, 3, 4), "too big");
        let names: Vec<String> = (0..23).map(|n| format!("user{n}@b")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // recipients, how `to` ends
        for (recipients, want) in [
            (0, "to="),
            (1, "to=<user0@b>"),
            (20, "<user18@b>,<user19@b>"),
            (21, "<user18@b>,<user19@b> and 1 more"),
            (23, "<user18@b>,<user19@b> and 3 more"),
        ] {
            let refused = RecipientsRefused {
                client: "a [192.0.2.1]",
                source_channel: "tcp_local",
                sender: "a@b",
                recipients: &names[..recipients],
                size: 10,
                reply: &reply,
                user: "",
                filter: "",
            };
            let (lines, metrics) = lines(|metrics| refused.emit(metrics));
            assert!(lines[0].contains(&format!("{want}|size=10|")), "{recipients}: {}", lines[0]);
            let rejected = tally(&metrics, "tcp_local", Event::Rejected).1;
            assert_eq!(rejected, recipients as u64);
        }
    }

    #[test]
    fn a_line_holds_all_of_64_recipients() {
        let names: Vec<String> = (0..64).map(|n| format!("user{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let envelope = envelope(&names);
        let outcomes = vec![Outcome::Delivered(Reply::new(250, Enhanced(2, 0, 0), "OK")); 64];
        let settled = EntrySettled {
            envelope: &envelope,
            entry: 0,
            tried: u64::MAX,
            outcomes: &outcomes,
            attempts: 1,
            trip: None,
            message_id: "",
        };
        let (lines, _) = lines(|metrics| settled.emit(metrics));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("<user0@") && lines[0].contains("<user63@"));
    }
}
