//! In whose name a message is signed when it leaves.
//!
//! The name in `From:` signs where we know that its author is one of ours: a user who had logged in, a
//! client that `INTERNAL_IP` vouches for, or ourselves. Anybody may write any name there, and our
//! signature would vouch for it. What others brought, and a list or a forward of ours sends on under
//! an address of its own, is signed in the name of that.

use std::net::IpAddr;

use relais_channels::{
    authenticity::{SignAs, Signers},
    mail::Envelope,
};

use crate::router::{Routes, internal_ip};

/// In whose name a message is signed that leaves with this sender. `None`: in nobody's.
pub(super) fn sign_as(
    signers: &Signers,
    routes: &Routes,
    envelope: &Envelope,
    sender: &str,
) -> Option<SignAs> {
    if signers.is_empty() {
        return None;
    }
    let is_ours = |client: IpAddr| internal_ip(routes, client);
    let author = envelope.login.is_some() || envelope.client_ip().is_none_or(is_ours);
    let vouched = author || sender != envelope.sender;
    let domain = sender.rsplit_once('@').map(|(_, domain)| domain.into());
    let sender = domain.filter(|_| vouched);
    let signing = || SignAs { signers: signers.clone(), author, sender: sender.clone() };
    (author || sender.is_some()).then(signing)
}
