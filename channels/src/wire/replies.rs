//! The replies of a server, cut out of a stream of octets (RFC 5321 section 4.2).
//!
//! No socket in sight: the driver fills [`Replies::room`], and takes out what is complete. What
//! comes out is safe to log and to store: printable text and LF, of bounded length. Memory is
//! bounded by [`MAX_LINE`] and [`MAX_TEXT`], whatever the peer sends.

use std::{borrow::Cow, fmt, mem};

use relais_config::grammar::is_unprintable;

use crate::mail::{Enhanced, Reply};

/// Octets received and not yet understood.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    buffer: Vec<u8>,
    /// Octets of `buffer` that are behind us.
    taken: usize,
    /// The reply whose last line is still to come.
    begun: Option<Begun>,
}

/// The octets are no reply. Which reply belongs to which command is unknown from here on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Garbled {
    /// No line end within [`MAX_LINE`].
    #[error("a reply line is longer than {MAX_LINE} octets: {0}")]
    LineTooLong(Quoted),
    /// More than [`MAX_LINES`].
    #[error("a reply has more than {MAX_LINES} lines")]
    TooManyLines,
    /// The line does not begin with a code from 200 to 599 and a blank or hyphen.
    #[error("a reply line begins with no reply code: {0}")]
    NoCode(Quoted),
    /// The code changed between the lines of one reply.
    #[error("the lines of a reply have different codes: {0}")]
    CodeChanged(Quoted),
}

/// The beginning of what a peer said that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Quoted(Box<str>);

impl Quoted {
    fn of(line: &[u8]) -> Self {
        Self(printable(line, MAX_WORDS).collect())
    }
}

/// Between quotation marks.
impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

#[derive(Debug)]
struct Begun {
    code: u16,
    enhanced: Option<Enhanced>,
    text: Cow<'static, str>,
    lines: usize,
}

impl Replies {
    /// Where the driver appends what it reads.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..mem::take(&mut self.taken));
        self.buffer.reserve(READ);
        &mut self.buffer
    }

    /// The next complete reply; `None` when more octets are needed.
    pub(crate) fn take(&mut self) -> Result<Option<Reply>, Garbled> {
        loop {
            let rest = &self.buffer[self.taken..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                let too_long = rest.len() >= MAX_LINE;
                return if too_long {
                    Err(Garbled::LineTooLong(Quoted::of(rest)))
                } else {
                    Ok(None)
                };
            };
            if end >= MAX_LINE {
                return Err(Garbled::LineTooLong(Quoted::of(rest)));
            }
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let last = add(&mut self.begun, line)?;
            self.taken += end + 1;
            if last && let Some(Begun { code, enhanced, text, .. }) = self.begun.take() {
                return Ok(Some(Reply { code, enhanced, text }));
            }
        }
    }

    /// Whether everything received has been taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.buffer.len() && self.begun.is_none()
    }
}

/// Adds one line to the reply it belongs to; says whether it was the last.
fn add(begun: &mut Option<Begun>, line: &[u8]) -> Result<bool, Garbled> {
    let (code, last, text) = split(line).ok_or_else(|| Garbled::NoCode(Quoted::of(line)))?;
    let (enhanced, text) = enhanced(code, text);
    let Some(begun) = begun else {
        let text = first_text(text);
        *begun = Some(Begun { code, enhanced, text, lines: 1 });
        return Ok(last);
    };
    if begun.code != code {
        return Err(Garbled::CodeChanged(Quoted::of(line)));
    }
    begun.lines += 1;
    if begun.lines > MAX_LINES {
        return Err(Garbled::TooManyLines);
    }
    // A keyword that is cut may say something else.
    let is_whole = text.len() < MAX_TEXT.saturating_sub(begun.text.len());
    if begun.text.len() < MAX_TEXT && (is_whole || code != KEYWORDS) {
        let whole = begun.text.to_mut();
        whole.push('\n');
        whole.extend(printable(text, MAX_TEXT - whole.len()));
    }
    Ok(last)
}

/// The text of a reply's first line, and nearly always of the whole reply.
fn first_text(text: &[u8]) -> Cow<'static, str> {
    match COMMON.iter().find(|common| common.as_bytes() == text) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(printable(text, MAX_TEXT).collect()),
    }
}

/// `250-text`: the code, whether the reply ends here, the text.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if !(200..600).contains(&code) || !digits[0].is_ascii_digit() {
        return None;
    }
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

/// The enhanced code at the head of a text. One of another class than the reply's is a
/// contradiction; the reply code decides, and the rest stays what it is: text.
fn enhanced(code: u16, text: &[u8]) -> (Option<Enhanced>, &[u8]) {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    let parse = || {
        let mut parts = std::str::from_utf8(&text[..end]).ok()?.split('.');
        let mut part = || {
            let digits = parts.next()?;
            let plain = digits.len() <= 3 && digits.bytes().all(|c| c.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        let (class, subject, detail) = (part()?, part()?, part()?);
        let fits = parts.next().is_none() && class == code / 100;
        fits.then_some(Enhanced(class as u8, subject, detail))
    };
    match parse() {
        Some(enhanced) => (Some(enhanced), text.get(end + 1..).unwrap_or_default()),
        None => (None, text),
    }
}

/// At most `limit` characters, none of which can do harm in a log or a header.
fn printable(text: &[u8], limit: usize) -> impl Iterator<Item = char> {
    let fit = |c| if is_unprintable(c) { '?' } else { c };
    text[..text.len().min(limit)].utf8_chunks().flat_map(move |chunk| {
        chunk.valid().chars().map(fit).chain(chunk.invalid().iter().map(|_| '?'))
    })
}

/// Replies that servers give most: Postfix and its tools, Dovecot, Cyrus, and ours.
const COMMON: [&str; 5] =
    ["OK", "Ok", "ok", "end with <CRLF>.<CRLF>", "End data with <CR><LF>.<CR><LF>"];
/// Octets of a line, CRLF included. RFC 5321 section 4.5.3.1.5 asks for 512.
const MAX_LINE: usize = 2_048;
/// Lines of a reply.
const MAX_LINES: usize = 100;
/// Octets of text that are kept of a reply. The keywords of a greeting fit.
const MAX_TEXT: usize = 1_024;
/// The code of a reply to EHLO, with a keyword on each line.
const KEYWORDS: u16 = 250;
/// Octets that are quoted of a line that is no reply.
const MAX_WORDS: usize = 200;
/// Octets read at once.
const READ: usize = 4_096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(octets: &[u8]) -> Result<Vec<String>, Garbled> {
        let mut replies = Replies::default();
        replies.room().extend_from_slice(octets);
        let mut all = Vec::new();
        while let Some(reply) = replies.take()? {
            all.push(reply.to_string());
        }
        Ok(all)
    }

    #[test]
    fn replies_are_cut_where_they_end() {
        let rows: [(&str, &[u8], &[&str]); 11] = [
            ("one line", b"250 2.5.0 jdoe OK\r\n", &["250 2.5.0 jdoe OK"]),
            ("a bare LF ends a line too", b"250 OK\n", &["250 OK"]),
            ("a code alone", b"250\r\n", &["250"]),
            ("two at once", b"250 a\r\n354 b\r\n", &["250 a", "354 b"]),
            ("several lines", b"250-host\r\n250-SIZE 1\r\n250 OK\r\n", &["250 host SIZE 1 OK"]),
            (
                "the code in front of each line",
                b"550-5.1.1 a\r\n550 5.1.1 b\r\n",
                &["550 5.1.1 a b"],
            ),
            ("an incomplete line waits", b"250 2.0", &[]),
            ("a code of another class is text", b"550 4.1.1 x\r\n", &["550 4.1.1 x"]),
            ("the codes of the original", b"511 5.1.1 nonexistent\r\n", &["511 5.1.1 nonexistent"]),
            ("characters", "250 gr\u{fc}\u{df}e\u{202e}\r\n".as_bytes(), &["250 gr\u{fc}\u{df}e?"]),
            ("no control characters", b"250 a\x1b[1m\xff\r\r\n", &["250 a?[1m??"]),
        ];
        for (name, octets, want) in rows {
            assert_eq!(parse(octets).expect(name), want, "{name}");
        }
    }

    #[test]
    fn what_is_no_reply_is_called_so() {
        let long = [b"250 ".as_slice(), &[b'x'; MAX_LINE]].concat();
        let no_code = |words: &[u8]| Garbled::NoCode(Quoted::of(words));
        let rows: [(&str, &[u8], Garbled); 9] = [
            ("words", b"hello\r\n", no_code(b"hello")),
            ("a code out of range", b"199 x\r\n", no_code(b"199 x")),
            ("a code out of range above", b"600 x\r\n", no_code(b"600 x")),
            ("a sign is no digit", b"+25 x\r\n", no_code(b"+25 x")),
            ("an empty line", b"\r\n", no_code(b"")),
            ("four digits", b"2500 x\r\n", no_code(b"2500 x")),
            ("no text", b"\x1b[2J\xff\r\n", no_code(b"?[2J?")),
            (
                "a code that changes",
                b"250-a\r\n251 b\r\n",
                Garbled::CodeChanged(Quoted::of(b"251 b")),
            ),
            ("a line without end", &long, Garbled::LineTooLong(Quoted::of(&long))),
        ];
        for (name, octets, want) in rows {
            let garbled = parse(octets).expect_err(name);
            assert!(garbled.to_string().len() < 300, "{name}: {garbled}");
            assert_eq!(garbled, want, "{name}");
        }
    }

    #[test]
    fn limits_hold_at_the_edge_and_break_one_past_it() {
        let line = |octets: usize| [b"250 ".as_slice(), &vec![b'x'; octets - 6], b"\r\n"].concat();
        assert_eq!(parse(&line(MAX_LINE)).expect("at the limit").len(), 1);
        assert!(matches!(parse(&line(MAX_LINE + 1)), Err(Garbled::LineTooLong(_))));
        let lines = |n: usize| [b"250-x\r\n".repeat(n - 1), b"250 x\r\n".to_vec()].concat();
        assert_eq!(parse(&lines(MAX_LINES)).expect("at the limit").len(), 1);
        assert_eq!(parse(&lines(MAX_LINES + 1)), Err(Garbled::TooManyLines));
    }

    #[test]
    fn a_keyword_is_there_as_a_whole_or_not_at_all() {
        let filler = "250-X\r\n".repeat(98);
        let keywords = |words: &str| parse(format!("{filler}250 {words}\r\n").as_bytes()).unwrap();
        assert!(keywords("SIZE 100000")[0].ends_with(" SIZE 100000"));
        let wide = format!("250-{}\r\n", "x".repeat(1_000));
        let all = |code: &str| {
            let text = format!("{wide}250-AUTH PLAIN LOGIN CRAM-MD5\r\n250 SIZE 100000\r\n");
            parse(text.replace("250", code).as_bytes()).unwrap().remove(0)
        };
        assert!(all("250").ends_with("x SIZE 100000"), "{}", all("250"));
        assert!(all("550").ends_with("x AUTH PLAIN LOGIN CRAM-M"), "{}", all("550"));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            octets in "(2[0-9]{2}[ -][ -~]{0,20}\r\n|[245]\\.?.{0,6}\r?\n?){0,6}",
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let octets = octets.as_bytes();
            let whole = parse(octets);
            let (mut replies, mut rest, mut all) = (Replies::default(), octets, Vec::new());
            let mut pieces = || -> Result<(), Garbled> {
                for cut in cuts.iter().cycle() {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    replies.room().extend_from_slice(piece);
                    rest = after;
                    while let Some(reply) = replies.take()? {
                        all.push(reply.to_string());
                    }
                    if rest.is_empty() { break }
                }
                Ok(())
            };
            let result = pieces();
            prop_assert_eq!(result.map(|()| all), whole);
        }

        #[test]
        fn nothing_a_peer_sends_panics_or_leaves_unprintable_text(octets: Vec<u8>) {
            let mut replies = Replies::default();
            replies.room().extend_from_slice(&octets);
            while let Ok(Some(reply)) = replies.take() {
                prop_assert!(reply.text.chars().all(|c| c == '\n' || !is_unprintable(c)));
                prop_assert!(reply.text.len() <= MAX_TEXT);
            }
        }
    }
}
