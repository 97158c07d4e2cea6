//! A courier and the limits of its destination: it waits for the turn of each message, and ends where
//! the wait is long. Nothing is said to a server meanwhile.

use std::time::Duration;

use relais_channels::mail::Attempt;

use super::{admission::NextTurn, courier::Courier};
use crate::{
    channel_table::LiveTimes,
    queue::{LimitReached, Settled, Throttled},
};

impl Courier {
    /// Waits until the next message may go; `false`: not soon, and the courier ends.
    pub(super) async fn waits_for_its_turn(&self, settled: &mut Option<Settled>) -> bool {
        let wait = match self.admission.next_message(self.patience()) {
            NextTurn::After(Duration::ZERO) => return true,
            NextTurn::After(wait) => Some(wait),
            NextTurn::Denied(denied) => {
                self.is_throttled(denied);
                None
            }
        };
        // Nobody waits for the news of the last one.
        if let Some(settled) = settled.take() {
            self.settle(settled);
        }
        let Some(wait) = wait else { return false };
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.life.ended() => false,
        }
    }

    /// Whether another message may go at once.
    pub(super) fn has_its_turn(&self) -> bool {
        match self.admission.next_message(Duration::ZERO) {
            NextTurn::After(_) => true,
            NextTurn::Denied(_) => false,
        }
    }

    /// The limit that kept a message from all servers that might have taken it.
    pub(super) fn denied(&self, attempt: &Attempt) -> Option<LimitReached> {
        self.admission.take_denied().filter(|_| attempt.trouble.is_some())
    }

    /// Tells that the destination may have no more for now.
    pub(super) fn is_throttled(&self, denied: LimitReached) {
        let destination = self.destination.clone();
        self.parts.work.throttled.tell(Throttled { destination, denied });
    }

    /// No longer than a connection without work is kept: a slot is worth more.
    fn patience(&self) -> Duration {
        let idle = self.parts.channels.time(self.destination.channel, LiveTimes::IdleTime);
        idle.clamp(LEAST, MOST)
    }
}

/// The job controller looks at destinations that rest as often.
const LEAST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(5);
