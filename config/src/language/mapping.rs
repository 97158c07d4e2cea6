//! Mapping tables: patterns and templates, parsed once, and probed.
//!
//! A probe runs over the entries from top to bottom and ends at the first that matches, unless
//! its template says otherwise. Inputs come from strangers: whatever they hold, a probe takes
//! time in proportion to the table, but no more than so many steps, makes no text longer than
//! [`MAX_TEXT`], and ends.

mod pattern;
mod result;
mod template;

use std::collections::BTreeMap;

pub use self::result::{MAX_TEXT, Mapped, MappingFlags};
pub(crate) use self::{pattern::Field, result::Calls};
use self::{
    pattern::{Pattern, Wildcards},
    result::{Next, Overrun},
    template::{MappingTemplate, Op},
};
use crate::language::template::{Case, TemplateError};

/// One table: entries tried from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct MappingTable {
    /// Pattern and template, as in the file.
    pub entries: Vec<(String, String)>,
    parsed: Vec<Entry>,
}

/// Equal is what is written the same.
impl PartialEq for MappingTable {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// Tables that the templates of a table may look into.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// Every mapping table, by name.
    pub mappings: &'a BTreeMap<String, MappingTable>,
    /// The general database.
    pub general: &'a BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Pattern,
    template: MappingTemplate,
}

/// Properties of an entry that need no input.
pub(crate) struct Shape {
    /// The parts between the bars of its pattern.
    pub(crate) fields: Vec<Field>,
    /// It matches whatever comes.
    pub(crate) takes_all: bool,
    /// The probe is over when it matches.
    pub(crate) ends: bool,
    /// It sets `$T`.
    pub(crate) test_flag: bool,
}

/// The work that one probe may still do, tables called by it included.
struct Fuel {
    matches: u32,
    steps: u32,
    depth: u32,
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
        let parsed = entries.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { entries, parsed })
    }

    /// The shape of each entry.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape> {
        self.parsed.iter().map(|Entry { pattern, template }| Shape {
            fields: pattern.fields(),
            takes_all: pattern.takes_all(),
            ends: template.always_ends(),
            test_flag: template.sets('T'),
        })
    }

    /// The calls of each entry's template.
    pub(crate) fn calls(&self) -> impl Iterator<Item = Calls> {
        self.parsed.iter().map(|entry| {
            let mut calls = Calls::default();
            entry.template.calls(&mut calls);
            calls
        })
    }

    /// Probes the table. `None`: no entry matched. A probe that never ends, or whose text grows
    /// too long, comes out flagged `$N` and `$F`: a table that stands guard stays shut.
    pub fn lookup(&self, input: &str, tables: &Tables<'_>) -> Option<Mapped> {
        let mut fuel = Fuel { matches: MAX_MATCHES, steps: MAX_STEPS, depth: 0 };
        self.probe(input, tables, &mut fuel).unwrap_or_else(|Overrun| {
            let mut flags = MappingFlags::default();
            flags.set('N');
            flags.set('F');
            Some(Mapped { flags, text: String::new() })
        })
    }

    fn probe(
        &self,
        input: &str,
        tables: &Tables<'_>,
        fuel: &mut Fuel,
    ) -> Result<Option<Mapped>, Overrun> {
        let mut found: Option<Mapped> = None;
        let (mut passes, mut again, mut n) = (0, false, 0);
        loop {
            if n == self.parsed.len() {
                if !again {
                    return Ok(found);
                }
                (again, n) = (false, 0);
                passes += 1;
            }
            if passes > MAX_PASSES {
                return Err(Overrun);
            }
            let Some(entry) = self.parsed.get(n) else { return Ok(found) };
            let input = found.as_ref().map_or(input, |mapped| &mapped.text);
            let flags = found.as_ref().map_or_else(MappingFlags::default, |mapped| mapped.flags);
            n += 1;
            let Some((mapped, next)) = entry.apply(input, flags, tables, fuel)? else { continue };
            found = Some(mapped);
            match next {
                Next::End => return Ok(found),
                Next::Continue => {}
                Next::Loop => again = true,
                Next::Restart => {
                    n = 0;
                    passes += 1;
                }
            }
        }
    }
}

impl Entry {
    fn apply(
        &self,
        input: &str,
        flags: MappingFlags,
        tables: &Tables<'_>,
        fuel: &mut Fuel,
    ) -> Result<Option<(Mapped, Next)>, Overrun> {
        let Some(wildcards) = self.pattern.match_text(input, &mut fuel.steps)? else {
            return Ok(None);
        };
        fuel.matches = fuel.matches.checked_sub(1).ok_or(Overrun)?;
        let MappingTemplate { ops, flags: set, next } = &self.template;
        let Some(text) = expand(ops, &wildcards, tables, fuel)? else { return Ok(None) };
        // On top of those that were set before.
        let flags = MappingFlags(flags.0 | set.0);
        Ok(Some((Mapped { flags, text }, *next)))
    }
}

/// The text of these parts; `None` when a call or a key fails.
fn expand(
    ops: &[Op],
    wildcards: &Wildcards<'_>,
    tables: &Tables<'_>,
    fuel: &mut Fuel,
) -> Result<Option<String>, Overrun> {
    let mut out = String::new();
    let mut case = Case::AsIs;
    for op in ops {
        match op {
            Op::Text(text) => case.push(&mut out, text),
            Op::Case(new) => case = *new,
            Op::Wildcard(n) => case.push(&mut out, &wildcards.get(*n)),
            Op::General(key) => {
                let Some(key) = expand(key, wildcards, tables, fuel)? else { return Ok(None) };
                let Some(value) = tables.general(&key) else { return Ok(None) };
                case.push(&mut out, value);
            }
            Op::Table { name, argument } => {
                let argument = expand(argument, wildcards, tables, fuel)?;
                let Some(argument) = argument else { return Ok(None) };
                let Some(text) = call(name, &argument, tables, fuel)? else { return Ok(None) };
                case.push(&mut out, &text);
            }
        }
        if out.len() > MAX_TEXT {
            return Err(Overrun);
        }
    }
    Ok(Some(out))
}

/// The text of another table, if it says `$Y`.
fn call(
    name: &str,
    argument: &str,
    tables: &Tables<'_>,
    fuel: &mut Fuel,
) -> Result<Option<String>, Overrun> {
    let Some(table) = tables.table(name) else { return Ok(None) };
    if fuel.depth == MAX_DEPTH {
        return Err(Overrun);
    }
    fuel.depth += 1;
    let mapped = table.probe(argument, tables, fuel)?;
    fuel.depth -= 1;
    Ok(mapped.filter(|mapped| mapped.flags.has('Y')).map(|mapped| mapped.text))
}

impl<'a> Tables<'a> {
    /// Probes a table by its name, in any case. `None`: no such table, or no entry matched.
    pub fn lookup(&self, table: &str, input: &str) -> Option<Mapped> {
        self.table(table)?.lookup(input, self)
    }

    /// A table by its name, in any case.
    pub fn table(&self, name: &str) -> Option<&'a MappingTable> {
        self.mappings.get(name).or_else(|| {
            let same = |(key, _): &(&String, _)| key.eq_ignore_ascii_case(name);
            self.mappings.iter().find(same).map(|(_, table)| table)
        })
    }

    /// A value of the general database; keys are tried as given and in lower case.
    pub fn general(&self, key: &str) -> Option<&'a str> {
        let value = self.general.get(key).or_else(|| self.general.get(&key.to_ascii_lowercase()));
        value.map(String::as_str)
    }
}

/// Restarts and repeated passes of one probe, as in the original.
const MAX_PASSES: u32 = 50;
/// Entries that may match in one probe, tables called by it included.
const MAX_MATCHES: u32 = 5_000;
/// Steps of matching in one probe, tables called by it included: some 50 ms. A pattern that names
/// its text outright takes a few.
const MAX_STEPS: u32 = 5_000_000;
/// Tables that may call one another.
const MAX_DEPTH: u32 = 10;

#[cfg(test)]
mod tests;
