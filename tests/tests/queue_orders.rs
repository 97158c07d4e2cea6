//! Orders about the queue hit what they name, and say what they do before and after.

use std::{process::Output, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, free_port, message};
use serde_json::Value;

/// An engine whose mail for `one.test` goes to a sink, and nothing that listens at `two.test`.
fn office(fields: &str) -> (Instance, Sink) {
    let port = free_port();
    let settings = Settings::standalone().stores(port).channel("stores", fields);
    (Instance::new(settings), Sink::on(port))
}

/// One message to these; its queue id.
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
    said(&output)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The queue ids that a listing with these options names, sorted.
#[track_caller]
fn ids(instance: &Instance, options: &[&str]) -> Vec<String> {
    let entries = instance.json("queue", &[&["list"], options].concat());
    let id = |entry: &Value| entry["id"].as_str().expect("an id").to_owned();
    let mut ids: Vec<_> = entries.iter().map(id).collect();
    ids.sort();
    ids
}

#[test]
fn an_address_names_itself_and_no_other() {
    let (instance, _sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let put = |from: &str, to: &str| send(&instance, from, &[to], "exact");
    let ann = put("ann@a.test", "x@one.test");
    let joann = put("joann@a.test", "xx@one.test");
    let longer = put("ann@a.test.example", "x@two.test");
    let upper = put("Ann@A.test", "X@one.test");
    let nobody = put("", "max@one.test");
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort();
        ids
    };
    // options, the entries that they name
    let rows: [(&[&str], Vec<String>); 15] = [
        (&["--from", "ann@a.test"], sorted(&[&ann])),
        (&["--from", "<ann@a.test>"], sorted(&[&ann])),
        (&["--from", "ann@A.TEST"], sorted(&[&ann])),
        (&["--from", "Ann@a.test"], sorted(&[&upper])),
        (&["--from", "ann"], vec![]),
        (&["--from", "@a.test"], sorted(&[&ann, &joann, &upper])),
        (&["--from", "~ann@a"], sorted(&[&ann, &joann, &longer, &upper])),
        (&["--from", "<>"], sorted(&[&nobody])),
        (&["--to", "x@one.test"], sorted(&[&ann])),
        (&["--to", "~x@one"], sorted(&[&ann, &joann, &upper, &nobody])),
        (&["--to", "@two.test"], sorted(&[&longer])),
        (&["--to", "@TWO.test", "--from", "@a.test"], vec![]),
        (&["--host", "127.0.0"], vec![]),
        (&["--host", "~0.0.2"], sorted(&[&longer])),
        (&["--channel", "~stor"], sorted(&[&ann, &joann, &longer, &upper, &nobody])),
    ];
    for (options, want) in rows {
        assert_eq!(ids(&instance, options), want, "{options:?}");
        let dry = instance.json("queue", &[&["delete", "--dry-run"], options].concat()).remove(0);
        assert_eq!(dry["done"], want.len() as u64, "delete {options:?}: {dry}");
    }
    let output = instance.relais("queue", &["delete", "--from", "ann"]);
    assert_eq!(said(&output), "0 entries deleted\n");
    assert!(complaint(&output).contains("\"~ann\" names those that hold"), "{output:?}");
    let output = instance.relais("queue", &["list", "--channel", "~no_such"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = instance.relais("queue", &["delete", "--from", ""]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("the null sender is named by '<>'"), "{output:?}");
    must(&instance, &["queue", "delete", "--from", "ann@a.test"]);
    assert_eq!(ids(&instance, &[]), sorted(&[&joann, &longer, &upper, &nobody]));
    must(&instance, &["queue", "return", "--from", "@A.test"]);
    eventually("the returned ones are gone", PATIENCE, || {
        ids(&instance, &["--from", "@a.test"]).is_empty()
    });
    let left = ids(&instance, &[]);
    assert!(left.contains(&longer) && left.contains(&nobody), "{left:?}");
}

const PATIENCE: Duration = Duration::from_secs(30);
