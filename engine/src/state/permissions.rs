//! Mail is for its readers alone: what lies below the data directory is closed to others, and what
//! an earlier release, or somebody else, left more open is told.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use relais_config::{Config, Store};
use rustix::{fs::Mode, process::umask};

/// From now on nothing that this process makes is open to others, whatever the shell or the
/// service manager that started it thinks of that.
pub fn close_to_others() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Places that are open to others: the field of the configuration that names each, and words for
/// the operator. Nothing is changed: it may be meant so.
pub(crate) fn told(config: &Config) -> Vec<(&'static str, String)> {
    let data = &config.data;
    let mut open = Vec::new();
    // A path that is no folder is no data directory: nobody is to close somebody else's file.
    if data.is_dir() {
        look(data, &mut open);
    }
    for folder in [data.clone(), data.join("spool")] {
        look_at(&inside(&folder, MAX_ENTRIES), &mut open);
    }
    let mut told = Vec::from_iter(words("data", &open));
    for (place, (_, root)) in config.store.iter().flat_map(Store::roots).enumerate() {
        let path = config.path(root);
        let mut open = Vec::new();
        if !path.starts_with(data) && path.is_dir() {
            look(&path, &mut open);
        }
        let domains = inside(&path, MAX_ENTRIES);
        let mut left = MAX_ENTRIES - domains.len();
        look_at(&domains, &mut open);
        for domain in domains.iter().filter(|domain| is_folder(domain)) {
            let users = inside(domain, left);
            left -= users.len();
            look_at(&users, &mut open);
        }
        let field = if place == 0 { "store.path" } else { "store.partitions" };
        told.extend(words(field, &open));
    }
    told.extend(keys(config));
    told.extend(token(config));
    told
}

/// A token that every user may read.
fn token(config: &Config) -> Option<(&'static str, String)> {
    let path = config.path(config.admin.token_file.as_ref()?);
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    let path = path.display();
    let message = format!(
        "every user of this machine may read the token {path} ({mode:04o}); chmod o-rwx closes it, \
         and whoever has read it can give orders"
    );
    (mode & 0o004 != 0).then_some(("admin.token_file", message))
}

/// Private keys that every user may read. One that a group may read is meant so: `ssl-cert`, say.
fn keys(config: &Config) -> Vec<(&'static str, String)> {
    let own = config.tls.iter().flat_map(|tls| {
        let more = tls.more_certificates.iter().map(|pair| ("tls.more_certificates", &pair.key));
        [("tls.key", &tls.key)].into_iter().chain(more)
    });
    let clients = config.channels.iter().filter_map(|channel| channel.tls.key.as_ref());
    let signing = config.dkim.iter().flat_map(|dkim| &dkim.keys).map(|its| ("dkim.keys", &its.key));
    let keys = own.chain(clients.map(|key| ("channels", key))).chain(signing);
    let keys = keys.chain(config.srs.iter().map(|srs| ("srs.secrets", &srs.secrets)));
    let open = keys.filter_map(|(field, key)| {
        let path = config.path(key);
        let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
        (mode & 0o004 != 0).then(|| {
            let path = path.display();
            let message = format!(
                "every user of this machine may read the private key {path} ({mode:04o}); chmod o-rwx \
                 closes it, and whoever has read it can stand in for this host"
            );
            (field, message)
        })
    });
    open.collect()
}

/// Paths in a folder, at most so many. A folder that is not there, or may not be read, has nothing
/// to tell.
fn inside(path: &Path, most: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().take(most);
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// A link is none: it leads elsewhere.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|stat| stat.is_dir())
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

fn look_at(paths: &[PathBuf], open: &mut Vec<(PathBuf, u32)>) {
    for path in paths {
        look(path, open);
    }
}

fn look(path: &Path, open: &mut Vec<(PathBuf, u32)>) {
    let Ok(stat) = fs::symlink_metadata(path) else { return };
    let mode = stat.permissions().mode() & 0o777;
    // A service's socket has the mode that the configuration gives it; a link has none.
    if mode & 0o077 != 0 && (stat.is_dir() || stat.is_file()) {
        open.push((path.to_owned(), mode));
    }
}

/// Looked at in a folder, and in all of a store.
const MAX_ENTRIES: usize = 1_000;
const MAX_NAMED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_that_every_user_may_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("host.key");
        fs::write(&key, "").unwrap();
        let tls = format!("admin: (), tls: (certificate: {key:?}, key: {key:?}),");
        let text = relais_config::STANDALONE.replace("admin: (listen: \"127.0.0.1:9225\"),", &tls);
        let mut config = Config::parse("standalone", &text).unwrap().0;
        config.data = dir.path().join("data");
        for (mode, is_told) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let told = told(&config);
            let fields: Vec<_> = told.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, vec!["tls.key"; usize::from(is_told)], "{mode:o}: {told:?}");
        }
    }

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
        let storage = config.data.join("spool");
        assert!(message.contains(&format!("{} (0755)", storage.display())), "{message}");
        assert!(message.contains("lock (0644)"), "{message}");
        set("spool", 0o700);
        set("lock", 0o600);

        // Domains and users of the store, wherever it lies; not what is theirs.
        for (n, store) in
            [config.data.join("store"), dir.path().join("elsewhere")].iter().enumerate()
        {
            for user in ["a", "b", "c"] {
                fs::create_dir_all(store.join("one.test").join(user).join("Maildir")).unwrap();
            }
            let set = |path: &str, mode| {
                fs::set_permissions(store.join(path), fs::Permissions::from_mode(mode)).unwrap();
            };
            for path in ["", "one.test", "one.test/a", "one.test/b", "one.test/c"] {
                set(path, 0o700);
            }
            set("one.test/a/Maildir", 0o777);
            std::os::unix::fs::symlink(dir.path(), store.join("link")).unwrap();
            config.store.as_mut().unwrap().path.clone_from(store);
            assert_eq!(super::told(&config), [], "{n}");
            set("one.test/b", 0o777);
            let told = super::told(&config);
            let [("store.path", message)] = &*told else { panic!("{told:?}") };
            let user = store.join("one.test/b");
            assert!(message.contains(&format!("{} (0777); chmod", user.display())), "{message}");
            for path in ["one.test", "one.test/a", "one.test/c"] {
                set(path, 0o755);
            }
            let told = super::told(&config);
            let [("store.path", message)] = &*told else { panic!("{told:?}") };
            assert!(message.contains("one.test (0755), ") && message.contains("and 1 more;"));
        }
        config.data = config.data.join("lock");
        if let Some(store) = &mut config.store {
            store.path = config.data.clone();
        }
        assert_eq!(super::told(&config), [], "a file is no data directory and no store");
    }
}
