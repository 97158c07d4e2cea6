//! What happens to the files at start.

pub(crate) mod mending;
pub(crate) mod recover;
pub(crate) mod tidy;
pub(crate) mod walked;
