//! Sled has failed: by an error, by a panic, or by what it holds.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Sled failed, by error or by panic, or holds what cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

impl Broken {
    pub(crate) fn because(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<sled::Error> for Broken {
    fn from(error: sled::Error) -> Self {
        Self::because(error)
    }
}

/// Makes a panic of sled an error like any other.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Broken(format!("panicked: {}", text.unwrap_or("without a word"))))
    })
}
