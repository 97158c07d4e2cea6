//! Addresses of header fields: RFC 5322 3.4.

use std::str::Chars;

use crate::matching::Value;

/// An address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailbox {
    /// Without its name and its route; of a field that is no list of addresses, its text.
    pub(crate) all: Value<'static>,
    /// Without quotes. Absent when the text is no address.
    pub(crate) local: Option<Value<'static>>,
    pub(crate) domain: Option<Value<'static>>,
}

impl Mailbox {
    fn new(local: String, domain: &str) -> Self {
        Self {
            all: Value::new(format!("{}@{domain}", quoted_local(&local))),
            local: Some(Value::new(local)),
            domain: Some(Value::new(domain.to_owned())),
        }
    }

    /// A text that is no address.
    fn broken(text: &str) -> Self {
        Self { all: Value::new(text.to_owned()), ..Self::default() }
    }

    /// Whether it is an address.
    pub(crate) fn is_address(&self) -> bool {
        self.domain.is_some()
    }
}

/// Splits an address of the envelope at its last at sign.
pub(crate) fn split_address(address: &str) -> Mailbox {
    let (local, domain) = match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    };
    let local = match tokens(local).as_deref() {
        Some([Lexeme::Quoted(text)]) => text.clone(),
        _ => local.to_owned(),
    };
    Mailbox {
        all: Value::new(address.to_owned()),
        local: Some(Value::new(local)),
        domain: domain.map(|domain| Value::new(domain.to_owned())),
    }
}

/// Addresses that are read of one field.
const MOST: usize = 1_000;

/// The addresses of an unfolded field; groups give their members. A field that is no list of
/// addresses gives its text, too.
pub(crate) fn mailboxes(field: &str) -> Vec<Mailbox> {
    let mut found = Vec::new();
    let Some(tokens) = tokens(field) else { return vec![Mailbox::broken(field)] };
    let (mut is_broken, mut is_empty) = (false, true);
    let mut start = 0;
    let mut is_in_angle = false;
    for at in 0..=tokens.len() {
        match tokens.get(at) {
            Some(Lexeme::Mark('<')) => is_in_angle = true,
            Some(Lexeme::Mark('>')) => is_in_angle = false,
            // The name of a group.
            Some(Lexeme::Mark(':')) if !is_in_angle => {
                is_broken |= !is_phrase(&tokens[start..at]) || start == at;
                is_empty = false;
                start = at + 1;
            }
            Some(Lexeme::Mark(',' | ';')) if is_in_angle => {}
            Some(Lexeme::Mark(',' | ';')) | None => {
                let item = &tokens[start..at];
                start = at + 1;
                if item.is_empty() {
                    continue;
                }
                is_empty = false;
                match item {
                    [Lexeme::Mark('<'), Lexeme::Mark('>')] => found.push(Mailbox::broken("")),
                    _ => match mailbox(item) {
                        Some(mailbox) => found.push(mailbox),
                        None => is_broken = true,
                    },
                }
                if found.len() >= MOST {
                    break;
                }
            }
            Some(_) => {}
        }
    }
    if is_broken || is_empty {
        found.push(Mailbox::broken(field));
    }
    found
}

#[derive(Debug)]
enum Lexeme {
    Atom(String),
    /// Without its quotes.
    Quoted(String),
    /// A domain literal, with its brackets.
    Literal(String),
    Mark(char),
}

/// Lexemes without blanks and comments; nothing when one of them has no end.
fn tokens(text: &str) -> Option<Vec<Lexeme>> {
    let mut tokens = Vec::new();
    let mut characters = text.chars();
    let mut has_gap = true;
    while let Some(c) = characters.next() {
        let is_atom = !matches!(c, '"' | '(' | '[' | ' ' | '\t' | '\r' | '\n') && !is_mark(c);
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => tokens.push(Lexeme::Quoted(until(&mut characters, '"')?)),
            '(' => comment(&mut characters)?,
            '[' => tokens.push(Lexeme::Literal(format!("[{}]", until(&mut characters, ']')?))),
            mark if is_mark(mark) => tokens.push(Lexeme::Mark(mark)),
            other => match tokens.last_mut() {
                Some(Lexeme::Atom(atom)) if !has_gap => atom.push(other),
                _ => tokens.push(Lexeme::Atom(other.to_string())),
            },
        }
        has_gap = !is_atom;
    }
    Some(tokens)
}

fn is_mark(c: char) -> bool {
    matches!(c, '<' | '>' | ',' | ';' | ':' | '@' | '.' | ')' | ']' | '\\')
}

/// The text up to its end, with its escapes undone.
fn until(characters: &mut Chars<'_>, end: char) -> Option<String> {
    let mut text = String::new();
    loop {
        match characters.next()? {
            '\\' => text.push(characters.next()?),
            c if c == end => return Some(text),
            c => text.push(c),
        }
    }
}

fn comment(characters: &mut Chars<'_>) -> Option<()> {
    let mut depth = 1_usize;
    while depth > 0 {
        match characters.next()? {
            '\\' => {
                characters.next()?;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(())
}

fn is_phrase(tokens: &[Lexeme]) -> bool {
    let is_word =
        |token: &Lexeme| matches!(token, Lexeme::Atom(_) | Lexeme::Quoted(_) | Lexeme::Mark('.'));
    tokens.iter().all(is_word)
}

fn mailbox(item: &[Lexeme]) -> Option<Mailbox> {
    let Some(open) = item.iter().position(|it| matches!(it, Lexeme::Mark('<'))) else {
        return address(item);
    };
    let [inside @ .., Lexeme::Mark('>')] = &item[open + 1..] else { return None };
    // A route, which nobody follows: RFC 5322 4.4.
    let inside = match inside {
        [Lexeme::Mark('@'), ..] => {
            let end = inside.iter().position(|it| matches!(it, Lexeme::Mark(':')))?;
            &inside[end + 1..]
        }
        _ => inside,
    };
    is_phrase(&item[..open]).then(|| address(inside)).flatten()
}

/// `local@domain`, and nothing else.
fn address(tokens: &[Lexeme]) -> Option<Mailbox> {
    let at = tokens.iter().position(|it| matches!(it, Lexeme::Mark('@')))?;
    let (local, domain) = (&tokens[..at], &tokens[at + 1..]);
    let domain = match domain {
        [Lexeme::Literal(literal)] => literal.clone(),
        _ => dotted(domain, false)?,
    };
    Some(Mailbox::new(dotted(local, true)?, &domain))
}

/// Words with dots between them.
fn dotted(tokens: &[Lexeme], takes_quoted: bool) -> Option<String> {
    let mut text = String::new();
    let mut wants_word = true;
    for token in tokens {
        match token {
            Lexeme::Atom(word) if wants_word => text.push_str(word),
            Lexeme::Quoted(word) if wants_word && takes_quoted => text.push_str(word),
            Lexeme::Mark('.') if !wants_word || takes_quoted => {
                text.push('.');
                wants_word = true;
                continue;
            }
            _ => return None,
        }
        wants_word = false;
    }
    // A local part that ends with a dot is against the rules, and there are such.
    (!text.is_empty() && (!wants_word || takes_quoted)).then_some(text)
}

/// The local part of an address, in quotes when it needs them.
fn quoted_local(local: &str) -> String {
    let is_atom = |c: char| !c.is_whitespace() && !c.is_control() && !"()<>[]:;@\\,\"".contains(c);
    if !local.is_empty() && local.chars().all(is_atom) {
        return local.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}
