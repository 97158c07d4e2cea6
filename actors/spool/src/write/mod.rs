//! Making messages and changes of their states durable.

pub(crate) mod blob;
pub(crate) mod committer;
pub(crate) mod journal;
