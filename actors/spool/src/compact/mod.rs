//! What is alive in a mostly dead segment moves, and its segment goes.

pub(crate) mod compaction;
pub(crate) mod forwarding;
