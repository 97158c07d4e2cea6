//! The counters of the channels over restarts: a file that is written whenever they have moved.
//!
//! Written ten times a second at most and not synced: the death of the process loses a tenth of a
//! second of them, a power cut a little more. What is stored now is counted by the spool itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use relais_actors::metrics::{ChannelCounters, Metrics};
use tracing::warn;

/// Keeps the counters for as long as it lives.
pub struct Tallies {
    /// Dropped to end the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Tallies {
    /// Goes on from what `data` has, and keeps it up to date from now on. What cannot be read is
    /// told and begun anew.
    pub fn keep(data: &Path, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let path = data.join("counters.json");
        match load(&path) {
            Ok(counters) => metrics.resume(&counters),
            Err(error) => {
                warn!(path = %path.display(), %error, "the counters begin at zero");
            }
        }
        let (alive, ended) = mpsc::channel();
        let metrics = Arc::clone(metrics);
        let mut written = metrics.counters();
        let work = move || {
            let mut failing = false;
            loop {
                let pause = if failing { AFTER_FAILURE } else { EVERY };
                let over = ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
                let counters = metrics.counters();
                if counters != written {
                    let saved = save(&path, &counters);
                    if let Err(error) = &saved
                        && !failing
                    {
                        warn!(path = %path.display(), %error, "the counters are not kept");
                    }
                    failing = saved.is_err();
                    if !failing {
                        written = counters;
                    }
                }
                if over {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("counters".to_owned()).spawn(work)?;
        Ok(Self { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for Tallies {
    /// Writes them for the last time.
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn load(path: &Path) -> io::Result<ChannelCounters> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ChannelCounters::default()),
        Err(error) => Err(error),
    }
}

fn save(path: &PathBuf, counters: &ChannelCounters) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(counters)?)?;
    fs::rename(&new, path)
}

const EVERY: Duration = Duration::from_millis(100);
/// The next try on a disk that takes nothing, of which the log hears once.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use relais_actors::metrics::{Event, Labels};

    use super::*;

    #[test]
    fn counters_go_on_where_they_were() {
        let data = tempfile::tempdir().unwrap();
        let metrics = || {
            let channels = vec!["tcp_local".to_owned()];
            Arc::new(Metrics::new(&Labels { channels, ..Labels::default() }))
        };
        for round in 1..=3 {
            let metrics = metrics();
            let kept = Tallies::keep(data.path(), &metrics).unwrap();
            metrics.channel("tcp_local").received(2, 100);
            metrics.channel("tcp_local").rejected(1, 0);
            drop(kept);
            let tally = metrics.counters().0["tcp_local"][&Event::Received];
            assert_eq!(
                (tally.messages, tally.recipients, tally.bytes),
                (round, 2 * round, 100 * round)
            );
        }
        fs::write(data.path().join("counters.json"), b"{").unwrap();
        let metrics = metrics();
        drop(Tallies::keep(data.path(), &metrics).unwrap());
        assert_eq!(metrics.counters().0["tcp_local"][&Event::Received].messages, 0);
    }
}
