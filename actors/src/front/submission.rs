//! Message submission (RFC 6409 section 8): what a message of a user lacks is added, and what it says
//! of its author is checked.

use std::{io::Write, time::SystemTime};

use mail_parser::{HeaderName, MessageParser};
use relais_channels::mail::{Enhanced, MessageId, Reply};

use super::{authentication::Identity, received::put_date};
use crate::forms::header_octets;

/// The lines of a header that a submission has to have.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Author {
    has_date: bool,
    has_message_id: bool,
    /// Addresses of each `From:`.
    from: Vec<Vec<String>>,
}

impl Author {
    /// Of a message with all of its header.
    pub(super) fn of(message: &[u8]) -> Self {
        let header = unfolded(message);
        let Some(header) = MessageParser::new().parse_headers(header.as_slice()) else {
            return Self::default();
        };
        let all = header.headers().iter();
        let from = all.filter(|field| field.name == HeaderName::From).map(|field| {
            let addresses = field.value.as_address().into_iter();
            let addresses = addresses.flat_map(mail_parser::Address::iter);
            addresses.filter_map(|one| one.address().map(str::to_owned)).collect()
        });
        Self {
            has_date: header.header_raw(HeaderName::Date).is_some(),
            has_message_id: header.header_raw(HeaderName::MessageId).is_some(),
            from: from.collect(),
        }
    }

    /// The lines that the message lacks. `author`: whom it is from when it does not say so.
    pub(super) fn missing(
        &self,
        id: MessageId,
        host: &str,
        author: &str,
        now: SystemTime,
    ) -> Vec<u8> {
        let mut lines = Vec::new();
        if !self.has_date {
            lines.extend_from_slice(b"Date: ");
            put_date(&mut lines, now);
            lines.extend_from_slice(b"\r\n");
        }
        // Writing to a vector cannot fail.
        if self.from.is_empty() && !author.is_empty() {
            let _ = write!(lines, "From: <{author}>\r\n");
        }
        if !self.has_message_id {
            let _ = write!(lines, "Message-ID: <{id}@{host}>\r\n");
        }
        lines
    }

    /// Refuses a message in the name of somebody else, or of nobody.
    pub(super) fn check(&self, identity: &Identity) -> Result<(), Reply> {
        let is_own = |field: &Vec<String>| {
            !field.is_empty() && field.iter().all(|address| identity.has(address))
        };
        if self.from.iter().all(is_own) { Ok(()) } else { Err(NOT_YOURS) }
    }
}

/// The header without lines of blanks alone: whoever reads it goes on behind them, and some parsers
/// do not.
fn unfolded(message: &[u8]) -> Vec<u8> {
    let end = header_octets(message, 0).map_or(message.len(), |octets| octets - b"\r\n".len());
    let lines = message[..end].split_inclusive(|c| *c == b'\n');
    let is_blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
    let mut header: Vec<u8> = lines.filter(|line| !is_blank(line)).flatten().copied().collect();
    header.extend_from_slice(b"\r\n");
    header
}

/// Refuses a sender that is somebody else; the null sender is nobody.
pub(super) fn check_sender(sender: &str, identity: &Identity) -> Result<(), Reply> {
    if sender.is_empty() || identity.has(sender) { Ok(()) } else { Err(SENDER_NOT_YOURS) }
}

const NOT_YOURS: Reply =
    Reply::new(550, Enhanced(5, 7, 1), "From: has an address that is not yours");
const SENDER_NOT_YOURS: Reply =
    Reply::new(553, Enhanced(5, 7, 1), "the sender's address is not yours");

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn what_is_missing_is_added_and_nothing_else() {
        let rows = [
            ("Subject: x\r\n\r\nDate: y\r\n", true, true, true),
            ("DATE: x\r\n\r\n", false, true, true),
            ("Message-Id:\r\n <a@b>\r\n\r\n", true, false, true),
            ("date: x\r\nmessage-id: <a@b>\r\nX: y\r\n\r\n", false, false, true),
            ("From: a@b\r\n\r\n", true, true, false),
            ("From: nobody\r\n\r\n", true, true, false),
            ("\r\nFrom: a@b\r\n", true, true, true),
            ("", true, true, true),
        ];
        for (message, date, id, from) in rows {
            let lines =
                Author::of(message.as_bytes()).missing(MessageId(0), "h.test", "a@b", UNIX_EPOCH);
            let want = [
                if date { "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n" } else { "" },
                if from { "From: <a@b>\r\n" } else { "" },
                if id { "Message-ID: <0000000000000@h.test>\r\n" } else { "" },
            ];
            assert_eq!(lines, want.concat().into_bytes(), "{message}");
        }
    }

    #[test]
    fn from_has_addresses_of_the_user_only() {
        let identity = Identity {
            user: "alice@a.test".into(),
            addresses: vec!["alice@a.test".to_owned(), "al@a.test".to_owned()].into(),
        };
        let rows = [
            ("From: alice@a.test", true),
            ("From: \"bob@a.test\" <Alice@A.test>", true),
            ("From: Alice <alice@a.test>, Al <al@a.test>", true),
            ("From: Alice <alice@a.test>, bob@a.test", false),
            ("From: bob@a.test", false),
            ("From: A:alice@a.test, bob@a.test;", false),
            ("From: =?utf-8?q?alice=40a.test?= <bob@a.test>", false),
            ("From: bob@a.test (alice@a.test)", false),
            ("From: alice@a.test\r\nFrom: bob@a.test", false),
            ("From: bob@a.test\r\nFrom: alice@a.test", false),
            ("From: alice@a.test\r\nFROM: alice@a.test", true),
            ("From: alice", false),
            ("From: =?utf-8?q?bob=40a.test?=", false),
            ("From: <alice>", false),
            ("From:", false),
            // Blank lines of a header end it in no reader's eyes.
            (" \r\nFrom: bob@a.test", false),
            ("\t\r\nFrom: bob@a.test", false),
            ("Subject: x\r\n \r\nFrom: bob@a.test", false),
            ("From: alice@a.test\r\n ,\r\n \r\n bob@a.test", false),
            ("From : bob@a.test", false),
            ("from\t: bob@a.test", false),
            ("Subject: nobody", true),
        ];
        for (line, want) in rows {
            let author = Author::of(format!("{line}\r\n\r\nx").as_bytes());
            assert_eq!(author.check(&identity).is_ok(), want, "{line}");
        }
        for (sender, want) in [("", true), ("Alice@a.test", true), ("bob@a.test", false)] {
            assert_eq!(check_sender(sender, &identity).is_ok(), want, "{sender}");
        }
    }
}
