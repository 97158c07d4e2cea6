//! Stopping: the ways to end the engine, how long each may take, and things that end nothing.

use std::time::{Duration, Instant};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, message};

#[test]
fn sigusr1_logs_the_state_and_ends_nothing() {
    let sink = Sink::start();
    sink.pause();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let running = {
        let running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@sender.test", &["alice@relais.example"], &message("m", 500)).expect(250);
        eventually("a job has it", Duration::from_secs(20), || {
            instance.queue().iter().any(|entry| entry["state"] == "active")
        });
        running.user_signals();
        running
    };
    eventually("the state is in the log", Duration::from_secs(20), || {
        let log = instance.log();
        ["state: engine", "state: service", "state: pool", "state: channel", "SIGUSR2 does nothing"]
            .iter()
            .all(|line| log.contains(line))
    });
    let log = instance.log();
    let line = log.lines().find(|line| line.contains("state: channel")).unwrap();
    assert!(line.contains("\"channel\":\"tcp_lmtpcs\",\"ready\":0,\"active\":1"), "{line}");
    assert!(instance.is_ready());
    running.user_signals();
    eventually("and once more", Duration::from_secs(20), || {
        instance.log().matches("state: engine").count() == 2
    });
    sink.resume();
    eventually("mail still moves", Duration::from_secs(20), || sink.total() == 1);
}

#[test]
fn a_silent_client_and_a_hung_peer_delay_a_stop_by_max_shutdown_and_lose_nothing() {
    let sink = Sink::start();
    sink.pause();
    let settings = Settings::standalone().deliver_to(sink.port).section("max_shutdown: \"2s\"");
    let instance = Instance::new(settings);
    let mut running = instance.start();
    // The next hop has the content of this one and says nothing.
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], &message("hung", 500)).expect(250);
    eventually("a job has it", Duration::from_secs(20), || sink.total() == 1);
    // The client of this one is silent in the middle of its content.
    let mut silent = Dialogue::open(instance.settings.smtp);
    silent.begin("a@sender.test", &["alice@relais.example"]);
    silent.send(&message("silent", 500)[..200]).unwrap();

    let began = Instant::now();
    let stop = instance.relais("stop", &["--wait"]);
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&stop.stdout);
    assert!(stop.status.success() && text.contains("it has ended after "), "{stop:?}");
    let (status, after) = running.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert!(after < Duration::from_secs(1), "--wait returned {after:?} before the end");
    println!("a stop took {took:?}");
    assert!(took >= Duration::from_secs(2), "it had two seconds: {took:?}");
    assert!(took < Duration::from_secs(6), "max_shutdown is 2 s, and it took {took:?}");
    silent.reply().expect("a last word").expect_start("421 4.3.2");
    assert!(silent.is_closed());
    let log = instance.log();
    for words in ["sessions did not finish in time", "jobs did not finish in time"] {
        assert!(log.contains(words), "{words:?} is not in the log");
    }

    sink.resume();
    let _running = instance.start();
    eventually("what was accepted is delivered", Duration::from_secs(60), || {
        sink.total() >= 2 && instance.queue().is_empty()
    });
}

#[test]
fn stop_waits_for_the_end_only_when_told_and_the_default_is_eight_seconds() {
    let instance = Instance::new(Settings::standalone());
    let config = instance.relais("config", &[]);
    let config = String::from_utf8_lossy(&config.stdout);
    assert!(config.contains("max_shutdown: \"8s\""), "{config}");
    let mut running = instance.start();
    let mut silent = Dialogue::open(instance.settings.smtp);
    silent.begin("a@sender.test", &["alice@relais.example"]);
    let stop = instance.relais("stop", &[]);
    assert!(stop.status.success(), "{stop:?}");
    assert!(running.exited().is_none(), "a session is in the middle of its content");
    silent.finish(&message("late", 300)).expect(250);
    assert!(running.wait(Duration::from_secs(20)).0.success());
    let nobody = instance.relais("stop", &["--wait"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}
