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
    needs_root, one_delivered_and_one, readme_block, run_with,
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

#[test]
fn the_dashboard_shows_each_metric_and_alerts_ask_for_values_that_labels_have() {
    let instance = Instance::new(Settings::standalone());
    let model = printed(&instance, "--dashboard");
    let model: serde_json::Value = serde_json::from_str(&model).unwrap();
    let rows = model["panels"].as_array().unwrap();
    let panels: Vec<_> = rows.iter().filter_map(|row| row["panels"].as_array()).flatten().collect();
    let not_running = instance.relais("metrics", &[]);
    assert_eq!(not_running.status.code(), Some(1), "{not_running:?}");
    let clash = instance.relais("metrics", &["--dashboard", "--alerts"]);
    assert_eq!(clash.status.code(), Some(2));

    let _running = instance.start();
    let page = String::from_utf8(instance.relais("metrics", &[]).stdout).unwrap();
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert!(families.clone().count() > 60, "{page}");
    for family in families {
        assert!(panels.iter().any(|panel| panel["title"] == family), "{family} has no panel");
    }
    let rules = printed(&instance, "--alerts");
    let mut count = 0;
    for asked in rules.lines().filter(|line| line.contains(" expr: ")).flat_map(selectors) {
        let (name, pair) = &asked;
        let has = |line: &str| line.starts_with(&format!("{name}{{")) && line.contains(pair);
        assert!(page.lines().any(has), "{asked:?}");
        count += 1;
    }
    assert!(count > 5, "{count}");
}

/// Each metric of a line that is asked for with a label, and the label with its value.
fn selectors(line: &str) -> Vec<(String, String)> {
    let metrics = line.split("relais_").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once('{')?;
        let is_one = name.bytes().all(|octet| octet == b'_' || octet.is_ascii_alphanumeric());
        is_one.then_some((name, rest.split_once('}')?.0))
    });
    let pairs = metrics.flat_map(|(name, pairs)| pairs.split(',').map(move |pair| (name, pair)));
    pairs.map(|(name, pair)| (format!("relais_{name}"), pair.replace("!=", "="))).collect()
}

/// The answer of `relais metrics OPTION`.
fn printed(instance: &Instance, option: &str) -> String {
    let output = instance.relais("metrics", &[option]);
    assert!(output.status.success(), "{option}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn promtool_takes_panels_and_rules_and_each_alert_fires_where_something_is_wrong_alone() {
    if !needs(&["promtool"]) {
        return;
    }
    let instance = Instance::new(Settings::standalone());
    let rules = printed(&instance, "--alerts");
    let names = rules.lines().filter_map(|line| Some(line.split_once("- alert: ")?.1));
    let tests = rule_tests(&names.collect::<Vec<_>>());
    for (file, text) in [
        ("relais.rules.yml", &rules),
        ("tests.yml", &tests),
        ("panels.rules.yml", &as_rules(&printed(&instance, "--dashboard"))),
        ("prometheus.yml", &readme_block("yaml", "scrape_configs")),
    ] {
        fs::write(instance.path(file), text).unwrap();
    }
    for words in [
        ["check", "rules", "relais.rules.yml"],
        ["check", "rules", "panels.rules.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "tests.yml"],
    ] {
        let folder = instance.path("");
        let output = Command::new("promtool").args(words).current_dir(folder).output().unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{words:?}: {told}");
    }
}

/// The expressions of a dashboard as recording rules, which promtool can read.
fn as_rules(model: &str) -> String {
    let mut rules = "groups:\n- name: panels\n  rules:\n".to_owned();
    let exprs = model.split("\"expr\":").skip(1);
    for (number, rest) in exprs.enumerate() {
        let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let expr = texts.next().unwrap().unwrap().replace("$__rate_interval", "5m");
        rules.push_str("  - record: panel:");
        rules.push_str(&number.to_string());
        rules.push_str("\n    expr: '");
        rules.push_str(&expr);
        rules.push_str("'\n");
    }
    rules
}

/// Tests of these rules for promtool: each fires for the engine `a`, and not for `b`.
fn rule_tests(names: &[&str]) -> String {
    let head = "rule_files: [relais.rules.yml]\nevaluation_interval: 1m\ntests:".to_owned();
    let mut lines = vec![head];
    let mut used = 0;
    for name in names {
        lines.push("  - interval: 1m\n    input_series:".to_owned());
        let rows = ALERTS.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let rows: Vec<_> = rows.filter(|row| row[0] == *name).collect();
        used += rows.len();
        for row in &rows {
            for (engine, values) in [("a", row[3]), ("b", row[4])] {
                let labels = format!("{{instance=\"{engine}\",job=\"relais\",");
                let series = row[2].replace('{', &labels);
                lines.push(format!("      - series: '{series}'\n        values: '{values}'"));
            }
        }
        let minute = rows.first().expect(name)[1];
        let firing = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}");
        lines.push(format!(
            "    promql_expr_test:\n      - expr: 'sum by (instance) ({firing})'\n        eval_time: \
             {minute}\n        exp_samples: [{{labels: '{{instance=\"a\"}}', value: 1}}]\n"
        ));
    }
    assert_eq!(used, ALERTS.lines().count(), "a row is of no alert");
    lines.join("\n")
}

/// Each alert, when it fires, and a metric by the minute: of an engine in trouble, and of one that is well.
const ALERTS: &str = r#"RelaisDown | 10m | relais_build_info{} | 1+0x5 _x20 | 1+0x30
RelaisDown | 10m | up{} | 1+0x5 0+0x20 | 1+0x30
RelaisNotReady | 5m | relais_not_ready{cause="room"} | 0 0 1+0x10 | 0+0x10
RelaisQueuePaused | 5m | relais_queue_paused{why="disk"} | 1+0x10 | 0+0x10
RelaisQueuePaused | 5m | relais_queue_paused{why="draining"} | 0+0x10 | 1+0x10
RelaisDirectoryFails | 15m | relais_directory_lookups_total{result="failed"} | 0+1x20 | 7+0x20
RelaisCertificateExpired | 15m | relais_tls_certificate_expires_timestamp_seconds{file="x"} | 600+0x20 | 100000+0x20
RelaisCertificateExpires | 70m | relais_tls_certificate_expires_timestamp_seconds{file="x"} | 86400+0x90 | 2000000+0x90
RelaisSpoolRoomShort | 8m | relais_spool_free_bytes{} | 100+0x10 | 1000+0x10
RelaisSpoolRoomShort | 8m | relais_spool_min_free_bytes{} | 64+0x10 | 64+0x10
RelaisRoomRunsOut | 100m | relais_store_free_bytes{} | 100000-100x120 | 100000-1x120
RelaisChannelStalled | 50m | relais_channel_queue_messages{channel="c",state="delayed"} | 30+0x60 | 30+0x60
RelaisChannelStalled | 50m | relais_delivery_results_total{channel="c",class="delivered"} | 5+0x60 | 5+1x60
RelaisQueueOld | 20m | relais_channel_oldest_seconds{channel="c"} | 20000+0x30 | 20000+0x30
RelaisQueueOld | 20m | relais_channel_stored_messages{channel="c"} | 200+0x30 | 20+0x30
RelaisBacklogGrows | 20m | relais_queue_stored{} | 2000+60x60 | 2000+0x60
RelaisHostsUnreachable | 20m | relais_channel_hosts_suspended{channel="c"} | 60+0x30 | 40+0x30
RelaisDeliveriesFail | 45m | relais_delivery_results_total{channel="c",class="failed"} | 0+10x60 | 0+10x60
RelaisDeliveriesFail | 45m | relais_delivery_results_total{channel="c",class="delivered"} | 0+5x60 | 0+50x60
RelaisMailWithoutChannel | 15m | relais_queue_lost{} | 1+0x20 | 0+0x20
RelaisDirectoryServerDown | 8m | relais_directory_server_up{server="ldap://x"} | 0+0x10 | 1+0x10
RelaisFilterDown | 8m | relais_milter_up{milter="x"} | 0+0x10 | 1+0x10
RelaisServiceFull | 18m | relais_dispatcher_stress{service="SMTP"} | 1+0x20 | 0+0x20
RelaisActorRestarts | 5m | relais_actor_restarts_total{actor="x",cause="panic"} | 0 0 1+0x20 | 0+0x20
RelaisRestartsOften | 10m | relais_process_start_time_seconds{} | 1 1 2 2 3 3 4+0x20 | 1 1 2 2+0x20
RelaisWebhookBehind | 8m | relais_webhook_behind_seconds{webhook="x"} | 1000+60x10 | 500+0x10
RelaisEventsLost | 5m | relais_events_lost_total{to="file",why="disk"} | 0 0 5+0x20 | 5+0x20
RelaisLogLinesLost | 5m | relais_log_lines_lost_total{} | 0 0 5+0x20 | 5+0x20
RelaisHistoryStopped | 8m | relais_history_stopped{} | 1+0x10 | 0+0x10
RelaisHistoryLost | 5m | relais_history_lost_total{} | 0 0 5+0x20 | 5+0x20
RelaisMailDayOld | 70m | relais_channel_oldest_seconds{channel="c"} | 90000+0x90 | 80000+0x90
RelaisOrderStands | 1440m | relais_standing_orders{kind="hold"} | 2+0x1500 | 2+0x600 0+0x900"#;

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
