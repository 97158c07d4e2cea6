//! What is to be said about a file that could be read: contradictions between its sections, and
//! settings of which nothing comes.

pub(crate) mod consistency;
pub(crate) mod known;
pub(crate) mod leads;
pub(crate) mod not_yet;
pub(crate) mod own_files;
pub(crate) mod roles;
