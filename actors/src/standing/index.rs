//! Which order is for a piece of mail, without a look at every order. Pure.
//!
//! Each order lies below its narrowest exact word: a sender, a recipient, a host, a domain, a channel.
//! Orders that have parts (`~text`) alone are looked at one by one, and are few.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use relais_channels::mail::Address;
use relais_config::{
    destinations::parents,
    grammar::{ascii_domain, undotted},
};

use super::{
    in_force::OrderInForce,
    order::{MailSeen, OrderCriteria},
    pattern::{AddressPattern, NamePattern},
};
use crate::channel_table::behind;

/// The orders that are in force.
#[derive(Debug, Default)]
pub struct OrderIndex {
    by_word: HashMap<OrderWord, Vec<Arc<OrderInForce>>>,
    by_parts: Vec<Arc<OrderInForce>>,
    /// All of them, by their numbers.
    all: Vec<Arc<OrderInForce>>,
    /// Whether any order has a word of this sort.
    sorts: [bool; SORTS],
}

/// A word of an order, and what it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct OrderWord(Sort, Box<str>);

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Sort {
    Sender,
    Recipient,
    Host,
    SenderDomain,
    RecipientDomain,
    Channel,
}

const SORTS: usize = 6;

impl OrderIndex {
    pub(super) fn of(all: Vec<Arc<OrderInForce>>) -> Self {
        let mut index = Self { all, ..Self::default() };
        index.all.sort_by_key(|its| its.order.id);
        for its in index.all.clone() {
            match word_of(&its.order.criteria) {
                Some(word) => {
                    index.sorts[word.0 as usize] = true;
                    match index.by_word.entry(word) {
                        Entry::Occupied(mut found) => found.get_mut().push(its),
                        Entry::Vacant(place) => drop(place.insert(vec![its])),
                    }
                }
                None => index.by_parts.push(its),
            }
        }
        index
    }

    /// All of them, by their numbers.
    pub fn all(&self) -> &[Arc<OrderInForce>] {
        &self.all
    }

    /// The order of this number.
    pub fn get(&self, id: u64) -> Option<&Arc<OrderInForce>> {
        self.all.iter().find(|its| its.order.id == id)
    }

    /// The order that counts for some recipients that leave together, of those that `wanted` lets through.
    pub(super) fn find<'s>(
        &'s self,
        mail: &MailSeen<'_>,
        wanted: impl Fn(&OrderInForce) -> bool,
    ) -> Option<&'s Arc<OrderInForce>> {
        let better = |best: Option<&'s Arc<OrderInForce>>, orders: &'s [Arc<OrderInForce>]| {
            let counts =
                |its: &&'s Arc<OrderInForce>| wanted(its) && its.order.criteria.admit(mail);
            let found = orders.iter().filter(counts).chain(best);
            found.min_by_key(|its| (its.order.kind, its.order.id))
        };
        let mut best = better(None, &self.by_parts);
        self.each_word(mail, |word| {
            if let Some(orders) = self.by_word.get(&word) {
                best = better(best, orders);
            }
        });
        best
    }

    /// Every word below which an order for this mail may lie.
    fn each_word(&self, mail: &MailSeen<'_>, mut each: impl FnMut(OrderWord)) {
        let has = |sort: Sort| self.sorts[sort as usize];
        if has(Sort::Sender) {
            each(OrderWord(Sort::Sender, address_word(mail.sender)));
        }
        if has(Sort::SenderDomain)
            && let Some(domain) = domain_word(mail.sender)
        {
            each(OrderWord(Sort::SenderDomain, domain));
        }
        if has(Sort::Recipient) || has(Sort::RecipientDomain) {
            for name in mail.names() {
                if has(Sort::Recipient) {
                    each(OrderWord(Sort::Recipient, address_word(name)));
                }
                if has(Sort::RecipientDomain)
                    && let Some(domain) = domain_word(name)
                {
                    each(OrderWord(Sort::RecipientDomain, domain));
                }
            }
        }
        if has(Sort::Host) {
            let later = behind(mail.host).map(|(_, host)| host);
            for host in [Some(mail.host), later].into_iter().flatten() {
                let host = host_word(host);
                for name in [&*host].into_iter().chain(parents(&host)) {
                    each(OrderWord(Sort::Host, name.into()));
                }
            }
        }
        if has(Sort::Channel) {
            each(OrderWord(Sort::Channel, mail.channel.to_ascii_lowercase().into()));
        }
    }
}

/// The narrowest exact word of an order.
fn word_of(criteria: &OrderCriteria) -> Option<OrderWord> {
    let OrderCriteria { from, to, host, channel } = criteria;
    let exact = |pattern: &Option<AddressPattern>, sort| match pattern {
        Some(AddressPattern::Exact(address)) => Some(OrderWord(sort, address_word(address))),
        Some(AddressPattern::Null) => Some(OrderWord(sort, "".into())),
        _ => None,
    };
    let domain = |pattern: &Option<AddressPattern>, sort| match pattern {
        Some(AddressPattern::Domain(domain)) => {
            Some(OrderWord(sort, domain.to_ascii_lowercase().into()))
        }
        _ => None,
    };
    let host = match host {
        Some(NamePattern::Exact(host)) => Some(OrderWord(Sort::Host, host_word(host))),
        _ => None,
    };
    let channel = match channel {
        Some(NamePattern::Exact(name)) => {
            Some(OrderWord(Sort::Channel, name.to_ascii_lowercase().into()))
        }
        _ => None,
    };
    exact(to, Sort::Recipient)
        .or_else(|| exact(from, Sort::Sender))
        .or(host)
        .or_else(|| domain(to, Sort::RecipientDomain))
        .or_else(|| domain(from, Sort::SenderDomain))
        .or(channel)
}

/// Whether an order has no word that is exact.
pub(super) fn has_parts_alone(criteria: &OrderCriteria) -> bool {
    word_of(criteria).is_none()
}

/// Equal for addresses that a pattern takes for one; for others, too, now and then.
fn address_word(address: &str) -> Box<str> {
    let normal = Address::parse(address).map(|address| address.normal());
    normal.unwrap_or_else(|_| address.to_owned()).to_lowercase().into()
}

fn domain_word(address: &str) -> Option<Box<str>> {
    let (_, domain) = address.rsplit_once('@')?;
    let domain = undotted(domain);
    Some(ascii_domain(domain).unwrap_or(domain.into()).to_ascii_lowercase().into())
}

fn host_word(host: &str) -> Box<str> {
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase().into()
}
