//! SMTP out to real servers.

use std::time::Duration;

use relais_tests::{
    Dialogue, Instance, Receiver, Settings, eventually, message, needs, needs_root,
};

/// The lines of the log of the channel `tcp_out` for this action.
fn lines(instance: &Instance, action: &str) -> Vec<serde_json::Value> {
    let log = instance.log();
    let all = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    all.filter(|line| line["action"] == action && line["channel"] == "tcp_out").collect()
}

fn send(instance: &Instance, to: &[&str], name: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("ann@sender.test", to, &message(name, 500)).expect(250);
}

#[test]
fn postfix_takes_mail_of_a_channel_of_program_smtp() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let postfix = Receiver::postfix("");
    let place = format!("[127.0.0.1]:{}", postfix.port);
    let instance = Instance::new(Settings::standalone().smtp_out(&place, ""));
    let _running = instance.start();
    send(&instance, &["bob@remote.test", "carol@remote.test"], "one");
    eventually("it is delivered", PATIENCE, || !lines(&instance, "D").is_empty());
    eventually("Postfix has it", PATIENCE, || postfix.messages().len() == 2);
    let log = postfix.log();
    assert!(log.contains("nrcpt=2"), "in one transaction: {log}");
    assert!(instance.queue().is_empty());
}

const PATIENCE: Duration = Duration::from_secs(30);
