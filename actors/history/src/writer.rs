//! The thread that writes.

use std::{
    io, mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering::Relaxed,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{
    error::HistoryError,
    files::Files,
    index::Wanted,
    newest::{Newest, Settings, Writer, count},
    tap::{SHARDS, Shared, Tap},
};

/// The writer's thread. Ends when it is told to.
#[derive(Debug)]
pub struct Keeper {
    desk: Desk,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where the writer is asked.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    commands: Arc<Mutex<Vec<Command>>>,
    settings: Arc<Mutex<Settings>>,
}

#[derive(Debug)]
enum Command {
    /// Which blocks of the newest segment hold these, and what is in no block yet?
    Find(Wanted, Sender<Newest>),
    /// Write down everything, and begin another segment.
    Seal(Sender<Result<(), HistoryError>>),
    /// Write down what was told before.
    Flush(Sender<()>),
    Adopt(Settings),
    End,
}

impl Keeper {
    /// Starts the thread. What is told meanwhile waits until it has looked at what is there.
    pub fn start(tap: &Tap, settings: Settings) -> io::Result<Self> {
        let shared = Arc::clone(&tap.0);
        shared.is_open.store(settings.size > 0, Relaxed);
        let desk =
            Desk { shared, commands: Arc::default(), settings: Arc::new(Mutex::new(settings)) };
        let its = desk.clone();
        let thread = thread::Builder::new().name("history".to_owned()).spawn(move || its.run())?;
        Ok(Self { desk, thread: Mutex::new(Some(thread)) })
    }

    /// Puts other settings in force.
    pub fn adopt(&self, settings: Settings) {
        self.desk.put(Command::Adopt(settings));
    }

    /// Where the history is read.
    pub(crate) fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Until everything that was told is in a file.
    pub fn flush(&self) {
        let (answer, answered) = mpsc::channel();
        self.desk.put(Command::Flush(answer));
        let _ = answered.recv();
    }

    /// Writes what was told, and ends. What is told behind this is thrown away.
    pub fn end(&self) {
        self.desk.put(Command::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the thread has been logged.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Desk {
    /// Asks about the newest segment; `None`: nothing is being written.
    pub(crate) fn find(&self, wanted: &Wanted) -> Option<Newest> {
        let (answer, answered) = mpsc::channel();
        self.put(Command::Find(wanted.clone(), answer));
        answered.recv_timeout(PATIENCE).ok()
    }

    /// Has everything written into sealed segments.
    pub(crate) fn seal(&self) -> Result<(), HistoryError> {
        let (answer, answered) = mpsc::channel();
        self.put(Command::Seal(answer));
        answered.recv_timeout(PATIENCE).map_err(|_| HistoryError::Ended)?
    }

    /// Where it writes.
    pub(crate) fn folder(&self) -> PathBuf {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).folder.clone()
    }

    fn put(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.shared.wake(true);
    }

    fn run(self) {
        let mut thread =
            WriterThread { writer: None, spare: Vec::new(), seen: None, opened: None, desk: self };
        thread.open();
        while thread.step() {}
    }
}

struct WriterThread {
    desk: Desk,
    writer: Option<Writer>,
    /// The buffer that is given in exchange for a full one.
    spare: Vec<u8>,
    /// When the disk was last looked at.
    seen: Option<Instant>,
    /// When opening it was last tried.
    opened: Option<Instant>,
}

impl WriterThread {
    fn settings(&self) -> Settings {
        self.desk.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open(&mut self) {
        let (settings, shared) = (self.settings(), Arc::clone(&self.desk.shared));
        self.opened = Some(Instant::now());
        shared.is_open.store(settings.size > 0, Relaxed);
        if settings.size == 0 {
            if let Err(error) = remove_all(&settings.folder) {
                warn!(folder = %settings.folder.display(), %error, "the history cannot be removed");
            }
            shared.figures.octets.store(0, Relaxed);
            shared.figures.end_stop();
            return;
        }
        match Writer::open(settings, Arc::clone(&shared)) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => {
                if shared.figures.begin_stop(error.to_string()) {
                    warn!(%error, "the history cannot be written");
                }
            }
        }
    }

    /// One round; `false` at the end.
    fn step(&mut self) -> bool {
        self.wait();
        self.drain();
        let commands =
            mem::take(&mut *self.desk.commands.lock().unwrap_or_else(PoisonError::into_inner));
        for command in commands {
            match command {
                Command::Find(wanted, answer) => {
                    if let Some(writer) = &self.writer {
                        // The asker may have given up.
                        let _ = answer.send(writer.find(&wanted));
                    }
                }
                Command::Seal(answer) => {
                    let sealed = self.writer.as_mut().map_or(Ok(()), Writer::seal);
                    let _ = answer.send(sealed);
                }
                Command::Flush(answer) => {
                    let _ = answer.send(());
                }
                Command::Adopt(settings) => self.adopt(settings),
                Command::End => {
                    self.desk.shared.is_open.store(false, Relaxed);
                    self.drain();
                    if let Some(writer) = &mut self.writer {
                        writer.sync();
                    }
                    return false;
                }
            }
        }
        self.look_after();
        true
    }

    fn adopt(&mut self, settings: Settings) {
        let before = mem::replace(
            &mut *self.desk.settings.lock().unwrap_or_else(PoisonError::into_inner),
            settings.clone(),
        );
        let is_elsewhere = before.folder != settings.folder || settings.size == 0;
        match &mut self.writer {
            Some(writer) if !is_elsewhere => writer.settings = settings,
            _ => {
                if let Some(mut writer) = self.writer.take() {
                    writer.sync();
                }
                self.open();
            }
        }
    }

    /// Until there is something to do, and then a little longer, so that it is more.
    fn wait(&self) {
        let shared = &*self.desk.shared;
        let idle = |hurries: &mut bool| !*hurries && !shared.is_awake.load(Relaxed);
        let (guard, woken) = (shared.hurries(), &shared.woken);
        let waited = woken.wait_timeout_while(guard, LOOK_EVERY, idle);
        let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !*guard && !shared.is_awake.load(Relaxed) {
            return;
        }
        let waited = woken.wait_timeout_while(guard, PAUSE, |hurries| !*hurries);
        let (mut guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *guard = false;
        // Before the buffers are emptied: what is told behind this wakes again.
        shared.is_awake.store(false, Relaxed);
    }

    fn drain(&mut self) {
        let shared = Arc::clone(&self.desk.shared);
        for shard in 0..SHARDS {
            self.spare.clear();
            shared.take(shard, &mut self.spare);
            if self.spare.is_empty() {
                continue;
            }
            match &mut self.writer {
                Some(writer) => writer.write(&self.spare),
                None => {
                    shared.lost.fetch_add(count(&self.spare), Relaxed);
                }
            }
            self.spare.shrink_to(USUAL_SHARD);
        }
        if let Some(writer) = &mut self.writer {
            writer.write_lost();
        }
    }

    /// Once a second.
    fn look_after(&mut self) {
        if self.seen.is_some_and(|seen| seen.elapsed() < LOOK_EVERY) {
            return;
        }
        self.seen = Some(Instant::now());
        match &mut self.writer {
            Some(writer) if writer.is_gone() => {
                let lost = writer.pending();
                warn!(lost, "the files of the history were removed: it begins anew");
                self.desk.shared.lost.fetch_add(lost, Relaxed);
                self.writer = None;
                self.open();
            }
            Some(writer) => writer.look_after(),
            None if self.opened.is_some_and(|at| at.elapsed() > TRY_AGAIN) => self.open(),
            None => {}
        }
    }
}

fn remove_all(folder: &std::path::Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let files = Files(folder.to_owned());
    files.sweep()?;
    files.segments()?.into_iter().try_for_each(|number| files.remove(number))
}

/// How long notes are gathered before they are looked at.
const PAUSE: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After the folder could not be opened.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// For an answer of the thread, which may be sealing a segment.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets of a buffer that are kept.
const USUAL_SHARD: usize = 512 << 10;
