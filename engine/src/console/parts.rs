//! Parts of the engine that the console asks, and the words for operators when no answer comes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use relais_actors::{
    actor::{Gone, Mailbox},
    channel_table::Channels,
    defragment::Defragmenter,
    delivery::progress::ConnectionProgress,
    front::dispatcher::Dispatcher,
    job_controller::JobController,
    metrics::{DirectoryStatus, Metrics},
    queue::Queue,
    readiness::Cause,
    rerouting::Rerouter,
    router::RouterHandle,
    standing::StandingOrders,
    store::Store,
};
use relais_channels::tls::ServerTls;
use relais_config::{Config, channel, dispatcher::Program};
use relais_history::History;
use relais_storage::{Storage, StorageError};

use crate::{admin::Unavailable, start::Floors, state::order_book::OrderBook};

/// The parts that the engine is asked through.
pub(super) struct Parts {
    pub(super) channels: Arc<Channels>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) certificates: Arc<ServerTls>,
    pub(super) storage: Storage,
    pub(super) history: History,
    pub(super) dispatcher: Mailbox<Dispatcher>,
    pub(super) store: Option<Mailbox<Store>>,
    pub(super) queue: Mailbox<Queue>,
    pub(super) defragmenter: Mailbox<Defragmenter>,
    pub(super) controller: Mailbox<JobController>,
    pub(super) progress: ConnectionProgress,
    pub(super) router: RouterHandle,
    pub(super) rerouter: Rerouter,
    /// Of those who reroute one is at work.
    pub(super) reroutes: Arc<tokio::sync::Mutex<()>>,
    pub(super) orders: Arc<OrderBook>,
    pub(super) standing: StandingOrders,
}

impl Parts {
    /// The parts on these floors. Of those who reroute one is at work, whatever the configuration.
    pub(super) fn of(floors: &Floors, reroutes: Arc<tokio::sync::Mutex<()>>) -> Self {
        let Floors { ground, storage, delivery, front } = floors;
        Self {
            channels: ground.channels.clone(),
            metrics: ground.metrics.clone(),
            certificates: ground.certificates.clone(),
            storage: storage.storage.clone(),
            history: History::of(&ground.history),
            dispatcher: front.dispatcher.clone(),
            store: front.store.clone(),
            queue: delivery.queue.clone(),
            defragmenter: delivery.defragmenter.clone(),
            controller: delivery.controller.clone(),
            progress: delivery.progress.clone(),
            router: delivery.router.clone(),
            rerouter: delivery.rerouter.clone(),
            reroutes,
            orders: storage.orders.clone(),
            standing: ground.standing.clone(),
        }
    }

    /// Why mail is not taken, or not delivered into the store; looked at now.
    pub(super) fn alarms(&self) -> Vec<String> {
        let readiness = &self.metrics.readiness;
        match self.storage.refuses() {
            None => readiness.clear(Cause::Room, ""),
            Some(why) => readiness.raise(Cause::Room, "", format!("new mail is refused: {why}")),
        };
        readiness.reasons()
    }

    /// Whether anything leaves by a channel: it is not only there for mail that comes in by LMTP,
    /// and a local one has mailboxes.
    pub(super) fn delivers(&self, config: &Config, name: &str) -> bool {
        let served = self.channels.find(name).is_some_and(|id| {
            let channel = self.channels.channel(id);
            let has_mailboxes = config.native.is_some();
            channel.program != channel::Program::Local || has_mailboxes
        });
        let mut services = config.dispatcher.enabled();
        let takes = services.any(|s| s.program != Program::Smtp && s.channel == name);
        let has_mail = || self.storage.counts_of(name).total() > 0;
        served && (!takes || has_mail())
    }

    pub(super) fn directory(&self) -> DirectoryStatus {
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DirectoryStatus {
            found: total(&self.router.lookups.found),
            missing: total(&self.router.lookups.missing),
            failed: total(&self.router.lookups.failed),
            cache_hits: self.router.cache.hits(),
        }
    }
}

/// An actor does not answer any more.
pub(super) fn gone(_: Gone) -> Unavailable {
    Unavailable("a part of the engine has ended".to_owned())
}

/// The spool does not answer as it should.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn unavailable(error: StorageError) -> Unavailable {
    Unavailable(error.to_string())
}
