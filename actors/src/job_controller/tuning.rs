//! What operators may change while the engine runs: limits, and which channels stand still.

use std::fmt;

use actix::prelude::*;
use tokio::time::Instant;
use tracing::info;

use super::JobController;
use crate::{channels::ChannelId, metrics::level, pool::SetJobLimit};

/// Changes a limit until the engine stops; answers with the old value. Jobs that are too many end
/// at their next message boundary; where there is more room, more start at once.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<usize, TuneError>")]
pub struct Tune {
    /// Which.
    pub limit: Limit,
    /// From now on.
    pub value: usize,
}

/// A limit that may be changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Limit {
    /// Jobs of a pool at once; 1 to 10,000.
    JobLimit {
        /// By its name in the file.
        pool: String,
    },
    /// Jobs of a channel at once; 1 to 10,000.
    Maxjobs {
        /// By its name in the file.
        channel: String,
    },
    /// Waiting entries of one host for each of its threads; 1 to 1,000,000.
    Threaddepth {
        /// By its name in the file.
        channel: String,
    },
}

/// Stops a channel, or starts it again; answers whether it was stopped. Its threads end at their
/// next message boundary, idle ones at once.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<bool, TuneError>")]
pub struct Freeze {
    /// By its name in the file.
    pub channel: String,
    /// Stop it.
    pub frozen: bool,
}

/// Why nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TuneError {
    /// The configuration has no such pool.
    #[error("there is no pool {0:?}")]
    NoSuchPool(String),
    /// The configuration has no such channel.
    #[error("there is no channel {0:?}")]
    NoSuchChannel(String),
    /// The configuration would not take it either.
    #[error("{value} does not fit here; a whole number from 1 to {most} is expected")]
    OutOfRange {
        /// As it was given.
        value: usize,
        /// The largest that fits.
        most: usize,
    },
}

impl Limit {
    /// The largest value that fits; the least is 1.
    pub fn most(&self) -> usize {
        match self {
            Self::JobLimit { .. } | Self::Maxjobs { .. } => 10_000,
            Self::Threaddepth { .. } => 1_000_000,
        }
    }
}

/// As `relais set` names it.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JobLimit { pool } => write!(f, "{pool}.job_limit"),
            Self::Maxjobs { channel } => write!(f, "{channel}.maxjobs"),
            Self::Threaddepth { channel } => write!(f, "{channel}.threaddepth"),
        }
    }
}

impl JobController {
    fn tune(&mut self, Tune { limit, value }: Tune) -> Result<usize, TuneError> {
        if !(1..=limit.most()).contains(&value) {
            return Err(TuneError::OutOfRange { value, most: limit.most() });
        }
        let now = Instant::now();
        match limit {
            Limit::JobLimit { pool } => self.tune_pool(pool, value, now),
            Limit::Maxjobs { channel } => {
                Ok(self.schedule.maxjobs(self.find(&channel)?, value, now))
            }
            Limit::Threaddepth { channel } => {
                Ok(self.schedule.threaddepth(self.find(&channel)?, value, now))
            }
        }
    }

    fn tune_pool(&mut self, pool: String, value: usize, now: Instant) -> Result<usize, TuneError> {
        let mut pools = self.schedule.slots().pools().iter();
        let Some(index) = pools.position(|state| state.name == pool) else {
            return Err(TuneError::NoSuchPool(pool));
        };
        if let Some(pool) = self.pools.get(index) {
            pool.do_send(SetJobLimit(value));
        }
        if let Some(meter) = self.metrics.pool(&pool) {
            meter.job_limit.set(level(value));
        }
        Ok(self.schedule.limit(index, value, now))
    }

    fn find(&self, channel: &str) -> Result<ChannelId, TuneError> {
        self.channels.find(channel).ok_or_else(|| TuneError::NoSuchChannel(channel.to_owned()))
    }
}

impl Handler<Tune> for JobController {
    type Result = Result<usize, TuneError>;

    fn handle(&mut self, tune: Tune, ctx: &mut Self::Context) -> Self::Result {
        let _busy = self.meter.handling("Tune");
        let (limit, value) = (tune.limit.clone(), tune.value);
        let old = self.tune(tune)?;
        info!(%limit, old, new = value, "a limit was changed by an operator");
        self.carry_out(ctx);
        Ok(old)
    }
}

impl Handler<Freeze> for JobController {
    type Result = Result<bool, TuneError>;

    fn handle(&mut self, freeze: Freeze, ctx: &mut Self::Context) -> Self::Result {
        let _busy = self.meter.handling("Freeze");
        let Freeze { channel, frozen } = freeze;
        let was = self.schedule.freeze(self.find(&channel)?, frozen, Instant::now());
        let said = if frozen { "the channel is stopped" } else { "the channel is started" };
        info!(channel, "{said}: an operator wants it so");
        self.carry_out(ctx);
        Ok(was)
    }
}
