//! Questions that an operator can ask without sending mail: `relais route`, `check`, `config`.

use std::{fs, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, example, message};
use serde_json::Value;

#[test]
fn route_tells_channel_and_next_hop_of_each_recipient() {
    let instance = Instance::new(Settings::standalone());
    let rows = [
        ("a user", "alice@relais.example", 1),
        ("a user in other letters", "Alice@Relais.Example", 1),
        ("a user and a folder", "bob+Work@relais.example", 1),
        ("a list becomes its members", "team@relais.example", 2),
    ];
    for (name, address, results) in rows {
        let route = route(&instance, address);
        assert_eq!(route["input"], address, "{name}");
        assert_eq!(route["accepted"], true, "{name}: {route}");
        let list = route["results"].as_array().unwrap();
        assert_eq!(list.len(), results, "{name}: {route}");
        for result in list {
            assert_eq!(result["channel"], "tcp_lmtpcs", "{name}: {route}");
            // The name that the store is told: the default domain's users go by their uid alone.
            let address = result["address"].as_str().unwrap_or_default();
            assert!(["alice", "bob", "bob+Work"].contains(&address), "{name}: {route}");
            assert!(!result["next_hop"].is_null(), "{name}: {route}");
            assert!(result.get("tag").is_some(), "{name}: {route}");
        }
        assert!(!route["steps"].as_array().unwrap().is_empty(), "{name}: {route}");
    }
}

#[test]
fn route_says_which_reply_a_recipient_would_get() {
    let instance = Instance::new(Settings::standalone());
    let rows = [
        ("nobody of that name", "nobody@relais.example", "550 5.1.1"),
        ("a domain that no rule knows", "x@elsewhere.test", "550 5."),
    ];
    for (name, address, reply) in rows {
        let output = instance.relais("route", &[address, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        let route: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(route["accepted"], false, "{name}: {route}");
        assert!(route["reply"].as_str().is_some_and(|r| r.starts_with(reply)), "{name}: {route}");
    }
}

#[test]
fn route_for_people_shows_the_steps_and_the_result() {
    let instance = Instance::new(Settings::standalone());
    let output = instance.relais("route", &["alice@relais.example"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for word in ["alice", "lmtpcs-daemon", "tcp_lmtpcs", "localhost"] {
        assert!(text.contains(word), "{word} is missing from:\n{text}");
    }
}

#[test]
fn route_says_by_which_line_and_within_which_limits() {
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let rule = instance.settings.text().lines().position(|line| line.contains("(\"$*\","));
    let rule = rule.expect("a rule") + 1;
    let line = format!("(line {rule})");
    let asked = || -> Value {
        let output = instance.relais("route", &["alice+Work@relais.example", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let details = |route: &Value| {
        let steps = route["steps"].as_array().expect("steps").iter();
        let detail = |step: &Value| step["detail"].as_str().expect("a detail").to_owned();
        steps.map(detail).collect::<Vec<_>>().join("\n")
    };
    let offline = asked();
    assert_eq!(offline["results"][0]["limits"]["maxjobs"], 7, "{offline}");
    assert!(offline["results"][0]["limits"]["stopped"].is_null(), "nobody knows: {offline}");
    let _running = instance.start();
    let route = asked();
    let told = details(&route);
    assert_eq!(told, details(&offline));
    for words in [
        &*line,
        "probes $*\n",
        "probes $*, localhost.lmtp, *.lmtp, .lmtp\n",
        "$H = relais.example, $Vrelais.example = ours, $U = alice+Work",
        "does not apply: $E or $B",
        "nothing",
    ] {
        assert!(told.contains(words), "{words} is missing from:\n{told}");
    }
    let mut rules = route["steps"].as_array().expect("steps").iter();
    let applied = rules.find(|step| step["step"] == "applied").expect("a rule that applied");
    assert_eq!((&applied["pattern"], &applied["line"]), (&"$*".into(), &rule.into()), "{applied}");
    let limits = |name: &str| asked()["results"][0]["limits"][name].clone();
    assert_eq!([limits("stopped"), limits("jobs")], [Value::Bool(false), 0.into()]);
    instance.relais("set", &["tcp_lmtpcs.maxjobs", "3"]);
    instance.relais("channel", &["stop", "tcp_lmtpcs"]);
    assert_eq!([limits("stopped"), limits("maxjobs")], [Value::Bool(true), 3.into()]);
    let page = instance.relais("route", &["alice@relais.example"]).stdout;
    let page = String::from_utf8_lossy(&page);
    for words in ["stopped by an operator", "maxjobs 3", "job_limit 10", "backoff", "threaddepth"] {
        assert!(page.contains(words), "{words} is missing from:\n{page}");
    }
    // A host that cannot be talked to.
    instance.relais("channel", &["start", "tcp_lmtpcs"]);
    drop(sink);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], &message("m", 300)).expect(250);
    let is_left_alone =
        || limits("last_reply").is_string() && limits("suspended_until").is_string();
    eventually("the host is left alone", Duration::from_secs(20), is_left_alone);
}

#[test]
fn every_shipped_sample_loads_and_check_says_which_of_them_run_refuses() {
    for (name, runs) in
        [("standalone", true), ("relay", false), ("store", false), ("postfix", true)]
    {
        let instance = Instance::new(Settings::standalone());
        // Other programs may have these ports, and who runs the test may not have the low ones.
        let text = ["[25]", "[2525]", "[2225]"].iter().fold(example(name), |text, ports| {
            text.replace(&format!("ports: {ports}"), "ports: [0]")
        });
        fs::write(instance.path("relais.ron"), text.replace(":9225", ":0")).unwrap();
        let output = instance.relais("check", &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!runs)), "{name}: {text}");
        assert!(text.contains(": 0 mistakes"), "{name}: {text}");
        assert_eq!(text.contains("the engine will not start"), !runs, "{name}: {text}");
    }
}

#[test]
fn check_lists_every_mistake_with_its_place() {
    let settings = Settings::standalone()
        .edit("maxjobs: 7", "maxjobz: 7")
        .edit("max_messages: 100000", "max_messages: \"many\"")
        .edit("program: Bitbucket", "program: Bitbuckets")
        .edit("pool: \"SMTP_POOL\"", "pool: \"SMTP_POOLS\"");
    let text = settings.text().to_owned();
    let instance = Instance::new(settings);

    let output = instance.relais("check", &[]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for wrong in ["maxjobz", "many", "Bitbuckets", "SMTP_POOLS"] {
        assert!(said.contains(wrong), "{wrong:?} is not named in:\n{said}");
        let place = place(&text, wrong);
        assert!(
            said.contains(&format!(":{place}:")),
            "line {place} of {wrong:?} is not in:\n{said}"
        );
    }

    let output = instance.relais("check", &["--json"]);
    let mistakes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mistakes = mistakes.as_array().unwrap();
    assert!(mistakes.len() >= 4, "{mistakes:?}");
    for mistake in mistakes {
        for key in ["file", "line", "column", "field", "message"] {
            assert!(mistake.get(key).is_some(), "{key} is missing from {mistake}");
        }
    }
}

#[test]
fn check_looks_into_the_file_of_the_directory() {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", "directory: Ldif(file: \"people.ldif\")")
        // A relative path lies below `data`.
        .edit("data: \"relais-data\"", "data: \"data\"");
    let instance = Instance::new(settings);
    let people = instance.data().join("people.ldif");
    fs::create_dir_all(instance.data()).unwrap();
    let domain = "dn: o=x.example,dc=x\nobjectClass: sunManagedOrganization\n";
    for (content, want) in [
        (None, Some("No such file")),
        (Some(format!("{domain}huh\n")), Some("line 3: no colon")),
        (Some(domain.to_owned()), None),
    ] {
        if let Some(content) = content {
            fs::write(&people, content).unwrap();
        }
        let output = instance.relais("check", &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(want.is_some())), "{text}");
        let want = want.unwrap_or(": 0 mistakes");
        assert!(text.contains(want), "{want:?} is not in\n{text}");
        assert_eq!(text.contains("directory.file: "), !want.starts_with(": 0"), "{text}");
    }
}

#[test]
fn check_looks_into_the_words_of_notices() {
    let settings = Settings::standalone().section("notary: (templates: \"words\")");
    let instance = Instance::new(settings);
    let words = instance.data().join("words/de");
    fs::create_dir_all(&words).unwrap();
    for (content, want) in [("Hallo %{foo}\n", Some("%{foo}")), ("Hallo %{id}\n", None)] {
        fs::write(words.join("return_prefix.txt"), content).unwrap();
        let output = instance.relais("check", &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(want.is_some())), "{text}");
        let want = want.unwrap_or(": 0 mistakes");
        assert!(text.contains(want), "{want:?} is not in\n{text}");
        assert_eq!(text.contains("notary.templates: "), !want.starts_with(": 0"), "{text}");
    }
}

#[test]
fn check_warns_of_a_language_without_words() {
    for (language, warned) in [("xx", true), ("de-AT", false)] {
        let notary = format!("notary: (language: \"{language}\")");
        let instance = Instance::new(Settings::standalone().section(&notary));
        let output = instance.relais("check", &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains("notary.language: there are no words"), warned, "{text}");
    }
}

#[test]
fn text_that_is_no_ron_at_all_is_refused_with_its_place() {
    let instance = Instance::new(Settings::standalone());
    fs::write(instance.path("relais.ron"), "(\n    host: \"x\",\n    ports = 25\n)\n").unwrap();
    let output = instance.relais("check", &[]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(":3:"), "{said}");
}

#[test]
fn config_prints_a_file_that_check_takes() {
    let instance = Instance::new(Settings::standalone());
    for args in [&["--default"][..], &[]] {
        let output = instance.relais("config", args);
        assert!(output.status.success(), "config {args:?}: {output:?}");
        fs::write(instance.path("relais.ron"), &output.stdout).unwrap();
        let output = instance.relais("check", &[]);
        assert_eq!(output.status.code(), Some(0), "what config {args:?} printed: {output:?}");
    }
}

#[test]
fn wrong_use_is_exit_status_2_and_help_names_every_command() {
    let instance = Instance::new(Settings::standalone());
    assert_eq!(instance.relais("fly", &[]).status.code(), Some(2));
    let output = instance.relais("help", &[]);
    let output = if output.status.success() { output } else { instance.relais("--help", &[]) };
    let help = String::from_utf8_lossy(&output.stdout);
    for command in ["run", "check", "config", "route", "queue", "status", "counters", "stop"] {
        assert!(help.contains(command), "{command} is missing from:\n{help}");
    }
}

fn route(instance: &Instance, address: &str) -> Value {
    instance.json("route", &[address]).remove(0)
}

/// `line` of the text where `word` stands.
fn place(text: &str, word: &str) -> usize {
    text[..text.find(word).unwrap()].lines().count()
}
