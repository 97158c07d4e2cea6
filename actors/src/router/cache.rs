//! The cache that the router publishes: the routes in force, and the answers that they led to, read
//! and filled by all sessions; only the router replaces it.
//!
//! [`InForce`] holds routes and answers together and is replaced as a whole: an answer that was made
//! by routes that are in force no more is remembered where nobody looks any more.
//!
//! Holds what does not depend on who asks; and of recipients who are lists that ask who posts, the
//! ways of those who may. Bounded, in answers and in octets: when it is full,
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
use relais_config::{directory::Cache as Limits, facts::Facts};
use smallvec::SmallVec;

use super::{
    lists::Lists,
    routes::{Posting, Question, Resolution, Route, Routes},
};

/// The place where the router publishes.
#[derive(Debug)]
pub struct RouteCache {
    in_force: RwLock<Arc<InForce>>,
    limits: Limits,
    uses: Arc<Uses>,
}

/// Routes in force, and what they led to.
#[derive(Debug)]
pub struct InForce {
    /// The routes.
    pub routes: Arc<Routes>,
    /// Members that long lists came to a moment ago.
    pub(super) lists: Lists,
    answers: DashMap<Box<[u8]>, Remembered>,
    limits: Limits,
    uses: Arc<Uses>,
    octets: AtomicUsize,
    /// Answers that share what a list came to, by its place in memory, and its octets.
    shared: Mutex<HashMap<usize, (usize, usize)>>,
}

/// How often the cache was of use.
#[derive(Debug, Default)]
struct Uses {
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone, Debug)]
struct Remembered {
    resolution: Arc<Resolution>,
    until: Instant,
}

impl RouteCache {
    /// Puts routes in force. Nothing is remembered yet.
    pub fn new(routes: Arc<Routes>, limits: Limits) -> Self {
        let uses = Arc::default();
        let first = InForce::new(routes, limits, Arc::clone(&uses));
        Self { in_force: RwLock::new(Arc::new(first)), limits, uses }
    }

    /// Routes and answers as they are now.
    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The routes in force.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.in_force().routes)
    }

    /// Answers from the cache, for `directory_cache_hits_total`.
    pub fn hits(&self) -> u64 {
        self.uses.hits.load(Ordering::Relaxed)
    }

    /// Answers that were not there.
    pub fn misses(&self) -> u64 {
        self.uses.misses.load(Ordering::Relaxed)
    }

    /// Puts other routes in force, which know of no answer yet. Only the router does so.
    pub(super) fn publish(&self, routes: Arc<Routes>) {
        let next = InForce::new(routes, self.limits, Arc::clone(&self.uses));
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

impl InForce {
    fn new(routes: Arc<Routes>, limits: Limits, uses: Arc<Uses>) -> Self {
        Self {
            routes,
            lists: Lists::default(),
            answers: DashMap::new(),
            limits,
            uses,
            octets: AtomicUsize::new(0),
            shared: Mutex::default(),
        }
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

    pub(super) fn find(&self, question: &Question<'_>) -> Option<Arc<Resolution>> {
        self.find_by(&self.key(question))
    }

    /// The same, where a list asks who posts.
    pub(super) fn find_of_poster(&self, question: &Question<'_>) -> Option<Arc<Resolution>> {
        self.find_by(&self.poster_key(question))
    }

    fn find_by(&self, key: &[u8]) -> Option<Arc<Resolution>> {
        let found = self.answers.get(key).filter(|answer| Instant::now() < answer.until);
        let counter = if found.is_some() { &self.uses.hits } else { &self.uses.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|answer| Arc::clone(&answer.resolution))
    }

    pub(super) fn remember(&self, question: &Question<'_>, resolution: &Arc<Resolution>) {
        let life = match &resolution.routes {
            Ok(_) => self.limits.ttl,
            Err(_) if resolution.posting == Posting::Unsaid => self.limits.ttl,
            Err(reply) if reply.is_permanent() => self.limits.negative_ttl,
            Err(_) => self.limits.negative_ttl.min(TEMPORARY),
        };
        let now = Instant::now();
        // Strangers who are turned away push nobody else's answer out.
        let is_refused = resolution.posting == Posting::Asked && resolution.routes.is_err()
            || resolution.posting == Posting::HeaderWanted;
        let is_kept = self.limits.entries > 0 && !resolution.comes_once && !is_refused;
        let Some(until) = now.checked_add(life).filter(|_| is_kept) else { return };
        self.make_room(now);
        let key = match resolution.posting {
            Posting::Asked => self.poster_key(question),
            Posting::Open | Posting::Unsaid | Posting::HeaderWanted => self.key(question),
        };
        let answer = Remembered { resolution: Arc::clone(resolution), until };
        self.charge(key.len(), resolution);
        if let Some(before) = self.answers.insert(key[..].into(), answer) {
            self.discharge(key.len(), &before.resolution);
        }
    }

    fn key(&self, question: &Question<'_>) -> SmallVec<[u8; 128]> {
        let mut key = key(question.source_channel, question.address);
        if self.routes.asks_facts() {
            // No address has a line end in it.
            let Facts { spf, spf_helo } = question.facts();
            for piece in ["\n", spf, " ", spf_helo] {
                key.extend_from_slice(piece.as_bytes());
            }
        }
        key
    }

    /// The same, and who posts.
    fn poster_key(&self, question: &Question<'_>) -> SmallVec<[u8; 128]> {
        let mut key = self.key(question);
        for piece in [question.sender, question.login()] {
            key.push(b'\n');
            key.extend_from_slice(piece.as_bytes());
        }
        key.push(question.poster as u8);
        key
    }

    /// Forgets the other answers.
    fn keep(&self, mut wanted: impl FnMut(&Remembered) -> bool) {
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

/// The ways that several answers may share.
fn list_of(resolution: &Resolution) -> Option<&[Route]> {
    resolution.routes.as_deref().ok().filter(|routes| routes.len() > 1)
}

/// Octets that the ways of a list take; names of channels and hosts are shared by them.
fn octets_of(routes: &[Route]) -> usize {
    let text = |route: &Route| route.address.len() + route.member.as_ref().map_or(0, |m| m.len());
    routes.iter().map(|route| size_of::<Route>() + text(route) + HEAP).sum()
}

/// Source channel and address; the case of a domain does not matter. Nearly all fit in place.
fn key(channel: &str, address: &Address) -> SmallVec<[u8; 128]> {
    let text = address.as_str();
    let mut key = SmallVec::new();
    for piece in [channel, " ", text] {
        key.extend_from_slice(piece.as_bytes());
    }
    let domain = address.domain().map_or(0, str::len);
    let start = key.len() - domain;
    key[start..].make_ascii_lowercase();
    key
}

/// Octets that an answer takes beside its key, with a single way.
const ANSWER: usize = 400;
/// Octets that allocations of a way take beside their contents.
const HEAP: usize = 64;
/// Octets of all answers, about.
const MAX_OCTETS: usize = 64 << 20;
/// How long a temporary failure is remembered, so that a dead directory is not asked for each
/// recipient.
const TEMPORARY: Duration = Duration::from_secs(2);
