//! The limits of one session: what a client may have of it, and how slow it may be.

use std::{
    thread,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Settings, eventually, message};

fn instance(fields: &str) -> Instance {
    Instance::new(Settings::standalone().channel("tcp_local", fields))
}

const ALICE: &[&str] = &["alice@relais.example"];

#[test]
fn a_session_has_its_time_wherever_its_client_is() {
    let instance = instance("session_time: \"2s\"");
    let _running = instance.start();
    let begun = Instant::now();
    let mut idle = Dialogue::open(instance.settings.smtp);
    let mut busy = Dialogue::open(instance.settings.smtp);
    let mut dripping = Dialogue::open(instance.settings.smtp);
    dripping.begin("a@sender.test", ALICE);
    let mut last = 250;
    while last == 250 && begun.elapsed() < Duration::from_secs(20) {
        let _ = dripping.send(b"x");
        last = busy.try_ask("NOOP").map_or(0, |reply| reply.code);
        thread::sleep(Duration::from_millis(20));
    }
    for client in [&mut idle, &mut dripping] {
        client.reply().expect("a last word").expect_start("421 4.7.0");
        assert!(client.is_closed());
    }
    let took = begun.elapsed();
    assert_eq!(last, 421);
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(6), "{took:?}");
    eventually("the log says why", Duration::from_secs(10), || {
        instance.log().matches("dismissed: enough for one session").count() == 3
    });
}

#[test]
fn content_that_comes_too_slowly_is_not_waited_for() {
    let instance = instance("min_data_rate: 1000, min_data_rate_time: \"2s\"");
    let _running = instance.start();
    // octets every 100 ms, whether that is enough
    for (octets, is_enough) in [(50, false), (200, true)] {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.begin("a@sender.test", ALICE);
        client.send(b"Subject: slow\r\n\r\n").unwrap();
        let begun = Instant::now();
        let line = format!("{}\r\n", "x".repeat(octets - 2));
        while begun.elapsed() < Duration::from_secs(5) && client.send(line.as_bytes()).is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
        if is_enough {
            client.finish(b"").expect(250);
        } else {
            client.reply().expect("a last word").expect_start("421 4.4.2");
            assert!(client.is_closed());
        }
    }
}

#[test]
fn transactions_recipients_and_octets_of_a_session_are_counted() {
    let instance = instance("transactionlimit: 2, session_size: \"1MiB\", recipientcutoff: 2");
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    for i in 0..2 {
        client.message("a@b.test", ALICE, &message(&i.to_string(), 500)).expect(250);
    }
    client.ask("MAIL FROM:<a@b.test>").expect_start("450 4.5.3");
    client.ask("NOOP").expect(250);

    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.test", ALICE, &message("large", 2 << 20)).expect(250);
    client.reply().expect("a last word").expect_start("421 4.7.0");

    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    for (user, code) in [("alice", 250), ("nobody", 550), ("nobody2", 550)] {
        client.ask(&format!("RCPT TO:<{user}@relais.example>")).expect(code);
    }
    client.ask("DATA").expect_start("451 4.5.3");
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    assert!(instance.log().contains("451 4.5.3"), "the log says what was refused");
}

/// At the ceiling patience is short; with room it is long again.
#[test]
fn a_service_under_stress_waits_for_no_idle_client() {
    let limits = "max_procs: 1, max_conns: 10, min_conns: 10";
    let instance = Instance::new(Settings::standalone().dispatcher(limits));
    let _running = instance.start();
    let open = || Dialogue::open(instance.settings.smtp);
    let stress = || instance.metric("relais_dispatcher_stress{service=\"SMTP\"}");
    let mut erring = open();
    erring.ask("FLY").expect(500);
    let begun = Instant::now();
    let mut idle: Vec<_> = (0..9).map(|_| open()).collect();
    eventually("stress begins", Duration::from_secs(5), || stress() > 0.0);
    // The next error is the last, whatever was forgiven before.
    thread::sleep(Duration::from_millis(100));
    erring.ask("NOOP").expect(250);
    erring.ask("FLY").expect(421);
    for client in &mut idle {
        client.reply().expect("a last word").expect_start("421 4.4.2");
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(20), "{took:?}");
    eventually("it is over", Duration::from_secs(10), || stress() == 0.0);
    let log = instance.log();
    assert!(log.contains("under stress") && log.contains("the stress is over"), "{log}");
    let mut patient = open();
    patient.ask("FLY").expect(500);
    patient.ask("NOOP").expect(250);
}
