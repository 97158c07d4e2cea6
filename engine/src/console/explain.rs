//! How an address would be routed: by a running engine, or by a router and a directory that are
//! started from the configuration alone. Either is asked by the one message [`Explain`].

use std::{
    net::{IpAddr, UdpSocket},
    num::NonZeroU64,
    sync::Arc,
};

use futures_util::future::try_join_all;
use relais_actors::{
    actor::{Gone, Ground, Meters},
    channel_table::{Channels, WaitingPlace, next_hops},
    directory::DirectoryHandle,
    metrics::ServerMeters,
    router::{
        Explain, Poster, Route, RouterHandle, Routes, Routing, Ruling, Step, Submission, TcpEnds,
        internal_ip, own_postmaster, port_access,
    },
    sieve::{is_shown_to_scripts, redirect_target},
};
use relais_channels::mail::{Address, Enhanced, NextHop, Reply, TlsWish};
use relais_config::{
    Config,
    channel::{Channel, Program},
    facts::Facts,
};

use super::{
    access::test_access,
    foreseen_tls::foreseen_tls,
    srs::restored,
    stages::probe_stage,
    steps::{channel_asked, step, system_scripts, taken},
    switching::switching,
    tables::{ends_at, explain_mapping, facts_asked},
    ways::configured,
};
use crate::{
    admin::{AccessQuestion, MappingQuestion, Nonsense, RouteQuestion},
    api::{
        AccessExplained, MappingExplained, RouteExplained, RouteResult, RouteScripts, RouteStep,
    },
    cli::{Explained, ExplainedMany, Files, StagesExplained},
    start::{StartError, start_router},
};

/// The client, as far as tables know it.
#[derive(Clone, Copy, Default)]
struct KnownClient {
    may_relay: bool,
    ends: Option<TcpEnds>,
}

/// A client on its way to RCPT: where it comes in, and what that says of it.
struct Arrival<'a> {
    config: &'a Config,
    question: &'a RouteQuestion,
    facts: Facts,
    /// The channel of the service.
    first_channel: String,
    /// The channel that its mail comes in by.
    source_channel: String,
    /// The client or its sender was turned away before RCPT, by this.
    refused: Option<RouteRefusal>,
    steps: Vec<RouteStep>,
}

/// The reply of a refusal, and what it comes from.
struct RouteRefusal {
    reply: String,
    by: Option<String>,
}

/// Routes of many as this router finds them now, in the order of the questions and without steps.
pub async fn explain_many(
    config: &Config,
    channels: &Channels,
    router: &RouterHandle,
    questions: &[RouteQuestion],
) -> Result<Vec<RouteExplained>, Gone> {
    let one = async |question: &RouteQuestion| {
        let explained = explain(config, channels, router, question, true).await?;
        Ok(explained.unwrap_or_else(|Nonsense(reply)| RouteExplained {
            input: question.address.clone(),
            reply,
            ..RouteExplained::default()
        }))
    };
    // Some at once: a directory may be far away.
    let mut all = Vec::with_capacity(questions.len());
    for some in questions.chunks(AT_ONCE) {
        all.extend(try_join_all(some.iter().map(one)).await?);
    }
    for explained in &mut all {
        explained.steps.clear();
    }
    Ok(all)
}

/// Routes `question.address` as this router does now. The outer error: the router is gone.
pub async fn explain(
    config: &Config,
    channels: &Channels,
    router: &RouterHandle,
    question: &RouteQuestion,
    is_brief: bool,
) -> Result<Result<RouteExplained, Nonsense>, Gone> {
    let first_channel = match channel_asked(config, question.channel.as_deref()) {
        Ok(name) => name,
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let source_channel = first_channel.clone();
    let facts = match facts_asked(question.spf.as_deref(), question.spf_helo.as_deref()) {
        Ok(facts) => facts,
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let (refused, steps) = (None, Vec::new());
    let mut arrival =
        Arrival { config, question, facts, first_channel, source_channel, refused, steps };
    let may_relay = question.vouched || question.redirected;
    let mut client = KnownClient { may_relay, ends: None };
    if let Some(address) = question.client {
        client = arrival.connect(&router.cache.routes(), address);
        arrival.switch(router, address).await?;
    }
    let address = match arrival.mail(router, client).await {
        Ok(address) => address,
        Err(refused) => return Ok(Ok(*refused)),
    };
    let address = match arrival.restored(address, &mut client) {
        Ok(address) => address,
        Err(refused) => return Ok(Ok(*refused)),
    };
    let in_force = router.cache.routes();
    if question.redirected
        && let Err(reply) = redirect_target(&in_force, address.as_str())
    {
        return Ok(Ok(arrival.refused(&reply)));
    }
    let asked = Explain {
        address,
        sender: question.from.clone().unwrap_or_default(),
        source_channel: arrival.source_channel.clone(),
        may_relay: client.may_relay,
        poster: if question.redirected { Poster::Queued } else { Poster::Client },
        header: question.header,
        ends: client.ends,
        hello: String::new(),
        authenticated: String::new(),
        facts,
        is_brief,
    };
    let routing = router.explain(asked).await?;
    let mut explained = explained((channels, &in_force), arrival, &routing);
    if is_brief {
        // Two configurations are compared by what they do.
        explained.if_permitted.clear();
    } else {
        for result in explained.ways_mut() {
            result.limits = configured(config, channels, &result.channel);
            let channel = channels.find(&result.channel).map(|id| channels.channel(id));
            let addresses = [&*result.address].into_iter();
            result.tls =
                channel.and_then(|its| foreseen_tls(its, &result.host, addresses, TlsWish::Usual));
        }
    }
    Ok(Ok(explained))
}

/// Answers by what a configuration names.
pub const FILES: Files = Files {
    route: files_blocking,
    routes: many_in_files,
    mapping: mapping_in_files,
    access: access_in_files,
    stages: stages_in_files,
};

/// Starts a router from what the configuration names, and nothing else, for callers that have no
/// runtime. `Err`: the configuration cannot be routed by.
fn files_blocking(config: &Config) -> Result<Explained, String> {
    let (config, channels) = (config.clone(), Channels::of(config));
    let system = actix::System::new();
    let started = system.block_on(async { offline_router(&config) });
    let (router, _) = started.map_err(|error| error.to_string())?;
    Ok(Box::new(move |question| {
        let explained = system.block_on(explain(&config, &channels, &router, question, false));
        explained.map_err(|gone| gone.to_string())?.map_err(|nonsense| nonsense.0)
    }))
}

/// The same for many questions at once.
fn many_in_files(config: &Config) -> Result<ExplainedMany, String> {
    let (config, channels) = (config.clone(), Channels::of(config));
    let system = actix::System::new();
    let started = system.block_on(async { offline_router(&config) });
    let (router, _) = started.map_err(|error| error.to_string())?;
    Ok(Box::new(move |questions| {
        let explained = system.block_on(explain_many(&config, &channels, &router, questions));
        explained.map_err(|gone| gone.to_string())
    }))
}

/// A router without an engine around it.
fn offline_router(config: &Config) -> Result<(RouterHandle, DirectoryHandle), StartError> {
    let ground = Ground::new(Meters::default(), Box::new(|_| ()));
    start_router(config, &ground, &ServerMeters::unregistered())
}

/// Probes a mapping table by the configuration alone, for callers that have no runtime.
fn mapping_in_files(
    config: &Config,
    question: &MappingQuestion,
) -> Result<MappingExplained, String> {
    let system = actix::System::new();
    system.block_on(async {
        let (router, _) = offline_router(config).map_err(|error| error.to_string())?;
        explain_mapping(&router, question).await.map_err(|nonsense| nonsense.0)
    })
}

/// Probes stages by the configuration alone, for callers that have no runtime.
fn stages_in_files(config: &Config) -> Result<StagesExplained, String> {
    let config = config.clone();
    let system = actix::System::new();
    let started = system.block_on(async { offline_router(&config) });
    let (router, _) = started.map_err(|error| error.to_string())?;
    Ok(Box::new(move |question| {
        let probed = system.block_on(probe_stage(&config, &router, question));
        probed.map_err(|nonsense| nonsense.0)
    }))
}

/// Asks access tables by the configuration alone, for callers that have no runtime.
fn access_in_files(config: &Config, question: &AccessQuestion) -> Result<AccessExplained, String> {
    let system = actix::System::new();
    system.block_on(async {
        let started = offline_router(config);
        let (router, _) = started.map_err(|error| error.to_string())?;
        let asked = test_access(config, &router, question).await;
        asked.map_err(|gone| gone.to_string())?.map_err(|nonsense| nonsense.0)
    })
}

impl Arrival<'_> {
    /// Goes on in the channel that the client's address leads to.
    async fn switch(&mut self, router: &RouterHandle, client: IpAddr) -> Result<(), Gone> {
        let switching = switching(self.config, router, (&self.source_channel, client)).await?;
        self.source_channel = switching.channel;
        self.steps.extend(switching.steps.iter().map(taken));
        self.steps.extend(switching.verdict.map(|verdict| step("client", verdict)));
        Ok(())
    }

    /// Up to the greeting.
    fn connect(&mut self, routes: &Routes, client: IpAddr) -> KnownClient {
        let may_relay = internal_ip(routes, client);
        let words = if may_relay { "vouches for it: it may relay" } else { "says nothing for it" };
        self.steps.push(step("client", format!("{client}: INTERNAL_IP {words}")));
        let ends = place(self.config, &self.first_channel, client);
        let ruling = ends.and_then(|ends| port_access(routes, ends, true));
        self.ask("client", "PORT_ACCESS", ruling);
        KnownClient { may_relay, ends }
    }

    /// MAIL of a client, and what the text of the address decides. The error is the answer.
    async fn mail(
        &mut self,
        router: &RouterHandle,
        client: KnownClient,
    ) -> Result<Address, Box<RouteExplained>> {
        let Self { config, question, .. } = *self;
        if question.client.is_some() {
            let sender = question.from.as_deref().unwrap_or_default();
            let (ends, facts) = (client.ends, self.facts);
            let submission = Submission { ends, facts, ..Submission::default() };
            let asked = (self.source_channel.as_str(), sender);
            match router.from_access(asked, submission, true).await {
                Ok(ruling) => self.ask("access", "FROM_ACCESS", ruling),
                Err(reply) => return Err(Box::new(self.refused(&reply))),
            }
        }
        let bracketed = question.address.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
        match Address::parse(bracketed.unwrap_or(&question.address)) {
            Ok(address) => {
                let is_ours = |ip| is_ours(config, &self.first_channel, ip);
                Ok(own_postmaster(&address, is_ours).unwrap_or(address))
            }
            Err(error) => Err(Box::new(unparsed(&question.address, &error.to_string()))),
        }
    }

    /// The sender that an address of ours stands for, to whom everybody may send. The error is the
    /// answer.
    fn restored(
        &mut self,
        address: Address,
        client: &mut KnownClient,
    ) -> Result<Address, Box<RouteExplained>> {
        if self.question.header {
            return Ok(address);
        }
        match restored(self.config, &address) {
            None => Ok(address),
            Some(Ok(sender)) => {
                client.may_relay = true;
                self.steps.push(step("srs", format!("{address} stands for {sender}")));
                Ok(sender)
            }
            Some(Err(why)) => {
                self.steps.push(step("srs", format!("{address}: {why}")));
                let reply = Reply::with_text(550, Enhanced(5, 1, 1), why);
                Err(Box::new(self.refused(&reply)))
            }
        }
    }

    /// Tells the word of a table, and keeps in mind that it refuses.
    fn ask(&mut self, kind: &str, table: &str, ruling: Option<Ruling>) {
        let Some(ruling) = ruling else { return };
        self.steps.push(step(kind, format!("{table} {}: {ruling}", ruling.probe)));
        if let Some(reply) = ruling.access.reply().filter(|_| self.refused.is_none()) {
            let by = Some(named(table, ruling.entry));
            self.refused = Some(RouteRefusal { reply: reply.to_string(), by });
        }
    }

    fn refused(&mut self, reply: &Reply) -> RouteExplained {
        let (reply, input) = (reply.to_string(), self.question.address.clone());
        let steps = std::mem::take(&mut self.steps);
        RouteExplained { input, reply, steps, ..RouteExplained::default() }
    }
}

/// Whether a service of the channel takes connections at an address of this machine: a session there
/// takes it for this host's own.
fn is_ours(config: &Config, channel: &str, ip: IpAddr) -> bool {
    let services = config.dispatcher.enabled();
    let mut of_channel = services.filter(|service| service.channel == channel);
    of_channel.any(|service| match service.interface_address {
        Some(at) if !at.is_unspecified() => at.to_canonical() == ip,
        // Only addresses of this machine can be bound.
        _ => UdpSocket::bind((ip, 0)).is_ok(),
    })
}

/// Where the client would connect to for a channel, as far as the configuration tells.
fn place(config: &Config, channel: &str, client: IpAddr) -> Option<TcpEnds> {
    let services = config.dispatcher.services.iter();
    let mut of_channel = services.filter(|service| service.channel == channel);
    of_channel.find_map(|service| ends_at(service, client))
}

fn explained(
    (channels, routes): (&Channels, &Routes),
    arrival: Arrival<'_>,
    routing: &Routing,
) -> RouteExplained {
    let Arrival { config, question, refused, mut steps, source_channel, .. } = arrival;
    steps.extend(routing.steps.iter().map(taken));
    let found = routing.outcome.as_ref().ok().or(routing.if_permitted.as_ref());
    for way in found.into_iter().flat_map(|ways| ways.iter()).filter(|_| !question.header) {
        let first = channels.conversion_for(&source_channel, &way.channel, &way.host);
        if let Some(WaitingPlace { channel, .. }) = first {
            let detail = format!(
                "mail for <{}> goes by the channel {channel} first, which looks at its parts \
                 (conversions)",
                way.address
            );
            steps.push(step("conversion", detail));
        }
    }
    if !question.header {
        let shown = found.into_iter().flat_map(|ways| ways.iter());
        let shown = shown.filter(|way| is_shown_to_scripts(routes, way)).map(|way| &*way.channel);
        steps.extend(system_scripts(config, &source_channel, shown));
    }
    let of_way = |way: &Route| {
        let is_asked = question.scripts && !question.header && is_shown_to_scripts(routes, way);
        let scripts = is_asked.then(|| scripts_of(way, &question.address));
        RouteResult { scripts, ..result(channels, way) }
    };
    let ways = found.into_iter().flat_map(|ways| ways.iter().map(of_way)).collect();
    let explained = RouteExplained {
        input: question.address.clone(),
        steps,
        source_channel: question.scripts.then_some(source_channel),
        ..RouteExplained::default()
    };
    let refused = refused.or_else(|| {
        let reply = routing.outcome.as_ref().err()?.to_string();
        Some(RouteRefusal { reply, by: refused_by(question, routing) })
    });
    match refused {
        Some(RouteRefusal { reply, by }) => {
            RouteExplained { reply, refused_by: by, if_permitted: ways, ..explained }
        }
        None => RouteExplained {
            accepted: true,
            reply: ACCEPTED.to_owned(),
            results: ways,
            ..explained
        },
    }
}

/// The scripts on a way that was found for `recipient`.
fn scripts_of(way: &Route, recipient: &str) -> RouteScripts {
    let texts = |all: &[Arc<str>]| all.iter().map(ToString::to_string).collect();
    let addresses = |all: &[Box<str>]| all.iter().map(ToString::to_string).collect();
    let own = way.scripts.as_deref();
    RouteScripts {
        to: way.member.as_deref().unwrap_or(recipient).to_owned(),
        addresses: own.map(|own| addresses(&own.addresses)).unwrap_or_default(),
        texts: own.map(|own| texts(&own.texts)).unwrap_or_default(),
        file: own.and_then(|own| Some(own.file.as_ref()?.display().to_string())),
    }
}

/// The refusal of a client or sender in words: of a table that was asked, or for want of somebody who
/// vouches.
fn refused_by(question: &RouteQuestion, routing: &Routing) -> Option<String> {
    routing.if_permitted.as_ref()?;
    let refusing = routing.steps.iter().rev().find_map(|step| match step {
        Step::Access { table, entry, is_refusal: true, .. } => Some(named(table, *entry)),
        _ => None,
    });
    let is_permanent = matches!(&routing.outcome, Err(reply) if reply.is_permanent());
    let unvouched = || match question.client {
        Some(client) => format!("INTERNAL_IP, which does not know {client}; a login would do"),
        None => "INTERNAL_IP, which knows no stranger; --client IP asks for a client".to_owned(),
    };
    refusing.or_else(|| (routing.relaying && is_permanent).then(unvouched))
}

/// A table and its entry, counted from 1.
fn named(table: &str, entry: Option<usize>) -> String {
    entry.map_or_else(|| table.to_owned(), |n| format!("{table}, entry {}", n + 1))
}

fn result(channels: &Channels, route: &Route) -> RouteResult {
    let channel = channels.find(&route.channel).map(|id| channels.channel(id));
    // Nothing else connects to a port.
    let connects = |its: &&Channel| matches!(its.program, Program::Lmtp | Program::Smtp);
    let hop = channel.filter(connects).and_then(|channel| {
        let port = channel.next_hop_port();
        let shown = |hop: &NextHop| match hop {
            NextHop::Host { name, port: None } => format!("{name}:{port}"),
            NextHop::Ip { address, port: None } => format!("[{address}]:{port}"),
            other => other.to_string(),
        };
        let hops = next_hops(channel, &route.host)?;
        Some(hops.iter().map(shown).collect::<Vec<_>>().join(", "))
    });
    RouteResult {
        address: route.address.to_string(),
        channel: route.channel.to_string(),
        tag: route.tag.to_string(),
        next_hop: hop.unwrap_or_else(|| route.host.to_string()),
        host: route.host.to_string(),
        limits: None,
        tls: None,
        dns: Vec::new(),
        quota: route.quota.as_deref().copied(),
        size_limit: route.size_limit.map(NonZeroU64::get),
        order: None,
        scripts: None,
        sieve: None,
    }
}

fn unparsed(input: &str, error: &str) -> RouteExplained {
    let reply = Reply::with_text(501, Enhanced(5, 1, 3), error.to_owned());
    RouteExplained {
        input: input.to_owned(),
        reply: reply.to_string(),
        ..RouteExplained::default()
    }
}

/// Routes that are looked for at the same time.
const AT_ONCE: usize = 32;
const ACCEPTED: &str = "250 2.1.5 recipient ok";
