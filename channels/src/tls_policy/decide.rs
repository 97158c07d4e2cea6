//! The decision: what is asked of TLS with one host of a destination, and why.
//!
//! The operator's word stands first, then DANE, then MTA-STS, then what the channel says. A message whose
//! header says `TLS-Required: No` (RFC 8689) sets aside what the destination publishes, but never what
//! the operator says. One that came with REQUIRETLS changes nothing here: it is not handed over by a
//! connection that does not show who the server is.

use std::{borrow::Cow, fmt, sync::Arc};

use relais_config::tls::TlsLevel;

use super::{
    ChannelRules, TlsResult,
    sts::{StsMode, StsPolicy},
    table::TableEntry,
};
use crate::{
    dns::Tlsa,
    mail::TlsWish,
    tls::{Assurance, TlsDemand},
};

/// Everything that is known of a host and its destination.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The channel's word on all destinations.
    pub rules: &'a ChannelRules,
    /// The operator's word on this one.
    pub entry: Option<&'a TableEntry>,
    /// The word of DNSSEC on the host.
    pub dane: &'a DaneFound,
    /// The destination's policy of MTA-STS.
    pub sts: Option<&'a Arc<StsPolicy>>,
    /// The host that is connected to, in lower case.
    pub host: &'a str,
    /// The message's demand.
    pub wish: TlsWish,
}

/// The word of DNSSEC on a host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum DaneFound {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// Its mail exchanger record or its addresses are not proved, or it publishes no records; in words.
    None(&'static str),
    /// It publishes these, proved.
    Records {
        /// All of them, the unusable ones too.
        records: Arc<[Tlsa]>,
        /// Names that a certificate of usage 2 may be for: the host's own first.
        names: Vec<String>,
    },
    /// The look-up failed, or the answer is bogus: somebody may be in the way.
    Failed(String),
}

impl DaneFound {
    /// Its records as a zone has them, or why there are none; nothing where nobody asked.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::NotAsked => Vec::new(),
            Self::None(why) => vec![(*why).to_owned()],
            Self::Failed(why) => vec![why.clone()],
            Self::Records { records, .. } => records.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The requirement for TLS with one host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requirement {
    /// How far TLS is needed.
    pub need: TlsNeed,
    /// The demand on the handshake.
    pub demand: TlsDemand,
    /// Why.
    pub basis: Basis,
}

/// How far TLS is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsNeed {
    /// It is not begun.
    No,
    /// It is begun where it is offered; in clear where it fails.
    May,
    /// No mail without it.
    Must,
}

/// Where a requirement comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Basis {
    /// The channel's own setting.
    Channel,
    /// An entry of the channel's table.
    Operator(String),
    /// TLSA records.
    Dane,
    /// A policy of the destination in this mode.
    MtaSts(StsMode),
    /// The message said that it need not be protected.
    NotRequired,
}

/// Why a host is handed no mail.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Barred {
    /// DANE was asked for and nobody can tell.
    #[error("DANE: {0}")]
    DaneUnknown(String),
    /// The operator wants DANE, and the host has none.
    #[error("the policy for {pattern} asks for DANE, and {why}")]
    NoDane {
        /// The key of the entry.
        pattern: String,
        /// The missing thing.
        why: &'static str,
    },
    /// MTA-STS does not name the host.
    #[error("the destination's MTA-STS policy does not allow this host")]
    StsHost,
}

impl Facts<'_> {
    /// The requirement, or why the host is left out.
    pub fn decide(&self) -> Result<Requirement, Barred> {
        let decided = self.by_operator().unwrap_or_else(|| self.by_destination());
        let mut requirement = decided?;
        requirement.demand.newest_only = self.entry.is_some_and(|entry| entry.newest_only);
        Ok(requirement)
    }

    fn by_operator(&self) -> Option<Result<Requirement, Barred>> {
        let entry = self.entry?;
        let basis = Basis::Operator(entry.pattern.clone());
        let with = |need, assurance| {
            Ok(Requirement { need, demand: TlsDemand::of(assurance), basis: basis.clone() })
        };
        Some(match entry.level? {
            TlsLevel::No => with(TlsNeed::No, Assurance::Any),
            TlsLevel::May => with(TlsNeed::May, Assurance::Any),
            TlsLevel::Encrypt => with(TlsNeed::Must, Assurance::Any),
            TlsLevel::Verify => with(TlsNeed::Must, self.names_of(entry)),
            TlsLevel::Dane => match self.dane {
                DaneFound::Records { .. } => self.by_records(basis.clone(), Some(entry)),
                DaneFound::None(why) => Err(Barred::NoDane { pattern: entry.pattern.clone(), why }),
                DaneFound::Failed(why) => Err(Barred::DaneUnknown(why.clone())),
                DaneFound::NotAsked => Err(Barred::NoDane {
                    pattern: entry.pattern.clone(),
                    why: "it is an address, which has no records",
                }),
            },
        })
    }

    fn names_of(&self, entry: &TableEntry) -> Assurance {
        let names =
            if entry.names.is_empty() { vec![self.host.to_owned()] } else { entry.names.clone() };
        Assurance::Names { names, ca: entry.ca.clone() }
    }

    fn by_destination(&self) -> Result<Requirement, Barred> {
        let usual = |basis| Ok(self.rules.usual(basis));
        if self.wish == TlsWish::NotRequired {
            return usual(Basis::NotRequired);
        }
        match self.dane {
            DaneFound::Failed(why) => return Err(Barred::DaneUnknown(why.clone())),
            DaneFound::Records { .. } => return self.by_records(Basis::Dane, None),
            DaneFound::None(_) | DaneFound::NotAsked => {}
        }
        match self.sts {
            Some(policy) if policy.mode == StsMode::Enforce => {
                if !policy.allows(self.host) {
                    return Err(Barred::StsHost);
                }
                let assurance = Assurance::Names { names: vec![self.host.to_owned()], ca: None };
                let demand = TlsDemand::of(assurance);
                Ok(Requirement { need: TlsNeed::Must, demand, basis: Basis::MtaSts(policy.mode) })
            }
            Some(policy) => usual(Basis::MtaSts(policy.mode)),
            None => usual(Basis::Channel),
        }
    }

    /// RFC 7672 section 2.2: records of which none is usable ask for TLS and no more; an operator who
    /// wants DANE wants one that is.
    fn by_records(&self, basis: Basis, entry: Option<&TableEntry>) -> Result<Requirement, Barred> {
        let DaneFound::Records { records, names } = self.dane else {
            return Err(Barred::DaneUnknown("nobody asked".to_owned()));
        };
        let usable: Arc<[Tlsa]> = records.iter().filter(|its| its.is_usable()).cloned().collect();
        let assurance = match (usable.is_empty(), entry) {
            (false, _) => Assurance::Records { records: usable, names: names.clone() },
            (true, None) => Assurance::Any,
            (true, Some(entry)) => {
                let why = "none of its TLSA records is usable";
                return Err(Barred::NoDane { pattern: entry.pattern.clone(), why });
            }
        };
        Ok(Requirement { need: TlsNeed::Must, demand: TlsDemand::of(assurance), basis })
    }
}

impl Requirement {
    /// Whether TLS is demanded of the host for the sake of its destination, and not of every host alike.
    pub fn is_of_destination(&self) -> bool {
        let is_usual = matches!(self.basis, Basis::Channel | Basis::NotRequired);
        self.need == TlsNeed::Must && !is_usual
    }
}

impl Basis {
    /// The one that asks, in a sentence.
    pub fn asks(&self) -> Cow<'static, str> {
        match self {
            Self::Channel | Self::NotRequired => "tls.client".into(),
            Self::Operator(pattern) => format!("the policy for {pattern}").into(),
            Self::Dane => "DANE".into(),
            Self::MtaSts(_) => "MTA-STS".into(),
        }
    }

    /// Whether it is an entry of the channel's table.
    pub const fn is_operators(&self) -> bool {
        matches!(self, Self::Operator(_))
    }

    /// Its kind.
    pub const fn kind(&self) -> PolicyKind {
        match self {
            Self::Channel => PolicyKind::Channel,
            Self::Operator(_) => PolicyKind::Operator,
            Self::Dane => PolicyKind::Dane,
            Self::MtaSts(_) => PolicyKind::MtaSts,
            Self::NotRequired => PolicyKind::NotRequired,
        }
    }
}

impl Barred {
    /// The kind of the policy that bars.
    pub const fn kind(&self) -> PolicyKind {
        match self {
            Self::DaneUnknown(_) => PolicyKind::Dane,
            Self::NoDane { .. } => PolicyKind::Operator,
            Self::StsHost => PolicyKind::MtaSts,
        }
    }

    /// As reports have it.
    pub const fn result(&self) -> TlsResult {
        match self {
            Self::DaneUnknown(_) => TlsResult::DnssecInvalid,
            Self::NoDane { .. } | Self::StsHost => TlsResult::ValidationFailure,
        }
    }
}

/// The kinds of policies that metrics tell apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PolicyKind {
    /// The channel's own setting.
    Channel,
    /// An entry of the channel's table.
    Operator,
    /// TLSA records.
    Dane,
    /// A policy of MTA-STS.
    MtaSts,
    /// `TLS-Required: No`.
    NotRequired,
}

impl PolicyKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Channel, Self::Operator, Self::Dane, Self::MtaSts, Self::NotRequired];

    /// In lower case; the label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Operator => "operator",
            Self::Dane => "dane",
            Self::MtaSts => "mta_sts",
            Self::NotRequired => "not_required",
        }
    }
}

/// `MTA-STS enforce`.
impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel => f.write_str("channel"),
            Self::Operator(pattern) => write!(f, "policy for {pattern}"),
            Self::Dane => f.write_str("DANE"),
            Self::MtaSts(mode) => write!(f, "MTA-STS {mode}"),
            Self::NotRequired => f.write_str("TLS-Required: No"),
        }
    }
}

/// `must, by TLSA records (DANE)`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let need = match self.need {
            TlsNeed::No => "no TLS",
            TlsNeed::May => "TLS if offered",
            TlsNeed::Must => "TLS or no mail",
        };
        let how = match &self.demand.assurance {
            _ if self.need == TlsNeed::No => "",
            Assurance::Usual => "",
            Assurance::Any => ", any certificate",
            Assurance::Names { .. } => ", certificate by name",
            Assurance::Records { .. } => ", certificate by TLSA records",
        };
        write!(f, "{need}{how} ({})", self.basis)
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
