//! The wanted parts of a message, and the rest of it.

use super::super::walk::{Entity, Visitor, Walk};

/// A piece of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PartPiece {
    /// Octets that are in no wanted part.
    Rest(Vec<u8>),
    /// A wanted part begins, with its header and the blank line.
    Begin {
        /// Its number among the entities.
        entity: usize,
        /// As it stands there.
        header: Vec<u8>,
        /// It is the message itself.
        is_message: bool,
    },
    /// Octets of its body, as they stand there.
    Body(Vec<u8>),
    /// It ends.
    End {
        /// Another body in its place has to end its last line itself.
        owes_line_end: bool,
    },
}

/// Tells wanted parts from the rest, in the content that was surveyed.
#[derive(Debug)]
pub struct PartSplitter<W: Fn(usize) -> bool> {
    walk: Walk,
    splitting: Splitting<W>,
}

#[derive(Debug)]
struct Splitting<W> {
    is_wanted: W,
    entities: usize,
    is_in: bool,
    /// The end of a line, which may belong to the delimiter behind it.
    held: Vec<u8>,
    pieces: Vec<PartPiece>,
}

impl<W: Fn(usize) -> bool> PartSplitter<W> {
    /// `is_wanted` says so of a part by the number of its entity.
    pub fn new(is_wanted: W) -> Self {
        let (held, pieces) = (Vec::new(), Vec::new());
        let splitting = Splitting { is_wanted, entities: 0, is_in: false, held, pieces };
        Self { walk: Walk::into_all(), splitting }
    }

    /// Takes the next piece of the content; gives what it is.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<PartPiece> {
        self.walk.feed(piece, &mut self.splitting);
        std::mem::take(&mut self.splitting.pieces)
    }

    /// The pieces at the end of the content.
    pub fn finish(self) -> Vec<PartPiece> {
        let Self { walk, mut splitting } = self;
        walk.finish(&mut splitting);
        splitting.end(false);
        splitting.pieces
    }
}

impl<W> Splitting<W> {
    fn rest(&mut self, octets: &[u8]) {
        match self.pieces.last_mut() {
            Some(PartPiece::Rest(last)) => last.extend_from_slice(octets),
            _ => self.pieces.push(PartPiece::Rest(octets.to_vec())),
        }
    }

    fn of_body(&mut self, octets: &[u8]) {
        match self.pieces.last_mut() {
            _ if octets.is_empty() => {}
            Some(PartPiece::Body(last)) => last.extend_from_slice(octets),
            _ => self.pieces.push(PartPiece::Body(octets.to_vec())),
        }
    }

    fn end(&mut self, at_delimiter: bool) {
        if !std::mem::take(&mut self.is_in) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let is_its = at_delimiter && held.ends_with(b"\n");
        if !is_its {
            self.of_body(&held);
        }
        self.pieces.push(PartPiece::End { owes_line_end: !is_its });
        if is_its {
            self.rest(&held);
        }
    }
}

impl<W: Fn(usize) -> bool> Visitor for Splitting<W> {
    fn header(&mut self, header: &[u8], entity: Entity) {
        self.end(false);
        let number = self.entities;
        self.entities += 1;
        if (self.is_wanted)(number) {
            self.is_in = true;
            let (header, is_message) = (header.to_vec(), entity.is_message);
            self.pieces.push(PartPiece::Begin { entity: number, header, is_message });
        } else {
            self.rest(header);
        }
    }

    fn body(&mut self, octets: &[u8]) {
        if !self.is_in {
            return self.rest(octets);
        }
        let mut held = std::mem::take(&mut self.held);
        let kept = line_end(octets);
        if kept < octets.len() || held.ends_with(b"\n") {
            self.of_body(&held);
            held.clear();
        }
        self.of_body(&octets[..octets.len() - kept]);
        held.extend_from_slice(&octets[octets.len() - kept..]);
        self.held = held;
    }

    fn delimiter(&mut self, line: &[u8]) {
        self.end(true);
        self.rest(line);
    }

    fn between(&mut self, octets: &[u8]) {
        self.rest(octets);
    }

    fn lost(&mut self) {}
}

/// Octets at the end that end a line, or may begin to.
fn line_end(octets: &[u8]) -> usize {
    match octets {
        [.., b'\r', b'\n'] => 2,
        [.., b'\r' | b'\n'] => 1,
        _ => 0,
    }
}
