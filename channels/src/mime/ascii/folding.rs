//! A field that is written anew: encoded words (RFC 2047), and lines that are short enough.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Writes one field. Lines have at most [`LINE`] octets wherever blanks allow to fold.
#[derive(Debug)]
pub(super) struct Folding<'o> {
    out: &'o mut Vec<u8>,
    /// Octets of the line at hand.
    column: usize,
    /// Blanks before the word at hand.
    gap: Vec<u8>,
    /// The word at hand: nothing in it is parted.
    word: Vec<u8>,
    /// The last thing written is an encoded word.
    is_encoded: bool,
}

/// An encoding of RFC 2047 section 4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Coding {
    Q,
    B,
}

impl<'o> Folding<'o> {
    /// Begins a field of this name.
    pub(super) fn new(name: &[u8], out: &'o mut Vec<u8>) -> Self {
        out.extend_from_slice(name);
        out.push(b':');
        Self { out, column: name.len() + 1, gap: Vec::new(), word: Vec::new(), is_encoded: false }
    }

    /// Blanks; line ends among them are forgotten.
    pub(super) fn blanks(&mut self, blanks: &[u8]) {
        if blanks.is_empty() {
            return;
        }
        self.flush();
        self.gap.extend(blanks.iter().filter(|c| !matches!(c, b'\r' | b'\n')));
    }

    /// A blank, if there is none.
    pub(super) fn space(&mut self) {
        self.flush();
        if self.gap.is_empty() {
            self.gap.push(b' ');
        }
    }

    /// A blank where one may stand, if the word at hand makes the line too long.
    pub(super) fn part(&mut self) {
        if self.column + self.gap.len() + self.word.len() > LINE {
            self.space();
        }
    }

    /// Octets that stay as they are, and stay together with those before and behind them.
    pub(super) fn plain(&mut self, octets: &[u8]) {
        self.word.extend_from_slice(octets);
    }

    /// Text as encoded words, none of which cuts a character in two. Octets that are not UTF-8 are in
    /// an unknown character set (RFC 1428).
    pub(super) fn encoded(&mut self, text: &[u8]) {
        let width = self.gap.len() + self.word.len() + NARROWEST;
        if !self.word.is_empty() && !self.gap.is_empty() && self.column + width > FILLED {
            self.fold();
        }
        self.flush();
        let is_utf8 = std::str::from_utf8(text).is_ok();
        let charset = charset(text);
        let coding = Coding::best_for(text);
        let overhead = "=??Q??=".len() + charset.len();
        let mut rest = text;
        while !rest.is_empty() {
            if self.column + self.gap.len() + NARROWEST > FILLED {
                self.fold();
            }
            let room = FILLED - self.column - self.gap.len() - overhead;
            let (now, behind) = rest.split_at(coding.fitting(rest, is_utf8, room));
            rest = behind;
            self.word.extend_from_slice(format!("=?{charset}?{coding:?}?").as_bytes());
            coding.write(now, &mut self.word);
            self.word.extend_from_slice(b"?=");
            self.put();
            if !rest.is_empty() {
                self.gap.push(b' ');
            }
        }
        self.is_encoded = true;
    }

    /// Ends the field with this line end.
    pub(super) fn finish(mut self, end: &[u8]) {
        self.flush();
        self.gap.truncate(LONGEST.saturating_sub(self.column));
        self.out.extend_from_slice(&self.gap);
        self.out.extend_from_slice(end);
    }

    fn flush(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let first = memchr::memchr(b'\n', &self.word).unwrap_or(self.word.len());
        let may_fold = !self.gap.is_empty() || self.is_encoded;
        if may_fold && self.column + self.gap.len() + first > LINE {
            self.fold();
        }
        self.put();
        self.is_encoded = false;
    }

    fn put(&mut self) {
        self.out.append(&mut self.gap);
        self.out.append(&mut self.word);
        let start = memchr::memrchr(b'\n', self.out).map_or(0, |at| at + 1);
        self.column = self.out.len() - start;
    }

    /// Begins another line with the blanks, or with one that was not there. Those of several folds may
    /// be more than the line has room for: the rest of them is left out.
    fn fold(&mut self) {
        let surplus = self.gap.len().saturating_sub(WIDEST_INDENT);
        let room = LONGEST.saturating_sub(self.column);
        self.out.extend(self.gap.drain(..surplus).take(room));
        self.out.extend_from_slice(b"\r\n");
        if self.gap.is_empty() {
            self.gap.push(b' ');
        }
        self.column = 0;
    }
}

impl Coding {
    fn best_for(text: &[u8]) -> Self {
        let q: usize = text.iter().map(|octet| q_width(*octet)).sum();
        // Q can be read without a decoder.
        let b = text.len().div_ceil(3) * 4;
        if q > 2 * b { Self::B } else { Self::Q }
    }

    /// Octets at the front of a text whose code has so much room: whole characters, one at least.
    fn fitting(self, text: &[u8], is_utf8: bool, room: usize) -> usize {
        let (mut end, mut width) = (0, 0);
        while end < text.len() {
            let next = text[end + 1..].iter().position(|c| !is_utf8 || !is_inner(*c));
            let next = next.map_or(text.len(), |more| end + 1 + more);
            width = match self {
                Self::Q => width + text[end..next].iter().map(|c| q_width(*c)).sum::<usize>(),
                Self::B => next.div_ceil(3) * 4,
            };
            if width > room && end > 0 {
                break;
            }
            end = next;
        }
        end
    }

    fn write(self, text: &[u8], out: &mut Vec<u8>) {
        if self == Self::B {
            out.extend_from_slice(STANDARD.encode(text).as_bytes());
            return;
        }
        for octet in text {
            match octet {
                b' ' => out.push(b'_'),
                _ if q_width(*octet) == 1 => out.push(*octet),
                _ => out.extend_from_slice(format!("={octet:02X}").as_bytes()),
            }
        }
    }
}

/// The name of the character set of octets from a header.
pub(super) fn charset(text: &[u8]) -> &'static str {
    if std::str::from_utf8(text).is_ok() { "UTF-8" } else { "unknown-8bit" }
}

/// Whether an octet of UTF-8 continues a character.
pub(super) fn is_inner(octet: u8) -> bool {
    octet & 0b1100_0000 == 0b1000_0000
}

/// Octets of the code of one; what stands for itself does so in a phrase, too (RFC 2047 section 5).
fn q_width(octet: u8) -> usize {
    let is_itself = octet.is_ascii_alphanumeric() || b" !*+-/".contains(&octet);
    if is_itself { 1 } else { 3 }
}

/// Octets of a line with an encoded word, its end left out (RFC 2047 section 2).
pub(super) const LINE: usize = 76;
/// Octets of any line, its end left out (RFC 5322 section 2.1.1).
pub(super) const LONGEST: usize = 998;
/// Octets of a line that encoded words fill, which have 75 at most (ibid.): a parenthesis may follow.
const FILLED: usize = LINE - 4;
/// Blanks at the front of a line.
const WIDEST_INDENT: usize = 8;
/// Octets that an encoded word of one character may have.
const NARROWEST: usize = "=?unknown-8bit?Q?=F0=9F=92=8C?=".len();
