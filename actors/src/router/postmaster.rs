//! Every host has a postmaster (RFC 5321 section 4.5.1): `postmaster` alone, and at each domain of
//! ours, is always taken. Where the directory and the aliases know none, or only one who takes no
//! mail now, the configured postmaster stands in; else the mailbox of that name in our own store;
//! else the mail is held.

use std::{net::IpAddr, sync::Arc};

use relais_channels::mail::Address;
use relais_config::{Config, channel::Program};

use crate::directory::{Domain, Entry};

/// Stands in for a postmaster that nobody knows.
#[derive(Debug)]
pub(super) struct Postmaster {
    /// `notary.postmaster`.
    pub(super) configured: Option<Address>,
    /// A user of our own store; `None` where there is no store.
    pub(super) mailbox: Option<(Entry, Domain)>,
    /// The channel that keeps mail for an operator.
    pub(super) hold: Option<usize>,
    /// Domains that are ours whatever the rules say: the one that notices name, and this host.
    domains: [String; 2],
}

impl Postmaster {
    pub(super) fn of(config: &Config) -> Self {
        let configured = config.notary.postmaster.as_deref();
        let hold = config.channels.iter().position(|channel| channel.program == Program::Hold);
        Self {
            configured: configured.and_then(|address| Address::parse(address).ok()),
            mailbox: config.store.is_some().then(|| mailbox(config)),
            hold,
            domains: [config.default_domain.clone(), config.host.clone()],
        }
    }

    /// `postmaster` alone, at a domain that the local channel answers for (`local`), or at one of
    /// ours.
    pub(super) fn is_at(&self, address: &Address, local: bool) -> bool {
        let is_ours = |domain: &str| {
            let domain = domain.trim_end_matches('.');
            self.domains.iter().any(|its| its.eq_ignore_ascii_case(domain))
        };
        let here =
            local || address.route().next().is_none() && address.domain().is_none_or(is_ours);
        here && address.unquoted_local().eq_ignore_ascii_case(POSTMASTER)
    }
}

/// The postmaster of our own address (RFC 1123 section 5.2.17) is that of this host. `None`: it is
/// somebody else's address, or nobody's postmaster.
pub fn own_postmaster(address: &Address, is_ours: impl FnOnce(IpAddr) -> bool) -> Option<Address> {
    let ip = address.literal()?.to_canonical();
    let named = address.local().eq_ignore_ascii_case(POSTMASTER);
    let postmaster = named && address.route().next().is_none() && is_ours(ip);
    postmaster.then(|| Address::parse(POSTMASTER).ok()).flatten()
}

fn mailbox(config: &Config) -> (Entry, Domain) {
    let domain = config.default_domain.to_ascii_lowercase();
    let mut entry = Entry::new("the mailbox postmaster of our own store");
    for (name, value) in [
        ("objectClass", "inetMailUser"),
        ("uid", "postmaster"),
        ("mail", &*format!("postmaster@{domain}")),
        ("mailHost", &*config.host),
    ] {
        entry.add(name, value);
    }
    let organization = Arc::new(Entry::new("the domain of our own store"));
    (entry, Domain { base: String::new(), name: domain, entry: organization })
}

const POSTMASTER: &str = "postmaster";
