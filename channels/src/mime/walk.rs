//! The way through a message: headers of entities, their bodies, and what stands between them.
//!
//! Linear: a line is looked at once, and against at most [`MAX_DEPTH`] delimiters.

use super::header::{Encoding, forbids_encoding, is_global};
use crate::mail::{ContentType, Multipart};

/// Told what is met, in order; all pieces together are the content.
pub(super) trait Visitor {
    /// The header of an entity, its blank line included if it has one.
    fn header(&mut self, header: &[u8], entity: Entity);
    /// A piece of the body of the last entity, which is a leaf. Each CRLF comes in one piece with what
    /// stands before it, as far as that is in the same piece.
    fn body(&mut self, octets: &[u8]);
    /// A delimiter.
    fn delimiter(&mut self, line: &[u8]);
    /// Text that is in no part, or a piece of a line of it.
    fn between(&mut self, octets: &[u8]);
    /// Something was too much; what comes from here on is told as `between`.
    fn lost(&mut self);
}

/// A message, or a part of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entity {
    /// Its header is that of a message.
    pub(super) is_message: bool,
    pub(super) content: EntityContent,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum EntityContent {
    /// Parts, or a message: an encoding would hide them.
    Entities,
    /// A body encoded so.
    Body(Encoding),
}

#[derive(Debug)]
pub(super) struct Walk {
    /// Multiparts that are open, the outermost first.
    open: Vec<Multipart>,
    place: Whereabouts,
    /// The beginning of the line at hand.
    line: Vec<u8>,
    /// More of the line at hand has passed than may be a delimiter.
    is_long: bool,
    header: Vec<u8>,
    /// `message/global` is gone into as well.
    into_global: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whereabouts {
    /// In the header of a message, or of a part.
    Header {
        is_message: bool,
        in_digest: bool,
    },
    Body,
    Between,
}

impl Walk {
    /// Begins at the header of a message.
    pub(super) fn new(into_global: bool) -> Self {
        Self {
            open: Vec::new(),
            place: Whereabouts::Header { is_message: true, in_digest: false },
            line: Vec::new(),
            is_long: false,
            header: Vec::new(),
            into_global,
        }
    }

    pub(super) fn feed(&mut self, mut piece: &[u8], visitor: &mut impl Visitor) {
        while !piece.is_empty() {
            let end = memchr::memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            let (now, rest) = piece.split_at(end);
            piece = rest;
            self.take(now, visitor);
        }
    }

    pub(super) fn finish(mut self, visitor: &mut impl Visitor) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.end_line(&line, visitor);
        }
        self.end_header(visitor);
    }

    /// A line or a piece of one.
    fn take(&mut self, now: &[u8], visitor: &mut impl Visitor) {
        let ends = now.ends_with(b"\n");
        if self.is_long {
            self.is_long = !ends;
            return self.pass(now, visitor);
        }
        if self.line.is_empty() && ends && now.len() <= LONGEST_LINE {
            return self.end_line(now, visitor);
        }
        self.line.extend_from_slice(now);
        if ends || self.line.len() > LONGEST_LINE {
            let mut line = std::mem::take(&mut self.line);
            self.is_long = !ends;
            if ends && line.len() <= LONGEST_LINE {
                self.end_line(&line, visitor);
            } else {
                self.pass(&line, visitor);
            }
            line.clear();
            self.line = line;
        }
    }

    /// A line that may be a delimiter or a blank one.
    fn end_line(&mut self, line: &[u8], visitor: &mut impl Visitor) {
        if line.starts_with(b"--")
            && let Some((depth, closes)) = self.delimiter(line)
        {
            self.end_header(visitor);
            self.open.truncate(if closes { depth } else { depth + 1 });
            visitor.delimiter(line);
            self.place = if closes {
                Whereabouts::Between
            } else {
                let in_digest = self.open.last().is_some_and(|open| open.is_digest);
                Whereabouts::Header { is_message: false, in_digest }
            };
            return;
        }
        self.pass(line, visitor);
        if matches!(self.place, Whereabouts::Header { .. }) && line.trim_ascii().is_empty() {
            self.end_header(visitor);
        }
    }

    fn pass(&mut self, octets: &[u8], visitor: &mut impl Visitor) {
        match self.place {
            Whereabouts::Body => visitor.body(octets),
            Whereabouts::Between => visitor.between(octets),
            Whereabouts::Header { .. } => {
                self.header.extend_from_slice(octets);
                if self.header.len() > LARGEST_HEADER {
                    visitor.lost();
                    visitor.between(&self.header);
                    self.header = Vec::new();
                    self.place = Whereabouts::Between;
                }
            }
        }
    }

    /// Goes on behind a header: into what it announces.
    fn end_header(&mut self, visitor: &mut impl Visitor) {
        let Whereabouts::Header { is_message, in_digest } = self.place else { return };
        let header = std::mem::take(&mut self.header);
        if header.is_empty() {
            return;
        }
        let encoding = Encoding::of(&header);
        let is_plain = encoding == Encoding::Identity;
        let kind = match ContentType::of(&header, in_digest) {
            ContentType::Other if self.into_global && is_plain && is_global(&header) => {
                ContentType::Message
            }
            kind => kind,
        };
        let (content, place) = match kind {
            ContentType::Multipart(multipart) if is_plain && self.open.len() < MAX_DEPTH => {
                self.open.push(multipart);
                (EntityContent::Entities, Whereabouts::Between)
            }
            ContentType::Message if is_plain => (
                EntityContent::Entities,
                Whereabouts::Header { is_message: true, in_digest: false },
            ),
            ContentType::Message => (EntityContent::Body(Encoding::Other), Whereabouts::Body),
            _ if forbids_encoding(&header) => {
                (EntityContent::Body(Encoding::Other), Whereabouts::Body)
            }
            _ => (EntityContent::Body(encoding), Whereabouts::Body),
        };
        self.place = place;
        visitor.header(&header, Entity { is_message, content });
    }

    /// The multipart whose delimiter this line is, and whether it ends that.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.trim_ascii_end();
        self.open.iter().enumerate().rev().find_map(|(depth, open)| {
            let rest = line.strip_prefix(open.delimiter.as_slice())?;
            (rest.is_empty() || rest == b"--").then_some((depth, !rest.is_empty()))
        })
    }
}

/// Multiparts within each other that are gone into.
const MAX_DEPTH: usize = 20;
/// Octets of a line that may be a delimiter or end a header.
const LONGEST_LINE: usize = 256;
/// Octets of a header that is kept.
const LARGEST_HEADER: usize = 1 << 20;
