//! The life of services and workers: who serves a connection, who ends, and what operators stop,
//! start and restart while the engine runs.

use std::{collections::HashSet, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, eventually, message};
use serde_json::Value;

/// The workers of the service: number and state, the oldest first.
fn workers(instance: &Instance) -> Vec<(u64, String)> {
    let status = instance.json("status", &[]);
    let services = status[0]["services"].as_array().expect("services");
    let smtp = services.iter().find(|service| service["name"] == "SMTP").expect("SMTP");
    let worker = |worker: &Value| {
        let state = worker["state"].as_str().unwrap_or_default().to_owned();
        (worker["id"].as_u64().unwrap_or_default(), state)
    };
    smtp["workers"].as_array().expect("workers").iter().map(worker).collect()
}

fn states(instance: &Instance) -> Vec<String> {
    workers(instance).into_iter().map(|(_, state)| state).collect()
}

fn done(instance: &Instance, command: &str, args: &[&str]) -> String {
    let output = instance.relais(command, args);
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{command} {args:?}: {told}");
    told
}

fn refused(instance: &Instance, command: &str, args: &[&str]) -> String {
    let output = instance.relais(command, args);
    assert!(!output.status.success(), "{command} {args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn workers_are_started_filled_and_ended_as_the_seed_says() {
    let limits = "min_procs: 1, max_procs: 3, min_conns: 2, max_conns: 3, max_idle_time: \"1s\", \
                  historical_time: \"1h\"";
    let instance = Instance::new(Settings::standalone().dispatcher(limits));
    let _running = instance.start();
    eventually("its worker is there", MINUTE, || states(&instance) == ["active"]);
    let open =
        |n: usize| -> Vec<_> { (0..n).map(|_| Dialogue::open(instance.settings.smtp)).collect() };
    let held = open(2);
    eventually("another is started when all are busy enough", MINUTE, || {
        states(&instance) == ["active", "active"]
    });
    let more = open(7);
    assert_eq!(states(&instance), ["full"; 3]);
    drop((held, more));
    eventually("idle ones end, down to min_procs", MINUTE, || {
        let mut states = states(&instance);
        states.sort();
        states == ["active", "exited", "exited"]
    });
}

#[test]
fn the_seeds_limits_hold_over_real_sockets() {
    let limits = "min_procs: 1, max_procs: 10, min_conns: 30, max_conns: 50, max_shutdown: 2, \
                  max_life_time: \"1d\", max_life_conns: 10000, max_idle_time: \"10m\", \
                  historical_time: \"0s\"";
    let instance = Instance::new(Settings::standalone().dispatcher(limits));
    let _running = instance.start();
    // sessions, workers that serve them
    let mut held = Vec::new();
    for (sessions, serving) in [(29, 1), (30, 2), (59, 2), (60, 3), (299, 10), (500, 10)] {
        while held.len() < sessions {
            held.push(Dialogue::open(instance.settings.smtp));
        }
        eventually("there are as many workers as the seed says", MINUTE, || {
            states(&instance).len() == serving
        });
    }
    assert_eq!(states(&instance), ["full"; 10]);
    let waiting = std::net::TcpStream::connect(("127.0.0.1", instance.settings.smtp));
    let waiting = waiting.expect("the kernel keeps it");
    waiting.set_read_timeout(Some(Duration::from_millis(200))).expect("a limit");
    let mut greeting = [0; 4];
    assert!(std::io::Read::read(&mut &waiting, &mut greeting).is_err(), "it waits");
    drop(held.pop());
    waiting.set_read_timeout(Some(MINUTE)).expect("a limit");
    std::io::Read::read_exact(&mut &waiting, &mut greeting).expect("it is served in its turn");
    assert_eq!(&greeting, b"220 ");
}

#[test]
fn a_worker_that_served_enough_is_replaced_and_its_sessions_finish() {
    let limits = "min_procs: 1, max_procs: 2, min_conns: 50, max_conns: 50, max_life_conns: 3";
    let instance = Instance::new(Settings::standalone().dispatcher(limits));
    let _running = instance.start();
    let mut old: Vec<_> = (0..3).map(|_| Dialogue::open(instance.settings.smtp)).collect();
    eventually("the first one is replaced", MINUTE, || states(&instance) == ["draining", "active"]);
    Dialogue::open(instance.settings.smtp).ask("QUIT").expect(221);
    for session in &mut old {
        session.message("a@b.test", &["alice@relais.example"], &message("1", 100)).expect(250);
    }
    drop(old);
    eventually("the first one ends with its sessions", MINUTE, || {
        workers(&instance).iter().all(|(id, _)| *id > 0)
    });
    let restarts = "relais_actor_restarts_total{actor=\"worker\",cause=\"stopped\"}";
    assert!(instance.metric(restarts) < 1.0, "an end in order is no restart");
}

#[test]
fn a_service_and_a_worker_are_restarted_while_sessions_go_on() {
    let instance = Instance::new(Settings::standalone().dispatcher("min_procs: 2"));
    let _running = instance.start();
    let mut session = Dialogue::open(instance.settings.smtp);
    let before: HashSet<_> = workers(&instance).into_iter().map(|(id, _)| id).collect();
    let told = done(&instance, "restart", &["SMTP"]);
    assert!(told.contains("service SMTP restarted") && told.contains("2 old ones end"), "{told}");
    eventually("others serve, and the one with a session ends last", MINUTE, || {
        let now = workers(&instance);
        let old: Vec<_> = now.iter().filter(|(id, _)| before.contains(id)).collect();
        now.len() == 3 && old.len() == 1 && old[0].1 == "draining"
    });
    Dialogue::open(instance.settings.smtp).ask("QUIT").expect(221);
    session.message("a@b.test", &["alice@relais.example"], &message("1", 100)).expect(250);
    session.ask("QUIT").expect(221);
    eventually("it ends", MINUTE, || states(&instance) == ["active", "active"]);

    let (id, _) = workers(&instance)[0].clone();
    done(&instance, "restart", &[&format!("SMTP/{id}")]);
    eventually("that worker is replaced", MINUTE, || {
        let now = workers(&instance);
        now.len() == 2 && now.iter().all(|(worker, _)| *worker != id)
    });
    let told = refused(&instance, "restart", &[&format!("SMTP/{id}")]);
    assert!(told.contains(&format!("service SMTP has no worker {id}")), "{told}");
}

#[test]
fn a_service_is_stopped_and_started_and_old_names_are_told() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let mut session = Dialogue::open(instance.settings.smtp);
    session.begin("a@b.test", &["alice@relais.example"]);
    let told = done(&instance, "stop", &["SMTP"]);
    assert!(told.contains("service SMTP stopped"), "{told}");
    assert!(Dialogue::connect(instance.settings.smtp).is_err(), "newcomers are refused");
    session.finish(&message("1", 100)).expect(250);
    session.reply().expect("a word at the end").expect(421);
    assert!(!instance.is_ready());
    let status = done(&instance, "status", &[]);
    assert!(status.contains("`relais start SMTP` starts it"), "{status}");
    assert!(done(&instance, "stop", &["SMTP"]).contains("was stopped already"));

    let told = done(&instance, "start", &["smtp"]);
    assert!(
        told.contains("\"smtp\" is obsolete") && told.contains("service SMTP started"),
        "{told}"
    );
    Dialogue::open(instance.settings.smtp).ask("QUIT").expect(221);
    assert!(instance.is_ready());
    assert!(done(&instance, "start", &["dispatcher"]).contains("runs already"));
    let told = refused(&instance, "restart", &["SMPT"]);
    assert!(told.contains("there is no service") && told.contains("did you mean SMTP"), "{told}");
}

#[test]
fn what_leaves_waits_while_the_job_controller_is_stopped() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    done(&instance, "stop", &["job_controller"]);
    let mut session = Dialogue::open(instance.settings.smtp);
    session.message("a@b.test", &["alice@relais.example"], &message("1", 100)).expect(250);
    std::thread::sleep(Duration::from_millis(300));
    let queue = instance.queue();
    assert_eq!(queue.len(), 1);
    let id = queue[0]["id"].as_str().expect("an id").to_owned();
    let why = done(&instance, "queue", &["why", &id]);
    assert!(why.contains("The job controller is stopped"), "{why}");
    assert!(done(&instance, "status", &[]).contains("nothing leaves now"));
    done(&instance, "restart", &["job_controller"]);
    eventually("it is delivered", MINUTE, || instance.queue().is_empty());
}

#[test]
fn a_service_that_is_off_is_written_and_does_not_listen() {
    let settings = Settings::standalone();
    let off = relais_tests::free_port();
    let service = format!(
        "services: {{ \"OFF\": (program: Smtp, channel: \"tcp_local\", \
         interface_address: \"127.0.0.1\", ports: [{off}], enable: false),"
    );
    let instance = Instance::new(settings.edit("services: {", &service));
    let _running = instance.start();
    assert!(Dialogue::connect(off).is_err());
    assert!(done(&instance, "status", &[]).contains("off (enable: false)"));
    let told = refused(&instance, "start", &["OFF"]);
    assert!(told.contains("is off in the configuration"), "{told}");
}

const MINUTE: Duration = Duration::from_secs(60);
