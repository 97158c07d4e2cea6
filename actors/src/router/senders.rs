//! Senders of envelopes, rewritten by every rule without `$F`.
//!
//! Most rules leave an address as it is, or are for recipients: which senders another rule may match
//! is told without the router.

use relais_channels::mail::Address;
use relais_config::facts::Facts;

use super::{
    refusal::Refusal,
    rewrite::{Purpose, Rewriter},
    routes::Routes,
    steps::{Step, Trace},
};
use crate::directory::Lookup;

/// The address that a sender becomes; `None`: it stays as it is. A sender whose host no channel is
/// for stays so, too. An error passes: the directory could not be asked.
pub(super) async fn rewritten_sender(
    routes: &Routes,
    lookup: &impl Lookup,
    (sender, source, facts): (&Address, &str, Facts),
    trace: &mut Trace,
) -> Result<Option<Address>, Refusal> {
    if !routes.may_change_sender(sender) {
        return Ok(None);
    }
    let purpose = Purpose {
        envelope: true,
        forward: false,
        source,
        destination: None,
        reprocessed: false,
        facts,
    };
    let rewritten = Rewriter::new(routes, lookup, purpose, trace).rewrite(sender.clone()).await;
    let address = match rewritten {
        Ok(rewritten) => rewritten.address,
        Err(failure @ Refusal::Lookup(_)) => return Err(failure),
        Err(_leads_nowhere) => return Ok(None),
    };
    let is_new = address != *sender;
    if is_new {
        trace.note(|| Step::Sender { address: address.to_string() });
    }
    Ok(is_new.then_some(address))
}
