//! The way into a folder: the address that the channel's `fileinto` makes of a mailbox and a folder.

use std::{borrow::Cow, sync::Arc};

use relais_channels::{
    mail::{Address, written_local},
    mailbox::is_folder,
};
use relais_config::{channel::Channel, delivery_option::Value};

use crate::{
    directory::fill,
    router::{Route, Routes},
};

/// Why mail for a folder goes to the INBOX.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoFolder {
    /// The channel has no `fileinto`.
    #[error("its channel has no fileinto")]
    NoTemplate,
    /// The channel is not `private`, and the name is beyond ASCII.
    #[error("servers that are no stores of ours get no folders beyond ASCII")]
    BeyondAscii,
    /// The store takes no such name ([`is_folder`]).
    #[error("no folder of the store may have such a name")]
    Name,
    /// The template makes no address of it.
    #[error("it makes no address")]
    NoAddress,
}

impl NoFolder {
    /// The reason for mailboxes behind this channel; `None`: the folder is one, or the INBOX.
    pub fn of(channel: &Channel, folder: &str) -> Option<Self> {
        let folder = trimmed(folder)?;
        if channel.fileinto.is_none() {
            Some(Self::NoTemplate)
        } else if !channel.private {
            (!folder.is_ascii()).then_some(Self::BeyondAscii)
        } else {
            Self::in_store(folder)
        }
    }

    /// The reason in a store of ours.
    pub fn in_store(folder: &str) -> Option<Self> {
        let folder = trimmed(folder)?;
        (!is_folder(folder)).then_some(Self::Name)
    }
}

/// The way to a folder of the mailbox that `way` leads to; `None`: it is the INBOX.
pub(super) fn into_folder(
    routes: &Routes,
    way: &Route,
    folder: &str,
) -> Result<Option<Route>, NoFolder> {
    let Some(folder) = trimmed(folder) else { return Ok(None) };
    let channel = routes.channel_by_name(&way.channel).ok_or(NoFolder::NoTemplate)?;
    if let Some(why) = NoFolder::of(channel, folder) {
        return Err(why);
    }
    let template = channel.fileinto.as_ref().ok_or(NoFolder::NoTemplate)?;
    let address = Address::parse(&way.address).map_err(|_| NoFolder::NoAddress)?;
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
    let filled = fill(&template.pieces, value).map_err(|_| NoFolder::NoAddress)?;
    let filled =
        filled.strip_suffix(NOWHERE).and_then(|its| its.strip_suffix('@')).unwrap_or(&filled);
    Address::parse(filled).map_err(|_| NoFolder::NoAddress)?;
    let inbox = inbox(&address, user).unwrap_or_else(|| Arc::clone(&way.address));
    Ok(Some(Route { address: filled.into(), scripts: None, inbox: Some(inbox), ..way.clone() }))
}

/// The name of a folder without slashes around it; `None`: it is the INBOX.
fn trimmed(folder: &str) -> Option<&str> {
    let folder = folder.trim_matches('/');
    (!folder.is_empty() && !folder.eq_ignore_ascii_case(INBOX)).then_some(folder)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_folder_has_are_told_apart() {
        let config = relais_config::Config::parse("f.ron", relais_config::STANDALONE).unwrap().0;
        let own = config.channels.into_iter().find(|its| its.fileinto.is_some()).unwrap();
        assert!(own.private, "the store is ours");
        let foreign = Channel { private: false, ..own.clone() };
        let without = Channel { fileinto: None, ..own.clone() };
        let (name, beyond) = (Some(NoFolder::Name), Some(NoFolder::BeyondAscii));
        // the folder, in a store of ours, elsewhere
        let rows = [
            ("Work", None, None),
            ("a/b.c", None, None),
            ("inbox", None, None),
            ("/", None, None),
            ("Gr\u{fc}\u{df}e", None, beyond),
            ("50%", name, None),
            ("a\"b", name, None),
            ("a/../b", name, None),
            ("a\u{202e}b", name, beyond),
            (" a", name, None),
        ];
        for (folder, ours, elsewhere) in rows {
            let found = [&own, &foreign].map(|channel| NoFolder::of(channel, folder));
            assert_eq!(found, [ours, elsewhere], "{folder:?}");
        }
        assert_eq!(NoFolder::of(&without, "Work"), Some(NoFolder::NoTemplate));
        assert_eq!(NoFolder::of(&without, "INBOX"), None);
    }
}
