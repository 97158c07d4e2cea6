//! The hosts that operators have suspended: a file, so that they stay so over restarts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use relais_actors::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::durable;

/// `DATA/suspended.ron`, a list of orders.
#[derive(Clone, Debug)]
pub struct SuspendedHosts(PathBuf);

/// An order that has not ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeptOrder {
    /// The host as the queue has it, or with a dot in front all below it.
    pub host: String,
    /// Of this channel alone.
    pub channel: Option<String>,
    /// When it was given.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// The operator who gave it, and why.
    pub reason: String,
}

impl SuspendedHosts {
    /// Of the engine on `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("suspended.ron"))
    }

    /// The orders; none when there is no file.
    pub fn load(&self) -> io::Result<Vec<KeptOrder>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => ron::from_str(&text)
                .map_err(|error| io::Error::other(format!("{}: {error}", self.0.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Keeps an order in place of one for the same hosts. Durable when this returns.
    pub fn keep(&self, order: KeptOrder) -> io::Result<()> {
        let mut all = self.others(&order.host, order.channel.as_deref())?;
        all.push(order);
        self.replace(&all)
    }

    /// Forgets the order for these hosts. Durable when this returns.
    pub fn forget(&self, host: &str, channel: Option<&str>) -> io::Result<()> {
        if !self.0.exists() {
            return Ok(());
        }
        let others = self.others(host, channel)?;
        // A disk without room keeps nobody from what changes nothing.
        if others.len() == self.load()?.len() {
            return Ok(());
        }
        self.replace(&others)
    }

    /// The orders for other hosts that have not ended.
    fn others(&self, host: &str, channel: Option<&str>) -> io::Result<Vec<KeptOrder>> {
        let now = Timestamp::now();
        let mut all = self.load()?;
        all.retain(|kept| {
            let is_it = kept.host == host && kept.channel.as_deref() == channel;
            !is_it && kept.until > now
        });
        Ok(all)
    }

    /// Keeps these orders and no others. Durable when this returns.
    pub fn replace(&self, all: &[KeptOrder]) -> io::Result<()> {
        let pretty = ron::ser::PrettyConfig::default();
        let text = ron::ser::to_string_pretty(all, pretty).map_err(io::Error::other)?;
        durable::replace(&self.0, &format!("{HEAD}{text}\n"))
    }
}

const HEAD: &str = "// Written by `relais host suspend` and `relais host resume`.\n";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn orders_are_kept_until_they_are_over() {
        let data = tempfile::tempdir().unwrap();
        let file = SuspendedHosts::new(data.path());
        let now = Timestamp::now();
        let order = |host: &str, channel: Option<&str>, seconds: u64| KeptOrder {
            host: host.to_owned(),
            channel: channel.map(str::to_owned),
            since: now,
            until: now.after(Duration::from_secs(seconds)),
            reason: "a \"reason\"".to_owned(),
        };
        assert!(file.load().unwrap().is_empty());
        file.forget("a", None).unwrap();
        file.keep(order("over", None, 0)).unwrap();
        file.keep(order("a", None, 60)).unwrap();
        file.keep(order("a", Some("c"), 60)).unwrap();
        file.keep(order("a", None, 90)).unwrap();
        assert_eq!(file.load().unwrap(), [order("a", Some("c"), 60), order("a", None, 90)]);
        file.forget("a", None).unwrap();
        assert_eq!(file.load().unwrap(), [order("a", Some("c"), 60)]);
        fs::write(data.path().join("suspended.ron"), "[(").unwrap();
        assert!(file.load().unwrap_err().to_string().contains("suspended.ron"));
        assert!(file.keep(order("b", None, 9)).is_err(), "what cannot be read is not overwritten");
    }
}
