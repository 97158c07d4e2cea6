//! Mail of our own: notices, automatic replies, reports. It is from nobody, so that nobody is told when it
//! does not arrive.

use std::sync::Arc;

use relais_channels::mail::{Address, Enhanced, Entry, Envelope, MessageId, Recipient, Reply};
use relais_config::channel::Program;

use crate::{
    channel_table::Channels,
    router::{Poster, Question, Route, RouterHandle, grouped},
    timestamp::now_ms,
};

/// The reply about a reader whose address is none.
pub const MALFORMED: Reply = Reply::new(550, Enhanced(5, 1, 3), "malformed address");

/// The channel that it comes in by: `process`, as in the original, when there is one.
pub fn source_channel(channels: &Channels) -> &str {
    let process = channels.iter().find(|(_, c)| c.program == Program::Process);
    process.map_or("process", |(_, channel)| &channel.name)
}

/// The question to the router about a reader. Anybody may name a list as the sender of a message, so a
/// list is asked as by any other mail from nobody: only the postmaster's takes notices in any case.
pub fn question_of<'a>(channels: &'a Channels, address: &'a Address) -> Question<'a> {
    let poster = Poster::Queued;
    Question { poster, ..Question::of_nobody(address, source_channel(channels)) }
}

/// Where a reader lives.
pub async fn way_to(
    router: &RouterHandle,
    channels: &Channels,
    address: &str,
) -> Result<Arc<[Route]>, Reply> {
    let address = Address::parse(address).map_err(|_| MALFORMED)?;
    router.resolve(&question_of(channels, &address)).await
}

/// Its entries in the queue: these readers, each with his ways.
pub fn entries_for<'a>(
    channels: &Channels,
    readers: impl Iterator<Item = (&'a Recipient, &'a [Route])> + Clone,
) -> Vec<Entry> {
    grouped(channels, source_channel(channels), readers)
}

/// Its envelope, to these.
pub fn envelope(id: MessageId, channels: &Channels, entries: Vec<Entry>) -> Envelope {
    Envelope {
        source_channel: source_channel(channels).into(),
        ..Envelope::plain(id, now_ms(), entries)
    }
}
