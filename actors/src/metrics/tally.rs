//! A count whose sample is named like its family.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric},
};

use super::level::level;

/// Counts up, like a counter, but is exposed with the type `unknown`.
///
/// In the text format the counter `x_total` belongs to the family `x`. Where a gauge `x` exists as
/// well, the two families would have one name, which strict readers refuse; a family `x_total`
/// of no stated type is read the same by every query.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainTotal(Arc<AtomicU64>);

impl PlainTotal {
    pub(super) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl TypedMetric for PlainTotal {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for PlainTotal {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        // Relaxed sums stay far below 2^63: 10,000 a second for 29 million years.
        encoder.encode_gauge(&level(self.get()))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
