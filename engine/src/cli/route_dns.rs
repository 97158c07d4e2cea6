//! `relais route --dns`: what name servers say of the next hops, and what their servers are owed of TLS.

use std::sync::Arc;

use relais_actors::channel_table::{chosen_by, next_hops};
use relais_channels::{
    client::{ChosenBy, Finders, Server, Site},
    mail::{NextHop, NextHops, TlsWish},
    tls_policy::{ChannelRules, DestinationFacts, TlsPolicies},
};
use relais_config::{Channel, Config, channel::Program};

use super::{exchange::wait, refusal::Refusal};
use crate::api::{RouteExplained, RouteLeftOut, RouteResult, RouteServer, RouteSite};

/// Asks name servers for the channels of a configuration.
pub(super) struct RouteSites {
    config: Config,
    finders: Finders,
    policies: TlsPolicies,
}

impl RouteSites {
    /// As this configuration says.
    pub(super) fn of(config: Config) -> Result<Self, Refusal> {
        let finders = Finders::of(&config).map_err(|error| Refusal::Because(error.to_string()))?;
        let policies = TlsPolicies::of(&config, &Arc::default());
        let policies = policies
            .map_err(|error| Refusal::Because(format!("{}: {error}", error.field())))?
            .read_only();
        Ok(Self { config, finders, policies })
    }

    /// Adds to each way what is found of its next hops now.
    pub(super) fn add_to(&self, explained: &mut RouteExplained) -> Result<(), Refusal> {
        for result in explained.ways_mut() {
            let named = self.config.channels.iter().find(|its| its.name == result.channel);
            let connects = |its: &&Channel| matches!(its.program, Program::Lmtp | Program::Smtp);
            if let Some(channel) = named.filter(connects) {
                result.dns = wait(self.sites(channel, result))?;
            }
        }
        Ok(())
    }

    async fn sites(&self, channel: &Channel, result: &RouteResult) -> Vec<RouteSite> {
        let finder = self.finders.of_channel(&channel.name);
        let rules = ChannelRules::of(channel, |file| self.config.path(file));
        let first = match channel.program {
            Program::Smtp => chosen_by(channel, &result.host, [&*result.address].into_iter()),
            _ => ChosenBy::Configuration,
        };
        let hops = next_hops(channel, &result.host);
        let mut sites = Vec::new();
        for (place, hop) in hops.iter().flat_map(NextHops::iter).enumerate() {
            let NextHop::Host { name, port } = hop else { continue };
            let chosen_by = if place == 0 { first } else { ChosenBy::Configuration };
            let port = port.unwrap_or(channel.next_hop_port());
            let found = finder.find(name, port, chosen_by, channel.connect_time).await;
            sites.push(match found {
                Ok(site) => self.site(&rules, &site, chosen_by).await,
                Err(none) => RouteSite {
                    name: name.clone(),
                    reply: Some(none.trouble(name, chosen_by).to_string()),
                    ..RouteSite::default()
                },
            });
        }
        sites
    }

    /// The servers of a next hop, with the TLS that they are owed.
    async fn site(&self, rules: &ChannelRules, site: &Site, chosen_by: ChosenBy) -> RouteSite {
        let is_by_mx = site.by_mx || chosen_by == ChosenBy::Recipient;
        let facts = if rules.speak_tls() {
            Some(self.policies.destination(rules, &site.name, is_by_mx).await)
        } else {
            None
        };
        let mut servers = Vec::new();
        for server in &site.servers {
            let tls = match &facts {
                Some(facts) => Some(self.owed(rules, facts, server).await),
                None => None,
            };
            servers.push(RouteServer {
                host: server.host.to_string(),
                address: server.address.to_string(),
                preference: site.by_mx.then_some(server.preference),
                tls,
            });
        }
        let left_out = site.left_out.iter();
        let left_out =
            left_out.map(|its| RouteLeftOut { who: its.who.clone(), why: its.why.clone() });
        RouteSite {
            name: site.name.to_string(),
            mx: site.by_mx,
            servers,
            left_out: left_out.collect(),
            reply: None,
        }
    }

    async fn owed(
        &self,
        rules: &ChannelRules,
        facts: &DestinationFacts,
        server: &Server,
    ) -> String {
        let place = (&*server.host, server.address.port());
        match self.policies.requirement(rules, facts, place, TlsWish::Usual).await {
            Ok(owed) => owed.to_string(),
            Err(barred) => format!("no mail: {barred}"),
        }
    }
}
