//! How an address would be routed: by a running engine, or by a router and a directory that are
//! started from the configuration alone. Either is asked by the one message [`Explain`].

use std::net::{IpAddr, UdpSocket};

use relais_actors::{
    actor::{Gone, Ground, Meters},
    channel_table::{Channels, next_hop},
    router::{
        Explain, Route, RouterHandle, Routes, Routing, Step, Submission, TcpEnds, from_access,
        internal_ip, own_postmaster, port_access,
    },
};
use relais_channels::{
    client::port_of,
    mail::{Address, Enhanced, NextHop, Reply},
};
use relais_config::{Config, dispatcher::Program, suggest};

use super::{
    access::test_access,
    tables::{ends_at, mapping_in_files},
};
use crate::{
    admin::{AccessQuestion, Nonsense, RouteQuestion},
    api::{AccessExplained, RouteExplained, RouteResult, RouteStep},
    cli::{Explained, Files},
    start::start_router,
};

/// A question, as far as it can be answered without routing.
struct Prepared {
    address: Address,
    source_channel: String,
    may_relay: bool,
    ends: Option<TcpEnds>,
    steps: Vec<RouteStep>,
}

/// Routes `question.address` as this router does now. The outer error: the router is gone.
pub async fn explain(
    config: &Config,
    channels: &Channels,
    router: &RouterHandle,
    question: &RouteQuestion,
) -> Result<Result<RouteExplained, Nonsense>, Gone> {
    let prepared = match prepare(config, &router.cache.routes(), question) {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(refused)) => return Ok(Ok(*refused)),
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let asked = Explain {
        address: prepared.address.clone(),
        sender: question.from.clone().unwrap_or_default(),
        source_channel: prepared.source_channel.clone(),
        may_relay: prepared.may_relay,
        header: question.header,
        ends: prepared.ends,
        hello: String::new(),
    };
    let routing = router.explain(asked).await?;
    Ok(Ok(explained(channels, question, prepared, &routing)))
}

/// Answers by what a configuration names.
pub const FILES: Files =
    Files { route: files_blocking, mapping: mapping_in_files, access: access_in_files };

/// Starts a router from what the configuration names, and nothing else, for callers that have no
/// runtime. `Err`: the configuration cannot be routed by.
fn files_blocking(config: &Config) -> Result<Explained, String> {
    let (config, channels) = (config.clone(), Channels::of(config));
    let system = actix::System::new();
    let started = system.block_on(async {
        start_router(&config, &Ground::new(Meters::default(), Box::new(|_| ())))
    });
    let (router, _) = started.map_err(|error| error.to_string())?;
    Ok(Box::new(move |question| {
        let explained = system.block_on(explain(&config, &channels, &router, question));
        explained.map_err(|gone| gone.to_string())?.map_err(|nonsense| nonsense.0)
    }))
}

/// Asks access tables by the configuration alone, for callers that have no runtime.
fn access_in_files(config: &Config, question: &AccessQuestion) -> Result<AccessExplained, String> {
    let system = actix::System::new();
    system.block_on(async {
        let started = start_router(config, &Ground::new(Meters::default(), Box::new(|_| ())));
        let (router, _) = started.map_err(|error| error.to_string())?;
        let asked = test_access(config, &router, question).await;
        asked.map_err(|gone| gone.to_string())?.map_err(|nonsense| nonsense.0)
    })
}

/// The part of an answer that the client and the text of the address decide. The inner error is the
/// answer.
fn prepare(
    config: &Config,
    routes: &Routes,
    question: &RouteQuestion,
) -> Result<Result<Prepared, Box<RouteExplained>>, Nonsense> {
    let source_channel = match &question.channel {
        Some(name) if config.channels.iter().any(|channel| channel.name == *name) => name.clone(),
        Some(name) => {
            let known: Vec<_> = config.channels.iter().map(|c| c.name.as_str()).collect();
            let known = suggest(name, &known, "there are:");
            return Err(Nonsense(format!("there is no channel {name:?}; {known}")));
        }
        None => incoming_channel(config),
    };
    let mut steps = Vec::new();
    let mut may_relay = false;
    let ends = question.client.and_then(|client| place(config, &source_channel, client));
    if let Some(client) = question.client {
        may_relay = internal_ip(routes, client);
        let words = if may_relay { "vouches for it: it may relay" } else { "says nothing for it" };
        steps.push(step("client", format!("{client}: INTERNAL_IP {words}")));
        let ruling = ends.and_then(|ends| port_access(routes, ends, true));
        if let Some(ruling) = ruling {
            steps.push(step("client", format!("PORT_ACCESS {}: {ruling}", ruling.probe)));
            if let Some(reply) = ruling.access.reply() {
                let (reply, input) = (reply.to_string(), question.address.clone());
                let refused = RouteExplained { input, reply, steps, ..RouteExplained::default() };
                return Ok(Err(Box::new(refused)));
            }
        }
        let sender = question.from.as_deref().unwrap_or_default();
        let submission = Submission { ends, ..Submission::default() };
        if let Some(ruling) = from_access(routes, (&source_channel, sender), submission, true) {
            steps.push(step("access", format!("FROM_ACCESS {}: {ruling}", ruling.probe)));
            if let Some(reply) = ruling.access.reply() {
                let (reply, input) = (reply.to_string(), question.address.clone());
                let refused = RouteExplained { input, reply, steps, ..RouteExplained::default() };
                return Ok(Err(Box::new(refused)));
            }
        }
    }
    let bracketed = question.address.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    Ok(match Address::parse(bracketed.unwrap_or(&question.address)) {
        Ok(address) => {
            let is_ours = |ip| is_ours(config, &source_channel, ip);
            let address = own_postmaster(&address, is_ours).unwrap_or(address);
            Ok(Prepared { address, source_channel, may_relay, ends, steps })
        }
        Err(error) => Err(Box::new(unparsed(&question.address, &error.to_string()))),
    })
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
    channels: &Channels,
    question: &RouteQuestion,
    prepared: Prepared,
    routing: &Routing,
) -> RouteExplained {
    let (accepted, reply, results) = match &routing.outcome {
        Ok(found) => {
            let results = found.iter().map(|route| result(channels, route)).collect();
            (true, ACCEPTED.to_owned(), results)
        }
        Err(reply) => (false, reply.to_string(), Vec::new()),
    };
    let mut steps = prepared.steps;
    steps.extend(routing.steps.iter().map(|taken| step(&step_name(taken), taken.to_string())));
    let input = question.address.clone();
    RouteExplained { input, accepted, reply, results, steps, ..RouteExplained::default() }
}

fn step(step: &str, detail: String) -> RouteStep {
    RouteStep { step: step.to_owned(), detail }
}

fn result(channels: &Channels, route: &Route) -> RouteResult {
    let channel = channels.find(&route.channel).map(|id| channels.channel(id));
    let hop = channel.and_then(|channel| {
        let port = port_of(channel);
        next_hop(channel, &route.host).map(|hop| match hop {
            NextHop::Host { name, port: None } => format!("{name}:{port}"),
            NextHop::Ip { address, port: None } => format!("[{address}]:{port}"),
            other => other.to_string(),
        })
    });
    RouteResult {
        address: route.address.to_string(),
        channel: route.channel.to_string(),
        tag: route.tag.to_string(),
        next_hop: hop.unwrap_or_else(|| route.host.to_string()),
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

/// The kind of a step, as its serialised form names it.
fn step_name(step: &Step) -> String {
    let value = serde_json::to_value(step).unwrap_or_default();
    value["step"].as_str().unwrap_or_default().to_owned()
}

/// The channel of the first SMTP service, which is where most mail comes from.
fn incoming_channel(config: &Config) -> String {
    let smtp = config.dispatcher.enabled().find(|s| s.program == Program::Smtp);
    let first = || config.channels.first().map(|channel| channel.name.clone());
    smtp.map(|service| service.channel.clone()).or_else(first).unwrap_or_default()
}

const ACCEPTED: &str = "250 2.1.5 recipient ok";
