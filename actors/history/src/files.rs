//! Names of the history's files.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    /// Makes the folder where it is not there; only its owner may look into it.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self(folder.to_owned()))
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:010}.seg"))
    }

    pub(crate) fn index(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:010}.idx"))
    }

    pub(crate) fn tail(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:010}.tail"))
    }

    /// The numbers of the segments, the oldest first.
    pub(crate) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Octets of a segment and its index.
    pub(crate) fn size(&self, number: u64) -> u64 {
        [self.segment(number), self.index(number)]
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|its| its.len())
            .sum()
    }

    /// Removes a segment, its index before it: no index is there without its segment.
    pub(crate) fn remove(&self, number: u64) -> io::Result<()> {
        for path in [self.index(number), self.tail(number), self.segment(number)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what a broken-off writer left in the middle.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_some_and(|its| its == "new") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}
