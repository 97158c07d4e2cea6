//! The rules for lines of content: ended by CRLF, without CR or LF of their own, not too long.
//!
//! Follows content in whatever pieces it comes, keeps none of it, and remembers the first fault.
//! NUL and octets above 127 are let through here ([`super::content`] looks for NUL).

use memchr::memchr2;

/// Follows the lines of one message.
#[derive(Debug)]
pub struct Text {
    at: At,
    /// Octets of the current line so far.
    column: usize,
    limit: usize,
    fault: Option<TextFault>,
}

/// The first thing wrong with the lines of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TextFault {
    /// A CR without its LF.
    #[error("a CR without LF in the message")]
    BareCr,
    /// An LF without its CR.
    #[error("an LF without CR in the message")]
    BareLf,
    /// A line longer than the limit.
    #[error("a line of the message is longer than {0} octets")]
    LongLine(usize),
}

/// Where in a line content has been cut.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum At {
    /// Before its first octet.
    #[default]
    LineStart,
    /// Behind some of its octets.
    Inside,
    /// Behind a CR.
    Cr,
}

impl Text {
    /// `limit` is in octets of one line, CRLF included.
    pub fn new(limit: usize) -> Self {
        Self { at: At::LineStart, column: 0, limit, fault: None }
    }

    /// Follows all of `octets`.
    pub fn scan(&mut self, octets: &[u8]) {
        let mut done = 0;
        while done < octets.len() {
            done += self.scan_line(&octets[done..]);
        }
    }

    /// Follows `octets` to the end of the current line, or to their own end; says how many that
    /// were. Zero only when there are none.
    pub fn scan_line(&mut self, octets: &[u8]) -> usize {
        match (self.at, octets.first()) {
            (_, None) => return 0,
            (At::Cr, Some(b'\n')) => return self.end_line(1),
            (At::Cr, Some(_)) => self.fail(TextFault::BareCr),
            _ => {}
        }
        self.at = At::Inside;
        let mut done = 0;
        while let Some(found) = memchr2(b'\r', b'\n', &octets[done..]) {
            self.column += found;
            done += found + 1;
            match (octets[done - 1], octets.get(done)) {
                (b'\n', _) => self.fail(TextFault::BareLf),
                (_, Some(b'\n')) => return self.end_line(done + 1),
                (_, Some(_)) => self.fail(TextFault::BareCr),
                (_, None) => {
                    self.at = At::Cr;
                    return done;
                }
            }
        }
        self.column += octets.len() - done;
        self.measure();
        octets.len()
    }

    /// Whether the next octet is the first of a line.
    pub fn at_line_start(&self) -> bool {
        self.at == At::LineStart
    }

    /// Says that the line has begun, though its first octet is not going to be shown.
    pub fn enter_line(&mut self) {
        self.at = At::Inside;
    }

    /// The content is complete; a CR at its end is without LF now.
    pub fn finish(&mut self) {
        if self.at == At::Cr {
            self.fail(TextFault::BareCr);
        }
    }

    /// The first fault so far.
    pub fn fault(&self) -> Option<TextFault> {
        self.fault
    }

    fn end_line(&mut self, done: usize) -> usize {
        self.measure();
        self.column = 0;
        self.at = At::LineStart;
        done
    }

    fn measure(&mut self) {
        if self.column + CRLF > self.limit {
            self.fail(TextFault::LongLine(self.limit));
        }
    }

    fn fail(&mut self, fault: TextFault) {
        self.fault.get_or_insert(fault);
    }
}

const CRLF: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_text() {
        let (cr, lf) = (Some(TextFault::BareCr), Some(TextFault::BareLf));
        let long = Some(TextFault::LongLine(6));
        let rows = [
            ("nothing", "", None),
            ("two lines", "ab\r\n\r\n", None),
            ("a line without end", "ab", None),
            ("a line at the limit", "abcd\r\nabcd", None),
            ("one past it", "abcde\r\n", long),
            ("one past it, without end", "abcde", long),
            ("LF alone", "a\nb\r\n", lf),
            ("LF CR", "\n\r", lf),
            ("CR alone", "a\rb\r\n", cr),
            ("CR CR LF", "a\r\r\n", cr),
            ("CR at the end", "a\r", cr),
            ("the first fault counts", "a\rb\n", cr),
            ("NUL and eight bits pass", "\0\u{e9}\r\n", None),
        ];
        for (name, octets, want) in rows {
            for piece in 1..=octets.len().max(1) {
                let mut text = Text::new(6);
                octets.as_bytes().chunks(piece).for_each(|piece| text.scan(piece));
                text.finish();
                assert_eq!(text.fault(), want, "{name}, by {piece}");
            }
        }
    }
}
