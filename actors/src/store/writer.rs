//! The thread that has the partition, and the one that makes its checkpoints.
//!
//! Deliveries that come while one batch is being written form the next: the more there are, the
//! less each costs.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{Builder, JoinHandle},
};

use relais_channels::mailbox::{MailboxName, Partition, PartitionError};
use tokio::sync::oneshot;
use tracing::error;

use super::deliveries::Pending;

/// What the thread can be asked for.
#[derive(Debug)]
pub(super) enum Work {
    /// To deliver a message.
    Deliver(Pending),
    /// To make a mailbox.
    Create(MailboxName, oneshot::Sender<io::Result<bool>>),
    /// To end; what was asked for before is done first.
    Stop,
}

/// Opens the partition and starts both threads.
pub(super) fn start(
    config: &relais_config::Store,
    host: &str,
) -> Result<(Sender<Work>, Vec<JoinHandle<()>>), PartitionError> {
    let (mut partition, checkpoints) = Partition::open(config, host)?;
    let fails = |source| PartitionError::Io { path: config.path.clone(), source };
    let (sender, work) = channel();
    let writer = Builder::new().name("store".to_owned()).spawn(move || run(&mut partition, &work));
    let checkpoints = Builder::new().name("checkpoint".to_owned()).spawn(move || {
        if let Err(error) = checkpoints.run() {
            error!(%error, "the store cannot be synced; deliveries are refused until it is restarted");
        }
    });
    Ok((sender, vec![writer.map_err(fails)?, checkpoints.map_err(fails)?]))
}

fn run(partition: &mut Partition, work: &Receiver<Work>) {
    let mut pending = Vec::new();
    while let Ok(first) = work.recv() {
        let mut next = Some(first);
        while let Some(now) = next.take() {
            match now {
                Work::Deliver(delivery) => pending.push(delivery),
                Work::Create(name, answer) => {
                    // Nobody may be waiting any more.
                    let _ = answer.send(partition.create(&name));
                }
                Work::Stop => return deliver(partition, &mut pending),
            }
            if pending.len() < MAX_BATCH {
                next = work.try_recv().ok();
            }
        }
        deliver(partition, &mut pending);
    }
}

/// Answers everybody after one sync.
fn deliver(partition: &mut Partition, pending: &mut Vec<Pending>) {
    let mut answers = Vec::with_capacity(pending.len());
    let mut batch = Vec::with_capacity(pending.len());
    for Pending { delivery, answer, permit } in pending.drain(..) {
        batch.push(delivery);
        answers.push((answer, permit));
    }
    // The mailboxes are on disk and the journal is whole or marked as failed: there is nothing
    // in memory that a panic could leave half done. Those who wait see their senders dropped.
    let Ok(replies) = catch_unwind(AssertUnwindSafe(|| partition.deliver(&batch))) else {
        return error!(messages = batch.len(), "a delivery ended in a panic");
    };
    for ((answer, permit), replies) in answers.into_iter().zip(replies) {
        drop(permit);
        // Nobody may be waiting any more.
        let _ = answer.send(replies);
    }
}

/// Deliveries answered together at most.
const MAX_BATCH: usize = 256;
