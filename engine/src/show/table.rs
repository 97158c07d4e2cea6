//! Columns of text, as wide as they need to be.

use std::fmt::{self, Write};

use relais_actors::events::Printable;

/// A heading and rows below it. Cells are made fit for a terminal here and nowhere else.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    numbers: bool,
}

impl Table {
    /// With these columns; a title that begins with `>` makes a column of numbers, set to the
    /// right.
    pub fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('>') {
            Some(title) => Column { title, numbers: true },
            None => Column { title, numbers: false },
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new() }
    }

    /// One more row, with a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [&dyn fmt::Display; N]) {
        self.rows.push(cells.iter().map(|cell| Printable(cell).to_string()).collect());
    }

    /// Whether nothing stands below the heading.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(i, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(i));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(column.title.len())
        };
        self.columns.iter().enumerate().map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, column), width) in cells.zip(&self.columns).zip(&widths) {
                // Writing to a string cannot fail.
                let _ = if column.numbers {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:<width$}  ")
                };
            }
            writeln!(f, "{}", line.trim_end())
        };
        line(&mut self.columns.iter().map(|column| column.title))?;
        self.rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
    }
}

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
}
