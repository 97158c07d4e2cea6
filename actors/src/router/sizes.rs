//! Messages that are too large for some of their ways.

use std::sync::Arc;

use relais_channels::mail::{Enhanced, Reply};

use super::routes::{Route, Routes};

impl Route {
    /// The refusal of a message of `size` octets that is too large for this way.
    pub fn too_large(&self, size: u64) -> Option<Reply> {
        let limit = self.size_limit.filter(|limit| size > limit.get())?;
        let text = format!("a message of {size} octets is larger than the {limit} that are taken");
        Some(Reply::with_text(552, Enhanced(5, 2, 3), text))
    }
}

impl Routes {
    /// Whether a way that fails has somebody who tells the sender.
    pub fn tells_failures(&self) -> bool {
        self.reprocess.is_some()
    }

    /// The ways of a recipient of a message of `size` octets, those failing that it is too large
    /// for; `None`: they are as they were. `recipient` is told of where there is no member.
    pub fn without_too_large(
        &self,
        ways: &[Route],
        recipient: &Arc<str>,
        size: u64,
    ) -> Option<Arc<[Route]>> {
        if ways.iter().all(|way| way.too_large(size).is_none()) {
            return None;
        }
        let failing = self.failing()?;
        let failing_if_too_large = |way: &Route| match way.too_large(size) {
            None => way.clone(),
            Some(reply) => {
                let member = way.member.as_ref().unwrap_or(recipient);
                Route { member: Some(Arc::clone(member)), ..failing(way, reply) }
            }
        };
        Some(ways.iter().map(failing_if_too_large).collect())
    }
}

/// The refusal of a message of `size` octets that is too large for all of these ways.
pub fn too_large_for_all(ways: &[Route], size: u64) -> Option<Reply> {
    let mut replies = ways.iter().map(|way| way.too_large(size));
    let first = replies.next()??;
    replies.all(|reply| reply.is_some()).then_some(first)
}
