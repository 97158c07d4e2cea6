//! Notices read by a program that is not ours: Python's `email`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use relais_channels::{
    dsn::{Kind, Notice, RecipientReport, Report, Returned, Templates},
    mail::{Enhanced, MessageId, OriginalRecipient, Reply},
};
use serde_json::{Value, json};

fn read_by_python(notice: &Notice) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/notice.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(&notice.content).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const RETURNED: &str = "Message-ID: <1@a.example>\r\nSubject: =?utf-8?q?f=C3=BCr?= dich\r\n\
                   MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                   Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--=_\r\n";

/// About a message that failed for all of its recipients.
fn report<'a>(recipients: &'a [RecipientReport<'a>]) -> Report<'a> {
    Report {
        kind: Kind::Failed,
        id: MessageId(7 << 20),
        host: "relay.example",
        postmaster: "postmaster@relay.example",
        to: "\"alice a\"@a.example",
        now: 1_000_090_000_000,
        message: MessageId(3 << 20),
        arrival: 1_000_000_000_000,
        envelope_id: Some("QQ+314159"),
        reason: None,
        recipients,
        returned: Returned::Full(RETURNED.as_bytes()),
        omission: None,
        languages: &["de"],
    }
}

#[test]
fn a_notice_in_another_languages_eyes() {
    let refused = Reply::new(550, Enhanced(5, 1, 1), "no such user,\nsee https://b.example/");
    let over = Reply::plain(552, "x".repeat(2_000));
    let original = OriginalRecipient { address_type: "rfc822".into(), address: "r@b.org".into() };
    let bob = RecipientReport {
        original: Some(&original),
        address: "bob@b.example",
        reply: Some(&refused),
        remote: Some("mx.b.example"),
        last_attempt: Some(1_000_003_600_000),
        retry_until: None,
    };
    let eve =
        RecipientReport { original: None, address: "eve@b.example", reply: Some(&over), ..bob };
    let templates = Templates::load(None).expect("the built-in words");
    let found = read_by_python(&report(&[bob, eve]).compose(&templates));
    assert_eq!(found["defects"], json!([]), "{found}");
    assert_eq!(found["type"], "multipart/report; delivery-status");
    assert_eq!(found["from"], "Mail Delivery System <postmaster@relay.example>");
    assert_eq!(found["to"], "\"alice a\"@a.example");
    assert_eq!(found["subject"], "Zustellbericht: Nachricht konnte nicht zugestellt werden");
    assert_eq!(found["language"], "de");
    let text = found["text"].as_str().expect("a text");
    let want = "<bob@b.example>\n    mx.b.example: 550 5.1.1 no such user, see https://b.example/";
    assert!(text.contains(want) && text.contains("Empfängern"), "{text}");
    assert_eq!(found["cte"], json!(["8bit", "quoted-printable", "7bit", "8bit"]));
    assert_eq!(found["returned"], json!(["message/rfc822", "für dich", "Grüße\n--=_\n"]));
    let cut = format!("{0} {0} {1}", "x".repeat(900), "x".repeat(200));
    assert_eq!(
        found["fields"],
        json!([
            [
                ["Reporting-MTA", "dns; relay.example"],
                ["Original-Envelope-Id", "QQ+314159"],
                ["Arrival-Date", "Sun, 9 Sep 2001 01:46:40 +0000"],
            ],
            [
                ["Original-Recipient", "rfc822;r@b.org"],
                ["Final-Recipient", "rfc822;bob@b.example"],
                ["Action", "failed"],
                ["Status", "5.1.1"],
                ["Remote-MTA", "dns; mx.b.example"],
                ["Diagnostic-Code", "smtp; 550 5.1.1 no such user, see https://b.example/"],
                ["Last-Attempt-Date", "Sun, 9 Sep 2001 02:46:40 +0000"],
            ],
            [
                ["Final-Recipient", "rfc822;eve@b.example"],
                ["Action", "failed"],
                ["Status", "5.2.2"],
                ["Remote-MTA", "dns; mx.b.example"],
                ["Diagnostic-Code", format!("smtp; 552 {cut}")],
                ["Last-Attempt-Date", "Sun, 9 Sep 2001 02:46:40 +0000"],
            ],
        ])
    );
}

#[test]
fn a_header_that_comes_back_in_another_languages_eyes() {
    let hostile = "x\r\n\r\n--=_0000000070000\r\nBcc: evil\0\u{e9}";
    let reply = Reply::plain(450, hostile);
    let recipient = RecipientReport {
        original: None,
        address: hostile,
        reply: Some(&reply),
        remote: Some(hostile),
        last_attempt: None,
        retry_until: Some(1_000_090_000_000),
    };
    let report = Report {
        kind: Kind::Delayed,
        id: MessageId(7 << 20),
        host: "relay.example",
        postmaster: "postmaster@relay.example",
        to: "alice@a.example",
        now: 1_000_000_000_000,
        message: MessageId(3 << 20),
        arrival: 1_000_000_000_000,
        envelope_id: None,
        reason: None,
        recipients: &[recipient],
        returned: Returned::Headers(b"Subject: x\r\nX: y\r\n"),
        omission: None,
        languages: &[],
    };
    let templates = Templates::load(None).expect("the built-in words");
    let found = read_by_python(&report.compose(&templates));
    assert_eq!(found["defects"], json!([]), "{found}");
    assert_eq!(found["returned"], json!(["text/rfc822-headers", "Subject: x\nX: y\n", ""]));
    assert_eq!(found["cte"], json!(["7bit", "quoted-printable", "7bit", "7bit"]));
    let shown = "x --=_0000000070000 Bcc: evil??";
    assert_eq!(
        found["fields"][1],
        json!([
            ["Final-Recipient", format!("X-relais;{shown}")],
            ["Action", "delayed"],
            ["Status", "4.2.0"],
            ["Remote-MTA", format!("dns; {shown}")],
            ["Diagnostic-Code", format!("smtp; 450 {shown}")],
            ["Will-Retry-Until", "Mon, 10 Sep 2001 02:46:40 +0000"],
        ])
    );
}
