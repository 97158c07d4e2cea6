//! From routes to queue entries: the recipients that leave together.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use relais_channels::mail::{Entry, Origin, Recipient};
use relais_config::{
    Channel,
    channel::{Copies, Program},
};

use super::routes::Route;
use crate::channel_table::{Channels, WaitingPlace};

/// Groups recipients by the way they go, as each channel's `copies` and `addrsperfile` say. Each
/// recipient comes with its ways, several for a list; the address is taken from the way. One that
/// is named twice, by itself or by lists, gets one copy. Mail that came in by `source` waits for the
/// conversion channel first where parts of it are looked at on the way.
pub fn grouped<'a>(
    channels: &Channels,
    source: &str,
    recipients: impl Iterator<Item = (&'a Recipient, &'a [Route])> + Clone,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // Nearly every message is for one recipient who goes one way.
    let alone = recipients.clone().map(|(_, routes)| routes.len()).sum::<usize>() == 1;
    let mut seen: HashSet<(&str, &str, &str)> = HashSet::new();
    // The groups that still have room, by where they go.
    let mut open: HashMap<(&str, &str, Option<Arc<str>>), usize> = HashMap::new();
    for (recipient, routes) in recipients {
        for route in routes {
            let way = (&*route.channel, &*route.host);
            if !alone && !seen.insert((way.0, way.1, &route.address)) {
                continue;
            }
            let channel = channels.find(&route.channel).map(|id| channels.channel(id));
            let (copies, most) = channel.map_or((Copies::Single, 1), copies_of);
            let recipient = recipient_of(recipient, route);
            // Recipients of one transaction have one sender.
            let way = (way.0, way.1, sender_of(&recipient));
            let group = open.get(&way).and_then(|at| entries.get_mut(*at));
            if let Some(entry) = group.filter(|entry| entry.recipients.len() < most) {
                entry.recipients.push(recipient);
                continue;
            }
            if !alone && copies != Copies::Single {
                open.insert(way, entries.len());
            }
            let place = channels.place_for(source, &route.channel, &route.host);
            let WaitingPlace { channel, host } = place;
            entries.push(Entry { channel, host, recipients: vec![recipient] });
        }
    }
    entries
}

/// The sender that a list gives to the copy of a recipient.
fn sender_of(recipient: &Recipient) -> Option<Arc<str>> {
    let errors_to = recipient.origin.as_deref()?.errors_to.as_ref()?;
    errors_to.is_sender.then(|| Arc::clone(&errors_to.address))
}

/// How recipients are divided, and how many may share an entry. A program is run for each of them, and
/// each mailbox is appended to by itself: a crash is to do so once more for none that had it.
fn copies_of(channel: &Channel) -> (Copies, usize) {
    match channel.program {
        Program::Pipe | Program::Local => (Copies::Single, 1),
        _ => (channel.copies, channel.addrsperfile),
    }
}

/// A recipient that goes this way.
fn recipient_of(recipient: &Recipient, route: &Route) -> Recipient {
    let member = route.member.as_deref();
    let by_itself = member.is_none_or(|member| member.eq_ignore_ascii_case(recipient.member()));
    let plain = by_itself && route.errors_to.is_none() && route.refused.is_none();
    let inherited = recipient.origin.as_deref();
    let origin = if plain {
        recipient.origin.clone()
    } else {
        Some(Box::new(Origin {
            member: match (&route.member, inherited) {
                (Some(member), _) => Arc::clone(member),
                (None, Some(inherited)) => Arc::clone(&inherited.member),
                (None, None) => Arc::clone(&recipient.original),
            },
            errors_to: match (&route.errors_to, inherited) {
                (None, Some(inherited)) => inherited.errors_to.clone(),
                (errors_to, _) => errors_to.clone(),
            },
            refused: route.refused.as_deref().cloned(),
        }))
    };
    let quota = route.quota.clone();
    let (post_check, inbox) = (route.post_check, route.inbox.clone());
    let address = Arc::clone(&route.address);
    Recipient { address, origin, quota, post_check, inbox, ..recipient.clone() }
}
