//! Ending without losing time or mail: the drain order, each step with a deadline.
//!
//! Nothing here is needed for safety: the spool is the truth, and a missed deadline only costs
//! an attempt that is repeated. It is needed for politeness to peers and for a quick next start.

use std::{future::Future, pin::pin, time::Duration};

use relais_actors::{
    front::dispatcher::{CloseDoors, DescribeDispatcher, DrainDispatcher},
    job_controller::StopStarting,
    queue::{DrainQueue, GiveUpJobs},
    store::DrainStore,
};
use tracing::{info, warn};

use crate::start::Floors;

/// Stops accepting, lets sessions and jobs finish for as long as `peers` may delay it
/// (`max_shutdown`), and makes the last state changes durable.
pub async fn drain(floors: &Floors, peers: Duration) {
    info!("draining: no new connections, no new jobs");
    floors.ground.actors.stand_down();
    floors.delivery.controller.tell(StopStarting);
    let jobs = floors.delivery.queue.ask(DrainQueue);
    tokio::join!(
        end_sessions(floors, peers),
        within(peers, "jobs did not finish in time; their messages are tried again", jobs),
    );
    let forgotten = "orders about entries in the hands of jobs are forgotten";
    within(FLUSH, forgotten, floors.delivery.queue.ask(GiveUpJobs)).await;
    if let Some(store) = &floors.front.store {
        let unfinished = "the store's deliveries are made again at the next start";
        within(FLUSH, unfinished, store.ask(DrainStore)).await;
    }
    within(FLUSH, "the spool's last state changes may be repeated", floors.storage.storage.close())
        .await;
    info!("drained");
}

/// Lets clients finish what they are at; who does not is told to try again.
async fn end_sessions(floors: &Floors, patience: Duration) {
    let mut sessions = pin!(floors.front.dispatcher.ask(DrainDispatcher));
    if tokio::time::timeout(patience, &mut sessions).await.is_err() {
        warn!(limit = ?patience, "sessions did not finish in time; their clients will try again");
        floors.front.give_up.cancel();
        within(PARTING, "sessions did not end when they were told to", sessions).await;
    }
}

/// Accepts nothing more, and lets sessions end by themselves for a moment: those that have just begun
/// are not told to come again.
pub async fn let_sessions_end(floors: &Floors) {
    floors.delivery.controller.tell(StopStarting);
    // Jobs that deliver to a store of ours have sessions, too.
    floors.delivery.queue.tell(DrainQueue);
    let ended = async {
        // A part that is gone has no sessions.
        let _ = floors.front.dispatcher.ask(CloseDoors).await;
        while let Ok(services) = floors.front.dispatcher.ask(DescribeDispatcher).await {
            let mut workers = services.iter().flat_map(|service| &service.workers);
            if workers.all(|worker| worker.connections == 0) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // The others are told to come again.
    let _ = tokio::time::timeout(A_MOMENT, ended).await;
}

async fn within<F: Future>(limit: Duration, otherwise: &str, step: F) {
    if tokio::time::timeout(limit, step).await.is_err() {
        warn!(?limit, "{otherwise}");
    }
}

/// For a last word to clients that are there.
const PARTING: Duration = Duration::from_secs(1);
/// For sessions that have begun.
const A_MOMENT: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// For one write and one sync of the disk.
const FLUSH: Duration = Duration::from_secs(10);
