//! Limits that operators change while the engine runs: their names, what fits, and the file that
//! keeps them over restarts.

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use relais_actors::{
    channel_table::{Channels, LiveTimes},
    job_controller::Limit,
};
use relais_channels::mail::NextHops;
use relais_config::{Config, LiveSetting, job_controller::Pool, rate::Rate, suggest, units};

use crate::{api::LimitValue, state::durable};

/// A limit by the name that an operator gave it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Named {
    /// Entries in memory.
    MaxMessages,
    /// A limit that the job controller looks after.
    Tuned(Limit),
}

/// The names of limits that there are.
#[derive(Clone, Copy, Debug)]
pub struct LimitNames<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Its channels.
    pub channels: &'a Channels,
}

impl<'a> LimitNames<'a> {
    /// The limit of this name: `max_messages` or `job_controller.max_messages`, `P.job_limit` or
    /// `job_controller.pools["P"].job_limit`, `c.maxjobs` or `channels["c"].maxjobs`,
    /// `c@host.connections`, `c@host.rate`. Else what there is.
    pub fn find(self, key: &str) -> Result<Named, String> {
        if let Some((channel, rest)) = key.split_once('@') {
            return self.of_host(channel, rest);
        }
        let plain: String = key.chars().map(|c| if "[]\"".contains(c) { '.' } else { c }).collect();
        let words: Vec<&str> = plain.split('.').filter(|word| !word.is_empty()).collect();
        let Some((field, rest)) = words.split_last() else {
            return Err(self.no_limit(key, None));
        };
        match (*field, rest.last()) {
            ("max_messages", None | Some(&"job_controller")) => Ok(Named::MaxMessages),
            ("job_limit", Some(pool)) => self.pool(pool),
            (field, Some(channel)) => {
                let channel = (*channel).to_owned();
                let limit = match field {
                    "maxjobs" => Limit::Maxjobs { channel: channel.clone() },
                    "threaddepth" => Limit::Threaddepth { channel: channel.clone() },
                    "max_client_threads" => Limit::MaxClientThreads { channel: channel.clone() },
                    field => {
                        let mut times = LiveTimes::ALL.into_iter();
                        let which = times.find(|which| which.name() == field);
                        let which = which.ok_or_else(|| self.no_limit(key, Some(&channel)))?;
                        Limit::Time { channel: channel.clone(), which }
                    }
                };
                self.check_channel(&channel)?;
                Ok(Named::Tuned(limit))
            }
            _ => Err(self.no_limit(key, None)),
        }
    }

    /// All that are always there: not those of single hosts.
    pub fn all(self) -> Vec<Named> {
        let pools = self.pools().map(|pool| Limit::JobLimit { pool: pool.name.clone() });
        let of_channel = |name: &str| {
            let channel = || name.to_owned();
            let times = LiveTimes::ALL.map(|which| Limit::Time { channel: channel(), which });
            let limits = [
                Limit::Maxjobs { channel: channel() },
                Limit::MaxClientThreads { channel: channel() },
                Limit::Threaddepth { channel: channel() },
            ];
            limits.into_iter().chain(times)
        };
        let channels = self.channels.iter().flat_map(|(_, channel)| of_channel(&channel.name));
        let tuned = pools.chain(channels).map(Named::Tuned);
        std::iter::once(Named::MaxMessages).chain(tuned).collect()
    }

    /// Why a limit does nothing, as far as the configuration goes: what waits in a channel from
    /// before leaves by it all the same.
    pub fn idle(self, named: &Named) -> Option<String> {
        match named {
            Named::MaxMessages => self
                .config
                .job_controller
                .is_none()
                .then(|| "there is no job_controller, and nothing is queued".to_owned()),
            Named::Tuned(Limit::JobLimit { pool }) => self.config.idle_pool(pool),
            Named::Tuned(limit) => self.config.idle_channel_field(limit.channel()?, field(limit)),
        }
    }

    /// The channels that a limit is about.
    pub fn channels_of(self, named: &Named) -> Vec<&'a str> {
        let is_meant = |channel: &&relais_config::Channel| match named {
            Named::MaxMessages => false,
            Named::Tuned(Limit::JobLimit { pool }) => channel.pool == *pool,
            Named::Tuned(limit) => limit.channel() == Some(&channel.name),
        };
        let channels = self.config.channels.iter().filter(is_meant);
        channels.map(|channel| channel.name.as_str()).collect()
    }

    /// The configuration's value.
    pub fn configured(self, named: &Named) -> Option<u64> {
        let channel = |name: &String| self.channels.find(name).map(|id| self.channels.channel(id));
        let number = match named {
            Named::MaxMessages => self.config.job_controller.as_ref()?.max_messages,
            Named::Tuned(Limit::JobLimit { pool }) => {
                self.pools().find(|state| state.name == *pool)?.job_limit.get()
            }
            Named::Tuned(Limit::Maxjobs { channel: name }) => channel(name)?.maxjobs.get(),
            Named::Tuned(Limit::Threaddepth { channel: name }) => channel(name)?.threaddepth.get(),
            Named::Tuned(Limit::MaxClientThreads { channel: name }) => {
                channel(name)?.max_client_threads.get()
            }
            Named::Tuned(Limit::Connections { channel: name, host }) => {
                channel(name)?.destinations.connections_to(host)?
            }
            Named::Tuned(Limit::Rate { channel: name, host }) => {
                let limits = channel(name)?.destinations.limits_of([host.as_str()]);
                return limits.rate.map(Rate::packed);
            }
            Named::Tuned(Limit::Time { channel: name, which }) => {
                let time = which.configured(channel(name)?);
                return u64::try_from(time.as_millis()).ok();
            }
        };
        Some(number as u64)
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.config.job_controller.iter().flat_map(|controller| &controller.pools)
    }

    fn of_host(self, channel: &str, rest: &str) -> Result<Named, String> {
        let Some((host, field @ ("connections" | "rate"))) = rest.rsplit_once('.') else {
            return Err(format!(
                "of a host there are: {channel}@HOST.connections, {channel}@HOST.rate"
            ));
        };
        self.check_channel(channel)?;
        let host = host.to_ascii_lowercase();
        let host = if host.parse::<IpAddr>().is_ok() { format!("[{host}]") } else { host };
        let plain = |c: char| c.is_ascii_graphic() && c != '"';
        let short = host.len() <= MAX_HOST && host.chars().all(plain);
        if !short || host.parse::<NextHops>().is_err() {
            return Err(format!("{host:?} is no host"));
        }
        let channel = channel.to_owned();
        Ok(Named::Tuned(match field {
            "rate" => Limit::Rate { channel, host },
            _ => Limit::Connections { channel, host },
        }))
    }

    fn pool(self, pool: &str) -> Result<Named, String> {
        if self.pools().any(|known| known.name == pool) {
            return Ok(Named::Tuned(Limit::JobLimit { pool: pool.to_owned() }));
        }
        let known: Vec<_> = self.pools().map(|pool| pool.name.as_str()).collect();
        Err(format!("there is no pool {pool:?}; {}", suggest(pool, &known, "there are:")))
    }

    fn check_channel(self, channel: &str) -> Result<(), String> {
        if self.channels.find(channel).is_some() {
            return Ok(());
        }
        let known: Vec<_> = self.channels.iter().map(|(_, c)| c.name.as_str()).collect();
        Err(format!("there is no channel {channel:?}; {}", suggest(channel, &known, "there are:")))
    }

    /// The limits that there are instead: of the channel or the pool that is named, if there is
    /// one.
    fn no_limit(self, key: &str, owner: Option<&str>) -> String {
        let times = || LiveTimes::ALL.into_iter().map(LiveTimes::name);
        let of = |owner: &str| {
            let numbers = ["maxjobs", "max_client_threads", "threaddepth"].into_iter();
            let fields = numbers.chain(times()).map(|field| format!("{owner}.{field}"));
            let of_hosts = ["connections", "rate"].map(|field| format!("{owner}@HOST.{field}"));
            fields.chain(of_hosts).collect::<Vec<_>>()
        };
        let known = match owner {
            Some(owner) if self.channels.find(owner).is_some() => of(owner),
            Some(owner) if self.pools().any(|pool| pool.name == owner) => {
                vec![format!("{owner}.job_limit")]
            }
            _ => {
                let general = ["max_messages", "POOL.job_limit"].map(str::to_owned);
                general.into_iter().chain(of("CHANNEL")).collect()
            }
        };
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let known = suggest(key, &known, "there are:");
        format!("there is no limit {key:?}; {known}; `relais set` lists all with their values")
    }
}

impl Named {
    /// As short as `relais set` takes it.
    pub fn key(&self) -> String {
        match self {
            Self::MaxMessages => "max_messages".to_owned(),
            Self::Tuned(limit) => limit.to_string(),
        }
    }

    /// The full name, and the line for the configuration file, if it has a place there.
    pub fn describe(&self, value: Option<&LimitValue>) -> (String, String) {
        let value = match value {
            Some(LimitValue::Text(text)) => format!("{text:?}"),
            Some(LimitValue::Number(number)) => number.to_string(),
            None => String::new(),
        };
        let of_channel = |channel: &str, field: &str| {
            let line = format!("channels: [(name: {channel:?}, ..., {field}: {value}), ...],");
            (format!("channels[{channel:?}].{field}"), line)
        };
        match self {
            Self::MaxMessages => (
                "job_controller.max_messages".to_owned(),
                format!("job_controller: (max_messages: {value}, ...),"),
            ),
            Self::Tuned(Limit::JobLimit { pool }) => (
                format!("job_controller.pools[{pool:?}].job_limit"),
                format!("job_controller: (pools: {{{pool:?}: (job_limit: {value}), ...}}, ...),"),
            ),
            Self::Tuned(Limit::Maxjobs { channel }) => of_channel(channel, "maxjobs"),
            Self::Tuned(Limit::Threaddepth { channel }) => of_channel(channel, "threaddepth"),
            Self::Tuned(Limit::MaxClientThreads { channel }) => {
                of_channel(channel, "max_client_threads")
            }
            Self::Tuned(Limit::Time { channel, which }) => of_channel(channel, which.name()),
            Self::Tuned(limit @ Limit::Connections { channel, host }) => {
                (limit.to_string(), of_destination(channel, host, "connections", &value))
            }
            Self::Tuned(limit @ Limit::Rate { channel, host }) => {
                (limit.to_string(), of_destination(channel, host, "rate", &value))
            }
        }
    }

    /// Reads an operator's value: numbers, or times in milliseconds. Nothing: no limit.
    pub fn read(&self, value: &LimitValue) -> Result<Option<u64>, String> {
        let (range, wrong) = (self.range(), || format!("{value} does not fit; {}", self.forms()));
        let number = match (self, value) {
            (_, LimitValue::Text(text)) if self.is_of_host() && text == NONE => return Ok(None),
            (Self::Tuned(Limit::Rate { .. }), LimitValue::Text(text)) => {
                text.parse::<Rate>().map_err(|_| wrong())?.packed()
            }
            (Self::Tuned(Limit::Rate { .. }), LimitValue::Number(packed)) => {
                return Rate::unpacked(*packed).map(|_| Some(*packed)).map_err(|_| wrong());
            }
            (Self::Tuned(Limit::Time { .. }), LimitValue::Text(text)) => {
                let time = units::parse_duration(text).map_err(|_| wrong())?;
                u64::try_from(time.as_millis()).map_err(|_| wrong())?
            }
            // A bare number is no time: of what?
            (Self::Tuned(Limit::Time { .. }), LimitValue::Number(_)) => return Err(wrong()),
            (_, LimitValue::Number(number)) => *number,
            (_, LimitValue::Text(text)) => text.parse().map_err(|_| wrong())?,
        };
        if range.contains(&number) { Ok(Some(number)) } else { Err(wrong()) }
    }

    /// As an operator reads it.
    pub fn shown(&self, value: u64) -> LimitValue {
        match self {
            Self::Tuned(Limit::Time { .. }) => {
                LimitValue::Text(units::format_duration(Duration::from_millis(value)))
            }
            Self::Tuned(Limit::Rate { .. }) => Rate::unpacked(value)
                .map_or(LimitValue::Number(value), |rate| LimitValue::Text(rate.to_string())),
            _ => LimitValue::Number(value),
        }
    }

    /// Whether it is one of a single host, which need not be there.
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::Tuned(Limit::Connections { .. } | Limit::Rate { .. }))
    }

    fn range(&self) -> RangeInclusive<u64> {
        match self {
            Self::MaxMessages => LiveSetting::find("job_controller.max_messages")
                .map_or(0..=u64::MAX, |setting| setting.range.clone()),
            Self::Tuned(limit) => limit.range(),
        }
    }

    fn forms(&self) -> String {
        let (range, shown) = (self.range(), |value: &u64| self.shown(*value));
        let (least, most) = (shown(range.start()), shown(range.end()));
        match self {
            Self::Tuned(Limit::Connections { .. }) => {
                format!("{least} to {most} does, or {NONE}, or {DEFAULT}")
            }
            Self::Tuned(Limit::Rate { .. }) => {
                format!("a rate such as 100/1m does, or {NONE}, or {DEFAULT}")
            }
            Self::Tuned(Limit::Time { .. }) => {
                format!("a time from {least} to {most} does, such as 90s or 5m, or {DEFAULT}")
            }
            _ => format!("{least} to {most} does, or {DEFAULT}"),
        }
    }
}

/// `DATA/limits.ron`: what stands above the configuration file, by short name.
#[derive(Clone, Debug)]
pub struct Saved(PathBuf);

impl Saved {
    /// Of the engine on `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("limits.ron"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The limits that are kept; nothing when there is no file.
    pub fn load(&self) -> io::Result<BTreeMap<String, LimitValue>> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        ron::from_str(&text).map_err(io::Error::other)
    }

    /// Keeps a value, or forgets it. Durable when this returns.
    pub fn note(&self, key: &str, value: Option<&LimitValue>) -> io::Result<()> {
        let mut all = self.load()?;
        let old = match value {
            Some(value) => all.insert(key.to_owned(), value.clone()),
            None => all.remove(key),
        };
        if old.as_ref() == value {
            return Ok(());
        }
        let pretty = ron::ser::PrettyConfig::default();
        let text = ron::ser::to_string_pretty(&all, pretty).map_err(io::Error::other)?;
        durable::replace(&self.0, &format!("{HEAD}{text}\n"))
    }
}

/// The field of a channel that decides whether a limit does something.
fn field(limit: &Limit) -> &'static str {
    match limit {
        Limit::JobLimit { .. } => "pool",
        Limit::Maxjobs { .. } => "maxjobs",
        Limit::Threaddepth { .. } => "threaddepth",
        // How many connections there may be to a host, of those of a job.
        Limit::MaxClientThreads { .. } | Limit::Connections { .. } => "max_client_threads",
        Limit::Rate { .. } => "destinations.rate",
        Limit::Time { which, .. } => which.name(),
    }
}

/// The line for the configuration file that limits a destination.
fn of_destination(channel: &str, host: &str, field: &str, value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    format!(
        "channels: [(name: {channel:?}, ..., destinations: (limits: {{{host:?}: ({field}: {value})}})), ...],"
    )
}

/// The word for the configuration's value.
pub const DEFAULT: &str = "default";
/// No limit.
pub const NONE: &str = "none";
const HEAD: &str = "// Written by `relais set --save`. Stands above the configuration file.\n";
/// Octets (RFC 5321 section 4.5.3.1.2), or the path of a socket.
const MAX_HOST: usize = 255;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_limit_has_several_names_and_what_is_none_is_told_what_there_is() {
        let (config, _) = Config::parse("built in", relais_config::STANDALONE).unwrap();
        let channels = Channels::of(&config);
        let known = LimitNames { config: &config, channels: &channels };
        let rows = [
            ("max_messages", Ok("max_messages")),
            ("job_controller.max_messages", Ok("max_messages")),
            ("SMTP_POOL.job_limit", Ok("SMTP_POOL.job_limit")),
            ("job_controller.pools[\"SMTP_POOL\"].job_limit", Ok("SMTP_POOL.job_limit")),
            ("channels[\"tcp_lmtpcs\"].maxjobs", Ok("tcp_lmtpcs.maxjobs")),
            ("tcp_lmtpcs.max_client_threads", Ok("tcp_lmtpcs.max_client_threads")),
            ("tcp_lmtpcs.idle_time", Ok("tcp_lmtpcs.idle_time")),
            ("tcp_lmtpcs@Store1.example.connections", Ok("tcp_lmtpcs@store1.example.connections")),
            ("tcp_lmtpcs@192.0.2.1.connections", Ok("tcp_lmtpcs@[192.0.2.1].connections")),
            ("tcp_lmtpcs@[192.0.2.1].connections", Ok("tcp_lmtpcs@[192.0.2.1].connections")),
            ("tcp_lmtpcs@a.b.rate", Ok("tcp_lmtpcs@a.b.rate")),
            ("tcp_lmtpcs@host.maxjobs", Err("tcp_lmtpcs@HOST.connections, tcp_lmtpcs@HOST.rate")),
            ("tcp_lmtpcs@.connections", Err("is no host")),
            ("tcp_lmtpcs@~x.connections", Err("is no host")),
            ("SMTP_POL.job_limit", Err("did you mean SMTP_POOL? there are: SMTP_POOL, DEFAULT")),
            ("tcp_lmtpc.maxjobs", Err("did you mean tcp_lmtpcs? there are: tcp_lmtpcs, ")),
            ("tcp_lmtpcs.maxjob", Err("did you mean tcp_lmtpcs.maxjobs? there are: ")),
            ("tcp_lmtpcs.backoff", Err("tcp_lmtpcs.max_life_time")),
            ("SMTP_POOL.joblimit", Err("did you mean SMTP_POOL.job_limit?")),
            ("max_mesages", Err("did you mean max_messages?")),
            ("", Err("POOL.job_limit")),
        ];
        for (key, want) in rows {
            match (known.find(key), want) {
                (Ok(named), Ok(want)) => {
                    assert_eq!(named.key(), want, "{key}");
                    assert_eq!(known.find(want), Ok(named), "{key}");
                }
                (Err(error), Err(want)) => assert!(error.contains(want), "{key}: {error}"),
                (found, _) => panic!("{key}: {found:?}"),
            }
        }
        assert!(known.all().len() > 40);
        let names: HashSet<_> = known.all().iter().map(Named::key).collect();
        for setting in LiveSetting::all() {
            let owner = match setting.path {
                path if path.starts_with("channels.") => "tcp_lmtpcs.",
                path if path.contains("pools") => "SMTP_POOL.",
                _ => "",
            };
            let key = format!("{owner}{}", setting.name());
            assert!(names.contains(&key), "relais set does not know {key}");
            assert_eq!(known.find(&key).map(|named| named.range()), Ok(setting.range.clone()));
        }
        for named in known.all() {
            assert_eq!(known.find(&named.key()), Ok(named.clone()));
            assert!(known.configured(&named).is_some(), "{named:?}");
        }
    }

    #[test]
    fn a_value_is_read_as_it_is_shown() {
        let channel = || "c".to_owned();
        let time = Named::Tuned(Limit::Time { channel: channel(), which: LiveTimes::IdleTime });
        let jobs = Named::Tuned(Limit::Maxjobs { channel: channel() });
        let host = "h".to_owned();
        let rate = Named::Tuned(Limit::Rate { channel: channel(), host: host.clone() });
        let host = Named::Tuned(Limit::Connections { channel: channel(), host });
        let text = |text: &str| LimitValue::Text(text.to_owned());
        let rows = [
            (&time, text("5m"), Ok(Some(300_000))),
            (&time, text("PT5M"), Ok(Some(300_000))),
            (&time, LimitValue::Number(5), Err("a time from 1s to")),
            (&time, text("soon"), Err("such as 90s or 5m")),
            (&time, text("1ms"), Err("a time from 1s to")),
            (&jobs, LimitValue::Number(7), Ok(Some(7))),
            (&jobs, text("7"), Ok(Some(7))),
            (&jobs, LimitValue::Number(0), Err("1 to 10000 does")),
            (&jobs, text("none"), Err("1 to 10000 does")),
            (&host, text("none"), Ok(None)),
            (&host, LimitValue::Number(10_001), Err("or none")),
            (&rate, text("none"), Ok(None)),
            (&rate, text("100/60s"), Ok(Some((100 << 32) + 60_000))),
            (&rate, text("0/1m"), Err("a rate such as 100/1m does")),
            (&rate, LimitValue::Number(5), Err("a rate such as 100/1m does")),
        ];
        for (named, value, want) in rows {
            match (named.read(&value), want) {
                (Ok(got), Ok(want)) => {
                    assert_eq!(got, want, "{named:?} {value}");
                    let shown = got.map(|got| named.shown(got));
                    assert_eq!(shown.map(|shown| named.read(&shown)), got.map(|got| Ok(Some(got))));
                }
                (Err(error), Err(want)) => assert!(error.contains(want), "{value}: {error}"),
                (got, _) => panic!("{named:?} {value}: {got:?}"),
            }
        }
    }

    #[test]
    fn what_is_saved_is_there_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let saved = Saved::new(data.path());
        assert!(saved.load().unwrap().is_empty());
        saved.note("c@h.connections", Some(&LimitValue::Number(3))).unwrap();
        saved.note("c.idle_time", Some(&LimitValue::Text("5m".to_owned()))).unwrap();
        saved.note("c.maxjobs", Some(&LimitValue::Number(9))).unwrap();
        saved.note("c.maxjobs", None).unwrap();
        let all: Vec<_> = saved.load().unwrap().into_iter().collect();
        let text = LimitValue::Text("5m".to_owned());
        let want = [("c.idle_time", text), ("c@h.connections", LimitValue::Number(3))];
        assert_eq!(all, want.map(|(key, value)| (key.to_owned(), value)));
        let file = fs::read_to_string(saved.path()).unwrap();
        assert!(file.starts_with("// Written by `relais set --save`"), "{file}");
        fs::write(saved.path(), "{").unwrap();
        assert!(saved.load().is_err());
        assert!(saved.note("c.maxjobs", None).is_err(), "what cannot be read is not overwritten");
    }
}
