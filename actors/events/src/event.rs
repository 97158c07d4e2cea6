//! One event, as it is written.

use std::borrow::Cow;

use relais_channels::mail::Timings;
use relais_config::EventKind;
use serde::{Serialize, Serializer};

/// An event. What is not known is left out. Foreign text is to be fit for a line of log.
#[derive(Clone, Debug, Serialize)]
pub struct Event<'a> {
    /// The kind.
    #[serde(serialize_with = "named")]
    pub kind: EventKind,
    /// When: RFC 3339, in UTC, with milliseconds.
    pub time: String,
    /// The queue id.
    #[serde(skip_serializing_if = "is_empty")]
    pub id: Cow<'a, str>,
    /// The sender; empty for notices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Cow<'a, str>>,
    /// The recipients that it is about.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub recipients: Vec<EventRecipient<'a>>,
    /// Recipients beyond these.
    #[serde(skip_serializing_if = "is_none")]
    pub more_recipients: usize,
    /// The channel it leaves by.
    #[serde(skip_serializing_if = "is_empty")]
    pub channel: Cow<'a, str>,
    /// The channel it came in by.
    #[serde(skip_serializing_if = "is_empty")]
    pub source_channel: Cow<'a, str>,
    /// The service that a client came to.
    #[serde(skip_serializing_if = "is_empty")]
    pub service: Cow<'a, str>,
    /// The destination.
    #[serde(skip_serializing_if = "is_empty")]
    pub host: Cow<'a, str>,
    /// The server that was connected to, or the client that came.
    #[serde(skip_serializing_if = "is_empty")]
    pub peer: Cow<'a, str>,
    /// TLS, whether the certificate is good, and AUTH.
    #[serde(skip_serializing_if = "is_empty")]
    pub protection: Cow<'a, str>,
    /// The reply of the next hop, or ours in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<EventReply<'a>>,
    /// Attempts that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Octets of content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Seconds since it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<f64>,
    /// Where it lies, below the path of the store.
    #[serde(skip_serializing_if = "is_empty")]
    pub mailbox: Cow<'a, str>,
    /// The other side's name for it.
    #[serde(skip_serializing_if = "is_empty")]
    pub peer_id: Cow<'a, str>,
    /// The header's `Message-ID`.
    #[serde(skip_serializing_if = "is_empty")]
    pub message_id: Cow<'a, str>,
    /// The client that brought it: `name [address]`.
    #[serde(skip_serializing_if = "is_empty")]
    pub client: Cow<'a, str>,
    /// The user who had logged in.
    #[serde(skip_serializing_if = "is_empty")]
    pub user: Cow<'a, str>,
    /// The filter that decided it.
    #[serde(skip_serializing_if = "is_empty")]
    pub filter: Cow<'a, str>,
    /// The kind of cause, in one word.
    #[serde(skip_serializing_if = "is_empty")]
    pub cause: Cow<'a, str>,
    /// Why, in words.
    #[serde(skip_serializing_if = "is_empty")]
    pub reason: Cow<'a, str>,
    /// The operator who ordered it.
    #[serde(skip_serializing_if = "is_empty")]
    pub operator: Cow<'a, str>,
    /// The standing order that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// Of an attempt at a server: milliseconds of each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// How often it has happened since the last event of its kind and peer, where that is more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// A recipient.
#[derive(Clone, Debug, Serialize)]
pub struct EventRecipient<'a> {
    /// As the sender named it.
    pub address: Cow<'a, str>,
    /// The address that an alias, a list or a forward made of it, or that it is delivered by, where that is
    /// another one.
    #[serde(skip_serializing_if = "is_empty")]
    pub routed: Cow<'a, str>,
}

/// A reply.
#[derive(Clone, Debug, Serialize)]
pub struct EventReply<'a> {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<String>,
    /// The text.
    #[serde(skip_serializing_if = "is_empty")]
    pub text: Cow<'a, str>,
}

impl Event<'_> {
    /// Of this kind, at this time; nothing else is known.
    pub const fn new(kind: EventKind, time: String) -> Self {
        const NOTHING: Cow<'static, str> = Cow::Borrowed("");
        Self {
            kind,
            time,
            id: NOTHING,
            from: None,
            recipients: Vec::new(),
            more_recipients: 0,
            channel: NOTHING,
            source_channel: NOTHING,
            service: NOTHING,
            host: NOTHING,
            peer: NOTHING,
            protection: NOTHING,
            reply: None,
            attempts: None,
            size: None,
            delay: None,
            mailbox: NOTHING,
            peer_id: NOTHING,
            message_id: NOTHING,
            client: NOTHING,
            user: NOTHING,
            filter: NOTHING,
            cause: NOTHING,
            reason: NOTHING,
            operator: NOTHING,
            order: None,
            timings: None,
            times: None,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn named<S: Serializer>(kind: &EventKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_none(count: &usize) -> bool {
    *count == 0
}
