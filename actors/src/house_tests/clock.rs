//! Entries that a wall clock left for a day that nobody meant.

use relais_storage::{Change, EntryState, RecipientReplies};

use super::{House, Plan};
use crate::{
    queue::{OrderKind, SetMaxMessages},
    timestamp::now_ms,
};

#[actix::test]
async fn what_a_clock_that_was_ahead_put_off_for_days_is_brought_forward_when_a_scan_finds_it() {
    let house = House::new(Plan::default());
    house.freeze(true).await;
    let mut posted = Vec::new();
    for _ in 0..20 {
        posted.push(house.post("one.test").await);
    }
    // Memory forgets the last ones; of one of them the disk has a strange due time.
    house.queue.ask(SetMaxMessages(8)).await.unwrap();
    let late = posted.pop().unwrap();
    let found = house.found(late).await.unwrap();
    let ahead = now_ms() + 10 * DAY_MS;
    house.storage.amend(Change {
        id: late,
        place: found.place,
        entry: found.entry,
        channel: found.channel,
        host: found.host,
        priority: found.priority,
        size: found.size,
        at: ahead - DAY_MS,
        was: found.state,
        now: EntryState::Waiting { open: found.state.open(), attempts: 1, due: ahead },
        replies: RecipientReplies::new(),
        reason: None,
        trip: None,
    });
    house.freeze(false).await;
    for id in posted {
        house.until_done(id).await;
    }
    let latest = now_ms() + DAY_MS;
    let is_soon = |state: &EntryState| matches!(state, EntryState::Waiting { attempts: 1, due, .. } if *due < latest);
    house.until(late, "it is brought forward", is_soon).await;
    // The index has it once.
    house.order(OrderKind::Retry, late).await;
    house.until_done(late).await;
}

const DAY_MS: u64 = 24 * 3_600_000;
