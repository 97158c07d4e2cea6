//! Policy records of DMARC as RFC 9989 has them read, for the library to go by.
//!
//! The library gives up at a record with a tag that makes no sense, and goes by the first of several.
//! RFC 9989 section 4.7 has such a tag left out, and section 4.10 all of several records at one name. So
//! the names of its walk are asked for here, before it walks.

use std::{
    borrow::Borrow,
    collections::{HashMap, hash_map::Entry},
    hash::{Hash, Hasher},
    sync::Arc,
    time::Instant,
};

use hickory_resolver::proto::rr::RData;
use mail_auth::{
    DnsError, Error, MessageAuthenticator, ResolverCache, Txt,
    common::{parse::TxtRecordParser, to_a_label},
    dmarc::Dmarc,
};

/// Records by their names, as far as these have been asked for.
#[derive(Default)]
pub(super) struct DmarcRecords {
    known: HashMap<u64, Txt>,
}

impl DmarcRecords {
    /// Records that decide about an author, and about the domains that speak for it.
    pub(super) async fn found(
        checks: &MessageAuthenticator,
        author: &str,
        speakers: impl Iterator<Item = &str>,
    ) -> Self {
        let author = to_a_label(author).to_ascii_lowercase();
        let mut records = Self::default();
        records.walk(checks, &author).await;
        for domain in speakers {
            let domain = to_a_label(domain).to_ascii_lowercase();
            // Nobody goes on to a domain that has nothing in common with the author's.
            if top(&domain) == top(&author) {
                records.walk(checks, &domain).await;
            }
        }
        records
    }

    async fn walk(&mut self, checks: &MessageAuthenticator, domain: &str) {
        let labels: Vec<_> = domain.split('.').filter(|label| !label.is_empty()).collect();
        let all = labels.len();
        // The whole name, and at most seven labels of it (RFC 9989 section 4.10).
        let from = std::iter::once(0).chain(all.saturating_sub(7).max(1)..all);
        for first in from.filter(|_| all > 1) {
            let name = format!("_dmarc.{}.", labels[first..].join("."));
            if let Entry::Vacant(place) = self.known.entry(key(name.as_str())) {
                place.insert(asked(checks, &name).await);
            }
        }
    }
}

/// The last two labels.
fn top(domain: &str) -> &str {
    let mut dots = domain.trim_end_matches('.').rmatch_indices('.');
    dots.nth(1).map_or(domain, |(at, _)| &domain[at + 1..])
}

/// The record at a name.
async fn asked(checks: &MessageAuthenticator, name: &str) -> Txt {
    let texts: Vec<Vec<u8>> = match checks.0.txt_lookup(name).await {
        Ok(found) => {
            let texts = found.answers().iter().filter_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            });
            texts.collect()
        }
        Err(error) if error.is_no_records_found() => Vec::new(),
        Err(error) => return Txt::Error(Error::Dns(DnsError::Resolver(error.to_string()))),
    };
    let mut records = texts.iter().filter_map(|text| read(text));
    match (records.next(), records.next()) {
        (Some(record), None) => Txt::Dmarc(Arc::new(record)),
        _ => Txt::Error(Error::Dns(DnsError::InvalidRecordType)),
    }
}

/// A record without its tags that make no sense. `None`: it is none.
fn read(text: &[u8]) -> Option<Dmarc> {
    if let Ok(record) = Dmarc::parse(text) {
        return Some(record);
    }
    let mut tags = text.split(|octet| *octet == b';').take(MOST_TAGS);
    let mut sound = tags.next()?.to_vec();
    let mut record = Dmarc::parse(&sound).ok()?;
    for tag in tags {
        let before = sound.len();
        sound.push(b';');
        sound.extend_from_slice(tag);
        match Dmarc::parse(&sound) {
            Ok(more) => record = more,
            Err(_) => sound.truncate(before),
        }
    }
    Some(record)
}

impl ResolverCache<Box<str>, Txt> for DmarcRecords {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.known.get(&key(name)).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// The library tells no more of a name than its hash.
fn key<Q: Hash + ?Sized>(name: &Q) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Tags of a record that are looked at.
const MOST_TAGS: usize = 64;
