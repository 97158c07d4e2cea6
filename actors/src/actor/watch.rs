//! The watch: restarts what died, with backoff, from a factory; and ends the engine when the dead
//! actor is one that it cannot be itself without.
//!
//! Whoever lives as long as the engine (all but services, workers, sessions and jobs) knows what
//! nobody could tell a successor, or is known by an address that no successor has: when one of them
//! dies the process ends with a clear word and starts again from the spool, which is the truth.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use actix::Message;
use relais_channels::backoff::Backoff;
use tracing::{error, warn};

use super::{
    lifeline::Died,
    meter::{Meters, RestartCause},
    shell::{Actor, Ctx, Handle},
};

/// The remedy when an actor dies.
pub enum Remedy {
    /// Start another.
    Restart {
        /// Called at once, with the cause.
        told: Box<dyn FnMut(&'static str) + Send>,
        /// Called after a while: the more often, the later.
        again: Box<dyn FnMut() + Send>,
    },
    /// End the engine.
    End,
}

/// The engine ends: actors go, and nobody is to bring them back.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StandDown;

/// From now on, do this when `name` dies.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Guard {
    pub(super) name: String,
    pub(super) remedy: Remedy,
}

/// `name` ends soon, because it was told to.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Dismiss {
    pub(super) name: String,
}

/// The actor.
pub struct Watch {
    guarded: HashMap<String, Guarded>,
    /// Names of those that end in order, until they have ended.
    dismissed: HashSet<String>,
    meters: Meters,
    end: Box<dyn Fn(&str) + Send>,
    standing_down: bool,
}

struct Guarded {
    remedy: Remedy,
    backoff: Backoff,
}

impl Watch {
    /// Guards nothing yet; `end` is called with the name of a dead actor when the engine cannot go
    /// on without it.
    pub(super) fn new(meters: Meters, end: Box<dyn Fn(&str) + Send>) -> Self {
        let (guarded, dismissed) = (HashMap::new(), HashSet::new());
        Self { guarded, dismissed, meters, end, standing_down: false }
    }

    /// Starts the actor `name` again, if that is still wanted.
    fn restart(&mut self, name: &str) {
        if let Some(Guarded { remedy: Remedy::Restart { again, .. }, .. }) =
            self.guarded.get_mut(name)
        {
            again();
        }
    }
}

impl Actor for Watch {
    const NAME: &'static str = "watch";
}

impl Handle<Guard> for Watch {
    fn handle(&mut self, guard: Guard, _: &mut Ctx<Self>) {
        self.guarded.insert(guard.name, Guarded { remedy: guard.remedy, backoff: BACKOFF });
    }
}

impl Handle<Dismiss> for Watch {
    fn handle(&mut self, Dismiss { name }: Dismiss, _: &mut Ctx<Self>) {
        self.guarded.remove(&name);
        self.dismissed.insert(name);
    }
}

impl Handle<StandDown> for Watch {
    fn handle(&mut self, _: StandDown, _: &mut Ctx<Self>) {
        self.guarded.clear();
        self.standing_down = true;
    }
}

impl Handle<Died> for Watch {
    fn handle(&mut self, Died { kind, name, panicked }: Died, ctx: &mut Ctx<Self>) {
        if self.standing_down || self.dismissed.remove(&name) {
            return;
        }
        let restart = if panicked { RestartCause::Panic } else { RestartCause::Stopped };
        self.meters.of(kind).restarted(restart);
        let cause = restart.name();
        let Some(guarded) = self.guarded.get_mut(&name) else { return };
        match &mut guarded.remedy {
            Remedy::End => {
                error!(actor = kind, name, cause, "the engine ends: start it again");
                (self.end)(&name);
            }
            Remedy::Restart { told, .. } => {
                told(cause);
                let wait = guarded.backoff.fail();
                warn!(actor = kind, name, cause, ?wait, "restarting an actor");
                ctx.after(wait, move |watch, _| watch.restart(&name));
            }
        }
    }
}

/// Before an actor is started again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(60));
