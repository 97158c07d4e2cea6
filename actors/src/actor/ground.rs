//! The ground: starts actors, each with its meter and, where it matters, its lifeline.

use actix::{Actor as _, ArbiterHandle};

use super::{
    lifeline::Lifeline,
    mailbox::Mailbox,
    meter::{Meter, Meters},
    shell::{Actor, Held, Shell},
    watch::{Dismiss, Guard, Remedy, StandDown, Watch},
};

/// The ground of every actor: the numbers of its kind, and the watch that is told when it dies.
/// Cheap to clone.
#[derive(Clone)]
pub struct Ground {
    meters: Meters,
    watch: Mailbox<Watch>,
}

impl Ground {
    /// Starts the watch on this arbiter. `end` is called with the name of a dead actor that the
    /// engine cannot go on without.
    pub fn new(meters: Meters, end: Box<dyn Fn(&str) + Send>) -> Self {
        let watch = start(Watch::new(meters.clone(), end), &meters, None);
        Self { meters, watch }
    }

    /// The meter of a kind of actors.
    pub fn meter<A: Actor>(&self) -> Meter {
        self.meters.of(A::NAME)
    }

    /// Starts an actor on this arbiter. Nobody is told when it dies.
    pub fn start<A: Actor>(&self, actor: A) -> Mailbox<A> {
        start(actor, &self.meters, None)
    }

    /// Starts an actor on this arbiter whose place no other can take while the engine runs: when it
    /// dies the engine ends, and starts again from the spool.
    pub fn start_vital<A: Actor>(&self, name: &str, actor: A) -> Mailbox<A> {
        self.guard(name, Remedy::End);
        start(actor, &self.meters, Some(Box::new(self.lifeline::<A>(name))))
    }

    /// Starts an actor on another arbiter; its death is counted, and remedied if somebody has said
    /// how ([`Ground::guard`]).
    pub fn start_on<A: Actor>(
        &self,
        arbiter: &ArbiterHandle,
        name: &str,
        make: impl FnOnce() -> A + Send + 'static,
    ) -> Mailbox<A> {
        let (meter, lifeline) = (self.meter::<A>(), self.lifeline::<A>(name));
        let its = meter.clone();
        let address = Shell::start_in_arbiter(arbiter, move |_| {
            Shell::new(make(), its, Some(Box::new(lifeline)))
        });
        Mailbox::new(address, meter)
    }

    /// Says what is done from now on when the actor `name` dies.
    pub fn guard(&self, name: &str, remedy: Remedy) {
        self.watch.tell(Guard { name: name.to_owned(), remedy });
    }

    /// The actor `name`, of [`Ground::start_on`], is about to end in order: its end is neither counted
    /// nor remedied.
    pub fn dismiss(&self, name: &str) {
        self.watch.tell(Dismiss { name: name.to_owned() });
    }

    /// The engine ends: actors go, and nobody is to bring them back.
    pub fn stand_down(&self) {
        self.watch.tell(StandDown);
    }

    fn lifeline<A: Actor>(&self, name: &str) -> Lifeline {
        Lifeline { watch: self.watch.outlet(), kind: A::NAME, name: name.to_owned() }
    }
}

fn start<A: Actor>(actor: A, meters: &Meters, held: Held) -> Mailbox<A> {
    let meter = meters.of(A::NAME);
    Mailbox::new(Shell::new(actor, meter.clone(), held).start(), meter)
}
