//! What routing found, remembered and shared by all sessions.
//!
//! Holds only what does not depend on who asks. Bounded: when it is full, what is out of date
//! goes first, and then a part of the rest. A cached answer costs one look-up and no message.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;
use relais_channels::mail::Address;
use relais_config::directory::Cache as Limits;

use super::routes::{Question, Resolution, Routes};

/// The cache, with the routes that its answers came from.
#[derive(Debug)]
pub struct RouteCache {
    answers: DashMap<Box<str>, Answer>,
    routes: RwLock<Arc<Routes>>,
    /// Grows with each [`RouteCache::replace`].
    generation: AtomicU64,
    limits: Limits,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone, Debug)]
struct Answer {
    resolution: Arc<Resolution>,
    until: Instant,
}

impl RouteCache {
    /// An empty cache.
    pub fn new(routes: Arc<Routes>, limits: Limits) -> Self {
        Self {
            answers: DashMap::new(),
            routes: RwLock::new(routes),
            generation: AtomicU64::new(0),
            limits,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The routes in force.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other routes in force and forgets every answer.
    pub fn replace(&self, routes: Arc<Routes>) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
        self.clear();
    }

    /// Forgets every answer: the directory has changed.
    pub fn clear(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.answers.clear();
    }

    /// Answers from the cache, for `directory_cache_hits_total`.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Answers that were not there.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Answers held.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// To be read before an answer is made, and given back with it.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn find(&self, question: &Question<'_>) -> Option<Arc<Resolution>> {
        let key = key(question.source_channel, question.address);
        let found = self.answers.get(&*key).filter(|answer| Instant::now() < answer.until);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|answer| Arc::clone(&answer.resolution))
    }

    /// Remembers an answer, unless what it rests on was replaced meanwhile.
    pub(super) fn remember(
        &self,
        question: &Question<'_>,
        resolution: &Arc<Resolution>,
        generation: u64,
    ) {
        let life = match &resolution.routes {
            Ok(_) => self.limits.ttl,
            Err(reply) if reply.is_permanent() => self.limits.negative_ttl,
            Err(_) => self.limits.negative_ttl.min(TEMPORARY),
        };
        let now = Instant::now();
        let Some(until) = now.checked_add(life).filter(|_| self.limits.entries > 0) else { return };
        self.make_room(now);
        let key = key(question.source_channel, question.address);
        let answer = Answer { resolution: Arc::clone(resolution), until };
        self.answers.insert(key.into(), answer);
        // Read last: a clear that came before the insertion is seen here.
        if self.generation() != generation {
            self.answers.clear();
        }
    }

    fn make_room(&self, now: Instant) {
        if self.answers.len() < self.limits.entries {
            return;
        }
        self.answers.retain(|_, answer| now < answer.until);
        if self.answers.len() < self.limits.entries {
            return;
        }
        // Every eighth at least, so that the work is shared by many answers to come.
        let mut n = 0_usize;
        self.answers.retain(|_, _| {
            n += 1;
            n % 8 != 1
        });
    }
}

/// Source channel and address; the case of a domain does not matter.
fn key(channel: &str, address: &Address) -> String {
    let text = address.as_str();
    let mut key = String::with_capacity(channel.len() + 1 + text.len());
    key.push_str(channel);
    key.push(' ');
    key.push_str(text);
    let domain = address.domain().map_or(0, str::len);
    let start = key.len() - domain;
    key[start..].make_ascii_lowercase();
    key
}

/// How long a temporary failure is remembered, so that a dead directory is not asked for each
/// recipient.
const TEMPORARY: Duration = Duration::from_secs(2);
