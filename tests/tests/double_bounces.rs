//! Notices that are refused themselves: none is for what the message was refused for, and none vanishes.

use std::time::Duration;

use relais_tests::{
    Dialogue, Instance, Notice, Running, Settings, Sink, eventually, free_port, mailbox, message,
};

/// An engine that delivers mail for `one.test` to a server which refuses it, and whose postmaster
/// is the user bob.
struct Post {
    instance: Instance,
    one: Sink,
}

impl Post {
    fn office(notary: &str) -> Self {
        let port = free_port();
        let notary = format!("notary: (postmaster: {notary})");
        let settings = Settings::standalone().stores(port).section(&notary);
        Self { instance: Instance::new(settings), one: Sink::on(port) }
    }

    fn start(&self) -> Running {
        let running = self.instance.start();
        self.one.answer("RCPT TO:<", "550 5.7.1 not here");
        running
    }

    /// Sends from one.test to one.test, which takes neither the message nor the notice of it.
    fn fail(&self, name: &str) {
        let mut client = Dialogue::open(self.instance.settings.smtp);
        let sent = client.message("s@one.test", &["to@one.test"], &message(name, 500));
        sent.expect(250);
    }

    fn notices(&self, result: &str) -> f64 {
        self.instance.metric(&format!("relais_notices_total{{result=\"{result}\"}}"))
    }

    fn of_bob(&self) -> Vec<Vec<u8>> {
        mailbox(&self.instance.store(), "relais.example", "bob")
    }

    /// Their ids.
    fn held(&self) -> Vec<String> {
        let queue = self.instance.queue();
        let held = queue.iter().filter(|entry| entry["state"] == "held");
        held.map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect()
    }

    fn said(&self, args: &[&str]) -> String {
        let output = self.instance.relais("queue", args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn logs(&self, words: &[&str]) -> bool {
        let log = self.instance.log();
        log.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }
}

/// The store takes lines of 998 octets, as Exim does, and messages of 20,000.
#[test]
fn a_notice_does_not_quote_what_the_message_was_refused_for() {
    let store = "max_line: 1000, sourceblocklimit: 20000";
    let instance = Instance::new(Settings::standalone().channel("tcp_lmtpss", store));
    let _running = instance.start();
    let x = |count| "x".repeat(count);
    let many = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(600);
    let head = "Message-ID: <m@load.test>\r\n";
    let rows = [
        ("a line of the content", format!("{head}\r\n{}\r\n", x(1_500))),
        ("a line of the header", format!("{head}Subject: {}\r\n\r\nhello\r\n", x(3_000))),
        ("the size", format!("{head}\r\n{many}")),
        (
            "the size of the header",
            format!("{head}{}\r\nhello\r\n", many.replace("yy\r", "y: y\r")),
        ),
    ];
    let bobs = || mailbox(&instance.store(), "relais.example", "bob");
    for (already, (name, content)) in rows.iter().enumerate() {
        let mut client = Dialogue::open(instance.settings.smtp);
        let to = ["alice@relais.example"];
        client.message("bob@relais.example", &to, content.as_bytes()).expect(250);
        eventually(&format!("a notice about {name}"), PATIENCE, || bobs().len() > already);
    }
    for notice in bobs() {
        let long = notice.split(|c| *c == b'\n').filter(|line| line.len() > 999);
        assert_eq!(long.count(), 0, "{}", String::from_utf8_lossy(&notice));
        assert!(notice.len() < 12_000, "{} octets", notice.len());
        let notice = Notice::read(&notice);
        assert_eq!(notice.recipient().get("Action"), Some("failed"));
        assert!(!notice.is_full() && notice.text.contains("Only the header of your message"));
        assert!(notice.returned().contains("Message-ID: <m@load.test>"), "{notice:?}");
    }
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!(instance.metric("relais_notices_total{result=\"died\"}").to_bits(), 0);
}

#[test]
fn a_notice_that_is_refused_goes_to_the_postmaster() {
    let post = Post::office("\"bob@relais.example\"");
    let _running = post.start();
    post.fail("doubly");
    eventually("the postmaster has it", PATIENCE, || post.of_bob().len() == 1);
    let letter = String::from_utf8_lossy(&post.of_bob()[0]).into_owned();
    // The notice comes back whole, with what it is about.
    for words in [
        "To: <bob@relais.example>",
        "Final-Recipient: rfc822;s@one.test",
        "Diagnostic-Code: smtp; 550 5.7.1 not here",
        "Content-Type: message/rfc822",
        "Final-Recipient: rfc822;to@one.test",
        "Message-ID: <doubly@load.test>",
    ] {
        assert!(letter.contains(&format!("\r\n{words}\r\n")), "{words}: {letter}");
    }
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    assert!(post.notices("died") > 0.0);
    assert!(post.logs(&["WARN", "a notice failed itself: the postmaster is told", "<s@one.test>"]));
}

#[test]
fn a_notice_that_not_even_the_postmaster_gets_is_held_and_says_why() {
    let post = Post::office("\"boss@one.test\"");
    let _running = post.start();
    post.fail("trebly");
    eventually("it is held", PATIENCE, || post.held().len() == 1);
    assert!(post.logs(&["WARN", "a notice failed itself: it is held", "<boss@one.test>"]));
    let id = post.held().remove(0);
    let why = post.said(&["why", &id]);
    let reason =
        "a notice that failed itself, and that the postmaster cannot get: 550 5.7.1 not here";
    assert!(why.contains(reason), "{why}");
    let shown = post.said(&["show", &id, "--content"]);
    assert!(shown.contains("rfc822;s@one.test"), "{shown}");

    post.said(&["release", &id]);
    eventually("it is refused once more", PATIENCE, || post.notices("died") > 2.0);
    eventually("it is held again", PATIENCE, || post.held().len() == 1);
    post.one.oblige();
    post.said(&["release", &id]);
    eventually("the postmaster has it", PATIENCE, || post.instance.queue().is_empty());
}

#[test]
fn whoever_does_not_want_double_bounces_has_them_in_the_log() {
    let post = Post::office("\"bob@relais.example\", double_bounces: Log");
    let _running = post.start();
    post.fail("logged");
    eventually("it is counted", PATIENCE, || post.notices("died") > 0.0);
    eventually("it is told", PATIENCE, || {
        post.logs(&["WARN", "a notice failed itself: nobody is told", "<s@one.test>"])
    });
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    assert_eq!(post.of_bob().len(), 0);
}

const PATIENCE: Duration = Duration::from_secs(60);
