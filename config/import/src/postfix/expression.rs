//! Regular expressions of `regexp:` and `pcre:` tables, in the pieces that patterns of relais have.
//!
//! An expression that says more than such pieces do (what stands ahead, back references, lazy repetition,
//! case that counts) is refused with the reason: nothing of it is guessed.

mod form;
mod reader;
#[cfg(test)]
mod tests;

pub(super) use self::form::{Form, Piece, Refused, ResultPart, Set, parts};

use self::reader::Reader;

/// The alternatives of an expression, in the order in which they are tried.
pub(super) fn forms(expression: &str) -> Result<Vec<Form>, Refused> {
    let (forms, groups) = Reader::new(expression).read()?;
    Ok(forms.into_iter().map(|form| form.whole(groups)).collect())
}
