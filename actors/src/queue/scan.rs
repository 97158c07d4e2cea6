//! Finding on the disk what memory does not hold: at start, and whenever something overflowed
//! and memory has room again.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use relais_config::channel::Program;
use relais_storage::{Class, Cursor, EntryState, ScannedEntry, Storage};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    Amendment, Queue,
    entry::Tracked,
    own_reasons::BEYOND,
    tracker::{Admission, Ticket},
    wall_clock::latest_due,
};
use crate::{
    actor::Ctx,
    channel_table::lowered,
    ids::{ChannelId, Destination},
    timestamp::now_ms,
};

/// One channel's share of a scan, and where it goes on.
struct Strand {
    channel: ChannelId,
    name: String,
    class: Class,
    after: Option<Cursor>,
}

impl Queue {
    /// Starts a scan when there is something to find and room for it.
    pub(super) fn scan_if_wanted(&mut self, ctx: &mut Ctx<Self>) {
        if self.drain.has_begun() || !self.scan.begin(Instant::now(), &mut self.tracker) {
            return;
        }
        self.metrics.queue.scans.inc();
        let todo = self.strands();
        info!(known = self.tracker.len(), "scanning the disk for more");
        self.scan_next(todo, ctx);
    }

    /// The strands that the scan is to read. Untried mail of every channel comes before tried mail
    /// of any.
    fn strands(&self) -> VecDeque<Strand> {
        let of = |class| {
            let sought = self.channels.by_number().filter(|(id, _)| self.tracker.seeks(*id));
            sought.map(move |(channel, its)| Strand {
                channel,
                name: its.name.clone(),
                class,
                after: None,
            })
        };
        of(Class::Untried).chain(of(Class::Tried)).collect()
    }

    /// Reads a little of the next few channels at once, then goes on with the ones behind them,
    /// so that a channel with a long line does not hide the others.
    fn scan_next(&mut self, mut todo: VecDeque<Strand>, ctx: &mut Ctx<Self>) {
        todo.retain(|strand| self.tracker.seeks(strand.channel));
        let Some(class) = todo.front().map(|strand| strand.class) else {
            if self.tracker.go_on_filling() {
                let todo = self.strands();
                return self.scan_next(todo, ctx);
            }
            return self.scan_ended(false);
        };
        if self.tracker.scan_room() == 0 {
            return self.scan_ended(true);
        }
        let together =
            todo.iter().take(self.scan.parallel).take_while(|strand| strand.class == class).count();
        let strands: Vec<Strand> = todo.drain(..together).collect();
        let ticket = self.tracker.begin_reading();
        let portion = read_portion(self.storage.clone(), strands);
        ctx.when(portion, move |queue, portion, ctx| {
            let mut unfinished = VecDeque::new();
            for (mut strand, found) in portion {
                let Some(found) = found else {
                    queue.tracker.end_reading(ticket);
                    return queue.scan_failed();
                };
                strand.after = found.last().map(|entry| entry.cursor);
                queue.take_scanned(&strand, &found, ticket);
                if found.len() == PORTION {
                    unfinished.push_back(strand);
                } else if strand.class == Class::Tried {
                    queue.tracker.scanned_all_of(strand.channel);
                }
            }
            queue.tracker.end_reading(ticket);
            // Channels with more to give wait behind the others of their class.
            let behind = todo.iter().take_while(|strand| strand.class == class).count();
            let tail = todo.split_off(behind);
            todo.append(&mut unfinished);
            todo.extend(tail);
            queue.scan_next(todo, ctx);
        });
    }

    fn take_scanned(&mut self, strand: &Strand, found: &[ScannedEntry], ticket: Ticket) {
        let channels = Arc::clone(&self.channels);
        let channel = channels.channel(strand.channel);
        let now = now_ms();
        let mut touched: HashSet<Destination> = HashSet::new();
        for scanned in found {
            let destination = Destination { channel: strand.channel, host: scanned.host.clone() };
            if channel.program == Program::Hold && is_fresh(scanned.state) {
                self.hold_at_last(&destination, scanned, ticket);
                continue;
            }
            let priority = lowered(channel, scanned.priority, scanned.size);
            let entry = Tracked { priority, ..Tracked::of(scanned) };
            let due = entry.due.min(latest_due(channel, priority, now));
            let entry = Tracked { due, ..entry };
            let admission = self.tracker.offer_scanned(&destination, entry, ticket);
            if admission == Admission::Delayed && entry.waiting() != scanned.state {
                self.write_due(&destination, scanned.state, entry);
            }
            if admission == Admission::Ready {
                touched.insert(destination);
            }
        }
        self.feed(touched);
    }

    /// It came to a hold channel just before the engine ended.
    fn hold_at_last(&mut self, destination: &Destination, found: &ScannedEntry, ticket: Ticket) {
        let (id, entry, was) = (found.id, found.entry, found.state);
        let known = self.tracker.state_of(id, entry).is_some();
        if known || self.tracker.changed_since(ticket, id, entry) {
            return;
        }
        self.tracker.finish(id, entry);
        let held = EntryState::Held { open: was.open(), attempts: 0 };
        self.amend(destination, &Tracked::of(found), Amendment::new(was, held));
    }

    /// The index could not be read: nothing is known of what is left, so it is looked for again.
    fn scan_failed(&mut self) {
        self.scan.fail(Instant::now());
        self.scan_ended(true);
    }

    fn scan_ended(&mut self, more: bool) {
        self.scan.end(Instant::now(), self.tracker.reads_all());
        if more {
            self.tracker.note_overflow();
        }
        info!(known = self.tracker.len(), more, "scan ended");
        self.publish();
    }

    /// After the wall clock was set back nothing waits for what it showed before.
    pub(super) fn mind_wall_clock(&mut self, now: u64) {
        if !self.scan.wall_clock.fell_back(Instant::now(), now) {
            return;
        }
        let channels = &self.channels;
        let brought = self.tracker.bring_forward(|channel, priority| {
            latest_due(channels.channel(channel), priority, now)
        });
        for (destination, was, entry) in brought {
            self.write_due(&destination, was, entry);
        }
    }

    /// Writes down that an entry is due sooner than the disk has it.
    fn write_due(&mut self, destination: &Destination, was: EntryState, entry: Tracked) {
        let amendment = Amendment::new(was, entry.waiting()).because(BEYOND.into());
        self.amend(destination, &entry, amendment);
    }
}

/// Nobody has released it: what was is due since then.
fn is_fresh(state: EntryState) -> bool {
    matches!(state, EntryState::Waiting { attempts: 0, due: 0, .. })
}

/// Reads all of them at the same time: they share one sync of the spool.
async fn read_portion(
    storage: Storage,
    strands: Vec<Strand>,
) -> Vec<(Strand, Option<Vec<ScannedEntry>>)> {
    let read = |strand: Strand| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let found = storage.scan(&strand.name, strand.class, strand.after, PORTION).await;
            if let Err(error) = &found {
                warn!(channel = strand.name, %error, "could not read the queue index");
            }
            (strand, found.ok())
        })
    };
    let reading: Vec<_> = strands.into_iter().map(read).collect();
    let mut portion = Vec::with_capacity(reading.len());
    for read in reading {
        // It ends early only together with the engine.
        portion.extend(read.await);
    }
    portion
}

/// Entries of one channel that are read before the next channel has its turn. However little room
/// there is: most of what is read may be known already.
const PORTION: usize = 1_000;
