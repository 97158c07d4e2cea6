//! `relais mapping` shows every step of a probe: of the running engine's table, else of the file's.

use relais_tests::{Instance, Settings};
use serde_json::Value;

const TABLES: &str = r#"general: {"key": "value", "other": "Other-"},
    mappings: {
        "INNER": [("10.*", "$Yinside-$0"), ("*", "$N")],
        "TRIED": [
            ("no*", "$Y"),
            ("nor", "$N"),
            ("x*", "$C$:Tp|$0"),
            ("x*", "$Cq|$0"),
            ("q|*", "$|inner;$0|${key}$Y$#seq#"),
            ("q|*", "$N$^${other}$0"),
        ],"#;

#[test]
fn every_step_is_shown_by_the_engine_and_by_the_files() {
    let settings = Settings::standalone().edit("mappings: {", TABLES);
    let instance = Instance::new(settings);
    let told = probe(&instance, &["tried", "x10.7"]);
    assert!(told["asked"].as_str().unwrap().starts_with("the files of "), "{told}");
    let running = instance.start();
    for offline in [&[][..], &["--offline"]] {
        let told = probe(&instance, &[&["tried", "x10.7"], offline].concat());
        let result = ["table", "flags", "text", "entry", "matched"].map(|key| told[key].clone());
        let want = serde_json::json!(["TRIED", "$Y", "inside-7value1", 5, true]);
        assert_eq!(Value::from(result.to_vec()), want, "{told}");
        let steps: Vec<_> = told["steps"].as_array().unwrap().iter().map(words).collect();
        let want = [
            "0 probe: \"x10.7\" with 6 entries",
            "0 match: entry 3: \"x*\" matches, $0 is \"10.7\"; \"$C$:Tp|$0\"",
            "0 flag: flag T is clear: the entry fails",
            "0 match: entry 4: \"x*\" matches, $0 is \"10.7\"; \"$Cq|$0\"",
            "0 result: entry 4: \"q|10.7\", no flag; goes on with the next entry",
            "0 match: entry 5: \"q|*\" matches, $0 is \"10.7\"; \"$|inner;$0|${key}$Y$#seq#\"",
            "0 call: table inner: \"10.7\" with 2 entries",
            "1 match: entry 1: \"10.*\" matches, $0 is \"7\"; \"$Yinside-$0\"",
            "1 result: entry 1: \"inside-7\", $Y; that is the result",
            "0 answer: table inner says $Y and \"inside-7\"",
            "0 key: the general database has \"key\": \"value\"",
            "0 number: the next of seq: 1",
            "0 result: entry 5: \"inside-7value1\", $Y; that is the result",
        ];
        assert_eq!(steps, want);
        let asked = told["asked"].as_str().unwrap();
        let by_engine = asked.contains(&running.pid().to_string());
        assert_eq!(by_engine, offline.is_empty(), "{asked}");
    }
    assert!(!instance.path("data/seq").exists(), "looking draws no number");
    let told = probe(&instance, &["TRIED", "x11", "--flags", "T"]);
    assert_eq!(told["matched"], true, "{told}");
    assert_eq!((&told["text"], &told["flags"]), (&"p|11".into(), &"".into()), "{told}");
    // For people, and the exit status for scripts.
    let shown = instance.relais("mapping", &["TRIED", "-x"]);
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("no match  no entry applies") && text.contains("TRIED: no entry applies")
    );
    let shown = instance.relais("mapping", &["TRIED", "x11"]);
    assert!(shown.status.success(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("TRIED, entry 6: $N, \"OTHER-11\""), "{text}");
    let unknown = instance.relais("mapping", &["TRIDE", "x"]);
    let text = String::from_utf8(unknown.stderr).unwrap();
    assert!(text.contains("there is no mapping table \"TRIDE\"; did you mean TRIED?"), "{text}");
    let bad = instance.relais("mapping", &["TRIED", "x", "--flags", "1"]);
    assert!(String::from_utf8(bad.stderr).unwrap().contains("are no flags"));
}

fn probe(instance: &Instance, arguments: &[&str]) -> Value {
    let output = instance.relais("mapping", &[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn words(step: &Value) -> String {
    format!(
        "{} {}: {}",
        step["depth"],
        step["step"].as_str().unwrap(),
        step["detail"].as_str().unwrap()
    )
}
