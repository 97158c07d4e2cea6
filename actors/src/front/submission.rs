//! Message submission (RFC 6409 section 8): what a message of a user lacks is added, and what it says
//! of its author is checked.

use std::{io::Write, time::SystemTime};

use mail_parser::{HeaderName, MessageParser};
use relais_channels::mail::{Enhanced, MessageId, Reply};

use super::{authentication::Identity, received::put_date};

/// The lines of a header that a submission has to have.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Author {
    has_date: bool,
    has_message_id: bool,
    /// Addresses of `From:`.
    from: Vec<String>,
}

impl Author {
    /// Of a message, or its beginning.
    pub(super) fn of(message: &[u8]) -> Self {
        let Some(header) = MessageParser::new().parse_headers(message) else {
            return Self::default();
        };
        let addresses = header.from().into_iter().flat_map(mail_parser::Address::iter);
        Self {
            has_date: header.header_raw(HeaderName::Date).is_some(),
            has_message_id: header.header_raw(HeaderName::MessageId).is_some(),
            from: addresses.filter_map(|one| one.address().map(str::to_owned)).collect(),
        }
    }

    /// The lines that the message lacks.
    pub(super) fn missing(&self, id: MessageId, host: &str, now: SystemTime) -> Vec<u8> {
        let mut lines = Vec::new();
        if !self.has_date {
            lines.extend_from_slice(b"Date: ");
            put_date(&mut lines, now);
            lines.extend_from_slice(b"\r\n");
        }
        if !self.has_message_id {
            // Writing to a vector cannot fail.
            let _ = write!(lines, "Message-ID: <{id}@{host}>\r\n");
        }
        lines
    }

    /// Refuses a message in the name of somebody else.
    pub(super) fn check(&self, identity: &Identity) -> Result<(), Reply> {
        if self.from.iter().all(|address| identity.has(address)) { Ok(()) } else { Err(NOT_YOURS) }
    }
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
            ("Subject: x\r\n\r\nDate: y\r\n", true, true),
            ("DATE: x\r\n\r\n", false, true),
            ("Message-Id:\r\n <a@b>\r\n\r\n", true, false),
            ("date: x\r\nmessage-id: <a@b>\r\nX: y\r\n\r\n", false, false),
            ("", true, true),
        ];
        for (message, date, id) in rows {
            let lines = Author::of(message.as_bytes()).missing(MessageId(0), "h.test", UNIX_EPOCH);
            let want = [
                if date { "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n" } else { "" },
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
