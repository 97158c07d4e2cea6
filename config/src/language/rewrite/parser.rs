//! Templates of rewrite rules: from text to what they say.
//!
//! One pass from left to right. `%` and `@` divide the template into parts; controls may stand
//! anywhere and belong to no part.

use super::syntax::{
    ChannelSet, Chunk, Condition, Cut, ErrorText, Location, Outcome, Part, RewritePiece, Rewriting,
};
use crate::language::{
    facts::FactTest,
    lookup_url::{AddressPart, LookupUrl},
    template::{self, Case, Scanner, TemplateError},
};

/// Collects what a template says.
#[derive(Clone)]
pub(crate) struct Parser<'a> {
    scanner: Scanner<'a>,
    /// `$(key)` is stepped over.
    pub(crate) general: bool,
    /// Closed sections: user, host, route, tag.
    sections: Vec<Vec<RewritePiece>>,
    section: Vec<RewritePiece>,
    /// The first separator is `%`.
    percent: bool,
    cuts: Vec<Cut>,
    conditions: Vec<Condition>,
    error: Option<ErrorText>,
    set_tag: Option<String>,
    /// `${` and `$(` around this place.
    depth: usize,
    /// `$.text.`, for the look-ups behind it.
    on_failure: Option<String>,
}

/// A sequence that `$` introduced.
enum Item {
    Piece(RewritePiece),
    /// A letter that yields no text, with its number.
    Control(char, Option<u32>),
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            scanner: Scanner::new(text),
            general: false,
            sections: Vec::new(),
            section: Vec::new(),
            percent: false,
            cuts: Vec::new(),
            conditions: Vec::new(),
            error: None,
            set_tag: None,
            depth: 0,
            on_failure: None,
        }
    }

    pub(crate) fn read(&mut self) -> Result<(), TemplateError> {
        loop {
            let offset = self.scanner.offset();
            match self.scanner.peek() {
                None => return Ok(()),
                Some('$') => match self.item()? {
                    Some(Item::Piece(piece)) => push(&mut self.section, piece),
                    Some(Item::Control(letter, number)) => self.control(offset, letter, number)?,
                    None => {}
                },
                Some(c @ ('%' | '@')) => {
                    self.scanner.next();
                    self.separate(offset, c)?;
                }
                Some(c) if c.is_whitespace() || c.is_control() => {
                    let message = "white space in a template";
                    return Err(TemplateError::new(offset, message, FORMS));
                }
                Some(c) => {
                    self.scanner.next();
                    push(&mut self.section, RewritePiece::Text(c.into()));
                }
            }
        }
    }

    fn separate(&mut self, offset: usize, c: char) -> Result<(), TemplateError> {
        let wrong = |message| Err(TemplateError::new(offset, message, FORMS));
        match (c, self.sections.len()) {
            ('%', 0) => self.percent = true,
            ('%', _) => return wrong("a second \"%\""),
            (_, 3..) => return wrong("a fourth \"@\""),
            _ => {}
        }
        self.sections.push(std::mem::take(&mut self.section));
        Ok(())
    }

    /// Reads `$` and what belongs to it; `None` is a `$(key)` that was stepped over, or no text.
    fn item(&mut self) -> Result<Option<Item>, TemplateError> {
        let offset = self.scanner.offset();
        self.scanner.next();
        let number = self.scanner.number()?;
        let Some(c) = self.scanner.next() else {
            return Err(TemplateError::new(offset, "\"$\" at the end", SEQUENCES));
        };
        if let (None, Some(case)) = (number, Case::from_control(c)) {
            return Ok(Some(Item::Piece(RewritePiece::Case(case))));
        }
        let small = number.map(|n| u8::try_from(n).unwrap_or(u8::MAX));
        let place = number.map_or(u16::MAX, |n| u16::try_from(n).unwrap_or(u16::MAX));
        let piece = match (c.to_ascii_uppercase(), number) {
            ('$' | '%' | '@', None) => RewritePiece::Text(c.into()),
            ('U', None) => RewritePiece::User,
            ('U', Some(0)) => RewritePiece::UserName,
            ('U', Some(1)) => RewritePiece::Subaddress,
            ('D', _) => RewritePiece::Part(Part::Matched, small),
            ('H', _) => RewritePiece::Part(Part::Unmatched, small),
            ('L', None) => RewritePiece::Literal,
            ('A', Some(_)) => RewritePiece::Character(place),
            ('W', None) => RewritePiece::Unique,
            ('=', None) => RewritePiece::Quote,
            ('&' | '!' | '*' | '#', None) => self.label(offset, c)?,
            ('{', None) => self.mapping(offset)?,
            (']', None) => self.url(offset)?,
            ('.', None) => {
                self.on_failure(offset)?;
                return Ok(None);
            }
            ('(', None) if self.general => {
                self.key(offset)?;
                return Ok(None);
            }
            (
                'E' | 'B' | 'F' | 'R' | 'S' | 'A' | 'P' | 'X' | 'V' | 'Z' | 'T' | 'Q' | 'C' | ':'
                | ';',
                None,
            )
            | ('M' | 'N', None | Some(1))
            | ('~', Some(1))
            | ('?', _) => return Ok(Some(Item::Control(c.to_ascii_uppercase(), number))),
            _ => return Err(refuse(offset, c, number)),
        };
        Ok(Some(Item::Piece(piece)))
    }

    fn label(&mut self, offset: usize, c: char) -> Result<RewritePiece, TemplateError> {
        let digit = self.scanner.next().and_then(|digit| digit.to_digit(10));
        let Some(n) = digit else {
            let message = format!("\"${c}\" without a digit");
            return Err(TemplateError::new(offset, message, "a label's number, 0 to 9"));
        };
        let of = if matches!(c, '&' | '!') { Part::Unmatched } else { Part::Matched };
        Ok(RewritePiece::Label { of, from_right: matches!(c, '!' | '#'), n: n as u8 })
    }

    fn mapping(&mut self, offset: usize) -> Result<RewritePiece, TemplateError> {
        let error = || TemplateError::new(offset, "\"${\" without its end", "${table,argument}");
        let table = self.scanner.until(',').ok_or_else(error)?.to_owned();
        if table.is_empty() || table.contains('}') {
            return Err(error());
        }
        let argument = self.enclosed(offset, '}', "${table,argument}")?;
        Ok(RewritePiece::Mapping { table, argument })
    }

    fn url(&mut self, offset: usize) -> Result<RewritePiece, TemplateError> {
        let error = || TemplateError::new(offset, "\"$]\" without its end", "$]ldap:///...[");
        let text = self.scanner.until('[').ok_or_else(error)?;
        let url = LookupUrl::parse(text, offset, AddressPart::of)?;
        Ok(RewritePiece::Url(Box::new(url.or(self.on_failure.clone()))))
    }

    /// `$.text.`; `$..` takes it back.
    fn on_failure(&mut self, offset: usize) -> Result<(), TemplateError> {
        let error = || TemplateError::new(offset, "\"$.\" without its end", "$.text.");
        let text = self.scanner.until('.').ok_or_else(error)?;
        self.on_failure = Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(())
    }

    fn key(&mut self, offset: usize) -> Result<Vec<RewritePiece>, TemplateError> {
        self.general = false;
        let key = self.enclosed(offset, ')', "$(key), not one within another");
        self.general = true;
        key
    }

    /// Pieces up to a closing bracket.
    fn enclosed(
        &mut self,
        offset: usize,
        end: char,
        accepted: &str,
    ) -> Result<Vec<RewritePiece>, TemplateError> {
        self.depth = template::deeper(self.depth, offset)?;
        let mut pieces = Vec::new();
        loop {
            let here = self.scanner.offset();
            match self.scanner.peek() {
                None => {
                    let message = format!("{end:?} is missing");
                    return Err(TemplateError::new(offset, message, accepted));
                }
                Some('$') => match self.item()? {
                    Some(Item::Piece(piece)) => push(&mut pieces, piece),
                    Some(Item::Control(c, number)) => return Err(refuse(here, c, number)),
                    None => {}
                },
                Some(c) => {
                    self.scanner.next();
                    if c == end {
                        self.depth -= 1;
                        return Ok(pieces);
                    }
                    push(&mut pieces, RewritePiece::Text(c.into()));
                }
            }
        }
    }

    fn control(&mut self, offset: usize, c: char, n: Option<u32>) -> Result<(), TemplateError> {
        let condition = match (c, n) {
            ('E', _) => Condition::Envelope(true),
            ('B', _) => Condition::Envelope(false),
            ('F', _) => Condition::Forward(true),
            ('R', _) => Condition::Forward(false),
            ('S' | 'A' | 'P' | 'X', _) => {
                self.found(c);
                return Ok(());
            }
            ('M', _) => return self.channel((offset, n), Condition::Source),
            ('N', _) => return self.channel((offset, n), Condition::NotSource),
            ('Q', _) => return self.channel((offset, n), Condition::Destination),
            ('C', _) => return self.channel((offset, n), Condition::NotDestination),
            ('~', _) => return self.cut(offset),
            (':' | ';', _) => Condition::Fact(FactTest::read(&mut self.scanner, offset, c == ':')?),
            ('V', _) => Condition::Local(self.argument(offset, c, false)?),
            ('Z', _) => Condition::NotLocal(self.argument(offset, c, false)?),
            ('T', _) => {
                self.set_tag = Some(self.tag(offset)?);
                return Ok(());
            }
            _ => {
                self.error = Some(self.error_text(offset, n)?);
                return Ok(());
            }
        };
        self.conditions.push(condition);
        Ok(())
    }

    /// Several of `$S $A $P $X` are one condition.
    fn found(&mut self, c: char) {
        let location = match c {
            'S' => Location::Route,
            'A' => Location::At,
            'P' => Location::Percent,
            _ => Location::Bang,
        };
        for condition in &mut self.conditions {
            if let Condition::Found(locations) = condition {
                return locations.push(location);
            }
        }
        self.conditions.push(Condition::Found(vec![location]));
    }

    /// Several of the same kind are one condition.
    fn channel(
        &mut self,
        (offset, number): (usize, Option<u32>),
        kind: fn(ChannelSet) -> Condition,
    ) -> Result<(), TemplateError> {
        let mut set = ChannelSet { names: Vec::new(), internal: number.is_some() };
        if !set.internal {
            set.names.push(self.literal(offset, "the name of a channel")?);
        }
        let empty = std::mem::discriminant(&kind(ChannelSet::default()));
        let mut same =
            self.conditions.iter_mut().filter(|its| std::mem::discriminant(*its) == empty);
        match same.next() {
            Some(
                Condition::Source(its)
                | Condition::NotSource(its)
                | Condition::Destination(its)
                | Condition::NotDestination(its),
            ) => {
                its.names.append(&mut set.names);
                its.internal |= set.internal;
            }
            _ => self.conditions.push(kind(set)),
        }
        Ok(())
    }

    /// `$1~`: the conditions on channels up to here are those of the cut.
    fn cut(&mut self, offset: usize) -> Result<(), TemplateError> {
        let (of_cut, kept) = std::mem::take(&mut self.conditions)
            .into_iter()
            .partition::<Vec<_>, _>(|condition| condition.channels().is_some());
        self.conditions = kept;
        // Beside a `$(key)` the value may hold what is missing here.
        if self.general {
            return Ok(());
        }
        let accepted = "$M, $N, $Q or $C before it, as in $U%$D@a$Mtcp_local$1~-b";
        if of_cut.is_empty() {
            let message = "no condition on a channel stands before \"$1~\"";
            return Err(TemplateError::new(offset, message, accepted));
        }
        if self.cuts.len() == MAX_CUTS {
            let accepted = format!("{MAX_CUTS} in one template at most");
            return Err(TemplateError::new(offset, "too many \"$1~\"", &accepted));
        }
        let before = Self { cuts: Vec::new(), ..self.clone() }.finish()?;
        self.cuts.push(Cut { conditions: of_cut, before });
        Ok(())
    }

    fn tag(&mut self, offset: usize) -> Result<String, TemplateError> {
        let tag = self.literal(offset, "a tag that ends in \"|\"")?;
        if !tag.ends_with('|') {
            let message = format!("{tag:?} is not a tag");
            return Err(TemplateError::new(offset, message, "a tag that ends in \"|\""));
        }
        Ok(tag.to_ascii_lowercase())
    }

    fn error_text(&mut self, offset: usize, n: Option<u32>) -> Result<ErrorText, TemplateError> {
        // Before anything else was written the text is the whole template, `@` and all.
        let alone = self.sections.is_empty() && self.section.is_empty();
        let pieces = self.argument(offset, '?', alone)?;
        let text = only_text(&pieces)
            .ok_or_else(|| TemplateError::new(offset, "a substitution in \"$?\"", "text"))?;
        let code = n.unwrap_or(5_001_002);
        let code = ((code / 1_000_000) as u8, (code / 1_000 % 1_000) as u16, (code % 1_000) as u16);
        if !(4..=5).contains(&code.0) {
            let accepted = "$x00y00z? with 4 or 5 for x, as in $4001002?";
            return Err(TemplateError::new(offset, "not the code of an error", accepted));
        }
        Ok(ErrorText { code, text })
    }

    fn literal(&mut self, offset: usize, accepted: &str) -> Result<String, TemplateError> {
        let pieces = self.argument(offset, ' ', false)?;
        only_text(&pieces)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| TemplateError::new(offset, "not a fixed text", accepted))
    }

    /// The argument of a control: up to the next separator or control. `whole`: separators are
    /// part of it.
    fn argument(
        &mut self,
        offset: usize,
        control: char,
        whole: bool,
    ) -> Result<Vec<RewritePiece>, TemplateError> {
        let mut pieces = Vec::new();
        loop {
            let before = self.scanner;
            match self.scanner.peek() {
                None => break,
                Some('%' | '@') if !whole => break,
                Some('$') => match self.item()? {
                    Some(Item::Piece(piece)) => push(&mut pieces, piece),
                    Some(Item::Control(..)) => {
                        self.scanner = before;
                        break;
                    }
                    None => {}
                },
                Some(c) if c.is_control() => {
                    let offset = self.scanner.offset();
                    return Err(TemplateError::new(offset, "a control character", "text"));
                }
                Some(c) => {
                    self.scanner.next();
                    push(&mut pieces, RewritePiece::Text(c.into()));
                }
            }
        }
        if pieces.is_empty() && matches!(control, 'V' | 'Z') {
            let message = format!("\"${control}\" without a domain");
            return Err(TemplateError::new(offset, message, "$V$H"));
        }
        Ok(pieces)
    }

    pub(crate) fn finish(mut self) -> Result<Rewriting, TemplateError> {
        let end = self.scanner.offset();
        let last = std::mem::take(&mut self.section);
        // The directory is asked only when everything else holds.
        self.conditions.sort_by_key(Condition::asks_directory);
        if self.sections.is_empty() && last.is_empty() && self.error.is_some() {
            return Ok(self.rewriting(Outcome::Unchanged));
        }
        self.sections.push(last);
        if let Some(n) = self.sections.iter().position(Vec::is_empty) {
            let message = format!("the {} part is empty", PARTS[n]);
            return Err(TemplateError::new(end, message, FORMS));
        }
        let mut sections = std::mem::take(&mut self.sections).into_iter();
        let outcome = match (sections.next(), sections.next(), sections.next(), sections.next()) {
            (Some(user), Some(host), None, _) if self.percent => Outcome::Restart { user, host },
            (Some(user), Some(host), None, _) => {
                Outcome::Finish { user, host, route: None, tag: None }
            }
            (Some(user), Some(host), Some(tag), None) if self.percent => {
                Outcome::Finish { user, host, route: None, tag: Some(tag) }
            }
            (Some(user), Some(host), Some(route), tag) => {
                let tag = Some(tag.unwrap_or_else(|| route.clone()));
                Outcome::Finish { user, host, route: Some(route), tag }
            }
            _ => return Err(TemplateError::new(end, "neither \"@\" nor \"%\"", FORMS)),
        };
        Ok(self.rewriting(outcome))
    }

    fn rewriting(self, outcome: Outcome) -> Rewriting {
        let Self { cuts, conditions, error, set_tag, .. } = self;
        Rewriting { cuts, conditions, error, set_tag, outcome }
    }
}

/// Divides a template at its `$(key)` sequences.
pub(crate) fn chunks(text: &str) -> Result<Vec<Chunk>, TemplateError> {
    let mut chunks = Vec::new();
    let mut parser = Parser::new(text);
    parser.general = true;
    let mut raw = 0;
    while parser.scanner.peek().is_some() {
        let offset = parser.scanner.offset();
        if parser.scanner.rest().starts_with("$(") {
            chunks.push(Chunk::Raw(text[raw..offset].to_owned()));
            parser.scanner.next();
            parser.scanner.next();
            chunks.push(Chunk::Key(parser.key(offset)?));
            raw = parser.scanner.offset();
        } else if parser.scanner.next() == Some('$') {
            // `$$(` is a dollar sign and a bracket.
            parser.scanner.next();
        }
    }
    chunks.push(Chunk::Raw(text[raw..].to_owned()));
    Ok(chunks)
}

fn refuse(offset: usize, c: char, number: Option<u32>) -> TemplateError {
    let digits = number.map(|n| n.to_string()).unwrap_or_default();
    let sequence = format!("${digits}{c}");
    let (message, accepted) = match (c.to_ascii_uppercase(), number) {
        ('(', _) => ("\"$(\" within \"$(\" or \"${\"".to_owned(), SEQUENCES),
        ('[', None) => {
            let message = "\"$[\" calls a routine of a program library, and none is loaded here";
            (message.to_owned(), "${table,argument} or $(key)")
        }
        ('X', Some(_)) => {
            let message = format!(
                "{sequence:?} is a part of a mail host, which only delivery options know of"
            );
            (message, "$X of delivery_options; in a rule $X asks where the host stands")
        }
        _ => (format!("{sequence:?} means nothing in a rewrite rule"), SEQUENCES),
    };
    TemplateError::new(offset, message, accepted)
}

fn push(pieces: &mut Vec<RewritePiece>, piece: RewritePiece) {
    let RewritePiece::Text(text) = &piece else { return pieces.push(piece) };
    match pieces.last_mut() {
        Some(RewritePiece::Text(before)) => before.push_str(text),
        _ => pieces.push(piece),
    }
}

fn only_text(pieces: &[RewritePiece]) -> Option<String> {
    match pieces {
        [] => Some(String::new()),
        [RewritePiece::Text(text)] => Some(text.clone()),
        _ => None,
    }
}

/// Each copies what stands before it.
const MAX_CUTS: usize = 10;
const PARTS: [&str; 4] = ["user", "host", "route", "tag"];
const FORMS: &str = "A%B@C, A@B, A%B, A@B@C, A@B@C@D, A%B@C@D or $?text, without white space";
const SEQUENCES: &str = "$U $0U $1U $D $H $nD $nH $L $nA $&n $!n $*n $#n $W $$ $% $@ $\\ $^ $_ $= \
                         $(key) ${table,argument} $]ldap:///...[ $.text. $E $B $F $R $S $A $P $X $M $N $1M $1N $Q $C $V \
                         $Z $T $? $1~ $:(spf=fail) $;(spf=pass)";
