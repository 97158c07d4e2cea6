//! A thread that appends to UNIX mailboxes and files.
//!
//! Each mailbox has one of these threads, so that its messages keep their order and nobody waits for
//! somebody else's locks. Messages that come while a batch is being written form the next. A mailbox
//! that another program has locked is tried again, and holds up no other one.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use relais_channels::{
    clock,
    mbox::{AppendBatch, AppendError, AppendOutcomes, Appender, FilePlace, MboxMessage, Undone},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A message for one file, and the one who waits for it.
pub(super) struct AppendRequest {
    pub(super) place: FilePlace,
    pub(super) message: MboxMessage,
    pub(super) asker: AppendAsker,
}

/// The one who waits for an append.
pub(super) struct AppendAsker {
    pub(super) came: Instant,
    pub(super) answer: oneshot::Sender<Result<(), AppendError>>,
    /// Released when the append is done, also when nobody waits for it any more.
    pub(super) _permit: Arc<OwnedSemaphorePermit>,
    /// The message lies there.
    pub(super) _file: Option<Arc<SpilledFile>>,
}

/// A message that came in by a file, which is removed when nobody wants it any more.
#[derive(Debug)]
pub(super) struct SpilledFile(pub(super) PathBuf);

impl Drop for SpilledFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a message on its way cannot be removed");
        }
    }
}

/// The messages for one file.
#[derive(Default)]
struct FileLine {
    messages: VecDeque<(MboxMessage, AppendAsker)>,
    /// While another program has the file.
    again: Option<(Instant, Duration)>,
}

/// One of the threads.
pub(super) struct UnixWriter {
    pub(super) appender: Appender,
    lines: HashMap<FilePlace, FileLine>,
    /// Places of lines, in the order in which they came.
    order: VecDeque<FilePlace>,
}

impl UnixWriter {
    pub(super) fn new(appender: Appender) -> Self {
        Self { appender, lines: HashMap::new(), order: VecDeque::new() }
    }

    /// Until nobody can ask any more, and all that was asked is answered.
    pub(super) fn run(mut self, requests: &Receiver<AppendRequest>) {
        loop {
            let mut next = match requests.recv_timeout(self.pause()) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Disconnected) if self.lines.is_empty() => break,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(self.pause());
                    None
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.lines.is_empty() {
                        self.rest();
                    }
                    None
                }
            };
            let mut taken = 0;
            while let Some(request) = next.take() {
                self.line_up(request);
                taken += 1;
                next = if taken < MOST_TAKEN { requests.try_recv().ok() } else { None };
            }
            while self.serve() {}
        }
        self.appender.rest();
    }

    /// Until there is something to do.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let mut due = self.lines.values().map(|line| line.again.map_or(now, |(at, _)| at));
        let first = due.next().map(|first| due.fold(first, Instant::min));
        first.map_or(REST, |first| first.saturating_duration_since(now))
    }

    fn rest(&mut self) {
        if self.appender.has_left() {
            self.appender.recover().iter().for_each(Undone::tell);
        }
        self.appender.rest();
    }

    fn line_up(&mut self, AppendRequest { place, message, asker }: AppendRequest) {
        if !self.lines.contains_key(&place) {
            self.order.push_back(place.clone());
        }
        self.lines.entry(place).or_default().messages.push_back((message, asker));
    }

    /// Appends for some of the lines; `false`: none of them is due.
    fn serve(&mut self) -> bool {
        let now = Instant::now();
        let due = |line: &FileLine| line.again.is_none_or(|(at, _)| at <= now);
        let places: Vec<FilePlace> = self
            .order
            .iter()
            .filter(|place| due(&self.lines[place]))
            .take(MOST_PLACES)
            .cloned()
            .collect();
        if places.is_empty() {
            return false;
        }
        let mut all: Vec<(Vec<MboxMessage>, Vec<AppendAsker>)> = Vec::with_capacity(places.len());
        for place in &places {
            let line = self.lines.get_mut(place).map(FileLine::take).unwrap_or_default();
            all.push(line);
        }
        let batches = places.iter().zip(&all);
        let batches: Vec<_> =
            batches.map(|(place, (messages, _))| AppendBatch { place, messages }).collect();
        let millis = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
        // The one who waits sees the answer dropped, and an intent says what was begun.
        let appended = catch_unwind(AssertUnwindSafe(|| self.appender.append(&batches, millis)));
        let outcomes = appended.unwrap_or_else(|_| {
            tracing::error!(mailboxes = places.len(), "an append ended in a panic");
            places.iter().map(|_| AppendOutcomes::Each(Vec::new())).collect()
        });
        for ((place, (messages, askers)), outcomes) in places.into_iter().zip(all).zip(outcomes) {
            match outcomes {
                AppendOutcomes::Each(each) => {
                    for (asker, outcome) in askers.into_iter().zip(each) {
                        asker.tell(outcome);
                    }
                    if let Some(line) = self.lines.get_mut(&place) {
                        line.again = None;
                    }
                }
                AppendOutcomes::Busy => {
                    self.put_back(&place, messages.into_iter().zip(askers).collect());
                }
            }
            self.close(&place);
        }
        true
    }

    /// Has the messages of a locked file wait; those that have waited long enough do not.
    fn put_back(&mut self, place: &FilePlace, messages: Vec<(MboxMessage, AppendAsker)>) {
        let Some(line) = self.lines.get_mut(place) else { return };
        for (message, asker) in messages.into_iter().rev() {
            if asker.came.elapsed() >= LOCK_PATIENCE {
                asker.tell(Err(AppendError::Busy));
            } else {
                line.messages.push_front((message, asker));
            }
        }
        let pause = line.again.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        line.again = Some((Instant::now() + pause, pause));
    }

    /// Forgets an empty line; one with more messages goes to the end.
    fn close(&mut self, place: &FilePlace) {
        self.order.retain(|its| its != place);
        match self.lines.get(place) {
            Some(line) if !line.messages.is_empty() => self.order.push_back(place.clone()),
            _ => {
                self.lines.remove(place);
            }
        }
    }
}

impl FileLine {
    /// As many messages as are appended together.
    fn take(&mut self) -> (Vec<MboxMessage>, Vec<AppendAsker>) {
        let (mut count, mut octets) = (0, 0);
        for (message, _) in &self.messages {
            octets += message.content.size();
            if count > 0 && (count == MOST_MESSAGES || octets > MOST_OCTETS) {
                break;
            }
            count += 1;
        }
        self.messages.drain(..count).unzip()
    }
}

impl AppendAsker {
    fn tell(self, outcome: Result<(), AppendError>) {
        // Nobody may be waiting any more.
        let _ = self.answer.send(outcome);
    }
}

/// How long other programs' locks are waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How often an idle thread looks about.
const REST: Duration = Duration::from_secs(1);
/// Requests lined up before the next batch.
const MOST_TAKEN: usize = 256;
/// Files locked together.
const MOST_PLACES: usize = 16;
/// Messages appended to one file together, and their octets.
const MOST_MESSAGES: usize = 64;
const MOST_OCTETS: u64 = 16 << 20;
