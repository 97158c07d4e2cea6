//! Columns of text, as wide as they need to be, or as a terminal is.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use relais_actors::events::{Printable, printable};

use super::look::{Colour, Look, split, width_of};

/// A heading and rows below it. Cells are made fit for a terminal here and nowhere else.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    /// Row by row; what they hold stands in `text`.
    cells: Vec<Cell>,
    text: String,
    /// Widths that a column has at least, from a table above that it goes on from.
    least: Vec<usize>,
    has_heading: bool,
}

#[derive(Debug, Default)]
struct Column {
    title: &'static str,
    numbers: bool,
    /// Left out where there is no room; the lowest first.
    spare: Option<u8>,
    fit: Fit,
}

/// The treatment of a cell that is wider than its column.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Fit {
    /// Nothing: it needs what it needs.
    #[default]
    Whole,
    /// Its end is cut off.
    Cut,
    /// Its middle is left out: of an address both ends matter.
    Middle,
    /// It goes on in the lines below.
    Fold,
}

#[derive(Debug)]
struct Cell {
    /// Where its text ends; it begins where that of the cell before does.
    end: usize,
    width: usize,
    colour: Option<Colour>,
}

/// A cell, or a title, as a line shows it.
struct Shown<'a> {
    text: &'a str,
    width: usize,
    colour: Option<Colour>,
}

impl Table {
    /// With these columns. In front of a title may stand, in this order: a digit, and the column
    /// is left out where there is no room, the lowest first; what is done with its cells where
    /// there is no room: `~`, their end is cut off, `=`, their middle, or `&`, and they go on
    /// below (in the last column only); `>`, and it is one of numbers, set to the right.
    pub fn new(titles: &[&'static str]) -> Self {
        let columns = titles.iter().map(|title| Column::new(title)).collect();
        let (cells, text, least) = (Vec::new(), String::new(), Vec::new());
        Self { columns, cells, text, least, has_heading: true }
    }

    /// One more row, with a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [&dyn fmt::Display; N]) {
        for cell in cells {
            self.cell(cell);
        }
    }

    /// One more cell.
    pub fn cell(&mut self, cell: &dyn fmt::Display) {
        let start = self.text.len();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{}", Printable(cell));
        self.end_cell(start);
    }

    /// One more cell, of a text that is there: several times faster than what has to be written.
    pub fn text(&mut self, cell: &str) {
        let start = self.text.len();
        match printable(cell) {
            // Each octet is a character.
            Cow::Borrowed(plain) => {
                self.text.push_str(plain);
                self.cells.push(Cell { end: self.text.len(), width: plain.len(), colour: None });
            }
            Cow::Owned(shown) => {
                self.text.push_str(&shown);
                self.end_cell(start);
            }
        }
    }

    fn end_cell(&mut self, start: usize) {
        let width = width_of(&self.text[start..]);
        self.cells.push(Cell { end: self.text.len(), width, colour: None });
    }

    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.text.clear();
    }

    /// Gives a cell of the last row a colour.
    pub fn mark(&mut self, column: usize, colour: Colour) {
        let row = self.cells.chunks_mut(self.columns.len()).next_back();
        if let Some(cell) = row.and_then(|row| row.get_mut(column)) {
            cell.colour = Some(colour);
        }
    }

    /// The cells, row by row.
    fn shown(&self) -> impl Iterator<Item = Shown<'_>> {
        let mut start = 0;
        self.cells.iter().map(move |Cell { end, width, colour }| {
            let text = &self.text[start..*end];
            start = *end;
            Shown { text, width: *width, colour: *colour }
        })
    }

    /// Goes on from a table above: no heading again, and no column narrower.
    pub fn below(&mut self, widths: &[usize]) {
        self.has_heading = false;
        self.least = widths.to_vec();
    }

    /// Whether nothing stands below the heading.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The width of each column where there is room enough.
    pub fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.title.len()).collect();
        for (width, least) in widths.iter_mut().zip(&self.least) {
            *width = (*width).max(*least);
        }
        for row in self.cells.chunks(self.columns.len()) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width);
            }
        }
        widths
    }

    /// As text for a reader whose screen is like this.
    pub fn fit(&self, look: Look) -> String {
        let mut text = String::with_capacity(self.text.len() * 2);
        self.fit_into(look, &mut text);
        text
    }

    /// The same, behind a text that is there.
    pub fn fit_into(&self, look: Look, text: &mut String) {
        let widths = self.fitting(look.width);
        if self.has_heading {
            let titles = self.columns.iter().map(|Column { title, .. }| Shown {
                text: title,
                width: title.len(),
                colour: Some(Colour::Bold),
            });
            self.line(text, look, &widths, titles);
        }
        let mut cells = self.shown();
        for _ in 0..self.cells.len() / self.columns.len() {
            self.line(text, look, &widths, cells.by_ref().take(self.columns.len()));
        }
    }

    /// Whether all of it fits, with nothing left out and nothing cut.
    pub fn is_narrow(&self, look: Look) -> bool {
        let widths = self.widths();
        let all = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        look.width.is_none_or(|width| all <= width)
    }

    /// Each row as lines of their own, a title and what stands below it.
    pub fn records(&self, look: Look) -> String {
        let widest = self.columns.iter().map(|column| column.title.len()).max().unwrap_or(0);
        let cells: Vec<_> = self.shown().collect();
        let record = |row: &[Shown<'_>]| {
            let cells = self.columns.iter().zip(row).filter(|(_, cell)| !cell.text.is_empty());
            let line = |(column, cell): (&Column, &Shown<'_>)| {
                look.fit_beside(&format!("{:widest$}  ", column.title), cell.text)
            };
            cells.map(line).collect::<String>()
        };
        cells.chunks(self.columns.len()).map(record).collect::<Vec<_>>().join("\n")
    }

    /// The width of each column, 0 for those that are left out.
    fn fitting(&self, room: Option<usize>) -> Vec<usize> {
        let mut widths = self.widths();
        let Some(room) = room else { return widths };
        let mut spare: Vec<_> = self.columns.iter().enumerate().collect();
        spare.retain(|(_, column)| column.spare.is_some());
        spare.sort_by_key(|(_, column)| column.spare);
        let folds = self.columns.iter().any(|column| column.fit == Fit::Fold);
        let comfortable = if folds { COMFORTABLE_TO_READ } else { COMFORTABLE };
        for (i, _) in spare {
            if self.cap(&widths, room) >= comfortable {
                break;
            }
            widths[i] = 0;
        }
        let cap = self.cap(&widths, room);
        for (width, column) in widths.iter_mut().zip(&self.columns) {
            if column.fit != Fit::Whole {
                *width = (*width).min(cap.max(column.title.len()).max(LEAST));
            }
        }
        // The room that the others leave is for the last one.
        let shown = widths.iter().filter(|width| **width > 0).count();
        let taken = widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1);
        let last = widths.last_mut().filter(|width| **width > 0);
        if let (Some(width), Some(full)) = (last, self.widths().last()) {
            *width = (*width + room.saturating_sub(taken)).min(*full);
        }
        widths
    }

    /// How wide the columns may be that can be narrower, so that all fit.
    fn cap(&self, widths: &[usize], room: usize) -> usize {
        let shown = widths.iter().filter(|width| **width > 0).count();
        let between = GAP * shown.saturating_sub(1);
        let is_whole = |(_, column): &(&usize, &Column)| column.fit == Fit::Whole;
        let whole: usize =
            widths.iter().zip(&self.columns).filter(is_whole).map(|(width, _)| *width).sum();
        let mut left = room.saturating_sub(between + whole);
        let others = widths.iter().zip(&self.columns).filter(|both| !is_whole(both));
        let mut others: Vec<_> = others.map(|(width, _)| *width).filter(|w| *w > 0).collect();
        others.sort_unstable();
        // Columns that need little leave the rest to the others.
        let mut count = others.len();
        for width in others {
            if width * count > left {
                return left / count;
            }
            left -= width;
            count -= 1;
        }
        if between + whole > room { 0 } else { usize::MAX }
    }

    fn line<'a>(
        &self,
        text: &mut String,
        look: Look,
        widths: &[usize],
        cells: impl Iterator<Item = Shown<'a>>,
    ) {
        let start = text.len();
        let (mut below, mut gap) = ("", 0);
        for ((Shown { text: cell, width: own, colour }, column), width) in
            cells.zip(&self.columns).zip(widths)
        {
            if *width == 0 {
                continue;
            }
            let is_wide = own > *width;
            let (shown, taken) = match column.fit {
                Fit::Fold if is_wide => {
                    let (head, rest) = split(cell, *width);
                    below = rest;
                    (Cow::Borrowed(head), width_of(head))
                }
                Fit::Cut if is_wide => measured(cut(cell, *width, 0)),
                Fit::Middle if is_wide => measured(cut(cell, *width, *width / 2)),
                _ => (Cow::Borrowed(cell), own),
            };
            let blanks = width.saturating_sub(taken);
            // Blanks are only written where something follows them.
            let (before, behind) = if column.numbers { (blanks, 0) } else { (0, blanks) };
            if taken > 0 {
                pad(text, gap + before);
                look.paint(text, colour, &shown);
                gap = behind + GAP;
            } else {
                gap += blanks + GAP;
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
        if !below.is_empty() {
            let shown = || widths.iter().filter(|width| **width > 0);
            let last = shown().next_back().copied().unwrap_or(0);
            let indent = shown().map(|width| width + GAP).sum::<usize>() - last - GAP;
            while !below.is_empty() {
                let (head, rest) = split(below, last);
                let _ = writeln!(text, "{:indent$}{head}", "");
                below = rest;
            }
        }
    }
}

impl Column {
    fn new(title: &'static str) -> Self {
        let digit = title.chars().next().and_then(|c| c.to_digit(10));
        let spare = digit.and_then(|digit| u8::try_from(digit).ok());
        let title = title.trim_start_matches(|c: char| c.is_ascii_digit());
        let fit = match title.chars().next() {
            Some('~') => Fit::Cut,
            Some('=') => Fit::Middle,
            Some('&') => Fit::Fold,
            _ => Fit::Whole,
        };
        let title = title.trim_start_matches(['~', '=', '&']);
        let numbers = title.starts_with('>');
        Self { title: title.trim_start_matches('>'), numbers, spare, fit }
    }
}

/// A text and its width.
fn measured(text: String) -> (Cow<'static, str>, usize) {
    let width = width_of(&text);
    (Cow::Owned(text), width)
}

fn pad(text: &mut String, mut blanks: usize) {
    while let Some(left) = blanks.checked_sub(BLANKS.len()) {
        text.push_str(BLANKS);
        blanks = left;
    }
    text.push_str(&BLANKS[..blanks]);
}

/// As much as fits, with a sign that there is more in front of the last `tail` columns.
fn cut(text: &str, width: usize, tail: usize) -> String {
    let fitting = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        let fits = |c: &char| {
            used += width_of(c.encode_utf8(&mut [0; 4]));
            used <= room
        };
        chars.take_while(fits).collect::<Vec<_>>()
    };
    let end = fitting(&mut text.chars().rev(), tail);
    let head = fitting(&mut text.chars(), width.saturating_sub(tail + 1));
    head.into_iter().chain(['…']).chain(end.into_iter().rev()).collect()
}

/// As long as its lines need to be.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fit(Look::PLAIN))
    }
}

/// Padding, a piece of it.
const BLANKS: &str = "                                ";
/// Blanks between columns.
const GAP: usize = 2;
/// Narrower than this no cell is cut while a column can be left out instead.
const COMFORTABLE: usize = 14;
/// The same of text that goes on below.
const COMFORTABLE_TO_READ: usize = 24;
/// Narrower than this no cell is cut.
const LEAST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_foreign_text_stays_in_its_cell() {
        let mut table = Table::new(&["NAME", ">N", "LAST"]);
        table.row([&"a", &10, &"x\ny"]);
        table.row([&"longer", &7, &""]);
        assert_eq!(table.to_string(), "NAME     N  LAST\na       10  x?y\nlonger   7\n");
    }

    #[test]
    fn where_there_is_no_room_columns_are_left_out_and_cells_cut_or_folded() {
        let mut table = Table::new(&["ID", "2>SIZE", "1POOL", "=FROM", "&REPLY"]);
        table.row([&"id1", &1024, &"POOL", &"ann@long.example.org", &"451 4.7.1 come back later"]);
        let rows = [
            (
                None,
                "ID   SIZE  POOL  FROM                  REPLY\nid1  1024  POOL  ann@long.example.org  451 4.7.1 come back later\n",
            ),
            (
                Some(62),
                "ID   SIZE  FROM                  REPLY\nid1  1024  ann@long.example.org  451 4.7.1 come back later\n",
            ),
            (
                Some(50),
                "ID   FROM                  REPLY\nid1  ann@long.example.org  451 4.7.1 come back\n                           later\n",
            ),
            (
                Some(30),
                "ID   FROM         REPLY\nid1  ann@l…e.org  451 4.7.1\n                  come back\n                  later\n",
            ),
        ];
        for (width, want) in rows {
            let text = table.fit(Look { width, colour: false });
            assert_eq!(text, want, "{width:?}:\n{text}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut table = Table::new(&["ID", "1>SIZE", "2HOST", "~FROM", "~TO", "&REPLY"]);
        let long = "x".repeat(90);
        table.row([&"1K80UO39M0000", &1, &long, &long, &long, &format!("{long} {long}")]);
        table.row([&"1K80UO39M0001", &1, &"a", &"b", &"c", &"d"]);
        for width in 40..200 {
            for line in table.fit(Look { width: Some(width), colour: true }).lines() {
                assert!(width_of(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_table_that_goes_on_has_no_heading_and_the_same_columns() {
        let mut first = Table::new(&["NAME", ">N"]);
        first.row([&"longer", &10]);
        let mut second = Table::new(&["NAME", ">N"]);
        second.row([&"a", &7]);
        second.below(&first.widths());
        assert_eq!(format!("{first}{second}"), "NAME     N\nlonger  10\na        7\n");
    }
}
