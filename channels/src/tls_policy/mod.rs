//! Which TLS a destination is owed: what the operator, DANE (RFC 7672) and MTA-STS (RFC 8461) say of it,
//! and how it went.
//!
//! [`Facts::decide`] is the brain, without sockets; [`TlsPolicies`] gathers the facts. Nothing here opens
//! a connection to a mail server.

mod decide;
mod failures;
mod foreseen;
mod report;
mod report_mail;
mod report_web;
mod sts;
mod sts_cache;
mod sts_renewal;
mod table;
mod web;

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use relais_config::{
    Channel, Config,
    tls::{Insist, TlsLevel},
};
use serde::Serialize;

pub use decide::{Barred, Basis, DaneFound, Facts, PolicyKind, Requirement, TlsNeed};
pub use failures::TlsFailure;
pub use foreseen::ForeseenTls;
pub use report::{PublishedPolicy, Reporter, TlsReport, TlsReports, TlsResult, TlsSession};
pub use report_mail::{ReportMail, ReportReaders};
pub use report_web::{WebReport, WebReports, WebRetry};
pub use sts::{NoPolicy, StsMode, StsPolicy, id_of};
use sts_cache::tidy;
pub use sts_cache::{FetchFault, StsCache, StsFound, StsSource};
pub use sts_renewal::{RenewalEnd, Renewed};
pub use table::{DestinationTable, TableEntry};
pub use web::{Web, WebPlace};

use crate::{
    clock,
    dns::{Dns, SecureDns, Unanswered},
    mail::TlsWish,
    tls::{Assurance, CertificateError, TlsDemand},
};

/// The knowledge of destinations, for the whole engine. By default nothing is looked for.
#[derive(Default)]
pub struct TlsPolicies {
    /// By the name servers of channels; none: those of the section `dns`.
    secure: HashMap<Box<[SocketAddr]>, SecureDns>,
    sts: Option<StsPolicies>,
    /// The way to places on the web, where there are policies to fetch or reports to send.
    web: Option<Web>,
    reports: Arc<TlsReports>,
}

/// The policies of MTA-STS, and those who are asked for them.
struct StsPolicies {
    cache: StsCache<Web>,
    /// The places of the cache's sources, by the name servers of channels; none: those of the section
    /// `dns`.
    sources: HashMap<Box<[SocketAddr]>, usize>,
}

/// Why policies cannot be found out.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// The trust anchor, or the system's list of name servers.
    #[error("{0}")]
    Dns(#[from] Unanswered),
    /// The authorities of policies' servers.
    #[error("authorities of policies' servers: {0}")]
    Authorities(#[from] CertificateError),
}

impl PoliciesError {
    /// The setting to look at.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns.trust_anchor",
            Self::Authorities(_) => "mta_sts.ca",
        }
    }
}

/// The rules of one channel.
#[derive(Clone, Debug, Default)]
pub struct ChannelRules {
    /// The channel's word on all destinations.
    pub client: Insist,
    /// DANE is looked for.
    pub dane: bool,
    /// MTA-STS is looked for.
    pub mta_sts: bool,
    /// The operator's word on single ones.
    pub table: DestinationTable,
    /// Name servers of its own.
    pub nameservers: Box<[SocketAddr]>,
}

/// A destination, and what it says itself.
#[derive(Clone, Debug, Default)]
pub struct DestinationFacts {
    /// Its domain, in lower case.
    pub domain: String,
    /// Its policy of MTA-STS.
    pub sts: StsFound,
    /// Its mail exchangers, where DANE is looked for and they matter.
    exchangers: Option<Result<crate::dns::Exchangers, String>>,
    /// Its hosts are mail exchangers, or the domain itself.
    is_by_mx: bool,
    /// The name servers of the channel's own that were asked.
    nameservers: Box<[SocketAddr]>,
}

impl fmt::Debug for TlsPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dane, mta_sts) = (!self.secure.is_empty(), self.sts.is_some());
        f.debug_struct("TlsPolicies")
            .field("dane", &dane)
            .field("mta_sts", &mta_sts)
            .finish_non_exhaustive()
    }
}

impl TlsPolicies {
    /// As configured: what no channel looks for is not set up. Results are counted for `reports`.
    pub fn of(config: &Config, reports: &Arc<TlsReports>) -> Result<Self, PoliciesError> {
        let rules = |channel| ChannelRules::of(channel, |file| config.path(file));
        let channels: Vec<_> = config.channels.iter().map(rules).collect();
        let servers: &[SocketAddr] = &config.dns.servers;
        let anchor = config.dns.trust_anchor.as_deref().map(|file| config.path(file));
        let mut secure = HashMap::new();
        for rules in channels.iter().filter(|rules| rules.dane || rules.table.has_dane()) {
            let own = &rules.nameservers;
            if !secure.contains_key(own) {
                let asked = if own.is_empty() { servers } else { own };
                secure.insert(own.clone(), SecureDns::new(asked, anchor.as_deref())?);
            }
        }
        let has_sts = channels.iter().any(|rules| rules.mta_sts || rules.table.has_mta_sts());
        let web = (has_sts || config.tls_reports.is_some()).then(|| {
            let ca = config.mta_sts.ca.as_deref().map(|file| config.path(file));
            let web =
                Web::new(Dns::shared(servers)?, ca.as_deref(), config.mta_sts.private_addresses)?;
            Ok::<_, PoliciesError>(web)
        });
        let web = web.transpose()?;
        let sts = match &web {
            Some(web) if has_sts => Some(StsPolicies::of(config, &channels, web)?),
            _ => None,
        };
        Ok(Self { secure, sts, web, reports: Arc::clone(reports) })
    }

    /// Leaves what is kept on disk as it is.
    #[must_use]
    pub fn read_only(self) -> Self {
        let read_only =
            |its: StsPolicies| StsPolicies { cache: its.cache.read_only(), sources: its.sources };
        Self { sts: self.sts.map(read_only), ..self }
    }

    /// Reads the policies on disk, so that they are renewed before mail asks for them. Blocks.
    pub fn read_kept(&self) -> io::Result<()> {
        self.sts.as_ref().map_or(Ok(()), |policies| policies.cache.read_all())
    }

    /// Renews the policies of MTA-STS that are due, and counts failures.
    pub async fn renew(&self) -> Vec<Renewed> {
        let Some(policies) = &self.sts else { return Vec::new() };
        let renewed = policies.cache.renew(clock::now().as_secs()).await;
        for Renewed { domain, source, policy, end } in &renewed {
            let RenewalEnd::Failed(fault, _) = end else { continue };
            let asked = policies.sources.iter().find(|(_, place)| *place == source);
            let session = TlsSession {
                domain,
                policy: PublishedPolicy::of_sts(policy),
                mx: ("", None),
                from: None,
                failure: Some((result_of(fault), fault.to_string())),
                nameservers: asked.map_or(&[][..], |(nameservers, _)| nameservers),
            };
            self.reports.note(session, clock::now().as_secs());
        }
        renewed
    }

    /// The way to places on the web that these name servers know; none: those of the section `dns`.
    pub fn web(&self, nameservers: &[SocketAddr]) -> Option<Web> {
        let web = self.web.as_ref()?;
        let own = || Dns::shared(nameservers).ok();
        if nameservers.is_empty() { Some(web.clone()) } else { Some(web.asking(own()?)) }
    }

    /// Tells whoever listens that TLS with a server came to nothing, or that it gets no mail for want of it.
    pub(crate) fn tell(&self, failure: &TlsFailure<'_>) {
        self.reports.tell(failure);
    }

    /// Counts a session with a server of this destination.
    pub fn note(
        &self,
        destination: &DestinationFacts,
        (basis, demand): (Option<&Basis>, &TlsDemand),
        (mx, from): ((&str, Option<IpAddr>), Option<IpAddr>),
        failure: Option<(TlsResult, String)>,
    ) {
        if !destination.is_by_mx || destination.domain.is_empty() {
            return;
        }
        let policy = destination.published(basis, demand);
        let domain = &destination.domain;
        let nameservers = &*destination.nameservers;
        let session = TlsSession { domain, policy, mx, from, failure, nameservers };
        self.reports.note(session, clock::now().as_secs());
    }

    /// Gathers the policies of a destination. `is_by_mx`: mail goes to its mail exchangers, and not to a
    /// host that the configuration names.
    pub async fn destination(
        &self,
        rules: &ChannelRules,
        domain: &str,
        is_by_mx: bool,
    ) -> DestinationFacts {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let entry = rules.table.find(&domain);
        let sts =
            if is_by_mx { self.sts(rules, entry, &domain).await } else { StsFound::default() };
        let exchangers = match self.secure.get(&rules.nameservers) {
            Some(secure) if is_by_mx && rules.wants_dane(entry) => {
                Some(secure.exchangers(&domain).await.map_err(|error| error.to_string()))
            }
            _ => None,
        };
        let nameservers = rules.nameservers.clone();
        DestinationFacts { domain, sts, exchangers, is_by_mx, nameservers }
    }

    /// The policy of MTA-STS of a domain, where it counts.
    async fn sts(
        &self,
        rules: &ChannelRules,
        entry: Option<&TableEntry>,
        domain: &str,
    ) -> StsFound {
        match &self.sts {
            Some(policies) if rules.wants_sts(entry) && sts::is_host(domain) => {
                match policies.sources.get(&rules.nameservers) {
                    Some(source) => {
                        policies.cache.find(domain, *source, clock::now().as_secs()).await
                    }
                    None => StsFound::default(),
                }
            }
            _ => StsFound::default(),
        }
    }

    /// Whether mail for this domain may leave in no other way than by its own hosts: the operator, DANE or
    /// MTA-STS demands TLS of one of them at this port, or nobody can tell.
    pub async fn guards(
        &self,
        rules: &ChannelRules,
        (domain, port): (&str, u16),
        wish: TlsWish,
    ) -> bool {
        let destination = self.destination(rules, domain, true).await;
        for host in destination.hosts() {
            let owed = self.requirement(rules, &destination, (host, port), wish).await;
            if owed.is_ok_and(|owed| !owed.is_of_destination()) {
                continue;
            }
            return true;
        }
        false
    }

    /// The requirement for one host of a destination; or why it is handed no mail.
    pub async fn requirement(
        &self,
        rules: &ChannelRules,
        destination: &DestinationFacts,
        (host, port): (&str, u16),
        wish: TlsWish,
    ) -> Result<Requirement, Barred> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let entry = rules.table.find(&destination.domain);
        let dane = self.dane(rules, destination, (&host, port)).await;
        let sts = destination.sts.policy.as_ref();
        Facts { rules, entry, dane: &dane, sts, host: &host, wish }.decide()
    }
}

impl TlsPolicies {
    /// The word of DNSSEC on one host of a destination.
    pub async fn dane(
        &self,
        rules: &ChannelRules,
        destination: &DestinationFacts,
        (host, port): (&str, u16),
    ) -> DaneFound {
        let entry = rules.table.find(&destination.domain);
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self.secure.get(&rules.nameservers) {
            Some(secure) if rules.wants_dane(entry) => {
                destination.dane(secure, (&host, port)).await
            }
            _ => DaneFound::NotAsked,
        }
    }
}

impl StsPolicies {
    /// As the channels look for them.
    fn of(config: &Config, channels: &[ChannelRules], web: &Web) -> Result<Self, PoliciesError> {
        let look = |rules: &&ChannelRules| rules.mta_sts || rules.table.has_mta_sts();
        let (mut sources, mut places) = (Vec::new(), HashMap::new());
        for ChannelRules { nameservers: own, .. } in channels.iter().filter(look) {
            if !places.contains_key(own) {
                let asked: &[SocketAddr] = if own.is_empty() { &config.dns.servers } else { own };
                places.insert(own.clone(), sources.len());
                sources.push(web.asking(Dns::shared(asked)?));
            }
        }
        let cache = StsCache::new(sources, Some(config.data.join(STS_FOLDER)));
        Ok(Self { cache, sources: places })
    }
}

/// The policies of a destination, in words.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct PublishedWords {
    /// Whether DNSSEC proves its MX records; absent where nobody looks for DANE.
    pub mx_proof: Option<String>,
    /// Its policy of MTA-STS, line by line.
    pub mta_sts: Vec<String>,
    /// The id by which that was fetched.
    pub mta_sts_id: Option<String>,
    /// Why none, or no newer one, could be fetched.
    pub mta_sts_fault: Option<String>,
}

impl ChannelRules {
    /// As configured; `path` says where a file lies.
    pub fn of(channel: &Channel, path: impl Fn(&Path) -> PathBuf) -> Self {
        let tls = &channel.tls;
        Self {
            client: tls.client,
            dane: tls.dane,
            mta_sts: tls.mta_sts,
            table: DestinationTable::of(tls, path),
            nameservers: channel.nameservers.as_slice().into(),
        }
    }

    /// Whether TLS may be spoken because of them.
    pub fn speak_tls(&self) -> bool {
        self.client != Insist::No || self.differ_by_destination()
    }

    /// Whether servers may be owed something else than what the channel says.
    pub fn differ_by_destination(&self) -> bool {
        self.dane || self.mta_sts || !self.table.is_empty()
    }

    /// The requirement of the channel for every server.
    pub fn usual(&self, basis: Basis) -> Requirement {
        let need = match self.client {
            Insist::No => TlsNeed::No,
            Insist::May => TlsNeed::May,
            Insist::Must => TlsNeed::Must,
        };
        Requirement { need, demand: TlsDemand::default(), basis }
    }

    /// Whether DANE has a say, given the entry of the destination.
    fn wants_dane(&self, entry: Option<&TableEntry>) -> bool {
        let level = entry.and_then(|entry| entry.level);
        match level {
            Some(level) => level == TlsLevel::Dane,
            None => entry.and_then(|entry| entry.dane).unwrap_or(self.dane),
        }
    }

    fn wants_sts(&self, entry: Option<&TableEntry>) -> bool {
        match entry {
            Some(TableEntry { level: Some(_), .. }) => false,
            Some(entry) => entry.mta_sts.unwrap_or(self.mta_sts),
            None => self.mta_sts,
        }
    }
}

impl DestinationFacts {
    /// Why there is no policy of MTA-STS though there is a record of one.
    pub fn fault(&self) -> Option<(TlsResult, String)> {
        let fault = self.sts.fault.as_ref().filter(|_| self.sts.policy.is_none())?;
        Some((result_of(fault), fault.to_string()))
    }

    /// Whether a host that shows who it is is also one of those that the policy names.
    pub fn allows(&self, host: &str) -> bool {
        self.sts.policy.as_ref().is_none_or(|policy| policy.allows(host))
    }

    /// Its mail exchangers, as far as they were asked for; else the domain itself.
    fn hosts(&self) -> impl Iterator<Item = &str> {
        let found = self.exchangers.as_ref().and_then(|found| found.as_ref().ok());
        let names = found.map_or(&[][..], |found| &found.names);
        let itself = names.is_empty().then_some(&*self.domain);
        names.iter().map(|(_, name)| &**name).chain(itself)
    }

    /// Whether a mail exchanger is one of its own, proved by DNSSEC or by its policy of MTA-STS.
    pub fn proves(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let by_dnssec = matches!(&self.exchangers, Some(Ok(found))
            if found.secure && found.names.iter().any(|(_, name)| *name == host));
        by_dnssec || self.sts.policy.as_ref().is_some_and(|policy| policy.allows(&host))
    }

    /// Its policies, in words.
    pub fn published_words(&self) -> PublishedWords {
        let mx_proof = self.exchangers.as_ref().map(|found| match found {
            Ok(found) if found.names.is_empty() => "there are no MX records".to_owned(),
            Ok(found) if found.secure => "DNSSEC proves the MX records".to_owned(),
            Ok(_) => "DNSSEC does not prove the MX records".to_owned(),
            Err(why) => why.clone(),
        });
        PublishedWords {
            mx_proof,
            mta_sts: self.sts.policy.as_ref().map(|policy| policy.lines()).unwrap_or_default(),
            mta_sts_id: self.sts.id.clone(),
            mta_sts_fault: self.sts.fault.as_ref().map(ToString::to_string),
        }
    }

    /// The policy that a session is counted under (RFC 8460 section 4.4).
    fn published(&self, basis: Option<&Basis>, demand: &TlsDemand) -> PublishedPolicy {
        let sts = self.sts.policy.as_ref();
        let (kind, mut lines, mx) = match (basis, sts) {
            (Some(Basis::Dane), _) => ("tlsa", Vec::new(), Vec::new()),
            (_, Some(policy)) => return PublishedPolicy::of_sts(policy),
            (_, None) if self.sts.fault.is_some() => ("sts", Vec::new(), Vec::new()),
            (_, None) => ("no-policy-found", Vec::new(), Vec::new()),
        };
        if let Assurance::Records { records, .. } = &demand.assurance {
            lines = records.iter().map(ToString::to_string).collect();
        }
        PublishedPolicy { kind: kind.to_owned(), lines, mx }
    }

    /// RFC 7672 section 2.2: records count where the way to the host is proved.
    async fn dane(&self, secure: &SecureDns, (host, port): (&str, u16)) -> DaneFound {
        match &self.exchangers {
            Some(Err(why)) => return DaneFound::Failed(why.clone()),
            Some(Ok(found)) if !found.names.is_empty() => {
                if !found.secure {
                    return DaneFound::None("its MX records are not proved by DNSSEC");
                }
                if !found.names.iter().any(|(_, name)| name == host) {
                    let why = format!("{host} is no mail exchanger that DNSSEC proves");
                    return DaneFound::Failed(why);
                }
            }
            // Without MX records the domain is its own exchanger.
            Some(Ok(_)) | None => {}
        }
        let found = match secure.host(host).await {
            Ok(found) => found,
            Err(why) => return DaneFound::Failed(why.to_string()),
        };
        if found.bases.is_empty() {
            return DaneFound::None("its addresses are not proved by DNSSEC");
        }
        for base in &found.bases {
            match secure.tlsa(port, base).await {
                Ok(records) if records.is_empty() => {}
                Ok(records) => {
                    let mut names = vec![base.clone()];
                    let more = self.is_by_mx.then_some(self.domain.as_str());
                    for name in [host].into_iter().chain(more) {
                        if !names.iter().any(|known| known == name) {
                            names.push(name.to_owned());
                        }
                    }
                    return DaneFound::Records { records: records.into(), names };
                }
                Err(why) => return DaneFound::Failed(why.to_string()),
            }
        }
        DaneFound::None("it has no TLSA records")
    }
}

impl PublishedPolicy {
    fn of_sts(policy: &StsPolicy) -> Self {
        Self { kind: "sts".to_owned(), lines: policy.lines(), mx: policy.mx.clone() }
    }
}

/// A failure as reports have it.
fn result_of(fault: &FetchFault) -> TlsResult {
    match fault {
        FetchFault::Certificate(_) => TlsResult::StsWebpkiInvalid,
        FetchFault::Failed(_) => TlsResult::StsPolicyFetchError,
        FetchFault::Invalid(_) => TlsResult::StsPolicyInvalid,
    }
}

/// Forgets the policies on disk that hold no more.
pub fn tidy_policies(data: &Path) -> io::Result<()> {
    match tidy(&data.join(STS_FOLDER), clock::now().as_secs()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

const STS_FOLDER: &str = "mta-sts";
