//! The TLS that the servers of a destination are owed, while one after the other is tried.

use std::net::IpAddr;

use super::{
    security::TlsPolicy,
    site::{ChosenBy, Server, Site},
};
use crate::{
    mail::{Enhanced, Outcome, Reply, SiteTrouble, TlsWish},
    tls::{Assurance, HandshakeRefused, RefusalKind, TlsDemand, Towards},
    tls_policy::{Barred, Basis, DestinationFacts, Requirement, StsMode, TlsNeed, TlsResult},
};

/// The purpose of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    /// The one who chose the first of its next hops.
    pub chosen_by: ChosenBy,
    /// The message's demand on TLS.
    pub wish: TlsWish,
    /// Octets of the message.
    pub size: u64,
}

/// A destination, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationTls {
    pub(super) facts: DestinationFacts,
    wish: TlsWish,
}

/// A session with one server, to be counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met<'a> {
    pub(super) tls: &'a TlsPolicy,
    pub(super) destination: &'a DestinationTls,
    pub(super) server: &'a Server,
    pub(super) owed: &'a Requirement,
    /// Our own address.
    pub(super) from: Option<IpAddr>,
}

impl DestinationTls {
    /// Of a destination of which nothing is known.
    pub(super) fn unknown(wish: TlsWish) -> Self {
        Self { facts: DestinationFacts::default(), wish }
    }

    /// Whether the message must stay behind TLS.
    pub(super) fn is_required(&self) -> bool {
        self.wish == TlsWish::Required
    }
}

impl Met<'_> {
    /// Counts it, with what went wrong if anything did.
    pub(super) fn note(&self, failure: Option<(TlsResult, String)>) {
        let mx = (&*self.server.host, Some(self.server.address.ip()));
        let policy = (Some(&self.owed.basis), &self.owed.demand);
        let facts = &self.destination.facts;
        self.tls.policies.note(facts, policy, (mx, self.from), failure);
    }

    /// Counts a handshake that came about. What only a policy in testing would refuse counts as refused.
    pub(super) fn shaken(&self, towards: &Towards) {
        if self.owed.basis != Basis::MtaSts(StsMode::Testing) {
            return self.note(None);
        }
        let doubt = towards.doubt.clone().zip(towards.doubt_kind);
        let failure = doubt.map(|(words, kind)| (result_of(kind, self.owed), words));
        let is_allowed = self.destination.facts.allows(&self.server.host);
        let other =
            || (TlsResult::ValidationFailure, "the policy does not name the host".to_owned());
        self.note(failure.or_else(|| (!is_allowed).then(other)));
    }

    /// Counts a handshake that was refused.
    pub(super) fn refused(&self, refused: &HandshakeRefused) {
        self.note(Some((result_of(refused.kind, self.owed), refused.to_string())));
    }
}

pub(super) fn result_of(kind: RefusalKind, owed: &Requirement) -> TlsResult {
    let by_records = matches!(owed.demand.assurance, Assurance::Records { .. });
    match kind {
        RefusalKind::OtherNames => TlsResult::CertificateHostMismatch,
        RefusalKind::Expired => TlsResult::CertificateExpired,
        RefusalKind::NotTrusted if by_records => TlsResult::TlsaInvalid,
        RefusalKind::NotTrusted => TlsResult::CertificateNotTrusted,
        RefusalKind::Other => TlsResult::ValidationFailure,
    }
}

impl Errand {
    /// Of a host that the configuration names, and a message that asks for nothing.
    pub const USUAL: Self =
        Self { chosen_by: ChosenBy::Configuration, wish: TlsWish::Usual, size: 0 };
}

impl TlsPolicy {
    /// Gathers what the destination says of itself.
    pub(super) async fn destination(&self, site: &Site, errand: Errand) -> DestinationTls {
        let Errand { chosen_by, wish, .. } = errand;
        let is_by_mx = site.by_mx || chosen_by == ChosenBy::Recipient;
        let facts = self.policies.destination(&self.rules, &site.name, is_by_mx).await;
        if let Some(fault) = facts.fault() {
            let nobody = (("", None), None);
            self.policies.note(&facts, (None, &TlsDemand::default()), nobody, Some(fault));
        }
        DestinationTls { facts, wish }
    }

    /// Whether TLS is demanded of a domain's own hosts, so that no others may have its mail.
    pub(super) async fn guards(&self, domain: (&str, u16), wish: TlsWish) -> bool {
        self.rules.differ_by_destination() && self.policies.guards(&self.rules, domain, wish).await
    }

    /// The requirement for one of its servers; or why it gets no mail.
    pub(super) async fn requirement(
        &self,
        destination: &DestinationTls,
        server: Option<&Server>,
    ) -> Result<Requirement, Barred> {
        let Some(server) = server.filter(|server| !server.host.is_empty()) else {
            return Ok(self.rules.usual(Basis::Channel));
        };
        let DestinationTls { facts, wish } = destination;
        let place = (&*server.host, server.address.port());
        let owed = self.policies.requirement(&self.rules, facts, place, *wish).await;
        if let Err(why) = &owed {
            let mx = (&*server.host, Some(server.address.ip()));
            let basis = matches!(why, Barred::DaneUnknown(_)).then_some(&Basis::Dane);
            let failure = Some((why.result(), why.to_string()));
            self.policies.note(facts, (basis, &TlsDemand::default()), (mx, None), failure);
        }
        owed
    }
}

/// The requirement where no TLS is set up.
pub(super) fn nothing() -> Requirement {
    Requirement { need: TlsNeed::No, demand: TlsDemand::default(), basis: Basis::Channel }
}

/// A server that is left out; mail waits.
pub(super) fn barred(peer: &str, why: &Barred) -> SiteTrouble {
    let text = format!("{peer} is handed no mail: {why}");
    SiteTrouble { outcome: Outcome::Deferred(Reply::with_text(451, BARRED, text)) }
}

/// RFC 3463: security or policy, of no further kind.
const BARRED: Enhanced = Enhanced(4, 7, 5);
