//! Mail that a server does not take because of what it offers: it lacks SMTPUTF8 (RFC 6531) or
//! REQUIRETLS (RFC 8689), or its SIZE (RFC 1870) is less.

use crate::mail::{Enhanced, Outcome, Reply};

/// The outcome for what only a server with SMTPUTF8 takes.
pub(super) fn smtputf8((peer, others_may): (&str, bool), what: &str) -> Outcome {
    let text =
        format!("{peer} does not offer SMTPUTF8, and {what} is beyond what it takes without it");
    verdict(550, NOT_TAKEN, text, others_may)
}

/// The outcome for a message of more octets than the server says that it takes.
pub(super) fn room((size, limit): (u64, u64), others_may: bool) -> Outcome {
    let text = format!("message of {size} octets is larger than the server's {limit}");
    verdict(552, TOO_LARGE, text, others_may)
}

/// The outcome for mail that must stay behind TLS, at a site none of whose servers keeps it there.
pub(super) fn requiretls(others_may: bool) -> Outcome {
    let who = if others_may { "no server that answers" } else { "no server" };
    let text = format!("REQUIRETLS support required: {who} offers it and shows who it is");
    verdict(550, NOT_GUARDED, text, others_may)
}

/// Final where each server was asked; else mail waits for the others (RFC 8689 section 4.2.1).
fn verdict(code: u16, enhanced: Enhanced, text: String, others_may: bool) -> Outcome {
    let Enhanced(_, subject, detail) = enhanced;
    if others_may {
        Outcome::Deferred(Reply::with_text(451, Enhanced(4, subject, detail), text))
    } else {
        Outcome::Failed(Reply::with_text(code, enhanced, text))
    }
}

/// Whether another server may take what this outcome, which is our own word, was about.
pub(super) fn is_of_server(outcome: &Outcome) -> bool {
    let is_about_offer = |enhanced| matches!(enhanced, Some(NOT_TAKEN | TOO_LARGE | NOT_GUARDED));
    matches!(outcome, Outcome::Failed(reply) if is_about_offer(reply.enhanced))
}

/// RFC 8689 section 4.2.1.
const NOT_GUARDED: Enhanced = Enhanced(5, 7, 30);
/// X.6.7 of RFC 6531 section 4.
const NOT_TAKEN: Enhanced = Enhanced(5, 6, 7);
/// RFC 1870 section 6.1.
const TOO_LARGE: Enhanced = Enhanced(5, 3, 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_final_where_no_server_is_left_to_ask() {
        let rows = [
            (false, ["550 5.6.7", "552 5.3.4", "550 5.7.30"]),
            (true, ["451 4.6.7", "451 4.3.4", "451 4.7.30"]),
        ];
        for (others_may, wants) in rows {
            let of_utf8 = smtputf8(("mx", others_may), "the header");
            let all = [of_utf8, room((2, 1), others_may), requiretls(others_may)];
            for (outcome, want) in all.into_iter().zip(wants) {
                assert!(outcome.reply().to_string().starts_with(want), "{outcome:?}");
                assert_eq!(is_of_server(&outcome), !others_may, "{outcome:?}");
            }
        }
    }
}
