//! The gate in front of a channel's connections: `IP_ACCESS`, as it is in force at that moment, and the
//! limits of destinations.

use std::{fmt, net::IpAddr, sync::Arc};

use relais_channels::client::{Approach, Gate, Passage};

use super::admission::CourierLimits;
use crate::router::{RouteCache, ip_access};

/// Asks the table for one channel.
pub(super) struct Gatekeeper {
    pub(super) channel: Box<str>,
    pub(super) routes: Arc<RouteCache>,
    pub(super) admission: Arc<CourierLimits>,
}

impl Gate for Gatekeeper {
    fn meet(&self, servers: &mut dyn Iterator<Item = &str>) -> Passage {
        self.admission.meet(servers)
    }

    fn one_by_one(&self) -> bool {
        self.admission.one_by_one()
    }

    fn is_over(&self, address: IpAddr) {
        self.admission.is_over(address);
    }

    fn ask(&self, approach: &Approach<'_>) -> Passage {
        match ip_access(&self.routes.routes(), &self.channel, approach) {
            Passage::Open => self.admission.approach(approach),
            Passage::Instead(address) => {
                let instead = Approach { address, ..*approach };
                match self.admission.approach(&instead) {
                    Passage::Open => Passage::Instead(address),
                    other => other,
                }
            }
            other => other,
        }
    }
}

/// The routes would fill a screen.
impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper").field("channel", &self.channel).finish_non_exhaustive()
    }
}
