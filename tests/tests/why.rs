//! `relais queue why` names what an entry waits for: the limit, the command, another route.

use std::{fs, time::Duration};

use relais_tests::{Dialogue, Instance, Running, Settings, Sink, eventually, message};
use serde_json::Value;

#[test]
fn why_names_the_command_that_an_active_entry_waits_at_and_since_when() {
    let sink = Sink::start();
    sink.pause();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let _running = instance.start();
    send(&instance, "alice@relais.example");
    eventually("it waits for the reply to its content", Duration::from_secs(20), || {
        text_of(&instance, "relais.example").contains("waits for the reply to the content")
    });
    let why = why(&instance, "relais.example");
    assert_eq!(why["waits_for"], "active", "{why}");
    assert!(why["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{why}");
    sink.oblige();
    sink.resume();
    eventually("delivered", Duration::from_secs(20), || instance.queue().is_empty());

    sink.slow_down(Duration::from_secs(3));
    // A connection that is kept is asked for MAIL at once.
    send(&instance, "alice@relais.example");
    eventually("it waits for a reply before the content", Duration::from_secs(20), || {
        instance.queue().is_empty() || {
            let text = text_of(&instance, "relais.example");
            ["LHLO", "MAIL FROM", "RCPT TO", "DATA"].iter().any(|command| text.contains(command))
        }
    });
    assert!(!instance.queue().is_empty(), "it was gone before it could be asked about");
}

#[test]
fn why_names_the_limit_that_binds() {
    let sink = Sink::start();
    sink.pause();
    let settings = Settings::standalone()
        .stores(sink.port)
        .channel("stores", "max_client_threads: 1, threaddepth: 1, maxjobs: 5")
        .edit("\"SMTP_POOL\": (job_limit: 10)", "\"SMTP_POOL\": (job_limit: 1)");
    let instance = Instance::new(settings);
    let _running = instance.start();
    send(&instance, "a@one.test");
    eventually("the only job has one of them", Duration::from_secs(20), || {
        why(&instance, "one.test")["waits_for"] == "active"
    });
    send(&instance, "b@two.test");
    let limit = |domain: &str| why(&instance, domain)["limit"].as_str().map(str::to_owned);
    eventually("job_limit", Duration::from_secs(20), || {
        limit("two.test").as_deref() == Some("job_limit")
    });
    assert!(text_of(&instance, "two.test").contains("1 of 1 jobs run (job_limit)"));
    assert!(text_of(&instance, "two.test").contains("`relais set SMTP_POOL.job_limit 2`"));

    for (key, value) in [("stores.maxjobs", "1"), ("SMTP_POOL.job_limit", "10")] {
        assert!(instance.relais("set", &[key, value]).status.success(), "{key}");
    }
    eventually("maxjobs", Duration::from_secs(20), || {
        limit("two.test").as_deref() == Some("maxjobs")
    });
    assert!(text_of(&instance, "two.test").contains("has all of its one job (maxjobs)"));
    let told = text_of(&instance, "two.test");
    let order = told.split('`').find(|part| part.starts_with("relais set ")).unwrap_or_default();
    assert_eq!(order, "relais set stores.maxjobs 2", "{told}");
    let words: Vec<&str> = order.split(' ').skip(2).collect();
    assert!(instance.relais("set", &words).status.success());
    eventually("the order does it", Duration::from_secs(20), || {
        limit("two.test").as_deref() != Some("maxjobs")
    });
}

#[test]
fn why_names_the_stress_of_a_store_that_gets_fewer_connections() {
    let sink = Sink::start();
    sink.answer("LHLO", "250-store.test\r\n250 XSTRESS");
    sink.answer(". RCPT", "250 2.5.0 OK [stress]");
    let settings = Settings::standalone()
        .stores(sink.port)
        .channel("stores", "threaddepth: 1")
        .edit("private: false", "private: true");
    let instance = Instance::new(settings);
    let _running = instance.start();
    send(&instance, "a@one.test");
    eventually("it says so", Duration::from_secs(20), || {
        instance.metric("relais_stressed_destinations") > 0.5
    });
    sink.pause();
    for _ in 0..4 {
        send(&instance, "a@one.test");
    }
    let want = "it is a store of ours that says it is under stress: it gets one connection for now";
    eventually("why says so of those that wait", Duration::from_secs(20), || {
        let queue = instance.queue();
        let said = queue.iter().filter_map(|entry| entry["id"].as_str()).map(|id| {
            String::from_utf8_lossy(&instance.relais("queue", &["why", id]).stdout).into_owned()
        });
        said.filter(|text| text.contains(want)).count() >= 3
    });
    assert_eq!(sink.open_connections(), 1);
    sink.resume();
}

#[test]
fn the_last_slot_is_kept_free_unless_that_is_switched_off() {
    for (field, kept) in [("", true), (", keep_last_slot: false", false)] {
        let sink = Sink::start();
        sink.pause();
        let settings = Settings::standalone()
            .stores(sink.port)
            .channel("stores", "max_client_threads: 1, threaddepth: 1, maxjobs: 5")
            .edit(
                "\"SMTP_POOL\": (job_limit: 10)",
                &format!("\"SMTP_POOL\": (job_limit: 2{field})"),
            );
        let instance = Instance::new(settings);
        let _running = instance.start();
        for _ in 0..6 {
            send(&instance, "a@one.test");
        }
        if kept {
            eventually("the last slot is named", Duration::from_secs(20), || {
                let why = waiting(&instance);
                why["limit"] == "last_slot"
                    && why["text"].as_str().unwrap().contains("(keep_last_slot)")
            });
            assert!(waiting(&instance)["text"].as_str().unwrap().contains("one connection"));
        } else {
            eventually("both slots are used", Duration::from_secs(20), || {
                waiting(&instance)["text"]
                    .as_str()
                    .is_some_and(|text| text.contains("2 connections"))
            });
            let why = waiting(&instance);
            assert_ne!(why["limit"], "last_slot", "{why}");
        }
        sink.resume();
        eventually("all are delivered", Duration::from_secs(20), || instance.queue().is_empty());
    }
}

#[test]
fn why_says_that_the_route_would_be_another_one_now() {
    let sink = Sink::start();
    sink.answer("RCPT TO:<b@one.test>", "450 4.2.0 later");
    let instance = Instance::new(Settings::standalone().stores(sink.port));
    let running = instance.start();
    send(&instance, "b@one.test");
    eventually("it waits for its time", Duration::from_secs(20), || {
        let why = why(&instance, "one.test");
        why["waits_for"] == "due"
    });
    assert!(!text_of(&instance, "one.test").contains("another one"), "nothing has changed");
    drop(running);
    let file = instance.path("relais.ron");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("one.test@[127.0.0.1]", "one.test@[127.0.0.3]")).unwrap();
    let _running = instance.start();
    let text = text_of(&instance, "one.test");
    assert!(
        text.contains("The route of b@one.test would be another one now: by stores to"),
        "{text}"
    );
    assert!(text.contains("127.0.0.3"), "{text}");
}

/// An engine whose mail waits in the channel `stores`, one of program Local that was of Lmtp before.
fn of_another_program() -> (Instance, Running) {
    let instance = Instance::new(Settings::standalone().stores(relais_tests::free_port()));
    let mut running = instance.start();
    send(&instance, "b@one.test");
    running.terminate();
    running.wait(Duration::from_secs(20));
    // Mail that a way leads to the channel is there.
    let file = instance.path("relais.ron");
    let text = fs::read_to_string(&file).unwrap();
    let other = "stores-daemon\", program: Local";
    fs::write(&file, text.replace("stores-daemon\", program: Lmtp", other)).unwrap();
    let running = instance.start();
    (instance, running)
}

#[test]
fn why_says_of_a_local_channel_that_it_has_no_mailboxes() {
    let (instance, _running) = of_another_program();
    let said = || text_of(&instance, "one.test");
    let id = instance.queue()[0]["id"].as_str().expect("an id").to_owned();
    instance.json("queue", &["retry", &id]);
    eventually("it was tried", Duration::from_secs(20), || {
        said().contains("the configuration has no UNIX mailboxes (native) any more")
    });
}

fn send(instance: &Instance, to: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &[to], &message("m", 500)).expect(250);
}

fn text_of(instance: &Instance, domain: &str) -> String {
    why(instance, domain)["text"].as_str().unwrap_or_default().to_owned()
}

/// Of the only entry whose host or recipients name this domain; nothing when it is gone.
fn why(instance: &Instance, domain: &str) -> Value {
    let queue = instance.queue();
    let hosts = [("one.test", "127.0.0.1"), ("two.test", "127.0.0.2")];
    let host = hosts.iter().find(|(name, _)| *name == domain).map(|(_, host)| *host);
    let is = |entry: &&Value| {
        host.is_none_or(|host| entry["host"].as_str().is_some_and(|its| its.contains(host)))
    };
    queue.iter().find(is).map_or(Value::Null, |entry| ask(instance, entry))
}

/// Of an entry that is ready.
fn waiting(instance: &Instance) -> Value {
    let queue = instance.queue();
    let ready = queue.iter().find(|entry| entry["state"] == "ready");
    ready.map_or(Value::Null, |entry| ask(instance, entry))
}

fn ask(instance: &Instance, entry: &Value) -> Value {
    let output = instance.relais("queue", &["why", entry["id"].as_str().unwrap(), "--json"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    all[0].clone()
}
