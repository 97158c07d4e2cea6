//! Levels: counts as gauges show them.

/// The level of a gauge for a count; the most that it can show for a count that is larger still.
pub fn level(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
