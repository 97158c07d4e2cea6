//! Compaction: what is alive in a mostly dead segment moves to another one, and the first goes.
//!
//! # Which, when, how fast
//!
//! A closed segment of which at most a quarter is alive ([`is_worth_it`]): each byte written frees
//! three or more, and a message that lies for days is copied three or four times until its segment
//! is too small to matter. The oldest first, and none younger than [`MIN_AGE`]: most segments die
//! as a whole soon, and then nothing needs to be copied; when the disk is short of room none is too
//! young. One segment at a time, [`SLICE`] bytes read and at most as many written in each
//! [`PAUSE`]: 10 MiB/s at most, a segment of 64 MiB in seven seconds, 600 GiB freed in a day. It
//! has a thread of its own and mail never waits for it; the journal is kept for the time of a few
//! syncs.
//!
//! # How it is done
//!
//! Let `old` be the segment and `new` the next free number.
//!
//! 1. The compactor copies the messages that have an entry alive to `new.tmp`, under the head of
//!    segment `new`, which says that it replaces `old`; then what `old.st` says of them, their
//!    history, to `new.st`. A message that is done is done for good, so all that can change
//!    meanwhile is that a copy was not necessary. Both files are synced. Until step 4 a start
//!    removes them, and nothing has happened.
//! 2. The journal, which alone writes states, makes `old.st` durable, appends to `new.st` what was
//!    appended to `old.st` meanwhile, syncs it, and syncs the directory: the name of `new.st` is
//!    safe before that of the messages.
//! 3. It counts: as many entries must be alive in the copy as the ledger says of `old`, or the
//!    copy is dropped and `old` stays.
//! 4. It renames `new.tmp` to `new.msg`. From this moment `new` counts, and `old` does not.
//! 5. Changes go to `new.st` from now on, whatever place they were made for: [`Forwarding`] knows.
//!    None of them is called durable before the directory has been synced once more. So a power cut
//!    leaves either `old` alone with everything that was ever promised, or `new`.
//! 6. The index is told the new place of each entry ([`Event::Moved`]). When it does not refer to
//!    `old` any more, the journal deletes that; `new` cannot go, nor be compacted itself, before
//!    `old` is gone for good, so that nothing can come back from the dead.
//!
//! A start that finds both takes `new`, lets an index that did not follow so far forget what it
//! knows of `old`, and removes that. Who holds an old place while the engine runs may use it as
//! long as the message lives.
//!
//! A segment with damage in it is not compacted: it is left as it is, for inspection. What fails
//! for another reason is tried again later, see [`Cooldown`].

pub(crate) mod choose;
pub(crate) mod copy;
pub(crate) mod forwarding;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{
    choose::choose,
    copy::{Copied, copy},
    forwarding::Forwarding,
};
#[cfg(doc)]
use self::{
    choose::{MIN_AGE, is_worth_it},
    copy::SLICE,
};
#[cfg(doc)]
use crate::ledger::Event;
use relais_storage::StorageError;

use crate::{
    cooldown::Cooldown,
    environment::Environment,
    format::segment::{Numbers, SegmentHead},
    inbox::{Inbox, Work},
    ledger::feed::Feed,
};

/// Decides what is compacted, and copies it; on a thread of its own.
pub(crate) struct Compactor {
    environment: Arc<Environment>,
    feed: Arc<Feed>,
    forwarding: Arc<Forwarding>,
    numbers: Arc<Numbers>,
}

/// Lets the compactor rest, until it has to end.
#[derive(Default)]
pub(crate) struct Rest(Inbox<()>);

impl Work for () {
    fn amount(&self) -> usize {
        0
    }
}

impl Rest {
    /// Waits that long; says whether to go on.
    fn take(&self, time: Duration) -> bool {
        let ((), closed) = self.0.take(Some(Instant::now() + time));
        !closed
    }

    /// Ends the compactor.
    pub(crate) fn end(&self) {
        self.0.close();
    }
}

impl Compactor {
    pub(crate) fn new(
        environment: Arc<Environment>,
        feed: Arc<Feed>,
        forwarding: Arc<Forwarding>,
        numbers: Arc<Numbers>,
    ) -> Self {
        Self { environment, feed, forwarding, numbers }
    }

    /// The thread. `switch` hands a copy to the journal, and is answered when the old segment is
    /// gone.
    pub(crate) fn run(&self, rest: &Rest, switch: impl Fn(Copied) -> oneshot::Receiver<()>) {
        let mut cooldown = Cooldown::default();
        while rest.take(LOOK_EVERY) {
            while let Some(segment) = self.next(&mut cooldown, Instant::now()) {
                match self.copy(segment, &mut || rest.take(PAUSE)) {
                    Ok(Some(copied)) => {
                        if switch(copied).blocking_recv().is_err() {
                            cooldown.put_off(segment, Instant::now());
                        }
                    }
                    // It is told to stop, or somebody else took the room that was there.
                    Ok(None) | Err(StorageError::DiskFull { .. }) => break,
                    Err(error) => {
                        self.environment.report(&error, "a segment was not compacted and stays");
                        if matches!(error, StorageError::Damaged { .. }) {
                            cooldown.give_up(segment);
                        } else {
                            cooldown.put_off(segment, Instant::now());
                        }
                    }
                }
            }
        }
    }

    /// The segment to compact now.
    pub(crate) fn next(&self, cooldown: &mut Cooldown, now: Instant) -> Option<u32> {
        choose(&self.environment, &self.feed, &self.forwarding, (cooldown, now))
    }

    /// Copies what is alive in a segment. `pause` is called after each piece and says whether to go
    /// on. `None`: it does not, or the segment does not need it any more.
    pub(crate) fn copy(
        &self,
        segment: u32,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Copied>, StorageError> {
        let life = self.feed.live(|ledger| ledger.segments.get(&segment).copied());
        let Some(life) = life.filter(|life| life.closed && life.live > 0) else { return Ok(None) };
        let head = SegmentHead::new(self.numbers.take(), segment);
        copy(&self.environment, &life, head, pause)
    }
}

const PAUSE: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(10);
