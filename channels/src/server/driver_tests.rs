use std::{future::pending, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::*;
use crate::{
    mail::{Enhanced, Reply},
    server::{DataRate, Dialect, Limits, SaslOffer, SessionLimits, TlsOffer},
    server::{MailFrom, RcptTo, Verdict},
    wire::content::ContentLimits,
};

/// Takes everything, and remembers what it was asked.
#[derive(Debug, Default)]
struct Engine {
    told: Vec<String>,
    octets: usize,
    /// A commit waits for it.
    gate: Option<Arc<Notify>>,
}

impl Intake for Engine {
    fn hello(&mut self, name: &str, extended: bool) {
        self.told.push(format!("hello {name} {extended}"));
    }

    async fn sender(&mut self, from: MailFrom) -> Result<(), Reply> {
        self.told.push(format!("sender {}", from.path.as_str()));
        Ok(())
    }

    async fn recipient(&mut self, to: &RcptTo) -> Result<(), Reply> {
        self.told.push(format!("recipient {}", to.as_given));
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Reply> {
        self.told.push("open".to_owned());
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Reply> {
        self.octets += octets.len();
        Ok(())
    }

    async fn commit(&mut self) -> Verdict {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        self.told.push(format!("commit {}", self.octets));
        Verdict::Whole(Reply::new(250, Enhanced(2, 0, 0), "queued"))
    }

    fn reset(&mut self) {
        self.octets = 0;
        self.told.push("reset".to_owned());
    }
}

/// A served connection, and the peer's end of it.
struct Served {
    peer: DuplexStream,
    stop: Stop,
    session: JoinHandle<(Farewell, Engine)>,
}

fn limits() -> Limits {
    Limits {
        message_size: 10 << 20,
        recipients: 100,
        named_recipients: usize::MAX,
        session: SessionLimits::UNLIMITED,
        command_line: 2_048,
        content_line: 65_536,
        content: ContentLimits {
            header_size: 1 << 30,
            header_fields: 1 << 30,
            forbid_nul: true,
            header_form: false,
        },
        commands: 1_000,
        bad_commands: 20,
        command_time: Duration::from_secs(300),
        data_time: Duration::from_secs(200),
        data_rate: DataRate { octets: 10, over: Duration::from_secs(300) },
        strict_envelopes: false,
        beyond_ascii: crate::server::BeyondAscii::Refused,
        is_private: false,
        forbid_pipelining: false,
    }
}

fn setup(host: &str, limits: Limits) -> Setup {
    Setup {
        dialect: Dialect::Smtp,
        host: host.to_owned(),
        limits,
        tls: TlsOffer::default(),
        sasl: SaslOffer::default(),
    }
}

impl Served {
    /// `capacity`: octets that either side may write without the other reading them.
    fn start(capacity: usize, mut engine: Engine, limits: Limits) -> Self {
        let (peer, ours) = duplex(capacity);
        let stop = Stop::default();
        let stopped = stop.clone();
        let session = tokio::spawn(async move {
            let setup = setup("mx.example", limits).into();
            let farewell = serve(ours, Opening::Greeting, &setup, &mut engine, &stopped).await;
            (farewell, engine)
        });
        Self { peer, stop, session }
    }

    async fn say(&mut self, text: &str) {
        self.peer.write_all(text.as_bytes()).await.expect("the session reads");
    }

    /// Reads a reply of one line.
    async fn reply(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.peer.read_u8().await.expect("the session answers"));
        }
        String::from_utf8(line).expect("ASCII").trim_end().to_owned()
    }

    /// Says each line and reads its reply of one line.
    async fn ask(&mut self, lines: &[(&str, &str)]) {
        for (line, want) in lines {
            self.say(line).await;
            let reply = self.reply().await;
            assert!(reply.starts_with(want), "{line:?}: {reply}");
        }
    }

    /// Up to the 354.
    async fn begin_data(&mut self) {
        assert!(self.reply().await.starts_with("220 "));
        self.ask(&[
            ("HELO x\r\n", "250 "),
            ("MAIL FROM:<a@b>\r\n", "250 "),
            ("RCPT TO:<c@d>\r\n", "250 "),
            ("DATA\r\n", "354 "),
        ])
        .await;
    }

    /// Everything still to be read, and how the session ended.
    async fn end(mut self) -> (String, Farewell, Engine) {
        let mut rest = String::new();
        self.peer.read_to_string(&mut rest).await.expect("ASCII");
        let (farewell, engine) = self.session.await.expect("no panic");
        (rest, farewell, engine)
    }
}

#[tokio::test]
async fn a_session_octet_by_octet() {
    let mut served = Served::start(1, Engine::default(), limits());
    served.begin_data().await;
    served.ask(&[("..x\r\n.\r\n", "250 2.0.0 queued"), ("QUIT\r\n", "221 ")]).await;
    let (rest, farewell, engine) = served.end().await;
    assert_eq!(rest, "");
    assert_eq!(farewell, Farewell { messages: 1, reason: Reason::Quit });
    let want = ["hello x false", "sender a@b", "recipient c@d", "open", "commit 4", "reset"];
    assert_eq!(engine.told, want);
}

#[tokio::test]
async fn replies_to_what_was_pipelined_leave_in_one_write() {
    let mut served = Served::start(1 << 16, Engine::default(), limits());
    assert!(served.reply().await.starts_with("220 "));
    served.say("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c>\r\nRCPT TO:<d>\r\nDATA\r\n").await;
    let mut replies = vec![0; 4_096];
    let count = served.peer.read(&mut replies).await.expect("replies");
    let replies = String::from_utf8_lossy(&replies[..count]).into_owned();
    assert!(replies.starts_with("250-mx.example\r\n"), "{replies}");
    assert!(replies.ends_with("354 end with <CRLF>.<CRLF>\r\n"), "{replies}");
    drop(served.peer);
    let (farewell, engine) = served.session.await.expect("no panic");
    assert_eq!(farewell, Farewell { messages: 0, reason: Reason::Lost });
    assert_eq!(engine.told.last().map(String::as_str), Some("reset"));
}

#[tokio::test]
async fn a_large_message_of_many_lines() {
    let mut served = Served::start(1 << 16, Engine::default(), limits());
    served.begin_data().await;
    let line = ".".to_owned() + &"x".repeat(70) + "\r\n";
    served.say(&format!("{}.\r\n", line.repeat(100_000))).await;
    assert!(served.reply().await.starts_with("250 2.0.0"));
    drop(served.peer);
    let (_, engine) = served.session.await.expect("no panic");
    assert!(engine.told.contains(&format!("commit {}", 100_000 * 72)), "{:?}", engine.told);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_told_that_it_took_too_long() {
    let served = Served::start(1 << 16, Engine::default(), limits());
    let started = Instant::now();
    let (rest, farewell, _) = served.end().await;
    assert!(rest.ends_with("\r\n421 4.4.2 mx.example took too long, closing\r\n"), "{rest}");
    assert_eq!(farewell.reason, Reason::Timeout);
    assert_eq!(started.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn each_command_has_its_own_time_and_octets_do_not_prolong_it() {
    let mut served = Served::start(1 << 16, Engine::default(), limits());
    served.reply().await;
    for _ in 0..3 {
        sleep(Duration::from_secs(299)).await;
        served.ask(&[("NOOP\r\n", "250 ")]).await;
    }
    let started = Instant::now();
    for _ in 0..3 {
        sleep(Duration::from_secs(99)).await;
        served.say("N").await;
    }
    let (rest, farewell, _) = served.end().await;
    assert!(rest.starts_with("421 4.4.2"), "{rest}");
    assert_eq!((farewell.reason, started.elapsed().as_secs()), (Reason::Timeout, 300));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_or_drips_in_the_middle_of_data_is_given_up() {
    // Octets every hundred seconds, and the end: by the time for the next ones, or by the rate.
    for (drip, want) in [(0, 200), (1, 300), (999, 300), (1_000, 3_600)] {
        let mut limits = limits();
        limits.message_size = 1 << 30;
        let mut served = Served::start(1 << 16, Engine::default(), limits);
        served.begin_data().await;
        let started = Instant::now();
        while drip > 0 && !served.session.is_finished() && started.elapsed().as_secs() < 4_000 {
            sleep(Duration::from_millis(99_990)).await;
            let _ = served.peer.write_all("x".repeat(drip).as_bytes()).await;
        }
        let (rest, farewell, engine) = served.end().await;
        let (start, reason) = match want {
            3_600 => ("421 4.7.0", Reason::Spent),
            _ => ("421 4.4.2", Reason::Timeout),
        };
        assert!(rest.starts_with(start), "{drip}: {rest}");
        assert_eq!(farewell, Farewell { messages: 0, reason });
        let took = started.elapsed().as_secs();
        assert!((want..want + 105).contains(&took), "{drip} octets at a time: {took} s");
        assert_eq!(engine.told.last().map(String::as_str), Some("reset"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_brought_enough_ends_between_two_messages() {
    let mut limits = limits();
    limits.session.octets = 1_000;
    let mut served = Served::start(1 << 16, Engine::default(), limits);
    served.begin_data().await;
    served.say(&"x".repeat(2_000)).await;
    served.say("\r\n").await;
    sleep(Duration::from_secs(1)).await;
    served.ask(&[(".\r\n", "250 2.0.0")]).await;
    let (rest, farewell, _) = served.end().await;
    assert!(rest.starts_with("421 4.7.0"), "{rest}");
    assert_eq!(farewell, Farewell { messages: 1, reason: Reason::Spent });
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_given_up() {
    let mut served = Served::start(64, Engine::default(), limits());
    let mut sent = 0;
    while served.peer.write_all(b"HELP\r\n").await.is_ok() {
        sent += 1;
    }
    let (farewell, _) = served.session.await.expect("no panic");
    assert_eq!(farewell.reason, Reason::Timeout);
    // One read's commands, and those that fit between the two: no more were worked on.
    assert!(sent < 2_000, "{sent} commands were taken");
}

#[tokio::test]
async fn an_idle_session_stops_at_once() {
    let mut served = Served::start(1 << 16, Engine::default(), limits());
    served.reply().await;
    served.ask(&[("HELO x\r\n", "250 "), ("MAIL FROM:<a@b>\r\n", "250 ")]).await;
    served.stop.at_boundary.cancel();
    let (rest, farewell, engine) = served.end().await;
    assert_eq!(rest, "421 4.3.2 mx.example shutting down\r\n");
    assert_eq!(farewell.reason, Reason::Stopped);
    assert_eq!(engine.told.last().map(String::as_str), Some("reset"));
}

#[tokio::test]
async fn a_message_that_has_begun_is_taken_and_answered_before_the_session_stops() {
    let gate = Arc::new(Notify::new());
    let engine = Engine { gate: Some(gate.clone()), ..Engine::default() };
    let mut served = Served::start(1 << 16, engine, limits());
    served.begin_data().await;
    served.stop.at_boundary.cancel();
    served.say("x\r\n").await;
    tokio::task::yield_now().await;
    served.say(".\r\n").await;
    tokio::task::yield_now().await;
    gate.notify_one();
    let (rest, farewell, _) = served.end().await;
    assert_eq!(rest, "250 2.0.0 queued\r\n421 4.3.2 mx.example shutting down\r\n");
    assert_eq!(farewell, Farewell { messages: 1, reason: Reason::Stopped });
}

#[tokio::test(start_paused = true)]
async fn a_client_in_the_middle_of_its_data_is_told_when_nobody_waits_any_longer() {
    let mut served = Served::start(1 << 16, Engine::default(), limits());
    served.begin_data().await;
    served.say("half a message").await;
    served.stop.at_boundary.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    served.say(" and more").await;
    served.stop.at_once.cancel();
    // The rest of the content does not reset the connection before the words are read.
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.say(" of it\r\n.\r\n").await;
    let (rest, farewell, engine) = served.end().await;
    assert_eq!(rest, "421 4.3.2 mx.example shutting down\r\n");
    assert_eq!(farewell, Farewell { messages: 0, reason: Reason::Stopped });
    assert_eq!(engine.told.last().map(String::as_str), Some("reset"));
}

#[tokio::test]
async fn who_starts_while_the_host_is_stopping_is_told_so() {
    let (peer, ours) = duplex(1 << 10);
    let stop = Stop::default();
    stop.at_boundary.cancel();
    let setup = setup("mx", limits()).into();
    let farewell = serve(ours, Opening::Greeting, &setup, &mut Engine::default(), &stop).await;
    assert_eq!(farewell.reason, Reason::Stopped);
    let mut peer = peer;
    let mut replies = String::new();
    peer.read_to_string(&mut replies).await.expect("ASCII");
    assert!(replies.contains("\r\n421 4.3.2 "), "{replies}");
}

#[tokio::test(start_paused = true)]
async fn an_abuser_reads_why_and_is_cut_off() {
    let mut served = Served::start(64, Engine::default(), limits());
    let rubbish = tokio::spawn(async move {
        let mut replies = Vec::new();
        let (mut reader, mut writer) = tokio::io::split(&mut served.peer);
        let writing = async {
            while writer.write_all(b"garbage \xff\r\n").await.is_ok() {}
            pending::<()>().await;
        };
        tokio::select! {
            read = reader.read_to_end(&mut replies) => { read.expect("replies"); }
            () = writing => {}
        }
        (replies, served.session)
    });
    let (replies, session) = rubbish.await.expect("no panic");
    let replies = String::from_utf8_lossy(&replies).into_owned();
    assert_eq!(replies.matches("500 5.5.1").count(), 20, "{replies}");
    assert!(replies.ends_with("421 4.7.0 mx.example too many commands or errors, closing\r\n"));
    let (farewell, _) = session.await.expect("no panic");
    assert_eq!(farewell.reason, Reason::Abuse);
}

#[tokio::test]
async fn an_endless_line_is_swallowed() {
    let mut served = Served::start(1 << 16, Engine::default(), limits());
    served.reply().await;
    let piece = "x".repeat(1 << 16);
    for _ in 0..512 {
        served.say(&piece).await;
    }
    served.ask(&[("\r\n", "500 5.5.2"), ("QUIT\r\n", "221 ")]).await;
}

/// The budget for an idle connection is 20 KiB; the engine's share comes on top of this.
#[tokio::test]
async fn an_idle_session_is_small() {
    let (_peer, ours) = duplex(64);
    let setup = setup("mx", limits()).into();
    let (mut engine, stop) = (Engine::default(), Stop::default());
    let task = std::mem::size_of_val(&serve(ours, Opening::Greeting, &setup, &mut engine, &stop));
    assert!(task <= 2 << 10, "{task} octets");
}
