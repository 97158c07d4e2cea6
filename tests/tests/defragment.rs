//! Messages that come in pieces (`message/partial`, RFC 2046 section 5.2.2) leave as one.

use std::{fs, process::Command, thread, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use relais_tests::{
    Dialogue, ForeignStore, Instance, Ldif, Random, Settings, Sink, eventually, mailbox,
    message_ids, needs, needs_root, wire_form,
};
use serde_json::Value;

#[test]
fn a_message_in_forty_pieces_arrives_whole_out_of_order_and_with_one_delayed() {
    let instance = Instance::new(gathering(""));
    let running = instance.start();
    let lines: Vec<_> =
        (0..8_000).map(|n| format!("line {n} of a message in pieces\r\n")).collect();
    let mut pieces = pieces("whole", "forty", &lines, 40);
    let mut random = Random::seeded();
    for n in (1..pieces.len()).rev() {
        pieces.swap(n, random.between(0, n as u64) as usize);
    }
    let at = pieces.iter().position(|(number, _)| *number == 17).unwrap();
    let (_, delayed) = pieces.remove(at);
    for (_, piece) in &pieces {
        send(&instance, "ann@example.org", &["alice@relais.example"], piece);
    }

    eventually("all but one wait", PATIENCE, || counts(&instance, "pieces", 39.0));
    assert!(counts(&instance, "messages", 1.0));
    let queue = instance.queue();
    assert!(queue.len() == 39 && queue.iter().all(|entry| entry["state"] == "held"), "{queue:?}");
    let why = why(&instance, queue[0]["id"].as_str().unwrap());
    assert_eq!(why["waits_for"], "held", "{why}");
    let text = why["text"].as_str().unwrap_or_default();
    assert!(text.contains("of 40 of a message") && text.contains("missing: 17"), "{why}");
    let history = instance.relais("queue", &["history", queue[0]["id"].as_str().unwrap()]);
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(history.contains("a piece of a message, which waits for the others"), "{history}");
    assert_eq!(inbox(&instance, "alice"), Vec::<String>::new());

    // Pieces are found again after a crash.
    running.kill();
    let _running = instance.start();
    send(&instance, "ann@example.org", &["alice@relais.example"], &delayed);
    eventually("the whole message", PATIENCE, || inbox(&instance, "alice").len() == 1);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let message = inbox(&instance, "alice").remove(0);
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, lines.concat());
    for field in [
        "To: Alice\r\n",
        "Subject: whole\r\n",
        "Message-ID: <forty>\r\n",
        "Content-Type: text/plain",
    ] {
        assert_eq!(header.matches(field).count(), 1, "{field} in {header}");
    }
    assert!(!header.contains("partial") && !header.contains("X-Within"), "{header}");
    assert!(counts(&instance, "put_together_total", 1.0));
    assert!(counts(&instance, "pieces", 0.0));
    assert_eq!(inbox(&instance, "alice").len(), 1);
}

#[test]
fn a_file_in_the_pieces_that_mpack_makes_is_unpacked_by_munpack() {
    if !needs(&["mpack", "munpack"]) {
        return;
    }
    let instance = Instance::new(gathering(""));
    let _running = instance.start();
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
    };
    let mut random = Random::seeded();
    let file: Vec<u8> = (0..200_000).map(|_| random.between(0, 255) as u8).collect();
    fs::write(folder.path().join("file.bin"), &file).unwrap();
    run("mpack", &["-s", "a file", "-m", "20000", "-o", "piece", "file.bin"]);
    let mut pieces: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|name| name == "piece"))
        .collect();
    pieces.sort_unstable();
    assert!(pieces.len() > 10, "{pieces:?}");
    for piece in pieces.iter().rev() {
        let text = fs::read_to_string(piece).unwrap().replace('\n', "\r\n");
        send(&instance, "ann@example.org", &["alice@relais.example"], &text);
    }
    eventually("the whole message", PATIENCE, || inbox(&instance, "alice").len() == 1);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let whole = inbox(&instance, "alice").remove(0);
    fs::write(folder.path().join("whole"), whole.replace("\r\n", "\n")).unwrap();
    fs::remove_file(folder.path().join("file.bin")).unwrap();
    run("munpack", &["whole"]);
    assert!(fs::read(folder.path().join("file.bin")).unwrap() == file, "{whole}");
}

#[test]
fn pieces_that_lack_another_pass_on_as_they_are_when_their_time_is_over() {
    let instance = Instance::new(gathering(", defragment_for: \"2s\""));
    let _running = instance.start();
    let lines: Vec<_> = (0..8).map(|n| format!("{n}\r\n")).collect();
    let mut pieces = pieces("late", "late", &lines, 4);
    let (_, straggler) = pieces.remove(1);
    for (_, piece) in &pieces {
        send(&instance, "ann@example.org", &["alice@relais.example"], piece);
    }
    eventually("they pass on", PATIENCE, || inbox(&instance, "alice").len() == 3);
    send(&instance, "ann@example.org", &["alice@relais.example"], &straggler);
    eventually("so does the last", PATIENCE, || inbox(&instance, "alice").len() == 4);
    assert!(inbox(&instance, "alice").iter().all(|its| its.contains("message/partial")));
    let page = instance.metrics();
    for line in ["{reason=\"late\"} 3", "{reason=\"settled\"} 1"] {
        let line = format!("relais_defragment_passed_on_total{line}");
        assert!(page.contains(&line), "{line}");
    }
    assert!(instance.log().contains("a piece of a message passes on as it is"));
}

#[test]
fn pieces_of_other_senders_and_for_other_recipients_do_not_mix() {
    let instance = Instance::new(gathering(""));
    let _running = instance.start();
    let text = |of: &str| -> Vec<_> { (0..4).map(|n| format!("{of} {n}\r\n")).collect() };
    let (ann, eve) = (pieces("ann", "one", &text("ann"), 2), pieces("eve", "one", &text("eve"), 2));
    let both = pieces("both", "one", &text("both"), 2);
    let (alice, two) = (["alice@relais.example"], ["alice@relais.example", "bob@relais.example"]);
    for n in [1, 0] {
        send(&instance, "ann@example.org", &alice, &ann[n].1);
        send(&instance, "eve@example.org", &alice, &eve[n].1);
        send(&instance, "ann@example.org", &two, &both[n].1);
    }
    eventually("three messages", PATIENCE, || inbox(&instance, "alice").len() == 3);
    let mut bodies: Vec<_> = inbox(&instance, "alice").iter().map(|its| body(its)).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["ann", "both", "eve"].map(|of| text(of).concat()));
    eventually("one of them for both", PATIENCE, || inbox(&instance, "bob").len() == 1);
    assert_eq!(body(&inbox(&instance, "bob")[0]), text("both").concat());

    // A piece for one of two makes the message of neither complete.
    let more = pieces("more", "two", &text("more"), 2);
    send(&instance, "ann@example.org", &two, &more[0].1);
    send(&instance, "ann@example.org", &alice, &more[1].1);
    eventually("two messages wait", PATIENCE, || counts(&instance, "messages", 2.0));
    assert_eq!(instance.queue().len(), 2);
}

#[test]
fn operators_and_other_channels_have_pieces_as_they_are() {
    let settings = gathering("");
    let plain = settings.text().replace("defragment: true, ", "defragment: false, ");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let lines: Vec<_> = (0..6).map(|n| format!("{n}\r\n")).collect();
    let (first, other) = (pieces("a", "a", &lines, 3), pieces("b", "b", &lines, 3));
    let alice = ["alice@relais.example"];
    for (_, piece) in first[..2].iter().chain(&other[..2]) {
        send(&instance, "ann@example.org", &alice, piece);
    }
    // The same once more is removed, another one of its number is not.
    send(&instance, "ann@example.org", &alice, &first[0].1);
    send(&instance, "ann@example.org", &alice, &first[0].1.replace("0\r\n", "X\r\n"));
    eventually("the other one arrives", PATIENCE, || inbox(&instance, "alice").len() == 1);
    assert!(inbox(&instance, "alice")[0].contains("X\r\n"));
    eventually("the same is removed", PATIENCE, || instance.queue().len() == 4);
    assert!(counts(&instance, "copies_total", 1.0));

    let id = |subject: &str| {
        let list = instance.queue();
        let is_it = |entry: &&Value| {
            let id = entry["id"].as_str().unwrap();
            let shown = instance.relais("queue", &["show", id, "--content"]);
            String::from_utf8_lossy(&shown.stdout).contains(&format!("Subject: {subject}"))
        };
        list.iter().find(is_it).unwrap()["id"].as_str().unwrap().to_owned()
    };
    assert!(instance.relais("queue", &["release", &id("a (1/3)")]).status.success());
    eventually("it leaves", PATIENCE, || inbox(&instance, "alice").len() == 2);
    assert!(instance.relais("queue", &["delete", &id("a (2/3)")]).status.success());
    send(&instance, "ann@example.org", &alice, &first[2].1);
    eventually("the last waits alone", PATIENCE, || instance.queue().len() == 3);

    fs::write(instance.path("relais.ron"), plain).unwrap();
    let reload = instance.relais("reload", &[]);
    assert!(reload.status.success(), "{reload:?}");
    eventually("nothing waits any more", PATIENCE, || instance.queue().is_empty());
    send(&instance, "ann@example.org", &alice, &other[2].1);
    eventually("all have arrived", PATIENCE, || inbox(&instance, "alice").len() == 6);
    assert!(inbox(&instance, "alice").iter().all(|its| its.contains("message/partial")));
}

#[test]
fn a_sender_who_asked_for_it_is_told_once_that_the_message_arrived() {
    let instance = Instance::new(gathering(""));
    let _running = instance.start();
    let lines: Vec<_> = (0..6).map(|n| format!("{n}\r\n")).collect();
    for (_, piece) in pieces("told", "told", &lines, 3) {
        let mut dialogue = Dialogue::open(instance.settings.smtp);
        dialogue.ask("MAIL FROM:<bob@relais.example> ENVID=once").expect(250);
        dialogue.ask("RCPT TO:<alice@relais.example> NOTIFY=SUCCESS,FAILURE").expect(250);
        dialogue.ask("DATA").expect(354);
        dialogue.finish(piece.as_bytes()).expect(250);
    }
    eventually("the message", PATIENCE, || inbox(&instance, "alice").len() == 1);
    eventually("its notice", PATIENCE, || inbox(&instance, "bob").len() == 1);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    thread::sleep(Duration::from_secs(2));
    let notices = inbox(&instance, "bob");
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let notice = &notices[0];
    assert!(
        notice.contains("Action: delivered") && notice.contains("Original-Envelope-Id: once"),
        "{notice}"
    );
}

/// The channel is stopped while the engine is killed, so that what is put together twice would stay
/// in the queue twice.
#[test]
fn kill_9_in_the_middle_loses_no_message_in_pieces_and_makes_none_twice() {
    let mut random = Random::seeded();
    let sink = Sink::start();
    sink.keep_contents();
    let settings = gathering("").deliver_to(sink.port);
    let instance = Instance::new(settings);
    let running = instance.start();
    assert!(instance.relais("channel", &["stop", "tcp_lmtpcs"]).status.success());
    running.kill();

    let lines: Vec<_> = (0..10).map(|n| format!("line {n}\r\n")).collect();
    let name = |message: usize| format!("message-{message}");
    let all: Vec<_> = (0..MESSAGES)
        .flat_map(|n| pieces(&name(n), &name(n), &lines, PIECES).into_iter().map(|(_, text)| text))
        .collect();
    let (mut sent, mut kills) = (0, 0);
    while sent < all.len() {
        let running = instance.start();
        let life = Duration::from_millis(random.between(20, 120));
        thread::scope(|threads| {
            threads.spawn(|| {
                while sent < all.len() && try_to_send(&instance, &all[sent]) {
                    sent += 1;
                }
            });
            thread::sleep(life);
            running.kill();
        });
        kills += 1;
    }
    for _ in 0..KILLS_AFTER {
        let running = instance.start();
        thread::sleep(Duration::from_millis(random.between(1, 100)));
        running.kill();
        kills += 1;
    }

    let _running = instance.start();
    let wholes: Vec<_> = (0..MESSAGES).map(name).collect();
    assert!(instance.relais("channel", &["start", "tcp_lmtpcs"]).status.success());
    eventually("every message", PATIENCE, || sink.missing(&wholes).is_empty());
    // Of pieces whose reply was lost a second one may wait for ever.
    eventually("no more than what came twice", PATIENCE, || instance.queue().len() <= kills);
    thread::sleep(Duration::from_secs(2));
    println!("{kills} kills, {MESSAGES} messages in {PIECES} pieces");
    assert_eq!(sink.repeated(), Vec::<String>::new());
    // A piece whose reply was lost came twice: the second one leaves by itself if the message had gone.
    let seen = sink.seen();
    assert!(seen.len() <= MESSAGES + kills, "{seen:?}");
    for whole in &wholes {
        assert_eq!(body(&sink.content_of(whole)), lines.concat(), "{whole}");
    }
    assert!(kills > KILLS_AFTER, "{kills}: none while pieces came");
}

#[test]
fn a_message_in_pieces_lies_whole_in_a_folder_of_a_store_of_others() {
    if !needs_root() || !needs(&["dovecot", "/usr/lib/dovecot/lmtp"]) {
        return;
    }
    let lines = "recipient_delimiter = +\nlmtp_save_to_detail_mailbox = yes\n\
                 lda_mailbox_autocreate = yes\n";
    let store = ForeignStore::dovecot_of_users(&["alice@folders.test"], lines);
    let script =
        "require \"fileinto\"; if header :contains \"subject\" \"work\" { fileinto \"Work\"; }";
    let script = BASE64_STANDARD.encode(script);
    let settings = Settings::standalone()
        .deliver_to(store.port)
        .channel("tcp_lmtpcs", "defragment: true, private: false");
    let ldif = Ldif::file().domain("folders.test", "");
    let own = format!("mailHost: localhost\nmailSieveRuleSource:: {script}");
    let instance = ldif.user("alice", "folders.test", &own).instance(settings);
    let _running = instance.start();

    let lines: Vec<_> = (0..10_000).map(|n| format!("line {n}\r\n")).collect();
    let mut pieces = pieces("work", "whole", &lines, 10);
    pieces.reverse();
    for (_, content) in &pieces {
        send(&instance, "ann@example.org", &["alice@folders.test"], content);
    }
    let folder = store.maildir("alice@folders.test").join(".Work");
    eventually("the whole message", PATIENCE, || message_ids(&folder) == ["whole"]);
    eventually("no piece waits", PATIENCE, || instance.queue().is_empty());
    let [message] = &store.messages()[..] else { panic!("{:#?}", store.messages()) };
    let message = String::from_utf8(wire_form(message.clone().into_bytes())).expect("text");
    assert!(message.contains("\r\nSubject: work\r\n"), "{message:.2000}");
    assert_eq!(body(&message), lines.concat());
}

/// Whether a metric has this value.
fn counts(instance: &Instance, name: &str, want: f64) -> bool {
    (instance.metric(&format!("relais_defragment_{name}")) - want).abs() < 0.5
}

fn gathering(more: &str) -> Settings {
    Settings::standalone().channel("tcp_lmtpcs", &format!("defragment: true{more}, private: true"))
}

/// A message of this subject and Message-ID in so many pieces, each with its number.
fn pieces(subject: &str, id: &str, lines: &[String], count: usize) -> Vec<(usize, String)> {
    let within = format!(
        "X-Within: gone\r\nSubject: {subject}\r\nMessage-ID: <{id}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain\r\n\r\n"
    );
    let each = lines.len().div_ceil(count);
    let piece = |(n, lines): (usize, &[String])| {
        let number = n + 1;
        let total = if number == count { format!("; total={count}") } else { String::new() };
        let within = if n == 0 { within.as_str() } else { "" };
        let text = format!(
            "To: Alice\r\nSubject: {subject} ({number}/{count})\r\nMessage-ID: <{id}.{number}>\r\n\
             MIME-Version: 1.0\r\nContent-Type: message/partial;\r\n id=\"{id}@example.org\"; \
             number={number}{total}\r\n\r\n{within}{}",
            lines.concat()
        );
        (number, text)
    };
    lines.chunks(each).enumerate().map(piece).collect()
}

fn send(instance: &Instance, from: &str, to: &[&str], content: &str) {
    Dialogue::open(instance.settings.smtp).message(from, to, content.as_bytes()).expect(250);
}

/// Whether it was acknowledged before the engine was killed.
fn try_to_send(instance: &Instance, content: &str) -> bool {
    let sent = || {
        let (mut dialogue, _) = Dialogue::connect(instance.settings.smtp)?;
        for command in
            ["EHLO test", "MAIL FROM:<ann@example.org>", "RCPT TO:<alice@relais.example>", "DATA"]
        {
            dialogue.try_ask(command)?;
        }
        dialogue.send(content.as_bytes())?;
        dialogue.try_ask(".")
    };
    sent().is_ok_and(|reply| reply.code == 250)
}

fn inbox(instance: &Instance, user: &str) -> Vec<String> {
    let all = mailbox(&instance.store(), "relais.example", user);
    all.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
}

fn body(message: &str) -> String {
    message.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn why(instance: &Instance, id: &str) -> Value {
    instance.json("queue", &["why", id]).remove(0)[0].clone()
}

const PATIENCE: Duration = Duration::from_secs(40);
const MESSAGES: usize = 60;
const PIECES: usize = 5;
const KILLS_AFTER: usize = 6;
