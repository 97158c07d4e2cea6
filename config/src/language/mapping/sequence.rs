//! Numbers that templates draw: `$#file|radix|width|modulus#`.

use crate::language::template::TemplateError;

/// The source of the numbers of sequences.
pub trait Sequences: Sync {
    /// The next number of the sequence in this file; `None` when there is none to be had.
    fn next(&self, file: &str) -> Option<u64>;
}

/// A sequence, and how its numbers are written.
#[derive(Clone, Debug)]
pub(crate) struct NumberSequence {
    /// The file that keeps it.
    pub(crate) file: String,
    radix: u64,
    width: usize,
    modulus: Option<u64>,
}

impl NumberSequence {
    /// Parses what stands between the number signs.
    pub(super) fn parse(text: &str, offset: usize) -> Result<Self, TemplateError> {
        let mut parts = text.split('|');
        let file = parts.next().unwrap_or_default();
        let number = |part: Option<&str>, least: u64, most: u64| match part {
            None | Some("") => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
                _ => Err(not_a_sequence(offset)),
            },
        };
        let radix = number(parts.next(), 2, 36)?.unwrap_or(10);
        let width = number(parts.next(), 0, MAX_WIDTH)?.unwrap_or(0);
        let modulus = number(parts.next(), 1, u64::MAX)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if parts.next().is_some() || file.is_empty() || !file.chars().all(plain) {
            return Err(not_a_sequence(offset));
        }
        Ok(Self { file: file.to_owned(), radix, width: width as usize, modulus })
    }

    /// A number of it, as it is written.
    pub(super) fn written(&self, number: u64) -> String {
        let mut rest = self.modulus.map_or(number, |modulus| number % modulus);
        let mut digits = Vec::new();
        loop {
            digits.push(DIGITS[(rest % self.radix) as usize]);
            rest /= self.radix;
            if rest == 0 {
                break;
            }
        }
        digits.resize(digits.len().max(self.width), b'0');
        digits.iter().rev().map(|digit| char::from(*digit)).collect()
    }
}

fn not_a_sequence(offset: usize) -> TemplateError {
    let accepted = "$#file#, $#file|radix|width|modulus#: a radix from 2 to 36, at most 64 digits";
    TemplateError::new(offset, "not a sequence number", accepted)
}

const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const MAX_WIDTH: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_template_says() {
        let rows = [
            ("seq", 1234, "1234"),
            ("seq|16", 255, "FF"),
            ("seq|36|4", 35, "000Z"),
            ("a/b.seq|10|3|", 5, "005"),
            ("seq||2|3", 7, "01"),
            ("seq|2", 0, "0"),
            ("seq", u64::MAX, "18446744073709551615"),
        ];
        for (text, number, want) in rows {
            let sequence = NumberSequence::parse(text, 0).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(sequence.written(number), want, "{text}");
        }
        for text in
            ["", "|10", "seq|1", "seq|37", "seq|x", "seq|10|65", "seq|10|1|0", "a b", "a|2|3|4|5"]
        {
            assert!(NumberSequence::parse(text, 0).is_err(), "{text}");
        }
    }
}
