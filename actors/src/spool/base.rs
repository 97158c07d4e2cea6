//! What every part of the spool works on: the disk, the names on it, the settings, the observer.

use std::{io, path::Path, sync::Arc, time::Duration};

use super::{
    SpoolError,
    disk::{Disk, is_full},
    segment::Layout,
};

/// Told what the spool does, for the metrics. Called from the spool's threads: be quick.
pub trait SpoolEvents: Send + Sync + 'static {
    /// A batch was made durable.
    fn committed(&self, messages: usize, octets: u64, took: Duration) {
        let _ = (messages, octets, took);
    }
    /// Something failed and was dealt with; it has been logged.
    fn failed(&self, error: &SpoolError) {
        let _ = error;
    }
}

/// Nobody is interested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl SpoolEvents for Unobserved {}

/// Shared by all parts.
pub(crate) struct Base {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) layout: Layout,
    pub(crate) settings: relais_config::Spool,
    pub(crate) events: Arc<dyn SpoolEvents>,
}

impl Base {
    pub(crate) fn new(dir: &Path, settings: &relais_config::Spool, disk: Arc<dyn Disk>) -> Self {
        let (layout, settings) = (Layout::new(dir), settings.clone());
        Self { disk, layout, settings, events: Arc::new(Unobserved) }
    }

    /// Logs a failure and counts it.
    pub(crate) fn report(&self, error: &SpoolError, consequence: &'static str) {
        tracing::error!(%error, "{consequence}");
        self.events.failed(error);
    }

    /// What to tell those who wait when writing `path` failed.
    pub(crate) fn failure(&self, path: &Path, error: io::Error) -> SpoolError {
        if is_full(&error) {
            let free = self.disk.free_space(self.layout.root()).unwrap_or(0);
            return SpoolError::DiskFull { free };
        }
        SpoolError::at(path)(error)
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

    /// Free octets, or an error when mail should not be taken.
    pub(crate) fn check_space(&self) -> Result<(), SpoolError> {
        let root = self.layout.root();
        let free = self.disk.free_space(root).map_err(SpoolError::at(root))?;
        if free < self.settings.min_free {
            return Err(SpoolError::DiskFull { free });
        }
        Ok(())
    }
}

/// Octets kept for a full disk: some 50,000 state changes, or the index.
pub(crate) const RESERVE: u64 = 8 << 20;
