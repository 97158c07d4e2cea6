//! Gives the parts that a plan names another encoding.

use super::{
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
        Self { walk: Walk::new(), plan, entities: 0, encoder: None }
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
                (self.plan.seven_bit && names_more_than_seven_bit(header)).then_some("7bit")
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
        match new {
            Some(encoding) => {
                self.out.extend(with_encoding(header, encoding, entity.is_message));
            }
            None => self.out.extend_from_slice(header),
        }
    }

    fn body(&mut self, octets: &[u8]) {
        match self.encoder {
            Some(Encoder::Quoted(encoder)) => encoder.feed(octets, self.out),
            Some(Encoder::Base64(encoder)) => encoder.feed(octets, self.out),
            None => self.out.extend_from_slice(octets),
        }
    }

    fn between(&mut self, octets: &[u8]) {
        self.end_body();
        self.out.extend_from_slice(octets);
    }

    fn lost(&mut self) {}
}
