//! CPU time of a server: of its oldest process, of every child it has waited for, and of every
//! descendant that still runs.

use std::{fs, time::Duration};

/// All of it so far. Exact to a clock tick for each process.
pub fn time_of(pid: u32) -> Duration {
    let all: Vec<Process> = fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect();
    let mut family = vec![pid];
    let mut ticks = 0;
    while let Some(parent) = family.pop() {
        family.extend(all.iter().filter(|one| one.parent == parent).map(|one| one.pid));
        ticks += all.iter().find(|one| one.pid == parent).map_or(0, |one| one.ticks);
    }
    Duration::from_secs_f64(ticks as f64 / ticks_per_second())
}

struct Process {
    pid: u32,
    parent: u32,
    /// Its own and its waited-for children's, user and system.
    ticks: u64,
}

impl Process {
    /// `None` when it is gone, or not readable.
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold blanks; the fields behind it are counted from 3 in proc(5).
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let parent = fields.get(1)?.parse().ok()?;
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Self { pid, parent, ticks })
    }
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}
