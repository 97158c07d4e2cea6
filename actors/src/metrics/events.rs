//! Numbers of events for others, and where they are told.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use relais_config::EventKind;
use relais_events::{FileTrouble, HookFigures, Loss, PostResult, Tap, WebhookStatus};

use super::level;
use crate::{seldom::Seldom, timestamp::now_ms};

/// Moves the numbers of events.
#[derive(Debug)]
pub struct EventsMeter {
    /// Takes what happens to mail.
    pub tap: Tap,
    /// Peers with which TLS has failed a moment ago.
    pub tls_failures: Seldom,
    told: Family<KindLabels, Counter>,
    lost: Family<LossLabels, Counter>,
    posts: Family<PostLabels, Counter>,
    waiting: Family<HookLabels, Gauge>,
    behind: Family<HookLabels, Gauge>,
    octets: Family<HookLabels, Gauge>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LossLabels {
    to: String,
    why: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PostLabels {
    webhook: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct HookLabels {
    webhook: String,
}

impl EventsMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self {
            tap: Tap::default(),
            tls_failures: Seldom::new(MINUTE, MOST_PEERS),
            told: Family::default(),
            lost: Family::default(),
            posts: Family::default(),
            waiting: Family::default(),
            behind: Family::default(),
            octets: Family::default(),
        };
        let help = "Events told to the file or to a webhook, by kind";
        registry.register("events", help, meter.told.clone());
        let help =
            "Events that never come to the file, or to a webhook; to: file, webhook NAME, or all";
        registry.register("events_lost", help, meter.lost.clone());
        let help = "Posts to a webhook; failed: it did not answer, or not with 2xx";
        registry.register("webhook_posts", help, meter.posts.clone());
        let help = "Events that a webhook has not taken yet";
        registry.register("webhook_waiting_events", help, meter.waiting.clone());
        let help = "Age of the oldest event that a webhook has not taken yet";
        registry.register_with_unit("webhook_behind", help, Unit::Seconds, meter.behind.clone());
        let help = "Size of what a webhook has not taken yet on the disk";
        registry.register_with_unit("webhook_waiting", help, Unit::Bytes, meter.octets.clone());
        meter
    }

    /// Takes over the numbers of whoever writes and posts.
    pub(super) fn update(&self) {
        let figures = self.tap.figures();
        for kind in EventKind::ALL {
            let its = self.told.get_or_create_owned(&KindLabels { kind: kind.name() });
            its.inner().store(figures.count(kind), Relaxed);
        }
        self.set_lost("all", Loss::Memory, figures.lost_in_memory());
        self.set_lost("file", Loss::Disk, figures.lost_by_file());
        for hook in figures.hooks() {
            self.update_hook(&hook);
        }
    }

    fn update_hook(&self, hook: &HookFigures) {
        for why in Loss::ALL.into_iter().filter(|why| *why != Loss::Memory) {
            self.set_lost(&format!("webhook {}", hook.name), why, hook.lost(why));
        }
        for result in PostResult::ALL {
            let labels = PostLabels { webhook: hook.name.clone(), result: result.name() };
            let its = self.posts.get_or_create_owned(&labels);
            its.inner().store(hook.posts(result), Relaxed);
        }
        let labels = HookLabels { webhook: hook.name.clone() };
        let number = |count: u64| level(usize::try_from(count).unwrap_or(usize::MAX));
        self.waiting.get_or_create_owned(&labels).set(number(hook.waiting.load(Relaxed)));
        self.behind.get_or_create_owned(&labels).set(number(hook.behind(now_ms())));
        self.octets.get_or_create_owned(&labels).set(number(hook.octets.load(Relaxed)));
    }

    fn set_lost(&self, to: &str, why: Loss, events: u64) {
        let labels = LossLabels { to: to.to_owned(), why: why.name() };
        self.lost.get_or_create_owned(&labels).inner().store(events, Relaxed);
    }

    /// Shows a webhook of this name, for the list of families.
    pub(super) fn show(&self, name: &str) {
        self.update_hook(&HookFigures::of(name));
    }

    /// Why nothing is written to the file of events; `None`: it is, or there is none.
    pub fn file_trouble(&self) -> Option<FileTrouble> {
        self.tap.figures().file_trouble()
    }

    /// The webhooks of the configuration in force, in name order.
    pub fn status(&self) -> Vec<WebhookStatus> {
        let now = now_ms();
        self.tap.figures().hooks().iter().filter_map(|hook| hook.status(now)).collect()
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Peers and causes of a minute, with what is told of them.
const MOST_PEERS: usize = 4_096;
