//! Whether what somebody found in the index some time ago still waits.

use super::{
    Queue,
    entry::Key,
    requests::{LookAgain, Standing},
    tracker::Ticket,
};
use crate::actor::{Ctx, Handle};

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
