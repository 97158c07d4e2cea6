//! Messages for filters: whatever real mail and broken programs put into header fields and bodies.

use std::fmt::Write;

use crate::Random;

/// So many messages, the same for the same seed. Lines end with CR LF; there is no NUL.
pub fn sieve_messages(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::fixed(seed);
    (0..count).map(|number| message(&mut random, number)).collect()
}

fn message(random: &mut Random, number: usize) -> Vec<u8> {
    let mut message = Vec::new();
    let mut add = |text: &[u8]| message.extend_from_slice(text);
    for (name, values, share) in FIELDS {
        let mut chance = *share;
        while random.between(0, 100) < chance {
            let case = match random.between(0, 12) {
                0 => name.to_ascii_uppercase(),
                1 => name.to_ascii_lowercase(),
                _ => (*name).to_owned(),
            };
            add(case.as_bytes());
            add(random.one(COLONS).as_bytes());
            add(random.one(values));
            add(b"\r\n");
            // A second field of one name is rarer.
            chance = if *name == "Received" { chance / 2 } else { chance / 20 };
        }
    }
    add(format!("X-Number: {number}\r\n").as_bytes());
    if random.between(0, 12) == 0 {
        add(random.one(ODD_LINES));
    }
    let (fields, body) = content(random, 0);
    add(&fields);
    // A header that no empty line ends has no body.
    if random.between(0, 25) > 0 {
        add(b"\r\n");
        add(&body);
    }
    message
}

/// Fields of MIME, and the content that they are of.
fn content(random: &mut Random, depth: u64) -> (Vec<u8>, Vec<u8>) {
    let kind = random.between(0, 10);
    if kind < 2 {
        return (Vec::new(), random.one(TEXTS).to_vec());
    }
    if kind < 6 || depth > 3 {
        return leaf(random);
    }
    if kind < 7 {
        let (mut inner, body) = content(random, depth + 1);
        let mut whole = b"From: inner@example.net\r\nSubject: inner words\r\n".to_vec();
        whole.append(&mut inner);
        whole.extend_from_slice(b"\r\n");
        whole.extend_from_slice(&body);
        return (b"Content-Type: message/rfc822\r\n".to_vec(), whole);
    }
    let boundary = format!("b{depth}_{}", random.between(0, 1000));
    let kind = random.one(&["mixed", "alternative", "related", "digest", "odd"]);
    let quote = random.one(&["\"", "\"", ""]);
    let mut fields = "MIME-Version: 1.0\r\n".to_owned();
    // Writing to a string does not fail.
    let _ =
        write!(fields, "Content-Type: multipart/{kind};\r\n boundary={quote}{boundary}{quote}\r\n");
    let mut body = random.one(&["", "preamble secret\r\n", "\r\n"]).as_bytes().to_vec();
    for _ in 0..random.between(0, 4) {
        let (fields, content) = content(random, depth + 1);
        body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        body.extend_from_slice(&fields);
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(&content);
        body.extend_from_slice(b"\r\n");
    }
    if random.between(0, 8) > 0 {
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        body.extend_from_slice(random.one(&["", "epilogue hidden\r\n"]).as_bytes());
    }
    (fields.into_bytes(), body)
}

fn leaf(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let kind = random.one(&[
        "text/plain",
        "text/plain; charset=utf-8",
        "text/plain; charset=\"iso-8859-1\"",
        "TEXT/HTML; charset=us-ascii",
        "text/html",
        "application/octet-stream; name=\"a.bin\"",
        "application/pdf",
        "image/png",
        "text",
        "text/plain; charset=x-unknown",
        "nonsense",
        "",
    ]);
    let mut fields =
        if kind.is_empty() { Vec::new() } else { format!("Content-Type: {kind}\r\n").into_bytes() };
    let (encoding, body) = *random.one::<(&str, &[u8])>(&[
        &("", b"plain secret words\r\n"),
        &("", b"<html><body>a <b>secret</b> &amp; more</body></html>\r\n"),
        &("", "K\u{e4}se secret \u{fc}ber\r\n".as_bytes()),
        &("7bit", b"seven bits of secret\r\nand more\r\n"),
        &("8bit", b"eight \xe4\xf6\xfc bits\r\n"),
        &("quoted-printable", b"sec=72et soft =\r\nbreak =C3=A4\r\n"),
        &("quoted-printable", b"broken =ZZ secret =\r\n"),
        &("base64", b"VGhpcyBpcyBzZWNyZXQgdGV4dC4NCg==\r\n"),
        &("BASE64", b"S8Okc2Ugc2VjcmV0IMO8YmVy\r\n"),
        &("base64", b"VGhpcyBpcyBzZWNyZX\r\n"),
        &("base64", b"!!! not base64 secret\r\n"),
        &("x-odd", b"odd secret\r\n"),
        &("", b""),
    ]);
    if !encoding.is_empty() {
        fields.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
    }
    (fields, body.to_vec())
}

/// Between a name and its value.
const COLONS: &[&str] = &[": ", ": ", ": ", ": ", ": ", ": ", ":", ":  ", ":\t"];

/// Instead of a field.
const ODD_LINES: &[&[u8]] = &[
    b"no colon in this line\r\n",
    b": no name\r\n",
    b"X-Space : before the colon\r\n",
    b"X-Empty:\r\n",
    b"X-Blank: \r\n",
    b"X-8bit-\xe4: odd name\r\n",
    b"X-Folded: a\r\n b\r\n\tc\r\n  d\r\n",
];

/// Whole bodies without MIME.
const TEXTS: &[&[u8]] = &[
    b"",
    b"one line of secret text\r\n",
    b"no end of line",
    b"several\r\nlines\r\n\r\nof text\r\n",
    b"\r\n\r\n\r\n",
    b"eight bits \xff\xfe \xc3\xa4\r\n",
    b".\r\n..\r\n.dots\r\n",
    b"a long line: \
      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
      the end\r\n",
];

/// A name, its values, and how many of a hundred messages have it.
const FIELDS: &[(&str, &[&[u8]], u64)] = &[
    ("Return-Path", &[b"<bounce@example.org>", b"<>"], 20),
    (
        "Received",
        &[
            b"from a.example by b.example with ESMTP id 1; Tue, 01 Apr 2025 09:06:31 -0700",
            b"from c.example\r\n\tby d.example;\r\n\tWed, 02 Apr 2025 00:00:00 +0000 (UTC)",
            b"by e.example; not a date",
            b"without a date",
        ],
        60,
    ),
    ("From", ADDRESSES, 92),
    ("Sender", ADDRESSES, 15),
    ("Reply-To", ADDRESSES, 15),
    ("To", ADDRESSES, 92),
    ("Cc", ADDRESSES, 30),
    ("Bcc", ADDRESSES, 5),
    ("Subject", SUBJECTS, 92),
    ("Date", DATES, 92),
    ("Message-ID", &[b"<1.2@example.org>", b"<abc@d>", b"broken", b"<a b@c>"], 80),
    ("List-Id", &[b"A list <list.example.org>", b"<other.example.net>", b"bare.example"], 15),
    ("Precedence", &[b"bulk", b"list", b"first-class"], 10),
    ("Auto-Submitted", &[b"no", b"auto-generated", b"auto-replied; x=y"], 10),
    ("X-Spam-Flag", &[b"YES", b"no", b"Yes "], 20),
    ("X-Spam-Level", &[b"", b"*", b"***", b"*****", b"**********"], 30),
    ("X-Spam-Score", &[b"5", b"05", b"12.5", b"-3", b"4294967296", b"none", b"7 of 9", b"0"], 40),
    ("X-Priority", &[b"1", b"3 (Normal)", b"5"], 30),
    ("Keywords", &[b"one, two", b"\"a b\"", b"caf\xc3\xa9"], 10),
    ("X-Long", &[LONG], 5),
    ("X-Path", &[b"a/b\\c?d*e[f]", b"\\\\", b"*", b"?", b"\"quoted\"", b"${1}", b"a\tb  c"], 15),
];

const LONG: &[u8] = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
    bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\
    end";

const ADDRESSES: &[&[u8]] = &[
    b"ann@example.org",
    b"ann@example.org",
    b"ANN@Example.ORG",
    b"<bob@example.net>",
    b"Bob Builder <bob@example.net>",
    b"\"Builder, Bob\" <bob@example.net>",
    b"\"Quoted \\\"Bob\\\"\" <bob@example.net>",
    b"=?utf-8?Q?J=C3=B6rg?= <joerg@example.com>",
    b"=?iso-8859-1?q?J=F6rg?=\r\n =?utf-8?B?IE3DvGxsZXI=?= <joerg+work@example.com>",
    b"J\xc3\xb6rg <joerg@example.com>",
    b"J\xf6rg <joerg@example.com>",
    b"ann+news@example.org, bob@example.net",
    b"Ann <ann+news+more@example.org>,\r\n\tBob <bob@example.net>,\r\n <carol@sub.example.org>",
    b"undisclosed-recipients:;",
    b"friends: ann@example.org, Bob <bob@example.net>;",
    b"ann@example.org (Ann, herself)",
    b"(comment) ann @ example . org",
    b"\"odd local\"@example.org",
    b"\"ann+quoted\"@example.org",
    b"<@relay.example,@b.example:ann@example.org>",
    b"ann@[192.0.2.1]",
    b"no address at all",
    b"ann@",
    b"@example.org",
    b"<ann@example.org",
    b"a@b@c",
    b"ann@example.org bob@example.net",
    b", ann@example.org,,",
    b"<>",
    b"MAILER-DAEMON",
    b"+detail@example.org",
    b"user+@example.org",
    b"user++x@example.org",
    b"\xc3\xb6@\xc3\xb6.example",
    b"ann@xn--nda.example",
    b"",
];

const SUBJECTS: &[&[u8]] = &[
    b"hello",
    b"Hello World",
    b"[list] a message of the list",
    b"Re: [ticket #12345] your order",
    b"MAKE MONEY FAST!!!",
    b"folded\r\n subject of\r\n\tthree lines",
    b"=?utf-8?Q?K=C3=A4se?=",
    b"=?UTF-8?B?w5xiZXIgYWxsZQ==?=",
    b"=?utf-8?Q?one?= =?utf-8?Q?two?=",
    b"=?utf-8?Q?one?=\r\n =?utf-8?Q?_two?=",
    b"mixed =?iso-8859-1?Q?gr=FC=DFe?= words",
    b"=?utf-8*de?Q?gr=C3=BC=C3=9Fe?=",
    b"=?iso-8859-15?Q?=A4?= 5",
    b"=?koi8-r?B?8NLJ18XU?=",
    b"=?x-unknown?Q?hello?=",
    b"=?utf-8?X?hello?=",
    b"=?utf-8?Q?broken",
    b"=?utf-8?B?!!!!?=",
    b"=?utf-8?B?SGVsbG8?=",
    b"=?utf-8?Q?=FF=FE?=",
    b"=?utf-8?Q?a=00b?=",
    b"a=?utf-8?Q?glued?=b",
    b"K\xc3\xa4se unencoded",
    b"K\xe4se in latin",
    b"tabs\tand  two  blanks",
    b"trailing blanks   ",
    b"*** stars and ? marks \\ [a-z]",
    b"123",
    b"0042",
    b"\"quoted\" 'words'",
    b"a@b.example in words",
    b"$ {dollar} ${hex:41}",
    b"",
];

const DATES: &[&[u8]] = &[
    b"Tue, 01 Apr 2025 09:06:31 -0700",
    b"Tue, 1 Apr 2025 23:59:59 +0000",
    b"1 Apr 2025 00:00 +0530",
    b"Sun, 30 Nov 2025 10:11:12 EST",
    b"Sun, 30 Nov 2025 10:11:12 GMT",
    b"Mon, 29 Feb 2024 12:00:00 +0100 (CET)",
    b"Thu, 31 Dec 1998 23:59:60 +0000",
    b"Wed, 02 Jul 97 08:00:00 +0200",
    b"Fri, 13 Mar 2026 1:2:3 +0000",
    b"Sat,\r\n 14 Mar 2026 01:02:03\r\n +0000",
    b"Tue, 01 Apr 2025 09:06:31",
    b"Tue, 32 Apr 2025 09:06:31 +0000",
    b"Tue, 01 Foo 2025 09:06:31 +0000",
    b"Mon, 01 Apr 2025 09:06:31 +0000",
    b"2025-04-01T09:06:31Z",
    b"yesterday",
    b"",
    b"Tue, 01 Apr 2025 25:61:61 +0000",
    b"Tue, 01 Apr 2025 09:06:31 -0000",
    b"Thu, 01 Jan 1970 00:00:00 +0000",
];
