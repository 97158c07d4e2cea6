//! The meaning of each kind of reply at each stage, for each of two recipients, over a socket of TCP, in
//! both dialects (postfix-lmtp 1.11; where Postfix counts a 221 as a delivery or lets replies shift, we do
//! not).

use std::fmt::Write as _;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{
    tests::{TWO, delivery, message, settings, short},
    *,
};
use crate::client::Outbound;

/// When the server does something else than to say yes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    Greeting,
    /// LHLO or EHLO.
    Hello,
    /// HELO, to a server that refuses EHLO.
    Helo,
    Mail,
    Rcpt1,
    Rcpt2,
    BothRcpt,
    Data,
    Dot1,
    Dot2,
}

/// The thing it does then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Later,
    Never,
    Closing,
    Close,
    Go,
    Odd,
    Garbage,
    Silent,
}

const KINDS: [Kind; 8] = [
    Kind::Later,
    Kind::Never,
    Kind::Closing,
    Kind::Close,
    Kind::Go,
    Kind::Odd,
    Kind::Garbage,
    Kind::Silent,
];

impl Kind {
    fn says(self) -> &'static str {
        match self {
            Self::Later => "450 4.2.0 later",
            Self::Never => "550 5.1.1 never",
            Self::Closing => "421 4.3.2 closing",
            Self::Go => "354 go on",
            Self::Odd => "221 2.0.0 bye",
            Self::Garbage => "hello there",
            Self::Close | Self::Silent => "",
        }
    }
}

/// Plays a server that is well but for one thing; ends when the client does, or when it closes.
async fn play(stream: TcpStream, dialect: Dialect, at: At, kind: Kind, pipelining: bool) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut content, mut rcpts, mut accepted) = (false, 0, 0);
    let mut due = vec![(Some(At::Greeting), "220 store")];
    loop {
        let mut say = String::new();
        for (stage, usual) in due.drain(..) {
            let is_both = at == At::BothRcpt && matches!(stage, Some(At::Rcpt1 | At::Rcpt2));
            if stage != Some(at) && !is_both {
                let _ = write!(say, "{usual}\r\n");
                continue;
            }
            if kind == Kind::Silent {
                continue;
            }
            let words = kind.says();
            if kind == Kind::Close {
                writer.write_all(say.as_bytes()).await.unwrap_or(());
                return;
            }
            let _ = write!(say, "{words}\r\n");
            if kind == Kind::Closing {
                writer.write_all(say.as_bytes()).await.unwrap_or(());
                return;
            }
        }
        if writer.write_all(say.as_bytes()).await.is_err() {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        let refuses = |stage: At| {
            let here = at == stage || at == At::BothRcpt;
            here && !matches!(kind, Kind::Odd | Kind::Silent)
        };
        match line.get(..4).unwrap_or(&line) {
            "." => {
                content = false;
                // One reply for each that was taken, in order: the first that is left is the first.
                let both = [(At::Dot1, "250 2.0.0 u1"), (At::Dot2, "250 2.0.0 u2")];
                let replies = dialect.replies_to_content(accepted);
                let taken = both.iter().skip(2 - accepted).take(replies);
                due.extend(taken.map(|(stage, say)| (Some(*stage), *say)));
            }
            _ if content => {}
            "EHLO" if at == At::Helo => due.push((None, "502 5.5.1 unknown")),
            "LHLO" | "EHLO" if pipelining => {
                due.push((Some(At::Hello), "250-store\r\n250 PIPELINING"));
            }
            "LHLO" | "EHLO" => due.push((Some(At::Hello), "250 store")),
            "HELO" => due.push((Some(At::Helo), "250 store")),
            "MAIL" => due.push((Some(At::Mail), "250 2.1.0 OK")),
            "RCPT" => {
                rcpts += 1;
                let stage = if rcpts == 1 { At::Rcpt1 } else { At::Rcpt2 };
                accepted += usize::from(!refuses(stage) && (at != At::Mail || kind == Kind::Odd));
                due.push((Some(stage), "250 2.1.5 OK"));
            }
            "DATA" if accepted == 0 => due.push((None, "503 5.5.1 nobody")),
            "DATA" => {
                content = at != At::Data || kind == Kind::Go;
                due.push((Some(At::Data), "354 go on"));
            }
            _ => due.push((None, "250 OK")),
        }
    }
}

/// The two outcomes; `!`: the host is in trouble, `x`: the connection is not used again.
async fn attempt(dialect: Dialect, at: At, kind: Kind, pipelining: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server: JoinHandle<()> = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        play(stream, dialect, at, kind, pipelining).await;
    });
    let limit = Duration::from_millis(400);
    let settings = Settings { command_time: limit, status_time: limit, ..settings(false) };
    let outbound = Outbound::new(dialect, port, settings);
    let content = message();
    let got = match outbound.connect(&"[127.0.0.1]".parse().expect("a next hop")).await {
        Err(trouble) => format!("{0}, {0} !x", short(&trouble.outcome)),
        Ok(mut connection) => {
            let to = delivery(&TWO, &content);
            let done = connection.deliver(&to, &content, None).await.expect("it is new").attempt;
            let outcomes = done.outcomes.iter().map(short).collect::<Vec<_>>().join(", ");
            let trouble = if done.trouble.is_some() { "!" } else { "" };
            let broken = if connection.broken { "x" } else { "" };
            format!("{outcomes} {trouble}{broken}").trim_end().to_owned()
        }
    };
    server.abort();
    got
}

/// Rows in the order of [`KINDS`]: 4xx, 5xx, 421 and closed, closed, 3xx, 221, no reply, silence. Behind a
/// `|`, where the server does not pipeline.
const MATRIX: [(At, [&str; 8]); 9] = [
    (
        At::Greeting,
        [
            "T 4.2.0, T 4.2.0 !x",
            "T 5.1.1, T 5.1.1 !x",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Hello,
        [
            "T 4.2.0, T 4.2.0 !x",
            "F 5.1.1, F 5.1.1 !x",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Mail,
        [
            "T 4.2.0, T 4.2.0",
            "F 5.1.1, F 5.1.1",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            // The 503 for DATA, which is read as that for a recipient, is none.
            "T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Rcpt1,
        [
            "T 4.2.0, D 2.0.0",
            "F 5.1.1, D 2.0.0",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x|T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Rcpt2,
        [
            "D 2.0.0, T 4.2.0",
            "D 2.0.0, F 5.1.1",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x|T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::BothRcpt,
        [
            "T 4.2.0, T 4.2.0",
            "F 5.1.1, F 5.1.1",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x|T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Data,
        [
            "T 4.2.0, T 4.2.0",
            "F 5.1.1, F 5.1.1",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.5.0, T 4.5.0 x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Dot1,
        [
            "T 4.2.0, D 2.0.0",
            "F 5.1.1, D 2.0.0",
            "T 4.3.2, T 4.4.2 x",
            "T 4.4.2, T 4.4.2 x",
            "T 4.4.2, D 2.0.0 x",
            "T 4.4.2, D 2.0.0 x",
            "T 4.4.2, T 4.4.2 x",
            // One reply for two is the first one's.
            "D 2.0.0, T 4.4.2 x",
        ],
    ),
    (
        At::Dot2,
        [
            "D 2.0.0, T 4.2.0",
            "D 2.0.0, F 5.1.1",
            "D 2.0.0, T 4.3.2 x",
            "D 2.0.0, T 4.4.2 x",
            "D 2.0.0, T 4.4.2 x",
            "D 2.0.0, T 4.4.2 x",
            "D 2.0.0, T 4.4.2 x",
            "D 2.0.0, T 4.4.2 x",
        ],
    ),
];

/// The rows of SMTP that differ: a server that refuses EHLO is asked by HELO, and one reply to the content
/// is for both. A recipient who was refused is not among them.
const OF_SMTP: [(At, [&str; 8]); 4] = [
    (
        At::Hello,
        [
            "T 4.2.0, T 4.2.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Helo,
        [
            "T 4.2.0, T 4.2.0 !x",
            "F 5.1.1, F 5.1.1 !x",
            "T 4.3.2, T 4.3.2 !x",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.5.0, T 4.5.0 !x",
            "D 2.0.0, D 2.0.0",
            "T 4.4.2, T 4.4.2 !x",
            "T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (
        At::Dot1,
        [
            "T 4.2.0, T 4.2.0",
            "F 5.1.1, F 5.1.1",
            "T 4.3.2, T 4.3.2 x",
            "T 4.4.2, T 4.4.2 x",
            "T 4.4.2, T 4.4.2 x",
            "T 4.4.2, T 4.4.2 x",
            "T 4.4.2, T 4.4.2 x",
            "T 4.4.2, T 4.4.2 !x",
        ],
    ),
    (At::Dot2, ["D 2.0.0, D 2.0.0"; 8]),
];

/// The cells whose outcomes are not as they should be.
async fn differing(dialect: Dialect, rows: impl Iterator<Item = (At, [&str; 8])>) -> String {
    let mut wrong = String::new();
    for (at, wanted) in rows {
        for (kind, want) in KINDS.into_iter().zip(wanted) {
            for pipelining in [true, false] {
                let got = attempt(dialect, at, kind, pipelining).await;
                let (ahead, one_by_one) = want.split_once('|').unwrap_or((want, want));
                let want = if pipelining { ahead } else { one_by_one };
                if got != want {
                    let _ = writeln!(wrong, "{at:?} {kind:?} {pipelining}: {got}, not {want}");
                }
            }
        }
    }
    wrong
}

#[tokio::test]
async fn every_kind_of_reply_at_every_stage() {
    let wrong = differing(Dialect::Lmtp, MATRIX.into_iter()).await;
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn every_kind_of_reply_at_every_stage_of_smtp() {
    let differs = |at: At| OF_SMTP.iter().any(|(other, _)| *other == at);
    let rows = MATRIX.into_iter().filter(|(at, _)| !differs(*at)).chain(OF_SMTP);
    let wrong = differing(Dialect::Smtp, rows).await;
    assert!(wrong.is_empty(), "{wrong}");
}
