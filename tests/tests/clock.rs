//! A clock that was ahead: what comes after it was set right has the right age.

use std::{fs::File, process::Stdio, thread, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, fetch, message, needs};

#[test]
fn ages_are_right_after_the_clock_was_ahead() {
    if !needs(&["faketime"]) {
        return;
    }
    let sink = Sink::start();
    sink.answer("RCPT TO:", "450 4.2.0 later");
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    // A day ahead.
    let log = File::create(instance.path("ahead.log")).unwrap();
    let mut ahead = instance
        .command("run", &[])
        .env("LD_PRELOAD", LIBRARY)
        .env("FAKETIME", "+86400")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    eventually("ready", Duration::from_secs(30), || instance.is_ready());
    send(&instance);
    eventually("an attempt", Duration::from_secs(30), || instance.queue()[0]["attempts"] == 1);
    let first = instance.queue()[0].clone();
    ahead.kill().unwrap();
    ahead.wait().unwrap();

    let _running = instance.start();
    came_just_now(&instance, first["id"].as_str().unwrap());
    send(&instance);
    thread::sleep(Duration::from_secs(3));
    let old = instance.json("queue", &["list", "--older-than", "2s"]);
    assert_eq!(old.len(), 1, "the one that came when the clock was right: {old:?}");
    assert_ne!(old[0]["id"], first["id"]);
    let received = old[0]["received"].as_str().unwrap();
    assert!(received < first["received"].as_str().unwrap(), "{received} {first}");
    let status = instance.json("status", &[]).remove(0);
    let channel = status["channels"].as_array().unwrap().iter();
    let mut channel = channel.filter(|channel| channel["name"] == "tcp_lmtpcs");
    let oldest = channel.next().unwrap()["oldest"].as_str().unwrap().to_owned();
    assert_eq!(oldest[..19], received[..19], "status says when the oldest came");
    eventually("the gauge says the same", Duration::from_secs(10), || {
        let page = fetch(instance.settings.admin, "/metrics").unwrap().body;
        let start = "relais_channel_oldest_seconds{channel=\"tcp_lmtpcs\"} ";
        let age = page.lines().find_map(|line| line.strip_prefix(start));
        age.and_then(|age| age.parse::<u64>().ok()).is_some_and(|age| (2..600).contains(&age))
    });
}

/// A message that came while the clock was ahead came just now, as far as anybody can tell, and its
/// history is in the order in which it was written.
fn came_just_now(instance: &Instance, id: &str) {
    eventually("it is brought forward", Duration::from_secs(30), || {
        instance.relais("queue", &["history", id]).stdout.windows(6).any(|text| text == b"beyond")
    });
    for (command, args, want) in [
        ("queue", vec!["list"], " 0s "),
        ("queue", vec!["show", id], "(0s ago)"),
        ("queue", vec!["summary"], " 0s ago"),
        ("channel", vec!["list"], " 0s ago"),
    ] {
        let said = instance.relais(command, &args).stdout;
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(want), "{command} {args:?}: {said}");
        assert!(!said.contains("in 1d") && !said.contains("in 23h"), "{command} {args:?}: {said}");
    }
    let history = instance.json("queue", &["history", id]).remove(0);
    let reasons = history.as_array().unwrap().iter().map(|line| line["reason"].as_str());
    let place = |start: &str| {
        let starts = |reason: Option<&str>| reason.is_some_and(|text| text.starts_with(start));
        reasons.clone().position(starts).unwrap_or_else(|| panic!("{start}: {history}"))
    };
    assert_eq!(place("accepted"), 0, "{history}");
    assert!(place("it was due beyond") >= 2, "behind the attempt: {history}");
}

fn send(instance: &Instance) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], &message("m", 500)).expect(250);
}

/// Debian's.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
