//! Parts that the three template languages share: places of mistakes, letter case, scanning.
//!
//! Rewrite rules, mapping tables and delivery options all write `$` and a letter, but the same
//! letter means different things in each; so each language has its own parser, and only what is
//! beneath them is here. Nothing that is not understood is passed over: it is a [`TemplateError`].

/// A mistake in a pattern or template, told to the person who wrote it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message} (accepted: {accepted})")]
pub struct TemplateError {
    /// Where in the text, in octets from its beginning.
    pub offset: usize,
    /// The mistake, the offending text included.
    pub message: String,
    /// A text that would have been accepted in its place.
    pub accepted: String,
}

/// `$\`, `$^` and `$_`: the letter case of what follows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Case {
    /// `$_`: as it is.
    #[default]
    AsIs,
    /// `$\`.
    Lower,
    /// `$^`.
    Upper,
}

/// Reads a template from left to right.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl TemplateError {
    pub(crate) fn new(offset: usize, message: impl Into<String>, accepted: &str) -> Self {
        Self { offset, message: message.into(), accepted: accepted.to_owned() }
    }
}

impl Case {
    /// The case that `$` and this character select.
    pub(crate) fn from_control(c: char) -> Option<Self> {
        match c {
            '\\' => Some(Self::Lower),
            '^' => Some(Self::Upper),
            '_' => Some(Self::AsIs),
            _ => None,
        }
    }

    /// Appends `text` to `out` in this case. Only ASCII letters change.
    pub fn push(self, out: &mut String, text: &str) {
        let start = out.len();
        out.push_str(text);
        self.apply(out, start);
    }

    /// Puts what stands behind `start` in this case.
    pub fn apply(self, out: &mut str, start: usize) {
        match self {
            Self::AsIs => {}
            Self::Lower => out[start..].make_ascii_lowercase(),
            Self::Upper => out[start..].make_ascii_uppercase(),
        }
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Octets read so far.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// The text that is still to be read.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Reads `c` if it is next.
    pub(crate) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    /// Reads a decimal number if there is one; more than nine digits are a mistake.
    pub(crate) fn number(&mut self) -> Result<Option<u32>, TemplateError> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Ok(None);
        }
        let start = self.at;
        self.at += digits;
        match self.text[start..self.at].parse() {
            Ok(number) if digits <= 9 => Ok(Some(number)),
            _ => Err(TemplateError::new(start, "the number is too long", "at most nine digits")),
        }
    }

    /// Reads up to `end`, which is read too but not returned; nested `$` sequences are not
    /// looked at.
    pub(crate) fn until(&mut self, end: char) -> Option<&'a str> {
        let length = self.rest().find(end)?;
        let read = &self.rest()[..length];
        self.at += length + end.len_utf8();
        Some(read)
    }
}

/// Appends `text` as a value in a filter of LDAP (RFC 4515).
pub fn put_for_filter(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '*' => out.push_str("\\2a"),
            '(' => out.push_str("\\28"),
            ')' => out.push_str("\\29"),
            '\\' => out.push_str("\\5c"),
            '\0' => out.push_str("\\00"),
            _ => out.push(c),
        }
    }
}

/// Appends `text` as a value in a distinguished name (RFC 4514).
pub fn put_for_name(out: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, c) in text.char_indices() {
        match c {
            '\0' => out.push_str("\\00"),
            '#' if at != 0 => out.push(c),
            ' ' if at != 0 && at != last => out.push(c),
            ' ' | '#' | ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}

/// One level deeper into what may be nested: parsing, filling in and dropping it all go down by
/// as many calls, on stacks that strangers' addresses share.
pub(crate) fn deeper(depth: usize, offset: usize) -> Result<usize, TemplateError> {
    if depth == MAX_NESTED {
        let message = "this is nested too deeply";
        let accepted = format!("{MAX_NESTED} within one another at most");
        return Err(TemplateError::new(offset, message, &accepted));
    }
    Ok(depth + 1)
}

const MAX_NESTED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_changes_ascii_letters_only() {
        let mut out = String::from("K");
        Case::Lower.push(&mut out, "AbC1");
        Case::Upper.push(&mut out, "x-y");
        Case::AsIs.push(&mut out, "Zz");
        assert_eq!(out, "Kabc1X-YZz");
    }

    #[test]
    fn numbers_of_ten_digits_are_refused() {
        assert_eq!(Scanner::new("123456789x").number(), Ok(Some(123_456_789)));
        assert_eq!(Scanner::new("x").number(), Ok(None));
        assert_eq!(Scanner::new("1234567890").number().map_err(|e| e.offset), Err(0));
    }
}
