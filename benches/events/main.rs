//! Events for others: the CPU of telling one, and of writing it to the file and to what waits for a webhook
//! that does not listen.
//!
//!     cargo run --release -p relais-benches --bin events

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use clap::Parser;
use relais_config::{Config, EventKind, STANDALONE};
use relais_events::{Event, EventRecipient, EventReply, Keeper, Settings, Tap};
use rustix::time::{ClockId, clock_gettime};

/// Tells events as deliveries do.
#[derive(Debug, Parser)]
struct Options {
    /// Events.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
}

fn main() {
    let Options { events } = Options::parse();
    for (name, section) in [
        ("off", ""),
        ("file", "file: \"events.jsonl\""),
        ("file and webhook", "file: \"events.jsonl\", webhook: \"http://127.0.0.1:9\""),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let text = STANDALONE.replacen("host:", &format!("events: ({section}), host:"), 1);
        let (mut config, _) = Config::parse("bench", &text).expect("it is valid");
        folder.path().clone_into(&mut config.data);
        let tap = Tap::default();
        let keeper = Keeper::start(&tap, Settings::of(&config)).expect("a thread");
        let (began, all) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
        let mut told = Duration::ZERO;
        let mut left = events;
        while left > 0 {
            let before = cpu(ClockId::ThreadCPUTime);
            let batch = left.min(2_000);
            for number in 0..batch {
                tell(black_box(&tap), number);
            }
            told += cpu(ClockId::ThreadCPUTime).saturating_sub(before);
            left -= batch;
            keeper.flush();
        }
        let all = cpu(ClockId::ProcessCPUTime).saturating_sub(all);
        let each = |what: Duration| what.as_secs_f64() * 1e6 / events as f64;
        println!(
            "{name}: {:.2} us an event to tell, {:.2} us in all, {:.0} events a second, {} lost",
            each(told),
            each(all),
            events as f64 / began.elapsed().as_secs_f64(),
            tap.figures().lost_in_memory() + tap.figures().lost_by_file(),
        );
        keeper.end();
    }
}

/// As a record of a delivery is told.
fn tell(tap: &Tap, number: u64) {
    if !tap.wants(EventKind::Delivered) {
        return;
    }
    let recipient =
        EventRecipient { address: "alice@relais.example".into(), routed: "alice".into() };
    tap.tell(&Event {
        id: format!("{number:013}").into(),
        from: Some("ann@sender.example".into()),
        recipients: vec![recipient],
        channel: "tcp_lmtpcs".into(),
        source_channel: "tcp_local".into(),
        host: "store1.relais.example".into(),
        peer: "store1.relais.example[192.0.2.1]:24".into(),
        protection: "TLS 1.3, the certificate is good".into(),
        reply: Some(EventReply {
            code: 250,
            enhanced: Some("2.0.0".to_owned()),
            text: "Ok: queued as 4XYZabc123".into(),
        }),
        attempts: Some(1),
        size: Some(4_096),
        delay: Some(0.123),
        peer_id: "4XYZabc123".into(),
        message_id: "<1.x@sender.example>".into(),
        client: "mail.sender.example [192.0.2.2]".into(),
        ..Event::new(EventKind::Delivered, "2026-12-01T00:00:00.000Z".to_owned())
    });
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned() as u32)
}
