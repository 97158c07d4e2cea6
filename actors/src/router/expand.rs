//! From a recipient's own channel to the ends of all its ways.
//!
//! Aliases are followed depth first and in order; every address once, every way once. Depth and
//! number are limited.
//!
//! # Members that lead nowhere
//!
//! A member that leads only back to itself is one of them ([`Circles`]).
//!
//! When no member leads anywhere the recipient is refused: for now if there is hope for one of
//! them, else for good, with what was said of the first. Otherwise the others get theirs, and each
//! that failed goes by the channel of [`Program::Reprocess`], which tries it again or has the list's
//! owner told.

use std::{collections::HashSet, sync::Arc};

use relais_channels::mail::{Address, Reply};
use relais_config::{Channel, channel::Program};
use tracing::warn;

use super::{
    alias::{SPECIAL, Targets},
    circles::{Circles, Circular},
    lists::{Fingerprint, LONG},
    refusal::Refusal,
    rewrite::{Purpose, Rewritten},
    routes::{Route, Routes},
    steps::{Step, Trace},
};
use crate::directory::{Lookup, quote};

/// One address on its way through aliases.
struct Pending {
    address: String,
    depth: usize,
    lineage: Lineage,
    /// It is only the way to what it was found for: our own words, by option or mail host.
    is_way: bool,
}

/// Where an address comes from.
#[derive(Clone, Default)]
pub(super) struct Lineage {
    /// What to look up to come by the same way once more; `None`: the recipient itself.
    member: Option<Arc<str>>,
    /// Who hears of failures in the sender's place.
    errors_to: Option<Arc<str>>,
    /// Whose alias led to it, in [`Expansion::circles`]; `None`: the recipient itself.
    from: Option<usize>,
}

/// A member that leads nowhere.
struct Failed {
    member: String,
    errors_to: Option<Arc<str>>,
    refusal: Refusal,
}

/// What has been found so far.
#[derive(Default)]
pub(super) struct Expansion {
    pending: Vec<Pending>,
    routes: Vec<Route>,
    known: HashSet<(Arc<str>, Arc<str>, String)>,
    /// Addresses whose aliases were looked up.
    circles: Circles,
    failed: Vec<Failed>,
    /// Hosts, once each.
    hosts: HashSet<Arc<str>>,
    /// The list that the recipient is, or leads to and to nobody else.
    pub(super) list: Option<Fingerprint>,
    /// What that list came to a moment ago.
    pub(super) shared: Option<Arc<[Route]>>,
}

impl Routes {
    /// Follows what aliases led to, depth first and in order.
    pub(super) async fn expand_all(
        &self,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        expansion: &mut Expansion,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        while let Some(pending) = expansion.pending.pop() {
            match self.follow_alias(&pending, purpose, lookup, expansion, trace).await {
                Ok(()) => {}
                Err(refusal @ Refusal::TooMany) => return Err(refusal),
                Err(refusal) => {
                    let Pending { address, lineage, is_way, .. } = pending;
                    let Lineage { errors_to, from, member } = lineage;
                    expansion.circles.leads(from);
                    let (member, refusal) = match (refusal, member) {
                        (Refusal::UnknownHost, member) if is_way => {
                            let way = address.chars().take(200).collect();
                            // The way will be another one when it is looked for again.
                            let member = member.map(|member| member.to_string());
                            (member.unwrap_or(address), Refusal::NoChannel(way))
                        }
                        (refusal, _) => (address, refusal),
                    };
                    expansion.fail(member, errors_to, refusal, trace);
                }
            }
        }
        Ok(())
    }

    async fn follow_alias(
        &self,
        Pending { address, depth, lineage, .. }: &Pending,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        expansion: &mut Expansion,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        if address.starts_with(SPECIAL) {
            return Err(Refusal::Alias(address.clone()));
        }
        let malformed = |_| Refusal::NoTarget(address.chars().take(200).collect());
        let address = Address::parse(address).map_err(malformed)?;
        let rewritten = self.rewrite(address, purpose, lookup, trace).await?;
        self.take(rewritten, *depth, lineage, purpose, lookup, expansion, trace).await
    }

    /// Goes on with a rewritten address: to its aliases, or out.
    // What it takes beside the address is the same for all of an expansion.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn take(
        &self,
        rewritten: Rewritten,
        depth: usize,
        lineage: &Lineage,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        expansion: &mut Expansion,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let Some(n) = rewritten.channel else {
            return Err(rewritten.error.map_or(Refusal::UnknownHost, Refusal::Text));
        };
        let channel = &self.channels[n];
        if channel.program != Program::Local {
            if channel.viaaliasrequired && depth == 0 {
                return Err(Refusal::NotByAlias);
            }
            return self.deliver(&rewritten, lineage, purpose, lookup, expansion, trace).await;
        }
        let address = &rewritten.address;
        let Lineage { errors_to, from, .. } = lineage;
        let this = expansion.circles.enter(address.as_str(), *from, errors_to.as_ref());
        let Some(node) = this else {
            trace.note(|| Step::Seen { address: address.to_string() });
            return Ok(());
        };
        if depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let Targets { addresses, missing, errors_to } =
            self.expand_alias(address, purpose.released, lookup, trace).await?;
        if addresses.is_empty() && missing.is_empty() {
            return Err(Refusal::Nobody);
        }
        let found = expansion.pending.len() + expansion.routes.len() + expansion.failed.len();
        if found + addresses.len() + missing.len() > MAX_EXPANSION {
            return Err(Refusal::TooMany);
        }
        let errors_to = errors_to.map(Arc::from).or_else(|| lineage.errors_to.clone());
        // Where a user's mail goes is asked of the user once more, and not of the way.
        let this: Option<Arc<str>> = if depth == 0 { None } else { Some(address.mailbox().into()) };
        if addresses.len() >= LONG && expansion.is_empty() && !trace.is_on() {
            let list = self.lists.fingerprint(&(
                (purpose.source, purpose.envelope, purpose.forward, purpose.released),
                (&addresses, &missing, &errors_to, &this, depth),
            ));
            expansion.list = Some(list);
            expansion.shared = self.lists.find(list);
            if expansion.shared.is_some() {
                return Ok(());
            }
        }
        expansion.circles.hangs_on_members(node);
        for dn in missing {
            expansion.circles.leads(Some(node));
            let refusal = Refusal::NoAddress(dn.clone());
            expansion.fail(dn, errors_to.clone(), refusal, trace);
        }
        let pending = |(address, is_way): (String, bool)| {
            let member = if is_way { this.clone() } else { Some(address.as_str().into()) };
            let lineage = Lineage { member, errors_to: errors_to.clone(), from: Some(node) };
            Pending { address, depth: depth + 1, lineage, is_way }
        };
        expansion.pending.extend(addresses.into_iter().rev().map(pending));
        Ok(())
    }

    /// The end of one way.
    pub(super) async fn deliver(
        &self,
        rewritten: &Rewritten,
        lineage: &Lineage,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        expansion: &mut Expansion,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let Some(n) = rewritten.channel else {
            return Err(Refusal::UnknownHost);
        };
        let channel = &self.channels[n];
        let host = self.destination(channel, &rewritten.address, purpose, lookup, trace).await?;
        let (name, tag) = &self.names[n];
        let route = Route {
            channel: Arc::clone(name),
            host: expansion.host(&host),
            address: presented(channel, &rewritten.address),
            tag: if **tag == *rewritten.tag { Arc::clone(tag) } else { (&*rewritten.tag).into() },
            member: lineage.member.clone(),
            errors_to: lineage.errors_to.clone(),
            refused: None,
        };
        expansion.circles.leads(lineage.from);
        expansion.push(route, trace);
        Ok(())
    }

    /// The ways that were found; those of members that failed lead to whoever tries them again.
    pub(super) fn finish(
        &self,
        mut expansion: Expansion,
        trace: &mut Trace,
    ) -> Result<Vec<Route>, Reply> {
        let circles = std::mem::take(&mut expansion.circles);
        let recipient = circles.recipient().to_owned();
        for Circular { address, errors_to } in circles.circular() {
            expansion.fail(address, errors_to, Refusal::Circle, trace);
        }
        let failed = std::mem::take(&mut expansion.failed);
        if let Some(Failed { member, refusal, .. }) = failed.first() {
            // One line, however many: a stranger's RCPT of a few octets writes it.
            let members = failed.len();
            warn!(?recipient, members, first = ?member, %refusal, "members lead nowhere");
        }
        let again = self.reprocess.filter(|_| !expansion.routes.is_empty());
        let Some(n) = again else {
            if failed.is_empty() {
                let circle = expansion.routes.is_empty().then(|| Refusal::Circle.reply());
                return circle.map_or(Ok(expansion.routes), Err);
            }
            let replies = |reply: fn(&Refusal) -> Reply| -> Vec<Reply> {
                failed.iter().map(|failed| reply(&failed.refusal)).collect()
            };
            let (mut replies, of_all) = (replies(Refusal::reply), replies(Refusal::reply_of_all));
            if !of_all.iter().any(Reply::is_permanent) {
                replies = of_all;
            }
            let hope = replies.iter().position(|reply| !reply.is_permanent());
            return Err(replies.swap_remove(hope.unwrap_or(0)));
        };
        let (channel, tag) = &self.names[n];
        let host = tag.to_ascii_lowercase();
        for Failed { member, errors_to, refusal } in failed {
            let route = Route {
                channel: Arc::clone(channel),
                host: expansion.host(&host),
                address: member.clone(),
                tag: Arc::clone(tag),
                member: Some(member.into()),
                errors_to,
                refused: Some(Arc::new(refusal.reply())),
            };
            expansion.push(route, trace);
        }
        Ok(expansion.routes)
    }

    /// Where the channel connects for this address.
    async fn destination(
        &self,
        channel: &Channel,
        address: &Address,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Result<String, Refusal> {
        if let (false, Some(daemon)) = (channel.multigate, &channel.daemon) {
            // A path keeps its case.
            let socket = daemon.starts_with("unix:");
            return Ok(if socket { daemon.clone() } else { daemon.to_ascii_lowercase() });
        }
        let host = |address: &Address| {
            let host = address.route().next().or(address.domain()).unwrap_or_default();
            host.trim_end_matches('.').to_ascii_lowercase()
        };
        if !channel.connectcanonical || !purpose.envelope {
            return Ok(host(address));
        }
        // The second phase: the address as it is dequeued, no longer an envelope address. That
        // it counts as one of a header here is inferred; the rules of the original need it.
        let purpose = Purpose { envelope: false, ..purpose };
        let rewritten = self.rewrite(address.clone(), purpose, lookup, trace).await?;
        let host = host(&rewritten.address);
        trace.note(|| Step::Connect { address: rewritten.address.to_string(), host: host.clone() });
        Ok(host)
    }
}

impl Expansion {
    /// Nothing else was found, and nothing else is to be looked at: all that comes is what the
    /// address in hand comes to.
    fn is_empty(&self) -> bool {
        self.pending.is_empty()
            && self.routes.is_empty()
            && self.failed.is_empty()
            && self.list.is_none()
    }

    /// One copy of the name of a host.
    fn host(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.hosts.get(name) {
            return Arc::clone(known);
        }
        let host: Arc<str> = name.into();
        self.hosts.insert(Arc::clone(&host));
        host
    }

    fn push(&mut self, route: Route, trace: &mut Trace) {
        trace.note(|| Step::Routed {
            channel: route.channel.to_string(),
            host: route.host.to_string(),
            address: route.address.clone(),
        });
        let way = (Arc::clone(&route.channel), Arc::clone(&route.host), route.address.clone());
        if self.known.insert(way) {
            self.routes.push(route);
        }
    }

    fn fail(
        &mut self,
        member: String,
        errors_to: Option<Arc<str>>,
        refusal: Refusal,
        trace: &mut Trace,
    ) {
        trace.note(|| Step::Refused { address: member.clone(), reply: refusal.reply() });
        self.failed.push(Failed { member, errors_to, refusal });
    }
}

/// What the next hop gets to see.
fn presented(channel: &Channel, address: &Address) -> String {
    let ours = |domain: &str| domain.eq_ignore_ascii_case(&channel.tag);
    let mailbox = if channel.program == Program::Lmtp && address.domain().is_some_and(ours) {
        mailbox(address)
    } else {
        address.mailbox().to_owned()
    };
    let route = address.as_str().len() - address.mailbox().len();
    if channel.dequeue_removeroute {
        mailbox
    } else {
        format!("{}{mailbox}", &address.as_str()[..route])
    }
}

/// `uid%domain+folder@tag` as the store wants it: `uid+folder@domain`.
fn mailbox(address: &Address) -> String {
    let local = address.unquoted_local();
    let (user, folder) = local.split_at(local.find('+').unwrap_or(local.len()));
    let (uid, domain) = user.split_once('%').unwrap_or((user, ""));
    let named = format!("{uid}{folder}");
    let sound = Address::parse(&named).is_ok_and(|address| address.domain().is_none());
    let named = if sound { named } else { quote(&named) };
    if domain.is_empty() { named } else { format!("{named}@{domain}") }
}

/// Aliases within aliases.
pub(super) const MAX_DEPTH: usize = 10;
/// Recipients that one address may stand for: as many as a message may have, all lists expanded.
pub(crate) const MAX_EXPANSION: usize = 50_000;
