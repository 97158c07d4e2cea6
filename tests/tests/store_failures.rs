//! The store on disks that fail, and processes that die: what got its 250 is there afterwards.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Settings, Sink, SmallDisk, eventually, fetch, mailbox, message, needs,
    needs_root, within,
};
use tempfile::TempDir;

#[test]
fn what_the_store_acknowledged_outlives_kill_9_under_load() {
    let instance = Instance::new(Settings::standalone());
    let mut running = instance.start();
    let load = Load::start(instance.settings.lmtp);
    for round in 0..rounds(4) {
        thread::sleep(Duration::from_millis(150 + round * 37 % 200));
        running.kill();
        running = instance.start();
    }
    let load = load.end();
    drop(running);
    load.is_all_in(&instance.store(), "kill -9");
}

#[test]
fn what_the_store_acknowledged_outlives_a_file_system_that_fails_and_is_mounted_anew() {
    if !needs_root() || !needs(&["losetup", "mkfs.ext4", "mount"]) {
        return;
    }
    let mut all = Load::default();
    let mut disk = Disk::new("1G", &[]);
    let instance = Instance::new(on(&disk));
    for round in 0..rounds(2) {
        let running = instance.start();
        let load = Load::start(instance.settings.lmtp);
        thread::sleep(Duration::from_millis(700 + round * 131 % 900));
        disk.abort();
        eventually("the store notices", Duration::from_secs(20), || !instance.is_ready());
        let page = fetch(instance.settings.admin, "/readyz").expect("a page");
        assert!(page.body.contains("journal"), "{}", page.body);
        assert!(instance.metric("relais_not_ready") > 0.0);
        let told = || instance.log().contains("its journal or its file system failed");
        eventually("the failure is told", Duration::from_secs(20), told);
        running.kill();
        all.add(load.end());
        disk.mount_anew();
    }
    drop(instance.start());
    all.is_all_in(&disk.path(), "remounted");
}

#[test]
fn a_full_store_keeps_nothing_else_from_starting_and_gets_its_mail_when_there_is_room() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let disk = SmallDisk::mounted("24m");
    let store = disk.path().join("store");
    let path = format!("path: \"{}\"", store.display());
    let instance = Instance::new(Settings::standalone().edit("path: \"store\"", &path));
    let running = instance.start();
    let (mut client, _) = Dialogue::connect(instance.settings.lmtp).expect("a session");
    client.ask("LHLO a.test").expect(250);
    client.message("a@a.test", &["alice"], &message("kept", 50_000)).expect(250);
    running.kill();
    // Only the journal has it now.
    let new = store.join("relais.example/alice/Maildir/new");
    for file in fs::read_dir(&new).expect("a mailbox") {
        fs::remove_file(file.expect("readable").path()).expect("ours");
    }
    let filler = disk.path().join("filler");
    let _ = fs::write(&filler, vec![0; 24 << 20]);
    let _running = instance.spawn();
    let told = || fetch(instance.settings.admin, "/readyz").is_ok_and(|p| p.body.contains("room"));
    eventually("it runs, and says what it waits for", Duration::from_secs(20), told);
    fs::remove_file(filler).expect("ours");
    eventually("it is ready", Duration::from_secs(20), || instance.is_ready());
    assert_eq!(mailbox(&store, "relais.example", "alice").len(), 1);
}

/// A relay of ours in front of a store of ours, whose folder is taken away under load.
#[test]
fn mail_for_a_store_that_is_away_waits_is_probed_and_goes_as_soon_as_it_is_back() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let store = Instance::new(Settings::standalone());
    let _store = store.start();
    let backoff = "backoff: [\"1h\"]";
    let settings = Settings::standalone().deliver_to(store.settings.lmtp);
    let relay = Instance::new(settings.channel("tcp_lmtpcs", backoff));
    let _relay = relay.start();
    let load = relais_tests::Load::new(relay.settings.smtp, "alice@relais.example", 2 << 10);
    load.run(1, 20);
    eventually("an empty queue", PATIENCE, || relay.queue().is_empty());
    let delivered = load.acknowledged().len();
    let elsewhere = store.path("elsewhere");
    fs::rename(store.store(), &elsewhere).expect("allowed");
    load.run(2, 50);
    let mut client = Dialogue::open(relay.settings.smtp);
    // One that the store would keep in a file while it comes in.
    let large = message("a large one", 600 << 10);
    client.message("a@sender.test", &["alice@relais.example"], &large).expect(250);
    let waiting = load.acknowledged().len() - delivered + 1;
    let why = || {
        let id = relay.queue().first().and_then(|entry| Some(entry["id"].as_str()?.to_owned()));
        let why = relay.relais("queue", &["why", &id.unwrap_or_default()]);
        String::from_utf8_lossy(&why.stdout).into_owned()
    };
    eventually("it waits, and why is told", PATIENCE, || {
        why().contains("430 4.3.0 the store is not available")
    });
    assert_eq!(relay.queue().len(), waiting);
    assert!(!store.store().exists(), "nothing has grown there");
    let tried = || relay.log().matches("the store is not available").count();
    let before = tried();
    eventually("it is probed", PATIENCE, || tried() > before + 1);
    assert!(tried() < before + 10, "and no more than that: {}", relay.log());
    fs::rename(&elsewhere, store.store()).expect("nothing is in the way");
    // The usual wait is an hour.
    eventually("all of it goes", PATIENCE, || relay.queue().is_empty());
    let there = mailbox(&store.store(), "relais.example", "alice");
    assert_eq!(there.len(), load.acknowledged().len() + 1);
    assert_eq!(relay.metric("relais_notices_total").to_string(), "0", "nobody was told");
}

/// Alice's mailbox lies on a disk of its own, which is full; later all of the store is.
#[test]
fn what_the_store_refused_is_not_delivered_by_a_start_after_kill_9() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let disk = SmallDisk::mounted("24m");
    let store = disk.path().join("store");
    let path = format!("path: \"{}\"", store.display());
    let instance = Instance::new(Settings::standalone().edit("path: \"store\"", &path));
    let running = instance.start();
    let to = ["alice@relais.example", "bob@relais.example"];
    assert!(deliver_to(&instance, &to[1..], "first")[0].starts_with("250"));
    let alice = store.join("relais.example/alice");
    fs::create_dir(&alice).expect("room");
    let hers = SmallDisk::over(&alice, "1m");
    assert!(deliver_to(&instance, &to[..1], "second")[0].starts_with("250"));
    let filler = alice.join("filler");
    let _ = fs::write(&filler, vec![0; 2 << 20]);
    let replies = deliver_to(&instance, &to, "refused by one");
    running.kill();
    assert!(replies[0].starts_with("452 4.3.1") && replies[1].starts_with("250"), "{replies:?}");
    let running = instance.start();
    let log = instance.log();
    assert!(!log.contains("it is kept in .lost"), "{log}");
    fs::remove_file(&filler).expect("ours");
    let count = |user| mailbox(&store, "relais.example", user).len();
    assert_eq!((count("alice"), count("bob")), (1, 2));
    let filler = disk.path().join("filler");
    let _ = fs::write(&filler, vec![0; 24 << 20]);
    let replies = deliver_to(&instance, &to[1..], "refused by all");
    running.kill();
    assert!(replies[0].starts_with("452 4.3.1"), "{replies:?}");
    fs::remove_file(&filler).expect("ours");
    let running = instance.start();
    assert_eq!((count("alice"), count("bob")), (1, 2));
    drop((running, hers));
}

/// Only the journal has their message, and the disk of Alice's mailbox is full.
#[test]
fn a_mailbox_that_is_full_alone_keeps_no_other_from_being_opened_by_a_start() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let instance = Instance::new(Settings::standalone());
    let alice = instance.store().join("relais.example/alice");
    fs::create_dir_all(&alice).expect("room");
    let hers = SmallDisk::over(&alice, "1m");
    let running = instance.start();
    let to = ["alice@relais.example", "bob@relais.example"];
    assert!(deliver_to(&instance, &to, "both").iter().all(|reply| reply.starts_with("250")));
    running.kill();
    for user in ["alice", "bob"] {
        let new = instance.store().join(format!("relais.example/{user}/Maildir/new"));
        for file in fs::read_dir(new).expect("a mailbox") {
            fs::remove_file(file.expect("readable").path()).expect("ours");
        }
    }
    let _ = fs::write(alice.join("filler"), vec![0; 2 << 20]);
    let running = instance.start();
    assert!(instance.is_ready());
    assert_eq!(mailbox(&instance.store(), "relais.example", "bob").len(), 1);
    let told = |log: &str| {
        log.lines().any(|line| {
            line.contains("kept in .lost") && line.contains("relais.example/alice/Maildir")
        })
    };
    eventually("it is told whose it is", Duration::from_secs(20), || told(&instance.log()));
    assert_eq!(fs::read_dir(instance.store().join(".lost")).expect("a folder").count(), 1);
    drop((running, hers));
}

#[test]
fn a_spool_that_cannot_be_written_is_not_ready_until_it_can_with_or_without_mail() {
    if !needs_root() || !needs(&["strace"]) {
        return;
    }
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    let send = || {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@sender.test", &["alice@relais.example"], &message("spool", 500)).code
    };
    assert_eq!(send(), 250);
    let strace = Strace::failing(running.pid(), "fdatasync:error=EIO");
    eventually("mail is refused", Duration::from_secs(60), || send() == 451);
    assert!(!instance.is_ready());
    let page = fetch(instance.settings.admin, "/readyz").expect("a page");
    assert!(page.body.contains("new mail is refused: "), "{}", page.body);
    assert!(instance.metric("relais_spool_refusing") > 0.0);
    drop(strace);
    eventually("it is ready by itself", Duration::from_secs(30), || instance.is_ready());
    assert_eq!((instance.metric("relais_spool_refusing"), send()), (0.0, 250));
    // Nothing of that is left, and no start minds it.
    running.kill();
    let _running = instance.start();
    assert!(!instance.data().join("spool/trial").exists());
}

#[test]
fn a_failed_sync_of_the_journal_is_told_once_and_deliveries_go_on() {
    if !needs_root() || !needs(&["strace"]) {
        return;
    }
    let mut all = Load::default();
    let instance = Instance::new(Settings::standalone());
    for round in 0..rounds(2) {
        let running = instance.start();
        let load = Load::start(instance.settings.lmtp);
        let told = || instance.log().matches("its journal or its file system failed").count();
        let (before, sent) = (told(), load.sent());
        let strace = Strace::failing(running.pid(), "fdatasync:error=EIO:when=3");
        eventually("the failure is told", Duration::from_secs(60), || told() > before);
        drop(strace);
        eventually("deliveries go on", Duration::from_secs(60), || load.sent() > sent + 50);
        eventually("it is well again", Duration::from_secs(30), || instance.is_ready());
        assert_eq!(told(), before + 1, "round {round}");
        running.kill();
        all.add(load.end());
    }
    drop(instance.start());
    all.is_all_in(&instance.store(), "failed syncs");
}

#[test]
fn a_store_that_cannot_be_written_says_so_at_start() {
    if !needs_root() || !needs(&["losetup", "mkfs.ext4", "mount"]) {
        return;
    }
    let disk = Disk::new("16M", &[]);
    let instance = Instance::new(on(&disk));
    drop(instance.start());
    disk.run("mount", &["-o", "remount,ro"]);
    let (status, _) = instance.spawn().wait(Duration::from_secs(30));
    assert!(!status.success());
    let log = instance.log();
    assert!(log.contains("mount the file system for writing"), "{log}");
    disk.run("mount", &["-o", "remount,rw"]);
    drop(instance.start());
}

#[test]
fn a_store_without_inodes_says_so_and_delivers_when_there_are_some() {
    if !needs_root() || !needs(&["losetup", "mkfs.ext4", "mount"]) {
        return;
    }
    let disk = Disk::new("32M", &["-N", "96"]);
    let instance = Instance::new(on(&disk));
    let running = instance.start();
    let mut files = 0;
    while fs::write(disk.path().join(format!("rest.{files}")), "").is_ok() {
        files += 1;
    }
    let reply = deliver(instance.settings.lmtp, "one");
    assert!(reply.starts_with("452"), "{reply}");
    let log = instance.log();
    assert!(log.contains("inodes"), "{log}");
    drop(running);
    // A start in this state is no worse.
    let running = instance.start();
    for n in 0..files {
        fs::remove_file(disk.path().join(format!("rest.{n}"))).expect("it was made");
    }
    eventually("mail is delivered again", Duration::from_secs(30), || {
        deliver(instance.settings.lmtp, "two").starts_with("250")
    });
    drop(running);
}

#[test]
fn a_spool_without_inodes_says_so_and_a_restart_in_that_state_drains_the_queue() {
    if !needs_root() || !needs(&["losetup", "mkfs.ext4", "mount"]) {
        return;
    }
    let disk = Disk::new("64M", &["-N", "160"]);
    let sink = Sink::start();
    sink.pause();
    let settings = Settings::standalone()
        .deliver_to(sink.port)
        .section("spool: (segment_size: \"1MiB\", min_free: \"0B\")");
    let instance = Instance::in_data(settings, &disk.path().join("data"));
    let running = instance.start();
    let load = relais_tests::Load::new(instance.settings.smtp, "alice@relais.example", 16 << 10);
    load.run(2, 60);
    let acknowledged = load.acknowledged();
    assert_eq!(acknowledged.len(), 60);
    let mut files = 0;
    while fs::write(disk.path().join(format!("rest.{files}")), "").is_ok() {
        files += 1;
    }
    // Every segment that is begun wants two files.
    let more = relais_tests::Load::new(instance.settings.smtp, "alice@relais.example", 64 << 10);
    more.run(1, 40);
    let told = || instance.log().contains("no inodes left");
    assert!(told(), "{}", instance.log());
    let acknowledged = [acknowledged, more.acknowledged()].concat();
    running.kill();
    let running = instance.start();
    sink.resume();
    eventually("the queue is drained", Duration::from_secs(90), || {
        sink.missing(&acknowledged).is_empty()
    });
    drop(running);
}

#[test]
fn a_segment_that_vanished_is_named_by_spool_check_and_at_start() {
    let sink = Sink::start();
    sink.pause();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let mut running = instance.start();
    let load = relais_tests::Load::new(instance.settings.smtp, "alice@relais.example", 1 << 10);
    load.run(1, 5);
    running.terminate();
    running.wait(Duration::from_secs(60));
    let spool = instance.data().join("spool");
    let name = fs::read_dir(&spool)
        .expect("a spool")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .find(|name| Path::new(name).extension().is_some_and(|kind| kind == "msg"))
        .expect("a segment");
    let set_aside = instance.path("set-aside");
    fs::rename(spool.join(&name), &set_aside).expect("allowed");
    let check = instance.relais("spool", &["check"]);
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("missing: the segment {name}")), "{text}");
    assert!(text.contains("0 damaged, 1 missing"), "{text}");
    let mut running = instance.start();
    let log = instance.log();
    assert!(log.contains("a segment of the spool is gone") && log.contains(&name), "{log}");
    running.terminate();
    running.wait(Duration::from_secs(60));
    // Put back, it is mail again.
    fs::rename(&set_aside, spool.join(&name)).expect("allowed");
    assert!(instance.relais("spool", &["check"]).status.success());
    let _running = instance.start();
    sink.resume();
    eventually("its mail is delivered", Duration::from_secs(60), || {
        sink.missing(&load.acknowledged()).is_empty()
    });
}

#[test]
fn what_was_removed_two_seconds_after_it_came_stays_removed_after_kill_9() {
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    assert!(deliver(instance.settings.lmtp, "to be removed").starts_with("250"));
    let new = instance.store().join("relais.example/user0/Maildir/new");
    // Two seconds until the checkpoint, and what a busy machine takes for it.
    thread::sleep(Duration::from_secs(5));
    for entry in fs::read_dir(&new).expect("a mailbox") {
        fs::remove_file(entry.expect("an entry").path()).expect("allowed");
    }
    running.kill();
    drop(instance.start());
    assert_eq!(fs::read_dir(&new).expect("a mailbox").count(), 0);
}

/// A file with a file system in it, mounted.
struct Disk {
    folder: TempDir,
    device: String,
}

impl Disk {
    fn new(size: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        run("truncate", &["-s", size, &image.to_string_lossy()]);
        run("mkfs.ext4", &[&["-q", "-F"], options, &[&*image.to_string_lossy()]].concat());
        let device = run("losetup", &["-f", "--show", &image.to_string_lossy()]);
        let disk = Self { folder, device };
        fs::create_dir(disk.path()).expect("room");
        disk.mount();
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&self) {
        run("mount", &[&self.device, &self.path().to_string_lossy()]);
    }

    /// Runs a command on the place where it is mounted.
    fn run(&self, program: &str, args: &[&str]) {
        run(program, &[args, &[&*self.path().to_string_lossy()]].concat());
    }

    /// As after an error of the device: the file system takes nothing more.
    fn abort(&self) {
        self.run("mount", &["-o", "remount,abort"]);
    }

    fn mount_anew(&mut self) {
        self.run("umount", &[]);
        // An aborted journal is replayed by the check, or by the mount.
        let _ = Command::new("fsck.ext4")
            .args(["-p", &self.device])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        within(Duration::from_secs(10), || {
            Command::new("umount").arg(self.path()).status().is_ok_and(|status| status.success())
        });
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
    }
}

/// Makes system calls of a process fail.
struct Strace(Child);

impl Strace {
    fn failing(pid: u32, what: &str) -> Self {
        let call = what.split(':').next().unwrap_or_default();
        let inject = format!("inject={what}");
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
            .args(["-p", &pid.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("strace runs"))
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Killed, it would leave the process stopped.
        run("kill", &["-TERM", &self.0.id().to_string()]);
        let _ = self.0.wait();
    }
}

/// Clients that deliver into the store until they are told to end.
struct Loading {
    load: Arc<Mutex<Load>>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// The acknowledged messages: the user, by the message.
#[derive(Default)]
struct Load(HashMap<String, String>);

impl Load {
    fn start(port: u16) -> Loading {
        static ID: AtomicU64 = AtomicU64::new(0);
        let (load, stop) = (Arc::<Mutex<Self>>::default(), Arc::<AtomicBool>::default());
        let sent = Arc::<AtomicU64>::default();
        let clients = (0..4).map(|client| {
            let (load, stop, sent) = (load.clone(), stop.clone(), sent.clone());
            thread::spawn(move || {
                let user = format!("user{client}");
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("message-{}", ID.fetch_add(1, Ordering::Relaxed));
                    if attempt(port, &user, &id).is_ok_and(|reply| reply.starts_with("250")) {
                        load.lock().expect("no panic").0.insert(id, user.clone());
                        sent.fetch_add(1, Ordering::Relaxed);
                    } else {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            })
        });
        let clients = clients.collect();
        Loading { load, sent, stop, clients }
    }

    fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Every message is in its mailbox, whole, and once.
    #[track_caller]
    fn is_all_in(&self, store: &Path, what: &str) {
        let mut found: HashMap<String, u32> = HashMap::new();
        let users: std::collections::BTreeSet<_> = self.0.values().collect();
        for user in users {
            let new = store.join(format!("relais.example/{user}/Maildir/new"));
            for entry in fs::read_dir(new).expect("a mailbox") {
                let text = fs::read_to_string(entry.expect("an entry").path()).expect("a message");
                let id = text.lines().find_map(|line| line.strip_prefix("Subject: "));
                let id =
                    id.unwrap_or_else(|| panic!("{what}: a message without a subject: {text}"));
                assert!(text.ends_with(&format!("end of {id}\r\n")), "{what}: {id} is torn");
                *found.entry(id.to_owned()).or_default() += 1;
            }
        }
        let lost: Vec<_> = self.0.keys().filter(|id| !found.contains_key(*id)).collect();
        println!("{what}: {} acknowledged, {} lost", self.0.len(), lost.len());
        assert!(lost.is_empty(), "{what}: of {} lost {}: {lost:?}", self.0.len(), lost.len());
        assert!(found.values().all(|times| *times == 1), "{what}: there twice");
        assert!(self.0.len() > 20, "{what}: only {} acknowledged", self.0.len());
    }
}

impl Loading {
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn end(self) -> Load {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no panic");
        }
        std::mem::take(&mut *self.load.lock().expect("no panic"))
    }
}

/// One message over a connection of its own; the reply after the dot.
fn attempt(port: u16, user: &str, id: &str) -> std::io::Result<String> {
    let (mut dialogue, _) = Dialogue::connect(port)?;
    dialogue.patience(Duration::from_secs(15));
    let filler = "a line of text\r\n".repeat(40);
    for command in
        ["LHLO client.test", "MAIL FROM:<a@b.example>", &format!("RCPT TO:<{user}@relais.example>")]
    {
        dialogue.try_ask(command)?;
    }
    let go_on = dialogue.try_ask("DATA")?;
    if go_on.code != 354 {
        return Ok(go_on.text);
    }
    dialogue.send(format!("Subject: {id}\r\n\r\n{filler}end of {id}\r\n.\r\n").as_bytes())?;
    Ok(dialogue.reply()?.text)
}

#[track_caller]
fn deliver(port: u16, id: &str) -> String {
    attempt(port, "user0", id).expect("a reply")
}

/// One message of some size for all of them; a reply for each.
fn deliver_to(instance: &Instance, to: &[&str], name: &str) -> Vec<String> {
    let (mut client, _) = Dialogue::connect(instance.settings.lmtp).expect("a session");
    client.patience(Duration::from_secs(30));
    client.ask("LHLO a.test").expect(250);
    let mut replies = vec![client.message("a@a.test", to, &message(name, 60_000))];
    replies.extend(to[1..].iter().map(|_| client.reply().expect("a reply for each")));
    replies.into_iter().map(|reply| reply.text.trim_end().to_owned()).collect()
}

fn on(disk: &Disk) -> Settings {
    let path = disk.path();
    Settings::standalone().edit("path: \"store\"", &format!("path: \"{}\"", path.display()))
}

fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().expect(program);
    assert!(done.status.success(), "{program} {args:?}: {done:?}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// How often something is done: few times, or as often as `STORE_ROUNDS` says.
fn rounds(few: u64) -> u64 {
    env::var("STORE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(few)
}
