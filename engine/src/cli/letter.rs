//! A message of a local program, made fit for a server: its lines, its recipients, the fields of the header
//! that it lacks (RFC 6409 section 8). Without a socket or a clock in sight.

use std::ops::Range;

use mail_parser::{Addr, HeaderName, MessageParser};
use relais_channels::mail::{Address, has_field, without_fields};
use relais_config::grammar::is_unprintable;

/// A message for a server.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Letter {
    /// Without angle brackets; empty: the null sender.
    pub(super) sender: String,
    /// At least one, each once.
    pub(super) recipients: Vec<String>,
    /// Lines ended by CRLF; a header and a blank line in front.
    pub(super) content: Vec<u8>,
}

/// A program's words about its message.
#[derive(Debug, Default)]
pub(super) struct LetterArguments {
    /// The sender of the envelope; else the user.
    pub(super) sender: Option<String>,
    /// The name in a `From` field that is made.
    pub(super) name: Option<String>,
    /// Recipients.
    pub(super) recipients: Vec<String>,
    /// Addresses of the header are recipients, too.
    pub(super) header_recipients: bool,
    /// A line with a dot alone ends the message.
    pub(super) dot_ends: bool,
}

/// The user who runs the program, where, and when.
#[derive(Debug)]
pub(super) struct Writer {
    /// The user's name.
    pub(super) user: String,
    /// The domain of addresses without one.
    pub(super) domain: String,
    /// As in a `Date` field.
    pub(super) date: String,
    /// A text that no other message has.
    pub(super) unique: String,
}

/// A message that no server can be asked to take. Whoever runs the program must act.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum LetterError {
    /// Nobody is to get it.
    #[error("no recipient: name one, or write To, Cc or Bcc into the header")]
    NoRecipient,
    /// An address that is none.
    #[error("{0:?} is no address")]
    NoAddress(String),
}

/// Makes it of what a program wrote.
pub(super) fn letter(
    raw: &[u8],
    said: &LetterArguments,
    writer: &Writer,
) -> Result<Letter, LetterError> {
    let text = lines(raw, said.dot_ends);
    let head = header_of(&text);
    let (header, body) = (&text[head.clone()], &text[head.end..]);
    let mut recipients: Vec<String> = Vec::new();
    let named = if said.header_recipients { addressees(header) } else { Vec::new() };
    for address in said.recipients.iter().chain(&named) {
        let address = mailbox(address, &writer.domain)?;
        if !recipients.contains(&address) {
            recipients.push(address);
        }
    }
    if recipients.is_empty() {
        return Err(LetterError::NoRecipient);
    }
    let sender = match said.sender.as_deref() {
        Some("" | "<>") => String::new(),
        Some(sender) => mailbox(sender, &writer.domain)?,
        None => mailbox(&writer.user, &writer.domain)?,
    };
    let mut content = fields_that_lack(header, &sender, said.name.as_deref(), writer);
    content.extend(without_fields(header, &["Bcc".into(), "Resent-Bcc".into()]));
    content.extend(b"\r\n");
    content.extend(body.strip_prefix(b"\r\n").unwrap_or(body));
    Ok(Letter { sender, recipients, content })
}

/// The same with CRLF at the end of each line, whatever stood there. A CR alone ends a line, too: no
/// server takes one.
fn lines(raw: &[u8], dot_ends: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len() + raw.len() / 32 + 2);
    let mut rest = raw;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'\r', b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        if dot_ends && line == b"." {
            break;
        }
        text.extend(line);
        text.extend(b"\r\n");
        rest = match end {
            Some(end) if rest[end..].starts_with(b"\r\n") => &rest[end + 2..],
            Some(end) => &rest[end + 1..],
            None => &[],
        };
    }
    text
}

/// Its header, without the blank line; empty where the first line is none of a header.
fn header_of(text: &[u8]) -> Range<usize> {
    let mut end = 0;
    while let Some(length) = memchr::memchr(b'\n', &text[end..]) {
        let line = &text[end..=end + length];
        let is_folded = end > 0 && matches!(line.first(), Some(b' ' | b'\t'));
        if !is_folded && !is_field(line) {
            break;
        }
        end += length + 1;
    }
    0..end
}

/// A name of printable ASCII and a colon (RFC 5322 section 2.2).
fn is_field(line: &[u8]) -> bool {
    let name = line.iter().position(|octet| *octet == b':').map_or(&[][..], |colon| &line[..colon]);
    !name.is_empty() && name.iter().all(|octet| (33..127).contains(octet))
}

/// Addresses of `To`, `Cc` and `Bcc`; of a message that is sent on, of their `Resent-` forms (RFC 5322
/// section 3.6.6).
fn addressees(header: &[u8]) -> Vec<String> {
    let Some(parsed) = MessageParser::default().parse_headers(header) else { return Vec::new() };
    let of = |names: [HeaderName<'static>; 3]| {
        let fields = parsed.headers().iter().filter(move |field| names.contains(&field.name));
        let lists = fields.filter_map(|field| field.value.as_address());
        lists.flat_map(|list| list.iter().filter_map(addressee))
    };
    let again = of([HeaderName::ResentTo, HeaderName::ResentCc, HeaderName::ResentBcc]);
    let again: Vec<_> = again.collect();
    if again.is_empty() {
        of([HeaderName::To, HeaderName::Cc, HeaderName::Bcc]).collect()
    } else {
        again
    }
}

/// A name without a domain is an address of this machine, and the parser takes it for a display name.
fn addressee(one: &Addr<'_>) -> Option<String> {
    one.address.as_deref().or(one.name.as_deref()).map(str::to_owned)
}

/// With a domain.
fn mailbox(text: &str, domain: &str) -> Result<String, LetterError> {
    let text = text.trim().trim_start_matches('<').trim_end_matches('>');
    let none = || LetterError::NoAddress(text.chars().take(200).collect());
    let address = Address::parse(text).map_err(|_| none())?;
    let whole = if address.domain().is_some() { Some(address) } else { address.completed(domain) };
    whole.map(|address| address.mailbox().to_owned()).ok_or_else(none)
}

fn fields_that_lack(header: &[u8], sender: &str, name: Option<&str>, writer: &Writer) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut lacks = |field: &str, value: String| {
        if !has_field(header, field) {
            fields.extend(format!("{field}: {value}\r\n").into_bytes());
        }
    };
    let Writer { user, domain, date, unique } = writer;
    lacks("Date", date.clone());
    lacks("Message-ID", format!("<{unique}@{domain}>"));
    let from = if sender.is_empty() { format!("{user}@{domain}") } else { sender.to_owned() };
    lacks("From", name.map_or_else(|| from.clone(), |name| format!("{} <{from}>", phrase(name))));
    fields
}

/// A display name; whatever is no atom stands in quotes, without characters that nobody sees.
fn phrase(name: &str) -> String {
    let plain: String = name.chars().filter(|letter| !is_unprintable(*letter)).collect();
    let is_atom =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~ ".contains(letter);
    if plain.chars().all(is_atom) {
        return plain;
    }
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        Writer {
            user: "ann".to_owned(),
            domain: "host.example".to_owned(),
            date: "Mon, 30 Nov 2026 12:00:00 +0000".to_owned(),
            unique: "1.2".to_owned(),
        }
    }

    fn made(raw: &str, said: &LetterArguments) -> Result<(String, String, String), LetterError> {
        let made = letter(raw.as_bytes(), said, &writer())?;
        let content = String::from_utf8(made.content).unwrap();
        Ok((made.sender, made.recipients.join(" "), content.replace("\r\n", "|")))
    }

    fn to(recipients: &str) -> LetterArguments {
        LetterArguments {
            recipients: recipients.split(' ').map(str::to_owned).collect(),
            ..LetterArguments::default()
        }
    }

    const MADE: &str = "Date: Mon, 30 Nov 2026 12:00:00 +0000|Message-ID: <1.2@host.example>|From: ann@host.example|";

    #[test]
    fn the_header_gets_what_it_lacks_and_lines_end_in_one_way() {
        let rows = [
            ("Subject: x\n\nbody\n", "Subject: x||body|"),
            ("Subject: x\r\n\r\nbody", "Subject: x||body|"),
            ("Subject: x\n folded\n\nb\n", "Subject: x| folded||b|"),
            ("Subject: x\n", "Subject: x||"),
            ("just words\n", "|just words|"),
            ("Subject: x\nno field\n", "Subject: x||no field|"),
            ("", "|"),
            ("Bcc: c@d.example\nSubject: x\n\nb\n", "Subject: x||b|"),
        ];
        for (raw, want) in rows {
            let (sender, recipients, content) = made(raw, &to("bob@b.example")).unwrap();
            assert_eq!(
                (sender.as_str(), recipients.as_str()),
                ("ann@host.example", "bob@b.example")
            );
            assert_eq!(content, format!("{MADE}{want}"), "{raw:?}");
        }
        let whole = "Date: d\nFrom: f@g.example\nMessage-Id: <m>\n\nb\n";
        assert_eq!(
            made(whole, &to("bob")).unwrap().2,
            "Date: d|From: f@g.example|Message-Id: <m>||b|"
        );
    }

    #[test]
    fn recipients_come_from_arguments_and_header() {
        let header = "To: A <a@x.example>, list: b@x.example, c@x.example;\nCc: d, a@x.example\nBcc: e@x.example\n\n";
        let said = LetterArguments { header_recipients: true, ..to("z@x.example") };
        let want = "z@x.example a@x.example b@x.example c@x.example d@host.example e@x.example";
        assert_eq!(made(header, &said).unwrap().1, want);
        let said = || LetterArguments { header_recipients: true, ..LetterArguments::default() };
        let again = format!("Resent-To: r@x.example\n{header}");
        assert_eq!(made(&again, &said()).unwrap().1, "r@x.example");
        assert_eq!(made("Subject: x\n\n", &said()), Err(LetterError::NoRecipient));
        assert_eq!(made(header, &to("a@@b")), Err(LetterError::NoAddress("a@@b".to_owned())));
    }

    #[test]
    fn a_dot_ends_a_message_only_where_that_is_said() {
        let raw = "Subject: x\n\none\n.\ntwo\n";
        let (.., whole) = made(raw, &to("bob")).unwrap();
        assert!(whole.ends_with("one|.|two|"), "{whole}");
        let (.., cut) = made(raw, &LetterArguments { dot_ends: true, ..to("bob") }).unwrap();
        assert!(cut.ends_with("||one|"), "{cut}");
    }

    #[test]
    fn the_sender_is_the_users_or_what_is_said() {
        let sender = |text: &str| LetterArguments { sender: Some(text.to_owned()), ..to("bob") };
        for (said, want) in
            [("<>", ""), ("", ""), ("x@y.example", "x@y.example"), ("x", "x@host.example")]
        {
            let (got, _, content) = made("\n", &sender(said)).unwrap();
            assert_eq!(got, want);
            let from = if want.is_empty() { "ann@host.example" } else { want };
            assert!(content.contains(&format!("From: {from}|")), "{content}");
        }
        let named = LetterArguments { name: Some("Ann \"X\" B.\n".to_owned()), ..to("bob") };
        assert!(
            made("\n", &named)
                .unwrap()
                .2
                .contains("From: \"Ann \\\"X\\\" B.\" <ann@host.example>|")
        );
    }
}
