//! The text of an expression, read.

use std::{iter::Peekable, str::Chars};

use super::form::{Form, Piece, Refused, Set, TOO_LARGE};

pub(super) struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    groups: usize,
    depth: usize,
    /// A sign that repeats would repeat something.
    is_behind: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(expression: &'a str) -> Self {
        Self { rest: expression.chars().peekable(), groups: 0, depth: 0, is_behind: false }
    }

    /// All of it, and how many groups there are.
    pub(super) fn read(mut self) -> Result<(Vec<Form>, usize), Refused> {
        let forms = self.alternatives()?;
        if self.rest.next().is_some() {
            return Err("its brackets do not match");
        }
        Ok((forms, self.groups))
    }

    fn alternatives(&mut self) -> Result<Vec<Form>, Refused> {
        let mut all = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            all.extend(self.sequence()?);
        }
        if all.len() > MOST_FORMS { Err(TOO_LARGE) } else { Ok(all) }
    }

    fn sequence(&mut self) -> Result<Vec<Form>, Refused> {
        let mut forms = vec![Form::default()];
        self.is_behind = false;
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let atom = self.atom(c)?;
            let next = self.repeated(atom)?;
            if forms.len() * next.len() > MOST_FORMS {
                return Err(TOO_LARGE);
            }
            let both = forms.iter().flat_map(|form| next.iter().map(move |its| form.then(its)));
            forms = both.collect::<Result<_, _>>()?;
        }
        Ok(forms)
    }

    fn atom(&mut self, c: char) -> Result<Vec<Form>, Refused> {
        self.is_behind = !matches!(c, '^' | '$');
        let form = match c {
            '^' => Form { starts: true, ..Form::default() },
            '$' => Form { ends: true, ..Form::default() },
            '.' => Form::set(Set::ANY),
            '[' => Form::set(self.set()?),
            '\\' => return self.escape().map(|form| vec![form]),
            '(' => return self.group(),
            '*' | '+' | '?' | '{' => return Err("a sign that repeats has nothing before it"),
            c if !c.is_ascii() => return Err("it has characters beyond ASCII"),
            c => Form::text(c),
        };
        Ok(vec![form])
    }

    fn group(&mut self) -> Result<Vec<Form>, Refused> {
        let number = if self.rest.next_if_eq(&'?').is_some() {
            if self.rest.next() != Some(':') {
                return Err("it looks ahead, looks behind, or has options within");
            }
            None
        } else {
            self.groups += 1;
            Some(self.groups)
        };
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(TOO_LARGE);
        }
        let mut forms = self.alternatives()?;
        self.depth -= 1;
        if self.rest.next() != Some(')') {
            return Err("its brackets do not match");
        }
        for form in &mut forms {
            let Some(number) = number else { continue };
            form.groups.resize(form.groups.len().max(number), None);
            form.groups[number - 1] = Some(0..form.pieces.len());
        }
        self.is_behind = true;
        Ok(forms)
    }

    /// An atom, and the sign behind it that repeats it.
    fn repeated(&mut self, atom: Vec<Form>) -> Result<Vec<Form>, Refused> {
        let Some(sign) = self.rest.next_if(|c| matches!(c, '*' | '+' | '?' | '{')) else {
            return Ok(atom);
        };
        if !self.is_behind {
            return Err("a sign that repeats has nothing before it");
        }
        let (least, most) = match sign {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => self.count()?,
        };
        if self.rest.peek().is_some_and(|c| matches!(c, '*' | '+' | '?' | '{')) {
            return Err("it repeats lazily, or keeps what it has");
        }
        let has_group = atom.iter().any(|form| !form.groups.is_empty());
        if has_group && (least, most) != (0, Some(1)) {
            return Err("it repeats a group");
        }
        let mut forms = vec![Form::default()];
        for _ in 0..least {
            forms = joined(&forms, &atom)?;
        }
        let Some(most) = most else {
            let many = match atom.as_slice() {
                [Form { pieces, .. }] => match pieces.as_slice() {
                    [Piece::One(set)] => *set,
                    [Piece::Text(text)] if text.len() == 1 => Set::of(|c| text.contains(c)),
                    _ => return Err("it repeats more than one character"),
                },
                _ => return Err("it repeats alternatives"),
            };
            let many = Form { pieces: vec![Piece::Many(many)], ..Form::default() };
            return joined(&forms, &[many]);
        };
        // As many as there are come first.
        let mut all = vec![forms.clone()];
        for _ in least..most {
            forms = joined(&forms, &atom)?;
            all.insert(0, forms.clone());
        }
        let all: Vec<Form> = all.into_iter().flatten().collect();
        if all.len() > MOST_FORMS { Err(TOO_LARGE) } else { Ok(all) }
    }

    /// `{2}`, `{2,}`, `{2,4}`.
    fn count(&mut self) -> Result<(usize, Option<usize>), Refused> {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| *c != '}') {
            text.push(c);
        }
        let is_closed = self.rest.next().is_some();
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n <= MOST_TIMES);
        let counts = match text.split_once(',') {
            None => number(&text).map(|n| (n, Some(n))),
            Some((least, "")) => number(least).map(|least| (least, None)),
            Some((least, most)) => number(least).zip(number(most).map(Some)),
        };
        let ordered = |its: &(usize, Option<usize>)| its.1.is_none_or(|most| its.0 <= most);
        counts
            .filter(|its| is_closed && ordered(its))
            .ok_or("it counts further than is followed here")
    }

    fn escape(&mut self) -> Result<Form, Refused> {
        match self.rest.next().ok_or("it ends with a backslash")? {
            '1'..='9' => Err("it has a back reference"),
            c if c.is_ascii_punctuation() => Ok(Form::text(c)),
            c => word_class(c).map(Form::set).ok_or("it has an escape that no pattern here has"),
        }
    }

    fn set(&mut self) -> Result<Set, Refused> {
        let unclosed = "a set of characters has no end";
        let is_negated = self.rest.next_if_eq(&'^').is_some();
        let (mut set, mut is_first) = (Set { bits: 0, others: false }, true);
        loop {
            let c = self.rest.next().ok_or(unclosed)?;
            let is_end = c == ']' && !is_first;
            is_first = false;
            let begin = match c {
                _ if is_end => break,
                '[' if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                    set.bits |= self.named_class()?.bits;
                    continue;
                }
                '\\' => match self.rest.next().ok_or(unclosed)? {
                    c if c.is_ascii_punctuation() => c,
                    c => {
                        set.bits |= word_class(c).ok_or("a set has an unknown escape")?.bits;
                        continue;
                    }
                },
                c if !c.is_ascii() => return Err("it has characters beyond ASCII"),
                c => c,
            };
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']');
            if !is_range {
                set.bits |= Set::of(|c| c == begin).bits;
                continue;
            }
            self.rest.next();
            let end = self.rest.next().ok_or(unclosed)?;
            if !end.is_ascii() || matches!(end, '\\' | '[') || end < begin {
                return Err("a set has a range that is not followed here");
            }
            set.bits |= Set::of(|c| (begin..=end).contains(&c)).bits;
        }
        Ok(if is_negated { set.negated() } else { set })
    }

    /// `[:alpha:]` and its kin within a set.
    fn named_class(&mut self) -> Result<Set, Refused> {
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| *c != ']') {
            name.push(c);
        }
        self.rest.next();
        let is_in: fn(char) -> bool = match name.as_str() {
            ":alpha:" => |c| c.is_ascii_alphabetic(),
            ":digit:" => |c| c.is_ascii_digit(),
            ":alnum:" => |c| c.is_ascii_alphanumeric(),
            ":lower:" | ":upper:" => |c| c.is_ascii_alphabetic(),
            ":xdigit:" => |c| c.is_ascii_hexdigit(),
            ":punct:" => |c| c.is_ascii_punctuation(),
            _ => return Err("a set has a class that no pattern here has"),
        };
        Ok(Set::of(is_in))
    }
}

fn joined(before: &[Form], behind: &[Form]) -> Result<Vec<Form>, Refused> {
    if before.len() * behind.len() > MOST_FORMS {
        return Err(TOO_LARGE);
    }
    before.iter().flat_map(|form| behind.iter().map(move |its| form.then(its))).collect()
}

/// `\d`, `\w`, and what is in none of them.
fn word_class(c: char) -> Option<Set> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    Some(match c {
        'd' => Set::of(|c| c.is_ascii_digit()),
        'D' => Set::of(|c| c.is_ascii_digit()).negated(),
        'w' => Set::of(is_word),
        'W' => Set::of(is_word).negated(),
        _ => return None,
    })
}

/// Alternatives of one expression.
const MOST_FORMS: usize = 64;
const MOST_DEPTH: usize = 16;
/// Repetitions with a count.
const MOST_TIMES: usize = 16;
