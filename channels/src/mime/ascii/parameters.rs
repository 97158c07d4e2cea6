//! Parameters of MIME fields (RFC 2231).

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use super::{
    folding::{Folding, LINE, charset, is_inner},
    tokens::{Token, TokenKind, tokens, unfolded, unquoted},
    words::{as_they_are, raw_text},
};

/// A field with parameters, as `Content-Type`; `None`: something that is none is not ASCII.
pub(super) fn parameters(value: &[u8], out: &mut Folding<'_>) -> Option<()> {
    let all = tokens(value).collect::<Option<Vec<_>>>()?;
    let segments = || all.split(|token| token.is(b';'));
    let read: Vec<_> = segments().skip(1).map(Parameter::of).collect();
    let mut siblings = Siblings::of(&read);
    as_they_are(segments().next().unwrap_or_default(), out)?;
    for (segment, parameter) in segments().skip(1).zip(read) {
        let changed = match parameter {
            Some(parameter) if siblings.is_repeated(&parameter) => continue,
            Some(parameter) => match siblings.joined_by(&parameter) {
                Some(sections) if sections.is_empty() => continue,
                Some(sections) => Some(sections),
                None => parameter.written(&siblings),
            },
            None if is_ascii(segment) => None,
            None => {
                // As a comment: the other parameters keep their meaning.
                out.space();
                out.plain(b"(");
                out.encoded(&raw_text(segment));
                out.plain(b")");
                continue;
            }
        };
        out.plain(b";");
        match changed {
            Some(sections) => {
                for (n, section) in sections.iter().enumerate() {
                    if n > 0 {
                        out.plain(b";");
                    }
                    out.space();
                    out.plain(section.as_bytes());
                }
                let behind = segment.iter().filter(|token| token.kind == TokenKind::Comment);
                for comment in behind {
                    out.space();
                    as_they_are(&[*comment], out)?;
                }
            }
            None => as_they_are(segment, out)?,
        }
    }
    Some(())
}

/// The value of a `Content-Type`, read.
pub(in crate::mime) struct TypeAndParameters {
    /// Without comments.
    pub(in crate::mime) kind: Vec<u8>,
    /// Names in lower case, values as they stand there.
    pub(in crate::mime) parameters: Vec<(String, Vec<u8>)>,
}

impl TypeAndParameters {
    /// `None`: a comment or a quoted string does not end.
    pub(in crate::mime) fn of(value: &[u8]) -> Option<Self> {
        let all = tokens(value).collect::<Option<Vec<_>>>()?;
        let mut segments = all.split(|token| token.is(b';'));
        let kind = segments.next().unwrap_or_default().iter().filter(|token| !token.is_room());
        let kind = kind.flat_map(|token| token.raw).copied().collect();
        let named = |parameter: Parameter| (parameter.name.to_ascii_lowercase(), parameter.value);
        Some(Self { kind, parameters: segments.filter_map(Parameter::of).map(named).collect() })
    }
}

/// A parameter whose name makes sense.
struct Parameter {
    /// In lower case, before an asterisk.
    base: String,
    /// As it stands there.
    name: String,
    section: Section,
    /// Behind the asterisk.
    number: Option<u32>,
    value: Vec<u8>,
}

/// The meaning of an asterisk in the name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Section {
    /// There is none.
    Whole,
    /// The value is encoded, or a section of one that is.
    Extended,
    /// A section that is not encoded.
    Plain { is_first: bool },
}

/// The names of parameters that depend on each other.
#[derive(Default)]
struct Siblings {
    /// Have their value encoded.
    extended: HashSet<String>,
    /// Have a plain section that is not ASCII.
    sections: HashSet<String>,
    /// Have a section that no line has room for: all of them, cut anew. Empty: they are written.
    joined: HashMap<String, Vec<String>>,
}

impl Parameter {
    fn of(segment: &[Token<'_>]) -> Option<Self> {
        let raw: Vec<u8> = segment
            .iter()
            .filter(|token| token.kind != TokenKind::Comment)
            .flat_map(|token| token.raw)
            .copied()
            .collect();
        let at = memchr::memchr(b'=', &raw)?;
        let name = std::str::from_utf8(raw[..at].trim_ascii()).ok()?;
        let is_name = |c: u8| c.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_name) {
            return None;
        }
        let (base, section) = match name.split_once('*') {
            None => (name, Section::Whole),
            Some((base, number)) if number.is_empty() || number.ends_with('*') => {
                (base, Section::Extended)
            }
            Some((base, number)) => (base, Section::Plain { is_first: number == "0" }),
        };
        let number =
            name.get(base.len() + 1..).and_then(|it| it.trim_end_matches('*').parse().ok());
        let value = unfolded(&raw[at + 1..]);
        let value = if value.starts_with(b"\"") { unquoted(&value) } else { value };
        Some(Self {
            base: base.to_ascii_lowercase(),
            name: name.to_owned(),
            section,
            number,
            value,
        })
    }

    /// The sections to stand in its place; `None`: it stays.
    fn written(&self, siblings: &Siblings) -> Option<Vec<String>> {
        let Self { name, value, .. } = self;
        let is_ascii = value.is_ascii();
        let charset = || charset(value);
        match self.section {
            Section::Whole if !is_ascii => {
                let one = format!("{name}*={}''{}", charset(), percent(value, b""));
                let cut = || sections(name, &format!("{}''", charset()), value);
                Some(if has_room(&one) { vec![one] } else { cut() })
            }
            Section::Extended if !is_ascii => {
                let one = format!("{name}={}", percent(value, b"%'"));
                let stays = self.number.is_some() || has_room(&one);
                Some(if stays { vec![one] } else { Self::joined(&[self]) })
            }
            Section::Plain { is_first: true } if siblings.sections.contains(&self.base) => {
                Some(vec![format!("{name}*={}''{}", charset(), percent(value, b""))])
            }
            Section::Plain { is_first: false } if !is_ascii => {
                Some(vec![format!("{name}*={}", percent(value, b""))])
            }
            _ => None,
        }
    }

    /// The value that sections make, cut into others.
    fn joined(all: &[&Self]) -> Vec<String> {
        let Some(first) = all.first() else { return Vec::new() };
        let (front, rest) = match first.section {
            Section::Extended => charset_and_language(&first.value),
            Section::Plain { .. } | Section::Whole => (None, first.value.as_slice()),
        };
        let mut value = Vec::new();
        for (n, one) in all.iter().enumerate() {
            let text = if n == 0 { rest } else { &one.value };
            match one.section {
                Section::Extended => value.extend(decoded(text)),
                Section::Plain { .. } | Section::Whole => value.extend_from_slice(text),
            }
        }
        let front = front.map_or_else(|| format!("{}''", charset(&value)), str::to_owned);
        sections(&first.name[..first.base.len()], &front, &value)
    }
}

impl Siblings {
    fn of(all: &[Option<Parameter>]) -> Self {
        let mut siblings = Self::default();
        for parameter in all.iter().flatten() {
            match parameter.section {
                Section::Extended => _ = siblings.extended.insert(parameter.base.clone()),
                Section::Plain { .. } if !parameter.value.is_ascii() => {
                    siblings.sections.insert(parameter.base.clone());
                }
                Section::Plain { .. } | Section::Whole => {}
            }
        }
        let read = || all.iter().flatten().filter(|parameter| parameter.number.is_some());
        let mut joined: HashMap<_, Vec<&Parameter>> = HashMap::new();
        for parameter in read() {
            let written = parameter.written(&siblings).unwrap_or_default();
            if !written.iter().all(|section| has_room(section)) {
                joined.insert(parameter.base.as_str(), Vec::new());
            }
        }
        for parameter in read() {
            if let Some(sections) = joined.get_mut(parameter.base.as_str()) {
                sections.push(parameter);
            }
        }
        for (base, mut sections) in joined {
            sections.sort_by_key(|section| section.number);
            siblings.joined.insert(base.to_owned(), Parameter::joined(&sections));
        }
        siblings
    }

    /// The sections in the place of the first that is met; none in that of the others. `None`: each
    /// has its own.
    fn joined_by(&mut self, parameter: &Parameter) -> Option<Vec<String>> {
        parameter.number?;
        self.joined.get_mut(&parameter.base).map(std::mem::take)
    }

    /// Whether it stands there encoded as well, for readers that know RFC 2231.
    fn is_repeated(&self, parameter: &Parameter) -> bool {
        parameter.section == Section::Whole
            && !parameter.value.is_ascii()
            && self.extended.contains(&parameter.base)
    }
}

/// Whether all is ASCII but for comments.
fn is_ascii(segment: &[Token<'_>]) -> bool {
    segment.iter().all(|token| token.is_room() || token.raw.is_ascii())
}

/// Whether a line has room for it, for the semicolon and for the blank before it.
fn has_room(section: &str) -> bool {
    section.len() < LINE - 2
}

/// A value in sections of whole characters that lines have room for; `front` is the character set and
/// the language.
fn sections(name: &str, front: &str, value: &[u8]) -> Vec<String> {
    let room = LINE.saturating_sub(name.len() + front.len() + "*99999*=; ".len()).max(12);
    let (mut all, mut section) = (Vec::new(), String::new());
    let is_utf8 = front.get(.."utf-8'".len()).is_some_and(|it| it.eq_ignore_ascii_case("utf-8'"));
    let is_utf8 = is_utf8 && std::str::from_utf8(value).is_ok();
    let mut put = |section: &mut String| {
        let n = all.len();
        let front = if n == 0 { front } else { "" };
        all.push(format!("{name}*{n}*={front}{section}"));
        section.clear();
    };
    for character in value.chunk_by(|_, b| is_utf8 && is_inner(*b)) {
        let character = percent(character, b"");
        if section.len() + character.len() > room {
            put(&mut section);
        }
        section += &character;
    }
    put(&mut section);
    all
}

/// The character set and the language at the front of an encoded value, with their apostrophes, and
/// what is behind them. `None`: they are too long, or make no sense.
fn charset_and_language(value: &[u8]) -> (Option<&str>, &[u8]) {
    let Some(at) = memchr::memchr_iter(b'\'', value).nth(1) else {
        return (None, value);
    };
    let (front, rest) = value.split_at(at + 1);
    match std::str::from_utf8(front) {
        Ok(front) if front.len() <= LONGEST_FRONT && percent(front.as_bytes(), b"'") == front => {
            (Some(front), rest)
        }
        _ => (None, value),
    }
}

/// The octets that percent-encoded text means.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|c| char::from(*c).to_digit(16));
    let (mut octets, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(octet) = text.get(at) {
        let code = || Some(digit(at + 1)? << 4 | digit(at + 2)?);
        let meant = if *octet == b'%' { code().and_then(|it| u8::try_from(it).ok()) } else { None };
        at += if meant.is_some() { 3 } else { 1 };
        octets.push(meant.unwrap_or(*octet));
    }
    octets
}

/// Percent-encoded but for `attribute-char` and these.
fn percent(value: &[u8], spare: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value {
        let is_itself = octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(octet);
        if is_itself || spare.contains(octet) {
            text.push(char::from(*octet));
        } else {
            let _ = write!(text, "%{octet:02X}");
        }
    }
    text
}

/// Octets of a name that is given sections.
const LONGEST_NAME: usize = 255;
/// Octets of a character set and a language (RFC 2978 section 2.3, RFC 5646 section 4.4.1).
const LONGEST_FRONT: usize = 40 + 35 + "''".len();
