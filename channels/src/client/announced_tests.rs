//! One message behind the other, the second announced with the content of the first.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::JoinHandle,
};

use super::{
    tests::{TWO, delivery, message, outbound, settings, short},
    *,
};
use crate::{
    client::{Outbound, OutgoingRcpt},
    mail::Notify,
};

/// A server that says nothing to a message before it has the commands of the next one: in one
/// piece, its `status` and the replies to these. Returns what the client said. Without status it
/// closes when the dot has come; with a `|` behind it, it says
/// nothing more.
fn patient(stream: UnixStream, status: &'static str) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (reader, mut writer) = stream.into_split();
        let (mut lines, mut heard) = (BufReader::new(reader), String::new());
        writer.write_all(b"220 store LMTP\r\n").await.unwrap_or(());
        let mut dots = 0;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).await.unwrap_or(0) == 0 {
                return heard;
            }
            heard.push_str(&line);
            let envelope = "250 OK\r\n250 OK\r\n354 go ahead\r\n";
            let say = match (line.trim_end(), dots) {
                ("LHLO relay.example" | "EHLO relay.example", _) => {
                    "250-store\r\n250-DSN\r\n250 PIPELINING\r\n".to_owned()
                }
                ("DATA", 0) => envelope.to_owned(),
                ("DATA", _) => match status.strip_suffix('|') {
                    Some(alone) => format!("{alone}\r\n"),
                    None => format!("{status}\r\n{envelope}"),
                },
                (".", dot) => {
                    dots += 1;
                    if dot == 1 { "250 2.5.0 u2 OK\r\n".to_owned() } else { String::new() }
                }
                _ => String::new(),
            };
            if writer.write_all(say.as_bytes()).await.is_err() || status.is_empty() && dots == 1 {
                return heard;
            }
        }
    })
}

async fn connect_patient(status: &'static str) -> (Connection, JoinHandle<String>) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = patient(theirs, status);
    let connection =
        outbound(settings(false)).greet(Stream::Unix(ours), "store".into(), "store".into()).await;
    (connection.expect("a connection"), server)
}

#[tokio::test(start_paused = true)]
async fn the_next_message_is_announced_behind_the_content() {
    let never = |address| [OutgoingRcpt { notify: Notify::Never, ..OutgoingRcpt::new(address) }];
    let (content, first, second) = (message(), never("u1"), never("u2"));
    let (first, second) = (delivery(&first, &content), delivery(&second, &content));
    let second = Outgoing { envelope_id: Some("1"), ..second };
    let rows = [("250 2.5.0 u1 OK", "D 2.5.0"), ("452 4.2.2 full", "T 4.2.2")];
    for (status, want) in rows {
        let (mut connection, server) = connect_patient(status).await;
        let one = connection.deliver(&first, &content, Some(&second)).await.expect("it is new");
        assert_eq!(short(&one.attempt.outcomes[0]), want);
        assert!(connection.is_usable(), "replies to what was announced are expected");
        let two = connection.deliver(&second, &content, None).await.expect("it was announced");
        assert_eq!(short(&two.attempt.outcomes[0]), "D 2.5.0");
        connection.quit().await;
        let message = |id, to| {
            let envelope =
                format!("MAIL FROM:<a@b.example>{id}\r\nRCPT TO:<{to}> NOTIFY=NEVER\r\n");
            format!("{envelope}DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\n")
        };
        let (one, two) = (message("", "u1"), message(" ENVID=1", "u2"));
        let want = format!("LHLO relay.example\r\n{one}{two}QUIT\r\n");
        assert_eq!(server.await.expect("the server"), want);
    }
}

#[tokio::test(start_paused = true)]
async fn an_announced_message_is_not_lost_with_its_connection() {
    let (content, first, second) = (message(), [TWO[0]], [TWO[1]]);
    let (first, second) = (delivery(&first, &content), delivery(&second, &content));
    // The server closes without a word to the first, or in a way that is meant.
    for (status, want) in [("", "T 4.4.2"), ("421 4.3.2 bye", "T 4.3.2")] {
        let (mut connection, _server) = connect_patient(status).await;
        let one = connection.deliver(&first, &content, Some(&second)).await.expect("it is new");
        assert_eq!(short(&one.attempt.outcomes[0]), want);
        assert!(!connection.is_usable());
    }
    // Another message than the announced one cannot take its place, and QUIT would be content.
    let (mut connection, server) = connect_patient("250 2.5.0 u1 OK").await;
    connection.deliver(&first, &content, Some(&second)).await.expect("it is new");
    assert_eq!(connection.deliver(&first, &content, None).await, Err(Again::Stale));
    connection.quit().await;
    let heard = server.await.expect("the server");
    assert!(heard.ends_with("RCPT TO:<u2>\r\nDATA\r\n"), "{heard}");
}

/// Not one of these says anything about the second message.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_about_an_announced_message_is_asked_on_another_connection() {
    let (content, first, second) = (message(), [TWO[0]], [TWO[1]]);
    let (first, second) = (delivery(&first, &content), delivery(&second, &content));
    let rows = [
        ("still in the refused transaction", "552 5.2.3 too big\r\n503 5.5.1 Nested", "F 5.2.3"),
        ("a reply too many", "250 2.5.0 u1 OK\r\n250 2.5.0 u1 OK", "D 2.5.0"),
        (
            "a stray one for the recipient's",
            "250 2.5.0 u1 OK\r\n250 OK\r\n550 5.1.1 stray",
            "D 2.5.0",
        ),
        ("closing", "250 2.5.0 u1 OK\r\n250 OK\r\n421 4.3.2 bye", "D 2.5.0"),
        ("no data now", "250 2.5.0 u1 OK\r\n250 OK\r\n250 OK\r\n451 4.3.0 x", "D 2.5.0"),
        ("what was sent ahead thrown away", "250 2.5.0 u1 OK|", "D 2.5.0"),
        ("garbage", "250 2.5.0 u1 OK\r\nhuh", "D 2.5.0"),
    ];
    for (name, status, want) in rows {
        let (mut connection, _server) = connect_patient(status).await;
        let one = connection.deliver(&first, &content, Some(&second)).await.expect("it is new");
        assert_eq!(short(&one.attempt.outcomes[0]), want, "{name}");
        assert_eq!(connection.deliver(&second, &content, None).await, Err(Again::Stale), "{name}");
        assert!(!connection.is_usable(), "{name}");
    }
}

/// chasquid and Courier drop what comes behind the dot, without a word.
#[tokio::test(start_paused = true)]
async fn a_server_of_smtp_that_drops_what_was_announced_holds_nobody_up_for_long() {
    let (content, first, second) = (message(), [TWO[0]], [TWO[1]]);
    let (first, second) = (delivery(&first, &content), delivery(&second, &content));
    for (dialect, limit) in [(Dialect::Smtp, ANNOUNCED_TIME), (Dialect::Lmtp, LONG)] {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let _server = patient(theirs, "250 2.5.0 OK|");
        let settings = Settings { command_time: LONG, ..settings(false) };
        let outbound = Outbound::new(dialect, 24, settings);
        let greeted = outbound.greet(Stream::Unix(ours), "store".into(), "store".into());
        let mut connection = greeted.await.expect("a connection");
        let one = connection.deliver(&first, &content, Some(&second)).await.expect("it is new");
        assert_eq!(short(&one.attempt.outcomes[0]), "D 2.5.0");
        assert!(connection.is_announced());
        let begun = Instant::now();
        assert_eq!(
            connection.deliver(&second, &content, None).await,
            Err(Again::Stale),
            "{dialect:?}"
        );
        let waited = begun.elapsed();
        assert!(
            (limit..limit + Duration::from_secs(1)).contains(&waited),
            "{dialect:?} {waited:?}"
        );
    }
}

const LONG: Duration = Duration::from_secs(60);
