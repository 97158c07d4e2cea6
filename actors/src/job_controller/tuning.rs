//! Tuning: operators change limits while the engine runs, and let channels stand still.

use std::{fmt, ops::RangeInclusive, time::Duration};

use actix::Message;
use relais_config::{
    LiveSetting,
    rate::{Rate, RateError},
};
use tokio::time::Instant;
use tracing::info;

use super::{
    JobController, host_orders::MAX_HOST_ORDERS, rests::DestinationRest, schedule::MAX_HOST_LIMITS,
};
use crate::{
    actor::{Ctx, Handle},
    channel_table::LiveTimes,
    delivery::pool::SetJobLimit,
    ids::{ChannelId, Destination},
    metrics::level,
};

/// Changes a limit until the engine stops; answers with the old value. Jobs that are too many end
/// at their next message boundary; where there is more room, more start at once.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Option<usize>, TuneError>")]
pub struct Tune {
    /// Which.
    pub limit: Limit,
    /// From now on. `None` lifts a limit that need not be there.
    pub value: Option<usize>,
}

/// A limit that may be changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Limit {
    /// Jobs of a pool at once.
    JobLimit {
        /// By its name in the file.
        pool: String,
    },
    /// Jobs of a channel at once.
    Maxjobs {
        /// By its name in the file.
        channel: String,
    },
    /// Waiting entries of one host for each of its connections.
    Threaddepth {
        /// By its name in the file.
        channel: String,
    },
    /// Connections of a job.
    MaxClientThreads {
        /// By its name in the file.
        channel: String,
    },
    /// Connections to one host, of all jobs of the channel; 1 to 10,000, or none.
    Connections {
        /// By its name in the file.
        channel: String,
        /// As the queue names it, in lower case.
        host: String,
    },
    /// Messages to one destination in a time, as [`Rate::packed`] has them in one number, or none but
    /// what is configured.
    Rate {
        /// By its name in the file.
        channel: String,
        /// As it is counted, in lower case.
        host: String,
    },
    /// A time of a channel, in milliseconds.
    Time {
        /// By its name in the file.
        channel: String,
        /// Which.
        which: LiveTimes,
    },
}

impl Limit {
    /// The channel that it is about, if it is about one.
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::JobLimit { .. } => None,
            Self::Maxjobs { channel }
            | Self::Threaddepth { channel }
            | Self::MaxClientThreads { channel }
            | Self::Connections { channel, .. }
            | Self::Rate { channel, .. }
            | Self::Time { channel, .. } => Some(channel),
        }
    }
}

/// Stops a channel, or starts it again; answers whether it was stopped. Its connections end at
/// their next message boundary, idle ones at once.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<bool, TuneError>")]
pub struct Freeze {
    /// By its name in the file.
    pub channel: String,
    /// Stop it.
    pub frozen: bool,
}

/// Stops every channel, or lets them go on but for those that are stopped themselves; answers whether
/// all were stopped.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub struct Halt(pub bool);

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
    #[error("{value} does not fit; {} to {} does", range.start(), range.end())]
    OutOfRange {
        /// As it was given.
        value: usize,
        /// Values that fit.
        range: RangeInclusive<u64>,
    },
    /// A number that stands for no rate.
    #[error(transparent)]
    NoRate(RateError),
    /// Each is looked up whenever a host is served.
    #[error("{MAX_HOST_ORDERS} hosts are suspended already")]
    TooManySuspended,
    /// Each is looked up whenever its host is served.
    #[error("{MAX_HOST_LIMITS} hosts have a limit of their own already")]
    TooManyHosts,
}

impl Limit {
    /// The setting of the file that it stands above, if there is one.
    pub fn setting(&self) -> Option<&'static LiveSetting> {
        LiveSetting::find(match self {
            Self::JobLimit { .. } => "job_controller.pools.job_limit",
            Self::Maxjobs { .. } => "channels.maxjobs",
            Self::Threaddepth { .. } => "channels.threaddepth",
            Self::MaxClientThreads { .. } => "channels.max_client_threads",
            Self::Time { which: LiveTimes::IdleTime, .. } => "channels.idle_time",
            Self::Time { which: LiveTimes::MaxLifeTime, .. } => "channels.max_life_time",
            Self::Connections { .. } | Self::Rate { .. } => return None,
        })
    }

    /// Values that fit: those that the file takes, too.
    pub fn range(&self) -> RangeInclusive<u64> {
        match self {
            // A number that is no rate is found when it is unpacked.
            Self::Rate { .. } => 0..=u64::MAX,
            _ => self.setting().map_or(CONNECTIONS, |setting| setting.range.clone()),
        }
    }
}

/// Connections to one host, which the file does not limit.
const CONNECTIONS: RangeInclusive<u64> = 1..=10_000;

/// As `relais set` names it.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JobLimit { pool } => write!(f, "{pool}.job_limit"),
            Self::Maxjobs { channel } => write!(f, "{channel}.maxjobs"),
            Self::Threaddepth { channel } => write!(f, "{channel}.threaddepth"),
            Self::MaxClientThreads { channel } => write!(f, "{channel}.max_client_threads"),
            Self::Connections { channel, host } => write!(f, "{channel}@{host}.connections"),
            Self::Rate { channel, host } => write!(f, "{channel}@{host}.rate"),
            Self::Time { channel, which } => write!(f, "{channel}.{}", which.name()),
        }
    }
}

impl JobController {
    fn tune(&mut self, Tune { limit, value }: Tune) -> Result<Option<usize>, TuneError> {
        let now = Instant::now();
        match &limit {
            Limit::Connections { channel, host } if value.is_none() => {
                let destination = self.destination(channel, host)?;
                return self.set_connections(&destination, None, now);
            }
            Limit::Rate { channel, host } => {
                return self.set_rate(&self.destination(channel, host)?, value);
            }
            _ => {}
        }
        let fits = |value: &usize| limit.range().contains(&(*value as u64));
        let Some(value) = value.filter(fits) else {
            return Err(TuneError::OutOfRange { value: value.unwrap_or(0), range: limit.range() });
        };
        let old = match limit {
            Limit::JobLimit { pool } => self.tune_pool(pool, value, now)?,
            Limit::Maxjobs { channel } => {
                self.schedule.set_maxjobs(self.find(&channel)?, value, now)
            }
            Limit::Threaddepth { channel } => {
                self.schedule.set_threaddepth(self.find(&channel)?, value, now)
            }
            Limit::MaxClientThreads { channel } => {
                self.schedule.set_client_threads(self.find(&channel)?, value, now)
            }
            Limit::Connections { channel, host } => {
                let destination = self.destination(&channel, &host)?;
                return self.set_connections(&destination, Some(value), now);
            }
            Limit::Rate { .. } => return Ok(None),
            Limit::Time { channel, which } => {
                let time = Duration::from_millis(value as u64);
                let old = self.channels.set_time(self.find(&channel)?, which, time);
                usize::try_from(old.as_millis()).unwrap_or(usize::MAX)
            }
        };
        Ok(Some(old))
    }

    /// Connections to a host as the queue has it, and to whatever couriers count by this name.
    fn set_connections(
        &mut self,
        destination: &Destination,
        value: Option<usize>,
        now: Instant,
    ) -> Result<Option<usize>, TuneError> {
        let set = self.throttles.set(destination, |set| set.connections = value);
        set.map_err(|_| TuneError::TooManyHosts)?;
        self.free_those_at(destination, now);
        let old = self.schedule.host_limit(destination, value, now);
        old.map_err(|_| TuneError::TooManyHosts)
    }

    /// Destinations that rest by a limit of this name try again.
    fn free_those_at(&mut self, counted: &Destination, now: Instant) {
        let is_it = |(to, rest): &(&Destination, &DestinationRest)| {
            to.channel == counted.channel && rest.denied.counted == counted.host
        };
        let resting: Vec<Destination> =
            self.schedule.rests().filter(is_it).map(|(to, _)| to.clone()).collect();
        for destination in resting {
            self.schedule.freed(&destination, now);
        }
    }

    fn set_rate(
        &mut self,
        destination: &Destination,
        value: Option<usize>,
    ) -> Result<Option<usize>, TuneError> {
        let unpacked = value.map(|value| Rate::unpacked(value as u64)).transpose();
        let rate = unpacked.map_err(TuneError::NoRate)?;
        let was = self.throttles.set(destination, |set| set.rate = rate);
        let was = was.map_err(|_| TuneError::TooManyHosts)?.rate;
        self.free_those_at(destination, Instant::now());
        Ok(was.and_then(|rate| usize::try_from(rate.packed()).ok()))
    }

    fn destination(&self, channel: &str, host: &str) -> Result<Destination, TuneError> {
        Ok(Destination { channel: self.find(channel)?, host: host.into() })
    }

    fn tune_pool(&mut self, pool: String, value: usize, now: Instant) -> Result<usize, TuneError> {
        let mut pools = self.schedule.slots().pools().iter();
        let Some(index) = pools.position(|state| state.name == pool) else {
            return Err(TuneError::NoSuchPool(pool));
        };
        if let Some(pool) = self.pools.get(index) {
            pool.limit.tell(SetJobLimit(value));
        }
        if let Some(meter) = self.metrics.pool(&pool) {
            meter.job_limit.set(level(value));
        }
        Ok(self.schedule.set_limit(index, value, now))
    }

    pub(super) fn find(&self, channel: &str) -> Result<ChannelId, TuneError> {
        self.channels.find(channel).ok_or_else(|| TuneError::NoSuchChannel(channel.to_owned()))
    }
}

impl Handle<Tune> for JobController {
    fn handle(&mut self, tune: Tune, ctx: &mut Ctx<Self>) -> Result<Option<usize>, TuneError> {
        let (limit, value) = (tune.limit.clone(), tune.value);
        let old = self.tune(tune)?;
        let said = |value: Option<usize>| match (value, &limit) {
            (None, _) => "none".to_owned(),
            (Some(packed), Limit::Rate { .. }) => Rate::unpacked(packed as u64)
                .map_or_else(|_| packed.to_string(), |it| it.to_string()),
            (Some(number), _) => number.to_string(),
        };
        info!(%limit, old = said(old), new = said(value), "a limit was changed by an operator");
        self.carry_out(ctx);
        Ok(old)
    }
}

impl Handle<Freeze> for JobController {
    fn handle(&mut self, freeze: Freeze, ctx: &mut Ctx<Self>) -> Result<bool, TuneError> {
        let Freeze { channel, frozen } = freeze;
        let was = self.schedule.freeze(self.find(&channel)?, frozen, Instant::now());
        let said = if frozen { "the channel is stopped" } else { "the channel is started" };
        info!(channel, "{said}: an operator wants it so");
        self.carry_out(ctx);
        Ok(was)
    }
}

impl Handle<Halt> for JobController {
    fn handle(&mut self, Halt(halted): Halt, ctx: &mut Ctx<Self>) -> bool {
        let was = self.schedule.halt(halted, Instant::now());
        let said = if halted { "the job controller is stopped" } else { "the job controller runs" };
        info!("{said}: an operator wants it so");
        self.carry_out(ctx);
        was
    }
}
