//! Meters of notices to senders, by their result.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Notices by result. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NoticeMeter([Counter; NoticeResult::ALL.len()]);

/// The result of a notice; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoticeResult {
    /// It is in the queue, as mail like any other.
    Written,
    /// No rule leads to whom it is for.
    NoWay,
    /// It could not be written for now, and is tried again.
    PutOff,
    /// It could not be written again and again: nobody is told.
    GivenUp,
    /// It was refused itself, or returned (a double bounce): its reader never gets it.
    Died,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct NoticeLabels {
    result: &'static str,
}

impl NoticeResult {
    /// Every result.
    pub const ALL: [Self; 5] =
        [Self::Written, Self::NoWay, Self::PutOff, Self::GivenUp, Self::Died];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::NoWay => "no_way",
            Self::PutOff => "put_off",
            Self::GivenUp => "given_up",
            Self::Died => "died",
        }
    }
}

impl NoticeMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<NoticeLabels, Counter>::default();
        let help = "Notices to senders by result; no_way: look for rules that lead to your senders; \
                    died: the log names those whose readers refused them";
        registry.register("notices", help, family.clone());
        let counter = |result: NoticeResult| {
            family.get_or_create_owned(&NoticeLabels { result: result.name() })
        };
        Self(NoticeResult::ALL.map(counter))
    }

    /// Counts one.
    pub fn count(&self, result: NoticeResult) {
        self.0[result as usize].inc();
    }
}
