//! Under load nothing is lost and nothing doubled.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use relais_tests::{Instance, Load, Settings, Sink, eventually, needs, within};

#[test]
fn twenty_thousand_messages_of_smtp_source_go_through_once_each() {
    const MESSAGES: usize = 20_000;
    if !needs(&["smtp-source"]) {
        return;
    }
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let running = instance.start();
    let start = Instant::now();
    let source = Command::new("/usr/sbin/smtp-source")
        .args(["-d", "-s", "20", "-l", "4096", "-m", &MESSAGES.to_string()])
        .args(["-f", "sender@sender.test", "-t", "alice@relais.example"])
        .arg(format!("127.0.0.1:{}", instance.settings.smtp))
        .status()
        .unwrap();
    assert!(source.success(), "smtp-source was refused: {source}");
    within(Duration::from_secs(120), || sink.total() >= MESSAGES);
    let took = start.elapsed();

    eventually("an empty queue", Duration::from_secs(10), || instance.queue().is_empty());
    println!(
        "{MESSAGES} messages in {took:?} ({:.0}/s) over {} connections; peak memory {} MiB",
        MESSAGES as f64 / took.as_secs_f64(),
        sink.connections(),
        running.memory().peak >> 20
    );
    assert_eq!(sink.seen().len(), MESSAGES, "different messages delivered");
    assert_eq!(sink.repeated(), Vec::<String>::new(), "delivered more than once");
    assert!(sink.announced() > 0, "no message was announced behind another");
    assert!(instance.metric("relais_queue_stored") < 1.0, "the metric agrees that nothing is left");
}

#[test]
fn a_store_that_closes_its_connections_gets_each_message_once() {
    const MESSAGES: usize = 1_000;
    let sink = Sink::start();
    sink.pause();
    sink.close_every(3);
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let _running = instance.start();
    let load = Load::new(instance.settings.smtp, "alice@relais.example", 2_000);
    load.run(10, MESSAGES);
    // All wait, so that there is always one to announce.
    sink.resume();
    eventually("an empty queue", Duration::from_secs(60), || instance.queue().is_empty());
    let (announced, connections) = (sink.announced(), sink.connections());
    assert!(announced > 0 && connections >= MESSAGES / 3, "{announced} over {connections}");
    assert_eq!(sink.seen().len(), load.acknowledged().len());
    assert_eq!((sink.total(), sink.repeated()), (MESSAGES, Vec::new()), "each of them once");
}
