//! The LMTP client understands a server by what it says, or does not say.

use std::time::Duration;

use relais_tests::{
    Aiosmtpd, Dialogue, ForeignStore, Instance, Settings, Sink, SmallDisk, due_after, eventually,
    fetch, message, needs, needs_root, within,
};

#[test]
fn any_3yz_reply_to_data_means_go_on() {
    let (instance, sink) = office("maxjobs: 1");
    let _running = instance.start();
    for (count, reply) in ["350 go on", "334 go on", "351 go on", "352 go on"].iter().enumerate() {
        sink.go_ahead(reply);
        send(&instance, &["a@one.test"], &format!("m{count}"));
        eventually(reply, PATIENCE, || sink.total() == count + 1);
    }
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!(sink.repeated(), [""; 0]);
}

#[test]
fn a_stray_reply_bounces_nobody() {
    for stray in ["550 5.1.1 nobody asked", "250 2.0.0 nobody asked", "421 4.4.2 nobody asked"] {
        let (instance, sink) = office("maxjobs: 1, max_client_threads: 1");
        sink.stray(stray);
        let _running = instance.start();
        for count in 0..12 {
            send(&instance, &["a@one.test"], &format!("m{count}"));
            // On some the next message finds the connection idle, on others it is announced.
            if count % 3 == 0 {
                std::thread::sleep(Duration::from_millis(60));
            }
        }
        eventually("all", PATIENCE, || sink.total() >= 12 && instance.queue().is_empty());
        assert_eq!((sink.seen().len(), sink.repeated()), (12, Vec::new()), "{stray}");
        assert_eq!(actions(&instance, "D"), 12, "{stray}");
    }
}

/// A reply between those to MAIL and to RCPT, or in place of the latter, looks like a refusal of
/// the recipient.
#[test]
fn a_stray_reply_amid_the_envelope_of_a_kept_connection_refuses_nobody() {
    let stray = "550 5.1.1 nobody asked";
    let rows = [
        ("250-sink\r\n250 PIPELINING", "MAIL", format!("250 2.1.0 OK\r\n{stray}")),
        ("250 sink", "MAIL", format!("250 2.1.0 OK\r\n{stray}")),
        ("250 sink", "RCPT", format!("{stray}\r\n250 2.1.5 OK")),
    ];
    for (offer, command, said) in rows {
        let (instance, sink) = office("maxjobs: 1, max_client_threads: 1");
        sink.answer("LHLO", offer);
        sink.answer_kept(command, &said);
        let _running = instance.start();
        for count in 0..6 {
            send(&instance, &["a@one.test"], &format!("m{count}"));
            if count % 3 == 0 {
                std::thread::sleep(Duration::from_millis(60));
            }
        }
        eventually("all", PATIENCE, || sink.total() >= 6 && instance.queue().is_empty());
        assert_eq!((sink.seen().len(), sink.repeated()), (6, Vec::new()), "{offer} {command}");
        assert_eq!((actions(&instance, "D"), actions(&instance, "R")), (6, 0), "{offer} {command}");
    }
}

#[test]
fn a_true_refusal_on_a_kept_connection_is_believed_there() {
    for offer in ["250-sink\r\n250 PIPELINING", "250 sink"] {
        let (instance, sink) = office("maxjobs: 1, max_client_threads: 1");
        sink.answer("LHLO", offer);
        sink.answer("RCPT TO:<nobody@", "550 5.1.1 nobody");
        let _running = instance.start();
        send(&instance, &["a@one.test"], "first");
        eventually("the first", PATIENCE, || actions(&instance, "D") == 1);
        let before = sink.connections();
        send(&instance, &["nobody@one.test"], "second");
        eventually("it is refused", PATIENCE, || actions(&instance, "R") == 1);
        assert_eq!((sink.connections(), before), (1, 1), "{offer}: no other connection is made");
    }
}

/// One reply too many or too few, and each of the next is taken for that to another command.
#[test]
fn replies_out_of_step_bounce_nobody() {
    let (instance, sink) = office("maxjobs: 1, command_transmit_time: \"5s\"");
    let _running = instance.start();
    let rows = [
        ("MAIL", "250 one\r\n250 and another", "451 4.5.0 protocol error: the peer said 250"),
        ("MAIL", "354 go on", "451 4.5.0 protocol error: the peer said 354 go on"),
        ("RCPT TO:<b@", "354 go on", "451 4.5.0 protocol error: the peer said 354 go on"),
        (". RCPT TO:<a@", "354 go on", "unknown whether it was taken"),
    ];
    for (command, said, want) in rows {
        sink.oblige();
        eventually("nothing waits", PATIENCE, || {
            instance.relais("queue", &["retry", "--all", "--yes"]);
            instance.queue().is_empty()
        });
        // The kept connection is not asked for what shows on a new one.
        eventually("it is closed", PATIENCE, || sink.open_connections() == 0);
        sink.answer(command, said);
        send(&instance, &["a@one.test", "b@one.test"], "m");
        eventually(want, PATIENCE, || {
            let queue = instance.queue();
            !queue.is_empty() && why(&instance).contains(want)
        });
    }
    assert_eq!(actions(&instance, "R"), 0, "{}", instance.log());
}

#[test]
fn a_reply_before_the_content_is_no_delivery() {
    let (instance, sink) = office("maxjobs: 1");
    let _running = instance.start();
    sink.go_ahead("354 go on\r\n250 2.0.0 taken");
    send(&instance, &["a@one.test"], "early");
    eventually("an attempt", PATIENCE, || actions(&instance, "Q") == 1);
    assert_eq!(sink.total(), 0, "no content was sent");
    let why = why(&instance);
    assert!(why.contains("answered before the message was sent: 250 2.0.0 taken"), "{why}");
    sink.oblige();
    assert!(instance.relais("queue", &["retry", "--all", "--yes"]).status.success());
    eventually("it goes when the server behaves", PATIENCE, || instance.queue().is_empty());
    assert_eq!(sink.total(), 1);
}

#[test]
fn a_message_that_closes_the_connection_waits_alone() {
    let (instance, sink) = office("maxjobs: 1, max_client_threads: 1, backoff: [\"10m\"]");
    sink.hang_up_on("poison");
    let _running = instance.start();
    for count in 0..10 {
        send(&instance, &["a@one.test"], &format!("before{count}"));
    }
    send(&instance, &["a@one.test"], "poison");
    for count in 0..20 {
        send(&instance, &["a@one.test"], &format!("behind{count}"));
    }
    eventually("the others", PATIENCE, || sink.seen().len() == 31 && instance.queue().len() == 1);
    assert!(!within(Duration::from_secs(3), || sink.total() > 31), "no second copy so soon");
    assert_eq!(sink.repeated(), [""; 0]);
    let left = instance.queue().remove(0);
    assert_eq!((left["attempts"].as_u64(), &left["state"]), (Some(1), &"delayed".into()), "{left}");
    let log = instance.log();
    assert!(!log.contains("suspended"), "the host is not suspended");
    let why = why(&instance);
    assert!(why.contains("lost connection"), "{why}");
}

#[test]
fn a_421_behind_the_dot_is_about_that_message_alone() {
    let (instance, sink) = office("maxjobs: 1, max_client_threads: 1, backoff: [\"10m\"]");
    sink.answer(". RCPT TO:<poison@", "421 4.3.2 bye");
    let _running = instance.start();
    send(&instance, &["poison@one.test"], "poison");
    eventually("an attempt", PATIENCE, || actions(&instance, "Q") == 1);
    for count in 0..10 {
        send(&instance, &["a@one.test"], &format!("behind{count}"));
    }
    eventually("the others", PATIENCE, || actions(&instance, "D") == 10);
    assert_eq!(sink.total(), 11, "no second copy so soon");
    assert_eq!((instance.queue().len(), sink.repeated()), (1, Vec::new()));
    let log = instance.log();
    assert!(!log.contains("suspended"), "the host is not suspended: {log}");
    assert!(why(&instance).contains("421 4.3.2 bye"), "{}", why(&instance));
}

#[test]
fn recipients_that_were_too_many_go_next_at_once_on_the_same_connection() {
    let (instance, sink) = office("maxjobs: 1");
    sink.take_at_most(3);
    let _running = instance.start();
    let to: Vec<_> = (0..8).map(|n| format!("user{n}@one.test")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    send(&instance, &to, "many");
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    let handed: Vec<_> = sink.handed().into_iter().map(|(_, to)| to.join(" ")).collect();
    let want = [&to[..3], &to[3..6], &to[6..]].map(|to| to.join(" "));
    assert_eq!((handed, sink.connections()), (want.to_vec(), 1));
    // One line tells of all: it was one attempt.
    assert_eq!(actions(&instance, "D"), 1);
    // Nobody is taken: that is no progress, and everybody waits.
    sink.take_at_most(0);
    send(&instance, &["a@one.test", "b@one.test"], "nobody");
    eventually("an attempt", PATIENCE, || actions(&instance, "Q") == 1);
    assert_eq!(sink.total(), 3);
}

#[test]
fn what_the_peer_said_is_quoted_as_it_said_it() {
    let (instance, sink) = office("maxjobs: 1");
    let _running = instance.start();
    let rows: [(&str, &dyn Fn()); 3] = [
        ("500 5.3.2 no service today", &|| sink.greet("500 5.3.2 no service today")),
        ("451 4.7.1 greylisted", &|| sink.answer("MAIL", "451 4.7.1 greylisted")),
        ("452-4.2.2 over", &|| sink.answer("RCPT", "452-4.2.2 over\r\n452 4.2.2 quota")),
    ];
    for (said, misbehave) in rows {
        sink.oblige();
        misbehave();
        let before = actions(&instance, "Q");
        send(&instance, &["a@one.test"], "m");
        eventually("an attempt", PATIENCE, || actions(&instance, "Q") > before);
        let want = if said.starts_with("452") { "452 4.2.2 over quota" } else { said };
        let why = why(&instance);
        assert!(why.contains(want), "{want}: {why}");
        let last_reply = instance.queue().remove(0)["recipients"][0]["last_reply"].to_string();
        assert!(last_reply.contains(want), "{want}: {last_reply}");
        assert!(instance.relais("queue", &["delete", "--all", "--yes"]).status.success());
        eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
        // The host may be left alone for a while.
        assert!(instance.log().contains(&format!("\"reply\":\"{want}\"")), "{want} in the log");
    }
}

#[test]
fn what_is_no_reply_is_quoted_as_it_came() {
    let (instance, sink) = office("maxjobs: 1");
    let _running = instance.start();
    let rows = [
        ("MAIL", "199 odd", "no reply code: \"199 odd\" with"),
        ("RCPT", "600 too much", "no reply code: \"600 too much\" with"),
        ("DATA", "what is it\u{7}[1m", "no reply code: \"what is it?[1m\" with"),
        ("MAIL", "250-a\r\n251 b", "different codes: \"251 b\" with"),
    ];
    send(&instance, &["a@one.test"], "m");
    for (command, said, want) in rows {
        sink.oblige();
        sink.answer(command, said);
        let quoted = || !instance.queue().is_empty() && why(&instance).contains(want);
        eventually(want, PATIENCE, || {
            instance.relais("queue", &["retry", "--all", "--yes"]);
            quoted()
        });
    }
    assert_eq!(actions(&instance, "R"), 0, "{}", instance.log());
}

#[test]
fn a_demand_for_a_login_is_trouble_of_the_site_that_why_names() {
    if !needs_root() || !needs(&["/usr/lib/cyrus/bin/lmtpd"]) {
        return;
    }
    let store = ForeignStore::cyrus_that_wants_a_login();
    let place = format!("inet:[127.0.0.1]:{}", store.port);
    let settings =
        Settings::standalone().edit("multigate: true,", &format!("daemon: \"{place}\","));
    let instance = Instance::new(settings);
    let _running = instance.start();
    for count in 0..5 {
        send(&instance, &["alice@relais.example"], &format!("m{count}"));
    }
    let mut said = String::new();
    eventually("why names it", PATIENCE, || {
        said = why(&instance);
        said.contains("430 Authentication required")
    });
    assert!(said.contains("wants relais to log in"), "{said}");
    // The host is probed with one of them now and then.
    assert_eq!(instance.queue().len(), 5);
    assert!(instance.log().contains("suspended"), "{}", instance.log());
}

/// Whichever command it answers so: no mail of its hosts is returned for it.
#[test]
fn a_demand_for_a_login_bounces_nobody_at_any_command() {
    let (instance, sink) = office("maxjobs: 1");
    let _running = instance.start();
    let rows = [
        ("LHLO", "530 5.7.0 Authentication required"),
        ("MAIL", "530 5.7.0 Authentication required"),
        ("RCPT", "430 Authentication required"),
        ("RCPT", "530 5.7.1 Please log in"),
        ("DATA", "530 5.7.0 Authentication required"),
    ];
    let script = |command, reply| {
        sink.oblige();
        sink.answer(command, reply);
    };
    script(rows[0].0, rows[0].1);
    send(&instance, &["a@one.test", "b@one.test"], "m");
    for (command, reply) in rows {
        script(command, reply);
        eventually(&format!("why names {reply} at {command}"), PATIENCE, || {
            instance.relais("queue", &["retry", "--all", "--yes"]);
            let said = why(&instance);
            said.contains(reply) && said.contains("wants relais to log in")
        });
    }
    sink.oblige();
    eventually("all of it goes in the end", PATIENCE, || {
        instance.relais("queue", &["retry", "--all", "--yes"]);
        instance.queue().is_empty()
    });
    assert_eq!(actions(&instance, "R"), 0, "{}", instance.log());
}

/// RFC 5321 section 4.5.3.1.10: 552 is an old way to say 452.
#[test]
fn recipients_that_were_too_many_in_other_words_go_next_at_once() {
    for reply in ["552 too many recipients", "552 5.5.3 too many", "450 4.5.3 too many"] {
        let (instance, sink) = office("maxjobs: 1");
        sink.answer_beyond(2, reply);
        let _running = instance.start();
        let to = ["a@one.test", "b@one.test", "c@one.test", "d@one.test", "e@one.test"];
        send(&instance, &to, "five");
        eventually("three transactions", PATIENCE, || sink.total() == 3);
        eventually("nothing waits", PATIENCE, || instance.queue().is_empty());
        assert_eq!((sink.connections(), actions(&instance, "R")), (1, 0), "{reply}");
    }
}

#[test]
fn a_server_with_fewer_replies_than_recipients_is_not_waited_for() {
    if !needs(&["/usr/lib/python3/dist-packages/aiosmtpd/lmtp.py"]) {
        return;
    }
    let to = ["a@one.test", "b@one.test", "c@one.test"];
    for (fields, want) in [("maxjobs: 1", 1), ("maxjobs: 1, max_rcpt: 1", 3)] {
        let server = Aiosmtpd::start();
        let instance =
            Instance::new(Settings::standalone().stores(server.port).channel("stores", fields));
        let _running = instance.start();
        send(&instance, &to, "fewer");
        if want == 1 {
            // After five seconds of silence; this machine may do other things, too.
            eventually("an attempt", Duration::from_secs(20), || actions(&instance, "Q") == 1);
            let (log, left) = (instance.log(), instance.queue().remove(0));
            assert!(log.contains("1 replies for 3 recipients"), "{log}");
            let states = left["recipients"].as_array().into_iter().flatten().map(|to| &to["state"]);
            assert_eq!(states.collect::<Vec<_>>(), ["delivered", "delayed", "delayed"], "{left}");
            assert!(!log.contains("suspended"), "{log}");
        } else {
            eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
        }
        assert_eq!(server.taken().len(), want, "{fields}");
    }
}

#[test]
fn spellings_of_an_address_go_together_to_stores_of_our_own_only() {
    let to = ["ann@one.test", "Ann@one.test", "ben@one.test", "ANN@one.test"];
    for (private, want) in [
        ("private: false", vec!["ann@one.test ben@one.test", "Ann@one.test", "ANN@one.test"]),
        ("private: true", vec!["ann@one.test Ann@one.test ben@one.test ANN@one.test"]),
    ] {
        let sink = Sink::start();
        let settings = Settings::standalone().stores(sink.port).edit("private: false", private);
        let instance = Instance::new(settings);
        let _running = instance.start();
        send(&instance, &to, "spellings");
        eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
        let handed: Vec<_> = sink.handed().into_iter().map(|(_, to)| to.join(" ")).collect();
        assert_eq!(handed, want, "{private}");
    }
}

/// Section 16.5.4 of the original's guide: the answer after the dot, in a short and random time.
#[test]
fn a_busy_mailbox_is_tried_again_within_a_minute_unless_the_channel_says_otherwise() {
    const SLOW: &str = "mailbox_busy_fast_retry: false, ";
    let (busy, locked) = ("450 4.2.1 Mailbox busy", "420 4.2.0 Mailbox Locked");
    for (reply, field, is_soon) in [(busy, "", true), (locked, "", true), (busy, SLOW, false)] {
        let (instance, sink) = office(&format!("{field}backoff: [\"1h\"]"));
        let _running = instance.start();
        sink.answer(". RCPT TO:<a@", reply);
        send(&instance, &["a@one.test"], "m");
        eventually("it was tried", PATIENCE, || actions(&instance, "Q") == 1);
        let is_due = || instance.queue().first().and_then(due_after);
        eventually("it is due again", PATIENCE, || is_due().is_some());
        let wait = is_due().expect("it waits");
        let soon = (1..=65).contains(&wait);
        assert!(soon == is_soon && (soon || wait > 3_000), "{field}: {wait} s");
        let why = why(&instance);
        assert!(why.contains(reply), "{why}");
        sink.oblige();
        instance.relais("queue", &["retry", "--all", "--yes"]);
        eventually("it is delivered", PATIENCE, || actions(&instance, "D") == 1);
    }
}

/// The store has a small disk of its own, the spool has room.
#[test]
fn what_a_full_store_refused_is_due_at_once_when_it_has_room() {
    const MESSAGES: usize = 20;
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let disk = SmallDisk::mounted("40m");
    let store = disk.path().join("store");
    let settings = Settings::standalone()
        .edit("path: \"store\"", &format!("path: {:?}", store.display().to_string()));
    let instance = Instance::new(settings);
    let _running = instance.start();
    // The mailbox is there before the disk is full.
    send(&instance, &["alice@relais.example"], "first");
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert!(instance.is_ready() && instance.metric("relais_store_free_bytes") > 1e6);
    let filler = disk.path().join("filler");
    fill(&filler);
    for count in 0..MESSAGES {
        let mut client = Dialogue::open(instance.settings.smtp);
        let content = message(&format!("m{count}"), 300 << 10);
        client.message("a@sender.test", &["alice@relais.example"], &content).expect(250);
    }
    eventually("refusals", PATIENCE, || actions(&instance, "Q") >= 2);
    assert!(instance.queue().len() >= MESSAGES - 2, "the disk is full");
    eventually("it is told", PATIENCE, || !instance.is_ready());
    let page = fetch(instance.settings.admin, "/readyz").expect("a page");
    let want = format!("the store {}: no space left on its file system", store.display());
    assert!(page.status == 503 && page.body.starts_with(&want), "{page:?}");
    let status = instance.relais("status", &[]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(&format!("not ready: {want}")), "{status}");
    assert_eq!(instance.metric("relais_store_refusing").to_string(), "1");
    assert!(instance.metric("relais_store_free_bytes") < 1e6);
    std::fs::remove_file(filler).expect("it was there");
    // The usual wait would be an hour; the store is probed after 1, 2, 4, ... seconds.
    eventually("all of it", Duration::from_secs(70), || instance.queue().is_empty());
    eventually("ready again", PATIENCE, || instance.is_ready());
    assert_eq!(instance.metric("relais_store_refusing").to_string(), "0");
    eventually("its end is told", PATIENCE, || instance.log().contains("has room again"));
    let log = instance.log();
    assert!(log.contains("452 4.3.1"), "{log}");
    let told = |what| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!((told("no space left on its file"), told("the store has room again")), (1, 1));
    assert_eq!(told("cannot be written"), 0, "no mailbox is to blame: {log}");
}

/// A relay in front of hosts that are all one sink.
fn office(fields: &str) -> (Instance, Sink) {
    let sink = Sink::start();
    let settings = Settings::standalone().stores(sink.port).channel("stores", fields);
    (Instance::new(settings), sink)
}

#[track_caller]
fn send(instance: &Instance, to: &[&str], name: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", to, &message(name, 500)).expect(250);
}

/// Transaction lines with this action letter.
fn actions(instance: &Instance, action: &str) -> usize {
    instance.log().matches(&format!("\"action\":\"{action}\"")).count()
}

/// The explanation of the first message that waits.
fn why(instance: &Instance) -> String {
    let queue = instance.queue();
    let id = queue.first().and_then(|entry| entry["id"].as_str()).expect("one that waits");
    String::from_utf8_lossy(&instance.relais("queue", &["why", id]).stdout).into_owned()
}

fn fill(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("a file");
    let mut piece = 1 << 20;
    while piece > 0 {
        if file.write_all(&vec![0; piece]).is_err() {
            piece /= 2;
        }
    }
}

/// For a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);
