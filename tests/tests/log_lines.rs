//! Each line of the log that a message causes is found by its id.

use std::time::Duration;

use relais_tests::{Dialogue, Instance, Settings, Sink, eventually, message};
use serde_json::Value;

#[test]
fn a_message_that_is_refused_after_its_content_is_found_by_the_session_that_had_it_in_hand() {
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["alice@relais.example"];
    client.message("a@sender.test", &to, &message("good", 500)).expect(250);
    let bare = b"Subject: bare\r\n\r\na bare\nline feed\r\n";
    client.message("b@sender.test", &to, bare).expect(550);
    client.message("c@sender.test", &to, &message("other", 500)).expect(250);
    let lines = || -> Vec<Value> {
        instance.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let refused = |line: &Value| line["from"] == "<b@sender.test>";
    eventually("the refusal is logged", Duration::from_secs(10), || lines().iter().any(refused));
    let lines = lines();
    let refused = lines.iter().find(|line| refused(line)).expect("as above");
    assert_eq!(refused["id"], "", "{refused}");
    let span = refused["span"].as_str().unwrap_or_else(|| panic!("{refused}"));
    let id = span.split("id=").nth(1).unwrap_or_else(|| panic!("{span}")).trim_end_matches('}');
    assert!(span.starts_with("session{service=SMTP client=127.0.0.1 id="), "{span}");
    assert!(lines.iter().all(|line| line["id"] != id), "the id of another message: {id}");
    let named = lines.iter().filter(|line| line["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(named.clone().count() >= 2);
    assert!(named.clone().all(|line| line["span"].is_null()), "it is named already");
}
