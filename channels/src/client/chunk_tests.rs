//! The content in one chunk with its commands, without a socket and over one of TCP.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::{
    tests::{TWO, delivery, settings, short},
    *,
};
use crate::{
    client::{Outbound, chunk::OneChunk},
    mail::{Attempt, Outcome},
};

/// The end of a conversation behind its replies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    Nothing,
    /// It says this, too.
    Says(u16),
    Closes,
    Silent,
}

/// The outcomes of two recipients; `u`: unsure, `x`: the connection is not used again, `!`: the site is in
/// trouble, `d`: by DATA.
fn come_of(codes: &[u16], then: Then, is_out: bool) -> String {
    let keywords = "peer\nPIPELINING\nCHUNKING";
    let offer = Offer::of(&Reply::plain(250, keywords), Dialect::Smtp, false);
    let message = Outgoing::new("s@x", &TWO, 10);
    let mut exchange =
        Exchange::new(&message, offer, Before::New, false).with_chunk(Some(OneChunk::new(12)));
    assert_eq!(exchange.begin(), Next::Send);
    let mut commands = Vec::new();
    exchange.commands(&mut commands);
    let heard = String::from_utf8_lossy(&commands);
    assert!(heard.ends_with("RCPT TO:<u2>\r\nBDAT 12 LAST\r\n"), "{heard}");
    assert!(exchange.sends_chunk());
    exchange.chunk_sent(is_out);
    let mut next = Next::Await;
    for code in codes {
        assert_eq!(next, Next::Await, "{codes:?} before {code}");
        next = exchange.take(Reply::plain(*code, "said"));
    }
    match then {
        Then::Nothing => {}
        Then::Says(code) => exchange.surplus(&Lost::Unasked(Reply::plain(code, "more"))),
        Then::Closes => assert!(!exchange.lost("peer", &Lost::Closed), "it is not stale"),
        Then::Silent => assert!(!exchange.lost("peer", &Lost::TimedOut), "it is not stale"),
    }
    let by_data = next == Next::ByData;
    assert_eq!(exchange.take_refusal_of_chunk().is_some(), by_data);
    let closing = exchange.is_closing();
    let transacted = exchange.finish("peer".into());
    assert!(transacted.by_chunk);
    let Attempt { outcomes, trouble, peer } = transacted.attempt;
    let marks = [
        (by_data, 'd'),
        (peer.is_some_and(|peer| peer.unsure), 'u'),
        (trouble.is_some(), '!'),
        (closing, 'x'),
    ];
    let letters = outcomes.iter().map(|outcome| short(outcome).remove(0));
    letters.chain(marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark)).collect()
}

#[test]
fn each_reply_to_a_message_in_one_chunk() {
    use Then::{Closes, Nothing, Says, Silent};
    // replies to MAIL, two RCPT and BDAT; what comes then; what comes of it
    let rows: [(&[u16], Then, &str); 30] = [
        (&[250, 250, 250, 250], Nothing, "DD"),
        (&[250, 250, 550, 250], Nothing, "DF"),
        (&[250, 450, 250, 250], Nothing, "TD"),
        (&[250, 250, 250, 452], Nothing, "TT"),
        (&[250, 250, 550, 554], Nothing, "FF"),
        (&[250, 250, 250, 421], Nothing, "TTx"),
        (&[250, 250, 250, 221], Nothing, "TTx"),
        (&[250, 250, 250, 354], Nothing, "TTx"),
        // Nobody is left: the last reply is no result, and its octets may be taken for commands.
        (&[250, 550, 450, 503], Nothing, "FTx"),
        (&[250, 450, 550, 554], Nothing, "TFx"),
        (&[550, 503, 503, 503], Nothing, "FFx"),
        (&[450, 503, 503, 554], Nothing, "TTx"),
        // It is not, if somebody was taken after all.
        (&[250, 550, 550, 250], Nothing, "TTux"),
        (&[550, 503, 503, 250], Nothing, "TTux"),
        // BDAT itself is refused.
        (&[250, 250, 250, 500], Nothing, "TTd"),
        (&[250, 550, 250, 502], Nothing, "FTd"),
        (&[250, 250, 250, 503], Nothing, "TTd"),
        // The connection ends.
        (&[421], Nothing, "TT!x"),
        (&[250, 421], Nothing, "TT!x"),
        (&[354], Nothing, "TTu!x"),
        (&[], Closes, "TTux"),
        (&[250, 550], Closes, "FTux"),
        (&[250, 250, 250], Closes, "TTux"),
        (&[250, 550, 450], Closes, "FTx"),
        // One of the replies is missing: nobody knows which.
        (&[250, 550, 250], Silent, "TTu!x"),
        (&[250, 550, 550], Silent, "TTu!x"),
        // A reply too many: nor here.
        (&[250, 250, 250, 250], Says(550), "TTux"),
        (&[250, 550, 550, 503], Says(500), "TTux"),
        // It only closes.
        (&[250, 250, 250, 250], Says(421), "DDx"),
        (&[250, 250, 250, 452], Closes, "TTx"),
    ];
    for (codes, then, want) in rows {
        assert_eq!(come_of(codes, then, true), want, "{codes:?} {then:?}");
    }
    // The same of a server that closed before it had all.
    let rows: [(&[u16], Then, &str); 5] = [
        (&[], Closes, "TTx"),
        (&[554], Closes, "FFx"),
        (&[250, 550], Closes, "FTx"),
        (&[250, 250, 250, 552], Nothing, "FFx"),
        (&[250, 250, 250, 250], Nothing, "TTux"),
    ];
    for (codes, then, want) in rows {
        assert_eq!(come_of(codes, then, false), want, "{codes:?} {then:?}, cut short");
    }
}

/// Greets, reads so many octets of what comes behind EHLO, or all of a message, says this, and closes if it
/// has not read all. Returns what it read.
fn serve(listener: TcpListener, reads: Option<usize>, says: &'static str) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"220 peer\r\n").await.unwrap();
        let mut heard = vec![0; b"EHLO relay.example\r\n".len()];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(b"250-peer\r\n250-PIPELINING\r\n250 CHUNKING\r\n").await.unwrap();
        heard.clear();
        while reads.is_none_or(|most| heard.len() < most) {
            if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                break;
            }
            if reads.is_none() && heard.ends_with(b"end\r\n") {
                stream.write_all(says.as_bytes()).await.unwrap();
            }
        }
        if reads.is_some() {
            stream.write_all(says.as_bytes()).await.unwrap();
        }
        heard
    })
}

async fn connect(reads: Option<usize>, says: &'static str) -> (Connection, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = serve(listener, reads, says);
    let outbound = Outbound::new(Dialect::Smtp, port, settings(false));
    let connection = outbound.connect(&"[127.0.0.1]".parse().expect("a next hop")).await;
    (connection.expect("a connection"), server)
}

fn whole(text: &str) -> Content {
    Content::Whole(text.as_bytes().to_vec().into())
}

const ALL_TAKEN: &str = "250 2.1.0 OK\r\n250 2.1.5 OK\r\n250 2.1.5 OK\r\n250 2.0.0 OK\r\n";

#[tokio::test]
async fn the_content_leaves_with_its_commands_as_it_is() {
    let envelope = "MAIL FROM:<a@b.example>\r\nRCPT TO:<u1>\r\nRCPT TO:<u2>\r\n";
    let rows = [
        ("Subject: x\r\n\r\n.dot\r\n.\r\nend\r\n", "28"),
        // The last line gets its end.
        ("Subject: x\r\n\r\nend", "19"),
    ];
    for (text, octets) in rows {
        let (mut connection, server) = connect(None, ALL_TAKEN).await;
        let content = whole(text);
        let to = delivery(&TWO, &content);
        let done = connection.deliver(&to, &content, None).await.expect("it is new");
        assert!(done.by_chunk);
        assert_eq!(done.attempt.outcomes.iter().map(short).collect::<Vec<_>>(), ["D 2.0.0"; 2]);
        assert!(connection.is_usable());
        drop(connection);
        let heard = server.await.expect("the server");
        let end = if text.ends_with('\n') { "" } else { "\r\n" };
        let want = format!("{envelope}BDAT {octets} LAST\r\n{text}{end}");
        assert_eq!(String::from_utf8_lossy(&heard), want);
    }
}

#[tokio::test]
async fn a_bare_line_feed_is_in_no_chunk() {
    let (mut connection, server) = connect(None, ALL_TAKEN).await;
    let content = whole("Subject: x\n\nend\r\n");
    let done = connection.deliver(&delivery(&TWO, &content), &content, None).await;
    let attempt = done.expect("nothing was sent").attempt;
    assert_eq!(attempt.outcomes.iter().map(short).collect::<Vec<_>>(), ["F 5.6.11"; 2]);
    drop(connection);
    assert!(server.await.expect("the server").is_empty());
}

#[tokio::test]
async fn a_server_that_refuses_bdat_is_asked_again_by_data() {
    const UNKNOWN: &str =
        "250 2.1.0 OK\r\n250 2.1.5 OK\r\n250 2.1.5 OK\r\n502 5.5.1 what is BDAT?\r\n";
    let content = whole("Subject: x\r\n\r\nend\r\n");
    let to = delivery(&TWO, &content);
    let (mut connection, _server) = connect(None, UNKNOWN).await;
    let refused = connection.deliver(&to, &content, None).await;
    assert!(matches!(&refused, Err(Again::ByData(reply)) if reply.code == 502), "{refused:?}");
    assert!(!connection.is_usable());
    // On another connection DATA is used, whatever is offered.
    let (mut connection, server) =
        connect(Some(59), "250 OK\r\n250 OK\r\n250 OK\r\n421 bye\r\n").await;
    connection.use_data();
    let done = connection.deliver(&to, &content, None).await.expect("it is new");
    assert!(!done.by_chunk);
    let heard = server.await.expect("the server");
    assert!(heard.ends_with(b"RCPT TO:<u2>\r\nDATA\r\n"), "{}", String::from_utf8_lossy(&heard));
}

/// A server that does not read on says why, as far as its system lets it.
#[tokio::test]
async fn a_server_that_closes_before_it_has_read_all_took_nothing() {
    let text = format!("Subject: x\r\n\r\n{}end\r\n", "0123456789\r\n".repeat(5_000));
    let content = whole(&text);
    let to = delivery(&TWO, &content);
    // octets that it reads, what it says, what may come of it
    let rows = [
        (40, "", ["T 4.4.2", "T 4.4.2"]),
        (40, "554 5.7.1 go away\r\n", ["F 5.7.1", "T 4.4.2"]),
        (30_000, "250 OK\r\n550 5.1.1 no\r\n550 5.1.1 no\r\n", ["F 5.1.1", "T 4.4.2"]),
        (30_000, "250 OK\r\n250 OK\r\n250 OK\r\n552 5.3.4 big\r\n", ["F 5.3.4", "T 4.4.2"]),
    ];
    for (reads, says, may) in rows {
        let (mut connection, _server) = connect(Some(reads), says).await;
        let done = connection.deliver(&to, &content, None).await.expect("it is new");
        for outcome in &done.attempt.outcomes {
            assert!(may.contains(&&*short(outcome)), "{reads} {says}: {outcome:?}");
            let is_meant = matches!(outcome, Outcome::Failed(_) | Outcome::Deferred(_));
            assert!(is_meant && !connection.is_usable(), "{reads} {says}");
        }
    }
}
