//! Policy of the configuration for entries: delivery options, and which hosts are which.

use std::collections::{BTreeMap, HashSet};

use relais_config::{Config, DeliveryOption, channel::Program};

use super::sieve_scripts::ScriptFiles;

/// The configuration's policy for entries.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The options in order; the first is the default of users, the second of groups.
    pub options: Vec<DeliveryOption>,
    /// Attributes that options insert by their place, in lower case.
    pub spare_attributes: Vec<String>,
    /// In lower case.
    pub default_domain: String,
    /// The names of this machine, in lower case.
    pub hosts: Vec<String>,
    /// Mail hosts that take LMTP, in lower case; `None`: all do.
    pub lmtp_stores: Option<HashSet<String>>,
    /// Files of users' Sieve scripts.
    pub script_files: Option<ScriptFiles>,
}

impl Policy {
    /// The policy of this configuration.
    pub fn new(config: &Config) -> Self {
        let mut hosts = vec![config.host.to_ascii_lowercase()];
        let local = config.channels.iter().filter(|channel| channel.program == Program::Local);
        hosts.extend(local.map(|channel| channel.tag.to_ascii_lowercase()));
        Self {
            options: config.delivery_options.clone(),
            spare_attributes: lower(&config.spare_attributes),
            default_domain: config.default_domain.to_ascii_lowercase(),
            hosts,
            lmtp_stores: lmtp_stores(&config.general),
            script_files: ScriptFiles::of(config),
        }
    }

    /// Whether a host is this machine.
    pub(crate) fn is_here(&self, host: &str) -> bool {
        self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    pub(super) fn speaks_lmtp(&self, host: &str) -> bool {
        self.lmtp_stores.as_ref().is_none_or(|stores| stores.contains(&host.to_ascii_lowercase()))
    }
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// Keys of the general database that are marked `lmtp`. A database without any leaves it open.
pub(super) fn lmtp_stores(general: &BTreeMap<String, String>) -> Option<HashSet<String>> {
    let listed = general.iter().filter(|(_, value)| value.eq_ignore_ascii_case("lmtp"));
    let stores: HashSet<_> = listed.map(|(key, _)| key.to_ascii_lowercase()).collect();
    (!stores.is_empty()).then_some(stores)
}
