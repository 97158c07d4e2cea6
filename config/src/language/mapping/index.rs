//! Which entries of a long table may match an input.
//!
//! Every pattern demands something: a text that stands in it, or an address of a network. Each entry
//! is filed under the demand that it shares with the fewest others; one automaton finds all texts in
//! one pass over the input, networks are found by the addresses that stand in it. Entries that
//! demand nothing are always tried. What comes out is tried as if there were no index.

use std::{
    cmp::Reverse,
    collections::HashMap,
    hash::Hash,
    net::{Ipv4Addr, Ipv6Addr},
};

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    element::{Element, in_v4, in_v6, parsed},
    input::Input,
    pattern::Pattern,
    result::Overrun,
};

/// Entries by what they demand of an input.
#[derive(Debug)]
pub(super) struct Index {
    texts: AhoCorasick,
    /// By the number of the text.
    by_text: Vec<Vec<usize>>,
    v4: Networks<u32>,
    v6: Networks<u128>,
    /// Entries that demand nothing.
    others: Vec<usize>,
}

/// Entries that may match, in order.
#[derive(Debug)]
pub(super) enum Candidates {
    All(std::ops::Range<usize>),
    Some(std::vec::IntoIter<usize>),
}

/// A demand of a pattern.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Demand<'a> {
    /// This text, in lower case.
    Text(&'a [u8]),
    /// An address of a network, with its mask.
    V4(u32, u32),
    V6(u128, u128),
}

/// Entries by network.
#[derive(Debug)]
struct Networks<A> {
    masks: Vec<A>,
    /// By mask and network.
    entries: HashMap<(A, A), Vec<usize>>,
}

impl Index {
    /// An index of a table of these patterns; `None` when trying them one by one is as fast.
    pub(super) fn of<'a>(patterns: impl ExactSizeIterator<Item = &'a Pattern>) -> Option<Self> {
        if patterns.len() < WORTH_WHILE {
            return None;
        }
        let demands: Vec<Vec<Demand<'_>>> = patterns.map(demands).collect();
        let mut uses: HashMap<&Demand<'_>, usize> = HashMap::new();
        for demand in demands.iter().flatten() {
            *uses.entry(demand).or_default() += 1;
        }
        let mut others = Vec::new();
        let (mut v4, mut v6) = (Networks::default(), Networks::default());
        let mut by_text = Vec::new();
        let mut numbers: HashMap<&[u8], usize> = HashMap::new();
        let mut texts: Vec<&[u8]> = Vec::new();
        for (n, demands) in demands.iter().enumerate() {
            let rarest =
                demands.iter().min_by_key(|demand| (uses[demand], Reverse(demand.length())));
            match rarest {
                Some(Demand::Text(text)) => {
                    let number = *numbers.entry(text).or_insert_with(|| {
                        texts.push(text);
                        by_text.push(Vec::new());
                        texts.len() - 1
                    });
                    by_text[number].push(n);
                }
                Some(Demand::V4(net, mask)) => v4.file(*net, *mask, n),
                Some(Demand::V6(net, mask)) => v6.file(*net, *mask, n),
                None => others.push(n),
            }
        }
        let mut automaton = AhoCorasick::builder();
        automaton.match_kind(MatchKind::Standard).ascii_case_insensitive(true);
        // Texts of more octets than an automaton can number are no texts of a table.
        let texts = automaton.build(texts).ok()?;
        Some(Self { texts, by_text, v4, v6, others })
    }

    /// The entries from `from` on that may match; takes what it costs from `steps`.
    pub(super) fn candidates(
        &self,
        input: Input<'_>,
        from: usize,
        steps: &mut u32,
    ) -> Result<Candidates, Overrun> {
        let cost = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut pay =
            |count| steps.checked_sub(cost(count)).map(|left| *steps = left).ok_or(Overrun);
        let octets = input.octets();
        pay(1 + octets.len() / OCTETS_OF_A_STEP)?;
        let mut found = self.others.clone();
        let mut seen = vec![false; self.by_text.len()];
        for text in self.texts.find_overlapping_iter(octets) {
            pay(1)?;
            if !std::mem::replace(&mut seen[text.pattern().as_usize()], true) {
                found.extend(&self.by_text[text.pattern().as_usize()]);
            }
        }
        if !self.v4.masks.is_empty() {
            each_address(octets, in_v4, LONGEST_V4, |text| {
                if let Some(address) = parsed::<Ipv4Addr>(text) {
                    self.v4.find(address.into(), &mut found);
                }
            });
        }
        if !self.v6.masks.is_empty() {
            each_address(octets, in_v6, LONGEST_V6, |text| {
                if let Some(address) = parsed::<Ipv6Addr>(text) {
                    self.v6.find(address.into(), &mut found);
                }
            });
        }
        pay(found.len() / OCTETS_OF_A_STEP)?;
        found.retain(|n| *n >= from);
        found.sort_unstable();
        found.dedup();
        Ok(Candidates::Some(found.into_iter()))
    }
}

impl Candidates {
    pub(super) fn all(range: std::ops::Range<usize>) -> Self {
        Self::All(range)
    }
}

impl Iterator for Candidates {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::All(range) => range.next(),
            Self::Some(list) => list.next(),
        }
    }
}

impl Demand<'_> {
    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::V4(..) | Self::V6(..) => 0,
        }
    }
}

impl<A: Copy + Eq + Hash + std::ops::BitAnd<Output = A>> Networks<A> {
    fn file(&mut self, net: A, mask: A, entry: usize) {
        if !self.masks.contains(&mask) {
            self.masks.push(mask);
        }
        self.entries.entry((mask, net)).or_default().push(entry);
    }

    fn find(&self, address: A, found: &mut Vec<usize>) {
        for mask in &self.masks {
            if let Some(entries) = self.entries.get(&(*mask, address & *mask)) {
                found.extend(entries);
            }
        }
    }
}

impl<A> Default for Networks<A> {
    fn default() -> Self {
        Self { masks: Vec::new(), entries: HashMap::new() }
    }
}

/// The demands of a pattern, each once.
fn demands(pattern: &Pattern) -> Vec<Demand<'_>> {
    let mut demands = Vec::new();
    for element in pattern.elements() {
        let demand = match element {
            Element::Literal(text) => Demand::Text(text),
            Element::V4 { net, mask } => Demand::V4(*net, *mask),
            Element::V6 { net, mask } => Demand::V6(*net, *mask),
            Element::One(..) | Element::Many(_) | Element::Again(_) => continue,
        };
        if !demands.contains(&demand) {
            demands.push(demand);
        }
    }
    demands
}

/// Calls `each` with whatever may be an address for a pattern: from any place to the end of what an
/// address may hold.
fn each_address(
    input: &[u8],
    may_hold: fn(u8) -> bool,
    longest: usize,
    mut each: impl FnMut(&[u8]),
) {
    let mut start = 0;
    while start < input.len() {
        let length = input[start..].iter().take_while(|c| may_hold(**c)).count();
        let run = &input[start..start + length];
        let first = run.len().saturating_sub(longest);
        (first..run.len()).for_each(|at| each(&run[at..]));
        start += length + 1;
    }
}

/// Entries from which on an index is faster.
const WORTH_WHILE: usize = 16;
/// Octets that the automaton looks at in the time of a step.
const OCTETS_OF_A_STEP: usize = 16;
/// `255.255.255.255`.
const LONGEST_V4: usize = 15;
/// Six groups of four digits, and the last two as an address of IPv4.
const LONGEST_V6: usize = 45;
