//! Address reversal: addresses that mail is from, as others are to see them.
//!
//! Asked in the original's order: the directory, the reverse database, and the mapping `REVERSE` for
//! what neither of them has. The first answer counts.

use std::borrow::Cow;

use relais_channels::mail::Address;
use relais_config::grammar::{folded, table_key};
use tracing::warn;

use super::{
    refusal::Refusal,
    reversing::Reversing,
    routes::Routes,
    steps::{Step, Trace},
    submission::{REVERSE, one_field},
};
use crate::directory::Lookup;

/// The address that others are to see in the place of this one; `None`: this one. An error passes: the
/// directory could not be asked.
pub(super) async fn reversed(
    routes: &Routes,
    lookup: &impl Lookup,
    address: &Address,
    (source, destination): (&str, &str),
    trace: &mut Trace,
) -> Result<Option<Address>, Refusal> {
    let Reversing { mapping, directory, by_channel, .. } = &routes.reversing;
    if *directory && let Some(primary) = primary(lookup, address, trace).await? {
        return Ok(Some(told("mail of the directory", primary, trace)));
    }
    let probe = |address: &str| -> String {
        if *by_channel {
            format!("{source}|{destination}|{}", one_field(address))
        } else {
            address.to_owned()
        }
    };
    let database = |address: &str| routes.tables.reverse.get(&probe(address));
    let (by, text) = if let Some(found) = database(address.mailbox()) {
        (DATABASE, Cow::Borrowed(found))
    } else {
        let Some(table) = routes.mapping(mapping.as_ref()) else { return Ok(None) };
        let tables = if trace.is_on() { routes.tables_looked_at() } else { routes.tables() };
        let mapped = table.lookup(&probe(address.mailbox()), &tables);
        let Some(mapped) = mapped.filter(|mapped| mapped.flags.has('Y')) else { return Ok(None) };
        let again = mapped.flags.has('D').then(|| database(&mapped.text)).flatten();
        again.map_or((REVERSE, Cow::Owned(mapped.text)), |found| (THROUGH, Cow::Borrowed(found)))
    };
    match Address::parse(&text) {
        Ok(new) if new.domain().is_some() && new.route().next().is_none() => {
            Ok((new != *address).then(|| told(by, new, trace)))
        }
        _ => {
            warn!(address = %address, result = ?text, "reversal leads to no address, and is left undone");
            Ok(None)
        }
    }
}

/// The `mail` of the entry that has this address as another one of its own. One that is merely
/// equivalent (`mailEquivalentAddress`) stays.
async fn primary(
    lookup: &impl Lookup,
    address: &Address,
    trace: &mut Trace,
) -> Result<Option<Address>, Refusal> {
    let Some(domain) = address.domain() else { return Ok(None) };
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let Some(found) = lookup.domain(&domain).await? else { return Ok(None) };
    let name = format!("{}@{domain}", folded(&address.unquoted_local()));
    let mut entries = lookup.entries(&found, &name).await?;
    trace.note(|| Step::Entries {
        address: name.clone(),
        found: entries.iter().map(|entry| entry.dn.clone()).collect(),
    });
    entries.retain(|entry| entry.is_mail());
    let [entry] = entries.as_slice() else { return Ok(None) };
    let equivalent = entry.all("mailequivalentaddress");
    if equivalent.iter().any(|other| table_key(other) == name) {
        return Ok(None);
    }
    let primary = entry.first("mail").and_then(|mail| Address::parse(mail).ok());
    Ok(primary.filter(|mail| table_key(mail.as_str()) != table_key(address.mailbox())))
}

fn told(by: &'static str, address: Address, trace: &mut Trace) -> Address {
    trace.note(|| Step::Reversed { by, address: address.to_string() });
    address
}

/// Sources of an address, as `relais route` names them.
const DATABASE: &str = "the reverse database";
const THROUGH: &str = "REVERSE and the reverse database";
