//! The configuration in force, as operators see it.

mod in_words;
mod reference;
mod shown;

pub use reference::{reference, reference_of};
pub use shown::Shown;
