//! Open files: how many the process may have, and how many of them connections from outside may
//! take. What disk, operators and deliveries need is kept for them, and every service has a share
//! of its own: a flood of clients on one keeps nobody else from working.

use std::{sync::Arc, time::Duration};

use relais_channels::mail::{Enhanced, Reply};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The open files of the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Descriptors {
    /// As many as the process may have.
    pub limit: usize,
    /// Connections from outside that there may be at once.
    pub connections: usize,
    /// Messages that may be on their way into files of their own at once.
    pub large_messages: usize,
}

/// The files of large messages on their way in: so many at once, over all services. Cheap to clone:
/// all clones are one.
#[derive(Clone, Debug)]
pub struct LargeMessages {
    room: Arc<Semaphore>,
    at_once: usize,
}

/// The right to one such file, while it is kept.
#[derive(Debug)]
pub struct LargeMessage {
    _permit: OwnedSemaphorePermit,
}

impl Descriptors {
    /// Raises the limit of the process as far as the system lets it, and keeps `reserved` for what
    /// is no connection from outside.
    pub fn raise(reserved: usize) -> Self {
        let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: maximum, maximum };
        if current != maximum && setrlimit(Resource::Nofile, raised).is_ok() {
            current = maximum;
        }
        let limit = current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Self::within(limit, reserved)
    }

    /// With a limit of so many open files. However low it is, half of it is for connections.
    fn within(limit: usize, reserved: usize) -> Self {
        let free = limit - reserved.min(limit / 2);
        let large_messages = free.div_ceil(PER_LARGE_MESSAGE);
        Self { limit, connections: free - large_messages, large_messages }
    }

    /// Divides the connections between services that want so many each. Who wants little gets it
    /// all; the others get the same.
    pub fn shares(&self, wanted: &[usize]) -> Vec<usize> {
        let mut by_size: Vec<_> = wanted.iter().copied().enumerate().collect();
        by_size.sort_by_key(|(_, wanted)| *wanted);
        let (mut left, mut shares) = (self.connections, vec![0; wanted.len()]);
        for (served, (i, wanted)) in by_size.into_iter().enumerate() {
            shares[i] = wanted.min((left / (shares.len() - served)).max(1));
            left = left.saturating_sub(shares[i]);
        }
        shares
    }
}

impl LargeMessages {
    /// For so many at once, at least one.
    pub fn new(at_once: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(at_once)), at_once }
    }

    /// Waits until there is room for one more; `None`: there was none for a while.
    pub async fn begin(&self) -> Option<LargeMessage> {
        self.begin_together(1).await?.pop()
    }

    /// Waits until there is room for so many that belong together: messages that waited for a second
    /// file with the first in hand would wait for each other. Of more than there may ever be, the rest
    /// goes without a right.
    pub async fn begin_together(&self, files: usize) -> Option<Vec<LargeMessage>> {
        let count = u32::try_from(files.min(self.at_once)).unwrap_or(u32::MAX);
        let permits = timeout(PATIENCE, Arc::clone(&self.room).acquire_many_owned(count)).await;
        let mut permits = permits.ok()?.ok()?;
        let each = (0..count).filter_map(|_| permits.split(1));
        Some(each.map(|permit| LargeMessage { _permit: permit }).collect())
    }
}

/// The reply when there is no room.
pub(super) const TOO_MANY_LARGE: Reply =
    Reply::new(452, Enhanced(4, 3, 1), "too many large messages at once, try again later");
/// A connection has its socket, and a file while its message is large: one in so many open files is
/// for those.
const PER_LARGE_MESSAGE: usize = 4;
/// How long a large message waits for a file.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_is_not_reserved_and_at_least_half() {
        // limit, reserved, connections, large messages
        let rows = [
            (1_024, 500, 393, 131),
            (20_000, 756, 14_433, 4_811),
            (1_000_000, 500, 749_625, 249_875),
            (256, 500, 96, 32),
            (3, 0, 2, 1),
            (0, 9, 0, 0),
        ];
        for (limit, reserved, connections, large_messages) in rows {
            let expected = Descriptors { limit, connections, large_messages };
            assert_eq!(Descriptors::within(limit, reserved), expected);
        }
    }

    #[test]
    fn who_wants_little_gets_it_and_nobody_gets_nothing() {
        // connections, wanted, shares
        let rows: [(usize, &[usize], &[usize]); 5] = [
            (1_000, &[500, 500], &[500, 500]),
            (100, &[500, 500], &[50, 50]),
            (100, &[500, 10, 500], &[45, 10, 45]),
            (0, &[500, 500], &[1, 1]),
            (7, &[], &[]),
        ];
        for (connections, wanted, shares) in rows {
            let descriptors = Descriptors { limit: 0, connections, large_messages: 0 };
            assert_eq!(descriptors.shares(wanted), shares, "{connections} {wanted:?}");
        }
    }
    #[tokio::test(start_paused = true)]
    async fn a_large_message_waits_for_a_file_but_not_for_ever() {
        let large_messages = LargeMessages::new(1);
        let first = large_messages.begin().await.expect("room");
        assert!(large_messages.begin().await.is_none());
        let (second, ()) = tokio::join!(large_messages.begin(), async { drop(first) });
        assert!(second.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_belong_together_wait_for_no_others_with_one_in_hand() {
        let large_messages = LargeMessages::new(3);
        let first = large_messages.begin_together(2).await.expect("room");
        assert!(large_messages.begin_together(2).await.is_none());
        // A wait in vain has kept none.
        assert!(large_messages.begin().await.is_some());
        drop(first);
        assert_eq!(large_messages.begin_together(5).await.map(|its| its.len()), Some(3));
        assert!(large_messages.begin().await.is_some());
    }
}
