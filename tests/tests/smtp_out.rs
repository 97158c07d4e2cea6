//! SMTP out to real servers: what they take, what they refuse at every stage, and what senders hear of it.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Notice, Receiver, Settings, eventually, free_port, mailbox, message, needs,
    needs_root,
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
