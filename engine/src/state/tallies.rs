//! The counters of the channels over restarts: a file that is written whenever they have moved.
//!
//! Written ten times a second at most and not synced: the death of the process loses a tenth of a
//! second of them, a power cut a little more. What is stored now is counted by the spool itself.
//!
//! A new file in the place of the old one makes the file system write at once, which costs a
//! millisecond. So `counters.json` is replaced now and then, and at the end; in between the same
//! octets of `counters.now` are written over, and count when the end did not come in good order.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
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
            let mut file = CounterFiles { path, now: None, replaced: None };
            let mut failing = false;
            loop {
                let pause = if failing { AFTER_FAILURE } else { EVERY };
                let over = ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
                let counters = metrics.counters();
                if over || counters != written {
                    let saved = file.save(&counters, over);
                    if let Err(error) = &saved
                        && !failing
                    {
                        warn!(path = %file.path.display(), %error, "the counters are not kept");
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

/// The files.
struct CounterFiles {
    path: PathBuf,
    /// Written over in place.
    now: Option<File>,
    /// When the whole file was replaced.
    replaced: Option<Instant>,
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

impl CounterFiles {
    fn save(&mut self, counters: &ChannelCounters, over: bool) -> io::Result<()> {
        let text = serde_json::to_vec(counters)?;
        let now = self.path.with_extension("now");
        if over || self.replaced.is_none_or(|at| at.elapsed() >= REPLACED_EVERY) {
            let new = self.path.with_extension("new");
            fs::write(&new, &text)?;
            fs::rename(&new, &self.path)?;
            self.replaced = Some(Instant::now());
        }
        if over {
            return match fs::remove_file(now) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let file = match self.now.take() {
            Some(file) => file,
            None => File::create(now)?,
        };
        // Counters only grow, and so does the text.
        file.write_all_at(&text, 0)?;
        self.now = Some(file);
        Ok(())
    }
}

/// The counters that were written last before an end that was not in good order, if they can be
/// read; else those that were written in whole.
fn load(path: &Path) -> io::Result<ChannelCounters> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(ChannelCounters::default());
        }
        text => text?,
    };
    let now = fs::read(path.with_extension("now"));
    let now = now.ok().and_then(|now| serde_json::from_slice(&now).ok());
    now.map_or_else(|| Ok(serde_json::from_slice(&text)?), Ok)
}

const EVERY: Duration = Duration::from_millis(100);
/// How often the whole file is replaced.
const REPLACED_EVERY: Duration = Duration::from_secs(10);
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
        // An end that was not in good order.
        fs::copy(data.path().join("counters.json"), data.path().join("counters.now")).unwrap();
        fs::write(data.path().join("counters.json"), b"{}").unwrap();
        let resumed = metrics();
        drop(Tallies::keep(data.path(), &resumed).unwrap());
        assert_eq!(resumed.counters().0["tcp_local"][&Event::Received].messages, 3);
        fs::write(data.path().join("counters.json"), b"{").unwrap();
        let metrics = metrics();
        drop(Tallies::keep(data.path(), &metrics).unwrap());
        assert_eq!(metrics.counters().0["tcp_local"][&Event::Received].messages, 0);
    }
}
