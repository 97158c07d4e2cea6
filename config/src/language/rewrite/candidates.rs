//! Which rules can match a host, in the order in which they are tried.
//!
//! Patterns are found by hash: the cost of a look-up grows with the labels of the host and not
//! with the number of rules. A probe is made when the rules of the probe before it did not apply.

use std::{collections::HashMap, ops::Range};

use super::{
    RewriteRule,
    syntax::{Location, Part},
};

/// The places of all rules, found by pattern.
#[derive(Debug, Default)]
pub struct RuleIndex {
    /// The first rule of each pattern.
    first: HashMap<Box<str>, u32>,
    /// The next rule of the same pattern, or [`NONE`].
    next: Vec<u32>,
    /// Stars of a pattern at most: hosts are probed for no more.
    most_stars: usize,
}

/// Rules to try for a host, best first.
#[derive(Clone, Debug)]
pub struct RuleCandidates<'a> {
    index: &'a RuleIndex,
    probes: Probes,
    next: u32,
    /// The rules of the probe are tried, and the domain database is not asked yet.
    asks_database: bool,
    split: Split,
}

/// A rule to try for a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Candidate<'d> {
    /// The one in this place.
    Rule(usize),
    /// One of the domain database.
    Entry {
        /// Its key.
        pattern: String,
        /// Its value.
        template: &'d str,
    },
}

/// How a pattern matched a host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Split {
    /// `$D`.
    pub matched: Range<usize>,
    /// `$H`.
    pub unmatched: Range<usize>,
    /// `$L`.
    pub literal: Range<usize>,
    /// The pattern is `.`, and `$D` with it.
    pub rest: bool,
}

/// Patterns that could match a host.
#[derive(Clone, Debug)]
struct Probes {
    /// In lower case.
    host: String,
    location: Location,
    /// Patterns of last resort are not for this host.
    known: bool,
    most_stars: usize,
    stage: Stage,
    /// The pattern probed, behind its tag.
    key: String,
    tag: usize,
}

/// The next pattern to probe.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// `$*`.
    Always,
    /// The host itself.
    Exact,
    /// Stars for the labels up to the first dot from here on; so many are stars already.
    Starred(usize, usize),
    /// The rest of the host from this dot on; so many labels stand before it.
    Dotted(usize, usize),
    /// A literal up to the last dot before this place.
    Octets(usize),
    /// `[]`.
    AnyLiteral,
    /// `.`.
    Rest,
    /// `$%` or `$!`.
    WithinUser,
    End,
}

impl RuleIndex {
    /// Finds each of these rules by its pattern.
    pub fn of(rules: &[RewriteRule]) -> Self {
        Self::of_those(rules, |_| true)
    }

    /// Finds those among the rules that are wanted.
    pub fn of_those(rules: &[RewriteRule], wanted: impl Fn(&RewriteRule) -> bool) -> Self {
        let mut index = Self { next: vec![NONE; rules.len()], ..Self::default() };
        for (n, rule) in rules.iter().enumerate().rev().filter(|(_, rule)| wanted(rule)) {
            let next = index.first.insert(rule.key.as_str().into(), n as u32);
            index.next[n] = next.unwrap_or(NONE);
            let stars = rule.key.bytes().filter(|c| *c == b'*').count();
            index.most_stars = index.most_stars.max(stars);
        }
        index
    }

    /// Whether it finds no rule at all.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The rules to try for a host. `known`: the host is in the channel table, so that patterns of
    /// last resort do not apply to it.
    pub fn candidates(
        &self,
        tag: &str,
        host: &str,
        location: Location,
        known: bool,
    ) -> RuleCandidates<'_> {
        let mut key = String::with_capacity(tag.len() + host.len() + 2);
        key.push_str(tag);
        let probes = Probes {
            host: host.to_ascii_lowercase(),
            location,
            known,
            most_stars: self.most_stars,
            stage: Stage::Always,
            key,
            tag: tag.len(),
        };
        let split = Split::default();
        RuleCandidates { index: self, probes, next: NONE, asks_database: false, split }
    }
}

impl RuleCandidates<'_> {
    /// Every pattern that is yet to be probed, in order; for people.
    pub fn probes(&self) -> Vec<String> {
        let mut probes = self.probes.clone();
        let mut all = Vec::new();
        while all.len() < MOST_TOLD && probes.advance().is_some() {
            all.push(probes.key.clone());
        }
        all
    }

    /// The place of the next rule, and how its pattern matched.
    pub fn next_rule(&mut self) -> Option<(usize, &Split)> {
        match self.next_candidate(|_| None)? {
            (Candidate::Rule(n), split) => Some((n, split)),
            (Candidate::Entry { .. }, _) => None,
        }
    }

    /// The next rule, those of a domain database among them: it is asked behind the rules of each probe
    /// that has no asterisk.
    pub fn next_candidate<'d>(
        &mut self,
        database: impl Fn(&str) -> Option<&'d str>,
    ) -> Option<(Candidate<'d>, &Split)> {
        while self.next == NONE {
            let key = &self.probes.key;
            if std::mem::take(&mut self.asks_database)
                && let Some(template) = database(key)
            {
                let pattern = key.clone();
                return Some((Candidate::Entry { pattern, template }, &self.split));
            }
            self.split = self.probes.advance()?;
            let key = self.probes.key.as_str();
            self.asks_database = !key.contains('*');
            self.next = self.index.first.get(key).copied().unwrap_or(NONE);
        }
        let n = self.next as usize;
        self.next = self.index.next[n];
        Some((Candidate::Rule(n), &self.split))
    }
}

impl Split {
    /// The part of the host.
    pub fn part<'h>(&self, host: &'h str, part: Part) -> &'h str {
        match part {
            Part::Matched if self.rest => ".",
            Part::Matched => &host[self.matched.clone()],
            Part::Unmatched => &host[self.unmatched.clone()],
        }
    }

    /// The `n` left-most labels of the part; a dot before them stays.
    pub fn first_labels<'h>(&self, host: &'h str, part: Part, n: usize) -> &'h str {
        let text = self.part(host, part);
        let start = usize::from(text.starts_with('.'));
        let end =
            text[start..].match_indices('.').nth(n.saturating_sub(1)).map(|(at, _)| start + at);
        if n == 0 { "" } else { &text[..end.unwrap_or(text.len())] }
    }

    /// The `n`th label of the part, counted from 0.
    pub fn label<'h>(
        &self,
        host: &'h str,
        part: Part,
        (n, from_right): (usize, bool),
    ) -> Option<&'h str> {
        let mut labels = self.part(host, part).split('.').filter(|label| !label.is_empty());
        if from_right { labels.nth_back(n) } else { labels.nth(n) }
    }
}

impl Probes {
    /// Makes the next pattern in `key`: how it would match. `None`: there is no other.
    fn advance(&mut self) -> Option<Split> {
        self.key.truncate(self.tag);
        let (end, whole) = (self.host.len(), 0..self.host.len());
        let unmatched = Split { unmatched: whole.clone(), ..Split::default() };
        loop {
            match self.stage {
                Stage::Always => {
                    self.key.push_str("$*");
                    self.stage = Stage::Exact;
                    return Some(unmatched);
                }
                Stage::Exact => {
                    self.key.push_str(&self.host);
                    let is_literal = self.host.starts_with('[');
                    self.stage = if is_literal { Stage::Octets(end) } else { Stage::Starred(0, 0) };
                    return Some(Split { matched: whole, ..Split::default() });
                }
                Stage::Starred(from, stars) => {
                    let dot = self.host[from..].find('.').map_or(end, |at| from + at);
                    self.stage = Stage::Dotted(dot, stars + 1);
                    if stars < self.most_stars {
                        return Some(self.starred(dot, stars));
                    }
                }
                Stage::Dotted(dot, _) if dot == end => self.stage = Stage::Rest,
                Stage::Dotted(dot, labels) => {
                    self.key.push_str(&self.host[dot..]);
                    self.stage = Stage::Starred(dot + 1, labels);
                    return Some(Split { matched: dot..end, unmatched: 0..dot, ..unmatched });
                }
                Stage::Octets(before) => match self.host[..before].rfind('.') {
                    Some(dot) => return Some(self.octets(dot)),
                    None => self.stage = Stage::AnyLiteral,
                },
                Stage::AnyLiteral => {
                    self.key.push_str("[]");
                    self.stage = Stage::Rest;
                    return Some(Split { literal: self.inside(), ..Split::default() });
                }
                Stage::Rest if self.known => self.stage = Stage::End,
                Stage::Rest => {
                    self.key.push('.');
                    self.stage = Stage::WithinUser;
                    return Some(Split { rest: true, ..unmatched });
                }
                Stage::WithinUser => {
                    self.stage = Stage::End;
                    match self.location {
                        Location::Percent => self.key.push_str("$%"),
                        Location::Bang => self.key.push_str("$!"),
                        Location::Route | Location::At => return None,
                    }
                    return Some(unmatched);
                }
                Stage::End => return None,
            }
        }
    }

    /// `*.b.c` for the first of three labels.
    fn starred(&mut self, dot: usize, stars: usize) -> Split {
        for _ in 0..stars {
            self.key.push_str("*.");
        }
        self.key.push('*');
        self.key.push_str(&self.host[dot..]);
        Split { matched: dot..self.host.len(), unmatched: 0..dot, ..Split::default() }
    }

    /// `[1.2.3.]`.
    fn octets(&mut self, dot: usize) -> Split {
        self.stage = Stage::Octets(dot);
        self.key.push_str(&self.host[..=dot]);
        self.key.push(']');
        let literal = dot + 1..self.inside().end;
        Split { matched: 1..dot + 1, literal, ..Split::default() }
    }

    /// The literal without its brackets.
    fn inside(&self) -> Range<usize> {
        1..self.host.len().saturating_sub(usize::from(self.host.ends_with(']'))).max(1)
    }
}

/// The place of no rule.
const NONE: u32 = u32::MAX;
/// Patterns that are told.
const MOST_TOLD: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tag: &str, host: &str, location: Location, known: bool) -> String {
        let index = RuleIndex { most_stars: usize::MAX, ..RuleIndex::default() };
        let mut probes = index.candidates(tag, host, location, known).probes;
        let mut keys = Vec::new();
        while probes.advance().is_some() {
            keys.push(probes.key.clone());
        }
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
            (
                "host.sub.domain.tld",
                "$* host.sub.domain.tld *.sub.domain.tld .sub.domain.tld *.*.domain.tld \
                 .domain.tld *.*.*.tld .tld *.*.*.* .",
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
    fn no_more_stars_are_probed_for_than_patterns_have() {
        let rules = ["*.*.c", "*.b", "a.b"].map(|it| RewriteRule::parse(it, "$U@x").unwrap());
        let index = RuleIndex::of(&rules);
        let mut probes = index.candidates("", "w.x.y.z", Location::At, true).probes;
        let mut starred = Vec::new();
        while probes.advance().is_some() {
            starred.extend(probes.key.contains('*').then(|| probes.key.clone()));
        }
        assert_eq!(starred, ["$*", "*.x.y.z", "*.*.y.z"]);
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
            (".", "a.b", ".", "a.b", ""),
            ("[1.2.3.]", "[1.2.3.9]", "1.2.3.", "", "9"),
            ("[1.]", "[1.2.3.9]", "1.", "", "2.3.9"),
            ("[]", "[1.2.3.9]", "", "", "1.2.3.9"),
        ];
        for (pattern, host, matched, unmatched, literal) in rows {
            let index = RuleIndex::of(&[RewriteRule::parse(pattern, "$U@x").unwrap()]);
            let mut found = index.candidates("", host, Location::At, false);
            let (n, split) = found.next_rule().unwrap_or_else(|| panic!("{pattern}"));
            let part = |part| split.part(host, part);
            let parts = (part(Part::Matched), part(Part::Unmatched), &host[split.literal.clone()]);
            assert_eq!((n, parts), (0, (matched, unmatched, literal)), "{pattern}");
            assert_eq!(found.next_rule(), None, "{pattern}");
        }
    }

    #[test]
    fn a_database_is_asked_behind_the_rules_of_each_probe_without_an_asterisk() {
        let rules = ["$*", "a.b", "*.b"].map(|it| RewriteRule::parse(it, "$U@x").unwrap());
        let index = RuleIndex::of(&rules);
        let mut found = index.candidates("t|", "A.b", Location::At, false);
        let known = ["t|$*", "t|a.b", "t|*.b", "t|.b", "t|."];
        let database = |key: &str| known.contains(&key).then_some("template");
        let mut patterns = Vec::new();
        while let Some((candidate, _)) = found.next_candidate(database) {
            patterns.push(match candidate {
                Candidate::Rule(n) => n.to_string(),
                Candidate::Entry { pattern, .. } => pattern,
            });
        }
        assert_eq!(patterns, ["t|a.b", "t|.b", "t|."]);
        let mut found = index.candidates("", "a.b", Location::At, false);
        let mut places = Vec::new();
        while let Some((candidate, _)) = found.next_candidate(|key| (key == "a.b").then_some("x")) {
            places.push(matches!(candidate, Candidate::Rule(_)));
        }
        assert_eq!(places, [true, true, false, true]);
    }

    #[test]
    fn duplicates_keep_their_order() {
        let patterns = [".lmtp", "x.lmtp", ".LMTP", ".", ".lmtp"];
        let index = RuleIndex::of(&patterns.map(|it| RewriteRule::parse(it, "$U@a").unwrap()));
        let mut found = index.candidates("", "x.LMTP", Location::Route, false);
        let mut places = Vec::new();
        while let Some((n, _)) = found.next_rule() {
            places.push(n);
        }
        assert_eq!(places, [1, 0, 2, 4, 3]);
    }
}
