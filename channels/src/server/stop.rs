//! How a session learns that the host is shutting down.

use tokio::sync::watch;

/// Turns on once, for every session that holds a clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Turns on when `receiver` shows true. A sender that is gone without saying so leaves it
    /// off.
    pub fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is on.
    pub async fn on(&mut self) {
        if self.0.wait_for(|on| *on).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
