//! Connections that run, and their fate when they are disturbed.

use relais_storage::EntryState;

use super::{House, Plan, a_while, eventually, jobs::Deed};
use crate::{
    job_controller::{Limit, StopStarting},
    metrics::Format,
    queue::{DescribeQueue, DrainQueue, SetMaxMessages},
    timestamp::now_ms,
};

#[actix::test]
async fn a_thread_that_panics_costs_its_message_an_attempt_and_the_others_nothing() {
    let house = House::new(Plan::default());
    house.script.set("bad.test", Deed::Panic);
    let before = now_ms();
    let bad = house.post("bad.test").await;
    let mut good = Vec::new();
    for host in ["one.test", "two.test", "one.test"] {
        good.push(house.post(host).await);
    }
    for id in good {
        house.until_done(id).await;
    }
    let deferred = |state: &EntryState| matches!(state, EntryState::Waiting { attempts: 1, due, .. } if *due > before);
    house.until(bad, "it is deferred", deferred).await;
    let found = house.found(bad).await.unwrap();
    let history = house.storage.history(bad, found.place).await.unwrap();
    assert_eq!(history[0].replies[0].1.reply().text, "the delivery broke off by an error of ours");
    assert_eq!(house.log.count("a thread panicked"), 1);
    let restarts = r#"relais_actor_restarts_total{actor="job",cause="panic"} 1"#;
    let page = house.metrics.page(Format::Text);
    assert!(page.contains(restarts), "{page}");

    house.script.set("bad.test", Deed::Deliver);
    let next = house.post("bad.test").await;
    house.until_done(next).await;
    assert!(house.found(bad).await.is_some(), "it waits for its time");
}

#[actix::test]
async fn a_channel_that_is_stopped_finishes_what_it_has_and_starts_nothing() {
    let house = House::new(Plan::default());
    house.script.close_gate();
    let first = house.post("one.test").await;
    eventually("it is taken", || house.script.in_hand() == 1).await;
    let mut later = vec![house.post("one.test").await];
    house.freeze(true).await;
    house.script.let_pass(1);
    house.until_done(first).await;
    eventually("its connection ends", || house.script.connections() == 0).await;
    later.push(house.post("two.test").await);
    a_while().await;
    assert_eq!(house.script.taken(), [first], "nothing more is handed out, nothing is started");

    house.freeze(false).await;
    house.script.open_gate();
    for id in later {
        house.until_done(id).await;
    }
}

#[actix::test]
async fn limits_take_effect_at_once_upwards_and_at_message_boundaries_downwards() {
    let mut plan = Plan::default();
    plan.stores.maxjobs = 1.try_into().unwrap();
    let house = House::new(plan);
    house.script.close_gate();
    for host in 0..6 {
        for _ in 0..3 {
            house.post(&format!("h{host}.test")).await;
        }
    }
    let maxjobs = || Limit::Maxjobs { channel: "stores".to_owned() };
    let job_limit = || Limit::JobLimit { pool: "SMTP_POOL".to_owned() };
    eventually("one job", || house.script.in_hand() == 1).await;
    a_while().await;
    assert_eq!(house.script.in_hand(), 1);

    assert_eq!(house.tune(maxjobs(), 4).await, 1);
    eventually("four jobs", || house.script.in_hand() == 4).await;
    a_while().await;
    assert_eq!(house.script.connections(), 4);

    assert_eq!(house.tune(job_limit(), 2).await, 10);
    a_while().await;
    assert_eq!(house.script.in_hand(), 4, "what is in hand is not broken off");
    house.script.let_pass(4);
    eventually("two jobs", || house.script.connections() == 2 && house.script.in_hand() == 2).await;
    a_while().await;
    assert_eq!(house.script.connections(), 2);

    assert_eq!(house.tune(job_limit(), 10).await, 2);
    eventually("four jobs again", || house.script.in_hand() == 4).await;
    house.script.open_gate();
    eventually("all is dealt with", || house.script.taken().len() == 18).await;
}

#[actix::test]
async fn memory_follows_max_messages_and_loses_nothing() {
    let house = House::new(Plan::default());
    house.freeze(true).await;
    for _ in 0..30 {
        house.post("one.test").await;
    }
    let tracked = async || house.queue.ask(DescribeQueue).await.unwrap().tracked;
    assert_eq!(house.queue.ask(SetMaxMessages(8)).await.unwrap(), 1_000);
    assert_eq!(tracked().await, 8);
    house.post("one.test").await;
    a_while().await;
    assert!(tracked().await <= 8);
    assert_eq!(house.queue.ask(SetMaxMessages(1_000)).await.unwrap(), 8);
    for _ in 0..200 {
        if tracked().await == 31 {
            break;
        }
        tokio::time::sleep(super::STEP).await;
    }
    assert_eq!(tracked().await, 31, "a scan brings back what was forgotten");
    house.freeze(false).await;
    eventually("all is delivered", || house.script.taken().len() == 31).await;
}

#[actix::test]
async fn a_drain_ends_when_nothing_is_in_hand_and_every_sender_is_told() {
    let house = House::new(Plan::default());
    house.script.set("one.test", Deed::RefuseFirst);
    house.script.close_gate();
    let refused = house.post("one.test").await;
    eventually("it is taken", || house.script.in_hand() == 1).await;
    let waits = house.post("one.test").await;
    house.controller.tell(StopStarting);
    let drained = house.queue.ask(DrainQueue);
    tokio::pin!(drained);
    let early = tokio::time::timeout(super::STEP * 20, &mut drained).await;
    assert!(early.is_err(), "a job still has a message");
    house.script.let_pass(1);
    let told = tokio::time::timeout(super::STEP * super::PATIENCE, drained).await;
    told.expect("the drain ends").unwrap();
    assert_eq!(house.script.connections(), 0);
    assert!(house.found(refused).await.is_none(), "its sender was told before the end");
    assert_eq!(house.log.count("a notice to the sender"), 1);
    assert_eq!(house.found(waits).await.unwrap().state.attempts(), 0, "it was not handed out");
}
