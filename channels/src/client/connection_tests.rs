//! A scripted server at the other end of a socket pair.

use std::io::Write as _;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::JoinHandle,
};

use relais_config::channel::Downgrade;

use super::*;
use crate::{
    client::{Outbound, OutgoingRcpt},
    mail::{Attempt, Notify, OriginalRecipient, Outcome, Return},
};

/// Lines of the server; `""` closes the connection, `-` says nothing at all.
#[derive(Clone)]
struct Script {
    greeting: &'static str,
    lhlo: &'static str,
    rset: &'static str,
    mail: &'static str,
    rcpt: [&'static str; 2],
    data: &'static str,
    /// Said when the dot has come, one after the other, whatever RCPT was answered.
    status: Vec<&'static str>,
    /// Closes behind the last status.
    then_close: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            greeting: "220 store LMTP",
            lhlo: "250-store\r\n250-PIPELINING\r\n250 OK",
            rset: "250 OK",
            mail: "250 OK",
            rcpt: ["250 OK", "250 OK"],
            data: "354 go ahead",
            status: vec!["250 2.5.0 u1 OK", "250 2.5.0 u2 OK"],
            then_close: false,
        }
    }
}

pub(in crate::client) fn settings(private: bool) -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        progress: crate::client::Progress::default(),
        host: "relay.example".to_owned(),
        connect_time: second,
        command_time: second,
        data_time: second,
        status_time: second,
        private,
        max_line: 1_000,
        downgrade: Downgrade::Bounce,
        chunking: relais_config::channel::Chunking::WhenItPays,
        max_rcpt: 64,
        limits: crate::client::ConnectionLimits::default(),
    }
}

pub(super) fn outbound(settings: Settings) -> Outbound {
    Outbound::new(Dialect::Lmtp, 24, settings)
}

/// Plays the script until the client goes away; returns everything the client said.
fn server(stream: UnixStream, script: Script) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (reader, mut writer) = stream.into_split();
        let (mut lines, mut heard) = (BufReader::new(reader), String::new());
        let mut rcpts = script.rcpt.iter();
        let mut say = script.greeting.to_owned();
        loop {
            match say.as_str() {
                "" => return heard,
                "-" => {}
                say => writer.write_all(format!("{say}\r\n").as_bytes()).await.unwrap_or(()),
            }
            let mut line = String::new();
            if lines.read_line(&mut line).await.unwrap_or(0) == 0 {
                return heard;
            }
            heard.push_str(&line);
            let verb = line.split([' ', '\r']).next().unwrap_or_default().to_owned();
            say = match verb.as_str() {
                "LHLO" => script.lhlo.to_owned(),
                "RSET" => script.rset.to_owned(),
                "MAIL" => {
                    rcpts = script.rcpt.iter();
                    script.mail.to_owned()
                }
                "RCPT" => (*rcpts.next().unwrap_or(&"503 5.5.1 who?")).to_owned(),
                "DATA" => script.data.to_owned(),
                "QUIT" => "221 bye".to_owned(),
                "." if script.then_close => {
                    for status in &script.status {
                        writer.write_all(format!("{status}\r\n").as_bytes()).await.unwrap_or(());
                    }
                    return heard;
                }
                "." => script.status.join("\r\n"),
                _ => "-".to_owned(),
            };
            if say.is_empty() && verb == "." {
                "-".clone_into(&mut say);
            }
        }
    })
}

async fn connect(
    script: Script,
    private: bool,
) -> (Result<Connection, SiteTrouble>, JoinHandle<String>) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = server(theirs, script);
    let connection =
        outbound(settings(private)).greet(Stream::Unix(ours), "store".into(), "store".into()).await;
    (connection, server)
}

pub(super) const TWO: [OutgoingRcpt<'_>; 2] = [OutgoingRcpt::new("u1"), OutgoingRcpt::new("u2")];

pub(super) fn delivery<'a>(recipients: &'a [OutgoingRcpt<'a>], content: &Content) -> Outgoing<'a> {
    Outgoing::new("a@b.example", recipients, content.size())
}

pub(super) fn message() -> Content {
    Content::Whole(bytes::Bytes::from_static(b"Subject: x\r\n\r\n.dot\r\n"))
}

/// `D`elivered, `T`emporary, `F`ailed, with the enhanced code if there is one, else the code.
pub(in crate::client) fn short(outcome: &Outcome) -> String {
    let letter = match outcome {
        Outcome::Delivered(_) => 'D',
        Outcome::Deferred(_) => 'T',
        Outcome::Failed(_) => 'F',
    };
    let reply = outcome.reply();
    reply.enhanced.map_or(format!("{letter} {}", reply.code), |e| format!("{letter} {e}"))
}

/// One attempt: the outcomes, `!` when the site is in trouble, `x` when the connection is lost.
async fn attempt(script: Script, private: bool) -> String {
    let (connection, _server) = connect(script, private).await;
    let content = message();
    let mut connection = match connection {
        Ok(connection) => connection,
        Err(trouble) => return format!("{} !x", short(&trouble.outcome)),
    };
    let attempt = connection
        .deliver(&delivery(&TWO, &content), &content, None)
        .await
        .expect("a new connection");
    let mut all = attempt.attempt.outcomes.iter().map(short).collect::<Vec<_>>().join(", ");
    let marks = [(attempt.attempt.trouble.is_some(), '!'), (connection.broken, 'x')];
    let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| mark).collect();
    if !marks.is_empty() {
        all.push(' ');
        all.push_str(&marks);
    }
    all
}

/// The matrix of stage and reply, with PIPELINING and without.
#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn every_reply_at_every_stage_means_what_it_should() {
    let s = Script::default;
    let rows: Vec<(&str, Script, &str)> = vec![
        ("all is well", s(), "D 2.5.0, D 2.5.0"),
        ("greeting 4xx", Script { greeting: "450 4.3.2 later", ..s() }, "T 4.3.2 !x"),
        ("greeting 5xx defers", Script { greeting: "554 5.3.2 no", ..s() }, "T 5.3.2 !x"),
        ("greeting 354", Script { greeting: "354 x", ..s() }, "T 4.5.0 !x"),
        ("two greetings", Script { greeting: "220 a\r\n220 b", ..s() }, "T 4.4.2 !x"),
        ("greeting 421", Script { greeting: "421 4.3.2 full", ..s() }, "T 4.3.2 !x"),
        ("greeting never comes", Script { greeting: "-", ..s() }, "T 4.4.2 !x"),
        ("closed instead of greeting", Script { greeting: "", ..s() }, "T 4.4.2 !x"),
        ("greeting is garbage", Script { greeting: "hello", ..s() }, "T 4.4.2 !x"),
        ("LHLO 4xx", Script { lhlo: "450 later", ..s() }, "T 450 !x"),
        ("LHLO 5xx is final", Script { lhlo: "550 5.7.1 not you", ..s() }, "F 5.7.1 !x"),
        ("LHLO 530 wants a login", Script { lhlo: "530 5.7.0 x", ..s() }, "T 5.7.0 !x"),
        ("LHLO 421", Script { lhlo: "421 4.3.2 bye", ..s() }, "T 4.3.2 !x"),
        ("closed after LHLO", Script { lhlo: "", ..s() }, "T 4.4.2 !x"),
        ("MAIL 4xx", Script { mail: "451 4.3.0 x", ..refused() }, "T 4.3.0, T 4.3.0"),
        ("MAIL 5xx", Script { mail: "550 5.1.8 x", ..refused() }, "F 5.1.8, F 5.1.8"),
        ("MAIL 421", Script { mail: "421 4.3.2 x", ..s() }, "T 4.3.2, T 4.3.2 !x"),
        ("MAIL 430 wants a login", Script { mail: "430 auth", ..refused() }, "T 430, T 430 !"),
        (
            "MAIL 530 wants a login",
            Script { mail: "530 5.7.0 x", ..refused() },
            "T 5.7.0, T 5.7.0 !",
        ),
        ("MAIL 3xx", Script { mail: "354 x", ..refused() }, "T 4.5.0, T 4.5.0 !x"),
        ("closed after MAIL", Script { mail: "", ..s() }, "T 4.4.2, T 4.4.2 !x"),
        (
            "MAIL with a temporary detail",
            Script { mail: "550 4.1.1 x", ..refused() },
            "F 550, F 550",
        ),
        ("MAIL with a permanent detail", Script { mail: "250 5.1.1 x", ..s() }, "D 2.5.0, D 2.5.0"),
        ("RCPT 4xx", Script { rcpt: ["450 4.2.1 x", "250 ok"], ..one() }, "T 4.2.1, D 2.5.0"),
        ("RCPT 5xx", Script { rcpt: ["250 ok", "550 5.1.1 x"], ..one() }, "D 2.5.0, F 5.1.1"),
        (
            "RCPT 552 is final",
            Script { rcpt: ["552 5.2.2 x", "250 ok"], ..one() },
            "F 5.2.2, D 2.5.0",
        ),
        (
            "RCPT 552 of too many is not",
            Script { rcpt: ["250 ok", "552 5.5.3 too many recipients"], ..one() },
            "D 2.5.0, T 5.5.3",
        ),
        (
            "RCPT 552 of too many in plain words",
            Script { rcpt: ["250 ok", "552 Too many recipients"], ..one() },
            "D 2.5.0, T 552",
        ),
        (
            "RCPT 450 of too many",
            Script { rcpt: ["250 ok", "450 4.5.3 x"], ..one() },
            "D 2.5.0, T 4.5.3",
        ),
        (
            "RCPT 550 of too many",
            Script { rcpt: ["250 ok", "550 5.5.3 x"], ..one() },
            "D 2.5.0, T 5.5.3",
        ),
        (
            "RCPT 431 of too many, as Courier says",
            Script { rcpt: ["250 ok", "431 Too many recipients."], ..one() },
            "D 2.5.0, T 431",
        ),
        (
            "RCPT 552 in other words",
            Script { rcpt: ["250 ok", "552 too many messages"], ..one() },
            "D 2.5.0, F 552",
        ),
        (
            "RCPT 530 wants a login from everybody",
            Script { rcpt: ["530 5.7.0 x", "530 5.7.0 x"], ..refused() },
            "T 5.7.0, T 5.7.0 !",
        ),
        (
            "RCPT 430 wants a login from everybody",
            Script { rcpt: ["430 Authentication required"; 2], ..refused() },
            "T 430, T 430 !",
        ),
        (
            "RCPT 430 of mailboxes",
            Script { rcpt: ["430 busy", "430 busy"], ..refused() },
            "T 430, T 430",
        ),
        (
            "RCPT 530 to one",
            Script { rcpt: ["530 5.7.0 x", "250 ok"], ..one() },
            "T 5.7.0, D 2.5.0",
        ),
        ("DATA 530 wants a login", Script { data: "530 5.7.0 x", ..s() }, "T 5.7.0, T 5.7.0 !"),
        ("RCPT 3xx", Script { rcpt: ["354 x", "250 ok"], ..one() }, "T 4.5.0, T 4.5.0 !x"),
        ("RCPT 251 and 252", Script { rcpt: ["251 x", "252 x"], ..s() }, "D 2.5.0, D 2.5.0"),
        ("RCPT 421", Script { rcpt: ["421 4.3.2 x", ""], ..s() }, "T 4.3.2, T 4.3.2 !x"),
        ("closed after RCPT", Script { rcpt: ["550 5.1.1 x", ""], ..s() }, "F 5.1.1, T 4.4.2 !x"),
        (
            "all RCPT refused",
            Script { rcpt: ["450 4.2.0 x", "550 5.1.1 x"], ..refused() },
            "T 4.2.0, F 5.1.1",
        ),
        ("DATA 4xx", Script { data: "451 4.3.0 x", ..s() }, "T 4.3.0, T 4.3.0"),
        ("DATA 5xx", Script { data: "554 5.3.0 x", ..s() }, "F 5.3.0, F 5.3.0"),
        ("DATA 421", Script { data: "421 4.3.2 x", ..s() }, "T 4.3.2, T 4.3.2 !x"),
        ("DATA 2xx", Script { data: "250 x", ..s() }, "T 4.5.0, T 4.5.0 x"),
        (
            "DATA 2xx behind a refusal",
            Script { rcpt: ["550 5.1.1 x", "250 ok"], data: "250 x", ..s() },
            "T 4.5.0, T 4.5.0 x",
        ),
        (
            "RCPT 3xx behind a refusal",
            Script { rcpt: ["550 x", "354 x"], ..one() },
            "T 4.5.0, T 4.5.0 !x",
        ),
        ("DATA 350 says go on", Script { data: "350 x", ..s() }, "D 2.5.0, D 2.5.0"),
        ("DATA 334 says go on", Script { data: "334 x", ..s() }, "D 2.5.0, D 2.5.0"),
        ("DATA 399 says go on", Script { data: "399 5.7.1 x", ..s() }, "D 2.5.0, D 2.5.0"),
        ("answered before", Script { data: "354 x\r\n250 2.0.0 OK", ..s() }, "T 4.4.2, T 4.4.2 x"),
        ("refused before", Script { data: "354 x\r\n550 5.7.1 no", ..s() }, "T 4.4.2, T 4.4.2 x"),
        ("closed after DATA", Script { data: "", ..s() }, "T 4.4.2, T 4.4.2 !x"),
        ("dot 4xx", after_dot(&["450 4.2.2 x", "250 2.5.0 u2 OK"]), "T 4.2.2, D 2.5.0"),
        ("dot 5xx", after_dot(&["250 2.5.0 u1 OK", "511 5.1.1 x"]), "D 2.5.0, F 5.1.1"),
        ("dot 3xx", after_dot(&["354 x", "250 2.5.0 u2 OK"]), "T 4.4.2, D 2.5.0 x"),
        (
            "dot 221 is no delivery",
            after_dot(&["221 bye", "250 2.5.0 u2 OK"]),
            "T 4.4.2, D 2.5.0 x",
        ),
        ("dot garbage", after_dot(&["250 2.5.0 u1 OK", "huh"]), "D 2.5.0, T 4.4.2 x"),
        ("garbage never shifts replies", after_dot(&["huh", "550 5.1.1 x"]), "T 4.4.2, T 4.4.2 x"),
        ("one reply is missing", after_dot(&["250 2.5.0 u1 OK"]), "D 2.5.0, T 4.4.2 x"),
        ("no reply at all", after_dot(&[]), "T 4.4.2, T 4.4.2 !x"),
        (
            "dot 421, and closed",
            Script { then_close: true, ..after_dot(&["421 4.3.2 x"]) },
            "T 4.3.2, T 4.4.2 x",
        ),
        (
            "closed after the dot",
            Script { then_close: true, ..after_dot(&[]) },
            "T 4.4.2, T 4.4.2 x",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, script, want) in rows {
        let got = attempt(script.clone(), false).await;
        if got != want {
            wrong.push(format!("{name}, pipelined: {got}"));
        }
        if script.lhlo.starts_with("250-") {
            let script = Script { lhlo: "250 OK", ..script };
            let got = attempt(script, false).await;
            if got != want {
                wrong.push(format!("{name}, one by one: {got}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

fn after_dot(status: &[&'static str]) -> Script {
    Script { status: status.to_vec(), ..Script::default() }
}

/// For rows where nobody is left after RCPT.
fn refused() -> Script {
    Script { data: "503 5.5.1 x", ..Script::default() }
}

/// For rows where one of the two is left after RCPT.
fn one() -> Script {
    after_dot(&["250 2.5.0 u OK"])
}

#[tokio::test(start_paused = true)]
async fn a_busy_mailbox_of_our_own_store_closes_nothing() {
    let script = after_dot(&["421 4.2.1 Mailbox busy", "250 2.5.0 u2 OK"]);
    assert_eq!(attempt(script.clone(), true).await, "T 4.2.1, D 2.5.0");
    assert_eq!(attempt(script, false).await, "T 4.2.1, D 2.5.0 x", "the others go on");
}

#[tokio::test(start_paused = true)]
async fn our_own_store_calling_the_message_too_big_defers_everybody() {
    let script = Script { then_close: true, ..after_dot(&["500 message too big"]) };
    assert_eq!(attempt(script.clone(), true).await, "T 4.3.0, T 4.3.0 x");
    assert_eq!(attempt(script, false).await, "F 500, T 4.4.2 x");
}

#[tokio::test(start_paused = true)]
async fn data_granted_without_recipients_is_ended_by_a_lone_dot() {
    let script = Script { rcpt: ["550 5.1.1 x", "550 5.1.1 x"], ..Script::default() };
    assert_eq!(attempt(script, false).await, "F 5.1.1, F 5.1.1 x");
}

/// Lines of the client for one message, LHLO excluded.
async fn said(script: Script, private: bool, delivery: &Outgoing<'_>) -> String {
    let (connection, server) = connect(script, private).await;
    let mut connection = connection.expect("a connection");
    connection.deliver(delivery, &message(), None).await.expect("a new connection");
    connection.quit().await;
    let heard = server.await.expect("the server");
    heard.split_once("\r\n").expect("LHLO").1.to_owned()
}

#[tokio::test(start_paused = true)]
async fn parameters_are_sent_where_they_are_understood() {
    let quota = Some(crate::mail::XQuota { size: 1000, messages: -1 });
    let to = [OutgoingRcpt { quota, flags: 3, ..OutgoingRcpt::new("u1+inv@sesta.com") }];
    let delivery = Outgoing { sender: "", ..delivery(&to, &message()) };
    let bare = "MAIL FROM:<>\r\nRCPT TO:<u1+inv@sesta.com>\r\n";
    let private = "MAIL FROM:<> SIZE=22\r\nRCPT TO:<u1+inv@sesta.com> XQUOTA=1000,-1 XDFLG=3\r\n";
    let both = "MAIL FROM:<> SIZE=22\r\nRCPT TO:<u1+inv@sesta.com>\r\n";
    let rows = [
        ("nothing is offered", "250 OK", false, bare),
        ("nothing is offered by a store of ours", "250 OK", true, private),
        ("the usual offer", "250-s\r\n250-SIZE 100\r\n250-PIPELINING\r\n250 8BITMIME", false, both),
    ];
    for (name, lhlo, ours, want) in rows {
        let script = Script { lhlo, ..one() };
        let want = format!("{want}DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
        assert_eq!(said(script, ours, &delivery).await, want, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_sender_wants_to_hear_is_passed_on_where_dsn_is_offered() {
    let original =
        OriginalRecipient { address_type: "rfc822".into(), address: "a+b@list.example".into() };
    let on = Notify::On { success: true, failure: true, delay: false };
    let long = "x".repeat(200);
    let mut rcpts = [
        OutgoingRcpt { notify: on, original_recipient: Some(&original), ..OutgoingRcpt::new("u1") },
        OutgoingRcpt { original: "\"u 2\"@sesta.com", ..OutgoingRcpt::new("u2") },
    ];
    let id = Some("QQ=314 159");
    let returned = Some(Return::Headers);
    let offers = ["250-s\r\n250 DSN", "250-s\r\n250-PIPELINING\r\n250 dsn"];
    for lhlo in offers {
        let script = Script { lhlo, ..Script::default() };
        let delivery = Outgoing { envelope_id: id, returned, ..delivery(&rcpts, &message()) };
        let heard = said(script, false, &delivery).await;
        let want = "MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+3D314+20159\r\n\
                    RCPT TO:<u1> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@list.example\r\n\
                    RCPT TO:<u2> ORCPT=rfc822;\"u+202\"@sesta.com\r\nDATA\r\n";
        assert!(heard.starts_with(want), "{heard}");
    }
    rcpts[1].notify = Notify::Never;
    rcpts[1].original = &long;
    let script = Script { lhlo: offers[0], ..Script::default() };
    let heard = said(script, false, &delivery(&rcpts, &message())).await;
    assert!(heard.contains("<u2> NOTIFY=NEVER\r\n"), "{heard}");
    let delivery = Outgoing { envelope_id: id, returned, ..delivery(&rcpts, &message()) };
    let heard = said(Script::default(), true, &delivery).await;
    let want = "MAIL FROM:<a@b.example> SIZE=22\r\nRCPT TO:<u1>\r\nRCPT TO:<u2>\r\n";
    assert!(heard.starts_with(want), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_folder_is_told_of_and_nothing_announced_behind_it() {
    let filed = OutgoingRcpt { inbox: Some("u1"), ..OutgoingRcpt::new("u1+f") };
    let (to, next, content) = ([filed, TWO[1]], [TWO[1]], message());
    // the reply to RCPT, whether it is a store of ours, whether the mailbox is to be named
    let rows = [
        ("550 5.1.1 no such user", false, true),
        ("550 no such user", false, true),
        ("550 5.1.1 no such user", true, false),
        ("550 5.7.1 no", false, false),
        ("552 5.2.2 full", false, false),
        ("450 4.1.1 later", false, false),
    ];
    for (rcpt, private, want) in rows {
        let status = vec!["250 2.5.0 u2 OK"];
        let script = Script { rcpt: [rcpt, "250 OK"], status, ..Script::default() };
        let (connection, _server) = connect(script, private).await;
        let mut connection = connection.expect("a connection");
        let (first, following) = (delivery(&to, &content), delivery(&next, &content));
        let transacted = connection.deliver(&first, &content, Some(&following));
        let transacted = transacted.await.expect("it is new");
        assert_eq!([0, 1].map(|nth| transacted.unfiled.contains(nth)), [want, false], "{rcpt}");
        assert_eq!(connection.is_announced(), !want, "{rcpt}");
        assert_eq!(short(&transacted.attempt.outcomes[1]), "D 2.5.0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_refused_behind_the_content_is_told_of_too() {
    let filed = OutgoingRcpt { inbox: Some("u1"), ..OutgoingRcpt::new("u1+f") };
    let content = message();
    // the recipients, the replies to the content, whose folder is refused
    let rows: [(&[OutgoingRcpt<'_>], &[&str], [bool; 2]); 6] = [
        (&[filed, TWO[1]], &["550 5.1.1 no such user", "250 2.5.0 OK"], [true, false]),
        (&[TWO[1], filed], &["250 2.5.0 OK", "550 5.1.1 no such user"], [false, true]),
        (&[filed, TWO[1]], &["250 2.5.0 OK", "550 5.1.1 no such user"], [false, false]),
        (&[filed, TWO[1]], &["550 5.7.1 spam", "250 2.5.0 OK"], [false, false]),
        (&[filed, TWO[1]], &["451 4.1.1 later", "250 2.5.0 OK"], [false, false]),
        (&[filed], &["550 5.1.1 no such user"], [true, false]),
    ];
    for (to, status, want) in rows {
        for private in [false, true] {
            let script = Script { status: status.to_vec(), ..Script::default() };
            let (connection, _server) = connect(script, private).await;
            let mut connection = connection.expect("a connection");
            let next = [TWO[1]];
            let (first, following) = (delivery(to, &content), delivery(&next, &content));
            let transacted = connection.deliver(&first, &content, Some(&following));
            let transacted = transacted.await.expect("it is new");
            let told = [0, 1].map(|nth| transacted.unfiled.contains(nth));
            assert_eq!(told, if private { [false; 2] } else { want }, "{status:?} {private}");
            // The next transaction may be the same message's.
            assert_eq!(connection.is_announced(), private && to.len() == 1, "{status:?}");
        }
    }
}

/// Whether the peer notifies, and `p` for each outcome that the peer's reply led to, `o` for ours.
#[tokio::test(start_paused = true)]
async fn an_attempt_tells_whose_words_its_replies_are() {
    let dsn = Script { lhlo: "250-s\r\n250 DSN", ..Script::default() };
    let rows = [
        ("all is well", Script::default(), "store false pp"),
        ("it notifies", dsn.clone(), "store true pp"),
        ("MAIL refused", Script { mail: "550 5.1.8 x", ..refused() }, "store false pp"),
        ("RCPT refused", Script { rcpt: ["550 x", "250 ok"], ..one() }, "store false pp"),
        ("closed after RCPT", Script { rcpt: ["550 x", ""], ..dsn.clone() }, "store true po"),
        ("421 in reply to RCPT", Script { rcpt: ["421 x", ""], ..dsn }, "store true pp"),
        ("DATA refused", Script { data: "451 x", ..Script::default() }, "store false pp"),
        ("one reply is missing", after_dot(&["250 OK"]), "store false po"),
    ];
    for (name, script, want) in rows {
        let (connection, _server) = connect(script, false).await;
        let content = message();
        let mut connection = connection.expect("a connection");
        let attempt = connection.deliver(&delivery(&TWO, &content), &content, None).await;
        let peer = attempt.expect("a new connection").attempt.peer.expect("a peer");
        let whose = |i| if peer.has_answered(i) { 'p' } else { 'o' };
        let whose: String = (0..2).map(whose).collect();
        assert_eq!(format!("{} {} {whose}", peer.host, peer.notifies), want, "{name}");
        assert!(!peer.has_answered(2) && !peer.has_answered(64));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_offered_size_fails_before_it_is_sent() {
    for (limit, want) in [("20", "T 4.4.2"), ("19", "F 5.3.4"), ("0", "T 4.4.2")] {
        let lhlo: &str = Box::leak(format!("250-s\r\n250 SIZE {limit}").into_boxed_str());
        let (connection, _server) = connect(Script { lhlo, mail: "", ..one() }, false).await;
        let mut connection = connection.expect("a connection");
        let delivery = Outgoing { size: 20, ..delivery(&TWO, &message()) };
        let attempt =
            connection.deliver(&delivery, &message(), None).await.expect("a new connection");
        assert_eq!(short(&attempt.attempt.outcomes[0]), want, "{limit}");
        assert_eq!(connection.broken, want == "T 4.4.2", "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_begins_with_rset_after_a_refusal_only() {
    let (connection, server) =
        connect(Script { mail: "451 4.3.0 x", rcpt: ["503 5.5.1 x"; 2], ..refused() }, false).await;
    let mut connection = connection.expect("a connection");
    let (content, to) = (message(), [TWO[0]]);
    for _ in 0..2 {
        connection.deliver(&delivery(&to, &content), &content, None).await.expect("it is alive");
        assert!(connection.is_usable());
    }
    connection.quit().await;
    let mail = "MAIL FROM:<a@b.example>\r\nRCPT TO:<u1>\r\nDATA\r\n";
    let want = format!("LHLO relay.example\r\n{mail}RSET\r\n{mail}QUIT\r\n");
    assert_eq!(server.await.expect("the server"), want);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_was_closed_meanwhile_is_no_failed_attempt() {
    let (connection, server) =
        connect(Script { then_close: true, ..Script::default() }, false).await;
    let mut connection = connection.expect("a connection");
    let content = message();
    let attempt =
        connection.deliver(&delivery(&TWO, &content), &content, None).await.expect("it is new");
    assert_eq!(
        attempt.attempt.outcomes.iter().map(short).collect::<Vec<_>>(),
        ["D 2.5.0", "D 2.5.0"]
    );
    server.await.expect("the server");
    assert_eq!(
        connection.deliver(&delivery(&TWO, &content), &content, None).await,
        Err(Again::Stale)
    );
    assert!(!connection.is_usable());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_may_miscount_its_replies_is_told_of_one_message_at_a_time() {
    let (content, second) = (message(), [TWO[1]]);
    let script = after_dot(&["250 2.5.0 u1 OK"]);
    let (connection, _server) = connect(script, false).await;
    let mut connection = connection.expect("a connection");
    let next = delivery(&second, &content);
    let both = connection.deliver(&delivery(&TWO, &content), &content, Some(&next)).await;
    let both: Vec<_> = both.expect("it is new").attempt.outcomes.iter().map(short).collect();
    assert_eq!(both, ["D 2.5.0", "T 4.4.2"], "the reply to MAIL is nobody's delivery");
}

#[tokio::test(start_paused = true)]
async fn content_that_could_smuggle_a_message_is_never_sent() {
    let bad = b"Subject: x\r\n\r\nfirst\n.\r\nMAIL FROM:<evil>\r\n";
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bad).expect("room");
    let path = file.path().to_owned();
    for content in [
        Content::Whole(bytes::Bytes::from_static(bad)),
        Content::File { path, size: bad.len() as u64 },
    ] {
        let (connection, server) = connect(Script::default(), false).await;
        let mut connection = connection.expect("a connection");
        let attempt =
            connection.deliver(&delivery(&TWO, &content), &content, None).await.expect("it is new");
        assert_eq!(short(&attempt.attempt.outcomes[0]), "F 5.6.11");
        drop(connection);
        assert!(!server.await.expect("the server").contains("evil"));
    }
}

#[tokio::test]
async fn a_large_file_arrives_as_it_is() {
    let line = b".a line that begins with a dot\r\n".repeat(10_000);
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&line).expect("room");
    let size = line.len() as u64;
    let (whole, path) = (bytes::Bytes::from(line), file.path().to_owned());
    for content in [Content::Whole(whole), Content::File { path, size }] {
        let (connection, server) = connect(Script::default(), false).await;
        let mut connection = connection.expect("a connection");
        let attempt =
            connection.deliver(&delivery(&TWO, &content), &content, None).await.expect("it is new");
        assert_eq!(short(&attempt.attempt.outcomes[1]), "D 2.5.0");
        drop(connection);
        let heard = server.await.expect("the server");
        assert_eq!(heard.matches("\n..a line").count(), 10_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_is_cut_off_in_time() {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let drip = tokio::spawn(async move {
        let (_reader, mut writer) = theirs.into_split();
        for octet in b"220 a very long greeting indeed\r\n".iter().cycle() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if writer.write_all(&[*octet]).await.is_err() {
                return;
            }
        }
    });
    let before = Instant::now();
    let greeted = outbound(settings(false)).greet(Stream::Unix(ours), "s".into(), "s".into()).await;
    assert!(greeted.is_err());
    assert!(before.elapsed() < Duration::from_millis(1_300));
    drip.await.expect("the server");
}

#[tokio::test]
async fn an_address_that_refuses_is_trouble_of_the_site() {
    let next_hop = "unix:/nonexistent/socket".parse().expect("a next hop");
    let trouble = outbound(settings(false)).connect(&next_hop).await.expect_err("no socket");
    assert_eq!(short(&trouble.outcome), "T 4.4.1");
}

/// A reply that nobody waits for is taken for a reply to the next message by no means.
#[tokio::test(start_paused = true)]
async fn a_stray_reply_on_a_kept_connection_makes_it_stale() {
    for stray in ["250 OK", "550 5.1.1 no", "451 4.3.0 later", "421 bye", "354 x", "huh"] {
        for (when, lhlo) in [("at once", true), ("at once", false), ("late", true), ("late", false)]
        {
            let (ours, theirs) = UnixStream::pair().expect("a socket pair");
            let server = tokio::spawn(straying(theirs, stray, when == "late", lhlo));
            let settings = settings(false);
            let (peer, stream) = ("store".to_owned(), Stream::Unix(ours));
            let connection = outbound(settings).greet(stream, peer, "store".into()).await;
            let (mut connection, content) = (connection.expect("a connection"), message());
            let to = &delivery(&TWO, &content);
            let first = connection.deliver(to, &content, None).await.expect("it is new");
            assert_eq!(short(&first.attempt.outcomes[1]), "D 2.5.0");
            tokio::time::sleep(Duration::from_millis(10)).await;
            let second = connection.deliver(to, &content, None).await;
            if let Ok(Transacted { attempt, .. }) = &second {
                // Nothing that is told of the second message may be final. It was not taken.
                let deferred = |outcome: &Outcome| matches!(outcome, Outcome::Deferred(_));
                assert!(attempt.outcomes.iter().all(deferred), "{stray} {when}: {second:?}");
            }
            drop(connection);
            assert_eq!(server.await.expect("the server"), 1, "{stray} {when}: messages");
        }
    }
}

/// The replies to MAIL, to each RCPT and to DATA for the second message of a connection.
#[tokio::test(start_paused = true)]
async fn a_refusal_on_a_kept_connection_is_believed_only_where_all_replies_fit() {
    const NO: &str = "550 5.1.1 x";
    const OK: &str = "250 OK";
    let rows = [
        ("all is well", [OK, OK, OK, "354 x"], "D 2.5.0, D 2.5.0"),
        ("one is refused", [OK, NO, OK, "354 x"], "F 5.1.1, D 2.5.0"),
        ("all are refused", [OK, NO, NO, "503 5.5.1 x"], "F 5.1.1, F 5.1.1"),
        ("all are refused, go on", [OK, NO, NO, "354 x"], "F 5.1.1, F 5.1.1"),
        ("all are refused or put off", [OK, NO, "450 4.2.1 x", "554 5.5.1 x"], "F 5.1.1, T 4.2.1"),
        ("all are put off", [OK, "450 4.2.1 x", "450 4.2.1 x", "451 4.5.1 x"], "T 4.2.1, T 4.2.1"),
        ("one too many at MAIL", ["250 OK\r\n550 5.1.1 stray", OK, OK, "354 x"], "stale"),
        ("one too many at RCPT", [OK, "550 5.1.1 stray\r\n250 OK", OK, "354 x"], "stale"),
        ("one too many at DATA", [OK, OK, OK, "550 5.7.1 stray\r\n354 x"], "stale"),
        ("the last refusal is a recipient's", [OK, NO, NO, OK], "stale"),
        ("the last delay is a recipient's", [OK, NO, NO, "450 4.2.1 x"], "stale"),
        ("closing behind refusals", [OK, NO, NO, "421 4.3.2 x"], "stale"),
        ("closing behind a refusal", [OK, NO, "421 4.3.2 x", ""], "stale"),
        ("more behind the reply to DATA", [OK, NO, NO, "503 5.5.1 x\r\n503 5.5.1 x"], "stale"),
        ("the delay is that of MAIL", ["550 5.1.8 x", "451 4.3.0 x", NO, "503 x"], "stale"),
        ("a recipient's taken is MAIL's", ["550 5.1.8 x", OK, OK, OK], "stale"),
    ];
    let mut wrong = Vec::new();
    for (name, replies, want) in rows {
        for lhlo in ["250-store\r\n250 PIPELINING", "250 store"] {
            let (ours, theirs) = UnixStream::pair().expect("a socket pair");
            let server = tokio::spawn(second_time(theirs, lhlo, replies));
            let (settings, stream) = (settings(false), Stream::Unix(ours));
            let connection = outbound(settings).greet(stream, "store".into(), "store".into()).await;
            let (mut connection, content) = (connection.expect("a connection"), message());
            let to = &delivery(&TWO, &content);
            connection.deliver(to, &content, None).await.expect("it is new");
            let second = connection.deliver(to, &content, None).await;
            let got = second.map_or("stale".to_owned(), |transacted| {
                transacted.attempt.outcomes.iter().map(short).collect::<Vec<_>>().join(", ")
            });
            if got != want {
                wrong.push(format!("{name}, {lhlo}: {got}"));
            }
            drop(connection);
            server.await.expect("the server");
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Takes one message, and gives these replies to the next.
async fn second_time(stream: UnixStream, lhlo: &str, replies: [&str; 4]) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut say = "220 store".to_owned();
    let (mut replies, mut messages, mut accepted, mut in_content) = (replies.iter(), 0, 0, false);
    loop {
        if !say.is_empty() && writer.write_all(format!("{say}\r\n").as_bytes()).await.is_err() {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        say = match line.get(..4).unwrap_or(&line) {
            "." => {
                (messages, in_content) = (messages + 1, false);
                vec!["250 2.5.0 OK"; std::mem::take(&mut accepted)].join("\r\n")
            }
            _ if in_content => String::new(),
            "LHLO" => lhlo.to_owned(),
            "MAIL" | "RCPT" | "DATA" if messages > 0 => (*replies.next().unwrap_or(&"")).to_owned(),
            "DATA" => "354 x".to_owned(),
            _ => "250 OK".to_owned(),
        };
        accepted += usize::from(line.starts_with("RCPT") && say.starts_with("250"));
        in_content |= line == "DATA" && say.starts_with("354");
    }
}

/// Takes messages, says something more behind the first, and knows nobody of the second. Returns
/// how many messages it took. `late`: the stray reply comes with the reply to the next command.
async fn straying(stream: UnixStream, stray: &'static str, late: bool, pipelining: bool) -> usize {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut messages, mut in_content, mut owed) = (0, false, false);
    let mut say = "220 store".to_owned();
    loop {
        if !say.is_empty() && writer.write_all(format!("{say}\r\n").as_bytes()).await.is_err() {
            return messages;
        }
        let Ok(Some(line)) = lines.next_line().await else { return messages };
        say = match line.as_str() {
            "." => {
                (messages, in_content, owed) = (messages + 1, false, late);
                let replies = "250 2.5.0 u1 OK\r\n250 2.5.0 u2 OK";
                if !late {
                    // Behind the moment in which the client looks whether there is more.
                    writer.write_all(format!("{replies}\r\n").as_bytes()).await.unwrap_or(());
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if late { replies.to_owned() } else { stray.to_owned() }
            }
            _ if in_content => String::new(),
            line if line.starts_with("LHLO") && pipelining => "250-store\r\n250 PIPELINING".into(),
            line if line.starts_with("RCPT") && messages > 0 => "550 5.1.1 who?".to_owned(),
            "DATA" if messages > 0 => "503 5.5.1 nobody".to_owned(),
            "DATA" => {
                in_content = true;
                "354 go on".to_owned()
            }
            _ if std::mem::take(&mut owed) => format!("{stray}\r\n250 OK"),
            _ => "250 OK".to_owned(),
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_in_the_midst_of_the_content_is_no_delivery() {
    let content = Content::Whole(bytes::Bytes::from(b"a line\r\n".repeat(1 << 17)));
    let rows = [
        ("250 2.5.0 OK\r\n", "T 4.4.2"),
        ("552 5.3.4 too big\r\n", "F 5.3.4"),
        ("25", "T 4.4.2"),
        ("250-and", "T 4.4.2"),
    ];
    for (say, want) in rows {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let server = tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            let mut lines = BufReader::new(reader).lines();
            writer.write_all(b"220 store\r\n").await.expect("a client");
            let mut count = 0;
            while let Ok(Some(line)) = lines.next_line().await {
                count += usize::from(line == "a line");
                let reply = match (line.as_str(), count) {
                    ("DATA", _) => "354 go on\r\n",
                    ("a line", 1_000) => say,
                    (".", _) => return true,
                    ("a line", _) => continue,
                    _ => "250 OK\r\n",
                };
                if writer.write_all(reply.as_bytes()).await.is_err() {
                    return false;
                }
            }
            false
        });
        let (settings, stream) = (settings(false), Stream::Unix(ours));
        let connection = outbound(settings).greet(stream, "store".into(), "store".into()).await;
        let mut connection = connection.expect("a connection");
        let to = delivery(&TWO, &content);
        let transacted = connection.deliver(&to, &content, None).await.expect("it is new");
        assert_eq!(transacted.attempt.outcomes.iter().map(short).collect::<Vec<_>>(), [want; 2]);
        assert_eq!(transacted.attempt.trouble, None);
        assert!(!connection.is_usable());
        drop(connection);
        assert!(!server.await.expect("the server"), "no dot was sent");
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_missing_are_not_waited_for() {
    let (connection, _server) = connect(after_dot(&["250 2.5.0 u1 OK"]), false).await;
    let mut connection = connection.expect("a connection");
    connection.settings.status_time = Duration::from_secs(600);
    let (content, before) = (message(), Instant::now());
    let delivery = delivery(&TWO, &content);
    let transacted = connection.deliver(&delivery, &content, None).await.expect("it is new");
    assert!(before.elapsed() <= GRACE, "{:?}", before.elapsed());
    let Attempt { outcomes, trouble, peer } = transacted.attempt;
    let text = outcomes[1].reply().to_string();
    assert!(text.starts_with("451 4.4.2 1 replies for 2 recipients with store"), "{text}");
    assert_eq!((trouble, peer.map(|peer| peer.unsure)), (None, Some(true)));
}

/// Seconds until the first reply, and until the missing second one is not waited for any more.
#[tokio::test(start_paused = true)]
async fn a_missing_reply_is_waited_for_as_long_as_the_last_one_within_limits() {
    let rows = [(0, false, 5), (8, false, 16), (300, false, 330), (0, true, 600), (300, true, 900)];
    for (first, private, want) in rows {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let server = tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            let mut lines = BufReader::new(reader).lines();
            writer.write_all(b"220 store\r\n").await.expect("a client");
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = match line.as_str() {
                    "DATA" => "354 go on",
                    "." => {
                        tokio::time::sleep(Duration::from_secs(first)).await;
                        "250 2.5.0 u1 OK"
                    }
                    line if line.contains(' ') && !line.starts_with("Subject") => "250 OK",
                    _ => continue,
                };
                if writer.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let settings = Settings { status_time: Duration::from_secs(600), ..settings(private) };
        let (peer, stream) = ("store".to_owned(), Stream::Unix(ours));
        let connection = outbound(settings).greet(stream, peer, "store".into()).await;
        let (mut connection, content) = (connection.expect("a connection"), message());
        let (to, before) = (delivery(&TWO, &content), Instant::now());
        let transacted = connection.deliver(&to, &content, None).await.expect("it is new");
        let outcomes: Vec<_> = transacted.attempt.outcomes.iter().map(short).collect();
        assert_eq!(outcomes, ["D 2.5.0", "T 4.4.2"], "{first} {private}");
        assert_eq!(before.elapsed().as_secs(), want, "{first} {private}");
        drop(connection);
        server.await.expect("the server");
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_that_were_too_many_are_left_for_the_next_transaction() {
    let rows = [
        ("others were taken", ["250 ok", "452 4.5.3 many"], 0b10),
        ("no enhanced code", ["250 ok", "452 many"], 0b10),
        ("450 of too many", ["250 ok", "450 4.5.3 many"], 0b10),
        ("451 of too many", ["250 ok", "451 4.5.3 many"], 0b10),
        ("550 of too many", ["250 ok", "550 5.5.3 many"], 0b10),
        ("nobody was taken", ["452 4.5.3 many", "452 4.5.3 many"], 0),
        ("nobody before it was taken", ["452 4.5.3 many", "250 ok"], 0),
        ("a full mailbox is so later, too", ["250 ok", "452 4.2.2 full"], 0),
    ];
    for (name, rcpt, left) in rows {
        let (connection, _server) = connect(Script { rcpt, ..one() }, false).await;
        let (mut connection, content) = (connection.expect("a connection"), message());
        let to = delivery(&TWO, &content);
        let transacted = connection.deliver(&to, &content, None).await.expect("it is new");
        assert_eq!(transacted.left, left.into(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_beyond_max_line_is_refused_and_not_sent() {
    let long = [b"Subject: x\r\n\r\n", [b'x'; 999].as_slice(), b"\r\n"].concat();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&long).expect("room");
    let (path, size) = (file.path().to_owned(), long.len() as u64);
    for content in [Content::Whole(long.into()), Content::File { path, size }] {
        let (connection, server) = connect(Script::default(), false).await;
        let mut connection = connection.expect("a connection");
        let to = delivery(&TWO, &content);
        let transacted = connection.deliver(&to, &content, None).await.expect("it is new");
        let reply = transacted.attempt.outcomes[0].reply().to_string();
        let want = "550 5.6.0 a line of the message is longer than the 1000 octets of max_line";
        assert_eq!(reply, want);
        drop(connection);
        assert!(!server.await.expect("the server").contains("xxx"));
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_store_without_room_is_in_trouble() {
    let script = after_dot(&["452 4.3.1 no space left for mail", "452 4.3.1 no space"]);
    assert_eq!(attempt(script.clone(), true).await, "T 4.3.1, T 4.3.1 !");
    assert_eq!(attempt(script, false).await, "T 4.3.1, T 4.3.1");
    let full = "452 4.3.1 no space";
    let script = Script { rcpt: [full, full], ..refused() };
    assert_eq!(attempt(script.clone(), true).await, "T 4.3.1, T 4.3.1 !");
    assert_eq!(attempt(script, false).await, "T 4.3.1, T 4.3.1");
    let script = Script { rcpt: [full, "250 ok"], ..one() };
    assert_eq!(attempt(script, true).await, "T 4.3.1, D 2.5.0", "one mailbox");
}

#[tokio::test]
async fn a_connection_serves_so_many_messages_and_no_more() {
    for (most, pipelines, usable) in [(1, false, false), (2, true, true), (usize::MAX, true, true)]
    {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let _server = server(theirs, Script::default());
        let mut settings = settings(false);
        settings.limits.messages = most;
        let outbound = outbound(settings);
        let greeted = outbound.greet(Stream::Unix(ours), "s".into(), "s".into());
        let mut connection = greeted.await.expect("a server");
        assert_eq!(connection.pipelines(), pipelines, "{most}");
        let content = message();
        let done = connection.deliver(&delivery(&TWO, &content), &content, None).await;
        assert!(done.is_ok(), "{most}");
        assert_eq!(connection.is_usable(), usable, "{most}");
        assert_eq!(connection.pipelines(), most > 2, "{most}");
    }
}

#[tokio::test]
async fn an_old_connection_is_given_up_and_one_that_was_idle_is_probed() {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = server(theirs, Script::default());
    let mut settings = settings(false);
    settings.limits.age = Duration::from_millis(1_800);
    let outbound = outbound(settings);
    let greeted = outbound.greet(Stream::Unix(ours), "s".into(), "s".into());
    let mut connection = greeted.await.expect("a server");
    let content = message();
    for pause in [0, 0, 1_200] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let done = connection.deliver(&delivery(&TWO, &content), &content, None).await;
        assert!(done.is_ok_and(|done| done.attempt.trouble.is_none()) && connection.is_usable());
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!connection.is_usable());
    drop(connection);
    let heard = server.await.unwrap();
    let resets = heard.matches("RSET\r\nMAIL").count();
    assert_eq!((resets, heard.matches("MAIL").count()), (1, 3), "{heard}");
}

/// Each command by itself is answered in time.
#[tokio::test]
async fn a_message_that_takes_too_long_as_a_whole_is_given_up() {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let slow = tokio::spawn(async move {
        let (reader, mut writer) = theirs.into_split();
        let mut lines = BufReader::new(reader);
        writer.write_all(b"220 s\r\n").await.unwrap();
        let mut line = String::new();
        while lines.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            let pause = if line.starts_with("LHLO") { 0 } else { 200 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let said: &[u8] = if line.starts_with("DATA") { b"354 go\r\n" } else { b"250 OK\r\n" };
            line.clear();
            if writer.write_all(said).await.is_err() {
                return;
            }
        }
    });
    let mut settings = settings(false);
    settings.limits.transaction = Duration::from_millis(500);
    let outbound = outbound(settings);
    let greeted = outbound.greet(Stream::Unix(ours), "s".into(), "s".into());
    let mut connection = greeted.await.expect("a server");
    let content = message();
    let done = connection.deliver(&delivery(&TWO, &content), &content, None).await.unwrap();
    let said: Vec<_> = done.attempt.outcomes.iter().map(short).collect();
    assert_eq!(said, ["T 4.4.2", "T 4.4.2"]);
    assert!(done.attempt.trouble.is_some() && !connection.is_usable());
    slow.abort();
}
