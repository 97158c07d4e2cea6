//! The files on the disk: bytes to values and back.

pub(crate) mod change;
pub(crate) mod extent;
pub(crate) mod layout;
pub(crate) mod message;
pub(crate) mod record;
pub(crate) mod segment;
