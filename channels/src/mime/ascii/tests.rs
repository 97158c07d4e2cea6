//! Each field in ASCII, by tables; and what was said is said, by the judgement of a plain decoder.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;

fn ascii(header: &str) -> String {
    String::from_utf8(ascii_header(header.as_bytes())).expect("ASCII")
}

/// Fields before and after; there is nothing left to do then.
fn become_ascii(rows: &[(&str, &str)]) {
    for (before, after) in rows {
        assert_eq!(ascii(before), *after, "{before:?}");
        assert_eq!(ascii(after), *after, "{before:?} again");
    }
}

#[test]
fn text_becomes_encoded_words() {
    become_ascii(&[
        ("Subject: plain  text\r\n\tfolded\r\n", "Subject: plain  text\r\n\tfolded\r\n"),
        ("Subject: Re: Grüße an alle\r\n", "Subject: Re: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= an alle\r\n"),
        ("subject:ü\r\n", "subject: =?UTF-8?Q?=C3=BC?=\r\n"),
        ("Subject: ü  ä\r\n\tx\r\n", "Subject: =?UTF-8?Q?=C3=BC__=C3=A4?=\tx\r\n"),
        (
            "Subject: =?utf-8?q?x?= ü =?utf-8?q?y?=\r\n",
            "Subject: =?utf-8?q?x?= =?UTF-8?Q?_=C3=BC_?= =?utf-8?q?y?=\r\n",
        ),
        ("X-Odd: ü=_?\r\n", "X-Odd: =?UTF-8?Q?=C3=BC=3D=5F=3F?=\r\n"),
        ("Subject: 日本語\r\n", "Subject: =?UTF-8?B?5pel5pys6Kqe?=\r\n"),
        ("Keywords: ö, b\r\n", "Keywords: =?UTF-8?Q?=C3=B6?= , b\r\n"),
        ("no füeld\r\nA: b\r\n", "Downgraded-Line: =?UTF-8?Q?no_f=C3=BCeld?=\r\nA: b\r\n"),
        ("Xü: y\r\n", "Downgraded-Line: =?UTF-8?Q?X=C3=BC=3A_y?=\r\n"),
        ("Subject: ü\r\n \r\n", "Subject: =?UTF-8?Q?=C3=BC?=\r\n \r\n"),
        ("Subject: ü", "Subject: =?UTF-8?Q?=C3=BC?="),
    ]);
}

#[test]
fn addresses_and_traces_become_ascii() {
    become_ascii(&[
        ("From: Jörg <a@b.c>\r\n", "From: =?UTF-8?Q?J=C3=B6rg?= <a@b.c>\r\n"),
        (
            "From:\"Jörg, \\\"x\\\"\"<a@b.c>,d@e.f\r\n",
            "From: =?UTF-8?Q?J=C3=B6rg=2C_=22x=22?= <a@b.c>,d@e.f\r\n",
        ),
        (
            "To: \"A, B\" Jörg Müller <a@b.c> (grün (sehr)), plain@x.y\r\n",
            "To: \"A, B\" =?UTF-8?Q?J=C3=B6rg_M=C3=BCller?= <a@b.c>\r\n \
             (=?UTF-8?Q?gr=C3=BCn?= (sehr)), plain@x.y\r\n",
        ),
        ("To: a@bücher.example, c@d\r\n", "To: a@xn--bcher-kva.example, c@d\r\n"),
        ("To: A <a@bücher.example (x)>\r\n", "To: A <a@xn--bcher-kva.example (x)>\r\n"),
        (
            "To: Jörg <jörg@b.c>, d@e.f\r\n",
            "To: =?UTF-8?Q?J=C3=B6rg?= =?UTF-8?Q?_j=C3=B6rg=40b=2Ec?= :;, d@e.f\r\n",
        ),
        ("Sender: jörg@bü.c\r\n", "Sender: =?UTF-8?Q?j=C3=B6rg=40b=C3=BC=2Ec?= :;\r\n"),
        (
            "Cc: Grüppe: a@b, C <c@ü.d>;, e@f\r\n",
            "Cc: =?UTF-8?Q?Gr=C3=BCppe?= : a@b, C <c@xn--tda.d>;, e@f\r\n",
        ),
        ("Cc: team: a@b, ö@c; \r\n", "Cc: team =?UTF-8?Q?a=40b=2C_=C3=B6=40c?= :; \r\n"),
        ("To: a@b＞.evil\r\n", "To: =?UTF-8?Q?a=40b=EF=BC=9E=2Eevil?= :;\r\n"),
        ("To: \"ö, a@b\r\n", "Downgraded-To: =?UTF-8?Q?=22=C3=B6=2C_a=40b?=\r\n"),
        ("Message-ID: <ö@b>\r\n", "Downgraded-Message-ID: =?UTF-8?Q?=3C=C3=B6=40b=3E?=\r\n"),
        ("From: a@b.test (ü \\\r\n \\\r\n x)\r\n", "From: a@b.test (=?UTF-8?Q?=C3=BC?=   x)\r\n"),
        ("Date: (ü\\\r\n x) (\\\r\n )\r\n", "Date: (=?UTF-8?Q?=C3=BC?= x) ( )\r\n"),
        ("Date: now (ö)\r\n", "Date: now (=?UTF-8?Q?=C3=B6?=)\r\n"),
        (
            "Received: from ü.example (ü [192.0.2.1]) by b id 1\r\n\tfor <ö@c>; now\r\n",
            "Received: from xn--tda.example (=?UTF-8?Q?=C3=BC?= [192.0.2.1]) by b id 1\t;\r\n now\r\n",
        ),
        (
            "Received: by b id ü for <a@ü.example>; now\r\n",
            "Received: by b  for <a@xn--tda.example>; now\r\n",
        ),
        (
            "Received: by b with ü; now\r\n",
            "Downgraded-Received: =?UTF-8?Q?by_b_with_=C3=BC=3B_now?=\r\n",
        ),
    ]);
}

#[test]
fn parameters_become_ascii() {
    become_ascii(&[
        (
            "Content-Type: text/plain; name=\"ü 1.txt\"; charset=utf-8\r\n",
            "Content-Type: text/plain; name*=UTF-8''%C3%BC%201.txt; charset=utf-8\r\n",
        ),
        (
            "Content-Disposition: attachment;\r\n filename=ü 1.txt (ö)\r\n",
            "Content-Disposition: attachment; filename*=UTF-8''%C3%BC%201.txt\r\n (=?UTF-8?Q?=C3=B6?=)\r\n",
        ),
        (
            "Content-Disposition: x; filename=\"ü\"; filename*=utf-8''%C3%BC\r\n",
            "Content-Disposition: x; filename*=utf-8''%C3%BC\r\n",
        ),
        (
            "Content-Disposition: x; filename*0=\"a\"; filename*1=\"ü\"; filename*2=b\r\n",
            "Content-Disposition: x; filename*0*=UTF-8''a; filename*1*=%C3%BC;\r\n filename*2=b\r\n",
        ),
        (
            "Content-Type: multipart/mixed; ü; boundary=b\r\n",
            "Content-Type: multipart/mixed (=?UTF-8?Q?=C3=BC?=); boundary=b\r\n",
        ),
    ]);
}

#[test]
fn octets_that_are_no_utf8_are_of_an_unknown_character_set() {
    let rows: &[(&[u8], &str)] = &[
        (b"Subject: Gr\xfc\xdfe\r\n", "Subject: =?unknown-8bit?Q?Gr=FC=DFe?=\r\n"),
        (b"From: J\xf6rg <a@b>\r\n", "From: =?unknown-8bit?Q?J=F6rg?= <a@b>\r\n"),
        (b"To: a@\xfc.example\r\n", "To: =?unknown-8bit?Q?a=40=FC=2Eexample?= :;\r\n"),
        (
            b"Content-Type: text/plain; name=\xfc\r\n",
            "Content-Type: text/plain; name*=unknown-8bit''%FC\r\n",
        ),
    ];
    for (before, after) in rows {
        assert_eq!(String::from_utf8(ascii_header(before)).as_deref(), Ok(*after));
    }
}

#[test]
fn long_values_are_in_short_lines() {
    let name = "ü".repeat(200);
    let new = ascii(&format!("Content-Disposition: attachment; filename=\"{name}\"\r\n"));
    assert!(new.lines().all(|line| line.len() <= 76), "{new}");
    let sections = new.lines().filter_map(|line| line.trim().strip_prefix("filename*"));
    let code: String = sections.map(|it| it.split_once("*=").expect("a section").1).collect();
    let code = code.replace(';', "");
    assert_eq!(code, format!("UTF-8''{}", "%C3%BC".repeat(200)));
    let to = "Jörg <a@b.c>, ".repeat(5_000) + "x@y.z";
    let new = ascii(&format!("To: {to}\r\n"));
    assert!(new.lines().all(|line| line.len() <= 76), "{new}");
    assert_eq!(String::from_utf8(decoded(new.trim_end())).unwrap(), format!("To: {to}"));
}

#[test]
fn long_parameters_are_cut_into_sections() {
    let u = "ü".repeat(300);
    // what stands there, the octets up to which lines fit
    let rows = [
        (format!("filename*=utf-8'de'{u}"), "utf-8'de'", u.clone()),
        (format!("filename*=UTF-8''a%20%zz{u}"), "UTF-8''", format!("a %zz{u}")),
        (format!("filename*0={u}; filename*1*={u}%41"), "UTF-8''", format!("{u}{u}A")),
        (format!("filename*1=\"{u}\"; filename*0*=utf-8''x"), "utf-8''", format!("x{u}")),
        (format!("filename*0*=utf-8''%C3; filename*1={u}"), "utf-8''", format!("\u{fffd}{u}")),
        (
            format!("filename*={}''{u}", "x".repeat(300)),
            "UTF-8''",
            format!("{}''{u}", "x".repeat(300)),
        ),
    ];
    for (parameter, front, want) in rows {
        let new = ascii(&format!("Content-Disposition: attachment; {parameter}; size=1\r\n"));
        assert!(longest_line(new.as_bytes()) <= 76, "{new}");
        let line = new.replace("\r\n", "");
        let (mut code, mut others) = (String::new(), Vec::new());
        for one in line.split(';').map(str::trim) {
            match one.strip_prefix("filename*") {
                Some(section) => {
                    let (number, value) = section.split_once("*=").expect("a section");
                    let before = code.matches(' ').count().to_string();
                    assert_eq!(number, before, "{line}");
                    code += value;
                    code += " ";
                }
                None => others.push(one),
            }
        }
        assert_eq!(others, ["Content-Disposition: attachment", "size=1"]);
        let code = code.replace(' ', "");
        let code = code.strip_prefix(front).expect(front).replace('%', "=");
        assert_eq!(String::from_utf8_lossy(&unquoted_code(&code.replace('_', "=5F"))), want);
    }
}

#[test]
fn no_line_is_longer_than_a_line_may_be() {
    let blanks = " ".repeat(900);
    let rows = [
        format!("Subject: ü x{blanks}\r\n{blanks}y\r\n"),
        format!("Subject: ü x{blanks}\r\n{blanks}\\\r\n"),
        format!("Date: ü ({blanks}\r\n{blanks}) x\r\n"),
        format!("To: {}x\r\n", "a@ü.x,".repeat(160)),
        format!("Cc: team:{}x;\r\n", "a@ü.x,".repeat(160)),
        format!("Received: {}\r\n", "from()ü;".repeat(110)),
        format!("Content-Type: a/b; {}=ü\r\n", "x".repeat(900)),
        format!("{}:ü\r\n", "x".repeat(997)),
    ];
    for header in rows {
        let new = ascii(&header);
        assert!(longest_line(new.as_bytes()) <= 998, "{new}");
    }
}

#[test]
fn hostile_headers_take_time_by_their_length() {
    let names = ["To", "Subject", "Received", "Content-Type", "Keywords", "Date", "ü"];
    let pieces = [
        "(",
        "()",
        "[",
        "<",
        "ü",
        "ü ",
        "ü(",
        "ü()",
        "(ü",
        ";ü",
        ";ü=ü",
        ";a*0=ü",
        ":ü;",
        ",<ü@b>",
        ":",
        "\"\"ü",
        "from ",
        "from ü ",
        "from ()",
        "for <ü@b>",
        " ",
        "\\",
        "=?ü",
        "a@ü,",
    ];
    let begun = Instant::now();
    for name in names {
        for piece in pieces {
            let value = piece.repeat((100 << 10) / piece.len());
            for front in ["", "ü "] {
                let new = ascii(&format!("{name}: {front}{value}\r\n\r\n"));
                assert!(new.is_ascii() && new.ends_with("\r\n\r\n"));
            }
        }
    }
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

/// The text of a value: encoded words decoded, and the blanks between two of them left out.
fn decoded(value: &str) -> Vec<u8> {
    let value = value.replace("\r\n", "");
    let (mut text, mut rest, mut is_behind) = (Vec::new(), &*value, false);
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at(start);
        if !is_behind || !before.trim().is_empty() {
            text.extend_from_slice(before.as_bytes());
        }
        let parts: Vec<_> = word[2..].splitn(4, '?').collect();
        let code = parts[2];
        let length = "=??Q??=".len() + parts[0].len() + code.len();
        assert!(length <= 75 && parts[3].starts_with('='), "{word}");
        let octets = match parts[1] {
            "B" => STANDARD.decode(code).expect("base64"),
            _ => unquoted_code(code),
        };
        if parts[0] == "UTF-8" {
            std::str::from_utf8(&octets).expect("whole characters");
        }
        text.extend(octets);
        (rest, is_behind) = (&word[length..], true);
    }
    text.extend_from_slice(rest.as_bytes());
    text
}

fn unquoted_code(code: &str) -> Vec<u8> {
    let mut pieces = code.split('=');
    let plain = |piece: &str| piece.replace('_', " ").into_bytes();
    let mut text = plain(pieces.next().unwrap_or_default());
    for piece in pieces {
        text.push(u8::from_str_radix(&piece[..2], 16).expect("two digits"));
        text.extend(plain(&piece[2..]));
    }
    text
}

/// Octets up to the end of the first blank line, where a header ends.
fn header_end(content: &[u8]) -> usize {
    let mut at = 0;
    for line in content.split_inclusive(|c| *c == b'\n') {
        at += line.len();
        if line.trim_ascii().is_empty() {
            break;
        }
    }
    at
}

/// Of headers; those of two octets of ASCII come 150 times.
const PIECES: &[&str] = &[
    "\\",
    "\\",
    "ü",
    "€ ",
    "(",
    ")",
    "\"",
    "<",
    ">",
    "@",
    ",",
    ":",
    "[",
    "]",
    "=?",
    "xx",
    "  ",
    "% ",
    " ",
    ";",
    ";a=",
    ";a*=",
    ";a*=utf-8''",
    ";a*0=",
    ";a*1=",
    ";a*1*=",
    ";a*0*=utf-8''",
    "%41",
    "from ",
    "for <ü@b> ",
    "id ü",
    "a@ü.x,",
    "ü=",
    "a@b,",
];

proptest! {
    #[test]
    fn unstructured_text_is_said_again(
        words in prop::collection::vec(("[ \t]{1,3}", "[a-z.,:;<>()=_ü€💌]{1,60}"), 1..20),
    ) {
        let text: String = words.iter().flat_map(|(gap, word)| [&**gap, word]).collect();
        let header = format!("Subject:{text}\r\n\r\n");
        let new = ascii(&header);
        prop_assert!(new.is_ascii());
        let value = new.strip_prefix("Subject:").and_then(|it| it.strip_suffix("\r\n\r\n"));
        prop_assert_eq!(String::from_utf8(decoded(value.unwrap())).unwrap(), text);
        let is_odd = |line: &str| line.len() > 76 || line.trim().is_empty();
        prop_assert!(new == header || !new.trim_end().split("\r\n").any(is_odd), "{}", new);
    }

    #[test]
    fn display_names_and_comments_are_said_again(
        name in "[a-zü€]{1,30}( [a-z.ü]{1,30}){0,5}",
        comment in "[a-zü€]{1,30}( [a-z.ü]{1,30}){0,5}",
    ) {
        let new = ascii(&format!("From: {name} <a@b.c> ({comment})\r\n"));
        prop_assert!(new.is_ascii());
        let value = new.trim_end().strip_prefix("From:").expect("the name");
        let want = format!(" {name} <a@b.c> ({comment})");
        prop_assert_eq!(String::from_utf8(decoded(value)).unwrap(), want);
    }

    #[test]
    fn lines_are_whole_and_no_longer_than_before(
        lines in prop::collection::vec(
            prop::collection::vec(prop::sample::select(PIECES), 0..12), 1..8),
        name in prop::sample::select(vec![
            "To", "Subject", "Content-Type", "Received", "Keywords", "Date", "X-Other",
        ]),
    ) {
        let long = |piece: &&str| if piece.len() == 2 && piece.is_ascii() { 150 } else { 1 };
        let line = |pieces: &Vec<&str>| {
            pieces.iter().map(|piece| piece.repeat(long(piece))).collect::<String>()
        };
        let value = lines.iter().map(line).collect::<Vec<_>>().join("\r\n ");
        let content = format!("{name}: {value}\r\n\r\n");
        let header = &content.as_bytes()[..header_end(content.as_bytes())];
        let new = ascii_header(header);
        let rest = String::from_utf8_lossy(&new).replace("\r\n", "");
        prop_assert!(!rest.contains(['\r', '\n']), "{:?}", rest);
        prop_assert!(longest_line(&new) <= longest_line(header).max(998), "{}", String::from_utf8_lossy(&new));
    }

    #[test]
    fn any_header_becomes_ascii_and_keeps_its_end(
        header in prop::collection::vec(prop::sample::select(
            &b"\r\n\r\n \t\"\\()<>@,;:[]=?*%'a0.\xc3\xbc\xff"[..]), 0..80),
        name in prop::sample::select(vec![
            "", "To: ", "Subject:", "Content-Type: x;", "Received: for", "Keywords:", "Date: ",
        ]),
    ) {
        let content = [name.as_bytes(), &header].concat();
        let header = &content[..header_end(&content)];
        let new = ascii_header(header);
        prop_assert!(new.is_ascii());
        prop_assert_eq!(header_end(&new), new.len());
        let is_ended = |header: &[u8]| {
            header.split_inclusive(|c| *c == b'\n').any(|line| line.trim_ascii().is_empty())
        };
        prop_assert_eq!(is_ended(&new), is_ended(header));
        prop_assert_eq!(ascii_header(&new), new, "there is nothing left to do");
    }
}
