//! One message for many mailboxes of one host leaves in one transaction, and each of its recipients is
//! settled by its own reply.

use std::{collections::HashMap, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, message};

/// More than two entries have room for.
const MANY: usize = 150;

fn office(fields: &str) -> (Instance, Sink) {
    let sink = Sink::start();
    let settings = Settings::standalone().stores(sink.port).channel("stores", fields);
    (Instance::new(settings), sink)
}

fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("u{n}@one.test")).collect()
}

#[track_caller]
fn send(instance: &Instance, to: &[String], name: &str) {
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &to, &message(name, 500)).expect(250);
}

/// Recipients of each transaction so far.
fn transactions(sink: &Sink) -> Vec<usize> {
    sink.handed().iter().map(|(_, to)| to.len()).collect()
}

fn count_of(sink: &Sink) -> HashMap<String, usize> {
    let mut count = HashMap::new();
    for to in sink.handed().into_iter().flat_map(|(_, to)| to) {
        *count.entry(to).or_default() += 1;
    }
    count
}

#[test]
fn how_many_leave_together() {
    // settings of the channel, transactions in any order
    let rows: [(&str, &[usize]); 6] = [
        ("maxjobs: 1", &[150]),
        ("maxjobs: 4, max_client_threads: 4, threaddepth: 1", &[150]),
        ("maxjobs: 1, max_client_threads: 1, max_rcpt: 130", &[128, 22]),
        ("maxjobs: 1, max_client_threads: 1, max_rcpt: 50", &[50, 50, 22, 14, 14]),
        ("maxjobs: 1, max_client_threads: 1, addrsperfile: 60", &[60, 60, 30]),
        ("maxjobs: 1, max_client_threads: 1, copies: Single", &[1; 150]),
    ];
    for (fields, want) in rows {
        let (instance, sink) = office(fields);
        let _running = instance.start();
        send(&instance, &addresses(MANY), "many");
        eventually("all", PATIENCE, || transactions(&sink).iter().sum::<usize>() == MANY);
        eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
        let mut sizes = transactions(&sink);
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(sizes, want, "{fields}");
        assert!(count_of(&sink).values().all(|count| *count == 1), "{fields}");
        let log = instance.log();
        assert_eq!(log.matches("\"action\":\"R\"").count(), 0, "{log}");
    }
}

#[test]
fn each_of_many_is_settled_by_its_own_reply_and_the_rest_leaves_together_again() {
    let (instance, sink) = office("maxjobs: 1, backoff: [\"4s\"]");
    // One of each entry, at each stage: u5 and u15 of the first, u75 of the second, u145 of the third.
    sink.answer("RCPT TO:<u5@", "450 4.2.0 not now");
    sink.answer(". RCPT TO:<u15@", "451 4.2.0 not now either");
    sink.answer(". RCPT TO:<u75@", "452 4.2.2 full");
    sink.answer("RCPT TO:<u145@", "450 4.2.0 nor now");
    sink.answer("RCPT TO:<u7@", "550 5.1.1 nobody");
    sink.answer(". RCPT TO:<u149@", "552 5.2.2 full for good");
    let _running = instance.start();
    send(&instance, &addresses(MANY), "many");
    eventually("the first attempt", PATIENCE, || {
        let log = instance.log();
        log.matches("\"action\":\"Q\"").count() == 4 && log.matches("\"action\":\"R\"").count() == 2
    });
    assert_eq!(transactions(&sink), [MANY - 3]);
    let mut left = Vec::new();
    eventually("the rest waits", PATIENCE, || {
        left = open_of(&instance);
        left.len() == 4
    });
    left.sort();
    assert_eq!(left, ["u145@one.test", "u15@one.test", "u5@one.test", "u75@one.test"]);
    let queue = instance.queue();
    let id = queue[0]["id"].as_str().expect("an id").to_owned();
    let why = instance.relais("queue", &["why", &id]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    for (entry, words) in [("first", "4.2.0 not now"), ("third", "4.2.0 nor now")] {
        assert!(why.contains(words), "{entry}: {why}");
    }
    sink.oblige();
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    // The bounce is not for this host.
    assert_eq!(transactions(&sink), [MANY - 3, 4], "together again");
    let count = count_of(&sink);
    let twice = |to: &str| ["u15@one.test", "u75@one.test"].contains(&to);
    assert!(count.iter().all(|(to, count)| *count == if twice(to) { 2 } else { 1 }), "{count:?}");
    let counters = instance.json("counters", &[]).remove(0);
    let recipients = |event: &str| counters["stores"][event]["recipients"].as_u64();
    assert_eq!(recipients("delivered"), Some(MANY as u64 - 2), "{counters}");
    assert_eq!((recipients("attempted"), recipients("failed")), (Some(4), Some(2)), "{counters}");
}

#[test]
fn a_crash_between_the_dot_and_the_replies_loses_none_of_many() {
    let (instance, sink) = office("maxjobs: 1");
    let running = instance.start();
    sink.pause();
    send(&instance, &addresses(MANY), "many");
    eventually("the dot", PATIENCE, || sink.total() == 1);
    running.kill();
    sink.resume();
    let _running = instance.start();
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!(transactions(&sink), [MANY, MANY], "nobody was answered");
    assert_eq!(count_of(&sink).len(), MANY);
}

#[test]
fn a_host_that_was_away_gets_many_in_one_transaction_when_it_is_back() {
    let (instance, sink) = office("maxjobs: 1, backoff: [\"1h\"]");
    sink.greet("421 4.3.2 not now");
    let _running = instance.start();
    send(&instance, &addresses(MANY), "many");
    eventually("an attempt", PATIENCE, || instance.log().contains("suspended"));
    sink.oblige();
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!(transactions(&sink), [MANY]);
}

/// As Dovecot 2.4 says it.
#[test]
fn a_crowded_mailbox_is_asked_again_soon_and_gets_fewer_at_once() {
    let (instance, sink) = office("maxjobs: 4, max_client_threads: 5, threaddepth: 1");
    let crowded = "451 4.3.0 <busy@one.test> Too many concurrent deliveries for user";
    sink.answer("RCPT TO:<busy@", crowded);
    let _running = instance.start();
    let [busy, other] = ["busy@one.test", "other@one.test"].map(str::to_owned);
    send(&instance, &[busy.clone(), other], "first");
    eventually("an attempt", PATIENCE, || instance.log().contains(crowded));
    assert_eq!(sink.handed()[0].1, ["other@one.test"], "the others are not kept waiting");
    sink.oblige();
    sink.pause();
    for n in 0..12 {
        send(&instance, std::slice::from_ref(&busy), &format!("m{n}"));
    }
    let held_back = || instance.log().matches("not sent now: 4 deliveries").count();
    eventually("four are under way, and the others wait", PATIENCE, || held_back() >= 8);
    assert_eq!(sink.handed().iter().filter(|(_, to)| to[0] == busy).count(), 4);
    sink.resume();
    // Within a minute each; the usual wait would be an hour.
    eventually("an empty queue", Duration::from_secs(200), || instance.queue().is_empty());
    assert_eq!(sink.repeated(), ["first@load.test"], "its other recipient came by itself");
    assert!(!instance.log().contains("suspended"), "{}", instance.log());
}

#[test]
fn the_name_that_the_next_hop_gave_a_message_is_written_down() {
    let (instance, sink) = office("maxjobs: 1, backoff: [\"1h\"]");
    sink.answer(". RCPT TO:<a@", "250 2.0.0 <a@one.test> q1w2e3+4r:T2:R3 Saved");
    sink.answer(". RCPT TO:<b@", "250 2.1.5 Ok SESSIONID=<cyrus-7-8-9>");
    sink.answer("RCPT TO:<c@", "450 4.2.0 later");
    let _running = instance.start();
    let to = ["a@one.test", "b@one.test", "c@one.test"].map(str::to_owned);
    send(&instance, &to, "named");
    let mut history = Vec::new();
    eventually("an attempt", PATIENCE, || {
        let Some(entry) = instance.queue().pop() else { return false };
        let id = entry["id"].as_str().expect("an id");
        let lines = instance.json("queue", &["history", id]).remove(0);
        history = lines.as_array().cloned().unwrap_or_default();
        history.iter().any(|line| line["attempts"] == 1)
    });
    let replies = history.iter().filter_map(|line| line["replies"].as_array()).flatten();
    let ids: Vec<_> = replies.map(|reply| reply["peer_id"].as_str().unwrap_or("-")).collect();
    assert_eq!(ids, ["q1w2e3+4r:T2:R3", "cyrus-7-8-9", "-"], "{history:?}");
    let log = instance.log();
    for id in ids.iter().take(2) {
        assert!(log.contains(&format!("\"peer_id\":\"{id}\"")), "{id}: {log}");
    }
}

/// The recipients that are not done.
fn open_of(instance: &Instance) -> Vec<String> {
    let entries = instance.queue();
    let recipients = entries.iter().flat_map(|entry| entry["recipients"].as_array().into_iter());
    let open = recipients.flatten().filter(|to| {
        let state = to["state"].as_str().unwrap_or_default();
        !["delivered", "failed", "bounced"].contains(&state)
    });
    open.map(|to| to["address"].as_str().unwrap_or_default().to_owned()).collect()
}

/// For a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);
