//! Accounts of this machine.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use nix::unistd::User;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::place::{Owner, is_plain_name};

/// One account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnixAccount {
    /// Its name.
    pub name: Box<str>,
    /// Its user and group.
    pub owner: Owner,
    /// Its home.
    pub home: Box<str>,
}

/// Where accounts are looked up. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub struct Accounts(Arc<AccountSource>);

#[derive(Debug)]
struct AccountSource {
    /// `None`: the system is asked, and its files, directories and daemons (NSS) with it.
    file: Option<PathBuf>,
    known: Mutex<KnownAccount>,
    askers: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct SystemAnswer {
    asked: Instant,
    account: Option<UnixAccount>,
}

/// Accounts by name.
pub type ByAccountName = HashMap<Box<str>, UnixAccount>;

#[derive(Debug, Default)]
struct KnownAccount {
    /// Answers of the system.
    answers: HashMap<Box<str>, SystemAnswer>,
    /// The file as it was read last, with the time of its last change and its length.
    file: Option<(SystemTime, u64, Arc<ByAccountName>)>,
}

/// The accounts cannot be asked now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the accounts of this machine cannot be asked: {0}")]
pub struct AccountsUnanswered(pub String);

impl Accounts {
    /// Accounts of a file in the form of passwd(5), or of the system when it is the system's own file.
    pub fn of(file: &Path) -> Self {
        let file = (file != Path::new(SYSTEM)).then(|| file.to_owned());
        let askers = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(AccountSource { file, known: Mutex::default(), askers }))
    }

    /// Whether the system is asked.
    pub fn are_of_the_system(&self) -> bool {
        self.0.file.is_none()
    }

    /// The account of this name.
    pub async fn find(&self, name: &str) -> Result<Option<UnixAccount>, AccountsUnanswered> {
        let name = name.to_ascii_lowercase();
        if !is_account_name(&name) {
            return Ok(None);
        }
        if let (None, Some(known)) = (&self.0.file, self.0.known(&name)) {
            return Ok(known.account);
        }
        let late = |_| AccountsUnanswered("no answer in time".to_owned());
        let gone = |error: &dyn std::fmt::Display| AccountsUnanswered(error.to_string());
        let asked = async {
            let permit = self.0.askers.clone().acquire_owned().await.map_err(|e| gone(&e))?;
            let source = Arc::clone(&self.0);
            // A look-up that hangs keeps its permit, and so its thread to itself.
            let asked = spawn_blocking(move || {
                let found = source.ask(&name);
                drop(permit);
                found
            });
            asked.await.map_err(|error| gone(&error))?
        };
        timeout(PATIENCE, asked).await.map_err(late)?
    }
}

impl AccountSource {
    fn known(&self, name: &str) -> Option<SystemAnswer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = known.answers.get(name)?;
        (answer.asked.elapsed() < FRESH).then(|| answer.clone())
    }

    fn ask(&self, name: &str) -> Result<Option<UnixAccount>, AccountsUnanswered> {
        if let Some(file) = &self.file {
            let accounts = self
                .read(file)
                .map_err(|error| AccountsUnanswered(format!("{}: {error}", file.display())))?;
            return Ok(accounts.get(name).cloned());
        }
        let user = User::from_name(name).map_err(|error| AccountsUnanswered(error.to_string()))?;
        let account = user.map(|user| UnixAccount {
            name: name.into(),
            owner: Owner { user: user.uid.as_raw(), group: user.gid.as_raw() },
            home: user.dir.to_string_lossy().into(),
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.answers.len() >= MOST_KNOWN {
            known.answers.clear();
        }
        let answer = SystemAnswer { asked: Instant::now(), account: account.clone() };
        known.answers.insert(name.into(), answer);
        Ok(account)
    }

    /// The accounts of the file, read when it has changed.
    fn read(&self, file: &Path) -> io::Result<Arc<ByAccountName>> {
        let meta = fs::metadata(file)?;
        let now = (meta.modified()?, meta.len());
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((changed, length, accounts)) = &lock().file
            && (*changed, *length) == now
        {
            return Ok(Arc::clone(accounts));
        }
        let accounts = Arc::new(accounts_in(&fs::read_to_string(file)?));
        lock().file = Some((now.0, now.1, Arc::clone(&accounts)));
        Ok(accounts)
    }
}

/// Accounts of a text in the form of passwd(5), by name; lines that name none are left out, and so are
/// those whose name nobody can be found by.
pub fn accounts_in(text: &str) -> ByAccountName {
    let named = text.lines().filter_map(account_of);
    named.filter(|its| is_found(&its.name)).map(|its| (its.name.clone(), its)).collect()
}

/// The first account of such a text that has no mailbox for its name, with the number of its line. One
/// with capitals is none of them: Debian has such accounts of its own, and nobody asks for them.
pub fn unfound_account_in(text: &str) -> Option<(usize, Box<str>)> {
    let mut lines = (1..).zip(text.lines());
    lines.find_map(|(number, line)| {
        let name = account_of(line)?.name;
        (!is_found(&name.to_ascii_lowercase())).then_some((number, name))
    })
}

fn account_of(line: &str) -> Option<UnixAccount> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, user, group, _, home, _] = fields[..] else { return None };
    let owner = Owner { user: user.parse().ok()?, group: group.parse().ok()? };
    (!name.is_empty()).then(|| UnixAccount { name: name.into(), owner, home: home.into() })
}

/// Whether mail may find an account of this name: names are looked up in lower case, and each has a
/// mailbox of its own.
fn is_found(name: &str) -> bool {
    is_account_name(name) && is_plain_name(name) && !name.bytes().any(|c| c.is_ascii_uppercase())
}

/// Whether an account may have this name: strangers write it, and the system is asked for it.
fn is_account_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_graphic() && !b"/:\\\"'`$%*?&|;<>(){}[]!~#,".contains(&c);
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with(['.', '-', '+'])
        && name.bytes().all(plain)
}

/// The file of the system's own accounts.
const SYSTEM: &str = "/etc/passwd";
/// Octets.
const MAX_NAME: usize = 64;
/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(30);
const MOST_KNOWN: usize = 10_000;
/// Look-ups at once.
const AT_ONCE: usize = 4;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_of_a_file_are_those_of_now() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("accounts");
        let accounts = Accounts::of(&file);
        assert!(accounts.find("joe").await.is_err(), "no file is no answer");
        fs::write(&file, "joe:x:1001:7:Joe,,,:/home/joe:/bin/sh\n# none\nbad:x:y:1:::\n+::::::\n")
            .unwrap();
        let joe = accounts.find("Joe").await.unwrap().unwrap();
        assert_eq!(
            (&*joe.name, joe.owner, &*joe.home),
            ("joe", Owner { user: 1001, group: 7 }, "/home/joe")
        );
        for name in ["bad", "+", "", "joe/x", "ann"] {
            assert_eq!(accounts.find(name).await, Ok(None), "{name}");
        }
        let text = "joe:x:1:1::/:\n# none\nDebian-exim:x:1:1::/:\na/b:x:1:1::/:\n";
        assert_eq!(unfound_account_in(text), Some((4, "a/b".into())));
        assert_eq!(accounts_in(text).len(), 1, "names are looked up in lower case");
        for name in ["-joe", "joe.lock", "joe$x", "a b", "jö"] {
            let text = format!("{name}:x:1:1::/:/bin/sh\n");
            assert_eq!(unfound_account_in(&text), Some((1, name.into())));
            assert!(accounts_in(&text).is_empty(), "{name}");
        }
        assert_eq!(unfound_account_in("joe:x:1:1::/:\n+::::::\nbad:x:y:1:::\n"), None);
        fs::write(&file, "ann:x:1002:7::/home/ann:/bin/sh\n").unwrap();
        assert_eq!(accounts.find("joe").await, Ok(None));
        assert!(accounts.find("ann").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn the_system_knows_its_own() {
        let accounts = Accounts::of(Path::new("/etc/passwd"));
        for _ in 0..2 {
            assert_eq!(accounts.find("root").await.unwrap().unwrap().owner.user, 0);
            assert_eq!(accounts.find("no-such-user-here").await, Ok(None));
        }
    }
}
