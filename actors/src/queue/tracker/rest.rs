//! Lines of which the disk has entries that memory does not have.

use std::collections::{BTreeMap, BTreeSet};

use super::slot::LineId;

/// Lines of which the disk has more, left there because the line has enough.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) of: BTreeMap<LineId, Left>,
    /// The number of the scan that is under way, or was the last.
    pub(super) scan: u64,
    /// The lines for which it is made. `None`: for all that there is.
    pub(super) sought: Option<BTreeSet<LineId>>,
    /// The scan has read everything and goes on with what it left, since there is room.
    pub(super) filling: bool,
}

/// The rest of one line.
#[derive(Debug)]
pub(super) struct Left {
    /// When the first of it is due; 0 is at once.
    pub(super) due: u64,
    /// The scan that saw it last.
    pub(super) scan: u64,
}

impl Rest {
    /// Whether the disk may have more of the line.
    pub(super) fn is_left(&self, line: LineId) -> bool {
        self.of.contains_key(&line)
    }

    pub(super) fn forget(&mut self, line: LineId) {
        self.of.remove(&line);
        if let Some(sought) = &mut self.sought {
            sought.remove(&line);
        }
    }

    pub(super) fn is_left_by_this_scan(&self, line: LineId) -> bool {
        self.of.get(&line).is_some_and(|left| left.scan == self.scan)
    }
}
