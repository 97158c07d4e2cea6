//! Look-ups in the message that a notice is about: where its header ends, its name, its
//! lines.

use std::borrow::Cow;

use memchr::{memchr2_iter, memmem};

/// The header of a message, without the blank line. `content` may be cut off anywhere: when the
/// blank line is not there, what stands behind the last CRLF is left out.
pub fn header_block(content: &[u8]) -> &[u8] {
    if content.starts_with(b"\r\n") {
        return b"";
    }
    let blank_line = || memmem::find(content, b"\r\n\r\n");
    let end = blank_line().or_else(|| memmem::rfind(content, b"\r\n"));
    &content[..end.map_or(0, |end| end + 2)]
}

/// The id between the angle brackets of `Message-ID`, if it can be repeated in a header.
pub fn message_id_of(header: &[u8]) -> Option<&str> {
    let value = field(header, b"Message-ID")?.trim_ascii();
    let id = value.strip_prefix(b"<")?.strip_suffix(b">")?;
    let plain = |c: &u8| c.is_ascii_graphic() && !matches!(c, b'<' | b'>');
    let fits = (1..=MAX_MESSAGE_ID).contains(&id.len()) && id.iter().all(plain);
    // ASCII is UTF-8.
    fits.then(|| std::str::from_utf8(id).ok()).flatten()
}

/// The value of the first line of this name, continuation lines included.
pub(super) fn field<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = header;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(end_of_field(rest));
        rest = after;
        if let Some((head, value)) = line.split_at_checked(name.len())
            && head.eq_ignore_ascii_case(name)
            && let Some(value) = value.trim_ascii_start().strip_prefix(b":")
        {
            return Some(value);
        }
    }
    None
}

/// Makes every CR and LF that is not part of a CRLF one. Nothing to do for what came in by our
/// servers, which refuse it.
pub(super) fn with_line_ends(octets: &[u8]) -> Cow<'_, [u8]> {
    let mut fixed = Vec::new();
    let mut done = 0;
    for at in memchr2_iter(b'\r', b'\n', octets) {
        let belongs = match octets[at] {
            b'\r' => octets.get(at + 1) == Some(&b'\n'),
            _ => at > 0 && octets[at - 1] == b'\r',
        };
        if !belongs {
            fixed.extend_from_slice(&octets[done..at]);
            fixed.extend_from_slice(b"\r\n");
            done = at + 1;
        }
    }
    if done == 0 {
        return Cow::Borrowed(octets);
    }
    fixed.extend_from_slice(&octets[done..]);
    Cow::Owned(fixed)
}

/// Whether any server takes this content: none of its lines is too long, and no octet is NUL (RFC 5321
/// section 4.5.3.1.6, RFC 5322 section 3.5).
pub(super) fn is_safe(content: &[u8]) -> bool {
    let mut start = 0;
    let ends = memchr2_iter(b'\r', b'\n', content).chain([content.len()]);
    let fits = |end| end - std::mem::replace(&mut start, end + 1) <= MAX_LINE;
    memchr::memchr(0, content).is_none() && ends.into_iter().all(fits)
}

/// A header as any server takes it: lines that are too long are cut, and it ends where it gets too
/// large. `refused`: the message was refused for what is in it, so that less of it, and printable
/// ASCII only, is repeated.
pub(crate) fn quotable(header: &[u8], refused: bool) -> Cow<'_, [u8]> {
    let most = if refused { MAX_REFUSED_HEADER } else { MAX_HEADER };
    let whole = with_line_ends(header);
    if is_safe(&whole) && whole.len() <= most && !(refused && whole.iter().copied().any(is_odd)) {
        return whole;
    }
    let mut quoted = Vec::with_capacity(whole.len().min(most));
    for line in whole.split_inclusive(|c| *c == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let kept = if line.len() > MAX_LINE { cut(line) } else { line };
        let cut = if kept.len() < line.len() { CUT } else { b"" };
        if quoted.len() + kept.len() + cut.len() + 2 > most {
            break;
        }
        let plain = |c: &u8| if *c == 0 || refused && is_odd(*c) { b'?' } else { *c };
        quoted.extend(kept.iter().map(plain));
        quoted.extend_from_slice(cut);
        quoted.extend_from_slice(b"\r\n");
    }
    quoted.into()
}

/// The beginning of a line, up to the end of a character.
fn cut(line: &[u8]) -> &[u8] {
    let is_inside = |at: &usize| line[*at] & 0xc0 == 0x80;
    // A character of UTF-8 has at most 4 octets; anything else is cut where it happens to be.
    let end = (MAX_CUT - 3..=MAX_CUT).rev().find(|at| !is_inside(at));
    &line[..end.unwrap_or(MAX_CUT)]
}

fn is_odd(c: u8) -> bool {
    !matches!(c, b'\t' | b'\r' | b'\n' | b' '..=b'~')
}

/// Where the line and those that continue it end.
fn end_of_field(header: &[u8]) -> usize {
    let next = |at: &usize| !matches!(header.get(at + 1), Some(b' ' | b'\t'));
    memchr::memchr_iter(b'\n', header).find(next).map_or(header.len(), |at| at + 1)
}

/// Octets. A header line holds 998 (RFC 5322 section 2.1.1).
const MAX_MESSAGE_ID: usize = 900;
/// Octets of a line without its CRLF, of header and content (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 998;
/// Octets that are left of a longer line.
const MAX_CUT: usize = 900;
/// The stand-in for the rest.
const CUT: &[u8] = b" [...]";
/// Octets of a header that comes back.
const MAX_HEADER: usize = 64 << 10;
/// The same of a message that was refused for its content or its size.
const MAX_REFUSED_HEADER: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_at_the_first_blank_line_or_where_it_was_cut() {
        let rows = [
            ("", ""),
            ("A: 1\r\n\r\nbody\r\n\r\n", "A: 1\r\n"),
            ("A: 1\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n"),
            ("\r\nA: 1\r\n\r\n", ""),
            ("A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n"),
            ("A: 1\r\nSubject: cut he", "A: 1\r\n"),
            ("A: 1\r\nB: 2\r", "A: 1\r\n"),
            ("no line", ""),
        ];
        for (content, want) in rows {
            let got = header_block(content.as_bytes());
            assert_eq!(String::from_utf8_lossy(got), want, "{content:?}");
        }
    }

    #[test]
    fn a_message_id_is_repeated_only_when_it_is_one() {
        let long = format!("Message-ID: <{}@b>\r\n", "x".repeat(MAX_MESSAGE_ID));
        let rows = [
            ("Message-ID: <1.2@a.example>\r\n", Some("1.2@a.example")),
            ("A: 1\r\nmessage-id :\r\n <1@a>\r\nMessage-ID: <2@a>\r\n", Some("1@a")),
            ("X-Message-ID: <1@a>\r\n", None),
            ("A: x\r\n Message-ID: <1@a>\r\n", None),
            ("Message-ID: 1@a\r\n", None),
            ("Message-ID: <>\r\n", None),
            ("Message-ID: <1@a> <2@a>\r\n", None),
            ("Message-ID: <1\r\n @a>\r\n", None),
            ("Message-ID: <\u{e9}@a>\r\n", None),
            (&long, None),
        ];
        for (header, want) in rows {
            assert_eq!(message_id_of(header.as_bytes()), want, "{header:?}");
        }
    }

    #[test]
    fn a_header_is_repeated_as_any_server_takes_it() {
        let x = |count| "x".repeat(count);
        let many = "X: yyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(10_000);
        let rows = [
            ("A: \u{e9}\r\n".to_owned(), false, "A: \u{e9}\r\n".to_owned()),
            ("A: \u{e9}\x07\r\n".to_owned(), true, "A: ???\r\n".to_owned()),
            ("A: \0\r\n".to_owned(), false, "A: ?\r\n".to_owned()),
            (format!("{}\r\nB\r\n", x(998)), false, format!("{}\r\nB\r\n", x(998))),
            (format!("{}\r\nB\r\n", x(999)), false, format!("{} [...]\r\nB\r\n", x(900))),
            (format!("{}\u{2713}{}\n", x(898), x(200)), false, format!("{} [...]\r\n", x(898))),
            (many.clone(), false, many[..31 * (MAX_HEADER / 31)].to_owned()),
            (many.clone(), true, many[..31 * (MAX_REFUSED_HEADER / 31)].to_owned()),
        ];
        for (header, refused, want) in rows {
            let got = quotable(header.as_bytes(), refused);
            assert_eq!(String::from_utf8_lossy(&got), want, "{header:?}");
            assert!(is_safe(&got), "{header:?}");
        }
        assert!(!is_safe(x(999).as_bytes()) && !is_safe(b"a\0") && is_safe(x(998).as_bytes()));
    }

    #[test]
    fn line_ends_are_left_alone_or_made_whole() {
        let clean = b"A: \xff\0\r\n\r\nb\r\n";
        assert!(matches!(with_line_ends(clean), Cow::Borrowed(octets) if octets == clean));
        for (octets, want) in [
            ("\n", "\r\n"),
            ("a\nb\r\nc\rd", "a\r\nb\r\nc\r\nd"),
            ("\r\r\n\n", "\r\n\r\n\r\n"),
            ("a\r", "a\r\n"),
        ] {
            assert_eq!(with_line_ends(octets.as_bytes()), want.as_bytes(), "{octets:?}");
        }
    }
}
