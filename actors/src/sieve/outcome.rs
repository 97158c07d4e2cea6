//! The ways that a verdict makes of one. Pure.

use std::sync::Arc;

use mail_builder::headers::{Header, text::Text};
use relais_channels::mail::{Enhanced, Reply};
use relais_sieve::{HeaderEdit, Verdict};

use super::folder::{NoFolder, into_folder};
use crate::{
    directory::{FieldEdit, ListHeaders},
    forms::edited_message,
    router::{Route, Routes},
};

/// The ways in place of one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FiledWays {
    pub(super) ways: Vec<Route>,
    /// Addresses that the mail goes on to, and changes to the header of what goes there.
    pub(super) redirects: Vec<(String, Vec<FieldEdit>)>,
    pub(super) refused: Option<Reply>,
    /// Folders whose mail goes to the INBOX.
    pub(super) unfiled: Vec<(String, NoFolder)>,
}

/// The ways that a verdict makes of `way`, which was found for the address `to`.
pub(super) fn of(routes: &Routes, (way, to): (&Route, &str), verdict: &Verdict) -> FiledWays {
    let edits: Vec<FieldEdit> = verdict.header_edits.iter().map(field_edit).collect();
    let up_to = |count: usize| edits.get(..count).unwrap_or(&edits);
    let mut outcome = FiledWays::default();
    let inbox = || Route { scripts: None, ..way.clone() };
    if let Some(kept) = &verdict.keep {
        outcome.ways.push(with_edits(inbox(), up_to(kept.edits)));
    }
    for filed in &verdict.files {
        let found = into_folder(routes, way, &filed.folder).unwrap_or_else(|why| {
            outcome.unfiled.push((filed.folder.clone(), why));
            None
        });
        let way = with_edits(found.unwrap_or_else(inbox), up_to(filed.edits));
        if !outcome.ways.iter().any(|its| its.address == way.address) {
            outcome.ways.push(way);
        }
    }
    let redirects = verdict.redirects.iter();
    outcome.redirects = redirects.map(|its| (its.to.clone(), up_to(its.edits).to_vec())).collect();
    outcome.refused = verdict.refusal.as_ref().map(|refusal| refused(&refusal.reason));
    if verdict.vacation.is_some() {
        outcome.ways.extend(routes.answering(way, to));
    }
    outcome
}

/// The message as a copy has it that the first so many edits of a verdict change.
pub fn edited_copy(octets: &[u8], verdict: &Verdict, edits: usize) -> Vec<u8> {
    let edits: Vec<FieldEdit> = verdict.header_edits.iter().take(edits).map(field_edit).collect();
    edited_message(octets, &edits)
}

/// A way on which the header is changed.
pub(super) fn with_edits(way: Route, edits: &[FieldEdit]) -> Route {
    if edits.is_empty() {
        return way;
    }
    let mut headers = way.headers.as_deref().cloned().unwrap_or_default();
    headers.edits.extend_from_slice(edits);
    let headers: Option<Arc<ListHeaders>> = Some(Arc::new(headers));
    Route { headers, ..way }
}

fn field_edit(edit: &HeaderEdit) -> FieldEdit {
    match edit {
        HeaderEdit::Add { name, value, is_last } => {
            let line =
                if value.is_ascii() { format!("{name}: {value}") } else { encoded(name, value) };
            FieldEdit::Add { line: line.into(), is_last: *is_last }
        }
        HeaderEdit::Delete { name, occurrence } => {
            FieldEdit::Delete { name: name.as_str().into(), nth: *occurrence }
        }
    }
}

/// A field whose text is beyond ASCII, as RFC 2047 has it.
fn encoded(name: &str, value: &str) -> String {
    let mut line = format!("{name}: ").into_bytes();
    Text::new(value).write_header(&mut line, name.len() + 2);
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// The reply to a message that a script refuses (RFC 5429 section 2.1.2).
fn refused(reason: &str) -> Reply {
    let lines: Vec<&str> = reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = if lines.is_empty() { UNWANTED.to_owned() } else { lines.join(" ") };
    let plain = |c| if c == ' ' || char::is_ascii_graphic(&c) { c } else { '?' };
    Reply::with_text(550, Enhanced(5, 7, 1), text.chars().take(LONGEST).map(plain).collect())
}

const UNWANTED: &str = "the recipient does not want this message";
/// Characters of a reply's text.
const LONGEST: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_become_replies_and_edits_lines() {
        let rows = [
            ("go away", "go away"),
            ("go\r\naway\r\n", "go away"),
            ("  \r\n", UNWANTED),
            ("nein, dank\u{e9}", "nein, dank?"),
        ];
        for (reason, want) in rows {
            assert_eq!(refused(reason).to_string(), format!("550 5.7.1 {want}"), "{reason:?}");
        }
        let add = |value: &str| HeaderEdit::Add {
            name: "X-A".into(),
            value: value.into(),
            is_last: true,
        };
        let line = |edit| match field_edit(&edit) {
            FieldEdit::Add { line, .. } => line.into_string(),
            FieldEdit::Delete { .. } => unreachable!("it is added"),
        };
        assert_eq!(line(add("b")), "X-A: b");
        let other = line(add("gr\u{fc}n"));
        assert!(other.is_ascii() && other.starts_with("X-A: =?utf-8?"), "{other}");
    }
}
