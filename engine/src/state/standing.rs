//! The standing orders of operators: a file, so that they stand over restarts.

use std::{
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
};

use relais_actors::standing::StandingOrder;
use serde::{Deserialize, Serialize};

use super::durable;

/// `DATA/standing.json`.
#[derive(Clone, Debug)]
pub struct StandingFile(PathBuf);

/// The orders that it has.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeptOrders {
    /// The number of the last order that there was.
    pub last: u64,
    /// The orders that stand, by their numbers; one that ended while no engine ran is among them.
    pub orders: Vec<StandingOrder>,
}

impl StandingFile {
    /// Of the engine on `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("standing.json"))
    }

    /// The orders; none when there is no file.
    pub fn load(&self) -> io::Result<KeptOrders> {
        match fs::read_to_string(&self.0) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| self.unusable(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KeptOrders::default()),
            Err(error) => Err(self.unusable(&error)),
        }
    }

    fn unusable(&self, why: &dyn Display) -> io::Error {
        let file = self.0.display();
        io::Error::other(format!(
            "{file}: {why}; put back a copy of the file, or move it away: without it no order stands, mail that \
             is held stays held until `relais queue release`, and new mail is neither held, returned, rerouted \
             nor slowed by orders of before"
        ))
    }

    /// Keeps these and no others. Durable when this returns.
    pub fn keep(&self, kept: &KeptOrders) -> io::Result<()> {
        let text = serde_json::to_string_pretty(kept).map_err(io::Error::other)?;
        durable::replace(&self.0, &(text + "\n"))
    }
}

#[cfg(test)]
mod tests {
    use relais_actors::{
        standing::{OrderCriteria, OrderRate, RerouteTarget, StandingKind},
        timestamp::Timestamp,
    };

    use super::*;

    #[test]
    fn orders_are_read_back_as_they_were() {
        let data = tempfile::tempdir().unwrap();
        let file = StandingFile::new(data.path());
        assert_eq!(file.load().unwrap(), KeptOrders::default());
        let order = StandingOrder {
            id: 7,
            kind: StandingKind::Slow,
            criteria: OrderCriteria {
                from: "@a.test".parse().ok(),
                host: ".b.test".parse().ok(),
                ..OrderCriteria::default()
            },
            target: Some(RerouteTarget { host: Some("c".to_owned()), ..Default::default() }),
            rate: Some(OrderRate("10/1m".parse().unwrap())),
            release: true,
            since: Timestamp(1_788_133_501_123),
            until: Some(Timestamp(1_788_133_501_124)),
            removed: false,
            reason: "a \"reason\"".to_owned(),
            by: String::new(),
        };
        let kept = KeptOrders { last: 9, orders: vec![order] };
        file.keep(&kept).unwrap();
        assert_eq!(file.load().unwrap(), kept);
        fs::write(data.path().join("standing.json"), "{").unwrap();
        let words = file.load().unwrap_err().to_string();
        assert!(words.contains("standing.json") && words.contains("move it away"), "{words}");
    }
}
