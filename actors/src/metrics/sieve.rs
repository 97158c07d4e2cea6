//! Meters of Sieve scripts, by what became of their runs.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Runs of scripts by result. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SieveMeter([Counter; SieveResult::ALL.len()]);

/// The result of the scripts of one recipient for one message; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SieveResult {
    /// All scripts came to their end.
    Done,
    /// Too much work, or actions that exclude each other: the message is in the INBOX.
    BrokeOff,
    /// A script has a mistake, and was passed by.
    Broken,
    /// The file of a script cannot be read now: the recipient waits.
    Unreadable,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SieveLabels {
    result: &'static str,
}

impl SieveResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Done, Self::BrokeOff, Self::Broken, Self::Unreadable];

    /// Its value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::BrokeOff => "broke_off",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
        }
    }
}

impl SieveMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<SieveLabels, Counter>::default();
        let help = "Runs of the Sieve scripts of a recipient by result";
        registry.register("sieve_runs", help, family.clone());
        let counter = |result: SieveResult| {
            family.get_or_create_owned(&SieveLabels { result: result.name() })
        };
        Self(SieveResult::ALL.map(counter))
    }

    /// Counts one.
    pub fn count(&self, result: SieveResult) {
        self.0[result as usize].inc();
    }
}
