//! Headers in ASCII read by a program that is not ours: Python's `email`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use relais_channels::mime::{Converter, Demand, Survey};
use serde_json::{Value, json};

fn python(words: &[&str], input: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/header_text.py");
    let mut python = Command::new("python3")
        .arg(script)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// For a server without SMTPUTF8 and 8BITMIME.
fn ascii(content: &[u8]) -> Vec<u8> {
    let mut survey = Survey::new(Demand { seven_bit: true, max_line: 1_000, ascii_header: true });
    survey.feed(content);
    let plan = survey.finish().expect("it can be done");
    let (mut converter, mut out) = (Converter::new(&plan), Vec::new());
    converter.feed(content, &mut out);
    converter.finish(&mut out);
    out
}

/// Texts whose characters stand for octets.
fn latin(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("an octet")).collect()
}

/// Pairs of the headers, before and after.
fn pairs(contents: &[Vec<u8>]) -> Value {
    let header = |content: &[u8]| {
        let end = content.windows(4).position(|four| four == b"\r\n\r\n");
        // Fields that a converted body needs are no matter here.
        let own =
            content[..end.map_or(content.len(), |end| end + 2)].split_inclusive(|c| *c == b'\n');
        let own = own.filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with(b"content-transfer-encoding:") && !line.starts_with(b"mime-version:")
        });
        latin(&own.flatten().copied().collect::<Vec<_>>())
    };
    let pair = |content: &Vec<u8>| {
        let after = ascii(content);
        assert!(after.is_ascii());
        json!([header(content), header(&after)])
    };
    contents.iter().map(pair).collect()
}

#[test]
fn another_program_reads_what_was_said() {
    let texts = python(&[], "");
    let texts = texts.as_array().expect("messages");
    assert!(texts.len() > 40, "{}", texts.len());
    let mut contents: Vec<_> =
        texts.iter().map(|text| octets(text.as_str().expect("a text"))).collect();
    contents.extend([
        b"Subject: Gr\xfc\xdfe aus K\xf6ln\r\n\r\n".to_vec(),
        "Subject: 日本語の件名がここにあります、とても長い件名です、七十六オクテットを超えます\r\n\r\n".into(),
        "From: Žluťoučký kůň <kun@b.c>, \"Пётр, И.\" <p@b.c>\r\n\r\n".into(),
        "Subject: =?utf-8?q?f=C3=BCr?= dich und für =?utf-8?q?f=C3=BCr?= mich 💌\r\n\r\n".into(),
        format!("Subject: {}\r\n\r\n", "wörd ".repeat(150).trim_end()).into_bytes(),
        format!("Content-Disposition: x; filename=\"{}\"\r\n\r\n", "ü€ ".repeat(60) + "x").into(),
    ]);
    let differ = python(&["differ"], &pairs(&contents).to_string());
    assert_eq!(differ, json!([]), "{differ:#}");
}
