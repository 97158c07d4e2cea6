//! Envelopes that borrow from their records: a listing reads a million of them, and keeps none.

use std::sync::Arc;

use relais_channels::mail::{
    Envelope, MessageId, Notify, Origin, OriginalRecipient, Priority, Return, XQuota,
};
use serde::Deserialize;

use crate::envelope_octets::{Behind, decode_envelope, quotas_behind};

/// The envelope of a message as its record has it. Only the header of the record has been checked.
#[derive(Clone, Copy, Debug)]
pub struct EncodedEnvelope<'a>(pub &'a [u8]);

/// An [`Envelope`] that borrows. The fields are those of the record, in their order.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "a record is read field by field")]
pub struct BorrowedEnvelope<'a> {
    id: MessageId,
    /// Milliseconds since 1970.
    pub received: u64,
    /// The sender without angle brackets; empty for the null sender.
    pub sender: &'a str,
    source_channel: &'a str,
    client: &'a str,
    eight_bit: bool,
    priority: Priority,
    #[serde(borrow)]
    envelope_id: Option<&'a str>,
    returned: Option<Return>,
    #[serde(borrow)]
    held: Option<&'a str>,
    /// Octets of content.
    pub size: u64,
    /// Recipients, grouped by the way they go.
    #[serde(borrow)]
    pub entries: Vec<BorrowedEntry<'a>>,
}

/// An [`Entry`](relais_channels::mail::Entry) that borrows.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "a record is read field by field")]
pub struct BorrowedEntry<'a> {
    channel: &'a str,
    host: &'a str,
    /// At most 64.
    #[serde(borrow)]
    pub recipients: Vec<BorrowedRecipient<'a>>,
}

/// A [`Recipient`](relais_channels::mail::Recipient) that borrows.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "a record is read field by field")]
pub struct BorrowedRecipient<'a> {
    address: &'a str,
    /// As the sender wrote it.
    pub original: &'a str,
    notify: Notify,
    original_recipient: Option<OriginalRecipient>,
    /// The address that an alias, a list or a forward made of it.
    #[serde(skip)]
    pub member: Option<Arc<str>>,
    /// The quota that the directory gives its mailbox.
    #[serde(skip)]
    pub quota: Option<XQuota>,
}

impl<'a> EncodedEnvelope<'a> {
    /// The envelope; `None` when it is damaged.
    pub fn decode(self) -> Option<Envelope> {
        decode_envelope(self.0)
    }

    /// The envelope as it lies in the record; `None` when it is damaged.
    pub fn borrow(self) -> Option<BorrowedEnvelope<'a>> {
        let (mut envelope, rest) =
            postcard::take_from_bytes::<BorrowedEnvelope<'_>>(self.0).ok()?;
        if !rest.is_empty() {
            let ((_, origins), rest) = postcard::take_from_bytes::<Behind>(rest).ok()?;
            for (number, index, Origin { member, .. }) in origins {
                let entry = envelope.entries.get_mut(usize::from(number))?;
                entry.recipients.get_mut(usize::from(index))?.member = Some(member);
            }
            for (number, index, quota) in quotas_behind(rest) {
                let entry = envelope.entries.get_mut(usize::from(number))?;
                entry.recipients.get_mut(usize::from(index))?.quota = Some(quota);
            }
        }
        Some(envelope)
    }
}

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Entry, Fragments, Recipient, Rerouted, TlsWish};

    use super::*;
    use crate::envelope_octets::append_envelope;

    /// An envelope in which nothing is absent.
    fn full() -> Envelope {
        let mut listed = Recipient::new("ann@store.example", "list@example.org");
        let member = "ann@example.org".into();
        listed.origin = Some(Box::new(Origin { member, ..Origin::default() }));
        listed.quota = Some(Arc::new(XQuota { size: 1 << 40, messages: -1 }));
        listed.notify = Notify::On { success: true, failure: true, delay: false };
        let entry = |recipients| Entry { channel: "a".into(), host: "b".into(), recipients };
        Envelope {
            id: MessageId(7),
            received: 1_788_133_501_123,
            sender: "Grüße@example.org".to_owned(),
            source_channel: "tcp_local".into(),
            client: "mx [192.0.2.1]".into(),
            eight_bit: true,
            smtputf8: true,
            priority: Priority::Nonurgent,
            envelope_id: Some("QQ".to_owned()),
            returned: Some(Return::Headers),
            held: Some("too many".to_owned()),
            login: Some("carol".into()),
            rerouted: Some(Rerouted { at: 5, entry: 0, recipients: 1, form: 0 }),
            tls: TlsWish::Required,
            fragments: Some(Arc::new(Fragments::Whole { pieces: vec![(MessageId(3), 1)] })),
            size: 70_000,
            entries: vec![
                entry(Vec::new()),
                entry(vec![Recipient::new("bob@store.example", "bob@example.org"), listed]),
            ],
        }
    }

    #[test]
    fn an_envelope_that_borrows_says_the_same() {
        let plain = Envelope {
            sender: String::new(),
            envelope_id: None,
            returned: None,
            held: None,
            rerouted: None,
            login: None,
            entries: vec![Entry {
                channel: "a".into(),
                host: "b".into(),
                recipients: vec![Recipient::new("x", "y")],
            }],
            ..full()
        };
        for envelope in [full(), plain] {
            let mut bytes = Vec::new();
            append_envelope(&envelope, &mut bytes);
            let encoded = EncodedEnvelope(&bytes);
            assert_eq!(encoded.decode().as_ref(), Some(&envelope));
            let borrowed = encoded.borrow().unwrap();
            assert_eq!(
                (borrowed.received, borrowed.sender, borrowed.size),
                (envelope.received, &*envelope.sender, envelope.size)
            );
            assert_eq!(borrowed.entries.len(), envelope.entries.len());
            for (borrowed, entry) in borrowed.entries.iter().zip(&envelope.entries) {
                let seen = borrowed.recipients.iter();
                let seen: Vec<_> = seen
                    .map(|to| (to.original, to.member.as_deref().unwrap_or(to.original), to.quota))
                    .collect();
                let want = entry.recipients.iter();
                let want =
                    want.map(|to| (&*to.original, to.member(), to.quota.as_deref().copied()));
                assert_eq!(seen, want.collect::<Vec<_>>());
            }
            for cut in 0..bytes.len() - 1 {
                let encoded = EncodedEnvelope(&bytes[..cut]);
                assert_eq!(encoded.borrow().is_some(), encoded.decode().is_some(), "{cut}");
            }
        }
    }
}
