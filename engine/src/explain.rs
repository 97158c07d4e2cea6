//! How an address would be routed, from the configuration alone: nothing has to run for it.

use relais_actors::{
    channels::{Channels, default_port, next_hop},
    directory::Source,
    router::{Question, Route, Routes, Step},
    status::{RouteExplained, RouteResult, RouteStep},
};
use relais_channels::mail::{Address, NextHop, Reply};
use relais_config::{Config, dispatcher::Program};

use crate::admin::RouteQuestion;

/// Routes `question.address` for a stranger, telling each step: what is asked is what anybody's
/// mail would meet. `Err` when the configuration or the question makes no sense.
pub async fn route(config: &Config, question: &RouteQuestion) -> Result<RouteExplained, String> {
    let source_channel = match &question.channel {
        Some(name) if config.channels.iter().any(|channel| channel.name == *name) => name.clone(),
        Some(name) => {
            let known: Vec<_> = config.channels.iter().map(|c| c.name.as_str()).collect();
            return Err(format!("there is no channel {name:?}; there are: {}", known.join(", ")));
        }
        None => incoming_channel(config),
    };
    let address = match Address::parse(&question.address) {
        Ok(address) => address,
        Err(error) => return Ok(unparsed(&question.address, &error.to_string())),
    };
    let routes = Routes::new(config).map_err(|error| error.to_string())?;
    let directory = Source::open(config).map_err(|error| error.to_string())?;
    let asked = Question {
        address: &address,
        sender: question.from.as_deref().unwrap_or_default(),
        source_channel: &source_channel,
        may_relay: false,
        trace: true,
        header: question.header,
    };
    let routing = routes.route(&asked, &directory).await;
    let channels = Channels::of(config);
    let (accepted, reply, results) = match &routing.outcome {
        Ok(found) => {
            let results = found.iter().map(|route| result(&channels, route)).collect();
            (true, ACCEPTED.to_owned(), results)
        }
        Err(reply) => (false, reply.to_string(), Vec::new()),
    };
    let steps = routing
        .steps
        .iter()
        .map(|step| RouteStep { step: step_name(step), detail: step.to_string() });
    Ok(RouteExplained {
        input: question.address.clone(),
        accepted,
        reply,
        results,
        steps: steps.collect(),
    })
}

/// The same for callers that have no runtime.
pub fn route_blocking(config: &Config, question: &RouteQuestion) -> Result<RouteExplained, String> {
    actix::System::new().block_on(route(config, question))
}

fn result(channels: &Channels, route: &Route) -> RouteResult {
    let channel = channels.find(&route.channel).map(|id| channels.channel(id));
    let hop = channel.and_then(|channel| {
        let port = default_port(channel);
        next_hop(channel, &route.host).map(|hop| match hop {
            NextHop::Host { name, port: None } => format!("{name}:{port}"),
            NextHop::Ip { address, port: None } => format!("[{address}]:{port}"),
            other => other.to_string(),
        })
    });
    RouteResult {
        address: route.address.clone(),
        channel: route.channel.clone(),
        tag: route.tag.clone(),
        next_hop: hop.unwrap_or_else(|| route.host.clone()),
    }
}

fn unparsed(input: &str, error: &str) -> RouteExplained {
    let reply = Reply::with_text(501, relais_channels::mail::Enhanced(5, 1, 3), error.to_owned());
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
    let smtp = config.dispatcher.services.iter().find(|s| s.program == Program::Smtp);
    let first = || config.channels.first().map(|channel| channel.name.clone());
    smtp.map(|service| service.channel.clone()).or_else(first).unwrap_or_default()
}

const ACCEPTED: &str = "250 2.1.5 recipient ok";
