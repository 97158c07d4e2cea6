//! Sieve scripts in a session: shown the message once it is complete, they say where it goes.

use std::sync::Arc;

use relais_channels::mail::Reply;
use relais_storage::Draft;

use super::{CompleteForm, SmtpIntake};
use crate::{
    forms::{EditedForms, HeaderForms},
    front::filters::Body,
    router::Route,
    sieve::{SievedMail, UneditedPlaces},
};

impl SmtpIntake {
    /// Whether any script sees the message.
    pub(super) async fn shows_scripts(&self) -> bool {
        let ways = self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        self.transaction.seen.is_none()
            && self.side.sieve.sees(&self.side.source_channel, ways).await
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
            octets,
            size: self.transaction.size,
            sender: &sender,
            source_channel: &side.source_channel,
            client: self.ends.client_ip(),
            router: &side.router,
            remembers: true,
        };
        self.transaction.seen = Some(Vec::new());
        let routes = side.router.cache.routes();
        let is_alone = self.transaction.accepted.len() == 1;
        for to in &mut self.transaction.accepted {
            if !side.sieve.sees(&side.source_channel, to.routes.iter()).await {
                continue;
            }
            let mut sieved = side.sieve.sieve(&mail, &to.recipient.original, &to.routes).await?;
            self.transaction.seen.get_or_insert_default().append(&mut sieved.seen);
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

    /// Whether scripts are still to see a large message whose content forms change as it comes: what they
    /// want otherwise could not be made of these.
    pub(super) async fn changes_before_scripts(&self) -> bool {
        self.transaction.forms.as_ref().is_some_and(HeaderForms::may_look_within)
            && self.shows_scripts().await
    }

    /// Whether a large message goes somewhere, as scripts say, in a form that it was not begun in.
    pub(super) fn wants_other_forms(&self) -> bool {
        let routes = self.side.router.cache.routes();
        let ways = self.transaction.accepted.iter().flat_map(|to| to.routes.iter());
        let leaves = |way: &&Route| way.refused.is_none() && !routes.throws_away(&way.channel);
        let mut ways = ways.filter(leaves);
        match &self.transaction.forms {
            Some(forms) => ways.any(|way| !forms.suit(way)),
            None => HeaderForms::of(self.formed_mail(), ways).is_some(),
        }
    }

    /// Goes on with a large message in the forms that scripts want of it: its header behind `head` octets of
    /// our own lines, and the file with its body, which begins there.
    pub(super) async fn form_again(
        &mut self,
        mut head: usize,
        mut header: Vec<u8>,
        (body, at): (Draft, u64),
    ) -> Result<Vec<CompleteForm>, Reply> {
        if let Some(policy) = self.origin_policy().cloned() {
            let field = policy.field(&self.finish_origin(&policy).await?);
            head += field.len();
            header.splice(0..0, field);
        }
        self.bound_edits(true);
        self.transaction.forms = self.forms_of_ways();
        // One of them is of the file that the others are made of.
        self.hold_rights(1 + self.transaction.forms.as_ref().map_or(1, HeaderForms::count)).await?;
        self.begin_again(head, header);
        self.write_body(Body::File(body), at).await?;
        self.complete_forms().await
    }

    /// Each form of a message is a copy of it: what scripts want changed in the header of more of them than
    /// there may be is told and not done.
    pub(super) fn bound_edits(&mut self, is_file: bool) {
        let mut forms = EditedForms::of(&self.formed_mail(), self.transaction.size, is_file);
        for to in &mut self.transaction.accepted {
            if let Some(bounded) = forms.bounded(&to.routes) {
                to.routes = bounded.into();
            }
        }
        forms.tell();
    }
}
