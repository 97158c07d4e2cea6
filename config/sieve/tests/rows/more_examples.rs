//! More examples of the RFCs, whole: the recipient and what was seen before count for some of them.

use crate::case::Case;

/// An example: the section, the script, the recipient, the message, the decision.
type Example = (&'static str, &'static str, &'static str, &'static str, &'static str);

const KEN: &str = "ken@example.com";

const ONCE: &str = r#"require ["editheader"]; if not header :contains "X-Sieve-Filtered"
    ["<kim@job.example.com>", "<kim@home.example.com>"] {
    addheader "X-Sieve-Filtered" "<kim@job.example.com>"; redirect "kim@home.example.com"; }"#;
const BY_ADDRESS: &str = r#"require ["envelope", "subaddress", "fileinto"];
    if envelope :user "to" "postmaster" { fileinto "inbox.postmaster"; stop; }
    if envelope :detail "to" "mta-filters" { fileinto "inbox.ietf-mta-filters"; }
    if envelope :detail "to" "foo" { redirect "ken@example.net"; }"#;
const JUKEBOX: &str = r#"require ["body", "fileinto"]; if body :content "audio/mp3" :contains "" { fileinto "jukebox"; }"#;

const EXAMPLES: &[Example] = &[
    (
        "RFC 5173 5.1",
        r#"require ["body"]; if body :raw :contains "MAKE MONEY FAST" { discard; }"#,
        KEN,
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-Within: MAKE MONEY FAST\r\n\r\nx\r\n--b--\r\n",
        "discard",
    ),
    (
        "RFC 5173 5.2",
        JUKEBOX,
        KEN,
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: audio/mp3\r\n\r\nx\r\n--b--\r\n",
        "file jukebox",
    ),
    ("RFC 5173 5.2", JUKEBOX, KEN, "Content-Type: text/plain\r\n\r\naudio/mp3\r\n", "keep"),
    (
        "RFC 5173 5.3",
        r#"require ["body", "fileinto"]; if body :text :contains "project schedule" { fileinto "project/schedule"; }"#,
        KEN,
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\ndGhlIHByb2plY3Qgc2NoZWR1bGU=\r\n",
        "file project/schedule",
    ),
    (
        "RFC 5293 4",
        ONCE,
        "kim@job.example.com",
        "Subject: x\r\n\r\n",
        "add X-Sieve-Filtered: <kim@job.example.com>; redirect kim@home.example.com",
    ),
    (
        "RFC 5293 4",
        ONCE,
        "kim@job.example.com",
        "X-Sieve-Filtered: <kim@job.example.com>\r\n\r\n",
        "keep",
    ),
    (
        "RFC 5293 5",
        r#"require "editheader"; deleteheader :index 1 :contains "Delivered-To" "bob@example.com";"#,
        "bob@example.com",
        "Delivered-To: bob@example.com\r\nDelivered-To: list@example.com\r\n\r\n",
        "delete delivered-to 1; keep",
    ),
    (
        "RFC 5233 5",
        BY_ADDRESS,
        "postmaster+foo@example.com",
        "Subject: x\r\n\r\n",
        "file inbox.postmaster",
    ),
    (
        "RFC 5233 5",
        BY_ADDRESS,
        "ken+foo@example.com",
        "Subject: x\r\n\r\n",
        "redirect ken@example.net",
    ),
    (
        "RFC 3894 4",
        r#"require ["copy", "fileinto"]; if header :contains "Subject" "MAKE MONEY FAST!!!" {
            fileinto :copy "spam-archive"; discard; }"#,
        KEN,
        "Subject: MAKE MONEY FAST!!! now\r\n\r\n",
        "file spam-archive",
    ),
    (
        "RFC 5183 5",
        r#"require ["environment", "relational"];
            if environment :matches "name" "relais" { discard; }"#,
        KEN,
        "Subject: x\r\n\r\n",
        "discard",
    ),
    (
        "RFC 5429 2.2",
        "require \"reject\"; if size :over 10 { reject text:\r\nYour message is too big.\r\nPut it on a web site.\r\n.\r\n; }",
        KEN,
        "Subject: a large one\r\n\r\n",
        "reject Your message is too big.\r\nPut it on a web site.",
    ),
    (
        "RFC 5230 4.7",
        r#"require ["vacation"]; if header :contains "subject" "lunch" {
            vacation :handle "ran-away" "I'm out and can't meet for lunch"; }
            else { vacation :handle "ran-away" "I'm out"; }"#,
        "roadrunner@acme.example.com",
        "To: roadrunner@acme.example.com\r\nSubject: lunch?\r\n\r\n",
        "keep; vacation \"Auto: lunch?\" 604800s \"I'm out and can't meet for lunch\"",
    ),
    (
        "RFC 5230 5",
        r#"require ["vacation"]; if header :contains "from" "boss@example.edu" {
            redirect "pleeb@isp.example.org"; }
            else { vacation "Sorry, I'm away."; }"#,
        "roadrunner@acme.example.com",
        "From: boss@example.edu\r\nTo: roadrunner@acme.example.com\r\n\r\n",
        "redirect pleeb@isp.example.org",
    ),
];

#[test]
fn more_examples_of_the_extensions() {
    for (section, script, to, message, wanted) in EXAMPLES {
        let case = Case { message, to, ..Case::default() };
        assert_eq!(case.decide(&[script]), *wanted, "{section}: {script}");
    }
}

/// RFC 7352 5.
#[test]
fn examples_of_duplicates() {
    let by_event = r#"require ["duplicate"];
        if duplicate :header "X-Event-ID" :handle "notifier" { discard; }"#;
    let by_alert = r#"require ["duplicate", "variables", "imap4flags", "fileinto"];
        if header :matches "subject" "ALERT: *" {
            if duplicate :seconds 60 :uniqueid "${1}" { setflag "\\seen"; }
            fileinto "Alerts"; }"#;
    let plain = r#"require "duplicate"; if duplicate { discard; }"#;
    let message = "Subject: ALERT: disk\r\nX-Event-ID: 17\r\nMessage-ID: <1@a>\r\n\r\n";
    for (script, id, of_first, of_second) in [
        (plain, "<1@a>", "keep", "discard"),
        (by_event, "17", "keep", "discard"),
        (by_alert, "disk", "file Alerts", r"file Alerts \seen"),
    ] {
        let first = Case { message, ..Case::default() };
        assert_eq!(first.decide(&[script]), of_first, "{script}");
        let second = Case { message, seen: &[id], ..Case::default() };
        assert_eq!(second.decide(&[script]), of_second, "{script}");
    }
}
