//! `relais trace` knows what became of mail, by each of its names, over crashes, and forgets.

use std::{fs, time::Duration};

use relais_tests::{
    Dialogue, Instance, Settings, Sink, SmallDisk, eventually, fetch, message, needs, needs_root,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

fn send(instance: &Instance, to: &str, number: u32) {
    let content = format!(
        "From: ann@sender.test\r\nMessage-ID: <{number}.x@sender.test>\r\nSubject: x\r\n\r\nx\r\n"
    );
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("ann@sender.test", &[to], content.as_bytes()).expect(250);
}

fn trace(instance: &Instance, name: &str) -> Value {
    let output = instance.relais("trace", &[name, "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{name}: {output:?}"))
}

fn actions(traced: &Value) -> Vec<String> {
    let messages = traced["messages"].as_array().expect("messages");
    let events = messages.iter().map(|its| its["events"].as_array().expect("events"));
    events
        .map(|events| events.iter().filter_map(|event| event["action"].as_str()).collect())
        .collect()
}

#[test]
fn a_message_is_traced_by_each_of_its_names() {
    let sink = Sink::start();
    sink.answer(". RCPT TO:<alice", "250 2.0.0 Ok: queued as 4XYZabc123");
    sink.answer("RCPT TO:<bob", "450 4.2.1 mailbox busy");
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let running = instance.start();
    send(&instance, "alice@relais.example", 1);
    send(&instance, "bob@relais.example", 2);
    eventually("both were tried", PATIENCE, || {
        let tried = |to: &str| actions(&trace(&instance, to)).concat();
        tried("alice@relais.example") == "ED" && tried("bob@relais.example").starts_with("EQ")
    });
    let by_name = |instance: &Instance| {
        let traced = trace(instance, "alice@RELAIS.example");
        let message = &traced["messages"][0];
        assert_eq!(message["from"], "ann@sender.test", "{traced}");
        assert_eq!(message["message_id"], "<1.x@sender.test>", "{traced}");
        let delivered = &message["events"][1];
        assert_eq!(delivered["peer_id"], "4XYZabc123", "{traced}");
        assert_eq!(delivered["reply"], "250 2.0.0 Ok: queued as 4XYZabc123", "{traced}");
        assert_eq!(delivered["recipients"][0]["address"], "alice@relais.example", "{traced}");
        let id = message["id"].as_str().expect("an id").to_owned();
        for name in [&*id, "4XYZabc123", "<1.x@sender.test>", "1.x@sender.test"] {
            assert_eq!(trace(instance, name)["messages"][0]["id"], *id, "{name}");
        }
        assert_eq!(actions(&trace(instance, "ann@sender.test")).len(), 2);
        traced
    };
    let traced = by_name(&instance);
    assert_eq!(traced["messages"][0]["queued"], false);
    let waiting = trace(&instance, "bob@relais.example");
    assert_eq!(waiting["messages"][0]["queued"], true, "{waiting}");
    let shown = instance.relais("trace", &["bob@relais.example"]);
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("450 4.2.1 mailbox busy"), "{shown}");
    assert!(shown.contains("waits in the queue: relais queue why"), "{shown}");
    let since = instance.relais("trace", &["ann@sender.test", "--since", "1h", "--limit", "1"]);
    assert!(String::from_utf8_lossy(&since.stdout).contains("There are more"), "{since:?}");
    for (name, status) in [("nobody@relais.example", 1), ("~alice", 2), ("", 2)] {
        assert_eq!(instance.relais("trace", &[name]).status.code(), Some(status), "{name}");
    }
    assert!(instance.metric("relais_history_records_total") > 3.0);

    running.kill();
    by_name(&instance);
    let refused = instance.relais("trace", &["--forget", "alice@relais.example"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(
        (refused.status.code(), why.contains("by the running engine")),
        (Some(1), true),
        "{why}"
    );
    by_name(&instance);
    let running = instance.start();
    by_name(&instance);
    let forgotten = instance.json("trace", &["--forget", "\"Alice\"@relais.example"]);
    assert_eq!(forgotten[0]["records"], 2, "{forgotten:?}");
    for name in ["alice@relais.example", "4XYZabc123", "1.x@sender.test"] {
        assert_eq!(instance.relais("trace", &[name]).status.code(), Some(1), "{name}");
    }
    assert!(instance.log().contains("an address was forgotten in the delivery history"));
    for part in ["@relais.example", "~bob", "bob"] {
        let refused = instance.relais("trace", &["--forget", part]);
        assert_eq!(refused.status.code(), Some(2), "{part}: {refused:?}");
    }
    drop(running);
    assert_eq!(instance.relais("trace", &["alice@relais.example"]).status.code(), Some(1));
    assert_eq!(actions(&trace(&instance, "bob@relais.example")).len(), 1);
}

#[test]
fn the_history_is_switched_off_and_on_by_a_reload() {
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let _running = instance.start();
    send(&instance, "alice@relais.example", 1);
    eventually("written", PATIENCE, || {
        // A job may have it before its session has told of it.
        ["ED", "DE"].contains(&&*actions(&trace(&instance, "alice@relais.example")).concat())
    });
    let file = instance.path("relais.ron");
    let with = fs::read_to_string(&file).expect("a configuration");
    let without = with.replacen("host:", "history: (size: 0), host:", 1);
    fs::write(&file, without).expect("room");
    assert!(instance.relais("reload", &[]).status.success());
    let folder = instance.data().join("history");
    eventually("removed", PATIENCE, || {
        fs::read_dir(&folder).is_ok_and(|entries| entries.count() == 0)
    });
    send(&instance, "alice@relais.example", 2);
    assert_eq!(instance.relais("trace", &["alice@relais.example"]).status.code(), Some(1));
    fs::write(&file, with).expect("room");
    assert!(instance.relais("reload", &[]).status.success());
    eventually("written again", PATIENCE, || {
        send(&instance, "alice@relais.example", 3);
        instance.relais("trace", &["alice@relais.example"]).status.success()
    });
}

#[test]
fn a_relay_asks_its_stores_and_names_those_that_are_away() {
    let store = Instance::new(Settings::standalone());
    let _store = store.start();
    let socket = store.data().join("admin.sock");
    let stores = format!("history: (stores: [{socket:?}, \"away.sock\"]), host:");
    let settings = Settings::standalone().deliver_to(store.settings.lmtp).edit("host:", &stores);
    let relay = Instance::new(settings);
    let _relay = relay.start();
    send(&relay, "alice@relais.example", 7);
    eventually("the store has it", PATIENCE, || {
        let traced = trace(&relay, "alice@relais.example");
        let there = &traced["messages"][0]["stores"][0];
        there["messages"][0]["events"][0]["mailbox"].as_str().is_some_and(|place| !place.is_empty())
    });
    let traced = trace(&relay, "<7.x@sender.test>");
    let message = &traced["messages"][0];
    let there = &message["stores"][0]["messages"][0];
    assert_eq!(there["message_id"], "<7.x@sender.test>", "{traced}");
    assert_eq!(there["events"][0]["peer_id"], message["id"], "{traced}");
    assert_eq!(traced["unasked"].as_array().map(Vec::len), Some(1), "{traced}");
    let shown = relay.relais("trace", &["alice@relais.example"]);
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("not asked:") && shown.contains("the client calls it"), "{shown}");
    let alone = relay.relais("trace", &["alice@relais.example", "--alone"]);
    let alone = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.contains("runs relais, ask there: relais trace"), "{alone}");
    // The relay's id leads to the message on the store, too.
    let id = message["id"].as_str().expect("an id");
    assert_eq!(trace(&store, id)["messages"][0]["message_id"], "<7.x@sender.test>");
}

/// From a user of ours, who is told; the queue id.
fn post(instance: &Instance, to: &str) -> String {
    let mut client = Dialogue::open(instance.settings.smtp);
    let reply = client.message("alice@relais.example", &[to], &message(to, 100));
    let id = reply.expect(250).text.trim_end().rsplit(' ').next();
    id.expect("a queue id").to_owned()
}

fn notice_and_message_name_each_other(instance: &Instance, id: &str) {
    eventually("a notice", PATIENCE, || trace(instance, id)["messages"][0]["notices"].is_array());
    let traced = trace(instance, id);
    assert_eq!(traced["messages"][0]["id"], id, "{traced}");
    let notice = traced["messages"][0]["notices"][0].as_str().expect("an id").to_owned();
    let of_notice = trace(instance, &notice);
    let first = &of_notice["messages"][0];
    assert_eq!((&first["id"], &first["about"]), (&(*notice).into(), &id.into()));
    assert_eq!(first["from"], "", "{of_notice}");
    let shown = instance.relais("trace", &[id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("it is {notice}: relais trace {notice}")), "{shown}");
    assert!(shown.contains(&format!("about {id}: relais trace {id}")), "{shown}");
}

#[test]
fn orders_name_their_operators_and_notices_and_messages_name_each_other() {
    let sink = Sink::start();
    sink.answer("RCPT TO:<bob+", "550 5.1.1 no such user");
    sink.answer("RCPT TO:<bob", "450 4.2.1 mailbox busy");
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let _running = instance.start();
    let bounced = post(&instance, "bob+x@relais.example");
    let ordered = post(&instance, "bob@relais.example");
    let deleted = post(&instance, "bob@relais.example");
    let order = |words: &[&str]| {
        let output = instance.relais("queue", words);
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    let tried = |id: &str| actions(&trace(&instance, id)).concat().starts_with("EQ");
    eventually("both were tried", PATIENCE, || tried(&ordered) && tried(&deleted));
    order(&["hold", &ordered, "--reason", "look at it"]);
    order(&["release", &ordered, "--reason", "all is well"]);
    order(&["return", &ordered, "--reason", "he has left"]);
    order(&["delete", &deleted, "--reason", "spam"]);
    let done = |id: &str| {
        let events = trace(&instance, id)["messages"][0]["events"].clone();
        let told = |event: &Value| format!("{} {}", event["action"], event["reply"]);
        events.as_array().expect("events").iter().map(told).collect::<Vec<_>>()
    };
    eventually("its sender is told", PATIENCE, || {
        done(&ordered).last().is_some_and(|last| last.starts_with("\"N\""))
    });
    let events = done(&ordered).join("\n");
    for want in [
        "\"H\" \"250 2.0.0 held by ",
        ": look at it",
        "\"L\" \"250 2.0.0 released by ",
        ": all is well",
        "\"R\" \"550 5.0.0 returned by ",
        ": he has left",
    ] {
        assert!(events.contains(want), "{want}: {events}");
    }
    let events = done(&deleted).join("\n");
    assert!(
        events.contains("\"X\" \"250 2.0.0 deleted by ") && events.contains(": spam"),
        "{events}"
    );

    for id in [&bounced, &ordered] {
        notice_and_message_name_each_other(&instance, id);
    }
    let forgotten = |name: &str| {
        let done = instance.json("trace", &["--forget", name]).remove(0);
        done["records"].as_u64().unwrap_or_else(|| panic!("{done}"))
    };
    std::thread::scope(|scope| {
        let both = ["<bob@relais.example>", "<alice@relais.example>"];
        let both = both.map(|name| scope.spawn(move || forgotten(name)));
        for its in both {
            assert!(its.join().expect("an answer") > 0);
        }
    });
    for name in ["alice@relais.example", "bob@relais.example"] {
        assert_eq!(instance.relais("trace", &[name]).status.code(), Some(1), "{name}");
    }
}

#[test]
fn a_relay_that_is_its_own_store_sends_nobody_to_ask_itself() {
    let settings =
        Settings::standalone().edit("host:", "history: (stores: [\"admin.sock\"]), host:");
    let instance = Instance::new(settings);
    let _running = instance.start();
    send(&instance, "alice@relais.example", 1);
    eventually("delivered", PATIENCE, || {
        actions(&trace(&instance, "alice@relais.example")).concat().contains('D')
    });
    let traced = trace(&instance, "alice@relais.example");
    let asked = traced["messages"].as_array().expect("messages");
    let stores = asked[0]["stores"].as_array().map(Vec::len);
    assert_eq!((asked.len(), stores), (1, Some(1)), "its own mailbox, once: {traced}");
    let there = &asked[0]["stores"][0]["messages"][0]["events"][0];
    assert!(there["mailbox"].as_str().is_some_and(|place| !place.is_empty()), "{traced}");
    assert_eq!(traced["unasked"].as_array().map(Vec::len), Some(0), "{traced}");
    let shown = instance.relais("trace", &["alice@relais.example"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(!shown.contains("ask there"), "{shown}");
}

#[test]
fn a_history_that_cannot_be_written_says_since_when_and_what_to_do() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let instance = Instance::new(Settings::standalone());
    let folder = instance.data().join("history");
    fs::create_dir_all(&folder).expect("room");
    let small = SmallDisk::over(&folder, "16m");
    let running = instance.start();
    let said = |command: &str, words: &[&str]| {
        String::from_utf8_lossy(&instance.relais(command, words).stdout).into_owned()
    };
    let want = "history: not written since 20";
    eventually("status says so", PATIENCE, || said("status", &[]).contains(want));
    let status = said("status", &[]);
    assert!(status.contains("MiB are wanted; make room"), "{status}");
    send(&instance, "alice@relais.example", 1);
    eventually("lost ones are counted", PATIENCE, || {
        let status = instance.json("status", &[]).remove(0);
        status["history"]["lost"].as_u64() > Some(0)
            && status["history"]["stopped_since"].is_string()
    });
    for page in ["/", "/api/v1/overview"] {
        let page = fetch(instance.settings.admin, page).expect("an answer");
        assert!(page.body.contains("MiB are wanted"), "{}", page.body);
    }
    let glance = said("top", &["--once"]);
    assert!(glance.contains(want), "{glance}");
    drop(running);
    drop(small);
}
