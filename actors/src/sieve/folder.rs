//! The way into a folder: the address that the channel's `fileinto` makes of a mailbox and a folder.

use std::{borrow::Cow, sync::Arc};

use relais_channels::mail::{Address, written_local};
use relais_config::delivery_option::Value;

use crate::{
    directory::fill,
    router::{Route, Routes},
};

/// The way to a folder of the mailbox that `way` leads to. `None`: it is the INBOX, or the channel has no
/// `fileinto`, and mail stays there.
pub(super) fn into_folder(routes: &Routes, way: &Route, folder: &str) -> Option<Route> {
    let folder = folder.trim_matches('/');
    if folder.is_empty() || folder.eq_ignore_ascii_case(INBOX) {
        return None;
    }
    let template = routes.folder_address(&way.channel, folder)?;
    let address = Address::parse(&way.address).ok()?;
    let local = address.unquoted_local();
    // The user's own subaddress gives way to the folder.
    let user = local.split(routes.delimiter()).next().unwrap_or(&local);
    let route = route_of(&address);
    let value = |value| match value {
        Value::Local => Some(Cow::Borrowed(user)),
        Value::Subaddress => Some(Cow::Borrowed(folder)),
        Value::Route => route.map(Cow::Borrowed),
        // A mailbox of the default domain has none: it goes again below.
        Value::Domain => Some(Cow::Borrowed(address.domain().unwrap_or(NOWHERE))),
        Value::Address => Some(Cow::Borrowed(address.mailbox())),
        _ => None,
    };
    let filled = fill(&template.pieces, value).ok()?;
    let filled =
        filled.strip_suffix(NOWHERE).and_then(|its| its.strip_suffix('@')).unwrap_or(&filled);
    Address::parse(filled).ok()?;
    let inbox = inbox(&address, user).unwrap_or_else(|| Arc::clone(&way.address));
    Some(Route { address: filled.into(), scripts: None, inbox: Some(inbox), ..way.clone() })
}

/// The address without its subaddress; `None`: nothing would be left.
fn inbox(address: &Address, user: &str) -> Option<Arc<str>> {
    let written = address.as_str();
    let route = &written[..written.len() - address.written_mailbox().len()];
    let domain = address.domain().map_or_else(String::new, |domain| format!("@{domain}"));
    let inbox = format!("{route}{}{domain}", written_local(user));
    (!user.is_empty() && Address::parse(&inbox).is_ok()).then(|| inbox.into())
}

/// The hosts of a source route, without its first `@` and its colon.
fn route_of(address: &Address) -> Option<&str> {
    let written = address.as_str();
    let route = &written[..written.len() - address.written_mailbox().len()];
    route.strip_prefix('@')?.strip_suffix(':')
}

const INBOX: &str = "INBOX";
/// Stands for a domain that is not there.
const NOWHERE: &str = "nowhere.invalid";
