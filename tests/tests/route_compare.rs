//! `relais route --compare`: what another configuration would change, for whom.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, message};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const RULES: &str = "rewrite_rules: [";

/// An instance, and beside its configuration another one in which carol.test is thrown away and bob
/// stands for alice.
fn two(settings: Settings) -> (Instance, String) {
    let vouched = "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],";
    let known = "\n        (\"carol.test\", \"$U%$D@hold-daemon\"),";
    let settings = settings.edit("mappings: {", vouched).edit(RULES, &format!("{RULES}{known}"));
    let new = settings.clone().edit("$U%$D@hold-daemon", "$U%$D@bitbucket").edit(
        "rewrite_rules",
        "aliases: {\"bob\": [\"alice\"]},\n    aliases_first: true,\n    rewrite_rules",
    );
    let instance = Instance::new(settings);
    let file = instance.path("new.ron");
    fs::write(&file, new.text()).expect("room");
    (instance, file.display().to_string())
}

/// The differences, and the exit status.
fn compared(instance: &Instance, arguments: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = instance.relais("route", &[arguments, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{output:?}"));
    (text.lines().map(line).collect(), output.status.code())
}

fn inputs(differences: &[Value]) -> BTreeSet<&str> {
    differences.iter().map(|difference| difference["input"].as_str().expect("an input")).collect()
}

#[test]
fn only_what_would_go_another_way_is_told() {
    let (instance, new) = two(Settings::standalone());
    let same = instance.path("relais.ron").display().to_string();
    let list = instance.path("list");
    let addresses =
        "alice@relais.example\nbob@relais.example\nx@carol.test\nnobody@relais.example\n";
    fs::write(&list, addresses).expect("room");
    let list = list.display().to_string();
    let both = |more: &[&str]| {
        let wanted = [&["--compare", &new, "--file", &list], more].concat();
        let (differences, code) = compared(&instance, &wanted);
        assert_eq!(code, Some(1), "{differences:?}");
        assert_eq!(inputs(&differences), ["bob@relais.example", "x@carol.test"].into());
        differences
    };
    let by_files = both(&[]);
    let running = instance.start();
    let by_engine = both(&[]);
    assert_eq!(by_files, by_engine, "the engine has what its file has");
    both(&["--offline"]);
    let x = by_engine.iter().find(|it| it["input"] == "x@carol.test").expect("it differs");
    let ends = ["before", "after"].map(|side| x[side]["results"][0]["channel"].clone());
    assert_eq!(ends, ["hold", "bitbucket"]);
    let page = instance.relais("route", &["--compare", &new, "--file", &list]).stdout;
    let page = String::from_utf8_lossy(&page);
    let sums = page.lines().last().expect("sums");
    assert!(
        sums.starts_with("4 addresses, 2 go another way, 0 of these would be refused"),
        "{page}"
    );
    assert!(page.starts_with("ADDRESS") && page.contains("bitbucket"), "{page}");
    // The same, an error, no addresses at all.
    let wrong = instance.path("wrong.ron");
    fs::write(&wrong, "(").expect("room");
    let wrong = wrong.display().to_string();
    for (arguments, code) in [
        (&["--compare", &same, "--file", &list][..], 0),
        (&["--compare", &wrong, "--file", &list], 2),
        (&["--compare", &new], 2),
        (&["--queue"], 2),
        (&["--compare", &new, "--file", "/nowhere"], 2),
        (&["--compare", &new, "--queue", "--offline"], 2),
    ] {
        let output = instance.relais("route", arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
    drop(running);
}

#[test]
fn what_waits_and_who_got_mail_of_late_are_compared() {
    let sink = Sink::start();
    let (instance, new) = two(Settings::standalone().deliver_to(sink.port));
    let running = instance.start();
    let (empty, code) = compared(&instance, &["--compare", &new, "--queue"]);
    assert_eq!((empty.len(), code), (0, Some(0)), "nothing waits");
    let mut client = Dialogue::open(instance.settings.smtp);
    for to in ["alice@relais.example", "bob@relais.example", "x@carol.test"] {
        client.message("a@sender.test", &[to], &message("m", 300)).expect(250);
    }
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<nobody@relais.example>").expect(550);
    eventually("two are handed over", PATIENCE, || sink.total() == 2);
    // In the hold channel.
    let (waiting, code) = compared(&instance, &["--compare", &new, "--queue"]);
    assert_eq!((inputs(&waiting), code), (["x@carol.test"].into(), Some(1)), "{waiting:?}");
    let want = BTreeSet::from(["bob@relais.example", "x@carol.test"]);
    let recent = || compared(&instance, &["--compare", &new, "--recent"]);
    eventually("they are written down", PATIENCE, || inputs(&recent().0) == want);
    // A crash loses no more than the last second, and the file is there without an engine.
    running.kill();
    let (recent, code) = recent();
    assert_eq!((inputs(&recent), code), (want, Some(1)));
    assert!(recent.iter().all(|it| it["channel"] == "tcp_local"), "{recent:?}");
    let text = fs::read_to_string(instance.data().join("recent")).expect("a file");
    assert!(!text.contains("nobody@") && !text.contains("sender.test"), "{text}");
}

#[test]
fn nothing_is_written_down_where_that_is_switched_off() {
    let settings = Settings::standalone().edit("admin: (", "admin: (recent: 0, ");
    let (instance, new) = two(settings);
    fs::create_dir_all(instance.data()).expect("room");
    fs::write(instance.data().join("recent"), "1 tcp_local - old@relais.example\n").expect("room");
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], &message("m", 300)).expect(250);
    eventually("it is gone", PATIENCE, || !instance.data().join("recent").exists());
    let (_, code) = compared(&instance, &["--compare", &new, "--recent"]);
    assert_eq!(code, Some(2));
}

#[test]
fn many_thousand_addresses_take_seconds() {
    let (instance, new) = two(Settings::standalone());
    let list = instance.path("list");
    let lines: Vec<String> = (0..20_000).map(|n| format!("user{n}@carol.test")).collect();
    fs::write(&list, lines.join("\n")).expect("room");
    let list = list.display().to_string();
    let _running = instance.start();
    let begun = Instant::now();
    let (differences, code) = compared(&instance, &["--compare", &new, "--file", &list]);
    assert_eq!((differences.len(), code), (20_000, Some(1)));
    let took = begun.elapsed();
    // Without optimization, on a machine that does something else, too.
    assert!(took < Duration::from_secs(60), "{took:?}");
    eprintln!("{} addresses compared in {took:?}", lines.len());
}
