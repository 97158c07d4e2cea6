//! Messages as the delivery history has them.

use relais_actors::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Which messages are wanted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TraceQuestion {
    /// A queue id, an address, a `Message-ID`, or another server's id; exactly.
    pub name: String,
    /// Things that happened earlier do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Nor do those that happened later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Messages at most, the newest first; 1 to 1000, 20 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Do not ask the stores.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

/// `relais trace --json`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TraceAnswer {
    /// The newest first.
    pub messages: Vec<TracedMessage>,
    /// There may be more.
    pub more: bool,
    /// Records that the history has lost in this time.
    pub lost: Vec<TraceLoss>,
    /// Blocks of the history that cannot be read.
    pub damaged: u64,
    /// Stores that could not be asked.
    #[serde(default)]
    pub unasked: Vec<UnaskedStore>,
}

/// A message.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TracedMessage {
    /// The queue id; absent when it was refused.
    pub id: Option<String>,
    /// The sender; absent when its beginning is not kept any more.
    pub from: Option<String>,
    /// Octets; absent as above.
    pub size: Option<u64>,
    /// The client that brought it: `name [address]`.
    pub client: Option<String>,
    /// The channel it came in by.
    pub source_channel: Option<String>,
    /// The header's `Message-ID`; absent when it has none.
    pub message_id: Option<String>,
    /// The queue ids of notices that tell its sender, or whoever hears in its place, what became of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// It is a notice: the queue id of the message that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// It waits in the queue; absent when no engine was asked.
    pub queued: Option<bool>,
    /// All that happened to it, in order.
    pub events: Vec<TraceEvent>,
    /// More happened to it than is shown.
    pub cut: bool,
    /// The same message at stores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<StoreTrace>,
}

/// One thing that happened to it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TraceEvent {
    /// When.
    pub at: Timestamp,
    /// The letter of the transaction record.
    pub action: char,
    /// To which recipients.
    pub recipients: Vec<TracedRecipient>,
    /// The channel it leaves by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// The destination.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The reply of the next hop, or ours.
    pub reply: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The mailbox it was stored in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mailbox: String,
    /// The other side's name for the message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub peer_id: String,
    /// The server that was connected to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// TLS and AUTH of that connection.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protection: String,
    /// The user who had logged in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The filter that refused it, or threw it away.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter: String,
}

/// A recipient.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TracedRecipient {
    /// As the sender wrote it.
    pub address: String,
    /// As it was routed.
    pub routed: String,
}

/// Records were lost.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TraceLoss {
    /// When the history went on.
    pub until: Timestamp,
    /// How many.
    pub records: u64,
}

/// A message as a store has it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StoreTrace {
    /// Its admin socket.
    pub socket: String,
    /// The message there.
    pub messages: Vec<TracedMessage>,
}

/// A store that could not be asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UnaskedStore {
    /// Its admin socket.
    pub socket: String,
    /// Why.
    pub error: String,
}

/// `relais trace --forget`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetOrder {
    /// The address.
    pub address: String,
    /// The operator, as the command line knows it.
    #[serde(default)]
    pub by: String,
}

/// The records that were forgotten.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TraceForgotten {
    /// Records that are gone.
    pub records: u64,
    /// Records that have one recipient less.
    pub shortened: u64,
}
