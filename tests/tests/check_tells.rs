//! What a configuration says and nobody would notice until mail goes astray, `check` says.

use std::fs;

use relais_tests::{Instance, Settings};
use serde_json::Value;

#[track_caller]
fn check(instance: &Instance) -> (Vec<Value>, Option<i32>) {
    let output = instance.relais("check", &["--json"]);
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (found.as_array().expect("a list").clone(), output.status.code())
}

fn standalone(from: &str, to: &str) -> Settings {
    Settings::standalone().edit(from, to)
}

/// What is written, whether the engine starts with it, and what is said about which field.
fn rows() -> Vec<(Settings, Option<i32>, &'static str, &'static str)> {
    let rules = "rewrite_rules: [";
    let rule = |rule: &str| standalone(rules, &format!("{rules}\n        {rule},"));
    let notary = |address: &str| {
        Settings::standalone().section(&format!("notary: (postmaster: {address:?})"))
    };
    let store = |path: &str| standalone("path: \"store\"", &format!("path: {path:?}"));
    let socket = |path: &str| {
        let settings = Settings::standalone();
        let tcp = format!("interface_address: \"127.0.0.1\", ports: [{}]", settings.lmtp);
        settings.edit(&tcp, &format!("socket: {path:?}"))
    };
    let lmtpss = "dispatcher.services[\"LMTPSS\"].socket";
    vec![
        (
            rule("(\"x.test\", \"$U%${PORT_ACESS,$H}@localhost\")"),
            Some(0),
            "rewrite_rules[0]",
            "the rule never applies: there is no mapping table \"PORT_ACESS\"; did you mean \
             PORT_ACCESS?",
        ),
        (
            rule("(\"x.test\", \"$U%$(key)${NOSUCH,$H}@localhost\")"),
            Some(0),
            "rewrite_rules[0]",
            "there is no mapping table \"NOSUCH\"",
        ),
        (
            standalone(
                "\"PORT_ACCESS\": [",
                "\"PORT_ACCESS\": [\n            (\"TCP|*\", \"$|NOSUCH;$0|$Y\"),",
            ),
            Some(0),
            "mappings[\"PORT_ACCESS\"][0]",
            "the entry never applies: there is no mapping table \"NOSUCH\"",
        ),
        (
            standalone("\"#&members=*\"", "\"#&membrs=*\""),
            Some(0),
            "delivery_options[1]",
            "\"membrs\" is the name of no delivery option of the original",
        ),
        (
            notary("nobody@relais.example"),
            Some(0),
            "notary.postmaster",
            "mail for the postmaster, nobody@relais.example, leads nowhere: 550 5.1.1",
        ),
        (
            notary("admin@elsewhere.example"),
            Some(0),
            "notary.postmaster",
            "mail for the postmaster, admin@elsewhere.example, leads nowhere: 5",
        ),
        (store("spool"), Some(1), "store.path", "the store lies in the spool"),
        (store("./x/../spool/mail"), Some(1), "store.path", "the store lies in the spool"),
        (store("."), Some(1), "store.path", "the spool, DATA/spool, lies in the store"),
        (store(".."), Some(1), "store.path", "the spool, DATA/spool, lies in the store"),
        (store("stopped"), Some(1), "store.path", "keeps the list of stopped channels there"),
        (socket("admin.sock"), Some(1), lmtpss, "the engine itself keeps the admin socket there"),
        (socket("spool/x"), Some(1), lmtpss, "the engine itself keeps the spool there"),
        (socket("store/x"), Some(1), lmtpss, "the engine itself keeps mailboxes there"),
        (
            Settings::standalone(),
            Some(0),
            "rewrite_rules[0]",
            "senders at domains that neither a rule nor the directory knows cannot be told what \
             became of their mail: their notices go to postmaster@relais.example \
             (notary.postmaster); $V keeps the rule \"$*\" for our own",
        ),
    ]
}

#[test]
fn check_says_what_would_go_astray() {
    for (settings, want, field, says) in rows() {
        let instance = Instance::new(settings);
        let (found, code) = check(&instance);
        let named = found.iter().any(|finding| {
            finding["field"] == field && finding["message"].as_str().unwrap().contains(says)
        });
        assert!(named, "{field}: {says}: {found:#?}");
        assert_eq!(code, want, "{says}: {found:#?}");
        if want == Some(1) {
            assert_eq!(instance.relais("run", &[]).status.code(), want, "{says}");
        }
    }
}

#[test]
fn check_says_of_a_directory_without_entries_that_it_has_none() {
    let instance = Instance::new(standalone("Ldif()", "Ldif(file: \"people.ldif\")"));
    fs::create_dir_all(instance.data()).unwrap();
    for text in ["", "version: 1\n", "# nobody yet\n\n"] {
        fs::write(instance.data().join("people.ldif"), text).unwrap();
        let (found, code) = check(&instance);
        assert_eq!(code, Some(0), "{found:#?}");
        let said = found.iter().find(|finding| finding["field"] == "directory.file");
        let said = said.unwrap_or_else(|| panic!("{text:?}: {found:#?}"));
        assert!(said["message"].as_str().unwrap().contains("the file has no entries"), "{said}");
    }
}

#[test]
fn a_rule_for_everybody_ends_the_word_about_those_who_cannot_be_told() {
    let rule = "rewrite_rules: [\n        (\"$*\", \"$U%$H@lmtpcs-daemon\"),";
    let settings = standalone(
        "\n    ],\n\n    channels",
        "\n        (\".\", \"$U%$H@lmtpcs-daemon\"),\n    ],\n\n    channels",
    );
    for settings in [settings, standalone("rewrite_rules: [", rule)] {
        let (found, _) = check(&Instance::new(settings));
        let said = |f: &Value| f["message"].as_str().unwrap().contains("cannot be told");
        assert!(!found.iter().any(said), "{found:#?}");
    }
}
