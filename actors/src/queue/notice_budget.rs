//! How many entries the notary may have at a time, and when the disk is read for others. Knows no
//! actor.
//!
//! Failures are held back at their source: while the notary has too many nothing is handed out.
//! Success notices are left on the disk, whose state says that they are owed, and are read from
//! there.

use std::{collections::HashSet, time::Duration};

use relais_channels::backoff::Backoff;
use relais_storage::Cursor;
use tokio::time::Instant;

use super::entry::Key;
use crate::ids::ChannelId;

/// Where a reading of the disk goes on.
pub(super) type Position = (ChannelId, Cursor);

/// The notices that the notary has in hand, and those that the disk has for it.
#[derive(Debug)]
pub(super) struct NoticeBudget {
    /// Active entries whose senders are being told of failures.
    failing: HashSet<Key>,
    /// Entries whose senders are being told of successes.
    succeeding: usize,
    /// The disk may have others of these.
    left: bool,
    /// The disk is being read for them.
    reading: bool,
    /// Where the last reading had to end before it had seen all. Those who cannot be told for long
    /// must not be all that is ever read.
    resume: Option<Position>,
    /// Not before this they are read again.
    again_at: Instant,
    /// Before that, after one that could not be told.
    backoff: Backoff,
}

impl NoticeBudget {
    /// At start nobody knows what the disk has.
    pub(super) fn at(now: Instant) -> Self {
        Self {
            failing: HashSet::new(),
            succeeding: 0,
            left: true,
            reading: false,
            resume: None,
            again_at: now,
            backoff: BACKOFF,
        }
    }

    /// Whether more may fail.
    pub(super) fn has_room_for_failures(&self) -> bool {
        self.failing.len() < MAX_FAILING
    }

    /// The sender of an active entry is being told of failures.
    pub(super) fn begin_failure(&mut self, entry: Key) {
        self.failing.insert(entry);
    }

    /// The sender of an active entry has been told of failures, or cannot be.
    pub(super) fn end_failure(&mut self, entry: Key) {
        self.failing.remove(&entry);
    }

    /// Takes a place for a success notice. Where there is none the disk keeps what is owed, and is
    /// read soon.
    pub(super) fn begin_success(&mut self) -> bool {
        let has_room = self.succeeding < MAX_SUCCEEDING;
        if has_room {
            self.succeeding += 1;
        } else {
            self.leave(SOON);
        }
        has_room
    }

    /// A success notice was told, or could not be.
    pub(super) fn end_success(&mut self) {
        debug_assert!(self.succeeding > 0, "more success notices ended than were begun");
        self.succeeding = self.succeeding.saturating_sub(1);
    }

    /// Senders can be told now.
    pub(super) fn note_success(&mut self) {
        self.backoff = BACKOFF;
    }

    /// One could not be told now: the disk keeps it, and is read after a while.
    pub(super) fn put_off(&mut self) {
        self.leave(self.backoff.pause());
    }

    /// Whether the disk is to be read now.
    pub(super) fn wants_reading(&self, now: Instant) -> bool {
        let has_room = self.succeeding <= MAX_SUCCEEDING / 2;
        self.left && !self.reading && now >= self.again_at && has_room
    }

    /// The disk is looked at: what it is found to have is all that is left.
    pub(super) fn looked(&mut self) {
        self.left = false;
    }

    /// The disk has none: there is nothing to go on with.
    pub(super) fn forget_position(&mut self) {
        self.resume = None;
    }

    /// A reading begins: how much it may bring, and where it goes on.
    pub(super) fn begin_reading(&mut self) -> (usize, Option<Position>) {
        self.reading = true;
        (MAX_SUCCEEDING - self.succeeding, self.resume.take())
    }

    /// A reading has ended there.
    pub(super) fn end_reading(&mut self, resume: Option<Position>) {
        self.reading = false;
        // Until somebody is told; each of them may be in vain once more.
        self.backoff.fail();
        if resume.is_some() {
            self.resume = resume;
            self.leave(SOON);
        }
    }

    /// A reading has failed.
    pub(super) fn fail_reading(&mut self) {
        self.reading = false;
        self.leave(PAUSE);
    }

    /// Hands the entries of a reading to the notary.
    pub(super) fn begin_successes(&mut self, entries: usize) {
        self.succeeding += entries;
    }

    /// The disk has some that are to be read after a while.
    fn leave(&mut self, after: Duration) {
        let at = Instant::now() + after;
        self.again_at = if self.left { self.again_at.min(at) } else { at };
        self.left = true;
    }

    /// The disk is to be read now.
    #[cfg(test)]
    pub(super) fn read_now(&mut self) {
        self.again_at = Instant::now();
    }
}

/// Entries whose senders are being told of failures, while more are handed out.
const MAX_FAILING: usize = 10_000;
/// Entries whose senders are being told of successes at the same time.
const MAX_SUCCEEDING: usize = 10_000;
/// Before the disk is looked at for what the notary had no room for.
const SOON: Duration = Duration::from_secs(1);
/// The same for what could not be told, at first and at most.
const PAUSE: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::new(PAUSE, Duration::from_secs(15 * 60));

#[cfg(test)]
mod tests {
    use relais_channels::mail::MessageId;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_has_no_room_is_left_on_the_disk_and_read_when_there_is() {
        let mut budget = NoticeBudget::at(Instant::now());
        assert!(budget.wants_reading(Instant::now()), "at start");
        budget.looked();
        assert!((0..MAX_SUCCEEDING).all(|_| budget.begin_success()));
        assert!(!budget.begin_success());
        tokio::time::advance(SOON).await;
        assert!(!budget.wants_reading(Instant::now()), "there is no room yet");
        (0..MAX_SUCCEEDING / 2).for_each(|_| budget.end_success());
        assert!(budget.wants_reading(Instant::now()));
        assert_eq!(budget.begin_reading().0, MAX_SUCCEEDING / 2);
        assert!(!budget.wants_reading(Instant::now()), "one at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_told_is_tried_again_later_each_time_until_somebody_is_told() {
        let mut budget = NoticeBudget::at(Instant::now());
        for minutes in [2, 4, 8, 15, 15, 15] {
            budget.looked();
            budget.begin_reading();
            budget.end_reading(None);
            budget.put_off();
            let wait = Duration::from_secs(minutes * 60);
            assert!(!budget.wants_reading(Instant::now() + wait - SOON), "{minutes}");
            assert!(budget.wants_reading(Instant::now() + wait), "{minutes}");
        }
        budget.note_success();
        budget.looked();
        budget.put_off();
        assert!(budget.wants_reading(Instant::now() + PAUSE));
    }

    #[test]
    fn a_failure_counts_once_however_often_its_end_is_told() {
        let mut budget = NoticeBudget::at(Instant::now());
        for id in 0..MAX_FAILING as u64 {
            assert!(budget.has_room_for_failures());
            budget.begin_failure((MessageId(id), 0));
        }
        assert!(!budget.has_room_for_failures());
        budget.end_failure((MessageId(1), 0));
        budget.end_failure((MessageId(1), 0));
        budget.begin_failure((MessageId(1), 0));
        assert!(!budget.has_room_for_failures());
    }
}
