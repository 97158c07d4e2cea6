//! `kill -9` at any moment loses nothing that got its 250, and repeats next to nothing.
//!
//! A load runs into the engine, which delivers to a sink that keeps books. Again and again the
//! engine is killed at a random moment and started again on the same data directory. The seed of
//! those moments is printed; `RELAIS_SEED` sets it.

use std::{thread, time::Duration};

use relais_tests::{Instance, Load, Random, Settings, Sink, eventually, within};

#[test]
fn every_message_that_got_its_250_survives_kill_9_at_any_moment() {
    let mut random = Random::seeded();
    let sink = Sink::start();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let load = Load::new(instance.settings.smtp, "alice@relais.example", 4096);

    for round in 1..=KILLS {
        let running = instance.start();
        let life = Duration::from_millis(random.between(5, 900));
        thread::scope(|threads| {
            threads.spawn(|| load.run(20, usize::MAX));
            thread::sleep(life);
            running.kill();
        });
        println!(
            "kill {round} after {life:?}: {} begun, {} acknowledged, {} delivered",
            load.started(),
            load.acknowledged().len(),
            sink.total()
        );
    }

    let _running = instance.start();
    let acknowledged = load.acknowledged();
    assert!(acknowledged.len() > KILLS, "a load that is none: {}", acknowledged.len());
    within(PATIENCE, || sink.missing(&acknowledged).is_empty());
    let missing = sink.missing(&acknowledged);
    assert!(
        missing.is_empty(),
        "lost {} of {} acknowledged messages, {:?} among them",
        missing.len(),
        acknowledged.len(),
        &missing[..missing.len().min(5)]
    );
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());

    let repeated = sink.repeated();
    println!(
        "{KILLS} kills: {} acknowledged, none lost, {} delivered more than once",
        acknowledged.len(),
        repeated.len()
    );
    assert!(
        repeated.len() <= KILLS * IN_DOUBT,
        "{} messages were delivered more than once in {KILLS} kills",
        repeated.len()
    );
}

/// The same with the load gone before: a queue that nobody pushes is picked up from the disk.
#[test]
fn a_backlog_survives_repeated_kills_while_it_is_delivered() {
    const MESSAGES: usize = 2_000;
    let mut random = Random::seeded();
    let sink = Sink::start();
    sink.pause();
    let instance = Instance::new(Settings::standalone().deliver_to(sink.port));
    let load = Load::new(instance.settings.smtp, "bob@relais.example", 1024);
    let running = instance.start();
    load.run(20, MESSAGES);
    running.kill();
    let acknowledged = load.acknowledged();
    assert_eq!(acknowledged.len(), MESSAGES);
    sink.resume();

    let mut kills = 1;
    while kills < 20 && !sink.missing(&acknowledged).is_empty() {
        let running = instance.start();
        thread::sleep(Duration::from_millis(random.between(1, 60)));
        running.kill();
        kills += 1;
    }
    let _running = instance.start();
    eventually("the whole backlog", PATIENCE, || sink.missing(&acknowledged).is_empty());
    let repeated = sink.repeated();
    println!("{kills} kills: {} of {MESSAGES} delivered more than once", repeated.len());
    assert!(repeated.len() <= kills * IN_DOUBT, "{} repeated", repeated.len());
}

const KILLS: usize = 20;
/// Messages that one kill may leave in doubt: for each thread of the channel's seven jobs the one
/// whose reply is on its way, and the one whose result is on its way to the disk.
const IN_DOUBT: usize = 2 * 7 * 10;
const PATIENCE: Duration = Duration::from_secs(120);
