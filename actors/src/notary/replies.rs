//! Last replies to the recipients of a case, as the spool has them.

use std::collections::{BTreeMap, HashSet};

use relais_channels::mail::MessageId;
use relais_storage::open_recipients;

use super::NotaryParts;
use crate::queue::{Case, LastReply, Tracked, speaker};

impl NotaryParts {
    /// The last replies, read once for all messages of a segment.
    pub(super) async fn add_replies(&self, cases: &mut [&mut Case]) {
        let mut segments: BTreeMap<u32, HashSet<MessageId>> = BTreeMap::new();
        for case in cases.iter() {
            let Tracked { place, id, attempts, .. } = case.entry;
            if attempts > 0 {
                segments.entry(place.segment).or_default().insert(id);
            }
        }
        for (segment, ids) in segments {
            // A notice without the last reply is better than none.
            let Ok(replies) = self.storage.last_replies(segment, &ids).await else { continue };
            for case in cases.iter_mut().filter(|case| ids.contains(&case.entry.id)) {
                let channel = self.channels.channel(case.destination.channel);
                let host = &case.destination.host;
                let (id, entry) = (case.entry.id, case.entry.entry);
                let of = |recipient| replies.get(&(id, entry, recipient)).cloned();
                let last = open_recipients(case.recipients).filter_map(|recipient| {
                    let (outcome, at) = of(recipient)?;
                    let remote = speaker(&outcome, channel, host);
                    Some(LastReply { recipient, outcome, at, remote })
                });
                case.replies = last.collect();
            }
        }
    }
}
