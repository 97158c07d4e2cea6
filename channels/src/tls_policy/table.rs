//! The operator's word on single destinations.

use std::path::PathBuf;

use relais_config::tls::{DestinationTls, TlsLevel, TlsSides, TlsVersion};

/// The operator's word on a destination. The channel's holds where it says nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TableEntry {
    /// The key in the table: `example.com`, or `.example.com` for all below it.
    pub pattern: String,
    /// How far TLS is needed.
    pub level: Option<TlsLevel>,
    /// DANE is looked for.
    pub dane: Option<bool>,
    /// MTA-STS is looked for.
    pub mta_sts: Option<bool>,
    /// Names of which the certificate must have one, in place of the server's.
    pub names: Vec<String>,
    /// PEM certificates of authorities.
    pub ca: Option<PathBuf>,
    /// TLS 1.3 or none.
    pub newest_only: bool,
}

/// The table of a channel.
#[derive(Clone, Debug, Default)]
pub struct DestinationTable(Vec<TableEntry>);

impl DestinationTable {
    /// As configured; `path` says where a file lies.
    pub fn of(tls: &TlsSides, path: impl Fn(&std::path::Path) -> PathBuf) -> Self {
        let entry = |(pattern, entry): (&String, &DestinationTls)| TableEntry {
            pattern: pattern.to_ascii_lowercase(),
            level: entry.level,
            dane: entry.dane,
            mta_sts: entry.mta_sts,
            names: entry.names.clone(),
            ca: entry.ca.as_deref().map(&path),
            newest_only: entry.min_version == Some(TlsVersion::Tls13),
        };
        let mut entries: Vec<_> = tls.policies.iter().map(entry).collect();
        entries.sort_by(|one, other| one.pattern.cmp(&other.pattern));
        Self(entries)
    }

    /// The entry of a destination, in lower case: its own, else that of the nearest parent.
    pub fn find(&self, domain: &str) -> Option<&TableEntry> {
        let exact = |pattern: &str| {
            let place =
                self.0.binary_search_by(|entry| entry.pattern.as_str().cmp(pattern)).ok()?;
            self.0.get(place)
        };
        let dots = domain.match_indices('.').map(|(at, _)| &domain[at..]);
        exact(domain).or_else(|| dots.into_iter().find_map(exact))
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files of authorities that it names.
    pub fn authorities(&self) -> impl Iterator<Item = PathBuf> {
        self.0.iter().filter_map(|entry| entry.ca.clone())
    }

    /// Whether any entry looks for DANE.
    pub fn has_dane(&self) -> bool {
        let has =
            |entry: &TableEntry| entry.dane == Some(true) || entry.level == Some(TlsLevel::Dane);
        self.0.iter().any(has)
    }

    /// Whether any entry looks for MTA-STS.
    pub fn has_mta_sts(&self) -> bool {
        self.0.iter().any(|entry| entry.mta_sts == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_its_own_entry_or_that_of_its_nearest_parent() {
        let entry =
            |pattern: &str| TableEntry { pattern: pattern.to_owned(), ..TableEntry::default() };
        let mut entries: Vec<_> =
            ["example.com", ".example.com", ".a.example.com", "b.a.example.com", ".net"]
                .map(entry)
                .into();
        entries.sort_by(|one, other| one.pattern.cmp(&other.pattern));
        let table = DestinationTable(entries);
        let rows = [
            ("example.com", Some("example.com")),
            ("x.example.com", Some(".example.com")),
            ("a.example.com", Some(".example.com")),
            ("x.a.example.com", Some(".a.example.com")),
            ("b.a.example.com", Some("b.a.example.com")),
            ("x.b.a.example.com", Some(".a.example.com")),
            ("anexample.com", None),
            ("net", None),
            ("example.net", Some(".net")),
            ("", None),
        ];
        for (domain, want) in rows {
            let found = table.find(domain).map(|entry| entry.pattern.as_str());
            assert_eq!(found, want, "{domain}");
        }
    }
}
