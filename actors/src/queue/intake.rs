//! The hand-over of what the spool has committed.
//!
//! The spool is started before the queue, and knows no actors: it calls [`Intake::committed`] on its
//! committer's thread. Whatever it commits before the queue is there is kept for it.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use actix::Message;
use relais_storage::Stored;

use crate::actor::Outlet;

/// The spool has made these safe; their senders have their 250.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Committed(pub Vec<Stored>);

/// Where the spool hands over. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Intake(Arc<Mutex<Door>>);

#[derive(Debug)]
enum Door {
    /// The queue is not there yet: these wait for it.
    Closed(Vec<Stored>),
    Open(Outlet<Committed>),
}

impl Default for Door {
    fn default() -> Self {
        Self::Closed(Vec::new())
    }
}

impl Intake {
    /// Hands over a batch.
    pub fn committed(&self, batch: Vec<Stored>) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Door::Closed(kept) => kept.extend(batch),
            Door::Open(queue) => queue.tell(Committed(batch)),
        }
    }

    /// The queue is there: it gets what was kept, and from now on every batch, in order.
    pub(super) fn open(&self, queue: Outlet<Committed>) {
        let mut door = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Door::Closed(kept) = mem::take(&mut *door)
            && !kept.is_empty()
        {
            queue.tell(Committed(kept));
        }
        *door = Door::Open(queue);
    }
}
