//! Sieve scripts and the messages that they run on: the script ends with a line `=`.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use relais_sieve::{Delivery, Environment, Limits, Message, Script, run_traced};

fuzz_target!(|octets: &[u8]| {
    let end = octets.windows(3).position(|window| window == b"\n=\n");
    let (script, message) = octets.split_at(end.unwrap_or(octets.len()));
    let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
    let Ok(script) = Script::compile(script, &limits) else { return };
    let message = message.get(3..).unwrap_or_default();
    let body = message.windows(2).position(|window| window == b"\n\n").map_or(message.len(), |at| at + 2);
    let (header, body) = message.split_at(body);
    let message = Message::of(header, body, octets.len() as u64, &limits);
    let mut delivery = Delivery {
        message: &message,
        from: "a@example.org",
        to: "b+c@example.com",
        recipient_delimiter: "+",
        now: jiff::Zoned::default(),
        environment: &Environment::default(),
        own_addresses: &["b@example.com"],
        seen: &mut |_| true,
        has_folder: &mut |_| true,
    };
    let start = Instant::now();
    let (verdict, _) = run_traced(&[&script], &mut delivery, &limits);
    // With the sanitizer everything takes many times longer.
    assert!(start.elapsed() < Duration::from_secs(2), "the bounds hold");
    if let Ok(verdict) = verdict {
        let is_kept = verdict.keep.is_some() || !verdict.files.is_empty();
        assert!(verdict.refusal.is_none() || !is_kept);
        assert!(verdict.redirects.iter().all(|it| !it.to.contains(['\r', '\n', '\0'])));
    }
});
