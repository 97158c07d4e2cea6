//! Notices as their readers get them.

use std::sync::LazyLock;

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::{
    dsn::{Kind, RecipientReport},
    mail::{Enhanced, MessageId, OriginalRecipient, Reply},
};

const HOSTILE: &str =
    "\\PC{0,20}|[\\x00-\\x7f]{0,60}|[a-z]{2000}|(a\r\n){9}|\r\n\r\n--=_0000000070000";
const ARRIVAL: u64 = 1_000_000_000_000;
const HOUR: u64 = 3_600_000;
const MESSAGE: &[u8] = b"Received: from client.example\r\n\tby relay.example; x\r\n\
    Message-ID: <1.2@a.example>\r\nSubject: hello\r\n\r\n--=_\r\nbody\r\n.\r\n";

static TEMPLATES: LazyLock<Templates> =
    LazyLock::new(|| Templates::load(None).expect("the built-in words"));

/// About a message that came 25 hours ago.
fn report<'a>(kind: Kind, recipients: &'a [RecipientReport<'a>]) -> Report<'a> {
    Report {
        kind,
        id: MessageId(7 << 20),
        host: "relay.example",
        postmaster: "postmaster@relay.example",
        to: "alice@a.example",
        now: ARRIVAL + 25 * HOUR,
        message: MessageId(ARRIVAL << 20),
        arrival: ARRIVAL,
        envelope_id: None,
        reason: None,
        recipients,
        returned: Returned::Full(MESSAGE),
        omission: None,
        languages: &[],
    }
}

fn to<'a>(address: &'a str, reply: &'a Reply) -> RecipientReport<'a> {
    RecipientReport {
        original: None,
        address,
        reply: Some(reply),
        remote: None,
        last_attempt: Some(ARRIVAL + HOUR),
        retry_until: Some(ARRIVAL + 100 * HOUR),
    }
}

/// The octets of a part, as they stand in the notice.
fn part<'a>(notice: &'a Message<'_>, number: usize) -> &'a [u8] {
    let PartType::Multipart(parts) = &notice.parts[0].body else { panic!("no multipart") };
    let part = &notice.parts[parts[number] as usize];
    &notice.raw_message()[part.offset_body as usize..part.offset_end as usize]
}

fn status_of(notice: &Notice) -> String {
    let parsed = MessageParser::new().parse(&notice.content).expect("a message");
    String::from_utf8(part(&parsed, 1).to_vec()).expect("ASCII")
}

const LAST_ATTEMPT: &str = "Last-Attempt-Date: Sun, 9 Sep 2001 02:46:40 +0000";

/// Composes the notice for each recipient, and compares the fields of it.
fn assert_fields<'a>(rows: impl IntoIterator<Item = (&'a str, Kind, RecipientReport<'a>, String)>) {
    for (name, kind, recipient, want) in rows {
        let recipients = [recipient];
        let report = Report { envelope_id: Some("QQ+314"), ..report(kind, &recipients) };
        let want = format!(
            "Reporting-MTA: dns; relay.example\nOriginal-Envelope-Id: QQ+314\n\
             Arrival-Date: Sun, 9 Sep 2001 01:46:40 +0000\n\n{want}"
        );
        let got = status_of(&report.compose(&TEMPLATES));
        assert_eq!(got, want.replace('\n', "\r\n"), "{name}");
    }
}

fn by_mx(reply: &Reply) -> RecipientReport<'_> {
    RecipientReport { remote: Some("mx.b.example"), ..to("bob@b.example", reply) }
}

fn busy() -> Reply {
    Reply::new(451, Enhanced(4, 4, 1), "connect to mx.b.example: timed out")
}

#[test]
fn what_failed_in_the_words_of_rfc_3464() {
    let refused = Reply::new(550, Enhanced(5, 1, 1), "no such user here,\nsee https://b.example/");
    let full = Reply::plain(552, "mailbox full");
    let unknown = Reply::new(550, Enhanced(5, 1, 2), "no host b.example");
    let busy = busy();
    let original = OriginalRecipient { address_type: "rfc822".into(), address: "r+1@b.org".into() };
    let bob = |reply| to("bob@b.example", reply);
    assert_fields([
        (
            "refused at RCPT",
            Kind::Failed,
            RecipientReport { original: Some(&original), ..by_mx(&refused) },
            format!(
                "Original-Recipient: rfc822;r+1@b.org\nFinal-Recipient: rfc822;bob@b.example\n\
                 Action: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.b.example\nDiagnostic-Code: \
                 smtp; 550 5.1.1 no such user here,\n see https://b.example/\n{LAST_ATTEMPT}\n"
            ),
        ),
        (
            "refused after the data, without enhanced code",
            Kind::Failed,
            by_mx(&full),
            format!(
                "Final-Recipient: rfc822;bob@b.example\nAction: failed\nStatus: 5.2.2\n\
                 Remote-MTA: dns; mx.b.example\nDiagnostic-Code: smtp; 552 mailbox full\n{LAST_ATTEMPT}\n"
            ),
        ),
        (
            "host unknown",
            Kind::Failed,
            RecipientReport { last_attempt: None, ..bob(&unknown) },
            "Final-Recipient: rfc822;bob@b.example\nAction: failed\nStatus: 5.1.2\n\
             Diagnostic-Code: X-relais; 550 5.1.2 no host b.example\n"
                .to_owned(),
        ),
        (
            "timed out",
            Kind::TimedOut,
            bob(&busy),
            format!(
                "Final-Recipient: rfc822;bob@b.example\nAction: failed\nStatus: 4.4.7\n\
                 Diagnostic-Code: X-relais; 451 4.4.1 connect to mx.b.example: timed out\n{LAST_ATTEMPT}\n"
            ),
        ),
        (
            "returned by an operator",
            Kind::Bounced,
            RecipientReport { reply: None, last_attempt: None, ..bob(&busy) },
            "Final-Recipient: rfc822;bob@b.example\nAction: failed\nStatus: 5.0.0\n".to_owned(),
        ),
    ]);
}

#[test]
fn what_did_not_fail_in_the_words_of_rfc_3464() {
    let busy = busy();
    let taken = Reply::new(250, Enhanced(2, 1, 5), "bob OK");
    let bob = |reply| to("bob@b.example", reply);
    assert_fields([
        (
            "delayed",
            Kind::Delayed,
            bob(&busy),
            format!(
                "Final-Recipient: rfc822;bob@b.example\nAction: delayed\nStatus: 4.4.1\n\
                 Diagnostic-Code: X-relais; 451 4.4.1 connect to mx.b.example: timed out\n{LAST_ATTEMPT}\n\
                 Will-Retry-Until: Thu, 13 Sep 2001 05:46:40 +0000\n"
            ),
        ),
        (
            "delivered",
            Kind::Delivered,
            by_mx(&taken),
            format!(
                "Final-Recipient: rfc822;bob@b.example\nAction: delivered\nStatus: 2.1.5\n\
                 Remote-MTA: dns; mx.b.example\nDiagnostic-Code: smtp; 250 2.1.5 bob OK\n{LAST_ATTEMPT}\n"
            ),
        ),
        (
            "relayed over a socket",
            Kind::Relayed,
            RecipientReport { remote: Some("/run/lmtp"), ..bob(&taken) },
            format!(
                "Final-Recipient: rfc822;bob@b.example\nAction: relayed\nStatus: 2.1.5\n\
                 Remote-MTA: x-unix; /run/lmtp\nDiagnostic-Code: smtp; 250 2.1.5 bob OK\n{LAST_ATTEMPT}\n"
            ),
        ),
    ]);
}

#[test]
fn each_recipient_has_its_own_fields() {
    let (no, never) = (Reply::plain(550, "no"), Reply::new(554, Enhanced(5, 6, 0), "never"));
    let recipients = [to("a@b.example", &no), to("\"c d\"@b.example", &never)];
    let status = status_of(&report(Kind::Failed, &recipients).compose(&TEMPLATES));
    let groups: Vec<_> = status.split("\r\n\r\n").collect();
    assert_eq!(groups.len(), 3, "{status}");
    assert!(groups[0].starts_with("Reporting-MTA: ") && !status.contains("Envelope-Id"));
    assert!(groups[1].starts_with("Final-Recipient: rfc822;a@b.example\r\n"));
    assert!(groups[2].starts_with("Final-Recipient: rfc822;\"c d\"@b.example\r\n"));
    assert!(groups[2].contains("\r\nStatus: 5.6.0\r\n"));
}

#[test]
fn the_header_is_a_notices() {
    let no = Reply::plain(550, "no");
    let recipients = [to("bob@b.example", &no)];
    let notice = report(Kind::Failed, &recipients).compose(&TEMPLATES);
    let text = String::from_utf8(notice.content).expect("ASCII");
    let want = "From: \"Mail Delivery System\" <postmaster@relay.example>\r\n\
                To: <alice@a.example>\r\n\
                Subject: Delivery Notification: Delivery has failed\r\n\
                Date: Mon, 10 Sep 2001 02:46:40 +0000\r\n\
                Message-ID: <0000000070000@relay.example>\r\n\
                In-Reply-To: <1.2@a.example>\r\n\
                References: <1.2@a.example>\r\n\
                Auto-Submitted: auto-replied\r\n\
                MIME-Version: 1.0\r\n\
                Content-Type: multipart/report; report-type=\"delivery-status\";\r\n \
                boundary=\"=_0000000070000\"\r\n\
                Content-Transfer-Encoding: 7bit\r\n\r\n--=_0000000070000\r\n";
    assert!(text.starts_with(want), "{text}");
    assert!(text.ends_with("\r\n--=_0000000070000--\r\n"), "{text}");
}

#[test]
fn the_text_is_in_a_language_of_its_reader() {
    let busy = Reply::plain(450, "busy");
    let recipients = [RecipientReport { remote: Some("mx.b.example"), ..to("b@c.example", &busy) }];
    let rows: [(&[&str], &str, &str, &str); 5] = [
        (&[], "en", "Delivery Notification: Delivery has been delayed", "waiting for 1 d 1 h:"),
        (&["de-AT", "en"], "de", "Zustellbericht: Zustellung verzögert sich", "seit 1 d 1 h:"),
        (&["nl", "FR"], "fr", "Avis de remise : remise retardée", "attend depuis 1 d 1 h :"),
        (&["en", "de"], "en", "Delivery Notification: Delivery has been delayed", "It has been"),
        (&["x"], "en", "Delivery Notification: Delivery has been delayed", "It has been"),
    ];
    for (languages, want, subject, words) in rows {
        let report = Report { languages, ..report(Kind::Delayed, &recipients) };
        let notice = report.compose(&TEMPLATES);
        let parsed = MessageParser::new().parse(&notice.content).expect("a message");
        assert_eq!(parsed.subject(), Some(subject), "{languages:?}");
        assert_eq!(parsed.parts[1].content_language().as_text(), Some(want), "{languages:?}");
        let text = parsed.body_text(0).expect("a text");
        assert!(text.contains(words), "{languages:?}: {text}");
        assert!(text.contains("<b@c.example>\r\n    mx.b.example: 450 busy\r\n"), "{text}");
        assert!(text.contains("\r\nThu, 13 Sep 2001 05:46:40 +0000."), "{text}");
        assert!(text.contains("0T3AAA4000000") && text.contains("postmaster@relay.example"));
    }
}

#[test]
fn the_returned_part_is_the_message_octet_for_octet() {
    let eight_bit = "Subject: x\r\n\r\n\u{2713} \t \r\n\r\n.\r\nFrom x\r\n";
    let latin = b"Subject: x\r\n\r\n\xff\xfe\r\n";
    let boundary = b"Subject: x\r\n\r\n--=_0000000070000\r\n--=_0000000070000_--\r\n";
    let no_end = b"Subject: x\r\n\r\nno end";
    let no = Reply::plain(550, "no");
    let recipients = [to("b@c.example", &no)];
    for octets in [MESSAGE, eight_bit.as_bytes(), latin, boundary, no_end, b"\r\n"] {
        for full in [true, false] {
            let (octets, kind) = if full {
                (octets, "message/rfc822")
            } else {
                (header_block(octets), "text/rfc822-headers")
            };
            let returned = if full { Returned::Full(octets) } else { Returned::Headers(octets) };
            let report = Report { returned, ..report(Kind::Failed, &recipients) };
            let notice = report.compose(&TEMPLATES);
            let parsed = MessageParser::new().parse(&notice.content).expect("a message");
            assert_eq!(notice.eight_bit, !octets.is_ascii());
            let PartType::Multipart(parts) = &parsed.parts[0].body else { panic!("no multipart") };
            if octets.is_empty() {
                assert_eq!(parts.len(), 2, "nothing comes back");
                continue;
            }
            assert_eq!(part(&parsed, 2), octets, "{}", String::from_utf8_lossy(octets));
            let part = &parsed.parts[parts[2] as usize];
            let content_type = part.content_type().expect("a type");
            let subtype = content_type.subtype().unwrap_or_default();
            assert_eq!(format!("{}/{subtype}", content_type.ctype()), kind);
            let encoding = if notice.eight_bit { "8bit" } else { "7bit" };
            assert_eq!(part.content_transfer_encoding(), Some(encoding));
            assert_eq!(parsed.parts[0].content_transfer_encoding(), Some(encoding));
        }
    }
}

#[test]
fn no_notice_is_worse_than_what_any_server_takes_and_says_what_is_left_out() {
    let no = Reply::plain(550, "message has lines too long for transport");
    let recipients = [to("b@c.example", &no)];
    let x = |count| "x".repeat(count);
    let header = "Subject: x\r\nX: \u{e9}\r\n";
    let ascii = "Subject: x\r\nX: =?UTF-8?Q?=C3=A9?=\r\n";
    let body = format!("{header}\r\nfine\r\n{}\r\n", x(999));
    let fits = format!("{ascii}\r\n{}\r\n", x(998));
    let line = format!("Subject: x\r\nX: {}\r\n\r\nbody\r\n", x(3_000));
    let cut = format!("Subject: x\r\nX: {} [...]\r\n", x(897));
    let nul = format!("{header}\r\na\0b\r\n");
    let long = "since the message\r\nhas lines of more than 998 characters";
    let rows: [(&str, Option<Omission>, &str, Option<&str>); 5] = [
        (&body, None, ascii, Some(long)),
        (&nul, None, ascii, Some(long)),
        (&line, None, &cut, Some(long)),
        (&fits, None, &fits, None),
        (header, Some(Omission::Refused), "Subject: x\r\nX: ??\r\n", Some("what is in it")),
    ];
    for (content, omission, want, words) in rows {
        let full = Returned::Full(content.as_bytes());
        let returned = omission.map_or(full, |_| Returned::Headers(content.as_bytes()));
        let report = Report { returned, omission, ..report(Kind::Failed, &recipients) };
        let notice = report.compose(&TEMPLATES);
        assert!(is_safe(&notice.content), "{want}");
        let parsed = MessageParser::new().parse(&notice.content).expect("a message");
        assert_eq!(String::from_utf8_lossy(part(&parsed, 2)), want);
        let text = parsed.body_text(0).expect("a text");
        let says = text.contains("Only the header of your message comes back");
        assert_eq!(says, words.is_some(), "{text}");
        assert!(text.contains(words.unwrap_or_default()), "{text}");
    }
}

#[test]
fn a_sender_that_cannot_stand_in_a_header_does_not() {
    let no = Reply::plain(550, "no");
    let recipients = [to("b@c.example", &no)];
    let long = format!("{}@a.example", "x".repeat(980));
    let rows = [
        ("alice@a.example", "<alice@a.example>"),
        ("\"a>, b <\"@a.example", "<\"a>, b <\"@a.example>"),
        ("@relay.example:alice@a.example", "<alice@a.example>"),
        ("", "\"undisclosed-recipients\":;"),
        ("a@b>\r\nBcc: <c@d", "\"undisclosed-recipients\":;"),
        (&long, "\"undisclosed-recipients\":;"),
    ];
    for (sender, want) in rows {
        let report = Report { to: sender, ..report(Kind::Failed, &recipients) };
        let content = report.compose(&TEMPLATES).content;
        let text = String::from_utf8(content).expect("ASCII");
        assert!(text.contains(&format!("\r\nTo: {want}\r\nSubject: ")), "{sender}: {text}");
    }
}

#[test]
fn an_age_is_told_in_two_units() {
    let rows = [
        (59_999, "0 min"),
        (59 * 60_000, "59 min"),
        (4 * HOUR, "4 h"),
        (4 * HOUR + 60_000, "4 h 1 min"),
        (72 * HOUR, "3 d"),
        (100 * HOUR + 60_000, "4 d 4 h"),
    ];
    for (millis, want) in rows {
        assert_eq!(age(millis), want);
    }
}

proptest! {
    #[test]
    fn whatever_strangers_write_the_notice_stays_one(
        words in prop::array::uniform6(HOSTILE),
        code in 0u16..1000,
        content in prop::collection::vec(any::<u8>(), 0..200),
        times in any::<[u64; 3]>(),
    ) {
        let [sender, address, text, host, id, address_type] = &words;
        let original =
            OriginalRecipient { address_type: address_type.clone(), address: address.clone() };
        let reply = Reply::plain(code, text.clone());
        let recipient = RecipientReport {
            original: Some(&original),
            address,
            reply: Some(&reply),
            remote: Some(host),
            last_attempt: Some(times[0]),
            retry_until: Some(times[1]),
        };
        let recipients = [recipient, recipient];
        let header = [b"Message-ID: <".as_slice(), id.as_bytes(), b">\r\n\r\n", &content].concat();
        for (kind, language) in Kind::ALL.into_iter().zip(["en", "de", "fr"].into_iter().cycle()) {
            let report = Report {
                host,
                to: sender,
                postmaster: sender,
                now: times[2],
                envelope_id: Some(id),
                reason: None,
                returned: Returned::Full(&header),
                languages: &[language],
                ..report(kind, &recipients)
            };
            let Notice { content, smtputf8, .. } = report.compose(&TEMPLATES);
            let parsed = MessageParser::new().parse(&content).expect("a message");
            let mut names: Vec<_> = parsed.headers().iter().map(|h| h.name().to_owned()).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), all);
            prop_assert!((9..=11).contains(&all), "{:?}", names);
            let PartType::Multipart(parts) = &parsed.parts[0].body else { panic!("no multipart") };
            prop_assert_eq!(parts.len(), 3);
            let part = part(&parsed, 2);
            if is_safe(&header) && (smtputf8 || header.is_ascii()) {
                prop_assert_eq!(part, &*with_line_ends(&header));
            } else if is_safe(&header) {
                let lines = part.split_inclusive(|c| *c == b'\n');
                let mut header = lines.take_while(|line| !line.trim_ascii().is_empty());
                prop_assert!(header.all(<[u8]>::is_ascii));
            }
            prop_assert!(is_safe(&content));
            let ours = &content[..parsed.parts[parts[2] as usize].offset_body as usize];
            let fits = |c: &u8| matches!(c, b'\r' | b'\n' | b' '..=b'~') || smtputf8 && !c.is_ascii();
            prop_assert!(ours.iter().all(fits));
            prop_assert!(std::str::from_utf8(ours).is_ok());
            prop_assert!(matches!(with_line_ends(&content), std::borrow::Cow::Borrowed(_)));
            let status = status_of(&Notice { content, eight_bit: false, smtputf8: false });
            prop_assert_eq!(status.split("\r\n\r\n").count(), 3, "{}", status);
            prop_assert_eq!(status.matches("\nStatus: ").count(), 2);
        }
    }
}

#[test]
fn readers_beyond_ascii_get_global_notices_and_others_encoded_addresses() {
    let original = OriginalRecipient::parse("utf-8;j\\x{F6}rg@x.example".as_bytes());
    let reply = Reply::with_text(550, Enhanced(5, 1, 1), "no gr\u{fc}\u{df}e here".to_owned());
    let to = RecipientReport {
        original: original.as_ref(),
        address: "gr\u{fc}\u{df}e@\u{fc}.example",
        reply: Some(&reply),
        remote: None,
        last_attempt: None,
        retry_until: None,
    };
    let recipients = [to];
    let encoded = "Original-Recipient: utf-8;j\\x{F6}rg@x.example\r\n\
                   Final-Recipient: utf-8;gr\\x{FC}\\x{DF}e@\\x{FC}.example\r\n";
    let plain = "Original-Recipient: utf-8;j\u{f6}rg@x.example\r\n\
                 Final-Recipient: utf-8;gr\u{fc}\u{df}e@\u{fc}.example\r\n";
    // the reader, what comes back, parts, fields
    let all = Returned::Full(b"Subject: x\r\n\r\nx\r\n");
    let header = Returned::Headers(b"Subject: x\r\n");
    let (status, global) = ("message/delivery-status", "message/global-delivery-status");
    let rows = [
        ("ann@a.example", all, [status, "message/rfc822"], encoded),
        ("ann@a.example", header, [status, "text/rfc822-headers"], encoded),
        ("j\u{f6}rg@a.example", all, [global, "message/global"], plain),
        ("ann@\u{fc}.example", header, [global, "message/global-headers"], plain),
    ];
    for (reader, returned, types, fields) in rows {
        let report = Report { to: reader, returned, ..report(Kind::Failed, &recipients) };
        let notice = report.compose(&TEMPLATES);
        assert_eq!((notice.smtputf8, notice.eight_bit), (!reader.is_ascii(), !reader.is_ascii()));
        let text = String::from_utf8(notice.content).expect("UTF-8");
        assert_eq!(text.is_ascii(), reader.is_ascii());
        assert!(text.contains(&format!("\r\nTo: <{reader}>\r\n")), "{text}");
        for kind in types {
            assert!(text.contains(&format!("\r\nContent-Type: {kind}\r\n")), "{kind}: {text}");
        }
        assert!(text.contains(fields), "{text}");
        let said = if reader.is_ascii() { "no gr??e here" } else { "no gr\u{fc}\u{df}e here" };
        assert!(
            text.contains(&format!("Diagnostic-Code: X-relais; 550 5.1.1 {said}\r\n")),
            "{text}"
        );
    }
}

#[test]
fn readers_in_ascii_get_back_headers_in_ascii() {
    let message = |subject: &str, kind: &str, name: &str, boundary: &str| {
        format!(
            "Subject: {subject}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n\
             Content-Type: {kind}\r\n\r\nSubject: {subject}\r\n\r\nbody \u{fc}\r\n--{boundary}\r\n\
             Content-Disposition: attachment; {name}\r\n\r\n\u{f6}\r\n--{boundary}--\r\n"
        )
    };
    let (filename, parameter) = ("filename=\"\u{fc}\"", "filename*=UTF-8''%C3%BC");
    let code = "=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=";
    let before = message("Gr\u{fc}\u{df}e", "message/global", filename, "b");
    let after = message(code, "message/rfc822", parameter, "b");
    let odd = message("x", "message/rfc822", "filename=x", "\u{fc}");
    let odd_header = "Subject: x\r\nMIME-Version: 1.0\r\n\
                      Content-Type: multipart/mixed; boundary*=UTF-8''%C3%BC\r\n";
    let cannot = "has characters outside ASCII";
    let header = |content: &'static str| Returned::Headers(content.as_bytes());
    let no = Reply::plain(550, "no");
    let recipients = [to("b@c.example", &no)];
    // the reader, what comes back, how, whether it is without content
    let rows = [
        ("ann@a.example", Returned::Full(before.as_bytes()), &*after, false),
        ("j\u{f6}rg@a.example", Returned::Full(before.as_bytes()), &before, false),
        ("ann@a.example", Returned::Full(odd.as_bytes()), odd_header, true),
        ("j\u{f6}rg@a.example", Returned::Full(odd.as_bytes()), &odd, false),
        ("ann@a.example", header("Subject: \u{fc}\r\n"), "Subject: =?UTF-8?Q?=C3=BC?=\r\n", false),
        ("j\u{f6}rg@a.example", header("Subject: \u{fc}\r\n"), "Subject: \u{fc}\r\n", false),
    ];
    for (reader, returned, want, is_without) in rows {
        let report = Report { to: reader, returned, ..report(Kind::Failed, &recipients) };
        let notice = report.compose(&TEMPLATES);
        assert_eq!(notice.smtputf8, !reader.is_ascii());
        assert_eq!(notice.eight_bit, !want.is_ascii() || notice.smtputf8);
        let text = String::from_utf8(notice.content).expect("UTF-8");
        assert!(text.contains(&format!("\r\n\r\n{want}")), "{reader}: {text}");
        assert_eq!(text.contains(cannot), is_without, "{text}");
        assert_eq!(
            text.contains("\r\nContent-Type: text/rfc822-headers\r\n"),
            is_without || matches!(returned, Returned::Headers(_)) && reader.is_ascii()
        );
    }
}
