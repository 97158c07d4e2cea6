//! Times, sizes, hosts and addresses are read the same way wherever they are given.

use std::fs;

use relais_tests::{Instance, Settings, fetch};

#[test]
fn times_and_sizes_are_spelled_over_http_as_on_the_command_line() {
    let instance = Instance::new(Settings::standalone());
    let _running = instance.start();
    for query in ["older_than=1h", "older_than=90", "older_than=15%20min", "larger_than=10M"] {
        let page = fetch(instance.settings.admin, &format!("/api/v1/queue?{query}")).unwrap();
        assert_eq!(page.status, 200, "{query}: {}", page.body);
    }
    for (query, want) in [
        ("older_than=soon", "a time with its unit is expected"),
        ("larger_than=much", "a number of octets is expected"),
    ] {
        let page = fetch(instance.settings.admin, &format!("/api/v1/queue?{query}")).unwrap();
        assert_eq!(page.status, 400, "{query}: {}", page.body);
        assert!(page.body.contains(want), "{query}: {}", page.body);
    }
    let output = instance.relais("set", &["tcp_lmtpcs@~x.connections", "1"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is no host"), "{said}");
}

#[test]
fn route_answers_for_every_line_of_a_list() {
    let instance = Instance::new(Settings::standalone());
    let list = instance.data().with_file_name("list");
    fs::write(&list, "alice@relais.example\n\n<>\n  <bob@relais.example>\n").unwrap();
    let output = instance.relais("route", &["--file", list.to_str().unwrap(), "--json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.lines().nth(1).unwrap().contains("\"accepted\":false"), "{lines}");
}
