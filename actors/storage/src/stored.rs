//! A message that is safe, as storage tells of it.

use std::sync::Arc;

use relais_channels::mail::{Envelope, MessageId, Priority};
use relais_config::channel::MAX_ADDRSPERFILE;

use crate::{
    envelope_octets::{form_of, rerouted_at},
    place::Place,
    state::EntryState,
};

/// A message that is safe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// The queue id.
    pub id: MessageId,
    /// Milliseconds since 1970.
    pub received: u64,
    /// Bytes of content.
    pub size: u64,
    /// How urgent it is.
    pub priority: Priority,
    /// It is held from the beginning.
    pub held: bool,
    /// When it was routed again, in milliseconds since 1970; 0: never.
    pub rerouted: u64,
    /// The content is in a file of its own.
    pub blob: bool,
    /// Which of its files that is.
    pub form: u8,
    /// Where it is.
    pub place: Place,
    /// Its entries, in the order of the envelope; each of them as [`Stored::initial`] says. See
    /// [`Stored::own_entries`].
    pub entries: Arc<[StoredEntry]>,
}

/// One entry of a stored message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredEntry {
    /// The channel it leaves by.
    pub channel: Arc<str>,
    /// The host it goes to.
    pub host: Arc<str>,
    /// How many recipients it has; 1 to 64. None: it stands for one of an earlier record.
    pub recipients: u8,
    /// Its recipients get a message of which this is a piece: it is held from the beginning.
    pub waits: bool,
}

/// Why an envelope cannot be queued: a mistake of the caller.
#[derive(Debug)]
pub struct BadEnvelope(pub &'static str);

impl Stored {
    /// The entries that this record brings, each with its number. The others are of an earlier
    /// record of the same message.
    pub fn own_entries(&self) -> impl Iterator<Item = (u16, &StoredEntry)> {
        (0..).zip(self.entries.iter()).filter(|(_, entry)| entry.recipients > 0)
    }

    /// The state in which an entry begins. What was routed again is due since then: by this a round
    /// sees that it has to be tried before it is returned.
    pub fn initial(&self, entry: &StoredEntry) -> EntryState {
        let open = EntryState::fresh(entry.recipients.into()).open();
        if self.held || entry.waits {
            EntryState::Held { open, attempts: 0 }
        } else {
            EntryState::Waiting { open, attempts: 0, due: self.rerouted }
        }
    }

    /// A message as its envelope has it; `blob`: its content is in a file of its own.
    pub fn of(envelope: &Envelope, blob: bool, place: Place) -> Self {
        Self::with(envelope, blob, place, entries_of(envelope))
    }

    /// The same with the entries of the envelope, which were taken from it before.
    pub fn with(
        envelope: &Envelope,
        blob: bool,
        place: Place,
        entries: Arc<[StoredEntry]>,
    ) -> Self {
        Self {
            id: envelope.id,
            received: envelope.received,
            size: envelope.size,
            priority: envelope.priority,
            held: envelope.held.is_some(),
            rerouted: rerouted_at(envelope),
            blob,
            form: form_of(envelope),
            place,
            entries,
        }
    }
}

/// The entries of an envelope, those of earlier records included.
pub fn entries_of(envelope: &Envelope) -> Arc<[StoredEntry]> {
    let fragments = envelope.fragments.as_deref();
    let entry = |(number, entry): (u16, &relais_channels::mail::Entry)| StoredEntry {
        channel: Arc::clone(&entry.channel),
        host: Arc::clone(&entry.host),
        recipients: entry.recipients.len() as u8,
        waits: fragments.is_some_and(|its| its.waits(number)),
    };
    (0..).zip(&envelope.entries).map(entry).collect()
}

/// Refuses an envelope that has no recipients of its own, or too many.
pub fn check_envelope(envelope: &Envelope) -> Result<(), BadEnvelope> {
    let entries = &envelope.entries;
    if entries.is_empty() || entries.len() > usize::from(u16::MAX) {
        return Err(BadEnvelope("it must have 1 to 65535 entries"));
    }
    let own = entries.iter().skip_while(|entry| entry.recipients.is_empty());
    if own.clone().next().is_none() {
        return Err(BadEnvelope("it must have an entry of its own"));
    }
    if own.clone().any(|entry| !(1..=MAX_ADDRSPERFILE).contains(&entry.recipients.len())) {
        return Err(BadEnvelope("an entry must have 1 to 64 recipients"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Entry, Fragment, Fragments, Recipient, Rerouted};

    use super::*;

    /// A message for two, by an entry that an earlier record has and one of its own.
    fn envelope() -> Envelope {
        let entry = |to: &[&str]| {
            let recipients = to.iter().map(|to| Recipient::new(*to, *to)).collect();
            Entry { channel: "a".into(), host: "b".into(), recipients }
        };
        let entries = vec![entry(&[]), entry(&["bob@example.org", "ann@example.org"])];
        Envelope {
            rerouted: Some(Rerouted { at: 5, entry: 0, recipients: 3, form: 0 }),
            ..Envelope::plain(MessageId(7), 1, entries)
        }
    }

    #[test]
    fn entries_begin_as_their_envelope_says() {
        let piece = Fragment { id: "ABC@host.com".to_owned(), number: 2, total: Some(3) };
        let waits = Fragments::Piece { piece, waits: vec![1] };
        let whole = Fragments::Whole { pieces: vec![(MessageId(1), 0), (MessageId(1 << 60), 1)] };
        let (open, place) = (3, Place { segment: 1, offset: 2, length: 3 });
        let rows = [
            (envelope(), EntryState::Waiting { open, attempts: 0, due: 5 }),
            (
                Envelope { held: Some("why".to_owned()), ..envelope() },
                EntryState::Held { open, attempts: 0 },
            ),
            (
                Envelope { fragments: Some(Arc::new(waits)), ..envelope() },
                EntryState::Held { open, attempts: 0 },
            ),
            (
                Envelope { fragments: Some(Arc::new(whole)), ..envelope() },
                EntryState::Waiting { open, attempts: 0, due: 5 },
            ),
            (
                Envelope { rerouted: None, ..envelope() },
                EntryState::Waiting { open, attempts: 0, due: 0 },
            ),
        ];
        for (envelope, want) in rows {
            let stored = Stored::of(&envelope, false, place);
            let own: Vec<_> = stored.own_entries().collect();
            assert_eq!(own.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1]);
            assert_eq!(stored.initial(own[0].1), want);
        }
    }

    #[test]
    fn an_envelope_needs_recipients_of_its_own() {
        assert!(check_envelope(&envelope()).is_ok());
        let mut many = envelope();
        many.entries[1].recipients = vec![Recipient::new("a", "a"); MAX_ADDRSPERFILE + 1];
        let mut none = envelope();
        none.entries.truncate(1);
        let mut empty = envelope();
        empty.entries.clear();
        for refused in [many, none, empty] {
            assert!(check_envelope(&refused).is_err());
        }
    }
}
