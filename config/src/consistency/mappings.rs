//! Mapping tables: whether anything consults them, and whether their entries are ever reached.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use super::list;
use crate::{
    Config, DeliveryOption,
    mapping::{Calls, Field, MappingTable},
    reader::Reader,
    rewrite::{Chunk, Condition, Outcome, Piece, Template},
};

/// Whether a text can be a field.
type Fits = fn(&str) -> bool;

/// What probes of a table look like.
struct Probe {
    /// The table that is probed with it.
    table: &'static str,
    /// What its fields are called, and which texts they can be.
    fields: &'static [(&'static str, Fits)],
    /// The last field can hold bars.
    open: bool,
}

/// Tables that are consulted, and with what.
const PROBES: &[Probe] = &[
    Probe {
        table: "PORT_ACCESS",
        fields: &[
            ("TCP", |text| text == "tcp"),
            ("server", is_address),
            ("port", is_port),
            ("client", is_address),
            ("client port", is_port),
        ],
        open: false,
    },
    Probe { table: "INTERNAL_IP", fields: &[("client", is_address)], open: false },
    Probe {
        table: "ORIG_SEND_ACCESS",
        fields: &[
            ("source channel", |_| true),
            ("sender", |_| true),
            ("destination channel", |_| true),
            ("recipient", |_| true),
        ],
        open: true,
    },
];

impl Probe {
    /// Why no probe matches a pattern of these fields.
    fn mismatch(&self, fields: &[Field]) -> Option<String> {
        let (has, wants) = (fields.len(), self.fields.len());
        let open_end = fields.last().is_some_and(|field| field.spans);
        if has < wants && !open_end || has > wants && !self.open {
            let s = if has == 1 { "" } else { "s" };
            return Some(format!(
                "this pattern has {has} field{s} instead of {wants}: it does not match what it \
                 seems to"
            ));
        }
        // Behind a wildcard that may stand for several fields none has a place of its own.
        let fixed = match fields.iter().position(|field| field.spans) {
            Some(spans) if has < wants => spans,
            _ => has,
        };
        let wrong = fields[..fixed.min(wants)].iter().zip(self.fields).enumerate();
        wrong
            .filter_map(|(n, (field, (name, fits)))| Some((n, field.text.as_ref()?, name, fits)))
            .find(|(_, text, _, fits)| !fits(text))
            .map(|(n, text, name, _)| {
                let text = crate::source::shorten(text);
                format!("field {} of this pattern is matched with {name}: {text:?} is none", n + 1)
            })
    }

    fn shown(&self) -> String {
        self.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("|")
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// An entry that no probe can match protects nobody, and the table lets pass what it was to stop.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    for (name, table) in &config.mappings {
        let Some(probe) = PROBES.iter().find(|probe| probe.table.eq_ignore_ascii_case(name)) else {
            continue;
        };
        for (i, shape) in table.shapes().enumerate() {
            if let Some(message) = probe.mismatch(&shape.fields) {
                let accepted = format!("it is probed with {}", probe.shown());
                reader.mistake_at(&format!("mappings[{name:?}][{i}]"), &message, &accepted);
            }
        }
    }
}

/// What is legal and does nothing.
pub(crate) fn warn(config: &Config, reader: &mut Reader<'_>) {
    let called = called(config);
    let mut seen = HashSet::new();
    for (name, table) in &config.mappings {
        let upper = name.to_ascii_uppercase();
        let path = format!("mappings[{name:?}]");
        let consulted = PROBES.iter().any(|probe| probe.table == upper) || called.contains(&upper);
        if !consulted {
            let message = unconsulted(&upper);
            reader.warning_at(&path, &message, false);
        } else if !seen.insert(upper) {
            let message = "there is a table of this name already, spelled otherwise: it alone is \
                           consulted";
            reader.warning_at(&path, message, false);
        }
        warn_of_entries(table, &path, reader);
    }
    warn_of_calls(config, reader);
    warn_of_general(config, reader);
}

fn unconsulted(name: &str) -> String {
    if NOT_YET.contains(&name) {
        return format!("{name} is not there yet: the table is not consulted");
    }
    let known: Vec<_> =
        PROBES.iter().map(|probe| probe.table).chain(NOT_YET.iter().copied()).collect();
    let close = |known: &&&str| strsim::damerau_levenshtein(name, known) <= 2;
    match known.iter().find(close).filter(|_| name.len() <= 64) {
        Some(known) => format!("nothing consults a table of this name; did you mean {known}?"),
        None => {
            "nothing consults a table of this name: no rule and no other table calls it".to_owned()
        }
    }
}

fn warn_of_entries(table: &MappingTable, path: &str, reader: &mut Reader<'_>) {
    let mut settled: Option<usize> = None;
    let mut patterns: HashSet<&str> = HashSet::new();
    for (i, ((pattern, _), shape)) in table.entries.iter().zip(table.shapes()).enumerate() {
        let here = format!("{path}[{i}]");
        if let Some(before) = settled {
            let message =
                format!("the entry is never reached: entry {} takes everything", before + 1);
            reader.warning_at(&here, &message, false);
        } else if patterns.contains(pattern.as_str()) {
            let message = "the entry is never reached: one before it has the same pattern";
            reader.warning_at(&here, message, false);
        } else if shape.test_flag {
            let message = "$T is not there yet: nothing asks for this flag";
            reader.warning_at(&here, message, false);
        }
        if shape.ends {
            patterns.insert(pattern);
            if shape.takes_all {
                settled = settled.or(Some(i));
            }
        }
    }
}

/// Tables that rules or other tables call, in upper case.
fn called(config: &Config) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rule in &config.rewrite_rules {
        each_piece(&rule.parsed, &mut |piece| {
            if let Piece::Mapping { table, .. } = piece {
                names.insert(table.to_ascii_uppercase());
            }
        });
    }
    for Calls { tables, .. } in config.mappings.values().flat_map(MappingTable::calls) {
        names.extend(tables.into_iter().map(|name| name.to_ascii_uppercase()));
    }
    names
}

/// A call of a table that is not there fails.
fn warn_of_calls(config: &Config, reader: &mut Reader<'_>) {
    let known: HashSet<String> =
        config.mappings.keys().map(|name| name.to_ascii_uppercase()).collect();
    let missing = |name: &str| !known.contains(&name.to_ascii_uppercase());
    let mut warn = |path: String, table: &str, consequence: &str| {
        let tables = list(table, config.mappings.keys().map(String::as_str));
        let table = crate::source::shorten(table);
        let message = format!("{consequence}: there is no mapping table {table:?}; {tables}");
        reader.warning_at(&path, &message, false);
    };
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        each_piece(&rule.parsed, &mut |piece| {
            if let Piece::Mapping { table, .. } = piece
                && missing(table)
            {
                warn(format!("rewrite_rules[{i}]"), table, "the rule never applies");
            }
        });
    }
    for (name, table) in &config.mappings {
        for (i, Calls { tables, .. }) in table.calls().enumerate() {
            for called in tables.iter().filter(|called| missing(called)) {
                warn(format!("mappings[{name:?}][{i}]"), called, "the entry never applies");
            }
        }
    }
}

/// Calls `each` for every piece of a template, arguments included.
fn each_piece(template: &Template, each: &mut impl FnMut(&Piece)) {
    fn pieces(list: &[Piece], each: &mut impl FnMut(&Piece)) {
        for piece in list {
            each(piece);
            if let Piece::Mapping { argument, .. } = piece {
                pieces(argument, each);
            }
        }
    }
    match template {
        Template::General(chunks) => {
            for chunk in chunks {
                match chunk {
                    Chunk::Key(key) => pieces(key, each),
                    // What stands outside of the keys is parsed with them; a call is told by its
                    // beginning.
                    Chunk::Raw(text) => {
                        for (at, _) in text.match_indices("${") {
                            let table = text[at + 2..].split([',', '}']).next().unwrap_or_default();
                            let table = table.to_owned();
                            each(&Piece::Mapping { table, argument: Vec::new() });
                        }
                    }
                }
            }
        }
        Template::Plain(rewriting) => {
            match &rewriting.outcome {
                Outcome::Unchanged => {}
                Outcome::Restart { user, host } => {
                    pieces(user, each);
                    pieces(host, each);
                }
                Outcome::Finish { user, host, route, tag } => {
                    let more = [route, tag].into_iter().flatten();
                    [user, host].into_iter().chain(more).for_each(|list| pieces(list, each));
                }
            }
            for condition in &rewriting.conditions {
                if let Condition::Local(list) | Condition::NotLocal(list) = condition {
                    pieces(list, each);
                }
            }
        }
    }
}

/// Keys of the general database that nothing asks for.
fn warn_of_general(config: &Config, reader: &mut Reader<'_>) {
    let mut asked: HashSet<String> = HashSet::new();
    let mut open = false;
    let mut ask = |key: Option<String>| match key {
        Some(key) => {
            asked.insert(key.to_ascii_lowercase());
        }
        None => open = true,
    };
    for rule in &config.rewrite_rules {
        let Template::General(chunks) = &rule.parsed else { continue };
        for chunk in chunks {
            let Chunk::Key(pieces) = chunk else { continue };
            ask(match pieces.as_slice() {
                [Piece::Text(text)] => Some(text.clone()),
                _ => None,
            });
        }
    }
    for table in config.mappings.values() {
        table.calls().flat_map(|calls| calls.keys).for_each(&mut ask);
    }
    if open {
        return;
    }
    let by_host = config.delivery_options.iter().any(DeliveryOption::names_mail_host);
    for (key, value) in &config.general {
        let marks_store = by_host && value.eq_ignore_ascii_case("lmtp");
        if !marks_store && !asked.contains(&key.to_ascii_lowercase()) {
            let message = "nothing asks for this key: no rule and no table has it, and it does \
                           not mark a mail host of delivery_options as one that takes LMTP";
            reader.warning_at(&format!("general[{key:?}]"), message, false);
        }
    }
}

/// Tables that the original consults by itself, and that are not consulted here yet.
const NOT_YET: &[&str] = &[
    "SEND_ACCESS",
    "MAIL_ACCESS",
    "ORIG_MAIL_ACCESS",
    "FROM_ACCESS",
    "AUTH_ACCESS",
    "FORWARD",
    "REVERSE",
    "PERSONAL_NAMES",
    "CHARSET-CONVERSION",
    "CONVERSIONS",
];
