//! A relay that has had one message of either fate.

use std::time::Duration;

use crate::{Dialogue, Instance, Running, Settings, Sink, eventually, message};

/// An engine before a sink that took alice's message and answered bob's recipient with `refusal`.
pub fn one_delivered_and_one(refusal: &str) -> (Sink, Instance, Running) {
    let sink = Sink::start();
    sink.answer("RCPT TO:<bob", refusal);
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let running = instance.start();
    for user in ["alice", "bob"] {
        let mut client = Dialogue::open(instance.settings.smtp);
        let to = format!("{user}@relais.example");
        client.message("a@sender.test", &[&to], &message("m", 500)).expect(250);
    }
    eventually("both have a result", Duration::from_secs(20), || {
        instance.metric("relais_delivery_results_total") >= 2.0
    });
    (sink, instance, running)
}
