//! What happens to the files at start.

pub(crate) mod error;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod survey;
