//! A setting that is accepted and does nothing is named by `check`, and does no harm either.

use relais_tests::{Instance, Settings};
use serde_json::Value;

#[track_caller]
fn says(settings: Settings, rows: &[(&str, &str)], want: i32) {
    let instance = Instance::new(settings);
    let output = instance.relais("check", &["--json"]);
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    for (field, says) in rows {
        let named = found.as_array().expect("a list").iter().any(|finding| {
            finding["field"] == *field && finding["message"].as_str().unwrap().contains(says)
        });
        assert!(named, "{field}: {says}: {found:#}");
    }
    assert_eq!(output.status.code(), Some(want), "{found:#}");
}

#[test]
fn a_table_that_would_fail_open_is_refused_with_the_spelling_that_works() {
    let settings = Settings::standalone();
    let entry = format!(
        "\"PORT_ACCESS\": [\n            (\"TCP|*|+{}|10.0.0.1|*\", \"$N\"),\n            \
         (\"TCP|::ffff:127.0.0.1|*\", \"$N\"),",
        settings.smtp
    );
    let rows = [
        ("mappings[\"PORT_ACCESS\"][0]", "is always written"),
        ("mappings[\"PORT_ACCESS\"][1]", "is always written \"127.0.0.1\" there"),
    ];
    says(settings.edit("\"PORT_ACCESS\": [", &entry), &rows, 1);
}

#[test]
fn delivery_settings_of_channels_that_do_not_deliver_are_named() {
    let settings = Settings::standalone()
        .channel("hold", "daemon: \"[127.0.0.1]\", connectcanonical: true")
        .channel("process", "maxjobs: 2, notices: [\"1d\"], multigate: true");
    let rows = [
        ("channels[6].daemon", "a channel of program Hold connects to no host"),
        ("channels[6].daemon", "nothing comes of daemon, connectcanonical"),
        ("channels[4].multigate", "nothing comes of multigate, maxjobs, notices"),
    ];
    says(settings, &rows, 0);
}

#[test]
fn an_engine_without_a_queue_refuses_nothing_for_want_of_room_in_it() {
    let settings = Settings::store()
        .section("spool: (min_free: \"1000TiB\")")
        .section("max_received_lines: 7")
        .section("job_controller: (max_messages: 50)")
        .edit("mappings: {", "mappings: {\n        \"INTERNAL_IP\": [(\"*\", \"$Y\")],");
    let rows = ["spool", "max_received_lines", "job_controller"]
        .map(|field| (field, "no service of program Smtp takes mail in: nothing comes of"));
    let table = ("mappings[\"INTERNAL_IP\"]", "the table is not consulted");
    says(settings.clone(), &[&rows[..], &[table]].concat(), 0);
    // One word for a directory that nobody asks, and none for each of its addresses.
    let directory = "directory: Ldif(), delivery_options: [\"#*mailbox=$M@tcp_lmtpss-daemon\"]";
    let checked = Instance::new(settings.clone().section(directory)).relais("check", &["--json"]);
    let found = String::from_utf8(checked.stdout).unwrap();
    assert!(found.contains("nothing comes of directory") && !found.contains("alice"), "{found}");
    let instance = Instance::new(settings);
    let _running = instance.start();
    assert!(instance.is_ready());
    for (name, want) in [("relais_spool_refusing", 0.0), ("relais_spool_min_free_bytes", 0.0)] {
        assert!((instance.metric(name) - want).abs() < f64::EPSILON, "{name}");
    }
}

#[test]
fn an_option_that_leads_to_no_channel_is_refused_as_a_rule_is() {
    let from = "\"#*mailbox=@$X.LMTP:$M%$\\\\$2I$_+$2S@lmtpcs-daemon\"";
    let settings = Settings::standalone().edit(from, "\"#*mailbox=$M@nosuch-daemon\"");
    says(settings, &[("delivery_options[0]", "no channel has the tag \"nosuch-daemon\"")], 1);
}

#[test]
fn a_mark_that_shuts_our_own_host_out_is_named() {
    let field = "general[\"x\"]";
    let want = "localhost is not: mail for users whose mailHost is this one is refused (554 5.4.6)";
    says(Settings::standalone().section("general: {\"x\": \"lmtp\"}"), &[(field, want)], 0);
}
