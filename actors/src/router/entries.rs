//! From routes to queue entries: the recipients that leave together.

use std::collections::HashSet;

use relais_channels::mail::{Entry, Recipient};
use relais_config::channel::Copies;

use super::Route;
use crate::channels::Channels;

/// Groups recipients by the way they go, as each channel's `copies` and `addrsperfile` say. Each
/// recipient comes with its ways, several for a list; the address is taken from the way. One that
/// is named twice, by itself or by lists, gets one copy.
pub fn grouped<'a>(
    channels: &Channels,
    recipients: impl Iterator<Item = (&'a Recipient, &'a [Route])>,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut seen: HashSet<(&str, &str, &str)> = HashSet::new();
    for (recipient, routes) in recipients {
        for route in routes {
            if !seen.insert((&route.channel, &route.host, &route.address)) {
                continue;
            }
            let channel = channels.find(&route.channel).map(|id| channels.channel(id));
            let (copies, most) =
                channel.map_or((Copies::Single, 1), |c| (c.copies, c.addrsperfile));
            let fits = |entry: &&mut Entry| {
                copies != Copies::Single
                    && entry.channel == route.channel
                    && entry.host == route.host
                    && entry.recipients.len() < most
            };
            let recipient = Recipient { address: route.address.clone(), ..recipient.clone() };
            // The groups that still have room are the last ones.
            match entries.iter_mut().rev().find(fits) {
                Some(entry) => entry.recipients.push(recipient),
                None => entries.push(Entry {
                    channel: route.channel.clone(),
                    host: route.host.clone(),
                    recipients: vec![recipient],
                }),
            }
        }
    }
    entries
}
