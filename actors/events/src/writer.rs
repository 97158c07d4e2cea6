//! The thread that writes.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering::Relaxed,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::statvfs;
use tracing::warn;

use crate::{
    figures::{Loss, locked},
    file::EventLog,
    hook::{Hook, cannot_be_kept, now},
    hooks::Hooks,
    hourly::Hourly,
    settings::Settings,
    tap::{Shared, Tap, events},
};

/// The thread that writes, and all that it keeps. Ends when it is told to.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    commands: Arc<Mutex<Vec<Command>>>,
    thread: Mutex<Option<Running>>,
}

/// The thread, and a channel that is closed when it ends.
#[derive(Debug)]
struct Running {
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

#[derive(Debug)]
enum Command {
    Adopt(Box<Settings>),
    /// Write down what was told before.
    Flush(Sender<()>),
    End,
}

/// A file or a webhook, with the lines that it is to get.
#[derive(Debug, Default)]
struct Lines {
    octets: Vec<u8>,
    count: u64,
}

struct WriterThread {
    shared: Arc<Shared>,
    commands: Arc<Mutex<Vec<Command>>>,
    settings: Settings,
    file: Option<EventLog>,
    hooks: Hooks,
    /// The buffer that is given in exchange for a full one.
    spare: Vec<u8>,
    /// The beginning of ids of this run.
    run: String,
    /// Events so far.
    count: u64,
    seen: Option<Instant>,
    /// The disk of the file, and that of what waits, have no room to spare.
    is_short: [bool; 2],
    told: Hourly,
    lost_before: u64,
}

impl Keeper {
    /// Starts the thread. What is told meanwhile waits until it has looked at what is there.
    pub fn start(tap: &Tap, settings: Settings) -> io::Result<Self> {
        let shared = Arc::clone(&tap.0);
        shared.wanted.store(settings.wanted(), Relaxed);
        let commands = Arc::new(Mutex::new(Vec::new()));
        let mut writer = WriterThread {
            shared: Arc::clone(&shared),
            commands: Arc::clone(&commands),
            settings: Settings::default(),
            file: None,
            hooks: Hooks::default(),
            spare: Vec::new(),
            run: run_id()?,
            count: 0,
            seen: None,
            is_short: [false; 2],
            told: Hourly::default(),
            lost_before: 0,
        };
        let (ends, ended) = mpsc::channel();
        let thread = thread::Builder::new().name("events".to_owned()).spawn(move || {
            let _ends: Sender<()> = ends;
            // Before anything that is told is taken out of the buffer.
            writer.adopt(settings);
            writer.run();
        })?;
        let running = Running { thread, ended };
        Ok(Self { shared, commands, thread: Mutex::new(Some(running)) })
    }

    /// Puts other settings in force.
    pub fn adopt(&self, settings: Settings) {
        self.put(Command::Adopt(Box::new(settings)));
    }

    /// Until everything that was told is in files.
    pub fn flush(&self) {
        let (answer, answered) = mpsc::channel();
        self.put(Command::Flush(answer));
        let _ = answered.recv_timeout(PATIENCE);
    }

    /// Writes what was told, and ends; nobody waits for webhooks, nor for a disk for more than ten seconds. What
    /// is told behind this is thrown away.
    pub fn end(&self) {
        self.put(Command::End);
        let running = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { thread, ended }) = running else { return };
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            return warn!("the last events are lost: the disk does not take them");
        }
        // A panic of the thread has been logged.
        let _ = thread.join();
    }

    fn put(&self, command: Command) {
        locked(&self.commands).push(command);
        self.shared.wake(true);
    }
}

impl WriterThread {
    fn run(&mut self) {
        while self.step() {}
    }

    /// One round; `false` at the end.
    fn step(&mut self) -> bool {
        self.wait();
        self.drain();
        let commands = std::mem::take(&mut *locked(&self.commands));
        for command in commands {
            match command {
                Command::Adopt(settings) => self.adopt(*settings),
                Command::Flush(answer) => {
                    let _ = answer.send(());
                }
                Command::End => {
                    self.shared.wanted.store(0, Relaxed);
                    self.drain();
                    self.hooks.end();
                    self.sync();
                    return false;
                }
            }
        }
        self.look_after();
        true
    }

    fn adopt(&mut self, settings: Settings) {
        let wanted = settings.wanted();
        match (&mut self.file, &settings.file) {
            (Some(file), Some(new)) if file.settings.path == new.path => {
                file.settings = new.clone();
            }
            (file, new) => {
                *file = new.clone().map(EventLog::new);
                self.shared.figures.set_file_trouble(Path::new(""), None);
            }
        }
        self.hooks.adopt(settings.folder.clone(), &settings.hooks, &self.shared.figures);
        self.settings = settings;
        self.shared.wanted.store(wanted, Relaxed);
        self.look_at_room();
        self.seen = None;
    }

    /// Until there is something to do, and then a little longer, so that it is more.
    fn wait(&self) {
        let shared = &*self.shared;
        let idle = |hurries: &mut bool| !*hurries && !shared.is_awake.load(Relaxed);
        let is_idle = self.settings.wanted() == 0 && self.seen.is_some();
        let patience = if is_idle { IDLE } else { LOOK_EVERY };
        let waited = shared.woken.wait_timeout_while(shared.hurries(), patience, idle);
        let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !*guard && !shared.is_awake.load(Relaxed) {
            return;
        }
        let waited = shared.woken.wait_timeout_while(guard, PAUSE, |hurries| !*hurries);
        let (mut guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *guard = false;
        // Before the buffer is emptied: what is told behind this wakes again.
        shared.is_awake.store(false, Relaxed);
    }

    fn drain(&mut self) {
        self.spare.clear();
        let mut told = std::mem::take(&mut self.spare);
        self.shared.take(&mut told);
        let mut for_file = Lines::default();
        let mut for_hooks: Vec<(Arc<Hook>, u32, Lines)> = Vec::new();
        for hook in self.hooks.all() {
            let wanted = locked(&hook.settings).wanted;
            for_hooks.push((Arc::clone(hook), wanted, Lines::default()));
        }
        let file_wants = self.settings.file.as_ref().map_or(0, |its| its.wanted);
        let mut line = Vec::new();
        for event in events(&told) {
            self.count += 1;
            line.clear();
            write_line(&mut line, (&self.run, self.count), &self.settings.node, event.json);
            if event.bit & file_wants != 0 {
                for_file.add(&line);
                if for_file.is_much() {
                    self.write_to_file(&mut for_file);
                }
            }
            for (hook, wanted, lines) in &mut for_hooks {
                if event.bit & *wanted != 0 {
                    lines.add(&line);
                    if lines.is_much() {
                        append(hook, lines, self.is_short[1]);
                    }
                }
            }
        }
        self.write_to_file(&mut for_file);
        self.lose_for_unable(&told);
        for (hook, _, mut lines) in for_hooks {
            append(&hook, &mut lines, self.is_short[1]);
        }
        told.shrink_to(USUAL_BUFFER);
        self.spare = told;
    }

    /// Counts what webhooks do not get for which nothing can be kept.
    fn lose_for_unable(&self, told: &[u8]) {
        for hook in self.hooks.unable() {
            let its = events(told).filter(|event| event.bit & hook.wanted() != 0);
            hook.figures.lose(Loss::Disk, its.count() as u64);
        }
    }

    fn write_to_file(&mut self, lines: &mut Lines) {
        let Some(file) = self.file.as_mut().filter(|_| lines.count > 0) else { return };
        let written = if self.is_short[0] { Err(no_room()) } else { file.write(&lines.octets) };
        let figures = &self.shared.figures;
        let why = written.as_ref().err().map(ToString::to_string);
        figures.set_file_trouble(&file.settings.path, why);
        if let Err(error) = written {
            figures.lose(Loss::Disk, lines.count);
            if self.told.is_due() {
                let path = file.settings.path.display();
                warn!(%path, %error, events = lines.count, "events are lost: the file cannot be written");
            }
        }
        lines.clear();
    }

    /// Once a second.
    fn look_after(&mut self) {
        if self.seen.is_some_and(|seen| seen.elapsed() < LOOK_EVERY) {
            return;
        }
        self.seen = Some(Instant::now());
        if self.settings.wanted() == 0 {
            return;
        }
        self.look_at_room();
        self.look_after_file();
        if self.is_short[1] {
            let why = cannot_be_kept(&no_room());
            self.hooks.all().for_each(|hook| hook.set_disk_trouble(&why));
        } else {
            self.hooks.look_after(&self.shared.figures);
        }
        self.sync();
        self.tell_losses();
    }

    fn look_after_file(&mut self) {
        let Some(file) = &mut self.file else { return };
        let looked = if self.is_short[0] { Err(no_room()) } else { file.look_after() };
        let (path, why) = (&file.settings.path, looked.as_ref().err().map(ToString::to_string));
        self.shared.figures.set_file_trouble(path, why);
        if let Err(error) = looked
            && self.told.is_due()
        {
            warn!(path = %path.display(), %error, "events are lost: the file cannot be written");
        }
    }

    fn look_at_room(&mut self) {
        let least = self.settings.min_free;
        let is_short = |folder: &Path| {
            statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < least)
        };
        let of_file = self.settings.file.as_ref().and_then(|its| its.path.parent());
        self.is_short = [of_file.is_some_and(is_short), is_short(&self.settings.folder)];
    }

    fn sync(&self) {
        for hook in self.hooks.all() {
            let file = locked(&hook.backlog).take_dirty();
            // A disk that fails is told when it is written to.
            let _ = file.map(|file| file.sync_data());
        }
    }

    /// Says once an hour that events were lost, and why.
    fn tell_losses(&mut self) {
        let figures = &self.shared.figures;
        let hooks = figures.hooks();
        let all = figures.lost_in_memory() + hooks.iter().map(|its| its.all_lost()).sum::<u64>();
        if all == self.lost_before || !self.told.is_due() {
            return;
        }
        self.lost_before = all;
        let memory = figures.lost_in_memory();
        if memory > 0 {
            warn!(
                events = memory,
                "events were lost since the start: they came faster than the disk"
            );
        }
        for hook in hooks.iter().filter(|its| its.all_lost() > 0) {
            let why = Loss::ALL.iter().filter(|why| hook.lost(**why) > 0);
            let why: Vec<_> =
                why.map(|why| format!("{} {}", hook.lost(*why), why.name())).collect();
            let (webhook, why) = (&hook.name, why.join(", "));
            warn!(webhook, why, "events were lost since the start");
        }
    }
}

impl Lines {
    fn add(&mut self, line: &[u8]) {
        self.octets.extend_from_slice(line);
        self.count += 1;
    }

    fn is_much(&self) -> bool {
        self.octets.len() >= MOST_LINES
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.count = 0;
    }
}

fn append(hook: &Hook, lines: &mut Lines, is_short: bool) {
    if lines.count == 0 {
        return;
    }
    let mut backlog = locked(&hook.backlog);
    let appended =
        if is_short { Err(no_room()) } else { backlog.append(&lines.octets, lines.count) };
    match appended {
        Ok(lost) => {
            hook.figures.lose(Loss::Size, lost);
            hook.set_disk_trouble("");
        }
        Err(error) => {
            hook.figures.lose(Loss::Disk, lines.count);
            hook.set_disk_trouble(&cannot_be_kept(&error));
        }
    }
    hook.show(&backlog, None);
    drop(backlog);
    lines.clear();
    hook.news.notify_one();
}

/// `{"event":"...","node":"...",` and what was told.
fn write_line(line: &mut Vec<u8>, (run, count): (&str, u64), node: &str, json: &[u8]) {
    line.extend_from_slice(br#"{"event":""#);
    line.extend_from_slice(run.as_bytes());
    line.extend_from_slice(format!("-{count}").as_bytes());
    line.extend_from_slice(br#"","node":""#);
    // A domain name, which needs no escape.
    line.extend_from_slice(node.as_bytes());
    line.extend_from_slice(br#"","#);
    line.extend_from_slice(json.strip_prefix(b"{").unwrap_or(json));
    line.push(b'\n');
}

/// The time of the start and something random: no other run has it.
fn run_id() -> io::Result<String> {
    let mut random = [0; 4];
    SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random octets"))?;
    Ok(format!("{:x}-{:08x}", now(), u32::from_le_bytes(random)))
}

fn no_room() -> io::Error {
    let words = "less than spool.min_free is free on its disk";
    io::Error::new(io::ErrorKind::StorageFull, words)
}

/// How long events are gathered before they are written.
const PAUSE: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Where nobody wants events, nothing is looked at.
const IDLE: Duration = Duration::from_secs(3_600);
/// For the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets of a buffer that are kept.
const USUAL_BUFFER: usize = 1 << 20;
/// Octets that are written at once.
const MOST_LINES: usize = 1 << 20;
