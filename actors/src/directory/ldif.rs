//! LDIF content records (RFC 2849): what an LDAP server's export holds.
//!
//! Strict: anything that is not a content record is an error with its line. Change records and
//! values by URL (`attribute:< file:...`) are refused. Base64 values that are not UTF-8 text
//! (certificates, pictures) are read and dropped: nothing here routes by them. Blanks around a
//! value do not count (RFC 4518 section 2.6.1), which editors leave behind and nobody sees.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::entry::Entry;

/// A mistake in an LDIF file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {mistake}")]
pub struct LdifError {
    /// Counted from 1; for folded values the line they begin on.
    pub line: usize,
    /// The mistake in words.
    pub mistake: String,
}

/// Parses a whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, LdifError> {
    let mut entries = Vec::new();
    let mut current: Option<Entry> = None;
    let mut first = true;
    for (line, text) in unfold(text)? {
        if text.is_empty() {
            entries.extend(current.take());
            continue;
        }
        let (name, value) = attribute(line, &text)?;
        if std::mem::take(&mut first) && name == "version" {
            expect_version_1(line, value.as_deref())?;
            continue;
        }
        match &mut current {
            None => current = Some(Entry::new(dn(line, &name, value)?)),
            Some(_) if name == "dn" => return Err(error(line, "a second dn in one record")),
            Some(_) if matches!(&*name, "changetype" | "control") => {
                return Err(error(line, "a change record: only entries can be read"));
            }
            Some(entry) => {
                if let Some(value) = value {
                    entry.add(&name, value);
                }
            }
        }
    }
    entries.extend(current);
    Ok(entries)
}

/// Logical lines with the number of their first line; comments are gone.
fn unfold(text: &str) -> Result<Vec<(usize, String)>, LdifError> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (n, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match (line.strip_prefix(' '), lines.last_mut()) {
            (Some(rest), Some((_, before))) if !before.is_empty() => before.push_str(rest),
            (Some(_), _) => return Err(error(n + 1, "a continuation of nothing")),
            (None, _) => lines.push((n + 1, line.to_owned())),
        }
    }
    lines.retain(|(_, line)| !line.starts_with('#'));
    Ok(lines)
}

/// The name in lower case, and the value if it is text.
fn attribute(line: usize, text: &str) -> Result<(String, Option<String>), LdifError> {
    let (name, rest) = text.split_once(':').ok_or_else(|| error(line, "no colon"))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ';' | '.');
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(error(line, "the name of the attribute is malformed"));
    }
    let name = name.to_ascii_lowercase();
    if rest.starts_with('<') {
        return Err(error(line, "a value by URL: only values in the file can be read"));
    }
    let Some(encoded) = rest.strip_prefix(':') else {
        let value = rest.trim_matches(BLANKS);
        if value.starts_with(['<', ':']) || !value.is_ascii() || value.contains('\0') {
            return Err(error(line, "a value that must be in base64 is not"));
        }
        return Ok((name, Some(value.to_owned())));
    };
    let octets = BASE64_STANDARD
        .decode(encoded.trim_matches(BLANKS))
        .map_err(|cause| error(line, format!("not base64: {cause}")))?;
    let text = String::from_utf8(octets).ok();
    Ok((name, text.map(|text| text.trim_matches(BLANKS).to_owned())))
}

fn expect_version_1(line: usize, value: Option<&str>) -> Result<(), LdifError> {
    match value {
        Some("1") => Ok(()),
        _ => Err(error(line, "only version 1 is known")),
    }
}

fn dn(line: usize, name: &str, value: Option<String>) -> Result<String, LdifError> {
    match value {
        Some(value) if name == "dn" && !value.is_empty() => Ok(value),
        _ => Err(error(line, "a record begins with its dn")),
    }
}

fn error(line: usize, mistake: impl Into<String>) -> LdifError {
    LdifError { line, mistake: mistake.into() }
}

/// A TAB is a SPACE (RFC 4518 section 2.2), and none of them counts at either end (section 2.6.1).
const BLANKS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_as_a_server_exports_them() {
        let text = "version: 1\n\n# a comment\n#  folded\ndn: uid=jo,\n o=x\nobjectClass: top\n\
                    OBJECTCLASS: person\ncn:: SsO2cmc=\nmail:jo@x\r\nphoto:: //4=\ndescription:\n\n\n\
                    dn:: bz14\nmail;lang-en: a:b";
        let entries = parse(text).unwrap();
        assert_eq!(entries.len(), 2);
        let jo = &entries[0];
        assert_eq!(jo.dn, "uid=jo,o=x");
        assert_eq!(jo.all("objectclass"), ["top", "person"]);
        assert!(jo.has_class("PERSON"));
        assert_eq!(jo.first("cn"), Some("J\u{f6}rg"));
        assert_eq!(jo.first("mail"), Some("jo@x"));
        assert_eq!(jo.first("photo"), None);
        assert_eq!(jo.first("description"), Some(""));
        assert_eq!(entries[1].dn, "o=x");
        assert_eq!(entries[1].first("mail;lang-en"), Some("a:b"));
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn blanks_around_a_value_do_not_count() {
        let text = "dn: uid=jo,o=x  \nmail: jo@x \nmailHost:  store.x\ncn:: IEogbyAg\nmaildelivery\n option: \n mailbox \n";
        let entries = parse(text).unwrap();
        assert_eq!(entries[0].dn, "uid=jo,o=x");
        for (name, want) in [
            ("mail", "jo@x"),
            ("mailhost", "store.x"),
            ("cn", "J o"),
            ("maildeliveryoption", "mailbox"),
        ] {
            assert_eq!(entries[0].first(name), Some(want), "{name}");
        }
    }

    #[test]
    fn mistakes_name_their_line() {
        let rows = [
            ("cn: x", 1),
            ("dn: o=x\ncn", 2),
            ("dn: o=x\ndn: o=y", 2),
            ("dn: o=x\nchangetype: delete", 2),
            ("dn: o=x\njpegPhoto:< file:///etc/passwd", 2),
            ("dn: o=x\ncn: J\u{f6}rg", 2),
            ("dn: o=x\ncn:: ***", 2),
            ("dn: o=x\nc n: x", 2),
            ("version: 2", 1),
            (" x", 1),
            ("dn: o=x\n\n x", 3),
            ("dn:", 1),
        ];
        for (text, line) in rows {
            assert_eq!(parse(text).map_err(|e| e.line).err(), Some(line), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([a-z]{1,3}:{0,2}[ <]?[a-zA-Z=+/#]{0,8}\r?\n? ?){0,12}") {
            let _ = parse(&text);
        }
    }
}
