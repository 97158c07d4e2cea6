//! Answers of a directory that is asked over a network: remembered for a while, and asked for once
//! however many want to know.
//!
//! [`LookupCache`] belongs to the directory actor alone and takes no lock. It is bounded in answers:
//! those that are asked for often stay. What was found is believed for the configured time, that
//! nothing was found for a shorter one, and a failure is told to everybody who waited for it and not
//! remembered: whoever asks next asks anew.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Instant};

use quick_cache::unsync::Cache;
use relais_config::directory::Cache as Limits;
use tokio::sync::oneshot;

use super::lookup::LookupError;

/// Answers to questions of one kind, and who waits for one.
#[derive(Debug)]
pub(super) struct LookupCache<K, V> {
    limits: Limits,
    answers: Cache<K, Believed<V>>,
    /// Which look-up is under way for a key.
    under_way: HashMap<K, LookupId>,
    waiting: HashMap<LookupId, Vec<oneshot::Sender<Result<V, LookupError>>>>,
    last: LookupId,
}

/// One look-up under way.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct LookupId(u64);

/// How a question stands.
#[derive(Debug)]
pub(super) enum Asked<V> {
    /// It was answered not long ago.
    Known(V),
    /// Somebody asks the directory already.
    UnderWay(Outcome<V>),
    /// The holder asks the directory, and settles the answer ([`LookupCache::settle`]).
    First(LookupId, Outcome<V>),
}

/// The answer that the directory will give.
pub(super) type Outcome<V> = oneshot::Receiver<Result<V, LookupError>>;

/// An answer that may be that there is nothing.
pub(super) trait Findings: Clone {
    /// Whether anything was found.
    fn is_something(&self) -> bool;
}

#[derive(Debug)]
struct Believed<V> {
    answer: V,
    until: Instant,
}

impl<T> Findings for Option<Arc<T>> {
    fn is_something(&self) -> bool {
        self.is_some()
    }
}

impl<T> Findings for Vec<Arc<T>> {
    fn is_something(&self) -> bool {
        !self.is_empty()
    }
}

impl<K: Clone + Eq + Hash, V: Findings> LookupCache<K, V> {
    /// Nothing is known yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            answers: Cache::new(limits.entries),
            under_way: HashMap::new(),
            waiting: HashMap::new(),
            last: LookupId::default(),
        }
    }

    /// Answers, or has the asker wait.
    pub(super) fn ask(&mut self, key: &K, now: Instant) -> Asked<V> {
        if let Some(believed) = self.answers.get(key)
            && now < believed.until
        {
            return Asked::Known(believed.answer.clone());
        }
        let (tell, outcome) = oneshot::channel();
        if let Some(id) = self.under_way.get(key) {
            self.waiting.entry(*id).or_default().push(tell);
            return Asked::UnderWay(outcome);
        }
        self.last.0 += 1;
        self.under_way.insert(key.clone(), self.last);
        self.waiting.insert(self.last, vec![tell]);
        Asked::First(self.last, outcome)
    }

    /// Tells everybody who waits for a look-up, and remembers what was found by it.
    pub(super) fn settle(
        &mut self,
        id: LookupId,
        key: K,
        said: &Result<V, LookupError>,
        now: Instant,
    ) {
        for waiting in self.waiting.remove(&id).into_iter().flatten() {
            // The asker may have gone away meanwhile.
            let _ = waiting.send(said.clone());
        }
        // The source may have been replaced meanwhile; who had asked it is content with what it said.
        if self.under_way.get(&key) != Some(&id) {
            return;
        }
        self.under_way.remove(&key);
        if let Ok(answer) = said {
            self.remember(key, answer.clone(), now);
        }
    }

    /// Forgets every answer and joins nobody to a look-up that is under way: there is another source.
    pub(super) fn forget(&mut self, limits: Limits) {
        self.limits = limits;
        self.answers = Cache::new(limits.entries);
        self.under_way.clear();
    }

    fn remember(&mut self, key: K, answer: V, now: Instant) {
        let Limits { ttl, negative_ttl, .. } = self.limits;
        let life = if answer.is_something() { ttl } else { negative_ttl };
        if let Some(until) = now.checked_add(life) {
            self.answers.insert(key, Believed { answer, until });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Answers = LookupCache<&'static str, Option<Arc<u8>>>;

    fn limits(entries: usize) -> Limits {
        let seconds = Duration::from_secs;
        Limits { entries, ttl: seconds(600), negative_ttl: seconds(60) }
    }

    fn first(cache: &mut Answers, key: &'static str, now: Instant) -> LookupId {
        match cache.ask(&key, now) {
            Asked::First(id, _) => id,
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn an_answer_is_believed_as_long_as_it_may_be() {
        let (start, seconds) = (Instant::now(), Duration::from_secs);
        // what the directory says, believed after 59 seconds, after 599, after 601
        let rows = [
            ("something", Ok(Some(Arc::new(1))), [true, true, false]),
            ("nothing", Ok(None), [true, false, false]),
            ("a failure", Err(LookupError("down".to_owned())), [false, false, false]),
        ];
        for (name, said, want) in rows {
            for (after, want) in [59, 599, 601].into_iter().zip(want) {
                let mut cache = Answers::new(limits(8));
                let id = first(&mut cache, name, start);
                cache.settle(id, name, &said, start);
                let known = matches!(cache.ask(&name, start + seconds(after)), Asked::Known(_));
                assert_eq!(known, want, "{name} after {after} s");
            }
        }
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let now = Instant::now();
        let mut cache = LookupCache::<u32, Option<Arc<u8>>>::new(limits(16));
        for key in 0..1_000 {
            let Asked::First(id, _) = cache.ask(&key, now) else { panic!("{key}") };
            cache.settle(id, key, &Ok(None), now);
            assert!(cache.answers.len() <= 16 && matches!(cache.ask(&key, now), Asked::Known(_)));
        }
        assert!(cache.under_way.is_empty() && cache.waiting.is_empty());
    }

    #[test]
    fn what_another_source_said_is_told_to_whoever_asked_it_and_forgotten() {
        let now = Instant::now();
        let mut cache = Answers::new(limits(8));
        let Asked::First(old, mut outcome) = cache.ask(&"key", now) else { panic!() };
        cache.forget(limits(8));
        let new = first(&mut cache, "key", now);
        cache.settle(old, "key", &Ok(Some(Arc::new(1))), now);
        assert_eq!(outcome.try_recv().unwrap(), Ok(Some(Arc::new(1))));
        assert!(matches!(cache.ask(&"key", now), Asked::UnderWay(_)), "the new source was asked");
        cache.settle(new, "key", &Ok(None), now);
        assert!(matches!(cache.ask(&"key", now), Asked::Known(None)));
    }
}
