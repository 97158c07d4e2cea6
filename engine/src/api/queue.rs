//! Contents of the queue, entry by entry and in sum.

use std::borrow::Cow;

use relais_actors::{metrics::QueueState, timestamp::Timestamp};
use relais_channels::mail::XQuota;
use serde::{Deserialize, Serialize};

use super::OrderKind;

/// One line of `relais queue list --json`: the recipients of a message that leave together. A listing
/// has a million of them, and its texts, `T`, are borrowed: [`Text`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueuedEntry<T = String> {
    /// The queue id; entries of one message share it.
    pub id: T,
    /// The channel it leaves by.
    pub channel: T,
    /// The destination.
    pub host: T,
    /// The sender without angle brackets; empty for notifications.
    pub sender: T,
    /// Octets of content.
    pub size: u64,
    /// When the message was accepted.
    pub received: Timestamp,
    /// The state in which it waits.
    pub state: QueueState,
    /// Attempts that ended so far.
    pub attempts: u32,
    /// When it is tried again: of one that is `delayed`, and of any whose destination is in trouble
    /// the time at which that is probed; else absent.
    pub due: Option<Timestamp>,
    /// `urgent`, `normal`, `nonurgent` or `second class`.
    #[serde(default)]
    pub priority: T,
    /// The order that an operator gave while a job had it in hand: done as soon as it is given
    /// back, if it is then still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<OrderKind>,
    /// All of its recipients, those that are done included.
    pub recipients: Vec<QueuedRecipient<T>>,
}

/// One recipient of an entry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueuedRecipient<T = String> {
    /// As the sender wrote it.
    pub address: T,
    /// The address that an alias, a list or a forward made of it, where that is another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<T>,
    /// The entry's state while it is open, else how it ended.
    pub state: RecipientState,
    /// The last reply of the next hop, or ours in its place.
    pub last_reply: Option<T>,
    /// The quota that its store is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<XQuota>,
}

/// A text that is borrowed where it stands as it is: in a record, in a line of JSON without escapes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The state of a recipient so far.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientState {
    /// As [`QueueState::Ready`].
    Ready,
    /// As [`QueueState::Active`].
    Active,
    /// As [`QueueState::Delayed`].
    Delayed,
    /// As [`QueueState::Held`].
    Held,
    /// The next hop has taken responsibility.
    Delivered,
    /// Given up.
    Failed,
}

/// `relais queue show --json`: one message with all its entries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueuedMessage {
    /// The queue id.
    pub id: String,
    /// The channel it came in by.
    pub source_channel: String,
    /// The client that brought it: `name [address]`.
    pub client: String,
    /// The first lines of its header, bounded in number and length.
    pub header: Vec<String>,
    /// Entries, those that are done included.
    pub entries: Vec<QueuedEntry>,
}

/// `relais queue summary --json`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueueSummary {
    /// Channels with something in the queue, those that the configuration has lost included.
    pub channels: Vec<ChannelSummary>,
    /// The destinations with most entries, at most 20, the fullest first.
    pub hosts: Vec<HostSummary>,
}

/// The mail that waits in one channel.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChannelSummary {
    /// `"tcp_lmtpcs"`.
    pub channel: String,
    /// Entries.
    pub messages: u64,
    /// Recipients that are still open.
    pub recipients: u64,
    /// Octets of content, counted once for each entry.
    pub bytes: u64,
    /// Entries that could go now.
    pub ready: u64,
    /// Entries that are being tried.
    pub active: u64,
    /// Entries that wait for their next attempt.
    pub delayed: u64,
    /// Entries that wait for an operator.
    pub held: u64,
    /// Arrival of the oldest of them.
    pub oldest: Option<Timestamp>,
}

/// The mail that waits for one destination.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostSummary {
    /// The channel to it.
    pub channel: String,
    /// The destination.
    pub host: String,
    /// Entries.
    pub messages: u64,
    /// Arrival of the oldest of them.
    pub oldest: Option<Timestamp>,
}

impl<T: AsRef<str>> QueuedRecipient<T> {
    /// The addresses that it goes by.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [Some(&self.address), self.member.as_ref()].into_iter().flatten().map(T::as_ref)
    }
}

impl<T> QueuedEntry<T> {
    /// Its recipients that are neither reached nor given up.
    pub fn open(&self) -> impl Iterator<Item = &QueuedRecipient<T>> {
        self.recipients.iter().filter(|recipient| recipient.state.is_open())
    }
}

impl QueuedEntry<Text<'_>> {
    /// The same, borrowing nothing.
    pub fn into_owned(self) -> QueuedEntry {
        let owned = |Text(text): Text<'_>| text.into_owned();
        let recipient = |recipient: QueuedRecipient<Text<'_>>| QueuedRecipient {
            address: owned(recipient.address),
            member: recipient.member.map(owned),
            state: recipient.state,
            last_reply: recipient.last_reply.map(owned),
            quota: recipient.quota,
        };
        QueuedEntry {
            id: owned(self.id),
            channel: owned(self.channel),
            host: owned(self.host),
            sender: owned(self.sender),
            size: self.size,
            received: self.received,
            state: self.state,
            attempts: self.attempts,
            due: self.due,
            priority: owned(self.priority),
            ordered: self.ordered,
            recipients: self.recipients.into_iter().map(recipient).collect(),
        }
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl RecipientState {
    /// Whether it is still to be delivered.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Delivered | Self::Failed)
    }

    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Delayed => "delayed",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl From<QueueState> for RecipientState {
    fn from(state: QueueState) -> Self {
        match state {
            QueueState::Ready => Self::Ready,
            QueueState::Active => Self::Active,
            QueueState::Delayed => Self::Delayed,
            QueueState::Held => Self::Held,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::api) fn entry() -> QueuedEntry {
        QueuedEntry {
            id: "0000000000001".to_owned(),
            channel: "tcp_lmtpcs".to_owned(),
            host: "store1.example".to_owned(),
            sender: "Ann@example.org".to_owned(),
            size: 4096,
            received: Timestamp(10_000),
            state: QueueState::Delayed,
            attempts: 2,
            due: Some(Timestamp(70_000)),
            priority: "normal".to_owned(),
            ordered: None,
            recipients: vec![QueuedRecipient {
                address: "bob".to_owned(),
                member: None,
                state: QueueState::Delayed.into(),
                last_reply: Some("451 4.3.0 later".to_owned()),
                quota: None,
            }],
        }
    }

    #[test]
    fn an_entry_has_the_keys_that_scripts_rely_upon() {
        let json = serde_json::to_string(&entry()).unwrap();
        let want = concat!(
            r#"{"id":"0000000000001","channel":"tcp_lmtpcs","host":"store1.example","#,
            r#""sender":"Ann@example.org","size":4096,"received":"1970-01-01T00:00:10.000Z","#,
            r#""state":"delayed","attempts":2,"due":"1970-01-01T00:01:10.000Z","priority":"normal","#,
            r#""recipients":[{"address":"bob","state":"delayed","last_reply":"451 4.3.0 later"}]}"#
        );
        assert_eq!(json, want);
        assert_eq!(serde_json::from_str::<QueuedEntry>(want).unwrap(), entry());
    }

    #[test]
    fn an_entry_is_read_without_a_copy_of_its_texts() {
        let mut entry = entry();
        entry.recipients[0].last_reply = Some("451 \"later\"\t".to_owned());
        let json = serde_json::to_string(&entry).unwrap();
        let read: QueuedEntry<Text<'_>> = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert!(matches!(read.sender, Text(Cow::Borrowed(_))));
        assert!(matches!(read.recipients[0].last_reply, Some(Text(Cow::Owned(_)))));
        assert_eq!(read.into_owned(), entry);
    }
}
