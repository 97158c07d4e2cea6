//! Quoted-printable (RFC 2045 section 6.7), and base64 in lines that are short enough.

/// Encodes text that comes in pieces. Line ends stay line ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotedPrintable {
    /// The text is quoted-printable already, and holds what may not stand there.
    is_mending: bool,
    column: usize,
    /// A blank that may be the last of its line, where it could get lost.
    blank: Option<u8>,
    cr: bool,
    /// Of an `=` in text that is mended: octets that belong to it and have yet to come.
    escape: u8,
}

impl QuotedPrintable {
    pub(super) fn new() -> Self {
        Self { is_mending: false, column: 0, blank: None, cr: false, escape: 0 }
    }

    /// For text that is encoded already but for octets above 127 and the length of its lines.
    pub(super) fn mending() -> Self {
        Self { is_mending: true, ..Self::new() }
    }

    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            self.take(*octet, out);
        }
    }

    /// The text is complete.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.end_line(out);
        if self.cr {
            self.escaped(b'\r', out);
        }
    }

    fn take(&mut self, octet: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            if octet == b'\n' {
                self.end_line(out);
                out.extend_from_slice(b"\r\n");
                self.column = 0;
                self.escape = 0;
                return;
            }
            self.flush_blank(out);
            self.escaped(b'\r', out);
        }
        match octet {
            b'\r' => self.cr = true,
            b' ' | b'\t' => {
                self.flush_blank(out);
                self.blank = Some(octet);
            }
            b'=' if self.is_mending => {
                self.flush_blank(out);
                // Nothing may come between it and the two digits.
                self.room_for(3, out);
                self.plain(octet, out);
                self.escape = 2;
            }
            b'=' | ..32 | 127.. => {
                self.flush_blank(out);
                self.escaped(octet, out);
            }
            _ => {
                self.flush_blank(out);
                if self.escape > 0 {
                    self.escape -= 1;
                } else {
                    self.room_for(1, out);
                }
                self.plain(octet, out);
            }
        }
    }

    /// A blank at the end of a line, or of the text, is escaped. In text that is mended it was no part
    /// of the text, and a soft line break may follow it.
    fn end_line(&mut self, out: &mut Vec<u8>) {
        if self.is_mending {
            self.flush_blank(out);
        } else if let Some(blank) = self.blank.take() {
            self.escaped(blank, out);
        }
    }

    fn flush_blank(&mut self, out: &mut Vec<u8>) {
        if let Some(blank) = self.blank.take() {
            self.escape = 0;
            self.room_for(1, out);
            self.plain(blank, out);
        }
    }

    fn escaped(&mut self, octet: u8, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        self.escape = 0;
        self.room_for(3, out);
        self.plain(b'=', out);
        self.plain(DIGITS[usize::from(octet >> 4)], out);
        self.plain(DIGITS[usize::from(octet & 15)], out);
    }

    fn plain(&mut self, octet: u8, out: &mut Vec<u8>) {
        out.push(octet);
        self.column += 1;
    }

    /// Begins another line, by a soft break, where so many octets would be too many.
    fn room_for(&mut self, octets: usize, out: &mut Vec<u8>) {
        if self.column + octets > WIDTH {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
    }
}

/// Base64 that has lines which are too long, or octets that mean nothing in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base64Lines {
    column: usize,
}

impl Base64Lines {
    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets.iter().filter(|octet| octet.is_ascii()) {
            if matches!(octet, b'\r' | b'\n') {
                self.column = 0;
            } else {
                if self.column == WIDTH + 1 {
                    out.extend_from_slice(b"\r\n");
                    self.column = 0;
                }
                self.column += 1;
            }
            out.push(*octet);
        }
    }
}

/// Octets of a line, but for the `=` of a soft break.
const WIDTH: usize = 75;
