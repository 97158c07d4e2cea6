//! Parts of mail that is on its way are looked at, taken out and replaced, as the table of conversions
//! says (the original's conversion channel).
//!
//! The message is safe in the queue meanwhile. It goes on under its id, in a record of its own, to the
//! channel that its entry names: with another content where something changes, else with its own. Only
//! when that is safe are the recipients done here; after a crash in between they are found to have gone
//! on, and a program that was at work is run once more.
//!
//! The content is read three times at most: to find the parts that are wanted ([`look`]), to give them to
//! programs ([`work`]), and to write it anew ([`write`](mod@write)).

mod entry;
mod late;
mod look;
mod options;
mod pieces;
mod room;
mod work;
mod write;

use relais_channels::mail::{Attempt, Enhanced, Entry, Envelope, Outcome, Reply, Rerouted};
use relais_storage::{MoreContent, open_recipients};

pub(super) use self::{entry::ToConvert, late::LateRuns};
use self::{
    entry::{Fate, NotNow},
    look::Look,
    work::PartsWork,
};
use crate::{events::MessageRerouted, metrics::ConversionResult, timestamp::now_ms};

impl ToConvert<'_> {
    /// Converts the message for the recipients `open`, a bit each.
    pub(super) async fn carry_out(&self, open: u64) -> Attempt {
        let gone = match self.parts.storage.gone_on(self.envelope.id, self.number).await {
            Ok(gone) => gone.recipients & open,
            Err(error) => return all(open, &Outcome::Deferred(deferred(&error.into()))),
        };
        let left = open & !gone;
        let outcome =
            if left == 0 { Ok(Outcome::Delivered(HAS_GONE_ON)) } else { self.go_on(left).await };
        let outcome = outcome.unwrap_or_else(|why| {
            tracing::warn!(id = %self.envelope.id, error = %why, "not converted");
            self.meter().count(ConversionResult::Deferred);
            Outcome::Deferred(deferred(&why))
        });
        let each = |index: u8| {
            let has_gone = gone & 1 << index != 0;
            if has_gone { Outcome::Delivered(HAS_GONE_ON) } else { outcome.clone() }
        };
        let outcomes = open_recipients(open).map(each).collect();
        Attempt { outcomes, trouble: None, peer: None }
    }

    async fn go_on(&self, left: u64) -> Result<Outcome, NotNow> {
        let fate = self.fate().await?;
        let (content, held) = match fate {
            Fate::Returned(reply) => return Ok(Outcome::Failed(reply)),
            Fate::Discarded => return Ok(Outcome::Delivered(DISCARDED)),
            Fate::Same => (MoreContent::Same(self.content), None),
            Fate::Held(reason) => (MoreContent::Same(self.content), Some(reason)),
            Fate::New(content) => (MoreContent::New(content), None),
        };
        let recipients = open_recipients(left)
            .filter_map(|index| self.entry.recipients.get(usize::from(index)).cloned());
        let entry = Entry {
            channel: self.out.into(),
            host: self.host.into(),
            recipients: recipients.collect(),
        };
        let form = self.envelope.rerouted.map_or(0, |rerouted| rerouted.form);
        let rerouted = Some(Rerouted { at: now_ms(), entry: self.number, recipients: left, form });
        let envelope = Envelope {
            entries: vec![entry],
            held,
            rerouted,
            // A piece that comes here has waited for the others.
            fragments: None,
            ..self.envelope.clone()
        };
        let known = self.envelope.entries.len();
        let (envelope, _) = self.parts.storage.append_more(envelope, known, content).await?;
        MessageRerouted { envelope: &envelope, left: &self.entry.channel, by: "" }
            .emit(&self.parts.metrics);
        let text = format!("goes on by {} to {}", self.out, self.host);
        Ok(Outcome::Delivered(Reply::with_text(250, Enhanced(2, 1, 5), text)))
    }

    async fn fate(&self) -> Result<Fate, NotNow> {
        let look = match Look::at(self).await? {
            Ok(look) => look,
            Err(why) => {
                self.meter().count(ConversionResult::Held);
                return Ok(Fate::Held(format!("its parts are not looked at: {why}")));
            }
        };
        if look.is_empty() {
            return Ok(Fate::Same);
        }
        match PartsWork::on(self, look).await? {
            Ok(changes) if changes.is_empty() => Ok(Fate::Same),
            Ok(changes) => Ok(Fate::New(write::anew(self, changes).await?)),
            Err(fate) => Ok(fate),
        }
    }
}

fn deferred(why: &NotNow) -> Reply {
    Reply::with_text(451, Enhanced(4, 3, 0), why.to_string())
}

fn all(open: u64, outcome: &Outcome) -> Attempt {
    Attempt::all(open.count_ones() as usize, outcome)
}

const HAS_GONE_ON: Reply = Reply::new(250, Enhanced(2, 1, 5), "has gone on before");
const DISCARDED: Reply = Reply::new(250, Enhanced(2, 0, 0), "discarded by a conversion");
