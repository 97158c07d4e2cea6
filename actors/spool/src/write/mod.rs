//! Making messages and changes of their states durable.

pub(crate) mod committer;
mod company;
pub(crate) mod journal;
