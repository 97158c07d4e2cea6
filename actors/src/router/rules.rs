//! Which rules can match a host, in the order in which they are tried.
//!
//! Patterns are found by hash: the cost of a look-up grows with the labels of the host and not
//! with the number of rules.

use std::{collections::HashMap, ops::Range};

use relais_config::{
    RewriteRule,
    rewrite::{Location, PatternKind},
};

/// All rules, found by pattern.
#[derive(Debug, Default)]
pub(super) struct Rules {
    in_order: Vec<RewriteRule>,
    by_key: HashMap<Box<str>, Vec<u32>>,
    /// Some pattern has stars; without one, hosts are not probed for them.
    starred: bool,
}

/// How a pattern matched a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Split {
    /// `$D`.
    pub(super) matched: Range<usize>,
    /// `$H`.
    pub(super) unmatched: Range<usize>,
    /// `$L`.
    pub(super) literal: Range<usize>,
    /// The pattern is `.`, and `$D` with it.
    pub(super) rest: bool,
}

/// A host that rules are looked for.
struct Sought<'a> {
    /// Before the host in the pattern.
    tag: &'a str,
    host: &'a str,
    location: Location,
    /// The host is in the channel table.
    known: bool,
}

impl Rules {
    pub(super) fn new(rules: Vec<RewriteRule>) -> Self {
        let mut by_key: HashMap<Box<str>, Vec<u32>> = HashMap::with_capacity(rules.len());
        for (n, rule) in rules.iter().enumerate() {
            by_key.entry(rule.key.as_str().into()).or_default().push(n as u32);
        }
        let star =
            |rule: &RewriteRule| matches!(rule.kind, PatternKind::Starred | PatternKind::AllStars);
        Self { starred: rules.iter().any(star), by_key, in_order: rules }
    }

    /// The rules to try for a host, best first. `known`: the host is in the channel table, so
    /// that patterns of last resort do not apply to it.
    pub(super) fn candidates(
        &self,
        tag: &str,
        host: &str,
        location: Location,
        known: bool,
    ) -> Vec<(&RewriteRule, Split)> {
        let mut found = Vec::new();
        probes(&Sought { tag, host, location, known }, self.starred, |key, split| {
            for n in self.by_key.get(key).into_iter().flatten() {
                found.push((&self.in_order[*n as usize], split.clone()));
            }
        });
        found
    }
}

/// Calls `probe` with every pattern that could match, most specific first.
fn probes(sought: &Sought<'_>, starred: bool, mut probe: impl FnMut(&str, &Split)) {
    let Sought { tag, location, known, .. } = *sought;
    let host = sought.host.to_ascii_lowercase();
    let whole = 0..host.len();
    let unmatched = Split { matched: 0..0, unmatched: whole.clone(), literal: 0..0, rest: false };
    let mut key = String::with_capacity(tag.len() + host.len() + 1);
    let mut call = |parts: &[&str], split: &Split| {
        key.clear();
        key.push_str(tag);
        key.extend(parts.iter().copied());
        probe(&key, split);
    };
    call(&["$*"], &unmatched);
    let exact = Split { matched: whole.clone(), unmatched: 0..0, ..unmatched.clone() };
    call(&[&host], &exact);
    if host.starts_with('[') {
        literals(&host, &unmatched, &mut call);
    } else {
        names(&host, starred, &unmatched, &mut call);
    }
    if known {
        return;
    }
    call(&["."], &Split { rest: true, ..unmatched.clone() });
    match location {
        Location::Percent => call(&["$%"], &unmatched),
        Location::Bang => call(&["$!"], &unmatched),
        Location::Route | Location::At => {}
    }
}

/// `*.b.c`, `.b.c`, `*.*.c`, `.c`, `*.*.*`.
fn names(host: &str, starred: bool, split: &Split, call: &mut impl FnMut(&[&str], &Split)) {
    let end = host.len();
    let mut stars = String::new();
    let dots = host.match_indices('.').map(|(at, _)| at).chain([end]);
    for dot in dots {
        let (unmatched, matched) = (0..dot, dot..end);
        let split = Split { matched, unmatched, ..split.clone() };
        if starred {
            stars.push_str(if stars.is_empty() { "*" } else { ".*" });
            call(&[&stars, &host[dot..]], &split);
        }
        if dot < end {
            call(&[&host[dot..]], &split);
        }
    }
}

/// `[1.2.3.]`, `[1.2.]`, `[1.]`, `[]`.
fn literals(host: &str, split: &Split, call: &mut impl FnMut(&[&str], &Split)) {
    let inner = 1..host.len().saturating_sub(usize::from(host.ends_with(']')));
    for (dot, _) in host.rmatch_indices('.') {
        let (matched, literal) = (1..dot + 1, dot + 1..inner.end);
        call(&[&host[..=dot], "]"], &Split { matched, unmatched: 0..0, literal, rest: false });
    }
    call(&["[]"], &Split { unmatched: 0..0, literal: inner, ..split.clone() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tag: &str, host: &str, location: Location, known: bool) -> String {
        let mut keys = Vec::new();
        let sought = Sought { tag, host, location, known };
        probes(&sought, true, |key, _| keys.push(key.to_owned()));
        keys.join(" ")
    }

    #[test]
    fn probes_come_in_the_order_of_the_original() {
        let rows = [
            (
                "sc.CS.siroe.edu",
                "$* sc.cs.siroe.edu *.cs.siroe.edu .cs.siroe.edu *.*.siroe.edu .siroe.edu *.*.*.edu \
                 .edu *.*.*.* .",
            ),
            ("localhost", "$* localhost * ."),
            ("[1.2.3.4]", "$* [1.2.3.4] [1.2.3.] [1.2.] [1.] [] ."),
            ("[ipv6:::1]", "$* [ipv6:::1] [] ."),
        ];
        for (host, want) in rows {
            assert_eq!(sequence("", host, Location::At, false), want, "{host}");
            let without_rest = want.strip_suffix(" .").unwrap();
            assert_eq!(sequence("", host, Location::At, true), without_rest, "{host}");
        }
        assert_eq!(sequence("t|", "a", Location::Percent, false), "t|$* t|a t|* t|. t|$%");
        assert_eq!(sequence("", "a", Location::Bang, false), "$* a * . $!");
    }

    #[test]
    fn what_matched_is_divided() {
        // pattern, host, $D, $H, $L
        let rows = [
            ("$*", "a.b", "", "a.b", ""),
            ("A.b", "a.B", "a.B", "", ""),
            ("*.b.c", "a.b.c", ".b.c", "a", ""),
            ("*.*", "a.b", "", "a.b", ""),
            (".c", "a.b.C", ".C", "a.b", ""),
            (".", "a.b", "", "a.b", ""),
            ("[1.2.3.]", "[1.2.3.9]", "1.2.3.", "", "9"),
            ("[1.]", "[1.2.3.9]", "1.", "", "2.3.9"),
            ("[]", "[1.2.3.9]", "", "", "1.2.3.9"),
        ];
        for (pattern, host, matched, unmatched, literal) in rows {
            let rules = Rules::new(vec![RewriteRule::parse(pattern, "$U@x").unwrap()]);
            let found = rules.candidates("", host, Location::At, false);
            let [(_, split)] = found.as_slice() else { panic!("{pattern}: {found:?}") };
            let part = |range: &Range<usize>| host[range.clone()].to_owned();
            let parts = (part(&split.matched), part(&split.unmatched), part(&split.literal));
            let want = (matched.to_owned(), unmatched.to_owned(), literal.to_owned());
            assert_eq!(parts, want, "{pattern}");
        }
    }

    #[test]
    fn duplicates_keep_their_order() {
        let rule = |template| RewriteRule::parse(".lmtp", template).unwrap();
        let rules = Rules::new(vec![rule("$E$U@a"), rule("$B$U@b"), rule("$U@c")]);
        let found = rules.candidates("", "x.LMTP", Location::Route, false);
        let templates: Vec<_> = found.iter().map(|(rule, _)| rule.template.as_str()).collect();
        assert_eq!(templates, ["$E$U@a", "$B$U@b", "$U@c"]);
    }
}
