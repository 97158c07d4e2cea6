//! Aliases: whom an address of the local channel stands for.
//!
//! The directory is asked first, then the alias file: an address that the directory has is never
//! taken from the file.

use std::{sync::Arc, time::SystemTime};

use relais_channels::mail::Address;
use tracing::warn;

use super::{
    refusal::Refusal,
    routes::Routes,
    step::{Step, Trace},
};
use crate::directory::{Domain, Entry, EntryError, Lookup, Request, Target, evaluate};

/// The names under which one address is looked for.
struct Names<'a> {
    /// Local part without quotes, in lower case.
    local: String,
    /// The same without its subaddress.
    name: Option<String>,
    /// The subaddress as it was written.
    subaddress: Option<&'a str>,
    /// In lower case.
    domain: String,
}

impl Routes {
    /// What the address stands for.
    pub(super) async fn expand_alias(
        &self,
        address: &Address,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Result<Vec<String>, Refusal> {
        let unquoted = address.unquoted_local();
        let names = Names::of(&unquoted, address, &self.delimiter);
        let domain = lookup.domain(&names.domain).await?;
        trace.note(|| Step::Domain {
            domain: names.domain.clone(),
            found: domain.as_ref().map(|domain| domain.name.clone()),
        });
        if let Some(domain) = &domain {
            let found = self.in_directory(address, &names, domain, lookup, trace).await?;
            if let Some(targets) = found {
                return Ok(targets);
            }
        }
        if let Some(targets) = self.in_aliases(&names, trace)? {
            return Ok(targets);
        }
        // Every host of ours has a postmaster (RFC 5321 section 4.5.1).
        if names.local == "postmaster" && names.domain != self.completion {
            return Ok(vec![format!("postmaster@{}", self.completion)]);
        }
        Err(if self.has_transport { Refusal::Transport } else { Refusal::UnknownAlias })
    }

    /// `None`: the directory knows nothing of it.
    async fn in_directory(
        &self,
        address: &Address,
        names: &Names<'_>,
        domain: &Arc<Domain>,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Result<Option<Vec<String>>, Refusal> {
        for (probe, subaddress) in names.probes() {
            let entry = find(domain, &probe, lookup, trace).await?;
            let Some(entry) = entry else { continue };
            return self
                .evaluate(address, subaddress, domain, &entry, lookup, trace)
                .await
                .map(Some);
        }
        let replaced = |attribute: &'static str| domain.entry.first(attribute);
        if let Some(catch_all) = replaced("maildomaincatchalladdress") {
            return Ok(Some(instead("mailDomainCatchallAddress", catch_all.to_owned(), trace)));
        }
        if let Some(host) = replaced("mailroutingsmarthost") {
            let routed = format!("@{host}:{}", address.mailbox());
            return Ok(Some(instead("mailRoutingSmartHost", routed, trace)));
        }
        // An entry may be there for everybody else of its domain.
        let everybody = format!("@{}", names.domain);
        match find(domain, &everybody, lookup, trace).await? {
            Some(entry) => {
                self.evaluate(address, None, domain, &entry, lookup, trace).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn evaluate(
        &self,
        address: &Address,
        subaddress: Option<&str>,
        domain: &Domain,
        entry: &Entry,
        lookup: &impl Lookup,
        trace: &mut Trace,
    ) -> Result<Vec<String>, Refusal> {
        let request = Request { address, subaddress, domain, now: SystemTime::now() };
        let applied = evaluate(&self.policy, entry, &request).inspect_err(|error| {
            warn!(dn = ?entry.dn, %error, "a directory entry takes no mail");
        })?;
        let mut all = Vec::new();
        for applied in applied {
            let (targets, failure) = match applied.targets {
                Ok(targets) => (targets, None),
                Err(failure) => (Vec::new(), Some(failure)),
            };
            let before = all.len();
            for target in targets {
                all.extend(address_of(target, lookup).await?);
            }
            trace.note(|| Step::Option {
                option: applied.option.to_owned(),
                targets: all[before..].to_vec(),
                failure: failure.map(|failure| failure.to_string()),
            });
        }
        Ok(all)
    }

    fn in_aliases(
        &self,
        names: &Names<'_>,
        trace: &mut Trace,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let with_domain = names.probes().map(|(probe, _)| probe);
        let bare = [Some(names.local.clone()), names.name.clone()].into_iter().flatten();
        let found = with_domain.chain(bare).find_map(|probe| self.aliases.get(&probe));
        let Some(targets) = found else { return Ok(None) };
        trace.note(|| Step::Alias { source: "aliases", targets: targets.clone() });
        let special = |target: &&String| target.starts_with(['|', '/', ':']);
        match targets.iter().find(special) {
            Some(target) => Err(Refusal::Alias(target.clone())),
            None => Ok(Some(targets.clone())),
        }
    }
}

impl<'a> Names<'a> {
    fn of(unquoted: &'a str, address: &Address, delimiter: &str) -> Self {
        // A delimiter at the beginning is part of the name.
        let detail = unquoted
            .find(delimiter)
            .filter(|at| *at > 0 && !delimiter.is_empty())
            .map(|at| (&unquoted[..at], &unquoted[at + delimiter.len()..]));
        Self {
            local: unquoted.to_ascii_lowercase(),
            name: detail.map(|(name, _)| name.to_ascii_lowercase()),
            subaddress: detail.map(|(_, subaddress)| subaddress).filter(|text| !text.is_empty()),
            domain: address.domain().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase(),
        }
    }

    /// `name+sub`, `name+*`, `name`, each with what is left as subaddress.
    fn probes(&self) -> impl Iterator<Item = (String, Option<&'a str>)> {
        let domain = &self.domain;
        let exact = (format!("{}@{domain}", self.local), None);
        let relaxed = self.name.as_ref().map(|name| {
            let sub = self.subaddress;
            [(format!("{name}+*@{domain}"), sub), (format!("{name}@{domain}"), sub)]
        });
        [exact].into_iter().chain(relaxed.into_iter().flatten())
    }
}

/// The one mail entry with this address.
async fn find(
    domain: &Arc<Domain>,
    address: &str,
    lookup: &impl Lookup,
    trace: &mut Trace,
) -> Result<Option<Arc<Entry>>, Refusal> {
    let mut entries = lookup.entries(domain, address).await?;
    trace.note(|| Step::Entries {
        address: address.to_owned(),
        found: entries.iter().map(|entry| entry.dn.clone()).collect(),
    });
    entries.retain(|entry| entry.is_mail());
    match entries.len() {
        0 | 1 => Ok(entries.pop()),
        count => {
            warn!(?address, count, "several directory entries have one address");
            Err(EntryError::Ambiguous(count).into())
        }
    }
}

/// Members of a group by name are asked for their address; those without are passed over.
async fn address_of(target: Target, lookup: &impl Lookup) -> Result<Option<String>, Refusal> {
    let dn = match target {
        Target::Address(address) => return Ok(Some(address)),
        Target::Member(dn) => dn,
    };
    let entry = lookup.entry(&dn).await?;
    let address = entry.and_then(|entry| entry.first("mail").map(str::to_owned));
    if address.is_none() {
        warn!(?dn, "a group's member has no mail address");
    }
    Ok(address)
}

fn instead(source: &'static str, target: String, trace: &mut Trace) -> Vec<String> {
    trace.note(|| Step::Alias { source, targets: vec![target.clone()] });
    vec![target]
}
