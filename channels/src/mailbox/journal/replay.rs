//! The replay: what the last process appended and no checkpoint has covered goes into the mailboxes,
//! before anything is delivered.

use std::io;

use super::{
    file::{JournalError, failed},
    format::{Header, PAGE, scan},
};
use crate::disk::DiskFile;

/// Where records go.
pub trait Restorer: Send {
    /// Sees every record before the first is restored: a later one may take an earlier one back.
    fn foresee(&mut self, record: &[u8]) -> io::Result<()>;
    /// Puts the message of a record where it belongs, unless the disk has it there already.
    fn restore(&mut self, record: &[u8]) -> io::Result<()>;
    /// Writes the message of a record again wherever it still is, whatever is there.
    fn rewrite(&mut self, record: &[u8]) -> io::Result<()>;
}

/// Restores every record that may not be in the mailboxes, makes them durable, and begins the ring
/// anew behind what it held. When that fails, the next attempt finds the same records.
pub(super) fn replay(
    file: &dyn DiskFile,
    header: &mut Header,
    mailboxes: &mut dyn Restorer,
) -> Result<(), JournalError> {
    let unplaced = "what the journal holds cannot be put into the mailboxes";
    scan(file, header, |record| mailboxes.foresee(record)).map_err(failed(unplaced))?;
    let end = scan(file, header, |record| mailboxes.restore(record)).map_err(failed(unplaced))?;
    if file.sync_fs().is_err() {
        // Perhaps that tells only of what failed while the last process had the disk.
        scan(file, header, |record| mailboxes.rewrite(record)).map_err(failed(unplaced))?;
        file.sync_fs().map_err(failed("the mailboxes cannot be synced"))?;
    }
    // Bytes behind the end belong to no position that will be used again.
    header.tail = end.next_multiple_of(PAGE) + header.capacity;
    header.write(file).map_err(failed("the journal cannot be written"))
}
