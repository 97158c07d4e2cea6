//! Pools of jobs and the bounds of the queue.

use std::num::NonZeroUsize;

/// What the Job Controller may do.
#[derive(Clone, Debug)]
pub struct JobController {
    /// Queue entries held in memory at most; default 100,000.
    pub max_messages: usize,
    /// Channels that a scan of the disk reads at once; 1 to 100, default 12.
    pub rebuild_parallel_channels: usize,
    /// Pools in name order; `DEFAULT` serves channels that name none.
    pub pools: Vec<Pool>,
}

/// Jobs that may run at once for the channels assigned to it.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The key in the file: `"SMTP_POOL"`.
    pub name: String,
    /// Jobs at once; default 10.
    pub job_limit: NonZeroUsize,
}
