//! Proofs of the origin of a message: DKIM signatures of mail that we send (RFC 6376).
//!
//! All that touches the library `mail_auth` lies here. Bodies are hashed by our own
//! [`body::BodyHash`], piece by piece: the library wants all of a message in memory, and its relaxed
//! form of a body that ends in lines of blanks is not that of RFC 6376.

mod body;
mod key;
mod signature;
mod signers;

pub use key::{KeyFault, KeyFileFault};
pub use signature::{SignAs, SignatureHeaders, Unsigned};
pub use signers::Signers;

use relais_config::Config;

/// The parts that a configuration asks for. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Authenticity {
    /// Keys that sign what leaves.
    pub signers: Signers,
}

impl Authenticity {
    /// As configured. Keys are read, which takes a while.
    pub fn load(config: &Config) -> Result<Self, KeyFileFault> {
        Ok(Self { signers: Signers::load(config)? })
    }

    /// Reads the files again; after an error those of before are in force.
    pub fn adopt(&self, config: &Config) -> Result<(), KeyFileFault> {
        self.signers.adopt(config)
    }
}
