//! Checks of a file that could be read: contradictions between its sections, and settings without
//! effect.

pub(crate) mod consistency;
pub(crate) mod known;
pub(crate) mod leads;
pub(crate) mod not_yet;
pub(crate) mod own_files;
pub(crate) mod roles;
