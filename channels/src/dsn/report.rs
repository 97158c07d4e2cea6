//! The subject of a notice.

use crate::mail::{MessageId, OriginalRecipient, Reply};

/// One notice: one message, one kind of news, the recipients whom it concerns. Times are in
/// milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The news.
    pub kind: Kind,
    /// The queue id of the notice; its Message-ID is made of it.
    pub id: MessageId,
    /// Our official host name: `Reporting-MTA`.
    pub host: &'a str,
    /// The author: the postmaster's address.
    pub postmaster: &'a str,
    /// The reader: the sender of the message, without angle brackets.
    pub to: &'a str,
    /// When the notice is made.
    pub now: u64,
    /// The queue id of the message.
    pub message: MessageId,
    /// When the message came in: `Arrival-Date`.
    pub arrival: u64,
    /// ENVID, decoded: `Original-Envelope-Id`.
    pub envelope_id: Option<&'a str>,
    /// Recipients that it concerns, in the order in which they are shown; at least one. Each adds its
    /// address and its reply twice.
    pub recipients: &'a [RecipientReport<'a>],
    /// Why an operator returns it, in the operator's words, on one line.
    pub reason: Option<&'a str>,
    /// The part of the message that comes back.
    pub returned: Returned<'a>,
    /// Why that is not all of it, though the sender would have it.
    pub omission: Option<Omission>,
    /// The languages its reader would like, the dearest first (`"de-AT"`).
    pub languages: &'a [&'a str],
}

/// The news of a notice. Each has words of its own, and one `Action` (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Refused for good: `failed`.
    Failed,
    /// Waited for too long: `failed`, 4.4.7.
    TimedOut,
    /// Returned or deleted by an operator: `failed`, 5.0.0.
    Bounced,
    /// Still being tried: `delayed`.
    Delayed,
    /// In the mailbox: `delivered`.
    Delivered,
    /// Handed to a system that sends no such notices: `relayed`.
    Relayed,
    /// Sent on to the several members of a list: `expanded`.
    Expanded,
}

/// The fate of one recipient.
#[derive(Clone, Copy, Debug)]
pub struct RecipientReport<'a> {
    /// ORCPT: `Original-Recipient`.
    pub original: Option<&'a OriginalRecipient>,
    /// The address to show, without angle brackets: `Final-Recipient`. One that is no address, as
    /// the name of a list's member in a directory, is shown with the type `X-relais`.
    pub address: &'a str,
    /// The last reply: `Diagnostic-Code`, and `Status` where the kind leaves it open.
    pub reply: Option<&'a Reply>,
    /// The host whose words `reply` is ([`Peer::host`](crate::mail::Peer::host)): `Remote-MTA`.
    /// `None`: they are our own.
    pub remote: Option<&'a str>,
    /// When delivery was last tried: `Last-Attempt-Date`.
    pub last_attempt: Option<u64>,
    /// How long it will be tried: `Will-Retry-Until`; shown when delayed, and then only.
    pub retry_until: Option<u64>,
}

/// The part of the message that comes back. Lines end in CRLF; an end of line that does not is made one.
#[derive(Clone, Copy, Debug)]
pub enum Returned<'a> {
    /// All of it, unless it holds what a mail server need not take ([`Omission::LongLines`]), or
    /// [`Omission::Unconvertible`].
    Full(&'a [u8]),
    /// Its header ([`super::header_block`]), as much of it as any mail server takes. Empty: nothing
    /// comes back.
    Headers(&'a [u8]),
}

/// Why the content of a message does not come back. The notice would be refused for it, and nobody
/// would be told of anything.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Omission {
    /// A line has more than 998 octets (RFC 5321 section 4.5.3.1.6), or there is a NUL in it.
    LongLines,
    /// The message was refused for what is in it, or for its size.
    Refused,
    /// It is larger than what comes back here.
    TooLarge,
    /// Its headers are beyond ASCII, its reader's are not, and they have no form in ASCII: a boundary is
    /// none, or there are too many of them.
    Unconvertible,
}

/// A notice ready to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// Header, blank line, body; lines end in CRLF.
    pub content: Vec<u8>,
    /// It holds octets above 127, and wants `BODY=8BITMIME`.
    pub eight_bit: bool,
    /// Its header holds an address beyond ASCII, and wants SMTPUTF8.
    pub smtputf8: bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::TimedOut,
        Self::Bounced,
        Self::Delayed,
        Self::Delivered,
        Self::Relayed,
        Self::Expanded,
    ];

    /// Whether it says that somebody has the message.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Delivered | Self::Relayed | Self::Expanded)
    }

    /// The value of `Action`.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Failed | Self::TimedOut | Self::Bounced => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

impl Returned<'_> {
    /// As it was given.
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Full(octets) | Self::Headers(octets) => octets,
        }
    }
}
