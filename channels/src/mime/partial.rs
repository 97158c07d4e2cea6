//! A message that was sent in pieces (`message/partial`, RFC 2046 section 5.2.2): what a piece says of
//! itself, and the message that the pieces make.

use super::{ascii::TypeAndParameters, header::Encoding};
use crate::mail::{Fragment, fields, has_name, named};

/// The piece that a `Content-Type` names. `None`: it is another type, or parameters are missing, repeated
/// or make no sense: nobody can put such a piece together.
pub fn piece_of(content_type: &[u8]) -> Option<Fragment> {
    let TypeAndParameters { kind, parameters } = TypeAndParameters::of(content_type)?;
    if !kind.eq_ignore_ascii_case(b"message/partial") {
        return None;
    }
    let mut values = [None; 3];
    for (name, value) in &parameters {
        let Some(at) = ["id", "number", "total"].iter().position(|its| its == name) else {
            continue;
        };
        if values[at].replace(value).is_some() {
            return None;
        }
    }
    let [id, number, total] = values;
    let id = id.filter(|id| (1..=LONGEST_ID).contains(&id.len()))?;
    let is_text = |c: &u8| c.is_ascii_graphic() || *c == b' ';
    let id = String::from_utf8(id.clone()).ok().filter(|id| id.as_bytes().iter().all(is_text))?;
    let number = count(number?)?;
    let total = match total {
        Some(total) => Some(count(total).filter(|total| *total >= number)?),
        None => None,
    };
    Some(Fragment { id, number, total })
}

/// A number from 1 on, in digits.
fn count(value: &[u8]) -> Option<u32> {
    let is_number = value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()?;
    (number > 0).then_some(number)
}

/// Why pieces cannot be put together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unassemblable {
    /// A header is larger than what is kept of one.
    #[error("a header is too large")]
    LargeHeader,
    /// Pieces have no encoding but their own (RFC 2046 section 5.2.2).
    #[error("a piece has a transfer encoding")]
    Encoded,
}

/// Puts a message together (RFC 2046 section 5.2.2.1). Memory is bounded by two headers; time is linear.
///
/// The header is that of the first piece, without its `Content-*`, `Subject`, `Message-ID`, `Encrypted` and
/// `MIME-Version`, and behind it those of the message within. The headers of the other pieces go. Pieces
/// were parted between lines, so that one without a line end at its end gets it back; the last one stays as
/// it is.
#[derive(Debug, Default)]
pub struct Reassembly {
    /// Pieces that have begun.
    pieces: u32,
    place: InPiece,
    /// The header of the piece at hand, as far as it has come.
    outer: Vec<u8>,
    /// The header of the message within, as far as it has come; it may go on in the next piece.
    enclosed: Vec<u8>,
    /// The fields that the first piece gives.
    kept: Vec<u8>,
    is_behind_header: bool,
    /// The last octet of a body was no line end.
    is_within_line: bool,
}

/// The place of the next octet in its piece.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum InPiece {
    #[default]
    Header,
    Body,
}

impl Reassembly {
    /// The next piece begins, by its number. Adds to `out` what the piece before lacks.
    pub fn begin_piece(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_within_line) {
            self.body(b"\r\n", out);
        }
        self.pieces += 1;
        self.place = InPiece::Header;
        self.outer.clear();
    }

    /// Takes the next octets of a piece, and adds those of the message to `out`.
    pub fn feed(&mut self, mut octets: &[u8], out: &mut Vec<u8>) -> Result<(), Unassemblable> {
        while self.place == InPiece::Header && !octets.is_empty() {
            let (line, rest) = octets.split_at(line(octets));
            self.outer.extend_from_slice(line);
            octets = rest;
            if ends_header(&self.outer) {
                self.end_outer()?;
            }
        }
        if !octets.is_empty() {
            self.body(octets, out);
        }
        if self.outer.len().max(self.enclosed.len()) > LARGEST_HEADER {
            return Err(Unassemblable::LargeHeader);
        }
        Ok(())
    }

    /// All pieces have come. Adds the rest of the message to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.is_behind_header {
            self.end_enclosed(out);
        }
    }

    /// The header of a piece has ended.
    fn end_outer(&mut self) -> Result<(), Unassemblable> {
        self.place = InPiece::Body;
        if Encoding::of(&self.outer) != Encoding::Identity {
            return Err(Unassemblable::Encoded);
        }
        if self.pieces == 1 {
            let kept = fields(&self.outer).filter(|field| !is_of_the_message(field));
            self.kept = kept.flatten().copied().collect();
        }
        Ok(())
    }

    fn body(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        self.is_within_line = octets.last().is_some_and(|last| *last != b'\n');
        while !self.is_behind_header && !octets.is_empty() {
            let (line, rest) = octets.split_at(line(octets));
            self.enclosed.extend_from_slice(line);
            octets = rest;
            if ends_header(&self.enclosed) {
                self.end_enclosed(out);
            } else if self.enclosed.len() > LARGEST_HEADER {
                return;
            }
        }
        out.extend_from_slice(octets);
    }

    /// The header of the message within has ended. A line that is no field begins the body where the blank
    /// line is missing: nothing of it is lost.
    fn end_enclosed(&mut self, out: &mut Vec<u8>) {
        self.is_behind_header = true;
        out.append(&mut self.kept);
        let mut rest = &self.enclosed[..];
        for field in fields(&self.enclosed).take_while(|field| has_name(field)) {
            rest = &rest[field.len()..];
            if is_of_the_message(field) {
                out.extend_from_slice(field);
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(rest.strip_prefix(b"\r\n").unwrap_or(rest));
        self.enclosed = Vec::new();
    }
}

/// Whether a field is that of the message within, and of no piece.
fn is_of_the_message(field: &[u8]) -> bool {
    named(field).is_some_and(|(name, _)| {
        let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
        let is_content = name.get(..8).is_some_and(|its| its.eq_ignore_ascii_case(b"content-"));
        is_content || ["subject", "message-id", "encrypted", "mime-version"].iter().any(is)
    })
}

/// Whether the blank line behind a header has come.
fn ends_header(header: &[u8]) -> bool {
    header == b"\r\n" || header.ends_with(b"\n\r\n")
}

/// Octets of the first line, its end included.
fn line(octets: &[u8]) -> usize {
    memchr::memchr(b'\n', octets).map_or(octets.len(), |at| at + 1)
}

/// Octets of the parameter `id`: as long as a line may be in practice.
const LONGEST_ID: usize = 255;
/// Octets of a header that are kept.
const LARGEST_HEADER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put_together(pieces: &[&str], at_once: usize) -> Result<String, Unassemblable> {
        let (mut reassembly, mut out) = (Reassembly::default(), Vec::new());
        for piece in pieces {
            reassembly.begin_piece(&mut out);
            for octets in piece.as_bytes().chunks(at_once) {
                reassembly.feed(octets, &mut out)?;
            }
        }
        reassembly.finish(&mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_piece_says_which_it_is() {
        let piece = |id: &str, number, total| Some(Fragment { id: id.to_owned(), number, total });
        let rows = [
            // RFC 2046 section 5.2.2.
            (
                " Message/Partial; number=2; total=3;\r\n\tid=\"oc=jpbe0M2Yt4s@thumper.bellcore.com\"\r\n",
                piece("oc=jpbe0M2Yt4s@thumper.bellcore.com", 2, Some(3)),
            ),
            (
                " Message/Partial;\r\n\tid=\"oc=jpbe0M2Yt4s@thumper.bellcore.com\";\r\n number=2",
                piece("oc=jpbe0M2Yt4s@thumper.bellcore.com", 2, None),
            ),
            (
                " Message/Partial; number=3; total=3;\r\n\tid=\"oc=jpbe0M2Yt4s@thumper.bellcore.com\"",
                piece("oc=jpbe0M2Yt4s@thumper.bellcore.com", 3, Some(3)),
            ),
            // RFC 2046 section 5.2.2.2.
            (
                " message/partial; id=\"ABC@host.com\";\r\n number=1; total=2\r\n",
                piece("ABC@host.com", 1, Some(2)),
            ),
            ("message/partial;NUMBER=\"1\";id=a", piece("a", 1, None)),
            (
                "message/partial (a; b=c); id (x) = \"a;\\\"b\" ; number=1(one)",
                piece("a;\"b", 1, None),
            ),
            ("message / partial; id=a; number=1", piece("a", 1, None)),
            ("message/partial; id=a", None),
            ("message/partial; number=1", None),
            ("message/partial; id=\"\"; number=1", None),
            ("message/partial; id=a; number=0", None),
            ("message/partial; id=a; number=+1", None),
            ("message/partial; id=a; number=", None),
            ("message/partial; id=a; number=2; total=1", None),
            ("message/partial; id=a; number=1; number=2", None),
            ("message/partial; id=a; number=99999999999", None),
            ("message/partial; id=\"a; number=1", None),
            ("message/partial; id=ä; number=1", None),
            ("message/rfc822; id=a; number=1", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(piece_of(text.as_bytes()), want, "{text:?}");
        }
        let long = format!("message/partial; number=1; id={}", "a".repeat(LONGEST_ID + 1));
        assert_eq!(piece_of(long.as_bytes()), None);
    }

    #[test]
    fn the_example_of_the_standard_is_put_together() {
        // RFC 2046 section 5.2.2.2.
        let pieces = [
            "X-Weird-Header-1: Foo\r\nFrom: Bill@host.com\r\nTo: joe@otherhost.com\r\n\
             Date: Fri, 26 Mar 1993 12:59:38 -0500 (EST)\r\nSubject: Audio mail (part 1 of 2)\r\n\
             Message-ID: <id1@host.com>\r\nMIME-Version: 1.0\r\n\
             Content-type: message/partial; id=\"ABC@host.com\";\r\n              number=1; total=2\r\n\
             \r\n\
             X-Weird-Header-1: Bar\r\nX-Weird-Header-2: Hello\r\nMessage-ID: <anotherid@foo.com>\r\n\
             Subject: Audio mail\r\nMIME-Version: 1.0\r\nContent-type: audio/basic\r\n\
             Content-transfer-encoding: base64\r\n\r\n\
             ... first half of encoded audio data goes here ...\r\n",
            "From: Bill@host.com\r\nTo: joe@otherhost.com\r\n\
             Date: Fri, 26 Mar 1993 12:59:38 -0500 (EST)\r\nSubject: Audio mail (part 2 of 2)\r\n\
             MIME-Version: 1.0\r\nMessage-ID: <id2@host.com>\r\n\
             Content-type: message/partial;\r\n              id=\"ABC@host.com\"; number=2; total=2\r\n\
             \r\n\
             ... second half of encoded audio data goes here ...\r\n",
        ];
        let whole = "X-Weird-Header-1: Foo\r\nFrom: Bill@host.com\r\nTo: joe@otherhost.com\r\n\
             Date: Fri, 26 Mar 1993 12:59:38 -0500 (EST)\r\n\
             Message-ID: <anotherid@foo.com>\r\nSubject: Audio mail\r\nMIME-Version: 1.0\r\n\
             Content-type: audio/basic\r\nContent-transfer-encoding: base64\r\n\r\n\
             ... first half of encoded audio data goes here ...\r\n\
             ... second half of encoded audio data goes here ...\r\n";
        for at_once in [1, 2, 7, 64, 10_000] {
            assert_eq!(put_together(&pieces, at_once).unwrap(), whole, "{at_once} at once");
        }
    }

    #[test]
    fn pieces_are_joined_as_they_were_parted() {
        // name, pieces, message
        let rows: &[(&str, &[&str], &str)] = &[
            ("no line end", &["A: 1\r\n\r\nB: 2\r\n\r\nx", "\r\ny"], "A: 1\r\n\r\nx\r\ny"),
            ("blank lines stay", &["\r\n\r\nx\r\n\r\n", "\r\n\r\ny\r\n"], "\r\nx\r\n\r\n\r\ny\r\n"),
            (
                "the header is parted",
                &["A: 1\r\n\r\nSubject: a\r\n", "C: 3\r\n\r\n b\r\nD: 4\r\n\r\nx\r\n"],
                "A: 1\r\nSubject: a\r\n b\r\n\r\nx\r\n",
            ),
            ("an empty piece", &["\r\n\r\nx\r\n", "A: 1\r\n\r\n", "\r\ny\r\n"], "\r\nx\r\ny\r\n"),
            ("only a header", &["A: 1\r\n\r\nSubject: a\r\n"], "A: 1\r\nSubject: a\r\n\r\n"),
            (
                "no blank line",
                &["\r\nSubject: a\r\ntext\r\n\r\nx\r\n"],
                "Subject: a\r\n\r\ntext\r\n\r\nx\r\n",
            ),
            ("no header", &["A: 1\r\n\r\ntext\r\n"], "A: 1\r\n\r\ntext\r\n"),
            (
                "folded",
                &[
                    "Subject: a\r\n b\r\nTo: c,\r\n d\r\nencrypted: x\r\n\r\nENCRYPTED: y\r\nTo: z\r\n\r\n",
                ],
                "To: c,\r\n d\r\nENCRYPTED: y\r\n\r\n",
            ),
            (
                "a piece within",
                &[
                    "A: 1\r\n\r\nContent-Type: message/partial; id=b; number=1\r\n\r\nB: 1\r\n\r\nx\r\n",
                ],
                "A: 1\r\nContent-Type: message/partial; id=b; number=1\r\n\r\nB: 1\r\n\r\nx\r\n",
            ),
        ];
        for (name, pieces, want) in rows {
            for at_once in [1, 3, 1_000] {
                assert_eq!(put_together(pieces, at_once).unwrap(), *want, "{name}, {at_once}");
            }
        }
    }

    #[test]
    fn what_cannot_be_put_together_is_told() {
        let encoded = ["Content-Transfer-Encoding: base64\r\n\r\nQQ==\r\n"];
        assert_eq!(put_together(&encoded, 9), Err(Unassemblable::Encoded));
        let large = format!("A: {}\r\n", "x".repeat(LARGEST_HEADER));
        assert_eq!(put_together(&[&large], 4_096), Err(Unassemblable::LargeHeader));
        let within = format!("\r\nA: {}\r\n", "x".repeat(LARGEST_HEADER));
        assert_eq!(put_together(&[&within], 4_096), Err(Unassemblable::LargeHeader));
    }

    proptest! {
        #[test]
        fn a_message_parted_between_lines_is_what_it_was(
            lines in proptest::collection::vec("[ -~]{0,20}", 1..40),
            cuts in proptest::collection::vec(0..40usize, 0..6),
            at_once in 1..50usize,
        ) {
            let lines: Vec<_> = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let body = lines.concat();
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < lines.len()).collect();
            cuts.extend([0, lines.len()]);
            cuts.sort_unstable();
            let piece = |n: usize, lines: &[String]| {
                let header = if n == 0 { "Subject: s\r\n\r\n" } else { "" };
                format!("To: t\r\n\r\n{header}{}", lines.concat())
            };
            let pieces: Vec<_> =
                cuts.windows(2).enumerate().map(|(n, at)| piece(n, &lines[at[0]..at[1]])).collect();
            let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
            let want = format!("To: t\r\nSubject: s\r\n\r\n{body}");
            prop_assert_eq!(put_together(&pieces, at_once).unwrap(), want);
        }

        #[test]
        fn any_octets_are_taken(pieces in proptest::collection::vec("[a-c:\r\n ]{0,40}", 0..6)) {
            let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
            let whole = put_together(&pieces, 3);
            prop_assert_eq!(&whole, &put_together(&pieces, 1_000));
        }
    }
}
