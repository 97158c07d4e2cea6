//! A disk in memory that forgets, for tests.
//!
//! It counts every operation that changes something, and it knows what would be left of it after a
//! power cut: bytes only as of the last [`DiskFile::sync_data`], names only as of the last
//! [`Disk::sync_dir`], and of everything later whatever the [`Fate`] says. [`MemoryDisk::stop_at`]
//! is the power cut. Stricter than real file systems where these promise nothing (a synced file
//! whose directory was not synced is gone), and as kind where they do (a rename is atomic).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::disk::{Disk, DiskFile};

/// The fate, at a crash, of everything that was not synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is there: the process died, the kernel lived.
    Kept,
    /// It is gone.
    Dropped,
    /// Some of it is there: each write whole, in part, or not at all; each name or not; in no
    /// particular order. The number says which.
    Torn(u64),
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    name_changes: Vec<NameChange>,
    operations: u64,
    bytes_read: u64,
    stop_at: Option<u64>,
    capacity: Option<u64>,
    failing_syncs: u32,
    failing_removals: u32,
    failing_opens: u32,
    /// See [`MemoryDisk::refuse_names`].
    refused_names: u64,
    failing_files: BTreeSet<usize>,
    /// Syncs that failed.
    failures: u64,
    /// Directories that were ever made.
    dirs: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    is_dir: bool,
}

#[derive(Clone)]
enum Unsynced {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone)]
enum NameChange {
    Made(PathBuf, usize),
    Removed(PathBuf),
    Renamed {
        from: PathBuf,
        to: PathBuf,
        file: usize,
    },
    /// A directory, with everything in it.
    Moved {
        from: PathBuf,
        to: PathBuf,
    },
}

struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
    /// Of those of the disk, how many it has told of.
    failures: AtomicU64,
}

impl MemoryFile {
    fn of(disk: &MemoryDisk, state: &State, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(Self { disk: disk.clone(), file, failures: AtomicU64::new(state.failures) })
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// The operation with this number (the first is 0) and all later ones fail. That operation
    /// itself may have taken effect, as far as a fate allows.
    pub fn stop_at(&self, operation: u64) {
        self.lock().stop_at = Some(operation);
    }

    /// Whether the power is off.
    pub fn has_stopped(&self) -> bool {
        let state = self.lock();
        state.stop_at.is_some_and(|stop| state.operations > stop)
    }

    /// Files together may have this many bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// From now on there is room for so many bytes more.
    pub fn fill_up_to(&self, bytes: u64) {
        let mut state = self.lock();
        state.capacity = Some(state.used() + bytes);
    }

    /// There is no room for some of the next names that files are to get by a link or a rename: for
    /// the first when the lowest bit is set, for the second when the next is, and so on.
    pub fn refuse_names(&self, which: u64) {
        self.lock().refused_names = which;
    }

    /// The next `count` calls of `sync_data` and `sync_fs` fail, and the bytes that they should
    /// have synced are lost to every later one, as on Linux.
    pub fn fail_syncs(&self, count: u32) {
        self.lock().failing_syncs = count;
    }

    /// The next `count` state files that are to be opened are not.
    pub fn fail_opens(&self, count: u32) {
        self.lock().failing_opens = count;
    }

    /// From now on nothing can be read from this file, nor made durable in it.
    pub fn fail_file(&self, path: &Path) {
        let mut state = self.lock();
        let file = state.names.get(path).copied();
        state.failing_files.extend(file);
    }

    /// The next `count` files that are to be removed stay.
    pub fn fail_removals(&self, count: u32) {
        self.lock().failing_removals = count;
    }

    /// Makes a directory, which is there after a crash as any other name is. Directories that were
    /// not made like this are there always.
    pub fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let step = state.step().ok_or_else(power_cut)?;
        let file = state.files.len();
        state.files.push(Inode { is_dir: true, ..Inode::default() });
        state.dirs.insert(path.to_owned());
        state.change_names(NameChange::Made(path.to_owned(), file));
        step
    }

    /// Whether a directory was made there.
    pub fn is_dir(&self, path: &Path) -> bool {
        let state = self.lock();
        state.names.get(path).is_some_and(|file| state.files[*file].is_dir)
    }

    /// Whether something has this name.
    pub fn has(&self, path: &Path) -> bool {
        self.lock().names.contains_key(path)
    }

    /// Gives a file a second name.
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.room_for_a_name()?;
        let step = state.step().ok_or_else(power_cut)?;
        state.change_names(NameChange::Made(to.to_owned(), file));
        step
    }

    /// See [`DiskFile::sync_fs`].
    pub fn sync_fs(&self) -> io::Result<()> {
        self.lock().sync_fs(None)
    }

    /// The contents of a file, if it is there.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        state.names.get(path).map(|file| state.files[*file].now.clone())
    }

    /// Puts a file there, durably, as someone with an editor would.
    pub fn put(&self, path: &Path, contents: Vec<u8>) {
        let mut state = self.lock();
        let file = state.files.len();
        state.files.push(Inode { now: contents.clone(), durable: contents, ..Inode::default() });
        state.names.insert(path.to_owned(), file);
        state.durable_names.insert(path.to_owned(), file);
    }

    /// The names of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// The disk that is found after a crash at this point.
    #[must_use]
    pub fn after_crash(&self, fate: Fate) -> Self {
        let state = self.lock();
        let mut dice = Dice(if let Fate::Torn(seed) = fate { seed } else { 0 });
        let files: Vec<Vec<u8>> =
            state.files.iter().map(|file| file.survives(fate, &mut dice)).collect();
        let mut names = state.durable_names.clone();
        for change in &state.name_changes {
            let happened = match fate {
                Fate::Kept => true,
                Fate::Dropped => false,
                Fate::Torn(_) => dice.below(2) == 0,
            };
            if happened {
                change.apply(&mut names);
            }
        }
        let left = Self::new();
        for (path, file) in &names {
            // A file in a directory that is gone cannot be found.
            let gone = |dir: &Path| state.was_made(dir) && !names.contains_key(dir);
            if path.ancestors().skip(1).any(gone) {
                continue;
            }
            left.put(path, files[*file].clone());
            if state.files[*file].is_dir {
                left.lock().made_dir(path);
            }
        }
        left
    }

    /// The process died, and another one works on with the same kernel: what a failed sync has
    /// lost can still be read.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        self.lock().stop_at = None;
        self.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation. `Err`: the power went off just now; `None`: before.
    fn step(&mut self) -> Option<io::Result<()>> {
        let number = self.operations;
        match self.stop_at {
            Some(stop) if number > stop => None,
            stop => {
                self.operations += 1;
                Some(if stop == Some(number) { Err(power_cut()) } else { Ok(()) })
            }
        }
    }

    fn room_for_a_name(&mut self) -> io::Result<()> {
        let refused = self.refused_names & 1 == 1;
        self.refused_names >>= 1;
        if refused { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    /// Notes that `path` is a directory.
    fn made_dir(&mut self, path: &Path) {
        if let Some(file) = self.names.get(path) {
            self.files[*file].is_dir = true;
        }
        self.dirs.insert(path.to_owned());
    }

    fn was_made(&self, dir: &Path) -> bool {
        self.dirs.contains(dir)
    }

    /// `seen`: the failures that this file has told of.
    fn sync_fs(&mut self, seen: Option<&AtomicU64>) -> io::Result<()> {
        self.step().ok_or_else(power_cut)??;
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            self.failures += 1;
            self.files.iter_mut().for_each(|file| file.unsynced.clear());
        } else {
            self.files.iter_mut().for_each(Inode::sync);
            self.name_changes.clear();
            self.durable_names = self.names.clone();
            let Some(seen) = seen else { return Ok(()) };
            // A failure since this file was opened is told again, though another caller was told of
            // it.
            if seen.swap(self.failures, Ordering::Relaxed) == self.failures {
                return Ok(());
            }
        }
        if let Some(seen) = seen {
            seen.store(self.failures, Ordering::Relaxed);
        }
        Err(io::Error::other("the disk did not take all of it"))
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].now.len() as u64).sum()
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        Ok(inside.filter_map(name).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        let step = state.step().ok_or_else(power_cut)?;
        let file = state.files.len();
        state.files.push(Inode::default());
        state.change_names(NameChange::Made(path.to_owned(), file));
        step?;
        Ok(MemoryFile::of(self, &state, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        if state.failing_opens > 0 && path.extension().is_some_and(|kind| kind == "st") {
            state.failing_opens -= 1;
            return Err(io::Error::other("too many files are open"));
        }
        Ok(MemoryFile::of(self, &state, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.room_for_a_name()?;
        let step = state.step().ok_or_else(power_cut)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        if state.files[file].is_dir {
            let dirs: Vec<_> = state.dirs.iter().filter_map(|dir| moved(dir, &from, &to)).collect();
            state.dirs.extend(dirs);
            state.change_names(NameChange::Moved { from, to });
        } else {
            state.change_names(NameChange::Renamed { from, to, file });
        }
        step
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let step = state.step().ok_or_else(power_cut)?;
        if state.failing_removals > 0 {
            state.failing_removals -= 1;
            return Err(io::Error::other("the disk did not let go of it"));
        }
        state.change_names(NameChange::Removed(path.to_owned()));
        step
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step().ok_or_else(power_cut)??;
        let changes = std::mem::take(&mut state.name_changes);
        let (synced, rest) = changes.into_iter().partition(|change| change.is_in(dir));
        state.name_changes = rest;
        let synced: Vec<NameChange> = synced;
        for change in synced {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].now.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        if state.failing_files.contains(&self.file) {
            return Err(io::Error::other("the disk cannot read it"));
        }
        let rest = state.files[self.file].now.get(at as usize..).unwrap_or_default();
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        state.bytes_read += read as u64;
        Ok(read)
    }

    fn read_cached(&self, bytes: &mut [u8], at: u64) -> io::Result<bool> {
        Ok(self.read_at(bytes, at)? == bytes.len())
    }

    fn write_at(&self, parts: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let step = state.step().ok_or_else(power_cut)?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let size = state.files[self.file].now.len();
        let more = (at as usize + bytes.len()).saturating_sub(size);
        let room = state.capacity.map_or(u64::MAX, |all| all.saturating_sub(state.used()));
        let full = more as u64 > room;
        if full {
            bytes.truncate(bytes.len() - (more - room as usize));
        }
        state.files[self.file].change(Unsynced::Write { at: at as usize, bytes });
        step?;
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let step = state.step().ok_or_else(power_cut)?;
        state.files[self.file].change(Unsynced::Truncate(size as usize));
        step
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.step().ok_or_else(power_cut)??;
        if state.failing_syncs > 0 || state.failing_files.contains(&self.file) {
            state.failing_syncs = state.failing_syncs.saturating_sub(1);
            state.failures += 1;
            state.files[self.file].unsynced.clear();
            return Err(io::Error::other("the disk did not take it"));
        }
        state.files[self.file].sync();
        Ok(())
    }

    fn sync_fs(&self) -> io::Result<()> {
        self.disk.lock().sync_fs(Some(&self.failures))
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.disk.lock().files[self.file].forget_cached();
        Ok(())
    }

    fn lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Inode {
    fn change(&mut self, change: Unsynced) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable);
        }
    }

    /// Bytes that are still to be written stay in memory.
    fn forget_cached(&mut self) {
        self.now = self.durable.clone();
        self.unsynced.iter().for_each(|change| change.apply(&mut self.now));
    }

    fn survives(&self, fate: Fate, dice: &mut Dice) -> Vec<u8> {
        match fate {
            Fate::Dropped => self.durable.clone(),
            Fate::Kept => self.now.clone(),
            Fate::Torn(_) => {
                let mut left = self.durable.clone();
                self.unsynced.iter().for_each(|change| change.tear(&mut left, dice));
                left
            }
        }
    }
}

impl Unsynced {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: new } => {
                let end = at + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(new);
            }
            Self::Truncate(size) => bytes.resize(*size, 0),
        }
    }

    /// Lets some of it happen.
    fn tear(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        let Self::Write { at, bytes: new } = self else {
            if dice.below(2) == 0 {
                self.apply(bytes);
            }
            return;
        };
        match dice.below(5) {
            0 => {}
            1 => self.apply(bytes),
            2 => {
                let part = new[..dice.below(new.len() as u64 + 1) as usize].to_vec();
                Self::Write { at: *at, bytes: part }.apply(bytes);
            }
            3 => {
                // The length is there, the contents are not.
                Self::Write { at: *at, bytes: vec![0; new.len()] }.apply(bytes);
            }
            _ => {
                for (number, sector) in new.chunks(SECTOR).enumerate() {
                    if dice.below(2) == 0 {
                        let at = at + number * SECTOR;
                        Self::Write { at, bytes: sector.to_vec() }.apply(bytes);
                    }
                }
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Made(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Removed(path) => drop(names.remove(path)),
            Self::Renamed { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Moved { from, to } => {
                let all: Vec<_> = names
                    .iter()
                    .filter_map(|(path, file)| Some((path.clone(), moved(path, from, to)?, *file)))
                    .collect();
                for (path, ..) in &all {
                    names.remove(path);
                }
                names.extend(all.into_iter().map(|(_, path, file)| (path, file)));
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Made(path, _)
        | Self::Removed(path)
        | Self::Renamed { to: path, .. }
        | Self::Moved { to: path, .. }) = self;
        path.parent() == Some(dir)
    }
}

/// The path that `path` gets when the directory `from` becomes `to`; `None`: it is not in there.
fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
}

/// Numbers that look random and are the same each time (splitmix64).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// One from 0 on, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

fn power_cut() -> io::Error {
    io::Error::other("the power is off")
}

/// The bytes that a disk writes in one piece. Small, so that tests tear small records.
const SECTOR: usize = 64;
