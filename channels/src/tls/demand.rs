//! The demand of one connection on TLS.

use std::{path::PathBuf, sync::Arc};

use crate::dns::Tlsa;

/// The demand of a connection on its handshake. Sessions are resumed by connections of the same demand
/// alone: what one was content with says nothing to another.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TlsDemand {
    /// How the server shows who it is.
    pub assurance: Assurance,
    /// TLS 1.3 or none.
    pub newest_only: bool,
}

/// How a server shows who it is.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Assurance {
    /// As the channel says.
    #[default]
    Usual,
    /// Not at all: any certificate will do.
    Any,
    /// By a certificate for one of these names, of an authority of this file or, without one, of those
    /// that the channel trusts.
    Names {
        /// At least one.
        names: Vec<String>,
        /// PEM certificates of authorities.
        ca: Option<PathBuf>,
    },
    /// By one of these records (RFC 7672).
    Records {
        /// Usable ones.
        records: Arc<[Tlsa]>,
        /// For usage 2: the certificate is for one of these.
        names: Vec<String>,
    },
}

impl TlsDemand {
    /// Asked of the handshake.
    pub fn of(assurance: Assurance) -> Self {
        Self { assurance, newest_only: false }
    }

    /// The name under which the records are that a certificate is judged by.
    pub fn base(&self) -> Option<&str> {
        match &self.assurance {
            Assurance::Records { names, .. } => names.first().map(String::as_str),
            _ => None,
        }
    }
}
