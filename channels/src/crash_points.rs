//! The world stops at every single write: the driver of the tests that hold promises through crashes.
//!
//! A seeded run is repeated on a [`MemoryDisk`], and stopped at its first operation that changes
//! anything, at its second, and so on. Each time the disk is looked at as the crash may have left
//! it, and the promises of the run are checked against that.

use std::thread;

use crate::memory_disk::{Fate, MemoryDisk};

/// A run that is the same each time, and the promises that were made in it.
pub trait Run: Send + Sized {
    /// Lives through the run with this seed, as far as the disk lets it.
    fn on(disk: &MemoryDisk, seed: u64) -> Self;

    /// Starts on the disk that a crash has left; whether the start came to its end.
    fn starts(disk: &MemoryDisk) -> bool;

    /// Looks whether every promise was kept by a disk with this fate.
    fn check(&self, disk: &MemoryDisk, fate: Fate, scene: &str);
}

/// A run that no crash has stopped, and how often it was stopped afterwards.
pub struct Whole<R> {
    /// The run.
    pub run: R,
    /// Its disk.
    pub disk: MemoryDisk,
    /// Crashes that were checked.
    pub crashes: u64,
}

/// Stops the runs with `seeds` seeds at each of their writes; each seed on a thread of its own.
///
/// # Panics
///
/// When a promise was not kept.
pub fn stop_at_every_write<R: Run>(seeds: u64) -> Vec<Whole<R>> {
    thread::scope(|scope| {
        let runs: Vec<_> =
            (0..seeds).map(|seed| scope.spawn(move || stop_everywhere(seed))).collect();
        runs.into_iter().map(|run| run.join().expect("every promise was kept")).collect()
    })
}

/// Stops the same runs at every `stride`-th of their writes, and the start on each of the disks that
/// this leaves at every one of its own.
pub fn stop_again_at_every_start<R: Run>(seeds: u64, stride: usize) {
    for seed in 0..seeds {
        let whole = MemoryDisk::new();
        R::on(&whole, seed);
        for operation in (0..whole.operations()).step_by(stride) {
            let disk = MemoryDisk::new();
            disk.stop_at(operation);
            let run = R::on(&disk, seed);
            let fate = Fate::Torn(seed << 32 | operation);
            for second in 0.. {
                let crashed = disk.after_crash(fate);
                crashed.stop_at(second);
                let started = R::starts(&crashed) && !crashed.has_stopped();
                for again in [Fate::Kept, Fate::Dropped, Fate::Torn(second)] {
                    let scene = format!("seed {seed}, operations {operation} and {second}");
                    run.check(&crashed.after_crash(again), fate, &scene);
                }
                if started {
                    break;
                }
            }
        }
    }
}

fn stop_everywhere<R: Run>(seed: u64) -> Whole<R> {
    let disk = MemoryDisk::new();
    let mut whole = Whole { run: R::on(&disk, seed), disk, crashes: 0 };
    for operation in 0..whole.disk.operations() {
        let disk = MemoryDisk::new();
        disk.stop_at(operation);
        let run = R::on(&disk, seed);
        let scene = |fate: &str| format!("seed {seed}, operation {operation}, {fate}");
        let torn = (0..TEARS).map(|tear| Fate::Torn(seed << 32 | operation << 8 | tear));
        for fate in [Fate::Kept, Fate::Dropped].into_iter().chain(torn) {
            run.check(&disk.after_crash(fate), fate, &scene(&format!("{fate:?}")));
            whole.crashes += 1;
        }
        // The process died, and the kernel goes on with the same disk.
        run.check(&disk.after_kill(), Fate::Kept, &scene("killed"));
        whole.crashes += 1;
    }
    whole
}

/// Ways in which each crash tears what was not synced.
const TEARS: u64 = 4;
