//! Access tables: who may connect, and who may send what where.

use std::{fmt::Write, net::IpAddr};

use relais_channels::mail::{Enhanced, Reply};
use relais_config::mapping::{Mapped, Tables};

use super::{
    routes::{Question, Resolution, Routes},
    steps::{Step, Trace},
};

/// The verdict of an access table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Access {
    /// Nothing: there is no such table, no entry matched, or the entry that did has no flag.
    Silent,
    /// `$Y`.
    Accept,
    /// `$N` or `$F`, with its text: `"500 Do not connect to this machine"`, or nothing.
    Reject(String),
}

impl Access {
    /// `PORT_ACCESS`: whether a client may connect. Only a rejection keeps it out.
    pub fn port(
        tables: &Tables<'_>,
        server: IpAddr,
        port: u16,
        client: IpAddr,
        client_port: u16,
    ) -> Self {
        let (server, client) = (server.to_canonical(), client.to_canonical());
        tables.table(PORT_ACCESS).map_or(Self::Silent, |table| {
            let mut probe = String::with_capacity(PROBE_ROOM);
            // Writing to a string cannot fail.
            let _ = write!(probe, "TCP|{server}|{port}|{client}|{client_port}");
            Self::from(table.lookup(&probe, tables))
        })
    }

    /// The refusal in SMTP's terms: a code that the text begins with is its code, else `550
    /// 5.7.1`; `None` when nothing is refused.
    pub fn reply(&self) -> Option<Reply> {
        let Self::Reject(text) = self else { return None };
        let digits = text.split(' ').next().unwrap_or_default();
        let code = digits.parse::<u16>().ok().filter(|code| (400..=599).contains(code));
        let text = match code {
            Some(_) => text[digits.len()..].trim_start(),
            None => text.as_str(),
        };
        let text = if text.is_empty() { "access denied" } else { text };
        let code = code.unwrap_or(550);
        let class = if code < 500 { 4 } else { 5 };
        Some(Reply::with_text(code, Enhanced(class, 7, 1), text.to_owned()))
    }
}

impl From<Option<Mapped>> for Access {
    fn from(mapped: Option<Mapped>) -> Self {
        match mapped {
            Some(Mapped { flags, text, .. }) if flags.has('N') || flags.has('F') => {
                Self::Reject(text)
            }
            Some(Mapped { flags, .. }) if flags.has('Y') => Self::Accept,
            _ => Self::Silent,
        }
    }
}

/// `INTERNAL_IP`: whether a client is one of ours.
pub fn internal_ip(tables: &Tables<'_>, client: IpAddr) -> bool {
    let mapped = tables.lookup(INTERNAL_IP, &client.to_canonical().to_string());
    Access::from(mapped) == Access::Accept
}

/// Whether this client and sender may go the way that was found.
pub(super) fn admit(
    routes: &Routes,
    found: &Resolution,
    question: &Question<'_>,
    trace: &mut Trace,
) -> Result<(), Reply> {
    let tables = if trace.is_on() { routes.tables_looked_at() } else { routes.tables() };
    let channel = found.channel.as_deref().filter(|_| !question.header);
    if let Some((probe, access)) =
        channel.and_then(|channel| orig_send(&tables, question, channel, &found.rewritten))
    {
        trace.note(|| {
            let verdict = format!("{access:?}");
            Step::Access { table: ORIG_SEND_ACCESS, probe, verdict }
        });
        match access {
            Access::Reject(_) => return access.reply().map_or(Ok(()), Err),
            Access::Accept => return Ok(()),
            Access::Silent => {}
        }
    }
    if found.relaying && !question.may_relay { Err(RELAYING) } else { Ok(()) }
}

/// `ORIG_SEND_ACCESS`, with the probe. `None`: there is no such table.
fn orig_send(
    tables: &Tables<'_>,
    question: &Question<'_>,
    destination: &str,
    to: &str,
) -> Option<(String, Access)> {
    let table = tables.table(ORIG_SEND_ACCESS)?;
    let Question { source_channel, sender, .. } = question;
    let probe = format!("{source_channel}|{sender}|{destination}|{to}");
    let access = Access::from(table.lookup(&probe, tables));
    Some((probe, access))
}

/// Octets of the probe with two of the longest addresses.
const PROBE_ROOM: usize = 112;
const PORT_ACCESS: &str = "PORT_ACCESS";
const INTERNAL_IP: &str = "INTERNAL_IP";
const ORIG_SEND_ACCESS: &str = "ORIG_SEND_ACCESS";
/// A stranger may not send there.
const RELAYING: Reply = Reply::new(550, Enhanced(5, 7, 1), "relaying not permitted");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use relais_config::MappingTable;

    use super::*;

    fn tables(name: &str, entries: &[(&str, &str)]) -> BTreeMap<String, MappingTable> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        let table = MappingTable::parse(entries.iter().map(own).collect()).unwrap();
        BTreeMap::from([(name.to_owned(), table)])
    }

    #[test]
    fn port_access_of_a_store() {
        let mappings = tables(
            PORT_ACCESS,
            &[
                ("TCP|*|2225|127.0.0.1|*", "$Y"),
                ("TCP|*|2225|*|*", "$N500$ Do$ not$ connect$ to$ this$ machine"),
            ],
        );
        let general = BTreeMap::new();
        let tables = Tables::new(&mappings, &general);
        let rows = [
            (2225, "127.0.0.1", Access::Accept),
            (2225, "::ffff:127.0.0.1", Access::Accept),
            (2225, "192.0.2.66", Access::Reject("500 Do not connect to this machine".to_owned())),
            (25, "192.0.2.66", Access::Silent),
        ];
        for (port, client, want) in rows {
            let client = client.parse().unwrap();
            let got = Access::port(&tables, [127, 0, 0, 1].into(), port, client, 40_000);
            assert_eq!(got, want, "{port} {client}");
        }
    }

    #[test]
    fn only_internal_addresses_are_internal() {
        let entries = [("$(192.18.74.0/24)", "$Y"), ("127.0.0.1", "$Y"), ("*", "$N")];
        let mappings = tables(INTERNAL_IP, &entries);
        let general = BTreeMap::new();
        let tables = Tables::new(&mappings, &general);
        let rows =
            [("192.18.74.9", true), ("127.0.0.1", true), ("192.0.2.1", false), ("::1", false)];
        for (client, want) in rows {
            assert_eq!(internal_ip(&tables, client.parse().unwrap()), want, "{client}");
        }
        let none = BTreeMap::new();
        assert!(!internal_ip(&Tables::new(&none, &general), [127, 0, 0, 1].into()));
    }

    #[test]
    fn rejections_become_replies() {
        let rows = [
            ("500 Go away", "500 5.7.1 Go away"),
            ("Relaying not permitted", "550 5.7.1 Relaying not permitted"),
            ("", "550 5.7.1 access denied"),
            ("450 Later", "450 4.7.1 Later"),
            ("200 Fine", "550 5.7.1 200 Fine"),
        ];
        for (text, want) in rows {
            let reply = Access::Reject(text.to_owned()).reply().unwrap();
            assert_eq!(reply.to_string(), want);
        }
        assert_eq!(Access::Accept.reply(), None);
    }
}
