//! The converted message says the same, by the judgement of other readers of MIME.

use mail_parser::MessageParser;
use proptest::prelude::*;

use super::*;

/// Converted in pieces of this size; nothing where nothing changes.
fn converted(content: &[u8], demand: Demand, piece: usize) -> Result<Vec<u8>, Unconvertible> {
    let mut survey = Survey::new(demand);
    content.chunks(piece).for_each(|piece| survey.feed(piece));
    let plan = survey.finish()?;
    let (mut converter, mut out) = (Converter::new(&plan), Vec::new());
    content.chunks(piece).for_each(|piece| converter.feed(piece, &mut out));
    converter.finish(&mut out);
    Ok(out)
}

fn seven_bit(content: &str) -> Result<String, Unconvertible> {
    let demand = Demand { seven_bit: true, max_line: 1_000, ascii_header: false };
    let whole = converted(content.as_bytes(), demand, usize::MAX);
    for piece in [1, 2, 3, 7, 100] {
        assert_eq!(converted(content.as_bytes(), demand, piece), whole, "in pieces of {piece}");
    }
    whole.map(|out| String::from_utf8(out).expect("no octet is cut"))
}

/// For a server without SMTPUTF8.
fn without_utf8(content: &str, seven_bit: bool) -> Result<String, Unconvertible> {
    let demand = Demand { seven_bit, max_line: 1_000, ascii_header: true };
    let whole = converted(content.as_bytes(), demand, usize::MAX);
    for piece in [1, 2, 3, 7, 100] {
        assert_eq!(converted(content.as_bytes(), demand, piece), whole, "in pieces of {piece}");
    }
    whole.map(|out| String::from_utf8(out).expect("no octet is cut"))
}

fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

#[test]
fn parts_that_need_it_are_encoded_and_nothing_else_is_touched() {
    // name, before, after
    let rows = [
        (
            "plain text without a header of MIME",
            "Subject: x\n\nGrüße\n",
            "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n",
        ),
        (
            "8bit",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\ncontent-transfer-encoding: 8bit\nSubject: x\n\nü = 1 \n\t\n",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nSubject: x\n\n=C3=BC =3D 1=20\n=09\n",
        ),
        (
            "it says 8bit and needs it not",
            "Content-Transfer-Encoding: 8bit\n\nplain = \n",
            "Content-Transfer-Encoding: 8bit\n\nplain = \n",
        ),
        ("a header field alone", "Subject: Grüße\n\nplain\n", "Subject: Grüße\n\nplain\n"),
        (
            "7bit that is a lie",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: 7bit (really)\n\nü\n",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n",
        ),
        ("no body", "Subject: x\n", "Subject: x\n"),
        ("an empty body", "Subject: x\n\n", "Subject: x\n\n"),
        (
            "no end of the last line",
            "Subject: x\n\nü ",
            "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC=20",
        ),
        (
            "quoted-printable with an octet of its own",
            "Content-Transfer-Encoding: quoted-printable\n\n=C3=BC = ü \nx=\ny\n",
            "Content-Transfer-Encoding: quoted-printable\n\n=C3=BC = =C3=BC \nx=\ny\n",
        ),
        (
            "base64 with one",
            "Content-Transfer-Encoding: base64\n\neHh4ü\n",
            "Content-Transfer-Encoding: base64\n\neHh4\n",
        ),
    ];
    for (name, before, after) in rows {
        assert_eq!(seven_bit(&crlf(before)), Ok(crlf(after)), "{name}");
    }
}

#[test]
fn a_multipart_is_gone_into() {
    let before = "From: a@b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"o u t\"\nContent-Transfer-Encoding: 8bit\n\npreamble\n--o u t\nContent-Type: text/plain; charset=iso-8859-15\n\nplain =\n--o u t\nContent-Type: multipart/alternative;\n\tboundary=in\nContent-Transfer-Encoding: 8bit\n\n--in\nContent-Transfer-Encoding: 8bit\n\nü\n--in\nContent-Transfer-Encoding: base64\n\n/w==\n--in--\nepilogue\n--o u t\nContent-Type: message/rfc822\nContent-Transfer-Encoding: binary\n\nSubject: within\n\nö\n--o u t\n\nä\n--o u t--\nepilogue\n";
    let after = "From: a@b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"o u t\"\nContent-Transfer-Encoding: 7bit\n\npreamble\n--o u t\nContent-Type: text/plain; charset=iso-8859-15\n\nplain =\n--o u t\nContent-Type: multipart/alternative;\n\tboundary=in\nContent-Transfer-Encoding: 7bit\n\n--in\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--in\nContent-Transfer-Encoding: base64\n\n/w==\n--in--\nepilogue\n--o u t\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: within\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n=C3=B6\n--o u t\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--o u t--\nepilogue\n";
    assert_eq!(seven_bit(&crlf(before)), Ok(crlf(after)));
}

#[test]
fn text_in_no_part_is_ascii_for_a_server_of_seven_bits() {
    let content = |text: &str, encoding: &str, part: &str| {
        crlf(&format!(
            "Content-Type: multipart/mixed; boundary=b\n\npre {text}\n--b {text}\n--b\n{encoding}\n{part}\n--b--\nepi {text}\n"
        ))
    };
    let quoted = "Content-Transfer-Encoding: quoted-printable\n";
    assert_eq!(
        seven_bit(&content("ü", "", "ö")),
        Ok(content("**", quoted, "=C3=B6")),
        "what has to be ignored needs no encoding"
    );
    assert_eq!(seven_bit(&content("ü", "", "o")), Ok(content("**", "", "o")));
    let lines = Demand { seven_bit: false, max_line: 1_000, ascii_header: true };
    let eight = content("ü", "", "ö").into_bytes();
    assert_eq!(converted(&eight, lines, 100), Ok(eight), "it may pass");
}

#[test]
fn headers_become_ascii_wherever_they_lie() {
    let content = |subject: &str, kind: &str, name: &str, encodings: [&str; 3], body: &str| {
        let [outer, message, leaf] = encodings;
        crlf(&format!(
            "Subject: {subject}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n{outer}\n--b\n\
             Content-Type: {kind}; x=y\n{message}\nSubject: {subject}\nMIME-Version: 1.0\nX:  plain\n{leaf}\n{body}\n--b\n\
             Content-Disposition: attachment; {name}\n\nplain\n--b--\n"
        ))
    };
    let (eight, seven) = ("Content-Transfer-Encoding: 8bit\n", "Content-Transfer-Encoding: 7bit\n");
    let quoted = "Content-Transfer-Encoding: quoted-printable\n";
    let (subject, code) = ("Grüße", "=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=");
    let (name, parameter) = ("filename=\"ü\"", "filename*=UTF-8''%C3%BC");
    for kind in ["message/rfc822", "Message/Global"] {
        let before = content(subject, kind, name, [eight; 3], "ö");
        let after = content(code, "message/rfc822", parameter, [eight; 3], "ö");
        let kept = after.replace("message/rfc822", kind);
        let want = if kind == "message/rfc822" { kept } else { after };
        assert_eq!(without_utf8(&before, false), Ok(want), "bodies stay");
        let want = content(code, "message/rfc822", parameter, [seven, seven, quoted], "=C3=B6");
        assert_eq!(without_utf8(&before, true), Ok(want), "bodies as well");
    }
    let encoded = crlf(
        "Subject: ü\nContent-Type: message/global\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogw7wNCg0K\n",
    );
    let want = encoded.replace("ü", "=?UTF-8?Q?=C3=BC?=");
    assert_eq!(without_utf8(&encoded, true), Ok(want), "what an encoding hides stays");
}

#[test]
fn a_long_field_is_folded_with_its_form_in_ascii() {
    let long = |word: &str| format!("Subject: {}\r\n\r\nplain\r\n", word.repeat(400));
    let out = without_utf8(&long("ü x "), false).expect("it can be done");
    assert!(out.lines().all(|line| line.len() <= 76), "{out}");
    assert_eq!(without_utf8(&long("xyz "), false), Err(Unconvertible::LongLine(1_000)));
}

#[test]
fn what_allows_no_other_encoding_is_said_so() {
    let one = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
    let deep = (0..30).map(one).collect::<Vec<_>>().concat();
    let rows = [
        (
            "uuencode",
            "Content-Transfer-Encoding: x-uuencode\n\nü\n".to_owned(),
            Unconvertible::Encoded,
        ),
        (
            "two encodings",
            "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64\n\nü\n".to_owned(),
            Unconvertible::Encoded,
        ),
        (
            "a piece of a message",
            "Content-Type: message/partial; id=1\n\nü\n".to_owned(),
            Unconvertible::Encoded,
        ),
        ("no boundary", "Content-Type: multipart/mixed\n\nü\n".to_owned(), Unconvertible::Encoded),
        ("too deep", format!("{deep}\nü\n"), Unconvertible::Encoded),
        (
            "a long field",
            format!("Subject: {}\n\nü\n", "x".repeat(1_000)),
            Unconvertible::LongLine(1_000),
        ),
        (
            "a large header",
            format!("{}\nü\n", "Subject: x\n".repeat(100_000)),
            Unconvertible::LargeHeader,
        ),
        (
            "a boundary",
            "Content-Type: multipart/mixed; boundary=ü\n\n--ü\n\nx\n--ü--\n".to_owned(),
            Unconvertible::Boundary,
        ),
        (
            "many parts",
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n{}ü\n",
                "--b\nX: y\n\n".repeat(100_001)
            ),
            Unconvertible::ManyParts,
        ),
    ];
    for (name, content, want) in rows {
        let demand = Demand { seven_bit: true, max_line: 1_000, ascii_header: false };
        let got = converted(crlf(&content).as_bytes(), demand, 60_000);
        assert_eq!(got.err(), Some(want), "{name}");
    }
}

#[test]
fn long_lines_are_broken_softly() {
    let long = "word ".repeat(400);
    let demand = Demand { seven_bit: false, max_line: 1_000, ascii_header: false };
    for encoding in ["8bit", "quoted-printable", "base64"] {
        let content = crlf(&format!(
            "MIME-Version: 1.0\nContent-Transfer-Encoding: {encoding}\n\nü\n{long}\n"
        ));
        let out = converted(content.as_bytes(), demand, 100).expect("it can be done");
        let out = String::from_utf8(out).expect("UTF-8");
        assert!(out.lines().all(|line| line.len() <= 76), "{out}");
        let short = crlf(&format!("Content-Transfer-Encoding: {encoding}\n\nü\nword\n"));
        assert_eq!(converted(short.as_bytes(), demand, 100), Ok(short.into_bytes()));
    }
}

#[test]
fn a_signature_is_noticed() {
    let rows = [
        ("Subject: x\n\nü\n", false),
        ("DKIM-Signature: v=1\nSubject: x\n\nü\n", true),
        ("Content-Type: multipart/signed; boundary=b\n\n--b\n\nü\n--b\n\nsignature\n--b--\n", true),
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\n\nü\n--c--\n--b--\n",
            true,
        ),
    ];
    for (content, want) in rows {
        let mut survey =
            Survey::new(Demand { seven_bit: true, max_line: 1_000, ascii_header: false });
        survey.feed(crlf(content).as_bytes());
        let plan = survey.finish().expect("it can be done");
        assert!(plan.changes_something() && plan.is_signed == want, "{content}");
    }
}

/// The fields that are not about encoding, and the decoded bodies, of all entities in order; read in the
/// simplest way that does for what is made here.
fn reading(content: &str, all: &mut Vec<(Vec<String>, Vec<u8>)>) {
    let (header, body) = content.split_once("\r\n\r\n").expect("a header");
    let value = |name: &str| {
        let mut lines = header.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    };
    let fields = header.split("\r\n").filter(|line| {
        let lower = line.to_ascii_lowercase();
        !lower.starts_with("content-transfer-encoding:") && !lower.starts_with("mime-version:")
    });
    let fields = fields.map(str::to_owned).collect();
    let kind = value("content-type");
    if let Some((_, boundary)) = kind.split_once("boundary=\"") {
        all.push((fields, Vec::new()));
        let delimiter = format!("--{}", boundary.trim_end_matches('"'));
        let (parts, _) = body.split_once(&format!("{delimiter}--\r\n")).expect("an end");
        for part in parts.split(&format!("{delimiter}\r\n")).skip(1) {
            reading(part, all);
        }
    } else if kind == "message/rfc822" {
        all.push((fields, Vec::new()));
        reading(body, all);
    } else if value("content-transfer-encoding") == "quoted-printable" {
        all.push((fields, unquoted(body)));
    } else {
        all.push((fields, body.as_bytes().to_vec()));
    }
}

fn unquoted(body: &str) -> Vec<u8> {
    let body = body.replace("=\r\n", "");
    let mut pieces = body.split('=');
    let mut text = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        text.push(u8::from_str_radix(digits, 16).expect("two digits"));
        text.extend_from_slice(rest.as_bytes());
    }
    text
}

fn all_of(content: &str) -> Vec<(Vec<String>, Vec<u8>)> {
    let mut all = Vec::new();
    reading(content, &mut all);
    all
}

/// The texts of a message, as another program reads them.
fn texts(content: &[u8]) -> Vec<String> {
    let message = MessageParser::default().parse(content).expect("a message");
    let parts = message.parts.iter().map(|part| String::from_utf8_lossy(part.contents()).into());
    parts.collect()
}

const ENCODINGS: &[&str] = &[
    "",
    "Content-Transfer-Encoding: 8bit\r\n",
    "Content-Transfer-Encoding: 7bit\r\n",
    "Content-Transfer-Encoding: BINARY\r\n",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ -~]{0,90}",
        1 => "[äöü€ =\t.]{1,40}",
        1 => Just("\r\n".to_owned()),
        1 => Just(" \r\n".to_owned()),
        1 => Just("--b\r\n".to_owned()),
        1 => "[a-z =]{900,1200}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A part with a text, which ends in a line end.
fn leaf() -> impl Strategy<Value = String> {
    (prop::sample::select(ENCODINGS), text(), any::<bool>()).prop_map(
        |(encoding, text, has_type)| {
            let kind = if has_type { "Content-Type: text/plain; charset=utf-8\r\n" } else { "" };
            format!("X-Leaf: y\r\n{kind}{encoding}\r\n{text}\r\n")
        },
    )
}

fn multipart(of: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let parts = prop::collection::vec(of, 1..4);
    (prop::sample::select(ENCODINGS), parts, 0..1_000_000_000u32).prop_map(
        |(encoding, parts, number)| {
            let boundary = format!("=_{number}");
            let parts = parts.iter().map(|it| format!("--{boundary}\r\n{it}"));
            let parts = parts.collect::<Vec<_>>().concat();
            let kind = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"");
            format!("{kind}\r\n{encoding}\r\n{parts}--{boundary}--\r\n")
        },
    )
}

/// The same, of any kind.
fn entity() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        let message =
            (prop::sample::select(ENCODINGS), inner.clone()).prop_map(|(encoding, inner)| {
                format!("Content-Type: message/rfc822\r\n{encoding}\r\nSubject: within\r\n{inner}")
            });
        prop_oneof![multipart(inner), message]
    })
}

proptest! {
    #[test]
    fn another_program_finds_the_same_text(entity in multipart(leaf())) {
        let content = format!("From: a@b.example\r\nMIME-Version: 1.0\r\n{entity}");
        let demand = Demand { seven_bit: true, max_line: 1_000, ascii_header: false };
        let out = converted(content.as_bytes(), demand, 1_000).expect("it can be done");
        prop_assert_eq!(texts(content.as_bytes()), texts(&out));
    }

    #[test]
    fn all_that_was_said_is_said_in_another_encoding(
        entity in entity(),
        seven_bit: bool,
        ascii_header: bool,
        piece in 1usize..2_000,
    ) {
        let content = format!("From: a@b.example\r\nMIME-Version: 1.0\r\n{entity}");
        let demand = Demand { seven_bit, max_line: 1_000, ascii_header };
        let out = converted(content.as_bytes(), demand, piece).expect("it can be done");
        prop_assert!(!seven_bit || out.is_ascii());
        let rest = String::from_utf8_lossy(&out).replace("\r\n", "");
        prop_assert!(!rest.contains(['\r', '\n']), "no bare CR or LF");
        prop_assert!(out.split(|c| *c == b'\n').all(|line| line.len() < demand.max_line));
        prop_assert_eq!(all_of(&content), all_of(std::str::from_utf8(&out).expect("UTF-8")));
        let again = converted(&out, demand, 777).expect("it can be done");
        prop_assert_eq!(again, out, "there is nothing left to do");
    }

    #[test]
    fn any_octets_at_all_are_taken(
        content in prop::collection::vec(prop::sample::select(&b"\r\n\r\n-b= \xfc:aContent-Type"[..]), 0..200),
        piece in 1usize..50,
    ) {
        let demand = Demand { seven_bit: true, max_line: 20, ascii_header: piece % 2 == 0 };
        let whole = converted(&content, demand, usize::MAX);
        prop_assert_eq!(converted(&content, demand, piece), whole);
    }
}
