//! Servers that stand in for each other: recipients that one server does not take for now go to the
//! next one at once.

use relais_channels::{
    client::{AtServers, Outgoing, OutgoingRcpt},
    mail::{Attempt, Content},
};
use smallvec::SmallVec;
use tracing::info;

use super::courier::Courier;

impl Courier {
    /// Tries the servers behind the one that was asked first, as long as there are recipients that
    /// none has taken.
    pub(super) async fn at_other_servers(
        &mut self,
        attempt: Attempt,
        recipients: &[OutgoingRcpt<'_>],
        (base, content): (Outgoing<'_>, &Content),
    ) -> Attempt {
        let mut at = AtServers::first(attempt);
        // The connection of the first serves the next message, too, if it still stands.
        let (kept, place) = (self.connection.take(), self.server);
        while !at.open().is_empty() && self.turn_to_next() {
            let open = at.open().iter().map(|place| recipients[*place]);
            let open: SmallVec<[OutgoingRcpt<'_>; 1]> = open.collect();
            info!(server = self.server, recipients = open.len(), "another server is asked");
            let attempt = self.hand_over(&open, base, content, None).await;
            at.next(attempt);
            if kept.is_some()
                && let Some(connection) = self.connection.take()
            {
                self.part(connection).await;
            }
        }
        if kept.is_some() {
            (self.connection, self.server) = (kept, place);
        }
        at.finish()
    }

    /// Takes the last resort away from a domain whose servers are owed TLS that it may not give.
    pub(super) async fn keep_to_its_servers(&mut self) {
        let Some(hops) = &self.next_hops else { return };
        if let Some(own) = Box::pin(self.outbound.own_servers(hops, self.chosen_by)).await {
            self.next_hops = Some(own);
        }
    }
}
