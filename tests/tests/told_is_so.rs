//! Things that operators are told are so: readiness, metrics, the names under which they are
//! served.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    process::Command,
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Page, Settings, Sink, SmallDisk, eventually, fetch, message, needs,
    needs_root, one_delivered_and_one, run_with,
};

#[test]
fn promtool_finds_nothing_in_the_metrics_and_their_order_is_stable() {
    if !needs(&["promtool"]) {
        return;
    }
    let (_sink, instance, _running) = one_delivered_and_one("450 4.2.0 later");
    let page = fetch(instance.settings.admin, "/metrics").unwrap();
    assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
    assert_eq!(promtool(&page.body), "", "promtool check metrics");

    let series = |page: &Page| -> Vec<String> {
        let lines = page.body.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned()).collect()
    };
    let again = fetch(instance.settings.admin, "/metrics").unwrap();
    assert_eq!(series(&page), series(&again));

    let open = ask(
        instance.settings.admin,
        "GET /metrics HTTP/1.0\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n",
    );
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
    let head = ask(instance.settings.admin, "HEAD /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));

    for name in [
        "relais_build_info",
        "relais_spool_free_bytes",
        "relais_store_free_bytes",
        "relais_channel_job_limit",
        "relais_channel_thread_limit",
        "relais_pool_job_limit",
        "relais_process_open_fds",
        "relais_process_max_fds",
        "relais_process_resident_memory_bytes",
        "relais_process_start_time_seconds",
        "relais_process_threads",
    ] {
        assert!(instance.metric(name) > 0.0, "{name}");
    }
    assert_eq!(labelled(&instance, "relais_not_ready", ""), 0);
}

#[test]
fn workers_and_what_is_stored_are_the_same_in_status_and_metrics() {
    let sink = Sink::start();
    sink.pause();

    let settings = Settings::standalone()
        .deliver_to(sink.port)
        .dispatcher("min_conns: 1, max_conns: 1, min_procs: 1, max_procs: 20");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let sessions: Vec<_> = (0..5).map(|_| Dialogue::open(instance.settings.smtp)).collect();
    for _ in 0..3 {
        // The store of the sample has a port of its own, with workers of its own.
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@sender.test", &["alice@relais.example"], &message("m", 700)).expect(250);
    }
    eventually("both say the same", Duration::from_secs(20), || {
        let status = instance.json("status", &[]).remove(0);
        let workers: Vec<_> = status["services"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|service| service["workers"].as_array().unwrap().clone())
            .collect();
        let in_state = |state: &str| workers.iter().filter(|w| w["state"] == state).count() as u64;
        let full = labelled(&instance, "relais_dispatcher_workers", "state=\"full\"");
        let active = labelled(&instance, "relais_dispatcher_workers", "state=\"active\"");
        full > 0 && (full, active) == (in_state("full"), in_state("active"))
    });
    drop(sessions);
    let counters = instance.json("counters", &[]).remove(0);
    let stored = &counters["tcp_lmtpcs"]["stored"];
    assert_eq!(stored["messages"], 3);
    let gauge = |name: &str| labelled(&instance, name, "channel=\"tcp_lmtpcs\"");
    assert_eq!(gauge("relais_channel_stored_messages"), 3);
    let event = "channel=\"tcp_lmtpcs\",event=\"stored\"";
    assert_eq!(labelled(&instance, "relais_channel_messages_total", event), 3);
    assert_eq!(gauge("relais_channel_stored_bytes"), stored["bytes"].as_u64().unwrap());
    assert_eq!(labelled(&instance, "relais_queue_stored", ""), 3);
    sink.resume();
    eventually("nothing is stored", Duration::from_secs(20), || {
        gauge("relais_channel_stored_messages") == 0
            && instance.json("counters", &[])[0]["tcp_lmtpcs"]["stored"]["messages"] == 0
    });
}

#[test]
fn readyz_says_that_mail_is_refused_for_want_of_room() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let disk = SmallDisk::mounted("24m");
    let settings = Settings::standalone().section("spool: (min_free: \"8MiB\")");
    let instance = Instance::in_data(settings, &disk.path().join("data"));
    let running = instance.start();
    let admin = instance.settings.admin;
    assert_eq!(labelled(&instance, "relais_spool_refusing", ""), 0);
    let filler = disk.path().join("filler");
    // As much as there is room for.
    let _ = fs::write(&filler, vec![0; 24 << 20]);
    eventually("not ready", Duration::from_secs(10), || !instance.is_ready());
    let page = fetch(admin, "/readyz").unwrap();
    assert_eq!(page.status, 503);
    assert!(
        page.body.contains("new mail is refused: ") && page.body.contains("min_free"),
        "{page:?}"
    );
    assert_eq!(labelled(&instance, "relais_spool_refusing", ""), 1);
    assert_eq!(labelled(&instance, "relais_not_ready", "cause=\"room\""), 1);
    assert!(instance.metric("relais_spool_free_bytes") < 8.0 * 1024.0 * 1024.0);
    fs::remove_file(&filler).unwrap();
    eventually("ready again", Duration::from_secs(10), || instance.is_ready());
    assert_eq!(labelled(&instance, "relais_not_ready", ""), 0);
    drop(running);
}

#[test]
fn readyz_says_that_a_service_cannot_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lmtp.sock");
    let settings = Settings::standalone();
    let lmtp = settings.lmtp;
    let settings = settings.edit(
        &format!("interface_address: \"127.0.0.1\", ports: [{lmtp}]"),
        &format!("socket: {:?}", socket.display().to_string()),
    );
    let instance = Instance::new(settings);
    let _running = instance.start();
    fs::remove_file(&socket).unwrap();
    // The engine is ready a moment before its services look after their sockets.
    eventually("the socket is missed", Duration::from_secs(10), || !instance.is_ready());
    let page = fetch(instance.settings.admin, "/readyz").unwrap();
    assert_eq!(page.status, 503);
    assert!(page.body.contains("service ") && page.body.contains("lmtp.sock"), "{page:?}");
    let status = instance.json("status", &[]).remove(0);
    assert_eq!(status["not_ready"][0], page.body.trim_end(), "status says the same");
    // Somebody else's socket in its place is not ours.
    let _other = UnixListener::bind(&socket).unwrap();
    assert!(!instance.is_ready());
    assert_eq!(labelled(&instance, "relais_not_ready", "cause=\"service\""), 1);
}

/// A back end without a queue, rules and pools is an engine like any other.
#[test]
fn a_store_without_an_mta_answers_whatever_it_is_asked() {
    let instance = Instance::new(Settings::store());
    let mut running = instance.start();
    for path in ["/", "/metrics", "/healthz", "/api/v1/status", "/api/v1/limits", "/api/v1/queue"] {
        let page = fetch(instance.settings.admin, path).expect(path);
        assert_eq!(page.status, 200, "{path}: {page:?}");
    }
    let asked = [
        "status",
        "counters",
        "config",
        "set",
        "set tcp_lmtpss.maxjobs 3",
        "channel list",
        "channel stop tcp_lmtpss",
        "channel start tcp_lmtpss",
        "queue list",
        "queue summary",
        "queue retry --all --yes",
        "queue retry --host x.example",
        "queue why 1K8HVLIFS0000",
        "route alice@siroe.com",
    ];
    for command in asked {
        let mut words = command.split(' ');
        let first = words.next().expect("a command");
        let output = instance.relais(first, &words.collect::<Vec<_>>());
        assert!(running.exited().is_none(), "{command}: {}", instance.log());
        assert_ne!(output.status.code(), None, "{command}: {output:?}");
    }
    running.user_signals();
    let mut relay = Dialogue::connect(instance.settings.lmtp).expect("a connection").0;
    relay.ask("LHLO relay.siroe.com").expect(250);
    relay.message("a@siroe.com", &["alice"], &message("stored", 500)).expect(250);
    eventually("its state in the log", Duration::from_secs(20), || {
        instance.log().contains("state: engine")
    });
    assert!(running.exited().is_none(), "{}", instance.log());
}

#[test]
fn a_name_that_would_break_the_metrics_is_a_mistake() {
    for (from, to) in [("\"SMTP\":", "\"S\\\"MTP\":"), ("\"SMTP_POOL\"", "\"SMTP POOL\"")] {
        let instance = Instance::new(Settings::standalone().edit(from, to));
        let output = instance.relais("check", &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("is not a name"), "{text}");
    }
}

#[test]
fn the_endpoint_answers_only_under_names_that_it_knows() {
    let instance =
        Instance::new(Settings::standalone().edit("admin: (", "admin: (names: [\"relais.svc\"], "));
    let _running = instance.start();
    let admin = instance.settings.admin;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]", 200),
        ("relais.svc", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
    ] {
        for path in ["/api/v1/status", "/metrics", "/"] {
            let request = format!("GET {path} HTTP/1.0\r\nHost: {host}:{admin}\r\n\r\n");
            let page = ask(admin, &request);
            assert_eq!(page.status, status, "{host} {path}");
            assert_eq!(page.body.contains("admin.names"), status == 421, "{host}: {}", page.body);
        }
    }
    // The command line goes by the socket, where names mean nothing.
    assert!(instance.relais("status", &[]).status.success());
}

/// The sum of those samples of a metric whose line holds this.
fn labelled(instance: &Instance, name: &str, label: &str) -> u64 {
    let page = fetch(instance.settings.admin, "/metrics").unwrap();
    let of_name = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    };
    let lines = page.body.lines().filter(of_name);
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// The findings of promtool, and "" when there are none.
fn promtool(page: &str) -> String {
    let mut command = Command::new("promtool");
    let output = run_with(command.args(["check", "metrics"]), page.as_bytes());
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() { text } else { format!("{}: {text}", output.status) }
}

fn ask(port: u16, request: &str) -> Page {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Page { status, head: head.to_owned(), body: body.to_owned() }
}

#[test]
fn a_start_that_fails_half_way_ends_in_order() {
    for _ in 0..15 {
        let settings = Settings::standalone().edit("path: \"store\"", "path: \"/proc/store\"");
        let instance = Instance::new(settings);
        let mut running = instance.spawn();
        let (status, _) = running.wait(Duration::from_secs(30));
        let log = instance.log();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("relais: /proc/store: "), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn what_is_refused_counts_as_received_only_as_far_as_it_came() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    for (port, hello) in [(instance.settings.smtp, "EHLO"), (instance.settings.lmtp, "LHLO")] {
        let (mut client, _) = Dialogue::connect(port).unwrap();
        client.ask(&format!("{hello} client.test")).expect(250);
        client.ask("MAIL FROM:<a@sender.test> SIZE=99999999999").expect(552);
    }
    let counters = instance.json("counters", &[]).remove(0);
    let channels = counters.as_object().unwrap();
    let rejected = |field: &str| -> u64 {
        channels.values().filter_map(|channel| channel["rejected"][field].as_u64()).sum()
    };
    assert_eq!((rejected("messages"), rejected("bytes")), (2, 0), "{counters}");
}

#[test]
fn stopping_a_channel_says_what_waits_and_tcp_says_why_it_shows_no_content() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let stop = |name: &str| {
        let output = instance.relais("channel", &["stop", name]);
        String::from_utf8(output.stdout).unwrap()
    };
    for name in ["tcp_lmtpcs", "tcp_local"] {
        let said = stop(name);
        let waits = said.contains("what leaves by it waits");
        assert!(waits && said.contains("taken as before"), "{said}");
    }
    for name in ["tcp_lmtpss", "l"] {
        let said = stop(name);
        assert!(said.contains("nothing leaves by it") && !said.contains("its mail"), "{said}");
    }
    let page = fetch(instance.settings.admin, "/api/v1/queue/0000000000000001/content").unwrap();
    assert_eq!(page.status, 403, "{page:?}");
    assert!(page.body.contains("shown through DATA/admin.sock only"), "{page:?}");
}

#[test]
fn route_says_of_our_own_postmaster_what_a_session_says() {
    let instance = Instance::new(Settings::standalone());
    let says_yes = |address: &str| instance.relais("route", &[address]).status.success();
    let ours = ["postmaster@[127.0.0.1]", "<postmaster>", "postmaster"];
    for address in ours {
        assert!(says_yes(address), "{address}, by the files");
    }
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    for address in ours {
        let bare = address.trim_matches(['<', '>']);
        client.ask(&format!("RCPT TO:<{bare}>")).expect(250);
        assert!(says_yes(address), "{address}, by the engine");
    }
    client.ask("RCPT TO:<postmaster@[127.0.0.9]>").expect(550);
    assert!(!says_yes("postmaster@[127.0.0.9]"));
}

#[test]
fn why_says_of_a_host_without_room_that_it_answers() {
    let sink = Sink::start();
    sink.answer("MAIL FROM", "452 4.3.1 no space left for mail");
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], &message("m", 500)).expect(250);
    let mut text = String::new();
    let told = relais_tests::within(Duration::from_secs(20), || {
        let id = instance.queue()[0]["id"].as_str().unwrap().to_owned();
        text = String::from_utf8(instance.relais("queue", &["why", &id]).stdout).unwrap();
        text.contains("takes no mail now")
    });
    assert!(told && text.contains("no space left for mail"), "{text}");
    assert!(!text.contains("could not be talked to"), "{text}");
}
