//! The orders of operators: `DATA/audit.log`, a line of JSON for each, and another one behind it for
//! what came of it.
//!
//! The first line is on the disk before the order is carried out. When the file is full, it becomes
//! `audit.log.1`, that one `audit.log.2` and so on; the oldest goes. Room for some lines is kept ahead, so that a
//! full disk does not keep operators from making room. An engine and a command on the files may both write: each
//! locks the file, and looks for its end when that is not where it left it.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use relais_actors::{events::Printable, timestamp::Timestamp};
use relais_config::admin::{Admin, Audit};
use rustix::fs::{FallocateFlags, fallocate};
use tracing::warn;

use super::durable;
use crate::api::{AuditEnd, AuditEntry, AuditFilter, AuditLine, AuditOrder, AuditResult, Who};

/// Where orders are written down. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub struct AuditLog(Arc<AuditShared>);

/// An order that cannot be written down is not carried out.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing is done that cannot be written down: {path}: {error}; with admin.audit: Wanted it would be \
     done, with a warning in the log"
)]
pub struct NotAudited {
    path: String,
    error: io::Error,
}

/// An order that is about to be written down.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By whom.
    pub who: Who,
    /// `queue hold`, `channel stop`, ...
    pub command: String,
    /// The order as it came.
    pub what: serde_json::Value,
    /// Why; may be empty.
    pub reason: String,
}

#[derive(Debug)]
struct AuditShared {
    path: PathBuf,
    demand: Audit,
    most: u64,
    files: usize,
    file: Mutex<Option<OpenFile>>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// The end of its last whole line.
    size: u64,
    /// The number of the next order; 0 before the file was looked into.
    next: u64,
    /// The end of the room that is kept.
    room: u64,
}

impl AuditLog {
    /// Of the engine on `data`.
    pub fn new(data: &Path, admin: &Admin) -> Self {
        Self(Arc::new(AuditShared {
            path: data.join(NAME),
            demand: admin.audit,
            most: admin.audit_size,
            files: admin.audit_files,
            file: Mutex::default(),
        }))
    }

    /// Keeps room for orders that are given when the disk is full.
    pub fn keep_room(&self) {
        if self.0.demand == Audit::Off {
            return;
        }
        if let Err(error) = self.0.with_file(|_| Ok(())) {
            warn!(path = %self.0.path.display(), %error, "orders of operators cannot be written down");
        }
    }

    /// Writes an order down; its number. Durable when this returns. 0: it is carried out all the same.
    pub fn begin(&self, asked: &Asked) -> Result<u64, NotAudited> {
        if self.0.demand == Audit::Off {
            return Ok(0);
        }
        let written = self.0.with_file(|open| {
            let order = open.next;
            let at = Timestamp::now();
            let Asked { who, command, what, reason } = asked.clone();
            let line = AuditLine::Ordered(AuditOrder { order, at, who, command, what, reason });
            open.add(&line)?;
            open.file.sync_data()?;
            open.next += 1;
            Ok(order)
        });
        match written {
            Ok(order) => Ok(order),
            Err(error) if self.0.demand == Audit::Wanted || asked.cures(&error) => {
                asked.tell(&self.0.path, &error);
                Ok(0)
            }
            Err(error) => Err(NotAudited { path: self.0.path.display().to_string(), error }),
        }
    }

    /// The orders that the files have; as [`read`] has them.
    pub fn read(&self, filter: &AuditFilter) -> io::Result<Vec<AuditEntry>> {
        read(folder(&self.0.path), filter)
    }

    /// Writes down what came of it. The order has been carried out: a disk that fails now is a matter
    /// for the log.
    pub fn end(&self, end: &AuditEnd) {
        if end.order == 0 {
            return;
        }
        let written = self.0.with_file(|open| {
            open.add(&AuditLine::Ended(end.clone()))?;
            open.file.sync_data()
        });
        if let Err(error) = written {
            let path = self.0.path.display();
            warn!(%path, order = end.order, %error, "the end of an order is not written down");
        }
    }
}

impl Asked {
    /// Whether it helps against this error: it makes room, or ends what cannot go on.
    fn cures(&self, error: &io::Error) -> bool {
        is_full(error) && CURES.contains(&&*self.command)
    }

    /// Tells of it in the log, as the file does not have it.
    fn tell(&self, path: &Path, error: &io::Error) {
        let Self { who, command, what, reason } = self;
        let (path, who) = (path.display(), who.name());
        let what: String = what.to_string().chars().take(LONGEST_TOLD).collect();
        let (who, what, reason) = (Printable(&who), Printable(&what), Printable(reason));
        warn!(%path, %who, command, %what, %reason, %error, "an order is not written down");
    }
}

impl AuditShared {
    /// Does something with the file, which is opened when it is not, and made room in when it is full.
    fn with_file<T>(&self, write: impl FnOnce(&mut OpenFile) -> io::Result<T>) -> io::Result<T> {
        let mut held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.locked(held.take())?;
        if open.size >= self.most {
            open = self.turn(open)?;
        }
        // After a failure it is opened anew, and what was written of a line is cut off.
        let written = write(&mut open)?;
        // Without it the next line may still find room.
        let _ = open.keep_room();
        open.file.unlock()?;
        *held = Some(open);
        Ok(written)
    }

    /// The file, locked, and whose end is known.
    fn locked(&self, mut known: Option<OpenFile>) -> io::Result<OpenFile> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let open = known.take().map_or_else(|| OpenFile::open(&self.path), Ok)?;
            match open.file.try_lock() {
                // Another process may have moved it away.
                Ok(()) if self.is_there(&open) => return open.caught_up(&self.older(1)),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    sleep(LOOK_EVERY);
                    known = Some(open);
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other("another process has it locked"))
    }

    fn is_there(&self, open: &OpenFile) -> bool {
        let there = fs::metadata(&self.path).map(|there| (there.dev(), there.ino()));
        let own = open.file.metadata().map(|own| (own.dev(), own.ino()));
        there.ok() == own.ok()
    }

    /// The file becomes the newest of the older ones. Where the disk has no room for a new one it goes on,
    /// as long as its own lasts.
    fn turn(&self, open: OpenFile) -> io::Result<OpenFile> {
        let made = self.path.with_extension("new");
        let mut new = match OpenFile::empty(&made) {
            Ok(new) => new,
            Err(error) if is_full(&error) => return Ok(open),
            Err(error) => return Err(error),
        };
        for number in (1..self.files).rev() {
            match fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        durable::remove(&self.older(1))?;
        // At each moment a file is there: one that another process made in a gap would be lost.
        fs::hard_link(&self.path, self.older(1))?;
        fs::rename(&made, &self.path)?;
        File::open(folder(&self.path))?.sync_all()?;
        new.next = open.next;
        Ok(new)
    }

    fn older(&self, number: usize) -> PathBuf {
        older(&self.path, number)
    }
}

impl OpenFile {
    fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if is_new {
            let (folder, own) = (File::open(folder(path))?, file.metadata()?);
            // A command of root must not keep the engine from its file.
            let owner = folder.metadata()?;
            if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) && own.uid() == 0 {
                fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            }
            folder.sync_all()?;
        }
        Ok(Self { file, size: 0, next: 0, room: 0 })
    }

    /// A new file with its room, locked.
    fn empty(path: &Path) -> io::Result<Self> {
        durable::remove(path)?;
        let mut open = Self::open(path)?;
        open.file.try_lock()?;
        open.keep_room()?;
        Ok(open)
    }

    /// The same file, and its end as it is now. A line that a crash cut short is cut off: nobody was told that its
    /// order is carried out.
    fn caught_up(self, before: &Path) -> io::Result<Self> {
        let length = self.file.metadata()?.len();
        if self.next > 0 && length == self.size {
            return Ok(self);
        }
        let (size, last) = last_order(&self.file)?;
        // To cut where nothing is to be cut would give back the room.
        if size != length {
            self.file.set_len(size)?;
        }
        let last = match last {
            None if size == 0 && before.exists() => last_order(&File::open(before)?)?.1,
            last => last,
        };
        let next = (last.unwrap_or(0) + 1).max(self.next);
        Ok(Self { size, next, room: 0, ..self })
    }

    /// Has the disk keep room for the next lines, where its file system can.
    fn keep_room(&mut self) -> io::Result<()> {
        if self.room.saturating_sub(self.size) >= ROOM / 2 {
            return Ok(());
        }
        let kept = fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.size, ROOM);
        match kept.map_err(io::Error::from) {
            Err(error) if is_full(&error) => Err(error),
            _ => {
                self.room = self.size + ROOM;
                Ok(())
            }
        }
    }

    fn add(&mut self, line: &AuditLine) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.seek(SeekFrom::Start(self.size))?;
        self.file.write_all(&text)?;
        self.size += text.len() as u64;
        Ok(())
    }
}

/// Whether the disk takes nothing.
fn is_full(error: &io::Error) -> bool {
    use ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// The end of the last whole line, and the largest number of an order near there.
fn last_order(file: &File) -> io::Result<(u64, Option<u64>)> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(size - from).unwrap_or_default()];
    file.read_exact_at(&mut tail, from)?;
    let whole = tail.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
    let lines = tail[..whole].split(|octet| *octet == b'\n');
    let last = lines.filter_map(|line| serde_json::from_slice(line).ok()).map(|line| match line {
        AuditLine::Ordered(its) => its.order,
        AuditLine::Ended(its) => its.order,
    });
    Ok((from + whole as u64, last.max()))
}

/// The orders that the files have, the oldest first. Lines that nobody can read are left out.
pub fn read(data: &Path, filter: &AuditFilter) -> io::Result<Vec<AuditEntry>> {
    let most = filter.limit.unwrap_or(SHOWN);
    let mut entries: VecDeque<AuditEntry> = VecDeque::new();
    let path = data.join(NAME);
    let numbers = (0..=MOST_FILES).rev();
    let paths = numbers.map(|number| if number == 0 { path.clone() } else { older(&path, number) });
    for path in paths {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        };
        for line in BufReader::new(file.take(MOST_OCTETS)).split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(AuditLine::Ordered(ordered)) if filter.admits(&ordered) => {
                    entries.push_back(AuditEntry { ordered, end: None });
                    if entries.len() > most {
                        entries.pop_front();
                    }
                }
                Ok(AuditLine::Ended(end)) => {
                    let mut newest = entries.iter_mut().rev();
                    if let Some(entry) = newest.find(|entry| entry.ordered.order == end.order) {
                        entry.end = Some(end);
                    }
                }
                Ok(AuditLine::Ordered(_)) | Err(_) => {}
            }
        }
    }
    Ok(entries.into())
}

/// The end of an order, at this moment.
pub fn ended(order: u64, result: AuditResult) -> AuditEnd {
    let at = Timestamp::now();
    AuditEnd { order, at, result, touched: None, recipients: None, text: String::new() }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn older(path: &Path, number: usize) -> PathBuf {
    path.with_extension(format!("log.{number}"))
}

const NAME: &str = "audit.log";
/// Octets at the end of a file among which its last order is looked for; longer than any line.
const TAIL: u64 = 1 << 20;
/// The most of `admin.audit_files`.
const MOST_FILES: usize = 99;
/// The most of `admin.audit_size`, and a line.
const MOST_OCTETS: u64 = (1 << 30) + TAIL;
/// Octets that are kept ahead: at least half of it is there when the disk becomes full, for a hundred orders.
const ROOM: u64 = 64 << 10;
/// Orders that are carried out while a full disk keeps them from being written down.
const CURES: [&str; 6] = ["stop", "reload", "set", "channel stop", "queue delete", "order remove"];
/// Characters of an order in the log.
const LONGEST_TOLD: usize = 1_000;
/// For another process to write its line.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Orders that are shown when nobody says how many.
const SHOWN: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn settings(audit: Audit, audit_size: u64) -> Admin {
        Admin { audit, audit_size, audit_files: 2, ..Admin::default() }
    }

    fn asked(user: &str, command: &str) -> Asked {
        let who = Who { user: Some(user.to_owned()), uid: Some(7), ..Who::default() };
        let what = serde_json::json!({"name": "tcp_local"});
        Asked { who, command: command.to_owned(), what, reason: "so\nit \u{202e}is".to_owned() }
    }

    fn numbers(data: &Path, filter: &AuditFilter) -> Vec<(u64, bool)> {
        let entries = read(data, filter).unwrap();
        entries.iter().map(|entry| (entry.ordered.order, entry.end.is_some())).collect()
    }

    #[test]
    fn orders_are_written_down_with_what_came_of_them() {
        let data = tempfile::tempdir().unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Required, 1 << 20));
        let (one, two) = (log.begin(&asked("ann", "a")), log.begin(&asked("bob", "b")));
        log.end(&ended(two.unwrap(), AuditResult::Refused));
        assert_eq!(
            (one.unwrap(), numbers(data.path(), &AuditFilter::default())),
            (1, vec![(1, false), (2, true)])
        );
        let of = |by: &str| AuditFilter { by: Some(by.to_owned()), ..AuditFilter::default() };
        assert_eq!(numbers(data.path(), &of("bob")), [(2, true)]);
        assert_eq!(numbers(data.path(), &of("7")).len(), 2);
        let later = AuditFilter { since: Some(Timestamp(u64::MAX)), ..AuditFilter::default() };
        assert!(numbers(data.path(), &later).is_empty());
        let newest = AuditFilter { limit: Some(1), ..AuditFilter::default() };
        assert_eq!(numbers(data.path(), &newest), [(2, true)]);
        let path = data.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3, "a line is a line");
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_cut_off_and_numbers_go_on() {
        let data = tempfile::tempdir().unwrap();
        let admin = settings(Audit::Required, 1 << 20);
        AuditLog::new(data.path(), &admin).begin(&asked("ann", "a")).unwrap();
        let path = data.path().join(NAME);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(br#"{"step":"ordered","order":2,"#);
        fs::write(&path, text).unwrap();
        let log = AuditLog::new(data.path(), &admin);
        assert_eq!(log.begin(&asked("bob", "b")).unwrap(), 2);
        assert_eq!(numbers(data.path(), &AuditFilter::default()), [(1, false), (2, false)]);
    }

    #[test]
    fn the_files_are_bounded_in_size_and_number() {
        let data = tempfile::tempdir().unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Required, 300));
        for number in 1..=20 {
            assert_eq!(log.begin(&asked("ann", "a")).unwrap(), number);
        }
        let mut files: Vec<_> =
            fs::read_dir(data.path()).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 3, "{files:?}");
        assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() < 600));
        let all = numbers(data.path(), &AuditFilter::default());
        assert!(all.is_sorted() && all.last() == Some(&(20, false)) && all.len() < 20, "{all:?}");
        drop(log);
        fs::remove_file(data.path().join(NAME)).unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Required, 300));
        assert!(log.begin(&asked("ann", "a")).unwrap() > 1, "as the older file says");
    }

    #[test]
    fn what_cannot_be_written_down_is_refused_unless_that_is_only_wanted() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join(NAME)).unwrap();
        for (audit, want) in [(Audit::Required, false), (Audit::Wanted, true), (Audit::Off, true)] {
            let log = AuditLog::new(data.path(), &settings(audit, 1 << 20));
            let begun = log.begin(&asked("ann", "a"));
            assert_eq!(begun.is_ok(), want, "{audit:?}");
            if let Err(error) = begun {
                assert!(error.to_string().contains("admin.audit: Wanted"), "{error}");
            }
        }
        fs::remove_dir(data.path().join(NAME)).unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Off, 1 << 20));
        log.end(&ended(log.begin(&asked("ann", "a")).unwrap(), AuditResult::Done));
        assert!(!data.path().join(NAME).exists());
    }

    #[test]
    fn a_full_disk_refuses_no_order_that_helps() {
        let data = tempfile::tempdir().unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Required, 1 << 20));
        log.keep_room();
        let wordy = Asked { reason: "x".repeat(1_000), ..asked("ann", "a") };
        for number in 1..=100 {
            let there = fs::metadata(data.path().join(NAME)).unwrap();
            let room = (there.blocks() * 512).saturating_sub(there.len());
            assert!(room >= ROOM / 2, "{room} octets are kept");
            // A file that is opened anew keeps its room.
            let log = if number % 30 == 0 {
                AuditLog::new(data.path(), &settings(Audit::Required, 1 << 20))
            } else {
                log.clone()
            };
            assert_eq!(log.begin(&wordy).unwrap(), number);
        }

        let full = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", full.path().join(NAME)).unwrap();
        let log = AuditLog::new(full.path(), &settings(Audit::Required, 1 << 20));
        for (command, is_done) in [
            ("stop", true),
            ("reload", true),
            ("set", true),
            ("channel stop", true),
            ("queue delete", true),
            ("order remove", true),
            ("queue hold", false),
            ("mailbox delete", false),
        ] {
            assert_eq!(log.begin(&asked("ann", command)).ok(), is_done.then_some(0), "{command}");
        }
    }

    #[test]
    fn a_full_file_goes_on_when_there_is_no_room_for_the_next() {
        let data = tempfile::tempdir().unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Required, 1));
        assert_eq!(log.begin(&asked("ann", "a")).unwrap(), 1);
        assert_eq!(log.begin(&asked("ann", "b")).unwrap(), 2);
        assert!(data.path().join("audit.log.1").exists());
        assert!(!data.path().join("audit.new").exists());
        assert_eq!(numbers(data.path(), &AuditFilter::default()), [(1, false), (2, false)]);
    }

    #[test]
    fn two_writers_leave_each_other_their_lines() {
        let data = tempfile::tempdir().unwrap();
        for most in [1 << 20, 1_000] {
            let admin = Admin { audit_files: 99, ..settings(Audit::Required, most) };
            let logs = [0, 1].map(|_| AuditLog::new(data.path(), &admin));
            let before = numbers(data.path(), &AuditFilter::default()).len();
            std::thread::scope(|scope| {
                for log in &logs {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            let order = log.begin(&asked("ann", "a")).unwrap();
                            log.end(&ended(order, AuditResult::Done));
                        }
                    });
                }
            });
            let all = numbers(data.path(), &AuditFilter::default());
            let want: Vec<_> = (1..=before as u64 + 40).map(|order| (order, true)).collect();
            assert_eq!(all, want);
        }
    }

    #[test]
    fn a_line_that_another_process_is_writing_is_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let admin = settings(Audit::Required, 1 << 20);
        AuditLog::new(data.path(), &admin).begin(&asked("ann", "a")).unwrap();
        let path = data.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap().replace("\"order\":1", "\"order\":2");
        let (first, rest) = text.split_at(20);
        let mut other = OpenOptions::new().append(true).open(&path).unwrap();
        other.lock().unwrap();
        other.write_all(first.as_bytes()).unwrap();
        let third = std::thread::spawn(move || {
            AuditLog::new(data.path(), &admin).begin(&asked("bob", "c")).map(|order| (order, data))
        });
        sleep(Duration::from_millis(100));
        other.write_all(rest.as_bytes()).unwrap();
        other.unlock().unwrap();
        let (order, data) = third.join().unwrap().unwrap();
        assert_eq!(order, 3);
        let all = numbers(data.path(), &AuditFilter::default());
        assert_eq!(all, [(1, false), (2, false), (3, false)]);
    }
}
