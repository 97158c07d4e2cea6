//! Vacation: RFC 5230.

use super::{delivery::RunErrorKind, state::State};
use crate::{address, message::Field, program::Vacation, verdict::VacationReply};

/// The outcome of `vacation`.
pub(super) enum Answer {
    Reply(VacationReply),
    /// No reply, and why.
    None(&'static str),
}

/// Fields that name recipients: RFC 5230 4.5.
const RECIPIENTS: [&str; 6] = ["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"];

/// Octets of a subject.
const SUBJECT: usize = 900;

impl State<'_, '_> {
    pub(super) fn answer(&mut self, vacation: &Vacation) -> Result<Answer, RunErrorKind> {
        let addresses = self.expand_all(&vacation.addresses)?;
        for _ in 0..8 {
            self.look_through_fields()?;
        }
        for name in RECIPIENTS {
            self.read_addresses(name)?;
        }
        if let Some(reason) = self.no_reply(&addresses) {
            return Ok(Answer::None(reason));
        }
        let reason = self.expand(&vacation.reason)?.into_owned();
        let from = match &vacation.from {
            None => None,
            Some(from) => {
                let from = self.expand(from)?.into_owned();
                let what = "address with a domain";
                let Some(address) = address::only_address(&from) else {
                    return Err(RunErrorKind::Value { value: from, what });
                };
                Some(address)
            }
        };
        let subject = if let Some(subject) = &vacation.subject {
            self.expand(subject)?.into_owned()
        } else {
            let subject = self.first("subject").map(|field| field.value().text());
            subject.map_or_else(|| "Automated reply".to_owned(), |it| format!("Auto: {it}"))
        };
        let subject = one_line(&subject, SUBJECT);
        let handle = if let Some(handle) = &vacation.handle {
            self.expand(handle)?.into_owned()
        } else {
            // The same arguments make the same reply: RFC 5230 4.2.
            let subject = vacation.subject.as_ref().map_or("", |_| subject.as_str());
            let from = from.as_deref().unwrap_or("");
            format!("{subject}\n{from}\n{}\n{reason}", vacation.is_mime)
        };
        let (is_mime, seconds) = (vacation.is_mime, vacation.seconds);
        let reply = VacationReply { subject, from, reason, is_mime, seconds, handle };
        Ok(Answer::Reply(reply))
    }

    /// Why the message gets no reply.
    fn no_reply(&self, addresses: &[std::borrow::Cow<'_, str>]) -> Option<&'static str> {
        let delivery = &self.delivery;
        if delivery.from.is_empty() {
            return Some("the reverse path is empty");
        }
        let local = delivery.from.rsplit_once('@').map_or(delivery.from, |(local, _)| local);
        let local = local.to_ascii_lowercase();
        let is_system = ["mailer-daemon", "listserv", "majordomo"].contains(&local.as_str())
            || local.starts_with("owner-")
            || local.ends_with("-request");
        if is_system {
            return Some("the sender is a program");
        }
        let own: Vec<&str> = std::iter::once(delivery.to)
            .chain(delivery.own_addresses.iter().copied())
            .chain(addresses.iter().map(|it| &**it))
            .collect();
        let is_own = |address: &str| own.iter().any(|it| it.eq_ignore_ascii_case(address));
        if is_own(delivery.from) {
            return Some("the sender is the recipient");
        }
        if self.fields().iter().any(|field| starts_with(&field.name, "list-")) {
            return Some("the message came by a list");
        }
        if let Some(field) = self.first("auto-submitted") {
            let value = field.value().text().split([';', ' ']).next().unwrap_or("").trim();
            if !value.eq_ignore_ascii_case("no") {
                return Some("the message was made by a program");
            }
        }
        if let Some(field) = self.first("precedence") {
            let value = field.value().text();
            if ["junk", "bulk", "list"].iter().any(|it| value.eq_ignore_ascii_case(it)) {
                return Some("the message is bulk mail");
            }
        }
        let named = |field: &&Field<'_>| {
            RECIPIENTS.iter().any(|name| field.name.eq_ignore_ascii_case(name))
        };
        let mut mailboxes = self.fields().iter().filter(named).flat_map(Field::mailboxes);
        if !mailboxes.any(|mailbox| is_own(mailbox.all.text())) {
            return Some("the message names no address of the recipient");
        }
        None
    }

    fn first(&self, name: &str) -> Option<&Field<'_>> {
        self.fields().iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix))
}

/// A text in one line without control characters, cut to so many octets.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        // CRLF is one blank.
        if c == ' ' && line.ends_with(' ') {
            continue;
        }
        if line.len() + c.len_utf8() > most {
            break;
        }
        line.push(c);
    }
    line.trim_end().to_owned()
}
