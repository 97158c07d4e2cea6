//! Policies of MTA-STS that are known, in memory and on disk.
//!
//! A policy holds for as long as it says from when it was fetched, whatever becomes of its record or its
//! server in between: that is what protects against somebody who suppresses both (RFC 8461 section 5.1).
//! It is fetched anew when the record has another id, and before its end. One fetch of a domain at a
//! time; a failure is remembered for a while. Policies that mail asks for are renewed once a day, so that
//! somebody who keeps their server from us has to do so for all of their age; one that no mail has asked
//! for during its age is let go.
//!
//! A domain has one policy, whichever of several sources it came from: the one that was fetched last. A
//! source that fails or knows nothing takes none away that another has found.

use std::{
    collections::HashMap,
    fs::File,
    future::Future,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Mutex as Turn;

use super::sts::{NoPolicy, StsMode, StsPolicy, id_of};

/// Where records and policies come from.
pub trait StsSource {
    /// The TXT records of a name.
    fn texts(&self, name: &str) -> impl Future<Output = Option<Vec<String>>> + Send;
    /// The octets of the policy of a domain, bounded.
    fn policy(&self, domain: &str) -> impl Future<Output = Result<Vec<u8>, FetchFault>> + Send;
}

/// Why no policy was fetched though there is a record.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FetchFault {
    /// The server's certificate is not good.
    #[error("certificate of the policy's server: {0}")]
    Certificate(String),
    /// No answer, or not one with a policy.
    #[error("{0}")]
    Failed(String),
    /// The text is no policy.
    #[error("what came is no policy: {0}")]
    Invalid(#[from] NoPolicy),
}

/// The knowledge of a domain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StsFound {
    /// Its policy that holds, unless its mode is `none`.
    pub policy: Option<Arc<StsPolicy>>,
    /// The id by which it was fetched.
    pub id: Option<String>,
    /// Why it, or a newer one, could not be fetched.
    pub fault: Option<FetchFault>,
}

/// The policies that are known.
pub struct StsCache<S> {
    pub(super) sources: Vec<S>,
    pub(super) folder: Option<PathBuf>,
    /// Policies that are fetched are written down.
    pub(super) writes: bool,
    pub(super) domains: Mutex<HashMap<Box<str>, Arc<Turn<KnownDomain>>>>,
}

/// Of one domain.
#[derive(Debug, Default)]
pub(super) struct KnownDomain {
    /// The disk has been looked at.
    pub(super) is_read: bool,
    pub(super) kept: Option<KeptPolicy>,
    /// Mail asked for it last, in seconds since 1970, by the source at this place.
    pub(super) used: u64,
    pub(super) source: usize,
    /// The renewal that failed last, in seconds since 1970.
    pub(super) renewal_failed: Option<u64>,
    /// The fetches that failed last, one of each source.
    failed: Vec<FailedFetch>,
}

#[derive(Debug)]
struct FailedFetch {
    /// The place of the source.
    source: usize,
    /// Seconds since 1970.
    at: u64,
    fault: FetchFault,
}

/// A policy, as it was fetched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct KeptPolicy {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) fetched: u64,
    /// Mail asked for it last, in seconds since 1970; as it is on disk.
    pub(super) used: u64,
    text: Vec<u8>,
    pub(super) policy: Arc<StsPolicy>,
}

impl<S: StsSource> StsCache<S> {
    /// Keeps policies in this folder, below the data folder; nowhere without one.
    pub fn new(sources: Vec<S>, folder: Option<PathBuf>) -> Self {
        Self { sources, folder, writes: true, domains: Mutex::default() }
    }

    /// Leaves the folder as it is.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { writes: false, ..self }
    }

    /// The policy of a domain, in lower case, at this time, in seconds since 1970. What is not known is
    /// asked of the source at this place.
    pub async fn find(&self, domain: &str, source: usize, now: u64) -> StsFound {
        let Some(asked) = self.sources.get(source) else { return StsFound::default() };
        let known = self.of(domain);
        // Others of this domain wait for the fetch, those of other domains do not.
        let mut known = known.lock().await;
        if !known.is_read {
            let (folder, domain) = (self.folder.clone(), domain.to_owned());
            let read =
                tokio::task::spawn_blocking(move || folder.and_then(|its| read(&its, &domain)));
            known.keep(read.await.ok().flatten());
        }
        known.kept.take_if(|kept| !kept.holds(now));
        (known.used, known.source) = (known.used.max(now), source);
        let record = asked.texts(&format!("_mta-sts.{domain}")).await;
        let id = record.and_then(|texts| id_of(texts.iter().map(String::as_str)));
        if known.wants(id.as_deref(), source, now) {
            let id = id.unwrap_or_default();
            let fetched = asked.policy(domain).await;
            let fetched = fetched.and_then(|text| KeptPolicy::of(&id, now, text));
            self.take(&mut known, domain, fetched, (source, now)).await;
        }
        known.found(source)
    }

    pub(super) async fn take(
        &self,
        known: &mut KnownDomain,
        domain: &str,
        fetched: Result<KeptPolicy, FetchFault>,
        (source, at): (usize, u64),
    ) {
        known.failed.retain(|its| its.source != source);
        match fetched {
            Ok(kept) => {
                let id = &*kept.id;
                tracing::info!(domain, id, mode = %kept.policy.mode, "MTA-STS policy fetched");
                known.renewal_failed = None;
                known.kept = Some(KeptPolicy { used: known.used, ..kept });
                self.write(known, domain).await;
            }
            Err(fault) => {
                let until = known.kept.as_ref().map(KeptPolicy::end);
                tracing::warn!(
                    domain, %fault, until,
                    "the domain's MTA-STS policy cannot be fetched; one that is known holds until its end"
                );
                known.failed.push(FailedFetch { source, at, fault });
            }
        }
    }

    /// Writes the policy of a domain down.
    pub(super) async fn write(&self, known: &KnownDomain, domain: &str) {
        let Some(folder) = self.folder.clone().filter(|_| self.writes) else { return };
        let Some(kept) = known.kept.clone() else { return };
        let name = domain.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, &kept)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(domain, %error, "an MTA-STS policy cannot be kept on disk");
        }
    }

    pub(super) fn of(&self, domain: &str) -> Arc<Turn<KnownDomain>> {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = domains.get(domain) {
            return Arc::clone(known);
        }
        if domains.len() >= MOST_DOMAINS {
            // A domain that somebody waits for stays, and one with a policy, which is to be renewed.
            domains.retain(|_, known| {
                let has_policy = || known.try_lock().is_ok_and(|known| known.kept.is_some());
                Arc::strong_count(known) > 1 || has_policy()
            });
            if domains.len() >= MOST_DOMAINS {
                domains.retain(|_, known| Arc::strong_count(known) > 1);
            }
        }
        Arc::clone(domains.entry(domain.into()).or_default())
    }
}

impl KnownDomain {
    /// The disk had this.
    pub(super) fn keep(&mut self, kept: Option<KeptPolicy>) {
        self.is_read = true;
        self.used = self.used.max(kept.as_ref().map_or(0, |kept| kept.used));
        self.kept = kept;
    }

    /// Whether a fetch from this source is due, with this id in the record, if there is one.
    fn wants(&self, id: Option<&str>, source: usize, now: u64) -> bool {
        let failed_lately = self.fault(source).is_some_and(|its| now.abs_diff(its.at) < FAILED_FOR);
        let is_due = match (&self.kept, id) {
            (None, id) => id.is_some(),
            // Without a record there is nothing to compare, and the policy holds.
            (Some(kept), None) => kept.nears_its_end(now),
            (Some(kept), Some(id)) => kept.is_outdated(id, now) || kept.nears_its_end(now),
        };
        is_due && !failed_lately
    }

    fn fault(&self, source: usize) -> Option<&FailedFetch> {
        self.failed.iter().find(|its| its.source == source)
    }

    fn found(&self, source: usize) -> StsFound {
        let fault = self.fault(source).map(|its| its.fault.clone());
        let Some(kept) = &self.kept else { return StsFound { fault, ..StsFound::default() } };
        let policy = Some(&kept.policy).filter(|policy| policy.mode != StsMode::None);
        StsFound { policy: policy.cloned(), id: Some(kept.id.clone()), fault }
    }
}

impl KeptPolicy {
    pub(super) fn of(id: &str, fetched: u64, text: Vec<u8>) -> Result<Self, FetchFault> {
        let policy = Arc::new(StsPolicy::parse(&text)?);
        Ok(Self { id: id.to_owned(), fetched, used: fetched, text, policy })
    }

    /// In seconds since 1970.
    pub(super) fn end(&self) -> u64 {
        self.fetched + self.policy.max_age.as_secs()
    }

    /// A clock that was set back makes a policy of the future, which is good for no longer.
    pub(super) fn holds(&self, now: u64) -> bool {
        now.abs_diff(self.fetched) < self.policy.max_age.as_secs()
    }

    /// Name servers that disagree about the id do not make every message fetch.
    fn is_outdated(&self, id: &str, now: u64) -> bool {
        self.id != id && now.abs_diff(self.fetched) >= FETCHED_FOR
    }

    fn nears_its_end(&self, now: u64) -> bool {
        let age = self.policy.max_age.as_secs();
        now.abs_diff(self.fetched) > age - (age / 4).min(LAST_DAYS)
    }
}

/// The policy of a domain as it lies on disk: lines about it, and the text as it came.
pub(super) fn read(folder: &Path, domain: &str) -> Option<KeptPolicy> {
    let bytes = std::fs::read(folder.join(domain)).ok()?;
    let line = |text: &[u8]| Some(String::from_utf8(text.to_vec()).ok()?.trim_end().to_owned());
    let mut parts = bytes.splitn(3, |octet| *octet == b'\n');
    let fetched = line(parts.next()?)?.strip_prefix("fetched: ")?.parse().ok()?;
    let id = line(parts.next()?)?.strip_prefix("id: ")?.to_owned();
    let rest = parts.next()?;
    // Files of an earlier release lack the line.
    let (used, text) = match rest.strip_prefix(b"used: ") {
        Some(rest) => {
            let mut parts = rest.splitn(2, |octet| *octet == b'\n');
            (line(parts.next()?)?.parse().ok()?, parts.next()?)
        }
        None => (fetched, rest),
    };
    Some(KeptPolicy { used, ..KeptPolicy::of(&id, fetched, text.to_vec()).ok()? })
}

fn write(folder: &Path, domain: &str, kept: &KeptPolicy) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let KeptPolicy { fetched, id, used, .. } = kept;
    let mut bytes = format!("fetched: {fetched}\nid: {id}\nused: {used}\n").into_bytes();
    bytes.extend_from_slice(&kept.text);
    let (new, file) = (folder.join(format!("{domain}~")), folder.join(domain));
    let mut written = File::create(&new)?;
    written.write_all(&bytes)?;
    written.sync_all()?;
    std::fs::rename(new, file)
}

/// Forgets the policies on disk that hold no more; returns how many are left.
pub(super) fn tidy(folder: &Path, now: u64) -> io::Result<usize> {
    let mut left = 0;
    for file in std::fs::read_dir(folder)? {
        let name = file?.file_name();
        let Some(domain) = name.to_str() else { continue };
        if read(folder, domain).is_some_and(|kept| kept.holds(now)) && left < MOST_DOMAINS {
            left += 1;
        } else {
            std::fs::remove_file(folder.join(domain))?;
        }
    }
    Ok(left)
}

/// Seconds for which a fetch that failed is not tried again (RFC 8461 section 3.3: five minutes).
pub(super) const FAILED_FOR: u64 = 5 * 60;
/// Seconds for which a policy that was just fetched is not fetched again for another id.
const FETCHED_FOR: u64 = 60;
/// Seconds before the end of a policy in which a new one is sought, or the last quarter of a short one.
const LAST_DAYS: u64 = 2 * 24 * 3_600;
/// Domains in memory, and on disk.
pub(super) const MOST_DOMAINS: usize = 10_000;
/// Of one fetch, from the connection to the last octet.
pub(super) const FETCH_TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
#[path = "sts_cache_tests.rs"]
mod tests;
