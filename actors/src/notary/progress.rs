//! The progress of the rounds: up to when they have dealt with everything, and which senders were
//! warned since. It keeps a warning from being
//! said twice when a round breaks off, meets an entry twice because it was tried meanwhile, or
//! ends with the engine.
//!
//! One small file, `looked` in the spool. Its first line has three times in milliseconds since
//! 1970, twenty digits each: of the last whole round, of the last sign of life, and up to when
//! nothing is returned because the engine was not there to try it. Behind it comes a line for each
//! entry that was warned of in the round that is under way. It is not synced: what a power cut
//! loses is a warning said twice.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::grace::{GRACE, Grace, after};
use crate::{queue::Key, timestamp::now_ms};

/// Up to when notices were dealt with, and which warnings were given since.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    until: u64,
    grace: Grace,
    warned: HashSet<Key>,
    /// Something that is due was not told in this round.
    is_behind: bool,
}

impl Progress {
    /// As the file has it. Nothing known: from the beginning; and where there is mail already,
    /// nobody knows for how long the engine was away.
    pub(super) fn load(path: PathBuf, has_mail: bool) -> Self {
        let octets = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&octets);
        let mut lines = text.lines();
        let mut times = lines.next().unwrap_or_default().split(' ');
        let mut time = || times.next().and_then(|time| time.parse().ok());
        let until: Option<u64> = time();
        let alive = time().or(until).unwrap_or_else(now_ms);
        let lost = until.is_none() && has_mail;
        let returns_from = if lost { after(alive, GRACE) } else { time().unwrap_or(0) };
        let key = |line: &str| {
            let (id, entry) = line.split_once(' ')?;
            Some((id.parse().ok()?, entry.parse().ok()?))
        };
        // The last line may be half written.
        let warned = lines.filter_map(key).take(MOST_WARNED).collect();
        let (until, grace) = (until.unwrap_or(0), Grace::resume(alive, returns_from));
        let progress = Self { path, until, grace, warned, is_behind: false };
        progress.write();
        progress
    }

    /// Up to when, in milliseconds since 1970; 0 when there never was a round.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// A sign of life. Nothing is returned before the time of the answer, in milliseconds since
    /// 1970.
    pub(super) fn note_alive(&mut self, at: Instant, now: u64) -> u64 {
        let alive = self.grace.alive();
        if let Some(grace) = self.grace.note_alive(at, now) {
            let unseen = Duration::from_millis(now.saturating_sub(alive));
            info!(
                ?unseen,
                ?grace,
                "nobody looked for so long, or the clock was set: no returns yet"
            );
        }
        let file = File::options().write(true).open(&self.path);
        // In its place: what comes behind it stays.
        self.complain(file.and_then(|mut file| file.write_all(self.times().as_bytes())));
        self.grace.returns_from()
    }

    /// Something is due, and could not be told in this round.
    pub(super) fn fall_behind(&mut self) {
        self.is_behind = true;
    }

    /// Takes the entry for a warning of this round. `false`: the round has warned of it.
    pub(super) fn choose(&mut self, key: Key) -> bool {
        let full = self.warned.len() >= MOST_WARNED;
        !self.warned.contains(&key) && (full || self.warned.insert(key))
    }

    /// The senders of these have been warned.
    pub(super) fn warned(&self, keys: impl IntoIterator<Item = Key>) {
        let mut lines = String::new();
        for (id, entry) in keys {
            // Writing to a string cannot fail.
            let _ = write!(lines, "\n{id} {entry}");
        }
        let file = File::options().append(true).open(&self.path);
        self.complain(file.and_then(|mut file| file.write_all(lines.as_bytes())));
    }

    /// A whole round is over that began at `now`. Whether something that is due was left.
    pub(super) fn round_ended(&mut self, now: u64) -> bool {
        self.until = now;
        self.warned = HashSet::new();
        self.write();
        std::mem::take(&mut self.is_behind)
    }

    fn times(&self) -> String {
        let (alive, returns_from) = (self.grace.alive(), self.grace.returns_from());
        format!("{:020} {alive:020} {returns_from:020}\n", self.until)
    }

    fn write(&self) {
        let new = self.path.with_extension("new");
        let mut text = self.times();
        for (id, entry) in &self.warned {
            let _ = write!(text, "\n{id} {entry}");
        }
        let written = fs::write(&new, text);
        self.complain(written.and_then(|()| fs::rename(&new, &self.path)));
    }

    fn complain(&self, written: io::Result<()>) {
        if let Err(error) = written {
            let path = self.path.display();
            warn!(%path, %error, "it is not noted which warnings were given");
        }
    }
}

/// Entries of a round of which it is known that they were warned of: 16 octets each. Of more than
/// these, one that is tried while the round goes on may be warned of twice.
const MOST_WARNED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use relais_channels::mail::MessageId;

    use super::*;

    #[test]
    fn an_entry_is_warned_of_once_in_a_round_whatever_becomes_of_the_round() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("looked");
        let [one, two, three] = [1, 2, 3].map(|id| (MessageId(id << 40), 0));
        let mut progress = Progress::load(path.clone(), false);
        assert_eq!(progress.until(), 0);
        assert!(progress.choose(one) && progress.choose(two));
        assert!(!progress.choose(one), "met again in the same round, or in one that goes on");
        progress.warned([one]);

        let mut progress = Progress::load(path.clone(), false);
        assert!(!progress.choose(one), "the engine was started anew");
        assert!(progress.choose(two), "it was chosen, but its sender was not told");
        progress.warned([two]);
        progress.round_ended(5_000);
        assert!(progress.choose(one), "the next round has warnings of its own");
        progress.warned([one, three]);

        let octets = fs::read(&path).unwrap();
        fs::write(&path, &octets[..octets.len() - 4]).unwrap();
        let mut progress = Progress::load(path, false);
        assert_eq!(progress.until(), 5_000);
        assert!(!progress.choose(one));
        assert!(progress.choose(three), "its line was half written");
    }

    #[test]
    fn a_grace_outlives_the_engine_and_a_lost_file_is_worth_a_whole_one() {
        const NOON: u64 = 1_700_000_000_000;
        const MINUTE: u64 = 60_000;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("looked");
        // As an older version has it.
        fs::write(&path, format!("{NOON}\n\n{} 0", MessageId(7 << 40))).unwrap();
        let mut progress = Progress::load(path.clone(), true);
        let loaded = Instant::now();
        let from = progress.note_alive(loaded, NOON + 30 * MINUTE);
        assert_eq!(from.abs_diff(NOON + 60 * MINUTE) / MINUTE, 0, "as long as it was away");
        let from = progress.note_alive(loaded + Duration::from_secs(60), NOON + 31 * MINUTE);

        let mut progress = Progress::load(path.clone(), true);
        assert_eq!(progress.until(), NOON, "no round has ended");
        assert!(!progress.choose((MessageId(7 << 40), 0)), "who was warned is still known");
        assert_eq!(
            progress.note_alive(Instant::now(), NOON + 32 * MINUTE),
            from,
            "no longer by this"
        );

        for (has_mail, grace) in [(false, 0), (true, 60 * MINUTE)] {
            fs::remove_file(&path).unwrap();
            let now = now_ms();
            let mut progress = Progress::load(path.clone(), has_mail);
            let from = progress.note_alive(Instant::now(), now_ms());
            assert!(from.saturating_sub(now) / MINUTE == grace / MINUTE, "{from} {now}");
        }
    }
}
