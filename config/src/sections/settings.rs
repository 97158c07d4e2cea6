//! All settings of the file, as the tables of the sections have them.

use std::{ops::RangeInclusive, sync::LazyLock};

use crate::{
    file::{
        form::{Fields, Section},
        notation::{Row, SectionNotation},
        reader::{Node, Reader},
        setting::Need,
    },
    sections::config::Config,
};

/// The tables themselves.
pub(crate) static TABLES: LazyLock<SectionNotation> =
    LazyLock::new(|| SectionNotation::of::<Config>(None));

/// Every setting that holds a value itself, or says for all that it holds when something comes of it,
/// and when that is. The elements of lists and maps are left out of the path:
/// `channels.maxjobs`.
pub(crate) static NEEDS: LazyLock<Vec<(&'static str, Need)>> = LazyLock::new(|| {
    let mut found: Vec<(&'static str, Need)> = Vec::new();
    each(&TABLES, "", &mut |path, row| {
        let whole = |(above, need): &(&str, Need)| {
            says_for_all(*need) && path.starts_with(&format!("{above}."))
        };
        let need = row.setting.need;
        let holds_value = row.notation.parts.is_empty() || says_for_all(need);
        if holds_value && !row.is_shared && !found.iter().any(whole) {
            found.push((path.to_owned().leak(), need));
        }
    });
    found
});

/// Of a setting that holds others: whether they need what it needs.
fn says_for_all(need: Need) -> bool {
    matches!(need, Need::Behaviour(_) | Need::Role(_))
}

/// A setting that `relais set` may change while the engine runs.
#[derive(Clone, Debug)]
pub struct LiveSetting {
    /// Without the name of the element that it is a setting of: `channels.maxjobs`.
    pub path: &'static str,
    /// Values that fit; times in milliseconds.
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
        if let (Some(least), Some(numbers)) = (row.setting.live, &row.notation.numbers) {
            let range = least.max(*numbers.start())..=*numbers.end();
            let path = path.to_owned().leak();
            found.push(LiveSetting { path, range, is_time: row.notation.is_time });
        }
    });
    found
});

impl Config {
    /// Puts the value of a live setting, as the file would have it, into its place. `key` is what
    /// `relais set` calls it: `max_messages`, `SMTP_POOL.job_limit`, `tcp_local.maxjobs`. What is no
    /// live setting, or does not fit, changes nothing.
    pub fn set_live(&mut self, key: &str, value: &str) {
        let (owner, name) = key.rsplit_once('.').unwrap_or_default();
        let name = if owner.is_empty() { key } else { name };
        if !LIVE.iter().any(|setting| setting.name() == name) {
            return;
        }
        let text = format!("({name}: {value})");
        if let Some(channel) = self.channels.iter_mut().find(|its| its.name == owner) {
            read_over(&text, channel);
        }
        let Some(controller) = &mut self.job_controller else { return };
        if owner.is_empty() {
            read_over(&text, controller);
        } else if let Some(pool) = controller.pools.iter_mut().find(|its| its.name == owner) {
            read_over(&text, pool);
        }
    }
}

/// Reads one setting over what a section holds.
fn read_over(text: &str, section: &mut impl Section) {
    let mut reader = Reader::new("", text);
    let node = Node { text, path: String::new() };
    if let Some(fields) = Fields::open(&node, &mut reader) {
        section.fields(&mut fields.without_required());
    }
}

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
pub(crate) fn each(
    part: &'static SectionNotation,
    path: &str,
    visit: &mut impl FnMut(&str, &'static Row),
) {
    for row in &part.rows {
        let name = row.setting.name;
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        visit(&path, row);
        for part in &row.notation.parts {
            each(part, &path, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_setting_is_put_into_its_place() {
        let (mut config, _) = Config::parse("built in", crate::STANDALONE).unwrap();
        let before = config.clone();
        for (key, value) in [
            ("max_messages", "77"),
            ("SMTP_POOL.job_limit", "7"),
            ("tcp_lmtpcs.maxjobs", "8"),
            ("tcp_lmtpcs.idle_time", "\"5m\""),
            ("tcp_lmtpcs.maxjobs", "0"),
            ("tcp_lmtpcs.copies", "Single"),
            ("nobody.maxjobs", "9"),
            ("", "1"),
        ] {
            config.set_live(key, value);
        }
        let controller = config.job_controller.as_ref().unwrap();
        assert_eq!(controller.max_messages, 77);
        let pool = controller.pools.iter().find(|pool| pool.name == "SMTP_POOL").unwrap();
        assert_eq!(pool.job_limit.get(), 7);
        let (now, then) = (&config.channels[2], &before.channels[2]);
        assert_eq!((now.name.as_str(), now.maxjobs.get()), ("tcp_lmtpcs", 8));
        assert_eq!((now.idle_time.as_secs(), now.copies), (300, then.copies));
    }

    #[test]
    fn what_is_live_fits_the_file_too() {
        let names: Vec<_> = LiveSetting::all().iter().map(|setting| setting.path).collect();
        let want = [
            "channels.maxjobs",
            "channels.threaddepth",
            "channels.max_client_threads",
            "channels.max_life_time",
            "channels.idle_time",
            "job_controller.max_messages",
            "job_controller.pools.job_limit",
        ];
        assert_eq!(names, want);
        let idle = LiveSetting::find("channels.idle_time").unwrap();
        assert_eq!((idle.range.clone(), idle.is_time), (1_000..=86_400_000, true));
        assert_eq!(LiveSetting::find("channels.maxjobs").unwrap().range, 1..=10_000);
    }
}
