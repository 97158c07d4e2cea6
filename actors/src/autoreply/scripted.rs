//! Replies that a user's Sieve scripts want, or those of the system for the user (RFC 5230).
//!
//! The scripts are asked once more when the reply is written: nothing but the message and its way has
//! to be kept in the queue, and a script that has changed meanwhile has the last word.

use std::{sync::Arc, time::Duration};

use relais_channels::mail::{Address, Content, Envelope, Recipient};

use super::{AwayUser, PutOff, Responder, checks, head_of};
use crate::{
    directory::{AutoreplyTexts, Domain, Entry, Kind, Lookup, SieveScripts, addresses_of},
    sieve::AnsweredMail,
};

impl<L: Lookup> Responder<L> {
    /// The user in whose name scripts answer this message.
    pub(super) async fn find_scripted(
        &self,
        envelope: &Envelope,
        recipient: &Recipient,
        content: &Content,
    ) -> Result<Option<AwayUser>, PutOff> {
        let Some((entry, domain)) = self.user_of(recipient).await? else { return Ok(None) };
        let octets = head_of(content).await.map_err(PutOff::Content)?;
        let routes = self.router.cache.routes();
        let addresses = addresses_of(&entry);
        let mail = AnsweredMail {
            octets: &octets,
            size: envelope.size,
            source_channel: &envelope.source_channel,
            client: envelope.client_ip(),
            sender: &envelope.sender,
            to: recipient.member(),
            addresses: &addresses,
            delimiter: routes.delimiter(),
        };
        let own = SieveScripts::of(&entry, routes.policy().script_files.as_ref());
        let reply = self.sieve.vacation(&mail, own.as_ref()).await.map_err(PutOff::Scripts)?;
        let Some(reply) = reply else { return Ok(None) };
        let within = Duration::from_secs(reply.seconds);
        let texts = AutoreplyTexts::by_script(&reply.subject, &reply.reason, within);
        Ok(Some(AwayUser { entry, domain, texts, script: Some(reply) }))
    }

    /// The user whose mailbox a recipient is.
    async fn user_of(
        &self,
        recipient: &Recipient,
    ) -> Result<Option<(Arc<Entry>, Arc<Domain>)>, PutOff> {
        let Ok(address) = Address::parse(recipient.member()) else { return Ok(None) };
        let routes = self.router.cache.routes();
        let written = address.domain().unwrap_or(&routes.policy().default_domain);
        let name = written.trim_end_matches('.').to_ascii_lowercase();
        let Some(domain) = self.directory.domain(&name).await? else { return Ok(None) };
        for probe in checks::probes((&address, &name), routes.delimiter()) {
            let found = self.directory.entries(&domain, &probe).await?;
            let mut users = found.into_iter().filter(|entry| Kind::of(entry) == Some(Kind::User));
            if let Some(entry) = users.next() {
                return Ok(Some((entry, domain)));
            }
        }
        Ok(None)
    }
}
