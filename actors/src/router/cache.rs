//! What routing found, remembered and shared by all sessions.
//!
//! Holds only what does not depend on who asks. Bounded, in answers and in octets: when it is full,
//! what is out of date goes first, and then a part of the rest. What lists came to is counted once,
//! however many answers share it. A cached answer costs one look-up and no message.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;
use relais_channels::mail::Address;
use relais_config::directory::Cache as Limits;

use super::routes::{Question, Resolution, Route, Routes};

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
    octets: AtomicUsize,
    /// Answers that share what a list came to, by its place in memory, and its octets.
    shared: Mutex<HashMap<usize, (usize, usize)>>,
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
            octets: AtomicUsize::new(0),
            shared: Mutex::default(),
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
        self.routes().lists.forget();
        self.forget_all();
    }

    /// Answers from the cache, for `directory_cache_hits_total`.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Answers that were not there.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Octets of the answers held.
    pub fn octets(&self) -> usize {
        self.octets.load(Ordering::Relaxed)
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
        self.charge(key.len(), resolution);
        if let Some(before) = self.answers.insert(key.as_str().into(), answer) {
            self.discharge(key.len(), &before.resolution);
        }
        // Read last: a clear that came before the insertion is seen here.
        if self.generation() != generation {
            self.forget_all();
        }
    }

    fn forget_all(&self) {
        self.keep(|_| false);
    }

    /// Forgets the other answers.
    fn keep(&self, mut wanted: impl FnMut(&Answer) -> bool) {
        self.answers.retain(|key, answer| {
            let stays = wanted(answer);
            if !stays {
                self.discharge(key.len(), &answer.resolution);
            }
            stays
        });
    }

    fn charge(&self, key: usize, resolution: &Resolution) {
        self.octets.fetch_add(key + ANSWER, Ordering::Relaxed);
        let Some(list) = list_of(resolution) else { return };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (answers, octets) =
            shared.entry(list.as_ptr() as usize).or_insert_with(|| (0, octets_of(list)));
        *answers += 1;
        if *answers == 1 {
            self.octets.fetch_add(*octets, Ordering::Relaxed);
        }
    }

    fn discharge(&self, key: usize, resolution: &Resolution) {
        self.octets.fetch_sub(key + ANSWER, Ordering::Relaxed);
        let Some(list) = list_of(resolution) else { return };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let place = list.as_ptr() as usize;
        let Some((answers, octets)) = shared.get_mut(&place) else { return };
        *answers -= 1;
        if *answers == 0 {
            self.octets.fetch_sub(*octets, Ordering::Relaxed);
            shared.remove(&place);
        }
    }

    fn is_full(&self) -> bool {
        self.answers.len() >= self.limits.entries || self.octets() >= MAX_OCTETS
    }

    fn make_room(&self, now: Instant) {
        if !self.is_full() {
            return;
        }
        self.keep(|answer| now < answer.until);
        while self.is_full() && !self.is_empty() {
            // Every eighth at least, so that the work is shared by many answers to come.
            let mut n = 0_usize;
            self.keep(|_| {
                n += 1;
                n % 8 != 1
            });
        }
    }
}

/// What several answers may share.
fn list_of(resolution: &Resolution) -> Option<&[Route]> {
    resolution.routes.as_deref().ok().filter(|routes| routes.len() > 1)
}

/// What the ways of a list take; names of channels and hosts are shared by them.
fn octets_of(routes: &[Route]) -> usize {
    let text = |route: &Route| route.address.len() + route.member.as_ref().map_or(0, |m| m.len());
    routes.iter().map(|route| size_of::<Route>() + text(route) + HEAP).sum()
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

/// What an answer takes beside its key, with a single way.
const ANSWER: usize = 400;
/// What allocations of a way take beside their octets.
const HEAP: usize = 64;
/// Octets of all answers, about.
const MAX_OCTETS: usize = 64 << 20;
/// How long a temporary failure is remembered, so that a dead directory is not asked for each
/// recipient.
const TEMPORARY: Duration = Duration::from_secs(2);
