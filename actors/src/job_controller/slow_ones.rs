//! Slow destinations of a channel, and their connections. Pure.

use std::collections::BTreeSet;

use super::ranks::Ranks;
use crate::ids::ConnectionId;

/// Connections of one channel that nobody has greeted, and the destinations that are known for it.
#[derive(Debug, Default)]
pub(super) struct SlowOnes {
    /// Destinations that want connections, in line behind all others.
    pub(super) waiting: Ranks,
    /// Their connections that were not asked back.
    pub(super) connections: usize,
    /// Connections that nobody has greeted for long, and new ones of destinations known to be slow.
    pub(super) silent: BTreeSet<ConnectionId>,
    /// Silent connections that were told to give way, and have not ended.
    pub(super) yielding: BTreeSet<ConnectionId>,
}

impl SlowOnes {
    /// A connection was greeted, or is gone.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.silent.remove(&connection);
        self.yielding.remove(&connection);
    }

    /// A connection that is silent, or to a destination that is known to be slow. Returns whether that
    /// is news.
    pub(super) fn begun(&mut self, connection: ConnectionId) -> bool {
        !self.yielding.contains(&connection) && self.silent.insert(connection)
    }

    /// Whether nobody has greeted this connection for long.
    pub(super) fn is_silent(&self, connection: ConnectionId) -> bool {
        self.silent.contains(&connection)
    }
}
