//! `i;ascii-numeric`: RFC 4790 9.1.

use std::cmp::Ordering;

/// Compares the numbers at the beginning of two texts. A text that begins with no digit is
/// infinite, and equal to another such.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    match (digits(left), digits(right)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => left.len().cmp(&right.len()).then_with(|| left.cmp(right)),
    }
}

/// The digits at the beginning, without leading zeros.
fn digits(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text[..end].trim_start_matches('0'))
}
