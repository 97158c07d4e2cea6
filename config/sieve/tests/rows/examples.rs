//! Examples of the RFCs, whole: the script, a message, the decision.

use crate::case::Case;

/// RFC 5228 2.10.1 and 9.
const MESSAGE_A: &str = "Date: Tue, 1 Apr 1997 09:06:31 -0800 (PST)\r\n\
    From: coyote@desert.example.org\r\n\
    To: roadrunner@acme.example.com\r\n\
    Subject: I have a present for you\r\n\
    \r\n\
    Look, I'm sorry about the whole anvil thing.\r\n";
const MESSAGE_B: &str = "From: youcouldberich!@reply-by-postal-mail.invalid\r\n\
    Sender: b1ff@de.res.example.com\r\n\
    To: rube@landru.example.com\r\n\
    Date:  Mon, 31 Mar 1997 18:26:10 -0800\r\n\
    Subject: $$$ YOU, TOO, CAN BE A MILLIONAIRE! $$$\r\n\
    \r\n\
    YOU MAY HAVE ALREADY WON TEN MILLION DOLLARS, BUT I DOUBT\r\n\
    IT!\r\n";

fn on(message: &str, script: &str) -> String {
    Case { message, ..Case::default() }.decide(&[script])
}

#[test]
fn examples_of_rfc_5228() {
    for (script, of_a, of_b) in [
        ("if header :contains \"subject\" \"money\" { discard; }", "keep", "keep"),
        (
            "require \"fileinto\";\nif header :contains \"from\" \"coyote\" { discard; }\n\
             elsif header :contains [\"subject\"] [\"$$$\"] { discard; }\nelse { fileinto \"INBOX\"; }",
            "discard",
            "discard",
        ),
        (
            "if header :contains [\"From\"] [\"coyote\"] { redirect \"acm@example.com\"; }\n\
             elsif header :contains \"Subject\" \"$$$\" { redirect \"postmaster@example.com\"; }\n\
             else { redirect \"field@example.com\"; }",
            "redirect acm@example.com",
            "redirect postmaster@example.com",
        ),
        ("if size :over 100K { discard; }", "keep", "keep"),
        (
            "if header :is :comparator \"i;octet\" \"Subject\" \"I have a present\" { discard; }",
            "keep",
            "keep",
        ),
        ("if not exists [\"From\",\"Date\"] { discard; }", "keep", "keep"),
        (
            "if allof (not address :is \"from\" \"coyote@desert.example.org\", true) { discard; }",
            "keep",
            "discard",
        ),
        (
            "if header :contains [\"to\", \"cc\"] [\"RUBE@\", \"zz\"] { discard; } # a comment\r\n/* and\r\none */",
            "keep",
            "discard",
        ),
        (
            "require \"envelope\"; if envelope :all :is \"from\" \"coyote@desert.example.org\" { discard; }",
            "discard",
            "discard",
        ),
        ("if address :is :all \"from\" \"tim@example.com\" { discard; }", "keep", "keep"),
        (
            "require [\"reject\"];\nif size :over 100 {\nreject text:\r\nToo large.\r\n.\r\n;\n}",
            "reject Too large.",
            "reject Too large.",
        ),
    ] {
        assert_eq!((&*on(MESSAGE_A, script), &*on(MESSAGE_B, script)), (of_a, of_b), "{script}");
    }
}

/// RFC 5228 9.
const EXTENDED: &str = "require [\"fileinto\"];\n\
    # Handle messages from known mailing lists\n\
    if header :is \"Sender\" \"owner-ietf-mta-filters@imc.example\"\n\
    {\n fileinto \"filter\";  # move to \"filter\" mailbox\n}\n\
    # Keep all messages to or from people in my company\n\
    elsif address :DOMAIN :is [\"From\", \"To\"] \"example.com\"\n\
    {\n keep;               # keep in \"In\" mailbox\n}\n\
    elsif anyof (NOT address :all :contains\n\
    [\"To\", \"Cc\", \"Bcc\"] \"me@example.com\",\n\
    header :matches \"subject\"\n\
    [\"*make*money*fast*\", \"*university*dipl*mas*\"])\n\
    {\n fileinto \"spam\";   # move to \"spam\" mailbox\n}\n\
    else\n\
    {\n # Move all other (external) mail to \"personal\" mailbox.\n fileinto \"personal\";\n}\n";

#[test]
fn the_extended_example_of_rfc_5228() {
    for (header, wanted) in [
        ("Sender: owner-ietf-mta-filters@imc.example", "file filter"),
        ("From: a@EXAMPLE.com", "keep"),
        ("From: a@example.org\r\nTo: you@example.org", "file spam"),
        (
            "From: a@example.org\r\nCc: me@example.com.au\r\nSubject: How to make some money fast",
            "file spam",
        ),
        ("From: a@example.org\r\nCc: me@example.com.au\r\nSubject: Hello", "file personal"),
    ] {
        assert_eq!(on(&format!("{header}\r\n\r\n"), EXTENDED), wanted, "{header}");
    }
}

/// Scripts, headers and decisions.
const OF_EXTENSIONS: &[(&str, &str, &str)] = &[
    // RFC 5229 3.2.
    (
        r#"require ["fileinto", "variables"];
            if header :matches "List-ID" "*<*@*" { fileinto "INBOX.lists.${2}"; stop; }
            if header :matches ["To", "Cc"] ["coyote@**.com", "wile@**.com"] {
                fileinto "INBOX.business.${2}"; stop; }
            else { fileinto "INBOX.general"; }"#,
        "To: coyote@ACME.Example.COM",
        "file INBOX.business.ACME.Example",
    ),
    (
        r#"require ["fileinto", "variables"];
            if header :matches "List-ID" "*<*@*" { fileinto "INBOX.lists.${2}"; }"#,
        "List-ID: A list <sieve@ietf.example>",
        "file INBOX.lists.sieve",
    ),
    // RFC 5229 4 and 5.
    (
        r#"require ["variables", "fileinto"]; set "state" "${state} pending";
            if string :matches " ${state} " "* pending *" { fileinto "p"; }"#,
        "",
        "file p",
    ),
    // RFC 5231 8.
    (
        r#"require ["relational", "comparator-i;ascii-numeric", "fileinto"];
            if header :value "lt" :comparator "i;ascii-numeric" ["x-priority"] ["3"] {
                fileinto "Priority"; }
            elsif address :count "gt" :comparator "i;ascii-numeric" ["to"] ["5"] { fileinto "SPAM"; }
            elsif address :value "gt" :all :comparator "i;ascii-casemap" ["from"] ["M"] {
                fileinto "From N-Z"; }
            else { fileinto "From A-M"; }"#,
        "X-Priority: 1 (Highest)",
        "file Priority",
    ),
    (
        r#"require ["relational", "comparator-i;ascii-numeric", "fileinto"];
            if address :count "gt" :comparator "i;ascii-numeric" ["to"] ["5"] { fileinto "SPAM"; }"#,
        "To: a@b.example, b@b.example, c@b.example, d@b.example, e@b.example, f@b.example",
        "file SPAM",
    ),
    (
        r#"require ["relational", "fileinto"];
            if address :value "gt" :all :comparator "i;ascii-casemap" ["from"] ["M"] {
                fileinto "From N-Z"; }"#,
        "From: zoe@example.org",
        "file From N-Z",
    ),
    // RFC 5232 6.
    (
        r#"require ["fileinto", "imap4flags", "variables"];
            if anyof (header :matches "from" "*boss*", header :contains "subject" "urgent") {
                setflag "\\Flagged"; fileinto "INBOX.From Boss"; }
            else { addflag "MyFlag"; }"#,
        "From: boss@frobnitzm.example.edu",
        r"file INBOX.From Boss \Flagged",
    ),
    (
        r#"require ["imap4flags"]; if size :over 1 { addflag "Big";
            if header :is "From" "boss@company.example.com" { addflag "\\Flagged"; } } keep;"#,
        "From: boss@company.example.com",
        r"keep Big \Flagged",
    ),
    // RFC 5233 5.
    (
        r#"require ["envelope", "subaddress", "fileinto"];
            if envelope :detail "to" "spam" { discard; }
            if address :detail ["to", "cc"] "mta-filters" { fileinto "inbox.ietf-mta-filters"; }"#,
        "To: ken+mta-filters@example.org",
        "file inbox.ietf-mta-filters",
    ),
    // RFC 3894 4.
    (
        r#"require ["copy", "fileinto"]; fileinto :copy "incoming"; redirect :copy "a@example.org";"#,
        "",
        "keep; file incoming; redirect a@example.org",
    ),
    // RFC 5260 4.5.
    (
        r#"require ["date", "relational", "fileinto"];
            if allof(header :is "from" "boss@example.com",
                date :value "ge" :originalzone "date" "hour" "09",
                date :value "lt" :originalzone "date" "hour" "17") { fileinto "urgent"; }"#,
        "From: boss@example.com\r\nDate: Tue, 1 Apr 1997 09:06:31 -0800",
        "file urgent",
    ),
    (
        r#"require ["date", "relational", "fileinto"];
            if anyof(currentdate :is "weekday" "0", currentdate :is "weekday" "6",
                currentdate :value "lt" "hour" "09", currentdate :value "ge" "hour" "17") {
                redirect "pager@example.com"; }"#,
        "",
        "keep",
    ),
    (
        r#"require ["date", "relational", "index", "fileinto"];
            if date :value "gt" :index 2 :zone "-0500" "received" "iso8601" "2007-02-26T09:00:00-05:00" {
                redirect "aftercutoff@example.org"; }"#,
        "Received: a; Mon, 26 Feb 2007 08:00:00 -0500\r\nReceived: b; Mon, 26 Feb 2007 16:00:00 +0000",
        "redirect aftercutoff@example.org",
    ),
    (
        r#"require ["variables", "date", "editheader"];
            if not currentdate :matches "std11" "*" { stop; }
            addheader "X-Now" "${0}"; keep;"#,
        "",
        "add X-Now: Mon, 30 Nov 2026 15:04:05 +0100; keep",
    ),
    // RFC 5293 4.
    (
        r#"require ["editheader", "variables"];
            if header :contains "X-Hello-World" "" { deleteheader "X-Hello-World"; }
            addheader :last "X-Sieve-Filtered" "<kim@job.example.com>"; keep;"#,
        "X-Hello-World: a",
        "delete x-hello-world 1; last add X-Sieve-Filtered: <kim@job.example.com>; keep",
    ),
    // RFC 5463 4.
    (
        r#"require ["ihave", "fileinto"];
            if allof (ihave "notreally", ihave "copy") { notreally "x"; } else { fileinto "plain"; }"#,
        "",
        "file plain",
    ),
    // RFC 7352 6.
    (
        r#"require ["duplicate", "variables"];
            if header :matches "subject" "ALERT: *" {
                if duplicate :seconds 60 :uniqueid "${1}" { discard; } }"#,
        "Subject: ALERT: disk",
        "keep",
    ),
    // RFC 5429 2.
    (
        r#"require ["ereject"]; if address "from" "someone@example.com" {
            ereject "I no longer accept mail from this address"; }"#,
        "From: someone@example.com",
        "ereject I no longer accept mail from this address",
    ),
    // RFC 5490 3.
    (
        r#"require ["fileinto", "mailbox"]; if mailboxexists "Partners" { fileinto "Partners"; }
            else { fileinto :create "Projects"; }"#,
        "",
        "file Projects create",
    ),
    // RFC 5183 4.
    (
        r#"require "environment"; if environment :matches "remote-ip" ["127.*", "192.0.2.*"] { discard; }"#,
        "",
        "discard",
    ),
    // RFC 5173 5.
    (
        r#"require ["body", "fileinto"]; if body :content "text" :contains ["missile", "coordinates"] {
            fileinto "secrets"; }"#,
        "Content-Type: text/plain",
        "file secrets",
    ),
];

#[test]
fn examples_of_the_extensions() {
    for (script, header, wanted) in OF_EXTENSIONS {
        let message = format!("{header}\r\n\r\nThe coordinates follow.\r\n");
        assert_eq!(on(&message, script), *wanted, "{script}");
    }
}

#[test]
fn examples_of_rfc_5230() {
    let gone = r#"require "vacation"; vacation :days 23 :addresses ["tjs@example.edu", "ts4z@landru.example.edu"]
        "I'm away until October 19.";"#;
    let wanted = "keep; vacation \"Auto: Hi\" 1987200s \"I'm away until October 19.\"";
    assert_eq!(on("To: ts4z@landru.example.edu\r\nSubject: Hi\r\n\r\n", gone), wanted);
    let mime = "require \"vacation\"; vacation :mime text:\r\nContent-Type: text/plain\r\n\r\nGone\r\n.\r\n;";
    let message = "To: roadrunner@acme.example.com\r\n\r\n";
    let verdict = Case { message, ..Case::default() }.run(&[mime]).unwrap();
    let reply = verdict.vacation.unwrap();
    assert!(reply.is_mime);
    assert_eq!(reply.reason, "Content-Type: text/plain\r\n\r\nGone\r\n");
    assert_eq!(reply.subject, "Automated reply");
}
