//! A look at a destination as its mail would meet it, without any mail: what it publishes about TLS, and a
//! connection to each of its servers up to the first message.

use std::net::SocketAddr;

use serde::Serialize;

use super::{
    Errand, Outbound,
    outbound::Left,
    owed::DestinationTls,
    site::{ChosenBy, Finder, Pace, Race, Reached, Server, Site},
};
use crate::{
    mail::{Dialect, Enhanced, NextHop, Reply, SiteTrouble},
    tls_policy::PublishedWords,
};

/// A destination, what it is owed, and how its servers keep to it.
#[derive(Clone, Debug, Serialize)]
pub struct ProbedDestination {
    /// Its domain, or the host of the configuration.
    pub name: String,
    /// Its servers are found by MX records.
    pub by_mx: bool,
    /// Why it has no servers.
    pub trouble: Option<String>,
    /// The key of the operator's entry.
    pub entry: Option<String>,
    /// Its policies, as far as the channel looks for them.
    #[serde(flatten)]
    pub published: PublishedWords,
    /// In the order in which they are asked.
    pub servers: Vec<ProbedServer>,
    /// Servers that are not asked, and why.
    pub left_out: Vec<String>,
}

/// One address of a server.
#[derive(Clone, Debug, Serialize)]
pub struct ProbedServer {
    /// Its name.
    pub host: String,
    /// Of its MX record.
    pub preference: u16,
    /// Where it was connected to.
    pub address: SocketAddr,
    /// Its TLSA records that are proved, or why there are none, where DANE is looked for.
    pub dane: Vec<String>,
    /// The requirement, and why; absent where it gets no mail.
    pub owed: Option<String>,
    /// Mail would be handed over.
    pub is_met: bool,
    /// The connection: `TLSv1.3 TLS_AES_256_GCM_SHA384, verified; DANE`, or why there is none.
    pub outcome: String,
}

impl Outbound {
    /// Looks at a domain, at most so many of the addresses of its servers.
    pub async fn probe(&self, domain: &str, most: usize) -> ProbedDestination {
        let mut probed = ProbedDestination::nothing(domain);
        if let Err(trouble) = self.look_at(domain, most, &mut probed).await {
            probed.trouble = Some(trouble.to_string());
        }
        probed
    }

    async fn look_at(
        &self,
        domain: &str,
        most: usize,
        probed: &mut ProbedDestination,
    ) -> Result<(), SiteTrouble> {
        let hop: NextHop = domain.parse().map_err(|_| SiteTrouble::deferred(NO_NAME))?;
        if let (Some(policy), NextHop::Host { name, .. }) = (&self.security.tls, &hop) {
            probed.entry = policy.rules.table.find(name).map(|its| its.pattern.clone());
        }
        let by_smtp = self.dialect == Dialect::Smtp;
        let chosen_by = if by_smtp { ChosenBy::Recipient } else { ChosenBy::Configuration };
        let finder = self.finder()?;
        let site = self.site(&hop, chosen_by, &finder).await?;
        let errand = Errand { chosen_by, ..Errand::USUAL };
        let tls = match &self.security.tls {
            Some(tls) => tls.destination(&site, errand).await,
            None => DestinationTls::default(),
        };
        probed.by_mx = site.by_mx;
        probed.left_out =
            site.left_out.iter().map(|its| format!("{}: {}", its.who, its.why)).collect();
        if self.security.tls.is_some() {
            probed.published = tls.facts.published_words();
        }
        for server in site.servers.iter().take(most) {
            probed.servers.push(self.probe_server(&hop, (&site, server, &tls), &finder).await);
        }
        Ok(())
    }

    async fn probe_server(
        &self,
        hop: &NextHop,
        (site, server, tls): (&Site, &Server, &DestinationTls),
        finder: &Finder,
    ) -> ProbedServer {
        let mut probed = ProbedServer {
            host: server.host.to_string(),
            preference: server.preference,
            address: server.address,
            dane: Vec::new(),
            owed: None,
            is_met: false,
            outcome: String::new(),
        };
        if let Some(policy) = &self.security.tls {
            let place = (&*server.host, server.address.port());
            let found = policy.policies.dane(&policy.rules, &tls.facts, place).await;
            probed.dane = found.words();
            match policy.requirement(tls, Some(server)).await {
                Ok(owed) => probed.owed = Some(owed.to_string()),
                Err(barred) => {
                    probed.outcome = barred.to_string();
                    return probed;
                }
            }
        }
        let pace = Pace::of(self.settings.connect_time);
        let mut race = Race::new(vec![server.clone()], (pace, false), &finder.sources);
        let called = race.next(|server| Some(server.address)).await;
        let outcome = match called {
            Some(Ok(Reached { stream, .. })) => self
                .connect_tcp(hop, (site, server, tls), stream)
                .await
                .map_err(|left| match left {
                    Left::Unreachable(trouble) | Left::Answered(trouble) => trouble.to_string(),
                }),
            Some(Err((_, lost))) => Err(format!("connect: {lost}")),
            None => Err("connect: there is nobody".to_owned()),
        };
        match outcome {
            Ok(connection) => {
                probed.is_met = true;
                let words = connection.protection().map(ToString::to_string);
                probed.outcome = words.unwrap_or_else(|| "in clear".to_owned());
                connection.quit().await;
            }
            Err(why) => probed.outcome = why,
        }
        probed
    }
}

impl ProbedDestination {
    fn nothing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            by_mx: false,
            trouble: None,
            entry: None,
            published: PublishedWords::default(),
            servers: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

const NO_NAME: Reply = Reply::new(550, Enhanced(5, 1, 2), "it is neither a domain nor a host");
