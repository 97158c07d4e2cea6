//! Proofs of the origin of a message: DKIM signatures of mail that we send (RFC 6376); SPF, DKIM and
//! DMARC of mail that we get, and the field that tells of them.
//!
//! All that touches the library `mail_auth` lies here. Bodies are hashed by our own
//! [`body::BodyHash`], piece by piece: the library wants all of a message in memory, and its relaxed
//! form of a body that ends in lines of blanks is not that of RFC 6376.

mod body;
mod dmarc_records;
mod key;
mod look_ups;
mod own_name;
mod results;
mod signature;
mod signers;
mod srs;
mod verdict;
mod verifier;

pub use key::{KeyFault, KeyFileFault};
pub use results::{room, without_own};
pub use signature::{SignAs, SignatureHeaders, Unsigned};
pub use signers::Signers;
pub use srs::{Srs, SrsFault};
pub use verdict::AuthResult;
pub use verifier::{
    DmarcFound, DmarcPolicy, SignatureFound, SignedContent, SpfFound, Verified, Verifier,
};

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use relais_config::{Channel, Config, srs::SrsUse};

use crate::dns::{Dns, Unanswered};

/// The parts that a configuration asks for. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Authenticity {
    /// Keys that sign what leaves.
    pub signers: Signers,
    /// Checks what comes in, where some channel asks for it.
    pub verifier: Option<Arc<Verifier>>,
    /// Gives senders of forwarded mail addresses of ours, and takes them back.
    pub srs: Option<Arc<Srs>>,
}

/// A part that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticityFault {
    /// A key that signs cannot be used.
    #[error("{field}: {0}", field = .0.field)]
    Key(#[from] KeyFileFault),
    /// Name servers cannot be asked.
    #[error("dns: {0}")]
    Dns(#[from] Unanswered),
}

impl Authenticity {
    /// As configured. Keys are read, which takes a while.
    pub fn load(config: &Config) -> Result<Self, AuthenticityFault> {
        let signers = Signers::load(config)?;
        let srs = Srs::load(config)?.map(Arc::new);
        let is_asked = |its: &Channel| its.verify.is_on() || its.srs == SrsUse::Needed;
        let verifier = if config.channels.iter().any(is_asked) || config.asks_facts() {
            let dns = Dns::shared(&config.dns.servers)?;
            Some(Arc::new(Verifier::new(dns, &config.host)))
        } else {
            None
        };
        Ok(Self { signers, verifier, srs })
    }

    /// The sender that mail which is forwarded leaves with in the place of its own. `None`: its own
    /// does. `host`: who we are.
    pub async fn forwarding_sender(
        &self,
        srs_use: SrsUse,
        (host, sender): (&str, &str),
    ) -> Option<String> {
        let srs = self.srs.as_ref()?;
        if !srs.wraps(srs_use, sender)
            || srs_use == SrsUse::Needed && self.lets_us(host, sender).await
        {
            return None;
        }
        srs.wrapped(sender, SystemTime::now())
    }

    /// Whether a sender's domain lets all of our addresses send, or says nothing. When nobody can tell,
    /// it does not.
    async fn lets_us(&self, host: &str, sender: &str) -> bool {
        let (Some(verifier), Some(srs)) = (&self.verifier, &self.srs) else { return false };
        for address in srs.addresses() {
            let found = verifier.spf(*address, (host, sender), SPF_TIME).await;
            if !matches!(found.verdict, AuthResult::Pass | AuthResult::None) {
                return false;
            }
        }
        true
    }

    /// Reads the files again; after an error those of before are in force.
    pub fn adopt(&self, config: &Config) -> Result<(), KeyFileFault> {
        self.signers.adopt(config)?;
        self.srs.as_ref().map_or(Ok(()), |srs| srs.adopt(config))
    }
}

/// For one address of ours.
const SPF_TIME: Duration = Duration::from_secs(10);
