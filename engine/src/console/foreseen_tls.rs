//! The TLS of a destination before its mail is tried.

use std::path::Path;

use relais_actors::channel_table::{chosen_by, next_hops};
use relais_channels::{
    client::ChosenBy,
    mail::{NextHop, TlsWish},
    tls_policy::{Basis, ChannelRules},
};
use relais_config::{
    Channel,
    channel::{Mx, Program},
};
use relais_storage::ScannedEntry;

use super::parts::Parts;

/// The TLS towards the first next hop of mail to these addresses, in words. `None`: nobody is connected to
/// over a network, or nothing is said about TLS with stores.
pub(super) fn foreseen_tls<'a>(
    channel: &Channel,
    host: &str,
    addresses: impl Iterator<Item = &'a str>,
    wish: TlsWish,
) -> Option<String> {
    let is_smtp = channel.program == Program::Smtp;
    let rules = ChannelRules::of(channel, Path::to_path_buf);
    if !is_smtp && (channel.program != Program::Lmtp || !rules.speak_tls()) {
        return None;
    }
    let hops = next_hops(channel, host)?;
    match hops.first() {
        NextHop::Unix(_) => None,
        NextHop::Ip { .. } => Some(rules.usual(Basis::Channel).to_string()),
        NextHop::Host { name, port } => {
            let of_recipient =
                is_smtp && chosen_by(channel, host, addresses) == ChosenBy::Recipient;
            let port = port.unwrap_or(channel.next_hop_port());
            let by_mx = match channel.mx {
                Mx::Mx => true,
                Mx::Default => is_smtp && port == MAIL,
                Mx::NoMx | Mx::NoDns => false,
            };
            Some(rules.foreseen(name, of_recipient || by_mx, wish).to_string())
        }
    }
}

/// The same of an entry of the queue, as a sentence.
pub(super) async fn foreseen_of_entry(parts: &Parts, scanned: &ScannedEntry) -> Option<String> {
    let channel = parts.channels.channel(parts.channels.find(&scanned.channel)?);
    let envelope = parts.storage.envelope(scanned.place).await.ok()?;
    let recipients = &envelope.entries.get(usize::from(scanned.entry))?.recipients;
    let addresses = recipients.iter().map(|to| &*to.address);
    let words = foreseen_tls(channel, &scanned.host, addresses, envelope.tls)?;
    Some(format!("TLS with {}: {words}.", scanned.host))
}

const MAIL: u16 = 25;
