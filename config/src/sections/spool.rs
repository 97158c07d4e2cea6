//! How messages are kept safe while they wait.

use crate::file::kinds::Size;

section! {
    /// Sizes of the spool. None of them changes what is promised, only what it costs.
    pub struct Spool {
        /// A segment file is closed when it has grown to this size.
        segment_size: u64 = 64 << 20, Size(1 << 20..=1 << 30), queue;
        /// Larger messages are streamed to a file of their own and never held whole in memory. At
        /// most `segment_size`.
        large_message: u64 = 256 << 10, Size(4 << 10..=1 << 30), queue;
        /// With less free space than this on the disk of the spool, new mail gets `452 4.3.1`.
        min_free: u64 = 64 << 20, Size(0..=1 << 50), queue;
    }
}
