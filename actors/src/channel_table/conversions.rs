//! Which mail goes by the conversion channel on its way, and the entries that are for it.
//!
//! An entry of the queue that waits there names the channel and the host that it goes on to in the place
//! of its host: `tcp_local/mx.example.com`.

use std::{collections::BTreeMap, sync::Arc};

use relais_channels::mime::parts::Charset;
use relais_config::{
    Channel, Config, ConversionEntry,
    channel::Program,
    mapping::{Mapped, MappingTable, Tables},
};

/// The table of conversions. Empty where there is no channel to carry them out.
#[derive(Debug, Default)]
pub struct Conversions {
    channel: Option<Arc<str>>,
    entries: Vec<ConversionEntry>,
    mappings: BTreeMap<String, MappingTable>,
    general: BTreeMap<String, String>,
}

/// The charset that a text gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewCharset {
    /// Its name.
    pub name: String,
    /// The text stays, and is only called so.
    pub relabels_only: bool,
}

impl Conversions {
    /// The table of a configuration.
    pub fn of(config: &Config) -> Self {
        let own = config.channels.iter().find(|its| its.program == Program::Conversion);
        let Some(channel) = own else { return Self::default() };
        let is_asked = [CONVERSIONS, CHARSET_CONVERSION]
            .into_iter()
            .any(|name| config.mappings.keys().any(|own| own.eq_ignore_ascii_case(name)));
        let mappings = if is_asked { config.mappings.clone() } else { BTreeMap::new() };
        let general = config.general.iter().map(|(key, value)| (key.clone(), value.clone()));
        Self {
            channel: Some(channel.name.as_str().into()),
            entries: config.conversions.clone(),
            mappings,
            general: if is_asked { general.collect() } else { BTreeMap::new() },
        }
    }

    /// Whether no mail goes this way.
    pub fn is_empty(&self) -> bool {
        self.channel.is_none() || self.entries.is_empty() && self.mappings.is_empty()
    }

    /// The channel by which mail goes that comes in by `source` and leaves by `out`, if it goes that way.
    pub fn on_the_way(&self, source: &str, out: &Channel) -> Option<&Arc<str>> {
        let channel = self.channel.as_ref()?;
        if !out.program.takes_converted() {
            return None;
        }
        let asked = format!("IN-CHAN={source};OUT-CHAN={};CONVERT", out.name);
        let chosen = if self.has(CONVERSIONS) {
            self.probe(CONVERSIONS, &asked).is_some_and(|answer| says_yes(&answer))
        } else {
            self.entries.iter().any(|entry| entry.is_for(source, &out.name))
        };
        let is_charset = || {
            let answer = self.probe(CHARSET_CONVERSION, &asked);
            answer.is_some_and(|answer| says_yes(&answer))
        };
        (chosen || is_charset()).then_some(channel)
    }

    /// The entries for mail of these channels, each with its place.
    pub fn entries_for<'s>(
        &'s self,
        source: &'s str,
        out: &'s str,
    ) -> impl Iterator<Item = (usize, &'s ConversionEntry)> {
        self.entries.iter().enumerate().filter(move |(_, entry)| entry.is_for(source, out))
    }

    /// An entry by its place.
    pub fn entry(&self, place: usize) -> Option<&ConversionEntry> {
        self.entries.get(place)
    }

    /// The charset that texts of mail of these channels get in the place of this one. A name that stands
    /// for no charset is none.
    pub fn charset_for(&self, (source, out): (&str, &str), charset: &str) -> Option<NewCharset> {
        let asked = format!("IN-CHAN={source};OUT-CHAN={out};CONVERT");
        self.probe(CHARSET_CONVERSION, &asked).filter(says_yes)?;
        let asked = format!("IN-CHAN={source};OUT-CHAN={out};IN-CHARSET={charset}");
        let new = NewCharset::parse(&self.probe(CHARSET_CONVERSION, &asked)?.text);
        let is_known = Charset::of(&new.name).is_some_and(Charset::is_written);
        is_known.then_some(new)
    }

    fn has(&self, table: &str) -> bool {
        Tables::new(&self.mappings, &self.general).table(table).is_some()
    }

    fn probe(&self, table: &str, input: &str) -> Option<Mapped> {
        Tables::new(&self.mappings, &self.general).lookup(table, input)
    }
}

impl NewCharset {
    /// The answer of the table: `OUT-CHARSET=utf-8,RELABEL-ONLY=1`. The name is empty where it has none.
    pub fn parse(answer: &str) -> Self {
        let mut new = Self { name: String::new(), relabels_only: false };
        for piece in answer.split([';', ',']) {
            let Some((name, value)) = piece.split_once('=') else { continue };
            match name.trim().to_ascii_uppercase().as_str() {
                "OUT-CHARSET" => value.trim().clone_into(&mut new.name),
                "RELABEL-ONLY" => new.relabels_only = value.trim() == "1",
                _ => {}
            }
        }
        new
    }
}

/// `Yes`, or the flag `$Y` without a word.
fn says_yes(answer: &Mapped) -> bool {
    let word = answer.text.trim();
    let is_no =
        answer.flags.has('N') || word.get(..2).is_some_and(|no| no.eq_ignore_ascii_case("no"));
    !is_no
        && (answer.flags.has('Y') || word.get(..1).is_some_and(|yes| yes.eq_ignore_ascii_case("y")))
}

/// The channel and the host that an entry goes on to behind a conversion, which is the one that its host
/// names.
pub fn behind(host: &str) -> Option<(&str, &str)> {
    host.split_once('/')
}

/// The place where an entry waits for its conversion.
pub(super) fn before(channel: &str, host: &str) -> Arc<str> {
    format!("{channel}/{host}").into()
}

const CONVERSIONS: &str = "CONVERSIONS";
const CHARSET_CONVERSION: &str = "CHARSET-CONVERSION";
