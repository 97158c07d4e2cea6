//! Mail is for its readers alone: what lies below the data directory is closed to others, and what
//! an earlier release, or somebody else, left more open is told.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use relais_config::Config;
use rustix::{fs::Mode, process::umask};

/// From now on nothing that this process makes is open to others, whatever the shell or the
/// service manager that started it thinks of that.
pub fn close_to_others() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// What is open to others: the field of the configuration that names it, and words for the
/// operator. Nothing is changed: it may be meant so.
pub(crate) fn told(config: &Config) -> Vec<(&'static str, String)> {
    let data = &config.data;
    let mut open = Vec::new();
    // What is no folder is no data directory: nobody is to close somebody else's file.
    if data.is_dir() {
        look(data, &mut open);
    }
    for inside in [data.clone(), data.join("spool")] {
        // One that is not there, or may not be read, has nothing to tell.
        let entries = fs::read_dir(&inside).into_iter().flatten().take(MAX_ENTRIES);
        entries.flatten().for_each(|entry| look(&entry.path(), &mut open));
    }
    let mut told = Vec::from_iter(words("data", &open));
    if let Some(store) = &config.store {
        let path = config.path(&store.path);
        let mut open = Vec::new();
        if !path.starts_with(data) && path.is_dir() {
            look(&path, &mut open);
        }
        told.extend(words("store.path", &open));
    }
    told
}

fn words(field: &'static str, open: &[(PathBuf, u32)]) -> Option<(&'static str, String)> {
    let named = open.iter().take(MAX_NAMED);
    let named: Vec<_> =
        named.map(|(path, mode)| format!("{} ({mode:04o})", path.display())).collect();
    let more = match open.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "open to other users of this machine: {}{more}; chmod go-rwx closes it",
        named.join(", ")
    );
    (!open.is_empty()).then_some((field, message))
}

fn look(path: &Path, open: &mut Vec<(PathBuf, u32)>) {
    let Ok(stat) = fs::symlink_metadata(path) else { return };
    let mode = stat.permissions().mode() & 0o777;
    // A service's socket has the mode that the configuration gives it; a link has none.
    if mode & 0o077 != 0 && (stat.is_dir() || stat.is_file()) {
        open.push((path.to_owned(), mode));
    }
}

const MAX_ENTRIES: usize = 1_000;
const MAX_NAMED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_to_others_is_named_and_what_is_closed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::parse("standalone", relais_config::STANDALONE).unwrap().0;
        config.data = dir.path().join("data");
        assert_eq!(told(&config), []);
        fs::create_dir_all(config.data.join("spool")).unwrap();
        fs::write(config.data.join("lock"), "").unwrap();
        let set = |path: &str, mode| {
            fs::set_permissions(config.data.join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        set("", 0o700);
        set("spool", 0o700);
        set("lock", 0o600);
        assert_eq!(told(&config), []);
        set("spool", 0o755);
        set("lock", 0o644);
        let told = told(&config);
        let [("data", message)] = &*told else { panic!("{told:?}") };
        let spool = config.data.join("spool");
        assert!(message.contains(&format!("{} (0755)", spool.display())), "{message}");
        assert!(message.contains("lock (0644)"), "{message}");
        config.data = config.data.join("lock");
        if let Some(store) = &mut config.store {
            store.path = config.data.clone();
        }
        assert_eq!(super::told(&config), [], "a file is no data directory and no store");
    }
}
