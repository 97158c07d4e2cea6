//! Restarts what died, with backoff, from a factory; and ends the engine when the dead actor is one
//! that it cannot be itself without.
//!
//! actix restarts nothing after a panic: the actor is dropped and its address stays closed. So
//! every watched actor holds a [`Lifeline`], which reports when it is dropped in a way that
//! nobody asked for. Queue, job controller and pools know what runs, and nobody could tell a
//! successor; if one of them dies the process ends with a clear word and starts again from the
//! spool, which is the truth.

use std::{collections::HashMap, time::Duration};

use actix::prelude::*;
use tracing::{error, warn};

use crate::{
    metrics::{self, Metrics, RestartCause},
    readiness::Cause,
};

/// Held by a watched actor.
pub struct Lifeline {
    watch: Recipient<Died>,
    actor: metrics::Actor,
    name: String,
    released: bool,
}

/// An actor was dropped without having been released.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Died {
    /// Its kind.
    pub actor: metrics::Actor,
    /// Which of its kind.
    pub name: String,
    /// It was dropped by a panic.
    pub panicked: bool,
}

/// What to do when an actor dies.
pub enum Remedy {
    /// Start another.
    Restart(Box<dyn FnMut() + Send>),
    /// End the engine.
    End,
}

/// The engine ends: actors go, and nobody is to bring them back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StandDown;

/// From now on, do this when `name` dies.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Guard {
    /// Which of its kind.
    pub name: String,
    /// What then.
    pub remedy: Remedy,
}

/// The actor.
pub struct Watch {
    guarded: HashMap<String, Guarded>,
    metrics: std::sync::Arc<Metrics>,
    end: Box<dyn Fn(&str) + Send>,
    standing_down: bool,
}

struct Guarded {
    remedy: Remedy,
    restarts: u32,
}

impl Lifeline {
    /// For the actor `name` of the kind `actor`.
    pub fn new(watch: Recipient<Died>, actor: metrics::Actor, name: impl Into<String>) -> Self {
        Self { watch, actor, name: name.into(), released: false }
    }

    /// The actor may go now.
    pub fn release(&mut self) {
        self.released = true;
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        if !self.released {
            let name = std::mem::take(&mut self.name);
            let panicked = std::thread::panicking();
            self.watch.do_send(Died { actor: self.actor, name, panicked });
        }
    }
}

impl Watch {
    /// Guards nothing yet; `end` is called with the reason when the engine cannot go on.
    pub fn new(metrics: std::sync::Arc<Metrics>, end: Box<dyn Fn(&str) + Send>) -> Self {
        Self { guarded: HashMap::new(), metrics, end, standing_down: false }
    }
}

impl Actor for Watch {
    type Context = Context<Self>;
}

impl Handler<Guard> for Watch {
    type Result = ();

    fn handle(&mut self, guard: Guard, _: &mut Self::Context) {
        self.guarded.insert(guard.name, Guarded { remedy: guard.remedy, restarts: 0 });
    }
}

impl Handler<StandDown> for Watch {
    type Result = ();

    fn handle(&mut self, _: StandDown, _: &mut Self::Context) {
        self.guarded.clear();
        self.standing_down = true;
    }
}

impl Handler<Died> for Watch {
    type Result = ();

    fn handle(&mut self, died: Died, ctx: &mut Self::Context) {
        if self.standing_down {
            return;
        }
        let restart = if died.panicked { RestartCause::Panic } else { RestartCause::Stopped };
        self.metrics.actor(died.actor).restarted(restart);
        let cause = restart.name();
        if died.actor == metrics::Actor::Service {
            let words = format!(
                "service {} does not take connections: it ended ({cause}), and is started again",
                died.name
            );
            self.metrics.readiness.raise(Cause::Service, &life_of(&died.name), words);
        }
        let Some(guarded) = self.guarded.get_mut(&died.name) else { return };
        match guarded.remedy {
            Remedy::End => {
                error!(
                    actor = died.actor.name(),
                    name = died.name,
                    cause,
                    "the engine ends: start it again"
                );
                (self.end)(&died.name);
            }
            Remedy::Restart(_) => {
                let wait = (FIRST_WAIT * 2u32.saturating_pow(guarded.restarts)).min(LONGEST_WAIT);
                guarded.restarts = (guarded.restarts + 1).min(MAX_DOUBLINGS);
                warn!(
                    actor = died.actor.name(),
                    name = died.name,
                    cause,
                    ?wait,
                    "restarting an actor"
                );
                ctx.run_later(wait, move |watch, _| {
                    let guarded = watch.guarded.get_mut(&died.name);
                    if let Some(Guarded { remedy: Remedy::Restart(restart), .. }) = guarded {
                        restart();
                    }
                });
            }
        }
    }
}

/// What the end of a service is raised for, beside other troubles that it may have.
pub(crate) fn life_of(service: &str) -> String {
    format!("{service}: its life")
}

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const MAX_DOUBLINGS: u32 = 12;
