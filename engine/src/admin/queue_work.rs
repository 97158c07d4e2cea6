//! An order about the queue, carried out piece by piece, with what came of it written down.

use std::time::Duration;

use super::{Console, audited::Audited, console::Answer, patience::within};
use crate::api::{OrderProgress, QueueOrder};

/// An order that is being carried out. Whoever drops it ends it where it is.
pub(super) struct QueueWork<C: Console> {
    console: C,
    order: Box<QueueOrder>,
    /// Nothing of a dry run.
    audited: Option<Audited>,
    at: Option<C::OrderCursor>,
    has_ended: bool,
}

impl<C: Console> QueueWork<C> {
    /// One that has done nothing yet.
    pub(super) fn new(console: C, order: Box<QueueOrder>, audited: Option<Audited>) -> Self {
        Self { console, order, audited, at: None, has_ended: false }
    }

    /// The order.
    pub(super) fn order(&self) -> &QueueOrder {
        &self.order
    }

    /// Does the next piece; nothing behind the last, or behind an error.
    pub(super) async fn advance(&mut self) -> Answer<Option<OrderProgress>> {
        if self.has_ended {
            return Ok(None);
        }
        let piece = within(ORDERED, self.console.queue_order(&self.order, self.at.take())).await;
        let (progress, next) = match piece {
            Ok(piece) => piece,
            Err(unavailable) => {
                self.has_ended = true;
                if let Some(audited) = self.audited.take() {
                    audited.refused(&unavailable.to_string()).await;
                }
                return Err(unavailable);
            }
        };
        if let Some(audited) = &mut self.audited {
            audited.so_far(progress.reached(), progress.recipients);
        }
        (self.at, self.has_ended) = (next, progress.ended);
        if self.has_ended
            && let Some(audited) = self.audited.take()
        {
            audited.done().await;
        }
        Ok(Some(progress))
    }
}

/// For a piece of an order: of returns the next one waits until senders are told of those before.
pub(super) const ORDERED: Duration = Duration::from_secs(60);
