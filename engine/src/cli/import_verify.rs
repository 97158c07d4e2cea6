//! `relais import --verify`: addresses under the configuration that was read and under the new one.

use std::{io::Write, path::Path};

use relais_config::Config;
use relais_import::sun::{SunRules, SunVerdict};

use super::{asked::Files, refusal::Refusal, route::each_listed};
use crate::{
    admin::{Stage, StageQuestion},
    api::StageExplained,
    show::Look,
};

/// The configuration that was read.
pub(super) enum Before {
    /// Its rules.
    Sun(SunRules),
}

/// An address under both.
struct Compared {
    before: Vec<String>,
    after: String,
    is_same: bool,
}

/// Prints the addresses that go another way; the answer is "no" when there are any.
pub(super) fn verify(
    before: &Before,
    config: &Config,
    list: &Path,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let mut addresses = Vec::new();
    each_listed(list, |address| {
        addresses.push(address.to_owned());
        Ok(())
    })?;
    let look = Look::of_stdout();
    let (mut differ, mut unclear) = (0, 0);
    for address in &addresses {
        let compared = match before {
            Before::Sun(rules) => rewritten(rules, config, address, files)?,
        };
        let Some(Compared { before, after, is_same }) = compared else {
            unclear += 1;
            writeln!(
                out,
                "{}",
                look.fit(&format!("{address}: cannot be told by the rules alone"))
            )?;
            continue;
        };
        if !is_same {
            differ += 1;
            let told =
                format!("{address}\n  before: {}\n  after:  {after}\n", before.join(", or "));
            out.write_all(look.fit(&told).as_bytes())?;
        }
    }
    let sums = format!(
        "{} addresses, {differ} go another way, {unclear} cannot be told; before: {}; after: the new file\n",
        addresses.len(),
        before.name(),
    );
    out.write_all(look.fit(&sums).as_bytes())?;
    if differ == 0 { Ok(()) } else { Err(Refusal::No) }
}

impl Before {
    fn name(&self) -> &'static str {
        match self {
            Self::Sun(_) => "the rules as they were read",
        }
    }
}

/// A recipient behind the rules of either side: channel and address.
fn rewritten(
    rules: &SunRules,
    config: &Config,
    address: &str,
    files: Files,
) -> Result<Option<Compared>, Refusal> {
    let channel = config.front_service().map(|service| service.channel.clone());
    let verdicts = rules.verdicts(address, channel.as_deref().unwrap_or("tcp_local"));
    if verdicts.iter().any(|verdict| matches!(verdict, SunVerdict::Unclear(_))) {
        return Ok(None);
    }
    let (input, stage) = (address.to_owned(), Stage::Rewrite);
    let question = StageQuestion { stage, input, channel, header: false, sender: false };
    let told = (files.stage)(config, &question).map_err(Refusal::WrongUse)?;
    let after = outcome(&told);
    let before: Vec<_> = verdicts.iter().map(said).collect();
    // Where the directory would decide and does not answer, either answer will do.
    let is_same = before.contains(&after) || before.len() > 1 && after.starts_with("451 4.4.3");
    Ok(Some(Compared { before, after, is_same }))
}

fn said(verdict: &SunVerdict) -> String {
    match verdict {
        SunVerdict::Channel { channel, address } => way(channel, address),
        SunVerdict::Unknown => REFUSED.to_owned(),
        SunVerdict::Unclear(why) => why.clone(),
    }
}

fn outcome(told: &StageExplained) -> String {
    let fact = |name: &str| told.facts.iter().find(|fact| fact.name == name).map(|its| &*its.value);
    match (fact("channel"), fact("address"), fact("reply")) {
        (Some(channel), Some(address), _) => way(channel, address),
        (_, _, Some(reply)) if reply.starts_with('5') => REFUSED.to_owned(),
        (_, _, reply) => reply.unwrap_or_default().to_owned(),
    }
}

/// A channel and an address, whose domain has no case.
fn way(channel: &str, address: &str) -> String {
    match address.rsplit_once('@') {
        Some((start, domain)) => format!("{channel} as {start}@{}", domain.to_ascii_lowercase()),
        None => format!("{channel} as {address}"),
    }
}

const REFUSED: &str = "refused";
