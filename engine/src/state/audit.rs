//! The orders of operators: `DATA/audit.log`, a line of JSON for each, and another one behind it for
//! what came of it.
//!
//! The first line is on the disk before the order is carried out. When the file is full, it becomes
//! `audit.log.1`, that one `audit.log.2` and so on; the oldest goes.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use relais_actors::timestamp::Timestamp;
use relais_config::admin::{Admin, Audit};
use tracing::warn;

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
    /// The number of the next order.
    next: u64,
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

    /// Writes an order down; its number. Durable when this returns.
    pub fn begin(&self, asked: Asked) -> Result<u64, NotAudited> {
        if self.0.demand == Audit::Off {
            return Ok(0);
        }
        let Asked { who, command, what, reason } = asked;
        let written = self.0.with_file(|open| {
            let order = open.next;
            let at = Timestamp::now();
            let line = AuditLine::Ordered(AuditOrder { order, at, who, command, what, reason });
            open.add(&line)?;
            open.file.sync_data()?;
            open.next += 1;
            Ok(order)
        });
        match written {
            Ok(order) => Ok(order),
            Err(error) if self.0.demand == Audit::Wanted => {
                warn!(path = %self.0.path.display(), %error, "an order is not written down");
                Ok(0)
            }
            Err(error) => Err(NotAudited { path: self.0.path.display().to_string(), error }),
        }
    }

    /// The orders that the files have; as [`read`] has them.
    pub fn read(&self, filter: &AuditFilter) -> io::Result<Vec<AuditEntry>> {
        read(self.0.path.parent().unwrap_or(Path::new(".")), filter)
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

impl AuditShared {
    /// Does something with the file, which is opened when it is not, and made room in when it is full.
    fn with_file<T>(&self, write: impl FnOnce(&mut OpenFile) -> io::Result<T>) -> io::Result<T> {
        let mut held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = |open: &OpenFile| {
            let there = fs::metadata(&self.path).map(|there| (there.dev(), there.ino()));
            let own = open.file.metadata().map(|own| (own.dev(), own.ino()));
            there.ok() == own.ok()
        };
        let mut open = match held.take() {
            // Somebody else may have moved it away.
            Some(open) if is_there(&open) => open,
            _ => OpenFile::open(&self.path, &self.older(1))?,
        };
        if open.size >= self.most {
            open = self.turn(open.next)?;
        }
        // After a failure it is opened anew, and what was written of a line is cut off.
        let written = write(&mut open)?;
        *held = Some(open);
        Ok(written)
    }

    /// The file becomes the newest of the older ones.
    fn turn(&self, next: u64) -> io::Result<OpenFile> {
        for number in (1..self.files).rev() {
            match fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.older(1))?;
        let open = OpenFile::open(&self.path, &self.older(1))?;
        Ok(OpenFile { next, ..open })
    }

    fn older(&self, number: usize) -> PathBuf {
        older(&self.path, number)
    }
}

impl OpenFile {
    /// A line that a crash cut short is cut off: nobody was told that its order is carried out.
    fn open(path: &Path, before: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if is_new {
            let folder = path.parent().unwrap_or(Path::new("."));
            let (folder, own) = (File::open(folder)?, file.metadata()?);
            // A command of root must not keep the engine from its file.
            let owner = folder.metadata()?;
            if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) && own.uid() == 0 {
                fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            }
            folder.sync_all()?;
        }
        let (size, last) = last_order(&file)?;
        file.set_len(size)?;
        let last = match last {
            None if size == 0 && before.exists() => last_order(&File::open(before)?)?.1,
            last => last,
        };
        Ok(Self { file, size, next: last.unwrap_or(0) + 1 })
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
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
        let (one, two) = (log.begin(asked("ann", "a")), log.begin(asked("bob", "b")));
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
        AuditLog::new(data.path(), &admin).begin(asked("ann", "a")).unwrap();
        let path = data.path().join(NAME);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(br#"{"step":"ordered","order":2,"#);
        fs::write(&path, text).unwrap();
        let log = AuditLog::new(data.path(), &admin);
        assert_eq!(log.begin(asked("bob", "b")).unwrap(), 2);
        assert_eq!(numbers(data.path(), &AuditFilter::default()), [(1, false), (2, false)]);
    }

    #[test]
    fn the_files_are_bounded_in_size_and_number() {
        let data = tempfile::tempdir().unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Required, 300));
        for number in 1..=20 {
            assert_eq!(log.begin(asked("ann", "a")).unwrap(), number);
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
        assert!(log.begin(asked("ann", "a")).unwrap() > 1, "as the older file says");
    }

    #[test]
    fn what_cannot_be_written_down_is_refused_unless_that_is_only_wanted() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join(NAME)).unwrap();
        for (audit, want) in [(Audit::Required, false), (Audit::Wanted, true), (Audit::Off, true)] {
            let log = AuditLog::new(data.path(), &settings(audit, 1 << 20));
            let begun = log.begin(asked("ann", "a"));
            assert_eq!(begun.is_ok(), want, "{audit:?}");
            if let Err(error) = begun {
                assert!(error.to_string().contains("admin.audit: Wanted"), "{error}");
            }
        }
        fs::remove_dir(data.path().join(NAME)).unwrap();
        let log = AuditLog::new(data.path(), &settings(Audit::Off, 1 << 20));
        log.end(&ended(log.begin(asked("ann", "a")).unwrap(), AuditResult::Done));
        assert!(!data.path().join(NAME).exists());
    }
}
