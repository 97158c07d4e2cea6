//! A message for more recipients than one write of commands holds.

use std::fmt::Write as _;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::JoinHandle,
};

use super::{
    tests::{delivery, message, outbound, settings, short},
    *,
};
use crate::{client::OutgoingRcpt, mail::Outcome};

/// The server's books: commands that had come before it was asked for one more, at most, and the
/// recipients of each message.
#[derive(Debug, Default)]
struct Heard {
    most_ahead: usize,
    messages: Vec<usize>,
}

/// Replies by what stands in the address: `later`, `never`; behind the dot the same to `busy` and
/// `full`. MAIL from `spam` is refused. It waits for a moment before each RCPT of a burst.
fn server(stream: UnixStream, offer: &'static str) -> JoinHandle<Heard> {
    tokio::spawn(async move {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::with_capacity(64 << 10, reader);
        let (mut heard, mut statuses, mut content) = (Heard::default(), String::new(), false);
        writer.write_all(b"220 store\r\n").await.unwrap_or(());
        let (mut spam, mut count) = (false, 0);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).await.unwrap_or(0) == 0 {
                return heard;
            }
            heard.most_ahead = heard.most_ahead.max(lines.buffer().len());
            let verb = line.get(..4).unwrap_or(&line);
            let say = match verb {
                "LHLO" => format!("250-store\r\n250 {offer}"),
                "MAIL" => {
                    (spam, count) = (line.contains("spam"), 0);
                    statuses.clear();
                    if spam { "550 5.7.1 spam" } else { "250 OK" }.to_owned()
                }
                "RCPT" if spam => "503 5.5.1 no MAIL".to_owned(),
                "RCPT" if line.contains("later") => "450 4.2.1 later".to_owned(),
                "RCPT" if line.contains("never") => "550 5.1.1 never".to_owned(),
                "RCPT" => {
                    count += 1;
                    let (code, detail) = match () {
                        () if line.contains("busy") => (451, "4.3.0"),
                        () if line.contains("full") => (552, "5.2.2"),
                        () => (250, "2.0.0"),
                    };
                    let _ = write!(statuses, "{code} {detail} {}\r\n", line.trim_end());
                    "250 OK".to_owned()
                }
                "DATA" if count == 0 => "503 5.5.1 nobody".to_owned(),
                "DATA" => {
                    content = true;
                    "354 go on".to_owned()
                }
                ".\r\n" => {
                    content = false;
                    heard.messages.push(count);
                    statuses.trim_end().to_owned()
                }
                _ if content => continue,
                _ => "250 OK".to_owned(),
            };
            if writer.write_all(format!("{say}\r\n").as_bytes()).await.is_err() {
                return heard;
            }
        }
    })
}

fn address(place: usize) -> String {
    let what = match place % 10 {
        3 => "later",
        5 => "never",
        7 => "busy",
        9 => "full",
        _ => "user",
    };
    format!("{what}{place}.{}@store.example", "x".repeat(50))
}

#[tokio::test]
async fn the_replies_of_a_thousand_recipients_are_theirs() {
    let addresses: Vec<String> = (0..1_000).map(address).collect();
    let to: Vec<_> = addresses.iter().map(|to| OutgoingRcpt::new(to)).collect();
    for offer in ["PIPELINING", "8BITMIME"] {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let server = server(theirs, offer);
        let connection =
            outbound(settings(false)).greet(Stream::Unix(ours), "s".into(), "s".into()).await;
        let (mut connection, content) = (connection.expect("a connection"), message());
        for _ in 0..2 {
            let to = delivery(&to, &content);
            let transacted = connection.deliver(&to, &content, None).await.expect("it is good");
            let attempt = transacted.attempt;
            for (place, outcome) in attempt.outcomes.iter().enumerate() {
                let (want, behind_dot) = match place % 10 {
                    3 => ("T 4.2.1", false),
                    5 => ("F 5.1.1", false),
                    7 => ("T 4.3.0", true),
                    9 => ("F 5.2.2", true),
                    _ => ("D 2.0.0", true),
                };
                assert_eq!(short(outcome), want, "{offer} {place}");
                let text = &outcome.reply().text;
                assert!(!behind_dot || text.contains(&addresses[place]), "{place}: {text}");
            }
            let answered = attempt.peer.expect("a peer").answered;
            assert!((0..1_000).all(|place| answered.contains(place)));
            assert_eq!(attempt.trouble, None);
        }
        drop(connection);
        let heard = server.await.expect("the server");
        assert_eq!(heard.messages, [800, 800]);
        assert!(heard.most_ahead <= 18 << 10, "{}", heard.most_ahead);
    }
}

#[tokio::test]
async fn a_refused_sender_is_not_followed_by_a_thousand_recipients() {
    let addresses: Vec<String> = (0..1_000).map(address).collect();
    let to: Vec<_> = addresses.iter().map(|to| OutgoingRcpt::new(to)).collect();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = server(theirs, "PIPELINING");
    let connection =
        outbound(settings(false)).greet(Stream::Unix(ours), "s".into(), "s".into()).await;
    let (mut connection, content) = (connection.expect("a connection"), message());
    let spam = Outgoing { sender: "spam@x.example", ..delivery(&to, &content) };
    let transacted = connection.deliver(&spam, &content, None).await.expect("it is new");
    let refused = |outcome: &Outcome| short(outcome) == "F 5.7.1";
    assert!(transacted.attempt.outcomes.iter().all(refused));
    // The next message begins with RSET, and is taken.
    let good = delivery(&to[..3], &content);
    let transacted = connection.deliver(&good, &content, None).await.expect("it is kept");
    assert!(transacted.attempt.outcomes.iter().all(|outcome| short(outcome) == "D 2.0.0"));
    drop(connection);
    assert_eq!(server.await.expect("the server").messages, [3]);
}

#[tokio::test]
async fn as_many_are_announced_as_surely_fit() {
    let addresses: Vec<String> = (0..1_000).map(address).collect();
    let to: Vec<_> = addresses.iter().map(|to| OutgoingRcpt::new(to)).collect();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = server(theirs, "PIPELINING");
    let connection =
        outbound(settings(false)).greet(Stream::Unix(ours), "s".into(), "s".into()).await;
    let (mut connection, content) = (connection.expect("a connection"), message());
    let (one, all) = (delivery(&to[..1], &content), delivery(&to, &content));
    let first = connection.deliver(&one, &content, Some(&all)).await.expect("it is new");
    assert_eq!(short(&first.attempt.outcomes[0]), "D 2.0.0");
    let second = connection.deliver(&all, &content, None).await.expect("it was announced");
    for (place, outcome) in second.attempt.outcomes.iter().enumerate() {
        let taken = !matches!(place % 10, 3 | 5 | 7 | 9);
        assert_eq!(matches!(outcome, Outcome::Delivered(_)), taken, "{place}");
        assert!(!taken || outcome.reply().text.contains(&addresses[place]), "{place}");
    }
    drop(connection);
    assert_eq!(server.await.expect("the server").messages, [1, 800]);
}
