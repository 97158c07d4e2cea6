//! The end of data and the dots before it (RFC 5321 section 4.5.2), for content behind `DATA`.
//!
//! CRLF.CRLF ends the data and nothing else does, however the octets are cut into pieces; a dot
//! is taken off only behind CRLF. Content is handed out as slices of what came in, as long as
//! possible, and never copied.

use super::text::{Text, TextFault};

/// Finds the end of one message's data and takes off the dots that the sender put on.
#[derive(Debug)]
pub struct Unstuffer {
    text: Text,
    end: End,
}

/// The result of feeding some octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fed<'a> {
    /// Content; may be empty. Worthless once there is a [`Unstuffer::fault`].
    pub content: &'a [u8],
    /// Octets done with; the rest is to be fed again, unless the data ended.
    pub consumed: usize,
    /// The data ended here. What follows is the next command.
    pub ended: bool,
}

/// How much of `.CRLF` stands behind the last CRLF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    None,
    Dot,
    DotCr,
}

impl Unstuffer {
    /// For one message; `line_limit` is in octets, CRLF included. The CRLF of the DATA command
    /// counts as the one before a final dot.
    pub fn new(line_limit: usize) -> Self {
        Self { text: Text::new(line_limit), end: End::None }
    }

    /// Takes some octets. To be called until all are consumed or the data has ended.
    pub fn feed<'a>(&mut self, octets: &'a [u8]) -> Fed<'a> {
        let Some(first) = octets.first() else { return Fed::content(octets) };
        match (std::mem::replace(&mut self.end, End::None), first) {
            (End::None, _) => self.feed_text(octets),
            (End::Dot, b'\r') => {
                self.end = End::DotCr;
                Fed { content: &[], consumed: 1, ended: false }
            }
            (End::Dot, _) => {
                self.text.enter_line();
                self.feed_text(octets)
            }
            (End::DotCr, b'\n') => Fed { content: &[], consumed: 1, ended: true },
            // The CR that was held back is content after all, if a refused one.
            (End::DotCr, _) => {
                self.text.enter_line();
                self.text.scan(b"\r");
                Fed { content: b"\r", consumed: 0, ended: false }
            }
        }
    }

    /// The first thing wrong with the lines so far. The message must be refused, and its data
    /// fed to the end all the same.
    pub fn fault(&self) -> Option<TextFault> {
        self.text.fault()
    }

    fn feed_text<'a>(&mut self, octets: &'a [u8]) -> Fed<'a> {
        let mut done = 0;
        while done < octets.len() {
            if self.text.at_line_start() && octets[done] == b'.' {
                self.end = End::Dot;
                return Fed { content: &octets[..done], consumed: done + 1, ended: false };
            }
            done += self.text.scan_line(&octets[done..]);
        }
        Fed::content(octets)
    }
}

impl<'a> Fed<'a> {
    fn content(octets: &'a [u8]) -> Self {
        Self { content: octets, consumed: octets.len(), ended: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Content, first fault, and how many octets were consumed when the data ended.
    fn unstuff(octets: &[u8], pieces: &[usize]) -> (Vec<u8>, Option<TextFault>, Option<usize>) {
        let mut unstuffer = Unstuffer::new(1_000);
        let (mut content, mut done) = (Vec::new(), 0);
        let mut sizes = pieces.iter().cycle();
        while done < octets.len() {
            let piece = sizes.next().copied().unwrap_or(usize::MAX).max(1);
            let end = done.saturating_add(piece).min(octets.len());
            while done < end {
                let fed = unstuffer.feed(&octets[done..end]);
                content.extend_from_slice(fed.content);
                done += fed.consumed;
                if fed.ended {
                    return (content, unstuffer.fault(), Some(done));
                }
            }
        }
        (content, unstuffer.fault(), None)
    }

    #[test]
    fn sequences_that_smugglers_try() {
        let (cr, lf) = (Some(TextFault::BareCr), Some(TextFault::BareLf));
        let rows = [
            ("\n.\n", lf),
            ("\n.\r\n", lf),
            ("\r\n.\n", lf),
            ("\r.\r", cr),
            ("\r.\n", cr),
            ("\n.\r", lf),
            ("\r.\r\n", cr),
            ("\r\n.\r", cr),
            ("\r\r\n.\r\r\n", cr),
            ("\r\n.\r\r\n", cr),
            ("\r\n\0.\r\n", None),
        ];
        for (sequence, want) in rows {
            let octets = format!("xx{sequence}MAIL FROM:<a@b>\r\n");
            for piece in 1..=octets.len() {
                let (_, fault, ended) = unstuff(octets.as_bytes(), &[piece]);
                assert_eq!((fault, ended), (want, None), "{sequence:?} by {piece}");
            }
        }
    }

    #[test]
    fn dots_come_off_and_the_rest_stays() {
        let rows = [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("..\r\n.b.\r\n", "...\r\n..b.\r\n.\r\n"),
            ("a.\r\n", "a.\r\n.\r\n"),
            ("a\r\n\r\n", "a\r\n\r\n.\r\nQUIT\r\n"),
            // A sender that forgot to stuff: RFC 5321 says to take the dot off regardless.
            ("b\r\n", ".b\r\n.\r\n"),
        ];
        for (want, octets) in rows {
            for piece in 1..=octets.len() {
                let (content, fault, ended) = unstuff(octets.as_bytes(), &[piece]);
                assert_eq!(String::from_utf8_lossy(&content), want, "{octets:?} by {piece}");
                assert_eq!(fault, None, "{octets:?}");
                assert!(ended.is_some(), "{octets:?} by {piece}");
            }
        }
    }

    /// All strings of up to eight of the four octets that matter: the data ends behind the first
    /// CRLF.CRLF, the CRLF of the command before it included, and nowhere else.
    #[test]
    fn nothing_but_crlf_dot_crlf_ends_the_data() {
        const END: &[u8] = b"\r\n.\r\n";
        for length in 0..=8u32 {
            for number in 0..4usize.pow(length) {
                let octets: Vec<u8> =
                    (0..length).map(|i| b"\r\n.a"[number >> (2 * i) & 3]).collect();
                let whole = [b"\r\n", octets.as_slice()].concat();
                let want = whole.windows(END.len()).position(|w| w == END).map(|at| at + 3);
                let (_, fault, ended) = unstuff(&octets, &[octets.len()]);
                assert_eq!(ended, want, "{octets:?}");
                assert_eq!(unstuff(&octets, &[1]).1, fault, "{octets:?}");
                assert_eq!(unstuff(&octets, &[1]).2, ended, "{octets:?}");
                assert_eq!(fault.is_some(), is_stray(&octets[..want.unwrap_or(octets.len())]));
            }
        }
    }

    /// Whether a CR or LF stands alone; a CR at the very end may still become a CRLF.
    fn is_stray(octets: &[u8]) -> bool {
        (0..octets.len()).any(|i| match octets[i] {
            b'\n' => i == 0 || octets[i - 1] != b'\r',
            b'\r' => octets.get(i + 1).is_some_and(|next| *next != b'\n'),
            _ => false,
        })
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            octets in prop::collection::vec(prop::sample::select(b"\r\n.a".to_vec()), 0..200),
            pieces in prop::collection::vec(1usize..9, 1..20),
        ) {
            prop_assert_eq!(unstuff(&octets, &pieces), unstuff(&octets, &[]));
        }
    }
}
