//! Values of header fields: unfolded, and with their encoded words (RFC 2047) decoded.

use std::borrow::Cow;

use super::coding;

/// A value in one line, without blanks around it.
pub(super) fn unfold(raw: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(raw);
    if !text.contains(['\r', '\n']) {
        return match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_blank)),
            Cow::Owned(text) => Cow::Owned(text.trim_matches(is_blank).to_owned()),
        };
    }
    let mut unfolded = String::with_capacity(text.len());
    let mut is_fold = false;
    for c in text.chars() {
        match c {
            '\r' | '\n' => is_fold = true,
            '\t' if is_fold => {
                unfolded.push(' ');
                is_fold = false;
            }
            other => {
                unfolded.push(other);
                is_fold = false;
            }
        }
    }
    Cow::Owned(unfolded.trim_matches(is_blank).to_owned())
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Decodes the encoded words of an unfolded value; words that are none stay as they are.
pub(super) fn decode(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains("=?") {
        return text;
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = &*text;
    // Octets of neighbours in one charset are decoded together: a character may span two words.
    let mut pending: Option<(String, Vec<u8>)> = None;
    // No word ends before so many octets are left: no stretch is searched twice.
    let mut endless = usize::MAX;
    while let Some(start) = rest.find("=?") {
        let (before, from) = rest.split_at(start);
        let Some((word, behind)) = word(from, &mut endless) else {
            flush(&mut pending, &mut decoded);
            decoded.push_str(before);
            decoded.push_str("=?");
            rest = &from[2..];
            continue;
        };
        // Blanks between two words do not count: RFC 2047 6.2.
        let is_neighbour = pending.is_some() && before.chars().all(is_blank);
        let same = |it: &(String, Vec<u8>)| it.0.eq_ignore_ascii_case(&word.0);
        if is_neighbour && pending.as_ref().is_some_and(same) {
            if let Some((_, octets)) = &mut pending {
                octets.extend_from_slice(&word.1);
            }
        } else {
            flush(&mut pending, &mut decoded);
            if !is_neighbour {
                decoded.push_str(before);
            }
            pending = Some(word);
        }
        rest = behind;
    }
    flush(&mut pending, &mut decoded);
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

fn flush(pending: &mut Option<(String, Vec<u8>)>, into: &mut String) {
    if let Some((charset, octets)) = pending.take() {
        let text = coding::decode_charset(&octets, &charset);
        // A decoded line end would make two lines of one.
        let line = |c: char| if c == '\r' || c == '\n' { ' ' } else { c };
        into.extend(text.unwrap_or_default().chars().map(line));
    }
}

/// The charset and the octets of the word at the beginning, and what stands behind it.
fn word<'t>(text: &'t str, endless: &mut usize) -> Option<((String, Vec<u8>), &'t str)> {
    if *endless != usize::MAX && text.len() > *endless {
        return None;
    }
    let (charset, behind) = text.strip_prefix("=?")?.split_once('?')?;
    let (encoding, behind) = behind.split_once('?')?;
    let mut octets = behind.as_bytes().windows(2);
    let stop = octets.position(|two| two == b"?=" || is_blank(char::from(two[0])));
    let Some(end) = stop.filter(|end| behind[*end..].starts_with("?=")) else {
        // A blank ends all words that begin before it; without one none has an end.
        *endless = stop.map_or(0, |blank| behind.len() - blank);
        return None;
    };
    let content = &behind[..end];
    if charset.contains(is_blank) {
        return None;
    }
    // RFC 2231 5: a language behind the charset.
    let charset = charset.split('*').next().unwrap_or(charset);
    let octets = match encoding {
        "b" | "B" => coding::base64(content.as_bytes()),
        "q" | "Q" => coding::quoted_printable(content.as_bytes(), true),
        _ => return None,
    };
    coding::decode_charset(b"", charset)?;
    Some(((charset.to_owned(), octets), &behind[end + 2..]))
}
