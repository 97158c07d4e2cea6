//! Words from outside that end a session.

use tokio_util::sync::CancellationToken;

/// The two ways in which a session is told to end; each peer reads 421.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Before the next command, when no message is coming in.
    pub at_boundary: CancellationToken,
    /// Wherever the peer is; what is already being made safe is still answered.
    pub at_once: CancellationToken,
}

impl Stop {
    /// The word that counts for a session that is at a boundary or is not.
    pub(super) fn word(&self, is_at_boundary: bool) -> &CancellationToken {
        if is_at_boundary { &self.at_boundary } else { &self.at_once }
    }
}
