//! Templates of mapping tables.
//!
//! Read from left to right: flags are set, tables are called, and the text that is left over is
//! the result. Site routines are refused.

use super::{
    result::{Calls, FLAGS, MappingFlags, Next},
    sequence::NumberSequence,
};
use crate::language::{
    facts::FactTest,
    lookup_url::LookupUrl,
    template::{self, Case, Scanner, TemplateError},
};

/// One template.
#[derive(Clone, Debug)]
pub(crate) struct MappingTemplate {
    pub(crate) ops: Vec<Op>,
    /// The flags it sets.
    pub(crate) flags: MappingFlags,
    /// The last of `$C $E $L $R`.
    pub(crate) next: Next,
    /// Flags that it sets or asks for, and where that stands.
    places: Vec<FlagPlace>,
}

/// A flag in a template, and where it stands, in octets from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlagPlace {
    pub(crate) letter: char,
    pub(crate) offset: usize,
    /// `$:x` or `$;x`, and not `$x`.
    pub(crate) is_asked: bool,
}

/// A part of a template; those from `Chance` on can make its entry fail.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Text(String),
    Case(Case),
    /// `$n`.
    Wildcard(usize),
    /// `$=`: what is put in place of sequences from here on is quoted for an LDAP filter.
    Quote,
    /// `$?percent?`.
    Chance(u32),
    /// `$:x` or `$;x`: it is set, or it is clear.
    Flag {
        letter: char,
        is_set: bool,
    },
    /// `$:(fact=result)` or `$;(fact=result)`.
    Fact(FactTest),
    /// `$#file|radix|width|modulus#`.
    Number(NumberSequence),
    /// `$|table;argument|`.
    Table {
        name: String,
        argument: Vec<Op>,
    },
    /// `${key}`.
    General(Vec<Op>),
    /// `$]url[`, with wildcards in it.
    Url(Box<LookupUrl<usize>>),
}

impl MappingTemplate {
    /// Parses a template whose pattern has this many wildcards.
    pub(crate) fn parse(text: &str, wildcards: usize) -> Result<Self, TemplateError> {
        let mut parser = TemplateParser {
            scanner: Scanner::new(text),
            wildcards,
            flags: MappingFlags::default(),
            next: Next::End,
            places: Vec::new(),
            depth: 0,
            on_failure: None,
        };
        let ops = parser.ops(None)?;
        let TemplateParser { flags, next, places, .. } = parser;
        Ok(Self { ops, flags, next, places })
    }

    /// Whether a probe is over when its pattern matches: nothing in it can fail.
    pub(crate) fn always_ends(&self) -> bool {
        let sure = |op: &Op| {
            matches!(op, Op::Text(_) | Op::Case(_) | Op::Wildcard(_) | Op::Quote | Op::Chance(100))
        };
        self.next == Next::End && self.ops.iter().all(sure)
    }

    /// The flags that it sets or asks for.
    pub(crate) fn flags(&self) -> &[FlagPlace] {
        &self.places
    }

    /// The text that is left over, where no input has a say in it.
    pub(crate) fn only_text(&self) -> Option<&str> {
        let has_notes = self.flags.has('<') || self.flags.has('>');
        let mut texts = self.ops.iter().filter(|op| !matches!(op, Op::Fact(_) | Op::Flag { .. }));
        match (texts.next(), texts.next()) {
            _ if has_notes || self.next != Next::End => None,
            (None, _) => Some(""),
            (Some(Op::Text(text)), None) => Some(text),
            _ => None,
        }
    }

    /// Whether it asks for a fact about the origin of mail.
    pub(crate) fn asks_facts(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Fact(_)))
    }

    /// Adds what it asks for.
    pub(crate) fn calls(&self, calls: &mut Calls) {
        add_calls(&self.ops, calls);
    }
}

fn add_calls(ops: &[Op], calls: &mut Calls) {
    for op in ops {
        match op {
            Op::Table { name, argument } => {
                calls.tables.push(name.clone());
                add_calls(argument, calls);
            }
            Op::General(key) => {
                calls.keys.push(match key.as_slice() {
                    [Op::Text(text)] => Some(text.clone()),
                    _ => None,
                });
                add_calls(key, calls);
            }
            Op::Url(url) => calls.urls.push(url.is_for_servers_alone()),
            _ => {}
        }
    }
}

struct TemplateParser<'a> {
    scanner: Scanner<'a>,
    wildcards: usize,
    flags: MappingFlags,
    next: Next,
    places: Vec<FlagPlace>,
    /// Calls and keys around this place.
    depth: usize,
    /// `$.text.`, for the look-ups behind it.
    on_failure: Option<String>,
}

impl TemplateParser<'_> {
    /// Up to the end of the text, or to `end` when this is an argument.
    fn ops(&mut self, end: Option<char>) -> Result<Vec<Op>, TemplateError> {
        let start = self.scanner.offset();
        let mut ops = Vec::new();
        loop {
            match self.scanner.peek() {
                None if end.is_none() => return Ok(ops),
                None => {
                    let start = start.saturating_sub(2);
                    return Err(TemplateError::new(start, "not closed", SEQUENCES));
                }
                Some('$') => {
                    if let Some(op) = self.dollar(end.is_some())? {
                        push(&mut ops, op);
                    }
                }
                Some(c) if c.is_control() && c != '\t' => {
                    let offset = self.scanner.offset();
                    return Err(TemplateError::new(offset, "a control character", SEQUENCES));
                }
                Some(c) => {
                    self.scanner.next();
                    if Some(c) == end {
                        return Ok(ops);
                    }
                    push(&mut ops, Op::Text(c.into()));
                }
            }
        }
    }

    /// The argument of a call or a key that begins at `offset`.
    fn nested(&mut self, offset: usize, end: char) -> Result<Vec<Op>, TemplateError> {
        self.depth = template::deeper(self.depth, offset)?;
        let ops = self.ops(Some(end));
        self.depth -= 1;
        ops
    }

    fn dollar(&mut self, inside: bool) -> Result<Option<Op>, TemplateError> {
        let offset = self.scanner.offset();
        self.scanner.next();
        let Some(c) = self.scanner.next() else {
            return Err(TemplateError::new(offset, "\"$\" at the end", SEQUENCES));
        };
        if let Some(case) = Case::from_control(c) {
            return Ok(Some(Op::Case(case)));
        }
        let op = match c.to_ascii_uppercase() {
            '$' | '*' | '%' | ' ' | '\t' | '}' => Op::Text(c.into()),
            '|' if inside => Op::Text(c.into()),
            '|' => self.table(offset)?,
            '0'..='9' => self.wildcard(offset, c)?,
            '{' => Op::General(self.nested(offset, '}')?),
            '=' => Op::Quote,
            ']' => self.url(offset)?,
            '.' => {
                let error = || TemplateError::new(offset, "\"$.\" without its end", "$.text.");
                let text = self.scanner.until('.').ok_or_else(error)?;
                self.on_failure = Some(text.to_owned()).filter(|text| !text.is_empty());
                return Ok(None);
            }
            // Beyond this only what belongs to the template as a whole.
            _ if inside => return Err(refuse(offset, c)),
            '?' => self.chance(offset)?,
            ':' => self.asked(offset, true)?,
            ';' => self.asked(offset, false)?,
            '#' => self.number(offset)?,
            'C' => return Ok(self.go(Next::Continue)),
            'E' => return Ok(self.go(Next::End)),
            'L' => return Ok(self.go(Next::Loop)),
            'R' => return Ok(self.go(Next::Restart)),
            letter if FLAGS.contains(letter) => {
                self.flags.set(letter);
                self.places.push(FlagPlace { letter, offset, is_asked: false });
                return Ok(None);
            }
            _ => return Err(refuse(offset, c)),
        };
        Ok(Some(op))
    }

    fn go(&mut self, next: Next) -> Option<Op> {
        self.next = next;
        None
    }

    /// `$?percent?`.
    fn chance(&mut self, offset: usize) -> Result<Op, TemplateError> {
        let percent = self.scanner.until('?').and_then(|text| text.parse().ok());
        percent
            .filter(|percent| *percent <= 100)
            .map(Op::Chance)
            .ok_or_else(|| TemplateError::new(offset, "not a chance in percent", "$?0? to $?100?"))
    }

    /// `$:x`, `$;x`, or a test of a fact.
    fn asked(&mut self, offset: usize, is_set: bool) -> Result<Op, TemplateError> {
        if self.scanner.peek() == Some('(') {
            return FactTest::read(&mut self.scanner, offset, is_set).map(Op::Fact);
        }
        let letter = self.scanner.next().map(|c| c.to_ascii_uppercase());
        let Some(letter) = letter.filter(|letter| FLAGS.contains(*letter)) else {
            return Err(TemplateError::new(offset, "no flag to ask for", "$:Y, $;N"));
        };
        self.places.push(FlagPlace { letter, offset, is_asked: true });
        Ok(Op::Flag { letter, is_set })
    }

    /// `$#file|radix|width|modulus#`.
    fn number(&mut self, offset: usize) -> Result<Op, TemplateError> {
        let text = self.scanner.until('#').unwrap_or_default();
        NumberSequence::parse(text, offset).map(Op::Number)
    }

    fn url(&mut self, offset: usize) -> Result<Op, TemplateError> {
        let error = || TemplateError::new(offset, "\"$]\" without its end", "$]ldap:///...[");
        let text = self.scanner.until('[').ok_or_else(error)?;
        let wildcards = self.wildcards;
        let wildcard = |c: char| c.to_digit(10).map(|n| n as usize).filter(|n| *n < wildcards);
        let url = LookupUrl::parse(text, offset, wildcard)?;
        Ok(Op::Url(Box::new(url.or(self.on_failure.clone()))))
    }

    fn wildcard(&self, offset: usize, digit: char) -> Result<Op, TemplateError> {
        let n = digit.to_digit(10).map_or(0, |n| n as usize);
        if n < self.wildcards {
            return Ok(Op::Wildcard(n));
        }
        let message = format!("the pattern has no wildcard {n}");
        let accepted = match self.wildcards {
            0 => "no number, for it has none".to_owned(),
            count => format!("$0 to ${}", count - 1),
        };
        Err(TemplateError::new(offset, message, &accepted))
    }

    fn table(&mut self, offset: usize) -> Result<Op, TemplateError> {
        let error = || TemplateError::new(offset, "not the call of a table", "$|table;argument|");
        let name = self.scanner.until(';').ok_or_else(error)?;
        if name.is_empty() || name.contains(['|', '$']) {
            return Err(error());
        }
        let name = name.to_owned();
        Ok(Op::Table { name, argument: self.nested(offset, '|')? })
    }
}

fn push(ops: &mut Vec<Op>, op: Op) {
    match (ops.last_mut(), op) {
        (Some(Op::Text(before)), Op::Text(text)) => before.push_str(&text),
        (_, op) => ops.push(op),
    }
}

fn refuse(offset: usize, c: char) -> TemplateError {
    let message = match c {
        '[' => "site routines are not supported: no foreign code is loaded".to_owned(),
        _ if "?:;#<>".contains(c) || c.is_ascii_alphabetic() => {
            format!("\"${c}\" cannot stand in the argument of a call")
        }
        _ => format!("\"${c}\" means nothing in a mapping"),
    };
    TemplateError::new(offset, message, SEQUENCES)
}

const SEQUENCES: &str = "$0 to $9, $C $E $L $R, $\\ $^ $_, $=, $?percent?, $:flag, $;flag, \
                         $:(spf=fail), $;(spf=pass),                          $|table;argument|, ${key}, $]ldap:///...[, $.text., $#file|radix|width|modulus#, flags such as $Y, \
                         and $ before * % $ } or a blank";
