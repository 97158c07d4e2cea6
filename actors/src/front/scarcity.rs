//! How much is left of what all services share: open files and memory.

use std::fs;

/// A part of something that is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RoomLeft {
    pub(super) free: u64,
    pub(super) most: u64,
}

/// The thing that is short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shortage {
    Workers,
    Descriptors,
    Memory,
}

impl RoomLeft {
    /// Whether less than a tenth is left; of what was short already, less than a fifth.
    pub(super) fn is_little(self, was_little: bool) -> bool {
        self.free.saturating_mul(if was_little { 5 } else { 10 }) < self.most
    }
}

impl Shortage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Workers => "free workers",
            Self::Descriptors => "open files",
            Self::Memory => "memory",
        }
    }
}

/// The first thing that is short, of a service with so much room. What cannot be measured is not.
pub(super) fn shortage(room: RoomLeft, was_short: bool) -> Option<Shortage> {
    let is_little = |left: Option<RoomLeft>| left.is_some_and(|left| left.is_little(was_short));
    if room.is_little(was_short) {
        Some(Shortage::Workers)
    } else if is_little(descriptors()) {
        Some(Shortage::Descriptors)
    } else if is_little(memory_of_group().or_else(memory)) {
        Some(Shortage::Memory)
    } else {
        None
    }
}

fn descriptors() -> Option<RoomLeft> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    // The size of the folder is the number of open files, since Linux 6.2.
    let open = match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        open => open,
    };
    Some(RoomLeft { free: limit.saturating_sub(open), most: limit })
}

fn memory() -> Option<RoomLeft> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = |name: &str| number(text.lines().find_map(|line| line.strip_prefix(name))?);
    Some(RoomLeft { free: kibibytes("MemAvailable:")?, most: kibibytes("MemTotal:")? })
}

/// The memory that a control group allows. Files that the kernel could drop count as free.
fn memory_of_group() -> Option<RoomLeft> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup{path}/{name}")).ok();
    let most = number(&read("memory.max")?)?;
    let statistics = read("memory.stat")?;
    let dropped = statistics.lines().find_map(|line| line.strip_prefix("inactive_file"));
    let used = number(&read("memory.current")?)?.saturating_sub(number(dropped?)?);
    Some(RoomLeft { free: most.saturating_sub(used), most })
}

fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_a_tenth_and_enough_again_a_fifth() {
        let left = |free| RoomLeft { free, most: 100 };
        for (free, was_little, want) in
            [(10, false, false), (9, false, true), (19, true, true), (20, true, false)]
        {
            assert_eq!(left(free).is_little(was_little), want, "{free}, {was_little}");
        }
        assert_eq!(shortage(left(0), false), Some(Shortage::Workers));
        assert!(descriptors().is_some_and(|left| left.free < left.most));
        assert!(memory().is_some_and(|left| left.free < left.most));
    }
}
