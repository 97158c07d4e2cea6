//! A message as it lies in an mbox.

use std::{fs::File, io, os::unix::fs::FileExt};

use jiff::{Timestamp, tz::TimeZone};
use memchr::memchr;

use crate::mail::Content;

/// A message that is to be appended.
#[derive(Clone, Debug)]
pub struct MboxMessage {
    /// Its sender; empty for the null sender.
    pub sender: Box<str>,
    /// Header lines of ours in front of the content.
    pub head: Vec<u8>,
    /// The content; its line ends are CRLF, or LF.
    pub content: Content,
}

/// Takes the octets of an mbox.
pub(super) trait Sink {
    /// Takes some.
    fn take(&mut self, octets: &[u8]) -> io::Result<()>;
}

/// Counts octets, and keeps the first.
#[derive(Debug, Default)]
pub(super) struct Measure {
    pub(super) octets: u64,
    /// At most [`START`].
    pub(super) start: Vec<u8>,
    pub(super) has_zeros: bool,
}

impl Sink for Measure {
    fn take(&mut self, octets: &[u8]) -> io::Result<()> {
        self.octets += octets.len() as u64;
        self.has_zeros |= memchr(0, octets).is_some();
        let room = START - self.start.len();
        self.start.extend_from_slice(&octets[..octets.len().min(room)]);
        Ok(())
    }
}

/// Why a message was not written: it could not be read, or the sink took no more.
#[derive(Debug)]
pub(super) enum EncodeError {
    Unread(io::Error),
    Sink(io::Error),
}

impl MboxMessage {
    /// Opens the file of its content, if it lies in one: with the engine's rights, whoever's mailbox it
    /// goes into.
    pub(super) fn open(&self) -> Result<Option<File>, EncodeError> {
        match &self.content {
            Content::Whole(_) => Ok(None),
            Content::File { path, .. } => File::open(path).map(Some).map_err(EncodeError::Unread),
        }
    }

    /// Writes the message, with the line `From ` before it and the empty line behind it.
    pub(super) fn encode(
        &self,
        file: Option<&File>,
        date: &str,
        sink: &mut dyn Sink,
    ) -> Result<(), EncodeError> {
        let sender = if self.sender.is_empty() { NULL_SENDER } else { &*self.sender };
        let first = format!("From {}  {date}\n", sender.replace([' ', '\t'], "-"));
        sink.take(first.as_bytes()).map_err(EncodeError::Sink)?;
        let mut lines = MboxLines { at_start: true, ..MboxLines::default() };
        lines.take(&self.head, sink).map_err(EncodeError::Sink)?;
        match (&self.content, file) {
            (Content::Whole(octets), _) => {
                for piece in octets.chunks(PIECE) {
                    lines.take(piece, sink).map_err(EncodeError::Sink)?;
                }
            }
            (Content::File { .. }, None) => {
                return Err(EncodeError::Unread(io::ErrorKind::NotFound.into()));
            }
            (Content::File { size, .. }, Some(file)) => {
                let (mut piece, mut at) = (vec![0; PIECE], 0);
                while at < *size {
                    let most = usize::try_from(*size - at).map_or(PIECE, |left| left.min(PIECE));
                    let read = file.read_at(&mut piece[..most], at).map_err(EncodeError::Unread)?;
                    if read == 0 {
                        return Err(EncodeError::Unread(io::ErrorKind::UnexpectedEof.into()));
                    }
                    at += read as u64;
                    lines.take(&piece[..read], sink).map_err(EncodeError::Sink)?;
                }
            }
        }
        lines.finish(sink).map_err(EncodeError::Sink)
    }
}

/// Makes LF of CRLF, and `>From ` of `From `, in whatever pieces content comes.
#[derive(Default)]
struct MboxLines {
    /// Nothing of the line has been written.
    at_start: bool,
    /// Octets that the next piece decides about: a CR, or the beginning of `From `.
    held: Vec<u8>,
    made: Vec<u8>,
}

impl MboxLines {
    fn take(&mut self, piece: &[u8], sink: &mut dyn Sink) -> io::Result<()> {
        self.made.clear();
        if self.held.is_empty() {
            self.convert(piece);
        } else {
            let mut both = std::mem::take(&mut self.held);
            both.extend_from_slice(piece);
            self.convert(&both);
        }
        sink.take(&self.made)
    }

    fn convert(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() {
            if self.at_start {
                if rest.len() < FROM.len() && FROM.starts_with(rest) {
                    return self.held.extend_from_slice(rest);
                }
                if rest.starts_with(FROM) {
                    self.made.push(b'>');
                }
                self.at_start = false;
            }
            let Some(end) = memchr(b'\n', rest) else {
                let kept = rest.strip_suffix(b"\r");
                self.made.extend_from_slice(kept.unwrap_or(rest));
                if kept.is_some() {
                    self.held.push(b'\r');
                }
                return;
            };
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            self.made.extend_from_slice(line);
            self.made.push(b'\n');
            self.at_start = true;
            rest = &rest[end + 1..];
        }
    }

    fn finish(mut self, sink: &mut dyn Sink) -> io::Result<()> {
        self.made.clear();
        self.made.extend_from_slice(&self.held);
        if !self.at_start || !self.held.is_empty() {
            self.made.push(b'\n');
        }
        self.made.push(b'\n');
        sink.take(&self.made)
    }
}

/// The date of a line `From `, in the time zone of this machine: `Sun Nov 29 20:54:45 2026`.
pub fn from_date(millis: i64) -> String {
    let time = Timestamp::from_millisecond(millis).unwrap_or_default();
    time.to_zoned(TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// The beginning of the line before a message.
pub(super) const FROM: &[u8] = b"From ";
/// Octets of an append that are remembered beside it.
pub(super) const START: usize = 1024;
/// As in Postfix.
const NULL_SENDER: &str = "MAILER-DAEMON";
/// Octets taken at once.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    struct Octets(Vec<u8>);

    impl Sink for Octets {
        fn take(&mut self, octets: &[u8]) -> io::Result<()> {
            self.0.extend_from_slice(octets);
            Ok(())
        }
    }

    #[test]
    fn a_message_is_quoted_and_has_its_ends_whatever_pieces_it_comes_in() {
        let rows: &[(&str, &str)] = &[
            ("A: b\r\n\r\nx\r\n", "A: b\n\nx\n\n"),
            ("A: b\r\n\r\nno end", "A: b\n\nno end\n\n"),
            (
                "\r\nFrom me\r\n>From you\r\n From us\r\nFrom\r\nFromage\r\n",
                "\n>From me\n>From you\n From us\nFrom\nFromage\n\n",
            ),
            ("From here\r\n", ">From here\n\n"),
            ("\r\nFrom ", "\n>From \n\n"),
            ("\r\nFrom", "\nFrom\n\n"),
            ("\r\r\n\n\ra\r", "\r\n\n\ra\r\n\n"),
            ("F\nFr\nFro\nFrom\nFrom \n", "F\nFr\nFro\nFrom\n>From \n\n"),
            ("", "\n"),
        ];
        for (text, want) in rows {
            for piece in 1..=text.len().max(1) {
                let (mut lines, mut got) =
                    (MboxLines { at_start: true, ..MboxLines::default() }, Octets(Vec::new()));
                for piece in text.as_bytes().chunks(piece) {
                    lines.take(piece, &mut got).unwrap();
                }
                lines.finish(&mut got).unwrap();
                assert_eq!(String::from_utf8(got.0).unwrap(), *want, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn the_line_before_a_message_is_one_line() {
        let first = |sender: &str| {
            let message = MboxMessage {
                sender: sender.into(),
                head: b"A: b\r\n".to_vec(),
                content: Content::Whole(b"\r\nx\r\n"[..].into()),
            };
            let mut got = Octets(Vec::new());
            message.encode(None, "Thu Jan  1 00:00:00 1970", &mut got).unwrap();
            String::from_utf8(got.0).unwrap()
        };
        assert_eq!(first("a@b"), "From a@b  Thu Jan  1 00:00:00 1970\nA: b\n\nx\n\n");
        assert!(first("").starts_with("From MAILER-DAEMON  Thu"));
        assert!(first("\"a b\"@c").starts_with("From \"a-b\"@c  Thu"));
    }

    #[test]
    fn a_date_has_the_form_of_asctime() {
        let date = from_date(1_795_305_600_000);
        assert_eq!((date.len(), &date[19..]), (24, " 2026"), "{date}");
    }
}
