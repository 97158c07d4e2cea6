//! `relais test`: one stage of routing probed by hand, of a running engine and of the files alone.

use std::process::Output;

use relais_tests::{Instance, Settings, Slapd, needs};
use serde_json::Value;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines that begin with this word, without it.
fn lines(text: &str, word: &str) -> Vec<String> {
    let rest =
        |line: &str| line.strip_prefix(word)?.strip_prefix("  ").map(|it| it.trim().to_owned());
    text.lines().filter_map(rest).collect()
}

/// The exit status, and what a command says.
fn test(instance: &Instance, args: &[&str]) -> (i32, String) {
    let output = instance.relais("test", args);
    let said = text(&output) + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("it exits"), said)
}

fn sample() -> Settings {
    let rules = r#"rewrite_rules: [
        ("old.example", "$U%$D@bitbucket$Mtcp_none"),
        ("old.example", "$U%relais.example"),
        (".cut.example", "$U%$H$D@nowhere$4001002?Try later"),"#;
    Settings::standalone()
        .edit("rewrite_rules: [", rules)
        .edit("(\"$*\",    \"$A$E$F", "(\".\",    \"$A$E$F")
}

/// Rewriting ends with the channel and the address, as the original's last lines.
fn rewriting(instance: &Instance) {
    let (status, said) = test(instance, &["rewrite", "alice@old.example"]);
    assert_eq!(status, 0, "{said}");
    let last: Vec<_> = said.lines().rev().take(2).collect();
    assert!(
        last[0].starts_with("address ") && last[0].ends_with(" alice@relais.example"),
        "{said}"
    );
    assert!(last[1].starts_with("channel ") && last[1].ends_with(" l"), "{said}");
    assert_eq!(lines(&said, "probes")[0], "$*, old.example", "{said}");
    let failed = lines(&said, "failed");
    let is_told = failed[0].contains("$Mtcp_none (line ") && failed[0].ends_with("apply: $M");
    assert!(is_told, "{said}");
    let (status, said) = test(instance, &["rewrite", "x@a.cut.example"]);
    assert!(status == 1 && said.contains("450 4.1.2 Try later"), "{status} {said}");
    let (status, said) = test(instance, &["rewrite", "x@relais.example", "--header", "--sender"]);
    assert!(status == 1 && said.contains("(header)") && said.contains("$E or $B"), "{said}");
    let (status, said) = test(instance, &["rewrite", "a@b@c"]);
    assert!(status == 2 && said.contains("is no address"), "{status} {said}");
    let (status, said) = test(instance, &["rewrite", "a@b.example", "--channel", "tcp_loca"]);
    assert!(status == 2 && said.contains("did you mean tcp_local?"), "{status} {said}");
    let json = instance.json("test", &["rewrite", "alice@old.example"]).remove(0);
    assert_eq!((&json["stage"], &json["passed"]), (&"rewrite".into(), &Value::Bool(true)));
    let facts = json["facts"].as_array().expect("facts");
    assert_eq!(facts.last().expect("one")["value"], "alice@relais.example");
}

fn others(instance: &Instance) {
    let (status, said) = test(instance, &["alias", "team"]);
    let members = ["alice@relais.example", "bob@relais.example"];
    assert_eq!((status, lines(&said, "stands for")), (0, members.map(str::to_owned).to_vec()));
    let (status, said) = test(instance, &["alias", "nobody@relais.example"]);
    assert!(status == 1 && said.contains("550 5.1.1"), "{status} {said}");
    let (status, said) = test(instance, &["option", "alice@relais.example"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("it is for groups alone"), "{said}");
    assert!(said.contains("mailDeliveryOption is mailbox"), "{said}");
    assert!(lines(&said, "leads to")[0].contains("alice@lmtpcs-daemon"), "{said}");
    let (status, said) = test(instance, &["option", "nobody@relais.example"]);
    assert!(status == 1 && said.contains("550 5.1.1"), "{status} {said}");
    let (status, said) = test(instance, &["ldap", "alice@relais.example"]);
    assert_eq!(
        (status, lines(&said, "domain")[1..].concat().as_str()),
        (0, "relais.example"),
        "{said}"
    );
    // The search of a list has no attribute, and finds any number.
    let url = "ldap:///dc=example??sub?(objectClass=inetMailUser)";
    let (status, said) = test(instance, &["ldap", url]);
    assert_eq!((status, lines(&said, "member")), (0, members.map(str::to_owned).to_vec()));
    let (status, said) = test(instance, &["ldap", "ldap:///dc=example??sub?(uid=eve)"]);
    assert_eq!((status, lines(&said, "entries").concat()), (1, "0".to_owned()), "{said}");
    let (status, said) = test(instance, &["ldap", "ldap:///dc=example??sub?(uid=eve"]);
    assert!(status == 2 && said.contains("a parenthesis is missing"), "{status} {said}");
    let url = "ldap:///dc=example?mail?sub?(uid=bob)";
    let (status, said) = test(instance, &["ldap", url]);
    assert_eq!(
        (status, lines(&said, "value").concat().as_str()),
        (0, "bob@relais.example"),
        "{said}"
    );
    let (status, said) = test(instance, &["ldap", "ldap:///dc=example?mail?sub?(uid=eve)"]);
    assert!(status == 1 && said.contains("nothing"), "{status} {said}");
    let (status, said) = test(instance, &["ldap", "ldap:///dc=example?mail?tree?(uid=eve)"]);
    assert!(status == 2 && said.contains("the scope is sub, one or base"), "{status} {said}");
    let (status, said) = test(instance, &["mapping", "PORT_ACCESS", "x"]);
    assert!(status == 1 && said.contains("no entry applies"), "{status} {said}");
}

#[test]
fn each_stage_is_probed_by_the_files_and_by_the_engine() {
    let instance = Instance::new(sample());
    for asked in ["no engine is running", "the running engine, process"] {
        let running = asked.starts_with("the").then(|| instance.start());
        rewriting(&instance);
        others(&instance);
        let (_, said) = test(&instance, &["alias", "team"]);
        assert!(said.contains(asked), "{said}");
        drop(running);
    }
}

#[test]
fn each_command_has_an_example_in_its_help() {
    let instance = Instance::new(sample());
    for stage in ["rewrite", "mapping", "alias", "option", "ldap", "access"] {
        let (status, said) = test(&instance, &[stage, "--help"]);
        assert!(status == 0 && said.contains("Example"), "{stage}: {said}");
        assert!(said.contains("--json"), "{stage}: {said}");
    }
}

#[test]
fn each_search_of_a_server_is_told() {
    if !needs(&[Slapd::PROGRAM]) {
        return;
    }
    let mut slapd = Slapd::start(
        "dn: uid=jdoe,dc=siroe,dc=com\nobjectClass: inetOrgPerson\nobjectClass: inetMailUser\n\
         uid: jdoe\ncn: J\nsn: D\nmail: jdoe@siroe.com\nmailHost: localhost\n\n",
    );
    let settings = Settings::standalone()
        .edit("directory: Ldif()", &slapd.section("timeout: \"2s\""))
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"");
    let instance = Instance::new(settings);
    let _running = instance.start();
    // Nothing that is remembered counts.
    for _ in 0..2 {
        let (status, said) = test(&instance, &["ldap", "jdoe@siroe.com"]);
        let searches = lines(&said, "search");
        assert!(status == 0 && searches.len() == 2, "{said}");
        let server = format!("ldap://127.0.0.1:{} dc=siroe,dc=com?sub?", slapd.port);
        assert!(searches[1].starts_with(&server) && searches[1].contains(": 1 entry, "), "{said}");
    }
    let url = "ldap:///dc=siroe,dc=com?mail?sub?(uid=jdoe)";
    let (status, said) = test(&instance, &["ldap", url]);
    assert!(status == 0 && said.contains("1 entry") && said.contains("jdoe@siroe.com"), "{said}");
    slapd.stop();
    let (status, said) = test(&instance, &["ldap", url]);
    assert!(status == 1 && said.contains("the directory gives no answer"), "{status} {said}");
}
