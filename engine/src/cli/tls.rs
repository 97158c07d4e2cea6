//! `relais tls`: which TLS a destination is owed and why, asked of name servers, of its web server, and of
//! its mail servers themselves. No engine need run.

use std::{fmt::Write as _, io::Write, sync::Arc};

use relais_actors::events::Printable;
use relais_channels::{
    client::{Finders, Outbound, ProbedDestination, Securities},
    tls_policy::TlsPolicies,
};
use relais_config::{Channel, Config, channel::Program};

use super::{
    arguments::TlsQuestion,
    exchange::{json, wait},
    refusal::Refusal,
    source::Source,
};
use crate::show::Look;

/// Looks, and tells; "no" when no server of the destination would get mail.
pub(super) fn tls(
    source: &Source,
    question: &TlsQuestion,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let (config, _) = source.load()?;
    let channel = channel_of(&config, question.channel.as_deref())?;
    let because = |error: String| Refusal::Because(error);
    let policies = TlsPolicies::of(&config, &Arc::default());
    let policies = policies.map_err(|error| because(format!("{}: {error}", error.field())))?;
    let policies = Arc::new(policies.read_only());
    let securities = Securities::load(&config, &policies);
    let securities = securities.map_err(|error| because(format!("{}: {error}", error.field)))?;
    let name = question.domain.trim_end_matches('.').to_ascii_lowercase();
    let probed = wait(async {
        let finders = Finders::of(&config).map_err(|error| because(error.to_string()))?;
        let outbound = Outbound::of(&config.host, channel)
            .protected(securities.of(&channel.name))
            .finding(finders.of_channel(&channel.name));
        Ok::<_, Refusal>(outbound.probe(&name, MOST_SERVERS).await)
    })??;
    if question.json {
        json(&probed, out)?;
    } else {
        out.write_all(Look::of_stdout().fit(&in_words(&probed, &channel.name)).as_bytes())?;
    }
    if probed.servers.iter().any(|server| server.is_met) { Ok(()) } else { Err(Refusal::No) }
}

/// The channel of this name; else the first of program Smtp that looks for what destinations publish, or
/// the first at all that leads to their hosts.
fn channel_of<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Channel, Refusal> {
    let connects = |its: &&Channel| matches!(its.program, Program::Lmtp | Program::Smtp);
    if let Some(name) = name {
        let found = config.channels.iter().filter(connects).find(|its| its.name == name);
        let none = || format!("no channel called {name:?} delivers by SMTP or LMTP");
        return found.ok_or_else(|| Refusal::Because(none()));
    }
    let smtp = || config.channels.iter().filter(|its| its.program == Program::Smtp);
    let looks = |its: &&Channel| its.tls.dane || its.tls.mta_sts || !its.tls.policies.is_empty();
    let free = |its: &&Channel| its.daemon.is_none();
    let found = smtp().find(looks).or_else(|| smtp().find(free)).or_else(|| smtp().next());
    found.ok_or_else(|| Refusal::Because("there is no channel of program Smtp".to_owned()))
}

fn in_words(probed: &ProbedDestination, channel: &str) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "{} by channel {channel}", Printable(&probed.name));
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<10}{}", Printable(value));
    };
    if let Some(trouble) = &probed.trouble {
        line("servers", trouble);
    }
    line("operator", probed.entry.as_deref().unwrap_or("no entry"));
    let published = &probed.published;
    if let Some(proof) = &published.mx_proof {
        line("DNSSEC", proof);
    }
    if let Some(id) = &published.mta_sts_id {
        line("MTA-STS", &format!("id {id}"));
    }
    published.mta_sts.iter().for_each(|policy| line("", policy));
    if let Some(fault) = &published.mta_sts_fault {
        line("MTA-STS", fault);
    }
    for server in &probed.servers {
        let (host, address) = (&server.host, server.address);
        line("server", &format!("{} {host} {address}", server.preference));
        server.dane.iter().for_each(|record| line("  TLSA", record));
        if let Some(owed) = &server.owed {
            line("  asked", owed);
        }
        let verdict = if server.is_met { "  mail goes" } else { "  no mail" };
        line(verdict, &format!(" {}", server.outcome));
    }
    probed.left_out.iter().for_each(|its| line("left out", its));
    text
}

/// Addresses that are connected to.
const MOST_SERVERS: usize = 20;
