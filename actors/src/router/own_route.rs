//! Hosts of ours at the head of a source route: mail that has come here has passed them, and the rest
//! of the address is what its writer means (RFC 5321 appendix C).

use relais_channels::mail::Address;
use relais_config::channel::Program;

use super::{
    refusal::Refusal,
    rewrite::{Purpose, Rewriter},
    routes::Routes,
    spec::Spec,
    steps::Trace,
};
use crate::directory::Lookup;

/// The address without them; `None`: it has none of ours there.
pub(super) async fn without_own_hosts(
    routes: &Routes,
    lookup: &impl Lookup,
    purpose: Purpose<'_>,
    address: &Address,
) -> Result<Option<Address>, Refusal> {
    let order = routes.host_order(purpose.source);
    let mut left: Option<Address> = None;
    for _ in 0..MOST {
        let address = left.as_ref().unwrap_or(address);
        let Some(host) = address.route().next() else { break };
        let Ok(anybody) = Address::parse(&format!("postmaster@{host}")) else { break };
        let mut untold = Trace::default();
        let channel =
            match Rewriter::new(routes, lookup, purpose, &mut untold).rewrite(anybody).await {
                Ok(rewritten) => rewritten.channel,
                Err(failure @ Refusal::Lookup(_)) => return Err(failure),
                Err(_leads_nowhere) => None,
            };
        let is_ours = channel.is_some_and(|n| routes.channels[n].program == Program::Local);
        let rest = is_ours.then(|| Spec::of(address, order)).flatten();
        let rest = rest.and_then(|spec| Address::parse(&spec.user).ok());
        let Some(rest) = rest else { break };
        left = Some(rest);
    }
    Ok(left)
}

/// Hosts that are looked at: each may cost a look-up.
const MOST: usize = 8;
