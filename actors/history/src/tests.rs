//! Writer and reader together, on files.

use std::{
    fs,
    path::Path,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{Forgettable, Found, History, Keeper, Named, Note, Question, Settings, Tap, key_of};

const DAY: Duration = Duration::from_secs(86_400);

fn settings(folder: &Path) -> Settings {
    Settings {
        folder: folder.to_owned(),
        age: 7 * DAY,
        size: 1 << 30,
        min_free: 0,
        believed_after: Duration::ZERO,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn forget(history: &History, address: &str) -> Result<crate::Forgotten, crate::HistoryError> {
    let is_it = |text: &str| text.eq_ignore_ascii_case(address);
    history.forget(&Forgettable { spellings: &[address.to_owned()], is_it: &is_it })
}

/// A message: accepted, deferred, delivered.
fn tell(tap: &Tap, number: u64) -> u64 {
    tell_at(tap, number, now() - 1_000)
}

fn tell_at(tap: &Tap, number: u64, at: u64) -> u64 {
    let id = at << 20 | (number & 0x3fff);
    let (to, from) = (format!("User{number}@x.example"), format!("s{}@y.example", number % 3));
    let (message_id, peer_id) = (format!("<{number}.m@y.example>"), format!("4X{number}"));
    let reply = format!("250 2.0.0 OK: queued as {peer_id}");
    let to = Named { original: &to, routed: "" };
    let e = Note {
        action: b'E',
        at,
        id,
        size: 100,
        from: &from,
        message_id: &message_id,
        client: "c [192.0.2.1]",
        reply: "250 2.0.0 Ok",
        ..Note::default()
    };
    tap.tell(&e, [to].into_iter());
    let (channel, host) = ("tcp_local", "x.example");
    let q =
        Note { action: b'Q', at: at + 5, id, channel, host, reply: "451 later", ..Note::default() };
    tap.tell(&q, [to].into_iter());
    let d = Note { action: b'D', at: at + 9, reply: &reply, peer_id: &peer_id, ..q };
    tap.tell(&d, [to].into_iter());
    id
}

fn ask(history: &History, text: &str, limit: usize) -> Found {
    let matches = |its: &str| its.eq_ignore_ascii_case(text);
    let keys = vec![key_of(text)];
    let question = Question { keys, matches: &matches, id: 0, since: 0, until: u64::MAX, limit };
    history.find(&question).unwrap()
}

fn actions(found: &Found) -> Vec<String> {
    found.messages.iter().map(|its| its.records.iter().map(|one| one.action).collect()).collect()
}

#[test]
fn a_message_is_found_by_each_of_its_names_while_it_is_written_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    tell(&tap, 0);
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    let ids: Vec<_> = (1..=5_000).map(|number| tell(&tap, number)).collect();
    let look = |history: &History| {
        for text in ["user7@X.example", "<7.m@y.example>", "4X7"] {
            let found = ask(history, text, 10);
            assert_eq!(actions(&found), ["EQD"], "{text}");
            assert_eq!(found.messages[0].id, ids[6]);
        }
        let question = Question {
            keys: vec![],
            matches: &|_| false,
            id: ids[4_999],
            since: 0,
            until: u64::MAX,
            limit: 1,
        };
        let found = history.find(&question).unwrap();
        assert_eq!(actions(&found), ["EQD"]);
        let last = &found.messages[0].records[2];
        assert_eq!(last.reply, "250 2.0.0 OK: queued as 4X5000");
        assert_eq!(last.recipients, [("User5000@x.example".into(), "User5000@x.example".into())]);
        let many = ask(history, "s1@y.example", 10);
        assert_eq!((many.messages.len(), many.more), (10, true));
        assert_eq!(ask(history, "user0@x.example", 1).messages, [], "nobody wrote it down");
        assert_eq!(ask(history, "nobody@x.example", 1), Found::default());
    };
    look(&History::of(&keeper));
    // As after a crash: the writer is still there, and has not ended anything.
    look(&History::of_files(folder.path()));
    keeper.end();
    look(&History::of_files(folder.path()));
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    look(&History::of(&keeper));
    tell(&tap, 5_001);
    assert_eq!(actions(&ask(&History::of(&keeper), "4X5001", 1)), ["EQD"]);
    keeper.end();
}

#[test]
fn an_address_is_forgotten_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    tell(&tap, 1);
    tell(&tap, 2);
    let both =
        ["user1@x.example", "other@x.example"].map(|its| Named { original: its, routed: "" });
    let id = 5 << 20;
    tap.tell(&Note { action: b'E', at: 5, id, ..Note::default() }, both.into_iter());
    let reply = "550 <user1@x.example> unknown";
    let bounced = Note { action: b'R', at: 6, id, reply, ..Note::default() };
    tap.tell(&bounced, both[1..].iter().copied());
    let history = History::of(&keeper);
    let forgotten = forget(&history, "USER1@x.example").unwrap();
    assert_eq!((forgotten.records, forgotten.shortened, forgotten.segments), (4, 1, 1));
    assert_eq!(ask(&history, "user1@x.example", 9), Found::default());
    assert_eq!(actions(&ask(&history, "user2@x.example", 9)), ["EQD"]);
    assert_eq!(actions(&ask(&history, "other@x.example", 9)), ["E"]);
    assert_eq!(forget(&history, "user1@x.example").unwrap(), crate::Forgotten::default());
    keeper.end();
    let forgotten = forget(&History::of_files(folder.path()), "s2@y.example").unwrap();
    assert_eq!(forgotten.records, 1, "the note that names the sender");
}

#[test]
fn addresses_are_forgotten_by_several_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    for number in 0..2_000 {
        tell(&tap, number);
    }
    let history = History::of(&keeper);
    history.desk.as_ref().unwrap().seal().unwrap();
    thread::scope(|scope| {
        for number in 0..4 {
            let history = &history;
            scope.spawn(move || {
                let forgotten = forget(history, &format!("user{number}@x.example")).unwrap();
                assert_eq!(forgotten.records, 3, "{number}");
            });
        }
    });
    for number in 0..6 {
        let found = actions(&ask(&history, &format!("user{number}@x.example"), 9)).concat();
        assert_eq!(found, if number < 4 { "" } else { "EQD" }, "{number}");
    }
    keeper.end();
}

#[test]
fn what_is_old_or_too_much_goes() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    let history = History::of(&keeper);
    let old = now() - 8 * DAY.as_millis() as u64;
    tell_at(&tap, 1, old);
    history.desk.as_ref().unwrap().seal().unwrap();
    tell(&tap, 2);
    history.desk.as_ref().unwrap().seal().unwrap();
    keeper.end();
    let size = Settings { size: 200 << 10, ..settings(folder.path()) };
    let keeper = Keeper::start(&tap, size.clone()).unwrap();
    let history = History::of(&keeper);
    assert_eq!(ask(&history, "4X1", 1), Found::default(), "it is too old");
    assert_eq!(actions(&ask(&history, "4X2", 1)), ["EQD"]);
    for number in 3..30_000 {
        tell(&tap, number);
        if number % 3_000 == 0 {
            keeper.flush();
        }
    }
    assert_eq!(ask(&history, "4X2", 1), Found::default(), "there is no room");
    assert_eq!(actions(&ask(&history, "4X29999", 1)), ["EQD"]);
    // Nothing is removed while somebody reads.
    let octets = || tap.figures().octets.load(Relaxed);
    let until = Instant::now() + Duration::from_secs(20);
    while octets() > 200 << 10 && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    assert!((1..200 << 10).contains(&octets()), "{}", octets());
    keeper.adopt(Settings { size: 0, ..size });
    keeper.flush();
    assert!(!tap.is_open());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    keeper.end();
}

#[test]
fn a_torn_end_is_cut_off_and_a_damaged_block_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    for number in 0..20_000 {
        tell(&tap, number);
        if number % 3_000 == 0 {
            keeper.flush();
        }
    }
    keeper.end();
    let segment = folder.path().join("0000000001.seg");
    let whole = fs::read(&segment).unwrap();
    let mut torn = whole.clone();
    // In the first block, and in the last one.
    torn[1_000] ^= 1;
    torn.truncate(whole.len() - 10);
    fs::write(&segment, &torn).unwrap();
    let history = History::of_files(folder.path());
    assert_eq!(ask(&history, "4X1", 1).messages, []);
    assert_eq!(actions(&ask(&history, "4X10000", 1)), ["EQD"]);
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    let history = History::of(&keeper);
    assert_eq!(actions(&ask(&history, "4X10000", 1)), ["EQD"]);
    tell(&tap, 30_000);
    assert_eq!(actions(&ask(&history, "4X30000", 1)), ["EQD"]);
    history.desk.as_ref().unwrap().seal().unwrap();
    let mut sealed = fs::read(&segment).unwrap();
    let last = sealed.len() - 5;
    sealed[last] ^= 1;
    fs::write(&segment, sealed).unwrap();
    let found = ask(&history, "4X30000", 1);
    assert_eq!((found.messages.len(), found.damaged), (0, 1));
    keeper.end();
}

#[test]
fn damage_of_the_tail_is_told_and_what_is_behind_it_read() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    for number in 0..9 {
        tell(&tap, number);
        keeper.flush();
    }
    keeper.end();
    let tail = folder.path().join("0000000001.tail");
    let whole = fs::read(&tail).unwrap();
    // In the notes of one flush, in the length of another one's, and a torn end.
    for (place, length, lost) in [
        (whole.len() / 3, whole.len(), 1),
        (8, whole.len(), 1),
        (11, whole.len(), 1),
        (usize::MAX, whole.len() - 10, 0),
    ] {
        let mut damaged = whole.clone();
        if let Some(octet) = damaged.get_mut(place) {
            *octet ^= 0x40;
        }
        damaged.truncate(length);
        fs::write(&tail, &damaged).unwrap();
        let tap = Tap::default();
        let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
        keeper.flush();
        let history = History::of(&keeper);
        let read = (0..9).filter(|n| actions(&ask(&history, &format!("4X{n}"), 1)) == ["EQD"]);
        assert_eq!(read.count(), 8, "{place} {length}");
        assert_eq!(tap.figures().lost.load(Relaxed), lost, "{place} {length}");
        keeper.end();
        for file in fs::read_dir(folder.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn files_that_somebody_removes_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("history");
    let tap = Tap::default();
    let keeper = Keeper::start(&tap, settings(&place)).unwrap();
    tell(&tap, 1);
    keeper.flush();
    fs::remove_dir_all(&place).unwrap();
    let is_there = || place.join("0000000001.seg").exists();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !is_there() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(is_there());
    keeper.flush();
    assert_eq!(tap.figures().lost.load(Relaxed), 3, "what had been told and is gone");
    tell(&tap, 2);
    let history = History::of(&keeper);
    assert_eq!(actions(&ask(&history, "4X2", 1)), ["EQD"]);
    keeper.end();
}

#[test]
fn a_segment_that_cannot_be_ended_goes_on() {
    for in_the_way in ["0000000002.seg", "0000000002.tail", "0000000001.idx"] {
        let folder = tempfile::tempdir().unwrap();
        let tap = Tap::default();
        let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
        let history = History::of(&keeper);
        tell(&tap, 1);
        keeper.flush();
        let in_the_way = folder.path().join(in_the_way);
        fs::create_dir(&in_the_way).unwrap();
        let seal = || history.desk.as_ref().unwrap().seal();
        assert!(seal().is_err(), "{}", in_the_way.display());
        fs::remove_dir(&in_the_way).unwrap();
        assert!(!folder.path().join("0000000002.seg").exists(), "{}", in_the_way.display());
        tell(&tap, 2);
        keeper.end();
        let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
        tell(&tap, 3);
        let history = History::of(&keeper);
        for peer_id in ["4X1", "4X2", "4X3"] {
            let found = actions(&ask(&history, peer_id, 1));
            assert_eq!(found, ["EQD"], "{peer_id} {}", in_the_way.display());
        }
        history.desk.as_ref().unwrap().seal().unwrap();
        assert_eq!(actions(&ask(&history, "4X2", 1)), ["EQD"]);
        keeper.end();
    }
}

#[test]
fn notes_that_find_no_room_are_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    let short = Settings { min_free: u64::MAX, ..settings(folder.path()) };
    let keeper = Keeper::start(&tap, short).unwrap();
    keeper.flush();
    let stop = tap.figures().stop().expect("others need the room");
    assert!(stop.why.contains("MiB are wanted") && stop.since <= now(), "{stop:?}");
    tell(&tap, 1);
    keeper.flush();
    assert_eq!(tap.figures().lost.load(Relaxed), 3);
    keeper.end();
    let keeper = Keeper::start(&tap, settings(folder.path())).unwrap();
    // More than a buffer holds, told faster than it is emptied.
    let long = "x".repeat(1_000);
    let note = Note { action: b'J', at: now(), reply: &long, ..Note::default() };
    let many = 200_000;
    for _ in 0..many {
        tap.tell(&note, [].into_iter());
    }
    keeper.flush();
    let figures = tap.figures();
    let lost = figures.lost.load(Relaxed) - 3;
    assert!(lost > 0, "it was fast enough for all of them");
    let found = ask(&History::of(&keeper), "nobody", 1);
    assert_eq!(found.lost.iter().map(|one| one.size).sum::<u64>(), lost);
    keeper.end();
}
