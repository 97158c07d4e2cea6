//! The content of a message for whoever reads it: as it is for a pipe, harmless for a terminal.

use relais_config::grammar::is_unprintable;

/// Takes octets as they come and gives what is to be written.
#[derive(Debug)]
pub struct ContentView {
    /// Control characters must not reach the reader.
    terminal: bool,
    /// Lines that are still to be shown; `None`: all.
    left: Option<u64>,
    /// The beginning of a character or of a line's end.
    rest: Vec<u8>,
}

impl ContentView {
    /// For a terminal, or for a program; the first lines only, if so many are wanted.
    pub fn new(terminal: bool, lines: Option<u64>) -> Self {
        Self { terminal, left: lines, rest: Vec::new() }
    }

    /// Whether nothing more is wanted.
    pub fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// The characters to write for these octets.
    pub fn take(&mut self, octets: &[u8]) -> Vec<u8> {
        let octets = &octets[..self.wanted(octets)];
        if !self.terminal {
            return octets.to_vec();
        }
        self.rest.extend_from_slice(octets);
        let whole = whole_characters(&self.rest);
        let rest = self.rest.split_off(whole);
        let text = harmless(&std::mem::replace(&mut self.rest, rest));
        text.into_bytes()
    }

    /// The rest at the end.
    pub fn finish(&mut self) -> Vec<u8> {
        harmless(&std::mem::take(&mut self.rest)).into_bytes()
    }

    /// Octets up to the last line that is to be shown.
    fn wanted(&mut self, octets: &[u8]) -> usize {
        let Some(left) = &mut self.left else { return octets.len() };
        if *left == 0 {
            return 0;
        }
        let ends = octets.iter().enumerate().filter(|(_, c)| **c == b'\n');
        for (at, _) in ends {
            *left -= 1;
            if *left == 0 {
                return at + 1;
            }
        }
        octets.len()
    }
}

/// Up to a character, or a CR, of which more may come.
fn whole_characters(octets: &[u8]) -> usize {
    if octets.ends_with(b"\r") {
        return octets.len() - 1;
    }
    let begun = octets.iter().rposition(|c| *c < 0x80 || *c >= 0xc0);
    begun.filter(|at| is_cut_off(&octets[*at..])).unwrap_or(octets.len())
}

/// Whether this is a character that lacks its end.
fn is_cut_off(octets: &[u8]) -> bool {
    std::str::from_utf8(octets).is_err_and(|error| error.error_len().is_none())
}

/// Lines end in LF; whatever could move, hide or colour something on a terminal is shown as `^[`
/// and its like.
fn harmless(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).replace("\r\n", "\n");
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\0'..='\x1f' => shown.extend(['^', char::from(c as u8 + b'@')]),
            '\x7f' => shown.push_str("^?"),
            c if is_unprintable(c) => shown.push('?'),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool, lines: Option<u64>, pieces: &[&[u8]]) -> Vec<u8> {
        let mut view = ContentView::new(terminal, lines);
        let mut all: Vec<u8> = pieces.iter().flat_map(|piece| view.take(piece)).collect();
        all.extend(view.finish());
        all
    }

    #[test]
    fn a_terminal_gets_no_control_characters_however_the_pieces_fall() {
        let octets =
            "A: b\r\n\r\n\x1b]0;x\x07 \x1b[2Jgr\u{fc}n \u{1f600}\u{9b}31m \u{202e}\t\x7f\rx\r\n";
        let want = "A: b\n\n^[]0;x^G ^[[2Jgr\u{fc}n \u{1f600}?31m ?\t^?^Mx\n";
        for size in 1..octets.len() {
            let pieces: Vec<_> = octets.as_bytes().chunks(size).collect();
            let got = shown(true, None, &pieces);
            assert_eq!(String::from_utf8_lossy(&got), want, "pieces of {size}");
            assert_eq!(shown(false, None, &pieces), octets.as_bytes(), "a pipe gets all");
        }
        let latin = shown(true, None, &[b"gr\xfcn \xe2\x82"]);
        assert_eq!(String::from_utf8(latin).unwrap(), "gr\u{fffd}n \u{fffd}");
    }

    #[test]
    fn as_many_lines_as_wanted() {
        let octets = b"one\r\ntwo\r\nthree\r\n";
        for (lines, want) in [(1, "one\r\n"), (2, "one\r\ntwo\r\n"), (9, "one\r\ntwo\r\nthree\r\n")]
        {
            for size in 1..octets.len() {
                let pieces: Vec<_> = octets.chunks(size).collect();
                let got = shown(false, Some(lines), &pieces);
                assert_eq!(String::from_utf8(got).unwrap(), want, "{lines} in pieces of {size}");
            }
        }
    }
}
