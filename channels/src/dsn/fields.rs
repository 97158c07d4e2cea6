//! The part for programs: `message/delivery-status` (RFC 3464 section 2).

use mail_builder::headers::date::Date;
use relais_config::grammar::is_unprintable;

use super::{Kind, RecipientReport, Report};
use crate::mail::{Address, Enhanced, Reply, unitext};

/// The fields of the message, and behind a blank line those of each recipient. ASCII, unless it is
/// `international`: `message/global-delivery-status` (RFC 6533 section 4).
pub(super) fn delivery_status(report: &Report<'_>, international: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 * (1 + report.recipients.len()));
    put(&mut out, "Reporting-MTA", &format!("dns; {}", report.host));
    if let Some(id) = report.envelope_id {
        put(&mut out, "Original-Envelope-Id", id);
    }
    put(&mut out, "Arrival-Date", &date(report.arrival));
    if let Some(reason) = report.reason {
        // An extension field (RFC 3464 section 2.4).
        put(&mut out, "X-relais-Reason", reason);
    }
    for recipient in report.recipients {
        out.extend_from_slice(b"\r\n");
        put_recipient(&mut out, (report.kind, international), recipient);
    }
    out
}

/// As a header writes it (RFC 5322 section 3.3), in UTC.
pub(super) fn date(millis: u64) -> String {
    Date::from(millis / 1000).to_rfc822()
}

/// One reply on one line, whoever's words it holds.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// The same in any script.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if is_unprintable(c) { '?' } else { c }).collect()
}

fn put_recipient(
    out: &mut Vec<u8>,
    (kind, international): (Kind, bool),
    recipient: &RecipientReport<'_>,
) {
    let RecipientReport { original, address, reply, remote, last_attempt, retry_until } = recipient;
    if let Some(original) = original {
        let unicode = original.unicode().filter(|_| international);
        let address = unicode.as_deref().map_or(original.address.clone(), unitext::keep);
        let value = format!("{};{address}", original.address_type);
        put_text(out, "Original-Recipient", &value, international);
    }
    // A list may name a member otherwise, by the name of its entry in a directory.
    put_text(out, "Final-Recipient", &final_recipient(address, international), international);
    put(out, "Action", kind.action());
    put(out, "Status", &status(kind, *reply).to_string());
    if let Some(host) = remote {
        // A socket has a path and no name in DNS.
        let by = if host.starts_with('/') { "x-unix" } else { "dns" };
        put(out, "Remote-MTA", &format!("{by}; {host}"));
    }
    if let Some(Reply { code, enhanced, text }) = reply {
        let by = if remote.is_some() { "smtp" } else { "X-relais" };
        let enhanced = enhanced.map_or_else(String::new, |enhanced| format!("{enhanced} "));
        let value = format!("{by}; {code} {enhanced}{text}");
        put_text(out, "Diagnostic-Code", &value, international);
    }
    if let Some(at) = last_attempt {
        put(out, "Last-Attempt-Date", &date(*at));
    }
    if let Some(until) = retry_until
        && kind == Kind::Delayed
    {
        put(out, "Will-Retry-Until", &date(*until));
    }
}

/// A list may name a member otherwise than by an address: by the name of its entry in a directory.
fn final_recipient(address: &str, international: bool) -> String {
    match Address::parse(address) {
        Ok(_) if address.is_ascii() => format!("rfc822;{address}"),
        Ok(_) if international => format!("utf-8;{}", unitext::keep(address)),
        Ok(_) => format!("utf-8;{}", unitext::encode(address)),
        Err(_) => format!("X-relais;{address}"),
    }
}

/// The status of the kind, else that of the reply, and always of the class that the action has.
fn status(kind: Kind, reply: Option<&Reply>) -> Enhanced {
    let class = match kind {
        Kind::TimedOut => return Enhanced(4, 4, 7),
        Kind::Bounced => return Enhanced(5, 0, 0),
        Kind::Failed => 5,
        Kind::Delayed => 4,
        Kind::Delivered | Kind::Relayed | Kind::Expanded => 2,
    };
    let said = reply.and_then(|reply| reply.enhanced.or_else(|| from_code(reply.code)));
    said.filter(|enhanced| enhanced.0 == class).unwrap_or(Enhanced(class, 0, 0))
}

/// For peers without enhanced codes. Where RFC 5321 leaves a code to many causes, so does this.
fn from_code(code: u16) -> Option<Enhanced> {
    Some(match code {
        421 => Enhanced(4, 3, 2),
        450 => Enhanced(4, 2, 0),
        451 => Enhanced(4, 3, 0),
        452 => Enhanced(4, 3, 1),
        500 => Enhanced(5, 5, 2),
        501 | 504 | 555 => Enhanced(5, 5, 4),
        502 | 503 => Enhanced(5, 5, 1),
        551 => Enhanced(5, 1, 6),
        552 => Enhanced(5, 2, 2),
        553 => Enhanced(5, 1, 3),
        _ => return None,
    })
}

/// Writes one field: printable ASCII, a fold before whatever would reach beyond [`LINE`] and for
/// each LF. Runs of blanks become one; a word beyond [`WORD`] is cut.
fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    put_text(out, name, value, false);
}

/// The same; what is beyond ASCII stays where it may.
fn put_text(out: &mut Vec<u8>, name: &str, value: &str, international: bool) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    for (number, line) in value.lines().enumerate() {
        let line = if international { shown(line) } else { printable(line) };
        let words = line.split(' ').filter(|word| !word.is_empty());
        for (i, word) in words.flat_map(pieces).enumerate() {
            // The first word stays on the line of the name.
            let next_line = number > 0 && i == 0;
            if next_line || (number, i) != (0, 0) && column + 1 + word.len() > LINE {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(b' ');
            out.extend_from_slice(word.as_bytes());
            column += 1 + word.len();
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A word in pieces of whole characters, of [`WORD`] octets at most.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut ends = (0..=rest.len().min(WORD)).rev();
        let (piece, behind) = rest.split_at(ends.find(|at| rest.is_char_boundary(*at))?);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Octets of a line without its CRLF: what RFC 5322 section 2.1.1 recommends.
const LINE: usize = 78;
/// Octets. With the longest name, less than the 998 that RFC 5322 section 2.1.1 allows.
const WORD: usize = 900;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_folded_and_cannot_be_broken_out_of() {
        let words = ["abcdefghi"; 16].join(" ");
        let long = "x".repeat(2_000);
        let rows = [
            ("short", "A: short\r\n".to_owned()),
            ("", "A:\r\n".to_owned()),
            ("a\nb\n\nc", "A: a\r\n b\r\n c\r\n".to_owned()),
            ("a\r\n\r\nB: x", "A: a\r\n B: x\r\n".to_owned()),
            ("a\rb\0\u{e9}\t ", "A: a?b???\r\n".to_owned()),
            (
                &words,
                format!("A: {}\r\n {}\r\n {}\r\n", &words[..69], &words[70..149], &words[150..]),
            ),
            (&long, format!("A: {0}\r\n {0}\r\n {1}\r\n", &long[..900], &long[..200])),
        ];
        for (value, want) in rows {
            let mut out = Vec::new();
            put(&mut out, "A", value);
            let got = String::from_utf8(out).expect("ASCII");
            if value == words {
                assert!(got.lines().all(|line| line.len() <= LINE), "{got}");
                assert_eq!(got.replace("\r\n ", " "), format!("A: {words}\r\n"));
            } else {
                assert_eq!(got, want, "{value:?}");
            }
        }
    }

    #[test]
    fn words_beyond_ascii_are_cut_between_characters() {
        let word = format!("a{}", "ü".repeat(700));
        let mut out = Vec::new();
        put_text(&mut out, "A", &word, true);
        let got = String::from_utf8(out).expect("whole characters");
        assert!(got.lines().all(|line| line.len() <= 998), "{got}");
        assert_eq!(got.replace("\r\n ", ""), format!("A: {word}\r\n"));
    }

    #[test]
    fn a_status_has_the_class_of_its_action() {
        let with = |code, class| Reply::new(code, Enhanced(class, 1, 1), "");
        let rows = [
            (Kind::Failed, Some(with(550, 5)), "5.1.1"),
            (Kind::Failed, Some(Reply::plain(552, "")), "5.2.2"),
            (Kind::Failed, Some(Reply::plain(550, "")), "5.0.0"),
            (Kind::Failed, Some(Reply::plain(450, "")), "5.0.0"),
            (Kind::Failed, None, "5.0.0"),
            (Kind::TimedOut, Some(with(450, 4)), "4.4.7"),
            (Kind::Bounced, Some(with(450, 4)), "5.0.0"),
            (Kind::Delayed, Some(with(450, 4)), "4.1.1"),
            (Kind::Delayed, Some(Reply::plain(421, "")), "4.3.2"),
            (Kind::Delayed, None, "4.0.0"),
            (Kind::Delivered, Some(with(250, 2)), "2.1.1"),
            (Kind::Relayed, Some(Reply::plain(250, "")), "2.0.0"),
            (Kind::Expanded, None, "2.0.0"),
        ];
        for (kind, reply, want) in rows {
            assert_eq!(status(kind, reply.as_ref()).to_string(), want, "{kind:?} {reply:?}");
        }
    }
}
