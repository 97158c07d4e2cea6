//! Orders of operators for the queue of a running engine, by the commands they have: entries held,
//! released, retried, returned, deleted; channels stopped and started; limits set; questions why.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Instance, Settings, Sink, eventually, free_port, mailbox, message, within,
};
use serde_json::Value;

/// An engine whose mail for `one.test` goes to a sink, and nothing that listens at `two.test`.
fn office(fields: &str) -> (Instance, Sink) {
    let port = free_port();
    let settings = Settings::standalone().stores(port).channel("stores", fields);
    (Instance::new(settings), Sink::on(port))
}

/// One message; its queue id.
#[track_caller]
fn send(instance: &Instance, from: &str, to: &str, name: &str, size: usize) -> String {
    let mut client = Dialogue::open(instance.settings.smtp);
    let reply = client.message(from, &[to], &message(name, size));
    let id = reply.expect(250).text.trim_end().rsplit(' ').next();
    id.expect("a queue id").to_owned()
}

/// Runs a command that must succeed.
#[track_caller]
fn must(instance: &Instance, command: &[&str]) {
    let output = instance.relais(command[0], &command[1..]);
    assert!(output.status.success(), "relais {command:?}: {output:?}");
}

/// Carries out `relais queue ACTION ARGS...`; how many entries it was done with.
#[track_caller]
fn order(instance: &Instance, action: &str, args: &[&str]) -> u64 {
    let output = instance.relais("queue", &[&[action, "--json"], args].concat());
    // 1: the options name nothing.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{action} {args:?}: {output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("one object");
    answer["done"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// The recipients of these entries, sorted.
fn recipients(entries: &[Value]) -> Vec<&str> {
    let first = |entry: &'_ Value| entry["recipients"][0]["address"].as_str().map(str::len);
    assert!(entries.iter().all(|entry| first(entry).is_some()), "{entries:?}");
    let mut all: Vec<_> =
        entries.iter().filter_map(|entry| entry["recipients"][0]["address"].as_str()).collect();
    all.sort_unstable();
    all
}

/// The answer of `relais queue why` about its only entry: the word for programs and the text for
/// people.
#[track_caller]
fn why(instance: &Instance, id: &str) -> (String, String) {
    let answer = instance.json("queue", &["why", id]).remove(0);
    let text = |key: &str| answer[0][key].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let for_people = instance.relais("queue", &["why", id]);
    assert!(for_people.status.success(), "{for_people:?}");
    (text("waits_for"), text("text"))
}

/// A number of `relais status --json` for a channel.
#[track_caller]
fn of_channel(instance: &Instance, channel: &str, key: &str) -> u64 {
    let list = instance.json("channel", &["list"]).remove(0);
    let list = list.as_array().expect("a list");
    let found = list.iter().find(|one| one["name"] == channel).expect("the channel");
    found[key].as_u64().unwrap_or_else(|| panic!("{key}: {found}"))
}

#[test]
fn each_filter_names_its_entries_and_a_dry_run_changes_nothing() {
    let (instance, sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    sink.answer("RCPT TO:<busy@", "451 4.7.1 greylisted, come back");
    send(&instance, "ann@a.test", "busy@one.test", "busy", 1_000);
    eventually("a failed attempt", PATIENCE, || instance.queue()[0]["state"] == "delayed");
    must(&instance, &["channel", "stop", "stores"]);
    must(&instance, &["channel", "stop", "tcp_lmtpcs"]);
    send(&instance, "ann@a.test", "x@one.test", "x", 1_000);
    send(&instance, "ann@a.test", "y@two.test", "y", 1_000);
    let large = send(&instance, "eve@b.test", "z@one.test", "z", 30_000);
    send(&instance, "eve@b.test", "alice@relais.example", "mine", 1_000);
    let old = || instance.json("queue", &["list", "--older-than", "1s"]).len() == 5;
    eventually("all are older than a second", PATIENCE, old);

    let all = ["alice@relais.example", "busy@one.test", "x@one.test", "y@two.test", "z@one.test"];
    // The first one has to be the first: what was released is not delayed any more.
    let rows: [(&[&str], &[&str]); 15] = [
        (&["--state", "delayed"], &["busy@one.test"]),
        (&["--reply", "GREYLISTED"], &["busy@one.test"]),
        (&["--reply", "no such words"], &[]),
        (&["--channel", "stores"], &all[1..]),
        (&["--channel", "tcp_lmtpcs"], &all[..1]),
        (&["--host", "[127.0.0.2]"], &["y@two.test"]),
        (&["--from", "~ANN@"], &["busy@one.test", "x@one.test", "y@two.test"]),
        (&["--to", "x@ONE.test"], &["x@one.test"]),
        (&["--from", "eve@b.test", "--channel", "stores"], &["z@one.test"]),
        (&["--larger-than", "20000"], &["z@one.test"]),
        (&["--larger-than", "1MiB"], &[]),
        (&["--older-than", "1s"], &all),
        (&["--older-than", "1h"], &[]),
        (&[&large], &["z@one.test"]),
        (&["--all"], &all),
    ];
    for (args, want) in rows {
        let before = instance.queue();
        assert_eq!(order(&instance, "hold", &[args, &["--dry-run"]].concat()), want.len() as u64);
        assert_eq!(instance.queue(), before, "--dry-run {args:?} changed something");
        assert_eq!(order(&instance, "hold", args), want.len() as u64, "{args:?}");
        let held = instance.json("queue", &["list", "--held"]);
        assert_eq!(recipients(&held), want, "{args:?}");
        assert_eq!(instance.json("queue", &["list", "--state", "held"]), held);
        let again = order(&instance, "hold", &[args, &["--dry-run"]].concat());
        assert_eq!(again, 0, "{args:?}: what is held cannot be held once more");
        assert_eq!(order(&instance, "release", &["--held", "--dry-run"]), want.len() as u64);
        assert_eq!(order(&instance, "release", &["--held"]), want.len() as u64, "{args:?}");
        assert!(instance.json("queue", &["list", "--held"]).is_empty(), "{args:?}");
    }
    assert_eq!(order(&instance, "hold", &["--all", "--limit", "2"]), 2);
    assert_eq!(instance.json("queue", &["list", "--held"]).len(), 2);
    let rest = instance.json("queue", &["hold", "--all"]).remove(0);
    assert_eq!((&rest["done"], &rest["idle"]), (&3.into(), &0.into()), "each is told of once");
    assert_eq!(instance.json("queue", &["list", "--limit", "3"]).len(), 3);
    assert_eq!(sink.total(), 0, "nothing has moved");
}

#[test]
fn entries_are_retried_returned_and_deleted_by_id_and_by_filter() {
    let (instance, sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    sink.answer("RCPT TO:<", "451 4.7.1 greylisted, come back");
    let alice = "alice@relais.example";
    let names = ["retry-1", "retry-2", "return-1", "return-2", "delete-1", "delete-2"];
    let ids: Vec<_> =
        names.map(|name| send(&instance, alice, &format!("{name}@one.test"), name, 900)).into();
    let waits = |entry: &Value| entry["state"] == "delayed";
    eventually("failed attempts", PATIENCE, || {
        instance.queue().iter().filter(|e| waits(e)).count() == 6
    });

    assert_eq!(order(&instance, "delete", &[&ids[4]]), 1);
    assert_eq!(order(&instance, "delete", &["--to", "~delete-2"]), 1);
    assert_eq!(order(&instance, "return", &[&ids[2]]), 1);
    assert_eq!(order(&instance, "return", &["--reply", "greylisted", "--to", "~return-"]), 1);
    let mail = || mailbox(&instance.store(), "relais.example", "alice");
    eventually("two notices", PATIENCE, || mail().len() == 2);
    eventually("what is left", PATIENCE, || instance.queue().len() == 2);
    assert_eq!(recipients(&instance.queue()), ["retry-1@one.test", "retry-2@one.test"]);

    sink.oblige();
    assert_eq!(order(&instance, "retry", &[&ids[0]]), 1);
    eventually("the one that was retried", PATIENCE, || sink.total() == 1);
    assert_eq!(sink.order(), ["retry-1@load.test"]);
    assert_eq!(order(&instance, "retry", &["--host", "[127.0.0.1]"]), 1);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!(sink.order(), ["retry-1@load.test", "retry-2@load.test"], "and nothing else");
    assert_eq!(mail().len(), 2, "of what is deleted nobody hears");
    let letters = |id: &str| {
        let log = instance.log();
        let of_id = log.lines().filter(|line| line.contains(id)).map(str::to_owned);
        of_id.filter(|line| line.contains("\"action\":\"X\"")).count()
    };
    assert_eq!((letters(&ids[4]), letters(&ids[0])), (1, 0), "the log tells of what was deleted");
    assert_eq!(instance.relais("queue", &["show", &ids[4]]).status.code(), Some(1));
}

#[test]
fn wrong_use_ends_with_2_and_an_unknown_id_with_1() {
    let (instance, _sink) = office("maxjobs: 1");
    let unknown = "0000000000000";
    assert_eq!(instance.relais("queue", &["hold", unknown]).status.code(), Some(1), "nothing runs");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let id = send(&instance, "a@a.test", "x@one.test", "x", 500);
    let rows: [(&[&str], i32); 19] = [
        (&["queue", "hold"], 2),
        (&["queue", "delete"], 2),
        (&["queue", "delete", "--limit", "5"], 2),
        (&["queue", "delete", &id, "--all"], 2),
        (&["queue", "delete", &id, "--host", "x"], 2),
        (&["queue", "delete", "--older-than", "soon"], 2),
        (&["queue", "delete", "--state", "lost"], 2),
        (&["queue", "delete", "rubbish"], 2),
        (&["queue", "delete", "--from", ""], 2),
        (&["queue", "delete", "--channel", "no_such"], 2),
        (&["queue", "why"], 2),
        (&["queue", "delete", unknown], 1),
        (&["queue", "why", unknown], 1),
        (&["queue", "history", unknown], 1),
        (&["queue", "show", unknown], 1),
        (&["channel", "stop", "no_such"], 2),
        (&["channel", "stop", "no such"], 2),
        (&["set", "stores.maxjobs", "0"], 2),
        (&["set", "no_such.limit", "1"], 2),
    ];
    for (command, status) in rows {
        let output = instance.relais(command[0], &command[1..]);
        assert_eq!(output.status.code(), Some(status), "{command:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{command:?} does not say why");
    }
    assert_eq!(instance.queue().len(), 1, "and nothing has happened");
    let output = instance.relais("queue", &["hold", unknown, &id, "ZZZ"]);
    assert_eq!(output.status.code(), Some(2), "not an id at all");
    let output = instance.relais("queue", &["hold", unknown, &id]);
    let (said, why) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{why}");
    assert_eq!(said, "1 entry held\n");
    assert_eq!(why, format!("relais: no message {unknown} in the queue\n"));
}

#[test]
fn mail_of_a_channel_that_the_configuration_has_lost_is_seen_and_deleted() {
    let (instance, _sink) = office("maxjobs: 1");
    let mut running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let id = send(&instance, "a@a.test", "x@one.test", "x", 500);
    running.terminate();
    running.wait(PATIENCE);
    let file = instance.data().with_file_name("relais.ron");
    let text = instance.settings.text().replace("name: \"stores\"", "name: \"shops\"");
    fs::write(file, text).unwrap();
    let _running = instance.start();
    assert_eq!(of_channel(&instance, "stores", "ready"), 1);
    let summary = instance.json("queue", &["summary"]).remove(0);
    assert_eq!(summary["channels"][0]["channel"], "stores", "{summary}");
    eventually("the gauge", PATIENCE, || instance.metric("relais_queue_lost") > 0.5);
    assert!(instance.metric("relais_queue_stored") > 0.5);
    assert_eq!(why(&instance, &id).0, "no_program");
    let wrong = instance.relais("queue", &["list", "--channel", "store"]);
    let wrong = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.contains("did you mean stores? there are: stores, shops"), "{wrong}");
    for (action, done) in [("hold", 0), ("retry", 0), ("return", 0), ("delete", 1)] {
        for args in [&["--channel", "stores", "--dry-run"][..], &["--channel", "stores"]] {
            let answer = instance.json("queue", &[&[action], args].concat()).remove(0);
            assert_eq!(answer["done"], done, "{action} {args:?}: {answer}");
            assert_eq!(answer["undelivered"], 1 - done, "{action} {args:?}: {answer}");
        }
    }
    assert!(instance.queue().is_empty());
    assert_eq!(instance.relais("queue", &["list", "--channel", "stores"]).status.code(), Some(2));
}

#[test]
fn what_was_deleted_in_the_hands_of_a_job_stays_deleted_when_the_engine_stops() {
    let (instance, sink) = office("maxjobs: 1");
    let mut running = instance.start();
    sink.pause();
    let id = send(&instance, "a@a.test", "x@one.test", "x", 500);
    eventually("a job has it", PATIENCE, || instance.queue()[0]["state"] == "active");
    let answer = instance.json("queue", &["delete", &id]).remove(0);
    assert_eq!((&answer["done"], &answer["later"]), (&0.into(), &1.into()), "{answer}");
    assert_eq!(instance.queue()[0]["ordered"], "delete");
    let (word, text) = why(&instance, &id);
    let ordered = "to be deleted as soon as its job gives it back";
    assert!(word == "active" && text.contains(ordered), "{word}: {text}");
    let shown = instance.relais("queue", &["show", &id]).stdout;
    assert!(String::from_utf8_lossy(&shown).contains(ordered));
    running.terminate();
    running.wait(Duration::from_secs(60));
    let _running = instance.start();
    assert!(instance.queue().is_empty(), "{:?}", instance.queue());
}

#[test]
fn what_is_released_goes_before_what_waited() {
    let (instance, sink) = office("maxjobs: 1, max_client_threads: 1");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let ids: Vec<_> = (0..5)
        .map(|n| send(&instance, "a@a.test", "x@one.test", &format!("waits-{n}"), 500))
        .collect();
    for id in [&ids[3], &ids[4]] {
        must(&instance, &["queue", "hold", id]);
    }
    must(&instance, &["queue", "release", &ids[4]]);
    must(&instance, &["channel", "start", "stores"]);
    eventually("all but the one that is held", PATIENCE, || sink.total() == 4);
    let order = sink.order();
    let names: Vec<_> = order.iter().filter_map(|id| id.split('@').next()).collect();
    assert_eq!(names, ["waits-4", "waits-0", "waits-1", "waits-2"]);
    assert_eq!(instance.queue().len(), 1);
}

#[test]
fn a_stopped_channel_stays_stopped_over_kill_9_and_takes_mail_meanwhile() {
    let (instance, sink) = office("maxjobs: 3");
    let running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    send(&instance, "a@a.test", "x@one.test", "before", 500);
    running.kill();

    let _running = instance.start();
    send(&instance, "a@a.test", "x@one.test", "after", 500);
    // Of another channel: it goes, and nothing has gone before it.
    send(&instance, "a@a.test", "alice@relais.example", "other", 500);
    eventually("the other channel's mail", PATIENCE, || {
        mailbox(&instance.store(), "relais.example", "alice").len() == 1
    });
    assert_eq!((sink.connections(), instance.queue().len()), (0, 2));
    let list = instance.relais("channel", &["list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("stopped"), "{list:?}");
    must(&instance, &["channel", "start", "stores"]);
    eventually("all of it", PATIENCE, || sink.total() == 2 && instance.queue().is_empty());
}

#[test]
fn limits_take_effect_at_once() {
    let (instance, sink) = office("maxjobs: 1, max_client_threads: 1, threaddepth: 1");
    let _running = instance.start();
    let jobs = |wanted: u64| {
        let jobs = || of_channel(&instance, "stores", "jobs");
        assert!(within(PATIENCE, || jobs() == wanted), "{} jobs instead of {wanted}", jobs());
        let metric = || instance.metric("relais_pool_jobs");
        eventually("the metric", PATIENCE, || (metric() - wanted as f64).abs() < 0.5);
    };
    sink.pause();
    for n in 0..60 {
        send(&instance, "a@a.test", "x@one.test", &format!("limits-{n}"), 500);
    }
    jobs(1);
    // The last one is kept for the mail of another host.
    must(&instance, &["set", "stores.maxjobs", "4"]);
    jobs(3);
    assert_eq!(sink.connections(), 3);
    assert_eq!(of_channel(&instance, "stores", "maxjobs"), 4);
    must(&instance, &["set", "SMTP_POOL.job_limit", "2"]);
    let status = instance.json("status", &[]).remove(0);
    let pools = status["pools"].as_array().expect("pools");
    assert!(pools.iter().any(|pool| pool["name"] == "SMTP_POOL" && pool["job_limit"] == 2));
    // Jobs end when they have done what they have in hand.
    sink.slow_down(Duration::from_millis(300));
    sink.resume();
    let few = || of_channel(&instance, "stores", "jobs") <= 2;
    eventually("two jobs at most", PATIENCE, few);
    must(&instance, &["set", "stores.threaddepth", "1000"]);
    jobs(1);
    must(&instance, &["set", "SMTP_POOL.job_limit", "10"]);
    must(&instance, &["set", "stores.threaddepth", "1"]);
    jobs(3);
    sink.slow_down(Duration::ZERO);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());

    must(&instance, &["channel", "stop", "stores"]);
    must(&instance, &["set", "max_messages", "8"]);
    for n in 0..12 {
        send(&instance, "a@a.test", "x@one.test", &format!("memory-{n}"), 500);
    }
    let metric = |name: &str, wanted: f64| {
        let value = || instance.metric(name);
        let reached = within(PATIENCE, || (value() - wanted).abs() < 0.5);
        assert!(reached, "{name}: {} instead of {wanted}", value());
    };
    metric("relais_queue_max_messages", 8.0);
    metric("relais_queue_stored", 12.0);
    metric("relais_queue_tracked", 8.0);
    must(&instance, &["set", "max_messages", "100"]);
    metric("relais_queue_tracked", 12.0);

    // Mail for a dead host is delayed, in memory and beyond.
    must(&instance, &["queue", "delete", "--all"]);
    must(&instance, &["channel", "start", "stores"]);
    let to_the_dead = || send(&instance, "a@a.test", "x@two.test", "dead", 500);
    let first = to_the_dead();
    eventually("a suspension", PATIENCE, || why(&instance, &first).0 == "suspended");
    must(&instance, &["set", "max_messages", "8"]);
    for _ in 0..12 {
        to_the_dead();
    }
    metric("relais_queue_stored", 13.0);
    metric("relais_channel_queue_messages{channel=\"stores\",state=\"delayed\"}", 13.0);
    metric("relais_channel_queue_messages{channel=\"stores\",state=\"ready\"}", 0.0);
    assert_eq!(["ready", "delayed"].map(|state| of_channel(&instance, "stores", state)), [0, 13]);
}

#[test]
fn why_names_the_true_reason() {
    let fields = "maxjobs: 1, max_client_threads: 1, backoff: [\"1h\"]";
    let (instance, sink) = office(fields);
    let _running = instance.start();
    sink.answer("RCPT TO:<busy@", "451 4.7.1 greylisted, come back");
    let put = |to: &str| send(&instance, "a@a.test", to, "why", 500);
    let expect = |id: &str, waits_for: &str, words: &[&str]| {
        within(PATIENCE, || why(&instance, id).0 == waits_for);
        let (word, text) = why(&instance, id);
        assert_eq!(word, waits_for, "{text}");
        for words in words {
            assert!(text.contains(words), "{words:?} is not in: {text}");
        }
    };
    let busy = put("busy@one.test");
    expect(&busy, "due", &["backoff of channel stores", "one time", "451 4.7.1 greylisted"]);
    let due = instance.queue()[0]["due"].as_str().expect("a time").to_owned();
    expect(&busy, "due", &[&due]);
    let gone = put("x@gone.test");
    expect(&gone, "suspended", &["gone.invalid could not be talked to", "look up gone.invalid"]);
    let refused = put("x@two.test");
    expect(&refused, "suspended", &["[127.0.0.2]", "Connection refused", "until 20"]);
    must(&instance, &["queue", "hold", &gone]);
    expect(&gone, "held", &["held by", &format!("relais queue release {gone}")]);
    must(&instance, &["channel", "stop", "stores"]);
    expect(&refused, "stopped", &["relais channel start stores"]);
    must(&instance, &["queue", "delete", "--all"]);
    must(&instance, &["channel", "start", "stores"]);

    sink.pause();
    let active = put("x@one.test");
    expect(&active, "active", &["A job has it in hand"]);
    let next = put("y@one.test");
    expect(&next, "ready", &["waits for its turn", "one connection to [127.0.0.1]"]);
    let other_host = put("x@three.test");
    let all_jobs = "channel stores has all of its one job (maxjobs)";
    expect(&other_host, "in_line", &[all_jobs]);
    // Nobody can probe it, so it is not the suspension that it waits for when that is over.
    let probed = put("x@two.test");
    expect(&probed, "in_line", &[all_jobs]);
    must(&instance, &["set", "SMTP_POOL.job_limit", "1"]);
    let other_channel = put("alice@relais.example");
    expect(&other_channel, "in_line", &["pool SMTP_POOL is full: 1 of 1 jobs"]);
    must(&instance, &["set", "max_messages", "8"]);
    // Which of them memory leaves on the disk is its own affair.
    let mut all = vec![active, next, other_host, probed, other_channel];
    all.extend((0..5).map(|_| put("z@one.test")));
    let beyond = || all.iter().find(|id| why(&instance, id).0 == "beyond_memory");
    eventually("one that is only on the disk", PATIENCE, || beyond().is_some());
    expect(beyond().expect("it is there"), "beyond_memory", &["max_messages"]);
    sink.resume();
}

#[test]
fn history_tells_of_every_attempt() {
    let (instance, sink) = office("backoff: [\"1s\", \"1h\"]");
    let _running = instance.start();
    sink.answer("RCPT TO:<", "451 4.7.1 greylisted, come back");
    let id = send(&instance, "a@a.test", "x@one.test", "history", 500);
    eventually("two attempts", PATIENCE, || instance.queue()[0]["attempts"] == 2);
    must(&instance, &["queue", "hold", &id]);

    let lines = instance.json("queue", &["history", &id]).remove(0);
    let lines = lines.as_array().expect("a list");
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            let reply = line["replies"][0]["reply"].as_str().unwrap_or("-");
            (line["state"].as_str().unwrap(), line["attempts"].as_u64().unwrap(), reply)
        })
        .collect();
    let said = "451 4.7.1 greylisted, come back";
    let want = [("ready", 0, "-"), ("delayed", 1, said), ("delayed", 2, said), ("held", 2, "-")];
    assert_eq!(seen, want, "{lines:?}");
    let times: Vec<_> = lines.iter().map(|line| line["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(lines[1]["replies"][0]["address"], "x@one.test");
    assert!(lines[2]["due"].as_str() > lines[1]["due"].as_str(), "{lines:?}");
    assert!(lines[3]["reason"].as_str().unwrap().starts_with("held by"), "{lines:?}");
    let text = instance.relais("queue", &["history", &id]);
    assert!(String::from_utf8_lossy(&text.stdout).contains(said), "{text:?}");
}

#[test]
fn twenty_thousand_entries_are_listed_and_deleted_in_flat_memory() {
    const ENTRIES: usize = 20_000;
    let (instance, _sink) = office("copies: Single");
    let running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| put(&instance, 225, 20));
        }
        // The record of a message holds all of its recipients.
        threads.spawn(|| put(&instance, 2, 1_000));
    });
    eventually("all are in the index", PATIENCE, || {
        (instance.metric("relais_queue_stored") - ENTRIES as f64).abs() < 0.5
    });

    let flat = |what: &str, command: &[&str]| {
        let (before, start) = (running.memory().resident, Instant::now());
        let output = thread::scope(|threads| {
            let command = threads.spawn(|| instance.relais("queue", command));
            let mut most = before;
            while !command.is_finished() {
                most = most.max(running.memory().resident);
                thread::sleep(Duration::from_millis(5));
            }
            let took = start.elapsed();
            println!("{what}: {took:?}, {} KiB more", (most - before) >> 10);
            assert!(took < Duration::from_secs(20), "{what} took {took:?}");
            assert!(most - before < 48 << 20, "{what} took {} KiB", (most - before) >> 10);
            command.join().expect("no panic")
        });
        assert!(output.status.success(), "{what}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(flat("list", &["list", "--json"]).lines().count(), ENTRIES);
    let all = |key: &str, count: usize| format!("\"{key}\":{count},");
    let held = flat("hold", &["hold", "--channel", "stores", "--json"]);
    assert!(held.contains(&all("done", ENTRIES)), "page after page: {held}");
    assert!(held.contains(&all("seen", 2 * ENTRIES)), "once more among the held: {held}");
    assert_eq!(flat("list", &["list", "--held", "--json"]).lines().count(), ENTRIES);
    let again = flat("hold", &["hold", "--all", "--json"]);
    assert!(again.contains(&all("done", 0)), "{again}");
    let released = flat("release", &["release", "--channel", "stores", "--json"]);
    assert!(released.contains(&all("done", ENTRIES)), "{released}");
    let done = flat("delete", &["delete", "--from", "~load@", "--json"]);
    assert!(done.contains(&format!("\"done\":{ENTRIES}")), "{done}");
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
}

#[test]
fn a_listing_of_several_pages_tells_what_was_said_last_to_each_recipient() {
    const ENTRIES: usize = 600;
    let (instance, sink) = office("copies: Single, backoff: [\"1h\"]");
    let _running = instance.start();
    let answer = |time: &str| {
        sink.oblige();
        (0..10).for_each(|digit| {
            sink.answer(&format!("{digit}@one.test"), &format!("451 4.7.1 {time} {digit}"));
        });
    };
    answer("first");
    put(&instance, 6, ENTRIES / 6);
    let tried = |times: u64| {
        let list = instance.queue();
        list.len() == ENTRIES && list.iter().all(|entry| entry["attempts"].as_u64() >= Some(times))
    };
    eventually("all are tried", PATIENCE, || tried(1));
    answer("second");
    assert_eq!(order(&instance, "retry", &["--all"]), ENTRIES as u64);
    eventually("all are tried twice", PATIENCE, || tried(2));
    for entry in instance.queue() {
        let recipient = &entry["recipients"][0];
        let address = recipient["address"].as_str().unwrap();
        let digit = address.split('@').next().unwrap().chars().next_back().unwrap();
        assert_eq!(recipient["last_reply"], format!("451 4.7.1 second {digit}"), "{entry}");
    }
    assert_eq!(order(&instance, "hold", &["--reply", "second 7"]), ENTRIES as u64 / 10);
    assert_eq!(order(&instance, "hold", &["--reply", "first"]), 0);
}

/// Sends so many messages, each to so many recipients at `one.test`.
fn put(instance: &Instance, messages: usize, recipients: usize) {
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = (0..recipients).map(|n| format!("RCPT TO:<user-{n}@one.test>\r\n"));
    let envelope = format!("MAIL FROM:<load@load.test>\r\n{}DATA\r\n", to.collect::<String>());
    for _ in 0..messages {
        client.send(envelope.as_bytes()).expect("it takes commands");
        for code in std::iter::once(250).chain((0..recipients).map(|_| 250)).chain([354]) {
            client.reply().expect("a reply").expect(code);
        }
        client.finish(&message("many", 500)).expect(250);
    }
}

const PATIENCE: Duration = Duration::from_secs(15);
