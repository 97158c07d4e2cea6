//! What gauges show.

/// What a gauge shows for a count; the most it can for one that is larger still.
pub fn level(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
