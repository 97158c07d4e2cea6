//! Sieve scripts in a session: shown the message once it is complete, they say where it goes.

use std::sync::Arc;

use relais_channels::mail::Reply;
use tracing::info;

use super::SmtpIntake;
use crate::{
    events::Printable,
    router::Route,
    sieve::{SievedMail, UneditedPlaces},
};

impl SmtpIntake {
    /// Whether any script sees the message.
    pub(super) fn shows_scripts(&self) -> bool {
        let ways = self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        self.side.sieve.sees(&self.side.source_channel, ways)
    }

    /// Shows a message to scripts, as far as it is in memory, and has its recipients go where they say.
    /// An error: all of it is refused.
    pub(super) async fn sieve(&mut self, octets: &[u8]) -> Result<(), Reply> {
        let side = Arc::clone(&self.side);
        let sender =
            self.transaction.from.as_ref().map_or("", |from| from.path.as_str()).to_owned();
        let message = side.sieve.message(octets, self.transaction.size);
        let mail = SievedMail {
            message: &message,
            sender: &sender,
            source_channel: &side.source_channel,
            router: &side.router,
            remembers: true,
        };
        let routes = side.router.cache.routes();
        let is_alone = self.transaction.accepted.len() == 1;
        for to in &mut self.transaction.accepted {
            if !side.sieve.sees(&side.source_channel, to.routes.iter()) {
                continue;
            }
            let mut sieved = side.sieve.sieve(&mail, &to.recipient.original, &to.routes).await?;
            self.transaction.seen.append(&mut sieved.seen);
            // Nobody else gets it: the client hears of it at once, and no notice goes astray.
            if let [(way, reply)] = &sieved.refused[..]
                && is_alone
                && way.errors_to.is_none()
                && sieved.ways.is_empty()
            {
                return Err(reply.clone());
            }
            to.routes = sieved.with_refusals(&routes).into();
        }
        self.leave_own_copies_alone();
        let ways = || self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        self.transaction.size_limit = ways().filter_map(|way| way.size_limit).min();
        self.transaction.ways = ways().count();
        Ok(())
    }

    /// Of ways of several recipients to one mailbox those stay on which no script changes the header.
    fn leave_own_copies_alone(&mut self) {
        let ways = || self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        if !ways().any(Route::is_edited) {
            return;
        }
        let unedited = UneditedPlaces::of(ways());
        for to in &mut self.transaction.accepted {
            to.routes = to.routes.iter().filter(|way| unedited.leave(way)).cloned().collect();
        }
    }

    /// The header of a large message lies in its file already: changes of scripts are told and not made.
    pub(super) fn leave_header_alone(&mut self) {
        let mut ways = self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        let Some(way) = ways.find(|way| way.is_edited()) else { return };
        let to = Printable(&way.address);
        info!(%to, "a script changes the header of a large message: it stays as it is");
        for to in &mut self.transaction.accepted {
            to.routes = to.routes.iter().cloned().map(Route::unedited).collect();
        }
    }
}
