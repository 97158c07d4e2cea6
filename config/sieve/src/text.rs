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

/// A reference in a string: where it ends, and what it names.
pub(crate) enum Reference<'t> {
    Name(&'t str),
    Match(u8),
    /// `${space.name}`.
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
        let (before, from) = rest.split_at(start);
        decoded.extend_from_slice(before.as_bytes());
        let inside = &from[2..];
        let named = ["hex:", "unicode:"]
            .into_iter()
            .find(|name| inside.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name)));
        let Some((name, values)) = named.map(|name| (name, &inside[name.len()..])) else {
            decoded.extend_from_slice(b"${");
            rest = inside;
            continue;
        };
        let is_hex = name == "hex:";
        let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let end = values.find(|c: char| !c.is_ascii_hexdigit() && !blank(c)).unwrap_or(0);
        let numbers = &values[..end];
        let fits = |number: &str| number.len() <= if is_hex { 2 } else { usize::MAX };
        let mut each = numbers.split(blank).filter(|it| !it.is_empty());
        if !values[end..].starts_with('}') || numbers.trim().is_empty() || !each.clone().all(fits) {
            decoded.extend_from_slice(b"${");
            rest = inside;
            continue;
        }
        each.try_for_each(|number| {
            let bad = || number.to_owned();
            // Leading zeros do not count.
            let value = number.trim_start_matches('0');
            let value = if value.is_empty() { "0" } else { value };
            let value = u32::from_str_radix(value, 16).map_err(|_| bad())?;
            if is_hex {
                decoded.push(value as u8);
            } else {
                let c = char::from_u32(value).ok_or_else(bad)?;
                decoded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Ok::<_, String>(())
        })?;
        rest = &values[end + 1..];
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8(decoded).map_err(|_| text.to_owned())
}
