//! Notices to senders, and the entries that stay on the disk until they are told.

use std::{rc::Rc, sync::Arc, time::Duration};

use relais_channels::{
    dsn::Kind,
    mail::{Content, MessageId, Notify},
    memory_disk::MemoryDisk,
};
use relais_storage::{Class, EntryState};
use tokio::time::timeout;

use super::{House, MIN_FREE, Plan, a_while, eventually, jobs::Deed};
use crate::{
    queue::{
        Case, DrainQueue, LookForOwed, Noticed, Order, OrderKind, PlaceOrder, Placed, Reading,
        Told, Tracked,
    },
    timestamp::now_ms,
};

impl House {
    /// The notary's case of a message whose first recipient failed.
    async fn case(&self, id: MessageId, then: EntryState) -> Case {
        let found = self.found(id).await.unwrap();
        Case {
            entry: Tracked::of(&found),
            destination: self.to(&found.host),
            kind: Kind::Failed,
            recipients: 1,
            replies: Vec::new(),
            until: None,
            was: found.state,
            then: Some(then),
            behind: None,
            room: None,
            reading: None,
            ordered: None,
        }
    }
}

#[actix::test]
async fn a_recipient_that_failed_stays_until_the_sender_is_told() {
    let plan = Plan { has_notary: false, ..Plan::default() };
    let house = House::new(plan);
    house.script.set("one.test", Deed::RefuseFirst);
    let [ann, ben] = ["ann@else.test", "ben@else.test"];
    let id = house.post_for("one.test", &[ann, ben], Notify::Unsaid).await;
    let open = |want| move |state: &EntryState| state.open() == want && state.attempts() == 1;
    house.until(id, "both are open, the one that failed too", open(0b11)).await;
    // Longer than the notary gathers: it is as good as dead, for it never says anything.
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.until(id, "still", open(0b11)).await;
    let times = house.script.taken().into_iter().filter(|taken| *taken == id).count();
    assert_eq!(times, 1, "and nobody is given it meanwhile");

    let due = now_ms() + 3_600_000;
    let then = EntryState::Waiting { open: 0b10, attempts: 1, due };
    let cases = vec![house.case(id, then).await];
    house.queue.tell(Noticed { cases, told: Told::Later });
    let later = |state: &EntryState| matches!(state, EntryState::Waiting { open: 0b11, due, .. } if *due > now_ms() + 30_000);
    house.until(id, "its sender could not be told: it is tried once more", later).await;

    let cases = vec![house.case(id, then).await];
    house.queue.tell(Noticed { cases, told: Told::Settled });
    house.until(id, "the sender knows of the first", |state| *state == then).await;
}

#[actix::test]
async fn a_sender_is_warned_once_and_not_of_what_was_delivered_meanwhile() {
    let mut plan = Plan::default();
    let ages = [Duration::from_millis(500), Duration::from_secs(86_400)];
    plan.stores.notices = Some(ages.to_vec());
    plan.stores.backoff = Some(vec![Duration::from_millis(100)]);
    let house = House::new(plan);
    house.script.close_gate();
    let delivered = house.post("one.test").await;
    eventually("it is taken", || house.script.in_hand() == 1).await;
    // Old enough, so a round chooses it; the notary gathers for a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    house.script.open_gate();
    house.script.set("later.test", Deed::Defer);
    let waits = house.post("later.test").await;
    eventually("the other is warned of", || house.logged("W", waits) == 1).await;
    assert_eq!(house.logged("W", delivered), 0, "{:#?}", house.log.taken());
    assert_eq!(house.log.count("it does not wait any more"), 1, "it had been chosen");
    let attempts = house.script.taken().len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(house.script.taken().len() > attempts, "it is tried, and rounds go by");
    assert_eq!(house.logged("W", waits), 1, "but it is warned of once");
    assert_eq!(house.log.count("a notice to the sender"), 1);
}

/// A house whose rounds have yet to begin, with a message that is older than the last notice.
async fn late_house() -> (House, MessageId) {
    let mut plan = Plan { has_notary: false, ..Plan::default() };
    // A round in which nothing is left undone is followed by another in 20 seconds.
    plan.stores.notices = Some([20, 25].map(Duration::from_secs).to_vec());
    let house = House::new(plan);
    house.freeze(true).await;
    let a_minute_ago = MessageId((now_ms() - 60_000) << 20);
    assert!(now_ms() - a_minute_ago.received_ms() < 61_000);
    let id = house.post_as(a_minute_ago, "one.test", &["bob@else.test"], Notify::Unsaid).await;
    (house, id)
}

#[actix::test]
async fn what_a_job_has_in_hand_when_it_is_too_old_is_returned_soon_after() {
    let (house, id) = late_house().await;
    house.script.close_gate();
    house.script.set("one.test", Deed::Defer);
    house.freeze(false).await;
    eventually("it is taken", || house.script.in_hand() == 1).await;
    house.start_notary();
    a_while().await;
    house.script.open_gate();
    timeout(Duration::from_secs(8), house.until_done(id)).await.expect("it is soon");
    assert_eq!(house.logged("R", id), 1);
}

#[actix::test]
async fn what_was_held_for_too_long_is_tried_before_it_is_returned() {
    let (house, id) = late_house().await;
    assert_eq!(house.order(OrderKind::Hold, id).await, Placed::Done);
    assert_eq!(house.order(OrderKind::Release, id).await, Placed::Done);
    house.start_notary();
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.freeze(false).await;
    house.until_done(id).await;
    assert_eq!((house.script.taken(), house.logged("R", id)), (vec![id], 0));
}

#[actix::test]
async fn a_message_whose_content_is_lost_is_returned_without_it() {
    let house = House::new(Plan::default());
    house.freeze(true).await;
    let id = house.post_large("one.test").await;
    let (_, content) = house.storage.read(house.found(id).await.unwrap().place).await.unwrap();
    let Content::File { path, .. } = content else { panic!("it is large") };
    std::fs::remove_file(path).unwrap();
    assert_eq!(house.order(OrderKind::Return, id).await, Placed::Done);
    house.until_done(id).await;
    assert_eq!(house.logged("R", id), 1);
    assert_eq!(house.log.count("a notice to the sender"), 1);
}

/// A house on a disk that takes state changes and no more messages, with a success notice to send of a
/// message, and another one that waits.
async fn full_house() -> (House, MemoryDisk, MessageId, MessageId) {
    let disk = MemoryDisk::new();
    let house = House::new(Plan { disk: Arc::new(disk.clone()), ..Plan::default() });
    house.script.set("one.test", Deed::DeliverAndTell);
    let notify = Notify::On { success: true, failure: true, delay: true };
    // Mail that waits in the same segment: it must not make room by going.
    house.script.set("two.test", Deed::Defer);
    let mut waits = MessageId(0);
    for _ in 0..3 {
        waits = house.post("two.test").await;
        house.until(waits, "it waits", |state| state.attempts() == 1).await;
    }
    house.script.close_gate();
    let id = house.post_for("one.test", &["bob@else.test"], notify).await;
    eventually("it is taken", || house.script.in_hand() == 1).await;
    house.storage.flush().await.unwrap();
    let files = disk.paths().into_iter().filter_map(|path| disk.contents(&path));
    let used: usize = files.map(|file| file.len()).sum();
    disk.set_capacity(Some(used as u64 + MIN_FREE / 2));
    house.script.let_pass(1);
    house.until(id, "its sender is owed a notice", owes(0b1, 0)).await;
    eventually("it cannot be told", || house.log.count("a notice could not be written") == 1).await;
    a_while().await;
    assert_eq!(house.log.count("given up"), 0, "it is told later");
    (house, disk, id, waits)
}

/// A state in which the sender is owed a notice of those that were `reached`, with others `open`.
fn owes(reached: u64, open: u64) -> impl Fn(&EntryState) -> bool {
    move |state| {
        matches!(state, EntryState::Owing { .. })
            && (state.reached(), state.open(), state.attempts()) == (reached, open, 1)
    }
}

#[actix::test]
async fn what_is_returned_while_its_sender_cannot_be_told_is_held_and_returned_when_he_can() {
    let (house, disk, _, id) = full_house().await;
    assert_eq!(house.order(OrderKind::Return, id).await, Placed::Done);
    house.until(id, "it is held", |state| matches!(state, EntryState::Held { .. })).await;
    let tried = || house.log.count("a notice could not be written");
    let before = tried();
    eventually("it is tried again", || tried() > before).await;
    disk.set_capacity(None);
    house.until_done(id).await;
    assert_eq!(house.logged("R", id), 1);
}

#[actix::test]
async fn a_success_notice_that_a_full_disk_does_not_take_stays_on_it_and_holds_up_no_stop() {
    let (house, _disk, id, _) = full_house().await;
    let drained = timeout(Duration::from_secs(10), house.queue.ask(DrainQueue)).await;
    drained.expect("the drain ends").unwrap();
    assert_eq!(house.log.count("a notice to the sender"), 0);
    assert_eq!(house.log.count("given up"), 0, "the next start tells it");
    house.until(id, "it is owed", owes(0b1, 0)).await;
}

#[actix::test]
async fn a_success_notice_that_a_full_disk_did_not_take_is_told_when_there_is_room() {
    let (house, disk, id, _) = full_house().await;
    disk.set_capacity(None);
    house.queue.tell(LookForOwed);
    house.until_done(id).await;
    assert_eq!(house.log.count("a notice to the sender"), 1);
    assert_eq!(house.script.taken().iter().filter(|taken| **taken == id).count(), 1);
}

#[actix::test]
async fn who_was_reached_is_told_of_before_who_was_refused_and_nobody_gets_it_twice() {
    let house = House::new(Plan { has_notary: false, ..Plan::default() });
    house.script.set("one.test", Deed::TellOfFirst);
    let to = ["ann@else.test", "ben@else.test", "cat@else.test"];
    let id = house.post_for("one.test", &to, Notify::Unsaid).await;
    house.until(id, "one was reached, two are open", owes(0b001, 0b110)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.until(id, "still: nobody has said anything", owes(0b001, 0b110)).await;
    let times = || house.script.taken().into_iter().filter(|taken| *taken == id).count();
    assert_eq!(times(), 1, "and nobody is given it meanwhile");
    assert_eq!(house.order(OrderKind::Hold, id).await, Placed::Moved, "nor may anybody alter it");

    // A stop in between leaves this, and the next start goes on from it.
    let found = house.found(id).await.unwrap();
    let left = found.state.told();
    let due = now_ms() + 3_600_000;
    let failed = Case {
        kind: Kind::Failed,
        recipients: 0b010,
        ..house.case(id, EntryState::Waiting { open: 0b100, attempts: 1, due }).await
    };
    let news = Case {
        kind: Kind::Delivered,
        recipients: 0b001,
        behind: Some(Box::new(failed)),
        ..house.case(id, left).await
    };
    house.queue.tell(Noticed { cases: vec![news], told: Told::Settled });
    house.until(id, "the sender knows who has it", |state| *state == left).await;
    assert_eq!(left.open(), 0b110);
    let failed = Case {
        kind: Kind::Failed,
        recipients: 0b010,
        ..house.case(id, EntryState::Waiting { open: 0b100, attempts: 1, due }).await
    };
    house.queue.tell(Noticed { cases: vec![failed], told: Told::Settled });
    house.until(id, "and who does not", |state| state.open() == 0b100).await;
    assert_eq!(times(), 1);
}

#[actix::test]
async fn who_returns_a_whole_queue_goes_on_only_as_senders_are_told() {
    let house = Rc::new(House::new(Plan::default()));
    house.freeze(true).await;
    let post = |_| {
        let house = house.clone();
        actix::spawn(async move { house.post("one.test").await })
    };
    for posted in (0..4_000).map(post).collect::<Vec<_>>() {
        posted.await.unwrap();
    }
    let (mut after, mut ordered) = (None, 0);
    loop {
        let reading = Reading::begin(&house.queue).await.unwrap();
        let entries = house.storage.scan("stores", Class::Untried, after, 1_000).await.unwrap();
        let Some(last) = entries.last() else { break };
        after = Some(last.cursor);
        ordered += entries.len();
        let (kind, reason) = (OrderKind::Return, "as the test wants it".into());
        let order = Order { kind, reason };
        let place = PlaceOrder { reading: reading.ticket(), order, entries };
        let placed = house.queue.ask(place).await.unwrap();
        assert!(placed.iter().all(|placed| *placed == Placed::Done));
        let under_way = ordered - house.log.count("action=R|");
        assert!(under_way < 2_000, "{under_way} of {ordered}");
    }
    assert_eq!(ordered, 4_000);
    let drained = timeout(Duration::from_secs(60), house.queue.ask(DrainQueue)).await;
    drained.expect("the drain ends").unwrap();
    assert_eq!(house.log.count("action=R|"), 4_000);
}
