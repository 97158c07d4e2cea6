//! Sieve scripts in a session: shown the message once it is complete, they say where it goes.

use std::sync::Arc;

use relais_channels::mail::Reply;

use tracing::info;

use super::SmtpIntake;
use crate::{events::Printable, router::Route, sieve::SievedMail};

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
        let ways = || self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        self.transaction.size_limit = ways().filter_map(|way| way.size_limit).min();
        self.transaction.ways = ways().count();
        Ok(())
    }

    /// The header of a large message lies in its file already: what scripts change in it is told.
    pub(super) fn tell_of_unmade_edits(&self) {
        let mut ways = self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        let edited = |way: &Route| way.headers.as_ref().is_some_and(|its| !its.edits.is_empty());
        if let Some(way) = ways.find(|way| edited(way)) {
            let to = Printable(&way.address);
            info!(%to, "a script changes the header of a large message: it stays as it is");
        }
    }
}
