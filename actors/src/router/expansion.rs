//! From a recipient's own channel to the ends of all its ways.
//!
//! Aliases are followed depth first and in order; every address once, every way once. Depth and
//! number are limited. One that leads nowhere does not hold up the others.

use std::collections::HashSet;

use relais_channels::mail::Address;
use relais_config::{Channel, channel::Program};
use tracing::warn;

use super::{
    refusal::Refusal,
    rewrite::{Purpose, Rewritten},
    routes::{Route, Routes},
    step::{Step, Trace},
};
use crate::directory::{Lookup, quote};

/// One address on its way through aliases.
struct Pending {
    address: String,
    depth: usize,
}

/// What has been found so far.
#[derive(Default)]
pub(super) struct Expansion {
    pending: Vec<Pending>,
    routes: Vec<Route>,
    known: HashSet<Route>,
    /// Addresses whose aliases were looked up, in lower case.
    seen: HashSet<String>,
    refusals: Vec<Refusal>,
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
        while let Some(Pending { address, depth }) = expansion.pending.pop() {
            let followed =
                self.follow_alias(&address, depth, purpose, lookup, expansion, trace).await;
            match followed {
                Ok(()) => {}
                Err(refusal @ Refusal::TooMany) => return Err(refusal),
                Err(refusal) => {
                    // The others still get theirs; if there are none, this is what is said.
                    trace.note(|| Step::Refused {
                        address: address.clone(),
                        reply: refusal.reply(),
                    });
                    warn!(?address, %refusal, "an alias leads nowhere");
                    expansion.refusals.push(refusal);
                }
            }
        }
        Ok(())
    }

    async fn follow_alias(
        &self,
        address: &str,
        depth: usize,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        expansion: &mut Expansion,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let malformed = |_| Refusal::Malformed(address.chars().take(200).collect());
        let address = Address::parse(address).map_err(malformed)?;
        let rewritten = self.rewrite(address, purpose, lookup, trace).await?;
        self.take(rewritten, depth, purpose, lookup, expansion, trace).await
    }

    /// Goes on with a rewritten address: to its aliases, or out.
    pub(super) async fn take(
        &self,
        rewritten: Rewritten,
        depth: usize,
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
            return self.deliver(&rewritten, purpose, lookup, expansion, trace).await;
        }
        let address = &rewritten.address;
        if !expansion.seen.insert(address.as_str().to_ascii_lowercase()) {
            trace.note(|| Step::Seen { address: address.to_string() });
            return Ok(());
        }
        if depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let targets = self.expand_alias(address, lookup, trace).await?;
        if expansion.pending.len() + expansion.routes.len() + targets.len() > MAX_EXPANSION {
            return Err(Refusal::TooMany);
        }
        let pending = |address| Pending { address, depth: depth + 1 };
        expansion.pending.extend(targets.into_iter().rev().map(pending));
        Ok(())
    }

    /// The end of one way.
    pub(super) async fn deliver(
        &self,
        rewritten: &Rewritten,
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
        let route = Route {
            channel: channel.name.clone(),
            host,
            address: presented(channel, &rewritten.address),
            tag: rewritten.tag.clone(),
        };
        trace.note(|| Step::Routed {
            channel: route.channel.clone(),
            host: route.host.clone(),
            address: route.address.clone(),
        });
        if expansion.known.insert(route.clone()) {
            expansion.routes.push(route);
        }
        Ok(())
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
    pub(super) fn finish(mut self) -> Result<Vec<Route>, Refusal> {
        // A temporary failure of one is a temporary failure of all: trying again loses nobody.
        if let Some(n) = self.refusals.iter().position(|refusal| !refusal.reply().is_permanent()) {
            return Err(self.refusals.swap_remove(n));
        }
        if !self.routes.is_empty() {
            return Ok(self.routes);
        }
        Err(self.refusals.into_iter().next().unwrap_or(Refusal::Circle))
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
const MAX_DEPTH: usize = 10;
/// Recipients that one address may stand for.
const MAX_EXPANSION: usize = 100_000;
