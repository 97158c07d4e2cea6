//! Orders of operators while a job has the entry in hand.

use relais_channels::mail::{MessageId, Notify};
use relais_storage::EntryState;

use super::{House, Plan, a_while, eventually, jobs::Deed};
use crate::{
    metrics::Pause,
    queue::{
        DescribeQueue, DrainQueue, GiveUpJobs, ListEntries, Order, OrderKind, PlaceOrder, Placed,
        Reading,
    },
};

impl House {
    pub(super) async fn order(&self, kind: OrderKind, id: MessageId) -> Placed {
        let reading = Reading::begin(&self.queue).await.unwrap();
        let entries = vec![self.found(id).await.expect("it is in the queue")];
        let order = Order { kind, reason: "as the test wants it".into() };
        let place = PlaceOrder { reading: reading.ticket(), order, entries };
        self.queue.ask(place).await.unwrap()[0]
    }
}

#[actix::test]
async fn what_is_ordered_of_an_entry_in_hand_is_done_when_its_job_gives_it_back() {
    let house = House::new(Plan::default());
    house.script.set("later.test", Deed::Defer);
    house.script.set("down.test", Deed::Trouble);
    house.script.set("bad.test", Deed::Panic);
    house.script.close_gate();
    let held = house.post("later.test").await;
    eventually("one is taken", || house.script.in_hand() == 1).await;
    let hosts = ["later.test", "down.test", "bad.test"];
    let mut deleted = Vec::new();
    for host in hosts {
        deleted.push(house.post(host).await);
    }
    // The second for one host waits behind the first.
    eventually("all hosts are served", || house.script.in_hand() == 3).await;
    assert_eq!(house.order(OrderKind::Hold, held).await, Placed::Later);
    assert_eq!(house.order(OrderKind::Delete, deleted[0]).await, Placed::Done, "nobody has it");
    for id in &deleted[1..] {
        assert_eq!(house.order(OrderKind::Delete, *id).await, Placed::Later);
    }
    a_while().await;
    assert!(house.found(deleted[1]).await.is_some(), "not before it is back");

    house.script.open_gate();
    let is_held = |state: &EntryState| matches!(state, EntryState::Held { attempts: 1, .. });
    house.until(held, "it is held", is_held).await;
    for id in &deleted[1..] {
        house.until_done(*id).await;
        assert_eq!(house.logged("X", *id), 1, "{:#?}", house.log.taken());
    }
    let line = "to=<bob@else.test>|size=26|";
    assert_eq!(house.log.count(line), 2);
    assert_eq!(house.log.count("attempts=1|reply=250 2.0.0 as the test wants it|"), 2);
}

#[actix::test]
async fn what_was_delivered_meanwhile_is_not_deleted() {
    let house = House::new(Plan::default());
    house.script.close_gate();
    let id = house.post("one.test").await;
    eventually("it is taken", || house.script.in_hand() == 1).await;
    assert_eq!(house.order(OrderKind::Delete, id).await, Placed::Later);
    house.script.open_gate();
    house.until_done(id).await;
    a_while().await;
    assert_eq!(house.logged("X", id), 0);
}

#[actix::test]
async fn what_is_ordered_of_an_entry_that_its_job_keeps_is_done_when_the_engine_ends() {
    let house = House::new(Plan::default());
    house.script.close_gate();
    let actions = [OrderKind::Delete, OrderKind::Hold, OrderKind::Return];
    let mut ordered = Vec::new();
    for (action, host) in actions.into_iter().zip(["a.test", "b.test", "c.test"]) {
        house.script.set(host, Deed::Defer);
        ordered.push((action, house.post(host).await));
    }
    eventually("all are taken", || house.script.in_hand() == 3).await;
    for (action, id) in &ordered {
        assert_eq!(house.order(*action, *id).await, Placed::Later);
    }
    house.queue.ask(GiveUpJobs).await.unwrap();
    let after = async || {
        for (action, id) in &ordered {
            let state = house.found(*id).await.map(|found| found.state);
            let is_held = matches!(state, Some(EntryState::Held { attempts: 0, .. }));
            assert!(
                if *action == OrderKind::Delete { state.is_none() } else { is_held },
                "{state:?}"
            );
        }
    };
    after().await;
    assert_eq!(house.logged("X", ordered[0].1), 1, "{:#?}", house.log.taken());
    house.script.open_gate();
    eventually("the jobs are done", || house.script.in_hand() == 0).await;
    a_while().await;
    after().await;
}

#[actix::test]
async fn what_the_configuration_has_lost_is_deleted_once() {
    let house = House::new(Plan::default());
    let id = house.post_in("gone", "far.test", &["bob@else.test"], Notify::Unsaid).await;
    assert_eq!(house.order(OrderKind::Hold, id).await, Placed::Idle);
    let reading = Reading::begin(&house.queue).await.unwrap();
    let entries = vec![house.found(id).await.unwrap()];
    for want in [Placed::Done, Placed::Moved] {
        let (kind, reason) = (OrderKind::Delete, "as the test wants it".into());
        let (order, entries) = (Order { kind, reason }, entries.clone());
        let place = PlaceOrder { reading: reading.ticket(), order, entries };
        assert_eq!(house.queue.ask(place).await.unwrap(), [want]);
    }
    house.until_done(id).await;
}

#[actix::test]
async fn it_is_told_when_no_job_gets_anything() {
    let house = House::new(Plan { has_notary: false, ..Plan::default() });
    house.freeze(true).await;
    let id = house.post("one.test").await;
    let is_aside = async || {
        let entries = vec![house.found(id).await.unwrap()];
        house.queue.ask(ListEntries(entries)).await.unwrap()[0].aside
    };
    assert!(!is_aside().await);
    assert_eq!(house.order(OrderKind::Return, id).await, Placed::Done);
    assert!(is_aside().await, "its sender is being told");
    let paused = async || house.queue.ask(DescribeQueue).await.unwrap().paused;
    assert_eq!(paused().await, None);
    house.queue.tell(DrainQueue);
    assert_eq!(paused().await, Some(Pause::Draining));
}
