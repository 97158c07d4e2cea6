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
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn table(entries: &[(&str, &str)]) -> MappingTable {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        MappingTable::parse(entries.iter().map(own).collect()).unwrap_or_else(|e| panic!("{e:?}"))
    }

    /// Flags in alphabetical order, a colon, the text; or `-`.
    fn probe(entries: &[(&str, &str)], input: &str) -> String {
        let mappings = BTreeMap::from([
            ("INNER".to_owned(), table(&[("10.*", "$Yin-$0"), ("11.*", "$N")])),
            ("SELF".to_owned(), table(&[("*", "$Y$|SELF;$0|")])),
        ]);
        let general = BTreeMap::from([("key1".to_owned(), "value".to_owned())]);
        let tables = Tables { mappings: &mappings, general: &general };
        table(entries).lookup(input, &tables).map_or("-".to_owned(), |mapped| {
            let flags = ('A'..='Z').filter(|letter| mapped.flags.has(*letter));
            format!("{}:{}", flags.collect::<String>(), mapped.text)
        })
    }

    #[test]
    fn patterns_of_the_original() {
        // pattern, input, the wildcards by number or "-"
        let rows = [
            ("abc", "ABC", ":"),
            ("abc", "abcd", "-"),
            ("a*c", "aXcYc", ":XcY"),
            ("a$_*c*", "aXcYc", ":X,Yc"),
            ("a*c*", "aXcYc", ":XcY,"),
            ("%%", "xy", ":x,y"),
            ("%%", "x", "-"),
            ("a$*b$%$$$ c", "a*b%$ c", ":"),
            ("*-$0*", "ab-AB", ":ab"),
            ("*-$0*", "ab-ac", "-"),
            ("*|*|$1*", "a|b|b", ":a,b"),
            ("$D*-$A%", "12-x", ":12,x"),
            ("$D*-$A%", "12-3", "-"),
            ("$H*", "0aF", ":0aF"),
            ("$O*$B*", "7701", ":7701,"),
            ("$S*", "a_$1", ":a_$1"),
            ("a$T*b", "a \tb", ": \t"),
            ("$[a-cx]*$[^a-c]%", "abxd", ":abx,d"),
            ("$[a-c]%", "d", "-"),
            ("$(192.18.74.0/24)", "192.18.74.206", ":"),
            ("$(192.18.74.0/24)", "192.18.75.1", "-"),
            ("$(192.18.74.0/24)", "192.18.74.2066", "-"),
            ("$(0.0.0.0/0)", "1.2.3.4", ":"),
            ("TCP|$(10.0.0.0/8)|*", "TCP|10.9.8.7|25", ":25"),
            ("${2001:db8::/32}", "2001:db8:1::5", ":"),
            ("${2001:db8::/32}", "2001:db9::5", "-"),
            ("$@*|*", "a|b", ":b"),
            ("$@*|$^*", "a|b", ":b"),
            ("", "", ":"),
            ("*", "", ":"),
        ];
        for (pattern, input, want) in rows {
            let count = Pattern::parse(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            let numbers: Vec<_> = (0..count.wildcards()).map(|n| format!("${n}")).collect();
            assert_eq!(probe(&[(pattern, &numbers.join(","))], input), want, "{pattern}");
        }
    }

    #[test]
    fn templates_and_the_order_of_entries() {
        type Rows = &'static [(&'static str, &'static str)];
        let rows: [(&str, Rows, &str, &str); 18] = [
            ("first match", &[("a*", "1"), ("*", "2")], "ab", ":1"),
            ("fall through", &[("a*", "1"), ("*", "2")], "b", ":2"),
            ("no match", &[("a*", "1")], "b", "-"),
            ("flags", &[("*", "$N500$ Go$ away")], "x", "N:500 Go away"),
            ("small flags", &[("*", "$y$t")], "x", "TY:"),
            ("continue", &[("a*", "$Cb$0"), ("b*", "$Yc$0")], "ax", "Y:cx"),
            ("continue to nothing", &[("a*", "$C$Yb$0"), ("z", "")], "ax", "Y:bx"),
            ("end wins when last", &[("*", "$C$Y$E"), ("*", "$N")], "x", "Y:"),
            ("restart", &[("a*", "$Rb$0"), ("b*", "done-$0")], "aax", ":done-ax"),
            ("loop", &[("b*", "done-$0"), ("a*", "$Lb$0")], "ax", ":done-x"),
            ("call", &[("*", "$C$|INNER;$0|$Y$E"), ("*", "$YEXTERNAL")], "10.1", "Y:in-1"),
            ("call says no", &[("*", "$C$|INNER;$0|$Y$E"), ("*", "$YOUT")], "11.1", "Y:OUT"),
            ("call of nothing", &[("*", "$|NONE;x|"), ("*", "$F")], "x", "F:"),
            ("general", &[("*", "<${$0}>"), ("*", "none")], "KEY1", ":<value>"),
            ("general misses", &[("*", "<${$0}>"), ("*", "none")], "key2", ":none"),
            ("case", &[("*", r"$\$0$^$0$_$0")], "aB", ":abABaB"),
            ("quotes", &[("*", "$$$*$%$ x")], "", ":$*% x"),
            ("literal blank", &[("a b", "c d")], "a b", ":c d"),
        ];
        for (name, entries, input, want) in rows {
            assert_eq!(probe(entries, input), want, "{name}");
        }
    }

    #[test]
    fn endless_tables_end_shut() {
        let rows: [&[(&str, &str)]; 4] = [
            &[("*", "$R$0")],
            &[("*", "$R$Y$0$0x")],
            &[("*", "$Y$|SELF;$0|")],
            &[("*", "$L$0"), ("*", "$R$Y")],
        ];
        for entries in rows {
            assert_eq!(probe(entries, "a"), "FN:", "{entries:?}");
        }
    }

    #[test]
    fn no_input_makes_a_match_slow() {
        let long = format!("{}!", "a".repeat(4_000));
        let started = Instant::now();
        for pattern in [
            "*a*a*a*a*a*a*a*a*b",
            "$_*a$_*a$_*a$_*a$_*a$_*a$_*b",
            "$A*$A*$A*$A*$A*b",
            "%*%*%*%*%*%*b",
        ] {
            assert_eq!(probe(&[(pattern, "x")], &long), "-", "{pattern}");
        }
        assert_eq!(probe(&[("*$_**$0*$1*b", "x")], &long), "FN:");
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }

    #[test]
    fn a_table_of_many_wildcards_costs_a_session_little() {
        // A sender chooses what is matched; the rules are the operator's.
        let input = format!("tcp_local|{}|tcp_local|x@example.org", "a".repeat(500));
        for pattern in ["*a".repeat(30), "$_*a".repeat(30), "$[^!]*a".repeat(30)] {
            let entries: Vec<_> = (0..2_000).map(|n| (format!("{pattern}{n}!"), "$N")).collect();
            let entries: Vec<_> = entries.iter().map(|(a, b)| (a.as_str(), *b)).collect();
            let (parsed, tables) = (table(&entries), (BTreeMap::new(), BTreeMap::new()));
            let tables = Tables { mappings: &tables.0, general: &tables.1 };
            let started = Instant::now();
            let mapped = parsed.lookup(&input, &tables);
            let took = started.elapsed();
            assert!(took < Duration::from_secs(2), "{pattern}: {took:?}");
            // A class goes out of its stock of steps, and the table stays shut.
            let shut = mapped.is_some_and(|mapped| mapped.flags.has('N'));
            assert_eq!(shut, pattern.starts_with("$["), "{pattern}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |n: usize| format!("$|T;{}$0{}|", "${".repeat(n), "}".repeat(n));
        let parse = |n| MappingTable::parse(vec![("*".to_owned(), nested(n))]);
        assert!(parse(9).is_ok());
        for n in [10, 16_000, 300_000] {
            let (_, error) = parse(n).map(|_| ()).expect_err("too deep");
            assert_eq!((error.offset, error.message.as_str()), (22, "this is nested too deeply"));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        let rows = [
            ("$", "", 0),
            ("a$Q*", "", 1),
            ("$[a", "", 0),
            ("$(1.2.3.4/33)", "", 0),
            ("$(1.2.3/8)", "", 0),
            ("${::1/129}", "", 0),
            ("$<1.2.3.4/8>", "", 0),
            ("$0*", "", 0),
            ("*", "$1", 0),
            ("*", "x$", 1),
            ("*", "$=", 0),
            ("*", "$?50?", 0),
            ("*", "$:A", 0),
            ("*", "$]ldap:///x[", 0),
            ("*", "$#seq|10#", 0),
            ("*", "$[image,r,x]", 0),
            ("*", "$|x|", 0),
            ("*", "${x", 0),
            ("*", "ab$H", 2),
            ("*", "$<text", 0),
        ];
        for (pattern, template, offset) in rows {
            let entries =
                vec![("*".to_owned(), "$Y".to_owned()), (pattern.to_owned(), template.to_owned())];
            let (entry, error) = MappingTable::parse(entries).expect_err(pattern);
            assert_eq!((entry, error.offset), (1, offset), "{pattern} {template}: {error}");
            assert!(!error.accepted.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_entry_and_no_input_panics_or_hangs(
            entries in prop::collection::vec(
                ("[a*%$_0-3AD\\[\\]\\^(){}./|é]{0,16}", "[a$YNCLRE0-3\\\\_|;{} INER]{0,16}"), 1..5),
            input in "[a0-9.|:é]{0,60}",
        ) {
            if let Ok(table) = MappingTable::parse(entries) {
                let mappings = BTreeMap::from([("INNER".to_owned(), table.clone())]);
                let general = BTreeMap::new();
                let tables = Tables { mappings: &mappings, general: &general };
                let started = Instant::now();
                let _ = table.lookup(&input, &tables);
                prop_assert!(started.elapsed() < Duration::from_secs(1));
            }
        }

        #[test]
        fn one_pass_finds_what_trying_in_order_finds(
            pattern in prop::collection::vec("[ab%*]|[*]|\\$@[*]", 1..10),
            minimal in any::<bool>(),
            input in "[ab]{0,14}",
        ) {
            let pattern = pattern.concat();
            let pattern = if minimal { pattern.replace('*', "$_*") } else { pattern };
            let parsed = Pattern::parse(&pattern).unwrap();
            let [fast, slow] = [parsed.clone(), parsed.tried_in_order()].map(|parsed| {
                let matched = parsed.match_text(&input, &mut 1_000_000).ok().flatten();
                let get = |found: pattern::Wildcards<'_>| {
                    (0..parsed.wildcards()).map(|n| found.get(n).into_owned()).collect::<Vec<_>>()
                };
                matched.map(get)
            });
            prop_assert_eq!(fast, slow, "{}", pattern);
        }

        #[test]
        fn literal_text_matches_itself_only(a in "[a-z.|]{0,8}", b in "[a-z.|]{0,8}") {
            prop_assert_eq!(probe(&[(&a, "")], &b) == ":", a == b);
        }
    }
}
