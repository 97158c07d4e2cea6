//! Tables as operators write them, and tables that no operator would.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{pattern::Pattern, *};

fn table(entries: &[(&str, &str)]) -> MappingTable {
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    MappingTable::parse(entries.iter().map(own).collect()).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Its numbers are all 77, and one file has none.
struct SevenTimes;

impl Sequences for SevenTimes {
    fn next(&self, file: &str) -> Option<u64> {
        (file != "none").then_some(77)
    }
}

/// Flags in alphabetical order, a colon, the text; or `-`.
fn probe(entries: &[(&str, &str)], input: &str) -> String {
    let mappings = BTreeMap::from([
        ("INNER".to_owned(), table(&[("10.*", "$Yin-$0"), ("11.*", "$N")])),
        ("SELF".to_owned(), table(&[("*", "$Y$|SELF;$0|")])),
    ]);
    let general = BTreeMap::from([("key1".to_owned(), "value".to_owned())]);
    let tables = Tables { sequences: Some(&SevenTimes), ..Tables::new(&mappings, &general) };
    table(entries).lookup_with(input, MappingFlags::of("A"), &tables).map_or(
        "-".to_owned(),
        |mapped| {
            let flags = mapped.flags.to_string().replace('$', "");
            format!("{flags}:{}", mapped.text)
        },
    )
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
        ("$<192.18.74.0/8>", "192.18.74.206", ":"),
        ("$<192.18.74.77/8>", "192.18.75.1", "-"),
        ("$<0.0.0.0/32>", "1.2.3.4", ":"),
        ("$<1.2.3.4/0>|*", "1.2.3.4|x", ":x"),
        ("$@*|*", "a|b", ":b"),
        ("$@*|$^*", "a|b", ":b"),
        ("", "", ":"),
        ("*", "", ":"),
        ("*|jörg@grüße.test", "x|JÖRG@xn--gre-6ka8l.test", ":x"),
        ("*|jo\u{308}rg", "x|JÖRG", ":x"),
        ("JÖRG+*", "jo\u{308}rg+Ä", ":Ä"),
        ("ο$*δος|*", "Ο*ΔΟΣ|Σ", ":Σ"),
        ("ΟΔΟς*", "οδοσΑ", ":Α"),
        ("k*ß", "\u{212a}Aẞ", ":A"),
        ("ǰ*", "J\u{30c}İx", ":İx"),
        ("*ⱥ*", "ȺxȺy", ":Ⱥx,y"),
        ("*-$0*", "Ü-ü", ":Ü"),
        ("*각", "İ\u{1100}\u{1161}\u{11a8}", ":İ"),
        ("jörg", "jorg", "-"),
        ("$A*%%", "Äb", "-"),
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
    let rows: [(&str, Rows, &str, &str); 39] = [
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
        ("notes", &[("*", "$N$<log$ it|no")], "x", "N<:log it|no"),
        ("loop, then continue", &[("c", "1"), ("a", "$Lb"), ("b", "$Cc")], "a", ":c"),
        ("loop, then end", &[("b", "1"), ("a", "$Lb"), ("b", "2")], "a", ":2"),
        ("loop, then restart", &[("c", "$Cd"), ("a", "$Lb"), ("b", "$Rc")], "a", ":d"),
        ("loop once", &[("*b", "$0c"), ("a*", "$La$0b")], "a", ":ac"),
        ("never", &[("*", "$?0?1"), ("*", "2")], "x", ":2"),
        ("always", &[("*", "$?100?1"), ("*", "2")], "x", ":1"),
        ("the caller's flag", &[("*", "$:A1"), ("*", "2")], "x", ":1"),
        ("the caller's flag, clear", &[("*", "$;a1"), ("*", "2")], "x", ":2"),
        ("no such flag", &[("*", "$:T1"), ("*", "$;T2")], "x", ":2"),
        ("a flag from before", &[("*", "$C$T$0"), ("*", "$:T1"), ("*", "2")], "x", "T:1"),
        ("its own flag does not count", &[("*", "$T$:T1"), ("*", "2")], "x", ":2"),
        (
            "for a filter",
            &[("*", "(a=*)$=$0$\\$0(")],
            "(*)\\\0A",
            ":(a=*)\\28\\2a\\29\\5c\\00A\\28\\2a\\29\\5c\\00a(",
        ),
        ("a key for a filter", &[("*", "$=${key1}")], "x", ":value"),
        ("a number", &[("*", "$#seq#")], "x", ":77"),
        ("a number, written", &[("*", "$#a/seq|16|4|60#!")], "x", ":0011!"),
        ("no number", &[("*", "$#none#"), ("*", "2")], "x", ":2"),
        ("a key in a call", &[("*", "$|INNER;10.${key1}|")], "x", ":in-value"),
        ("a call in a key", &[("*", "${$0}x")], "key1", ":valuex"),
        ("a bar in a call", &[("*", "$|INNER;10.$||")], "x", ":in-|"),
        ("case holds in a call's text", &[("*", "$^$|INNER;10.a|")], "x", ":IN-A"),
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
    for pattern in
        ["*a*a*a*a*a*a*a*a*b", "$_*a$_*a$_*a$_*a$_*a$_*a$_*b", "$A*$A*$A*$A*$A*b", "%*%*%*%*%*%*b"]
    {
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
        // A digit at the end is no text that an index could choose by.
        let entries: Vec<_> = (0..2_000).map(|_| (format!("{pattern}$D%"), "$N")).collect();
        let entries: Vec<_> = entries.iter().map(|(a, b)| (a.as_str(), *b)).collect();
        let (parsed, tables) = (table(&entries), (BTreeMap::new(), BTreeMap::new()));
        let tables = Tables::new(&tables.0, &tables.1);
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
        ("$<1.2.3.4/33>", "", 0),
        ("$0*", "", 0),
        ("*", "$1", 0),
        ("*", "x$", 1),
        ("*", "$?101?", 0),
        ("*", "a$?50", 1),
        ("*", "$:E", 0),
        ("*", "$;", 0),
        ("*", "$#seq|1#", 0),
        ("*", "$#seq", 0),
        ("*", "$|t;$Y|", 4),
        ("*", "$|t;$?50?|", 4),
        ("*", "$,x", 0),
        ("*", "$]ldap:///x[", 0),
        ("*", "$[image,r,x]", 0),
        ("*", "$|x|", 0),
        ("*", "${x", 0),
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
            let tables = Tables::new(&mappings, &general);
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
            let matched = parsed.match_text(input::Input::new(&input, None), &mut 1_000_000).ok().flatten();
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
