//! Another configuration for an engine that runs: `relais reload`, SIGHUP, and files that are watched.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, free_port, message};
use serde_json::Value;

/// Changes the file of the engine; what `from` is replaced by must be there.
fn edit(instance: &Instance, from: &str, to: &str) {
    let path = instance.path("relais.ron");
    let text = fs::read_to_string(&path).expect("the file");
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replacen(from, to, 1)).expect("the file");
}

fn reload(instance: &Instance, arguments: &[&str]) -> Value {
    instance.json("reload", arguments).into_iter().next().expect("an answer")
}

fn names(value: &Value, key: &str) -> Vec<String> {
    let list = value[key].as_array().expect("a list").iter();
    list.filter_map(|it| it.as_str().or(it["field"].as_str())).map(str::to_owned).collect()
}

fn reply(instance: &Instance, to: &str) -> u16 {
    let mut session = Dialogue::open(instance.settings.smtp);
    session.ask("EHLO client.test").expect(250);
    session.ask("MAIL FROM:<a@b.test>").expect(250);
    session.ask(&format!("RCPT TO:<{to}>")).code
}

/// Another file: a rule, a channel to `sink`, a pool, limits, and a service on `port`.
fn write_another(instance: &Instance, sink: u16, port: u16) {
    edit(
        instance,
        "rewrite_rules: [",
        "rewrite_rules: [(\"new.test\", \"$U%new.test@new-daemon\"),",
    );
    edit(
        instance,
        "program: Local),",
        &format!(
            "program: Local), (name: \"new\", tag: \"new-daemon\", program: Lmtp, port: {sink}, mx: NoDns, \
         daemon: \"[127.0.0.1]\", private: false, pool: \"NEW\"),"
        ),
    );
    edit(
        instance,
        "\"DEFAULT\": (job_limit: 10)",
        "\"DEFAULT\": (job_limit: 11), \"NEW\": (job_limit: 2)",
    );
    edit(instance, "maxjobs: 7", "maxjobs: 8");
    edit(
        instance,
        "services: {",
        &format!(
            "services: {{ \"SECOND\": (program: Smtp, channel: \"tcp_local\", \
         interface_address: \"127.0.0.1\", ports: [{port}], min_conns: 20, max_conns: 20),"
        ),
    );
}

#[test]
fn rules_limits_channels_pools_and_services_change_while_a_session_goes_on() {
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    let mut session = Dialogue::open(instance.settings.smtp);
    session.ask("EHLO client.test").expect(250);
    session.ask("MAIL FROM:<a@b.test>").expect(250);
    assert_eq!(reply(&instance, "x@new.test"), 550);

    let port = free_port();
    write_another(&instance, sink.port, port);
    let would = reload(&instance, &["--dry-run"]);
    assert!(Dialogue::connect(port).is_err(), "nothing has changed yet");
    let done = reload(&instance, &[]);
    assert_eq!(done["changed"], would["changed"]);
    let changed = names(&done, "changed");
    for name in [
        "rewrite_rules",
        "channels[\"new\"]",
        "channels[\"tcp_lmtpcs\"].maxjobs",
        "dispatcher.services[\"SECOND\"]",
        "job_controller.pools[\"DEFAULT\"].job_limit",
    ] {
        assert!(changed.iter().any(|it| it == name), "{name}: {changed:?}");
    }
    // The session that was open goes on, by the new rules.
    session.ask("RCPT TO:<x@new.test>").expect(250);
    session.ask("DATA").expect(354);
    session.finish(&message("1", 100)).expect(250);
    eventually("it leaves by the new channel and the new pool", MINUTE, || sink.total() == 1);
    Dialogue::open(port).ask("QUIT").expect(221);
    let limits = instance.json("set", &[]);
    let of = |key: &str| {
        limits[0]
            .as_array()
            .expect("limits")
            .iter()
            .find(|it| it["key"] == key)
            .map(|it| it["value"].clone())
    };
    assert_eq!(of("DEFAULT.job_limit"), Some(11.into()));
    assert_eq!(of("tcp_lmtpcs.maxjobs"), Some(8.into()));
    assert!(instance.metric("relais_pool_job_limit{pool=\"NEW\"}") > 1.5);
    assert!(
        instance.metric("relais_channel_messages_total{channel=\"new\",event=\"delivered\"}") > 0.5
    );

    // A service goes again, and a channel without mail.
    edit(&instance, &format!("ports: [{port}]"), &format!("ports: [{port}], enable: false"));
    reload(&instance, &[]);
    eventually("its port is closed", MINUTE, || Dialogue::connect(port).is_err());
    assert!(instance.is_ready());
    drop(running);
}

#[test]
fn a_bad_file_is_refused_whole_and_what_cannot_change_is_told_with_its_command() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    edit(&instance, "maxjobs: 7", "maxjobs: 8, maxrcpt: 1");
    edit(&instance, "program: Smtp),", "program: Smpt),");
    let refused = instance.relais("reload", &[]);
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("2 mistakes") && told.contains("maxrcpt") && told.contains("Smpt"),
        "{told}"
    );
    assert_eq!(instance.json("config", &["tcp_lmtpcs.maxjobs"])[0]["configuration"], Value::Null);
    let limits = instance.relais("config", &["tcp_lmtpcs.maxjobs"]);
    assert!(String::from_utf8_lossy(&limits.stdout).starts_with('7'), "{limits:?}");

    // The engine is asked nevertheless, where the file alone says which one.
    let by_file = |arguments: &[&str]| {
        let mut command = Command::new(instance.command("", &[]).get_program());
        let file = instance.path("relais.ron");
        command.args(arguments).arg("--config").arg(file).output().expect("relais runs")
    };
    let data = format!("data: {:?}", instance.data().display().to_string());
    edit(&instance, "data: \"relais-data\"", &data);
    let asked = by_file(&["queue", "summary"]);
    let told = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success() && told.contains("2 mistakes in "), "{asked:?}");
    edit(&instance, &data, "data: \"nowhere\"");
    let refused = by_file(&["queue", "summary"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("Smpt"), "{refused:?}");
    edit(&instance, "data: \"nowhere\"", "data: \"relais-data\"");

    // A port that somebody else has.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    edit(&instance, ", maxrcpt: 1", "");
    edit(&instance, "program: Smpt),", "program: Smtp),");
    edit(
        &instance,
        "services: {",
        &format!(
            "services: {{ \"TAKEN\": (program: Smtp, channel: \"tcp_local\", \
         interface_address: \"127.0.0.1\", ports: [{port}]),"
        ),
    );
    let would = instance.relais("reload", &["--dry-run"]);
    let told = String::from_utf8_lossy(&[would.stdout, would.stderr].concat()).into_owned();
    assert!(!would.status.success() && told.contains("TAKEN: cannot listen on"), "{told}");
    let refused = instance.relais("reload", &[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("service TAKEN: cannot listen"), "{told}");
    drop(taken);

    let (old, new) = (instance.settings.smtp, free_port());
    edit(&instance, &format!("ports: [{old}]"), &format!("ports: [{new}]"));
    edit(&instance, "host: \"localhost\"", "host: \"other.test\"");
    let done = reload(&instance, &[]);
    let later = done["later"].as_array().expect("a list");
    let command = |field: &str| {
        let it =
            later.iter().find(|it| it["field"].as_str().unwrap_or_default().starts_with(field));
        it.map(|it| it["command"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
    };
    assert_eq!(command("host"), "relais run --take-over");
    assert_eq!(command("dispatcher.services[\"SMTP\"]"), "relais stop SMTP && relais start SMTP");
    Dialogue::open(old).ask("QUIT").expect(221);
    instance.relais("stop", &["SMTP"]);
    assert!(instance.relais("start", &["SMTP"]).status.success());
    Dialogue::open(new).ask("QUIT").expect(221);
    assert!(Dialogue::connect(old).is_err());
}

#[test]
fn a_channel_with_mail_does_not_vanish_unless_its_mail_is_routed_again() {
    let (old, sink) = (free_port(), Sink::start());
    let instance = Instance::new(Settings::standalone().stores(old));
    let _running = instance.start();
    let mut session = Dialogue::open(instance.settings.smtp);
    session.message("a@b.test", &["x@one.test"], &message("1", 100)).expect(250);
    eventually("it waits", MINUTE, || instance.queue().len() == 1);
    let path = instance.path("relais.ron");
    let text = fs::read_to_string(&path).expect("the file");
    let text = text
        .replace("stores", "others")
        .replace(&format!("port: {old}"), &format!("port: {}", sink.port));
    fs::write(&path, text).expect("the file");
    let refused = instance.relais("reload", &[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("channel stores is not in the file"),
        "{told}"
    );
    assert!(told.contains("relais reload --reroute"), "{told}");
    let done = reload(&instance, &["--reroute"]);
    assert_eq!(done["rerouted"], 1, "{done}");
    eventually("it leaves by the other channel", MINUTE, || sink.total() == 1);
    eventually("nothing is left", MINUTE, || instance.queue().is_empty());
}

#[test]
fn status_and_metrics_agree_on_what_nobody_delivers() {
    let (port, told) = (free_port(), |instance: &Instance| {
        let status = instance.json("status", &[]).remove(0);
        let channels = status["channels"].as_array().expect("channels").clone();
        let lost: Vec<_> = channels.iter().filter(|its| its["program"] == "lost").collect();
        let unserved = lost.iter().filter(|its| its["unserved"] == true);
        let waiting =
            |its: &&&Value| its["ready"].as_u64().unwrap() + its["delayed"].as_u64().unwrap();
        let unserved: u64 = unserved.map(|its| waiting(&its)).sum();
        let metrics =
            ["relais_queue_lost", "relais_queue_unserved"].map(|its| instance.metric(its));
        assert!((metrics[1] - unserved as f64).abs() < 0.5, "{metrics:?}: {status}");
        (lost.len(), unserved, metrics[0] > 0.5)
    });
    let instance = Instance::new(Settings::standalone().stores(port));
    let running = instance.start();
    let mut session = Dialogue::open(instance.settings.smtp);
    session.message("a@b.test", &["x@one.test"], &message("1", 100)).expect(250);
    eventually("it waits", MINUTE, || instance.queue().len() == 1);
    assert_eq!(told(&instance), (0, 0, false));
    // Nothing leads there any more: what cannot be routed stays, and goes on leaving.
    let path = instance.path("relais.ron");
    let text = fs::read_to_string(&path).expect("the file");
    let kept = text.lines().filter(|line| !line.contains("stores"));
    fs::write(&path, kept.collect::<Vec<_>>().join("\n")).expect("the file");
    let done = reload(&instance, &["--reroute"]);
    assert_eq!(done["rerouted"], 0, "{done}");
    assert_eq!(told(&instance), (1, 0, true));
    // Another process knows nothing of the settings that it had.
    drop(running);
    let _running = instance.start();
    assert_eq!(told(&instance), (1, 1, true));
}

#[test]
fn sighup_reads_the_file_again() {
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    assert_eq!(reply(&instance, "x@new.test"), 550);
    edit(
        &instance,
        "rewrite_rules: [",
        "rewrite_rules: [(\"new.test\", \"$U%new.test@bitbucket\"),",
    );
    running.hang_up();
    eventually("the new rule is in force", MINUTE, || reply(&instance, "x@new.test") == 250);
}

#[test]
fn a_directory_file_is_watched_and_a_bad_one_leaves_the_old_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users.ldif");
    let directory = format!("directory: Ldif(file: {:?})", users.display().to_string());
    let settings = Settings::standalone().edit("directory: Ldif()", &directory);
    let instance = Instance::new(settings);
    let built_in = include_str!("../../actors/src/directory/standalone.ldif");
    let carol = "\ndn: uid=carol,ou=People,o=relais.example,dc=example\nobjectClass: inetMailUser\n\
                 objectClass: inetLocalMailRecipient\nuid: carol\nmail: carol@relais.example\n\
                 mailHost: localhost\nmailDeliveryOption: mailbox\n";
    fs::write(&users, built_in).expect("a file");
    let _running = instance.start();
    let (known, unknown) = ("alice@relais.example", "carol@relais.example");
    assert_eq!((reply(&instance, known), reply(&instance, unknown)), (250, 550));
    fs::write(&users, "dn: this is\nno LDIF\n at: all\n\n:::\n").expect("a file");
    eventually("it is told", MINUTE, || instance.log().contains("cannot be used"));
    assert_eq!(reply(&instance, known), 250);
    fs::write(&users, [built_in, carol].concat()).expect("a file");
    eventually("she is known", MINUTE, || reply(&instance, unknown) == 250);
}

#[test]
fn tables_in_files_are_watched_and_a_bad_one_leaves_those_before_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let [aliases, members] = ["aliases", "members"].map(|name| folder.path().join(name));
    let settings = Settings::standalone().section(&format!("aliases: (file: {aliases:?})"));
    let instance = Instance::new(settings);
    let list = format!("list: :include:{}\n", members.display());
    fs::write(&aliases, &list).expect("a file");
    let _running = instance.start();
    // The list is not there yet, and nobody has the other name.
    assert_eq!((reply(&instance, "list@localhost"), reply(&instance, "new@localhost")), (451, 550));
    fs::write(&aliases, "no alias\n").expect("a file");
    eventually("it is told", MINUTE, || {
        instance.log().contains("aliases: line 1: a name, a colon")
    });
    assert_eq!(reply(&instance, "list@localhost"), 451);
    fs::write(&members, "alice\n").expect("a file");
    fs::write(&aliases, format!("{list}new: bob\n")).expect("a file");
    eventually("the alias is known", MINUTE, || reply(&instance, "new@localhost") == 250);
    assert_eq!(reply(&instance, "list@localhost"), 250);
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_service_of_another_name_keeps_its_place_and_nobody_is_refused() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    let port = instance.settings.smtp;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let crowd = thread::spawn(move || {
        let mut greeted = 0_usize;
        while !stopped.load(Relaxed) {
            let (_, greeting) = Dialogue::connect(port).expect("nobody is refused");
            assert!([220, 421].contains(&greeting.code), "{greeting:?}");
            greeted += 1;
        }
        greeted
    });
    for (from, to) in [("SMTP", "MX"), ("MX", "IN"), ("IN", "SMTP")] {
        edit(&instance, &format!("\"{from}\":"), &format!("\"{to}\":"));
        assert!(instance.relais("reload", &["--dry-run"]).status.success());
        reload(&instance, &[]);
        Dialogue::open(port).ask("QUIT").expect(221);
        let status = instance.relais("status", &["--workers"]);
        assert!(String::from_utf8_lossy(&status.stdout).contains(to), "{status:?}");
    }
    stop.store(true, Relaxed);
    assert!(crowd.join().expect("no panic") > 10);
}
