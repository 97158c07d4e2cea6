//! The TLS that a destination is owed, as far as the configuration alone tells: no name server is asked,
//! and no destination.

use std::fmt;

use super::{ChannelRules, DaneFound, Facts, Requirement, sts::is_host};
use crate::mail::TlsWish;

/// The TLS of a destination before anybody was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForeseenTls {
    /// The key of the operator's entry.
    entry: Option<String>,
    /// Policies that the destination may publish, in the order of their rank.
    asked: Vec<&'static str>,
    /// The requirement where it publishes none; absent where the operator wants a published one.
    otherwise: Option<Requirement>,
    wish: TlsWish,
}

impl ChannelRules {
    /// The TLS of a domain, or of a host of the configuration. `is_by_mx`: MX records may name its
    /// servers.
    pub fn foreseen(&self, domain: &str, is_by_mx: bool, wish: TlsWish) -> ForeseenTls {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let entry = self.table.find(&domain);
        let facts = Facts {
            rules: self,
            entry,
            dane: &DaneFound::NotAsked,
            sts: None,
            host: &domain,
            wish,
        };
        let has_level = entry.is_some_and(|entry| entry.level.is_some());
        let is_asked = has_level || wish != TlsWish::NotRequired;
        let has_sts = is_by_mx && self.wants_sts(entry) && is_host(&domain);
        let asked = [("DANE", self.wants_dane(entry)), ("MTA-STS", has_sts)];
        let asked = asked.into_iter().filter(|(_, wants)| is_asked && *wants);
        ForeseenTls {
            entry: entry.map(|entry| entry.pattern.clone()),
            asked: asked.map(|(name, _)| name).collect(),
            otherwise: facts.decide().ok(),
            wish,
        }
    }
}

/// `DANE and MTA-STS, asked at the first attempt; else TLS if offered (channel)`.
impl fmt::Display for ForeseenTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked.join(" and ");
        match (&self.otherwise, asked.as_str()) {
            (Some(requirement), "") => write!(f, "{requirement}")?,
            (Some(requirement), _) => {
                write!(f, "{asked}, asked at the first attempt; else {requirement}")?;
            }
            (None, _) => f.write_str("TLSA records, asked at the first attempt, or no mail")?,
        }
        let is_named = self.otherwise.as_ref().is_some_and(|its| its.basis.is_operators());
        if let Some(pattern) = self.entry.as_ref().filter(|_| !is_named) {
            write!(f, " (policy for {pattern})")?;
        }
        if self.wish == TlsWish::Required {
            f.write_str("; with REQUIRETLS")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use relais_config::{
        Channel,
        channel::Program,
        tls::{DestinationTls, Insist, TlsLevel},
    };

    use super::*;
    use crate::tls_policy::DestinationTable;

    #[test]
    fn the_configuration_tells_what_is_settled_and_what_is_asked() {
        let mut tls = Channel::new("out", "out", Program::Smtp).tls;
        let mut entry = |key: &str, level, dane, mta_sts| {
            let (names, ca, min_version) = (Vec::new(), None, None);
            let its = DestinationTls { level, dane, mta_sts, names, ca, min_version };
            tls.policies.insert(key.to_owned(), its);
        };
        entry("bank.test", Some(TlsLevel::Verify), None, None);
        entry("dane.test", Some(TlsLevel::Dane), None, None);
        entry(".broken.test", None, Some(false), None);
        entry("clear.test", Some(TlsLevel::No), None, None);
        let table = DestinationTable::of(&tls, std::path::Path::to_path_buf);
        let plain = ChannelRules { client: Insist::May, table, ..ChannelRules::default() };
        let both = ChannelRules { dane: true, mta_sts: true, ..plain.clone() };
        let may = "TLS if offered (channel)";
        let asked = "asked at the first attempt";
        let (usual, no, required) = (TlsWish::Usual, TlsWish::NotRequired, TlsWish::Required);
        let rows = [
            (&plain, "a.test", true, usual, may.to_owned()),
            (&both, "a.test", true, usual, format!("DANE and MTA-STS, {asked}; else {may}")),
            (&both, "a.test", false, usual, format!("DANE, {asked}; else {may}")),
            (&both, "A.test.", true, no, "TLS if offered (TLS-Required: No)".to_owned()),
            (
                &both,
                "x.broken.test",
                true,
                usual,
                format!("MTA-STS, {asked}; else {may} (policy for .broken.test)"),
            ),
            (
                &both,
                "bank.test",
                true,
                no,
                "TLS or no mail, certificate by name (policy for bank.test)".to_owned(),
            ),
            (
                &plain,
                "dane.test",
                true,
                usual,
                format!("TLSA records, {asked}, or no mail (policy for dane.test)"),
            ),
            (
                &plain,
                "clear.test",
                true,
                required,
                "no TLS (policy for clear.test); with REQUIRETLS".to_owned(),
            ),
        ];
        for (rules, domain, is_by_mx, wish, want) in rows {
            assert_eq!(rules.foreseen(domain, is_by_mx, wish).to_string(), want, "{domain}");
        }
    }
}
