//! Mail that stays on this machine: into the mailboxes of accounts, and into files.

use std::path::Path;

use relais_channels::{
    mail::{Address, Attempt, Content, Enhanced, Envelope, Outcome, Recipient, Reply},
    mbox::MboxMessage,
};
use relais_config::Channel;
use relais_storage::open_recipients;
use tokio::{fs::File, io::AsyncReadExt};

use crate::{
    router::{DEV_NULL, FILES},
    store::{Undelivered, UnixMailboxes},
};

/// Delivers to the recipients `open`, a bit each, of an entry of this destination.
pub(super) async fn deliver(
    mailboxes: Option<&UnixMailboxes>,
    (channel, host): (&Channel, &str),
    (envelope, entry, open): (&Envelope, u16, u64),
    content: &Content,
) -> Attempt {
    let recipients = envelope.entries.get(usize::from(entry)).map(|entry| &*entry.recipients);
    let mut outcomes = Attempt { outcomes: [].into_iter().collect(), trouble: None, peer: None };
    for index in open_recipients(open) {
        let recipient = recipients.and_then(|all| all.get(usize::from(index)));
        let outcome = match (mailboxes, recipient) {
            (Some(mailboxes), Some(recipient)) => {
                let sender = envelope.sender_of(recipient);
                deliver_to(mailboxes, (channel, host), (sender, recipient), content).await
            }
            (None, _) => Outcome::Deferred(NO_MAILBOXES),
            (_, None) => Outcome::Deferred(NO_SUCH_ENTRY),
        };
        outcomes.outcomes.push(outcome);
    }
    outcomes
}

async fn deliver_to(
    mailboxes: &UnixMailboxes,
    (channel, host): (&Channel, &str),
    (sender, recipient): (&str, &Recipient),
    content: &Content,
) -> Outcome {
    let local = |address: &str| {
        Address::parse(address).map_or_else(|_| address.to_owned(), |its| its.unquoted_local())
    };
    let name = local(&recipient.address);
    let file = host.strip_prefix(FILES).map(|account| (account, name.trim_start_matches('+')));
    if file.is_some_and(|(_, path)| path == DEV_NULL) {
        return Outcome::Delivered(Reply::new(250, Enhanced(2, 0, 0), "discarded: /dev/null"));
    }
    // As in Postfix, whatever aliases made of it here.
    let original = &*recipient.original;
    match was_here(original, content).await {
        Ok(false) => {}
        Ok(true) => return Outcome::Failed(CIRCLE),
        Err(error) => {
            let text = format!("the message cannot be read: {error}");
            return Outcome::Deferred(Reply::with_text(451, Enhanced(4, 3, 0), text));
        }
    }
    let head =
        format!("Return-Path: <{sender}>\nX-Original-To: {original}\nDelivered-To: {original}\n");
    let message =
        MboxMessage { sender: sender.into(), head: head.into_bytes(), content: content.clone() };
    let (delivered, place) = match file {
        Some(("", path)) => (mailboxes.to_file(Path::new(path), message).await, path),
        Some((account, path)) => {
            (mailboxes.to_own_file(account, Path::new(path), message).await, path)
        }
        None => (to_mailbox(mailboxes, channel, &name, message).await, ""),
    };
    match delivered {
        Ok(()) if place.is_empty() => Outcome::Delivered(DELIVERED),
        Ok(()) => {
            let text = format!("delivered to file: {place}");
            Outcome::Delivered(Reply::with_text(250, Enhanced(2, 0, 0), text))
        }
        Err(Undelivered::NoAccount) => Outcome::Failed(UNKNOWN),
        Err(error) => Outcome::Deferred(error.reply()),
    }
}

/// The mailbox of a local part; behind the delimiter stands nothing that it goes by.
async fn to_mailbox(
    mailboxes: &UnixMailboxes,
    channel: &Channel,
    name: &str,
    message: MboxMessage,
) -> Result<(), Undelivered> {
    let delimiter = &channel.recipient_delimiter;
    let at = name.find(delimiter.as_str()).filter(|at| *at > 0 && !delimiter.is_empty());
    let Some(at) = at else { return mailboxes.to_account(name, message).await };
    match mailboxes.to_account(name, message.clone()).await {
        Err(Undelivered::NoAccount) => mailboxes.to_account(&name[..at], message).await,
        delivered => delivered,
    }
}

/// Whether the message has been delivered to this address before, as it says itself.
async fn was_here(address: &str, content: &Content) -> std::io::Result<bool> {
    let mut begin = Vec::new();
    let begin = match content {
        Content::Whole(octets) => &**octets,
        Content::File { path, .. } => {
            File::open(path).await?.take(MOST_HEADER).read_to_end(&mut begin).await?;
            &begin
        }
    };
    let lines = begin.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
    let mut header = lines.take_while(|line| !line.is_empty());
    Ok(header.any(|line| {
        let value = line.get(..DELIVERED_TO.len()).zip(line.get(DELIVERED_TO.len()..));
        value.is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case(DELIVERED_TO)
                && value.trim_ascii().eq_ignore_ascii_case(address.as_bytes())
        })
    }))
}

const DELIVERED: Reply = Reply::new(250, Enhanced(2, 0, 0), "delivered to mailbox");
const UNKNOWN: Reply = Reply::new(550, Enhanced(5, 1, 1), "unknown user");
const CIRCLE: Reply =
    Reply::new(554, Enhanced(5, 4, 6), "the mail was delivered to this address before");
const NO_MAILBOXES: Reply =
    Reply::new(451, Enhanced(4, 3, 5), "the configuration has no UNIX mailboxes (native) any more");
const NO_SUCH_ENTRY: Reply =
    Reply::new(451, Enhanced(4, 3, 0), "the spool's record has no such recipient");
const DELIVERED_TO: &[u8] = b"delivered-to:";
/// Octets of a header that are looked at.
const MOST_HEADER: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_says_where_it_has_been() {
        let rows = [
            ("Delivered-To: joe@a.example\r\n\r\n", true),
            ("Subject: x\r\ndelivered-to:JOE@a.example \r\n\r\n", true),
            ("Delivered-To: joe@b.example\r\n\r\n", false),
            ("Subject: x\r\n\r\nDelivered-To: joe@a.example\r\n", false),
            ("", false),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        for (text, want) in rows {
            std::fs::write(&path, text).unwrap();
            let file = Content::File { path: path.clone(), size: text.len() as u64 };
            for content in [Content::Whole(text.as_bytes().into()), file] {
                assert_eq!(was_here("joe@a.example", &content).await.unwrap(), want, "{text}");
            }
        }
    }
}
