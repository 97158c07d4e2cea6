//! Patterns of mapping tables.
//!
//! Matching is by octets, blind to case: of what is beyond ASCII by those of its [`Folded`](super::input::Folded)
//! form. A pattern whose wildcards take anything, all greedy
//! or all minimal, is matched in one pass over the input. In others the wildcards are tried in the
//! original's order; what has failed once at a place is not tried there again, so that the time
//! is bounded by pattern x input. Back references cannot be remembered like that: a pattern that
//! has them gets a fixed number of steps. All entries of a probe share one stock of steps.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    element::{Class, Element, MAX_WILDCARDS, Star, in_v4, in_v6, parsed},
    input::Input,
    pattern_parser::Elements,
    result::Overrun,
};
use crate::{grammar::pattern_key, language::template::TemplateError};

/// One pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    elements: Vec<Element>,
    wildcards: usize,
    /// Holds a back reference.
    refers: bool,
    /// Can be matched in one pass.
    straight: Option<Straight>,
}

/// A pattern that is matched in one pass: some `*`, all of one kind, and between them only what
/// has a fixed length.
#[derive(Clone, Debug)]
struct Straight {
    /// From the beginning to the end rather than back.
    minimal: bool,
    /// Where among the elements the wildcards are.
    stars: Box<[usize]>,
}

/// Begin and end of what each saved wildcard stood for.
type Spans = [(usize, usize); MAX_WILDCARDS];

/// The part between two bars of a pattern.
#[derive(Debug)]
pub(crate) enum Field {
    /// This and nothing else, in lower case.
    Text(String),
    /// Nothing but wildcards that take anything, bars too.
    Anything,
    /// `$(net/bits)` alone.
    V4 { net: u32, mask: u32 },
    /// `${net/bits}` alone.
    V6 { net: u128, mask: u128 },
    /// Wildcards and other things.
    Mixed {
        /// One of the wildcards can take bars, too.
        spans: bool,
    },
}

/// The texts that the saved wildcards of a pattern stood for.
pub(crate) struct Wildcards<'a> {
    input: Input<'a>,
    spans: Spans,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let key = pattern_key(text);
        if key != text {
            // Mistakes are told by their places in what was written.
            Elements::parse(text)?;
        }
        let Elements { list: elements, wildcards, refers, .. } = Elements::parse(&key)?;
        Ok(Self { straight: Straight::of(&elements), elements, wildcards, refers })
    }

    /// Networks in `text` that are written with bits of a host, without these: `$(127.0.0.0/24)`.
    pub(crate) fn loose_networks(text: &str) -> Vec<String> {
        Elements::parse(text).map_or_else(|_| Vec::new(), |elements| elements.loose)
    }

    /// How many wildcards a template may name.
    pub(crate) fn wildcards(&self) -> usize {
        self.wildcards
    }

    /// Its elements, in order.
    pub(super) fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The parts between its bars.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut field = Field::Text(String::new());
        for element in &self.elements {
            let Element::Literal(text) = element else {
                field = field.and(element);
                continue;
            };
            for (n, part) in text.split(|c| *c == b'|').enumerate() {
                if n > 0 {
                    fields.push(std::mem::replace(&mut field, Field::Text(String::new())));
                }
                if !part.is_empty() {
                    field = field.and_text(&String::from_utf8_lossy(part));
                }
            }
        }
        fields.push(field);
        fields
    }

    /// Whether it is nothing but wildcards that take anything.
    pub(crate) fn takes_all(&self) -> bool {
        let open =
            |element: &Element| matches!(element, Element::Many(Star { class: Class::Any, .. }));
        !self.elements.is_empty() && self.elements.iter().all(open)
    }

    /// The same pattern without its short way.
    #[cfg(test)]
    pub(crate) fn tried_in_order(self) -> Self {
        Self { straight: None, ..self }
    }

    /// Matches the whole of `input`, and takes what it costs from `fuel`.
    pub(crate) fn match_text<'a>(
        &self,
        input: Input<'a>,
        fuel: &mut u32,
    ) -> Result<Option<Wildcards<'a>>, Overrun> {
        if let Some(straight) = &self.straight {
            let cost = 1 + input.octets().len() / OCTETS_OF_A_STEP;
            *fuel = fuel.checked_sub(cost as u32).ok_or(Overrun)?;
            let spans = straight.match_octets(&self.elements, input.octets());
            return Ok(spans.map(|spans| Wildcards { input, spans }));
        }
        let stock = if self.refers { MAX_STEPS.min(*fuel) } else { *fuel };
        let mut run = Run {
            elements: &self.elements,
            input: input.octets(),
            spans: Spans::default(),
            failed: Vec::new(),
            steps: stock,
            remember: !self.refers,
        };
        let matched = run.from(0, 0)?;
        *fuel -= stock - run.steps;
        Ok(matched.then_some(Wildcards { input, spans: run.spans }))
    }
}

impl Field {
    /// Whether a wildcard in it can take bars, too.
    pub(crate) fn spans(&self) -> bool {
        matches!(self, Self::Anything | Self::Mixed { spans: true })
    }

    /// Whether it takes whatever `other` takes.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anything, _) => true,
            (Self::Text(own), Self::Text(text)) => own == text,
            (Self::V4 { net, mask }, Self::Text(text)) => {
                text.parse::<Ipv4Addr>().is_ok_and(|address| u32::from(address) & mask == *net)
            }
            (Self::V4 { net, mask }, Self::V4 { net: part, mask: finer }) => {
                mask & finer == *mask && part & mask == *net
            }
            (Self::V6 { net, mask }, Self::Text(text)) => {
                text.parse::<Ipv6Addr>().is_ok_and(|address| u128::from(address) & mask == *net)
            }
            (Self::V6 { net, mask }, Self::V6 { net: part, mask: finer }) => {
                mask & finer == *mask && part & mask == *net
            }
            _ => false,
        }
    }

    /// Whether a pattern of the fields `all` takes whatever one of the fields `some` takes.
    pub(crate) fn all_cover(all: &[Self], some: &[Self]) -> bool {
        let open = all.len() < some.len() && matches!(all.last(), Some(Self::Anything));
        let fixed = if open { all.len() - 1 } else { all.len() };
        (open || all.len() == some.len())
            && all[..fixed].iter().zip(some).all(|(own, other)| own.covers(other))
    }

    fn and(self, element: &Element) -> Self {
        let any = matches!(element, Element::Many(Star { class: Class::Any, .. }));
        match (self, element) {
            (Self::Text(text), element) if text.is_empty() => match element {
                Element::V4 { net, mask } => Self::V4 { net: *net, mask: *mask },
                Element::V6 { net, mask } => Self::V6 { net: *net, mask: *mask },
                _ if any => Self::Anything,
                _ => Self::Mixed { spans: false },
            },
            (Self::Anything, _) if any => Self::Anything,
            (field, _) => Self::Mixed { spans: any || field.spans() },
        }
    }

    fn and_text(self, more: &str) -> Self {
        match self {
            Self::Text(text) => Self::Text(text + more),
            field => Self::Mixed { spans: field.spans() },
        }
    }
}

impl Straight {
    /// `None` when something between the wildcards has no fixed length, when a wildcard takes a
    /// class only, and when some are greedy and others minimal.
    fn of(elements: &[Element]) -> Option<Self> {
        let mut stars = Vec::new();
        let mut minimal = None;
        for (n, element) in elements.iter().enumerate() {
            match element {
                Element::Literal(_) | Element::One(..) => {}
                Element::Many(Star { class: Class::Any, minimal: this, .. })
                    if *minimal.get_or_insert(*this) == *this =>
                {
                    stars.push(n);
                }
                _ => return None,
            }
        }
        Some(Self { minimal: minimal?, stars: stars.into() })
    }

    /// Spans of the saved wildcards, or `None`: no match. What stands between two wildcards is
    /// taken as far right as it can lie when they are greedy, as far left when they are minimal:
    /// where that leaves no room for the rest, no other choice does.
    fn match_octets(&self, elements: &[Element], input: &[u8]) -> Option<Spans> {
        let mut spans = Spans::default();
        let (first, last) = (*self.stars.first()?, *self.stars.last()?);
        let (head, tail) = (&elements[..first], &elements[last + 1..]);
        let mut from = length(head);
        let mut to = input.len().checked_sub(length(tail)).filter(|to| *to >= from)?;
        if !stands_at(head, input, 0, &mut spans) || !stands_at(tail, input, to, &mut spans) {
            return None;
        }
        let pairs = self.stars.windows(2).map(|pair| (pair[0], pair[1]));
        if self.minimal {
            for (star, next) in pairs {
                let fixed = &elements[star + 1..next];
                let most = to.checked_sub(length(fixed))?;
                let at = (from..=most).find(|at| stands_at(fixed, input, *at, &mut spans))?;
                elements[star].save((from, at), &mut spans);
                from = at + length(fixed);
            }
            elements[last].save((from, to), &mut spans);
        } else {
            for (before, star) in pairs.rev() {
                let fixed = &elements[before + 1..star];
                let most = to.checked_sub(length(fixed))?;
                let at = (from..=most).rev().find(|at| stands_at(fixed, input, *at, &mut spans))?;
                elements[star].save((at + length(fixed), to), &mut spans);
                to = at;
            }
            elements[first].save((from, to), &mut spans);
        }
        Some(spans)
    }
}

impl Element {
    fn save(&self, span: (usize, usize), spans: &mut Spans) {
        if let Self::One(_, Some(n)) | Self::Many(Star { save: Some(n), .. }) = self {
            spans[*n] = span;
        }
    }
}

/// Octets that elements of fixed length take.
fn length(fixed: &[Element]) -> usize {
    let octets = |element: &Element| match element {
        Element::Literal(text) => text.len(),
        _ => 1,
    };
    fixed.iter().map(octets).sum()
}

/// Whether elements of fixed length match the input at a place that leaves room for them.
fn stands_at(fixed: &[Element], input: &[u8], mut at: usize, spans: &mut Spans) -> bool {
    for element in fixed {
        let taken = length(std::slice::from_ref(element));
        let matches = match element {
            Element::Literal(text) => input[at..at + taken].eq_ignore_ascii_case(text),
            Element::One(class, _) => class.has(input[at]),
            _ => false,
        };
        if !matches {
            return false;
        }
        element.save((at, at + taken), spans);
        at += taken;
    }
    true
}

impl Wildcards<'_> {
    /// Appends what wildcard `n` stood for. A wildcard may have cut a character of several
    /// octets in two; its remains show as replacement characters.
    pub(crate) fn get(&self, n: usize) -> std::borrow::Cow<'_, str> {
        let span = self.spans.get(n).copied().unwrap_or_default();
        String::from_utf8_lossy(self.input.written(span))
    }
}

/// One attempt at a match.
struct Run<'a> {
    elements: &'a [Element],
    input: &'a [u8],
    spans: Spans,
    /// For each element the places from which the rest is known not to match.
    failed: Vec<Failed>,
    steps: u32,
    remember: bool,
}

#[derive(Clone, Default)]
struct Failed {
    /// The stretch of input that this wildcard tried last: begun anywhere in it, it fails.
    run: Option<(usize, usize)>,
    /// One bit for each octet.
    at: Vec<u64>,
}

/// How far a wildcard can go.
enum Reach {
    /// It was tried from here before, and nothing behind it matched.
    Known,
    /// To `run`; places behind `last` are known not to match.
    To { run: usize, last: usize },
}

impl Run<'_> {
    /// Whether the elements from `n` on match the input from `at` on.
    fn from(&mut self, mut n: usize, mut at: usize) -> Result<bool, Overrun> {
        loop {
            self.steps = self.steps.checked_sub(1).ok_or(Overrun)?;
            let rest = &self.input[at..];
            let taken = match &self.elements.get(n) {
                None => return Ok(rest.is_empty()),
                Some(Element::Literal(text)) => rest
                    .get(..text.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(text))
                    .then_some(text.len()),
                Some(Element::One(class, save)) => {
                    let taken = rest.first().filter(|c| class.has(**c)).map(|_| 1);
                    self.save(*save, at, at + taken.unwrap_or(0));
                    taken
                }
                Some(Element::Again(n)) => {
                    let (start, end) = self.spans[*n];
                    let before = &self.input[start..end];
                    rest.get(..before.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(before))
                        .then_some(before.len())
                }
                Some(Element::V4 { net, mask }) => v4(rest, *net, *mask),
                Some(Element::V6 { net, mask }) => v6(rest, *net, *mask),
                Some(Element::Many(star)) => return self.many(n, at, star),
            };
            let Some(taken) = taken else { return Ok(false) };
            at += taken;
            n += 1;
        }
    }

    /// Whether the wildcard `n`, from `at` on, and what follows it match the rest of the input.
    fn many(&mut self, n: usize, at: usize, star: &Star) -> Result<bool, Overrun> {
        let Star { class, save, minimal } = star;
        let (run, last) = match self.reach(n, at, class) {
            Reach::Known => return Ok(false),
            Reach::To { run, last } => (run, last),
        };
        // The last wildcard takes all that is left, or nothing matches.
        if n + 1 == self.elements.len() {
            self.save(*save, at, run);
            return Ok(run == self.input.len());
        }
        let span = last - at;
        for step in 0..=span {
            let end = if *minimal { at + step } else { last - step };
            if self.has_failed(n, end) {
                self.steps = self.steps.checked_sub(1).ok_or(Overrun)?;
                continue;
            }
            // Saved first: a back reference behind it reads it.
            self.save(*save, at, end);
            if self.from(n + 1, end)? {
                self.save(*save, at, end);
                return Ok(true);
            }
            self.fail_at(n, end);
        }
        if self.remember {
            self.failure(n).run = Some((at, run));
        }
        Ok(false)
    }

    /// How far the wildcard `n` can go from `at`, and how much of that is worth trying.
    fn reach(&self, n: usize, at: usize, class: &Class) -> Reach {
        let end = |from: usize, to: usize| {
            let taken = match class {
                Class::Any => to - from,
                Class::Set(_) => self.input[from..to].iter().take_while(|c| class.has(**c)).count(),
            };
            from + taken
        };
        let whole = self.input.len();
        match self.failed.get(n).and_then(|failed| failed.run) {
            Some((from, to)) if (from..=to).contains(&at) => Reach::Known,
            Some((from, to)) if at < from && end(at, from) == from => {
                Reach::To { run: to, last: from - 1 }
            }
            _ => {
                let run = end(at, whole);
                Reach::To { run, last: run }
            }
        }
    }

    fn save(&mut self, save: Option<usize>, start: usize, end: usize) {
        if let Some(n) = save {
            self.spans[n] = (start, end);
        }
    }

    fn failure(&mut self, n: usize) -> &mut Failed {
        if self.failed.is_empty() {
            self.failed.resize(self.elements.len(), Failed::default());
        }
        &mut self.failed[n]
    }

    fn has_failed(&self, n: usize, at: usize) -> bool {
        let word = self.failed.get(n).and_then(|failed| failed.at.get(at / 64));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn fail_at(&mut self, n: usize, at: usize) {
        if !self.remember {
            return;
        }
        let failed = self.failure(n);
        if failed.at.len() <= at / 64 {
            failed.at.resize(at / 64 + 1, 0);
        }
        failed.at[at / 64] |= 1 << (at % 64);
    }
}

fn v4(input: &[u8], net: u32, mask: u32) -> Option<usize> {
    let length = input.iter().take_while(|c| in_v4(**c)).count();
    let address = parsed::<Ipv4Addr>(&input[..length])?;
    (u32::from(address) & mask == net).then_some(length)
}

fn v6(input: &[u8], net: u128, mask: u128) -> Option<usize> {
    let length = input.iter().take_while(|c| in_v6(**c)).count();
    let address = parsed::<Ipv6Addr>(&input[..length])?;
    (u128::from(address) & mask == net).then_some(length)
}

/// Steps of a match with back references.
const MAX_STEPS: u32 = 200_000;
/// Octets that one pass looks at in the time of a step.
const OCTETS_OF_A_STEP: usize = 16;
