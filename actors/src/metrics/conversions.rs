//! Meter of the parts of mail that are converted.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The parts that something became of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ConversionMeter([Counter; ConversionResult::ALL.len()]);

/// The fate of a part; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConversionResult {
    /// A program has looked at it, and it stays.
    Kept,
    /// It is called otherwise.
    Relabelled,
    /// Another part stands in its place.
    Replaced,
    /// It has another charset.
    Recoded,
    /// A text stands in its place.
    Deleted,
    /// It had its message returned.
    Returned,
    /// It had its message held.
    Held,
    /// It had its message discarded.
    Discarded,
    /// Its message is tried again, because a program or a disk failed.
    Deferred,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ConversionLabels {
    result: &'static str,
}

impl ConversionResult {
    /// Every result.
    pub const ALL: [Self; 9] = [
        Self::Kept,
        Self::Relabelled,
        Self::Replaced,
        Self::Recoded,
        Self::Deleted,
        Self::Returned,
        Self::Held,
        Self::Discarded,
        Self::Deferred,
    ];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Relabelled => "relabelled",
            Self::Replaced => "replaced",
            Self::Recoded => "recoded",
            Self::Deleted => "deleted",
            Self::Returned => "returned",
            Self::Held => "held",
            Self::Discarded => "discarded",
            Self::Deferred => "deferred",
        }
    }
}

impl ConversionMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<ConversionLabels, Counter>::default();
        let help = "Parts of mail by what conversions made of them; deferred: messages whose program \
                    failed, which are tried again";
        registry.register("conversion_parts", help, family.clone());
        let counter = |result: ConversionResult| {
            family.get_or_create_owned(&ConversionLabels { result: result.name() })
        };
        Self(ConversionResult::ALL.map(counter))
    }

    /// One more.
    pub fn count(&self, result: ConversionResult) {
        self.0[result as usize].inc();
    }
}
