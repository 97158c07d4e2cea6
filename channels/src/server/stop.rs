//! Words from outside that bear on a session.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Stress;

/// The two ways in which a session is told to end, and each peer reads 421; and a reason to end it
/// sooner.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Before the next command, when no message is coming in.
    pub at_boundary: CancellationToken,
    /// Wherever the peer is; what is already being made safe is still answered.
    pub at_once: CancellationToken,
    /// Patience is short, and one error too many.
    pub stress: Arc<Stress>,
}

impl Stop {
    /// The word that counts for a session that is at a boundary or is not.
    pub(super) fn word(&self, is_at_boundary: bool) -> &CancellationToken {
        if is_at_boundary { &self.at_boundary } else { &self.at_once }
    }
}
