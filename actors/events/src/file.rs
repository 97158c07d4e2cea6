//! The file: a line for each event, renamed when it is large, made anew when somebody else has renamed it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::settings::FileSettings;

/// The file, open while it can be written.
#[derive(Debug)]
pub(crate) struct EventLog {
    pub(crate) settings: FileSettings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    octets: u64,
}

impl EventLog {
    pub(crate) fn new(settings: FileSettings) -> Self {
        Self { settings, open: None }
    }

    /// Appends whole lines. After an error none of those that are not in the file are kept.
    pub(crate) fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            let size = self.settings.size;
            let open = self.opened()?;
            let room = size.saturating_sub(open.octets);
            let fits = if lines.len() as u64 <= room { lines.len() } else { whole(lines, room) };
            if fits == 0 && open.octets > 0 {
                self.rotate()?;
                continue;
            }
            // An event that is larger than a file has one of its own.
            let fits = if fits == 0 { first_line(lines) } else { fits };
            if let Err(error) = open.file.write_all(&lines[..fits]) {
                // Half a line would spoil the one behind it.
                let _ = open.file.set_len(open.octets);
                self.open = None;
                return Err(error);
            }
            open.octets += fits as u64;
            lines = &lines[fits..];
        }
        Ok(())
    }

    /// Opens it again where it is not the one of this name any more; an error where it cannot be written.
    pub(crate) fn look_after(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            let is_same = |named: &fs::Metadata| {
                let ours = open.file.metadata().ok()?;
                Some((ours.dev(), ours.ino()) == (named.dev(), named.ino()))
            };
            match fs::metadata(&self.settings.path) {
                Ok(named) if is_same(&named) == Some(true) => open.octets = named.len(),
                _ => self.open = None,
            }
        }
        // So that whoever renamed it finds the new one.
        self.opened().map(drop)
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            let path = &self.settings.path;
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // A FIFO or a device may wait for somebody else, and with it all that is told.
            if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
                return Err(irregular());
            }
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            // One that was put there since the look must not wait, either.
            options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
            let mut file = options.open(path)?;
            let there = file.metadata()?;
            if !there.is_file() {
                return Err(irregular());
            }
            let mut octets = there.len();
            if octets > 0 && !ends_line(&mut file)? {
                file.write_all(b"\n")?;
                octets += 1;
            }
            self.open = Some(Open { file, octets });
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("not open"))
    }

    /// Begins a new file.
    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        let FileSettings { path, keep, .. } = &self.settings;
        if *keep == 0 {
            return fs::remove_file(path);
        }
        for number in (1..*keep).rev() {
            match fs::rename(numbered(path, number), numbered(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(path, numbered(path, 1))
    }
}

fn irregular() -> io::Error {
    io::Error::other("it is no regular file")
}

fn ends_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Octets of the whole lines that fit into so many.
fn whole(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    lines[..room].iter().rposition(|c| *c == b'\n').map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|c| *c == b'\n').map_or(lines.len(), |end| end + 1)
}

/// `events.jsonl.1`.
pub(crate) fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}
