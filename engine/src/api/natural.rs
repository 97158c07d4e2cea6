//! Names in the order in which people count: `m2` before `m10`.

use std::cmp::Ordering;

/// Compares by runs: digits as numbers, all else octet by octet.
pub(crate) fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one.as_bytes(), other.as_bytes());
    while let (Some(a), Some(b)) = (left.first(), right.first()) {
        let order = if a.is_ascii_digit() && b.is_ascii_digit() {
            let numbers = (number(&mut left), number(&mut right));
            // Without leading zeros the longer one is the larger.
            numbers.0.len().cmp(&numbers.1.len()).then(numbers.0.cmp(numbers.1))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            a.cmp(b)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| one.cmp(other))
}

/// Takes the digits off the front, and returns them without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let sorted = [
            ["m1", "m2", "m10", "m10a", "m11", "n1"].as_slice(),
            &["", "SMTP", "SMTP2", "SMTP10", "SMTP_SUBMIT"],
            &["a01", "a1", "a1b", "a002b", "a10"],
            &["mx9.b.test", "mx10.a.test", "é"],
            &["18446744073709551615", "18446744073709551616", "99999999999999999999"],
        ];
        for want in sorted {
            let mut names: Vec<_> = want.iter().rev().copied().collect();
            names.sort_by(|one, other| natural(one, other));
            assert_eq!(names, want);
        }
    }
}
