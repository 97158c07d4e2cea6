//! What was said last of the recipients of a case, as the spool has it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use relais_channels::mail::{MessageId, NextHop, Outcome};

use super::{Case, LastReply, Parts};
use crate::{queue::tracker::Tracked, spool::open_recipients};

impl Parts {
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
            let Ok(replies) = self.spool.last_replies(segment, &ids).await else { continue };
            for case in cases.iter_mut().filter(|case| ids.contains(&case.entry.id)) {
                let host = name_of(&case.destination.host);
                let (id, entry) = (case.entry.id, case.entry.entry);
                let of = |recipient| replies.get(&(id, entry, recipient)).cloned();
                let last = open_recipients(case.recipients).filter_map(|recipient| {
                    let (outcome, at) = of(recipient)?;
                    Some(LastReply { remote: remote(&outcome, &host), recipient, outcome, at })
                });
                case.replies = last.collect();
            }
        }
    }
}

/// The host whose words they are, as far as words tell: what we say in place of a host that did
/// not answer is about the network (RFC 3463 section 3.5).
fn remote(outcome: &Outcome, host: &Arc<str>) -> Option<Arc<str>> {
    let ours = outcome.reply().enhanced.is_some_and(|code| code.1 == 4);
    (!ours).then(|| host.clone())
}

/// The host of a next hop, without port and scheme.
fn name_of(host: &str) -> Arc<str> {
    match host.parse() {
        Ok(NextHop::Host { name, .. }) => name.as_str().into(),
        Ok(NextHop::Ip { address, .. }) => format!("[{address}]").into(),
        _ => host.into(),
    }
}
