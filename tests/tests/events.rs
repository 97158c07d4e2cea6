//! Events of mail are told to others: in a file, and by webhooks, which are never in the way of mail.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use relais_tests::{
    Authority, Dialogue, Instance, Running, Settings, Sink, WebhookReceiver, eventually,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// One message; its queue id.
#[track_caller]
fn send(instance: &Instance, from: &str, to: &[&str], number: u32) -> String {
    let content =
        format!("From: {from}\r\nMessage-ID: <{number}.x@sender.test>\r\nSubject: x\r\n\r\nx\r\n");
    let mut client = Dialogue::open(instance.settings.smtp);
    let reply = client.message(from, to, content.as_bytes());
    reply.expect(250).text.trim_end().rsplit(' ').next().expect("a queue id").to_owned()
}

/// The lines of the file of events, as far as they are whole.
fn lines(instance: &Instance) -> Vec<Value> {
    let text = fs::read_to_string(instance.data().join("events.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str, to: &str) -> Option<&'a Value> {
    events.iter().find(|event| {
        let named = &event["recipients"];
        let is_to = named.as_array().is_some_and(|its| its.iter().any(|one| one["address"] == to));
        event["kind"] == kind && (to.is_empty() || is_to)
    })
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["event"].as_str().expect("an id").to_owned()).collect()
}

/// A file that nobody else may read.
fn closed(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
}

fn hook(port: u16, fields: &str) -> String {
    format!("(url: \"http://127.0.0.1:{port}/mail\", name: \"hook\", wait: \"50ms\", {fields})")
}

fn status(instance: &Instance) -> Value {
    let all = instance.json("status", &[])[0]["webhooks"].clone();
    let of_hooks = all.as_array().and_then(|all| all.iter().find(|its| its["name"] != "traces"));
    of_hooks.cloned().unwrap_or_default()
}

/// Puts another text into the place of one in the file of a running engine.
#[track_caller]
fn reload(instance: &Instance, from: &str, to: &str) {
    let file = instance.path("relais.ron");
    let text = fs::read_to_string(&file).expect("a configuration");
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(&file, text.replace(from, to)).expect("room");
    let output = instance.relais("reload", &[]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn each_kind_is_told_with_its_fields_in_the_file_and_signed_to_a_webhook() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let receiver = WebhookReceiver::start_tls(&authority.sign("hook", &["localhost"], 2090));
    let secrets = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n";
    receiver.trust(secrets);
    let collector = WebhookReceiver::start();
    let sink = Sink::start();
    sink.answer(". RCPT TO:<alice", "250 2.0.0 Ok: queued as 4XYZabc123");
    sink.answer("RCPT TO:<bob", "450 4.2.1 mailbox busy");
    sink.answer("RCPT TO:<team", "550 5.1.1 no such user");
    let (token, secret) = (folder.path().join("token"), folder.path().join("secret"));
    closed(&token, "0123456789abcdef\n");
    closed(&secret, secrets);
    let kinds = "kinds: [Delivered, Deferred, Failed, Held, TlsFailure, Accepted, Refused, Released, Deleted]";
    let events = format!(
        "events: (file: (path: \"events.jsonl\", {kinds}), webhook: (url: \"https://localhost:{}/mail?x=1\", \
         {kinds}, wait: \"50ms\", token_file: {token:?}, secret_file: {secret:?}, ca: {:?}), \
         traces: \"http://127.0.0.1:{}/v1/traces\")",
        receiver.port,
        authority.file(),
        collector.port
    );
    let settings = Settings::standalone().deliver_to(sink.port).section(&events);
    let instance = Instance::new(settings);
    let running = instance.start();
    let delivered = send(&instance, "ann@sender.test", &["alice@relais.example"], 1);
    send(&instance, "ann@sender.test", &["bob@relais.example"], 2);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("EHLO a.test");
    client.ask("MAIL FROM:<ann@sender.test>");
    client.ask("RCPT TO:<nobody@relais.example>").expect(550);
    eventually("delivered and deferred", PATIENCE, || {
        let events = lines(&instance);
        of_kind(&events, "delivered", "alice@relais.example").is_some()
            && of_kind(&events, "deferred", "bob@relais.example").is_some()
    });
    let waits = instance.queue()[0]["id"].as_str().expect("an id").to_owned();
    for command in ["hold", "release", "delete"] {
        let mut order = instance.command("queue", &[command, &waits, "--reason", "look: at it"]);
        let output = order.env("USER", "ann").env_remove("SUDO_USER").output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }
    eventually("the webhook has what the file has", PATIENCE, || {
        let events = lines(&instance);
        of_kind(&events, "deleted", "").is_some() && ids(&events) == ids(&receiver.events())
    });
    let events = lines(&instance);
    assert_eq!(events, receiver.events());
    check_fields(&events, &delivered, &waits, sink.port);
    check_posts(&receiver);
    check_spans(&collector, &delivered);
    let shown = status(&instance);
    assert_eq!(
        (&shown["name"], &shown["waiting"], &shown["trouble"]),
        (&"localhost".into(), &0.into(), &Value::Null)
    );
    assert!(instance.metric("relais_events_total{kind=\"delivered\"}") >= 1.0);
    assert_eq!(mode(&instance.data().join("events.jsonl")), 0o600);
    assert_eq!(mode(&instance.data().join("events/localhost")), 0o700);
    drop(running);
    assert!(!instance.log().contains("0123456789abcdef"), "the token is in the log");
}

fn check_fields(events: &[Value], delivered: &str, waits: &str, port: u16) {
    let its = of_kind(events, "delivered", "alice@relais.example").expect("it");
    for (field, want) in [
        ("id", Value::from(delivered)),
        ("node", "localhost".into()),
        ("from", "ann@sender.test".into()),
        ("channel", "tcp_lmtpcs".into()),
        ("source_channel", "tcp_local".into()),
        ("attempts", 1.into()),
        ("peer_id", "4XYZabc123".into()),
        ("message_id", "<1.x@sender.test>".into()),
        ("operator", Value::Null),
    ] {
        assert_eq!(its[field], want, "{field}: {its}");
    }
    assert_eq!((&its["reply"]["code"], &its["reply"]["enhanced"]), (&250.into(), &"2.0.0".into()));
    assert_eq!(its["reply"]["text"], "Ok: queued as 4XYZabc123");
    assert!(its["peer"].as_str().is_some_and(|peer| peer.contains(&port.to_string())), "{its}");
    assert!(its["size"].as_u64() > Some(80) && its["delay"].is_f64(), "{its}");
    assert!(its["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{its}");
    let its = of_kind(events, "deferred", "bob@relais.example").expect("it");
    assert_eq!(
        (&its["reply"]["code"], &its["message_id"]),
        (&450.into(), &"<2.x@sender.test>".into())
    );
    let its = of_kind(events, "refused", "nobody@relais.example").expect("it");
    assert_eq!((&its["reply"]["code"], &its["attempts"]), (&550.into(), &0.into()), "{its}");
    for kind in ["held", "released", "deleted"] {
        let its = of_kind(events, kind, "bob@relais.example").unwrap_or_else(|| panic!("{kind}"));
        assert_eq!((&its["id"], &its["from"]), (&waits.into(), &"ann@sender.test".into()));
        assert_eq!(its["operator"], "ann", "{its}");
        assert!(its["reason"].as_str().is_some_and(|its| its.ends_with(": look: at it")), "{its}");
    }
}

/// The spans of a message that was delivered: its trace, with an attempt below its acceptance.
fn check_spans(collector: &WebhookReceiver, delivered: &str) {
    let named = |span: &Value, key: &str| {
        let all = span["attributes"].as_array().cloned().unwrap_or_default();
        let of_key = all.into_iter().find(|its| its["key"] == key);
        of_key.map(|its| its["value"]["stringValue"].clone()).unwrap_or_default()
    };
    let spans = || {
        let mut spans = Vec::new();
        for post in collector.posts() {
            assert_eq!(
                (&post["path"], &post["headers"]["webhook-id"]),
                (&"/v1/traces".into(), &Value::Null)
            );
            let of_post = &post["body"]["resourceSpans"][0]["scopeSpans"][0]["spans"];
            spans.extend(of_post.as_array().expect("a list").clone());
        }
        spans
    };
    let is_its = |span: &Value| named(span, "relais.queue_id") == delivered;
    eventually("traced", PATIENCE, || spans().iter().filter(|span| is_its(span)).count() == 2);
    let all = spans();
    let [root, attempt] = &all.iter().filter(|span| is_its(span)).collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert_eq!((&root["name"], &attempt["name"]), (&"accepted".into(), &"attempt".into()));
    assert_eq!(
        (&attempt["traceId"], &attempt["parentSpanId"]),
        (&root["traceId"], &root["spanId"])
    );
    assert_eq!(named(attempt, "relais.peer_id"), "4XYZabc123");
    let stages: Vec<_> =
        all.iter().filter(|its| its["parentSpanId"] == attempt["spanId"]).collect();
    assert!(stages.iter().any(|its| its["name"] == "dialogue"), "{stages:?}");
    assert_eq!(stages.last().expect("one")["endTimeUnixNano"], attempt["endTimeUnixNano"]);
}

fn check_posts(receiver: &WebhookReceiver) {
    let posts = receiver.posts();
    for post in &posts {
        let headers = &post["headers"];
        assert_eq!(post["signed"], true, "{post}");
        assert_eq!(headers["authorization"], "Bearer 0123456789abcdef");
        assert_eq!(
            (&post["path"], &headers["content-type"]),
            (&"/mail?x=1".into(), &"application/json".into())
        );
        let port = receiver.port;
        assert_eq!(headers["host"], format!("localhost:{port}"));
        assert!(!headers["webhook-id"].as_str().expect("an id").contains('.'));
    }
    assert!(posts.iter().all(|post| post["connection"] == posts[0]["connection"]), "one is kept");
}

/// Recipients who failed, each for a cause of its own, and TLS that failed.
fn check_failures(events: &[Value]) {
    let its = of_kind(events, "failed", "bob@relais.example").expect("it");
    assert_eq!((&its["cause"], &its["reply"]["code"]), (&"refused".into(), &550.into()), "{its}");
    for (to, cause, reply) in [
        ("x@remote.test", "expired", "waited for too long"),
        ("y@unknown.test", "returned", "they know"),
    ] {
        let its = of_kind(events, "failed", to).expect("it");
        assert_eq!(its["cause"], cause, "{its}");
        assert!(its.to_string().contains(reply), "{its}");
    }
    let tls = |field: &str, value: &str| {
        events.iter().find(|its| its["kind"] == "tls_failure" && its[field] == value)
    };
    for (channel, cause) in
        [("tcp_out", "starttls-not-supported"), ("tcp_unknown", "certificate-not-trusted")]
    {
        let its = tls("channel", channel).expect("the server's");
        assert_eq!(its["cause"], cause, "{its}");
        assert!(its["peer"].as_str().is_some_and(|its| its.contains("127.0.0.1")), "{its}");
    }
    for cause in ["not_tls", "certificate_refused"] {
        let its = tls("cause", cause).expect("the client's");
        assert_eq!((&its["service"], &its["peer"]), (&"SMTP".into(), &"127.0.0.1".into()), "{its}");
    }
}

fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn failures_holds_and_tls_that_fails_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let (certificate, key) = authority.sign("host", &["relais.example"], 2090);
    let (sink, plain) = (Sink::start(), Sink::start());
    sink.answer("RCPT TO:<bob", "550 5.1.1 no such user");
    let place = format!("inet:127.0.0.1:{}", plain.port);
    let settings = Settings::standalone();
    // Its own certificate is of an authority that nobody knows.
    let itself = format!("inet:127.0.0.1:{}", settings.smtp);
    let strict = "tls: (client: Must), backoff: [\"1s\"], notices: [\"2s\"]";
    let settings = settings
        .deliver_to(sink.port)
        .smtp_outs(&[
            ("remote.test", "tcp_out", &place, strict),
            ("unknown.test", "tcp_unknown", &itself, "tls: (client: Must)"),
        ])
        .channel("tcp_local", "tls: (server: May)")
        .section(&format!("tls: (certificate: {certificate:?}, key: {key:?})"))
        .section("max_received_lines: 2, events: (file: \"events.jsonl\")");
    let instance = Instance::new(settings);
    let _running = instance.start();
    send(&instance, "ann@sender.test", &["bob@relais.example"], 1);
    send(&instance, "ann@sender.test", &["x@remote.test"], 2);
    send(&instance, "ann@sender.test", &["y@unknown.test"], 4);
    let circle = format!("{}Subject: x\r\n\r\nx\r\n", "Received: from a by b\r\n".repeat(3));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("ann@sender.test", &["alice@relais.example"], circle.as_bytes()).expect(250);
    let order = ["order", "add", "hold", "--to", "alice@relais.example", "--reason", "a storm"];
    assert!(instance.relais(order[0], &order[1..]).status.success());
    send(&instance, "ann@sender.test", &["alice@relais.example"], 3);
    for _ in 0..3 {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("EHLO a.test");
        client.ask("STARTTLS").expect(220);
        client.send(b"this is no TLS\r\n").expect("sent");
        client.is_closed();
    }
    eventually("each is told", PATIENCE, || {
        let events = lines(&instance);
        let count = |kind: &str| events.iter().filter(|its| its["kind"] == kind).count();
        count("failed") == 2 && count("tls_failure") >= 3 && count("held") == 2
    });
    let returned = ["queue", "return", "--to", "y@unknown.test", "--reason", "they know"];
    assert!(instance.relais(returned[0], &returned[1..]).status.success());
    eventually("what was returned is told", PATIENCE, || {
        of_kind(&lines(&instance), "failed", "y@unknown.test").is_some()
    });
    let events = lines(&instance);
    check_failures(&events);
    let held: Vec<_> = events.iter().filter(|its| its["kind"] == "held").collect();
    assert!(held[0]["reason"].as_str().is_some_and(|its| its.contains("Received")), "{held:?}");
    assert_eq!(held[0]["operator"], Value::Null, "{held:?}");
    assert_eq!(
        (&held[1]["order"], &held[1]["operator"]),
        (&1.into(), &whoami().into()),
        "{held:?}"
    );
    assert_eq!(held[1]["recipients"][0]["address"], "alice@relais.example", "{held:?}");
}

#[test]
fn whatever_a_receiver_does_mail_goes_on_and_each_event_comes_in_order() {
    let sink = Sink::start();
    let mut receiver = WebhookReceiver::start();
    receiver.down();
    let hook = hook(receiver.port, "batch: 4, timeout: \"1s\"");
    let events = format!("events: (file: \"events.jsonl\", webhook: {hook})");
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port).section(&events));
    let running = instance.start();
    let mut number = 0;
    let mut send_some = |count: u32| {
        for _ in 0..count {
            number += 1;
            send(&instance, "ann@sender.test", &["alice@relais.example"], number);
        }
        let all = number as usize;
        eventually("the file has them", PATIENCE, || lines(&instance).len() >= all);
    };
    // Nobody listens, and the engine is killed.
    send_some(6);
    eventually("it says so", PATIENCE, || {
        status(&instance)["trouble"].as_str().is_some_and(|why| why.contains("refused"))
    });
    status_tells_of_six(&instance);
    running.kill();
    let running = instance.start();
    receiver.up();
    reload(&instance, "batch: 4", "batch: 5");
    eventually("all are there", PATIENCE, || receiver.events().len() == 6);
    assert_eq!(ids(&receiver.events()), ids(&lines(&instance)));

    // It wants to be left alone for a while.
    receiver.answer("429 Retry-After: 2");
    send_some(1);
    eventually("it was asked", PATIENCE, || {
        receiver.posts().iter().any(|its| its["status"] == 429)
    });
    receiver.answer("200");
    let asked = Instant::now();
    eventually("it is asked again", PATIENCE, || receiver.events().len() == 7);
    assert!(asked.elapsed() > Duration::from_millis(1_500), "{:?}", asked.elapsed());
    the_last_two_are_one(&receiver);
    eventually("all is well", PATIENCE, || status(&instance)["trouble"].is_null());

    // It fails, sends us elsewhere, or hangs.
    for (batch, mode, said) in [
        (5, "500", "500 Internal Server Error: no:  [31mnot so"),
        (6, "302 Location: http://127.0.0.1:1/", "302 Found: redirects are not followed"),
        (7, "hang", "no answer within 1s"),
    ] {
        receiver.answer(mode);
        let before = Instant::now();
        send_some(5);
        assert!(
            before.elapsed() < Duration::from_secs(5),
            "{mode}: mail waits: {:?}",
            before.elapsed()
        );
        eventually(mode, PATIENCE, || status(&instance)["trouble"].as_str() == Some(said));
        receiver.answer("200");
        let (from, to) = (format!("batch: {batch}"), format!("batch: {}", batch + 1));
        reload(&instance, &from, &to);
        let all = lines(&instance).len();
        eventually(mode, PATIENCE, || receiver.events().len() >= all);
        assert_eq!(ids(&receiver.events()), ids(&lines(&instance)), "{mode}");
    }

    // A gibibyte is no answer, but its status is.
    receiver.answer("flood");
    send_some(2);
    eventually("taken", PATIENCE, || status(&instance)["waiting"] == 0);
    assert!(running_memory(&instance) < 4e8, "the answer is read");
    receiver.answer("200");
    assert!(receiver.posts().iter().all(|post| post["body"].as_array().unwrap().len() <= 8));
    files_are_lost(&instance, &receiver, running);
}

/// The folder of what waits is removed, and a FIFO that nobody reads takes the place of the file.
fn files_are_lost(instance: &Instance, receiver: &WebhookReceiver, mut running: Running) {
    let (file, folder) = (instance.data().join("events.jsonl"), instance.data().join("events"));
    let all = receiver.events().len();
    fs::remove_dir_all(&folder).expect("it is there");
    eventually("it is there again", PATIENCE, || {
        folder.read_dir().is_ok_and(|its| its.count() == 1)
    });
    let fifo = file.with_extension("fifo");
    make_fifo(&fifo);
    fs::rename(fifo, &file).expect("it takes its place");
    let said = format!("{} is not written: it is no regular file", file.display());
    eventually("it says so", PATIENCE, || {
        String::from_utf8_lossy(&instance.relais("status", &[]).stdout).contains(&said)
    });
    let warned = instance.relais("check", &[]);
    let warned = String::from_utf8_lossy(&warned.stdout).into_owned();
    assert!(warned.contains("it is no regular file: events are lost"), "{warned}");
    send(instance, "ann@sender.test", &["alice@relais.example"], 90);
    eventually("it is posted", PATIENCE, || receiver.events().len() > all);
    fs::remove_dir_all(&folder).expect("it is there");
    fs::write(&folder, "in its place").expect("it is written");
    let why = || status(instance)["trouble"].as_str().unwrap_or_default().to_owned();
    eventually("it says so", PATIENCE, || why().starts_with("DATA/events cannot be written"));
    fs::remove_file(&folder).expect("it is there");
    eventually("all is well", PATIENCE, || why().is_empty());
    send(instance, "ann@sender.test", &["alice@relais.example"], 91);
    eventually("it is posted", PATIENCE, || receiver.events().len() > all + 1);
    // A thread of events waits for ever: the second signal stops the engine all the same.
    let hook = folder.read_dir().unwrap().next().expect("its folder").unwrap().path();
    make_fifo(&hook.join("taken.new"));
    send(instance, "ann@sender.test", &["alice@relais.example"], 92);
    eventually("it is posted", PATIENCE, || receiver.events().len() > all + 2);
    running.terminate();
    std::thread::sleep(Duration::from_secs(2));
    assert!(running.exited().is_none(), "it waits for a disk, ten seconds at most");
    running.terminate();
    let (ended, took) = running.wait(Duration::from_secs(8));
    assert!(ended.success() && took < Duration::from_secs(4), "{ended} after {took:?}");
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|made| made.success()));
}

/// A post that is made again is the same.
fn the_last_two_are_one(receiver: &WebhookReceiver) {
    let posts = receiver.posts();
    let [first, again] = &posts[posts.len() - 2..] else { panic!("{posts:?}") };
    assert_eq!(first["body"], again["body"]);
    assert_eq!(first["headers"]["webhook-id"], again["headers"]["webhook-id"]);
}

fn status_tells_of_six(instance: &Instance) {
    assert_eq!(status(instance)["waiting"], 6);
    let shown = instance.relais("status", &[]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("webhook hook: 6 events wait, "), "{shown}");
}

fn running_memory(instance: &Instance) -> f64 {
    instance.metric("relais_process_resident_memory_bytes")
}

#[test]
fn an_event_that_is_refused_is_lost_alone_and_the_oldest_go_where_too_many_wait() {
    let sink = Sink::start();
    let receiver = WebhookReceiver::start();
    let hook = hook(receiver.port, "batch: 500, size: \"1MiB\", kinds: [Delivered, Accepted]");
    let events = format!("events: (webhook: [{hook}])");
    let place = format!("inet:127.0.0.1:{}", sink.port);
    let settings = Settings::standalone().smtp_out(&place, "maxjobs: 4").section(&events);
    let instance = Instance::new(settings);
    let running = instance.start();
    receiver.answer("poison <2.x@sender.test>");
    for number in 1..=3 {
        send(&instance, "ann@sender.test", &["bob@remote.test"], number);
    }
    let lost = |why: &str| {
        instance.metric(&format!("relais_events_lost_total{{to=\"webhook hook\",why=\"{why}\"}}"))
    };
    eventually("all but those of one are there", PATIENCE, || {
        lost("refused") > 1.5 && receiver.events().len() == 4
    });
    let names: Vec<_> = receiver.events().iter().map(|its| its["message_id"].clone()).collect();
    assert!(!names.contains(&"<2.x@sender.test>".into()), "{names:?}");
    eventually("told", PATIENCE, || {
        instance.log().contains("the webhook refuses an event, which is lost")
    });

    receiver.answer("500");
    let long = "x".repeat(50);
    let to: Vec<_> = (0..50).map(|n| format!("{long}{n}@remote.test")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let mut number = 3;
    eventually("the oldest went", Duration::from_secs(60), || {
        number += 1;
        send(&instance, "ann@sender.test", &to, number);
        lost("size") > 0.0
    });
    let octets = instance.metric("relais_webhook_waiting_bytes{webhook=\"hook\"}");
    assert!(octets <= f64::from(1 << 20), "{octets}");
    let folder = instance.data().join("events/hook");
    let on_disk: u64 = fs::read_dir(&folder)
        .expect("a folder")
        .map(|file| file.expect("a file").metadata().expect("its size").len())
        .sum();
    assert!(on_disk <= (1 << 20) + 100, "{on_disk}");
    let newest = send(&instance, "ann@sender.test", &["bob@remote.test"], 9_999);
    receiver.answer("200");
    reload(&instance, "batch: 500", "batch: 499");
    eventually("the newest is there", PATIENCE, || {
        receiver.events().iter().any(|its| its["kind"] == "delivered" && its["id"] == *newest)
    });
    let later = receiver.events().split_off(4);
    let numbers: Vec<u64> =
        ids(&later).iter().map(|id| id.rsplit('-').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");

    // Without it nothing is kept for it.
    reload(&instance, &format!("webhook: [{}]", hook.replace("batch: 500", "batch: 499")), "");
    eventually("removed", PATIENCE, || !folder.exists());
    assert_eq!(status(&instance), Value::Null);
    drop(running);
}
