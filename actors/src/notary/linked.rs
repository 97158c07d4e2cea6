//! Notices and the messages that they are about, told of each other.

use relais_channels::mail::{Envelope, MessageId};

use super::{NotaryParts, letter::concerned};
use crate::{events::NoticeSent, queue::Case};

impl NotaryParts {
    /// Tells of each recipient by which notices its news have gone.
    pub(super) fn tell_notices(
        &self,
        owner: Option<&str>,
        envelope: &Envelope,
        cases: &[Case],
        notices: &[MessageId],
    ) {
        for case in cases {
            let recipients = concerned(owner, envelope, case).fold(0, |all, (bit, _)| all | bit);
            if recipients == 0 {
                continue;
            }
            let (entry, news) = (usize::from(case.entry.entry), case.kind);
            for notice in notices {
                let notice = *notice;
                NoticeSent { envelope, entry, recipients, news, notice }.emit(&self.metrics);
            }
        }
    }
}
