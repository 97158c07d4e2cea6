//! How a partition is recognised, and an empty mount point is not taken for one.
//!
//! The root of a partition holds a marker file. That it was seen there once is remembered beside
//! the other data of the engine: a root without its marker is then a file system that is not
//! mounted, and neither an empty store nor a place to grow one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    dir::Dir,
    error::{Away, MARKER, PartitionError},
};

/// A root that was found to be one.
#[derive(Debug)]
pub(super) struct Marker {
    root: PathBuf,
    known: PathBuf,
    /// Device and inode of the marker.
    file: (u64, u64),
}

impl Marker {
    /// Opens the root of a partition. A new one is made and marked, and so is one of an older
    /// release; `known` is the file that remembers which roots have been marked.
    pub(super) fn open(root: &Path, known: &Path) -> Result<(Dir, Self), PartitionError> {
        let fails = |path: &Path| {
            let path = path.to_owned();
            move |source| PartitionError::Io { path, source }
        };
        let remembered = remembers(known, root).map_err(fails(known))?;
        let unmarked = || Away::Unmarked { path: root.to_owned(), known: known.to_owned() };
        let dir = match Dir::root(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !remembered => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(root)
                    .map_err(fails(root))?;
                Dir::root(root).map_err(fails(root))?
            }
            Err(error) if remembered => return Err(unreachable(root, &error).into()),
            dir => dir.map_err(fails(root))?,
        };
        if !dir.has(MARKER).map_err(fails(root))? {
            // Mailboxes prove nothing: they may have been made below a mount point that was empty.
            if remembered {
                return Err(unmarked().into());
            }
            let written = dir.write(MARKER, TEXT.as_bytes()).and_then(|file| file.sync_data());
            written.and_then(|()| dir.sync()).map_err(fails(&root.join(MARKER)))?;
        }
        if !remembered {
            remember(known, root).map_err(fails(known))?;
        }
        let mut marker = Self { root: root.to_owned(), known: known.to_owned(), file: (0, 0) };
        marker.file = marker.look()?;
        Ok((dir, marker))
    }

    /// Of a root that is on no disk of this machine.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self { root: PathBuf::new(), known: PathBuf::new(), file: (0, 0) }
    }

    /// Whether the root is still the one that was opened.
    pub(super) fn check(&self) -> Result<(), Away> {
        let file = self.look()?;
        if file == self.file { Ok(()) } else { Err(self.unmarked()) }
    }

    fn look(&self) -> Result<(u64, u64), Away> {
        match fs::symlink_metadata(self.root.join(MARKER)) {
            Ok(file) => Ok((file.dev(), file.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.unmarked()),
            Err(error) => Err(unreachable(&self.root, &error)),
        }
    }

    fn unmarked(&self) -> Away {
        Away::Unmarked { path: self.root.clone(), known: self.known.clone() }
    }
}

fn unreachable(root: &Path, error: &io::Error) -> Away {
    Away::Unreachable { path: root.to_owned(), error: error.to_string() }
}

/// Whether there is a partition at `root`; `false`: there has never been one, and it is made when it is
/// used. `known` is the file that remembers. Changes nothing.
pub fn is_there(root: &Path, known: &Path) -> Result<bool, PartitionError> {
    let fails = |source| PartitionError::Io { path: root.to_owned(), source };
    let remembered = remembers(known, root)
        .map_err(|source| PartitionError::Io { path: known.to_owned(), source })?;
    let marked = match Dir::root(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !remembered => return Ok(false),
        Err(error) if remembered => return Err(unreachable(root, &error).into()),
        dir => dir.map_err(fails)?.has(MARKER).map_err(fails)?,
    };
    if remembered && !marked {
        return Err(Away::Unmarked { path: root.to_owned(), known: known.to_owned() }.into());
    }
    Ok(marked)
}

pub(super) fn remembers(known: &Path, root: &Path) -> io::Result<bool> {
    match fs::read(known) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        list => Ok(list?.split(|byte| *byte == b'\n').any(|line| line == line_of(root))),
    }
}

fn remember(known: &Path, root: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(known)?;
    file.write_all(&[line_of(root), b"\n"].concat())?;
    file.sync_all()
}

fn line_of(root: &Path) -> &[u8] {
    root.as_os_str().as_encoded_bytes()
}

const TEXT: &str =
    "This directory is a store of relais. The file tells it from an empty mount point.\n";

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().expect("a directory") }
        }

        fn root(&self) -> PathBuf {
            self.dir.path().join("store")
        }

        fn is_there(&self) -> Result<bool, PartitionError> {
            is_there(&self.root(), &self.dir.path().join("known"))
        }

        fn open(&self) -> Result<Marker, Away> {
            let known = self.dir.path().join("known");
            match Marker::open(&self.root(), &known) {
                Err(PartitionError::Away(away)) => Err(away),
                opened => Ok(opened.expect("readable").1),
            }
        }
    }

    #[test]
    fn a_new_root_is_marked_and_one_that_was_marked_before_is_missed() {
        let place = Place::new();
        assert!(!place.is_there().expect("readable"), "there has never been one");
        let marker = place.open().expect("a new store");
        assert!(place.is_there().expect("readable"));
        assert!(place.root().join(MARKER).is_file());
        assert_eq!(marker.check(), Ok(()));
        assert!(place.open().is_ok());
        // As if the file system were not mounted.
        fs::rename(place.root(), place.dir.path().join("elsewhere")).expect("allowed");
        assert!(matches!(place.open(), Err(Away::Unreachable { .. })));
        assert!(matches!(place.is_there(), Err(PartitionError::Away(Away::Unreachable { .. }))));
        fs::create_dir(place.root()).expect("room");
        assert!(matches!(place.open(), Err(Away::Unmarked { .. })));
        assert!(matches!(place.is_there(), Err(PartitionError::Away(Away::Unmarked { .. }))));
        assert!(matches!(marker.check(), Err(Away::Unmarked { .. })));
        assert_eq!(fs::read_dir(place.root()).expect("readable").count(), 0);
        fs::remove_dir(place.root()).expect("allowed");
        fs::rename(place.dir.path().join("elsewhere"), place.root()).expect("allowed");
        assert_eq!(marker.check(), Ok(()));
        assert!(place.open().is_ok());
    }

    #[test]
    fn a_store_of_an_older_release_is_marked_when_it_is_first_opened() {
        let rows = [("with mailboxes", "siroe.com/jdoe/Maildir/new"), ("empty", ""), ("odd", "x")];
        for (name, inside) in rows {
            let place = Place::new();
            fs::create_dir_all(place.root().join(inside)).expect("room");
            assert!(place.open().is_ok(), "{name}");
            assert!(place.root().join(MARKER).is_file(), "{name}");
        }
    }

    #[test]
    fn mailboxes_below_an_unmounted_mount_point_do_not_make_it_the_store() {
        let place = Place::new();
        place.open().expect("a new store");
        fs::remove_file(place.root().join(MARKER)).expect("allowed");
        fs::create_dir_all(place.root().join("siroe.com/jdoe/Maildir/new")).expect("room");
        let away = place.open().expect_err("it is not known to be the store");
        assert!(matches!(away, Away::Unmarked { .. }));
        assert!(!place.root().join(MARKER).exists());
        // As the error says.
        let marker = format!("make the file {}/.relais-store;", place.root().display());
        assert!(away.to_string().contains(&marker), "{away}");
        fs::write(place.root().join(MARKER), "").expect("room");
        assert!(place.open().is_ok());
    }
}
