//! All settings of the file, as the tables of the sections have them.

use std::{ops::RangeInclusive, sync::LazyLock};

use crate::{
    file::{
        setting::Need,
        shape::{Part, Row},
    },
    sections::config::Config,
};

/// The tables themselves.
pub(crate) static TABLES: LazyLock<Part> = LazyLock::new(|| Part::of::<Config>(None));

/// Every setting that holds a value itself, or is not there yet with all that it holds, and when
/// something comes of it. The elements of lists and maps are left out of the path:
/// `channels.maxjobs`.
pub(crate) static NEEDS: LazyLock<Vec<(&'static str, Need)>> = LazyLock::new(|| {
    let mut found: Vec<(&'static str, Need)> = Vec::new();
    each(&TABLES, "", &mut |path, row| {
        let whole = |(above, need): &(&str, Need)| {
            matches!(need, Need::Behaviour(_)) && path.starts_with(&format!("{above}."))
        };
        let need = row.setting.need;
        let holds_value = row.shape.parts.is_empty() || matches!(need, Need::Behaviour(_));
        if holds_value && !row.is_shared && !found.iter().any(whole) {
            found.push((path.to_owned().leak(), need));
        }
    });
    found
});

/// A setting that `relais set` may change while the engine runs.
#[derive(Clone, Debug)]
pub struct LiveSetting {
    /// Without the name of the element that it is a setting of: `channels.maxjobs`.
    pub path: &'static str,
    /// What fits; times in milliseconds.
    pub range: RangeInclusive<u64>,
    /// Whether it is a time.
    pub is_time: bool,
}

impl LiveSetting {
    /// The setting of this path, if it may be changed.
    pub fn find(path: &str) -> Option<&'static Self> {
        LIVE.iter().find(|setting| setting.path == path)
    }

    /// All of them, in the order of the file.
    pub fn all() -> &'static [Self] {
        &LIVE
    }

    /// Its name alone: `maxjobs`.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

static LIVE: LazyLock<Vec<LiveSetting>> = LazyLock::new(|| {
    let mut found = Vec::new();
    each(&TABLES, "", &mut |path, row| {
        if let (Some(least), Some(numbers)) = (row.setting.live, &row.shape.numbers) {
            let range = least.max(*numbers.start())..=*numbers.end();
            let path = path.to_owned().leak();
            found.push(LiveSetting { path, range, is_time: row.shape.is_time });
        }
    });
    found
});

/// Whether a setting of this name must be given, in whatever section.
pub(crate) fn is_required(name: &str) -> bool {
    static REQUIRED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let mut found = Vec::new();
        each(&TABLES, "", &mut |_, row| {
            found.extend(row.setting.example.map(|_| row.setting.name));
        });
        found
    });
    REQUIRED.contains(&name)
}

/// Goes through the settings of a section and of those inside it.
pub(crate) fn each(part: &'static Part, path: &str, visit: &mut impl FnMut(&str, &'static Row)) {
    for row in &part.rows {
        let name = row.setting.name;
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        visit(&path, row);
        for part in &row.shape.parts {
            each(part, &path, visit);
        }
    }
}
