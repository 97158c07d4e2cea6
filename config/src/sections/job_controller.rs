//! Pools of jobs and the bounds of the queue.

use std::num::NonZeroUsize;

use crate::file::{
    collections::Named,
    form::Section,
    kinds::{Count, Flag},
};

section! {
    /// Limits of the Job Controller. Without this section nothing is queued.
    pub struct JobController as its {
        /// Queue entries held in memory at most; more wait on the disk.
        max_messages: usize = 100_000, Count(8..=100_000_000), queue, live, unit("entries");
        /// Channels that a scan of the disk reads at once.
        rebuild_parallel_channels: usize = 12, Count(1..=100), queue, unit("channels");
        /// Whether the last slot of a pool is kept free for who has none: the default of pools that
        /// do not say otherwise.
        keep_last_slot: bool = true, Flag, queue;
        /// Pools by their names; `DEFAULT` serves channels that name none, and is always there.
        pools: Vec<Pool> = Vec::new(), pools(its.keep_last_slot);
    }
}

section! {
    /// Jobs that may run at once for the channels assigned to it.
    pub struct Pool {
        /// The key in the file: `"SMTP_POOL"`.
        name: String = String::new();
        /// Jobs at once.
        job_limit: NonZeroUsize = DEFAULT_JOB_LIMIT, Count(1..=10_000), queue, live, unit("jobs");
        /// A host with a connection leaves the last free one to hosts without, and a channel with
        /// jobs the last free slot to channels without. Without it, as `job_controller` says.
        keep_last_slot: bool = true, Flag, queue;
    }
}

/// `{"SMTP_POOL": (...)}`; pools that do not say whether the last slot is kept take this.
fn pools(keep_last_slot: bool) -> Named<Pool, impl Fn(String) -> Pool> {
    Named::new(move |name| Pool::named(name, keep_last_slot), |pool| &pool.name)
}

impl JobController {
    /// Adds the pool of channels that name none.
    pub(crate) fn complete(&mut self) {
        if !self.pools.iter().any(|pool| pool.name == DEFAULT_POOL) {
            self.pools.push(Pool::named(DEFAULT_POOL.to_owned(), self.keep_last_slot));
            self.pools.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
}

impl Pool {
    fn named(name: String, keep_last_slot: bool) -> Self {
        Self { name, keep_last_slot, ..Self::blank() }
    }
}

/// The pool of channels that name none.
pub const DEFAULT_POOL: &str = "DEFAULT";
const DEFAULT_JOB_LIMIT: NonZeroUsize = NonZeroUsize::new(10).unwrap();
