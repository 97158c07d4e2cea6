//! Patterns and long tables against the simplest that could be right: every choice tried in the
//! order of the language, every entry tried in turn.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{element::MAX_WILDCARDS, input::Input, pattern::Pattern, *};

/// A part of a pattern, and how it is written.
#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// `$_$@` class `*` or `%`.
    Wildcard {
        class: Option<char>,
        many: bool,
        lazy: bool,
        unsaved: bool,
    },
    /// `$n*`.
    Again(usize),
    /// `$(1.2.0.0/16)`.
    Network,
}

/// A pattern as the reference sees it.
struct Reference<'a> {
    parts: &'a [Part],
    input: &'a [u8],
    saved: Vec<(usize, usize)>,
}

impl Part {
    fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Wildcard { class, many, lazy, unsaved } => {
                let class = class.map_or_else(String::new, |class| match class {
                    '[' => "$[ab]".to_owned(),
                    '^' => "$[^ab]".to_owned(),
                    class => format!("${class}"),
                });
                let (lazy, unsaved) =
                    (if *lazy { "$_" } else { "" }, if *unsaved { "$@" } else { "" });
                format!("{lazy}{unsaved}{class}{}", if *many { '*' } else { '%' })
            }
            Self::Again(n) => format!("${n}*"),
            Self::Network => "$(1.2.0.0/16)".to_owned(),
        }
    }
}

fn has(class: Option<char>, c: u8) -> bool {
    match class {
        None => true,
        Some('A') => c.is_ascii_alphabetic(),
        Some('D') => c.is_ascii_digit(),
        Some('[') => b"abAB".contains(&c),
        Some('^') => !b"abAB".contains(&c),
        Some(_) => false,
    }
}

impl Reference<'_> {
    fn from(&mut self, n: usize, at: usize) -> bool {
        let rest = &self.input[at..];
        match self.parts.get(n) {
            None => rest.is_empty(),
            Some(Part::Text(text)) => {
                rest.get(..text.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
                    && self.from(n + 1, at + text.len())
            }
            Some(Part::Again(number)) => {
                let (start, end) = self.saved[*number];
                let text = self.input[start..end].to_vec();
                rest.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(&text))
                    && self.from(n + 1, at + text.len())
            }
            Some(Part::Network) => {
                let length = rest.iter().take_while(|c| c.is_ascii_digit() || **c == b'.').count();
                let text = String::from_utf8_lossy(&rest[..length]).into_owned();
                let address = text.parse::<std::net::Ipv4Addr>();
                address.is_ok_and(|address| address.octets()[..2] == [1, 2])
                    && self.from(n + 1, at + length)
            }
            Some(Part::Wildcard { class, many, lazy, unsaved }) => {
                let (class, lazy, unsaved) = (*class, *lazy, *unsaved);
                let run = rest.iter().take_while(|c| has(class, **c)).count();
                let mut lengths: Vec<usize> = if *many { (0..=run).collect() } else { vec![1] };
                lengths.retain(|length| *length <= run);
                if !lazy {
                    lengths.reverse();
                }
                for length in lengths {
                    let before = self.saved.len();
                    if !unsaved {
                        self.saved.push((at, at + length));
                    }
                    if self.from(n + 1, at + length) {
                        return true;
                    }
                    self.saved.truncate(before);
                }
                false
            }
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    let class = prop_oneof![3 => Just(None), 1 => prop::sample::select(vec!['A', 'D', '[', '^']).prop_map(Some)];
    prop_oneof![
        3 => "[ab|1.]{1,2}".prop_map(Part::Text),
        5 => (class, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(class, many, lazy, unsaved)| Part::Wildcard { class, many, lazy, unsaved }),
        1 => (0..4_usize).prop_map(Part::Again),
        1 => Just(Part::Network),
    ]
}

/// Parts, back references only to wildcards before them.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(part(), 0..7).prop_map(|mut parts| {
        let mut saved = 0;
        parts.retain(|part| match part {
            Part::Again(n) => *n < saved,
            Part::Wildcard { unsaved, .. } => {
                saved += usize::from(!unsaved);
                true
            }
            _ => true,
        });
        parts
    })
}

fn input() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[abAB1|é.]{0,10}", 1 => "[ab]?1\\.2\\.[12]{1,2}\\.1[ab|]{0,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    #[test]
    fn a_pattern_matches_as_if_every_choice_were_tried_in_order(parts in parts(), input in input()) {
        let written: String = parts.iter().map(Part::written).collect();
        let pattern = Pattern::parse(&written).unwrap();
        let mut reference = Reference { parts: &parts, input: input.as_bytes(), saved: Vec::new() };
        let matches = reference.from(0, 0);
        let found = pattern.match_text(Input::new(&input, None), &mut 1_000_000).ok().flatten();
        prop_assert_eq!(found.is_some(), matches, "{} {}", written, input);
        if let Some(found) = found {
            for (n, (start, end)) in reference.saved.iter().take(MAX_WILDCARDS).enumerate() {
                let text = String::from_utf8_lossy(&input.as_bytes()[*start..*end]);
                prop_assert_eq!(found.get(n), text, "{} {} wildcard {}", written, input, n);
            }
        }
    }

    #[test]
    fn a_long_table_finds_what_trying_each_entry_finds(
        entries in prop::collection::vec(
            (prop_oneof![
                3 => parts().prop_map(|parts| parts.iter().map(Part::written).collect::<String>()),
                1 => "[ab|1*%é]{0,4}",
                1 => "[ab]?\\$\\(1\\.2\\.[12]\\.0/(16|24|31)\\)",
                1 => "[ab]?\\$<1\\.2\\.[12]\\.0/(0|1|8)>",
                1 => "[ab]?\\$\\{1::[12]/(0|64|127|128)\\}",
            ], "(\\$[CLRYN])?[ab12|]{0,3}"), 16..40),
        input in prop_oneof![
            input(),
            "[ab]?1\\.2\\.[12]\\.[01]".prop_map(String::from),
            "[ab]?1::[123]".prop_map(String::from),
        ],
    ) {
        let own = |(a, b): &(String, String)| (a.clone(), b.clone());
        let table = MappingTable::parse(entries.iter().map(own).collect()).unwrap();
        let plain = MappingTable { index: None, ..table.clone() };
        prop_assert!(table.index.is_some());
        let none = (BTreeMap::new(), BTreeMap::new());
        let tables = Tables::new(&none.0, &none.1);
        prop_assert_eq!(table.lookup(&input, &tables), plain.lookup(&input, &tables));
    }
}
