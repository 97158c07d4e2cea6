//! Answers of one connection: how much of each has come, and whether anybody asked for it.

use std::collections::HashMap;

use super::messages::{ENTRY, INTERMEDIATE, Malformed, Messages, Passing, REFERENCE};

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Answers {
    from_server: Messages,
    from_us: Messages,
    /// Octets of one answer at most.
    largest: u64,
    /// Answers that have not come to their end.
    open: HashMap<u32, OpenAnswer>,
    /// Octets of all of these.
    octets: u64,
    /// Messages that nobody waits for, since somebody gave up waiting.
    stray: u64,
}

/// One of them.
#[derive(Clone, Copy, Debug, Default)]
struct OpenAnswer {
    is_search: bool,
    messages: u64,
    octets: u64,
}

/// Why a connection ends.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Excess {
    /// By one message.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// By all entries of a search together.
    #[error("the server's answer to one search is longer than {0} octets (max_answer)")]
    TooLong(u64),
    /// By their number.
    #[error("the server's answer to one search has more than {MOST_MESSAGES} messages")]
    TooMany,
    /// By all answers together.
    #[error("the server's answers are longer than {0} octets, and none of them comes to its end")]
    Together(u64),
    /// To nobody.
    #[error("the server sends on and on what nobody asked for")]
    Stray,
    /// The wrong kind of answer.
    #[error("the server answers a search by an operation {0:#04x}")]
    WrongKind(u8),
    /// Requests that nobody answers.
    #[error("the server leaves more than {MOST_OPEN} requests unanswered")]
    Unanswered,
}

impl Answers {
    /// A new connection.
    pub(super) fn new(largest: u64) -> Self {
        Self {
            from_server: Messages::of_server(largest),
            from_us: Messages::of_client(u64::MAX),
            largest,
            open: HashMap::new(),
            octets: 0,
            stray: 0,
        }
    }

    /// Octets for the server.
    pub(super) fn ask(&mut self, octets: &[u8]) -> Result<(), Excess> {
        let Self { from_us, open, octets: all, stray, .. } = self;
        from_us.follow(octets, |request| {
            if let Some(id) = request.abandoned {
                *all -= open.remove(&id).map_or(0, |answer| answer.octets);
                *stray = 0;
            } else if request.operation != UNBIND {
                let is_search = request.operation == SEARCH;
                open.insert(request.id, OpenAnswer { is_search, ..OpenAnswer::default() });
                if open.len() > MOST_OPEN {
                    return Err(Excess::Unanswered);
                }
            }
            Ok(())
        })
    }

    /// Octets of the server.
    pub(super) fn hear(&mut self, octets: &[u8]) -> Result<(), Excess> {
        let Self { from_server, largest, open, octets: all, stray, .. } = self;
        let largest = *largest;
        from_server.follow(octets, |Passing { id, operation, octets, .. }| {
            let Some(answer) = open.get_mut(&id) else {
                *stray += 1;
                return if *stray > MOST_MESSAGES { Err(Excess::Stray) } else { Ok(()) };
            };
            if matches!(operation, ENTRY | REFERENCE | INTERMEDIATE) {
                answer.messages += 1;
                answer.octets += octets;
                *all += octets;
                let together = MOST_TOGETHER * largest;
                return match () {
                    () if answer.octets > largest => Err(Excess::TooLong(largest)),
                    () if answer.messages > MOST_MESSAGES => Err(Excess::TooMany),
                    () if *all > together => Err(Excess::Together(together)),
                    () => Ok(()),
                };
            }
            let is_search = answer.is_search;
            *all -= open.remove(&id).map_or(0, |answer| answer.octets);
            // The library would not know what to do with it.
            if is_search && operation != DONE { Err(Excess::WrongKind(operation)) } else { Ok(()) }
        })
    }
}

/// Entries and references of one search; the server is asked for ten entries.
const MOST_MESSAGES: u64 = 1_000;
/// Answers of the longest kind that a connection holds.
const MOST_TOGETHER: u64 = 4;
/// Requests; 64 searches at most are waited for.
const MOST_OPEN: usize = 4_096;
// RFC 4511, section 4: tags of operations.
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const DONE: u8 = 0x65;

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of an operation with so many octets of content.
    fn message(id: u8, operation: u8, length: u8) -> Vec<u8> {
        let content = match operation {
            // A name, and no attributes.
            ENTRY => {
                [&[4, length - 4][..], &vec![b'x'; usize::from(length) - 4], &[0x30, 0]].concat()
            }
            REFERENCE | SEARCH => {
                [&[4, length - 2][..], &vec![b'x'; usize::from(length) - 2]].concat()
            }
            // A result.
            _ => vec![0x0a, 1, 0, 4, 0, 4, 0],
        };
        let length = content.len() as u8;
        [&[0x30, length + 5, 2, 1, id, operation, length][..], &content].concat()
    }

    fn abandon(id: u8) -> Vec<u8> {
        vec![0x30, 0x06, 0x02, 0x01, 0x63, 0x50, 0x01, id]
    }

    #[test]
    fn an_answer_is_bounded_in_octets_and_messages() {
        let asked = |ids: std::ops::Range<u8>| {
            let mut answers = Answers::new(1_000);
            ids.for_each(|id| answers.ask(&message(id, SEARCH, 20)).unwrap());
            answers
        };
        let mut answers = asked(1..2);
        let entry = message(1, ENTRY, 93);
        (0..10).for_each(|_| answers.hear(&entry).unwrap());
        assert_eq!(answers.hear(&entry), Err(Excess::TooLong(1_000)));
        let mut answers = Answers::new(1 << 20);
        answers.ask(&message(1, SEARCH, 20)).unwrap();
        (0..1_000).for_each(|_| answers.hear(&message(1, REFERENCE, 9)).unwrap());
        assert_eq!(answers.hear(&message(1, ENTRY, 9)), Err(Excess::TooMany));
        let mut answers = asked(1..10);
        for id in 1..5 {
            (0..10).for_each(|_| answers.hear(&message(id, ENTRY, 93)).unwrap());
        }
        assert_eq!(answers.hear(&entry_of(9)), Err(Excess::Together(4_000)));
        // An answer at its end counts no more.
        let mut answers = asked(1..2);
        for _ in 0..50 {
            answers.ask(&message(1, SEARCH, 20)).unwrap();
            (0..9).for_each(|_| answers.hear(&entry).unwrap());
            answers.hear(&message(1, DONE, 7)).unwrap();
        }
        assert_eq!((answers.octets, answers.open.len()), (0, 0));
    }

    fn entry_of(id: u8) -> Vec<u8> {
        message(id, ENTRY, 93)
    }

    #[test]
    fn what_nobody_asked_for_has_an_end() {
        let mut answers = Answers::new(1_000);
        answers.ask(&message(1, SEARCH, 20)).unwrap();
        answers.hear(&entry_of(1)).unwrap();
        answers.ask(&abandon(1)).unwrap();
        assert_eq!((answers.octets, answers.open.len()), (0, 0));
        (0..1_000).for_each(|_| answers.hear(&entry_of(1)).unwrap());
        assert_eq!(answers.hear(&entry_of(1)), Err(Excess::Stray));
        let mut answers = Answers::new(1_000);
        answers.ask(&message(1, SEARCH, 20)).unwrap();
        assert_eq!(answers.hear(&message(1, 0x61, 7)), Err(Excess::WrongKind(0x61)));
    }
}
