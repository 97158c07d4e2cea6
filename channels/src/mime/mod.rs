//! Content as a server takes it that lacks 8BITMIME, or long lines: parts are given another
//! `Content-Transfer-Encoding` (RFC 2045, RFC 6152 section 3).
//!
//! A [`Survey`] sees all of the content once and finds out which parts have to change, the
//! [`Converter`] sees it again and changes them. Both take it in whatever pieces; memory is bounded by
//! a header, the beginning of a line, and a bit for each part. What decides is the octets, not what a
//! header says of them. A part that needs no change stays as it is to the octet, and so does every
//! header field but `Content-Transfer-Encoding`, and `MIME-Version` where it was missing.
//!
//! Octets above 127 in header fields stay unless [`Demand::ascii_header`] asks for another form; and a
//! message within one that has to be `message/global` (RFC 6532 section 3.7) becomes `message/rfc822`
//! with it. Headers that an encoding hides, or that lie too deep, are content like any other.
//!
//! [`parts`] finds, takes out and replaces parts for the conversion channel.

mod ascii;
mod convert;
mod header;
mod partial;
pub mod parts;
mod quoted;
mod survey;
mod walk;

use std::borrow::Cow;

pub(crate) use ascii::ascii_header;
pub use convert::Converter;
use header::{is_global, without_global};
pub use partial::{Reassembly, Unassemblable, piece_of};
pub use survey::{Conversion, Survey};
use walk::{Entity, EntityContent};

/// Content that a server does not take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// Octets above 127 in a body.
    pub seven_bit: bool,
    /// Lines with more octets, CRLF included.
    pub max_line: usize,
    /// Octets above 127 in a header, of the message, of its parts, or of messages within it: the server
    /// has no SMTPUTF8 (RFC 6531). Each field that has some is given a form in ASCII (RFC 6857).
    pub ascii_header: bool,
}

impl Demand {
    /// Whether octets above 127 are not taken somewhere.
    pub fn wants_ascii(self) -> bool {
        self.seven_bit || self.ascii_header
    }
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
    /// Octets above 127 in what parts the parts of a multipart.
    #[error("the boundary of a multipart holds octets above 127")]
    Boundary,
}

/// The content with its headers in ASCII, those of its parts and of messages within it as well; bodies
/// stay. All of it is in memory.
pub(crate) fn with_ascii_headers(content: &[u8]) -> Result<Cow<'_, [u8]>, Unconvertible> {
    let mut survey =
        Survey::new(Demand { seven_bit: false, max_line: usize::MAX, ascii_header: true });
    survey.feed(content);
    let conversion = survey.finish()?;
    if !conversion.changes_something() {
        return Ok(Cow::Borrowed(content));
    }
    let mut new = Vec::with_capacity(content.len() + content.len() / 4);
    let mut converter = Converter::new(&conversion);
    converter.feed(content, &mut new);
    converter.finish(&mut new);
    Ok(Cow::Owned(new))
}

/// The header of an entity as a server without SMTPUTF8 takes it; `None`: as it is.
fn downgraded(header: &[u8], entity: Entity) -> Option<Vec<u8>> {
    if entity.content == EntityContent::Entities && is_global(header) {
        return Some(ascii_header(&without_global(header)));
    }
    (!header.is_ascii()).then(|| ascii_header(header))
}

#[cfg(test)]
mod tests;
