//! Ids of channels, destinations, connections and jobs, as actors tell each other of them. This
//! room knows nothing else of the house.

use std::sync::Arc;

/// A channel by its place in the configuration file.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelId(pub u16);

/// Where an entry goes: a channel and one of its hosts. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Destination {
    /// The channel.
    pub channel: ChannelId,
    /// The host as the router named it, in lower case.
    pub host: Arc<str>,
}

/// A connection of a job, for as long as the task that serves it runs. Later ones have larger
/// numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

/// A job, for as long as it runs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JobId(pub u32);

/// A worker of one service.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkerId(pub u32);
