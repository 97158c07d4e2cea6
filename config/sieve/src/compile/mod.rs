//! From the tree of a script to its program: which commands and tests there are, and what they take.

mod arguments;
mod commands;
mod conditions;
mod context;
mod matches;
mod shapes;

pub(crate) use commands::compile;
