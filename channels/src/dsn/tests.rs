//! Notices as their readers get them.

use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::{
    dsn::{Kind, RecipientReport},
    mail::{Enhanced, MessageId, OriginalRecipient, Reply},
};

const ARRIVAL: u64 = 1_000_000_000_000;
const MESSAGE: &[u8] = b"Received: from client.example\r\n\tby relay.example; x\r\n\
    Message-ID: <1.2@a.example>\r\nSubject: hello\r\n\r\n--=_\r\nbody\r\n.\r\n";

fn templates() -> Templates {
    Templates::load(None).expect("the built-in words")
}

fn report<'a>(kind: Kind, recipients: &'a [RecipientReport<'a>]) -> Report<'a> {
    Report {
        kind,
        id: MessageId(7 << 20),
        host: "relay.example",
        postmaster: "postmaster@relay.example",
        to: "alice@a.example",
        now: ARRIVAL + 90_000_000,
        message: MessageId(ARRIVAL << 20),
        arrival: ARRIVAL,
        envelope_id: None,
        recipients,
        returned: Returned::Full(MESSAGE),
        languages: &[],
    }
}

fn to(address: &str) -> RecipientReport<'_> {
    RecipientReport {
        original: None,
        address,
        reply: None,
        remote: None,
        last_attempt: None,
        retry_until: None,
    }
}

#[test]
fn show() {
    let reply = Reply::new(550, Enhanced(5, 1, 1), "no such user\nsee https://x.example/");
    let r = [RecipientReport {
        reply: Some(&reply),
        remote: Some("mx.b.example"),
        ..to("bob@b.example")
    }];
    let n = report(Kind::Failed, &r).compose(&templates());
    println!("{}", String::from_utf8_lossy(&n.content));
    let n = Report { languages: &["de"], ..report(Kind::Delayed, &r) }.compose(&templates());
    println!("{}", String::from_utf8_lossy(&n.content));
}
