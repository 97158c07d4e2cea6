//! What every actor is measured by: messages, busy time, waiting messages, restarts.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// The kinds of actors; the values of the label `actor`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Actor {
    /// Owns the services.
    Dispatcher,
    /// Owns listening sockets.
    Service,
    /// Owns sessions.
    Worker,
    /// One connection.
    Session,
    /// Recipient in, channel and address out.
    Router,
    /// Look-ups.
    Directory,
    /// What waits.
    Queue,
    /// What runs.
    JobController,
    /// Slots.
    Pool,
    /// Delivers.
    Job,
    /// Notices to senders.
    Notary,
    /// Mailboxes.
    Store,
    /// Restarts what died.
    Watch,
}

/// What all actors of one kind share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ActorMeter(Arc<Numbers>);

/// Why an actor had to be started again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestartCause {
    /// A bug ended it.
    Panic,
    /// It ended by itself, or its thread did.
    Stopped,
}

/// Work being done; its time counts when this is dropped.
#[derive(Debug)]
#[must_use = "the time is counted until this is dropped"]
pub struct Busy {
    started: Instant,
    numbers: Arc<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    actor: &'static str,
    messages: Family<MessageLabels, Counter>,
    /// Filled from the front, never emptied: finding a message's counter takes no lock.
    known: [OnceLock<(&'static str, Counter)>; MAX_MESSAGES],
    busy: Counter<f64, AtomicU64>,
    depth: Gauge,
    panics: Counter,
    stops: Counter,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ActorLabels {
    actor: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MessageLabels {
    actor: &'static str,
    message: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RestartLabels {
    actor: &'static str,
    cause: &'static str,
}

impl Actor {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Dispatcher,
        Self::Service,
        Self::Worker,
        Self::Session,
        Self::Router,
        Self::Directory,
        Self::Queue,
        Self::JobController,
        Self::Pool,
        Self::Job,
        Self::Store,
        Self::Notary,
        Self::Watch,
    ];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Service => "service",
            Self::Worker => "worker",
            Self::Session => "session",
            Self::Router => "router",
            Self::Directory => "directory",
            Self::Queue => "queue",
            Self::JobController => "job_controller",
            Self::Pool => "pool",
            Self::Job => "job",
            Self::Store => "store",
            Self::Notary => "notary",
            Self::Watch => "watch",
        }
    }
}

impl ActorMeter {
    /// Names messages before they come, so that a scrape shows them with zero.
    pub fn declare(&self, messages: &[&'static str]) {
        for message in messages {
            self.counter(message);
        }
    }

    /// Says that a message was put into a mailbox of such an actor.
    pub fn sent(&self) {
        self.0.depth.inc();
    }

    /// Says that a message of this name was taken from the mailbox; its handling takes as long
    /// as the returned value lives. Takes the message off the depth that [`ActorMeter::sent`]
    /// counted; senders that do not count leave the depth at zero, never below.
    pub fn handling(&self, message: &'static str) -> Busy {
        if let Some(counter) = self.counter(message) {
            counter.inc();
        }
        let less_one = |depth: i64| (depth > 0).then(|| depth - 1);
        let _ = self.0.depth.inner().fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_one);
        self.busy()
    }

    /// Measures work that no message asked for: a timer, a poll.
    pub fn busy(&self) -> Busy {
        Busy { started: Instant::now(), numbers: Arc::clone(&self.0) }
    }

    /// Runs `future`, counting the time in which it is polled and not that in which it waits.
    pub async fn timed<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let started = Instant::now();
            let polled = future.as_mut().poll(cx);
            self.0.busy.inc_by(started.elapsed().as_secs_f64());
            polled
        })
        .await
    }

    /// Counts a restart.
    pub fn restarted(&self, cause: RestartCause) {
        match cause {
            RestartCause::Panic => self.0.panics.inc(),
            RestartCause::Stopped => self.0.stops.inc(),
        };
    }

    /// `None` when the actor has more kinds of messages than places: these are not counted.
    fn counter(&self, message: &'static str) -> Option<&Counter> {
        self.0.known.iter().find_map(|place| {
            let (name, counter) = place.get_or_init(|| {
                let labels = MessageLabels { actor: self.0.actor, message };
                (message, self.0.messages.get_or_create_owned(&labels))
            });
            (*name == message).then_some(counter)
        })
    }
}

impl RestartCause {
    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stopped => "stopped",
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.numbers.busy.inc_by(self.started.elapsed().as_secs_f64());
    }
}

/// Registers the families and makes a meter for every kind of actor.
pub(super) fn meters(registry: &mut Registry) -> BTreeMap<Actor, ActorMeter> {
    let messages = Family::<MessageLabels, Counter>::default();
    let busy = Family::<ActorLabels, Counter<f64, AtomicU64>>::default();
    let depth = Family::<ActorLabels, Gauge>::default();
    let restarts = Family::<RestartLabels, Counter>::default();
    registry.register("actor_messages", "Messages handled", messages.clone());
    let help = "Time spent handling messages and timers";
    registry.register_with_unit("actor_busy", help, Unit::Seconds, busy.clone());
    registry.register(
        "actor_mailbox_depth",
        "Messages waiting to be handled; when it grows, the actor is too slow",
        depth.clone(),
    );
    registry.register(
        "actor_restarts",
        "Actors started again; the log says why, and a panic is a bug to report",
        restarts.clone(),
    );
    let meter = |actor: Actor| {
        let labels = ActorLabels { actor: actor.name() };
        let restarts = |cause: RestartCause| {
            let labels = RestartLabels { actor: actor.name(), cause: cause.name() };
            restarts.get_or_create_owned(&labels)
        };
        let numbers = Numbers {
            actor: actor.name(),
            messages: messages.clone(),
            known: Default::default(),
            busy: busy.get_or_create_owned(&labels),
            depth: depth.get_or_create_owned(&labels),
            panics: restarts(RestartCause::Panic),
            stops: restarts(RestartCause::Stopped),
        };
        (actor, ActorMeter(Arc::new(numbers)))
    };
    Actor::ALL.into_iter().map(meter).collect()
}

/// More than any actor has kinds of messages.
const MAX_MESSAGES: usize = 24;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queue() -> ActorMeter {
        meters(&mut Registry::default()).remove(&Actor::Queue).unwrap()
    }

    #[test]
    fn handling_counts_the_message_and_takes_it_off_the_depth() {
        let meter = queue();
        meter.sent();
        meter.sent();
        drop(meter.handling("Settle"));
        assert_eq!(meter.counter("Settle").unwrap().get(), 1);
        assert_eq!(meter.0.depth.get(), 1);
        drop(meter.handling("Settle"));
        drop(meter.handling("Pull"));
        assert_eq!(meter.counter("Settle").unwrap().get(), 2);
        assert_eq!(meter.counter("Pull").unwrap().get(), 1);
        assert_eq!(meter.0.depth.get(), 0, "never below zero");
    }

    #[test]
    fn a_message_too_many_is_handled_uncounted() {
        let meter = queue();
        let names: Vec<&'static str> =
            (0..=MAX_MESSAGES).map(|n| &*Box::leak(n.to_string().into_boxed_str())).collect();
        meter.declare(&names);
        assert!(meter.counter(names[MAX_MESSAGES - 1]).is_some());
        assert!(meter.counter(names[MAX_MESSAGES]).is_none());
        drop(meter.handling(names[MAX_MESSAGES]));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_not_busy() {
        let meter = queue();
        meter.timed(tokio::time::sleep(Duration::from_secs(3600))).await;
        assert!(meter.0.busy.get() < 60.0);
    }
}
