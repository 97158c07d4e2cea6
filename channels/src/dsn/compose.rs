//! From a report to a message.

use std::{borrow::Cow, fmt::Write};

use mail_builder::{
    MessageBuilder,
    headers::{
        address::Address as Mailbox, content_type::ContentType, date::Date, raw::Raw, text::Text,
    },
    mime::MimePart,
};
use memchr::memmem;

use super::{
    Notice, Omission, Report, Returned, Templates,
    fields::{date, delivery_status, printable, shown},
    returned::{header_block, is_safe, message_id_of, quotable, with_line_ends},
    words::{Word, Words},
};
use crate::{
    mail::Address,
    mime::{ascii_header, with_ascii_headers},
};

impl Report<'_> {
    /// Makes the notice, in the first of the reader's languages that there are words for.
    pub fn compose(&self, templates: &Templates) -> Notice {
        let Returned::Full(octets) = self.returned else { return self.written(templates) };
        match self.whole(octets) {
            Ok(whole) => Report { returned: Returned::Full(&whole), ..*self }.written(templates),
            Err(omission) => {
                let returned = Returned::Headers(header_block(octets));
                Self { returned, omission: Some(omission), ..*self }.written(templates)
            }
        }
    }

    /// The message as it may be sent to this reader.
    fn whole<'o>(&self, octets: &'o [u8]) -> Result<Cow<'o, [u8]>, Omission> {
        let whole = with_line_ends(octets);
        if !is_safe(&whole) {
            return Err(Omission::LongLines);
        }
        if self.is_international() || whole.is_ascii() {
            return Ok(whole);
        }
        let ascii = match whole {
            Cow::Borrowed(octets) => with_ascii_headers(octets),
            Cow::Owned(octets) => with_ascii_headers(&octets).map(|it| it.into_owned().into()),
        };
        ascii.map_err(|_| Omission::Unconvertible)
    }

    /// The header as it may be sent to this reader.
    fn quoted<'o>(&self, header: &'o [u8]) -> Cow<'o, [u8]> {
        let refused = self.omission == Some(Omission::Refused);
        if self.is_international() || refused || header.is_ascii() {
            return quotable(header, refused);
        }
        quotable(&ascii_header(&with_line_ends(header)), false).into_owned().into()
    }

    fn written(&self, templates: &Templates) -> Notice {
        let words = templates.words(self.languages);
        let text = self.text(words);
        let international = self.is_international();
        let status = delivery_status(self, international);
        let returned = match self.returned {
            Returned::Full(octets) => Cow::Borrowed(octets),
            Returned::Headers(octets) => self.quoted(octets),
        };
        let eight_bit = !returned.is_ascii() || !status.is_ascii();
        let boundary = self.boundary(&[text.as_bytes(), &status, &returned]);

        let mut parts = vec![
            MimePart::new("text/plain", text).language(words.language.as_str()),
            if international {
                let encoding = if status.is_ascii() { "7bit" } else { "8bit" };
                MimePart::new("message/global-delivery-status", status).transfer_encoding(encoding)
            } else {
                MimePart::new("message/delivery-status", status).transfer_encoding("7bit")
            },
        ];
        // A message inside a message stands as it is: base64 is for neither (RFC 2046 section
        // 5.2.1, RFC 6522 section 4).
        let encoding = if eight_bit { "8bit" } else { "7bit" };
        if !returned.is_empty() {
            let content_type = match self.returned {
                Returned::Full(_) if international => "message/global",
                Returned::Full(_) => "message/rfc822",
                Returned::Headers(_) if international => "message/global-headers",
                Returned::Headers(_) => "text/rfc822-headers",
            };
            let part = MimePart::new(ContentType::new(content_type), returned.as_ref());
            parts.push(part.transfer_encoding(encoding));
        }
        let content_type = ContentType::new("multipart/report")
            .attribute("report-type", "delivery-status")
            .attribute("boundary", boundary);
        let body = MimePart::new(content_type, parts).transfer_encoding(encoding);

        let mut content = Vec::new();
        self.header(words).body(body).serialize(&mut content);
        Notice { content, eight_bit: eight_bit || international, smtputf8: international }
    }

    /// Whether the reader has an address beyond ASCII, and reads what is (RFC 6533).
    fn is_international(&self) -> bool {
        !self.to.is_ascii() && Address::parse(self.to).is_ok()
    }

    fn header(&self, words: &Words) -> MessageBuilder<'_> {
        let header = header_block(self.returned.octets());
        let subject = words.news(self.kind).subject.clone().unwrap_or_default();
        let builder = MessageBuilder::new()
            .from(mailbox(Some(FROM), self.postmaster))
            .to(mailbox(None, self.to))
            .subject(Text::new(subject))
            .date(Date::from(self.now / 1000))
            .message_id(format!("{}@{}", self.id, domain(self.host)));
        // An answer refers to the message it answers (RFC 5322 section 3.6.4).
        let builder = match message_id_of(header) {
            Some(id) => builder.in_reply_to(id).references(id),
            None => builder,
        };
        // RFC 3834 section 5: nobody answers this.
        builder.header("Auto-Submitted", Raw::new("auto-replied"))
    }

    fn text(&self, words: &Words) -> String {
        let mut text = String::new();
        let omission = self.omission.map(|omission| words.omission(omission));
        let news = [words.prefix(), words.news(self.kind)].into_iter().chain(omission);
        for template in news.chain([words.suffix()]) {
            template.render(&mut text, |word| self.filled(word));
        }
        text.lines().flat_map(|line| [line.trim_end(), "\r\n"]).collect()
    }

    fn filled(&self, word: Word) -> String {
        match word {
            Word::Recipients => self.recipient_list(),
            Word::Sender => shown(self.to),
            Word::Host => printable(self.host),
            Word::Postmaster => shown(self.postmaster),
            Word::Id => self.message.to_string(),
            Word::Arrival => date(self.arrival),
            Word::Age => age(self.now.saturating_sub(self.arrival)),
            Word::Until => {
                let until = self.recipients.iter().filter_map(|to| to.retry_until).max();
                until.map_or_else(|| "-".to_owned(), date)
            }
        }
    }

    /// Each recipient on a line, the last reply below it.
    fn recipient_list(&self) -> String {
        let mut list = String::new();
        for to in self.recipients {
            // Writing to a string does not fail.
            let _ = writeln!(list, "  <{}>", shown(to.address));
            let Some(reply) = to.reply else { continue };
            let reply = shown(&reply.to_string());
            let _ = match to.remote {
                Some(host) => writeln!(list, "    {}: {reply}", printable(host)),
                None => writeln!(list, "    {reply}"),
            };
        }
        if let Some(reason) = self.reason {
            let _ = writeln!(list, "\n  {}", plain(reason));
        }
        list
    }

    /// A line that none of the parts holds.
    fn boundary(&self, parts: &[&[u8]]) -> String {
        let mut boundary = format!("=_{}", self.id);
        // Each turn makes it longer than the one before, so it ends.
        while parts.iter().any(|part| memmem::find(part, boundary.as_bytes()).is_some()) {
            boundary.push('_');
        }
        boundary
    }
}

/// An address for the header. One that cannot stand there becomes an empty group, which is what
/// RFC 5322 has for "somebody".
fn mailbox<'a>(name: Option<&'a str>, address: &str) -> Mailbox<'a> {
    let address = Address::parse(address).ok();
    match address.as_ref().map(Address::written_mailbox) {
        Some(mailbox) if mailbox.len() <= MAX_MAILBOX => {
            Mailbox::new_address(name, mailbox.to_owned())
        }
        _ => Mailbox::new_group(Some(name.unwrap_or(NOBODY)), Vec::new()),
    }
}

/// One line in any script, whatever an operator's terminal made of it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Right of the `@` in a Message-ID.
fn domain(host: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    host.chars().take(MAX_DOMAIN).map(|c| if plain(c) { c } else { '-' }).collect()
}

/// In the two largest units; the symbols are the same in all languages.
fn age(millis: u64) -> String {
    let minutes = millis / 60_000;
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    let (first, second) = match (days, hours) {
        (0, 0) => return format!("{minutes} min"),
        (0, _) => ((hours, "h"), (minutes, "min")),
        _ => ((days, "d"), (hours, "h")),
    };
    let amount = |(number, unit)| format!("{number} {unit}");
    if second.0 == 0 { amount(first) } else { format!("{} {}", amount(first), amount(second)) }
}

/// The sender as people see it; programs know a notice by other signs.
const FROM: &str = "Mail Delivery System";
const NOBODY: &str = "undisclosed-recipients";
/// Octets. A header line holds 998 (RFC 5322 section 2.1.1).
const MAX_MAILBOX: usize = 900;
/// Octets (RFC 5321 section 4.5.3.1.2).
const MAX_DOMAIN: usize = 255;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
