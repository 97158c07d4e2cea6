//! The gate in front of a channel's connections: `IP_ACCESS`, as it is in force at that moment.

use std::{fmt, sync::Arc};

use relais_channels::client::{Approach, Gate, Passage};

use crate::router::{RouteCache, ip_access};

/// Asks the table for one channel.
pub(super) struct Gatekeeper {
    pub(super) channel: Box<str>,
    pub(super) routes: Arc<RouteCache>,
}

impl Gate for Gatekeeper {
    fn ask(&self, approach: &Approach<'_>) -> Passage {
        ip_access(&self.routes.routes(), &self.channel, approach)
    }
}

/// The routes would fill a screen.
impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper").field("channel", &self.channel).finish_non_exhaustive()
    }
}
