//! Survivors of a mostly dead segment move, and the segment goes.

pub(crate) mod copy;
pub(crate) mod forwarding;
