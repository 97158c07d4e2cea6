//! Parameters of MIME fields (RFC 2231).

use std::{collections::HashSet, fmt::Write as _};

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
    let siblings = Siblings::of(&read);
    as_they_are(segments().next().unwrap_or_default(), out)?;
    for (segment, parameter) in segments().skip(1).zip(read) {
        let changed = match parameter {
            Some(parameter) if siblings.is_repeated(&parameter) => continue,
            Some(parameter) => parameter.written(&siblings),
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

/// A parameter whose name makes sense.
struct Parameter {
    /// In lower case, before an asterisk.
    base: String,
    /// As it stands there.
    name: String,
    section: Section,
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
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        let (base, section) = match name.split_once('*') {
            None => (name, Section::Whole),
            Some((base, number)) if number.is_empty() || number.ends_with('*') => {
                (base, Section::Extended)
            }
            Some((base, number)) => (base, Section::Plain { is_first: number == "0" }),
        };
        let value = unfolded(&raw[at + 1..]);
        let value = if value.starts_with(b"\"") { unquoted(&value) } else { value };
        Some(Self { base: base.to_ascii_lowercase(), name: name.to_owned(), section, value })
    }

    /// The sections to stand in its place; `None`: it stays.
    fn written(&self, siblings: &Siblings) -> Option<Vec<String>> {
        let Self { name, value, .. } = self;
        let charset = charset(value);
        let is_ascii = value.is_ascii();
        match self.section {
            Section::Whole if !is_ascii => Some(self.whole(charset)),
            Section::Extended if !is_ascii => {
                Some(vec![format!("{name}={}", percent(value, b"%'"))])
            }
            Section::Plain { is_first: true } if siblings.sections.contains(&self.base) => {
                Some(vec![format!("{name}*={charset}''{}", percent(value, b""))])
            }
            Section::Plain { is_first: false } if !is_ascii => {
                Some(vec![format!("{name}*={}", percent(value, b""))])
            }
            _ => None,
        }
    }

    /// In one piece if a line has room for it, else in sections of whole characters.
    fn whole(&self, charset: &str) -> Vec<String> {
        let Self { name, value, .. } = self;
        let one = format!("{name}*={charset}''{}", percent(value, b""));
        if one.len() < LINE - 2 {
            return vec![one];
        }
        let room = LINE.saturating_sub(name.len() + "*99999*=unknown-8bit''; ".len()).max(12);
        let (mut sections, mut section) = (Vec::new(), String::new());
        let is_utf8 = charset == "UTF-8";
        let mut put = |section: &mut String| {
            let n = sections.len();
            let front = if n == 0 { format!("{charset}''") } else { String::new() };
            sections.push(format!("{name}*{n}*={front}{section}"));
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
        sections
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
        siblings
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
