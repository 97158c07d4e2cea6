//! Waiting for something to become true, with a limit.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Whether `done` became true before `limit` was over. Asks every 10 ms.
pub fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits up to `limit` for `done`, and fails the test with `what` when it does not come.
#[track_caller]
pub fn eventually(what: &str, limit: Duration, done: impl FnMut() -> bool) {
    assert!(within(limit, done), "not within {limit:?}: {what}");
}
