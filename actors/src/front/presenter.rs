//! The right of a client to speak for others: XCLIENT, from listed networks.

use std::sync::Arc;

use relais_channels::{mail::Reply, server::XClient};

use super::{
    admission::{ClientAdmission, ClientRefusal},
    connection::Ends,
    seats::Seat,
};
use crate::{events::ConnectionRefused, metrics::Metrics};

/// A client that may speak for others, and the last one that it spoke for.
pub(super) struct Presenter {
    admission: Arc<ClientAdmission>,
    service: Arc<str>,
    metrics: Arc<Metrics>,
    ends: Ends,
    /// The place of the client that was presented.
    seat: Seat,
}

impl Presenter {
    /// Nobody, unless the client's network is listed.
    pub(super) fn of(
        admission: &Arc<ClientAdmission>,
        (service, metrics): (&Arc<str>, &Arc<Metrics>),
        ends: &Ends,
    ) -> Option<Self> {
        admission.takes_xclient(ends).then(|| Self {
            admission: Arc::clone(admission),
            service: Arc::clone(service),
            metrics: Arc::clone(metrics),
            ends: *ends,
            seat: Seat::default(),
        })
    }

    /// The ends of the client that is presented, if the service takes it.
    pub(super) async fn present(&mut self, other: &XClient) -> Result<Ends, Reply> {
        let (client, local) = other.ends(self.ends.client, self.ends.local);
        let ends = Ends::new(client, local);
        // The client may be the one before.
        self.seat = Seat::default();
        let admitted = self.admission.admit_unlisted(&ends).await;
        self.seat = admitted.map_err(|refusal| self.refuse(&ends, refusal))?;
        self.ends = ends;
        Ok(ends)
    }

    /// Tells of a client that is not taken, by its own address.
    fn refuse(&self, ends: &Ends, refusal: ClientRefusal) -> Reply {
        let peer = ends.client.map_or_else(String::new, |client| client.to_string());
        let (service, peer, text) = (&*self.service, format_args!("{peer}"), Some(&*refusal.text));
        ConnectionRefused { service, peer, why: refusal.why, text }.emit(&self.metrics);
        reply(refusal)
    }
}

/// The lines of a refusal as a reply: each begins with the code.
fn reply(refusal: ClientRefusal) -> Reply {
    let code = refusal.text.get(..3).and_then(|code| code.parse().ok());
    match code.filter(|code| (400..600).contains(code)) {
        Some(code) => {
            let words = |line: &str| line.get(4..).unwrap_or_default().to_owned();
            let text = refusal.text.lines().map(words).collect::<Vec<_>>().join("\n");
            Reply { code, enhanced: None, text: text.into() }
        }
        None => Reply { code: 550, enhanced: None, text: refusal.text.into() },
    }
}
