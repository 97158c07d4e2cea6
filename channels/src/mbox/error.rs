//! Why a message is not appended.

use std::io;

use crate::disk::is_full;

/// Why a message is not appended. Nothing of it is left in the file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// Somebody else holds one of its locks.
    #[error("another program has locked it")]
    Busy,
    /// A link, a folder, a device, a pipe; or a file that has another name as well.
    #[error("it is {0}")]
    Unfit(&'static str),
    /// It belongs to another user.
    #[error("it belongs to user {0}, and not to its own")]
    NotOwned(u32),
    /// The engine is not root, and neither is it this user.
    #[error("the engine is not root, and has not the rights of user {0}")]
    NoRights(u32),
    /// The system does not let it be written, with the rights that are had.
    #[error("{0}: it may not be written")]
    Denied(&'static str),
    /// The file system is full.
    #[error("no space left for mail")]
    NoSpace,
    /// The owner's share of it is used up.
    #[error("the owner's disk quota is used up")]
    Quota,
    /// The message itself cannot be read.
    #[error("the message cannot be read: {0}")]
    Unread(String),
    /// Another error of the system, and the step that it came from.
    #[error("{0}: {1}")]
    System(&'static str, String),
}

impl AppendError {
    /// An error of the system, in `step`.
    pub(super) fn of(step: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::QuotaExceeded => Self::Quota,
            io::ErrorKind::PermissionDenied => Self::Denied(step),
            _ if is_full(error) => Self::NoSpace,
            _ => Self::System(step, error.to_string()),
        }
    }
}
