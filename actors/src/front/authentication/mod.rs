//! Authentication: the claims of clients, against the directory.
//!
//! Hashing a password is work for many milliseconds: it is done on a few threads of its own, and an
//! attempt that would have to wait long for one is told to come back. Unknown users cost what known
//! ones cost, and every failure is answered at the same time after its beginning.

mod exchange;
mod failures;

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use relais_channels::{
    mail::{Enhanced, Reply},
    sasl::ScramKeys,
    tls::ClientCertificate,
};
use relais_config::Config;
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use tokio::sync::Semaphore;

pub use self::exchange::{AuthExchange, Claimant};
use self::failures::{Failures, Limits};
use crate::directory::{
    ADDRESSES, DirectoryHandle, Entry, Lookup, LookupError, StoredPassword, may_log_in,
};

/// Lets users in.
pub struct Authenticator {
    directory: DirectoryHandle,
    policy: RwLock<AuthPolicy>,
    failures: Mutex<Failures>,
    hashing: Semaphore,
    /// Attempts that hash or wait for it.
    attempts: Semaphore,
    /// The password that was checked last: unknown users are checked against it.
    decoy: Mutex<Option<StoredPassword>>,
    /// Makes up keys for users who have none.
    secret: hmac::Key,
}

/// The configuration's part in it.
#[derive(Clone)]
struct AuthPolicy {
    default_domain: Arc<str>,
    failure_time: Duration,
    limits: Limits,
}

/// A user who was let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The user's own mail address.
    pub user: Arc<str>,
    /// All addresses of the user, in lower case.
    pub addresses: Arc<[String]>,
}

/// Why a client was not let in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denied {
    /// It did not prove who it is.
    #[error("{0}")]
    Failed(String),
    /// Too many attempts failed.
    #[error("too many attempts have failed")]
    Limited,
    /// The directory does not answer, or holds what cannot be checked.
    #[error("{0}")]
    Unavailable(String),
}

/// An attempt: who, from where, since when.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The user that the client claims to be.
    pub user: &'a str,
    /// Where it is; nothing on a UNIX socket.
    pub client: Option<IpAddr>,
    /// When it began.
    pub begun: Instant,
}

impl Authenticator {
    /// For the users of a directory.
    pub fn new(directory: DirectoryHandle, config: &Config) -> Self {
        let mut secret = [0; 32];
        // Without random octets the salts of made-up keys can be told from others, and that is all.
        let _ = SystemRandom::new().fill(&mut secret);
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            directory,
            policy: RwLock::new(AuthPolicy::of(config)),
            failures: Mutex::new(Failures::default()),
            hashing: Semaphore::new(cores),
            attempts: Semaphore::new(cores * WAITING_PER_CORE),
            decoy: Mutex::default(),
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
        }
    }

    /// Goes by another configuration from now on; what has failed so far is remembered.
    pub fn adopt(&self, config: &Config) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = AuthPolicy::of(config);
    }

    /// Whether this is the user's password. Failures are answered in their time.
    pub async fn password(
        &self,
        attempt: &Attempt<'_>,
        password: Vec<u8>,
    ) -> Result<Identity, Denied> {
        let checked = match self.admit(attempt) {
            Ok(()) => self.check_password(attempt.user, password).await,
            Err(denied) => Err(denied),
        };
        self.settle(attempt, checked).await
    }

    /// Whether the certificate is this user's; without a name, whose it is.
    pub async fn certificate(
        &self,
        attempt: &Attempt<'_>,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Identity, Denied> {
        let checked = match (self.admit(attempt), certificate) {
            (Ok(()), Some(certificate)) => self.check_certificate(attempt.user, certificate).await,
            (Ok(()), None) => Err(Denied::Failed("no certificate that we know".to_owned())),
            (Err(denied), _) => Err(denied),
        };
        self.settle(attempt, checked).await
    }

    /// The keys by which this user proves a password; keys that no password fits for a user who has
    /// none, or is not there.
    pub async fn keys(&self, attempt: &Attempt<'_>) -> Result<ScramKeys, Denied> {
        if let Err(denied) = self.admit(attempt) {
            let settled = self.settle(attempt, Err(denied)).await;
            return Err(settled.err().unwrap_or(Denied::Limited));
        }
        let entry = self.find(attempt.user).await.map_err(|error| unavailable(&error))?;
        let stored = entry.iter().flat_map(|entry| StoredPassword::of(entry));
        let mut keys = stored.filter_map(|stored| match stored {
            Ok(StoredPassword::Scram(keys)) => Some(keys),
            _ => None,
        });
        let decoy = || ScramKeys::decoy(&self.secret, &self.completed(attempt.user));
        Ok(keys.next().unwrap_or_else(decoy))
    }

    /// The client has proved to be this user.
    pub async fn proven(&self, attempt: &Attempt<'_>) -> Result<Identity, Denied> {
        let found = self.find(attempt.user).await.map_err(|error| unavailable(&error))?;
        let gone = || Denied::Failed("no such user any more".to_owned());
        let checked = found.map(|entry| Identity::of(&entry, attempt.user)).ok_or_else(gone);
        self.settle(attempt, checked).await
    }

    /// The exchange came to nothing before anything could be checked.
    pub async fn fail(&self, attempt: &Attempt<'_>, why: String) -> Denied {
        let settled = self.settle(attempt, Err(Denied::Failed(why.clone()))).await;
        settled.err().unwrap_or(Denied::Failed(why))
    }

    fn admit(&self, attempt: &Attempt<'_>) -> Result<(), Denied> {
        let limits = self.policy().limits;
        let Attempt { client, user, .. } = *attempt;
        let user = canonical(user);
        let admitted = self.failures().admit(client, &user, &limits, Instant::now());
        if admitted { Ok(()) } else { Err(Denied::Limited) }
    }

    /// Counts the outcome, and waits until a failure may be told.
    async fn settle(
        &self,
        attempt: &Attempt<'_>,
        checked: Result<Identity, Denied>,
    ) -> Result<Identity, Denied> {
        let Attempt { user, client, begun } = *attempt;
        let user = &canonical(user);
        match &checked {
            Ok(_) => self.failures().forgive(client, user),
            Err(Denied::Unavailable(_)) => {}
            Err(denied) => {
                let AuthPolicy { failure_time, limits, .. } = self.policy();
                let before = match denied {
                    Denied::Failed(_) => {
                        self.failures().note(client, user, &limits, Instant::now())
                    }
                    _ => usize::MAX,
                };
                let doubled = before.saturating_sub(1).min(MOST_DOUBLINGS);
                let wait = failure_time * (1 << doubled);
                tokio::time::sleep_until((begun + wait).into()).await;
            }
        }
        checked
    }

    async fn check_password(&self, user: &str, password: Vec<u8>) -> Result<Identity, Denied> {
        let Ok(_waiting) = self.attempts.try_acquire() else {
            return Err(Denied::Unavailable("too many attempts at once".to_owned()));
        };
        let entry = self.find(user).await.map_err(|error| unavailable(&error))?;
        if let Some(entry) = &entry
            && let Some(right) = self.log_in(entry, &password).await?
        {
            return if right { Ok(Identity::of(entry, user)) } else { Err(Denied::wrong()) };
        }
        let passwords: Vec<_> = match &entry {
            None => self.decoy().clone().into_iter().collect(),
            Some(entry) => {
                let (usable, others): (Vec<_>, Vec<_>) =
                    StoredPassword::of(entry).partition(Result::is_ok);
                match others.into_iter().find_map(Result::err) {
                    // Such a user is answered as one who is not there.
                    Some(error) if usable.is_empty() => {
                        return Err(Denied::Failed(error.to_string()));
                    }
                    _ => usable.into_iter().flatten().collect(),
                }
            }
        };
        if let (Some(_), Some(password)) = (&entry, passwords.first()) {
            *self.decoy() = Some(password.clone());
        }
        let hashing = self.hashing.acquire().await;
        let check = move || {
            // Hashes of a password that was not prepared first are common.
            let prepared = prepared(&password);
            passwords.iter().any(|stored| {
                stored.is(&password) || prepared.as_ref().is_some_and(|it| stored.is(it))
            })
        };
        let right = tokio::task::spawn_blocking(check).await;
        drop(hashing);
        let right = right.map_err(|died| Denied::Unavailable(died.to_string()))?;
        match entry {
            Some(entry) if right => Ok(Identity::of(&entry, user)),
            Some(_) => Err(Denied::wrong()),
            None => Err(Denied::Failed("no such user".to_owned())),
        }
    }

    /// Has the directory say whether the password is right, where it does so.
    async fn log_in(&self, entry: &Entry, password: &[u8]) -> Result<Option<bool>, Denied> {
        // A password that is no text is none of a directory's (RFC 4513 section 5.1.3).
        let text = str::from_utf8(password).unwrap_or_default();
        let said = self.directory.log_in(&entry.dn, text).await;
        match said.map_err(|error| unavailable(&error))? {
            Some(false) => match prepared(password).and_then(|it| String::from_utf8(it).ok()) {
                Some(prepared) => {
                    let said = self.directory.log_in(&entry.dn, &prepared).await;
                    said.map_err(|error| unavailable(&error))
                }
                None => Ok(Some(false)),
            },
            said => Ok(said),
        }
    }

    async fn check_certificate(
        &self,
        user: &str,
        certificate: &ClientCertificate,
    ) -> Result<Identity, Denied> {
        for address in &certificate.addresses {
            if let Some(entry) = self.find(address).await.map_err(|error| unavailable(&error))? {
                let identity = Identity::of(&entry, address);
                let named = self.completed(user);
                if user.is_empty() || identity.has(&named) {
                    return Ok(identity);
                }
            }
        }
        Err(Denied::Failed("the certificate is for no such user".to_owned()))
    }

    /// The user with this name who may log in: a mail address, or else a login name (`uid`) and its
    /// domain.
    async fn find(&self, user: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        let name = self.completed(user);
        let Some((local, domain)) = name.rsplit_once('@') else { return Ok(None) };
        let Some(domain) = self.directory.domain(domain).await? else { return Ok(None) };
        let mut found = self.directory.entries(&domain, &name).await?;
        if found.is_empty() {
            // The domain may have been called by another of its names.
            let own = format!("{local}@{}", domain.name);
            found = self.directory.entries(&domain, &own).await?;
        }
        if found.is_empty() {
            found = self.directory.users(&domain, local).await?;
        }
        found.retain(|entry| may_log_in(entry, &domain));
        // Of two nobody can say which one is meant.
        Ok(if found.len() == 1 { found.pop() } else { None })
    }

    /// In lower case, with a domain.
    fn completed(&self, user: &str) -> String {
        let user = canonical(user);
        if user.contains('@') { user } else { format!("{user}@{}", self.policy().default_domain) }
    }

    fn policy(&self) -> AuthPolicy {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decoy(&self) -> MutexGuard<'_, Option<StoredPassword>> {
        self.decoy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuthPolicy {
    fn of(config: &Config) -> Self {
        Self {
            default_domain: config.default_domain.as_str().into(),
            failure_time: config.authentication.failure_time,
            limits: Limits::of(&config.authentication),
        }
    }
}

impl Identity {
    fn of(entry: &Entry, user: &str) -> Self {
        let addresses = ADDRESSES.iter().flat_map(|name| entry.all(name));
        Self {
            user: entry.first("mail").unwrap_or(user).into(),
            addresses: addresses.map(|address| address.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether an address is one of the user's.
    pub fn has(&self, address: &str) -> bool {
        self.addresses.iter().any(|own| own.eq_ignore_ascii_case(address))
    }
}

impl Denied {
    fn wrong() -> Self {
        Self::Failed("wrong password".to_owned())
    }

    /// The reply: nothing in it tells whether there is such a user.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Failed(_) => Reply::new(535, Enhanced(5, 7, 8), "authentication failed"),
            Self::Limited => {
                Reply::new(454, Enhanced(4, 7, 0), "too many failed attempts, try again later")
            }
            Self::Unavailable(_) => {
                Reply::new(454, Enhanced(4, 7, 0), "authentication is not available for now")
            }
        }
    }
}

/// A user's name as a directory compares it (RFC 4518): one form of each letter, in lower case, and of
/// blanks none but single ones between words. All spellings of a name count as one user.
fn canonical(user: &str) -> String {
    let prepared = stringprep::saslprep(user).unwrap_or(user.into()).to_lowercase();
    prepared.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The password in the form of RFC 4013, where that is another: one letter comes as several code
/// points from some keyboards.
fn prepared(password: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(password).ok().filter(|text| !text.is_ascii())?;
    let prepared = stringprep::saslprep(text).ok()?;
    // Letters that stand for nothing are no password.
    let is_another = prepared != text && !prepared.is_empty();
    is_another.then(|| prepared.into_owned().into_bytes())
}

fn unavailable(error: &LookupError) -> Denied {
    Denied::Unavailable(error.to_string())
}

/// The wait of a failure doubles so often at most.
const MOST_DOUBLINGS: usize = 4;
const WAITING_PER_CORE: usize = 32;
