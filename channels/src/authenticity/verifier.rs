//! Checks of the origin of a message: SPF, DKIM and DMARC.
//!
//! The library asks name servers one question after the other, by the resolver of [`Dns`] and its
//! memory, and never more than RFC 7208 section 4.6.4 allows. Each check has an end; what is not known
//! by then is a passing error.

use std::{net::IpAddr, sync::Arc, time::Duration};

use mail_auth::{
    AuthenticatedMessage, DkimOutput, DmarcOutput, MessageAuthenticator, Parameters, SpfOutput,
    SpfResult,
    common::crypto::{Algorithm, HashAlgorithm},
    dkim::Canonicalization,
    dmarc::{self, verify::DmarcParameters},
    spf::verify::SpfParameters,
};
use relais_config::facts::Facts;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use tokio::time::{Instant, timeout_at};

use super::{
    body::BodyHash,
    dmarc_records::DmarcRecords,
    look_ups::LookUps,
    verdict::{AuthResult, of_signature},
};
use crate::dns::Dns;

/// Checks messages.
#[derive(Debug)]
pub struct Verifier {
    dns: Arc<Dns>,
    /// Our name.
    host: Box<str>,
}

/// The result of SPF.
#[derive(Clone, Debug)]
pub struct SpfFound {
    /// Of the domain of the sender; of a null sender, of the name in HELO.
    pub verdict: AuthResult,
    /// Of the name in HELO alone.
    pub helo: AuthResult,
    /// The name in HELO.
    pub hello: Box<str>,
    /// The sender; empty for the null sender.
    pub sender: Box<str>,
    output: SpfOutput,
}

/// The result of one signature.
#[derive(Clone, Debug)]
pub struct SignatureFound {
    /// The result.
    pub verdict: AuthResult,
    /// Why it is not a pass.
    pub reason: &'static str,
    /// Its `d=`; empty when it makes no sense.
    pub domain: Box<str>,
    /// Its `s=`.
    pub selector: Box<str>,
    /// The first octets of its `b=`.
    pub(super) begin: Vec<u8>,
}

/// The result of DMARC.
#[derive(Clone, Debug)]
pub struct DmarcFound {
    /// The result.
    pub verdict: AuthResult,
    /// The domain of `From:`.
    pub domain: Box<str>,
    /// The wish of that domain for mail that fails.
    pub policy: DmarcPolicy,
}

/// The wish of a domain for mail that fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DmarcPolicy {
    /// None, or the domain has no record.
    None,
    /// It is to be looked at.
    Quarantine,
    /// It is to be refused.
    Reject,
    /// Nobody can tell now.
    Unknown,
}

/// The results of all checks of a message.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// The sender of the envelope; empty for the null sender.
    pub sender: Box<str>,
    /// SPF, where it was checked.
    pub spf: Option<SpfFound>,
    /// DKIM, where it was checked: the signatures, the uppermost first.
    pub dkim: Option<Vec<SignatureFound>>,
    /// There were more signatures than are looked at.
    pub has_more_signatures: bool,
    /// DMARC, where it was checked.
    pub dmarc: Option<DmarcFound>,
}

/// A message whose signatures are to be checked: its header, and hashes of its body as it comes.
pub struct SignedContent {
    header: Vec<u8>,
    hashes: Vec<(Canonicalization, HashAlgorithm, BodyHash)>,
    most: usize,
}

impl SignedContent {
    /// Of a message with this header, of whose signatures so many are looked at. The header ends with
    /// its blank line, if it has one.
    pub fn begin(header: &[u8], most: usize) -> Self {
        let hashes = AuthenticatedMessage::parse(header).map(|mut message| {
            limit(&mut message, most);
            let kinds = message.dkim_headers.iter().map(|its| {
                let algorithm = HashAlgorithm::from(its.header.a);
                (its.header.cb, algorithm)
            });
            let mut hashes: Vec<(Canonicalization, HashAlgorithm, BodyHash)> = Vec::new();
            for (form, algorithm) in kinds {
                if !hashes.iter().any(|its| (its.0, its.1) == (form, algorithm)) {
                    let digest = match algorithm {
                        HashAlgorithm::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
                        HashAlgorithm::Sha256 => &SHA256,
                    };
                    hashes.push((form, algorithm, BodyHash::new(form, digest)));
                }
            }
            hashes
        });
        Self { header: header.to_vec(), hashes: hashes.unwrap_or_default(), most }
    }

    /// Takes in a piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        for (_, _, hash) in &mut self.hashes {
            hash.feed(piece);
        }
    }
}

impl Verifier {
    /// For the host of this name.
    pub fn new(dns: Arc<Dns>, host: &str) -> Self {
        Self { dns, host: host.into() }
    }

    /// Checks whether this client may send in the name of a sender, and of its HELO.
    pub async fn spf(
        &self,
        client: IpAddr,
        (hello, sender): (&str, &str),
        limit: Duration,
    ) -> SpfFound {
        let client = client.to_canonical();
        let until = Instant::now() + limit;
        let checked = timeout_at(until, async {
            let (resolver, _right) = self.dns.lend().await?;
            let checks = MessageAuthenticator(resolver);
            let of_name = || SpfParameters::verify_ehlo(client, hello, &self.host);
            let of_name = spf(&checks, of_name).await;
            if sender.is_empty() {
                return Some((of_name.clone(), of_name));
            }
            let mail = || SpfParameters::verify_mail_from(client, hello, &self.host, sender);
            Some((of_name, spf(&checks, mail).await))
        });
        let unknown = || {
            let domain = sender.rsplit_once('@').map_or(hello, |(_, domain)| domain);
            let output = SpfOutput::new(domain.to_owned()).with_result(SpfResult::TempError);
            (output.clone(), output)
        };
        let (of_name, output) = checked.await.ok().flatten().unwrap_or_else(unknown);
        SpfFound {
            verdict: output.result().into(),
            helo: of_name.result().into(),
            hello: hello.into(),
            sender: sender.into(),
            output,
        }
    }

    /// Checks the signatures of a message, and with `dmarc` whether the domain of its author stands
    /// behind it.
    pub async fn message(
        &self,
        content: SignedContent,
        spf: Option<SpfFound>,
        (dmarc, limit): (bool, Duration),
    ) -> Verified {
        let SignedContent { header, hashes, most } = content;
        let Some(mut message) = AuthenticatedMessage::parse(&header) else {
            return Verified { spf, dkim: Some(Vec::new()), ..Verified::default() };
        };
        let has_more_signatures = self::limit(&mut message, most);
        for (form, algorithm, hash) in hashes {
            let mut its = message.body_hashes.iter_mut();
            if let Some(its) = its.find(|its| (its.0, its.1) == (form, algorithm)) {
                its.3 = hash.finish().as_ref().to_vec();
            }
        }
        let until = Instant::now() + limit;
        let checked = timeout_at(until, async {
            let (resolver, right) = self.dns.lend().await?;
            let checks = MessageAuthenticator(resolver);
            Some((checks.verify_dkim(&message).await, checks, right))
        });
        let (signatures, checks) = match checked.await.ok().flatten() {
            Some((signatures, checks, right)) => (signatures, Some((checks, right))),
            None => (unknown(&message), None),
        };
        let trusted: Vec<_> = signatures.iter().filter(|its| !is_weak(its)).cloned().collect();
        let dkim = Some(signatures.iter().map(found).collect());
        let mut verified = Verified { spf, dkim, has_more_signatures, ..Verified::default() };
        if dmarc {
            let spf = verified.spf.as_ref();
            let none = SpfOutput::default();
            let output = spf.map_or(&none, |its| &its.output);
            let name = spf.map_or("", |its| {
                its.sender.rsplit_once('@').map_or(&*its.hello, |(_, domain)| domain)
            });
            let asked = DmarcParameters::new(&message, &trusted, name, output);
            let result = match &checks {
                Some((checks, _)) => timeout_at(until, self::dmarc(checks, asked)).await.ok(),
                None => None,
            };
            verified.dmarc =
                Some(result.map_or_else(|| DmarcFound::unknown(&message), DmarcFound::from));
        }
        verified
    }
}

impl SpfFound {
    /// The results as rules and tables know them.
    pub fn facts(&self) -> Facts {
        Facts { spf: self.verdict.name(), spf_helo: self.helo.name() }
    }
}

impl Verified {
    /// The best result of the signatures.
    pub fn dkim_result(&self) -> Option<AuthResult> {
        let all = self.dkim.as_ref()?;
        let passed = all.iter().find(|its| its.verdict == AuthResult::Pass);
        Some(passed.or(all.first()).map_or(AuthResult::None, |its| its.verdict))
    }
}

impl DmarcFound {
    fn unknown(message: &AuthenticatedMessage<'_>) -> Self {
        let domain = message.from.first().and_then(|from| from.rsplit_once('@'));
        let domain = domain.map_or("", |(_, domain)| domain).into();
        Self { verdict: AuthResult::TempError, domain, policy: DmarcPolicy::Unknown }
    }
}

impl DmarcPolicy {
    /// As it is written; empty when nobody can tell.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
            Self::Unknown => "",
        }
    }
}

impl From<DmarcOutput> for DmarcFound {
    fn from(its: DmarcOutput) -> Self {
        let verdict = AuthResult::from(&its.result());
        // A fault on the way to the record says nothing about what it wants.
        let is_unknown = verdict == AuthResult::TempError && its.dmarc_record().is_none();
        let policy = if is_unknown { DmarcPolicy::Unknown } else { its.policy().into() };
        Self { verdict, domain: its.domain().into(), policy }
    }
}

impl From<dmarc::Policy> for DmarcPolicy {
    fn from(policy: dmarc::Policy) -> Self {
        match policy {
            dmarc::Policy::Reject => Self::Reject,
            dmarc::Policy::Quarantine => Self::Quarantine,
            dmarc::Policy::None | dmarc::Policy::Unspecified => Self::None,
        }
    }
}

/// DMARC by records as they are to be read.
async fn dmarc(checks: &MessageAuthenticator, asked: DmarcParameters<'_>) -> DmarcOutput {
    let author = asked.message.from.first().and_then(|from| from.rsplit_once('@'));
    let author = author.map_or("", |(_, domain)| domain);
    let signers = asked.dkim_output.iter().filter_map(|its| its.signature());
    let speakers = signers.map(|its| its.d.as_str()).chain([asked.rfc5321_mail_from_domain]);
    let records = DmarcRecords::found(checks, author, speakers).await;
    checks.verify_dmarc(Parameters::new(asked).with_txt_cache(&records)).await
}

/// One check of SPF, made twice where it depends on the names of the client's address.
async fn spf<'x>(
    checks: &MessageAuthenticator,
    asked: impl Fn() -> SpfParameters<'x>,
) -> SpfOutput {
    let mut looks = LookUps::default();
    let mut output = check(checks, asked(), &looks).await;
    if let Some(names) = looks.names() {
        looks = LookUps::knowing(names);
        output = check(checks, asked(), &looks).await;
    }
    let decided = !matches!(output.result(), SpfResult::None | SpfResult::TempError);
    if decided && looks.are_too_void(checks).await {
        return output.with_result(SpfResult::PermError);
    }
    output
}

async fn check(
    checks: &MessageAuthenticator,
    asked: SpfParameters<'_>,
    looks: &LookUps,
) -> SpfOutput {
    let asked = Parameters::new(asked).with_ptr_cache(looks).with_mx_cache(looks);
    checks.verify_spf(asked.with_ipv4_cache(looks).with_ipv6_cache(looks)).await
}

/// Leaves so many signatures, none of which names more fields than make sense. Returns whether there
/// were more.
fn limit(message: &mut AuthenticatedMessage<'_>, most: usize) -> bool {
    let all = message.dkim_headers.len() + message.errors.len();
    message.dkim_headers.retain(|its| its.header.h.len() <= MOST_FIELDS);
    message.dkim_headers.truncate(most);
    message.errors.truncate(most);
    message.dkim_headers.len() + message.errors.len() < all
}

/// Signatures that nobody can check now.
fn unknown<'x>(message: &'x AuthenticatedMessage<'x>) -> Vec<DkimOutput<'x>> {
    let late = || mail_auth::Error::Dns(mail_auth::DnsError::Resolver(String::new()));
    let all = message.dkim_headers.iter();
    all.map(|its| DkimOutput::temp_err(late()).with_signature(&its.header)).collect()
}

/// Whether a signature is made by an algorithm that proves nothing any more (RFC 8301 section 3.1).
fn is_weak(output: &DkimOutput<'_>) -> bool {
    output.signature().is_some_and(|its| its.a == Algorithm::RsaSha1)
}

fn found(output: &DkimOutput<'_>) -> SignatureFound {
    let (mut verdict, mut reason) = of_signature(output.result());
    if is_weak(output) && verdict == AuthResult::Pass {
        (verdict, reason) = (AuthResult::Policy, "rsa-sha1 proves nothing");
    }
    let signature = output.signature();
    SignatureFound {
        verdict,
        reason,
        domain: signature.map_or("", |its| &its.d).into(),
        selector: signature.map_or("", |its| &its.s).into(),
        begin: signature.map(|its| its.b.iter().take(6).copied().collect()).unwrap_or_default(),
    }
}

/// Names in `h=`.
const MOST_FIELDS: usize = 500;
