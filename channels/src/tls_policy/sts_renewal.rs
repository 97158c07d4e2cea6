//! Renewal of policies that mail asks for, before they end (RFC 8461 sections 3.3 and 10.2).

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    io,
    sync::{Arc, PoisonError},
};

use futures_util::{StreamExt, stream};
use tokio::sync::Mutex as Turn;

use super::{
    sts::{StsMode, StsPolicy, id_of},
    sts_cache::{
        FAILED_FOR, FetchFault, KeptPolicy, KnownDomain, MOST_DOMAINS, StsCache, StsSource, read,
    },
};

/// A policy whose renewal was due.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Renewed {
    /// The domain.
    pub domain: Box<str>,
    /// The place of the source that was asked.
    pub source: usize,
    /// The policy as it was before.
    pub policy: Arc<StsPolicy>,
    /// The end of it.
    pub end: RenewalEnd,
}

/// The end of a renewal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RenewalEnd {
    /// A new one is there.
    Fetched,
    /// None came: the old one holds until its end, in seconds since 1970.
    Failed(FetchFault, u64),
    /// The old one has ended, and mail had asked for it.
    Lapsed,
}

impl<S: StsSource + Sync> StsCache<S> {
    /// Reads what the folder has into memory. Blocks.
    pub fn read_all(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let files = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        for file in files.take(MOST_DOMAINS) {
            let name = file?.file_name();
            let Some(domain) = name.to_str().filter(|name| !name.ends_with('~')) else { continue };
            let known = self.of(domain);
            if let Ok(mut known) = known.try_lock()
                && !known.is_read
            {
                known.keep(read(folder, domain));
            }
        }
        Ok(())
    }

    /// Renews the policies that are due at this time, in seconds since 1970, a few at once; forgets those
    /// that have ended.
    pub async fn renew(&self, now: u64) -> Vec<Renewed> {
        let (mut ended, mut due) = (Vec::new(), Vec::new());
        for (domain, known) in self.all() {
            // Mail for it is looking at it right now, and sees to it.
            let Ok(mut known) = known.try_lock() else { continue };
            let Some(kept) = &known.kept else { continue };
            if !kept.holds(now) {
                let is_missed = kept.policy.mode != StsMode::None && known.is_in_use(kept, now);
                let (policy, source) = (Arc::clone(&kept.policy), known.source);
                known.kept = None;
                self.remove(&domain);
                if is_missed {
                    ended.push(Renewed { domain, source, policy, end: RenewalEnd::Lapsed });
                }
            } else if known.is_renewal_due(&domain, now) {
                due.push(domain);
            } else if known.used >= kept.used.saturating_add(USE_KEPT) {
                let used = known.used;
                known.kept.iter_mut().for_each(|kept| kept.used = used);
                self.write(&known, &domain).await;
            }
        }
        let renewed = stream::iter(due).map(|domain| self.renew_one(domain, now));
        let renewed: Vec<_> = renewed.buffer_unordered(AT_ONCE).collect().await;
        ended.extend(renewed.into_iter().flatten());
        ended
    }

    /// Mail for the domain does not wait for it.
    async fn renew_one(&self, domain: Box<str>, now: u64) -> Option<Renewed> {
        let known = self.of(&domain);
        let (old, source) = {
            let known = known.lock().await;
            (known.kept.clone()?, known.source)
        };
        let asked = self.sources.get(source)?;
        let record = asked.texts(&format!("_mta-sts.{domain}")).await;
        let id = record.and_then(|texts| id_of(texts.iter().map(String::as_str)));
        let fetched = asked.policy(&domain).await;
        let id = id.unwrap_or_else(|| old.id.clone());
        let fetched = fetched.and_then(|text| KeptPolicy::of(&id, now, text));
        let end = match &fetched {
            Ok(_) => RenewalEnd::Fetched,
            Err(fault) => RenewalEnd::Failed(fault.clone(), old.end()),
        };
        let mut known = known.lock().await;
        known.renewal_failed = fetched.is_err().then_some(now);
        self.take(&mut known, &domain, fetched, (source, now)).await;
        Some(Renewed { domain, source, policy: old.policy, end })
    }

    fn all(&self) -> Vec<(Box<str>, Arc<Turn<KnownDomain>>)> {
        let domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        domains.iter().map(|(domain, known)| (domain.clone(), Arc::clone(known))).collect()
    }

    fn remove(&self, domain: &str) {
        let Some(folder) = self.folder.as_ref().filter(|_| self.writes) else { return };
        if let Err(error) = std::fs::remove_file(folder.join(domain))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(domain, %error, "an MTA-STS policy that has ended stays on disk");
        }
    }
}

impl KnownDomain {
    /// Whether mail has asked for it within its age.
    fn is_in_use(&self, kept: &KeptPolicy, now: u64) -> bool {
        now.saturating_sub(self.used) < kept.policy.max_age.as_secs()
    }

    fn is_renewal_due(&self, domain: &str, now: u64) -> bool {
        let Some(kept) = &self.kept else { return false };
        if kept.policy.mode == StsMode::None || !self.is_in_use(kept, now) {
            return false;
        }
        let each = EACH.min(kept.policy.max_age.as_secs() / 2);
        let due = match self.renewal_failed {
            Some(failed) => failed + (each / 8).clamp(FAILED_FOR, AGAIN),
            // Policies that were fetched together do not stay together.
            None => kept.fetched + each - chance(domain, kept.fetched) % (each / 4).max(1),
        };
        now >= due
    }
}

/// Nothing secret hangs on it.
fn chance(domain: &str, fetched: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (domain, fetched).hash(&mut hasher);
    hasher.finish()
}

/// Seconds between renewals, or half of the age of a short one; up to a quarter less.
const EACH: u64 = 24 * 3_600;
/// Seconds until a renewal that failed is tried again, at most.
const AGAIN: u64 = 3_600;
/// Seconds by which the use on disk may be older than it was.
const USE_KEPT: u64 = 3_600;
/// Fetches of renewals at once.
const AT_ONCE: usize = 4;

#[cfg(test)]
#[path = "sts_renewal_tests.rs"]
mod tests;
