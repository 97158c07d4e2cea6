//! Every actor that takes part in a delivery is seen at the metrics endpoint: messages by type, busy
//! time, and a mailbox that is empty again.

use std::time::Duration;

use relais_tests::{
    Dialogue, Instance, Settings, Sink, eventually, fetch, message, one_delivered_and_one,
};

/// One number of the page.
fn value(page: &str, series: &str) -> f64 {
    let of = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok();
    page.lines().find_map(of).unwrap_or_else(|| panic!("{series} is missing from\n{page}"))
}

/// All messages that actors of this kind handled.
fn handled(page: &str, actor: &str) -> f64 {
    let prefix = format!("relais_actor_messages_total{{actor=\"{actor}\",");
    let lines = page.lines().filter(|line| line.starts_with(&prefix));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

fn expect(instance: &Instance, actors: &[&str], messages: &[(&str, &str, f64)]) {
    let page = || fetch(instance.settings.admin, "/metrics").expect("metrics").body;
    eventually("every mailbox is empty again", Duration::from_secs(20), || {
        let page = page();
        let depth =
            |actor| value(&page, &format!("relais_actor_mailbox_depth{{actor=\"{actor}\"}}"));
        actors.iter().all(|actor| depth(actor) == 0.0)
    });
    let page = page();
    for actor in actors {
        assert!(handled(&page, actor) >= 1.0, "{actor} has handled nothing:\n{page}");
        let busy = value(&page, &format!("relais_actor_busy_seconds_total{{actor=\"{actor}\"}}"));
        assert!(busy > 0.0, "{actor} was never busy");
        let wait = format!("relais_actor_mailbox_wait_seconds_total{{actor=\"{actor}\"}}");
        assert!(value(&page, &wait) >= 0.0);
    }
    for (actor, message, least) in messages {
        let series =
            format!("relais_actor_messages_total{{actor=\"{actor}\",message=\"{message}\"}}");
        let handled = value(&page, &series);
        assert!(handled >= *least, "{series} is {handled}");
    }
}

#[test]
fn mail_that_is_relayed_is_seen_at_every_actor_it_passes() {
    let (_sink, instance, _running) = one_delivered_and_one("550 5.1.1 who?");
    eventually("the sender of the other is told", Duration::from_secs(20), || {
        instance.metric("relais_notices_total") >= 1.0
    });
    let actors = [
        "dispatcher",
        "service",
        "worker",
        "session",
        "router",
        "directory",
        "queue",
        "job_controller",
        "pool",
        "job",
        "notary",
        "watch",
    ];
    let messages = [
        ("service", "Accepted", 2.0),
        ("service", "WorkerNews", 1.0),
        ("worker", "Handoff", 2.0),
        ("session", "Begin", 2.0),
        ("router", "Resolve", 2.0),
        ("queue", "Committed", 2.0),
        ("queue", "Pull", 2.0),
        ("notary", "News", 1.0),
        ("queue", "Noticed", 1.0),
    ];
    expect(&instance, &actors, &messages);
}

#[test]
fn a_peer_that_takes_its_time_makes_no_job_busy() {
    let sink = Sink::start();
    sink.slow_down(Duration::from_millis(500));
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &["alice@relais.example"], &message("m", 500)).expect(250);
    eventually("it is delivered", Duration::from_secs(30), || {
        instance.metric("relais_delivery_results_total") >= 1.0
    });
    // LHLO, MAIL, RCPT and DATA, and the dot: two waits of half a second at least.
    let page = fetch(instance.settings.admin, "/metrics").expect("metrics").body;
    let busy = value(&page, "relais_actor_busy_seconds_total{actor=\"job\"}");
    assert!(busy > 0.0 && busy < 0.5, "{busy} s");
}
