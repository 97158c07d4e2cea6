//! Messages with octets and lines that a server does not take.

use std::io::Write as _;

use relais_config::channel::Downgrade;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::JoinHandle,
};

use super::{
    tests::{TWO, outbound, settings, short},
    *,
};

/// Takes everything, and offers words with blanks between them; returns what the client said.
pub(super) fn server(stream: UnixStream, offer: &'static str) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let (reader, mut writer) = stream.into_split();
        let (mut lines, mut heard, mut content) = (BufReader::new(reader), Vec::new(), false);
        let mut recipients = 0;
        let mut say = "220 store".to_owned();
        loop {
            if !say.is_empty() && writer.write_all(format!("{say}\r\n").as_bytes()).await.is_err() {
                return heard;
            }
            let start = heard.len();
            if lines.read_until(b'\n', &mut heard).await.unwrap_or(0) == 0 {
                return heard;
            }
            say = match &heard[start..] {
                b".\r\n" => {
                    content = false;
                    let taken = vec!["250 2.0.0 OK"; std::mem::take(&mut recipients)];
                    taken.join("\r\n")
                }
                _ if content => String::new(),
                b"DATA\r\n" => {
                    content = true;
                    "354 go on".to_owned()
                }
                line if line.starts_with(b"LHLO") => {
                    format!("250-store\r\n250-{}\r\n250 SIZE", offer.replace(' ', "\r\n250-"))
                }
                line => {
                    recipients += usize::from(line.starts_with(b"RCPT"));
                    "250 OK".to_owned()
                }
            };
        }
    })
}

/// The outcome, whether it was converted and is signed, and what the client said from MAIL on.
async fn handed(
    content: &Content,
    offer: &'static str,
    downgrade: Downgrade,
) -> (String, Option<bool>, String) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = server(theirs, offer);
    let settings = Settings { downgrade, ..settings(false) };
    let connection = outbound(settings).greet(Stream::Unix(ours), "s".into(), "s".into()).await;
    let mut connection = connection.expect("a connection");
    // The client of ours who brought it said nothing of 8 bits, or lied.
    let delivery = Outgoing { eight_bit: false, ..Outgoing::new("a@b", &TWO, content.size()) };
    let transacted = connection.deliver(&delivery, content, None).await.expect("it is new");
    assert!(connection.is_usable());
    drop(connection);
    let heard = String::from_utf8(server.await.expect("the server")).expect("UTF-8");
    let from_mail = heard.split_once("\r\n").expect("LHLO").1.to_owned();
    let converted = transacted.converted.map(|converted| converted.is_signed);
    (short(&transacted.attempt.outcomes[1]), converted, from_mail)
}

const PLAIN: &str = "Subject: x\r\n\r\nplain\r\n";
const EIGHT: &str = "DKIM-Signature: v=1\r\nMIME-Version: 1.0\r\n\r\n.ü\r\n";
const QUOTED: &str = "DKIM-Signature: v=1\r\nMIME-Version: 1.0\r\n\
                      Content-Transfer-Encoding: quoted-printable\r\n\r\n.=C3=BC\r\n";
const IN_HEADER: &str = "Subject: ü\r\n\r\nplain\r\n";

#[tokio::test]
async fn a_server_gets_what_it_takes() {
    let long = format!("Subject: x\r\n\r\n{}\r\n", "word ".repeat(300));
    let opaque = "Content-Transfer-Encoding: x-y\r\n\r\nü\r\n".to_owned();
    let (convert, bounce) = (Downgrade::Convert, Downgrade::Bounce);
    // name, content, offer, setting, outcome, converted and signed, parameters, what is sent
    let rows = [
        ("plain", PLAIN.to_owned(), "8BITMIME", convert, "D 2.0.0", None, " SIZE=23", Some(PLAIN)),
        (
            "8 bits",
            EIGHT.to_owned(),
            "8BITMIME",
            bounce,
            "D 2.0.0",
            None,
            " SIZE=49 BODY=8BITMIME",
            Some(EIGHT),
        ),
        ("to 7 bits", EIGHT.to_owned(), "DSN", convert, "D 2.0.0", Some(true), "", Some(QUOTED)),
        ("it may not be", EIGHT.to_owned(), "DSN", bounce, "F 5.6.3", None, "", None),
        ("it cannot be", opaque, "DSN", convert, "F 5.6.3", None, "", None),
        (
            "header fields stay",
            IN_HEADER.to_owned(),
            "DSN",
            convert,
            "D 2.0.0",
            None,
            " SIZE=24",
            Some(IN_HEADER),
        ),
        ("long lines", long.clone(), "8BITMIME", convert, "D 2.0.0", Some(false), "", None),
        ("they may not be broken", long, "8BITMIME", bounce, "F 5.6.0", None, "", None),
    ];
    for (name, content, offer, downgrade, outcome, converted, parameters, sent) in rows {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content.as_bytes()).expect("room");
        let (path, size) = (file.path().to_owned(), content.len() as u64);
        for content in [Content::Whole(content.into()), Content::File { path, size }] {
            let (got, was_converted, heard) = handed(&content, offer, downgrade).await;
            assert_eq!((&*got, was_converted), (outcome, converted), "{name} {content:?}");
            if got.starts_with('F') {
                assert_eq!(heard, "", "{name}: nothing is said of it");
                continue;
            }
            assert!(heard.starts_with(&format!("MAIL FROM:<a@b>{parameters}")), "{name}: {heard}");
            let (_, data) = heard.split_once("DATA\r\n").expect("DATA");
            let data = data.strip_suffix(".\r\n").expect("a dot").replace("\r\n..", "\r\n.");
            assert_eq!(data.lines().find(|line| line.len() > 998), None, "{name}");
            assert!(sent.is_none_or(|sent| sent == data), "{name}: {data}");
            let announced = format!(" SIZE={}", data.len() + 2);
            assert!(heard.contains(&announced), "{name}: {announced} {heard}");
        }
    }
}
