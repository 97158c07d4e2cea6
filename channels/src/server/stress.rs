//! The state in which a server has little left, and is less patient.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::Notify;

/// Whether a service is under stress; the sessions of the service look at it.
#[derive(Debug, Default)]
pub struct Stress {
    is_on: AtomicBool,
    entered: Notify,
}

impl Stress {
    /// Whether it is.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Enters or leaves it; whether that is a change.
    pub fn set(&self, is_on: bool) -> bool {
        let changed = self.is_on.swap(is_on, Relaxed) != is_on;
        if changed && is_on {
            self.entered.notify_waiters();
        }
        changed
    }

    /// Waits for it to begin; for ever when it has.
    pub(super) async fn entered(&self) {
        let entered = self.entered.notified();
        if self.is_on() {
            pending::<()>().await;
        }
        entered.await;
    }
}

/// How long a client may take for a command then.
pub(super) const COMMAND_TIME: Duration = Duration::from_secs(10);
