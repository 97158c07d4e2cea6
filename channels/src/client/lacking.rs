//! Mail that a server does not take because of what it offers: it lacks SMTPUTF8 (RFC 6531) or
//! REQUIRETLS (RFC 8689), or its SIZE (RFC 1870) is less.

use crate::mail::{Enhanced, Outcome, Reply};

/// The outcome for what only a server with SMTPUTF8 takes.
pub(super) fn smtputf8(peer: &str, what: &str) -> Outcome {
    let text =
        format!("{peer} does not offer SMTPUTF8, and {what} is beyond what it takes without it");
    Outcome::Failed(Reply::with_text(550, NOT_TAKEN, text))
}

/// The outcome for a message of more octets than the server says that it takes.
pub(super) fn room(size: u64, limit: u64) -> Outcome {
    let text = format!("message of {size} octets is larger than the server's {limit}");
    Outcome::Failed(Reply::with_text(552, TOO_LARGE, text))
}

/// The outcome for mail that must stay behind TLS, at a site none of whose servers keeps it there: the
/// mail waits where one that could not be asked may (RFC 8689 section 4.2.1).
pub(super) fn requiretls(others_may: bool) -> Outcome {
    if others_may {
        let text =
            "REQUIRETLS support required: no server that answers offers it and shows who it is";
        return Outcome::Deferred(Reply::new(451, NOT_GUARDED_NOW, text));
    }
    let text = "REQUIRETLS support required: no server offers it and shows who it is";
    Outcome::Failed(Reply::new(550, NOT_GUARDED, text))
}

/// Whether another server may take what this outcome, which is our own word, was about.
pub(super) fn is_of_server(outcome: &Outcome) -> bool {
    let is_about_offer = |enhanced| matches!(enhanced, Some(NOT_TAKEN | TOO_LARGE | NOT_GUARDED));
    matches!(outcome, Outcome::Failed(reply) if is_about_offer(reply.enhanced))
}

/// RFC 8689 section 4.2.1.
const NOT_GUARDED: Enhanced = Enhanced(5, 7, 30);
const NOT_GUARDED_NOW: Enhanced = Enhanced(4, 7, 30);
/// X.6.7 of RFC 6531 section 4.
const NOT_TAKEN: Enhanced = Enhanced(5, 6, 7);
/// RFC 1870 section 6.1.
const TOO_LARGE: Enhanced = Enhanced(5, 3, 4);
