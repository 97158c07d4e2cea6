//! The channels that an operator stopped: a file, so that they stay stopped over restarts.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::durable;

/// `DATA/stopped`, a name a line.
#[derive(Clone, Debug)]
pub struct Stopped(PathBuf);

impl Stopped {
    /// Of the engine on `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("stopped"))
    }

    /// The names; none when there is no file.
    pub fn load(&self) -> io::Result<BTreeSet<String>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Adds a name, or takes it off. Durable when this returns.
    pub fn note(&self, channel: &str, is_stopped: bool) -> io::Result<()> {
        let mut names = self.load()?;
        let changed =
            if is_stopped { names.insert(channel.to_owned()) } else { names.remove(channel) };
        if !changed {
            return Ok(());
        }
        let text: String = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
        durable::replace(&self.0, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_channel_is_remembered_until_it_is_started() {
        let data = tempfile::tempdir().unwrap();
        let names = || Stopped::new(data.path()).load().unwrap().into_iter().collect::<Vec<_>>();
        let stopped = Stopped::new(data.path());
        assert!(names().is_empty());
        for (channel, is_stopped, want) in [
            ("tcp_b", true, vec!["tcp_b"]),
            ("tcp_a", true, vec!["tcp_a", "tcp_b"]),
            ("tcp_a", true, vec!["tcp_a", "tcp_b"]),
            ("tcp_b", false, vec!["tcp_a"]),
            ("tcp_c", false, vec!["tcp_a"]),
        ] {
            stopped.note(channel, is_stopped).unwrap();
            assert_eq!(names(), want);
        }
    }
}
