//! The engine is replaced while it works: by another process that takes its sockets, and by one that
//! is lent them by the service manager. No connection is refused.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, message};

/// Strangers that bring a message each, one connection after the other, and note what went wrong.
struct Crowd {
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Crowd {
    fn gather(port: u16, heads: usize) -> Self {
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let bring = |head: usize| {
            let (stop, taken) = (stop.clone(), taken.clone());
            thread::spawn(move || {
                let mut wrong = Vec::new();
                for i in 0.. {
                    if stop.load(Relaxed) {
                        break;
                    }
                    match bring(port, &format!("{head}-{i}")) {
                        Ok(()) => drop(taken.fetch_add(1, Relaxed)),
                        Err(error) => wrong.push(error),
                    }
                }
                wrong
            })
        };
        let threads = (0..heads).map(bring).collect();
        Self { stop, taken, threads }
    }

    fn disperse(self) -> (usize, Vec<String>) {
        self.stop.store(true, Relaxed);
        let wrong = self.threads.into_iter().flat_map(|it| it.join().expect("no panic")).collect();
        (self.taken.load(Relaxed), wrong)
    }
}

fn bring(port: u16, id: &str) -> Result<(), String> {
    let (mut session, greeting) = Dialogue::connect(port).map_err(|error| error.to_string())?;
    if greeting.code != 220 {
        return Err(format!("{greeting:?}"));
    }
    session.patience(Duration::from_secs(30));
    for (command, code) in [
        ("EHLO client.test", 250),
        ("MAIL FROM:<a@b.test>", 250),
        ("RCPT TO:<alice@relais.example>", 250),
        ("DATA", 354),
    ] {
        let reply = session.try_ask(command).map_err(|error| format!("{command}: {error}"))?;
        if reply.code != code {
            return Err(format!("{command}: {reply:?}"));
        }
    }
    let content = [message(id, 300), b".\r\n".to_vec()].concat();
    session.send(&content).map_err(|error| error.to_string())?;
    let reply = session.reply().map_err(|error| format!("the end of data: {error}"))?;
    let _ = session.try_ask("QUIT");
    if reply.code == 250 { Ok(()) } else { Err(format!("{reply:?}")) }
}

fn another(instance: &Instance, number: usize) -> Child {
    instance
        .command("run", &["--take-over"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(instance.path(&format!("log-{number}"))).expect("a log"))
        .spawn()
        .expect("it starts")
}

fn pid(instance: &Instance) -> u64 {
    let status = instance.relais("status", &["--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
    status["pid"].as_u64().unwrap_or_default()
}

#[test]
fn another_process_takes_over_under_load_and_nobody_is_refused() {
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let mut running = instance.start();
    let crowd = Crowd::gather(instance.settings.smtp, 8);
    let mut others = Vec::new();
    for number in 1..=3 {
        thread::sleep(Duration::from_millis(500));
        let other = another(&instance, number);
        let id = u64::from(other.id());
        others.push(other);
        eventually("the other one runs", MINUTE, || pid(&instance) == id && instance.is_ready());
    }
    thread::sleep(Duration::from_millis(500));
    let (taken, wrong) = crowd.disperse();
    assert!(wrong.is_empty(), "{} of {taken}: {:?}", wrong.len(), wrong.first());
    assert!(taken > 100, "{taken}");
    assert!(running.wait(MINUTE).0.success(), "the first one ended in order");
    eventually("all is delivered", MINUTE, || instance.queue().is_empty());
    assert!(sink.total() >= taken, "{} of {taken}", sink.total());
    instance.relais("stop", &["--wait"]);
    for mut other in others {
        assert!(other.wait().expect("it has ended").success());
    }
}

#[test]
fn a_session_that_idles_is_told_to_come_again_and_none_runs_is_no_mistake() {
    let instance = Instance::new(Settings::standalone());
    let mut first = another(&instance, 1);
    eventually("it runs where none did", MINUTE, || instance.is_ready());
    let mut idle = Dialogue::open(instance.settings.smtp);
    let mut second = another(&instance, 2);
    idle.reply().expect("a word at the end").expect(421);
    assert!(first.wait().expect("it ends").success());
    eventually("the other one runs", MINUTE, || pid(&instance) == u64::from(second.id()));
    Dialogue::open(instance.settings.smtp).ask("QUIT").expect(221);
    instance.relais("stop", &["--wait"]);
    assert!(second.wait().expect("it ends").success());
}

/// Binds a port, and runs the program on it twice, one process after the other, as a service
/// manager does (`sd_listen_fds(3)`).
const MANAGER: &str = r#"
import os, socket, sys
port, program = int(sys.argv[1]), sys.argv[2:]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen(100)
for _ in range(2):
    child = os.fork()
    if child == 0:
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execv(program[0], program)
    os.waitpid(child, 0)
"#;

#[test]
fn sockets_of_the_service_manager_are_used_and_outlive_a_restart() {
    let instance = Instance::new(Settings::standalone());
    let smtp = instance.settings.smtp;
    let mut manager = Command::new("python3");
    let mut manager = instance.spawn_by(manager.args(["-c", MANAGER, &smtp.to_string()]));
    eventually("it is ready", MINUTE, || instance.is_ready());
    Dialogue::open(smtp).ask("QUIT").expect(221);
    // A service that is stopped leaves the socket to whoever has lent it: connections wait.
    assert!(instance.relais("stop", &["SMTP"]).status.success());
    let waiting = thread::spawn(move || Dialogue::open(smtp).ask("QUIT").code);
    thread::sleep(Duration::from_millis(100));
    assert!(instance.relais("start", &["SMTP"]).status.success());
    assert_eq!(waiting.join().expect("it was served"), 221);
    let first = pid(&instance);
    let crowd = Crowd::gather(smtp, 4);
    thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    // Sessions may be cut short by a stop; what matters here is that nobody is refused.
    assert!(instance.relais("stop", &["--wait"]).status.success());
    // The next one has the data directory at once, and is not waited for.
    assert!(began.elapsed() < MINUTE, "{:?}", began.elapsed());
    eventually("it runs again", MINUTE, || ![0, first].contains(&pid(&instance)));
    thread::sleep(Duration::from_millis(300));
    let (taken, wrong) = crowd.disperse();
    let refused = wrong.iter().filter(|error| error.contains("refused")).count();
    assert_eq!(refused, 0, "{taken} taken in {:?}: {wrong:?}", began.elapsed());
    assert!(instance.relais("stop", &["--wait"]).status.success());
    assert!(manager.wait(MINUTE).0.success());
}

const MINUTE: Duration = Duration::from_secs(60);
