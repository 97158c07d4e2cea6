//! Octets that no filter should send.

use proptest::prelude::*;

use super::{super::*, FilterAnswer, Frames, agreement};
use crate::milter::frames::{BadFrame, MAX_FRAME};

/// A whole field and nothing more: no line of it but the first begins a field, and none is blank.
fn is_one_field(field: &[u8]) -> bool {
    let Some(text) = field.strip_suffix(b"\r\n") else { return false };
    let mut lines =
        text.split(|c| *c == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let is_plain = |line: &[u8]| line.len() <= 998 && !line.iter().any(|c| *c < 32 && *c != b'\t');
    first.contains(&b':')
        && is_plain(first)
        && lines.all(|line| {
            is_plain(line)
                && matches!(line.first(), Some(b' ' | b'\t'))
                && !line.trim_ascii().is_empty()
        })
}

#[test]
fn lengths_that_lie() {
    let rows: [(&[u8], Result<bool, BadFrame>); 5] = [
        (b"\0\0\0\0", Err(BadFrame::Empty)),
        (b"\xff\xff\xff\xffy", Err(BadFrame::TooLong(u32::MAX))),
        (b"\0\x10\0\x01y", Err(BadFrame::TooLong(MAX_FRAME as u32 + 1))),
        (b"\0\x10\0\0y", Ok(false)),
        (b"\0\0\0", Ok(false)),
    ];
    for (octets, want) in rows {
        let mut frames = Frames::default();
        frames.room().extend_from_slice(octets);
        assert_eq!(frames.take().map(|frame| frame.is_some()), want, "{}", octets.escape_ascii());
    }
}

proptest! {
    #[test]
    fn nothing_a_filter_sends_panics(octets: Vec<u8>) {
        let mut frames = Frames::default();
        frames.room().extend_from_slice(&octets);
        while let Ok(Some((command, data))) = frames.take() {
            let _ = FilterAnswer::of(command, data, &agreement(6, 0));
            let _ = Agreement::of(b'O', data);
        }
    }

    #[test]
    fn headers_of_any_octets_are_one_field(
        command in prop::sample::select(vec![b'h', b'i', b'm']),
        name in "[!-~]{0,8}",
        value in prop::collection::vec(prop::sample::select(b"\r\n\t :x\x1b\xff".to_vec()), 0..2_500),
        blanks: bool,
    ) {
        let index: &[u8] = if command == b'h' { b"" } else { b"\0\0\0\x01" };
        let data = [index, name.as_bytes(), b"\0", &value, b"\0"].concat();
        match FilterAnswer::of(command, &data, &agreement(6, u32::from(blanks) << 20)) {
            Ok(FilterAnswer::Change(
                FilterChange::AddHeader(field)
                | FilterChange::InsertHeader(_, field)
                | FilterChange::ChangeHeader { field: Some(field), .. },
            )) => prop_assert!(is_one_field(&field), "{}", field.escape_ascii()),
            Ok(FilterAnswer::Change(FilterChange::ChangeHeader { field: None, .. })) => {
                prop_assert!(value.is_empty());
            }
            other => prop_assert!(
                name.is_empty() || name.contains(':'),
                "{:?} of {:?}", other, name
            ),
        }
    }

    #[test]
    fn replies_of_any_octets_are_refusals(text: Vec<u8>) {
        if let Ok(FilterAnswer::Refuse(reply)) = FilterAnswer::of(b'y', &text, &agreement(6, 0)) {
            prop_assert!((400..600).contains(&reply.code));
            let mut out = Vec::new();
            crate::wire::reply::put_reply(&mut out, &reply, false);
            let code = reply.code.to_string();
            for line in out.split(|c| *c == b'\n').filter(|line| !line.is_empty()) {
                prop_assert!(line.starts_with(code.as_bytes()) && line.ends_with(b"\r"));
            }
        }
    }

    #[test]
    fn any_order_of_answers_leaves_a_conversation_whole(
        answers in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..30),
        events in prop::collection::vec(0usize..9, 1..30),
    ) {
        let client = Client { name: "x".into(), address: ([127, 0, 0, 1], 0).into() };
        let words = ["<a@b>".to_owned()];
        let all = [
            FilterEvent::Connect(&client), FilterEvent::Helo("x"), FilterEvent::Mail(&words), FilterEvent::Rcpt(&words),
            FilterEvent::Data, FilterEvent::Header(b"A", b"b"), FilterEvent::EndOfHeader, FilterEvent::Body(b"x"),
            FilterEvent::EndOfMessage,
        ];
        let mut talk = Talk::agreed(b'O', &super::words(&[6, 0x1ff, 0x400])).unwrap();
        let (mut out, mut answers) = (Vec::new(), answers.into_iter());
        let none = Macros::default();
        'events: for event in events {
            if talk.tell(&all[event], (&none, &none), &mut out).is_some() {
                continue;
            }
            for (command, data) in answers.by_ref() {
                match talk.hear(command, &data) {
                    Ok(Heard::Decided(_)) => continue 'events,
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            break;
        }
    }
}
