//! The floor of the storage: opened, recovered, and done with whatever the last end broke off.

use std::{sync::Arc, thread, time::Duration};

use relais_actors::{channel_table::Channels, metrics::Metrics, queue::Intake};
use relais_channels::mail::MessageIds;
use relais_config::{self as config, Config};
use relais_spool::{RealDisk, Recovered, Spool, SpoolEvents};
use relais_storage::{Storage, StorageError};

use super::{error::StartError, ground::GroundFloor};
use crate::state::order_book::{OrderBook, Unfinished};

/// The spool, and the work of the run before that is left to do.
#[derive(Clone)]
pub(crate) struct StorageFloor {
    pub(crate) storage: Storage,
    pub(crate) ids: Arc<MessageIds>,
    pub(crate) orders: Arc<OrderBook>,
    /// Entries that the queue is asked to return as soon as it is there.
    pub(crate) unfinished: Unfinished,
    /// Where the queue hears of what the spool commits.
    pub(crate) intake: Intake,
}

impl StorageFloor {
    /// Opens the spool. Nothing is delivered before this returns.
    pub(super) fn open(ground: &GroundFloor) -> Result<Self, StartError> {
        let GroundFloor { config, channels, metrics, .. } = ground;
        let intake = Intake::default();
        let (spool, recovered) = open_spool(config, metrics, intake.clone())?;
        let storage = Storage::new(spool);
        let ids = Arc::new(MessageIds::after(recovered.last_id, recovered.generation));
        tell_of_lost_channels(channels, &recovered);
        let (orders, unfinished) = conclude(config, &storage, metrics)?;
        Ok(Self { storage, ids, orders, unfinished, intake })
    }
}

/// Opens the spool and starts its threads; what they commit goes to `intake`.
fn open_spool(
    config: &Config,
    metrics: &Arc<Metrics>,
    intake: Intake,
) -> Result<(Spool, Recovered), StartError> {
    let dir = config.data.join("spool");
    let error = |source| StartError::Spool { dir: dir.clone(), source };
    // Where no mail comes into the queue none is refused for want of room.
    let min_free = if config.fills_queue() { config.spool.min_free } else { 0 };
    let settings = config::Spool { min_free, ..config.spool.clone() };
    let (opened, recovered) = Spool::open(&dir, &settings, Arc::new(RealDisk)).map_err(error)?;
    let opened = opened.observed_by(Arc::new(SpoolMeters(metrics.clone())));
    let spool = opened.start(move |batch| intake.committed(batch)).map_err(error)?;
    Ok((spool, recovered))
}

/// Mail may wait for channels that the configuration does not have any more.
fn tell_of_lost_channels(channels: &Channels, recovered: &Recovered) {
    for (channel, counts) in &recovered.entries {
        if channels.find(channel).is_none() && counts.total() > 0 {
            let messages = counts.total();
            tracing::warn!(channel, messages, "there is no such channel any more: its mail stays");
        }
    }
}

/// Carries out what the last end broke off. Nothing may be delivered before.
fn conclude(
    config: &Config,
    storage: &Storage,
    metrics: &Metrics,
) -> Result<(Arc<OrderBook>, Unfinished), StartError> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|_| StartError::Orders(StorageError::Closed))?;
        runtime.block_on(async {
            let orders = OrderBook::new(&config.data);
            orders.rerouting.conclude(storage).await.map_err(StartError::Rerouting)?;
            let unfinished = orders.conclude(storage, metrics).await.map_err(StartError::Orders)?;
            Ok((Arc::new(orders), unfinished))
        })
    };
    // This thread has a runtime of its own, which must not wait inside itself.
    let ended = |_| Err(StartError::Orders(StorageError::Closed));
    thread::scope(|threads| threads.spawn(work).join().unwrap_or_else(ended))
}

impl SpoolEvents for SpoolMeters {
    fn committed(&self, messages: usize, _octets: u64, took: Duration) {
        self.0.spool.committed(messages, took);
    }
}

/// Moves the spool's numbers.
struct SpoolMeters(Arc<Metrics>);
