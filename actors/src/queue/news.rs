//! News of entries that the queue tells the notary, which tells the senders, and the answers.

use std::{mem, sync::Arc};

use actix::Message;
use relais_channels::{
    dsn::Kind,
    mail::{NextHop, NextHops, Outcome},
};
use relais_config::Channel;
use relais_storage::EntryState;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    entry::Tracked,
    requests::{Reading, Reason},
};
use crate::{actor::Outlet, channel_table::next_hops, ids::Destination};

/// The news that senders are to be told.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum News {
    /// News to pass on. Each case comes back in a [`Noticed`], but for warnings.
    Tell(Vec<Case>),
    /// The engine stops: what is to be told once more in a while is told now, or given up.
    Draining,
}

/// From now on the news go to this outlet, in place of any before. It gets at once what was told
/// while there was none.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SubscribeToNews(pub Outlet<News>);

/// Some recipients of one entry, and the news of them.
#[derive(Debug)]
pub struct Case {
    /// The entry.
    pub entry: Tracked,
    /// Where it goes, or went.
    pub destination: Destination,
    /// The news.
    pub kind: Kind,
    /// Recipients that it concerns, a bit each.
    pub recipients: u64,
    /// The last replies to them, and when, as far as it is known.
    pub replies: Vec<LastReply>,
    /// How long a delayed message will be tried, in milliseconds since 1970.
    pub until: Option<u64>,
    /// The entry as the disk has it.
    pub was: EntryState,
    /// The state of the entry when the sender has been told. `None`: it stays as it is, this is a
    /// warning.
    pub then: Option<EntryState>,
    /// Other news of the same entry, to be told when these are settled.
    pub behind: Option<Box<Case>>,
    /// Bounds how many of a round are under way; free when this is dropped.
    pub room: Option<OwnedSemaphorePermit>,
    /// For a warning, the reading that found the entry: it tells whether that still waits.
    pub reading: Option<Arc<Reading>>,
    /// Why an operator wants it returned.
    pub ordered: Option<Reason>,
}

/// The last reply to one recipient.
#[derive(Clone, Debug)]
pub struct LastReply {
    /// Which.
    pub recipient: u8,
    /// What.
    pub outcome: Outcome,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The host whose words it is; `None`: they are ours.
    pub remote: Option<Arc<str>>,
}

/// The senders of these know, or could not be told for now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Noticed {
    /// The cases that it was about.
    pub cases: Vec<Case>,
    /// The result.
    pub told: Told,
}

/// The result of telling a sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// The notice is safe, or there is nobody to be told.
    Settled,
    /// Not now: the spool does not take it, or it is not known where the sender lives.
    Later,
    /// Never: the message cannot be read any more.
    Unreadable,
    /// There is nobody to be told, and it is a notice that nobody has got: it stays, held.
    Kept,
    /// The same of a notice that was refused itself.
    Dead,
}

/// Where the queue's news go. What is told before somebody has subscribed is kept; the queue bounds
/// how much that is.
#[derive(Debug, Default)]
pub(super) struct NewsDesk {
    reader: Option<Outlet<News>>,
    kept: Vec<News>,
}

impl NewsDesk {
    pub(super) fn tell(&mut self, cases: Vec<Case>) {
        self.pass_on(News::Tell(cases));
    }

    pub(super) fn pass_on(&mut self, news: News) {
        match &self.reader {
            Some(reader) => reader.tell(news),
            None => self.kept.push(news),
        }
    }

    pub(super) fn subscribe(&mut self, reader: Outlet<News>) {
        for news in mem::take(&mut self.kept) {
            reader.tell(news);
        }
        self.reader = Some(reader);
    }
}

/// The host whose words they are, as far as words tell: what we say in place of a host that did
/// not answer is about the network (RFC 3463 section 3.5).
pub fn speaker(outcome: &Outcome, channel: &Channel, host: &str) -> Option<Arc<str>> {
    let ours = outcome.reply().enhanced.is_some_and(|code| code.1 == 4);
    (!ours).then(|| name_of(channel, host))
}

/// As [`relais_channels::mail::Peer::host`] has it.
fn name_of(channel: &Channel, host: &str) -> Arc<str> {
    match next_hops(channel, host).as_ref().map(NextHops::first) {
        Some(NextHop::Host { name, .. }) => name.as_str().into(),
        Some(NextHop::Ip { address, .. }) => format!("[{address}]").into(),
        Some(NextHop::Unix(path)) => path.display().to_string().into(),
        None => host.into(),
    }
}
