//! From the tree of a script to its program: which commands and tests there are, and what they take.

mod arguments;
mod commands;
mod context;
mod matches;
mod shapes;
mod tests;

pub(crate) use commands::compile;
