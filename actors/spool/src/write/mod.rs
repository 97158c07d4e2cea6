//! Making messages and changes of their states durable.

pub(crate) mod committer;
pub(crate) mod journal;
pub(crate) mod large;
