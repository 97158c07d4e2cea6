//! What is alive in a mostly dead segment moves, and its segment goes.

pub(crate) mod copy;
pub(crate) mod forwarding;
