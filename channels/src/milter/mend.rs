//! The body that a filter wrote, as content has to be: lines end in CRLF, none is too long, and there is
//! no NUL.

/// Follows a body in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct Mender {
    /// Octets of the line at hand.
    column: usize,
    /// A CR came, and what is behind it did not.
    cr: bool,
}

impl Mender {
    /// Appends a piece. A CR or an LF alone ends a line as both do; a line that is too long is cut, as
    /// Postfix does where mail leaves; a NUL becomes a question mark.
    pub fn mend(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len());
        for c in piece {
            if std::mem::take(&mut self.cr) {
                self.end_line(out);
                if *c == b'\n' {
                    continue;
                }
            }
            match c {
                b'\r' => self.cr = true,
                b'\n' => self.end_line(out),
                c => {
                    if self.column == MAX_LINE {
                        self.end_line(out);
                    }
                    out.push(if *c == 0 { b'?' } else { *c });
                    self.column += 1;
                }
            }
        }
    }

    /// The body is complete: its last line ends, too.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) || self.column > 0 {
            self.end_line(out);
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

/// Octets of a line without its CRLF (RFC 5321 section 4.5.3.1.6).
const MAX_LINE: usize = 998;
