//! POSIX extended regular expressions in the words of the `regex` crate: draft-ietf-sieve-regex.
//!
//! Of the extended syntax everything is there but back-references and collating elements; of the
//! GNU escapes `\w \W \s \S \b \B \< \>`. An alternative that fits first is taken, not the longest
//! one: match variables may differ from POSIX, matches do not. A character of ASCII is one octet,
//! and so is what `.` and sets without other characters stand for.

use std::{fmt::Write, iter::Peekable, str::Chars};

/// Translates an expression; the error is in words.
pub(super) fn translate(expression: &str, is_folded: bool) -> Result<String, String> {
    let mut translated = String::with_capacity(expression.len() + 8);
    translated.push_str("(?s)");
    let mut rest = expression.chars().peekable();
    let mut can_repeat = false;
    while let Some(c) = rest.next() {
        let repeats = matches!(c, '*' | '+' | '?' | '{');
        if repeats && !can_repeat {
            return Err(format!("nothing stands before {c:?}"));
        }
        match c {
            '\\' => escaped(rest.next(), is_folded, &mut translated)?,
            '[' => {
                let set = bracket(&mut rest, is_folded)?;
                translated.push_str(&set);
            }
            '{' => translated.push_str(&counted(&mut rest)?),
            '(' | ')' | '|' | '^' | '$' | '.' | '*' | '+' | '?' => translated.push(c),
            other => literal(other, is_folded, &mut translated),
        }
        can_repeat = !matches!(c, '(' | '|' | '^') && !repeats;
        // The crate would read `a*?` as a lazy star.
        if repeats && rest.peek().is_some_and(|next| matches!(next, '*' | '+' | '?' | '{')) {
            return Err("a repetition is repeated".to_owned());
        }
    }
    Ok(translated)
}

/// Reads a count behind its `{`.
fn counted(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let no_number = || "a count between braces is no number".to_owned();
    let mut count = String::from("{");
    loop {
        match rest.next() {
            Some('}') => break,
            Some(c) if c.is_ascii_digit() || c == ',' && count.len() > 1 => count.push(c),
            _ => return Err(no_number()),
        }
    }
    if count.len() == 1 { Err(no_number()) } else { Ok(count + "}") }
}

fn literal(c: char, is_folded: bool, into: &mut String) {
    if is_folded && c.is_ascii_alphabetic() {
        let _ = write!(into, "[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase());
    } else if matches!(c, '<' | '>') {
        // With a backslash they are the ends of a word.
        into.push(c);
    } else if c.is_ascii_punctuation() {
        into.push('\\');
        into.push(c);
    } else if c.is_ascii() {
        into.push(c);
    } else {
        // All its octets are repeated, not the last one.
        let _ = write!(into, "(?:{c})");
    }
}

fn escaped(c: Option<char>, is_folded: bool, into: &mut String) -> Result<(), String> {
    match c {
        Some('w') => into.push_str("[A-Za-z0-9_]"),
        Some('W') => into.push_str("[^A-Za-z0-9_]"),
        Some('s') => into.push_str("[ \\t\\r\\n\\x0b\\x0c]"),
        Some('S') => into.push_str("[^ \\t\\r\\n\\x0b\\x0c]"),
        Some('b') => into.push_str("\\b"),
        Some('B') => into.push_str("\\B"),
        Some('<') => into.push_str("\\b{start}"),
        Some('>') => into.push_str("\\b{end}"),
        Some(c) if c.is_ascii_digit() => {
            return Err(format!("\\{c}: back-references are not there"));
        }
        Some(c) if c.is_ascii_alphabetic() => return Err(format!("\\{c} is not there")),
        Some(c) => literal(c, is_folded, into),
        None => return Err("a backslash stands at the end".to_owned()),
    }
    Ok(())
}

/// Reads a set behind its `[`, in which a backslash is itself.
fn bracket(rest: &mut Peekable<Chars<'_>>, is_folded: bool) -> Result<String, String> {
    let mut set = String::from("[");
    if rest.next_if_eq(&'^').is_some() {
        set.push('^');
    }
    let (mut is_first, mut is_ascii) = (true, true);
    loop {
        let c = rest.next().ok_or(OPEN)?;
        if c == ']' && !is_first {
            set.push(']');
            // Characters of several octets are compared as such.
            return Ok(if is_ascii { set } else { format!("(?u:{set})") });
        }
        is_first = false;
        if c == '[' && rest.peek().is_some_and(|next| matches!(next, ':' | '.' | '=')) {
            set.push_str(class(rest, is_folded)?);
            continue;
        }
        let mut ahead = rest.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']');
        let last = if is_range {
            rest.next();
            rest.next().ok_or(OPEN)?
        } else {
            c
        };
        if last < c {
            return Err(format!("the range {c}-{last} is empty"));
        }
        is_ascii &= last.is_ascii();
        range(c, last, &mut set);
        if is_folded {
            for (from, to, shifted) in [('a', 'z', 'A'), ('A', 'Z', 'a')] {
                let (low, high) = (c.max(from), last.min(to));
                if low <= high {
                    let shift =
                        |c: char| char::from(shifted as u8 + (c as u32 - from as u32) as u8);
                    range(shift(low), shift(high), &mut set);
                }
            }
        }
    }
}

fn range(first: char, last: char, set: &mut String) {
    let _ = write!(set, "\\x{{{:x}}}-\\x{{{:x}}}", u32::from(first), u32::from(last));
}

/// Reads a class behind its outer `[`: `:alpha:]`.
fn class(rest: &mut Peekable<Chars<'_>>, is_folded: bool) -> Result<&'static str, String> {
    let kind = rest.next().ok_or(OPEN)?;
    let mut name = String::new();
    loop {
        let c = rest.next().ok_or(OPEN)?;
        if c == kind && rest.next_if_eq(&']').is_some() {
            break;
        }
        name.push(c);
    }
    let class = match &*name {
        _ if kind != ':' => return Err("collating elements are not there".to_owned()),
        "upper" | "lower" if is_folded => "[:alpha:]",
        "alnum" => "[:alnum:]",
        "alpha" => "[:alpha:]",
        "blank" => "[:blank:]",
        "cntrl" => "[:cntrl:]",
        "digit" => "[:digit:]",
        "graph" => "[:graph:]",
        "lower" => "[:lower:]",
        "print" => "[:print:]",
        "punct" => "[:punct:]",
        "space" => "[:space:]",
        "upper" => "[:upper:]",
        "xdigit" => "[:xdigit:]",
        _ => return Err(format!("there is no class [:{name}:]")),
    };
    Ok(class)
}

const OPEN: &str = "a set between brackets has no end";
