//! `:matches`: `*` and `?` of RFC 5228 2.7.1.
//!
//! `?` is one octet, as that section has it. Every star takes as little as it can, from the left to the
//! right (RFC 5229 3.2). The runs between two stars are searched once each and never again, so that no
//! pattern is exponential.

use std::ops::Range;

use memchr::memmem;

use crate::limits::{Bound, Fuel};

/// A pattern.
#[derive(Debug)]
pub(crate) struct Glob {
    /// Text between the stars: one run more than there are stars.
    runs: Box<[Box<[Atom]>]>,
}

#[derive(Debug)]
enum Atom {
    Fixed(Box<str>),
    /// `?`: one octet.
    One,
}

/// The places of what the wildcards stand for, from the left to the right.
pub(super) type Places = Vec<Range<usize>>;

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        let mut runs = Vec::new();
        let (mut run, mut fixed) = (Vec::new(), String::new());
        let flush = |run: &mut Vec<Atom>, fixed: &mut String| {
            if !fixed.is_empty() {
                run.push(Atom::Fixed(std::mem::take(fixed).into_boxed_str()));
            }
        };
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            match c {
                '*' => {
                    flush(&mut run, &mut fixed);
                    runs.push(std::mem::take(&mut run).into_boxed_slice());
                }
                '?' => {
                    flush(&mut run, &mut fixed);
                    run.push(Atom::One);
                }
                '\\' => fixed.extend(characters.next()),
                other => fixed.push(other),
            }
        }
        flush(&mut run, &mut fixed);
        runs.push(run.into_boxed_slice());
        Self { runs: runs.into_boxed_slice() }
    }

    /// Where the wildcards stand, or nothing when the text is none of the pattern.
    pub(super) fn find(&self, text: &[u8], fuel: &mut Fuel) -> Result<Option<Places>, Bound> {
        let mut search = Search { text, fuel, octets: 0, places: Vec::new() };
        let found = self.walk(&mut search)?;
        Ok(found.then_some(search.places))
    }

    fn walk(&self, search: &mut Search<'_, '_>) -> Result<bool, Bound> {
        let [first, between @ ..] = &*self.runs else { return Ok(false) };
        let Some(mut at) = search.fits(first, 0)? else { return Ok(false) };
        let [between @ .., last] = between else { return Ok(at == search.text.len()) };
        for run in between {
            let star = search.places.len();
            search.places.push(at..at);
            let Some((start, end)) = search.find(run, at)? else { return Ok(false) };
            search.places[star] = at..start;
            at = end;
        }
        let Some(start) = search.start_of_last(last, at) else { return Ok(false) };
        search.places.push(at..start);
        Ok(search.fits(last, start)? == Some(search.text.len()))
    }
}

struct Search<'s, 'f> {
    text: &'s [u8],
    fuel: &'f mut Fuel,
    octets: u64,
    places: Places,
}

impl Search<'_, '_> {
    fn spend(&mut self, octets: usize) -> Result<(), Bound> {
        self.octets += octets as u64;
        if self.octets < 64 {
            return Ok(());
        }
        let steps = self.octets / 64;
        self.octets %= 64;
        self.fuel.spend(steps)
    }

    /// Where a run ends that begins here.
    fn fits(&mut self, run: &[Atom], start: usize) -> Result<Option<usize>, Bound> {
        let before = self.places.len();
        let mut at = start;
        for atom in run {
            let rest = &self.text[at..];
            let taken = match atom {
                Atom::Fixed(fixed) => rest.starts_with(fixed.as_bytes()).then_some(fixed.len()),
                Atom::One => (!rest.is_empty()).then_some(1),
            };
            // A run that does not fit costs at least as much as its first atom.
            self.spend(1 + taken.unwrap_or(0))?;
            let Some(taken) = taken else {
                self.places.truncate(before);
                return Ok(None);
            };
            if matches!(atom, Atom::One) {
                self.places.push(at..at + taken);
            }
            at += taken;
        }
        Ok(Some(at))
    }

    /// The first place of a run from here on.
    fn find(&mut self, run: &[Atom], from: usize) -> Result<Option<(usize, usize)>, Bound> {
        let mut at = from;
        let finder = match run.first() {
            Some(Atom::Fixed(fixed)) => Some(memmem::Finder::new(fixed.as_bytes())),
            _ => None,
        };
        loop {
            if let Some(finder) = &finder {
                let found = finder.find(&self.text[at..]);
                // To begin a search costs about as much as 16 octets.
                self.spend(16 + found.unwrap_or(self.text.len() - at) / 2)?;
                let Some(found) = found else { return Ok(None) };
                at += found;
            }
            if let Some(end) = self.fits(run, at)? {
                return Ok(Some((at, end)));
            }
            if at == self.text.len() {
                return Ok(None);
            }
            at += 1;
        }
    }

    /// Where the last run begins, if it ends with the text: not before `least`.
    fn start_of_last(&self, run: &[Atom], least: usize) -> Option<usize> {
        let mut at = self.text.len();
        for atom in run.iter().rev() {
            let rest = &self.text[least..at];
            at -= match atom {
                Atom::Fixed(fixed) => rest.ends_with(fixed.as_bytes()).then_some(fixed.len())?,
                Atom::One => rest.last().map(|_| 1)?,
            };
        }
        Some(at)
    }
}
