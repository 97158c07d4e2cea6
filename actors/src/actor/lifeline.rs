//! A lifeline: tells the watch that an actor was dropped.
//!
//! actix restarts nothing after a panic: the actor is dropped and its address stays closed. The
//! lifeline lies in the actor's shell, so it is dropped together with the actor.

use super::{Mailbox, Watch, watch::Died};

/// Held by the shell of a watched actor.
pub(super) struct Lifeline {
    pub(super) watch: Mailbox<Watch>,
    /// Its kind.
    pub(super) kind: &'static str,
    /// Which of its kind.
    pub(super) name: String,
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        let panicked = std::thread::panicking();
        self.watch.tell(Died { kind: self.kind, name, panicked });
    }
}
