//! The answer of the front door to a client, and which entry of which table says so.

use relais_actors::{
    actor::Gone,
    front::dns_lists::{DnsLists, ListAnswer, refusal_line},
    router::{
        Access, Explain, Poster, RouterHandle, Routes, Ruling, Step, Submission, TcpEnds,
        internal_ruling, own_postmaster, parting_lines, port_access,
    },
};
use relais_channels::mail::Address;
use relais_config::{
    Channel, Config, Service, dispatcher::Program, facts::Facts, suggest, tls::Insist,
};

use super::{
    srs::restored,
    switching::{Switching, switching},
    tables::{ends_at, facts_asked},
};
use crate::{
    admin::{AccessQuestion, Nonsense},
    api::{AccessExplained, AccessStep},
};

/// A client on its way in.
struct Visit<'a> {
    config: &'a Config,
    router: &'a RouterHandle,
    service: &'a Service,
    ends: TcpEnds,
    question: &'a AccessQuestion,
    facts: Facts,
    /// The channel that its mail comes in by.
    source_channel: String,
    steps: Vec<AccessStep>,
    /// `INTERNAL_IP` vouches for it.
    is_internal: bool,
}

/// The last reply that the client reads, and whether it is welcome.
type Said = (bool, String);

/// Asks every table as far as the question goes. The outer error: the router is gone.
pub(super) async fn test_access(
    config: &Config,
    router: &RouterHandle,
    question: &AccessQuestion,
) -> Result<Result<AccessExplained, Nonsense>, Gone> {
    let (service, ends) = match door(config, question) {
        Ok(found) => found,
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let facts = match facts_asked(question.spf.as_deref(), question.spf_helo.as_deref()) {
        Ok(facts) => facts,
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let mut visit = Visit {
        config,
        router,
        service,
        ends,
        question,
        facts,
        source_channel: service.channel.clone(),
        steps: Vec::new(),
        is_internal: false,
    };
    let now = router.cache.routes();
    let said = match visit.connect(&now).await {
        Err(said) => said,
        Ok(greeting) => match visit.switch().await?.mail().await {
            Err(said) => said,
            Ok(None) => (true, greeting),
            Ok(Some(taken)) => visit.rcpt().await?.unwrap_or((true, taken)),
        },
    };
    Ok(Ok(visit.explained(&now, said)))
}

/// The service that is asked about, and both ends of the connection.
fn door<'a>(
    config: &'a Config,
    question: &AccessQuestion,
) -> Result<(&'a Service, TcpEnds), Nonsense> {
    let services = &config.dispatcher.services;
    let found = match &question.service {
        Some(name) => services.iter().find(|its| its.name.eq_ignore_ascii_case(name)),
        None => config.front_service().or(services.first()),
    };
    let Some(service) = found else {
        let known: Vec<_> = services.iter().map(|its| its.name.as_str()).collect();
        let name = question.service.as_deref().unwrap_or_default();
        let known = suggest(name, &known, "there are:");
        return Err(Nonsense(format!("there is no service {name:?}; {known}")));
    };
    if !service.enable {
        let name = &service.name;
        return Err(Nonsense(format!("service {name} is off (enable: false): it has no clients")));
    }
    let Some(ends) = ends_at(service, question.client) else {
        let name = &service.name;
        return Err(Nonsense(format!("service {name} listens on no port: it has no such clients")));
    };
    if question.from.is_some() && service.program != Program::Smtp {
        let name = &service.name;
        return Err(Nonsense(format!("service {name} asks no table about senders and recipients")));
    }
    Ok((service, ends))
}

impl Visit<'_> {
    /// Up to the greeting, or what stands in its place.
    async fn connect(&mut self, routes: &Routes) -> Result<String, Said> {
        let ruling = port_access(routes, self.ends, true);
        let matched = ruling.as_ref().is_some_and(|ruling| ruling.entry.is_some());
        if let Some(ruling) = ruling {
            self.note(&ruling);
            if let Access::Reject(text) = ruling.access {
                return Err((false, parting_lines(&text).replace("\r\n", "\n")));
            }
        }
        if let Some(ruling) = internal_ruling(routes, self.question.client) {
            self.is_internal = ruling.access == Access::Accept;
            self.note(&ruling);
        }
        if !matched && !self.is_internal {
            self.look_up().await?;
        }
        Ok(format!("220 {}", self.config.host))
    }

    /// Goes on in the channel that the client's address leads to.
    async fn switch(&mut self) -> Result<&mut Self, Gone> {
        let client = self.question.client;
        let from = (&*self.source_channel, client);
        let Switching { channel, verdict, .. } = switching(self.config, self.router, from).await?;
        self.source_channel = channel;
        self.steps.extend(verdict.map(|verdict| AccessStep {
            table: "switchchannel".to_owned(),
            probe: client.to_string(),
            entry: None,
            verdict,
            is_refusal: false,
        }));
        if self.is_secured() {
            self.follow("tlsswitchchannel", |its| its.tlsswitchchannel.as_ref());
        }
        if self.question.user.is_some() {
            self.follow("saslswitchchannel", |its| its.saslswitchchannel.as_ref());
        }
        Ok(self)
    }

    /// Goes on in the channel that a setting of the present one names.
    fn follow(&mut self, setting: &str, next: impl Fn(&Channel) -> Option<&String>) {
        let Some(next) = self.channel().and_then(next).cloned() else { return };
        let verdict = format!("it leads from {} to {next}", self.source_channel);
        self.steps.push(AccessStep {
            table: setting.to_owned(),
            probe: self.question.client.to_string(),
            entry: None,
            verdict,
            is_refusal: false,
        });
        self.source_channel = next;
    }

    /// The channel that mail comes in by.
    fn channel(&self) -> Option<&Channel> {
        self.config.channels.iter().find(|its| its.name == self.source_channel)
    }

    /// Whether TLS protects the connection: as asked, or by the only ports that there are.
    fn is_secured(&self) -> bool {
        self.question.tls || self.service.ports.is_empty()
    }

    /// Asks the block lists of the service.
    async fn look_up(&mut self) -> Result<(), Said> {
        let lists = DnsLists::of(&self.service.clients, &self.config.dns.servers);
        let Ok(Some(lists)) = lists else { return Ok(()) };
        let client = self.question.client;
        for (list, answer) in lists.ask(client).await {
            let is_refusal = matches!(answer, ListAnswer::Listed(_));
            self.steps.push(AccessStep {
                table: list.clone(),
                probe: client.to_string(),
                entry: None,
                verdict: answer.to_string(),
                is_refusal,
            });
            if let ListAnswer::Listed(reason) = answer {
                return Err((false, refusal_line(client, &list, reason.as_deref())));
            }
        }
        Ok(())
    }

    /// The reply to MAIL, if there is one.
    async fn mail(&mut self) -> Result<Option<String>, Said> {
        let AccessQuestion { from, to, hello, .. } = self.question;
        if from.is_none() && to.is_none() {
            return Ok(None);
        }
        self.insists()?;
        let sender = from.as_deref().unwrap_or_default();
        self.is_sender(sender)?;
        let authenticated = self.question.user.as_deref().unwrap_or_default();
        let facts = self.facts;
        let submission = Submission { ends: Some(self.ends), hello, authenticated, facts };
        let asked = (self.source_channel.as_str(), sender);
        let ruling = self.router.from_access(asked, submission, true).await;
        if let Some(ruling) = ruling.map_err(|reply| (false, reply.to_string()))? {
            self.note(&ruling);
            if let Some(reply) = ruling.access.reply() {
                return Err((false, reply.to_string()));
            }
        }
        Ok(Some("250 2.1.0 sender ok".to_owned()))
    }

    /// TLS and a login, where the channel takes no mail without.
    fn insists(&self) -> Result<(), Said> {
        let Some(channel) = self.channel() else { return Ok(()) };
        if channel.tls.server == Insist::Must && !self.is_secured() {
            return Err((false, "530 5.7.0 STARTTLS first (--tls)".to_owned()));
        }
        if channel.sasl.server == Insist::Must && self.question.user.is_none() {
            return Err((false, "530 5.7.0 AUTH first (--user NAME)".to_owned()));
        }
        Ok(())
    }

    /// Whether a session takes this for a sender.
    fn is_sender(&self, sender: &str) -> Result<(), Said> {
        if sender.is_empty() {
            return Ok(());
        }
        match Address::parse(sender) {
            Err(error) => Err((false, format!("501 5.1.7 {error}"))),
            Ok(address) if address.domain().is_none() && !self.may_relay() => {
                Err((false, "501 5.1.7 the sender address has no domain".to_owned()))
            }
            Ok(_) => Ok(()),
        }
    }

    fn may_relay(&self) -> bool {
        self.is_internal || self.question.user.is_some()
    }

    /// The reply to RCPT, if there is one.
    async fn rcpt(&mut self) -> Result<Option<Said>, Gone> {
        let Some(to) = &self.question.to else { return Ok(None) };
        let address = match Address::parse(to) {
            Ok(address) => {
                let own = own_postmaster(&address, |ip| self.ends.server.ip() == ip);
                own.unwrap_or(address)
            }
            Err(error) => return Ok(Some((false, format!("501 5.1.3 {error}")))),
        };
        let (address, may_relay) = match restored(self.config, &address) {
            None => (address, self.may_relay()),
            Some(Ok(sender)) => (sender, true),
            Some(Err(why)) => return Ok(Some((false, format!("550 5.1.1 {why}")))),
        };
        let routing = self.router.explain(Explain {
            address,
            sender: self.question.from.clone().unwrap_or_default(),
            source_channel: self.source_channel.clone(),
            may_relay,
            poster: Poster::Client,
            header: false,
            ends: Some(self.ends),
            hello: self.question.hello.clone(),
            authenticated: self.question.user.clone().unwrap_or_default(),
            facts: self.facts,
            is_brief: false,
        });
        let routing = routing.await?;
        for step in &routing.steps {
            if let Step::Access { table, probe, entry, verdict, is_refusal } = step {
                self.steps.push(AccessStep {
                    table: (*table).to_owned(),
                    probe: probe.clone(),
                    entry: entry.map(|n| n + 1),
                    verdict: verdict.clone(),
                    is_refusal: *is_refusal,
                });
            }
        }
        Ok(Some(match routing.outcome {
            Ok(_) => (true, "250 2.1.5 recipient ok".to_owned()),
            Err(reply) => (false, reply.to_string()),
        }))
    }

    fn note(&mut self, ruling: &Ruling) {
        self.steps.push(AccessStep {
            table: ruling.table.to_owned(),
            probe: ruling.probe.clone(),
            entry: ruling.entry.map(|n| n + 1),
            verdict: ruling.to_string(),
            is_refusal: matches!(ruling.access, Access::Reject(_)) && ruling.table != "INTERNAL_IP",
        });
    }

    fn explained(self, routes: &Routes, (accepted, reply): Said) -> AccessExplained {
        let refusing = |step: &&AccessStep| step.is_refusal;
        // INTERNAL_IP lets in or keeps out nobody.
        let deciding = |step: &&AccessStep| step.entry.is_some() && step.table != "INTERNAL_IP";
        let steps = self.steps.iter().rev();
        let decides =
            if accepted { steps.clone().find(deciding) } else { steps.clone().find(refusing) };
        let tables = routes.tables_looked_at();
        let text = decides.and_then(|step| {
            tables.table(&step.table)?.entries.get(step.entry?.checked_sub(1)?).cloned()
        });
        AccessExplained {
            client: self.question.client,
            service: self.service.name.clone(),
            accepted,
            reply,
            table: decides.map(|step| step.table.clone()),
            entry: decides.and_then(|step| step.entry),
            text,
            steps: self.steps,
            asked: String::new(),
        }
    }
}
