//! A lifeline: tells the watch that an actor was dropped.
//!
//! actix restarts nothing after a panic: the actor is dropped and its address stays closed. The
//! lifeline lies in the actor's shell, so it is dropped together with the actor.

use actix::Message;

use super::outlet::Outlet;

/// An actor was dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Died {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) panicked: bool,
}

/// Held by the shell of a watched actor.
pub(super) struct Lifeline {
    pub(super) watch: Outlet<Died>,
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
