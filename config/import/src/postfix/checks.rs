//! Tables about headers and bodies (`header_checks`, `body_checks`), and addresses that get copies
//! (`sender_bcc_maps`, `recipient_bcc_maps`): none of them is carried over, and each row is told of with the words of a Sieve script that
//! do the same.

use super::{
    maps::{MapEntry, MapForm},
    patterns::{KeyForm, MapRow, PatternRow},
    tables::PostfixFiles,
};
use crate::{
    report::{Fate, Findings},
    source::ImportError,
};

impl PostfixFiles<'_> {
    /// Tells of each row.
    pub(super) fn checks(&self, findings: &mut Findings) -> Result<(), ImportError> {
        for name in TABLES {
            if self.main.line(name).is_none() {
                continue;
            }
            for row in self.rows(name, MapForm::Plain, findings)? {
                let MapRow::Pattern(row) = row else { continue };
                let (place, text) = (&row.line.place, &row.line.text);
                match sieve(&row, name == "body_checks") {
                    Ok(Some(words)) => findings.missing(place, text, &format!("{SCRIPT}{words}")),
                    Ok(None) => findings.tell(place, text, Fate::NotNeeded, "it changes no mail"),
                    Err(why) => findings.missing(place, text, why),
                }
            }
        }
        self.copies(findings)
    }

    /// Tells of each address that gets copies.
    fn copies(&self, findings: &mut Findings) -> Result<(), ImportError> {
        for (name, part) in [("sender_bcc_maps", "from"), ("recipient_bcc_maps", "to")] {
            for MapEntry { line, key, value } in
                self.entries(name, MapForm::Plain, KeyForm::Addresses(&[]), findings)?
            {
                let (side, key) = match key.strip_prefix('@') {
                    Some(domain) => (":domain ", domain),
                    None if key.contains('@') => ("", key.as_str()),
                    None => (":localpart ", key.as_str()),
                };
                let condition = format!("envelope {side}\"{part}\" {}", quoted(key));
                let copy = format!("redirect :copy {};", quoted(&value));
                let words = format!("{BEFORE}if {condition} {{ {copy} }}");
                findings.missing(&line.place, &line.text, &words);
            }
        }
        Ok(())
    }
}

/// The words of a script that do what a row does; `None`: it does nothing to mail.
fn sieve(row: &PatternRow, is_body: bool) -> Result<Option<String>, &'static str> {
    let (word, text) = row.result.split_once(char::is_whitespace).unwrap_or((&row.result, ""));
    let word = word.to_ascii_uppercase();
    if ["WARN", "INFO", "DUNNO", "OK"].contains(&word.as_str()) {
        return Ok(None);
    }
    row.forms.as_ref().map_err(|why| *why)?;
    let expression = row.expression.replace("\\d", "[0-9]");
    let (name, value) = if is_body { ("", expression) } else { header(&expression)? };
    let condition = match (is_body, value.as_str()) {
        // A regular expression of Sieve is about the whole body, and its anchors are those of the body.
        (true, value) if value.starts_with('^') || value.ends_with('$') => return Err(OF_LINES),
        (true, value) => format!("body :raw :regex {}", quoted(value)),
        (false, "") => format!("exists {}", quoted(name)),
        (false, value) => format!("header :regex {} {}", quoted(name), quoted(value)),
    };
    let text = text.trim();
    let action = match word.as_str() {
        "REJECT" => format!("reject {}", quoted(if text.is_empty() { "no" } else { text })),
        "DISCARD" => "discard".to_owned(),
        "REDIRECT" => format!("redirect {}", quoted(text)),
        "IGNORE" | "STRIP" if !is_body => match value.as_str() {
            "" => format!("deleteheader {}", quoted(name)),
            value => format!("deleteheader :regex {} {}", quoted(name), quoted(value)),
        },
        "PREPEND" if !is_body => match text.split_once(':') {
            Some((name, value)) => {
                format!("addheader {} {}", quoted(name.trim()), quoted(value.trim()))
            }
            None => return Err(NO_ACTION),
        },
        _ => return Err(NO_ACTION),
    };
    Ok(Some(format!("if {condition} {{ {action}; }}")))
}

/// The field that an expression is about, and an expression for its value.
fn header(expression: &str) -> Result<(&str, String), &'static str> {
    let unnamed = "it names no header: a Sieve script looks at headers by name";
    let rest = expression.strip_prefix('^').ok_or(unnamed)?;
    let (name, value) = rest.split_once(':').ok_or(unnamed)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(unnamed);
    }
    let mut value = value;
    // The value of a field begins behind its blanks.
    for blanks in ["[[:space:]]*", "[[:space:]]+", "[ \t]*", "\\s*", "\\s+", " *", " +", " "] {
        value = value.strip_prefix(blanks).unwrap_or(value);
    }
    let value = match value.strip_prefix(".*") {
        Some(anywhere) => anywhere.to_owned(),
        None if value.is_empty() => String::new(),
        None => format!("^{value}"),
    };
    Ok((name, value))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

const TABLES: [&str; 4] =
    ["header_checks", "mime_header_checks", "nested_header_checks", "body_checks"];
const OF_LINES: &str =
    "`^` and `$` are about lines, and Sieve's `body` about all of them: a milter does";
const BEFORE: &str = "in a Sieve script (sieve.before): ";
const SCRIPT: &str = "in a Sieve script (sieve.before, or sourcefilter of a channel): ";
const NO_ACTION: &str = "no action of Sieve does this: a milter does";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{postfix::expression, source::Line};

    #[test]
    fn rows_are_told_in_the_words_of_sieve() {
        for (expression, result, is_body, want) in [
            (
                "^Subject: .*cheap \"pills\"",
                "REJECT no",
                false,
                Ok(Some(r#"if header :regex "Subject" "cheap \"pills\"" { reject "no"; }"#)),
            ),
            ("^X-Spam:", "DISCARD", false, Ok(Some(r#"if exists "X-Spam" { discard; }"#))),
            (
                "^Received: from 10\\.",
                "IGNORE",
                false,
                Ok(Some(
                    r#"if header :regex "Received" "^from 10\\." { deleteheader :regex "Received" "^from 10\\."; }"#,
                )),
            ),
            ("x\\d", "REJECT", true, Ok(Some(r#"if body :raw :regex "x[0-9]" { reject "no"; }"#))),
            ("^x$", "REJECT", true, Err(OF_LINES)),
            ("^Subject: x", "WARN", false, Ok(None)),
            ("^Subject: x", "FILTER a:b", false, Err(NO_ACTION)),
            (
                "^Subject: (?!x)",
                "REJECT",
                false,
                Err("it looks ahead, looks behind, or has options within"),
            ),
        ] {
            let row = PatternRow {
                line: Line::default(),
                expression: expression.to_owned(),
                result: result.to_owned(),
                forms: expression::forms(expression),
            };
            assert_eq!(
                sieve(&row, is_body),
                want.map(|its| its.map(str::to_owned)),
                "{expression}"
            );
        }
    }
}
