//! Senders who are not told of what an operator returns.

use std::collections::HashMap;

use relais_actors::{
    notary::{Audience, audience_of_return},
    own_mail::question_of,
};
use relais_channels::mail::{Address, Envelope};
use relais_storage::{ScannedEntry, open_recipients};

use super::parts::Parts;
use crate::api::Untold;

/// Whether senders can be told, as far as they were asked about.
pub(super) type SenderWays = HashMap<String, Way>;

/// Whether a sender can be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// A way leads there.
    Open,
    /// Not now.
    Closed,
    /// None will ever.
    None,
}

/// Counts the open recipients of an entry that is returned whose senders are not told.
pub(super) async fn count(
    parts: &Parts,
    scanned: &ScannedEntry,
    envelope: &Envelope,
    asked: &mut SenderWays,
    untold: &mut Untold,
) {
    let Some(channel) = parts.channels.find(&scanned.channel) else { return };
    let Some(entry) = envelope.entries.get(usize::from(scanned.entry)) else { return };
    let channel = parts.channels.channel(channel);
    let open = open_recipients(scanned.state.open());
    for recipient in open.filter_map(|index| entry.recipients.get(usize::from(index))) {
        match audience_of_return(channel, envelope, recipient) {
            Audience::Address(address) => {
                let way = match asked.get(address) {
                    Some(known) => *known,
                    None => way_to(parts, address).await,
                };
                asked.insert(address.to_owned(), way);
                untold.no_way += u64::from(way == Way::None);
                untold.not_now += u64::from(way == Way::Closed);
            }
            Audience::Postmaster => {}
            Audience::NoSender => untold.null_sender += 1,
            Audience::NotWanted => untold.notify_never += 1,
        }
    }
}

/// Whether anybody is told when this entry is returned, as far as that is known without the router.
pub(super) async fn is_anybody_told(parts: &Parts, scanned: &ScannedEntry) -> bool {
    let Some(channel) = parts.channels.find(&scanned.channel) else { return true };
    let Ok(envelope) = parts.storage.envelope(scanned.place).await else { return true };
    let Some(entry) = envelope.entries.get(usize::from(scanned.entry)) else { return true };
    let channel = parts.channels.channel(channel);
    open_recipients(scanned.state.open()).any(|index| {
        entry.recipients.get(usize::from(index)).is_some_and(|recipient| {
            let audience = audience_of_return(channel, &envelope, recipient);
            matches!(audience, Audience::Address(_) | Audience::Postmaster)
        })
    })
}

async fn way_to(parts: &Parts, address: &str) -> Way {
    let Ok(parsed) = Address::parse(address) else { return Way::None };
    match parts.router.resolve(&question_of(&parts.channels, &parsed)).await {
        Ok(_) => Way::Open,
        Err(reply) if reply.is_permanent() => Way::None,
        Err(_) => Way::Closed,
    }
}
