//! [`Resolver`]: the one type that walks a recipient, from its address to the ends of all its ways.
//!
//! From top to bottom, in the order in which it is done:
//!
//! 1. [`Resolver::route`]: the way, and then whether this client and sender may go it ([`admit`]).
//! 2. [`Resolver::resolve`]: what does not depend on who asks; a postmaster whom nobody knows has
//!    somebody stand in ([`postmaster`](super::postmaster)).
//! 3. `walk`: one recipient by itself. The rewrite rules find its channel ([`rewrite`](super::rewrite)).
//! 4. `take`: an address of the local channel is one of ours. The directory with its delivery
//!    options, then the alias file say whom it stands for ([`alias`](super::alias)); each of these is
//!    rewritten and taken in turn ([`expand`](super::expand)).
//! 5. `deliver`: any other channel is the end of one way.
//!
//! [`Step`]s are told on the way when somebody asks for them ([`Resolver::traced`]); nothing else
//! changes by that.

use std::{sync::Arc, time::SystemTime};

use relais_channels::mail::{Address, Enhanced, Reply};
use relais_config::{Channel, channel::Program};
use tracing::warn;

use super::{
    access::admit,
    alias::{Aliases, SPECIAL, Targets},
    expand::{Expansion, Lineage, Member},
    lists::{LONG, Lists},
    postmaster::Postmaster,
    refusal::{MAX_DEPTH, Refusal, is_lookup_failure},
    rewrite::{Purpose, Rewriter, Rewritten},
    routes::{Question, Resolution, Route, Routes, Routing},
    steps::{Step, Trace},
};
use crate::directory::{Domain, Entry, Lookup, Request, Target, evaluate, quote};

/// Walks one recipient.
pub struct Resolver<'a, L> {
    routes: &'a Routes,
    lookup: &'a L,
    question: Question<'a>,
    /// Members that long lists came to a moment ago, when that may be shared.
    lists: Option<&'a Lists>,
    trace: Trace,
    /// A rule made a text that comes only once (`$W`).
    comes_once: bool,
}

impl<'a, L: Lookup> Resolver<'a, L> {
    /// Goes by `routes` and what `lookup` finds.
    pub fn new(routes: &'a Routes, lookup: &'a L, question: Question<'a>) -> Self {
        let trace = Trace::default();
        Self { routes, lookup, question, lists: None, trace, comes_once: false }
    }

    /// Tells each step.
    #[must_use]
    pub fn traced(self) -> Self {
        Self { trace: Trace::new(true, self.lookup.log()), ..self }
    }

    /// Long lists that were walked a moment ago are not walked again.
    #[must_use]
    pub(super) fn sharing(self, lists: &'a Lists) -> Self {
        Self { lists: Some(lists), ..self }
    }

    /// Finds the way of the recipient, as far as this client and sender may go it.
    pub async fn route(mut self) -> Routing {
        let resolution = self.resolve_traced().await;
        let admitted = admit(self.routes, &resolution, &self.question, &mut self.trace);
        let outcome = admitted.map(|admitted| admitted.routes);
        if let Err(reply) = &outcome {
            self.note_refused(reply);
        }
        let Resolution { local, relaying, .. } = resolution;
        Routing { outcome, local, relaying, steps: self.trace.into_steps() }
    }

    /// The part of the way that does not depend on who asks: the same for every sender and every
    /// client of a source channel.
    pub async fn resolve(mut self) -> Resolution {
        self.resolve_traced().await
    }

    async fn resolve_traced(&mut self) -> Resolution {
        let Question { address, header, .. } = self.question;
        let resolution = self.walk(address).await;
        let refused = matches!(&resolution.routes, Err(reply) if !is_lookup_failure(reply));
        let is_postmaster = || self.routes.postmaster.is_at(address, resolution.local);
        if refused && !header && is_postmaster() {
            return self.stand_in(resolution).await;
        }
        resolution
    }

    /// Walks one address: rewrites it, and goes on to the ends of all its ways.
    async fn walk(&mut self, address: &Address) -> Resolution {
        let first = match self.rewrite(address.clone()).await {
            Ok(rewritten) => rewritten,
            Err(refusal) => {
                return Resolution {
                    routes: Err(refusal.reply()),
                    local: false,
                    relaying: false,
                    rewritten: address.as_str().into(),
                    channel: None,
                    comes_once: false,
                };
            }
        };
        let channel = first.channel.map(|n| &self.routes.channels[n]);
        let local = channel.is_some_and(|channel| channel.program == Program::Local);
        let relaying = !local && first.error.is_none() && self.is_relaying(&first);
        let rewritten = first.address.as_str().into();
        let channel = channel.map(|channel| channel.name.as_str().into());
        let routes = self.expand(first).await;
        Resolution { local, relaying, rewritten, channel, routes, comes_once: self.comes_once }
    }

    /// Nothing but a pattern for everything led there; or the address names a way of its own
    /// through others, or through a channel that connects to whatever host it is told.
    fn is_relaying(&self, first: &Rewritten) -> bool {
        let Some(n) = first.channel else { return true };
        let untrusted = |address: &Address| {
            address.route().next().is_some() || address.unquoted_local().contains(['%', '!', '@'])
        };
        first.unclaimed || self.routes.channels[n].multigate || untrusted(&first.address)
    }

    /// From the recipient's own channel to the ends of all ways.
    async fn expand(&mut self, first: Rewritten) -> Result<Arc<[Route]>, Reply> {
        let (recipient, mut expansion) = (Lineage::default(), Expansion::default());
        let mut expanded = if self.question.header {
            self.deliver(&first, &recipient, &mut expansion).await
        } else {
            self.take(first, &recipient, &mut expansion).await
        };
        while expanded.is_ok()
            && let Some(member) = expansion.next()
        {
            expanded = match self.take_member(&member, &mut expansion).await {
                Err(refusal) if refusal != Refusal::TooMany => {
                    expansion.give_up(member, refusal, &mut self.trace);
                    Ok(())
                }
                taken => taken,
            };
        }
        if let Some(shared) = expansion.shared {
            return Ok(shared);
        }
        expanded.map_err(|refusal| refusal.reply())?;
        let list = expansion.list;
        let routes = expansion.finish(self.routes, &mut self.trace).map(Arc::from)?;
        if let (Some(lists), Some(list), false) = (self.lists, list, self.comes_once) {
            lists.keep(list, &routes);
        }
        Ok(routes)
    }

    /// Rewrites what an alias led to, and takes it.
    async fn take_member(
        &mut self,
        Member { address, lineage, .. }: &Member,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        if address.starts_with(SPECIAL) {
            return Err(Refusal::Alias(address.clone()));
        }
        let malformed = |_| Refusal::NoTarget(address.chars().take(200).collect());
        let address = Address::parse(address).map_err(malformed)?;
        let rewritten = self.rewrite(address).await?;
        self.take(rewritten, lineage, expansion).await
    }

    /// Goes on with a rewritten address: to whom its alias stands for, or out.
    async fn take(
        &mut self,
        rewritten: Rewritten,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let Some(n) = rewritten.channel else {
            return Err(rewritten.error.map_or(Refusal::UnknownHost, Refusal::Text));
        };
        let channel = &self.routes.channels[n];
        if channel.program != Program::Local {
            if channel.viaaliasrequired && lineage.depth == 0 {
                return Err(Refusal::NotByAlias);
            }
            return self.deliver(&rewritten, lineage, expansion).await;
        }
        let address = &rewritten.address;
        let Some(node) = expansion.enter(address, lineage) else {
            self.trace.note(|| Step::Seen { address: address.to_string() });
            return Ok(());
        };
        if lineage.depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let mut targets = self.targets(address).await?;
        expansion.check(&targets)?;
        let members = lineage.of_members(node, address, targets.errors_to.take());
        if !self.is_shared(&targets, &members, expansion) {
            expansion.follow(node, targets, &members, &mut self.trace);
        }
        Ok(())
    }

    /// Whether a long list is all that the recipient stands for, and was walked a moment ago.
    fn is_shared(&self, targets: &Targets, members: &Lineage, expansion: &mut Expansion) -> bool {
        let long = targets.addresses.len() >= LONG && expansion.is_empty();
        let Some(lists) = self.lists.filter(|_| long && !self.trace.is_on()) else { return false };
        let Lineage { depth, member, errors_to, .. } = members;
        let Purpose { envelope, forward, source, released, .. } = self.purpose();
        let list = lists.fingerprint(&(
            (source, envelope, forward, released),
            (&targets.addresses, &targets.missing, errors_to, member, depth),
        ));
        expansion.list = Some(list);
        expansion.shared = lists.find(list);
        expansion.shared.is_some()
    }

    /// The end of one way.
    async fn deliver(
        &mut self,
        rewritten: &Rewritten,
        lineage: &Lineage,
        expansion: &mut Expansion,
    ) -> Result<(), Refusal> {
        let Some(n) = rewritten.channel else {
            return Err(Refusal::UnknownHost);
        };
        let channel = &self.routes.channels[n];
        let host = self.destination(channel, &rewritten.address).await?;
        let (name, tag) = &self.routes.names[n];
        let route = Route {
            channel: Arc::clone(name),
            host: expansion.host(&host),
            address: presented(channel, &rewritten.address).into(),
            tag: if **tag == *rewritten.tag { Arc::clone(tag) } else { (&*rewritten.tag).into() },
            member: lineage.member.clone(),
            errors_to: lineage.errors_to.clone(),
            refused: None,
        };
        expansion.lead(route, lineage.from, &mut self.trace);
        Ok(())
    }

    /// Where the channel connects for this address.
    async fn destination(
        &mut self,
        channel: &'a Channel,
        address: &Address,
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
        let purpose = self.purpose();
        if !channel.connectcanonical || !purpose.envelope {
            return Ok(host(address));
        }
        // The second phase: the address as it is dequeued, no longer an envelope address. That
        // it counts as one of a header here is inferred; the rules of the original need it.
        let destination = Some(channel.name.as_str());
        let dequeued = Purpose { envelope: false, destination, ..purpose };
        let rewritten = self.rewrite_as(address.clone(), dequeued).await?;
        let host = host(&rewritten.address);
        self.trace
            .note(|| Step::Connect { address: rewritten.address.to_string(), host: host.clone() });
        Ok(host)
    }

    /// The ways to whoever stands in for a postmaster that nobody knows.
    async fn stand_in(&mut self, refused: Resolution) -> Resolution {
        let routes = self.routes;
        let Postmaster { configured, mailbox, hold, .. } = &routes.postmaster;
        if let Err(reply) = &refused.routes {
            self.note_refused(reply);
        }
        let taken = |routes| Resolution {
            routes: Ok(routes),
            local: true,
            relaying: false,
            rewritten: refused.rewritten.clone(),
            channel: refused.channel.clone(),
            comes_once: refused.comes_once,
        };
        let asked = self.question.address;
        if let Some(address) = configured.as_ref().filter(|address| *address != asked) {
            self.note_instead("notary.postmaster", address.to_string());
            match self.walk(address).await.routes {
                Ok(routes) => return taken(routes),
                Err(reply) if is_lookup_failure(&reply) => {
                    return Resolution { routes: Err(reply), ..taken(Arc::default()) };
                }
                Err(_) => {}
            }
        }
        if let Some((entry, domain)) = mailbox
            && let Some(routes) = self.own_mailbox(entry, domain).await
        {
            return taken(routes);
        }
        let Some(n) = hold.or(routes.reprocess) else { return refused };
        warn!(address = %asked, "nobody is postmaster: this mail is kept");
        let (channel, tag) = &routes.names[n];
        self.note_instead("nobody is postmaster", format!("kept in channel {channel}"));
        let reply = Reply::new(450, Enhanced(4, 1, 1), "nobody is postmaster here yet");
        taken(Arc::new([Route {
            channel: Arc::clone(channel),
            host: tag.to_ascii_lowercase().into(),
            address: asked.as_str().into(),
            tag: Arc::clone(tag),
            member: Some(asked.as_str().into()),
            errors_to: None,
            refused: hold.is_none().then(|| Arc::new(reply)),
        }]))
    }

    /// The ways to the postmaster's mailbox in our own store, if they lead out.
    async fn own_mailbox(&mut self, entry: &Entry, domain: &Domain) -> Option<Arc<[Route]>> {
        let address = Address::parse(&format!("postmaster@{}", domain.name)).ok()?;
        let now = SystemTime::now();
        let request = Request { address: &address, subaddress: None, domain, now, released: false };
        let mut expansion = Expansion::default();
        for applied in evaluate(&self.routes.policy, entry, &request).ok()? {
            for target in applied.targets.ok()? {
                let Target::Address(address) = target else { continue };
                self.note_instead("our own store", address.clone());
                let rewritten = self.rewrite(Address::parse(&address).ok()?).await.ok()?;
                // An alias would lead back here.
                self.deliver(&rewritten, &Lineage::default(), &mut expansion).await.ok()?;
            }
        }
        let routes = expansion.finish(self.routes, &mut self.trace).ok()?;
        routes.iter().all(|route| self.routes.leads_out(route)).then(|| routes.into())
    }

    async fn rewrite(&mut self, address: Address) -> Result<Rewritten, Refusal> {
        self.rewrite_as(address, self.purpose()).await
    }

    async fn rewrite_as(
        &mut self,
        address: Address,
        purpose: Purpose<'_>,
    ) -> Result<Rewritten, Refusal> {
        let rewriter = Rewriter::new(self.routes, self.lookup, purpose, &mut self.trace);
        let rewritten = rewriter.rewrite(address).await?;
        self.comes_once |= rewritten.comes_once;
        Ok(rewritten)
    }

    async fn targets(&mut self, address: &Address) -> Result<Targets, Refusal> {
        let (released, trace) = (self.question.released, &mut self.trace);
        let aliases = Aliases { routes: self.routes, lookup: self.lookup, released, trace };
        aliases.targets(address).await
    }

    fn purpose(&self) -> Purpose<'a> {
        let Question { source_channel, header, released, .. } = self.question;
        let (envelope, destination) = (!header, None);
        Purpose { envelope, forward: true, source: source_channel, destination, released }
    }

    fn note_refused(&mut self, reply: &Reply) {
        let address = self.question.address;
        self.trace.note(|| Step::Refused { address: address.to_string(), reply: reply.clone() });
    }

    fn note_instead(&mut self, source: &'static str, target: String) {
        self.trace.note(|| Step::Alias { source, targets: vec![target] });
    }
}

/// The address as the next hop sees it.
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
