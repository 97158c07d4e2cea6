//! The world stops at every single write of the store.
//!
//! A seeded run of deliveries, small and large, of checkpoints, of readers who see and remove
//! messages, of mailboxes that get another name or are deleted, of syncs that fail, and of a disk that
//! is full for bytes or for names, is repeated on
//! a disk in memory, and stopped at its first operation that changes anything, at its second, and so
//! on. Each time the disk is looked at as that may have left it: with the kernel alive and another
//! process at work; or with the file system mounted anew, with or without a reboot, and everything
//! that was not synced kept, dropped, or torn in several ways. The store must open on each of these,
//! and then:
//!
//! - every message that got its 250 is in its mailbox, byte for byte, unless its reader removed
//!   it (promise 1);
//! - what was refused is not in the mailbox that refused it, whoever else got it;
//! - no message is there twice, in part, or without having been sent;
//! - what a reader removed before the last checkpoint does not come back;
//! - a mailbox that got another name has it with all of its mail, or has the old one with all of it;
//!   one that was deleted does not come back, nor any of its mail;
//! - all this is on the disk, not only in the memory of the kernel, and the store works on.

use std::{collections::BTreeMap, path::Path};

use relais_config::store::Duplicates;

use super::*;
use crate::{
    crash_points::{Run, stop_again_at_every_start, stop_at_every_write},
    mail::Address,
    mailbox::{memory_dir::MemoryDir, spill::Spill},
    memory_disk::{Dice, Fate, MemoryDisk},
};

#[test]
fn the_world_may_stop_at_every_write_of_the_store() {
    let runs = stop_at_every_write::<Promised>(SEEDS);
    let crashes: u64 = runs.iter().map(|whole| whole.crashes).sum();
    let repaired: u32 = runs.iter().map(|whole| whole.run.repaired).sum();
    let refused: u32 = runs.iter().map(|whole| whole.run.refused).sum();
    let changed: u32 = runs.iter().map(|whole| whole.run.changed).sum();
    assert!(changed > 8, "only {changed} changes of mailboxes: the test has lost its teeth");
    println!(
        "{crashes} crash points, {repaired} journals begun after a failed sync, {refused} refusals, \
         {changed} changes of mailboxes"
    );
    assert!(refused > 50, "only {refused} refusals: the test has lost its teeth");
    assert!(repaired > 5, "only {repaired} journals begun: the test has lost its teeth");
    assert!(crashes > 5_000, "only {crashes} crashes: the test has lost its teeth");
}

#[test]
fn the_world_may_stop_again_while_the_store_recovers() {
    stop_again_at_every_start::<Promised>(SEEDS, 67);
    stop_again_at_every_start::<Repeated>(2, 7);
}

#[test]
fn the_world_may_stop_at_every_write_and_no_message_is_taken_for_one_that_is_lost() {
    let runs = stop_at_every_write::<Repeated>(2);
    let crashes: u64 = runs.iter().map(|whole| whole.crashes).sum();
    let suppressed: u64 = runs.iter().map(|whole| whole.run.suppressed).sum();
    assert!(suppressed > 10, "only {suppressed} duplicates: the test has lost its teeth");
    assert!(crashes > 1_000, "only {crashes} crashes: the test has lost its teeth");
}

/// The store without its threads, so that a run is the same each time.
struct Engine {
    partition: Partition,
    checkpoints: Checkpoints,
}

/// Promises made to clients, and the doings of readers.
#[derive(Default)]
struct Promised {
    /// By directory and content.
    messages: BTreeMap<(String, Vec<u8>), Message>,
    disk: MemoryDisk,
    sent: u64,
    repaired: u32,
    refused: u32,
    /// Nobody knows whether it was done.
    changing: Option<Change>,
    changed: u32,
}

#[derive(Clone, Copy, Default)]
struct Message {
    acknowledged: bool,
    refused: Refusal,
    /// Its reader removed it.
    removed: bool,
    /// And a checkpoint has seen that.
    gone: bool,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Refusal {
    #[default]
    None,
    /// The journal failed: it holds from the next one on.
    Doubtful,
    /// It holds.
    Firm,
}

impl Run for Promised {
    fn on(disk: &MemoryDisk, seed: u64) -> Self {
        let mut promised = Promised { disk: disk.clone(), ..Promised::default() };
        let Ok(mut engine) = Engine::open(disk) else { return promised };
        let mut dice = Dice(seed);
        for _ in 0..STEPS {
            match dice.below(26) {
                0..=4 => engine.deliver(&mut promised, &mut dice),
                5 => engine.deliver_large(&mut promised, &mut dice),
                6 | 7 => see(disk, &mut dice),
                8 => promised.remove(disk, &mut dice),
                9..=13 => engine.step(&mut promised),
                14 | 15 => disk.fail_syncs(1 + dice.below(2) as u32),
                16 => disk.fill_up_to(dice.below(2_000)),
                17 | 18 => disk.refuse_names(dice.below(1 << 8)),
                19..=22 => engine.begin_change(&mut promised, &mut dice),
                _ => disk.set_capacity(None),
            }
            let known = engine.finish_changes(&mut promised);
            if disk.has_stopped() || !known {
                break;
            }
        }
        promised
    }

    fn starts(disk: &MemoryDisk) -> bool {
        Engine::open(disk).is_ok()
    }

    /// Opens the store on what is left and looks whether every promise was kept.
    fn check(&self, disk: &MemoryDisk, _: Fate, scene: &str) {
        disk.fail_syncs(0);
        disk.set_capacity(None);
        disk.refuse_names(0);
        let mut engine = Engine::open(disk).unwrap_or_else(|error| panic!("{scene}: {error}"));
        self.look(disk, scene);
        // It is on the disk, whatever the kernel has in memory.
        let later = disk.after_crash(Fate::Dropped);
        let again = Engine::open(&later);
        again.unwrap_or_else(|error| panic!("{scene}, later: {error}"));
        self.look(&later, &format!("{scene}, later"));
        let mut works = Promised::default();
        let rcpt = rcpt("amy");
        let body = Body::Whole(b"hello".to_vec());
        engine.hand_over(&mut works, &[Delivery { body, recipients: vec![rcpt] }]);
        assert!(works.messages.values().all(|message| message.acknowledged), "{scene}: broken");
    }
}

impl Engine {
    fn open(disk: &MemoryDisk) -> Result<Self, PartitionError> {
        Self::remembering(disk, None)
    }

    fn remembering(
        disk: &MemoryDisk,
        duplicates: Option<Duplicates>,
    ) -> Result<Self, PartitionError> {
        let autocreate = Autocreate::All;
        let store = Store { autocreate, duplicates, ..Store::at(ROOT.into()) };
        let root = Dir::Memory(MemoryDir::root(disk, ROOT.as_ref()));
        let (marker, disk) = (Marker::nowhere(), Arc::new(disk.clone()));
        let ground = Ground { root, marker, disk, journal: JOURNAL };
        let (mut partition, checkpoints) = Partition::open_on(ground, &store, "h")?;
        partition.journal.set_impatient();
        Ok(Self { partition, checkpoints })
    }

    fn deliver(&mut self, promised: &mut Promised, dice: &mut Dice) {
        // The thread of the checkpoints would make room.
        if self.partition.journal.is_half_full() {
            self.step(promised);
        }
        let batch: Vec<Delivery> = (0..=dice.below(3))
            .map(|_| Delivery { body: Body::Whole(promised.content(dice)), recipients: to(dice) })
            .collect();
        self.hand_over(promised, &batch);
    }

    fn deliver_large(&mut self, promised: &mut Promised, dice: &mut Dice) {
        let content = promised.content(dice);
        let mut spill = Spill::default();
        spill.push(&content);
        let recipients = to(dice);
        promised.sending(&content, &recipients);
        let Ok(body) = spill.chunk(&self.partition.spill_dir()).finish() else { return };
        let replies = self.partition.deliver(&[Delivery { body, recipients: recipients.clone() }]);
        promised.answered(&content, &recipients, &replies[0], self.partition.journal.is_well());
    }

    fn hand_over(&mut self, promised: &mut Promised, batch: &[Delivery]) {
        for delivery in batch {
            let Body::Whole(content) = &delivery.body else { continue };
            promised.sending(content, &delivery.recipients);
        }
        let replies = self.partition.deliver(batch);
        for (delivery, replies) in batch.iter().zip(replies) {
            let Body::Whole(content) = &delivery.body else { continue };
            let well = self.partition.journal.is_well();
            promised.answered(content, &delivery.recipients, &replies, well);
        }
    }

    fn begin_change(&mut self, promised: &mut Promised, dice: &mut Dice) {
        let name = |uid: &str| MailboxName::new(uid, "d", "").expect(uid);
        let from = name(["jdoe", "amy", "bob"][dice.below(3) as usize]);
        let change = if dice.below(3) == 0 {
            Change::Delete(from)
        } else {
            let to = MailboxName::new(&format!("u{}", dice.below(100)), "other", "");
            Change::Rename { from, to: to.expect("a name") }
        };
        if promised.changing.is_none() && self.partition.begin_change(change.clone()).is_ok() {
            promised.changing = Some(change);
        }
    }

    /// Says whether it is known what came of each.
    fn finish_changes(&mut self, promised: &mut Promised) -> bool {
        for (_, outcome) in self.partition.finish_changes() {
            let Some(change) = promised.changing.take() else { continue };
            let maildir = Path::new(ROOT).join(change.subject().maildir());
            match outcome {
                Ok(()) => promised.change(&change),
                // There was no room for its new name.
                Err(_) if !promised.disk.has_stopped() && promised.disk.is_dir(&maildir) => {}
                Err(_) => {
                    promised.changing = Some(change);
                    return false;
                }
            }
        }
        true
    }

    fn step(&mut self, promised: &mut Promised) {
        let before = self.partition.journal.is_well();
        if self.checkpoints.step().is_ok() {
            promised.repaired += u32::from(!before);
            for message in promised.messages.values_mut() {
                message.gone |= message.removed;
                if message.refused == Refusal::Doubtful {
                    message.refused = Refusal::Firm;
                }
            }
        }
    }
}

impl Promised {
    fn content(&mut self, dice: &mut Dice) -> Vec<u8> {
        self.sent += 1;
        let filler = (0..dice.below(700)).map(|_| dice.below(256) as u8);
        format!("message {}: ", self.sent).into_bytes().into_iter().chain(filler).collect()
    }

    fn sending(&mut self, content: &[u8], recipients: &[Rcpt]) {
        for rcpt in recipients {
            self.messages.entry((dir_of(rcpt), content.to_vec())).or_default();
        }
    }

    /// `well`: the journal is.
    fn answered(&mut self, content: &[u8], recipients: &[Rcpt], replies: &[Answer], well: bool) {
        // A disk that has stopped has told nobody anything.
        let told = !self.disk.has_stopped();
        for (rcpt, answer) in recipients.iter().zip(replies) {
            let message = self.messages.entry((dir_of(rcpt), content.to_vec())).or_default();
            if answer.reply.code == 250 {
                message.acknowledged = true;
            } else if told {
                message.refused = if well { Refusal::Firm } else { Refusal::Doubtful };
                self.refused += 1;
            }
        }
    }

    /// A reader removes a message.
    fn remove(&mut self, disk: &MemoryDisk, dice: &mut Dice) {
        let all = found(disk);
        if let Some((path, dir, content)) = all.into_iter().nth(dice.below(8) as usize)
            && let Some(message) = self.messages.get_mut(&(dir, content))
        {
            message.removed = true;
            let _ = disk.remove(path.as_ref());
        }
    }

    /// A change was done.
    fn change(&mut self, change: &Change) {
        self.changed += 1;
        let from = format!("{}/", change.subject().maildir().trim_end_matches("/Maildir"));
        let all = std::mem::take(&mut self.messages);
        for ((dir, content), mut message) in all {
            let dir = match (change, dir.strip_prefix(&from)) {
                (_, None) => dir,
                (Change::Rename { to, .. }, Some(rest)) => {
                    format!("{}/{rest}", to.maildir().trim_end_matches("/Maildir"))
                }
                (Change::Delete(_), Some(_)) => {
                    (message.removed, message.gone) = (true, true);
                    dir
                }
            };
            self.messages.insert((dir, content), message);
        }
    }

    /// As [`Self::look_at`]; where nobody knows whether a change was done, it was or it was not.
    fn look(&self, disk: &MemoryDisk, scene: &str) {
        let Some(change) = &self.changing else { return self.look_at(disk, scene) };
        let is_there = disk.is_dir(&Path::new(ROOT).join(change.subject().maildir()));
        if is_there {
            return self.look_at(disk, scene);
        }
        let messages = self.messages.iter().map(|(name, message)| (name.clone(), *message));
        let mut done = Self { messages: messages.collect(), ..Self::default() };
        done.change(change);
        done.look_at(disk, &format!("{scene}, {change:?}"));
    }

    fn look_at(&self, disk: &MemoryDisk, scene: &str) {
        let mut there = BTreeMap::new();
        for (path, dir, content) in found(disk) {
            let twice = there.insert((dir, content), path.clone());
            assert!(twice.is_none(), "{scene}: {path} is there twice");
        }
        for (name, path) in &there {
            let message = self.messages.get(name);
            let message = message.unwrap_or_else(|| panic!("{scene}: nobody sent {path}"));
            assert!(!message.gone, "{scene}: {path} came back");
            assert!(message.refused != Refusal::Firm, "{scene}: {path} was refused");
        }
        for (name, message) in &self.messages {
            assert!(
                !message.acknowledged || message.removed || there.contains_key(name),
                "{scene}: {} in {} was acknowledged and is lost",
                String::from_utf8_lossy(&name.1[..12]),
                name.0
            );
        }
    }
}

/// Messages of a sender who sends each again and again.
#[derive(Default)]
struct Repeated {
    /// Answered 250.
    acknowledged: BTreeMap<Vec<u8>, bool>,
    suppressed: u64,
}

impl Repeated {
    fn open(disk: &MemoryDisk) -> Result<Engine, PartitionError> {
        let window = std::time::Duration::from_secs(3_600);
        Engine::remembering(disk, Some(Duplicates { window, most: 100 }))
    }

    fn send(engine: &mut Engine, content: &[u8]) -> bool {
        let (body, recipients) = (Body::Whole(content.to_vec()), vec![rcpt("amy")]);
        let answers = engine.partition.deliver(&[Delivery { body, recipients }]);
        answers[0][0].reply.code == 250
    }

    fn look(&self, disk: &MemoryDisk, scene: &str) {
        let found = found(disk);
        for content in self.acknowledged.iter().filter(|its| *its.1).map(|its| its.0) {
            let count = found.iter().filter(|its| its.2 == *content).count();
            let text = String::from_utf8_lossy(content);
            assert_eq!(count, 1, "{scene}: {text}");
        }
    }
}

impl Run for Repeated {
    fn on(disk: &MemoryDisk, seed: u64) -> Self {
        let mut repeated = Self::default();
        let Ok(mut engine) = Self::open(disk) else { return repeated };
        let mut dice = Dice(seed);
        for _ in 0..40 {
            if dice.below(4) == 0 {
                let _ = engine.checkpoints.step();
            } else {
                let content =
                    format!("Message-ID: <{}>\r\n\r\ntext\r\n", dice.below(8)).into_bytes();
                let taken = Self::send(&mut engine, &content);
                *repeated.acknowledged.entry(content).or_default() |= taken;
            }
            if disk.has_stopped() {
                break;
            }
        }
        repeated.suppressed = engine.partition.take_duplicates();
        repeated
    }

    fn starts(disk: &MemoryDisk) -> bool {
        Self::open(disk).is_ok()
    }

    fn check(&self, disk: &MemoryDisk, _: Fate, scene: &str) {
        let mut engine = Self::open(disk).unwrap_or_else(|error| panic!("{scene}: {error}"));
        self.look(disk, scene);
        self.look(&disk.after_crash(Fate::Dropped), &format!("{scene}, later"));
        // The sender comes again with each: it is there.
        for content in self.acknowledged.keys() {
            assert!(Self::send(&mut engine, content), "{scene}: refused");
            let text = String::from_utf8_lossy(content);
            let count = found(disk).iter().filter(|its| its.2 == *content).count();
            assert_eq!(count, 1, "{scene}: {text}");
        }
    }
}

/// A reader sees a message: its name grows flags.
fn see(disk: &MemoryDisk, dice: &mut Dice) {
    let new: Vec<_> = found(disk).into_iter().filter(|(path, ..)| path.contains("/new/")).collect();
    if let Some((path, ..)) = new.get(dice.below(new.len() as u64) as usize) {
        let seen = format!("{}:2,S", path.replace("/new/", "/cur/"));
        let _ = disk.rename(path.as_ref(), seen.as_ref());
    }
}

/// Every message in every mailbox and folder: path, directory, content.
fn found(disk: &MemoryDisk) -> Vec<(String, String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in disk.paths() {
        let path = path.to_string_lossy().into_owned();
        // Nobody finds it there.
        if path.starts_with("/store/.deleted/") {
            continue;
        }
        let Some((dir, _)) = path.split_once("/new/").or_else(|| path.split_once("/cur/")) else {
            continue;
        };
        let dir = dir.trim_start_matches("/store/").to_owned();
        let content = disk.contents(path.as_ref()).expect("it was listed");
        found.push((path, dir, content));
    }
    // Names have the time in them, which no run has twice.
    found.sort_by(|one, other| (&one.1, &one.2).cmp(&(&other.1, &other.2)));
    found
}

fn to(dice: &mut Dice) -> Vec<Rcpt> {
    let names = ["jdoe", "amy", "bob+Work", "amy+Lists"];
    let first = dice.below(4) as usize;
    (0..=dice.below(3) as usize).map(|n| rcpt(names[(first + n) % names.len()])).collect()
}

fn rcpt(address: &str) -> Rcpt {
    let parsed = Address::parse(address).expect(address);
    let mailbox = MailboxName::of(&parsed, "d").expect(address);
    Rcpt { mailbox, as_given: address.to_owned(), quota: None, flags: 0 }
}

fn dir_of(rcpt: &Rcpt) -> String {
    let maildir = rcpt.mailbox.maildir();
    rcpt.mailbox.folder().map_or_else(|| maildir.clone(), |folder| format!("{maildir}/.{folder}"))
}

const ROOT: &str = "/store";
const JOURNAL: u64 = 32 << 10;
const SEEDS: u64 = 5;
const STEPS: u64 = 90;
