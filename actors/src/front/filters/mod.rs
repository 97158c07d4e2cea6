//! Filters (milters) that sessions show mail to: which there are, whether each answers, and what a
//! session tells them.

mod chain;
mod content;
mod cooldown;
mod filter;
mod values;

use std::{collections::BTreeMap, sync::Arc};

use relais_config::Config;

pub(super) use chain::{Chain, FilterRuling};
pub(super) use content::{Body, Shown};
pub(super) use filter::MailFilter;
pub(super) use values::{mail_words, rcpt_words};

use crate::metrics::Metrics;

/// The filters of a configuration, by name.
#[derive(Clone, Default)]
pub struct Filters(Arc<BTreeMap<String, Arc<MailFilter>>>);

/// The filters that mail of one channel meets, in their order.
#[derive(Clone, Default)]
pub struct FilterList {
    pub(super) filters: Arc<[Arc<MailFilter>]>,
    /// Octets of a body that one of them writes.
    pub(super) most_body: u64,
}

impl Filters {
    /// The filters of a configuration. State is kept of a filter that the configuration before has just so.
    #[must_use]
    pub fn of(config: &Config, before: &Self, metrics: &Metrics) -> Self {
        let filters = config.milters.iter().filter_map(|listed| {
            let known = before.0.get(&listed.name).filter(|its| its.is(listed));
            let filter = match known {
                Some(known) => Arc::clone(known),
                None => MailFilter::new(listed, metrics.milters.of(&listed.name))?.into(),
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
