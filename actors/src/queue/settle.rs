//! How an attempt changes an entry: what is finished, what waits and until when, what is held.

use relais_channels::mail::{Enhanced, Outcome};
use relais_config::Channel;

use super::{Destination, Queue, Settled, ThreadId, now_ms};
use crate::{
    job_controller::{Reached, Troubled, backoff},
    spool::{EntryState, open_recipients},
};

impl Queue {
    /// Writes down what became of an entry that `thread` had, and remembers it for its next turn.
    pub(super) fn settle(&mut self, thread: ThreadId, destination: &Destination, settled: Settled) {
        let Settled { entry, attempt } = settled;
        let hand = self.threads.entry(thread).or_default();
        hand.entries.retain(|in_hand| *in_hand != (entry.id, entry.entry));
        hand.done += 1;
        // Often at first, when the destination may have more threads by it, and seldom later.
        let telling = hand.done.is_power_of_two();
        let channel = self.channels.channel(destination.channel);
        let site_trouble = attempt.trouble.is_some();
        let now = next_state(channel, &entry, &attempt.outcomes, site_trouble, now_ms());
        match &now {
            EntryState::Waiting { open, attempts, due } => {
                self.tracker.defer(entry.id, entry.entry, *open, *attempts, *due);
            }
            EntryState::Held { .. } | EntryState::Done => {
                self.tracker.finish(entry.id, entry.entry);
            }
        }
        let replies = open_recipients(entry.open).zip(attempt.outcomes).collect();
        self.amend(destination, &entry, now, replies);
        match attempt.trouble {
            Some(trouble) => {
                let destination = destination.clone();
                self.troubled.insert(destination.clone());
                self.controller.do_send(Troubled { destination, reply: trouble.reply });
            }
            None if self.troubled.remove(destination) || telling => {
                let destination = destination.clone();
                self.controller.do_send(Reached { destination, thread });
            }
            None => {}
        }
        self.finish_drain();
    }
}

/// The state after an attempt.
///
/// While any recipient is to be tried again, those that failed for good stay open with it: they
/// are asked once more and cost one more refusal, but nothing is lost track of. When only such
/// are left the entry is held: no notice to the sender can be made of them yet.
fn next_state(
    channel: &Channel,
    entry: &super::Tracked,
    outcomes: &[Outcome],
    site_trouble: bool,
    now: u64,
) -> EntryState {
    let mut open = entry.open;
    let (mut deferred, mut all_busy) = (false, true);
    for (index, outcome) in open_recipients(entry.open).zip(outcomes) {
        match outcome {
            Outcome::Delivered(_) => open &= !(1 << index),
            Outcome::Deferred(reply) => {
                deferred = true;
                all_busy &= reply.enhanced == Some(MAILBOX_BUSY);
            }
            Outcome::Failed(_) => {}
        }
    }
    // An attempt that says nothing about a recipient leaves it as it was: open.
    let silent = outcomes.len() < entry.open.count_ones() as usize;
    let attempts = entry.attempts.saturating_add(1);
    if open == 0 {
        EntryState::Done
    } else if deferred || silent {
        let fast = channel.mailbox_busy_fast_retry && all_busy && !silent;
        let seed = entry.id.0 ^ u64::from(entry.entry);
        let wait = if fast && attempts <= backoff::FAST_RETRIES {
            backoff::mailbox_busy(seed, attempts)
        } else {
            backoff::delay(channel.backoff.as_deref(), attempts, seed)
        };
        // The job controller suspends the destination; the entry itself did nothing wrong, and
        // should be at hand when the host is back.
        let wait = if site_trouble { wait.min(backoff::SITE_TROUBLE) } else { wait };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        EntryState::Waiting { open, attempts, due: now.saturating_add(wait) }
    } else {
        EntryState::Held { open, attempts }
    }
}

/// The store is busy with this mailbox (sun-mta-addressing 5.5).
const MAILBOX_BUSY: Enhanced = Enhanced(4, 2, 1);

#[cfg(test)]
mod tests {
    use relais_channels::mail::{MessageId, Priority, Reply};
    use relais_config::channel::Program;

    use super::*;
    use crate::spool::Place;

    #[test]
    fn an_entry_after_an_attempt() {
        let ok = || Outcome::Delivered(Reply::new(250, Enhanced(2, 5, 0), "OK"));
        let later = || Outcome::Deferred(Reply::new(422, Enhanced(4, 2, 2), "Quota Exceeded"));
        let never = || Outcome::Failed(Reply::new(511, Enhanced(5, 1, 1), "no mailbox"));
        // name, open before, outcomes, open after, word for the state
        let rows = [
            ("all delivered", 0b11, vec![ok(), ok()], 0, "done"),
            ("one to be tried again", 0b11, vec![ok(), later()], 0b10, "waiting"),
            ("only failures are held", 0b11, vec![ok(), never()], 0b10, "held"),
            ("a failure waits for the rest", 0b111, vec![never(), ok(), later()], 0b101, "waiting"),
            ("bits keep their recipients", 0b1010, vec![ok(), later()], 0b1000, "waiting"),
            ("silence is not success", 0b11, vec![ok()], 0b10, "waiting"),
        ];
        let channel = Channel::new("c", "c-daemon", Program::Lmtp);
        for (name, open, outcomes, want, word) in rows {
            let entry = super::super::Tracked {
                id: MessageId(7),
                entry: 0,
                place: Place { segment: 1, offset: 0, length: 10 },
                open,
                attempts: 0,
                due: 0,
                priority: Priority::Normal,
            };
            let (open, got) = match next_state(&channel, &entry, &outcomes, false, 1_000) {
                EntryState::Done => (0, "done"),
                EntryState::Held { open, .. } => (open, "held"),
                EntryState::Waiting { open, attempts, due } => {
                    assert!(attempts == 1 && due > 1_000, "{name}");
                    (open, "waiting")
                }
            };
            assert_eq!((open, got), (want, word), "{name}");
        }
    }
}
