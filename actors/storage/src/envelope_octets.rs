//! Envelopes as octets: in a record of the spool, and in a row of a database.

use std::sync::Arc;

use relais_channels::mail::{
    Envelope, Fragments, Origin, PostCheck, Recipient, Rerouted, TlsWish, XQuota,
};

use crate::octets::append_postcard;

/// The envelope, and behind it what few have: an older version of the program steps over it.
pub fn append_envelope(envelope: &Envelope, out: &mut Vec<u8>) {
    append_postcard(envelope, out);
    let origins: Vec<(u16, u8, &Origin)> = numbered(envelope)
        .filter_map(|(number, index, to)| Some((number, index, to.origin.as_deref()?)))
        .collect();
    let quotas: Vec<(u16, u8, &XQuota)> = numbered(envelope)
        .filter_map(|(number, index, to)| Some((number, index, to.quota.as_deref()?)))
        .collect();
    let rerouted = envelope.rerouted;
    let checks: Vec<(u16, u8, bool)> = numbered(envelope)
        .filter_map(|(number, index, to)| {
            let is_passed = to.post_check == PostCheck::Passed;
            (to.post_check != PostCheck::Unsaid).then_some((number, index, is_passed))
        })
        .collect();
    let inboxes: Vec<(u16, u8, &str)> = numbered(envelope)
        .filter_map(|(number, index, to)| Some((number, index, to.inbox.as_deref()?)))
        .collect();
    let posting = (envelope.login.as_deref(), form_of(envelope), checks);
    let has_posting = posting.0.is_some()
        || posting.1 != 0
        || !posting.2.is_empty()
        || envelope.smtputf8
        || envelope.tls != TlsWish::Usual
        || envelope.fragments.is_some()
        || !inboxes.is_empty();
    let has_quotas = !quotas.is_empty() || has_posting;
    if !origins.is_empty() || rerouted.is_some() || has_quotas {
        append_postcard(&(rerouted.map(|rerouted| rerouted.at), origins), out);
    }
    if rerouted.is_some() || has_quotas {
        let left: Left = rerouted.map(|left| (left.entry, left.recipients)).unwrap_or_default();
        append_postcard(&left, out);
    }
    if has_quotas {
        append_postcard(&quotas, out);
    }
    if has_posting {
        append_postcard(&posting, out);
    }
    let tls = wish_to_octet(envelope.tls);
    let filed: Vec<(u16, u8)> = inboxes.iter().map(|its| (its.0, its.1)).collect();
    let last = (envelope.fragments.as_deref(), filed);
    let has_last = last.0.is_some() || !last.1.is_empty();
    if envelope.smtputf8 || tls != 0 || has_last {
        append_postcard(&envelope.smtputf8, out);
    }
    if tls != 0 || has_last {
        append_postcard(&tls, out);
    }
    if has_last {
        append_postcard(&last, out);
    }
    if !inboxes.is_empty() {
        append_postcard(&inboxes, out);
    }
}

/// Each recipient with the number of its entry, and its own.
fn numbered(envelope: &Envelope) -> impl Iterator<Item = (u16, u8, &Recipient)> {
    (0..).zip(&envelope.entries).flat_map(|(number, entry)| {
        (0..).zip(&entry.recipients).map(move |(index, recipient)| (number, index, recipient))
    })
}

/// The part behind an envelope: when it was routed again, and the origins of recipients that
/// the sender did not name.
pub(crate) type Behind = (Option<u64>, Vec<(u16, u8, Origin)>);

/// And behind it: the entry that was routed again, and its recipients, a bit each.
type Left = (u16, u64);

/// And behind that: the quotas of mailboxes.
pub(crate) type Quotas = Vec<(u16, u8, XQuota)>;

/// And behind that: the user who had logged in, the file of the content, and of recipients whether the
/// list that they are was asked.
type Posting = (Option<Arc<str>>, u8, Vec<(u16, u8, bool)>);

/// And behind the demand on TLS: the part of the message in another one, and recipients that scripts have
/// filed. The addresses of their mailboxes come last.
type Last = (Option<Fragments>, Vec<(u16, u8)>);

/// The quotas behind [`Behind`]; an older version of the program wrote none.
pub(crate) fn quotas_behind(behind: &[u8]) -> Quotas {
    split_quotas(behind).0
}

fn split_quotas(behind: &[u8]) -> (Quotas, &[u8]) {
    let (_, quotas) = postcard::take_from_bytes::<Left>(behind).unwrap_or_default();
    postcard::take_from_bytes(quotas).unwrap_or_default()
}

/// The file of the content of a large message.
pub fn form_of(envelope: &Envelope) -> u8 {
    envelope.rerouted.map_or(0, |rerouted| rerouted.form)
}

pub(crate) fn rerouted_at(envelope: &Envelope) -> u64 {
    envelope.rerouted.map_or(0, |rerouted| rerouted.at)
}

/// A message's demand on TLS, as it lies behind the wish for SMTPUTF8 where there is one.
fn wish_to_octet(wish: TlsWish) -> u8 {
    match wish {
        TlsWish::Usual => 0,
        TlsWish::Required => 1,
        TlsWish::NotRequired => 2,
    }
}

fn wish_of(octet: u8) -> TlsWish {
    match octet {
        1 => TlsWish::Required,
        2 => TlsWish::NotRequired,
        _ => TlsWish::Usual,
    }
}

/// Reads it back.
pub fn decode_envelope(bytes: &[u8]) -> Option<Envelope> {
    let (mut envelope, rest) = postcard::take_from_bytes::<Envelope>(bytes).ok()?;
    if !rest.is_empty() {
        let ((at, origins), rest) = postcard::take_from_bytes::<Behind>(rest).ok()?;
        // An older version of the program did not write it down.
        let left = postcard::from_bytes::<Left>(rest).ok();
        let (entry, recipients) = left.unwrap_or_default();
        let (quotas, rest) = split_quotas(rest);
        let ((login, form, checks), rest) =
            postcard::take_from_bytes::<Posting>(rest).unwrap_or_default();
        let (smtputf8, rest) = postcard::take_from_bytes(rest).unwrap_or_default();
        envelope.smtputf8 = smtputf8;
        let (tls, rest) = postcard::take_from_bytes(rest).unwrap_or_default();
        envelope.tls = wish_of(tls);
        // Recipients that scripts have filed, and the addresses of their mailboxes.
        let ((fragments, filed), rest): (Last, _) =
            postcard::take_from_bytes(rest).unwrap_or_default();
        let inboxes: Vec<(u16, u8, Arc<str>)> = postcard::from_bytes(rest).unwrap_or_default();
        envelope.fragments = fragments.map(Arc::new);
        envelope.rerouted = at.map(|at| Rerouted { at, entry, recipients, form });
        envelope.login = login;
        for (number, index, origin) in origins {
            let entry = envelope.entries.get_mut(usize::from(number))?;
            entry.recipients.get_mut(usize::from(index))?.origin = Some(Box::new(origin));
        }
        for (number, index, quota) in quotas {
            let entry = envelope.entries.get_mut(usize::from(number))?;
            entry.recipients.get_mut(usize::from(index))?.quota = Some(Arc::new(quota));
        }
        for (number, index) in filed {
            let entry = envelope.entries.get_mut(usize::from(number))?;
            let to = entry.recipients.get_mut(usize::from(index))?;
            // An older version of the program wrote no other.
            to.inbox = Some(Arc::clone(&to.address));
        }
        for (number, index, inbox) in inboxes {
            let entry = envelope.entries.get_mut(usize::from(number))?;
            entry.recipients.get_mut(usize::from(index))?.inbox = Some(inbox);
        }
        for (number, index, is_passed) in checks {
            let entry = envelope.entries.get_mut(usize::from(number))?;
            let check = if is_passed { PostCheck::Passed } else { PostCheck::NotAsked };
            entry.recipients.get_mut(usize::from(index))?.post_check = check;
        }
    }
    Some(envelope)
}

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Entry, ErrorsTo, Fragment, MessageId, Notify};

    use super::*;

    /// A message for two, of whom one is a list's member; it was routed again.
    fn envelope() -> Envelope {
        let mut listed = Recipient::new("ann@store", "list@example.org");
        let member = "ann@example.org".into();
        listed.origin = Some(Box::new(Origin { member, ..Origin::default() }));
        listed.notify = Notify::Never;
        let recipients = vec![Recipient::new("bob", "bob@example.org"), listed];
        Envelope {
            sender: "carol@example.net".to_owned(),
            source_channel: "tcp_local".into(),
            client: "mx [192.0.2.1]".into(),
            eight_bit: true,
            rerouted: Some(Rerouted { at: 5, entry: 0, recipients: 3, form: 0 }),
            size: 70_000,
            ..Envelope::plain(
                MessageId(7),
                1_788_133_501_123,
                vec![
                    Entry { channel: "a".into(), host: "b".into(), recipients: Vec::new() },
                    Entry { channel: "c".into(), host: "d".into(), recipients },
                ],
            )
        }
    }

    fn encoded(envelope: &Envelope) -> Vec<u8> {
        let mut bytes = Vec::new();
        append_envelope(envelope, &mut bytes);
        bytes
    }

    #[test]
    fn records_from_before_quotas_are_read_and_written_as_ever() {
        let bytes: Vec<u8> = (0..BEFORE_QUOTAS.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&BEFORE_QUOTAS[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(encoded(&envelope()), bytes);
        assert_eq!(decode_envelope(&bytes), Some(envelope()));
    }

    #[test]
    fn quotas_lie_where_older_versions_do_not_look() {
        let quota = XQuota { size: 20 << 30, messages: -2 };
        // whether it was routed again, whether it has a list's member
        for (rerouted, listed) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut envelope = envelope();
            envelope.rerouted = envelope.rerouted.filter(|_| rerouted);
            let recipients = &mut envelope.entries[1].recipients;
            recipients[1].origin = recipients[1].origin.take().filter(|_| listed);
            let without = envelope.clone();
            envelope.entries[1].recipients[1].quota = Some(Arc::new(quota));
            let bytes = encoded(&envelope);
            assert_eq!(decode_envelope(&bytes), Some(envelope));
            assert_eq!(decoded_before_quotas(&bytes), Some(without));
        }
    }

    #[test]
    fn a_list_that_is_the_sender_of_copies_is_told_from_one_that_hears_of_failures() {
        let plain = encoded(&with_errors_to(ErrorsTo::reader("owner@x.example")));
        for (address, is_sender, more) in [("owner@x.example", false, 0), ("o@x.example", true, 2)]
        {
            let envelope = with_errors_to(ErrorsTo { address: address.into(), is_sender });
            let bytes = encoded(&envelope);
            let shorter = "owner@x.example".len() - address.len();
            assert_eq!(bytes.len() + shorter, plain.len() + more);
            let recipient = &envelope.entries[1].recipients[1];
            let list = is_sender.then_some(address);
            assert_eq!(envelope.list_sender(recipient), list);
            assert_eq!(envelope.sender_of(recipient), list.unwrap_or("carol@example.net"));
            let nobody = Envelope { sender: String::new(), ..envelope.clone() };
            assert_eq!(nobody.sender_of(recipient), "");
            assert_eq!(decode_envelope(&bytes), Some(envelope));
        }
    }

    #[test]
    fn a_record_may_have_all_of_it() {
        let quota = Arc::new(XQuota { size: 1, messages: -2 });
        let mut envelope =
            with_errors_to(ErrorsTo { address: "l+ann@x.example".into(), is_sender: true });
        envelope.login = Some("carol@example.net".into());
        envelope.rerouted = Some(Rerouted { at: 5, entry: 0, recipients: 3, form: 2 });
        let recipients = &mut envelope.entries[1].recipients;
        let before = recipients.clone();
        recipients[0].post_check = PostCheck::NotAsked;
        recipients[1].post_check = PostCheck::Passed;
        for to in recipients {
            to.quota = Some(Arc::clone(&quota));
        }
        let bytes = encoded(&envelope);
        assert_eq!(decode_envelope(&bytes).as_ref(), Some(&envelope));
        // A version that knows none of it reads the rest.
        envelope.entries[1].recipients = before;
        envelope.login = None;
        envelope.rerouted = Some(Rerouted { at: 5, entry: 0, recipients: 3, form: 0 });
        assert_eq!(decoded_before_quotas(&bytes), Some(envelope));
    }

    fn with_errors_to(errors_to: ErrorsTo) -> Envelope {
        let mut envelope = envelope();
        if let Some(origin) = &mut envelope.entries[1].recipients[1].origin {
            origin.errors_to = Some(errors_to);
        }
        envelope
    }

    #[test]
    fn logins_and_checks_lie_where_older_versions_do_not_look() {
        let quota = XQuota { size: 1, messages: -2 };
        // whether it was routed again, has a list's member, a quota; the login; the checks; the file
        let (passed, not) = (PostCheck::Passed, PostCheck::NotAsked);
        let rows = [
            (true, true, true, Some("carol@example.net"), passed, 3),
            (true, false, false, None, not, 1),
            (false, true, false, Some("c"), PostCheck::Unsaid, 0),
            (false, false, true, None, passed, 0),
            (false, false, false, Some("Gr\u{fc}\u{df}e"), not, 0),
        ];
        for (rerouted, listed, has_quota, login, check, form) in rows {
            let mut envelope = envelope();
            envelope.rerouted = envelope.rerouted.filter(|_| rerouted);
            let recipients = &mut envelope.entries[1].recipients;
            recipients[1].origin = recipients[1].origin.take().filter(|_| listed);
            let before = envelope.clone();
            envelope.entries[1].recipients[1].quota = has_quota.then(|| Arc::new(quota));
            envelope.entries[1].recipients[0].post_check = check;
            envelope.login = login.map(Arc::from);
            if let Some(rerouted) = &mut envelope.rerouted {
                rerouted.form = form;
            }
            let bytes = encoded(&envelope);
            assert_eq!(decode_envelope(&bytes), Some(envelope));
            assert_eq!(decoded_before_quotas(&bytes), Some(before));
        }
    }

    #[test]
    fn the_wish_for_smtputf8_lies_where_older_versions_do_not_look() {
        // whether it was routed again, has a list's member, a login
        for (rerouted, listed, login) in
            [(true, true, Some("c")), (false, false, None), (true, false, None)]
        {
            let mut envelope = envelope();
            envelope.rerouted = envelope.rerouted.filter(|_| rerouted);
            let recipients = &mut envelope.entries[1].recipients;
            recipients[1].origin = recipients[1].origin.take().filter(|_| listed);
            let before = envelope.clone();
            envelope.login = login.map(Arc::from);
            let without = encoded(&envelope);
            envelope.smtputf8 = true;
            let bytes = encoded(&envelope);
            assert!(bytes.starts_with(&without) && bytes.len() > without.len());
            assert_eq!(decode_envelope(&bytes), Some(envelope));
            assert_eq!(decoded_before_quotas(&bytes), Some(before));
        }
    }

    #[test]
    fn filed_recipients_lie_where_older_versions_do_not_look() {
        for (smtputf8, tls) in [(false, TlsWish::Usual), (true, TlsWish::Required)] {
            let mut envelope = Envelope { smtputf8, tls, ..envelope() };
            let filed = &mut envelope.entries[1].recipients[1];
            filed.inbox = Some("ann".into());
            let same = Arc::clone(&filed.address);
            let bytes = encoded(&envelope);
            assert_eq!(decode_envelope(&bytes).as_ref(), Some(&envelope));
            assert_eq!(decoded_before_quotas(&bytes), Some(super::tests::envelope()));
            // Cut off, it is as the version wrote it that kept no address of a mailbox.
            envelope.entries[1].recipients[1].inbox = Some(same);
            assert_eq!(decode_envelope(&bytes[..bytes.len() - 1]), Some(envelope));
        }
    }

    #[test]
    fn what_a_message_asks_of_tls_lies_where_older_versions_do_not_look() {
        for smtputf8 in [false, true] {
            for tls in [TlsWish::Required, TlsWish::NotRequired] {
                let before = Envelope { smtputf8, ..envelope() };
                let without = encoded(&before);
                let envelope = Envelope { tls, ..before.clone() };
                let bytes = encoded(&envelope);
                assert!(bytes.starts_with(&without) && bytes.len() > without.len());
                assert_eq!(decode_envelope(&bytes), Some(envelope));
                // Cut off, it is as if nothing had been asked.
                assert_eq!(decode_envelope(&bytes[..bytes.len() - 1]), Some(before));
            }
        }
    }

    #[test]
    fn pieces_lie_where_older_versions_do_not_look() {
        let piece = Fragment { id: "ABC@host.com".to_owned(), number: 2, total: Some(3) };
        let waiting = Fragments::Piece { piece, waits: vec![1] };
        let whole = Fragments::Whole { pieces: vec![(MessageId(1), 0), (MessageId(1 << 60), 7)] };
        for (smtputf8, tls) in [(false, TlsWish::Usual), (true, TlsWish::Required)] {
            for fragments in [&waiting, &whole] {
                let before = Envelope { smtputf8, tls, ..envelope() };
                let fragments = Some(Arc::new(fragments.clone()));
                let envelope = Envelope { fragments, ..before.clone() };
                let bytes = encoded(&envelope);
                assert_eq!(decode_envelope(&bytes).as_ref(), Some(&envelope));
                assert_eq!(decoded_before_quotas(&bytes), Some(super::tests::envelope()));
                // Cut off, it is as any other message.
                assert_eq!(decode_envelope(&bytes[..bytes.len() - 1]), Some(before));
            }
        }
    }

    /// As the version before this one had it.
    fn decoded_before_quotas(bytes: &[u8]) -> Option<Envelope> {
        let (mut envelope, rest) = postcard::take_from_bytes::<Envelope>(bytes).ok()?;
        if !rest.is_empty() {
            let ((at, origins), rest) = postcard::take_from_bytes::<Behind>(rest).ok()?;
            let left = postcard::from_bytes::<Left>(rest).ok();
            let (entry, recipients) = left.unwrap_or_default();
            envelope.rerouted = at.map(|at| Rerouted { at, entry, recipients, form: 0 });
            for (number, index, origin) in origins {
                let entry = envelope.entries.get_mut(usize::from(number))?;
                entry.recipients.get_mut(usize::from(index))?.origin = Some(Box::new(origin));
            }
        }
        Some(envelope)
    }

    /// The envelope of [`envelope`], in hexadecimal digits, as the version before this one wrote it.
    const BEFORE_QUOTAS: &str = "\
        07c3d1bfa88534116361726f6c406578616d706c652e6e6574097463705f6c6f63616c0e6d78205b\
        3139322e302e322e315d0101000000f0a204020161016200016301640203626f620f626f62406578\
        616d706c652e6f7267000009616e6e4073746f7265106c697374406578616d706c652e6f72670100\
        01050101010f616e6e406578616d706c652e6f726700000003";
}
