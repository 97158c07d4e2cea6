//! The recipients of the last day, for whoever wants to know whether a new configuration would route
//! them as the present one does: `relais route --compare NEW.ron --recent`.
//!
//! A thread of its own fetches them twice a second and appends a line for each: time, channel, whether
//! the client may relay, address. One that was written within the hour is not written again. Two files
//! of half the allowed size take turns, `recent` and the one before it, `recent.old`; neither is synced.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use relais_actors::front::recent::{RecentRecipient, RecentRecipients};
use relais_channels::clock;
use tracing::warn;

/// Writes recipients down for as long as it lives.
pub struct RecentFile {
    /// Dropped to end the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RecentFile {
    /// Writes into `data`, at most so many octets; with 0 nothing is written, and what was is removed.
    /// The second value is where sessions tell of recipients.
    pub fn keep(data: &Path, octets: u64) -> io::Result<(Self, Arc<RecentRecipients>)> {
        if octets == 0 {
            for path in paths(data) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            return Ok((Self { alive: None, thread: None }, Arc::default()));
        }
        let recipients = Arc::new(RecentRecipients::kept());
        let (alive, ended) = mpsc::channel();
        let (of_thread, mut file) = (Arc::clone(&recipients), Pages::new(data, octets / 2));
        let work = move || {
            let mut failing = false;
            loop {
                let over = ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
                let written = file.write(&of_thread.fetch());
                if let Err(error) = &written
                    && !failing
                {
                    warn!(%error, "recent recipients are not written down");
                }
                failing = written.is_err();
                if over {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("recent".to_owned()).spawn(work)?;
        Ok((Self { alive: Some(alive), thread: Some(thread) }, recipients))
    }
}

impl Drop for RecentFile {
    /// Writes for the last time.
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The two files.
struct Pages {
    paths: [PathBuf; 2],
    /// Octets of one.
    most: u64,
    open: Option<(File, u64)>,
    /// Recipients that are written within this hour, by a hash.
    known: HashSet<u64>,
    hasher: RandomState,
    since: Instant,
}

impl Pages {
    fn new(data: &Path, most: u64) -> Self {
        let (known, hasher) = (HashSet::new(), RandomState::new());
        Self { paths: paths(data), most, open: None, known, hasher, since: Instant::now() }
    }

    fn write(&mut self, recipients: &[RecentRecipient]) -> io::Result<()> {
        if self.since.elapsed() >= AGAIN || self.known.len() >= MOST_KNOWN {
            self.known.clear();
            self.since = Instant::now();
        }
        let mut lines = String::new();
        for RecentRecipient { at, channel, address, is_vouched_for } in recipients {
            let hash = self.hasher.hash_one((channel, address, is_vouched_for));
            if self.known.insert(hash) {
                let sign = if *is_vouched_for { '+' } else { '-' };
                // Writing to a string cannot fail.
                let _ = writeln!(lines, "{at} {channel} {sign} {address}");
            }
        }
        if lines.is_empty() { Ok(()) } else { self.append(lines.as_bytes()) }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let [now, before] = &self.paths;
        let (mut file, mut octets) = match self.open.take() {
            Some(open) => open,
            None => open(now)?,
        };
        if octets > 0 && octets + lines.len() as u64 > self.most {
            fs::rename(now, before)?;
            (file, octets) = open(now)?;
        }
        file.write_all(lines)?;
        self.open = Some((file, octets + lines.len() as u64));
        Ok(())
    }
}

/// Readable by the engine's user only: who gets mail here is nobody's business.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let octets = file.metadata()?.len();
    Ok((file, octets))
}

/// Channel and address of a recipient, and whether its client may relay.
type Recipient = (Box<str>, Box<str>, bool);

/// The recipients that were taken in the last day, each once with its last time, the oldest first.
pub fn recent(data: &Path) -> io::Result<Vec<RecentRecipient>> {
    let from = clock::now().saturating_sub(DAY).as_secs();
    let mut found: HashMap<Recipient, u64> = HashMap::new();
    let mut is_there = false;
    for path in paths(data) {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        is_there = true;
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            let Some((at, recipient)) = std::str::from_utf8(&line).ok().and_then(read) else {
                continue;
            };
            if at >= from {
                let last = found.entry(recipient).or_default();
                *last = at.max(*last);
            }
        }
    }
    if !is_there {
        return Err(io::ErrorKind::NotFound.into());
    }
    let recipient = |((channel, address, is_vouched_for), at): (Recipient, u64)| RecentRecipient {
        at,
        channel: channel.into(),
        address: address.into(),
        is_vouched_for,
    };
    let mut all: Vec<_> = found.into_iter().map(recipient).collect();
    all.sort_by(|one, other| (one.at, &one.address).cmp(&(other.at, &other.address)));
    Ok(all)
}

/// A line; one that a crash cut off is none.
fn read(line: &str) -> Option<(u64, Recipient)> {
    let mut words = line.splitn(4, ' ');
    let at = words.next()?.parse().ok()?;
    let (channel, sign, address) = (words.next()?, words.next()?, words.next()?);
    Some((at, (channel.into(), address.into(), sign == "+")))
}

fn paths(data: &Path) -> [PathBuf; 2] {
    [data.join("recent"), data.join("recent.old")]
}

const EVERY: Duration = Duration::from_millis(500);
/// One that is known is written again after this.
const AGAIN: Duration = Duration::from_secs(3_600);
/// Recipients that are known at once.
const MOST_KNOWN: usize = 100_000;
const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn recipient(at: u64, address: &str) -> RecentRecipient {
        let (channel, address) = ("tcp_local".into(), address.into());
        RecentRecipient { at, channel, address, is_vouched_for: false }
    }

    fn addresses(data: &Path) -> Vec<String> {
        recent(data).unwrap().iter().map(|recent| recent.address.to_string()).collect()
    }

    #[test]
    fn recipients_of_the_last_day_are_found_again() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(recent(data.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        let (file, recipients) = RecentFile::keep(data.path(), 1 << 20).unwrap();
        for address in ["\"a b\"@x.example", "c@x.example", "c@x.example"] {
            recipients.note(&address.into(), &"tcp_local".into(), true);
        }
        drop(file);
        assert_eq!(addresses(data.path()), ["\"a b\"@x.example", "c@x.example"]);
        assert!(recent(data.path()).unwrap()[0].is_vouched_for);
        let path = data.path().join("recent");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // The rest of a crash is passed over, and so is what is older than a day.
        let mut text = fs::read(&path).unwrap();
        assert_eq!(String::from_utf8_lossy(&text).lines().count(), 2, "each once an hour");
        text.extend_from_slice(b"1 tcp_local - old@x.example\n\xff\n\n99999999999 tcp_lo");
        fs::write(&path, text).unwrap();
        assert_eq!(addresses(data.path()).len(), 2);
        drop(RecentFile::keep(data.path(), 0).unwrap());
        assert!(recent(data.path()).is_err(), "switched off, nothing is left");
    }

    #[test]
    fn the_files_do_not_grow_above_their_size() {
        let data = tempfile::tempdir().unwrap();
        let now = clock::now().as_secs();
        let mut pages = Pages::new(data.path(), 1_000);
        for n in 0..1_000 {
            pages.write(&[recipient(now, &format!("user{n}@x.example"))]).unwrap();
        }
        let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
        assert!(paths(data.path()).iter().all(|path| size(path) <= 1_000));
        let left = addresses(data.path());
        assert!(left.contains(&"user999@x.example".to_owned()) && left.len() < 60, "{left:?}");
    }
}
