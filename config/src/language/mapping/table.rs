//! Tables and what they look into.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    index::{Candidates, Index},
    input::Input,
    pattern::{Field, Pattern},
    result::{Calls, Overrun},
    sequence::Sequences,
    template::{FlagPlace, MappingTemplate},
};
use crate::language::{
    facts::Facts, lookup_url::UrlResults, template::TemplateError, text_table::TextTable,
};

/// One table: entries tried from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct MappingTable {
    /// Pattern and template, as in the file.
    pub entries: Vec<(String, String)>,
    pub(super) parsed: Arc<[Entry]>,
    /// Of a long table.
    pub(super) index: Option<Arc<Index>>,
}

/// Equal is what is written the same.
impl PartialEq for MappingTable {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// Tables that the templates of a table may look into.
#[derive(Clone, Copy)]
pub struct Tables<'a> {
    /// Every mapping table, by name.
    pub mappings: &'a BTreeMap<String, MappingTable>,
    /// The general database.
    pub general: &'a BTreeMap<String, String>,
    /// The general database, as far as it stands in a file.
    pub general_file: Option<&'a TextTable>,
    /// Numbers for `$#file#`; without it entries that ask for one fail.
    pub sequences: Option<&'a dyn Sequences>,
    /// Results of look-ups by URL; without it entries that ask for one fail.
    pub urls: Option<&'a dyn UrlResults>,
    /// Facts about the origin of the mail.
    pub facts: Facts,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) pattern: Pattern,
    pub(super) template: MappingTemplate,
}

/// Properties of an entry that need no input.
pub(crate) struct Shape {
    /// The parts between the bars of its pattern.
    pub(crate) fields: Vec<Field>,
    /// It matches whatever comes.
    pub(crate) takes_all: bool,
    /// The probe is over when it matches.
    pub(crate) ends: bool,
}

impl MappingTable {
    /// Parses the entries of a table. An error names the entry, counted from 0; its offset counts
    /// from the beginning of the pattern, or, when the pattern is right, of the template.
    pub fn parse(entries: Vec<(String, String)>) -> Result<Self, (usize, TemplateError)> {
        let parse = |(n, (pattern, template)): (usize, &(String, String))| {
            let pattern = Pattern::parse(pattern).map_err(|e| (n, e))?;
            let template =
                MappingTemplate::parse(template, pattern.wildcards()).map_err(|e| (n, e))?;
            Ok(Entry { pattern, template })
        };
        let parsed: Arc<[Entry]> =
            entries.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        let index = Index::of(parsed.iter().map(|entry| &entry.pattern)).map(Arc::new);
        Ok(Self { entries, parsed, index })
    }

    /// The shape of each entry.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape> {
        self.parsed.iter().map(|Entry { pattern, template }| Shape {
            fields: pattern.fields(),
            takes_all: pattern.takes_all(),
            ends: template.always_ends(),
        })
    }

    /// Networks in each entry's pattern that are written with bits of a host, without these.
    pub(crate) fn loose_networks(&self) -> impl Iterator<Item = Vec<String>> {
        self.entries.iter().map(|(pattern, _)| Pattern::loose_networks(pattern))
    }

    /// Whether an entry looks something up by URL.
    pub fn asks_urls(&self) -> bool {
        self.calls().any(|calls| !calls.urls.is_empty())
    }

    /// Entries that set `$Q`, and the channel that each names; `None`: only an input tells.
    pub(crate) fn diversions(&self) -> impl Iterator<Item = (usize, Option<&str>)> {
        let entries = self.parsed.iter().enumerate();
        let diverting = entries.filter(|(_, entry)| entry.template.flags.has('Q'));
        diverting.map(|(n, entry)| (n, entry.template.only_text()))
    }

    /// Whether an entry asks for a fact about the origin of mail.
    pub fn asks_facts(&self) -> bool {
        self.facts_asked().any(|asks| asks)
    }

    /// The same of each entry.
    pub(crate) fn facts_asked(&self) -> impl Iterator<Item = bool> {
        self.parsed.iter().map(|entry| entry.template.asks_facts())
    }

    /// The flags that each entry's template sets or asks for.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &[FlagPlace]> {
        self.parsed.iter().map(|entry| entry.template.flags())
    }

    /// The calls of each entry's template.
    pub(crate) fn calls(&self) -> impl Iterator<Item = Calls> {
        self.parsed.iter().map(|entry| {
            let mut calls = Calls::default();
            entry.template.calls(&mut calls);
            calls
        })
    }

    /// Entries that may match, in their order from `from` on.
    pub(super) fn candidates(
        &self,
        input: Input<'_>,
        from: usize,
        steps: &mut u32,
    ) -> Result<Candidates, Overrun> {
        match &self.index {
            Some(index) => index.candidates(input, from, steps),
            None => Ok(Candidates::all(from..self.parsed.len())),
        }
    }
}

impl<'a> Tables<'a> {
    /// Of these, without numbers to draw.
    pub fn new(
        mappings: &'a BTreeMap<String, MappingTable>,
        general: &'a BTreeMap<String, String>,
    ) -> Self {
        let facts = Facts::default();
        Self { mappings, general, general_file: None, sequences: None, urls: None, facts }
    }

    /// A table by its name, in any case.
    pub fn table(&self, name: &str) -> Option<&'a MappingTable> {
        self.named(name).map(|(_, table)| table)
    }

    /// The same with its name as the file has it.
    pub fn named(&self, name: &str) -> Option<(&'a str, &'a MappingTable)> {
        let same = |(key, _): &(&String, _)| key.eq_ignore_ascii_case(name);
        let found = self.mappings.get_key_value(name);
        let found = found.or_else(|| self.mappings.iter().find(same));
        found.map(|(name, table)| (name.as_str(), table))
    }

    /// A value of the general database; keys are tried as given and in lower case.
    pub fn general(&self, key: &str) -> Option<&'a str> {
        let value = self.general.get(key).or_else(|| self.general.get(&key.to_ascii_lowercase()));
        let in_file = || self.general_file.and_then(|file| file.get(key));
        value.map(String::as_str).or_else(in_file)
    }
}
