//! What operators order while a job has the entry in hand.

use relais_channels::mail::MessageId;

use super::{House, Plan, a_while, eventually, jobs::Deed};
use crate::{
    queue::{Action, Alter, Altered, Reading},
    spool::EntryState,
};

impl House {
    pub(super) async fn order(&self, action: Action, id: MessageId) -> Altered {
        let reading = Reading::begin(&self.queue).await.unwrap();
        let entries = vec![self.found(id).await.expect("it is in the queue")];
        let reason = "as the test wants it".into();
        let alter = Alter { reading: reading.ticket(), action, reason, entries };
        self.queue.send(alter).await.unwrap()[0]
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
    assert_eq!(house.order(Action::Hold, held).await, Altered::Later);
    assert_eq!(house.order(Action::Delete, deleted[0]).await, Altered::Done, "nobody has it");
    for id in &deleted[1..] {
        assert_eq!(house.order(Action::Delete, *id).await, Altered::Later);
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
    assert_eq!(house.order(Action::Delete, id).await, Altered::Later);
    house.script.open_gate();
    house.until_done(id).await;
    a_while().await;
    assert_eq!(house.logged("X", id), 0);
}
