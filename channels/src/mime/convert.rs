//! Gives the parts that a plan names another encoding.

use std::borrow::Cow;

use super::{
    downgraded,
    header::{Encoding, names_more_than_seven_bit, with_encoding},
    quoted::{Base64Lines, QuotedPrintable},
    survey::Conversion,
    walk::{Entity, EntityContent, Visitor, Walk},
};

/// Takes the content that was surveyed, in whatever pieces, and gives what is sent in its place.
#[derive(Debug)]
pub struct Converter<'p> {
    walk: Walk,
    plan: &'p Conversion,
    entities: usize,
    encoder: Option<Encoder>,
}

#[derive(Debug)]
enum Encoder {
    Quoted(QuotedPrintable),
    Base64(Base64Lines),
}

/// A converter at work, and where what it makes goes.
struct Writing<'c, 'p> {
    plan: &'p Conversion,
    entities: &'c mut usize,
    encoder: &'c mut Option<Encoder>,
    out: &'c mut Vec<u8>,
}

impl<'p> Converter<'p> {
    /// For the content of which this is the plan.
    pub fn new(plan: &'p Conversion) -> Self {
        Self { walk: Walk::new(plan.demand.ascii_header), plan, entities: 0, encoder: None }
    }

    /// Takes a piece; appends to `out` what may be sent of it.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Self { walk, plan, entities, encoder } = self;
        walk.feed(piece, &mut Writing { plan, entities, encoder, out });
    }

    /// Appends what is left at the end of the content.
    pub fn finish(self, out: &mut Vec<u8>) {
        let Self { walk, plan, mut entities, mut encoder } = self;
        let mut writing = Writing { plan, entities: &mut entities, encoder: &mut encoder, out };
        walk.finish(&mut writing);
        writing.end_body();
    }
}

impl Writing<'_, '_> {
    fn end_body(&mut self) {
        match self.encoder.take() {
            Some(Encoder::Quoted(encoder)) => encoder.finish(self.out),
            Some(Encoder::Base64(_)) | None => {}
        }
    }
}

impl Visitor for Writing<'_, '_> {
    fn header(&mut self, header: &[u8], entity: Entity) {
        self.end_body();
        let changes = self.plan.changes(*self.entities);
        *self.entities += 1;
        let new = match entity.content {
            EntityContent::Entities => {
                (self.plan.demand.seven_bit && names_more_than_seven_bit(header)).then_some("7bit")
            }
            EntityContent::Body(_) if !changes => None,
            EntityContent::Body(Encoding::QuotedPrintable) => {
                *self.encoder = Some(Encoder::Quoted(QuotedPrintable::mending()));
                None
            }
            EntityContent::Body(Encoding::Base64) => {
                *self.encoder = Some(Encoder::Base64(Base64Lines::default()));
                None
            }
            EntityContent::Body(_) => {
                *self.encoder = Some(Encoder::Quoted(QuotedPrintable::new()));
                Some("quoted-printable")
            }
        };
        let header = new.map_or(Cow::Borrowed(header), |encoding| {
            Cow::Owned(with_encoding(header, encoding, entity.is_message))
        });
        match downgraded(&header, entity).filter(|_| self.plan.demand.ascii_header) {
            Some(header) => self.out.extend(header),
            None => self.out.extend_from_slice(&header),
        }
    }

    fn body(&mut self, octets: &[u8]) {
        match self.encoder {
            Some(Encoder::Quoted(encoder)) => encoder.feed(octets, self.out),
            Some(Encoder::Base64(encoder)) => encoder.feed(octets, self.out),
            None => self.out.extend_from_slice(octets),
        }
    }

    fn delimiter(&mut self, line: &[u8]) {
        self.end_body();
        self.out.extend_from_slice(line);
    }

    fn between(&mut self, octets: &[u8]) {
        self.end_body();
        let seven_bit = self.plan.demand.seven_bit;
        // No boundary has an asterisk (RFC 2046 section 5.1.1).
        let ignored = |octet: &u8| if seven_bit && !octet.is_ascii() { b'*' } else { *octet };
        self.out.extend(octets.iter().map(ignored));
    }

    fn lost(&mut self) {}
}
