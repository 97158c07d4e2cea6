//! Meters of actors: messages, busy time, waiting messages, restarts.

use std::{
    any::{TypeId, type_name},
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// The meters of all kinds of actors. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Meters(Arc<ActorFamilies>);

/// The numbers that all actors of one kind share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Numbers>);

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
pub struct Busy<'a> {
    started: Instant,
    meter: &'a Meter,
}

#[derive(Debug, Default)]
struct ActorFamilies {
    messages: Family<MessageLabels, Counter>,
    busy: Family<ActorLabels, Counter<f64, AtomicU64>>,
    depth: Family<ActorLabels, Gauge>,
    waited: Family<ActorLabels, Counter<f64, AtomicU64>>,
    restarts: Family<RestartLabels, Counter>,
    known: Mutex<BTreeMap<&'static str, Meter>>,
}

#[derive(Debug, Default)]
struct Numbers {
    actor: &'static str,
    messages: Family<MessageLabels, Counter>,
    /// Filled from the front, never emptied: finding a message's counter takes no lock.
    known: [OnceLock<(TypeId, Counter)>; MAX_MESSAGES],
    busy: Counter<f64, AtomicU64>,
    depth: Gauge,
    waited: Counter<f64, AtomicU64>,
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

impl Meters {
    /// Registers the numbers of these kinds, so that a scrape shows them before the first message.
    pub fn register(registry: &mut Registry, kinds: &[&'static str]) -> Self {
        let families = ActorFamilies::default();
        registry.register("actor_messages", "Messages handled", families.messages.clone());
        let help = "Time spent handling messages and timers, waiting for others not counted";
        registry.register_with_unit("actor_busy", help, Unit::Seconds, families.busy.clone());
        registry.register(
            "actor_mailbox_depth",
            "Messages waiting to be handled; when it grows, the actor is too slow",
            families.depth.clone(),
        );
        registry.register_with_unit(
            "actor_mailbox_wait",
            "Time that messages waited before they were handled, of all messages together",
            Unit::Seconds,
            families.waited.clone(),
        );
        registry.register(
            "actor_restarts",
            "Actors started again; the log says why, and a panic is a bug to report",
            families.restarts.clone(),
        );
        let meters = Self(Arc::new(families));
        for kind in kinds {
            meters.of(kind);
        }
        meters
    }

    /// The meter of a kind.
    pub fn of(&self, kind: &'static str) -> Meter {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(kind).or_insert_with(|| self.0.meter(kind)).clone()
    }
}

impl ActorFamilies {
    fn meter(&self, actor: &'static str) -> Meter {
        let labels = ActorLabels { actor };
        let restarts = |cause: RestartCause| {
            self.restarts.get_or_create_owned(&RestartLabels { actor, cause: cause.name() })
        };
        Meter(Arc::new(Numbers {
            actor,
            messages: self.messages.clone(),
            known: Default::default(),
            busy: self.busy.get_or_create_owned(&labels),
            depth: self.depth.get_or_create_owned(&labels),
            waited: self.waited.get_or_create_owned(&labels),
            panics: restarts(RestartCause::Panic),
            stops: restarts(RestartCause::Stopped),
        }))
    }
}

impl Meter {
    /// Names a message before the first one comes, so that a scrape shows it with zero.
    #[cfg(test)]
    pub(crate) fn declare<M: 'static>(&self) {
        self.counter::<M>();
    }

    /// Says that a message was put into a mailbox of such an actor.
    pub(super) fn sent(&self) {
        self.0.depth.inc();
    }

    /// Says that a message that was sent waits no more.
    pub(super) fn taken(&self) {
        self.0.depth.dec();
    }

    /// Says for how long a message waited.
    pub(super) fn waited(&self, wait: Duration) {
        self.0.waited.inc_by(wait.as_secs_f64());
    }

    /// Says that a message of this type is being handled for as long as the returned value lives.
    pub fn handling<M: 'static>(&self) -> Busy<'_> {
        self.count::<M>();
        self.busy()
    }

    /// Counts a message of this type whose time is measured together with others.
    pub fn count<M: 'static>(&self) {
        if let Some(counter) = self.counter::<M>() {
            counter.inc();
        }
    }

    /// Measures work that no message asked for: a timer, a poll.
    pub fn busy(&self) -> Busy<'_> {
        Busy { started: Instant::now(), meter: self }
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
    fn counter<M: 'static>(&self) -> Option<&Counter> {
        let wanted = TypeId::of::<M>();
        self.0.known.iter().find_map(|place| {
            let (of, counter) = place.get_or_init(|| {
                let labels = MessageLabels { actor: self.0.actor, message: short_name::<M>() };
                (wanted, self.0.messages.get_or_create_owned(&labels))
            });
            (*of == wanted).then_some(counter)
        })
    }
}

/// The name of a type without its path and its parameters.
fn short_name<M>() -> &'static str {
    let name = type_name::<M>();
    let plain = name.split('<').next().unwrap_or(name);
    plain.rsplit("::").next().unwrap_or(plain)
}

impl Busy<'_> {
    /// Since when.
    pub(super) fn since(&self) -> Instant {
        self.started
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

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.meter.0.busy.inc_by(self.started.elapsed().as_secs_f64());
    }
}

/// More than any actor has kinds of messages.
const MAX_MESSAGES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    struct Settle;
    struct Pull;

    fn queue() -> Meter {
        Meters::register(&mut Registry::default(), &["queue"]).of("queue")
    }

    #[test]
    fn messages_are_counted_by_their_type() {
        let meter = queue();
        meter.sent();
        meter.sent();
        drop(meter.handling::<Settle>());
        meter.taken();
        assert_eq!(meter.counter::<Settle>().unwrap().get(), 1);
        assert_eq!(meter.0.depth.get(), 1);
        drop(meter.handling::<Settle>());
        drop(meter.handling::<Pull>());
        assert_eq!(meter.counter::<Settle>().unwrap().get(), 2);
        assert_eq!(meter.counter::<Pull>().unwrap().get(), 1);
    }

    #[test]
    fn a_message_is_named_without_path_and_parameters() {
        assert_eq!(short_name::<Pull>(), "Pull");
        assert_eq!(short_name::<Option<Pull>>(), "Option");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_not_busy() {
        let meter = queue();
        meter.timed(tokio::time::sleep(Duration::from_secs(3600))).await;
        assert!(meter.0.busy.get() < 60.0);
    }
}
