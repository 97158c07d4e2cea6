//! The tree of a script.

use std::borrow::Cow;

use crate::mistake::Place;

/// A command or a test.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    /// In lower case.
    pub(crate) name: Cow<'t, str>,
    pub(crate) place: Place,
    pub(crate) arguments: Vec<(Place, Argument<'t>)>,
    pub(crate) tests: Vec<Node<'t>>,
    /// Whether the tests stand in parentheses.
    pub(crate) has_test_list: bool,
    /// The commands between braces.
    pub(crate) block: Option<Vec<Node<'t>>>,
}

/// An argument of a command or a test.
#[derive(Debug)]
pub(crate) enum Argument<'t> {
    /// In lower case, without its colon.
    Tag(Cow<'t, str>),
    Number(u64),
    Strings(Strings<'t>),
}

/// A string, or a list of them.
#[derive(Debug)]
pub(crate) struct Strings<'t> {
    pub(crate) all: Vec<(Place, Cow<'t, str>)>,
    pub(crate) is_list: bool,
}
