//! Blocks, written and read.

use proptest::prelude::*;

use crate::{
    block::BlockBuilder,
    keys::{key_of, key_of_id},
    note::{Named, Note},
    read_block::Block,
    streams::{LEVEL, Streams},
};

type Told = (Note<'static>, Vec<Named<'static>>);

fn built(told: &[Told]) -> BlockBuilder {
    let mut builder = BlockBuilder::default();
    for (note, recipients) in told {
        builder.add(note, recipients);
    }
    builder
}

fn octets(builder: &BlockBuilder) -> Vec<u8> {
    let mut out = Vec::new();
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).unwrap();
    builder.streams.compress(&mut compressor, &mut out).unwrap();
    out
}

fn assert_comes_back(told: &[Told]) {
    let block = Block::decompress(&octets(&built(told))).unwrap();
    let mut told = told.iter();
    let each = |note: &Note<'_>, recipients: &[Named<'_>]| {
        let (want, named) = told.next().unwrap();
        assert_eq!((note, recipients), (want, &**named));
        true
    };
    block.each(each).unwrap();
    assert_eq!(told.next(), None);
}

fn named(original: &'static str) -> Named<'static> {
    Named { original, routed: "" }
}

const ID: u64 = 1_700_000_000_100 << 20;

fn accepted() -> Note<'static> {
    Note {
        action: b'E',
        at: ID >> 20,
        id: ID,
        size: 4096,
        from: "ann@example.org",
        client: "a [192.0.2.1]",
        channel: "tcp_local",
        host: "mx.x.example",
        reply: "250 ok",
        message_id: "<1@example.org>",
        ..Note::default()
    }
}

fn delivered() -> Note<'static> {
    Note {
        action: b'D',
        at: (ID >> 20) + 70,
        id: ID,
        attempts: 1,
        channel: "tcp_local",
        host: "mx.x.example",
        reply: "250 <bob7@x.example> queued as 4XYZ",
        peer_id: "4XYZ",
        peer: "mx.x.example[192.0.2.9]:25",
        protection: "TLSv1.3",
        ..Note::default()
    }
}

#[test]
fn notes_come_back_as_they_were() {
    let (e, d) = (accepted(), delivered());
    let routed = Named { original: "eve@x.example", routed: "eve+a@x.example" };
    let other = Note { id: ID + 1, host: "x.example", message_id: "2@b", ..e };
    let stored = Note { took: 30, mailbox: "users/bob7/INBOX", attempts: 1, ..other };
    let none: fn(Note<'static>) -> Note<'static> =
        |note| Note { id: 0, action: b'J', from: "", message_id: "", ..note };
    assert_comes_back(&[
        (e, vec![named("bob7@x.example"), routed]),
        // A second entry of it, with another destination.
        (Note { channel: "ims-ms", host: "store", ..e }, vec![named("joe@y.example")]),
        (d, vec![named("bob7@x.example"), routed]),
        (Note { action: b'Q', reply: "451 later", peer_id: "", ..d }, vec![named("joe@y.example")]),
        (Note { action: b'Q', attempts: 2, at: e.at - 5, ..d }, vec![routed]),
        (other, vec![named("bob8@X.example")]),
        (stored, vec![named("bob7@x.example")]),
        (none(e), vec![named("nobody"), named(""), named("7"), named("@"), named("a@")]),
        (none(d), vec![]),
        (Note { id: ID + 2, size: 0, message_id: "", from: "bob7@x.example", ..e }, vec![]),
    ]);
}

#[test]
fn signs_of_ours_are_told_from_those_that_somebody_sent() {
    let d = delivered();
    for (reply, peer_id, mailbox, peer) in [
        ("4XYZ \u{1} \u{2} 4XYZ", "4XYZ", "\u{2}", "mx.x.example\u{3}"),
        ("4XYZ 4XYZ bob@x.example", "4XYZ", "bob/bob", "mx.x.example.mx.x.example"),
        ("bob@x.example", "bob", "Bob", "mx.x.example"),
        ("@", "@", "b", "x"),
        ("", "4XYZ", "", ""),
    ] {
        let note = Note { reply, mailbox, peer_id, peer, ..d };
        for first in ["bob@x.example", "\u{1}", "@", ""] {
            assert_comes_back(&[
                (note, vec![named(first)]),
                (note, vec![named(first)]),
                (Note { reply: "\u{1}", ..note }, vec![]),
            ]);
        }
    }
}

#[test]
fn mail_that_is_like_the_mail_before_takes_little() {
    let mut told = Vec::new();
    let mut size = 0;
    for number in 0..200 {
        let at = accepted().at + number * 40;
        let id = at << 20;
        told.push((Note { at, id, ..accepted() }, vec![named("bob7@x.example")]));
        told.push((Note { at: at + 70, id, ..delivered() }, vec![named("bob7@x.example")]));
        if number == 99 {
            size = octets(&built(&told)).len();
        }
    }
    assert_comes_back(&told);
    let each = (octets(&built(&told)).len() - size) as f64 / 100.0;
    // The names that each message has for itself are ten octets of these.
    assert!(each < 20.0, "{each} octets for each message");
}

#[test]
fn keys_are_of_all_names_and_of_ids_that_the_time_does_not_tell() {
    let bob = vec![named("bob7@x.example")];
    let late = Note { id: 9, ..delivered() };
    let builder = built(&[(accepted(), bob.clone()), (delivered(), bob.clone()), (late, bob)]);
    let mut keys = builder.keys.clone();
    keys.sort_unstable();
    keys.dedup();
    let names = ["bob7@x.example", "ann@example.org", "<1@example.org>", "4XYZ"];
    let mut want: Vec<_> = names.map(key_of).into_iter().chain([key_of_id(9)]).collect();
    want.sort_unstable();
    assert_eq!(keys, want);
}

proptest! {
    #[test]
    fn nothing_that_is_read_panics(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(block) = Block::decompress(&octets) {
            let _ = block.each(|_, _| true);
        }
    }

    #[test]
    fn streams_of_anything_are_damaged_at_worst(
        streams in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..40),
            Streams::COUNT..=Streams::COUNT,
        )
    ) {
        let block = Block::of(&Streams::of(streams).unwrap());
        let _ = block.each(|_, _| true);
    }

    #[test]
    fn a_changed_octet_is_damage_at_worst(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let told = (accepted(), vec![named("bob7@x.example")]);
        let next = (delivered(), vec![named("bob7@x.example")]);
        let mut octets = octets(&built(&[told, next]));
        let at = at.index(octets.len());
        octets[at] = to;
        if let Ok(block) = Block::decompress(&octets) {
            let _ = block.each(|_, _| true);
        }
    }
}
