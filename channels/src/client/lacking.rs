//! Mail that a server does not take because it lacks SMTPUTF8 (RFC 6531).

use crate::mail::{Enhanced, Outcome, Reply};

/// The outcome for what only a server with SMTPUTF8 takes.
pub(super) fn smtputf8(peer: &str, what: &str) -> Outcome {
    let text =
        format!("{peer} does not offer SMTPUTF8, and {what} is beyond what it takes without it");
    Outcome::Failed(Reply::with_text(550, NOT_TAKEN, text))
}

/// Whether another server may take what this outcome, which is our own word, was about.
pub(super) fn is_of_server(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(reply) if reply.enhanced == Some(NOT_TAKEN))
}

/// X.6.7 of RFC 6531 section 4.
const NOT_TAKEN: Enhanced = Enhanced(5, 6, 7);
