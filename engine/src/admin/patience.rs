//! How long the endpoint waits for the engine.

use std::{future::Future, time::Duration};

use tokio::time::timeout;

use super::console::{Answer, Unavailable};

/// Waits for the engine's answer, but not for ever.
pub(super) async fn in_time<T>(answer: impl Future<Output = Answer<T>>) -> Answer<T> {
    within(ANSWER, answer).await
}

/// Waits for the engine's answer, at most for `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Answer<T>>,
) -> Answer<T> {
    let late = |_| Unavailable(format!("the engine did not answer within {} s", limit.as_secs()));
    timeout(limit, answer).await.map_err(late)?
}

/// For the engine to answer one question.
const ANSWER: Duration = Duration::from_secs(10);

/// For the engine to add up a queue: a million entries take two to three seconds.
pub(super) const ADDING_UP: Duration = Duration::from_secs(60);
/// For the engine to read a large file, or all of the history, again, and to route mail of lost channels.
pub(super) const RELOADING: Duration = Duration::from_secs(300);
