//! Stages of routing probed by hand, one at a time: rewriting, aliases, delivery options, look-ups in the
//! directory. Nothing is remembered of it, and nobody's mail depends on it.

use std::{sync::Arc, time::SystemTime};

use relais_channels::mail::{Address, Reply};
use relais_config::{
    delivery_option::OptionFlags,
    facts::Facts,
    grammar::folded,
    lookup_url::{LookupUrl, UrlQuery},
    template::TemplateError,
};

use super::{
    RouterHandle,
    alias::Aliases,
    posting::AskedLists,
    refusal::Refusal,
    rewrite::{Purpose, Rewriter},
    routes::{Question, Routes},
    steps::{Step, Trace},
    virtual_alias::VirtualAliases,
};
use crate::directory::{
    Applied, DirectoryHandle, Domain, Entry, EntryError, Kind, Lookup, MemberSearch, MemberUrl,
    Request, Target, evaluate,
};

/// The outcome of one stage.
#[derive(Clone, Debug, Default)]
pub struct Probed {
    /// The steps that led there.
    pub steps: Vec<Step>,
    /// The outcome, by name, in order.
    pub facts: Vec<(&'static str, String)>,
    /// Something came of it.
    pub passed: bool,
}

/// The kind of an address that is rewritten by hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressKind {
    /// It stands in a header.
    pub header: bool,
    /// A sender, and not a recipient.
    pub sender: bool,
}

/// Key to an entry or a value of the directory.
#[derive(Clone, Debug)]
pub enum Sought {
    /// An address, as for mail.
    Address(Address),
    /// A URL without sequences.
    Url(UrlQuery),
    /// The search of a list.
    Members(MemberSearch),
}

impl Sought {
    /// A URL that somebody typed.
    pub fn url(text: &str) -> Result<Self, TemplateError> {
        // Look-ups by URL need an attribute; searches of lists have one of their own.
        if text.split('?').nth(1).is_some_and(str::is_empty) {
            let accepted = || "ldap:///BASE?ATTRIBUTE?SCOPE?FILTER".to_owned();
            let bad = |message| TemplateError { offset: 0, message, accepted: accepted() };
            if let MemberUrl::Search(search) = MemberUrl::parse(text).map_err(bad)? {
                return Ok(Self::Members(search));
            }
        }
        let url = LookupUrl::<()>::plain(text)?;
        let filled = url.filled(|()| Ok::<_, TemplateError>("".into()))?;
        let too_long = || TemplateError {
            offset: 0,
            message: "the URL is too long".to_owned(),
            accepted: "1,024 octets".to_owned(),
        };
        filled.map(Self::Url).ok_or_else(too_long)
    }
}

impl RouterHandle {
    /// Rewrites an address of mail that comes in by a channel.
    pub async fn rewrite_by_hand(
        &self,
        address: Address,
        AddressKind { header, sender }: AddressKind,
        channel: &str,
    ) -> Probed {
        let (routes, lookup) = (self.cache.routes(), self.directory.told());
        let mut trace = Trace::new(true, lookup.log());
        let purpose = Purpose {
            envelope: !header,
            forward: !sender,
            source: channel,
            destination: None,
            reprocessed: false,
            facts: Facts::default(),
        };
        let rewriter = Rewriter::new(&routes, &lookup, purpose, &mut trace);
        let rewritten = rewriter.rewrite(address).await;
        let mut probed = Probed::default();
        match rewritten {
            Ok(rewritten) => {
                let channel = rewritten.channel.map(|n| routes.channels[n].name.clone());
                probed.passed = channel.is_some();
                if !probed.passed {
                    let refusal = rewritten.error.map_or(Refusal::UnknownHost, Refusal::Text);
                    probed.facts.push(("reply", refusal.reply().to_string()));
                }
                let is_ours = if rewritten.unclaimed { "no rule of its own" } else { "a rule" };
                probed.facts.push(("claimed by", is_ours.to_owned()));
                probed.facts.push(("tag", rewritten.tag));
                probed.facts.push(("channel", channel.unwrap_or_else(|| "none".to_owned())));
                probed.facts.push(("address", rewritten.address.to_string()));
            }
            Err(refusal) => probed.facts.push(("reply", refusal.reply().to_string())),
        }
        Probed { steps: trace.into_steps(), ..probed }
    }

    /// The addresses that an address of ours stands for, one level deep. `None`: there is no local
    /// channel.
    pub async fn alias_by_hand(&self, address: &Address, source: &str) -> Option<Probed> {
        let (routes, lookup) = (self.cache.routes(), self.directory.told());
        let channel = &routes.channels[routes.local?];
        let mut trace = Trace::new(true, lookup.log());
        let purpose = Purpose {
            envelope: true,
            forward: true,
            source,
            destination: None,
            reprocessed: false,
            facts: Facts::default(),
        };
        let completed = completed(address, &routes);
        let is_plain = false;
        let aliases =
            VirtualAliases { routes: &routes, lookup: &lookup, purpose, trace: &mut trace };
        let found = match aliases.expand(&completed).await {
            Ok(Some(addresses)) => Ok(Some(addresses)),
            Err(refusal) => Err(refusal),
            Ok(None) => {
                let (routes, lookup, question) =
                    (&*routes, &lookup, &Question::of_nobody(&completed, source));
                let (depth, asked, trace) = (0, &mut AskedLists::default(), &mut trace);
                let aliases =
                    Aliases { routes, lookup, channel, question, depth, is_plain, asked, trace };
                let targets = aliases.targets(&completed).await;
                targets.map(|targets| {
                    targets.map(|targets| {
                        let addresses = targets.addresses.into_iter().map(|(address, _)| address);
                        addresses.chain(targets.missing).collect()
                    })
                })
            }
        };
        let (passed, facts) = match found {
            Ok(Some(targets)) => {
                (true, targets.into_iter().map(|target| ("stands for", target)).collect())
            }
            Ok(None) => (false, vec![("reply", Refusal::UnknownAlias.reply().to_string())]),
            Err(refusal) => (false, vec![("reply", refusal.reply().to_string())]),
        };
        Some(Probed { steps: trace.into_steps(), facts, passed })
    }

    /// The delivery options of the entry of an address, each active or why not.
    pub async fn options_by_hand(&self, address: &Address) -> Probed {
        let (routes, lookup) = (self.cache.routes(), self.directory.told());
        let mut trace = Trace::new(true, lookup.log());
        let found = find(&completed(address, &routes), &lookup, &mut trace).await;
        let mut probed = Probed::default();
        match found {
            Ok(Some((domain, entry))) => {
                let address = completed(address, &routes);
                let now = SystemTime::now();
                let (domain, subaddress, released, may_defer) = (&domain, None, false, false);
                let address = &address;
                let request = Request { address, subaddress, domain, now, released, may_defer };
                probed.facts.push(("entry", entry.dn.clone()));
                match evaluate(&routes.policy, &entry, &request) {
                    Ok(applied) => {
                        probed.passed = true;
                        tell_options(&routes, &entry, &applied, &mut trace);
                        let targets = applied.into_iter().filter_map(|its| its.targets.ok());
                        let leads = targets.flatten().map(|target| ("leads to", text_of(target)));
                        probed.facts.extend(leads);
                    }
                    Err(error) => {
                        let (dn, reason) = (entry.dn.clone(), error.to_string());
                        trace.note(|| Step::Unusable { dn, reason });
                        probed.facts.push(("reply", error.reply().to_string()));
                    }
                }
            }
            Ok(None) => probed.facts.push(("reply", Refusal::UnknownAlias.reply().to_string())),
            Err(reply) => probed.facts.push(("reply", reply.to_string())),
        }
        Probed { steps: trace.into_steps(), ..probed }
    }

    /// The entries that are found by an address, or the value by a URL, search by search.
    pub async fn look_up_by_hand(&self, sought: &Sought) -> Probed {
        let (routes, lookup) = (self.cache.routes(), self.directory.told());
        let mut trace = Trace::new(true, lookup.log());
        let mut probed = Probed::default();
        match sought {
            Sought::Url(query) => match lookup.url(query).await {
                Ok(value) => {
                    probed.passed = value.is_some();
                    let value = value.unwrap_or_else(|| "nothing".to_owned());
                    probed.facts.push(("value", value));
                }
                Err(error) => probed.facts.push(("failure", error.to_string())),
            },
            Sought::Members(search) => match lookup.found_by(search, &[]).await {
                Ok(found) => {
                    probed.passed = !found.is_empty();
                    probed.facts = members(search, &found);
                }
                Err(error) => probed.facts.push(("failure", error.to_string())),
            },
            Sought::Address(address) => {
                match find(&completed(address, &routes), &lookup, &mut trace).await {
                    Ok(Some((domain, entry))) => {
                        probed.passed = true;
                        probed.facts.push(("domain", domain.name.clone()));
                        probed.facts.push(("entry", entry.dn.clone()));
                    }
                    Ok(None) => probed.facts.push(("entry", "none".to_owned())),
                    Err(reply) => probed.facts.push(("failure", reply.to_string())),
                }
            }
        }
        Probed { steps: trace.into_steps(), ..probed }
    }
}

/// A bare name with the domain that it has here.
fn completed(address: &Address, routes: &Routes) -> Address {
    let whole = address.domain().is_none();
    let whole =
        whole.then(|| Address::parse(&format!("{}@{}", address.mailbox(), routes.completion)));
    whole.and_then(Result::ok).unwrap_or_else(|| address.clone())
}

/// The one entry of an address, by its own name alone.
async fn find(
    address: &Address,
    lookup: &DirectoryHandle,
    trace: &mut Trace,
) -> Result<Option<(Domain, Entry)>, Reply> {
    let failed = |error| Refusal::Lookup(error).reply();
    let name = address.domain().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let domain = lookup.domain(&name).await.map_err(failed)?;
    trace.note(|| Step::Domain {
        domain: name.clone(),
        found: domain.as_ref().map(|domain| domain.name.clone()),
    });
    let Some(domain) = domain else { return Ok(None) };
    let sought = format!("{}@{name}", folded(&address.unquoted_local()));
    let mut entries = lookup.entries(&domain, &sought).await.map_err(failed)?;
    trace.note(|| Step::Entries {
        address: sought,
        found: entries.iter().map(|entry| entry.dn.clone()).collect(),
    });
    if entries.len() > 1 {
        return Err(EntryError::Ambiguous(entries.len()).reply());
    }
    let domain = std::sync::Arc::unwrap_or_clone(domain);
    Ok(entries.pop().map(|entry| (domain, std::sync::Arc::unwrap_or_clone(entry))))
}

/// Tells each option of the configuration, and what took their place.
fn tell_options(routes: &Routes, entry: &Entry, applied: &[Applied<'_>], trace: &mut Trace) {
    for option in &routes.policy.options {
        let its = applied.iter().find(|its| its.option == option.text);
        trace.note(|| match its {
            Some(its) => told(its),
            None => Step::Option {
                option: option.text.clone(),
                targets: Vec::new(),
                failure: Some(why_not(option.flags, entry, applied)),
            },
        });
    }
    let is_configured =
        |its: &&Applied<'_>| routes.policy.options.iter().any(|option| option.text == its.option);
    for its in applied.iter().filter(|its| !is_configured(its)) {
        trace.note(|| told(its));
    }
}

fn told(applied: &Applied<'_>) -> Step {
    let (targets, failure) = match &applied.targets {
        Ok(targets) => (targets.iter().cloned().map(text_of).collect(), None),
        Err(failure) => (Vec::new(), Some(failure.to_string())),
    };
    Step::Option { option: applied.option.to_owned(), targets, failure }
}

fn why_not(flags: OptionFlags, entry: &Entry, applied: &[Applied<'_>]) -> String {
    let (is_suited, whose) = match Kind::of(entry) {
        Some(Kind::Group) => (flags.groups(), "users"),
        _ => (flags.users(), "groups"),
    };
    let named = entry.all("maildeliveryoption");
    match applied {
        _ if !is_suited => format!("it is for {whose} alone"),
        [elsewhere] if elsewhere.option.starts_with("mail") => {
            format!("{} has the mail dealt with elsewhere", elsewhere.option)
        }
        _ if named.is_empty() => "the entry names no option: the default counts".to_owned(),
        _ => format!("mailDeliveryOption is {}", named.join(", ")),
    }
}

/// The addresses of entries that a list's search finds, as many as can be read.
fn members(search: &MemberSearch, found: &[Arc<Entry>]) -> Vec<(&'static str, String)> {
    let addresses = found.iter().flat_map(|entry| search.addresses_of(entry));
    let named = addresses.take(MOST_TOLD).map(|address| ("member", address.clone()));
    let without = found.iter().filter(|entry| search.addresses_of(entry).is_empty());
    let without = without.take(MOST_TOLD).map(|entry| ("without an address", entry.dn.clone()));
    let count = found.len().to_string();
    named.chain(without).chain([("entries", count)]).collect()
}

fn text_of(target: Target) -> String {
    match target {
        Target::Address(address) => address,
        Target::Member(dn) => dn,
        Target::Search(search) => search.to_string(),
        Target::Later => "the reprocess channel".to_owned(),
    }
}

/// Members that are named of a search by hand.
const MOST_TOLD: usize = 100;
