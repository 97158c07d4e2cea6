//! What is looked up in the message that a notice is about: where its header ends, its name, its
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

/// What stands between the angle brackets of `Message-ID`, if that can be repeated in a header.
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

/// Where the line and those that continue it end.
fn end_of_field(header: &[u8]) -> usize {
    let next = |at: &usize| !matches!(header.get(at + 1), Some(b' ' | b'\t'));
    memchr::memchr_iter(b'\n', header).find(next).map_or(header.len(), |at| at + 1)
}

/// Octets. A header line holds 998 (RFC 5322 section 2.1.1).
const MAX_MESSAGE_ID: usize = 900;

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
