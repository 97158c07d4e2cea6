//! Content as a server takes it that lacks 8BITMIME, or long lines: parts are given another
//! `Content-Transfer-Encoding` (RFC 2045, RFC 6152 section 3).
//!
//! A [`Survey`] sees all of the content once and finds out which parts have to change, the
//! [`Converter`] sees it again and changes them. Both take it in whatever pieces; memory is bounded by
//! a header, the beginning of a line, and a bit for each part. What decides is the octets, not what a
//! header says of them. A part that needs no change stays as it is to the octet, and so does every
//! header field but `Content-Transfer-Encoding`, and `MIME-Version` where it was missing. Octets above
//! 127 in header fields stay: they have no other form that means the same to everybody.

mod convert;
mod header;
mod quoted;
mod survey;
mod walk;

pub use convert::Converter;
pub use survey::{Conversion, Survey};

/// Content that a server does not take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// Octets above 127 in a body.
    pub seven_bit: bool,
    /// Lines with more octets, CRLF included.
    pub max_line: usize,
}

/// Why content cannot be given another form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unconvertible {
    /// A line outside of every body part.
    #[error("a line that is no part's is longer than the {0} octets of max_line")]
    LongLine(usize),
    /// A header is larger than what is kept of one.
    #[error("the header of a part is too large to be rewritten")]
    LargeHeader,
    /// More parts than are kept in mind.
    #[error("it has too many parts")]
    ManyParts,
    /// Its encoding is none that is known, or its type allows no other.
    #[error("a part has an encoding or a type that does not allow it")]
    Encoded,
}

#[cfg(test)]
mod tests;
