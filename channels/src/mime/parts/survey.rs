//! Which parts of a message are wanted.

use std::collections::BTreeMap;

use super::{
    super::{
        header::Encoding,
        walk::{DEEPEST, Entity, EntityContent, Visitor, Walk},
    },
    BodyDecoder, BodyEncoding, MimePart,
};

/// Sees all of the content once, and asks `choose` about each part when it has seen all of it.
pub struct PartSurvey<A, F: FnMut(&MimePart) -> Option<A>> {
    walk: Walk,
    seen: PartsSeen<A, F>,
}

/// The parts that are wanted, by their entities, with what is wanted of each.
#[derive(Debug)]
pub struct PartPlan<A> {
    /// In the order of the message.
    pub wanted: BTreeMap<usize, (MimePart, A)>,
    /// All parts of the message.
    pub parts: usize,
}

/// Why not all of a message was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unsurveyed {
    /// More parts than are looked at.
    #[error("it has more than {MOST_ENTITIES} parts")]
    ManyParts,
    /// More wanted parts than are kept in mind.
    #[error("it has more than {MOST_WANTED} parts to convert")]
    ManyWanted,
    /// Multiparts within each other.
    #[error("it has more than {DEEPEST} multiparts within each other")]
    Deep,
    /// A header that is larger than what is kept of one.
    #[error("the header of a part is larger than 1 MiB")]
    LargeHeader,
}

struct PartsSeen<A, F> {
    choose: F,
    plan: PartPlan<A>,
    entities: usize,
    /// The part at hand.
    part: Option<(MimePart, BodyDecoder)>,
    /// The depth of the multipart that is signed or encrypted.
    protected: Option<usize>,
    fault: Option<Unsurveyed>,
    decoded: Vec<u8>,
}

impl<A, F: FnMut(&MimePart) -> Option<A>> PartSurvey<A, F> {
    /// Begins at the header of a message.
    pub fn new(choose: F) -> Self {
        let plan = PartPlan { wanted: BTreeMap::new(), parts: 0 };
        let seen = PartsSeen {
            choose,
            plan,
            entities: 0,
            part: None,
            protected: None,
            fault: None,
            decoded: Vec::new(),
        };
        Self { walk: Walk::into_all(), seen }
    }

    /// Takes the next piece of the content.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.seen.fault.is_none() {
            self.walk.feed(piece, &mut self.seen);
        }
    }

    /// The content is complete.
    pub fn finish(self) -> Result<PartPlan<A>, Unsurveyed> {
        let Self { walk, mut seen } = self;
        walk.finish(&mut seen);
        seen.end_part();
        seen.fault.map_or(Ok(seen.plan), Err)
    }
}

impl<A, F: FnMut(&MimePart) -> Option<A>> PartsSeen<A, F> {
    fn end_part(&mut self) {
        let Some((mut part, decoder)) = self.part.take() else { return };
        self.decoded.clear();
        decoder.finish(&mut self.decoded);
        part.size += self.decoded.len() as u64;
        self.plan.parts += 1;
        if let Some(action) = (self.choose)(&part) {
            if self.plan.wanted.len() >= MOST_WANTED {
                self.fault.get_or_insert(Unsurveyed::ManyWanted);
            } else {
                self.plan.wanted.insert(part.entity, (part, action));
            }
        }
    }
}

impl<A, F: FnMut(&MimePart) -> Option<A>> Visitor for PartsSeen<A, F> {
    fn header(&mut self, header: &[u8], entity: Entity) {
        self.end_part();
        let number = self.entities;
        self.entities += 1;
        if self.entities > MOST_ENTITIES {
            self.fault.get_or_insert(Unsurveyed::ManyParts);
        }
        self.protected = self.protected.filter(|around| entity.depth > *around);
        let encoding = match entity.content {
            EntityContent::Body(encoding) => encoding.into(),
            EntityContent::Entities => BodyEncoding::Unknown,
        };
        let mut part = MimePart::of(header, number, encoding);
        part.is_protected = self.protected.is_some() || part.is_secured();
        if entity.content == EntityContent::Entities {
            if part.kind == "multipart" && part.is_protected && self.protected.is_none() {
                self.protected = Some(entity.depth);
            }
            return;
        }
        if part.kind == "multipart" && entity.depth >= DEEPEST {
            self.fault.get_or_insert(Unsurveyed::Deep);
        }
        self.part = Some((part, BodyDecoder::of(encoding)));
    }

    fn body(&mut self, octets: &[u8]) {
        if let Some((part, decoder)) = &mut self.part {
            self.decoded.clear();
            decoder.feed(octets, &mut self.decoded);
            part.size += self.decoded.len() as u64;
        }
    }

    fn delimiter(&mut self, _line: &[u8]) {
        // The line end before it is not the part's.
        if let Some((part, _)) = self.part.as_mut().filter(|(_, decoder)| decoder.has_lines()) {
            part.size = part.size.saturating_sub(2);
        }
        self.end_part();
    }

    fn between(&mut self, _octets: &[u8]) {}

    fn lost(&mut self) {
        self.fault.get_or_insert(Unsurveyed::LargeHeader);
    }
}

impl From<Encoding> for BodyEncoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::QuotedPrintable => Self::QuotedPrintable,
            Encoding::Base64 => Self::Base64,
            Encoding::Other => Self::Unknown,
        }
    }
}

/// Entities of a message.
const MOST_ENTITIES: usize = 100_000;
/// Parts that are kept in mind.
const MOST_WANTED: usize = 1_000;
