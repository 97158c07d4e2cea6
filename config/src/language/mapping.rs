//! Mapping tables: patterns and templates, parsed once, and probed.
//!
//! A probe runs over the entries from top to bottom and ends at the first that matches, unless
//! its template says otherwise. Inputs come from strangers: whatever they hold, a probe takes
//! time in proportion to itself and to the entries that could match it, but no more than so many
//! steps, makes no text longer than [`MAX_TEXT`], and ends. Of a long table an [`index`] tells which
//! entries these are.

mod element;
mod index;
mod input;
mod pattern;
mod pattern_parser;
mod probe;
mod result;
mod sequence;
mod table;
mod template;

pub(crate) use self::{pattern::Field, result::Calls, template::FlagPlace};
pub use self::{
    probe::MappingStep,
    result::{MAX_TEXT, Mapped, MappingFlags},
    sequence::Sequences,
    table::{MappingTable, Tables},
};

#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;
