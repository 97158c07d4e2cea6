//! Text of a pattern to its elements.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    element::{Class, Element, MAX_WILDCARDS, Star},
    input::folded,
};
use crate::language::template::{Scanner, TemplateError};

/// The elements of a pattern.
pub(super) struct Elements {
    pub(super) list: Vec<Element>,
    /// Wildcards that a template may name.
    pub(super) wildcards: usize,
    /// One of them is a back reference.
    pub(super) refers: bool,
    /// Networks that are written with bits of a host, without these: `$(127.0.0.0/24)`.
    pub(super) loose: Vec<String>,
}

impl Elements {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parser = PatternParser { scanner: Scanner::new(text), ..PatternParser::default() };
        while let Some(c) = parser.scanner.peek() {
            parser.element(c)?;
        }
        parser.flush();
        let PatternParser { elements: list, wildcards, refers, loose, .. } = parser;
        Ok(Self { list, wildcards, refers, loose })
    }
}

#[derive(Default)]
struct PatternParser<'a> {
    scanner: Scanner<'a>,
    elements: Vec<Element>,
    literal: String,
    wildcards: usize,
    refers: bool,
    loose: Vec<String>,
    /// After `$@`, to the next wildcard or `$^`.
    unsaved: bool,
    minimal: bool,
}

impl PatternParser<'_> {
    fn element(&mut self, c: char) -> Result<(), TemplateError> {
        let offset = self.scanner.offset();
        match c {
            '*' | '%' => self.wildcard(offset, Class::Any),
            '$' => self.dollar(offset),
            _ => {
                self.scanner.next();
                self.literal.push(c);
                Ok(())
            }
        }
    }

    fn dollar(&mut self, offset: usize) -> Result<(), TemplateError> {
        self.scanner.next();
        let refuse = |text: String| TemplateError::new(offset, text, ELEMENTS);
        let Some(c) = self.scanner.next() else {
            return Err(refuse("\"$\" at the end".to_owned()));
        };
        match c {
            '$' | '*' | '%' | ' ' | '\t' => self.literal.push(c),
            '_' => self.minimal = true,
            '@' => self.unsaved = true,
            '^' => self.unsaved = false,
            '0'..='9' if self.scanner.eat('*') => return self.again(offset, c),
            '(' => return self.network(offset, ')', v4_network),
            '<' => return self.network(offset, '>', v4_low_bits),
            '{' => return self.network(offset, '}', v6_network),
            '[' => {
                let class = self.set(offset)?;
                return self.wildcard(offset, class);
            }
            _ => match Class::from_letter(c) {
                Some(class) => return self.wildcard(offset, class),
                None => return Err(refuse(format!("\"${c}\" means nothing in a pattern"))),
            },
        }
        Ok(())
    }

    fn wildcard(&mut self, offset: usize, class: Class) -> Result<(), TemplateError> {
        self.flush();
        let many = match self.scanner.next() {
            Some('*') => true,
            Some('%') => false,
            _ => return Err(TemplateError::new(offset, "a class without * or %", ELEMENTS)),
        };
        let saved = !std::mem::take(&mut self.unsaved) && self.wildcards < MAX_WILDCARDS;
        let save = saved.then_some(self.wildcards);
        self.wildcards += usize::from(saved);
        let minimal = std::mem::take(&mut self.minimal);
        self.elements.push(if many {
            Element::Many(Star { class, save, minimal })
        } else {
            Element::One(class, save)
        });
        Ok(())
    }

    fn again(&mut self, offset: usize, digit: char) -> Result<(), TemplateError> {
        self.flush();
        let n = digit.to_digit(10).map_or(0, |n| n as usize);
        if n >= self.wildcards {
            let message = format!("there is no wildcard {n} before this");
            return Err(TemplateError::new(offset, message, "the number of an earlier wildcard"));
        }
        self.refers = true;
        self.elements.push(Element::Again(n));
        Ok(())
    }

    fn network(
        &mut self,
        offset: usize,
        end: char,
        parse: fn(&str) -> Option<Element>,
    ) -> Result<(), TemplateError> {
        self.flush();
        let error = || {
            let message = "not an address and a number of bits";
            let accepted = "$(192.0.2.0/24), ${2001:db8::/32}, $<192.0.2.0/8>: all but 8 bits";
            TemplateError::new(offset, message, accepted)
        };
        let text = self.scanner.until(end).ok_or_else(error)?;
        let element = parse(text).ok_or_else(error)?;
        self.loose.extend(without_host(text, end, &element));
        self.elements.push(element);
        Ok(())
    }

    /// `$[a-z_]`, `$[^0-9]`, up to the bracket.
    fn set(&mut self, offset: usize) -> Result<Class, TemplateError> {
        let error = || TemplateError::new(offset, "not a set of characters", "$[a-z_]*, $[^0-9]%");
        let text = self.scanner.until(']').ok_or_else(error)?;
        let (negated, text) = match text.strip_prefix('^') {
            Some(text) => (true, text),
            None => (false, text),
        };
        if text.is_empty() || !text.is_ascii() {
            return Err(error());
        }
        let mut ranges = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            (rest, ranges) = match after {
                [b'-', last, after @ ..] => (after, push(ranges, (*first, *last))),
                _ => (after, push(ranges, (*first, *first))),
            };
        }
        Ok(Class::of(|c| {
            let within = |c: u8| ranges.iter().any(|(first, last)| (first..=last).contains(&&c));
            let found = within(c.to_ascii_lowercase()) || within(c.to_ascii_uppercase());
            found != negated
        }))
    }

    fn flush(&mut self) {
        let literal = folded(&std::mem::take(&mut self.literal));
        if !literal.is_empty() {
            self.elements.push(Element::Literal(literal.into_bytes().into()));
        }
    }
}

fn push<T>(mut list: Vec<T>, item: T) -> Vec<T> {
    list.push(item);
    list
}

fn v4_network(text: &str) -> Option<Element> {
    let (address, bits) = network::<Ipv4Addr>(text, 32)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    Some(Element::V4 { net: u32::from(address) & mask, mask })
}

/// The number is that of the bits on the right which do not count.
fn v4_low_bits(text: &str) -> Option<Element> {
    let (address, ignored) = network::<Ipv4Addr>(text, 32)?;
    let mask = u32::MAX.checked_shl(ignored).unwrap_or(0);
    Some(Element::V4 { net: u32::from(address) & mask, mask })
}

fn v6_network(text: &str) -> Option<Element> {
    let (address, bits) = network::<Ipv6Addr>(text, 128)?;
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    Some(Element::V6 { net: u128::from(address) & mask, mask })
}

/// A network as it is to be written, where `text` has bits of a host.
fn without_host(text: &str, end: char, element: &Element) -> Option<String> {
    let (address, bits) = text.split_once('/')?;
    let net: IpAddr = match element {
        Element::V4 { net, .. } => Ipv4Addr::from(*net).into(),
        Element::V6 { net, .. } => Ipv6Addr::from(*net).into(),
        _ => return None,
    };
    let begin = match end {
        ')' => '(',
        '>' => '<',
        _ => '{',
    };
    let has_host = address.parse::<IpAddr>().is_ok_and(|address| address != net);
    has_host.then(|| format!("${begin}{net}/{bits}{end}"))
}

fn network<A: std::str::FromStr>(text: &str, max: u32) -> Option<(A, u32)> {
    let (address, bits) = text.split_once('/')?;
    let bits = bits.parse().ok().filter(|bits| *bits <= max)?;
    Some((address.parse().ok()?, bits))
}

const ELEMENTS: &str = "* % $_* $@* $^ $n* $A $B $D $H $O $S $T $X $[a-z] each before * or %, \
                        $(v4/bits), ${v6/bits}, $<v4/low bits>, and $ before * % $ or a blank";
