//! `relais config` finds a value by whatever name one would try, and says what a wrong name was
//! meant for; `relais set` takes no limit that would do nothing.

use std::fs;

use relais_tests::{Instance, Settings};
use serde_json::{Value, json};

#[track_caller]
fn config(instance: &Instance, args: &[&str]) -> Result<String, String> {
    let output = instance.relais("config", args);
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap().trim_end().to_owned();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        Some(1) => Err(text(output.stderr)),
        code => panic!("{args:?}: {code:?}"),
    }
}

#[test]
fn a_value_is_found_by_every_name_that_it_goes_by() {
    let instance = Instance::new(Settings::standalone());
    let port = instance.settings.smtp;
    let ports = format!("[{port}]");
    let pool = "(job_limit: 10, keep_last_slot: true)";
    let rows = [
        ("max_messages", "100000"),
        ("job_controller.max_messages", "100000"),
        ("tcp_lmtpcs.maxjobs", "7"),
        ("channels.tcp_lmtpcs.maxjobs", "7"),
        ("channels[\"tcp_lmtpcs\"].maxjobs", "7"),
        ("channels[tcp_lmtpcs].maxjobs", "7"),
        ("channels[2].maxjobs", "7"),
        ("dispatcher.services.SMTP.ports", &ports),
        ("dispatcher.services[\"SMTP\"].ports", &ports),
        ("SMTP.ports", &ports),
        ("SMTP.ports[0]", &port.to_string()),
        ("SMTP_POOL", pool),
        ("job_controller.pools.SMTP_POOL", pool),
        ("SMTP_POOL.job_limit", "10"),
        ("min_free", "\"64MiB\""),
        ("rewrite_rules[1]", "(\".lmtp\", \"$E$F$U%$H.lmtp@lmtpcs-daemon\")"),
        // A setting that does nothing is shown, and said to do nothing.
        (
            "tcp_local.maxjobs",
            "10 // nothing comes of it: no rule and no option leads to this channel",
        ),
    ];
    for (key, want) in rows {
        assert_eq!(config(&instance, &[key]).as_deref(), Ok(want), "{key}");
    }
    for key in ["tcp_lmtpcs", "channels[\"tcp_lmtpcs\"]", "channels.tcp_lmtpcs"] {
        let whole = config(&instance, &[key]).unwrap();
        assert!(whole.starts_with("(\n    name: \"tcp_lmtpcs\","), "{key}: {whole}");
        assert!(whole.contains("\n    maxjobs: 7,\n"), "{key}: {whole}");
    }
}

#[test]
fn a_wrong_name_is_told_what_may_have_been_meant() {
    let instance = Instance::new(Settings::standalone());
    let rows = [
        ("max_mesages", "did you mean job_controller.max_messages?"),
        ("MIN_FREE", "did you mean spool.min_free?"),
        ("spool.min_fre", "in spool; did you mean min_free?"),
        ("tcp_lmtpsc", "did you mean tcp_lmtpcs?"),
        ("tcp_lmtpcs.maxjob", "in channels[\"tcp_lmtpcs\"]; did you mean maxjobs?"),
        ("channels[\"tcp_lmtpc\"].maxjobs", "in channels; did you mean tcp_lmtpcs?"),
        ("channels[99]", "in channels; there are: "),
        ("SMTP_POOL.joblimit", "did you mean job_limit?"),
        ("dispatcher.services.SMTP.port", "did you mean ports?"),
        ("maxjobs", "there is a maxjobs in each of the channels: tcp_lmtpcs.maxjobs is one"),
        ("tcp_lmtpcs.maxjobs.x", "it has no parts"),
        ("xyzzy", "there is no \"xyzzy\"; there are: "),
    ];
    for (key, want) in rows {
        let said = config(&instance, &[key]).unwrap_err();
        assert!(said.contains(want), "{key}: {said}");
    }
}

#[test]
fn config_as_json_has_the_shape_that_the_help_says() {
    let instance = Instance::new(Settings::standalone());
    let whole = |args: &[&str]| instance.json("config", args).remove(0);
    let _running = instance.start();
    let of_host = "tcp_lmtpcs@store.test.connections";
    assert!(instance.relais("set", &[of_host, "5"]).status.success());
    let shown = instance.relais("config", &[of_host]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.starts_with("5 // 5 by relais set, until it stops"), "{shown:?}");
    assert_eq!(instance.json("config", &[of_host])[0]["value"], 5);
    assert!(instance.relais("set", &[of_host, "none"]).status.success());
    assert!(instance.relais("set", &["tcp_lmtpcs.maxjobs", "3"]).status.success());
    let all = whole(&[]);
    assert!(all["asked"].as_str().unwrap().starts_with("the engine that runs on "), "{all}");
    let live = json!({"tcp_lmtpcs.maxjobs": {"value": 3, "configured": 7, "saved": null}});
    assert_eq!(all["live"], live);
    let configuration = &all["configuration"];
    let channel = &configuration["channels"][2];
    assert_eq!(channel["name"], "tcp_lmtpcs");
    assert_eq!(channel["maxjobs"], 3);
    assert_eq!(channel["multigate"], true);
    assert_eq!(channel["notices"], json!(["3d", "6d", "9d", "12d"]));
    assert_eq!(channel["daemon"], Value::Null);
    assert_eq!(channel["copies"], "SingleSys");
    let port = instance.settings.smtp;
    assert_eq!(configuration["dispatcher"]["services"]["SMTP"]["ports"], json!([port]));
    assert_eq!(configuration["rewrite_rules"][1][0], ".lmtp");
    assert_eq!(configuration["directory"], json!({"Ldif": {"file": null}}));
    let changed = whole(&["--changed"]);
    assert_eq!(changed["configuration"]["channels"][2]["maxjobs"], 3);
    assert_eq!(changed["configuration"]["spool"], Value::Null);
    let one = whole(&["channels.tcp_lmtpcs.maxjobs"]);
    let want = json!({
        "asked": all["asked"], "key": "channels[\"tcp_lmtpcs\"].maxjobs", "value": 3,
        "idle": null, "live": live,
    });
    assert_eq!(one, want);
    let idle = whole(&["tcp_local.maxjobs"]);
    assert_eq!(idle["value"], 10);
    assert!(
        idle["idle"].as_str().unwrap().contains("no rule and no option leads to this channel"),
        "{idle}"
    );
    // In whatever form the key is given.
    let text = config(&instance, &["channels[2].maxjobs"]).unwrap();
    assert_eq!(text, "3 // 3 by relais set, until it stops; the file says 7");
    let text = config(&instance, &["tcp_lmtpcs"]).unwrap();
    assert!(text.starts_with("// live: tcp_lmtpcs.maxjobs is 3 by relais set"), "{text}");
}

#[test]
fn set_takes_no_limit_that_would_do_nothing() {
    let settings =
        Settings::standalone().edit("\"SMTP_POOL\": (", "\"IDLE\": (), \"SMTP_POOL\": (");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let rows = [
        ("tcp_local.maxjobs", "no rule and no option leads to this channel"),
        ("tcp_local@x.test.connections", "no rule and no option leads to this channel"),
        ("tcp_lmtpss.max_client_threads", "no rule and no option leads to this channel"),
        ("tcp_lmtpss.idle_time", "no rule and no option leads to this channel"),
        ("l.threaddepth", "a channel of program Local connects to no host"),
        ("process.idle_time", "a channel of program Process connects to no host"),
        ("process.maxjobs", "no rule and no option leads to this channel"),
        ("bitbucket.maxjobs", "no rule and no option leads to this channel"),
        ("IDLE.job_limit", "no channel that jobs serve is in this pool"),
    ];
    for (key, why) in rows {
        let value = if key.ends_with("time") { "1m" } else { "4" };
        let output = instance.relais("set", &[key, value, "--save"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{key}: {said}");
        assert!(said.contains(&format!("{key} would do nothing: {why}")), "{key}: {said}");
    }
    assert!(!instance.data().join("limits.ron").exists());
    for key in ["tcp_lmtpcs.maxjobs", "reprocess.maxjobs", "hold.maxjobs", "SMTP_POOL.job_limit"] {
        assert!(instance.relais("set", &[key, "4"]).status.success(), "{key}");
    }
    let listed = String::from_utf8(instance.relais("set", &[]).stdout).unwrap();
    let is_listed = |key: &str| listed.lines().any(|line| line.starts_with(&format!("{key} ")));
    for (key, want) in [
        ("tcp_lmtpcs.maxjobs", true),
        ("reprocess.maxjobs", true),
        ("process.maxjobs", false),
        ("tcp_local.maxjobs", false),
        ("IDLE.job_limit", false),
    ] {
        assert_eq!(is_listed(key), want, "{key}:\n{listed}");
    }
}

#[test]
fn a_channel_that_nothing_leads_to_any_more_takes_limits_while_mail_waits_in_it() {
    let instance = Instance::new(Settings::standalone().stores(9).deliver_to(9));
    let running = instance.start();
    let mut client = relais_tests::Dialogue::open(instance.settings.smtp);
    let content = relais_tests::message("m", 500);
    client.message("a@sender.test", &["x@one.test"], &content).expect(250);
    drop((client, running));
    let text = instance.settings.text().replace("@stores-daemon", "@bitbucket");
    fs::write(instance.path("relais.ron"), text).unwrap();
    let _running = instance.start();
    assert_eq!(instance.queue().len(), 1);
    let output = instance.relais("set", &["stores.maxjobs", "2"]);
    assert!(output.status.success(), "{output:?}");
}
