//! The changes of a filter carried out on a header.

use super::{breach::Breach, change::FilterChange};
use crate::mail::{fields, named};

/// A header, field by field. Our own `Received` among its first: filters do not see that and cannot
/// change it, but it counts where a field is inserted, as in sendmail and Postfix.
#[derive(Clone, Debug, Default)]
pub struct EditedHeader {
    fields: Vec<Field>,
    octets: usize,
}

#[derive(Clone, Debug)]
struct Field {
    octets: Vec<u8>,
    /// It is no `Received` of ours: filters see it.
    is_seen: bool,
}

impl EditedHeader {
    /// Our own fields, and those of the message, without the blank line.
    pub fn new(own: &[u8], header: &[u8]) -> Self {
        let is_trace =
            |field| named(field).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"received"));
        let own = fields(own).map(|field| (field, !is_trace(field)));
        let all = own.chain(fields(header).map(|field| (field, true)));
        let fields: Vec<_> =
            all.map(|(field, is_seen)| Field { octets: field.to_vec(), is_seen }).collect();
        let octets = fields.iter().map(|field| field.octets.len()).sum();
        Self { fields, octets }
    }

    /// The name of each field that filters see, and all that stands behind its colon but the CRLF at its
    /// end.
    pub fn seen(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let seen = self.fields.iter().filter(|field| field.is_seen);
        seen.filter_map(|field| {
            let (name, value) = named(&field.octets)?;
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            Some((name, value.strip_suffix(b"\r").unwrap_or(value)))
        })
    }

    /// Carries out a change of the header; others leave it as it is.
    pub fn apply(&mut self, change: FilterChange) -> Result<(), Breach> {
        match change {
            FilterChange::AddHeader(field) => self.insert(self.fields.len(), field),
            FilterChange::InsertHeader(index, field) => {
                self.insert(index.min(self.fields.len()), field);
            }
            FilterChange::ChangeHeader { name, nth, field } => {
                let mut same = self.fields.iter().enumerate().filter(|(_, its)| its.has(&name));
                let found = same.nth(nth - 1).map(|(at, _)| at);
                match (found, field) {
                    (Some(at), None) => self.octets -= self.fields.remove(at).octets.len(),
                    (Some(at), Some(field)) => {
                        self.octets -= self.fields.remove(at).octets.len();
                        self.insert(at, field);
                    }
                    // One that is not there is added.
                    (None, Some(field)) => self.insert(self.fields.len(), field),
                    (None, None) => {}
                }
            }
            FilterChange::ReplaceBody(_)
            | FilterChange::AddRecipient(_)
            | FilterChange::DeleteRecipient(_)
            | FilterChange::ChangeSender(_) => {}
        }
        if self.octets > HEADER_ROOM { Err(Breach::TooManyChanges) } else { Ok(()) }
    }

    /// The fields before the last `Received` of ours and that one, and those behind it.
    pub fn parts(&self) -> (Vec<u8>, Vec<u8>) {
        let ours = self.fields.iter().rposition(|field| !field.is_seen);
        let (before, behind) = self.fields.split_at(ours.map_or(0, |at| at + 1));
        let all = |fields: &[Field]| {
            fields.iter().flat_map(|field| field.octets.iter().copied()).collect()
        };
        (all(before), all(behind))
    }

    fn insert(&mut self, at: usize, octets: Vec<u8>) {
        // The last field may have come without its end.
        if let Some(before) = at.checked_sub(1).and_then(|at| self.fields.get_mut(at))
            && !before.octets.ends_with(b"\n")
        {
            before.octets.extend_from_slice(b"\r\n");
            self.octets += 2;
        }
        self.octets += octets.len();
        self.fields.insert(at, Field { octets, is_seen: true });
    }
}

impl Field {
    fn has(&self, wanted: &[u8]) -> bool {
        let is = |name: &[u8]| name.eq_ignore_ascii_case(wanted);
        self.is_seen && named(&self.octets).is_some_and(|(name, _)| is(name))
    }
}

/// Octets of a header that filters have made larger.
pub const HEADER_ROOM: usize = 8 << 20;
