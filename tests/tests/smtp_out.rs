//! SMTP out to real servers: what they take, what they refuse at every stage, and what senders hear of it.

use std::{
    fs::{self, Permissions},
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use relais_tests::{
    Authority, Dialogue, Instance, Load, Notice, Receiver, Settings, Sink, eventually, free_port,
    mailbox, message, needs, needs_root,
};
use serde_json::Value;

/// The lines of the log of a channel, but for those of mail that comes in by it.
fn lines_of(instance: &Instance, channel: &str) -> Vec<Value> {
    let log = instance.log();
    let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|line| line["channel"] == channel && line["action"] != "E").collect()
}

/// The lines of the channel `tcp_out` for this action.
fn lines(instance: &Instance, action: &str) -> Vec<Value> {
    let mut lines = lines_of(instance, "tcp_out");
    lines.retain(|line| line["action"] == action);
    lines
}

fn send(instance: &Instance, to: &[&str], name: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("alice@relais.example", to, &message(name, 500)).expect(250);
}

/// Alice's mail, once there is so much of it.
fn mail_of_alice(instance: &Instance, wanted: usize) -> Vec<Vec<u8>> {
    let mail = || mailbox(&instance.store(), "relais.example", "alice");
    eventually("mail for alice", PATIENCE, || mail().len() >= wanted);
    mail()
}

/// Messages that left in one chunk with their commands, by result.
fn chunks(instance: &Instance) -> Vec<(&'static str, usize)> {
    let page = instance.metrics();
    let count = |result: &&str| {
        let name =
            format!("relais_client_chunks_total{{channel=\"tcp_out\",result=\"{result}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name)).expect("a counter");
        line.parse::<usize>().expect("a number")
    };
    let results = ["taken", "refused", "lost", "unsupported", "surplus"];
    let counts = results.iter().map(|result| (*result, count(result)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// An engine before a Postfix with these lines in its configuration.
fn before_postfix(main: &str, fields: &str) -> (Receiver, Instance) {
    let postfix = Receiver::postfix(main);
    let place = format!("[127.0.0.1]:{}", postfix.port);
    let instance = Instance::new(Settings::standalone().smtp_out(&place, fields));
    (postfix, instance)
}

#[test]
fn postfix_takes_mail_of_a_channel_of_program_smtp() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let (postfix, instance) = before_postfix("", "");
    let _running = instance.start();
    send(&instance, &["bob@remote.test", "carol@remote.test"], "one");
    eventually("it is delivered", PATIENCE, || !lines(&instance, "D").is_empty());
    eventually("Postfix has it", PATIENCE, || postfix.messages().len() == 2);
    let log = postfix.log();
    assert!(log.contains("nrcpt=2"), "in one transaction: {log}");
    assert!(instance.queue().is_empty());
    let line = lines(&instance, "D").remove(0);
    assert_eq!(line["peer"], format!("[127.0.0.1]:{}", postfix.port).as_str(), "{line}");
    let timings = line["timings"].as_str().unwrap_or_default();
    assert!(timings.starts_with("queue=0.") && timings.contains(" dialogue=0."), "{line}");
}

#[test]
fn the_history_says_where_a_message_was_and_what_took_how_long() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let refusal = "smtpd_recipient_restrictions = check_recipient_access \
                   inline:{{busy@remote.test = 450 4.2.1 come back}}, reject_unauth_destination";
    let (postfix, instance) = before_postfix(refusal, "");
    let _running = instance.start();
    send(&instance, &["busy@remote.test"], "one");
    eventually("an attempt", PATIENCE, || !lines(&instance, "Q").is_empty());
    let peer = format!("[127.0.0.1]:{}", postfix.port);
    let line = lines(&instance, "Q").remove(0);
    let id = line["id"].as_str().expect("a queue id");
    let said = || {
        let said = instance.relais("queue", &["history", id]);
        String::from_utf8(said.stdout).expect("text")
    };
    eventually("it is written down", PATIENCE, || said().contains(&format!("at {peer}")));
    assert!(said().contains("in queue=0."), "{}", said());
    let history = instance.json("queue", &["history", id]);
    let tried = history[0].as_array().expect("lines").iter().find(|line| line["peer"] == *peer);
    let tried = tried.unwrap_or_else(|| panic!("{history:?}"));
    assert!(tried["timings"]["dialogue"].as_u64().is_some_and(|millis| millis < 10_000), "{tried}");
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_server() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let refusal = "smtpd_recipient_restrictions = check_recipient_access \
                   inline:{{gone@remote.test = 550 5.1.1 gone for good}}, reject_unauth_destination";
    let (postfix, instance) = before_postfix(refusal, "");
    let _running = instance.start();
    send(&instance, &["gone@remote.test", "bob@remote.test"], "one");
    let notice = Notice::read(&mail_of_alice(&instance, 1)[0]);
    let fields = notice.recipient();
    let want = [
        ("Final-Recipient", "rfc822;gone@remote.test"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; [127.0.0.1]"),
    ];
    for (name, value) in want {
        assert_eq!(fields.get(name), Some(value), "{fields:?}");
    }
    let said = fields.get("Diagnostic-Code").unwrap_or_default();
    assert!(said.starts_with("smtp; 550 5.1.1 <gone@remote.test>:"), "{said}");
    assert!(said.ends_with("gone for good"), "{said}");
    eventually("the other has it", PATIENCE, || postfix.messages().len() == 1);
}

#[test]
fn success_is_told_as_relayed_where_the_server_tells_nobody() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    for (main, relayed) in [("smtpd_discard_ehlo_keywords = dsn", true), ("", false)] {
        let (postfix, instance) = before_postfix(main, "");
        let _running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<alice@relais.example> ENVID=e1").expect(250);
        client.ask("RCPT TO:<bob@remote.test> NOTIFY=SUCCESS ORCPT=rfc822;b@o.test").expect(250);
        client.ask("DATA").expect(354);
        client.finish(&message("one", 500)).expect(250);
        eventually("Postfix has it", PATIENCE, || postfix.messages().len() == 1);
        if relayed {
            let notice = Notice::read(&mail_of_alice(&instance, 1)[0]);
            let fields = notice.recipient();
            assert_eq!(fields.get("Action"), Some("relayed"), "{fields:?}");
            assert_eq!(fields.get("Original-Recipient"), Some("rfc822;b@o.test"));
            assert_eq!(notice.message().get("Original-Envelope-Id"), Some("e1"));
        } else {
            // Postfix was told, and tells.
            let told = || postfix.log().contains("sender delivery status notification");
            eventually("Postfix tells", PATIENCE, told);
            eventually("nothing is left", PATIENCE, || instance.queue().is_empty());
            assert!(mailbox(&instance.store(), "relais.example", "alice").is_empty());
        }
    }
}

/// Sends a message by TLS and AUTH; the protection that the log tells.
#[track_caller]
fn delivered_by(receiver: &Receiver, ca: &Path, sasl: &str) -> String {
    let ca = ca.display().to_string();
    let fields = format!(
        "tls: (client: Must, ca: {ca:?}), sasl: (client: Must, credentials: \"passwords\", {sasl})"
    );
    let place = format!("localhost:{}", receiver.port);
    let instance = Instance::new(Settings::standalone().smtp_out(&place, &fields));
    fs::create_dir_all(instance.data()).expect("a folder");
    let password = if sasl.is_empty() { "secret" } else { "" };
    let file = instance.data().join("passwords");
    fs::write(&file, format!("localhost tim:{password}\n")).expect("a file");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("our file");
    let before = receiver.messages().len();
    let _running = instance.start();
    send(&instance, &["bob@remote.test"], "one");
    eventually("an attempt", PATIENCE, || !lines_of(&instance, "tcp_out").is_empty());
    let line = lines_of(&instance, "tcp_out").remove(0);
    assert_eq!(line["action"], "D", "{line}\n{}", receiver.log());
    assert_eq!(chunks(&instance), [("taken", 1)], "{line}");
    eventually("it is there", PATIENCE, || receiver.messages().len() == before + 1);
    assert!(!instance.log().contains("secret"), "{}", instance.log());
    line["protection"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn postfix_lets_us_in_behind_tls_by_each_mechanism_of_dovecot() {
    if !needs(&["/usr/sbin/postfix", "dovecot", "/usr/bin/python3"]) || !needs_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    // mechanisms of the server, whether a token is shown, the mechanism
    let rows = [
        ("plain login cram-md5 scram-sha-256", false, "SCRAM-SHA-256"),
        ("plain login cram-md5", false, "CRAM-MD5"),
        ("plain login", false, "PLAIN"),
        ("login", false, "LOGIN"),
        ("plain oauthbearer xoauth2", true, "OAUTHBEARER"),
        ("plain xoauth2", true, "XOAUTH2"),
    ];
    for (mechanisms, by_token, want) in rows {
        let postfix = Receiver::postfix_with_auth(&certificate, mechanisms);
        let script = postfix.token_script().display().to_string();
        let command = format!("token_command: [\"/usr/bin/python3\", {script:?}]");
        let sasl = if by_token { command.as_str() } else { "" };
        let protection = delivered_by(&postfix, &authority.file(), sasl);
        let want = format!("TLSv1.3 TLS_AES_256_GCM_SHA384, verified; AUTH {want} as tim");
        assert_eq!(protection, want, "{mechanisms}");
    }
}

#[test]
fn exim_lets_us_in_behind_tls() {
    if !needs_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    for (mechanisms, want) in [
        (&["PLAIN", "LOGIN", "CRAM-MD5"][..], "CRAM-MD5"),
        (&["PLAIN", "LOGIN"], "PLAIN"),
        (&["LOGIN"], "LOGIN"),
    ] {
        let Some(exim) = Receiver::exim(&certificate, mechanisms) else { return };
        let protection = delivered_by(&exim, &authority.file(), "");
        assert!(protection.ends_with(&format!(", verified; AUTH {want} as tim")), "{protection}");
    }
}

/// `OpenSMTPD` 6.8.0p2 of Debian 12 offers STARTTLS, and ends every handshake: its keys are not with the
/// process that OpenSSL 3 asks for them.
#[test]
fn opensmtpd_takes_mail_though_its_handshakes_fail() {
    if !needs_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let certificate = authority.sign("localhost", &["localhost"], 2099);
    let Some(smtpd) = Receiver::smtpd(&certificate) else { return };
    let fields = format!("tls: (client: May, ca: {:?})", authority.file().display().to_string());
    let place = format!("localhost:{}", smtpd.port);
    let instance = Instance::new(Settings::standalone().smtp_out(&place, &fields));
    let _running = instance.start();
    send(&instance, &["bob@remote.test", "carol@remote.test"], "one");
    eventually("it is delivered", PATIENCE, || !lines(&instance, "D").is_empty());
    eventually("it is there", PATIENCE, || smtpd.messages().len() == 2);
    let line = lines(&instance, "D").remove(0);
    assert!(chunks(&instance).is_empty(), "it does not offer CHUNKING");
    if line["protection"].is_null() {
        let failed = smtpd.log().contains("SSL library error");
        let told = instance.log().contains("TLS fails: mail leaves in clear for a while");
        assert!(failed && told, "in clear for no reason: {line}\n{}", smtpd.log());
    }
}

#[test]
fn messages_for_several_are_announced_behind_each_other() {
    let sink = Sink::start();
    let place = format!("[127.0.0.1]:{}", sink.port);
    let fields = "maxjobs: 1, max_client_threads: 1, max_rcpt: 2";
    let instance = Instance::new(Settings::standalone().smtp_out(&place, fields));
    let _running = instance.start();
    sink.pause();
    for n in 0..20 {
        // Two go in one transaction, the third in another.
        let to = ["a@remote.test", "b@remote.test", "c@remote.test"];
        send(&instance, &to[..2 + n % 2], &format!("m{n}"));
    }
    sink.resume();
    eventually("all are there", PATIENCE, || sink.total() == 30 && instance.queue().is_empty());
    assert!(sink.announced() > 0, "nothing was sent ahead");
    let mut recipients: Vec<_> = sink.handed().into_iter().map(|(_, to)| to.len()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, [vec![1; 10], vec![2; 20]].concat());
    assert!(lines(&instance, "Q").is_empty() && lines(&instance, "R").is_empty());
}

/// Each on a connection of its own. Postfix sends the replies to a chunk of more than 4 KiB in two pieces, and
/// the second when the first is acknowledged.
#[test]
fn the_first_message_of_a_connection_does_not_wait_for_the_reply_to_data() {
    const MESSAGES: usize = 20;
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    for (fields, main, want) in [
        ("", "", vec![("taken", MESSAGES)]),
        ("chunking: Never,", "", vec![]),
        ("", "smtpd_discard_ehlo_keywords = chunking", vec![]),
    ] {
        let fields = format!("{fields} maxjobs: 1, max_client_threads: 1, connection_messages: 1");
        let (postfix, instance) = before_postfix(main, &fields);
        let _running = instance.start();
        let mut content = message("m", 20_000);
        content.extend_from_slice(b".\r\n..\r\n.dots\r\n");
        let mut client = Dialogue::open(instance.settings.smtp);
        for _ in 0..MESSAGES {
            client.message("alice@relais.example", &["bob@remote.test"], &content).expect(250);
        }
        eventually("all are delivered", PATIENCE, || lines(&instance, "D").len() == MESSAGES);
        assert_eq!(chunks(&instance), want, "{fields} {main}");
        eventually("Postfix has them", PATIENCE, || postfix.messages().len() == MESSAGES);
        for mail in postfix.messages() {
            let end = String::from_utf8_lossy(&mail[mail.len() - 60..]).into_owned();
            assert!(end.ends_with("\r\n.\r\n..\r\n.dots\r\n"), "{end}");
        }
        let mut dialogues: Vec<_> = lines(&instance, "D").iter().map(dialogue).collect();
        dialogues.sort_by(f64::total_cmp);
        println!("{fields} {main}: {dialogues:?}");
        assert!(dialogues[MESSAGES / 2] < 0.035, "{fields} {main}: {dialogues:?}");
    }
}

/// Seconds from MAIL to the reply to the content, as the log has them.
fn dialogue(line: &Value) -> f64 {
    let timings = line["timings"].as_str().unwrap_or_default();
    let dialogue = timings.split("dialogue=").nth(1).expect("a dialogue");
    dialogue.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("seconds")
}

/// An engine before a sink that offers CHUNKING, one message for each connection.
fn before_chunking_sink() -> (Sink, Instance) {
    let sink = Sink::start();
    sink.offer_chunking();
    let place = format!("[127.0.0.1]:{}", sink.port);
    let fields = "maxjobs: 1, max_client_threads: 1, connection_messages: 1, backoff: [\"1s\"]";
    (sink, Instance::new(Settings::standalone().smtp_out(&place, fields)))
}

#[test]
fn a_server_that_refuses_bdat_gets_its_mail_by_data_from_then_on() {
    for refusal in [
        "500 5.5.1 unknown",
        "502 5.5.1 not here",
        "503 5.5.1 not now",
        "554 5.5.1 not allowed here",
        "550 BDAT is not for you",
    ] {
        let (sink, instance) = before_chunking_sink();
        sink.answer("BDAT", refusal);
        let _running = instance.start();
        for name in ["one", "two", "three"] {
            send(&instance, &["bob@remote.test", "carol@remote.test"], name);
            eventually("it is there", PATIENCE, || sink.seen().contains_key(&id_of(name)));
        }
        eventually("nothing is left", PATIENCE, || instance.queue().is_empty());
        assert_eq!((sink.total(), sink.repeated()), (3, vec![]), "{refusal}");
        assert_eq!(sink.connections(), 4, "one more for the first: {refusal}");
        assert_eq!(chunks(&instance), [("unsupported", 1)], "{refusal}");
        let log = instance.log();
        assert!(log.contains("BDAT is refused: mail leaves by DATA for a while"), "{log}");
        assert!(log.contains(refusal), "{log}");
        assert!(lines(&instance, "Q").is_empty() && lines(&instance, "R").is_empty(), "{log}");
    }
}

#[test]
fn recipients_that_are_refused_before_a_chunk_are_told_of_by_their_own_replies() {
    let (sink, instance) = before_chunking_sink();
    sink.answer("RCPT TO:<gone@", "550 5.1.1 gone");
    let _running = instance.start();
    send(&instance, &["bob@remote.test", "gone@remote.test"], "one");
    eventually("an end for both", PATIENCE, || lines(&instance, "R").len() == 1);
    assert_eq!((sink.total(), sink.chunks()), (1, 1));
    assert_eq!(chunks(&instance), [("taken", 1)]);
    send(&instance, &["gone@remote.test"], "two");
    eventually("an end for it", PATIENCE, || lines(&instance, "R").len() == 2);
    for line in lines(&instance, "R") {
        assert_eq!(line["reply"], "550 5.1.1 gone", "and not that to BDAT");
    }
    assert_eq!(chunks(&instance), [("taken", 1), ("refused", 1)]);
    // The content was sent for nothing: not again for a while.
    send(&instance, &["bob@remote.test"], "three");
    eventually("it is there", PATIENCE, || sink.total() == 2);
    assert_eq!((sink.chunks(), sink.repeated()), (2, vec![]));
}

#[test]
fn a_connection_that_is_lost_over_a_chunk_is_lost_as_at_the_dot() {
    let (sink, instance) = before_chunking_sink();
    sink.hang_up_on("one");
    let _running = instance.start();
    send(&instance, &["bob@remote.test"], "one");
    eventually("an attempt", PATIENCE, || !lines(&instance, "Q").is_empty());
    sink.oblige();
    let line = lines(&instance, "Q").remove(0);
    let said = line["reply"].as_str().unwrap_or_default();
    assert!(said.contains("unknown whether it was taken: message may be sent twice"), "{line}");
    assert_eq!(chunks(&instance), [("lost", 1)]);
    // The second attempt does without.
    eventually("it is delivered", PATIENCE, || !lines(&instance, "D").is_empty());
    assert_eq!((sink.total(), sink.chunks()), (2, 1));
    assert!(instance.queue().is_empty());
}

/// The server says that it closes, and takes the message all the same.
#[test]
fn a_message_that_is_taken_behind_421_is_not_sent_again() {
    let (sink, instance) = before_chunking_sink();
    sink.answer("RCPT TO:<later@", "421 4.7.0 this one later");
    let _running = instance.start();
    send(&instance, &["bob@remote.test", "later@remote.test"], "one");
    eventually("an attempt", PATIENCE, || !lines(&instance, "Q").is_empty());
    let settled = lines(&instance, "Q").remove(0);
    assert_eq!(settled["reply"], "421 4.7.0 this one later");
    assert_eq!((lines(&instance, "D").len(), sink.total(), sink.chunks()), (1, 1, 1));
    sink.oblige();
    eventually("it is delivered", PATIENCE, || instance.queue().is_empty());
    // One copy for each recipient, and the second by DATA.
    assert_eq!((lines(&instance, "D").len(), sink.total(), sink.chunks()), (2, 2, 1));
    assert_eq!(chunks(&instance), [("taken", 1)]);
    let log = instance.log();
    assert!(log.contains("were odd: mail leaves by DATA for a while"), "{log}");
}

#[test]
fn a_message_that_waits_because_of_its_chunk_goes_by_data() {
    let (sink, instance) = before_chunking_sink();
    sink.answer("BDAT", "451 4.3.0 not this way");
    let _running = instance.start();
    send(&instance, &["bob@remote.test"], "one");
    eventually("it is delivered", PATIENCE, || instance.queue().is_empty());
    assert_eq!((sink.total(), sink.chunks(), lines(&instance, "Q").len()), (1, 0, 1));
}

/// The second reply to MAIL makes that to the recipient look like the one to BDAT.
#[test]
fn a_reply_too_many_behind_a_chunk_is_told_and_data_is_used() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let place = format!("[127.0.0.1]:{}", listener.local_addr().expect("an address").port());
    let heard = Arc::new(Mutex::new(String::new()));
    let books = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no fault of the server's.
            let _ = answers_mail_twice(&stream, &books);
        }
    });
    let fields = "maxjobs: 1, max_client_threads: 1, backoff: [\"1s\"]";
    let instance = Instance::new(Settings::standalone().smtp_out(&place, fields));
    let _running = instance.start();
    send(&instance, &["bob@remote.test"], "one");
    let seen = |what: &str| heard.lock().expect("the books").contains(what);
    eventually("it has refused it", PATIENCE, || seen("REFUSED"));
    // The refusal cannot be known in time.
    eventually("it counts as delivered", PATIENCE, || lines(&instance, "D").len() == 1);
    send(&instance, &["bob@remote.test"], "two");
    eventually("the next goes by DATA", PATIENCE, || seen("DATA"));
    assert_eq!(chunks(&instance), [("taken", 1), ("surplus", 1)]);
    let log = instance.log();
    assert!(log.contains("552 5.3.4 too big") && log.contains("may have been refused"), "{log}");
}

fn answers_mail_twice(mut stream: &TcpStream, books: &Mutex<String>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 twice\r\n")?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        books.lock().expect("the books").push_str(&line);
        let reply = match line.split_whitespace().next().unwrap_or_default() {
            "EHLO" => "250-twice\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
            "MAIL" => "250 sender OK\r\n250 sender OK\r\n",
            "BDAT" => {
                let octets = line.split(' ').nth(1).and_then(|octets| octets.parse().ok());
                io::copy(&mut (&mut lines).take(octets.expect("a size")), &mut io::sink())?;
                thread::sleep(Duration::from_millis(300));
                books.lock().expect("the books").push_str("REFUSED");
                "552 5.3.4 too big\r\n"
            }
            _ => "250 OK\r\n",
        };
        stream.write_all(reply.as_bytes())?;
        line.clear();
    }
    Ok(())
}

#[test]
fn nothing_is_lost_or_doubled_in_chunks_under_load() {
    const MESSAGES: usize = 300;
    let sink = Sink::start();
    sink.offer_chunking();
    let place = format!("[127.0.0.1]:{}", sink.port);
    let fields = "connection_messages: 3, threaddepth: 10";
    let instance = Instance::new(Settings::standalone().smtp_out(&place, fields));
    let _running = instance.start();
    let load = Load::new(instance.settings.smtp, "bob@remote.test", 2_000);
    load.run(8, MESSAGES);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!((sink.total(), sink.repeated()), (MESSAGES, vec![]));
    assert_eq!(sink.missing(&load.acknowledged()), Vec::<String>::new());
    assert_eq!(chunks(&instance), [("taken", sink.chunks())]);
    assert!(sink.chunks() >= MESSAGES / 3, "{}", sink.chunks());
}

fn id_of(name: &str) -> String {
    format!("{name}@load.test")
}

/// A server with a fault.
struct FaultySink(Child, u16);

impl FaultySink {
    fn start(options: &str) -> Self {
        let port = free_port();
        let mut command = Command::new("/usr/sbin/smtp-sink");
        command
            .args(["-u", "nobody"])
            .args(options.split_whitespace())
            .arg(format!("127.0.0.1:{port}"))
            .arg("100");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let sink = Self(command.spawn().expect("smtp-sink runs"), port);
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        eventually("smtp-sink listens", PATIENCE, listens);
        sink
    }
}

impl Drop for FaultySink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Options of smtp-sink, the action that comes of a message, and the beginning of the reply.
const FAULTS: &[(&str, &str, &str)] = &[
    ("", "D", "250 2.0.0 Ok"),
    ("-e", "D", "250 2.0.0 Ok"),
    ("-p", "D", "250 2.0.0 Ok"),
    ("-E", "D", "250 2.0.0 Ok"),
    ("-N", "D", "250 2.0.0 Ok"),
    ("-8", "D", "250 2.0.0 Ok"),
    ("-P", "D", "250 2.0.0 Ok"),
    ("-H 1", "D", "250 2.0.0 Ok"),
    // EHLO is refused: HELO is tried, and is all that there is.
    ("-f EHLO", "D", "250 2.0.0 Ok"),
    ("-f EHLO,HELO", "R", "500 5.3.0 Error: command failed"),
    ("-f CONNECT", "Q", "500 5.3.0 Error: command failed"),
    ("-f MAIL", "R", "500 5.3.0 Error: command failed"),
    ("-f RCPT", "R", "500 5.3.0 Error: command failed"),
    ("-f DATA", "R", "500 5.3.0 Error: command failed"),
    ("-f .", "R", "500 5.3.0 Error: command failed"),
    ("-f RSET,QUIT", "D", "250 2.0.0 Ok"),
    ("-r CONNECT", "Q", "450 4.3.0 Error: command failed"),
    ("-r EHLO", "Q", "450 4.3.0 Error: command failed"),
    ("-r MAIL", "Q", "450 4.3.0 Error: command failed"),
    ("-r RCPT", "Q", "450 4.3.0 Error: command failed"),
    ("-r DATA", "Q", "450 4.3.0 Error: command failed"),
    ("-r .", "Q", "450 4.3.0 Error: command failed"),
    (
        "-q CONNECT",
        "Q",
        "451 4.4.2 lost connection with [127.0.0.1]:PORT while waiting for the greeting",
    ),
    ("-q EHLO", "Q", "451 4.4.2 lost connection with [127.0.0.1]:PORT in reply to EHLO"),
    ("-q MAIL", "Q", "451 4.4.2 lost connection with [127.0.0.1]:PORT in reply to MAIL"),
    ("-q RCPT", "Q", "451 4.4.2 lost connection with [127.0.0.1]:PORT in reply to RCPT"),
    ("-q DATA", "Q", "451 4.4.2 lost connection with [127.0.0.1]:PORT in reply to DATA"),
    (
        "-q .",
        "Q",
        "451 4.4.2 lost connection with [127.0.0.1]:PORT in reply to the end of data; unknown",
    ),
    ("-q QUIT", "D", "250 2.0.0 Ok"),
    ("-Q CONNECT", "Q", "421 4.0.0 Server closing connection"),
    ("-Q EHLO", "Q", "421 4.0.0 Server closing connection"),
    ("-Q MAIL", "Q", "421 4.0.0 Server closing connection"),
    ("-Q RCPT", "Q", "421 4.0.0 Server closing connection"),
    ("-Q DATA", "Q", "421 4.0.0 Server closing connection"),
    ("-Q .", "Q", "421 4.0.0 Server closing connection"),
    ("-A 1", "R", "550 This violates SMTP"),
];

#[test]
fn a_server_with_a_fault_at_any_stage_gets_what_it_takes() {
    if !needs(&["/usr/sbin/smtp-sink"]) || !needs_root() {
        return;
    }
    let sinks: Vec<_> = FAULTS.iter().map(|(options, ..)| FaultySink::start(options)).collect();
    let names = |n: usize| (format!("r{n}.test"), format!("tcp_{n}"));
    let outs: Vec<_> = sinks
        .iter()
        .enumerate()
        .map(|(n, sink)| (names(n).0, names(n).1, format!("[127.0.0.1]:{}", sink.1)))
        .collect();
    let outs: Vec<_> = outs
        .iter()
        .map(|(domain, name, place)| (domain.as_str(), name.as_str(), place.as_str(), ""))
        .collect();
    let instance = Instance::new(Settings::standalone().smtp_outs(&outs));
    let _running = instance.start();
    let mut eight_bit = message("m", 500);
    eight_bit.extend_from_slice("gr\u{fc}\u{df}e\r\n".as_bytes());
    for (domain, ..) in &outs {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<ann@sender.test> BODY=8BITMIME").expect(250);
        client.ask(&format!("RCPT TO:<bob@{domain}>")).expect(250);
        client.ask("DATA").expect(354);
        client.finish(&eight_bit).expect(250);
    }
    let mut wrong = Vec::new();
    for ((options, action, reply), (n, sink)) in FAULTS.iter().zip(sinks.iter().enumerate()) {
        let channel = names(n).1;
        eventually("an attempt", PATIENCE, || !lines_of(&instance, &channel).is_empty());
        let line = lines_of(&instance, &channel).remove(0);
        let want = reply.replace("PORT", &sink.1.to_string());
        let said = line["reply"].as_str().unwrap_or_default();
        if line["action"] != *action || !said.starts_with(&want) {
            wrong.push(format!("{options}: {} {said}, not {action} {want}", line["action"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const PATIENCE: Duration = Duration::from_secs(30);
