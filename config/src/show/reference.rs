//! The reference page: every setting of the file in Markdown, from the tables of the sections.
//!
//! It is read on a terminal, too: lines are at most 80 characters where words allow it, and an entry
//! says by itself what it needs, so that one can be shown alone.

use std::time::Duration;

use crate::{
    file::{
        document::Document,
        notation::{Row, SectionNotation},
        reader::suggest,
        setting::{Need, Role},
        units::format_duration,
    },
    sections::settings::{LiveSetting, TABLES, each},
};

/// Every setting of the file, with what fits, the default, what it means, whether `relais set` may
/// change it and whether something comes of it yet.
pub fn reference() -> String {
    let mut page = Page(HEAD.to_owned());
    page.section("", &TABLES);
    page.0
}

/// The part of the page about the settings of this name or path, and those inside it. `Err`: the
/// names that there are instead, in words.
pub fn reference_of(key: &str) -> Result<String, String> {
    let mut page = Page(String::new());
    let mut names = Vec::new();
    each(&TABLES, "", &mut |path, row| {
        let is_meant = path == key || path.ends_with(&format!(".{key}"));
        if !row.is_shared && (is_meant || path.starts_with(&format!("{key}."))) {
            page.entry(path, row);
        }
        if !names.contains(&row.setting.name) {
            names.push(row.setting.name);
        }
    });
    if page.0.is_empty() {
        let last = key.rsplit('.').next().unwrap_or_default();
        return Err(format!("there is no setting {key:?}; {}", suggest(last, &names, "there are")));
    }
    Ok(page.0)
}

/// The page as far as it is written.
struct Page(String);

impl Page {
    /// The settings of a section that stands at `path`: first those that are values, then those that
    /// are sections themselves.
    fn section(&mut self, path: &str, part: &'static SectionNotation) {
        let below = |row: &Row| match path {
            "" => row.setting.name.to_owned(),
            path => format!("{path}.{}", row.setting.name),
        };
        let (values, sections): (Vec<&Row>, Vec<&Row>) =
            part.rows.iter().partition(|row| row.notation.parts.is_empty());
        let inner =
            || sections.iter().flat_map(|row| &row.notation.parts).flat_map(|its| &its.rows);
        let is_repeated = |row: &Row| {
            row.is_shared && inner().any(|its| std::ptr::eq(its.setting.name, row.setting.name))
        };
        let (repeated, values): (Vec<&Row>, Vec<&Row>) =
            values.into_iter().partition(|row| is_repeated(row));
        for row in values {
            if let Some(group) = row.setting.group {
                self.paragraph(&format!("**{group}**"));
            }
            self.entry(&below(row), row);
        }
        if let (Some(first), Some(section)) = (repeated.first(), sections.first()) {
            let names: Vec<_> = repeated.iter().map(|row| code(row.setting.name)).collect();
            self.paragraph(&format!("**{}, for all**", first.setting.group.unwrap_or("Defaults")));
            self.paragraph(&format!(
                "{} may stand here, too, and hold for all {} that do not say otherwise.",
                names.join(", "),
                code(section.setting.name)
            ));
        }
        for row in sections {
            for (i, part) in row.notation.parts.iter().enumerate() {
                let path = below(row);
                let variant = part.variant.map(|name| format!(": `{name}(...)`"));
                self.line(&format!("\n## `{path}`{}", variant.unwrap_or_default()));
                if i == 0 {
                    self.facts(&path, row);
                }
                if !same(part.about, row.setting.meaning) {
                    self.paragraph(part.about);
                }
                self.section(&path, part);
            }
        }
    }

    /// A setting with all that is known of it.
    fn entry(&mut self, path: &str, row: &Row) {
        self.line(&format!("\n### `{path}`"));
        self.facts(path, row);
    }

    fn facts(&mut self, path: &str, row: &Row) {
        let (setting, notation) = (row.setting, &row.notation);
        self.paragraph(setting.meaning);
        self.line("");
        let unit = match setting.unit {
            "" => String::new(),
            unit => format!(" of {unit}"),
        };
        let form = match notation.form.as_str() {
            "" => String::new(),
            form => format!(", {form}"),
        };
        if notation.one == "section" {
            // Its settings follow.
        } else if notation.choices.is_empty() {
            self.item(0, &format!("Value: {}{unit}{form}", notation.one));
        } else {
            self.item(0, &format!("Value: {}", notation.one.replace("name", "one of")));
        }
        for (name, meaning) in &notation.choices {
            self.item(2, &format!("{}: {meaning}", code(name)));
        }
        match (&row.default, setting.example) {
            (_, Some(example)) => {
                self.item(
                    0,
                    &format!("Must be given: {}", code(&format!("{}: {example}", setting.name))),
                );
            }
            (Document::Atom(none), _) if none == "None" => self.item(0, "Default: not given"),
            (default, _) if notation.parts.is_empty() && !row.is_shared => {
                self.item(0, &format!("Default: {}", code(&default.flat())));
            }
            _ => {}
        }
        if let Some(live) = LiveSetting::find(path) {
            self.item(0, &format!("Live: {}", changed_by(live)));
        }
        match setting.need {
            Need::Nothing => {}
            Need::Queue => self.item(0, QUEUE),
            Need::Role(role) => self.item(0, &format!("In force: for {}", whom(role))),
            Need::Behaviour(why) => self.item(0, &format!("Not yet in force: {why}")),
        }
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        self.line("");
        self.wrapped("", "", text);
    }

    /// An item of a list, so many columns in.
    fn item(&mut self, indent: usize, text: &str) {
        let blank = " ".repeat(indent);
        self.wrapped(&format!("{blank}- "), &format!("{blank}  "), text);
    }

    /// The words of a text in lines; what stands between backticks is one word.
    fn wrapped(&mut self, first: &str, others: &str, text: &str) {
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in words(text) {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                others.clone_into(&mut line);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(&word);
            is_empty = false;
        }
        if !is_empty {
            self.line(&line);
        }
    }
}

/// Words with what stands between backticks in one piece.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if is_open => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
        is_open ^= word.matches('`').count() % 2 == 1;
    }
    words
}

/// Whether two texts are made of the same words.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

/// As code; what holds backticks itself stands between two of them.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// How `relais set` changes a setting.
fn changed_by(live: &LiveSetting) -> String {
    let owner = match live.path {
        path if path.starts_with("channels.") => "CHANNEL.",
        path if path.starts_with("job_controller.pools.") => "POOL.",
        _ => "",
    };
    let from = Duration::from_millis(*live.range.start());
    let from = live.is_time.then(|| format!(", from {} on", format_duration(from)));
    let from = from.unwrap_or_default();
    format!("{}{from}", code(&format!("relais set {owner}{} VALUE", live.name())))
}

/// The channels with this role.
fn whom(role: Role) -> &'static str {
    match role {
        Role::Source => "channels by which a service takes mail in",
        Role::SmtpSource => "channels by which a service of program `Smtp` takes mail in",
        Role::Switching => {
            "channels by which a service of program `Smtp` takes mail in, and channels that addresses \
             of its clients may lead to"
        }
        Role::Rewriting => {
            "channels by which a service of program `Smtp` takes mail in, and those of program \
             `Local`, `Process`, `Reprocess` or `Hold`"
        }
        Role::RewritingOrDestination => "the same channels, and those that mail is routed to",
        Role::LmtpSource => "channels by which a service of program `Lmtp` takes mail in",
        Role::Destination => "channels that mail is routed to, but not those of program `Local`",
        Role::DestinationOrLocal => "channels that mail is routed to, and those of program `Local`",
        Role::Served => {
            "channels that mail is routed to, of program `Lmtp`, `Smtp`, `Pipe`, `Process`, \
             `Reprocess`, `Conversion`, `Hold` or `Bitbucket`"
        }
        Role::Connecting => {
            "channels that mail is routed to and that connect to hosts: of program `Lmtp` \
             or `Smtp`"
        }
        Role::Delivering => "channels that mail is routed to, of program `Lmtp` or `Smtp`",
        Role::SmtpDelivering => "channels that mail is routed to, of program `Smtp`",
        Role::SourceOrDelivering => {
            "channels by which a service takes mail in, and channels of program `Lmtp` or `Smtp` that \
             mail is routed to"
        }
        Role::Local => "channels of program `Local`",
    }
}

const HEAD: &str = "\
# The settings of relais

This page holds every setting of the configuration file, as this very program
reads it: `relais config --reference` prints it, `relais config --reference KEY`
a part of it. `relais config` shows the values in force, and `relais check` tells
every mistake in a file, with line and column.

The file is RON: sections in parentheses, maps in braces, lists in brackets,
comments behind `//`. A setting that is not given has its default; one that may
be left out is given as it is, without `Some`.

- A **time** is a text with its unit: `\"500ms\"`, `\"30s\"`, `\"10m\"`, `\"2h\"`, `\"1d\"`,
  `\"1w\"`, or ISO 8601 such as `\"PT10M\"`.
- A **size** counts octets, alone or with a unit: `65536`, `\"512KiB\"`, `\"10MiB\"`,
  `\"10MB\"`.
- A **path** that is relative lies below `data`.

Of each setting the page says what fits (*Value*) and what holds without it
(*Default*). *Live* settings are changed by `relais set` while the engine runs;
all others when it starts. What has the line *In force* does something there and
nothing elsewhere. *Not yet in force* is read and has no effect in this version.
`relais check` warns of both when they are given in vain.

## The file
";

const QUEUE: &str = "In force: where a service of program `Smtp` takes mail in";

/// Characters in a line.
const WIDTH: usize = 80;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sections::config::Config;

    /// Every setting with its value by default, or the example of one that must be given.
    fn written(part: &'static SectionNotation) -> String {
        let fields = part.rows.iter().filter(|row| row.notation.parts.is_empty()).map(|row| {
            let value = row.setting.example.map_or_else(|| row.default.flat(), str::to_owned);
            format!("{}: {value}", row.setting.name)
        });
        fields.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_the_page_names_can_be_set() {
        let mut at = 0;
        each(&TABLES, "", &mut |path, row| {
            for part in &row.notation.parts {
                let (before, after) = match path {
                    "channels" => ("channels: [(", ")]".to_owned()),
                    "dispatcher.services" => ("dispatcher: (services: {\"S\": (", ")})".to_owned()),
                    "job_controller.pools" => {
                        ("job_controller: (pools: {\"P\": (", ")})".to_owned())
                    }
                    "conversions" => ("conversions: [(", ")]".to_owned()),
                    "milters" => ("milters: {\"M\": (", ")}".to_owned()),
                    "programs" => ("programs: {\"P\": (", ")}".to_owned()),
                    "store.default_quota" => ("store: (default_quota: (", "))".to_owned()),
                    "directory.cache" => ("directory: Ldap(cache: (", "))".to_owned()),
                    "channels.tls" => ("channels: [(tls: (", "))]".to_owned()),
                    "channels.destinations" => ("channels: [(destinations: (", "))]".to_owned()),
                    "channels.destinations.limits" => {
                        ("channels: [(destinations: (limits: {\"a.test\": (", ")}))]".to_owned())
                    }
                    "channels.destinations.replies" => {
                        ("channels: [(destinations: (replies: [(", ")]))]".to_owned())
                    }
                    "tls.more_certificates" => ("tls: (more_certificates: [(", ")])".to_owned()),
                    "channels.sasl" => ("channels: [(sasl: (", "))]".to_owned()),
                    _ => ("", String::new()),
                };
                let inner = written(part);
                let text = match (before, part.variant) {
                    ("", Some(variant)) => format!("({path}: {variant}({inner}))"),
                    ("", None) => format!("({path}: ({inner}))"),
                    _ => format!("({before}{inner}{after})"),
                };
                let wrong: Vec<_> = crate::check("f", &text)
                    .mistakes
                    .into_iter()
                    .map(|mistake| mistake.message)
                    .filter(|said| said.contains("there is no field") || said.contains("fit here"))
                    .collect();
                assert_eq!(wrong, Vec::<String>::new(), "{text}");
                at += part.rows.len();
            }
        });
        let whole = format!("({})", written(&TABLES));
        let report = crate::check("f", &whole);
        assert!(!report.mistakes.iter().any(|m| m.message.contains("no field")), "{report}");
        assert!(at > 120, "{at}");
    }

    #[test]
    fn every_field_that_is_printed_is_in_the_page_with_its_meaning() {
        let page = reference();
        let mut missing = BTreeSet::new();
        each(&TABLES, "", &mut |path, row| {
            let is_there = page.contains(&format!("# `{path}`"))
                || row.is_shared && page.contains(&format!("`{}`", row.setting.name));
            if !is_there || row.setting.meaning.trim().is_empty() {
                missing.insert(path.to_owned());
            }
        });
        assert!(missing.is_empty(), "{missing:?}");
        let (config, _) = Config::parse("built in", crate::STANDALONE).unwrap();
        for channel in format!("{:#?}", config.channels[0]).lines() {
            let field = channel.strip_prefix("    ").and_then(|line| line.split_once(':'));
            let name = field.map(|(name, _)| name).filter(|name| !name.starts_with([' ', '}']));
            assert!(name.is_none_or(|n| page.contains(&format!("`channels.{n}`"))), "{channel}");
        }
    }

    #[test]
    fn the_page_fits_a_terminal_and_parts_of_it_are_found() {
        let page = reference();
        let long: Vec<_> = page.lines().filter(|line| line.chars().count() > 80).collect();
        let only_code = |line: &&&str| line.trim_start_matches(['-', ' ']).matches('`').count() < 2;
        assert_eq!(long.iter().find(only_code), None);
        let part = reference_of("maxjobs").unwrap();
        for want in [
            "### `channels.maxjobs`",
            "- Value: whole number of jobs, 1 to 10,000",
            "- Default: `10`",
            "- Live: `relais set CHANNEL.maxjobs VALUE`",
        ] {
            assert!(part.contains(want), "{want}: {part}");
        }
        assert!(reference_of("spool").unwrap().contains("spool.min_free"));
        let said = reference_of("channels.maxjob").unwrap_err();
        assert!(said.contains("did you mean maxjobs?"), "{said}");
    }
}
