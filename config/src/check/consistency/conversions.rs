//! Conversions: whether a channel carries them out, whether each can do what it says, and whether any
//! part comes to it.

use std::collections::BTreeMap;

use super::rules::Sources;
use crate::{
    check::{
        known::list,
        roles::{converts, takes_mail},
    },
    file::{reader::Reader, source::shorten},
    grammar::glob,
    language::argument::{ArgumentPiece, ArgumentValue},
    sections::{
        channel::{Channel, Program},
        config::Config,
        conversions::{
            ConversionAction::{Bounce, Delete, Hold, Leave, Run, Scan},
            ConversionEntry,
        },
    },
};

pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    let channels = || config.channels.iter().enumerate();
    for (i, entry) in config.conversions.iter().enumerate() {
        let path = format!("conversions[{i}]");
        programs(config, entry, &path, reader);
        unused(entry, &path, reader);
        for (field, pattern) in
            [("in_channel", &entry.in_channel), ("out_channel", &entry.out_channel)]
        {
            if !channels().any(|(_, channel)| glob(pattern, &channel.name)) {
                let known = config.channels.iter().map(|channel| channel.name.as_str());
                let message = format!(
                    "no channel is called {:?}; {}",
                    shorten(pattern),
                    list(pattern, known)
                );
                reader.warning_at(&format!("{path}.{field}"), &message, false);
            }
        }
        let mut before = config.conversions[..i].iter();
        if let Some(n) = before.position(|other| takes_all_of(other, entry)) {
            let message =
                format!("the entry is never reached: entry {} takes all its parts", n + 1);
            reader.warning_at(&path, &message, false);
        }
    }
    let mut own = channels().filter(|(_, channel)| channel.program == Program::Conversion);
    match own.next() {
        None if converts(config) => {
            let place = if config.conversions.is_empty() { "mappings" } else { "conversions" };
            let message = "there is no channel that converts parts of mail";
            let accepted = "a channel of program Conversion is expected, such as \
                            (name: \"conversion\", tag: \"conversion-daemon\", program: Conversion)";
            reader.mistake_at(place, message, accepted);
        }
        Some((i, _)) if !converts(config) && takes_mail(config) => {
            let message = "conversions lists nothing: no mail comes to this channel";
            reader.warning_at(&format!("channels[{i}].program"), message, false);
        }
        _ => {}
    }
    if let Some((i, _)) = own.next() {
        let message = "there is a channel of program Conversion already";
        reader.mistake_at(&format!("channels[{i}].program"), message, "one is expected");
    }
}

/// Warns of entries for mail that goes no such way.
pub(crate) fn warn(config: &Config, reader: &mut Reader<'_>) {
    let sources = Sources::of(config);
    let ends = Ends { config, sources: &sources };
    for (i, entry) in config.conversions.iter().enumerate() {
        let path = format!("conversions[{i}]");
        for (field, pattern, why) in [
            ("in_channel", &entry.in_channel, ends.none_comes_by(&entry.in_channel)),
            ("out_channel", &entry.out_channel, ends.none_leaves_by(&entry.out_channel)),
        ] {
            // Names that nobody has are told already.
            let is_known = config.channels.iter().any(|its| glob(pattern, &its.name));
            if let Some(why) = why.filter(|_| is_known) {
                let message = format!("the entry is for no mail: {why}");
                reader.warning_at(&format!("{path}.{field}"), &message, false);
            }
        }
    }
    let tables = config.mappings.iter().filter_map(|(name, table)| {
        let asked = TABLES.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some((name, table, asked))
    });
    for (name, table, (_, asked)) in tables {
        for (i, (pattern, _)) in table.entries.iter().enumerate() {
            if let Some(why) = ends.never_asked(pattern, asked) {
                let message = format!("the entry never applies: {why}");
                reader.warning_at(&format!("mappings[{name:?}][{i}]"), &message, false);
            }
        }
    }
}

/// The channels that mail comes in and leaves by.
struct Ends<'c> {
    config: &'c Config,
    sources: &'c Sources<'c>,
}

impl Ends<'_> {
    /// Why no mail comes in by channels of this pattern.
    fn none_comes_by(&self, pattern: &str) -> Option<String> {
        self.none(pattern, |channel| {
            self.sources
                .silent(&channel.name)
                .map(|_| "no mail comes in by such a channel".to_owned())
        })
    }

    /// Why no mail whose parts are looked at leaves by channels of this pattern.
    fn none_leaves_by(&self, pattern: &str) -> Option<String> {
        self.none(pattern, |channel| {
            let program = channel.program;
            let why = "parts of mail are looked at before it leaves by a channel of program Smtp, Lmtp, Pipe \
                       or Local";
            (!program.takes_converted()).then(|| why.to_owned())
        })
    }

    /// The reason that holds for all channels of this pattern.
    fn none(&self, pattern: &str, why_not: impl Fn(&Channel) -> Option<String>) -> Option<String> {
        let channels = &self.config.channels;
        let mut last = None;
        for channel in channels.iter().filter(|its| glob(pattern, &its.name)) {
            last = Some(why_not(channel)?);
        }
        let unknown = || {
            let names = list(pattern, channels.iter().map(|its| its.name.as_str()));
            format!("no channel is called {:?}; {names}", shorten(pattern))
        };
        last.or_else(|| Some(unknown()))
    }

    /// Why a table is never asked for what a pattern is; `asked`: how the third part of a probe begins.
    fn never_asked(&self, pattern: &str, asked: &[&str]) -> Option<String> {
        let probe = || {
            let probes =
                asked.iter().map(|third| format!("IN-CHAN=channel;OUT-CHAN=channel;{third}"));
            format!("it is probed with {}", probes.collect::<Vec<_>>().join(" and "))
        };
        let is_plain = |part: &str| !part.contains(['*', '%', '$']);
        let parts: Vec<&str> = pattern.split(';').collect();
        let &[source, out, third] = &parts[..] else {
            return (parts.len() > 3 || is_plain(pattern)).then(probe);
        };
        let fits = |name: &&str| {
            behind(third, name).is_some_and(|rest| rest.is_empty() || name.ends_with('='))
        };
        if is_plain(third) && !asked.iter().any(fits) {
            return Some(probe());
        }
        let none = |part: &str, name: &str, none: fn(&Self, &str) -> Option<String>| {
            // Beside a wildcard nobody knows what is a name.
            if !is_plain(part) {
                return None;
            }
            behind(part, name).map_or_else(|| Some(probe()), |channel| none(self, channel))
        };
        none(source, "IN-CHAN=", Self::none_comes_by)
            .or_else(|| none(out, "OUT-CHAN=", Self::none_leaves_by))
    }
}

/// The text behind a name, whose case does not matter.
fn behind<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (own, rest) = text.split_at_checked(name.len())?;
    own.eq_ignore_ascii_case(name).then_some(rest)
}

/// The program is there, and what it is told is known.
fn programs(config: &Config, entry: &ConversionEntry, path: &str, reader: &mut Reader<'_>) {
    let path = format!("{path}.program");
    let Some(label) = &entry.program else {
        if entry.runs() {
            let message =
                format!("the action {:?} runs a program, and none is named", entry.action);
            reader.mistake_at(&path, &message, "a label of programs is expected");
        }
        return;
    };
    let listed = config.programs.iter().find(|its| its.name.eq_ignore_ascii_case(label));
    let Some(listed) = listed else {
        let known = config.programs.iter().map(|its| its.name.as_str());
        let message = format!("programs does not list {label:?}");
        return reader.mistake_at(&path, &message, &list(label, known));
    };
    let of_recipient = |piece: &ArgumentPiece| match piece {
        ArgumentPiece::Text(_) => false,
        ArgumentPiece::Value(value) => !matches!(value, ArgumentValue::Sender | ArgumentValue::Id),
    };
    if entry.runs() && listed.command.iter().flat_map(|its| &its.pieces).any(of_recipient) {
        let message =
            format!("the command of {label} has a value of a recipient, and a part has none");
        reader.mistake_at(&path, &message, "$sender and $id are the values there are");
    }
}

/// Settings that the action has no use for.
fn unused(entry: &ConversionEntry, path: &str, reader: &mut Reader<'_>) {
    let ConversionEntry { action, .. } = entry;
    let decides =
        entry.runs() && !(entry.delete_status.is_empty() && entry.bounce_status.is_empty());
    let runs = entry.runs();
    let names = matches!(action, Leave | Scan | Run);
    let fields = [
        (
            "text",
            matches!(action, Delete | Bounce | Hold) || decides || !entry.hold_status.is_empty(),
        ),
        ("program", runs),
        ("output_size", *action == Run),
        ("memory", runs),
        ("keep_status", runs),
        ("delete_status", runs),
        ("bounce_status", runs),
        ("hold_status", runs),
        ("options", runs),
        ("out_type", names),
        ("out_subtype", names),
        ("out_parameters", names),
        ("out_disposition", names),
        ("out_dparameters", names),
        ("go_on", matches!(action, Leave | Scan)),
    ];
    for (field, is_used) in fields {
        let place = format!("{path}.{field}");
        if !is_used && reader.is_given(&place) {
            let message = format!("the action {action:?} has no use for {field}");
            reader.mistake_at(&place, &message, "leave it out");
        }
    }
    let mut all = BTreeMap::new();
    for (field, statuses) in [
        ("keep_status", &entry.keep_status),
        ("delete_status", &entry.delete_status),
        ("bounce_status", &entry.bounce_status),
        ("hold_status", &entry.hold_status),
    ] {
        for status in statuses {
            if let Some(other) = all.insert(*status, field) {
                let message = format!("the status {status} stands in {other} already");
                reader.mistake_at(&format!("{path}.{field}"), &message, "one meaning is expected");
            }
        }
    }
}

/// Whether an entry leaves no part to another one behind it.
fn takes_all_of(before: &ConversionEntry, entry: &ConversionEntry) -> bool {
    let covers = |one: &str, other: &str| {
        let is_plain = !other.contains(['*', '?']);
        one == "*" || one.eq_ignore_ascii_case(other) || is_plain && glob(one, other)
    };
    let patterns = |its: &ConversionEntry| {
        [
            its.in_channel.clone(),
            its.out_channel.clone(),
            its.in_type.clone(),
            its.in_subtype.clone(),
            its.in_disposition.clone(),
            its.in_filename.clone(),
        ]
    };
    let within = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        one.iter().all(|(name, value)| other.get(name).is_some_and(|its| covers(value, its)))
    };
    let size = |its: &ConversionEntry| {
        let blocks = its.part_maximum_blocks.map(|blocks| blocks.saturating_mul(BLOCK));
        its.part_maximum_size.into_iter().chain(blocks).min().unwrap_or(u64::MAX)
    };
    !before.goes_on()
        && patterns(before).iter().zip(&patterns(entry)).all(|(one, other)| covers(one, other))
        && within(&before.in_parameters, &entry.in_parameters)
        && within(&before.in_dparameters, &entry.in_dparameters)
        && size(before) >= size(entry)
        && (before.signed || !entry.signed)
}

/// Tables that are asked about mail of two channels, and what they are asked about it.
const TABLES: [(&str, &[&str]); 2] =
    [("CONVERSIONS", &["CONVERT"]), ("CHARSET-CONVERSION", &["CONVERT", "IN-CHARSET="])];
/// Octets of a block, as in the original.
const BLOCK: u64 = 1_024;
