//! The keys of all domains, and what they sign.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, PoisonError, RwLock},
    thread::available_parallelism,
    time::Duration,
};

use mail_auth::{common::crypto::DkimKey, dkim::Canonicalization};
use relais_config::{
    Config,
    dkim::{self, Dkim},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::key::{self, KeyFileFault};

/// The keys that sign. Clones are one: what one [adopts](Self::adopt), all have.
#[derive(Clone)]
pub struct Signers(Arc<KeysInForce>);

struct KeysInForce {
    keys: RwLock<Arc<Keys>>,
    /// Signatures that are made at once: as many as there are processors.
    turns: Semaphore,
}

/// The keys of one configuration, read.
#[derive(Default)]
pub(super) struct Keys {
    by_domain: HashMap<Box<str>, Vec<Arc<Signer>>>,
    /// Octets that the signatures of a message take, in all likelihood.
    room: u64,
}

/// One key, and how it signs.
pub(super) struct Signer {
    pub(super) domain: Box<str>,
    pub(super) selector: Box<str>,
    pub(super) subdomains: bool,
    pub(super) key: DkimKey,
    pub(super) manner: Arc<Manner>,
}

/// The fields that are signed, and in which form.
pub(super) struct Manner {
    pub(super) headers: Vec<Signed>,
    pub(super) header_form: Canonicalization,
    pub(super) body_form: Canonicalization,
    pub(super) expire: Option<Duration>,
}

/// A field that is signed.
pub(super) struct Signed {
    pub(super) name: Box<str>,
    /// Once more than there are.
    pub(super) over: bool,
}

impl Signers {
    /// Reads the keys that a configuration names. Takes a while.
    pub fn load(config: &Config) -> Result<Self, KeyFileFault> {
        Ok(Self::new(Keys::read(config)?))
    }

    /// Reads them again; after an error those of before are in force.
    pub fn adopt(&self, config: &Config) -> Result<(), KeyFileFault> {
        let keys = Arc::new(Keys::read(config)?);
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys().by_domain.is_empty()
    }

    /// Octets that the signatures of a message may take.
    pub(crate) fn room(&self) -> u64 {
        self.keys().room
    }

    /// Waits until fewer signatures are made than there are processors.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.turns.acquire().await.ok()
    }

    fn new(keys: Keys) -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let keys = RwLock::new(Arc::new(keys));
        Self(Arc::new(KeysInForce { keys, turns: Semaphore::new(cores) }))
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Signers {
    fn default() -> Self {
        Self::new(Keys::default())
    }
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signers").finish_non_exhaustive()
    }
}

impl Keys {
    fn read(config: &Config) -> Result<Self, KeyFileFault> {
        let Some(dkim) = &config.dkim else { return Ok(Self::default()) };
        let manner = Arc::new(Manner::of(dkim));
        let mut by_domain: HashMap<Box<str>, Vec<Arc<Signer>>> = HashMap::new();
        for (place, its) in dkim.keys.iter().enumerate() {
            let file = config.path(&its.key);
            let key = key::read(&file).map_err(|why| KeyFileFault {
                field: format!("dkim.keys[{place}].key"),
                file,
                why,
            })?;
            let domain: Box<str> = its.domain.to_ascii_lowercase().into();
            let signer = Signer {
                domain: domain.clone(),
                selector: its.selector.to_ascii_lowercase().into(),
                subdomains: its.subdomains,
                key,
                manner: Arc::clone(&manner),
            };
            by_domain.entry(domain).or_default().push(Arc::new(signer));
        }
        let most = by_domain.values().map(Vec::len).max().unwrap_or(0);
        Ok(Self { by_domain, room: ROOM * most as u64 })
    }

    /// The keys of a domain, or of the nearest above it.
    pub(super) fn of(&self, domain: &str) -> Vec<Arc<Signer>> {
        let domain = domain.to_ascii_lowercase();
        let mut name = domain.as_str();
        loop {
            if let Some(all) = self.by_domain.get(name) {
                let fits = |signer: &&Arc<Signer>| name == domain || signer.subdomains;
                let found: Vec<_> = all.iter().filter(fits).cloned().collect();
                if !found.is_empty() {
                    return found;
                }
            }
            match name.split_once('.') {
                Some((_, above)) => name = above,
                None => return Vec::new(),
            }
        }
    }
}

impl Manner {
    fn of(dkim: &Dkim) -> Self {
        let mut headers: Vec<Signed> = Vec::new();
        let from = "From".to_owned();
        let all = [(&from, false)].into_iter().chain(dkim.headers.iter().map(|name| (name, false)));
        for (name, over) in all.chain(dkim.oversign.iter().map(|name| (name, true))) {
            match headers.iter_mut().find(|its| its.name.eq_ignore_ascii_case(name)) {
                Some(its) => its.over |= over,
                None => headers.push(Signed { name: name.as_str().into(), over }),
            }
        }
        Self {
            headers,
            header_form: form(dkim.header_form),
            body_form: form(dkim.body_form),
            expire: dkim.expire,
        }
    }
}

fn form(form: dkim::Canonicalization) -> Canonicalization {
    match form {
        dkim::Canonicalization::Relaxed => Canonicalization::Relaxed,
        dkim::Canonicalization::Simple => Canonicalization::Simple,
    }
}

/// Octets of one signature with a key of 4,096 bits and all usual fields.
const ROOM: u64 = 1_500;
