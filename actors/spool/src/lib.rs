//! The spool: where messages are safe while they wait.
//!
//! # What is guaranteed, each with the test that holds it
//!
//! - [`append`](relais_storage::QueueStorage::append) returns `Ok` after the message has been through `fdatasync`, and its file's
//!   name through `fsync` of the directory. It survives what the disk survives: the process, the
//!   kernel, the power. Held by test `the_world_may_stop_at_every_write`.
//! - A sync that failed is never taken for one that did not, however often it is tried again.
//!   Held by test `a_sync_that_fails_is_never_taken_for_one_that_did_not`.
//! - [`amend`](relais_storage::QueueStorage::amend) is undone neither by a crash of the process (after about a millisecond) nor
//!   by a power cut (after at most 200 ms; at once with [`flush`](relais_storage::QueueStorage::flush)). Held by test
//!   `the_world_may_stop_at_every_write`.
//! - A message whose entries are not all done is never deleted. Before a segment is deleted its own
//!   log of changes has said that nothing in it is alive. Held by test
//!   `a_segment_goes_when_nothing_in_it_is_alive`, test `survivors_move_and_nobody_notices`.
//! - Bytes that are not what was written are noticed when they are read, copied to `quarantine/`
//!   when they are found at start, and reported. What lies behind them is kept. Held by test
//!   `a_damaged_message_goes_to_quarantine_and_the_others_stay`.
//! - The index may be deleted, damaged or stale at any time: it is rebuilt from the rest. Held by
//!   test `the_index_may_be_damaged_anywhere`, test `an_index_from_yesterday_catches_up`.
//! - A start that is stopped half way is as good as none. Held by test
//!   `the_world_may_stop_again_while_it_recovers`.
//! - A full disk refuses mail and takes changes of state, so that it can empty itself. Held by test
//!   `a_full_disk_refuses_mail_takes_states_and_recovers_by_itself`.
//! - Memory does not grow with the number of messages, nor with their size. Held by test
//!   `a_start_does_not_read_what_the_index_knows`,
//!   test `a_large_message_has_a_file_of_its_own_until_it_is_done`.
//!
//! And what is absent: nothing here knows of actors (the crate does not depend on any), and nothing
//! from the network arrives here unparsed: an [`Envelope`](relais_channels::mail::Envelope) and
//! bytes are all that is taken.
//!
//! Not guaranteed: that a message is not there although its append failed. A crash can keep what
//! was never acknowledged; the client then sends it a second time.
//!
//! # What lies on the disk
//!
//! ```text
//! NNNNNNNN.msg   a segment: a head, then messages (envelope, content), then a seal; zeros behind
//!                the last message while it is written to
//! NNNNNNNN.st    changes to the states of that segment's entries, in the order they were made
//! NNNNNNNN.tmp   a segment that is being copied from another one and does not count yet
//! NNNNNNNN.old   a segment that is being deleted; a `.st` without any of these is what is left of
//!                a segment whose messages were taken away by somebody else
//! large/ID       the content of a large message, whose record holds its envelope only
//! large/ID.N     the same in another form, in which it goes on after it was routed again
//! index/         sled: waiting entries by channel, class and due time, and a checkpoint
//! quarantine/    copies of damaged stretches: FILE.OFFSET
//! reserve        space for state changes, and for the index at start, on a full disk
//! ```
//!
//! Appending always goes to the youngest segment, and after a start to a new one. A segment that is
//! full is sealed; when nothing in it is alive it goes, states and all. What is alive in a segment
//! that is mostly dead is copied to another one, and then it goes as well: see [`compact`].
//!
//! # Who does what
//!
//! Four threads: the *committer* appends batches and answers, the *journal* writes state changes
//! and deletes what is done, the *compactor* copies what is not, the *index* follows them through
//! the *feed*. Callers encode, check and mostly also read records in their own tasks.
//!
//! # Where it lies
//!
//! The rooms from the top of the house down; a room knows rooms below it only.
//!
//! | room | what it does | knows |
//! | --- | --- | --- |
//! | `fuzzing` | entrances for fuzzers alone | format |
//! | `open` | from files to a spool that works | compact, environment, events, format, handle, index, ledger, read, recovery, write |
//! | `handle` | everything that others may ask of a spool | compact, environment, format, index, ledger, read, write |
//! | `check` | reads all of a spool and changes nothing | environment, format, ledger, recovery |
//! | `write` | makes messages and changes of their states durable, and deletes what is done | alarm, compact, cooldown, environment, format, inbox, ledger, read |
//! | `read` | reads records, by their place or by their id | compact, environment, format, index, ledger |
//! | `compact` | copies survivors, and knows where they went | cooldown, environment, format, inbox, ledger |
//! | `index` | entries in the order in which jobs want them | environment, inbox, ledger, recovery |
//! | `recovery` | a start: survey, replay, repair | environment, format, ledger |
//! | `ledger` | counts what is alive, and feeds the index | format |
//! | `environment` | the disk, its names and its space | alarm, events, format |
//! | `alarm` | failures that last, told once in a while | events |
//! | `events` | the observer | — |
//! | `format` | bytes to values and back | — |
//! | `cooldown` | segments that are left alone for a while | — |
//! | `inbox` | work on its way to a thread | — |

mod alarm;
mod check;
mod compact;
mod cooldown;
mod environment;
mod events;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handle;
mod inbox;
mod index;
mod ledger;
mod open;
mod read;
mod recovery;
mod write;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod failing_disk_tests;
#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod scale_tests;
#[cfg(test)]
mod tests;

pub use relais_channels::disk::{self, Disk, DiskFile, RealDisk};

pub use self::{
    check::{Blobs, CheckReport, Damage, MessageCounts, QuarantinedFile, check},
    events::{SpoolEvents, Unobserved},
    handle::Spool,
    open::{Opened, Recovered},
    recovery::repair::Quarantined,
};
