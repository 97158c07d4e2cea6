//! Scripts on mail of our own: notices to senders, and automatic replies. Nobody would hear of a refusal,
//! and so such mail stays.

use std::sync::Arc;

use relais_channels::mail::Reply;
use tracing::info;

use super::{Seen, SieveRunner, Sieved, SievedMail};
use crate::{
    channel_table::Channels,
    events::Printable,
    own_mail::source_channel,
    router::{Route, RouterHandle},
};

impl SieveRunner {
    /// The ways of mail of our own behind the scripts of its reader, and what is to be remembered when it
    /// is in the queue. An error: where it goes is not known now.
    pub async fn sieve_own(
        &self,
        (router, channels): (&RouterHandle, &Channels),
        content: &[u8],
        reader: &str,
        ways: Arc<[Route]>,
    ) -> Result<(Arc<[Route]>, Vec<Seen>), Reply> {
        let source_channel = source_channel(channels);
        if !self.sees(source_channel, ways.iter()).await {
            return Ok((ways, Vec::new()));
        }
        let message = self.message(content, content.len() as u64);
        let mail = SievedMail {
            message: &message,
            octets: content,
            size: content.len() as u64,
            sender: "",
            source_channel,
            client: None,
            router,
            remembers: true,
        };
        let Sieved { ways, refused, seen } = self.sieve(&mail, reader, &ways).await?;
        for (_, reply) in &refused {
            let (user, reply) = (Printable(reader), Printable(reply));
            info!(%user, %reply, "a script refuses mail of our own, which is from nobody: it stays");
        }
        if ways.iter().any(Route::is_edited) {
            let user = Printable(reader);
            info!(%user, "a script changes the header of mail of our own: it stays as it is");
        }
        let refused = refused.into_iter().map(|(way, _)| Route { scripts: None, ..way });
        let ways = ways.into_iter().map(Route::unedited).chain(refused);
        Ok((ways.collect(), seen))
    }
}
