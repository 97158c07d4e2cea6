//! What TLS the servers of a destination are owed, while one after the other is tried.

use super::{
    security::TlsPolicy,
    site::{ChosenBy, Server, Site},
};
use crate::{
    mail::{Enhanced, Outcome, Reply, SiteTrouble, TlsWish},
    tls::TlsDemand,
    tls_policy::{Barred, Basis, DestinationFacts, Requirement, TlsNeed},
};

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    /// Whose choice the first of its next hops is.
    pub chosen_by: ChosenBy,
    /// What the message asks of TLS.
    pub wish: TlsWish,
}

/// A destination, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationTls {
    facts: DestinationFacts,
    wish: TlsWish,
}

impl Errand {
    /// Of a host that the configuration names, and a message that asks for nothing.
    pub const USUAL: Self = Self { chosen_by: ChosenBy::Configuration, wish: TlsWish::Usual };
}

impl TlsPolicy {
    /// Gathers what the destination says of itself.
    pub(super) async fn destination(&self, site: &Site, errand: Errand) -> DestinationTls {
        let Errand { chosen_by, wish } = errand;
        let is_by_mx = site.by_mx || chosen_by == ChosenBy::Recipient;
        let facts = self.policies.destination(&self.rules, &site.name, is_by_mx).await;
        DestinationTls { facts, wish }
    }

    /// What is asked of one of its servers; or why it gets no mail.
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
        self.policies.requirement(&self.rules, facts, place, *wish).await
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
