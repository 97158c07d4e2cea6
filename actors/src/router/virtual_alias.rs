//! Virtual aliases, as Postfix's virtual(5) has them: addresses of any domain that stand for others,
//! replaced before anything else is asked, once for each recipient.
//!
//! A result is looked up again until it stands for itself or for nothing. What leads round in a circle
//! is refused as a whole, with the code that circles of directory entries have.

use std::collections::HashSet;

use relais_channels::mail::Address;
use relais_config::{
    channel::Program,
    grammar::{folded, table_key},
};

use super::{
    accounts::user_of,
    refusal::Refusal,
    rewrite::{Purpose, Rewriter},
    routes::Routes,
    steps::{Step, Trace},
};
use crate::directory::Lookup;

/// Looks for the addresses that a recipient stands for.
pub(super) struct VirtualAliases<'a, L> {
    pub(super) routes: &'a Routes,
    pub(super) lookup: &'a L,
    pub(super) purpose: Purpose<'a>,
    pub(super) trace: &'a mut Trace,
}

impl<L: Lookup> VirtualAliases<'_, L> {
    /// The addresses that a recipient stands for; `None`: nothing is known of it here.
    pub(super) async fn expand(self, address: &Address) -> Result<Option<Vec<String>>, Refusal> {
        let table = &self.routes.tables.virtual_alias;
        if table.is_empty() || address.route().next().is_some() {
            return Ok(None);
        }
        let Some(first) = self.results(address.as_str()).await? else {
            let domain = address.domain().unwrap_or_default().to_ascii_lowercase();
            // An entry for the domain alone says that all of its users are in the table.
            let is_known = !domain.is_empty() && table.has(&domain);
            return if is_known { Err(Refusal::UnknownAlias) } else { Ok(None) };
        };
        let mut ends_in_itself = HashSet::new();
        let mut list = vec![address.to_string()];
        let (mut at, mut first) = (0, Some(first));
        while at < list.len() {
            for passes in 0.. {
                let current = list[at].clone();
                if ends_in_itself.contains(&table_key(&current)) {
                    break;
                }
                let found = match first.take() {
                    Some(first) => Some(first),
                    None => self.results(&current).await?,
                };
                let Some(found) = found else { break };
                if passes == MAX_VIRTUAL || list.len() + found.len() > MAX_VIRTUAL {
                    return Err(Refusal::Virtual);
                }
                let key = table_key(&current);
                if found.iter().any(|result| table_key(result) == key) {
                    ends_in_itself.insert(key);
                }
                let mut found = found.into_iter();
                list[at] = found.next().unwrap_or(current);
                list.extend(found);
            }
            at += 1;
        }
        let mut seen = HashSet::new();
        list.retain(|address| seen.insert(table_key(address)));
        self.trace.note(|| Step::Alias { source: "virtual_alias", targets: list.clone() });
        Ok(Some(list))
    }

    /// The results of one look-up, in the order of virtual(5); never an empty list.
    async fn results(&self, address: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Ok(address) = Address::parse(address) else { return Ok(None) };
        let Routes { tables, completion, delimiter, .. } = self.routes;
        let table = &tables.virtual_alias;
        let (local, lower) = (address.local(), folded(address.local()));
        let domain = address.domain().unwrap_or(completion).trim_end_matches('.');
        let domain = domain.to_ascii_lowercase();
        let user = user_of(&lower, delimiter);
        let detail = user_of(local, delimiter).map_or("", |user| &local[user.len()..]);
        // The pattern, what of the local part it leaves over, and whether only local names have it.
        let probes = [
            (Some(format!("{lower}@{domain}")), "", false),
            (user.map(|user| format!("{user}@{domain}")), detail, false),
            (Some(lower.clone()), "", true),
            (user.map(str::to_owned), detail, true),
            (Some(format!("@{domain}")), "", false),
        ];
        for (pattern, rest, is_bare) in probes {
            let Some(found) = pattern.and_then(|pattern| table.get(&pattern)) else { continue };
            if is_bare && !self.is_local(&address).await? {
                continue;
            }
            let results =
                found.iter().enumerate().map(|(i, result)| match result.split_once('@') {
                    Some(("", _)) if i == 0 => format!("{local}{result}"),
                    Some((user, domain)) => format!("{user}{rest}@{domain}"),
                    None => format!("{result}{rest}"),
                });
            return Ok(Some(results.collect()).filter(|results: &Vec<_>| !results.is_empty()));
        }
        Ok(None)
    }

    /// Whether the local channel answers for an address.
    async fn is_local(&self, address: &Address) -> Result<bool, Refusal> {
        let (mut untold, routes) = (Trace::default(), self.routes);
        let rewriter = Rewriter::new(routes, self.lookup, self.purpose, &mut untold);
        let rewritten = rewriter.rewrite(address.clone()).await?;
        let channel = rewritten.channel.map(|n| &routes.channels[n]);
        Ok(channel.is_some_and(|channel| channel.program == Program::Local))
    }
}

/// Look-ups of one recipient, and results of it, as in Postfix.
const MAX_VIRTUAL: usize = 1_000;
