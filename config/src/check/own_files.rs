//! The engine's own files in the data directory, where nothing else may lie.

use std::path::{Component, Path, PathBuf};

use crate::sections::{config::Config, store::Store};

/// The file of the engine's own that lies at this path, or around it.
pub(crate) fn in_the_way(config: &Config, path: &Path) -> Option<&'static str> {
    let path = resolved(path);
    let store = config.store.iter().flat_map(Store::roots);
    let store = store.map(|(_, root)| resolved(&config.path(root)));
    let own = OWN_FILES.iter().map(|(name, what)| (resolved(&config.data.join(name)), *what));
    let history = (resolved(&config.path(&config.history.path)), "the delivery history");
    let own = own.chain([history]);
    let mut own = own.chain(store.map(|store| (store, "mailboxes")));
    let found = own.find(|(own, _)| path.starts_with(own)).map(|(_, what)| what);
    found.or_else(|| is_old_audit(config, &path).then_some("the orders of operators"))
}

/// Whether it is `audit.log.1` or one of the others behind it.
fn is_old_audit(config: &Config, path: &Path) -> bool {
    let below = path.strip_prefix(resolved(&config.data)).ok();
    let first = below.and_then(|below| below.components().next());
    let number = first.and_then(|name| name.as_os_str().to_str()?.strip_prefix("audit.log."));
    number.is_some_and(|number| number.parse::<u8>().is_ok())
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
    ("audit.new", "the orders of operators"),
    ("standing.json", "standing orders"),
    ("recent", "recent recipients"),
    ("recent.old", "recent recipients"),
    ("rerouting", "what is being routed again"),
    ("conversion", "parts that are being converted"),
    ("events", "events that wait for webhooks"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_engine_are_known_by_their_names() {
        let (config, _) = Config::parse("standalone.ron", crate::STANDALONE).expect("it is valid");
        let rows = [
            ("history", Some("the delivery history")),
            ("history/x", Some("the delivery history")),
            ("audit.log", Some("the orders of operators")),
            ("audit.log.1", Some("the orders of operators")),
            ("audit.log.99/x", Some("the orders of operators")),
            ("audit.log.x", None),
            ("x/audit.log.1", None),
            ("histories", None),
        ];
        for (path, want) in rows {
            assert_eq!(in_the_way(&config, &config.data.join(path)), want, "{path}");
        }
    }
}
