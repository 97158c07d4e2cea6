//! The environment of every part of the spool: the disk, the names on it, the settings, the
//! observer.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use relais_channels::disk::{Disk, is_full};
use relais_storage::{DraftRoom, StorageError};

use crate::{
    alarm::Alarm,
    events,
    events::{SpoolEvents, Unobserved},
    format::layout::Layout,
};

/// Shared by all parts.
pub(crate) struct Environment {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) layout: Layout,
    pub(crate) settings: relais_config::Spool,
    pub(crate) events: Arc<dyn SpoolEvents>,
    space: Mutex<Space>,
    broken: Mutex<Option<WriteFailure>>,
}

/// Mail cannot be stored, and not for want of room.
#[derive(Debug)]
struct WriteFailure {
    error: String,
    tried: Instant,
}

/// The disk's free space as it was seen, and what mail has taken of it since.
#[derive(Debug, Default)]
struct Space {
    seen: Option<Instant>,
    free: u64,
    taken: u64,
    /// Mail is refused before it is sent.
    refusing: Alarm,
}

impl Environment {
    pub(crate) fn new(dir: &Path, settings: &relais_config::Spool, disk: Arc<dyn Disk>) -> Self {
        let (layout, settings) = (Layout::new(dir), settings.clone());
        Self {
            disk,
            layout,
            settings,
            events: Arc::new(Unobserved),
            space: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// Logs a failure and counts it.
    pub(crate) fn report(&self, error: &StorageError, consequence: &'static str) {
        events::report(&*self.events, error, consequence);
    }

    /// Mail was not stored. Want of room is told by [`Environment::check_space`].
    pub(crate) fn breaks(&self, error: &StorageError) {
        if !matches!(error, StorageError::DiskFull { .. } | StorageError::NoInodes) {
            let broken = WriteFailure { error: error.to_string(), tried: Instant::now() };
            *self.lock_broken() = Some(broken);
        }
    }

    /// Mail is stored again.
    pub(crate) fn works(&self) {
        *self.lock_broken() = None;
    }

    /// Why mail cannot be stored, when the last attempt failed. Without mail to try it with the
    /// disk is tried once in a while: whoever asks may be who keeps the mail away.
    pub(crate) fn broken(&self) -> Option<String> {
        let mut broken = self.lock_broken();
        let its = broken.as_mut()?;
        if its.tried.elapsed() >= TRIED_EVERY {
            its.tried = Instant::now();
            if self.try_out().is_ok() {
                *broken = None;
                return None;
            }
        }
        Some(its.error.clone())
    }

    fn try_out(&self) -> io::Result<()> {
        let path = self.layout.root().join("trial");
        let file = self.disk.create(&path)?;
        let tried = file.write_at(&mut [io::IoSlice::new(b"?")], 0).and_then(|()| file.sync_data());
        self.disk.remove(&path)?;
        tried
    }

    fn lock_broken(&self) -> MutexGuard<'_, Option<WriteFailure>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to all who wait, when writing `path` failed.
    pub(crate) fn failure(&self, path: &Path, error: io::Error) -> StorageError {
        if is_full(&error) {
            let root = self.layout.root();
            if self.disk.free_files(root).is_ok_and(|free| free == 0) {
                return StorageError::NoInodes;
            }
            let free = self.disk.free_space(root).unwrap_or(0);
            return StorageError::DiskFull { free, needed: self.settings.min_free };
        }
        StorageError::at(path)(error)
    }

    /// Gives up the space kept for a full disk, and says whether there was any.
    pub(crate) fn release_reserve(&self, what: &'static str) -> bool {
        let released = self.disk.remove(&self.layout.reserve()).is_ok();
        if released {
            tracing::warn!("the disk is full: {what} in the space reserved for that");
        }
        released
    }

    /// The same, if less is free than the reserve has.
    pub(crate) fn release_reserve_if_full(&self, what: &'static str) -> bool {
        let free = self.disk.free_space(self.layout.root());
        free.is_ok_and(|free| free < RESERVE) && self.release_reserve(what)
    }

    /// Takes the reserve (again) when new mail does not need that room.
    pub(crate) fn keep_reserve(&self) {
        let (disk, path) = (&self.disk, self.layout.reserve());
        let free = disk.free_space(self.layout.root()).unwrap_or(0);
        if free < self.settings.min_free.saturating_add(RESERVE) || disk.open(&path).is_ok() {
            return;
        }
        let allocated = disk.create(&path).and_then(|file| file.allocate(RESERVE));
        if allocated.is_err() {
            let _ = disk.remove(&path);
        }
    }

    /// An error while no mail is taken. Cheap: the disk is asked at most every [`LOOK_EVERY`].
    pub(crate) fn check_space(&self) -> Result<(), StorageError> {
        let mut space = self.lock();
        if !space.is_fresh() {
            self.look(&mut space)?;
        }
        let checked = self.suffices(&space, 0);
        if let Err(error) = &checked {
            space.refusing.raise(&*self.events, error, "no mail is taken");
        } else if let Some(after) = space.refusing.clear() {
            tracing::info!(seconds = after.as_secs_f64(), "mail is taken again");
        }
        checked
    }

    /// Takes space for mail, and says how much more could be taken before `min_free` is touched.
    /// Mail that comes while `min_free` is left may use up to half of it: how much a batch has is
    /// not up to us.
    pub(crate) fn take_space(&self, bytes: u64) -> Result<u64, StorageError> {
        let mut space = self.lock();
        // By time alone, a fast sender would use up all that is kept between two looks.
        let little = space.taken + bytes <= self.settings.min_free / LOOKS;
        if !(little && space.is_fresh() && self.suffices(&space, bytes).is_ok()) {
            self.look(&mut space)?;
        }
        self.suffices(&space, bytes)?;
        space.taken += bytes;
        Ok(space.left().saturating_sub(self.settings.min_free))
    }

    fn look(&self, space: &mut Space) -> Result<(), StorageError> {
        let root = self.layout.root();
        space.seen = None;
        let free = self.disk.free_space(root).map_err(StorageError::at(root))?;
        (space.seen, space.free, space.taken) = (Some(Instant::now()), free, 0);
        Ok(())
    }

    fn suffices(&self, space: &Space, bytes: u64) -> Result<(), StorageError> {
        let min_free = self.settings.min_free;
        let (free, needed) = (space.left(), min_free.max(bytes.saturating_add(min_free / 2)));
        if free < needed { Err(StorageError::DiskFull { free, needed }) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DraftRoom for Environment {
    fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    fn take_room(&self, octets: u64) -> Result<(), StorageError> {
        self.take_space(octets).map(drop)
    }

    fn failure(&self, path: &Path, error: io::Error) -> StorageError {
        Self::failure(self, path, error)
    }
}

impl Space {
    fn is_fresh(&self) -> bool {
        self.seen.is_some_and(|at| at.elapsed() < LOOK_EVERY)
    }

    fn left(&self) -> u64 {
        self.free.saturating_sub(self.taken)
    }
}

/// How often a disk that failed is tried out.
const TRIED_EVERY: Duration = Duration::from_secs(1);
/// How long what was seen of the free space is believed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the free space is looked at while mail takes as much as `min_free`.
const LOOKS: u64 = 16;
/// Bytes kept for a full disk: some 50,000 state changes, or the index.
pub(crate) const RESERVE: u64 = 8 << 20;
