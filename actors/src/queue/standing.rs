//! Whether what somebody found in the index some time ago still waits.

use actix::Message;

use super::{
    Queue,
    tracker::{Key, Ticket, Tracked},
};
use crate::actor::{Ctx, Handle};

/// Asks how these stand. The answer has one for each, in order.
#[derive(Message)]
#[rtype(result = "Vec<Standing>")]
pub struct LookAgain {
    /// Of the reading that found them, if it has not ended.
    pub reading: Option<Ticket>,
    /// Which.
    pub entries: Vec<Key>,
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It waits, and is this now. A job may have it.
    Waits(Tracked),
    /// It is what the reading found.
    Unchanged,
    /// Somebody holds, returns or deletes it.
    Aside,
    /// Memory does not know: it is done, or only the disk has it.
    Unknown,
}

impl Queue {
    fn standing(&self, reading: Option<Ticket>, (id, entry): Key) -> Standing {
        if self.tracker.is_aside(id, entry) {
            return Standing::Aside;
        }
        if let Some((_, entry)) = self.tracker.state_of(id, entry) {
            return Standing::Waits(entry);
        }
        let unchanged = |reading| !self.tracker.changed_since(reading, id, entry);
        if reading.is_some_and(unchanged) { Standing::Unchanged } else { Standing::Unknown }
    }
}

impl Handle<LookAgain> for Queue {
    fn handle(&mut self, look: LookAgain, _: &mut Ctx<Self>) -> Vec<Standing> {
        let LookAgain { reading, entries } = look;
        entries.into_iter().map(|key| self.standing(reading, key)).collect()
    }
}
