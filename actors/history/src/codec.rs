//! Numbers as octets (LEB128), and octets from their front.

/// Appends a number.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The beginning of a text, `most` octets at most.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Octets that are read from their front; `None` where they end too soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Octets<'a>(pub(crate) &'a [u8]);

impl<'a> Octets<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (octet, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Octets of one text that are kept: an address has 320 at most, a reply some lines.
pub(crate) const MAX_TEXT: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut out = Vec::new();
        let numbers = [0, 1, 127, 128, 1 << 35, u64::MAX];
        for number in numbers {
            put(&mut out, number);
        }
        let mut octets = Octets(&out);
        for number in numbers {
            assert_eq!(octets.number(), Some(number));
        }
        assert_eq!(octets.number(), None);
        assert_eq!(Octets(&[0xff; 20]).number(), None, "a number has an end");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(MAX_TEXT);
        assert_eq!(cut(&long, MAX_TEXT).len(), MAX_TEXT);
        assert_eq!(cut(&long, 3), "ä");
        assert_eq!(cut("x", 3), "x");
    }
}
