//! Results of TLS with the servers of destinations, counted for a day of UTC (RFC 8460).
//!
//! Kept in memory, and on disk so that a restart loses a few seconds. When a day is over, its
//! reports are written to a file of their own: one object by RFC 8460 section 4.4 for each domain.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failures::{FailureListener, TlsFailure};

/// Counts results, for the whole engine.
#[derive(Debug)]
pub struct TlsReports {
    /// Below the data folder.
    folder: Option<PathBuf>,
    day: Mutex<Day>,
    /// Something was counted since that was written down.
    has_news: AtomicBool,
    /// Hears of failures.
    listener: FailureListener,
}

/// One session with a server, as far as it came.
#[derive(Clone, Debug)]
pub struct TlsSession<'a> {
    /// The destination, in lower case.
    pub domain: &'a str,
    /// The destination's policy.
    pub policy: PublishedPolicy,
    /// The server's name, and its address.
    pub mx: (&'a str, Option<IpAddr>),
    /// Our own address.
    pub from: Option<IpAddr>,
    /// The failure, and in words.
    pub failure: Option<(TlsResult, String)>,
    /// Name servers of the channel's own, which know the destination.
    pub nameservers: &'a [SocketAddr],
}

/// A policy as reports have it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PublishedPolicy {
    /// `tlsa`, `sts` or `no-policy-found`.
    pub kind: String,
    /// Its records or lines.
    pub lines: Vec<String>,
    /// Patterns of MTA-STS.
    pub mx: Vec<String>,
}

/// The kinds of failures that reports tell apart (RFC 8460 section 4.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsResult {
    /// The server offers no STARTTLS.
    StartTlsNotSupported,
    /// The certificate is for other names.
    CertificateHostMismatch,
    /// The certificate has expired.
    CertificateExpired,
    /// No authority that is known vouches for the certificate.
    CertificateNotTrusted,
    /// Anything else about the handshake or the policy.
    ValidationFailure,
    /// No TLSA record is about the certificate.
    TlsaInvalid,
    /// DNSSEC does not prove what it should.
    DnssecInvalid,
    /// The policy of MTA-STS cannot be fetched.
    StsPolicyFetchError,
    /// The text that was fetched is no policy.
    StsPolicyInvalid,
    /// The server of the policy has no good certificate.
    StsWebpkiInvalid,
}

#[derive(Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Day {
    /// Days since 1970.
    number: i64,
    domains: BTreeMap<String, Vec<Tally>>,
    /// Of domains whose last session was one of a channel with name servers of its own.
    #[serde(default)]
    nameservers: BTreeMap<String, Vec<SocketAddr>>,
}

/// Of one policy of a domain.
#[derive(Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Tally {
    policy: PublishedPolicy,
    successes: u64,
    failures: u64,
    details: Vec<Detail>,
}

#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Detail {
    result: String,
    mx: String,
    address: Option<IpAddr>,
    from: Option<IpAddr>,
    count: u64,
    /// Of the first of them.
    reason: String,
}

/// The report of a day about one domain.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsReport {
    /// The domain.
    pub domain: String,
    /// Name servers that know who wants it; none: those of the section `dns`.
    pub nameservers: Vec<SocketAddr>,
    /// The object of RFC 8460 section 4.4.
    pub(super) body: Value,
}

/// The reporting side.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// `organization-name`.
    pub organization: &'a str,
    /// `contact-info`.
    pub contact: &'a str,
    /// Our name, in the ids of reports.
    pub host: &'a str,
}

impl TlsResult {
    /// As reports have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StartTlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

/// Kept nowhere.
impl Default for TlsReports {
    fn default() -> Self {
        Self::open(None)
    }
}

impl TlsReports {
    /// Goes on with what this folder has of the day; nothing is kept without one.
    pub fn open(folder: Option<PathBuf>) -> Self {
        let kept = folder.as_deref().and_then(|folder| fs::read(folder.join(CURRENT)).ok());
        let day = kept.and_then(|octets| serde_json::from_slice(&octets).ok());
        let (has_news, listener) = (AtomicBool::new(false), FailureListener::default());
        Self { folder, day: Mutex::new(day.unwrap_or_default()), has_news, listener }
    }

    /// From now on `hear` is told of every failure, those of hosts that no report is about included. It must
    /// not wait. Of several the first counts.
    pub fn listen(&self, hear: impl Fn(&TlsFailure<'_>) + Send + Sync + 'static) {
        self.listener.set(Box::new(hear));
    }

    pub(super) fn tell(&self, failure: &TlsFailure<'_>) {
        self.listener.tell(failure);
    }

    /// Counts a session, at this time in seconds since 1970.
    pub fn note(&self, session: TlsSession<'_>, now: u64) {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        // The rest of a day that is over waits for its reports.
        if day.domains.is_empty() {
            day.number = day_of(now);
        }
        day.note(session);
        self.has_news.store(true, Relaxed);
    }

    /// Writes down what was counted; the reports of a day that is over go to their own file, and are
    /// returned.
    pub fn settle(&self, reporter: Reporter<'_>, now: u64) -> io::Result<Vec<TlsReport>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        if day.domains.is_empty() {
            return Ok(Vec::new());
        }
        fs::create_dir_all(folder)?;
        if day.number == day_of(now) {
            if !self.has_news.swap(false, Relaxed) {
                return Ok(Vec::new());
            }
            write(&folder.join(CURRENT), &serde_json::to_vec(&*day)?)?;
            return Ok(Vec::new());
        }
        let reports: Vec<_> = day.reports(reporter);
        let all: Vec<_> = reports.iter().map(|report| &report.body).collect();
        write(
            &folder.join(format!("{}.json", date(day.number))),
            &serde_json::to_vec_pretty(&all)?,
        )?;
        *day = Day::default();
        fs::remove_file(folder.join(CURRENT)).or_else(absent_is_well)?;
        forget_old(folder)?;
        Ok(reports)
    }
}

impl Day {
    fn note(&mut self, session: TlsSession<'_>) {
        if !self.domains.contains_key(session.domain) {
            if self.domains.len() >= MOST_DOMAINS {
                return;
            }
            self.domains.insert(session.domain.to_owned(), Vec::new());
        }
        if session.nameservers.is_empty() {
            self.nameservers.remove(session.domain);
        } else if self.nameservers.get(session.domain).is_none_or(|its| its != session.nameservers)
        {
            self.nameservers.insert(session.domain.to_owned(), session.nameservers.to_vec());
        }
        let Some(tallies) = self.domains.get_mut(session.domain) else { return };
        let place = match tallies.iter().position(|its| its.policy == session.policy) {
            Some(place) => place,
            // A domain that changes its policy all day has its last sessions counted with another.
            None if tallies.len() >= MOST_POLICIES => tallies.len() - 1,
            None => {
                tallies.push(Tally { policy: session.policy, ..Tally::default() });
                tallies.len() - 1
            }
        };
        let tally = &mut tallies[place];
        let Some((result, reason)) = session.failure else {
            tally.successes += 1;
            return;
        };
        tally.failures += 1;
        let (mx, address) = session.mx;
        let is_same = |its: &Detail| {
            its.result == result.name()
                && (&*its.mx, its.address, its.from) == (mx, address, session.from)
        };
        match tally.details.iter().position(is_same) {
            Some(place) => tally.details[place].count += 1,
            None if tally.details.len() < MOST_DETAILS => tally.details.push(Detail {
                result: result.name().to_owned(),
                mx: mx.to_owned(),
                address,
                from: session.from,
                count: 1,
                reason: reason.chars().take(LONGEST_REASON).collect(),
            }),
            None => {}
        }
    }

    fn reports(&self, reporter: Reporter<'_>) -> Vec<TlsReport> {
        let report = |(domain, tallies): (&String, &Vec<Tally>)| {
            let day = date(self.number);
            let policies: Vec<_> = tallies.iter().map(|tally| tally.report(domain)).collect();
            let body = json!({
                "organization-name": reporter.organization,
                "date-range": {
                    "start-datetime": format!("{day}T00:00:00Z"),
                    "end-datetime": format!("{day}T23:59:59Z"),
                },
                "contact-info": reporter.contact,
                "report-id": format!("{day}!{domain}@{}", reporter.host),
                "policies": policies,
            });
            let nameservers = self.nameservers.get(domain).cloned().unwrap_or_default();
            TlsReport { domain: domain.clone(), nameservers, body }
        };
        self.domains.iter().map(report).collect()
    }
}

impl Tally {
    fn report(&self, domain: &str) -> Value {
        let mut policy = json!({ "policy-type": self.policy.kind, "policy-domain": domain });
        if !self.policy.lines.is_empty() {
            policy["policy-string"] = json!(self.policy.lines);
        }
        if !self.policy.mx.is_empty() {
            policy["mx-host"] = json!(self.policy.mx);
        }
        let mut report = json!({
            "policy": policy,
            "summary": {
                "total-successful-session-count": self.successes,
                "total-failure-session-count": self.failures,
            },
        });
        if !self.details.is_empty() {
            report["failure-details"] = self.details.iter().map(Detail::report).collect();
        }
        report
    }
}

impl Detail {
    fn report(&self) -> Value {
        let mut report = json!({
            "result-type": self.result,
            "failed-session-count": self.count,
            "failure-reason-code": self.reason,
        });
        if !self.mx.is_empty() {
            report["receiving-mx-hostname"] = json!(self.mx);
        }
        for (field, address) in [("receiving-ip", self.address), ("sending-mta-ip", self.from)] {
            if let Some(address) = address {
                report[field] = json!(address);
            }
        }
        report
    }
}

/// Keeps the files of the last days, and the one of today.
fn forget_old(folder: &Path) -> io::Result<()> {
    let mut days: Vec<_> = fs::read_dir(folder)?
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter(|name| name.len() == "2026-11-30.json".len() && name.starts_with("20"))
        .collect();
    days.sort();
    let old = days.len().saturating_sub(DAYS_KEPT);
    days.iter().take(old).try_for_each(|name| fs::remove_file(folder.join(name)))
}

pub(super) fn write(file: &Path, octets: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut written = File::create(&new)?;
    written.write_all(octets)?;
    written.sync_all()?;
    fs::rename(new, file)
}

fn absent_is_well(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn day_of(now: u64) -> i64 {
    i64::try_from(now / DAY).unwrap_or_default()
}

/// `2026-11-30`.
fn date(day: i64) -> String {
    let start = Timestamp::from_second(day.saturating_mul(DAY.cast_signed())).unwrap_or_default();
    start.to_zoned(TimeZone::UTC).date().to_string()
}

const CURRENT: &str = "current.json";
const DAY: u64 = 24 * 3_600;
/// Days whose reports are kept.
const DAYS_KEPT: usize = 14;
/// Domains of a day, policies of a domain, kinds of failures of a policy.
const MOST_DOMAINS: usize = 10_000;
const MOST_POLICIES: usize = 4;
const MOST_DETAILS: usize = 50;
const LONGEST_REASON: usize = 200;

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
