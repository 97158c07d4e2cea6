//! Mail to the owner of a script that does not work, once a day.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mail_builder::{
    MessageBuilder,
    headers::{date::Date, raw::Raw},
};
use relais_channels::{
    clock,
    mail::{Envelope, MessageIds, Priority, Recipient, Reply, message_id},
};
use relais_storage::{NewContent, Storage};
use tracing::warn;

use crate::{
    channel_table::Channels,
    events::{MessageAccepted, Printable},
    metrics::Metrics,
    own_mail::{self, way_to},
    router::RouterHandle,
    seldom::Seldom,
};

/// Where mail of our own goes.
pub struct OwnersTold {
    /// Our name in message ids, and whom mail is from.
    pub host: Arc<str>,
    /// How recipients are divided into entries.
    pub channels: Arc<Channels>,
    /// Where messages are kept.
    pub storage: Storage,
    /// Their numbers.
    pub ids: Arc<MessageIds>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Which owners have been told today. Beyond so many no more are: nobody is told twice a day.
pub(super) fn owners_told() -> Seldom {
    Seldom::new(DAY, MOST)
}

impl OwnersTold {
    /// Writes to the owner of a script.
    pub(super) async fn tell(&self, router: &RouterHandle, owner: &str, mistake: &str) {
        if let Err(why) = self.write(router, owner, mistake).await {
            let (user, why) = (Printable(owner), Printable(why));
            warn!(%user, %why, "the owner of a Sieve script that does not work cannot be told");
        }
    }

    async fn write(&self, router: &RouterHandle, owner: &str, mistake: &str) -> Result<(), String> {
        let words = |reply: Reply| reply.to_string();
        let ways = way_to(router, &self.channels, owner).await.map_err(words)?;
        let id = self.ids.next();
        let mut content = Vec::new();
        MessageBuilder::new()
            .from(("Mail filters".to_owned(), format!("postmaster@{}", self.host)))
            .to(owner.to_owned())
            .subject("One of your mail filters does not work")
            .date(Date::from(clock::now().as_secs()))
            .message_id(format!("{id}@{}", self.host))
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .text_body(format!(
                "A Sieve script of yours cannot be carried out:\r\n\r\n  {}\r\n\r\n\
                 Your mail is delivered as if it said nothing, into the INBOX. You will be\r\n\
                 told once a day until the script works.\r\n",
                Printable(mistake)
            ))
            .serialize(&mut content);
        let to = Recipient::new("", owner);
        let entries = own_mail::entries_for(&self.channels, [(&to, &ways[..])].into_iter());
        let envelope = own_mail::envelope(id, &self.channels, entries);
        let smtputf8 = !owner.is_ascii();
        let eight_bit = !content.is_ascii();
        let mut envelope =
            Arc::new(Envelope { priority: Priority::Nonurgent, smtputf8, eight_bit, ..envelope });
        let content = Bytes::from(content);
        let stored = self.storage.append(&mut envelope, NewContent::Whole(content.clone())).await;
        stored.map_err(|error| error.to_string())?;
        let reply = TAKEN;
        let message_id = message_id(&content).unwrap_or_default();
        MessageAccepted { envelope: &envelope, reply: &reply, user: "", message_id }
            .emit(&self.metrics);
        Ok(())
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Owners that are remembered.
const MOST: usize = 20_000;
const TAKEN: Reply =
    Reply::new(250, relais_channels::mail::Enhanced(2, 0, 0), "a notice to the owner of a filter");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_owner_is_told_twice_a_day_however_many_there_are() {
        let told = owners_told();
        let owners = || 0..2 * MOST;
        assert_eq!(owners().filter(|owner| told.is_due(owner)).count(), MOST);
        assert!(told.is_full());
        assert_eq!(owners().filter(|owner| told.is_due(owner)).count(), 0);
    }
}
