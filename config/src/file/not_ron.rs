//! Why a text is not RON, in words for people who do not know RON.
//!
//! The parser names the place where it could not go on; the slip was often made long before. This
//! goes over the text once more, token by token, and looks for the slips that people make: a
//! comment behind `#`, quotes around a field's name, `(` for `{`, a bracket or a quote that is not
//! closed, a text without quotes, a comma left out.

/// A slip: where, what is wrong, and what is expected.
#[derive(Debug)]
pub(crate) struct Slip<'a> {
    /// A slice of the text.
    pub(crate) place: &'a str,
    pub(crate) message: String,
    pub(crate) accepted: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token<'a> {
    Open(&'a str),
    Close(&'a str),
    Comma(&'a str),
    Colon(&'a str),
    Text(&'a str),
    Word(&'a str),
    /// A character that has no place outside of texts and comments.
    Other(&'a str),
}

impl<'a> Token<'a> {
    fn slice(self) -> &'a str {
        match self {
            Self::Open(s)
            | Self::Close(s)
            | Self::Comma(s)
            | Self::Colon(s)
            | Self::Text(s)
            | Self::Word(s)
            | Self::Other(s) => s,
        }
    }
}

/// An open bracket.
struct Frame<'a> {
    open: &'a str,
    /// The field whose value it is.
    field: &'a str,
    /// Columns of blanks before the line it stands on.
    indent: usize,
    /// Fields or keys were seen in it.
    keyed: bool,
    /// Values without them were.
    bare: bool,
    /// It is a value of a map.
    in_map: bool,
}

/// The first slip of a text that is not RON; `None`: it is none of the usual ones.
pub(crate) fn first_slip(text: &str) -> Option<Slip<'_>> {
    let mut tokens = Tokens { text, at: 0 }.peekable();
    let first = match tokens.peek() {
        None if open_comment(text).is_some() => return open_comment(text).map(endless),
        None => return Some(slip(text, "the file is empty", WHOLE)),
        Some(first) => *first,
    };
    if let Some(slip) = no_section(text, first) {
        return Some(slip);
    }
    let mut stack: Vec<Frame<'_>> = Vec::new();
    let mut doubtful: Option<Frame<'_>> = None;
    let mut before: Option<Token<'_>> = None;
    let mut field = "";
    let mut opened = false;
    let mut line = Line::default();
    while let Some(token) = tokens.next() {
        let next = tokens.peek().copied();
        line.move_to(text, token.slice());
        if opened && stack.is_empty() {
            let message = "something stands behind the bracket that closes the file";
            return Some(slip(token.slice(), message, "a ) too many is before it, or a ( missing"));
        }
        let frame = stack.last_mut();
        if let Some(slip) = no_colon(before, token, field, frame.as_deref())
            .or_else(|| misplaced(before, token, next, frame.as_deref()))
            .or_else(|| one(text, before, token, next, frame.as_deref()))
        {
            return Some(slip);
        }
        match token {
            Token::Colon(_) => {
                if let Some(frame) = frame {
                    frame.keyed = true;
                }
                field = before.map_or("", Token::slice);
            }
            Token::Comma(_) => {
                if let Some(frame) = frame {
                    frame.bare |= !frame.keyed;
                }
                field = "";
            }
            Token::Open(open) => {
                let indent = line.indent;
                let in_map = frame.is_some_and(|around| around.open == "{");
                stack.push(Frame { open, field, indent, keyed: false, bare: false, in_map });
                (opened, field) = (true, "");
            }
            Token::Close(close) => {
                let Some(frame) = stack.pop() else { break };
                if closing(frame.open) != close {
                    return Some(crossed(text, &frame, close));
                }
                if line.first == offset(text, close) && line.indent < frame.indent {
                    doubtful = doubtful.or(Some(frame));
                }
            }
            Token::Text(_) | Token::Word(_) | Token::Other(_) => {}
        }
        before = Some(token);
    }
    if let Some(comment) = open_comment(text) {
        return Some(endless(comment));
    }
    let frame = doubtful.or(stack.pop()).filter(|_| opened)?;
    let close = closing(frame.open);
    let message = format!("the {}{} that was opened here is not closed", frame.open, of(&frame));
    Some(slip(frame.open, &message, &format!("a {close} is missing, here or further on")))
}

/// `maxjobs 7`: a value right behind the name of a field.
fn no_colon<'a>(
    before: Option<Token<'a>>,
    token: Token<'a>,
    field: &str,
    frame: Option<&Frame<'a>>,
) -> Option<Slip<'a>> {
    let in_section = frame.is_some_and(|frame| frame.open == "(") && field.is_empty();
    let Some(Token::Word(name)) = before.filter(|_| in_section) else { return None };
    let value = match token {
        Token::Word(value) | Token::Text(value) if is_name(name) => value,
        _ => return None,
    };
    let message = format!("a colon is missing behind {}", crate::file::source::shorten(name));
    let value = crate::file::source::shorten(value);
    Some(slip(name, &message, &format!("{name}: {value} is expected")))
}

fn endless(comment: &str) -> Slip<'_> {
    let accepted = "*/ is missing; // makes a comment of the rest of a line";
    slip(comment, "the comment that begins here does not end", accepted)
}

/// Finds tokens that have no place where they stand: names, commas, colons, brackets of another
/// kind.
fn misplaced<'a>(
    before: Option<Token<'a>>,
    token: Token<'a>,
    next: Option<Token<'a>>,
    frame: Option<&Frame<'a>>,
) -> Option<Slip<'a>> {
    let frame = frame?;
    let is_key = matches!(next, Some(Token::Colon(_))) && !matches!(before, Some(Token::Colon(_)));
    let first = matches!(before, Some(Token::Open(_) | Token::Comma(_)));
    let last = matches!(next, Some(Token::Close(_) | Token::Comma(_)));
    match token {
        Token::Comma(s) if first => {
            Some(slip(s, "there is a comma too many", "one stands between two values"))
        }
        Token::Colon(s) if matches!(before, Some(Token::Colon(_))) => {
            Some(slip(s, "there is a colon too many", "name: value is expected"))
        }
        Token::Colon(s) if frame.open == "[" => Some(if MAPS.contains(&frame.field) {
            let message = format!("{} is a map: it stands in braces", frame.field);
            slip(frame.open, &message, &format!("{}: {{\"name\": ...}} is expected", frame.field))
        } else {
            let accepted = "rules and entries are pairs: (\"pattern\", \"template\")";
            slip(s, "a colon has no place in a list", accepted)
        }),
        Token::Colon(_) if frame.open == "(" && frame.bare && !frame.keyed => {
            let message = format!("the first value in the ({} has no name", of(frame));
            Some(slip(frame.open, &message, "name: value is expected"))
        }
        Token::Comma(_) | Token::Close("}")
            if frame.open == "{" && !frame.keyed && !matches!(before, Some(Token::Open(_))) =>
        {
            let (message, accepted) = if MAPS.contains(&frame.field) {
                ("an entry of a map has a name and a value", "{\"name\": value, ...} is expected")
            } else {
                ("braces have no place here", "a list stands in brackets: [value, ...]")
            };
            Some(slip(frame.open, message, accepted))
        }
        Token::Open(s @ "{") => match before {
            Some(Token::Word(name)) if is_name(name) => {
                let accepted = format!("fields stand in parentheses: {name}(...)");
                Some(slip(s, "braces have no place here", &accepted))
            }
            _ => None,
        },
        Token::Word(s) if is_key && frame.open == "(" && s.contains('-') => {
            let message = format!("{} is no name of a field", crate::file::source::shorten(s));
            Some(slip(s, &message, "letters, digits and _ make one, and no -"))
        }
        Token::Text(s) | Token::Word(s) if frame.open == "(" && frame.keyed && first && last => {
            let message = format!("{} has no name", crate::file::source::shorten(s));
            let accepted = "name: value is expected; a number has no comma in it";
            Some(slip(s, &message, accepted))
        }
        Token::Text(s) if !s.starts_with('r') => {
            let escape = unknown_escape(s)?;
            let message =
                format!("{} means nothing in a text", crate::file::source::shorten(escape));
            let accepted = "a backslash is written \\\\, a double quote \\\"";
            Some(slip(escape, &message, accepted))
        }
        Token::Other(s) if QUOTES.contains(s) => {
            let message = format!("{s} is not a double quote as they are used here");
            Some(slip(s, &message, "texts stand in plain double quotes: \"text\""))
        }
        _ => None,
    }
}

/// The first backslash that says nothing, with what is behind it.
fn unknown_escape(text: &str) -> Option<&str> {
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let start = at + found;
        let c = text[start + 1..].chars().next()?;
        let end = start + 1 + c.len_utf8();
        if !"'\"\\nrt0xu\n\r".contains(c) {
            return Some(&text[start..end]);
        }
        at = end;
    }
    None
}

/// The mistake in one token, by those around it.
fn one<'a>(
    text: &'a str,
    before: Option<Token<'a>>,
    token: Token<'a>,
    next: Option<Token<'a>>,
    frame: Option<&Frame<'a>>,
) -> Option<Slip<'a>> {
    let in_section = frame.is_some_and(|frame| frame.open == "(");
    let is_key = matches!(next, Some(Token::Colon(_))) && !matches!(before, Some(Token::Colon(_)));
    match token {
        Token::Other(s) if s.starts_with('#') => {
            Some(slip(s, "\"#\" begins no comment here", "comments stand behind //"))
        }
        Token::Other(s) if text[offset(text, s)..].starts_with("=>") => {
            let accepted = "a rule is a pair: (\"pattern\", \"template\")";
            Some(slip(s, "\"=>\" has no place here", accepted))
        }
        Token::Word(s) if s.ends_with(';') => {
            let end = &s[s.len() - 1..];
            Some(slip(end, "\";\" has no place here", "a comma stands behind a value"))
        }
        Token::Other(s) if s.starts_with('=') => {
            let accepted = "a colon stands between a name and its value: name: value";
            Some(slip(s, "\"=\" has no place here", accepted))
        }
        Token::Other(s) if s.starts_with('\'') => {
            Some(slip(s, "a single quote has no place here", "texts stand in double quotes"))
        }
        Token::Text(s) if s.contains('\n') || !is_closed(s) => {
            let message = "this text has no closing double quote on its line";
            Some(slip(s.lines().next().unwrap_or(s), message, "a text ends with a double quote"))
        }
        Token::Text(s) if in_section && is_key => Some(quoted_name(text, s, frame)),
        Token::Word(s) if !is_key && !is_plain(s) => Some(unquoted(s)),
        Token::Word(s)
            if matches!(before, Some(Token::Colon(_))) && matches!(next, Some(Token::Colon(_))) =>
        {
            let whole = bare_text(text, s);
            Some(unquoted(whole))
        }
        Token::Open(s)
            if s == "("
                && matches!(before, Some(Token::Comma(_)))
                && frame.is_some_and(|frame| frame.open == "(" && frame.keyed) =>
        {
            frame.map(|frame| unclosed_before(text, frame, s))
        }
        Token::Text(_) | Token::Word(_) | Token::Open(_) => comma_missing(before, token, next),
        _ => None,
    }
}

/// Two values side by side.
fn comma_missing<'a>(
    before: Option<Token<'a>>,
    token: Token<'a>,
    next: Option<Token<'a>>,
) -> Option<Slip<'a>> {
    let s = token.slice();
    match (before?, token) {
        // `Ldif(...)` and `15 min`.
        (Token::Word(_), Token::Open(_)) => None,
        (Token::Word(number), Token::Word(unit)) if !matches!(next, Some(Token::Colon(_))) => {
            let message = format!("{number} {unit} stands without quotes");
            Some(slip(
                number,
                &message,
                &format!("a text stands in double quotes: \"{number} {unit}\""),
            ))
        }
        (Token::Text(_) | Token::Word(_) | Token::Close(_), _) => Some(slip(
            s,
            "a comma is missing before this",
            "what follows another value stands behind a comma",
        )),
        _ => None,
    }
}

/// A file that is something else.
fn no_section<'a>(text: &'a str, first: Token<'a>) -> Option<Slip<'a>> {
    let here = first.slice();
    match first {
        Token::Open("(") => None,
        Token::Other(s) if s.starts_with("#!") => None,
        Token::Other(s) if s.starts_with('#') => {
            Some(slip(s, "\"#\" begins no comment here", "comments stand behind //"))
        }
        Token::Open("{") => Some(slip(here, "the file begins with {, as JSON does", WHOLE)),
        _ if text.contains('\0') => {
            Some(slip(here, "this is no text, and no configuration", WHOLE))
        }
        _ => Some(slip(here, "this is no configuration of relais: it begins otherwise", WHOLE)),
    }
}

/// `"host": ...` in a section, or `(` for `{` where a map is expected.
fn quoted_name<'a>(text: &'a str, s: &'a str, frame: Option<&Frame<'a>>) -> Slip<'a> {
    match frame {
        Some(frame) if frame.keyed && frame.in_map => unclosed_before(text, frame, s),
        Some(frame) if MAPS.contains(&frame.field) => {
            let message = format!("{} is a map: it stands in braces", frame.field);
            slip(frame.open, &message, &format!("{}: {{{s}: ...}} is expected", frame.field))
        }
        _ if !is_name(s.trim_matches('"')) => {
            let accepted = "a comma stands between its two texts: (\"pattern\", \"template\")";
            slip(s, "this is no name of a field, and a pair has no colon", accepted)
        }
        _ => {
            let name = s.trim_matches('"');
            let message = format!("the name of a field stands without quotes: {name}");
            slip(s, &message, &format!("{name}: value is expected"))
        }
    }
}

/// The slip of a section that is still open before `next`, which is no part of it.
fn unclosed_before<'a>(text: &str, frame: &Frame<'a>, next: &str) -> Slip<'a> {
    let message = format!("the ({} that was opened here is not closed", of(frame));
    let (line, next) = (line_of(text, next), crate::file::source::shorten(next));
    let accepted = format!("a ) is missing before line {line}, where {next} begins");
    slip(frame.open, &message, &accepted)
}

fn unquoted(s: &str) -> Slip<'_> {
    let message = format!("{} stands without quotes", crate::file::source::shorten(s));
    let shown = crate::file::source::shorten(s);
    slip(
        s,
        &message,
        &format!("names, paths, addresses and times stand in double quotes: \"{shown}\""),
    )
}

fn crossed<'a>(text: &'a str, frame: &Frame<'a>, close: &'a str) -> Slip<'a> {
    let (open, wanted) = (frame.open, closing(frame.open));
    let (line, column) = (line_of(text, open), column_of(text, open));
    let message = format!(
        "{close} stands where the {open}{} of line {line}, column {column} is still open",
        of(frame)
    );
    slip(close, &message, &format!("a {wanted} is missing before it"))
}

fn of(frame: &Frame<'_>) -> String {
    if frame.field.is_empty() { String::new() } else { format!(" of {}", frame.field) }
}

fn slip<'a>(place: &'a str, message: &str, accepted: &str) -> Slip<'a> {
    Slip { place, message: message.to_owned(), accepted: accepted.to_owned() }
}

fn closing(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

/// Of a field, or one of several names.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// `true`, `Smtp`, `25`, `-1.5`.
fn is_plain(word: &str) -> bool {
    is_name(word)
        || word.parse::<f64>().is_ok()
        || word.bytes().all(|c| c.is_ascii_digit() || c == b'_')
}

/// A text without quotes, colons and all, up to a comma or the end of the line.
fn bare_text<'a>(text: &'a str, start: &'a str) -> &'a str {
    let from = offset(text, start);
    let rest = &text[from..];
    let end = rest.find([',', '\n', ')', ']', '}']).unwrap_or(rest.len());
    rest[..end].trim_end()
}

fn is_closed(s: &str) -> bool {
    let inner = s.trim_start_matches('r').trim_start_matches('#');
    inner.len() >= 2 && s.trim_end_matches('#').ends_with('"')
}

fn offset(text: &str, piece: &str) -> usize {
    piece.as_ptr().addr().wrapping_sub(text.as_ptr().addr()).min(text.len())
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

fn line_of(text: &str, piece: &str) -> usize {
    text[..offset(text, piece)].matches('\n').count() + 1
}

fn column_of(text: &str, piece: &str) -> usize {
    let at = offset(text, piece);
    text[line_start(text, at)..at].chars().count() + 1
}

/// The line of the token at hand, moved along with the tokens: a file may be one long line.
#[derive(Default)]
struct Line {
    /// Where the search for line ends has come to.
    seen: usize,
    /// Blanks at its beginning.
    indent: usize,
    /// Where its first token stands.
    first: usize,
}

impl Line {
    fn move_to(&mut self, text: &str, token: &str) {
        let at = offset(text, token);
        let passed = &text[self.seen..at];
        if let Some(end) = passed.rfind('\n') {
            let start = self.seen + end + 1;
            self.indent = text[start..].bytes().take_while(|c| matches!(c, b' ' | b'\t')).count();
            self.first = at;
        }
        self.seen = at;
    }
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blanks = rest.len() - rest.trim_start().len();
            let rest = &rest[blanks..];
            let skipped = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                block_comment(rest)
            } else {
                0
            };
            self.at += blanks + skipped;
            if blanks + skipped == 0 {
                return;
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let rest = self.rest();
        let c = rest.chars().next()?;
        let attribute = self.at == 0 || self.text[..self.at].trim_start().starts_with("#!");
        let length = match c {
            '"' => text_length(rest),
            'r' if raw_text_length(rest).is_some() => raw_text_length(rest).unwrap_or(1),
            '#' if rest.starts_with("#![") && attribute => {
                rest.find(']').map_or(rest.len(), |end| end + 1)
            }
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let s = &rest[..length];
        self.at += length;
        if s.starts_with("#![") {
            return self.next();
        }
        Some(match c {
            '(' | '[' | '{' => Token::Open(s),
            ')' | ']' | '}' => Token::Close(s),
            ',' => Token::Comma(s),
            ':' => Token::Colon(s),
            '"' => Token::Text(s),
            'r' if s.ends_with(['"', '#']) => Token::Text(s),
            c if is_word(c) => Token::Word(s),
            _ => Token::Other(s),
        })
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.-/@+%$~*\\!?&|<>^`;".contains(c)
}

/// Up to the closing quote, or all of it.
fn text_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"..."` and `r#"..."#`.
fn raw_text_length(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|c| *c == b'#').count();
    let inner = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes.min(64)));
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

/// The block comment that goes on to the end of the text, if one does.
fn open_comment(text: &str) -> Option<&str> {
    let mut tokens = Tokens { text, at: 0 };
    loop {
        let rest = tokens.rest();
        let blanks = rest.len() - rest.trim_start().len();
        tokens.at += blanks;
        let rest = tokens.rest();
        if rest.starts_with("/*") {
            let length = block_comment(rest);
            if length == rest.len() && !rest.ends_with("*/") {
                return Some(&rest[..2]);
            }
            tokens.at += length;
        } else if rest.starts_with("//") {
            tokens.at += rest.find('\n').unwrap_or(rest.len());
        } else {
            tokens.next()?;
        }
    }
}

/// Block comments may hold others.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = rest[at..].find(['/', '*']) {
        let here = &rest[at + found..];
        if here.starts_with("/*") {
            depth += 1;
            at += found + 2;
        } else if here.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += found + 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += found + 1;
        }
    }
    rest.len()
}

/// Fields whose values are maps.
const MAPS: &[&str] = &[
    "services",
    "mappings",
    "general",
    "pools",
    "transport",
    "virtual_alias",
    "aliases",
    "database",
    "domain_database",
];
/// Of word processors, and of web pages.
const QUOTES: &str = "“”„‟«»‘’‚‛′″";
const WHOLE: &str = "the file is one section in parentheses: (host: \"mail.example.org\", ...); \
                     relais config --default prints one to start from";

#[cfg(test)]
mod tests {
    use super::*;

    /// A text, what is marked in it, words of the message and of what is expected.
    const SLIPS: &[(&str, &str, &str, &str)] = &[
        ("# relais\n(host: \"a\")", "#", "begins no comment here", "behind //"),
        ("(host: \"a\", # the name\n)", "#", "begins no comment here", "behind //"),
        ("(\"host\": \"a\")", "\"host\"", "without quotes: host", "host: value"),
        (
            "(job_controller: (pools: (\"A\": (job_limit: 1))))",
            "(",
            "pools is a map: it stands in braces",
            "pools: {\"A\": ...}",
        ),
        ("(host = \"a\")", "=", "has no place", "a colon stands between"),
        ("(maxjobs 7)", "maxjobs", "a colon is missing behind maxjobs", "maxjobs: 7"),
        ("(a: 1, host \"x\")", "host", "a colon is missing behind host", "host: \"x\""),
        ("(host: \"a\";\n)", ";", "has no place", "a comma stands behind a value"),
        ("(maxjobs: 7; a: 1)", ";", "has no place", "a comma stands behind a value"),
        ("(a: [\"$*\" => \"b\"])", "=", "\"=>\" has no place", "(\"pattern\", \"template\")"),
        ("(a: [(\"$*\": \"b\")])", "\"$*\"", "a pair has no colon", "a comma stands between"),
        ("(a: 1, /* b\n)", "/*", "the comment that begins here", "*/ is missing"),
        (
            "(host: mail.example.org)",
            "mail.example.org",
            "stands without quotes",
            "\"mail.example.org\"",
        ),
        ("(data: /var/lib/x)", "/var/lib/x", "stands without quotes", "\"/var/lib/x\""),
        ("(listen: 127.0.0.1:9225)", "127.0.0.1", "stands without quotes", "double quotes"),
        ("(daemon: unix:/run/x, a: 1)", "unix:/run/x", "stands without quotes", "\"unix:/run/x\""),
        ("(timeout: 15 min)", "15", "15 min stands without quotes", "\"15 min\""),
        ("(a: 10m)", "10m", "without quotes", "\"10m\""),
        ("(host: 'a')", "'", "single quote", "double quotes"),
        ("(a: \"x\" b: 1)", "b", "a comma is missing", "comma"),
        ("(a: [(b: 1) (b: 2)])", "(", "a comma is missing", "comma"),
        (
            "(a: {\"b\": (c: 4})",
            "}",
            "the ( of \"b\" of line 1, column 11 is still open",
            "a ) is missing",
        ),
        (
            "(\n  a: (\n    b: 1,\n  c: 2,\n)\n",
            "(",
            "the ( of a that was opened here is not closed",
            "a ) is missing",
        ),
        (
            "(\n  l: [\n    (n: 1, t: 2,\n    (n: 2),\n  ],\n)",
            "(",
            "opened here is not closed",
            "a ) is missing before line 4",
        ),
        (
            "(a: \"x, b: 1\n)",
            "\"x, b: 1",
            "no closing double quote on its line",
            "ends with a double quote",
        ),
        ("(a: 1))", ")", "behind the bracket that closes the file", "a ) too many"),
        ("{\"host\": \"a\"}", "{", "as JSON does", "in parentheses"),
        ("myhostname = a\n", "myhostname", "no configuration of relais", "in parentheses"),
        ("(max-jobs: 7)", "max-jobs", "max-jobs is no name of a field", "and no -"),
        (
            "(pools: [\"A\": (b: 1)])",
            "[",
            "pools is a map: it stands in braces",
            "pools: {\"name\"",
        ),
        ("(l: [\"a\": \"b\"])", ":", "a colon has no place in a list", "are pairs"),
        ("(d: Ldif{file: \"x\"})", "{", "braces have no place here", "Ldif(...)"),
        ("(s: (\"x\", a: 1))", "(", "the first value in the ( of s has no name", "name: value"),
        ("(p: {25})", "{", "braces have no place here", "in brackets"),
        ("(p: {25, 26})", "{", "braces have no place here", "in brackets"),
        ("(pools: {\"A\"})", "{", "an entry of a map has a name", "\"name\": value"),
        ("(a: 1,, b: 2)", ",", "a comma too many", "between two values"),
        ("(a: 1, , b: 2)", ",", "a comma too many", "between two values"),
        ("(a:: 1)", ":", "a colon too many", "name: value"),
        ("(a: 1, \"x\", b: 2)", "\"x\"", "\"x\" has no name", "name: value"),
        ("(a: 2,225, b: 2)", "225", "225 has no name", "no comma in it"),
        ("(a: “x”)", "“", "“ is not a double quote", "plain double quotes"),
        ("(a: \"#&m=\\*\")", "\\*", "\\* means nothing in a text", "written \\\\"),
        ("/* x\n(a: 1)", "/*", "comment that begins here does not end", "*/ is missing"),
        ("", "", "the file is empty", "in parentheses"),
        ("// nothing\n", "// nothing\n", "the file is empty", "in parentheses"),
    ];

    #[test]
    fn slips_that_people_make() {
        for (text, place, message, accepted) in SLIPS {
            let slip = first_slip(text).unwrap_or_else(|| panic!("nothing said of {text}"));
            assert!(slip.place.starts_with(place), "{text}: {slip:?}");
            assert!(slip.message.contains(message), "{text}: {slip:?}");
            assert!(slip.accepted.contains(accepted), "{text}: {slip:?}");
        }
    }

    #[test]
    fn what_is_ron_has_no_slip() {
        for text in [
            crate::STANDALONE,
            include_str!("../../examples/relay.ron"),
            include_str!("../../examples/store.ron"),
            include_str!("../../examples/postfix.ron"),
            "#![enable(implicit_some)]\n(a: r#\"x\"y\"#, /* ( /* */ */ b: Some(1), c: -1.5, d: None,)",
        ] {
            assert!(first_slip(text).is_none(), "{:?}", first_slip(text));
        }
    }

    #[test]
    fn the_end_comes_whatever_the_text() {
        for text in [
            "(".repeat(1 << 20),
            "/*".repeat(1 << 20),
            "\"a\\".repeat(1 << 18),
            "r#\"".repeat(1 << 18),
        ] {
            let _ = first_slip(&text);
        }
    }
}
