//! The grammar of RFC 5228 8: from text to a tree that knows no command by its name.

mod lexer;
mod parser;
mod tree;

pub(crate) use lexer::end_of_requires;
pub(crate) use parser::parse;
pub(crate) use tree::{Argument, Node, Strings};
