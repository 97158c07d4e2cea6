//! What routing and queueing want to know of a message's header: how urgent it is, and how often
//! it has been passed on. One walk over the header's lines, nothing is decoded or kept.

use memchr::memchr;

use super::Priority;

/// What the header says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Glance {
    /// `Priority:`, or else `Importance:`.
    pub priority: Option<Priority>,
    /// `Received:` lines.
    pub received: usize,
    /// Of those, how many say `by` our own name.
    pub received_here: usize,
}

impl Glance {
    /// Looks at the header in front of `content`, as far as it is there; `host` is our name.
    pub fn at(content: &[u8], host: &str) -> Self {
        let mut glance = Self::default();
        let mut importance = None;
        for (name, value) in fields(content) {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            if is(b"received") {
                glance.received += 1;
                glance.received_here += usize::from(is_by(value, host.as_bytes()));
            } else if is(b"priority") {
                glance.priority = glance.priority.or_else(|| Priority::from_header(value));
            } else if is(b"importance") {
                importance = importance.or_else(|| Priority::from_header(value));
            }
        }
        glance.priority = glance.priority.or(importance);
        glance
    }
}

/// What the server that sent a message calls it: the id in the first `Received` line of `content`,
/// if it is near the beginning and fit for a log.
pub fn peer_id(content: &[u8]) -> Option<&str> {
    let near = &content[..content.len().min(NEAR)];
    let (_, value) = fields(near).find(|(name, _)| name.eq_ignore_ascii_case(b"received"))?;
    let stops = |c: &u8| c.is_ascii_whitespace() || *c == b';';
    let mut words = value.split(stops).filter(|word| !word.is_empty());
    words.find(|word| word.eq_ignore_ascii_case(b"id"))?;
    let id = std::str::from_utf8(words.next()?).ok()?;
    (id.len() <= MAX_ID && id.bytes().all(|c| c.is_ascii_graphic())).then_some(id)
}

/// The fields of a header, folded lines with the line they belong to.
fn fields(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = &content[..content.len().min(LONGEST_HEADER)];
    std::iter::from_fn(move || {
        loop {
            let mut end = line(rest);
            if rest[..end].trim_ascii_end().is_empty() {
                return None;
            }
            while rest.get(end).is_some_and(|c| matches!(c, b' ' | b'\t')) {
                end += line(&rest[end..]);
            }
            let (field, behind) = rest.split_at(end);
            rest = behind;
            if let Some(colon) = memchr(b':', field) {
                return Some((field[..colon].trim_ascii_end(), &field[colon + 1..]));
            }
        }
    })
}

/// Octets of the first line, its end included.
fn line(text: &[u8]) -> usize {
    memchr(b'\n', text).map_or(text.len(), |at| at + 1)
}

fn is_by(received: &[u8], host: &[u8]) -> bool {
    // The date may follow the name at once, and so may a comment.
    let ends = |c: &u8| c.is_ascii_whitespace() || matches!(c, b';' | b'(');
    let mut words = received.split(ends).filter(|word| !word.is_empty());
    words.any(|word| word.eq_ignore_ascii_case(b"by"))
        && words.next().is_some_and(|word| word.eq_ignore_ascii_case(host))
}

/// A header that is longer is looked at this far.
const LONGEST_HEADER: usize = 256 << 10;
/// How far the line of the last server may be from the beginning: others may have put theirs before.
const NEAR: usize = 8 << 10;
const MAX_ID: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_looked_at_as_far_as_it_goes() {
        let glance =
            |priority, received, received_here| Glance { priority, received, received_here };
        let rows: &[(&str, Glance)] = &[
            ("", Glance::default()),
            ("Subject: x\r\n\r\nPriority: urgent\r\n", Glance::default()),
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
            ("\n\nReceived: by here.example\r\n", Glance::default()),
            ("Received", Glance::default()),
        ];
        for (text, want) in rows {
            assert_eq!(Glance::at(text.as_bytes(), "here.example"), *want, "{text:?}");
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
