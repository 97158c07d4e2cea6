//! Appends through locks, faults and crashes.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    thread,
    time::Duration,
};

use bytes::Bytes;
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};
use rustix::process::{getegid, geteuid};

use super::*;
use crate::disk::RealDisk;
use crate::{
    mail::Content,
    mbox::Owner,
    memory_disk::{Fate, MemoryDisk},
};

const NOW: i64 = 1_795_305_600_000;

fn owner() -> Owner {
    Owner { user: geteuid().as_raw(), group: getegid().as_raw() }
}

fn message(text: &str) -> MboxMessage {
    let content =
        Content::Whole(Bytes::from(format!("Subject: {text}\r\n\r\nFrom me: {text}\r\n")));
    MboxMessage { sender: "a@b".into(), head: b"Return-Path: <a@b>\n".to_vec(), content }
}

fn stored(text: &str) -> String {
    let date = from_date(NOW);
    format!("From a@b  {date}\nReturn-Path: <a@b>\nSubject: {text}\n\n>From me: {text}\n\n")
}

struct Scene {
    folder: tempfile::TempDir,
    appender: Appender,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mail")).unwrap();
        let appender = Appender::open(&RealDisk, &folder.path().join("intents")).unwrap();
        Self { folder, appender }
    }

    fn place(&self, name: &str) -> FilePlace {
        FilePlace::mailbox(&self.folder.path().join("mail"), name, owner()).unwrap()
    }

    fn append(&mut self, name: &str, texts: &[&str]) -> AppendOutcomes {
        let (place, messages): (_, Vec<_>) =
            (self.place(name), texts.iter().map(|text| message(text)).collect());
        let batch = AppendBatch { place: &place, messages: &messages };
        self.appender.append(&[batch], NOW).remove(0)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.place(name).path()).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.place(name).path(), text).unwrap();
    }
}

fn all_well(count: usize) -> AppendOutcomes {
    AppendOutcomes::Each(vec![Ok(()); count])
}

#[test]
fn messages_lie_one_behind_the_other() {
    let mut scene = Scene::new();
    assert_eq!(scene.append("joe", &["one", "two"]), all_well(2));
    assert_eq!(scene.append("joe", &["three"]), all_well(1));
    assert_eq!(scene.text("joe"), ["one", "two", "three"].map(stored).concat());
    let meta = fs::metadata(scene.place("joe").path()).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, owner().user));
    let names: Vec<_> = fs::read_dir(scene.folder.path().join("mail")).unwrap().collect();
    assert_eq!(names.len(), 1, "no lock is left: {names:?}");
    // A message that others left without an end does not swallow a message.
    for (before, gap) in [("", ""), ("x\n\n", ""), ("x\n", "\n"), ("x", "\n\n"), ("\n", "")] {
        scene.write("kim", before);
        assert_eq!(scene.append("kim", &["one"]), all_well(1));
        assert_eq!(scene.text("kim"), format!("{before}{gap}{}", stored("one")), "{before:?}");
    }
}

#[test]
fn nothing_is_written_into_what_is_no_mailbox() {
    let mut scene = Scene::new();
    let path = |name: &str| scene.place(name).path();
    fs::write(path("other"), "").unwrap();
    symlink("other", path("link")).unwrap();
    symlink("/nowhere", path("astray")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    fs::hard_link(path("other"), path("again")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    fs::write(path("program"), "").unwrap();
    fs::set_permissions(path("program"), Permissions::from_mode(0o700)).unwrap();
    for name in ["link", "astray", "folder", "again", "other", "pipe", "socket", "program"] {
        let outcomes = scene.append(name, &["one"]);
        let AppendOutcomes::Each(each) = &outcomes else { panic!("{name}: {outcomes:?}") };
        assert!(matches!(each[0], Err(AppendError::Unfit(_))), "{name}: {outcomes:?}");
    }
    assert_eq!(scene.text("other"), "");
    if geteuid().is_root() {
        scene.write("theirs", "");
        std::os::unix::fs::chown(scene.place("theirs").path(), Some(1), None).unwrap();
        assert_eq!(
            scene.append("theirs", &["one"]),
            AppendOutcomes::Each(vec![Err(AppendError::NotOwned(1))])
        );
    }
}

/// Root is let into everything: so the file is reached as somebody else.
#[test]
fn a_file_that_may_not_be_written_is_said_to_be_one() {
    let mut scene = Scene::new();
    let (folder, own) = (scene.folder.path().join("mail"), owner());
    fs::set_permissions(scene.folder.path(), Permissions::from_mode(0o755)).unwrap();
    scene.write("read", "");
    fs::set_permissions(scene.place("read").path(), Permissions::from_mode(0o444)).unwrap();
    let somebody = if geteuid().is_root() { Owner { user: 20_001, group: 20_001 } } else { own };
    let place = FilePlace::file(&folder, &folder.join("read"), somebody).unwrap();
    let batch = AppendBatch { place: &place, messages: &[message("one")] };
    let outcomes = scene.appender.append(&[batch], NOW).remove(0);
    assert_eq!(outcomes, AppendOutcomes::Each(vec![Err(AppendError::Denied("open"))]));
}

#[test]
fn locks_of_others_are_respected_and_one_is_not_kept_without_the_other() {
    let mut scene = Scene::new();
    scene.write("joe", "");
    let dot = scene.place("joe").path().with_extension("lock");
    let fcntl_lock = |kind: libc::c_int| libc::flock {
        l_type: kind as libc::c_short,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let other = fs::File::options().read(true).write(true).open(scene.place("joe").path()).unwrap();
    // A reader's lock, too.
    for kind in [libc::F_WRLCK, libc::F_RDLCK] {
        fcntl(&other, FcntlArg::F_OFD_SETLK(&fcntl_lock(kind))).unwrap();
        assert_eq!(scene.append("joe", &["one"]), AppendOutcomes::Busy);
        assert!(!dot.exists());
    }
    fcntl(&other, FcntlArg::F_OFD_SETLK(&fcntl_lock(libc::F_UNLCK))).unwrap();
    fs::write(&dot, "").unwrap();
    assert_eq!(scene.append("joe", &["one"]), AppendOutcomes::Busy);
    fcntl(&other, FcntlArg::F_OFD_SETLK(&fcntl_lock(libc::F_WRLCK))).unwrap();
    fcntl(&other, FcntlArg::F_OFD_SETLK(&fcntl_lock(libc::F_UNLCK))).unwrap();
    assert!(dot.exists(), "it is not ours");
    // A lock of a program that died long ago.
    let old = std::time::SystemTime::now() - Duration::from_secs(301);
    fs::File::options().write(true).open(&dot).unwrap().set_modified(old).unwrap();
    assert_eq!(scene.append("joe", &["one"]), all_well(1));
    assert_eq!((scene.text("joe"), dot.exists()), (stored("one"), false));
}

#[test]
fn writers_at_once_lose_nothing() {
    let scene = Scene::new();
    let (folder, mail) = (scene.folder.path(), scene.folder.path().join("mail"));
    thread::scope(|threads| {
        for writer in 0..4 {
            let mail = &mail;
            threads.spawn(move || {
                let intents = folder.join(format!("intents-{writer}"));
                let mut appender = Appender::open(&RealDisk, &intents).unwrap();
                let place = FilePlace::mailbox(mail, "joe", owner()).unwrap();
                let messages = [message(&format!("{writer}"))];
                let batch = [AppendBatch { place: &place, messages: &messages }];
                for _ in 0..50 {
                    while appender.append(&batch, NOW)[0] == AppendOutcomes::Busy {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
    });
    let text = scene.text("joe");
    assert_eq!(text.matches("\nSubject: ").count(), 200);
    let lengths = ["0", "1", "2", "3"].map(|writer| stored(writer).len() * 50);
    assert_eq!(text.len(), lengths.iter().sum::<usize>());
}

#[test]
fn a_file_is_reached_with_its_owners_rights_alone() {
    if !geteuid().is_root() {
        return;
    }
    let mut scene = Scene::new();
    let home = scene.folder.path().join("home");
    let joe = Owner { user: 12_345, group: 12_345 };
    fs::create_dir(&home).unwrap();
    fs::set_permissions(scene.folder.path(), Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&home, Some(joe.user), Some(joe.group)).unwrap();
    fs::write(home.join("ours"), "").unwrap();
    fs::set_permissions(home.join("ours"), Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(home.join("closed")).unwrap();
    symlink("/tmp", home.join("tmp")).unwrap();
    let mut append = |path: &str| {
        let place = FilePlace::file(&home, &home.join(path), joe).unwrap();
        let messages = [message("one")];
        let batch = AppendBatch { place: &place, messages: &messages };
        match scene.appender.append(&[batch], NOW).remove(0) {
            AppendOutcomes::Each(mut each) => each.remove(0),
            AppendOutcomes::Busy => panic!("{path} is busy"),
        }
    };
    assert_eq!(append("new"), Ok(()));
    let meta = fs::metadata(home.join("new")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (joe.user, joe.group, 0o600));
    assert!(matches!(append("ours"), Err(AppendError::Denied("open"))));
    assert!(matches!(append("closed/new"), Err(AppendError::Denied("create"))));
    assert!(matches!(append("tmp/new"), Err(AppendError::Unfit(_))));
    // The thread is itself again.
    fs::write(home.join("closed/root"), "").unwrap();
    assert_eq!(fs::metadata(home.join("closed/root")).unwrap().uid(), 0);
}

#[test]
fn a_message_that_cannot_be_read_costs_the_others_nothing() {
    let mut scene = Scene::new();
    let place = scene.place("joe");
    let lost = Content::File { path: "/nowhere".into(), size: 7 };
    let messages = [message("one"), MboxMessage { content: lost, ..message("x") }, message("two")];
    let AppendOutcomes::Each(each) =
        scene.appender.append(&[AppendBatch { place: &place, messages: &messages }], NOW).remove(0)
    else {
        panic!()
    };
    assert!(matches!(each[..], [Ok(()), Err(AppendError::Unread(_)), Ok(())]), "{each:?}");
    assert_eq!(scene.text("joe"), ["one", "two"].map(stored).concat());
}

const MAILBOX: &str = "/mail/joe";
const BEFORE: &str = "From x  Thu Jan  1 00:00:00 1970\n\nold\n\n";

/// Texts of two batches; one of their messages is larger than what is written at once.
fn batches() -> [Vec<MboxMessage>; 2] {
    let large = format!("large {}", "x\r\nFrom y\r\n".repeat(40_000));
    [vec![message("one"), message(&large)], vec![message("two"), message("three")]]
}

/// A run as far as the disk lets it; the number of messages that were answered for.
fn run(disk: &MemoryDisk) -> usize {
    let (mut answered, place) =
        (0, FilePlace::mailbox(Path::new("/mail"), "joe", owner()).unwrap());
    let opened = Appender::open(disk, Path::new("/data/intents"));
    let Ok((mut appender, file)) = opened.and_then(|it| Ok((it, disk.open(Path::new(MAILBOX))?)))
    else {
        return 0;
    };
    for messages in batches() {
        let batch = AppendBatch { place: &place, messages: &messages };
        let Ok(length) = file.size() else { break };
        let Ok((planned, _)) = plan(&*file, &batch, ((1, 1), length), &from_date(NOW)) else {
            break;
        };
        let outcomes = appender.commit(&[(&*file, &planned)], &from_date(NOW));
        if outcomes != [Ok(())] {
            break;
        }
        answered += messages.len();
    }
    answered
}

/// The mailbox with the first messages, for each number of them.
fn prefixes() -> Vec<Vec<u8>> {
    struct Octets(Vec<u8>);
    impl Sink for Octets {
        fn take(&mut self, octets: &[u8]) -> io::Result<()> {
            self.0.extend_from_slice(octets);
            Ok(())
        }
    }
    let mut all = Octets(BEFORE.as_bytes().to_vec());
    let mut found = vec![all.0.clone()];
    for message in batches().iter().flatten() {
        message.encode(None, &from_date(NOW), &mut all).unwrap();
        found.push(all.0.clone());
    }
    found
}

fn fresh() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.put(Path::new(MAILBOX), BEFORE.as_bytes().to_vec());
    disk
}

/// Undoes what a crash left.
fn restart(disk: &MemoryDisk) {
    let Ok(appender) = Appender::open(disk, Path::new("/data/intents")) else { return };
    let file = disk.open(Path::new(MAILBOX)).unwrap();
    for intent in &appender.left {
        undo(&*file, intent).unwrap();
    }
}

#[test]
fn a_crash_at_any_step_leaves_whole_messages_and_every_one_that_was_answered_for() {
    let prefixes = prefixes();
    let whole = fresh();
    assert_eq!(run(&whole), 4);
    let mut torn = 0;
    for step in 0..whole.operations() {
        let disk = fresh();
        disk.stop_at(step);
        let answered = run(&disk);
        let fates =
            (0..40).map(|seed| Fate::Torn(seed << 32 | step)).chain([Fate::Kept, Fate::Dropped]);
        for fate in fates {
            let after = disk.after_crash(fate);
            let found = after.contents(Path::new(MAILBOX)).unwrap();
            torn += usize::from(!prefixes.contains(&found));
            restart(&after);
            let found = after.contents(Path::new(MAILBOX)).unwrap();
            let messages = prefixes.iter().position(|prefix| *prefix == found);
            let messages = messages.unwrap_or_else(|| panic!("torn at {step}, {fate:?}"));
            assert!(messages >= answered, "{messages} of {answered} at {step}, {fate:?}");
        }
    }
    assert!(torn > 20, "the test tears: {torn}");
}

#[test]
fn a_full_disk_and_a_failed_sync_take_nothing_and_leave_nothing() {
    let size = |disk: &MemoryDisk| disk.contents(Path::new(MAILBOX)).unwrap();
    let prefixes = prefixes();
    for room in (0..800_000).step_by(20_011) {
        let disk = fresh();
        disk.put(Path::new("/data/intents"), vec![0; 4096]);
        disk.fill_up_to(room);
        let answered = run(&disk);
        assert_eq!(size(&disk), prefixes[answered], "{room}");
    }
    for failing in 1..4 {
        let disk = fresh();
        disk.fail_syncs(failing);
        let answered = run(&disk);
        assert_eq!((answered, size(&disk)), (0, prefixes[0].clone()), "{failing}");
    }
}

#[test]
fn what_others_wrote_after_a_crash_stays() {
    let place = FilePlace::mailbox(Path::new("/mail"), "joe", owner()).unwrap();
    let messages = &batches()[1];
    let theirs = "From z@z  Sun Nov 29 20:54:45 2026\n\ntheirs\n\n";
    let all = [BEFORE, &stored("two"), &stored("three")].concat();
    let half = &all[..BEFORE.len() + 60];
    let rows = [
        ("nothing", BEFORE.to_owned(), BEFORE.to_owned()),
        ("half a message", half.to_owned(), BEFORE.to_owned()),
        ("the first octet", all[..=BEFORE.len()].to_owned(), BEFORE.to_owned()),
        (
            "one of two",
            all[..BEFORE.len() + stored("two").len()].to_owned(),
            [BEFORE, &stored("two")].concat(),
        ),
        ("one and a half", all[..all.len() - 9].to_owned(), BEFORE.to_owned()),
        ("all", all.clone(), all.clone()),
        ("theirs instead", format!("{BEFORE}{theirs}"), format!("{BEFORE}{theirs}")),
        ("theirs behind half", format!("{half}{theirs}"), format!("{half}{theirs}")),
        ("theirs behind half a line", format!("{half}\n{theirs}"), format!("{half}\n{theirs}")),
        ("zeros", format!("{half}{}", "\0".repeat(9)), BEFORE.to_owned()),
        ("expunged", "From".to_owned(), "From".to_owned()),
        (
            "rewritten",
            format!("{BEFORE}{}", &half.replace("Return", "Status")[BEFORE.len()..]),
            format!("{BEFORE}{}", &half.replace("Return", "Status")[BEFORE.len()..]),
        ),
    ];
    for (name, found, want) in rows {
        let disk = fresh();
        let file = disk.open(Path::new(MAILBOX)).unwrap();
        let batch = AppendBatch { place: &place, messages };
        let (planned, _) =
            plan(&*file, &batch, ((1, 1), BEFORE.len() as u64), &from_date(NOW)).unwrap();
        disk.put(Path::new(MAILBOX), found.into_bytes());
        let file = disk.open(Path::new(MAILBOX)).unwrap();
        undo(&*file, &planned.intent).unwrap();
        let left = disk.contents(Path::new(MAILBOX)).unwrap();
        assert_eq!(String::from_utf8(left).unwrap(), want, "{name}");
    }
}

#[test]
fn a_start_undoes_what_a_crash_left_as_soon_as_the_file_is_free() {
    let mut scene = Scene::new();
    scene.write("joe", BEFORE);
    let place = scene.place("joe");
    let messages = [message("lost")];
    {
        let held = Held::open(&place, false).unwrap().unwrap();
        let batch = AppendBatch { place: &place, messages: &messages };
        let (planned, _) =
            plan(held.file(), &batch, (held.identity, held.length), &from_date(NOW)).unwrap();
        scene.appender.intents.write(&[&planned.intent]).unwrap();
    }
    let half = &stored("lost")[..50];
    scene.write("joe", &format!("{BEFORE}{half}"));
    let dot = place.path().with_extension("lock");
    fs::write(&dot, "").unwrap();
    let mut again = Appender::open(&RealDisk, &scene.folder.path().join("intents")).unwrap();
    assert_eq!((again.recover(), again.has_left()), (vec![], true));
    // Other mail meanwhile; the intent is not forgotten.
    let (kim, other) = (scene.place("kim"), [message("other")]);
    again.append(&[AppendBatch { place: &kim, messages: &other }], NOW);
    let mut again = Appender::open(&RealDisk, &scene.folder.path().join("intents")).unwrap();
    fs::remove_file(&dot).unwrap();
    let undone = Undone { path: place.path(), is_undone: true };
    assert_eq!((again.recover(), again.has_left()), (vec![undone], false));
    assert_eq!(scene.text("joe"), BEFORE);
    let mut again = Appender::open(&RealDisk, &scene.folder.path().join("intents")).unwrap();
    assert_eq!(again.recover(), []);
}
