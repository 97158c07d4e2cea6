//! DNS block lists, asked of a real name server; and of one that says nothing.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use relais_tests::{Dialogue, Instance, NameServer, Settings, fetch, needs};

const RECORDS: &str = "\
2.7.0.127 A 127.0.0.2\n\
2.7.0.127 TXT \"spam was seen~from there\"\n\
3.7.0.127 A 127.255.255.254\n\
4.7.0.127 A 192.0.2.1\n\
8.7.0.127 A 127.0.0.2\n\
9.7.0.127 A 127.0.0.2\n";

fn asking(lists: &str, port: u16, more: &str) -> Settings {
    let lists = format!("dns_verify_domain: [{lists}], dns_verify_time: \"1500ms\"{more}");
    Settings::standalone()
        .dispatcher(&lists)
        .section(&format!("dns: (servers: [\"127.0.0.1:{port}\"])"))
        .edit(
            "\"PORT_ACCESS\": [",
            "\"INTERNAL_IP\": [(\"127.0.7.8\", \"$Y\")],\n        \"PORT_ACCESS\": [\n            \
             (\"TCP|*|*|127.0.7.9|*\", \"$Y\"),",
        )
}

fn greeting(instance: &Instance, client: u8) -> String {
    let greeted = Dialogue::connect_from([127, 0, 7, client], instance.settings.smtp);
    greeted.expect("a greeting").1.text
}

#[test]
fn listed_clients_are_turned_away_unless_a_table_is_about_them() {
    if !needs(&[NameServer::PROGRAM]) {
        return;
    }
    let server =
        NameServer::start(&[("list.test", RECORDS), ("other.test", "5.7.0.127 A 127.0.0.4\n")]);
    let instance = Instance::new(asking("\"list.test\", \"other.test\"", server.port, ""));
    let _running = instance.start();
    let rows = [
        (1, "220 "),
        (2, "554 5.7.1 [127.0.7.2] is listed by list.test: spam was seen~from there\r\n"),
        // Codes that say something else than "listed".
        (3, "220 "),
        (5, "554 5.7.1 [127.0.7.5] is listed by other.test\r\n"),
        (8, "220 "),
        (9, "220 "),
    ];
    for (client, want) in rows {
        let got = greeting(&instance, client);
        assert!(got.starts_with(want), "{client}: {got}");
    }
    let log = instance.log();
    assert!(log.contains("127.255.255.254") && log.contains("mail passes"), "{log}");
    let page = fetch(instance.settings.admin, "/metrics").unwrap().body;
    let listed = page.lines().find(|line| {
        line.starts_with("relais_dispatcher_connections_total{")
            && line.contains("\"listed\"")
            && line.contains("\"SMTP\"")
    });
    assert!(listed.is_some_and(|line| line.ends_with(" 2")), "{listed:?}");
    for offline in [&[][..], &["--offline"]] {
        let output =
            instance.relais("test", &[&["access", "127.0.7.5", "--json"], offline].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["table"], "other.test", "{told}");
        assert_eq!(told["reply"], "554 5.7.1 [127.0.7.5] is listed by other.test");
    }
    // An answer is remembered as long as it says.
    drop(server);
    assert!(greeting(&instance, 5).starts_with("554 "));
}

#[test]
fn a_name_server_that_says_nothing_lets_mail_pass_and_is_left_alone() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let instance = Instance::new(asking("\"list.test\"", port, ""));
    let _running = instance.start();
    let started = Instant::now();
    assert!(greeting(&instance, 2).starts_with("220 "));
    let first = started.elapsed();
    assert!(first > Duration::from_secs(1) && first < Duration::from_secs(5), "{first:?}");
    let started = Instant::now();
    assert!(greeting(&instance, 2).starts_with("220 "));
    let second = started.elapsed();
    assert!(second < Duration::from_secs(1), "{second:?}");
    let log = instance.log();
    assert_eq!(log.matches("gives no answer: mail passes").count(), 1, "{log}");
}
