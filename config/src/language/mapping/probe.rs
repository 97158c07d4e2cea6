//! One probe of a table, from its input to its result, tables called on the way included.

use std::{
    convert::Infallible,
    hash::{BuildHasher, RandomState},
};

use super::{
    input::{Folded, Input},
    pattern::Wildcards,
    result::{MAX_TEXT, Mapped, MappingFlags, Next, Overrun},
    table::{MappingTable, Tables},
    template::{MappingTemplate, Op},
};
use crate::language::{
    lookup_url::LookupUrl,
    template::{Case, put_for_filter},
};

/// A step of a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MappingStep {
    /// How many calls of tables it is inside of.
    pub depth: usize,
    /// The kind of the step: `"probe"`, `"match"`, `"call"`, `"result"`, ...
    pub step: &'static str,
    /// The step in words. Texts of the input are quoted.
    pub detail: String,
}

/// The work that one probe may still do, and what it did when somebody wants to read that.
struct ProbeRun<'a> {
    tables: Tables<'a>,
    matches: u32,
    steps: u32,
    depth: usize,
    told: Option<Vec<MappingStep>>,
}

/// How the result of a template came about.
enum Expanded {
    Text(String),
    /// A call, a key, a flag or chance made it fail.
    Failed,
}

impl MappingTable {
    /// Probes the table. `None`: no entry matched. A probe that never ends, or whose text grows
    /// too long, comes out flagged `$N` and `$F`: a table that stands guard stays shut.
    pub fn lookup(&self, input: &str, tables: &Tables<'_>) -> Option<Mapped> {
        self.lookup_with(input, MappingFlags::default(), tables)
    }

    /// The same for a caller that sets flags, which templates may ask for (`$:x`).
    pub fn lookup_with(
        &self,
        input: &str,
        flags: MappingFlags,
        tables: &Tables<'_>,
    ) -> Option<Mapped> {
        ProbeRun::new(*tables, false).lookup(self, input, flags)
    }

    /// The same with every step.
    pub fn explain(
        &self,
        input: &str,
        flags: MappingFlags,
        tables: &Tables<'_>,
    ) -> (Option<Mapped>, Vec<MappingStep>) {
        let mut probe = ProbeRun::new(*tables, true);
        let mapped = probe.lookup(self, input, flags);
        (mapped, probe.into_steps())
    }
}

impl Tables<'_> {
    /// Probes a table by its name, in any case. `None`: no such table, or no entry matched.
    pub fn lookup(&self, table: &str, input: &str) -> Option<Mapped> {
        self.table(table)?.lookup(input, self)
    }
}

impl<'a> ProbeRun<'a> {
    fn new(tables: Tables<'a>, told: bool) -> Self {
        let told = told.then(Vec::new);
        Self { tables, matches: MAX_MATCHES, steps: MAX_STEPS, depth: 0, told }
    }

    /// The steps that were taken, if they were to be told.
    fn into_steps(self) -> Vec<MappingStep> {
        self.told.unwrap_or_default()
    }

    /// Probes a table. A probe that never ends, or whose text grows too long, comes out flagged `$N`
    /// and `$F`: a table that stands guard stays shut.
    fn lookup(&mut self, table: &MappingTable, input: &str, flags: MappingFlags) -> Option<Mapped> {
        self.note("probe", || format!("{input:?} with {}", count(table.entries.len())));
        let found = self.run(table, input, flags).unwrap_or_else(|Overrun| {
            self.depth = 0;
            self.note("overrun", || "it takes too much work or makes too long a text".to_owned());
            Some(Mapped { flags: MappingFlags::of("NF"), ..Mapped::default() })
        });
        if found.is_none() {
            self.note("no match", || "no entry applies".to_owned());
        }
        found
    }

    fn run(
        &mut self,
        table: &MappingTable,
        input: &str,
        given: MappingFlags,
    ) -> Result<Option<Mapped>, Overrun> {
        let mut found: Option<Mapped> = None;
        let (mut passes, mut again) = (0, false);
        let mut folded = Folded::of(input);
        let mut candidates =
            table.candidates(Input::new(input, folded.as_ref()), 0, &mut self.steps)?;
        loop {
            let Some(n) = candidates.next() else {
                if !std::mem::take(&mut again) {
                    return Ok(found);
                }
                passes = another(passes)?;
                let input = found.as_ref().map_or(input, |mapped| &mapped.text);
                let input = Input::new(input, folded.as_ref());
                candidates = table.candidates(input, 0, &mut self.steps)?;
                continue;
            };
            let now = found.as_ref().map_or(input, |mapped| &mapped.text);
            let set = found.as_ref().map_or_else(MappingFlags::default, |mapped| mapped.flags);
            let asked = given.and(set);
            let subject = Input::new(now, folded.as_ref());
            let Some((text, next)) = self.apply(table, n, subject, asked)? else { continue };
            let flags = set.and(table.parsed[n].template.flags);
            self.note("result", || result(n, &text, flags, next));
            let changed = next != Next::End && text != now;
            found = Some(Mapped { flags, text, entry: n });
            let now = found.as_ref().map_or(input, |mapped| &mapped.text);
            match next {
                Next::End => return Ok(found),
                Next::Continue => again = false,
                Next::Loop => again = true,
                Next::Restart => (again, passes) = (false, another(passes)?),
            }
            if changed {
                folded = Folded::of(now);
            }
            let from = if next == Next::Restart { 0 } else { n + 1 };
            if changed || next == Next::Restart {
                let input = Input::new(now, folded.as_ref());
                candidates = table.candidates(input, from, &mut self.steps)?;
            }
        }
    }

    /// The text that an entry makes of the input, and the step after it. `None`: its pattern does
    /// not match, or its template fails.
    fn apply(
        &mut self,
        table: &MappingTable,
        n: usize,
        input: Input<'_>,
        flags: MappingFlags,
    ) -> Result<Option<(String, Next)>, Overrun> {
        let entry = &table.parsed[n];
        let Some(wildcards) = entry.pattern.match_text(input, &mut self.steps)? else {
            return Ok(None);
        };
        self.matches = self.matches.checked_sub(1).ok_or(Overrun)?;
        self.note("match", || {
            let (pattern, template) = &table.entries[n];
            let names = (0..entry.pattern.wildcards()).map(|n| {
                let text = wildcards.get(n);
                format!(", ${n} is {text:?}")
            });
            format!(
                "entry {}: {pattern:?} matches{}; {template:?}",
                n + 1,
                names.collect::<String>()
            )
        });
        let MappingTemplate { ops, next, .. } = &entry.template;
        match self.expand(ops, &wildcards, flags)? {
            Expanded::Text(text) => Ok(Some((text, *next))),
            Expanded::Failed => Ok(None),
        }
    }

    fn expand(
        &mut self,
        ops: &[Op],
        wildcards: &Wildcards<'_>,
        flags: MappingFlags,
    ) -> Result<Expanded, Overrun> {
        let mut out = String::new();
        let (mut case, mut quoted) = (Case::AsIs, false);
        for op in ops {
            let put = |out: &mut String, text: &str| {
                let start = out.len();
                if quoted {
                    put_for_filter(out, text);
                } else {
                    out.push_str(text);
                }
                case.apply(out, start);
            };
            match op {
                Op::Text(text) => case.push(&mut out, text),
                Op::Case(new) => case = *new,
                Op::Quote => quoted = true,
                Op::Wildcard(n) => put(&mut out, &wildcards.get(*n)),
                _ => match self.asked(op, wildcards, flags)? {
                    Expanded::Text(text) => put(&mut out, &text),
                    Expanded::Failed => return Ok(Expanded::Failed),
                },
            }
            if out.len() > MAX_TEXT {
                return Err(Overrun);
            }
        }
        Ok(Expanded::Text(out))
    }

    /// A part of a template that may fail.
    fn asked(
        &mut self,
        op: &Op,
        wildcards: &Wildcards<'_>,
        flags: MappingFlags,
    ) -> Result<Expanded, Overrun> {
        let nothing =
            |holds: bool| if holds { Expanded::Text(String::new()) } else { Expanded::Failed };
        Ok(match op {
            Op::General(key) => {
                let Expanded::Text(key) = self.expand(key, wildcards, flags)? else {
                    return Ok(Expanded::Failed);
                };
                let value = self.tables.general(&key);
                self.note("key", || match value {
                    Some(value) => format!("the general database has {key:?}: {value:?}"),
                    None => format!("the entry fails: the general database has no {key:?}"),
                });
                value.map_or(Expanded::Failed, |value| Expanded::Text(value.to_owned()))
            }
            Op::Table { name, argument } => {
                let Expanded::Text(argument) = self.expand(argument, wildcards, flags)? else {
                    return Ok(Expanded::Failed);
                };
                self.call(name, &argument)?
            }
            Op::Chance(percent) => {
                let lucky = roll() < *percent;
                self.note("chance", || {
                    let outcome = if lucky { "it came off" } else { "the entry fails this time" };
                    format!("{percent} times in 100: {outcome}")
                });
                nothing(lucky)
            }
            Op::Flag { letter, is_set } => {
                let holds = flags.has(*letter) == *is_set;
                self.note("flag", || {
                    let is = if flags.has(*letter) { "set" } else { "clear" };
                    let outcome = if holds { "" } else { ": the entry fails" };
                    format!("flag {letter} is {is}{outcome}")
                });
                nothing(holds)
            }
            Op::Fact(test) => {
                let facts = self.tables.facts;
                let holds = test.holds(facts);
                self.note("fact", || {
                    let outcome = if holds { "" } else { ": the entry fails" };
                    format!("{}{outcome}", test.told(facts))
                });
                nothing(holds)
            }
            Op::Number(sequence) => {
                let number = self.tables.sequences.and_then(|from| from.next(&sequence.file));
                let written = number.map(|number| sequence.written(number));
                self.note("number", || match &written {
                    Some(written) => format!("the next of {}: {written}", sequence.file),
                    None => format!("the entry fails: {} gives no number", sequence.file),
                });
                written.map_or(Expanded::Failed, Expanded::Text)
            }
            Op::Url(url) => self.look_up(url, wildcards),
            Op::Text(_) | Op::Case(_) | Op::Quote | Op::Wildcard(_) => nothing(true),
        })
    }

    /// The value that the directory has, if it has one.
    fn look_up(&mut self, url: &LookupUrl<usize>, wildcards: &Wildcards<'_>) -> Expanded {
        let Ok(query) = url.filled(|n| Ok::<_, Infallible>(wildcards.get(n)));
        let urls = self.tables.urls.filter(|_| query.is_some());
        let value = urls.zip(query).and_then(|(urls, query)| {
            let value = urls.find(&query, url.on_failure.as_deref());
            self.note("url", || match &value {
                Some(value) => format!("{query}: {value:?}"),
                None => format!("the entry fails: {query} finds nothing"),
            });
            value
        });
        value.map_or(Expanded::Failed, Expanded::Text)
    }

    /// The text of another table, if it says `$Y`.
    fn call(&mut self, name: &str, argument: &str) -> Result<Expanded, Overrun> {
        let Some(table) = self.tables.table(name) else {
            self.note("call", || format!("the entry fails: there is no table {name:?}"));
            return Ok(Expanded::Failed);
        };
        if self.depth == MAX_DEPTH {
            return Err(Overrun);
        }
        self.note("call", || {
            format!("table {name}: {argument:?} with {}", count(table.entries.len()))
        });
        self.depth += 1;
        let mapped = self.run(table, argument, MappingFlags::default())?;
        self.depth -= 1;
        self.note("answer", || match &mapped {
            Some(mapped) if mapped.flags.has('Y') => {
                format!("table {name} says $Y and {:?}", mapped.text)
            }
            Some(_) => format!("the entry fails: table {name} does not say $Y"),
            None => format!("the entry fails: no entry of table {name} applies"),
        });
        let accepted = mapped.filter(|mapped| mapped.flags.has('Y'));
        Ok(accepted.map_or(Expanded::Failed, |mapped| Expanded::Text(mapped.text)))
    }

    fn note(&mut self, step: &'static str, detail: impl FnOnce() -> String) {
        if let Some(told) = self.told.as_mut().filter(|told| told.len() < MAX_TOLD) {
            told.push(MappingStep { depth: self.depth, step, detail: detail() });
        }
    }
}

/// One more pass over a table.
fn another(passes: u32) -> Result<u32, Overrun> {
    (passes < MAX_PASSES).then_some(passes + 1).ok_or(Overrun)
}

/// A number from 0 to 99. The keys of each hasher are the next ones of a random sequence.
fn roll() -> u32 {
    (RandomState::new().hash_one(()) % 100) as u32
}

fn count(entries: usize) -> String {
    format!("{entries} {}", if entries == 1 { "entry" } else { "entries" })
}

fn result(n: usize, text: &str, flags: MappingFlags, next: Next) -> String {
    let flags =
        if flags == MappingFlags::default() { "no flag".to_owned() } else { flags.to_string() };
    let next = match next {
        Next::End => "that is the result",
        Next::Continue => "goes on with the next entry",
        Next::Loop => "goes on with the next entry, and once more from the first",
        Next::Restart => "begins again with the first entry",
    };
    format!("entry {}: {text:?}, {flags}; {next}", n + 1)
}

/// Restarts and repeated passes of one probe, as in the original.
const MAX_PASSES: u32 = 50;
/// Entries that may match in one probe, tables called by it included.
const MAX_MATCHES: u32 = 5_000;
/// Steps of matching in one probe, tables called by it included: some 50 ms. A pattern that names
/// its text outright takes a few.
const MAX_STEPS: u32 = 5_000_000;
/// Tables that may call one another.
const MAX_DEPTH: usize = 10;
/// Steps that are told of one probe.
const MAX_TOLD: usize = 1_000;
