//! Filters (milters) that sessions show mail to: which there are, whether each answers, and what a
//! session tells them.

mod chain;
mod content;
mod cooldown;
mod filter;
mod values;

use std::{collections::BTreeMap, sync::Arc};

use relais_config::Config;

pub(super) use chain::{Chain, Ruling};
pub(super) use content::{Body, Shown};
pub(super) use filter::Filter;
pub(super) use values::{mail_words, rcpt_words};

use crate::metrics::Metrics;

/// The filters of a configuration, by name.
#[derive(Clone, Default)]
pub struct Filters(Arc<BTreeMap<String, Arc<Filter>>>);

/// The filters that mail of one channel meets, in their order.
#[derive(Clone, Default)]
pub struct FilterList {
    pub(super) filters: Arc<[Arc<Filter>]>,
    /// Octets of a body that one of them writes.
    pub(super) most_body: u64,
}

impl Filters {
    /// Those of a configuration. What is known of one that another configuration has just so is kept.
    #[must_use]
    pub fn of(config: &Config, before: &Self, metrics: &Metrics) -> Self {
        let filters = config.milters.iter().filter_map(|listed| {
            let known = before.0.get(&listed.name).filter(|its| its.is(listed));
            let filter = match known {
                Some(known) => Arc::clone(known),
                None => Filter::new(listed, metrics.milters.of(&listed.name))?.into(),
            };
            Some((listed.name.clone(), filter))
        });
        Self(Arc::new(filters.collect()))
    }

    /// Shows these, and no others, in the status.
    pub fn show(&self, metrics: &Metrics) {
        metrics.milters.show(self.0.iter().map(|(name, its)| (&**name, its.place(), its.meter())));
    }

    /// The ones of these names, for mail whose body is to be no larger.
    pub fn list(&self, names: &[String], most_body: u64) -> FilterList {
        let filters = names.iter().filter_map(|name| self.0.get(name).cloned());
        FilterList { filters: filters.collect(), most_body }
    }
}
