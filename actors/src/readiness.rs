//! Why mail is not taken, or not delivered into the store: what `/readyz` answers 503 with.
//!
//! Whoever meets a trouble of this kind raises its cause, with words for the operator, and clears
//! it as soon as it is over. Raising again replaces the words; both are cheap, and may be done from
//! any thread.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// The causes that are raised now. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<RaisedCauses>);

/// The cause that makes an engine not ready; the label `cause`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// Mail is refused because the spool's disk has no room, or cannot be written.
    Room,
    /// A partition of the store is not there: not mounted, say.
    Partition,
    /// The store's journal cannot be written: deliveries into mailboxes are put off.
    Journal,
    /// A service of the configuration does not listen.
    Service,
}

#[derive(Debug, Default)]
struct RaisedCauses {
    raised: Mutex<BTreeMap<(Cause, String), String>>,
    probes: Mutex<BTreeMap<(Cause, String), Probe>>,
    gauges: Family<CauseLabels, Gauge>,
}

/// Looks whether there is trouble, and says so in words for the operator.
struct Probe(Box<dyn Fn() -> Option<String> + Send + Sync>);

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct CauseLabels {
    cause: &'static str,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Room, Self::Partition, Self::Journal, Self::Service];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Partition => "partition",
            Self::Journal => "journal",
            Self::Service => "service",
        }
    }
}

impl Readiness {
    /// Nothing is raised; the gauge of each cause is registered.
    pub fn registered(registry: &mut Registry) -> Self {
        let readiness = Self::default();
        let help = "Whether mail cannot be taken or delivered for this cause (/readyz tells the \
                    reason)";
        registry.register("not_ready", help, readiness.0.gauges.clone());
        for cause in Cause::ALL {
            readiness.gauge(cause).set(0);
        }
        readiness
    }

    /// `subject`, which is the name of a service or the path of a partition, say, is in trouble of
    /// this kind; `words` tell the operator. Returns whether this is news, which is when it is to be
    /// logged.
    pub fn raise(&self, cause: Cause, subject: &str, words: impl Into<String>) -> bool {
        let mut raised = self.0.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let news = raised.insert((cause, subject.to_owned()), words.into()).is_none();
        self.gauge(cause).set(1);
        news
    }

    /// The trouble is over. Returns whether there was any, which is when its end is to be logged.
    pub fn clear(&self, cause: Cause, subject: &str) -> bool {
        let mut raised = self.0.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let there_was = raised.remove(&(cause, subject.to_owned())).is_some();
        let still = raised.keys().any(|(other, _)| *other == cause);
        self.gauge(cause).set(i64::from(still));
        there_was
    }

    /// Has `look` called whenever somebody asks: trouble that nobody else would notice. Takes the
    /// place of one before it for the same subject.
    pub fn probe(
        &self,
        cause: Cause,
        subject: &str,
        look: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        let mut probes = self.0.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.insert((cause, subject.to_owned()), Probe(Box::new(look)));
    }

    /// The words of everything that is raised, in the order of causes and subjects.
    pub fn reasons(&self) -> Vec<String> {
        let probes = self.0.probes.lock().unwrap_or_else(PoisonError::into_inner);
        for ((cause, subject), Probe(look)) in &*probes {
            match look() {
                Some(words) => self.raise(*cause, subject, words),
                None => self.clear(*cause, subject),
            };
        }
        let raised = self.0.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.values().cloned().collect()
    }

    fn gauge(&self, cause: Cause) -> Gauge {
        self.0.gauges.get_or_create_owned(&CauseLabels { cause: cause.name() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_stands_until_the_last_of_its_subjects_is_well() {
        let readiness = Readiness::registered(&mut Registry::default());
        let gauge = |cause| readiness.gauge(cause).get();
        assert_eq!((readiness.reasons().len(), gauge(Cause::Service)), (0, 0));
        assert!(readiness.raise(Cause::Service, "SMTP", "SMTP does not listen"));
        assert!(!readiness.raise(Cause::Service, "SMTP", "SMTP does not listen: no socket"));
        assert!(readiness.raise(Cause::Service, "LMTP", "LMTP does not listen"));
        assert!(readiness.raise(Cause::Room, "", "no room"));
        let all = ["no room", "LMTP does not listen", "SMTP does not listen: no socket"];
        assert_eq!(readiness.reasons(), all);
        assert!(readiness.clear(Cause::Service, "LMTP"));
        assert!(!readiness.clear(Cause::Service, "LMTP"));
        assert_eq!(gauge(Cause::Service), 1);
        assert!(readiness.clone().clear(Cause::Service, "SMTP"));
        assert_eq!((gauge(Cause::Service), gauge(Cause::Room)), (0, 1));
        assert_eq!(readiness.reasons(), ["no room"]);
        let gone = Arc::new(Mutex::new(false));
        let seen = gone.clone();
        readiness.probe(Cause::Service, "LMTP", move || {
            seen.lock().unwrap().then(|| "its socket is gone".to_owned())
        });
        assert_eq!(readiness.reasons(), ["no room"]);
        *gone.lock().unwrap() = true;
        assert_eq!(readiness.reasons(), ["no room", "its socket is gone"]);
        *gone.lock().unwrap() = false;
        assert_eq!((readiness.reasons().len(), gauge(Cause::Service)), (1, 0));
    }
}
