//! Every host has a postmaster (RFC 5321 section 4.5.1): `postmaster` alone, and at each domain of
//! ours, is always taken. Where the directory and the aliases know none, or only one who takes no
//! mail now, the configured postmaster stands in; else the mailbox of that name in our own store;
//! else the mail is held.

use std::sync::Arc;

use relais_channels::mail::{Address, Enhanced, Reply};
use relais_config::{Config, channel::Program};
use tracing::warn;

use super::{
    Question, Resolution, Route,
    expand::{Expansion, Lineage},
    refusal::is_lookup_failure,
    rewrite::Purpose,
    routes::Routes,
    steps::{Step, Trace},
};
use crate::directory::{Domain, Entry, Lookup, Request, Target, evaluate};

/// Who stands in for a postmaster that nobody knows.
#[derive(Debug)]
pub(super) struct Postmaster {
    /// `notary.postmaster`.
    configured: Option<Address>,
    /// A user of our own store; `None` where there is no store.
    mailbox: Option<(Entry, Domain)>,
    /// The channel that keeps mail for an operator.
    hold: Option<usize>,
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

    /// `postmaster` alone, at a domain that the local channel answers for, or at one of ours.
    pub(super) fn is_at(&self, address: &Address, resolution: &Resolution) -> bool {
        let is_ours = |domain: &str| {
            let domain = domain.trim_end_matches('.');
            self.domains.iter().any(|its| its.eq_ignore_ascii_case(domain))
        };
        let here = resolution.local
            || address.route().next().is_none() && address.domain().is_none_or(is_ours);
        here && address.unquoted_local().eq_ignore_ascii_case("postmaster")
    }
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

impl Routes {
    /// The ways to whoever stands in for a postmaster that nobody knows.
    pub(super) async fn stand_in(
        &self,
        question: &Question<'_>,
        purpose: Purpose<'_>,
        refused: Resolution,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Resolution {
        let Postmaster { configured, mailbox, hold, .. } = &self.postmaster;
        if let Err(reply) = &refused.routes {
            let address = question.address.to_string();
            trace.note(|| Step::Refused { address, reply: reply.clone() });
        }
        let taken = |routes| Resolution {
            routes: Ok(routes),
            local: true,
            relaying: false,
            rewritten: refused.rewritten.clone(),
            channel: refused.channel.clone(),
        };
        if let Some(address) = configured.as_ref().filter(|address| *address != question.address) {
            instead("notary.postmaster", address.to_string(), trace);
            let asked = Question { address, ..*question };
            let found = self.resolve_once(&asked, purpose, lookup, trace).await.routes;
            match found {
                Ok(routes) => return taken(routes),
                Err(reply) if is_lookup_failure(&reply) => {
                    return Resolution { routes: Err(reply), ..taken(Arc::default()) };
                }
                Err(_) => {}
            }
        }
        if let Some((entry, domain)) = mailbox {
            let found = self.own_mailbox(entry, domain, purpose, lookup, trace).await;
            if let Some(routes) = found {
                return taken(routes);
            }
        }
        let Some(n) = hold.or(self.reprocess) else { return refused };
        warn!(address = %question.address, "nobody is postmaster: this mail is kept");
        let (channel, tag) = &self.names[n];
        instead("nobody is postmaster", format!("kept in channel {channel}"), trace);
        let reply = Reply::new(450, Enhanced(4, 1, 1), "nobody is postmaster here yet");
        let address = question.address.to_string();
        taken(Arc::new([Route {
            channel: Arc::clone(channel),
            host: tag.to_ascii_lowercase().into(),
            member: Some(address.as_str().into()),
            address,
            tag: Arc::clone(tag),
            errors_to: None,
            refused: hold.is_none().then(|| Arc::new(reply)),
        }]))
    }

    async fn own_mailbox(
        &self,
        entry: &Entry,
        domain: &Domain,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Option<Arc<[Route]>> {
        let address = Address::parse(&format!("postmaster@{}", domain.name)).ok()?;
        let now = std::time::SystemTime::now();
        let request = Request { address: &address, subaddress: None, domain, now, released: false };
        let mut expansion = Expansion::default();
        for applied in evaluate(&self.policy, entry, &request).ok()? {
            for target in applied.targets.ok()? {
                let Target::Address(address) = target else { continue };
                instead("our own store", address.clone(), trace);
                let address = Address::parse(&address).ok()?;
                let rewritten = self.rewrite(address, purpose, lookup, trace).await.ok()?;
                let lineage = Lineage::default();
                // An alias would lead back here.
                self.deliver(&rewritten, &lineage, purpose, lookup, &mut expansion, trace)
                    .await
                    .ok()?;
            }
        }
        let routes = self.finish(expansion, trace).ok()?;
        routes.iter().all(|route| self.leads_out(route)).then(|| routes.into())
    }

    fn leads_out(&self, route: &Route) -> bool {
        let channel = self.channels.iter().find(|channel| *channel.name == *route.channel);
        channel.is_some_and(|channel| channel.program != Program::Local)
    }
}

fn instead(source: &'static str, target: String, trace: &mut Trace) {
    trace.note(|| Step::Alias { source, targets: vec![target] });
}
