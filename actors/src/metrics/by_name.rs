//! Meters of things that have names in the configuration: made for every name before it counts, and
//! for new names when another configuration comes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{PoisonError, RwLock},
};

/// One meter for each name.
pub(super) struct ByName<M> {
    meters: RwLock<BTreeMap<String, M>>,
    make: Box<dyn Fn(&str) -> M + Send + Sync>,
}

impl<M: Clone> ByName<M> {
    /// None yet; `make` makes one of a name.
    pub(super) fn new(make: impl Fn(&str) -> M + Send + Sync + 'static) -> Self {
        Self { meters: RwLock::default(), make: Box::new(make) }
    }

    /// Makes meters of the names that have none. A name that is not given any more keeps its own.
    pub(super) fn add<'a>(&self, names: impl IntoIterator<Item = &'a String>) {
        let mut meters = self.meters.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            meters.entry(name.clone()).or_insert_with(|| (self.make)(name));
        }
    }

    /// The meter of a name.
    pub(super) fn get(&self, name: &str) -> Option<M> {
        self.meters.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeMap<String, M> {
        self.meters.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<M: fmt::Debug> fmt::Debug for ByName<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meters.fmt(f)
    }
}
