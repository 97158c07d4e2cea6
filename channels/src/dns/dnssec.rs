//! Questions whose answers are proved by DNSSEC.
//!
//! A resolver of its own asks for signatures and checks them from the trust anchor down; the usual one
//! does neither, and an upstream server without DNSSEC would fail all of its questions. Data whose proof
//! is bogus is no answer at all.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use hickory_resolver::proto::{
    dnssec::{Proof as Validity, TrustAnchors},
    rr::{RData, Record, RecordType},
};
use tokio::time::timeout;

use super::{
    MOST_ANSWERS, NoAnswer, Tlsa, Unanswered, absolute, no_answer,
    questions::{GivenUp, InFlight},
    servers::NameServers,
    undotted,
};

/// The way to name servers for answers that are proved.
pub struct SecureDns {
    servers: NameServers,
    questions: InFlight,
}

/// The mail exchangers of a domain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exchangers {
    /// Preference and name, in lower case without the final dot; none when the domain has none.
    pub names: Vec<(u16, String)>,
    /// Each of them is proved.
    pub secure: bool,
}

/// A host of which TLSA records are sought.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SecureHost {
    /// It has an address.
    pub exists: bool,
    /// Names under which its TLSA records may lie, the best first; none when its addresses are not
    /// proved (RFC 7672 section 2.2.2).
    pub bases: Vec<String>,
}

impl SecureDns {
    /// Asks these servers, or those of the system when there are none. `trust_anchor`: a file of DNSKEY
    /// records; without one, the keys of the root zone.
    pub fn new(servers: &[SocketAddr], trust_anchor: Option<&Path>) -> Result<Self, Unanswered> {
        let anchors = match trust_anchor {
            None => TrustAnchors::default(),
            Some(file) => {
                let text = fs::read_to_string(file)
                    .map_err(|error| Unanswered(format!("{}: {error}", file.display())))?;
                let keys = anchors_of(&text);
                keys.map_err(|error| Unanswered(format!("{}: {error}", file.display())))?
            }
        };
        let servers = NameServers::new(servers, Some(Arc::new(anchors)))?;
        Ok(Self { servers, questions: InFlight::default() })
    }

    /// The mail exchangers of a domain.
    pub async fn exchangers(&self, domain: &str) -> Result<Exchangers, Unanswered> {
        let records = self.records(domain, RecordType::MX).await?;
        let mut secure = is_alias_proved(&records);
        let mut names = Vec::new();
        for record in &records {
            if let RData::MX(mx) = &record.data {
                secure &= is_proved(record);
                names.push((mx.preference, undotted(&mx.exchange)));
            }
        }
        secure &= !names.is_empty();
        Ok(Exchangers { names, secure })
    }

    /// Where the TLSA records of a host may lie.
    pub async fn host(&self, name: &str) -> Result<SecureHost, Unanswered> {
        let mut found = self.records(name, RecordType::A).await?;
        if !found.iter().any(is_address) {
            found = self.records(name, RecordType::AAAA).await?;
        }
        Ok(bases_of(name, &found))
    }

    /// The TLSA records of a port of a host that are proved; none where there are none, or no proof.
    pub async fn tlsa(&self, port: u16, base: &str) -> Result<Vec<Tlsa>, Unanswered> {
        let found = self.records(&format!("_{port}._tcp.{base}"), RecordType::TLSA).await?;
        if !is_alias_proved(&found) {
            return Ok(Vec::new());
        }
        Ok(found.iter().filter(|record| is_proved(record)).filter_map(tlsa_of).collect())
    }

    /// The answers of one kind and the aliases that lead there, each with its proof.
    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, Unanswered> {
        let asked = async {
            self.servers.resolver().lookup(absolute(name)?, kind).await.map_err(no_answer)
        };
        match timeout(LIMIT, self.questions.ask(asked)).await.unwrap_or(Err(GivenUp)) {
            Ok(Ok(found)) => {
                // Signatures stand beside what they sign.
                let wanted = |record: &&Record| {
                    record.record_type() == kind || record.record_type() == RecordType::CNAME
                };
                Ok(found.answers().iter().filter(wanted).take(MOST_ANSWERS).cloned().collect())
            }
            Ok(Err(NoAnswer::NoSuchName | NoAnswer::NoRecords)) => Ok(Vec::new()),
            Ok(Err(none)) => Err(Unanswered(format!("{kind} of {name}: {none}"))),
            Err(GivenUp) => {
                Err(Unanswered(format!("{kind} of {name}: name servers do not answer in time")))
            }
        }
    }
}

/// DNSKEY records as zone files have them, where class and time to live may be absent.
fn anchors_of(text: &str) -> Result<TrustAnchors, String> {
    let mut whole = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default();
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [_, rest @ ..] if rest.iter().any(|word| word.eq_ignore_ascii_case("DS")) => {
                return Err("a DS record is no key: DNSKEY records are expected".to_owned());
            }
            [name, kind, rest @ ..] if kind.eq_ignore_ascii_case("DNSKEY") => {
                whole = whole + name + " IN DNSKEY " + &rest.join(" ") + "\n";
            }
            words => whole = whole + &words.join(" ") + "\n",
        }
    }
    if whole.is_empty() {
        return Err("it holds no DNSKEY record".to_owned());
    }
    whole.parse().map_err(|error| format!("it is no list of DNSKEY records: {error}"))
}

/// RFC 7672 section 2.2.2: the name at the end of a chain of aliases that is proved as a whole, then
/// the name at its beginning.
fn bases_of(name: &str, found: &[Record]) -> SecureHost {
    let Some(address) = found.iter().find(|record| is_address(record)) else {
        return SecureHost::default();
    };
    let first = name.trim_end_matches('.').to_ascii_lowercase();
    let last = undotted(&address.name);
    let mut aliases = found.iter().filter(|record| record.record_type() == RecordType::CNAME);
    let all_proved = found.iter().all(is_proved);
    let first_proved = match aliases.find(|record| undotted(&record.name) == first) {
        Some(alias) => is_proved(alias),
        None => all_proved,
    };
    let mut bases = Vec::new();
    if all_proved {
        bases.push(last.clone());
    }
    if first_proved && (first != last || !all_proved) {
        bases.push(first);
    }
    SecureHost { exists: true, bases }
}

fn tlsa_of(record: &Record) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = &record.data else { return None };
    Some(Tlsa {
        usage: tlsa.cert_usage.into(),
        selector: tlsa.selector.into(),
        matching: tlsa.matching.into(),
        data: tlsa.cert_data.as_slice().into(),
    })
}

fn is_address(record: &Record) -> bool {
    matches!(record.record_type(), RecordType::A | RecordType::AAAA)
}

fn is_alias_proved(records: &[Record]) -> bool {
    let mut aliases = records.iter().filter(|record| record.record_type() == RecordType::CNAME);
    aliases.all(is_proved)
}

fn is_proved(record: &Record) -> bool {
    record.proof == Validity::Secure
}

/// For one question, all those that prove its answer included.
const LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    use super::*;

    fn record(name: &str, data: RData, proof: Validity) -> Record {
        let mut record = Record::from_rdata(absolute(name).unwrap(), 60, data);
        record.proof = proof;
        record
    }

    #[test]
    fn trust_anchors_are_read_as_the_tools_write_them() {
        const KEY: &str = "257 3 13 orp9Ik6tjkgV5h5a6Qa6PipYdAwLJpGyH7m/JpA0iAF5UwvAYhtseKRhvdmf\
                           gWsuo39TqsiuiOqMGciB/cWfig==";
        for text in [
            format!(". DNSKEY {KEY}"),
            format!("\n; by hand\n. 172800 IN DNSKEY {KEY} ;{{id = 1532 (ksk)}}\n"),
            format!(".\tIN\tDNSKEY\t{KEY}\n"),
        ] {
            assert_eq!(anchors_of(&text).map(|its| its.len()), Ok(1), "{text}");
        }
        assert!(anchors_of(&format!("a.test. dnskey {KEY}")).is_ok());
        for text in ["", "; nothing", ". IN DS 1532 13 2 8d5d", "nonsense", ". DNSKEY 257 3 13 !"] {
            assert!(anchors_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tlsa_records_lie_below_names_that_are_proved() {
        const YES: Validity = Validity::Secure;
        const NO: Validity = Validity::Insecure;
        let alias =
            |proof| record("MX.a.test", RData::CNAME(CNAME(absolute("h.b.test").unwrap())), proof);
        let address = |name: &str, proof| record(name, RData::A(A([127, 0, 0, 1].into())), proof);
        let rows: [(Vec<Record>, &[&str]); 7] = [
            (vec![], &[]),
            (vec![address("mx.a.test", YES)], &["mx.a.test"]),
            (vec![address("mx.a.test", NO)], &[]),
            (vec![alias(YES), address("h.b.test", YES)], &["h.b.test", "mx.a.test"]),
            (vec![alias(YES), address("h.b.test", NO)], &["mx.a.test"]),
            (vec![alias(NO), address("h.b.test", YES)], &[]),
            // An alias without an address behind it is no host.
            (vec![alias(YES)], &[]),
        ];
        for (found, bases) in rows {
            assert_eq!(bases_of("mx.a.test.", &found).bases, bases, "{found:?}");
        }
    }
}
