//! Values as lines of JSON, ready to be sent.

use actix_web::web::Bytes;
use serde::Serialize;

/// One line for each value.
#[derive(Clone, Debug, Default)]
pub struct JsonLines {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl JsonLines {
    /// No lines, with room for so many.
    pub fn with_capacity(lines: usize) -> Self {
        Self { bytes: Vec::with_capacity(lines * USUAL), ends: Vec::with_capacity(lines) }
    }

    /// Adds the line of a value.
    pub fn add(&mut self, value: &impl Serialize) -> serde_json::Result<()> {
        serde_json::to_writer(&mut self.bytes, value)?;
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Adds the lines of another.
    pub fn append(&mut self, others: &Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| start + end));
    }

    /// The lines with these numbers, in this order.
    #[must_use]
    pub fn in_order(&self, order: &[usize]) -> Self {
        let mut lines = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            ends: Vec::with_capacity(self.len()),
        };
        for number in order.iter().copied() {
            let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
            lines.bytes.extend_from_slice(&self.bytes[start..self.ends[number]]);
            lines.ends.push(lines.bytes.len());
        }
        lines
    }

    /// Keeps the first lines, so many of them.
    pub fn truncate(&mut self, lines: usize) {
        self.ends.truncate(lines);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl From<JsonLines> for Bytes {
    fn from(lines: JsonLines) -> Self {
        lines.bytes.into()
    }
}

/// Bytes of a line, rather more than less.
const USUAL: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_in_order_and_cut_off_whole() {
        let mut lines = JsonLines::with_capacity(3);
        for value in ["a", "line\nbreak", ""] {
            lines.add(&value).unwrap();
        }
        let text = |lines: &JsonLines| String::from_utf8(lines.bytes.clone()).unwrap();
        assert_eq!(text(&lines), "\"a\"\n\"line\\nbreak\"\n\"\"\n");
        let mut others = lines.in_order(&[2, 0, 1]);
        assert_eq!(
            (text(&others), others.len()),
            ("\"\"\n\"a\"\n\"line\\nbreak\"\n".to_owned(), 3)
        );
        others.append(&lines);
        assert_eq!(text(&others).lines().nth(3), Some("\"a\""));
        for (keep, want) in [(9, 6), (4, 4), (2, 2), (0, 0)] {
            others.truncate(keep);
            assert_eq!((others.len(), text(&others).lines().count()), (want, want));
        }
        assert!(others.is_empty());
    }
}
