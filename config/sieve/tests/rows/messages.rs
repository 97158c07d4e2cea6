//! Messages of all kinds: what tests see of their headers and bodies.

use crate::case::Case;

/// Whether a test holds for a message.
fn holds(message: &str, test: &str) -> bool {
    let require = r#"require ["body", "subaddress", "date"];"#;
    let script = format!("{require} if {test} {{ discard; }}");
    match (Case { message, ..Case::default() }).decide(&[&script]).as_str() {
        "discard" => true,
        "keep" => false,
        other => panic!("{test}: {other}"),
    }
}

#[test]
fn header_values_are_unfolded_and_decoded() {
    for (field, value) in [
        ("Subject: a\r\n b", "a b"),
        ("Subject: a\r\n\tb", "a b"),
        ("Subject:   a  ", "a"),
        ("Subject:", ""),
        ("SUBJECT : a", "a"),
        ("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("Subject: =?ISO-8859-1?Q?Gr=FC=DFe_an?= alle", "Grüße an alle"),
        ("Subject: =?utf-8?b?R3LDvMOfZQ==?=", "Grüße"),
        ("Subject: =?utf-8?b?R3LDvA==?=\r\n =?utf-8?b?w59l?=", "Grüße"),
        // A character over two words.
        ("Subject: =?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=", "Grüße"),
        ("Subject: =?utf-8*de?q?a?=", "a"),
        ("Subject: =?x-none?q?a?=", "=?x-none?q?a?="),
        ("Subject: =?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("Subject: =?utf-8?q?a", "=?utf-8?q?a"),
        ("Subject: =?utf-8?q?a=0D=0AEvil:_b?=", "a  Evil: b"),
        ("Subject: Käse", "Käse"),
    ] {
        let message = format!("{field}\r\n\r\n");
        let test = format!("header :is :comparator \"i;octet\" \"subject\" \"{value}\"");
        assert!(holds(&message, &test), "{field}: {value}");
    }
}

#[test]
fn addresses_are_read_as_rfc_5322_has_them() {
    for (field, part, value, wanted) in [
        ("a@example.org", "all", "a@example.org", true),
        ("A Name <a@example.org>", "all", "a@example.org", true),
        ("\"Name, A\" <a@example.org>", "all", "a@example.org", true),
        ("a@example.org (A Name, <b@example.org>)", "all", "a@example.org", true),
        ("a @ example . org", "all", "a@example.org", true),
        ("<@route.example,@b.example:a@example.org>", "all", "a@example.org", true),
        ("group: a@example.org, b@example.org;, c@example.org", "localpart", "b", true),
        ("group: a@example.org, b@example.org;, c@example.org", "localpart", "c", true),
        ("undisclosed-recipients:;", "localpart", "undisclosed-recipients", false),
        ("\"odd local\"@example.org", "localpart", "odd local", true),
        ("\"odd local\"@example.org", "all", "\\\"odd local\\\"@example.org", true),
        ("a@[192.0.2.1]", "domain", "[192.0.2.1]", true),
        ("nonsense", "all", "nonsense", true),
        ("nonsense", "localpart", "nonsense", false),
        ("ann@", "localpart", "ann", false),
        ("ann@", "all", "ann@", true),
        ("<ann@example.org", "domain", "example.org", false),
        ("ann@example.org bob@example.net", "localpart", "ann", false),
        ("a@b@c", "domain", "c", false),
        ("<>", "all", "", true),
        ("", "all", "", true),
        ("=?utf-8?q?a=40b?= <c@example.org>", "all", "c@example.org", true),
        ("ken+sieve@example.org", "detail", "sieve", true),
        ("ken@example.org", "detail", "", false),
        ("ken+@example.org", "detail", "", true),
        ("ken+a+b@example.org", "detail", "a+b", true),
    ] {
        let message = format!("From: {field}\r\n\r\n");
        let test = format!("address :{part} :is \"from\" \"{value}\"");
        assert_eq!(holds(&message, &test), wanted, "{field} {part} {value}");
    }
}

#[test]
fn dates_are_read_leniently_and_nonsense_is_none() {
    for (date, wanted) in [
        ("Tue, 1 Apr 1997 09:06:31 -0800", "1997-04-01T17:06:31Z"),
        ("1 Apr 97 09:06 +0000 (comment)", "1997-04-01T09:06:00Z"),
        ("Thu, 31 Dec 1998 23:59:60 +0000", "1998-12-31T23:59:59Z"),
        ("Tue, 1 Apr 1997 09:06:31 PDT", "1997-04-01T16:06:31Z"),
        ("Tue, 1 Apr 1997 09:06:31", "1997-04-01T09:06:31Z"),
        ("Tue, 1 Apr 1997 09:06:31 GMT", "1997-04-01T09:06:31Z"),
    ] {
        let message = format!("Date: {date}\r\n\r\n");
        let test = format!("date :zone \"+0000\" \"date\" \"iso8601\" \"{wanted}\"");
        assert!(holds(&message, &test), "{date}");
    }
    // The first field alone counts: RFC 5260 4.
    let two = "Date: nonsense\r\nDate: Tue, 1 Apr 1997 09:06:31 -0800\r\n\r\n";
    assert!(!holds(two, "date :contains \"date\" \"year\" \"\""));
    for date in [
        "",
        "nonsense",
        "1 Foo 1997 09:06:31 +0000",
        "1 Apr 1997 09:06:31 +0075",
        "32 Apr 1997 09:06:31 +0000",
        "1 Apr 1997 25:06:31 +0000",
        "30 Feb 1997 09:06:31 +0000",
    ] {
        let message = format!("Date: {date}\r\n\r\n");
        assert!(!holds(&message, "date :contains \"date\" \"year\" \"\""), "{date}");
    }
}

const NESTED: &str = "Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n\
    prologue MIME\r\n\
    --outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n\
    nested MIME\r\n\
    --inner\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe=\r\n weiter\r\n\
    --inner\r\nContent-Type: text/html\r\n\r\n<html><body>HTML &amp; <b>bold</b></body></html>\r\n\
    --inner--\r\nend of inner\r\n\
    --outer\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\nnested body\r\n\
    --outer\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nYmluYXJ5IGRhdGE=\r\n\
    --outer\r\nContent-Type: multipart/digest; boundary=digest\r\n\r\n\
    --digest\r\n\r\nSubject: digested\r\n\r\nx\r\n--digest--\r\n\
    --outer\r\nContent-Type: text/plain/stupid\r\n\r\nstupid\r\n\
    --outer\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-none\r\n\r\nunreadable\r\n\
    --outer--\r\nepilogue\r\n";

#[test]
fn parts_of_bodies_are_found_by_their_type() {
    for (test, wanted) in [
        ("body :text :contains \"Grüße weiter\"", true),
        ("body :text :contains \"HTML & bold\"", true),
        ("body :text :contains \"<html>\"", false),
        ("body :text :contains \"nested body\"", true),
        ("body :text :contains \"MIME\"", false),
        ("body :text :contains \"stupid\"", false),
        ("body :text :contains \"unreadable\"", false),
        ("body :content \"text\" :contains \"<html>\"", true),
        ("body :content \"multipart\" :contains \"prologue\"", true),
        ("body :content \"multipart/mixed\" :contains \"epilogue\"", true),
        ("body :content \"multipart/alternative\" :contains \"end of inner\"", true),
        ("body :content \"message/rfc822\" :contains \"Subject: inside\"", true),
        ("body :content \"message/rfc822\" :contains \"nested body\"", false),
        ("body :content \"message/rfc822\" :contains \"digested\"", true),
        ("body :content \"application/octet-stream\" :is \"binary data\"", true),
        ("body :content \"APPLICATION\" :is \"binary data\"", true),
        ("body :content [\"text/\", \"/plain\", \"text/plain/x\"] :contains \"\"", false),
        ("body :raw :contains \"--outer--\"", true),
        ("body :raw :contains \"Gr=FC\"", true),
        ("body :content \"text/plain\" :is \"Grüße weiter\"", true),
    ] {
        assert_eq!(holds(NESTED, test), wanted, "{test}");
    }
    assert!(!holds("Subject: a", "body :raw :contains \"\""), "a message without a body");
}
