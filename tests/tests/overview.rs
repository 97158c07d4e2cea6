//! The engine at a glance: what flows, what waits, what limits it, and how that changes.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Load, Settings, Sink, eventually, fetch, message, python};
use serde_json::{Value, json};

#[test]
fn an_overview_tells_what_flows_and_which_limit_keeps_mail_back() {
    let sink = Sink::start();
    let settings = Settings::standalone()
        .stores(sink.port)
        .channel("stores", "max_client_threads: 1, threaddepth: 1, maxjobs: 5")
        .edit("\"SMTP_POOL\": (job_limit: 10)", "\"SMTP_POOL\": (job_limit: 1)");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let quiet = overview(&instance);
    assert_eq!(quiet["waits"], "Nothing limits the engine, and nothing waits.", "{quiet}");
    assert_eq!(quiet["limiting"], json!([]));
    assert_eq!(quiet["ready"], json!({"ready": true, "why": []}));

    Load::new(instance.settings.smtp, "a@one.test", 500).run(2, 30);
    eventually("the flow of the last seconds", Duration::from_secs(20), || {
        let all = overview(&instance);
        let flow = named(&all["flow"], "channel", "stores");
        let delivered = flow["delivered"].as_f64().unwrap_or_default();
        (1.0..=30.0).contains(&delivered) && flow["received"].as_f64() >= Some(1.0)
    });

    sink.pause();
    send(&instance, "a@one.test", 1);
    eventually("the only job has one", Duration::from_secs(20), || {
        overview(&instance)["queue"]["active"] == 1
    });
    send(&instance, "b@two.test", 7);
    eventually("the pool limits", Duration::from_secs(20), || {
        overview(&instance)["limiting"][0]["what"] == "job_limit"
    });
    let full = overview(&instance);
    let limit = &full["limiting"][0];
    assert_eq!(limit["key"], "SMTP_POOL.job_limit", "{limit}");
    assert_eq!((&limit["value"], &limit["used"]), (&json!(1), &json!(1)), "{limit}");
    assert_eq!(limit["messages"], 7, "{limit}");
    assert_eq!(limit["would_help"], "relais set SMTP_POOL.job_limit 2", "{limit}");
    assert_eq!(named(&full["pools"], "name", "SMTP_POOL")["running"], 1);
    eventually("it has been counted by age", Duration::from_secs(20), || {
        let ages = overview(&instance)["queue"]["ages"].clone();
        ages.as_array().is_some_and(|ages| {
            ages.iter().filter_map(|age| age["messages"].as_u64()).sum::<u64>() == 8
        })
    });
    let why = instance.relais("why", &[]);
    let told = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(
        why.status.success() && told.starts_with("pool SMTP_POOL is full: 1 of 1 jobs"),
        "{told}"
    );
    assert!(told.contains("\n  7 messages wait for it, none leaves"), "{told}");
    assert!(told.contains("\n  helps: relais set SMTP_POOL.job_limit 2\n"), "{told}");
    let why = &instance.json("why", &[])[0];
    assert_eq!(why["limiting"][0]["what"], "job_limit", "{why}");
    let id = instance.queue()[0]["id"].as_str().unwrap().to_owned();
    let of_one = instance.relais("why", &[&id]).stdout;
    assert_eq!(of_one, instance.relais("queue", &["why", &id]).stdout);
    assert_eq!(instance.relais("why", &["no id"]).status.code(), Some(2));

    let order: Vec<_> = limit["would_help"].as_str().unwrap().split(' ').skip(2).collect();
    assert!(instance.relais("set", &order).status.success());
    eventually("the order does it", Duration::from_secs(20), || {
        named(&overview(&instance)["limiting"], "what", "job_limit").is_null()
    });
    sink.resume();
}

#[test]
fn a_dead_host_stopped_channels_and_held_mail_are_told_with_what_helps() {
    let instance = Instance::new(Settings::standalone().stores(relais_tests::free_port()));
    let _running = instance.start();
    send(&instance, "b@two.test", 3);
    eventually("the host is in trouble", Duration::from_secs(20), || {
        let all = overview(&instance);
        let host = named(&all["hosts"], "host", DEAD).clone();
        host["messages"] == 3 && host["failures"].as_u64() > Some(1)
    });
    let all = overview(&instance);
    let host = named(&all["hosts"], "host", DEAD);
    assert!(host["last_reply"].as_str().unwrap().starts_with('4'), "{host}");
    assert!(host["next_try"].is_string() && host["oldest_seconds"].is_u64(), "{host}");
    let limit = named(&all["limiting"], "what", "unreachable");
    assert_eq!(limit["would_help"], "none: the destination is dead");
    let wait =
        "Nothing limits the engine. 3 messages wait: 3 wait for hosts that could not be talked to.";
    assert_eq!(all["waits"], wait);

    assert!(instance.relais("channel", &["stop", "stores"]).status.success());
    let suspend = ["suspend", DEAD, "--for", "1h", "--reason", "they asked"];
    assert!(instance.relais("host", &suspend).status.success());
    let id = instance.queue()[0]["id"].as_str().unwrap().to_owned();
    assert!(instance.relais("queue", &["hold", &id]).status.success());
    eventually("all of it is told", Duration::from_secs(20), || {
        let limits = overview(&instance)["limiting"].clone();
        ["stopped", "suspended", "held"].iter().all(|what| !named(&limits, "what", what).is_null())
    });
    let limits = overview(&instance)["limiting"].clone();
    assert_eq!(named(&limits, "what", "stopped")["would_help"], "relais channel start stores");
    let help = &named(&limits, "what", "suspended")["would_help"];
    assert_eq!(help, "relais host resume [127.0.0.2]");
}

#[test]
fn the_series_and_the_live_stream_follow_and_a_stop_does_not_wait_for_them() {
    let instance = Instance::new(Settings::standalone());
    let mut running = instance.start();
    let mut live = UnixStream::connect(instance.data().join("admin.sock")).unwrap();
    live.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(live, "GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(live).lines().map_while(Result::ok);
    let mut event = || {
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
        serde_json::from_str::<Value>(&data.unwrap_or_default()).unwrap()
    };
    assert_eq!(event()["phase"], "running");
    send(&instance, "alice@relais.example", 2);
    let came = (0..10).find(|_| {
        let all = event();
        all["flow"].as_array().unwrap().iter().any(|its| its["delivered"].as_f64() > Some(0.0))
    });
    assert!(came.is_some(), "the stream shows what flows");
    eventually("a step of the series has ended", Duration::from_secs(20), || {
        let all = series(&instance, "hour");
        let moved = |its: &Value| {
            let sum = |what: &str| {
                its[what].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>()
            };
            sum("delivered") == 2
        };
        all["channels"].as_array().unwrap().iter().any(moved)
    });
    let hour = series(&instance, "hour");
    assert_eq!(hour["queue"].as_array().unwrap().len(), 360);
    assert_eq!(series(&instance, "day")["held"].as_array().unwrap().len(), 288);

    let begin = Instant::now();
    running.terminate();
    let (status, _) = running.wait(Duration::from_secs(20));
    assert!(status.success());
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(900), "the stream held it up for {took:?}");
}

/// Where mail for `two.test` goes, and nobody listens.
const DEAD: &str = "[127.0.0.2]";

#[test]
fn top_leads_on_a_terminal_from_a_host_to_why_and_leaves_it_as_it_was() {
    let instance = Instance::new(Settings::standalone().stores(relais_tests::free_port()));
    let none = instance.relais("top", &["--once"]);
    assert_eq!(none.status.code(), Some(1), "no engine runs");
    assert!(String::from_utf8_lossy(&none.stderr).contains("no engine is running"));
    let running = instance.start();
    send(&instance, "b@two.test", 3);
    eventually("the host is in trouble", Duration::from_secs(20), || {
        !named(&overview(&instance)["hosts"], "host", DEAD).is_null()
    });
    let once = instance.relais("top", &[]).stdout;
    let once = String::from_utf8_lossy(&once);
    assert!(once.contains("queue 3: ") && once.contains(DEAD), "{once}");
    assert_eq!(instance.json("top", &[])[0]["queue"]["stored"], 3);
    let words = instance.command("top", &[]);
    let words = std::iter::once(words.get_program()).chain(words.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    for (term, end) in [("xterm", "q"), ("linux", "\u{3}"), ("screen", "TERM")] {
        let steps = json!([
            ["", ["overview]"]],
            ["2", ["[2", DEAD]],
            ["\r", ["[4", "delayed"]],
            ["\r", ["[message", "Subject"]],
            ["w", ["alone"]],
            ["\u{1b}", ["message", "RECIPIENT"]],
            ["?", ["larger_than=1MiB"]],
            [end, []],
        ]);
        let shown = on_pty(term, &json!(words), &steps);
        assert!(shown.contains("\u{1b}[?1049h"), "{term}: the other screen: {shown:?}");
        assert!(shown.contains("\u{1b}[?1049l"), "{term}: it is left: {shown:?}");
        assert!(shown.ends_with("status 0 tty as before\n"), "{term}: {shown:?}");
    }
    // A key and a signal count while the engine does not answer.
    for end in ["q", "TERM"] {
        let stop = format!("STOP {}", running.pid());
        let began = Instant::now();
        let steps = json!([["", ["overview]"]], [stop, []], [end, []]]);
        let shown = on_pty("xterm", &json!(words), &steps);
        assert!(shown.ends_with("status 0 tty as before\n"), "{end}: {shown:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{end}: {:?}", began.elapsed());
    }
}

/// Runs a program on a terminal of 80 by 24; types each step and waits for what is to be seen then. All
/// that was to be seen, and how it ended.
fn on_pty(term: &str, words: &Value, steps: &Value) -> String {
    let script = format!(
        r"
import fcntl, json, os, pty, select, signal, struct, sys, termios, time
words, steps = json.loads({words:?}), json.loads({steps:?})
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
before, stopped = termios.tcgetattr(slave), []
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(slave, fd)
    os.environ['TERM'] = {term:?}
    os.execv(words[0], words)
shown = b''
def read(wanted, seconds):
    global shown
    new, end = b'', time.time() + seconds
    while time.time() < end and not (wanted and all(it in new for it in wanted)):
        if select.select([master], [], [], 0.1)[0]:
            try: more = os.read(master, 65536)
            except OSError: break
            new += more
    shown += new
    return all(it in new for it in wanted)
for keys, wanted in steps:
    if keys == 'TERM': os.kill(pid, signal.SIGTERM)
    elif keys.startswith('STOP '):
        stopped.append(int(keys[5:]))
        os.kill(stopped[-1], signal.SIGSTOP)
        time.sleep(3)
    else: os.write(master, keys.encode())
    wanted = [it.encode() for it in wanted]
    if not read(wanted, 10 if wanted else 1): sys.exit(f'no {{wanted}} in {{shown[-3000:]}}')
_, status = os.waitpid(pid, 0)
for it in stopped: os.kill(it, signal.SIGCONT)
after = termios.tcgetattr(slave)
print(shown.decode('utf-8', 'replace'), 'status', status, 'tty', 'as before' if after == before else after)
",
        words = words.to_string(),
        steps = steps.to_string(),
    );
    python(&script)
}

fn overview(instance: &Instance) -> Value {
    get(instance, "/api/v1/overview")
}

fn series(instance: &Instance, span: &str) -> Value {
    get(instance, &format!("/api/v1/series?span={span}"))
}

fn get(instance: &Instance, path: &str) -> Value {
    let page = fetch(instance.settings.admin, path).unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    serde_json::from_str(&page.body).unwrap()
}

/// The one among them that is called so.
fn named<'v>(all: &'v Value, key: &str, name: &str) -> &'v Value {
    let found = all.as_array().and_then(|all| all.iter().find(|one| one[key] == name));
    found.unwrap_or(&Value::Null)
}

fn send(instance: &Instance, to: &str, count: usize) {
    let mut client = Dialogue::open(instance.settings.smtp);
    for _ in 0..count {
        client.message("ann@example.org", &[to], &message("waits", 300)).expect(250);
    }
}
