//! Routing: a recipient in, the ways it goes out.
//!
//! No actor here: what is decided depends on the configuration, the directory's answers and the
//! question, and nothing else. What depends on who asks (may the client relay, may this sender
//! write there) is kept apart from what does not, so that the latter can be remembered.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use relais_channels::mail::{Address, Reply};
use relais_config::{Channel, Config, MappingTable, channel::Program, mapping::Tables};

use super::{
    access::{self, Access, ORIG_SEND_ACCESS},
    expand::{Expansion, Lineage},
    lists::Lists,
    postmaster::Postmaster,
    refusal::{Refusal, is_lookup_failure, relaying},
    rewrite::{Purpose, Rewritten},
    rules::Rules,
    steps::{Step, Trace},
};
use crate::directory::{Lookup, Policy};

/// Everything that routing goes by.
#[derive(Debug)]
pub struct Routes {
    pub(super) rules: Rules,
    pub(super) channels: Vec<Channel>,
    /// Name and tag of each of them.
    pub(super) names: Vec<(Arc<str>, Arc<str>)>,
    /// The one that tries again what could not be routed.
    pub(super) reprocess: Option<usize>,
    by_tag: HashMap<Box<str>, usize>,
    pub(super) policy: Policy,
    mappings: BTreeMap<String, MappingTable>,
    general: BTreeMap<String, String>,
    /// Targets by name, in lower case.
    pub(super) aliases: HashMap<String, Vec<String>>,
    /// The domain of bare names, in lower case.
    pub(super) completion: String,
    /// Between user and subaddress.
    pub(super) delimiter: String,
    /// The local channel hands on to a transport.
    pub(super) has_transport: bool,
    /// Who else stands in for a postmaster that nobody knows.
    pub(super) postmaster: Postmaster,
    /// What lists came to a moment ago.
    pub(super) lists: Lists,
}

/// A recipient to find the way of.
#[derive(Clone, Copy, Debug)]
// Each flag says something else about who asks, and for what.
#[allow(clippy::struct_excessive_bools)]
pub struct Question<'a> {
    /// The recipient.
    pub address: &'a Address,
    /// The sender without angle brackets; empty for the null sender.
    pub sender: &'a str,
    /// The channel the mail comes in by.
    pub source_channel: &'a str,
    /// The client may send to domains that are not ours.
    pub may_relay: bool,
    /// Tell each step.
    pub trace: bool,
    /// Rewrite as an address of a header; aliases are then left alone.
    pub header: bool,
    /// The mail was released from a hold channel: the status `hold` does not count.
    pub released: bool,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Routing {
    /// At least one way, or what the client reads.
    pub outcome: Result<Arc<[Route]>, Reply>,
    /// An alias or the directory had a say.
    pub local: bool,
    /// The domain is not ours.
    pub relaying: bool,
    /// Empty unless asked for.
    pub steps: Vec<Step>,
}

/// One way that a recipient goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The name of the channel.
    pub channel: Arc<str>,
    /// The destination by which the channel tells hosts apart, in lower case.
    pub host: Arc<str>,
    /// What is presented to the next hop.
    pub address: String,
    /// The tag that selected the channel.
    pub tag: Arc<str>,
    /// The address that was looked up last, when it is not the recipient's own.
    pub member: Option<Arc<str>>,
    /// Who hears of failures in the sender's place.
    pub errors_to: Option<Arc<str>>,
    /// It leads nowhere, for good or for now; the channel is the one that sees to that.
    pub refused: Option<Arc<Reply>>,
}

/// What does not depend on who asks.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The ways; or the reply for those who may write there.
    pub routes: Result<Arc<[Route]>, Reply>,
    /// As in [`Routing`].
    pub local: bool,
    /// As in [`Routing`].
    pub relaying: bool,
    /// The address as rewritten, before aliases.
    pub rewritten: Box<str>,
    /// The channel it was rewritten to, before aliases.
    pub channel: Option<Box<str>>,
}

/// Why a configuration cannot be routed by.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RoutesError {
    /// Rules could not tell them apart.
    #[error("channels {first:?} and {second:?} have the same tag {tag:?}")]
    SameTag {
        /// The tag.
        tag: String,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
}

impl Routes {
    /// Takes what routing needs from the configuration.
    pub fn new(config: &Config) -> Result<Self, RoutesError> {
        let mut by_tag: HashMap<Box<str>, usize> = HashMap::new();
        for (n, channel) in config.channels.iter().enumerate() {
            let tag = channel.tag.to_ascii_lowercase();
            if let Some(first) = by_tag.insert(tag.into(), n) {
                return Err(RoutesError::SameTag {
                    tag: channel.tag.clone(),
                    first: config.channels[first].name.clone(),
                    second: channel.name.clone(),
                });
            }
        }
        let local = config.channels.iter().find(|channel| channel.program == Program::Local);
        // Without a directory users are users of this host.
        let completion = match (&config.directory, local) {
            (None, Some(local)) => &local.tag,
            _ => &config.default_domain,
        };
        let lower =
            |(name, targets): (&String, &Vec<String>)| (name.to_ascii_lowercase(), targets.clone());
        let transports = |channel: &Channel| {
            channel.mailbox_transport.is_some()
                || channel.local_transport.is_some()
                || channel.fallback_transport.is_some()
        };
        let named = |channel: &Channel| (channel.name.as_str().into(), channel.tag.as_str().into());
        let of = |program| config.channels.iter().position(|its| its.program == program);
        Ok(Self {
            rules: Rules::new(config.rewrite_rules.clone()),
            names: config.channels.iter().map(named).collect(),
            reprocess: of(Program::Reprocess).or_else(|| of(Program::Process)),
            channels: config.channels.clone(),
            by_tag,
            policy: Policy::new(config),
            mappings: config.mappings.clone(),
            general: config.general.clone(),
            aliases: config.aliases.iter().map(lower).collect(),
            completion: completion.to_ascii_lowercase(),
            delimiter: local.map_or("+".to_owned(), |local| local.recipient_delimiter.clone()),
            has_transport: local.is_some_and(transports),
            postmaster: Postmaster::of(config),
            lists: Lists::default(),
        })
    }

    /// Finds the way of a recipient.
    pub async fn route(&self, question: &Question<'_>, lookup: &impl Lookup) -> Routing {
        let mut trace = Trace::new(question.trace);
        let resolution = self.resolve_traced(question, lookup, &mut trace).await;
        let admitted = self.admit_traced(&resolution, question, &mut trace);
        let outcome = admitted.and(resolution.routes);
        if let Err(reply) = &outcome {
            trace.note(|| Step::Refused {
                address: question.address.to_string(),
                reply: reply.clone(),
            });
        }
        let Resolution { local, relaying, .. } = resolution;
        Routing { outcome, local, relaying, steps: trace.into_steps() }
    }

    /// The part of the way that does not depend on who asks: the same for every sender and every
    /// client of a source channel.
    pub async fn resolve(&self, question: &Question<'_>, lookup: &impl Lookup) -> Resolution {
        self.resolve_traced(question, lookup, &mut Trace::default()).await
    }

    /// Whether this client and sender may go that way.
    pub fn admit(&self, resolution: &Resolution, question: &Question<'_>) -> Result<(), Reply> {
        self.admit_traced(resolution, question, &mut Trace::default())
    }

    /// The mapping tables and what they look into.
    pub fn tables(&self) -> Tables<'_> {
        Tables { mappings: &self.mappings, general: &self.general }
    }

    /// The channel that a tag stands for.
    pub(super) fn channel_by_tag(&self, tag: &str) -> Option<usize> {
        if let Some(n) = self.by_tag.get(tag) {
            return Some(*n);
        }
        self.by_tag.get(tag.to_ascii_lowercase().as_str()).copied()
    }

    /// Whether a host is this machine, by the local channel's name.
    pub(super) fn is_here(&self, host: &str) -> bool {
        let channel = self.channel_by_tag(host).map(|n| &self.channels[n]);
        channel.is_some_and(|channel| channel.program == Program::Local)
    }

    /// `$1M`: mail from within.
    pub(super) fn is_internal(&self, channel: &str) -> bool {
        let named = self.channels.iter().find(|known| known.name == channel);
        named.is_some_and(|known| matches!(known.program, Program::Reprocess | Program::Process))
    }

    fn admit_traced(
        &self,
        resolution: &Resolution,
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> Result<(), Reply> {
        let access = match &resolution.channel {
            Some(channel) if !question.header => access::orig_send(
                &self.tables(),
                question.source_channel,
                question.sender,
                channel,
                &resolution.rewritten,
            ),
            _ => None,
        };
        if let Some((probe, access)) = access {
            trace.note(|| Step::Access {
                table: ORIG_SEND_ACCESS,
                probe,
                verdict: format!("{access:?}"),
            });
            match access {
                Access::Reject(_) => return access.reply().map_or(Ok(()), Err),
                Access::Accept => return Ok(()),
                Access::Silent => {}
            }
        }
        if resolution.relaying && !question.may_relay { Err(relaying()) } else { Ok(()) }
    }

    async fn resolve_traced(
        &self,
        question: &Question<'_>,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Resolution {
        let purpose = Purpose {
            envelope: !question.header,
            forward: true,
            source: question.source_channel,
            released: question.released,
        };
        let resolution = self.resolve_once(question, purpose, lookup, trace).await;
        let refused = matches!(&resolution.routes, Err(reply) if !is_lookup_failure(reply));
        if refused && !question.header && self.postmaster.is_at(question.address, &resolution) {
            return self.stand_in(question, purpose, resolution, lookup, trace).await;
        }
        resolution
    }

    pub(super) async fn resolve_once(
        &self,
        question: &Question<'_>,
        purpose: Purpose<'_>,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Resolution {
        let address = question.address.clone();
        match self.rewrite(address, purpose, lookup, trace).await {
            Ok(rewritten) => self.follow(question, purpose, rewritten, lookup, trace).await,
            Err(refusal) => Resolution {
                routes: Err(refusal.reply()),
                local: false,
                relaying: false,
                rewritten: question.address.as_str().into(),
                channel: None,
            },
        }
    }

    /// From the recipient's own channel to the ends of all ways.
    async fn follow(
        &self,
        question: &Question<'_>,
        purpose: Purpose<'_>,
        first: Rewritten,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Resolution {
        let channel = first.channel.map(|n| &self.channels[n]);
        let local = channel.is_some_and(|channel| channel.program == Program::Local);
        let mut resolution = Resolution {
            routes: Err(Refusal::UnknownHost.reply()),
            local,
            relaying: !local && first.error.is_none() && self.is_relaying(&first),
            rewritten: first.address.as_str().into(),
            channel: channel.map(|channel| channel.name.as_str().into()),
        };
        let mut expansion = Expansion::default();
        let lineage = Lineage::default();
        let taken = if question.header {
            self.deliver(&first, &lineage, purpose, lookup, &mut expansion, trace).await
        } else {
            self.take(first, 0, &lineage, purpose, lookup, &mut expansion, trace).await
        };
        let expanded = match taken {
            Ok(()) => self.expand_all(purpose, lookup, &mut expansion, trace).await,
            Err(refusal) => Err(refusal),
        };
        if let Some(shared) = expansion.shared.take() {
            resolution.routes = Ok(shared);
            return resolution;
        }
        let list = expansion.list;
        resolution.routes = expanded
            .map_err(|refusal| refusal.reply())
            .and_then(|()| self.finish(expansion, trace))
            .map(Arc::from);
        if let (Some(list), Ok(routes)) = (list, &resolution.routes) {
            self.lists.keep(list, routes);
        }
        resolution
    }

    /// Nothing but a pattern for everything led there; or the address names a way of its own
    /// through others, or through a channel that connects to whatever host it is told.
    fn is_relaying(&self, first: &Rewritten) -> bool {
        let Some(n) = first.channel else { return true };
        let untrusted = |address: &Address| {
            address.route().next().is_some() || address.unquoted_local().contains(['%', '!', '@'])
        };
        first.unclaimed || self.channels[n].multigate || untrusted(&first.address)
    }
}
