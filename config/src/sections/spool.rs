//! How messages are kept safe while they wait.

use crate::file::{
    form::{Form, Section},
    kinds::Size,
};

/// Sizes of the spool. None of them changes what is promised, only what it costs.
#[derive(Clone, Debug)]
pub struct Spool {
    /// A segment file is closed at this many octets; default 64 MiB, 1 MiB to 1 GiB.
    pub segment_size: u64,
    /// Messages above this many octets are streamed to a file of their own and never held
    /// whole in memory; default 256 KiB.
    pub large_message: u64,
    /// Below this many free octets on the spool's disk new mail gets `452 4.3.1`; default 64 MiB.
    pub min_free: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { segment_size: 64 << 20, large_message: 256 << 10, min_free: 64 << 20 }
    }
}

impl Section for Spool {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("segment_size", Size(1 << 20..=1 << 30), &mut self.segment_size);
        form.field("large_message", Size(4 << 10..=1 << 30), &mut self.large_message);
        form.field("min_free", Size(0..=1 << 50), &mut self.min_free);
    }
}
