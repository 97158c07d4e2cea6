//! `relais route` says whom it asked, and the running engine is asked when there is one.

use std::fs;

use relais_tests::{Instance, Settings};
use serde_json::Value;

const OTHER: &str = "carol.test";

#[test]
fn the_running_engine_is_asked_and_not_the_file_that_was_changed_since() {
    let settings = Settings::standalone()
        .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],")
        .edit("rewrite_rules: [", "rewrite_rules: [\n        (\".\", \"$U%$H@lmtpcs-daemon\"),");
    let instance = Instance::new(settings);
    // Nothing runs: the files are asked.
    let alone = route(&instance, &["alice@relais.example"]);
    assert!(asked(&alone).starts_with("the files of ") && asked(&alone).contains("no engine"));

    let running = instance.start();
    let file = instance.path("relais.ron");
    let text = fs::read_to_string(&file).unwrap();
    let rule = format!("rewrite_rules: [\n        (\"{OTHER}\", \"$U%$D@lmtpcs-daemon\"),");
    fs::write(&file, text.replace("rewrite_rules: [", &rule)).unwrap();
    let to = format!("bob@{OTHER}");
    let by_engine = route(&instance, &[&to]);
    assert!(asked(&by_engine).contains(&running.pid().to_string()), "{by_engine}");
    let applied = |told: &Value| told.to_string().contains("rule carol.test ");
    assert!(!applied(&by_engine), "the engine has no such rule: {by_engine}");
    let by_files = route(&instance, &[&to, "--offline"]);
    assert!(asked(&by_files).contains("--offline"), "{by_files}");
    assert!(applied(&by_files), "the file has: {by_files}");
    // A mistake in the file is no matter to the engine, nor to the client that asks it.
    fs::write(&file, "(").unwrap();
    assert_eq!(route(&instance, &["alice@relais.example"])["accepted"], true);
    fs::write(&file, text).unwrap();

    // A client that INTERNAL_IP vouches for may go where others may not.
    for (client, accepted) in [(None, false), (Some("127.0.0.1"), true), (Some("::1"), false)] {
        let arguments: Vec<&str> = ["x@elsewhere.test"]
            .into_iter()
            .chain(client.into_iter().flat_map(|client| ["--client", client]))
            .collect();
        for offline in [&[][..], &["--offline"]] {
            let told = route(&instance, &[&arguments[..], offline].concat());
            let relaying = told["reply"].as_str().unwrap().contains("relaying");
            assert_eq!(!relaying, accepted, "{client:?} {offline:?}: {told}");
        }
    }
}

#[test]
fn many_addresses_get_a_line_each() {
    let instance = Instance::new(Settings::standalone());
    let list = instance.path("list");
    let addresses: Vec<String> = (0..600).map(|n| format!("user{n}@relais.example")).collect();
    let lines = format!(
        "# of ours\nalice@relais.example\n\n#\n<bob@relais.example>\r\n{}",
        addresses.join("\n")
    );
    fs::write(&list, lines).unwrap();
    let list = list.to_str().unwrap();
    let _running = instance.start();
    for (offline, whom) in [(&[][..], "the running engine"), (&["--offline"], "the files of ")] {
        let output = instance.relais("route", &[&["--file", list], offline].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(text.lines().count(), 1 + 602 + 1, "{text}");
        let sum = text.lines().last().unwrap();
        assert!(sum.starts_with("602 addresses, 600 refused; asked: ") && sum.contains(whom));
        let json = instance.relais("route", &[&["--json", "--file", list], offline].concat());
        let objects: Vec<Value> = String::from_utf8_lossy(&json.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(objects.len(), 602);
        assert_eq!(objects[1]["results"][0]["address"], "bob");
        assert!(objects.iter().all(|object| asked(object).contains(whom)));
    }
}

fn asked(explained: &Value) -> &str {
    explained["asked"].as_str().unwrap()
}

fn route(instance: &Instance, arguments: &[&str]) -> Value {
    let output = instance.relais("route", &[arguments, &["--json"]].concat());
    let parsed = serde_json::from_slice(&output.stdout);
    parsed.unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
