//! Orders of operators, and how far each has come.

use std::{collections::BTreeSet, fmt};

use relais_actors::{metrics::QueueState, timestamp::Timestamp};
use relais_channels::mail::Timings;
use relais_config::grammar::is_nameable;
use serde::{Deserialize, Serialize};

use super::{GuardedText, OrderKind, QueueFilter, QueuedEntry, StandingPart};

/// An order, and the entries it is for: those of `ids`, or those that `filter` lets
/// through.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueueOrder {
    /// What.
    #[serde(rename = "action")]
    pub kind: OrderKind,
    /// With these messages; with those of the filter when empty. At most 1,000.
    #[serde(default)]
    pub ids: Vec<String>,
    /// With these entries.
    #[serde(default)]
    pub filter: QueueFilter,
    /// Only count them.
    #[serde(default)]
    pub dry_run: bool,
    /// The operator who orders it, for the history of the messages.
    #[serde(default)]
    pub by: String,
    /// Why, in the operator's words: for the log, the history, and the notice of a return. One
    /// line of at most [`MAX_REASON`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Nothing that came in later than this message: what [`OrderProgress::last`] of a dry run
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<String>,
    /// The standing order that has it done.
    #[serde(skip)]
    pub standing: Option<StandingPart>,
}

/// One line of the answer to an order; the last one has `ended`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct OrderProgress {
    /// Entries looked at so far.
    pub seen: u64,
    /// Entries there were to look at when it began.
    pub of: u64,
    /// Entries with which it was done; with a dry run, would be.
    pub done: u64,
    /// Open recipients of those of `done` and `later`.
    #[serde(default)]
    pub recipients: u64,
    /// Entries that a job has in hand; it is done as soon as they are back.
    pub later: u64,
    /// Entries that are so already, or with which it cannot be done.
    pub idle: u64,
    /// Entries of `idle` in channels that the configuration has lost, which is why.
    #[serde(default)]
    pub undelivered: u64,
    /// Entries that went, or changed, before it could be done.
    pub moved: u64,
    /// Ids that were named and of which nothing is in the queue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// With a dry run, the first of those with which it would be done; at most
    /// [`FIRST_SHOWN`](Self::FIRST_SHOWN).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<QueuedEntry>,
    /// When routing again, recipients that go another way, or cannot be routed; the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rerouted: Vec<Rerouted>,
    /// When trying now, the channels of those that are stopped: nothing moves before they start.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stopped: BTreeSet<String>,
    /// When returning, recipients whose senders are not told by it.
    #[serde(default, skip_serializing_if = "Untold::is_empty")]
    pub untold: Untold,
    /// Entries that are left as they are, by what keeps them; all are of `idle`.
    #[serde(default, skip_serializing_if = "Left::is_empty")]
    pub left: Left,
    /// When routing again, those of `done` that are held, and stay so where they are now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub still_held: u64,
    /// The last message that had come in when it began; later ones are not meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// All is done.
    pub ended: bool,
}

/// Recipients, of those that an order returns, of whom no sender is told, by what is in the way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Untold {
    /// Their messages have no sender: nobody is told, but for a postmaster who gets copies.
    #[serde(default)]
    pub null_sender: u64,
    /// Their senders asked for no notice of a failure: nobody is told.
    #[serde(default)]
    pub notify_never: u64,
    /// No rule leads to their senders: their notices go to the postmaster.
    #[serde(default)]
    pub no_way: u64,
    /// Their senders cannot be told now: they are held, and returned once more in a while.
    #[serde(default)]
    pub not_now: u64,
    /// Entries, not recipients: notices that have nowhere to go. Nobody could be told that they are
    /// lost, so they are left as they are.
    #[serde(default)]
    pub kept: u64,
}

impl Untold {
    /// Whether all are told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Of whom nobody is told.
    pub fn nobody(&self) -> u64 {
        self.null_sender + self.notify_never
    }
}

/// Entries that an order leaves as they are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Left {
    /// Entries that are held.
    #[serde(default)]
    pub held: u64,
    /// Entries that are not held.
    #[serde(default)]
    pub not_held: u64,
    /// When routing again: their recipients would go the way that they go already.
    #[serde(default)]
    pub same_way: u64,
    /// When routing again: none of their recipients can be routed.
    #[serde(default)]
    pub refused: u64,
    /// A job, or the notary, has them in hand.
    #[serde(default)]
    pub in_hand: u64,
    /// Their records cannot be read.
    #[serde(default)]
    pub unreadable: u64,
}

impl Left {
    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A recipient that is routed again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rerouted {
    /// The queue id.
    pub id: String,
    /// As the sender wrote it.
    pub recipient: String,
    /// Channel and host so far.
    pub from: String,
    /// Channel and host from now on, or why it stays.
    pub to: String,
}

/// `relais queue history --json`: one line for each thing that happened to an entry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HistoryLine {
    /// When.
    pub at: Timestamp,
    /// The channel of the entry.
    pub channel: String,
    /// Its destination.
    pub host: String,
    /// The state it took; absent when nothing is left of it.
    pub state: Option<QueueState>,
    /// When it was to be tried again.
    pub due: Option<Timestamp>,
    /// Attempts so far.
    pub attempts: u32,
    /// The replies, by recipient.
    pub replies: Vec<RecipientReply>,
    /// The operator who changed it, or why, when it was no attempt.
    pub reason: Option<GuardedText>,
    /// TLS and AUTH of the connection by which it was tried, in words; absent when it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<String>,
    /// The server by which it was tried, `host[address]:port` or the path of its socket; absent when none
    /// was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The time of each stage of an attempt at a server, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// The reply to one recipient.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecipientReply {
    /// Its address.
    pub address: String,
    /// The reply of the next hop, or ours in its place.
    pub reply: String,
    /// The next hop's own id of the message, where its reply tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
}

/// `relais queue why --json`: why one entry is where it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Why {
    /// The channel of the entry.
    pub channel: String,
    /// Its destination.
    pub host: String,
    /// The thing that it waits for, in a word that scripts may rely upon: `held`, `stopped`,
    /// `suspended`, `host_suspended`, `limited`, `due`, `active`, `notice`, `paused`, `in_line`,
    /// `beyond_memory`, `no_program`, `ordered` (by a standing order), `ready`.
    pub waits_for: String,
    /// The limit that keeps it from going now: `job_limit`, `maxjobs`, `threads` (its host has as many
    /// connections as it deserves), `last_slot`, `max_messages`; of a host `connections`, `rate`,
    /// `slow_down`, `suspend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Since when an active entry waits for what the text says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The standing order that keeps it, or has held it; absent when the order stands no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// The same in a few sentences.
    pub text: GuardedText,
}

/// `relais set`: a limit of the running engine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SetLimit {
    /// `SMTP_POOL.job_limit`, `tcp_local.maxjobs`, `tcp_local@host.example.connections`, ...
    pub key: String,
    /// The new value: a number, a time (`"5m"`), or `"default"`: the configuration's value.
    pub value: LimitValue,
    /// Over restarts, too.
    #[serde(default)]
    pub save: bool,
}

/// A number, or a time as the configuration file writes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LimitValue {
    /// Of jobs, connections, messages.
    Number(u64),
    /// A time, or a word.
    Text(String),
}

/// The change of a limit.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LimitSet {
    /// The full name of the limit: `job_controller.pools["SMTP_POOL"].job_limit`.
    pub key: String,
    /// The value before; nothing when there was no limit.
    pub was: Option<LimitValue>,
    /// The value now.
    pub now: Option<LimitValue>,
    /// The value after a restart.
    #[serde(default)]
    pub after_restart: Option<LimitValue>,
    /// The line for the configuration file; empty of what has no place there.
    pub line: String,
}

/// `relais set` without a value: a limit as it is now.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LimitShown {
    /// As `relais set` takes it: `SMTP_POOL.job_limit`.
    pub key: String,
    /// The value now; nothing when there is no limit.
    pub value: Option<LimitValue>,
    /// The configuration's value.
    pub configured: Option<LimitValue>,
    /// The value that `relais set --save` keeps over restarts.
    pub saved: Option<LimitValue>,
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Characters of the reason of an order.
pub const MAX_REASON: usize = 500;

/// Whether an operator's name or reason is one line of at most [`MAX_REASON`] characters, each of which is seen
/// where it stands.
pub fn is_plain(text: &str) -> bool {
    text.chars().count() <= MAX_REASON && is_nameable(text)
}

impl OrderProgress {
    /// Entries that a dry run shows.
    pub const FIRST_SHOWN: usize = 20;

    /// Entries that it reached, or will.
    pub fn reached(&self) -> u64 {
        self.done + self.later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_operators_show_all_that_they_are() {
        for (text, want) in [
            ("", true),
            ("closed: <bob> hat Ärger", true),
            ("می\u{200c}خواهم", true),
            (&"ä".repeat(MAX_REASON), true),
            (&"x".repeat(MAX_REASON + 1), false),
            ("two\nlines", false),
            ("\u{1b}[31m", false),
            ("a\u{202e}b", false),
            ("a\u{2066}b", false),
            ("a\u{200b}b", false),
        ] {
            assert_eq!(is_plain(text), want, "{text:?}");
        }
    }
}
