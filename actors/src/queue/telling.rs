//! Telling the log and the history of holds and releases. The queue knows no envelopes: they are read behind
//! its answers, many at once.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{
    Queue,
    hold_lines::{self, HoldLine},
};
use crate::actor::Ctx;

impl Queue {
    /// Tells these; ready when they are told.
    pub(super) fn tell_holds(&self, lines: Vec<HoldLine>) -> impl Future<Output = ()> + use<> {
        let (pages, metrics) = (self.storage.page_reader(), Arc::clone(&self.metrics));
        let told = (!lines.is_empty())
            .then(|| spawn_blocking(move || hold_lines::tell(&pages, &lines, &metrics)));
        async move {
            if let Some(told) = told {
                // A panic has been told by the thread that it ended.
                let _ = told.await;
            }
        }
    }

    /// Tells what nobody waits for.
    pub(super) fn tell_other_holds(&mut self, ctx: &mut Ctx<Self>) {
        if self.hold_lines.is_telling || self.hold_lines.len() == 0 {
            return;
        }
        self.hold_lines.is_telling = true;
        let lines = self.hold_lines.take();
        ctx.when(self.tell_holds(lines), |queue, (), _| queue.hold_lines.is_telling = false);
    }
}
