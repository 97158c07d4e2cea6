//! Traces of messages, for people.

use std::fmt::Write;

use relais_actors::events::Printable;

use super::Size;
use crate::api::{StoreTrace, TraceAnswer, TraceEvent, TracedMessage, UnaskedStore};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `relais trace`: a block for each message, the newest first.
pub fn trace(answer: &TraceAnswer) -> String {
    let mut page = String::new();
    for (number, message) in answer.messages.iter().enumerate() {
        if number > 0 {
            page.push('\n');
        }
        tell(message, "", &answer.messages, &mut page);
    }
    if answer.more {
        page.push_str(
            "\nThere are more: narrow it down by --since and --until, or raise --limit\n",
        );
    }
    for UnaskedStore { socket, error } in &answer.unasked {
        let _ = writeln!(page, "\nnot asked: {}: {}", Printable(socket), Printable(error));
    }
    for loss in &answer.lost {
        let _ = writeln!(page, "\n{} records were lost until {}", loss.records, loss.until);
    }
    if answer.damaged > 0 {
        let _ = writeln!(page, "\n{} blocks of the history are damaged", answer.damaged);
    }
    page
}

/// `others`: what else is known here.
fn tell(message: &TracedMessage, indent: &str, others: &[TracedMessage], page: &mut String) {
    let TracedMessage { id, from, size, client, source_channel, message_id, .. } = message;
    let name = id.as_deref().unwrap_or("refused");
    let _ = write!(page, "{indent}{name}");
    match from {
        Some(from) => {
            let _ = write!(page, "  from <{}>", Printable(from));
        }
        None => page.push_str("  its beginning is not kept any more"),
    }
    if let Some(client) = client {
        let _ = write!(page, "  by {}", Printable(client));
    }
    if let Some(channel) = source_channel {
        let _ = write!(page, "  {}", Printable(channel));
    }
    if let Some(size) = size.filter(|size| *size > 0) {
        let _ = write!(page, "  {}", Size(size));
    }
    page.push('\n');
    if let Some(message_id) = message_id {
        let _ = writeln!(page, "{indent}  Message-ID {}", Printable(message_id));
    }
    for event in &message.events {
        tell_event(event, indent, page);
    }
    if message.cut {
        let _ = writeln!(page, "{indent}  and more");
    }
    for StoreTrace { socket, messages } in &message.stores {
        let _ = writeln!(page, "{indent}  at {}:", Printable(socket));
        for message in messages {
            tell(message, "    ", messages, page);
        }
    }
    let is_told = !message.stores.is_empty() || is_here(name, others);
    if let Some(event) = message.events.iter().find(|its| goes_further(its)).filter(|_| !is_told) {
        let host = Printable(&event.host);
        let _ =
            writeln!(page, "{indent}  where {host} runs relais, ask there: relais trace {name}");
    }
    if message.queued == Some(true) {
        let _ = writeln!(page, "{indent}  waits in the queue: relais queue why {name}");
    }
}

/// Whether somebody else took it, who may know more.
fn goes_further(event: &TraceEvent) -> bool {
    event.action == 'D' && event.mailbox.is_empty() && !event.host.is_empty()
}

/// Whether a mailbox of this engine has it: its own record of that is among the `others`.
fn is_here(name: &str, others: &[TracedMessage]) -> bool {
    let stored = |its: &TraceEvent| !its.mailbox.is_empty() && its.peer_id == name;
    others.iter().flat_map(|other| &other.events).any(stored)
}

fn tell_event(event: &TraceEvent, indent: &str, page: &mut String) {
    let TraceEvent { at, action, channel, host, reply, attempts, peer_id, .. } = event;
    let _ = write!(page, "{indent}  {at}  {:9}", done(*action));
    for (number, to) in event.recipients.iter().enumerate() {
        let _ = write!(page, "{}<{}>", if number > 0 { "," } else { " " }, Printable(&to.address));
        if to.routed != to.address {
            let _ = write!(page, " as <{}>", Printable(&to.routed));
        }
    }
    page.push('\n');
    let mut line = |text: String| {
        let _ = writeln!(page, "{indent}    {text}");
    };
    if !channel.is_empty() {
        let by = format!("by {}", Printable(channel));
        let to = if host.is_empty() { String::new() } else { format!(" to {}", Printable(host)) };
        let tries = if *attempts > 1 { format!(", attempt {attempts}") } else { String::new() };
        line(format!("{by}{to}{tries}"));
    }
    if !event.peer.is_empty() {
        let with = if event.protection.is_empty() { "" } else { " with " };
        line(format!("at {}{with}{}", Printable(&event.peer), Printable(&event.protection)));
    }
    if !event.user.is_empty() {
        line(format!("user {}", Printable(&event.user)));
    }
    if !event.filter.is_empty() {
        line(format!("filter {}", Printable(&event.filter)));
    }
    line(Printable(reply).to_string());
    if !event.mailbox.is_empty() {
        line(format!("in {}", Printable(&event.mailbox)));
    }
    if !peer_id.is_empty() {
        let id = Printable(peer_id);
        line(match action {
            'N' => format!("it is {id}: relais trace {id}"),
            'E' => format!("about {id}: relais trace {id}"),
            _ if event.mailbox.is_empty() => format!("the next server calls it {id}"),
            _ => format!("the client calls it {id}"),
        });
    }
}

/// An action of the transaction record in a word.
fn done(action: char) -> &'static str {
    match action {
        'E' => "queued",
        'D' => "delivered",
        'Q' => "deferred",
        'R' => "failed",
        'K' => "failed, and the sender is not told",
        'W' => "warned",
        'X' => "deleted",
        'J' => "refused",
        'Z' => "discarded",
        'H' => "held",
        'L' => "released",
        'N' => "told of",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use relais_actors::timestamp::Timestamp;

    use super::*;
    use crate::api::TracedRecipient;

    #[test]
    fn a_message_is_a_block_and_strangers_draw_nothing() {
        let event = TraceEvent {
            at: Timestamp(0),
            action: 'D',
            recipients: vec![TracedRecipient { address: "a@b".into(), routed: "c@d".into() }],
            channel: "tcp_local".into(),
            host: "d".into(),
            reply: "250 2.0.0 Ok\u{1b}[2J".into(),
            attempts: 2,
            mailbox: String::new(),
            peer_id: "4XYZ".into(),
            peer: "mx.d[192.0.2.1]:25".into(),
            protection: "TLSv1.3".into(),
            user: String::new(),
            filter: String::new(),
        };
        let message = TracedMessage {
            id: Some("0000000000001".into()),
            from: Some(String::new()),
            size: Some(2_048),
            client: Some("c [192.0.2.7]".into()),
            source_channel: Some("tcp_local".into()),
            message_id: Some("<1@x>".into()),
            queued: Some(true),
            events: vec![event],
            ..TracedMessage::default()
        };
        let answer = TraceAnswer { messages: vec![message], ..TraceAnswer::default() };
        assert_eq!(
            trace(&answer),
            "0000000000001  from <>  by c [192.0.2.7]  tcp_local  2.0 KiB\n  \
             Message-ID <1@x>\n  \
             1970-01-01T00:00:00.000Z  delivered <a@b> as <c@d>\n    \
             by tcp_local to d, attempt 2\n    \
             at mx.d[192.0.2.1]:25 with TLSv1.3\n    \
             250 2.0.0 Ok?[2J\n    \
             the next server calls it 4XYZ\n  \
             where d runs relais, ask there: relais trace 0000000000001\n  \
             waits in the queue: relais queue why 0000000000001\n"
        );
    }

    #[test]
    fn nobody_is_sent_to_ask_this_engine() {
        let event = |mailbox: &str, peer_id: &str| TraceEvent {
            at: Timestamp(0),
            action: 'D',
            recipients: Vec::new(),
            channel: "stores".into(),
            host: "store.test".into(),
            reply: String::new(),
            attempts: 1,
            mailbox: mailbox.into(),
            peer_id: peer_id.into(),
            peer: "store.test[192.0.2.1]:24".into(),
            protection: String::new(),
            user: String::new(),
            filter: String::new(),
        };
        let message = |id: &str, event| TracedMessage {
            id: Some(id.into()),
            events: vec![event],
            ..TracedMessage::default()
        };
        // the id by which the store knows it, whether somebody is to be asked
        for (peer_id, asks) in [("1K", false), ("2K", true)] {
            let messages = vec![message("1K", event("", "")), message("3K", event("a", peer_id))];
            let answer = TraceAnswer { messages, ..TraceAnswer::default() };
            let page = trace(&answer);
            assert_eq!(page.contains("ask there: relais trace 1K"), asks, "{page}");
        }
    }
}
