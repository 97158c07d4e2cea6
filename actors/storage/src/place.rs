//! Where a message lies.

use serde::{Deserialize, Serialize};

/// Where a record is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Place {
    /// The number of the segment.
    pub segment: u32,
    /// Bytes from its beginning.
    pub offset: u32,
    /// Bytes of the record.
    pub length: u32,
}
