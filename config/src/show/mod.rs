//! The configuration in force, as operators see it.

mod in_words;
mod shown;

pub use shown::Shown;
