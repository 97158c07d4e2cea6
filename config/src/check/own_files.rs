//! The engine's own files in the data directory, where nothing else may lie.

use std::path::{Component, Path, PathBuf};

use crate::sections::{config::Config, store::Store};

/// The file of the engine's own that lies at this path, or around it.
pub(crate) fn in_the_way(config: &Config, path: &Path) -> Option<&'static str> {
    let path = resolved(path);
    let store = config.store.iter().flat_map(Store::roots);
    let store = store.map(|(_, root)| resolved(&config.path(root)));
    let own = OWN_FILES.iter().map(|(name, what)| (resolved(&config.data.join(name)), *what));
    let mut own = own.chain(store.map(|store| (store, "mailboxes")));
    own.find(|(own, _)| path.starts_with(own)).map(|(_, what)| what)
}

/// The path from the root, as far as it can be told without asking the disk.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            part => resolved.push(part),
        }
    }
    resolved
}

/// In the data directory.
const OWN_FILES: &[(&str, &str)] = &[
    ("admin.sock", "the admin socket"),
    ("lock", "its lock"),
    ("spool", "the spool"),
    ("stores", "the list of stores"),
    ("stopped", "the list of stopped channels"),
    ("limits.ron", "saved limits"),
    ("counters.json", "the counters"),
    ("counters.now", "the counters"),
    ("autoreplies", "the memory of automatic replies"),
    ("orders", "unfinished orders"),
    ("audit.log", "the orders of operators"),
    ("standing.json", "standing orders"),
    ("recent", "recent recipients"),
    ("recent.old", "recent recipients"),
    ("rerouting", "what is being routed again"),
    ("conversion", "parts that are being converted"),
];
