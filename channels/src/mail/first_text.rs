//! Text before and behind the first text of a message (`text/plain`), put there while the content passes
//! in whatever pieces. Every other octet stays as it is.
//!
//! A text that is encoded otherwise than as `quoted-printable`, or that is HTML, is left alone: nothing is
//! decoded. Parts that are attachments or no text are passed over, and so is what lies deeper than
//! [`MAX_DEPTH`]. Memory is bounded: a header of a part is kept, and the beginning of a line.

use super::{
    header_scan::{fields, named},
    inner_headers::parameter,
    lines::{LineAssembly, LinePiece, MAX_DEPTH, delimited},
};

/// Puts text before and behind the first text.
#[derive(Debug)]
pub struct FirstText {
    /// Lines with their ends.
    prefix: Box<str>,
    suffix: Box<str>,
    /// Delimiters of multiparts that are open, the outermost first.
    open: Vec<Vec<u8>>,
    place: TextPlace,
    lines: LineAssembly,
    /// The header of a part that is being read.
    header: Vec<u8>,
    /// The last octets of the text.
    tail: Vec<u8>,
    /// Octets that come before whatever comes next.
    front: Vec<u8>,
}

/// The place of the next line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum TextPlace {
    /// In a part of no interest, or before the first.
    Between,
    /// In the header of a part.
    PartHeader,
    /// In the text.
    Text(TextEncoding),
    /// Behind it; or there is none, for this reason.
    Behind(Option<&'static str>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum TextEncoding {
    Plain,
    QuotedPrintable,
}

/// The meaning of a header for whoever looks for a text.
enum TextKind {
    Text(TextEncoding),
    Multipart(Vec<u8>),
    /// Something else may come.
    Other,
    /// Nothing is changed, for this reason.
    No(&'static str),
}

impl FirstText {
    /// Looks into the content behind this header, its blank line included.
    pub fn behind(header: &[u8], prefix: &str, suffix: &str) -> Self {
        let mut all = Self {
            prefix: prefix.into(),
            suffix: suffix.into(),
            open: Vec::new(),
            place: TextPlace::Between,
            lines: LineAssembly::default(),
            header: Vec::new(),
            tail: Vec::new(),
            front: Vec::new(),
        };
        if header == b"\r\n" || header.ends_with(b"\r\n\r\n") {
            let mut front = Vec::new();
            all.enter(header, &mut front);
            all.front = front;
        } else {
            all.place = TextPlace::Behind(Some("its header has no end"));
        }
        all
    }

    /// Takes the next piece of content and puts what may pass behind `out`.
    pub fn feed(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        out.append(&mut self.front);
        while !piece.is_empty() {
            let is_whole = self.open.is_empty() && matches!(self.place, TextPlace::Text(_));
            if is_whole || matches!(self.place, TextPlace::Behind(_)) {
                self.pass(piece, out);
                return;
            }
            match self.lines.take(&mut piece) {
                Some(LinePiece::Whole(line)) => self.end_line(&line, out),
                Some(LinePiece::Part(octets)) => self.pass_or_keep(&octets, out),
                None => {}
            }
        }
    }

    /// Passes what is left at the end of the content, and says why no text was put there.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Option<&'static str> {
        out.append(&mut self.front);
        let line = self.lines.rest();
        if !line.is_empty() {
            self.end_line(&line, out);
        }
        let header = std::mem::take(&mut self.header);
        self.pass(&header, out);
        match self.place {
            TextPlace::Text(encoding) => {
                if !self.tail.is_empty() && !self.tail.ends_with(b"\r\n") {
                    out.extend_from_slice(b"\r\n");
                }
                self.end_text(encoding, out);
                None
            }
            TextPlace::Between | TextPlace::PartHeader => Some("it has no text"),
            TextPlace::Behind(why) => why,
        }
    }

    /// A line that is no delimiter and ends no header.
    fn pass_or_keep(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if self.place != TextPlace::PartHeader {
            self.pass(octets, out);
            return;
        }
        self.header.extend_from_slice(octets);
        if self.header.len() > LARGEST_HEADER {
            self.place = TextPlace::Behind(Some("the header of a part is too large"));
            let header = std::mem::take(&mut self.header);
            self.pass(&header, out);
        }
    }

    fn end_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let open = self.open.iter().map(Vec::as_slice);
        if let Some((depth, closes)) = delimited(line, open.enumerate()) {
            let header = std::mem::take(&mut self.header);
            self.pass(&header, out);
            if let TextPlace::Text(encoding) = self.place {
                self.end_text(encoding, out);
                self.place = TextPlace::Behind(None);
            } else {
                self.open.truncate(if closes { depth } else { depth + 1 });
                self.place = match (closes, self.open.is_empty()) {
                    (true, true) => TextPlace::Behind(Some("it has no text")),
                    (true, false) => TextPlace::Between,
                    (false, _) => TextPlace::PartHeader,
                };
            }
            self.pass(line, out);
            return;
        }
        self.pass_or_keep(line, out);
        if self.place == TextPlace::PartHeader && line.trim_ascii().is_empty() {
            let header = std::mem::take(&mut self.header);
            self.pass(&header, out);
            self.enter(&header, out);
        }
    }

    /// Goes on behind a header: into what it announces.
    fn enter(&mut self, header: &[u8], out: &mut Vec<u8>) {
        let is_whole = self.open.is_empty();
        let is_ascii = self.prefix.is_ascii() && self.suffix.is_ascii();
        self.place = match TextKind::of(header, is_ascii) {
            TextKind::No(why) => TextPlace::Behind(Some(why)),
            TextKind::Other if is_whole => TextPlace::Behind(Some("it has no text")),
            TextKind::Multipart(delimiter) if self.open.len() < MAX_DEPTH => {
                self.open.push(delimiter);
                TextPlace::Between
            }
            TextKind::Other | TextKind::Multipart(_) => TextPlace::Between,
            TextKind::Text(encoding) => {
                put(&self.prefix, encoding, out);
                TextPlace::Text(encoding)
            }
        };
    }

    /// Puts the text behind the first text, whose last line has an end.
    fn end_text(&self, encoding: TextEncoding, out: &mut Vec<u8>) {
        if self.suffix.is_empty() {
            return;
        }
        // A soft line break would join the lines.
        if encoding == TextEncoding::QuotedPrintable && self.tail.ends_with(b"=\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        put(&self.suffix, encoding, out);
    }

    fn pass(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(octets);
        if matches!(self.place, TextPlace::Text(_)) {
            let last = &octets[octets.len().saturating_sub(TAIL)..];
            self.tail.extend_from_slice(last);
            let surplus = self.tail.len().saturating_sub(TAIL);
            self.tail.drain(..surplus);
        }
    }
}

impl TextKind {
    /// Of a part with this header; whether the text that is put there is ASCII.
    fn of(header: &[u8], is_ascii: bool) -> Self {
        let value = |wanted: &str| {
            let mut all = fields(header).filter_map(named);
            let found = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let first = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or_default();
            let end = value.find([';', '(']).unwrap_or(value.len());
            value[..end].trim().to_ascii_lowercase()
        };
        if first(&value("content-disposition")) == "attachment" {
            return Self::Other;
        }
        let content_type = value("content-type");
        let kind = match first(&content_type) {
            none if none.is_empty() => "text/plain".to_owned(),
            kind => kind,
        };
        let parameter = |name| content_type.as_deref().and_then(|value| parameter(value, name));
        if let Some(multipart) = kind.strip_prefix("multipart/") {
            // The signature of the whole message is its reader's to look at.
            let is_closed = multipart == "encrypted" || multipart == "signed";
            return match parameter("boundary") {
                _ if is_closed => Self::No("a part is signed or encrypted"),
                // Its parts are messages, whose headers come first.
                _ if multipart == "digest" => Self::No("it is a digest"),
                Some(boundary) => Self::Multipart(format!("--{boundary}").into_bytes()),
                None => Self::No("a multipart has no boundary"),
            };
        }
        if kind != "text/plain" {
            let is_other_text = kind.starts_with("text/");
            return if is_other_text {
                Self::No("its first text is not plain")
            } else {
                Self::Other
            };
        }
        let charset = parameter("charset").unwrap_or_default().to_ascii_lowercase();
        let encoding = first(&value("content-transfer-encoding"));
        let octets = if is_ascii {
            !NO_ASCII.iter().any(|name| charset.starts_with(name))
        } else {
            charset == "utf-8" && !["", "7bit"].contains(&&*encoding)
        };
        match &*encoding {
            _ if !octets => Self::No("its first text is in another character set"),
            "" | "7bit" | "8bit" | "binary" => Self::Text(TextEncoding::Plain),
            "quoted-printable" => Self::Text(TextEncoding::QuotedPrintable),
            _ => Self::No("its first text is encoded"),
        }
    }
}

/// Puts lines behind `out`.
fn put(text: &str, encoding: TextEncoding, out: &mut Vec<u8>) {
    if encoding == TextEncoding::Plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for line in text.lines() {
        let mut length = 0;
        for (at, c) in line.bytes().enumerate() {
            let is_last = at + 1 == line.len();
            let is_itself = matches!(c, b' '..=b'~' | b'\t') && c != b'=';
            let is_itself = is_itself && !(is_last && matches!(c, b' ' | b'\t'));
            let width = if is_itself { 1 } else { 3 };
            // One octet is left for the soft line break.
            if length + width > LONGEST_ENCODED - 1 {
                out.extend_from_slice(b"=\r\n");
                length = 0;
            }
            length += width;
            if is_itself {
                out.push(c);
            } else {
                let digit = |n: u8| HEX[usize::from(n)];
                out.extend_from_slice(&[b'=', digit(c >> 4), digit(c & 15)]);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// Octets of a line of quoted-printable (RFC 2045 section 6.7).
const LONGEST_ENCODED: usize = 76;
/// Octets of the header of a part.
const LARGEST_HEADER: usize = 64 << 10;
/// Octets of the end of a text that matter.
const TAIL: usize = 3;
/// Character sets in which the octets of ASCII mean something else.
const NO_ASCII: [&str; 5] = ["utf-16", "utf-32", "utf-7", "ucs-", "iso-10646"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The content behind a header when it comes in pieces of this size, and why no text was put there.
    fn with(
        content: &[u8],
        (before, behind): (&str, &str),
        piece: usize,
    ) -> (Vec<u8>, Option<&'static str>) {
        let at = memchr::memmem::find(content, b"\r\n\r\n").map_or(2, |at| at + 4);
        let (header, body) = content.split_at(at);
        let (mut text, mut out) = (FirstText::behind(header, before, behind), header.to_vec());
        body.chunks(piece).for_each(|piece| text.feed(piece, &mut out));
        let why = text.finish(&mut out);
        (out, why)
    }

    const TYPE: &str = "Content-Type: ";
    const QP: &str = "Content-Transfer-Encoding: quoted-printable\r\n";

    #[test]
    fn text_goes_before_and_behind_the_first_text_and_nowhere_else() {
        let long = "y".repeat(1_000);
        // `«` and `»` are where text is put.
        let rows = [
            "A: b\r\n\r\n«x\r\n»".to_owned(),
            "\r\n«x\r\n»".to_owned(),
            "A: b\r\n\r\n«»".to_owned(),
            format!("{TYPE}text/plain; charset=iso-8859-1\r\n\r\n«x\r\n--i\r\n{long}\r\n»"),
            format!("{TYPE}TEXT/Plain (x)\r\nContent-Transfer-Encoding: 8BIT\r\n\r\n«\u{e9}\r\n»"),
            format!("{TYPE}text/plain\r\n{QP}\r\n«x =3D\r\n»"),
            format!(
                "{TYPE}multipart/mixed; boundary=\"i\"\r\n\r\npreamble\r\n--i\r\n\r\n«x\r\n{long}\r\n\
                 --j\r\n»--i\r\n{TYPE}text/plain\r\n\r\ny\r\n--i--\r\nepilogue\r\n"
            ),
            format!("{TYPE}multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n«»--i--\r\n"),
            format!("{TYPE}multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n«x\r\n»"),
            format!(
                "{TYPE}multipart/mixed; boundary=o\r\n\r\n--o\r\n{TYPE}multipart/alternative;\r\n \
                 boundary=i\r\n\r\n--i\r\n{TYPE}text/plain\r\n{QP}\r\n«x\r\n»--i\r\n\
                 {TYPE}text/html\r\n\r\n<p>x\r\n--i--\r\n--o\r\n{TYPE}image/png\r\n\r\nz\r\n--o--\r\n"
            ),
            format!(
                "{TYPE}multipart/mixed; boundary=i\r\n\r\n--i\r\nContent-Disposition: Attachment; \
                 filename=a\r\n\r\nx\r\n--i\r\n{TYPE}image/png\r\n\r\nx\r\n--i\r\n\
                 {TYPE}message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n--i\r\nX: y\r\n\r\n«x\r\n»--i--\r\n"
            ),
            // The part within ends where the outer one does.
            format!(
                "{TYPE}multipart/mixed; boundary=o\r\n\r\n--o\r\n{TYPE}multipart/mixed; \
                 boundary=i\r\n\r\n--i\r\n\r\n«x\r\n»--o--\r\n"
            ),
        ];
        for row in rows {
            let marked = |before: &str, behind: &str| row.replace('«', before).replace('»', behind);
            let want = marked(BEFORE, BEHIND);
            for piece in [1, 2, 7, 100, 5_000] {
                let (got, why) = with(marked("", "").as_bytes(), (BEFORE, BEHIND), piece);
                assert_eq!(String::from_utf8_lossy(&got), want, "by {piece}");
                assert_eq!(why, None, "{row}");
                let (got, _) = with(marked("", "").as_bytes(), ("", ""), piece);
                assert_eq!(String::from_utf8_lossy(&got), marked("", ""), "by {piece}");
            }
        }
    }

    #[test]
    fn lines_are_ended_and_encoded_as_the_text_is() {
        let (grey, long) = ("Gr\u{fc}\u{df}e=\r\n", format!("{}\r\n", "x".repeat(80)));
        let utf8 = format!("{TYPE}text/plain; Charset=\"UTF-8\"\r\n");
        let eight = "Content-Transfer-Encoding: 8bit\r\n";
        let rows = [
            ("A: b\r\n\r\nx".to_owned(), "", "a\r\n", "x\r\na\r\n".to_owned()),
            (format!("A: b\r\n{QP}\r\nx=\r\n"), "", "a\r\n", "x=\r\n\r\na\r\n".to_owned()),
            (format!("A: b\r\n{QP}\r\nx=\r\n"), "a\r\n", "", "a\r\nx=\r\n".to_owned()),
            (
                format!("{utf8}{QP}\r\nx\r\n"),
                grey,
                &long,
                format!("Gr=C3=BC=C3=9Fe=3D\r\nx\r\n{}=\r\nxxxxx\r\n", "x".repeat(75)),
            ),
            (format!("{utf8}{eight}\r\nx\r\n"), grey, "", format!("{grey}x\r\n")),
            (
                format!("{TYPE}text/plain\r\n{QP}\r\nx\r\n"),
                "a\tb\r\n",
                "",
                "a\tb\r\nx\r\n".to_owned(),
            ),
        ];
        for (content, before, behind, want) in rows {
            let (got, why) = with(content.as_bytes(), (before, behind), 3);
            let at = content.find("\r\n\r\n").unwrap() + 4;
            assert_eq!(String::from_utf8_lossy(&got[at..]), want, "{content}");
            assert_eq!(why, None, "{content}");
        }
    }

    #[test]
    fn what_cannot_take_it_stays_as_it_is() {
        let part = |header: &str| {
            format!(
                "{TYPE}multipart/mixed; boundary=i\r\n\r\n--i\r\n{header}\r\n\r\nx\r\n--i--\r\n"
            )
        };
        let base64 = "Content-Transfer-Encoding: base64";
        let html = format!("{TYPE}text/html");
        let rows = [
            (format!("{html}\r\n\r\n<p>x\r\n"), "", "not plain"),
            (part(&html), "", "not plain"),
            (format!("{base64}\r\n\r\nYQ==\r\n"), "", "encoded"),
            (part(base64), "", "encoded"),
            (format!("{TYPE}image/png\r\n\r\nx\r\n"), "", "no text"),
            (part("Content-Disposition: attachment"), "", "no text"),
            (part(&format!("{TYPE}multipart/signed; boundary=s")), "", "signed"),
            (part(&format!("{TYPE}multipart/mixed")), "", "no boundary"),
            (
                format!("{TYPE}multipart/digest; boundary=i\r\n\r\n--i\r\n\r\nA: b\r\n"),
                "",
                "digest",
            ),
            (
                format!("{TYPE}multipart/encrypted; boundary=i\r\n\r\n--i\r\n\r\nx\r\n"),
                "",
                "encrypted",
            ),
            (format!("{TYPE}text/plain; charset=UTF-16LE\r\n\r\nx\r\n"), "", "character set"),
            ("A: b\r\n\r\nx\r\n".to_owned(), "\u{e9}", "character set"),
            (format!("{TYPE}text/plain; charset=utf-8\r\n\r\nx\r\n"), "\u{e9}", "character set"),
            (
                format!("{TYPE}text/plain; charset=iso-8859-1\r\n{QP}\r\nx\r\n"),
                "\u{e9}",
                "character set",
            ),
            (part(&format!("X: {}", "y".repeat(LARGEST_HEADER))), "", "too large"),
            ("A: b".to_owned(), "", "no end"),
        ];
        for (content, more, want) in rows {
            let before = format!("{more}One\r\n");
            for piece in [1, 5_000] {
                let (got, why) = with(content.as_bytes(), (&before, BEHIND), piece);
                assert_eq!(got, content.as_bytes(), "by {piece}");
                assert!(why.is_some_and(|why| why.contains(want)), "{content}: {why:?}");
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let level = |n: usize| format!("{TYPE}multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        let deep: String = (0..100).map(level).collect::<String>() + "\r\nx\r\n";
        let (got, why) = with(deep.as_bytes(), (BEFORE, BEHIND), 1_000);
        assert_eq!((got.as_slice(), why), (deep.as_bytes(), Some("it has no text")));
    }

    const BEFORE: &str = "One\r\nTwo\r\n";
    const BEHIND: &str = "Three\r\n";

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_is_lost(
            lines in "((Content-Type: multipart/mixed; boundary=i|Content-Type: text/plain|--i|--i--|x| |)\r\n){0,12}",
            piece in 1usize..9,
        ) {
            let content = format!("Content-Type: multipart/mixed; boundary=i\r\n\r\n{lines}");
            let (whole, _) = with(content.as_bytes(), (BEFORE, BEHIND), content.len());
            let (pieces, _) = with(content.as_bytes(), (BEFORE, BEHIND), piece);
            prop_assert_eq!(&whole, &pieces);
            let text = String::from_utf8(whole).unwrap();
            prop_assert_eq!(text.replacen(BEFORE, "", 1).replacen(BEHIND, "", 1), content);
        }
    }
}
