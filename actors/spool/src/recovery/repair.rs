//! The last step of a start: damage is copied away, torn ends are cut off, segments are sealed.

use std::{
    io::IoSlice,
    path::{Path, PathBuf},
};

use relais_channels::{disk::DiskFile, mail::MessageId};

use crate::{
    environment::Environment,
    format::extent::Extent,
    format::record::{HEADER, Header},
    format::segment::{HEAD, Part, SegmentHead},
    recovery::error::{RecoverError, at},
};

/// A stretch of a file that is not what was written there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quarantined {
    /// The segment.
    pub segment: u32,
    /// Its message file; otherwise its state file.
    pub messages: bool,
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// The message, if so much can be read.
    pub id: Option<MessageId>,
    /// It was certainly safe once. Otherwise it may be the remains of a crash, about which nobody
    /// was promised anything.
    pub acknowledged: bool,
    /// Where the bytes are kept for inspection.
    pub copy: PathBuf,
}

/// A file of a segment whose records were followed to their end.
pub(super) struct FollowedFile<'a> {
    pub(super) head: SegmentHead,
    pub(super) part: Part,
    pub(super) path: &'a Path,
    pub(super) extent: &'a Extent,
    /// Bytes of the file.
    pub(super) size: u64,
}

impl Quarantined {
    fn tell(&self, what: &'static str) {
        let Self { segment, messages, offset, length, id, acknowledged, copy } = self;
        let (id, copy) = (id.map(tracing::field::display), copy.display());
        tracing::error!(segment, messages, offset, length, id, acknowledged, %copy, "{what}");
    }
}

/// Repairs files, and keeps account of that.
pub(super) struct Repair<'a> {
    pub(super) environment: &'a Environment,
    pub(super) quarantined: Vec<Quarantined>,
    /// Bytes cut off.
    pub(super) cut: u64,
}

impl<'a> Repair<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, quarantined: Vec::new(), cut: 0 }
    }

    /// Keeps copies of what is damaged, cuts off what is torn, and seals.
    pub(super) fn file(
        &mut self,
        followed: &FollowedFile<'_>,
        youngest: bool,
    ) -> Result<(), RecoverError> {
        let FollowedFile { head, part, path, extent, size } = *followed;
        if size == 0 {
            return Ok(());
        }
        let file = self.environment.disk.open(path).map_err(at(path))?;
        for (offset, length, id) in &extent.bad {
            let torn = *offset >= extent.end && (youngest || part == Part::States);
            if torn {
                continue;
            }
            let acknowledged = *offset < extent.durable;
            let messages = part == Part::Messages;
            let copy = self.quarantine(&*file, path, *offset, *length)?;
            let (segment, offset, length, id) = (head.number, *offset, *length, *id);
            let found = Quarantined { segment, messages, offset, length, id, acknowledged, copy };
            found.tell("damaged: copied to quarantine");
            self.quarantined.push(found);
        }
        let mut changed = false;
        if SegmentHead::read(&*file, head.number).map_err(at(path))?.is_none() {
            file.write_at(&mut [IoSlice::new(&head.to_bytes())], 0).map_err(at(path))?;
            changed = true;
        }
        if extent.end < size {
            self.cut += size - extent.end;
            tracing::info!(?path, from = extent.end, to = size, "cut off what was not used");
            file.truncate(extent.end).map_err(at(path))?;
            changed = true;
        }
        if part == Part::Messages && !extent.sealed {
            let mut seal = [0; HEADER];
            Header::seal(extent.certain() as u32).write(head.salt(part), extent.end, &mut seal);
            file.write_at(&mut [IoSlice::new(&seal)], extent.end).map_err(at(path))?;
            changed = true;
        }
        if changed {
            file.sync_data().map_err(at(path))?;
        }
        Ok(())
    }

    /// Keeps a copy of a segment of which neither file can say which secret its records were
    /// written with.
    pub(super) fn headless(&mut self, number: u32, data_len: u64) -> Result<(), RecoverError> {
        if data_len > HEAD as u64 {
            let path = self.environment.layout.messages(number);
            let file = self.environment.disk.open(&path).map_err(at(&path))?;
            let copy = self.quarantine(&*file, &path, 0, data_len)?;
            let found = Quarantined {
                segment: number,
                messages: true,
                offset: 0,
                length: data_len,
                id: None,
                acknowledged: false,
                copy,
            };
            found.tell("unreadable segment: moved to quarantine");
            self.quarantined.push(found);
        }
        Ok(())
    }

    fn quarantine(
        &self,
        file: &dyn DiskFile,
        path: &Path,
        offset: u64,
        length: u64,
    ) -> Result<PathBuf, RecoverError> {
        let dir = self.environment.layout.quarantine();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let copy = dir.join(format!("{name}.{offset}"));
        let out = self.environment.disk.create(&copy).map_err(at(&copy))?;
        let mut piece = vec![0; (length as usize).min(COPY_PIECE)];
        let mut done = 0;
        while done < length {
            let wanted = ((length - done) as usize).min(COPY_PIECE);
            let read = file.read_at(&mut piece[..wanted], offset + done).map_err(at(path))?;
            if read == 0 {
                break;
            }
            out.write_at(&mut [IoSlice::new(&piece[..read])], done).map_err(at(&copy))?;
            done += read as u64;
        }
        out.sync_data().map_err(at(&copy))?;
        self.environment.disk.sync_dir(&dir).map_err(at(&dir))?;
        Ok(copy)
    }
}

/// Bytes copied at once.
const COPY_PIECE: usize = 1 << 20;
