//! Starting, stopping, and what an operator sees in between.

use std::{
    fs,
    io::Read,
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Instance, Load, Settings, Sink, eventually, fetch, free_port, message,
};

#[test]
fn it_is_ready_within_a_second_and_says_where_it_listens() {
    let instance = Instance::new(Settings::standalone());
    let start = Instant::now();
    let _running = instance.start();
    let took = start.elapsed();
    println!("ready after {took:?}");
    assert!(took < Duration::from_secs(1), "ready only after {took:?}");

    let log = instance.log();
    let Settings { smtp, lmtp, admin, .. } = instance.settings;
    for port in [smtp, lmtp, admin] {
        assert!(log.contains(&port.to_string()), "port {port} is not named in:\n{log}");
    }
    assert!(log.contains("alice@relais.example"), "no line to try in:\n{log}");
}

#[test]
fn sigterm_lets_a_message_in_the_middle_of_data_finish() {
    let instance = Instance::new(Settings::standalone());
    let mut running = instance.start();
    let content = message("half", 2000);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.begin("a@sender.test", &["alice@relais.example"]);
    client.send(&content[..1000]).unwrap();

    running.terminate();
    eventually("new connections are refused", Duration::from_secs(5), || {
        TcpStream::connect(("127.0.0.1", instance.settings.smtp)).is_err()
            || Dialogue::connect(instance.settings.smtp).is_ok_and(|(_, hello)| hello.code == 421)
    });
    assert!(!instance.is_ready(), "/readyz says 200 while draining");
    client.finish(&content[1000..]).expect(250);
    let (status, took) = running.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    println!("ended {took:?} after the last dot");

    let _running = instance.start();
    eventually("the message", Duration::from_secs(10), || {
        relais_tests::mailbox(&instance.store(), "relais.example", "alice").len() == 1
    });
}

#[test]
fn an_idle_engine_ends_at_once_on_sigint_and_on_stop() {
    let instance = Instance::new(Settings::standalone());
    let mut running = instance.start();
    let _idle = Dialogue::open(instance.settings.smtp);
    running.hang_up();
    eventually("it reads its file again", Duration::from_secs(10), || {
        instance.log().contains("the file was read again and is in force")
    });
    assert!(instance.is_ready(), "SIGHUP ends nothing");
    let reloads = || -> Vec<_> {
        let orders = instance.json("audit", &[]).into_iter();
        let reloads = orders.filter(|order| order["command"] == "reload");
        reloads.map(|order| order["end"]["result"].as_str().map(str::to_owned)).collect()
    };
    let is_done = || reloads() == [Some("done".to_owned())];
    eventually("the audit file has what came of it", Duration::from_secs(10), is_done);
    let file = instance.path("relais.ron");
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(&file, "(no: such)").expect("a file with a mistake");
    running.hang_up();
    let is_refused = || reloads().get(1) == Some(&Some("refused".to_owned()));
    eventually("the audit file says that it is refused", Duration::from_secs(10), is_refused);
    fs::write(&file, text).expect("the file as before");
    running.interrupt();
    let (status, took) = running.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "SIGINT took {took:?}");

    let mut running = instance.start();
    assert!(instance.relais("stop", &[]).status.success());
    let (status, took) = running.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "stop took {took:?}");
    assert_eq!(instance.relais("status", &[]).status.code(), Some(1), "nothing runs any more");
}

#[test]
fn the_queue_can_be_listed_shown_and_summed_up() {
    let nobody = free_port();
    let instance = Instance::new(Settings::standalone().deliver_to(nobody));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let sent = message("listed", 3000);
    client.message("a@sender.test", &["alice@relais.example"], &sent).expect(250);

    eventually("a first attempt", Duration::from_secs(10), || {
        instance.queue().first().is_some_and(|entry| entry["attempts"] != 0)
    });
    let entries = instance.queue();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    assert_eq!(entry["channel"], "tcp_lmtpcs", "{entry}");
    assert_eq!(entry["sender"], "a@sender.test", "{entry}");
    assert_eq!(entry["state"], "delayed", "{entry}");
    assert!(entry["size"].as_u64().is_some_and(|size| size >= 3000), "{entry}");
    for key in ["id", "host", "received", "due"] {
        assert!(entry.get(key).is_some_and(|value| !value.is_null()), "{key} in {entry}");
    }
    let recipient = &entry["recipients"][0];
    assert!(recipient["address"].as_str().is_some_and(|a| a.contains("alice")), "{entry}");
    for key in ["state", "last_reply"] {
        assert!(recipient.get(key).is_some(), "{key} in {entry}");
    }

    let id = entry["id"].as_str().expect("an id");
    let shown = instance.relais("queue", &["show", id]);
    assert!(shown.status.success(), "{shown:?}");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("alice"), "{shown:?}");
    assert_eq!(instance.json("queue", &["show", id])[0]["id"], *id);
    assert_eq!(instance.relais("queue", &["show", "0000000000000"]).status.code(), Some(1));
    let summary = instance.relais("queue", &["summary"]);
    assert!(String::from_utf8_lossy(&summary.stdout).contains("tcp_lmtpcs"), "{summary:?}");
    assert!(!instance.json("queue", &["summary"]).is_empty());
}

#[test]
fn counters_and_status_tell_what_has_happened() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    for n in 0..3 {
        let content = message(&format!("counted-{n}"), 1000);
        client.message("a@sender.test", &["alice@relais.example"], &content).expect(250);
    }
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<nobody@relais.example>").expect_start("550 5.1.1");

    let counters = || instance.json("counters", &[]).remove(0);
    eventually("three delivered", Duration::from_secs(10), || {
        counters()["tcp_lmtpcs"]["delivered"]["messages"] == 3
    });
    let counters = counters();
    for event in ["messages", "recipients", "bytes"] {
        assert!(counters["tcp_local"]["received"][event].is_u64(), "{event}: {counters}");
    }
    assert_eq!(counters["tcp_local"]["submitted"]["messages"], 3, "{counters}");
    assert_eq!(counters["tcp_local"]["rejected"]["messages"], 1, "{counters}");
    assert_eq!(counters["tcp_lmtpcs"]["received"]["messages"], 3, "{counters}");
    assert_eq!(counters["tcp_lmtpcs"]["stored"]["messages"], 0, "nothing is left: {counters}");

    let status = instance.json("status", &[]).remove(0);
    let names = |key: &str| -> Vec<_> {
        let list = status[key].as_array().unwrap_or_else(|| panic!("{key}: {status}"));
        list.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert!(names("services").contains(&"SMTP".to_owned()), "{status}");
    assert!(status["services"][0]["workers"].is_array(), "{status}");
    assert!(names("pools").contains(&"SMTP_POOL".to_owned()), "{status}");
    for key in ["job_limit", "running"] {
        assert!(status["pools"][0][key].is_u64(), "{key}: {status}");
    }
    assert!(status["channels"].is_array(), "{status}");
    for key in ["tracked", "stored", "max_messages"] {
        assert!(status["queue"][key].is_u64(), "{key}: {status}");
    }
    for (command, word) in [("status", "SMTP_POOL"), ("counters", "tcp_lmtpcs")] {
        let output = instance.relais(command, &[]);
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{output:?}");
    }
}

#[test]
fn the_metrics_page_has_every_metric_and_can_be_parsed() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], &message("m", 500)).expect(250);
    eventually("one delivered", Duration::from_secs(10), || {
        instance.metric("relais_delivery_results_total") >= 1.0
    });

    let page = fetch(instance.settings.admin, "/metrics").unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.ends_with("# EOF\n"), "a page that is whole ends with # EOF");
    for name in METRICS {
        assert!(declares(&page.body, name), "relais_{name} is missing from:\n{}", page.body);
    }
    for line in page.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(name.starts_with("relais_"), "{line}");
        assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    for path in ["/healthz", "/readyz", "/", "/api/v1/status"] {
        assert_eq!(fetch(instance.settings.admin, path).unwrap().status, 200, "{path}");
    }
}

#[test]
fn the_admin_socket_is_for_its_owner_only_and_tcp_cannot_stop_the_engine() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let instance = Instance::new(Settings::standalone());
    let mut running = instance.start();
    let socket = fs::metadata(instance.data().join("admin.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    let mut stream = TcpStream::connect(("127.0.0.1", instance.settings.admin)).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"POST /api/v1/stop HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 4") || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(running.exited().is_none());
}

/// The index is disposable: without it, or with rubbish in it, the queue is the same.
#[test]
fn a_lost_or_damaged_index_is_rebuilt_from_the_spool() {
    const MESSAGES: usize = 200;
    let port = free_port();
    let settings = Settings::standalone().deliver_to(port).channel("tcp_lmtpcs", RETRY_SOON);
    let instance = Instance::new(settings);
    let running = instance.start();
    let load = Load::new(instance.settings.smtp, "alice@relais.example", 2048);
    load.run(5, MESSAGES);
    assert_eq!(load.acknowledged().len(), MESSAGES);
    running.kill();

    fs::remove_dir_all(index(instance.data())).expect("the index");
    let mut running = instance.start();
    eventually("the whole queue", Duration::from_secs(10), || instance.queue().len() == MESSAGES);
    running.terminate();
    running.wait(Duration::from_secs(10));

    let mut damaged = 0;
    for file in fs::read_dir(index(instance.data())).unwrap().map(|f| f.unwrap().path()) {
        if file.is_file() {
            let length = fs::metadata(&file).unwrap().len();
            fs::write(&file, vec![0xa5; length.min(1 << 20) as usize]).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "nothing to damage in {}", index(instance.data()).display());
    let _running = instance.start();
    // An entry that is tried while it is listed is listed in both of its places.
    eventually("the whole queue after the damage", Duration::from_secs(10), || {
        instance.queue().len() == MESSAGES
    });

    let sink = Sink::on(port);
    eventually("all delivered", Duration::from_secs(60), || {
        sink.missing(&load.acknowledged()).is_empty()
    });
    assert_eq!(sink.repeated(), Vec::<String>::new());
}

/// A metric is there when it has a sample, be it 0; a histogram shows its number of observations.
fn declares(page: &str, name: &str) -> bool {
    let starts = ["{", " ", "_count{", "_count "].map(|end| format!("relais_{name}{end}"));
    page.lines().any(|line| starts.iter().any(|start| line.starts_with(start)))
}

/// The folder below `data` that sled keeps: the one with its file `db`.
fn index(data: &Path) -> PathBuf {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        if folder.join("db").is_file() {
            return folder;
        }
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        folders.extend(entries.filter(|path| path.is_dir()));
    }
    panic!("no sled folder below {}", data.display());
}

const RETRY_SOON: &str = "backoff: [\"1s\"]";

/// Every name that is promised.
const METRICS: [&str; 24] = [
    "actor_messages_total",
    "actor_busy_seconds_total",
    "actor_mailbox_depth",
    "actor_restarts_total",
    "dispatcher_workers",
    "dispatcher_connections",
    "dispatcher_connections_total",
    "channel_messages_total",
    "channel_queue_messages",
    "channel_oldest_seconds",
    "pool_jobs",
    "pool_job_limit",
    "job_waiting",
    "queue_tracked",
    "queue_stored",
    "queue_max_messages",
    "queue_scans_total",
    "spool_commit_seconds",
    "spool_batch_messages",
    "spool_bytes",
    "delivery_seconds",
    "delivery_results_total",
    "directory_lookups_total",
    "directory_cache_hits_total",
];
