//! Addresses beyond ASCII, and servers that do not take them (RFC 6531 section 3.2): one whose domain
//! alone is beyond ASCII goes out with the domain that stands for it; any other cannot.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Again, Connection, Outgoing, OutgoingRcpt, Transacted, lacking};
use crate::mail::{Address, Attempt, Content, Outcomes, Peer, RecipientSet};

impl Connection {
    /// Hands one message over to recipients that fit into one transaction. Afterwards
    /// [`Self::is_usable`] says whether it can have another.
    ///
    /// `following` is the message that this connection is given next. When the server allows it,
    /// its commands leave in one piece with this content (RFC 2920 section 3.1), which saves a
    /// round trip for each message. It is then the only one that may come next.
    ///
    /// Recipients that have no form for this server fail with `5.6.7` and are not named.
    pub async fn deliver(
        &mut self,
        delivery: &Outgoing<'_>,
        content: &Content,
        following: Option<&Outgoing<'_>>,
    ) -> Result<Transacted, Again> {
        if self.takes_smtputf8() || delivery.is_ascii() {
            return self.transact(delivery, content, following).await;
        }
        let Some(sender) = in_ascii(delivery.sender) else {
            return Ok(self.lacks_smtputf8(delivery, "the sender's address"));
        };
        let forms: SmallVec<[_; 2]> =
            delivery.recipients.iter().map(|to| in_ascii(to.address)).collect();
        let (mut places, mut batch) = (Vec::new(), Vec::new());
        for (place, (to, form)) in delivery.recipients.iter().zip(&forms).enumerate() {
            if let Some(address) = form {
                places.push(place);
                batch.push(OutgoingRcpt { address, ..*to });
            }
        }
        let all = self.lacks_smtputf8(delivery, "the address");
        if batch.is_empty() {
            return Ok(all);
        }
        let said = Outgoing { sender: &sender, recipients: &batch, ..*delivery };
        let transacted = self.transact(&said, content, following).await?;
        Ok(merged(all, transacted, &places))
    }

    /// Nothing was sent: all of its recipients have failed.
    fn lacks_smtputf8(&self, delivery: &Outgoing<'_>, what: &str) -> Transacted {
        let outcome = lacking::smtputf8((self.peer(), self.others_may()), what);
        let attempt = Attempt::all(delivery.recipients.len(), &outcome);
        let peer = Peer {
            host: self.host(),
            notifies: false,
            answered: RecipientSet::default(),
            unsure: false,
        };
        Transacted {
            attempt: Attempt { peer: Some(peer), ..attempt },
            left: RecipientSet::default(),
            unfiled: RecipientSet::default(),
            converted: None,
            stressed: false,
            chunk: None,
        }
    }
}

/// As such a server takes it; `None`: it has no such form.
fn in_ascii(address: &str) -> Option<Cow<'_, str>> {
    if address.is_ascii() {
        return Some(address.into());
    }
    Address::parse(address).ok()?.in_ascii().map(|form| form.to_owned().into())
}

/// The outcomes of those at these places, and of all others what they have already.
fn merged(all: Transacted, some: Transacted, places: &[usize]) -> Transacted {
    let Transacted { attempt: Attempt { outcomes: its, trouble, peer }, left, unfiled, .. } = some;
    let mut outcomes: Outcomes = all.attempt.outcomes;
    let among_all = |set: &RecipientSet| {
        let mut among_all = RecipientSet::default();
        let inside = places.iter().enumerate().filter(|(nth, _)| set.contains(*nth));
        inside.for_each(|(_, place)| among_all.insert(*place));
        among_all
    };
    for (place, outcome) in places.iter().zip(its) {
        outcomes[*place] = outcome;
    }
    let peer = peer.map(|peer| Peer { answered: among_all(&peer.answered), ..peer });
    let (left, unfiled) = (among_all(&left), among_all(&unfiled));
    Transacted { attempt: Attempt { outcomes, trouble, peer }, left, unfiled, ..some }
}
