//! The channel that a session's mail comes in by: that of its service, unless the address of the
//! client (`switchchannel`), TLS (`tlsswitchchannel`) or a login (`saslswitchchannel`) leads to
//! another. Each is looked for in the channel that the one before has led to.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use tracing::warn;

use super::queue_side::QueueSide;

/// The sides of a service's sessions, by the channel that mail comes in by.
pub struct QueueSides {
    first: Arc<QueueSide>,
    others: HashMap<Box<str>, Arc<QueueSide>>,
}

impl QueueSides {
    /// The side of the service's own channel, and of all that it leads to, by name.
    pub fn new(first: QueueSide, others: HashMap<Box<str>, Arc<QueueSide>>) -> Self {
        Self { first: first.into(), others }
    }

    /// The side of a client who has not said anything yet. Who comes by a UNIX socket has no address.
    pub(super) async fn of_client(&self, client: Option<IpAddr>) -> &Arc<QueueSide> {
        let first = &self.first;
        let Some(client) = client.filter(|_| first.switches.by_client) else { return first };
        let found = first.router.channel_of_client(client, &first.source_channel).await;
        if let Some(reply) = found.trouble {
            warn!(%client, channel = %first.source_channel, %reply, "its channel cannot be found: it stays with that of the service");
        }
        self.named(found.channel.as_ref(), first)
    }

    /// The side of a client who has come in by `home`, as far as it has come since.
    pub(super) fn after<'a>(
        &'a self,
        home: &'a Arc<QueueSide>,
        is_secured: bool,
        is_known: bool,
    ) -> &'a Arc<QueueSide> {
        let after_tls = home.switches.after_tls.as_ref().filter(|_| is_secured);
        let side = self.named(after_tls, home);
        self.named(side.switches.after_auth.as_ref().filter(|_| is_known), side)
    }

    fn named<'a>(
        &'a self,
        name: Option<&Arc<str>>,
        otherwise: &'a Arc<QueueSide>,
    ) -> &'a Arc<QueueSide> {
        name.and_then(|name| self.others.get(&**name)).unwrap_or(otherwise)
    }
}
