//! Replies that a user's Sieve scripts want (RFC 5230).
//!
//! The scripts are asked once more when the reply is written: nothing but the message and its way has
//! to be kept in the queue, and a script that has changed meanwhile has the last word.

use std::time::Duration;

use relais_channels::mail::{Address, Content, Envelope, Recipient};

use super::{AwayUser, PutOff, Responder, checks, head_of};
use crate::directory::{AutoreplyTexts, Lookup, SieveScripts};

impl<L: Lookup> Responder<L> {
    /// The user whose scripts want a reply to this message.
    pub(super) async fn find_scripted(
        &self,
        envelope: &Envelope,
        recipient: &Recipient,
        content: &Content,
    ) -> Result<Option<AwayUser>, PutOff> {
        let Ok(address) = Address::parse(recipient.member()) else { return Ok(None) };
        let routes = self.router.cache.routes();
        let written = address.domain().unwrap_or(&routes.policy().default_domain);
        let name = written.trim_end_matches('.').to_ascii_lowercase();
        let Some(domain) = self.directory.domain(&name).await? else { return Ok(None) };
        for probe in checks::probes(&address, &name) {
            for entry in self.directory.entries(&domain, &probe).await? {
                let Some(scripts) = SieveScripts::of(&entry) else { continue };
                let octets = head_of(content).await.map_err(PutOff::Content)?;
                let mail = (&octets[..], envelope.size);
                let ends = (&*envelope.sender, recipient.member(), routes.delimiter());
                let Some(reply) = self.sieve.vacation(mail, ends, &scripts) else {
                    return Ok(None);
                };
                let within = Duration::from_secs(reply.seconds);
                let texts = AutoreplyTexts::by_script(&reply.subject, &reply.reason, within);
                return Ok(Some(AwayUser { entry, domain, texts, script: Some(reply) }));
            }
        }
        Ok(None)
    }
}
