//! The names of everything in the directory of a spool: segments by their numbers, blobs by the ids
//! of their messages.

use std::path::{Path, PathBuf};

use relais_channels::mail::MessageId;

/// Where the files of a spool are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The messages of a segment.
    pub(crate) fn messages(&self, segment: u32) -> PathBuf {
        self.root.join(messages_of(segment))
    }

    /// The state changes of a segment.
    pub(crate) fn states(&self, segment: u32) -> PathBuf {
        self.root.join(format!("{segment:08}.st"))
    }

    /// The messages of a segment that does not count yet.
    pub(crate) fn unfinished(&self, segment: u32) -> PathBuf {
        self.root.join(format!("{segment:08}.tmp"))
    }

    /// The messages of a segment that is being deleted: nothing in it is alive.
    pub(crate) fn finished(&self, segment: u32) -> PathBuf {
        self.root.join(format!("{segment:08}.old"))
    }

    pub(crate) fn blob_dir(&self) -> PathBuf {
        self.root.join("large")
    }

    /// The content of a large message in one of its forms; 0: as it came in.
    pub(crate) fn blob(&self, id: MessageId, form: u8) -> PathBuf {
        let name = if form == 0 { id.to_string() } else { format!("{id}.{form}") };
        self.blob_dir().join(name)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Disk space kept for state changes when nothing else is left.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }
}

/// The name of the file of a segment's messages.
pub(crate) fn messages_of(segment: u32) -> String {
    format!("{segment:08}.msg")
}

/// The message whose content a file holds, in whatever form.
pub(crate) fn blob_of(name: &str) -> Option<MessageId> {
    let (id, form) = name.split_once('.').unwrap_or((name, "1"));
    form.parse::<u8>().ok().filter(|form| *form > 0)?;
    id.parse().ok()
}

/// The number in `NNNNNNNN.extension`.
pub(crate) fn number_of(name: &str, extension: &str) -> Option<u32> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    let plain = digits.len() >= 8 && digits.bytes().all(|c| c.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number > 0)
}

/// The beginning of the names of files without a message.
pub(crate) const DRAFT: &str = "draft-";
