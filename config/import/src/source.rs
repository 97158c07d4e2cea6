//! Files of a source: bounded in size, number and depth, whatever stands in them.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::report::Place;

/// A folder of configuration files.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    octets_left: Cell<u64>,
    files_left: Cell<usize>,
}

/// A line with those that go on with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// Its name.
        file: String,
        /// The words of the system.
        error: io::Error,
    },
    /// The folder has none of the files that it should have.
    #[error("{folder} has no {file}")]
    Absent {
        /// The folder.
        folder: String,
        /// The file without which nothing can be read.
        file: String,
    },
    /// A bound of this program.
    #[error("{place}: {bound}")]
    Bound {
        /// Where it was met, in words.
        place: String,
        /// The bound.
        bound: String,
    },
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            octets_left: Cell::new(MAX_OCTETS),
            files_left: Cell::new(MAX_FILES),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a file: an absolute one, or one below the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Whether there is a regular file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).is_file()
    }

    /// The text of a file; `None` where there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, ImportError> {
        let unreadable = |error| ImportError::Unreadable { file: name.to_owned(), error };
        let bound = |bound: String| ImportError::Bound { place: name.to_owned(), bound };
        let path = self.path(name);
        match path.metadata() {
            Ok(its) if its.is_file() => {}
            Ok(_) => return Err(bound("it is no regular file".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        }
        let files = self.files_left.get().checked_sub(1);
        self.files_left.set(files.ok_or_else(|| bound(format!("more than {MAX_FILES} files")))?);
        let mut octets = Vec::new();
        let most = self.octets_left.get().min(MAX_FILE);
        let file = File::open(&path).map_err(unreadable)?;
        file.take(most + 1).read_to_end(&mut octets).map_err(unreadable)?;
        let left = self.octets_left.get().checked_sub(octets.len() as u64);
        let left = left.filter(|_| octets.len() as u64 <= most);
        let told = || bound(format!("it is larger than {} MiB", MAX_FILE >> 20));
        self.octets_left.set(left.ok_or_else(told)?);
        if let Some(at) = octets.split(|c| *c == b'\n').position(|line| line.len() > MAX_LINE) {
            let told = format!("line {} has more than {MAX_LINE} octets", at + 1);
            return Err(bound(told));
        }
        Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
    }
}

impl Line {
    pub(crate) fn new(file: &str, line: usize, text: &str) -> Self {
        Self { place: Place { file: file.to_owned(), line }, text: text.to_owned() }
    }

    /// Adds a line that goes on with it.
    pub(crate) fn go_on(&mut self, text: &str) -> Result<(), ImportError> {
        if self.text.len() + text.len() > MAX_LOGICAL {
            let (place, bound) =
                (self.place.to_string(), format!("more than {MAX_LOGICAL} octets"));
            return Err(ImportError::Bound { place, bound });
        }
        self.text.push_str(text);
        Ok(())
    }

    /// For a comment of the new file.
    pub(crate) fn comment(&self) -> String {
        let words: Vec<_> = self.text.split_whitespace().collect();
        crate::ron::plain(&format!("{}: {}", self.place, words.join(" ")))
    }
}

/// Octets of a file at most.
const MAX_FILE: u64 = 16 << 20;
/// Octets of all files at most.
const MAX_OCTETS: u64 = 64 << 20;
const MAX_FILES: usize = 1_000;
/// Octets of a line.
const MAX_LINE: usize = 64 << 10;
/// Octets of a line with those that go on with it.
const MAX_LOGICAL: usize = 1 << 20;
