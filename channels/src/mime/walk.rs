//! The way through a message: headers of entities, their bodies, and what stands between them.
//!
//! Linear: a line is looked at once, and against the delimiters of the multiparts that are open: at most
//! [`MAX_DEPTH`], or [`DEEPEST`].

use super::header::{Encoding, forbids_encoding, is_global};
use crate::mail::{ContentType, LineAssembly, LinePiece, MAX_DEPTH, Multipart, delimited};

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
    /// Multiparts that it lies in.
    pub(super) depth: usize,
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
    lines: LineAssembly,
    header: Vec<u8>,
    /// `message/global` is gone into as well.
    into_global: bool,
    /// Multiparts within each other that are gone into.
    max_depth: usize,
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
            lines: LineAssembly::default(),
            header: Vec::new(),
            into_global,
            max_depth: MAX_DEPTH,
        }
    }

    /// The same, into everything, and [`DEEPEST`] multiparts deep.
    pub(super) fn into_all() -> Self {
        Self { max_depth: DEEPEST, ..Self::new(true) }
    }

    pub(super) fn feed(&mut self, mut piece: &[u8], visitor: &mut impl Visitor) {
        while !piece.is_empty() {
            match self.lines.take(&mut piece) {
                Some(LinePiece::Whole(line)) => self.end_line(&line, visitor),
                Some(LinePiece::Part(octets)) => self.pass(&octets, visitor),
                None => {}
            }
        }
    }

    pub(super) fn finish(mut self, visitor: &mut impl Visitor) {
        let line = self.lines.rest();
        if !line.is_empty() {
            self.end_line(&line, visitor);
        }
        self.end_header(visitor);
    }

    /// A line that may be a delimiter or a blank one.
    fn end_line(&mut self, line: &[u8], visitor: &mut impl Visitor) {
        let open = self.open.iter().map(|open| open.delimiter.as_slice());
        if let Some((depth, closes)) = delimited(line, open.enumerate().rev()) {
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
        let depth = self.open.len();
        let (content, place) = match kind {
            ContentType::Multipart(multipart) if is_plain && self.open.len() < self.max_depth => {
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
        visitor.header(&header, Entity { is_message, content, depth });
    }
}

/// Multiparts within each other that are gone into at most.
pub(super) const DEEPEST: usize = 100;
/// Octets of a header that is kept.
const LARGEST_HEADER: usize = 1 << 20;
