use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;
use relais_config::{Channel, channel::Program};

use super::*;
use crate::{
    server::{AuthAnswer, DataRate, Limits, SaslOffer, SessionLimits, TlsOffer},
    wire::content::ContentLimits,
};

/// Stands in for the engine: what it answers depends on the local parts.
#[derive(Debug, Default)]
struct Engine {
    lmtp: bool,
    /// The peer is one of ours.
    vouches: bool,
    from: String,
    to: Vec<String>,
    content: Vec<u8>,
    resets: usize,
    /// Content of the messages that were committed.
    stored: Vec<String>,
    /// Commands that were refused without it.
    refused: Vec<String>,
}

impl Engine {
    fn sender(&mut self, from: &MailFrom) -> Result<(), Reply> {
        from.path.as_str().clone_into(&mut self.from);
        refusal_of(&self.from)
    }

    fn recipient(&mut self, to: &RcptTo) -> Result<(), Reply> {
        refusal_of(&to.as_given)?;
        self.to.push(to.as_given.clone());
        Ok(())
    }

    fn open(&mut self) -> Result<(), Reply> {
        if self.from.starts_with("closed") { Err(FULL) } else { Ok(()) }
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Reply> {
        self.content.extend_from_slice(octets);
        if self.content.ends_with(b"FULL\r\n") { Err(FULL) } else { Ok(()) }
    }

    fn commit(&mut self) -> Verdict {
        self.stored.push(String::from_utf8_lossy(&self.content).into_owned());
        if !self.lmtp {
            return Verdict::Whole(Reply::new(250, Enhanced(2, 0, 0), "queued"));
        }
        let reply = |to: &String| match to.as_str() {
            "over" => Reply::with_text(422, Enhanced(4, 2, 2), format!("{to} Quota Exceeded")),
            _ => Reply::with_text(250, Enhanced(2, 5, 0), format!("{to} OK")),
        };
        // An engine that loses count must not shift the replies.
        let counted = self.to.iter().filter(|to| *to != "lost");
        Verdict::Each(counted.map(reply).collect())
    }

    fn reset(&mut self) {
        self.resets += 1;
        self.from.clear();
        self.to.clear();
        self.content.clear();
    }
}

fn refusal_of(address: &str) -> Result<(), Reply> {
    match address.split('@').next() {
        Some("nobody") => Err(Reply::new(550, Enhanced(5, 1, 1), "no such user")),
        Some("tired") => Err(Reply::new(421, Enhanced(4, 7, 0), "tired")),
        Some("later") => Err(Reply::new(450, Enhanced(4, 2, 1), "later")),
        _ => Ok(()),
    }
}

const FULL: Reply = Reply::new(452, Enhanced(4, 3, 1), "disk full");

/// Feeds `octets` and carries out events until the session wants more, or closes.
fn drive(session: &mut Session<'_>, engine: &mut Engine, octets: &mut Vec<u8>) -> Option<Reason> {
    loop {
        let (used, event) = session.take(octets);
        if session.forgotten() {
            engine.reset();
        }
        let hungry = event == Event::Hungry;
        match event {
            Event::Hungry | Event::Answered | Event::Hello => {}
            Event::Authenticate(_) => session.authenticated(AuthAnswer::Granted),
            Event::StartTls => session.secured(None),
            Event::Present(_) => session.presented(Ok(())),
            Event::Sender(from) => session.sender(engine.sender(&from)),
            Event::Recipient(to) => {
                session.recipient(engine.recipient(&to), engine.vouches);
            }
            Event::Open => session.opened(engine.open()),
            Event::Content(content) => {
                if let Err(reply) = engine.write(content) {
                    session.refuse(reply);
                }
            }
            Event::Commit => session.committed(engine.commit()),
            Event::SenderRefused(from, _) => {
                engine.refused.push(from.path.as_str().to_owned());
            }
            Event::ContentRefused(reply) => {
                engine.refused.push(format!("{} 0", reply.code));
                session.opened(Err(reply.clone()));
            }
            Event::Refused(reply, octets) => {
                engine.refused.push(format!("{} {octets}", reply.code));
                session.refused(&reply, Verdict::Whole(reply.clone()));
            }
            Event::Close(reason) => return Some(reason),
        }
        octets.drain(..used);
        if hungry {
            return None;
        }
    }
}

fn setup(dialect: Dialect) -> Setup {
    Setup {
        dialect,
        host: "mx.example".to_owned(),
        limits: Limits {
            message_size: 100,
            recipients: 3,
            named_recipients: usize::MAX,
            session: SessionLimits::UNLIMITED,
            command_line: 80,
            content_line: 40,
            content: ContentLimits {
                header_size: 1_000,
                header_fields: 10,
                forbid_nul: true,
                header_form: false,
            },
            commands: 12,
            bad_commands: 3,
            command_time: Duration::from_secs(300),
            data_time: Duration::from_secs(300),
            data_rate: DataRate { octets: 0, over: Duration::ZERO },
            strict_envelopes: false,
            beyond_ascii: BeyondAscii::Refused,
            is_private: dialect == Dialect::Lmtp,
            forbid_pipelining: false,
        },
        tls: TlsOffer::default(),
        sasl: SaslOffer::default(),
    }
}

/// Plays a dialogue. `C: line` is sent with CRLF, `C> octets` without, with `\r`, `\n` and `\0`
/// meaning what they mean in Rust; `S: text` is the start of the next line of reply; `X: reason`
/// says that the session is over. Nothing else may have been replied.
fn play(dialect: Dialect, script: &str) -> Engine {
    for piece in [usize::MAX, 7, 1] {
        play_in_pieces(dialect, script, piece);
    }
    play_in_pieces(dialect, script, usize::MAX)
}

fn play_in_pieces(dialect: Dialect, script: &str, piece: usize) -> Engine {
    let setup = setup(dialect);
    let mut session = Session::new(&setup);
    let mut engine = Engine { lmtp: dialect == Dialect::Lmtp, ..Engine::default() };
    let (mut held, mut closed) = (Vec::new(), None);
    let mut replies = VecDeque::from([take_line(&mut session)]);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (who, text) = line.split_once(' ').unwrap_or((line, ""));
        match who {
            "C:" | "C>" => {
                assert_eq!(replies.pop_front(), None, "unexpected reply before {line}");
                let mut octets = text.replace("\\r", "\r").replace("\\n", "\n").into_bytes();
                if who == "C:" {
                    octets.extend_from_slice(b"\r\n");
                }
                for octets in octets.chunks(piece.min(octets.len().max(1))) {
                    held.extend_from_slice(octets);
                    closed = closed.or_else(|| drive(&mut session, &mut engine, &mut held));
                }
                let out = String::from_utf8(session.outgoing().to_vec()).expect("ASCII");
                session.sent();
                replies.extend(out.split_terminator("\r\n").map(str::to_owned));
            }
            "S:" => {
                let reply = replies.pop_front().unwrap_or_default();
                assert!(reply.starts_with(text), "want {line}, have {reply:?} (by {piece})");
            }
            "X:" => assert_eq!(format!("{closed:?}"), format!("Some({text})"), "{script}"),
            _ => panic!("bad script line {line}"),
        }
    }
    assert_eq!(replies.pop_front(), None, "unexpected reply at the end of {script}");
    engine
}

fn take_line(session: &mut Session<'_>) -> String {
    let line = String::from_utf8_lossy(session.outgoing()).trim_end().to_owned();
    session.sent();
    line
}

/// Both dialogues open alike.
fn smtp(script: &str) -> Engine {
    let hello = "S: 220 mx.example ESMTP\nC: HELO client\nS: 250 mx.example\n";
    play(Dialect::Smtp, &format!("{hello}{script}"))
}

fn lmtp(script: &str) -> Engine {
    let hello = "S: 220 mx.example LMTP\nC: LHLO client\nS: 250-mx.example\nS: 250-PIPELINING\n\
                 S: 250-SIZE 100\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-ENHANCEDSTATUSCODES\n\
                 S: 250-CHUNKING\nS: 250-XQUOTA\nS: 250-XDFLG\nS: 250-XSTRESS\nS: 250 OK\n";
    play(Dialect::Lmtp, &format!("{hello}{script}"))
}

#[test]
fn recipients_beyond_ascii_are_for_transactions_with_smtputf8() {
    let script = "C: MAIL FROM:<a@sender.test>
         S: 250
         C: RCPT TO:<grüße@x.test>
         S: 553 5.6.7
         C: RSET
         S: 250
         C: MAIL FROM:<jörg@sender.test> SMTPUTF8
         S: 250
         C: RCPT TO:<grüße@ü.test>
         S: 250
         C: RSET
         S: 250
         C: MAIL FROM:<a@sender.test>
         S: 250
         C: RCPT TO:<grüße@x.test>
         S: 553 5.6.7";
    smtp(script);
    lmtp(script);
}

#[test]
fn a_message_over_smtp() {
    let engine = play(
        Dialect::Smtp,
        "S: 220 mx.example ESMTP relais
         C: EHLO client.example
         S: 250-mx.example
         S: 250-PIPELINING
         S: 250-SIZE 100
         S: 250-8BITMIME
         S: 250-SMTPUTF8
         S: 250-ENHANCEDSTATUSCODES
         S: 250-DSN
         S: 250-CHUNKING
         S: 250 HELP
         C: MAIL FROM:<> SIZE=20 BODY=8BITMIME
         S: 250 2.1.0 
         C: RCPT TO:<nobody@a>
         S: 550 5.1.1 no such user
         C: RCPT TO:<alice@a>
         S: 250 2.1.5 
         C: DATA
         S: 354 
         C: Subject: x
         C: 
         C: ..dot
         C: .
         S: 250 2.0.0 queued
         C: QUIT
         S: 221 2.0.0 mx.example
         X: Quit",
    );
    assert_eq!(engine.stored, ["Subject: x\r\n\r\n.dot\r\n"]);
    assert_eq!(engine.resets, 1);
}

#[test]
fn everything_pipelined() {
    let engine = smtp(
        "C> MAIL FROM:<a@b>\\r\\nRCPT TO:<c@d>\\r\\nDATA\\r\\nx\\r\\n.\\r\\nNOOP\\r\\nQUIT\\r\\n
         S: 250 2.1.0
         S: 250 2.1.5
         S: 354
         S: 250 2.0.0 queued
         S: 250 2.0.0
         S: 221
         X: Quit",
    );
    assert_eq!(engine.stored, ["x\r\n"]);
}

#[test]
fn the_order_of_commands() {
    play(
        Dialect::Smtp,
        "S: 220
         C: NOOP
         S: 250 2.0.0
         C: MAIL FROM:<a@b>
         S: 503 5.5.1",
    );
    smtp(
        "C: RCPT TO:<a@b>
         S: 503 5.5.1
         C: DATA
         S: 503 5.5.1
         C: MAIL FROM:<a@b>
         S: 250
         C: MAIL FROM:<a@b>
         S: 503 5.5.1
         C: RSET
         S: 250 2.0.0
         C: MAIL FROM:<a@b>
         S: 250",
    );
    smtp(
        "C: MAIL FROM:<a@b>
         S: 250
         C: DATA
         S: 554 5.5.1 no valid recipients
         C: RCPT TO:<nobody@b>
         S: 550
         C: DATA
         S: 554 5.5.1
         C: RSET
         S: 250 2.0.0
         C: MAIL FROM:<a@b>
         S: 250",
    );
    smtp(
        "C: MAIL FROM:<a@b>
         S: 250
         C: HELO again
         S: 250 mx.example
         C: MAIL FROM:<a@b>
         S: 250",
    );
    lmtp(
        "C: MAIL FROM:<a@b>
         S: 250 2.1.0
         C: DATA
         S: 503 5.5.1
         C: RCPT TO:<nobody>
         S: 550 5.1.1
         C: DATA
         S: 503 5.5.1",
    );
}

#[test]
fn a_refused_sender_opens_nothing_and_blames_nobody() {
    smtp(
        "C> MAIL FROM:<later@b>\\r\\nRCPT TO:<a@b>\\r\\nRCPT TO:<a@b>\\r\\nRCPT TO:<a@b>\\r\\n
         S: 450 4.2.1
         S: 503 5.5.1
         S: 503 5.5.1
         S: 503 5.5.1
         C: DATA
         S: 503 5.5.1
         C: MAIL FROM:<a@b> SIZE=101
         S: 552 5.3.4
         C: RCPT TO:<a@b>
         S: 503 5.5.1
         C: MAIL FROM:<a@b> SIZE=100
         S: 250",
    );
}

#[test]
fn commands_that_do_nothing() {
    smtp(
        "C: VRFY alice
         S: 252 2.5.0
         C: HELP
         S: 214-2.0.0 commands:
         S: 214 2.0.0 see
         C: NOOP x
         S: 250 2.0.0
         C: EXPN team
         S: 502 5.5.1
         C: AUTH PLAIN
         S: 502 5.5.1
         C: STARTTLS
         S: 502 5.5.1",
    );
}

#[test]
fn each_dialect_has_its_hello() {
    play(
        Dialect::Smtp,
        "S: 220
         C: LHLO client
         S: 500 5.5.1",
    );
    play(
        Dialect::Lmtp,
        "S: 220 mx.example LMTP
         C: EHLO client
         S: 500 5.5.1 this is LMTP, say LHLO
         C: HELO client
         S: 500 5.5.1 this is LMTP, say LHLO",
    );
}

#[test]
fn a_message_over_lmtp_has_one_reply_for_each_accepted_recipient() {
    let engine = lmtp(
        "C: MAIL FROM: a@b.example size=40
         S: 250 2.1.0 OK
         C: RCPT TO: jdoe+inv@sesta.com xquota=1048576,500 xdflg=1
         S: 250 2.1.5 OK
         C: RCPT TO:<nobody>
         S: 550 5.1.1
         C: RCPT TO:<over>
         S: 250
         C: RCPT TO:<jdoe>
         S: 250
         C: DATA
         S: 354
         C: x
         C: .
         S: 250 2.5.0 jdoe+inv@sesta.com OK
         S: 422 4.2.2 over Quota Exceeded
         S: 250 2.5.0 jdoe OK
         C: quit
         S: 221
         X: Quit",
    );
    assert_eq!(engine.stored, ["x\r\n"]);
}

/// The dialogue of section 16.6, letter for letter.
#[test]
fn the_dialogue_of_the_original_is_understood() {
    let hello = "S: 250-\n".repeat(10);
    let engine = play(
        Dialect::Lmtp,
        &format!(
            "S: 220
             C: LHLO
             {hello}S: 250 OK
             C: MAIL FROM: jane@sender.example size=40
             S: 250 2.1.0 OK
             C: RCPT TO: uid+folder@sesta.com xquota=20971520,2000 xdflg=2
             S: 250 2.1.5 OK
             C: RCPT TO: jdoe xquota=-1,-2 xdflg=0
             S: 250 2.1.5 OK
             C: DATA
             S: 354
             C: ..dotted
             C: .
             S: 250 2.5.0 uid+folder@sesta.com OK
             S: 250 2.5.0 jdoe OK
             C: MAIL FROM: jane@sender.example size=40
             S: 250 2.1.0 OK
             C: RCPT TO: jdoe
             S: 250 2.1.5 OK
             C: DATA
             S: 354
             C: .
             S: 250 2.5.0 jdoe OK
             C: quit
             S: 221
             X: Quit"
        ),
    );
    assert_eq!(engine.stored, [".dotted\r\n", ""]);
}

#[test]
fn a_missing_result_does_not_shift_the_others() {
    lmtp(
        "C: MAIL FROM:<a@b>
         S: 250
         C: RCPT TO:<jdoe>
         S: 250
         C: RCPT TO:<lost>
         S: 250
         C: DATA
         S: 354
         C: .
         S: 250 2.5.0 jdoe OK
         S: 451 4.3.0",
    );
}

#[test]
fn lmtp_that_says_more_than_it_announced_is_cut_off() {
    let start = "C: MAIL FROM:<a@b> SIZE=10
                 S: 250
                 C: RCPT TO:<jdoe>
                 S: 250
                 C: DATA
                 S: 354\n";
    let engine = lmtp(&format!("{start}C: 12345678\nC: .\nS: 250 2.5.0 jdoe OK"));
    assert_eq!(engine.stored.len(), 1);
    let engine = lmtp(&format!("{start}C: 123456789\nS: 500 message too big\nX: Abuse"));
    assert_eq!(engine.stored.len(), 0);
    // Over SMTP the announcement is only a hint.
    let engine = smtp(&format!("{start}C: 123456789\nC: .\nS: 250"));
    assert_eq!(engine.stored.len(), 1);
}

#[test]
fn limits_of_a_message() {
    let open = "C: MAIL FROM:<a@b>
                S: 250
                C: RCPT TO:<c>
                S: 250
                C: RCPT TO:<d>
                S: 250
                C: DATA
                S: 354\n";
    let forty = format!("C: {}\n", "x".repeat(38));
    let line = |octets: usize| format!("C: {}\n", "x".repeat(octets - 2));
    let end = "C: .\n";

    let engine = smtp(&format!("{open}{forty}{forty}{}{end}S: 250", line(20)));
    assert_eq!(engine.stored.len(), 1);
    let engine = smtp(&format!("{open}{forty}{forty}{}{end}S: 552 5.3.4", line(21)));
    assert_eq!((engine.stored.len(), engine.resets), (0, 1));
    smtp(&format!("{open}{}{end}S: 550 5.6.0 a line of the message is longer than 40", line(41)));
    lmtp(&format!("{open}{}{end}S: 550 5.6.0\nS: 550 5.6.0", line(41)));
    smtp(&format!("{open}C: FULL\nC: more\n{end}S: 452 4.3.1 disk full\nC: NOOP\nS: 250"));
    lmtp(&format!("{open}C: FULL\nC: more\n{end}S: 452 4.3.1\nS: 452 4.3.1"));
    smtp(
        "C: MAIL FROM:<closed@b>
         S: 250
         C: RCPT TO:<c>
         S: 250
         C: DATA
         S: 452 4.3.1
         C: MAIL FROM:<a@b>
         S: 250",
    );
}

#[test]
fn no_wrong_sequence_ends_the_data_and_all_refuse_it() {
    let sequences = [
        "\\n.\\n",
        "\\n.\\r\\n",
        "\\r\\n.\\n",
        "\\r.\\r",
        "\\r.\\n",
        "\\n.\\r",
        "\\r.\\r\\n",
        "\\r\\n.\\r",
        "\\r\\r\\n.\\r\\r\\n",
        "\\n",
        "\\r",
    ];
    for sequence in sequences {
        for (dialect, hello) in [(Dialect::Smtp, "HELO"), (Dialect::Lmtp, "LHLO")] {
            // A hello without its replies: they differ. So does the refusal.
            let refused = if dialect == Dialect::Lmtp { "560 5.6.0" } else { "550 5.6.11" };
            let start = format!("{hello} x\\r\\nMAIL FROM:<a@b>\\r\\nRCPT TO:<c>\\r\\nDATA\\r\\n");
            let replies = match dialect {
                Dialect::Smtp => "S: 250 mx\n".to_owned(),
                Dialect::Lmtp => "S: 250-\n".repeat(10) + "S: 250 OK\n",
            };
            let engine = play(
                dialect,
                &format!(
                    "S: 220
                     C> {start}
                     {replies}S: 250
                     S: 250
                     S: 354
                     C> x{sequence}MAIL FROM:<evil@b>\\r\\nRCPT TO:<victim>\\r\\n
                     C: .
                     S: {refused}
                     C: NOOP
                     S: 250"
                ),
            );
            assert_eq!((engine.stored.len(), engine.resets), (0, 1), "{sequence}");
        }
    }
}

#[test]
fn bare_ends_of_line_in_commands() {
    smtp(
        "C> NOOP\\n
         S: 550 5.6.11
         C: RSET
         S: 550 5.6.11
         C: RSET
         S: 250",
    );
    smtp(
        "C: NO\\rOP
         S: 550 5.6.11
         C: RSET
         S: 250",
    );
}

#[test]
fn a_line_that_is_too_long() {
    let line = "x".repeat(74);
    smtp(&format!("C: NOOP{line}\nS: 500 5.5.1\nC: NOOPx{line}\nS: 500 5.5.2\nC: NOOP\nS: 250"));
}

#[test]
fn too_many_recipients() {
    let engine = smtp(
        "C: MAIL FROM:<a@b>
         S: 250
         C: RCPT TO:<a>
         S: 250
         C: RCPT TO:<b>
         S: 250
         C: RCPT TO:<c>
         S: 250
         C: RCPT TO:<d>
         S: 452 4.5.3
         C: DATA
         S: 354
         C: .
         S: 250",
    );
    assert_eq!(engine.stored, [""]);
}

#[test]
fn too_many_bad_commands() {
    smtp(
        "C: one
         S: 500 5.5.1
         C: MAIL FROM:<a
         S: 501 5.1.7
         C: EHLO
         S: 501 5.5.4
         C: four
         S: 421 4.7.0 mx.example too many
         X: Abuse",
    );
}

#[test]
fn guessing_at_names_costs_what_other_errors_cost() {
    let begin = "C: MAIL FROM:<a@b>\nS: 250\n";
    let refused = |code: &str| format!("C: RCPT TO:<nobody>\nS: {code}\nC: RSET\nS: 250\n{begin}");
    let end = "C: RCPT TO:<nobody>\nS: 421 4.7.0 mx.example too many\nX: Abuse";
    smtp(&format!("{begin}{}{end}", refused("550 5.1.1").repeat(3)));
    // A recipient that is put off, or accepted, is no error; a message shows that it is a list.
    let later = "C: RCPT TO:<later>\nS: 450\n";
    let sent = "C: RCPT TO:<c>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250\n";
    smtp(&format!("{begin}{}{sent}", later.repeat(5)));
    let list = "C: RCPT TO:<nobody>\nS: 550\n".repeat(3);
    smtp(&format!("{begin}{list}{sent}{begin}{list}{sent}"));
}

#[test]
fn who_is_vouched_for_may_have_a_list_of_names_that_are_gone() {
    let setup = setup(Dialect::Smtp);
    let (mut session, mut engine) = (Session::new(&setup), Engine::default());
    engine.vouches = true;
    let list = "RCPT TO:<nobody>\r\n".repeat(9);
    let mut octets = format!("EHLO x\r\nMAIL FROM:<a@b>\r\n{list}").into_bytes();
    assert_eq!(drive(&mut session, &mut engine, &mut octets), None);
}

/// RFC 5321 section 4.3.1.
#[test]
fn who_does_not_wait_for_the_greeting_is_sent_away() {
    for (forbid, said, want) in [
        (true, "EHLO x\r\n", Some(Reason::OutOfTurn)),
        (true, "NOOP\r\n", Some(Reason::OutOfTurn)),
        (true, "QUIT\r\n", Some(Reason::Quit)),
        (true, "GET / HTTP/1.1\r\n", Some(Reason::Foreign)),
        (false, "EHLO x\r\n", None),
    ] {
        let mut setup = setup(Dialect::Smtp);
        setup.limits.forbid_pipelining = forbid;
        let mut session = Session::new(&setup);
        session.came_early();
        let mut octets = said.as_bytes().to_vec();
        let reason = drive(&mut session, &mut Engine::default(), &mut octets);
        assert_eq!(reason, want, "{said} {forbid}");
    }
}

#[test]
fn recipients_without_end_and_no_message() {
    let named = "C> MAIL FROM:<a@b>\\r\\nRCPT TO:<c>\\r\\nRSET\\r\\n\nS: 250\nS: 250\nS: 250\n";
    let sent = "C> MAIL FROM:<a@b>\\r\\nRCPT TO:<c>\\r\\nDATA\\r\\nx\\r\\n.\\r\\n
                S: 250\nS: 250\nS: 354\nS: 250\n";
    let end = "C: NOOP\nS: 421 4.7.0 mx.example too many recipients\nX: NoMessage";
    smtp(&format!("{}{end}", named.repeat(4)));
    smtp(&format!("{}{sent}{}{end}", named.repeat(3), named.repeat(4)));
}

#[test]
fn a_reply_of_421_ends_the_session() {
    smtp(
        "C> MAIL FROM:<tired@b>\\r\\nRCPT TO:<a@b>\\r\\n
         S: 421 4.7.0 tired
         X: NoMessage",
    );
}

#[test]
fn who_speaks_another_protocol_is_let_go() {
    for line in ["GET / HTTP/1.1", "Host: a.example", "\\0\\0"] {
        let line = line.replace("\\0", "\u{1}");
        smtp(&format!("C> {line}\\r\\nMAIL FROM:<a@b>\\r\\n\nS: 500 5.5.1 \nX: Foreign"));
    }
}

/// Feeds all of it at once to a session that forbids pipelining out of turn; what it replies, the
/// greeting aside, and how it ends.
fn at_once(dialect: Dialect, octets: &str) -> (String, Option<Reason>) {
    let mut setup = setup(dialect);
    setup.limits.forbid_pipelining = true;
    let mut session = Session::new(&setup);
    take_line(&mut session);
    let mut held = octets.as_bytes().to_vec();
    let closed = drive(&mut session, &mut Engine::default(), &mut held);
    let codes = String::from_utf8_lossy(session.outgoing());
    let codes = codes.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]);
    (codes.collect::<Vec<_>>().join(" "), closed)
}

#[test]
fn commands_out_of_turn_end_the_session_and_those_in_turn_do_not() {
    use Dialect::{Lmtp, Smtp};
    let out = Some(Reason::OutOfTurn);
    let rows = [
        (Smtp, "EHLO c\r\nMAIL FROM:<a@b>\r\n", "554", out),
        (Smtp, "HELO c\r\nMAIL FROM:<a@b>\r\n", "554", out),
        (Lmtp, "LHLO c\r\nMAIL FROM:<a@b>\r\n", "554", out),
        (Smtp, "RSET\r\nEHLO c\r\n", "554", out),
        (Smtp, "EHLO c\r\n", "250", None),
        (Smtp, "QUIT\r\nxyz", "221", Some(Reason::Quit)),
    ];
    for (dialect, octets, codes, reason) in rows {
        assert_eq!(at_once(dialect, octets), (codes.to_owned(), reason), "{octets:?}");
    }
    let after_hello = [
        ("EHLO c", "MAIL FROM:<a@b>\r\nRCPT TO:<c>\r\nDATA\r\n", "250 250 250 354", None),
        ("EHLO c", "MAIL FROM:<a@b>\r\nRCPT TO:<c>\r\nDATA\r\nx\r\n", "250 250 250 554", out),
        (
            "EHLO c",
            "RSET\r\nMAIL FROM:<a@b>\r\nRSET\r\nQUIT\r\n",
            "250 250 250 250 221",
            Some(Reason::Quit),
        ),
        ("EHLO c", "NOOP\r\nRSET\r\n", "250 554", out),
        ("HELO c", "MAIL FROM:<a@b>\r\nRCPT TO:<c>\r\n", "250 554", out),
        ("HELO c", "MAIL FROM:<a@b>\r\n", "250 250", None),
    ];
    for (hello, octets, codes, reason) in after_hello {
        let mut setup = setup(Smtp);
        setup.limits.forbid_pipelining = true;
        let mut session = Session::new(&setup);
        take_line(&mut session);
        let mut engine = Engine::default();
        assert_eq!(
            drive(&mut session, &mut engine, &mut format!("{hello}\r\n").into_bytes()),
            None
        );
        let closed = drive(&mut session, &mut engine, &mut octets.as_bytes().to_vec());
        let said = String::from_utf8_lossy(session.outgoing()).into_owned();
        let said = said.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]);
        assert_eq!((&*said.collect::<Vec<_>>().join(" "), closed), (codes, reason), "{octets:?}");
    }
}

#[test]
fn the_engine_hears_of_every_message_that_is_refused() {
    let start = "C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<c>\nS: 250\nC: DATA\nS: 354\n";
    let long = "x".repeat(50);
    let engine = smtp(&format!(
        "C: MAIL FROM:<big@b> SIZE=101
         S: 552
         {start}C> a\\nb\\r\\n.\\r\\n
         S: 550 5.6.11
         {start}C> {long}\\r\\n.\\r\\n
         S: 550 5.6.0"
    ));
    assert_eq!(engine.refused, ["big@b", "550 5", "550 52"]);
    let start = "C: MAIL FROM:<a@b> SIZE=5\nS: 250\nC: RCPT TO:<c>\nS: 250\nC: DATA\nS: 354\n";
    let engine = lmtp(&format!("{start}C: 123456789\nS: 500 message too big\nX: Abuse"));
    assert_eq!(engine.refused.len(), 1, "{:?}", engine.refused);
}

#[test]
fn a_size_that_does_not_bind_is_an_estimate() {
    for dialect in [Dialect::Smtp, Dialect::Lmtp] {
        let mut setup = setup(dialect);
        setup.limits.is_private = false;
        let mut session = Session::new(&setup);
        let (mut engine, hello) = (
            Engine::default(),
            match dialect {
                Dialect::Smtp => "EHLO c",
                Dialect::Lmtp => "LHLO c",
            },
        );
        let script = format!(
            "{hello}\r\nMAIL FROM:<a@b> SIZE=5\r\nRCPT TO:<c>\r\nDATA\r\nmore than that\r\n.\r\n"
        );
        assert_eq!(drive(&mut session, &mut engine, &mut script.into_bytes()), None);
        assert_eq!(engine.stored, ["more than that\r\n"], "{dialect:?}");
    }
}

#[test]
fn too_many_commands_without_a_message() {
    let message = "C> MAIL FROM:<a@b>\\r\\nRCPT TO:<c>\\r\\nDATA\\r\\nx\\r\\n.\\r\\n
                   S: 250
                   S: 250
                   S: 354
                   S: 250\n";
    let noop = "C: NOOP\nS: 250\n";
    smtp(&format!("{}C: NOOP\nS: 421 4.7.0\nX: Abuse", noop.repeat(11)));
    smtp(&format!("{}{message}{}", noop.repeat(8), noop.repeat(12)));
}

#[test]
fn a_message_in_chunks() {
    let start = "C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<c@d>\nS: 250\n";
    let engine = smtp(&format!(
        "{start}C> BDAT 6\\r\\n.one\\r\\n
         S: 250 2.0.0 6 octets
         C: NOOP
         S: 250
         C> BDAT 5 LAST\\r\\n.\\r\\nx\\n
         S: 550 5.6.11
         {start}C> BDAT 6\\r\\n.one\\r\\nBDAT 3\\r\\n.\\r\\n
         S: 250 2.0.0 6 octets
         S: 250 2.0.0 9 octets
         C: BDAT 0 LAST
         S: 250 2.0.0 queued
         C: QUIT
         S: 221"
    ));
    assert_eq!(engine.stored, [".one\r\n.\r\n"]);
    let engine =
        smtp(&format!("{start}C> BDAT 3 LAST\\r\\nabcNOOP\\r\\n\nS: 250 2.0.0 queued\nS: 250"));
    assert_eq!(engine.stored, ["abc\r\n"], "the last line is completed");
    let engine = smtp(&format!("{start}C: BDAT 0 LAST\nS: 250 2.0.0 queued"));
    assert_eq!(engine.stored, [""]);
    smtp(&format!("{start}C> BDAT 2 LAST\\r\\na\\r\nS: 550 5.6.11\nC: NOOP\nS: 250"));
}

#[test]
fn a_message_in_chunks_over_lmtp_is_answered_for_each_recipient() {
    let start = "C: MAIL FROM:<a@b> SIZE=9\nS: 250\nC: RCPT TO:<jdoe>\nS: 250\n\
                 C: RCPT TO:<lost>\nS: 250\n";
    let engine = lmtp(&format!(
        "{start}C> BDAT 3\\r\\nx\\r\\n
         S: 250 2.0.0 3 octets
         C> BDAT 3 LAST\\r\\ny\\r\\n
         S: 250 2.5.0 jdoe OK
         S: 451 4.3.0
         C: NOOP
         S: 250"
    ));
    assert_eq!(engine.stored, ["x\r\ny\r\n"]);
    let engine = lmtp(&format!(
        "{start}C> BDAT 10 LAST\\r\\n12345678\\r\\n\nS: 500 message too big\nX: Abuse"
    ));
    assert_eq!(engine.refused.len(), 1, "a size that was announced binds in chunks, too");
}

#[test]
fn chunks_that_are_refused_are_swallowed() {
    let start = "C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<c@d>\nS: 250\n";
    let hundred = "x".repeat(101);
    // Without MAIL, without recipients.
    smtp("C> BDAT 6\\r\\nQUIT\\r\\nNOOP\\r\\n\nS: 503 5.5.1\nS: 250");
    smtp(
        "C: MAIL FROM:<a@b>\nS: 250\nC> BDAT 6 LAST\\r\\nQUIT\\r\\n\nS: 554 5.5.1\nC: NOOP\nS: 250",
    );
    lmtp("C> BDAT 6\\r\\nQUIT\\r\\nNOOP\\r\\n\nS: 503 5.5.1\nS: 250");
    // Too big: at once, and in sum; the rest is refused too, until the last or RSET.
    smtp(&format!("{start}C> BDAT 101 LAST\\r\\n{hundred}\nS: 552 5.3.4\n{start}"));
    smtp(&format!(
        "{start}C> BDAT 2\\r\\n\\r\\n
         S: 250
         C> BDAT 99\\r\\n{}
         S: 552 5.3.4
         C: BDAT 0
         S: 552 5.3.4
         C: RSET
         S: 250
         {start}",
        "x".repeat(99)
    ));
    // The engine does not open.
    smtp(
        "C: MAIL FROM:<closed@b>
         S: 250
         C: RCPT TO:<c>
         S: 250
         C> BDAT 6\\r\\nQUIT\\r\\nBDAT 1 LAST\\r\\nx
         S: 452 4.3.1
         S: 452 4.3.1
         C: MAIL FROM:<a@b>
         S: 250",
    );
    // Nothing else may come between.
    smtp(&format!(
        "{start}C: BDAT 0
         S: 250
         C: DATA
         S: 503 5.5.1
         C: RCPT TO:<x>
         S: 503 5.5.1
         C: MAIL FROM:<a@b>
         S: 503 5.5.1"
    ));
    // Octets behind a size that cannot be read cannot be told from commands.
    smtp(&format!("{start}C: BDAT x\nS: 501 5.5.4\nX: Abuse"));
}

#[test]
fn who_the_peer_says_it_is() {
    let long = "a".repeat(300);
    let rows = [
        (Dialect::Smtp, "EHLO client.example", "client.example", true),
        (Dialect::Smtp, "HELO [IPv6:::1] (me)", "[IPv6:::1]", false),
        (Dialect::Smtp, "EHLO x;(y)\u{e9}\u{1b}", "x??y????", true),
        (Dialect::Smtp, &format!("EHLO {long}"), &long[..255], true),
        (Dialect::Lmtp, "LHLO", "", true),
    ];
    for (dialect, line, name, extended) in rows {
        let mut setup = setup(dialect);
        setup.limits.command_line = 512;
        let mut session = Session::new(&setup);
        let octets = format!("{line}\r\n");
        assert_eq!(session.take(octets.as_bytes()), (octets.len(), Event::Hello));
        assert_eq!(session.hello().map(|hello| hello.name.as_str()), Some(name), "{line}");
        assert_eq!(session.hello().map(|hello| hello.extended), Some(extended), "{line}");
    }
}

#[test]
fn a_session_is_at_a_boundary_between_commands_and_not_within_a_message() {
    let setup = setup(Dialect::Smtp);
    let (mut session, mut engine) = (Session::new(&setup), Engine::default());
    let rows = [
        ("EHLO x\r\nMAIL FR", true),
        ("OM:<a@b>\r\nRCPT TO:<c>\r\n", true),
        ("BDAT 2\r\n\r", false),
        ("\n", false),
        ("BDAT 0 LAST\r\n", true),
        ("MAIL FROM:<a@b>\r\nRCPT TO:<c>\r\nDATA\r\n", false),
        ("x\r\n", false),
        (".\r\n", true),
    ];
    let mut held = Vec::new();
    for (octets, want) in rows {
        held.extend_from_slice(octets.as_bytes());
        assert_eq!(drive(&mut session, &mut engine, &mut held), None);
        assert_eq!(session.at_boundary(), want, "{octets:?}");
    }
    assert_eq!(session.messages(), 2);
}

#[test]
fn limits_come_from_the_channel() {
    let channel = Channel::new("tcp_local", "tcp-daemon", Program::Smtp);
    let limits = Limits::of(&channel);
    assert_eq!(limits.message_size, 50 << 20);
    assert_eq!((limits.recipients, limits.commands, limits.bad_commands), (1_000, 1_000, 20));
    assert_eq!((limits.command_line, limits.content_line), (2_048, 1 << 20));
}

/// Commands, pieces of commands, and rubbish.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "EHLO x\r\n",
        "LHLO x\r\n",
        "MAIL FROM:<a@b>\r\n",
        "RCPT TO:<c>\r\n",
        "DATA\r\n",
        "\r\n.\r\n",
        "BDAT 10\r\n",
        "BDAT 3 LAST\r\n",
        "RSET\r\n",
        "MAIL FROM:<",
        "\r",
        "\n",
        ".",
        "QUIT\r\n",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let rubbish = prop::collection::vec(any::<u8>(), 0..120);
    prop::collection::vec(prop_oneof![4 => word, 1 => rubbish], 0..40).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn no_octets_panic_or_pile_up(octets in octets(), lmtp: bool, piece in 1usize..50) {
        let mut setup = setup(if lmtp { Dialect::Lmtp } else { Dialect::Smtp });
        setup.limits.commands = 1_000;
        setup.limits.bad_commands = 1_000;
        let mut session = Session::new(&setup);
        let (mut engine, mut held) = (Engine { lmtp, ..Engine::default() }, Vec::new());
        for piece in octets.chunks(piece) {
            held.extend_from_slice(piece);
            if drive(&mut session, &mut engine, &mut held).is_some() {
                break;
            }
            prop_assert!(held.len() < setup.limits.command_line, "holds {}", held.len());
            prop_assert!(engine.content.len() <= 100 + 2, "took {}", engine.content.len());
            session.sent();
        }
    }

    #[test]
    fn pieces_make_no_difference(octets in octets(), lmtp: bool, piece in 1usize..50) {
        let setup = setup(if lmtp { Dialect::Lmtp } else { Dialect::Smtp });
        let replies = |piece: usize| {
            let mut session = Session::new(&setup);
            let (mut engine, mut held) = (Engine { lmtp, ..Engine::default() }, Vec::new());
            for piece in octets.chunks(piece) {
                held.extend_from_slice(piece);
                if drive(&mut session, &mut engine, &mut held).is_some() {
                    break;
                }
            }
            (String::from_utf8_lossy(session.outgoing()).into_owned(), engine.stored)
        };
        prop_assert_eq!(replies(piece), replies(usize::MAX));
    }
}

#[test]
fn a_session_has_its_share_and_no_more() {
    let mail = "MAIL FROM:<a@b>\r\n";
    let row = |edit: fn(&mut Limits), commands: String, want: &'static [&'static str]| {
        (edit, commands, want)
    };
    let nobody = "RCPT TO:<nobody@c>\r\n";
    let rows = [
        row(
            |limits| limits.session.transactions = 2,
            format!("{mail}RSET\r\n{mail}RSET\r\n{mail}RCPT TO:<c@d>\r\nNOOP\r\n"),
            &["250", "250", "250", "250", "450 4.5.3", "503", "250"],
        ),
        row(
            |limits| limits.session.transactions_to_end = 1,
            format!("{mail}RCPT TO:<c@d>\r\nDATA\r\n.\r\n{mail}"),
            &["250", "250", "354", "250", "421 4.7.0"],
        ),
        row(
            |limits| limits.session.transactions_to_end = 1,
            format!("{mail}RSET\r\n"),
            &["250", "421 4.7.0"],
        ),
        row(
            |limits| limits.session.recipients = 2,
            format!("{mail}RCPT TO:<c@d>\r\nRCPT TO:<e@d>\r\nRCPT TO:<f@d>\r\nRSET\r\n"),
            &["250", "250", "250", "250", "421 4.7.0"],
        ),
        row(
            |limits| limits.session.rejects = 2,
            format!("{mail}{nobody}{nobody}RCPT TO:<c@d>\r\nRSET\r\n"),
            &["250", "550", "550", "250", "421 4.7.0"],
        ),
        row(
            |limits| limits.session.rejects_to_defer = 2,
            format!("{mail}{nobody}{nobody}RCPT TO:<c@d>\r\n{nobody}"),
            &["250", "550", "550", "450 4.7.0", "450 4.7.0"],
        ),
        row(
            |limits| limits.named_recipients = 2,
            format!("{mail}{nobody}RCPT TO:<c@d>\r\nRCPT TO:<e@d>\r\nDATA\r\nNOOP\r\n"),
            &["250", "550", "250", "250", "451 4.5.3", "250"],
        ),
        row(
            |limits| limits.named_recipients = 1,
            format!("{mail}RCPT TO:<c@d>\r\nRCPT TO:<e@d>\r\nBDAT 3 LAST\r\nx\r\nNOOP\r\n"),
            &["250", "250", "250", "451 4.5.3", "250"],
        ),
    ];
    for (edit, commands, want) in rows {
        let mut setup = setup(Dialect::Smtp);
        (setup.limits.commands, setup.limits.bad_commands) = (100, 100);
        edit(&mut setup.limits);
        let (mut session, mut engine) = (Session::new(&setup), Engine::default());
        let mut octets = format!("EHLO c.test\r\n{commands}").into_bytes();
        drive(&mut session, &mut engine, &mut octets);
        let said = String::from_utf8_lossy(session.outgoing()).into_owned();
        let replies: Vec<_> = said.lines().skip_while(|line| !line.starts_with("250 ")).collect();
        assert_eq!(replies.len() - 1, want.len(), "{commands}: {said}");
        for (reply, want) in replies[1..].iter().zip(want) {
            assert!(reply.starts_with(want), "{commands}: {said}");
        }
    }
}
