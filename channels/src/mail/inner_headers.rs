//! Headers of messages within a message (`message/rfc822`, RFC 2046 section 5.2.1), found while its
//! content passes in whatever pieces.
//!
//! Nothing is decoded: a message within another comes as it is (RFC 2046 forbids encodings). Content
//! under a signature (`multipart/signed`) is passed over, and so is what lies deeper than
//! [`MAX_DEPTH`]. Memory is bounded: a header of a part is kept, and the beginning of a line.

use super::{
    header_addresses::is_signed,
    header_scan::{fields, named},
    lines::{LineAssembly, LinePiece, MAX_DEPTH, delimited},
};

/// Finds the headers of messages within a message.
#[derive(Debug)]
pub struct InnerHeaders {
    /// Multiparts that are open, the outermost first.
    open: Vec<Multipart>,
    state: Within,
    lines: LineAssembly,
    /// The header that is being read.
    header: Vec<u8>,
}

/// A piece of the content that passes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Passing {
    /// Goes on as it is.
    Octets(Vec<u8>),
    /// The header of a message within, its blank line included.
    Header(Vec<u8>),
}

/// A message of several parts.
#[derive(Debug)]
pub(crate) struct Multipart {
    /// Two hyphens and the boundary.
    pub(crate) delimiter: Vec<u8>,
    /// Its parts are messages when they do not say otherwise.
    pub(crate) is_digest: bool,
}

/// The place of the next line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Within {
    /// In content of no interest.
    Body,
    /// In the header of a part of a multipart.
    PartHeader,
    /// In the header of a message.
    MessageHeader,
    /// Behind everything of interest.
    Done,
}

/// The meaning of a `Content-Type`.
pub(crate) enum ContentType {
    /// Parts follow.
    Multipart(Multipart),
    /// A message follows.
    Message,
    /// Anything else.
    Other,
}

impl InnerHeaders {
    /// Looks into the content behind this header.
    pub fn behind(header: &[u8]) -> Self {
        let mut all = Self {
            open: Vec::new(),
            state: Within::Done,
            lines: LineAssembly::default(),
            header: Vec::new(),
        };
        all.enter(header, false);
        all
    }

    /// Takes the next piece of content and puts what may pass behind `passing`.
    pub fn feed(&mut self, mut piece: &[u8], passing: &mut Vec<Passing>) {
        while !piece.is_empty() {
            if self.state == Within::Done {
                pass(piece, passing);
                return;
            }
            match self.lines.take(&mut piece) {
                Some(LinePiece::Whole(line)) => self.end_line(&line, passing),
                Some(LinePiece::Part(octets)) => self.pass_or_keep(&octets, passing),
                None => {}
            }
        }
    }

    /// Passes what is left at the end of the content.
    pub fn finish(mut self, passing: &mut Vec<Passing>) {
        let line = self.lines.rest();
        if !line.is_empty() {
            self.end_line(&line, passing);
        }
        if !self.header.is_empty() {
            let header = std::mem::take(&mut self.header);
            match self.state {
                Within::MessageHeader => passing.push(Passing::Header(header)),
                _ => pass(&header, passing),
            }
        }
    }

    /// A line that is no delimiter and ends no header.
    fn pass_or_keep(&mut self, octets: &[u8], passing: &mut Vec<Passing>) {
        if self.state == Within::Body || self.state == Within::Done {
            pass(octets, passing);
            return;
        }
        self.header.extend_from_slice(octets);
        if self.header.len() > LARGEST_HEADER {
            let header = std::mem::take(&mut self.header);
            pass(&header, passing);
            self.state = Within::Body;
        }
    }

    fn end_line(&mut self, line: &[u8], passing: &mut Vec<Passing>) {
        let open = self.open.iter().map(|open| open.delimiter.as_slice());
        if let Some((depth, closes)) = delimited(line, open.enumerate()) {
            let header = std::mem::take(&mut self.header);
            match self.state {
                Within::MessageHeader if !header.is_empty() => {
                    passing.push(Passing::Header(header));
                }
                _ => pass(&header, passing),
            }
            self.open.truncate(if closes { depth } else { depth + 1 });
            self.state = match (closes, self.open.is_empty()) {
                (true, true) => Within::Done,
                (true, false) => Within::Body,
                (false, _) => Within::PartHeader,
            };
            pass(line, passing);
            return;
        }
        self.pass_or_keep(line, passing);
        let is_header = matches!(self.state, Within::PartHeader | Within::MessageHeader);
        if is_header && line.trim_ascii().is_empty() {
            let header = std::mem::take(&mut self.header);
            if self.state == Within::MessageHeader {
                self.enter(&header, false);
                passing.push(Passing::Header(header));
            } else {
                let is_digest = self.open.last().is_some_and(|open| open.is_digest);
                self.enter(&header, is_digest);
                pass(&header, passing);
            }
        }
    }

    /// Goes on behind a header: into what it announces.
    fn enter(&mut self, header: &[u8], is_message: bool) {
        let nothing = if self.open.is_empty() { Within::Done } else { Within::Body };
        self.state = match ContentType::of(header, is_message) {
            _ if is_signed(header) => nothing,
            ContentType::Multipart(multipart) if self.open.len() < MAX_DEPTH => {
                self.open.push(multipart);
                Within::Body
            }
            ContentType::Message => Within::MessageHeader,
            ContentType::Multipart(_) | ContentType::Other => nothing,
        };
    }
}

impl ContentType {
    /// Of the entity with this header. `is_message`: what says nothing of its type is a message.
    pub(crate) fn of(header: &[u8], is_message: bool) -> Self {
        let by_default = if is_message { Self::Message } else { Self::Other };
        let mut named = fields(header).filter_map(named);
        let own = named.find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        let Some((_, value)) = own else { return by_default };
        let value = String::from_utf8_lossy(value);
        let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "message/rfc822" {
            return Self::Message;
        }
        let boundary = || parameter(&value, "boundary");
        match kind.strip_prefix("multipart/").and_then(|kind| Some((kind, boundary()?))) {
            Some((kind, boundary)) => {
                let delimiter = format!("--{boundary}").into_bytes();
                Self::Multipart(Multipart { delimiter, is_digest: kind == "digest" })
            }
            None => Self::Other,
        }
    }
}

/// A parameter of a `Content-Type`, without quotes.
pub(super) fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value;
    loop {
        // A semicolon within quotes parts nothing.
        let mut quoted = false;
        let at = rest.find(|c| {
            quoted ^= c == '"';
            c == ';' && !quoted
        })?;
        rest = rest[at + 1..].trim_start();
        let is_it = rest.get(..name.len()).is_some_and(|its| its.eq_ignore_ascii_case(name));
        if let Some(text) = rest.get(name.len()..).filter(|_| is_it)
            && let Some(text) = text.trim_start().strip_prefix('=')
        {
            let text = text.trim_start();
            let text = match text.strip_prefix('"') {
                Some(text) => text.split('"').next()?.replace('\\', ""),
                None => text.split([';', ' ', '\t', '\r', '\n', '(']).next()?.to_owned(),
            };
            let text = text.trim_end();
            // RFC 2046 section 5.1.1: 70 octets at most.
            return (!text.is_empty() && text.len() <= 2 * 70).then(|| text.to_owned());
        }
    }
}

fn pass(octets: &[u8], passing: &mut Vec<Passing>) {
    if octets.is_empty() {
        return;
    }
    match passing.last_mut() {
        Some(Passing::Octets(last)) => last.extend_from_slice(octets),
        _ => passing.push(Passing::Octets(octets.to_vec())),
    }
}

/// Octets of the header of a part.
const LARGEST_HEADER: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// The headers that are found when the content comes in pieces of this size.
    fn found(content: &str, piece: usize) -> Vec<String> {
        let at = content.find("\r\n\r\n").unwrap() + 4;
        let (header, body) = content.as_bytes().split_at(at);
        let (mut inner, mut passing) = (InnerHeaders::behind(header), Vec::new());
        body.chunks(piece).for_each(|piece| inner.feed(piece, &mut passing));
        inner.finish(&mut passing);
        let all = |one: &Passing| match one {
            Passing::Octets(octets) | Passing::Header(octets) => octets.clone(),
        };
        let whole: Vec<u8> = passing.iter().flat_map(all).collect();
        assert_eq!(String::from_utf8(whole).unwrap(), content[at..], "nothing is lost");
        let headers = passing.into_iter().filter_map(|one| match one {
            Passing::Header(header) => Some(String::from_utf8(header).unwrap()),
            Passing::Octets(_) => None,
        });
        headers.collect()
    }

    #[test]
    fn headers_within_are_found_wherever_they_lie() {
        let long = format!("{}\r\n", "x".repeat(1_000));
        let rows: &[(&str, String, &[&str])] = &[
            ("none", "Subject: x\r\n\r\nFrom: a@b\r\n\r\nx".into(), &[]),
            (
                "a message by itself",
                "Content-Type: message/rfc822\r\n\r\nFrom: a@b\r\n\r\nFrom: c@d\r\n".into(),
                &["From: a@b\r\n\r\n"],
            ),
            (
                "in a multipart, behind long lines",
                format!(
                    "Content-Type: multipart/mixed;\r\n boundary=\"a b\"\r\n\r\n--a c\r\n{long}--a b  \r\n\
                     Content-Type: Message/RFC822\r\n\r\nFrom: a@b\r\n\r\nx\r\n--a b\r\n\r\n\
                     From: e@f\r\n--a b--\r\nFrom: g@h\r\n\r\n"
                ),
                &["From: a@b\r\n\r\n"],
            ),
            (
                "nested",
                "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n\
                 From: a@b\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\
                 Content-Type: message/rfc822\r\n\r\nFrom: c@d\r\n\r\nx\r\n--o\r\n\
                 Content-Type: message/rfc822\r\n\r\nFrom: e@f\r\n--o--\r\n"
                    .into(),
                &[
                    "From: a@b\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n",
                    "From: c@d\r\n\r\n",
                    "From: e@f\r\n",
                ],
            ),
            (
                "a digest",
                "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nFrom: a@b\r\n\r\nx\r\n--d--\r\n"
                    .into(),
                &["From: a@b\r\n\r\n"],
            ),
            (
                "under a signature",
                "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
                 Content-Type: multipart/signed; boundary=i\r\n\r\n--i\r\n\
                 Content-Type: message/rfc822\r\n\r\nFrom: c@d\r\n\r\nx\r\n--i--\r\n--o--\r\n"
                    .into(),
                &[],
            ),
            (
                "without an end",
                "Content-Type: message/rfc822\r\n\r\nFrom: a@b".into(),
                &["From: a@b"],
            ),
        ];
        for (name, content, want) in rows {
            for piece in [1, 2, 7, 100, content.len()] {
                assert_eq!(found(content, piece), *want, "{name}, by {piece}");
            }
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let level =
            |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        let mut deep: String = (0..100).map(level).collect();
        deep += "Content-Type: message/rfc822\r\n\r\nFrom: a@b\r\n\r\n";
        assert_eq!(found(&deep, 1_000), Vec::<String>::new());
        let large = format!(
            "Content-Type: message/rfc822\r\n\r\n{}\r\n\r\n",
            "X: y\r\n".repeat(LARGEST_HEADER / 6 + 1)
        );
        assert_eq!(found(&large, 4_096), Vec::<String>::new());
    }
}
