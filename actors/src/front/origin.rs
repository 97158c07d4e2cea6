//! Checks of the origin of a message on its way in: SPF when its sender is named, DKIM and DMARC when
//! all of it has come.

use std::sync::Arc;

use relais_channels::{
    authenticity::{AuthResult, DmarcPolicy, SignedContent, SpfFound, Verified, Verifier, room},
    mail::{Enhanced, MessageId, Reply},
};
use relais_config::{
    Verify,
    facts::Facts,
    verify::{DmarcCheck, SpfCheck},
};
use tracing::info;

use super::connection::Ends;

/// How a channel checks the origin of mail.
#[derive(Clone, Debug)]
pub struct OriginPolicy {
    /// Asks name servers.
    pub verifier: Arc<Verifier>,
    /// The settings of the channel.
    pub verify: Verify,
    /// SPF is asked: the channel checks it, or rules or tables go by its result.
    pub asks_spf: bool,
    /// The name under which results are written down.
    pub host: Arc<str>,
}

/// The checks of one message, as far as they are.
#[derive(Default)]
pub(super) struct OriginChecks {
    spf: Option<SpfFound>,
    content: Option<SignedContent>,
}

impl OriginPolicy {
    /// SPF of a sender; the refusal where the channel refuses what fails.
    pub(super) async fn ask_spf(
        &self,
        ends: &Ends,
        (hello, sender): (&str, &str),
    ) -> Result<OriginChecks, Reply> {
        let client = ends.client_ip().filter(|_| self.asks_spf);
        let Some(client) = client else { return Ok(OriginChecks::default()) };
        let found = self.verifier.spf(client, (hello, sender), self.verify.time).await;
        if found.verdict == AuthResult::Fail && self.verify.spf == SpfCheck::Refuse {
            let domain = sender.rsplit_once('@').map_or(hello, |(_, domain)| domain);
            let text = format!("{client} may not send for {domain} (SPF)");
            return Err(Reply::with_text(550, Enhanced(5, 7, 23), text));
        }
        Ok(OriginChecks { spf: Some(found), content: None })
    }

    /// Begins to look at a message, whose header ends at `end`, behind `head` octets of our own lines.
    pub(super) fn begin(
        &self,
        checks: &mut OriginChecks,
        message: &[u8],
        (head, end): (usize, usize),
    ) {
        if self.verify.dkim || self.verify.dmarc != DmarcCheck::No {
            let most = self.verify.max_signatures;
            let mut content = SignedContent::begin(&message[head..end], most);
            content.feed(&message[end..]);
            checks.content = Some(content);
        }
    }

    /// The results of all checks of a message from this sender.
    pub(super) async fn finish(&self, checks: OriginChecks, sender: &str) -> Verified {
        let OriginChecks { spf, content } = checks;
        let limits = (self.verify.dmarc != DmarcCheck::No, self.verify.time);
        let verified = match content {
            Some(content) => self.verifier.message(content, spf, limits).await,
            None => Verified { spf, ..Verified::default() },
        };
        Verified { sender: sender.into(), ..verified }
    }

    /// The field of the results.
    pub(super) fn field(&self, verified: &Verified) -> Vec<u8> {
        verified.field(&self.host)
    }

    /// The same in [`Self::room`].
    pub(super) fn padded_field(&self, verified: &Verified) -> Vec<u8> {
        verified.padded_field(&self.host, self.room())
    }

    /// Octets that are kept free for a field whose results are known later.
    pub(super) fn room(&self) -> usize {
        room(&self.host)
    }

    /// The wish of the author's domain for a message that fails, where the channel obeys it: its
    /// refusal, or the reason why it is held.
    pub(super) fn judge(&self, verified: &Verified) -> Result<Option<String>, Reply> {
        let failed = verified.dmarc.as_ref().filter(|its| its.verdict == AuthResult::Fail);
        let Some(failed) = failed.filter(|_| self.verify.dmarc == DmarcCheck::Enforce) else {
            return Ok(None);
        };
        let domain = &failed.domain;
        match failed.policy {
            DmarcPolicy::None | DmarcPolicy::Unknown => Ok(None),
            DmarcPolicy::Quarantine => Ok(Some(format!(
                "nothing proves that it is from {domain}, which wants such mail looked at (DMARC)"
            ))),
            DmarcPolicy::Reject => {
                let text = format!(
                    "nothing proves that it is from {domain}, which wants such mail refused (DMARC)"
                );
                Err(Reply::with_text(550, Enhanced(5, 7, 1), text))
            }
        }
    }
}

impl OriginChecks {
    /// Results that rules and tables know of at RCPT.
    pub(super) fn facts(&self) -> Facts {
        self.spf.as_ref().map_or_else(Facts::default, SpfFound::facts)
    }

    /// Takes in a piece of the body.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if let Some(content) = &mut self.content {
            content.feed(piece);
        }
    }
}

/// Writes the results down.
pub(super) fn tell(id: Option<MessageId>, client: &str, verified: &Verified) {
    let Verified { spf, dkim, dmarc, .. } = verified;
    let name = |verdict: Option<AuthResult>| verdict.map_or("", AuthResult::name);
    let signed_by: Vec<_> = dkim.iter().flatten().map(|its| &*its.domain).take(MOST_TOLD).collect();
    info!(
        id = id.map(|id| id.to_string()).unwrap_or_default(),
        client,
        from = &*verified.sender,
        author = dmarc.as_ref().map_or("", |its| &*its.domain),
        spf = name(spf.as_ref().map(|its| its.verdict)),
        helo = name(spf.as_ref().map(|its| its.helo)),
        dkim = name(verified.dkim_result()),
        signed_by = signed_by.join(" "),
        dmarc = name(dmarc.as_ref().map(|its| its.verdict)),
        policy = dmarc.as_ref().map_or("", |its| its.policy.name()),
        "origin checked"
    );
}

/// Domains of signatures in a line of the log.
const MOST_TOLD: usize = 5;
