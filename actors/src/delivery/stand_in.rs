//! Servers that stand in for each other: recipients that one server does not take for now go to the
//! next one at once.

use relais_channels::{
    client::{AtServers, Errand, Outgoing, OutgoingRcpt},
    mail::{Attempt, Content, NextHops},
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
        while !at.open().is_empty()
            && self.may_go_on(self.errand(&base)).await
            && self.turn_to_next()
        {
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

    /// Whether servers behind the first may be asked for the message in hand.
    async fn may_go_on(&self, errand: Errand) -> bool {
        let has_more = |hops: &&NextHops| self.server + 1 < hops.len();
        let Some(hops) = self.next_hops.as_ref().filter(has_more) else { return false };
        !Box::pin(self.outbound.keeps_to_first(hops, errand)).await
    }

    /// Leaves a server behind the first that was connected to for another message, where it does not suit
    /// the one in hand or may not have it; else the others may take what it lacks something for.
    pub(super) async fn leave_stand_in(&mut self, message: &Outgoing<'_>) {
        let (Some(hops), Some(connection)) = (&self.next_hops, &self.connection) else { return };
        if self.server == 0 {
            return;
        }
        let is_left = !connection.suits(message)
            || Box::pin(self.outbound.keeps_to_first(hops, self.errand(message))).await;
        if let Some(mut connection) = self.connection.take() {
            if is_left {
                connection.quit().await;
            } else {
                connection.is_one_of_several();
                self.connection = Some(connection);
            }
        }
    }

    /// The purpose of a connection for this message.
    pub(super) fn errand(&self, message: &Outgoing<'_>) -> Errand {
        Errand { chosen_by: self.chosen_by, wish: message.tls, size: message.size_sent() }
    }
}
