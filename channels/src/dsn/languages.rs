//! The languages that the sender of a message reads.

use super::returned::field;

/// The languages that the header of a message asks for, the dearest first: `Accept-Language` (RFC 3282), else
/// `Preferred-Language`, else `X-Accept-Language`, as the original looks for them. At most 8.
pub fn languages_of(header: &[u8]) -> Vec<&str> {
    let wanted = NAMES.iter().find_map(|name| field(header, name)).unwrap_or_default();
    let mut languages: Vec<_> = wanted
        .split(|c| *c == b',')
        .take(MAX_LOOKED_AT)
        .filter_map(language)
        .filter(|(_, weight)| *weight > 0)
        .collect();
    languages.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    languages.into_iter().map(|(tag, _)| tag).take(MAX_LANGUAGES).collect()
}

/// Whether it looks like a tag of RFC 5646, such as `de-AT`.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() <= MAX_TAG
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

/// `de-AT;q=0.8`: the tag, and its weight in thousandths.
fn language(text: &[u8]) -> Option<(&str, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (tag, weight) = text.split_once(';').unwrap_or((text, "q=1"));
    let weight: f32 = weight.trim().strip_prefix("q=")?.trim().parse().ok()?;
    let tag = tag.trim();
    let fits = is_tag(tag) && (0.0..=1.0).contains(&weight);
    #[allow(clippy::cast_sign_loss)] // it is between 0 and 1
    fits.then_some((tag, (weight * 1000.0) as u32))
}

const NAMES: [&[u8]; 3] = [b"Accept-Language", b"Preferred-Language", b"X-Accept-Language"];
/// Octets; RFC 5646 section 4.4.1 asks for 35.
const MAX_TAG: usize = 35;
const MAX_LANGUAGES: usize = 8;
const MAX_LOOKED_AT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_in_the_order_of_their_weight() {
        let rows: [(&str, &[&str]); 8] = [
            ("Subject: de\r\n", &[]),
            ("Accept-Language: de\r\n", &["de"]),
            ("Accept-Language: en;q=0.5, de-AT,\r\n fr; q=0.7\r\n", &["de-AT", "fr", "en"]),
            ("Accept-Language: en, de\r\n", &["en", "de"]),
            ("Accept-Language: *, de;q=0, fr;q=2, x/y, it;q=0.1\r\n", &["it"]),
            ("X-Accept-Language: it\r\nPreferred-Language: fr\r\n", &["fr"]),
            ("X-Accept-Language: it\r\n", &["it"]),
            ("Accept-Language: \u{e9}, ../etc, ;;,=\r\n", &[]),
        ];
        for (header, want) in rows {
            assert_eq!(languages_of(header.as_bytes()), want, "{header:?}");
        }
        let many = format!("Accept-Language: {}\r\n", "de, ".repeat(1000));
        assert_eq!(languages_of(many.as_bytes()).len(), MAX_LANGUAGES);
    }
}
