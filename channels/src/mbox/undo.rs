//! The remains of an append that a crash may have cut short.

use std::io;

use memchr::{memchr, memmem};

use super::{content::FROM, intent::Intent};
use crate::disk::DiskFile;

/// The octets behind the old end of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remains {
    /// Nothing, or whole messages: there is nothing to undo.
    Whole,
    /// A part of what was to be appended, and nothing else.
    Torn,
    /// Others have written to the file since.
    Changed,
}

/// Looks at what an append has left.
pub(super) fn look(file: &dyn DiskFile, intent: &Intent) -> io::Result<Remains> {
    let size = file.size()?;
    let Some(behind) = size.checked_sub(intent.length) else { return Ok(Remains::Changed) };
    let is_bound = intent.bounds.iter().skip(1).any(|bound| *bound == behind);
    if behind == 0 {
        return Ok(Remains::Whole);
    }
    if behind >= intent.octets() || is_bound {
        if intent.has_zeros || !has_holes(file, intent, behind)? {
            return Ok(Remains::Whole);
        }
        if behind > intent.octets() {
            return Ok(Remains::Changed);
        }
    }
    if begins_alike(file, intent, behind)? && !holds_others(file, intent, behind)? {
        Ok(Remains::Torn)
    } else {
        Ok(Remains::Changed)
    }
}

/// Undoes it, if it is torn.
pub(super) fn undo(file: &dyn DiskFile, intent: &Intent) -> io::Result<Remains> {
    let remains = look(file, intent)?;
    if remains == Remains::Torn {
        file.truncate(intent.length)?;
        file.sync_data()?;
    }
    Ok(remains)
}

/// Whether it begins as ours does. Of octets that never reached the disk, file systems make zeros.
fn begins_alike(file: &dyn DiskFile, intent: &Intent, behind: u64) -> io::Result<bool> {
    let most = usize::try_from(behind).unwrap_or(usize::MAX).min(intent.start.len());
    let mut there = vec![0; most];
    let read = file.read_at(&mut there, intent.length)?;
    let ours = there.iter().zip(&intent.start).all(|(it, ours)| it == ours || *it == 0);
    Ok(read == most && ours)
}

/// Whether something of it never reached the disk, though what follows did.
fn has_holes(file: &dyn DiskFile, intent: &Intent, behind: u64) -> io::Result<bool> {
    let (mut window, mut at) = (vec![0; WINDOW], 0);
    let end = behind.min(intent.octets());
    while at < end {
        let most = usize::try_from(end - at).map_or(WINDOW, |left| left.min(WINDOW));
        let read = file.read_at(&mut window[..most], intent.length + at)?;
        if read == 0 || memchr(0, &window[..read]).is_some() {
            return Ok(read > 0);
        }
        at += read as u64;
    }
    Ok(false)
}

/// Whether a message begins where none of ours does: another program has appended it.
fn holds_others(file: &dyn DiskFile, intent: &Intent, behind: u64) -> io::Result<bool> {
    let mut window = vec![0; WINDOW];
    let mut at = 0;
    while at < behind {
        let most = usize::try_from(behind - at).map_or(WINDOW, |left| left.min(WINDOW));
        let read = file.read_at(&mut window[..most], intent.length + at)?;
        let text = &window[..read];
        for found in memmem::find_iter(text, FROM) {
            let offset = at + found as u64;
            let is_start = offset > 0 && found > 0 && text[found - 1] == b'\n';
            if !intent.bounds.contains(&offset) && (is_start || is_postmark(&text[found..])) {
                return Ok(true);
            }
        }
        if read < most || at + read as u64 >= behind {
            break;
        }
        at += (read - OVERLAP) as u64;
    }
    Ok(false)
}

/// `From sender  Sun Nov 29 ...`: behind a torn line of ours it need not begin a line.
fn is_postmark(text: &[u8]) -> bool {
    let line = text.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(OVERLAP)];
    DAYS.iter().any(|day| memmem::find(line, day).is_some())
}

const DAYS: [&[u8]; 7] = [b" Mon ", b" Tue ", b" Wed ", b" Thu ", b" Fri ", b" Sat ", b" Sun "];
/// Octets looked at together.
const WINDOW: usize = 64 << 10;
/// Octets that are looked at twice, so that a line is seen whole.
const OVERLAP: usize = 1 << 10;
