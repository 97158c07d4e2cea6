//! How wide the page is, and whether it has colours: what a terminal takes. A pipe or a file gets
//! plain lines as long as they need to be.

use std::{
    fmt::Write,
    io::{IsTerminal, stderr, stdout},
    os::fd::AsFd,
};

use relais_config::{Report, Told};
use terminal_size::{Height, Width, terminal_size_of};

/// The look of the reader's screen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Look {
    /// Columns of a terminal; `None` where lines may be as long as they like.
    pub width: Option<usize>,
    /// Whether it shows colours.
    pub colour: bool,
}

/// A colour for things that are to be seen at a glance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Colour {
    /// A heading.
    Bold,
    /// It goes on.
    Green,
    /// It waits.
    Yellow,
    /// It does not go on by itself.
    Red,
}

impl Look {
    /// For a pipe, a file, a page.
    pub const PLAIN: Self = Self { width: None, colour: false };

    /// Of standard output. `NO_COLOR` (no-color.org) and `TERM=dumb` are heeded.
    pub fn of_stdout() -> Self {
        Self::of(&stdout())
    }

    /// Of standard error.
    pub fn of_stderr() -> Self {
        Self::of(&stderr())
    }

    /// Lines of the terminal that standard output is; `None` where there may be any number.
    pub fn height_of_stdout() -> Option<usize> {
        let height = terminal_size_of(stdout()).map(|(_, Height(height))| usize::from(height));
        height.filter(|height| *height > 0 && stdout().is_terminal())
    }

    fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        if !stream.is_terminal() {
            return Self::PLAIN;
        }
        let width = terminal_size_of(stream).map(|(Width(width), _)| usize::from(width));
        // A terminal that does not know says 0.
        let width = width.filter(|width| *width > 0).unwrap_or(USUAL_WIDTH);
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { width: Some(width), colour: !is_set("NO_COLOR") && !is_dumb }
    }

    /// Writes the text in this colour.
    pub(super) fn paint(self, to: &mut String, colour: Option<Colour>, text: &str) {
        let Some(colour) = colour.filter(|_| self.colour && !text.trim().is_empty()) else {
            return to.push_str(text);
        };
        let code = match colour {
            Colour::Bold => 1,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
        };
        // Writing to a string cannot fail.
        let _ = write!(to, "\x1b[{code}m{text}\x1b[0m");
    }

    /// The page, with lines that are too long folded between words.
    pub fn fit(self, page: &str) -> String {
        let Some(width) = self.width else { return page.to_owned() };
        let mut folded = String::with_capacity(page.len());
        for line in page.lines() {
            let indent = line.len() - line.trim_start().len();
            for piece in fold(line, width, indent + HANGING) {
                // Writing to a string cannot fail.
                let _ = writeln!(folded, "{piece}");
            }
        }
        folded
    }

    /// Whether a text takes a line at most.
    pub fn holds(self, text: &str) -> bool {
        !text.contains('\n') && self.width.is_none_or(|width| width_of(text) <= width)
    }

    /// A word at the side, and beside it the text, with its own indentation in every line.
    pub fn fit_beside(self, word: &str, text: &str) -> String {
        let own = text.len() - text.trim_start().len();
        let line = format!("{word}{text}");
        let width = self.width.unwrap_or(usize::MAX);
        fold(&line, width, width_of(word) + own + HANGING).join("\n") + "\n"
    }

    /// A report on the file, what is said folded and what is seen of the file as it fits.
    pub fn report(self, report: &Report) -> String {
        let told = report.told(self.width);
        told.map(|Told { said, seen }| self.fit(&format!("{said}\n")) + &seen).collect()
    }

    /// The text in lines that each begin with `mark`: comments.
    pub fn fit_behind(self, mark: &str, text: &str) -> String {
        let width = self.width.map_or(usize::MAX, |width| width.saturating_sub(mark.len()).max(1));
        let lines: Vec<_> =
            fold(text, width, HANGING).iter().map(|line| [mark, line, "\n"].concat()).collect();
        lines.concat()
    }
}

/// A line in pieces that are at most `width` wide, cut between words where that is possible;
/// those behind the first are indented.
fn fold(line: &str, width: usize, indent: usize) -> Vec<String> {
    if width_of(line) <= width {
        return vec![line.to_owned()];
    }
    let indent = if indent * 2 < width { indent } else { 0 };
    let mut pieces = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let before = if pieces.is_empty() { 0 } else { indent };
        let (piece, after) = split(rest, width - before);
        pieces.push(format!("{:before$}{piece}", ""));
        rest = after;
    }
    pieces
}

/// The part that fits into `width`, to the last word that does, and the rest. Takes at least a
/// character.
pub(super) fn split(text: &str, width: usize) -> (&str, &str) {
    let mut seen = Seen::default();
    let mut blank = None;
    for (at, c) in text.char_indices() {
        seen.take(c);
        if seen.width > width && at > 0 {
            // A blank ahead of all words is an indentation.
            let head = blank.filter(|blank| !text[..*blank].trim().is_empty()).unwrap_or(at);
            return (text[..head].trim_end(), text[head..].trim_start());
        }
        if c == ' ' {
            blank = Some(at);
        }
    }
    (text, "")
}

/// Columns that a text takes. Never too few: what may be wide is taken to be.
pub(super) fn width_of(text: &str) -> usize {
    // Nearly all text is plain. Looking at all octets without a branch is faster than stopping early.
    let is_odd = |c: u8| !c.is_ascii() || c == b'\x1b';
    if !text.bytes().fold(false, |found, c| found | is_odd(c)) {
        return text.len();
    }
    let mut seen = Seen::default();
    text.chars().for_each(|c| seen.take(c));
    seen.width
}

/// Adds up columns; a colour takes none.
#[derive(Default)]
struct Seen {
    width: usize,
    in_colour: bool,
}

impl Seen {
    fn take(&mut self, c: char) {
        match c {
            '\x1b' => self.in_colour = true,
            'm' if self.in_colour => self.in_colour = false,
            _ if self.in_colour => {}
            '\u{1100}'.. if !matches!(c, '…' | '‘'..='‟') => self.width += 2,
            _ => self.width += 1,
        }
    }
}

/// Of a terminal that does not say.
const USUAL_WIDTH: usize = 80;
/// Blanks before the rest of a folded line, beyond its own.
const HANGING: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_goes_on_below() {
        let look = Look { width: Some(20), colour: false };
        let rows = [
            ("short\n", "short\n"),
            ("\n", "\n"),
            ("a line of more than twenty columns\n", "a line of more than\n  twenty columns\n"),
            ("  x: aaaaaaaaaaaa bbbbbbbbbb\n", "  x: aaaaaaaaaaaa\n    bbbbbbbbbb\n"),
            ("/aaaaaaaaaaaaaaaaaaaaaaaaaa\n", "/aaaaaaaaaaaaaaaaaaa\n  aaaaaaa\n"),
        ];
        for (page, want) in rows {
            assert_eq!(look.fit(page), want);
            assert_eq!(Look::PLAIN.fit(page), page);
        }
    }

    #[test]
    fn a_colour_has_no_width_and_only_stands_where_it_is_wanted() {
        let look = Look { width: None, colour: true };
        let painted = |look: Look, colour| {
            let mut text = String::new();
            look.paint(&mut text, colour, "550");
            text
        };
        let red = painted(look, Some(Colour::Red));
        assert_eq!(red, "\x1b[31m550\x1b[0m");
        assert_eq!(width_of(&red), 3);
        assert_eq!(painted(look, None), "550");
        assert_eq!(painted(Look::PLAIN, Some(Colour::Red)), "550");
        assert_eq!(width_of("日本…"), 5);
    }
}
