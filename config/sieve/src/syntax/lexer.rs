//! Tokens of a script: RFC 5228 8.1.

use std::borrow::Cow;

use crate::mistake::{MistakeKind, Place};

/// A token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token<'t> {
    /// In lower case.
    Identifier(Cow<'t, str>),
    /// In lower case, without its colon.
    Tag(Cow<'t, str>),
    Number(u64),
    /// Without quotes and escapes; its lines end with CRLF.
    Text(Cow<'t, str>),
    /// One of `;,()[]{}`.
    Mark(char),
    End,
}

/// Reads one token after the other.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    place: Place,
}

/// Where the commands `require` end with which a script begins; 0 where there are none.
pub(crate) fn end_of_requires(text: &str) -> usize {
    let (mut lexer, mut end) = (Lexer::new(text), 0);
    while matches!(lexer.next(), (_, Ok(Token::Identifier(word))) if word == "require") {
        loop {
            match lexer.next().1 {
                Ok(Token::Text(_) | Token::Mark('[' | ']' | ',')) => {}
                Ok(Token::Mark(';')) => break,
                _ => return end,
            }
        }
        end = lexer.at;
    }
    end
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, place: Place { line: 1, column: 1 } }
    }

    /// The next token and its place. Behind a mistake the lexer stands beyond it.
    pub(super) fn next(&mut self) -> (Place, Result<Token<'t>, MistakeKind>) {
        if let Err((place, kind)) = self.skip_blank() {
            return (place, Err(kind));
        }
        let place = self.place;
        (place, self.token())
    }

    fn token(&mut self) -> Result<Token<'t>, MistakeKind> {
        let Some(first) = self.rest().chars().next() else { return Ok(Token::End) };
        match first {
            ';' | ',' | '(' | ')' | '[' | ']' | '{' | '}' => {
                self.advance(1);
                Ok(Token::Mark(first))
            }
            '"' => self.quoted(),
            '0'..='9' => self.number(),
            ':' => {
                self.advance(1);
                let name = self.word();
                if name.is_empty() { Err(MistakeKind::Stray(':')) } else { Ok(Token::Tag(name)) }
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = self.word();
                if name == "text" && self.rest().starts_with(':') {
                    return self.multi_line();
                }
                Ok(Token::Identifier(name))
            }
            other => {
                self.advance(other.len_utf8());
                Err(MistakeKind::Stray(other))
            }
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Moves over octets, which end between characters, and counts lines and columns.
    fn advance(&mut self, octets: usize) {
        for octet in &self.rest().as_bytes()[..octets] {
            match octet {
                b'\n' => self.place = Place { line: self.place.line + 1, column: 1 },
                // Octets behind the first one of a character.
                0x80..=0xbf => {}
                _ => self.place.column += 1,
            }
        }
        self.at += octets;
    }

    /// Skips blanks and comments.
    fn skip_blank(&mut self) -> Result<(), (Place, MistakeKind)> {
        loop {
            let rest = self.rest();
            let blank = rest.find(|c: char| !matches!(c, ' ' | '\t' | '\r' | '\n'));
            self.advance(blank.unwrap_or(rest.len()));
            let rest = self.rest();
            let place = self.place;
            if rest.starts_with('#') {
                self.advance(rest.find('\n').map_or(rest.len(), |end| end + 1));
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let end = comment.find("*/");
                self.advance(end.map_or(rest.len(), |end| end + 4));
                if end.is_none() {
                    return Err((place, MistakeKind::Unended("the comment")));
                }
            } else {
                return Ok(());
            }
        }
    }

    fn word(&mut self) -> Cow<'t, str> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = &rest[..end.unwrap_or(rest.len())];
        self.advance(word.len());
        if word.bytes().any(|c| c.is_ascii_uppercase()) {
            Cow::Owned(word.to_ascii_lowercase())
        } else {
            Cow::Borrowed(word)
        }
    }

    fn number(&mut self) -> Result<Token<'t>, MistakeKind> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let shift = match rest[end..].chars().next().map(|c| c.to_ascii_lowercase()) {
            Some('k') => Some(10),
            Some('m') => Some(20),
            Some('g') => Some(30),
            _ => None,
        };
        self.advance(end + usize::from(shift.is_some()));
        let number: u64 = rest[..end].parse().map_err(|_| MistakeKind::Number)?;
        let number = number.checked_mul(1 << shift.unwrap_or(0)).ok_or(MistakeKind::Number)?;
        if i64::try_from(number).is_err() {
            return Err(MistakeKind::Number);
        }
        // A letter behind a number would begin a word that nobody meant.
        if self.rest().starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            let letter = self.rest().chars().next().unwrap_or('_');
            self.word();
            return Err(MistakeKind::Stray(letter));
        }
        Ok(Token::Number(number))
    }

    fn quoted(&mut self) -> Result<Token<'t>, MistakeKind> {
        let inside = &self.rest()[1..];
        let special = inside.find(['"', '\\', '\r', '\n']);
        if let Some(end) = special.filter(|end| inside[*end..].starts_with('"')) {
            self.advance(end + 2);
            return Ok(Token::Text(Cow::Borrowed(&inside[..end])));
        }
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.advance(at + 1);
                    return Ok(Token::Text(Cow::Owned(text)));
                }
                '\\' => match characters.next() {
                    Some((_, '\n')) => text.push_str("\r\n"),
                    Some((_, '\r')) | None => {}
                    Some((_, escaped)) => text.push(escaped),
                },
                // Lines end with CRLF, whichever way the script was stored.
                '\n' => text.push_str("\r\n"),
                '\r' => {}
                other => text.push(other),
            }
        }
        self.advance(self.rest().len());
        Err(MistakeKind::Unended("the string"))
    }

    /// `text:`, of which the name is read: RFC 5228 2.4.2.
    fn multi_line(&mut self) -> Result<Token<'t>, MistakeKind> {
        self.advance(1);
        let rest = self.rest();
        let first = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let behind = rest[..first].trim_start_matches([' ', '\t']);
        if !behind.starts_with('#') && !behind.trim_end_matches(['\r', '\n']).is_empty() {
            let stray = behind.chars().next().unwrap_or(':');
            self.advance(first);
            return Err(MistakeKind::Stray(stray));
        }
        let mut text = String::new();
        let mut at = first;
        while at < rest.len() {
            let end = rest[at..].find('\n').map_or(rest.len(), |end| at + end + 1);
            let line = rest[at..end].trim_end_matches('\n').trim_end_matches('\r');
            at = end;
            if line == "." {
                self.advance(at);
                return Ok(Token::Text(Cow::Owned(text)));
            }
            text.push_str(if line.starts_with("..") { &line[1..] } else { line });
            text.push_str("\r\n");
        }
        self.advance(rest.len());
        Err(MistakeKind::Unended("the text"))
    }
}
