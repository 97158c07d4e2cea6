//! Whether the next hops behind a recipient's own servers may stand in for these: the last resort knows
//! nothing of the TLS that a domain is owed.

use super::{owed::Errand, security::TlsPolicy, site::ChosenBy};
use crate::mail::{NextHop, NextHops, SiteTrouble};

/// Whether mail keeps to the first of its next hops, a recipient's domain whose servers are owed TLS: by
/// the operator, DANE or MTA-STS. Asks name servers; for mail that goes there alone there is no need.
pub(super) async fn keeps_to_first(
    tls: &TlsPolicy,
    next_hops: &NextHops,
    errand: Errand,
    usual_port: u16,
) -> bool {
    let NextHop::Host { name, port } = next_hops.first() else { return false };
    let is_domain = errand.chosen_by == ChosenBy::Recipient && next_hops.len() > 1;
    is_domain && tls.guards((name, port.unwrap_or(usual_port)), errand.wish).await
}

/// Whether the next hop behind one may be asked after this trouble with it. A refusal of our introduction
/// is meant; anything else, another server may do better, but for TLS that a domain is owed.
pub(super) fn may_stand_in(chosen_by: ChosenBy, trouble: &SiteTrouble) -> bool {
    !trouble.is_final() && (chosen_by == ChosenBy::Configuration || !trouble.is_of_tls())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Enhanced, Outcome, Reply};

    #[test]
    fn what_a_domain_is_owed_is_not_left_to_others() {
        let refused = |code, enhanced| {
            let reply = Reply::new(code, enhanced, "x");
            let outcome =
                if code < 500 { Outcome::Deferred(reply) } else { Outcome::Failed(reply) };
            SiteTrouble { outcome }
        };
        let rows = [
            // reply, whether others may stand in: for a recipient's domain, for a host of ours
            (451, Enhanced(4, 4, 1), true, true),
            (451, Enhanced(4, 7, 4), false, true),
            (451, Enhanced(4, 7, 5), false, true),
            (451, Enhanced(4, 7, 0), true, true),
            (550, Enhanced(5, 7, 1), false, false),
        ];
        for (code, enhanced, of_domain, of_ours) in rows {
            let trouble = refused(code, enhanced);
            let got = [ChosenBy::Recipient, ChosenBy::Configuration]
                .map(|chosen_by| may_stand_in(chosen_by, &trouble));
            assert_eq!(got, [of_domain, of_ours], "{code} {enhanced:?}");
        }
    }
}
