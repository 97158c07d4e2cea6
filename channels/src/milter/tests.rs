//! The protocol by tables: octets to filters, octets from filters, and what neither may do.

mod hostile;
mod links;
mod talks;

use super::{
    Agreement, Breach, Client, EditedHeader, FilterChange, FilterEvent, MacroStage, Macros, Mender,
    agreement::{OPTNEG, put_offer},
    answer::FilterAnswer,
    frames::{Frames, put_frame},
};
use crate::mail::Reply;

/// An agreement with all actions and these flags of the protocol.
fn agreement(version: u32, protocol: u32) -> Agreement {
    Agreement::of(OPTNEG, &words(&[version, 0x1ff, protocol])).expect("an agreement")
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn frame(command: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, command, |out| out.extend_from_slice(data));
    out
}

/// An answer of a filter that may ask for any change.
fn said(command: u8, data: &[u8]) -> Result<FilterAnswer, Breach> {
    FilterAnswer::of(command, data, &agreement(6, 0x400))
}

#[test]
fn the_offer_is_that_of_version_6() {
    let mut out = Vec::new();
    put_offer(&mut out);
    assert_eq!(out, b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\x30\x1f\xff\xff");
}

#[test]
fn agreements_are_what_was_offered_and_no_more() {
    type Row = (&'static str, u8, Vec<u8>, Result<(u32, u32), Breach>);
    let rows: [Row; 9] = [
        ("as offered", b'O', words(&[6, 0x1ff, 0x1f_ffff]), Ok((6, 0x1f_ffff))),
        ("nothing wanted", b'O', words(&[6, 0, 0]), Ok((6, 0))),
        ("bits that nobody offered", b'O', words(&[6, 0, 0xffff_ffff]), Ok((6, 0x301f_ffff))),
        ("version 2 hears nothing of DATA", b'O', words(&[2, 0x3f, 0]), Ok((2, 0x300))),
        ("version 3", b'O', words(&[3, 0x3f, 0]), Ok((3, 0x200))),
        ("too new", b'O', words(&[7, 0, 0]), Err(Breach::Version(7))),
        ("too old", b'O', words(&[1, 0, 0]), Err(Breach::Version(1))),
        ("actions that nobody knows", b'O', words(&[6, 0x200, 0]), Err(Breach::Actions(0x200))),
        ("something else", b'c', vec![], Err(Breach::Unexpected(b'c'))),
    ];
    for (name, command, data, want) in rows {
        let got = Agreement::of(command, &data).map(|its| (its.version, its.protocol));
        assert_eq!(got, want, "{name}");
    }
    assert_eq!(Agreement::of(b'O', &words(&[6, 0])), Err(Breach::CutShort));
}

#[test]
fn filters_say_which_macros_they_want() {
    let lists = [
        words(&[6, 0x1ff, 0]),
        [&words(&[0])[..], b"j, {daemon_name} client_addr\0"].concat(),
        [&words(&[3])[..], b"{rcpt_addr}\0"].concat(),
        [&words(&[5])[..], b"\0"].concat(),
        [&words(&[99])[..], b"x\0"].concat(),
    ];
    let agreement = Agreement::of(b'O', &lists.concat()).expect("lists");
    assert_eq!(agreement.lists.len(), 3, "{agreement:?}");
    let mut macros = Macros::default();
    for (name, value) in [
        ("j", "mx.example"),
        ("{client_addr}", "192.0.2.1"),
        ("{rcpt_addr}", "a@b\r\n\0c"),
        ("{daemon_name}", "SMTP"),
        ("i", "1K"),
    ] {
        macros.set(name, value);
    }
    let mut fixed = Macros::default();
    fixed.set("{daemon_name}", "ORIGINATING");
    fixed.set("{own}", "1");
    let all = Agreement::of(b'O', &words(&[6, 0, 0])).expect("an agreement");
    let rows: [(&str, MacroStage, &Agreement, &[u8]); 6] = [
        (
            "in the filter's order, by names without braces too",
            MacroStage::Connect,
            &agreement,
            b"Cj\0mx.example\0{daemon_name}\0ORIGINATING\0{client_addr}\x00192.0.2.1\0",
        ),
        ("no control characters", MacroStage::Rcpt, &agreement, b"C{rcpt_addr}\0a@bc\0"),
        ("a list of none", MacroStage::EndOfMessage, &agreement, b""),
        ("no list: the usual ones", MacroStage::Data, &agreement, b"Ci\x001K\0"),
        (
            "what the configuration sets goes with the connection",
            MacroStage::Connect,
            &all,
            b"Cj\0mx.example\0{daemon_name}\0ORIGINATING\0{client_addr}\x00192.0.2.1\0{own}\x001\0",
        ),
        ("and with nothing else", MacroStage::Helo, &all, b""),
    ];
    for (name, stage, agreement, want) in rows {
        let mut out = Vec::new();
        macros.put(&mut out, (stage, b'C'), agreement, &fixed);
        let want = if want.is_empty() { vec![] } else { frame(b'D', want) };
        assert_eq!(out.escape_ascii().to_string(), want.escape_ascii().to_string(), "{name}");
    }
}

#[test]
fn events_as_octets() {
    let v4 = Client { name: "[192.0.2.1]".into(), address: "192.0.2.1:4711".parse().unwrap() };
    let v6 = Client { name: "a.example".into(), address: "[2001:db8::1]:25".parse().unwrap() };
    let mail = ["<a@b>".to_owned(), "SIZE=5".to_owned()];
    let plain = agreement(6, 0);
    let spaced = agreement(6, 1 << 20);
    let rows: [(&str, FilterEvent<'_>, &Agreement, &[u8]); 11] = [
        ("IPv4", FilterEvent::Connect(&v4), &plain, b"C[192.0.2.1]\x004\x12\x67192.0.2.1\0"),
        ("IPv6", FilterEvent::Connect(&v6), &plain, b"Ca.example\x006\0\x192001:db8::1\0"),
        ("HELO", FilterEvent::Helo("a\0b"), &plain, b"Hab\0"),
        ("MAIL", FilterEvent::Mail(&mail), &plain, b"M<a@b>\0SIZE=5\0"),
        ("RCPT", FilterEvent::Rcpt(&mail[..1]), &plain, b"R<a@b>\0"),
        ("DATA", FilterEvent::Data, &plain, b"T"),
        ("one blank goes", FilterEvent::Header(b"To", b"  a\r\n\tb"), &plain, b"LTo\0 a\n\tb\0"),
        ("no blank goes", FilterEvent::Header(b"To", b" a\0\rb"), &spaced, b"LTo\0 a \rb\0"),
        ("the end of a header", FilterEvent::EndOfHeader, &plain, b"N"),
        ("a body", FilterEvent::Body(b"\0x\r\n"), &plain, b"B\0x\r\n"),
        ("the end", FilterEvent::EndOfMessage, &plain, b"E"),
    ];
    for (name, event, agreement, want) in rows {
        let mut out = Vec::new();
        event.put(&mut out, agreement);
        let want = frame(want[0], &want[1..]);
        assert_eq!(out.escape_ascii().to_string(), want.escape_ascii().to_string(), "{name}");
    }
}

#[test]
fn no_packet_is_larger_than_agreed() {
    let value = vec![b'x'; 2 << 20];
    for (flags, most) in [(0, 65_535), (1 << 28, 262_143), (1 << 29, 1_048_575)] {
        let mut out = Vec::new();
        FilterEvent::Header(b"Name", &value).put(&mut out, &agreement(6, flags));
        assert_eq!(out.len(), 4 + 1 + most, "{flags:x}");
        assert_eq!(out.last(), Some(&0));
        out.clear();
        FilterEvent::Body(&value).put(&mut out, &agreement(6, flags));
        assert_eq!(out.len(), 4 + 1 + most, "{flags:x}");
    }
}

#[test]
fn replies_of_filters_are_replies() {
    let reply = |text: &str| Ok(text.to_owned());
    let rows: [(&[u8], Result<String, Breach>); 19] = [
        (b"550 5.7.1 no\0", reply("550 5.7.1 no")),
        (b"550 5.7.1 no", reply("550 5.7.1 no")),
        (b"450 later\0", reply("450 later")),
        (b"550-5.7.1 a\r\n550 5.7.1 b\0", reply("550 5.7.1 a b")),
        (b"550 100%% 5%d\0", reply("550 100% 5d")),
        (b"550 \x1b[2Jred\0", reply("550 ?[2Jred")),
        // The class is the code's: the rest is text.
        (b"550 4.7.1 x\0", reply("550 4.7.1 x")),
        (b"421 4.3.2 bye\0", reply("421 4.3.2 bye")),
        (b"250 2.0.0 fine\0", Err(Breach::Reply)),
        (b"354 go on\0", Err(Breach::Reply)),
        (b"600 x\0", Err(Breach::Reply)),
        (b"no code\0", Err(Breach::Reply)),
        (b"\0", Err(Breach::Reply)),
        (b"", Err(Breach::Reply)),
        (b"550-a\r\n551 b\0", Err(Breach::Reply)),
        (b"550-never ends\0", Err(Breach::Reply)),
        (b"550 a\r\n250 smuggled\0", Err(Breach::Reply)),
        (b"550 a\n550 b\0", Err(Breach::Reply)),
        (b"550 a\r\nMAIL FROM:<x>\0", Err(Breach::Reply)),
    ];
    for (data, want) in rows {
        let got = said(b'y', data).map(|answer| match answer {
            FilterAnswer::Refuse(reply) => reply.to_string(),
            other => format!("{other:?}"),
        });
        assert_eq!(got, want, "{}", data.escape_ascii());
    }
}

#[test]
fn answers_and_what_they_may_hold() {
    let refuse = |code| move |answer: &FilterAnswer| matches!(answer, FilterAnswer::Refuse(Reply { code: c, .. }) if *c == code);
    assert_eq!(said(b'c', b""), Ok(FilterAnswer::Continue));
    assert_eq!(said(b'a', b""), Ok(FilterAnswer::Accept));
    assert_eq!(said(b'd', b""), Ok(FilterAnswer::Discard));
    assert_eq!(said(b's', b""), Ok(FilterAnswer::Skip));
    assert_eq!(said(b'p', b""), Ok(FilterAnswer::Progress));
    for (command, code) in [(b'r', 550), (b't', 451), (b'4', 421), (b'f', 421)] {
        assert!(said(command, b"").as_ref().is_ok_and(refuse(code)), "{code}");
    }
    assert_eq!(said(b'q', b"a\nb\x1b\0"), Ok(FilterAnswer::Quarantine("a b".into())));
    for command in b"cadprst4f" {
        assert_eq!(said(*command, b"x"), Err(Breach::TooMuch(*command)));
    }
    assert_eq!(said(b'Z', b""), Err(Breach::Unexpected(b'Z')));
    // Nothing that was not agreed on.
    let nothing = Agreement::of(b'O', &words(&[6, 0, 0])).expect("an agreement");
    for (command, data) in [
        (b'h', &b"A\0b\0"[..]),
        (b'i', b"\0\0\0\0A\0b\0"),
        (b'm', b"\0\0\0\x01A\0b\0"),
        (b'b', b"x"),
        (b'+', b"<a@b>\0"),
        (b'2', b"<a@b>\0"),
        (b'-', b"<a@b>\0"),
        (b'e', b"<a@b>\0"),
        (b'q', b"x\0"),
    ] {
        assert_eq!(FilterAnswer::of(command, data, &nothing), Err(Breach::NotAgreed(command)));
        assert!(said(command, data).is_ok(), "{}", command.escape_ascii());
    }
    assert_eq!(FilterAnswer::of(b's', b"", &nothing), Err(Breach::Unexpected(b's')));
}

#[test]
fn headers_of_filters_are_one_field_each() {
    let long = "x".repeat(1_200);
    let words = format!("{} {}", "y".repeat(600), "z".repeat(600));
    let rows: [(&str, &str, Result<String, Breach>); 13] = [
        ("X-A", "b", Ok("X-A: b\r\n".into())),
        ("X-A", "b\n\tc\r\n d", Ok("X-A: b\r\n\tc\r\n d\r\n".into())),
        ("X-A", "b\nBcc: c", Ok("X-A: b\r\n\tBcc: c\r\n".into())),
        ("X-A", "b\r\n\r\nbody", Ok("X-A: b\r\n\tbody\r\n".into())),
        ("X-A", "b\n \t \n c", Ok("X-A: b\r\n c\r\n".into())),
        ("X-A", "b\rc\x1bd \n", Ok("X-A: b c d \r\n".into())),
        ("X-A", "", Ok("X-A: \r\n".into())),
        ("", "b", Err(Breach::HeaderName)),
        ("X A", "b", Err(Breach::HeaderName)),
        ("X:A", "b", Err(Breach::HeaderName)),
        ("X\r\nA", "b", Err(Breach::HeaderName)),
        ("X-A", &words, Ok(format!("X-A: {}\r\n {}\r\n", "y".repeat(600), "z".repeat(600)))),
        (
            "X-A",
            &long,
            Ok(format!("X-A: {}\r\n\t{}\r\n", "x".repeat(998 - 5), "x".repeat(1_200 - 993))),
        ),
    ];
    for (name, value, want) in rows {
        let data = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat();
        let got = said(b'h', &data).map(|answer| match answer {
            FilterAnswer::Change(FilterChange::AddHeader(field)) => {
                String::from_utf8(field).unwrap()
            }
            other => format!("{other:?}"),
        });
        assert_eq!(got, want, "{name:?} {value:?}");
    }
    let blanks = agreement(6, 1 << 20);
    let answer = FilterAnswer::of(b'h', b"X-A\0b\0", &blanks);
    assert_eq!(answer, Ok(FilterAnswer::Change(FilterChange::AddHeader(b"X-A:b\r\n".to_vec()))));
}

#[test]
fn addresses_of_filters_are_addresses() {
    let shown = |command, data: &[u8]| match said(command, data)? {
        FilterAnswer::Change(FilterChange::AddRecipient(new)) => Ok(format!(
            "{} {:?} {:?} {}",
            new.address,
            new.notify,
            new.original_recipient.map(|its| its.address),
            new.ignored
        )),
        FilterAnswer::Change(FilterChange::DeleteRecipient(address)) => Ok(address.to_string()),
        FilterAnswer::Change(FilterChange::ChangeSender(new)) => Ok(format!(
            "<{}> {:?} {:?} {}",
            new.path.as_str(),
            new.returned,
            new.envelope_id,
            new.ignored
        )),
        other => Ok(format!("{other:?}")),
    };
    let rows: [(u8, &[u8], Result<&str, Breach>); 16] = [
        (b'+', b"<a@b.example>\0", Ok("a@b.example Unsaid None ")),
        (b'+', b"a@b.example\0", Ok("a@b.example Unsaid None ")),
        (b'2', b"<a@b.example>\0", Ok("a@b.example Unsaid None ")),
        (
            b'2',
            b"<a@b.example>\0notify=never ORCPT=rfc822;c@d X=1\0",
            Ok("a@b.example Never Some(\"c@d\") X=1"),
        ),
        (b'2', b"<a@b.example>\0NOTIFY=maybe\0", Err(Breach::Parameter)),
        (b'-', b"<a@b.example>\0", Ok("a@b.example")),
        (b'e', b"<>\0", Ok("<> None None ")),
        (b'e', b"a@b\0", Ok("<a@b> None None ")),
        (b'e', b"<a@b>\0RET=HDRS ENVID=x+2By\0", Ok("<a@b> Some(Headers) Some(\"x+y\") ")),
        (b'e', b"<a@b>\0RET=some\0", Err(Breach::Parameter)),
        (b'+', b"<>\0", Err(Breach::Address)),
        (b'+', b"<a@b>\r\nRCPT\0", Err(Breach::Address)),
        (b'+', b"<a@b> SIZE=1\0", Err(Breach::Address)),
        (b'e', b"<a@b c>\0", Err(Breach::Address)),
        (b'-', b"\xff@b\0", Err(Breach::Address)),
        (b'+', b"a@b", Err(Breach::CutShort)),
    ];
    for (command, data, want) in rows {
        let got = shown(command, data);
        assert_eq!(got, want.map(str::to_owned), "{}", data.escape_ascii());
    }
    assert_eq!(said(b'+', b"a@b\0x"), Err(Breach::TooMuch(b'+')));
}

#[test]
fn headers_are_edited_as_sendmail_counts() {
    let own = b"Received: ours\r\n";
    let header = b"Received: theirs\r\nTo: a\r\nX: 1\r\nx : 2\r\n folded\r\n";
    let insert = |at: u32, text: &str| [&at.to_be_bytes()[..], text.as_bytes()].concat();
    // Command, data, what stands above and with our field, what stands below.
    let rows: [(&str, u8, Vec<u8>, &str, &str); 11] = [
        ("at the end", b'h', b"N\0v\0".to_vec(), "OURS", "REST|N: v"),
        ("above ours", b'i', insert(0, "N\0v\0"), "N: v|OURS", "REST"),
        ("below ours", b'i', insert(1, "N\0v\0"), "OURS", "N: v|REST"),
        (
            "within",
            b'i',
            insert(2, "N\0v\0"),
            "OURS",
            "Received: theirs|N: v|To: a|X: 1|x : 2| folded",
        ),
        ("far behind", b'i', insert(99, "N\0v\0"), "OURS", "REST|N: v"),
        (
            "the first of a name is theirs, not ours",
            b'm',
            insert(1, "received\0changed\0"),
            "OURS",
            "received: changed|To: a|X: 1|x : 2| folded",
        ),
        ("the second", b'm', insert(2, "x\0\0"), "OURS", "Received: theirs|To: a|X: 1"),
        (
            "none is the first",
            b'm',
            insert(0, "To\0b\0"),
            "OURS",
            "Received: theirs|To: b|X: 1|x : 2| folded",
        ),
        ("one that is not there is added", b'm', insert(3, "X\x003\0"), "OURS", "REST|X: 3"),
        ("one that is not there cannot go", b'm', insert(3, "X\0\0"), "OURS", "REST"),
        ("ours cannot go", b'm', insert(2, "Received\0\0"), "OURS", "REST"),
    ];
    let rest = "Received: theirs|To: a|X: 1|x : 2| folded";
    for (name, command, data, above, below) in rows {
        let Ok(FilterAnswer::Change(change)) = said(command, &data) else { panic!("{name}") };
        let mut edited = EditedHeader::new(own, header);
        edited.apply(change).expect(name);
        let lines = |text: &str| {
            let text = text.replace("OURS", "Received: ours").replace("REST", rest);
            text.replace('|', "\r\n") + "\r\n"
        };
        let (got_above, got_below) = edited.parts();
        assert_eq!(String::from_utf8(got_above).unwrap(), lines(above), "{name}");
        assert_eq!(String::from_utf8(got_below).unwrap(), lines(below), "{name}");
    }
    let seen: Vec<_> = EditedHeader::new(own, header)
        .seen()
        .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    assert_eq!(seen, ["Received= theirs", "To= a", "X= 1", "x= 2\\r\\n folded"]);
    let own = b"Authentication-Results: us\r\nReceived: ours\r\n";
    let seen: Vec<_> = EditedHeader::new(own, header).seen().map(|(name, _)| name.len()).collect();
    assert_eq!(seen, [22, 8, 2, 1, 1], "our results are seen");
    assert_eq!(said(b'm', &insert(u32::MAX, "X\0\0")), Err(Breach::Index));
}

#[test]
fn a_header_has_room_for_so_much() {
    let mut edited = EditedHeader::default();
    let field = FilterChange::AddHeader([&b"A: "[..], &vec![b'x'; 60_000], b"\r\n"].concat());
    let outcome = (0..200).try_for_each(|_| edited.apply(field.clone()));
    assert_eq!(outcome, Err(Breach::TooManyChanges));
}

#[test]
fn bodies_of_filters_have_whole_lines() {
    let long = format!("{}\r\n", "x".repeat(1_000));
    let cut = format!("{}\r\nxx\r\n", "x".repeat(998));
    let rows = [
        ("", ""),
        ("a", "a\r\n"),
        ("a\r\n", "a\r\n"),
        ("a\nb\n", "a\r\nb\r\n"),
        ("a\rb\r\r\nc", "a\r\nb\r\n\r\nc\r\n"),
        ("\r", "\r\n"),
        ("a\0b\r\n\r\n", "a?b\r\n\r\n"),
        (".\r\n", ".\r\n"),
        (&*long, &*cut),
    ];
    for (body, want) in rows {
        for piece in 1..=body.len().clamp(1, 9) {
            let (mut mender, mut out) = (Mender::default(), Vec::new());
            body.as_bytes().chunks(piece).for_each(|piece| mender.mend(piece, &mut out));
            mender.finish(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{body:?} by {piece}");
        }
    }
}

#[test]
fn packets_are_cut_where_they_end() {
    let mut frames = Frames::default();
    let stream = [frame(b'c', b""), frame(b'y', b"550 x\0"), frame(b'p', b"")].concat();
    let mut got = Vec::new();
    for octet in stream {
        frames.room().push(octet);
        while let Some((command, data)) = frames.take().expect("packets") {
            got.push((command, data.to_vec()));
        }
    }
    assert_eq!(got, [(b'c', vec![]), (b'y', b"550 x\0".to_vec()), (b'p', vec![])]);
    assert!(frames.is_empty());
}
