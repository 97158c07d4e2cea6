//! From the text of the file to typed values, with every mistake at its place. Knows no section.

pub(crate) mod collections;
pub(crate) mod document;
pub(crate) mod form;
pub(crate) mod kinds;
pub mod mistake;
pub(crate) mod names;
pub(crate) mod not_ron;
pub(crate) mod notation;
pub(crate) mod paths;
pub(crate) mod pieces;
pub(crate) mod reader;
pub(crate) mod setting;
pub(crate) mod source;
pub mod units;
