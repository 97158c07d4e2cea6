//! The UNIX sockets of services: whether clients can still find them.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A UNIX socket of a service, as it was when the engine had started.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Of every service that has one.
    pub(super) fn of(listening: &[(String, Vec<String>)]) -> Vec<(String, Vec<Self>)> {
        let files = |places: &[String]| -> Vec<Self> {
            let paths = places.iter().filter_map(|place| place.strip_prefix("unix:"));
            let paths = paths.map(PathBuf::from);
            paths.map(|path| Self { identity: identity(&path), path }).collect()
        };
        let services = listening.iter().map(|(service, places)| (service.clone(), files(places)));
        services.filter(|(_, files)| !files.is_empty()).collect()
    }

    /// Whether clients that connect to it come to us.
    pub(super) fn is_there(&self) -> bool {
        self.identity.is_none() || self.identity == identity(&self.path)
    }

    /// The state of the socket in words.
    pub(super) fn words(&self, service: &str) -> String {
        let path = self.path.display();
        format!(
            "service {service} cannot be reached: somebody has removed or replaced its socket \
             {path}; a restart of the engine makes it again"
        )
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}
