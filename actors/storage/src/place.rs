//! Where a message lies.

use serde::{Deserialize, Serialize};

/// Where a record is. The numbers are those of the spool; other storage may use them as it likes, and those
/// who ask hand them back as they are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Place {
    /// The number of the segment.
    pub segment: u32,
    /// Bytes from its beginning.
    pub offset: u32,
    /// Bytes of the record.
    pub length: u32,
}
