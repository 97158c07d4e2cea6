//! One writer: appends messages to files, several of each at once.

use std::{
    fs::File,
    io::{self, IoSlice},
    path::{Path, PathBuf},
};

use super::{
    content::{EncodeError, MboxMessage, Measure, Sink, from_date},
    error::AppendError,
    held::Held,
    intent::{Intent, IntentFile},
    place::FilePlace,
    rights::Acting,
    undo::{Remains, undo},
};
use crate::disk::{Disk, DiskFile};

/// Appends, one batch after the other.
pub struct Appender {
    intents: IntentFile,
    /// Appends of before that have yet to be looked at.
    left: Vec<Intent>,
}

/// Messages for one file.
#[derive(Clone, Copy, Debug)]
pub struct AppendBatch<'a> {
    /// The file.
    pub place: &'a FilePlace,
    /// The messages, in order.
    pub messages: &'a [MboxMessage],
}

/// The outcome of one message.
pub(super) type Appended = Result<(), AppendError>;

/// The outcome of an [`AppendBatch`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AppendOutcomes {
    /// Another program has locked the file: nothing happened.
    Busy,
    /// Of each message. One that was appended is durable.
    Each(Vec<Appended>),
}

/// An append of before a crash that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Undone {
    /// The file.
    pub path: PathBuf,
    /// Half a message of ours was taken out again; `false`: others have written to the file since, and
    /// what is there stays.
    pub is_undone: bool,
}

/// An append that is to be made.
struct Planned<'a> {
    intent: Intent,
    messages: Vec<(&'a MboxMessage, Option<File>)>,
    gap: &'static [u8],
}

/// A file under its locks, an append that is to be made, and the messages that it has.
type Ready<'a> = (Held, Planned<'a>, Vec<Appended>);

impl Appender {
    /// The writer with the file of intents at `path`.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = disk.create(path)?;
                disk.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
                made
            }
            opened => opened?,
        };
        let (intents, left) = IntentFile::open(file)?;
        Ok(Self { intents, left })
    }

    /// Whether appends of before a crash have yet to be looked at: their files are locked.
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Looks at appends of before a crash; those whose files are locked are left for later.
    pub fn recover(&mut self) -> Vec<Undone> {
        let mut told = Vec::new();
        for intent in std::mem::take(&mut self.left) {
            let path = intent.place.path();
            match Held::open(&intent.place, false) {
                Err(AppendError::Busy) => self.left.push(intent),
                Ok(Some(held)) => {
                    if let Some(undone) = self.settle(&held, &intent) {
                        told.push(undone);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a file that was appended to before the last start cannot be looked at");
                }
            }
        }
        self.strike_out();
        told
    }

    /// Looks at an append of before a crash.
    fn settle(&mut self, held: &Held, intent: &Intent) -> Option<Undone> {
        if held.identity != intent.identity {
            return None;
        }
        let acting = Acting::of(intent.place.owner);
        let remains = acting.and_then(|_acting| undo(held.file(), intent));
        let path = intent.place.path();
        match remains {
            Ok(Remains::Whole) => None,
            Ok(remains) => Some(Undone { path, is_undone: remains == Remains::Torn }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "half a message cannot be taken out of a file yet");
                self.left.push(intent.clone());
                None
            }
        }
    }

    /// Appends all, each file under its locks.
    pub fn append(&mut self, batches: &[AppendBatch<'_>], now: i64) -> Vec<AppendOutcomes> {
        let date = from_date(now);
        let mut outcomes = Vec::with_capacity(batches.len());
        let mut ready = Vec::with_capacity(batches.len());
        for (i, batch) in batches.iter().enumerate() {
            match self.prepare(batch, &date) {
                Err(AppendError::Busy) => outcomes.push(AppendOutcomes::Busy),
                Err(error) => outcomes.push(AppendOutcomes::of(batch, &error)),
                Ok((held, planned, each)) => {
                    outcomes.push(AppendOutcomes::Each(each));
                    ready.push((i, held, planned));
                }
            }
        }
        let files: Vec<_> =
            ready.iter().map(|(_, held, planned): &(_, Held, _)| (held.file(), planned)).collect();
        let appended = self.commit(&files, &date);
        for ((i, ..), appended) in ready.iter().zip(appended) {
            if let (Err(error), AppendOutcomes::Each(each)) = (appended, &mut outcomes[*i]) {
                each.iter_mut().filter(|one| one.is_ok()).for_each(|one| *one = Err(error.clone()));
            }
        }
        outcomes
    }

    /// Appends to files that are locked; the intents are safe before.
    fn commit(&mut self, files: &[(&dyn DiskFile, &Planned<'_>)], date: &str) -> Vec<Appended> {
        if files.iter().all(|(_, planned)| planned.messages.is_empty()) {
            return files.iter().map(|_| Ok(())).collect();
        }
        let ours = files.iter().map(|(_, planned)| &planned.intent);
        let intents: Vec<_> = self.left.iter().chain(ours).collect();
        if let Err(error) = self.intents.write(&intents) {
            let error = AppendError::of("intent", &error);
            return files.iter().map(|_| Err(error.clone())).collect();
        }
        let appended =
            files.iter().map(|(file, planned)| self.carry_out(*file, planned, date)).collect();
        self.strike_out();
        appended
    }

    /// Idle: what was struck out is made to last.
    pub fn rest(&mut self) {
        self.intents.rest();
    }

    /// Locks the file of a batch, and measures what is to be appended.
    fn prepare<'a>(
        &mut self,
        batch: &AppendBatch<'a>,
        date: &str,
    ) -> Result<Ready<'a>, AppendError> {
        let mut held = Held::open(batch.place, true)?.ok_or(AppendError::Busy)?;
        let (ours, others) =
            std::mem::take(&mut self.left).into_iter().partition(|left| left.place == *batch.place);
        self.left = others;
        for intent in ours {
            if let Some(undone) = self.settle(&held, &intent) {
                undone.tell();
            }
        }
        let read = |error| AppendError::of("read", &error);
        held.length = held.file().size().map_err(read)?;
        let (planned, each) =
            plan(held.file(), batch, (held.identity, held.length), date).map_err(read)?;
        Ok((held, planned, each))
    }

    /// Appends, and makes it durable.
    fn carry_out(
        &mut self,
        file: &dyn DiskFile,
        planned: &Planned<'_>,
        date: &str,
    ) -> Result<(), AppendError> {
        if planned.messages.is_empty() {
            return Ok(());
        }
        let acting =
            Acting::of(planned.intent.place.owner).map_err(|e| AppendError::of("user", &e))?;
        let appended = write(file, planned, date);
        if appended.is_err()
            && let Err(error) = take_back(file, planned.intent.length)
        {
            let path = planned.intent.place.path();
            tracing::warn!(path = %path.display(), %error, "half a message cannot be taken out of a file yet");
            self.left.push(planned.intent.clone());
        }
        drop(acting);
        appended
    }

    /// Strikes out all but those that are left.
    fn strike_out(&mut self) {
        if self.left.is_empty() {
            return self.intents.strike_out();
        }
        let left: Vec<_> = self.left.iter().collect();
        if let Err(error) = self.intents.write(&left) {
            tracing::warn!(%error, "the appends that are under way cannot be written down");
        }
    }
}

impl AppendOutcomes {
    fn of(batch: &AppendBatch<'_>, error: &AppendError) -> Self {
        Self::Each(batch.messages.iter().map(|_| Err(error.clone())).collect())
    }
}

impl Undone {
    /// Tells the operator.
    pub fn tell(&self) {
        let path = self.path.display();
        if self.is_undone {
            tracing::warn!(%path, "half a message that a crash had left was taken out of a mailbox");
        } else {
            tracing::warn!(%path, "a crash may have left half a message in a mailbox that others have written to since: it stays");
        }
    }
}

/// Measures messages; those that cannot be read are left out.
fn plan<'a>(
    file: &dyn DiskFile,
    batch: &AppendBatch<'a>,
    (identity, length): ((u64, u64), u64),
    date: &str,
) -> io::Result<(Planned<'a>, Vec<Appended>)> {
    let gap = gap(file, length)?;
    let mut all = Measure::default();
    all.take(gap)?;
    let (mut bounds, mut messages, mut each) = (vec![all.octets], Vec::new(), Vec::new());
    for message in batch.messages {
        let before = (all.octets, all.start.len());
        let measured = message.open().and_then(|file| {
            message.encode(file.as_ref(), date, &mut all)?;
            Ok(file)
        });
        match measured {
            Ok(file) => {
                bounds.push(all.octets);
                messages.push((message, file));
                each.push(Ok(()));
            }
            Err(EncodeError::Unread(error) | EncodeError::Sink(error)) => {
                all.octets = before.0;
                all.start.truncate(before.1);
                each.push(Err(AppendError::Unread(error.to_string())));
            }
        }
    }
    let intent = Intent {
        place: batch.place.clone(),
        identity,
        length,
        bounds,
        start: all.start,
        has_zeros: all.has_zeros,
    };
    Ok((Planned { intent, messages, gap }, each))
}

/// The octets that end what another program has left without an end: a message begins behind an empty
/// line.
fn gap(file: &dyn DiskFile, length: u64) -> io::Result<&'static [u8]> {
    let mut end = [b'\n'; 2];
    let known = usize::try_from(length).map_or(2, |length| length.min(2));
    file.read_at(&mut end[2 - known..], length - known as u64)?;
    Ok(match end {
        [b'\n', b'\n'] => b"",
        [_, b'\n'] => b"\n",
        _ => b"\n\n",
    })
}

fn write(file: &dyn DiskFile, planned: &Planned<'_>, date: &str) -> Result<(), AppendError> {
    let mut end = FileEnd { file, at: planned.intent.length, waiting: Vec::new() };
    let failed = |error: EncodeError| match error {
        EncodeError::Unread(error) => AppendError::Unread(error.to_string()),
        EncodeError::Sink(error) => AppendError::of("write", &error),
    };
    end.take(planned.gap).map_err(|error| AppendError::of("write", &error))?;
    for (message, file) in &planned.messages {
        message.encode(file.as_ref(), date, &mut end).map_err(failed)?;
    }
    end.flush().map_err(|error| AppendError::of("write", &error))?;
    file.sync_data().map_err(|error| AppendError::of("sync", &error))
}

fn take_back(file: &dyn DiskFile, length: u64) -> io::Result<()> {
    file.truncate(length)?;
    file.sync_data()
}

/// The end of a file.
struct FileEnd<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    waiting: Vec<u8>,
}

impl FileEnd<'_> {
    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&mut [IoSlice::new(&self.waiting)], self.at)?;
        self.at += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

impl Sink for FileEnd<'_> {
    fn take(&mut self, octets: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(octets);
        if self.waiting.len() >= WAITING { self.flush() } else { Ok(()) }
    }
}

/// Octets that are written at once, or somewhat more.
const WAITING: usize = 256 << 10;

#[cfg(test)]
mod tests;
