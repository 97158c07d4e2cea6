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

/// Address and options, the reply, what refuses, and the channel that others' mail would go by.
type Refused<'a> = (&'a [&'a str], &'a str, Option<&'a str>, Option<&'a str>);

#[test]
fn a_refusal_of_a_client_says_by_what_and_where_mail_of_others_would_go() {
    let tables = "mappings: {
        \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],
        \"FROM_ACCESS\": [(\"*|MAIL|tcp_local|spam@*|*\", \"$NNot$ you\")],
        \"ORIG_SEND_ACCESS\": [(\"*|*|*|x@*\", \"$Y\"), (\"tcp_local|*|*|bob@*\", \"$NNot$ him\")],";
    let settings = Settings::standalone()
        .edit("mappings: {", tables)
        .edit("\"PORT_ACCESS\": [", "\"PORT_ACCESS\": [(\"TCP|*|*|10.0.0.9|*\", \"$N500$ Go\"),")
        .edit("rewrite_rules: [", "rewrite_rules: [\n        (\".\", \"$U%$H@lmtpcs-daemon\"),");
    let instance = Instance::new(settings);
    let (ours, known) = ("alice@relais.example", "--client=127.0.0.1");
    let rows: [Refused<'_>; 7] = [
        (
            &[ours, "--client=10.0.0.9"],
            "500 5.7.1 Go",
            Some("PORT_ACCESS, entry 1"),
            Some("tcp_lmtpcs"),
        ),
        (
            &[ours, known, "--from=spam@a.test"],
            "550 5.7.1 Not you",
            Some("FROM_ACCESS, entry 1"),
            Some("tcp_lmtpcs"),
        ),
        (
            &["bob@relais.example"],
            "550 5.7.1 Not him",
            Some("ORIG_SEND_ACCESS, entry 2"),
            Some("tcp_lmtpcs"),
        ),
        (
            &["a@b.test"],
            "550 5.7.1 relaying",
            Some("INTERNAL_IP, which knows no stranger"),
            Some("tcp_lmtpcs"),
        ),
        (
            &["a@b.test", "--client=10.0.0.8"],
            "550 5.7.1 relaying",
            Some("INTERNAL_IP, which does not know 10.0.0.8"),
            Some("tcp_lmtpcs"),
        ),
        // Nobody may send where nobody is, and a client may be refused there, too.
        (&["nobody@relais.example"], "550 5.1.1", None, None),
        (
            &["nobody@relais.example", "--client=10.0.0.9"],
            "500 5.7.1 Go",
            Some("PORT_ACCESS, entry 1"),
            None,
        ),
    ];
    for (arguments, reply, by, channel) in rows {
        let told = route(&instance, arguments);
        assert_eq!(told["accepted"], false, "{arguments:?}: {told}");
        assert!(told["reply"].as_str().unwrap().starts_with(reply), "{arguments:?}: {told}");
        let refused_by = told["refused_by"].as_str();
        assert!(refused_by.unwrap_or_default().starts_with(by.unwrap_or_default()), "{told}");
        assert_eq!(
            (refused_by.is_some(), told["if_permitted"][0]["channel"].as_str()),
            (by.is_some(), channel),
            "{arguments:?}: {told}"
        );
        assert_eq!(told["results"].as_array().map(Vec::len), Some(0), "{told}");
        let shown = instance.relais("route", arguments);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(
            shown.contains("mail of one who may send there would go this way:"),
            channel.is_some(),
            "{shown}"
        );
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
