//! The right of a client to speak for others: XCLIENT, from listed networks.

use std::sync::Arc;

use relais_channels::{mail::Reply, server::XClient};

use super::{
    admission::{ClientAdmission, ClientRefusal},
    connection::Ends,
    seats::Seat,
};

/// A client that may speak for others, and the last one that it spoke for.
pub(super) struct Presenter {
    admission: Arc<ClientAdmission>,
    ends: Ends,
    /// The place of the client that was presented.
    seat: Seat,
}

impl Presenter {
    /// Nobody, unless the client's network is listed.
    pub(super) fn of(admission: &Arc<ClientAdmission>, ends: &Ends) -> Option<Self> {
        let admission = Arc::clone(admission);
        admission.takes_xclient(ends).then(|| Self {
            admission,
            ends: *ends,
            seat: Seat::default(),
        })
    }

    /// The ends of the client that is presented, if the service takes it.
    pub(super) async fn present(&mut self, other: &XClient) -> Result<Ends, Reply> {
        let (client, local) = other.ends(self.ends.client, self.ends.local);
        let ends = Ends::new(client, local);
        self.seat = self.admission.admit_unlisted(&ends).await.map_err(reply)?;
        self.ends = ends;
        Ok(ends)
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
