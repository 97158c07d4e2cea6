//! Transfer encodings: RFC 2045 6. Whatever is wrong is skipped.

/// Decodes base64; octets beyond its alphabet are skipped.
pub(super) fn base64(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for c in text {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    decoded
}

/// Decodes quoted-printable; in a header word an underscore is a space.
pub(super) fn quoted_printable(text: &[u8], is_word: bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'_', _) if is_word => decoded.push(b' '),
            (b'=', [b'\r', b'\n', next @ ..] | [b'\n', next @ ..]) => rest = next,
            (b'=', [high, low, next @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = next;
                }
                _ => decoded.push(b'='),
            },
            (other, _) => decoded.push(*other),
        }
    }
    decoded
}

fn hex(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).map(|value| value as u8)
}

/// Text in a charset, as UTF-8; nothing when the charset is not known.
pub(super) fn decode_charset(octets: &[u8], charset: &str) -> Option<String> {
    if ["utf-8", "us-ascii", "utf8", ""].iter().any(|it| charset.eq_ignore_ascii_case(it)) {
        return Some(String::from_utf8_lossy(octets).into_owned());
    }
    let decoder = mail_parser::decoders::charsets::map::charset_decoder(charset.as_bytes())?;
    Some(decoder(octets))
}
