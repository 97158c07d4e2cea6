//! `IP_ACCESS`: whether a client of ours may connect to an address, or is to connect elsewhere.

use std::net::IpAddr;

use relais_channels::{
    client::{Approach, Passage},
    mail::{Enhanced, Reply},
};
use tracing::info;

use super::super::{
    routes::Routes,
    submission::{IP_ACCESS, one_field},
};

/// The word of the table about an address that mail of a channel leaves to. Without a table every
/// address is open.
pub fn ip_access(routes: &Routes, channel: &str, approach: &Approach<'_>) -> Passage {
    let Some(table) = routes.access_table(IP_ACCESS) else { return Passage::Open };
    let Approach { index, count, address, host } = *approach;
    let address = address.to_canonical();
    let probe = format!("{channel}|{index}|{count}|{address}|{}", one_field(host));
    let Some(mapped) = table.lookup(&probe, &routes.tables()) else { return Passage::Open };
    let (flags, text) = (mapped.flags, mapped.text);
    if flags.has('N') || flags.has('F') {
        // The text is for operators alone, as in the original.
        info!(channel, host, %address, entry = mapped.entry + 1, text = ?text, "IP_ACCESS refuses the host");
        let shown = if host.is_empty() { address.to_string() } else { host.to_owned() };
        let reply = format!("{shown} may not be connected to");
        return Passage::Refused(Reply::with_text(550, Enhanced(5, 1, 2), reply));
    }
    if flags.has('I') {
        return Passage::Skip;
    }
    if !flags.has('A') {
        return Passage::Open;
    }
    text.parse::<IpAddr>().map_or_else(
        |_| {
            info!(channel, host, %address, entry = mapped.entry + 1, text = ?text, "IP_ACCESS names no address to connect to instead: this one is skipped");
            Passage::Skip
        },
        Passage::Instead,
    )
}
