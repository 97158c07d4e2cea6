//! Contents of the queue, and the orders for it.

use std::{borrow::Cow, fmt::Write};

use relais_actors::{events::Printable, metrics::QueueState, timestamp::Timestamp};

use super::{Colour, Look, Quota, Relative, Size, Span, Table};
use crate::api::{
    HistoryLine, Left, OrderKind, OrderProgress, QueueSummary, QueuedEntry, QueuedMessage,
    RecipientReply, Rerouted, Untold, Why,
};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `relais queue list`, page by page.
#[derive(Debug)]
pub struct Listing {
    look: Look,
    table: Table,
    page: String,
}

impl Listing {
    /// For a reader whose screen is like this.
    pub fn new(look: Look) -> Self {
        let titles = [
            "ID",
            "STATE",
            "1>SIZE",
            "5AGE",
            "3>TRIES",
            "6NEXT",
            "2=CHANNEL",
            "4=HOST",
            "7=FROM",
            "=TO",
            "~LAST REPLY",
        ];
        Self { look, table: Table::new(&titles), page: String::new() }
    }

    /// The next page. On a terminal each has a heading, elsewhere the first.
    pub fn page<T: AsRef<str>>(&mut self, entries: &[QueuedEntry<T>]) -> &str {
        let now = Timestamp::now();
        for entry in entries {
            add_entry(&mut self.table, entry, now);
        }
        self.page.clear();
        self.table.fit_into(self.look, &mut self.page);
        if self.look.width.is_none() {
            let widths = self.table.widths();
            self.table.below(&widths);
        }
        self.table.clear();
        &self.page
    }
}

fn add_entry<T: AsRef<str>>(table: &mut Table, entry: &QueuedEntry<T>, now: Timestamp) {
    let mut open = entry.open();
    let to = match (open.next(), open.count()) {
        (None, _) => Cow::Borrowed("-"),
        (Some(only), 0) => Cow::Borrowed(only.address.as_ref()),
        (Some(first), more) => format!("{} and {more} more", first.address.as_ref()).into(),
    };
    let reply = entry.open().find_map(|recipient| recipient.last_reply.as_ref()).map(T::as_ref);
    table.text(entry.id.as_ref());
    table.text(&state_of(entry));
    table.cell(&Size(entry.size));
    table.cell(&Span(entry.received.until(now)));
    table.cell(&entry.attempts);
    table.text(&Relative { time: entry.due, now }.next());
    table.text(entry.channel.as_ref());
    table.text(entry.host.as_ref());
    table.text(&["<", entry.sender.as_ref(), ">"].concat());
    table.text(&to);
    table.text(reply.unwrap_or("-"));
    if let Some(colour) = colour_of(entry.state) {
        table.mark(1, colour);
    }
    if let Some(colour) = reply.and_then(colour_of_reply) {
        table.mark(10, colour);
    }
}

fn colour_of(state: QueueState) -> Option<Colour> {
    match state {
        QueueState::Ready => None,
        QueueState::Active => Some(Colour::Green),
        QueueState::Delayed => Some(Colour::Yellow),
        QueueState::Held => Some(Colour::Red),
    }
}

fn colour_of_reply(reply: &str) -> Option<Colour> {
    match reply.as_bytes().first() {
        Some(b'4') => Some(Colour::Yellow),
        Some(b'5') => Some(Colour::Red),
        _ => None,
    }
}

/// Of an active entry, what an operator ordered meanwhile: as short as the others, for the column is
/// never left out.
fn state_of<T>(entry: &QueuedEntry<T>) -> Cow<'static, str> {
    let state = entry.state.name();
    entry.ordered.map_or(Cow::Borrowed(state), |to| format!("to {}", to.name()).into())
}

/// `relais queue show`.
pub fn message(message: &QueuedMessage, look: Look) -> String {
    let now = Timestamp::now();
    let mut page = String::new();
    let QueuedMessage { id, source_channel, client, header, entries } = message;
    let _ = writeln!(page, "message {}", Printable(id));
    if let Some(first) = entries.first() {
        let received = Relative { time: Some(first.received), now }.past();
        let _ = writeln!(page, "from    <{}>", Printable(&first.sender));
        let _ = writeln!(page, "size    {}", Size(first.size));
        let _ = writeln!(page, "came    {} ({received})", first.received);
    }
    let _ = writeln!(page, "by      {} from {}", Printable(source_channel), Printable(client));
    for entry in entries {
        let attempts = if entry.attempts == 1 { "attempt" } else { "attempts" };
        let due =
            entry.due.map(|due| format!(", next {}", Relative { time: Some(due), now }.next()));
        let _ = writeln!(
            page,
            "\nby {} to {}: {}, {} {attempts}{}",
            Printable(&entry.channel),
            Printable(&entry.host),
            entry.state.name(),
            entry.attempts,
            due.unwrap_or_default()
        );
        if let Some(ordered) = entry.ordered {
            let when = match entry.state {
                QueueState::Active => "its job gives it back",
                _ => "its sender has been told",
            };
            let _ = writeln!(page, "to be {} as soon as {when}", ordered.would_be());
        }
        let _ = write!(page, "{}", recipients(entry).fit(look));
    }
    if !header.is_empty() {
        page.push('\n');
    }
    for line in header {
        let _ = writeln!(page, "  {}", Printable(line.replace('\t', "    ")));
    }
    page
}

/// The recipients of an entry, with their quotas where one has any.
fn recipients(entry: &QueuedEntry) -> Table {
    let titles: &[_] = if entry.recipients.iter().any(|recipient| recipient.quota.is_some()) {
        &["=RECIPIENT", "STATE", "QUOTA", "&LAST REPLY"]
    } else {
        &["=RECIPIENT", "STATE", "&LAST REPLY"]
    };
    let mut table = Table::new(titles);
    for recipient in &entry.recipients {
        let reply = recipient.last_reply.as_deref().unwrap_or("-");
        table.text(&recipient.names().collect::<Vec<_>>().join(" -> "));
        table.text(recipient.state.name());
        if titles.len() == 4 {
            table.text(&recipient.quota.map_or("-".to_owned(), |quota| Quota(quota).to_string()));
        }
        table.text(reply);
        if let Some(colour) = colour_of_reply(reply) {
            table.mark(titles.len() - 1, colour);
        }
    }
    table
}

/// `relais queue summary`.
pub fn summary(summary: &QueueSummary, look: Look) -> String {
    let now = Timestamp::now();
    if summary.channels.is_empty() {
        return "the queue is empty\n".to_owned();
    }
    let titles = [
        "=CHANNEL",
        ">MESSAGES",
        "1>RECIPIENTS",
        "2>SIZE",
        ">READY",
        ">ACTIVE",
        ">DELAYED",
        ">HELD",
        "OLDEST",
    ];
    let mut channels = Table::new(&titles);
    for channel in &summary.channels {
        channels.row([
            &channel.channel,
            &channel.messages,
            &channel.recipients,
            &Size(channel.bytes),
            &channel.ready,
            &channel.active,
            &channel.delayed,
            &channel.held,
            &Relative { time: channel.oldest, now }.past(),
        ]);
    }
    let mut hosts = Table::new(&["=HOST", "=CHANNEL", ">MESSAGES", "OLDEST"]);
    for host in &summary.hosts {
        let oldest = Relative { time: host.oldest, now }.past();
        hosts.row([&host.host, &host.channel, &host.messages, &oldest]);
    }
    let channels = channels.fit(look);
    if hosts.is_empty() { channels } else { format!("{channels}\n{}", hosts.fit(look)) }
}

/// The result of an order, in a sentence.
pub fn order(kind: OrderKind, dry_run: bool, progress: &OrderProgress) -> String {
    let OrderProgress { done, later, idle, undelivered, moved, first, .. } = progress;
    let nobody = progress.untold.nobody();
    let is_untold = nobody > 0 && nobody == progress.recipients;
    let entries = counted(*done, "entry", "entries");
    let mut text = match (is_untold, dry_run) {
        // Nothing returns to anybody.
        (true, true) => format!("{entries} would be removed"),
        (true, false) => format!("{entries} removed"),
        (false, true) => format!("{entries} would be {}", kind.would_be()),
        (false, false) => format!("{entries} {}", kind.done()),
    };
    text += &untold(progress);
    for (count, what) in [
        (later, "in the hands of a job, as soon as back".to_owned()),
        (idle, format!("left as they are{}", left(progress))),
        (moved, "gone or changed meanwhile".to_owned()),
    ] {
        if *count > 0 {
            let _ = write!(text, "; {count} {what}");
        }
    }
    if !first.is_empty() && (first.len() as u64) < progress.reached() {
        let _ = write!(text, "; the first {} are shown", first.len());
    }
    if progress.still_held > 0 {
        let held = progress.still_held;
        let _ = write!(text, "; {held} held as before, until `relais queue release`");
    }
    for channel in &progress.stopped {
        let start = format!("relais channel start {channel}");
        let _ = write!(text, "; channel {channel} is stopped: nothing moves until `{start}`");
    }
    if *undelivered > 0 {
        let why = "in channels that the configuration has lost";
        let _ = write!(text, "; {undelivered} of those left are {why}");
    }
    text
}

/// The senders who do not hear of what is returned, and why.
fn untold(progress: &OrderProgress) -> String {
    let Untold { null_sender, notify_never, no_way, not_now, kept } = progress.untold;
    let all = counted(progress.recipients, "recipient", "recipients");
    let mut text = String::new();
    for (count, whom, why) in [
        (null_sender, "nobody can be told", "their mail has no sender (<>)"),
        (notify_never, "nobody is told", "the sender asked for no notice (NOTIFY)"),
        (no_way, "the postmaster is told", "no rule leads to the sender"),
        (not_now, "the sender is told later", "the sender takes no mail now; held until then"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {whom} of {count} of {all}: {why}");
        }
    }
    if kept > 0 {
        let notices = counted(kept, "notice that has", "notices that have");
        let _ = write!(text, "; nobody can be told of {notices} nowhere to go: left as they are");
    }
    text
}

/// Why entries are left as they are.
fn left(progress: &OrderProgress) -> String {
    let Left { held, not_held, same_way, refused, in_hand, unreadable } = progress.left;
    let all = [
        (held, "they are held"),
        (not_held, "they are not held"),
        (same_way, "their recipients go that way already"),
        (refused, "no recipient of theirs can be routed"),
        (in_hand, "a job has them in hand"),
        (unreadable, "their records cannot be read"),
    ];
    let mut text = String::new();
    for (nth, (count, why)) in all.iter().filter(|(count, _)| *count > 0).enumerate() {
        let _ = write!(text, "{}{count}, {why}", if nth == 0 { " (" } else { "; " });
    }
    if !text.is_empty() {
        text.push(')');
    }
    text
}

/// Which way recipients go that are routed again.
pub fn rerouted(rerouted: &[Rerouted], look: Look) -> String {
    let mut table = Table::new(&["ID", "=RECIPIENT", "=FROM", "=TO"]);
    for Rerouted { id, recipient, from, to } in rerouted {
        table.row([id, recipient, from, to]);
    }
    if table.is_empty() { String::new() } else { table.fit(look) }
}

/// The question before an order is carried out.
pub fn question(kind: OrderKind, would: &OrderProgress) -> String {
    let then = match kind {
        OrderKind::Delete => ", without a word to anybody",
        OrderKind::Return => " to the senders, with a notice",
        OrderKind::Hold | OrderKind::Release | OrderKind::Retry | OrderKind::Reroute => "",
    };
    let entries = counted(would.reached(), "entry", "entries");
    let recipients = counted(would.recipients, "recipient", "recipients");
    format!("{} {entries} with {recipients}{then}{}?", kind.name(), untold(would))
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `relais queue why`.
pub fn why(why: &[Why]) -> String {
    let mut page = String::new();
    for Why { channel, host, text, .. } in why {
        if why.len() > 1 {
            let _ = writeln!(page, "by {} to {}:", Printable(channel), Printable(host));
        }
        let _ = writeln!(page, "{}", Printable(text));
    }
    page
}

/// `relais queue history`.
pub fn history(lines: &Vec<HistoryLine>, look: Look) -> String {
    let titles = ["TIME", "1=CHANNEL", "2=HOST", "STATE", ">TRIES", "NEXT", "&WHAT"];
    let mut table = Table::new(&titles);
    for line in lines {
        let state = line.state.map_or("done", QueueState::name);
        let due = Relative { time: line.due, now: line.at };
        let mut what: Vec<String> = line.reason.iter().map(ToString::to_string).collect();
        let said = |reply: &RecipientReply| format!("<{}> {}", reply.address, reply.reply);
        what.extend(line.replies.iter().map(said));
        what.extend(line.peer.as_ref().map(|peer| format!("at {peer}")));
        what.extend(line.protection.as_ref().map(|protection| format!("by {protection}")));
        what.extend(line.timings.map(|timings| format!("in {timings}")));
        let first = what.first().cloned().unwrap_or_default();
        table.row([&line.at, &line.channel, &line.host, &state, &line.attempts, &due, &first]);
        for more in what.iter().skip(1) {
            table.row([&"", &"", &"", &"", &"", &"", more]);
        }
    }
    table.fit(look)
}

#[cfg(test)]
mod tests {
    use relais_channels::mail::XQuota;

    use super::*;
    use crate::{
        admin::fake::entry,
        api::{QueuedRecipient, RecipientState},
    };

    #[test]
    fn a_listing_names_recipients_that_are_open() {
        use RecipientState::{Active, Delivered, Failed};
        // recipients, what stands under TO
        let rows: [(&[RecipientState], &str); 4] = [
            (&[Active], " r0  -\n"),
            (&[Delivered, Active], " r1  -\n"),
            (&[Failed, Active, Delivered, Active, Active], " r1 and 2 more  -\n"),
            (&[Delivered], "<ann@example.org>  -   -\n"),
        ];
        for (states, want) in rows {
            let recipient = |(n, state): (usize, &RecipientState)| QueuedRecipient {
                address: format!("r{n}"),
                member: None,
                state: *state,
                last_reply: None,
                quota: None,
            };
            let recipients = states.iter().enumerate().map(recipient).collect();
            let mut listing = Listing::new(Look::PLAIN);
            let text = listing.page(&[QueuedEntry { recipients, ..entry(1) }]);
            assert!(text.ends_with(want), "{states:?}: {text}");
        }
    }

    #[test]
    fn a_message_and_its_header_are_told_in_good_english() {
        let entry = QueuedEntry { attempts: 1, ..entry(1) };
        let mut with_quota = entry.clone();
        with_quota.recipients[0].quota = Some(XQuota { size: 20 << 20, messages: -2 });
        let page = message(
            &QueuedMessage {
                id: entry.id.clone(),
                source_channel: "tcp_local".to_owned(),
                client: "a.example".to_owned(),
                header: vec!["Received: from a".to_owned(), "\tby b".to_owned()],
                entries: vec![with_quota, entry],
            },
            Look::PLAIN,
        );
        assert!(page.contains(": ready, 1 attempt\n"), "{page}");
        assert_eq!(page.matches("QUOTA").count(), 1, "only where there is one: {page}");
        assert!(page.contains("20.0 MiB, default"), "{page}");
        assert!(page.ends_with("  Received: from a\n      by b\n"), "{page}");
    }

    #[test]
    fn an_order_says_what_came_of_it() {
        let left = OrderProgress { later: 1, idle: 3, undelivered: 3, ..OrderProgress::default() };
        let rest = "; 1 in the hands of a job, as soon as back; 3 left as they are; 3 of those left \
                    are in channels that the configuration has lost";
        let rows = [
            (OrderKind::Retry, true, "2 entries would be tried now"),
            (OrderKind::Hold, true, "2 entries would be held"),
            (OrderKind::Retry, false, "2 entries to be tried now"),
        ];
        for (kind, dry_run, want) in rows {
            let done = OrderProgress { done: 2, ..OrderProgress::default() };
            assert_eq!(order(kind, dry_run, &done), want);
            let some = OrderProgress { done: 2, ..left.clone() };
            assert_eq!(order(kind, dry_run, &some), format!("{want}{rest}"));
        }
    }
}
