//! How long a job lasts. Shared by its connections, on whatever arbiter they run.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use relais_config::Channel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The life of a job: over after `max_life_time`, after `max_life_conns` asks for work, or when
/// the job controller says so. Connections look at it between two messages.
#[derive(Debug)]
pub(super) struct Life {
    until: Instant,
    asks_left: AtomicUsize,
    ended: CancellationToken,
}

impl Life {
    /// It begins now.
    pub(super) fn of(channel: &Channel, time: Duration) -> Self {
        Self {
            until: Instant::now() + time,
            asks_left: AtomicUsize::new(channel.max_life_conns.get()),
            ended: CancellationToken::new(),
        }
    }

    /// A connection asks for work.
    pub(super) fn ask(&self) {
        // Nobody asks once none is left, but for the few that ask at the same time.
        let less = |left: usize| Some(left.saturating_sub(1));
        let _ = self.asks_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether its connections should end.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
            || self.asks_left.load(Ordering::Relaxed) == 0
            || self.until <= Instant::now()
    }

    /// It is over, whatever is left.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Until somebody ends it. For connections that have nothing to do.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use relais_config::channel::Program;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_ends_a_life() {
        let channel = Channel {
            max_life_conns: 3.try_into().unwrap(),
            ..Channel::new("c", "c", Program::Lmtp)
        };
        let life = Life::of(&channel, Duration::from_secs(60));
        assert!(!life.is_over());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(life.is_over(), "its time");

        let life = Life::of(&channel, Duration::from_secs(60));
        life.ask();
        life.ask();
        assert!(!life.is_over());
        life.ask();
        life.ask();
        assert!(life.is_over(), "its asks for work");

        let life = Life::of(&channel, Duration::from_secs(60));
        let mut idle = std::pin::pin!(life.ended());
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut idle).await.is_err());
        life.end();
        assert!(life.is_over(), "an order");
        tokio::time::timeout(Duration::from_secs(1), idle)
            .await
            .expect("idle connections are told");
    }
}
