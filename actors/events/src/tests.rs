//! The file, and what waits for a webhook, on a disk.

use std::{fs, io::Write};

use relais_config::EventKind;

use crate::{
    Event, FileSettings, Keeper, Settings, Tap,
    backlog::Backlog,
    batch::Bounds,
    figures::Figures,
    file::{EventLog, numbered},
    hooks::Hooks,
};

const ALL: Bounds = Bounds { events: 1_000, not_before: 0 };

fn line(number: u32) -> Vec<u8> {
    let time = "2026-12-01T00:00:00.000Z";
    format!("{{\"event\":\"e{number}\",\"time\":\"{time}\",\"x\":\"{}\"}}\n", "x".repeat(200))
        .into()
}

#[test]
fn what_waits_outlives_a_restart_and_is_taken_in_order_once() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Backlog::open(folder.path(), 1 << 20).unwrap();
    let mut backlog = open();
    assert!(backlog.batch(ALL).unwrap().is_none());
    for number in 1..=5 {
        assert_eq!(backlog.append(&line(number), 1).unwrap(), 0);
    }
    let two = backlog.batch(Bounds { events: 2, ..ALL }).unwrap().unwrap();
    assert_eq!((two.id(), two.events, backlog.waiting()), ("e1-2".to_owned(), 2, 5));
    backlog.take(&two).unwrap();
    backlog.take(&two).unwrap();
    assert_eq!(backlog.waiting(), 3);
    drop(backlog);
    // The power failed in the middle of a line, and a sector holds something else.
    let segment = folder.path().join("0000000001.events");
    let mut file = fs::OpenOptions::new().append(true).open(segment).unwrap();
    file.write_all(b"\0\0\0\n{\"event\":\"e6").unwrap();
    let mut backlog = open();
    backlog.append(&line(7), 1).unwrap();
    let rest = backlog.batch(ALL).unwrap().unwrap();
    assert_eq!((rest.first.as_str(), rest.events, rest.damaged), ("e3", 3, 1));
    assert!(serde_json::from_slice::<serde_json::Value>(&rest.body).is_ok());
    backlog.take(&rest).unwrap();
    let last = backlog.batch(ALL).unwrap().unwrap();
    assert_eq!((last.first.as_str(), last.events), ("e7", 1));
    // Older than anybody wants.
    let aged = backlog.batch(Bounds { not_before: u64::MAX, ..ALL }).unwrap().unwrap();
    assert_eq!((aged.events, aged.aged), (0, 1));
    backlog.take(&aged).unwrap();
    assert_eq!((backlog.waiting(), backlog.octets()), (0, 0));
    assert_eq!((open().waiting(), fs::read_dir(folder.path()).unwrap().count()), (0, 1));
}

#[test]
fn where_too_many_wait_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut backlog = Backlog::open(folder.path(), 64 << 10).unwrap();
    let (mut lost, all) = (0, 1_000);
    let first = {
        backlog.append(&line(1), 1).unwrap();
        backlog.batch(ALL).unwrap().unwrap()
    };
    for number in 2..=all {
        lost += backlog.append(&line(number), 1).unwrap();
        assert!(backlog.octets() <= 64 << 10);
    }
    assert!(lost > 500 && backlog.waiting() == u64::from(all) - lost, "{lost}");
    assert!(!backlog.is_next(&first));
    backlog.take(&first).unwrap();
    let next = backlog.batch(ALL).unwrap().unwrap();
    assert_eq!(next.first, format!("e{}", lost + 1));
    assert!(backlog.bound(8 << 10).unwrap() > 0 && backlog.octets() <= 8 << 10);
}

#[test]
fn a_file_is_rotated_between_lines_and_made_anew_where_somebody_else_renames_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/events.jsonl");
    let settings = FileSettings { path: path.clone(), wanted: 1, size: 1_000, keep: 2 };
    let mut log = EventLog::new(settings);
    let lines: Vec<u8> = (1..=20).flat_map(line).collect();
    log.write(&lines).unwrap();
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    for file in [path.clone(), numbered(&path, 1), numbered(&path, 2)] {
        let text = read(file);
        assert!(!text.is_empty() && text.len() <= 1_000 && text.ends_with('\n'), "{text}");
    }
    assert!(read(path.clone()).contains("\"e20\"") && !numbered(&path, 3).exists());
    fs::rename(&path, folder.path().join("away")).unwrap();
    log.look_after().unwrap();
    assert_eq!(read(path.clone()), "");
    log.write(&line(21)).unwrap();
    assert!(read(path.clone()).contains("\"e21\""));
    // Half a line of before is told from the next.
    fs::write(&path, "{\"event\":").unwrap();
    log.look_after().unwrap();
    drop(log);
    let mut log = EventLog::new(FileSettings { path: path.clone(), wanted: 1, size: 999, keep: 0 });
    log.write(&line(22)).unwrap();
    assert_eq!(read(path).lines().count(), 2);
}

#[test]
fn a_file_that_is_none_is_refused_without_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
    for path in [path, "/dev/null".into(), folder.path().to_owned()] {
        let settings = FileSettings { path, wanted: 1, size: 1_000, keep: 2 };
        let mut log = EventLog::new(settings);
        let words = "it is no regular file";
        assert_eq!(log.write(&line(1)).unwrap_err().to_string(), words);
        assert_eq!(log.look_after().unwrap_err().to_string(), words);
    }
}

#[test]
fn a_folder_that_is_removed_is_made_again_and_what_was_in_it_is_counted() {
    let top = tempfile::tempdir().unwrap();
    let events = top.path().join("events");
    let mut backlog = Backlog::open(&events.join("h1"), 1 << 20).unwrap();
    for number in 1..=3 {
        backlog.append(&line(number), 1).unwrap();
    }
    let first = backlog.batch(Bounds { events: 1, ..ALL }).unwrap().unwrap();
    backlog.take(&first).unwrap();
    assert_eq!(backlog.look_after().unwrap(), 0);
    fs::remove_dir_all(&events).unwrap();
    assert!(backlog.batch(ALL).unwrap().is_none(), "they cannot be read, and are counted below");
    assert_eq!((backlog.look_after().unwrap(), backlog.waiting()), (2, 0));
    backlog.append(&line(4), 1).unwrap();
    assert_eq!(backlog.batch(ALL).unwrap().unwrap().first, "e4");
    // It cannot be made again, and then it can.
    fs::remove_dir_all(&events).unwrap();
    fs::write(&events, "in its place").unwrap();
    backlog.look_after().unwrap_err();
    fs::remove_file(&events).unwrap();
    backlog.append(&line(5), 1).unwrap();
    assert_eq!(backlog.look_after().unwrap(), 2, "both are in a file of no name");
    fs::write(events.join("h1/taken.new"), "").unwrap();
    backlog.append(&line(6), 1).unwrap();
    assert_eq!(backlog.batch(ALL).unwrap().unwrap().first, "e6");
    fs::rename(&events, top.path().join("away")).unwrap();
    assert_eq!(backlog.look_after().unwrap(), 1);
    assert_eq!((backlog.waiting(), backlog.has_failed()), (0, false));
}

#[test]
fn only_what_looks_like_a_backlog_is_removed() {
    let top = tempfile::tempdir().unwrap();
    let folders = ["gone", "important"].map(|name| top.path().join(name));
    for folder in &folders {
        Backlog::open(folder, 1 << 20).unwrap().append(&line(1), 1).unwrap();
        fs::write(folder.join("taken"), "0 0\n").unwrap();
    }
    fs::write(folders[1].join("1.events"), "somebody else's").unwrap();
    let mut hooks = Hooks::default();
    hooks.adopt(top.path().to_owned(), &[], &Figures::default());
    assert_eq!(folders.each_ref().map(|folder| folder.exists()), [false, true]);
    assert_eq!(fs::read_dir(&folders[1]).unwrap().count(), 3);
}

#[test]
fn trouble_with_the_disk_is_told_and_what_is_lost_by_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (tap, path) = (Tap::default(), folder.path().join("events.jsonl"));
    let file = FileSettings { path, wanted: 8, size: 1 << 20, keep: 0 };
    let min_free = u64::MAX;
    let settings = Settings { min_free, file: Some(file), ..Settings::default() };
    let keeper = Keeper::start(&tap, settings.clone()).unwrap();
    let why = || tap.figures().file_trouble().map_or(String::new(), |its| its.why);
    tap.tell(&Event::new(EventKind::Held, "2026-12-01T00:00:00.000Z".to_owned()));
    keeper.flush();
    assert_eq!(why(), "less than spool.min_free is free on its disk");
    assert_eq!(tap.figures().file_trouble().map(|its| its.lost), Some(1));
    keeper.adopt(Settings { min_free: 0, ..settings });
    keeper.flush();
    for _ in 0..100 {
        if why().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(why(), "");
    keeper.end();
}

#[test]
fn what_nobody_wants_is_not_told_and_what_comes_too_fast_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let tap = Tap::default();
    let event = |kind| Event {
        reason: "x".repeat(1_000).into(),
        ..Event::new(kind, "2026-12-01T00:00:00.000Z".to_owned())
    };
    tap.tell(&event(EventKind::Held));
    let file = FileSettings { path: path.clone(), wanted: 8, size: 1 << 30, keep: 0 };
    let settings = Settings { node: "a.test".to_owned(), file: Some(file), ..Settings::default() };
    let keeper = Keeper::start(&tap, settings).unwrap();
    assert!(tap.wants(EventKind::Held) && !tap.wants(EventKind::Deferred));
    tap.tell(&event(EventKind::Deferred));
    let told = 60_000;
    for _ in 0..told {
        tap.tell(&event(EventKind::Held));
    }
    keeper.flush();
    keeper.end();
    let lines = fs::read_to_string(&path).unwrap();
    let written = lines.lines().count() as u64;
    assert_eq!(written + tap.figures().lost_in_memory(), told);
    assert_eq!(tap.figures().count(EventKind::Held), written);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["node"], &first["kind"]), (&"a.test".into(), &"held".into()));
    assert!(first["event"].as_str().is_some_and(|id| id.ends_with("-1")), "{first}");
    assert!(!tap.wants(EventKind::Held));
}
