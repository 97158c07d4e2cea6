//! Octets that are written as two hexadecimal digits behind a sign: `%2f` in URLs (RFC 3986 section 2.1,
//! RFC 4516), `\2a` in filters (RFC 4515).

/// Why such a text stands for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HexError {
    /// Something else stands behind a percent sign.
    #[error("a percent sign comes before two hexadecimal digits; one of its own is %25")]
    Percent,
    /// Something else stands behind a backslash.
    #[error("a backslash in a filter comes before two hexadecimal digits; one of its own is \\5c")]
    Backslash,
    /// The octets are no text.
    #[error("the octets behind {0} are no UTF-8")]
    Utf8(char),
}

/// A part of a URL without its percent encoding.
pub fn without_percents(part: &str) -> Result<String, HexError> {
    without_pairs(part, '%')
}

/// A value of a filter without its escapes.
pub fn without_backslashes(value: &str) -> Result<String, HexError> {
    without_pairs(value, '\\')
}

fn without_pairs(text: &str, sign: char) -> Result<String, HexError> {
    let mut pieces = text.split(sign);
    let mut octets = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let hex = piece.get(..2).filter(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()));
        let octet = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        octets.push(octet.ok_or(if sign == '%' {
            HexError::Percent
        } else {
            HexError::Backslash
        })?);
        octets.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(octets).map_err(|_| HexError::Utf8(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_stand_for_octets_and_nothing_else_may_be_behind_a_sign() {
        let rows = [
            ("", Some("")),
            ("plain", Some("plain")),
            ("%2Frun%2fldapi", Some("/run/ldapi")),
            ("50%25", Some("50%")),
            ("%25%32%35", Some("%25")),
            ("%c3%A9", Some("\u{e9}")),
            ("\u{e9}%20", Some("\u{e9} ")),
            ("50%", None),
            ("%2", None),
            ("%zz", None),
            ("% f", None),
            ("%+f", None),
            ("%\u{e9}", None),
            ("%ff", None),
            ("%c3", None),
        ];
        for (text, want) in rows {
            assert_eq!(without_percents(text).ok().as_deref(), want, "{text}");
            let escaped = text.replace('%', "\\");
            assert_eq!(without_backslashes(&escaped).ok().as_deref(), want, "{escaped}");
        }
        let error = without_percents("50%").unwrap_err().to_string();
        assert_eq!(
            error,
            "a percent sign comes before two hexadecimal digits; one of its own is %25"
        );
    }
}
