//! Pools of jobs and the bounds of the queue.

use std::num::NonZeroUsize;

use crate::file::{
    collections::Named,
    form::{Form, Section},
    kinds::{Count, Flag},
};

/// What the Job Controller may do.
#[derive(Clone, Debug)]
pub struct JobController {
    /// Queue entries held in memory at most; 8 to 100,000,000, default 100,000.
    pub max_messages: usize,
    /// Channels that a scan of the disk reads at once; 1 to 100, default 12.
    pub rebuild_parallel_channels: usize,
    /// The default of pools: whether the last slot is kept free for who has none; default true.
    pub keep_last_slot: bool,
    /// Pools in name order; `DEFAULT` serves channels that name none, and is always there.
    pub pools: Vec<Pool>,
}

/// Jobs that may run at once for the channels assigned to it.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The key in the file: `"SMTP_POOL"`.
    pub name: String,
    /// Jobs at once; default 10.
    pub job_limit: NonZeroUsize,
    /// A host with a connection leaves the last free one to hosts without, and a channel with jobs the
    /// last free slot to channels without; default what the job controller says.
    pub keep_last_slot: bool,
}

impl JobController {
    /// Every default, and no pool.
    pub(crate) fn blank() -> Self {
        Self {
            max_messages: 100_000,
            rebuild_parallel_channels: 12,
            keep_last_slot: true,
            pools: Vec::new(),
        }
    }

    /// Adds the pool of channels that name none.
    pub(crate) fn complete(&mut self) {
        if !self.pools.iter().any(|pool| pool.name == DEFAULT_POOL) {
            self.pools.push(Pool::blank(DEFAULT_POOL.to_owned(), self.keep_last_slot));
            self.pools.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
}

impl Pool {
    /// One that says nothing.
    pub(crate) fn by_default() -> Self {
        Self::blank(String::new(), true)
    }

    fn blank(name: String, keep_last_slot: bool) -> Self {
        Self { name, job_limit: DEFAULT_JOB_LIMIT, keep_last_slot }
    }
}

impl Section for JobController {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("max_messages", Count(8..=100_000_000), &mut self.max_messages);
        form.field(
            "rebuild_parallel_channels",
            Count(1..=100),
            &mut self.rebuild_parallel_channels,
        );
        form.field("keep_last_slot", Flag, &mut self.keep_last_slot);
        let keep = self.keep_last_slot;
        let blank = move |name| Pool::blank(name, keep);
        form.field("pools", Named::new(blank, |pool: &Pool| &pool.name), &mut self.pools);
    }
}

impl Section for Pool {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("job_limit", Count(1..=10_000), &mut self.job_limit);
        form.field("keep_last_slot", Flag, &mut self.keep_last_slot);
    }
}

/// The pool of channels that name none.
pub const DEFAULT_POOL: &str = "DEFAULT";
const DEFAULT_JOB_LIMIT: NonZeroUsize = NonZeroUsize::new(10).unwrap();
