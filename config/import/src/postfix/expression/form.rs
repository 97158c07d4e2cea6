//! An expression in pieces.

use std::ops::Range;

/// One of the alternatives of an expression.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::postfix) struct Form {
    pub(in crate::postfix) pieces: Vec<Piece>,
    /// The pieces of each pair of brackets, the first of which is `$1`.
    pub(super) groups: Vec<Option<Range<usize>>>,
    pub(super) starts: bool,
    pub(super) ends: bool,
}

/// A piece of an alternative.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::postfix) enum Piece {
    /// In lower case.
    Text(String),
    One(Set),
    Many(Set),
}

/// Characters that a piece stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::postfix) struct Set {
    /// A bit for each character of ASCII, in both cases.
    pub(super) bits: u128,
    /// Characters beyond ASCII, too.
    pub(super) others: bool,
}

/// Why an expression is left alone, in words.
pub(in crate::postfix) type Refused = &'static str;

impl Set {
    pub(super) const ANY: Self = Self { bits: u128::MAX, others: true };

    pub(super) fn of(member: impl Fn(char) -> bool) -> Self {
        let is_in = |c: u8| {
            let c = char::from(c);
            member(c.to_ascii_lowercase()) || member(c.to_ascii_uppercase())
        };
        let bits = (0..128_u8).filter(|c| is_in(*c)).fold(0, |bits, c| bits | 1_u128 << c);
        Self { bits, others: false }
    }

    pub(super) fn negated(self) -> Self {
        Self { bits: !self.bits, others: !self.others }
    }

    pub(in crate::postfix) fn has(self, c: char) -> bool {
        if c.is_ascii() { self.bits >> (c as u32) & 1 == 1 } else { self.others }
    }

    pub(in crate::postfix) fn is_any(self) -> bool {
        self == Self::ANY
    }

    /// Whether whatever stands before `@` is in it.
    pub(in crate::postfix) fn is_any_user(self) -> bool {
        self.is_any() || self == Self::of(|c| c == '@').negated()
    }

    /// `*`, `$[a-z]*` and the like, before the sign; `None`: no pattern has it.
    fn class(self) -> Option<String> {
        if self.is_any() {
            return Some(String::new());
        }
        let (sign, bits) = if self.others { ("^", !self.bits) } else { ("", self.bits) };
        let chars = (0..128_u8).map(char::from).filter(|c| bits >> (*c as u32) & 1 == 1);
        // Letters are there in both cases, and one says both.
        let mut chars: Vec<char> = chars.filter(|c| !c.is_ascii_uppercase()).collect();
        if chars.is_empty() || chars.iter().any(|c| c.is_control() || *c == ']') {
            return None;
        }
        // A hyphen says a range between others, and at the beginning `^` turns them around.
        chars.sort_by_key(|c| (*c != '-', *c == '^'));
        let mut text = String::new();
        let mut rest = chars.as_slice();
        while let [first, ..] = rest {
            let follows = |(n, c): &(usize, &char)| **c as usize == *first as usize + n;
            let run = rest.iter().enumerate().take_while(follows).count();
            match run {
                1 if *first != '-' => text.push(*first),
                _ => text.extend([*first, '-', rest[run - 1]]),
            }
            rest = &rest[run..];
        }
        (sign == "^" || !text.starts_with('^')).then(|| format!("$[{sign}{text}]"))
    }
}

impl Form {
    pub(super) fn text(c: char) -> Self {
        Self { pieces: vec![Piece::Text(c.to_ascii_lowercase().into())], ..Self::default() }
    }

    pub(super) fn set(set: Set) -> Self {
        Self { pieces: vec![Piece::One(set)], ..Self::default() }
    }

    /// All addresses of a domain; the user is `$1`.
    pub(in crate::postfix) fn all_of(domain: &str) -> Self {
        let pieces = vec![Piece::Many(Set::ANY), Piece::Text(format!("@{domain}"))];
        Self { pieces, groups: vec![Some(0..1)], starts: true, ends: true }
    }

    /// This one and `next` behind it.
    pub(super) fn then(&self, next: &Self) -> Result<Self, Refused> {
        if next.starts && (self.ends || !self.pieces.is_empty())
            || self.ends && !next.pieces.is_empty()
        {
            return Err("`^` or `$` stands within it");
        }
        let mut both = self.clone();
        let by = both.pieces.len();
        both.pieces.extend(next.pieces.iter().cloned());
        both.starts |= next.starts;
        both.ends |= next.ends;
        both.groups.resize(both.groups.len().max(next.groups.len()), None);
        for (own, its) in both.groups.iter_mut().zip(&next.groups) {
            if let Some(its) = its {
                *own = Some(its.start + by..its.end + by);
            }
        }
        if both.pieces.len() > MOST_PIECES {
            return Err(TOO_LARGE);
        }
        Ok(both)
    }

    /// With what is before and behind it, texts in one, and all groups of the expression.
    pub(super) fn whole(self, groups: usize) -> Self {
        let Self { pieces, groups: spans, starts, ends } = self;
        let mut whole = Self { starts, ends, ..Self::default() };
        // Pieces keep their numbers for the groups, texts become one within and between these.
        let borders: Vec<usize> =
            spans.iter().flatten().flat_map(|its| [its.start, its.end]).collect();
        let mut places = Vec::new();
        if !starts {
            whole.pieces.push(Piece::Many(Set::ANY));
        }
        for (at, piece) in pieces.into_iter().enumerate() {
            let is_border = borders.contains(&at);
            match (whole.pieces.last_mut(), piece) {
                (Some(Piece::Text(text)), Piece::Text(more)) if !is_border => {
                    text.push_str(&more);
                    places.push(whole.pieces.len() - 1);
                }
                (_, piece) => {
                    places.push(whole.pieces.len());
                    whole.pieces.push(piece);
                }
            }
        }
        places.push(whole.pieces.len());
        if !ends && (starts || places.len() > 1) {
            whole.pieces.push(Piece::Many(Set::ANY));
        }
        // Each begin and end of a group is one of the places.
        let moved = |its: Range<usize>| places[its.start]..places[its.end];
        whole.groups = spans.into_iter().map(|its| its.map(moved)).collect();
        whole.groups.resize(groups, None);
        whole
    }

    /// Whether a text, in lower case, is one of those that it stands for.
    pub(in crate::postfix) fn fits(&self, text: &str) -> bool {
        // Where pieces so far may have ended; each piece is looked at once for each place.
        let chars: Vec<char> = text.chars().collect();
        let mut ends = vec![false; chars.len() + 1];
        ends[0] = true;
        for piece in &self.pieces {
            let mut next = vec![false; chars.len() + 1];
            match piece {
                Piece::Text(text) => {
                    let text: Vec<char> = text.chars().collect();
                    for at in (0..ends.len()).filter(|at| ends[*at]) {
                        if chars[at..].starts_with(&text) {
                            next[at + text.len()] = true;
                        }
                    }
                }
                Piece::One(set) => {
                    for at in (0..chars.len()).filter(|at| ends[*at] && set.has(chars[*at])) {
                        next[at + 1] = true;
                    }
                }
                Piece::Many(set) => {
                    for at in 0..ends.len() {
                        next[at] = ends[at] || at > 0 && next[at - 1] && set.has(chars[at - 1]);
                    }
                }
            }
            ends = next;
        }
        ends[chars.len()]
    }

    /// The text that it stands for, if it is one alone.
    pub(in crate::postfix) fn literal(&self) -> Option<String> {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::One(_) | Piece::Many(_) => None,
        };
        self.pieces.iter().map(text).collect()
    }

    /// The pieces without regard to groups: texts in one.
    pub(in crate::postfix) fn joined(&self) -> Vec<Piece> {
        let mut joined: Vec<Piece> = Vec::new();
        for piece in &self.pieces {
            match (joined.last_mut(), piece) {
                (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(more),
                _ => joined.push(piece.clone()),
            }
        }
        joined
    }

    /// A pattern of one field of a probe, which no wildcard leaves.
    pub(in crate::postfix) fn field(&self) -> Result<String, Refused> {
        let mut field = String::new();
        for piece in &self.pieces {
            let (set, sign) = match piece {
                Piece::Text(text) => {
                    field += &escaped(text, &['$', '*', '%', ' ']).replace('|', "%7C");
                    continue;
                }
                Piece::One(set) => (set, '%'),
                Piece::Many(set) => (set, '*'),
            };
            let without_bar = Set { bits: set.bits & !(1 << ('|' as u32)), ..*set };
            field += &without_bar.class().ok_or(NO_CLASS)?;
            field.push(sign);
        }
        Ok(field)
    }

    /// A pattern of a mapping table.
    pub(in crate::postfix) fn pattern(&self) -> Result<String, Refused> {
        let last = self.pieces.len().saturating_sub(1);
        let mut pattern = String::new();
        for (n, piece) in self.pieces.iter().enumerate() {
            let is_added = n == 0 && !self.starts || n == last && !self.ends;
            match piece {
                // No template has a name for it.
                Piece::Many(_) if is_added => pattern += "$@*",
                Piece::Text(text) => pattern += &escaped(text, &['$', '*', '%', ' ']),
                Piece::One(set) => pattern += &(set.class().ok_or(NO_CLASS)? + "%"),
                Piece::Many(set) => pattern += &(set.class().ok_or(NO_CLASS)? + "*"),
            }
        }
        Ok(pattern)
    }

    /// A result with `$1` and its kin, as a template of a mapping table.
    pub(in crate::postfix) fn template(&self, result: &str) -> Result<String, Refused> {
        let mut template = String::new();
        for part in parts(result)? {
            match part {
                ResultPart::Text(text) => template += &escaped(&text, &['$', ' ']),
                ResultPart::Group(n) => {
                    for piece in self.group(n)? {
                        match piece {
                            (Piece::Text(text), _) => template += &escaped(text, &['$', ' ']),
                            (_, Some(n)) if n < MOST_WILDCARDS => {
                                template.push('$');
                                template += &n.to_string();
                            }
                            _ => return Err("a template has names for ten wildcards"),
                        }
                    }
                }
            }
        }
        Ok(template)
    }

    /// A result with texts alone.
    pub(in crate::postfix) fn filled(&self, result: &str) -> Option<String> {
        let mut text = String::new();
        for part in parts(result).ok()? {
            match part {
                ResultPart::Text(its) => text += &its,
                ResultPart::Group(n) => {
                    for piece in self.group(n).ok()? {
                        let (Piece::Text(its), _) = piece else { return None };
                        text += its;
                    }
                }
            }
        }
        Some(text)
    }

    /// The group is all that stands before this piece.
    pub(in crate::postfix) fn is_all_before(&self, n: usize, piece: usize) -> bool {
        self.starts && self.groups.get(n - 1).is_some_and(|its| *its == Some(0..piece))
    }

    /// The pieces of a group, wildcards with the number that a template has for them.
    fn group(&self, n: usize) -> Result<Vec<(&Piece, Option<usize>)>, Refused> {
        let group = n.checked_sub(1).and_then(|n| self.groups.get(n));
        let group = group.ok_or("its result names a group that is not there")?;
        let Some(span) = group.clone() else { return Ok(Vec::new()) };
        let added = usize::from(!self.starts);
        let is_wild = |piece: &&Piece| !matches!(piece, Piece::Text(_));
        let number = |at: usize| self.pieces[added..at].iter().filter(is_wild).count();
        Ok(span
            .map(|at| (&self.pieces[at], is_wild(&&self.pieces[at]).then(|| number(at))))
            .collect())
    }
}

/// A part of a result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::postfix) enum ResultPart {
    Text(String),
    Group(usize),
}

/// A result in its parts.
pub(in crate::postfix) fn parts(result: &str) -> Result<Vec<ResultPart>, Refused> {
    let (mut all, mut text) = (Vec::new(), String::new());
    let mut rest = result;
    while let Some(at) = rest.find('$') {
        text += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            (text, rest) = (text + "$", behind);
            continue;
        }
        let (open, close) = match rest.chars().next() {
            Some('{') => (1, "}"),
            Some('(') => (1, ")"),
            _ => (0, ""),
        };
        rest = &rest[open..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let group = rest[..digits].parse().map_err(|_| "its result has a `$` without a number")?;
        rest = rest[digits..].strip_prefix(close).ok_or("its result has a bracket alone")?;
        all.extend((!text.is_empty()).then(|| ResultPart::Text(std::mem::take(&mut text))));
        all.push(ResultPart::Group(group));
    }
    text += rest;
    all.extend((!text.is_empty()).then_some(ResultPart::Text(text)));
    Ok(all)
}

fn escaped(text: &str, signs: &[char]) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        escaped.extend(signs.contains(&c).then_some('$'));
        escaped.push(c);
    }
    escaped
}

const MOST_PIECES: usize = 64;
/// Wildcards that a template has names for.
const MOST_WILDCARDS: usize = 10;
pub(super) const TOO_LARGE: Refused = "it has more alternatives or parts than are followed here";
const NO_CLASS: Refused = "it has a set of characters that no pattern here has";
