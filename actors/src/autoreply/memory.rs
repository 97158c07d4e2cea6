//! The memory of automatic replies: whom a user has answered, and when. It outlives the engine.
//!
//! A file of records of one size, appended to and made anew when half of it is old. What is in it is
//! bounded: the oldest makes room. A record is on the disk before the reply is in the queue, so that a
//! crash costs a reply and sends none twice.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ring::digest::{SHA256, digest};
use tokio::task::spawn_blocking;
use tracing::{error, warn};

use super::hourly::{HourlyReplies, UserDigest, short_digest};
use crate::seldom::Seldom;

/// The senders that users have answered. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub struct Answered {
    file: Arc<Mutex<AnsweredFile>>,
    hourly: Arc<Mutex<HourlyReplies>>,
    /// Users of whom it was told that they answer no more for a while.
    pub(super) told: Arc<Seldom>,
}

/// A user and a sender, as a digest.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Pair([u8; 16]);

#[derive(Debug)]
struct AnsweredFile {
    path: PathBuf,
    /// Opened with the first reply.
    file: Option<File>,
    /// Records in the file.
    written: usize,
    /// When, in milliseconds since 1970.
    times: HashMap<Pair, u64>,
    most: usize,
}

impl Pair {
    /// Of a user's name and a sender, whatever their case.
    pub(super) fn of(user: &str, sender: &str) -> Self {
        Self(short_digest(&format!("{user}\0{sender}")))
    }
}

impl Answered {
    /// Reads the file; without it nobody has been answered.
    pub fn open(path: PathBuf) -> Self {
        let file = Arc::new(Mutex::new(AnsweredFile::open(path, MOST)));
        Self { file, hourly: Arc::default(), told: Arc::default() }
    }

    /// Counts a reply of a user that is about to be sent; `false`: the user has had `most` within this
    /// hour.
    pub(super) fn take(&self, user: UserDigest, most: usize, now: u64) -> bool {
        self.hourly.lock().unwrap_or_else(PoisonError::into_inner).take(user, most, now)
    }

    /// A reply that was counted is not sent.
    pub(super) fn give_back(&self, user: UserDigest) {
        self.hourly.lock().unwrap_or_else(PoisonError::into_inner).give_back(user);
    }

    /// Notes a reply that is about to be sent; `false`: there was one within this time. It is on the
    /// disk when this returns.
    pub(super) async fn note(&self, pair: Pair, within: Duration, now: u64) -> io::Result<bool> {
        let memory = Arc::clone(&self.file);
        let noted = spawn_blocking(move || {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.note(pair, within, now)
        });
        noted.await.map_err(io::Error::other)?
    }

    /// The reply was not sent after all.
    pub(super) async fn forget(&self, pair: Pair) {
        let memory = Arc::clone(&self.file);
        let forgotten = spawn_blocking(move || {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.times.remove(&pair);
            // A time that is long over.
            memory.append(pair, 0)
        });
        if !matches!(forgotten.await, Ok(Ok(()))) {
            warn!("a reply that could not be sent counts as sent after the next start");
        }
    }
}

impl AnsweredFile {
    fn open(path: PathBuf, most: usize) -> Self {
        let octets = match fs::metadata(&path) {
            Ok(meta) if meta.len() > (4 * most * RECORD) as u64 => {
                let path = path.display();
                error!(%path, "the memory of automatic replies is too large, and is begun anew");
                Vec::new()
            }
            _ => fs::read(&path).unwrap_or_default(),
        };
        let mut memory = Self { path, file: None, written: 0, times: HashMap::new(), most };
        for record in octets.chunks_exact(RECORD) {
            if let Some((pair, at)) = read_record(record) {
                memory.times.insert(pair, at);
            }
        }
        memory.times.retain(|_, at| *at > 0);
        // A torn record at the end would spoil those behind it.
        memory.written =
            if octets.len() % RECORD == 0 { octets.len() / RECORD } else { usize::MAX };
        memory
    }

    fn note(&mut self, pair: Pair, within: Duration, now: u64) -> io::Result<bool> {
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        // A clock that was set back makes nobody wait for longer.
        let is_recent = |at: &u64| *at <= now && now - at < within;
        if self.times.get(&pair).is_some_and(is_recent) {
            return Ok(false);
        }
        if self.times.len() >= self.most {
            self.make_room();
        }
        let before = self.times.insert(pair, now);
        if let Err(error) = self.append(pair, now) {
            match before {
                Some(at) => self.times.insert(pair, at),
                None => self.times.remove(&pair),
            };
            self.file = None;
            return Err(error);
        }
        Ok(true)
    }

    /// Takes the oldest tenth out.
    fn make_room(&mut self) {
        let mut all: Vec<u64> = self.times.values().copied().collect();
        let nth = all.len() / 10;
        let (_, until, _) = all.select_nth_unstable(nth);
        let until = *until;
        self.times.retain(|_, at| *at > until);
    }

    fn append(&mut self, pair: Pair, at: u64) -> io::Result<()> {
        if self.written >= 2 * self.most {
            self.write_anew()?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.opened()?,
        };
        file.write_all(&record(pair, at))?;
        file.sync_data()?;
        self.written += 1;
        self.file = Some(file);
        Ok(())
    }

    fn opened(&self) -> io::Result<File> {
        let is_new = !self.path.exists();
        let file = private().append(true).create(true).open(&self.path)?;
        if is_new {
            self.sync_folder()?;
        }
        Ok(file)
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let octets: Vec<u8> = self.times.iter().flat_map(|(pair, at)| record(*pair, *at)).collect();
        let mut file = private().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(&octets)?;
        file.sync_data()?;
        fs::rename(&new, &self.path)?;
        self.sync_folder()?;
        (self.file, self.written) = (None, self.times.len());
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn record(pair: Pair, at: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..16].copy_from_slice(&pair.0);
    record[16..24].copy_from_slice(&at.to_le_bytes());
    let sum = digest(&SHA256, &record[..24]);
    record[24..].copy_from_slice(&sum.as_ref()[..8]);
    record
}

/// `None`: it is damaged.
fn read_record(octets: &[u8]) -> Option<(Pair, u64)> {
    let pair = Pair(octets.get(..16)?.try_into().ok()?);
    let at = u64::from_le_bytes(octets.get(16..24)?.try_into().ok()?);
    (record(pair, at) == octets).then_some((pair, at))
}

/// Octets of a record.
const RECORD: usize = 32;
/// Users and senders remembered; the file holds twice as many at most.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

    #[test]
    fn each_sender_is_answered_once_within_the_time_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("autoreplies");
        let open = || AnsweredFile::open(path.clone(), 10);
        let (one, two) = (Pair::of("jdoe", "a@x"), Pair::of("jdoe", "b@x"));
        assert_eq!(one, Pair::of("JDoe", "A@X"));
        let week = 7 * 24 * 3_600_000;
        let mut memory = open();
        assert!(memory.note(one, WEEK, week).unwrap());
        assert!(!memory.note(one, WEEK, 2 * week - 1).unwrap());
        let mut memory = open();
        assert!(!memory.note(one, WEEK, 2 * week - 1).unwrap());
        assert!(memory.note(two, WEEK, week).unwrap());
        assert!(memory.note(one, WEEK, 2 * week).unwrap());
        assert!(memory.note(one, WEEK, 1).unwrap(), "the clock was set back");
        // Half a record, and one that is not what was written.
        let mut octets = fs::read(&path).unwrap();
        octets[RECORD * 3 + 2] ^= 1;
        octets.truncate(octets.len() - 3);
        octets.extend([7; 3]);
        fs::write(&path, &octets[..octets.len() - 5]).unwrap();
        let mut memory = open();
        assert!(!memory.note(one, WEEK, 2 * week).unwrap());
        assert!(memory.note(Pair::of("c", "c"), WEEK, 5).unwrap());
        let mut memory = open();
        assert!(!memory.note(Pair::of("c", "c"), WEEK, 5).unwrap(), "behind what was torn");
        memory.append(one, 0).unwrap();
        assert!(open().note(one, WEEK, 2 * week).unwrap(), "it was not sent after all");
    }

    #[test]
    fn memory_and_file_are_bounded_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("autoreplies");
        let mut memory = AnsweredFile::open(path.clone(), 100);
        for n in 1..2_000 {
            assert!(memory.note(Pair::of("u", &n.to_string()), WEEK, n).unwrap());
            assert!(memory.times.len() <= 100);
            assert!(fs::metadata(&path).unwrap().len() <= 200 * RECORD as u64 + RECORD as u64);
        }
        let mut memory = AnsweredFile::open(path, 100);
        assert!(!memory.note(Pair::of("u", "1999"), WEEK, 2_000).unwrap());
        assert!(memory.note(Pair::of("u", "1"), WEEK, 2_000).unwrap());
    }

    #[test]
    fn what_cannot_be_written_is_not_noted() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = AnsweredFile::open(folder.path().join("none").join("x"), 10);
        let pair = Pair::of("u", "s");
        assert!(memory.note(pair, WEEK, 1).is_err());
        fs::create_dir(folder.path().join("none")).unwrap();
        assert!(memory.note(pair, WEEK, 1).unwrap());
    }
}
