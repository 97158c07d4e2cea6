//! Another configuration for the job controller: its channels and its pools.

use std::sync::Arc;

use tokio::time::Instant;

use super::{JobController, PoolPart};
use crate::{
    actor::{Adopt, Ctx, Handle},
    channel_table::Channels,
    delivery::pool::SetJobLimit,
};

/// Channels and pools of another configuration.
pub struct Adopted {
    /// Its channels.
    pub channels: Arc<Channels>,
    /// Pools that the one before it had not.
    pub added: Vec<PoolPart>,
    /// Limits of pools that it changes.
    pub limits: Vec<(String, usize)>,
    /// Whether each pool keeps its last slot for who has none.
    pub keep_last: Vec<(String, bool)>,
}

impl Handle<Adopt<Adopted>> for JobController {
    fn handle(&mut self, Adopt(adopted): Adopt<Adopted>, ctx: &mut Ctx<Self>) {
        let (Adopted { channels, added, limits, keep_last }, now) = (adopted, Instant::now());
        for pool in added {
            self.schedule.add_pool(&pool.name, pool.job_limit);
            self.pools.push(pool.outlets);
        }
        for (name, keeps) in keep_last {
            self.schedule.keep_last(&name, keeps);
        }
        for (name, limit) in limits {
            let pools = self.schedule.slots().pools();
            let Some(index) = pools.iter().position(|pool| pool.name == name) else { continue };
            if let Some(pool) = self.pools.get(index) {
                pool.limit.tell(SetJobLimit(limit));
            }
            self.schedule.set_limit(index, limit, now);
        }
        self.schedule.adopt(&self.channels, &channels, now);
        self.channels = channels;
        self.carry_out(ctx);
    }
}
