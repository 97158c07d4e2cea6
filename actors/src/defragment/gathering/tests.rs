use super::*;

const HOUR: u64 = 3_600_000;

fn key(id: &str, sender: &str, recipients: &[&str]) -> PartialKey {
    PartialKey {
        id: id.to_owned(),
        sender: sender.to_owned(),
        channel: "tcp_lmtpcs".into(),
        host: "store".into(),
        recipients: recipients.iter().map(|to| Arc::from(*to)).collect(),
    }
}

fn piece(entry: u64, number: u32, total: Option<u32>) -> NewPiece {
    NewPiece {
        entry: (MessageId(entry), 0),
        piece: Fragment { id: "i".to_owned(), number, total },
        size: 10,
        received: 0,
        patience: HOUR,
        limit: 1_000,
    }
}

/// Entry, number, total.
type Row = (u64, u32, Option<u32>);

fn ids(entries: &[EntryKey]) -> Vec<u64> {
    entries.iter().map(|(id, _)| id.0).collect()
}

/// Of one message, in this order; the last decision.
fn added(gathering: &mut Gathering, pieces: &[Row]) -> Decision {
    let each = |(entry, number, total): &Row| {
        gathering.add(key("i", "ann", &["bob"]), &piece(*entry, *number, *total), 1)
    };
    pieces.iter().map(each).last().unwrap()
}

#[test]
fn a_message_is_complete_when_all_numbers_up_to_the_total_are_there() {
    let rows: &[(&str, &[Row], &[u64])] = &[
        ("in order", &[(1, 1, Some(2)), (2, 2, Some(2))], &[1, 2]),
        (
            "the last alone says so, and comes first",
            &[(9, 3, Some(3)), (7, 1, None), (8, 2, None)],
            &[7, 8, 9],
        ),
        ("one of one", &[(1, 1, Some(1))], &[1]),
        ("nobody says how many", &[(1, 1, None), (2, 2, None)], &[]),
        ("one is missing", &[(1, 1, None), (3, 3, Some(3))], &[]),
    ];
    for (name, pieces, want) in rows {
        let mut gathering = Gathering::default();
        match (added(&mut gathering, pieces), *want) {
            (Decision::PutTogether(key), want @ [_, ..]) => {
                assert_eq!(ids(&gathering.entries(&key)), want, "{name}");
                assert_eq!(ids(&gathering.end(&key, 1)), want, "{name}");
                assert_eq!(gathering.waiting(), (0, 0), "{name}");
                let again = gathering.add((*key).clone(), &piece(99, 1, None), 2);
                let entry = vec![(MessageId(99), 0)];
                assert_eq!(again, Decision::PassOn(entry, PassedOn::Settled), "{name}");
            }
            (Decision::Wait, []) => {
                assert_eq!(gathering.waiting(), (1, pieces.len()), "{name}");
            }
            (decision, _) => panic!("{name}: {decision:?}"),
        }
    }
}

#[test]
fn pieces_of_others_do_not_mix() {
    let mut gathering = Gathering::default();
    let keys = [
        key("i", "ann", &["bob"]),
        key("i", "eve", &["bob"]),
        key("j", "ann", &["bob"]),
        key("i", "ann", &["bob", "joe"]),
        PartialKey { host: "other".into(), ..key("i", "ann", &["bob"]) },
        PartialKey { channel: "other".into(), ..key("i", "ann", &["bob"]) },
    ];
    for (n, key) in (0..).zip(&keys) {
        assert_eq!(gathering.add(key.clone(), &piece(n, 1, Some(2)), 1), Decision::Wait);
    }
    assert_eq!(gathering.waiting(), (6, 6));
    for (n, key) in (0..).zip(keys) {
        let last = gathering.add(key.clone(), &piece(10 + n, 2, Some(2)), 1);
        assert_eq!(last, Decision::PutTogether(Arc::new(key.clone())));
        assert_eq!(ids(&gathering.entries(&key)), [n, 10 + n]);
    }
}

#[test]
fn what_cannot_be_put_together_passes_on_with_all_that_waited() {
    let (late, settled) = (PassedOn::Contradiction, PassedOn::ManyPieces);
    let rows: &[(&str, &[Row], PassedOn)] = &[
        ("another total", &[(1, 1, Some(2)), (2, 2, Some(3))], late),
        ("beyond the total", &[(3, 3, None), (2, 2, Some(2))], late),
        ("a large total", &[(1, 1, None), (2, 2, Some(MAX_PIECES + 1))], settled),
        ("a large number", &[(1, 1, None), (2, MAX_PIECES + 1, None)], settled),
    ];
    for (name, pieces, why) in rows {
        let mut gathering = Gathering::default();
        let Decision::PassOn(entries, its) = added(&mut gathering, pieces) else {
            panic!("{name}")
        };
        assert_eq!((entries.len(), its), (pieces.len(), *why), "{name}");
        assert_eq!(gathering.waiting(), (0, 0), "{name}");
        let more = added(&mut gathering, &[(50, 1, None)]);
        assert_eq!(more, Decision::PassOn(vec![(MessageId(50), 0)], PassedOn::Settled), "{name}");
    }
}

#[test]
fn a_message_that_would_be_too_large_passes_on() {
    let mut gathering = Gathering::default();
    let large = NewPiece { size: 600, ..piece(1, 1, None) };
    assert_eq!(gathering.add(key("i", "ann", &["bob"]), &large, 1), Decision::Wait);
    let more = NewPiece { size: 401, ..piece(2, 2, Some(2)) };
    let both = vec![(MessageId(1), 0), (MessageId(2), 0)];
    let passed = Decision::PassOn(both, PassedOn::TooLarge);
    assert_eq!(gathering.add(key("i", "ann", &["bob"]), &more, 1), passed);
}

#[test]
fn a_number_that_is_there_is_compared_and_replaces_nothing() {
    let mut gathering = Gathering::default();
    added(&mut gathering, &[(1, 1, None), (3, 3, Some(3))]);
    let compare = Decision::Compare { known: (MessageId(1), 0) };
    assert_eq!(added(&mut gathering, &[(8, 1, None)]), compare);
    assert_eq!(added(&mut gathering, &[(1, 1, None)]), Decision::Known);
    assert_eq!(gathering.waiting(), (1, 2));
    let Decision::PutTogether(key) = added(&mut gathering, &[(2, 2, None)]) else { panic!() };
    assert_eq!(ids(&gathering.entries(&key)), [1, 2, 3]);
}

#[test]
fn pieces_wait_for_a_time_and_their_stragglers_for_none() {
    let mut gathering = Gathering::default();
    added(&mut gathering, &[(1, 1, None), (3, 3, Some(3))]);
    assert_eq!(gathering.expire(HOUR - 1), []);
    assert_eq!(ids(&gathering.expire(HOUR)), [1, 3]);
    let straggler = NewPiece { received: HOUR + 1, ..piece(2, 2, None) };
    let passed = Decision::PassOn(vec![(MessageId(2), 0)], PassedOn::Settled);
    assert_eq!(gathering.add(key("i", "ann", &["bob"]), &straggler, HOUR + 1), passed);
    assert_eq!(gathering.expire(2 * HOUR), []);
    assert_eq!(gathering.add(key("i", "ann", &["bob"]), &straggler, 2 * HOUR), Decision::Wait);
    // It was found on the disk, and had waited there.
    let old = key("old", "ann", &["bob"]);
    let passed = Decision::PassOn(vec![(MessageId(7), 0)], PassedOn::Late);
    assert_eq!(gathering.add(old, &piece(7, 1, None), HOUR), passed);
}

#[test]
fn a_sender_has_a_bounded_number_of_messages_and_pieces() {
    let mut gathering = Gathering::default();
    let id = |n: u64| n.to_string();
    for n in 0..MAX_MESSAGES_OF_SENDER as u64 {
        let decision = gathering.add(key(&id(n), "ann", &["bob"]), &piece(n, 1, None), 1);
        assert_eq!(decision, Decision::Wait);
    }
    let one_more = |gathering: &mut Gathering, sender| {
        gathering.add(key("more", sender, &["bob"]), &piece(5_000, 1, None), 1)
    };
    let passed = Decision::PassOn(vec![(MessageId(5_000), 0)], PassedOn::ManyMessages);
    assert_eq!(one_more(&mut gathering, "ann"), passed);
    assert_eq!(one_more(&mut gathering, "eve"), Decision::Wait);
    gathering.forget((MessageId(5_000), 0));
    gathering.forget((MessageId(3), 0));
    assert_eq!(one_more(&mut gathering, "ann"), Decision::Wait);

    let mut gathering = Gathering::default();
    let mut entry = 0;
    let mut last = Decision::Wait;
    for n in 0..=MAX_PIECES_OF_SENDER as u64 / 1_000 {
        for number in 1..=1_000 {
            entry += 1;
            last = gathering.add(
                key(&id(n), "ann", &["bob"]),
                &NewPiece { size: 0, ..piece(entry, number, None) },
                1,
            );
            if last != Decision::Wait {
                break;
            }
        }
    }
    let passed = Decision::PassOn(vec![(MessageId(4_001), 0)], PassedOn::ManyMessages);
    assert_eq!(last, passed, "only the message that is one too many");
    assert_eq!(gathering.waiting(), (4, 4_000));

    let mut gathering = Gathering::default();
    let large =
        |n: u64| NewPiece { size: MAX_OCTETS_OF_SENDER / 2, limit: u64::MAX, ..piece(n, 1, None) };
    let mut add = |n, sender| gathering.add(key(&id(n), sender, &["bob"]), &large(n), 1);
    assert_eq!([add(1, "ann"), add(2, "ann"), add(3, "eve")], [(); 3].map(|()| Decision::Wait));
    let passed = Decision::PassOn(vec![(MessageId(4), 0)], PassedOn::ManyMessages);
    assert_eq!(add(4, "ann"), passed, "octets of one sender");
    gathering.forget((MessageId(1), 0));
    assert_eq!(gathering.add(key(&id(5), "ann", &["bob"]), &large(5), 1), Decision::Wait);
}

#[test]
fn a_piece_says_what_it_waits_for() {
    let mut gathering = Gathering::default();
    added(&mut gathering, &[(2, 2, None), (5, 5, None)]);
    let waits = |gathering: &Gathering, id| gathering.waits((MessageId(id), 0));
    let want = Waits { number: 2, come: 2, total: None, missing: vec![1, 3, 4], until: HOUR };
    assert_eq!(waits(&gathering, 2), Some(want.clone()));
    added(&mut gathering, &[(6, 6, Some(7))]);
    let want = Waits { number: 5, come: 3, total: Some(7), missing: vec![1, 3, 4, 7], ..want };
    assert_eq!(waits(&gathering, 5), Some(want));
    gathering.forget((MessageId(5), 0));
    assert_eq!(waits(&gathering, 5), None);
    assert_eq!(waits(&gathering, 6).unwrap().missing, [1, 3, 4, 5, 7]);
    for id in [2, 6] {
        gathering.forget((MessageId(id), 0));
    }
    assert_eq!(gathering.waiting(), (0, 0));
    assert!(gathering.messages.is_empty() && gathering.senders.is_empty());
}
