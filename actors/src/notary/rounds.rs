//! The rounds: through everything that waits, for what has waited long enough to be told.
//!
//! A round reads the whole index, a portion at a time, and writes down when it began: what was
//! due before that is dealt with. The next one begins when something will be due.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{WeakAddr, prelude::*};
use relais_channels::dsn::Kind;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::{
    Case, Notary, Parts, Tell,
    timetable::{self, Due},
};
use crate::{
    channels::{ChannelId, lowered},
    queue::{Destination, Queue, Reading, Reserve, now_ms, tracker::Tracked},
    spool::{Class, EntryState, ScannedEntry, SpoolError},
};

/// Rounds for as long as the notary lives.
pub(super) async fn walk(parts: Parts, queue: Addr<Queue>, notary: WeakAddr<Notary>) {
    let mut looked = read_looked(&parts.looked);
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    loop {
        let (began, now) = (Instant::now(), now_ms());
        let (next, all, room) = (None, room.clone(), room.clone());
        let mut round = Round { parts: &parts, queue: &queue, looked, now, next, room };
        let gone = round.go(&notary).await;
        // What follows is waiting, and costs nothing.
        let took = began.elapsed();
        let wait = match gone {
            Ok(()) => {
                // What was due is told, or has been given up: only then it is dealt with.
                drop(all.acquire_many(UNDER_WAY as u32).await);
                looked = now;
                write_looked(&parts.looked, looked);
                round.pause(took)
            }
            Err(error) => {
                warn!(%error, "a round for notices broke off; once more in a while");
                BROKEN_OFF
            }
        };
        tokio::time::sleep(wait).await;
        if notary.upgrade().is_none() {
            return;
        }
    }
}

struct Round<'a> {
    parts: &'a Parts,
    queue: &'a Addr<Queue>,
    looked: u64,
    now: u64,
    /// When the next of those seen will be due.
    next: Option<u64>,
    room: Arc<Semaphore>,
}

impl Round<'_> {
    async fn go(&mut self, notary: &WeakAddr<Notary>) -> Result<(), SpoolError> {
        let counts = self.parts.spool.counts();
        let channels = self.parts.channels.clone();
        for (id, channel) in channels.iter() {
            if counts.get(&channel.name).is_none_or(|counts| counts.untried + counts.tried == 0) {
                continue;
            }
            // What is held waits for an operator, however long that takes.
            for class in [Class::Untried, Class::Tried] {
                let mut after = None;
                loop {
                    let Ok(reading) = Reading::begin(self.queue).await else { return Ok(()) };
                    let found = self.parts.spool.scan(&channel.name, class, after, PORTION).await?;
                    after = found.last().map(|entry| entry.cursor);
                    let ended = found.len() < PORTION;
                    self.deal_with(id, found, reading, notary).await;
                    if ended {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn deal_with(
        &mut self,
        channel: ChannelId,
        found: Vec<ScannedEntry>,
        reading: Reading,
        notary: &WeakAddr<Notary>,
    ) {
        let its = self.parts.channels.channel(channel);
        let (mut warnings, mut returns) = (Vec::new(), Vec::new());
        for entry in found {
            let ages = timetable::notices(its, lowered(its, entry.priority, entry.size));
            let received = entry.id.received_ms();
            match timetable::due(ages, received, self.looked, self.now) {
                Some(Due::Return) => returns.push(entry),
                Some(Due::Warning { until }) => warnings.push((entry, until)),
                None => {}
            }
            let next = timetable::next(ages, received, self.now);
            self.next = self.next.into_iter().chain(next).min();
        }
        let mut cases: Vec<Case> = Vec::new();
        for (entry, until) in warnings {
            let mut case = case_of(channel, &entry, Kind::Delayed);
            case.until = Some(until);
            cases.push(case);
        }
        if !returns.is_empty() {
            // Those that a job has just now are for the next round.
            let reserve = Reserve { reading: reading.ticket(), entries: returns };
            let reserved = self.queue.send(reserve).await.unwrap_or_default();
            for entry in reserved {
                let then = Some(EntryState::Done);
                cases.push(Case { then, ..case_of(channel, &entry, Kind::TimedOut) });
            }
        }
        drop(reading);
        if cases.is_empty() {
            return;
        }
        debug!(cases = cases.len(), "notices are due");
        self.parts.add_replies(&mut cases).await;
        for case in &mut cases {
            case.room = self.room.clone().acquire_owned().await.ok();
        }
        if let Some(notary) = notary.upgrade() {
            notary.do_send(Tell(cases));
        }
    }

    /// Until something is due, but not so long that what comes in meanwhile is overlooked, and
    /// not so soon that the rounds are all the engine does.
    fn pause(&self, took: Duration) -> Duration {
        let all = self.parts.channels.iter().flat_map(|(_, channel)| {
            relais_channels::mail::Priority::ALL
                .into_iter()
                .filter_map(|priority| timetable::notices(channel, priority).first())
        });
        let shortest = all.min().copied().unwrap_or(Duration::from_secs(24 * 60 * 60));
        let pace = timetable::pace(shortest);
        let due =
            self.next.map_or(shortest, |next| Duration::from_millis(next.saturating_sub(now_ms())));
        due.min(shortest).max(pace).max(took * SHARE)
    }
}

fn case_of(channel: ChannelId, entry: &ScannedEntry, kind: Kind) -> Case {
    Case {
        entry: Tracked::of(entry),
        destination: Destination { channel, host: entry.host.clone() },
        kind,
        recipients: entry.state.open(),
        replies: Vec::new(),
        until: None,
        known: None,
        room: None,
        was: entry.state,
        then: None,
    }
}

/// Up to when rounds have looked, in milliseconds since 1970. Nothing known: from the beginning.
fn read_looked(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Not synced: what a crash loses is a warning said twice.
fn write_looked(path: &Path, looked: u64) {
    let new = path.with_extension("new");
    let written = fs::write(&new, format!("{looked}\n")).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        warn!(path = %path.display(), %error, "the time of the last round is not noted");
    }
}

/// Entries looked at together.
const PORTION: usize = 1_000;
/// Cases handed over and not finished; a portion must fit.
const UNDER_WAY: usize = 2 * PORTION;
/// A round takes at most a twentieth of the time.
const SHARE: u32 = 20;
/// Before the next round, after one that broke off.
const BROKEN_OFF: Duration = Duration::from_secs(10);
