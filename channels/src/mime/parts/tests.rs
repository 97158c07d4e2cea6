//! Parts are found, taken out and replaced, and everything else stays as it is.

use proptest::prelude::*;

use super::*;

fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn survey<A>(
    content: &[u8],
    size: usize,
    choose: impl FnMut(&MimePart) -> Option<A>,
) -> Result<PartPlan<A>, Unsurveyed> {
    let mut survey = PartSurvey::new(choose);
    content.chunks(size).for_each(|piece| survey.feed(piece));
    survey.finish()
}

fn split<A>(content: &[u8], size: usize, plan: &PartPlan<A>) -> Vec<PartPiece> {
    let mut splitter = PartSplitter::new(|entity| plan.wanted.contains_key(&entity));
    let mut pieces: Vec<PartPiece> =
        content.chunks(size).flat_map(|piece| splitter.feed(piece)).collect();
    pieces.extend(splitter.finish());
    pieces
}

/// The content with a text in the place of each wanted part.
fn replaced(content: &[u8], size: usize, text: &str, wanted: fn(&MimePart) -> bool) -> Vec<u8> {
    let plan = survey(content, size, |part| wanted(part).then_some(())).expect("a message");
    let mut out = Vec::new();
    for piece in split(content, size, &plan) {
        match piece {
            PartPiece::Rest(octets) => out.extend(octets),
            PartPiece::Begin { header, is_message, .. } => {
                let mut encoder = BodyEncoder::of("text");
                let edit = PartEdit {
                    content_type: Some("text/plain; charset=utf-8".to_owned()),
                    disposition: Some("inline".to_owned()),
                    encoding: Some(encoder.name()),
                };
                out.extend(edit.apply(&header, is_message));
                encoder.feed(text.as_bytes(), &mut out);
                encoder.finish(&mut out);
            }
            PartPiece::End { owes_line_end: true } => out.extend(b"\r\n"),
            PartPiece::End { .. } | PartPiece::Body(_) => {}
        }
    }
    out
}

fn is_exe(part: &MimePart) -> bool {
    part.file_names().any(|name| name.to_ascii_lowercase().ends_with(".exe"))
}

#[test]
fn a_text_stands_in_the_place_of_an_attachment() {
    let gone = "Content-Type: text/plain; charset=utf-8\nContent-Disposition: inline\n\
                Content-Transfer-Encoding: quoted-printable\n\nGel=C3=B6scht=20\n";
    let mixed =
        "From: a@b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\nprologue\n";
    let exe = "Content-Type: application/x-msdownload; name=\"a.EXE\"\n\
               Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.exe\n\n";
    let made = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\
                Content-Disposition: inline\n\nGel=C3=B6scht=20\n";
    let inner = |part: &str| {
        let message = "Content-Type: message/rfc822\n\nSubject: x\n";
        let kind = "Content-Type: multipart/alternative; boundary=\"in ner\"\n\n";
        let body = if part == exe { "TVqQ\n" } else { "" };
        format!("{mixed}--b\n{message}{kind}--in ner\n{part}{body}--b--\n")
    };
    // name, before, after
    let rows = [
        (
            "between others",
            format!(
                "{mixed}--b\n\nText =3D \u{fc}\n--b\n{exe}TVqQ\nTVqQ\n--b\n\nmore\n--b--\nepilogue\n"
            ),
            format!("{mixed}--b\n\nText =3D \u{fc}\n--b\n{made}--b\n\nmore\n--b--\nepilogue\n"),
        ),
        ("without an end", format!("{mixed}--b\n{exe}TVqQ\n"), format!("{mixed}--b\n{made}")),
        ("without a line end", format!("{mixed}--b\n{exe}TVqQ"), format!("{mixed}--b\n{made}")),
        (
            "an empty part",
            format!("{mixed}--b\n{exe}--b--\n"),
            format!("{mixed}--b\n{made}--b--\n"),
        ),
        (
            "no blank line",
            format!("{mixed}--b\nContent-Type: a/b; name=x.exe\n--b--\n"),
            format!("{mixed}--b\n{gone}--b--\n"),
        ),
        (
            "the message itself",
            "From: a@b\nContent-Type: a/b; name*0=x.e; name*1=xe\n\nMZ\n".to_owned(),
            "From: a@b\nContent-Type: text/plain; charset=utf-8\nContent-Disposition: inline\n\
             MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\nGel=C3=B6scht=20\n"
                .to_owned(),
        ),
        (
            "names that are encoded",
            format!(
                "{mixed}--b\nContent-Type: a/b; name=\"=?utf-8?q?x=2Eexe?=\"\n\nMZ\n--b\n\
                 Content-Disposition: attachment; filename*=utf-8''x%2Eexe\n\nMZ\n--b--\n"
            ),
            format!(
                "{mixed}--b\n{gone}--b\nContent-Disposition: inline\n\
                 Content-Type: text/plain; charset=utf-8\n\
                 Content-Transfer-Encoding: quoted-printable\n\nGel=C3=B6scht=20\n--b--\n"
            ),
        ),
        ("in others", inner(exe), inner(made)),
        ("nothing is wanted", format!("{mixed}--b\nx"), format!("{mixed}--b\nx")),
        (
            "no MIME at all",
            "From: a@b\n\nbegin 644 x.exe\n".into(),
            "From: a@b\n\nbegin 644 x.exe\n".into(),
        ),
        ("nothing at all", String::new(), String::new()),
    ];
    for (name, before, after) in rows {
        let content = crlf(&before);
        for size in [1, 2, 3, 7, 100, usize::MAX] {
            let got = replaced(content.as_bytes(), size, "Gel\u{f6}scht ", is_exe);
            assert_eq!(String::from_utf8(got).unwrap(), crlf(&after), "{name}, by {size}");
        }
    }
}

#[test]
fn what_is_said_of_a_part() {
    let content = crlf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: TEXT/Html; Charset=\"UTF-8\"\n\
         Content-Transfer-Encoding: quoted-printable\n\n=C3=BC =\nx  \ny\n--b\n\nplain\n--b\n\
         Content-Type: application/pdf\nContent-Transfer-Encoding: BASE64\n\
         Content-Disposition: Attachment; filename=\"a b.pdf\"\n\nAAEC\nAwQ=\n--b\n\
         Content-Transfer-Encoding: x-uuencode\n\nabc\n--b\n\
         Content-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\n\n--s\n\n\
         signed\n--s\nContent-Type: application/pgp-signature\n\nsig\n--s--\n--b\n\nfree\n--b\n\
         Content-Type: application/pkcs7-mime\n\nx\n--b--\n",
    );
    let mut lines = Vec::new();
    let note = |part: &MimePart| {
        let MimePart { disposition, encoding, is_protected, size, .. } = part;
        let names: Vec<&str> = part.file_names().collect();
        let charset = part.parameter("charset");
        lines.push(format!(
            "{part} {charset:?} {disposition:?} {names:?} {encoding:?} {is_protected} {size}"
        ));
        None::<()>
    };
    let plan = survey(content.as_bytes(), 5, note).expect("a message");
    assert_eq!((plan.parts, plan.wanted.len()), (8, 0));
    assert_eq!(
        lines,
        [
            "text/html Some(\"UTF-8\") \"\" [] QuotedPrintable false 7",
            "text/plain None \"\" [] Identity false 5",
            "application/pdf None \"attachment\" [\"a b.pdf\"] Base64 false 5",
            "text/plain None \"\" [] Unknown false 3",
            "text/plain None \"\" [] Identity true 6",
            "application/pgp-signature None \"\" [] Identity true 3",
            "text/plain None \"\" [] Identity false 4",
            "application/pkcs7-mime None \"\" [] Identity true 1",
        ]
    );
}

#[test]
fn what_is_too_much_is_told() {
    let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
    let levels = |n: usize| (0..n).map(level).collect::<String>() + "\nx\n";
    let mixed = "Content-Type: multipart/mixed; boundary=b\n\n";
    let rows = [
        ("100 levels", levels(100), None),
        ("101 levels", levels(101), Some(Unsurveyed::Deep)),
        ("1,000 parts", format!("{mixed}{}", "--b\n\n".repeat(1_000)), None),
        (
            "1,001 parts",
            format!("{mixed}{}", "--b\n\n".repeat(1_001)),
            Some(Unsurveyed::ManyWanted),
        ),
        (
            "a large header",
            format!("{mixed}--b\n{}\n", "X: y\n".repeat(200_000)),
            Some(Unsurveyed::LargeHeader),
        ),
    ];
    for (name, content, want) in rows {
        let got = survey(crlf(&content).as_bytes(), 60_000, |_| Some(()));
        assert_eq!(got.err(), want, "{name}");
    }
    let many = format!("{mixed}{}", "--b\n\n".repeat(100_000));
    let got = survey(crlf(&many).as_bytes(), 60_000, |_| None::<()>);
    assert_eq!(got.err(), Some(Unsurveyed::ManyParts));
}

#[test]
fn bodies_are_decoded_as_readers_do() {
    use BodyEncoding::{Base64, Identity, QuotedPrintable, Unknown};
    let rows = [
        (Identity, "a=3D\r\n", "a=3D\r\n"),
        (Unknown, "a=3D\r\n", "a=3D\r\n"),
        (QuotedPrintable, "a=3D=3db", "a==b"),
        (QuotedPrintable, "a =\r\nb=  \r\nc", "a bc"),
        (QuotedPrintable, "a  \r\n\t\r\nb ", "a\r\n\r\nb"),
        (QuotedPrintable, "a = b=ZZ=4=", "a = b=ZZ=4="),
        (QuotedPrintable, "a=\nb\nc", "ab\nc"),
        (Base64, "aGVs\r\nbG8=\r\n", "hello"),
        (Base64, "a G-V:s\r\nbG8", "hello"),
        (Base64, "aGVsbG8=aGVsbG8=", "hellohello"),
        (Base64, "====", ""),
    ];
    for (encoding, body, want) in rows {
        for size in [1, 2, 3, 100] {
            let (mut decoder, mut out) = (BodyDecoder::of(encoding), Vec::new());
            body.as_bytes().chunks(size).for_each(|piece| decoder.feed(piece, &mut out));
            decoder.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{encoding:?} {body:?} by {size}");
        }
    }
}

#[test]
fn a_text_gets_another_charset() {
    let rows: [(&str, &[u8], &str, &[u8]); 10] = [
        ("iso-8859-1", b"Gr\xfc\xdfe", "utf-8", "Gr\u{fc}\u{df}e".as_bytes()),
        ("windows-1252", b"\x80", "utf-8", "\u{20ac}".as_bytes()),
        ("utf-8", "\u{fc}\u{20ac}".as_bytes(), "ISO-8859-1", b"\xfc?"),
        ("utf-8", "\u{fc}\u{20ac}".as_bytes(), "windows-1252", b"\xfc\x80"),
        ("utf-8", "a\u{fc}".as_bytes(), "us-ascii", b"a?"),
        ("utf-8", "\u{20ac}\u{4e00}".as_bytes(), "iso-8859-15", b"\xa4?"),
        ("utf-8", b"\xef\xbb\xbfa\xff", "utf-8", "a\u{fffd}".as_bytes()),
        ("utf-8", "a\u{65e5}b".as_bytes(), "iso-2022-jp", b"a\x1b$BF|\x1b(Bb"),
        ("utf-16le", b"a\0\xfc\0", "utf-8", "a\u{fc}".as_bytes()),
        ("koi8-r", b"\xf0", "utf-8", "\u{41f}".as_bytes()),
    ];
    let of = |name: &str| Charset::of(name).expect("known");
    for (from, text, to, want) in rows {
        for size in [1, 2, 100] {
            let (mut recoder, mut out) = (Recoder::new(of(from), of(to)), Vec::new());
            text.chunks(size).for_each(|piece| recoder.feed(piece, false, &mut out));
            recoder.feed(b"", true, &mut out);
            assert_eq!(out, want, "{from} to {to} by {size}");
        }
    }
    assert_eq!(Charset::of("x-none"), None);
    assert!(
        !of("utf-16").is_written() && of("iso-8859-1").is_written() && of("utf-8").is_written()
    );
}

#[test]
fn fields_are_written_as_their_rfcs_say() {
    let part = MimePart::of(
        b"Content-Type: a/b; name=\"x \\\"y\"; charset=iso-8859-1; nice=\"\xc3\xbc\"\r\n\r\n",
        0,
        BodyEncoding::Identity,
    );
    let parameters = part.parameters.iter().map(|(name, value)| (&**name, &**value));
    assert_eq!(
        PartEdit::of(&part.to_string(), parameters),
        "a/b;\r\n name=\"x \\\"y\";\r\n charset=\"iso-8859-1\";\r\n nice*=utf-8''%C3%BC"
    );
    let evil = [("a b", "c"), ("d", "e\r\nBcc: x@y")];
    assert_eq!(PartEdit::of("t/u", evil.into_iter()), "t/u;\r\n d*=utf-8''e%0D%0ABcc%3A%20x%40y");
}

proptest! {
    #[test]
    fn pieces_together_are_the_message(
        content in prop::collection::vec(
            prop::sample::select(&b"\r\n\r\n-b= \xfc:aContent-Type: multipart/mixed; boundary=b\r\n--b\r\n"[..]),
            0..300,
        ),
        size in 1usize..50,
        every in 1usize..3,
    ) {
        let header = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_vec();
        let content = [header, content].concat();
        let choose = |part: &MimePart| part.entity.is_multiple_of(every).then_some(());
        let plan = survey(&content, size, choose).expect("small enough");
        let mut whole = Vec::new();
        let mut begun = 0;
        for piece in split(&content, 51 - size, &plan) {
            match piece {
                PartPiece::Rest(octets) | PartPiece::Body(octets) => whole.extend(octets),
                PartPiece::Begin { header, .. } => {
                    whole.extend(header);
                    begun += 1;
                }
                PartPiece::End { .. } => {}
            }
        }
        prop_assert_eq!(whole, content);
        prop_assert_eq!(begun, plan.wanted.len());
    }

    #[test]
    fn what_is_encoded_is_decoded(
        octets in prop::collection::vec(any::<u8>(), 0..400),
        text in "[a-z =\u{fc}\t]{0,200}(\r\n[a-z]{0,90}){0,5}",
        size in 1usize..90,
    ) {
        for (kind, octets) in [("application", &*octets), ("text", text.as_bytes())] {
            let (mut encoder, mut encoded) = (BodyEncoder::of(kind), Vec::new());
            let encoding = if kind == "text" { BodyEncoding::QuotedPrintable } else { BodyEncoding::Base64 };
            octets.chunks(size).for_each(|piece| encoder.feed(piece, &mut encoded));
            encoder.finish(&mut encoded);
            prop_assert!(encoded.is_ascii() && encoded.split(|c| *c == b'\n').all(|line| line.len() <= 77));
            let (mut decoder, mut decoded) = (BodyDecoder::of(encoding), Vec::new());
            encoded.chunks(91 - size).for_each(|piece| decoder.feed(piece, &mut decoded));
            decoder.finish(&mut decoded);
            prop_assert_eq!(&*decoded, octets);
        }
    }
}
