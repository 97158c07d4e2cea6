//! The text of the file, and where in it a piece stands.
//!
//! Every piece that the reader hands around is a slice of this text, so its place is a matter of
//! subtraction, and only asked for when there is something to say about it.

use std::cell::Cell;

use crate::grammar::escaped;

/// The file as it was read.
pub(crate) struct Source<'a> {
    /// As the operator named it.
    pub(crate) file: &'a str,
    /// All of it.
    pub(crate) text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// The last place that was asked for, with its column: what is asked for next mostly lies
    /// behind it, and a file may be one long line.
    last: Cell<(usize, usize)>,
}

/// A place in the file and what is seen there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Spot {
    /// From 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// In characters, from 1; 0 for the file as a whole.
    pub(crate) column: usize,
    /// The line, or the part of a long one around the column, with escapes for what is not seen.
    pub(crate) excerpt: String,
    /// Characters of the excerpt before the marked ones.
    pub(crate) indent: usize,
    /// Characters to mark; at least 1.
    pub(crate) width: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, c)| *c == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(i, _)| i + 1)).collect();
        Self { file, text, lines, last: Cell::new((0, 1)) }
    }

    /// Where `piece`, a slice of the text, stands.
    pub(crate) fn spot(&self, piece: &str) -> Spot {
        let offset = piece.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        self.spot_at(offset.min(self.text.len()), piece.lines().next().unwrap_or_default())
    }

    /// The line in which `piece`, a slice of the text, begins; from 1.
    pub(crate) fn line_of(&self, piece: &str) -> usize {
        let offset = piece.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        self.lines.partition_point(|start| *start <= offset.min(self.text.len()))
    }

    /// A place given as line and column, both from 1.
    pub(crate) fn spot_of_position(&self, line: usize, column: usize) -> Spot {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let skipped = self.text[start..].char_indices().nth(column.saturating_sub(1));
        self.spot_at(skipped.map_or(self.text.len(), |(i, _)| start + i), "")
    }

    fn spot_at(&self, offset: usize, marked: &str) -> Spot {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let column = self.column(start, offset);
        let from = if column > BEFORE + AFTER / 2 { column - 1 - BEFORE } else { 0 };
        let before = self.text[start..offset].chars().rev().take(column - 1 - from);
        let shown = offset - before.map(char::len_utf8).sum::<usize>();
        let shown: String =
            self.text[shown..end].trim_end_matches('\r').chars().take(BEFORE + AFTER).collect();
        let (before, rest) = shown.split_at(octets_of(&shown, column - 1 - from));
        let (marked, behind) = rest.split_at(octets_of(rest, marked.chars().count()));
        let (before, marked, behind) = (escaped(before), escaped(marked), escaped(behind));
        let (indent, width) = (before.chars().count(), marked.chars().count().max(1));
        Spot { line, column, excerpt: [before, marked, behind].concat(), indent, width }
    }

    /// The column of a place in the line that begins at `start`.
    fn column(&self, start: usize, offset: usize) -> usize {
        let (known, column) = Some(self.last.get())
            .filter(|(known, _)| (start..=offset).contains(known))
            .unwrap_or((start, 1));
        let column = column + self.text[known..offset].chars().count();
        self.last.set((offset, column));
        column
    }
}

/// Octets of so many characters at the beginning of a text.
fn octets_of(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

impl Spot {
    /// The same in so many columns: as much of the line as there is room for, what is marked in it.
    pub(crate) fn within(&self, room: Option<usize>) -> Self {
        let line: Vec<char> = self.excerpt.trim_end().chars().collect();
        let Some(room) = room.filter(|room| line.len() > *room) else { return self.clone() };
        // The mark may be longer than there is room for: its beginning is what matters.
        let end = (self.indent + self.width.min(room / 2)).min(line.len());
        let from = if end < room { 0 } else { (end + 1 - room).min(self.indent.saturating_sub(1)) };
        let mut shown: Vec<char> = line[from..].iter().copied().take(room).collect();
        if from > 0 {
            shown[0] = '…';
        }
        if from + shown.len() < line.len()
            && let Some(last) = shown.last_mut()
        {
            *last = '…';
        }
        let indent = self.indent - from;
        let width = self.width.min(shown.len().saturating_sub(indent)).max(1);
        Self { excerpt: shown.into_iter().collect(), indent, width, ..self.clone() }
    }
}

/// Makes a text of the file fit to stand in a sentence: one line, no control characters, short.
pub(crate) fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end();
    let mut shown: String =
        line.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.trim_end().len() {
        shown.push_str("...");
    }
    shown
}

/// Characters of a long line shown before the marked place.
const BEFORE: usize = 60;
/// Characters of a long line shown from the marked place on.
const AFTER: usize = 100;
const LONGEST: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let text = "(\r\n\té: \"x\",\n)";
        let source = Source::new("f", text);
        let piece = &text[text.find('"').unwrap()..][..3];
        let spot = source.spot(piece);
        assert_eq!((spot.line, spot.column, spot.width), (2, 5, 3));
        assert_eq!(spot.excerpt, " é: \"x\",");
        let spot = source.spot(&text[text.len()..]);
        assert_eq!((spot.line, spot.column, spot.width), (3, 2, 1));
        let text = "(a\u{202e}: \"\u{200b}x\"";
        let spot = Source::new("f", text).spot(&text[text.find('"').unwrap()..]);
        assert_eq!(spot.excerpt, "(a\\u{202e}: \"\\u{200b}x\"");
        assert_eq!((spot.column, spot.indent, spot.width), (6, 12, 11));
        assert_eq!(source.spot_of_position(2, 5).column, 5);
        assert_eq!(source.spot_of_position(99, 1).line, 3);
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let text = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let spot = Source::new("f", &text).spot(&text[5_000..]);
        assert_eq!(spot.column, 5_001);
        assert_eq!(spot.excerpt.chars().nth(spot.indent), Some('X'));
        assert_eq!(spot.excerpt.len(), BEFORE + AFTER);
        assert_eq!(spot.width, AFTER);
    }

    #[test]
    fn a_narrow_screen_shows_what_is_marked() {
        let text = "    (name: \"a\", tag: \"b\", program: Lmtp, maxjobs: 77, pool: \"NOWHERE\"),";
        let source = Source::new("f", text);
        let rows = [
            ("name", 30, "    (name: \"a\", tag: \"b\", pro…", "name"),
            ("77", 30, "", ""),
            ("\"NOWHERE\"", 30, "", "\"NOWHERE\""),
            ("\"NOWHERE\"", 12, "", ""),
            ("77", 200, text, "77"),
        ];
        for (mark, room, line, marked) in rows {
            let at = text.find(mark).unwrap();
            let spot = source.spot(&text[at..at + mark.len()]).within(Some(room));
            let shown: Vec<char> = spot.excerpt.chars().collect();
            assert!(shown.len() <= room, "{mark}: {}", spot.excerpt);
            assert!(spot.indent + spot.width <= shown.len(), "{mark}: {spot:?}");
            assert!(line.is_empty() || spot.excerpt == line, "{mark}: {}", spot.excerpt);
            let under: String = shown[spot.indent..][..spot.width].iter().collect();
            assert!(marked.is_empty() || under == marked, "{mark}: {under}");
            assert!(mark.starts_with(under.trim_end_matches('…')), "{mark}: {under}");
        }
    }

    #[test]
    fn texts_are_shortened_for_sentences() {
        assert_eq!(shorten("ab\tc"), "ab c");
        assert_eq!(shorten("(a: 1,\n b: 2)"), "(a: 1,...");
        assert_eq!(shorten(&"x".repeat(100)).len(), LONGEST + 3);
    }
}
