//! Up to when the rounds have looked, and who was warned since: what keeps a warning from being
//! said twice when a round breaks off, meets an entry twice because it was tried meanwhile, or
//! ends with the engine.
//!
//! One small file: the time of the last whole round, in milliseconds since 1970, and behind it a
//! line for each entry that was warned of in the round that is under way. It is not synced: what a
//! power cut loses is a warning said twice.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

use tracing::warn;

use crate::queue::tracker::Key;

/// What was dealt with.
#[derive(Debug)]
pub(super) struct Looked {
    path: PathBuf,
    until: u64,
    warned: HashSet<Key>,
}

impl Looked {
    /// As the file has it. Nothing known: from the beginning.
    pub(super) fn load(path: PathBuf) -> Self {
        let octets = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&octets);
        let mut lines = text.lines();
        let until = lines.next().and_then(|line| line.trim().parse().ok());
        let key = |line: &str| {
            let (id, entry) = line.split_once(' ')?;
            Some((id.parse().ok()?, entry.parse().ok()?))
        };
        // The last line may be half written.
        let warned = lines.filter_map(key).take(MOST_WARNED).collect();
        let looked = Self { path, until: until.unwrap_or(0), warned };
        if until.is_none() {
            looked.write();
        }
        looked
    }

    /// Up to when, in milliseconds since 1970; 0 when there never was a round.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// Whether this round has yet to warn of the entry; from now on it has.
    pub(super) fn chooses(&mut self, key: Key) -> bool {
        let full = self.warned.len() >= MOST_WARNED;
        !self.warned.contains(&key) && (full || self.warned.insert(key))
    }

    /// The senders of these have been warned.
    pub(super) fn warned(&self, keys: impl IntoIterator<Item = Key>) {
        let mut lines = String::new();
        for (id, entry) in keys {
            // Writing to a string cannot fail.
            let _ = write!(lines, "\n{id} {entry}");
        }
        let file = File::options().append(true).open(&self.path);
        self.complain(file.and_then(|mut file| file.write_all(lines.as_bytes())));
    }

    /// A whole round is over that began at `now`.
    pub(super) fn round_ended(&mut self, now: u64) {
        self.until = now;
        self.warned = HashSet::new();
        self.write();
    }

    fn write(&self) {
        let new = self.path.with_extension("new");
        let written = fs::write(&new, format!("{}\n", self.until));
        self.complain(written.and_then(|()| fs::rename(&new, &self.path)));
    }

    fn complain(&self, written: io::Result<()>) {
        if let Err(error) = written {
            let path = self.path.display();
            warn!(%path, %error, "it is not noted which warnings were given");
        }
    }
}

/// Entries of a round of which it is known that they were warned of: 16 octets each. Of more than
/// these, one that is tried while the round goes on may be warned of twice.
const MOST_WARNED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use relais_channels::mail::MessageId;

    use super::*;

    #[test]
    fn an_entry_is_warned_of_once_in_a_round_whatever_becomes_of_the_round() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("looked");
        let [one, two, three] = [1, 2, 3].map(|id| (MessageId(id << 40), 0));
        let mut looked = Looked::load(path.clone());
        assert_eq!(looked.until(), 0);
        assert!(looked.chooses(one) && looked.chooses(two));
        assert!(!looked.chooses(one), "met again in the same round, or in one that goes on");
        looked.warned([one]);

        let mut looked = Looked::load(path.clone());
        assert!(!looked.chooses(one), "the engine was started anew");
        assert!(looked.chooses(two), "it was chosen, but its sender was not told");
        looked.warned([two]);
        looked.round_ended(5_000);
        assert!(looked.chooses(one), "the next round has warnings of its own");
        looked.warned([one, three]);

        let octets = fs::read(&path).unwrap();
        fs::write(&path, &octets[..octets.len() - 4]).unwrap();
        let mut looked = Looked::load(path);
        assert_eq!(looked.until(), 5_000);
        assert!(!looked.chooses(one));
        assert!(looked.chooses(three), "its line was half written");
    }
}
