//! Whether the next hops behind a recipient's own servers may stand in for these: the last resort knows
//! nothing of the TLS that a domain is owed.

use super::{security::TlsPolicy, site::ChosenBy};
use crate::mail::{NextHop, NextHops, SiteTrouble};

/// The servers of a domain alone, where the operator or the domain's policy demands TLS of them; `None`:
/// all may be asked. DANE shows when they are connected to ([`may_stand_in`]).
pub(super) async fn own_servers(
    tls: &TlsPolicy,
    next_hops: &NextHops,
    chosen_by: ChosenBy,
) -> Option<NextHops> {
    let NextHop::Host { name, .. } = next_hops.first() else { return None };
    let is_domain = chosen_by == ChosenBy::Recipient && next_hops.len() > 1;
    let is_owed = is_domain && tls.guards(name).await;
    is_owed.then(|| next_hops.first().clone().into())
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
