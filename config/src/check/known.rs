//! The names of the file, and the parts that each stands for.

use std::collections::{HashMap, HashSet};

use crate::{file::reader::suggest, sections::config::Config};

/// Parts that fields may refer to, found by name: a file may hold thousands of each.
pub(crate) struct Known<'a> {
    /// Channels by name; of several the first.
    pub(crate) channels: HashMap<&'a str, usize>,
    /// Channels by tag, in lower case; of several the first.
    pub(crate) tags: HashMap<String, usize>,
    /// Pools by name.
    pub(crate) pools: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        let (mut channels, mut tags) = (HashMap::new(), HashMap::new());
        for (i, channel) in config.channels.iter().enumerate() {
            channels.entry(channel.name.as_str()).or_insert(i);
            tags.entry(channel.tag.to_ascii_lowercase()).or_insert(i);
        }
        let controller = config.job_controller.iter();
        let pools = controller.flat_map(|c| &c.pools).map(|pool| pool.name.as_str()).collect();
        Self { channels, tags, pools }
    }

    /// The channel of this tag, in any case.
    pub(crate) fn tag(&self, tag: &str) -> Option<usize> {
        self.tags.get(&tag.to_ascii_lowercase()).copied()
    }
}

/// `did you mean a? there are: a, b`, for names.
pub(crate) fn list<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() { "there is none".to_owned() } else { suggest(wrong, &names, "there are:") }
}
