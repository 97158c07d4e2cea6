//! The house in which the sources live, read from the sources: who knows whom, which actor is sent
//! what, which names are given twice, what nobody needs.
//!
//! The drawings lie in the heads of the crates, as tables; every check compares one with what is
//! there. Sources are parsed, not compiled, so that all checks together take seconds. Not seen:
//! what is reached through a method or a field alone, without the name of its type.

mod actors;
mod arrows;
mod dependencies;
mod names;
mod source;
mod words;

pub use actors::{actor_table, unsent_messages};
pub use arrows::{circles, drawing, rooms, tests_upward};
pub use dependencies::unused_dependencies;
pub use names::{called_by_tests_only, types_defined_twice};
pub use source::{Crate, SourceFile, workspace};
pub use words::{citations, named_paths, pronouns};

/// Compares what was found with what is allowed for now: a list that may only shrink. What is
/// allowed and is not there any more is a complaint, too.
pub fn beyond(found: &[String], allowed: &[&str]) -> Vec<String> {
    let new = found.iter().filter(|found| !allowed.contains(&found.as_str()));
    let new = new.map(|found| format!("not allowed: {found}"));
    let gone = allowed.iter().filter(|allowed| !found.iter().any(|found| found == *allowed));
    let gone = gone.map(|gone| format!("not there any more, strike it off the list: {gone}"));
    new.chain(gone).collect()
}
