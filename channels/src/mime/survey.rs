//! Which parts of a message have to change.

use super::{
    Demand, Unconvertible, downgraded,
    header::Encoding,
    walk::{Entity, EntityContent, Visitor, Walk},
};
use crate::mail::is_signed;

/// Looks at content before it is converted.
#[derive(Debug)]
pub struct Survey {
    walk: Walk,
    seen: Seen,
}

/// The parts that are to change, for a [`Converter`](super::Converter).
#[derive(Clone, Debug)]
pub struct Conversion {
    /// A bit for each entity in the order of their headers.
    changes: Vec<u64>,
    /// A header changes, or text that is in no part.
    other_changes: bool,
    pub(super) demand: Demand,
    /// Something in it is signed: a signature over what changes does not hold any more.
    pub is_signed: bool,
}

#[derive(Debug)]
struct Seen {
    plan: Conversion,
    entities: usize,
    /// The body at hand: its encoding, and whether it has to change.
    body: Option<(Encoding, bool)>,
    /// Octets of the line at hand.
    column: usize,
    fault: Option<Unconvertible>,
}

impl Survey {
    /// For a server that does not take this.
    pub fn new(demand: Demand) -> Self {
        let plan =
            Conversion { changes: Vec::new(), other_changes: false, demand, is_signed: false };
        let seen = Seen { plan, entities: 0, body: None, column: 0, fault: None };
        Self { walk: Walk::new(demand.ascii_header), seen }
    }

    /// Takes the next piece of the content, which has no bare CR or LF.
    pub fn feed(&mut self, piece: &[u8]) {
        self.walk.feed(piece, &mut self.seen);
    }

    /// The content is complete.
    pub fn finish(self) -> Result<Conversion, Unconvertible> {
        let Self { walk, mut seen } = self;
        walk.finish(&mut seen);
        // The last line gets the CRLF that it lacks.
        if seen.column > 0 {
            seen.measure(b"\r\n");
        }
        seen.end_body();
        seen.fault.map_or(Ok(seen.plan), Err)
    }
}

impl Conversion {
    /// Whether anything changes.
    pub fn changes_something(&self) -> bool {
        self.other_changes || self.changes.iter().any(|word| *word != 0)
    }

    pub(super) fn changes(&self, entity: usize) -> bool {
        self.changes.get(entity / 64).is_some_and(|word| word & 1 << (entity % 64) != 0)
    }
}

impl Seen {
    /// Counts the octets of lines; whether one is too long.
    fn measure(&mut self, octets: &[u8]) -> bool {
        // No more than one line end comes in a piece, and at its end.
        self.column += octets.len();
        let is_too_long = self.column > self.plan.demand.max_line;
        if octets.ends_with(b"\n") {
            self.column = 0;
        }
        is_too_long
    }

    fn end_body(&mut self) {
        let Some((encoding, changes)) = self.body.take() else { return };
        if !changes {
            return;
        }
        if encoding == Encoding::Other {
            self.fault.get_or_insert(Unconvertible::Encoded);
        }
        let entity = self.entities - 1;
        self.plan.changes.resize(entity / 64 + 1, 0);
        self.plan.changes[entity / 64] |= 1 << (entity % 64);
    }
}

impl Visitor for Seen {
    fn header(&mut self, header: &[u8], entity: Entity) {
        self.end_body();
        self.entities += 1;
        if self.entities > MOST_ENTITIES {
            self.fault.get_or_insert(Unconvertible::ManyParts);
        }
        self.plan.is_signed |= is_signed(header);
        let demand = self.plan.demand;
        let new = downgraded(header, entity).filter(|_| demand.ascii_header);
        self.plan.other_changes |= new.is_some();
        for line in new.as_deref().unwrap_or(header).split_inclusive(|c| *c == b'\n') {
            if self.measure(line) {
                self.fault.get_or_insert(Unconvertible::LongLine(self.plan.demand.max_line));
            }
        }
        self.body = match entity.content {
            EntityContent::Body(encoding) => Some((encoding, false)),
            EntityContent::Entities => None,
        };
    }

    fn body(&mut self, octets: &[u8]) {
        let is_too_long = self.measure(octets);
        let Some((_, changes)) = &mut self.body else { return };
        *changes |= is_too_long || self.plan.demand.seven_bit && !octets.is_ascii();
    }

    fn delimiter(&mut self, line: &[u8]) {
        if self.plan.demand.wants_ascii() && !line.is_ascii() {
            self.fault.get_or_insert(Unconvertible::Boundary);
        }
        self.between(line);
    }

    fn between(&mut self, octets: &[u8]) {
        self.plan.other_changes |= self.plan.demand.seven_bit && !octets.is_ascii();
        if self.measure(octets) {
            self.fault.get_or_insert(Unconvertible::LongLine(self.plan.demand.max_line));
        }
    }

    fn lost(&mut self) {
        self.fault.get_or_insert(Unconvertible::LargeHeader);
    }
}

/// Entities of a message.
const MOST_ENTITIES: usize = 100_000;
