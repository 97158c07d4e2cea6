//! Messages of LDAP as they pass by, octet by octet: how long each is, whom it answers, and whether
//! it has the form that the protocol allows (RFC 4511 section 5.1: definite lengths alone).
//!
//! [`Messages`] keeps no content. Every length is compared with what it lies in before anything of it
//! is passed on, so that the library behind sees no message that is longer, deeper or of more parts
//! than one of ours.

/// Follows the messages of one direction of a connection.
#[derive(Debug)]
pub(super) struct Messages {
    /// Octets of a message at most.
    largest: u64,
    /// A server's messages: the form of entries and results is looked at, too.
    is_answer: bool,
    /// The header that is being read: a tag, and octets of a length.
    header: [u8; MOST_HEADER],
    read: usize,
    /// Octets that are left of each element around this place.
    open: [u64; DEEPEST],
    depth: usize,
    /// Elements so far in each of those around this place.
    places: [u8; DEEPEST],
    /// Octets that are left of an element that holds no others.
    content: u64,
    /// Elements of this message so far.
    elements: u64,
    /// Elements of the message itself so far: its number, its operation, its controls.
    parts: u8,
    /// The content of a part that is a number.
    number: u32,
    id: u32,
    operation: u8,
    octets: u64,
}

/// One message, told as soon as its kind is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Passing {
    /// The request's number; 0 belongs to none.
    pub(super) id: u32,
    /// Its tag.
    pub(super) operation: u8,
    /// Its length, header included.
    pub(super) octets: u64,
    /// The number of the request that it abandons.
    pub(super) abandoned: Option<u32>,
}

/// Octets that are no message of LDAP, or one that is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Malformed {
    /// Longer than is taken.
    #[error("the server announced a message of {octets} octets, limit {limit} (max_answer)")]
    TooLong {
        /// Its length.
        octets: u64,
        /// The limit.
        limit: u64,
    },
    /// Its end is not told beforehand.
    #[error("the server announced a message of no definite length")]
    Indefinite,
    /// Parts of parts of parts.
    #[error("the server sent a message whose parts lie in each other more than {DEEPEST} deep")]
    TooDeep,
    /// More parts than any entry has.
    #[error("the server sent a message of more than {0} parts")]
    TooManyParts(u64),
    /// Something else.
    #[error("what the server sent is no message of LDAP: {0}")]
    NoMessage(&'static str),
}

impl Messages {
    /// The direction from the server of a new connection.
    pub(super) fn of_server(largest: u64) -> Self {
        Self { is_answer: true, ..Self::of_client(largest) }
    }

    /// The direction towards the server.
    pub(super) fn of_client(largest: u64) -> Self {
        Self {
            largest,
            is_answer: false,
            places: [0; DEEPEST],
            header: [0; MOST_HEADER],
            read: 0,
            open: [0; DEEPEST],
            depth: 0,
            content: 0,
            elements: 0,
            parts: 0,
            number: 0,
            id: 0,
            operation: 0,
            octets: 0,
        }
    }

    /// Reads on; each message is told once.
    pub(super) fn follow<E: From<Malformed>>(
        &mut self,
        mut octets: &[u8],
        mut tell: impl FnMut(Passing) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((octet, rest)) = octets.split_first() {
            if self.content > 0 {
                let length = usize::try_from(self.content).unwrap_or(usize::MAX).min(octets.len());
                let (content, rest) = octets.split_at(length);
                octets = rest;
                self.skip(content);
                if self.content == 0
                    && let Some(passing) = self.close()?
                {
                    tell(passing)?;
                }
                continue;
            }
            octets = rest;
            self.header[self.read] = *octet;
            self.read += 1;
            let Some((tag, length)) = self.element()? else { continue };
            let header = self.read as u64;
            self.read = 0;
            if let Some(passing) = self.begin(tag, header, length)? {
                tell(passing)?;
            }
        }
        Ok(())
    }

    /// The tag and the length of an element whose header is complete.
    fn element(&self) -> Result<Option<(u8, u64)>, Malformed> {
        let header = &self.header[..self.read];
        let tag = header[0];
        if tag & 0x1f == 0x1f {
            return Err(Malformed::NoMessage("a tag of several octets"));
        }
        let Some(first) = header.get(1) else { return Ok(None) };
        let count = match first {
            0..0x80 => return Ok(Some((tag, u64::from(*first)))),
            0x80 => return Err(Malformed::Indefinite),
            first => usize::from(first & 0x7f),
        };
        if count > MOST_HEADER - 2 {
            return Err(Malformed::NoMessage("a length of more than eight octets"));
        }
        let digits = &header[2..];
        let length = || digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit));
        Ok((digits.len() == count).then(|| (tag, length())))
    }

    /// An element begins.
    fn begin(&mut self, tag: u8, header: u64, length: u64) -> Result<Option<Passing>, Malformed> {
        let whole = header.saturating_add(length);
        match self.depth.checked_sub(1) {
            None => self.begin_message(tag, whole)?,
            Some(around) => {
                let longer = Malformed::NoMessage("a part is longer than what it lies in");
                self.open[around] = self.open[around].checked_sub(whole).ok_or(longer)?;
                self.elements += 1;
                let most = self.largest / 16 + 1_000;
                if self.elements > most {
                    return Err(Malformed::TooManyParts(most));
                }
            }
        }
        if self.depth == 1 {
            self.begin_part(tag, length)?;
        } else if self.is_answer && self.parts == 2 && self.depth > 1 {
            let place = &mut self.places[self.depth - 1];
            if !may_stand(self.operation, self.depth, *place, tag) {
                return Err(Malformed::NoMessage("an entry or a result is made of something else"));
            }
            *place = place.saturating_add(1);
        }
        let is_told = self.depth == 1 && self.parts == 2 && tag != ABANDON;
        let passing = is_told.then(|| self.passing(None));
        if tag & CONSTRUCTED != 0 {
            if self.depth == DEEPEST {
                return Err(Malformed::TooDeep);
            }
            (self.open[self.depth], self.places[self.depth]) = (length, 0);
            self.depth += 1;
        } else {
            self.content = length;
        }
        Ok(if self.content == 0 { self.close()?.or(passing) } else { passing })
    }

    fn begin_message(&mut self, tag: u8, whole: u64) -> Result<(), Malformed> {
        if tag != SEQUENCE {
            return Err(Malformed::NoMessage("it does not begin with a sequence"));
        }
        if whole > self.largest {
            return Err(Malformed::TooLong { octets: whole, limit: self.largest });
        }
        (self.elements, self.parts, self.octets) = (0, 0, whole);
        Ok(())
    }

    /// The number, the operation, controls.
    fn begin_part(&mut self, tag: u8, length: u64) -> Result<(), Malformed> {
        self.number = 0;
        match self.parts {
            0 if tag == INTEGER && (1..=4).contains(&length) => {}
            0 => return Err(Malformed::NoMessage("its number is none")),
            1 if tag & CLASS == APPLICATION => {
                self.operation = tag;
                if tag == ABANDON && length > 4 {
                    return Err(Malformed::NoMessage("it abandons no number"));
                }
            }
            1 => return Err(Malformed::NoMessage("its operation is none")),
            // Active Directory puts the name of a notice where the controls stand.
            2 if matches!(tag, 0xa0 | 0x8a | 0xaa) => {}
            _ => return Err(Malformed::NoMessage("something stands behind its controls")),
        }
        self.parts += 1;
        Ok(())
    }

    fn skip(&mut self, content: &[u8]) {
        self.content -= content.len() as u64;
        if self.depth == 1 {
            self.number = content.iter().fold(self.number, |n, octet| n << 8 | u32::from(*octet));
        }
    }

    /// Leaves the elements that end here; an abandoned request is told when its number is known.
    fn close(&mut self) -> Result<Option<Passing>, Malformed> {
        let mut told = None;
        if self.depth == 1 {
            match self.parts {
                1 => self.id = self.number,
                2 if self.operation == ABANDON => told = Some(self.passing(Some(self.number))),
                _ => {}
            }
        }
        while self.depth > 0 && self.open[self.depth - 1] == 0 {
            let needed = if self.is_answer && self.parts == 2 {
                parts_of(self.operation, self.depth)
            } else {
                0
            };
            if self.places[self.depth - 1] < needed {
                return Err(Malformed::NoMessage("an entry or a result lacks a part"));
            }
            self.depth -= 1;
        }
        if self.depth == 0 && self.parts < 2 {
            return Err(Malformed::NoMessage("a message without an operation"));
        }
        Ok(told)
    }

    fn passing(&self, abandoned: Option<u32>) -> Passing {
        Passing { id: self.id, operation: self.operation, octets: self.octets, abandoned }
    }
}

/// Whether an element may be the one of this number in a part of an answer: 2 deep lie the parts of
/// its operation. The library panics on others.
fn may_stand(operation: u8, depth: usize, place: u8, tag: u8) -> bool {
    match (operation, depth, place) {
        (ENTRY, 2 | 4, 0) | (ENTRY, 5, _) | (REFERENCE, 2, _) => tag == OCTETS,
        (ENTRY, 2, 1) | (ENTRY, 3, _) => tag == SEQUENCE,
        (ENTRY, 4, 1) => tag == SET,
        (ENTRY | REFERENCE, ..) => false,
        (INTERMEDIATE, ..) => true,
        (_, 2, 0) => tag == ENUMERATED,
        (_, 2, 1 | 2) => tag == OCTETS,
        _ => true,
    }
}

/// Elements that a part of an answer has at least.
fn parts_of(operation: u8, depth: usize) -> u8 {
    match (operation, depth) {
        (ENTRY, 2 | 4) => 2,
        (ENTRY | REFERENCE | INTERMEDIATE, _) => 0,
        (_, 2) => 3,
        _ => 0,
    }
}

/// A tag, the octet that counts the octets of the length, and eight of these.
const MOST_HEADER: usize = 10;
/// An entry's value lies five deep, a filter of ours some twenty.
const DEEPEST: usize = 40;
const CONSTRUCTED: u8 = 0x20;
const CLASS: u8 = 0xc0;
const APPLICATION: u8 = 0x40;
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SET: u8 = 0x31;
// RFC 4511, section 4: tags of operations.
pub(super) const ENTRY: u8 = 0x64;
pub(super) const REFERENCE: u8 = 0x73;
pub(super) const INTERMEDIATE: u8 = 0x79;
const ABANDON: u8 = 0x50;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 1_000;

    fn follow(messages: &mut Messages, octets: &[u8]) -> Result<Vec<Passing>, Malformed> {
        let mut told = Vec::new();
        messages.follow(octets, |passing| {
            told.push(passing);
            Ok::<_, Malformed>(())
        })?;
        Ok(told)
    }

    fn passing(id: u32, operation: u8, octets: u64) -> Passing {
        Passing { id, operation, octets, abandoned: None }
    }

    /// An entry `x` without attributes, its end, and a request that is given up.
    const ENTRY: &[u8] = b"\x30\x0a\x02\x01\x07\x64\x05\x04\x01x\x30\x00";
    const DONE: &[u8] = b"\x30\x0c\x02\x01\x07\x65\x07\x0a\x01\x00\x04\x00\x04\x00";
    const ABANDONED: &[u8] = b"\x30\x07\x02\x02\x01\x00\x50\x01\x07";

    #[test]
    fn messages_are_told_however_they_are_cut() {
        let all = [ENTRY, DONE, ABANDONED].concat();
        let want = [
            passing(7, 0x64, 12),
            passing(7, 0x65, 14),
            Passing { id: 256, operation: 0x50, octets: 9, abandoned: Some(7) },
        ];
        for size in 1..=all.len() {
            let mut messages = Messages::of_server(LIMIT);
            let mut told = Vec::new();
            for piece in all.chunks(size) {
                told.extend(follow(&mut messages, piece).unwrap());
            }
            assert_eq!(told, want, "{size} octets at a time");
            assert_eq!((messages.depth, messages.read), (0, 0));
        }
        // Controls, and the notice of Active Directory.
        let notice = b"\x30\x10\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00\x8a\x02\x31\x32";
        assert_eq!(
            follow(&mut Messages::of_server(LIMIT), notice).unwrap(),
            [passing(0, 0x78, 18)]
        );
    }

    /// A message around these octets, of an operation without a form of its own.
    fn message(body: &[u8]) -> Vec<u8> {
        let around = |tag: u8, body: &[u8]| {
            [&[tag, 0x83], &(body.len() as u32).to_be_bytes()[1..], body].concat()
        };
        around(0x30, &[b"\x02\x01\x07", &around(INTERMEDIATE, body)[..]].concat())
    }

    #[test]
    fn what_is_no_message_of_ours_ends_at_its_first_octets() {
        let rows: [(&[u8], &str); 21] = [
            (b"\x30\x84\x80\x00\x00\x00", "of 2147483654 octets, limit 1000 (max_answer)"),
            (b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff", "of 18446744073709551615 octets"),
            (b"\x30\x82\x04\x00", "of 1028 octets"),
            (b"\x30\x80", "no definite length"),
            (b"\x30\xff", "more than eight octets"),
            (b"\x30\x89", "more than eight octets"),
            (b"HT", "does not begin with a sequence"),
            (b"\x3f", "a tag of several octets"),
            (b"\x30\x00", "without an operation"),
            (b"\x30\x03\x02\x01\x07", "without an operation"),
            (b"\x30\x0c\x04\x01", "its number is none"),
            (b"\x30\x0c\x02\x01\x07\x04\x00", "its operation is none"),
            (b"\x30\x05\x02\x01\x07\x64\x7f", "longer than what it lies in"),
            (b"\x30\x09\x02\x01\x07\x64\x04\x30\x80", "no definite length"),
            (b"\x30\x05\x02\x01\x07\x64\x00", "lacks a part"),
            (b"\x30\x05\x02\x01\x07\x65\x00", "lacks a part"),
            (b"\x30\x08\x02\x01\x07\x65\x03\x0a\x01\x00", "lacks a part"),
            (b"\x30\x08\x02\x01\x07\x65\x03\x02\x01", "made of something else"),
            (b"\x30\x08\x02\x01\x07\x64\x03\x02\x01", "made of something else"),
            (b"\x30\x0b\x02\x01\x07\x64\x06\x04\x00\x30\x02\x04\x00", "made of something"),
            (b"\x30\x0b\x02\x01\x07\x64\x06\x04\x00\x30\x02\x30\x00", "lacks a part"),
        ];
        for (octets, want) in rows {
            let mut messages = Messages::of_server(LIMIT);
            let mut last = Ok(Vec::new());
            for octet in octets {
                assert!(last.is_ok(), "{octets:?}: {last:?} before its last octet");
                last = follow(&mut messages, std::slice::from_ref(octet));
            }
            let error = last.expect_err(want).to_string();
            assert!(error.contains(want), "{octets:?}: {error}");
        }
    }

    #[test]
    fn parts_are_counted_and_lie_in_each_other_so_deep() {
        let nested = |depth: usize| {
            let mut body = Vec::new();
            for _ in 0..depth {
                body = [&[0x30, 0x82], &(body.len() as u16).to_be_bytes()[..], &body].concat();
            }
            follow(&mut Messages::of_server(1 << 20), &message(&body)).map(|told| told.len())
        };
        assert_eq!(nested(DEEPEST - 2), Ok(1));
        assert_eq!(nested(DEEPEST - 1), Err(Malformed::TooDeep));
        // Two octets a part; the library takes some hundred for each.
        let parts = |count: usize| {
            let body = vec![0x04; count * 2].into_iter().enumerate();
            let body: Vec<u8> = body.map(|(n, tag)| if n % 2 == 0 { tag } else { 0 }).collect();
            follow(&mut Messages::of_server(16_000), &message(&body)).map(|told| told.len())
        };
        assert_eq!(parts(1_998), Ok(1));
        assert_eq!(parts(1_999), Err(Malformed::TooManyParts(2_000)));
    }

    proptest! {
        /// A message that is taken is one for the library, too, and of the same length.
        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..200), size in 1usize..50) {
            let mut messages = Messages::of_server(LIMIT);
            for piece in octets.chunks(size) {
                if follow(&mut messages, piece).is_err() {
                    break;
                }
            }
        }
    }
}
