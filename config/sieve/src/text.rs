//! Strings of a script with variables in them: RFC 5229 3.

/// A string of a script.
#[derive(Debug)]
pub(crate) enum Text {
    Fixed(Box<str>),
    Open(Box<[Piece]>),
}

/// A piece of a string.
#[derive(Debug)]
pub(crate) enum Piece {
    Fixed(Box<str>),
    /// By its number in the script.
    Variable(u16),
    /// `${0}` to `${9}`; those beyond are empty.
    Match(u8),
}

impl Text {
    pub(crate) fn fixed(&self) -> Option<&str> {
        match self {
            Self::Fixed(text) => Some(text),
            Self::Open(_) => None,
        }
    }
}

/// The thing that a reference in a string names.
pub(crate) enum Reference<'t> {
    /// A variable.
    Name(&'t str),
    /// `${1}`; numbers that are too large count as 255.
    Match(u8),
    /// `${space.name}`, of which there are none.
    Space,
}

/// The next reference in a text: where it begins, where it ends, what it names.
pub(crate) fn next_reference(text: &str, from: usize) -> Option<(usize, usize, Reference<'_>)> {
    let mut at = from;
    loop {
        let start = at + text[at..].find("${")?;
        // `${${x}`: the inner one counts.
        at = start + 2;
        let inside = &text[at..];
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        let Some(end) = end.filter(|end| inside[*end..].starts_with('}')) else { continue };
        let name = &inside[..end];
        let reference = if !name.is_empty() && name.bytes().all(|c| c.is_ascii_digit()) {
            Some(Reference::Match(name.parse().unwrap_or(u8::MAX)))
        } else if is_name(name) {
            Some(Reference::Name(name))
        } else if is_in_space(name) {
            Some(Reference::Space)
        } else {
            None
        };
        if let Some(reference) = reference {
            return Some((start, at + end + 1, reference));
        }
    }
}

/// `space.name` or `space.1`: RFC 5229 3.
fn is_in_space(text: &str) -> bool {
    let mut parts = text.split('.');
    let is_part = |part: &str| is_name(part) || is_number(part);
    parts.next().is_some_and(is_name) && text.contains('.') && parts.all(is_part)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// Whether a text can name a variable.
pub(crate) fn is_name(text: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(begins) && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// Decodes `${hex: ...}` and `${unicode: ...}`: RFC 5228 2.4.2.4. Anything that is not of their form
/// stays as it is; an error is the value that is none.
pub(crate) fn decode_characters(text: &str) -> Result<String, String> {
    let mut decoded: Vec<u8> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        decoded.extend_from_slice(&rest.as_bytes()[..start]);
        let inside = &rest[start + 2..];
        if let Some((encoded, behind)) = Encoded::at(inside) {
            encoded.decode(&mut decoded)?;
            rest = behind;
        } else {
            decoded.extend_from_slice(b"${");
            rest = inside;
        }
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8(decoded).map_err(|_| text.to_owned())
}

/// Numbers in hexadecimal digits, with blanks between them.
enum Encoded<'t> {
    /// Octets.
    Hex(&'t str),
    /// Characters.
    Unicode(&'t str),
}

impl<'t> Encoded<'t> {
    /// The one that a text begins with, behind its `${`, and the text behind its brace.
    fn at(inside: &'t str) -> Option<(Self, &'t str)> {
        let named = |name: &str| {
            let (own, numbers) = inside.split_at_checked(name.len())?;
            own.eq_ignore_ascii_case(name).then_some(numbers)
        };
        let (numbers, is_hex) = match named("hex:") {
            Some(numbers) => (numbers, true),
            None => (named("unicode:")?, false),
        };
        // Another character before the brace makes it no encoding.
        let end = numbers.find(|c: char| !c.is_ascii_hexdigit() && !is_blank(c))?;
        let (numbers, behind) = numbers.split_at(end);
        let behind = behind.strip_prefix('}')?;
        let fits = |number: &str| !is_hex || number.len() <= 2;
        let mut each = each_number(numbers).peekable();
        let is_one = each.peek().is_some() && each.all(fits);
        let encoded = if is_hex { Self::Hex(numbers) } else { Self::Unicode(numbers) };
        is_one.then_some((encoded, behind))
    }

    /// Appends the octets, or the characters; an error is the number of none.
    fn decode(self, into: &mut Vec<u8>) -> Result<(), String> {
        let (numbers, is_hex) = match self {
            Self::Hex(numbers) => (numbers, true),
            Self::Unicode(numbers) => (numbers, false),
        };
        for number in each_number(numbers) {
            let bad = || number.to_owned();
            // However many zeros stand in front.
            let value = match number.trim_start_matches('0') {
                "" => 0,
                digits => u32::from_str_radix(digits, 16).map_err(|_| bad())?,
            };
            if is_hex {
                into.push(value as u8);
            } else {
                let c = char::from_u32(value).ok_or_else(bad)?;
                into.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Ok(())
    }
}

fn each_number(numbers: &str) -> impl Iterator<Item = &str> {
    numbers.split(is_blank).filter(|number| !number.is_empty())
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}
