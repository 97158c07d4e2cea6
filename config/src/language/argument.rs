//! Arguments of programs: texts with a few values of a message in them.
//!
//! An argument stays one argument, whatever a value holds: no shell ever sees it.

use super::template::TemplateError;

/// One argument of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Argument {
    /// As in the file.
    pub text: String,
    /// Its pieces.
    pub pieces: Vec<ArgumentPiece>,
}

/// A piece of an argument.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ArgumentPiece {
    /// This text.
    Text(String),
    /// A value of the message, or of the recipient.
    Value(ArgumentValue),
}

/// Values that stand for themselves in an argument: `$user`, or `${user}` before a letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ArgumentValue {
    /// `$user`: the user's `uid`, or the name of the alias.
    User,
    /// `$subaddress`: the text behind the delimiter; empty when there is none.
    Subaddress,
    /// `$domain`: the domain of the recipient's address.
    Domain,
    /// `$address`: the recipient's whole address.
    Address,
    /// `$sender`: the sender's address; `MAILER-DAEMON` for the null sender.
    Sender,
    /// `$id`: the queue id.
    Id,
}

impl ArgumentValue {
    const ALL: [(&'static str, Self); 6] = [
        ("user", Self::User),
        ("subaddress", Self::Subaddress),
        ("domain", Self::Domain),
        ("address", Self::Address),
        ("sender", Self::Sender),
        ("id", Self::Id),
    ];
}

impl Argument {
    /// Parses one argument.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some(at) = text.find(char::is_control) {
            let message = "a control character is no part of an argument";
            return Err(TemplateError::new(at, message, "letters, digits, punctuation, blanks"));
        }
        if text.len() > MAX_ARGUMENT {
            let message = format!("an argument is longer than {MAX_ARGUMENT} octets");
            return Err(TemplateError::new(0, message, "a shorter one"));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            let offset = text.len() - rest.len() + at;
            let behind = &rest[at + 1..];
            if let Some(behind) = behind.strip_prefix('$') {
                literal.push('$');
                rest = behind;
                continue;
            }
            let (name, behind) = named(behind).ok_or_else(|| unknown(offset, behind))?;
            let known = ArgumentValue::ALL.iter().find(|(known, _)| *known == name);
            let (_, value) = known.ok_or_else(|| unknown(offset, name))?;
            if !literal.is_empty() {
                pieces.push(ArgumentPiece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(ArgumentPiece::Value(*value));
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(ArgumentPiece::Text(literal));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }
}

/// The name behind a dollar, and what follows it.
fn named(text: &str) -> Option<(&str, &str)> {
    if let Some(inside) = text.strip_prefix('{') {
        return inside.split_once('}');
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    Some(text.split_at(end))
}

fn unknown(offset: usize, name: &str) -> TemplateError {
    let name: String = name.chars().take(40).collect();
    let message = format!("${name} stands for nothing in an argument");
    let accepted = "$user, $subaddress, $domain, $address, $sender, $id; $$ for a dollar";
    TemplateError::new(offset, message, accepted)
}

/// Octets of an argument, before values are put in.
const MAX_ARGUMENT: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_hold_values_and_nothing_is_passed_over() {
        use ArgumentPiece::{Text, Value};
        use ArgumentValue::{Domain, Sender, User};
        let own = |text: &str| Text(text.to_owned());
        let rows = [
            ("-d", vec![own("-d")]),
            ("", vec![]),
            ("$user", vec![Value(User)]),
            ("${user}s@$domain.", vec![Value(User), own("s@"), Value(Domain), own(".")]),
            ("--from=$sender", vec![own("--from="), Value(Sender)]),
            ("$$HOME; rm -rf", vec![own("$HOME; rm -rf")]),
        ];
        for (text, want) in rows {
            assert_eq!(Argument::parse(text).map(|its| its.pieces), Ok(want), "{text}");
        }
        for (text, at) in [("a$home", 1), ("$", 0), ("${user", 0), ("$(id)", 0), ("a\nb", 1)] {
            assert_eq!(Argument::parse(text).map_err(|error| error.offset), Err(at), "{text}");
        }
    }
}
