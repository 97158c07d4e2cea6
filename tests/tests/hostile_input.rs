//! Input that is to confuse a server: false ends of data, commands out of turn, octets that may not
//! be, headers and lines without measure. On SMTP and on LMTP.

use std::{io::Read, net::TcpStream, time::Duration};

use relais_tests::{Dialogue, Instance, Reply, Settings, eventually, mailbox};

/// A service, the greeting verb of its protocol, and the replies to a bare CR or LF, and to a NUL.
#[derive(Clone, Copy)]
struct Door {
    port: u16,
    hello: &'static str,
    bare: &'static str,
    nul: &'static str,
}

impl Door {
    fn both(instance: &Instance) -> [Self; 2] {
        let Settings { smtp, lmtp, .. } = instance.settings;
        [
            Self { port: smtp, hello: "EHLO", bare: "550 5.6.11", nul: "550 5.6.0" },
            Self { port: lmtp, hello: "LHLO", bare: "560 5.6.0", nul: "560 5.6.0" },
        ]
    }

    fn connect(self) -> Dialogue {
        let (dialogue, greeting) = Dialogue::connect(self.port).expect("it listens");
        greeting.expect(220);
        dialogue
    }

    fn open(self) -> Dialogue {
        let mut dialogue = self.connect();
        dialogue.ask(&format!("{} client.test", self.hello)).expect(250);
        dialogue
    }

    fn message(self, content: &[u8]) -> Reply {
        let mut client = self.open();
        client.begin("a@sender.test", &["alice@relais.example"]);
        let reply = client.finish(content);
        client.ask("NOOP").expect(250);
        reply
    }
}

/// The sequences that ended the data of Postfix, Dovecot or Cyrus at some time, and their mirrors.
const FALSE_ENDS: [&[u8]; 11] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
];

/// Only CRLF.CRLF ends the data; a bare CR or LF in it is refused, so nothing hides behind a dot.
#[test]
fn no_other_end_of_data_smuggles_a_message() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    for door in Door::both(&instance) {
        for end in FALSE_ENDS {
            let mut client = door.open();
            client.begin("a@sender.test", &["alice@relais.example"]);
            client.send(&[b"Subject: outside\r\n\r\nxx", end].concat()).unwrap();
            client.patience(Duration::from_millis(200));
            assert!(client.reply().is_err(), "{end:?} ends the data of {}", door.hello);
            client.patience(Duration::from_secs(30));
            let hidden: &[&[u8]] = &[
                b"MAIL FROM:<b@sender.test>\r\nRCPT TO:<bob@relais.example>\r\nDATA\r\n",
                b"Subject: inside\r\n\r\nhidden\r\n.\r\n",
            ];
            client.send(&hidden.concat()).unwrap();
            let want = if end.contains(&0) { door.nul } else { door.bare };
            client.reply().unwrap().expect_start(want);
            // The session gave no other reply: the next one belongs to NOOP.
            client.ask("NOOP").expect(250);
        }
    }
    eventually("an empty queue", Duration::from_secs(10), || instance.queue().is_empty());
    for user in ["alice", "bob"] {
        assert!(mailbox(&instance.store(), "relais.example", user).is_empty(), "{user}");
    }
}

#[test]
fn commands_that_do_not_wait_for_their_turn_end_the_session() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    for door in Door::both(&instance) {
        let hello = door.hello;
        let mail = "MAIL FROM:<a@b.test>\r\n";
        let rows = [
            ("behind the greeting verb", format!("{hello} c.test\r\n{mail}")),
            ("MAIL without a greeting verb", format!("{mail}RCPT TO:<alice@relais.example>\r\n")),
            ("RSET without a greeting verb", format!("RSET\r\n{mail}")),
            ("behind NOOP", format!("NOOP\r\n{mail}")),
        ];
        for (name, commands) in rows {
            let mut client = door.connect();
            client.send(commands.as_bytes()).unwrap();
            client.reply().unwrap().expect_start("554 5.5.0");
            assert!(client.is_closed(), "{hello}, {name}");
        }
        let mut client = door.open();
        client.ask("MAIL FROM:<a@b.test>").expect(250);
        client.ask("RCPT TO:<alice@relais.example>").expect(250);
        client.send(b"DATA\r\nSubject: too early\r\n\r\n.\r\n").unwrap();
        client.reply().unwrap().expect_start("554 5.5.0");
        assert!(client.is_closed(), "{hello}, content before 354");
    }
    let mut client = Dialogue::connect(instance.settings.smtp).unwrap().0;
    client.send(b"HELO c.test\r\n").unwrap();
    client.reply().unwrap().expect(250);
    // HELO offers no pipelining.
    client.send(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@relais.example>\r\n").unwrap();
    client.reply().unwrap().expect_start("554 5.5.0");
    assert!(client.is_closed());
    assert!(instance.queue().is_empty());
    eventually("every end is in the log", Duration::from_secs(10), || {
        instance.log().matches("commands before the reply to the last one").count() == 11
    });
}

/// The rows of Table 16-1 that the octets of a message decide, in its words.
#[test]
fn a_store_says_what_is_wrong_with_a_message_as_table_16_1_does() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let [_, lmtp] = Door::both(&instance);
    let rows: [(&[u8], &str); 3] = [
        (b"Subject: x\r\n\r\nsound\r\n", "250 2.5.0 alice@relais.example OK"),
        (b"Subject: x\r\n\r\na NUL\0\r\n", "560 5.6.0 alice@relais.example message contains null"),
        (
            b"Subject: x\r\n\r\nan LF\nhere\r\n",
            "560 5.6.0 alice@relais.example message contains nl",
        ),
    ];
    for (content, want) in rows {
        lmtp.message(content).expect_start(want);
    }
    assert_eq!(mailbox(&instance.store(), "relais.example", "alice").len(), 1);
}

#[test]
fn a_nul_is_refused_unless_it_is_allowed() {
    let settings = Settings::standalone();
    let instance = Instance::new(settings.channel("tcp_lmtpss", "forbid_nul: false"));
    let _running = instance.start();
    let [smtp, lmtp] = Door::both(&instance);
    let content = b"Subject: a NUL\r\n\r\nin the \0 body\r\n";
    smtp.message(content).expect_start("550 5.6.0");
    lmtp.message(content).expect(250);
    let stored = mailbox(&instance.store(), "relais.example", "alice");
    assert_eq!(stored.len(), 1);
    for door in [smtp, lmtp] {
        for command in [&b"NOOP \0\r\n"[..], b"MAIL FROM:<a\0b@c.test>\r\n", b"RSET\0\r\n"] {
            let mut client = door.open();
            client.send(command).unwrap();
            let reply = client.reply().unwrap();
            assert!((500..600).contains(&reply.code), "{command:?}: {}", reply.text);
            assert!(!reply.text.contains('\0'), "{:?}", reply.text);
        }
    }
}

#[test]
fn lines_and_headers_have_their_limits() {
    let fields = "max_line: 1000, headersizelimit: 4000, headerfieldlimit: 20";
    let settings = Settings::standalone().channel("tcp_local", fields);
    let instance = Instance::new(settings.channel("tcp_lmtpss", fields));
    let _running = instance.start();
    let line = |octets| format!("Subject: lines\r\n\r\n{}\r\n", "x".repeat(octets));
    let header = |octets: usize| {
        let folded = format!("Subject: a\r\n {}\r\n", "x".repeat(900)).repeat(4);
        let rest = "x".repeat(octets - folded.len() - "X: \r\n".len());
        format!("{folded}X: {rest}\r\n\r\nbody\r\n")
    };
    let many = |count| format!("{}\r\nbody\r\n", "X: y\r\n z\r\n".repeat(count));
    let rows = [
        ("a line of 998 octets", line(998), "250"),
        ("a line of 999", line(999), "550 5.6.0"),
        ("no header", "\r\nbody\r\n".to_owned(), "250"),
        ("a header of 4000 octets", header(4_000), "250"),
        ("a header of 4001", header(4_001), "552 5.3.4"),
        ("a header of 20 fields", many(20), "250"),
        ("a header of 21", many(21), "550 5.6.0"),
    ];
    for door in Door::both(&instance) {
        for (name, content, want) in &rows {
            let reply = door.message(content.as_bytes());
            assert!(reply.text.starts_with(want), "{} {name}: {}", door.hello, reply.text);
        }
    }
}

/// The data of a message may come by BDAT; what may not be in it may not come so either.
#[test]
fn chunks_are_held_to_the_rules_of_data() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let rows: [(&[u8], &str); 5] = [
        (b"Subject: a\r\n\r\nb\r\n", "250"),
        (b"Subject: a\r\n\r\nb\r\n.\r\nc", "250"),
        (b"Subject: a\r\n\r\nb\nc\r\n", "550 5.6.11"),
        (b"Subject: a\r\n\r\nb\rc\r\n", "550 5.6.11"),
        (b"Subject: a\r\n\r\nb\0c\r\n", "550 5.6.0"),
    ];
    for (content, want) in rows {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<a@b.test>").expect(250);
        client.ask("RCPT TO:<alice@relais.example>").expect(250);
        client.send(format!("BDAT {} LAST\r\n", content.len()).as_bytes()).unwrap();
        client.send(content).unwrap();
        client.reply().unwrap().expect_start(want);
    }
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    client.send(b"BDAT 99999999999999999999 LAST\r\n").unwrap();
    client.reply().unwrap().expect(501);
    assert!(client.is_closed(), "where the next command begins is unknown");
}

/// A TLS hello, binary noise and nothing at all, on ports that speak in clear.
#[test]
fn who_speaks_no_mail_protocol_is_sent_away_with_bounded_words() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let rows: [&[u8]; 3] =
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", &[0xff; 4096], b"\r\n\r\n\0\r\nQUIT\n"];
    for door in Door::both(&instance) {
        for octets in rows {
            let mut stream = TcpStream::connect(("127.0.0.1", door.port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = std::io::Write::write_all(&mut stream, octets);
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            assert!(said.len() < 4_096, "{} octets of reply to {octets:?}", said.len());
        }
        door.open();
    }
}
