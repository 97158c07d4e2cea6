//! The facts that routing and queueing want of a message's header: how urgent it is, and how often
//! it has been passed on. One walk over the header's lines, nothing is decoded; all of it is looked
//! at, however long it is and in whatever pieces it comes.

use std::sync::Arc;

use memchr::memchr;

use super::Priority;

/// The facts found in a header.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderScan {
    /// `Priority:`, or else `Importance:`.
    pub priority: Option<Priority>,
    /// `Received:` lines.
    pub received: usize,
    /// Of those, how many say `by` our own name.
    pub received_here: usize,
    /// `TLS-Required: No` (RFC 8689 section 5): rather in clear than not at all.
    pub tls_not_required: bool,
    /// The value of `Content-Type:` where that is `message/partial`.
    pub partial: Option<Arc<[u8]>>,
    /// The first `Message-ID:`, its angle brackets included, if it is fit for a log.
    pub message_id: Option<Box<str>>,
}

/// Looks at a header that comes in pieces. Keeps the start of one field, and no more.
#[derive(Debug, Default)]
pub struct HeaderScanner {
    glance: HeaderScan,
    importance: Option<Priority>,
    /// There was a `Content-Type:`; the first one counts.
    has_type: bool,
    /// The field at hand, as far as it may matter.
    field: Vec<u8>,
    line: Line,
}

/// Where in the header the next octet stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Line {
    /// At the start of one.
    #[default]
    Start,
    /// In the first line of a field. `blank`: nothing but white space so far.
    First { blank: bool },
    /// In a line that continues a field.
    Folded,
    /// Behind the header.
    Behind,
}

impl HeaderScan {
    /// Looks at the header in front of `content`, as far as it is there; `host` is our name.
    pub fn at(content: &[u8], host: &str) -> Self {
        let mut glancer = HeaderScanner::default();
        for field in fields(content) {
            glancer.note(field, host);
        }
        glancer.finish(host)
    }
}

impl HeaderScanner {
    /// Looks at the next piece of the message; `host` is our name.
    pub fn feed(&mut self, mut piece: &[u8], host: &str) {
        while let Some(first) = piece.first().filter(|_| self.line != Line::Behind) {
            if self.line == Line::Start {
                let folded = !self.field.is_empty() && matches!(first, b' ' | b'\t');
                if folded {
                    self.line = Line::Folded;
                } else {
                    self.end_field(host);
                    self.line = Line::First { blank: true };
                }
            }
            let (now, rest) = piece.split_at(line(piece));
            piece = rest;
            let room = LONGEST_FIELD - self.field.len();
            self.field.extend_from_slice(&now[..now.len().min(room)]);
            if let Line::First { blank } = &mut self.line {
                *blank &= now.trim_ascii_end().is_empty();
            }
            if now.ends_with(b"\n") {
                let behind = self.line == Line::First { blank: true };
                self.line = if behind { Line::Behind } else { Line::Start };
            }
        }
    }

    /// The facts found; `host` is our name.
    pub fn finish(mut self, host: &str) -> HeaderScan {
        self.end_field(host);
        HeaderScan { priority: self.glance.priority.or(self.importance), ..self.glance }
    }

    fn end_field(&mut self, host: &str) {
        let field = std::mem::take(&mut self.field);
        self.note(&field, host);
        self.field = field;
        self.field.clear();
    }

    fn note(&mut self, field: &[u8], host: &str) {
        let Some((name, value)) = named(field) else { return };
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"received") {
            self.glance.received += 1;
            self.glance.received_here += usize::from(is_by(value, host.as_bytes()));
        } else if is(b"priority") {
            self.glance.priority = self.glance.priority.or_else(|| Priority::from_header(value));
        } else if is(b"tls-required") {
            self.glance.tls_not_required |= value.trim_ascii().eq_ignore_ascii_case(b"no");
        } else if is(b"importance") {
            self.importance = self.importance.or_else(|| Priority::from_header(value));
        } else if is(b"message-id") && self.glance.message_id.is_none() {
            self.glance.message_id = id_of(value).map(Into::into);
        } else if is(b"content-type") && !self.has_type {
            self.has_type = true;
            self.glance.partial = is_partial(value).then(|| value.into());
        }
    }
}

/// Writes `*` for each octet above 127 in the `Received` lines of a header, as the original does.
pub fn star_received(header: &mut [u8]) {
    if header.is_ascii() {
        return;
    }
    let mut starts = Vec::new();
    let mut start = 0;
    for field in fields(header) {
        if named(field).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"received")) {
            starts.push(start..start + field.len());
        }
        start += field.len();
    }
    for at in starts {
        header[at].iter_mut().filter(|octet| !octet.is_ascii()).for_each(|octet| *octet = b'*');
    }
}

/// A line that is missing in a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeaderGap {
    /// Octets of the message before it.
    pub at: usize,
    /// The octets to be put there.
    pub octets: &'static [u8],
}

impl HeaderGap {
    /// The first one of a message: a line that is no part of a header stands in its header, and there
    /// is no blank line before it, as Postfix puts one there. The line of an mbox (`From user date`) in
    /// front of everything becomes a field.
    pub fn of(message: &[u8]) -> Option<Self> {
        let past = message.iter().position(|c| *c != b'>').unwrap_or_default();
        let is_field = past == 0 && fields(message).next().is_some_and(has_name);
        if message[past..].starts_with(b"From ") && !is_field {
            return Some(Self { at: 0, octets: MAILBOX_LINE });
        }
        let mut at = 0;
        for field in fields(message) {
            if !has_name(field) {
                return Some(Self { at, octets: b"\r\n" });
            }
            at += field.len();
        }
        None
    }
}

/// Whether this begins with a name and a colon (RFC 5322 sections 2.2 and 4.5.8).
pub(crate) fn has_name(field: &[u8]) -> bool {
    let is_name = |c: &u8| c.is_ascii_graphic() && *c != b':';
    let name = field.iter().position(|c| !is_name(c)).unwrap_or(field.len());
    let mut behind = field[name..].iter();
    name > 0 && behind.find(|c| !matches!(c, b' ' | b'\t')) == Some(&b':')
}

/// The name that the sending server has for a message: the id in the first `Received` line of `content`,
/// if it is near the beginning and fit for a log.
pub fn peer_id(content: &[u8]) -> Option<&str> {
    let near = &content[..content.len().min(NEAR)];
    let mut all = fields(near).filter_map(named);
    let (_, value) = all.find(|(name, _)| name.eq_ignore_ascii_case(b"received"))?;
    let stops = |c: &u8| c.is_ascii_whitespace() || *c == b';';
    let mut words = value.split(stops).filter(|word| !word.is_empty());
    words.find(|word| word.eq_ignore_ascii_case(b"id"))?;
    let id = std::str::from_utf8(words.next()?).ok()?;
    (id.len() <= MAX_ID && id.bytes().all(|c| c.is_ascii_graphic())).then_some(id)
}

/// The `Message-ID` of a message, its angle brackets included, if it is near the beginning and fit for a
/// log.
pub fn message_id(content: &[u8]) -> Option<&str> {
    let near = &content[..content.len().min(NEAR)];
    let mut all = fields(near).filter_map(named);
    let (_, value) = all.find(|(name, _)| name.eq_ignore_ascii_case(b"message-id"))?;
    id_of(value)
}

/// The id in the value of a `Message-ID`: what stands in angle brackets, or else all of it.
fn id_of(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    let start = memchr(b'<', value).unwrap_or(0);
    let end = memchr(b'>', &value[start..]).map_or(value.len(), |at| start + at + 1);
    let id = std::str::from_utf8(&value[start..end]).ok()?;
    let is_fit = |c: char| !c.is_whitespace() && !c.is_control();
    (!id.is_empty() && id.len() <= MAX_MESSAGE_ID && id.chars().all(is_fit)).then_some(id)
}

/// The text of the first field of this name in a header, unfolded, without blanks around it.
pub fn first_value(header: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mut all = fields(header).filter_map(named);
    let (_, value) = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))?;
    let unfolded = value.iter().filter(|c| !matches!(c, b'\r' | b'\n'));
    Some(unfolded.copied().collect::<Vec<_>>().trim_ascii().to_vec())
}

/// The fields of a header, folded lines with the line they belong to.
pub(crate) fn fields(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let mut end = line(rest);
        if rest[..end].trim_ascii_end().is_empty() {
            return None;
        }
        while rest.get(end).is_some_and(|c| matches!(c, b' ' | b'\t')) {
            end += line(&rest[end..]);
        }
        let (field, behind) = rest.split_at(end);
        rest = behind;
        Some(field)
    })
}

/// A field's name and value, if it has a name.
pub(crate) fn named(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', field)?;
    Some((field[..colon].trim_ascii_end(), &field[colon + 1..]))
}

/// Octets of the first line, its end included.
fn line(text: &[u8]) -> usize {
    memchr(b'\n', text).map_or(text.len(), |at| at + 1)
}

/// Whether a `Content-Type` may be that of a piece: comments may stand before the type.
fn is_partial(value: &[u8]) -> bool {
    let kind = value.split(|c| *c == b';').next().unwrap_or_default();
    kind.windows(PARTIAL.len()).any(|its| its.eq_ignore_ascii_case(PARTIAL))
}

fn is_by(received: &[u8], host: &[u8]) -> bool {
    // The date may follow the name at once, and so may a comment.
    let ends = |c: &u8| c.is_ascii_whitespace() || matches!(c, b';' | b'(');
    let mut words = received.split(ends).filter(|word| !word.is_empty());
    words.any(|word| word.eq_ignore_ascii_case(b"by"))
        && words.next().is_some_and(|word| word.eq_ignore_ascii_case(host))
}

/// Octets of a field that are kept: of those that matter, what matters stands at the front.
const LONGEST_FIELD: usize = 8 << 10;
/// The second half of `message/partial`.
const PARTIAL: &[u8] = b"partial";
/// The name of the field that an mbox's line becomes, as Postfix has it.
const MAILBOX_LINE: &[u8] = b"X-Mailbox-Line: ";
/// How far the line of the last server may be from the beginning: others may have put theirs before.
const NEAR: usize = 8 << 10;
const MAX_ID: usize = 100;
/// Octets of a `Message-ID`: a line of a header is rarely longer.
const MAX_MESSAGE_ID: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: HeaderScan = HeaderScan {
        priority: None,
        received: 0,
        received_here: 0,
        tls_not_required: false,
        partial: None,
        message_id: None,
    };

    #[test]
    fn the_message_id_is_found_whichever_way_it_is_looked_for() {
        for (header, want) in [
            ("Message-ID: <a.b@c>\r\n\r\n", Some("<a.b@c>")),
            ("message-id:\r\n <a@b> (made up)\r\nMessage-Id: <c@d>\r\n", Some("<a@b>")),
            ("Message-ID: bare\r\n", Some("bare")),
            ("Message-ID: not one\r\n", None),
            ("Message-ID: <a\u{7}@b>\r\n", None),
            ("Message-ID:\r\n", None),
            ("Subject: x\r\n\r\nMessage-ID: <a@b>\r\n", None),
        ] {
            assert_eq!(message_id(header.as_bytes()), want, "{header:?}");
            let scan = HeaderScan::at(header.as_bytes(), "h");
            assert_eq!(scan.message_id.as_deref(), want, "{header:?}");
        }
        let long = format!("Message-ID: <{}>\r\n", "x".repeat(600));
        assert_eq!(message_id(long.as_bytes()), None);
    }

    #[test]
    fn the_type_of_a_piece_is_kept() {
        let rows: &[(&str, Option<&str>)] = &[
            ("Content-Type: text/plain\r\n", None),
            (
                "content-type: Message/Partial; id=x;\r\n number=1\r\n",
                Some(" Message/Partial; id=x;\r\n number=1\r\n"),
            ),
            ("Content-Type: (a) message/partial\r\n", Some(" (a) message/partial\r\n")),
            ("Content-Type: text/plain; x=message/partial\r\n", None),
            ("Content-Type: text/plain\r\nContent-Type: message/partial\r\n", None),
            ("Subject: x\r\n\r\nContent-Type: message/partial\r\n", None),
        ];
        for (header, want) in rows {
            for size in [1, 7, 1_000] {
                let mut scanner = HeaderScanner::default();
                header.as_bytes().chunks(size).for_each(|piece| scanner.feed(piece, "h"));
                let found = scanner.finish("h").partial;
                assert_eq!(found.as_deref(), want.map(str::as_bytes), "{header:?} by {size}");
            }
        }
    }

    #[test]
    fn a_header_is_looked_at_as_far_as_it_goes() {
        let glance = |priority, received, received_here| HeaderScan {
            priority,
            received,
            received_here,
            ..NOTHING
        };
        let rows: &[(&str, HeaderScan)] = &[
            ("", HeaderScan::default()),
            ("Subject: x\r\n\r\nPriority: urgent\r\n", HeaderScan::default()),
            ("priority : Urgent \r\n\r\n", glance(Some(Priority::Urgent), 0, 0)),
            ("Importance: low\r\nPriority: normal\r\n\r\n", glance(Some(Priority::Normal), 0, 0)),
            ("Importance: high\r\n", glance(Some(Priority::Urgent), 0, 0)),
            ("Priority: soon\r\nPriority: non-urgent\r\n", glance(Some(Priority::Nonurgent), 0, 0)),
            ("Received: from a\r\n\tby Here.example with SMTP\r\n\r\n", glance(None, 1, 1)),
            ("Received: from a by here.example; now\r\n", glance(None, 1, 1)),
            ("Received: by here.example(us) with SMTP\r\n", glance(None, 1, 1)),
            ("Received: from by by here.example;\r\nReceived: x\r\n\r\n", glance(None, 2, 0)),
            ("Received: from a by elsewhere.example\r\n by here.example\r\n", glance(None, 1, 0)),
            ("no colon\r\nReceived: by here.example\r\n", glance(None, 1, 1)),
            ("\n\nReceived: by here.example\r\n", HeaderScan::default()),
            ("Received", HeaderScan::default()),
            ("TLS-required:  no \r\nA: b\r\n", HeaderScan { tls_not_required: true, ..NOTHING }),
            ("TLS-Required: yes\r\nX-TLS-Required: No\r\n", NOTHING),
        ];
        for (text, want) in rows {
            assert_eq!(HeaderScan::at(text.as_bytes(), "here.example"), *want, "{text:?}");
            for piece in 1..=text.len() {
                let mut glancer = HeaderScanner::default();
                text.as_bytes().chunks(piece).for_each(|piece| glancer.feed(piece, "here.example"));
                assert_eq!(glancer.finish("here.example"), *want, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn octets_above_127_become_asterisks_in_received_lines_alone() {
        let rows: &[(&[u8], &[u8])] = &[
            (
                b"Received: from \xe9\r\n\tby \xc3\xa9\r\nSubject: \xe9\r\n\r\nReceived: \xe9",
                b"Received: from *\r\n\tby **\r\nSubject: \xe9\r\n\r\nReceived: \xe9",
            ),
            (b"X-Received: \xe9\r\n", b"X-Received: \xe9\r\n"),
        ];
        for (header, want) in rows {
            let mut header = header.to_vec();
            star_received(&mut header);
            assert_eq!(header.escape_ascii().to_string(), want.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_missing_blank_line_is_put_before_the_first_line_that_is_no_header() {
        let rows = [
            ("", ""),
            ("\r\n", "\r\n"),
            ("A: b\r\n", "A: b\r\n"),
            ("A: b\r\n\r\nno field\r\n", "A: b\r\n\r\nno field\r\n"),
            ("A : b\r\n c\r\n\r\n", "A : b\r\n c\r\n\r\n"),
            ("no field\r\n", "\r\nno field\r\n"),
            ("no field: x\r\n", "\r\nno field: x\r\n"),
            (" c: d\r\nA: b\r\n", "\r\n c: d\r\nA: b\r\n"),
            ("A: b\r\n c\r\nd\r\ne: f\r\n\r\n", "A: b\r\n c\r\n\r\nd\r\ne: f\r\n\r\n"),
            ("A\r\n : b\r\n", "\r\nA\r\n : b\r\n"),
            (": b\r\n", "\r\n: b\r\n"),
            ("From a now\r\nA: b\r\n\r\n", "X-Mailbox-Line: From a now\r\nA: b\r\n\r\n"),
            (">From a\r\nno field\r\n", "X-Mailbox-Line: >From a\r\n\r\nno field\r\n"),
            ("From : a\r\nA: b\r\n\r\n", "From : a\r\nA: b\r\n\r\n"),
            ("From: a\r\n>From b\r\n", "From: a\r\n\r\n>From b\r\n"),
        ];
        for (message, want) in rows {
            let mut octets = message.as_bytes().to_vec();
            let mut gaps = 0;
            while let Some(HeaderGap { at, octets: missing }) = HeaderGap::of(&octets) {
                octets.splice(at..at, missing.iter().copied());
                gaps += 1;
                assert!(gaps <= 2, "{message:?}");
            }
            assert_eq!(
                octets.escape_ascii().to_string(),
                want.as_bytes().escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn no_header_and_no_field_is_too_long() {
        let header = [
            b"X-Long: ".to_vec(),
            vec![b'x'; 1 << 20],
            b"\r\nReceived: by here.example".repeat(20_000),
            b"\r\nPriority: urgent\r\n\r\nPriority: normal\r\n".to_vec(),
        ]
        .concat();
        let want = HeaderScan {
            priority: Some(Priority::Urgent),
            received: 20_000,
            received_here: 20_000,
            tls_not_required: false,
            ..NOTHING
        };
        assert_eq!(HeaderScan::at(&header, "here.example"), want);
        let mut glancer = HeaderScanner::default();
        for piece in header.chunks(4_099) {
            glancer.feed(piece, "here.example");
            assert!(glancer.field.capacity() <= 2 * LONGEST_FIELD, "memory is bounded");
        }
        assert_eq!(glancer.finish("here.example"), want);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in "((Received: by h|Priority: urgent|Importance:low|x| |\t|:)?(\r?\n)?){0,12}",
            pieces in prop::collection::vec(1usize..9, 1..20),
        ) {
            let (mut rest, mut glancer) = (text.as_bytes(), HeaderScanner::default());
            for piece in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, behind) = rest.split_at((*piece).min(rest.len()));
                glancer.feed(piece, "h");
                rest = behind;
            }
            prop_assert_eq!(glancer.finish("h"), HeaderScan::at(text.as_bytes(), "h"));
        }
    }

    #[test]
    fn the_id_of_the_last_server_is_found_where_servers_write_it() {
        let rows = [
            (
                "Postfix",
                "Received: from a (b [192.0.2.1])\r\n\tby c (Postfix) with ESMTP id 4XyZ12\r\n\tfor <d@e>; now\r\n",
                Some("4XyZ12"),
            ),
            (
                "Exim",
                "Received: from [192.0.2.1] (helo=a)\r\n\tby b with esmtp (Exim 4.96)\r\n\t(envelope-from <a@b>)\r\n\tid 1rabc-000001-2X;\r\n\tnow\r\n",
                Some("1rabc-000001-2X"),
            ),
            ("behind other lines", "X: y\r\nreceived: by a ID q1; now\r\n", Some("q1")),
            ("the first counts", "Received: by a; now\r\nReceived: by b id 2; now\r\n", None),
            ("nothing behind it", "Received: by a id", None),
            ("no text", "Received: by a id \u{e9}; now\r\n", None),
            ("none", "Subject: id 5\r\n\r\nReceived: by a id 6; now\r\n", None),
        ];
        for (name, text, want) in rows {
            assert_eq!(peer_id(text.as_bytes()), want, "{name}");
        }
        let long = format!("Received: by a id {}; now\r\n", "x".repeat(MAX_ID + 1));
        assert_eq!(peer_id(long.as_bytes()), None);
    }
}
