//! Orders of operators that are written down, and orders that stand.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use relais_tests::{Dialogue, Instance, Settings, Sink, free_port, message};
use serde_json::Value;

/// An engine whose mail for `one.test` goes to a sink, and nothing that listens at `two.test`.
fn office(edit: impl FnOnce(Settings) -> Settings) -> (Instance, Sink) {
    let port = free_port();
    let settings = Settings::standalone().stores(port).channel("stores", "backoff: [\"1h\"]");
    (Instance::new(edit(settings)), Sink::on(port))
}

/// One message; its queue id.
#[track_caller]
fn send(instance: &Instance, from: &str, to: &[&str], name: &str) -> String {
    let mut client = Dialogue::open(instance.settings.smtp);
    let reply = client.message(from, to, &message(name, 600));
    let id = reply.expect(250).text.trim_end().rsplit(' ').next();
    id.expect("a queue id").to_owned()
}

/// Runs a command that must succeed; what it printed.
#[track_caller]
fn must(instance: &Instance, command: &[&str]) -> String {
    let output = instance.relais(command[0], &command[1..]);
    assert!(output.status.success(), "relais {command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_order_is_written_down_with_who_why_and_what_came_of_it() {
    let (instance, _sink) = office(|settings| settings);
    let mut running = instance.start();
    must(&instance, &["channel", "stop", "stores", "--reason", "they move\u{fc} house"]);
    let id = send(&instance, "ann@a.test", &["x@one.test", "y@one.test"], "one");
    must(&instance, &["queue", "hold", &id, "--reason", "look at it"]);
    must(&instance, &["queue", "release", "--from", "@a.test", "--dry-run"]);
    must(&instance, &["queue", "release", "--from", "@a.test"]);
    must(&instance, &["set", "stores.maxjobs", "3", "--reason", "less"]);
    must(&instance, &["mailbox", "create", "bob", "--reason", "new"]);
    must(&instance, &["mailbox", "quota", "bob"]);
    must(&instance, &["reload", "--dry-run"]);
    must(&instance, &["restart", "SMTP"]);
    let refused = instance.relais("set", &["nothing.maxjobs", "3"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    must(&instance, &["stop", "--wait"]);
    running.wait(std::time::Duration::from_secs(20));
    must(&instance, &["mailbox", "delete", "bob", "--yes"]);

    let entries = instance.json("audit", &[]);
    let told = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let end = &entry["end"];
        let result = end["result"].as_str().unwrap_or_default().to_owned();
        (text("command"), text("reason"), result, end["touched"].as_u64())
    };
    let told: Vec<_> = entries.iter().map(told).collect();
    let row = |command: &str, reason: &str, result: &str, touched: Option<u64>| {
        (command.to_owned(), reason.to_owned(), result.to_owned(), touched)
    };
    let want = [
        row("channel stop", "they move\u{fc} house", "done", None),
        row("queue hold", "look at it", "done", Some(1)),
        row("queue release", "", "done", Some(1)),
        row("set", "less", "done", None),
        row("mailbox create", "new", "done", None),
        row("restart", "", "done", None),
        row("set", "", "refused", None),
        row("stop", "", "done", None),
        row("mailbox delete", "", "done", None),
    ];
    assert_eq!(told, want);
    let who = &entries[0]["who"];
    assert_eq!(who["way"], "socket");
    assert!(who["uid"].is_u64() && who["gid"].is_u64() && who["pid"].is_u64(), "{who}");
    assert!(who["program"].as_str().is_some_and(|name| name.ends_with("relais")), "{who}");
    assert_eq!(entries[1]["what"]["ids"][0], id.as_str());
    assert_eq!(entries[2]["what"]["filter"]["from"], "@a.test");
    assert_eq!(entries[1]["end"]["recipients"], 2);
    assert_eq!(entries[8]["who"]["way"], "files");
    let by_nobody = instance.json("audit", &["--by", "nobody-of-that-name"]);
    assert!(by_nobody.is_empty(), "{by_nobody:?}");
    let uid = who["uid"].to_string();
    assert_eq!(instance.json("audit", &["--by", &uid, "--since", "1h"]).len(), want.len());
    let shown = must(&instance, &["audit"]);
    assert!(shown.contains("queue hold") && shown.contains("look at it"), "{shown}");
    let mode = fs::metadata(instance.data().join("audit.log")).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn an_order_that_cannot_be_written_down_is_refused_and_names_the_setting() {
    let (instance, _sink) = office(|settings| settings);
    fs::create_dir_all(instance.data().join("audit.log")).expect("room");
    let _running = instance.start();
    let refused = instance.relais("channel", &["stop", "stores"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(complaint(&refused).contains("admin.audit: Wanted"), "{refused:?}");
    let list = instance.json("channel", &["list"]).remove(0);
    let stopped = |channel: &Value| channel["stopped"] == true;
    assert!(!list.as_array().expect("a list").iter().any(stopped), "{list}");
    fs::remove_dir(instance.data().join("audit.log")).expect("empty");
    must(&instance, &["channel", "stop", "stores"]);
}
