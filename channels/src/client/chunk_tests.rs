//! The content in one chunk with its commands, without a socket and over one of TCP.

use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::{
    tests::{TWO, delivery, settings, short},
    *,
};
use crate::{
    client::{ChunkReplies, Outbound, OutgoingRcpt, chunk::OneChunk},
    mail::{Attempt, Enhanced, Outcome},
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
/// trouble, `d`: by DATA, `o`: its replies were odd.
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
    let is_odd = transacted.chunk.expect("it went in one") == ChunkReplies::Odd;
    let Attempt { outcomes, trouble, peer } = transacted.attempt;
    let marks = [
        (by_data, 'd'),
        (peer.is_some_and(|peer| peer.unsure), 'u'),
        (trouble.is_some(), '!'),
        (closing, 'x'),
        (is_odd, 'o'),
    ];
    let letters = outcomes.iter().map(|outcome| short(outcome).remove(0));
    letters.chain(marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark)).collect()
}

#[test]
fn each_reply_to_a_message_in_one_chunk() {
    use Then::{Closes, Nothing, Says, Silent};
    // replies to MAIL, two RCPT and BDAT; what comes then; what comes of it
    let rows: [(&[u16], Then, &str); 46] = [
        (&[250, 250, 250, 250], Nothing, "DD"),
        (&[250, 250, 550, 250], Nothing, "DF"),
        (&[250, 450, 250, 250], Nothing, "TD"),
        (&[250, 250, 550, 554], Nothing, "FF"),
        // The next attempt shows whether it is about BDAT.
        (&[250, 250, 250, 452], Nothing, "TTo"),
        (&[250, 250, 250, 421], Nothing, "TTxo"),
        (&[250, 250, 250, 221], Nothing, "TTxo"),
        (&[250, 250, 250, 354], Nothing, "TTxo"),
        // Nobody is left: the last reply is no result, and its octets may be taken for commands.
        (&[250, 550, 450, 503], Nothing, "FTx"),
        (&[250, 450, 550, 554], Nothing, "TFx"),
        (&[550, 503, 503, 503], Nothing, "FFx"),
        (&[450, 503, 503, 554], Nothing, "TTx"),
        // It is not, if somebody was taken after all.
        (&[250, 550, 550, 250], Nothing, "TTuxo"),
        (&[550, 503, 503, 250], Nothing, "TTuxo"),
        // BDAT itself is refused.
        (&[250, 250, 250, 500], Nothing, "TTd"),
        (&[250, 550, 250, 502], Nothing, "FTd"),
        (&[250, 250, 250, 503], Nothing, "TTd"),
        // It says that it closes, and does; who was taken before may have the message.
        (&[421], Closes, "TT!xo"),
        (&[250, 421], Closes, "TT!xo"),
        (&[250, 550, 421], Closes, "TT!xo"),
        (&[250, 250, 421], Closes, "TTu!xo"),
        // It does not, and says what became of the message.
        (&[250, 250, 421, 250], Nothing, "DT!xo"),
        (&[250, 421, 250, 250], Nothing, "TD!xo"),
        (&[250, 250, 421, 552], Nothing, "FT!xo"),
        (&[250, 250, 421, 421], Nothing, "TT!xo"),
        (&[421, 503, 503, 503], Nothing, "TT!xo"),
        (&[421, 250, 250, 250], Nothing, "TTu!xo"),
        (&[250, 250, 421], Silent, "TTu!xo"),
        (&[421], Silent, "TT!xo"),
        // The connection ends: one of the replies is missing, and nobody knows which.
        (&[354], Nothing, "TTu!xo"),
        (&[], Closes, "TTuxo"),
        (&[250, 550], Closes, "TTuxo"),
        (&[250, 250, 250], Closes, "TTuxo"),
        (&[250, 550, 250], Closes, "TTuxo"),
        (&[250, 550, 450], Closes, "TTuxo"),
        (&[250, 550, 550], Closes, "TTuxo"),
        (&[250, 550, 250], Silent, "TTu!xo"),
        (&[250, 550, 550], Silent, "TTu!xo"),
        // None of them made it a recipient.
        (&[550], Closes, "FFxo"),
        (&[550, 503, 503], Closes, "FFxo"),
        // A reply too many: nor here.
        (&[250, 250, 250, 250], Says(550), "TTuxo"),
        (&[250, 250, 550, 250], Says(250), "TTuxo"),
        (&[250, 550, 550, 503], Says(500), "TTuxo"),
        // All of them are successes.
        (&[250, 250, 250, 250], Says(250), "DDxo"),
        // It only closes.
        (&[250, 250, 250, 250], Says(421), "DDx"),
        (&[250, 250, 250, 452], Closes, "TTxo"),
    ];
    for (codes, then, want) in rows {
        assert_eq!(come_of(codes, then, true), want, "{codes:?} {then:?}");
    }
    // The same of a server that closed before it had all.
    let rows: [(&[u16], Then, &str); 6] = [
        (&[], Closes, "TTxo"),
        (&[554], Closes, "FFxo"),
        (&[421], Nothing, "TT!xo"),
        (&[250, 550], Closes, "TTxo"),
        (&[250, 250, 250, 552], Nothing, "FFx"),
        (&[250, 250, 250, 250], Nothing, "TTuxo"),
    ];
    for (codes, then, want) in rows {
        assert_eq!(come_of(codes, then, false), want, "{codes:?} {then:?}, cut short");
    }
}

#[test]
fn a_success_that_reads_like_that_of_a_recipient_is_held() {
    use Then::{Closes, Says, Silent};
    // what comes behind 250 2.1.5 to BDAT; what comes of it
    let rows = [
        (Silent, "D"),
        (Closes, "D"),
        (Says(250), "D"),
        (Says(421), "D"),
        (Says(552), "Tu"),
        (Says(450), "Tu"),
    ];
    for (then, want) in rows {
        let offer =
            Offer::of(&Reply::plain(250, "peer\nPIPELINING\nCHUNKING"), Dialect::Smtp, false);
        let message = Outgoing::new("s@x", &TWO[..1], 10);
        let mut exchange =
            Exchange::new(&message, offer, Before::New, false).with_chunk(Some(OneChunk::new(12)));
        assert_eq!(exchange.begin(), Next::Send);
        exchange.commands(&mut Vec::new());
        exchange.chunk_sent(true);
        for detail in [0, 0, 5] {
            assert!(!exchange.holds_success());
            let reply = Reply::new(250, Enhanced(2, 1, detail), "OK");
            assert_eq!(exchange.take(reply), Next::Await);
        }
        assert!(exchange.holds_success());
        match then {
            Then::Nothing => {}
            Says(code) => assert_eq!(exchange.take(Reply::plain(code, "more")), Next::Done),
            Closes => assert!(!exchange.lost("peer", &Lost::Closed)),
            Silent => assert!(!exchange.lost("peer", &Lost::TimedOut)),
        }
        assert!(exchange.is_closing());
        let transacted = exchange.finish("peer".into());
        assert_eq!(transacted.chunk, Some(ChunkReplies::Odd), "{then:?}");
        let unsure = transacted.attempt.peer.is_some_and(|peer| peer.unsure);
        let outcome = short(&transacted.attempt.outcomes[0]).remove(0);
        assert_eq!(format!("{outcome}{}", if unsure { "u" } else { "" }), want, "{then:?}");
    }
}

/// The commands of these fill what is sent ahead to the octet.
#[test]
fn a_chunk_that_was_not_sent_leaves_no_doubt() {
    let names: Vec<_> = (10..42).map(|n| format!("{n}{}", "a".repeat(498))).collect();
    let recipients: Vec<_> = names.iter().map(|name| OutgoingRcpt::new(name)).collect();
    let message = Outgoing::new("s@x", &recipients, 10);
    let offer = Offer::of(&Reply::plain(250, "peer\nPIPELINING\nCHUNKING"), Dialect::Smtp, false);
    let bye = || Lost::Unasked(Reply::plain(421, "bye"));
    for (lost, is_sent) in [(bye(), false), (Lost::Closed, false), (Lost::Closed, true)] {
        let mut exchange =
            Exchange::new(&message, offer, Before::New, false).with_chunk(Some(OneChunk::new(12)));
        assert_eq!(exchange.begin(), Next::Send);
        let mut commands = Vec::new();
        exchange.commands(&mut commands);
        assert!(commands.ends_with(b"a>\r\n") && !exchange.sends_chunk());
        for _ in 0..recipients.len() {
            assert_eq!(exchange.take(Reply::plain(250, "OK")), Next::Await);
        }
        assert_eq!(exchange.take(Reply::plain(250, "OK")), Next::Send);
        if is_sent {
            commands.clear();
            exchange.commands(&mut commands);
            assert_eq!(commands, b"BDAT 12 LAST\r\n");
            exchange.chunk_sent(true);
        }
        assert!(!exchange.lost("peer", &lost));
        let Transacted { attempt, chunk, .. } = exchange.finish("peer".into());
        assert_eq!(attempt.peer.expect("a peer").unsure, is_sent, "{lost}");
        assert_eq!(chunk.is_some(), is_sent, "{lost}");
        let Some(Outcome::Deferred(reply)) = attempt.outcomes.first() else { panic!("it waits") };
        assert_eq!(reply.text.contains("may be sent twice"), is_sent, "{reply}");
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
        assert_eq!(done.chunk, Some(ChunkReplies::InStep));
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
    assert_eq!(done.chunk, None);
    let heard = server.await.expect("the server");
    assert!(heard.ends_with(b"RCPT TO:<u2>\r\nDATA\r\n"), "{}", String::from_utf8_lossy(&heard));
}

#[tokio::test]
async fn a_reply_too_many_is_seen_before_the_next_message_and_at_the_end() {
    let content = whole("Subject: x\r\n\r\nend\r\n");
    let to = delivery(&TWO, &content);
    for says in [Some("552 5.3.4 too big"), None] {
        for goes_on in [true, false] {
            let (mut connection, mut server) = connect_slow(says).await;
            let done = connection.deliver(&to, &content, None).await.expect("it is new");
            assert_eq!(done.chunk, Some(ChunkReplies::InStep));
            assert!(connection.is_usable());
            server.say.notify_one();
            server.said.recv().await.expect("it said more");
            let late = if goes_on {
                let next = connection.deliver(&to, &content, None).await;
                assert_eq!(matches!(next, Err(Again::Stale)), says.is_some(), "{next:?}");
                let late = connection.take_late_reply();
                assert_eq!(connection.is_usable(), late.is_none());
                late
            } else {
                connection.quit().await
            };
            assert_eq!(late.map(|reply| reply.code), says.map(|_| 552));
        }
    }
}

/// A server that says something more to a chunk when it is told to.
struct Slow {
    say: Arc<Notify>,
    said: mpsc::Receiver<()>,
}

async fn connect_slow(says: Option<&'static str>) -> (Connection, Slow) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (say, told) = (Arc::new(Notify::new()), mpsc::channel(1));
    let (wait, (tell, said)) = (Arc::clone(&say), told);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let (reads, mut writes) = stream.into_split();
        let (mut lines, mut is_first) = (BufReader::new(reads).lines(), true);
        writes.write_all(b"220 peer\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let reply: &[u8] = match line.split(' ').next() {
                Some("EHLO") => b"250-peer\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
                Some("DATA") => b"354 go on\r\n",
                Some("end") if is_first => b"250 OK\r\n",
                Some("BDAT" | "Subject:" | "" | "end") => b"",
                Some("QUIT") => b"221 bye\r\n",
                _ => b"250 OK\r\n",
            };
            writes.write_all(reply).await.unwrap();
            if line == "end" && is_first {
                is_first = false;
                wait.notified().await;
                if let Some(says) = says {
                    writes.write_all(says.as_bytes()).await.unwrap();
                    writes.write_all(b"\r\n").await.unwrap();
                }
                let _ = tell.try_send(());
            }
        }
    });
    let outbound = Outbound::new(Dialect::Smtp, port, settings(false));
    let connection = outbound.connect(&"[127.0.0.1]".parse().expect("a next hop")).await;
    (connection.expect("a connection"), Slow { say, said })
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
